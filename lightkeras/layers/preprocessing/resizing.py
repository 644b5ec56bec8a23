"""Layers that bring images to a size, in training and in inference alike."""

from __future__ import annotations

from lightkeras._registry import unknown
from lightkeras._sampling import RESIZE_MODES, cut, fitted, resize
from lightkeras.layers.core import positive_int
from lightkeras.layers.preprocessing._image import ImageLayer, sized

__all__ = ["CenterCrop", "Resizing"]


class _Sized(ImageLayer):
    """Base of the layers whose images all have one size."""

    _moves_pixels = True

    def __init__(self, height, width, **kwargs):
        super().__init__(**kwargs)
        self.height = positive_int(type(self).__name__, "height", height)
        self.width = positive_int(type(self).__name__, "width", width)

    def _augment(self, x, drawn, masks=False):
        return self._rest(x, masks)

    def compute_output_shape(self, input_shape):
        return sized(self, super().compute_output_shape(input_shape))


class Resizing(_Sized):
    """Images of another size; integers stay integers, rounded.

    Args:
        height, width: The new size.
        interpolation: "bilinear", "nearest" or "bicubic".
        crop_to_aspect_ratio: Keep proportions: cut the edges off that do not fit.
        pad_to_aspect_ratio: Keep proportions: fill up what is missing.
        fill_mode: "constant".
        fill_value: What is filled up with.
        antialias: Smooth before making smaller.
        data_format: "channels_last" or "channels_first".

    Shape:
        `(batch, ..., ..., channels)` -> `(batch, height, width, channels)`

    Raises:
        ValueError: a size is no whole number above zero, a name is not known, or both ways of
            keeping proportions are asked for.

    >>> import torch
    >>> tuple(Resizing(4, 6)(torch.zeros(2, 9, 9, 3)).shape)
    (2, 4, 6, 3)
    """

    _keeps_ints = True

    def __init__(
        self,
        height,
        width,
        interpolation="bilinear",
        crop_to_aspect_ratio=False,
        pad_to_aspect_ratio=False,
        fill_mode="constant",
        fill_value=0.0,
        antialias=False,
        data_format=None,
        **kwargs,
    ):
        super().__init__(height, width, data_format=data_format, **kwargs)
        if interpolation not in RESIZE_MODES:
            raise unknown("interpolation", interpolation, RESIZE_MODES)
        if fill_mode != "constant":
            raise unknown("fill_mode", fill_mode, ["constant"])
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError(
                "Resizing() got both crop_to_aspect_ratio and pad_to_aspect_ratio. Proportions are "
                "kept in one way. Drop one of them."
            )
        self.interpolation = interpolation
        self.crop_to_aspect_ratio = crop_to_aspect_ratio
        self.pad_to_aspect_ratio = pad_to_aspect_ratio
        self.fill_mode = fill_mode
        self.fill_value = fill_value
        self.antialias = bool(antialias)

    def _rest(self, x, masks=False):
        size = (self.height, self.width)
        x = fitted(x, size, self.crop_to_aspect_ratio, self.pad_to_aspect_ratio, self.fill_value)
        return resize(x, size, "nearest" if masks else self.interpolation, self.antialias)


class CenterCrop(_Sized):
    """The middle of the images; of smaller ones the largest part that fits, made larger.

    Args:
        height, width: The new size.
        data_format: "channels_last" or "channels_first".

    Shape:
        `(batch, ..., ..., channels)` -> `(batch, height, width, channels)`

    Raises:
        ValueError: a size is no whole number above zero.

    >>> import torch
    >>> tuple(CenterCrop(4, 6)(torch.zeros(2, 9, 9, 3)).shape)
    (2, 4, 6, 3)
    """

    def __init__(self, height, width, data_format=None, **kwargs):
        super().__init__(height, width, data_format=data_format, **kwargs)

    def _rest(self, x, masks=False):
        down, right = x.shape[2] - self.height, x.shape[3] - self.width
        if down >= 0 and right >= 0:
            return cut(x, down // 2, right // 2, self.height, self.width)
        return fit(x, self.height, self.width, masks)


def fit(x, height, width, masks=False):
    """The largest centered part of these proportions, resized to the size."""
    x = fitted(x, (height, width), crop=True)
    return resize(x, (height, width), "nearest" if masks else "bilinear")
