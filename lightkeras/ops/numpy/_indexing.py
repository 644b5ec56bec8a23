"""Choosing values by position, by condition or by order; counting them."""

from __future__ import annotations

import builtins

import torch
import torch.nn.functional as F

from lightkeras._dtypes import result_type, torch_dtype
from lightkeras.ops._op import family, floating, tensor, widened

# fmt: off
__all__ = [
    "argpartition", "argsort", "bincount", "diag", "diagflat", "diagonal", "digitize", "get_item",
    "histogram", "isin", "nonzero", "searchsorted", "select", "sort", "take", "take_along_axis",
    "tril", "triu", "unique", "unravel_index", "where",
]
# fmt: on

op = family("numpy")


# ---- by position --------------------------------------------------------------------------------


@op("x", "=key")
def get_item(x, key):
    """x[key].

    >>> get_item([[1, 2], [3, 4]], (0, -1))
    tensor(2, dtype=torch.int32)
    """
    return x[tuple(key) if isinstance(key, list) and _is_path(key) else key]


def _is_path(key):
    """Whether a list is what files make of a tuple: it holds slices, None or an ellipsis."""
    return builtins.any(k is None or k is Ellipsis or isinstance(k, slice) for k in key)


@op("x", "indices")
def take(x, indices, axis=None):
    """The slices at these positions along an axis (None: of the flattened tensor).

    >>> take([[1, 2], [3, 4]], [1, 0, -1], axis=1)
    tensor([[2, 1, 2],
            [4, 3, 4]], dtype=torch.int32)
    """
    if axis is None:
        x, axis = x.flatten(), 0
    axis %= x.ndim
    indices = _from_zero(indices, x.shape[axis])
    if x.ndim == 2 and axis == 0:
        return F.embedding(indices, x)
    chosen = torch.index_select(x, axis, indices.flatten())
    return chosen.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


@op("x", "indices")
def take_along_axis(x, indices, axis=None):
    """At each place of `indices` the value of x at that position along the axis.

    >>> take_along_axis([[3, 1, 2]], [[1, 2, 0]], axis=1)
    tensor([[1, 2, 3]], dtype=torch.int32)
    """
    if axis is None:
        x, indices, axis = x.flatten(), indices.flatten(), 0
    return torch.take_along_dim(x, _from_zero(indices, x.shape[axis]), axis)


def _from_zero(indices, size):
    """Positions with those counted from the end counted from the start."""
    indices = indices.long()
    return torch.where(indices < 0, indices + size, indices)


@op
def unravel_index(indices, shape):
    """The place, axis by axis, of positions in a flattened tensor.

    >>> [int(i) for i in unravel_index(5, (2, 3))]
    [1, 2]
    """
    dtype = torch_dtype(result_type(indices.dtype))
    return tuple(i.to(dtype) for i in torch.unravel_index(indices.long(), tuple(shape)))


@op
def diag(x, k=0):
    """A matrix with the vector x on a diagonal, or that diagonal of the matrix x."""
    return torch.diag(x, k)


@op
def diagflat(x, k=0):
    """A matrix with all values of x on a diagonal."""
    return torch.diagflat(x, k)


@op
def diagonal(x, offset=0, axis1=0, axis2=1):
    """The diagonal over two axes, as the last axis."""
    return torch.diagonal(x, offset, axis1, axis2)


@op
def tril(x, k=0):
    """0 above a diagonal of the last two axes."""
    return torch.tril(x, k)


@op
def triu(x, k=0):
    """0 below a diagonal of the last two axes."""
    return torch.triu(x, k)


# ---- by condition -------------------------------------------------------------------------------


@op("condition", "x1", "x2", numbers=True)
def where(condition, x1=None, x2=None):
    """x1 where the condition is true (not 0), else x2; without them the places where it is.

    >>> where([True, False], torch.zeros(2, dtype=torch.float16), 1.0)
    tensor([0., 1.], dtype=torch.float16)
    """
    if not isinstance(condition, torch.Tensor):
        condition = tensor(condition)
    condition = condition.bool()
    if x1 is None or x2 is None:
        return torch.nonzero(condition).T
    return torch.where(condition, x1, x2)


@op("*condlist", "*choicelist", "=default")
def select(condlist, choicelist, default=0):
    """At each place the choice of the first condition that holds there, else the default.

    >>> select([[True, False], [True, True]], [[1, 1], [2, 2]])
    tensor([1, 2], dtype=torch.int32)
    """
    out = default if isinstance(default, (int, float)) else tensor(default)
    if isinstance(out, (int, float)):
        like = torch.promote_types(choicelist[0].dtype, tensor(out).dtype)
        dtype = choicelist[0].dtype if isinstance(out, int) else like
        out = torch.full((), out, dtype=dtype, device=choicelist[0].device)
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        out = torch.where(condition.bool(), choice, out)
    return out


@op
def nonzero(x):
    """The places of all values that are not 0: for each axis a row of positions."""
    return torch.nonzero(x).T.to(torch.int32)


@op("x1", "x2", keras="IsIn")
def isin(x1, x2, assume_unique=False, invert=False):
    """Whether each value of x1 is among those of x2 (with `invert`, whether it is not)."""
    x1, x2 = widened(x1), widened(x2)
    return torch.isin(x1, x2, assume_unique=assume_unique, invert=invert)


# ---- by order -----------------------------------------------------------------------------------


@op
def sort(x, axis=-1):
    """In ascending order along an axis (None: of the flattened tensor)."""
    return torch.sort(x.flatten() if axis is None else x, dim=-1 if axis is None else axis).values


@op
def argsort(x, axis=-1):
    """The positions that sort x along an axis (None: of the flattened tensor); equals in order.

    >>> argsort([30, 10, 20])
    tensor([1, 2, 0], dtype=torch.int32)
    """
    if axis is None:
        x, axis = x.flatten(), -1
    return torch.argsort(widened(x), dim=axis, stable=True).to(torch.int32)


@op
def argpartition(x, kth, axis=-1):
    """Positions after which the kth value stands where sorting would put it.

    What is before it is not larger, what is behind it not smaller.
    """
    return argsort.__wrapped__(x, axis)  # the order of a sort is one of those allowed


@op("sorted_sequence", "values", keras="SearchSorted")
def searchsorted(sorted_sequence, values, side="left"):
    """The places at which values must be put into a sorted vector.

    Raises:
        ValueError: the sequence is no vector.

    >>> searchsorted([1, 3, 5], [3, 4])
    tensor([1, 2], dtype=torch.int32)
    """
    if sorted_sequence.ndim != 1:
        raise ValueError(
            f"searchsorted() got sorted values of shape {tuple(sorted_sequence.shape)}. A vector "
            "is accepted. For several, use ops.vectorized_map over their first axis."
        )
    dtype = torch.promote_types(sorted_sequence.dtype, values.dtype)
    limits, values = (x.to(dtype).contiguous() for x in (sorted_sequence, values))
    return torch.searchsorted(limits, values, side=side).int()


@op("x", "bins")
def digitize(x, bins):
    """The number of the bin of each value; `bins` are ascending limits.

    >>> digitize([0.5, 1.0, 9.0], [1.0, 2.0])
    tensor([0, 1, 2], dtype=torch.int32)
    """
    return torch.bucketize(widened(x).contiguous(), bins.contiguous(), right=True).int()


# ---- counting -----------------------------------------------------------------------------------


@op
def unique(
    x,
    sorted=True,
    return_index=False,
    return_inverse=False,
    return_counts=False,
    axis=None,
    size=None,
    fill_value=None,
):
    """The different values, or the different slices along an axis.

    Args:
        x: Tensor.
        sorted: They always come in ascending order.
        return_index: Whether the position of the first of each comes, too.
        return_inverse: Whether the position in the result of each value of x comes, too.
        return_counts: Whether the number of each comes, too.
        axis: The axis; None for the values of the flattened tensor.
        size: Cut or filled up to so many.
        fill_value: What fills up; 0 by default.

    Returns:
        The values, or a tuple with what was asked for in the order of the arguments.

    >>> values, counts = unique([2, 1, 2], return_counts=True)
    >>> values.tolist(), counts.tolist()
    ([1, 2], [1, 2])
    """
    values, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True, dim=axis)
    flat, number = inverse.flatten(), counts.shape[0]
    places = torch.arange(flat.shape[0], device=x.device)
    first = flat.new_full((number,), flat.shape[0]).scatter_reduce(0, flat, places, "amin")
    if size is not None:
        values = _resized(values, 0 if axis is None else axis, size, fill_value or 0)
        first, counts = _resized(first, 0, size, 0), _resized(counts, 0, size, 0)
    found = [values]
    found += [first] * return_index + [inverse] * return_inverse + [counts] * return_counts
    return tuple(found) if len(found) > 1 else values


def _resized(x, axis, size, value):
    missing = size - x.shape[axis]
    if missing <= 0:
        return x.narrow(axis, 0, size)
    shape = list(x.shape)
    shape[axis] = missing
    return torch.cat([x, x.new_full(shape, value)], axis)


@op
def bincount(x, weights=None, minlength=0, sparse=False):
    """How often each number 0, 1, 2... occurs, in a vector or in each row of a matrix.

    Args:
        x: Integers from 0 upwards, `(n,)` or `(batch, n)`.
        weights: What each one counts; 1 by default.
        minlength: The result has at least this length.
        sparse: False.

    Raises:
        ValueError: `sparse` is true.

    >>> bincount([1, 1, 3])
    tensor([0, 2, 0, 1], dtype=torch.int32)
    """
    if sparse:
        raise ValueError(
            "bincount() got sparse=True. Tensors here are dense. Leave the argument out."
        )
    weights = None if weights is None else tensor(weights, device=x.device)
    dtype = torch.int32 if weights is None else torch.promote_types(x.dtype, weights.dtype)
    rows = x.reshape(-1, x.shape[-1]).long()  # (batch, n)
    length = max(int(rows.max()) + 1 if rows.numel() else 0, minlength)
    counts = torch.zeros(rows.shape[0], length, dtype=dtype, device=x.device)
    ones = torch.ones((), dtype=dtype, device=x.device) if weights is None else weights.to(dtype)
    counts.scatter_add_(1, rows, ones.expand(x.shape).reshape(rows.shape))
    return counts.reshape(*x.shape[:-1], length)


@op
def histogram(x, bins=10, range=None):
    """How many values lie in each of some bins, and the limits of the bins.

    Args:
        x: Tensor; its axes do not matter.
        bins: Number of equally wide bins, or their ascending limits.
        range: (lowest, highest) limit; by default those of x. What lies outside is not counted.

    >>> counts, limits = histogram([1.0, 2.0, 2.5, 4.0], bins=3)
    >>> counts.tolist(), limits.tolist()
    ([1.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0])
    """
    x = floating(x).flatten().contiguous()
    if isinstance(bins, int):
        low, high = range or (x.min().item(), x.max().item())
        low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
        limits = torch.linspace(low, high, bins + 1, dtype=x.dtype, device=x.device)
    else:
        limits = tensor(bins, x.dtype).contiguous()
    place = torch.searchsorted(limits, x, right=True) - 1
    place = torch.where(x == limits[-1], len(limits) - 2, place)  # the last limit counts, too
    inside = place[(x >= limits[0]) & (x <= limits[-1])]
    return torch.bincount(inside, minlength=len(limits) - 1).to(x.dtype), limits
