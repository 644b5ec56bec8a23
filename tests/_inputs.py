"""Small models, data for them, and what every refusal is held to."""

import linecache
import re

import numpy as np
import pandas as pd
import pytest

import lightkeras as lk
from lightkeras import config, layers

NAN = float("nan")
RNG = np.random.RandomState(0)
X = RNG.rand(8, 4).astype("float32")
Y = np.arange(8) % 3
ONES = np.ones((8, 1), "float32")
BYTES = (X * 255).astype("uint8")


def put(array, where, value):
    """A copy with another value at one place."""
    out = np.array(array, "float32" if isinstance(value, float) else None)
    out[where] = value
    return out


def compiled(model, loss="mse", optimizer="adam", **arguments):
    model.compile(optimizer, loss, **arguments)
    return model


def dense(units, activation=None, loss="mse", shape=(4,), **arguments):
    """One Dense layer, compiled."""
    stack = [lk.Input(shape), layers.Dense(units, activation=activation)]
    return compiled(lk.Sequential(stack), loss, **arguments)


def classifier(units=3, activation="softmax", loss="sparse_categorical_crossentropy", **arguments):
    return dense(units, activation, loss, **arguments)


def one_hot_classifier():
    return classifier(loss="categorical_crossentropy")


def binary(units=1):
    return dense(units, "sigmoid", "binary_crossentropy")


def two_headed(**arguments):
    x = lk.Input((4,))
    model = lk.Model(x, [layers.Dense(1, name="a")(x), layers.Dense(1, name="b")(x)])
    return compiled(model, **arguments)


def by_key(**arguments):
    x = lk.Input((4,))
    return compiled(lk.Model(x, {"b": layers.Dense(1)(x), "a": layers.Dense(1)(x)}), **arguments)


class Subclassed(lk.Model):
    def __init__(self):
        super().__init__()
        self.head = layers.Dense(3, activation="softmax")

    def call(self, x):
        return self.head(x)


def subclassed():
    return compiled(Subclassed(), "sparse_categorical_crossentropy")


def unbuilt():
    return compiled(lk.Sequential([layers.Dense(1)]))


def fit(model, *data, **arguments):
    return model.fit(*data, verbose=0, **arguments)


def say(action, error, *words):
    """Run `action`, which must be refused in a sentence that holds the words; returns it."""
    config.disable_traceback_filtering()
    try:
        with pytest.raises((ValueError, TypeError)) as caught:
            action()
    finally:
        config.enable_traceback_filtering()
    text = str(caught.value)
    assert type(caught.value) is error, f"{type(caught.value).__name__}: {text}"
    for word in words:
        assert re.search(word, text), f"no {word!r} in: {text}"
    assert len(text.splitlines()) <= 10 and len(text) <= 1500, text
    assert text.rstrip().endswith((".", ")")), text
    assert not re.search(r"array\(|tensor\(|\[\[", text), f"data in: {text}"
    assert raised_by_us(caught.value), f"not our words: {text}"
    return text


def raised_by_us(error):
    """Whether a `raise` of the library made the error: not torch, and not Python by itself."""
    step = error.__traceback__
    while step.tb_next:
        step = step.tb_next
    file = step.tb_frame.f_code.co_filename
    return "lightkeras" in file and linecache.getline(file, step.tb_lineno).strip()[:5] == "raise"


def untouched(model, action, error, *words):
    """`say`, and nothing has been learned."""
    before = [np.array(w) for w in model.get_weights()]
    say(lambda: action(model), error, *words)
    optimizer = model.optimizer
    if optimizer is not None and hasattr(optimizer, "iterations"):
        assert int(optimizer.iterations) == 0
    for old, new in zip(before, model.get_weights(), strict=False):
        np.testing.assert_array_equal(old, new)


# ---- data ---------------------------------------------------------------------------------------


def frame(array):
    if not isinstance(array, np.ndarray):
        return array
    return {1: pd.Series, 2: pd.DataFrame}.get(array.ndim, np.asarray)(array)


def generator(count):
    for _ in range(count):
        yield X, Y


def endless(*batch):
    while True:
        yield batch
