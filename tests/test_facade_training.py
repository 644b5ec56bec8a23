"""compile, fit and what comes out of them, beside Keras or a loop in plain torch."""

import numpy as np
import pytest
import torch
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
