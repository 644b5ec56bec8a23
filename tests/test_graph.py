"""Symbolic tensors and functional models, beside the installed Keras."""

import operator

import keras
import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras import layers

OPERATORS = {
    "add": lambda a, b: a + b,
    "radd": lambda a, b: 1.5 + a,
    "sub": lambda a, b: a - b,
    "rsub": lambda a, b: 1.0 - a,
    "mul": lambda a, b: a * b * 2,
    "div": lambda a, b: a / (b * b + 1.0),
    "rdiv": lambda a, b: 1.0 / (a * a + 1.0),
    "pow": lambda a, b: a**2,
    "neg": lambda a, b: -a,
    "abs": lambda a, b: abs(a - b),
    "matmul": lambda a, b: a[:, None, :] @ b[:, :, None],
    "getitem": lambda a, b: a[:, 1:],
    "getitem none": lambda a, b: a[:, None],
    "ellipsis": lambda a, b: a[..., :2],
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_equal_keras(name):
    def model(k):
        a, b = k.Input((3,)), k.Input((3,))
        return k.Model([a, b], OPERATORS[name](a, b))

    x = [np.random.randn(5, 3).astype("float32") for _ in range(2)]
    ours, theirs = model(lk), model(keras)
    assert ours.output_shape == theirs.output_shape
    np.testing.assert_allclose(
        ours.predict(x, verbose=0), theirs.predict(x, verbose=0), rtol=1e-5, atol=1e-6
    )


TORCH_FUNCTIONS = [
    (torch.relu, (None, 4)),
    (lambda x: torch.mean(x, dim=1), (None,)),
    (lambda x: torch.cat([x, x], dim=1), (None, 8)),
    (lambda x: torch.stack([x, x]), (2, None, 4)),
    (lambda x: torch.nn.functional.pad(x, (1, 1)), (None, 6)),
    (lambda x: x.reshape(-1, 2), (None, 2)),
    (lambda x: torch.einsum("bi,bj->bij", x, x), (None, 4, 4)),
]


@pytest.mark.parametrize("fn, shape", TORCH_FUNCTIONS)
def test_any_torch_function_makes_a_node(fn, shape):
    x = lk.Input((4,))
    out = fn(x)
    assert out.shape == shape
    data = torch.randn(5, 4)
    assert torch.equal(lk.Model(x, out)(data), fn(data))


def test_functional_equals_sequential_from_the_same_weights():
    x = lk.Input((4,))
    functional = lk.Model(inputs=x, outputs=layers.Dense(2)(layers.Dense(3, activation="relu")(x)))
    sequential = lk.Sequential(
        [lk.Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(2)]
    )
    sequential.set_weights(functional.get_weights())
    data = torch.randn(5, 4)
    assert torch.equal(functional(data), sequential(data))


def test_structures_of_inputs_and_outputs():
    a, b = lk.Input((2,), name="a"), lk.Input((2,), name="b")
    model = lk.Model({"a": a, "b": b}, {"sum": a + b, "both": [a, b]})
    x = {"a": torch.ones(3, 2), "b": torch.full((3, 2), 2.0)}
    out = model(x)
    assert set(out) == {"sum", "both"} and isinstance(out["both"], list)
    assert float(out["sum"][0, 0]) == 3 and torch.equal(out["both"][1], x["b"])
    listed = lk.Model([a, b], a - b)
    assert torch.equal(listed([x["a"], x["b"]]), listed({"b": x["b"], "a": x["a"]}))
    with pytest.raises(ValueError, match="has 2 inputs"):
        listed([x["a"]])
    with pytest.raises(ValueError, match="without the input 'b'"):
        listed({"a": x["a"], "bb": x["b"]})


def test_shared_layer_has_one_set_of_weights():
    dense = layers.Dense(3)
    a, b = lk.Input((4,)), lk.Input((4,))
    model = lk.Model([a, b], dense(a) + dense(b))
    assert len(model.weights) == 2 and len(model.layers) == 3


def test_nested_models_and_inner_outputs():
    x = lk.Input((4,))
    inner = lk.Model(x, layers.Dense(3, name="code")(x), name="inner")
    y = lk.Input((4,))
    outer = lk.Model(y, layers.Dense(1)(inner(y)))
    assert [layer.name for layer in outer.layers][1] == "inner"
    assert outer.get_layer("inner").get_layer("code") is inner.layers[1]
    features = lk.Model(outer.inputs, outer.get_layer("inner").output if False else inner(y))
    data = torch.randn(5, 4)
    assert torch.equal(features(data), inner(data))


def test_a_model_over_an_inner_layers_output():
    model = lk.Sequential([lk.Input((4,)), layers.Dense(3, name="first"), layers.Dense(1)])
    features = lk.Model(model.inputs, model.get_layer("first").output)
    data = torch.randn(5, 4)
    assert torch.equal(features(data), model.layers[0](data))


def test_deep_chains_do_not_recurse():
    x = h = lk.Input((2,))
    for _ in range(3000):
        h = h + 1.0
    assert float(lk.Model(x, h)(torch.zeros(1, 2))[0, 0]) == 3000


def test_intermediate_results_are_let_go():
    x = h = lk.Input((2,))
    for _ in range(5):
        h = torch.relu(h)
    plan = lk.Model(x, h)._plan
    assert sum(len(step[-1]) for step in plan.steps) == 5


def test_modules_and_functions_stand_in_a_model():
    model = lk.Sequential(
        [lk.Input((4,)), torch.nn.Linear(4, 3), torch.relu, lambda t: t * 2, layers.Dense(1)]
    )
    assert model.output_shape == (None, 1) and model.count_params() == 4 * 3 + 3 + 3 + 1
    with pytest.raises(TypeError, match=r"Type Dense\(...\)"):
        lk.Sequential([layers.Dense])


def test_a_bare_module_on_a_symbolic_tensor_says_what_to_type():
    with pytest.raises(ValueError, match="TorchModuleWrapper"):
        torch.nn.Linear(4, 3)(lk.Input((4,)))
    wrapped = layers.TorchModuleWrapper(torch.nn.Linear(4, 3))(lk.Input((4,)))
    assert wrapped.shape == (None, 3)


def test_missing_input_is_named():
    a, b = lk.Input((2,), name="left"), lk.Input((2,), name="right")
    with pytest.raises(ValueError, match="'right'"):
        lk.Model(a, a + b)


def test_layers_that_read_values_still_have_a_shape():
    class Reads(layers.Layer):
        def call(self, x):
            scale = float(x.sum()) + 1.0
            return torch.cat([x, torch.arange(2.0).expand(x.shape[0], 2)], 1) * scale

    assert Reads()(lk.Input((3,))).shape == (None, 5)


def test_operator_module_functions():
    x = lk.Input((3,))
    assert operator.add(x, x).shape == (None, 3)


def test_unknown_axes_stay_unknown():
    assert layers.Dense(2)(lk.Input((None, 4))).shape == (None, None, 2)
    assert torch.flatten(lk.Input((None, 4)), 1).shape == (None, None)
