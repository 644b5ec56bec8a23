"""Whole numbers as vectors: one-hot, multi-hot, counts. And what layers of categories share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lightkeras._dtypes import native
from lightkeras._graph import KerasTensor, ShapeTensor
from lightkeras._registry import unknown
from lightkeras._text import Text, as_text, holds_text
from lightkeras.layers._layer import Layer

__all__ = [
    "MODES",
    "Categorical",
    "either",
    "encode",
    "encoded_shape",
    "numbers",
    "output_mode",
    "refuse_sparse",
    "strings",
]

MODES = ("int", "one_hot", "multi_hot", "count")
_OLD = {"binary": "multi_hot", "tf-idf": "tf_idf"}


def output_mode(name, known=MODES):
    """`name`, in today's spelling.

    Raises:
        ValueError: it is not known.
    """
    name = _OLD.get(name, name)
    if name not in known:
        raise unknown("output_mode", name, known)
    return name


def refuse_sparse(layer):
    """Keras has sparse outputs with TensorFlow only."""
    if layer.sparse:
        raise ValueError(
            f"{type(layer).__name__}(sparse=True) is not possible. Outputs are dense tensors. "
            "Leave sparse= out."
        )


def encode(ids, mode, depth, dtype, weights=None):
    """Numbers from 0 to `depth - 1` as vectors of that size; others are left out.

    Args:
        ids: Whole numbers.
        mode: "one_hot" for a vector of each, "multi_hot" for one of all of a row, "count".
        depth: Size of the vectors.
        dtype: A torch dtype.
        weights: What each number counts, in the shape of `ids`.

    >>> encode(torch.tensor([[0, 2, 2]]), "count", 3, torch.int64)
    tensor([[1, 0, 2]])
    """
    ids = ids[None] if ids.ndim == 0 else ids
    ids = torch.where((ids >= 0) & (ids < depth), ids, depth).long()  # what has no place goes last
    if mode == "one_hot":
        ids = ids if ids.ndim > 1 and ids.shape[-1] == 1 else ids[..., None]
    elif ids.ndim > 2:
        ids = ids.movedim(1, -1)  # a row's numbers are those of axis 1, as in Keras
        weights = None if weights is None else weights.movedim(1, -1)
    vectors = torch.zeros(*ids.shape[:-1], depth + 1, dtype=dtype, device=ids.device)
    if mode == "count":
        weights = torch.ones_like(ids, dtype=dtype) if weights is None else weights.to(dtype)
        return vectors.scatter_add_(-1, ids, weights)[..., :depth]
    return vectors.scatter_(-1, ids, 1)[..., :depth]


def encoded_shape(shape, mode, depth):
    """Shape of what `encode` returns for numbers of this shape."""
    shape = tuple(shape)
    if mode == "one_hot":
        kept = shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape or (1,)
    else:
        kept = shape[:-1] if len(shape) < 3 else (shape[0], *shape[2:])
    return (*kept, depth)


class Categorical(Layer):
    """Base of the layers that give whole numbers, or vectors made of them.

    A subclass has `output_mode` and writes `_depth`, `_ids(inputs)` and, where they differ,
    `_ids_shape(shape)` and `_dtype_out`.
    """

    _takes_text = True
    output_mode: str

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "autocast": False})

    def build(self, input_shape=None):
        pass

    # Each kind defines: numbers of the inputs, and the size of vectors, None where it is not known.
    _ids: Any
    _depth: Any

    def _ids_shape(self, shape):
        return tuple(shape)

    def _dtype_out(self):
        return "int64" if self.output_mode == "int" else self.compute_dtype

    def _taken(self, inputs):
        """Whatever the user gives, as tensors."""
        return numbers(self, inputs)

    def _strings(self, inputs):
        return strings(self, inputs)

    def __call__(self, inputs, *args, **kwargs):
        return super().__call__(self._taken(inputs), *args, **kwargs)

    def call(self, inputs):
        if isinstance(inputs, ShapeTensor):
            return self._without_numbers(inputs)
        return self._encoded(self._ids(inputs))

    def _cast(self, outputs):
        return outputs  # they have `_dtype_out`

    def _encoded(self, ids, weights=None):
        dtype = getattr(torch, self._dtype_out())
        if self.output_mode == "int":
            return ids.to(dtype)
        return encode(ids, self.output_mode, self._depth(), dtype, weights)

    def _without_numbers(self, inputs):
        """What a run for shapes gets; an unknown size is one that changes from run to run."""
        shape = self.compute_output_shape(tuple(inputs.shape))
        sizes = [16 * inputs.shape[0] if size is None else size for size in shape]
        dtype = getattr(torch, self._dtype_out())
        return torch.zeros(sizes, dtype=dtype, device="meta").as_subclass(ShapeTensor)

    def compute_output_shape(self, input_shape):
        ids = self._ids_shape(tuple(input_shape))
        return (
            ids
            if self.output_mode == "int"
            else encoded_shape(ids, self.output_mode, self._depth())
        )

    def compute_output_spec(self, inputs, **kwargs):
        return KerasTensor(self.compute_output_shape(inputs.shape), self._dtype_out())


def numbers(layer, data):
    """Arrays, lists and frames of numbers as tensors; tensors and symbolic tensors stay.

    Raises:
        TypeError: they are strings.
    """
    symbolic = isinstance(data, KerasTensor)
    if symbolic and data.dtype != "string":
        return data
    if type(data) is not Text and isinstance(data, torch.Tensor):
        return data
    if not symbolic and not holds_text(data):
        data = _array(layer, data)
        if data.dtype.kind == "O" and data.size and isinstance(_first(data), (int, np.integer)):
            data = data.astype("int64")
        if data.dtype.kind in "biuf":
            return torch.as_tensor(native(data))
    given = hasattr(data, "dtype") and type(data) is not Text and not symbolic
    shown = data.dtype if given else "strings"
    raise TypeError(
        f"{type(layer).__name__} {layer.name!r} got {shown}. It takes whole numbers. Take a "
        "StringLookup layer for strings."
    )


def _array(layer, data):
    array = None if data is None or isinstance(data, dict) else data
    try:
        array = np.asarray(array)
    except ValueError:  # rows of several lengths
        array = np.asarray(None)
    if array.dtype.kind == "O" and not array.ndim:
        raise TypeError(
            f"{type(layer).__name__} {layer.name!r} got {type(data).__name__}. It takes one array "
            "or tensor, or rows of one length. Convert it with np.asarray."
        )
    return array


def strings(layer, data):
    """Strings of any kind as a `Text`; symbolic tensors stay.

    Raises:
        TypeError: they are numbers.
    """
    if isinstance(data, KerasTensor) and data.dtype != "string":
        raise TypeError(
            f"{type(layer).__name__} {layer.name!r} got a symbolic tensor of {data.dtype}. It "
            "takes strings. Type Input(shape=(1,), dtype='string'), or take IntegerLookup for "
            "whole numbers."
        )
    if isinstance(data, (KerasTensor, ShapeTensor, Text)):
        return data
    if isinstance(data, torch.Tensor) or not holds_text(data):
        kind = getattr(data, "dtype", "object")
        kind = type(_first(data)).__name__ if str(kind) == "object" else kind
        raise TypeError(
            f"{type(layer).__name__} {layer.name!r} got {str(kind).removeprefix('torch.')}. It "
            "takes strings: a list, an array or a series of them. Convert with astype(str), or "
            "take IntegerLookup for whole numbers."
        )
    return as_text(data, repr(layer.name), getattr(layer, "encoding", "utf-8"))


def either(layer, data):
    """Strings or numbers, whichever they are."""
    symbolic = isinstance(data, KerasTensor)
    text = data.dtype == "string" if symbolic else holds_text(data)
    return strings(layer, data) if text else numbers(layer, data)


def _first(data):
    while isinstance(data, (list, tuple, np.ndarray)) and len(data):
        data = data[0]
    return data
