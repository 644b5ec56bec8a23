"""Random layers that move pixels: flips, crops, and affine maps of the plane."""

from __future__ import annotations

import math

import torch

from lightkeras._registry import unknown
from lightkeras._sampling import FILL_MODES, warp
from lightkeras.layers.core import positive_int
from lightkeras.layers.preprocessing._image import RandomLayer, limits, sized
from lightkeras.layers.preprocessing.resizing import fit

__all__ = [
    "RandomCrop",
    "RandomFlip",
    "RandomRotation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
]


class RandomFlip(RandomLayer):
    """Mirrors every second image, on average, in training.

    Args:
        mode: "horizontal" (left and right change places), "vertical", or
            "horizontal_and_vertical": both at once or, as in Keras, neither.
        seed: Seed of the layer's own numbers.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: the mode is not known.

    >>> x = torch.arange(3.0).view(1, 1, 3, 1)
    >>> y = RandomFlip("horizontal", seed=2)(x.expand(9, 1, 3, 1))
    >>> sorted({tuple(row) for row in y.flatten(1).tolist()})
    [(0.0, 1.0, 2.0), (2.0, 1.0, 0.0)]
    """

    _moves_pixels = True
    _axes = {"horizontal": (3,), "vertical": (2,), "horizontal_and_vertical": (2, 3)}

    def __init__(self, mode="horizontal_and_vertical", seed=None, data_format=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        if mode not in self._axes:
            raise unknown("mode", mode, self._axes)
        self.mode = mode

    def _draw(self, x):
        return self._uniform(x, (0.0, 1.0))[0] <= 0.5

    def _augment(self, x, drawn, masks=False):
        return torch.where(drawn, x.flip(self._axes[self.mode]), x)


class RandomCrop(RandomLayer):
    """Cuts a part out of each image, at a random place in training.

    In inference, and from smaller images, it is the largest part in the middle with the target's
    proportions, resized. (Keras cuts all images of a batch at one place, and in inference returns
    them uncut.)

    Args:
        height, width: Size of the part.
        seed: Seed of the layer's own numbers.
        data_format: "channels_last" or "channels_first".

    Shape:
        `(batch, ..., ..., channels)` -> `(batch, height, width, channels)`

    Raises:
        ValueError: a size is no whole number above zero.

    >>> tuple(RandomCrop(4, 6)(torch.zeros(2, 9, 9, 3)).shape)
    (2, 4, 6, 3)
    """

    _moves_pixels = True

    def __init__(self, height, width, seed=None, data_format=None, name=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, name=name, **kwargs)
        self.height = positive_int("RandomCrop", "height", height)
        self.width = positive_int("RandomCrop", "width", width)

    def _draw(self, x):
        return self._uniform(x, (0.0, 1.0), (0.0, 1.0))

    def _augment(self, x, drawn, masks=False):
        down, right = x.shape[2] - self.height, x.shape[3] - self.width
        if down < 0 or right < 0:
            return self._rest(x, masks)
        top, left = drawn
        rows = _starts(top, down) + torch.arange(self.height, device=x.device)[:, None]
        columns = _starts(left, right) + torch.arange(self.width, device=x.device)
        image = torch.arange(len(x), device=x.device)[:, None, None]  # (batch, 1, 1)
        return x.permute(0, 2, 3, 1)[image, rows, columns].permute(0, 3, 1, 2)

    def compute_output_shape(self, input_shape):
        return sized(self, super().compute_output_shape(input_shape))

    def _rest(self, x, masks=False):
        return fit(x, self.height, self.width, masks)


def _starts(u, most):
    """Whole numbers from 0 to `most`, (batch, 1, 1), for numbers from 0 to 1."""
    return (u[:, 0] * (most + 1)).long().clamp(max=most)


class _Affine(RandomLayer):
    """Base of the layers that draw an affine map of the plane for each image.

    A subclass writes `_maps`; what is read beyond the border is `fill_mode`'s to say:
    "constant" (`fill_value`), "nearest" (the border's pixel), "reflect" (mirrored, the border's
    pixel twice) or "wrap" (from the opposite border).
    """

    _moves_pixels = True

    def __init__(self, fill_mode, interpolation, fill_value, **kwargs):
        super().__init__(**kwargs)
        if fill_mode not in FILL_MODES:
            raise unknown("fill_mode", fill_mode, FILL_MODES)
        if interpolation not in ("nearest", "bilinear"):
            raise unknown("interpolation", interpolation, ["nearest", "bilinear"])
        self.fill_mode, self.interpolation, self.fill_value = fill_mode, interpolation, fill_value

    def _maps(self, x):
        """Six numbers per image: of the input's column and row the factors of the output's
        column and row, and the shift, in pixels."""
        raise TypeError(f"{type(self).__name__} has no _maps().")

    def _draw(self, x):
        six = self._maps(x)
        like = next(m for m in six if isinstance(m, torch.Tensor))
        six = [m if isinstance(m, torch.Tensor) else torch.full_like(like, m) for m in six]
        return torch.stack(six, -1).view(-1, 2, 3)

    def _augment(self, x, drawn, masks=False):
        interpolation = "nearest" if masks else self.interpolation
        return warp(x, drawn, interpolation, self.fill_mode, self.fill_value)


class RandomRotation(_Affine):
    """Turns each image around its middle, in training.

    Args:
        factor: Share of a full turn, counter-clockwise: a number f for -f to f, or
            (lower, upper). 0.1 is up to 36 degrees.
        fill_mode: "reflect", "constant", "nearest" or "wrap": what appears at the corners.
        interpolation: "bilinear" or "nearest".
        seed: Seed of the layer's own numbers.
        fill_value: The constant.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: the factor is out of range or a name is not known.

    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 2, 2, 1)
    >>> RandomRotation((0.25, 0.25))(x).round(decimals=3).view(2, 2).tolist()
    [[2.0, 4.0], [1.0, 3.0]]
    """

    def __init__(
        self,
        factor,
        fill_mode="reflect",
        interpolation="bilinear",
        seed=None,
        fill_value=0.0,
        data_format=None,
        **kwargs,
    ):
        super().__init__(
            fill_mode, interpolation, fill_value, seed=seed, data_format=data_format, **kwargs
        )
        self.factor = limits(self, "factor", factor, example="20 / 360")

    def _maps(self, x):
        angle = self._uniform(x, self.factor)[0] * (2 * math.pi)
        cos, sin = angle.cos(), angle.sin()
        row, column = ((n - 1) / 2 for n in x.shape[2:])  # of the middle
        return (
            cos,
            -sin,
            column - column * cos + row * sin,
            sin,
            cos,
            row - column * sin - row * cos,
        )


class RandomZoom(_Affine):
    """Makes each image larger or smaller around its middle, in training.

    Args:
        height_factor: How much more (positive: zoomed out) or less (negative: zoomed in) of the
            height is seen: a number f for -f to f, or (lower, upper).
        width_factor: The same of the width; by default the proportions are kept.
        fill_mode: "reflect", "constant", "nearest" or "wrap": what appears around smaller images.
        interpolation: "bilinear" or "nearest".
        seed: Seed of the layer's own numbers.
        fill_value: The constant.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: a factor is out of range or a name is not known.

    >>> x = torch.arange(4.0).view(1, 1, 4, 1)
    >>> RandomZoom((0, 0), (-0.5, -0.5))(x).flatten().tolist()
    [0.75, 1.25, 1.75, 2.25]
    """

    def __init__(
        self,
        height_factor,
        width_factor=None,
        fill_mode="reflect",
        interpolation="bilinear",
        seed=None,
        fill_value=0.0,
        data_format=None,
        **kwargs,
    ):
        super().__init__(
            fill_mode, interpolation, fill_value, seed=seed, data_format=data_format, **kwargs
        )
        self.height_factor, self.width_factor = height_factor, width_factor
        factors = {"height_factor": height_factor, "width_factor": width_factor}
        self._factors = tuple(
            limits(self, k, v, strict=True) for k, v in factors.items() if v is not None
        )

    def _maps(self, x):
        zooms = self._uniform(x, *((1 + lower, 1 + upper) for lower, upper in self._factors))
        high, wide = zooms[0], zooms[-1]
        row, column = ((n - 1) / 2 for n in x.shape[2:])  # of the middle
        return wide, 0.0, column * (1 - wide), 0.0, high, row * (1 - high)


class RandomTranslation(_Affine):
    """Shifts each image, in training.

    Args:
        height_factor: How far down, as a share of the height: a number f for -f (up) to f, or
            (lower, upper).
        width_factor: How far right, as a share of the width.
        fill_mode: "reflect", "constant", "nearest" or "wrap": what moves in.
        interpolation: "bilinear" or "nearest".
        seed: Seed of the layer's own numbers.
        fill_value: The constant.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: a factor is out of range or a name is not known.

    >>> x = torch.arange(4.0).view(1, 1, 4, 1)
    >>> RandomTranslation(0, (0.25, 0.25), "constant")(x).flatten().tolist()
    [0.0, 0.0, 1.0, 2.0]
    """

    def __init__(
        self,
        height_factor,
        width_factor,
        fill_mode="reflect",
        interpolation="bilinear",
        seed=None,
        fill_value=0.0,
        data_format=None,
        **kwargs,
    ):
        super().__init__(
            fill_mode, interpolation, fill_value, seed=seed, data_format=data_format, **kwargs
        )
        self.height_factor, self.width_factor = height_factor, width_factor
        factors = {"height_factor": height_factor, "width_factor": width_factor}
        self._factors = tuple(limits(self, k, v, strict=True) for k, v in factors.items())

    def _maps(self, x):
        down, right = self._uniform(x, *self._factors)
        return 1.0, 0.0, -right * x.shape[3], 0.0, 1.0, -down * x.shape[2]


class RandomShear(_Affine):
    """Slants each image, in training.

    Args:
        x_factor: Shift of a row, as a share of its distance from the top: a number f for -f to f,
            or (lower, upper), to either side.
        y_factor: Shift of a column, as a share of its distance from the left.
        interpolation: "bilinear" or "nearest".
        fill_mode: "reflect", "constant", "nearest" or "wrap": what moves in.
        fill_value: The constant.
        data_format: "channels_last" or "channels_first".
        seed: Seed of the layer's own numbers.

    Raises:
        ValueError: a factor is out of range or a name is not known.

    >>> tuple(RandomShear(0.2, 0.1)(torch.zeros(2, 5, 5, 3)).shape)
    (2, 5, 5, 3)
    """

    def __init__(
        self,
        x_factor=0.0,
        y_factor=0.0,
        interpolation="bilinear",
        fill_mode="reflect",
        fill_value=0.0,
        data_format=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            fill_mode, interpolation, fill_value, seed=seed, data_format=data_format, **kwargs
        )
        self.x_factor = limits(self, "x_factor", x_factor, strict=True)
        self.y_factor = limits(self, "y_factor", y_factor, strict=True)

    def _maps(self, x):
        side, y, x = self._uniform(x, (0.0, 1.0), self.y_factor, self.x_factor)
        side = torch.where(side > 0.5, -1.0, 1.0)
        return 1.0, side * x, 0.0, side * y, 1.0, 0.0
