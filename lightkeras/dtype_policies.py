"""Dtype policies: in which dtype a layer computes, and in which it keeps its weights."""

from __future__ import annotations

import copy
from abc import ABCMeta

from lightkeras import _registry
from lightkeras._config import Configurable, Configured
from lightkeras._dtypes import dtype_name, floatx
from lightkeras._older import old_names
from lightkeras._paths import PathMap

__all__ = [
    "DTypePolicy",
    "DTypePolicyMap",
    "FloatDTypePolicy",
    "deserialize",
    "get",
    "serialize",
]

# policy: (compute dtype, variable dtype); any other policy is a dtype's name.
_MIXED = {"mixed_float16": ("float16", "float32"), "mixed_bfloat16": ("bfloat16", "float32")}
_COMMON = (*_MIXED, "float32", "float64", "float16", "bfloat16")


class DTypePolicy(Configured):
    """In which dtype a layer computes and in which it keeps its weights.

    Args:
        name: "float32", "float64", "float16", "bfloat16" (or another dtype): both are that dtype.
            "mixed_float16", "mixed_bfloat16": compute in 16 bits, keep weights in float32.
            The global policy's by default.

    Raises:
        ValueError: no policy is called so.

    >>> policy = DTypePolicy("mixed_bfloat16")
    >>> policy.compute_dtype, policy.variable_dtype
    ('bfloat16', 'float32')
    """

    def __init__(self, name=None):
        name = dtype_policy().name if name is None else name
        self.compute_dtype, self.variable_dtype = _dtypes_of(name)
        self.name: str = name

    def __repr__(self):
        return f'<DTypePolicy "{self.name}">'

    def __eq__(self, other):
        return isinstance(other, DTypePolicy) and self.name == other.name

    def __hash__(self):
        return hash(self.name)


FloatDTypePolicy = DTypePolicy


class _ConfigurableMap(Configurable, ABCMeta):
    """Metaclass of a mapping that has a config."""


class DTypePolicyMap(PathMap, DTypePolicy, metaclass=_ConfigurableMap):
    """Policies for the layers inside a layer, by their paths.

    A key is a path ("encoder/dense"), or a regular expression that the whole path matches. A layer
    that gets the map as `dtype` takes what is its own when it is built.

    Args:
        default_policy: For layers that no key fits; the global policy by default.
        policy_map: {key: policy, or its name}.

    Raises:
        ValueError: no policy is called so; a key is given twice; several keys fit a path.

    >>> policies = DTypePolicyMap("float32", {"encoder/.*": "bfloat16"})
    >>> policies["encoder/dense"], policies["decoder/dense"]
    (<DTypePolicy "bfloat16">, <DTypePolicy "float32">)
    """

    def __init__(self, default_policy=None, policy_map=None):
        if isinstance(default_policy, DTypePolicyMap):
            raise ValueError(
                "DTypePolicyMap(default_policy=) got a DTypePolicyMap. One policy for all other "
                "layers is accepted. Write default_policy='float32', for example."
            )
        self._default = None if default_policy is None else get(default_policy)
        self._here: DTypePolicy | None = None  # the policy of the layer that holds this map
        super().__init__(policy_map)

    def _at(self, path):
        """The map as the policy of the layer at `path`."""
        new = copy.copy(self)
        new._here = self[path]
        return new

    def _other(self):
        return self.default_policy

    def _checked(self, value):
        return get(value)

    @property
    def default_policy(self):
        """The policy of layers that no key fits."""
        return get(self._default)

    @property
    def name(self):
        """`map_` and the name of the default policy."""
        return f"map_{self.default_policy.name}"

    @property
    def compute_dtype(self):
        """The dtype that the layer at hand computes in."""
        return (self._here or self.default_policy).compute_dtype

    @property
    def variable_dtype(self):
        """The dtype of the weights of the layer at hand."""
        return (self._here or self.default_policy).variable_dtype

    def __repr__(self):
        default = None if self._default is None else self._default.name
        named = {key: policy.name for key, policy in self.items()}
        return f"<DTypePolicyMap default_policy={default}, policy_map={named}>"

    def get_config(self):
        """Constructor arguments as plain values."""
        default = None if self._default is None else self._default.name
        policies = {key: serialize(policy) for key, policy in self.items()}
        return {"default_policy": default, "policy_map": policies}


def _dtypes_of(name):
    if not isinstance(name, str):
        raise TypeError(
            f"DTypePolicy() got a name of type {type(name).__name__}. A string is accepted. "
            "For example 'float32' or 'mixed_bfloat16'."
        )
    if name in _MIXED:
        return _MIXED[name]
    try:
        return dtype_name(name), dtype_name(name)
    except ValueError:
        raise _registry.unknown("dtype policy", name, _COMMON) from None


# ---- the global policy ------------------------------------------------------------------------

_global: DTypePolicy | None = None


def dtype_policy() -> DTypePolicy:
    """The policy of layers that are not given one: `floatx()` until `set_dtype_policy`.

    >>> dtype_policy()
    <DTypePolicy "float32">
    """
    return DTypePolicy(floatx()) if _global is None else _global


def set_dtype_policy(policy) -> None:
    """Set the policy of all layers that are made from now on.

    Args:
        policy: A `DTypePolicy`, or the name of one.

    Raises:
        ValueError: no policy is called so.
    """
    global _global
    _global = policy if isinstance(policy, DTypePolicy) else DTypePolicy(policy)


# ---- lookup -----------------------------------------------------------------------------------

_table = _registry.Table(
    "dtype policy",
    [DTypePolicy, DTypePolicyMap],
    {"FloatDTypePolicy": DTypePolicy},
    base=DTypePolicy,
)


def serialize(dtype_policy):
    """The config of a policy."""
    return {**_registry.serialize(dtype_policy), "module": "keras"}


def deserialize(config, custom_objects=None):
    """The policy that a config describes."""
    return _table.deserialize(config, custom_objects)


def get(identifier):
    """The policy for a name, a dtype, a config, a policy, or None (the global policy).

    Raises:
        ValueError: no policy is called so.

    >>> get("mixed_float16"), get(None)
    (<DTypePolicy "mixed_float16">, <DTypePolicy "float32">)
    """
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    return DTypePolicy(identifier if isinstance(identifier, str) else dtype_name(identifier))


__getattr__ = old_names(__name__)
