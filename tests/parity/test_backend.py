"""The functions of old Keras, against `keras.ops` where that has the same one, else numpy."""

import re

import keras
import numpy as np
import pytest
import torch
from keras import ops
from keras.src.layers.merging.dot import batch_dot

import lightkeras.backend as K
from lightkeras._graph import KerasTensor

X = np.random.default_rng(0).normal(0, 2, (2, 3, 4)).astype("float32")
Y = np.random.default_rng(1).normal(0, 2, (2, 3, 4)).astype("float32")
POSITIVE = np.abs(X) + 0.1
BITS = X > 0
IDS = np.array([[1, 0], [2, 2]])
ONE_HOT = np.eye(4, dtype="float32")[[[0, 1, 3], [2, 2, 0]]]

SAME = ["abs", "cos", "exp", "round", "sigmoid", "sign", "sin", "softplus", "softsign", "square"]
PAIRS = [
    "equal",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "not_equal",
    "maximum",
    "minimum",
]
AXES = ["sum", "mean", "max", "min", "prod", "std", "var"]
LIKE = ["tanh", "zeros_like", "ones_like"]
PROBABILITIES = (1 / (1 + np.exp(-X))).astype("float32")
TRUTH = BITS.astype("float32")


def on_arrays(function):
    """A numpy function on tensors: where Keras on torch forgets keepdims, or `dot` fails."""
    return lambda *xs, **kwargs: torch.as_tensor(function(*(x.numpy() for x in xs), **kwargs))


# (ours, theirs, arguments, keyword arguments)
CASES = [
    *[(getattr(K, n), getattr(ops, n), (X,), {}) for n in SAME + LIKE],
    *[(getattr(K, n), getattr(ops, n), (X, y), {}) for n in PAIRS for y in (Y, X, 0.5)],
    *[
        (getattr(K, n), on_arrays(getattr(np, n)), (X,), {"axis": axis, "keepdims": keep})
        for n in AXES
        for axis in (None, 0, -1, (1, 2))
        for keep in (False, True)
    ],
    *[(K.any, ops.any, (BITS,), {"axis": a}) for a in (None, 1)],
    *[(K.all, ops.all, (BITS,), {"axis": a}) for a in (None, 1)],
    (K.logsumexp, ops.logsumexp, (X,), {"axis": 1}),
    (K.mean, ops.mean, (BITS,), {"axis": 1}),
    (K.log, ops.log, (POSITIVE,), {}),
    (K.sqrt, ops.sqrt, (POSITIVE,), {}),
    (K.pow, ops.power, (POSITIVE, 1.5), {}),
    (K.clip, ops.clip, (X, -1.0, 0.5), {}),
    (K.softmax, ops.softmax, (X, 1), {}),
    (K.relu, keras.activations.relu, (X, 0.2, 1.5), {}),
    (K.argmax, lambda x: ops.argmax(x, -1), (X,), {}),
    (K.argmin, lambda x: ops.argmin(x, -1), (X,), {}),
    (K.l2_normalize, ops.normalize, (X, -1), {}),
    (K.concatenate, lambda x: ops.concatenate(x, -1), ([X, Y],), {}),
    (K.stack, ops.stack, ([X, Y],), {"axis": 1}),
    (K.reshape, ops.reshape, (X, (2, -1)), {}),
    (K.flatten, ops.ravel, (X,), {}),
    (K.batch_flatten, lambda x: ops.reshape(x, (2, 12)), (X,), {}),
    (K.transpose, on_arrays(np.transpose), (X,), {}),
    (K.permute_dimensions, ops.transpose, (X, (0, 2, 1)), {}),
    (K.expand_dims, lambda x: ops.expand_dims(x, -1), (X,), {}),
    (K.expand_dims, ops.expand_dims, (X, 1), {}),
    (K.squeeze, ops.squeeze, (X[:, :1], 1), {}),
    (K.tile, ops.tile, (X, (1, 2, 3)), {}),
    (K.repeat_elements, ops.repeat, (X, 3, 1), {}),
    (K.reverse, ops.flip, (X, 1), {}),
    (K.gather, lambda x, i: ops.take(x, i, axis=0), (X[0], IDS), {}),
    (K.one_hot, ops.one_hot, (IDS, 4), {}),
    (K.cast, ops.cast, (X, "int32"), {}),
    (K.dot, ops.dot, (X[0], X[0].T), {}),
    (K.dot, ops.dot, (X, X[0].T), {}),
    (K.dot, on_arrays(np.dot), (X, Y.transpose(0, 2, 1)), {}),
    (K.batch_dot, batch_dot, (X, Y), {"axes": (2, 2)}),
    (K.batch_dot, batch_dot, (X, Y), {"axes": 1}),
    (K.batch_dot, batch_dot, (X, Y.transpose(0, 2, 1)), {}),
    (K.batch_dot, batch_dot, (X, Y[:, 0]), {"axes": (2, 1)}),
    (K.batch_dot, batch_dot, (X[:, 0], Y), {"axes": (1, 2)}),
    (K.batch_dot, batch_dot, (X[:, 0], Y[:, 0]), {"axes": 1}),
    (K.batch_dot, batch_dot, (X[:, 0], Y[:, 0]), {}),
    (K.binary_crossentropy, ops.binary_crossentropy, (TRUTH, PROBABILITIES), {}),
    (K.binary_crossentropy, ops.binary_crossentropy, (TRUTH, X), {"from_logits": True}),
    (K.categorical_crossentropy, ops.categorical_crossentropy, (ONE_HOT, POSITIVE), {}),
    (K.categorical_crossentropy, ops.categorical_crossentropy, (ONE_HOT, X), {"from_logits": True}),
    (K.zeros, ops.zeros, ((2, 3),), {}),
    (K.ones, ops.ones, ((2, 3),), {"dtype": "int32"}),
    (K.eye, ops.eye, (3,), {}),
    (K.arange, ops.arange, (5,), {}),
    (K.arange, ops.arange, (2, 9, 3), {}),
    (K.constant, ops.convert_to_tensor, ([1.0, 2.0],), {}),
    (K.constant, lambda v, shape: ops.full(shape, v), (2.0,), {"shape": (2, 2)}),
    (K.switch, lambda c, a, b: ops.where(c, a, b), (torch.tensor(BITS), X, Y), {}),
]  # fmt: skip


def tensors(arguments):
    def tensor(a):
        if isinstance(a, list) and isinstance(a[0], np.ndarray):
            return [torch.tensor(x) for x in a]
        return torch.tensor(a) if isinstance(a, np.ndarray) else a

    return [tensor(a) for a in arguments]


@pytest.mark.parametrize(
    ("ours", "theirs", "arguments", "kwargs"), CASES, ids=[c[0].__name__ for c in CASES]
)
def test_values(ours, theirs, arguments, kwargs):
    arguments = tensors(arguments)
    a, b = ours(*arguments, **kwargs), theirs(*arguments, **kwargs)
    assert tuple(a.shape) == tuple(b.shape)
    assert K.is_float_dtype(a.dtype) == K.is_float_dtype(b.dtype)
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


SYMBOLIC = [(c[0], c[2], c[3]) for c in CASES if any(a is X or a is POSITIVE for a in c[2])]


@pytest.mark.parametrize(("function", "arguments", "kwargs"), SYMBOLIC)
def test_symbolic_tensors(function, arguments, kwargs):
    """What works on a tensor works in a functional model."""
    symbols = [KerasTensor(a.shape) if a is X or a is POSITIVE else a for a in arguments]
    symbol = function(*tensors(symbols), **kwargs)
    assert symbol.shape == tuple(function(*tensors(arguments), **kwargs).shape)


def test_old_spellings_of_keras_2():
    assert K.int_shape(torch.ones(2, 3)) == (2, 3)
    assert K.int_shape(KerasTensor((None, 3))) == (None, 3)
    assert K.shape(torch.ones(2, 3))[0] == 2
    assert K.ndim(torch.ones(2, 3)) == 2
    assert K.dtype(KerasTensor((None,))) == K.dtype(torch.ones(1)) == "float32"
    assert K.cast_to_floatx([1, 2]).dtype == "float32"
    assert K.sqrt(torch.tensor([-1.0])) == 0
    assert K.switch(torch.tensor(True), lambda: torch.ones(2), torch.zeros(2)).sum() == 2
    assert K.random_normal((2, 3), seed=1).shape == K.random_uniform((2, 3)).shape == (2, 3)
    K.set_image_dim_ordering("th")
    assert K.image_data_format() == "channels_first"
    K.set_image_dim_ordering("tf")
    assert K.image_dim_ordering() == "tf"


def test_variables():
    v = K.variable([1.0, 2.0], name="beta")
    assert v.name == "beta"
    K.set_value(v, [3.0, 4.0])
    np.testing.assert_array_equal(K.get_value(v), [3, 4])
    K.update_add(v, 1.0)
    K.update_sub(v, [0.0, 2.0])
    np.testing.assert_array_equal(K.eval(v), [4, 3])
    K.moving_average_update(v, torch.zeros(2), 0.75)
    np.testing.assert_allclose(K.eval(K.update(v, v * 2)), [6, 4.5])
    (gradient,) = K.gradients(K.square(v), v)
    np.testing.assert_allclose(gradient.detach(), [12, 9])
    assert K.get_value(3) == 3
    assert isinstance(K.get_value(torch.tensor(2.0)), np.float32)
    assert K.variable(1, dtype="int32").dtype == torch.int32


def test_clear_session():
    K.clear_session()
    first = KerasTensor((1,)).name
    KerasTensor((1,))
    assert (K.get_uid("a"), K.get_uid("a")) == (1, 2)
    K.clear_session()
    assert KerasTensor((1,)).name == first
    assert K.get_uid("a") == 1


def test_keras_3_names():
    theirs = {n for n in dir(keras.backend) if n[0] != "_"}
    assert theirs <= set(K.__all__)
    for name in K.__all__:
        assert hasattr(K, name), name
    assert K.is_keras_tensor(KerasTensor((1,)))
    assert not K.is_keras_tensor(torch.ones(1))


MISTAKES = [
    (lambda: K.function, "lightkeras.backend has no 'function'. Make a Model(inputs, outputs)"),
    (lambda: K.squre, "lightkeras.backend has no 'squre'. Did you mean 'square'?"),
    (lambda: K.set_value(0.1, 1), "set_value() got float"),
    (lambda: K.set_value(K.variable([1.0]), [1.0, 2.0]), "shape (2,) for one of shape (1,)"),
]


@pytest.mark.parametrize(("call", "text"), MISTAKES)
def test_mistakes(call, text):
    with pytest.raises((ValueError, TypeError, AttributeError), match=re.escape(text)):
        call()
