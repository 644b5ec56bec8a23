"""compile, fit and what comes out of them, beside Keras or a loop in plain torch."""

import io
import re
import sys

import numpy as np
import pytest
import torch
from _beside import beside, seeded
from _inputs import say

import lightkeras as lk

RNG = np.random.RandomState(0)
X, Y = RNG.rand(22, 3).astype("float32"), RNG.rand(22, 2).astype("float32")


# ---- torch schedulers ---------------------------------------------------------------------------

SCHEDULES = torch.optim.lr_scheduler


def linear(kind=lk.Sequential):
    lk.utils.set_random_seed(0)
    model = kind([lk.Input((3,)), lk.layers.Dense(2)])
    return model, torch.optim.SGD(model.parameters(), lr=0.5)


class OwnStep(lk.Sequential):
    def train_step(self, data):
        x, y = data
        loss = ((self(x) - y) ** 2).mean()
        self.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.seen = [*getattr(self, "seen", []), loss.item() * len(x)]
        return {"loss": sum(self.seen[-3:]) / 22}


def by_hand(scheduler_of, validated):
    """Rates, losses and weights of a loop in torch; `validated` are the epochs with validation."""
    model, optimizer = linear()
    scheduler, rates, losses = scheduler_of(optimizer), [], []
    x, y = torch.tensor(X), torch.tensor(Y)
    for epoch in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        total = 0
        for i in range(0, 22, 8):
            loss = ((model(x[i : i + 8]) - y[i : i + 8]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x[i : i + 8])
        losses.append(total / 22)
        if not isinstance(scheduler, SCHEDULES.ReduceLROnPlateau):
            scheduler.step()
        elif validated is None or epoch + 1 in validated:
            value = losses[-1] if validated is None else ((model(x) - y) ** 2).mean().item()
            scheduler.step(value)
    return rates, losses, model.get_weights()


class Rates(lk.callbacks.Callback):
    def __init__(self):
        self.rates = []

    def on_epoch_begin(self, epoch, logs=None):
        self.rates.append(self.model.optimizer.param_groups[0]["lr"])


SCHEDULERS = {
    "steps": lambda o: SCHEDULES.StepLR(o, 2),
    "cosine": lambda o: SCHEDULES.CosineAnnealingLR(o, 6),
    "plateau": lambda o: SCHEDULES.ReduceLROnPlateau(o, factor=0.5, patience=0, threshold=0.3),
    "plateau of what grows": lambda o: SCHEDULES.ReduceLROnPlateau(
        o, mode="max", factor=0.5, patience=0
    ),
}
VALIDATED = {"never": None, "always": 1, "every second": 2, "listed": [2, 5]}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("when", VALIDATED)
@pytest.mark.parametrize("kind", [lk.Sequential, OwnStep])
def test_a_torch_scheduler_goes_as_in_a_loop_by_hand(name, when, kind):
    freq = VALIDATED[when]
    validated = freq if freq is None or isinstance(freq, list) else range(freq, 7, freq)
    rates, losses, weights = by_hand(SCHEDULERS[name], validated)
    model, optimizer = linear(kind)
    model.compile((optimizer, SCHEDULERS[name](optimizer)), "mse")
    given = {} if freq is None else {"validation_data": (X, Y), "validation_freq": freq}
    seen = Rates()
    history = model.fit(
        X, Y, epochs=6, batch_size=8, shuffle=False, verbose=0, callbacks=[seen], **given
    )
    np.testing.assert_allclose(seen.rates, rates)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-4)
    for a, b in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_second_fit_goes_on_with_the_scheduler():
    model, optimizer = linear()
    model.compile((optimizer, SCHEDULES.StepLR(optimizer, 1, gamma=0.5)), "mse")
    for _ in range(2):
        model.fit(X, Y, epochs=2, verbose=0)
    assert optimizer.param_groups[0]["lr"] == 0.5**5


def test_what_is_no_scheduler_of_the_optimizer_is_refused():
    model, optimizer = linear()
    other = SCHEDULES.StepLR(linear()[1], 1)
    say(lambda: model.compile((optimizer, "step"), "mse"), TypeError, "str", "StepLR")
    say(lambda: model.compile((optimizer, other), "mse"), ValueError, "another optimizer")


# ---- what is printed ----------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_screen(text):
    """Lines as they stand on a screen in the end, with N for numbers and T for times."""
    lines, column = [""], 0
    for mark in re.sub(r"\x1b\[[0-9;]*m", "", text):
        if mark == "\n":
            lines, column = [*lines, ""], 0
        elif mark in "\r\b":
            column = 0 if mark == "\r" else max(column - 1, 0)
        else:
            lines[-1] = lines[-1][:column].ljust(column) + mark + lines[-1][column + 1 :]
            column += 1
    lines = [re.sub(r"\d+\.\d+(e-\d+)?", "N", line) for line in lines]
    return [re.sub(r"\b\d+(us|ms|s)\b", "T", line).rstrip() for line in lines]


def hello(k, end=""):
    """A callback that prints; below the line that is being drawn, if `end` is a line's end."""
    return k.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(f"{end}hello {epoch}"))


def pieces(count):
    for _ in range(count):
        yield X[:4], Y[:4]


PRINTED = {
    "fits": lambda k, m: [m.fit(X, Y, batch_size=4, epochs=n) for n in (1, 2, 1)],
    "fit, verbose 2": lambda k, m: [m.fit(X, Y, epochs=n, verbose=2) for n in (1, 2)],
    "fit, verbose 0": lambda k, m: m.fit(X, Y, epochs=2, verbose=0),
    "validation": lambda k, m: m.fit(X, Y, epochs=2, validation_split=0.2),
    "validation, verbose 2": lambda k, m: m.fit(X, Y, validation_data=(X, Y), verbose=2),
    "some validation": lambda k, m: m.fit(X, Y, epochs=3, validation_split=0.2, validation_freq=2),
    "generator": lambda k, m: m.fit(pieces(5)),
    "steps of a generator": lambda k, m: m.fit(pieces(6), steps_per_epoch=3, epochs=2),
    "initial epoch": lambda k, m: m.fit(X, Y, initial_epoch=2, epochs=4),
    "one pass each": lambda k, m: [m.evaluate(X, Y), m.predict(X), m.evaluate(X, Y), m.fit(X, Y)],
    "one pass each, verbose 2": lambda k, m: [m.evaluate(X, Y, verbose=2), m.predict(X, verbose=2)],
    "passes of generators": lambda k, m: [m.evaluate(pieces(5)), m.predict(pieces(5))],
    "a callback that prints": lambda k, m: m.fit(X, Y, epochs=2, callbacks=[hello(k, "\n")]),
    "verbose 2 and a callback": lambda k, m: m.fit(X, Y, epochs=2, verbose=2, callbacks=[hello(k)]),
    "a line of one's own": lambda k, m: m.fit(X, Y, callbacks=[k.callbacks.ProgbarLogger()]),
    "batch by batch": lambda k, m: [m.train_on_batch(X, Y), m.test_on_batch(X, Y)],
}


def printed(k, calls, out, monkeypatch):
    monkeypatch.setattr(sys, "stdout", out)
    model = k.Sequential([k.Input((3,)), k.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=["mae"])
    PRINTED[calls](k, seeded(model))
    return out.getvalue()


# Of batches whose number it does not know Keras may show one less than there were: 4/4 of 5.
COUNTED = [calls for calls in PRINTED if calls not in ("generator", "passes of generators")]


@pytest.mark.parametrize("calls", COUNTED)
def test_a_terminal_shows_in_the_end_what_keras_shows(calls, monkeypatch):
    beside(lambda k: on_screen(printed(k, calls, Terminal(), monkeypatch)))


@pytest.mark.parametrize("calls", PRINTED)
def test_a_file_gets_the_lines_that_a_terminal_shows_in_the_end(calls, monkeypatch):
    text, shown = (printed(lk, calls, out, monkeypatch) for out in (io.StringIO(), Terminal()))
    assert not set(text) & set("\r\b\x1b")
    assert set(on_screen(text)) == set(on_screen(shown))


# ---- a Trainer of one's own ----------------------------------------------------------------------


@pytest.mark.parametrize("built", [True, False])
def test_after_ones_own_trainer_the_model_predicts_and_nothing_was_warned_of(built, recwarn):
    import lightning.pytorch as L
    from torch.utils.data import DataLoader, TensorDataset

    first = [lk.Input((3,))] if built else []
    model = lk.Sequential([*first, lk.layers.Dropout(0.5), lk.layers.Dense(2)])
    model.compile("sgd", "mse")
    loader = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=8)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(max_epochs=1, enable_model_summary=False, accelerator="cpu", **quiet)
    trainer.fit(model.to_lightning(), loader)
    assert not any("eval mode" in str(w.message) for w in recwarn)
    assert not any(module.training for module in model.modules())
    np.testing.assert_array_equal(model(X).detach(), model(X).detach())
