"""What Python holds that a recorded step has built in: noticed when it changes, and put back.

A recording keeps numbers, switches and functions as they were. So the attributes of all that takes
part in a step are looked through, with what the user's functions find in closures and globals.
"""

from __future__ import annotations

import functools
import pickle
import sys
import types
from collections import deque
from operator import attrgetter
from typing import Any

import numpy as np
import torch

from lightkeras._rng import KINDS
from lightkeras.initializers import Initializer
from lightkeras.optimizers.schedules import LearningRateSchedule
from lightkeras.random import SeedGenerator

__all__ = ["Calls", "Watch"]

_ATOMS = (bool, int, float, complex, str, bytes, np.generic, torch.dtype, torch.device)
_OPAQUE = (torch.Tensor, Initializer, LearningRateSchedule, torch.layout, torch.memory_format)
_KNOWN = {"torch", "torchmetrics", "torchvision", "lightning", "lightning_utilities", "numpy"}
_KNOWN |= {"pandas", "scipy", "sklearn", "matplotlib", "triton", *sys.stdlib_module_names}
_NOT_USERS = _KNOWN | {"lightkeras"}  # the standard library has `builtins`
_MOST_BYTES = 2**20  # of an array, which is compared as a whole
_MOST = 20_000  # objects
# Attributes that no step depends on, or that it is given anew: of modules, models, others of ours.
_OF_MODULES = {
    *("_added_losses", "_inbound_nodes", "_build_shapes", "_graph_keys", "_came", "_rows", "_path"),
    *("_captured", "_name", "dtype_policy", "input_spec", "_initial_weights"),
    *("_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks"),
    *("_load_state_dict_post_hooks", "_non_persistent_buffers_set", "_forward_hooks_with_kwargs"),
    *("_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs", "_backward_pre_hooks"),
}
_OF_MODELS = {"_plan", "_step_logs", "_compiled", "history", "stop_training", "_attached"}
_OF_MODELS |= {"stop_evaluating", "stop_predicting"}
_OF_OTHERS = {
    *("_captured", "_index", "_views", "_paths", "_source", "_place", "_probe", "_sparse"),
    *("_uniform", "state", "defaults", "_undecayed_ids", "_aggregations"),
}
_OF_GROUPS = {"lr", "iterations", "params"}  # of an optimizer


class Watch:
    """Remembers the Python values that can be reached from some objects.

    Args:
        roots: `{name: object}`.
        ran: The code objects that have run: functions with others are passed over. None: all are
            looked into, and what cannot be watched is passed over.

    Raises:
        TypeError: something is in reach that cannot be watched; the text says what and where.

    >>> class Settings:
    ...     rate = None
    >>> settings = Settings()
    >>> settings.rate = 0.5
    >>> watch = Watch({"settings": settings})
    >>> watch.changed()
    >>> settings.rate = 0.25
    >>> watch.changed()
    'settings.rate'
    >>> watch.put_back()
    >>> settings.rate
    0.5
    """

    def __init__(self, roots, ran=None):
        self._ran, self._seen = ran, {}
        self._places, self._arrays, self._generators = [], [], []
        self._empty, self._were_empty = [], []  # containers without anything: most of them
        for name, value in roots.items():
            self._walk(value, name)

    def changed(self):
        """What has changed, like "'dense'.rate"; None: nothing."""
        for place in self._places:
            if [*map(id, place.read())] != place.ids and (where := place.difference()):
                return where
        if any(self._empty):
            return next(place.difference() for place in self._were_empty if place.owner)
        for array, kept, where in self._arrays:
            if array.tobytes() != kept:
                return where
        return None

    def drawn(self):
        """The generator of random numbers that has been drawn from; None: none."""
        for item, read, _, kept, where in self._generators:
            if pickle.dumps(read(item)) != pickle.dumps(kept):
                return where
        return None

    def put_back(self):
        """Give all of it the values it had."""
        for place in (*self._places, *self._were_empty):
            place.put_back()
        for array, kept, _ in self._arrays:
            if array.tobytes() != kept:
                array[...] = np.frombuffer(kept, array.dtype).reshape(array.shape)
        for item, _, write, kept, _ in self._generators:
            write(item, kept)

    # ---- looking around -----------------------------------------------------------------------

    def _walk(self, value, where):
        if value is None or isinstance(value, _ATOMS) or id(value) in self._seen:
            return
        self._seen[id(value)] = value  # held, so that no other object gets this id
        if len(self._seen) > _MOST:
            return self._refuse(f"{where} leads to more than {_MOST} Python objects")
        kind = next((k for k in KINDS if isinstance(value, k[0])), None)
        if kind is not None and not isinstance(value, SeedGenerator):  # it is plain numbers
            self._generators.append((value, *kind[1:], kind[1](value), where))
        if isinstance(value, _OPAQUE):
            return
        for kinds, walk in _WALKS:
            if isinstance(value, kinds):
                return walk(self, value, where)
        self._object(value, where)

    def _refuse(self, text):
        if self._ran is not None:
            raise TypeError(text)

    def _place(self, place):
        if isinstance(place.owner, (list, dict, set)) and not place.owner:
            self._empty.append(place.owner)
            self._were_empty.append(place)
            return
        self._places.append(place)
        for key, value in place.kept.items():
            self._walk(value, place.where(key))

    def _array(self, value, where):
        if value.nbytes > _MOST_BYTES or value.dtype.hasobject:
            return self._refuse(f"{where} is a NumPy array, and too large to be compared")
        self._arrays.append((value, value.tobytes(), where))

    def _mapping(self, value, where):
        group = _OF_GROUPS if value.keys() >= _OF_GROUPS else ()
        self._place(_Dict(value, f"{where}[{{!r}}]", group))

    def _list(self, value, where):
        self._place(_List(value, f"{where}[{{!r}}]"))

    def _fixed(self, value, where):
        for i, item in enumerate(value):
            self._walk(item, f"{where}[{i}]")

    def _set(self, value, where):
        self._place(_Set(value, where))

    def _function(self, value, where):
        code = value.__code__
        if self._ran is not None and code not in self._ran:
            return
        for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
            self._place(_Cell(cell, f"{name!r} of {value.__name__}()"))
        for item in (value.__defaults__, value.__kwdefaults__):
            self._walk(item, f"a default of {value.__name__}()")
        if _is_users(value.__module__):
            self._names(value.__globals__, _names(code), f"{{}} of {value.__module__}")

    def _names(self, known, names, where):
        """Those of the global names in `names` that stand for values."""
        found = [n for n in names if n in known]
        self._place(_Names(known, found, where))
        for name in found:
            module = known[name]
            if id(module) in self._seen or not isinstance(module, types.ModuleType):
                continue
            if _is_users(module.__name__):
                self._seen[id(module)] = module
                self._names(vars(module), names, f"{{}} of {module.__name__}")

    def _method(self, value, where):
        self._walk(value.__self__, where)
        self._walk(value.__func__, where)

    def _partial(self, value, where):
        for item in (value.func, value.args, value.keywords):
            self._walk(item, where)

    def _class(self, value, where):
        for cls in value.__mro__:
            if not _is_users(cls.__module__):
                continue
            own = [k for k in vars(cls) if not k.startswith("__") or k == "__call__"]
            self._place(_Names(vars(cls), own, f"{cls.__name__}.{{}}", cls))

    def _wrapped(self, value, where):
        for name in ("fget", "__func__", "func"):
            self._walk(getattr(value, name, None), where)

    def _object(self, value, where):
        cls = type(value)
        if hasattr(cls, "__next__"):
            return self._refuse(f"{where} is an iterator, which each step may move on")
        self._class(cls, where)
        slots = [s for c in cls.__mro__ for s in _slots(c) if hasattr(value, s)]
        if slots:
            self._place(_Slots(value, slots, f"{where}.{{}}"))
        module = isinstance(value, torch.nn.Module)
        known = cls.__module__.partition(".")[0] in _KNOWN
        simple = cls.__module__ in ("types", "argparse", "optparse")  # namespaces
        if hasattr(value, "__dict__") and (module or simple or not (known or _is_apart(cls))):
            named = f"{getattr(value, 'name', None) or where!r}.{{}}" if module else f"{where}.{{}}"
            self._place(_Dict(vars(value), named, _ignored(value, cls)))
        return None


def _ignored(value, cls):
    """Attributes that do not matter."""
    if isinstance(value, torch.nn.Module):
        return _OF_MODULES | _OF_MODELS if hasattr(value, "_run_step") else _OF_MODULES
    ours = any(c.__module__.startswith("lightkeras.") for c in cls.__mro__)
    return _OF_OTHERS if ours else ()


def _is_users(module):
    """Whether a module, by its name, is none of those that are known to keep nothing."""
    return (module or "").partition(".")[0] not in _NOT_USERS


def _is_apart(cls):
    """Of ours, what no step looks at."""
    return cls.__module__.startswith(("lightkeras.callbacks", "lightkeras._graph"))


def _slots(cls):
    slots = vars(cls).get("__slots__", ())
    slots = [slots] if isinstance(slots, str) else slots
    known = not _is_users(cls.__module__)
    return [] if known else [s for s in slots if s not in ("__dict__", "__weakref__")]


@functools.cache
def _names(code):
    """Global names in a function's code, and in that of functions inside it."""
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return tuple(dict.fromkeys([*code.co_names, *(n for c in inner for n in _names(c))]))


_WALKS: list[tuple[Any, Any]] = [
    (np.ndarray, Watch._array),
    (dict, Watch._mapping),
    ((list, deque), Watch._list),
    ((tuple, frozenset), Watch._fixed),
    (set, Watch._set),
    (types.FunctionType, Watch._function),
    (types.MethodType, Watch._method),
    (functools.partial, Watch._partial),
    (type, Watch._class),
    ((property, staticmethod, classmethod, functools.cached_property), Watch._wrapped),
    ((types.BuiltinFunctionType, types.ModuleType), lambda *_: None),
]


# ---- places -------------------------------------------------------------------------------------


class _Place:
    """Where values stand: `read` gives them as they are now, `kept` as they were, by their keys."""

    read: Any

    def __init__(self, owner, template):
        self.owner, self.template = owner, template
        self.kept = self.now()
        self.ids = [*map(id, self.read())]

    def where(self, key):
        return self.template.format(key)

    def now(self):
        return dict(enumerate(self.read()))

    def difference(self):
        """The first place with another value; an equal number in a new object is the same."""
        now = self.now()
        for key in [*now, *self.kept]:
            if key not in now or key not in self.kept or not _equal(now[key], self.kept[key]):
                return self.where(key)
        self.kept, self.ids = now, [*map(id, self.read())]
        return None

    def put_back(self):
        pass


class _Dict(_Place):
    def __init__(self, owner, template, ignored=()):
        self.ignored, self.read = ignored, owner.values
        super().__init__(owner, template)

    def now(self):
        return {k: v for k, v in self.owner.items() if k not in self.ignored}

    def put_back(self):
        kept = {**{k: v for k, v in self.owner.items() if k in self.ignored}, **self.kept}
        dict.clear(self.owner)
        dict.update(self.owner, kept)


class _List(_Place):
    def __init__(self, owner, template):
        self.read = owner.__iter__
        super().__init__(owner, template)

    def put_back(self):
        if isinstance(self.owner, list):
            list.__setitem__(self.owner, slice(None), list(self.kept.values()))
        else:
            self.owner.clear()
            self.owner.extend(self.kept.values())


class _Set(_List):
    def put_back(self):
        self.owner.clear()
        self.owner.update(self.kept.values())


class _Cell(_Place):
    def read(self):
        try:
            return (self.owner.cell_contents,)
        except ValueError:  # empty
            return ()

    def put_back(self):
        for value in self.kept.values():
            self.owner.cell_contents = value


class _Names(_Place):
    """Some names of a module or class."""

    def __init__(self, owner, names, template, cls=None):
        self.names, self.cls = names, cls
        super().__init__(owner, template)

    def read(self):
        return [self.owner.get(name) for name in self.names]

    def where(self, key):
        return self.template.format(self.names[key])

    def put_back(self):
        for name, value in zip(self.names, self.kept.values(), strict=True):
            if self.owner.get(name) is value:
                continue
            if self.cls is None:
                self.owner[name] = value
            else:
                setattr(self.cls, name, value)


class _Slots(_Place):
    def __init__(self, owner, names, template):
        self.names, self._read = names, attrgetter(*names, "__class__")
        super().__init__(owner, template)

    def read(self):
        return self._read(self.owner)

    def where(self, key):
        return self.template.format([*self.names, "__class__"][key])

    def put_back(self):
        for name, value in zip(self.names, self.kept.values(), strict=False):
            setattr(self.owner, name, value)


def _equal(one, two):
    """Whether both are the same object, or plain values that are equal."""
    if one is two:
        return True
    if type(one) is not type(two):
        return False
    if isinstance(one, (tuple, list)):
        return len(one) == len(two) and all(map(_equal, one, two))
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(_equal(v, two[k]) for k, v in one.items())
    if isinstance(one, torch.Tensor):
        return False
    if isinstance(one, types.MethodType):  # made anew whenever it is looked up
        return one.__self__ is two.__self__ and one.__func__ is two.__func__
    return isinstance(one, _ATOMS) and (one == two or (one != one and two != two))


# ---- what is called -----------------------------------------------------------------------------

_EFFECTS = {"print", "input", "open", "next", "time", "perf_counter", "monotonic", "now", "urandom"}


class Calls:
    """Inside the `with` block: which code runs, and calls of the user's that leave no trace.

    Attributes:
        ran: Code objects.
        effect: A call like "print() in call()", or None.
    """

    def __init__(self):
        self.ran: set = set()
        self.effect = None

    def __enter__(self):
        self._before = sys.getprofile()
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_):
        sys.setprofile(self._before)

    def _note(self, frame, event, function):
        if event == "call":
            self.ran.add(frame.f_code)
        elif (
            event == "c_call"
            and function.__name__ in _EFFECTS
            and self.effect is None
            and _is_users(frame.f_globals.get("__name__"))
        ):
            self.effect = f"{function.__name__}() in {frame.f_code.co_name}()"
