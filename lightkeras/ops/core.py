"""The ops that are no mathematics: making tensors, reading them, parts of them."""

from __future__ import annotations

import numpy as np
import torch

from lightkeras._dtypes import dtype_name, torch_dtype
from lightkeras._graph import KerasTensor
from lightkeras.ops._op import family, tensor

__all__ = [
    "cast",
    "convert_to_numpy",
    "convert_to_tensor",
    "dtype",
    "is_tensor",
    "saturate_cast",
    "shape",
    "stop_gradient",
]

op = family("core")


# ---- to tensors and back ------------------------------------------------------------------------


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
    if isinstance(x, KerasTensor):
        return x if dtype is None or dtype_name(dtype) == x.dtype else cast(x, dtype)
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

    >>> shape(torch.zeros(2, 3)), shape(KerasTensor((None, 3)))
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
    low, high = _limits(new)
    own_low, own_high = _limits(x.dtype)
    low, high = max(low, own_low), min(high, own_high)
    x = x.to(torch.int32) if x.dtype is torch.bool else x
    x = torch.clamp(x, low, high)
    if x.is_floating_point() and not new.is_floating_point:
        # The largest integer may have no float of its own: one more, which would wrap around.
        return torch.where(x.double() >= high, high, x.double()).to(new)
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
