"""Functions of one tensor, value by value; of integers floats where the result is none."""

from __future__ import annotations

import torch

from lightkeras._dtypes import torch_dtype
from lightkeras.ops._op import OPERATIONS, family, floating, widened

# fmt: off
__all__ = [
    "abs", "absolute", "angle", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh",
    "bitwise_invert", "bitwise_not", "cbrt", "ceil", "clip", "conj", "conjugate", "copy", "cos",
    "cosh", "deg2rad", "exp", "exp2", "expm1", "fabs", "floor", "i0", "imag", "isfinite", "isinf",
    "isnan", "isneginf", "isposinf", "isreal", "log", "log1p", "log2", "log10", "logical_not",
    "nan_to_num", "negative", "rad2deg", "real", "reciprocal", "round", "sign", "signbit", "sin",
    "sinc", "sinh", "sqrt", "square", "tan", "tanh", "trunc", "view",
]
# fmt: on

op = family("numpy")


# ---- sizes and signs ----------------------------------------------------------------------------


@op
def absolute(x):
    """Without the sign; of complex numbers the modulus.

    >>> absolute([-1, 2])
    tensor([1, 2], dtype=torch.int32)
    """
    return x if x.dtype is torch.bool else torch.abs(x)


abs = absolute
OPERATIONS["numpy.Abs"] = absolute


@op
def fabs(x):
    """`absolute`, as floats."""
    return torch.abs(floating(x))


@op
def negative(x):
    """-x."""
    return torch.negative(x)


@op
def sign(x):
    """-1, 0 or 1."""
    return torch.sign(x)


@op
def signbit(x):
    """Whether the sign bit is set: true for -0.0, too."""
    return torch.signbit(x)


@op
def reciprocal(x):
    """1 / x."""
    return torch.reciprocal(x)


@op
def clip(x, x_min, x_max):
    """x brought between two bounds, which may be tensors.

    >>> clip([-3.0, 0.5, 3.0], -1, 1)
    tensor([-1.0000,  0.5000,  1.0000])
    """
    return torch.clamp(widened(x), x_min, x_max)


@op
def nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    """x with numbers in the place of nan and of infinities (by default the largest ones)."""
    return torch.nan_to_num(x, nan, posinf, neginf)


@op
def copy(x):
    """A tensor of its own with the same values."""
    return torch.clone(x)


# ---- rounding -----------------------------------------------------------------------------------


@op
def ceil(x):
    """The next integer above, as a float."""
    return torch.ceil(floating(x))


@op
def floor(x):
    """The next integer below, as a float."""
    return torch.floor(floating(x))


@op
def trunc(x):
    """The next integer towards 0."""
    return x if x.dtype is torch.bool else torch.trunc(x)


@op
def round(x, decimals=0):
    """The nearest number with so many decimals; halves go to the even one.

    >>> round([0.5, 1.5, 2.26], 1)
    tensor([0.5000, 1.5000, 2.3000])
    """
    if x.is_floating_point():
        return torch.round(x, decimals=decimals)
    if x.dtype is torch.bool or decimals >= 0:
        return x
    return torch.round(floating(x), decimals=decimals).to(x.dtype)


# ---- powers, exponentials, logarithms -----------------------------------------------------------


@op
def square(x):
    """x * x."""
    return torch.square(widened(x))


@op
def sqrt(x):
    """Square root; nan for negative numbers."""
    return torch.sqrt(x)


@op
def cbrt(x):
    """Cube root, also of negative numbers."""
    x = floating(x)
    return torch.sign(x) * torch.abs(x) ** (1 / 3)


@op
def exp(x):
    """e to the power of x."""
    return torch.exp(floating(x))


@op
def exp2(x):
    """2 to the power of x."""
    return torch.exp2(floating(x))


@op
def expm1(x):
    """exp(x) - 1, precise for small x."""
    return torch.expm1(floating(x))


@op
def log(x):
    """Natural logarithm."""
    return torch.log(floating(x))


@op
def log10(x):
    """Logarithm of base 10."""
    return torch.log10(floating(x))


@op
def log1p(x):
    """log(1 + x), precise for small x."""
    return torch.log1p(floating(x))


@op
def log2(x):
    """Logarithm of base 2."""
    return torch.log2(floating(x))


@op
def i0(x):
    """The modified Bessel function of the first kind, order 0."""
    return torch.i0(floating(x))


# ---- angles -------------------------------------------------------------------------------------


@op
def sin(x):
    """Sine."""
    return torch.sin(floating(x))


@op
def cos(x):
    """Cosine."""
    return torch.cos(floating(x))


@op
def tan(x):
    """Tangent."""
    return torch.tan(floating(x))


@op
def sinc(x):
    """sin(pi x) / (pi x), and 1 at 0."""
    return torch.sinc(floating(x))


@op
def sinh(x):
    """Hyperbolic sine."""
    return torch.sinh(floating(x))


@op
def cosh(x):
    """Hyperbolic cosine."""
    return torch.cosh(floating(x))


@op
def tanh(x):
    """Hyperbolic tangent."""
    return torch.tanh(floating(x))


@op
def arcsin(x):
    """The angle in [-pi/2, pi/2] with this sine."""
    return torch.arcsin(floating(x))


@op
def arccos(x):
    """The angle in [0, pi] with this cosine."""
    return torch.arccos(floating(x))


@op
def arctan(x):
    """The angle in (-pi/2, pi/2) with this tangent."""
    return torch.arctan(floating(x))


@op
def arcsinh(x):
    """Inverse of `sinh`."""
    return torch.arcsinh(floating(x))


@op
def arccosh(x):
    """Inverse of `cosh`, from 1 upwards."""
    return torch.arccosh(floating(x))


@op
def arctanh(x):
    """Inverse of `tanh`, between -1 and 1."""
    return torch.arctanh(floating(x))


@op
def deg2rad(x):
    """Degrees as radians."""
    return torch.deg2rad(floating(x))


@op
def rad2deg(x):
    """Radians as degrees."""
    return torch.rad2deg(floating(x))


# ---- complex numbers ----------------------------------------------------------------------------


@op
def angle(x):
    """The angle of a complex number; 0 or pi for a real one."""
    return torch.angle(x)


@op
def conjugate(x):
    """The complex conjugate."""
    return torch.conj(x).resolve_conj()


conj = conjugate
OPERATIONS["numpy.Conj"] = conjugate


@op
def real(x):
    """The real part."""
    return torch.real(x)


@op
def imag(x):
    """The imaginary part; 0 for a real tensor."""
    return torch.imag(x) if x.is_complex() else torch.zeros_like(x)


# ---- questions ----------------------------------------------------------------------------------


@op
def isfinite(x):
    """Whether it is neither infinite nor nan."""
    return torch.isfinite(x)


@op
def isinf(x):
    """Whether it is infinite."""
    return torch.isinf(x)


@op
def isnan(x):
    """Whether it is nan."""
    return torch.isnan(x)


@op
def isneginf(x):
    """Whether it is -infinity."""
    return torch.isneginf(x)


@op
def isposinf(x):
    """Whether it is +infinity."""
    return torch.isposinf(x)


@op
def isreal(x):
    """Whether the imaginary part is 0."""
    return torch.isreal(x)


# ---- truth values and bits ----------------------------------------------------------------------


@op
def logical_not(x):
    """Whether it is 0 (false)."""
    return torch.logical_not(x)


@op
def bitwise_not(x):
    """Every bit turned over; of truth values their opposite."""
    return torch.bitwise_not(x)


@op
def bitwise_invert(x):
    """`bitwise_not`."""
    return torch.bitwise_not(x)


@op
def view(x, dtype=None):
    """The same bytes read as another dtype.

    >>> view([1.0], "int32")
    tensor([1065353216], dtype=torch.int32)
    """
    return x.view(torch_dtype(dtype))
