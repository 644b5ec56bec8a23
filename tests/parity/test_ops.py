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
from keras.src.ops.operation import Operation
from test_ops_numpy import CASES

import lightkeras as lk
from lightkeras import _graph, ops
from lightkeras._tree import flatten, map_structure
from lightkeras.models import model_from_json

FAMILIES = ["image", "linalg", "nn", "numpy"]
WAITING = {"rearrange"}  # still to come
# Public names of keras.ops that are not here, with the reason.
MISSING: dict[str, str] = {}


def public(module):
    return {name for name in dir(module) if name[0] != "_"}


def test_every_name_is_here():
    wanted = public(keras.ops) - WAITING - MISSING.keys()
    assert wanted - set(dir(ops)) == set()
    for family in FAMILIES:
        ours = getattr(ops, family)
        assert public(getattr(keras.ops, family)) == set(ours.__all__)
        shared = ours.__all__ if family != "image" else []
        assert all(getattr(ops, name) is getattr(ours, name) for name in shared)


def test_a_mistyped_name():
    with pytest.raises(AttributeError, match=r"has no 'meen'\. Did you mean 'mean'"):
        ops.meen  # noqa: B018


# ---- Keras's classes --------------------------------------------------------------------------

MODULES = {n: getattr(keras.src.ops, n) for n in ("core", "image", "linalg", "math", "nn", "numpy")}
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


@pytest.mark.parametrize(("module", "name"), CLASSES)
def test_every_class_of_keras_is_an_op(module, name):
    """Its call takes the op's tensors, its constructor the op's other arguments."""
    theirs, op = getattr(MODULES[module], name), ops.OPERATIONS[f"{module}.{name}"]
    call, init = (
        [n for n in inspect.signature(m).parameters if n not in ("self", "name", "kwargs")]
        for m in (theirs.call, theirs.__init__)
    )
    if name not in OWN_INPUTS:
        assert list(op.tensors) == call
        assert {*init, *call} >= set(inspect.signature(op).parameters) - {"kwargs"}
        assert set(init) <= set(inspect.signature(op).parameters)


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
