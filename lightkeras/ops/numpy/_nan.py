"""Reductions that leave nan out."""

from __future__ import annotations

import math

import torch

from lightkeras.ops._op import family, floating
from lightkeras.ops.numpy import _reductions
from lightkeras.ops.numpy._reductions import axes_of, percent, quantiles

# fmt: off
__all__ = [
    "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmedian",
    "nanmin", "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum", "nanvar",
]
# fmt: on

op = family("numpy")


def _filled(x, value):
    """x with a number in the place of nan."""
    return torch.where(torch.isnan(x), value, x) if x.is_floating_point() else x


def _none_left(x, axis, keepdims):
    """Whether there is nothing but nan over the axes."""
    return torch.all(torch.isnan(x), axes_of(x, axis), keepdims)


@op
def nansum(x, axis=None, keepdims=False):
    """`sum` without nan.

    >>> nansum([1.0, float("nan"), 2.0])
    tensor(3.)
    """
    return _reductions.sum(_filled(x, 0), axis, keepdims)


@op
def nanprod(x, axis=None, keepdims=False):
    """`prod` without nan."""
    return _reductions.prod(_filled(x, 1), axis, keepdims)


@op
def nancumsum(x, axis=None, dtype=None):
    """`cumsum` with nan as 0."""
    return _reductions.cumsum(_filled(x, 0), axis, dtype)


@op
def nancumprod(x, axis=None, dtype=None):
    """`cumprod` with nan as 1."""
    return _reductions.cumprod(_filled(x, 1), axis, dtype)


@op
def nanmean(x, axis=None, keepdims=False):
    """`mean` without nan; nan where nothing else is.

    >>> nanmean([1.0, float("nan"), 2.0])
    tensor(1.5000)
    """
    if axis == () or axis == []:
        return x
    return torch.nanmean(floating(x), axes_of(x, axis), keepdims)


@op
def nanvar(x, axis=None, keepdims=False):
    """`var` without nan; nan where nothing else is."""
    x = floating(x)
    if axis == () or axis == []:
        return torch.where(torch.isnan(x), x, 0)
    axes = axes_of(x, axis)
    apart = torch.square(x - torch.nanmean(x, axes, keepdim=True))
    return torch.nanmean(apart, axes, keepdims)


@op
def nanstd(x, axis=None, keepdims=False):
    """`std` without nan; nan where nothing else is."""
    return torch.sqrt(nanvar(x, axis, keepdims))


@op
def nanmax(x, axis=None, keepdims=False):
    """`max` without nan; nan where nothing else is."""
    return _extreme(_reductions.amax, -math.inf, x, axis, keepdims)


@op
def nanmin(x, axis=None, keepdims=False):
    """`min` without nan; nan where nothing else is."""
    return _extreme(_reductions.amin, math.inf, x, axis, keepdims)


def _extreme(over, last, x, axis, keepdims):
    found = over(_filled(x, last), axis, keepdims)
    if not x.is_floating_point() or axis == () or axis == []:
        return x if axis == () or axis == [] else found
    return torch.where(_none_left(x, axis, keepdims), math.nan, found)


@op
def nanargmax(x, axis=None, keepdims=False):
    """`argmax` without nan; -1 where nothing else is."""
    return _place(_reductions.argmax, -math.inf, x, axis, keepdims)


@op
def nanargmin(x, axis=None, keepdims=False):
    """`argmin` without nan; -1 where nothing else is."""
    return _place(_reductions.argmin, math.inf, x, axis, keepdims)


def _place(over, last, x, axis, keepdims):
    found = over(_filled(x, last), axis, keepdims)
    if not x.is_floating_point():
        return found
    return torch.where(_none_left(x, axis, keepdims), -1, found)


@op
def nanmedian(x, axis=None, keepdims=False):
    """`median` without nan; nan where nothing else is."""
    if axis == () or axis == []:
        return x
    return nanquantile(x, 0.5, axis=axis, keepdims=keepdims)


@op("x", "q")
def nanquantile(x, q, axis=None, method="linear", keepdims=False):
    """`quantile` without nan; nan where nothing else is."""
    return quantiles(torch.nanquantile, x, q, axis, method, keepdims)


@op("x", "=q")
def nanpercentile(x, q, axis=None, method="linear", keepdims=False):
    """`percentile` without nan; nan where nothing else is."""
    return nanquantile(x, percent(x, q), axis=axis, method=method, keepdims=keepdims)
