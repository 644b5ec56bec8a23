"""`SwapEMAWeights`: look at the averaged weights, train the others."""

from __future__ import annotations

import torch

from lightkeras.callbacks._base import Callback

__all__ = ["SwapEMAWeights"]


class SwapEMAWeights(Callback):
    """Evaluates with the moving average of the weights, of an optimizer with `use_ema=True`.

    `evaluate`, `predict` and validation see the averages; training goes on with the weights.

    Args:
        swap_on_epoch: Whether the averages also stand in the model while `on_epoch_end` of the
            callbacks behind this one runs, so that a `ModelCheckpoint` saves them.

    Raises:
        ValueError: before training: the optimizer keeps no averages.

    Where it differs from Keras: the optimizer's averages are left alone and the weights are put
    aside, so stopping early ends with the averages too; and after `predict` the weights are back.

    >>> SwapEMAWeights(swap_on_epoch=True).swap_on_epoch
    True
    """

    def __init__(self, swap_on_epoch=False):
        self.swap_on_epoch = swap_on_epoch
        self._aside = None  # the weights that are trained, while the averages stand in the model

    def _validate(self, has_validation, names):
        optimizer = self.model.optimizer
        if not getattr(optimizer, "use_ema", False):
            inner = getattr(optimizer, "_inner", None) or [optimizer]  # which make the steps
            raise ValueError(
                f"SwapEMAWeights got the optimizer {type(optimizer).__name__}, which keeps no "
                "moving average of the weights. It needs one that does. Type "
                f"{type(inner[0]).__name__}(use_ema=True)."
            )

    def _put_averages(self):
        self._validate(None, None)
        parameters, averages = self.model.optimizer._averages()
        if self._aside is None and averages:  # none before the optimizer knows the weights
            with torch.no_grad():
                self._aside = [parameter.clone() for parameter in parameters]
                torch._foreach_copy_(parameters, averages)

    def _put_weights(self):
        if self._aside is not None:
            with torch.no_grad():
                torch._foreach_copy_(self.model.optimizer._averages()[0], self._aside)
            self._aside = None

    def on_epoch_begin(self, epoch, logs=None):
        self._put_weights()

    def on_epoch_end(self, epoch, logs=None):
        if self.swap_on_epoch:
            self._put_averages()

    def on_train_end(self, logs=None):
        self._aside = None  # fit has ended with the averages

    def on_test_begin(self, logs=None):
        self._put_averages()

    def on_test_end(self, logs=None):
        self._put_weights()

    def on_predict_begin(self, logs=None):
        self._put_averages()

    def on_predict_end(self, logs=None):
        self._put_weights()

    def state_dict(self):
        return {"aside": self._aside}

    def load_state_dict(self, state_dict):
        self._aside = state_dict["aside"]  # on a CPU perhaps; they are copied once

    def _abort(self):
        self._put_weights()
