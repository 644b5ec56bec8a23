"""Metrics of torchmetrics in a list of metrics, next to our own."""

from __future__ import annotations

import functools
import sys

import torch

from lightkeras import _registry
from lightkeras.losses._base import same_rank
from lightkeras.metrics._base import Metric, as_tensor

__all__ = ["TorchMetric", "is_torchmetric", "separate", "turned"]


def is_torchmetric(obj) -> bool:
    """Whether `obj` is one of torchmetrics; it is not imported to find out."""
    module = sys.modules.get("torchmetrics")
    return module is not None and isinstance(obj, module.Metric)


def turned(function):
    """A function of torchmetrics or torch as one of `(y_true, y_pred)`: they take outputs first."""
    inner = getattr(function, "func", function)  # of a partial
    place = getattr(inner, "__module__", None) or ""
    if isinstance(inner, Metric) or not place.startswith(("torchmetrics.", "torch.nn.functional")):
        return function

    @functools.wraps(inner)
    def call(y_true, y_pred):
        if y_pred.shape[-1] == 1:
            y_true, y_pred = same_rank(y_true, y_pred)
        return function(y_pred, y_true)

    return call


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
    moves to where torchmetrics expects it. The sums of several processes are combined as it says.

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
        for part in self._parts():  # one process may read a value while the others do not
            part.sync_on_compute = part._to_sync = False

    def _parts(self):
        """The metric and those that it is made of."""
        return [m for m in self.metric.modules() if is_torchmetric(m)]

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

    # ---- several processes ----------------------------------------------------------------------

    def _local_state(self):
        return [
            {name: _on_cpu(getattr(part, name)) for name in part._reductions}
            if part._update_count
            else None
            for part in self._parts()
        ]

    def _merge(self, states):
        for part, all_states in zip(self._parts(), zip(*states, strict=True), strict=True):
            updated = [state for state in all_states if state is not None]
            for name, how in part._reductions.items() if updated else ():
                value = _combined([state[name] for state in updated], how)
                setattr(part, name, _on(value, part.device))
            part._computed = None
            part._update_count = max(part._update_count, bool(updated))

    def _keep(self):
        names = ("_computed", "_update_count")
        kept = []
        for part in self._parts():
            values = {name: getattr(part, name) for name in names}
            values.update((name, _copied(getattr(part, name))) for name in part._reductions)
            kept.append((part, values))

        def put_back():
            for part, values in kept:
                for name, value in values.items():
                    setattr(part, name, value)

        return put_back


def _on(value, device):
    return [t.to(device) for t in value] if isinstance(value, list) else value.to(device)


def _copied(value):
    """A state for itself: an update may add to it in place."""
    return list(value) if isinstance(value, list) else value.clone()


def _on_cpu(value):
    return _on(value, "cpu")


def _combined(values, how):
    """States of several processes as one, by the rule that torchmetrics has for it."""
    if isinstance(values[0], list):
        return [t for value in values for t in value]
    if len(values) == 1:
        return values[0]
    stacked = torch.stack(values)
    return stacked if how is None else how(stacked)
