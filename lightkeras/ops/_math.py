"""Segments, Fourier transforms, and single functions of mathematics."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightkeras._dtypes import is_int
from lightkeras._registry import unknown
from lightkeras.ops._op import family

__all__ = [
    "cdist",
    "erf",
    "erfc",
    "erfinv",
    "extract_sequences",
    "fft",
    "fft2",
    "ifft2",
    "in_top_k",
    "irfft",
    "istft",
    "logdet",
    "logsumexp",
    "rfft",
    "rsqrt",
    "segment_max",
    "segment_min",
    "segment_prod",
    "segment_sum",
    "stft",
    "top_k",
    "view_as_complex",
    "view_as_real",
]

op = family("math")


# ---- element by element -----------------------------------------------------------------------


@op
def rsqrt(x):
    """1 / sqrt(x).

    >>> rsqrt([1.0, 4.0])
    tensor([1.0000, 0.5000])
    """
    return torch.rsqrt(x)


@op
def erf(x):
    """The error function."""
    return torch.erf(x)


@op
def erfc(x):
    """1 - erf(x), also where it is tiny."""
    return torch.erfc(x)


@op
def erfinv(x):
    """The inverse of `erf`, for numbers between -1 and 1.

    >>> erfinv(erf([0.5]))
    tensor([0.5000])
    """
    return torch.erfinv(x)


@op
def view_as_complex(x):
    """Complex numbers from pairs of real ones.

    Shape: `(..., 2)` -> `(...)`, complex64

    Raises:
        ValueError: the last axis has not two numbers.

    >>> view_as_complex([[1.0, 2.0]])
    tensor([1.+2.j])
    """
    if not x.ndim or x.shape[-1] != 2:
        raise ValueError(
            f"view_as_complex() got x of shape {tuple(x.shape)}. The last axis holds the real and "
            "the imaginary part. Type ops.stack((real, imaginary), axis=-1)."
        )
    return torch.complex(x[..., 0].float(), x[..., 1].float())


@op
def view_as_real(x):
    """Pairs of real and imaginary parts: `(...)` -> `(..., 2)`.

    >>> view_as_real(view_as_complex([[1.0, 2.0]]))
    tensor([[1., 2.]])
    """
    imaginary = x.imag if x.is_complex() else torch.zeros_like(x)
    return torch.stack((x.real, imaginary), -1)


# ---- along an axis ----------------------------------------------------------------------------


@op
def logsumexp(x, axis=None, keepdims=False):
    """log(sum(exp(x))), without overflow.

    Args:
        x: Tensor.
        axis: One axis, several, or None: all.
        keepdims: Whether the axes stay, with size 1.

    >>> logsumexp([0.0, 0.0])
    tensor(0.6931)
    """
    return torch.logsumexp(x, tuple(range(x.ndim)) if axis is None else axis, keepdim=keepdims)


@op
def top_k(x, k, sorted=True):
    """The `k` largest values of the last axis: (values, where they are).

    Args:
        x: Tensor.
        k: How many.
        sorted: Whether the largest comes first; else in any order.

    Shape: `(..., n)` -> twice `(..., k)`

    Raises:
        ValueError: there are fewer than `k`.

    >>> values, indices = top_k([3, 1, 2], 2)
    >>> values.tolist(), indices.tolist()
    ([3, 2], [0, 2])
    """
    if not x.ndim or not 0 <= k <= x.shape[-1]:
        raise ValueError(
            f"top_k() got k={k} and x of shape {tuple(x.shape)}. From 0 to the size of the last "
            "axis are accepted. Choose a smaller k."
        )
    return tuple(torch.topk(x, k, sorted=sorted))


@op("targets", "predictions")
def in_top_k(targets, predictions, k):
    """Whether the target class is among the `k` classes with the highest predictions.

    A class that ties with the last one counts.

    Shape: targets `(batch,)`, predictions `(batch, classes)` -> `(batch,)`, bool

    >>> in_top_k([1, 0], [[0.2, 0.5, 0.3], [0.2, 0.5, 0.3]], 2)
    tensor([ True, False])
    """
    least = torch.topk(predictions, k).values[..., -1]
    return predictions.gather(-1, targets.long()[:, None]).squeeze(-1) >= least


# ---- segments ---------------------------------------------------------------------------------


@op("data", "segment_ids")
def segment_sum(data, segment_ids, num_segments=None, sorted=False):
    """Sums of the rows of each segment.

    Args:
        data: Rows.
        segment_ids: The segment of each row; rows of a negative or too large one are left out.
        num_segments: How many segments there are; the largest number plus one by default, which
            waits for the device.
        sorted: Whether the numbers of the segments are in order; no difference here.

    Shape: `(n, ...)` and `(n,)` -> `(num_segments, ...)`

    Raises:
        ValueError: there is not one segment for each row.

    >>> segment_sum([1, 2, 3], [0, 0, 2])
    tensor([3, 0, 3], dtype=torch.int32)
    """
    return _reduced("segment_sum", "sum", 0, data, segment_ids, num_segments)


@op("data", "segment_ids")
def segment_max(data, segment_ids, num_segments=None, sorted=False):
    """Largest values of each segment, the lowest of the dtype where it is empty.

    The arguments are those of `segment_sum`.
    """
    return _reduced("segment_max", "amax", _ends(data)[0], data, segment_ids, num_segments)


@op("data", "segment_ids")
def segment_min(data, segment_ids, num_segments=None, sorted=False):
    """Smallest values of each segment, the highest of the dtype where it is empty.

    The arguments are those of `segment_sum`.
    """
    return _reduced("segment_min", "amin", _ends(data)[1], data, segment_ids, num_segments)


@op("data", "segment_ids")
def segment_prod(data, segment_ids, num_segments=None, sorted=False):
    """Products of each segment, 1 where it is empty; the arguments are those of `segment_sum`."""
    return _reduced("segment_prod", "prod", 1, data, segment_ids, num_segments)


def _ends(data):
    if is_int(data.dtype):
        limits = torch.iinfo(data.dtype)
        return limits.min, limits.max
    return float("-inf"), float("inf")


def _reduced(name, reduction, start, data, ids, count):
    if ids.ndim != 1 or not data.ndim or len(ids) != len(data):
        raise ValueError(
            f"{name}() got data of shape {tuple(data.shape)} and segment_ids of shape "
            f"{tuple(ids.shape)}. One number for each row of data is accepted. Check len(data)."
        )
    ids = ids.long()
    if count is None:  # a shape run has no numbers: as many as rows, an unknown one if theirs is
        count = len(ids) if ids.is_meta else int(ids.max()) + 1
    ids = torch.where((ids < 0) | (ids >= count), count, ids)  # those go to one more, cut off
    ids = ids.view(-1, *(1,) * (data.ndim - 1)).expand_as(data)
    result = data.new_full((count + 1, *data.shape[1:]), start)
    return result.scatter_reduce(0, ids, data, reduction)[:-1]


# ---- distances --------------------------------------------------------------------------------


@op("x", "y", keras="CDist")
def cdist(x, y):
    """Euclidean distance of each row of `x` to each row of `y`.

    Shape: `(..., n, d)` and `(..., m, d)` -> `(..., n, m)`

    Raises:
        ValueError: the rows have different sizes, or there are no rows.

    >>> cdist([[0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0]])
    tensor([[5., 1.]])
    """
    if x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"cdist() got x of shape {tuple(x.shape)} and y of shape {tuple(y.shape)}. Rows of "
            "the same size, (..., n, d) and (..., m, d), are accepted. Reshape one of them."
        )
    return (x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1).sqrt()


@op
def logdet(x):
    """log(det(x)) of positive definite matrices: `(..., n, n)` -> `(...)`."""
    return torch.logdet(x)


# ---- Fourier transforms -----------------------------------------------------------------------
# Complex numbers go in and come out as pairs of real tensors: (real, imaginary).


@op("*x", keras="FFT")
def fft(x):
    """Fourier transform of the last axis.

    Args:
        x: A pair of float tensors, the real and the imaginary part.

    Raises:
        ValueError: it is no such pair.

    >>> real, imaginary = fft(([1.0, 0.0], [0.0, 0.0]))
    >>> real
    tensor([1., 1.])
    """
    return _pair(torch.fft.fft(_complex("fft", x)))


@op("*x", keras="FFT2")
def fft2(x):
    """Fourier transform of the last two axes; arguments as for `fft`."""
    return _pair(torch.fft.fft2(_complex("fft2", x)))


@op("*x", keras="IFFT2")
def ifft2(x):
    """The inverse of `fft2`; arguments as for `fft`."""
    return _pair(torch.fft.ifft2(_complex("ifft2", x)))


@op(keras="RFFT")
def rfft(x, fft_length=None):
    """Fourier transform of real numbers, the last axis: the half that says all.

    Args:
        x: Tensor.
        fft_length: Size that the axis is cut or filled up with zeros to.

    Shape: `(..., n)` -> a pair of `(..., fft_length // 2 + 1)`
    """
    return _pair(torch.fft.rfft(x, fft_length))


@op("*x", keras="IRFFT")
def irfft(x, fft_length=None):
    """The inverse of `rfft`.

    Args:
        x: A pair of float tensors, the real and the imaginary part.
        fft_length: Size of the result's last axis; by default twice that of `x`, minus two.

    Raises:
        ValueError: it is no such pair.
    """
    return torch.fft.irfft(_complex("irfft", x), fft_length)


def _pair(x):
    return x.real, x.imag


def _complex(name, x):
    real, imaginary = x if isinstance(x, (tuple, list)) and len(x) == 2 else (x, None)
    floats = imaginary is not None and real.is_floating_point() and imaginary.is_floating_point()
    if not floats or real.shape != imaginary.shape:
        raise ValueError(
            f"{name}() got no pair of float tensors of one shape. The real and the imaginary part "
            f"are accepted. Type {name}((x, ops.zeros_like(x)))."
        )
    return torch.complex(real, imaginary)


# ---- short-time Fourier transforms ------------------------------------------------------------


@op
def extract_sequences(x, sequence_length, sequence_stride):
    """Pieces of the last axis, one every `sequence_stride`.

    Shape: `(..., n)` -> `(..., 1 + (n - sequence_length) // sequence_stride, sequence_length)`

    >>> extract_sequences([1, 2, 3, 4, 5], 3, 2).tolist()
    [[1, 2, 3], [3, 4, 5]]
    """
    return x.unfold(-1, sequence_length, sequence_stride).contiguous()


@op(keras="STFT")
def stft(x, sequence_length, sequence_stride, fft_length, window="hann", center=True):
    """Fourier transforms of the pieces of a signal.

    Args:
        x: Signals, float32 or float64.
        sequence_length: Size of a piece.
        sequence_stride: Steps from one piece to the next.
        fft_length: Size that pieces are filled up to with zeros.
        window: What pieces are multiplied with: "hann", "hamming", numbers, or None.
        center: Whether the first piece has its middle at the first step; the signal goes on
            mirrored before and after.

    Shape: `(..., steps)` -> a pair of `(..., pieces, fft_length // 2 + 1)`

    Raises:
        TypeError: `x` holds other numbers.
        ValueError: a size or the window does not fit.

    >>> real, imaginary = stft(torch.zeros(2, 16), 4, 2, 4)
    >>> tuple(real.shape)
    (2, 9, 3)
    """
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"stft() got x of dtype {x.dtype}. float32 and float64 are accepted. Type "
            'ops.cast(x, "float32").'
        )
    window = _window("stft", window, sequence_length, fft_length, x)
    y = torch.stft(
        x.reshape(-1, x.shape[-1]),
        fft_length,
        sequence_stride,
        sequence_length,
        window,
        center,
        return_complex=True,
    )
    y = y.transpose(-2, -1)  # (batch, bins, pieces) -> (batch, pieces, bins)
    return _pair(y.reshape(*x.shape[:-1], *y.shape[-2:]))


@op("*x", keras="ISTFT")
def istft(x, sequence_length, sequence_stride, fft_length, length=None, window="hann", center=True):
    """The signal whose `stft` is `x`; the other arguments are the same.

    Args:
        x: A pair of float tensors, the real and the imaginary part.
        length: Steps of the signal.

    Shape: a pair of `(..., pieces, fft_length // 2 + 1)` -> `(..., steps)`

    Raises:
        ValueError: `x` is no such pair, or a size or the window does not fit.
    """
    x = _complex("istft", x)
    if window is not None:
        window = _window("istft", window, sequence_length, fft_length, x.real)
    pieces = torch.fft.irfft(x, fft_length)  # (..., pieces, fft_length)
    if window is None:
        y = _overlapped(pieces, sequence_stride)
    elif center and sequence_length == fft_length:
        y = _overlapped(pieces * window, sequence_stride)
        total = _overlapped(window.square().expand(pieces.shape[-2], -1), sequence_stride)
        y = y / torch.where(total > 1e-11, total, 1)
    else:
        y = _overlapped(pieces * _balanced(window, fft_length, sequence_stride), sequence_stride)
    start = fft_length // 2 if center else 0
    stop = start + length if length is not None else y.shape[-1] - start
    return F.pad(y[..., start:stop], (0, max(stop - y.shape[-1], 0)))


def _window(name, window, size, fft_length, x):
    """The window as a tensor of `size` numbers."""
    if fft_length < size:
        raise ValueError(
            f"{name}() got sequence_length={size} and fft_length={fft_length}. A piece has room "
            f"in its transform. Type fft_length={size}, or more."
        )
    if window is None:
        return torch.ones(size, dtype=x.dtype, device=x.device)
    if isinstance(window, str):
        if window not in _WINDOWS:
            raise unknown(f"window of {name}", window, _WINDOWS)
        return _WINDOWS[window](size, dtype=x.dtype, device=x.device)
    window = torch.as_tensor(window, dtype=x.dtype, device=x.device)
    if window.shape != (size,):
        raise ValueError(
            f"{name}() got a window of shape {tuple(window.shape)}. One number for each step of a "
            f'piece, ({size},), or a name is accepted. Type window="hann".'
        )
    return window


_WINDOWS = {"hann": torch.hann_window, "hamming": torch.hamming_window}


def _balanced(window, size, stride):
    """The window in the middle of `size`, divided so that overlapping pieces add up to 1."""
    before = (size - len(window)) // 2
    window = F.pad(window, (before, size - len(window) - before))
    total = F.pad(window.square(), (0, -size % stride)).view(-1, stride).sum(0)
    return window / total.repeat(-(-size // stride))[:size]


def _overlapped(pieces, stride):
    """Pieces laid `stride` apart and added up: `(..., pieces, size)` -> `(..., steps)`."""
    *batch, count, size = pieces.shape
    steps = (count - 1) * stride + size
    columns = pieces.reshape(-1, count, size).transpose(1, 2)  # (batch, size, pieces)
    return F.fold(columns, (1, steps), (1, size), stride=(1, stride)).reshape(*batch, steps)
