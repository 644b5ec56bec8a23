"""Images of either layout, alone or in a batch, as `(batch, channels, height, width)`."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightkeras.config import standardize_data_format

__all__ = ["as_given", "blurred", "gaussian", "planes"]


def planes(name, images, data_format):
    """(images as `(batch, channels, height, width)`, what `as_given` takes them back by).

    Raises:
        ValueError: `images` is no image and no batch of images.
    """
    if images.ndim not in (3, 4):
        raise ValueError(
            f"{name}() got images of shape {tuple(images.shape)}. One image, (height, width, "
            "channels), or a batch of them is accepted. "
            + ("Add the channels: x[..., None]." if images.ndim == 2 else "Reshape it.")
        )
    last = standardize_data_format(data_format) == "channels_last"
    x = images if images.ndim == 4 else images[None]
    return (x.permute(0, 3, 1, 2) if last else x), (last, images.ndim)


def as_given(y, form):
    """`(batch, channels, height, width)` in the layout of what `planes` got."""
    last, ndim = form
    y = y.permute(0, 2, 3, 1) if last else y
    return y if ndim == 4 else y[0]


def gaussian(size, sigma, like):
    """A bell of `size` numbers that sum to 1."""
    x = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    x = (-0.5 * (x / sigma) ** 2).exp()
    return x / x.sum()


def blurred(x, sizes, sigmas):
    """Images `(batch, channels, height, width)` smoothed over (rows, columns), with zeros around.

    First along the one axis, then along the other: the same as a bell of both, for less.
    """
    channels = x.shape[1]
    for axis, size, sigma in zip((2, 3), sizes, sigmas, strict=True):
        shape = [1, 1, 1, 1]
        shape[axis] = size
        bell = gaussian(size, sigma, x).view(shape).expand(channels, *shape[1:])
        pads = (0, 0, size // 2, (size - 1) // 2) if axis == 2 else (size // 2, (size - 1) // 2)
        x = F.conv2d(F.pad(x, pads), bell, groups=channels)
    return x
