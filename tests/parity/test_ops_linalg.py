"""ops.linalg against the installed Keras."""

import keras
import numpy as np
import pytest
import torch
from _ops import check, numbers, same_signature

from lightkeras import ops

NAMES = [name for name in dir(keras.ops.linalg) if name[0] != "_"]


def positive(*shape, dtype="float32"):
    """Symmetric, positive definite matrices."""
    x = numbers(*shape, dtype=dtype)
    return x @ x.swapaxes(-1, -2) + 2 * np.eye(shape[-1], dtype=dtype)


def regular(*shape):
    return numbers(*shape) + 2 * np.eye(shape[-1], dtype="float32")


def test_names_and_signatures():
    assert set(ops.linalg.__all__) == set(NAMES)
    for name in NAMES:
        same_signature(f"linalg.{name}")
        same_signature(name)
        assert getattr(ops, name) is getattr(ops.linalg, name)


MATRICES = [
    *(
        (name, x)
        for name in ("cholesky", "det", "inv")
        for x in (positive(4, 3, 3), positive(2, 2))
    ),
    *((name, regular(4, 3, 3)) for name in ("det", "inv", "lu_factor")),
    ("cholesky", positive(2, 3, 3, dtype="float64")),
    ("lu_factor", regular(5, 5)),
    ("eigh", positive(4, 3, 3)),
    ("eigh", np.diag([3.0, 1.0, 2.0]).astype("float32")),
    ("qr", numbers(2, 4, 3)),
    ("qr", numbers(2, 3, 4)),
    ("pinv", numbers(2, 4, 3)),
    ("pinv", numbers(3, 5)),
    ("matrix_rank", numbers(2, 4, 3)),
    ("matrix_rank", np.outer(np.arange(3.0), np.arange(4.0))),
    ("norm", numbers(3, 4)),
    ("norm", numbers(2, 3, 4)),
]


@pytest.mark.parametrize(("name", "x"), MATRICES)
def test_functions_of_one_matrix(name, x):
    # Keras's symbolic pivots are floats, what comes out in the end are integers, as ours
    dtypes, gradients = name != "lu_factor", name not in ("eigh", "qr")
    check(f"linalg.{name}", x, symbolic=x.ndim > 2, gradients=gradients, dtypes=dtypes)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 4)])
@pytest.mark.parametrize("upper", [False, True])
def test_cholesky(shape, upper):
    x = positive(*shape)
    check("linalg.cholesky", x, upper=upper, symbolic=len(shape) > 2)
    factor = ops.cholesky(x, upper=upper).numpy()
    check("linalg.cholesky_inverse", factor, upper=upper, symbolic=len(shape) > 2)
    check("linalg.cholesky_inverse", factor, upper, symbolic=len(shape) > 2)


@pytest.mark.parametrize("x", [regular(3, 3), regular(2, 4, 4)])
def test_eig(x):
    # symbolic, Keras's are real
    check("linalg.eig", x, gradients=False, symbolic=x.ndim > 2, dtypes=False)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5)])
@pytest.mark.parametrize("mode", ["reduced", "complete"])
def test_qr(shape, mode):
    check("linalg.qr", numbers(*shape), mode=mode, gradients=False, symbolic=len(shape) > 2)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5)])
@pytest.mark.parametrize("full", [False, True])
def test_svd(shape, full):
    check("linalg.svd", numbers(*shape), full, gradients=False, symbolic=len(shape) > 2)
    check("linalg.svd", numbers(*shape), full, compute_uv=False, symbolic=len(shape) > 2)


@pytest.mark.parametrize("kwargs", [{"tol": 0.5}, {"tol": 1e-3}])
def test_matrix_rank(kwargs):
    check("linalg.matrix_rank", numbers(2, 4, 3), **kwargs)


@pytest.mark.parametrize("rcond", [0.5, 1e-3])
def test_limits_of_singular_values(rcond):
    check("linalg.pinv", numbers(2, 4, 3), rcond=rcond, gradients=False)
    check(
        "linalg.lstsq", numbers(5, 3), numbers(5, 2), rcond=rcond, symbolic=False, gradients=False
    )


@pytest.mark.parametrize(
    "kwargs",
    [
        {"axis": 1},
        {"axis": -1, "ord": 1},
        {"axis": 1, "ord": 3, "keepdims": True},
        {"axis": -1, "ord": np.inf},
        {"axis": -1, "ord": -np.inf},
        {"axis": -1, "ord": 0},
        {"axis": (1, 2), "ord": "fro"},
        {"axis": (-2, -1), "ord": "nuc"},
        {"axis": (1, 2), "ord": 1, "keepdims": True},
        {"axis": (1, 2), "ord": 2},
        {"axis": (1, 2), "ord": np.inf},
    ],
)
@pytest.mark.parametrize("shape", [(3, 4, 2), (2, 5, 3)])
def test_norm(kwargs, shape):
    check("linalg.norm", numbers(*shape), **kwargs, gradients=kwargs.get("ord") != 0)


@pytest.mark.parametrize("dtype", ["int32", "int64", "bool", "float16"])
def test_norm_of_other_dtypes(dtype):
    x = numbers(3, 4, low=0, high=9, dtype="int32").astype(dtype)
    check("linalg.norm", x, axis=1, gradients=False, rtol=1e-3)


@pytest.mark.parametrize("name", ["solve", "solve_triangular"])
@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (2, 3, 4)), ((2, 3, 3), (2, 3))],
)
def test_equations(name, a, b):
    symbolic = len(a) > 2
    check(f"linalg.{name}", regular(*a), numbers(*b), symbolic=symbolic)
    if name == "solve_triangular":
        check(f"linalg.{name}", regular(*a), numbers(*b), lower=True, symbolic=symbolic)


@pytest.mark.parametrize(("a", "b"), [((5, 3), (5, 2)), ((4, 4), (4, 1))])
def test_lstsq(a, b):
    check("linalg.lstsq", numbers(*a), numbers(*b), symbolic=False, gradients=False)
    one = ops.lstsq(numbers(*a), numbers(*b)[:, 0])
    np.testing.assert_allclose(one, np.linalg.lstsq(numbers(*a), numbers(*b)[:, 0])[0], atol=1e-5)


@pytest.mark.parametrize("has_aux", [False, True])
def test_jvp(has_aux):
    def function(x, y):
        z = (x * y).sin()
        return (z, x + y) if has_aux else z

    primals, tangents = (
        [torch.tensor(numbers(3, seed=s)) for s in pair] for pair in ((0, 1), (2, 3))
    )
    results = [
        k.ops.jvp(function, tuple(primals), tuple(tangents), has_aux=has_aux)
        for k in (keras, type("ours", (), {"ops": ops}))
    ]
    assert len(results[0]) == len(results[1]) == 2 + has_aux
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    values, _ = ops.jvp(function, primals, tangents, has_aux)[:2]  # lists, too
    assert torch.equal(values, results[1][0])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ops.inv(numbers(2, 3)), r"inv\(\) got x of shape \(2, 3\)\. Square matrices"),
        (lambda: ops.det(numbers(3)), r"det\(\) got x of shape \(3,\)\. Square"),
        (lambda: ops.svd(numbers(3)), r"svd\(\) got x of shape \(3,\)\. Matrices"),
        (lambda: ops.cholesky(-np.eye(2)), "not positive definite.*Add a little to the diagonal"),
        (lambda: ops.qr(numbers(3, 3), "reduce"), "Did you mean 'reduced'"),
        (lambda: ops.solve(numbers(3, 3), numbers(4)), r"a of shape \(3, 3\) and b of shape \(4,"),
        (lambda: ops.lstsq(numbers(3, 2), numbers(2, 1)), "lstsq.*Check the shape of b"),
    ],
)
def test_errors(call, text):
    with pytest.raises(ValueError, match=text):
        call()
