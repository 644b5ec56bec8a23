"""Keras's face on torch's parameters: name and axis order of each weight.

Parameters have torch's shape and memory. A `View` says under which attribute a Keras weight
lies and how its axes are ordered there; `BoundView` is that weight of one layer, with the
methods of a Keras variable.
"""

from __future__ import annotations

import numpy as np
import torch

from lightkeras._dtypes import native
from lightkeras._variable import described

__all__ = ["BoundView", "Permuted", "View"]


class View:
    """One row of a layer's `views`: a weight that lies in torch as it does in Keras.

    A family whose weights are laid out otherwise subclasses it with `to_torch` and `to_keras`
    (which must return a view of its argument, not a copy).

    Args:
        name: Keras's name of the weight ("kernel").
        attribute: The torch parameter or buffer that holds it ("weight"); `name` by default.
    """

    identity = True

    def __init__(self, name, attribute=None):
        self.name = name
        self.attribute = attribute or name

    def to_torch(self, tensor):
        """From Keras's layout to the parameter's."""
        return tensor

    def to_keras(self, tensor):
        """From the parameter's layout to Keras's."""
        return tensor


class Permuted(View):
    """A weight whose axes stand in another order in torch.

    Args:
        axes: `tensor.permute(axes)` takes Keras's layout to torch's.
    """

    identity = False

    def __init__(self, name, attribute, *axes):
        super().__init__(name, attribute)
        self.axes = axes
        self.back = tuple(int(i) for i in np.argsort(axes))

    def to_torch(self, tensor):
        return tensor.permute(self.axes)

    def to_keras(self, tensor):
        return tensor.permute(self.back)


class BoundView:
    """The weight of one layer as Keras sees it: a live view of the torch parameter.

    Reading gives a tensor in Keras's axis order that shares memory with the parameter;
    `assign` writes through. Torch functions and operators take it like a tensor.
    """

    def __init__(self, layer, view):
        self.layer = layer
        self.view = view

    @property
    def parameter(self):
        """The torch parameter (or buffer), in torch's layout."""
        return getattr(self.layer, self.view.attribute)

    @property
    def value(self):
        """The tensor in Keras's layout; its `.grad` is the parameter's, in the same layout."""
        parameter = self.parameter
        value = self.view.to_keras(parameter)
        if parameter.grad is not None and not self.view.identity:
            value.grad = self.view.to_keras(parameter.grad)
        return value

    def to_torch(self, tensor):
        """A tensor from Keras's layout to the parameter's."""
        return self.view.to_torch(tensor)

    @property
    def shape(self):
        return self.view.to_keras(self.parameter).shape

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def dtype(self):
        return self.parameter.dtype

    @property
    def device(self):
        return self.parameter.device

    @property
    def name(self):
        return self.view.name

    @property
    def path(self):
        return self.parameter.path

    @property
    def trainable(self):
        return self.parameter.requires_grad

    @property
    def requires_grad(self):
        return self.parameter.requires_grad

    @property
    def regularizer(self):
        return self.parameter.regularizer

    @property
    def constraint(self):
        return self.parameter.constraint

    def assign(self, value):
        """Overwrite with an array or tensor in Keras's layout; returns the weight.

        Raises:
            ValueError: the shapes differ.
        """
        new = torch.as_tensor(native(value), dtype=self.dtype, device=self.device)
        if new.shape != self.shape:
            raise ValueError(
                f"Cannot assign a value of shape {tuple(new.shape)} to {self.path} of shape "
                f"{tuple(self.shape)}. The shapes must be equal. Reshape the value first."
            )
        with torch.no_grad():
            self.parameter.copy_(self.view.to_torch(new))
        return self

    def assign_add(self, value):
        """Add in place; returns the weight."""
        return self.assign(self.value.detach() + torch.as_tensor(native(value), device=self.device))

    def assign_sub(self, value):
        """Subtract in place; returns the weight."""
        return self.assign(self.value.detach() - torch.as_tensor(native(value), device=self.device))

    def numpy(self):
        """A copy on the host, in Keras's layout."""
        tensor = self.value.detach().as_subclass(torch.Tensor)
        if tensor.dtype is torch.bfloat16:  # NumPy has no bfloat16
            tensor = tensor.float()
        return tensor.cpu().numpy().copy()

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.numpy(), dtype=dtype)

    def __repr__(self):
        return described(self)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        def unwrap(value):
            if isinstance(value, (list, tuple)):
                return type(value)(unwrap(v) for v in value)
            return value.value if isinstance(value, BoundView) else value

        return func(*unwrap(args), **{k: unwrap(v) for k, v in (kwargs or {}).items()})

    def __getattr__(self, name):
        # Anything else (arithmetic methods, .T, .sum()...) is asked of the tensor.
        if name.startswith("__") or name in ("layer", "view"):
            raise AttributeError(name)
        return getattr(self.value, name)


def _forward(name):
    def method(self, *args):
        return getattr(self.value, name)(
            *(a.value if isinstance(a, BoundView) else a for a in args)
        )

    method.__name__ = name
    return method


for _name in (
    "add",
    "sub",
    "mul",
    "truediv",
    "matmul",
    "pow",
    "neg",
    "radd",
    "rsub",
    "rmul",
    "getitem",
):
    setattr(BoundView, f"__{_name}__", _forward(f"__{_name}__"))
del _name
