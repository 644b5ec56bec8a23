"""ConvLSTM layers against the installed Keras: ranks, windows, states, masks, dropout, files."""

import copy
import re

import keras
import numpy as np
import pytest
import torch
from _layers import OURS, check, check_signature

import lightkeras as lk
from lightkeras import layers
from lightkeras._registry import reset_names
from lightkeras.layers.convolutional_recurrent import ConvLSTMCell

RANKS = [1, 2, 3]
SIZES = (7, 6, 5)
BOTH = {"return_sequences": True, "return_state": True}
MASK = np.array([[1, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 0]], dtype=bool)


def shape_of(rank, data_format="channels_last", channels=2):
    sizes = SIZES[:rank]
    return (3, 4, *sizes, channels) if data_format == "channels_last" else (3, 4, channels, *sizes)


def make(rank, filters=3, kernel_size=3, **kwargs):
    return lambda k: getattr(k.layers, f"ConvLSTM{rank}D")(filters, kernel_size, **kwargs)


TABLE = [
    {},
    {"padding": "same"},
    {"padding": "same", "kernel_size": 2, **BOTH},
    {"strides": 2, "return_sequences": True},
    {"strides": 2, "padding": "same", "return_state": True},
    {"dilation_rate": 2},
    {"dilation_rate": 2, "padding": "same", "go_backwards": True, **BOTH},
    {"use_bias": False, "unit_forget_bias": False},
    {"activation": "relu", "recurrent_activation": "hard_sigmoid"},
    {"activation": None, "return_sequences": True},
    {"kernel_regularizer": "l2", "recurrent_regularizer": "l2", "bias_regularizer": "l2"},
    {"kernel_constraint": "max_norm", "bias_constraint": "non_neg", "activity_regularizer": "l2"},
    {"kernel_initializer": "ones", "recurrent_initializer": "zeros", "bias_initializer": "ones"},
    {"dtype": "float64", "trainable": False, "name": "weather"},
]


@pytest.mark.parametrize("kwargs", TABLE)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_as_keras(kwargs, data_format):
    check(
        make(2, data_format=data_format, **kwargs), shape_of(2, data_format), rtol=2e-5, atol=2e-5
    )


@pytest.mark.parametrize("kwargs", [*TABLE[1:5], TABLE[6]])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("rank", [1, 3])
def test_other_ranks(rank, kwargs, data_format):
    shape = shape_of(rank, data_format)
    check(make(rank, data_format=data_format, **kwargs), shape, rtol=2e-5, atol=2e-5)


WINDOWS = [{"kernel_size": (3, 2)}, {"kernel_size": (1, 4), "strides": (2, 1), "padding": "same"}]


@pytest.mark.parametrize("kwargs", WINDOWS)
def test_windows_that_are_not_square(kwargs):
    check(make(2, **kwargs), shape_of(2), unknown=[(None, None, 7, 6, 2)])


MASKED = [{}, BOTH, {"go_backwards": True, **BOTH}, {"zero_output_for_mask": True, **BOTH}]


@pytest.mark.parametrize("kwargs", MASKED)
@pytest.mark.parametrize("rank", RANKS)
def test_masks(rank, kwargs):
    check(make(rank, padding="same", **kwargs), shape_of(rank), mask=MASK, symbolic=False)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_initial_states(data_format):
    shape = shape_of(2, data_format, channels=3)
    states = [torch.randn(shape[0], *shape[2:]) for _ in range(2)]
    check(
        make(2, padding="same", data_format=data_format, **BOTH),
        shape_of(2, data_format),
        kwargs={"initial_state": states},
        symbolic=False,
    )


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
def test_policies(policy):
    # Keras has no orthogonal matrices in half precision on torch
    options = {"dtype": policy, "recurrent_initializer": "glorot_uniform", **BOTH}
    check(make(2, **options), shape_of(2), rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize("rank", RANKS)
def test_stateful(rank):
    x = torch.randn(shape_of(rank))
    ours, theirs = (make(rank, padding="same", stateful=True)(k) for k in (OURS, keras))
    ours(x), theirs(x)
    ours.set_weights(theirs.get_weights())
    ours.reset_states(), theirs.reset_states()
    for _ in range(3):
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rank", RANKS)
def test_signatures(rank):
    check_signature(f"ConvLSTM{rank}D")


def test_dropout():
    """Both masks stay over time, are made anew for each call, and keep the mean."""
    x = torch.ones(2, 4, 6, 6, 3)
    for options in ({"dropout": 0.5}, {"recurrent_dropout": 0.5}):
        layer = make(2, padding="same", seed=1, **options, **BOTH)(OURS)
        assert torch.equal(layer(x)[0], layer(x)[0])
        one, two = (layer(x, training=True)[0] for _ in range(2))
        assert not torch.equal(one, two) and one.shape == (2, 4, 6, 6, 3)
    # With everything dropped what is left is the bias, and nothing of the step before.
    layer = make(2, padding="same", dropout=1.0, recurrent_dropout=1.0, return_sequences=True)(OURS)
    y = layer(x, training=True)
    assert torch.equal(y[:, 0], torch.zeros_like(y[:, 0]))


def test_one_mask_serves_all_steps():
    """With weights of one only the mask decides: each step gives the same gates."""
    layer = make(
        1,
        2,
        1,
        activation=None,
        use_bias=False,
        dropout=0.5,
        recurrent_activation="linear",
        recurrent_initializer="zeros",
        kernel_initializer="ones",
        return_sequences=True,
    )(OURS)
    y = layer(torch.ones(1, 3, 8, 1), training=True)  # c: 1 or 0 gates, summed up over time
    assert set(y[:, 0].flatten().tolist()) <= {0.0, 8.0}
    assert torch.equal(y[:, 0] > 0, y[:, 1] > 0)


def test_the_cell_shares_the_weights():
    for rank in RANKS:
        layer = make(rank, padding="same", return_sequences=True)(OURS)
        x = torch.randn(shape_of(rank))
        wanted, cell = layer(x), layer.cell
        assert cell.weight_ih is layer.weight_ih and cell.kernel.shape == layer.kernel.shape
        states = layer.get_initial_state(len(x))
        for step in range(x.shape[1]):
            y, states = cell(x[:, step], states)
            torch.testing.assert_close(y, wanted[:, step])


def test_a_cell_alone():
    cell = ConvLSTMCell(1, 4, 3, padding="same")
    y, states = cell(torch.zeros(2, 5, 3), [torch.zeros(2, 5, 4)] * 2)
    assert y.shape == (2, 5, 4) and len(states) == 2 and cell.kernel.shape == (3, 3, 16)
    assert [tuple(s.shape) for s in cell.get_initial_state(7)] == [(7, 5, 4)] * 2


# ---- in models -----------------------------------------------------------------------------------


def model(k):
    """Next frames of a film, from two layers of memory."""
    x = k.Input((None, 8, 8, 1))
    y = k.layers.ConvLSTM2D(4, 3, padding="same", return_sequences=True)(x)
    y = k.layers.TimeDistributed(k.layers.BatchNormalization())(y)
    y, h, _ = k.layers.ConvLSTM2D(3, 3, padding="same", return_state=True)(y)
    y = k.layers.Conv2D(1, 3, padding="same", activation="sigmoid")(k.layers.Add()([y, h]))
    return k.Model(x, y)


X = np.random.default_rng(0).random((4, 5, 8, 8, 1)).astype("float32")


def twins():
    reset_names()
    keras.backend.clear_session()
    ours, theirs = model(lk), model(keras)
    ours.set_weights(theirs.get_weights())
    return {"ours": ours, "theirs": theirs}


def test_a_model_trains_as_in_keras():
    losses = []
    for one in twins().values():
        one.compile("sgd", "mse")
        losses.append([float(one.train_on_batch(X, X[:, -1])) for _ in range(4)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


@pytest.mark.parametrize("file", ["m.keras", "m.weights.h5"])
@pytest.mark.parametrize(("here", "there"), [("ours", "theirs"), ("theirs", "ours")])
def test_files_both_ways(here, there, file, tmp_path):
    models, path = twins(), tmp_path / file
    wanted = models[here].predict(X, verbose=0)
    if file.endswith("h5"):
        models[here].save_weights(path)
        other = twins()[there]
        other.load_weights(path)
    else:
        models[here].save(path)
        other = (lk if there == "ours" else keras).models.load_model(path)
    np.testing.assert_allclose(other.predict(X, verbose=0), wanted, atol=1e-5)


def test_any_size_after_the_first():
    layer = make(2, padding="same")(OURS)
    layer(torch.zeros(1, 2, 8, 8, 3))
    assert layer(torch.zeros(1, 2, 5, 9, 3)).shape == (1, 5, 9, 3)
    assert layers.ConvLSTM2D(3, 3)(lk.Input((None, None, None, 2))).shape == (None, None, None, 3)
    assert copy.deepcopy(layer)(torch.zeros(1, 2, 8, 8, 3)).shape == (1, 8, 8, 3)


REFUSALS = [
    (lambda: layers.ConvLSTM2D(0, 3), "ConvLSTM2D(filters=0) is not a size"),
    (lambda: layers.ConvLSTM2D(3, (3, 3, 3)), "ConvLSTM2D(kernel_size=(3, 3, 3)) does not fit"),
    (lambda: layers.ConvLSTM1D(3, 3, padding="causal"), "Unknown padding 'causal' of ConvLSTM1D"),
    (lambda: layers.ConvLSTM2D(3, 3, strides=2, dilation_rate=2), "Only one may be larger than 1"),
    (lambda: layers.ConvLSTM2D(3, 3, dropout=2), "ConvLSTM2D(dropout=2) is out of range"),
    (lambda: layers.ConvLSTM2D(3, 3, recurrent_dropout="a"), "(recurrent_dropout='a')"),
    (lambda: layers.ConvLSTM2D(3, 3)(torch.zeros(2, 8, 8, 3)), "has 4 axes. It takes 5 axes"),
    (lambda: layers.ConvLSTM2D(3, 3)(torch.zeros(2, 4, 2, 8, 3)), "larger than its input"),
    (lambda: layers.ConvLSTM2D(3, 3)(lk.Input((4, 8, 8, None))), "unknown number of channels"),
    (
        lambda: layers.ConvLSTM1D(3, 3)(
            torch.zeros(2, 4, 8, 3), initial_state=[torch.zeros(2, 8, 3)] * 2
        ),
        "It takes two of shape (2, 6, 3)",
    ),
]


@pytest.mark.parametrize(("action", "words"), REFUSALS)
def test_refusals(action, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        action()


def test_a_built_layer_refuses_other_channels():
    layer = layers.ConvLSTM1D(3, 3, name="film")
    layer(torch.zeros(2, 4, 8, 3))
    with pytest.raises(ValueError, match="'film' expects 3 features on axis -1, its input has 4"):
        layer(torch.zeros(2, 4, 8, 4))
