"""Flatten, Reshape, Permute, RepeatVector against the installed Keras; our refusals."""

import re
import sys

import numpy as np
import pytest
import torch
from _layers import check, check_signature

from lightkeras import layers

TABLE = [
    ("Flatten", {}, (3, 4, 5), [(None, None, 5)]),
    ("Flatten", {}, (3,), []),
    ("Flatten", {}, (3, 4), []),
    ("Flatten", {"data_format": "channels_first"}, (2, 3, 4, 5), [(None, 3, None, 5)]),
    ("Reshape", {"target_shape": (5, 4)}, (3, 4, 5), [(None, None, 5)]),
    ("Reshape", {"target_shape": (-1, 2)}, (3, 4, 5), [(None, None, 5)]),
    ("Reshape", {"target_shape": (2, -1, 5)}, (3, 20), []),
    ("Reshape", {"target_shape": (20,)}, (3, 4, 5), []),
    ("Reshape", {"target_shape": [1]}, (3,), []),
    ("Permute", {"dims": (2, 1)}, (3, 4, 5), [(None, None, 5)]),
    ("Permute", {"dims": (3, 1, 2)}, (2, 3, 4, 5), [(None, None, None, 5)]),
    ("RepeatVector", {"n": 3}, (2, 5), [(None, None)]),
]


@pytest.mark.parametrize(("name", "kwargs", "shape", "unknown"), TABLE)
def test_as_keras(name, kwargs, shape, unknown):
    check(lambda k: getattr(k.layers, name)(**kwargs), shape, unknown=unknown)


@pytest.mark.parametrize("name", ["Flatten", "Reshape", "Permute", "RepeatVector"])
def test_signatures(name):
    check_signature(name)


@pytest.mark.parametrize("name", ["Flatten", "Reshape"])
def test_ids_stay_whole_numbers(name):
    arguments = {"target_shape": (2, 3)} if name == "Reshape" else {}
    check(lambda k: getattr(k.layers, name)(**arguments), np.arange(12).reshape(2, 6))


def test_an_empty_batch_has_a_shape():
    empty = torch.zeros(0, 4, 5)
    assert layers.Flatten()(empty).shape == (0, 20)
    assert layers.Reshape((2, -1))(empty).shape == (0, 2, 10)


def test_flatten_of_an_image_moves_no_memory():
    x = torch.zeros(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    x = x.permute(0, 2, 3, 1)  # what a convolution returns: channels last, contiguous
    assert layers.Flatten()(x).data_ptr() == x.data_ptr()


REFUSALS = [
    (lambda: layers.Reshape(12), "Reshape(12) is not a shape", "Reshape((28, 28, 1))"),
    (lambda: layers.Reshape((-1, -1)), "is not a shape", "one may be -1"),
    (lambda: layers.Reshape((2, None)), "is not a shape", "Reshape((28, 28, 1))"),
    (lambda: layers.Reshape((2.5,)), "is not a shape", "sizes of one sample"),
    (lambda: layers.Permute((0, 1)), "Permute((0, 1)) is not an order", "Permute((2, 1))"),
    (lambda: layers.Permute((1, 1)), "is not an order", "each of 1 to 2 once"),
    (lambda: layers.RepeatVector(0), "RepeatVector(n=0) is not a size", "n=32"),
    (lambda: layers.RepeatVector(True), "RepeatVector(n=True)", "whole number"),
    (lambda: layers.Reshape((5,))(torch.zeros(2, 12)), "12 values each", "multiply to 12"),
    (lambda: layers.Reshape((5, -1))(layers.Input((12,))), "a multiple of 5", "multiply to 12"),
    (lambda: layers.Permute((2, 1))(torch.zeros(2, 3)), "2 axes", "3 axes"),
    (lambda: layers.RepeatVector(2)(torch.zeros(2, 3, 4)), "3 axes", "2 axes"),
]


@pytest.mark.parametrize(("action", "given", "fix"), REFUSALS)
def test_refusals(action, given, fix):
    with pytest.raises(ValueError, match=re.escape(given)) as error:
        action()
    assert fix in str(error.value)


X, IDS = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.int64)
CALLS = [
    (layers.Flatten(), X, 3),
    (layers.Reshape((3, 1)), X, 3),
    (layers.Permute((1,)), X, 3),
    (layers.Activation("relu"), X, 4),
    (layers.LeakyReLU(), X, 4),
    (layers.Dropout(0.5), X, 3),
    (layers.Embedding(9, 2), IDS, 5),
    (layers.Add(), [X, X], 8),
    (layers.Concatenate(), [X, X], 4),
]


@pytest.mark.parametrize(("layer", "x", "most"), CALLS, ids=lambda v: getattr(v, "name", None))
def test_calls_of_an_eager_step(layer, x, most):
    """Two of nn.Module's, and the layer's own: nothing is looked at twice."""
    layer(x)
    assert python_calls(lambda: layer(x)) - 1 <= most


def test_calls_of_dropout_in_training():
    layer = layers.Dropout(0.5)
    layer(X)
    layer.train()
    assert python_calls(lambda: layer(X)) - 1 <= 6


def python_calls(action):
    calls = [0]
    sys.setprofile(lambda frame, event, arg: calls.__setitem__(0, calls[0] + (event == "call")))
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls[0]
