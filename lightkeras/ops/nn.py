"""Activations and what else networks are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightkeras.ops._op import family, floating

__all__ = ["elu", "leaky_relu", "log_softmax", "relu", "sigmoid", "silu", "softmax", "swish"]

op = family("nn")


@op
def relu(x):
    """The larger of x and 0."""
    return torch.relu(x)


@op
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return torch.sigmoid(floating(x))


@op
def silu(x):
    """x * sigmoid(x)."""
    return F.silu(floating(x))


swish = silu


@op
def elu(x, alpha=1.0):
    """x above 0, `alpha * (exp(x) - 1)` below."""
    return F.elu(x, alpha)


@op
def leaky_relu(x, negative_slope=0.2):
    """x above 0, `negative_slope * x` below."""
    return F.leaky_relu(x, negative_slope)


@op
def softmax(x, axis=-1):
    """Positive numbers that sum to 1 along an axis (None: over all)."""
    x = floating(x)
    if axis is None:
        return torch.softmax(x.flatten(), 0).reshape(x.shape)
    return torch.softmax(x, axis)


@op
def log_softmax(x, axis=-1):
    """Logarithm of `softmax`."""
    x = floating(x)
    if axis is None:
        return torch.log_softmax(x.flatten(), 0).reshape(x.shape)
    return torch.log_softmax(x, axis)
