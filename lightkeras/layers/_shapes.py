"""Shapes, masks and devices of what goes into a layer."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightkeras._config import warn_old
from lightkeras._graph import KerasTensor
from lightkeras._tree import flatten, map_structure

__all__ = [
    "as_shape",
    "beside",
    "device_of",
    "input_shape_of",
    "is_beside",
    "is_shape",
    "mask_of",
    "open_rows",
    "shape_of",
    "shapes_to_specs",
]


def shape_of(value):
    return tuple(value.shape) if isinstance(value, (Tensor, KerasTensor, np.ndarray)) else None


def as_shape(value):
    """JSON lists back to shapes."""
    if isinstance(value, dict):
        return {k: as_shape(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        if all(v is None or isinstance(v, int) for v in value):
            return tuple(value)
        return [as_shape(v) for v in value]
    return value


def is_shape(value):
    return isinstance(value, (tuple, list)) and all(v is None or isinstance(v, int) for v in value)


def open_rows(shape):
    """A shape, or a tree of them, for batches of any size."""
    if isinstance(shape, dict):
        return {name: open_rows(part) for name, part in shape.items()}
    if is_shape(shape):
        return (None, *shape[1:]) if shape else shape
    return shape if shape is None else [open_rows(part) for part in shape]


def shapes_to_specs(shapes, dtype):
    if is_shape(shapes):
        return KerasTensor(tuple(shapes), dtype)
    if isinstance(shapes, dict):
        return {k: shapes_to_specs(v, dtype) for k, v in shapes.items()}
    return type(shapes)(shapes_to_specs(s, dtype) for s in shapes)


def mask_of(value):
    """Mask of an input, a tree of masks for a tree of inputs, None where there is none."""
    if isinstance(value, (list, tuple, dict)):
        masks = map_structure(lambda t: getattr(t, "_keras_mask", None), value)
        return masks if any(m is not None for m in flatten(masks)) else None
    return getattr(value, "_keras_mask", None)


def beside(mask):
    """A mask that went beside a MultiHeadAttention in a functional model.

    As in Keras the attention takes the masks off its inputs; of what comes after, only layers that
    are called on one tensor and take a mask see it. Other layers pass it on, losses do not see it.
    """
    mask = mask.view_as(mask)
    mask._beside = True
    return mask


def is_beside(mask):
    """Whether `beside` made this mask."""
    return getattr(mask, "_beside", False)


def device_of(module):
    weight = next(module.parameters(), None)
    if weight is None:
        weight = next(module.buffers(), None)
    return torch.device("cpu") if weight is None else weight.device


def input_shape_of(owner, kwargs):
    """Batch shape from `input_shape=`, `batch_input_shape=`, `input_dim=`, `input_length=`."""
    batch = kwargs.get("batch_size")
    full = kwargs.get("batch_shape") or kwargs.get("batch_input_shape")
    if full is not None:
        return tuple(full)
    shape = kwargs.get("input_shape")
    if shape is not None:
        return (batch, *((shape,) if isinstance(shape, int) else shape))
    if kwargs.get("input_dim") is not None:
        warn_old(owner, "input_dim", "input_shape")
        length = (kwargs["input_length"],) if kwargs.get("input_length") else ()
        return (batch, *length, kwargs["input_dim"])
    if kwargs.get("input_length") is not None:
        warn_old(owner, "input_length", "input_shape")
        return (batch, kwargs["input_length"])
    return None
