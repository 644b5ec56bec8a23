"""Layers that stand inside another: built under its name, and read from its config."""

from __future__ import annotations

from lightkeras._graph import KerasTensor, output_spec
from lightkeras.layers._layer import Layer
from lightkeras.layers._table import deserialize
from lightkeras.layers._weights import named

__all__ = ["build_inside", "layers_from"]


def build_inside(layer, *shapes):
    """Build `layer` for inputs of these shapes, as its owner is built; once."""
    if layer.built:
        return
    with named(layer.name, layer):
        if layer._builds_by_running:
            dtype = layer.compute_dtype
            output_spec(layer, tuple(_symbolic(shape, dtype) for shape in shapes), {})
        else:
            layer.build(shapes[0])


def _symbolic(shape, dtype):
    if isinstance(shape, list):
        return [_symbolic(s, dtype) for s in shape]
    return KerasTensor(shape, dtype)


def layers_from(configs):
    """Layers for a list of configs, or one layer for one; layers are returned as they are."""
    if isinstance(configs, (list, tuple)):
        return [layers_from(config) for config in configs]
    return configs if isinstance(configs, Layer) else deserialize(configs)
