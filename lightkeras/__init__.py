"""Keras's API on PyTorch Lightning.

>>> import lightkeras as lk
>>> model = lk.Sequential([lk.Input((4,)), lk.layers.Dense(2)])
>>> model.output_shape
(None, 2)
"""

from __future__ import annotations

import importlib

from lightkeras._loading import loading
from lightkeras._older import ELSEWHERE, find_old_paths, lacking

__version__ = "0.1.0"

# Public name -> the module it is in; loaded when first asked for, so that importing the package
# costs about as much as importing torch.
_NAMES = {
    "Function": "_operation",
    "Initializer": "initializers",
    "Input": "layers",
    "InputSpec": "layers",
    "KerasTensor": "_graph",
    "Layer": "layers",
    "Loss": "losses",
    "Metric": "metrics",
    "Model": "models",
    "Operation": "_operation",
    "Optimizer": "optimizers",
    "Regularizer": "regularizers",
    "RematScope": "layers._remat",
    "Sequential": "models",
    "Variable": "_variable",
    "device": "_device",
    "name_scope": "_variable",
    "remat": "layers._remat",
    "DTypePolicy": "dtype_policies",
    "FloatDTypePolicy": "dtype_policies",
}
_MODULES = (
    "activations",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "dtype_policies",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "ops",
    "optimizers",
    "preprocessing",
    "random",
    "regularizers",
    "saving",
    "tree",
    "utils",
    "visualization",
    "wrappers",
)
__all__ = sorted([*_NAMES, *_MODULES, "__version__", "version"])


def version() -> str:
    """The version of lightkeras."""
    return __version__


def __getattr__(name):
    if name in _NAMES:
        value = getattr(_load(_NAMES[name]), name)
    elif name in _MODULES:
        value = _load(name)
    else:
        from lightkeras._registry import did_you_mean

        hint = f" {ELSEWHERE[name]}" if name in ELSEWHERE else did_you_mean(name, __all__)
        raise lacking(f"module 'lightkeras' has no attribute {name!r}.{hint}")
    globals()[name] = value
    return value


def _load(name):
    with loading(f"lightkeras.{name}"):
        return importlib.import_module(f"lightkeras.{name}")


def __dir__():
    return __all__


find_old_paths()
