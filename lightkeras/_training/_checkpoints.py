"""`.ckpt` files: Lightning's checkpoints, from which `fit` and Trainers of the user's own go on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.plugins import TorchCheckpointIO

from lightkeras._ranks import gather, rank, world
from lightkeras._training._backup import packed
from lightkeras._training._state import (
    callback_states,
    keyed,
    load_optimizer,
    optimizer_state,
    optimizers_of,
    put_back_callbacks,
    put_back_random,
    random_part,
)

__all__ = [
    "Ckpt",
    "complete",
    "other_optimizers",
    "prepare",
    "put_back_ckpt",
    "put_back_optimizers",
    "write_whole",
]

_AUTOMATIC = "epoch_loop.automatic_optimization.optim_progress"
_MANUAL = "epoch_loop.manual_optimization.optim_step_progress"
_BATCHES = "epoch_loop.batch_progress"


class Ckpt:
    """What `fit` does for a `ModelCheckpoint` while it runs: it writes its `.ckpt` files.

    Args:
        fit: The LightningModule of `fit`.
        callback: The `ModelCheckpoint`.
        counterpart: The same as Lightning's loggers know it.
    """

    def __init__(self, fit, callback, counterpart):
        self.fit, self.callback, self.counterpart = fit, callback, counterpart

    def write(self, path, weights_only):
        """Write a checkpoint; every process calls it, the first one writes."""
        self.fit.__dict__["told"] = self.fit.group.callbacks.index(self.callback) + 1
        self.fit.trainer.save_checkpoint(path, weights_only)
        self.fit.__dict__["told"] = None

    def tell_loggers(self):
        """Lightning's loggers hear of a new file; those with `log_model` take it along."""
        if self.fit.trainer.is_global_zero:
            self.counterpart.follow()
            for logger in self.fit.trainer.loggers:
                logger.after_save_checkpoint(self.counterpart)

    def same(self, value):
        """What the first process has: all of them have to decide alike."""
        return self.fit.trainer.strategy.broadcast(value)


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place, and then puts it there.

    Lightning's own writes into the folder for temporary files. Where that is on another file
    system it copies from there, and an error in between leaves part of a file.
    """

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        if storage_options is not None or "://" in os.fspath(path):
            return super().save_checkpoint(checkpoint, path, storage_options)
        from lightkeras.saving._write import replacing

        with replacing(Path(path)) as beside, open(beside, "wb") as file:
            torch.save(checkpoint, file)
        return None


def write_whole(trainer):
    """Let a Trainer write its checkpoints as `WholeFiles`, unless it was told how."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = WholeFiles()


# ---- what Lightning does not know -------------------------------------------------------------


def complete(fit, checkpoint):
    """Add the states of Keras's callbacks, and the steps that Lightning did not take itself."""
    if "callbacks" in checkpoint:  # not of the weights alone
        mine = random_part(fit)
        checkpoint["lightkeras"].update(
            callbacks=callback_states(fit.group.callbacks),
            ended=fit.told is not None,  # whether the file is of the end of an epoch
            untold=[key for key, _ in keyed(fit.group.callbacks)][fit.told or 0 :],  # of that end
            logs=packed(fit.epoch_logs, "logs"),
            random=gather(mine) if world() > 1 else [mine],
        )
    if fit.chunk:
        counts = checkpoint["loops"]["fit_loop"]
        counts.update(_counts(fit.trainer.global_step, fit.step, fit.train_batches.steps))


def _counts(total, current, steps) -> dict[str, Any]:
    """The entries of Lightning's `fit_loop`, as if it had taken every step."""

    def both(*names):
        return {
            "total": dict.fromkeys(names, total),
            "current": dict.fromkeys(names, current),
        }

    begun, ended = ("ready", "completed", "started"), ("ready", "completed")
    optimizer = {"step": both(*ended), "zero_grad": both(*begun)}
    return {
        _BATCHES: {**both(*begun, "processed"), "is_last_batch": current == steps},
        "epoch_loop.state_dict": {"_batches_that_stepped": total},
        _AUTOMATIC: {"optimizer": optimizer},
    }


def other_optimizers(model):
    """{name: state} of optimizers that are attributes, as those of a GAN; Lightning has the one
    of `compile`."""
    found = {name: optimizer_state(model, o) for name, o in optimizers_of(model)}
    return {name: state for name, state in found.items() if state and name != "optimizer"}


def put_back_optimizers(model, saved):
    """Give optimizers that are attributes the states that `other_optimizers` took."""
    for name, optimizer in optimizers_of(model):
        if name in saved:
            load_optimizer(model, optimizer, saved[name])


# ---- going on from one ------------------------------------------------------------------------


def prepare(fit, checkpoint):
    """Before Lightning puts a checkpoint back into this `fit`.

    Raises:
        ValueError: it was written in the middle of an epoch.
    """
    counts = checkpoint["loops"]["fit_loop"]
    epochs = counts["epoch_progress"]["current"]
    if epochs["processed"] < epochs["ready"]:
        raise ValueError(
            "fit() got resume= a .ckpt file that was written in the middle of an epoch. It goes on "
            "from the end of one. Use a file of save_freq='epoch', or of Lightning's "
            "ModelCheckpoint(save_on_train_epoch_end=True), or type resume='a_folder' for backups "
            "between two batches."
        )
    steps = counts[_AUTOMATIC]["optimizer"]["step"]
    if not fit.automatic_optimization and steps["total"]["completed"]:
        counts[_MANUAL] = steps
    fit.__dict__["loaded"] = {"epoch": checkpoint["epoch"], **checkpoint.get("lightkeras", {})}


def put_back_ckpt(fit):
    """Give Keras's callbacks their states; who had not heard of the last epoch does so now.

    That is, too, Lightning's `EarlyStopping`: it comes after all of Keras's.
    """
    loaded, fit.__dict__["loaded"] = fit.loaded, None
    if loaded is None or "callbacks" not in loaded:
        return
    put_back_callbacks(fit.group.callbacks, loaded["callbacks"], ".ckpt file")
    places = loaded.get("random", ())
    if len(places) == world():  # else as many processes have to draw other numbers
        put_back_random(fit, places[rank()])
    if loaded["ended"]:
        for key, callback in keyed(fit.group.callbacks):
            if key in loaded["untold"]:
                callback.on_epoch_end(loaded["epoch"], dict(loaded["logs"]))
        numbers = {k: torch.tensor(v) for k, v in loaded["logs"].items() if isinstance(v, float)}
        fit.trainer.callback_metrics.update(numbers)
        for callback in fit.trainer.callbacks:
            if isinstance(callback, EarlyStopping):
                callback.on_train_epoch_end(fit.trainer, fit)
