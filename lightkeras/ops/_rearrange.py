"""`rearrange`: the axes of a tensor by their names, put in another order, together or apart."""

from __future__ import annotations

import functools
import re
from numbers import Integral

import torch

from lightkeras._registry import did_you_mean
from lightkeras.ops._op import family

__all__ = ["rearrange"]

op = family("einops")


@op("tensor", "=pattern")
def rearrange(tensor, pattern, **axes_lengths):
    """The axes in another order, several put together as one, or one taken apart.

    Args:
        tensor: The tensor.
        pattern: "what there is -> what is wanted": a name for each axis, parentheses around those
            that are one axis. Each name stands once on both sides.
        **axes_lengths: Sizes of axes that are taken apart; of each group one may be left out.

    Shape: as the pattern says. Axes of a symbolic tensor may be unknown, where Keras needs sizes.

    Raises:
        ValueError: the pattern does not fit the tensor, the sizes, or itself.

    Source: Rogozhnikov, "Einops: Clear and Reliable Tensor Manipulations with Einstein-like
    Notation" (2022).

    >>> x = torch.zeros(2, 4, 6, 3)
    >>> rearrange(x, "b h w c -> b c h w").shape, rearrange(x, "b h w c -> b (h w c)").shape
    (torch.Size([2, 3, 4, 6]), torch.Size([2, 72]))
    >>> rearrange(x, "b (h h1) (w w1) c -> b h w (c h1 w1)", h1=2, w1=2).shape
    torch.Size([2, 2, 3, 12])
    """
    given, wanted, order = _parsed(pattern)
    sizes = _sizes(tensor.shape, pattern, given, axes_lengths)
    apart = torch.reshape(tensor, [sizes[name] for group in given for name in group])
    shape = [_product(sizes[name] for name in group) for group in wanted]
    return torch.reshape(torch.permute(apart, order), shape)


@functools.lru_cache(256)
def _parsed(pattern):
    """(groups of names on the left, on the right, where the right ones stand on the left)."""
    sides = pattern.split("->") if isinstance(pattern, str) else ()
    groups = [_groups(side) for side in sides]
    names = [[name for group in side for name in group] for side in groups if side is not None]
    if len(names) != 2 or any(sorted(side) != sorted(set(names[0])) for side in names):
        raise ValueError(
            f"rearrange() got the pattern {pattern!r}. Names of axes and an arrow are accepted, "
            "each name once on both sides, and parentheses around axes that are one. Type "
            "rearrange(x, 'b h w c -> b (h w) c')."
        )
    return *groups, [names[0].index(name) for name in names[1]]


def _groups(side):
    """[["b"], ["h", "w"]] for "b (h w)"; None for what is no such text."""
    parts = re.findall(r"\([\w\s]*\)|\w+", side)
    if re.sub(r"\([\w\s]*\)|\w+|\s", "", side):
        return None
    groups = [part.strip("()").split() for part in parts]
    return None if any(not name.isidentifier() for g in groups for name in g) else groups


def _sizes(shape, pattern, groups, lengths):
    """{name: size} of the axes on the left."""
    known = {name for group in groups for name in group}
    strange = next((name for name in lengths if name not in known), None)
    if strange is not None:
        raise ValueError(
            f"rearrange() got a size for {strange!r}, which is no axis of {pattern!r}."
            f"{did_you_mean(strange, known)} The names of its axes are accepted. Leave "
            f"{strange}= out, or name the axis."
        )
    odd = next((name for name, n in lengths.items() if not isinstance(n, Integral) or n < 0), None)
    if odd is not None:
        raise ValueError(
            f"rearrange() got {odd}={lengths[odd]!r}. Sizes are whole numbers. Type {odd}=2."
        )
    if len(shape) != len(groups):
        raise ValueError(
            f"rearrange() got a tensor of {len(shape)} axes for {pattern!r}. A tensor with as "
            f"many axes as stand before the arrow ({len(groups)}) is accepted. Change one of them."
        )
    return {
        name: size
        for axis, group in zip(shape, groups, strict=True)
        for name, size in _inside(axis, group, pattern, lengths).items()
    }


def _inside(axis, group, pattern, lengths):
    """{name: size} of the axes that one axis holds."""
    open_ = [name for name in group if name not in lengths]
    product = _product(lengths[name] for name in group if name in lengths)
    if len(open_) > 1:
        raise ValueError(
            f"rearrange() cannot tell the sizes of {' and '.join(open_)} in {pattern!r} from an "
            f"axis of size {axis}. One size of a group may be left out. Give the others: "
            f"rearrange(x, {pattern!r}, {open_[0]}=2)."
        )
    if product == 0 or axis % product or (not open_ and axis != product):
        sizes = ", ".join(f"{name}={lengths[name]}" for name in group if name in lengths)
        raise ValueError(
            f"rearrange() got {sizes or 'no size'} for an axis of size {axis} in {pattern!r}. "
            f"Sizes that make up {axis} are accepted. Change them, or leave one of them out."
        )
    return {name: lengths.get(name, axis // product) for name in group}


def _product(sizes):
    return functools.reduce(lambda a, b: a * b, sizes, 1)
