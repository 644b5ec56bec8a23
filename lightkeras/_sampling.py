"""Where an output pixel reads its value from: affine maps and resizing."""

from __future__ import annotations

import torch
import torch.nn.functional as F

__all__ = ["FILL_MODES", "RESIZE_MODES", "cut", "fitted", "fitting_box", "resize", "sample", "warp"]

# How grid_sample continues an image beyond its border; "wrap" has no word there: see warp.
FILL_MODES = {"constant": "zeros", "nearest": "border", "reflect": "reflection", "wrap": "border"}
RESIZE_MODES = {"bilinear": "bilinear", "nearest": "nearest-exact", "bicubic": "bicubic"}


def warp(x, matrix, interpolation="bilinear", fill_mode="constant", fill_value=0.0):
    """Images whose pixel (column, row) is that of `x` at `matrix @ (column, row, 1)`.

    Args:
        matrix: One map for each image, in pixels, from the output to the input.
        (the others as for `sample`)

    Shape:
        `(batch, channels, height, width)`, `(batch, 2, 3)` -> as `x`

    >>> x = torch.arange(4.0).view(1, 1, 1, 4)
    >>> one_to_the_left = torch.tensor([[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]])
    >>> warp(x, one_to_the_left, fill_value=9.0).tolist()
    [[[[1.0, 2.0, 3.0, 9.0]]]]
    """
    return sample(x, _coordinates(matrix, *x.shape[2:]), interpolation, fill_mode, fill_value)


def sample(x, at, interpolation="bilinear", fill_mode="constant", fill_value=0.0):
    """Images whose pixels are those of `x` at the places `at`.

    Args:
        x: Images; integers come back rounded.
        at: Column and row of each pixel, `(batch, 2, height, width)`, which are overwritten.
        interpolation: "bilinear" or "nearest".
        fill_mode: What lies outside: "constant", "nearest", "reflect", "mirror" or "wrap".
        fill_value: The constant.
    """
    given, x = x.dtype, _as_float(x)
    if interpolation == "nearest":
        at = at.round_()  # before it is wrapped or reflected: a tie goes to the even pixel
    if fill_mode == "wrap":
        for axis, size in enumerate((x.shape[3], x.shape[2])):
            at[:, axis].remainder_(size)
        x = F.pad(x, (0, 1, 0, 1), mode="circular")  # the first pixel follows the last
    centers = fill_mode == "mirror"
    for axis, size in enumerate((x.shape[3], x.shape[2])):  # numbers: constants need no copying
        if centers:
            at[:, axis].mul_(2 / max(size - 1, 1)).sub_(1)  # -1 to 1 over the outer centers
        else:
            at[:, axis].mul_(2 / size).add_(1 / size - 1)  # -1 to 1 over the outer edges
    shift = fill_value if fill_mode == "constant" else 0.0
    y = F.grid_sample(
        x - shift if shift else x,
        at.permute(0, 2, 3, 1).to(x.dtype),
        mode=interpolation,
        padding_mode=FILL_MODES.get(fill_mode, "reflection"),
        align_corners=centers,
    )
    return _as_before(y + shift if shift else y, given)


def _coordinates(matrix, height, width):
    """What each output pixel reads, by broadcasting: a matmul may be rounded to 16 bits."""
    columns = torch.arange(width, device=matrix.device)
    rows = torch.arange(height, device=matrix.device)[:, None]
    x, y, shift = matrix[..., None, None].unbind(2)  # (batch, 2, 1, 1) each
    return (rows * y + shift) + columns * x


def resize(x, size, interpolation="bilinear", antialias=False):
    """Images of `size` (height, width); integers come back rounded, within their range."""
    smooth = interpolation != "nearest"
    y = F.interpolate(
        _as_float(x),
        size=size,
        mode=RESIZE_MODES[interpolation],
        align_corners=False if smooth else None,
        antialias=antialias and smooth,
    )
    return _as_before(y, x.dtype)


def fitting_box(size, target):
    """(top, left, height, width) of the largest centered box with the target's proportions."""
    (height, width), (target_height, target_width) = size, target
    box_height = max(min(height, width * target_height // target_width), 1)
    box_width = max(min(width, height * target_width // target_height), 1)
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def fitted(x, target, crop=False, pad=False, value=0.0):
    """Images with the target's proportions: cut at the edges, filled up around them, or as is."""
    if crop:
        return cut(x, *fitting_box(x.shape[2:], target))
    return _padded(x, target, value) if pad else x


def cut(x, top, left, height, width):
    """A part of images `(batch, channels, height, width)`."""
    return x[:, :, top : top + height, left : left + width]


def _padded(x, target, value):
    """The images in the middle of a canvas with the target's proportions."""
    (height, width), (target_height, target_width) = x.shape[2:], target
    top = max(width * target_height // target_width - height, 0) // 2
    left = max(height * target_width // target_height - width, 0) // 2
    return F.pad(x, (left, left, top, top), value=value) if top or left else x


def _as_float(x):
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _as_before(y, dtype):
    if y.dtype is dtype:
        return y
    if not dtype.is_floating_point and dtype is not torch.bool:
        limits = torch.iinfo(dtype)
        y = y.round().clamp(limits.min, limits.max)
    return y.to(dtype)
