"""ops.numpy against the installed Keras; where that is wrong on torch, against NumPy."""

import keras
import numpy as np
import pytest
import torch
from _ops import check, numbers, same_signature

import lightkeras as lk
from lightkeras import ops

X = numbers(3, 4, low=-2, high=2)
Y = numbers(3, 4, low=-2, high=2, seed=1)
CUBE = numbers(2, 3, 4, low=-2, high=2)
INTS = numbers(3, 4, low=-5, high=6, dtype="int32")
OTHERS = numbers(3, 4, low=-5, high=6, dtype="int32", seed=1)
COUNTS = numbers(3, 4, low=1, high=5, dtype="int32")
BITS = INTS > 0
HALF = X.astype("float16")
UNIT = numbers(3, 4, low=-0.9, high=0.9)
POSITIVE = np.abs(X) + 0.1
ODD = np.array([[1.0, np.inf, -np.inf, np.nan], [0.0, -0.0, 2.5, -1.5]], "float32")
COMPLEX = (X + 1j * Y).astype("complex64")
VECTOR = numbers(5, low=-2, high=2)
STEPS = np.array([0, 2, 1, 2], "int32")


def row(*args, **kwargs):
    """Arguments of one check; those of `check` itself among them."""
    return args, kwargs


def rows(names, *arguments):
    return [(name, *a) for name in names.split() for a in arguments]


CASES = [
    # ---- one tensor, value by value
    *rows("sin cos tan sinh cosh tanh arctan arcsinh exp exp2 expm1 sinc i0 cbrt", row(X)),
    *rows("sin cos tan sinh cosh tanh arctan arcsinh exp exp2 expm1 sinc cbrt", row(INTS)),
    *rows("sin cos exp expm1 tanh arctan sqrt log log1p", row(BITS)),
    *rows("sin cos exp tanh sinh arctan floor ceil round square", row(HALF, rtol=1e-2, atol=1e-2)),
    *rows("arcsin arccos arctanh log1p", row(UNIT), row(np.zeros((2, 3), "int32"))),
    *rows("arccosh", row(POSITIVE + 1), row(COUNTS)),
    *rows("log log2 log10 sqrt reciprocal", row(POSITIVE), row(COUNTS), row(CUBE**2 + 0.1)),
    *rows("abs absolute negative sign square floor ceil trunc round fabs", row(X), row(INTS)),
    *rows("abs square ceil floor trunc fabs", row(BITS)),
    *rows("deg2rad rad2deg", row(X), row(INTS), row(CUBE)),
    *rows("signbit isfinite isinf isnan isneginf isposinf isreal", row(ODD), row(INTS), row(X)),
    *rows("nan_to_num", row(ODD), row(ODD, nan=1.0, posinf=2.0, neginf=-2.0), row(INTS)),
    *rows("copy conj conjugate", row(X), row(INTS)),
    *rows("conj conjugate real imag angle", row(COMPLEX, symbolic=False)),
    *rows("real angle", row(X)),
    *rows("round", row(X, 1), row(X, decimals=2)),
    *rows("clip", row(X, -1, 0.5), row(INTS, -2, 2), row(BITS, 0, 1), row(HALF, -1.0, 1.0)),
    *rows("logical_not", row(X), row(BITS), row(INTS)),
    *rows("bitwise_not bitwise_invert", row(INTS), row(BITS)),
    *rows("view", row(X, "int32"), row(INTS, "float32")),
    *rows("i0", row(CUBE)),
    *rows(
        "arctan2 hypot logaddexp logaddexp2 heaviside",
        *(
            row(*pair, gradients=False, rtol=1e-2, atol=1e-2)
            for pair in ((HALF, INTS), (BITS, HALF))
        ),
    ),
    *rows("average", row(HALF, axis=1, weights=BITS | True, rtol=1e-2, atol=1e-2)),
    *rows("correlate", row(HALF[0], INTS[0, :3], rtol=1e-2, atol=1e-2, symbolic=False)),
    *rows("imag", row(COMPLEX[:1], symbolic=False)),
    # ---- two tensors, value by value
    *rows("nextafter", row(CUBE, CUBE[:, ::-1].copy(), gradients=False)),
    *rows(
        "add subtract multiply divide true_divide maximum minimum fmax fmin",
        row(X, Y),
        row(CUBE, X, symbols=[0]),
        row(INTS, Y),
        row(INTS, OTHERS),
        row(X, 2.0),
        row(INTS, 2),
        row(BITS, INTS),
        row(HALF, 2.0),
    ),
    *rows("add multiply", row(2.0, X), row(INTS, 2.5)),
    *rows("subtract divide", row(2.0, X)),
    *rows("power", row(POSITIVE, Y), row(POSITIVE, 2.5), row(INTS, 2), row(INTS, COUNTS)),
    *rows("mod fmod", row(X, POSITIVE), row(INTS, COUNTS), row(X, 0.7), row(INTS, 3)),
    *rows("floor_divide", row(X, POSITIVE, gradients=False), row(INTS, COUNTS), row(INTS, 3)),
    *rows("divide_no_nan", row(X, BITS.astype("float32")), row(INTS, OTHERS), row(X, 0.0)),
    *rows(
        "equal not_equal greater greater_equal less less_equal",
        row(INTS, OTHERS),
        row(X, Y),
        row(X, 0.5),
        row(BITS, INTS),
    ),
    *rows("logical_and logical_or logical_xor", row(BITS, X > 0), row(INTS, X)),
    *rows(
        "bitwise_and bitwise_or bitwise_xor",
        row(INTS, OTHERS),
        row(BITS, X > 0),
        row(INTS, 5, symbolic=False),
    ),
    *rows(
        "bitwise_left_shift bitwise_right_shift left_shift right_shift",
        row(COUNTS, COUNTS),
        row(INTS, 2),
    ),
    *rows("gcd lcm", row(INTS, OTHERS), row(COUNTS, 6)),
    *rows(
        "arctan2 hypot logaddexp logaddexp2",
        row(X, Y),
        row(INTS, OTHERS),
        row(CUBE, X, symbols=[0]),
    ),
    *rows("heaviside", row(X, Y, gradients=False), row(INTS, Y, gradients=False)),
    *rows(
        "ldexp", row(X, COUNTS, gradients=False), row(CUBE, COUNTS, gradients=False, symbols=[0])
    ),
    *rows("nextafter", row(X, Y, gradients=False)),
    *rows("isclose", row(X, X + 1e-9), row(X, Y), row(INTS, OTHERS), row(X, Y, rtol=0.5)),
    *rows("allclose", row(X, X), row(X, Y), row(X, Y, atol=10.0)),
    # ---- sums, means, extremes
    *rows(
        "sum mean prod max min amax amin all any argmax argmin std var",
        row(X),
        row(X, axis=0),
        row(CUBE, axis=-1, keepdims=True),
        row(INTS, axis=1),
        row(BITS, axis=1),
    ),
    *rows("sum mean prod max min amax amin all any std var", row(CUBE, axis=(1, 2))),
    *rows("sum prod", row(INTS.astype("int8"), 1), row(BITS), row(INTS.astype("uint8"), axis=0)),
    *rows("sum mean", row(HALF, axis=1, rtol=1e-2, atol=1e-2), row([X, Y], axis=0, symbolic=False)),
    *rows("max min", row(X, 1, False, 1.5), row(X, initial=0.0)),
    *rows("prod", row(X, axis=0, dtype="float64"), row(INTS, dtype="float32")),
    *rows("average", row(X), row(CUBE, axis=1), row(X, axis=1, weights=POSITIVE)),
    *rows("ptp", row(X), row(CUBE, axis=1), row(CUBE, axis=(0, 2), keepdims=True), row(INTS, 1)),
    *rows("median", row(X), row(CUBE, axis=1), row(INTS, axis=1), row(CUBE, 1, True)),
    *rows(
        "quantile nanquantile",
        row(X, 0.3),
        row(CUBE, 0.5, axis=1),
        row(CUBE, [0.2, 0.7], axis=(1, 2), keepdims=True),
        row(INTS, 0.5, axis=1, method="lower"),
    ),
    *rows("percentile nanpercentile", row(X, 30.0), row(CUBE, 50, axis=1), row(X, [20.0, 70.0])),
    *rows("count_nonzero", row(INTS), row(INTS, axis=1), row(BITS, axis=0)),
    *rows(
        "cumsum cumprod",
        row(X),
        row(CUBE, axis=1),
        row(INTS, 0),
        row(BITS, 1),
        row(INTS, 1, "float32"),
    ),
    *rows("trapezoid", row(X), row(X, dx=0.5), row(CUBE, axis=1), row(X, POSITIVE)),
    # ---- without nan
    *rows(
        "nansum nanmean nanvar nanstd nanmax nanmin nanprod nanargmax nanargmin nanmedian",
        row(np.where(BITS, X, np.nan).astype("float32"), gradients=False),
        row(np.where(BITS, X, np.nan).astype("float32"), axis=0, gradients=False),
        row(CUBE, axis=1, gradients=False),
        row(INTS, axis=1),
    ),
    *rows(
        "nancumsum nancumprod", row(ODD[:, :1], gradients=False), row(np.where(BITS, X, np.nan), 1)
    ),
    # ---- shapes
    *rows("reshape", row(X, (-1, 2)), row(CUBE, (-1, 12)), row(INTS, (4, 3), symbolic=False)),
    *rows("ravel", row(X), row(CUBE)),
    *rows("ndim size", row(X, symbolic=False), row(INTS, symbolic=False)),
    *rows("transpose", row(CUBE, (0, 2, 1)), row(X), row(CUBE, axes=[2, 0, 1])),
    *rows("swapaxes", row(CUBE, 1, 2), row(INTS, 0, -1)),
    *rows("moveaxis", row(CUBE, 2, 0), row(CUBE, (0, 1), (-1, 0))),
    *rows("expand_dims", row(X, 0), row(X, -1), row(INTS, (1, 3))),
    *rows("squeeze", row(X[:, :1]), row(X[:, None, :1], axis=1), row(X[:, None, :1], axis=(1, 2))),
    *rows(
        "broadcast_to", row(X, (2, 3, 4), symbolic=False), row(INTS[:, :1], (3, 5), symbolic=False)
    ),
    *rows("flip", row(X), row(CUBE, 1), row(INTS, axis=(0, 1))),
    *rows("fliplr flipud", row(X), row(INTS)),
    *rows("roll", row(X, 1), row(CUBE, 2, axis=1), row(INTS, (1, 2), (0, 1))),
    *rows(
        "rot90", row(X), row(CUBE, 3, axes=(1, 2)), row(INTS, k=2, shapes=False)
    ),  # Keras: the axes of k=1
    *rows("repeat", row(X, 2, axis=1), row(X, 3), row(CUBE, 2, -1)),
    *rows("tile", row(X, (2, 3)), row(CUBE, 2), row(INTS, (1, 2, 1))),
    *rows(
        "pad",
        row(X, ((0, 0), (1, 2))),
        row(CUBE, ((0, 0), (1, 2), (0, 1)), constant_values=7.0),
        row(CUBE, ((0, 0), (1, 2), (0, 1)), "reflect"),
        row(INTS, ((0, 0), (2, 1)), mode="reflect"),
    ),
    # ---- together and apart
    *rows(
        "concatenate",
        row([X, Y]),
        row([CUBE, CUBE], axis=1),
        row([INTS, OTHERS], -1),
        row([INTS, X]),
    ),
    *rows("stack", row([X, Y]), row([INTS, OTHERS], axis=1), row([CUBE, CUBE], -1)),
    *rows("hstack vstack dstack", row([X, Y]), row([INTS, OTHERS]), row([CUBE, CUBE])),
    *rows("append", row(X, Y), row(X, Y, axis=1), row(INTS, OTHERS, 0, symbolic=False)),
    *rows("split", row(X, 2, axis=1), row(CUBE, [1, 3], axis=2), row(INTS, 3, symbolic=False)),
    *rows("array_split", row(X, 3, axis=1), row(CUBE, 2, 1)),
    *rows("hsplit", row(X, 2), row(CUBE, [1, 2]), row(VECTOR, [2], symbolic=False)),
    *rows("vsplit", row(X, 3, symbolic=False), row(CUBE, [1], symbolic=False)),
    *rows("dsplit", row(CUBE, 2), row(CUBE, [1, 3])),
    *rows(
        "meshgrid", row(VECTOR, X[0], symbolic=False), row(STEPS, STEPS, STEPS[1:], symbolic=False)
    ),
    *rows("meshgrid", row(VECTOR, X[0], indexing="ij", symbolic=False)),
    # ---- choosing
    *rows(
        "get_item",
        row(CUBE, (slice(None), 0)),
        row(X, (Ellipsis, None, 1)),
        row(INTS, 1, symbolic=False),
    ),
    *rows("take", row(X, STEPS, axis=1, symbols=[0]), row(CUBE, STEPS, axis=1, symbols=[0])),
    *rows("take", row(X, STEPS, axis=0), row(X, STEPS), row(INTS, np.array([[0, -1]]), 1)),
    *rows(
        "take_along_axis",
        row(X, COUNTS % 4, axis=1),
        row(CUBE, CUBE.argsort(1), 1),
        row(X, STEPS, symbolic=False),
    ),
    *rows("where", row(BITS, X, Y), row(BITS, X, 0.0), row(BITS, INTS, Y), row(INTS, HALF, 1.0)),
    *rows("where", row(BITS, symbolic=False), row(CUBE > 0, symbolic=False)),
    *rows(
        "select",
        row([BITS, X > 1], [X, Y]),
        row([BITS, X > 1], [INTS, OTHERS], -1),
        row([BITS], [X], 7.5),
    ),
    *rows("nonzero", row(INTS, symbolic=False), row(CUBE > 0, symbolic=False)),
    *rows("isin", row(INTS, STEPS, symbols=[0]), row(X, Y), row(INTS, OTHERS, invert=True)),
    *rows("sort", row(X), row(CUBE, axis=1), row(INTS, 0), row(X, None)),
    *rows("argsort", row(X), row(CUBE, axis=1), row(INTS, 0), row(BITS, -1), row(X, None)),
    *rows(
        "searchsorted",
        row(np.sort(VECTOR), X, symbolic=False),
        row(np.sort(STEPS), INTS, side="right", symbolic=False),
    ),
    *rows(
        "digitize",
        row(X, np.sort(VECTOR), symbols=[0]),
        row(INTS, np.array([-2, 0, 3], "int32"), symbols=[0]),
    ),
    # a diagonal is as long as the shorter axis, which may be that of unknown size
    *rows("diag", row(X, shapes=False), row(VECTOR, 1), row(INTS, k=-1, shapes=False)),
    *rows("diagflat", row(VECTOR, symbolic=False), row(X, 1, symbolic=False)),
    *rows("diagonal", row(X, shapes=False), row(CUBE, 1, 1, 2), row(INTS, offset=-1, shapes=False)),
    *rows("tril triu", row(X), row(CUBE, 1), row(INTS, k=-1)),
    *rows("unravel_index", row(COUNTS, (3, 4)), row(np.array([5, 7]), (2, 2, 2), dtypes=False)),
    *rows("bincount", row(STEPS, symbolic=False), row(COUNTS, minlength=9, symbolic=False)),
    *rows("bincount", row(STEPS, weights=VECTOR[:4], symbolic=False, gradients=False)),
    *rows(
        "unique",
        row(INTS, symbolic=False),
        row(INTS, return_inverse=True, return_counts=True, symbolic=False),
    ),
    *rows(
        "unique", row(STEPS, return_index=True, symbolic=False), row(STEPS, size=2, symbolic=False)
    ),
    *rows("unique", row(STEPS, size=5, fill_value=9, return_counts=True, symbolic=False)),
    *rows("unique", row(np.array([[1, 2], [0, 1], [1, 2]]), axis=0, symbolic=False)),
    # ---- products
    *rows(
        "matmul",
        row(X, Y.T.copy(), symbols=[0]),
        row(CUBE, numbers(2, 4, 5)),
        row(CUBE, numbers(4, 5), symbols=[0]),
        row(INTS, OTHERS.T.copy(), symbols=[0]),
        row(INTS.astype("int8"), OTHERS.T.astype("int8"), symbols=[0]),
        row(X, numbers(4), symbols=[0]),
        row(INTS, numbers(4, 2), symbols=[0]),
    ),
    *rows(
        "dot",
        row(X, numbers(4, 5), symbols=[0]),
        row(CUBE, numbers(4), symbols=[0]),
        row(INTS, OTHERS.T.copy(), symbols=[0]),
    ),
    *rows(
        "inner",
        row(VECTOR, VECTOR, symbolic=False),
        row(X, Y, symbolic=False),
        row(INTS, OTHERS, symbolic=False),
    ),
    *rows("outer", row(VECTOR, X, symbolic=False), row(STEPS, INTS, symbolic=False)),
    *rows("vdot", row(VECTOR, VECTOR + 1, symbolic=False), row(STEPS, STEPS, symbolic=False)),
    *rows(
        "tensordot",
        row(CUBE, numbers(3, 4, 5), symbols=[0]),
        row(CUBE, numbers(4, 2), axes=(2, 0), symbolic=False),
    ),
    *rows("tensordot", row(INTS, OTHERS, axes=((0, 1), (0, 1)), symbolic=False)),
    *rows(
        "einsum",
        row("bij,bkj->bik", CUBE, CUBE),
        row("ij,kj", X, Y, symbolic=False),
        row("ij->j", X),
    ),
    *rows("kron", row(X, Y, symbolic=False), row(STEPS, STEPS, symbolic=False)),
    *rows(
        "cross",
        row(numbers(4, 3), numbers(4, 3, seed=1), axis=-1),
        row(numbers(3, 4), numbers(3, 4, seed=1), axis=0, symbolic=False),
    ),
    *rows("trace", row(X, shapes=False), row(CUBE, 1, 1, 2), row(INTS)),
    *rows("slogdet", row(numbers(2, 3, 3), shapes=False), row(numbers(4, 2, 2), shapes=False)),
    *rows("diff", row(X), row(CUBE, 2, 1), row(INTS, axis=1)),
    *rows("vander", row(VECTOR, gradients=False), row(STEPS, 3, increasing=True)),
    *rows("corrcoef", row(X, symbolic=False), row(INTS, symbolic=False)),
    *rows(
        "correlate", row(VECTOR, STEPS, symbolic=False), row(VECTOR, STEPS, "full", symbolic=False)
    ),
]


# Made of numbers: there is nothing symbolic about them.
MADE = [
    *rows("array", row(X), row([1, 2]), row([1.0, 2], "float16"), row(3.5)),
    *rows("zeros ones", row((2, 3)), row((2,), "int32"), row((), dtype="bool")),
    *rows("full", row((2, 3), 7), row((2,), 1, dtype="int32")),
    *rows("eye", row(3), row(2, 4, 1), row(4, 2, k=-1, dtype="int32")),
    *rows("identity", row(3), row(2, dtype="int32")),
    *rows("tri", row(3), row(2, 4, 1), row(4, 2, k=-1, dtype="int32")),
    *rows(
        "arange", row(5), row(2, 9, 3), row(0.0, 1.0, 0.25), row(3, dtype="float32"), row(5, 1, -1)
    ),
    *rows(
        "linspace", row(0, 1, 5), row(2.0, 7.0, num=4, endpoint=False), row(0, 1, 3, retstep=True)
    ),
    *rows("linspace", row(VECTOR, VECTOR + 2, 4), row(1, 5, 5, dtype="int32")),
    *rows("logspace", row(0, 2, 5), row(0, 3, 4, base=2), row(0, 1, 3, endpoint=False)),
    *rows("geomspace", row(1, 1000, 4), row(2.0, 32.0, num=5), row(1, 16, 4, endpoint=False)),
    *rows("bartlett blackman hamming hanning", row(7), row(4)),
    *rows("kaiser", row(7, 14.0), row(4, 2.0)),
]
LIKE = [
    *rows("zeros_like ones_like", row(X), row(INTS, dtype="float16"), row(CUBE)),
    *rows("full_like", row(X, 2), row(INTS, 3), row(INTS, 2.5, dtype="float32")),
    *rows("full", row((2, 4), VECTOR[:4], symbolic=False)),
]
CASES += LIKE


def named(cases):
    seen = {}
    for name, *_ in cases:
        seen[name] = seen.get(name, -1) + 1
        yield f"{name}-{seen[name]}"


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES, ids=list(named(CASES)))
def test_like_keras(name, args, kwargs):
    check(name, *args, **kwargs)


@pytest.mark.parametrize(("name", "args", "kwargs"), MADE, ids=list(named(MADE)))
def test_made_like_keras(name, args, kwargs):
    check(name, *args, symbolic=False, **kwargs)


def test_signatures():
    names = [name for name in dir(keras.ops.numpy) if name[0] != "_"]
    assert sorted(ops.numpy.__all__) == sorted(names)
    for name in names:
        same_signature(f"numpy.{name}")
        assert getattr(ops, name) is getattr(ops.numpy, name)


# Where Keras on torch is wrong or refuses: NumPy's numbers, and the reason.
FORGOTTEN = "keepdims is forgotten where all axes go"
AXES = "one axis only, or other axes than NumPy's"
ASKED = ("return_index", "return_inverse", "return_counts")
BY_NUMPY = [
    *((FORGOTTEN, n, (CUBE,), {"keepdims": True}) for n in ("sum", "prod", "max", "min", "amax")),
    *((FORGOTTEN, n, (CUBE,), {"keepdims": True}) for n in ("argmax", "all", "std", "ptp")),
    *((FORGOTTEN, n, (CUBE,), {"keepdims": True}) for n in ("nanmax", "nansum", "nanprod")),
    ("transposed", "count_nonzero", (CUBE > 0, 0), {}),
    (AXES, "count_nonzero", (CUBE > 0, (0, 2)), {}),
    (AXES, "average", (X,), {"axis": 0, "weights": VECTOR[:3]}),
    (AXES, "average", (X,), {"weights": POSITIVE}),
    (AXES, "cross", (numbers(3, 4), numbers(4, 3)), {"axisa": 0, "axisc": 0}),
    (AXES, "cross", (numbers(4, 2), numbers(4, 2, seed=1)), {}),
    (AXES, "cross", (numbers(4, 2), numbers(4, 3)), {}),
    ("a matrix product", "dot", (CUBE, numbers(5, 4, 2)), {}),
    (AXES, "linspace", (VECTOR, VECTOR + 1, 4), {"axis": 1}),
    ("divides by num - 1", "linspace", (VECTOR, VECTOR + 1, 4, False), {}),
    (AXES, "logspace", (VECTOR, VECTOR + 1, 4), {"axis": -1}),
    (AXES, "geomspace", (POSITIVE, POSITIVE + 1, 4), {"axis": 1}),
    ("refused", "geomspace", (-1.0, -16.0, 4), {}),
    ("another mode", "pad", (CUBE, ((1, 2), (0, 3), (1, 0)), "symmetric"), {}),
    ("refused", "pad", (CUBE, ((1, 1), (2, 0), (0, 1)), "reflect"), {}),
    ("refused", "pad", (VECTOR, 2, "reflect"), {}),
    ("refused", "pad", (X, ((1, 2),)), {}),
    ("wider than the axis", "pad", (VECTOR, ((9, 7),), "reflect"), {}),
    ("refused", "repeat", (INTS, [1, 0, 2, 1], 1), {}),
    ("counts from the end of the first axis", "take", (X, np.array([-1, 3])), {}),
    ("counts from the end of the first axis", "take", (CUBE, np.array([[-1, 1]]), 1), {}),
    ("other axes", "correlate", (VECTOR[:3], numbers(7)), {}),
    ("other axes", "correlate", (VECTOR[:3], numbers(7), "same"), {}),
    ("other axes", "correlate", (numbers(7), VECTOR[:3], "same"), {}),
    ("other axes", "correlate", (numbers(6), VECTOR[:4], "same"), {}),
    ("refused", "meshgrid", (VECTOR, STEPS), {}),
    ("refused", "array_split", (INTS, [1, 3], 1), {}),
    ("refused", "unique", (INTS,), dict.fromkeys(ASKED, True)),
    ("refused", "unique", (np.array([[1, 2], [0, 1], [1, 2]]),), {"return_index": True, "axis": 0}),
    ("limits as torch has them", "histogram", (X, 5), {}),
    ("limits as torch has them", "histogram", (X, [-1.0, 0.0, 0.5, 2.0]), {}),
    ("limits as torch has them", "histogram", (INTS, 4, (-3, 3)), {}),
    ("int64", "einsum", ("ij->j", INTS), {}),
]


@pytest.mark.parametrize(("why", "name", "args", "kwargs"), BY_NUMPY)
def test_like_numpy(why, name, args, kwargs):
    ours = getattr(ops, name)(*args, **kwargs)
    theirs = getattr(np, name)(*args, **kwargs)
    several = isinstance(theirs, (list, tuple))
    for a, b in zip(ours, theirs, strict=True) if several else [(ours, theirs)]:
        assert tuple(a.shape) == np.shape(b)
        floats = name == "histogram" or np.asarray(b).dtype.kind == "f"
        assert a.is_floating_point() == floats
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_argpartition():
    for x, axis in ((X, -1), (CUBE, 1), (INTS, 0), (X, None)):
        order = ops.argpartition(x, 1, axis)
        assert order.dtype is torch.int32
        x, axis = (x.ravel(), 0) if axis is None else (x, axis)
        chosen = np.take_along_axis(x, order.numpy().reshape(x.shape).astype("int64"), axis)
        limit = np.take(chosen, [1], axis)
        assert (np.take(chosen, [0], axis) <= limit).all()
        assert (np.delete(chosen, [0, 1], axis) >= limit).all()


def test_bincount_of_rows():
    """Keras stacks rows of different lengths, and fails."""
    rows = np.array([[0, 1, 1], [2, 2, 0]], "int32")
    assert ops.bincount(rows).tolist() == [[1, 2, 0], [1, 0, 2]]
    weighted = ops.bincount(rows, weights=np.ones((2, 3), "float32"), minlength=4)
    assert weighted.tolist() == [[1, 2, 0, 0], [1, 0, 2, 0]]


def test_vectorize():
    plain = ops.vectorize(lambda a, b: torch.where(a > b, a - b, a + b))
    np.testing.assert_allclose(
        plain(X, VECTOR[:4]), np.where(VECTOR[:4] < X, X - VECTOR[:4], X + VECTOR[:4]), rtol=1e-6
    )
    dot = ops.vectorize(torch.dot, signature="(n),(n)->()")
    np.testing.assert_allclose(dot(CUBE, X), np.einsum("bij,ij->bi", CUBE, X), rtol=1e-5)
    scaled = ops.vectorize(lambda a, how: a * (2 if how == "twice" else 3), excluded={1})
    np.testing.assert_allclose(scaled(X, "twice"), X * 2)
    with pytest.raises(ValueError, match=r"signature='n->'.*signature=\"\(m,n\),\(n\)->\(m\)\""):
        ops.vectorize(torch.dot, signature="n->")


def test_empty():
    assert ops.empty((2, 3)).shape == (2, 3) and ops.empty(4, "int32").dtype is torch.int32
    assert ops.empty_like(INTS).dtype is torch.int32 and ops.empty_like(X, "float16").shape == (
        3,
        4,
    )


# ---- numbers, dtypes and symbolic tensors ---------------------------------------------------


@pytest.mark.parametrize("other", [2, 2.5, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int8", "int32", "bool"])
@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "power", "where"])
def test_a_number_has_no_dtype_of_its_own(name, dtype, other):
    """By the rules of Keras's `result_type`, on whichever side the number stands."""
    x = ops.ones((2, 3), dtype)
    kind = bool if other is True else type(other)
    wanted = keras.backend.result_type(dtype, kind if kind is not bool else "bool")
    call = getattr(ops, name)
    first = (True,) if name == "where" else ()
    if name == "power" and dtype == "bool" and other is True:
        pytest.skip("truth values have no powers")
    for args in ((x, other), (other, x)):
        assert ops.dtype(call(*first, *args)) == wanted


ERRORS = [
    ("exp", ("abc",), TypeError, "An op got 'abc' (str). Tensors"),
    ("add", (X, None), TypeError, "unsupported operand"),
    ("split", (X, 3, 1), ValueError, "Equal parts need a divisor of 4. For parts of almost"),
    ("squeeze", (X, 0), ValueError, "Only an axis of size 1 can be left out. Index it"),
    ("max", (np.zeros((0, 3)),), ValueError, "the argument initial, is needed. Type initial=0."),
    ("pad", (X, 1, "edge"), ValueError, "got mode='edge'. 'constant', 'reflect' and"),
    ("pad", (X, 1, "reflect", 3), ValueError, "They belong to mode='constant'. Leave one"),
    ("rot90", (VECTOR,), ValueError, "Two different axes of a tensor with at least two"),
    ("searchsorted", (X, 1.0), ValueError, "A vector is accepted. For several, use"),
    ("ldexp", (X, Y), TypeError, "The exponents are integers. Type ops.cast(x2,"),
    ("bincount", (STEPS, None, 0, True), ValueError, "sparse=True. Tensors here are dense."),
    ("correlate", (X, X), ValueError, "are accepted, and vectors. Flatten the tensors"),
    ("meshgrid", (VECTOR,), ValueError, "got indexing='ab'. 'xy' and 'ij' are accepted."),
]


@pytest.mark.parametrize(("name", "args", "kind", "text"), ERRORS, ids=[e[0] for e in ERRORS])
def test_errors(name, args, kind, text):
    kwargs = {"indexing": "ab"} if name == "meshgrid" else {}
    with pytest.raises(kind) as error:
        getattr(ops, name)(*args, **kwargs)
    assert text in str(error.value)


def test_an_unknown_argument():
    with pytest.raises(TypeError, match=r"mean.*unexpected argument 'axs'\. Did you mean 'axis'"):
        ops.mean(X, axs=1)
    with pytest.raises(TypeError, match="unexpected argument 'keepdim'"):
        ops.sum(lk.Input((3,)), keepdim=True)
