"""keras.Variable, name_scope and device against the installed Keras."""

import copy
import inspect
import pickle

import keras
import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras import ops

VALUES = [
    ((1.5,), {}),
    (([1.0, 2.0],), {"name": "w"}),
    ((3,), {"trainable": False}),
    ((True,), {"trainable": False}),
    ((np.ones((2, 3)),), {}),
    ((np.ones(2, "int64"),), {"trainable": False}),
    ((torch.ones(2, dtype=torch.float16),), {"trainable": False}),
    (([1, 2],), {"dtype": "int32", "trainable": False}),
    (([1, 2],), {"dtype": "float32"}),
    (("ones",), {"shape": (2, 3)}),
    (("zeros", (2,), "float16"), {}),
    ((lambda shape, dtype: torch.full(shape, 2.0), (2,)), {}),
    ((np.ones(2, "float32"), (2,)), {"aggregation": "mean", "synchronization": "none"}),
]


def told(library, variable):
    names = "trainable", "ndim", "aggregation", "synchronization", "constraint", "regularizer"
    value = variable.value.detach()
    return (
        library.backend.standardize_dtype(variable.dtype),
        tuple(variable.shape),
        value.tolist(),
        *(getattr(variable, n) for n in names),
    )


@pytest.mark.parametrize(("args", "kwargs"), VALUES)
def test_made_as_in_keras(args, kwargs):
    ours, theirs = lk.Variable(*args, **kwargs), keras.Variable(*args, **kwargs)
    assert isinstance(ours, lk.Variable) and isinstance(ours, torch.Tensor)
    assert told(lk, ours) == told(keras, theirs)
    if "name" in kwargs:
        assert ours.name == theirs.name == ours.path == theirs.path


EXPRESSIONS = {
    "sums": lambda v: v + 1 - 2.0 * v,
    "reflected": lambda v: 1 / (2 - v),
    "powers": lambda v: v**2 // 3 % 2,
    "products": lambda v: v @ v,
    "parts": lambda v: v[1:],
    "comparisons": lambda v: (v > 1.5) & (v <= 4),
    "numpy": lambda v: np.sum(np.array(v)) + float(v[0]) + int(v[1]),
    "torch": lambda v: torch.exp(v) * -abs(v),
    "assign": lambda v: v.assign([5.0, 6.0, 7.0]) * 1,
    "assign_add": lambda v: (v.assign_add([1, 1, 1]), v.value * 1)[1],
    "assign_sub": lambda v: (v.assign_sub(np.float32(2)), v.value * 1)[1],
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_computes_as_in_keras(name):
    a, b = (EXPRESSIONS[name](k.Variable([1.0, 2.0, 4.0])) for k in (lk, keras))
    np.testing.assert_allclose(*(t.detach() if torch.is_tensor(t) else t for t in (a, b)))


def test_of_an_op_of_both():
    for k in (lk, keras):
        v = k.Variable([1.0, 2.0])
        assert k.ops.add(v, 1).tolist() == [2.0, 3.0]
        assert k.ops.convert_to_numpy(v).tolist() == v.numpy().tolist() == [1.0, 2.0]
        v.trainable = False
        assert not v.trainable and not v.value.requires_grad


def test_names_and_scopes():
    for k in (lk, keras):
        k.utils.clear_session(free_memory=False)
        assert [k.Variable(0.0).path for _ in range(3)] == ["variable", "variable_1", "variable_2"]
        with k.name_scope("outer"):
            with k.name_scope("inner"):
                v = k.Variable(1.0, name="w")
            assert k.Variable(1.0, name="b").path == "outer/b"
        assert (v.path, v.name) == ("outer/inner/w", "w")
        assert k.Variable(1.0, name="x").path == "x"


class Scaled:
    """A layer of either library with variables of its own."""

    def __new__(cls, k):
        class Layer(k.layers.Layer):
            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.scale = k.Variable(2.0, name="scale")
                self.seen = k.Variable(0, dtype="int32", trainable=False, name="seen")

            def call(self, x):
                return x * self.scale

        return Layer()


def test_belong_to_the_layer_that_holds_them(tmp_path):
    ours, theirs = Scaled(lk), Scaled(keras)
    for layer in (ours, theirs):
        assert [w.path for w in layer.weights] == ["scale", "seen"]
        assert [w.name for w in layer.trainable_weights] == ["scale"]
        assert layer(torch.ones(1, 2)).tolist() == [[2.0, 2.0]]
    assert set(ours.state_dict()) == {"scale", "seen"}
    ours.seen.assign_add(3)
    models = [k.Sequential([k.Input((2,)), la]) for k, la in ((lk, ours), (keras, theirs))]
    models[0].save_weights(tmp_path / "ours.weights.h5")
    models[1].load_weights(tmp_path / "ours.weights.h5")
    assert int(theirs.seen.value) == 3
    models[0].compile("sgd", "mse")
    models[0].fit(np.ones((4, 2)), np.zeros((4, 2)), verbose=0)
    assert float(ours.scale) < 2.0
    again = pickle.loads(pickle.dumps(copy.deepcopy(models[0].weights[0])))
    assert again.path == "scale" and float(again) == float(ours.scale)


def test_device():
    for k in (lk, keras):
        with k.device("meta"):
            assert k.ops.zeros(2).is_meta
        with k.device("CPU:0"):
            assert k.Variable(1.0).value.device.type == k.ops.ones(2).device.type == "cpu"
        with pytest.raises(ValueError, match="5"):
            k.device(5).__enter__()


@pytest.mark.parametrize("name", ["Variable", "device", "name_scope"])
def test_signatures(name):
    ours, theirs = (inspect.signature(getattr(k, name)).parameters for k in (lk, keras))
    assert [str(p) for p in ours.values()] == [str(p) for n, p in theirs.items() if n != "kwargs"]


ERRORS = [
    (lambda: lk.Variable("ones"), "without a shape. A value, or an initializer and a shape"),
    (lambda: lk.Variable([1.0], shape=(2,)), "shape (1,) and shape=(2,). Both must be equal."),
    (
        lambda: lk.Variable(1.0, name="a/b"),
        "name='a/b'. A text without '/' is accepted. Type name=",
    ),
    (lambda: lk.Variable([1.0]).assign([1.0, 2.0]), "The shapes must be equal. Reshape the value"),
    (lambda: lk.device(5), "device() got 5. A name like 'cpu' or 'gpu:0' is accepted. Type"),
]


@pytest.mark.parametrize(("call", "text"), ERRORS)
def test_errors(call, text):
    with pytest.raises(ValueError) as error:
        call()
    assert text in str(error.value)


def test_ops_of_variables_take_the_short_way():
    v = lk.Variable([1.0, 2.0])
    assert ops.exp(v).requires_grad and type(ops.exp(v)) is torch.Tensor
