"""Losses between numbers, and hinge losses between margins.

The function of each loss returns one value per row, the mean over the last axis unless it says
otherwise; the class of the same name reduces these values as `Loss` describes.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from lightkeras.config import epsilon
from lightkeras.losses._base import LossFunctionWrapper, aligned, as_column, mean_kernel

__all__ = [
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "Huber",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "SquaredHinge",
    "categorical_hinge",
    "cosine_similarity",
    "hinge",
    "huber",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "squared_hinge",
]


# ---- functions --------------------------------------------------------------------------------


def mean_squared_error(y_true, y_pred):
    """`(y_true - y_pred)**2`.

    >>> mean_squared_error([[0.0, 1.0], [2.0, 2.0]], [[1.0, 1.0], [2.0, 0.0]])
    tensor([0.5000, 2.0000])
    """
    y_true, y_pred = aligned("mean_squared_error", y_true, y_pred)
    return (y_true - y_pred).square().mean(-1)


@mean_kernel(mean_squared_error)
def _mean_squared_error(y_true, y_pred):
    y_true = as_column(y_true, y_pred)
    return None if y_true is None else F.mse_loss(y_pred, y_true)


def mean_absolute_error(y_true, y_pred):
    """`|y_true - y_pred|`."""
    y_true, y_pred = aligned("mean_absolute_error", y_true, y_pred)
    return (y_true - y_pred).abs().mean(-1)


@mean_kernel(mean_absolute_error)
def _mean_absolute_error(y_true, y_pred):
    y_true = as_column(y_true, y_pred)
    return None if y_true is None else F.l1_loss(y_pred, y_true)


def mean_absolute_percentage_error(y_true, y_pred):
    """`100 |y_true - y_pred| / |y_true|`."""
    y_true, y_pred = aligned("mean_absolute_percentage_error", y_true, y_pred)
    return 100.0 * ((y_true - y_pred) / y_true.abs().clamp(min=epsilon())).abs().mean(-1)


def mean_squared_logarithmic_error(y_true, y_pred):
    """`(log(1 + y_true) - log(1 + y_pred))**2`; negative values count as 0."""
    y_true, y_pred = aligned("mean_squared_logarithmic_error", y_true, y_pred)
    lowest = epsilon()
    difference = (y_pred.clamp(min=lowest) + 1.0).log() - (y_true.clamp(min=lowest) + 1.0).log()
    return difference.square().mean(-1)


def cosine_similarity(y_true, y_pred, axis=-1):
    """Minus the cosine of the angle between two vectors: -1 where they point the same way.

    Args:
        axis: The axis along which the vectors lie, and which is summed up.
    """
    y_true, y_pred = aligned("cosine_similarity", y_true, y_pred)
    return -(unit(y_true, axis) * unit(y_pred, axis)).sum(axis)


def unit(x, axis):
    """`x` scaled to length 1; a vector of zeros stays so."""
    return x * x.square().sum(axis, keepdim=True).rsqrt().clamp(max=1.0 / epsilon())


def huber(y_true, y_pred, delta=1.0):
    """Half the square of errors up to `delta`, linear beyond.

    Source: Huber, Robust Estimation of a Location Parameter, 1964.
    """
    y_true, y_pred = aligned("huber", y_true, y_pred)
    return F.huber_loss(y_pred, y_true, reduction="none", delta=delta).mean(-1)


@mean_kernel(huber)
def _huber(y_true, y_pred, delta=1.0):
    return F.huber_loss(y_pred, y_true, delta=delta) if y_true.shape == y_pred.shape else None


def log_cosh(y_true, y_pred):
    """`log(cosh(y_pred - y_true))`, written so that it does not overflow."""
    y_true, y_pred = aligned("log_cosh", y_true, y_pred)
    error = y_pred - y_true
    return (error + F.softplus(-2.0 * error) - math.log(2.0)).mean(-1)


def hinge(y_true, y_pred):
    """`max(1 - y_true * y_pred, 0)` for targets -1 and 1; targets 0 and 1 are taken for these."""
    y_true, y_pred = aligned("hinge", y_true, y_pred)
    return (1.0 - _signs(y_true) * y_pred).clamp(min=0.0).mean(-1)


def squared_hinge(y_true, y_pred):
    """The square of `hinge`'s values, taken before the mean."""
    y_true, y_pred = aligned("squared_hinge", y_true, y_pred)
    return (1.0 - _signs(y_true) * y_pred).clamp(min=0.0).square().mean(-1)


def _signs(y_true):
    """Targets that are all 0 or 1 as -1 or 1, decided on the device."""
    is_binary = ((y_true == 0) | (y_true == 1)).all()
    return torch.where(is_binary, 2.0 * y_true - 1.0, y_true)


def categorical_hinge(y_true, y_pred):
    """`max(1 + highest wrong score - right score, 0)` for one-hot targets."""
    y_true, y_pred = aligned("categorical_hinge", y_true, y_pred)
    right = (y_true * y_pred).sum(-1)
    wrong = ((1.0 - y_true) * y_pred).amax(-1)
    return (wrong - right + 1.0).clamp(min=0.0)


# ---- classes ----------------------------------------------------------------------------------


class MeanSquaredError(LossFunctionWrapper):
    """Mean of the squared errors.

    >>> MeanSquaredError()([[0.0, 1.0], [2.0, 2.0]], [[1.0, 1.0], [2.0, 0.0]])
    tensor(1.2500)
    """

    def __init__(self, reduction="sum_over_batch_size", name="mean_squared_error", dtype=None):
        super().__init__(mean_squared_error, reduction, name, dtype)


class MeanAbsoluteError(LossFunctionWrapper):
    """Mean of the absolute errors."""

    def __init__(self, reduction="sum_over_batch_size", name="mean_absolute_error", dtype=None):
        super().__init__(mean_absolute_error, reduction, name, dtype)


class MeanAbsolutePercentageError(LossFunctionWrapper):
    """Mean of the absolute errors in percent of the targets."""

    def __init__(
        self, reduction="sum_over_batch_size", name="mean_absolute_percentage_error", dtype=None
    ):
        super().__init__(mean_absolute_percentage_error, reduction, name, dtype)


class MeanSquaredLogarithmicError(LossFunctionWrapper):
    """Mean of the squared errors between logarithms."""

    def __init__(
        self, reduction="sum_over_batch_size", name="mean_squared_logarithmic_error", dtype=None
    ):
        super().__init__(mean_squared_logarithmic_error, reduction, name, dtype)


class CosineSimilarity(LossFunctionWrapper):
    """Minus the cosine between targets and outputs; see `cosine_similarity`."""

    def __init__(
        self, axis=-1, reduction="sum_over_batch_size", name="cosine_similarity", dtype=None
    ):
        super().__init__(cosine_similarity, reduction, name, dtype, axis=axis)


class Huber(LossFunctionWrapper):
    """Squared for errors up to `delta`, linear beyond; see `huber`."""

    def __init__(self, delta=1.0, reduction="sum_over_batch_size", name="huber_loss", dtype=None):
        super().__init__(huber, reduction, name, dtype, delta=delta)


class LogCosh(LossFunctionWrapper):
    """Mean of `log(cosh(error))`."""

    def __init__(self, reduction="sum_over_batch_size", name="log_cosh", dtype=None):
        super().__init__(log_cosh, reduction, name, dtype)


class Hinge(LossFunctionWrapper):
    """The loss of a linear support vector machine; see `hinge`."""

    def __init__(self, reduction="sum_over_batch_size", name="hinge", dtype=None):
        super().__init__(hinge, reduction, name, dtype)


class SquaredHinge(LossFunctionWrapper):
    """Squared `Hinge`."""

    def __init__(self, reduction="sum_over_batch_size", name="squared_hinge", dtype=None):
        super().__init__(squared_hinge, reduction, name, dtype)


class CategoricalHinge(LossFunctionWrapper):
    """`Hinge` for one-hot targets of several classes."""

    def __init__(self, reduction="sum_over_batch_size", name="categorical_hinge", dtype=None):
        super().__init__(categorical_hinge, reduction, name, dtype)
