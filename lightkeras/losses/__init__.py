"""Losses: each as a function of one value per row, and as a class that reduces the values."""

from __future__ import annotations

from lightkeras import _registry
from lightkeras._older import old_names
from lightkeras.losses import classification, regression, structured
from lightkeras.losses._base import Loss, LossFunctionWrapper, function_config
from lightkeras.losses._checks import (
    check_output,
    check_sample_weight,
    check_targets,
    number_of_classes,
)
from lightkeras.losses._torch import TorchLoss, is_torch_loss, module_of
from lightkeras.losses.classification import *  # noqa: F403
from lightkeras.losses.regression import *  # noqa: F403
from lightkeras.losses.structured import *  # noqa: F403

__all__ = [
    "Loss",
    "LossFunctionWrapper",
    "Reduction",
    "TorchLoss",
    "check_output",
    "check_sample_weight",
    "check_targets",
    "deserialize",
    "get",
    "number_of_classes",
    "resolve",
    "serialize",
    *classification.__all__,
    *regression.__all__,
    *structured.__all__,
]

mse = MSE = regression.mean_squared_error
mae = MAE = regression.mean_absolute_error
mape = MAPE = regression.mean_absolute_percentage_error
msle = MSLE = regression.mean_squared_logarithmic_error
bce = BCE = classification.binary_crossentropy
kld = KLD = kullback_leibler_divergence = classification.kl_divergence
logcosh = regression.log_cosh


class Reduction:
    """Names of the reductions, as Keras 2 wrote them."""

    AUTO = "sum_over_batch_size"
    SUM_OVER_BATCH_SIZE = "sum_over_batch_size"
    SUM = "sum"
    NONE = "none"


_aliases = "mse MSE mae MAE mape MAPE msle MSLE bce BCE kld KLD kullback_leibler_divergence logcosh"
_entries = [
    getattr(module, name)
    for module in (classification, regression, structured)
    for name in module.__all__
]
# Snake-case names stand for the functions, as in Keras; they are entries of their own.
table = _registry.Table(
    "loss",
    [*_entries, Loss, LossFunctionWrapper],
    {name: globals()[name] for name in _aliases.split()},
    base=Loss,
)


def get(identifier):
    """The loss for a name, a config, a class, a function or an object.

    Raises:
        ValueError: no loss is called so.

    >>> get("mse").__name__, get("MeanSquaredError").name
    ('mean_squared_error', 'mean_squared_error')
    """
    return table.get(identifier)


def serialize(loss):
    """The config of a loss object or function."""
    if callable(loss) and not hasattr(loss, "get_config"):
        return function_config(loss)
    config = table.serialize(loss)
    if type(loss) is LossFunctionWrapper:  # Keras has no public place for it
        config |= {"module": "keras.src.losses.losses", "registered_name": "LossFunctionWrapper"}
    return config


def deserialize(name, custom_objects=None):
    """The loss that a config describes."""
    return table.deserialize(name, custom_objects)


def resolve(identifier, y_shape=None, y_pred_shape=None):
    """A `Loss` object for what `compile(loss=...)` accepts; None stays None.

    Args:
        identifier: A name, a function, or a loss object of ours or of torch.nn. "crossentropy"
            and "ce" become the one of the three crossentropies that the shapes ask for.
        y_shape, y_pred_shape: Shapes of targets and outputs, for these two names.

    Raises:
        ValueError: no loss is called so, or a class was given in place of an object.

    >>> resolve("ce", (8,), (8, 3)).name
    'ce'
    """
    if isinstance(identifier, type):
        raise ValueError(
            f"loss={identifier.__name__} is a class. A name, a function or an object is accepted. "
            f"Use {identifier.__name__}()."
        )
    identifier = module_of(identifier)
    if is_torch_loss(identifier):
        return TorchLoss(identifier)
    name = identifier if isinstance(identifier, str) else None
    if name in ("crossentropy", "ce"):
        identifier = f"{kind_of_targets(y_shape, y_pred_shape)}_crossentropy"
    loss = get(identifier)
    if loss is None or isinstance(loss, Loss):
        return loss
    shown = getattr(loss, "name", None) or getattr(loss, "__name__", type(loss).__name__)
    return LossFunctionWrapper(loss, name=name or _registry.to_snake(shown))


def kind_of_targets(y_shape, y_pred_shape):
    """ "binary", "sparse_categorical" or "categorical", by Keras's rule."""
    if y_pred_shape[-1] == 1:
        return "binary"
    if len(y_shape) < len(y_pred_shape) or y_shape[-1] == 1:
        return "sparse_categorical"
    return "categorical"


__getattr__ = old_names(__name__)
