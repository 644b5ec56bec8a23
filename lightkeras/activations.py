"""Activations: functions of one tensor, and the table of their names.

They stand in the hot path of layers: each is one Python call around a torch function. All take
a tensor (symbolic ones too), an array or a list, and return a tensor of the same shape.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightkeras._dtypes import as_tensor
from lightkeras._older import old_names
from lightkeras._registry import Table

__all__ = [
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]

# ---- rectifiers ---------------------------------------------------------------------------------


def relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    """max(x, 0), and its variants.

    Args:
        x: Tensor.
        negative_slope: Slope below the threshold.
        max_value: Where the result stops growing; None: nowhere.
        threshold: Values up to here count as negative.

    >>> relu([-2.0, 0.0, 3.0])
    tensor([0., 0., 3.])
    >>> relu([-2.0, 0.0, 3.0], negative_slope=0.5, max_value=2.0)
    tensor([-1.,  0.,  2.])
    """
    x = x if isinstance(x, Tensor) else as_tensor(x)
    if negative_slope == 0.0 and max_value is None and threshold == 0.0:
        return torch.relu(x)
    y = torch.relu(x) if threshold == 0.0 else torch.where(x > threshold, x, 0)
    if max_value is not None:
        y = torch.clamp(y, 0, max_value)
    return y if negative_slope == 0.0 else y - negative_slope * torch.relu(threshold - x)


def leaky_relu(x, negative_slope=0.2):
    """x where positive, `negative_slope * x` elsewhere.

    >>> leaky_relu([-1.0, 1.0])
    tensor([-0.2000,  1.0000])
    """
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return F.leaky_relu(x, negative_slope)


def relu6(x):
    """min(max(x, 0), 6)."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return F.relu6(x)


def elu(x, alpha=1.0):
    """x where positive, `alpha * (exp(x) - 1)` elsewhere (Clevert et al., 2016)."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return F.elu(x, alpha)


def selu(x):
    """1.0507 * elu(x, 1.6733): keeps mean 0 and variance 1 (Klambauer et al., 2017)."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return torch.selu(x)


def celu(x, alpha=1.0):
    """x where positive, `alpha * (exp(x / alpha) - 1)` elsewhere (Barron, 2017)."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return torch.celu(x, alpha)


def threshold(x, threshold, default_value):
    """x where it exceeds `threshold`, `default_value` elsewhere."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return torch.threshold(x, threshold, default_value)


# ---- smooth rectifiers ------------------------------------------------------------------------


def gelu(x, approximate=False):
    """x times the normal distribution's P(X <= x) (Hendrycks & Gimpel, 2016).

    Args:
        x: Tensor.
        approximate: Use the formula with tanh instead of the exact one.
    """
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return F.gelu(x, approximate="tanh" if approximate else "none")


def silu(x):
    """x * sigmoid(x), also called swish (Ramachandran et al., 2017)."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return F.silu(x)


swish = silu


def hard_silu(x):
    """x * relu6(x + 3) / 6: silu in straight pieces (Howard et al., 2019)."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return F.hardswish(x)


hard_swish = hard_silu


def mish(x):
    """x * tanh(softplus(x)) (Misra, 2019)."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return F.mish(x)


def softplus(x):
    """log(1 + exp(x))."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return F.softplus(x)


def squareplus(x, b=4):
    """(x + sqrt(x² + b)) / 2 (Barron, 2021)."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return (x + torch.sqrt(torch.square(x) + b)) / 2


def sparse_plus(x):
    """0 up to -1, x from 1 on, (x + 1)² / 4 between."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return torch.where(x < 1, torch.square(torch.relu(x + 1)) / 4, x)


# ---- squashing --------------------------------------------------------------------------------


def sigmoid(x):
    """1 / (1 + exp(-x)).

    >>> sigmoid([0.0])
    tensor([0.5000])
    """
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return torch.sigmoid(x)


def hard_sigmoid(x):
    """relu6(x + 3) / 6. (Keras before 3 had clip(0.2 x + 0.5, 0, 1).)"""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return F.hardsigmoid(x)


def sparse_sigmoid(x):
    """0 up to -1, 1 from 1 on, (x + 1) / 2 between (Blondel et al., 2019)."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return torch.clamp((x + 1) / 2, 0, 1)


def log_sigmoid(x):
    """log(sigmoid(x)), without overflow."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return F.logsigmoid(x)


def tanh(x):
    """Hyperbolic tangent."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return torch.tanh(x)


def hard_tanh(x):
    """x clipped to -1..1."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return F.hardtanh(x)


def softsign(x):
    """x / (1 + |x|)."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return F.softsign(x)


# ---- shrinking --------------------------------------------------------------------------------


def soft_shrink(x, threshold=0.5):
    """x moved towards 0 by `threshold`, and 0 within it."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return F.softshrink(x, threshold)


def hard_shrink(x, threshold=0.5):
    """x, and 0 within `threshold` of 0."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return torch.hardshrink(x, threshold)


def tanh_shrink(x):
    """x - tanh(x)."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return F.tanhshrink(x)


# ---- along an axis ----------------------------------------------------------------------------


def softmax(x, axis=-1):
    """exp(x) over its sum along `axis`.

    Args:
        x: Tensor.
        axis: One axis, several (normalized together), or None: all of them.

    Raises:
        ValueError: there is no such axis.

    >>> softmax([[0.0, 0.0]])
    tensor([[0.5000, 0.5000]])
    """
    x = x if isinstance(x, Tensor) else as_tensor(x)
    try:
        if axis is None or isinstance(axis, (list, tuple)):
            return torch.exp(x - _log_sum_exp(x, axis))
        return torch.softmax(x, axis)
    except IndexError:
        raise _no_axis("softmax", axis, x) from None


def log_softmax(x, axis=-1):
    """log(softmax(x)), without overflow; arguments as for `softmax`."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    try:
        if axis is None or isinstance(axis, (list, tuple)):
            return x - _log_sum_exp(x, axis)
        return torch.log_softmax(x, axis)
    except IndexError:
        raise _no_axis("log_softmax", axis, x) from None


def sparsemax(x, axis=-1):
    """The point of the simplex that is closest to x: a softmax with exact zeros.

    Source: Martins & Astudillo, 2016. Unlike Keras 3.15's, whose rows need not sum to 1.

    >>> sparsemax([[2.0, 1.5, -1.0]])
    tensor([[0.7500, 0.2500, 0.0000]])
    """
    x = x if isinstance(x, Tensor) else as_tensor(x)
    try:
        ordered = torch.sort(x, dim=axis, descending=True)[0]
    except IndexError:
        raise _no_axis("sparsemax", axis, x) from None
    above = torch.cumsum(ordered, axis) - 1  # what the k largest exceed a sum of 1 by
    rank = torch.cumsum(torch.ones_like(ordered), axis)
    support = torch.clamp(torch.sum(ordered * rank > above, axis, keepdim=True), min=1)
    return torch.relu(x - torch.gather(above, axis, support - 1) / support)


def glu(x, axis=-1):
    """First half of x times the sigmoid of the second (Dauphin et al., 2017).

    Shape: `(..., 2 n)` -> `(..., n)`.

    Raises:
        ValueError: there is no such axis, or its size is odd.
    """
    x = x if isinstance(x, Tensor) else as_tensor(x)
    try:
        return F.glu(x, axis)
    except IndexError:
        raise _no_axis("glu", axis, x) from None
    except RuntimeError:
        raise ValueError(
            f"glu() got x of shape {tuple(x.shape)} and axis={axis}. It splits that axis into two "
            "equal halves, so its size must be even. Double the units of the layer before it."
        ) from None


def _log_sum_exp(x, axes):
    return torch.logsumexp(x, list(range(x.ndim)) if axes is None else axes, keepdim=True)


def _no_axis(name, axis, x):
    return ValueError(
        f"{name}() got axis={axis} and x of shape {tuple(x.shape)}. An axis from {-x.ndim} to "
        f"{x.ndim - 1} is accepted. Use axis=-1 for the last one."
    )


# ---- the rest ---------------------------------------------------------------------------------


def exponential(x):
    """exp(x)."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return torch.exp(x)


def linear(x):
    """x."""
    return x


# ---- lookup -----------------------------------------------------------------------------------

_table = Table(
    "activation",
    [celu, elu, exponential, gelu, glu, hard_shrink, hard_sigmoid, hard_silu, hard_tanh]
    + [leaky_relu, linear, log_sigmoid, log_softmax, mish, relu, relu6, selu, sigmoid, silu]
    + [soft_shrink, softmax, softplus, softsign, sparse_plus, sparse_sigmoid, sparsemax]
    + [squareplus, tanh, tanh_shrink, threshold],
    {"swish": silu, "hard_swish": hard_silu},
)


def get(identifier):
    """The function for a name, a config, a function, or None (`linear`).

    Raises:
        ValueError: no activation is called so.

    >>> get("relu") is relu, get(None) is linear
    (True, True)
    """
    return linear if identifier is None else _table.get(identifier)


def serialize(activation):
    """The name of a function; the config of an object."""
    return _table.serialize(activation)


def deserialize(config, custom_objects=None):
    """The activation that a name or a config describes."""
    return _table.deserialize(config, custom_objects)


__getattr__ = old_names(__name__)
