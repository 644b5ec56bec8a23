"""Products of vectors and matrices, and what statistics makes of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightkeras.ops._op import family, floating, widened
from lightkeras.ops.numpy._reductions import total_dtype

# fmt: off
__all__ = [
    "corrcoef", "correlate", "cross", "diff", "dot", "einsum", "inner", "kron", "matmul", "outer",
    "slogdet", "tensordot", "trace", "vander", "vdot",
]
# fmt: on

op = family("numpy")


def _product(function, *xs):
    """`function` of tensors in their common dtype, also where torch has no product of integers."""
    dtype = xs[0].dtype
    for x in xs[1:]:
        dtype = torch.promote_types(dtype, x.dtype)
    if dtype.is_floating_point or dtype.is_complex:
        return function(*(x.to(dtype) for x in xs))
    on_cpu = xs[0].device.type == "cpu" and dtype is not torch.bool
    exact = dtype if on_cpu else torch.float64
    return function(*(x.to(exact) for x in xs)).to(dtype)


@op("x1", "x2")
def matmul(x1, x2):
    """Matrix product over the last two axes; two int8 matrices give int32.

    >>> matmul(torch.ones(5, 2, 3), torch.ones(3, 4)).shape
    torch.Size([5, 2, 4])
    """
    if x1.dtype is x2.dtype is torch.int8:
        x1, x2 = x1.to(torch.int32), x2.to(torch.int32)
    elif x1.dtype is x2.dtype and x1.is_floating_point():
        return torch.matmul(x1, x2)
    return _product(torch.matmul, x1, x2)


@op("x1", "x2")
def dot(x1, x2):
    """Sum over the last axis of x1 and the last but one of x2.

    >>> dot(torch.ones(2, 3), torch.ones(5, 3, 4)).shape
    torch.Size([2, 5, 4])
    """
    if x1.ndim == 0 or x2.ndim == 0:
        return x1 * x2
    if x2.ndim <= 2:
        return _product(torch.matmul, x1, x2)
    return _product(lambda a, b: torch.tensordot(a, b, dims=([-1], [-2])), x1, x2)


@op("x1", "x2")
def inner(x1, x2):
    """Sum over the last axes of both."""
    return _product(torch.inner, x1, x2)


@op("x1", "x2")
def outer(x1, x2):
    """Products of every value of x1 with every value of x2, both flattened."""
    return torch.outer(x1.flatten(), x2.flatten())


@op("x1", "x2")
def vdot(x1, x2):
    """Sum of the products of two flattened tensors (of x1 the conjugate)."""
    return _product(torch.vdot, x1.flatten(), x2.flatten())


@op("x1", "x2")
def tensordot(x1, x2, axes=2):
    """Sum over some axes of x1 and of x2.

    Args:
        x1: Tensor.
        x2: Tensor.
        axes: (axes of x1, axes of x2), or a number: so many last ones of x1 and first ones of x2.

    >>> tensordot(torch.ones(2, 3, 4), torch.ones(4, 5), axes=(2, 0)).shape
    torch.Size([2, 3, 5])
    """
    if not isinstance(axes, int):
        axes = tuple([a] if isinstance(a, int) else list(a) for a in axes)
    return _product(lambda a, b: torch.tensordot(a, b, dims=axes), x1, x2)


@op("*operands")
def einsum(subscripts, *operands, **kwargs):
    """Einstein's summation: a letter for each axis, those not behind the arrow are summed over.

    Args:
        subscripts: "bij,bjk->bik".
        *operands: Tensors.
        **kwargs: `optimize` of NumPy is taken and not needed.

    >>> einsum("bij,bkj->bik", torch.ones(5, 2, 3), torch.ones(5, 4, 3)).shape
    torch.Size([5, 2, 4])
    """
    if all(x.dtype is torch.int8 for x in operands):
        operands = tuple(x.to(torch.int32) for x in operands)
    return _product(lambda *xs: torch.einsum(subscripts, *xs), *operands)


@op("x1", "x2")
def kron(x1, x2):
    """Kronecker product: every value of x1 times the whole x2."""
    return torch.kron(x1, x2)


@op("x1", "x2")
def cross(x1, x2, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """Cross product of vectors of 3 (or 2) values.

    Args:
        x1: Tensor.
        x2: Tensor.
        axisa: The axis of x1 with the vectors.
        axisb: The axis of x2 with the vectors.
        axisc: The axis of the result with the vectors.
        axis: All three in one.

    >>> cross([1, 0, 0], [0, 1, 0])
    tensor([0, 0, 1], dtype=torch.int32)
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = (torch.movedim(x, i, -1) for x, i in ((x1, axisa), (x2, axisb)))
    flat = a.shape[-1] == b.shape[-1] == 2
    a, b = (F.pad(x, (0, 3 - x.shape[-1])) for x in (a, b))
    dtype = torch.promote_types(a.dtype, b.dtype)
    a, b = torch.broadcast_tensors(a.to(dtype), b.to(dtype))
    out = torch.linalg.cross(a, b)
    return out[..., 2] if flat else torch.movedim(out, -1, axisc)


@op
def trace(x, offset=0, axis1=0, axis2=1):
    """Sum of the diagonal over two axes."""
    return torch.sum(torch.diagonal(x, offset, axis1, axis2), -1, dtype=total_dtype(x.dtype))


@op
def slogdet(x):
    """Sign and logarithm of the absolute value of the determinants of matrices."""
    return tuple(torch.linalg.slogdet(floating(x)))


@op
def diff(a, n=1, axis=-1):
    """Differences of neighbours along an axis, n times."""
    return torch.diff(a, n, axis)


@op
def vander(x, N=None, increasing=False):
    """A Vandermonde matrix: the powers of x, the highest first unless `increasing`."""
    x = widened(x)
    powers = torch.arange(len(x) if N is None else N, dtype=x.dtype, device=x.device)
    return torch.pow(x[:, None], powers if increasing else powers.flip(0))


@op
def corrcoef(x):
    """Correlation coefficients of the rows."""
    return torch.corrcoef(floating(x))


@op("x1", "x2")
def correlate(x1, x2, mode="valid"):
    """Cross-correlation of two vectors: x2 moved along x1.

    Args:
        x1: Vector.
        x2: Vector.
        mode: "valid": where both overlap wholly; "same": as many values as the longer one has;
            "full": wherever they overlap.

    Raises:
        ValueError: the mode is not known, or a tensor is no vector.

    >>> correlate([1.0, 2.0, 3.0], [0.0, 1.0, 0.5])
    tensor([3.5000])
    """
    if mode not in ("valid", "same", "full") or x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(
            f"correlate() got mode={mode!r} and tensors of shapes {tuple(x1.shape)} and "
            f"{tuple(x2.shape)}. 'valid', 'same' and 'full' are accepted, and vectors. "
            "Flatten the tensors, or use ops.conv."
        )
    dtype = torch.promote_types(x1.dtype, x2.dtype)
    x1, x2 = floating(x1.to(dtype)), floating(x2.to(dtype))
    full = F.conv1d(x1[None, None], x2[None, None], padding=len(x2) - 1)[0, 0]
    short, long = sorted((len(x1), len(x2)))
    if mode == "full":
        return full
    length = long if mode == "same" else long - short + 1
    start = (len(full) - length) // 2 if mode == "same" else short - 1
    return full[start : start + length]
