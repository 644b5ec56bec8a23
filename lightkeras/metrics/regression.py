"""How far numbers are from the targets, and how well they follow them."""

from __future__ import annotations

import warnings

import torch

from lightkeras import _registry, losses
from lightkeras.config import epsilon
from lightkeras.losses._base import aligned
from lightkeras.losses.regression import unit
from lightkeras.metrics._base import Mean, MeanMetricWrapper, Metric, as_tensor, pair

__all__ = [
    "ConcordanceCorrelation",
    "CosineSimilarity",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "PearsonCorrelation",
    "R2Score",
    "RootMeanSquaredError",
    "concordance_correlation",
    "pearson_correlation",
]


class _Error(MeanMetricWrapper):
    _direction = "down"


class MeanSquaredError(_Error):
    """Mean of the squared errors.

    >>> MeanSquaredError()([[0.0], [0.0]], [[1.0], [3.0]])
    tensor(5.)
    """

    def __init__(self, name="mean_squared_error", dtype=None):
        super().__init__(losses.mean_squared_error, name, dtype)


class MeanAbsoluteError(_Error):
    """Mean of the absolute errors."""

    def __init__(self, name="mean_absolute_error", dtype=None):
        super().__init__(losses.mean_absolute_error, name, dtype)


class MeanAbsolutePercentageError(_Error):
    """Mean of the absolute errors in percent of the targets."""

    def __init__(self, name="mean_absolute_percentage_error", dtype=None):
        super().__init__(losses.mean_absolute_percentage_error, name, dtype)


class MeanSquaredLogarithmicError(_Error):
    """Mean of the squared errors between logarithms."""

    def __init__(self, name="mean_squared_logarithmic_error", dtype=None):
        super().__init__(losses.mean_squared_logarithmic_error, name, dtype)


class LogCoshError(_Error):
    """Mean of `log(cosh(error))`."""

    def __init__(self, name="logcosh", dtype=None):
        super().__init__(losses.log_cosh, name, dtype)


class RootMeanSquaredError(Mean):
    """Root of the mean of all squared errors.

    >>> RootMeanSquaredError()([[0.0], [0.0]], [[3.0], [3.0]])
    tensor(3.)
    """

    _direction = "down"

    def __init__(self, name="root_mean_squared_error", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take a batch into account; see `MeanMetricWrapper`."""
        y_true, y_pred = pair("root_mean_squared_error", y_true, y_pred)
        error = y_pred.to(self._dtype) - y_true.to(self._dtype)
        super().update_state(error.square(), sample_weight)

    def result(self):
        """The root of the mean."""
        return super().result().sqrt()


# ---- agreement --------------------------------------------------------------------------------


def _cosine_similarity(y_true, y_pred, axis=-1):
    y_true, y_pred = aligned("cosine_similarity", y_true, y_pred)
    return (unit(y_true, axis) * unit(y_pred, axis)).sum(axis)


class _Agreement(MeanMetricWrapper):
    _direction = "up"


class CosineSimilarity(_Agreement):
    """Mean cosine of the angle between targets and outputs: 1 where they point the same way."""

    def __init__(self, name="cosine_similarity", dtype=None, axis=-1):
        super().__init__(_cosine_similarity, name, dtype, axis=axis)


def pearson_correlation(y_true, y_pred, axis=-1):
    """Correlation of targets and outputs along an axis, between -1 and 1."""
    y_true, y_pred = aligned("pearson_correlation", y_true, y_pred)
    y_true, y_pred = (_standardized(y, axis) for y in (y_true, y_pred))
    return (y_true * y_pred).mean(axis)


def _standardized(y, axis):
    y = y - y.mean(axis, keepdim=True)
    return y / y.std(axis, correction=0, keepdim=True)


def concordance_correlation(y_true, y_pred, axis=-1):
    """Correlation that also counts differences of mean and spread against the outputs.

    Source: Lin, A Concordance Correlation Coefficient, 1989; the covariance as Keras takes it.
    """
    y_true, y_pred = aligned("concordance_correlation", y_true, y_pred)
    true_mean, pred_mean = y_true.mean(axis, keepdim=True), y_pred.mean(axis, keepdim=True)
    true_var, pred_var = (y.var(axis, correction=0, keepdim=True) for y in (y_true, y_pred))
    covariance = (y_true - pred_mean) * (y_pred - pred_mean)
    norm = true_var + pred_var + (true_mean - pred_mean).square()
    return (2.0 * covariance / (norm + epsilon())).mean(axis)


class PearsonCorrelation(_Agreement):
    """Mean over rows of `pearson_correlation`."""

    def __init__(self, name="pearson_correlation", dtype=None, axis=-1):
        super().__init__(pearson_correlation, name, dtype, axis=axis)


class ConcordanceCorrelation(_Agreement):
    """Mean over rows of `concordance_correlation`."""

    def __init__(self, name="concordance_correlation", dtype=None, axis=-1):
        super().__init__(concordance_correlation, name, dtype, axis=axis)


_AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")


class R2Score(Metric):
    """Share of the targets' variance that the outputs explain; 1 is best.

    Args:
        class_aggregation: What becomes of several columns: their mean ("uniform_average"), the
            mean weighted by variance ("variance_weighted_average"), or None: one score each.
        num_regressors: Number of inputs, for the adjusted score; 0 for the plain one.
        name, dtype: As in `Metric`.

    Raises:
        ValueError: an argument is none of the above, or targets are not `(batch, columns)`.

    >>> R2Score()([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]])
    tensor(0.5714)
    """

    _direction = "up"

    def __init__(
        self, class_aggregation="uniform_average", num_regressors=0, name="r2_score", dtype=None
    ):
        super().__init__(name=name, dtype=dtype)
        if class_aggregation not in _AGGREGATIONS:
            raise _registry.unknown("class_aggregation", class_aggregation, _AGGREGATIONS)
        if num_regressors < 0:
            raise ValueError(
                f"R2Score() got num_regressors={num_regressors}. Integers from 0 are accepted. "
                "Use 0 for the plain score."
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.num_samples = self.add_variable((), name="num_samples")
        self._built = False

    def _build(self, shape):
        if len(shape) != 2:
            raise ValueError(
                f"R2Score got outputs of shape {tuple(shape)}. (batch, columns) is accepted. "
                "Use y[:, None] for a single column."
            )
        columns = (shape[1],)
        self.squared_sum = self.add_variable(columns, name="squared_sum")
        self.sum = self.add_variable(columns, name="sum")
        self.total_mse = self.add_variable(columns, name="residual")
        self.count = self.add_variable(columns, name="count")
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take a batch into account; see `MeanMetricWrapper`."""
        y_true, y_pred = pair("r2_score", y_true, y_pred)
        y_true, y_pred = y_true.to(self._dtype), y_pred.to(self._dtype)
        if not self._built:
            self._build(y_pred.shape)
        if self.sum.device != y_pred.device:
            self.to(y_pred.device)
        weight = torch.ones_like(y_true[:, :1])
        if sample_weight is not None:
            weight = as_tensor(sample_weight, y_pred).to(self._dtype)
            weight = weight.unsqueeze(1) if weight.ndim == 1 else weight
        weighted = y_true * weight
        self.sum.add_(weighted.sum(0))
        self.squared_sum.add_((y_true * weighted).sum(0))
        self.total_mse.add_(((y_true - y_pred).square() * weight).sum(0))
        self.count.add_(weight.expand(y_true.shape).sum(0))
        self.num_samples.add_(y_true.numel())

    def result(self):
        """The score, or one score per column."""
        total = self.squared_sum - self.sum * (self.sum / self.count)
        scores = 1.0 - self.total_mse / total
        scores = torch.where(scores.isinf(), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            scores = scores.mean()
        elif self.class_aggregation == "variance_weighted_average":
            scores = (total * scores).sum() / total.sum()
        return self._adjusted(scores) if self.num_regressors else scores

    def _adjusted(self, score):
        rows, inputs = float(self.num_samples), self.num_regressors
        if inputs >= rows - 1:
            warnings.warn(
                f"R2Score: {inputs} regressors need more than {inputs + 1} samples, and there are "
                f"{int(rows)}. The plain score is returned.",
                stacklevel=3,
            )
            return score
        return 1.0 - (1.0 - score) * (rows - 1.0) / (rows - inputs - 1.0)
