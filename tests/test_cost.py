"""What a call and a step cost, in Python calls: counts do not flicker as times do."""

import sys
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import lightkeras as lk
from lightkeras import layers
from lightkeras.callbacks._base import callback_list


def calls(fn, *args):
    """Python functions entered by `fn(*args)`, the second time it is called."""
    count = 0

    def seen(frame, event, arg):
        nonlocal count
        count += event == "call"

    fn(*args)
    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        fn(*args)
    finally:
        sys.setprofile(before)
    return count


X = torch.randn(32, 8)


def test_an_eager_dense_call():
    layer = layers.Dense(4, activation="relu")
    assert calls(layer, X) <= 10


def test_an_eager_attention_call():
    layer, x = layers.MultiHeadAttention(2, 8), torch.randn(4, 8, 16)
    assert calls(layer, x, x) <= 45


def test_a_three_layer_functional_model():
    x = h = lk.Input((8,))
    for _ in range(3):
        h = layers.Dense(4, activation="relu")(h)
    assert calls(lk.Model(x, h), X) <= 30


def test_overhead_does_not_grow_with_depth():
    def depth(n):
        return lk.Sequential([lk.Input((8,)), *[layers.Dense(8) for _ in range(n)]])

    ten, twenty = calls(depth(10), X), calls(depth(20), X)
    assert twenty - ten == pytest.approx(10 * calls(layers.Dense(8), X), abs=10)


class TorchStep:
    """A step as a careful person writes it in torch, with its accuracy."""

    def __init__(self):
        self.model = torch.nn.Sequential(
            torch.nn.Linear(8, 12),
            torch.nn.ReLU(),
            torch.nn.Linear(12, 1),
            torch.nn.Sigmoid(),
        )
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.loss = torch.nn.BCELoss()
        self.total = self.correct = 0

    def __call__(self, x, y):
        y_pred = self.model(x)
        loss = self.loss(y_pred, y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.total = self.total + loss.detach() * len(x)
        self.correct = self.correct + ((y_pred > 0.5) == y).sum()


def test_a_training_step_inside_a_chunk():
    model = lk.Sequential(
        [
            lk.Input((8,)),
            layers.Dense(12, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    y = (torch.rand(32, 1) > 0.5).float()

    def fit(rows):
        data = X.repeat(rows, 1).numpy(), y.repeat(rows, 1).numpy()
        return lambda: model.fit(*data, batch_size=32, verbose=0, shuffle=False)

    # The difference of two epochs that differ by 20 steps in the same chunk is 20 steps.
    few, many = calls(fit(4)), calls(fit(24))
    ours = (many - few) / 20
    by_hand = calls(TorchStep(), X, y)
    assert 0 < ours <= 1.3 * by_hand, f"{ours} Python calls a step, {by_hand} by hand"


def test_a_callback_of_ones_own_costs_the_same_at_any_depth():
    """It calls the model as it predicts, and the model is put in that mode for every batch."""

    class Watch(lk.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    def hook(n):
        model = lk.Sequential([lk.Input((8,)), *[layers.Dense(8) for _ in range(n)]])
        model.compile("sgd", "mse")
        model.train()
        called = callback_list([Watch()], model, 0)
        return calls(lambda: called.on_train_batch_end(0, {"loss": 1.0}))

    assert hook(2) == hook(60) <= 30


def test_one_row_through_predict_is_near_the_model_itself():
    model = lk.Sequential([lk.Input((8,)), layers.Dense(12, activation="relu"), layers.Dense(1)])
    row = np.zeros((1, 8), "float32")
    assert calls(lambda: model.predict(row, verbose=0)) <= 160


def test_a_step_reads_nothing_back(monkeypatch):
    """No value leaves its tensor inside a chunk: on an accelerator each one would be a wait."""
    model = lk.Sequential([lk.Input((8,)), layers.Dense(1, activation="sigmoid")])
    model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy", "mae"])
    y = torch.ones(320, 1)
    reads = []
    for name in ("item", "tolist", "numpy", "__float__", "__bool__", "__int__"):
        original = getattr(torch.Tensor, name)

        def spy(self, *args, _original=original, _name=name, **kwargs):
            reads.append(_name)
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, spy)
    x = X.repeat(10, 1)
    model.fit(x, y, verbose=0, batch_size=32)
    few = len(reads)
    reads.clear()
    model.fit(x, y, verbose=0, batch_size=2)
    assert len(reads) == few  # 10 steps or 160: the same reads, at the ends of epochs


def test_an_op_costs_one_call_more_than_its_function():
    from lightkeras import ops

    assert calls(ops.exp, X) <= 3  # the op, the function, torch's dtype check of integers
    assert calls(ops.add, X, X) <= 2
    assert calls(ops.matmul, X, X.T) <= 2
    assert calls(ops.where, X > 0, X, X) <= 2
    assert calls(ops.add, X, 2.0) <= 12  # a number takes the longer way


class Kernels(TorchDispatchMode):
    """Counts the kernels that torch starts."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.counts[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


def kernels(fn):
    with Kernels() as mode:
        fn()
    return mode.counts


def by_hand():
    """A step of the network below in torch, in channels_last order and bfloat16."""
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 8, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 10),
    ).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters())
    x, y = torch.rand(8, 12, 12, 3).permute(0, 3, 1, 2), torch.zeros(8, dtype=torch.long)

    def step():
        with torch.autocast("cpu", torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step()
    return step


def test_no_copies_between_layers_in_bfloat16_and_channels_last():
    """One flag, and what is cast or laid out anew is what torch itself does."""

    def fit(steps):
        model = lk.Sequential(
            [
                lk.Input((12, 12, 3)),
                layers.Conv2D(8, 3, padding="same"),
                layers.BatchNormalization(),
                layers.Activation("relu"),
                layers.MaxPooling2D(),
                layers.Conv2D(8, 3, activation="relu"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(10),
            ]
        )
        model.compile("sgd", lk.losses.SparseCategoricalCrossentropy(from_logits=True))
        x, y = np.zeros((8 * steps, 12, 12, 3), "float32"), np.zeros(8 * steps, "int64")
        given = {"batch_size": 8, "shuffle": False, "verbose": 0, "accelerator": "cpu"}
        return lambda: model.fit(x, y, precision="bf16-mixed", **given)

    few, many = kernels(fit(2)), kernels(fit(12))
    ours, theirs = {name: (many[name] - few[name]) / 10 for name in many}, kernels(by_hand())
    assert theirs["_to_copy"] > 10  # weights and activations, forth and back
    assert ours["_to_copy"] <= theirs["_to_copy"] + 1  # the loss takes outputs as float32
    for name in ("clone", "contiguous", "_unsafe_view"):
        assert ours.get(name, 0) <= theirs[name], name
    assert ours["copy_"] <= theirs["copy_"] + 2  # gradients of kernels, in the order of the kernels
