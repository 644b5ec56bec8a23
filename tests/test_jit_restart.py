"""A training in compiled steps that is killed and started again ends with the same bits."""

import signal
import sys
import warnings

import _restart as restart
import numpy as np
import pytest
from test_jit import needs_compiler

import lightkeras as lk
from lightkeras import layers
from lightkeras.models import _jit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 6)).astype("float32")
Y = (X.sum(1) > 0).astype("int64")


class Killed(BaseException):
    pass


class Kill(lk.callbacks.Callback):
    """Ends the process, as it were, after so many steps."""

    def __init__(self, steps):
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        self.steps -= 1
        if self.steps == 0:
            raise Killed


def changes(model, epoch):
    model.layers[1].rate = 0.1 * (1 + epoch // 2)


def nothing(model, epoch):
    pass


class Remembers(layers.Layer):
    """Makes something in its first call in training, which later calls use."""

    made = None

    def call(self, x, training=None):
        if training and self.made is None:
            self.made = 1.25
        return x * 1.25


def start(folder, kill=0, epochs=5, change=nothing, layer=None, metric="accuracy"):
    """(weights, History, messages) of a process that begins, or goes on."""
    lk.utils.set_random_seed(5)
    more = [layer()] if layer else []
    parts = [lk.Input((6,)), layers.Dense(8, "relu"), layers.Dropout(0.1), *more]
    model = lk.Sequential([*parts, layers.Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=[metric], jit_compile=True)
    watching = [
        lk.callbacks.BackupAndRestore(folder, save_freq=2),
        lk.callbacks.LambdaCallback(on_epoch_begin=lambda e, _: change(model, e)),
        Kill(kill),
    ]
    given = {"batch_size": 16, "validation_data": (X[:40], Y[:40]), "verbose": 0}
    history = model.fit(X, Y, epochs=epochs, callbacks=watching, **given)
    return model.get_weights(), history.history, model


def goes_on(tmp_path, kills, **case):
    weights, history, _ = start(tmp_path / "whole", **case)
    for steps in kills:
        with pytest.raises(Killed):
            start(tmp_path / "killed", steps, **case)
    ended, again, model = start(tmp_path / "killed", **case)
    for a, b in zip(weights, ended, strict=True):
        np.testing.assert_array_equal(a, b)
    assert history == again
    return model


@pytest.fixture
def interpreted(monkeypatch):
    """Recorded steps without the compiler, which differ in bits from those that are plain."""
    monkeypatch.setattr(_jit, "_compiled", lambda graph, arguments: graph)


CASES = {
    "plain": {},
    "changing": {"change": changes},
    "many changes": {"change": lambda m, e: setattr(m.layers[1], "rate", 0.01 * e), "epochs": 7},
    "lazy layer": {"layer": Remembers},
}


@pytest.mark.parametrize("name", CASES)
def test_it_ends_with_the_same_bits(name, tmp_path, interpreted, monkeypatch):
    monkeypatch.setattr(_jit, "_MOST", 2)
    kills = [1, 2, 6] if name == "plain" else [7, 6]  # in the first steps; after a recording
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = goes_on(tmp_path, kills, **CASES[name])
    assert model._compiled.steps["train"].failed == (name == "many changes")


@needs_compiler
def test_compiled_code_ends_with_the_same_bits(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = goes_on(tmp_path, [7])
    assert len(model._compiled.steps["train"].codes) == 1


@needs_compiler
@pytest.mark.skipif(sys.platform == "win32", reason="there is no forkserver")
def test_kill_9_in_the_middle_of_an_epoch(tmp_path):
    runs = restart.Runs()
    try:
        whole, killed = tmp_path / "whole", tmp_path / "killed"
        assert runs.once("jit", whole)[0] == 0
        killed.mkdir()
        (killed / "kill").write_text("14")
        assert runs.once("jit", killed, 4)[0] == -signal.SIGKILL
        (killed / "kill").unlink()
        ended = runs.until_done("jit", killed, 4)
        assert restart.differences(restart.result(whole), ended) == [], ended.get("said")
        assert "jit_compile" not in restart.said(whole)  # nothing was left as it is
    finally:
        runs.close()
