"""A model as a LightningModule, for a Trainer of one's own and as the base of `fit`."""

from __future__ import annotations

import lightning.pytorch as L
import torch

from lightkeras import _data
from lightkeras._ranks import world
from lightkeras._together import averaged_logs, keep_sums

__all__ = ["LightningModel", "scaled"]


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
        return scaled(loss, model)

    def validation_step(self, batch, batch_idx):
        self.model._test_batch(*_data.unpack(batch))

    test_step = validation_step

    def predict_step(self, batch, batch_idx):
        return self.model(_data.unpack(batch)[0])

    def on_train_epoch_start(self):
        self.model.reset_metrics()

    def on_train_epoch_end(self):
        # Validation ran in between and used the same sums, so training's were kept.
        logs = self.__dict__.pop("_train_logs", None) or _all_logs(self.model)
        self.log_dict(logs)

    def on_validation_epoch_start(self):
        if self.model._compiled.parts is not None:
            self.__dict__["_train_logs"] = _all_logs(self.model)
        self.__dict__["_put_back"] = keep_sums(self.model)
        self.model.reset_metrics()

    def on_validation_epoch_end(self):
        self.log_dict({f"val_{k}": v for k, v in _all_logs(self.model).items()})
        self._put_back()

    def on_test_epoch_start(self):
        self.model.reset_metrics()

    def on_test_epoch_end(self):
        self.log_dict({f"test_{k}": v for k, v in _all_logs(self.model).items()})

    def setup(self, stage):
        """Before Lightning asks for the optimizer, the weights must exist."""
        if stage != "fit":
            return
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


def scaled(loss, model):
    """The loss as the optimizer expects it: times its `loss_scale_factor`, if it has one."""
    optimizer = model._compiled.optimizer
    scales = getattr(optimizer, "loss_scale_factor", None) is not None
    return optimizer.scale_loss(loss) if scales else loss


def _all_logs(model):
    """Logs of the sums of all processes."""
    return model._logs() if world() == 1 else averaged_logs(model, 1.0)
