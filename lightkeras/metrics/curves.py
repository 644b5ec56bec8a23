"""Areas under curves that the counts of `confusion` draw."""

from __future__ import annotations

import torch

from lightkeras import _registry
from lightkeras._kinds import NUMBERS
from lightkeras.config import epsilon
from lightkeras.losses._base import divide_no_nan
from lightkeras.metrics._base import as_tensor
from lightkeras.metrics.confusion import Counting, listed

__all__ = ["AUC"]

_CURVES = ("ROC", "PR", "PRGAIN")
_SUMMATIONS = ("interpolation", "minoring", "majoring")


class AUC(Counting):
    """The area under a curve through the rates at many thresholds.

    Args:
        curve: "ROC" (recall over false positives), "PR" (precision over recall) or "PRGAIN".
        summation_method: Height of a strip between two thresholds: "interpolation", the lower
            end ("minoring") or the higher one ("majoring").
        thresholds: One's own, between 0 and 1, in place of `num_thresholds`.
        multi_label: One area per column, then their mean.
        num_labels: Number of columns; seen at the first batch by default.
        label_weights: Weights of the columns.
        from_logits: Outputs are logits.

    Source: Davis and Goadrich, The Relationship Between Precision-Recall and ROC Curves, 2006,
    for the interpolation of "PR".

    >>> AUC(num_thresholds=3)([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9])
    tensor(0.7500)
    """

    _direction = "up"

    _kinds = {
        "label_weights": NUMBERS.or_else(
            lambda v: v is None or (isinstance(v, dict) and "config" in v)
        )
    }

    def __init__(
        self,
        num_thresholds=200,
        curve="ROC",
        summation_method="interpolation",
        name=None,
        dtype=None,
        thresholds=None,
        multi_label=False,
        num_labels=None,
        label_weights=None,
        from_logits=False,
    ):
        super().__init__(name=name, dtype=dtype)
        self.curve = str(curve).upper()
        if self.curve not in _CURVES:
            raise _registry.unknown("curve", curve, _CURVES)
        self.summation_method = str(summation_method).lower()
        if self.summation_method not in _SUMMATIONS:
            raise _registry.unknown("summation method", summation_method, _SUMMATIONS)
        if thresholds is None and num_thresholds <= 1:
            raise ValueError(
                f"AUC() got num_thresholds={num_thresholds!r}. Integers from 2 are accepted. "
                "Use num_thresholds=200."
            )
        if num_labels and not multi_label:
            raise ValueError(
                f"AUC() got num_labels={num_labels} without multi_label=True. Columns are counted "
                "together then. Drop num_labels, or add multi_label=True."
            )
        self.init_thresholds = None if thresholds is None else sorted(listed(thresholds, None))
        self.multi_label = self._labels = multi_label
        self.num_labels = num_labels
        if isinstance(label_weights, dict):  # as Keras writes them into a config
            label_weights = label_weights["config"]["value"]
        self.label_weights = None if label_weights is None else [float(w) for w in label_weights]
        self.from_logits = from_logits
        inner = self.init_thresholds
        if inner is None:
            inner = [(i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)]
        self.num_thresholds = len(inner) + 2
        self.thresholds = [-epsilon(), *inner, 1.0 + epsilon()]
        if not multi_label:
            self._label_weights = self._weights()
        if num_labels or not multi_label:
            self._build(num_labels)

    def _weights(self):
        return None if self.label_weights is None else torch.tensor(self.label_weights)

    def _build(self, columns):
        rows = len(self.thresholds)
        self._start(self.thresholds, (rows, columns) if columns else (rows,))
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take a batch into account; see `Precision`."""
        y_pred = as_tensor(y_pred)
        if "_built" not in vars(self):
            if y_pred.ndim != 2:
                raise ValueError(
                    f"AUC(multi_label=True) got outputs of shape {tuple(y_pred.shape)}. "
                    "(batch, labels) is accepted. Drop multi_label, or reshape them."
                )
            self._build(y_pred.shape[1])
        super().update_state(
            y_true, y_pred.sigmoid() if self.from_logits else y_pred, sample_weight
        )

    def result(self):
        """The area; of several columns, the (weighted) mean of their areas."""
        if self.curve == "PR" and self.summation_method == "interpolation":
            strips = self._precision_recall_strips()
        else:
            x, y = self._curve()
            strips = (x[:-1] - x[1:]) * self._heights(y[:-1], y[1:])
        areas = strips.sum(0)
        if not self.multi_label:
            return areas
        weights = self._weights()
        if weights is None:
            return areas.mean()
        weights = weights.to(areas.device)
        return divide_no_nan((areas * weights).sum(), weights.sum())

    def _curve(self):
        right, wrong = self.true_positives, self.false_positives
        missed, rejected = self.false_negatives, self.true_negatives
        recall = divide_no_nan(right, right + missed)
        if self.curve == "ROC":
            return divide_no_nan(wrong, wrong + rejected), recall
        if self.curve == "PR":
            return recall, divide_no_nan(right, right + wrong)
        scale = divide_no_nan(right + missed, rejected + wrong)
        recall_gain = 1.0 - scale * divide_no_nan(missed, right)
        precision_gain = 1.0 - scale * divide_no_nan(wrong, right)
        none = right == 0
        return (
            torch.where(none, 0.0, recall_gain).clamp(min=0.0),
            torch.where(none, 1.0, precision_gain),
        )

    def _heights(self, left, right):
        if self.summation_method == "interpolation":
            return (left + right) / 2.0
        return (torch.minimum if self.summation_method == "minoring" else torch.maximum)(
            left, right
        )

    def _precision_recall_strips(self):
        """Strips under precision over recall; between two points the counts are linear."""
        right = self.true_positives
        found = right + self.false_positives
        steps = right[:-1] - right[1:]
        slope = divide_no_nan(steps, (found[:-1] - found[1:]).clamp(min=0.0))
        intercept = right[1:] - slope * found[1:]
        both = (found[:-1] > 0) & (found[1:] > 0)
        ratio = torch.where(both, divide_no_nan(found[:-1], found[1:].clamp(min=0.0)), 1.0)
        total = (right[1:] + self.false_negatives[1:]).clamp(min=0.0)
        return divide_no_nan(slope * (steps + intercept * ratio.log()), total)

    def get_config(self):
        """Constructor arguments as plain values."""
        return {**super().get_config(), "thresholds": self.init_thresholds}
