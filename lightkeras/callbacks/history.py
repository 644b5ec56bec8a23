"""`History`: the values of all epochs."""

from __future__ import annotations

from lightkeras._config import warn_old
from lightkeras.callbacks._base import Callback
from lightkeras.callbacks._monitor import log_name

__all__ = ["History"]


class History(Callback):
    """Records the logs of every epoch; `fit` returns it.

    Attributes:
        history: `{"loss": [of epoch 0, of epoch 1...], ...}`.
        epoch: The numbers of the epochs, counted from 0.

    >>> from lightkeras.callbacks import CallbackList
    >>> history = History()
    >>> group = CallbackList(history)
    >>> group.on_train_begin()
    >>> group.on_epoch_end(0, {"loss": 0.5, "accuracy": 0.75})
    >>> history.history
    {'accuracy': [0.75], 'loss': [0.5]}
    """

    def __init__(self):
        self.history = _Curves()
        self.epoch = []

    def on_train_begin(self, logs=None):
        self.epoch = []

    def state_dict(self):
        return {"epoch": self.epoch, "history": self.history}

    def load_state_dict(self, state_dict):
        self.epoch = list(state_dict["epoch"])
        self.history.clear()
        self.history.update(state_dict["history"])

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        if self.model is not None:
            self.model.history = self


class _Curves(dict):
    """A dictionary that also answers to the names of older Keras: "acc", "val_acc", "lr"."""

    def __missing__(self, name):
        today = log_name(name, self) if isinstance(name, str) else None
        if today is None:
            raise KeyError(f"{name!r} was not recorded. Recorded: {', '.join(self) or 'nothing'}.")
        warn_old("History", name, today)
        return self[today]
