"""Class numbers as vectors, and the crossentropy of classes and their predictions."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightkeras._dtypes import torch_dtype
from lightkeras.config import epsilon
from lightkeras.ops._op import family

__all__ = [
    "binary_crossentropy",
    "categorical_crossentropy",
    "multi_hot",
    "one_hot",
    "sparse_categorical_crossentropy",
]

op = family("nn")


# ---- vectors ----------------------------------------------------------------------------------


@op
def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    """Vectors with 1 at the class number and 0 elsewhere; all 0 for a number that is no class.

    Args:
        x: Class numbers.
        num_classes: Size of the vectors.
        axis: Where the new axis stands.
        dtype: Of the result; the default float type if None.
        sparse: False: torch computes with few kinds of sparse tensors.

    Shape: `(...)` -> `(..., num_classes)`

    Raises:
        ValueError: `sparse` is asked for.

    >>> one_hot([0, 2], 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    _refuse_sparse("one_hot", sparse)
    classes = torch.arange(num_classes, device=x.device)
    return (x.long().unsqueeze(-1) == classes).to(torch_dtype(dtype)).movedim(-1, axis)


@op
def multi_hot(inputs, num_classes=None, axis=-1, dtype=None, sparse=False, **kwargs):
    """Vectors with 1 at each of several class numbers.

    Args:
        inputs: Class numbers, those of the axis 1 (or of the only axis) in one vector.
        num_classes: Size of the vectors.
        axis: Where their axis stands before the others are merged.
        dtype: Of the result; the default float type if None.
        sparse: False: torch computes with few kinds of sparse tensors.

    Shape: `(batch, n)` -> `(batch, num_classes)`

    Raises:
        TypeError: `num_classes` is missing.
        ValueError: `sparse` is asked for.

    >>> multi_hot([[0, 2], [1, 1]], 3).tolist()
    [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    num_classes = kwargs.pop("num_tokens", num_classes)
    if num_classes is None or kwargs:
        raise TypeError(
            f"multi_hot() got {'unknown arguments' if kwargs else 'no num_classes'}. It takes the "
            "size of the vectors. Type multi_hot(x, num_classes=10)."
        )
    _refuse_sparse("multi_hot", sparse)
    vectors = one_hot(inputs, num_classes, axis, dtype)
    return vectors.amax(1 if inputs.ndim > 1 else 0)


def _refuse_sparse(name, sparse):
    if sparse:
        raise ValueError(
            f"{name}() got sparse=True. On torch it makes dense tensors only, as in Keras. Leave "
            "it out."
        )


# ---- crossentropy, one value for each answer --------------------------------------------------


@op("target", "output")
def binary_crossentropy(target, output, from_logits=False):
    """`-target log(p) - (1 - target) log(1 - p)`, one number for each; `losses` has the mean.

    Args:
        target: 0, 1 or between.
        output: Probabilities, which are cut off at `epsilon()` and `1 - epsilon()`, or logits.
        from_logits: Whether they are logits.

    Raises:
        ValueError: the shapes are not the same.

    >>> binary_crossentropy([0.0, 1.0], [0.5, 0.5])
    tensor([0.6931, 0.6931])
    """
    _same_shape("binary_crossentropy", target, output)
    return binary_values(target.to(output.dtype), output, from_logits)


def binary_values(target, output, from_logits, reduction="none"):
    """Binary crossentropy of tensors of one dtype and shape."""
    # Through the logits, also of probabilities: two kernels instead of three, allowed under
    # autocast, and a NaN comes out as NaN where F.binary_cross_entropy stops a GPU for good.
    logits = output if from_logits else torch.logit(output, epsilon())
    return F.binary_cross_entropy_with_logits(logits, target, reduction=reduction)


@op("target", "output")
def categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """`-sum(target log(p))` along the axis of the classes.

    Args:
        target: One-hot vectors, or probabilities.
        output: Probabilities, which are divided by their sum and cut off at `epsilon()` and
            `1 - epsilon()`, or logits.
        from_logits: Whether they are logits.
        axis: Axis of the classes.

    Shape: twice `(..., classes)` -> `(...)`

    Raises:
        ValueError: the shapes are not the same.

    >>> categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]])
    tensor([0.6931])
    """
    _same_shape("categorical_crossentropy", target, output)
    return -(target * log_probabilities(output, from_logits, axis)).sum(axis)


@op("target", "output")
def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """`-log(p[target])` for targets that are class numbers; arguments as above.

    Shape: target `(...)` or `(..., 1)`, output `(..., classes)` -> `(...)`

    Raises:
        ValueError: the shapes do not go together.

    >>> sparse_categorical_crossentropy([1, 0], [[0.5, 0.5], [1.0, 0.0]])
    tensor([6.9315e-01, 1.1921e-07])
    """
    if target.ndim == output.ndim and target.ndim and target.shape[axis] == 1:
        target = target.squeeze(axis)
    expected = list(output.shape)
    if not expected or expected[:axis] + expected[axis:][1:] != list(target.shape):
        raise ValueError(
            f"sparse_categorical_crossentropy() got target of shape {tuple(target.shape)} and "
            f"output of shape {tuple(output.shape)}. Class numbers, output's shape without the "
            "axis of the classes, are accepted. Use categorical_crossentropy for one-hot vectors."
        )
    return minus_log_of(log_probabilities(output, from_logits, axis), target.long(), axis)


def log_probabilities(output, from_logits, axis):
    """Logarithms of the probabilities of classes."""
    if from_logits:
        return output.log_softmax(axis)
    node = output.grad_fn  # what a softmax gives has the sum 1 already
    if node is None or node.name() != "SoftmaxBackward0" or not _along(node, axis, output.ndim):
        output = output / output.sum(axis, keepdim=True)
    eps = epsilon()
    return F.hardtanh(output, eps, 1.0 - eps).log()  # clamp, with one kernel on its way back


def _along(softmax, axis, rank):
    """Whether a softmax, a node of torch's graph, is along this axis."""
    return (softmax._saved_dim - axis) % 2**64 in (0, rank, 2**64 - rank)  # unsigned numbers


def minus_log_of(log_p, classes, axis):
    """The entries of `-log_p` at the class numbers.

    Raises:
        IndexError: there is no such class.
    """
    log_p = log_p.movedim(axis, -1)
    rows = log_p.reshape(-1, log_p.shape[-1])
    return F.nll_loss(rows, classes.reshape(-1), reduction="none").reshape(classes.shape)


def _same_shape(name, target, output):
    if target.shape != output.shape or not output.ndim:
        raise ValueError(
            f"{name}() got target of shape {tuple(target.shape)} and output of shape "
            f"{tuple(output.shape)}. Two of one shape are accepted. Reshape the target, or use "
            "one_hot for class numbers."
        )
