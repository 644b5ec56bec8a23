"""Sums, means, extremes: functions that take axes away, or add up along one."""

from __future__ import annotations

import torch

from lightkeras._dtypes import torch_dtype
from lightkeras.ops._op import family, floating, tensor, widened

# fmt: off
__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "average", "count_nonzero", "cumprod",
    "cumsum", "max", "mean", "median", "min", "percentile", "prod", "ptp", "quantile", "std",
    "sum", "trapezoid", "var",
]
# fmt: on

op = family("numpy")

_SMALL = (torch.bool, torch.uint8, torch.int8, torch.int16)


def axes_of(x, axis):
    """The axes that `axis` (a number, several, or None for all) means, as torch takes them."""
    if axis is None:
        return tuple(range(x.ndim))
    return axis if isinstance(axis, int) else tuple(axis)


def total_dtype(dtype):
    """The dtype of a sum: small integers become int32, which torch would make int64."""
    return torch.int32 if dtype in (*_SMALL, torch.int32) else dtype


# ---- sums and products --------------------------------------------------------------------------


@op
def sum(x, axis=None, keepdims=False):
    """Sum over axes; small integers and truth values add up in int32.

    Args:
        x: Tensor, or a list of tensors of one shape.
        axis: One axis, several, or None for all.
        keepdims: Whether the axes stay, with size 1.

    >>> sum([[1, 2], [3, 4]], axis=0)
    tensor([4, 6], dtype=torch.int32)
    """
    dtype = None if x.is_floating_point() else total_dtype(x.dtype)
    if axis == () or axis == []:
        return x.to(dtype or x.dtype)
    return torch.sum(x, axis, keepdims, dtype=dtype)


@op
def mean(x, axis=None, keepdims=False):
    """Mean over axes; a float also for integers.

    >>> mean([[1, 2], [3, 4]], axis=-1)
    tensor([1.5000, 3.5000])
    """
    if axis == () or axis == []:
        return x
    return torch.mean(floating(x), axis, keepdims)


@op("x", "weights")
def average(x, axis=None, weights=None):
    """Mean over axes, weighted by `weights` of x's shape, or of the size of one axis.

    >>> average([[1.0, 3.0], [2.0, 4.0]], axis=1, weights=[3.0, 1.0])
    tensor([1.5000, 2.5000])
    """
    if axis == () or axis == []:
        return floating(x)
    if weights is None:
        return mean(x, axis)
    dtype = torch.promote_types(x.dtype, weights.dtype)
    x, weights = floating(x.to(dtype)), floating(weights.to(dtype))
    if weights.ndim == 1 and x.ndim > 1:
        sizes = [1] * x.ndim
        sizes[axis] = -1
        weights = weights.reshape(sizes)
    weights = weights.expand(x.shape)
    axes = axes_of(x, axis)
    return torch.sum(x * weights, axes) / torch.sum(weights, axes)


@op
def prod(x, axis=None, keepdims=False, dtype=None):
    """Product over axes; small integers and truth values multiply in int32."""
    dtype = torch_dtype(dtype) if dtype else total_dtype(x.dtype)
    axes = axes_of(x, axis)
    axes = [axes] if isinstance(axes, int) else axes
    x = x.to(dtype)
    for a in sorted((a % x.ndim for a in axes), reverse=True):  # torch takes one axis at a time
        x = torch.prod(x, a, keepdims, dtype=dtype)
    return x


@op
def count_nonzero(x, axis=None):
    """Number of values that are not 0."""
    return torch.sum(x != 0, axis if axis is None else axes_of(x, axis), dtype=torch.int32)


@op
def cumsum(x, axis=None, dtype=None):
    """Sums of all values up to each one, along an axis (None: of the flattened tensor)."""
    return _cumulated(torch.cumsum, x, axis, dtype)


@op
def cumprod(x, axis=None, dtype=None):
    """Products of all values up to each one, along an axis (None: of the flattened tensor)."""
    return _cumulated(torch.cumprod, x, axis, dtype)


def _cumulated(function, x, axis, dtype):
    x = widened(x.flatten() if axis is None else x)
    return function(x, axis or 0, dtype=torch_dtype(dtype) if dtype else x.dtype)


@op
def trapezoid(y, x=None, dx=1.0, axis=-1):
    """The area under values y at the places x (or at a distance of `dx`), along an axis.

    >>> trapezoid([0.0, 1.0, 2.0])
    tensor(2.)
    """
    y = floating(y) if y.dtype is torch.bool else y
    if x is None:
        return torch.trapezoid(y, dx=dx, dim=axis)
    return torch.trapezoid(y, tensor(x, device=y.device), dim=axis)


# ---- spread -------------------------------------------------------------------------------------


@op
def var(x, axis=None, keepdims=False):
    """Variance (the mean of squared differences from the mean) over axes."""
    x = floating(x)
    if axis == () or axis == []:
        return torch.zeros_like(x)
    return torch.var(x, axes_of(x, axis), correction=0, keepdim=keepdims)


@op
def std(x, axis=None, keepdims=False):
    """Standard deviation, the root of `var`."""
    x = floating(x)
    if axis == () or axis == []:
        return torch.zeros_like(x)
    return torch.std(x, axes_of(x, axis), correction=0, keepdim=keepdims)


@op
def ptp(x, axis=None, keepdims=False):
    """The largest value less the smallest."""
    if axis == () or axis == []:
        return torch.zeros_like(x)
    axes = axes_of(x, axis)
    return torch.amax(x, axes, keepdims) - torch.amin(x, axes, keepdims)


@op
def median(x, axis=None, keepdims=False):
    """The middle value; of an even number of values the mean of the two in the middle."""
    return quantile(x, 0.5, axis=axis, keepdims=keepdims)


@op("x", "q")
def quantile(x, q, axis=None, method="linear", keepdims=False):
    """The value below which a share `q` of the values lies.

    Args:
        x: Tensor.
        q: Share between 0 and 1, or several: they become the first axis of the result.
        axis: One axis, several, or None for all.
        method: Between two values: "linear", "lower", "higher", "midpoint" or "nearest".
        keepdims: Whether the axes stay, with size 1.

    >>> quantile([1.0, 2.0, 3.0, 4.0], [0.25, 0.5])
    tensor([1.7500, 2.5000])
    """
    return quantiles(torch.quantile, x, q, axis, method, keepdims)


@op("x", "=q")
def percentile(x, q, axis=None, method="linear", keepdims=False):
    """`quantile` for a percentage between 0 and 100."""
    return quantile(x, percent(x, q), axis=axis, method=method, keepdims=keepdims)


def percent(x, q):
    """A percentage as a share."""
    return torch.as_tensor(q, dtype=torch.float64, device=x.device) / 100


def quantiles(function, x, q, axis, method, keepdims):
    """torch's quantile or nanquantile over any axes, and in any dtype."""
    x = floating(x)
    dtype = x.dtype if x.dtype is torch.float64 else torch.float32
    axes = axes_of(x, axis)
    axes = sorted(a % x.ndim for a in ([axes] if isinstance(axes, int) else axes))
    kept = [a for a in range(x.ndim) if a not in axes]
    flat = x.permute(*kept, *axes).reshape(*(x.shape[a] for a in kept), -1)  # (kept..., values)
    out = function(flat.to(dtype), q.to(dtype), dim=-1, interpolation=method)
    if keepdims:
        shape = [1 if a in axes else n for a, n in enumerate(x.shape)]
        out = out.reshape(*q.shape, *shape)
    return out.to(x.dtype)


# ---- extremes -----------------------------------------------------------------------------------


@op
def max(x, axis=None, keepdims=False, initial=None):
    """The largest value over axes.

    Args:
        x: Tensor.
        axis: One axis, several, or None for all.
        keepdims: Whether the axes stay, with size 1.
        initial: The result is at least this; also what an empty tensor gives.

    Raises:
        ValueError: the tensor is empty and there is no `initial`.
    """
    return _extreme(torch.amax, torch.maximum, x, axis, keepdims, initial)


@op
def min(x, axis=None, keepdims=False, initial=None):
    """The smallest value over axes.

    Args:
        x: Tensor.
        axis: One axis, several, or None for all.
        keepdims: Whether the axes stay, with size 1.
        initial: The result is at most this; also what an empty tensor gives.

    Raises:
        ValueError: the tensor is empty and there is no `initial`.
    """
    return _extreme(torch.amin, torch.minimum, x, axis, keepdims, initial)


def _extreme(over, of_two, x, axis, keepdims, initial):
    if axis == () or axis == []:
        found = x
    elif 0 in x.shape and initial is None:
        raise ValueError(
            f"The largest or smallest value of an empty tensor of shape {tuple(x.shape)} was asked "
            "for. A tensor with values, or the argument initial, is needed. Type initial=0."
        )
    elif 0 in x.shape:
        shape = torch.sum(x, axes_of(x, axis), keepdims).shape
        return torch.full(shape, initial, dtype=x.dtype, device=x.device)
    else:
        found = over(x, axes_of(x, axis), keepdims)
    if initial is None:
        return found
    return of_two(found, torch.full((), initial, dtype=found.dtype, device=found.device))


@op
def amax(x, axis=None, keepdims=False):
    """`max`."""
    return _extreme(torch.amax, torch.maximum, x, axis, keepdims, None)


@op
def amin(x, axis=None, keepdims=False):
    """`min`."""
    return _extreme(torch.amin, torch.minimum, x, axis, keepdims, None)


@op
def argmax(x, axis=None, keepdims=False):
    """Position of the largest value along an axis (None: in the flattened tensor).

    >>> argmax([[1, 5, 3], [9, 5, 3]], axis=1)
    tensor([1, 0], dtype=torch.int32)
    """
    return torch.argmax(widened(x), axis, keepdims).to(torch.int32)


@op
def argmin(x, axis=None, keepdims=False):
    """Position of the smallest value along an axis (None: in the flattened tensor)."""
    return torch.argmin(widened(x), axis, keepdims).to(torch.int32)


# ---- truth values -------------------------------------------------------------------------------


@op
def all(x, axis=None, keepdims=False):
    """Whether all values over axes are true (not 0)."""
    x = x.bool()
    return x if axis == () or axis == [] else torch.all(x, axes_of(x, axis), keepdims)


@op
def any(x, axis=None, keepdims=False):
    """Whether one value over axes is true (not 0)."""
    x = x.bool()
    return x if axis == () or axis == [] else torch.any(x, axes_of(x, axis), keepdims)
