"""Making tensors: constants, ranges, windows, and functions of one's own over many values."""

from __future__ import annotations

import re

import torch

from lightkeras._device import default_device
from lightkeras._dtypes import result_type, torch_dtype
from lightkeras.ops import core
from lightkeras.ops._op import family, tensor

# fmt: off
__all__ = [
    "arange", "array", "bartlett", "blackman", "empty", "empty_like", "eye", "full", "full_like",
    "geomspace", "hamming", "hanning", "identity", "kaiser", "linspace", "logspace", "ones",
    "ones_like", "tri", "vectorize", "zeros", "zeros_like",
]
# fmt: on

op = family("numpy")


@op
def array(x, dtype=None):
    """`convert_to_tensor`."""
    return core.convert_to_tensor(x, dtype)


# ---- constants ----------------------------------------------------------------------------------


def _new(make, shape, dtype, **kwargs):
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return make(shape, dtype=torch_dtype(dtype), device=default_device(), **kwargs)


def zeros(shape, dtype=None):
    """A tensor of 0, in `floatx()` by default.

    >>> zeros(2)
    tensor([0., 0.])
    """
    return _new(torch.zeros, shape, dtype)


def ones(shape, dtype=None):
    """A tensor of 1, in `floatx()` by default."""
    return _new(torch.ones, shape, dtype)


def empty(shape, dtype=None):
    """A tensor with whatever stands in memory, in `floatx()` by default."""
    return _new(torch.empty, shape, dtype)


@op("fill_value")
def full(shape, fill_value, dtype=None):
    """A tensor of one value, or of a tensor repeated in front.

    Args:
        shape: The shape.
        fill_value: A number, or a tensor that can be broadcast to the shape.
        dtype: `floatx()` by default.

    >>> full((2, 3), 7, "int32")
    tensor([[7, 7, 7],
            [7, 7, 7]], dtype=torch.int32)
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return fill_value.to(torch_dtype(dtype)).expand(shape).clone()


@op
def zeros_like(x, dtype=None):
    """0 in the shape and dtype of x."""
    return torch.zeros_like(x, dtype=_or_own(dtype, x))


@op
def ones_like(x, dtype=None):
    """1 in the shape and dtype of x."""
    return torch.ones_like(x, dtype=_or_own(dtype, x))


@op
def empty_like(x, dtype=None):
    """Whatever stands in memory, in the shape and dtype of x."""
    return torch.empty_like(x, dtype=_or_own(dtype, x))


@op("x", "fill_value")
def full_like(x, fill_value, dtype=None):
    """One value in the shape and dtype of x."""
    return tensor(fill_value, _or_own(dtype, x)).expand(x.shape).clone()


def _or_own(dtype, x):
    return torch_dtype(dtype) if dtype is not None else x.dtype


def eye(N, M=None, k=0, dtype=None):
    """N rows and M columns (by default N) of 0 with 1 on a diagonal.

    >>> eye(2, 3, k=1)
    tensor([[0., 1., 0.],
            [0., 0., 1.]])
    """
    rows = torch.arange(N, device=default_device())[:, None]
    columns = torch.arange(N if M is None else M, device=default_device())
    return (columns - rows == (k or 0)).to(torch_dtype(dtype))


def identity(n, dtype=None):
    """A square matrix of 0 with 1 on the diagonal."""
    return eye(n, dtype=dtype)


def tri(N, M=None, k=0, dtype=None):
    """N rows and M columns (by default N) with 1 on a diagonal and below, 0 above."""
    return torch.tril(_new(torch.ones, (N, N if M is None else M), dtype), k)


# ---- ranges -------------------------------------------------------------------------------------


@op("=start", "=stop", "=step")
def arange(start, stop=None, step=None, dtype=None):
    """Numbers from `start` to `stop` (excluded) at a distance of `step`; one number is the stop.

    Args:
        start: First number, 0 if it is the only argument.
        stop: The end, which is not in it.
        step: 1 by default.
        dtype: By default that of the arguments: int32 for Python's integers.

    >>> arange(3), arange(0, 1, 0.5)
    (tensor([0, 1, 2], dtype=torch.int32), tensor([0.0000, 0.5000]))
    """
    if dtype is None:
        dtype = result_type(*(_kind(v) for v in (start, stop, step) if v is not None))
    start, stop = (0, start) if stop is None else (start, stop)
    step = 1 if step is None else step
    return torch.arange(start, stop, step, dtype=torch_dtype(dtype), device=default_device())


def _kind(value):
    return getattr(value, "dtype", type(value))


@op("start", "stop")
def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    """Numbers at equal distances.

    Args:
        start: First number, or a tensor of them.
        stop: Last number, or a tensor of them.
        num: How many.
        endpoint: Whether `stop` is the last one; else it would be the next.
        retstep: Whether the distance comes, too.
        dtype: A float by default.
        axis: Where the numbers stand in the result, for tensors.

    >>> linspace(0, 1, 3)
    tensor([0.0000, 0.5000, 1.0000])
    """
    kind = torch_dtype(dtype or result_type(start.dtype, stop.dtype, float))
    values, step = _line(start, stop, num, endpoint, _exact(kind))
    values = torch.movedim(values, 0, axis).to(kind)
    return (values, step.to(kind)) if retstep else values


def _exact(kind):
    """The dtype to compute in."""
    return kind if kind in (torch.float64, torch.complex64, torch.complex128) else torch.float32


def _line(start, stop, num, endpoint, dtype):
    """(num values along a new first axis, their distance)."""
    start, stop = torch.broadcast_tensors(start.to(dtype), stop.to(dtype))
    parts = num - 1 if endpoint else num
    step = (stop - start) / parts if parts > 0 else torch.full_like(start, torch.nan)
    count = torch.arange(num, device=start.device).reshape(-1, *[1] * start.ndim)
    if parts <= 0:
        return start + 0 * count, step
    # Counted from the nearer end, so that both ends are met exactly.
    near = start + count * step
    far = stop - (parts - count) * step
    return torch.where(2 * count < num, near, far), step


@op("start", "stop")
def logspace(start, stop, num=50, endpoint=True, base=10, dtype=None, axis=0):
    """`base` to the power of numbers at equal distances.

    Args:
        start: First exponent, or a tensor of them.
        stop: Last exponent, or a tensor of them.
        num: How many.
        endpoint: Whether `stop` is the last one; else it would be the next.
        base: The base.
        dtype: A float by default.
        axis: Where the numbers stand in the result, for tensors.

    >>> logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    kind = torch_dtype(dtype or result_type(start.dtype, stop.dtype, float))
    values, _ = _line(start, stop, num, endpoint, torch.float64)
    return torch.movedim(torch.pow(base, values), 0, axis).to(kind)


@op("start", "stop")
def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    """Numbers of which each is the one before times the same factor.

    Args:
        start: First number, or a tensor of them.
        stop: Last number, or a tensor of them, of the same sign.
        num: How many.
        endpoint: Whether `stop` is the last one; else it would be the next.
        dtype: A float by default.
        axis: Where the numbers stand in the result, for tensors.

    >>> geomspace(1, 8, 4)
    tensor([1., 2., 4., 8.])
    """
    kind = torch_dtype(dtype or result_type(start.dtype, stop.dtype, float))
    first, last = (torch.log(torch.abs(x.double())) for x in (start, stop))
    values, _ = _line(first, last, num, endpoint, torch.float64)
    return torch.movedim(torch.sign(start) * torch.exp(values), 0, axis).to(kind)


# ---- windows ------------------------------------------------------------------------------------


def _window(make, x, *args):
    return make(int(x), *args, device=getattr(x, "device", None))


@op("=x")
def bartlett(x):
    """A triangular window of x values."""
    return _window(torch.signal.windows.bartlett, x)


@op("=x")
def blackman(x):
    """Blackman's window of x values."""
    return _window(torch.signal.windows.blackman, x)


@op("=x")
def hamming(x):
    """Hamming's window of x values."""
    return _window(torch.signal.windows.hamming, x)


@op("=x")
def hanning(x):
    """Von Hann's window of x values."""
    return _window(torch.signal.windows.hann, x)


@op("=x")
def kaiser(x, beta):
    """Kaiser's window of x values, narrower for larger `beta`."""
    return torch.signal.windows.kaiser(int(x), beta=float(beta))


# ---- one's own functions ------------------------------------------------------------------------


def vectorize(pyfunc, *, excluded=None, signature=None):
    """A function of single values (or of small tensors) as one of tensors, with broadcasting.

    Args:
        pyfunc: The function, of torch functions or ops.
        excluded: Positions of arguments that are handed over as they are.
        signature: The axes that the function itself takes, "(n),(n)->()"; by default none.

    Raises:
        ValueError: the signature cannot be read.

    >>> norm = vectorize(lambda v: torch.sum(v * v), signature="(n)->()")
    >>> norm(torch.ones(4, 3))
    tensor([3., 3., 3., 3.])
    """
    left_out = set(excluded or ())
    ranks = None if signature is None else _ranks(signature)

    def vectorized(*args, **kwargs):
        own = [i for i in range(len(args)) if i not in left_out]
        tensors = [tensor(args[i]) for i in own]
        inner = dict(zip(own, ranks or [0] * len(own), strict=True))
        outer = [t.shape[: t.ndim - inner[i]] for i, t in zip(own, tensors, strict=True)]
        common = torch.broadcast_shapes(*outer)
        tensors = [
            t.expand(*common, *t.shape[t.ndim - inner[i] :])
            for i, t in zip(own, tensors, strict=True)
        ]

        def call(*values):
            given = list(args)
            for i, value in zip(own, values, strict=True):
                given[i] = value
            return pyfunc(*given, **kwargs)

        for _ in common:
            call = torch.vmap(call)
        return call(*tensors)

    return vectorized


def _ranks(signature):
    """Number of axes of each argument in "(m,n),(n)->(m)"."""
    if not re.fullmatch(r"\s*(\([\w,\s]*\)\s*,?\s*)+->.*", signature):
        raise ValueError(
            f"vectorize() got signature={signature!r}. It names the axes of the arguments and of "
            'the results. Type for example signature="(m,n),(n)->(m)".'
        )
    groups = re.findall(r"\(([\w,\s]*)\)", signature.partition("->")[0])
    return [len([name for name in group.split(",") if name.strip()]) for group in groups]
