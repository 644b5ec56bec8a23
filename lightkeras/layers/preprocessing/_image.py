"""`ImageLayer`: what all image layers share: layouts, single images, dicts, random numbers."""

from __future__ import annotations

import torch

from lightkeras import random
from lightkeras._dtypes import is_int
from lightkeras._graph import KerasTensor, output_spec
from lightkeras.config import standardize_data_format
from lightkeras.layers._layer import Layer

__all__ = ["ImageLayer", "RandomLayer", "limits", "rescale", "sized", "value_limits"]


class ImageLayer(Layer):
    """Base of the layers that take images.

    A subclass writes `_augment` on images `(batch, channels, height, width)` and, if it does
    something in inference too, `_rest`. Here, images come from either layout (as views, without
    copies), alone or in a batch, of any dtype, or as the "images" of a dict, whose
    "segmentation_masks" go where the pixels go and whose other entries stay.

    Called by itself such a layer is in training mode, as in Keras: nobody has set another mode.
    A model's `evaluate` and `predict`, `training=False` and `eval()` do.

    Args:
        data_format: "channels_last" or "channels_first"; that of `config.image_data_format()` by
            default.

    Shape:
        `(batch, height, width, channels)`, `(batch, channels, height, width)`, or one image
        without the batch -> images of the same layout

    Raises:
        ValueError: the input is no image and no batch of images.
    """

    _moves_pixels = False  # and so has to move those of segmentation masks too
    _keeps_ints = False
    _accepts: tuple[int, ...] = ()  # numbers of channels; any if empty

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.training = True

    def call(self, data, training=None):
        augment = self.training if training is None else training
        if isinstance(data, dict):
            return self._call_on_dict(data, augment)
        if isinstance(data, (list, tuple)):
            raise TypeError(
                f"{self.name!r} got a {type(data).__name__}. It takes images, or a dict of "
                "images and labels. Type numpy.stack(images)."
            )
        self._check_shape(data.shape)
        x = self._to_batch(data)
        y = self._augment(x, self._draw(x)) if augment else self._rest(x)
        return self._as_given(y.to(x.dtype), data)

    def _draw(self, x):
        """Random numbers for the images `x`, in whatever form `_augment` takes them."""

    def _augment(self, x, drawn, masks=False):
        """New images; `masks` says that `x` are masks, whose values must not be mixed."""
        return x

    def _rest(self, x, masks=False):
        """What becomes of images in inference."""
        return x

    def _labels(self, labels, drawn):
        """New labels of a batch, where images are mixed."""
        return labels

    def _call_on_dict(self, data, augment):
        self._check_keys(data)
        self._check_shape(data["images"].shape)
        new, x = dict(data), self._to_batch(data["images"])
        drawn = self._draw(x) if augment else None
        y = self._augment(x, drawn) if augment else self._rest(x)
        new["images"] = self._as_given(y.to(x.dtype), data["images"])
        masks = data.get("segmentation_masks")
        if self._moves_pixels and masks is not None:
            m = self._to_batch(masks, masks.dtype)
            m = self._augment(m, drawn, True) if augment else self._rest(m, True)
            new["segmentation_masks"] = self._as_given(m, masks)
        labels = data.get("labels")
        if augment and labels is not None:
            one = data["images"].ndim == 3
            new["labels"] = (
                self._labels(labels[None], drawn)[0] if one else self._labels(labels, drawn)
            )
        return new

    def _check_keys(self, data):
        known = "It takes images, labels and segmentation_masks."
        if "images" not in data:
            raise ValueError(
                f"{self.name!r} got a dict without 'images'. {known} Call it with {{'images': x}}."
            )
        if "bounding_boxes" in data:
            raise ValueError(
                f"{self.name!r} got 'bounding_boxes', which it cannot move. {known} "
                "Take the boxes out of the dict."
            )
        masks = data.get("segmentation_masks")
        if masks is not None and masks.ndim != data["images"].ndim:
            raise ValueError(
                f"{self.name!r} got masks of shape {tuple(masks.shape)} for images of shape "
                f"{tuple(data['images'].shape)}. Masks have channels too. Type masks[..., None]."
            )

    def _check_shape(self, shape):
        who = f"{type(self).__name__} {self.name!r}"
        if len(shape) not in (3, 4):
            raise ValueError(
                f"{who} got an input of shape {tuple(shape)}. It takes images, (batch, height, "
                "width, channels), or one without the batch. "
                + ("Add the channels: x[..., None]." if len(shape) == 2 else "Reshape it.")
            )
        channels = shape[-3 if self.data_format == "channels_first" else -1]
        if self._accepts and channels is not None and channels not in self._accepts:
            raise ValueError(
                f"{who} got images of {channels} channels. It takes three: red, green, blue. "
                f"Check data_format, which is {self.data_format!r}."
            )

    def _to_batch(self, x, dtype=None):
        """`x` as (batch, channels, height, width), of the compute dtype."""
        if dtype is None and (x.is_floating_point() or not self._keeps_ints):
            dtype = self._dtype_in
        x = x if dtype is None else x.to(dtype)
        x = x if x.ndim == 4 else x[None]
        return x if self.data_format == "channels_first" else x.permute(0, 3, 1, 2)

    def _as_given(self, y, given):
        """(batch, channels, height, width) in the layout of what was given."""
        y = y if self.data_format == "channels_first" else y.permute(0, 2, 3, 1)
        return y if given.ndim == 4 else y[0]

    def compute_output_shape(self, input_shape):
        self._check_shape(input_shape)
        return tuple(input_shape)

    def compute_output_spec(self, data, **kwargs):
        if isinstance(data, dict):
            return output_spec(self, (data,), kwargs)
        dtype = data.dtype if self._keeps_ints and is_int(data.dtype) else self.compute_dtype
        return KerasTensor(self.compute_output_shape(data.shape), dtype)

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}


class RandomLayer(ImageLayer):
    """Base of the random image layers: each image of a batch gets its own numbers.

    With `seed` a layer draws from numbers of its own, whose state is `seed_generator.get_state()`;
    without, from torch's global generator.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = None if seed is None else random.SeedGenerator(seed)

    def _generator(self, x):
        return random._generator(self.seed_generator, x.device)

    def _uniform(self, x, *ranges):
        """For each (low, high) one number per image, of shape (batch, 1, 1, 1)."""
        shape = (len(ranges), x.shape[0], 1, 1, 1)
        drawn = torch.rand(shape, device=x.device, generator=self._generator(x))
        return [u * (high - low) + low for u, (low, high) in zip(drawn, ranges, strict=True)]

    def _chance(self, x, factor):
        """Which images to change, as booleans: each one's chance is itself drawn from `factor`."""
        chance, u = self._uniform(x, factor, (0.0, 1.0))
        return u < chance


# ---- arguments ----------------------------------------------------------------------------------


def limits(layer, argument, value, low=-1.0, high=1.0, example=0.2, strict=False):
    """(lower, upper) for a number or a pair; a number stands for both directions.

    Args:
        layer: Whose argument it is.
        argument: Its name.
        value: A number f, for (-f, f), cut off at `low`; or a pair.
        low, high: Smallest and largest number.
        example: For the message.
        strict: Whether both numbers of a pair must be within; else it only has to overlap.

    Raises:
        ValueError: it is neither, or out of range.
    """
    pair = list(value) if isinstance(value, (tuple, list)) else [value]
    if 1 <= len(pair) <= 2 and all(_is_number(v) for v in pair):
        lower, upper = min(pair), max(pair)
        if len(pair) == 1 and low <= lower <= high:
            return max(-abs(value), low), abs(value)
        inside = low <= lower and upper <= high if strict else lower <= high and upper >= low
        if len(pair) == 2 and inside:
            return lower, upper
    name = type(layer).__name__
    raise ValueError(
        f"{name}({argument}={value!r}) is out of range. It takes a number from {low:g} to "
        f"{high:g}, or a pair of them, (lower, upper). Type for example {argument}={example}."
    )


def _is_number(value):
    return hasattr(value, "__float__") and not isinstance(value, (bool, str))


def value_limits(layer, value_range):
    """`value_range` in order.

    Raises:
        ValueError: it is no pair of numbers.
    """
    pair = value_range if isinstance(value_range, (tuple, list)) else ()
    if len(pair) != 2 or not all(_is_number(v) for v in pair) or pair[0] == pair[1]:
        raise ValueError(
            f"{type(layer).__name__}(value_range={value_range!r}) is not a range. It takes the "
            "smallest and the largest value of a pixel. Type for example value_range=(0, 255)."
        )
    return tuple(sorted(pair))


def sized(layer, shape):
    """The shape of images after they were brought to the layer's `height` and `width`."""
    first = layer.data_format == "channels_first"
    size = (layer.height, layer.width)
    return (*shape[:-2], *size) if first else (*shape[:-3], *size, shape[-1])


def rescale(x, source, target):
    """Values of the range `source` in the range `target`."""
    if tuple(source) == tuple(target):
        return x
    scale = (target[1] - target[0]) / (source[1] - source[0])
    return (x - source[0]) * scale + target[0]
