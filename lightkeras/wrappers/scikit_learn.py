"""`KerasClassifier` and `KerasRegressor` of Keras 1 and 2: a function of hyperparameters.

Keras 3 has `SKLearnClassifier` and `SKLearnRegressor` in their place.
"""

from __future__ import annotations

import inspect

import numpy as np

from lightkeras._config import unexpected
from lightkeras._older import old_names
from lightkeras.models import Model
from lightkeras.wrappers._sklearn import (
    BaseEstimator,
    ClassifierMixin,
    RegressorMixin,
    check_fitted,
    check_installed,
)

__all__ = ["KerasClassifier", "KerasRegressor"]

_METHODS = (Model.fit, Model.predict, Model.evaluate)


def _arguments(function):
    return set(inspect.signature(function).parameters) - {"self", "flags", "kwargs"}


class _Built(BaseEstimator):
    """A function that builds a compiled model, with its arguments and those of `fit`.

    Args:
        build_fn: Returns a compiled model; a subclass may define `__call__` instead.
        **sk_params: Arguments of `build_fn`, and of `fit`, `predict` and `evaluate` of the model
            (`epochs`, `batch_size`...); a search may set them all.

    Raises:
        ImportError: scikit-learn is not installed.
        TypeError: nobody takes an argument.
    """

    def __init__(self, build_fn=None, **sk_params):
        check_installed(type(self).__name__)
        self.build_fn = build_fn
        self.sk_params = sk_params
        self._check(sk_params)

    def _builder(self):
        return self.__call__ if self.build_fn is None else self.build_fn  # type: ignore

    def _check(self, names):
        parameters = inspect.signature(self._builder()).parameters
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return
        known = set(parameters).union(*map(_arguments, _METHODS))
        for name in names:
            if name not in known:
                raise unexpected(type(self).__name__, name, known)

    def get_params(self, deep=True):
        """All arguments, as the constructor takes them."""
        return {**self.sk_params, "build_fn": self.build_fn}

    def set_params(self, **params):
        """Change arguments; returns the estimator."""
        self.build_fn = params.pop("build_fn", self.build_fn)
        self._check(params)
        self.sk_params.update(params)
        return self

    def _for(self, function, given=None):
        """The arguments that a function takes, those given to the method before the others."""
        known = _arguments(function)
        return {k: v for k, v in {**self.sk_params, **(given or {})}.items() if k in known}

    def fit(self, x, y, **kwargs):
        """Build and train a model; returns its History."""
        self.model = self._builder()(**self._for(self._builder()))
        history = self.model.fit(x, self._targets(np.asarray(y)), **self._for(Model.fit, kwargs))
        self.model_ = self.model
        return history

    def _targets(self, y):
        return y

    def _outputs(self, x, kwargs):
        check_fitted(self)
        return self.model.predict(x, **{"verbose": 0, **self._for(Model.predict, kwargs)})


class KerasClassifier(ClassifierMixin, _Built):
    """A function that builds a compiled classifier, with its arguments and those of `fit`.

    Args:
        build_fn: Returns a compiled model.
        **sk_params: Arguments of `build_fn`, and of `fit`, `predict` and `evaluate` of the model.
    """

    def _targets(self, y):
        if y.ndim == 2 and y.shape[1] > 1:
            self.classes_ = np.arange(y.shape[1])
            return y
        self.classes_ = np.unique(y)
        places = np.searchsorted(self.classes_, y)
        if _name_of(self.model.loss) == "categorical_crossentropy":
            return np.eye(len(self.classes_), dtype="float32")[places.reshape(-1)]
        return places

    def predict(self, x, **kwargs):
        """The class of each row."""
        y = self._outputs(x, kwargs)
        return self.classes_[y.argmax(-1) if y.shape[-1] > 1 else (y[:, 0] > 0.5).astype(int)]

    def predict_proba(self, x, **kwargs):
        """Probabilities of the classes; both of them where the model has one output."""
        y = self._outputs(x, kwargs)
        return np.hstack([1 - y, y]) if y.shape[-1] == 1 else y


class KerasRegressor(RegressorMixin, _Built):
    """A function that builds a compiled model for numbers, with its arguments and those of `fit`.

    Args:
        build_fn: Returns a compiled model.
        **sk_params: Arguments of `build_fn`, and of `fit`, `predict` and `evaluate` of the model.
    """

    def predict(self, x, **kwargs):
        """The prediction for each row."""
        y = self._outputs(x, kwargs)
        return y[:, 0] if y.shape[-1] == 1 else y


def _name_of(loss):
    return loss if isinstance(loss, str) else getattr(loss, "name", getattr(loss, "__name__", ""))


__getattr__ = old_names(__name__)
