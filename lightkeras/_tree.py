"""Nested lists, tuples and dicts of values: the few walks that the package needs."""

from __future__ import annotations

__all__ = ["flatten", "map_structure", "pack"]


def map_structure(fn, *trees):
    """Apply `fn` to the leaves of one or several trees of the same form."""
    first = trees[0]
    if isinstance(first, dict):
        return {key: map_structure(fn, *(t[key] for t in trees)) for key in first}
    if isinstance(first, (list, tuple)):
        items = [map_structure(fn, *parts) for parts in zip(*trees, strict=True)]
        return type(first)(*items) if hasattr(first, "_fields") else type(first)(items)
    return fn(*trees)


def flatten(tree) -> list:
    """Leaves in order; a dict's in the order of its sorted keys, as Keras takes them."""
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in flatten(tree[key])]
    if isinstance(tree, (list, tuple)):
        return [leaf for item in tree for leaf in flatten(item)]
    return [tree]


def pack(tree, leaves):
    """`leaves` (in `flatten` order) in the form of `tree`."""
    return _pack(tree, iter(leaves))


def _pack(tree, leaves):
    if isinstance(tree, dict):
        filled = {key: _pack(tree[key], leaves) for key in sorted(tree)}
        return {key: filled[key] for key in tree}
    if isinstance(tree, (list, tuple)):
        items = [_pack(item, leaves) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return next(leaves)
