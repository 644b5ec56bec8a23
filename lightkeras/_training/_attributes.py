"""What a step of the user's own keeps in attributes: numbers, tensors, lists and dicts of them."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from lightkeras._training._backup import packed
from lightkeras._tree import flatten, map_structure

__all__ = ["changed", "marks", "set_attributes"]

_OURS = ("lightkeras.", "torch.")  # where classes come from that keep nothing there
_KNOWN = ("_", "stop_", "training", "built")  # attributes that others look after


def marks(model):
    """{name: mark} of such attributes; a mark is another one when the value has changed."""
    return {name: _mark(value) for name, value in _attributes(model)}


def changed(model, before):
    """{name: (value, whether it is on a device)} of those that are not as when `marks` gave
    `before`.
    """
    values = {n: v for n, v in _attributes(model) if n not in before or _mark(v) != before[n]}
    return {name: _kept(value, name) for name, value in values.items()}


def _kept(value, name):
    tensors = [v for v in flatten(value) if isinstance(v, torch.Tensor)]
    copied = map_structure(lambda v: v.clone() if isinstance(v, torch.Tensor) else v, value)
    return packed(copied, name), any(t.device.type != "cpu" for t in tensors)


def set_attributes(model, values, device):
    """Set attributes to what `changed` gave."""
    for path, (value, moves) in values.items():
        owner, _, name = path.rpartition(".")
        if moves:
            value = map_structure(
                lambda v: v.to(device) if isinstance(v, torch.Tensor) else v, value
            )
        setattr(model.get_submodule(owner), name, value)


def _attributes(model):
    """(path, value) of the model and of layers of the user's own."""
    for path, module in model.named_modules():
        if module is model or not type(module).__module__.startswith(_OURS):
            for name, value in vars(module).items():
                if not name.startswith(_KNOWN) and _is_plain(value):
                    yield f"{path}.{name}" if path else name, value


def _is_plain(value):
    if isinstance(value, (list, tuple)):  # or what a layer makes of one, to find layers in it
        return not hasattr(value, "_fields") and all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, [*value, *value.values()]))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biufc"
    return value is None or type(value) in (bool, int, float, str, torch.Tensor)


def _mark(value):
    """Something small that can be compared."""
    if isinstance(value, dict):
        return {name: _mark(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mark(item) for item in value]
    if isinstance(value, torch.Tensor):  # the count goes up when it is changed in its place
        return id(value), None if value.is_inference() else value._version
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value)).digest()
    return value
