"""Data of every kind, whole or in steps, through fit, evaluate and predict beside Keras.

Losses and weights tell which rows came when: each batch moves them.
"""

import numpy as np
import pytest
import torch
from _beside import beside, seeded
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import lightkeras as lk

RNG = np.random.RandomState(0)
X, Y = RNG.rand(22, 3).astype("float32"), RNG.rand(22, 2).astype("float32")
PAIRS = TensorDataset(torch.tensor(X), torch.tensor(Y))


def small(k):
    model = k.Sequential([k.Input((3,)), k.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=["mae"])
    return seeded(model)


# ---- what is left of the data where epochs take a number of steps --------------------------------


def cut(index):
    return X[index * 4 : index * 4 + 4], Y[index * 4 : index * 4 + 4]


def pieces(passes=1):
    for _ in range(passes):
        yield from map(cut, range(6))


def py_dataset(k):
    class Cut(k.utils.PyDataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            return cut(index)

    return Cut()


def endless_py_dataset(k):
    class Endless(k.utils.PyDataset):
        num_batches = None

        def __getitem__(self, index):
            return cut(index % 6)

    return Endless()


class Rows(IterableDataset):
    def __iter__(self):
        return iter(PAIRS)


class SizedRows(Rows):
    def __len__(self):
        return len(X)


SOURCES = {
    "arrays": lambda k: {"x": X, "y": Y, "batch_size": 4},
    "arrays without a batch size": lambda k: {"x": X, "y": Y},
    "a generator": lambda k: {"x": pieces()},
    "an endless generator": lambda k: {"x": pieces(10**6)},
    "a PyDataset": lambda k: {"x": py_dataset(k)},
    "an endless PyDataset": lambda k: {"x": endless_py_dataset(k)},
    "a loader": lambda k: {"x": DataLoader(PAIRS, batch_size=4)},
    "a loader of whole batches": lambda k: {"x": DataLoader(PAIRS, batch_size=4, drop_last=True)},
    "a loader without a length": lambda k: {"x": DataLoader(Rows(), batch_size=4)},
    "a loader of a stream": lambda k: {"x": DataLoader(SizedRows(), batch_size=4)},
}
FITS = [(1, 2), (3, 2), (3, 4), (3, 6), (2, 9), (3, None)]
# Keras leaves epochs out, or goes on with two old batches of a generator; here these are errors,
# which other tests look at. A loader without a length loses an epoch in Keras.
NOT_IN_KERAS = {
    "a generator": [(3, 4), (3, 6), (2, 9), (3, None)],
    "an endless generator": [(3, None)],
    "an endless PyDataset": [(3, None)],
    "a loader without a length": [(3, 6)],
}
FIT_ROWS = [(s, *f) for s in SOURCES for f in FITS if f not in NOT_IN_KERAS.get(s, ())]


@pytest.mark.parametrize("source, epochs, steps", FIT_ROWS)
def test_epochs_of_so_many_steps(source, epochs, steps):
    def program(k):
        model = small(k)
        data = SOURCES[source](k)
        history = model.fit(
            **data, epochs=epochs, steps_per_epoch=steps, shuffle=False, verbose=0
        ).history
        return history, model.get_weights()

    beside(program)


@pytest.mark.parametrize("source", [s for s in SOURCES if s != "a generator"])
def test_a_second_fit_on_the_same_data(source):
    def program(k):
        model, data = small(k), SOURCES[source](k)
        args = {"epochs": 2, "steps_per_epoch": 2, "shuffle": False, "verbose": 0}
        return [model.fit(**data, **args).history for _ in range(2)], model.get_weights()

    beside(program)


# A generator gives new batches to every validation; Keras begins each with its first two.
LASTING = [s for s in SOURCES if "generator" not in s]


@pytest.mark.parametrize("source", LASTING)
@pytest.mark.parametrize("steps", [2, 9, None])
def test_validation_of_so_many_steps(source, steps):
    if steps is None and "endless" in source:
        pytest.skip("has no end")

    def program(k):
        data = SOURCES[source](k)
        given = (data["x"], data["y"]) if "y" in data else data["x"]
        args = {"epochs": 3, "shuffle": False, "verbose": 0, "validation_steps": steps}
        return small(k).fit(X, Y, validation_data=given, **args).history

    beside(program)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("steps", [2, 9, None])
@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_one_pass_of_so_many_steps(source, steps, method):
    if steps is None and "endless" in source:
        pytest.skip("has no end")

    def program(k):
        data = SOURCES[source](k)
        if method == "predict":
            data.pop("y", None)
        return getattr(small(k), method)(**data, steps=steps, verbose=0)

    beside(program)


def test_a_generator_goes_on_from_one_validation_to_the_next():
    values = small(lk).fit(
        X, Y, epochs=3, validation_data=pieces(), validation_steps=2, shuffle=False, verbose=0
    ).history["val_loss"]  # fmt: skip
    model = small(lk)
    for i, value in enumerate(values):
        model.fit(X, Y, shuffle=False, verbose=0)
        part = slice(8 * i, 8 * i + 8)
        assert value == pytest.approx(model.evaluate(X[part], Y[part], verbose=0)[0], rel=1e-5)


@pytest.mark.parametrize("source", ["arrays", "a generator", "a PyDataset", "a loader"])
@pytest.mark.parametrize("method", ["evaluate", "predict", "fit", "fit 3 at a time"])
def test_fewer_batches_than_steps_is_said_once(source, method):
    data, model = SOURCES[source](lk), small(lk)
    method, *at_a_time = method.split(maxsplit=1)
    if at_a_time:
        model.compile("sgd", "mse", steps_per_execution=3)
    if method == "predict":
        data.pop("y", None)
    steps = {"steps_per_epoch": 9} if method == "fit" else {"steps": 9}
    with pytest.warns(UserWarning, match="(?s)(9 steps.*6 batches|6 of 9 steps)") as caught:
        getattr(model, method)(**data, **steps, verbose=0)
    assert len(caught) == 1


# ---- what steps of one's own are given -----------------------------------------------------------


def form(data):
    """Structure, shapes and dtypes in words; Keras makes lists of the tuples of a loader."""
    if isinstance(data, dict):
        return {key: form(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        parts = [form(part) for part in data]
        while len(parts) > 1 and parts[-1] is None:  # of train_on_batch in Keras
            parts.pop()
        return parts
    return None if data is None else f"{tuple(data.shape)} {str(data.dtype).split('.')[-1]}"


def watched(k, seen):
    class Watched(k.Model):
        def __init__(self):
            super().__init__()
            self.head = k.layers.Dense(2)

        def call(self, x):
            return self.head(x)

        def train_step(self, data):
            seen.append(["train", form(data)])
            return {"loss": 0.0}

        def test_step(self, data):
            seen.append(["test", form(data)])
            return {"loss": 0.0}

        def predict_step(self, data):
            seen.append(["predict", form(data)])
            return self(torch.zeros(2, 3))

    model = Watched()
    model.compile("sgd")
    model(torch.zeros(2, 3))
    return model


W, CLASSES = np.ones(22, "float32"), np.arange(22) % 3
ARRAYS = {
    "x": (X,),
    "x, y": (X, Y),
    "x, y, w": (X, Y, W),
    "lists": ([X, X], [Y, Y], [W, W]),
    "tuples": ((X, X), (Y, Y)),
    "lists of one": ([X], [Y]),
    "dicts": ({"b": X, "a": X}, {"q": Y, "p": Y}),
    "nested": ({"a": [X, (X, X)]}, [Y, {"z": Y}]),
    "list of x alone": ([X, X],),
    "list of one x alone": ([X],),
    "tuple of x alone": ((X, X),),
    "dict of x alone": ({"a": X, "b": X},),
    "classes": (X, CLASSES),
    "column of classes": (X, CLASSES[:, None]),
    "one column": (X[:, 0], Y[:, 0]),
    "truth values": (X > 0.5, Y > 0.5),
    "whole numbers": ((9 * X).astype("int64"), (9 * Y).astype("uint8")),
    "tensors": (torch.tensor(X), torch.tensor(Y)),
}


@pytest.mark.parametrize("arrays", ARRAYS)
def test_steps_of_ones_own_are_given_arrays(arrays):
    def program(k):
        seen = []
        model, (x, y, w) = watched(k, seen), (*ARRAYS[arrays], None, None)[:3]
        model.fit(x, y, sample_weight=w, batch_size=32, verbose=0)
        model.evaluate(x, y, sample_weight=w, batch_size=32, verbose=0)
        model.predict(x, batch_size=32, verbose=0)
        model.train_on_batch(x, y, w)
        model.test_on_batch(x, y, w)
        model.predict_on_batch(x)
        return seen

    beside(program)


def test_steps_of_ones_own_are_given_class_weights():
    def program(k):
        seen = []
        watched(k, seen).fit(X, CLASSES, class_weight={0: 1.0, 1: 2.0, 2: 3.0}, verbose=0)
        return seen

    beside(program)


BATCHES = {
    "(x,)": (X,),
    "(x, y)": (X, Y),
    "(x, y, w)": (X, Y, W),
    "([x, x], y)": ([X, X], Y),
    "((x, x), y)": ((X, X), Y),
    "({}, {})": ({"b": X, "a": X}, {"q": Y}),
    "(x, None)": (X, None),
    "(x, None, w)": (X, None, W),
    "(x, classes)": (X, CLASSES),
}
IN_BATCHES = {
    "generator": lambda k, batch: (b for b in [batch]),
    "PyDataset": lambda k, batch: _one(k, batch),
    "loader": lambda k, batch: DataLoader(_rows(batch), batch_size=22),
}


def _one(k, batch):
    class One(k.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return batch

    return One()


def _rows(batch):
    """The rows of a batch, for a loader to put together again."""
    take = torch.utils._pytree.tree_map
    return [take(lambda part, i=i: torch.tensor(part[i]), batch) for i in range(22)]


IN_BATCHES_ROWS = [
    (source, batch)
    for source in IN_BATCHES
    for batch in BATCHES
    if not (source == "loader" and "None" in batch)
]


@pytest.mark.parametrize("source, batch", [*IN_BATCHES_ROWS, ("loader", "x")])
def test_steps_of_ones_own_are_given_batches(source, batch):
    def program(k):
        seen = []
        model, make = watched(k, seen), IN_BATCHES[source]
        for method in ("fit", "evaluate", "predict"):
            getattr(model, method)(make(k, BATCHES.get(batch, X)), verbose=0)
        return seen

    beside(program)
