"""Callbacks that set the learning rate between epochs."""

from __future__ import annotations

import inspect
import math
import numbers

import numpy as np

from lightkeras.callbacks._base import Callback
from lightkeras.callbacks._monitor import _Monitor

__all__ = ["LearningRateScheduler", "ReduceLROnPlateau"]


def rates_of(optimizer):
    """{name in logs: learning rate that the next step takes}."""
    return {name: _rate(one) for name, one in _with_rates(optimizer).items()}


def _with_rates(optimizer):
    """{name of its rate in logs: optimizer}: itself, or those of a MultiOptimizer."""
    inner = getattr(optimizer, "optimizers", None)
    if inner is None:
        return {"learning_rate": optimizer}
    return {f"learning_rate_{one.name}": one for one in inner}


def _rate(optimizer):
    if hasattr(optimizer, "learning_rate"):
        return float(optimizer.learning_rate)
    return float(optimizer.param_groups[0]["lr"])  # one of torch's own


def _set_rate(optimizer, rate):
    if hasattr(optimizer, "learning_rate"):
        optimizer.learning_rate = rate
        return
    for group in optimizer.param_groups:
        group["lr"] = rate


class _SetsRates(Callback):
    """What callbacks have in common that set learning rates."""

    verbose: int

    @property
    def _adds(self):  # type: ignore[override]
        return tuple(_with_rates(self.model.optimizer))

    def _validate(self, has_validation, names):
        super()._validate(has_validation, names)
        for optimizer in _with_rates(self.model.optimizer).values():
            _refuse_schedule(self, optimizer)

    def _set(self, name, optimizer, rate, epoch):
        _set_rate(optimizer, rate)
        if self.verbose > 0:
            kind, which = type(self).__name__, name.removeprefix("learning_rate_")
            which = "" if which == name else f" of {which}"
            self._say(f"Epoch {epoch + 1}: {kind} sets the learning rate{which} to {rate}")


def _refuse_schedule(callback, optimizer):
    from lightkeras.optimizers.schedules import LearningRateSchedule

    name = type(callback).__name__
    if isinstance(getattr(optimizer, "_source", None), LearningRateSchedule):
        raise ValueError(
            f"{name} sets the learning rate, but that of {type(optimizer).__name__} follows a "
            f"{type(optimizer._source).__name__}. Only one of them can. Leave {name} out, or give "
            "the optimizer a number: learning_rate=0.001."
        )


class LearningRateScheduler(_SetsRates):
    """Asks a function for the learning rate of every epoch.

    Args:
        schedule: Called with `epoch, learning_rate` (or with `epoch` alone, if it takes no more)
            before an epoch, counted from 0; returns the rate of that epoch.
        verbose: 1 says which rate was set.

    Raises:
        TypeError: `schedule` cannot be called.
        ValueError: what it returned is no rate.

    >>> callback = LearningRateScheduler(lambda epoch, lr: lr / 2)
    >>> callback.schedule(0, 0.5)
    0.25
    """

    def __init__(self, schedule, verbose=0):
        if not callable(schedule):
            raise TypeError(
                f"LearningRateScheduler got {type(schedule).__name__} for schedule. It takes a "
                "function of epoch and learning rate. Type schedule=lambda epoch, lr: 0.9 * lr."
            )
        self.schedule = schedule
        self.verbose = verbose
        self._takes_rate = _takes_two(schedule)

    def on_epoch_begin(self, epoch, logs=None):
        for name, optimizer in _with_rates(self.model.optimizer).items():
            arguments = (epoch, _rate(optimizer)) if self._takes_rate else (epoch,)
            self._set(name, optimizer, _checked_rate(self.schedule(*arguments)), epoch)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs.update(rates_of(self.model.optimizer))


def _takes_two(schedule):
    try:
        inspect.signature(schedule).bind(0, 0.1)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True


def _checked_rate(rate):
    if getattr(rate, "ndim", None) == 0:  # an array or a tensor of one number
        rate = rate.item()
    if not isinstance(rate, numbers.Real) or isinstance(rate, bool):
        raise ValueError(
            f"The schedule of LearningRateScheduler returned {type(rate).__name__}. A learning "
            "rate is a float. End the function with return lr."
        )
    if not math.isfinite(rate) or rate < 0:
        raise ValueError(
            f"The schedule of LearningRateScheduler returned {rate}. A learning rate is a number "
            "that is not below 0. Look at the function for this epoch."
        )
    return float(rate)


class ReduceLROnPlateau(_SetsRates, _Monitor):
    """Lower the learning rate when a value has not become better for some epochs.

    Args:
        monitor: Name of the value.
        factor: The new rate is the old one times this, between 0 and 1.
        patience: Number of epochs without a better value after which the rate is lowered.
        verbose: 1 says which rate was set.
        mode: Whether "min" or "max" is better; "auto" asks the metric.
        min_delta: A smaller change does not count as better.
        cooldown: Number of epochs to wait, after lowering it, before counting again.
        min_lr: The rate is never set below this.

    Raises:
        ValueError: `factor` or `mode` is not allowed; before training: no such value.

    NaN is never the best value (in Keras a first NaN is).

    >>> ReduceLROnPlateau("loss", factor=0.5).factor
    0.5
    """

    def __init__(
        self,
        monitor="val_loss",
        factor=0.1,
        patience=10,
        verbose=0,
        mode="auto",
        min_delta=1e-4,
        cooldown=0,
        min_lr=0.0,
    ):
        super().__init__(monitor, mode, min_delta=min_delta)
        if not 0 < factor < 1:
            raise ValueError(
                f"ReduceLROnPlateau got factor={factor}. It has to lie between 0 and 1, for the "
                "new learning rate is the old one times the factor. Type factor=0.1."
            )
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._begin()

    def _begin(self):
        self.best = None
        self.wait = 0
        self.cooldown_counter = 0

    _kept = ("best", "wait", "cooldown_counter")

    def in_cooldown(self):
        """Whether the rate was lowered only just now."""
        return self.cooldown_counter > 0

    def on_train_begin(self, logs=None):
        self._begin()

    def on_epoch_end(self, epoch, logs=None):
        logs = {} if logs is None else logs
        current = self._value(logs)
        logs.update(rates_of(self.model.optimizer))
        if current is None:
            self._warn_missing(logs)
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def _reduce(self, epoch):
        """Lower the rates; whether there was one that can be lowered."""
        reduced = False
        for name, optimizer in _with_rates(self.model.optimizer).items():
            old = _rate(optimizer)
            if np.float32(old) > np.float32(self.min_lr):  # optimizers may keep it in float32
                reduced = True
                self._set(name, optimizer, max(old * self.factor, self.min_lr), epoch)
        return reduced
