"""Random layers that mix pixels: with their neighbours, with noise, with other images."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightkeras.layers.core import positive_int
from lightkeras.layers.preprocessing._image import RandomLayer, limits, value_limits

__all__ = ["CutMix", "MixUp", "RandomErasing", "RandomGaussianBlur", "RandomSharpness"]


class RandomSharpness(RandomLayer):
    """Blurs images or makes their edges stronger, in training.

    Args:
        factor: 0 for blurred, 0.5 for no change, 1 for sharper: a number f for 0 to f, or
            (lower, upper).
        value_range: Smallest and largest value of a pixel; results are clipped to it.
        data_format: "channels_last" or "channels_first".
        seed: Seed of the layer's own numbers.

    Raises:
        ValueError: the factor or the range is out of range.

    >>> x = torch.rand(2, 5, 5, 3)
    >>> bool((RandomSharpness((0.5, 0.5))(x) == x).all())
    True
    """

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = limits(self, "factor", factor, low=0.0)
        self.value_range = value_limits(self, value_range)

    def _draw(self, x):
        return self._uniform(x, self.factor)[0] * 2

    def _augment(self, x, drawn, masks=False):
        kernel = x.new_full((3, 3), 1 / 13)
        kernel[1, 1] = 5 / 13
        smooth = _convolve(x, kernel)
        return (x + (1 - drawn) * (smooth - x)).clamp(*self.value_range)


def _convolve(x, kernel):
    """Each channel with the same (height, width) kernel, zeros around."""
    channels = x.shape[1]
    kernel = kernel.expand(channels, 1, *kernel.shape)
    return F.conv2d(x, kernel, padding=[n // 2 for n in kernel.shape[2:]], groups=channels)


class RandomGaussianBlur(RandomLayer):
    """Blurs some images by a Gaussian, whose width is drawn once for the batch, in training.

    Args:
        factor: Chance of an image: a number f for 0 to f, or (lower, upper), from which it is
            drawn.
        kernel_size: Odd size of the kernel, or (width, height).
        sigma: Standard deviation in pixels, up to 1: a number f for 0 to f, or (lower, upper).
        value_range: Smallest and largest value of a pixel; results are clipped to it.
        data_format: "channels_last" or "channels_first".
        seed: Seed of the layer's own numbers.

    Raises:
        ValueError: an argument is out of range.

    >>> tuple(RandomGaussianBlur(kernel_size=5)(torch.zeros(2, 9, 9, 3)).shape)
    (2, 9, 9, 3)
    """

    def __init__(
        self,
        factor=1.0,
        kernel_size=3,
        sigma=1.0,
        value_range=(0, 255),
        data_format=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = limits(self, "factor", factor, low=0.0, example=0.5)
        self.kernel_size = _odd_pair(kernel_size)
        self.sigma = limits(self, "sigma", sigma, low=0.0, example=0.5)
        self.value_range = value_limits(self, value_range)

    def _draw(self, x):
        chosen = self._chance(x, self.factor)
        low, high = self.sigma
        u = torch.rand(2, device=x.device, generator=self._generator(x))
        return chosen, u * (high - low) + low + 1e-6

    def _augment(self, x, drawn, masks=False):
        chosen, sigma = drawn
        across, down = (_bell(n, s) for n, s in zip(self.kernel_size, sigma, strict=True))
        blurred = _convolve(x, torch.outer(down, across).to(x.dtype))
        return torch.where(chosen, blurred, x).clamp(*self.value_range)


def _odd_pair(size):
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    pair = tuple(positive_int("RandomGaussianBlur", "kernel_size", n) for n in pair)
    if len(pair) != 2 or not all(n % 2 for n in pair):
        raise ValueError(
            f"RandomGaussianBlur(kernel_size={size!r}) has no middle. It takes an odd number, or a "
            "pair of them. Type for example kernel_size=3."
        )
    return pair


def _bell(size, sigma):
    at = torch.arange(size, device=sigma.device) - (size - 1) / 2
    return torch.softmax(-0.5 * (at / sigma) ** 2, 0)


def _boxes(layer, x, height, width):
    """Masks (batch, 1, height, width) of boxes of these shares of the sides, at random places."""
    columns = torch.arange(x.shape[3], device=x.device)
    rows = torch.arange(x.shape[2], device=x.device)[:, None]
    left, top = layer._uniform(x, (0.0, 1.0), (0.0, 1.0))
    width, height = width * x.shape[3], height * x.shape[2]
    left, top = left * (x.shape[3] - width), top * (x.shape[2] - height)
    inside = (columns >= left) & (columns < left + width)
    return inside & (rows >= top) & (rows < top + height)


class RandomErasing(RandomLayer):
    """Fills a box in some images, in training.

    Args:
        factor: Chance of an image: a number f for 0 to f, or (lower, upper), from which it is
            drawn.
        scale: Share of the image that is filled: a number f for 0 to f, or (lower, upper).
        fill_value: A number, three for red, green and blue, or None for noise.
        value_range: Smallest and largest value of a pixel; the filling is clipped to it.
        seed: Seed of the layer's own numbers.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: an argument is out of range.

    Zhong et al. 2020, "Random erasing data augmentation".

    >>> y = RandomErasing((1, 1), scale=(0.25, 0.25), fill_value=9)(torch.zeros(1, 8, 8, 1))
    >>> y.unique().tolist()
    [0.0, 9.0]
    """

    def __init__(
        self,
        factor=1.0,
        scale=(0.02, 0.33),
        fill_value=None,
        value_range=(0, 255),
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = limits(self, "factor", factor, low=0.0, example=0.5)
        self.scale = limits(self, "scale", scale, low=0.0)
        self.value_range = value_limits(self, value_range)
        self.fill_value = _filling(fill_value)
        self._accepts = (3,) if isinstance(self.fill_value, tuple) else ()

    def _draw(self, x):
        width, height = (share.sqrt() for share in self._uniform(x, self.scale, self.scale))
        box = _boxes(self, x, height, width)
        chosen = self._chance(x, self.factor)
        return box & chosen, self._fill(x)

    def _fill(self, x):
        if self.fill_value is None:
            generator = self._generator(x)
            noise = torch.randn(x.shape, device=x.device, dtype=x.dtype, generator=generator)
            fill = noise * self.value_range[1]
        else:
            colors = self.fill_value
            colors = colors if isinstance(colors, tuple) else (colors,)
            fill = x.new_empty((1, len(colors), 1, 1))
            for i, color in enumerate(colors):  # numbers: an array would wait for the device
                fill[:, i] = color
        return fill.clamp(*self.value_range)

    def _augment(self, x, drawn, masks=False):
        return torch.where(drawn[0], drawn[1], x)


def _filling(value):
    several = isinstance(value, (tuple, list))
    numbers = list(value) if several else [value]
    if value is not None and (
        (several and len(numbers) != 3) or not all(hasattr(v, "__float__") for v in numbers)
    ):
        raise ValueError(
            f"RandomErasing(fill_value={value!r}) is no color. It takes a number, three, or None "
            "for noise. Type for example fill_value=0."
        )
    return tuple(value) if several else value


class _Mixing(RandomLayer):
    """Base of the layers that mix each image with another one of its batch, and their labels too.

    Called on a dict with "images" and one-hot "labels". A draw is
    (share of the image itself, which image is the other one, ...).
    """

    _moves_pixels = True

    def _partners(self, x):
        return torch.randperm(len(x), device=x.device, generator=self._generator(x))

    def _beta(self, x, alpha):
        """For each image a number from 0 to 1, both parameters being the scalar `alpha`."""
        alpha = alpha.expand(2, len(x))
        a, b = torch._standard_gamma(alpha, generator=self._generator(x)).clamp(min=1e-30)
        return (a / (a + b)).view(-1, 1, 1, 1)

    def _labels(self, labels, drawn):
        own, other = drawn[0], drawn[1]
        if labels.ndim < 2:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} got labels of shape {tuple(labels.shape)}. "
                "It takes one-hot labels (batch, classes). Type to_categorical(labels)."
            )
        own = own.view(-1, *[1] * (labels.ndim - 1)).to(self._dtype_in)
        return own * labels + (1 - own) * labels[other]


class MixUp(_Mixing):
    """Adds up each image and another one of its batch, in training, and their labels alike.

    Args:
        alpha: How evenly, both parameters of the beta distribution of the shares: near 0 one of the
            two wins, at 1 all shares are equally likely.
        data_format: "channels_last" or "channels_first".
        seed: Seed of the layer's own numbers.

    Raises:
        ValueError: the labels are not one-hot, or alpha is not above zero.

    Zhang et al. 2018, "mixup: beyond empirical risk minimization".

    >>> data = {"images": torch.zeros(4, 5, 5, 3), "labels": torch.eye(4)}
    >>> MixUp()(data)["labels"].sum(1).round(decimals=3).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(self, alpha=0.2, data_format=None, seed=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        if not alpha > 0:
            raise ValueError(
                f"MixUp(alpha={alpha!r}) is out of range. It takes a number above 0. "
                "Type for example MixUp(0.2)."
            )
        self.alpha = alpha

    def _draw(self, x):
        other = self._partners(x)
        alpha = torch.full((), self.alpha, device=x.device)
        return self._beta(x, alpha), other

    def _augment(self, x, drawn, masks=False):
        own, other = drawn
        return own * x + (1 - own) * x[other]


class CutMix(_Mixing):
    """Puts a box of another image of the batch into each image, in training; labels by area.

    Args:
        factor: Parameter of the beta distribution of the areas, drawn once for the batch: a number
            f for 0 to f, or (lower, upper).
        seed: Seed of the layer's own numbers.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: the labels are not one-hot, or the factor is out of range.

    Yun et al. 2019, "CutMix: regularization strategy to train strong classifiers with localizable
    features".

    >>> data = {"images": torch.zeros(4, 5, 5, 3), "labels": torch.eye(4)}
    >>> CutMix()(data)["labels"].sum(1).round(decimals=3).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(self, factor=1.0, seed=None, data_format=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = limits(self, "factor", factor, low=0.0, example=0.5)

    def _draw(self, x):
        low, high = self.factor
        alpha = torch.rand((), device=x.device, generator=self._generator(x))
        share = (1 - self._beta(x, alpha * (high - low) + low + 1e-6)).sqrt()
        box = _boxes(self, x, share, share)
        return 1 - share**2, self._partners(x), box

    def _augment(self, x, drawn, masks=False):
        return torch.where(drawn[2], x[drawn[1]], x)
