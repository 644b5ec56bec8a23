"""A dense layer over any axes, in the notation of einsum."""

from __future__ import annotations

import copy
import math
import re

import torch
import torch.nn.functional as F

from lightkeras import activations
from lightkeras.layers._layer import Layer
from lightkeras.layers._spec import InputSpec, check_input
from lightkeras.layers._views import View
from lightkeras.layers.core import positive_int

__all__ = ["EinsumDense"]

_FORM = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


class EinsumDense(Layer):
    """`activation(einsum(equation, x, kernel) + bias)`.

    Where the equation is a plain product with a matrix (`"abc,cde->abde"`) the torch parameter is
    `weight` `(out, in)`, as in `nn.Linear`, with the axes of each side folded into one; for all
    other equations it has the shape of `kernel`.

    Args:
        equation: Axes of input, kernel and output: `"ab,bc->ac"`, `"...b,bc->...c"` or
            `"ab...,bc->ac..."`.
        output_shape: Sizes of the output without the batch and without what `...` stands for; None
            where the input decides.
        activation: Name or function; none by default.
        bias_axes: Letters of the output's axes that have a bias of their own; None for no bias.
        kernel_initializer, bias_initializer: How weights start.
        kernel_regularizer, bias_regularizer: Penalties added to the loss.
        kernel_constraint, bias_constraint: Projections applied after each update.

    Shape:
        what `equation` says

    Raises:
        ValueError: the equation has another form, or does not go with the shapes.

    >>> import torch
    >>> layer = EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de")
    >>> tuple(layer(torch.zeros(5, 7, 4)).shape)
    (5, 7, 2, 3)
    """

    views: tuple[View, ...] = (View("kernel", "weight"),)
    _casts_ints = True

    def __init__(
        self,
        equation,
        output_shape,
        activation=None,
        bias_axes=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.equation = equation
        self._axes = _Axes(equation, bias_axes)
        self.partial_output_shape = _sizes(output_shape)
        self.bias_axes = bias_axes
        self.activation = activations.get(activation)
        self._set_slots(
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )

    def build(self, input_shape):
        axes = self._axes
        sizes, _ = axes.sizes(input_shape, self.partial_output_shape)
        shape = [sizes[letter] for letter in axes.kernel]
        if None in shape:
            raise ValueError(
                f"EinsumDense({self.equation!r}) got an input of shape {tuple(input_shape)} and "
                f"output_shape={self.partial_output_shape}. The size of axis "
                f"{axes.kernel[shape.index(None)]!r} of the kernel follows from neither. Give it a "
                "number."
            )
        self._rank = len(input_shape)
        self.input_spec = InputSpec(ndim=self._rank)
        self._matrix = axes.matrix(shape)
        if self._matrix is not None:
            self.views = (self._matrix,)
            self._bound, self._new = len(axes.bound), self._matrix.sizes[: len(axes.new)]
        self._add("kernel", shape, "kernel", initializer=self._kernel_start())
        bias = axes.bias_shape(sizes, len(input_shape))
        self._late_bias = bias is not None and {*self.bias_axes} != {*axes.new}
        if bias is None:
            self.register_parameter("bias", None)
        else:
            self._add("bias", bias, "bias")

    def _kernel_start(self):
        """The initializer, told which axes of the kernel are inputs and which outputs."""
        start, axes = self.kernel_initializer, self._axes
        if getattr(start, "input_axes", 0) is None or getattr(start, "output_axes", 0) is None:
            start = copy.copy(start)
            start.output_axes = [i for i, a in enumerate(axes.kernel) if a in axes.outputs]
            start.input_axes = [i for i, a in enumerate(axes.kernel) if a not in axes.outputs]
        return start

    def call(self, x, training=None):
        if x.ndim != self._rank:  # nn.Linear's kernel would take it, the equation does not
            check_input(self, x.shape)
        bias = self.bias
        if self._matrix is None:
            y = torch.einsum(self.equation, x, self.weight)
            return self.activation(y if bias is None else y + bias)
        if self._bound > 1:
            x = x.flatten(-self._bound)  # (..., heads, size) -> (..., heads * size)
        if self._late_bias:
            y = F.linear(x, self.weight).view(*x.shape[:-1], *self._new) + bias
        else:
            y = F.linear(x, self.weight, bias if bias is None else bias.flatten())
            if len(self._new) > 1:
                y = y.view(*x.shape[:-1], *self._new)  # (..., out) -> (..., heads, size)
        return self.activation(y)

    def compute_output_shape(self, input_shape):
        return self._axes.sizes(input_shape, self.partial_output_shape)[1]

    def get_config(self):
        """Constructor arguments as plain values."""
        return {**super().get_config(), "output_shape": self.partial_output_shape}


def _sizes(shape):
    """Sizes of the output as a tuple; one number stands for one axis."""
    sizes = tuple(shape) if isinstance(shape, (list, tuple)) else (shape,)
    return tuple(n if n is None else positive_int("EinsumDense", "output_shape", n) for n in sizes)


class _Axes:
    """An equation read once: the letters of its three parts, and where the `...` stands."""

    def __init__(self, equation, bias_axes):
        found = _FORM.fullmatch(equation.replace(" ", "")) if isinstance(equation, str) else None
        left, self.inputs, right, self.kernel, out_left, self.outputs, out_right = (
            found.groups() if found else [None] * 7
        )
        if not found or (left, right) != (out_left, out_right) or (left and right):
            raise ValueError(
                f"EinsumDense(equation={equation!r}) has not the form of an equation with one "
                "input and one kernel. It takes 'ab,bc->ac', '...b,bc->...c' or 'ab...,bc->ac...'. "
                "Type for example EinsumDense('abc,cd->abd', (None, 64))."
            )
        self.equation, self.left, self.right = equation, left is not None, right is not None
        self.bias = bias_axes
        self._check_letters()
        both = [a for a in self.kernel if a in self.inputs]
        self.bound = "".join(a for a in self.inputs if a in both and a not in self.outputs)
        self.new = "".join(a for a in self.outputs if a not in self.inputs)

    def _check_letters(self):
        for letter in (*self.outputs, *self.kernel, *(self.bias or "")):
            places = [part for part in (self.inputs, self.kernel, self.outputs) if letter in part]
            alone = places in ([self.kernel], [self.outputs])
            if alone or (letter in (self.bias or "") and letter not in self.outputs):
                raise ValueError(
                    f"EinsumDense({self.equation!r}, bias_axes={self.bias!r}) has an axis "
                    f"{letter!r} whose size follows from nothing. Axes of the output are in the "
                    "input or the kernel, those of the kernel in the input or the output, those of "
                    "bias_axes in the output. Change that letter."
                )

    def sizes(self, input_shape, partial):
        """({letter: size}, shape of the output) for a shape of the input."""
        rank = len(input_shape)
        hidden = rank - len(self.inputs)
        if self.left:
            full = (*input_shape[: max(hidden, 1)], *partial)
        else:
            full = (input_shape[0], *partial, *input_shape[rank - max(hidden, 0) :])
        if hidden < 0 or (hidden and not (self.left or self.right)):
            raise ValueError(self._does_not_fit(input_shape, partial))
        if len(full) != len(self.outputs) + hidden:
            raise ValueError(self._does_not_fit(input_shape, partial))
        skip = hidden if self.left else 0
        into = dict(zip(self.inputs, input_shape[skip:], strict=False))
        out = dict(zip(self.outputs, full[skip:], strict=False))
        for letter in into.keys() & out.keys():
            if out[letter] not in (None, into[letter]):
                raise ValueError(self._does_not_fit(input_shape, partial))
        return {**into, **out}, full

    def _does_not_fit(self, input_shape, partial):
        return (
            f"EinsumDense({self.equation!r}, output_shape={partial}) got an input of shape "
            f"{tuple(input_shape)}. Each letter has one size, and output_shape holds those of the "
            "output without the batch and without '...'. Change the equation, output_shape or "
            "the input."
        )

    def bias_shape(self, sizes, rank):
        if self.bias is None:
            return None
        first = min(self.outputs.index(letter) for letter in self.bias)
        shape = [sizes[a] if a in self.bias else 1 for a in self.outputs[first:]]
        return (*shape, *(1,) * (rank - len(self.inputs) if self.right else 0))

    def matrix(self, shape):
        """The view of a kernel that multiplies the input's last axes as a matrix, else None."""
        free = self.outputs[: len(self.outputs) - len(self.new)]
        plain = self.inputs == free + self.bound and self.outputs == free + self.new
        if self.right or not plain or sorted(self.kernel) != sorted(self.new + self.bound):
            return None
        return _Matrix("kernel", "weight", self.kernel, self.new, self.bound, shape)


class _Matrix(View):
    """A kernel of several axes that lies in torch as the weight of `nn.Linear`."""

    identity = False

    def __init__(self, name, attribute, kernel, new, bound, shape):
        super().__init__(name, attribute)
        self.axes = [kernel.index(letter) for letter in new + bound]
        self.back = [(new + bound).index(letter) for letter in kernel]
        self.sizes = tuple(shape[axis] for axis in self.axes)
        self.rows = math.prod(self.sizes[: len(new)])

    def to_torch(self, tensor):
        return tensor.permute(self.axes).reshape(self.rows, -1)

    def to_keras(self, tensor):
        return tensor.reshape(self.sizes).permute(self.back)
