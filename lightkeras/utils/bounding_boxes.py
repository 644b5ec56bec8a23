"""Boxes around things in images: their formats, how they move, and how much two have in common."""

from __future__ import annotations

import math

import torch

from lightkeras import config
from lightkeras._dtypes import as_tensor, torch_dtype
from lightkeras._registry import unknown

__all__ = [
    "affine_transform",
    "clip_to_image_size",
    "compute_ciou",
    "compute_iou",
    "convert_format",
    "crop",
    "decode_deltas_to_boxes",
    "encode_box_to_deltas",
    "pad",
]

# Four columns of each format as left, top, right, bottom.
_FROM = {
    "xyxy": lambda a, b, c, d: (a, b, c, d),
    "yxyx": lambda a, b, c, d: (b, a, d, c),
    "xywh": lambda a, b, c, d: (a, b, a + c, b + d),
    "center_xywh": lambda a, b, c, d: (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
    "center_yxhw": lambda a, b, c, d: (b - d / 2, a - c / 2, b + d / 2, a + c / 2),
}
# And back.
_TO = {
    "xyxy": lambda x, y, r, b: (x, y, r, b),
    "yxyx": lambda x, y, r, b: (y, x, b, r),
    "xywh": lambda x, y, r, b: (x, y, r - x, b - y),
    "center_xywh": lambda x, y, r, b: (x + (r - x) / 2, y + (b - y) / 2, r - x, b - y),
    "center_yxhw": lambda x, y, r, b: (y + (b - y) / 2, x + (r - x) / 2, b - y, r - x),
}
_RELATIVE = ("rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh")


def convert_format(boxes, source, target, height=None, width=None, dtype="float32"):
    """Boxes in another format.

    Args:
        boxes: Boxes, `(..., 4)`; or a dict of them as "boxes" and of anything else.
        source, target: "xyxy" (left, top, right, bottom), "yxyx", "xywh", "center_xywh",
            "center_yxhw"; "rel_xyxy", "rel_yxyx", "rel_xywh" or "rel_center_xywh" for fractions
            of the image's size.
        height, width: Size of the image; needed for fractions.
        dtype: Of the result.

    Returns:
        A tensor, or a dict with it.

    Raises:
        ValueError: a format is not known, boxes are no four numbers, or a size is missing.

    >>> convert_format([[10.0, 20, 30, 40]], "xyxy", "xywh").tolist()
    [[10.0, 20.0, 20.0, 20.0]]
    """
    if isinstance(boxes, dict):
        new = convert_format(boxes["boxes"], source, target, height, width, dtype)
        return {**boxes, "boxes": new}
    boxes = as_tensor(boxes).to(torch_dtype(dtype))
    if not boxes.ndim or boxes.shape[-1] != 4:
        raise ValueError(
            f"convert_format() got boxes of shape {tuple(boxes.shape)}. Each is four numbers, so "
            "the last axis has size 4. Reshape them."
        )
    source, target = str(source).lower(), str(target).lower()
    for name in (source, target):
        if name not in _FROM and name not in _RELATIVE:
            raise unknown("bounding_box_format", name, [*_FROM, *_RELATIVE])
    relative = [name.startswith("rel_") for name in (source, target)]
    if any(relative) and (height is None or width is None):
        raise ValueError(
            f"convert_format() goes from {source!r} to {target!r}, and got height={height!r}, "
            f"width={width!r}. Fractions are of the image's size. Type height=224, width=224."
        )
    if source == target:
        return boxes
    sides = _FROM[source.removeprefix("rel_")](*boxes.unbind(-1))
    if relative[0] != relative[1]:
        sizes = (width, height, width, height)
        pairs = zip(sides, sizes, strict=True)
        sides = tuple(side * size if relative[0] else side / size for side, size in pairs)
    return torch.stack(_TO[target.removeprefix("rel_")](*sides), -1)


def _only_xyxy(name, given, known=("xyxy",)):
    if given not in known:
        raise ValueError(
            f"{name}(bounding_box_format={given!r}) is not possible. {' and '.join(known)} are "
            "accepted. Use convert_format() before."
        )


def clip_to_image_size(bounding_boxes, height=None, width=None, bounding_box_format="xyxy"):
    """Boxes cut at the borders of the image; labels of those that lie outside become -1.

    Args:
        bounding_boxes: A dict of "boxes" and maybe "labels".
        height, width: Size of the image; not needed for "rel_xyxy".
        bounding_box_format: "xyxy" or "rel_xyxy".

    Raises:
        ValueError: another format, or the size is missing.

    >>> clip_to_image_size({"boxes": [[-5.0, 0, 9, 3]]}, height=4, width=8)["boxes"].tolist()
    [[0.0, 0.0, 8.0, 3.0]]
    """
    _only_xyxy("clip_to_image_size", bounding_box_format, ("xyxy", "rel_xyxy"))
    if bounding_box_format == "rel_xyxy":
        height = width = 1.0
    if height is None or width is None:
        raise ValueError(
            f"clip_to_image_size() got height={height!r}, width={width!r}. The size of the image "
            "is needed. Type height=224, width=224."
        )
    boxes = _clipped(as_tensor(bounding_boxes["boxes"]), height, width)
    new = {**bounding_boxes, "boxes": boxes}
    if bounding_boxes.get("labels") is not None:
        labels = as_tensor(bounding_boxes["labels"])
        new["labels"] = torch.where(_area(boxes) > 0, labels, -1)
    return new


def _clipped(boxes, height, width):
    return torch.stack(
        [s.clamp(0, n) for s, n in zip(boxes.unbind(-1), (width, height) * 2, strict=True)], -1
    )


def _area(boxes):
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x2 - x1) * (y2 - y1)


def crop(boxes, top, left, height, width, bounding_box_format="xyxy"):
    """Boxes as they are in a part of the image, cut at its borders.

    Args:
        boxes: Boxes, `(..., 4)`.
        top, left, height, width: The part.
        bounding_box_format: "xyxy".

    >>> crop([[2.0, 2, 9, 9]], top=1, left=1, height=4, width=5).tolist()
    [[1.0, 1.0, 5.0, 4.0]]
    """
    return _clipped(pad(boxes, -top, -left, bounding_box_format=bounding_box_format), height, width)


def pad(boxes, top, left, height=None, width=None, bounding_box_format="xyxy"):
    """Boxes as they are where rows above and columns to the left were added to the image.

    Args:
        boxes: Boxes, `(..., 4)`.
        top, left: Rows and columns.
        height, width: Kept for Keras's sake.
        bounding_box_format: "xyxy".

    >>> pad([[2.0, 2, 9, 9]], top=1, left=5).tolist()
    [[7.0, 3.0, 14.0, 10.0]]
    """
    _only_xyxy("pad", bounding_box_format)
    boxes = as_tensor(boxes)
    return boxes + torch.tensor([left, top, left, top], dtype=boxes.dtype, device=boxes.device)


def affine_transform(
    boxes,
    angle,
    translate_x,
    translate_y,
    scale,
    shear_x,
    shear_y,
    height,
    width,
    center_x=None,
    center_y=None,
    bounding_box_format="xyxy",
):
    """Upright boxes around boxes that were turned, moved, scaled and slanted.

    Args:
        boxes: `(batch, n, 4)`.
        angle, shear_x, shear_y: Degrees, one number for each image.
        translate_x, translate_y: Fractions of the size, likewise.
        scale: Factor, likewise.
        height, width: Size of the images.
        center_x, center_y: What stays in place, as fractions; the middle by default.
        bounding_box_format: "xyxy".

    >>> still = [torch.zeros(1)] * 3 + [torch.ones(1)] + [torch.zeros(1)] * 2
    >>> affine_transform(torch.tensor([[[1.0, 2, 3, 4]]]), *still, 8, 8).tolist()
    [[[1.0, 2.0, 3.0, 4.0]]]
    """
    _only_xyxy("affine_transform", bounding_box_format)
    numbers = (angle, translate_x, translate_y, scale, shear_x, shear_y)
    angle, translate_x, translate_y, scale, shear_x, shear_y = (
        as_tensor(n).float()[:, None, None]
        for n in numbers  # (batch, 1, 1)
    )
    cx = (0.5 if center_x is None else center_x) * (width - 1)
    cy = (0.5 if center_y is None else center_y) * (height - 1)
    turn, slant_x, slant_y = (torch.deg2rad(-n) for n in (angle, shear_x, shear_y))
    a = torch.cos(turn - slant_y) / torch.cos(slant_y)
    b = a * torch.tan(slant_x) + torch.sin(turn)
    c = -torch.sin(turn - slant_y) / torch.cos(slant_y)
    d = torch.cos(turn) - c * torch.tan(slant_x)
    x1, y1, x2, y2 = as_tensor(boxes).float().unbind(-1)  # (batch, n)
    x = torch.stack((x1, x2, x2, x1), -1) - cx + translate_x * (width - 1)
    y = torch.stack((y1, y1, y2, y2), -1) - cy + translate_y * (height - 1)
    new_x = scale * (d * x - b * y) + cx
    new_y = scale * (a * y - c * x) + cy
    low = [v.amin(-1) for v in (new_x, new_y)]
    return torch.stack((*low, *(v.amax(-1) for v in (new_x, new_y))), -1)


# ---- anchors ------------------------------------------------------------------------------------

_CENTERED = ("center_xywh", "center_yxhw")


def _size(image_shape):
    return (None, None) if image_shape is None else tuple(image_shape[:2])


def _checked(name, encoding, variance, like):
    if encoding not in _CENTERED:
        raise unknown(f"encoding of {name}", encoding, _CENTERED)
    if variance is None:
        return None
    variance = torch.as_tensor(variance, dtype=torch.float32, device=like.device)
    if variance.shape[-1:] != (4,):
        raise ValueError(
            f"{name}() got variance of shape {tuple(variance.shape)}. Four numbers are accepted. "
            "Type variance=[0.1, 0.1, 0.2, 0.2]."
        )
    return variance


def encode_box_to_deltas(
    anchors,
    boxes,
    anchor_format,
    box_format,
    encoding_format="center_yxhw",
    variance=None,
    image_shape=None,
):
    """How boxes differ from anchors: shifts in sizes of the anchor, and logarithms of ratios.

    Args:
        anchors: `(n, 4)`.
        boxes: `(n, 4)` or `(batch, n, 4)`.
        anchor_format, box_format: As in `convert_format`.
        encoding_format: "center_yxhw" or "center_xywh".
        variance: Four numbers that the differences are divided by.
        image_shape: (height, width, channels); needed for fractions.

    >>> encode_box_to_deltas([[0.0, 0, 4, 4]], [[2.0, 0, 6, 4]], "xyxy", "xyxy").tolist()
    [[0.0, 0.5, 0.0, 0.0]]
    """
    height, width = _size(image_shape)
    anchors = convert_format(anchors, anchor_format, encoding_format, height, width)
    variance = _checked("encode_box_to_deltas", encoding_format, variance, anchors)
    boxes = convert_format(boxes, box_format, encoding_format, height, width)
    sizes, own = (b[..., 2:].clamp(min=config.epsilon()) for b in (anchors, boxes))
    shift = (boxes[..., :2] - anchors[..., :2]) / sizes
    deltas = torch.cat((shift, (own / sizes).log()), -1)
    return deltas if variance is None else deltas / variance


def decode_deltas_to_boxes(
    anchors,
    boxes_delta,
    anchor_format,
    box_format,
    encoded_format="center_yxhw",
    variance=None,
    image_shape=None,
):
    """The boxes that differ so from anchors; arguments as `encode_box_to_deltas`.

    Args:
        anchors, boxes_delta: Tensors, or dicts of them with the same keys.

    >>> decode_deltas_to_boxes([[0.0, 0, 4, 4]], [[0.0, 0.5, 0, 0]], "xyxy", "xyxy").tolist()
    [[2.0, 0.0, 6.0, 4.0]]
    """
    if isinstance(anchors, dict) and isinstance(boxes_delta, dict):
        rest = (anchor_format, box_format, encoded_format, variance, image_shape)
        return {k: decode_deltas_to_boxes(a, boxes_delta[k], *rest) for k, a in anchors.items()}
    height, width = _size(image_shape)
    anchors = convert_format(anchors, anchor_format, encoded_format, height, width)
    variance = _checked("decode_deltas_to_boxes", encoded_format, variance, anchors)
    deltas = as_tensor(boxes_delta)
    deltas = deltas if variance is None else deltas * variance
    middle = deltas[..., :2] * anchors[..., 2:] + anchors[..., :2]
    boxes = torch.cat((middle, deltas[..., 2:].exp() * anchors[..., 2:]), -1)
    return convert_format(boxes, encoded_format, box_format, height, width)


# ---- what two boxes have in common --------------------------------------------------------------


def compute_iou(
    boxes1, boxes2, bounding_box_format, use_masking=False, mask_val=-1, image_shape=None
):
    """Area that each two boxes share, divided by the area that they cover together.

    Args:
        boxes1, boxes2: `(m, 4)` or `(batch, m, 4)`; `(n, 4)` or `(batch, n, 4)`.
        bounding_box_format: As in `convert_format`.
        use_masking: Whether pairs with a box of negative numbers become `mask_val`.
        image_shape: (height, width, channels); needed for fractions.

    Shape:
        -> `(m, n)` or `(batch, m, n)`

    >>> round(float(compute_iou([[0.0, 0, 2, 2]], [[1.0, 0, 3, 2]], "xyxy")), 3)
    0.333
    """
    height, width = _size(image_shape)
    one, two = (
        convert_format(b, bounding_box_format, "xyxy", height, width) for b in (boxes1, boxes2)
    )
    for name, boxes in (("boxes1", one), ("boxes2", two)):
        if boxes.ndim not in (2, 3):
            raise ValueError(
                f"compute_iou() got {name} of shape {tuple(boxes.shape)}. (n, 4) and (batch, n, 4) "
                "are accepted. Reshape them."
            )
    a, b = one[..., :, None, :], two[..., None, :, :]
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    iou = shared / (_area(a) + _area(b) - shared + config.epsilon())
    if not use_masking:
        return iou
    outside = (a.amax(-1) < 0) | (b.amax(-1) < 0)
    return torch.where(outside, torch.as_tensor(mask_val, dtype=iou.dtype), iou)


def compute_ciou(boxes1, boxes2, bounding_box_format, image_shape=None):
    """Shared area of pairs of boxes, less for distant middles and other proportions.

    Args:
        boxes1, boxes2: `(..., 4)`, pair by pair.
        bounding_box_format: As in `convert_format`, without fractions.
        image_shape: Kept for Keras's sake.

    Shape:
        `(..., 4)`, `(..., 4)` -> `(...)`

    Source: Zheng and others, Enhancing geometric factors in model learning and inference for
    object detection (2020).

    >>> compute_ciou([[0.0, 0, 2, 2]], [[0.0, 0, 2, 2]], "xyxy").round(decimals=3).tolist()
    [1.0]
    """
    if str(bounding_box_format).startswith("rel_"):
        raise ValueError(
            f"compute_ciou(bounding_box_format={bounding_box_format!r}): proportions of fractions "
            "are not those of the boxes. Use convert_format() before."
        )
    one, two = (convert_format(b, bounding_box_format, "xyxy") for b in (boxes1, boxes2))
    tiny = config.epsilon()
    a, b = (box[..., 2:] - box[..., :2] for box in (one, two))  # (..., 2), width and height
    a, b = (torch.stack((s[..., 0], s[..., 1] + tiny), -1) for s in (a, b))
    low, high = (f(one, two) for f in (torch.minimum, torch.maximum))
    shared = (low[..., 2:] - high[..., :2]).clamp(min=0).prod(-1)
    iou = shared / (a.prod(-1) + b.prod(-1) - shared + 2 * tiny)
    around = (high[..., 2:] - low[..., :2]).square().sum(-1) + tiny
    middles = [(box[..., :2] + box[..., 2:]) / 2 for box in (one, two)]
    apart = (middles[0] - middles[1]).square().sum(-1)
    angles = [torch.atan(s[..., 0] / s[..., 1]) for s in (b, a)]
    v = 4 / math.pi**2 * (angles[0] - angles[1]).square()
    return iou - (apart / around + v * v / (v - iou + 1 + tiny))
