"""Activations against the installed Keras."""

import inspect
import re
import sys

import keras
import numpy as np
import pytest
import torch

from lightkeras import activations
from lightkeras._graph import KerasTensor

NAMES = sorted(
    n
    for n in dir(keras.activations)
    if n[0] != "_" and n not in ("get", "serialize", "deserialize")
)
X = np.concatenate([np.linspace(-8, 8, 65), [-3, -1, 0, 1, 3, 6]]).astype("float32")
ROWS = np.random.default_rng(0).normal(0, 2, (4, 6, 8)).astype("float32")

ARGUMENTS = [
    ("relu", {"negative_slope": 0.3}),
    ("relu", {"max_value": 6}),
    ("relu", {"max_value": 2.5}),
    ("relu", {"threshold": 1.5}),
    ("relu", {"threshold": -1.5, "max_value": 3.0}),
    ("relu", {"negative_slope": 0.3, "max_value": 2.0}),
    ("relu", {"negative_slope": 0.3, "max_value": 4.0, "threshold": 1.0}),
    ("leaky_relu", {"negative_slope": 0.05}),
    ("elu", {"alpha": 0.4}),
    ("celu", {"alpha": 0.4}),
    ("gelu", {"approximate": True}),
    ("squareplus", {"b": 2}),
    ("soft_shrink", {"threshold": 2.0}),
    ("hard_shrink", {"threshold": 2.0}),
    ("threshold", {"threshold": 1.0, "default_value": -7.0}),
    ("softmax", {"axis": 0}),
    ("softmax", {"axis": (1, 2)}),
    ("softmax", {"axis": (0, 2)}),
    ("log_softmax", {"axis": 1}),
    ("glu", {"axis": 1}),
]


def kwargs_of(name):
    return {"threshold": 0.5, "default_value": 0.25} if name == "threshold" else {}


def close(ours, theirs):
    np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=1e-6, atol=1e-6)


def test_same_names_and_signatures():
    for name in NAMES:
        ours, theirs = getattr(activations, name), getattr(keras.activations, name)
        assert inspect.signature(ours) == inspect.signature(theirs), name
    assert set(NAMES) | {"get", "serialize", "deserialize"} == set(activations.__all__)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "sparsemax"])
def test_values_and_gradients(name):
    x = ROWS if name in ("softmax", "log_softmax", "glu") else X[:65] + 0.01
    a, b = (torch.tensor(x, requires_grad=True) for _ in range(2))
    ours = getattr(activations, name)(a, **kwargs_of(name))
    theirs = getattr(keras.activations, name)(b, **kwargs_of(name))
    close(ours, theirs)
    weights = torch.linspace(-1, 1, ours.numel()).reshape(ours.shape)
    if ours.requires_grad:
        (ours * weights).sum().backward()
        (theirs * weights).sum().backward()
        close(a.grad, b.grad)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("glu", "sparsemax")])
def test_values_at_the_corners(name):
    x = torch.tensor(X)
    close(
        getattr(activations, name)(x, **kwargs_of(name)),
        getattr(keras.activations, name)(x, **kwargs_of(name)),
    )


@pytest.mark.parametrize(("name", "kwargs"), ARGUMENTS)
def test_arguments(name, kwargs):
    x = torch.tensor(ROWS)
    close(getattr(activations, name)(x, **kwargs), getattr(keras.activations, name)(x, **kwargs))


@pytest.mark.parametrize("name", NAMES)
def test_arrays_lists_and_symbolic_tensors(name):
    function, kwargs = getattr(activations, name), kwargs_of(name)
    expected = function(torch.tensor(ROWS), **kwargs)
    for x in (ROWS, ROWS.tolist()):
        if name != "linear":
            close(function(x, **kwargs), expected)
    symbol = function(KerasTensor((None, 6, 8)), **kwargs)
    assert symbol.shape == (None, 6, 4 if name == "glu" else 8)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "glu"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_stays(name, dtype):
    y = getattr(activations, name)(torch.tensor([[-1.0, 0.5, 2.0]], dtype=dtype), **kwargs_of(name))
    assert y.dtype == dtype
    assert torch.isfinite(y).all()


@pytest.mark.parametrize("name", NAMES)
def test_names_lead_there_and_back(name):
    function = activations.get(name)
    assert function is getattr(activations, name)
    assert activations.serialize(function) == keras.activations.serialize(
        getattr(keras.activations, name)
    )
    assert activations.deserialize(name) is function


def test_get_takes_anything_callable():
    assert activations.get(None) is activations.linear
    assert activations.get(torch.sin) is torch.sin
    config = {"class_name": "function", "config": "relu", "module": "builtins"}
    assert activations.get(config) is activations.relu


a = activations
MISTAKES = [
    (lambda: a.get("rellu"), "Unknown activation 'rellu'. Did you mean 'relu'?"),
    (lambda: a.get(3), "Expected an activation, got int"),
    (
        lambda: a.softmax([1.0], axis=3),
        "softmax() got axis=3 and x of shape (1,). An axis from -1 to 0",
    ),
    (lambda: a.log_softmax([1.0], axis=(0, 3)), "log_softmax() got axis=(0, 3)"),
    (lambda: a.sparsemax([1.0], axis=3), "sparsemax() got axis=3"),
    (lambda: a.glu([1.0, 2.0, 3.0]), "its size must be even"),
    (lambda: a.glu([1.0, 2.0], axis=2), "glu() got axis=2"),
]


@pytest.mark.parametrize(("call", "text"), MISTAKES)
def test_mistakes(call, text):
    with pytest.raises((ValueError, TypeError), match=re.escape(text)):
        call()


@pytest.mark.parametrize("axis", [-1, 1, 0])
def test_sparsemax_is_the_nearest_point_of_the_simplex(axis):
    """By its definition: Keras 3.15 adds up the wrong sums, and its rows do not sum to 1."""
    x = torch.tensor(ROWS)
    p = activations.sparsemax(x, axis)
    torch.testing.assert_close(p.sum(axis), torch.ones_like(p.sum(axis)))
    assert (p >= 0).all()
    rows, points = x.movedim(axis, -1).flatten(0, -2), p.movedim(axis, -1).flatten(0, -2)
    others = torch.cat([torch.eye(rows.shape[-1]), torch.rand(200, rows.shape[-1]).softmax(-1)])
    # Nearest: no point of the simplex lies on the other side of p, seen from x.
    assert ((rows - points) @ others.T - ((rows - points) * points).sum(-1, True)).max() < 1e-5


def test_sparsemax_survives_nan():
    assert activations.sparsemax(torch.tensor([[float("nan"), 1.0]])).isnan().any()


def test_each_is_one_python_call_where_torch_has_it_in_c():
    x, calls = torch.ones(3), []
    for name in ("relu", "sigmoid", "tanh", "softmax", "exponential", "linear", "gelu", "softplus"):
        sys.setprofile(lambda frame, event, arg: calls.append(event) if event == "call" else None)
        getattr(activations, name)(x)
        sys.setprofile(None)
    assert len(calls) == 8
