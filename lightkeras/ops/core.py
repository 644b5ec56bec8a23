"""The ops that are no mathematics: making tensors, reading and writing parts of them."""

from __future__ import annotations

import builtins

import numpy as np
import torch

from lightkeras._dtypes import dtype_name, torch_dtype
from lightkeras.ops import _control
from lightkeras.ops._control import *  # noqa: F403
from lightkeras.ops._op import family, tensor

__all__ = [
    *_control.__all__,
    "cast",
    "convert_to_numpy",
    "convert_to_tensor",
    "dtype",
    "is_tensor",
    "saturate_cast",
    "scatter",
    "scatter_update",
    "shape",
    "slice",
    "slice_update",
    "stop_gradient",
    "unstack",
]

op = family("core")


# ---- to tensors and back ------------------------------------------------------------------------


@op
def convert_to_tensor(x, dtype=None, sparse=None, ragged=None):
    """A tensor of an array, a (nested) list or a number; tensors stay where they are.

    Args:
        x: Anything that holds numbers. Python's floats become `floatx()`, its integers int32;
            arrays keep their dtype. A symbolic tensor stays symbolic.
        dtype: Another dtype.
        sparse: False or None.
        ragged: False or None.

    Raises:
        ValueError: `sparse` or `ragged` is true.
        TypeError: `x` holds no numbers.

    >>> convert_to_tensor([1, 2]), convert_to_tensor(np.ones(2), "float32")
    (tensor([1, 2], dtype=torch.int32), tensor([1., 1.]))
    """
    if sparse or ragged:
        raise ValueError(
            f"convert_to_tensor() got {'sparse' if sparse else 'ragged'}=True. Tensors here are "
            "dense. Leave the argument out."
        )
    return tensor(x, dtype)


def convert_to_numpy(x):
    """A NumPy array of a tensor on any device, or of anything that NumPy takes.

    Where it differs from Keras: bfloat16, which NumPy does not have, becomes float32.

    >>> convert_to_numpy(torch.ones(2, requires_grad=True))
    array([1., 1.], dtype=float32)
    """
    if isinstance(x, (list, tuple)):
        return np.array([convert_to_numpy(item) for item in x])
    if not isinstance(x, torch.Tensor):
        return np.array(x)
    x = x.detach().float() if x.dtype is torch.bfloat16 else x.detach()
    return np.array(torch.Tensor.numpy(x.as_subclass(torch.Tensor), force=True))


def is_tensor(x):
    """Whether x is a torch tensor (weights are; arrays and symbolic tensors are not)."""
    return isinstance(x, torch.Tensor)


def shape(x):
    """The shape as a tuple; unknown sizes of a symbolic tensor are None.

    >>> from lightkeras import Input
    >>> shape(torch.zeros(2, 3)), shape(Input((3,)))
    ((2, 3), (None, 3))
    """
    return tuple(x.shape if hasattr(x, "shape") else tensor(x).shape)


def dtype(x):
    """Name of the dtype.

    >>> dtype(torch.zeros(2)), dtype([1, 2])
    ('float32', 'int32')
    """
    return dtype_name(x.dtype if hasattr(x, "dtype") else tensor(x).dtype)


# ---- dtypes and gradients -----------------------------------------------------------------------


@op
def cast(x, dtype):
    """The values in another dtype.

    >>> cast([0.0, 2.5], "int32")
    tensor([0, 2], dtype=torch.int32)
    """
    return x.to(torch_dtype(dtype))


@op
def saturate_cast(x, dtype):
    """`cast` with what does not fit brought to the smallest or largest value of the new dtype.

    >>> saturate_cast([-1.0, 300.0], "uint8")
    tensor([  0, 255], dtype=torch.uint8)
    """
    new = torch_dtype(dtype)
    (low, high), (own_low, own_high) = _limits(new), _limits(x.dtype)
    x = x.to(torch.int32) if x.dtype is torch.bool else x
    x = torch.clamp(x, max(low, own_low), min(high, own_high))
    if x.is_floating_point() and not new.is_floating_point and new is not torch.bool:
        # The largest integer may have no float of its own: the next one, which would wrap around.
        return torch.where(x >= high, high, x.to(new))
    return x.to(new)


def _limits(dtype):
    if dtype is torch.bool:
        return 0, 1
    info = torch.finfo(dtype) if dtype.is_floating_point else torch.iinfo(dtype)
    return info.min, info.max


@op
def stop_gradient(variable):
    """The values, through which no gradient flows back."""
    return variable.detach()


# ---- parts --------------------------------------------------------------------------------------


@op
def unstack(x, num=None, axis=0):
    """The slices along an axis as a list.

    Args:
        x: Tensor.
        num: The size of the axis; needed where a symbolic tensor does not know it.
        axis: The axis.

    Raises:
        ValueError: the axis has another size.

    >>> [part.tolist() for part in unstack([[1, 2], [3, 4]], axis=1)]
    [[1, 3], [2, 4]]
    """
    if num is None or x.is_meta:
        return [torch.select(x, axis, i) for i in range(x.shape[axis] if num is None else num)]
    if x.shape[axis] != num:
        raise ValueError(
            f"unstack() got num={num} for axis {axis} of a tensor of shape {tuple(x.shape)}. It is "
            f"the size of the axis. Type num={x.shape[axis]}, or leave it out."
        )
    return list(torch.unbind(x, axis))


@op("inputs", "=start_indices")
def slice(inputs, start_indices, shape):
    """The part of this shape that begins at `start_indices`.

    Args:
        inputs: Tensor.
        start_indices: A position for each axis: numbers, or a tensor of them.
        shape: The shape of the part.

    >>> slice([[1, 2, 3], [4, 5, 6]], (0, 1), (2, 2))
    tensor([[2, 3],
            [5, 6]], dtype=torch.int32)
    """
    if _are_ints(start_indices):
        ends = zip(start_indices, shape, strict=True)
        return inputs[tuple(builtins.slice(i, i + int(n)) for i, n in ends)]
    starts = tensor(start_indices, torch.int64, inputs.device)
    for axis, size in enumerate(shape):
        places = starts[axis] + torch.arange(int(size), device=inputs.device)
        inputs = torch.index_select(inputs, axis, places)
    return inputs


@op("inputs", "=start_indices", "updates")
def slice_update(inputs, start_indices, updates):
    """A copy of `inputs` with `updates` written from `start_indices` on.

    >>> slice_update([0, 0, 0, 0], [1], [7, 8])
    tensor([0, 7, 8, 0], dtype=torch.int32)
    """
    updates = updates.to(inputs.dtype)
    if _are_ints(start_indices):
        ends = zip(start_indices, updates.shape, strict=True)
        out = inputs.clone()
        out[tuple(builtins.slice(i, i + n) for i, n in ends)] = updates
        return out
    starts = tensor(start_indices, torch.int64, inputs.device)
    places = []
    for axis, size in enumerate(updates.shape):
        line = starts[axis] + torch.arange(size, device=inputs.device)
        places.append(line.reshape(-1, *[1] * (updates.ndim - axis - 1)))
    return inputs.index_put(tuple(places), updates)


def _are_ints(indices):
    return isinstance(indices, (list, tuple)) and all(isinstance(i, int) for i in indices)


@op("indices", "values")
def scatter(indices, values, shape):
    """A tensor of 0 with values added at positions.

    Args:
        indices: Positions in the first k axes, `(..., k)`.
        values: What is added there, `(..., *shape[k:])`.
        shape: The shape of the result.

    >>> scatter([[0], [2], [2]], [1.0, 2.0, 3.0], (4,))
    tensor([1., 0., 5., 0.])
    """
    zeros = torch.zeros(tuple(shape), dtype=values.dtype, device=values.device)
    return zeros.index_put(torch.unbind(indices.long(), -1), values, accumulate=True)


_REDUCTIONS = {"max": "amax", "min": "amin", "mul": "prod"}


@op("inputs", "indices", "updates")
def scatter_update(inputs, indices, updates, reduction=None):
    """A copy of `inputs` with values written at positions, or combined with what stands there.

    Args:
        inputs: Tensor.
        indices: Positions in the first k axes, `(n, k)`.
        updates: What is written there, `(n, *inputs.shape[k:])`.
        reduction: None (the new value alone), "add", "max", "min" or "mul".

    Raises:
        ValueError: the reduction is not known.

    >>> scatter_update([1, 1, 1], [[0], [0]], [5, 6], "add")
    tensor([12,  1,  1], dtype=torch.int32)
    """
    updates, places = updates.to(inputs.dtype), torch.unbind(indices.long(), -1)
    if reduction in (None, "add"):
        return inputs.index_put(places, updates, accumulate=reduction == "add")
    if reduction not in _REDUCTIONS:
        raise ValueError(
            f"scatter_update() got reduction={reduction!r}. None, 'add', 'max', 'min' and 'mul' "
            "are accepted. Type reduction='add' to sum up."
        )
    sizes = inputs.shape[: len(places)]
    row = torch.zeros_like(places[0])
    for place, size in zip(places, sizes, strict=True):
        row = row * size + place % size
    rest = inputs.shape[len(places) :]
    flat, updates = inputs.reshape(-1, *rest), updates.expand(*row.shape, *rest)
    out = flat.index_reduce(0, row.flatten(), updates.reshape(-1, *rest), _REDUCTIONS[reduction])
    return out.reshape(inputs.shape)
