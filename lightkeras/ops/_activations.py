"""The activations as ops: in a graph they stand under Keras's names, in files too."""

from __future__ import annotations

import functools
import warnings

import torch

from lightkeras import activations
from lightkeras._config import _outside
from lightkeras.ops._op import family, floating

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "relu",
    "relu6",
    "selu",
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
    "tanh_shrink",
    "threshold",
]

op = family("nn")


def _of(activation):
    new = op(activation)
    new.__module__ = __name__  # where pickle finds it
    return new


def _of_floats(activation):
    """Torch has no kernel of it for integers: they become floats."""

    @functools.wraps(activation)
    def on_floats(x, *args, **kwargs):
        return activation(floating(x), *args, **kwargs)

    return _of(on_floats)


celu = _of_floats(activations.celu)
elu = _of_floats(activations.elu)
glu = _of_floats(activations.glu)
hard_shrink = _of_floats(activations.hard_shrink)
hard_sigmoid = _of_floats(activations.hard_sigmoid)
hard_silu = _of_floats(activations.hard_silu)
hard_tanh = _of(activations.hard_tanh)
leaky_relu = _of_floats(activations.leaky_relu)
log_sigmoid = _of_floats(activations.log_sigmoid)
log_softmax = _of_floats(activations.log_softmax)
relu6 = _of(activations.relu6)
selu = _of_floats(activations.selu)
sigmoid = _of(activations.sigmoid)
silu = _of_floats(activations.silu)
soft_shrink = _of_floats(activations.soft_shrink)
softplus = _of_floats(activations.softplus)
softsign = _of(activations.softsign)
sparse_plus = _of(activations.sparse_plus)
sparse_sigmoid = _of(activations.sparse_sigmoid)
sparsemax = _of(activations.sparsemax)
squareplus = _of(activations.squareplus)
tanh_shrink = _of(activations.tanh_shrink)
threshold = _of(activations.threshold)

hard_swish = hard_silu
swish = silu


@op
def relu(x):
    """max(x, 0); `activations.relu` has the variants.

    >>> relu([-2.0, 3.0])
    tensor([0., 3.])
    """
    return torch.relu(x)


@op
def gelu(x, approximate=True):
    """x times the normal distribution's P(X <= x) (Hendrycks & Gimpel, 2016).

    Args:
        x: Tensor.
        approximate: Use the formula with tanh instead of the exact one. (`activations.gelu` is
            exact by default, as Keras's.)
    """
    return activations.gelu(floating(x), approximate)


@op
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
    if type(axis) is int and -x.ndim <= axis < x.ndim and x.shape[axis] == 1:
        warnings.warn(
            f"softmax() along axis {axis} of x of shape {tuple(x.shape)} gives 1 everywhere: there "
            "is one class. Take sigmoid, or another axis.",
            stacklevel=_outside(),
        )
    return activations.softmax(floating(x), axis)
