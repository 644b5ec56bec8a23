"""Functions of two tensors, value by value, with broadcasting."""

from __future__ import annotations

import torch

from lightkeras.ops._op import family, floating, widened

# fmt: off
__all__ = [
    "add", "allclose", "arctan2", "bitwise_and", "bitwise_left_shift", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "divide", "divide_no_nan", "equal", "floor_divide",
    "fmax", "fmin", "fmod", "gcd", "greater", "greater_equal", "heaviside", "hypot", "isclose",
    "lcm", "ldexp", "left_shift", "less", "less_equal", "logaddexp", "logaddexp2", "logical_and",
    "logical_or", "logical_xor", "maximum", "minimum", "mod", "multiply", "nextafter",
    "not_equal", "power", "right_shift", "subtract", "true_divide",
]
# fmt: on

op = family("numpy")


def _promoted(x1, x2):
    """Both in the dtype that holds the values of both."""
    dtype = torch.result_type(x1, x2)
    return x1.to(dtype), x2.to(dtype)


def _floats(x1, x2):
    """Promoted, integers as floats: half precision beside integers stays what it is."""
    x1, x2 = _promoted(x1, x2)
    return floating(x1), floating(x2)


def _integers(x1, x2):
    """Promoted, truth values as integers."""
    x1, x2 = _promoted(x1, x2)
    return widened(x1), widened(x2)


# ---- arithmetic ---------------------------------------------------------------------------------


@op("x1", "x2", numbers=True)
def add(x1, x2):
    """x1 + x2. A Python number does not change the dtype.

    >>> add(torch.ones(2, dtype=torch.float16), 2.0)
    tensor([3., 3.], dtype=torch.float16)
    """
    return x1 + x2


@op("x1", "x2", numbers=True)
def subtract(x1, x2):
    """x1 - x2."""
    if torch.bool in (getattr(x1, "dtype", None), getattr(x2, "dtype", None)):
        x1, x2 = _promoted(x1, x2)  # torch takes no truth value from a number
    return x1 - x2


@op("x1", "x2", numbers=True)
def multiply(x1, x2):
    """x1 * x2."""
    return x1 * x2


@op("x1", "x2", numbers=True)
def divide(x1, x2):
    """x1 / x2, a float also for integers."""
    return torch.divide(x1, x2)


@op("x1", "x2", numbers=True)
def true_divide(x1, x2):
    """`divide`."""
    return torch.divide(x1, x2)


@op("x1", "x2")
def divide_no_nan(x1, x2):
    """x1 / x2, and 0 where x2 is 0.

    >>> divide_no_nan([1.0, 2.0], [0.0, 4.0])
    tensor([0.0000, 0.5000])
    """
    x1, x2 = _floats(x1, x2)
    zero = x2 == 0
    return torch.where(zero, 0.0, x1 / torch.where(zero, 1.0, x2))


@op("x1", "x2")
def floor_divide(x1, x2):
    """x1 / x2 rounded down."""
    return torch.floor_divide(*_integers(x1, x2))


@op("x1", "x2")
def mod(x1, x2):
    """The rest of `floor_divide`, with the sign of x2."""
    return torch.remainder(*_integers(x1, x2))


@op("x1", "x2")
def fmod(x1, x2):
    """The rest of a division rounded towards 0, with the sign of x1."""
    return torch.fmod(*_integers(x1, x2))


@op("x1", "x2", numbers=True)
def power(x1, x2):
    """x1 to the power of x2."""
    return torch.pow(x1, x2)


@op("x1", "x2")
def gcd(x1, x2):
    """Greatest common divisor."""
    return torch.gcd(*_promoted(x1, x2))


@op("x1", "x2")
def lcm(x1, x2):
    """Least common multiple."""
    return torch.lcm(*_promoted(x1, x2))


@op("x1", "x2")
def ldexp(x1, x2):
    """x1 * 2 ** x2, for integers x2.

    Raises:
        TypeError: x2 are no integers.
    """
    if x2.is_floating_point() or x2.dtype is torch.bool:
        raise TypeError(
            f"ldexp() got x2 of dtype {x2.dtype}. The exponents are integers. "
            'Type ops.cast(x2, "int32").'
        )
    return torch.ldexp(floating(x1), x2)


# ---- larger and smaller -------------------------------------------------------------------------


@op("x1", "x2")
def maximum(x1, x2):
    """The larger of two; nan if one is nan.

    >>> maximum([1, 5], 3)
    tensor([3, 5], dtype=torch.int32)
    """
    return torch.maximum(x1, x2)


@op("x1", "x2")
def minimum(x1, x2):
    """The smaller of two; nan if one is nan."""
    return torch.minimum(x1, x2)


@op("x1", "x2")
def fmax(x1, x2):
    """The larger of two; the other one if one is nan."""
    return torch.fmax(x1, x2)


@op("x1", "x2")
def fmin(x1, x2):
    """The smaller of two; the other one if one is nan."""
    return torch.fmin(x1, x2)


@op("x1", "x2")
def heaviside(x1, x2):
    """0 below 0, 1 above, x2 at 0."""
    return torch.heaviside(*_floats(x1, x2))


# ---- comparisons --------------------------------------------------------------------------------


@op("x1", "x2", numbers=True)
def equal(x1, x2):
    """Whether x1 == x2."""
    return x1 == x2


@op("x1", "x2", numbers=True)
def not_equal(x1, x2):
    """Whether x1 != x2."""
    return x1 != x2


@op("x1", "x2", numbers=True)
def greater(x1, x2):
    """Whether x1 > x2."""
    return x1 > x2


@op("x1", "x2", numbers=True)
def greater_equal(x1, x2):
    """Whether x1 >= x2."""
    return x1 >= x2


@op("x1", "x2", numbers=True)
def less(x1, x2):
    """Whether x1 < x2."""
    return x1 < x2


@op("x1", "x2", numbers=True)
def less_equal(x1, x2):
    """Whether x1 <= x2."""
    return x1 <= x2


@op("x1", "x2", "=rtol", "=atol")
def isclose(x1, x2, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether |x1 - x2| <= atol + rtol * |x2|; integers must be equal."""
    x1, x2 = _promoted(x1, x2)
    if not x1.is_floating_point():
        return x1 == x2
    return torch.isclose(x1, x2, rtol=rtol, atol=atol, equal_nan=equal_nan)


@op("x1", "x2", keras="AllClose")
def allclose(x1, x2, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether all values are close to each other."""
    return torch.all(isclose(x1, x2, rtol, atol, equal_nan))


# ---- truth values and bits ----------------------------------------------------------------------


@op("x1", "x2")
def logical_and(x1, x2):
    """Whether both are true (not 0)."""
    return torch.logical_and(x1, x2)


@op("x1", "x2")
def logical_or(x1, x2):
    """Whether one is true (not 0)."""
    return torch.logical_or(x1, x2)


@op("x1", "x2")
def logical_xor(x1, x2):
    """Whether exactly one is true (not 0)."""
    return torch.logical_xor(x1, x2)


@op("x", "y")
def bitwise_and(x, y):
    """The bits that are set in both."""
    return torch.bitwise_and(x, y)


@op("x", "y")
def bitwise_or(x, y):
    """The bits that are set in one of them."""
    return torch.bitwise_or(x, y)


@op("x", "y")
def bitwise_xor(x, y):
    """The bits that are set in exactly one of them."""
    return torch.bitwise_xor(x, y)


@op("x", "y")
def bitwise_left_shift(x, y):
    """The bits moved up by y places.

    >>> bitwise_left_shift([1, 3], 2)
    tensor([ 4, 12], dtype=torch.int32)
    """
    return torch.bitwise_left_shift(x, y)


@op("x", "y")
def left_shift(x, y):
    """`bitwise_left_shift`."""
    return torch.bitwise_left_shift(x, y)


@op("x", "y")
def bitwise_right_shift(x, y):
    """The bits moved down by y places."""
    return torch.bitwise_right_shift(x, y)


@op("x", "y")
def right_shift(x, y):
    """`bitwise_right_shift`."""
    return torch.bitwise_right_shift(x, y)


# ---- functions ----------------------------------------------------------------------------------


@op("x1", "x2")
def arctan2(x1, x2):
    """The angle of the point (x2, x1), in [-pi, pi]."""
    return torch.arctan2(*_floats(x1, x2))


@op("x1", "x2")
def hypot(x1, x2):
    """sqrt(x1^2 + x2^2) without overflow."""
    return torch.hypot(*_floats(x1, x2))


@op("x1", "x2")
def logaddexp(x1, x2):
    """log(exp(x1) + exp(x2)) without overflow."""
    return torch.logaddexp(*_floats(x1, x2))


@op("x1", "x2")
def logaddexp2(x1, x2):
    """log2(2^x1 + 2^x2) without overflow."""
    return torch.logaddexp2(*_floats(x1, x2))


@op("x1", "x2")
def nextafter(x1, x2):
    """The next float after x1 in the direction of x2."""
    return torch.nextafter(*_floats(x1, x2))
