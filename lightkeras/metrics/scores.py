"""Scores of whole classifications and segmentations: F-scores, and intersection over union."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from lightkeras import _registry
from lightkeras._kinds import AXIS, NUMBER, within
from lightkeras._variable import State
from lightkeras.config import epsilon
from lightkeras.losses._base import mismatch
from lightkeras.metrics._base import Metric, as_tensor

__all__ = [
    "BinaryIoU",
    "F1Score",
    "FBetaScore",
    "IoU",
    "MeanIoU",
    "OneHotIoU",
    "OneHotMeanIoU",
]

_AVERAGES = (None, "micro", "macro", "weighted")


# ---- F-scores ---------------------------------------------------------------------------------


class FBetaScore(Metric):
    """Harmonic mean of precision and recall, for one-hot or multi-hot targets.

    Args:
        average: None: one score per class. "micro": from the counts of all classes together.
            "macro": the mean over classes. "weighted": that mean by the number of targets.
        beta: How many times as much recall counts.
        threshold: An output above it means yes; None: the highest of a row does.
        name, dtype: As in `Metric`.

    Shape:
        `(batch, classes)`.

    Raises:
        ValueError: an argument or a shape is none of the above.

    >>> F1Score(average="macro")([[1, 0], [0, 1]], [[0.9, 0.1], [0.2, 0.8]])
    tensor(1.0000)
    """

    _direction = "up"
    true_positives: State  # these are made at the first batch
    false_positives: State
    false_negatives: State
    intermediate_weights: State

    def __init__(self, average=None, beta=1.0, threshold=None, name="fbeta_score", dtype=None):
        super().__init__(name=name, dtype=dtype)
        if average not in _AVERAGES:
            raise _registry.unknown("average", average, _AVERAGES)
        if not isinstance(beta, float) or beta <= 0.0:
            raise ValueError(
                f"{type(self).__name__}() got beta={beta!r}. Floats above 0 are accepted. "
                "Use beta=1.0 for precision and recall alike."
            )
        if threshold is not None and not (isinstance(threshold, float) and 0.0 < threshold <= 1.0):
            raise ValueError(
                f"{type(self).__name__}() got threshold={threshold!r}. Floats above 0, up to 1, "
                "or None are accepted. Use threshold=0.5."
            )
        self.average = average
        self.beta = beta
        self.threshold = threshold
        self._built = False

    def _build(self, classes):
        shape = () if self.average == "micro" else (classes,)
        names = ("true_positives", "false_positives", "false_negatives", "intermediate_weights")
        for name in names:
            setattr(self, name, self.add_variable(shape, dtype=self._dtype, name=name))
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take a batch into account; see `MeanMetricWrapper`."""
        y_pred = as_tensor(y_pred)
        y_true = as_tensor(y_true, y_pred)
        if y_true.shape != y_pred.shape or y_pred.ndim != 2:
            raise mismatch(_registry.to_snake(type(self).__name__), y_true.shape, y_pred.shape)
        if not self._built:
            self._build(y_pred.shape[1])
        if self.true_positives.device != y_pred.device:
            self.to(y_pred.device)
        if self.threshold is None:
            found = (y_pred >= y_pred.amax(-1, keepdim=True)) & (y_pred.abs() > 1e-9)
        else:
            found = y_pred > self.threshold
        found, y_true = found.to(self._dtype), y_true.to(self._dtype)
        weight = torch.ones_like(found[:, :1])
        if sample_weight is not None:
            weight = as_tensor(sample_weight, y_pred).to(self._dtype).reshape(-1, 1)
        axis = None if self.average == "micro" else 0
        self.true_positives.add_((found * y_true * weight).sum(axis))
        self.false_positives.add_((found * (1.0 - y_true) * weight).sum(axis))
        self.false_negatives.add_(((1.0 - found) * y_true * weight).sum(axis))
        self.intermediate_weights.add_((y_true * weight).sum(axis))

    def result(self):
        """The score, or one score per class."""
        right, eps = self.true_positives, epsilon()
        precision = right / (right + self.false_positives + eps)
        recall = right / (right + self.false_negatives + eps)
        scale = self.beta**2
        score = (1.0 + scale) * precision * recall / (scale * precision + recall + eps)
        if self.average == "weighted":
            weights = self.intermediate_weights
            return (score * weights / (weights.sum() + eps)).sum()
        return score if self.average is None else score.mean()


class F1Score(FBetaScore):
    """`FBetaScore` with `beta=1.0`: precision and recall count alike."""

    def __init__(self, average=None, threshold=None, name="f1_score", dtype=None):
        super().__init__(average=average, threshold=threshold, name=name, dtype=dtype)


# ---- intersection over union ------------------------------------------------------------------


def _are_class_numbers(ids):
    listed = isinstance(ids, (list, tuple, range, np.ndarray)) and len(ids) > 0
    return listed and all(isinstance(i, (int, np.integer)) for i in ids)


class IoU(Metric):
    """Intersection over union of the pixels of some classes, the mean over these classes.

    Args:
        num_classes: Number of classes.
        target_class_ids: Those that are scored.
        ignore_class: Pixels of this target count nowhere.
        sparse_y_true: Targets are class numbers; False: the highest along `axis` is the class.
        sparse_y_pred: The same for outputs.
        axis: The axis of the classes where they are not numbers.
        name, dtype: As in `Metric`; the counts are integers by default.

    Raises:
        ValueError: a class to be scored does not exist.

    >>> IoU(num_classes=2, target_class_ids=[0])([0, 0, 1, 1], [0, 1, 0, 1])
    tensor(0.3333)
    """

    _direction = "up"

    _kinds = {"axis": AXIS}

    def __init__(
        self,
        num_classes,
        target_class_ids,
        name=None,
        dtype=None,
        ignore_class=None,
        sparse_y_true=True,
        sparse_y_pred=True,
        axis=-1,
    ):
        super().__init__(name=name, dtype=dtype or "int32")
        if not _are_class_numbers(target_class_ids):
            raise ValueError(
                f"{type(self).__name__}() got target_class_ids={target_class_ids!r:.60}. A list of "
                "class numbers, of one at least, is accepted. Type target_class_ids=[0, 1]."
            )
        if max(target_class_ids) >= num_classes:
            raise ValueError(
                f"{type(self).__name__}() got the target class {max(target_class_ids)} of "
                f"{num_classes} classes. Class numbers 0..{num_classes - 1} are accepted. "
                f"Use num_classes={max(target_class_ids) + 1}."
            )
        self.num_classes = num_classes
        self.target_class_ids = list(target_class_ids)
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        shape = (num_classes, num_classes)
        self.total_cm = self.add_variable(shape, dtype=self._dtype, name="total_confusion_matrix")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take a batch into account; see `MeanMetricWrapper`."""
        y_pred = as_tensor(y_pred)
        y_true = as_tensor(y_true, y_pred)
        if self.total_cm.device != y_pred.device:
            self.to(y_pred.device)
        y_true = _flat_classes(y_true, self.sparse_y_true, self.axis)
        y_pred = _flat_classes(y_pred, self.sparse_y_pred, self.axis)
        if y_true.shape != y_pred.shape:
            raise mismatch(_registry.to_snake(type(self).__name__), y_true.shape, y_pred.shape)
        n = self.num_classes
        known = (y_true >= 0) & (y_true < n) & (y_pred >= 0) & (y_pred < n)
        if self.ignore_class is not None:
            known = known & (y_true != self.ignore_class)
        weight = known.to(self._dtype)
        if sample_weight is not None:
            more = as_tensor(sample_weight, y_pred).flatten()
            if more.is_floating_point() and not self._dtype.is_floating_point:
                warnings.warn(
                    f"{type(self).__name__} counts in {self.dtype}, so float weights are cut to "
                    "integers. Use dtype='float32'.",
                    stacklevel=2,
                )
            weight = weight * more.to(self._dtype)
        cell = torch.where(known, y_true * n + y_pred, 0)
        self.total_cm.view(-1).scatter_add_(0, cell, weight)

    def result(self):
        """The score; classes that neither targets nor outputs have are left out."""
        eps = epsilon()
        counts = self.total_cm.to(torch.float32)
        hits = counts.diagonal()
        union = counts.sum(0) + counts.sum(1) - hits
        hits, union = hits[self.target_class_ids], union[self.target_class_ids]
        present = union > 1e-9
        return torch.where(present, hits / (union + eps), 0.0).sum() / (present.sum() + eps)


def _flat_classes(y, is_sparse, axis):
    if not is_sparse:
        within("The metric", axis, y.ndim)
        y = (y.byte() if y.dtype is torch.bool else y).argmax(axis)
    return y.to(torch.int64).flatten()


class MeanIoU(IoU):
    """`IoU` of all classes."""

    def __init__(
        self,
        num_classes,
        name=None,
        dtype=None,
        ignore_class=None,
        sparse_y_true=True,
        sparse_y_pred=True,
        axis=-1,
    ):
        super().__init__(
            num_classes,
            range(num_classes),
            name,
            dtype,
            ignore_class,
            sparse_y_true,
            sparse_y_pred,
            axis,
        )


class BinaryIoU(IoU):
    """`IoU` of two classes, of which an output from `threshold` on means the second."""

    _kinds = {"threshold": NUMBER}

    def __init__(self, target_class_ids=(0, 1), threshold=0.5, name=None, dtype=None):
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take a batch into account; see `MeanMetricWrapper`."""
        super().update_state(y_true, as_tensor(y_pred) >= self.threshold, sample_weight)


class OneHotIoU(IoU):
    """`IoU` for one-hot targets."""

    def __init__(
        self,
        num_classes,
        target_class_ids,
        name=None,
        dtype=None,
        ignore_class=None,
        sparse_y_pred=False,
        axis=-1,
    ):
        super().__init__(
            num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis
        )


class OneHotMeanIoU(MeanIoU):
    """`IoU` of all classes for one-hot targets."""

    def __init__(
        self,
        num_classes,
        name=None,
        dtype=None,
        ignore_class=None,
        sparse_y_pred=False,
        axis=-1,
    ):
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)
