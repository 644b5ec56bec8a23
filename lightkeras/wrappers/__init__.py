"""Models as estimators of scikit-learn, for pipelines, searches and scores.

scikit-learn is loaded, and needed, when one of these names is first used.
"""

from __future__ import annotations

import importlib

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]


def __getattr__(name):
    if name == "scikit_learn":  # of Keras 2
        return importlib.import_module("lightkeras.wrappers.scikit_learn")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("lightkeras.wrappers._estimators"), name)


def __dir__():
    return __all__
