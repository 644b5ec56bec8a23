"""Random layers that change the values of pixels and leave them where they are."""

from __future__ import annotations

import torch

from lightkeras.layers.preprocessing._image import (
    ImageLayer,
    RandomLayer,
    limits,
    rescale,
    value_limits,
)
from lightkeras.ops._colors import grey, to_hsv, to_rgb

__all__ = [
    "AutoContrast",
    "Equalization",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPosterization",
    "RandomSaturation",
    "Solarization",
]

_BYTES = (0, 255)


class RandomBrightness(RandomLayer):
    """Adds one random number to all pixels of an image, in training.

    Args:
        factor: Share of the value range: a number f for -f to f, or (lower, upper).
        value_range: Smallest and largest value of a pixel; results are clipped to it.
        seed: Seed of the layer's own numbers.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: the factor or the range is out of range.

    >>> RandomBrightness((0.5, 0.5), value_range=(0, 1))(torch.zeros(1, 1, 2, 1)).flatten().tolist()
    [0.5, 0.5]
    """

    def __init__(self, factor, value_range=(0, 255), seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.factor = limits(self, "factor", factor)
        self.value_range = value_limits(self, value_range)

    def _draw(self, x):
        low, high = self.value_range
        return self._uniform(x, self.factor)[0] * (high - low)

    def _augment(self, x, drawn, masks=False):
        return (x + drawn).clamp(*self.value_range)


class RandomContrast(RandomLayer):
    """Moves each channel of an image away from its mean or towards it, in training.

    Args:
        factor: (lower, upper) for a contrast of `1 - lower` to `1 + upper`. A number f stands,
            as in Keras, for (0, f), which only ever raises it: (f, f) goes both ways.
        value_range: Smallest and largest value of a pixel; results are clipped to it.
        seed: Seed of the layer's own numbers.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: the factor or the range is out of range.

    >>> x = torch.tensor([100.0, 140.0]).view(1, 1, 2, 1)
    >>> RandomContrast((-0.5, 0.5))(x).flatten().tolist()
    [90.0, 150.0]
    """

    def __init__(self, factor, value_range=(0, 255), seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.factor = limits(self, "factor", factor, low=0.0)
        self.value_range = value_limits(self, value_range)

    def _draw(self, x):
        lower, upper = self.factor
        return self._uniform(x, (1 - lower, 1 + upper))[0]

    def _augment(self, x, drawn, masks=False):
        mean = x.mean((2, 3), keepdim=True)
        return ((x - mean) * drawn + mean).clamp(*self.value_range)


class RandomColorDegeneration(RandomLayer):
    """Moves the colors of an image towards grey, in training.

    Args:
        factor: How far, 1 being grey: a number f for -f (more color) to f, or (lower, upper).
        value_range: Smallest and largest value of a pixel; results are clipped to it.
        data_format: "channels_last" or "channels_first".
        seed: Seed of the layer's own numbers.

    Raises:
        ValueError: the factor or the range is out of range.

    >>> x = torch.tensor([255.0, 0.0, 0.0]).view(1, 1, 1, 3)
    >>> RandomColorDegeneration((1.0, 1.0))(x).flatten().round().tolist()
    [76.0, 76.0, 76.0]
    """

    _accepts = (1, 3)

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = limits(self, "factor", factor)
        self.value_range = value_limits(self, value_range)

    def _draw(self, x):
        return self._uniform(x, self.factor)[0]

    def _augment(self, x, drawn, masks=False):
        return (x + drawn * (grey(x) - x)).clamp(*self.value_range)


class RandomGrayscale(RandomLayer):
    """Takes the colors out of some images, in training; the channels stay.

    Args:
        factor: Share of the images, 0 to 1.
        data_format: "channels_last" or "channels_first".
        seed: Seed of the layer's own numbers.

    Raises:
        ValueError: the factor is not within 0 to 1.

    >>> x = torch.tensor([255.0, 0.0, 0.0]).view(1, 1, 1, 3)
    >>> RandomGrayscale(1.0)(x).flatten().round().tolist()
    [76.0, 76.0, 76.0]
    """

    _accepts = (1, 3)
    _keeps_ints = True

    def __init__(self, factor=0.5, data_format=None, seed=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        limits(self, "factor", factor, low=0.0)
        self.factor = factor

    def _draw(self, x):
        return self._uniform(x, (0.0, 1.0))[0] < self.factor

    def _augment(self, x, drawn, masks=False):
        return torch.where(drawn, grey(x).to(x.dtype), x)


class RandomSaturation(RandomLayer):
    """Makes the colors of an image stronger or weaker, in training.

    Args:
        factor: 0 for grey, 0.5 for no change, 1 for the strongest colors: (lower, upper), or a
            number f, which stands, as in Keras, for (-f, f), what is below 0 being grey.
        value_range: Smallest and largest value of a pixel.
        data_format: "channels_last" or "channels_first".
        seed: Seed of the layer's own numbers.

    Raises:
        ValueError: the factor or the range is out of range, or images have not three channels.

    >>> x = torch.tensor([1.0, 0.5, 0.5]).view(1, 1, 1, 3)
    >>> RandomSaturation((0.0, 0.0), value_range=(0, 1))(x).flatten().tolist()
    [1.0, 1.0, 1.0]
    """

    _accepts = (3,)

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = limits(self, "factor", factor)
        self.value_range = value_limits(self, value_range)

    def _draw(self, x):
        share = self._uniform(x, self.factor)[0]
        return share / (1 - share + 1e-7)

    def _augment(self, x, drawn, masks=False):
        hue, saturation, value = to_hsv(x)
        saturation = (saturation * drawn).clamp(*self.value_range)
        return to_rgb(hue, saturation, value)


class RandomHue(RandomLayer):
    """Turns the colors of an image around the color circle, in training.

    Args:
        factor: Share of half a turn, to either side: a number f for 0 to f, or (lower, upper).
        value_range: Smallest and largest value of a pixel.
        data_format: "channels_last" or "channels_first".
        seed: Seed of the layer's own numbers.

    Raises:
        ValueError: the factor or the range is out of range, or images have not three channels.

    >>> x = torch.tensor([1.0, 0.0, 0.0]).view(1, 1, 1, 3)
    >>> RandomHue((1.0, 1.0), value_range=(0, 1))(x).flatten().tolist()
    [0.0, 1.0, 1.0]
    """

    _accepts = (3,)

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = limits(self, "factor", factor, low=0.0)
        self.value_range = value_limits(self, value_range)

    def _draw(self, x):
        side, turn = self._uniform(x, (0.0, 1.0), self.factor)
        return torch.where(side > 0.5, -0.5, 0.5) * turn

    def _augment(self, x, drawn, masks=False):
        hue, saturation, value = to_hsv(rescale(x, self.value_range, (0, 1)))
        y = to_rgb(hue + drawn, saturation, value)
        return rescale(y.clamp(0, 1), (0, 1), self.value_range)


class RandomColorJitter(RandomLayer):
    """Changes brightness, contrast, saturation and hue, in this order, in training.

    Args:
        value_range: Smallest and largest value of a pixel.
        brightness_factor: As in `RandomBrightness`; None leaves it alone.
        contrast_factor: As in `RandomContrast`; likewise.
        saturation_factor: As in `RandomSaturation`; likewise.
        hue_factor: As in `RandomHue`; likewise.
        seed: Seed of the layer's own numbers.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: a factor or the range is out of range.

    >>> layer = RandomColorJitter(brightness_factor=0.2, hue_factor=0.1)
    >>> tuple(layer(torch.zeros(2, 5, 5, 3)).shape)
    (2, 5, 5, 3)
    """

    def __init__(
        self,
        value_range=(0, 255),
        brightness_factor=None,
        contrast_factor=None,
        saturation_factor=None,
        hue_factor=None,
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.value_range = value_limits(self, value_range)
        self.brightness_factor = brightness_factor
        self.contrast_factor = contrast_factor
        self.saturation_factor = saturation_factor
        self.hue_factor = hue_factor
        parts = {
            RandomBrightness: brightness_factor,
            RandomContrast: contrast_factor,
            RandomSaturation: saturation_factor,
            RandomHue: hue_factor,
        }
        self._parts = tuple(
            part(factor, value_range, data_format=data_format)
            for part, factor in parts.items()
            if factor is not None
        )
        self._accepts = max((part._accepts for part in self._parts), default=())
        for part in self._parts:  # one stream of numbers
            part.seed_generator = self.seed_generator

    def _draw(self, x):
        return [part._draw(x) for part in self._parts]

    def _augment(self, x, drawn, masks=False):
        for part, numbers in zip(self._parts, drawn, strict=True):
            x = part._augment(x, numbers)
        return x


class RandomInvert(RandomLayer):
    """Turns some images into their negatives, in training.

    Args:
        factor: Chance of an image: a number f for 0 to f, or (lower, upper), from which it is
            drawn.
        value_range: Smallest and largest value of a pixel.
        seed: Seed of the layer's own numbers.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: the factor or the range is out of range.

    >>> RandomInvert((1, 1))(torch.full((1, 1, 2, 1), 55.0)).flatten().tolist()
    [200.0, 200.0]
    """

    def __init__(self, factor=1.0, value_range=(0, 255), seed=None, data_format=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = limits(self, "factor", factor, low=0.0)
        self.value_range = value_limits(self, value_range)

    def _draw(self, x):
        return self._chance(x, self.factor)

    def _augment(self, x, drawn, masks=False):
        return torch.where(drawn, self.value_range[1] - x, x)


class RandomPosterization(RandomLayer):
    """Keeps only the first bits of each value, in training.

    Args:
        factor: Number of bits, 1 to 8: a number f for at least 1 and less than f, or
            (lower, upper), for that many bits if they are equal.
        value_range: Smallest and largest value of a pixel.
        data_format: "channels_last" or "channels_first".
        seed: Seed of the layer's own numbers.

    Raises:
        ValueError: the factor or the range is out of range.

    >>> x = torch.tensor([0.0, 60.0, 70.0, 255.0]).view(1, 1, 4, 1)
    >>> RandomPosterization((2, 2))(x).flatten().tolist()
    [0.0, 0.0, 64.0, 192.0]
    """

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = limits(self, "factor", factor, low=1, high=8, example=4)
        self.value_range = value_limits(self, value_range)

    def _draw(self, x):
        lower, upper = (int(n) for n in self.factor)
        size, generator = (x.shape[0], 1, 1, 1), self._generator(x)
        upper = max(upper, lower + 1)
        bits = torch.randint(lower, upper, size, device=x.device, generator=generator)
        return 2.0 ** (8 - bits)

    def _augment(self, x, drawn, masks=False):
        x = rescale(x, self.value_range, _BYTES).clamp(*_BYTES).floor()
        return rescale((x / drawn).floor() * drawn, _BYTES, self.value_range)


class Solarization(RandomLayer):
    """Adds a random number to an image and turns values above a random threshold around.

    Args:
        addition_factor: Largest number, as a share of the value range, or (lower, upper), the lower
            one, as in Keras, not as a share but in 255ths.
        threshold_factor: Largest threshold, likewise.
        value_range: Smallest and largest value of a pixel.
        seed: Seed of the layer's own numbers.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: a factor or the range is out of range.

    >>> Solarization()(torch.full((1, 1, 2, 1), 55.0)).flatten().tolist()
    [200.0, 200.0]
    """

    def __init__(
        self,
        addition_factor=0.0,
        threshold_factor=0.0,
        value_range=(0, 255),
        seed=None,
        **kwargs,
    ):
        super().__init__(seed=seed, **kwargs)
        known = {"low": 0.0, "strict": True}
        self.addition_factor = limits(self, "addition_factor", addition_factor, **known)
        self.threshold_factor = limits(self, "threshold_factor", threshold_factor, **known)
        self.value_range = value_limits(self, value_range)

    def _draw(self, x):
        factors = (self.addition_factor, self.threshold_factor)
        return self._uniform(x, *((lower, upper * 255) for lower, upper in factors))

    def _augment(self, x, drawn, masks=False):
        addition, threshold = drawn
        x = (rescale(x, self.value_range, _BYTES) + addition).clamp(*_BYTES)
        return rescale(torch.where(x < threshold, x, 255 - x), _BYTES, self.value_range)


class AutoContrast(ImageLayer):
    """Stretches each channel of an image over the whole value range, in inference too.

    Args:
        value_range: Smallest and largest value of a pixel.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: the range is no pair of numbers.

    >>> x = torch.tensor([100.0, 110.0, 120.0]).view(1, 1, 3, 1)
    >>> AutoContrast()(x).flatten().tolist()
    [0.0, 127.5, 255.0]
    """

    def __init__(self, value_range=(0, 255), **kwargs):
        super().__init__(**kwargs)
        self.value_range = value_limits(self, value_range)

    def _augment(self, x, drawn, masks=False):
        return self._rest(x)

    def _rest(self, x, masks=False):
        low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        flat = high == low
        y = (x - low) / torch.where(flat, 1, high - low)
        return torch.where(flat, x, rescale(y, (0, 1), self.value_range))


class Equalization(ImageLayer):
    """Spreads the values of each channel of an image evenly over the value range, in training.

    Each image by its own histogram. (Keras takes one of the whole batch.)

    Args:
        value_range: Smallest and largest value of a pixel.
        bins: Number of the histogram's bins.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: the range is no pair of numbers.

    >>> x = torch.tensor([10.0, 11.0, 12.0]).view(1, 1, 3, 1)
    >>> Equalization()(x).flatten().tolist()
    [0.0, 128.0, 255.0]
    """

    def __init__(self, value_range=(0, 255), bins=256, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = value_limits(self, value_range)
        self.bins = bins

    def _augment(self, x, drawn, masks=False):
        x = rescale(x, self.value_range, _BYTES)
        values, last = x.flatten(2), self.bins - 1
        place = (values * last / 255).long().clamp(0, last)
        counts = values.new_zeros(*x.shape[:2], self.bins)
        counts = counts.scatter_add(2, place, torch.ones_like(values))
        below = counts.cumsum(2)  # how many values are in a bin or below
        total = below[..., -1:]
        least = torch.where(below > 0, below, total).amin(2, keepdim=True)
        table = (below - least) * 255 / (total - least).clamp(min=1)
        table = table.round().clamp(*_BYTES)
        y = table.gather(2, (values / 255 * last).clamp(0, last).long()).view_as(x)
        one_bin = (counts > 0).sum(2)[..., None, None] <= 1
        return rescale(torch.where(one_bin, x, y), _BYTES, self.value_range)
