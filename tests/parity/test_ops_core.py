"""ops.core against the installed Keras."""

import keras
import numpy as np
import pytest
import torch
from _ops import check, compare, numbers, same_signature

import lightkeras as lk
from lightkeras import ops

X = numbers(3, 4, low=-2, high=2)
CUBE = numbers(2, 3, 4, low=-2, high=2)
INTS = numbers(3, 4, low=-5, high=6, dtype="int32")
WIDE = np.array([-1e6, -300.0, -1.4, 0.0, 1.6, 130.0, 300.0, 1e6], "float32").reshape(2, 4)
PLACES = np.array([[0, 1], [2, 3], [0, 1]], "int32")

CASES = [
    ("cast", (X, "int32"), {}),
    ("cast", (INTS, "float16"), {}),
    ("cast", (X, "bool"), {}),
    *(
        ("saturate_cast", (WIDE, dtype), {})
        for dtype in ("uint8", "int8", "int16", "float16", "bfloat16", "bool", "float64")
    ),
    ("saturate_cast", (INTS, "uint8"), {}),
    ("saturate_cast", (INTS > 0, "float32"), {}),
    ("stop_gradient", (X,), {"gradients": False}),
    ("convert_to_tensor", (X,), {}),
    ("convert_to_tensor", (INTS, "float32"), {}),
    ("unstack", (CUBE,), {"axis": 1}),
    ("unstack", (INTS,), {"num": 4, "axis": -1}),
    ("unstack", (X,), {"symbolic": False}),
    ("slice", (CUBE, (0, 1, 2), (2, 2, 1)), {"shapes": False}),  # ours keep the batch unknown
    ("slice", (INTS, np.array([1, 1]), (2, 3)), {"symbols": [0], "shapes": False}),
    ("slice_update", (X, (1, 1), numbers(2, 2)), {"symbolic": False}),
    ("slice_update", (INTS, [0, 2], INTS[:, :2]), {"symbolic": False}),
    ("slice_update", (X, np.array([1, 0]), numbers(1, 3)), {"symbolic": False}),
    ("scatter", (PLACES, numbers(3), (3, 4)), {"symbolic": False}),
    ("scatter", (PLACES[:, 1:], X, (5, 4)), {"symbolic": False}),
    ("scatter", (PLACES[None], numbers(1, 3), (3, 4)), {"symbolic": False}),
    *(
        ("scatter_update", (x, PLACES, u, how), {"symbolic": False, "gradients": False})
        for how in ("add", "max", "min", "mul")
        for x, u in ((X, numbers(3)), (INTS, INTS[0, :3]), (numbers(3, 4, 2), numbers(3, 2)))
    ),
    ("scatter_update", (X, PLACES[:2], numbers(2)), {"symbolic": False}),
    ("scatter_update", (CUBE, PLACES[:1, :1], CUBE[1:]), {"symbolic": False}),
    ("fori_loop", (0, 3, lambda i, v: v * 2 + i, X), {}),
    ("fori_loop", (1, 4, lambda i, v: v + i, INTS), {}),
    ("vectorized_map", (lambda x: x.sum() * x, X), {"symbolic": False}),
    ("vectorized_map", (lambda pair: pair[0] * pair[1].max(), [X, INTS]), {"symbolic": False}),
    ("map", (lambda x: x * 2 + 1, CUBE), {}),
    ("map", (lambda x: {"a": x["x"] + 1, "b": x["y"].sum()}, {"x": X, "y": INTS}), {}),
    ("scan", (lambda c, x: (c + x, c * x), numbers(4), X), {"symbolic": False}),
    ("scan", (lambda c, x: (c + x, c * x), numbers(4), X), {"reverse": True, "symbolic": False}),
    ("scan", (lambda c, x: (c * 2, c + 1), INTS), {"length": 3, "symbolic": False}),
    ("scan", (lambda c, x: (c + x["a"], x["b"]), X[0], {"a": X, "b": INTS}), {"symbolic": False}),
    ("associative_scan", (lambda a, b: a + b, X), {}),
    ("associative_scan", (lambda a, b: a * b, CUBE), {"axis": 1}),
    ("associative_scan", (lambda a, b: a + b, numbers(1, 3)), {"reverse": True, "symbolic": False}),
    ("associative_scan", (lambda a, b: a + b, numbers(7, 2)), {"reverse": True}),
    (
        "associative_scan",
        (lambda a, b: (a[0] * b[0], a[1] * b[0] + b[1]), (numbers(6), numbers(6, seed=1))),
        {"symbolic": False},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES, ids=[c[0] for c in CASES])
def test_like_keras(name, args, kwargs):
    check(name, *args, **kwargs)


NAMES = ["associative_scan", "cast", "cond", "convert_to_numpy", "convert_to_tensor", "dtype"]
NAMES += ["custom_gradient", "fori_loop", "is_tensor", "map", "saturate_cast", "scan", "scatter"]
NAMES += ["scatter_update", "shape", "slice", "slice_update", "stop_gradient", "switch", "unstack"]
NAMES += ["vectorized_map", "while_loop"]


@pytest.mark.parametrize("name", NAMES)
def test_signatures(name):
    same_signature(name)


def test_every_name_of_core():
    where = "keras.src.ops.core"
    theirs = {n for n, v in vars(keras.ops).items() if getattr(v, "__module__", "") == where}
    assert theirs == set(NAMES) == set(ops.core.__all__)


# ---- loops and branches -------------------------------------------------------------------------

LOOPS = [
    ((lambda i: i < 10), (lambda i: i * 3), 1, None),
    ((lambda i, x: i < 4), (lambda i, x: (i + 1, x * 2)), (0, X), None),
    ((lambda i, x: i < 40), (lambda i, x: [i + 1, x + i]), [0, INTS], 3),
    ((lambda x: ops.sum(x) > 1e9), (lambda x: x * 2), X, None),
]


@pytest.mark.parametrize(("cond", "body", "start", "most"), LOOPS)
def test_while_loop(cond, body, start, most):
    a, b = (k.while_loop(cond, body, start, most) for k in (ops, keras.ops))
    compare("while_loop", a, b)


def test_branches():
    for value in (True, False, np.array(True), torch.tensor(0), 1):
        assert ops.cond(value, lambda: "yes", lambda: "no") == ("yes" if value else "no")
    branches = [lambda x: x + 1, lambda x: x * 10, lambda x: x - 1]
    for index in (-3, 0, 1, 2, 9, np.int32(1), torch.tensor(2)):
        x = torch.tensor(4.0)
        compare("switch", ops.switch(index, branches, x), keras.ops.switch(index, branches, x))


def test_loops_and_branches_in_a_graph():
    x = lk.Input((3,))
    doubled = ops.while_loop(lambda v: ops.max(v) < 100, lambda v: v * 2, x)
    chosen = ops.cond(ops.sum(x) > 10, lambda: doubled, lambda: -x)
    carry, sums = ops.scan(lambda c, row: (c + row, c), ops.zeros(3), x)
    picked = ops.switch(ops.cast(ops.sum(x), "int32"), [ops.negative, ops.square], x)
    model = lk.Model(x, [doubled, chosen, carry, sums, picked])
    assert [o.shape for o in model.outputs] == [(None, 3), (None, 3), (3,), (None, 3), (None, 3)]
    given = torch.tensor([[1.0, 2.0, 30.0], [4.0, 5.0, 6.0]])
    out = model(given)
    assert out[0].tolist() == out[1].tolist() == (given * 4).tolist()
    assert out[2].tolist() == [5.0, 7.0, 36.0] and out[3].tolist() == [[0] * 3, [1.0, 2.0, 30.0]]
    assert out[4].tolist() == (given**2).tolist()
    assert model(torch.ones(1, 3))[1].tolist() == [[-1.0] * 3]


# ---- gradients -----------------------------------------------------------------------------------


def test_custom_gradient():
    def both(k):
        @k.custom_gradient
        def log1pexp(x):
            e = k.exp(x)

            def grad(*args, upstream=None):
                if upstream is None:
                    (upstream,) = args
                return k.multiply(upstream, 1.0 - 1.0 / k.add(1, e))

            return k.log(1 + e), grad

        x = torch.tensor(X, requires_grad=True)
        y = log1pexp(x)
        y.square().sum().backward()
        return y.detach(), x.grad

    compare("custom_gradient", both(ops), both(keras.ops))


def test_custom_gradient_of_several_arguments_and_in_a_graph():
    @ops.custom_gradient
    def scaled(x, factor):
        return x * factor, lambda upstream: (upstream * 10, None)

    x = torch.ones(2, requires_grad=True)
    scaled(x, 3.0).sum().backward()
    assert x.grad.tolist() == [10.0, 10.0]
    i = lk.Input((2,))
    assert lk.Model(i, scaled(i, 3.0))(torch.ones(1, 2)).tolist() == [[3.0, 3.0]]


def test_nothing_flows_through_stop_gradient():
    x = torch.ones(2, requires_grad=True)
    assert not ops.stop_gradient(x).requires_grad and ops.stop_gradient([1.0]).tolist() == [1.0]


# ---- reading and making --------------------------------------------------------------------------

VALUES = [1, 2.5, True, [1, 2], [1.0, 2], [True], [[1, 2], [3, 4.5]], 2**40, np.float64(1)]
VALUES += [X, INTS, X.astype("float64"), np.float32(2), np.int8(3), [np.float32(1), 2], (1, 2), []]
VALUES += [[torch.ones(2), torch.zeros(2)], 1 + 2j, np.ones(2, "complex64"), range(3)]


@pytest.mark.parametrize("value", VALUES, ids=[str(i) for i in range(len(VALUES))])
def test_convert_to_tensor(value):
    compare("convert", ops.convert_to_tensor(value), keras.ops.convert_to_tensor(value))
    holds_tensors = isinstance(value, list) and value and torch.is_tensor(value[0])
    if not np.iscomplexobj(value) and not holds_tensors:  # Keras forgets the dtype, or fails
        a, b = (k.convert_to_tensor(value, "float16") for k in (ops, keras.ops))
        compare("convert", a, b)


def test_reading():
    x = torch.ones(2, 3, requires_grad=True)
    assert ops.convert_to_numpy(x).dtype == np.float32
    assert ops.convert_to_numpy([x, x]).shape == (2, 2, 3)
    assert ops.convert_to_numpy(x.bfloat16()).tolist() == [[1.0] * 3] * 2
    copy = ops.convert_to_numpy(x)
    copy[0] = 7
    assert x[0, 0] == 1
    assert ops.shape(x) == (2, 3) and ops.shape(lk.Input((3,))) == (None, 3)
    assert ops.shape([1, 2]) == (2,) and ops.dtype(2.0) == "float32"
    assert ops.dtype(x) == "float32" and ops.dtype(lk.Input((3,), dtype="int32")) == "int32"
    assert ops.is_tensor(x) and not ops.is_tensor(X) and not ops.is_tensor(lk.Input((3,)))


ERRORS = [
    (lambda: ops.convert_to_tensor([1], sparse=True), ValueError, "sparse=True. Tensors here are"),
    (lambda: ops.convert_to_tensor("a"), TypeError, "An op got 'a' (str). Tensors, symbolic"),
    (lambda: ops.scan(lambda c, x: (c, x), 0.0), ValueError, "neither xs nor length. One of them"),
    (lambda: ops.unstack(X, 2, axis=1), ValueError, "size of the axis. Type num=4, or leave it"),
    (
        lambda: ops.scatter_update(X, PLACES, X[0, :3], "mean"),
        ValueError,
        "reduction='mean'. None, 'add', 'max', 'min' and 'mul' are accepted. Type",
    ),
    (
        lambda: ops.associative_scan(ops.add, [X, X[:2]]),
        ValueError,
        "shapes [(3, 4), (2, 4)]. Their sizes along axis 0 must be equal. Cut or pad them first.",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS)
def test_errors(call, kind, text):
    with pytest.raises(kind) as error:
        call()
    assert text in str(error.value)
