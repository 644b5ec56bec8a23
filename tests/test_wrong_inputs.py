"""What a user may get wrong, and what is said: one sentence, in time.

The numbers are those of the table of wrong inputs that the library is held to. Every refusal
comes before the first step, so weights and optimizer are what they were.
"""

import math
import re
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from _inputs import (
    BYTES,
    NAN,
    ONES,
    X,
    Y,
    binary,
    by_key,
    classifier,
    compiled,
    dense,
    endless,
    fit,
    frame,
    generator,
    one_hot_classifier,
    put,
    say,
    subclassed,
    two_headed,
    unbuilt,
    untouched,
)
from torch.utils.data import DataLoader, Dataset

import lightkeras as lk
from lightkeras import callbacks, layers, losses, metrics, models, optimizers, utils

# ---- data: every mistake, in every kind of data, through every method ---------------------------
# (row, model, x, y, sample_weight, error, words); x and y in the words stand for x_val, y_val too.

NO_NAN = ("NaN", r"(at \[?0|at \[?2)", "(Drop or fill|fill them in)")
DATA = [
    ("1 rows", classifier, X, Y[:7], None, ValueError, ("8 samples, y has 7", r"\(7,")),
    ("2 features", classifier, np.ones((8, 5), "float32"), Y, None, ValueError,
     (r"\(None, 4\)", r"\(\d, 5\)", "expects 4 features, x has 5")),
    ("2 rank", classifier, np.ones((8, 3, 3), "float32"), Y, None, ValueError,
     (r"\(None, 4\)", r"\(\d, 3, 3\)", "Reshape x")),
    ("4 label too high", classifier, X, put(Y, 3, 3), None, ValueError,
     (r"labels 0\.\.2", r"y\[3(, 0)?\] = 3", r"Dense\(4\)")),
    ("4 from 1", classifier, X, Y + 1, None, ValueError, (r"Starts at 1\? Use y - 1",)),
    ("5 label -1", classifier, X, put(Y, 2, -1), None, ValueError,
     (r"labels 0\.\.2", r"y\[2(, 0)?\] = -1", "ignore_class=-1")),
    ("7 fractions", classifier, X, (Y + 0.7).astype("float32"), None, ValueError,
     ("integers", r"y\[0(, 0)?\] = 0\.7\.", 'loss="mse"')),
    ("8 NaN label", classifier, X, put(Y, 2, NAN), None, ValueError, NO_NAN),
    ("10 class ids", one_hot_classifier, X, Y, None, ValueError,
     ("one-hot", 'loss="sparse_categorical_crossentropy"')),
    ("11 ids for 3 sigmoids", lambda: binary(3), X, Y, None, ValueError,
     (r"y_pred \(\d, 3\)", r"Dense\(1\)", "multi-hot")),
    ("12 three classes, one sigmoid", binary, X, Y, None, ValueError,
     ("from 0 to 1", r"y\[[12](, 0)?\] = 2", r"Dense\(3, activation='softmax'\)")),
    ("13 two columns", lambda: dense(1), X, np.ones((8, 2), "float32"), None, ValueError,
     (r"y_pred \(\d, 1\)", r"y of shape \(\d, 2\)", r"Dense\(2\)")),
    ("19 NaN target", lambda: dense(1), X, put(ONES[:, 0], 0, NAN), None, ValueError, NO_NAN),
    ("19 infinite target", lambda: dense(1), X, put(ONES, 0, math.inf), None, ValueError,
     ("(infinite|float32)",)),
    ("68 NaN weight", classifier, X, Y, put(ONES[:, 0], 2, NAN), ValueError,
     ("sample_weight", "NaN", "Drop or fill")),
    ("68 weights for 5", classifier, X, Y, np.ones(5, "float32"), ValueError,
     ("8 samples, sample_weight has 5",)),
    ("68 weights (8, 3)", classifier, X, Y, np.ones((8, 3), "float32"), ValueError,
     ("sample_weight of shape", r"\(\d,\)")),
    ("114 no y", classifier, X, None, None, ValueError, ("needs targets", "got no y", "Pass")),
]  # fmt: skip
OF_ARRAYS = [  # what only arrays can be
    ("20 float64", lambda: dense(1), np.full((8, 4), 1e300), ONES, None, ValueError,
     ("x has values that exceed float32", "3.4e\\+38", "Scale")),
    ("23 text in y", classifier, X, np.array(["cat", "dog"] * 4), None, TypeError,
     ("y holds text", "'cat', 'dog'", "LabelEncoder", "StringLookup")),
    ("23 text in x", classifier, X.astype(str), Y, None, TypeError, ("x(_val)?(.0.)? holds text",)),
    ("24 objects", classifier, X, np.array([object()] * 8), None, TypeError, ("y holds objects",)),
    ("24 dates", classifier, np.full((8, 4), "2020-01-01", "M8[D]"), Y, None, TypeError,
     ("x(_val)? holds dates",)),
    ("26 no rows", classifier, X[:0], Y[:0], None, ValueError, ("x has 0 samples", r"\(0, 4\)")),
]  # fmt: skip


def tensor(array):
    return torch.from_numpy(array) if isinstance(array, np.ndarray) else array


def as_lists(array):
    return array.tolist() if isinstance(array, np.ndarray) else array


def batch_of(x, y, w):
    return (x,) if y is None else (x, y) if w is None else (x, y, w)


class Batches(utils.PyDataset):
    def __init__(self, *batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.batch


class RowByRow(Dataset):
    def __init__(self, *arrays):
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, index):
        return tuple(a[index] for a in self.arrays)


ARRAYS = {"numpy": lambda a: a, "torch": tensor, "frame": frame, "list": as_lists}
STREAMS = {
    "generator": endless,
    "pydataset": Batches,
    "dataset": RowByRow,
    "loader": lambda *b: DataLoader(RowByRow(*b), batch_size=8),
}
STREAMS_OF_BATCHES = ("generator", "pydataset")
METHODS = {
    "fit": lambda m, x, n, **a: fit(m, x, **a, **({"steps_per_epoch": n} if n else {})),
    "evaluate": lambda m, x, n, **a: m.evaluate(x, verbose=0, steps=n, **a),
    "train_on_batch": lambda m, x, n, **a: m.train_on_batch(x, **a),
    "test_on_batch": lambda m, x, n, **a: m.test_on_batch(x, **a),
}


def validated(model, data, steps=None):
    """`fit` on data that is right, with this validation data."""
    y = {"categorical_crossentropy": np.eye(3)[Y], "mse": ONES}.get(model.loss, Y)
    if model.loss == "binary_crossentropy":
        y = np.ones((8, model.output_shape[-1]))
    fit(model, X, y, validation_data=data, validation_steps=steps)


def renamed(words):
    return [re.sub(r"\b(x|y|sample_weight)\b(?!_pred|\.)", r"\1(_val)?", w) for w in words]


def in_kinds(kinds, fits):
    """(kind, row) of all that can be."""
    pairs = [(kind, row) for kind in kinds for row in DATA + OF_ARRAYS if fits(kind, row)]
    return pytest.mark.parametrize(
        ("kind", "row"), pairs, ids=[f"{kind}-{row[0]}" for kind, row in pairs]
    )


# A tensor cannot hold text; a list of it is told in other words.
@in_kinds(ARRAYS, lambda kind, row: kind in ("numpy", "frame") or row not in OF_ARRAYS[1:])
def test_arrays(kind, row):
    name, make, x, y, w, error, words = row
    cast = ARRAYS[kind]
    for method, call in METHODS.items():
        if name.startswith("20") and kind == "list" and method.endswith("batch"):
            continue
        untouched(
            make(),
            lambda m, call=call: call(m, cast(x), None, y=cast(y), sample_weight=cast(w)),
            error,
            *words,
        )
    if y is not None:
        data = (cast(x), cast(y)) if w is None else (cast(x), cast(y), cast(w))
        untouched(make(), lambda m: validated(m, data), error, *renamed(words))


def in_step(row):
    """Whether the arrays have as many rows: those of a data set cannot but."""
    return len({len(array) for array in row[2:5] if array is not None}) == 1


@in_kinds(STREAMS, lambda kind, row: row in DATA and (kind in STREAMS_OF_BATCHES or in_step(row)))
def test_streams(kind, row):
    _, make, x, y, w, error, words = row
    made, steps = STREAMS[kind], 2 if kind == "generator" else None
    for method in ("fit", "evaluate"):
        call = METHODS[method]
        untouched(
            make(), lambda m, call=call: call(m, made(*batch_of(x, y, w)), steps), error, *words
        )
    data = made(*batch_of(x, y, w))
    untouched(make(), lambda m: validated(m, data, steps), error, *renamed(words))


OF_X = [row for row in DATA + OF_ARRAYS if row[0][:2] in ("2 ", "20") or row[0] == "23 text in x"]


@pytest.mark.parametrize("row", OF_X, ids=lambda row: row[0])
@pytest.mark.parametrize("method", ["predict", "predict_on_batch"])
def test_predictions(row, method):
    def predict(x):
        model, quiet = row[1](), {"verbose": 0} if method == "predict" else {}
        return getattr(model, method)(x, **quiet)

    say(lambda: predict(row[2]), row[5], *row[6])
    say(lambda: predict(frame(row[2])), row[5], *row[6])


def test_a_stream_that_goes_wrong_later_is_said_in_the_same_words():
    """Later batches cannot be seen before the first step."""

    def batches(bad):
        yield X, Y
        yield bad

    words = r"labels 0\.\.2", r"y\[3\] = 3", r"Dense\(4\)"
    say(lambda: fit(classifier(), batches((X, put(Y, 3, 3)))), ValueError, *words)
    say(lambda: classifier().evaluate(batches((X, put(Y, 3, 3))), verbose=0), ValueError, *words)
    say(lambda: fit(classifier(), batches((X,))), ValueError, "needs targets", "got no y")
    say(lambda: fit(classifier(), batches((X, Y[:3]))), ValueError, "as many rows")
    say(lambda: fit(classifier(), batches((X[:, :2], Y))), ValueError, "expects 4 features")
    model = classifier()
    model.train_on_batch(X, Y)
    say(lambda: model.train_on_batch(X, put(Y, 3, 3)), ValueError, *words)


def test_classes_are_looked_at_before_they_go_to_an_accelerator():
    """There a class that does not exist would end the process. Meta tensors stand for it."""
    from lightkeras import _data
    from lightkeras.models import _checks

    model = classifier()
    model.evaluate(X, Y, verbose=0)
    batches = _data.batches(iter([(X, Y), (X, put(Y, 3, 3))]))
    _checks.check_targets(model, batches)
    given = iter(batches.on("meta"))
    assert next(given)[1].is_meta
    say(lambda: next(given), ValueError, r"labels 0\.\.2", r"y\[3\] = 3", r"Dense\(4\)")
    assert _checks.guard(dense(1)) is None


@pytest.mark.parametrize("make", [subclassed, unbuilt], ids=["subclassed", "unbuilt"])
def test_models_that_know_no_shape(make):
    """They learn it from the training data; validation data is held against that."""
    y = Y if make is subclassed else ONES
    wrong = np.ones((8, 5), "float32")
    untouched(make(), lambda m: fit(m, X, y[:7]), ValueError, "8 samples, y has 7")
    model = make()
    say(lambda: fit(model, X, y, validation_data=(wrong, y)), ValueError, "4", r"\(\d, 5\)")
    assert int(model.optimizer.iterations) == 0
    fit(model, X, y)
    for method in ("evaluate", "train_on_batch", "test_on_batch"):
        say(lambda name=method: getattr(model, name)(wrong, y), ValueError, "4", r"\(\d, 5\)")
    say(lambda: model.predict(wrong, verbose=0), ValueError, "4", r"\(\d, 5\)")


# ---- arguments: (row, action, error, words) -----------------------------------------------------


class Collected(list):
    def add(self, row, model, action, *words, error=ValueError):
        self.append(pytest.param(model, action, error, words, id=str(row)))


REFUSED = Collected()
add = REFUSED.add
WHOLE = "positive integer"


# names
add(16, lk.Sequential, lambda m: m.compile("adma", "mse"), "'adma'", "mean 'adam'")
add("16 loss", lk.Sequential, lambda m: m.compile("adam", "msee"), "mean 'mse'")
add(17, lk.Sequential, lambda m: m.compile("adam", "mse", metrics=["acuracy"]), "metric 'acuracy'",
    "mean 'accuracy'")  # fmt: skip
add("17 weighted", lk.Sequential, lambda m: m.compile("adam", weighted_metrics=["acuracy"]),
    "mean 'accuracy'")  # fmt: skip
for argument, typo, right in (
    ("activation", "rellu", "relu"),
    ("kernel_initializer", "glorot_unifrm", "glorot_uniform"),
    ("kernel_regularizer", "l22", "l2"),
    ("bias_constraint", "nonnegg", "nonneg"),
):
    add(f"17 {argument}", None, lambda m, a=argument, t=typo: layers.Dense(2, **{a: t}),
        f"'{typo}'", f"mean '{right}'")  # fmt: skip
add("17 dtype", None, lambda m: layers.Dense(2, dtype="flot32"), "mean 'float32'")
add(97, classifier, lambda m: m.fit(X, Y, epoch=5), "'epoch'", "mean 'epochs'",
    error=TypeError)  # fmt: skip
add("97 flag", classifier, lambda m: fit(m, X, Y, device=2), "mean 'devices'",
    error=TypeError)  # fmt: skip
add("97 compile", lk.Sequential, lambda m: m.compile("adam", "mse", metric=["mae"]), r"compile\(\)",
    "mean 'metrics'", error=TypeError)  # fmt: skip
add("97 trainer", lambda: classifier(trainer={"device": 2}), lambda m: fit(m, X, Y),
    "mean 'devices'", error=TypeError)  # fmt: skip
add("97 evaluate", classifier, lambda m: m.evaluate(X, Y, batchsize=2), "'batch_size'",
    error=TypeError)  # fmt: skip
add("97 predict", classifier, lambda m: m.predict(X, batchsize=2), "'batch_size'",
    error=TypeError)  # fmt: skip
add("97 batch", classifier, lambda m: m.train_on_batch(X, Y, sampleweight=1),
    "mean 'sample_weight'", error=TypeError)  # fmt: skip
add(98, None, lambda m: layers.Dense(2, actvation="relu"), "mean 'activation'",
    error=TypeError)  # fmt: skip
add("98 optimizer", None, lambda m: optimizers.Adam(learning_rat=0.1), "'learning_rate'",
    error=TypeError)  # fmt: skip
add("110 layer", classifier, lambda m: m.get_layer("dens"), "no layer 'dens'")

# x, y and what belongs to them
add(28, classifier, lambda m: fit(m), r"fit\(\) needs x", r"fit\(x, y\)")
add("28 evaluate", classifier, lambda m: m.evaluate(), r"evaluate\(\) needs x")
add("28 predict", classifier, lambda m: m.predict(None), r"predict\(\) needs x")
add("28 batch", classifier, lambda m: m.train_on_batch(None), "x holds no array")
add("28 validation", classifier, lambda m: fit(m, X, Y, validation_data=(None, Y)),
    "validation_data has no x", r"\(x_val, y_val\)")  # fmt: skip
add("27 file", classifier, lambda m: fit(m, "data.csv", Y), "x is of type str",
    error=TypeError)  # fmt: skip
add("27 function", classifier, lambda m: fit(m, generator), r"Call it: x\(\)",
    error=TypeError)  # fmt: skip
add("27 ragged", classifier, lambda m: fit(m, [[1, 2], [3]], [0, 1]), "pad_sequences")
add("27 complex", classifier, lambda m: fit(m, X * 1j, Y), "imaginary parts would be lost",
    r"x\.real", error=TypeError)  # fmt: skip
add("101 column", lambda: classifier(shape=(4, 4)),
    lambda m: fit(m, np.ones((8, 4, 4)), Y[:, None]), r"Flatten\(\)")  # fmt: skip
add("27 symbolic", classifier, lambda m: fit(m, lk.Input((4,)), Y), "no numbers",
    error=TypeError)  # fmt: skip
add(44, classifier, lambda m: m.predict(X[0], verbose=0), r"\(4,\)", r"x\[None\]")
add("44 batch", classifier, lambda m: m.predict_on_batch(X[0]), r"x\[None\]")
add("44 fit", classifier, lambda m: fit(m, X[0], [1, 0, 1, 0]), r"x\[None\]")
add("60 dict", classifier, lambda m: fit(m, {"z": X}, Y), "without the input", "keys")
add("60 two inputs", classifier, lambda m: fit(m, [X, X], Y), "has 1 inputs", "got 2")
add("60 two targets", classifier, lambda m: fit(m, X, [Y, Y]), "y has 2 arrays")
add("60 one target", lambda: two_headed(loss="mse"), lambda m: fit(m, X, [ONES]), "y has 1 arrays",
    "2 outputs", "one array for each")  # fmt: skip
add("60 keys", lambda: two_headed(loss="mse"), lambda m: fit(m, X, {"a": ONES, "bb": ONES}),
    "mean 'b'")  # fmt: skip
add("60 keys of a dict", lambda: by_key(loss="mse"), lambda m: fit(m, X, {"a": ONES, "bb": ONES}),
    "keys a, bb, the outputs are a, b", "mean 'b'")  # fmt: skip
add("60 validation", lambda: two_headed(loss="mse"),
    lambda m: fit(m, X, [ONES, ONES], validation_data=(X, [ONES])), "y_val has 1")  # fmt: skip
add("13 second output", lambda: two_headed(loss="mse"), lambda m: fit(m, X, [ONES, X]),
    r"y\['b'\] of shape \(8, 4\)", r"Dense\(4\)")  # fmt: skip
add(100, None, lambda m: lk.Input(4), r"Input\(\(4,\)\)")
add("100 nothing", None, lambda m: lk.Input(), "no shape")
add("100 float", None, lambda m: lk.Input((4.5,)), "4.5", "whole numbers")
add("100 batch", None, lambda m: lk.Input((4,), batch_size=0), "batch_size=0")
add("100 both", None, lambda m: lk.Input((4,), batch_shape=(2, 4)), "Leave one out")
add("100 with batch", lambda: dense(1, shape=(8, 4)), lambda m: fit(m, X, ONES), r"\(None, 8, 4\)",
    "8 the batch size", r"Input\(\(4,\)\)")  # fmt: skip
add(101, lambda: classifier(shape=(4, 4)), lambda m: fit(m, np.ones((8, 4, 4)), Y), r"Flatten\(\)",
    "GlobalAveragePooling2D")  # fmt: skip

# numbers
for value in (0, -1, 2.5, "32", True):
    add(f"31 {value}", classifier, lambda m, v=value: fit(m, X, Y, batch_size=v), "batch_size is",
        WHOLE, "batch_size=32")  # fmt: skip
add("31 evaluate", classifier, lambda m: m.evaluate(X, Y, batch_size=0), WHOLE)
add("31 predict", classifier, lambda m: m.predict(X, batch_size=0), WHOLE)
add("31 validation", classifier,
    lambda m: fit(m, X, Y, validation_data=(X, Y), validation_batch_size=0),
    "validation_batch_size is 0")  # fmt: skip
add("33 steps", classifier, lambda m: fit(m, X, Y, steps_per_epoch=0),
    "steps_per_epoch")  # fmt: skip
add("33 execution", lk.Sequential, lambda m: m.compile("adam", steps_per_execution=0),
    "steps_per_execution is 0")  # fmt: skip
for value in (1.5, "5", -1, None, True):
    add(f"34 {value}", classifier, lambda m, v=value: fit(m, X, Y, epochs=v), r"fit\(epochs=",
        "whole number")  # fmt: skip
add("34 initial", classifier, lambda m: fit(m, X, Y, initial_epoch=-1),
    "initial_epoch=")  # fmt: skip
for value in (0, -1, 1.5, "a", None, [0]):
    add(f"36 {value}", classifier,
        lambda m, v=value: fit(m, X, Y, validation_data=(X, Y), validation_freq=v),
        "validation_freq=", "validation_freq=2")  # fmt: skip
for value in (1.5, 1, -0.2, "a"):
    add(f"37 {value}", classifier, lambda m, v=value: fit(m, X, Y, validation_split=v),
        "validation_split is", "0 to less than 1")  # fmt: skip
for value in ((X,), X, "abc", True, (X, Y, None, None)):
    add(f"40 {type(value).__name__}", classifier,
        lambda m, v=value: fit(m, X, Y, validation_data=v), r"\(x_val, y_val\)")  # fmt: skip
for value in (7, -1, "x", None):
    add(f"104 verbose {value}", classifier, lambda m, v=value: m.fit(X, Y, verbose=v), "verbose",
        "verbose=1")  # fmt: skip
add("104 evaluate", classifier, lambda m: m.evaluate(X, Y, verbose=7), "verbose 7")
add("104 shuffle", classifier, lambda m: fit(m, X, Y, shuffle="btch"), "'btch'",
    "'batch'")  # fmt: skip
add(106, None, lambda m: utils.to_categorical([0, 5], 3), "label 5", "3 classes")

# before compile, before build
for method in ("fit", "evaluate", "train_on_batch", "test_on_batch"):
    add(f"42 {method}", lambda: lk.Sequential([lk.Input((4,)), layers.Dense(1)]),
        lambda m, name=method: getattr(m, name)(X, ONES), rf"{method}\(\)", "not compiled",
        r"model\.compile\(")  # fmt: skip
add("42 lightning", lambda: lk.Sequential([layers.Dense(1)]), lambda m: m.to_lightning(),
    "not compiled")  # fmt: skip
add("45 empty", lambda: compiled(lk.Sequential()), lambda m: fit(m, X, X), "no layers")
add("45 pop", lk.Sequential, lambda m: m.pop(), "no layers")
add("45 no call", lambda: compiled(lk.Model()), lambda m: fit(m, X, Y), r"no call\(\)",
    error=TypeError)  # fmt: skip
add("45 class", None, lambda m: lk.Sequential([layers.Dense]), r"Dense\(\.\.\.\)",
    error=TypeError)  # fmt: skip
add("45 text", None, lambda m: lk.Sequential(["dense"]), "got str", error=TypeError)
add("45 names", None,
    lambda m: lk.Sequential([layers.Dense(1, name="q"), layers.Dense(1, name="q")]),
    "already has a layer 'q'")  # fmt: skip
add("45 no graph", None, lambda m: lk.Model(3, 4), "symbolic tensors")
add("45 apart", None, lambda m: lk.Model(lk.Input((3,)), layers.Dense(1)(lk.Input((3,)))),
    "not among the model's inputs")  # fmt: skip
add(53, classifier, lambda m: m.set_weights([1]), "2 weights, got 1",
    r"kernel \(4, 3\)")  # fmt: skip
add("53 shape", classifier, lambda m: m.set_weights([X, Y]), r"kernel.*\(4, 3\)",
    "8, 4")  # fmt: skip
add("53 none", classifier, lambda m: m.set_weights(None), "NoneType", "list of arrays",
    error=TypeError)  # fmt: skip

# layers
for value in (True, 0, -1, 2.5, "3", None):
    add(f"46 {value}", None, lambda m, v=value: layers.Dense(v), "units=",
        "whole number")  # fmt: skip
add("46 filters", None, lambda m: layers.Conv2D(True, 3), "filters=True")
add("46 lstm", None, lambda m: layers.LSTM(2.5), "units=2.5")
add("46 name", None, lambda m: layers.Dense(2, name=3), "name=3")
add(47, None, lambda m: layers.Conv2D(3, 9)(lk.Input((5, 5, 1))), r"\(9, 9\)", r"\(5, 5\)",
    'padding="same"')  # fmt: skip
add("47 pool", None, lambda m: layers.MaxPooling2D(9)(lk.Input((5, 5, 1))), r"\(9, 9\)")
add(50, None, lambda m: layers.Dropout(50), "rate=50", "rate=0.5")
add("50 recurrent", None, lambda m: layers.LSTM(3, dropout=20), "dropout")
add(52, None, lambda m: layers.LSTM(3)(lk.Input((4,))), r"\(batch, time, features\)")
add("52 conv", None, lambda m: layers.Conv2D(3, 3)(lk.Input((28, 28))), "4 axes")
add("52 built", None, lambda m: layers.Dense(2)(torch.ones(3)), "at least 2 axes")
add("52 later", classifier, lambda m: m(X[:, :3]), "expects 4 features")
for value in ("abc", None, 3, [1, 2]):
    add(f"54 {value}", None, lambda m, v=value: layers.Dense(2)(v), "Dense 'dense", "got",
        error=TypeError)  # fmt: skip
    add(f"54 model {value}", classifier, lambda m, v=value: m.layers[0](v), "got",
        error=TypeError)  # fmt: skip
add("54 list", None, lambda m: layers.Dense(2)([lk.Input((4,)), lk.Input((4,))]), "a list of 2",
    "Concatenate", error=TypeError)  # fmt: skip
add("54 sum", None, lambda m: lk.Input((4,)) + lk.Input((5,)),
    r"\(None, 4\) and \(None, 5\)")  # fmt: skip
add("54 if", None, lambda m: bool(lk.Input((4,)) > 0), "truth value", error=TypeError)
add("54 dtype", None, lambda m: layers.ELU()(np.ones((2, 3), "uint8")),
    r"\(2, 3\) uint8")  # fmt: skip

# several outputs
add(61, None, lambda m: two_headed(loss={"a": "mse", "bb": "mse"}), "'bb'", "mean 'b'")
add("61 weights", None, lambda m: two_headed(loss="mse", loss_weights={"z": 1.0}),
    "'z'")  # fmt: skip
add("61 metrics", None, lambda m: two_headed(loss="mse", metrics={"c": ["mae"]}), "'c'")
add(62, None, lambda m: two_headed(loss="mse", metrics=["mae", "mse", "mae"]),
    "3 entries for 2 outputs", "list of lists")  # fmt: skip
add("62 losses", None, lambda m: two_headed(loss=["mse"] * 3), "3 entries for 2")
add("63 text", None, lambda m: two_headed(loss="mse", loss_weights=["a", 1]), "'a'")
add("63 NaN", None, lambda m: two_headed(loss="mse", loss_weights=[NAN, 1]), "nan")

# weights
add("65 text", classifier, lambda m: fit(m, X, Y, class_weight="balanced"), "class_weight",
    error=TypeError)  # fmt: skip
add(67, classifier, lambda m: fit(m, X, Y, class_weight={0: -1, 1: 1, 2: 1}),
    r"class_weight\[0\] is -1")  # fmt: skip
add("67 batch", classifier, lambda m: m.train_on_batch(X, Y, class_weight={0: -1}),
    "-1")  # fmt: skip
add("67 NaN", classifier, lambda m: fit(m, X, Y, class_weight={0: NAN}), "nan")
add("67 key", classifier, lambda m: fit(m, X, Y, class_weight={"cat": 1}), "'cat'")
add("67 outputs", lambda: two_headed(loss="mse"),
    lambda m: fit(m, X, [ONES, ONES], class_weight={0: 1}), "2 outputs")  # fmt: skip

# callbacks
STOP = callbacks.EarlyStopping
SAVE = callbacks.ModelCheckpoint
add(70, classifier, lambda m: fit(m, X, Y, callbacks=[STOP("val_loss")]), "no validation",
    "validation_data", "monitor='loss'")  # fmt: skip
add("70 typo", classifier, lambda m: fit(m, X, Y, callbacks=[STOP("los")]),
    "mean 'loss'")  # fmt: skip
add("70 plateau", classifier, lambda m: fit(m, X, Y, callbacks=[callbacks.ReduceLROnPlateau()]),
    "no validation")  # fmt: skip
add(71, None, lambda m: STOP(mode="minn"), "'minn'", "mean 'min'")
add(73, classifier,
    lambda m: fit(m, X, Y, callbacks=[SAVE("m.keras", "accuracy", save_best_only=True)]),
    "'accuracy'", "metrics=")  # fmt: skip
add("73 validation", classifier,
    lambda m: fit(m, X, Y, callbacks=[SAVE("m.keras", save_best_only=True)]), "no validation",
    )  # fmt: skip
add(74, classifier, lambda m: fit(m, X, Y, callbacks=[SAVE("{foo}.keras")]), "{foo}",
    "epoch, loss")  # fmt: skip
add("75 no callback", classifier, lambda m: fit(m, X, Y, callbacks=[3]), "got int",
    error=TypeError)  # fmt: skip

# losses, metrics and the last layer


def softmax_and_dense():
    x = lk.Input((4,))
    return lk.Model(x, [layers.Dense(2)(x), layers.Dense(1, activation="softmax")(x)])


add(80, None, lambda m: dense(1, "softmax", "binary_crossentropy"), "always 1",
    "sigmoid")  # fmt: skip
add("80 layer", lambda: lk.Sequential([lk.Input((4,)), layers.Dense(1), layers.Softmax()]),
    lambda m: m.compile("adam", "mse"), "always 1")  # fmt: skip
add("80 unbuilt", lambda: compiled(lk.Sequential([layers.Dense(1, activation="softmax")])),
    lambda m: fit(m, X, ONES), "always 1")  # fmt: skip
add("80 second", softmax_and_dense, lambda m: m.compile("adam", ["mse", "mse"]),
    "always 1")  # fmt: skip
add(82, None, lambda m: dense(1, "sigmoid", "categorical_crossentropy"), "always 0",
    "binary_crossentropy", r"Dense\(2, activation='softmax'\)")  # fmt: skip
add("82 sparse", None, lambda m: dense(1, None, "sparse_categorical_crossentropy"),
    "always 0")  # fmt: skip
add(88, lk.Sequential, lambda m: m.compile("adam", losses.MeanSquaredError),
    r"MeanSquaredError\(\)")  # fmt: skip
add("88 metric", lk.Sequential, lambda m: m.compile("adam", metrics=[metrics.AUC]),
    r"AUC\(\)")  # fmt: skip
add("88 optimizer", lk.Sequential, lambda m: m.compile(optimizers.Adam), r"Adam\(\)")
add("88 torch", lk.Sequential, lambda m: m.compile(torch.optim.Adam),
    r"torch\.optim\.Adam\(model\.parameters\(\)\)")  # fmt: skip
add("88 number", lk.Sequential, lambda m: m.compile("adam", 3), "Expected a loss, got int",
    error=TypeError)  # fmt: skip
add("88 trainer", lk.Sequential, lambda m: m.compile("adam", trainer=3), "trainer=",
    error=TypeError)  # fmt: skip
add("88 jit", lk.Sequential, lambda m: m.compile("adam", jit_compile="x"),
    "jit_compile")  # fmt: skip
add("90 metric", lambda: classifier(metrics=["categorical_accuracy"]), lambda m: fit(m, X, Y),
    "sparse_categorical_accuracy")  # fmt: skip


def nothing(y_true, y_pred):
    pass


def constant(y_true, y_pred):
    return torch.tensor(1.0)


add(91, lambda: dense(1, loss=nothing), lambda m: fit(m, X, ONES), "'nothing'", "None",
    "return")  # fmt: skip
add("91 constant", lambda: dense(1, loss=constant), lambda m: fit(m, X, ONES), "'constant'",
    "no gradient", "y_pred")  # fmt: skip
add("91 text", lambda: dense(1, loss=lambda a, b: "x"), lambda m: fit(m, X, ONES),
    "str")  # fmt: skip
add("91 metric", lambda: dense(1, metrics=[nothing]), lambda m: fit(m, X, ONES), "metric 'nothing'",
    "None")  # fmt: skip
add("91 arguments", lk.Sequential, lambda m: m.compile("adam", lambda y: y), r"f\(y_true, y_pred\)",
    error=TypeError)  # fmt: skip
add("91 none", lambda: dense(1, loss=None), lambda m: fit(m, X, ONES), "no loss")
add("91 no optimizer", lambda: dense(1, optimizer=None), lambda m: fit(m, X, ONES),
    "without an optimizer")  # fmt: skip

# optimizers
for value in (-1, NAN, math.inf, "a"):
    add(f"85 {value}", None, lambda m, v=value: optimizers.Adam(v), "learning_rate",
        error=(TypeError, ValueError)[ value != "a"])  # fmt: skip
for name, value in (("beta_1", 2), ("clipnorm", -1), ("weight_decay", -1), ("ema_momentum", 2)):
    add(f"86 {name}", None,
        lambda m, n=name, v=value: optimizers.Adam(**{n: v, "use_ema": n == "ema_momentum"}), name,
        "out of range")  # fmt: skip
add("86 SGD", None, lambda m: optimizers.SGD(momentum=2), "momentum")

# generators
add(94, classifier, lambda m: fit(m, generator(0), steps_per_epoch=5), "no batches")
add("94 epochs", classifier, lambda m: fit(m, generator(2), epochs=2), "read once", "2 epochs",
    "steps_per_epoch")  # fmt: skip
add("94 y", classifier, lambda m: fit(m, generator(2), Y), "brings its own",
    "Leave y out")  # fmt: skip
add("94 split", classifier, lambda m: fit(m, generator(2), validation_split=0.2),
    "Only arrays can be split")  # fmt: skip
add("94 parts", classifier, lambda m: fit(m, iter([(X, Y, Y, Y)])), "4 parts")
add("94 none", classifier, lambda m: fit(m, iter([None])), "no x")


@pytest.mark.parametrize(("model", "action", "error", "words"), REFUSED)
def test_refused(model, action, error, words):
    if model is None:
        say(lambda: action(None), error, *words)
    else:
        untouched(model(), action, error, *words)


def test_a_generator_that_ends_early_is_told_with_counts():  # row 94
    model = classifier()
    say(lambda: fit(model, generator(2), steps_per_epoch=5, epochs=2), ValueError, "2 of 5 steps",
        "epoch 1", "while True")  # fmt: skip


def test_one_optimizer_belongs_to_one_model():  # row 103
    shared = optimizers.Adam()
    fit(dense(1, optimizer=shared), X, ONES)
    other = dense(1, optimizer=shared)
    before = other.get_weights()
    say(lambda: fit(other, X, ONES), ValueError, "already belongs", "from_config")
    np.testing.assert_array_equal(before[0], other.get_weights()[0])
    theirs = torch.optim.SGD(other.parameters(), 0.1)
    third = dense(1, optimizer=theirs)
    say(lambda: fit(third, X, ONES), ValueError, "no parameter of", r"model\.parameters\(\)")


# ---- files: rows 55 to 59 -----------------------------------------------------------------------


def saved(tmp_path, name, model=None):
    path = tmp_path / name
    model = model or classifier()
    (model.save if name.endswith(".keras") else model.save_weights)(path)
    return path


@pytest.mark.parametrize("name", ["w.weights.h5", "w.safetensors"])
def test_weights_of_another_architecture(tmp_path, name):
    pytest.importorskip({"w.weights.h5": "h5py"}.get(name, "safetensors"))
    path = saved(tmp_path, name, dense(5))
    untouched(dense(3), lambda m: m.load_weights(path), load_error(), "kernel", "bias",
              r"\((4, 5|5, 4)\), here \((4, 3|3, 4)\)", "skip_mismatch=True")  # fmt: skip
    deep = lk.Sequential([lk.Input((4,)), layers.Dense(3), layers.Dense(2)])
    path = saved(tmp_path, "deep-" + name, deep)
    untouched(dense(3), lambda m: m.load_weights(path), load_error(), "skip_mismatch")
    path = saved(tmp_path, "flat-" + name, dense(3))
    untouched(deep, lambda m: m.load_weights(path), load_error(), "dense")


def load_error():
    from lightkeras import saving

    return saving.LoadError


DAMAGED = {
    "empty": (lambda data: b"", "0 bytes|empty"),
    "truncated": (lambda data: data[: len(data) // 2], "damaged|cut|not a"),
    "text": (lambda data: b"weights" * 99, "not a|no .keras|declares"),
}


@pytest.mark.parametrize("name", ["m.keras", "w.weights.h5", "w.safetensors"])
@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_files(tmp_path, name, damage):
    pytest.importorskip("h5py")
    path = saved(tmp_path, name)
    path.write_bytes(DAMAGED[damage][0](path.read_bytes()))
    model = classifier()
    load = (lambda m: models.load_model(path)) if name == "m.keras" else (
        lambda m: m.load_weights(path))  # fmt: skip
    untouched(model, load, load_error(), re.escape(name), DAMAGED[damage][1])


def test_files_that_are_not_there_and_folders_that_are(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape("none.keras")):
        models.load_model(tmp_path / "none.keras")
    with pytest.raises(FileNotFoundError, match=re.escape("none.weights.h5")):
        classifier().load_weights(tmp_path / "none.weights.h5")
    say(lambda: classifier().save(tmp_path / "model.kers"), ValueError, ".keras")
    path = tmp_path / "new" / "folder" / "m.keras"
    try:
        classifier().save(path)
    except FileNotFoundError as error:
        assert str(path.parent) in str(error)
    else:
        assert path.exists()


# ---- what is said once, and goes on -------------------------------------------------------------

WARNED = Collected()


def warn(row, action, *words):
    WARNED.append(pytest.param(action, words, id=str(row)))


WIDE = np.repeat(X, 20, 0), np.repeat(Y, 20)
warn(6, lambda: fit(dense(1), put(X, (1, 1), NAN), ONES), "x contains NaN", r"\[1, 1\]")
warn("6 stream", lambda: fit(dense(1), endless(put(X, (1, 1), NAN), ONES), steps_per_epoch=1),
    "x contains NaN")  # fmt: skip
warn(35, lambda: fit(classifier(), X, Y, epochs=2, initial_epoch=5), "0 epochs will run",
    "epochs=10")  # fmt: skip
warn(49, lambda: layers.Conv2D(2, 3)(np.ones((2, 3, 32, 32), "float32")),
    "channels_first")  # fmt: skip
warn(64, lambda: fit(classifier(), X, Y, class_weight={0: 1.0}), "classes 1, 2")
warn(67, lambda: fit(classifier(), X, Y, class_weight={0: 1, 1: 1, 2: 1, 9: 3.0}),
    "class 9")  # fmt: skip
warn(68, lambda: fit(classifier(), X, Y, sample_weight=np.zeros(8)),
    "0 for every sample")  # fmt: skip
warn(76, lambda: fit(classifier(), BYTES, Y), "uint8", "/ 255", "Rescaling")
warn("76 predict", lambda: classifier().predict(BYTES, verbose=0), "uint8")
warn(77, lambda: classifier(loss=losses.SparseCategoricalCrossentropy(from_logits=True)),
    "from_logits=True", "softmax")  # fmt: skip
warn("77 sigmoid", lambda: dense(1, "sigmoid", losses.BinaryCrossentropy(from_logits=True)),
    "sigmoid")  # fmt: skip
warn("78 no activation", lambda: dense(3, None, "categorical_crossentropy"), "linear",
    "softmax")  # fmt: skip
warn(79, lambda: dense(3, "sigmoid", "categorical_crossentropy"), "add up to 1",
    "softmax")  # fmt: skip
warn("79 targets", lambda: fit(one_hot_classifier(), X, 5 * np.eye(3)[Y]), "0 to 1",
    r"y\[0, 0\] = 5")  # fmt: skip
warn(83, lambda: fit(classifier(10), *WIDE), "10 outputs", "7 classes", r"Dense\(3\)")
warn(85, lambda: optimizers.Adam(0), "learning_rate=0")
warn(95, lambda: fit(classifier(), generator(2), batch_size=3),
    "batch_size=3 is not used")  # fmt: skip


def frozen():
    model = dense(1)
    model.trainable = False
    model.compile("adam", "mse")
    fit(model, X, ONES, epochs=3)


warn(92, frozen, "no trainable weights")


@pytest.mark.parametrize(("action", "words"), WARNED)
def test_warned(action, words):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
    texts = [str(w.message) for w in caught]
    assert len(texts) == 1, texts
    assert issubclass(caught[0].category, UserWarning)
    for word in words:
        assert re.search(word, texts[0]), texts[0]
    assert len(texts[0]) < 400
    assert Path(caught[0].filename).parent == Path(__file__).parent  # where the mistake is


def test_an_old_spelling_is_translated_with_one_warning():  # row 98
    from lightkeras import _config

    _config._warned.discard(("Adam", "lr"))
    with pytest.warns(UserWarning, match="'lr'.*'learning_rate'") as caught:
        assert float(optimizers.Adam(lr=0.5).learning_rate) == 0.5
        optimizers.Adam(lr=0.5)
    assert len(caught) == 1


# ---- cost ---------------------------------------------------------------------------------------


def test_looking_at_many_rows_is_quick():
    """All that is looked at in 10^5 rows takes less than 0.2 seconds."""
    from lightkeras import _data
    from lightkeras.models import _checks

    x, y = np.ones((100_000, 4), "float32"), np.arange(100_000) % 3
    model = classifier()
    model.evaluate(X, Y, verbose=0)
    took = []
    for _ in range(3):
        start = time.process_time()
        batches = _data.batches(x, y, np.ones(100_000, "float32"))
        _checks.check_inputs(model, batches)
        _checks.check_targets(model, batches)
        took.append(time.process_time() - start)
    assert min(took) < 0.2


def test_targets_are_looked_at_once_and_not_in_a_step(monkeypatch):
    looks = []
    original = losses.check_targets
    monkeypatch.setattr(
        losses, "check_targets", lambda *a, **k: looks.append(1) or original(*a, **k)
    )
    model = classifier()
    fit(model, X, Y, epochs=3, batch_size=2)
    assert len(looks) == 1
    for _ in range(3):
        model.train_on_batch(X, Y)
    assert len(looks) == 1


def test_a_first_look_reads_one_batch():
    read = []

    class Counted(Batches):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    fit(classifier(), Counted(X, Y), validation_data=Counted(X, Y), shuffle=False)
    assert read == [0, 0, 0, 1, 0, 1]  # a look at each, training, validation
