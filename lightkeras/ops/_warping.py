"""Images whose pixels come from elsewhere: maps of the plane, and places given one by one."""

from __future__ import annotations

import functools
import itertools
import math
import operator

import torch

from lightkeras import random
from lightkeras._dtypes import is_int
from lightkeras._registry import unknown
from lightkeras._sampling import sample
from lightkeras.ops._op import family, floating
from lightkeras.ops._planes import as_given, blurred, planes

__all__ = [
    "affine_transform",
    "elastic_transform",
    "map_coordinates",
    "perspective_transform",
    "scale_and_translate",
]

op = family("image")

_INTERPOLATIONS = ("bilinear", "nearest")
_FILLS = ("constant", "nearest", "wrap", "mirror", "reflect")


def _check(name, interpolation, fill_mode="constant"):
    if interpolation not in _INTERPOLATIONS:
        raise unknown(f"interpolation of {name}", interpolation, _INTERPOLATIONS)
    if fill_mode not in _FILLS:
        raise unknown(f"fill_mode of {name}", fill_mode, _FILLS)


# ---- maps -------------------------------------------------------------------------------------


@op("images", "transform")
def affine_transform(
    images,
    transform,
    interpolation="bilinear",
    fill_mode="constant",
    fill_value=0,
    data_format=None,
):
    """Images moved, turned, slanted, or seen from the side.

    The output's pixel at column x and row y is the input's at `(a0 x + a1 y + a2) / k` and
    `(b0 x + b1 y + b2) / k` with `k = c0 x + c1 y + 1`.

    Args:
        images: One image or a batch.
        transform: `(a0, a1, a2, b0, b1, b2, c0, c1)`, one for all images or one for each.
        interpolation: "bilinear" or "nearest".
        fill_mode: What lies outside: "constant", "nearest" (the border), "reflect" (mirrored, the
            border twice), "mirror" (the border once) or "wrap" (the other border).
        fill_value: The constant.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: a name is not known, or a shape does not fit.

    >>> image = torch.arange(4.0).view(1, 4, 1)
    >>> one_to_the_left = [1, 0, 1, 0, 1, 0, 0, 0]
    >>> affine_transform(image, one_to_the_left).flatten()
    tensor([1., 2., 3., 0.])
    """
    _check("affine_transform", interpolation, fill_mode)
    if transform.ndim not in (1, 2) or transform.shape[-1] != 8:
        raise ValueError(
            f"affine_transform() got transform of shape {tuple(transform.shape)}. Eight numbers, "
            "or eight for each image, are accepted. Type [1, 0, 0, 0, 1, 0, 0, 0] for no change."
        )
    x, form = planes("affine_transform", images, data_format)
    eight = floating(transform).expand(len(x), 8)
    fill = int(fill_value) if is_int(x.dtype) else fill_value
    return as_given(sample(x, _seen(eight, x), interpolation, fill_mode, fill), form)


def _seen(eight, x):
    """Column and row that each pixel is seen at: `(batch, 2, height, width)`."""
    columns = torch.arange(x.shape[3], device=x.device)
    rows = torch.arange(x.shape[2], device=x.device)[:, None]
    a0, a1, a2, b0, b1, b2, c0, c1 = eight[..., None, None].unbind(1)  # (batch, 1, 1) each
    depth = c0 * columns + c1 * rows + 1
    across, down = a0 * columns + a1 * rows + a2, b0 * columns + b1 * rows + b2
    return torch.stack((across / depth, down / depth), 1)


@op("images", "start_points", "end_points")
def perspective_transform(
    images, start_points, end_points, interpolation="bilinear", fill_value=0, data_format=None
):
    """Images in which four points come to stand at four others.

    Args:
        images: One image or a batch.
        start_points: Where the points are: `(4, 2)` columns and rows, or four for each image.
        end_points: Where they come to stand; likewise.
        interpolation: "bilinear" or "nearest".
        fill_value: What lies outside.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: a name is not known, or a shape does not fit.

    >>> corners = [[0.0, 0.0], [3.0, 0.0], [0.0, 3.0], [3.0, 3.0]]
    >>> image = torch.rand(4, 4, 1)
    >>> bool(torch.allclose(perspective_transform(image, corners, corners), image, atol=1e-5))
    True
    """
    _check("perspective_transform", interpolation)
    shapes = tuple(start_points.shape), tuple(end_points.shape)
    if shapes[0] != shapes[1] or shapes[0][-2:] != (4, 2) or len(shapes[0]) > 3:
        raise ValueError(
            f"perspective_transform() got points of shapes {shapes[0]} and {shapes[1]}. Twice "
            "(4, 2), or (batch, 4, 2), is accepted. List four (column, row) in each."
        )
    x, form = planes("perspective_transform", images, data_format)
    eight = _homography(floating(start_points), floating(end_points)).expand(len(x), 8)
    fill = int(fill_value) if is_int(x.dtype) else fill_value
    return as_given(sample(x, _seen(eight, x), interpolation, "constant", fill), form)


def _homography(start, end):
    """The eight numbers of the maps that lead from the points `end` to `start`."""
    start, end = (p.to(torch.promote_types(p.dtype, torch.float32)) for p in (start, end))
    x, y = end.unbind(-1)  # (..., 4)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    rows = []
    for to, before, after in ((start[..., 0], (), (zero,) * 3), (start[..., 1], (zero,) * 3, ())):
        rows.append(torch.stack((*before, x, y, one, *after, -to * x, -to * y), -1))
    left, right = torch.cat(rows, -2), torch.cat(start.unbind(-1), -1)  # (..., 8, 8), (..., 8)
    return torch.linalg.solve(left, right)


@op
def elastic_transform(
    images,
    alpha=20.0,
    sigma=5.0,
    interpolation="bilinear",
    fill_mode="reflect",
    fill_value=0.0,
    seed=None,
    data_format=None,
):
    """Images with the pixels moved at random, neighbours alike.

    Args:
        images: One image or a batch.
        alpha: How far.
        sigma: How alike, the standard deviation of a blur.
        interpolation: "bilinear" or "nearest".
        fill_mode: What lies outside, as in `affine_transform`.
        fill_value: The constant.
        seed: None, an integer or a `random.SeedGenerator`. (On torch Keras reads none.)
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: a name is not known, or these are no images.

    Source: Simard et al., Best practices for convolutional neural networks, 2003.

    >>> image = torch.rand(8, 8, 1)
    >>> bool((elastic_transform(image, alpha=0.0) == image).all())
    True
    """
    _check("elastic_transform", interpolation, fill_mode)
    x, form = planes("elastic_transform", images, data_format)
    batch, _, height, width = x.shape
    kind = {"device": x.device, "dtype": floating(x).dtype}
    kind["generator"] = random._generator(seed, x.device)
    moves = [torch.randn(batch, 1, height, width, **kind) * sigma for _ in "xy"]
    size = int(6 * sigma) | 1
    across, down = (alpha * blurred(m, (size, size), (sigma, sigma))[:, 0] for m in moves)
    across = across + torch.arange(width, device=x.device)
    down = down + torch.arange(height, device=x.device)[:, None]
    fill = int(fill_value) if is_int(x.dtype) else fill_value
    return as_given(sample(x, torch.stack((across, down), 1), interpolation, fill_mode, fill), form)


# ---- places -----------------------------------------------------------------------------------


@op("inputs", "coordinates")
def map_coordinates(inputs, coordinates, order, fill_mode="constant", fill_value=0):
    """The values of a tensor of any rank at places between its entries.

    Args:
        inputs: Tensor.
        coordinates: Places, `(rank, ...)`.
        order: 0 for the nearest entry, 1 for linear interpolation.
        fill_mode: What lies outside, as in `affine_transform`.
        fill_value: The constant.

    Shape: `(rank, ...)` -> `(...)`

    Raises:
        ValueError: there is not one row of coordinates for each axis, or an argument is unknown.

    >>> map_coordinates([[0.0, 1.0], [2.0, 3.0]], [[0.5, 1.0], [0.5, 0.0]], order=1)
    tensor([1.5000, 2.0000])
    """
    if coordinates.ndim < 2 or len(coordinates) != inputs.ndim or order not in (0, 1):
        raise ValueError(
            f"map_coordinates() got inputs of shape {tuple(inputs.shape)}, coordinates of shape "
            f"{tuple(coordinates.shape)} and order={order}. One row of coordinates for each axis, "
            "and order 0 or 1, are accepted. Type ops.stack((rows, columns))."
        )
    if fill_mode not in _FILLS:
        raise unknown("fill_mode of map_coordinates", fill_mode, _FILLS)
    axes = [_near(c, n, order, fill_mode) for c, n in zip(coordinates, inputs.shape, strict=True)]
    whole = is_int(inputs.dtype) or inputs.dtype is torch.bool
    fill = int(fill_value) if whole and isinstance(fill_value, (int, float)) else fill_value
    parts = []
    for corner in itertools.product(*axes):
        places, inside, weights = zip(*corner, strict=True)
        value = inputs[places]
        if fill_mode == "constant":
            value = torch.where(functools.reduce(operator.and_, inside), value, fill)
        parts.append(functools.reduce(operator.mul, weights) * value)
    total = functools.reduce(operator.add, parts)
    return (total.round() if whole and total.is_floating_point() else total).to(inputs.dtype)


def _near(at, size, order, fill_mode):
    """[(index, whether it is inside, weight)] of the entries beside the places along an axis."""
    at = floating(at) if order else at
    low = at.floor() if order else (at.round() if at.is_floating_point() else at)
    found = [(low, 1 - (at - low)), (low + 1, at - low)] if order else [(low, 1)]
    inside = lambda i: (i >= 0) & (i < size)  # noqa: E731
    return [(_continued(i.long(), size, fill_mode), inside(i), w) for i, w in found]


def _continued(index, size, fill_mode):
    """Indices beyond the borders as those within that stand for them."""
    if fill_mode == "wrap":
        return index % size
    if fill_mode == "mirror":  # a triangular wave; both ends once
        return ((index + size - 1) % max(2 * (size - 1), 1) - (size - 1)).abs()
    if fill_mode == "reflect":  # both ends twice
        index = index % (2 * size)
        return torch.where(index < size, index, 2 * size - 1 - index)
    return index.clamp(0, size - 1)


# ---- resampling, axis by axis -----------------------------------------------------------------


@op("images", "=output_shape", "scale", "translation")
def scale_and_translate(
    images, output_shape, scale, translation, spatial_dims, method, antialias=True
):
    """A tensor of any rank, stretched and shifted along some of its axes.

    Args:
        images: Tensor.
        output_shape: Shape of the result.
        scale: Factor of each of these axes.
        translation: Shift of each of these axes, after the scaling.
        spatial_dims: The axes.
        method: "linear", "cubic" (Keys, with -0.5), "lanczos3" or "lanczos5"; also under the names
            "bilinear", "trilinear", "bicubic" and "tricubic".
        antialias: Whether to smooth what becomes smaller.

    Raises:
        ValueError: the method is not known.

    >>> scale_and_translate([0.0, 1.0], (4,), [2.0], [0.0], (0,), "linear")
    tensor([0.0000, 0.2500, 0.7500, 1.0000])
    """
    if method not in _KERNELS:
        raise unknown("method of scale_and_translate", method, _KERNELS)
    whole = is_int(images.dtype)
    y = images.float() if whole else images
    scale, translation = floating(scale), floating(translation)
    for factor, shift, axis in zip(scale, translation, spatial_dims, strict=True):
        sizes = images.shape[axis], output_shape[axis]
        weights = _weights(*sizes, factor, shift, _KERNELS[method], antialias)
        y = torch.tensordot(y, weights.to(y.dtype), ([axis], [0])).movedim(-1, axis)
    if whole:
        y = y.round().clamp(images.min(), images.max()).to(images.dtype)
    return y


def _weights(size, new_size, scale, shift, kernel, antialias):
    """What each entry gives to each new one: `(size, new_size)`."""
    wide = (1 / scale).clamp(min=1) if antialias else 1.0
    new = torch.arange(new_size, device=scale.device)
    at = (new + 0.5) / scale - shift / scale - 0.5
    weights = kernel((at - torch.arange(size, device=scale.device)[:, None]).abs() / wide)
    total = weights.sum(0)
    weights = torch.where(total.abs() > 1e-4, weights / torch.where(total != 0, total, 1), 0)
    return torch.where((at >= -0.5) & (at <= size - 0.5), weights, 0)


def _linear(x):
    return (1 - x).clamp(min=0)


def _cubic(x):
    near = ((1.5 * x - 2.5) * x) * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))


def _lanczos(radius, x):
    y = radius * (math.pi * x).sin() * (math.pi * x / radius).sin()
    y = torch.where(x > 1e-3, y / torch.where(x != 0, math.pi**2 * x**2, 1), 1)
    return torch.where(x > radius, 0, y)


_KERNELS = {
    **dict.fromkeys(("linear", "bilinear", "trilinear"), _linear),
    **dict.fromkeys(("cubic", "bicubic", "tricubic"), _cubic),
    "lanczos3": functools.partial(_lanczos, 3.0),
    "lanczos5": functools.partial(_lanczos, 5.0),
}
