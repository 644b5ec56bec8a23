"""The engine: `fit` through Lightning's Trainer.

Lightning is handed several steps at a time (a chunk) where nothing needs every batch, because
its own loop costs more than a small step. Then we take the steps ourselves, on the device, in
the precision and under the hooks that the Trainer set up. Where a flag, a strategy or a
Lightning callback needs every batch, Lightning takes them one by one, with its automatic
optimization. Both ways give the same numbers.
"""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from contextlib import contextmanager
from itertools import islice

import lightning.pytorch as L
import torch

from lightkeras import _data, config
from lightkeras._device import use_device
from lightkeras._tree import flatten
from lightkeras.callbacks._base import callback_list

__all__ = ["LightningModel", "fit"]

_STEPS = 32  # steps of a chunk; more gains nothing measurable

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


class LightningModel(L.LightningModule):
    """A model for a Trainer of one's own: what `model.to_lightning()` returns.

    Args:
        model: A compiled model.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)

    def training_step(self, batch, batch_idx):
        model = self.model
        if self.trainer.training and not model.training:
            model.train()
        batch = _data.unpack(batch)
        self.__dict__.pop("_train_logs", None)  # validated in the middle of an epoch: it goes on
        if model._compiled.parts is None:
            self._look(batch)
        loss, y_pred = model._loss_of(*batch)
        model._update_metrics(batch[0], batch[1], y_pred, batch[2])
        return loss

    def validation_step(self, batch, batch_idx):
        self.model._test_batch(*_data.unpack(batch))

    test_step = validation_step

    def predict_step(self, batch, batch_idx):
        return self.model(_data.unpack(batch)[0])

    def on_train_epoch_start(self):
        self.model.reset_metrics()

    def on_train_epoch_end(self):
        # Validation ran in between and used the same sums, so training's were kept.
        logs = self.__dict__.pop("_train_logs", None) or self.model._logs()
        self.log_dict(logs, sync_dist=True)

    def on_validation_epoch_start(self):
        if self.model._compiled.parts is not None:
            self.__dict__["_train_logs"] = self.model._logs()
        self.__dict__["_sums"] = _Sums(self.model)
        self.model.reset_metrics()

    def on_validation_epoch_end(self):
        logs = {f"val_{k}": v for k, v in self.model._logs().items()}
        self.log_dict(logs, sync_dist=True)
        self._sums.restore()

    def on_test_epoch_start(self):
        self.model.reset_metrics()

    def on_test_epoch_end(self):
        self.log_dict({f"test_{k}": v for k, v in self.model._logs().items()}, sync_dist=True)

    def setup(self, stage):
        """Before Lightning asks for the optimizer, the weights must exist."""
        if stage == "fit" and not self.model.built:
            loader = self.trainer.fit_loop._data_source.instance
            loader = loader.train_dataloader() if hasattr(loader, "train_dataloader") else loader
            self._look(_data.unpack(next(iter(loader))))

    def _look(self, batch):
        self.model._first_batch(*batch)

    def configure_optimizers(self):
        model = self.model
        model._bind_optimizer()
        model.__dict__["_penalties"] = tuple(model._find_penalties())
        optimizer, scheduler = model._compiled.optimizer, model._compiled.scheduler
        if scheduler is None:
            return optimizer
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            watched = "val_loss" if self.trainer.enable_validation else "loss"
            # Not strict: there are epochs without validation.
            scheduler = {"scheduler": scheduler, "monitor": watched, "strict": False}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


# ---- fit --------------------------------------------------------------------------------------


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
    """
    flags = dict(flags)
    epochs = flags.pop("max_epochs", None) or epochs
    if config.max_epochs() is not None:
        epochs = min(epochs, config.max_epochs())
    ours, theirs = _sorted_callbacks(
        [*flatten(callbacks or []), *flatten(flags.pop("callbacks", None) or [])]
    )
    group = callback_list(ours, model, verbose, epochs, train.steps, history=True)
    names = model._compiled.names() if not model._overrides("train_step") else None
    group.validate(val is not None, names)
    train.check_epochs(epochs - initial_epoch)
    if val is not None and isinstance(validation_freq, int):
        val.check_epochs((epochs - initial_epoch) // validation_freq)
    with _quiet():
        trainer = trainer or _trainer(flags, theirs, epochs, validation_freq)
        limit = trainer.overfit_batches or trainer.limit_train_batches
        group.set_params({**group.params, "steps": _shown_steps(train.steps, limit)})
        module = _Fit(
            model,
            train,
            val,
            group,
            trainer,
            validation_freq,
            _steps_at_a_time(model, train, trainer, flags, theirs),
        )
        trainer.fit_loop.epoch_progress.current.processed = initial_epoch
        trainer.fit_loop.epoch_progress.current.completed = initial_epoch
        _run(trainer, module, model, group)
    return group._history


def _shown_steps(steps, limit):
    """Batches of an epoch as far as a limit of the Trainer, a number or a share, lets it go."""
    if steps is None:
        return limit if isinstance(limit, int) else None
    return min(steps, limit) if isinstance(limit, int) else int(steps * limit)


def _run(trainer, module, model, group):
    """`trainer.fit`, with Keras's behaviour where it ends early."""
    handler = signal.getsignal(signal.SIGINT) if _in_main_thread() else None
    was = {m: m.training for m in model.modules()}
    try:
        trainer.fit(
            module, train_dataloaders=module.train_loader(), val_dataloaders=module.val_loader()
        )
    except SystemExit as error:
        # Lightning turns Ctrl-C into the end of the process; a notebook wants to go on.
        if trainer.state.status == "interrupted" and error.code == 1:
            group._abort()
            raise KeyboardInterrupt from None
        raise
    except BaseException:
        group._abort()
        raise
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        for m, mode in was.items():
            m.training = mode
        model.__dict__["stop_training"] = False
        module.done()


def _in_main_thread():
    return threading.current_thread() is threading.main_thread()


def _sorted_callbacks(callbacks):
    """(Keras's, Lightning's)."""
    theirs = [c for c in callbacks if isinstance(c, L.Callback)]
    return [c for c in callbacks if not isinstance(c, L.Callback)], theirs


def _trainer(flags, theirs, epochs, validation_freq):
    """A Trainer that writes nothing and draws nothing unless its flags say so."""
    defaults = {
        "accelerator": "auto",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": any(isinstance(c, L.callbacks.Checkpoint) for c in theirs),
        "enable_progress_bar": any(isinstance(c, L.callbacks.ProgressBar) for c in theirs),
        "enable_model_summary": any(isinstance(c, L.callbacks.ModelSummary) for c in theirs),
        "num_sanity_val_steps": 0,
        "check_val_every_n_epoch": validation_freq if isinstance(validation_freq, int) else 1,
    }
    return L.Trainer(**{**defaults, **flags}, max_epochs=epochs, callbacks=theirs)


def _steps_at_a_time(model, train, trainer, flags, theirs):
    """How many steps Lightning is handed at a time; 0 where it must take each by itself."""
    hooks = (
        "on_train_batch_start",
        "on_train_batch_end",
        "on_before_zero_grad",
        "on_before_backward",
        "on_after_backward",
        "on_before_optimizer_step",
    )
    watched = any(getattr(type(c), h) is not getattr(L.Callback, h) for c in theirs for h in hooks)
    watched |= any(isinstance(c, _AUTOMATIC) for c in theirs)
    scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
    simple = isinstance(trainer.strategy, L.strategies.SingleDeviceStrategy)
    free = set(flags) <= _FREE_FLAGS
    scheduled = model._compiled.scheduler is not None
    if watched or scaled or not simple or not free or scheduled:
        return 0
    if train.steps is None:
        return 1
    asked = model._compiled.options.get("steps_per_execution") or 1
    return max(asked, 1) if asked != 1 else _STEPS


class _Fit(LightningModel):
    """`fit` as a LightningModule: takes the steps, calls Keras's callbacks, logs once an epoch."""

    def __init__(self, model, train, val, group, trainer, validation_freq, chunk):
        super().__init__(model)
        state = self.__dict__  # plain attributes: nothing of the run belongs in a checkpoint
        state["train_batches"], state["val_batches"] = train, val
        state["group"] = group
        state["chunk"] = chunk
        state["step"] = 0  # batches done in this epoch
        state["val_logs"] = {}
        state["last_logs"] = {}
        state["val_epochs"] = None if isinstance(validation_freq, int) else set(validation_freq)
        own = model._overrides("train_step")
        # A train_step of the user's calls backward and the optimizer itself.
        self.automatic_optimization = chunk == 0 and not own
        state["batch_hooks"] = group.wants_train_batches

    # ---- loaders ------------------------------------------------------------------------------

    def train_loader(self):
        if self.trainer_shards():
            return self.train_batches.loader or _Loader(self.train_batches, 0)
        return _Loader(self.train_batches, self.chunk)

    def val_loader(self):
        return None if self.val_batches is None or self.val_epochs is not None else _Once()

    def trainer_shards(self):
        """Whether a user's DataLoader goes to Lightning as it is, to be spread over processes."""
        return self.chunk == 0 and self.train_batches.loader is not None and _world() > 1

    def transfer_batch_to_device(self, batch, device, dataloader_idx):
        if isinstance(batch, _Chunk) or batch is _TOKEN:
            return batch  # its batches are on the device already
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    # ---- steps --------------------------------------------------------------------------------

    def training_step(self, batch, batch_idx):
        self.__dict__.pop("_train_logs", None)  # validated in the middle of an epoch: it goes on
        if isinstance(batch, _Chunk):
            with use_device(self.device):
                return self._take(batch)
        return self._lightning_step(batch)

    def _take(self, chunk):
        """The steps of one chunk, without Lightning in between."""
        model, group, hooks = self.model, self.group, self.batch_hooks
        run, step, count = model._run_step("train"), self.step, 0
        autocast = torch.is_autocast_enabled(self.device.type)
        for x, y, w in chunk:
            if hooks:
                group.on_train_batch_begin(step, {})
            run(x, y, w)
            if autocast:  # the cache of cast weights lives as long as the chunk: it is stale now
                torch.clear_autocast_cache()
            step += 1
            count += 1
            if hooks:
                group.on_train_batch_end(step - 1, model._logs())
                if model.stop_training:
                    break
            group.progress(step, model._logs)
        self.__dict__["step"] = step
        self._count(count)

    def _count(self, steps):
        """Tell Lightning about the optimizer steps it did not see."""
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        for counter in (progress.current, progress.total):
            counter.ready += steps
            counter.completed += steps

    def _lightning_step(self, batch):
        model, batch = self.model, _data.unpack(batch)
        with use_device(self.device):
            if self.automatic_optimization:
                loss, y_pred = model._loss_of(*batch)
                model._update_metrics(batch[0], batch[1], y_pred, batch[2])
                return self._shared(loss, batch)
            self.__dict__["mine"] = flatten(batch[0])[0].shape[0]
            model._run_step("train")(*batch)
        self._count(1)
        return None

    def _shared(self, loss, batch):
        """Weight of this process's share of the batch: gradients are averaged over processes."""
        if _world() == 1 or self.trainer_shards():
            return loss
        mine = flatten(batch[0])[0].shape[0]
        return loss * (mine * _world() / self.train_batches.global_rows(self.step))

    def on_train_batch_start(self, batch, batch_idx):
        if self.chunk == 0 and self.batch_hooks:
            self.group.on_train_batch_begin(self.step, {})

    def on_train_batch_end(self, outputs, batch, batch_idx):
        if self.chunk == 0:
            self.__dict__["step"] += 1
            if self.batch_hooks:
                self.group.on_train_batch_end(self.step - 1, self.model._logs())
            self.group.progress(self.step, self.model._logs)
        if self.model.stop_training:
            self.trainer.should_stop = True
        if self.trainer.is_last_batch and self.trainer.callbacks:
            # Lightning's callbacks come before us at the end of an epoch and look for its values.
            self.__dict__["_train_logs"] = logs = self._reduced_logs()
            self._tell(logs)

    def _tell(self, logs):
        self.log_dict({k: v for k, v in logs.items() if isinstance(v, float)}, batch_size=1)

    # ---- epochs -------------------------------------------------------------------------------

    def on_fit_start(self):
        device = self.device
        if self.val_batches is not None:
            self.val_batches.on(device)
            self.val_batches.limit(_shown_steps(self.val_batches.steps, self._val_limit()))
        if not self.trainer_shards():
            self.train_batches.on(device)
        if _world() > 1:
            self._agree_on_seed()
            self.train_batches.shard(self.trainer.global_rank, _world())

    def _val_limit(self):
        limits = self.trainer.limit_val_batches
        # Lightning counts our one stand-in batch; the limit is about the batches behind it.
        return limits[0] if isinstance(limits, list) else limits

    def _agree_on_seed(self):
        self.train_batches.seed = self.trainer.strategy.broadcast(self.train_batches.seed)

    def on_train_start(self):
        if _world() > 1 and self.model._overrides("train_step") and not self.trainer_shards():
            self._share_gradients()
        self.group.on_train_begin({})

    def on_train_epoch_start(self):
        epoch = self.current_epoch
        self.train_batches.set_epoch(epoch)
        self.__dict__["batch_hooks"] = (
            self.group.wants_train_batches
        )  # a callback may be done with them
        self.__dict__["step"] = 0
        self.__dict__["val_logs"] = {}
        self.model.train()
        self.model.reset_metrics()
        self.group.on_epoch_begin(epoch, {})

    def on_train_epoch_end(self):
        logs = self.__dict__.pop("_train_logs", None) or self._reduced_logs()
        if self.val_epochs is not None and self.current_epoch + 1 in self.val_epochs:
            self.val_logs.update(self._validated())
        logs = {**logs, **self.val_logs}
        self.train_batches.end()
        self.group.on_epoch_end(self.current_epoch, logs)
        self.__dict__["last_logs"] = logs
        self._tell(logs)
        if self.model.stop_training:
            self.trainer.should_stop = True

    def on_train_end(self):
        optimizer = self.model._compiled.optimizer
        if getattr(optimizer, "use_ema", False):
            optimizer.finalize_variable_values(self.model.trainable_weights)
        self.group.on_train_end(dict(self.last_logs))

    def on_validation_epoch_start(self):
        if not self.__dict__.get("_train_logs"):
            self.__dict__["_train_logs"] = self._reduced_logs()

    def validation_step(self, batch, batch_idx):
        self.val_logs.update(self._validated())

    def on_validation_epoch_end(self):
        self._tell(self.val_logs)

    def _validated(self):
        sums = _Sums(self.model)
        logs = self.model._evaluate(self.val_batches, self.group, shows=False)
        sums.restore()
        return {f"val_{name}": value for name, value in logs.items()}

    def _reduced_logs(self):
        """Logs of the epoch; sums of several processes are added before they are read."""
        model = self.model
        if _world() == 1:
            return model._logs()
        own = model._overrides("train_step")
        moved = model.metrics if own else model._all_metrics()
        for metric in moved:
            if hasattr(metric, "reduce_states"):
                metric.reduce_states(_all_reduce)
        logs = model._logs()
        if own:  # the step read its metrics before they were added up
            for metric in moved:
                value = metric.result()
                logs.update(
                    _floats(value if isinstance(value, dict) else {metric.name: value}, logs)
                )
        return logs

    def _share_gradients(self):
        """Average the gradients of a `train_step` of the user's own over the processes.

        Its `backward` runs outside of what DDP watches. A hook sees each gradient before it is
        added to the parameter, so it does not matter how the step uses it.
        """

        def share(gradient):
            gradient = gradient * (self.mine / self.train_batches.global_rows(self.step))
            torch.distributed.all_reduce(gradient)
            return gradient

        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.__dict__["hooks"] = [p.register_hook(share) for p in trained]

    # ---- the end ------------------------------------------------------------------------------

    def configure_optimizers(self):
        configured = super().configure_optimizers()
        return configured if self.automatic_optimization else self.model._compiled.optimizer

    def setup(self, stage):
        pass  # `fit` has built the model

    def teardown(self, stage):
        # A model trained on an accelerator stays there: Lightning would move both away.
        self.trainer.strategy.optimizers = []

    def cpu(self):
        return self

    def done(self):
        """Let go of the Trainer, of hooks, and of threads that read ahead."""
        self._trainer = None
        for hook in self.__dict__.pop("hooks", ()):
            hook.remove()
        for batches in (self.train_batches, self.val_batches):
            if batches is not None:
                batches.end()


class _Sums:
    """What the metrics have added up, kept while validation uses the same ones."""

    def __init__(self, model):
        self.model = model
        self.kept = [(v, v.clone()) for m in model.metrics for v in getattr(m, "variables", ())]
        self.logs = model.__dict__.get("_step_logs")

    def restore(self):
        with torch.no_grad():
            for variable, value in self.kept:
                variable.data = value
        self.model.__dict__["_step_logs"] = self.logs


def _floats(named, wanted):
    """Those of the values that are `wanted`, as floats."""
    return {name: float(value) for name, value in named.items() if name in wanted}


def _world():
    dist = torch.distributed
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _all_reduce(tensor, how):
    if how == "sum" or how == "mean":
        torch.distributed.all_reduce(tensor)
        if how == "mean":
            tensor.div_(_world())


_TOKEN = "validate"


class _Once:
    """A loader of one batch that stands for a whole validation, which we run ourselves."""

    def __len__(self):
        return 1

    def __iter__(self):
        return iter([_TOKEN])


class _Chunk:
    """Some steps' batches, taken one by one while the step runs."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


class _Loader:
    """Batches as Lightning sees them: in chunks of `size`, or one by one (`size` 0)."""

    def __init__(self, batches, size):
        self.batches, self.size = batches, size
        if batches.steps is not None:
            self.__class__ = _SizedLoader

    def __iter__(self):
        iterator = iter(self.batches)
        if self.size == 0:
            return iterator
        return self._chunks(iterator)

    def _chunks(self, iterator):
        if self.batches.steps is None:  # Lightning reads one ahead: each chunk must hold its batch
            for batch in iterator:
                yield _Chunk([batch])
            return
        for _ in range(-(-self.batches.steps // self.size)):
            yield _Chunk(islice(iterator, self.size))


class _SizedLoader(_Loader):
    def __len__(self):
        return -(-self.batches.steps // max(self.size, 1))


@contextmanager
def _quiet():
    """Lightning's notes on what it found and its adverts are not printed; warnings of ours are."""
    names = (
        "lightning.pytorch.utilities.rank_zero",
        "lightning.fabric.utilities.rank_zero",
        "lightning.pytorch.utilities.migration.utils",
        "lightning.pytorch.accelerators.cuda",
        "lightning.fabric.utilities.distributed",
    )
    loggers = [logging.getLogger(n) for n in names]
    levels = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(max(log.getEffectiveLevel(), logging.WARNING))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*", category=UserWarning)
        warnings.filterwarnings(
            "ignore", message=r".*(does not have many workers|log_every_n_steps).*"
        )
        warnings.filterwarnings("ignore", message=r".*treespec.*LeafSpec.*")
        # DDP on weights in channels_last order: the numbers are right, the copy is small.
        warnings.filterwarnings("ignore", message=r"(?s).*Grad strides do not match bucket.*")
        try:
            yield
        finally:
            for log, level in zip(loggers, levels, strict=True):
                log.setLevel(level)
