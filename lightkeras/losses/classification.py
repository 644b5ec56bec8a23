"""Losses between probabilities (or logits) and classes.

The function of each loss returns one value per row; the class of the same name reduces these
values as `Loss` describes. Arguments that several of them share:

    from_logits: y_pred holds logits; by default it holds probabilities, which are cut off at
        `epsilon()` and `1 - epsilon()` (and, of several classes, divided by their sum).
    label_smoothing: Between 0 and 1: how far targets are moved towards equal probabilities.
    axis: The axis of the classes.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from lightkeras._kinds import AXIS, NUMBERS
from lightkeras.config import epsilon
from lightkeras.losses._base import (
    LossFunctionWrapper,
    aligned,
    as_classes,
    as_column,
    floating,
    integer_targets,
    mean_kernel,
    mismatch,
)
from lightkeras.ops._classes import binary_values, log_probabilities, minus_log_of

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "KLDivergence",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "kl_divergence",
    "poisson",
    "sparse_categorical_crossentropy",
]


# ---- one or several classes, each yes or no ---------------------------------------------------


def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """`-y_true log(p) - (1 - y_true) log(1 - p)`, the mean over `axis`.

    >>> binary_crossentropy([[0.0, 1.0]], [[0.5, 0.5]])
    tensor([0.6931])
    """
    y_true, y_pred = aligned("binary_crossentropy", y_true, y_pred)
    if label_smoothing:
        y_true = _towards_half(y_true, label_smoothing)
    return binary_values(y_true, y_pred, from_logits, "none").mean(axis)


@mean_kernel(binary_crossentropy)
def _mean_binary(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    y_true = as_column(y_true, y_pred)
    if y_true is None:
        return None
    if label_smoothing:
        y_true = _towards_half(y_true, label_smoothing)
    return binary_values(y_true, y_pred, from_logits, "mean")


def _towards_half(y_true, label_smoothing):
    return y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing


def binary_focal_crossentropy(
    y_true,
    y_pred,
    apply_class_balancing=False,
    alpha=0.25,
    gamma=2.0,
    from_logits=False,
    label_smoothing=0.0,
    axis=-1,
):
    """Binary crossentropy, times `(1 - probability of the right answer)**gamma`.

    Args:
        apply_class_balancing: Also multiply by `alpha` for class 1 and `1 - alpha` for class 0.

    Source: Lin et al., Focal Loss for Dense Object Detection, 2017.
    """
    y_true, y_pred = aligned("binary_focal_crossentropy", y_true, y_pred)
    if label_smoothing:
        y_true = _towards_half(y_true, label_smoothing)
    p = y_pred.sigmoid() if from_logits else y_pred
    right = y_true * p + (1.0 - y_true) * (1.0 - p)
    values = (1.0 - right).pow(gamma) * binary_values(y_true, p, False, "none")
    if apply_class_balancing:
        values = values * (y_true * alpha + (1.0 - y_true) * (1.0 - alpha))
    return values.mean(axis)


# ---- one class of several ---------------------------------------------------------------------


def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """`-sum(y_true log(p))` for one-hot targets, or targets that are probabilities.

    >>> categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]])
    tensor([0.6931])
    """
    y_true, y_pred = aligned("categorical_crossentropy", y_true, y_pred)
    if label_smoothing:
        y_true = _towards_equal(y_true, label_smoothing)
    return -(y_true * log_probabilities(y_pred, from_logits, axis)).sum(axis)


@mean_kernel(categorical_crossentropy)
def _mean_categorical(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    if y_true.shape != y_pred.shape:
        return None
    if from_logits and y_pred.ndim == 2 and axis in (-1, 1):
        return F.cross_entropy(y_pred, y_true, label_smoothing=label_smoothing)
    if label_smoothing:
        y_true = _towards_equal(y_true, label_smoothing)
    rows = y_pred.numel() // y_pred.shape[axis]
    return (y_true * log_probabilities(y_pred, from_logits, axis)).sum() / -rows


def _towards_equal(y_true, label_smoothing):
    return y_true * (1.0 - label_smoothing) + label_smoothing / y_true.shape[-1]


@integer_targets
def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """`-log(p[y_true])` for targets that are class numbers, from 0.

    Args:
        ignore_class: Rows of this class count as 0, and are left out of a mean.

    Shape:
        y_true `(batch, ...)` or `(batch, ..., 1)`, y_pred `(batch, ..., classes)`.

    >>> sparse_categorical_crossentropy([1, 0], [[0.5, 0.5], [1.0, 0.0]]).numpy().round(4)
    array([0.6931, 0.    ], dtype=float32)
    """
    y_pred = floating(y_pred)
    y_true = _class_numbers("sparse_categorical_crossentropy", y_true, y_pred, axis)
    valid = None
    if ignore_class is not None:
        valid = y_true != ignore_class
        y_true = torch.where(valid, y_true, 0)
        y_pred = torch.where(valid.unsqueeze(axis), y_pred, 1.0)
    log_p = log_probabilities(y_pred, from_logits, axis)
    try:
        values = minus_log_of(log_p, y_true, axis)
    except IndexError:
        rows = log_p.movedim(axis, -1)
        raise _outside(sparse_categorical_crossentropy, y_true, rows) from None
    if valid is None:
        return values
    values = torch.where(valid, values, 0.0)
    values._keras_mask = valid
    return values


@mean_kernel(sparse_categorical_crossentropy)
def _mean_sparse(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)
    rank = y_pred.ndim
    if y_true.shape != y_pred.shape[:-1] or rank < 2 or axis not in (-1, rank - 1):
        return None
    if ignore_class is not None:
        return None
    if rank > 2:
        y_true, y_pred = y_true.flatten(), y_pred.flatten(0, -2)  # (rows), (rows, classes)
    try:
        if from_logits:
            return F.cross_entropy(y_pred, y_true.long())
        return F.nll_loss(log_probabilities(y_pred, False, 1), y_true.long())
    except IndexError:
        raise _outside(sparse_categorical_crossentropy, y_true, y_pred) from None


def _outside(loss, y_true, rows):
    """The error for class numbers that the outputs `rows` (..., classes) do not have."""
    from lightkeras.losses._checks import check_targets

    try:
        check_targets(loss, y_true.reshape(-1), (None, rows.shape[-1]), whole=False)
    except ValueError as error:
        return error
    return IndexError("A class number is out of bounds.")


def _class_numbers(name, y_true, y_pred, axis):
    """Targets as int64 in the shape of `y_pred` without its class axis."""
    y_true = as_classes(y_true, y_pred.device)
    if not y_pred.ndim:
        raise mismatch(name, y_true.shape, y_pred.shape)
    if y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1:
        y_true = y_true.squeeze(axis)
    expected = list(y_pred.shape)
    del expected[axis]
    if list(y_true.shape) != expected:
        raise mismatch(name, y_true.shape, y_pred.shape)
    return y_true


def categorical_focal_crossentropy(
    y_true, y_pred, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1
):
    """Categorical crossentropy, each class times `alpha (1 - p)**gamma`.

    `alpha` is a number, or a list of one for each class.

    Source: Lin et al., Focal Loss for Dense Object Detection, 2017.
    """
    y_true, y_pred = aligned("categorical_focal_crossentropy", y_true, y_pred)
    if label_smoothing:
        y_true = _towards_equal(y_true, label_smoothing)
    p = y_pred.softmax(axis) if from_logits else y_pred
    eps = epsilon()
    p = (p / p.sum(axis, keepdim=True)).clamp(eps, 1.0 - eps)
    if not isinstance(alpha, (int, float)):
        alpha = _of_each_class(alpha, p, axis)
    return (alpha * (1.0 - p).pow(gamma) * -y_true * p.log()).sum(axis)


def _of_each_class(alpha, p, axis):
    """One number for each class, in a shape that goes along `axis`."""
    alpha = torch.as_tensor(alpha, dtype=p.dtype, device=p.device)
    if alpha.shape not in ((), (p.shape[axis],)):
        raise ValueError(
            f"categorical_focal_crossentropy() got alpha of shape {tuple(alpha.shape)} for "
            f"{p.shape[axis]} classes. A number, or a list of one for each class, is accepted. "
            f"Type for example alpha={[0.25] * min(p.shape[axis], 3)}."
        )
    return alpha.view([-1 if a == axis % p.ndim else 1 for a in range(p.ndim)])


@integer_targets
def categorical_generalized_cross_entropy(y_true, y_pred, q):
    """`(1 - p[y_true]**q) / q` for targets that are class numbers; robust to wrong labels.

    Args:
        q: Between 0 (crossentropy) and 1 (mean absolute error).

    Source: Zhang and Sabuncu, Generalized Cross Entropy Loss, 2018.
    """
    y_pred = floating(y_pred)
    y_true = _class_numbers("categorical_generalized_cross_entropy", y_true, y_pred, -1)
    try:
        p = y_pred.gather(-1, y_true.unsqueeze(-1)).squeeze(-1)
    except RuntimeError:
        raise _outside(categorical_generalized_cross_entropy, y_true, y_pred) from None
    return (1.0 - p.pow(q)) / q


# ---- distributions ----------------------------------------------------------------------------


def kl_divergence(y_true, y_pred):
    """`sum(y_true log(y_true / y_pred))`; both are cut off at `epsilon()` and 1."""
    y_true, y_pred = aligned("kl_divergence", y_true, y_pred)
    eps = epsilon()
    y_true, y_pred = y_true.clamp(eps, 1.0), y_pred.clamp(eps, 1.0)
    return (y_true * (y_true / y_pred).log()).sum(-1)


def poisson(y_true, y_pred):
    """`y_pred - y_true log(y_pred)`, for counts."""
    y_true, y_pred = aligned("poisson", y_true, y_pred)
    return (y_pred - y_true * (y_pred + epsilon()).log()).mean(-1)


# ---- classes ----------------------------------------------------------------------------------


class BinaryCrossentropy(LossFunctionWrapper):
    """Crossentropy of yes-or-no answers: one per row, or several that may be true together.

    >>> BinaryCrossentropy(from_logits=True)([[1.0], [0.0]], [[0.0], [0.0]])
    tensor(0.6931)
    """

    def __init__(
        self,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="binary_crossentropy",
        dtype=None,
    ):
        super().__init__(
            binary_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class BinaryFocalCrossentropy(LossFunctionWrapper):
    """`BinaryCrossentropy` that turns to hard cases; see `binary_focal_crossentropy`."""

    def __init__(
        self,
        apply_class_balancing=False,
        alpha=0.25,
        gamma=2.0,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="binary_focal_crossentropy",
        dtype=None,
    ):
        super().__init__(
            binary_focal_crossentropy,
            reduction,
            name,
            dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalCrossentropy(LossFunctionWrapper):
    """Crossentropy for one-hot targets."""

    _kinds = {"axis": AXIS}

    def __init__(
        self,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="categorical_crossentropy",
        dtype=None,
    ):
        super().__init__(
            categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalFocalCrossentropy(LossFunctionWrapper):
    """`CategoricalCrossentropy` that turns to hard cases; see `categorical_focal_crossentropy`.

    >>> loss = CategoricalFocalCrossentropy(alpha=[0.25, 0.75])
    >>> loss([[0.0, 1.0]], [[0.5, 0.5]])
    tensor(0.1300)
    """

    _kinds = {"alpha": NUMBERS}

    def __init__(
        self,
        alpha=0.25,
        gamma=2.0,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="categorical_focal_crossentropy",
        dtype=None,
    ):
        super().__init__(
            categorical_focal_crossentropy,
            reduction,
            name,
            dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(LossFunctionWrapper):
    """Crossentropy for targets that are class numbers, from 0.

    >>> SparseCategoricalCrossentropy()([0, 1], [[0.5, 0.5], [0.5, 0.5]])
    tensor(0.6931)
    """

    _kinds = {"axis": AXIS}

    def __init__(
        self,
        from_logits=False,
        ignore_class=None,
        reduction="sum_over_batch_size",
        axis=-1,
        name="sparse_categorical_crossentropy",
        dtype=None,
    ):
        super().__init__(
            sparse_categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )


class CategoricalGeneralizedCrossEntropy(LossFunctionWrapper):
    """Crossentropy that is robust to wrong labels; see `categorical_generalized_cross_entropy`.

    Raises:
        ValueError: `q` is not between 0 and 1.
    """

    def __init__(
        self,
        q=0.5,
        reduction="sum_over_batch_size",
        name="categorical_generalized_cross_entropy",
        dtype=None,
    ):
        if not 0 < q < 1:
            raise ValueError(
                f"CategoricalGeneralizedCrossEntropy() got q={q!r}. Numbers between 0 and 1 are "
                "accepted. Use q=0.5, or CategoricalCrossentropy() for q=0."
            )
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)


class KLDivergence(LossFunctionWrapper):
    """Kullback-Leibler divergence of two distributions; see `kl_divergence`."""

    def __init__(self, reduction="sum_over_batch_size", name="kl_divergence", dtype=None):
        super().__init__(kl_divergence, reduction, name, dtype)


class Poisson(LossFunctionWrapper):
    """Loss of counts, whose expected values are the outputs; see `poisson`."""

    def __init__(self, reduction="sum_over_batch_size", name="poisson", dtype=None):
        super().__init__(poisson, reduction, name, dtype)
