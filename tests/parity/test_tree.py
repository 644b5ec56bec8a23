"""keras.tree: the same trees in, the same trees (or a refusal) out."""

import inspect
from collections import OrderedDict, defaultdict, namedtuple

import keras
import pytest
from keras import tree as theirs
from keras.src.tree import optree_impl

from lightkeras import tree as ours

Pair = namedtuple("Pair", "a b")
Other = namedtuple("Other", "a b")
MIXED = {"b": 1, "a": [2, (3,)], "c": Pair(4, 5)}
ORDERED = OrderedDict([("b", 1), ("a", 2)])
DEFAULT = defaultdict(list, {"b": 1, "a": 2})
TREES = [MIXED, ORDERED, DEFAULT, 1, None, "ab", [None, 1], [], (), {}, [[], {}], Pair([1], (2,))]
TREES += [{"x": [ORDERED, 2]}, {1, 2}, range(3), [Pair(1, None)]]
NESTED = {"x": {"d": 1, "c": [{"z": 2, "y": 3}]}, "w": 4}


def add(*values):
    return sum(values)


def name(value):
    return "none" if value is None else str(value)


def double(value):
    return value * 2 if isinstance(value, int) else None


def tupled(value):
    return tuple(value) if isinstance(value, list) else None


def without_one(k):
    return lambda value: k.MAP_TO_NONE if value == 1 and type(value) is int else None


CALLS = [
    *(("flatten", (t,)) for t in TREES),
    *(("flatten_with_path", (t,)) for t in TREES),
    *(("is_nested", (t,)) for t in TREES),
    *(("lists_to_tuples", (t,)) for t in TREES),
    *(("map_structure", (name, t)) for t in TREES),
    *(("map_structure", (lambda a, b: [a, b], t, t)) for t in TREES),
    *(
        ("traverse", (f, t, down))
        for f in (double, tupled)
        for t in TREES
        for down in (True, False)
    ),
    *(("pack_sequence_as", (t, list(range(9)))) for t in TREES),
    *(("pack_sequence_as", (t, "abcdefghij"[: len(ours.flatten(t))])) for t in TREES),
    *(("assert_same_structure", (a, b)) for a in TREES for b in TREES),
    *(("assert_same_paths", (a, b)) for a in TREES for b in TREES),
    ("map_structure", (add, MIXED, MIXED)),
    ("map_structure", (add, [1, 2], [1])),
    ("map_structure", (add, [1, 2], (1, 2))),
    ("map_structure", (add, {"a": 1}, {"b": 1})),
    ("map_structure", (add, Pair(1, 2), Other(3, 4))),
    ("map_structure", (add, ORDERED, {"a": 3, "b": 4})),
    ("map_structure", (5, [1])),
    ("map_structure", (add,)),
    ("map_structure_up_to", ([0, 0], name, [[1, 2], 3])),
    ("map_structure_up_to", ([0, 0], lambda a, b: (a, b), [[1, 2], 3], [4, {"x": 5}])),
    ("map_structure_up_to", ([0, 0], name, [1, 2, 3])),
    ("map_structure_up_to", ([0, 0], name, (1, 2))),
    ("map_structure_up_to", ({"a": 0}, name, {"a": [1]})),
    ("map_structure_up_to", ({"a": 0}, name, {"b": [1]})),
    ("map_structure_up_to", (0, name, [1, 2])),
    ("map_structure_up_to", ([[0], 0], name, [1, 2])),
    ("pack_sequence_as", (MIXED, 5)),
    ("pack_sequence_as", (1, [7])),
    ("map_shape_structure", (list, [(1, 2), [3, None]])),
    ("map_shape_structure", (sum, {"a": (1, 2), "b": [(3, 4)]})),
    ("map_shape_structure", (list, (None, 3))),
    ("map_shape_structure", (list, [((None, 3), (2,)), ()])),
]


def outcome(library, function, args):
    """What a call gives, or the type of its error."""
    try:
        return getattr(library, function)(*args)
    except (ValueError, TypeError) as error:
        return type(error)


def types(value):
    """The types of all branches: equal trees may differ in them."""
    if isinstance(value, dict):
        return type(value), {key: types(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [types(item) for item in value]
    return type(value)


@pytest.mark.parametrize(("function", "args"), CALLS, ids=[c[0] for c in CALLS])
def test_like_keras(function, args):
    a, b = (outcome(library, function, args) for library in (ours, theirs))
    assert a == b and types(a) == types(b)


@pytest.mark.parametrize("structure", [[1, 2], {"a": 1, "b": [1]}])
def test_none_in_the_place_of_a_value(structure):
    a, b = (k.traverse(without_one(k), structure) for k in (ours, theirs))
    assert a == b
    for library in (ours, theirs):
        assert library.map_structure(add, [None, 1], [None, 2], none_is_leaf=False) == [None, 3]
        with pytest.raises(ValueError, match="None"):
            library.map_structure(add, [None, 1], [1, 2], none_is_leaf=False)


def test_dicts_in_dicts():
    """On torch Keras sorts the outer dict only, against what it says; with optree it does."""
    assert ours.flatten(NESTED) == optree_impl.flatten(NESTED) == [4, 3, 2, 1]
    packed = ours.pack_sequence_as(NESTED, [1, 2, 3, 4])
    assert packed == optree_impl.pack_sequence_as(NESTED, [1, 2, 3, 4])
    assert list(packed) == ["x", "w"]  # as it was given


def test_names_and_signatures():
    names = [n for n in dir(keras.tree) if n[0] != "_"]
    assert sorted(ours.__all__) == sorted(names)
    for n in names:
        assert inspect.signature(getattr(ours, n)) == inspect.signature(getattr(theirs, n))


ERRORS = [
    (lambda: ours.map_structure(add, {"a": [1, 2]}, {"a": [1]}), "['a']: 2 items in the first one"),
    (lambda: ours.map_structure(add, [1], [[1]]), "at [0]: int in the first one, list in the"),
    (lambda: ours.map_structure(add, [1], (1,)), "at the top: list in the first one, tuple in"),
    (lambda: ours.map_structure(add), "no structure. A function and at least one structure"),
    (lambda: ours.pack_sequence_as([1, 2], [1]), "got 1 values for a structure with 2 leaves."),
    (lambda: ours.assert_same_paths([1], [1, 2]), "[(1,)] only in the second. Both must have"),
    (
        lambda: ours.assert_same_structure({"a": 1}, {"b": 1}),
        "the keys ['a'] in the first one, the",
    ),
]


@pytest.mark.parametrize(("call", "text"), ERRORS)
def test_errors(call, text):
    with pytest.raises(ValueError) as error:
        call()
    assert text in str(error.value)
