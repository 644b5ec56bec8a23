"""Every public op stands beside Keras's on at least two inputs: the rows of all tables, counted."""

import importlib
import inspect
import itertools
from collections import defaultdict
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from _ops import check, compare, numbers

import lightkeras as lk
from lightkeras import ops
from lightkeras._tree import flatten

X, Y = numbers(3, 4), numbers(2, 5, seed=1)
CUBE = numbers(2, 3, 4)
IMAGE = numbers(2, 3, 6, 7)
CLASSES = np.array([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]], "float32")
SHARES = np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]], "float32")
HITS = np.array([[0.9, 0.1, 0.5, 0.4], [0.2, 0.8, 0.6, 0.7]], "float32")
PLACES = np.array([[1, 2], [3, 1]], "int32"), np.array([2, 1], "int32"), np.array([5, 4], "int32")

# What the tables of the families call on one array only.
SECOND = [
    ("stop_gradient", (Y,), {"gradients": False}),
    ("categorical_crossentropy", (SHARES, CLASSES), {}),
    ("correlate", (numbers(6), numbers(4), "full"), {"symbolic": False}),
    ("ctc_loss", (PLACES[0], numbers(2, 5, 4), *PLACES[1:]), {}),
    ("dsplit", (numbers(2, 3, 6), 3), {}),
    ("in_top_k", (np.array([3, 0]), HITS, 2), {"gradients": False}),
    ("moveaxis", (IMAGE, [1, 2], [3, 1]), {}),
    ("threshold", (Y, 0.2, -1.0), {}),
    ("unfold", (numbers(1, 2, 5, 4), 2), {}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), SECOND, ids=[row[0] for row in SECOND])
def test_on_another_input(name, args, kwargs):
    check(name, *args, **kwargs)


def moved(k, shape):
    """Shape and dtype of what is made without values."""
    made = k.empty_like(torch.zeros(shape)), k.empty(shape, "int32"), k.empty(shape)
    return [(tuple(m.shape), str(m.dtype)) for m in made]


def parted(k, x):
    """The values before and after place 2: their order is free. (Keras cuts floats to integers.)"""
    x = torch.tensor(x)
    values = x.gather(-1, torch.as_tensor(k.argpartition(x, 2)).long())
    return [values[..., :2].sort(-1)[0], values[..., 2], values[..., 3:].sort(-1)[0]]


def read(k, shape, dtype):
    """What is asked of a tensor."""
    x = k.ones(shape, dtype)
    asked = k.shape(x), k.dtype(x), k.is_tensor(x), k.is_tensor(np.ones(shape))
    return [*asked, torch.tensor(k.convert_to_numpy(x))]


def branches(k, x):
    x = torch.tensor(x)
    chosen = [k.cond(x.sum() > limit, lambda: x + 1, lambda: x * 2) for limit in (-9, 9)]
    return chosen + [k.switch(i, [k.negative, k.square], x) for i in (0, 1)]


def doubled(k, x, limit):
    return k.while_loop(lambda v: k.sum(k.abs(v)) < limit, lambda v: v * 2, torch.tensor(x))


def derived(k, x):
    """A gradient of one's own, and one along a direction."""

    @k.custom_gradient
    def steep(v):
        return v * 1.0, lambda *args, upstream=None: 3 * (args[0] if args else upstream)

    x = torch.tensor(x, requires_grad=True)
    steep(x).square().sum().backward()
    along = k.jvp(lambda v: v**3, (x.detach(),), (x.detach() + 1,))
    return [x.grad, *along]


def mapped(k, x):
    x = torch.tensor(x)
    pair = k.vectorize(lambda a, b: torch.where(a > b, a - b, a * b))
    dot = k.vectorize(torch.dot, signature="(n),(n)->()")
    return [pair(x, x[0] * 0.5), dot(x, x + 1)]


def counted(k, x, bins):
    return k.histogram(torch.tensor(x.ravel()), bins, range=(-1.0, 1.0))


# (the ops in it, what is done with them): what is no function of tensors alone.
PLAIN = [
    *(("empty empty_like", moved, (shape,)) for shape in ((2, 3), (4,))),
    *(("argpartition", parted, (x,)) for x in ([[5, 1, 4, 2, 3], [7, 9, -8, 0, 1]], [3, -2, 6, 1])),
    ("shape dtype is_tensor convert_to_numpy", read, ((2, 3), "float32")),
    ("shape dtype is_tensor convert_to_numpy", read, ((4,), "int32")),
    *(("cond switch", branches, (x,)) for x in (X, Y)),
    *(("while_loop", doubled, (x, 100.0)) for x in (X, Y)),
    *(("custom_gradient jvp", derived, (x,)) for x in (X, Y)),
    *(("vectorize", mapped, (x,)) for x in (X, Y)),
    *(("histogram", counted, (x, n)) for x, n in ((X, 4), (Y, 3))),
]
IDS = [f"{row[0].split()[0]}-{i % 2}" for i, row in enumerate(PLAIN)]


@pytest.mark.parametrize(("names", "act", "args"), PLAIN, ids=IDS)
def test_plain(names, act, args):
    assert all(f"k.{name}" in inspect.getsource(act) for name in names.split())
    compare(names, act(ops, *args), act(keras.ops, *args))


# ---- the count ----------------------------------------------------------------------------------

OWN = ("gradients", "symbolic", "symbols", "shapes", "dtypes", "rtol", "atol")
NOT_BESIDE_KERAS = {"sparsemax": "Keras's is wrong on torch: test_activations takes its definition"}


def calls(test):
    """The arguments of each case of a parametrised test."""
    marks = [m.args for m in getattr(test, "pytestmark", ()) if m.name == "parametrize"]
    named = [names.split(",") if isinstance(names, str) else names for names, *_ in marks]
    tables = [[v if len(n) > 1 else (v,) for v in m[1]] for n, m in zip(named, marks, strict=True)]
    for case in itertools.product(*tables):
        pairs = (zip(n, values, strict=True) for n, values in zip(named, case, strict=True))
        yield {name.strip(): value for pair in pairs for name, value in pair}


def inputs(args, kwargs):
    """What tells one input from another: its arrays, or all arguments where there are none."""
    kwargs = {k: v for k, v in kwargs.items() if k not in OWN}
    arrays = [
        (v.shape, str(v.dtype), v.tolist())
        for v in flatten([list(args), kwargs])
        if isinstance(v, (np.ndarray, torch.Tensor))
    ]
    return str(arrays or (args, kwargs))


@pytest.fixture
def seen(monkeypatch):
    """{op: its inputs} of all calls of `check` and `compare`, which compare nothing meanwhile."""
    found = defaultdict(set)

    def record(name, *args, **kwargs):
        found[name.split()[0].rpartition(".")[2]].add(inputs(args, kwargs))

    for path in sorted(Path(__file__).parent.glob("test_ops*.py")):
        module = importlib.import_module(path.stem)
        for name in ("check", "compare"):
            if hasattr(module, name) and module.__name__ != __name__:
                monkeypatch.setattr(module, name, record)
        for name, test in list(vars(module).items()):
            if name.startswith("test_") and beside_keras(test):
                for case in calls(test):
                    test(**case)
    for names, _, args in PLAIN:
        for name in names.split():
            found[name].add(str(args))
    for name, args, kwargs in SECOND:
        record(name, *args, **kwargs)
    return found


def beside_keras(test):
    """Whether a test compares an op with Keras's: `check` does, `compare` where it calls both."""
    text = inspect.getsource(test) if inspect.isfunction(test) else ""
    asks_both = "compare(" in text and any(
        other in text for other in ("keras.ops", "keras.Model", "theirs_")
    )
    return test.__module__ != __name__ and ("check(" in text or asks_both)


def test_every_op_stands_beside_keras_on_two_inputs(seen):
    spaces = (keras.ops, keras.ops.image, keras.ops.linalg, keras.ops.nn, keras.ops.numpy)
    names = {n for s in spaces for n, op in vars(s).items() if n[0] != "_" and callable(op)}
    assert len(names) > 350
    assert {n for n in names if len(seen[n]) < 2} == NOT_BESIDE_KERAS.keys()
    assert sum(len(rows) for rows in seen.values()) > 1300
    lk.utils.clear_session(free_memory=False)
