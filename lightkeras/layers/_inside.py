"""Layers that stand inside another: built under its name, and read from its config."""

from __future__ import annotations

from lightkeras._graph import KerasTensor, output_spec
from lightkeras._registry import Table
from lightkeras.layers._layer import Layer
from lightkeras.layers._weights import named

__all__ = ["build_inside", "layers_from"]


def build_inside(layer, *shapes):
    """Build `layer` for inputs of these shapes, as its owner is built; once."""
    if layer.built:
        return
    with named(layer.name):
        if layer._builds_by_running:
            dtype = layer.compute_dtype
            output_spec(layer, tuple(KerasTensor(s, dtype) for s in shapes), {})
        else:
            layer.build(shapes[0])


def layers_from(configs):
    """Layers for a list of configs, or one layer for one; layers are returned as they are."""
    if isinstance(configs, (list, tuple)):
        return [layers_from(config) for config in configs]
    return configs if isinstance(configs, Layer) else _table().get(configs)


def _table():
    from lightkeras import layers  # the classes of all topics: known once the package is loaded

    found = (getattr(layers, name) for name in layers.__all__)
    classes = [c for c in found if isinstance(c, type) and issubclass(c, Layer)]
    return Table("layer", classes, base=Layer)
