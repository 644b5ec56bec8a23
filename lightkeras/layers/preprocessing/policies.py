"""Layers that draw other layers: RandAugment and AugMix."""

from __future__ import annotations

import torch

from lightkeras import random
from lightkeras._registry import unknown
from lightkeras.layers.core import positive_int
from lightkeras.layers.preprocessing import color, geometric, mixing
from lightkeras.layers.preprocessing._image import RandomLayer, limits, value_limits

__all__ = ["AugMix", "RandAugment"]

_GENTLE = (
    "random_shear",
    "random_translation",
    "random_rotation",
    "random_posterization",
    "solarization",
    "auto_contrast",
    "equalization",
)
_ALL = (
    *_GENTLE,
    "random_brightness",
    "random_color_degeneration",
    "random_contrast",
    "random_sharpness",
)


_SCALED = {
    "random_brightness": color.RandomBrightness,
    "random_color_degeneration": color.RandomColorDegeneration,
    "random_contrast": color.RandomContrast,
    "random_sharpness": mixing.RandomSharpness,
}


class _Policy(RandomLayer):
    """Base of the layers that have others, by name, and draw which ones a batch gets."""

    _moves_pixels = True
    _accepts = (1, 3)

    def __init__(self, value_range, factor, interpolation, names, **kwargs):
        super().__init__(**kwargs)
        self.value_range = value_limits(self, value_range)
        self.factor = limits(self, "factor", factor, low=0.0)
        if interpolation not in ("nearest", "bilinear"):
            raise unknown("interpolation", interpolation, ["nearest", "bilinear"])
        self.interpolation = interpolation
        self._names = names
        for name in names:
            setattr(self, name, self._made(name))

    def _made(self, name):
        """The layer of this name, as strong as `factor` says."""
        factor, values = self.factor, {"value_range": self.value_range}
        seeded = {"seed": self.seed, "data_format": self.data_format}
        moved = {"interpolation": self.interpolation, **seeded}
        steps = max(1, int(8 * factor[1]))
        if name == "random_shear":
            return geometric.RandomShear(factor, factor, **moved)
        if name == "random_translation":
            return geometric.RandomTranslation(factor, factor, **moved)
        if name == "random_rotation":
            return geometric.RandomRotation(factor, **moved)
        if name == "random_posterization":
            return color.RandomPosterization(steps, **values, **seeded)
        if name == "solarization":
            return color.Solarization(factor, factor, **values, **seeded)
        if name == "auto_contrast":
            return color.AutoContrast(data_format=self.data_format, **values)
        if name == "equalization":
            return color.Equalization(data_format=self.data_format, **values)
        return _SCALED[name](factor, **values, **seeded)

    def _choices(self, count, options):
        """Whole numbers below `options`, drawn on the CPU: nothing waits for the device."""
        cpu = torch.device("cpu")
        generator = random._generator(self.seed_generator, cpu)
        return torch.randint(options, (count,), generator=generator, device=cpu).tolist()

    def _step(self, name, x):
        layer = getattr(self, name)
        return layer, layer._draw(x)

    def _changed(self, x, steps, masks):
        for layer, drawn in steps:
            if not masks or layer._moves_pixels:
                x = layer._augment(x, drawn, masks).to(x.dtype)
        return x


class RandAugment(_Policy):
    """Some of eleven changes, drawn for each batch and all equally strong, in training.

    Shear, translation, rotation, brightness, color, contrast, sharpness, posterization,
    solarization, AutoContrast and Equalization.

    Args:
        value_range: Smallest and largest value of a pixel.
        num_ops: How many changes a batch gets.
        factor: How strong they are: from 0 to a number up to 1, or (lower, upper).
        interpolation: "bilinear" or "nearest".
        seed: Seed of the layer's own numbers.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: a number is out of range, or a name is not known.

    Source: Cubuk and others, RandAugment: Practical automated data augmentation (2019).

    >>> tuple(RandAugment(seed=0)(torch.rand(2, 8, 8, 3) * 255).shape)
    (2, 8, 8, 3)
    """

    def __init__(
        self,
        value_range=(0, 255),
        num_ops=2,
        factor=0.5,
        interpolation="bilinear",
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(
            value_range, factor, interpolation, _ALL, seed=seed, data_format=data_format, **kwargs
        )
        self.num_ops = positive_int("RandAugment", "num_ops", num_ops)

    def _draw(self, x):
        chosen = self._choices(self.num_ops, len(self._names))
        return [self._step(self._names[number], x) for number in chosen]

    def _augment(self, x, drawn, masks=False):
        return self._changed(x, drawn, masks)


class AugMix(_Policy):
    """Several chains of changes, mixed with each other and with the image, in training.

    A batch gets the same changes, each image with numbers of its own. Masks are mixed like the
    images, as in Keras.

    Args:
        value_range: Smallest and largest value of a pixel; results are clipped to it.
        num_chains: Number of chains.
        chain_depth: Changes in a chain at most.
        factor: How strong they are: from 0 to a number up to 1, or (lower, upper).
        alpha: Of the distributions that the weights are drawn from; small ones favour one chain.
        all_ops: Whether brightness, color, contrast and sharpness are among the changes.
        interpolation: "bilinear" or "nearest".
        seed: Seed of the layer's own numbers.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: a number is out of range, or a name is not known.

    Source: Hendrycks and others, AugMix: a simple data processing method to improve robustness
    and uncertainty (2020).

    >>> tuple(AugMix(seed=0)(torch.rand(2, 8, 8, 3) * 255).shape)
    (2, 8, 8, 3)
    """

    def __init__(
        self,
        value_range=(0, 255),
        num_chains=3,
        chain_depth=3,
        factor=0.3,
        alpha=1.0,
        all_ops=True,
        interpolation="bilinear",
        seed=None,
        data_format=None,
        **kwargs,
    ):
        names = _ALL if all_ops else _GENTLE
        super().__init__(
            value_range, factor, interpolation, names, seed=seed, data_format=data_format, **kwargs
        )
        self.num_chains = positive_int("AugMix", "num_chains", num_chains)
        self.chain_depth = positive_int("AugMix", "chain_depth", chain_depth)
        if not alpha > 0:
            raise ValueError(
                f"AugMix(alpha={alpha!r}) is no parameter of a distribution. A number above zero "
                "is accepted. Type alpha=1.0."
            )
        self.alpha, self.all_ops = alpha, all_ops

    def _draw(self, x):
        weights = random.gamma((self.num_chains,), self.alpha, seed=self.seed_generator)
        share = random.beta((), self.alpha, self.alpha, seed=self.seed_generator)
        chains = []
        for _ in range(self.num_chains):  # one choice more than names stands for nothing
            chosen = self._choices(self.chain_depth, len(self._names) + 1)
            names = [self._names[number] for number in chosen if number < len(self._names)]
            chains.append([self._step(name, x) for name in names])
        return (weights / weights.sum()).to(x.device), share.to(x.device), chains

    def _augment(self, x, drawn, masks=False):
        weights, share, chains = drawn
        given, x = x.dtype, x if x.is_floating_point() else x.float()
        mixed = torch.zeros_like(x)
        for weight, steps in zip(weights, chains, strict=True):
            mixed = mixed + self._changed(x, steps, masks) * weight
        y = share * x + (1 - share) * mixed
        return y.to(given) if masks else y.clamp(*self.value_range)
