"""Functions that put the same values in another shape or order, together or apart."""

from __future__ import annotations

import builtins

import torch
import torch.nn.functional as F

from lightkeras.ops._op import family, tensor

# fmt: off
__all__ = [
    "append", "array_split", "broadcast_to", "concatenate", "dsplit", "dstack", "expand_dims",
    "flip", "fliplr", "flipud", "hsplit", "hstack", "meshgrid", "moveaxis", "ndim", "pad",
    "ravel", "repeat", "reshape", "roll", "rot90", "size", "split", "squeeze", "stack",
    "swapaxes", "tile", "transpose", "vsplit", "vstack",
]
# fmt: on

op = family("numpy")


# ---- shapes -------------------------------------------------------------------------------------


@op
def reshape(x, newshape):
    """The values in another shape; -1 stands for what is left, and so does None.

    >>> reshape([[1, 2], [3, 4]], (-1,))
    tensor([1, 2, 3, 4], dtype=torch.int32)
    """
    shape = newshape if isinstance(newshape, (list, tuple)) else (newshape,)
    if None in shape:  # the unknown size that ops.shape(x) gives for a symbolic tensor
        shape = [-1 if n is None else n for n in shape]
    return torch.reshape(x, tuple(shape))


@op
def ravel(x):
    """All values in one row."""
    return torch.ravel(x)


@op
def transpose(x, axes=None):
    """The axes in another order; by default in the opposite one.

    >>> transpose(torch.zeros(2, 3, 4), (0, 2, 1)).shape, transpose(torch.zeros(2, 3, 4)).shape
    (torch.Size([2, 4, 3]), torch.Size([4, 3, 2]))
    """
    return torch.permute(x, tuple(range(x.ndim))[::-1] if axes is None else tuple(axes))


@op
def swapaxes(x, axis1, axis2):
    """Two axes in each other's place."""
    return torch.swapaxes(x, axis1, axis2)


@op
def moveaxis(x, source, destination):
    """One axis or several in another place."""
    return torch.moveaxis(x, source, destination)


@op
def expand_dims(x, axis):
    """New axes of size 1; `axis` counts in the result.

    >>> expand_dims(torch.zeros(3, 4), (0, -1)).shape
    torch.Size([1, 3, 4, 1])
    """
    if isinstance(axis, int):
        return torch.unsqueeze(x, axis)
    rank = x.ndim + len(axis)
    for a in sorted(a % rank for a in axis):
        x = torch.unsqueeze(x, a)
    return x


@op
def squeeze(x, axis=None):
    """Without axes of size 1: all of them, or those of `axis`.

    Raises:
        ValueError: an axis of another size is given.
    """
    if axis is None:
        return torch.squeeze(x)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    if builtins.any(x.shape[a] != 1 for a in axes):
        raise ValueError(
            f"squeeze() got axis={axis} for a tensor of shape {tuple(x.shape)}. Only an axis of "
            "size 1 can be left out. Index it instead: x[:, 0]."
        )
    return torch.squeeze(x, axes)


@op
def broadcast_to(x, shape):
    """x repeated along new axes and those of size 1, without a copy."""
    return torch.broadcast_to(x, tuple(shape))


def ndim(x):
    """Number of axes.

    >>> ndim([[1, 2]])
    2
    """
    return len(x.shape) if hasattr(x, "shape") else tensor(x).ndim


@op
def size(x):
    """Number of values, as a tensor."""
    return torch.tensor(x.numel(), device=x.device)


# ---- order --------------------------------------------------------------------------------------


@op
def flip(x, axis=None):
    """Turned round along axes (None: all)."""
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return torch.flip(x, tuple(axes))


@op
def fliplr(x):
    """Turned round along the second axis."""
    return torch.fliplr(x)


@op
def flipud(x):
    """Turned round along the first axis."""
    return torch.flipud(x)


@op
def roll(x, shift, axis=None):
    """Moved along axes; what leaves at the end comes in again at the start."""
    return torch.roll(x, shift, axis)


@op
def rot90(array, k=1, axes=(0, 1)):
    """Turned k times by 90 degrees, from the first of the axes to the second.

    Raises:
        ValueError: the axes are not two different ones of the tensor.

    >>> rot90([[1, 2], [3, 4]])
    tensor([[2, 4],
            [1, 3]], dtype=torch.int32)
    """
    if array.ndim < 2 or len(axes) != 2 or len({a % array.ndim for a in axes}) != 2:
        raise ValueError(
            f"rot90() got axes={axes} for a tensor of shape {tuple(array.shape)}. Two different "
            "axes of a tensor with at least two are accepted. Type axes=(0, 1)."
        )
    return torch.rot90(array, k, tuple(axes))


# ---- more of it ---------------------------------------------------------------------------------


@op
def repeat(x, repeats, axis=None):
    """Every slice along an axis several times in a row (None: of the flattened tensor).

    Args:
        x: Tensor.
        repeats: How often, for all or for each slice.
        axis: The axis.

    >>> repeat([1, 2], [1, 3])
    tensor([1, 2, 2, 2], dtype=torch.int32)
    """
    if axis is None:
        x, axis = x.flatten(), 0
    if not isinstance(repeats, int):
        repeats = torch.as_tensor(repeats)
        repeats = int(repeats) if repeats.numel() == 1 else repeats.reshape(-1).to(torch.int64)
    if isinstance(repeats, int):
        return torch.repeat_interleave(x, repeats, axis)
    index = torch.repeat_interleave(torch.arange(x.shape[axis]), repeats.cpu())
    return torch.index_select(x, axis, index.to(x.device))


@op
def tile(x, repeats):
    """The whole tensor several times, `repeats[i]` times along axis i."""
    return torch.tile(x, (repeats,) if isinstance(repeats, int) else tuple(map(int, repeats)))


@op("x", "constant_values")
def pad(x, pad_width, mode="constant", constant_values=None):
    """More values around a tensor.

    Args:
        x: Tensor.
        pad_width: (before, after) for each axis; one pair, or one number, for all.
        mode: "constant", "reflect" (mirrored, without the border itself) or "symmetric"
            (mirrored, with it).
        constant_values: What "constant" writes; 0 by default.

    Raises:
        ValueError: the mode is not known, or `constant_values` is given for another one.

    >>> pad([1, 2, 3], ((2, 1),), mode="reflect")
    tensor([3, 2, 1, 2, 3, 2], dtype=torch.int32)
    """
    if mode not in ("constant", "reflect", "symmetric"):
        raise ValueError(
            f"pad() got mode={mode!r}. 'constant', 'reflect' and 'symmetric' are accepted. "
            "Type mode='constant'."
        )
    if constant_values is not None and mode != "constant":
        raise ValueError(
            f"pad() got constant_values for mode={mode!r}. They belong to mode='constant'. "
            "Leave one of the two out."
        )
    widths = _widths(pad_width, x.ndim)
    if mode == "constant":
        flat = [n for pair in reversed(widths) for n in pair]  # torch counts from the last axis
        value = 0 if constant_values is None else constant_values
        return F.pad(x, flat, value=value if isinstance(value, (int, float)) else value.item())
    for axis, (before, after) in enumerate(widths):
        if before or after:
            index = _mirrored(x.shape[axis], before, after, mode == "reflect")
            x = torch.index_select(x, axis, torch.tensor(index, device=x.device))
    return x


def _widths(width, rank):
    if isinstance(width, int):
        return [(width, width)] * rank
    width = [w if isinstance(w, int) else tuple(map(int, w)) for w in width]
    if isinstance(width[0], int):
        return [tuple(width) * (3 - len(width))] * rank
    return width * rank if len(width) == 1 else width


def _mirrored(size, before, after, inner):
    """Which position of an axis stands at each place of the padded one."""
    there = list(range(size))
    back = there[-2:0:-1] if inner else there[::-1]
    turn = (there + back) or [0]
    return [turn[i % len(turn)] for i in range(-before, size + after)]


# ---- together -----------------------------------------------------------------------------------


@op("*xs")
def concatenate(xs, axis=0):
    """One after the other along an axis that they have.

    >>> concatenate([torch.zeros(2, 3), torch.zeros(1, 3)]).shape
    torch.Size([3, 3])
    """
    return torch.cat(xs, axis)


@op("*x")
def stack(x, axis=0):
    """One after the other along a new axis.

    >>> stack([torch.zeros(3), torch.zeros(3)], axis=-1).shape
    torch.Size([3, 2])
    """
    return torch.stack(x, axis)


@op("x1", "x2")
def append(x1, x2, axis=None):
    """x2 after x1 along an axis (None: both flattened)."""
    return torch.cat((x1.flatten(), x2.flatten()) if axis is None else (x1, x2), axis or 0)


@op("*xs")
def hstack(xs):
    """Side by side: along the second axis, vectors along their only one."""
    return torch.hstack(xs)


@op("*xs")
def vstack(xs):
    """One below the other: along the first axis, vectors as rows."""
    return torch.vstack(xs)


@op("*xs")
def dstack(xs):
    """One behind the other: along the third axis."""
    return torch.dstack(xs)


@op("*x")
def meshgrid(*x, indexing="xy"):
    """Coordinates of all points of a grid, from those on its axes.

    Args:
        *x: Vectors.
        indexing: "xy": the first one varies along the second axis; "ij": along the first.

    Raises:
        ValueError: the indexing is not known.

    >>> [t.shape for t in meshgrid([1, 2, 3], [4, 5])]
    [torch.Size([2, 3]), torch.Size([2, 3])]
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(
            f"meshgrid() got indexing={indexing!r}. 'xy' and 'ij' are accepted. "
            "Type indexing='ij' for one axis after the other."
        )
    order = list(range(len(x)))
    if indexing == "xy":
        order[:2] = order[1::-1]
    grid = [1] * len(x)
    lines = [t.reshape(*grid[:i], -1, *grid[i + 1 :]) for i, t in zip(order, x, strict=True)]
    return list(torch.broadcast_tensors(*lines))  # their dtypes may differ


# ---- apart --------------------------------------------------------------------------------------


@op
def split(x, indices_or_sections, axis=0):
    """Parts along an axis.

    Args:
        x: Tensor.
        indices_or_sections: Number of equal parts, or the places where a new part begins.
        axis: The axis.

    Raises:
        ValueError: equal parts are not possible.

    >>> [part.tolist() for part in split([1, 2, 3, 4], [1, 3])]
    [[1], [2, 3], [4]]
    """
    if isinstance(indices_or_sections, int) and x.shape[axis] % indices_or_sections:
        raise ValueError(
            f"split() got indices_or_sections={indices_or_sections} for axis {axis} of a tensor "
            f"of shape {tuple(x.shape)}. Equal parts need a divisor of {x.shape[axis]}. For parts "
            "of almost equal size type ops.array_split(...)."
        )
    return array_split.__wrapped__(x, indices_or_sections, axis)


@op
def array_split(x, indices_or_sections, axis=0):
    """Parts along an axis, the first ones larger by one where equal parts are not possible."""
    places = indices_or_sections
    if not isinstance(places, int):
        places = tuple(int(i) for i in tensor(places))
    return list(torch.tensor_split(x, places, dim=axis))


@op
def hsplit(x, indices_or_sections):
    """`split` along the second axis; of a vector along its only one."""
    return split.__wrapped__(x, indices_or_sections, 1 if x.ndim > 1 else 0)


@op
def vsplit(x, indices_or_sections):
    """`split` along the first axis."""
    return split.__wrapped__(x, indices_or_sections, 0)


@op
def dsplit(x, indices_or_sections):
    """`split` along the third axis."""
    return split.__wrapped__(x, indices_or_sections, 2)
