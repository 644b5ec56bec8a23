"""`compile(jit_compile="auto")`: compiled steps where a trial shows that they pay."""

import warnings

import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras import layers
from lightkeras.models import _auto, _jit

R = np.random.RandomState(0)
X = R.rand(64, 6).astype("float32")
Y = (X.sum(1) > 3).astype("int64")


@pytest.fixture
def interpreted(monkeypatch):
    """Recorded steps run without the compiler; the list says how many were recorded."""
    made = []
    monkeypatch.setattr(_jit, "_compiled", lambda graph, arguments: made.append(graph) or graph)
    return made


@pytest.fixture
def clock(monkeypatch):
    """`clock(plain, compiled)`: seconds that steps take from now on, whatever they really take."""

    def takes(plain, compiled=0.0):
        readings = {"time": 0.0, "count": 0, "compiled": 0}

        def now(model):
            step = model._compiled.steps["train"].step
            steps = 0 if step is None else step.steps
            readings["count"] += 1
            if readings["count"] % 2 == 0:  # the end of a step
                readings["time"] += compiled if steps > readings["compiled"] else plain
            readings["compiled"] = steps
            return readings["time"]

        monkeypatch.setattr(_auto, "_now", now)

    return takes


def model(jit="auto", **more):
    lk.utils.set_random_seed(0)
    made = lk.Sequential([lk.Input((6,)), layers.Dense(4, "relu"), layers.Dense(2, "softmax")])
    how = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    made.compile(**how, jit_compile=jit, **more)
    return made


def fit(made, epochs=8, batch=8, rows=64, **more):
    return made.fit(X[:rows], Y[:rows], epochs=epochs, batch_size=batch, verbose=0, **more).history


# seconds of a plain step and of a compiled one, fit's arguments -> what takes steps in the end
CASES = {
    "faster": ((1.0, 0.2), {}, "compiled"),
    "as fast": ((1.0, 0.99), {}, "plain"),
    "slower": ((1.0, 3.0), {}, "plain"),
    "short": ((0.1, 0.01), {}, "not tried"),
    "short, though slow": ((4.0, 1.0), {"epochs": 2}, "not tried"),
    "few steps an epoch": ((1.0, 0.2), {"batch": 32, "epochs": 40}, "compiled"),
    "a smaller last batch": ((1.0, 0.2), {"rows": 60}, "compiled"),
    "hooks for every batch": (
        (1.0, 0.2),
        {"callbacks": [lk.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: None)]},
        "compiled",
    ),
    "one batch an epoch": ((1.0, 0.2), {"batch": 64, "epochs": 60}, "compiled"),
}


def taken_by(made):
    trial = made._compiled.steps["train"]
    if not trial.over:
        return "not tried"
    return "plain" if trial.step is None else "compiled"


@pytest.mark.parametrize("name", CASES)
def test_the_faster_kind_goes_on(name, interpreted, clock):
    times, how, kind = CASES[name]
    clock(*times)
    made = model()
    history = fit(made, **how)
    plain = model(False)
    other = fit(plain, **how)
    assert taken_by(made) == kind
    assert len(interpreted) == (kind != "not tried")
    assert made._compiled.to_come == 0
    for key in history:
        np.testing.assert_allclose(history[key], other[key], rtol=2e-5)
    for one, two in zip(made.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-5, atol=2e-6)
    if kind == "compiled":
        assert made._compiled.steps["train"].step.steps > 20


def test_a_later_fit_tries_anew(interpreted, clock):
    made = model()
    clock(0.1, 0.01)
    fit(made)
    assert taken_by(made) == "not tried"
    clock(1.0, 0.1)
    fit(made)
    assert taken_by(made) == "compiled"
    before = made._compiled.steps["train"].step.steps
    fit(made, epochs=1)  # short, but the code is there
    assert made._compiled.steps["train"].step.steps == before + 8
    assert len(interpreted) == 1


@pytest.mark.parametrize("how", ["backup", "deterministic", "neither"])
def test_what_repeats_bits_is_not_tried(how, tmp_path, interpreted, clock):
    clock(1.0, 0.1)
    made, more = model(), {}
    fit(made)
    assert taken_by(made) == "compiled"
    if how == "backup":
        more["callbacks"] = [lk.callbacks.BackupAndRestore(tmp_path)]
    elif how == "deterministic":
        more["deterministic"] = True
    try:
        fit(made, **more)
    finally:
        torch.use_deterministic_algorithms(False)
    assert taken_by(made) == ("compiled" if how == "neither" else "not tried")


def test_steps_that_cannot_be_compiled_stay_plain_and_silent(interpreted, clock):
    clock(1.0, 0.1)
    lk.utils.set_random_seed(0)
    made = lk.Sequential([lk.Input((2, 3), batch_size=8), layers.LSTM(2, stateful=True)])
    made.compile("sgd", "mse", jit_compile="auto")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.fit(X.reshape(64, 2, 3), X[:, :2], batch_size=8, epochs=8, verbose=0, shuffle=False)
    assert taken_by(made) == "plain" and interpreted == []


@pytest.mark.parametrize("jit", [None, False])
def test_nothing_is_tried_by_default(jit, clock):
    made = model(jit)
    fit(made)
    assert made.jit_compile is False and made._compiled.steps == {}


def test_run_eagerly_tries_nothing():
    made = model(run_eagerly=True)
    fit(made)
    assert made._compiled.steps == {}
