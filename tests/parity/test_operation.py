"""keras.Operation and keras.Function against the installed Keras."""

import inspect
import json
import pickle

import keras
import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras.models import model_from_json


class Scale(lk.Operation):
    def __init__(self, factor, name=None):
        super().__init__(name=name)
        self.factor = factor

    def call(self, x):
        return x * self.factor


class KerasScale(keras.Operation):
    def __init__(self, factor, name=None):
        super().__init__(name=name)
        self.factor = factor

    def call(self, x):
        return x * self.factor


KerasScale.__name__ = "Scale"


def both(k):
    """(an operation, a model that holds it, its config as stored) in either library."""
    k.utils.clear_session(free_memory=False)
    op = (Scale if k is lk else KerasScale)(3.0)
    x = k.Input((2,))
    return op, k.Model(x, op(x) + 1)


def test_like_keras():
    (ours, model), (theirs, wanted) = both(lk), both(keras)
    assert ours.name == theirs.name == "scale"
    assert ours.get_config() == theirs.get_config() == {"name": "scale", "factor": 3.0}
    assert ours.output.shape == theirs.output.shape and ours.input.shape == theirs.input.shape
    x = torch.tensor([[1.0, -2.0]])
    assert ours(x).tolist() == theirs(x).tolist()
    assert model(x).tolist() == wanted(x).tolist()
    assert [o.name for o in model.operations] == [o.name for o in wanted.operations]
    assert Scale.from_config({"factor": 2.0}).factor == 2.0


def test_files_go_both_ways():
    (_, model), (_, wanted) = both(lk), both(keras)
    layers = [json.loads(m.to_json())["config"]["layers"][1] for m in (model, wanted)]
    for layer in layers:
        layer.pop("module")
    assert layers[0] == layers[1]
    x = torch.tensor([[1.0, -2.0]])
    for text in (model.to_json(), wanted.to_json()):
        assert model_from_json(text, {"Scale": Scale})(x).tolist() == wanted(x).tolist()
        again = keras.models.model_from_json(text, {"Scale": KerasScale})
        assert again(x).tolist() == wanted(x).tolist()


def test_shapes_are_found_or_given():
    class Halved(lk.Operation):
        def call(self, x, y=None):
            return x[:, ::2], x if y is None else y

    class Told(Halved):
        def compute_output_spec(self, x):
            return lk.KerasTensor((None, 7))

    a, b = Halved()(lk.Input((4,)))
    assert (a.shape, b.shape) == ((None, 2), (None, 4))
    assert Told()(lk.Input((4,))).shape == (None, 7)


def test_in_a_model_that_is_trained():
    x = lk.Input((2,))
    model = lk.Model(x, lk.layers.Dense(1)(Scale(2.0)(x)))
    assert "(Scale)" in _summary(model)
    model.compile("sgd", "mse")
    history = model.fit(np.ones((8, 2)), np.zeros((8, 1)), epochs=2, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]
    x = np.ones((1, 2), "float32")
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def _summary(model):
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    return "\n".join(lines)


FORMS = {
    "one": (lambda x, y: x, lambda x, y: x * 2 + 1),
    "several": (lambda x, y: [x, y], lambda x, y: [x + y, x - y]),
    "dicts": (lambda x, y: {"b": x, "a": y}, lambda x, y: {"sum": x + y, "x": x}),
    "nested": (lambda x, y: [x, (y,)], lambda x, y: (x * y, [x])),
}


@pytest.mark.parametrize("form", FORMS)
def test_functions(form):
    ends, outs = FORMS[form]
    given = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -4.0]])
    results = []
    for k in (lk, keras):
        x, y = k.Input((2,)), k.Input((2,))
        function = k.Function(ends(x, y), outs(x, y), name="f")
        assert function.name == "f"
        assert function(ends(k.Input((2,)), k.Input((2,)))) is not None
        spec = function.compute_output_spec(ends(k.Input((2,)), k.Input((2,))))
        shapes = [tuple(t.shape) for t in lk.tree.flatten(spec)]
        shapes += [tuple(t.shape) for t in (*function.inputs, *function.outputs)]
        shape = function.compute_output_shape((5, 2)) if form == "one" else None
        out = function(ends(*given))
        results.append((lk.tree.map_structure(lambda t: t.tolist(), out), shapes, shape))
    assert results[0] == results[1]


@pytest.mark.parametrize("name", ["Operation", "Function"])
def test_signatures(name):
    ours, theirs = (inspect.signature(getattr(k, name).__init__) for k in (lk, keras))
    assert ours == theirs


ERRORS = [
    (
        lambda: lk.Operation()(torch.ones(1)),
        NotImplementedError,
        "no call(). An Operation computes",
    ),
    (lambda: lk.Operation(name="a/b"), ValueError, "name='a/b'. A text without '/' is accepted."),
    (lambda: _function()(torch.ones(1, 3)), ValueError, "'f' got tensors of shapes [(1, 3)]. It"),
    (lambda: _function()([torch.ones(1, 2)] * 2), ValueError, "It takes [(None, 2)]. Pass tensors"),
    (lambda: _function().get_config(), NotImplementedError, "Type Model(inputs, outputs)."),
    (lambda: lk.Function(lk.Input((3,)), lk.Input((2,)) + 1), ValueError, "not among the model's"),
]


def _function():
    x = lk.Input((2,))
    return lk.Function(x, x + 1, name="f")


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS)
def test_errors(call, kind, text):
    with pytest.raises(kind) as error:
        call()
    assert text in str(error.value)
