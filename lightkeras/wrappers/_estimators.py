"""`SKLearnClassifier`, `SKLearnRegressor`, `SKLearnTransformer`."""

from __future__ import annotations

import copy

import numpy as np

from lightkeras.models import Model, clone_model
from lightkeras.wrappers._sklearn import (
    BaseEstimator,
    ClassifierMixin,
    RegressorMixin,
    TransformerMixin,
    check_fitted,
    check_installed,
    checked_classes,
    checked_data,
)

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]


class _Estimator(BaseEstimator):
    """A model with scikit-learn's `fit` and `predict`.

    Args:
        model: A compiled model, which each `fit` trains a fresh copy of; or a function of `X`, `y`
            (and `model_kwargs`) that returns a compiled model.
        warm_start: Go on with the weights of the last `fit`, and train a given model itself.
        model_kwargs: Further arguments of the function.
        fit_kwargs: Arguments of `model.fit`.

    Raises:
        ImportError: scikit-learn is not installed.

    After `fit`, `model_` is the trained model and `history_` the dict of its History.
    """

    def __init__(self, model, warm_start=False, model_kwargs=None, fit_kwargs=None):
        check_installed(type(self).__name__)
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.non_deterministic = True
        return tags

    def __sklearn_clone__(self):
        model = copy.deepcopy(self.model) if isinstance(self.model, Model) else self.model
        return type(self)(model, self.warm_start, self.model_kwargs, self.fit_kwargs)

    def fit(self, X, y, **kwargs):
        """Train a model.

        Args:
            X: Array `(rows, features)`.
            y: Array `(rows,)` or `(rows, targets)`.
            **kwargs: Arguments of `model.fit`; they go before `fit_kwargs`.

        Returns:
            The estimator.

        Raises:
            RuntimeError: the model is not compiled.
        """
        X, y = checked_data(self, X, y)
        y = self._targets(y)
        model = self._made(X, y)
        if not model.compiled or not model.loss or not model.optimizer:
            raise RuntimeError(
                f"{type(self).__name__} got the model {model.name!r} without a loss or optimizer. "
                'A compiled model is accepted. Type model.compile("adam", loss="mse") first.'
            )
        self.history_ = model.fit(X, y, **{**(self.fit_kwargs or {}), **kwargs}).history
        self.model_ = model
        return self

    def _made(self, X, y):
        if self.warm_start and hasattr(self, "model_"):
            return self.model_
        if isinstance(self.model, Model):
            return self.model if self.warm_start else clone_model(self.model)
        return self.model(X=X, y=y, **(self.model_kwargs or {}))

    def predict(self, X):
        """Predictions for rows, in the form of the `y` of `fit`."""
        return self._answers(self._outputs(X))

    def _outputs(self, X):
        check_fitted(self)
        return self.model_.predict(checked_data(self, X), verbose=0)

    def _targets(self, y):
        """What the model is trained on."""
        self._ndim = y.ndim
        return y[:, None] if y.ndim == 1 else y

    def _answers(self, outputs):
        return outputs[:, 0] if self._ndim == 1 and outputs.ndim == 2 else outputs


class SKLearnClassifier(ClassifierMixin, _Estimator):
    """A model as a classifier: it is trained on one-hot targets and answers with classes.

    Args:
        model: A compiled model, which each `fit` trains a fresh copy of; or a function of `X`, `y`
            (and `model_kwargs`) that returns a compiled model. `y` has a column per class.
        warm_start: Go on with the weights of the last `fit`, and train a given model itself.
        model_kwargs: Further arguments of the function.
        fit_kwargs: Arguments of `model.fit`.

    After `fit`, `classes_` are the classes, in the order of the model's outputs.
    """

    def _targets(self, y):
        self.classes_, places = checked_classes(y)
        return np.eye(len(self.classes_), dtype="float32")[places]

    def _answers(self, outputs):
        return self.classes_[outputs.argmax(-1)]

    def decision_function(self, X):
        """The outputs of the model for rows."""
        return self._outputs(X)

    predict_proba = decision_function


class SKLearnRegressor(RegressorMixin, _Estimator):
    """A model as a regressor.

    Args:
        model: A compiled model, which each `fit` trains a fresh copy of; or a function of `X`, `y`
            (and `model_kwargs`) that returns a compiled model.
        warm_start: Go on with the weights of the last `fit`, and train a given model itself.
        model_kwargs: Further arguments of the function.
        fit_kwargs: Arguments of `model.fit`.
    """


class SKLearnTransformer(TransformerMixin, _Estimator):
    """A model as a step that transforms features.

    Args:
        model: A compiled model, which each `fit` trains a fresh copy of; or a function of `X`, `y`
            (and `model_kwargs`) that returns a compiled model.
        warm_start: Go on with the weights of the last `fit`, and train a given model itself.
        model_kwargs: Further arguments of the function.
        fit_kwargs: Arguments of `model.fit`.
    """

    def transform(self, X):
        """The outputs of the model for rows."""
        return self._outputs(X)
