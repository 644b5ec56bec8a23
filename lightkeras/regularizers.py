"""Regularizers: a penalty on a weight or an output, added to the loss."""

from __future__ import annotations

import math
import numbers

import torch
import torch.nn.functional as F

from lightkeras._config import Configured
from lightkeras._dtypes import as_tensor
from lightkeras._kinds import CHOICE
from lightkeras._older import old_names
from lightkeras._registry import Table, unknown

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
    "serialize",
]


class Regularizer(Configured):
    """Base of all regularizers: define `__call__(self, x)`, returning a scalar tensor.

    Weights arrive in Keras's layout: (in, out), (height, width, in, out).

    >>> class Largest(Regularizer):
    ...     def __call__(self, x):
    ...         return x.abs().amax()
    >>> Largest()(torch.tensor([1.0, -3.0]))
    tensor(3.)
    """

    def __call__(self, x):
        return 0.0


class L1(Regularizer):
    """l1 * sum(|x|).

    Args:
        l1: Factor, at least 0.

    Raises:
        ValueError: the factor is negative or no number.

    >>> L1(0.5)(torch.tensor([1.0, -3.0]))
    tensor(2.)
    """

    def __init__(self, l1=0.01):
        self.l1 = _factor(self, "l1", 0.01 if l1 is None else l1)

    def __call__(self, x):
        return self.l1 * as_tensor(x).abs().sum()


class L2(Regularizer):
    """l2 * sum(x²).

    Args:
        l2: Factor, at least 0.

    Raises:
        ValueError: the factor is negative or no number.

    >>> L2(0.5)(torch.tensor([1.0, -3.0]))
    tensor(5.)
    """

    def __init__(self, l2=0.01):
        self.l2 = _factor(self, "l2", 0.01 if l2 is None else l2)

    def __call__(self, x):
        return self.l2 * as_tensor(x).square().sum()


class L1L2(Regularizer):
    """l1 * sum(|x|) + l2 * sum(x²). Both are 0 until given, also as "l1_l2".

    Args:
        l1: Factor of the first, at least 0.
        l2: Factor of the second, at least 0.

    Raises:
        ValueError: a factor is negative or no number.

    >>> L1L2(l1=0.5, l2=0.5)(torch.tensor([1.0, -3.0]))
    tensor(7.)
    """

    def __init__(self, l1=0.0, l2=0.0):
        self.l1 = _factor(self, "l1", 0.0 if l1 is None else l1)
        self.l2 = _factor(self, "l2", 0.0 if l2 is None else l2)

    def __call__(self, x):
        x = as_tensor(x)
        penalty = self.l1 * x.abs().sum() if self.l1 else x.new_zeros(())
        return penalty + self.l2 * x.square().sum() if self.l2 else penalty


class OrthogonalRegularizer(Regularizer):
    """Mean |cosine| between the rows (or columns) of a matrix: 0 if they are orthogonal.

    Args:
        factor: Factor, at least 0.
        mode: "rows" or "columns".

    Raises:
        ValueError: an argument is none of these, or x has not two axes.

    >>> OrthogonalRegularizer(1.0)(torch.eye(3))
    tensor(0.)
    """

    _kinds = {"mode": CHOICE}

    def __init__(self, factor=0.01, mode="rows"):
        if mode not in ("rows", "columns"):
            raise unknown("mode", mode, ("rows", "columns"))
        self.factor, self.mode = _factor(self, "factor", factor), mode

    def __call__(self, inputs):
        x = as_tensor(inputs)
        if x.ndim != 2:
            raise ValueError(
                f"OrthogonalRegularizer got a tensor of shape {tuple(x.shape)}. Two axes are "
                "accepted. Use another regularizer here."
            )
        x = F.normalize(x if self.mode == "rows" else x.T, dim=1)  # (n, size)
        n = len(x)
        cosines = torch.triu(x @ x.T, diagonal=1)
        return self.factor * cosines.abs().sum() / (n * (n - 1) / 2)


def _factor(owner, name, value):
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or value < 0:
        shown = value if isinstance(value, (numbers.Real, str)) else type(value).__name__
        raise ValueError(
            f"{type(owner).__name__}() got {name}={shown}. A number of at least 0 is accepted. "
            f"For example {name}=0.01."
        )
    return float(value)


# ---- lookup -------------------------------------------------------------------------------------

l1, l2, l1_l2 = L1, L2, L1L2
orthogonal_regularizer = OrthogonalRegularizer

_table = Table(
    "regularizer",
    [L1, L2, L1L2, OrthogonalRegularizer],
    {"l1": L1, "l2": L2, "l1l2": L1L2, "l1_l2": L1L2},
    base=Regularizer,
)


def get(identifier):
    """The regularizer for a name, a config, a class, a function of a tensor, or None.

    Raises:
        ValueError: no regularizer is called so.

    >>> get("l2").get_config()
    {'l2': 0.01}
    """
    return _table.get(identifier)


def serialize(regularizer):
    """The config of a regularizer."""
    return _table.serialize(regularizer)


def deserialize(config, custom_objects=None):
    """The regularizer that a config describes."""
    return _table.deserialize(config, custom_objects)


__getattr__ = old_names(__name__)
