"""Means and variances, and what is normalized with them."""

from __future__ import annotations

import math
import warnings

import torch
import torch.nn.functional as F

from lightkeras import _ranks, config
from lightkeras._config import _outside
from lightkeras._dtypes import result_type, torch_dtype
from lightkeras._registry import did_you_mean
from lightkeras.ops._op import family, floating

__all__ = [
    "batch_normalization",
    "layer_normalization",
    "moments",
    "normalize",
    "psnr",
    "rms_normalization",
]

op = family("nn")


@op
def moments(x, axes, keepdims=False, synchronized=False):
    """(mean, variance) along `axes`.

    Args:
        x: Tensor; those of float16 are added up in float32.
        axes: One axis or several.
        keepdims: Whether the axes stay, with size 1.
        synchronized: Whether the numbers of all processes that train together count. (Keras knows
            it on TensorFlow only.)

    >>> moments([1.0, 3.0], axes=[0])
    (tensor(2.), tensor(1.))
    """
    given, x = x.dtype, floating(x)
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    wide = x.float() if given is torch.float16 else x
    if synchronized:
        mean, variance = _over_all(wide, axes)
    else:
        variance, mean = torch.var_mean(wide, axes, correction=0, keepdim=True)
    if not keepdims:
        mean, variance = mean.squeeze(axes), variance.squeeze(axes)
    if given is torch.float16:
        limit = torch.finfo(given).max
        mean, variance = (m.clamp(-limit, limit).to(given) for m in (mean, variance))
    return mean, variance


def _over_all(x, axes):
    count = x.new_tensor(math.prod(x.shape[a] for a in axes))
    total, count = over_processes(x.sum(axes, keepdim=True), count, True)
    mean = total / count
    squares, _ = over_processes((x - mean).square().sum(axes, keepdim=True), count, True)
    return mean, squares / count


def over_processes(total, count, synchronized):
    """Sums over all processes, through which gradients flow."""
    if not synchronized or _ranks.world() == 1:
        return total, count
    return _ranks.summed(total), _ranks.summed(count)


@op("x", "mean", "variance", "offset", "scale", keras="BatchNorm")
def batch_normalization(x, mean, variance, axis, offset=None, scale=None, epsilon=1e-3):
    """`(x - mean) / sqrt(variance + epsilon) * scale + offset`.

    Args:
        x: Tensor.
        mean, variance: Numbers for each feature.
        axis: Axis of the features.
        offset, scale: Likewise; None for none.
        epsilon: Added to the variance.

    >>> batch_normalization([[1.0, 2.0]], [1.0, 1.0], [1.0, 1.0], axis=-1, epsilon=0.0)
    tensor([[0., 1.]])
    """
    shape = [1] * x.ndim
    shape[axis] = len(mean)
    factor = (variance + epsilon).rsqrt()
    factor = factor if scale is None else factor * scale
    y = (x - mean.view(shape)) * factor.view(shape)
    return y if offset is None else y + offset.view(shape)


@op("x", "gamma", "beta", keras="LayerNorm")
def layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=None, **kwargs):
    """Each sample normalized with the mean and variance of its own features, in float32 or wider.

    Args:
        x: Tensor.
        gamma, beta: Factor and shift of each feature; None for none.
        axis: Axis or axes of the features.
        epsilon: Added to the variance; `config.epsilon()` by default.

    Source: Ba et al., Layer Normalization, 2016.

    >>> layer_normalization([[0.0, 2.0]]).round(decimals=2)
    tensor([[-1.,  1.]])
    """
    old = kwargs.pop("rms_scaling", False)
    if kwargs:
        raise TypeError(
            f"layer_normalization() got an unexpected argument {next(iter(kwargs))!r}."
            f"{did_you_mean(next(iter(kwargs)), ['gamma', 'beta', 'axis', 'epsilon'])}"
        )
    given, x, axes, sizes, epsilon = _prepared(x, axis, epsilon)
    gamma, beta = (w if w is None else w.to(x.dtype) for w in (gamma, beta))
    if old:
        warnings.warn(
            "layer_normalization(rms_scaling=True) is of old, divides by the standard deviation "
            "and moves nothing. Take rms_normalization.",
            stacklevel=_outside(),
        )
    elif _trailing(x, axes):
        return F.layer_norm(x, sizes, gamma, beta, epsilon).to(given)
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    y = (x if old else x - mean) * (variance + epsilon).rsqrt()
    y = y if gamma is None else y * _spread(gamma, x, axes)
    y = y if beta is None or old else y + _spread(beta, x, axes)
    return y.to(given)


@op("x", "scale", keras="RMSNorm")
def rms_normalization(x, scale=None, axis=-1, epsilon=None):
    """Each sample divided by the root of the mean square of its features, in float32 or wider.

    Args:
        x: Tensor.
        scale: Factor of each feature; None for none.
        axis: Axis or axes of the features.
        epsilon: Added to the mean square; `config.epsilon()` by default.

    Source: Zhang and Sennrich, Root Mean Square Layer Normalization, 2019.

    >>> rms_normalization([[3.0, 4.0]], epsilon=0.0).round(decimals=3)
    tensor([[0.8490, 1.1310]])
    """
    given, x, axes, sizes, epsilon = _prepared(x, axis, epsilon)
    scale = scale if scale is None else scale.to(x.dtype)
    if _trailing(x, axes):
        return F.rms_norm(x, sizes, scale, epsilon).to(given)
    y = x * (x.square().mean(axes, keepdim=True) + epsilon).rsqrt()
    return (y if scale is None else y * _spread(scale, x, axes)).to(given)


def _prepared(x, axis, epsilon):
    """(dtype of x, x in float32 or wider, axes from the front, their sizes, epsilon)."""
    wide = x.to(torch_dtype(result_type(x.dtype, "float32")))
    wide = wide if x.ndim else wide[None]
    axes = sorted(a % wide.ndim for a in ((axis,) if isinstance(axis, int) else axis))
    sizes = [wide.shape[a] for a in axes]
    return x.dtype, wide, axes, sizes, config.epsilon() if epsilon is None else epsilon


def _trailing(x, axes):
    """Whether torch has a kernel: for the last axes."""
    return axes == list(range(x.ndim - len(axes), x.ndim))


def _spread(weight, x, axes):
    """A weight in a shape that broadcasts over `x`."""
    if weight.ndim == x.ndim:
        return weight
    return weight.reshape([n if i in axes else 1 for i, n in enumerate(x.shape)])


@op
def normalize(x, axis=-1, order=2, epsilon=None):
    """x divided by its norm along an axis.

    Args:
        x: Tensor.
        axis: Axis or axes.
        order: Of the norm: 2 for the root of the sum of squares.
        epsilon: Norms below it count as it; `config.epsilon()` by default.

    Raises:
        ValueError: `order` is no whole number of at least 1.

    >>> normalize([[3.0, 4.0]])
    tensor([[0.6000, 0.8000]])
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise ValueError(
            f"normalize() got order={order!r}. A whole number of at least 1 is accepted. Type "
            "order=2 for the usual norm."
        )
    x = floating(x if x.ndim else x[None])
    epsilon = config.epsilon() if epsilon is None else epsilon
    if order == 2:
        return x * x.square().sum(axis, keepdim=True).rsqrt().clamp(max=1 / epsilon)
    return x / torch.linalg.norm(x, order, axis, keepdim=True).clamp(min=epsilon)


@op("x1", "x2", keras="PSNR")
def psnr(x1, x2, max_val):
    """Peak signal-to-noise ratio, in decibels: one number for everything.

    Args:
        x1, x2: Images of one shape.
        max_val: Largest value that a pixel may have.

    Raises:
        ValueError: the shapes are not the same.

    >>> psnr([1.0, 0.0], [0.9, 0.0], max_val=1.0).round(decimals=2)
    tensor(23.0100)
    """
    if x1.shape != x2.shape:
        raise ValueError(
            f"psnr() got images of shape {tuple(x1.shape)} and {tuple(x2.shape)}. Two of one shape "
            "are accepted. Resize one of them."
        )
    error = floating(x1 - x2).square().mean()
    return 20 * math.log10(max_val) - 10 * torch.log10(error)
