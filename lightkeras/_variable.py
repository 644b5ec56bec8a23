"""Weights: torch parameters and buffers that also answer to Keras's `Variable` methods.

`Weight` is an `nn.Parameter` and `State` a plain tensor (kept as a buffer by layers); both stay
what torch makes of them, without any dispatch cost, and only gain `assign`, `numpy`, `path`...
Both are `Variable`s, and `Variable(...)` makes one of them.
"""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import torch

from lightkeras._dtypes import as_tensor, dtype_name, native, torch_dtype
from lightkeras._registry import unique_name

__all__ = ["State", "Variable", "Weight", "described", "name_scope"]

_scopes: list[str] = []


@contextmanager
def name_scope(name, caller=None, deduplicate=True, override_parent=None):
    """Put a name before the paths of the variables that are made inside the `with` block.

    Args:
        name: The name.
        caller: For Keras's sake.
        deduplicate: For Keras's sake.
        override_parent: A path that takes the place of the scopes around.

    >>> with name_scope("outer"):
    ...     Variable(1.0, name="w").path
    'outer/w'
    """
    global _scopes
    before = _scopes
    _scopes = [*(before if override_parent is None else [override_parent] * bool(override_parent))]
    _scopes.append(name)
    try:
        yield name
    finally:
        _scopes = before


def described(weight):
    """A weight as Keras prints it."""
    value = "?" if weight.device.type == "meta" else weight.numpy()
    return (
        f"<Variable path={weight.path}, shape={tuple(weight.shape)}, "
        f"dtype={dtype_name(weight.dtype)}, value={value}>"
    )


class Variable(torch.Tensor):
    """A tensor that is overwritten in place: a weight, a counter, a state.

    Where it differs from Keras: it is a torch tensor, a parameter where it is trainable, with
    torch's dtype; integers and truth values are never trainable. Set as an attribute of a layer it
    is among its weights.

    Args:
        initializer: A value; or an initializer (an object, its name, a function of a shape and a
            dtype).
        shape: The shape, for an initializer.
        dtype: By default that of the value, int32 for Python's integers, else `floatx()`.
        trainable: Whether gradients reach it.
        autocast: For Keras's sake; layers cast what they compute with.
        aggregation: Kept; processes that train together add up gradients as the strategy says.
        synchronization: Kept.
        name: The last part of its path.
        layout: For Keras's sake.

    Raises:
        ValueError: an initializer comes without a shape, a value has another one, or the name is
            none.

    >>> count = Variable(0, dtype="int32", trainable=False, name="count")
    >>> count.assign_add(2)
    <Variable path=count, shape=(), dtype=int32, value=2>
    >>> isinstance(count, Variable), (count + 1).item()
    (True, 3)
    """

    path = ""  # "dense/kernel"; the layer that owns the weight sets it
    regularizer = None
    constraint = None
    aggregation = "none"
    synchronization = "auto"
    own_name = False  # made by Variable(...): a layer that gets it takes it among its weights

    def __new__(
        cls,
        initializer,
        shape=None,
        dtype=None,
        trainable=True,
        autocast=True,
        aggregation="none",
        synchronization="auto",
        name=None,
        layout=None,
    ):
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(
                f"Variable() got name={name!r}. A text without '/' is accepted. Type "
                "name='kernel'; name_scope puts a path before it."
            )
        value = _initial(initializer, shape, dtype)
        kind = Weight if trainable and value.is_floating_point() else State
        new = kind(value)
        new.path = "/".join([*_scopes, name or unique_name("variable")])
        new.aggregation, new.synchronization, new.own_name = aggregation, synchronization, True
        return new

    @property
    def name(self):
        return self.path.rpartition("/")[2]

    @property
    def value(self):
        """The tensor itself; `.grad` is where a gradient stands after `backward`."""
        return self

    @property
    def trainable(self):
        return self.requires_grad

    @trainable.setter
    def trainable(self, value):
        self.requires_grad_(bool(value))

    def __repr__(self, **kwargs):
        return described(self)

    def assign(self, value):
        """Overwrite in place with an array or tensor of the same shape; returns the weight.

        Raises:
            ValueError: the shapes differ.
        """
        new = torch.as_tensor(native(value), dtype=self.dtype, device=self.device)
        if new.shape != self.shape:
            raise ValueError(
                f"Cannot assign a value of shape {tuple(new.shape)} to {self.path or 'a weight'} "
                f"of shape {tuple(self.shape)}. The shapes must be equal. Reshape the value first."
            )
        with torch.no_grad():
            self.copy_(new)
        return self

    def assign_add(self, value):
        """Add in place; returns the weight."""
        with torch.no_grad():
            self.add_(torch.as_tensor(native(value), dtype=self.dtype, device=self.device))
        return self

    def assign_sub(self, value):
        """Subtract in place; returns the weight."""
        with torch.no_grad():
            self.sub_(torch.as_tensor(native(value), dtype=self.dtype, device=self.device))
        return self

    def numpy(self, *, force=True):
        """A copy on the host, also where a gradient is wanted or the weight is on a GPU."""
        tensor = self.detach().as_subclass(torch.Tensor)
        if tensor.dtype is torch.bfloat16:  # NumPy has no bfloat16
            tensor = tensor.float()
        return torch.Tensor.numpy(tensor, force=force).copy()

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.numpy(), dtype=dtype)

    def __float__(self):
        return float(self.detach().as_subclass(torch.Tensor))

    def __int__(self):
        return int(self.detach().as_subclass(torch.Tensor))


def _initial(initializer, shape, dtype):
    """The first value, a tensor of its own."""
    if isinstance(initializer, str) or (
        callable(initializer) and not isinstance(initializer, torch.Tensor)
    ):
        if shape is None:
            raise ValueError(
                f"Variable() got the initializer {initializer!r:.60} without a shape. A value, or "
                "an initializer and a shape, are accepted. Type shape=(...)."
            )
        from lightkeras import initializers

        made = initializers.get(initializer)(tuple(shape), dtype=torch_dtype(dtype))
        return as_tensor(made).detach().to(torch_dtype(dtype))
    value = as_tensor(initializer)
    if dtype is None and value.dtype is torch.int64 and not hasattr(initializer, "dtype"):
        dtype = "int32"  # Python's integers
    value = value.detach().as_subclass(torch.Tensor).clone()
    value = value if dtype is None else value.to(torch_dtype(dtype))
    if shape is not None and tuple(shape) != tuple(value.shape):
        raise ValueError(
            f"Variable() got a value of shape {tuple(value.shape)} and shape={tuple(shape)}. Both "
            "must be equal. Leave shape out, it belongs to an initializer."
        )
    return value


class Weight(Variable, torch.nn.Parameter):
    """A trainable weight: an `nn.Parameter` with `assign`, `numpy`, `path`."""

    def __new__(cls, data=None, requires_grad=True):
        return torch.nn.Parameter.__new__(cls, data, requires_grad)

    def __reduce_ex__(self, protocol):
        return _rebuild, (
            Weight,
            self.detach().as_subclass(torch.Tensor),
            self.requires_grad,
            self.path,
        )

    def __deepcopy__(self, memo):
        new = Weight(self.detach().as_subclass(torch.Tensor).clone(), self.requires_grad)
        new.__dict__.update(self.__dict__)
        memo[id(self)] = new
        return new


class State(Variable):
    """A weight that no gradient reaches: moving averages, counters, metric sums."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, data):
        return data.detach().as_subclass(cls)

    def __reduce_ex__(self, protocol):
        return _rebuild, (State, self.as_subclass(torch.Tensor), False, self.path)

    def __deepcopy__(self, memo):
        new = State(self.as_subclass(torch.Tensor).clone())
        new.__dict__.update(self.__dict__)
        memo[id(self)] = new
        return new


def _rebuild(cls, tensor, requires_grad, path):
    new = cls(tensor, requires_grad) if cls is Weight else cls(tensor)
    new.path = path
    return new
