"""The numbers of an optimizer: checked when given, assignable when read."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real

import numpy as np

__all__ = ["Count", "Rate", "at_least_zero", "fraction", "number", "positive", "whole"]


class _Assignable:
    """What Keras code does with the learning rate and the step count, on a plain number."""

    _dtype = "float32"
    _assign: Callable

    def __new__(cls, value, assign):
        new = super().__new__(cls, value)  # type: ignore[call-arg]
        new._assign = assign
        return new

    @property
    def value(self):
        return self

    def assign(self, value):
        """Give the optimizer a new value; returns it."""
        self._assign(value)
        return type(self)(value, self._assign)

    def assign_add(self, value):
        """Add to the optimizer's value; returns the sum."""
        return self.assign(self + value)

    def numpy(self):
        """A NumPy array without axes."""
        return np.asarray(self, dtype=self._dtype)

    def __reduce__(self):
        # A copy in a History or a file is a number and does not drag the optimizer along.
        base = type(self).__mro__[2]
        return base, (base(self),)


class Rate(_Assignable, float):
    """The learning rate at the moment of reading: a float that can be assigned."""


class Count(_Assignable, int):
    """The number of steps at the moment of reading: an int that can be assigned."""

    _dtype = "int32"


# ---- checks -----------------------------------------------------------------------------------


def number(owner, name, value) -> float:
    """`value` as a float; arrays and tensors without axes count as numbers.

    Raises:
        TypeError: it is no number.
    """
    if not isinstance(value, (Real, np.number)) and getattr(value, "ndim", None) != 0:
        value = None
    if value is None or isinstance(value, bool):
        raise TypeError(
            f"{type(owner).__name__}({name}=...) is not a number. One real number is accepted. "
            f"Write {name}=0.5, for example."
        )
    return float(value)


def _refuse(owner, name, value, accepted):
    return ValueError(
        f"{type(owner).__name__}({name}={value}) is out of range. Accepted: {accepted}. "
        f"Change {name}, or leave it out for the default."
    )


def fraction(owner, name, value, closed=False) -> float:
    """A number in [0, 1), or in [0, 1] if `closed`."""
    checked = number(owner, name, value)
    if not (0 <= checked < 1 or (closed and checked == 1)):
        raise _refuse(owner, name, value, "0 <= x <= 1" if closed else "0 <= x < 1")
    return checked


def at_least_zero(owner, name, value) -> float:
    """A finite number that is not negative."""
    checked = number(owner, name, value)
    if not 0 <= checked < math.inf:
        raise _refuse(owner, name, value, "a finite number x >= 0")
    return checked


def positive(owner, name, value) -> float | None:
    """None, or a finite number above zero."""
    if value is None:
        return None
    checked = number(owner, name, value)
    if not 0 < checked < math.inf:
        raise _refuse(owner, name, value, "None or a finite number x > 0")
    return checked


def whole(owner, name, value, least) -> int | None:
    """None, or an integer of at least `least`."""
    if value is None:
        return None
    checked = number(owner, name, value)
    if not math.isfinite(checked) or checked != int(checked) or checked < least:
        raise _refuse(owner, name, value, f"None or an integer x >= {least}")
    return int(checked)
