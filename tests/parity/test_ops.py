"""What all ops share: their names, their places in graphs, and the files of these graphs."""

import copy
import inspect
import json
import pickle
import sys

import keras
import numpy as np
import pytest
import torch
from _ops import compare, find, numbers
from keras.src.ops.operation import Operation
from test_ops_numpy import CASES

import lightkeras as lk
from lightkeras import _graph, ops
from lightkeras._tree import flatten, map_structure
from lightkeras.models import model_from_json

FAMILIES = ["image", "linalg", "nn", "numpy"]


def public(module):
    return {name for name in dir(module) if name[0] != "_"}


def test_every_name_is_here():
    assert public(keras.ops) - set(dir(ops)) == set()
    for family in FAMILIES:
        ours = getattr(ops, family)
        assert public(getattr(keras.ops, family)) == set(ours.__all__)
        shared = ours.__all__ if family != "image" else []
        assert all(getattr(ops, name) is getattr(ours, name) for name in shared)


def test_a_mistyped_name():
    with pytest.raises(AttributeError, match=r"has no 'meen'\. Did you mean 'mean'"):
        ops.meen  # noqa: B018


# ---- Keras's classes --------------------------------------------------------------------------

FILES = ("core", "einops", "image", "linalg", "math", "nn", "numpy")
MODULES = {n: getattr(keras.src.ops, n) for n in FILES}
NO_CLASS = {
    "Cond": "its functions cannot be stored",
    "JVP": "its function cannot be stored",
    "Ndim": "a number, and no tensor, here",
    "SegmentReduction": "the base of others",
}
OWN_INPUTS = {
    "Kaiser": "Keras takes it for another class",
    "LayerNorm": "rms_scaling is deprecated, and an op of its own",
}
CLASSES = [
    (module, name)
    for module, where in MODULES.items()
    for name, value in vars(where).items()
    if inspect.isclass(value)
    and issubclass(value, Operation)
    and value.__module__ == where.__name__
    and name not in NO_CLASS
]


def _named(name, parameter):
    return name not in ("self", "name") and parameter.kind is not parameter.VAR_KEYWORD


@pytest.mark.parametrize(("module", "name"), CLASSES)
def test_every_class_of_keras_is_an_op(module, name):
    """Its call takes the op's tensors, its constructor the op's other arguments."""
    theirs, op = getattr(MODULES[module], name), ops.OPERATIONS[f"{module}.{name}"]
    call, init = (
        [n for n, p in inspect.signature(m).parameters.items() if _named(n, p)]
        for m in (theirs.call, theirs.__init__)
    )
    if name not in OWN_INPUTS:
        assert list(op.tensors) == call
        assert {*init, *call} >= {
            n for n, p in inspect.signature(op).parameters.items() if _named(n, p)
        }
        assert set(init) <= set(inspect.signature(op).parameters)


# ---- symbolic calls of what the tables call with numbers ---------------------------------------

X, VECTOR = numbers(3, 4), numbers(5)
KNOWN = {
    "argpartition": ((X, 2), {}),
    "broadcast_to": ((VECTOR, (2, 5)), {}),
    "correlate": ((VECTOR, numbers(3)), {"mode": "same"}),
    "diagflat": ((VECTOR,), {}),
    "empty_like": ((X,), {}),
    "histogram": ((VECTOR,), {"bins": 4}),
    "inner": ((X, numbers(2, 4)), {}),
    "kron": ((X, numbers(2, 2)), {}),
    "lstsq": ((numbers(5, 3), numbers(5, 2)), {}),
    "meshgrid": ((VECTOR, numbers(3)), {}),
    "outer": ((VECTOR, numbers(3)), {}),
    "scatter": ((np.array([[1], [3]], "int32"), numbers(2, 4), (5, 4)), {}),
    "scatter_update": ((X, np.array([[0, 1], [2, 3]], "int32"), numbers(2)), {}),
    "searchsorted": ((np.arange(5.0, dtype="float32"), VECTOR), {}),
    "slice_update": ((X, (0, 1), numbers(2, 2)), {}),
    "sparsemax": ((X,), {}),
    "unique": ((np.array([3, 1, 3, 2]),), {"size": 4}),
    "vdot": ((VECTOR, numbers(5, seed=1)), {}),
    "vsplit": ((numbers(4, 2), 2), {}),
    "linspace": ((VECTOR, numbers(5, seed=2)), {"num": 3}),
    "logspace": ((VECTOR, numbers(5, seed=2)), {"num": 3}),
    "geomspace": ((VECTOR**2 + 1, VECTOR**2 + 2), {"num": 3}),
    "jvp": ((lambda x, y: x * y, (X, X + 1), (X, X)), {}),
    "image.scale_and_translate": (
        (
            numbers(2, 6, 7, 3),
            (2, 4, 4, 3),
            numbers(2, low=1, high=2),
            numbers(2),
            (1, 2),
            "linear",
        ),
        {},
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_symbolic_calls_of_known_sizes(name):
    """Shapes and dtypes are Keras's, and the graph gives what the call gives."""
    args, kwargs = KNOWN[name]
    arrays, symbols = [], []

    def symbol(make, value):
        if not isinstance(value, np.ndarray):
            return value
        arrays.append(torch.tensor(value))
        symbols.append(make(value.shape, str(value.dtype)))
        return symbols[-1]

    def call(library, make):
        arrays.clear()
        symbols.clear()
        return flatten(
            find(library, name)(*map_structure(lambda v: symbol(make, v), args), **kwargs)
        )

    theirs, ours = call(keras.ops, keras.KerasTensor), call(ops, lk.KerasTensor)
    assert [(t.shape, t.dtype) for t in ours] == [(tuple(t.shape), t.dtype) for t in theirs]
    if name != "empty_like":
        found = _graph.Plan(list(symbols), ours).run(list(arrays))
        wanted = find(ops, name)(*args, **kwargs)
        compare(name, list(flatten(found)), list(flatten(wanted)))


def test_sizes_that_depend_on_numbers_are_unknown():
    """(Keras counts nonzero's axes among them, and bincount's rows.)"""
    x = lk.Input(batch_shape=(3, 4), dtype="int32")
    assert ops.nonzero(x).shape == (2, None)
    assert ops.bincount(x).shape == (3, None)


# ---- rearrange --------------------------------------------------------------------------------

PATTERNS = {
    "b h w c -> b c h w": {},
    "b h w c -> (b h) w c": {},
    "b h w c -> h (b w) c": {},
    "b h w c->b (c h w)": {},
    " b (h1 h) (w1 w) c -> (b h1 w1) h w c": {"h1": 2, "w1": 3},
    "b (h h1) (w w1) c -> b h w (c h1 w1)": {"h1": 2, "w1": 3},
    "b (h h1) w c -> h1 b (w c) h": {"h": 2, "h1": 2},
    "b h w (heads per) -> (b heads) h w per": {"per": 2},
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_rearrange(pattern):
    """With all sizes known: Keras takes no others in a graph."""
    x = np.arange(2 * 4 * 6 * 8, dtype="float32").reshape(2, 4, 6, 8)
    sizes = PATTERNS[pattern]
    compare(
        f"rearrange {pattern}",
        ops.rearrange(x, pattern, **sizes),
        keras.ops.rearrange(x, pattern, **sizes),
    )
    entry, there = (k.Input(batch_shape=x.shape) for k in (lk, keras))
    ours = lk.Model(entry, ops.rearrange(entry, pattern, **sizes))
    theirs = keras.Model(there, keras.ops.rearrange(there, pattern, **sizes))
    stored = [model_from_json(model.to_json()) for model in (ours, theirs)]
    for model in (ours, *stored, keras.models.model_from_json(ours.to_json())):
        assert tuple(model.output_shape) == tuple(theirs.output_shape)
        compare(f"rearrange {pattern}", model(torch.tensor(x)), theirs(x))


def test_rearrange_of_unknown_sizes():
    x = lk.Input((None, None, 3))
    assert ops.rearrange(x, "b h w c -> b c h w").shape == (None, 3, None, None)
    assert ops.rearrange(x, "(b t) h w c -> b t (h w c)", t=16).shape == (None, 16, None)
    model = lk.Model(x, ops.rearrange(x, "b (h p) (w q) c -> b (h w) (p q c)", p=2, q=2))
    assert model.output_shape == (None, None, 12)
    assert model(torch.zeros(5, 4, 6, 3)).shape == (5, 6, 12)


WRONG_PATTERNS = {
    r"pattern 'a b -> a'\. .* each name once": ("a b -> a", {}),
    r"pattern 'a b -> b a a'": ("a b -> b a a", {}),
    r"pattern 'a b \| b a'": ("a b | b a", {}),
    r"pattern 'a \(\(b\)\) -> a b'": ("a ((b)) -> a b", {}),
    r"pattern 3\.": (3, {}),
    r"a tensor of 2 axes for 'a b c -> a \(b c\)'.*\(3\)": ("a b c -> a (b c)", {}),
    r"cannot tell the sizes of a and c .*a=2": ("(a c) b -> a b c", {}),
    r"got a=3 for an axis of size 4": ("(a c) b -> a b c", {"a": 3}),
    r"got a=4, c=2 for an axis of size 4": ("(a c) b -> a b c", {"a": 4, "c": 2}),
    r"got a=0 for an axis": ("(a c) b -> a b c", {"a": 0}),
    r"got a=2\.0\. Sizes are whole": ("(a c) b -> a b c", {"a": 2.0}),
    r"size for 'row', .* Did you mean 'rows'": ("(rows c) b -> rows b c", {"row": 2}),
}


@pytest.mark.parametrize("text", WRONG_PATTERNS, ids=range(len(WRONG_PATTERNS)))
def test_patterns_that_do_not_fit(text):
    pattern, sizes = WRONG_PATTERNS[text]
    for x in (torch.zeros(4, 2), lk.Input(batch_shape=(4, 2))):
        with pytest.raises(ValueError, match=text):
            ops.rearrange(x, pattern, **sizes)


# ---- files ------------------------------------------------------------------------------------


def _storable():
    """One call of each op with symbolic tensors."""
    rows = {}
    for name, args, kwargs in CASES:
        if kwargs.get("symbolic", True) and not any(isinstance(a, list) for a in args[1:]):
            rows.setdefault(name, (args, kwargs))
    return [(name, *rows[name]) for name in sorted(rows) if name not in ("array", "histogram")]


STORED = _storable()
NOT_OF_OP = ("symbolic", "symbols", "shapes", "dtypes", "gradients", "rtol", "atol")


def model_of(library, op, args, kwargs):
    """(model of one op, its inputs); the batch axis of each array is unknown."""
    symbols, arrays = [], []
    places = kwargs.get("symbols", range(len(args)))

    def symbol(value):
        if not isinstance(value, np.ndarray):
            return value
        symbols.append(library.Input(value.shape[1:], dtype=str(value.dtype)))
        arrays.append(value)
        return symbols[-1]

    args = [map_structure(symbol, a) if i in places else a for i, a in enumerate(args)]
    kwargs = {k: symbol(v) for k, v in kwargs.items() if k not in NOT_OF_OP}
    return library.Model(symbols, op(*args, **kwargs)), arrays


def graph_of(model):
    """Names and classes of the layers, and how they are called."""
    layers = json.loads(model.to_json())["config"]["layers"]
    return [(la["class_name"], la["module"], la["name"]) for la in layers]


@pytest.mark.parametrize(("name", "args", "kwargs"), STORED, ids=[row[0] for row in STORED])
def test_files_go_both_ways(name, args, kwargs):
    """A graph that Keras stores is read here, and one of ours by Keras."""
    lk.utils.clear_session(free_memory=False)
    keras.utils.clear_session(free_memory=False)
    theirs, arrays = model_of(keras, getattr(keras.ops, name), args, kwargs)
    ours, _ = model_of(lk, getattr(ops, name), args, kwargs)
    assert graph_of(ours) == graph_of(theirs)
    given, rtol = [torch.tensor(a) for a in arrays], kwargs.get("rtol", 1e-5)
    expected = flatten(ours(given if len(given) > 1 else given[0]))
    there = keras.models.model_from_json(ours.to_json())
    for model in (model_from_json(ours.to_json()), model_from_json(theirs.to_json()), there):
        found = flatten(list(flatten(model(given if len(given) > 1 else given[0]))))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


MIXED = {
    "arrays": lambda o, x: o.add(x, np.arange(4, dtype="float32")),
    "lists": lambda o, x: o.multiply(
        [1.0, 2.0, 3.0, 4.0] if o is ops else np.float32([1, 2, 3, 4]), x
    ),
    "tensors": lambda o, x: o.matmul(x, torch.ones(4, 2)),
    "numbers on the left": lambda o, x: o.subtract(1.0, o.maximum(0.5, x)),
    "operators": lambda o, x: o.exp(-x) * 2 + x[:, :1] ** 2,
    "several results": lambda o, x: o.concatenate(o.split(x, 2, axis=1)[::-1], axis=1),
    "shapes": lambda o, x: o.reshape(x, (-1, o.shape(x)[1] // 2)),
    "chains": lambda o, x: o.sum(o.softmax(o.expand_dims(x, 1) * o.cast(x > 0, "float32"), -1), 1),
}


@pytest.mark.parametrize("name", MIXED)
def test_graphs(name):
    """Several ops in one graph; what is no symbolic tensor is stored with it."""
    make = MIXED[name]
    i, j = lk.Input((4,)), keras.Input((4,))
    ours, theirs = lk.Model(i, make(ops, i)), keras.Model(j, make(keras.ops, j))
    x = torch.randn(2, 4)
    models = [ours, keras.models.model_from_json(ours.to_json())]
    models += [model_from_json(m.to_json()) for m in (ours, theirs)]
    for model in models:
        np.testing.assert_allclose(model(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_functions_of_old_keras_are_ops():
    """They are stored, too."""
    import lightkeras.backend as K

    x = lk.Input((3, 4))
    y = K.concatenate([K.permute_dimensions(x, (0, 2, 1)), K.reshape(x, (-1, 4, 3))])
    model = lk.Model(x, K.sum(K.square(K.clip(y, -1, 1)), axis=-1))
    there = keras.models.model_from_json(model.to_json())
    given = torch.randn(2, 3, 4)
    np.testing.assert_allclose(model(given), there(given), rtol=1e-5)


def test_a_graph_runs_without_walks():
    """A step of a graph is one call of its op."""
    calls = []
    op = lambda a, b, n: calls.append(sys._getframe(1).f_code.co_name) or a + b * n
    x = lk.Input((2,))
    y = _graph.apply(_graph.Function(op, "op"), (x, x, 2), {})
    model = lk.Model(x, y)
    calls.clear()
    assert model(torch.ones(1, 2)).tolist() == [[3.0, 3.0]]
    assert calls == ["__call__"]
    again = pickle.loads(pickle.dumps(lk.Model(x, ops.add(ops.multiply(x, 2.0), x))))
    assert again(torch.ones(1, 2)).tolist() == copy.deepcopy(model)(torch.ones(1, 2)).tolist()


def test_what_cannot_be_stored_is_said():
    x = lk.Input((4,))
    looped = lk.Model(x, ops.fori_loop(0, 3, lambda i, v: v + i, x))
    assert looped(torch.zeros(1, 4)).tolist() == [[3.0] * 4]
    with pytest.raises(ValueError, match=r"'fori_loop'.*has a function.*call\(\) of a Layer"):
        looped.to_json()


# ---- arguments, cost --------------------------------------------------------------------------


def test_symbolic_tensors_anywhere():
    x, y = lk.Input((3,)), lk.Input((3,))
    assert ops.concatenate([x, y], axis=-1).shape == (None, 6)
    assert ops.mean(x=x, axis=1).shape == (None,)
    assert ops.where(x > 0, x1=1.0, x2=y).shape == (None, 3)
    assert ops.average(torch.ones(2, 3), weights=ops.ones_like(x[:2])).shape == ()
    assert ops.einsum("bi,bj->bij", x, y).shape == (None, 3, 3)
    with pytest.raises(ValueError, match=r"Type num=|number or rank depends on a size"):
        ops.unstack(x)
    assert len(ops.unstack(x, axis=1)) == 3


def test_weights_and_views_are_tensors():
    layer = lk.layers.Dense(2)
    layer.build((None, 3))
    assert ops.matmul(torch.ones(1, 3), layer.kernel).shape == (1, 2)
    assert ops.sum(layer.bias).requires_grad
    assert ops.convert_to_numpy(layer.kernel).shape == (3, 2)


def test_ops_run_on_the_meta_device_and_are_compiled():
    x = torch.ones(2, 3)
    assert ops.add(ops.exp(x.to("meta")), [1.0, 2.0, 3.0]).is_meta
    compiled = torch.compile(
        lambda x: ops.mean(ops.where(x > 0, ops.add(x, 2.0), x), axis=-1),
        backend="eager",
        fullgraph=True,
    )
    assert compiled(x).tolist() == [3.0, 3.0]
