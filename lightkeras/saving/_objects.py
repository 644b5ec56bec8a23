"""Objects as configs and configs as objects: layers, losses, optimizers, arrays, slices...

A config names classes. What a name may mean is decided by the static table of its slot and by
what the caller registered; nothing is imported, and no attribute is looked up, by a name that
came from a file.
"""

from __future__ import annotations

import numpy as np
import torch

from lightkeras import (
    _registry,
    activations,
    constraints,
    dtype_policies,
    initializers,
    losses,
    metrics,
    optimizers,
    regularizers,
)
from lightkeras._dtypes import dtype_name, torch_dtype
from lightkeras.layers import _table
from lightkeras.layers.preprocessing.feature_space import Cross, Feature
from lightkeras.optimizers import schedules
from lightkeras.random import SeedGenerator
from lightkeras.saving import _code
from lightkeras.saving._errors import LoadError, listed
from lightkeras.saving._operations import is_known

__all__ = ["check", "deserialize_keras_object", "model_from", "revive", "serialize_keras_object"]


_features = _registry.Table("feature", [Feature, Cross])
_random = _registry.Table("seed generator", [SeedGenerator], base=SeedGenerator)


def _slots():
    """{where Keras keeps the classes of a slot: its table}, the longest names first."""
    return {
        "layers.preprocessing.feature_space": _features,
        "optimizers.schedules": schedules._table,
        "dtype_policies": dtype_policies._table,
        "regularizers": regularizers._table,
        "initializers": initializers._table,
        "activations": activations._table,
        "constraints": constraints._table,
        "optimizers": optimizers._table,
        "metrics": metrics.table,
        "random": _random,
        "losses": losses.table,
        "layers": _table.table(),
        "models": _table.table(),
        "utils": _table.table(),
    }


# ---- to configs -------------------------------------------------------------------------------


def serialize_keras_object(obj):
    """The plain values (dicts, lists, numbers, strings) that stand for an object in a file.

    Args:
        obj: A layer, model, loss, optimizer...; a number, string, array, slice; containers of them.

    Raises:
        TypeError: an object has no `get_config`.

    >>> from lightkeras.initializers import Zeros
    >>> serialize_keras_object(Zeros())["class_name"], serialize_keras_object(slice(1, None))
    ('Zeros', {'class_name': '__slice__', 'config': {'start': 1, 'stop': None, 'step': None}})
    """
    if _registry.shared() is not None:  # a get_config on the way: the outermost call goes on
        return _as_config(obj)
    with _registry.sharing():
        config = _as_config(obj)
    return _encode(config)


def _as_config(obj):
    if isinstance(obj, (list, tuple)):
        return type(obj)(_as_config(item) for item in obj)
    plain = isinstance(obj, (bool, int, float, slice, bytes, np.ndarray, np.generic, torch.Tensor))
    return obj if plain or obj is Ellipsis else _registry.serialize(obj)


def _encode(value):
    """Plain values for whatever stands in a config; unknown objects stay, to be named later."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value if not isinstance(value, np.generic) else value.item()
    if isinstance(value, dict):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    special = _encode_special(value)
    if special is not None:
        return special
    if hasattr(value, "get_config") or hasattr(value, "__name__"):
        return _encode(_registry.serialize(value))
    return value


def _encode_special(value):
    if isinstance(value, slice):
        parts = {k: _encode(getattr(value, k)) for k in ("start", "stop", "step")}
        return {"class_name": "__slice__", "config": parts}
    if value is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(value, bytes):
        return {"class_name": "__bytes__", "config": {"value": value.decode("utf-8")}}
    if isinstance(value, (np.generic, np.ndarray)) and np.ndim(value) == 0:
        return value.item()
    if isinstance(value, (np.ndarray, torch.Tensor)):
        kind = "__numpy__" if isinstance(value, np.ndarray) else "__tensor__"
        stored = {"value": value.tolist(), "dtype": dtype_name(value.dtype)}
        return {"class_name": kind, "config": stored}
    if isinstance(value, (torch.dtype, np.dtype)):
        return dtype_name(value)
    return None


# ---- and back ---------------------------------------------------------------------------------


def deserialize_keras_object(config, custom_objects=None, safe_mode=True, **kwargs):
    """The object that `serialize_keras_object` described.

    Args:
        config: Its result.
        custom_objects: Classes and functions of one's own, by name.
        safe_mode: Whether stored Python code is refused.

    Raises:
        ValueError: a class is not known, or a config does not fit its class.

    >>> from lightkeras.initializers import Zeros
    >>> deserialize_keras_object(serialize_keras_object(Zeros())).get_config()
    {}
    """
    allowed = _registry.is_code_allowed() or not safe_mode
    with _registry.custom_object_scope(custom_objects or {}), _registry.code_allowed(allowed):
        return revive(config)


def revive(value, tensor=None):
    """The value that a part of a config stands for; `tensor` finds symbolic tensors by history."""
    if isinstance(value, list):
        return [revive(item, tensor) for item in value]
    if isinstance(value, str) or not isinstance(value, dict):
        return value if not isinstance(value, tuple) else tuple(revive(v, tensor) for v in value)
    if "class_name" not in value or "config" not in value:
        return {key: revive(item, tensor) for key, item in value.items()}
    name, config = value["class_name"], value["config"]
    if name in _SPECIAL:
        return _SPECIAL[name](config, tensor)
    if name == "__lambda__":
        return _code.load(value)
    if name == "function":
        return _function(config)
    return _slot_of(value).deserialize(value)


def _keras_tensor(config, tensor):
    if tensor is None:
        raise ValueError(
            "The config holds a symbolic tensor outside a model. It stands for the output of a "
            "layer of the same graph. Store the model."
        )
    return tensor(config["keras_history"])


def _slice(config, tensor):
    return slice(*(revive(config[k], tensor) for k in ("start", "stop", "step")))


_SPECIAL = {
    "__keras_tensor__": _keras_tensor,
    "__slice__": _slice,
    "__ellipsis__": lambda config, tensor: Ellipsis,
    "__bytes__": lambda config, tensor: config["value"].encode("utf-8"),
    "__numpy__": lambda config, tensor: np.array(config["value"], dtype=config["dtype"]),
    "__tensor__": lambda config, tensor: torch.tensor(
        config["value"], dtype=torch_dtype(config["dtype"])
    ),
}


def _function(name):
    """A function by the name that it is stored under, of whatever slot."""
    found = _registry.lookup_custom(name)
    for table in () if found is not None else _slots().values():
        entry = table.entries.get(name)
        if callable(entry) and not isinstance(entry, type):
            return entry
    if found is None:
        raise _registry.unknown("function", name, activations._table.entries)
    return found


def _slot_of(config):
    """The table that a stored object's module belongs to; that of layers for one's own classes."""
    module = f"{config.get('module')}."
    slots = _slots()
    found = next((table for part, table in slots.items() if f".{part}." in module), None)
    if found is not None:
        return found
    name = config["class_name"]
    if name == "DTypePolicy":
        return slots["dtype_policies"]
    custom = _registry.lookup_custom(name, config.get("registered_name"))
    for table in slots.values() if isinstance(custom, type) else ():
        if table.base and issubclass(custom, table.base):
            return table
    if custom is not None:
        return _registry.Table("object", [custom])
    return slots["layers"]


# ---- before anything is made ------------------------------------------------------------------


def check(config, where):
    """Refuse a config with code in it, or with classes that nobody knows, all of them at once.

    Args:
        config: The parsed JSON.
        where: The file, for errors.

    Raises:
        LoadError: it holds such things.
    """
    own, foreign = {}, {}
    for value in _objects_in(config):
        name = value["class_name"]
        if _code.is_code(value):
            if not _registry.is_code_allowed():
                raise _code.refusal(where)
        elif name == "TorchModuleWrapper" and (value["config"] or {}).get("module") is not None:
            raise LoadError(
                f"{where} holds a torch module as a pickle, which could run anything. It is never "
                "loaded. Make the module in Python, and load_weights() into it."
            )
        elif not isinstance(name, str):
            raise LoadError(
                f"{where} names a class by a {type(name).__name__}. A class name is a string. "
                "Save the model again."
            )
        elif name not in _SPECIAL and not _is_known(value, name):
            module = str(value.get("module"))
            unknown = foreign if module.split(".")[0] in ("keras", "lightkeras") else own
            unknown.setdefault(str(value["config"]) if name == "function" else name, module)
    if foreign:
        names = [f"{name} of {module}" for name, module in foreign.items()]
        trains = any(slot in " ".join(names) for slot in ("optimizers", "losses", "metrics"))
        raise LoadError(
            f"{where} needs classes that lightkeras does not have: {listed(names)}. Give classes "
            "of "
            f'your own for them: load_model(..., custom_objects={{"{next(iter(foreign))}": ...}})'
            f"{', or leave compile() out with compile=False' if trains else ''}."
        )
    if own:
        entries = ", ".join(f'"{name}": {str(name).rpartition(">")[2]}' for name in list(own)[:10])
        reader = "model_from_json" if where == "The text" else "load_model"
        raise LoadError(
            f"{where} needs classes or functions of your own: {listed(own, 10)}. They are not in "
            f"the file. Type {reader}(..., custom_objects={{{entries}}}), or register them "
            "first."
        )


def _objects_in(config):
    todo = [config]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            if "class_name" in value and "config" in value:
                yield value
            todo += value.values()
        elif isinstance(value, list):
            todo += value


def _is_known(value, name):
    if name == "function":
        stored = value["config"]
        known = isinstance(stored, str) and any(stored in t.entries for t in _slots().values())
        return known or _registry.lookup_custom(stored) is not None
    try:
        ours = _registry.is_ours(value)
    except ValueError as error:
        raise LoadError(str(error)) from None
    module = str(value.get("module"))
    if not ours or _registry.lookup_custom(name, value.get("registered_name")) is not None:
        return _registry.lookup_custom(name, value.get("registered_name")) is not None
    if module.startswith("keras.src.ops."):
        return is_known(value)
    return name in _slot_of(value).entries


def model_from(config, custom_objects=None, safe_mode=True, where="The config"):
    """The model of a parsed config.

    Raises:
        LoadError: it is none, or cannot be made.
    """
    if not isinstance(config, dict) or "class_name" not in config:
        raise LoadError(
            f"{where} holds no model: it is a {type(config).__name__} without a class name. What "
            "save() and to_json() write is read. Save the model again."
        )
    allowed = not safe_mode
    with _registry.custom_object_scope(custom_objects or {}), _registry.code_allowed(allowed):
        check(config, where)
        try:
            with _registry.sharing():
                model = _table.table().deserialize(config)
        except LoadError:
            raise
        except _BROKEN as error:
            raise LoadError(
                f"{where} describes a model that cannot be made. {_said(error)} Save it again, or "
                "correct the class that raised this."
            ) from error
    if not hasattr(model, "save"):
        raise LoadError(
            f"{where} holds a {type(model).__name__} and no model. Layers are read by "
            "layers.deserialize(config). Save a model."
        )
    return model


_BROKEN = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
)


def _said(error):
    text = " ".join(str(error).split())[:600]
    plain = isinstance(error, (ValueError, TypeError)) and text.endswith(".")
    return text if plain else f"{type(error).__name__}: {text}."
