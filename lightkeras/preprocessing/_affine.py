"""Single pictures rotated, shifted, sheared, zoomed, brightened: the tools of Keras 1."""

from __future__ import annotations

import numpy as np

from lightkeras._registry import unknown
from lightkeras.utils import array_to_img, img_to_array

__all__ = [
    "apply_affine_transform",
    "apply_brightness_shift",
    "apply_channel_shift",
    "random_brightness",
    "random_channel_shift",
    "random_rotation",
    "random_shear",
    "random_shift",
    "random_zoom",
]

FILL_MODES = ("constant", "nearest", "reflect", "wrap")


def apply_affine_transform(
    x,
    theta=0,
    tx=0,
    ty=0,
    shear=0,
    zx=1,
    zy=1,
    row_axis=1,
    col_axis=2,
    channel_axis=0,
    fill_mode="nearest",
    cval=0.0,
    order=1,
):
    """A picture rotated, shifted, sheared and zoomed about its middle.

    Args:
        x: One picture, an array of three axes.
        theta, shear: Angles in degrees.
        tx, ty: Shifts in pixels, along columns and rows where columns are the later axis.
        zx, zy: Zooms, in the same order; above 1 shows more.
        row_axis, col_axis, channel_axis: What the axes are.
        fill_mode: What lies outside: "nearest", "constant", "reflect" or "wrap".
        cval: The constant.
        order: 1 to mix neighbours, 0 to take the nearest.

    Raises:
        ValueError: it is no picture, or a name is not known.

    >>> apply_affine_transform(np.arange(3.0).reshape(1, 1, 3), tx=1).tolist()
    [[[1.0, 2.0, 2.0]]]
    """
    x = np.asarray(x)
    if x.ndim != 3 or {row_axis, col_axis, channel_axis} != {0, 1, 2} or channel_axis == 1:
        raise ValueError(
            f"apply_affine_transform() got shape {x.shape}, row_axis={row_axis}, "
            f"col_axis={col_axis}, channel_axis={channel_axis}. One picture is accepted, its three "
            "axes with the channels first or last. Take x[0] from a batch."
        )
    if fill_mode not in FILL_MODES:
        raise unknown("fill_mode", fill_mode, FILL_MODES)
    if order not in (0, 1):
        raise ValueError(
            f"apply_affine_transform(order={order!r}) is not possible. 0 (nearest) and 1 (linear) "
            "are accepted. Type order=1."
        )
    matrix = _matrix(theta, tx, ty, shear, zx, zy)
    if matrix is None:
        return x
    picture = np.moveaxis(x, channel_axis, 0)  # (channels, ..., ...)
    middle = np.array([(x.shape[axis] - 1) / 2 for axis in (row_axis, col_axis)])
    linear = matrix[:2, :2]
    offset = matrix[:2, 2] + middle - linear @ middle
    if col_axis > row_axis:  # Keras's order of the two, also for pictures that are not square
        linear, offset = linear[::-1, ::-1], offset[::-1]
    at = np.indices(picture.shape[1:]).reshape(2, -1)
    at = (linear @ at + offset[:, None]).reshape(2, *picture.shape[1:])
    new = _sampled(picture, at, fill_mode, cval, order)
    return np.moveaxis(new, 0, channel_axis)


def _matrix(theta, tx, ty, shear, zx, zy):
    """The map from new places to old ones; None where nothing changes."""
    matrix = np.eye(3)
    if theta:
        c, s = np.cos(np.deg2rad(theta)), np.sin(np.deg2rad(theta))
        matrix = matrix @ [[c, -s, 0], [s, c, 0], [0, 0, 1]]
    if tx or ty:
        matrix = matrix @ [[1, 0, tx], [0, 1, ty], [0, 0, 1]]
    if shear:
        c, s = np.cos(np.deg2rad(shear)), np.sin(np.deg2rad(shear))
        matrix = matrix @ [[1, -s, 0], [0, c, 0], [0, 0, 1]]
    if zx != 1 or zy != 1:
        matrix = matrix @ [[zx, 0, 0], [0, zy, 0], [0, 0, 1]]
    return None if (matrix == np.eye(3)).all() else matrix


def _sampled(picture, at, fill_mode, cval, order):
    """Values of a picture (channels, rows, columns) at places (2, rows, columns)."""
    sizes = np.array(picture.shape[1:])[:, None, None]
    outside = ((at < 0) | (at > sizes - 1)).any(0)
    at = _inside(at, sizes, fill_mode)
    if order == 0:
        rows, columns = np.floor(at + 0.5).astype(int)
        new = picture[:, rows, columns]
    else:
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, sizes - 1)
        part = at - low
        top, bottom = (
            picture[:, r, low[1]] * (1 - part[1]) + picture[:, r, high[1]] * part[1]
            for r in (low[0], high[0])
        )
        new = top * (1 - part[0]) + bottom * part[0]
    if fill_mode == "constant":
        new = np.where(outside, cval, new)
    return new.astype(picture.dtype)


def _inside(at, sizes, fill_mode):
    """Places outside of the picture as places in it, as SciPy's ndimage takes them."""
    if fill_mode == "wrap":
        period = np.maximum(sizes - 1, 1)
        wrapped = np.where(at < 0, at % period, np.where(at > sizes - 1, at % period, at))
        return np.clip(np.where(sizes > 1, wrapped, 0), 0, sizes - 1)
    if fill_mode == "reflect":
        at = np.abs((at + 0.5 + sizes) % (2 * sizes) - sizes) - 0.5
    return np.clip(at, 0, sizes - 1)


def apply_channel_shift(x, intensity, channel_axis=0):
    """A picture with a number added to all values, which stay within the range that they had.

    >>> apply_channel_shift(np.array([[[0.0, 5.0]]]), 2).tolist()
    [[[2.0, 5.0]]]
    """
    return np.clip(x + intensity, np.min(x), np.max(x))


def apply_brightness_shift(x, brightness, scale=True):
    """A picture made darker (below 1) or brighter (above 1), by PIL.

    Args:
        x: One picture; values outside 0 to 255 are scaled to that range in between.
        brightness: The factor.
        scale: Whether the values are stretched to fill 0 to 255.

    >>> apply_brightness_shift(np.full((1, 1, 3), 100.0), 0.5, scale=False).ravel().tolist()
    [50.0, 50.0, 50.0]
    """
    from PIL import ImageEnhance

    low, high = np.min(x), np.max(x)
    stretched = low < 0 or high > 255
    image = array_to_img(x, scale=stretched or scale)
    new = img_to_array(ImageEnhance.Brightness(image).enhance(brightness))
    return new / 255 * (high - low) + low if stretched and not scale else new


# ---- at random ----------------------------------------------------------------------------------


def random_rotation(
    x,
    rg,
    row_axis=1,
    col_axis=2,
    channel_axis=0,
    fill_mode="nearest",
    cval=0.0,
    interpolation_order=1,
):
    """A picture rotated by up to `rg` degrees; other arguments as `apply_affine_transform`."""
    axes = (row_axis, col_axis, channel_axis, fill_mode, cval, interpolation_order)
    return apply_affine_transform(x, np.random.uniform(-rg, rg), 0, 0, 0, 1, 1, *axes)


def random_shift(
    x,
    wrg,
    hrg,
    row_axis=1,
    col_axis=2,
    channel_axis=0,
    fill_mode="nearest",
    cval=0.0,
    interpolation_order=1,
):
    """A picture shifted by up to these fractions of its width and height."""
    axes = (row_axis, col_axis, channel_axis, fill_mode, cval, interpolation_order)
    tx = np.random.uniform(-hrg, hrg) * np.shape(x)[row_axis]
    ty = np.random.uniform(-wrg, wrg) * np.shape(x)[col_axis]
    return apply_affine_transform(x, 0, tx, ty, 0, 1, 1, *axes)


def random_shear(
    x,
    intensity,
    row_axis=1,
    col_axis=2,
    channel_axis=0,
    fill_mode="nearest",
    cval=0.0,
    interpolation_order=1,
):
    """A picture sheared by up to `intensity` degrees."""
    axes = (row_axis, col_axis, channel_axis, fill_mode, cval, interpolation_order)
    shear = np.random.uniform(-intensity, intensity)
    return apply_affine_transform(x, 0, 0, 0, shear, 1, 1, *axes)


def random_zoom(
    x,
    zoom_range,
    row_axis=1,
    col_axis=2,
    channel_axis=0,
    fill_mode="nearest",
    cval=0.0,
    interpolation_order=1,
):
    """A picture zoomed by factors drawn from the pair `zoom_range`, rows and columns apart."""
    axes = (row_axis, col_axis, channel_axis, fill_mode, cval, interpolation_order)
    low, high = pair("random_zoom", "zoom_range", zoom_range)
    zx, zy = (1, 1) if low == high == 1 else np.random.uniform(low, high, 2)
    return apply_affine_transform(x, 0, 0, 0, 0, zx, zy, *axes)


def random_channel_shift(x, intensity_range, channel_axis=0):
    """A picture with one number of up to `intensity_range` added to all values."""
    return apply_channel_shift(x, np.random.uniform(-intensity_range, intensity_range))


def random_brightness(x, brightness_range, scale=True):
    """A picture with its brightness changed by a factor drawn from the pair."""
    low, high = pair("random_brightness", "brightness_range", brightness_range)
    return apply_brightness_shift(x, np.random.uniform(low, high), scale)


def pair(owner, argument, value):
    """Two numbers.

    Raises:
        ValueError: it is something else.
    """
    numbers = isinstance(value, (tuple, list, np.ndarray)) and len(value) == 2
    if not numbers or not all(isinstance(v, (int, float, np.number)) for v in value):
        raise ValueError(
            f"{owner}({argument}={value!r}) is not a range. Two numbers are accepted. Type for "
            f"example {argument}=(0.8, 1.2)."
        )
    return value[0], value[1]
