"""Lightning's counterparts of Keras's `EarlyStopping` and `ModelCheckpoint`.

Keras's decide. Their counterparts stand in the Trainer and tell what was decided, by the names and
in the types of Lightning's: to loggers that keep files, to callbacks that look for another one, to
`trainer.test(ckpt_path="best")`, and to a checkpoint from which Lightning alone goes on. One more
sees to it that Keras's callbacks hear first that an epoch begins.
"""

from __future__ import annotations

import operator
import os
from contextlib import suppress

import torch
from lightning.pytorch import Callback
from lightning.pytorch import callbacks as theirs
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from lightkeras import callbacks as ours

__all__ = ["audience", "stand_in"]


class _Still(Callback):
    """Does nothing at any hook: what Lightning's own would do there, Keras's has done."""


for _name, _hook in vars(Callback).items():
    if _name.startswith(("on_", "setup")):
        setattr(_Still, _name, _hook)


class EarlyStopping(_Still, theirs.EarlyStopping):
    """What `trainer.early_stopping_callback` is.

    Args:
        callback: The `EarlyStopping` of Keras's.
    """

    def __init__(self, callback):
        super().__init__(
            callback.monitor, callback.min_delta, callback.patience, mode=_mode(callback)
        )
        self.callback = callback

    def follow(self):
        """Take over how things stand."""
        callback = self.callback
        self.wait_count, self.stopped_epoch = callback.wait, callback.stopped_epoch
        if callback.best is not None:
            self.best_score = torch.tensor(callback.best)
        if callback.stopped_epoch > 0:
            self.stopping_reason = EarlyStoppingReason.PATIENCE_EXHAUSTED
            self.stopping_reason_message = (
                f"{callback.monitor} was best in epoch {callback.best_epoch + 1}"
            )

    def state_dict(self):
        self.follow()
        return super().state_dict()


class ModelCheckpoint(_Still, theirs.ModelCheckpoint):
    """What `trainer.checkpoint_callback` is; its state is that of Keras's alone.

    Args:
        callback: The `ModelCheckpoint` of Keras's.
    """

    def __init__(self, callback):
        folder, name = os.path.split(callback.filepath)
        super().__init__(
            None if "{" in folder else folder or os.curdir,
            name,
            callback.monitor,
            save_top_k=-1 if callback._fields else 1,  # those whose names differ all stay
            save_weights_only=bool(callback.save_weights_only),
            mode=_mode(callback),
        )
        self.callback = callback

    def follow(self):
        """Take over how things stand."""
        callback = self.callback
        self.best_model_path = callback.best_model_path
        self.last_model_path = callback.last_model_path
        self.best_model_score = _tensor(callback.best_model_score)
        self.current_score = _tensor(callback.current_score)
        self.best_k_models = {p: _tensor(score) for p, score in callback.best_k_models.items()}

    def state_dict(self):
        return {}


class Beginning(_Still):
    """First of a Trainer's callbacks at the beginning of an epoch, where a module comes last.

    So they see what Keras's callbacks have set for the epoch: a learning rate.

    Args:
        begin: What is called.
    """

    def __init__(self, begin):
        self.begin = begin

    def on_train_epoch_start(self, trainer, pl_module):
        self.begin()


_COUNTERPARTS = {ours.EarlyStopping: EarlyStopping, ours.ModelCheckpoint: ModelCheckpoint}


def stand_in(trainer, callbacks, begin=None):
    """Put counterparts of Keras's `callbacks` first in a Trainer's, in place of those before.

    A Trainer names the first as its `checkpoint_callback`, and one may have its own by default.

    Args:
        trainer: The Trainer.
        callbacks: Keras's.
        begin: What is called when an epoch begins, before its callbacks are.

    Returns:
        {callback: its counterpart}
    """
    found = {}
    for callback in callbacks:
        for kind, counterpart in _COUNTERPARTS.items():
            if isinstance(callback, kind):
                found[callback] = counterpart(callback)
                found[callback].follow()
    first = [] if begin is None else [Beginning(begin)]
    trainer.callbacks = [*first, *found.values(), *audience(trainer)]
    return found


def audience(trainer):
    """The callbacks of a Trainer that listen to what happens."""
    return [callback for callback in trainer.callbacks if not isinstance(callback, _Still)]


def _mode(callback):
    """ "min" or "max"; "min", too, where nobody says which values are better."""
    direction = callback.monitor_op
    if direction is None:
        with suppress(ValueError):
            direction = callback._direction()
    return "max" if direction is operator.gt else "min"


def _tensor(score):
    return None if score is None else torch.tensor(score)
