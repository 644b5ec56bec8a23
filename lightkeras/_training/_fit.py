"""`fit` as a LightningModule: the steps, Keras's callbacks, the logs of an epoch."""

from __future__ import annotations

import pickle
import signal

import torch
from lightning.fabric.utilities.data import sized_len
from lightning.pytorch import Callback

from lightkeras import _data
from lightkeras._device import use_device
from lightkeras._together import keep_sums
from lightkeras._training._attributes import marks
from lightkeras._training._checkpoints import (
    Ckpt,
    complete,
    prepare,
    put_back_ckpt,
    put_back_optimizers,
    write_whole,
)
from lightkeras._training._counterparts import audience, stand_in
from lightkeras._training._lightning import LightningModel, ending_nothing, scaled
from lightkeras._training._loaders import Chunk, Loader, Unseen
from lightkeras._training._parts import Parts, lay_out_gradients
from lightkeras._training._quiet import quiet
from lightkeras._training._restart import NEVER, restart_of
from lightkeras._training._returned import write
from lightkeras._training._sharded import Sharded, on_whole_weights, splits
from lightkeras._training._signals import Signals
from lightkeras.callbacks._base import overrides
from lightkeras.callbacks.checkpoint import ModelCheckpoint

__all__ = ["Fit", "shown_steps"]


class Fit(LightningModel):
    """`fit` as a LightningModule: takes the steps, calls Keras's callbacks, logs once an epoch."""

    def __init__(self, model, train, val, group, trainer, chunk):
        super().__init__(model)
        state = self.__dict__  # plain attributes: nothing of the run belongs in a checkpoint
        state["train_batches"], state["val_batches"] = train, val
        state["group"] = group
        state["chunk"] = chunk
        state["step"] = 0  # batches done in this epoch
        state["processes"] = trainer.world_size
        state["returns"] = None  # file for what a process that ends with `fit` leaves behind
        state["parts"] = None  # of batches, where there are several processes
        state["sharded"] = None  # the pieces of the model, where FSDP splits it
        state["val_logs"] = {}
        state["last_logs"] = {}
        state["epoch_logs"] = {}  # of the epoch that callbacks are being told of
        state["told"] = None  # how many of them are, while one of them writes a `.ckpt`
        state["loaded"] = None  # from a `.ckpt`, and not put back yet
        own = model._overrides("train_step")
        # A train_step of the user's calls backward and the optimizer itself.
        self.automatic_optimization = chunk == 0 and not own
        state["batch_hooks"] = group.wants_train_batches
        state["signals"] = Signals(self)
        state["restart"] = restart_of(self)
        state["marks"] = marks(model)  # of its attributes, as they were at the beginning

    # ---- loaders ------------------------------------------------------------------------------

    def train_loader(self):
        if self.trainer_shards():
            return self.train_batches.loader
        return Loader(self.train_batches, self.chunk, self)

    def val_loader(self):
        return None if self.val_batches is None else Unseen(self.val_batches)

    def trainer_shards(self):
        """Whether a user's DataLoader goes to Lightning as it is, to be spread over processes."""
        return self.train_batches.loader is not None and self.processes > 1

    def transfer_batch_to_device(self, batch, device, dataloader_idx):
        if isinstance(batch, Chunk):
            return batch  # its batches are on the device already
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    # ---- steps --------------------------------------------------------------------------------

    @ending_nothing
    def training_step(self, batch, batch_idx):
        self.__dict__.pop("_train_logs", None)  # validated in the middle of an epoch: it goes on
        if isinstance(batch, Chunk):
            with use_device(self.device):
                return self._take(batch)
        return self._lightning_step(batch)

    def _take(self, chunk):
        """The steps of one chunk, without Lightning in between."""
        model, group, hooks = self.model, self.group, self.batch_hooks
        run, step, count = model._run_step("train", self.train_batches.bare), self.step, 0
        restart, trainer = self.restart or NEVER, self.trainer
        if restart.replays:  # these steps were taken before
            restart.replayed()
            return
        autocast = torch.is_autocast_enabled(self.device.type)
        for x, y, w in chunk:
            if hooks:
                group.on_train_batch_begin(step, {})
                run = model._run_step("train", self.train_batches.bare)  # they may change anything
            run(x, y, w)
            if autocast:  # the cache of cast weights lives as long as the chunk: it is stale now
                torch.clear_autocast_cache()
            step += 1
            count += 1
            if hooks:
                self.__dict__["step"] = step
                self._took(count)
                count = 0
                group.on_train_batch_end(step - 1, model._logs())
                if model.stop_training:
                    break
            group.progress(step, model._logs)
            if step >= restart.due:
                self.__dict__["step"] = step
                self._took(count)
                count = 0
                restart.after_step()
            if trainer.received_sigterm:  # Lightning would look after the chunk
                raise SystemExit(128 + signal.SIGTERM)
        self.__dict__["step"] = step
        self._took(count)
        trainer.fit_loop.epoch_loop._batches_that_stepped -= 1  # for Lightning's own, to come

    def _took(self, steps):
        """Tell Lightning: its checkpoints count steps, its loggers write at their number."""
        self._count(steps)
        self.trainer.fit_loop.epoch_loop._batches_that_stepped += steps

    def _lightning_step(self, batch):
        with use_device(self.device):
            if self.sharded is not None:
                self.sharded.find_penalized()
            if self.parts is not None:
                return self.parts.step(self._step, batch, self.step)
            return self._step(*_data.unpack(batch))

    def _step(self, x, y, w):
        """The loss of a batch; None where a step of the user's own has done it all."""
        model = self.model
        if self.automatic_optimization:
            loss, y_pred = model._loss_of(x, y, w)
            model._update_metrics(x, y, y_pred, w)
            return scaled(loss, model)
        model._run_step("train", self.train_batches.bare)(x, y, w)
        self._count(1)
        return None

    @ending_nothing
    def on_train_batch_start(self, batch, batch_idx):
        if self.chunk == 0 and self.batch_hooks:
            self._before_batch(self.step, {})

    @on_whole_weights
    def _before_batch(self, step, logs):
        self.group.on_train_batch_begin(step, logs)

    @on_whole_weights
    def _after_batch(self, step, logs):
        self.group.on_train_batch_end(step, logs)

    @ending_nothing
    def on_train_batch_end(self, outputs, batch, batch_idx):
        if self.chunk == 0 and self.restart is not None and self.restart.replays:
            self.restart.replayed()
        elif self.chunk == 0:
            self.__dict__["step"] += 1
            if self.batch_hooks:
                self._after_batch(self.step - 1, self.model._logs())
            self.group.progress(self.step, self.model._logs)
            if self.restart is None:
                if self.signals.asks(self.step):
                    self.signals.end_if(self.signals.agreed())
            elif not self._savable() and self.restart.wants(self.step):
                self.restart.after_step(savable=False)
        if self.batch_hooks or self.parts is None:
            self._stop_if_asked()
        if self.trainer.is_last_batch and audience(self.trainer):
            # Lightning's callbacks come before us at the end of an epoch and look for its values.
            self.__dict__["_train_logs"] = logs = self._reduced_logs()
            self._tell(logs, logger=False)  # that is for the end of the epoch

    def _follow(self):
        for counterpart in self.counterparts.values():
            counterpart.follow()

    def _stop_if_asked(self):
        """Stop where a callback wants to; on one process is enough."""
        stop = self.model.stop_training
        if stop if self.parts is None else self.parts.any(stop):
            self.trainer.should_stop = True

    def _savable(self):
        """Whether a place between two batches that Lightning takes one by one can be found again.

        It reads one batch ahead of data without a length, and loaders of the user's are its own.
        """
        return self.train_batches.steps is not None and not self.trainer_shards()

    def _tell(self, logs, logger=True):
        """Log for Lightning, where somebody listens: that takes it as long as a few steps."""
        trainer = self.trainer
        if not (audience(trainer) or trainer.loggers or self._plateau()):
            return
        numbers = {k: v for k, v in logs.items() if isinstance(v, float)}
        self.log_dict(numbers, prog_bar=True, logger=logger, batch_size=1)

    # ---- epochs -------------------------------------------------------------------------------

    def configure_callbacks(self):
        self.signals.meet()  # before the processes set up their connection
        return []

    def configure_model(self):
        # Where Lightning itself loads checkpoints: the processes are there, nothing has begun.
        if self.restart is not None:
            self.restart.open()
        if splits(self.trainer):
            self.__dict__["sharded"] = Sharded(self)

    def on_save_checkpoint(self, checkpoint):
        super().on_save_checkpoint(checkpoint)
        complete(self, checkpoint)

    def on_load_checkpoint(self, checkpoint):
        super().on_load_checkpoint(checkpoint)
        prepare(self, checkpoint)

    @on_whole_weights
    def on_fit_start(self):
        device = self.device
        self.signals.listen_soon()
        write_whole(self.trainer)
        for callback in self.group.callbacks:
            if isinstance(callback, ModelCheckpoint):
                callback._ckpt = Ckpt(self, callback, self.counterparts[callback])
        if self.val_batches is not None:
            self.val_batches.on(device)
            self.val_batches.limit(shown_steps(self.val_batches.steps, self._val_limit()))
        self.train_batches.on(device)
        if self.processes > 1:
            synchronize = getattr(self.trainer.strategy, "_layer_sync", None) is not None
            parts = Parts(self.model, self.train_batches, self.trainer_shards(), synchronize)
            self.__dict__["parts"] = parts
        if self.restart is not None:
            self.restart.fit_starts()
        elif 0 <= self.trainer.max_epochs <= self.current_epoch:  # Lightning passes over it all
            self.group.on_train_begin({})
            self.group.on_train_end({})

    def _val_limit(self):
        limits = self.trainer.limit_val_batches
        return limits[0] if isinstance(limits, list) else limits

    @on_whole_weights
    def on_train_start(self):
        if self.parts is not None:
            lay_out_gradients(self.trainer.strategy.model)
            self.parts.begin(own_step=not self.automatic_optimization)
        self.group.on_train_begin({})
        put_back_ckpt(self)
        put_back_optimizers(self.model, self._saved_optimizers)
        self.signals.listen()

    def on_train_epoch_start(self):
        """Nothing: `begin_epoch` is called before Lightning's callbacks."""

    @ending_nothing
    @on_whole_weights
    def begin_epoch(self):
        epoch, restart = self.current_epoch, self.restart
        if restart is not None:
            restart.epoch_begins(epoch)
        else:
            self.signals.end_if(self.signals.agreed())  # there may be few steps in an epoch
        self.train_batches.set_epoch(epoch)
        self._validate_at_its_end()
        self.__dict__["batch_hooks"] = (
            self.group.wants_train_batches
        )  # a callback may be done with them
        self.__dict__["step"] = 0
        self.__dict__["val_logs"] = {}
        self.model.train()
        self.model.reset_metrics()
        self.group.on_epoch_begin(epoch, {})
        if restart is not None:
            restart.epoch_began(epoch)
        if self.parts is not None:
            self.parts.had_rows = self.step > 0  # it may go on in the middle of an epoch

    def _validate_at_its_end(self):
        """Tell Lightning, which counts once, after how many batches of this epoch to validate."""
        trainer = self.trainer
        if self.chunk or not isinstance(trainer.val_check_interval, float):
            return
        batches = sized_len(trainer.fit_loop._combined_loader)
        if batches:
            trainer.val_check_batch = max(int(batches * trainer.val_check_interval), 1)

    @ending_nothing
    @on_whole_weights
    def on_train_epoch_end(self):
        logs = self.__dict__.pop("_train_logs", None) or self._reduced_logs()
        logs = {**logs, **self.val_logs}
        self.train_batches.end()
        if self.parts is not None:
            self.parts.same_buffers()
        self.__dict__["last_logs"] = dict(logs)  # as Keras has them, without what callbacks add
        self.__dict__["epoch_logs"] = logs
        self.group.on_epoch_end(self.current_epoch, logs)
        self._follow()
        # Of the others they have heard when validation ended.
        self._tell({name: value for name, value in logs.items() if name not in self.val_logs})
        scheduler = self.lr_schedulers()
        if scheduler is not None and not self.automatic_optimization:  # else Lightning steps it
            self.lr_scheduler_step(scheduler, logs.get("loss") if self._plateau() else None)
        self._stop_if_asked()

    @on_whole_weights
    def on_train_end(self):
        if self.restart is not None:
            self.restart.training_ends()
        else:
            self.signals.end_if(self.signals.agreed())
        optimizer = self.model._compiled.optimizer
        if getattr(optimizer, "use_ema", False):
            optimizer.finalize_variable_values(self.model.trainable_weights)
        self.group.on_train_end(dict(self.last_logs))
        self._follow()
        if self.parts is not None:
            self.parts.finish()
        if self.restart is not None:
            self.restart.training_ended()

    @ending_nothing
    @on_whole_weights
    def on_validation_epoch_start(self):
        if not self.__dict__.get("_train_logs"):
            self.__dict__["_train_logs"] = self._reduced_logs()
        with torch.enable_grad():  # for callbacks; our loop does without
            if self.sharded is not None:  # the weights are whole, its wrapper would look for pieces
                with self.trainer.precision_plugin.val_step_context():
                    return self.validation_step(None, 0)
            self.trainer.strategy.validation_step(None, 0)  # in its precision, with its weights

    def validation_step(self, batch, batch_idx):
        """All batches at once; Lightning's own loop has been given none."""
        self.val_logs.update(self._validated(self._watched))
        # Else a ModelCheckpoint of Lightning's takes it that its value is still to come.
        self.trainer.fit_loop.epoch_loop.val_loop._has_run = True

    def on_validation_epoch_end(self):
        self._tell(self.val_logs)

    def _watched(self, batches):
        """The batches of a validation, while Lightning's callbacks hear of each."""
        hooks = ("on_validation_batch_start", "on_validation_batch_end")
        started, ended = (_hooked(self.trainer.callbacks, hook) for hook in hooks)
        if not (started or ended):
            return (yield from batches)
        progress = self.trainer.fit_loop.epoch_loop.val_loop.batch_progress
        for number, (x, y, w) in enumerate(batches):
            batch = _data.pack(x, y, w, batches.bare)
            progress.increment_ready()
            for callback in started:
                callback.on_validation_batch_start(self.trainer, self, batch, number, 0)
            yield x, y, w
            progress.increment_completed()
            for callback in ended:
                callback.on_validation_batch_end(self.trainer, self, None, batch, number, 0)
        return None

    def _validated(self, through=iter):
        if self.parts is not None:
            self.parts.same_buffers()
        put_back = keep_sums(self.model)
        with (self.restart or self.signals).validating() as meet:
            logs = self.model._evaluate(self.val_batches, self.group, False, through, meet)
        put_back()
        return {f"val_{name}": value for name, value in logs.items()}

    def _reduced_logs(self):
        """Logs of the epoch, of all processes."""
        return self.model._logs(over=True) if self.parts is None else self.parts.logs()

    # ---- the end ------------------------------------------------------------------------------

    def configure_optimizers(self):
        configured = super().configure_optimizers()
        if self.sharded is not None:
            self.sharded.cut()
        if self._plateau() and self.automatic_optimization:
            configured["lr_scheduler"]["monitor"] = "loss"  # always there: Lightning does not ask
        elif self._plateau():
            configured["lr_scheduler"] = self._plateau()
        return configured

    def _plateau(self):
        """The torch scheduler that watches a loss, or None."""
        scheduler = self.model._compiled.scheduler
        watches = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
        return scheduler if watches else None

    def lr_scheduler_step(self, scheduler, metric):
        """A step of a torch scheduler; one that watches validation waits for it."""
        if self._plateau() and self.val_batches is not None:
            metric = self.val_logs.get("val_loss")
            if metric is None:
                return
        super().lr_scheduler_step(scheduler, metric)

    def setup(self, stage):
        self.model.train()  # `fit` has built it, and it is so in Lightning's summary
        self.__dict__["counterparts"] = stand_in(
            self.trainer, self.group.callbacks, self.begin_epoch
        )

    def on_fit_end(self):
        if self.sharded is not None:
            self.sharded.release()
        if self.returns is not None and self.trainer.is_global_zero:
            write(self.returns, self)

    def __getstate__(self):
        """For `ddp_spawn`: tensors would be sent as memory that all processes write into."""
        state = super().__getstate__()
        shared = {name: state.pop(name) for name in ("train_batches", "val_batches")}
        return shared, pickle.dumps(state)

    def __setstate__(self, state):
        shared, copied = state
        super().__setstate__({**pickle.loads(copied), **shared})
        self.signals.fit = self
        self.signals.default()
        self.__dict__["marks"] = marks(self.model)
        if self.restart is not None:
            self.restart.fit = self
        self.__dict__["quiet"] = quiet()  # nobody has quieted this process yet
        self.quiet.__enter__()

    def teardown(self, stage):
        # A model trained on an accelerator stays there: Lightning would move both away.
        self.trainer.strategy.optimizers = []

    def cpu(self):
        return self

    def done(self):
        """Let go of the Trainer, of hooks, and of threads that read ahead."""
        self._trainer = None
        for callback in self.group.callbacks:
            if isinstance(callback, ModelCheckpoint):
                callback._ckpt = None
        if self.sharded is not None:
            self.sharded.end()
        if self.parts is not None:
            self.parts.end()
        for batches in (self.train_batches, self.val_batches):
            if batches is not None:
                batches.end()


def _hooked(callbacks, hook):
    """Those of Lightning's callbacks that have a hook of their own."""
    return [c for c in callbacks if overrides(c, hook, Callback)]


def shown_steps(steps, limit):
    """Batches of an epoch as far as a limit of the Trainer, a number or a share, lets it go."""
    if steps is None:
        return limit if isinstance(limit, int) else None
    return min(steps, limit) if isinstance(limit, int) else int(steps * limit)
