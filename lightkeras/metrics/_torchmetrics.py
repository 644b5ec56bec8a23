"""Metrics of torchmetrics in a list of metrics, next to our own."""

from __future__ import annotations

import sys

from lightkeras import _registry
from lightkeras.losses._base import same_rank
from lightkeras.metrics._base import Metric, as_tensor

__all__ = ["TorchMetric", "is_torchmetric", "separate"]


def is_torchmetric(obj) -> bool:
    """Whether `obj` is one of torchmetrics; it is not imported to find out."""
    module = sys.modules.get("torchmetrics")
    return module is not None and isinstance(obj, module.Metric)


def separate(obj):
    """The metrics of a MetricCollection, under their names there; `[obj]` for all else."""
    module = sys.modules.get("torchmetrics")
    if module is None or not isinstance(obj, module.MetricCollection):
        return [obj]
    return [TorchMetric(metric, _registry.to_snake(name)) for name, metric in obj.items()]


class TorchMetric(Metric):
    """A metric of torchmetrics as one of ours.

    Targets come as Keras has them: class numbers `(batch, 1)` become `(batch,)`, one-hot rows of
    a metric for several classes become class numbers, and the axis of the classes, our last,
    moves to where torchmetrics expects it. Over several processes it reduces itself, in `result`.

    Args:
        metric: An object of torchmetrics.
        name: Its name in the logs; derived from its class by default.

    Raises:
        ValueError: there are weights, which torchmetrics does not take.
    """

    def __init__(self, metric, name=None):
        super().__init__(name=name or _registry.to_snake(type(metric).__name__))
        self.metric = metric
        higher = getattr(metric, "higher_is_better", None)
        self._direction = None if higher is None else "up" if higher else "down"
        self._classifies = ".classification" in type(metric).__module__
        self._multiclass = type(metric).__name__.startswith("Multiclass")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take a batch into account."""
        if sample_weight is not None:
            raise ValueError(
                f"The torchmetrics metric {self.name!r} got sample weights, which it cannot take. "
                "Metrics of lightkeras can. Put it in metrics=, or use one of lightkeras.metrics."
            )
        y_pred = as_tensor(y_pred)
        y_true = as_tensor(y_true, y_pred)
        if self._multiclass and y_pred.is_floating_point():
            if y_true.shape == y_pred.shape:
                y_true = y_true.argmax(-1)
            elif y_true.ndim == y_pred.ndim:
                y_true = y_true.squeeze(-1)
            y_pred = y_pred.movedim(-1, 1)
        else:
            y_true, y_pred = same_rank(y_true, y_pred)
        if self._classifies:
            y_true = y_true.long()
        if self.metric.device != y_pred.device:
            self.metric.to(y_pred.device)
        self.metric.update(y_pred, y_true)

    def result(self):
        """The value for all batches since the last reset."""
        return self.metric.compute()

    def reset_state(self):
        """Forget all batches."""
        self.metric.reset()

    def to(self, device):
        """Move the state to a device, in place; returns the metric."""
        self.metric.to(device)
        return self
