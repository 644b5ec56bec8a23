"""Layers, one file per topic."""

from lightkeras.layers._layer import Layer
from lightkeras.layers._spec import InputSpec
from lightkeras.layers.core import Dense, Identity, Input, InputLayer, Lambda, TorchModuleWrapper

__all__ = [
    "Dense",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "Lambda",
    "Layer",
    "TorchModuleWrapper",
]
