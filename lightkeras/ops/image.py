"""Ops of images: one `(height, width, channels)`, or a batch; channels first if asked for."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightkeras._older import old_names
from lightkeras._registry import unknown
from lightkeras._sampling import RESIZE_MODES, fitted
from lightkeras._sampling import resize as resized
from lightkeras._spatial import TO_FIRST, padding_mode, same_padding, tuple_of
from lightkeras.config import standardize_data_format
from lightkeras.ops import _warping
from lightkeras.ops._colors import grey, to_hsv, to_rgb
from lightkeras.ops._op import family, floating
from lightkeras.ops._planes import as_given, blurred, gaussian, planes
from lightkeras.ops._warping import *  # noqa: F403

__all__ = [
    "crop_images",
    "extract_patches",
    "extract_patches_3d",
    "gaussian_blur",
    "hsv_to_rgb",
    "pad_images",
    "resize",
    "rgb_to_grayscale",
    "rgb_to_hsv",
    "sobel_edges",
    "ssim",
    *_warping.__all__,
]

op = family("image")


# ---- colors -----------------------------------------------------------------------------------


@op(keras="RGBToGrayscale")
def rgb_to_grayscale(images, data_format=None):
    """How bright the pixels look, as one channel; images of one channel stay.

    Args:
        images: One image or a batch.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: there are neither three channels nor one.

    >>> rgb_to_grayscale([[[1.0, 1.0, 1.0]]]).round(decimals=2)
    tensor([[[1.]]])
    """
    x, form = _colored("rgb_to_grayscale", images, data_format, (1, 3))
    return as_given(grey(x).to(x.dtype), form)


@op(keras="RGBToHSV")
def rgb_to_hsv(images, data_format=None):
    """Hue, saturation and value, 0 to 1, in the place of red, green and blue, 0 to 1.

    Args:
        images: One image or a batch, of floats.
        data_format: "channels_last" or "channels_first".

    Raises:
        TypeError: they are no floats.
        ValueError: there are not three channels.

    >>> rgb_to_hsv([[[0.0, 1.0, 0.0]]]).round(decimals=2)
    tensor([[[0.3300, 1.0000, 1.0000]]])
    """
    x, form = _colored("rgb_to_hsv", images, data_format, (3,), floats=True)
    x = torch.where(x.abs() < torch.finfo(x.dtype).eps, 0, x)
    return as_given(torch.cat(to_hsv(x), 1), form)


@op(keras="HSVToRGB")
def hsv_to_rgb(images, data_format=None):
    """The inverse of `rgb_to_hsv`.

    >>> hsv_to_rgb(rgb_to_hsv([[[0.25, 1.0, 0.5]]]))
    tensor([[[0.2500, 1.0000, 0.5000]]])
    """
    x, form = _colored("hsv_to_rgb", images, data_format, (3,), floats=True)
    return as_given(to_rgb(*x.split(1, 1)), form)


def _colored(name, images, data_format, channels, floats=False):
    if floats and not images.is_floating_point():
        raise TypeError(
            f"{name}() got images of {images.dtype}. Floats from 0 to 1 are accepted. Type "
            'ops.cast(images, "float32") / 255.'
        )
    x, form = planes(name, images, data_format)
    if x.shape[1] not in channels:
        raise ValueError(
            f"{name}() got images of {x.shape[1]} channels (shape {tuple(images.shape)}). Three, "
            f"for red, green and blue,{' or one' if 1 in channels else ''} are accepted. Check "
            "data_format."
        )
    return x, form


# ---- sizes ------------------------------------------------------------------------------------


@op
def resize(
    images,
    size,
    interpolation="bilinear",
    antialias=False,
    crop_to_aspect_ratio=False,
    pad_to_aspect_ratio=False,
    fill_mode="constant",
    fill_value=0.0,
    data_format=None,
):
    """Images of another size; integers stay integers, rounded.

    Args:
        images: One image or a batch.
        size: (height, width).
        interpolation: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5" (the last two
            not in Keras on torch).
        antialias: Smooth before making smaller.
        crop_to_aspect_ratio: Keep proportions: cut the edges off that do not fit.
        pad_to_aspect_ratio: Keep proportions: fill up what is missing.
        fill_mode: "constant".
        fill_value: What is filled up with.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: a name is not known, or both ways of keeping proportions are asked for.

    >>> tuple(resize(torch.zeros(2, 9, 9, 3), (4, 6)).shape)
    (2, 4, 6, 3)
    """
    known = (*RESIZE_MODES, "lanczos3", "lanczos5")
    if interpolation not in known:
        raise unknown("interpolation of resize", interpolation, known)
    if fill_mode != "constant":
        raise unknown("fill_mode of resize", fill_mode, ["constant"])
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError(
            "resize() got both crop_to_aspect_ratio and pad_to_aspect_ratio. Proportions are "
            "kept in one way. Drop one of them."
        )
    size = tuple_of("resize", "size", size, 2)
    x, form = planes("resize", images, data_format)
    x = fitted(x, size, crop_to_aspect_ratio, pad_to_aspect_ratio, fill_value)
    if interpolation in RESIZE_MODES:
        return as_given(resized(x, size, interpolation, antialias), form)
    scale = [new / old for new, old in zip(size, x.shape[2:], strict=True)]
    more = (2, 3), interpolation, antialias
    y = _warping.scale_and_translate(x, (*x.shape[:2], *size), scale, [0.0, 0.0], *more)
    return as_given(y, form)


@op
def pad_images(
    images,
    top_padding=None,
    left_padding=None,
    bottom_padding=None,
    right_padding=None,
    target_height=None,
    target_width=None,
    data_format=None,
):
    """Zeros around images.

    Two of the three numbers for the height, and two for the width, say all.

    Args:
        images: One image or a batch.
        top_padding, bottom_padding: Rows of zeros.
        left_padding, right_padding: Columns of zeros.
        target_height, target_width: The size of the result.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: there are other than two numbers, or one comes out negative.

    >>> tuple(pad_images(torch.zeros(15, 25, 3), 2, 3, target_height=20, target_width=30).shape)
    (20, 30, 3)
    """
    x, form = planes("pad_images", images, data_format)
    height, width = x.shape[2:]
    rows = {"top_padding": top_padding, "bottom_padding": bottom_padding}
    columns = {"left_padding": left_padding, "right_padding": right_padding}
    top, bottom, _ = _parts("pad_images", {**rows, "target_height": target_height}, height)
    left, right, _ = _parts("pad_images", {**columns, "target_width": target_width}, width)
    return as_given(F.pad(x, (left, right, top, bottom)), form)


@op
def crop_images(
    images,
    top_cropping=None,
    left_cropping=None,
    bottom_cropping=None,
    right_cropping=None,
    target_height=None,
    target_width=None,
    data_format=None,
):
    """A part of images; two of the three numbers for the height, and two for the width, say all.

    Args:
        images: One image or a batch.
        top_cropping, bottom_cropping: Rows that are cut off.
        left_cropping, right_cropping: Columns that are cut off.
        target_height, target_width: The size of the result.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: there are other than two numbers, or one comes out negative.

    >>> tuple(crop_images(torch.zeros(15, 25, 3), 2, 3, target_height=10, target_width=20).shape)
    (10, 20, 3)
    """
    x, form = planes("crop_images", images, data_format)
    height, width = x.shape[2:]
    rows = {"top_cropping": top_cropping, "bottom_cropping": bottom_cropping}
    columns = {"left_cropping": left_cropping, "right_cropping": right_cropping}
    top, _, height = _parts("crop_images", {**rows, "target_height": target_height}, height, -1)
    left, _, width = _parts("crop_images", {**columns, "target_width": target_width}, width, -1)
    return as_given(x[:, :, top : top + height, left : left + width], form)


def _parts(name, given, size, sign=1):
    """(before, after, target), one of which is not given, so that `size +- both = target`."""
    before, after, target = given.values()
    if list(given.values()).count(None) == 1:
        if target is None:
            target = size + sign * (before + after)
        else:
            rest = sign * (target - size)
            before, after = (
                rest - after if before is None else before,
                rest - before if after is None else after,
            )
        if min(before, after, target) >= 0:
            return before, after, target
    shown = ", ".join(f"{k}={v}" for k, v in given.items())
    raise ValueError(
        f"{name}() got {shown} for a size of {size}. Two of the three are given, and none of them "
        "is or becomes negative. Change or leave out one of them."
    )


# ---- patches ----------------------------------------------------------------------------------


@op
def extract_patches(images, size, strides=None, dilation_rate=1, padding="valid", data_format=None):
    """Parts of images (or of volumes, for three sizes), each laid out along the channels.

    Args:
        images: One image or a batch.
        size: Size of a patch: a number for both axes, or two; three for volumes.
        strides: Steps from one patch to the next; `size` by default.
        dilation_rate: Steps within a patch.
        padding: "valid" (none) or "same" (one patch for each stride).
        data_format: "channels_last" or "channels_first".

    Shape:
        `(batch, height, width, channels)` ->
        `(batch, rows, columns, patch_height * patch_width * channels)`

    Raises:
        TypeError: `size` is no size.
        ValueError: an argument does not fit.

    >>> tuple(extract_patches(torch.zeros(2, 20, 20, 3), 5).shape)
    (2, 4, 4, 75)
    """
    rank = len(size) if isinstance(size, (tuple, list)) else 2
    if rank not in (2, 3):
        raise TypeError(
            f"extract_patches() got size={size!r}. A number, two, or three for volumes, are "
            "accepted. Type size=(5, 5)."
        )
    size = tuple_of("extract_patches", "size", size, rank)
    strides = size if strides is None else tuple_of("extract_patches", "strides", strides, rank)
    dilation = tuple_of("extract_patches", "dilation_rate", dilation_rate, rank)
    if images.ndim not in (rank + 1, rank + 2):
        raise ValueError(
            f"extract_patches() got images of shape {tuple(images.shape)} and size={size}. The "
            f"{rank} sizes, channels, and perhaps a batch are accepted. Reshape it."
        )
    one, last = images.ndim == rank + 1, standardize_data_format(data_format) == "channels_last"
    x = images[None] if one else images
    x = x.permute(TO_FIRST[rank]) if last else x
    windows = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    if padding_mode("extract_patches", padding) == "same":
        pads = same_padding(x.shape[2:], windows, strides)
        x = F.pad(x, [n for pair in reversed(pads) for n in pair])
    for axis, (window, stride, step) in enumerate(zip(windows, strides, dilation, strict=True)):
        x = x.unfold(axis + 2, window, stride)[..., ::step]
    # (batch, channels, *places, *size) -> (batch, *places, *size, channels)
    x = x.movedim(1, -1).flatten(rank + 1)
    x = x if last else x.movedim(-1, 1)
    return x[0] if one else x


def extract_patches_3d(
    volumes, size, strides=None, dilation_rate=1, padding="valid", data_format=None
):
    """Parts of volumes, each laid out along the channels; arguments as for `extract_patches`.

    >>> tuple(extract_patches_3d(torch.zeros(2, 10, 10, 10, 3), 3).shape)
    (2, 3, 3, 3, 81)
    """
    size = size if isinstance(size, (tuple, list)) else (size,) * 3
    return extract_patches(volumes, size, strides, dilation_rate, padding, data_format)


# ---- filters ----------------------------------------------------------------------------------


@op
def gaussian_blur(images, kernel_size=(3, 3), sigma=(1.0, 1.0), data_format=None):
    """Images smoothed with a bell, zeros around them.

    Args:
        images: One image or a batch, of floats.
        kernel_size: Height and width of the bell.
        sigma: Its standard deviations, along the width and along the height: so do Keras's
            numbers come about.
        data_format: "channels_last" or "channels_first".

    >>> gaussian_blur(torch.ones(3, 3, 1))[1, 1].round(decimals=2)
    tensor([1.])
    """
    x, form = planes("gaussian_blur", images, data_format)
    sizes = tuple_of("gaussian_blur", "kernel_size", kernel_size, 2)
    across, down = sigma
    return as_given(blurred(x, sizes, (down, across)), form)


@op
def sobel_edges(images, data_format=None):
    """How steeply pixels change downwards and to the right, zeros around the images.

    Args:
        images: A batch of images.
        data_format: "channels_last" or "channels_first".

    Shape: `(batch, height, width, channels)` -> `(batch, height, width, channels, 2)`

    Raises:
        ValueError: there is no batch.

    >>> tuple(sobel_edges(torch.zeros(1, 8, 8, 1)).shape)
    (1, 8, 8, 1, 2)
    """
    if images.ndim != 4:
        raise ValueError(
            f"sobel_edges() got images of shape {tuple(images.shape)}. A batch of images, of four "
            "axes, is accepted. For one image, type x[None]."
        )
    x, (last, _) = planes("sobel_edges", images, data_format)
    right = torch.tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=x.dtype, device=x.device)
    both = torch.stack((right.T, right))[:, None]  # (2, 1, 3, 3)
    y = F.conv2d(x.flatten(0, 1)[:, None], both, padding=1)  # (batch * channels, 2, h, w)
    y = y.unflatten(0, x.shape[:2]).movedim(2, -1)  # (batch, channels, h, w, 2)
    return y.movedim(1, 3) if last else y


@op("image1", "image2", keras="SSIM")
def ssim(
    image1,
    image2,
    max_val=1.0,
    filter_size=11,
    filter_sigma=1.5,
    k1=0.01,
    k2=0.03,
    data_format=None,
):
    """Structural similarity of two images, 1 for equal ones: one number for each pair.

    Args:
        image1, image2: Images, or batches of them, of one shape.
        max_val: Largest value that a pixel may have.
        filter_size: Size of the windows that are compared.
        filter_sigma: Standard deviation of the bell that weights their pixels.
        k1, k2: Shares of `max_val` that keep small numbers from deciding.
        data_format: "channels_last" or "channels_first".

    Shape: twice `(batch, height, width, channels)` -> `(batch,)`

    Raises:
        ValueError: the shapes differ, or the images are smaller than a window.

    Source: Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity,
    2004.

    >>> x = torch.rand(2, 16, 16, 3)
    >>> ssim(x, x)
    tensor([1., 1.])
    """
    a, (_, ndim) = planes("ssim", floating(image1), data_format)
    b, _ = planes("ssim", floating(image2), data_format)
    if a.shape != b.shape or min(a.shape[2:]) < filter_size:
        raise ValueError(
            f"ssim() got images of shape {tuple(image1.shape)} and {tuple(image2.shape)}. Two of "
            f"one shape, at least {filter_size} high and wide, are accepted. Resize them, or "
            "choose a smaller filter_size."
        )
    bell = gaussian(filter_size, filter_sigma, a)
    products = torch.stack((a, b, a * a, b * b, a * b)).flatten(0, 2)[:, None]
    means = F.conv2d(F.conv2d(products, bell.view(1, 1, -1, 1)), bell.view(1, 1, 1, -1))
    mean_a, mean_b, aa, bb, ab = means[:, 0].unflatten(0, (5, *a.shape[:2]))
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    alike = (2 * mean_a * mean_b + c1) * (2 * (ab - mean_a * mean_b) + c2)
    squares = mean_a**2 + mean_b**2
    values = (alike / ((squares + c1) * (aa + bb - squares + c2))).mean((1, 2, 3))
    return (values if ndim == 4 else values[0]).to(image1.dtype)


__getattr__ = old_names(__name__)
