"""Pictures: files, PIL images and arrays."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np

from lightkeras import config
from lightkeras._registry import unknown

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img"]

_MODES = {"grayscale": ("L", "I;16", "I"), "rgb": ("RGB",), "rgba": ("RGBA",)}
_RESAMPLING = ("bicubic", "bilinear", "box", "hamming", "lanczos", "nearest")


def load_img(
    path,
    color_mode="rgb",
    target_size=None,
    interpolation="nearest",
    keep_aspect_ratio=False,
):
    """Picture in a file, as a PIL image.

    Args:
        path: Path of the file, or an `io.BytesIO`.
        color_mode: "rgb", "rgba" or "grayscale".
        target_size: (height, width) to resize to; None keeps the size.
        interpolation: "nearest", "bilinear", "bicubic", "lanczos", "box" or "hamming".
        keep_aspect_ratio: Cut the middle out first, in the proportions of `target_size`.

    Raises:
        TypeError: `path` is neither a path nor a BytesIO.
        ValueError: a mode or an interpolation that does not exist.
    """
    from PIL import Image

    if color_mode not in _MODES:
        raise unknown("color_mode", color_mode, _MODES)
    if not isinstance(path, io.BytesIO):
        if not isinstance(path, (str, bytes, os.PathLike)):
            raise TypeError(
                f"load_img() got a {type(path).__name__}. A path or an io.BytesIO is accepted. "
                "An array becomes a picture by array_to_img(x)."
            )
        with open(path, "rb") as file:
            path = io.BytesIO(file.read())
    img: Image.Image = Image.open(path)
    if img.mode not in _MODES[color_mode]:
        img = img.convert(_MODES[color_mode][0])
    if target_size is None or img.size == (target_size[1], target_size[0]):
        return img
    if interpolation not in _RESAMPLING:
        raise unknown("interpolation", interpolation, _RESAMPLING)
    resample = Image.Resampling[interpolation.upper()]
    box = _middle(img.size, target_size) if keep_aspect_ratio else None
    return img.resize((target_size[1], target_size[0]), resample, box=box)


def _middle(size, target_size):
    """(left, top, right, bottom) of the largest centered box with the target's proportions."""
    (width, height), (to_height, to_width) = size, target_size
    box_height = min(height, width * to_height // to_width)
    box_width = min(width, height * to_width // to_height)
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


def img_to_array(img, data_format=None, dtype=None):
    """PIL image as an array.

    Args:
        img: The image.
        data_format: "channels_last" or "channels_first"; the configured one by default.
        dtype: Type of the result; `floatx()` by default.

    Shape:
        image of (width, height) -> `(height, width, channels)`, or channels first.

    >>> img_to_array(array_to_img(np.zeros((2, 3, 1)))).shape
    (2, 3, 1)
    """
    first = config.standardize_data_format(data_format) == "channels_first"
    x = np.asarray(img, dtype=dtype or config.floatx())
    if x.ndim == 2:
        x = x[..., None]  # (height, width, 1)
    if x.ndim != 3:
        raise ValueError(
            f"img_to_array() got something of shape {x.shape}. A picture has 2 or 3 axes. Pass "
            "one image at a time."
        )
    return x.transpose(2, 0, 1) if first else x


def array_to_img(x, data_format=None, scale=True, dtype=None):
    """Array or tensor as a PIL image.

    Args:
        x: One picture with 1, 3 or 4 channels.
        data_format: "channels_last" or "channels_first"; the configured one by default.
        scale: Stretch the values so that they fill 0..255.
        dtype: Type to compute in; `floatx()` by default.

    Shape:
        `(height, width, channels)`, or channels first -> image of (width, height).

    Raises:
        ValueError: the shape is not that of a picture.
    """
    from PIL import Image

    first = config.standardize_data_format(data_format) == "channels_first"
    x = x.detach().cpu() if hasattr(x, "detach") else x
    x = np.asarray(x, dtype=dtype or config.floatx())
    if x.ndim == 3 and first:
        x = x.transpose(1, 2, 0)  # (height, width, channels)
    if x.ndim != 3 or x.shape[2] not in (1, 3, 4):
        raise ValueError(
            f"array_to_img() got shape {x.shape}, channels last. One picture of 1, 3 or 4 "
            "channels is accepted. Take x[0] from a batch, or pass data_format="
            "'channels_first'."
        )
    if scale:
        x = x - x.min()
        x = x / (x.max() or 1) * 255
    if x.shape[2] == 1:
        # More than 8 bits of grey are stored as 32-bit integers.
        return Image.fromarray(x[:, :, 0].astype("int32" if x.max() > 255 else "uint8"))
    return Image.fromarray(x.astype("uint8"))


def save_img(path, x, data_format=None, file_format=None, scale=True, **kwargs):
    """Write an array as a picture.

    Args:
        path: Path, or an open file together with `file_format`.
        x: One picture, as in `array_to_img`.
        data_format: "channels_last" or "channels_first"; the configured one by default.
        file_format: "png", "jpeg"...; by the ending of the path by default.
        scale: Stretch the values so that they fill 0..255.
        **kwargs: For `PIL.Image.save`.
    """
    if file_format is None and isinstance(path, (str, Path)):
        file_format = Path(path).suffix[1:]
    if file_format and file_format.lower() == "jpg":
        file_format = "jpeg"
    img = array_to_img(x, data_format=data_format, scale=scale)
    if img.mode == "RGBA" and file_format and file_format.lower() == "jpeg":
        warnings.warn("A JPEG file has no transparency: the fourth channel is dropped.")
        img = img.convert("RGB")
    img.save(path, format=file_format or None, **kwargs)
