"""Nested lists, tuples and dicts of values: the few walks that the package needs."""

from __future__ import annotations

from collections import OrderedDict, defaultdict

__all__ = ["flatten", "keys", "map_structure", "pack", "rebuilt"]


def keys(tree):
    """The keys of a dict in the order in which Keras takes them: sorted, if they can be.

    An OrderedDict keeps its own order.
    """
    if isinstance(tree, OrderedDict):
        return list(tree)
    try:
        return sorted(tree)
    except TypeError:  # of different types
        return list(tree)


def rebuilt(tree, children):
    """A list, tuple or dict like `tree` with other children, a dict's in the order of `keys`."""
    if not isinstance(tree, dict):
        return type(tree)(*children) if hasattr(tree, "_fields") else type(tree)(children)
    filled = dict(zip(keys(tree), children, strict=True))
    filled = {key: filled[key] for key in tree}
    if isinstance(tree, defaultdict):
        return defaultdict(tree.default_factory, filled)
    return OrderedDict(filled) if isinstance(tree, OrderedDict) else filled


def map_structure(fn, *trees):
    """Apply `fn` to the leaves of one or several trees of the same form."""
    first = trees[0]
    if isinstance(first, dict):
        parts = [[t[key] for t in trees] for key in keys(first)]
    elif isinstance(first, (list, tuple)):
        parts = [list(part) for part in zip(*trees, strict=True)]
    else:
        return fn(*trees)
    return rebuilt(first, [map_structure(fn, *part) for part in parts])


def flatten(tree) -> list:
    """Leaves in order; a dict's in the order of its `keys`."""
    if isinstance(tree, dict):
        return [leaf for key in keys(tree) for leaf in flatten(tree[key])]
    if isinstance(tree, (list, tuple)):
        return [leaf for item in tree for leaf in flatten(item)]
    return [tree]


def pack(tree, leaves):
    """`leaves` (in `flatten` order) in the form of `tree`."""
    return _pack(tree, iter(leaves))


def _pack(tree, leaves):
    if isinstance(tree, dict):
        return rebuilt(tree, [_pack(tree[key], leaves) for key in keys(tree)])
    if isinstance(tree, (list, tuple)):
        return rebuilt(tree, [_pack(item, leaves) for item in tree])
    return next(leaves)
