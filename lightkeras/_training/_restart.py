"""`fit` that goes on where a killed one was: when its state is saved, and when it is put back.

A backup stands for a moment between two steps. There are three kinds of moments:

- before an epoch begins, when all callbacks are through with the one before (`epoch_begins`);
- after a step, before the next batch is drawn (`after_step`, `Loader`);
- before a validation, kept in memory while it runs and written only if a signal comes then;
  the end of the last step is then gone through once more (`replays`).
"""

from __future__ import annotations

import math
import signal
from contextlib import contextmanager, suppress
from typing import Any

import torch.distributed as dist
from lightning.pytorch import Callback as LightningCallback
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from lightkeras import __version__
from lightkeras._ranks import is_chief, rank, world
from lightkeras._training._backup import Backups
from lightkeras._training._fingerprint import check, check_settings, fingerprint, settings
from lightkeras._training._state import (
    data_of,
    own_part,
    put_back,
    put_back_callbacks,
    put_back_own,
    shared_part,
)
from lightkeras.callbacks.backup import BackupAndRestore

__all__ = ["NEVER", "Restart", "restart_of"]

_FORMAT = 1


class _Never:
    """Stands where nothing is to be saved."""

    due, replays = math.inf, False


NEVER: Any = _Never()


def restart_of(fit):
    """The `Restart` of a `fit` with a `BackupAndRestore` among its callbacks, or None."""
    found = [c for c in fit.group.callbacks if isinstance(c, BackupAndRestore)]
    return Restart(found[0], fit) if found else None


class Restart:
    """Saves the state of one `fit` and puts it back.

    Args:
        callback: The `BackupAndRestore`.
        fit: The LightningModule of `fit`.

    Attributes:
        due: Number of steps of the running epoch after which to save.
        replays: State of which the end of the last step is to be gone through again, or False.
    """

    def __init__(self, callback, fit):
        self.callback, self.fit, self.signals = callback, fit, fit.signals
        self.backups = Backups(callback.backup_dir)
        self.due = math.inf
        self.replays: Any = False
        self._every = callback.save_freq if type(callback.save_freq) is int else math.inf
        self._last = 0  # step of the last save; below 0 if that was in an earlier epoch
        self._state = None  # read and not put back yet
        self._done = 0  # steps of the first epoch that are not taken again
        self._chunks = 0  # Lightning's count of the batches of all epochs before
        self._ended = False  # read as finished: there is nothing to save
        self._before = None  # the state before the validation that is running
        self._left = False  # ended at a place that cannot be saved

    def __getstate__(self):
        return {**self.__dict__, "fit": None}  # which holds this, and sends itself

    # ---- the beginning ------------------------------------------------------------------------

    def open(self):
        """Look for a backup, check that it fits, and prepare to begin there."""
        fit, trainer = self.fit, self.fit.trainer
        _check_strategy(trainer)
        for batches in data_of(fit).values():
            batches.remembers = True
        self._fingerprint = fingerprint(fit)
        self._settings = settings(fit.model._compiled.optimizer)  # when the training began
        if not is_chief():  # the first process removes what is damaged
            dist.barrier()
        state = self.backups.newest()
        if is_chief() and world() > 1:
            dist.barrier()
        if state is None:
            return
        check(self._fingerprint, state["fingerprint"], self.callback.backup_dir)
        now, self._settings = self._settings, state.get("settings", self._settings)
        if is_chief():
            rate = _rate_in(state["shared"]["optimizers"])
            check_settings(now, self._settings, rate, self.callback.backup_dir)
        self._state = state
        put_back_callbacks(trainer.callbacks, state["shared"]["lightning"])
        progress = trainer.fit_loop.epoch_progress.current
        progress.processed = progress.completed = state["epoch"]

    def fit_starts(self):
        """A training that had only to end does so."""
        state = self._state
        if state is None:
            return
        over = state["epoch"] >= self.fit.trainer.max_epochs or state["shared"]["stop"]
        if state["finished"] and over:
            self._ended = self.fit.trainer.should_stop = True  # Lightning passes over everything
            self.fit.group.on_train_begin({})
            self._put_back()
            self.fit.on_train_end()

    def _put_back(self):
        state, self._state = self._state, None
        put_back(self.fit, state["shared"])
        put_back_own(self.fit, state["ranks"][rank() if world() > 1 else 0])
        return state

    def replayed(self):
        """Lightning has gone through the end of a step once more: what that moved is put back."""
        shared, self.replays = self.replays, False
        counts = self.fit.trainer.fit_loop.epoch_loop.batch_progress
        mine = counts.state_dict()
        put_back(self.fit, shared)
        put_back_callbacks(self.fit.trainer.callbacks, shared["lightning"])
        counts.load_state_dict(mine)

    # ---- moments ------------------------------------------------------------------------------

    def epoch_begins(self, epoch):
        """Before the callbacks hear of it: save, or put back what was saved here."""
        if self._state is not None:
            if self._state["begun"]:  # what they do in `on_epoch_begin` may depend on it
                put_back_callbacks(self.fit.group.callbacks, self._state["shared"]["callbacks"])
            else:
                self._put_back()
            return
        self._last -= self.fit.step
        told, by_epoch = self.signals.agreed(), self.callback.save_freq == "epoch" and self.fit.step
        if told or by_epoch or -self._last >= self._every:
            self._save(epoch, begun=False)
        self.signals.end_if(told)

    def epoch_began(self, epoch):
        """After the callbacks have heard of it: put back what was saved after some steps."""
        if self._state is not None:
            state = self._put_back()
            self._done = self._last = self.fit.step
            self.replays = state["replays"] and state["shared"]
            counts = self.fit.trainer.fit_loop.epoch_loop.batch_progress
            self._chunks = counts.total.ready - counts.current.ready
            self.fit.train_batches.set_epoch(epoch)
            self.fit.train_batches.start_at(self._done)
        self._set_due()

    def _set_due(self):
        self.due = self._last + self._every
        if self.signals.told and world() == 1:  # the signal may have come meanwhile
            self.due = 0

    def after_step(self, savable=True):
        """Between two steps, when `wants` says so.

        Args:
            savable: Whether the place in the data can be found again.
        """
        fit, told = self.fit, self.signals.agreed()
        if savable and (told or fit.step >= self.due):
            self._save(fit.current_epoch, begun=True)
        self._left = told and not savable
        self.signals.end_if(told)
        self._set_due()

    def wants(self, step):
        """Whether `after_step` is to be called after so many steps of the epoch."""
        return step >= self.due or self.signals.asks(step)

    @contextmanager
    def validating(self):
        """While a validation runs: a signal ends it, and what was before it is saved."""
        state = self._take(self.fit.current_epoch, begun=True)
        self._before = {**state, "replays": True}
        with self.signals.validating() as meet:
            yield meet
        self._before = None

    def training_ends(self):
        """Before the callbacks hear of it: what a process killed now would only have to end."""
        if not self._ended and self._sound():
            self._save(self.fit.current_epoch, begun=False, finished=True)
        self.signals.end_if(self.signals.agreed())

    def _sound(self):
        """Whether training came to a good end; after NaN the last backup is worth more."""
        return math.isfinite(self.fit.last_logs.get("loss", 0.0))

    def training_ended(self):
        """All is done: the next `fit` begins anew."""
        if self.callback.delete_checkpoint and is_chief() and self._sound():
            self.backups.clear()
            if self.callback._number is not None:  # `fit` has chosen it, and the folder above it
                with suppress(OSError):  # another training has a backup there
                    self.backups.folder.parent.rmdir()

    # ---- saving -------------------------------------------------------------------------------

    def _take(self, epoch, begun, finished=False):
        return {
            "format": _FORMAT,
            "version": __version__,
            "epoch": epoch,
            "begun": begun,
            "finished": finished,
            "replays": False,
            "fingerprint": self._fingerprint,
            "settings": self._settings,
            "shared": shared_part(self.fit),
            "ranks": [own_part(self.fit)],
        }

    def _save(self, epoch, begun, finished=False):
        self._last = self.fit.step if begun else 0
        self._write(self._take(epoch, begun, finished))

    def save_before(self):
        """Save what was before the validation that is cut short."""
        state, self._before = self._before, None
        if state is not None:
            self.fit.group._abort()  # weights that were swapped for it come back
            self._write(state)

    def _write(self, state):
        if world() > 1:
            every = [None] * world() if is_chief() else None
            dist.gather_object(state["ranks"][0], every)
            state["ranks"] = every
        if is_chief():
            self.backups.write(state)
        if world() > 1:
            dist.barrier()

    def interrupted(self):
        """The process ends by a signal; callbacks have closed their files and swapped back."""
        told, where = self.signals.told, self.callback.backup_dir
        if told:
            self.save_before()
        if not told or not is_chief():
            return
        if not self.backups.files():
            text = f"there is no backup in {where!r} yet. Start the script again to begin anew."
        elif self._left:
            text = f"the last backup in {where!r} is of an epoch's end. Start again to go on there."
        else:
            text = f"training is saved in {where!r}. Start the script again to go on."
        self.callback._say(f"{signal.Signals(told).name}: {text}")

    # ---- Lightning's counts -------------------------------------------------------------------

    def place(self, size):
        """The steps of the epoch that are done; Lightning is told of their chunks of `size`."""
        done, self._done = self._done, 0
        steps, loop = self.fit.train_batches.steps, self.fit.trainer.fit_loop
        if done and steps is not None:
            chunks = min(done // size, -(-steps // size) - 1) if size else done - bool(self.replays)
            counts = loop.epoch_loop.batch_progress
            for name in ("ready", "started", "processed", "completed"):
                setattr(counts.current, name, chunks)
                setattr(counts.total, name, self._chunks + chunks)
            loop._data_fetcher.fetched = chunks
        return done


def _rate_in(optimizers):
    """The learning rate that a backup holds; None where the optimizer was not built."""
    saved = optimizers.get("optimizer")
    if saved is None:
        return None
    state = saved["state"]
    while "optimizers" in state:  # one around others, as of the policy mixed_float16
        state = state["optimizers"][0]
    return float(state["param_groups"][0]["lr"])


def _check_strategy(trainer):
    strategy = trainer.strategy
    if not isinstance(strategy, (SingleDeviceStrategy, DDPStrategy)):
        raise ValueError(
            f"BackupAndRestore cannot save the parts of {type(strategy).__name__}. One device and "
            "DDP are accepted. Leave the backup out, or use strategy='ddp'."
        )
    for callback in trainer.callbacks:
        own = type(callback).on_save_checkpoint is not LightningCallback.on_save_checkpoint
        if own:
            raise ValueError(
                f"BackupAndRestore cannot save {type(callback).__name__}, which writes its state "
                "into Lightning's checkpoints by on_save_checkpoint(). Callbacks with "
                "state_dict() and load_state_dict() are accepted. Leave one of the two out."
            )
