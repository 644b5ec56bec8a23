"""Layers that make inputs larger or smaller without weights: up-sampling, zero padding, cropping.

In Keras they stand among the reshaping layers.
"""

from __future__ import annotations

import torch.nn.functional as F

from lightkeras._registry import unknown
from lightkeras._spatial import TO_FIRST, TO_LAST, pairs, tuple_of
from lightkeras.config import standardize_data_format
from lightkeras.layers._layer import Layer
from lightkeras.layers._spatial import spatial
from lightkeras.layers._spec import InputSpec

__all__ = [
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]


# ---- up-sampling ------------------------------------------------------------------------------


def _upsampled(x, size, mode="nearest-exact"):
    """`x`, channels second, `size` times as large. (torch's "nearest" errs from 41 times on.)"""
    align = None if mode == "nearest-exact" else False
    return F.interpolate(x, scale_factor=size, mode=mode, align_corners=align)


class _UpSampling(Layer):
    """Every position is repeated.

    Args:
        size: How often, one number or one for each axis.
        data_format: "channels_last" or "channels_first".

    Shape:
        `(batch, *sizes, channels)` -> `(batch, *(sizes * size), channels)`

    >>> import torch
    >>> UpSampling1D(2)(torch.tensor([[[1.0], [2.0]]])).flatten().tolist()
    [1.0, 1.0, 2.0, 2.0]
    >>> tuple(UpSampling2D((2, 3))(torch.zeros(1, 4, 4, 5)).shape)
    (1, 8, 12, 5)
    """

    rank = 2
    _casts_ints = True
    _mode = "nearest-exact"

    def __init__(self, size=2, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.size = tuple_of(type(self).__name__, "size", size, self.rank)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, x):
        if self.data_format == "channels_first":
            return _upsampled(x, self.size, self._mode)
        x = x.permute(TO_FIRST[self.rank])  # (batch, *sizes, c) -> (batch, c, *sizes)
        return _upsampled(x, self.size, self._mode).permute(TO_LAST[self.rank])


class UpSampling1D(Layer):
    """Every step is repeated: `(batch, time, channels)` -> `(batch, time * size, channels)`.

    Args:
        size: How often.

    Raises:
        ValueError: `size` is no whole number above zero.
    """

    _casts_ints = True

    def __init__(self, size=2, **kwargs):
        super().__init__(**kwargs)
        self.size = tuple_of("UpSampling1D", "size", size, 1)[0]
        self.input_spec = InputSpec(ndim=3)

    def call(self, x):
        x = x.unsqueeze(1).permute(TO_FIRST[2])  # (batch, time, c) -> (batch, c, 1, time)
        return _upsampled(x, (1, self.size)).permute(TO_LAST[2]).squeeze(1)


class UpSampling2D(_UpSampling):
    """Every pixel is repeated, or new ones are interpolated.

    Args:
        size: How often, one number or `(rows, columns)`.
        data_format: "channels_last" or "channels_first".
        interpolation: "nearest" (repeated), "bilinear" or "bicubic".

    Shape:
        `(batch, height, width, channels)` -> `(batch, height * size, width * size, channels)`

    Raises:
        ValueError: an argument does not fit.
    """

    rank = 2

    def __init__(self, size=2, data_format=None, interpolation="nearest", **kwargs):
        super().__init__(size, data_format, **kwargs)
        self.interpolation = str(interpolation).lower()
        known = ("bicubic", "bilinear", "nearest")
        if self.interpolation not in known:
            raise unknown("interpolation of UpSampling2D", interpolation, known)
        if self.interpolation != "nearest":
            self._mode = self.interpolation


class UpSampling3D(_UpSampling):
    """Every voxel is repeated: `(batch, depth, height, width, channels)` -> `(..., channels)`."""

    rank = 3


# ---- padding and cropping ---------------------------------------------------------------------


class _Border(Layer):
    """Base of the layers that add or take something at both ends of each axis."""

    rank = 2
    data_format = "channels_last"

    def _set_border(self, argument, value, data_format="channels_last"):
        owner = type(self).__name__
        if self.rank == 1:
            border = tuple_of(owner, argument, value, 2, least=0)
            self._border = (border,)
        else:
            border = self._border = pairs(owner, argument, value, self.rank)
        setattr(self, argument, border)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def build(self, input_shape):
        self._check_shape(input_shape)

    def _check_shape(self, input_shape):
        pass


class _ZeroPadding(_Border):
    """Zeros are added at both ends of each axis.

    Args:
        padding: One number; or one for each axis; or a pair (before, after) for each axis. In one
            axis a pair is (before, after).
        data_format: "channels_last" or "channels_first".

    Shape:
        `(batch, *sizes, channels)` -> `(batch, *(before + sizes + after), channels)`

    Raises:
        ValueError: `padding` does not fit.

    >>> import torch
    >>> ZeroPadding1D((1, 2))(torch.ones(1, 2, 1)).flatten().tolist()
    [0.0, 1.0, 1.0, 0.0, 0.0]
    """

    def __init__(self, padding=1, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self._set_border("padding", padding, data_format)
        flat = tuple(n for pair in reversed(self._border) for n in pair)
        self._pads = flat if self.data_format == "channels_first" else (0, 0, *flat)

    def call(self, x):
        return F.pad(x, self._pads)


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after a signal: `(batch, time, channels)` -> `(..., channels)`."""

    rank = 1


class ZeroPadding2D(_ZeroPadding):
    """Zeros around pictures: `(batch, height, width, channels)` -> `(batch, ..., channels)`."""

    rank = 2


class ZeroPadding3D(_ZeroPadding):
    """Zeros around volumes: `(batch, depth, height, width, channels)` -> `(..., channels)`."""

    rank = 3


class _Cropping(_Border):
    """Positions at both ends of each axis are left out.

    Args:
        cropping: One number; or one for each axis; or a pair (before, after) for each axis. In one
            axis a pair is (before, after).
        data_format: "channels_last" or "channels_first" (in two and three axes).

    Shape:
        `(batch, *sizes, channels)` -> `(batch, *(sizes - before - after), channels)`

    Raises:
        ValueError: `cropping` does not fit, or nothing would be left.

    >>> import torch
    >>> Cropping1D((1, 2))(torch.arange(5.0).reshape(1, 5, 1)).flatten().tolist()
    [1.0, 2.0]
    """

    def _set_cropping(self, cropping, data_format="channels_last"):
        self._set_border("cropping", cropping, data_format)
        cut = tuple(slice(before, -after if after else None) for before, after in self._border)
        whole = slice(None)
        before = (whole,) if self.data_format == "channels_last" else (whole, whole)
        self._cut = (*before, *cut)

    def _check_shape(self, input_shape):
        sizes = spatial(self, input_shape)
        if len(sizes) != self.rank:
            return
        if any(n is not None and sum(c) >= n for n, c in zip(sizes, self._border, strict=True)):
            raise ValueError(
                f"{type(self).__name__} {self.name!r} has cropping={self.cropping}, its input only "
                f"{sizes} (shape {tuple(input_shape)}). Something must be left. Crop less."
            )

    def call(self, x):
        y = x[self._cut]
        if not y.numel():
            self._check_shape(x.shape)
        return y


class Cropping1D(_Cropping):
    """The ends of a signal are cut off: `(batch, time, channels)` -> `(..., channels)`."""

    rank = 1

    def __init__(self, cropping=(1, 1), **kwargs):
        super().__init__(**kwargs)
        self._set_cropping(cropping)


class Cropping2D(_Cropping):
    """The borders of pictures are cut off: `(batch, height, width, c)` -> `(..., c)`."""

    rank = 2

    def __init__(self, cropping=0, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self._set_cropping(cropping, data_format)


class Cropping3D(_Cropping):
    """The borders of volumes are cut off: `(batch, depth, height, width, channels)` -> `(...)`."""

    rank = 3

    def __init__(self, cropping=1, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self._set_cropping(cropping, data_format)
