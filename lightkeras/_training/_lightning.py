"""A model as a LightningModule, for a Trainer of one's own and as the base of `fit`."""

from __future__ import annotations

from functools import wraps

import lightning.pytorch as L
import torch

from lightkeras import _data
from lightkeras._ranks import world
from lightkeras._together import averaged_logs, keep_sums
from lightkeras._training._checkpoints import other_optimizers, put_back_optimizers
from lightkeras._training._parts import share_gradients
from lightkeras._training._sharded import splits

__all__ = ["LightningModel", "ending_nothing", "scaled"]


def ending_nothing(hook):
    """A hook of a LightningModule in which StopIteration is an error.

    It comes from a `next()` of the user's. Lightning's loops would take it for the end of the data.

    Raises:
        RuntimeError: there was one.
    """

    @wraps(hook)
    def called(*args):
        try:
            return hook(*args)
        except StopIteration as error:
            raise RuntimeError(
                "A callback, step, loss or metric raised StopIteration in training. It comes from "
                "next() of an iterator that is at its end. Give it a default: next(iterator, None)."
            ) from error

    return called


class LightningModel(L.LightningModule):
    """A model for a Trainer of one's own: what `model.to_lightning()` returns.

    Steps that a model overrides (`train_step`, `test_step`, `predict_step`) are taken here, too.
    Hooks of one's own are added in a subclass of its type; they call `super()`'s.

    Args:
        model: A compiled model.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model
        # A train_step of the user's own calls backward and the optimizer itself.
        self.automatic_optimization = not model._overrides("train_step")
        self.__dict__.update(_looked=False, _stepped=False, _hooks=[], _saved_optimizers={})

    @property
    def lr(self):
        """The learning rate, where `Tuner(trainer).lr_find(...)` looks for it and sets it."""
        return float(self.model.optimizer.learning_rate)

    @lr.setter
    def lr(self, rate):
        self.model.optimizer.learning_rate = rate

    def forward(self, x):
        return self.model(x)

    @ending_nothing
    def training_step(self, batch, batch_idx):
        model = self.model
        if self.trainer.training and not model.training:
            model.train()
        x, y, w = _data.unpack(batch)
        self.__dict__.pop("_train_logs", None)  # validated in the middle of an epoch: it goes on
        self.__dict__["_stepped"] = True  # else a subclass has a step of its own, and its own logs
        self._look((x, y, w))
        if not self.automatic_optimization:
            self._begin()
            model._run_step("train", _is_bare(batch))(x, y, w)
            self._count(1)
            return None
        loss, y_pred = model._loss_of(x, y, w)
        model._update_metrics(x, y, y_pred, w)
        return scaled(loss, model)

    def _start_anew(self):
        """Before an epoch or a pass: no sums, and nothing that a step has returned."""
        self.model.reset_metrics()
        self.model.__dict__["_step_logs"] = None

    def _begin(self):
        """Before the first `train_step`: the model is where it is trained."""
        if world() > 1 and not self._hooks:
            self._hooks.extend(share_gradients(self.model, lambda: 1 / world()))
        saved, self.__dict__["_saved_optimizers"] = self._saved_optimizers, {}
        put_back_optimizers(self.model, saved)

    def _count(self, steps):
        """Tell Lightning about the optimizer steps it did not see."""
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        for counter in (progress.current, progress.total):
            counter.ready += steps
            counter.completed += steps

    @ending_nothing
    def validation_step(self, batch, batch_idx):
        model, data = self.model, _data.unpack(batch)
        self._look(data)
        if model._overrides("test_step"):
            model._run_step("test", _is_bare(batch))(*data)
        else:
            model._test_batch(*data)

    test_step = validation_step

    @ending_nothing
    def predict_step(self, batch, batch_idx):
        own, (x, y, w) = self.model._own_step("predict"), _data.unpack(batch)
        return self.model(x) if own is None else own(_data.pack(x, y, w, _is_bare(batch)))

    def on_save_checkpoint(self, checkpoint):
        if "optimizer_states" in checkpoint:
            checkpoint["lightkeras"] = {"optimizers": other_optimizers(self.model)}

    def on_load_checkpoint(self, checkpoint):
        saved = checkpoint.get("lightkeras", {}).get("optimizers", {})
        self.__dict__["_saved_optimizers"] = saved

    def on_train_epoch_start(self):
        self._start_anew()

    def on_train_batch_end(self, outputs, batch, batch_idx):
        if self._stepped and self.trainer.is_last_batch and self.trainer.callbacks:
            # Lightning's callbacks come before us at the end of an epoch and look for its values.
            self.__dict__["_train_logs"] = logs = _all_logs(self.model)
            self.log_dict(logs, logger=False, batch_size=1)

    def on_train_epoch_end(self):
        if not self._stepped:
            return
        # Validation ran in between and used the same sums, so training's were kept.
        logs = self.__dict__.pop("_train_logs", None) or _all_logs(self.model)
        self.log_dict(logs, prog_bar=True)

    def on_validation_epoch_start(self):
        if self.model._compiled.parts is not None and not self.__dict__.get("_train_logs"):
            self.__dict__["_train_logs"] = _all_logs(self.model)
        self.__dict__["_put_back"] = keep_sums(self.model)
        self._start_anew()

    def on_validation_epoch_end(self):
        logs = {f"val_{k}": v for k, v in _all_logs(self.model).items()}
        self.log_dict(logs, prog_bar=True)
        self._put_back()

    def on_test_epoch_start(self):
        self._start_anew()

    def on_test_epoch_end(self):
        self.log_dict({f"test_{k}": v for k, v in _all_logs(self.model).items()})

    def setup(self, stage):
        """Before Lightning asks for the optimizer, the weights must exist."""
        if stage != "fit":
            return
        if splits(self.trainer):
            raise ValueError(
                "Trainer.fit(model.to_lightning()) got FSDPStrategy. It would give the optimizer "
                "pieces of weights. Type model.fit(x, y, devices=2, strategy='fsdp')."
            )
        if not self.model.built:
            loader = self.trainer.fit_loop._data_source.instance
            loader = loader.train_dataloader() if hasattr(loader, "train_dataloader") else loader
            self._look(_data.unpack(next(iter(loader))))
        self.__dict__["_modes"] = {m: m.training for m in self.model.modules()}
        self.model.train()  # else Lightning warns of it

    def teardown(self, stage):
        """Between calls of `fit` a model is one that predicts, as in Keras."""
        for module, mode in self.__dict__.pop("_modes", {}).items():
            module.training = mode
        while self._hooks:
            self._hooks.pop().remove()

    def _look(self, batch):
        """Build and bind what is not yet, by the first batch."""
        if not self._looked:
            self.__dict__["_looked"] = True
            self.model._first_batch(*batch, training=not self.automatic_optimization)

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


def scaled(loss, model):
    """The loss as the optimizer expects it: times its `loss_scale_factor`, if it has one."""
    optimizer = model._compiled.optimizer
    scales = getattr(optimizer, "loss_scale_factor", None) is not None
    return optimizer.scale_loss(loss) if scales else loss


def _all_logs(model):
    """Logs of the sums of all processes."""
    return model._logs(over=True) if world() == 1 else averaged_logs(model, 1.0)


def _is_bare(batch):
    """Whether a batch is x alone, as it is."""
    return not isinstance(batch, (tuple, list))
