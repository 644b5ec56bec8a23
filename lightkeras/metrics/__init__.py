"""Metrics: what is measured over all batches of an epoch, and told at its end."""

from __future__ import annotations

from functools import partial

from lightkeras import _registry, losses
from lightkeras._older import old_names
from lightkeras.losses import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from lightkeras.losses._base import function_config
from lightkeras.losses._checks import identify
from lightkeras.metrics import accuracy, confusion, curves, probabilistic, regression, scores
from lightkeras.metrics._base import Mean, MeanMetricWrapper, Metric, Sum
from lightkeras.metrics._torchmetrics import TorchMetric, is_torchmetric, turned
from lightkeras.metrics.accuracy import *  # noqa: F403
from lightkeras.metrics.confusion import *  # noqa: F403
from lightkeras.metrics.curves import *  # noqa: F403
from lightkeras.metrics.probabilistic import *  # noqa: F403
from lightkeras.metrics.regression import *  # noqa: F403
from lightkeras.metrics.scores import *  # noqa: F403

_modules = (accuracy, confusion, curves, probabilistic, regression, scores)
_own = [getattr(module, name) for module in _modules for name in module.__all__]
_of_losses = [
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
]

__all__ = [
    "Mean",
    "MeanMetricWrapper",
    "Metric",
    "Sum",
    "TorchMetric",
    "deserialize",
    "get",
    "resolve",
    "serialize",
    *(obj.__name__ for obj in _own),
    *(fn.__name__ for fn in _of_losses),
]

mse = MSE = mean_squared_error
mae = MAE = mean_absolute_error
mape = MAPE = mean_absolute_percentage_error
msle = MSLE = mean_squared_logarithmic_error

_classes = [Metric, Mean, MeanMetricWrapper, Sum, *(obj for obj in _own if isinstance(obj, type))]
_functions = [*_of_losses, *(obj for obj in _own if not isinstance(obj, type))]
# A string means the class where there is one: "binary_accuracy" is BinaryAccuracy.
_class_names = {_registry.to_snake(cls.__name__) for cls in _classes}
table = _registry.Table(
    "metric",
    [*_classes, *(fn for fn in _functions if fn.__name__ not in _class_names)],
    {
        "mse": regression.MeanSquaredError,
        "MSE": regression.MeanSquaredError,
        "mae": regression.MeanAbsoluteError,
        "MAE": regression.MeanAbsoluteError,
        "mape": regression.MeanAbsolutePercentageError,
        "MAPE": regression.MeanAbsolutePercentageError,
        "msle": regression.MeanSquaredLogarithmicError,
        "MSLE": regression.MeanSquaredLogarithmicError,
        "bce": probabilistic.BinaryCrossentropy,
        "BCE": probabilistic.BinaryCrossentropy,
        "kld": probabilistic.KLDivergence,
        "KLD": probabilistic.KLDivergence,
    },
    base=Metric,
)


def get(identifier):
    """The metric for a name, a config, a class, a function or an object.

    Raises:
        ValueError: no metric is called so.

    >>> get("mse")
    <MeanSquaredError name=mean_squared_error>
    """
    return table.get(identifier)


def serialize(metric):
    """The config of a metric object or function."""
    is_function = callable(metric) and not hasattr(metric, "get_config")
    return function_config(metric) if is_function else table.serialize(metric)


def deserialize(config, custom_objects=None):
    """The metric that a config describes."""
    return table.deserialize(config, custom_objects)


def find_function(config):
    """The function (or loss object) inside a serialized `MeanMetricWrapper`."""
    name = config.get("config") if isinstance(config, dict) else config
    known = {fn.__name__: fn for fn in _functions}
    return known[name] if isinstance(name, str) and name in known else losses.deserialize(config)


# ---- what compile(metrics=...) accepts --------------------------------------------------------

_ACCURACIES = {
    "binary": accuracy.BinaryAccuracy,
    "categorical": accuracy.CategoricalAccuracy,
    "sparse_categorical": accuracy.SparseCategoricalAccuracy,
}
_CROSSENTROPIES = {
    "binary": probabilistic.BinaryCrossentropy,
    "categorical": probabilistic.CategoricalCrossentropy,
    "sparse_categorical": probabilistic.SparseCategoricalCrossentropy,
}


def resolve(identifier, loss=None, y_shape=None, y_pred_shape=None):
    """A `Metric` object for what `compile(metrics=[...])` accepts.

    Args:
        identifier: A name, a function, an object of ours or of torchmetrics. "accuracy" and
            "crossentropy" (short: "acc", "ce") become the metric that the shapes ask for.
        loss: The loss of the same output; used where a shape is not known.
        y_shape, y_pred_shape: Shapes of targets and outputs.

    Raises:
        ValueError: no metric is called so, or a class was given in place of an object.

    >>> resolve("acc", None, (8,), (8, 3))
    <SparseCategoricalAccuracy name=acc>
    """
    if isinstance(identifier, type):
        raise ValueError(
            f"metrics holds the class {identifier.__name__}. Names, functions and objects are "
            f"accepted. Use {identifier.__name__}()."
        )
    if isinstance(identifier, str):
        metric = _named(identifier, loss, y_shape, y_pred_shape)
        metric.name = identifier
        return metric
    if is_torchmetric(identifier):
        return TorchMetric(identifier)
    return _wrapped(turned(get(identifier)))


def _named(name, loss, y_shape, y_pred_shape):
    short = name.lower()
    if short in ("accuracy", "acc"):
        return _ACCURACIES[_kind(name, loss, y_shape, y_pred_shape)]()
    if short in ("crossentropy", "ce"):
        kind = _kind(name, loss, y_shape, y_pred_shape)
        from_logits = identify(loss)[1].get("from_logits", False)
        return _CROSSENTROPIES[kind](from_logits=from_logits)
    return _wrapped(get(name))


def _wrapped(metric):
    """A function as a metric of its name; a metric as it is."""
    if metric is None or isinstance(metric, Metric):
        return metric
    inner = metric.func if isinstance(metric, partial) else metric
    shown = getattr(inner, "name", None) or getattr(inner, "__name__", type(inner).__name__)
    return MeanMetricWrapper(metric, name=_registry.to_snake(shown))


def _kind(name, loss, y_shape, y_pred_shape):
    if y_shape and y_pred_shape:
        return losses.kind_of_targets(y_shape, y_pred_shape)
    loss_name = identify(loss)[0] or ""
    for kind in _ACCURACIES:
        if loss_name.startswith(f"{kind}_"):
            return kind
    raise ValueError(
        f"metrics has {name!r}, and neither shapes nor the loss tell which one is meant. The "
        f"names {', '.join(f'{kind}_accuracy' for kind in _ACCURACIES)} are accepted. "
        "Use one of these."
    )


__getattr__ = old_names(__name__)
