"""Nested lists, tuples and dicts ("trees") of values, under Keras's names.

The branches of a tree are lists, tuples (named ones, too) and dicts; everything else is a leaf,
also None. The values of a dict come in the order of its sorted keys, those of an OrderedDict in
its own order.

>>> from lightkeras import tree
>>> tree.flatten({"b": [2, 3], "a": 1})
[1, 2, 3]
"""

from __future__ import annotations

from lightkeras import _tree
from lightkeras._older import old_names

__all__ = [
    "MAP_TO_NONE",
    "assert_same_paths",
    "assert_same_structure",
    "flatten",
    "flatten_with_path",
    "is_nested",
    "lists_to_tuples",
    "map_shape_structure",
    "map_structure",
    "map_structure_up_to",
    "pack_sequence_as",
    "traverse",
]


class MAP_TO_NONE:
    """What a function given to `traverse` returns for None in the place of a value."""


def is_nested(structure):
    """Whether it is a list, a tuple or a dict.

    >>> is_nested([1]), is_nested("ab")
    (True, False)
    """
    return isinstance(structure, (list, tuple, dict))


def _children(structure):
    """[(key or position, child)] of a branch."""
    if isinstance(structure, dict):
        return [(key, structure[key]) for key in _tree.keys(structure)]
    return list(enumerate(structure))


def flatten(structure):
    """The leaves in order.

    >>> flatten({"b": [2, 3], "a": (1,)})
    [1, 2, 3]
    """
    return _tree.flatten(structure)


def flatten_with_path(structure):
    """The leaves, each with its path: the keys and positions that lead to it.

    >>> flatten_with_path({"a": [5, 6]})
    [(('a', 0), 5), (('a', 1), 6)]
    """
    if not is_nested(structure):
        return [((), structure)]
    return [
        ((key, *path), leaf)
        for key, child in _children(structure)
        for path, leaf in flatten_with_path(child)
    ]


def pack_sequence_as(structure, flat_sequence):
    """Values in the form of a tree, the inverse of `flatten`.

    Raises:
        TypeError: the values are no sequence.
        ValueError: there are more or fewer values than leaves.

    >>> pack_sequence_as({"b": [0, 0], "a": 0}, [1, 2, 3])
    {'b': [2, 3], 'a': 1}
    """
    if not hasattr(flat_sequence, "__iter__"):
        raise TypeError(
            f"pack_sequence_as() got {flat_sequence!r:.60} for the values. A list of them is "
            "accepted. Type [value] for a single one."
        )
    values, count = list(flat_sequence), len(flatten(structure))
    if len(values) != count:
        raise ValueError(
            f"pack_sequence_as() got {len(values)} values for a structure with {count} leaves. "
            "There is one for each leaf. See tree.flatten(structure)."
        )
    return _tree.pack(structure, values)


# ---- the same form ------------------------------------------------------------------------------


def assert_same_structure(a, b, check_types=None):
    """Refuse two trees that differ in more than their leaves.

    Args:
        a: One tree.
        b: The other.
        check_types: Kept for old code; types are always compared.

    Raises:
        ValueError: the forms differ, with the place.

    >>> assert_same_structure([1, (2, 3)], [4, (5, 6)])
    """
    _same(a, b, (), to_leaves=True)


def _same(a, b, path, to_leaves):
    """Refuse a tree b that has not the branches of a."""
    if not is_nested(a) and (not is_nested(b) or not to_leaves):
        return
    where = "".join(f"[{key!r}]" for key in path) or "the top"
    if _kind(a) is not _kind(b):
        raise _differ(where, type(a).__name__, type(b).__name__)
    ours, theirs = ([key for key, _ in _children(t)] for t in (a, b))
    if set(ours) != set(theirs):
        if isinstance(a, dict):
            raise _differ(where, f"the keys {ours}", f"the keys {theirs}")
        raise _differ(where, f"{len(ours)} items", f"{len(theirs)} items")
    for key in ours:
        _same(a[key], b[key], (*path, key), to_leaves)


def _kind(structure):
    return (
        dict if isinstance(structure, dict) else type(structure) if is_nested(structure) else None
    )


def _differ(where, first, second):
    return ValueError(
        f"Two structures differ at {where}: {first} in the first one, {second} in the second. "
        "Only their leaves may differ. Look at tree.flatten_with_path(...) of both."
    )


def assert_same_paths(a, b):
    """Refuse two trees whose leaves stand at different paths; a list may stand for a tuple.

    Raises:
        ValueError: the paths differ.
    """
    ours, theirs = ({path for path, _ in flatten_with_path(t)} for t in (a, b))
    if ours != theirs:
        raise ValueError(
            f"The paths of two structures differ: {sorted(ours - theirs, key=str)} are only in "
            f"the first one, {sorted(theirs - ours, key=str)} only in the second. Both must have "
            "the same. Look at tree.flatten_with_path(...) of both."
        )


# ---- functions of leaves ------------------------------------------------------------------------


def map_structure(func, *structures, none_is_leaf=True):
    """`func` of the leaves of one tree, or of those at the same place of several.

    Args:
        func: Function of as many arguments as there are trees.
        *structures: Trees of one form.
        none_is_leaf: Whether `func` gets None, too; else it stays None.

    Raises:
        TypeError: `func` is no function.
        ValueError: there is no tree, or their forms differ.

    >>> map_structure(lambda a, b: a + b, {"x": [1, 2]}, {"x": [10, 20]})
    {'x': [11, 22]}
    """
    _check(func, structures)
    for other in structures[1:]:
        assert_same_structure(structures[0], other)
    return _tree.map_structure(func if none_is_leaf else _but_none(func), *structures)


def _check(func, structures):
    if not callable(func):
        raise TypeError(
            f"map_structure() got {func!r:.60} as its function. A function of leaves comes first. "
            "Type map_structure(lambda leaf: ..., structure)."
        )
    if not structures:
        raise ValueError(
            "map_structure() got no structure. A function and at least one structure are needed. "
            "Type map_structure(func, structure)."
        )


def _but_none(func):
    def call(*leaves):
        if all(leaf is None for leaf in leaves):
            return None
        if any(leaf is None for leaf in leaves):
            raise ValueError(
                f"map_structure() met {leaves!r:.80}: None in one structure and a value in "
                "another. With none_is_leaf=False None must stand in all of them. Leave the "
                "argument out."
            )
        return func(*leaves)

    return call


def map_structure_up_to(shallow_structure, func, *structures):
    """`func` of the subtrees that stand where the shallow tree has its leaves.

    Raises:
        TypeError: `func` is no function.
        ValueError: a tree has not the branches of the shallow one.

    >>> map_structure_up_to([0, 0], len, [[1, 2], (3,)])
    [2, 1]
    """
    _check(func, structures)
    for structure in structures:
        _same(shallow_structure, structure, (), to_leaves=False)
    places = [path for path, _ in flatten_with_path(shallow_structure)]
    return _tree.pack(
        shallow_structure, [func(*(_at(s, path) for s in structures)) for path in places]
    )


def _at(structure, path):
    for key in path:
        structure = structure[key]
    return structure


def traverse(func, structure, top_down=True):
    """`func` of every branch and leaf; where it returns None, what stands there stays.

    Args:
        func: Function of a branch or a leaf. It returns what takes its place, None to leave it
            (and to go on with its children), or `MAP_TO_NONE` for None.
        structure: Tree.
        top_down: Whether a branch comes before its children, which are then not visited if it
            is replaced.

    >>> traverse(lambda x: tuple(x) if isinstance(x, list) else None, [1, [2]], top_down=False)
    (1, (2,))
    """
    found = func(structure) if top_down else None
    if found is None and is_nested(structure):
        children = [traverse(func, child, top_down) for _, child in _children(structure)]
        structure = _tree.rebuilt(structure, children)
    if not top_down:
        found = func(structure)
    return None if found is MAP_TO_NONE else structure if found is None else found


def lists_to_tuples(structure):
    """All lists as tuples.

    >>> lists_to_tuples([1, {"a": [2]}])
    (1, {'a': (2,)})
    """
    as_tuple = lambda x: tuple(x) if type(x) is list else None  # noqa: E731
    return traverse(as_tuple, structure, top_down=False)


def map_shape_structure(func, structure):
    """`func` of every shape in a tree: of each list or tuple of numbers and None.

    Raises:
        TypeError: `func` is no function.

    >>> map_shape_structure(len, {"a": (None, 3), "b": [(2, 2, 2)]})
    {'a': 2, 'b': [3]}
    """
    _check(func, (structure,))
    if isinstance(structure, (list, tuple)) and all(n is None or type(n) is int for n in structure):
        return func(structure)
    if not is_nested(structure):
        return structure
    children = [map_shape_structure(func, child) for _, child in _children(structure)]
    return _tree.rebuilt(structure, children)


__getattr__ = old_names(__name__)
