"""What users call data (arrays, lists, frames) as tensors, without copying what torch can share."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from decimal import Decimal
from numbers import Number, Rational

import numpy as np
import torch

from lightkeras._dtypes import native, torch_dtype
from lightkeras._text import Text, as_text, holds_text, refusal

__all__ = ["is_array_like", "is_structure", "leaves", "tensor", "tensors"]

_FLOATX = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# Types that torch can hold but not compute with -> the smallest that holds the same values.
_WIDER = {"u2": "i4", "u4": "i8", "u8": "i8"}


def is_array_like(value) -> bool:
    """A tensor, an array, a frame, or anything else that numpy can read whole."""
    return isinstance(value, (torch.Tensor, np.ndarray)) or hasattr(value, "__array__")


def is_structure(value) -> bool:
    """Whether a list, tuple or dict means several arrays, not the rows of one.

    >>> is_structure([1, 2, 3]), is_structure([[1, 2], [3, 4]])
    (False, False)
    >>> is_structure([np.zeros(3), np.zeros(3)]), is_structure({"a": [1, 2]})
    (True, True)
    """
    if isinstance(value, Mapping):
        return True
    return isinstance(value, (list, tuple)) and any(map(_is_part, value))


def _is_part(item):
    if isinstance(item, (list, tuple)):
        return len(item) > 0 and is_structure(item[:1])
    return isinstance(item, Mapping) or (is_array_like(item) and np.ndim(item) > 0)


def tensors(value, name, seen=None):
    """`value` as a tree of tensors in its own structure; None stays None.

    Args:
        value: An array, a list of numbers, or a list, tuple or dict of such.
        name: What errors call it ("x", "y", "sample_weight").
        seen: `{id: tensor}` of the whole arrays converted before, so that one given as x and as y
            is held once; None for a batch, which is converted without a check.
    """
    if value is None:
        return None
    if seen is None and isinstance(value, torch.Tensor):
        return tensor(value, name)
    if isinstance(value, Mapping):
        return {k: tensors(v, f"{name}[{k!r}]", seen) for k, v in value.items()}
    if is_structure(value):
        items = [tensors(v, f"{name}[{i}]", seen) for i, v in enumerate(value)]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if seen is None:
        return tensor(value, name)
    if id(value) not in seen:
        seen[id(value)] = tensor(value, name, check=True)
    elif type(seen[id(value)]) is Text:
        return tensor(seen[id(value)], name)  # which refuses strings as y
    return seen[id(value)]


def leaves(tree, name):
    """`(name, tensor)` of every tensor of a tree, in order; None is left out."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [pair for k, v in tree.items() for pair in leaves(v, f"{name}[{k!r}]")]
    if isinstance(tree, (list, tuple)):
        return [pair for i, v in enumerate(tree) for pair in leaves(v, f"{name}[{i}]")]
    return [(name, tree)]


def tensor(value, name="x", check=False):
    """One array as a tensor: floats as `floatx()`, everything else as it is, memory shared.

    Args:
        value: An array, a tensor, a frame, or a (nested) list of numbers.
        name: What errors call it.
        check: Refuse float64 values that do not fit in `floatx()`.

    Raises:
        TypeError: it holds text, dates or objects, or is no array at all.
        ValueError: it is a single number, its rows differ in length, or values are missing.

    >>> tensor([1, 2]).dtype, tensor([[0.5]]).dtype
    (torch.int64, torch.float32)
    """
    if name.startswith("x") and not isinstance(value, (str, bytes)) and holds_text(value):
        return _text(value, name)
    if isinstance(value, torch.Tensor):
        if type(value) is Text:
            raise refusal(value.words.array, name)
        if value.layout is not torch.strided:
            raise TypeError(
                f"{name} is a sparse tensor. Dense ones are accepted. Write {name}.to_dense()."
            )
        result = value.detach()
    else:
        result = _from_numpy(_plain(_to_numpy(value, name), name))
    if result.ndim == 0:
        raise ValueError(
            f"{name} is a single number. An array with one row per sample is accepted. "
            f"Write [{name}]."
        )
    if result.dtype not in _FLOATX or result.dtype == torch_dtype():
        return result
    return _cast(result, name) if check else result.to(torch_dtype())


def _text(value, name):
    """Strings; whether the model takes them is seen before the first step."""
    if hasattr(value, "iloc") and value.ndim == 1:
        value = value.to_numpy()[:, None]  # a series is a column, as it is with numbers
    if hasattr(value, "iloc"):
        for column in value.columns:
            if not holds_text(value[column].to_numpy()):
                raise TypeError(
                    f"{name} is a frame of strings and numbers. Columns of strings have an Input "
                    f"of their own. Write dict({name}) for Inputs named as the columns, or encode "
                    "them."
                )
        value = value.to_numpy()
    result = as_text(value, name)
    if result.ndim == 0:
        raise ValueError(
            f"{name} is a single string. An array with one row per sample is accepted. "
            f"Write numpy.array([{name}])."
        )
    return result


def _cast(wide, name):
    """`wide` in `floatx()`; refused where a finite value would become infinite."""
    result = wide.to(torch_dtype())
    if not result.sum().isfinite() and bool((result.isinf() & wide.isfinite()).any()):
        limits = torch.finfo(result.dtype)
        raise ValueError(
            f"{name} has values that exceed {limits.dtype}. Magnitudes up to {limits.max:.1e} are "
            "accepted. Scale the data, or call set_floatx('float64')."
        )
    return result


# ---- to numpy ---------------------------------------------------------------------------------


def _to_numpy(value, name):
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "iloc") and hasattr(value, "to_numpy"):
        return _from_pandas(value, name)
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise TypeError(
            f"{name} is a sparse {type(value).__name__}. Dense arrays are accepted. "
            f"Write {name}.toarray()."
        )
    if isinstance(value, (list, tuple, range, Number)) or hasattr(value, "__array__"):
        return _from_list(value, name)
    call = callable(value) and not isinstance(value, type)
    raise TypeError(
        f"{name} is of type {type(value).__name__}. Arrays, tensors, lists of numbers, frames, and "
        "lists or dicts of them are accepted, DataLoader, Dataset, PyDataset and generators too. "
        + (f"Call it: {name}()." if call else "Convert it with np.asarray.")
    )


def _from_pandas(value, name):
    """A frame gives `(rows, columns)`, a series `(rows, 1)`, as Keras takes them."""
    array = value.to_numpy()
    if array.dtype == object and value.ndim == 2:
        columns = [(value.iloc[:, i].to_numpy(), c) for i, c in enumerate(value.columns)]
        return np.stack([_plain(part, f"{name}[{c!r}]") for part, c in columns], axis=1)
    return array if array.ndim > 1 else array[:, None]


def _from_list(value, name):
    try:
        return np.asarray(value)
    except ValueError:  # numpy's "inhomogeneous shape"
        raise _ragged(name) from None


def _ragged(name):
    return ValueError(
        f"The rows of {name} have different lengths. All rows of an array have one shape. "
        f"Pad them: pad_sequences({name}, maxlen=...)."
    )


# ---- dtypes -----------------------------------------------------------------------------------


def _plain(array, name):
    """`array` in a dtype that torch knows; shared where it is one already."""
    kind = array.dtype.kind
    if kind == "O":
        return _plain(_from_objects(array, name), name)
    if kind in "USTmMV":
        raise _not_numbers(array, name)
    code = array.dtype.str[1:]
    if code in _WIDER:
        if code == "u8" and array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(
                f"{name} holds integers beyond 2**63 - 1. Integers are held as int64. "
                f"Write {name}.astype('float32')."
            )
        return array.astype(_WIDER[code])
    if kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64)
    return array


def _from_objects(array, name):
    """An array of Python objects as one of numbers, where all of them are numbers."""
    types = tuple(set(map(type, array.flat)))  # a dozen types at most, however long the array

    def only(*bases):
        return all(issubclass(t, bases) for t in types)

    if only(bool, np.bool_, int, np.integer):
        return array.astype(np.int64)
    if only(bool, np.bool_, int, float, Rational, Decimal, np.number):
        return array.astype(np.float64)
    if only(list, tuple, np.ndarray, torch.Tensor):
        try:
            return np.stack([np.asarray(row) for row in array])
        except ValueError:
            raise _ragged(name) from None
    missing = [t for t in types if t.__name__ in ("NoneType", "NAType", "NaTType")]
    if missing:
        row = next(i for i, v in enumerate(array) if any(type(u) in missing for u in np.ravel(v)))
        raise ValueError(
            f"{name} has missing values, the first in row {row}. Only numbers are accepted. "
            "Fill them or drop the rows, for example with fillna(0)."
        )
    raise _not_numbers(array, name)


def _not_numbers(array, name):
    kind = array.dtype.kind
    if kind in "mM":
        return TypeError(
            f"{name} holds dates. Only numbers are accepted. Convert them, for example to days: "
            f"({name} - {name}.min()) / np.timedelta64(1, 'D')."
        )
    texts = [v for v in array.flat if isinstance(v, (str, bytes))] if kind in "OUS" else []
    if not texts:
        other = type(array.flat[0]).__name__ if kind == "O" and array.size else array.dtype
        return TypeError(
            f"{name} holds objects of type {other}. Only numbers are accepted. "
            f"Convert it, for example {name}.astype('float32')."
        )
    return refusal(texts, name)


# ---- to torch ---------------------------------------------------------------------------------


def _from_numpy(array):
    """The tensor over `array`'s memory; a copy only where torch cannot express its layout."""
    array = native(array)
    if array.flags.writeable:
        return torch.from_numpy(array)
    with warnings.catch_warnings():  # the batches are read, never written
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)
