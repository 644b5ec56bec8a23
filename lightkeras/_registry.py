"""Names: look-up tables with a did-you-mean, automatic names, and custom objects.

Every slot that takes a string ("relu", "adam", "mse") has one `Table`. A file or a config can
only ever reach what stands in the table of its slot or what the caller registered: nothing is
imported, and no attribute is looked up, by a name that came from data.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = [
    "Table",
    "custom_object_scope",
    "did_you_mean",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "get_uid",
    "lookup_custom",
    "register_keras_serializable",
    "reset_names",
    "serialize",
    "to_snake",
    "unique_name",
    "unknown",
]


# ---- errors -------------------------------------------------------------------------------


def did_you_mean(name, known) -> str:
    """` Did you mean 'adam'?` for the closest of `known`, or an empty string."""
    name = str(name).lower()
    lowered = {str(k).lower(): str(k) for k in sorted(known, key=str)}  # lower case comes last
    close = difflib.get_close_matches(name, lowered, n=5, cutoff=0.6)
    if not close:
        return ""
    nearest = min(close, key=lambda word: _distance(name, word))
    return f" Did you mean {lowered[nearest]!r}?"


def _distance(a, b):
    """Edits from `a` to `b`; two letters that changed places are one (optimal string alignment)."""
    rows = [[i + j if i * j == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            rows[i][j] = min(
                rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] != b[j - 1])
            )
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


def unknown(kind, name, known) -> ValueError:
    """The error for a string that no table knows; raise what it returns."""
    names = sorted({str(k) for k in known if str(k).islower()} or {str(k) for k in known})
    shown = ", ".join(names[:40]) + (", ..." if len(names) > 40 else "")
    return ValueError(f"Unknown {kind} {name!r}.{did_you_mean(name, known)} Known: {shown}.")


# ---- automatic names ------------------------------------------------------------------------

_uses: Counter[str] = Counter()


def to_snake(name: str) -> str:
    """The automatic name of a class.

    >>> to_snake("MaxPooling2D"), to_snake("LSTM"), to_snake("ReLU")
    ('max_pooling2d', 'lstm', 're_lu')
    """
    words = re.sub(r"(?<=[^_])(?=[A-Z][a-z])", "_", re.sub(r"\W", "", name))
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", words).lower()


def unique_name(prefix: str) -> str:
    """`dense`, then `dense_1`, `dense_2`... until `reset_names`."""
    count = _uses[prefix]
    _uses[prefix] += 1
    return prefix if count == 0 else f"{prefix}_{count}"


def get_uid(prefix: str = "") -> int:
    """How many automatic names have begun with this prefix, the one to come included.

    >>> get_uid("demo"), get_uid("demo")
    (1, 2)
    """
    _uses[prefix] += 1
    return _uses[prefix]


def reset_names() -> None:
    """Start all automatic names from the beginning (`clear_session` calls this)."""
    _uses.clear()


# ---- custom objects ---------------------------------------------------------------------------

_registered: dict[str, object] = {}
_registered_names: dict[object, str] = {}
_scopes: list[dict[str, object]] = []


def register_keras_serializable(package="Custom", name=None):
    """Class decorator: files may refer to this class or function as `package>name`.

    Args:
        package: The first half of the registered name.
        name: The second half; the object's own name by default.

    Raises:
        ValueError: the class has no `get_config`.

    >>> @register_keras_serializable("demo")
    ... def triple(x):
    ...     return 3 * x
    >>> get_registered_name(triple)
    'demo>triple'
    """

    def decorate(obj):
        if isinstance(obj, type) and not hasattr(obj, "get_config"):
            raise ValueError(
                f"Cannot register {obj.__name__}: it has no get_config() method. Files store "
                "an object as its config. Add get_config(self) returning its arguments."
            )
        key = f"{package}>{name or obj.__name__}"
        _registered[key] = obj
        _registered_names[obj] = key
        return obj

    return decorate


def get_registered_name(obj) -> str:
    """`package>name` of a registered class or function, otherwise its own name."""
    return _registered_names.get(obj, obj.__name__)


def get_custom_objects() -> dict[str, object]:
    """The global dictionary of registered objects; entries may be added to it directly."""
    return _registered


def get_registered_object(name, custom_objects=None, module_objects=None):
    """The class or function registered under `name`, or None."""
    for table in (custom_objects, *reversed(_scopes), _registered, module_objects):
        if table and name in table:
            return table[name]
    return None


@contextmanager
def custom_object_scope(custom_objects: dict[str, object]):
    """Inside the `with` block, these names can be used as strings and in files."""
    if not isinstance(custom_objects, dict):
        raise TypeError(
            f"custom_objects is of type {type(custom_objects).__name__}. A dict of names and "
            'classes or functions is accepted. Type custom_objects={"MyLayer": MyLayer}.'
        )
    _scopes.append(dict(custom_objects))
    try:
        yield
    finally:
        _scopes.pop()


def lookup_custom(name, registered_name=None, custom_objects=None):
    """What the caller (never the file) put under `name` or `registered_name`, or None."""
    for key in (registered_name, name):
        found = get_registered_object(key, custom_objects) if isinstance(key, str) else None
        if found is not None:
            return found
    # A class registered as "package>Name" may also be asked for by its bare name.
    matches = [obj for key, obj in _registered.items() if key.partition(">")[2] == name]
    return matches[0] if len(matches) == 1 else None


# ---- serialized form --------------------------------------------------------------------------


def keras_module(cls) -> str | None:
    """`keras.layers` for our layers, `keras.losses` for losses...; None for the user's own."""
    parts = cls.__module__.split(".")
    if parts[0] != "lightkeras":
        return None
    if parts[1:3] == ["optimizers", "schedules"]:
        return "keras.optimizers.schedules"
    private = parts[1].startswith("_") or parts[1] in ("dtype_policies", "models")
    return "keras" if private else f"keras.{parts[1]}"


def serialize(obj):
    """The dictionary (or, for a function of ours, the name) that stands for `obj` in a config."""
    if obj is None or isinstance(obj, (str, dict)):
        return obj
    if hasattr(obj, "get_config"):
        return _object_config(obj)
    if callable(obj) and hasattr(obj, "__name__"):
        return _function_config(obj)
    raise TypeError(
        f"Cannot turn {type(obj).__name__} into a config. Strings, functions and objects with "
        "get_config() can be. Give the class a get_config() method."
    )


def _object_config(obj):
    cls = type(obj)
    name = getattr(cls, "_exported_as", cls.__name__)
    module, name = getattr(obj, "_keras_class", None) or (keras_module(cls), name)
    registered = get_registered_name(cls) if module is None else None
    if str(module).startswith("keras.src."):  # Keras's way with what it does not export
        registered = name
    config = {
        "module": module or (None if cls.__module__ == "__main__" else cls.__module__),
        "class_name": name,
        "config": obj.get_config(),
        "registered_name": registered,
    }
    for key in ("build_config", "compile_config"):
        method = getattr(obj, f"get_{key}", None)
        value = None if method is None else method()
        if value:
            config[key] = value
    _note_shared(obj, config)
    return config


def _function_config(fn):
    """A name for functions that Keras has under the same name; its dictionary for others."""
    if fn.__name__ == "<lambda>":
        from lightkeras.saving import _code

        return _code.dump(fn)
    home = getattr(fn, "__module__", None) or "torch"
    own = home.partition(".")[0] not in ("lightkeras", "torch")
    return named_function(fn) if own else get_registered_name(fn)


def named_function(fn):
    """Keras's dictionary for a function that has a name."""
    return {
        "module": "builtins",
        "class_name": "function",
        "config": get_registered_name(fn),
        "registered_name": "function",
    }


# Layers that stand in several places of a model are stored in each, under one number.
_shared: ContextVar = ContextVar("shared", default=None)
_safe: ContextVar = ContextVar("safe", default=True)  # stored Python code is refused


@contextmanager
def sharing():
    """Inside, a layer that is stored or read twice is the same layer both times."""
    token = _shared.set({})
    try:
        yield
    finally:
        _shared.reset(token)


def shared() -> dict | None:
    """What was stored or read (by kind and number) since `sharing` began; None outside."""
    return _shared.get()


def _note_shared(obj, config):
    seen = _shared.get()
    if seen is None or not hasattr(obj, "_inbound_nodes"):
        return
    number, first = seen.setdefault(("stored", id(obj)), (len(seen) + 1, config))
    if first is not config:
        first["shared_object_id"] = config["shared_object_id"] = number


_unsafe = False  # stored code is loaded everywhere: `config.enable_unsafe_deserialization`


def allow_code():
    """Load stored code from now on, whatever `safe_mode` says."""
    global _unsafe
    _unsafe = True


@contextmanager
def code_allowed(allowed):
    """Inside, whether Python code found in a config may be loaded."""
    token = _safe.set(not (allowed or _unsafe))
    try:
        yield
    finally:
        _safe.reset(token)


def is_code_allowed() -> bool:
    """Whether the caller has said `safe_mode=False`, here or for everything."""
    return _unsafe or not _safe.get()


_maker: ContextVar = ContextVar("maker", default=None)


@contextmanager
def weights_from(maker):
    """Inside, new weights are `maker(shape, dtype=)`: a file will fill them."""
    token = _maker.set(maker)
    try:
        yield
    finally:
        _maker.reset(token)


def weight_maker():
    """What makes new weights in place of their initializers, or None."""
    return _maker.get()


def is_ours(config):
    """Whether a config means a class of Keras, and not one that the user has registered.

    A class of one's own may be called `Dense`, too: it has a registered name (`package>Dense`,
    or `Dense` where nobody registered it).
    """
    module, registered = config.get("module"), config.get("registered_name")
    if module is None:
        return registered is None
    ours = str(module).split(".")[0] in ("keras", "lightkeras")
    if ours and registered not in (None, config.get("class_name")):
        raise ValueError(
            f"The config of {config.get('class_name')!r} has the registered name {registered!r} "
            f"and the module {module!r} of Keras. Only classes of one's own are registered. Take "
            "one of both away."
        )
    return ours


class Table:
    """The static name -> object table of one slot.

    Args:
        kind: What an entry is called in errors ("optimizer").
        entries: Classes and functions under their own names. Snake-case names of the classes
            are added, unless an entry of that name is there.
        aliases: Further names, `{"mse": mean_squared_error}`.
        base: The class whose instances the slot takes; None for a slot of plain functions.
    """

    def __init__(self, kind, entries, aliases=None, base=None):
        self.kind = kind
        self.base = base
        self.entries = {obj.__name__: obj for obj in entries}
        snakes = {to_snake(n): obj for n, obj in self.entries.items() if isinstance(obj, type)}
        self.entries = {**snakes, **self.entries, **(aliases or {})}

    def find(self, name, custom_objects=None):
        """The class or function called `name`.

        Raises:
            ValueError: nobody is called so.
        """
        found = self.entries.get(name)
        if found is None:
            found = lookup_custom(name, custom_objects=custom_objects)
        if found is None:
            raise unknown(self.kind, name, self.entries)
        return found

    def get(self, identifier, custom_objects=None):
        """Object for a name, a config, a class, or an object (returned as it is)."""
        if identifier is None:
            return None
        if isinstance(identifier, str):
            identifier = self.find(identifier, custom_objects)
        elif isinstance(identifier, dict):
            return self.deserialize(identifier, custom_objects)
        if isinstance(identifier, type):
            identifier = identifier()
        if callable(identifier) or (self.base and isinstance(identifier, self.base)):
            return identifier
        raise TypeError(
            f"Expected {self._article} {self.kind}, got {type(identifier).__name__}. A name, a "
            f"config or an object is accepted. Known names: {', '.join(sorted(self.entries)[:8])}, "
            "..."
        )

    @property
    def _article(self):
        return "an" if self.kind[0] in "aeiou" else "a"

    def serialize(self, obj):
        """The config of an object; the name of a function."""
        return serialize(obj)

    def deserialize(self, config, custom_objects=None):
        """Object for a serialized config.

        Raises:
            ValueError: the config names something that this slot does not hold.
        """
        if not isinstance(config, dict):
            return self.get(config, custom_objects)
        name = config.get("class_name")
        if name == "function":  # one's own function is stored under its registered name
            stored = config.get("config")
            return lookup_custom(stored, None, custom_objects) or self.find(stored)
        if name == "__lambda__":
            from lightkeras.saving import _code

            return _code.load(config)
        found = self._class_of(config, name, custom_objects)
        with custom_object_scope(custom_objects or {}):
            return found.from_config(dict(config.get("config") or {}))

    def _class_of(self, config, name, custom_objects):
        found = self.entries.get(name) if is_ours(config) and isinstance(name, str) else None
        if found is None:
            found = lookup_custom(name, config.get("registered_name"), custom_objects)
        if found is None:
            raise unknown(self.kind, name, self.entries)
        if not isinstance(found, type) or (self.base and not issubclass(found, self.base)):
            raise ValueError(
                f"{name!r} is no {self.kind}. This place takes {self._article} {self.kind} class. "
                f"Known: {', '.join(sorted(k for k in self.entries if k.islower())[:20])}."
            )
        return found
