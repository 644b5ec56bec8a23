"""Layers as configs: the table of what a file may name, and what reading one means."""

from __future__ import annotations

import importlib

from lightkeras import _registry
from lightkeras._config import accepted
from lightkeras._operation import Operation
from lightkeras._registry import is_ours
from lightkeras.layers._layer import Layer

__all__ = ["deserialize", "register", "serialize", "table"]


class _LayerTable(_registry.Table):
    """Layers and models. Beside its arguments a stored layer has shapes and what it shares."""

    def deserialize(self, config, custom_objects=None, build=True):
        if not isinstance(config, dict) or "class_name" not in config:
            raise TypeError(
                f"The config of a layer is a dict with 'class_name' and 'config', got "
                f"{type(config).__name__}. Pass what layers.serialize(layer) returns."
            )
        number, seen = ("read", config.get("shared_object_id")), _registry.shared()
        if seen is not None and number in seen:
            return seen[number]
        layer = super().deserialize(self._known(config), custom_objects)
        if seen is not None and number[1] is not None:
            seen[number] = layer
        if build and config.get("build_config") and not layer.built:
            layer.build_from_config(config["build_config"])
        if config.get("compile_config") and hasattr(layer, "compile_from_config"):
            with _registry.custom_object_scope(custom_objects or {}):
                layer.compile_from_config(config["compile_config"])
        return layer

    def _known(self, config):
        """A config without arguments of Keras that are not set and that a class of ours lacks."""
        cls, given = self.entries.get(config["class_name"]), config.get("config")
        if cls is None or not isinstance(given, dict) or not is_ours(config):
            return config
        names, closed = accepted(cls)
        unset = {k for k, v in given.items() if v is None and k not in names} if closed else ()
        return {**config, "config": {k: v for k, v in given.items() if k not in unset}}


_table: _LayerTable | None = None
_above: dict[str, type] = {}  # what `register` was given


def table():
    """The table of all layer classes, made when it is first asked for."""
    global _table
    if _table is None:
        from lightkeras import layers

        classes = [getattr(layers, name) for name in layers.__all__]
        classes = [c for c in classes if isinstance(c, type) and issubclass(c, Layer)]
        # an Operation of the user's own may stand in a graph, too
        _table = _LayerTable("layer", classes, base=(Layer, Operation))
        # files use class names only
        _table.entries = {getattr(c, "_exported_as", c.__name__): c for c in classes}
        importlib.import_module("lightkeras.layers.preprocessing.feature_space")
        importlib.import_module("lightkeras.models")  # all these register themselves
        _table.entries.update(_above)
    return _table


def register(name, cls):
    """Add a class that lives above layers (a model) under the name that files use."""
    _above[name] = cls  # the table is not made for it: modules are still being imported
    if _table is not None:
        _table.entries[name] = cls


def serialize(layer):
    """The config of a layer or model, with the shapes it was built for.

    >>> from lightkeras import layers
    >>> config = layers.serialize(layers.Dense(3, name="out"))
    >>> config["class_name"], config["config"]["units"]
    ('Dense', 3)
    """
    return _registry.serialize(layer)


def deserialize(config, custom_objects=None):
    """The layer or model that a config describes, with fresh weights.

    Args:
        config: What `serialize` returned.
        custom_objects: Classes and functions of one's own, by name.

    Raises:
        ValueError: the class is not known, or the config does not fit it.

    >>> from lightkeras import layers
    >>> layers.deserialize(layers.serialize(layers.Dense(3))).units
    3
    """
    return table().deserialize(config, custom_objects)
