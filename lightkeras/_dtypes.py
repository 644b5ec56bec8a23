"""Dtypes: Keras knows them by name, torch by object. Also the default float type."""

from __future__ import annotations

from functools import reduce

import numpy as np
import torch

from lightkeras._device import default_device
from lightkeras._registry import did_you_mean, unknown

__all__ = [
    "as_tensor",
    "dtype_name",
    "floatx",
    "is_float",
    "is_int",
    "native",
    "set_floatx",
    "torch_dtype",
]

_FLOATS = ("bfloat16", "float16", "float32", "float64")
_INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_RARE = ("bool", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2")
_TORCH = {name: getattr(torch, name) for name in _FLOATS + _INTS + _RARE}

# Everything that stands for a dtype -> its name.
_NAMES = {
    **{name: name for name in _TORCH},
    **{dtype: name for name, dtype in _TORCH.items()},
    **{bool: "bool", int: "int32", float: "float32", str: "string"},
    **{"string": "string", "int": "int32", "bool_": "bool"},
    **{"float": "float32", "double": "float64", "half": "float16"},  # TensorFlow's spellings
}

_floatx = "float32"


def floatx() -> str:
    """The default float type.

    >>> floatx()
    'float32'
    """
    return _floatx


def set_floatx(value) -> None:
    """Set the default float type: "bfloat16", "float16", "float32" or "float64".

    Raises:
        ValueError: `value` is none of them.
    """
    global _floatx
    if value not in _FLOATS:
        raise ValueError(
            f"Unknown float type {value!r}.{did_you_mean(value, _FLOATS)} "
            f"Accepted: {', '.join(_FLOATS)}."
        )
    _floatx = str(value)


def dtype_name(dtype=None) -> str:
    """The name of a dtype given as a name, a torch, numpy or Python type; None is `floatx()`.

    Raises:
        ValueError: no dtype is called so.

    >>> dtype_name("float32"), dtype_name(torch.int64), dtype_name(np.float16), dtype_name(int)
    ('float32', 'int64', 'float16', 'int32')
    """
    if dtype is None:
        return _floatx
    try:
        return _NAMES[dtype]
    except (KeyError, TypeError):  # numpy's dtypes and types, and others' that carry a name
        name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or dtype
    found = _NAMES.get(name) if isinstance(name, str) else None
    if found is None:
        shown = name if isinstance(name, str) else type(dtype).__name__
        raise unknown("dtype", shown, _TORCH)
    return found


def torch_dtype(dtype=None) -> torch.dtype:
    """The torch dtype for anything that `dtype_name` takes.

    Raises:
        ValueError: no dtype is called so, or torch has no tensors of it.

    >>> torch_dtype("bfloat16"), torch_dtype(None)
    (torch.bfloat16, torch.float32)
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    name = dtype_name(dtype)
    if name == "string":
        raise ValueError(
            "Torch has no tensors of strings. Numeric and boolean dtypes are accepted. "
            "Encode the strings as integers first."
        )
    return _TORCH[name]


def is_float(dtype) -> bool:
    """Whether it is a real float type."""
    return "float" in dtype_name(dtype)


def is_int(dtype) -> bool:
    """Whether it is a signed or unsigned integer type."""
    return dtype_name(dtype) in _INTS


def result_type(*dtypes):
    """The dtype of a result of operands of these dtypes: at most 32 bits; numbers give way.

    >>> result_type("int32", "bfloat16"), result_type("float16", float)
    ('bfloat16', 'float16')
    """
    kinds = [(dtype_name(d), d is int or d is float) for d in dtypes] or [(_floatx, False)]
    names = [name for name, number in kinds if not number]
    found = reduce(_wider, names) if names else kinds[0][0]
    for name, number in kinds:  # a Python number decides only bool or int against float
        if number and (found == "bool" or (is_float(name) and is_int(found))):
            found = _floatx if is_float(name) else name
    narrow = {"int64": "int32", "uint64": "uint32", "float64": "float32", "complex128": "complex64"}
    return narrow.get(found, found)


def _wider(a, b):
    if a == b:
        return a
    if {a, b} <= {*_INTS, "bool"}:  # numpy knows unsigned ones of all sizes
        return np.promote_types(a, b).name
    a, b = ("int8" if is_int(n) else n for n in (a, b))  # any float is wider than any integer
    return dtype_name(torch.promote_types(torch_dtype(a), torch_dtype(b)))


def native(value):
    """An array in a layout that torch takes (`x[::-1]` is in none); anything else as it is.

    >>> torch.as_tensor(native(np.arange(3)[::-1]))
    tensor([2, 1, 0])
    """
    if not isinstance(value, np.ndarray):
        return value
    odd = any(s < 0 or s % value.itemsize for s in value.strides)
    if odd or not value.dtype.isnative or not value.flags.aligned:
        return np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
    return value


def as_tensor(x):
    """Arrays, lists and numbers as tensors; anything else (symbolic tensors too) as it is.

    Python floats become `floatx()`, arrays keep their dtype.

    >>> as_tensor([1.0, 2.0])
    tensor([1., 2.])
    """
    if isinstance(x, (np.ndarray, np.generic)):
        return torch.as_tensor(native(x), device=default_device())
    if isinstance(x, (list, tuple, int, float)):
        new = torch.as_tensor(x, device=default_device())
        return new.to(_TORCH[_floatx]) if new.is_floating_point() else new
    return x
