"""The engine: `fit` through Lightning's Trainer.

Lightning is handed all steps of an epoch at once (a chunk) where nothing needs every batch, because
its own loop costs more than a small step. Then we take the steps ourselves, on the device, in
the precision and under the hooks that the Trainer set up. Where a flag, a strategy or a
Lightning callback needs every batch, Lightning takes them one by one, with its automatic
optimization. Both ways give the same numbers.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import lightning.pytorch as L
import torch

from lightkeras import config
from lightkeras._data import telling
from lightkeras._training._counterparts import stand_in
from lightkeras._training._failures import (
    end_with_parent,
    ending_together,
    naming_unsendable,
    naming_unused,
    note_parent,
)
from lightkeras._training._fit import Fit, shown_steps
from lightkeras._training._launching import launching
from lightkeras._training._lightning import LightningModel
from lightkeras._training._loaders import Listed
from lightkeras._training._memory import memory_kept
from lightkeras._training._quiet import quiet
from lightkeras._training._returned import brought_back
from lightkeras._training._sharded import check_flags
from lightkeras._training._signals import in_main_thread, interruption
from lightkeras._tree import flatten
from lightkeras.callbacks._base import callback_list, overrides
from lightkeras.callbacks.backup import finished, is_ckpt, with_backup

__all__ = ["LightningModel", "fit"]

# Flags that do not care whether Lightning sees every batch. Any other makes it see them all.
_FREE_FLAGS = {
    "accelerator",
    "barebones",
    "benchmark",
    "callbacks",
    "check_val_every_n_epoch",
    "default_root_dir",
    "deterministic",
    "devices",
    "enable_checkpointing",
    "enable_model_summary",
    "enable_progress_bar",
    "inference_mode",
    "log_every_n_steps",
    "logger",
    "max_epochs",
    "max_time",
    "num_nodes",
    "num_sanity_val_steps",
    "precision",
    "strategy",
    "use_distributed_sampler",
}


# Callbacks that steer Lightning's automatic optimization.
_AUTOMATIC = (L.callbacks.GradientAccumulationScheduler, L.callbacks.StochasticWeightAveraging)


def fit(
    model,
    train,
    val,
    *,
    epochs,
    initial_epoch,
    callbacks,
    verbose,
    validation_freq,
    trainer,
    flags,
    resume=None,
):
    """Train `model` on the batches `train`; returns its History.

    Args:
        train, val: Batches; `val` may be None.
        epochs, initial_epoch: The last epoch's index, and the first's.
        callbacks: Keras's and Lightning's.
        verbose: 0, 1, 2 or "auto".
        validation_freq: Every so many epochs, or a list of epochs.
        trainer: A Trainer to use, or None to make one from `flags`.
        flags: Trainer flags.
        resume: None, "auto", a folder for a backup, or a `.ckpt` file to go on from.
    """
    flags = dict(flags)
    epochs = flags.pop("max_epochs", None) or epochs
    if trainer is not None:
        epochs = _epochs_of(trainer, epochs)
    if config.max_epochs() is not None:
        epochs = min(epochs, config.max_epochs())
    ours, theirs = _sorted_callbacks(
        [*flatten(callbacks or []), *flatten(flags.pop("callbacks", None) or [])]
    )
    _refuse([*theirs, *(trainer.callbacks if trainer is not None else ())])
    if verbose == "auto" and _draws(trainer, flags, theirs):
        verbose = 0
    ours = with_backup(ours, resume)
    group = callback_list(ours, model, verbose, epochs, train.steps, history=True)
    names = model._compiled.names() if not model._overrides("train_step") else None
    group.validate(val is not None, names)
    train.check_epochs(epochs - initial_epoch)
    train.begins = initial_epoch
    train.set_epoch(initial_epoch)  # Lightning asks for its length before it begins
    if not isinstance(validation_freq, int):
        validation_freq = Listed(validation_freq)
    if val is not None:
        val.check_epochs(_validations(validation_freq, initial_epoch, epochs))
    with quiet(), _lent(trainer, theirs):
        if trainer is None:
            trainer = _trainer(flags, theirs, epochs, validation_freq)
        else:
            flags = None
            trainer.fit_loop.max_epochs = epochs
            trainer.check_val_every_n_epoch = _frequency_of(trainer, validation_freq)
        # The data of a validation were looked at before, and this check would show none of them.
        trainer.num_sanity_val_steps = 0
        steps = _limited(train, trainer)
        limit = trainer.overfit_batches or trainer.limit_train_batches
        if shown_steps(steps, limit) != group.params["steps"]:
            group.set_params({**group.params, "steps": shown_steps(steps, limit)})
        chunk = _steps_at_a_time(model, train, trainer, flags)
        _say_plain(model, chunk)
        module = Fit(model, train, val, group, trainer, chunk)
        check_flags(model, trainer, group, is_ckpt(resume))
        repeats = module.restart is not None or torch.are_deterministic_algorithms_enabled()
        model._compiled.expect(_all_steps(group, epochs - initial_epoch), repeats)
        trainer.fit_loop.epoch_progress.current.processed = initial_epoch
        trainer.fit_loop.epoch_progress.current.completed = initial_epoch
        _run(trainer, module, model, group, resume if is_ckpt(resume) else None)
    if module.restart is not None:
        finished(module.restart.callback)
    return group._history


def _all_steps(group, epochs):
    """Steps of so many epochs; 0 where that is not known."""
    steps = group.params["steps"]
    return 0 if steps is None or epochs < 0 else steps * epochs


def _validations(frequency, first, last):
    """How often epochs from `first` to `last`, counted from 0, the last not included, are
    validated."""
    if isinstance(frequency, Listed):
        return sum(first < epoch <= last for epoch in frequency.epochs)
    return last // frequency - first // frequency


_lent_to: WeakKeyDictionary = WeakKeyDictionary()  # {Trainer: callbacks of its last `fit`}


@contextmanager
def _lent(trainer, callbacks):
    """Inside the `with` block, a Trainer of the user's has settings and `callbacks` of one `fit`.

    Its callbacks stay until the next, for `trainer.test(ckpt_path="best")` asks them.
    """
    if trainer is None:
        yield
        return
    settings = trainer.fit_loop.max_epochs, trainer.check_val_every_n_epoch
    sanity = trainer.num_sanity_val_steps
    mine = [c for c in trainer.callbacks if c not in _lent_to.get(trainer, ())]
    _lent_to[trainer] = [c for c in callbacks if c not in mine]
    both = [*mine, *_lent_to[trainer]]  # those that save come last, as in a Trainer's own list
    trainer.callbacks = sorted(both, key=lambda c: isinstance(c, L.callbacks.Checkpoint))
    try:
        yield
    finally:
        trainer.fit_loop.max_epochs, trainer.check_val_every_n_epoch = settings
        trainer.num_sanity_val_steps = sanity


def _epochs_of(trainer, epochs):
    """Epochs that a Trainer of the user's and `fit` agree on.

    Raises:
        ValueError: they do not.
        TypeError: it is none.
    """
    if not isinstance(trainer, L.Trainer):
        raise TypeError(
            f"fit(trainer=) got {type(trainer).__name__}. A lightning Trainer is accepted, or a "
            "dict of its flags. Type trainer={'devices': 2}."
        )
    most = trainer.max_epochs
    if trainer.fast_dev_run:
        return most
    if most is None or most == -1:
        return epochs if trainer.max_steps == -1 or epochs != 1 else -1
    if epochs not in (1, most):
        raise ValueError(
            f"fit(epochs={epochs}) got a Trainer with max_epochs={most}. One of them is accepted. "
            "Leave max_epochs out of the Trainer."
        )
    return most


def _frequency_of(trainer, frequency):
    """The same for epochs with validation.

    Raises:
        ValueError: they do not agree.
    """
    every = trainer.check_val_every_n_epoch
    if frequency in (1, every) or trainer.fast_dev_run:
        return every
    if every != 1:
        given = sorted(frequency.epochs) if isinstance(frequency, Listed) else frequency
        raise ValueError(
            f"fit(validation_freq={given}) got a Trainer with check_val_every_n_epoch={every}. "
            "One of them is accepted. Leave check_val_every_n_epoch out of the Trainer."
        )
    return frequency


def _limited(train, trainer):
    """Steps of an epoch; a DataLoader that is spread over processes has as many fewer."""
    if train.loader is None or trainer.world_size == 1 or train.steps is None:
        return train.steps
    here = -(-len(train.loader) // trainer.world_size)
    if train.steps < len(train.loader):  # fewer are asked for
        here = min(here, train.steps)
        trainer.limit_train_batches = here
    return here


def _run(trainer, module, model, group, ckpt):
    """`trainer.fit`, with Keras's behaviour where it ends early."""
    handlers = {}
    if in_main_thread():
        handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    module.signals.users = handlers
    note_parent()
    end_with_parent()  # before the processes meet: one that is alone waits long for the others
    was = {m: m.training for m in model.modules()}
    model.__dict__["stop_training"] = False
    try:
        kept = memory_kept(trainer.strategy.root_device.type == "cpu")
        told = telling(module.train_batches, module.val_batches)
        named = naming_unused(trainer, model)
        started = launching(trainer, module.signals, module.restart is not None)
        sent = naming_unsendable(trainer, model, group.callbacks)
        here, back = ending_together(trainer), brought_back(module, trainer)
        with here, back, kept, told, named, sent, started:
            trainer.fit(module, module.train_loader(), module.val_loader(), ckpt_path=ckpt)
    except SystemExit as error:
        group._abort()
        # Lightning turns Ctrl-C into the end of the process; a notebook wants to go on.
        if trainer.state.status == "interrupted" and error.code == 1:
            raise interruption() from None
        if module.restart is not None:
            module.restart.interrupted()
        elif error.code == 128 + signal.SIGINT:  # the processes have agreed to end
            raise interruption() from None
        if trainer.received_sigterm:  # Lightning would end the process as if all were well
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    except BaseException:
        group._abort()
        raise
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # else it was set by something other than Python
                signal.signal(number, handler)
        for m, mode in was.items():
            m.training = mode
        model._compiled.expect(0)
        stand_in(trainer, group.callbacks)  # those of a process that has ended are gone with it
        module.done()


def _sorted_callbacks(callbacks):
    """(Keras's, Lightning's)."""
    theirs = [c for c in callbacks if isinstance(c, L.Callback)]
    return [c for c in callbacks if not isinstance(c, L.Callback)], theirs


_TRIES = "tries out a Trainer of your own before it trains"
_TUNER = "lightning.pytorch.tuner.Tuner(trainer)"
_DATA = "(model.to_lightning(), datamodule=data)"
# {a callback of Lightning's that cannot work in `fit`: (what it does, what to type)}
_REFUSED = {
    L.callbacks.BatchSizeFinder: (_TRIES, f"{_TUNER}.scale_batch_size{_DATA}"),
    L.callbacks.LearningRateFinder: (_TRIES, f"{_TUNER}.lr_find{_DATA}"),
    L.callbacks.BaseFinetuning: (
        "freezes weights before there is an optimizer, as in a Trainer of your own",
        f"Trainer(callbacks=[...]).fit{_DATA}",
    ),
}


def _refuse(callbacks):
    """Refuse what cannot work in `fit`.

    Raises:
        ValueError: one is there.
    """
    for callback in callbacks:
        for kind, (why, instead) in _REFUSED.items():
            if isinstance(callback, kind):
                raise ValueError(
                    f"callbacks got a {type(callback).__name__}. It {why}, not fit(). "
                    f"Type {instead}."
                )


def _draws(trainer, flags, theirs):
    """Whether Lightning draws a progress bar of its own."""
    if trainer is not None and trainer.progress_bar_callback is not None:
        return True
    bars = any(isinstance(c, L.callbacks.ProgressBar) for c in theirs)
    return bars or bool(flags.get("enable_progress_bar"))


def _trainer(flags, theirs, epochs, validation_freq):
    """A Trainer that writes nothing and draws nothing unless its flags say so."""
    defaults = {
        "accelerator": "auto",
        **_devices(),
        "logger": False,
        "enable_checkpointing": any(isinstance(c, L.callbacks.Checkpoint) for c in theirs),
        "enable_progress_bar": any(isinstance(c, L.callbacks.ProgressBar) for c in theirs),
        "enable_model_summary": any(isinstance(c, L.callbacks.ModelSummary) for c in theirs),
        "num_sanity_val_steps": 0,
        "check_val_every_n_epoch": validation_freq,
    }
    return L.Trainer(**{**defaults, **flags}, max_epochs=epochs, callbacks=theirs)


def _devices():
    """One device, or those whose processes torchrun or srun has started."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        world, here = _number("WORLD_SIZE"), _number("LOCAL_WORLD_SIZE")
        return {"devices": here, "num_nodes": world // here}
    # Only srun sets these: a batch script that calls python itself is one process.
    nodes = _number("SLURM_STEP_NUM_NODES")
    return {"devices": _number("SLURM_STEP_NUM_TASKS") // nodes, "num_nodes": nodes}


def _number(variable):
    return int(os.environ.get(variable) or 1)


def _say_plain(model, chunk):
    """Warn where steps are not compiled though that was asked for."""
    compiled, reason = model._compiled, None
    if model._overrides("train_step"):
        reason = "the model has a train_step of its own"
    elif chunk == 0:
        reason = (
            "Lightning takes it, because of several processes, a torch scheduler, or a flag or "
            "callback that concerns every step"
        )
    if compiled.jit and reason is not None:
        compiled.say_plain(model, "training", reason)


def _steps_at_a_time(model, train, trainer, flags):
    """How many steps Lightning is handed at a time; 0 where it must take each by itself.

    Args:
        flags: What the Trainer was made of; None for one of the user's, which may hold any.
    """
    theirs = trainer.callbacks  # also those that flags have brought
    hooks = (
        "on_train_batch_start",
        "on_train_batch_end",
        "on_before_zero_grad",
        "on_before_backward",
        "on_after_backward",
        "on_before_optimizer_step",
    )
    watched = any(overrides(c, hook, L.Callback) for c in theirs for hook in hooks)
    watched |= any(isinstance(c, _AUTOMATIC) for c in theirs)
    scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
    simple = isinstance(trainer.strategy, L.strategies.SingleDeviceStrategy)
    free = flags is not None and set(flags) <= _FREE_FLAGS
    scheduled = model._compiled.scheduler is not None
    if watched or scaled or not simple or not free or scheduled:
        return 0
    if train.steps is None:
        return 1
    asked = model._compiled.options.get("steps_per_execution") or 1
    return max(asked, 1) if asked != 1 else train.steps
