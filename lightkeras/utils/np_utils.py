"""Arrays of labels and features: `to_categorical`, `normalize`.

The file has the name that Keras 1 and 2 gave it, so `from ...utils import np_utils` works too.
"""

from __future__ import annotations

import operator

import numpy as np
import torch

from lightkeras._config import modernize, unexpected, warn_old
from lightkeras._dtypes import torch_dtype
from lightkeras._older import old_names
from lightkeras.config import epsilon

__all__ = ["normalize", "to_categorical"]


def to_categorical(x, num_classes=None, **older):
    """One-hot rows of integer class labels.

    Unlike in Keras, a label that is negative, fractional or too large is always an error.

    Args:
        x: Labels `0 .. num_classes - 1`, array-like or a tensor.
        num_classes: Number of classes; the largest label plus one by default.
        older: `dtype` of Keras 2, to which the rows are cast, and `nb_classes` of Keras 1.

    Shape:
        `(...)` or `(..., 1)` -> `(..., num_classes)`, float64 for an array, int64 for a tensor.

    Raises:
        ValueError: a label is no integer or not in the range.

    >>> to_categorical([2, 0], num_classes=3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    if older:
        return _to_categorical_of_old(x, num_classes, **older)
    if num_classes is not None:
        num_classes = _class_count(num_classes)
    labels = _integers(x)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    num_classes = _check_range(labels, num_classes)
    if isinstance(labels, torch.Tensor):
        return torch.nn.functional.one_hot(labels, num_classes)
    rows = np.zeros((labels.size, num_classes))
    rows[np.arange(labels.size), labels.reshape(-1)] = 1
    return rows.reshape(*labels.shape, num_classes)


def _to_categorical_of_old(x, num_classes, dtype=None, **older):
    modernize(["to_categorical"], older, {"num_classes"})
    rows = to_categorical(x, older.pop("num_classes", num_classes))
    for name in older:
        raise unexpected("to_categorical", name, ("x", "num_classes"))
    if dtype is None:
        return rows
    warn_old("to_categorical", "dtype")
    return rows.to(torch_dtype(dtype)) if isinstance(rows, torch.Tensor) else rows.astype(dtype)


def normalize(x, axis=-1, order=2):
    """Array or tensor divided by its norm along an axis.

    Where the norm is zero the values stay as they are. (Keras divides along the last axis
    when an array is normalized along axis 0; here it is axis 0.)

    Args:
        x: Array or tensor.
        axis: Axis along which the norm is taken.
        order: Order of the norm; 2 is the Euclidean one.

    >>> normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    if isinstance(x, torch.Tensor):
        return _normalize_tensor(x, axis, order)
    x = np.asarray(x)
    norm = np.atleast_1d(np.linalg.norm(x, order, axis, keepdims=True))
    norm[norm == 0] = 1
    return x / norm


def _normalize_tensor(x, axis, order):
    if not isinstance(order, int) or order < 1:
        raise ValueError(
            f"normalize() got order={order!r} for a tensor. An integer of at least 1 is "
            "accepted. Pass order=2 for the Euclidean norm."
        )
    x = torch.atleast_1d(x)
    if not x.is_floating_point():
        x = x.to(torch_dtype())
    norm = torch.linalg.vector_norm(x, order, axis, keepdim=True)
    return x / norm.clamp_min(epsilon())


# ---- labels ---------------------------------------------------------------------------------


def _class_count(num_classes):
    try:
        count = operator.index(num_classes)
    except TypeError:
        raise TypeError(
            f"to_categorical() got num_classes={num_classes!r}. A positive integer is accepted. "
            "Leave it out to use the largest label plus one."
        ) from None
    if count < 1 or isinstance(num_classes, bool):
        raise ValueError(
            f"to_categorical() got num_classes={num_classes!r}. It must be at least 1. Leave it "
            "out to use the largest label plus one."
        )
    return count


def _integers(x):
    """Labels as int64; a tensor stays one, on its device."""
    if isinstance(x, torch.Tensor):
        labels = x.long()
        wrong = labels != x if x.is_floating_point() else None
    else:
        x = np.asarray(x)
        if x.dtype.kind in "biu":
            return x.astype("int64")
        values = _numbers(x)
        with np.errstate(invalid="ignore"):
            labels = values.astype("int64")
        wrong = labels != values
        x = values
    if wrong is not None and wrong.any():
        raise ValueError(
            f"to_categorical() got the label {float(x[wrong][0]):g} (at index {_first(wrong)}). "
            "Labels are integers that count classes from 0. Round them, or leave targets that "
            "are measurements as they are."
        )
    return labels


def _numbers(x):
    try:
        return x.astype("float64")
    except (TypeError, ValueError):
        raise ValueError(
            f"to_categorical() got labels of dtype {x.dtype}. Integers that count classes from 0 "
            "are accepted. Number them first: np.unique(labels, return_inverse=True)[1]."
        ) from None


def _check_range(labels, num_classes):
    """The number of classes, if every label is below it."""
    if not (labels.numel() if isinstance(labels, torch.Tensor) else labels.size):
        if num_classes is None:
            raise ValueError(
                "to_categorical() got no labels. Without any, the number of classes is unknown. "
                "Pass num_classes=."
            )
        return num_classes
    count = num_classes or max(int(labels.max()) + 1, 1)
    wrong = (labels < 0) | (labels >= count)
    if wrong.any():
        raise ValueError(
            f"to_categorical() got the label {int(labels[wrong][0])} (at index {_first(wrong)}) "
            f"for {count} classes. Labels must be 0..{count - 1}. Do they start at 1? Subtract 1. "
            f"More classes? Pass num_classes={max(int(labels.max()) + 1, 1)}."
        )
    return count


def _first(wrong):
    """Index of the first true entry: `3`, or `(0, 3)` in a matrix."""
    wrong = wrong.cpu().numpy() if isinstance(wrong, torch.Tensor) else np.asarray(wrong)
    index = tuple(int(i) for i in np.unravel_index(wrong.argmax(), wrong.shape))
    return index[0] if len(index) == 1 else index


__getattr__ = old_names(__name__)
