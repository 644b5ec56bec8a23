"""Whole models in `.keras` files: architecture, weights, compile arguments, optimizer."""

from __future__ import annotations

import datetime
import io
import math
import os
import warnings

import torch

from lightkeras import __version__, _registry
from lightkeras.saving import _h5, _json, _objects, _walk, _zip
from lightkeras.saving._errors import LoadError
from lightkeras.saving._weights import Reader, groups_of, opened, written_instead
from lightkeras.saving._write import check_target, is_another_writing, replacing

__all__ = ["load_model", "save_model"]

# Written for whoever wonders; Keras reads files of any version. The format is that of Keras 3.15.
_FORMAT = "3.15.1"
# What a model may want beyond what its file holds: weights that a class stores in its own way.
_SLACK = 2**26


def save_model(model, filepath, overwrite=True, zipped=None, **kwargs):
    """Write a model to a `.keras` file, which Keras can open, too.

    The file is written beside its target and then put in its place: an interrupted save leaves
    the old file. Of several processes that train one model, the first one writes.

    Args:
        model: The model.
        filepath: Ends in `.keras`. Missing folders are made.
        overwrite: Whether an existing file may be replaced.
        zipped: Kept for Keras's sake; files are always archives.
        include_optimizer: Whether the optimizer's state is written.

    Raises:
        ValueError: the ending is not known, or Keras's files have no name for an operation.
        TypeError: a config holds what a file cannot hold.
        FileExistsError: the file exists and `overwrite` is false.
    """
    name, optimizer = os.fspath(filepath), kwargs.pop("include_optimizer", True)
    old = kwargs.pop("save_format", "keras")
    if kwargs:
        raise TypeError(
            f"save() got an unexpected argument {next(iter(kwargs))!r}."
            f"{_registry.did_you_mean(next(iter(kwargs)), ['overwrite', 'include_optimizer'])} "
            "Accepted: overwrite, include_optimizer."
        )
    if not name.endswith(".keras") or old not in ("keras", None) or zipped is False:
        raise ValueError(
            f"save() got {name!r}{f' and save_format={old!r}' if old != 'keras' else ''}. The "
            "file's name "
            'ends in .keras. Type model.save("model.keras"), or save_weights() for weights only.'
        )
    if not model.built:
        warnings.warn(
            f"{model.name!r} is saved without weights: it is not built. Call it on data, or build "
            "it, before saving.",
            stacklevel=3,
        )
    path = check_target(filepath, overwrite)
    if is_another_writing():
        return
    contents = _contents(model, optimizer)
    with replacing(path) as beside:
        _zip.write(beside, contents)


def _contents(model, optimizer):
    """{member: bytes} of the archive."""
    config = _objects.serialize_keras_object(model)
    if not optimizer:
        config.pop("compile_config", None)
    text = _json.text_of(config)
    if '"__lambda__"' in text:
        warnings.warn(
            f"The file of {model.name!r} holds the code of a lambda. It loads only with "
            "safe_mode=False. A named function, given to load_model as custom_objects, loads "
            "always.",
            stacklevel=4,
        )
    metadata = {
        "keras_version": _FORMAT,
        "date_saved": datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
        "lightkeras_version": __version__,
    }
    weights = io.BytesIO()
    _h5.write(weights, groups_of(model, optimizer))
    return {
        _zip.METADATA: _json.text_of(metadata).encode(),
        _zip.CONFIG: text.encode(),
        _zip.WEIGHTS: weights.getbuffer(),
        **_vocabularies(model),
    }


def _vocabularies(model):
    """{member: bytes} of the vocabularies that stand in files of their own."""
    layers = [(e.path, e.owner) for e in _walk.entries(model) if _has_vocabulary(e.owner)]
    texts = {_zip.vocabulary_at(path): layer._vocabulary_text() for path, layer in layers}
    return {member: text.encode() for member, text in texts.items() if text is not None}


def _has_vocabulary(layer):
    return hasattr(layer, "_load_vocabulary_text")


def _load_vocabularies(model, data, where):
    """Give the layers of a model the vocabularies that were stored beside their weights."""
    layers = {
        _zip.vocabulary_at(entry.path): entry.owner
        for entry in _walk.entries(model)
        if _has_vocabulary(entry.owner)
    }
    for member, stored in data.items():
        if member not in layers:
            raise LoadError(
                f"{where} holds {member}, which belongs to no layer of the model. Vocabularies are "
                "those of its StringLookup, IntegerLookup and TextVectorization layers. Save the "
                "model again."
            )
        try:
            layers[member]._load_vocabulary_text(stored.decode("utf-8"))
        except (ValueError, TypeError, OverflowError, RuntimeError) as error:
            raise LoadError(f"{where}: {member} cannot be used. {error}") from None


def load_model(filepath, custom_objects=None, compile=True, safe_mode=True):
    """The model in a `.keras` file, written by us or by Keras.

    Nothing in the file is run or imported: classes come from a fixed table and from
    `custom_objects`.

    Args:
        filepath: The file.
        custom_objects: Classes and functions of one's own, by name; needed where they were not
            registered with `register_keras_serializable`.
        compile: Whether the model is compiled as it was, with the optimizer's state.
        safe_mode: Whether stored Python code (lambdas) is refused.

    Raises:
        LoadError: the file is damaged, is no model, or needs classes that are not known.
        FileNotFoundError: there is no such file.

    >>> import os, tempfile
    >>> from lightkeras import layers, models
    >>> model = models.Sequential([layers.Input((4,)), layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(os.path.join(folder, "model.keras"))
    ...     load_model(os.path.join(folder, "model.keras")).output_shape
    (None, 2)
    """
    filepath = written_instead(filepath, (".keras",))
    where = os.fspath(filepath)
    if not where.endswith(".keras"):
        raise LoadError(
            f"load_model() got {where!r}. A whole model is in a .keras file. For weights only "
            "(.weights.h5, .safetensors) make the model and type model.load_weights(...)."
        )
    with opened(filepath, 22) as file:  # the size of an empty archive
        if file.read(2) != b"PK":
            raise LoadError(
                f"{where} exists and is no .keras archive (a zip file). It is damaged, or was "
                "renamed. Weights alone are loaded with model.load_weights(...)."
            )
        data = _zip.members(file, where, [_zip.CONFIG, _zip.METADATA, _zip.WEIGHTS], True)
    data.pop(_zip.METADATA)
    config = _json.parse(data.pop(_zip.CONFIG), f"{where}: config.json")
    if not compile and isinstance(config, dict):
        config["compile_config"] = None
    with _h5.opened(io.BytesIO(data.pop(_zip.WEIGHTS)), where) as h5:
        reader = Reader(h5, where)
        with _registry.weights_from(_Unfilled(reader.nbytes + _SLACK, where)):
            model = _objects.model_from(config, custom_objects, safe_mode, where)
        reader.load(model)
    _load_vocabularies(model, data, where)
    return model


class _Unfilled:
    """Makes weights without values, until they are more than the file has."""

    def __init__(self, budget, where):
        self.budget, self.where = budget, where

    def __call__(self, shape, dtype):
        self.budget -= math.prod(shape) * dtype.itemsize
        if self.budget < 0 or any(size < 0 for size in shape):
            raise LoadError(
                f"{self.where}: config.json wants a weight of shape {tuple(shape)}, more than "
                "model.weights.h5 holds. The two do not belong together. Save the model again."
            )
        return torch.empty(shape, dtype=dtype)
