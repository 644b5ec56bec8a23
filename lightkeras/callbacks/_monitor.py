"""The base of callbacks that watch one value, and the names that values have in `logs`."""

from __future__ import annotations

import operator
import warnings

import numpy as np

from lightkeras._config import warn_old
from lightkeras._registry import did_you_mean, unknown
from lightkeras._tree import flatten
from lightkeras.callbacks._base import Callback

__all__ = ["log_name"]

_OLD = {"acc": "accuracy", "lr": "learning_rate"}


def log_name(name, names):
    """`name` as it stands in `names`, also for what older Keras called it; otherwise None.

    >>> log_name("val_acc", ["loss", "val_accuracy"])
    'val_accuracy'
    """
    if name in names:
        return name
    for old, new in _OLD.items():
        if name == old or name.endswith(f"_{old}"):
            today = name.removesuffix(old) + new
            return today if today in names else None
    return None


def _metrics_of(model):
    """(name, metric): those of `compile` as they stand in logs, then others of a model."""
    compiled = getattr(model, "_compiled", None)
    if compiled is not None:
        yield from compiled.all_metrics()
    for metric in flatten(list(getattr(model, "metrics", None) or ())):
        if getattr(metric, "name", None):
            yield metric.name, metric


class _Monitor(Callback):
    """Watches one value of `logs`; NaN is never better than anything.

    Args:
        monitor: Name of the value: "loss", "val_accuracy"...
        mode: Whether "min" or "max" is better; "auto" asks the metric, then its name.
        baseline: What the first value has to beat.
        min_delta: A smaller change does not count as better.

    Raises:
        TypeError: `monitor` is no name.
        ValueError: `mode` is something else.
    """

    def __init__(self, monitor="val_loss", mode="auto", baseline=None, min_delta=0):
        if not isinstance(monitor, str):
            raise TypeError(
                f"{type(self).__name__} got monitor={monitor!r}. It is the name of a value. "
                "Type monitor='val_loss'; other arguments go by their names."
            )
        if mode not in ("auto", "min", "max"):
            raise unknown("mode", mode, ("auto", "min", "max"))
        self.monitor = monitor
        self.mode = mode
        self.best = baseline
        self.min_delta = abs(min_delta)
        self.monitor_op = {"min": operator.lt, "max": operator.gt}.get(mode)
        self._expected = False  # whether the value is known to come, if not after every epoch
        self._missed = False

    @property
    def _name(self):
        return type(self).__name__

    _kept: tuple[str, ...] = ("best",)  # attributes that make the state

    def state_dict(self):
        return {name: getattr(self, name) for name in self._kept}

    def load_state_dict(self, state_dict):
        for name in self._kept:
            setattr(self, name, state_dict.get(name, getattr(self, name)))

    # ---- better or worse ------------------------------------------------------------------------

    def _is_improvement(self, value, reference):
        if value != value:  # NaN
            return False
        if reference is None:
            return True
        if self.monitor_op is None:
            self.monitor_op = self._direction()
        gain = self.min_delta if self.monitor_op is operator.gt else -self.min_delta
        # Logs come from float32: what differs less than that does not differ.
        return bool(self.monitor_op(np.float32(value - gain), np.float32(reference)))

    def _direction(self):
        name = self.monitor.removeprefix("val_")
        for known, metric in _metrics_of(self.model):
            if name == known or name.endswith(f"_{known}"):
                up = getattr(metric, "higher_is_better", None)  # what torchmetrics calls it
                direction = getattr(metric, "_direction", None)
                up = direction == "up" if direction in ("up", "down") else up
                if up is not None:
                    return operator.gt if up else operator.lt
        if name.endswith("loss"):
            return operator.lt
        if "acc" in name or name.endswith("auc"):
            return operator.gt
        raise ValueError(
            f"{self._name} cannot tell whether a high or a low {self.monitor!r} is better. "
            "Metrics of one's own do not say so. Type mode='max' or mode='min'."
        )

    # ---- the value ------------------------------------------------------------------------------

    def _value(self, logs):
        """The watched value of `logs`; None when it is not there."""
        name = log_name(self.monitor, logs)
        if name is None:
            return None
        try:
            return float(logs[name])
        except (TypeError, ValueError):
            raise ValueError(
                f"{self._name} watches {self.monitor!r}, which is {type(logs[name]).__name__}. "
                "Only a single number can be compared. Watch another value: monitor='val_loss'."
            ) from None

    def _warn_missing(self, logs):
        if self._expected or self._missed:  # as with validation_freq=2: it comes next time
            return
        self._missed = True
        warnings.warn(
            f"{self._name} watches {self.monitor!r}, which this epoch did not give. It gave: "
            f"{', '.join(logs) or 'nothing'}."
        )

    def _validate(self, has_validation, names):
        self._expected = False
        if self.monitor.startswith("val_") and not has_validation:
            raise ValueError(
                f"{self._name} watches {self.monitor!r}, but there is no validation. Pass "
                "validation_data=(x_val, y_val) or validation_split=0.2 to fit(). Without, watch "
                f"the training: monitor={self.monitor.removeprefix('val_')!r}."
            )
        if names is None:
            return
        name = log_name(self.monitor, names)
        if name is None:
            raise self._unknown(names)
        if name != self.monitor:
            warn_old(self._name, self.monitor, name)
            self.monitor = name
        self._expected = True
        if self.monitor_op is None:
            self.monitor_op = self._direction()

    def _unknown(self, names):
        hint = did_you_mean(self.monitor, names)
        return ValueError(
            f"{self._name} watches {self.monitor!r}, which no epoch will give.{hint} Known: "
            f"{', '.join(sorted(names))}. Add the metric in compile(metrics=[...])."
        )
