"""`class_weight` and `sample_weight`: one weight per row, in the structure of y."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from lightkeras._config import _outside
from lightkeras._data._convert import leaves
from lightkeras._dtypes import torch_dtype
from lightkeras._tree import map_structure

__all__ = ["ClassWeights", "class_ids", "weight_tree"]

_SPAN = 10**7  # class ids further apart than this are no class ids


def weight_tree(w, y):
    """`sample_weight` as floats in the structure of y; one array serves all outputs.

    Raises:
        ValueError: the structures differ, or one weight per element is given to several outputs.
    """
    if w is None:
        return None
    w = map_structure(lambda t: None if t is None else t.to(torch_dtype()), w)
    if isinstance(w, torch.Tensor):
        if not isinstance(y, (dict, list, tuple)):
            return w
        if w[:1].numel() > 1:
            raise ValueError(
                f"sample_weight has shape {tuple(w.shape)} for several outputs. One array of one "
                "weight per row is accepted, or one array per output. Give them in the structure "
                "of y."
            )
        return map_structure(lambda _: w, y)
    if _form(w) != _form(y):
        raise ValueError(
            "sample_weight and y differ in structure. One array for all outputs is accepted, or "
            f"one per output in the structure of y. Here y is {_form(y)}, sample_weight {_form(w)}."
        )
    return w


def _form(tree):
    """`['*', '*']`, `{'a': '*'}`...: the structure of a tree in words."""
    if isinstance(tree, dict):
        return {key: _form(tree[key]) for key in sorted(tree)}
    return [_form(item) for item in tree] if isinstance(tree, (list, tuple)) else "*"


def class_ids(y):
    """Class of every row: of ids `(n,)` or `(n, 1)`, or of one-hot rows `(n, classes)`."""
    if y.ndim > 2 or y.is_complex():
        given = "complex numbers" if y.is_complex() else f"shape {tuple(y.shape)}"
        raise ValueError(
            f"class_weight is given, but y has {given}. Targets of one class per row are "
            "accepted, (n,) or (n, classes). Give a sample_weight shaped like y instead."
        )
    if y.ndim > 1:
        if y.dtype is torch.bool:  # in which torch finds no maximum
            y = y.byte()
        y = y.argmax(-1) if y.shape[-1] > 1 else y.squeeze(-1)
    return y.round().long() if y.is_floating_point() else y.long()


class ClassWeights:
    """`class_weight` as a look-up table: classes that it does not name weigh 1.

    Args:
        value: `{class: weight}`, or a list of weights by class.

    Raises:
        TypeError: it is neither.
        ValueError: a class is no integer, or a weight is negative or not finite.

    >>> ClassWeights({0: 1.0, 2: 5.0})(torch.tensor([0, 1, 2, 9]))
    tensor([1., 1., 5., 1.])
    >>> ClassWeights([0.5, 2])(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    tensor([2.0000, 0.5000])
    """

    def __init__(self, value):
        if isinstance(value, (list, tuple, np.ndarray, torch.Tensor)):
            value = dict(enumerate(value))
        if not isinstance(value, dict) or not value:
            given = "empty" if value == {} else f"of type {type(value).__name__}"
            raise TypeError(
                f"class_weight is {given}. A dict of "
                "classes and weights is accepted, or a list of weights. Write {0: 1.0, 1: 5.0}."
            )
        weights = {self._class(k): self._weight(k, v) for k, v in value.items()}
        self.low, high = min(weights), max(weights)
        self.span = high - self.low + 1
        if self.span > _SPAN:
            raise ValueError(
                f"class_weight names classes from {self.low} to {high}. Classes are counted from "
                "0. Number them, for example with np.unique(y, return_inverse=True)."
            )
        self.classes = set(weights)
        table = [weights.get(self.low + i, 1.0) for i in range(self.span)]
        self.table = torch.tensor(table + [1.0], dtype=torch_dtype(), device="cpu")

    @staticmethod
    def _class(key):
        if isinstance(key, (int, float, np.number)) and float(key).is_integer():
            return int(key)
        raise ValueError(
            f"class_weight has the class {key!r}. Class numbers are accepted. "
            "Write {0: 1.0, 1: 5.0}."
        )

    @staticmethod
    def _weight(key, value):
        try:
            weight = float(value)
        except (TypeError, ValueError):
            weight = -1.0
        if not 0 <= weight < float("inf"):
            raise ValueError(
                f"class_weight[{key!r}] is {value!r}. Finite weights of 0 or more are accepted. "
                "Write for example 1.0."
            )
        return weight

    def __call__(self, y):
        """Weight of every row of the targets y, on their device."""
        if self.table.device != y.device:
            self.table = self.table.to(y.device)
        return self.table[(class_ids(y) - self.low).clamp(-1, self.span)]

    def apply(self, y, w):
        """`sample_weight` times the weights of the classes."""
        if y is None:
            raise ValueError(
                "class_weight needs y. Targets with one class per row are accepted. "
                "Give y, or drop class_weight."
            )
        if not isinstance(y, torch.Tensor):
            raise ValueError(
                f"class_weight is given, but y has {len(leaves(y, 'y'))} outputs. Models with a "
                "single output are accepted. Give one sample_weight per output instead."
            )
        weights = self(y)
        if w is None:
            return weights
        return w * weights.reshape(-1, *[1] * (w.ndim - 1))

    def check(self, y):
        """Warn of classes in y without a weight and of weights whose class never comes."""
        if not isinstance(y, torch.Tensor):
            return
        present = set(class_ids(y).unique().tolist())
        if y.ndim > 1 and y.shape[-1] > 1:
            present = set(range(y.shape[-1]))
        without, never = sorted(present - self.classes), sorted(self.classes - present)
        if without:
            _warn(f"class_weight has no weight for {_listed(without)}: they weigh 1.")
        if never:
            _warn(f"class_weight names {_listed(never)}, but y has only {_listed(present)}.")


def _listed(classes):
    shown = [str(c) for c in sorted(classes)]
    text = ", ".join(shown[:10]) + (", ..." if len(shown) > 10 else "")
    return f"class{'' if len(shown) == 1 else 'es'} {text}"


def _warn(text):
    warnings.warn(
        f"{text} One weight per class is expected. Complete or correct the dict.",
        stacklevel=_outside(),
    )
