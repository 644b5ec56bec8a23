"""Random layers that bend images, or see them from the side; and one that counts boxes."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightkeras._registry import unknown
from lightkeras._sampling import sample
from lightkeras.layers.core import positive_int, real
from lightkeras.layers.preprocessing._image import ImageLayer, RandomLayer, limits, value_limits
from lightkeras.ops._planes import blurred
from lightkeras.ops._warping import _FILLS, _homography, _seen

__all__ = ["MaxNumBoundingBoxes", "RandomElasticTransform", "RandomPerspective"]


class _Warped(RandomLayer):
    """Base of the layers that read pixels from other places, in some of the images."""

    _moves_pixels = True

    def __init__(self, factor, interpolation, fill_value, **kwargs):
        super().__init__(**kwargs)
        self.factor = limits(self, "factor", factor, low=0.0)
        if interpolation not in ("nearest", "bilinear"):
            raise unknown("interpolation", interpolation, ["nearest", "bilinear"])
        self.interpolation = interpolation
        self.fill_value = real(type(self).__name__, "fill_value", fill_value, 0.0)

    def _read(self, x, at, fill_mode, masks):
        interpolation = "nearest" if masks else self.interpolation
        fill = self.fill_value if x.is_floating_point() else int(self.fill_value)
        return sample(x, at, interpolation, fill_mode, fill)


class RandomPerspective(_Warped):
    """Moves the corners of images, as if they were seen from the side, in training.

    Args:
        factor: How likely an image is changed: up to a number from 0 to 1, or (lower, upper).
        scale: How far corners move at most, as a fraction of half the size.
        interpolation: "bilinear" or "nearest".
        fill_value: What lies outside.
        seed: Seed of the layer's own numbers.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: a number is out of range, or a name is not known.

    >>> x = torch.rand(2, 8, 8, 3)
    >>> torch.allclose(RandomPerspective(scale=0.0)(x), x, atol=1e-5)
    True
    """

    def __init__(
        self,
        factor=1.0,
        scale=1.0,
        interpolation="bilinear",
        fill_value=0.0,
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(
            factor, interpolation, fill_value, seed=seed, data_format=data_format, **kwargs
        )
        limits(self, "scale", scale, low=0.0)
        self.scale = scale

    def _draw(self, x):
        size = (len(x), 4, 2)
        moved = torch.rand(size, device=x.device, generator=self._generator(x)) - 0.5
        right, bottom = x.shape[3] - 1, x.shape[2] - 1
        corners = [[0, 0], [right, 0], [0, bottom], [right, bottom]]
        start = torch.tensor(corners, dtype=torch.float32, device=x.device).expand(size)
        return self._chance(x, self.factor), start, start * (1 + self.scale * moved)

    def _augment(self, x, drawn, masks=False):
        chance, start, end = drawn
        at = _seen(_homography(start, end), x)
        return torch.where(chance, self._read(x, at, "constant", masks), x)


class RandomElasticTransform(_Warped):
    """Bends images like rubber: pixels move at random, neighbours alike, in training.

    Args:
        factor: How likely an image is changed: up to a number from 0 to 1, or (lower, upper).
        scale: How far pixels move: from 0 to a number up to 1, or (lower, upper).
        interpolation: "bilinear" or "nearest".
        fill_mode: What lies outside: "constant" (`fill_value`), "nearest", "reflect", "mirror" or
            "wrap".
        fill_value: The constant.
        value_range: Smallest and largest value of a pixel; results are clipped to it.
        seed: Seed of the layer's own numbers.
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: a number is out of range, or a name is not known.

    Source: Simard and others, Best practices for convolutional neural networks (2003).

    >>> tuple(RandomElasticTransform(seed=1)(torch.rand(2, 8, 8, 3)).shape)
    (2, 8, 8, 3)
    """

    def __init__(
        self,
        factor=1.0,
        scale=1.0,
        interpolation="bilinear",
        fill_mode="reflect",
        fill_value=0.0,
        value_range=(0, 255),
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(
            factor, interpolation, fill_value, seed=seed, data_format=data_format, **kwargs
        )
        if fill_mode not in _FILLS:
            raise unknown("fill_mode", fill_mode, _FILLS)
        self.scale = limits(self, "scale", scale, low=0.0)
        self.fill_mode = fill_mode
        self.value_range = value_limits(self, value_range)

    def _draw(self, x):
        height, width = x.shape[2:]
        chance = self._chance(x, self.factor)
        strength = self._uniform(x[:1], self.scale)[0]  # one for the batch: (1, 1, 1, 1)
        far, alike = max(height, width) * 0.1 * strength, min(height, width) * 0.05 * strength
        generator = self._generator(x)
        field = torch.randn((2 * len(x), 1, height, width), device=x.device, generator=generator)
        # The size of the blur is that of the largest strength: nothing waits for the number.
        size = int(6 * min(height, width) * 0.05 * self.scale[1]) | 1
        alike = alike.flatten().clamp(min=1e-6)
        field = blurred(field * alike.view(1, 1, 1, 1), (size, size), (alike, alike))
        return chance, (far * field).view(2, len(x), height, width).transpose(0, 1)

    def _augment(self, x, drawn, masks=False):
        chance, moves = drawn
        columns = torch.arange(x.shape[3], device=x.device).expand(x.shape[2], -1)
        rows = torch.arange(x.shape[2], device=x.device)[:, None].expand(-1, x.shape[3])
        at = moves + torch.stack((columns, rows))  # (batch, 2, height, width)
        y = torch.where(chance, self._read(x, at, self.fill_mode, masks), x)
        return y if masks else y.clamp(*self.value_range)


class MaxNumBoundingBoxes(ImageLayer):
    """As many boxes for each image: the first ones, filled up with -1.

    Called with a dict of "images" and "bounding_boxes", itself a dict of "boxes" and "labels". All
    else stays as it is.

    Args:
        max_number: Number of boxes.
        fill_value: What is filled up with, boxes and labels.
        bounding_box_format: Kept for Keras's sake: boxes of every format are four numbers.

    Shape:
        boxes `(batch, n, 4)` -> `(batch, max_number, 4)`, labels `(batch, n)` -> `(batch,
        max_number)`; without the batch likewise

    Raises:
        ValueError: `max_number` is no whole number above zero, or boxes are no four numbers.

    >>> boxes = {"boxes": torch.zeros(1, 3, 4), "labels": torch.tensor([[1, 2, 3]])}
    >>> layer = MaxNumBoundingBoxes(2)
    >>> layer({"images": torch.zeros(1, 8, 8, 3), "bounding_boxes": boxes})["bounding_boxes"][
    ...     "labels"
    ... ].tolist()
    [[1, 2]]
    """

    def __init__(self, max_number, fill_value=-1, *, bounding_box_format=None, **kwargs):
        super().__init__(**kwargs)
        self.max_number = positive_int("MaxNumBoundingBoxes", "max_number", max_number)
        self.fill_value = int(real("MaxNumBoundingBoxes", "fill_value", fill_value, -1))
        self.bounding_box_format = bounding_box_format

    def call(self, data, training=None):
        if not isinstance(data, dict) or "bounding_boxes" not in data:
            return data
        boxes, labels = (torch.as_tensor(data["bounding_boxes"][k]) for k in ("boxes", "labels"))
        if boxes.ndim not in (2, 3) or boxes.shape[-1] != 4 or boxes.shape[:-1] != labels.shape:
            raise ValueError(
                f"{self.name!r} got boxes of shape {tuple(boxes.shape)} and labels of shape "
                f"{tuple(labels.shape)}. Boxes are (batch, n, 4), labels (batch, n). Reshape them."
            )
        missing = max(self.max_number - labels.shape[-1], 0)
        boxes = F.pad(boxes[..., : self.max_number, :], (0, 0, 0, missing), value=self.fill_value)
        labels = F.pad(labels[..., : self.max_number], (0, missing), value=self.fill_value)
        return {**data, "bounding_boxes": {"boxes": boxes, "labels": labels}}

    def compute_output_shape(self, input_shape):
        if not isinstance(input_shape, dict) or "bounding_boxes" not in input_shape:
            return input_shape
        shapes = input_shape["bounding_boxes"]
        boxes = (*shapes["boxes"][:-2], self.max_number, 4)
        labels = (*shapes["labels"][:-1], self.max_number)
        return {**input_shape, "bounding_boxes": {"boxes": boxes, "labels": labels}}

    def get_config(self):
        base = super().get_config()
        del base["bounding_box_format"]
        return base
