"""Models as estimators of scikit-learn, for pipelines, searches and scores.

scikit-learn is loaded, and needed, when one of these names is first used.
"""

from __future__ import annotations

import importlib

from lightkeras._older import lacking
from lightkeras._registry import did_you_mean

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]


def __getattr__(name):
    if name == "scikit_learn":  # of Keras 2
        return importlib.import_module("lightkeras.wrappers.scikit_learn")
    if name not in __all__:
        hint = did_you_mean(name, __all__)
        raise lacking(f"module {__name__!r} has no attribute {name!r}.{hint}")
    return getattr(importlib.import_module("lightkeras.wrappers._estimators"), name)


def __dir__():
    return __all__
