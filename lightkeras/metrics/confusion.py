"""Counts of right and wrong yes-or-no answers, and what is made of them.

Arguments that several of these metrics share:

    thresholds: An output above it means yes. One number, or a list: then the result is a list,
        too. 0.5 by default.
    class_id: Only this column of targets and outputs counts.
    num_thresholds: How many thresholds between 0 and 1 are tried.
    name, dtype: As in `Metric`.
"""

from __future__ import annotations

import numpy as np
import torch

from lightkeras import _registry
from lightkeras._variable import State
from lightkeras.config import epsilon
from lightkeras.losses._base import divide_no_nan, mismatch, same_rank
from lightkeras.metrics._base import Metric, as_tensor

__all__ = [
    "FalseNegatives",
    "FalsePositives",
    "Precision",
    "PrecisionAtRecall",
    "Recall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
    "TrueNegatives",
    "TruePositives",
]

_LOWEST = -1e10  # below every output: what is not among the k highest
_COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


# ---- counting ---------------------------------------------------------------------------------


class Counting(Metric):
    """A metric that adds up some of the four counts, one number per threshold."""

    counts: tuple[str, ...] = _COUNTS  # those that this metric keeps
    true_positives: State
    false_positives: State
    true_negatives: State
    false_negatives: State
    top_k = None
    class_id = None
    _labels = False  # keep columns apart, and count each for itself
    _label_weights = None

    def _start(self, thresholds, shape=None):
        """Make the state for these thresholds."""
        self._set_thresholds(thresholds)
        for name in self.counts:
            zeros = self.add_variable(shape or (len(thresholds),), name=name)
            setattr(self, name, zeros)

    def _set_thresholds(self, thresholds):
        self.thresholds = thresholds
        self._even = _evenly_spaced(thresholds)
        self._limits = torch.tensor(thresholds, dtype=torch.float32)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take a batch into account.

        Args:
            y_true: Targets, 0 or 1.
            y_pred: Outputs between 0 and 1, of the same shape.
            sample_weight: One weight per row, or one per value; None: all are 1.
        """
        first = getattr(self, self.counts[0])
        y_pred = as_tensor(y_pred)
        if y_pred.device != self._limits.device:
            self.to(y_pred.device)
        yes, y_pred, weight = self._prepare(y_true, y_pred.to(first.dtype), sample_weight)
        positive, negative = yes * weight, (1.0 - yes) * weight
        count = _count_buckets if self._even else _count_each
        true_positives, false_positives = count(positive, negative, y_pred, self._limits)
        for name in self.counts:
            if name == "true_positives":
                new = true_positives
            elif name == "false_positives":
                new = false_positives
            elif name == "false_negatives":
                new = positive.sum(0) - true_positives
            else:
                new = negative.sum(0) - false_positives
            getattr(self, name).add_(new)

    def to(self, device):
        """Move the state to a device, in place; returns the metric."""
        self._limits = self._limits.to(device)
        if self._label_weights is not None:
            self._label_weights = self._label_weights.to(device)
        return super().to(device)

    def _prepare(self, y_true, y_pred, sample_weight):
        """(targets, outputs, weights), all (values) or, column by column, (values, columns)."""
        y_true = as_tensor(y_true, y_pred).to(y_pred.dtype)
        y_true, y_pred = same_rank(y_true, y_pred)
        if y_true.shape != y_pred.shape:
            raise mismatch(_registry.to_snake(type(self).__name__), y_true.shape, y_pred.shape)
        if self.top_k is not None:
            if self.top_k > y_pred.shape[-1]:
                raise ValueError(
                    f"{type(self).__name__} has top_k={self.top_k} and got outputs of "
                    f"{y_pred.shape[-1]} classes. It cannot be more than there are. Type "
                    f"top_k={y_pred.shape[-1]}, or leave it out."
                )
            y_pred = _only_highest(y_pred, self.top_k)
        if self.class_id is not None:
            if y_pred.ndim < 2:
                raise ValueError(
                    f"{type(self).__name__} has class_id={self.class_id} and got outputs of shape "
                    f"{tuple(y_pred.shape)}. (batch, classes) is accepted. Leave class_id out."
                )
            if not -y_pred.shape[-1] <= self.class_id < y_pred.shape[-1]:
                raise ValueError(
                    f"{type(self).__name__} has class_id={self.class_id} and got outputs of "
                    f"{y_pred.shape[-1]} classes. 0 to {y_pred.shape[-1] - 1} are accepted. "
                    "Change it, or leave it out."
                )
            y_true, y_pred = y_true[..., self.class_id, None], y_pred[..., self.class_id, None]
        yes = (y_true != 0).to(y_pred.dtype)
        weight = torch.ones((), dtype=y_pred.dtype, device=y_pred.device)
        if sample_weight is not None:
            weight = as_tensor(sample_weight, y_pred).to(y_pred.dtype)
            weight = weight.reshape(weight.shape + (1,) * (y_pred.ndim - weight.ndim))
        if self._label_weights is not None:
            if len(self._label_weights) != y_pred.shape[-1]:
                raise ValueError(
                    f"{type(self).__name__} has {len(self._label_weights)} label_weights and got "
                    f"outputs of {y_pred.shape[-1]} labels. One for each is accepted. Change them, "
                    "or leave label_weights out."
                )
            weight = weight * self._label_weights
        weight = weight.expand(y_pred.shape)
        if self._labels:
            return yes, y_pred, weight
        return yes.flatten(), y_pred.flatten(), weight.flatten()


def _count_each(positive, negative, y_pred, limits):
    """(true, false) positives at each threshold, by comparing with each."""
    above = y_pred > limits.reshape(-1, *[1] * y_pred.ndim)  # (thresholds, values, [columns])
    return (above * positive).sum(1), (above * negative).sum(1)


def _count_buckets(positive, negative, y_pred, limits):
    """The same for evenly spaced thresholds: sorted into buckets, then summed from above."""
    steps = len(limits)
    bucket = (y_pred.clamp(0.0, 1.0) * (steps - 1)).ceil()
    # Bucket b is above the thresholds before b; 0 is above the first only if that is negative.
    bucket = torch.maximum(bucket, (limits[0] < 0).to(bucket.dtype)).to(torch.int64)
    sums = []
    for weight in (positive, negative):
        filled = weight.new_zeros(steps + 1, *weight.shape[1:]).scatter_add(0, bucket, weight)
        sums.append(filled.flip(0).cumsum(0).flip(0)[1:])
    return sums


def _only_highest(y_pred, k):
    highest = y_pred.topk(k).indices
    kept = torch.zeros_like(y_pred, dtype=torch.bool).scatter(-1, highest, True)
    return torch.where(kept, y_pred, _LOWEST)


def _evenly_spaced(thresholds):
    if len(thresholds) < 3:
        return False
    even = np.linspace(0.0, 1.0, len(thresholds), dtype=np.float32)
    return bool(np.allclose(thresholds, even, atol=epsilon()))


def listed(thresholds, default):
    """The argument `thresholds` as a list of numbers from 0 to 1."""
    if thresholds is None:
        return [default]
    listed = list(thresholds) if isinstance(thresholds, (list, tuple, np.ndarray)) else [thresholds]
    for threshold in listed:
        if threshold is None or not 0 <= threshold <= 1:
            raise ValueError(
                f"thresholds has the value {threshold!r}. Numbers from 0 to 1 are accepted. "
                "Use an output activation like sigmoid, and thresholds=0.5."
            )
    return listed


# ---- single counts ----------------------------------------------------------------------------


class _Count(Counting):
    def __init__(self, thresholds=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self._set_thresholds(listed(thresholds, 0.5))
        self.accumulator = self.add_variable((len(self.thresholds),), name="accumulator")
        setattr(self, self.counts[0], self.accumulator)

    def result(self):
        """The count, or one count per threshold."""
        count = self.accumulator.clone()
        return count[0] if len(self.thresholds) == 1 else count

    def get_config(self):
        """Constructor arguments as plain values."""
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(_Count):
    """How many are 1 and found to be.

    >>> TruePositives()([0, 1, 1, 1], [0.9, 0.1, 0.8, 0.7])
    tensor(2.)
    """

    counts = ("true_positives",)


class TrueNegatives(_Count):
    """How many are 0 and found to be."""

    counts = ("true_negatives",)


class FalsePositives(_Count):
    """How many are 0 and taken for 1."""

    counts = ("false_positives",)


class FalseNegatives(_Count):
    """How many are 1 and taken for 0."""

    counts = ("false_negatives",)


# ---- precision and recall ---------------------------------------------------------------------


class _Ratio(Counting):
    """True positives divided by their sum with another count."""

    _direction = "up"

    def __init__(self, thresholds=None, top_k=None, class_id=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        self._start(listed(thresholds, 0.5 if top_k is None else _LOWEST))

    def result(self):
        """The ratio, or one per threshold; 0 where there is nothing to divide."""
        right, wrong = (getattr(self, name) for name in self.counts)
        ratio = divide_no_nan(right, right + wrong)
        return ratio[0] if len(self.thresholds) == 1 else ratio

    def get_config(self):
        """Constructor arguments as plain values."""
        return {**super().get_config(), "thresholds": self.init_thresholds}


class Precision(_Ratio):
    """Of what was found to be 1, how much is.

    Args:
        top_k: Among the classes of a row, only the `top_k` highest outputs can mean yes; then
            there is no threshold by default.

    >>> Precision()([0, 1, 1, 1], [0.9, 0.1, 0.8, 0.7])
    tensor(0.6667)
    """

    counts = ("true_positives", "false_positives")


class Recall(_Ratio):
    """Of what is 1, how much was found.

    Args:
        top_k: Among the classes of a row, only the `top_k` highest outputs can mean yes; then
            there is no threshold by default.

    >>> Recall()([0, 1, 1, 1], [0.9, 0.1, 0.8, 0.7])
    tensor(0.6667)
    """

    counts = ("true_positives", "false_negatives")


# ---- one rate where another is good enough ----------------------------------------------------


def _rates(metric):
    """Recall (sensitivity), specificity and precision at each threshold."""
    right, wrong = metric.true_positives, metric.false_positives
    return {
        "recall": divide_no_nan(right, right + metric.false_negatives),
        "sensitivity": divide_no_nan(right, right + metric.false_negatives),
        "specificity": divide_no_nan(metric.true_negatives, metric.true_negatives + wrong),
        "precision": divide_no_nan(right, right + wrong),
    }


class _At(Counting):
    """The best of `wanted` at the thresholds where `given` is at least a value."""

    wanted: str
    given: str
    _direction = "up"

    def _setup(self, value, num_thresholds, class_id, name, dtype):
        Metric.__init__(self, name=name, dtype=dtype)
        if not 0 <= value <= 1:
            raise ValueError(
                f"{type(self).__name__}() got {self.given}={value!r}. Numbers from 0 to 1 are "
                f"accepted. Use {self.given}=0.5."
            )
        if num_thresholds <= 0:
            raise ValueError(
                f"{type(self).__name__}() got num_thresholds={num_thresholds!r}. Positive integers "
                "are accepted. Use num_thresholds=200."
            )
        setattr(self, self.given, value)
        self.value = value
        self.num_thresholds = num_thresholds
        self.class_id = class_id
        steps = num_thresholds - 1
        self._start([i / steps for i in range(num_thresholds)] if steps else [0.5])

    def result(self):
        """The best rate; 0 where no threshold is good enough."""
        rates = _rates(self)
        good = rates[self.given] >= self.value
        return torch.where(good, rates[self.wanted], 0.0).amax()


class SensitivityAtSpecificity(_At):
    """The best sensitivity at thresholds with at least this specificity.

    >>> SensitivityAtSpecificity(0.5)([0, 0, 0, 1, 1], [0.0, 0.3, 0.8, 0.3, 0.8])
    tensor(0.5000)
    """

    wanted, given = "sensitivity", "specificity"

    def __init__(self, specificity, num_thresholds=200, class_id=None, name=None, dtype=None):
        self._setup(specificity, num_thresholds, class_id, name, dtype)


class SpecificityAtSensitivity(_At):
    """The best specificity at thresholds with at least this sensitivity."""

    wanted, given = "specificity", "sensitivity"

    def __init__(self, sensitivity, num_thresholds=200, class_id=None, name=None, dtype=None):
        self._setup(sensitivity, num_thresholds, class_id, name, dtype)


class PrecisionAtRecall(_At):
    """The best precision at thresholds with at least this recall."""

    wanted, given = "precision", "recall"

    def __init__(self, recall, num_thresholds=200, class_id=None, name=None, dtype=None):
        self._setup(recall, num_thresholds, class_id, name, dtype)


class RecallAtPrecision(_At):
    """The best recall at thresholds with at least this precision."""

    wanted, given = "recall", "precision"

    def __init__(self, precision, num_thresholds=200, class_id=None, name=None, dtype=None):
        self._setup(precision, num_thresholds, class_id, name, dtype)
