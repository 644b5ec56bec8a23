"""Models and weights in files; objects as configs."""

from lightkeras._older import old_names
from lightkeras._registry import (
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from lightkeras.saving._errors import LoadError
from lightkeras.saving._models import load_model, save_model
from lightkeras.saving._objects import deserialize_keras_object, serialize_keras_object
from lightkeras.saving._weights import load_weights, save_weights

__all__ = [
    "CustomObjectScope",
    "LoadError",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]

CustomObjectScope = custom_object_scope

__getattr__ = old_names(__name__)
