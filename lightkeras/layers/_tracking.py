"""Lists and dicts of layers set as attributes: their layers belong to the owner, as in Keras."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["TrackedDict", "TrackedList", "holds_layers", "tracked"]


class _Holder(torch.nn.Module):
    """Stands in the owner's modules for one list or dict; its children are the layers in it."""


def modules_in(value, prefix=""):
    """(key, module) of every module in nested lists, tuples and dicts."""
    for key, item in _items(value):
        name = f"{prefix}{str(key).replace('.', '_')}"
        if isinstance(item, torch.nn.Module):
            yield name, item
        elif isinstance(item, (list, tuple, dict)):
            yield from modules_in(item, f"{name}_")


def _items(value):
    return value.items() if isinstance(value, dict) else enumerate(value)


def holds_layers(value) -> bool:
    """Whether a container has a module anywhere in it."""
    return next(modules_in(value), None) is not None


def _matters(item):
    """Whether an item is a module, or a container that has one or may yet get one."""
    if isinstance(item, (list, tuple, dict)):
        return not item or holds_layers(item)
    return isinstance(item, torch.nn.Module)


class _Tracked:
    """Mixed into list and dict: after every change the owner's modules follow."""

    _owner: Any = None
    _attribute: Any = None
    _root: Any = None  # the container that is the attribute; None in itself

    def _follow(self, owner, attribute, root=None):
        self._owner, self._attribute, self._root = owner, attribute, root
        base: Any = list if isinstance(self, list) else dict
        whole = self if root is None else root
        for key, item in list(_items(self)):
            if type(item) in (list, dict) and _matters(item):
                kind = TrackedList if type(item) is list else TrackedDict
                base.__setitem__(self, key, kind(item)._follow(owner, attribute, whole))
        if root is None:
            self._sync()
        return self

    def _changed(self, *new):
        """After a change; `new` is what came in."""
        owner = self._owner
        if owner is None:  # being copied or unpickled
            return
        # A log of numbers is not walked with every number.
        if self._attribute in owner._modules or any(_matters(item) for item in new):
            self._follow(owner, self._attribute, self._root)
            if self._root is not None:
                self._root._sync()

    def _sync(self):
        found = dict(modules_in(self))
        holder = self._owner._modules.get(self._attribute)
        if holder is None and not found:
            return
        if not isinstance(holder, _Holder):
            holder = _Holder()
            self._owner._modules[self._attribute] = holder
        holder._modules.clear()
        holder._modules.update(found)
        self._owner._note()

    def __reduce__(self):  # copies and pickles are plain: their owner tracks them anew
        kind = list if isinstance(self, list) else dict
        return kind, (kind(self),)  # type: ignore[call-overload]


def _syncing(base, name):
    original = getattr(base, name)

    def method(self, *args, **kwargs):
        result = original(self, *args, **kwargs)
        self._changed(*args, *kwargs.values())
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
    owner._note()
    return value
