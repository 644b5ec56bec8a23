"""What is right: other forms of the same data mean the same, and nobody is warned."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from _inputs import (
    BYTES,
    ONES,
    RNG,
    X,
    Y,
    binary,
    classifier,
    compiled,
    dense,
    endless,
    fit,
    generator,
    one_hot_classifier,
    put,
    subclassed,
    two_headed,
)
from torch.utils.data import DataLoader, TensorDataset

import lightkeras as lk
from lightkeras import callbacks, datasets, layers, losses, utils

STOP = callbacks.EarlyStopping


def loss_of(x, y, make=lambda: dense(1), **arguments):
    """Loss of a model with always the same weights."""
    model = make()
    utils.set_random_seed(0)
    model.set_weights([RNG_WEIGHTS(w.shape) for w in model.get_weights()])
    return model.evaluate(x, y, verbose=0, **arguments)


def RNG_WEIGHTS(shape):
    return np.random.RandomState(1).rand(*shape).astype("float32")


TARGET = RNG.rand(8, 1).astype("float32")
SAME = {  # row -> the same data in another form
    "14 (n, 1, 1)": (X, TARGET[..., None]),
    "14 (n,)": (X, TARGET[:, 0]),
    "22 objects": (X.astype(object), TARGET.astype(object)),
    "25 lists": (X.tolist(), TARGET.tolist()),
    "25 list of numbers": (X, TARGET[:, 0].tolist()),
    "float64": (X.astype("float64"), TARGET.astype("float64")),
    "float16": (X.astype("float16"), TARGET),
    "frames": (pd.DataFrame(X), pd.Series(TARGET[:, 0])),
    "frame of objects": (pd.DataFrame(X.astype(object)), TARGET),
    "tensors": (torch.from_numpy(X), torch.from_numpy(TARGET)),
    "mixed": (torch.from_numpy(X), TARGET),
    "list of one": ([X], [TARGET]),
    "read only": (np.broadcast_to(X, X.shape), TARGET),
    "strided": (np.repeat(X, 2, 0)[::2], TARGET[::-1][::-1]),
    "big-endian": (X.astype(">f4"), TARGET),
    "(n, 4, 1)": (X[..., None], TARGET),
}


@pytest.mark.parametrize("form", SAME)
def test_other_forms_of_the_same_data(form):
    close = 1e-3 if form == "float16" else 1e-6
    assert loss_of(*SAME[form]) == pytest.approx(loss_of(X, TARGET), rel=close)


def test_one_feature_without_its_axis():
    """`x` of shape (n,) for `Input((1,))`, as Keras takes it."""
    one = lambda: dense(1, shape=(1,))
    assert loss_of(X[:, 0], TARGET, one) == pytest.approx(loss_of(X[:, :1], TARGET, one))
    assert one().predict(X[:, 0], verbose=0).shape == (8, 1)
    assert one().predict_on_batch(X[:, 0]).shape == (8, 1)


def test_predict_of_no_rows():  # row 29
    assert classifier().predict(X[:0], verbose=0).shape == (0, 3)
    assert subclassed().predict(X[:0], verbose=0).shape == (0, 3)
    a, b = two_headed(loss="mse").predict(X[:0], verbose=0)
    assert a.shape == b.shape == (0, 1)
    assert classifier().predict_on_batch(X[:0]).shape == (0, 3)


def test_class_weight_as_a_list():  # row 65
    kept = [list(h.history["loss"]) for h in (
        _trained(class_weight=[1, 2, 3]),
        _trained(class_weight={0: 1, 1: 2, 2: 3}),
        _trained(sample_weight=(Y + 1).astype("float32")),
    )]  # fmt: skip
    assert kept[0] == kept[1] == pytest.approx(kept[2])


def _trained(**arguments):
    utils.set_random_seed(0)
    return fit(classifier(), X, Y, shuffle=False, epochs=2, **arguments)


def test_a_metric_without_a_list():  # row 89
    history = fit(classifier(metrics="accuracy"), X, Y).history
    assert sorted(history) == ["accuracy", "loss"]


def test_summary_of_an_unbuilt_model(capsys):  # row 41
    lk.Sequential([layers.Dense(2)]).summary()
    assert re.search(r"Not built yet: .*Input.*build\(", capsys.readouterr().out)


# ---- correct variants: not a word ---------------------------------------------------------------


def fully_convolutional(sequential=False, shape=(None, None, 1)):
    conv = layers.Conv2D(1, 3, padding="same")
    if sequential:
        return compiled(lk.Sequential([conv]))
    x = lk.Input(shape)
    return compiled(lk.Model(x, conv(x)))


def other_sizes(model):
    small, large = np.ones((4, 8, 8, 1), "float32"), np.ones((4, 16, 16, 1), "float32")
    fit(model, small, small, validation_data=(large, large))
    model.evaluate(large, large, verbose=0)
    fit(model, large, large)
    model.train_on_batch(small, small)
    model.predict(large, verbose=0)


class OwnSteps(lk.Model):
    """A train_step of one's own, which takes what it likes."""

    def __init__(self):
        super().__init__()
        self.head = layers.Dense(1)

    def call(self, x):
        return self.head(x)

    def train_step(self, data):
        x, y = data
        loss = (self(x) - y["target"]).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss}


def unfrozen():
    model = dense(1)
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    model.layers[0].trainable = True
    fit(model, X, ONES)


def embedded(dtype):
    stack = [
        lk.Input((5,), dtype="int32"),
        layers.Embedding(9, 4),
        layers.Flatten(),
        layers.Dense(1),
    ]
    fit(compiled(lk.Sequential(stack)), RNG.randint(0, 9, (8, 5)).astype(dtype), ONES)


def of_bytes(*first):
    model = lk.Sequential([lk.Input((4,)), *first, layers.Dense(3, activation="softmax")])
    fit(compiled(model, "sparse_categorical_crossentropy"), BYTES, Y)


def last(activation, loss, units=1):
    return lambda: dense(units, activation, loss)


STEPS = np.ones((8, 5), "float32")  # a weight for each
SILENT = {
    "labels int8": lambda: fit(classifier(), X, Y.astype("int8")),
    "labels uint8": lambda: fit(classifier(), X, Y.astype("uint8")),
    "labels as whole floats": lambda: fit(classifier(), X, Y.astype("float64")),
    "labels (n, 1)": lambda: fit(classifier(), X, Y[:, None]),
    "labels per step": lambda: fit(
        classifier(shape=(5, 4)), np.ones((8, 5, 4)), np.zeros((8, 5), int)
    ),
    "ignored class": lambda: fit(
        classifier(loss=losses.SparseCategoricalCrossentropy(ignore_class=-1)), X, put(Y, 2, -1)
    ),
    "few classes seen": lambda: fit(classifier(10), X[:6], Y[:6]),
    "classes sorted in a stream": lambda: fit(
        classifier(10), iter([(np.repeat(X, 9, 0), np.repeat([0, 1], 36))])
    ),
    "one-hot": lambda: fit(one_hot_classifier(), X, np.eye(3)[Y]),
    "one-hot integers": lambda: fit(one_hot_classifier(), X, np.eye(3, dtype=int)[Y]),
    "one-hot truth": lambda: fit(
        classifier(loss="categorical_crossentropy", metrics=["accuracy"]), X, np.eye(3)[Y] > 0
    ),
    "soft labels": lambda: fit(one_hot_classifier(), X, np.full((8, 3), 1 / 3)),
    "multi-hot": lambda: fit(binary(3), X, RNG.randint(0, 2, (8, 3))),
    "truth values": lambda: fit(binary(), X, Y > 1),
    "smooth answers": lambda: fit(binary(), X, np.full(8, 0.9)),
    "hinge": lambda: fit(dense(1, "tanh", "hinge"), X, 2 * (Y % 2) - 1),
    "categorical hinge": lambda: fit(dense(3, None, "categorical_hinge"), X, 2 * np.eye(3)[Y] - 1),
    "autoencoder": lambda: fit(dense(4, "sigmoid", "binary_crossentropy"), X, X),
    "linear and from_logits": last(None, losses.CategoricalCrossentropy(from_logits=True), 3),
    "sigmoid and bce": last("sigmoid", "bce"),
    "softmax and kld": last("softmax", "kl_divergence", 3),
    "one linear unit": last(None, "mse"),
    "relu and mse": last("relu", "mse"),
    "softmax and mse": last("softmax", "mse", 3),
    "loss of one's own": lambda: fit(dense(1, loss=lambda a, b: (a - b).abs().mean()), X, ONES),
    "loss with options": lambda: fit(dense(1, loss=lambda a, b, p=2: (a - b).abs() ** p), X, ONES),
    "loss in a list": lambda: fit(dense(1, loss=["mse"]), X, ONES),
    "loss of torch": lambda: fit(dense(1, loss=torch.nn.MSELoss()), X, ONES),
    "metric of one's own": lambda: fit(dense(1, metrics=[lambda a, b: (a - b).mean()]), X, ONES),
    "metric that is a number": lambda: fit(dense(1, metrics=[lambda a, b: 3.0]), X, ONES),
    "loss and metrics by name": lambda: fit(
        two_headed(loss={"a": "mse", "b": "mae"}, metrics={"a": ["mae"]}, loss_weights=[1, 0.5]),
        X,
        {"b": ONES, "a": ONES},
    ),
    "loss for one output": lambda: fit(two_headed(loss={"a": "mse"}), X, {"a": ONES, "b": ONES}),
    "weights (n, 1)": lambda: fit(classifier(), X, Y, sample_weight=np.ones((8, 1))),
    "weights, some 0": lambda: fit(classifier(), X, Y, sample_weight=put(np.ones(8), 2, 0.0)),
    "weights below 0": lambda: fit(classifier(), X, Y, sample_weight=-np.ones(8)),
    "weights per value": lambda: fit(
        dense(1, shape=(5, 4)), np.ones((8, 5, 4)), np.ones((8, 5, 1)), sample_weight=STEPS
    ),
    "all class weights": lambda: fit(classifier(), X, Y, class_weight={0: 1, 1: 0, 2: 3.5}),
    "class weights, one-hot truth": lambda: fit(
        one_hot_classifier(), X, np.eye(3)[Y] > 0, class_weight={0: 1, 1: 2, 2: 3}
    ),
    "NumPy numbers": lambda: fit(
        classifier(),
        X,
        Y,
        epochs=np.int64(2),
        batch_size=np.int32(4),
        validation_freq=np.int64(2),
        validation_data=(X, Y),
    ),
    "validation_freq list": lambda: fit(
        classifier(), X, Y, epochs=3, validation_freq=[1, 3], validation_data=(X, Y)
    ),
    "validation_freq without validation": lambda: fit(classifier(), X, Y, validation_freq=[1]),
    "validation_split": lambda: fit(classifier(), X, Y, validation_split=0.25),
    "validation_split 0": lambda: fit(classifier(), X, Y, validation_split=0.0),
    "validation as a list": lambda: fit(classifier(), X, Y, validation_data=[X, Y]),
    "validation with weights": lambda: fit(classifier(), X, Y, validation_data=(X, Y, np.ones(8))),
    "no epochs": lambda: fit(classifier(), X, Y, epochs=0),
    "shuffle batch": lambda: fit(classifier(), X, Y, shuffle="batch"),
    "verbose auto": lambda: classifier().fit(X, Y, verbose="auto"),
    "generator": lambda: fit(classifier(), generator(2)),
    "generator with steps": lambda: fit(classifier(), endless(X, Y), steps_per_epoch=2, epochs=2),
    "loader": lambda: fit(
        classifier(), DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=3)
    ),
    "lists of columns": lambda: fit(classifier(), X.tolist(), Y.tolist()),
    "x of truth values": lambda: fit(classifier(), X > 0.5, Y),
    "x of integers": lambda: fit(classifier(), (10 * X).astype(int), Y),
    "bytes of 0 and 1": lambda: fit(classifier(), (X > 0.5).astype("uint8"), Y),
    "bytes, rescaled": lambda: of_bytes(layers.Rescaling(1 / 255)),
    "bytes, divided": lambda: of_bytes(layers.Lambda(lambda x: x / 255)),
    "bytes, normalized": lambda: of_bytes(layers.BatchNormalization()),
    "tokens as bytes": lambda: embedded("uint8"),
    "tokens": lambda: embedded("int64"),
    "sizes that differ": lambda: other_sizes(fully_convolutional()),
    "sizes that differ, unbuilt": lambda: other_sizes(fully_convolutional(sequential=True)),
    "EarlyStopping on loss": lambda: fit(classifier(), X, Y, callbacks=[STOP("loss")]),
    "EarlyStopping on val_loss": lambda: fit(
        classifier(), X, Y, validation_data=(X, Y), callbacks=[STOP("val_loss")]
    ),
    "metric of the logs": lambda: fit(
        classifier(metrics=["accuracy"]), X, Y, callbacks=[STOP("accuracy", mode="max")]
    ),
    "optimizer for two fits": lambda: [fit(m, X, ONES) for m in [dense(1)] * 2],
    "torch optimizer": lambda: fit(
        (lambda m: compiled(m, optimizer=torch.optim.SGD(m.parameters(), 0.1)))(dense(1)), X, ONES
    ),
    "unfrozen after compile": unfrozen,
    "steps of one's own": lambda: fit(compiled(OwnSteps(), None), X, {"target": ONES}),
    "evaluate without an optimizer": lambda: dense(1, optimizer=None).evaluate(X, ONES, verbose=0),
    "small channels first": lambda: layers.Conv2D(2, 1)(np.ones((2, 3, 3, 8), "float32")),
    "feature map of height 1": lambda: layers.Conv2D(2, 1)(np.ones((2, 1, 7, 16), "float32")),
    "an even kernel that fits": lambda: layers.Conv2D(3, 5)(lk.Input((5, 5, 1))),
    "digits": lambda: fit(
        classifier(10, shape=(64,)), datasets.digits.load_data()[0][0].reshape(-1, 64) / 16.0,
        datasets.digits.load_data()[0][1],
    ),
}  # fmt: skip


@pytest.mark.parametrize("variant", SILENT)
def test_not_a_word(variant):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SILENT[variant]()
