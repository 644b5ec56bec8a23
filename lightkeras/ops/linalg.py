"""Linear algebra: matrices stand in the last two axes, others count them."""

from __future__ import annotations

import torch

from lightkeras._older import old_names
from lightkeras._registry import unknown
from lightkeras.ops._op import family, floating

__all__ = [
    "cholesky",
    "cholesky_inverse",
    "det",
    "eig",
    "eigh",
    "inv",
    "jvp",
    "lstsq",
    "lu_factor",
    "matrix_rank",
    "norm",
    "pinv",
    "qr",
    "solve",
    "solve_triangular",
    "svd",
]

op = family("linalg")


# ---- checks -----------------------------------------------------------------------------------


def _matrices(name, x, square=False):
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        kind = "Square matrices, (..., n, n)," if square else "Matrices, (..., m, n),"
        raise ValueError(
            f"{name}() got x of shape {tuple(x.shape)}. {kind} are accepted. "
            "Bring it into that shape with ops.reshape."
        )


def _equations(name, a, b):
    """Refuse `a x = b` whose sizes do not go together."""
    _matrices(name, a, square=True)
    if b.ndim not in (a.ndim - 1, a.ndim) or b.shape[a.ndim - 2] != a.shape[-1]:
        raise ValueError(
            f"{name}() got a of shape {tuple(a.shape)} and b of shape {tuple(b.shape)}. As many "
            "rows in b as in a, (..., n) or (..., n, k), are accepted. Check the shape of b."
        )


# ---- factors ----------------------------------------------------------------------------------


@op
def cholesky(x, upper=False):
    """The triangular matrix whose product with its transpose is `x`.

    Args:
        x: Symmetric, positive definite matrices.
        upper: Whether it is the upper one.

    Shape: `(..., n, n)` -> `(..., n, n)`

    Raises:
        ValueError: they are not square, or not positive definite.

    >>> cholesky([[4.0, 0.0], [0.0, 9.0]]).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    _matrices("cholesky", x, square=True)
    try:
        return torch.linalg.cholesky(x, upper=upper)
    except torch.linalg.LinAlgError:
        raise ValueError(
            f"cholesky() got x of shape {tuple(x.shape)} that is not positive definite. Symmetric "
            "matrices with eigenvalues above 0 are accepted. Add a little to the diagonal, "
            "1e-6 * ops.eye(n)."
        ) from None


@op
def cholesky_inverse(x, upper=False):
    """The inverse of a matrix from its triangular factor.

    Args:
        x: What `cholesky` gives.
        upper: Whether it is the upper one.

    >>> cholesky_inverse([[2.0]])
    tensor([[0.2500]])
    """
    _matrices("cholesky_inverse", x, square=True)
    return torch.cholesky_inverse(x, upper=upper)


@op
def eig(x):
    """(eigenvalues, eigenvectors), both complex: `(..., n, n)` -> `(..., n)`, `(..., n, n)`."""
    _matrices("eig", x, square=True)
    return tuple(torch.linalg.eig(x))


@op
def eigh(x):
    """(eigenvalues, eigenvectors) of symmetric matrices, from the smallest eigenvalue on.

    Shape: `(..., n, n)` -> `(..., n)`, `(..., n, n)`

    >>> values, vectors = eigh([[2.0, 0.0], [0.0, 1.0]])
    >>> values.tolist()
    [1.0, 2.0]
    """
    _matrices("eigh", x, square=True)
    return tuple(torch.linalg.eigh(x))


@op
def lu_factor(x):
    """(both triangular factors in one matrix, the row that each row changed places with).

    Shape: `(..., m, n)` -> `(..., m, n)`, `(..., min(m, n))`, int32 from 0
    """
    _matrices("lu_factor", x)
    factors, pivots = torch.linalg.lu_factor(x)
    return factors, pivots - 1


@op
def qr(x, mode="reduced"):
    """(matrix with orthonormal columns, upper triangular matrix), whose product is `x`.

    Args:
        x: Matrices.
        mode: "reduced", or "complete" for a square first matrix.

    Shape: `(..., m, n)` -> `(..., m, k)`, `(..., k, n)`; k is `min(m, n)`, or m if "complete"

    Raises:
        ValueError: nobody knows the mode.
    """
    if mode not in ("reduced", "complete"):
        raise unknown("mode of qr", mode, ["reduced", "complete"])
    _matrices("qr", x)
    return tuple(torch.linalg.qr(x, mode))


@op(keras="SVD")
def svd(x, full_matrices=True, compute_uv=True):
    """Singular values.

    Args:
        x: Matrices.
        full_matrices: Whether the outer matrices are square.
        compute_uv: Whether there are outer matrices; else only the singular values.

    Shape: `(..., m, n)` -> `(..., m, m)`, `(..., min(m, n))`, `(..., n, n)`

    >>> svd([[3.0, 0.0], [0.0, 4.0]], compute_uv=False).tolist()
    [4.0, 3.0]
    """
    _matrices("svd", x)
    if not compute_uv:
        return torch.linalg.svdvals(x)
    return tuple(torch.linalg.svd(x, full_matrices))


# ---- numbers of a matrix ----------------------------------------------------------------------


@op
def det(x):
    """Determinants: `(..., n, n)` -> `(...)`.

    >>> det([[1.0, 2.0], [3.0, 4.0]])
    tensor(-2.)
    """
    _matrices("det", x, square=True)
    return torch.linalg.det(x)


@op
def matrix_rank(x, tol=None):
    """How many singular values are not 0: `(..., m, n)` -> `(...)`, int32.

    Args:
        x: Matrices.
        tol: Up to where they count as 0; by default what rounding may leave.

    >>> int(matrix_rank([[1.0, 2.0], [2.0, 4.0]]))
    1
    """
    _matrices("matrix_rank", x)
    return torch.linalg.matrix_rank(x, atol=tol).int()


@op
def norm(x, ord=None, axis=None, keepdims=False):
    """Norms of vectors or matrices.

    Args:
        x: Tensor.
        ord: Kind of norm: None (the root of the sum of squares), a number, inf, -inf; of matrices
            also "fro" and "nuc".
        axis: One axis for vectors, two for matrices; None for all.
        keepdims: Whether the axes stay, with size 1.

    >>> norm([3.0, 4.0])
    tensor(5.)
    """
    return torch.linalg.norm(floating(x), ord, axis, keepdims)


# ---- inverses and equations -------------------------------------------------------------------


@op
def inv(x):
    """Inverses: `(..., n, n)` -> `(..., n, n)`.

    >>> inv([[2.0, 0.0], [0.0, 4.0]]).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    _matrices("inv", x, square=True)
    return torch.linalg.inv(x)


@op
def pinv(x, rcond=None):
    """Pseudo-inverses: `(..., m, n)` -> `(..., n, m)`.

    Args:
        x: Matrices.
        rcond: Share of the largest singular value up to which others count as 0.
    """
    _matrices("pinv", x)
    return torch.linalg.pinv(x, rtol=rcond)


@op("a", "b")
def solve(a, b):
    """x of `a x = b`.

    Shape: `(..., n, n)` and `(..., n)` or `(..., n, k)` -> that of b

    Raises:
        ValueError: the sizes do not go together.

    >>> solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0])
    tensor([1.0000, 0.5000])
    """
    _equations("solve", a, b)
    return torch.linalg.solve(a, b)


@op("a", "b")
def solve_triangular(a, b, lower=False):
    """x of `a x = b` for triangular `a`; the rest of it is not read.

    Args:
        a: Matrices.
        b: Right sides.
        lower: Whether it is the lower triangle.

    Shape: `(..., n, n)` and `(..., n)` or `(..., n, k)` -> that of b

    Raises:
        ValueError: the sizes do not go together.
    """
    _equations("solve_triangular", a, b)
    if b.ndim == a.ndim:
        return torch.linalg.solve_triangular(a, b, upper=not lower)
    return torch.linalg.solve_triangular(a, b.unsqueeze(-1), upper=not lower).squeeze(-1)


@op("a", "b")
def lstsq(a, b, rcond=None):
    """x for which `a x - b` is smallest.

    Args:
        a: A matrix `(m, n)`.
        b: Right sides `(m,)` or `(m, k)`.
        rcond: Share of the largest singular value up to which others count as 0.

    Raises:
        ValueError: the sizes do not go together.

    >>> lstsq([[1.0], [1.0]], [[1.0], [2.0]]).tolist()
    [[1.5]]
    """
    if a.ndim != 2 or b.ndim not in (1, 2) or len(a) != len(b):
        raise ValueError(
            f"lstsq() got a of shape {tuple(a.shape)} and b of shape {tuple(b.shape)}. (m, n), and "
            "(m,) or (m, k) are accepted. Check the shape of b."
        )
    columns = b if b.ndim == 2 else b[:, None]
    if rcond is None:
        x = torch.linalg.lstsq(a, columns).solution
    else:  # torch's kernels but one know no such limit
        x = torch.linalg.pinv(a, rtol=rcond) @ columns
    return x if b.ndim == 2 else x[:, 0]


@op("*primals", "*tangents", keras="JVP")
def jvp(fun, primals, tangents, has_aux=False):
    """(fun(*primals), how it changes along the tangents): a derivative taken forwards.

    Args:
        fun: A function of tensors.
        primals: Its arguments, a list or tuple.
        tangents: A direction for each of them.
        has_aux: Whether `fun` returns (result, more); then `more` comes out third.

    >>> value, slope = jvp(torch.square, (torch.tensor(3.0),), (torch.tensor(1.0),))
    >>> value, slope
    (tensor(9.), tensor(6.))
    """
    return torch.func.jvp(fun, tuple(primals), tuple(tangents), has_aux=has_aux)


__getattr__ = old_names(__name__)
