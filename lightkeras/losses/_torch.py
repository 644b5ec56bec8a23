"""Losses of torch.nn in `compile(loss=...)`, next to our own."""

from __future__ import annotations

import torch

from lightkeras import _ranks, _registry
from lightkeras.losses._base import Loss, mismatch, same_rank

__all__ = ["TorchLoss", "is_torch_loss", "module_of"]

_OF_CLASSES = ("CrossEntropyLoss", "NLLLoss")
_OF_PAIRS = (
    "BCELoss",
    "BCEWithLogitsLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
)


def is_torch_loss(obj) -> bool:
    """Whether `obj` is a loss of torch.nn, or of a class derived from one."""
    return any(cls.__module__ == "torch.nn.modules.loss" for cls in type(obj).__mro__)


def module_of(function):
    """The loss of torch.nn that a function of torch.nn.functional belongs to; else the argument.

    The functions take outputs first: called as Keras calls losses, they would be wrong in silence.
    """
    if getattr(function, "__module__", None) != "torch.nn.functional":
        return function
    name = function.__name__.replace("_", "").replace("binarycrossentropy", "bce")
    classes = {kind.lower().removesuffix("loss"): kind for kind in torch.nn.modules.loss.__all__}
    kind = classes.get(name.removesuffix("loss"))
    return function if kind is None else getattr(torch.nn, kind)(reduction="none")


class TorchLoss(Loss):
    """A loss of torch.nn as one of ours: it is called the other way round, outputs first.

    Targets come as Keras has them: class numbers `(batch, 1)` become `(batch,)`, and the axis of
    the classes, our last, moves to where torch expects it.

    Args:
        module: A loss of torch.nn. With `reduction="none"` it takes sample weights.
        name: A name; derived from the class by default.

    Raises:
        ValueError: there are sample weights that a mean or sum inside `module` would lose.

    >>> import torch
    >>> TorchLoss(torch.nn.CrossEntropyLoss())(torch.tensor([[0], [1]]), torch.zeros(2, 2))
    tensor(0.6931)
    """

    def __init__(self, module, name=None):
        if not isinstance(module, torch.nn.Module):
            raise TypeError(
                f"TorchLoss() got {module!r:.60}. A loss of torch.nn is accepted. Type "
                "TorchLoss(torch.nn.CrossEntropyLoss())."
            )
        kinds = [cls.__name__ for cls in type(module).__mro__]
        super().__init__(name=name or _registry.to_snake(kinds[0]))
        self.module = module
        self._device = None
        self._of_classes = any(kind in _OF_CLASSES for kind in kinds)
        self._of_pairs = any(kind in _OF_PAIRS for kind in kinds)
        self._casts_targets = not self._of_classes

    def __call__(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None and self.module.reduction != "none":
            raise ValueError(
                f"{type(self.module).__name__} got sample weights after its own "
                f"{self.module.reduction}. One value per row is needed. "
                f'Use {type(self.module).__name__}(reduction="none").'
            )
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        """The loss of torch.nn; one value per row with `reduction="none"`."""
        if self._device != y_pred.device:  # weights of classes are tensors
            self.module.to(y_pred.device)
            self._device = y_pred.device
        if self._of_classes:
            if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
                y_true = y_true.squeeze(-1)
            if y_true.ndim == y_pred.ndim:
                y_true = y_true.to(y_pred.dtype).movedim(-1, 1)
            else:
                y_true = y_true.long()
            y_pred = y_pred.movedim(-1, 1)  # (batch, ..., classes) -> (batch, classes, ...)
        elif self._of_pairs:
            y_true, y_pred = same_rank(y_true, y_pred)
            if y_true.shape != y_pred.shape:
                raise mismatch(type(self.module).__name__, y_true.shape, y_pred.shape)
        loss = self.module(y_pred, y_true)
        if _ranks.share is not None and self.module.reduction == "sum":
            loss = loss / (_ranks.share or 1.0)
        return loss
