"""Wrong data gets a sentence before the first step: once, vectorised, without a copy."""

from __future__ import annotations

import math
import operator
import warnings

import numpy as np
import torch

from lightkeras._config import _outside
from lightkeras._data._convert import is_structure, leaves

__all__ = [
    "check_batch_size",
    "check_finite",
    "check_rows",
    "check_shuffle",
    "check_split",
    "check_steps",
    "check_weights",
    "warn_not_finite",
    "warn_unscaled",
]

# Of huge inputs (a memory map, say) only this many values are read before the first step.
_SCANNED = 2**28


def check_batch_size(value, name="batch_size"):
    """`batch_size` as an int, or None."""
    return _positive(name, value, 32)


def check_steps(value, name="steps"):
    """A number of steps as an int, or None."""
    if isinstance(value, float) and value > 0 and not value.is_integer():
        raise ValueError(
            f"{name} is {value:g}. A whole number of batches is accepted. "
            f"Write {name}={math.ceil(value)}."
        )
    return _positive(name, value, 100, whole_floats=True)


def _positive(name, value, example, whole_floats=False):
    if value is None:
        return None
    if whole_floats and isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        number = 0 if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(
            f"{name} is {value!r}. A positive integer is accepted, or None. Write {name}={example}."
        )
    return number


def check_shuffle(value):
    """`shuffle`: a truth value, or "batch"."""
    if isinstance(value, str) and value != "batch":
        raise ValueError(
            f"shuffle is {value!r}. True, False and 'batch' are accepted. Write shuffle=True."
        )
    return value


def check_split(fraction):
    """`validation_split`: at least 0 and less than 1."""
    number = fraction if isinstance(fraction, (int, float, np.number)) else math.nan
    if isinstance(fraction, bool) or not 0 <= number < 1:
        raise ValueError(
            f"validation_split is {fraction!r}. A fraction of the rows is accepted, from 0 to "
            "less than 1. Write validation_split=0.2 for the last fifth."
        )
    return float(number)


# ---- rows -------------------------------------------------------------------------------------


def check_rows(trees, names, given=None, allow_empty=False):
    """The number of samples that all arrays have.

    Args:
        trees: x, y and the weights as trees of tensors.
        names: What errors call them.
        given: x as the user gave it, for the hint.
        allow_empty: Accept arrays of 0 rows.

    Raises:
        ValueError: they differ, or there is none.
    """
    named = [pair for tree, name in zip(trees, names, strict=True) for pair in leaves(tree, name)]
    if not leaves(trees[0], names[0]):
        raise ValueError(
            f"{names[0]} holds no array. At least one is accepted. Give the data as {names[0]}."
        )
    (name, first), *others = named
    rows = len(first)
    for other, t in others:
        if len(t) != rows:
            raise ValueError(
                f"{name} has {_samples(rows)}, {other} has {len(t)}. Every array needs one row per "
                f"sample. {_row_hint(names[0], given, (name, first), (other, t))}"
            )
    if rows == 0 and not allow_empty:
        raise ValueError(
            f"{name} has 0 samples. At least one is accepted. Look at how it was cut or "
            f"filtered: its shape is {tuple(first.shape)}."
        )
    return rows


def _samples(n):
    return f"{n} sample{'' if n == 1 else 's'}"


def _row_hint(x, given, one, other):
    many = len(given) if isinstance(given, (list, tuple)) and is_structure(given) else None
    if len(other[1]) == many:
        return (
            f"{x} is a list of {many} arrays, taken as {many} inputs: np.stack({x}) makes it one."
        )
    return f"Compare {one[0]} {tuple(one[1].shape)} with {other[0]} {tuple(other[1].shape)}."


# ---- values -----------------------------------------------------------------------------------


def check_finite(tree, name):
    """Refuse NaN and infinity.

    A sum is finite only where all its terms are: one pass, no copy. Only where it is not are
    the values looked at one by one.
    """
    for label, t in leaves(tree, name):
        said = _not_finite(label, t)
        if said:
            raise ValueError(f"{said} Only finite numbers are accepted. Drop or fill those rows.")


def warn_not_finite(tree, name):
    """Warn of NaN and infinity, which a model may know how to replace."""
    for label, t in leaves(tree, name):
        if t.numel() > _SCANNED:
            t = t[: _SCANNED // max(t[:1].numel(), 1) + 1]
        said = _not_finite(label, t)
        if said:
            warnings.warn(
                f"{said} The loss becomes NaN unless the model replaces them. Fill them, for "
                f"example with np.nan_to_num({label}).",
                stacklevel=_outside(),
            )


def _not_finite(label, t):
    """`y contains NaN: ...`, or an empty string."""
    if not t.is_floating_point() or math.isfinite(t.sum()):
        return ""
    bad = (~t.isfinite()).nonzero()
    if not len(bad):  # the sum overflowed, no value did
        return ""
    where = tuple(bad[0].tolist())
    found = "NaN" if t[where].isnan() else "infinite values"
    return (
        f"{label} contains {found}: {len(bad)} of {t.numel()} values, the first at {_spot(where)}."
    )


def _spot(where):
    return f"[{', '.join(map(str, where))}]"


def check_weights(w, name):
    """Refuse NaN in `sample_weight`; warn where all weights of an output are 0."""
    check_finite(w, name)
    for label, t in leaves(w, name):
        if len(t) and not t.any():
            warnings.warn(
                f"{label} is 0 for every sample. Nothing is learned from weights of 0. "
                "Check how the weights were made.",
                stacklevel=_outside(),
            )


def warn_unscaled(x, rescales=False):
    """Warn of images that are fed as bytes, 0 to 255, to a model that does not rescale them.

    Args:
        x: Tree of tensors.
        rescales: Whether the first layer takes raw bytes (Rescaling, Normalization, Embedding...).
    """
    for label, t in [] if rescales else leaves(x, "x"):
        if t.dtype == torch.uint8 and t.ndim > 1 and bool((t[:1024] > 1).any()):
            warnings.warn(
                f"{label} is uint8, 0 to {int(t[:1024].max())}: unscaled images train badly. "
                f"Values around 0 to 1 are expected. Write {label}.astype('float32') / 255, or "
                "begin the model with Rescaling(1 / 255).",
                stacklevel=_outside(),
            )
