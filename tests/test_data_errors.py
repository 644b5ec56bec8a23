"""Wrong data: the sentence for each, before the first step, and none where data is right."""

import datetime
import itertools
import pickle
import time
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset

from lightkeras._data import (
    batches,
    one_batch,
    split,
    unpack_validation,
    validation_of,
    warn_unscaled,
)
from lightkeras.utils.dataset import (
    PyDataset,
    Sequence,
    pack_x_y_sample_weight,
    split_dataset,
    unpack_x_y_sample_weight,
)

X = np.zeros((8, 3), "float32")
Y = np.arange(8) % 3


def put(value, where, dtype="float32"):
    out = np.zeros((8, 3), dtype)
    out[where] = value
    return out


class Data(PyDataset):
    def __init__(self, count=2):
        self.count = count  # the base's constructor may be forgotten

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return X, Y


class Endless(Data):
    num_batches = None


def stream(count):
    for _ in range(count):
        yield X, Y


def used_up():
    generator = stream(1)
    list(generator)
    return generator


def run(made, epochs=1, check=False):
    if check:
        made.check_epochs(epochs)
    for _ in range(epochs):
        list(made)


FINITE = "Only finite numbers are accepted. Drop or fill those rows."
ENCODE = (
    "Only numbers are accepted. Encode it, for example with sklearn's LabelEncoder, "
    "pandas.factorize or a StringLookup layer."
)
ENCODE_X = (
    "Only numbers are accepted. Encode it, for example with sklearn's LabelEncoder, "
    "pandas.factorize or a StringLookup or TextVectorization layer after "
    "Input((1,), dtype='string')."
)
FILL = "Only numbers are accepted. Fill them or drop the rows, for example with fillna(0)."
SPLIT = (
    "A fraction of the rows is accepted, from 0 to less than 1. "
    "Write validation_split=0.2 for the last fifth."
)
SIZE = "A positive integer is accepted, or None. Write batch_size=32."
PAIR = (
    "A pair of x and y is accepted, or with weights three, or a loader. "
    "Write validation_data=(x_val, y_val)."
)
LASTS = (
    "A generator is read once and must last for the steps of all epochs. Let it loop "
    "(while True:), lower the steps, or give a PyDataset or DataLoader."
)
WEIGHT = "Finite weights of 0 or more are accepted. Write for example 1.0."
KINDS = (
    "Arrays, tensors, lists of numbers, frames, and lists or dicts of them are accepted, "
    "DataLoader, Dataset, PyDataset and generators too."
)

ERRORS = [
    # rows
    (
        lambda: batches(X, Y[:7]),
        "x has 8 samples, y has 7. Every array needs one row per sample. "
        "Compare x (8, 3) with y (7,).",
    ),
    (
        lambda: batches({"a": X, "b": X[:1]}, Y),
        "x['a'] has 8 samples, x['b'] has 1. Every array needs one row per sample. "
        "Compare x['a'] (8, 3) with x['b'] (1, 3).",
    ),
    (
        lambda: batches([np.zeros(4)] * 8, Y),
        "x[0] has 4 samples, y has 8. Every array needs one row per sample. "
        "x is a list of 8 arrays, taken as 8 inputs: np.stack(x) makes it one.",
    ),
    (
        lambda: batches(X, Y, Y[:7], caller="validate"),
        "x_val has 8 samples, sample_weight_val has 7. Every array needs one row per sample. "
        "Compare x_val (8, 3) with sample_weight_val (7,).",
    ),
    (
        lambda: batches(X[:0], Y[:0]),
        "x has 0 samples. At least one is accepted. Look at how it was cut or filtered: "
        "its shape is (0, 3).",
    ),
    (lambda: batches([]), "x has 0 samples."),
    (lambda: batches({}), "x holds no array. At least one is accepted. Give the data as x."),
    (
        lambda: batches(None, Y),
        "fit() needs x. Arrays, tensors, lists, frames, loaders, datasets and generators are "
        "accepted. Write fit(x, y).",
    ),
    (lambda: batches(caller="predict"), "predict() needs x."),
    # values
    (
        lambda: batches(X, put(np.nan, (2, 1))),
        f"y contains NaN: 1 of 24 values, the first at [2, 1]. {FINITE}",
    ),
    (
        lambda: batches(X, {"a": Y, "b": put(-np.inf, 4)}),
        f"y['b'] contains infinite values: 3 of 24 values, the first at [4, 0]. {FINITE}",
    ),
    (lambda: batches(X, torch.tensor(put(np.nan, 7))), "y contains NaN: 3 of 24 values"),
    (lambda: batches(X, pd.Series([1, None] * 4)), "y contains NaN: 4 of 8 values"),
    (
        lambda: batches(X, Y, put(np.nan, 0)[:, 0]),
        f"sample_weight contains NaN: 1 of 8 values, the first at [0]. {FINITE}",
    ),
    (
        lambda: batches(put(1e300, (0, 0), "float64")),
        "x has values that exceed float32. Magnitudes up to 3.4e+38 are accepted. "
        "Scale the data, or call set_floatx('float64').",
    ),
    (lambda: batches(X, put(-1e39, 1, "float64")), "y has values that exceed float32."),
    # what is no number
    (lambda: batches(X, ["cat", "dog"] * 4), f"y holds text ('cat', 'dog'). {ENCODE}"),
    (lambda: batches(X[:1], np.array([b"a"])), f"y holds text (b'a'). {ENCODE}"),
    (lambda: batches(np.array([1, "a"], dtype=object)), f"x holds text ('a'). {ENCODE_X}"),
    (
        lambda: batches(pd.DataFrame({"age": [1.0, 2], "sex": ["m", "f"]})),
        f"x['sex'] holds text ('f', 'm'). {ENCODE_X}",
    ),
    (lambda: batches(X[:2], pd.Series(["a", "b"], dtype="category")), "y holds text ('a', 'b')."),
    (lambda: batches(X[:1], ["x" * 50]), f"y holds text ('{'x' * 20}')."),
    (lambda: batches(np.array(["a", None], object)), "x has missing values among its strings."),
    (
        lambda: batches(pd.DataFrame({"sex": ["m", "f"], "age": [1.0, 2]})),
        "x is a frame of strings and numbers. Columns of strings have an Input of their own. "
        "Write dict(x) for Inputs named as the columns, or encode them.",
    ),
    (
        lambda: batches(X, [1, None, 2] + [0] * 5),
        f"y has missing values, the first in row 1. {FILL}",
    ),
    (
        lambda: batches(np.array(["2020-01-01"], "M8[D]")),
        "x holds dates. Only numbers are accepted. Convert them, for example to days: "
        "(x - x.min()) / np.timedelta64(1, 'D').",
    ),
    (
        lambda: batches(np.array([datetime.date.today()], dtype=object)),
        "x holds objects of type date. Only numbers are accepted. Convert it, for example "
        "x.astype('float32').",
    ),
    (
        lambda: batches([[1, 2], [3]]),
        "The rows of x have different lengths. All rows of an array have one shape. "
        "Pad them: pad_sequences(x, maxlen=...).",
    ),
    (
        lambda: batches(np.array([[1, 2], [3]], dtype=object)),
        "The rows of x have different lengths.",
    ),
    (
        lambda: batches(scipy.sparse.eye(3).tocsr()),
        "x is a sparse csr_matrix. Dense arrays are accepted. Write x.toarray().",
    ),
    (
        lambda: batches(np.array([2**64 - 1], dtype="uint64")),
        "x holds integers beyond 2**63 - 1. Integers are held as int64. Write x.astype('float32').",
    ),
    (
        lambda: batches(5),
        "x is a single number. An array with one row per sample is accepted. Write [x].",
    ),
    (
        lambda: batches("data.csv"),
        f"x is of type str. {KINDS} Convert it with np.asarray.",
    ),
    (lambda: batches(stream), f"x is of type function. {KINDS} Call it: x()."),
    (lambda: batches({1, 2}), f"x is of type set. {KINDS} Convert it with np.asarray."),
    # arguments
    (lambda: batches(X, batch_size=0), f"batch_size is 0. {SIZE}"),
    (lambda: batches(X, batch_size=-1), f"batch_size is -1. {SIZE}"),
    (lambda: batches(X, batch_size=2.5), f"batch_size is 2.5. {SIZE}"),
    (lambda: batches(X, batch_size="32"), f"batch_size is '32'. {SIZE}"),
    (lambda: batches(X, batch_size=True), f"batch_size is True. {SIZE}"),
    (
        lambda: batches(X, steps=2.5),
        "steps_per_epoch is 2.5. A whole number of batches is accepted. Write steps_per_epoch=3.",
    ),
    (
        lambda: batches(X, steps=0, caller="validate"),
        "validation_steps is 0. A positive integer is accepted, or None. "
        "Write validation_steps=100.",
    ),
    (lambda: batches(X, steps="a", caller="evaluate"), "steps is 'a'. A positive integer"),
    (
        lambda: batches(X, shuffle="btch"),
        "shuffle is 'btch'. True, False and 'batch' are accepted. Write shuffle=True.",
    ),
    (lambda: split(X, Y, None, 1.5), f"validation_split is 1.5. {SPLIT}"),
    (lambda: split(X, Y, None, -0.2), f"validation_split is -0.2. {SPLIT}"),
    (lambda: split(X, Y, None, 1), f"validation_split is 1. {SPLIT}"),
    (lambda: split(X, Y, None, True), f"validation_split is True. {SPLIT}"),
    (lambda: split(X, Y, None, "0.2"), f"validation_split is '0.2'. {SPLIT}"),
    (lambda: split(X, Y, None, np.nan), f"validation_split is nan. {SPLIT}"),
    (
        lambda: split(X[:2], Y[:2], None, 0.9),
        "validation_split=0.9 of 2 samples leaves none to train on. Both parts need at least one. "
        "Give more data or another fraction.",
    ),
    (
        lambda: split(Data(), None, None, 0.2),
        "validation_split is given, but x is of type Data. Only arrays can be split. "
        "Give validation_data=..., or split a Dataset with utils.split_dataset.",
    ),
    (lambda: split(X, Y[:5], None, 0.2), "x has 8 samples, y has 5."),
    (
        lambda: unpack_validation((X,)),
        f"validation_data is of type tuple and length 1. {PAIR}",
    ),
    (lambda: unpack_validation(X), f"validation_data is of type ndarray. {PAIR}"),
    (
        lambda: unpack_validation([X] * 4),
        f"validation_data is of type list and length 4. {PAIR}",
    ),
    (lambda: unpack_validation({"a": X}), f"validation_data is of type dict. {PAIR}"),
    # what gives batches
    (
        lambda: run(batches(stream(7), steps=5), 2, check=True),
        f"x ended after 2 of 5 steps in epoch 2. {LASTS}",
    ),
    (
        lambda: run(batches(stream(2), steps=3, caller="validate"), 2, check=True),
        f"validation_data ended after 2 of 3 steps in epoch 1. {LASTS}",
    ),
    (
        lambda: run(batches(stream(0))),
        "x gave no batches. At least one is accepted. Look at it with next(iter(x)).",
    ),
    (lambda: batches(stream(0)).peek(), "x gave no batches."),
    (
        lambda: run(batches(stream(2)), 2),
        "x is a generator that is used up. It can be read once. Make a new one, or give a "
        "PyDataset or DataLoader.",
    ),
    (lambda: run(batches(used_up(), caller="evaluate")), "x is a generator that is used up."),
    (
        lambda: batches(stream(2)).check_epochs(5),
        "x is a generator, which can be read once, for 5 epochs. A number of steps, and a "
        "generator that lasts, are accepted. Write steps_per_epoch=100 or validation_steps=100, "
        "or give a PyDataset or DataLoader.",
    ),
    (
        lambda: batches(stream(1), Y),
        "y is given, but x is of type generator, which brings its own. Its batches "
        "(x, y, sample_weight) are used. Leave y out.",
    ),
    (lambda: batches(Data(), sample_weight=Y), "sample_weight is given, but x is of type Data,"),
    (
        lambda: batches(TensorDataset(torch.zeros(2)), Y[:2]),
        "y is given, but x is of type TensorDataset,",
    ),
    (
        lambda: batches(Endless()),
        "x is a PyDataset without an end. A number of steps is needed. "
        "Write steps_per_epoch=100, validation_steps=100 or steps=100.",
    ),
    (
        lambda: batches(Data(0)),
        "x has 0 batches. At least one is accepted. Look at its __len__.",
    ),
    (
        lambda: batches(Subset(TensorDataset(torch.zeros(3)), [])),
        "x has 0 samples. At least one is accepted. Look at len(x).",
    ),
    (
        lambda: run(batches(iter([(1, 2, 3, 4)]))),
        "A batch is a tuple of 4 parts. Accepted are x, (x,), (x, y) and (x, y, sample_weight). "
        "Put several inputs together: ((a, b), y).",
    ),
    (
        lambda: run(batches(iter([(None, Y)]))),
        "A batch has no x. Accepted are x, (x,), (x, y) and (x, y, sample_weight). "
        "Look at what the loader gives: next(iter(loader)).",
    ),
    # weights
    (
        lambda: batches(X, [Y, Y], {"a": Y}),
        "sample_weight and y differ in structure. One array for all outputs is accepted, or one "
        "per output in the structure of y. Here y is ['*', '*'], sample_weight {'a': '*'}.",
    ),
    (
        lambda: batches(X, [Y, Y], X + 1),
        "sample_weight has shape (8, 3) for several outputs. One array of one weight per row is "
        "accepted, or one array per output. Give them in the structure of y.",
    ),
    (lambda: batches(X, Y, class_weight={0: -1}), f"class_weight[0] is -1. {WEIGHT}"),
    (lambda: batches(X, Y, class_weight={0: np.nan}), f"class_weight[0] is nan. {WEIGHT}"),
    (lambda: batches(X, Y, class_weight=[1, "a"]), f"class_weight[1] is 'a'. {WEIGHT}"),
    (
        lambda: batches(X, Y, class_weight={"cat": 1.0}),
        "class_weight has the class 'cat'. Class numbers are accepted. Write {0: 1.0, 1: 5.0}.",
    ),
    (
        lambda: batches(X, Y, class_weight="balanced"),
        "class_weight is of type str. A dict of classes and weights is accepted, or a list of "
        "weights. Write {0: 1.0, 1: 5.0}.",
    ),
    (lambda: batches(X, Y, class_weight={}), "class_weight is empty."),
    (
        lambda: batches(X, Y, class_weight={0: 1, 10**12: 1}),
        "class_weight names classes from 0 to 1000000000000. Classes are counted from 0. "
        "Number them, for example with np.unique(y, return_inverse=True).",
    ),
    (
        lambda: batches(X, class_weight={0: 1}),
        "class_weight needs y. Targets with one class per row are accepted. "
        "Give y, or drop class_weight.",
    ),
    (
        lambda: batches(X, [Y, Y], class_weight={0: 1}),
        "class_weight is given, but y has 2 outputs. Models with a single output are accepted. "
        "Give one sample_weight per output instead.",
    ),
    (
        lambda: batches(X, np.zeros((8, 2, 2)), class_weight={0: 1}),
        "class_weight is given, but y has shape (8, 2, 2). Targets of one class per row are "
        "accepted, (n,) or (n, classes). Give a sample_weight shaped like y instead.",
    ),
    # PyDataset, split_dataset
    (lambda: PyDataset()[0], "PyDataset has no __getitem__."),
    (lambda: PyDataset().num_batches, "PyDataset has no __len__."),
    (lambda: split_dataset(X), "split_dataset() got neither left_size nor right_size."),
    (
        lambda: split_dataset(X, 0.9, 0.2),
        "left_size=0.9 and right_size=0.2 make parts of 7 and 2 rows of 8. Both need at least "
        "one, and no more than 8 together. Change the sizes.",
    ),
    (
        lambda: split_dataset(X, 9),
        "left_size is 9. A number between 0 and 8, both excluded, is accepted. "
        "Write left_size=0.8 for 80 % of the rows.",
    ),
    (lambda: split_dataset(X, "a"), "left_size is of type str."),
    (lambda: split_dataset([X, Y[:2]], 0.5), "split_dataset() got arrays of 8, 2 rows."),
    (lambda: split_dataset("a", 0.5), "split_dataset() got data of type str."),
    (lambda: split_dataset(X, 0.5, preferred_backend="jax"), "preferred_backend is 'jax'."),
]


@pytest.mark.parametrize("wrong, text", ERRORS, ids=[text[:40] for _, text in ERRORS])
def test_refusals(wrong, text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((ValueError, TypeError)) as caught:
            wrong()
    said = str(caught.value)
    assert said.startswith(text) if len(text) < 70 else said == text
    assert said.count(". ") == 2 and len(said) < 400  # three sentences, no data
    assert caught.value.__cause__ is None


UINT8 = torch.full((2, 4, 4), 200, dtype=torch.uint8)
WARNINGS = [
    (
        lambda: batches({"a": put(np.nan, (2, 1))}, Y),
        "x['a'] contains NaN: 1 of 24 values, the first at [2, 1]. The loss becomes NaN unless "
        "the model replaces them. Fill them, for example with np.nan_to_num(x['a']).",
    ),
    (
        lambda: batches(pd.DataFrame({"a": [1.0, 2], "n": pd.array([1, None], dtype="Int64")})),
        "x contains NaN: 1 of 4 values, the first at [1, 1].",
    ),
    (
        lambda: batches(X, Y, Y * 0),
        "sample_weight is 0 for every sample. Nothing is learned from weights of 0. "
        "Check how the weights were made.",
    ),
    (
        lambda: batches(X, Y, class_weight={0: 1.0}),
        "class_weight has no weight for classes 1, 2: they weigh 1. One weight per class is "
        "expected. Complete or correct the dict.",
    ),
    (
        lambda: batches(X, np.eye(3)[Y], class_weight={0: 1.0, 1: 1, 2: 1, 9: 2}),
        "class_weight names class 9, but y has only classes 0, 1, 2. One weight per class is "
        "expected. Complete or correct the dict.",
    ),
    (
        lambda: batches(stream(2), batch_size=4),
        "batch_size=4 is not used: data of type generator comes in batches of its own. "
        "Set the size where they are made, and leave batch_size out.",
    ),
    (lambda: batches(Data(), batch_size=4), "batch_size=4 is not used: data of type Data"),
    (
        lambda: warn_unscaled(UINT8),
        "x is uint8, 0 to 200: unscaled images train badly. Values around 0 to 1 are expected. "
        "Write x.astype('float32') / 255, or begin the model with Rescaling(1 / 255).",
    ),
    (lambda: warn_unscaled([torch.zeros(2, 4), UINT8]), "x[1] is uint8, 0 to 200"),
    (
        lambda: run(batches(X, batch_size=4, steps=5), 3),
        "Epoch 1 has 2 of 5 steps: the data, 2 batches, ends there. Steps per epoch that divide 2 "
        "are expected. Lower them, or leave them out.",
    ),
    (
        lambda: run(batches(DataLoader(TensorDataset(torch.zeros(8)), 4), steps=5), 3, check=True),
        "x ended after 2 of 5 steps in epoch 1. The next epoch begins it again. "
        "Lower the steps, or leave them out.",
    ),
    (
        lambda: run(batches(stream(2), steps=5)),
        "x ended after 2 of 5 steps in epoch 1. All of it was taken. "
        "Lower the steps, or leave them out.",
    ),
    (
        lambda: run(batches(stream(2), steps=5, caller="evaluate")),
        "x ended after 2 of 5 steps. All of it was taken. Lower the steps, or leave them out.",
    ),
    (
        lambda: run(batches(X, batch_size=4, steps=5, caller="predict"), 2),
        "5 steps are asked for, the data has 2 batches: all of them are taken. At most 2 steps "
        "are expected. Leave the number of steps out.",
    ),
]


@pytest.mark.parametrize("odd, text", WARNINGS, ids=[text[:40] for _, text in WARNINGS])
def test_warnings(odd, text):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        odd()
    (warning,) = caught
    said = str(warning.message)
    assert said.startswith(text) if len(text) < 70 else said == text
    assert warning.filename == __file__  # the user's line


RIGHT = {
    "integers far apart": lambda: batches(X, np.array([0, 2**31 - 1] * 4)),
    "sums beyond float32": lambda: batches(np.full((8, 3), 3e38), np.full(8, 3e38)),
    "opposite infinities are not made": lambda: batches(np.array([3e38, 3e38, -3e38, -3e38])),
    "float64 infinity in x is not overflow": lambda: split(put(np.inf, 0, "float64"), Y, None, 0.5),
    "numbers as objects": lambda: batches(
        np.array([1.5, 2, True, np.float32(3), Decimal("1.5"), Fraction(1, 2)], dtype=object)
    ),
    "negative weights": lambda: batches(X, Y, Y - 1.0),
    "some weights of 0": lambda: batches(X, Y, Y),
    "weights in two dimensions": lambda: batches(X, X, X + 1),
    "steps as a whole float": lambda: batches(X, batch_size=4, steps=2.0),
    "batch_size of numpy": lambda: batches(X, batch_size=np.int64(4)),
    "batch_size beyond the rows": lambda: batches(X, batch_size=100),
    "all classes weighted": lambda: batches(X, Y, class_weight={0: 1, 1.0: 2, np.int64(2): 0}),
    "classes -1 and 1": lambda: batches(X, Y % 2 * 2 - 1, class_weight={-1: 1.0, 1: 2.0}),
    "no rows for predict": lambda: run(batches(X[:0], allow_empty=True, caller="predict")),
    "no batches for predict": lambda: run(batches(Data(0), allow_empty=True)),
    "no batches of a generator": lambda: run(batches(stream(0), allow_empty=True)),
    "no split": lambda: split(Data(), None, None, 0),
    "x without y": lambda: unpack_validation((X,), needs_y=False),
    "small bytes": lambda: warn_unscaled(torch.ones(4, 3, dtype=torch.uint8)),
    "token ids as bytes": lambda: warn_unscaled(UINT8, rescales=True),
    "labels as bytes": lambda: warn_unscaled(UINT8[0, 0]),
    "generator that is long enough": lambda: run(batches(stream(4), steps=2), 2),
    "endless generator": lambda: run(batches(itertools.repeat((X, Y)), steps=2), 2),
    "endless PyDataset": lambda: run(batches(Endless(), steps=3), 2),
    "generator for one epoch": lambda: batches(stream(4)).check_epochs(1),
    "arrays for many epochs": lambda: batches(X).check_epochs(9),
    "ndarray subclass": lambda: batches(np.ma.masked_array(X)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_no_false_alarms(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RIGHT[name]()


def test_no_rows_give_no_batches_and_a_peek():
    made = batches(X[:0], Y[:0], allow_empty=True)
    assert list(made) == [] and len(made) == 0 and made.rows == 0
    assert made.peek()[0].shape == (0, 3)


def test_checks_are_fast():
    x, y = np.random.rand(10**5, 32), np.random.randint(10, size=10**5)
    w = np.random.rand(10**5)
    weights = dict.fromkeys(range(10), 1.0)
    took = []
    for _ in range(3):
        begin = time.perf_counter()
        batches(x, y, w, class_weight=weights)
        took.append(time.perf_counter() - begin)
    assert min(took) < 0.2


# ---- weights ------------------------------------------------------------------------------------


def test_class_weight_times_sample_weight():
    w = np.arange(8) + 1.0
    made = batches(X, Y, w, class_weight=[1.0, 10.0, 100.0], batch_size=3)
    got = torch.cat([b[2] for b in made])
    assert got.tolist() == [1, 20, 300, 4, 50, 600, 7, 80]
    (_, _, columns), *_ = batches(X, Y, w[:, None], class_weight=[1.0, 10.0, 100.0])
    assert columns.shape == (8, 1) and torch.equal(columns[:, 0], got)


@pytest.mark.parametrize("source", ["loader", "PyDataset", "generator", "dataset"])
def test_class_weight_of_others(source):
    rows = TensorDataset(torch.tensor(X), torch.tensor(Y))
    given = {
        "loader": DataLoader(rows, 8),
        "PyDataset": Data(1),
        "generator": stream(1),
        "dataset": Subset(rows, range(8)),
    }[source]
    ((_, _, w),) = batches(given, class_weight={1: 2.0, -5: 1.0})
    assert w.tolist() == [1, 2, 1, 1, 2, 1, 1, 2]


def test_one_batch():
    x, y, w = one_batch({"a": X.astype("float64")}, Y.tolist(), Y + 1, class_weight=[1, 2, 3])
    assert x["a"].dtype == w.dtype == torch.float32 and torch.equal(y, torch.tensor(Y))
    assert w.tolist() == [1, 4, 9, 1, 4, 9, 1, 4]
    assert one_batch(X)[1:] == (None, None)
    with pytest.raises(ValueError, match="x has 8 samples, y has 7"):
        one_batch(X, Y[:7])


# ---- validation_data, data modules --------------------------------------------------------------


@pytest.mark.parametrize("form", [tuple, list])
def test_validation_data_in_pairs(form):
    assert unpack_validation(form([X, Y])) == (X, Y, None)
    assert unpack_validation(form([X, Y, Y])) == (X, Y, Y)


@pytest.mark.parametrize("given", [Data(), stream(1), DataLoader(TensorDataset(torch.zeros(3)))])
def test_validation_data_in_batches(given):
    assert unpack_validation(given) == (given, None, None)


def test_data_module():
    from lightning import LightningDataModule

    class Module(LightningDataModule):
        def __init__(self):
            super().__init__()
            self.log = []

        def prepare_data(self):
            self.log.append("prepare")

        def setup(self, stage):
            self.log.append(stage)

        def train_dataloader(self):
            return DataLoader(TensorDataset(torch.arange(6.0)), 2)

        def val_dataloader(self):
            return DataLoader(TensorDataset(torch.arange(3.0)), 2)

    module = Module()
    assert len(batches(module)) == 3 and len(batches(module)) == 3
    assert len(batches(validation_of(module), caller="validate")) == 2
    assert len(batches(module, caller="evaluate")) == 2  # no test_dataloader
    assert unpack_validation(module)[0] is module
    assert module.log == ["prepare", "fit", "test"]
    with pytest.raises(ValueError, match=r"predict\(\) needs a predict_dataloader or test_data"):
        batches(module, caller="predict")
    module.train_dataloader = lambda: [DataLoader(X), DataLoader(X)]
    with pytest.raises(ValueError, match=r"train_dataloader\(\) gives 2 loaders"):
        batches(module)
    Module.val_dataloader = LightningDataModule.val_dataloader
    assert validation_of(module) is None and validation_of(X) is None


# ---- generators and hooks -----------------------------------------------------------------------


def test_peek_loses_nothing_and_reads_one():
    read = []

    def numbered():
        for i in range(3):
            read.append(i)
            yield np.full((2, 1), i), Y[:2]

    made = batches(numbered(), steps=1)
    for _ in range(2):
        assert made.peek()[0].flatten().tolist() == [0, 0]
    assert read == [0]
    assert [[int(b[0][0]) for b in made] for _ in range(3)] == [[0], [1], [2]]
    assert made.peek is not None and read == [0, 1, 2]


def test_a_step_is_read_when_it_is_asked_for():
    made = iter(batches(stream(10**9), steps=10**9))
    assert next(made)[0].shape == (8, 3)


class Hooked(Data):
    def __init__(self, **kwargs):
        super().__init__(2)
        PyDataset.__init__(self, **kwargs)
        self.log = []

    def __getitem__(self, index):
        self.log.append(index)
        return X, Y

    def on_epoch_begin(self):
        self.log.append("begin")

    def on_epoch_end(self):
        self.log.append("end")


def test_hooks_of_a_pydataset():
    data = Hooked()
    made = batches(data)
    run(made, 2)
    assert data.log == ["begin", 0, 1, "end"] * 2
    made.end()
    assert data.log[-1] == "end" and len(data.log) == 8  # an epoch ends once


def test_hooks_of_an_epoch_that_is_left():
    data = Hooked()
    made = batches(data)
    next(iter(made))
    made.end()
    made.end()
    assert data.log == ["begin", 0, "end"]
    next(iter(made))
    next(iter(made))
    assert data.log[3:] == ["begin", 0, "end", "begin", 0]


def test_an_iterator_that_is_never_used_is_no_pass():
    data = Hooked()
    made = batches(data)
    made.set_epoch(4)
    unused = iter(made)
    run(made)
    assert made.epoch == 5 and data.log == ["begin", 0, 1, "end"] and unused is not None


@pytest.mark.parametrize("endless", [False, True])
def test_an_error_in_a_batch_arrives(endless):
    class Broken(Endless if endless else Hooked):
        def __getitem__(self, index):
            raise KeyError("mine")

    for workers in (1, 3):
        data = Broken()
        data.workers = workers
        with pytest.raises(KeyError, match="mine"):
            run(batches(data, steps=2))


def test_threads_stop_with_the_pass():
    import threading

    before = threading.active_count()
    made = batches(Hooked(workers=4))
    passing = iter(made)
    next(passing)
    assert threading.active_count() > before
    made.end()
    assert threading.active_count() == before and list(passing) == []
    next(iter(made))  # the pass goes with its iterator, too
    made = passing = None
    assert threading.active_count() == before


def test_batches_go_to_other_processes():
    made = pickle.loads(pickle.dumps(batches(X, Y, batch_size=4, shuffle=True).shard(1, 2)))
    assert [len(b[0]) for b in made] == [2, 2]


# ---- the public helpers -------------------------------------------------------------------------


def test_public_names_have_keras_signatures():
    import inspect

    import keras

    pairs = [
        (PyDataset.__init__, keras.utils.PyDataset.__init__),
        (split_dataset, keras.utils.split_dataset),
        (pack_x_y_sample_weight, keras.utils.pack_x_y_sample_weight),
        (unpack_x_y_sample_weight, keras.utils.unpack_x_y_sample_weight),
    ]
    for ours, theirs in pairs:
        assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    assert Sequence is PyDataset
    for name in ("workers", "use_multiprocessing", "max_queue_size"):
        assert getattr(Data(), name) == getattr(keras.utils.PyDataset(), name)


@pytest.mark.parametrize("data", [1, (1,), [1], (1, 2), [1, 2], (1, 2, 3), {"a": 1}, ([1], 2)])
def test_pack_and_unpack_as_keras(data):
    import keras

    parts = unpack_x_y_sample_weight(data)
    assert parts == keras.utils.unpack_x_y_sample_weight(data)
    assert pack_x_y_sample_weight(*parts) == keras.utils.pack_x_y_sample_weight(*parts)


@pytest.mark.parametrize(
    "left, right", [(0.8, None), (None, 0.25), (3, None), (0.5, 0.5), (6, 2), (0.33, None)]
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_split_dataset(left, right, shuffle):
    import keras

    theirs = keras.utils.split_dataset([X, Y], left, right)
    first, last = split_dataset([X, np.arange(8)], left, right, shuffle=shuffle, seed=3)
    assert [len(first), len(last)] == list(map(len, theirs))
    order = [int(part[i][1]) for part in (first, last) for i in range(len(part))]
    assert sorted(order) == list(range(8)) and (order == list(range(8))) != shuffle
    again = split_dataset([X, np.arange(8)], left, right, shuffle=shuffle, seed=3)
    assert [int(part[i][1]) for part in again for i in range(len(part))] == order
    assert len(next(iter(batches(first)))[0]) == len(first)
