"""Kinds of arguments that losses, metrics, optimizers and the like take, checked when one is made.

    class Huber(Loss):
        _kinds = {"delta": POSITIVE}

The kinds of a class and those of its bases count together. Only classes of ours are checked: in
a subclass of the user's own a name may mean something else.
"""

from __future__ import annotations

import math
from numbers import Integral, Real

import numpy as np

# fmt: off
__all__ = [
    "AXES", "AXIS", "CHOICE", "FLAG", "FROM_0", "FUNCTION", "NUMBER", "NUMBERS", "POSITIVE", "TEXT",
    "WHOLE", "check_kinds", "within",
]
# fmt: on


class Kind:
    """What an argument may be.

    Args:
        accepted: In words: "A number".
        example: What to type where the signature has no default.
        fits: Whether a value is of this kind.
    """

    def __init__(self, accepted, example, fits):
        self.accepted, self.example, self.fits = accepted, example, fits

    def __or__(self, none):
        """The kind or None."""
        accepted = f"{self.accepted.removesuffix(',')} or None"
        return Kind(accepted, self.example, lambda v: v is None or self.fits(v))

    def or_else(self, fits):
        """The kind, or what files have in its place."""
        return Kind(self.accepted, self.example, lambda v: self.fits(v) or _fits(fits, v))


def _fits(fits, value):
    try:
        return fits(value)
    except TypeError:
        return False


def _is_flag(value):
    return isinstance(value, (bool, np.bool_)) or (isinstance(value, Integral) and value in (0, 1))


def _is_number(value):
    if getattr(value, "ndim", None) == 0 and not isinstance(value, np.generic):
        return True  # a tensor or array that holds one number
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


def _is_whole(value):
    return isinstance(value, Integral) and not isinstance(value, bool)


def _are_numbers(value):
    try:
        return np.asarray(getattr(value, "detach", lambda: value)()).dtype.kind in "biuf"
    except (TypeError, ValueError):
        return False


def _are_axes(value):
    return _is_whole(value) or (isinstance(value, (tuple, list)) and all(map(_is_whole, value)))


FLAG = Kind("True or False", "True", _is_flag)
NUMBER = Kind("A number", "0.5", _is_number)
POSITIVE = Kind("A finite number above 0", "0.5", lambda v: _is_number(v) and 0 < v < math.inf)
FROM_0 = Kind("A number from 0", "0.5", lambda v: _is_number(v) and v >= 0)
NUMBERS = Kind("A number, or an array of them,", "0.5", _are_numbers)
WHOLE = Kind("A whole number above 0", "2", lambda v: _is_whole(v) and v > 0)
AXIS = Kind("A whole number", "-1", _is_whole)
AXES = Kind("A whole number, or a list of them,", "-1", _are_axes)
TEXT = Kind("A text or None", "'mine'", lambda v: v is None or isinstance(v, str))
CHOICE = Kind("A name or None", "None", lambda v: not hasattr(v, "shape"))
FUNCTION = Kind("A function", "my_function", callable)


def check_kinds(cls, signature, args, kwargs):
    """Raise TypeError where an argument of a constructor is not of its kind."""
    kinds = {
        k: v for base in reversed(cls.__mro__) for k, v in vars(base).get("_kinds", {}).items()
    }
    parameters = list(signature.parameters.values())[1:]
    if "_any_keyword" in vars(cls):  # they are those of the user's function
        kwargs = {p.name: kwargs[p.name] for p in parameters if p.name in kwargs}
    given = {**{p.name: value for p, value in zip(parameters, args, strict=False)}, **kwargs}
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    for name, value in given.items():
        kind = kinds.get(name)
        if kind is None or kind.fits(value) or value is defaults.get(name, kind):
            continue
        example = repr(defaults[name]) if name in defaults else kind.example
        raise TypeError(
            f"{cls.__name__}() got {name}={_shown(value)}. {kind.accepted} is accepted. Type "
            f"{name}={example}."
        )


def _shown(value):
    return f"an array of shape {value.shape}" if hasattr(value, "shape") else f"{value!r:.60}"


def within(owner, axis, rank):
    """Raise ValueError where an axis is not one of `rank` axes."""
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    if any(not -rank <= a < rank for a in axes):
        raise ValueError(
            f"{owner} has axis={axis}, and got a tensor of {rank} axes. {-rank} to {rank - 1} are "
            "accepted. Type axis=-1 for the last."
        )
