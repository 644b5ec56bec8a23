"""What is used of scikit-learn, and stand-ins where it is not installed."""

from __future__ import annotations

import numpy as np

try:
    import sklearn
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
except ImportError:
    sklearn = None

    class BaseEstimator:  # type: ignore[no-redef]
        """Stands for scikit-learn's."""

    class ClassifierMixin:  # type: ignore[no-redef]
        """Stands for scikit-learn's."""

    class RegressorMixin:  # type: ignore[no-redef]
        """Stands for scikit-learn's."""

    class TransformerMixin:  # type: ignore[no-redef]
        """Stands for scikit-learn's."""


__all__ = [
    "BaseEstimator",
    "ClassifierMixin",
    "RegressorMixin",
    "TransformerMixin",
    "check_fitted",
    "check_installed",
    "checked_classes",
    "checked_data",
]


def check_installed(name):
    """Raise ImportError where scikit-learn is missing."""
    if sklearn is None:
        raise ImportError(
            f"{name} is an estimator of scikit-learn, which is not installed. The package is "
            "needed here only. Type pip install scikit-learn."
        )


def check_fitted(estimator):
    """Raise scikit-learn's NotFittedError before `fit`."""
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(estimator, "model_")


def checked_data(estimator, X, y=None):
    """`X`, or `(X, y)`, as arrays that scikit-learn accepts; with `y` their form is remembered."""
    from sklearn.utils import validation

    options = {"reset": y is not None, "dtype": "numeric"}
    if y is not None:
        options |= {"y": y, "multi_output": True, "y_numeric": False}
    if hasattr(validation, "validate_data"):
        return validation.validate_data(estimator, X, **options)
    return estimator._validate_data(X, **options)  # before scikit-learn 1.6


def checked_classes(y):
    """(classes, place of each row's class among them).

    Raises:
        ValueError: the targets are no classes, or there is only one.
    """
    from sklearn.utils.multiclass import check_classification_targets

    check_classification_targets(y)
    if y.ndim > 1 and y.shape[1] > 1:
        raise ValueError(
            f"A classifier got y of shape {y.shape}. One class for each row is accepted. Type "
            "y.argmax(1) for one-hot rows."
        )
    classes, places = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"A classifier got only one class in y, {classes[0]!r}. At least two are accepted. "
            "Check how the rows were split."
        )
    return classes, places.reshape(-1)
