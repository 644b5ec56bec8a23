"""Layers over time against the installed Keras: all arguments, masks, states, dropout, wrappers."""

import copy
import itertools
import json
import pickle
import re
import sys

import keras
import numpy as np
import pytest
import torch
from _layers import OURS, check, check_signature

import lightkeras as lk
from lightkeras import layers
from lightkeras._registry import reset_names

X = (3, 5, 4)
ZEROS = torch.zeros(X)
UNKNOWN = [(None, None, 4)]
KINDS = ["SimpleRNN", "GRU", "LSTM"]
RNG = np.random.default_rng(0)

MASK = np.array([[1, 1, 0, 1, 0], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]], dtype=bool)
BOTH = {"return_sequences": True, "return_state": True}

TABLE = [
    {},
    {"return_sequences": True},
    {"return_state": True},
    {**BOTH, "go_backwards": True},
    {"use_bias": False},
    {"activation": "relu", "return_sequences": True},
    {"activation": None, "unroll": True},
    {"kernel_regularizer": "l2", "recurrent_regularizer": "l2", "bias_regularizer": "l2"},
    {
        "kernel_constraint": "non_neg",
        "recurrent_constraint": "max_norm",
    },
    {"kernel_initializer": "ones", "recurrent_initializer": "zeros", "bias_initializer": "ones"},
    {"dtype": "float64", "trainable": False, "name": "memory"},
]
GATES = [
    {"recurrent_activation": "hard_sigmoid"},
    {"activation": "sigmoid", "recurrent_activation": "tanh", "return_state": True},
    {"use_cudnn": False, "activity_regularizer": "l2"},
]
OWN = [
    *(("GRU", {"reset_after": False, **more}) for more in (*TABLE[:6], GATES[0])),
    ("LSTM", {"unit_forget_bias": False}),
    ("LSTM", {"implementation": 1}),
]
ALL = [*itertools.product(KINDS, TABLE), *itertools.product(KINDS[1:], GATES), *OWN]


def make(kind, **kwargs):
    return lambda k: getattr(k.layers, kind)(6, **kwargs)


@pytest.mark.parametrize(("name", "kwargs"), ALL)
def test_as_keras(name, kwargs):
    check(make(name, **kwargs), X, unknown=UNKNOWN)


MASKED = [{}, BOTH, {"go_backwards": True, **BOTH}, {"zero_output_for_mask": True, **BOTH}]
MASKED += [{"zero_output_for_mask": True}, {"activation": "relu", "return_sequences": True}]


@pytest.mark.parametrize("kwargs", MASKED)
@pytest.mark.parametrize("name", KINDS)
def test_masks(name, kwargs):
    check(make(name, **kwargs), X, mask=MASK, symbolic=False)


@pytest.mark.parametrize("kwargs", MASKED)
@pytest.mark.parametrize("name", KINDS)
def test_masks_with_an_initial_state(name, kwargs):
    states = [RNG.normal(size=(3, 6)).astype("float32") for _ in range(2 if name == "LSTM" else 1)]

    def run(k):
        layer = make(name, **kwargs)(k)
        layer.build(X)
        layer.set_weights(
            [0.1 * np.arange(w.size).reshape(w.shape) % 1 - 0.4 for w in layer.get_weights()]
        )
        x = torch.tensor(np.random.default_rng(1).normal(size=X).astype("float32"))
        start = [torch.tensor(s) for s in states]
        return keras.tree.flatten(layer(x, initial_state=start, mask=torch.tensor(MASK)))

    for ours, theirs in zip(run(OURS), run(keras), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", KINDS)
def test_initial_state(name):
    states = [np.ones((3, 6), "float32")] * (2 if name == "LSTM" else 1)
    x, start = np.ones(X, "float32"), [torch.tensor(s) for s in states]
    check(make(name, **BOTH), x, kwargs={"initial_state": start}, symbolic=False)
    a, *end = make(name, return_state=True)(OURS)(
        layers.Input((5, 4)), initial_state=[layers.Input((6,))] * len(start)
    )
    assert a.shape == end[-1].shape == (None, 6)


def test_one_state_needs_no_list():
    x, h = torch.ones(X), torch.ones(3, 6)
    layer = layers.GRU(6)
    assert torch.equal(layer(x, initial_state=h), layer(x, initial_state=[h]))


@pytest.mark.parametrize(
    "name", [*KINDS, "RNN", "Bidirectional", "TimeDistributed", "Wrapper", "StackedRNNCells"]
)
def test_signatures(name):
    check_signature(name)


@pytest.mark.parametrize("name", KINDS)
def test_signatures_of_cells(name):
    check_signature(f"{name}Cell")


# ---- weights and arithmetic ----------------------------------------------------------------------


def test_parameters_are_those_of_torch():
    layer, other = layers.LSTM(6), torch.nn.LSTM(4, 6, batch_first=True)
    x = torch.randn(X)
    layer(x)
    state = layer.state_dict()
    assert list(state) == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0"]
    other.load_state_dict({**state, "bias_hh_l0": torch.zeros(24)})
    torch.testing.assert_close(layer(x), other(x)[1][0][0])


def test_gru_is_that_of_torch():
    layer, other = layers.GRU(6, bias_initializer="normal"), torch.nn.GRU(4, 6, batch_first=True)
    x = torch.randn(X)
    layer(x)
    w_ih, w_hh, biases = layer.state_dict().values()
    state = dict(zip(other.state_dict(), (w_ih, w_hh, *biases), strict=True))
    other.load_state_dict(state)
    torch.testing.assert_close(layer(x), other(x)[1][0])


def test_the_forget_gate_starts_open():
    layer = layers.LSTM(2)
    layer(torch.zeros(X))
    assert layer.get_weights()[2].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("masked", [False, True])
def test_kernel_and_loop_agree(name, masked):
    """The fused kernel and the plain loop: outputs, states, gradients."""
    fused = make(name, **BOTH)(OURS)
    fused(torch.zeros(X))
    loop = copy.deepcopy(fused)
    loop.activation = lambda x: torch.tanh(x)
    results = []
    for layer in (fused, loop):
        x = torch.linspace(-1, 1, 60).reshape(X).requires_grad_()
        outputs = layer(x, mask=torch.tensor(MASK) if masked else None)
        sum((y**2).sum() for y in outputs).backward()
        results.append([*outputs, x.grad, *(p.grad for p in layer.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


START = {"SimpleRNN": 1, "GRU": 1, "LSTM": 2}
MASKED_X = lambda: masked(torch.zeros(X), torch.tensor(MASK))
# {how it is made and called: (layer from its kind, the call, calls of torch's kernel)}
IN_C = {
    "plain": (lambda n: make(n)(OURS), lambda la, n: la(ZEROS), 1),
    "in training": (
        lambda n: make(n, dropout=0.5)(OURS),
        lambda la, n: la(ZEROS, training=True),
        1,
    ),
    "backwards": (lambda n: make(n, go_backwards=True, **BOTH)(OURS), lambda la, n: la(ZEROS), 1),
    "unroll": (lambda n: make(n, unroll=True)(OURS), lambda la, n: la(ZEROS), 1),
    "stateful": (lambda n: make(n, stateful=True)(OURS), lambda la, n: (la(ZEROS), la(ZEROS)), 2),
    "no bias": (lambda n: make(n, use_bias=False)(OURS), lambda la, n: la(ZEROS), 1),
    "half": (lambda n: make(n, dtype="mixed_bfloat16")(OURS), lambda la, n: la(ZEROS), 1),
    "mask": (lambda n: make(n)(OURS), lambda la, n: la(MASKED_X()), 1),
    "mask and states": (lambda n: make(n, **BOTH)(OURS), lambda la, n: la(MASKED_X()), 1),
    "initial state": (
        lambda n: make(n)(OURS),
        lambda la, n: la(ZEROS, initial_state=[torch.ones(3, 6)] * START[n]),
        1,
    ),
    "all at once": (
        lambda n: make(n, stateful=True, go_backwards=True, **BOTH)(OURS),
        lambda la, n: la(MASKED_X(), initial_state=[torch.ones(3, 6)] * START[n]),
        1,
    ),
    "bidirectional": (
        lambda n: layers.Bidirectional(make(n, **BOTH)(OURS)),
        lambda la, n: la(MASKED_X()),
        2,
    ),
    "cells": (
        lambda n: layers.RNN([getattr(layers, f"{n}Cell")(6) for _ in range(3)]),
        lambda la, n: la(ZEROS),
        3,
    ),
    "recurrent dropout": (
        lambda n: make(n, recurrent_dropout=0.5)(OURS),
        lambda la, n: (la(ZEROS), la(ZEROS, training=True)),
        1,  # in inference
    ),
    "another activation": (
        lambda n: make(n, activation="elu")(OURS),
        lambda la, n: la(ZEROS),
        0,
    ),
}


def masked(x, mask):
    x._keras_mask = mask
    return x


@pytest.mark.parametrize("kind", IN_C)
@pytest.mark.parametrize("name", KINDS)
def test_the_fused_kernel_is_used(name, kind, monkeypatch):
    made, call, wanted = IN_C[kind]
    layer = made(name)
    layer.build(X)
    calls = []
    for kernel in ("lstm", "gru", "rnn_tanh"):
        run = getattr(torch._VF, kernel)
        counted = lambda *args, run=run, kernel=kernel: calls.append(kernel) or run(*args)
        monkeypatch.setattr(torch._VF, kernel, counted)
    call(layer, name)
    assert calls == [{"SimpleRNN": "rnn_tanh", "GRU": "gru", "LSTM": "lstm"}[name]] * wanted


def test_no_kernel_has_a_reset_gate_before_the_product(monkeypatch):
    monkeypatch.setattr(torch._VF, "gru", None)
    assert layers.GRU(6, reset_after=False)(ZEROS).shape == (3, 6)


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_float16", "mixed_bfloat16"])
def test_states_stand_still_after_the_last_step(policy):
    """The kernel of a masked LSTM gives the final states of each row cut to its own steps."""
    torch.manual_seed(0)
    layer = layers.LSTM(6, return_state=True, dtype=policy)
    x = 30 * torch.randn(4, 7, 4)
    start = [torch.randn(4, 6), 50 * torch.randn(4, 6)]
    layer(x)
    counts = [7, 4, 1, 0]
    mask = torch.arange(7) < torch.tensor(counts)[:, None]
    _, *ends = layer(x, initial_state=start, mask=mask)
    for row, n in enumerate(counts):
        given = [s[row : row + 1] for s in start]
        wanted = layer(x[row : row + 1, :n], initial_state=given)[1:] if n else given
        for end, value in zip(ends, wanted, strict=True):
            close = dict.fromkeys(("atol", "rtol"), 2e-2 if "16" in policy and n else 1e-5)
            torch.testing.assert_close(end[row : row + 1], value.to(end.dtype), **close)


@pytest.mark.parametrize("name", KINDS)
def test_the_cell_of_a_layer_shares_its_weights(name):
    layer, theirs = (make(name, name="memory")(k) for k in (OURS, keras))
    layer(torch.zeros(X)), theirs(torch.zeros(X))
    assert [w.path for w in layer.weights] == [w.path for w in theirs.weights]
    cell = layer.cell
    cell.set_weights(theirs.cell.get_weights())
    for a, b in zip(layer.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert cell.units == theirs.cell.units and cell.kernel.shape == theirs.cell.kernel.shape


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
@pytest.mark.parametrize("name", KINDS)
def test_dtypes(name, policy):
    check(make(name, dtype=policy, **BOTH), X, gradients=False, rtol=3e-2, atol=3e-2)


def test_whole_numbers_come_in():
    x = RNG.integers(0, 3, X)
    check(make("LSTM"), x, gradients=False, symbolic=False)


def test_copies():
    layer = layers.GRU(6, seed=3, dropout=0.5)
    x = torch.randn(X)
    expected = layer(x)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), expected)


def test_an_empty_batch():
    for name in KINDS:
        layer = make(name, return_sequences=True)(OURS)
        layer(torch.zeros(X))
        assert layer(torch.zeros(0, 5, 4)).shape == (0, 5, 6)


def test_shapes_need_no_loop_over_time():
    """A symbolic call, and shapes of a model's own call, cost the same for any length."""

    class Model(layers.Layer):
        def __init__(self):
            super().__init__()
            self.rnn = layers.LSTM(6, recurrent_dropout=0.2, activation="relu", **BOTH)

        def call(self, x):
            return self.rnn(x)

    counts = []
    for length in (5, 500):
        model = Model()
        model(layers.Input((length, 4)))
        counts.append(python_calls(lambda m=model, n=length: m(layers.Input((n, 4)))))
    assert counts[0] == counts[1]


def python_calls(action):
    calls = [0]
    sys.setprofile(lambda frame, event, arg: calls.__setitem__(0, calls[0] + (event == "call")))
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls[0]


# ---- dropout -------------------------------------------------------------------------------------

DROPOUTS = [
    {"dropout": 0.4},
    {"recurrent_dropout": 0.4},
    {"dropout": 0.3, "recurrent_dropout": 0.5},
]


@pytest.mark.parametrize("kwargs", DROPOUTS)
@pytest.mark.parametrize("name", KINDS)
def test_dropout_has_the_statistics_of_keras(name, kwargs):
    """Mean and covariance of the outputs at two steps, over many samples of one input."""

    def facts(k):
        torch.manual_seed(0)
        layer = getattr(k.layers, name)(2, return_sequences=True, **kwargs)
        layer.build((None, 3, 2))
        rng = np.random.default_rng(5)
        layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
        x = np.tile(rng.normal(size=(1, 3, 2)).astype("float32"), (30_000, 1, 1))
        y = layer(torch.tensor(x), training=True).detach().flatten(1).numpy()
        return y.mean(0), np.cov(y.T), layer(torch.tensor(x[:1])).detach()

    (mean_a, cov_a, plain_a), (mean_b, cov_b, plain_b) = facts(keras), facts(OURS)
    torch.testing.assert_close(plain_b, plain_a)  # none in inference
    np.testing.assert_allclose(mean_b, mean_a, atol=0.015)
    np.testing.assert_allclose(cov_b, cov_a, atol=0.012)
    assert np.trace(cov_b) > 0.005


@pytest.mark.parametrize("name", KINDS)
def test_one_dropout_mask_serves_all_steps(name):
    layer = make(name, dropout=0.5, return_sequences=True, use_bias=False)(OURS)
    x = torch.zeros(50, 5, 1)
    x[:, 0] = x[:, 3] = 1.0  # a sample whose input is dropped stays at 0 for ever
    y = layer(x, training=True)
    dropped = (y[:, 0] == 0).all(-1)
    assert 5 < dropped.sum() < 45
    assert (y[dropped] == 0).all()


def test_a_seed_gives_numbers_of_its_own():
    x = torch.randn(X)
    one = layers.LSTM(6, dropout=0.5, recurrent_dropout=0.5, seed=3)
    one(x)
    other = layers.LSTM.from_config(one.get_config())
    other(x)
    other.set_weights(one.get_weights())
    before = torch.get_rng_state()
    a, b = one(x, training=True), one(x, training=True)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(a, b)
    assert torch.equal(other(x, training=True), a)


@pytest.mark.parametrize("name", KINDS)
def test_dropout_with_masks_and_gradients(name):
    layer = make(name, dropout=0.5, recurrent_dropout=0.5, **BOTH)(OURS)
    x = torch.randn(X, requires_grad=True)
    outputs = layer(x, mask=torch.tensor(MASK), training=True)
    assert torch.equal(outputs[0][2], torch.zeros(5, 6))  # masked throughout
    sum(y.sum() for y in outputs).backward()
    assert all(p.grad.abs().sum() > 0 for p in layer.parameters())
    assert (x.grad[~torch.tensor(MASK)] == 0).all()


# ---- stateful ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_stateful(name):
    ours, theirs = (make(name, stateful=True, **BOTH)(k) for k in (OURS, keras))
    x = torch.randn(2, 3, 5, 4)
    ours(x[0]), theirs(x[0])
    ours.set_weights(theirs.get_weights())
    ours.reset_states(), theirs.reset_states()
    for batch in (*x, *x):
        for a, b in zip(
            keras.tree.flatten(ours(batch)), keras.tree.flatten(theirs(batch)), strict=True
        ):
            torch.testing.assert_close(a, b)
    for a, b in zip(ours.states, theirs.states, strict=True):
        torch.testing.assert_close(a, b.value.data)
    ours.reset_state(), theirs.reset_state()
    torch.testing.assert_close(ours(x[0])[0], theirs(x[0])[0])


def test_states_carry_no_gradient_over_batches():
    layer, x = layers.LSTM(6, stateful=True), torch.randn(X)
    for _ in range(3):
        layer(x).sum().backward()
    assert not layer.states[0].requires_grad


def test_stateful_batches_have_one_size():
    layer = layers.LSTM(6, stateful=True, name="memory")
    layer(torch.zeros(X))
    with pytest.raises(
        ValueError, match=r"'memory' got a batch of 2 sequences and states for 3.*reset"
    ):
        layer(torch.zeros(2, 5, 4))
    layer.reset_states()
    assert layer(torch.zeros(2, 5, 4)).shape == (2, 6)


# ---- any cell ------------------------------------------------------------------------------------


def custom(k, two=False):
    """A user's cell; with `two`, with two states and another size of output."""

    class Mix(k.layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.state_size = [units, units] if two else units
            if two:
                self.output_size = 2 * units

        def build(self, input_shape):
            self.w = self.add_weight(
                shape=(input_shape[-1], self.units), name="w", initializer="ones"
            )

        def call(self, inputs, states):
            new = torch.tanh(inputs @ k_value(self.w) + states[0])
            if not two:
                return new, [new]
            second = states[1] + new
            return torch.cat((new, second), -1), [new, second]

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    return Mix(6, name="mix")


def k_value(weight):
    return weight.value if not isinstance(weight, torch.Tensor) else weight


CELLS = {
    "lstm": lambda k: k.layers.LSTMCell(6),
    "gru": lambda k: k.layers.GRUCell(6, reset_after=False),
    "simple": lambda k: k.layers.SimpleRNNCell(6, activation="relu"),
    "list": lambda k: [k.layers.LSTMCell(6), k.layers.GRUCell(5)],
    "stacked": lambda k: k.layers.StackedRNNCells(
        [k.layers.SimpleRNNCell(6), k.layers.LSTMCell(3)]
    ),
    "custom": custom,
    "two states": lambda k: custom(k, True),
    "mixed": lambda k: [k.layers.LSTMCell(4), custom(k), k.layers.GRUCell(3)],
}


@pytest.mark.parametrize("kwargs", [{}, {"return_sequences": True}, {**BOTH, "go_backwards": True}])
@pytest.mark.parametrize("cell", CELLS)
def test_rnn_of_any_cell(cell, kwargs):
    check(lambda k: k.layers.RNN(CELLS[cell](k), **kwargs), X, unknown=UNKNOWN, config=False)


@pytest.mark.parametrize("kwargs", [{}, BOTH, {"zero_output_for_mask": True, **BOTH}])
@pytest.mark.parametrize("cell", CELLS)
def test_rnn_with_a_mask(cell, kwargs):
    check(
        lambda k: k.layers.RNN(CELLS[cell](k), **kwargs), X, mask=MASK, symbolic=False, config=False
    )


@pytest.mark.parametrize("cell", ["lstm", "list", "custom", "mixed"])
def test_stateful_rnn(cell):
    ours, theirs = (k.layers.RNN(CELLS[cell](k), stateful=True) for k in (OURS, keras))
    x = torch.randn(X)
    ours(x), theirs(x)
    ours.set_weights(theirs.get_weights())
    ours.reset_states(), forget(theirs.states)  # Keras fails to reset the states of a stack
    for _ in range(3):
        torch.testing.assert_close(ours(x), theirs(x))


def forget(states):
    for state in keras.tree.flatten(states):
        state.assign(torch.zeros(state.shape))


@pytest.mark.parametrize("name", KINDS)
def test_cells(name):
    def run(k):
        cell = getattr(k.layers, f"{name}Cell")(6, name="step")
        states = [torch.full((3, 6), 0.5)] * (2 if name == "LSTM" else 1)
        cell(torch.zeros(3, 4), states)
        cell.set_weights(
            [np.random.default_rng(1).normal(size=w.shape) for w in cell.get_weights()]
        )
        output, new = cell(torch.ones(3, 4), states)
        start = cell.get_initial_state(batch_size=2)
        assert len(start) == len(new) == len(states)
        return [output, *new, cell.state_size, cell.output_size, [w.path for w in cell.weights]]

    for ours, theirs in zip(run(OURS), run(keras), strict=True):
        if isinstance(ours, torch.Tensor):
            torch.testing.assert_close(ours, theirs)
        else:
            assert ours == theirs


def test_a_cell_keeps_its_dropout_mask_until_it_is_told():
    cell, x = layers.GRUCell(50, dropout=0.5, recurrent_dropout=0.5), torch.ones(2, 9)
    states = cell.get_initial_state(2)
    a, b = (cell(x, states, training=True)[0] for _ in range(2))
    cell.reset_dropout_mask()
    assert torch.equal(a, b) and not torch.equal(a, cell(x, states, training=True)[0])


def test_dropout_of_cells_in_an_rnn():
    layer = layers.RNN([layers.LSTMCell(6, dropout=0.5), layers.LSTMCell(6, recurrent_dropout=0.5)])
    x = torch.randn(X)
    assert torch.equal(layer(x), layer(x))
    assert not torch.equal(layer(x, training=True), layer(x, training=True))


def test_a_cell_that_builds_itself():
    class Cell(layers.Layer):
        def __init__(self):
            super().__init__()
            self.state_size = 6
            self.dense = layers.Dense(6)

        def call(self, inputs, states):
            h = self.dense(torch.cat((inputs, states[0]), -1))
            return h, [h]

    assert layers.RNN(Cell())(layers.Input((5, 4))).shape == (None, 6)
    layer = layers.RNN(Cell(), return_sequences=True)
    assert layer(torch.zeros(X)).shape == (3, 5, 6)
    assert layer.count_params() == 10 * 6 + 6


# ---- both directions -----------------------------------------------------------------------------

MODES = ["concat", "sum", "mul", "ave", None]


@pytest.mark.parametrize("kwargs", [{}, {"return_sequences": True}, BOTH])
@pytest.mark.parametrize("mode", MODES)
def test_bidirectional(mode, kwargs):
    check(
        lambda k: k.layers.Bidirectional(k.layers.LSTM(6, **kwargs), merge_mode=mode),
        X,
        unknown=UNKNOWN,
        config=False,
    )


@pytest.mark.parametrize("kwargs", [{}, {"return_sequences": True}])
@pytest.mark.parametrize("mode", MODES)
def test_bidirectional_with_a_mask(mode, kwargs):
    check(
        lambda k: k.layers.Bidirectional(k.layers.GRU(6, **kwargs), merge_mode=mode),
        X,
        mask=MASK,
        symbolic=False,
        config=False,
    )


BIDIRECTIONAL = {
    "two layers": lambda k: k.layers.Bidirectional(
        k.layers.LSTM(6), backward_layer=k.layers.LSTM(6, activation="relu", go_backwards=True)
    ),
    "rnn": lambda k: k.layers.Bidirectional(
        k.layers.RNN(k.layers.LSTMCell(6), return_sequences=True)
    ),
    "simple": lambda k: k.layers.Bidirectional(
        k.layers.SimpleRNN(6), merge_mode="sum", name="both"
    ),
}


@pytest.mark.parametrize("kind", BIDIRECTIONAL)
def test_bidirectional_of_other_layers(kind):
    check(BIDIRECTIONAL[kind], X, unknown=UNKNOWN, config=False)


def test_bidirectional_initial_state():
    start = [torch.full((3, 6), 0.1 * i) for i in range(4)]
    check(
        lambda k: k.layers.Bidirectional(k.layers.LSTM(6, **BOTH)),
        X,
        kwargs={"initial_state": start},
        symbolic=False,
        config=False,
    )


def test_bidirectional_copies_its_layer():
    layer = layers.LSTM(6)
    x = torch.randn(X)
    layer(x)
    both = layers.Bidirectional(layer)
    both(x)
    assert both.forward_layer is not layer
    assert not torch.equal(both.forward_layer.weight_ih_l0, layer.weight_ih_l0)
    given = both.get_weights()
    again = layers.Bidirectional(layers.LSTM(6), weights=given)
    assert torch.equal(again(x), both(x))


def test_bidirectional_stateful():
    ours, theirs = (k.layers.Bidirectional(k.layers.GRU(6, stateful=True)) for k in (OURS, keras))
    x = torch.randn(X)
    ours(x), theirs(x)
    ours.set_weights(theirs.get_weights())
    ours.reset_states(), theirs.reset_states()
    for _ in range(2):
        torch.testing.assert_close(ours(x), theirs(x))
    assert len(ours.states) == len(theirs.states) == 2


# ---- at each step --------------------------------------------------------------------------------

STEPS = {
    "dense": (lambda k: k.layers.Dense(3, activation="relu"), (2, 5, 4)),
    "rows": (lambda k: k.layers.Dense(3), (2, 5, 6, 4)),
    "convolution": (lambda k: k.layers.Conv2D(3, 2), (2, 3, 5, 5, 2)),
    "flatten": (lambda k: k.layers.Flatten(), (2, 3, 4, 5)),
    "statistics": (lambda k: k.layers.BatchNormalization(), (4, 3, 5)),
    "sequences": (lambda k: k.layers.LSTM(3), (2, 3, 4, 5)),
    "nested": (lambda k: k.layers.TimeDistributed(k.layers.Dense(3)), (2, 3, 4, 5)),
}


@pytest.mark.parametrize("kind", STEPS)
def test_time_distributed(kind):
    make_layer, shape = STEPS[kind]
    check(
        lambda k: k.layers.TimeDistributed(make_layer(k)),
        shape,
        unknown=[(None, None, *shape[2:])],
        atol=2e-5,
        config=False,
    )


def test_time_distributed_keeps_the_mask():
    check(
        lambda k: k.layers.TimeDistributed(k.layers.Dense(3)),
        X,
        mask=MASK,
        symbolic=False,
        config=False,
    )


def test_time_distributed_softmax_takes_the_mask():
    mask = RNG.random((2, 3, 4)) > 0.3
    check(
        lambda k: k.layers.TimeDistributed(k.layers.Softmax()), (2, 3, 4), mask=mask, symbolic=False
    )


# ---- layers in layers as configs -----------------------------------------------------------------

CONFIGS = {
    **{
        name: lambda k, c=cell: k.layers.RNN(c(k), **BOTH) for name, cell in list(CELLS.items())[:5]
    },
    **{f"bidirectional {name}": make for name, make in BIDIRECTIONAL.items()},
    "mode": lambda k: k.layers.Bidirectional(k.layers.GRU(6, **BOTH), merge_mode="ave"),
    **{
        f"step {name}": lambda k, s=s: k.layers.TimeDistributed(s(k))
        for name, (s, _) in STEPS.items()
    },
}


def stripped(config):
    """A config without the entries that only say that there is nothing."""
    if isinstance(config, dict):
        nothing = {"quantization_config", "activity_regularizer", "seed", "build_config"}
        found = {k: stripped(v) for k, v in config.items() if k not in nothing or v}
        return found["config"]["name"] if found.get("class_name") == "DTypePolicy" else found
    return [stripped(v) for v in config] if isinstance(config, (list, tuple)) else config


@pytest.mark.parametrize("kind", CONFIGS)
def test_configs(kind):
    ours, theirs = (named_anew(CONFIGS[kind], k) for k in (OURS, keras))
    assert stripped(ours.get_config()) == stripped(theirs.get_config())
    config = json.loads(json.dumps(ours.get_config()))
    kept = copy.deepcopy(config)
    again = type(ours).from_config(config)
    assert config == kept  # from_config leaves its argument alone
    assert again.get_config() == ours.get_config()
    shape = dict(STEPS).get(kind.removeprefix("step "), (None, X))[1]
    ours(torch.zeros(shape)), again(torch.zeros(shape))
    assert [w.path for w in again.weights] == [w.path for w in ours.weights]
    again.set_weights(ours.get_weights())
    x = torch.randn(shape)
    torch.testing.assert_close(again(x), ours(x))


def named_anew(make, k):
    reset_names()
    keras.backend.clear_session(free_memory=False)
    return make(k)


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.layers.Bidirectional(k.layers.LSTM(6), trainable=False),
        lambda k: k.layers.TimeDistributed(k.layers.Dense(3), trainable=False),
        lambda k: k.layers.RNN(k.layers.GRUCell(6), trainable=False),
        lambda k: k.layers.RNN(custom(k), trainable=False),
    ],
)
def test_frozen_layers_freeze_what_is_inside(make):
    layer = check(make, X, symbolic=False, config=False)
    assert not layer.trainable_weights and not any(p.requires_grad for p in layer.parameters())
    layer.trainable = True
    assert len(layer.trainable_weights) == len(layer.weights)


# ---- refusals ------------------------------------------------------------------------------------

REFUSALS = [
    (lambda: layers.LSTM(3)(torch.zeros(2, 8)), "shape (2, 8)", "(batch, time, features)"),
    (lambda: layers.GRU(3)(layers.Input((8,))), "shape (None, 8)", "(batch, time, features)"),
    (lambda: layers.LSTM(3)(torch.zeros(2, 0, 4)), "without steps", "at least one step"),
    (lambda: layers.LSTM(0), "LSTM(units=0) is not a size", "units=32"),
    (lambda: layers.GRUCell(2.5), "GRUCell(units=2.5)", "units=32"),
    (lambda: layers.LSTM(3, dropout=20), "LSTM(dropout=20)", "For 20 percent type dropout=0.2."),
    (lambda: layers.LSTM(3, recurrent_dropout=-1), "recurrent_dropout=-1", "from 0 to 1"),
    (lambda: layers.LSTM(3, activation="tahn"), "Unknown activation 'tahn'", "'tanh'"),
    (lambda: layers.LSTM(3, use_cudnn="yes"), "use_cudnn='yes'", "Leave it out"),
    (lambda: layers.RNN(layers.Dense(3)), "RNN got Dense, which has no state_size", "LSTMCell(32)"),
    (lambda: layers.StackedRNNCells([3]), "has no call and no state_size", "LSTMCell(32)"),
    (lambda: layers.LSTM(3)(ZEROS, initial_state=[torch.zeros(2, 3)] * 2), "states for 2", "equal"),
    (
        lambda: layers.GRU(3)(ZEROS, initial_state=torch.zeros(3, 4)),
        "shapes (3, 4).",
        "shape (3, 3)",
    ),
    (
        lambda: layers.LSTM(3)(ZEROS, initial_state=torch.zeros(3, 3)),
        "shapes (3, 3).",
        "takes 2 of",
    ),
    (lambda: layers.Bidirectional(layers.LSTM(3), "cat"), "merge_mode='cat'", "'concat'"),
    (
        lambda: layers.Bidirectional(layers.LSTM(3), backward_layer=layers.LSTM(3)),
        "go_backwards=False",
        "go_backwards=True",
    ),
    (
        lambda: layers.Bidirectional(
            layers.LSTM(3), backward_layer=layers.LSTM(3, go_backwards=True, return_sequences=True)
        ),
        "return_sequences=False and True",
        "Change the backward_layer",
    ),
    (lambda: layers.TimeDistributed(layers.Dense(3))(torch.zeros(2, 3)), "(2, 3)", "without TimeD"),
    (
        lambda: layers.TimeDistributed(layers.Softmax())(ZEROS, mask=torch.ones(5, 3) > 0),
        "mask of shape (5, 3)",
        "transposed",
    ),
]


@pytest.mark.parametrize(("action", "given", "fix"), REFUSALS)
def test_refusals(action, given, fix):
    with pytest.raises(ValueError, match=re.escape(given)) as error:
        action()
    assert fix in str(error.value)


@pytest.mark.parametrize("wrap", [layers.Bidirectional, layers.TimeDistributed])
def test_wrappers_take_layers(wrap):
    with pytest.raises(TypeError, match=f"{wrap.__name__} got the class LSTM.*Type for example"):
        wrap(layers.LSTM)


def test_wrong_number_of_features():
    layer = layers.LSTM(3)
    layer(ZEROS)
    with pytest.raises(ValueError, match="7 features"):
        layer(torch.zeros(2, 5, 7))
    rnn = layers.RNN(layers.GRUCell(3))
    rnn(ZEROS)
    with pytest.raises(ValueError, match=r"got 7 features a step .*It was built for 4"):
        rnn(torch.zeros(2, 5, 7))


def test_unknown_arguments():
    with pytest.raises(
        TypeError, match=r"LSTM\(\) got an unexpected argument 'droput'. Did you mean 'dropout'"
    ):
        layers.LSTM(3, droput=0.2)


def test_old_names():
    with pytest.warns(UserWarning, match="'dropout_W' is an old Keras spelling"):
        layer = layers.LSTM(3, dropout_W=0.2)
    assert layer.dropout == 0.2


def test_a_model_with_everything_trains():
    torch.manual_seed(0)
    model = lk.Sequential(
        [
            lk.Input((5, 4)),
            layers.Masking(),
            layers.Bidirectional(layers.LSTM(6, return_sequences=True, dropout=0.1)),
            layers.TimeDistributed(layers.Dense(3)),
            layers.GRU(4, recurrent_dropout=0.1),
            layers.Dense(1),
        ]
    )
    x = RNG.normal(size=(32, 5, 4)).astype("float32")
    y = x[:, :, 0].sum(1, keepdims=True)
    model.compile("adam", "mse")
    losses = model.fit(x, y, epochs=3, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
