"""Callbacks that end training early."""

from __future__ import annotations

import math

from lightkeras.callbacks._base import Callback
from lightkeras.callbacks._monitor import _Monitor

__all__ = ["EarlyStopping", "TerminateOnNaN"]


class EarlyStopping(_Monitor):
    """Stop when a value has not become better for some epochs.

    Args:
        monitor: Name of the value.
        min_delta: A smaller change does not count as better.
        patience: Number of epochs without a better value after which training stops.
        verbose: 1 says when it stops.
        mode: Whether "min" or "max" is better; "auto" asks the metric.
        baseline: Training also stops when no value beats this for `patience` epochs.
        restore_best_weights: Whether to end with the weights of the best epoch, not the last.
        start_from_epoch: Epochs before this one (counted from 0) are not looked at.

    Raises:
        ValueError: no such `mode`; before training: `monitor` will not be in the logs.

    NaN is never the best value (in Keras a first NaN is), and weights that the last batch of an
    epoch made NaN or infinite are never the best ones.

    >>> stop = EarlyStopping("loss", patience=1)
    >>> stop.model = type("Model", (), {"stop_training": False})()
    >>> stop.on_train_begin()
    >>> for epoch, loss in enumerate([1.0, 0.5, 0.6]):
    ...     stop.on_epoch_end(epoch, {"loss": loss})
    >>> stop.stopped_epoch, stop.best, stop.best_epoch, stop.model.stop_training
    (2, 0.5, 1, True)
    """

    def __init__(
        self,
        monitor="val_loss",
        min_delta=0,
        patience=0,
        verbose=0,
        mode="auto",
        baseline=None,
        restore_best_weights=False,
        start_from_epoch=0,
    ):
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._begin()

    def _begin(self):
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_epoch = 0
        self._best_state = None  # a state_dict; it stays on the device of the model

    wait_count = property(lambda self: self.wait, doc="`wait`, as Lightning calls it.")
    best_score = property(lambda self: self.best, doc="`best`, as Lightning calls it.")

    @property
    def best_weights(self):
        """The best weights as `get_weights` gives them; None as long as there are none."""
        if self._best_state is None:
            return None
        now = _state(self.model)
        self.model.load_state_dict(self._best_state)
        weights = self.model.get_weights()
        self.model.load_state_dict(now)
        return weights

    def on_train_begin(self, logs=None):
        self._begin()

    def on_epoch_end(self, epoch, logs=None):
        current = self.get_monitor_value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        better = self._is_improvement(current, self.best)
        if better and not (self.restore_best_weights and _has_no_numbers(self.model)):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self._best_state = _state(self.model)
            if self.baseline is None or self._is_improvement(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.stopped_epoch > 0 and self.verbose > 0:
            self._say(
                f"Epoch {self.stopped_epoch + 1}: stopped early, {self.monitor} was best in epoch "
                f"{self.best_epoch + 1}"
            )
        if self.restore_best_weights and self._best_state is not None:
            if self.verbose > 0:
                self._say(f"The weights of epoch {self.best_epoch + 1} are back")
            self.model.load_state_dict(self._best_state)

    _kept = ("wait", "stopped_epoch", "best", "best_epoch", "_best_state")

    def get_monitor_value(self, logs):
        """The watched value of `logs`; None when it is not there."""
        logs = logs or {}
        value = self._value(logs)
        if value is None:
            self._warn_missing(logs)
        return value


def _state(model):
    """A copy of all weights."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _has_no_numbers(model):
    """Whether a weight is NaN or infinite."""
    return hasattr(model, "parameters") and not all(p.isfinite().all() for p in model.parameters())


class TerminateOnNaN(Callback):
    """Stop when the loss of a batch is NaN or infinite, and name the first tensor that is.

    A backup of `BackupAndRestore` is kept then: it holds the last state that was saved before.

    Args:
        raise_error: Whether to stop by an error, so that `on_train_end` is not called.

    Raises:
        RuntimeError: such a loss came, and `raise_error` is set.
    """

    def __init__(self, raise_error=False):
        self.raise_error = raise_error

    def _found(self):
        """Which weight of the model, or which gradient, is the first that is not finite."""
        if not hasattr(self.model, "named_parameters"):
            return ""
        weights = {n: p.detach() for n, p in self.model.named_parameters()}
        gradients = {n: p.grad for n, p in self.model.named_parameters() if p.grad is not None}
        for kind, tensors in (("weights", weights), ("gradients", gradients)):
            bad = [name for name, t in tensors.items() if not t.isfinite().all()]
            if bad:
                return f"{len(bad)} of {len(tensors)} {kind} are not finite, first {bad[0]!r}."
        return "All weights are finite; it is outputs or targets that are not finite."

    def on_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(
                f"The loss of batch {batch} is {float(loss)}. Training cannot go on from there. "
                f"{self._found()} Lower the learning rate, scale the data, or clip gradients: "
                "clipnorm=1.0."
            )
        self._say(f"Batch {batch}: the loss is {float(loss)}, training stops. {self._found()}")
        self.model.stop_training = True
