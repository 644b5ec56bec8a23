"""Activations as layers against the installed Keras; our refusals."""

import re

import keras
import numpy as np
import pytest
import torch
from _layers import OURS, check, check_signature

from lightkeras import layers

X = np.concatenate([np.linspace(-8.1, 8, 33), [0, 1, 6.1, -1, 2]]).reshape(2, 19).astype("float32")
IMAGE = (2, 3, 4, 5)

TABLE = [
    ("Activation", {"activation": "relu"}, X),
    ("Activation", {"activation": "softmax"}, X),
    ("Activation", {"activation": None}, X),
    ("ReLU", {}, X),
    ("ReLU", {"max_value": 6.0}, X),
    ("ReLU", {"max_value": 6, "negative_slope": 0.3, "threshold": 1.5}, X),
    ("LeakyReLU", {}, X),
    ("LeakyReLU", {"negative_slope": 0.1}, X),
    ("ELU", {}, X),
    ("ELU", {"alpha": 0.3}, X),
    ("PReLU", {}, X),
    ("PReLU", {}, IMAGE),
    ("PReLU", {"shared_axes": [1, 2], "alpha_initializer": "ones"}, IMAGE),
    ("PReLU", {"shared_axes": 1, "alpha_regularizer": "l2", "alpha_constraint": "non_neg"}, IMAGE),
    ("Softmax", {}, X),
    ("Softmax", {"axis": 1}, IMAGE),
    ("Softmax", {"axis": (1, 2)}, IMAGE),
    ("Softmax", {"axis": [-1]}, IMAGE),
]


@pytest.mark.parametrize(("name", "kwargs", "x"), TABLE)
def test_as_keras(name, kwargs, x):
    shape = x if isinstance(x, tuple) else x.shape
    unknown = [(None, None, *shape[2:])] if name != "PReLU" else []
    check(lambda k: getattr(k.layers, name)(**kwargs), x, unknown=unknown)


@pytest.mark.parametrize("name", ["Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"])
def test_signatures(name):
    check_signature(name)


def test_prelu_at_zero_has_the_gradient_of_keras():
    check(lambda k: k.layers.PReLU("ones"), np.array([[0.0, -1.0, 1.0]], dtype="float32"))


@pytest.mark.parametrize("axis", [-1, 1, (1, 2)])
@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 3, 4), (3, 1), (4,)])
@pytest.mark.parametrize("kind", [bool, "float32"])
def test_masked_softmax(axis, shape, kind):
    rng = np.random.default_rng(3)
    x, mask = rng.normal(size=(2, 3, 4)).astype("float32"), rng.random(shape) > 0.4
    mask.flat[: mask.size // 2] = False  # some rows are masked throughout
    ours, theirs = (
        k.layers.Softmax(axis)(torch.tensor(x), mask=torch.tensor(mask.astype(kind)))
        for k in (OURS, keras)
    )
    torch.testing.assert_close(ours, theirs)


def test_softmax_takes_the_mask_of_its_input():
    x = torch.zeros(2, 3)
    x._keras_mask = torch.tensor([[True, True, False], [False, False, False]])
    assert layers.Softmax()(x).tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]


def test_activation_by_function():
    def double(x):
        return 2 * x

    x = torch.randn(3)
    assert torch.equal(layers.Activation(double)(x), 2 * x)
    assert torch.equal(layers.Activation(torch.sin)(x), torch.sin(x))
    inside = layers.Activation(layers.LeakyReLU(0.5))
    assert inside(torch.tensor([-2.0])).item() == -1.0


def test_old_name_of_the_slope():
    with pytest.warns(UserWarning, match="'alpha' is an old Keras spelling.*negative_slope"):
        layer = layers.LeakyReLU(alpha=0.25)
    assert layer.negative_slope == keras.layers.LeakyReLU(alpha=0.25).negative_slope == 0.25


REFUSALS = [
    (lambda: layers.ReLU(max_value=-1), "ReLU(max_value=-1) is out of range", "at least 0"),
    (lambda: layers.ReLU(negative_slope=None), "ReLU(negative_slope=None)", "at least 0"),
    (lambda: layers.ReLU(threshold=-0.5), "ReLU(threshold=-0.5)", "threshold=0.1"),
    (lambda: layers.LeakyReLU(-0.3), "LeakyReLU(negative_slope=-0.3)", "negative_slope=0.1"),
    (lambda: layers.Activation("rleu"), "Unknown activation 'rleu'. Did you mean 'relu'?", "Known"),
    (
        lambda: layers.Softmax()(torch.zeros(2, 3), mask=torch.ones(2, 4)),
        "mask of shape (2, 4) for an input of shape (2, 3)",
        "mask[..., None]",
    ),
    (
        lambda: layers.Softmax()(torch.zeros(1, 3), mask=torch.ones(2, 3)),
        "mask of shape (2, 3)",
        "input's size or 1",
    ),
]


@pytest.mark.parametrize(("action", "given", "fix"), REFUSALS)
def test_refusals(action, given, fix):
    with pytest.raises(ValueError, match=re.escape(given)) as error:
        action()
    assert fix in str(error.value)
