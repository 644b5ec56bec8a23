"""Boxes and masks drawn into images."""

from __future__ import annotations

import numpy as np

from lightkeras._registry import unknown
from lightkeras.config import standardize_data_format

__all__ = ["array", "draw_bounding_boxes", "draw_segmentation_masks", "pictures"]


def array(x):
    """Tensors (from any device), lists and arrays as an array."""
    return x.detach().cpu().numpy() if hasattr(x, "detach") else np.asarray(x)


def pictures(name, images, data_format=None):
    """A batch of images as an array with channels last.

    Raises:
        ValueError: `images` is no batch of images.
    """
    images = array(images)
    if images.ndim != 4:
        raise ValueError(
            f"{name}() got images of shape {images.shape}. A batch of images, of four axes, is "
            "accepted. For one image, type images[None]."
        )
    first = standardize_data_format(data_format) == "channels_first"
    return images.transpose(0, 2, 3, 1) if first else images


# ---- boxes ------------------------------------------------------------------------------------

# The corner and the far corner, or the size, of a box: which of its numbers they are.
_FORMATS = {
    "xyxy": lambda a, b, c, d: (a, b, c, d),
    "yxyx": lambda a, b, c, d: (b, a, d, c),
    "xywh": lambda a, b, c, d: (a, b, a + c, b + d),
    "center_xywh": lambda a, b, c, d: (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
    "center_yxhw": lambda a, b, c, d: (b - d / 2, a - c / 2, b + d / 2, a + c / 2),
}


def corners(boxes, source, height, width):
    """Boxes `(..., 4)` of any format as left, top, right, bottom, in pixels.

    Raises:
        ValueError: nobody knows the format.

    >>> corners([[0.5, 0.5, 0.5, 0.5]], "rel_center_xywh", 4, 8).tolist()
    [[2.0, 1.0, 6.0, 3.0]]
    """
    name = str(source).lower()
    if name.removeprefix("rel_") not in _FORMATS:
        known = [*_FORMATS, *(f"rel_{f}" for f in _FORMATS)]
        raise unknown("format of boxes", source, known)
    boxes = array(boxes).astype("float32")
    found = _FORMATS[name.removeprefix("rel_")](*np.moveaxis(boxes, -1, 0))
    found = np.stack(found, -1)
    return found * [width, height, width, height] if name.startswith("rel_") else found


def draw_bounding_boxes(
    images,
    bounding_boxes,
    bounding_box_format,
    class_mapping=None,
    color=(128, 128, 128),
    line_thickness=2,
    text_thickness=1,
    font_scale=1.0,
    data_format=None,
):
    """Images with boxes drawn into them, and their names beside them.

    (Keras draws with OpenCV, which is not needed here. Lines come out the same, letters are those
    of another font.)

    Args:
        images: A batch of images: floats up to 1, or numbers up to 255.
        bounding_boxes: A dict of "boxes" `(batch, n, 4)`, "labels" `(batch, n)`, -1 where there
            is no box, and perhaps "confidences" `(batch, n)`.
        bounding_box_format: "xyxy", "yxyx", "xywh", "center_xywh" or "center_yxhw", or with
            "rel_" before it for shares of the image's size.
        class_mapping: {label: name to write}; nothing is written without.
        color: Red, green and blue.
        line_thickness: Of the lines, in pixels.
        text_thickness: Of the letters; None for that of the lines.
        font_scale: Size of the letters.
        data_format: "channels_last" or "channels_first".

    Shape: `(batch, height, width, channels)` -> the same, uint8, channels last

    Raises:
        TypeError: `bounding_boxes` is no dict.
        ValueError: something is missing in it, or the images are no batch.

    >>> box = {"boxes": [[[1, 1, 3, 3]]], "labels": [[0]]}
    >>> image = draw_bounding_boxes(np.zeros((1, 5, 5, 3)), box, "xyxy", line_thickness=1)
    >>> (image[0, :, :, 0] > 0).astype(int).tolist()[1:3]
    [[0, 1, 1, 1, 0], [0, 1, 0, 1, 0]]
    """
    images = pictures("draw_bounding_boxes", images, data_format)
    boxes, labels, confidences = _parts(bounding_boxes, images, bounding_box_format)
    names = class_mapping or {}
    result = _bytes(images)
    for i, image in enumerate(result):
        for j, (box, label) in enumerate(zip(boxes[i], labels[i], strict=True)):
            if label == -1:
                continue
            image[_frame(image.shape, box, line_thickness)] = color
            if label in names:
                more = "" if confidences is None else f" | {confidences[i][j]:.2f}"
                thickness = text_thickness or line_thickness
                _write(image, f"{names[label]}{more}", box, color, font_scale, thickness)
    return result


def _parts(given, images, source):
    """(boxes as whole pixels, labels, confidences or None)."""
    if not isinstance(given, dict) or not {"boxes", "labels"} <= set(given):
        kind = ValueError if isinstance(given, dict) else TypeError
        shown = f"a dict of {', '.join(given)}" if kind is ValueError else type(given).__name__
        raise kind(
            f"draw_bounding_boxes() got {shown} for bounding_boxes. A dict of boxes, labels and "
            'perhaps confidences is accepted. Type {"boxes": boxes, "labels": labels}.'
        )
    boxes = corners(given["boxes"], source, *images.shape[1:3]).astype(int).tolist()
    confidences = given.get("confidences")
    labels = array(given["labels"]).astype(int).tolist()
    return boxes, labels, None if confidences is None else array(confidences)


def _bytes(images):
    """A copy of images as bytes: floats up to 1 are stretched to 255."""
    if images.dtype.kind == "f" and images.size:
        bright = images.max() > 1
        images = images.clip(0, 255) if bright else images.clip(0, 1) * 255
    return images.astype("uint8", copy=True)


def _frame(shape, box, thickness):
    """Which pixels are on the lines around a box; thick ones are round at the corners."""
    left, top, right, bottom = box
    y, x = np.ogrid[: shape[0], : shape[1]]
    beside = np.maximum(left - x, x - right).clip(0), np.maximum(top - y, y - bottom).clip(0)
    outside = np.hypot(*beside)
    if thickness < 0:  # filled
        return outside == 0
    reach = (thickness + 1) // 2 if thickness > 1 else 0
    inside = np.minimum(np.minimum(x - left, right - x), np.minimum(y - top, bottom - y))
    return (outside <= reach) & (inside <= reach)


def _write(image, text, box, color, scale, thickness):
    """A line of text above a box, or inside it where there is no room above."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError:
        raise ImportError(
            "Names beside boxes are drawn with Pillow, which is not installed. Boxes alone need "
            "nothing. Type pip install pillow."
        ) from None
    font = ImageFont.load_default(28 * scale)
    letters = Image.new("L", (image.shape[1], image.shape[0]))
    draw, stroke = ImageDraw.Draw(letters), max(thickness - 1, 0) // 2
    left, top = box[:2]
    height = draw.textbbox((0, 0), text, font, anchor="lt", stroke_width=stroke)[3]
    room = top - 8 - height > 0
    at = (left, top - 8 - height) if room else (left + 3, top + thickness + 3)
    draw.text(at, text, 255, font, anchor="lt", stroke_width=stroke)
    share = np.asarray(letters)[..., None] / 255
    image[:] = (image * (1 - share) + np.array(color) * share).round().astype("uint8")


# ---- masks ------------------------------------------------------------------------------------


def draw_segmentation_masks(
    images,
    segmentation_masks,
    num_classes=None,
    color_mapping=None,
    alpha=0.8,
    blend=True,
    ignore_index=-1,
    data_format=None,
):
    """Images with the pixels of each class in its color.

    Args:
        images: A batch of images of numbers up to 255.
        segmentation_masks: Class numbers, `(batch, height, width)` or with an axis of 1 for
            channels.
        num_classes: How many classes there are; by default the highest number plus one.
        color_mapping: {class: (red, green, blue)}; pixels of other classes stay. By default each
            class has a color of its own, class 0 black.
        alpha: How much of the color is seen, 0 to 1.
        blend: Whether the image shines through; else `alpha` is not read.
        ignore_index: A class that is not drawn.
        data_format: "channels_last" or "channels_first".

    Shape: `(batch, height, width, 3)` -> the same, uint8, channels last

    Raises:
        TypeError: the masks hold no integers.
        ValueError: the images are no batch, or the masks have another shape.

    >>> draw_segmentation_masks(np.zeros((1, 1, 2, 3)), [[[0, 1]]], alpha=1.0).tolist()
    [[[[0, 0, 0], [1, 127, 31]]]]
    """
    first = standardize_data_format(data_format) == "channels_first"
    images = pictures("draw_segmentation_masks", images, data_format).astype("float32")
    masks = array(segmentation_masks)
    if masks.dtype.kind not in "iu":
        raise TypeError(
            f"draw_segmentation_masks() got masks of {masks.dtype}. Class numbers, integers, are "
            'accepted. Type masks.astype("int32"), after argmax(-1) for probabilities.'
        )
    masks = masks.squeeze(1 if first else -1) if masks.ndim == 4 else masks
    if masks.shape != images.shape[:3]:
        raise ValueError(
            f"draw_segmentation_masks() got masks of shape {np.shape(segmentation_masks)} for "
            f"images of shape {images.shape}, channels last. One class for each pixel is accepted. "
            "Resize the masks, or check data_format."
        )
    count = max(int(masks.max(initial=0)) + 1, 1) if num_classes is None else num_classes
    if color_mapping is None:
        color_mapping = {i: _color(i) for i in range(count)}
    drawn = images.copy()
    for label, color in color_mapping.items():
        if label < count and label != ignore_index:
            drawn[masks == label] = color
    if blend:
        drawn = images * np.float32(1 - alpha) + drawn * np.float32(alpha)
        drawn = np.where((masks == ignore_index)[..., None], images, drawn)
    return drawn.clip(0, 255).astype("uint8")


def _color(label):
    """A color for each class, far from those of its neighbours."""
    return [label * step % 255 for step in (2**25 - 1, 2**15 - 1, 2**21 - 1)]
