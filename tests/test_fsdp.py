"""Training of a model that FSDP splits over processes, against one process."""

import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import lightkeras as lk
from _fsdp_on_cpu import OnCpu, allow
from _group import on_group

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="no processes")

OPTIMIZERS = {
    "adam": lambda: lk.optimizers.Adam(0.01),
    "sgd": lambda: lk.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "rmsprop": lambda: lk.optimizers.RMSprop(0.01, centered=True, momentum=0.5),
    "adamw": lambda: undecayed(lk.optimizers.AdamW(0.01, weight_decay=0.1, clipvalue=0.05)),
    "nadam": lambda: lk.optimizers.Nadam(0.01),
    "adagrad": lambda: lk.optimizers.Adagrad(0.05),
    "adadelta": lambda: lk.optimizers.Adadelta(0.5),
    "adamax": lambda: lk.optimizers.Adamax(0.01),
    "ftrl": lambda: lk.optimizers.Ftrl(0.05),
    "lion": lambda: lk.optimizers.Lion(0.003),
}
EVEN, UNEVEN = 16, 9  # rows of a batch; there are 47


def undecayed(optimizer):
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def rows(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(47, 8)).astype("float32")
    return x, (x.sum(1) > 0).astype("float32")


def dense(optimizer, seed=0, **options):
    lk.utils.set_random_seed(seed)
    layers = lk.layers
    model = lk.Sequential(
        [
            layers.Dense(7, "relu", kernel_regularizer="l2", activity_regularizer="l2"),
            layers.Dense(5, "tanh", use_bias=False),
            layers.Dense(1, "sigmoid", bias_regularizer=lk.regularizers.L1(0.1)),
        ]
    )
    model.build((None, 8))
    model.layers[1].trainable = options.pop("trainable", True)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy", "mse"], **options)
    return model


def recurrent(optimizer):
    """Weights in several layouts: an embedding, gates, a convolution in torch's channels_last."""
    lk.utils.set_random_seed(0)
    x = inputs = lk.Input((8,))
    x = lk.layers.Reshape((4, 2, 1))(x)
    x = lk.layers.Conv2D(3, (2, 1), activation="relu")(x)
    x = lk.layers.LSTM(4)(lk.layers.Reshape((3, 6))(x))
    x = lk.layers.LayerNormalization()(x)
    model = lk.Model(inputs, lk.layers.Dense(1, "sigmoid", kernel_regularizer="l1")(x))
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    return model


def split():
    """Flags of fit: none in one process."""
    if not torch.distributed.is_initialized():
        return {}
    allow()
    return {"accelerator": "cpu", "strategy": OnCpu()}


def trained(model, batch_size=EVEN, **options):
    x, y = rows()
    options = {"epochs": 2, "validation_data": (x[:21], y[:21]), **options}
    history = model.fit(x, y, batch_size=batch_size, verbose=0, **split(), **options)
    return history.history


def close(found, expected):
    for mine, theirs in zip(found, expected, strict=True):
        if isinstance(theirs, dict):
            assert mine.keys() == theirs.keys()
            mine, theirs = list(mine.values()), list(theirs.values())
        for a, b in (
            zip(np.atleast_1d(mine), np.atleast_1d(theirs), strict=True)
            if not isinstance(theirs, list)
            else zip(mine, theirs, strict=True)
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def numbers(model):
    """Everything that fit leaves behind, as Keras shows it."""
    weights = [np.asarray(w) for w in model.get_weights()]
    return weights + [np.asarray(v.numpy()) for v in model.optimizer.variables]


def twice(build, name, batch_size):
    """Two calls of fit, and the ways to use the model after each."""
    x, y = rows()
    model = build(OPTIMIZERS[name]())
    found = [trained(model, batch_size), numbers(model)]
    found += [model.evaluate(x, y, verbose=0), model.predict(x, verbose=0)]
    return [*found, trained(model, batch_size), numbers(model)]


GRID = (
    [(dense, name, size) for name in ("adam", "sgd", "rmsprop") for size in (EVEN, UNEVEN)]
    + [(dense, name, UNEVEN) for name in [*OPTIMIZERS][3:]]
    + [(recurrent, "adam", UNEVEN)]
)


def whole_table():
    return [twice(*row) for row in GRID]


@pytest.mark.parametrize("world", (1, 2, 3))
def test_a_split_model_walks_the_path_of_one_process(world):
    expected = whole_table()
    for results in on_group(world, whole_table):
        for row, found, one in zip(GRID, results, expected, strict=True):
            try:
                close(found, one)
            except AssertionError as error:
                raise AssertionError(f"{row[0].__name__}, {row[1:]}: {error}") from None
