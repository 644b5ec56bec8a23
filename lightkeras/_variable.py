"""Weights: torch parameters and buffers that also answer to Keras's `Variable` methods.

`Weight` is an `nn.Parameter` and `State` a plain tensor (kept as a buffer by layers); both stay
what torch makes of them, without any dispatch cost, and only gain `assign`, `numpy`, `path`...
"""

from __future__ import annotations

import numpy as np
import torch

from lightkeras._dtypes import dtype_name

__all__ = ["State", "Weight", "described"]


def described(weight):
    """A weight as Keras prints it."""
    value = "?" if weight.device.type == "meta" else weight.numpy()
    return (
        f"<Variable path={weight.path}, shape={tuple(weight.shape)}, "
        f"dtype={dtype_name(weight.dtype)}, value={value}>"
    )


class _Variable(torch.Tensor):
    """Keras's methods on a tensor; mixed into `Weight` and `State`."""

    path = ""  # "dense/kernel"; the layer that owns the weight sets it
    regularizer = None
    constraint = None

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

    def __repr__(self, **kwargs):
        return described(self)

    def assign(self, value):
        """Overwrite in place with an array or tensor of the same shape; returns the weight.

        Raises:
            ValueError: the shapes differ.
        """
        new = torch.as_tensor(value, dtype=self.dtype, device=self.device)
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
            self.add_(torch.as_tensor(value, dtype=self.dtype, device=self.device))
        return self

    def assign_sub(self, value):
        """Subtract in place; returns the weight."""
        with torch.no_grad():
            self.sub_(torch.as_tensor(value, dtype=self.dtype, device=self.device))
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


class Weight(_Variable, torch.nn.Parameter):
    """A trainable weight: an `nn.Parameter` with `assign`, `numpy`, `path`."""

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


class State(_Variable):
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
