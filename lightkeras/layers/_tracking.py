"""Lists and dicts of layers set as attributes: their layers belong to the owner, as in Keras."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["TrackedDict", "TrackedList", "holds_layers", "tracked"]


class _Holder(torch.nn.Module):
    """Stands in the owner's modules for one list or dict; its children are the layers in it."""


def modules_in(value, prefix=""):
    """(key, module) of every module in nested lists, tuples and dicts."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        name = f"{prefix}{str(key).replace('.', '_')}"
        if isinstance(item, torch.nn.Module):
            yield name, item
        elif isinstance(item, (list, tuple, dict)):
            yield from modules_in(item, f"{name}_")


def holds_layers(value) -> bool:
    """Whether a container has a module anywhere in it."""
    return next(modules_in(value), None) is not None


class _Tracked:
    """Mixed into list and dict: after every change the owner's modules follow."""

    _owner: Any = None
    _attribute: Any = None

    def _follow(self, owner, attribute):
        self._owner, self._attribute = owner, attribute
        self._sync()
        return self

    def _sync(self):
        if self._owner is None:  # being copied or unpickled
            return
        found = dict(modules_in(self))
        holder = self._owner._modules.get(self._attribute)
        if holder is None and not found:
            return
        if not isinstance(holder, _Holder):
            holder = _Holder()
            self._owner._modules[self._attribute] = holder
        holder._modules.clear()
        holder._modules.update(found)

    def __reduce__(self):  # copies and pickles are plain: their owner tracks them anew
        kind = list if isinstance(self, list) else dict
        return kind, (kind(self),)  # type: ignore[call-overload]


def _syncing(base, name):
    original = getattr(base, name)

    def method(self, *args, **kwargs):
        result = original(self, *args, **kwargs)
        self._sync()
        return result

    method.__name__ = name
    return method


class TrackedList(_Tracked, list):
    """A list whose layers belong to the layer or model it was set on."""


class TrackedDict(_Tracked, dict):
    """A dict whose layers belong to the layer or model it was set on."""


for _base, _cls, _names in (
    (
        list,
        TrackedList,
        "append extend insert pop remove clear __setitem__ __delitem__ __iadd__ reverse sort",
    ),
    (dict, TrackedDict, "update pop popitem clear setdefault __setitem__ __delitem__ __ior__"),
):
    for _name in _names.split():
        setattr(_cls, _name, _syncing(_base, _name))


def tracked(owner, attribute, value):
    """`value` (list, tuple or dict) in a form that keeps its layers registered with `owner`."""
    if isinstance(value, list):
        return TrackedList(value)._follow(owner, attribute)
    if isinstance(value, dict):
        return TrackedDict(value)._follow(owner, attribute)
    holder = _Holder()
    holder._modules.update(modules_in(value))
    owner._modules[attribute] = holder
    return value
