"""Losses over whole images, sequences and batches of embeddings."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from lightkeras import _ranks
from lightkeras.config import epsilon
from lightkeras.losses._base import (
    LossFunctionWrapper,
    aligned,
    as_classes,
    floating,
    integer_targets,
)
from lightkeras.ops.nn import ctc_loss

__all__ = ["CTC", "Circle", "Dice", "Tversky", "circle", "ctc", "dice", "tversky"]


# ---- overlap of regions -----------------------------------------------------------------------


def dice(y_true, y_pred, axis=None):
    """`1 - 2 |overlap| / (|y_true| + |y_pred|)`.

    Args:
        axis: Axes that are summed up; all of them by default, which gives one number.

    >>> dice([[1.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]])
    tensor(0.3333)
    """
    y_true, y_pred = aligned("dice", y_true, y_pred)
    true, pred, overlap = _sums(axis, y_true, y_pred, y_true * y_pred)
    return 1.0 - 2.0 * overlap / (true + pred + epsilon())


def _sums(axis, *values):
    """Each of `values` summed up; where that is over rows, over those of all processes."""
    sums = [value.sum(axis) for value in values]
    axes = range(values[0].ndim) if axis is None else np.atleast_1d(axis) % values[0].ndim
    if _ranks.share is None or 0 not in axes:
        return sums
    return _ranks.summed(torch.stack(sums) * (_ranks.share > 0))  # a row may be borrowed


def tversky(y_true, y_pred, alpha=0.5, beta=0.5, axis=None):
    """`dice` with a weight for each kind of mistake.

    Args:
        alpha: Weight of what is in the target only.
        beta: Weight of what is in the output only.
        axis: Axes that are summed up; all of them by default, which gives one number.

    Source: Salehi et al., Tversky loss function for image segmentation, 2017.
    """
    y_true, y_pred = aligned("tversky", y_true, y_pred)
    overlap, missed, added = _sums(
        axis, y_true * y_pred, (1.0 - y_pred) * y_true, y_pred * (1.0 - y_true)
    )
    return 1.0 - overlap / (overlap + missed * alpha + added * beta + epsilon())


# ---- similarity of embeddings -----------------------------------------------------------------


@integer_targets
def circle(
    y_true,
    y_pred,
    ref_labels=None,
    ref_embeddings=None,
    remove_diagonal=True,
    gamma=80,
    margin=0.4,
):
    """Pulls embeddings of one class together and pushes those of other classes apart.

    Args:
        y_true: Class numbers `(batch,)` or `(batch, 1)`.
        y_pred: Embeddings of length 1, `(batch, width)`.
        ref_labels, ref_embeddings: What they are compared with; themselves by default.
        remove_diagonal: Row i is not compared with reference row i.
        gamma: Scale of the differences.
        margin: How far apart classes should be.

    Source: Sun et al., Circle Loss, 2020.
    """
    y_pred = floating(y_pred)
    labels = _column(y_true, y_pred.device)
    others = labels if ref_labels is None else _column(ref_labels, y_pred.device)
    if y_pred.ndim != 2 or len(labels) != len(y_pred):
        raise mismatch_of_circle((len(labels),), tuple(y_pred.shape))
    references = y_pred if ref_embeddings is None else floating(ref_embeddings)
    distance = (1.0 - y_pred @ references.T).clamp(min=0.0)  # (batch, references)
    positive = labels == others.T
    negative = ~positive
    if remove_diagonal:
        positive = positive & ~torch.eye(*positive.shape, dtype=torch.bool, device=positive.device)
    pull = -gamma * (margin + distance) * (margin - distance)
    push = gamma * (1.0 + margin - distance).clamp(min=0.0) * (1.0 - margin - distance)
    lowest = float("-inf")
    values = F.softplus(
        torch.where(positive, pull, lowest).logsumexp(1)
        + torch.where(negative, push, lowest).logsumexp(1)
    )
    values._keras_mask = values > 0  # a row without a partner tells nothing
    return values


def mismatch_of_circle(true, pred, name="y"):
    """The error for shapes that circle loss does not take; raise what it returns."""
    return ValueError(
        f"circle got {name} of shape {true} and y_pred of shape {pred}. Class numbers (batch,) and "
        "embeddings (batch, features) are accepted. Use Flatten() or GlobalAveragePooling2D() "
        "before the last Dense layer."
    )


def _column(labels, device):
    return as_classes(labels, device).reshape(-1, 1)


# ---- sequences --------------------------------------------------------------------------------


@integer_targets
def ctc(y_true, y_pred):
    """Connectionist temporal classification: targets that are not aligned with the outputs.

    Args:
        y_true: Class numbers, filled up with 0, which is also the blank.
        y_pred: Logits.

    Shape:
        y_true `(batch, labels)`, y_pred `(batch, time, classes)`.

    Raises:
        ValueError: the ranks are others.

    Source: Graves et al., Connectionist Temporal Classification, 2006.
    """
    y_pred = floating(y_pred)
    y_true = as_classes(y_true, y_pred.device)
    if y_true.ndim != 2 or y_pred.ndim != 3:
        raise ValueError(
            f"ctc got y of shape {tuple(y_true.shape)} and y_pred of shape {tuple(y_pred.shape)}. "
            "Targets (batch, labels) and logits (batch, time, classes) are accepted. "
            "Use return_sequences=True in the last recurrent layer."
        )
    batch, time = y_pred.shape[:2]
    times = torch.full((batch,), time, device=y_pred.device)
    return ctc_loss(y_true, y_pred, (y_true != 0).sum(-1), times)


# ---- classes ----------------------------------------------------------------------------------


class _Overlap(LossFunctionWrapper):
    """A loss that may add up rows: then its values are those of the batch of all processes."""

    def call(self, y_true, y_pred):
        values, axis = super().call(y_true, y_pred), self._fn_kwargs["axis"]
        if self.reduction != "sum" or axis is None or not _ranks.share:
            return values
        axes = np.atleast_1d(axis)
        over_rows = 0 in axes % (values.ndim + len(axes))
        return values * _ranks.share if over_rows else values  # their sum will be divided by it


class Dice(_Overlap):
    """One minus the overlap of target and output; see `dice`."""

    def __init__(self, reduction="sum_over_batch_size", name="dice", axis=None, dtype=None):
        super().__init__(dice, reduction, name, dtype, axis=axis)


class Tversky(_Overlap):
    """`Dice` with a weight for each kind of mistake; see `tversky`."""

    def __init__(
        self,
        alpha=0.5,
        beta=0.5,
        reduction="sum_over_batch_size",
        name="tversky",
        axis=None,
        dtype=None,
    ):
        super().__init__(tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)


class Circle(LossFunctionWrapper):
    """A loss for embeddings of length 1 and class numbers; see `circle`."""

    def __init__(
        self,
        gamma=80.0,
        margin=0.4,
        remove_diagonal=True,
        reduction="sum_over_batch_size",
        name="circle",
        dtype=None,
    ):
        super().__init__(
            circle,
            reduction,
            name,
            dtype,
            gamma=gamma,
            margin=margin,
            remove_diagonal=remove_diagonal,
        )


class CTC(LossFunctionWrapper):
    """A loss for targets that are not aligned with the outputs; see `ctc`."""

    def __init__(self, reduction="sum_over_batch_size", name="ctc", dtype=None):
        super().__init__(ctc, reduction, name, dtype)
