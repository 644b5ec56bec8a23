"""Constraints: what a weight is brought back to after every update."""

from __future__ import annotations

from lightkeras._config import Configured
from lightkeras._dtypes import as_tensor
from lightkeras._kinds import AXES, NUMBER
from lightkeras._older import old_names
from lightkeras._registry import Table
from lightkeras.config import epsilon

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "max_norm",
    "maxnorm",
    "min_max_norm",
    "non_neg",
    "nonneg",
    "serialize",
    "unit_norm",
    "unitnorm",
]


_NORMS = {"axis": AXES, "max_value": NUMBER, "min_value": NUMBER, "rate": NUMBER}


class Constraint(Configured):
    """Base of all constraints: define `__call__(self, w)`, returning the new weight.

    Weights arrive in Keras's layout: (in, out) for Dense, (height, width, in, out) for Conv2D.

    Args of those with norms:
        axis: Axis or axes of one vector of weights: 0 for what enters a Dense unit, [0, 1, 2]
            for what enters a Conv2D filter.

    >>> import torch
    >>> class AtMostOne(Constraint):
    ...     def __call__(self, w):
    ...         return w.clamp(max=1)
    >>> AtMostOne()(torch.tensor([0.5, 3.0]))
    tensor([0.5000, 1.0000])
    """

    def __call__(self, w):
        return w


def _norms(w, axis):
    try:
        return w.square().sum(axis, keepdim=True).sqrt()
    except IndexError:
        raise ValueError(
            f"A constraint has axis={axis}, its weight the shape {tuple(w.shape)} in Keras's "
            f"layout. Axes from 0 to {w.ndim - 1} are accepted. For example axis=0 for Dense."
        ) from None


class MaxNorm(Constraint):
    """Vectors longer than `max_value` are shortened to it.

    Args:
        max_value: Largest norm.
        axis: See `Constraint`.

    >>> import torch
    >>> MaxNorm(1.0)(torch.tensor([[3.0], [4.0]]))
    tensor([[0.6000],
            [0.8000]])
    """

    _kinds = _NORMS

    def __init__(self, max_value=2, axis=0):
        self.max_value, self.axis = max_value, axis

    def __call__(self, w):
        w = as_tensor(w)
        norms = _norms(w, self.axis)
        return w * (norms.clamp(0, self.max_value) / (epsilon() + norms))


class NonNeg(Constraint):
    """Negative weights become 0."""

    def __call__(self, w):
        return as_tensor(w).clamp(min=0)


class UnitNorm(Constraint):
    """Every vector gets length 1.

    Args:
        axis: See `Constraint`.
    """

    _kinds = _NORMS

    def __init__(self, axis=0):
        self.axis = axis

    def __call__(self, w):
        w = as_tensor(w)
        return w / (epsilon() + _norms(w, self.axis))


class MinMaxNorm(Constraint):
    """Vectors are brought to a length between `min_value` and `max_value`.

    Args:
        min_value: Smallest norm.
        max_value: Largest norm.
        rate: How much of the way is gone at each update, 0 to 1.
        axis: See `Constraint`.
    """

    _kinds = _NORMS

    def __init__(self, min_value=0.0, max_value=1.0, rate=1.0, axis=0):
        self.min_value, self.max_value = min_value, max_value
        self.rate, self.axis = rate, axis

    def __call__(self, w):
        w = as_tensor(w)
        norms = _norms(w, self.axis)
        inside = norms.clamp(self.min_value, self.max_value)
        return w * ((self.rate * inside + (1 - self.rate) * norms) / (epsilon() + norms))


# ---- lookup -------------------------------------------------------------------------------------

max_norm = maxnorm = MaxNorm
min_max_norm = MinMaxNorm
non_neg = nonneg = NonNeg
unit_norm = unitnorm = UnitNorm

_table = Table(
    "constraint",
    [MaxNorm, MinMaxNorm, NonNeg, UnitNorm],
    {"maxnorm": MaxNorm, "nonneg": NonNeg, "unitnorm": UnitNorm},
    base=Constraint,
)


def get(identifier):
    """The constraint for a name, a config, a class, a function of a weight, or None.

    Raises:
        ValueError: no constraint is called so.

    >>> get("max_norm").get_config()
    {'max_value': 2, 'axis': 0}
    """
    return _table.get(identifier)


def serialize(constraint):
    """The config of a constraint."""
    return _table.serialize(constraint)


def deserialize(config, custom_objects=None):
    """The constraint that a config describes."""
    return _table.deserialize(config, custom_objects)


__getattr__ = old_names(__name__)
