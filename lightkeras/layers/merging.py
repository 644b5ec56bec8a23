"""Layers that make one tensor of several, and the functions of the same names."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightkeras.layers._layer import Layer
from lightkeras.layers._shapes import beside, is_beside

__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]


class _Merge(Layer):
    """Base of the layers that are called on a list of tensors.

    Tensors of a lower rank get axes of 1 after the batch, then shapes broadcast. Masks are joined:
    a time step counts where it counts in any input; one input without a mask lifts them all.

    Shape:
        a list of `(batch, ...)` -> `(batch, ...)`

    Raises:
        ValueError: the input is no list, or the shapes do not fit.

    >>> import torch
    >>> x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 1.0]])
    >>> Add()([x, y]).tolist(), Subtract()([x, y]).tolist(), Multiply()([x, y]).tolist()
    ([[4.0, 3.0]], [[-2.0, 1.0]], [[3.0, 2.0]])
    >>> Average()([x, y]).tolist(), Maximum()([x, y]).tolist(), Minimum()([x, y]).tolist()
    ([[2.0, 1.5]], [[3.0, 2.0]], [[1.0, 1.0]])
    """

    count: int | None = None  # how many inputs there must be

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def __call__(self, *args, **kwargs):
        if len(args) != 1 or kwargs:
            return self._general_call(args, kwargs)
        inputs = args[0]
        if (
            not isinstance(inputs, (list, tuple))
            or not inputs
            or self.count not in (None, len(inputs))
        ):
            raise self._no_list(inputs)
        try:
            if self._direct:
                for x in inputs:
                    if type(x) is not Tensor or x.dtype is not self._dtype_in:
                        break
                    if hasattr(x, "_keras_mask"):
                        break
                else:  # plain tensors without masks go straight to torch
                    return self._call_impl(inputs)
            return self._general_call(args, kwargs)
        except RuntimeError:
            self._check_shapes([tuple(x.shape) for x in inputs])  # our sentence for a bad shape
            raise

    def build(self, input_shape):
        nested = all(isinstance(shape, (tuple, list)) for shape in input_shape or (None,))
        if not nested or self.count not in (None, len(input_shape)):
            raise self._no_list(input_shape if nested else None)
        self._check_shapes(input_shape)

    def _no_list(self, inputs):
        many = isinstance(inputs, (list, tuple))
        wanted = f"a list of {self.count} tensors" if self.count else "a list of tensors"
        return self._bad(f"{len(inputs)} inputs" if many else "one tensor", f"It takes {wanted}")

    def _check_shapes(self, shapes):
        rank = max(len(s) for s in shapes)
        padded = [(*s[:1], *(1,) * (rank - len(s)), *s[1:]) for s in shapes]
        if any(
            len({n for n in sizes if n not in (1, None)}) > 1 for sizes in zip(*padded, strict=True)
        ):
            raise self._bad(_listed(shapes), "It takes shapes that are equal, or 1, on each axis")

    def _bad(self, given, accepted):
        name = type(self).__name__
        return ValueError(
            f"{name} {self.name!r} got {given}. {accepted}. Type for example {self._example}."
        )

    @property
    def _example(self):
        return f"{type(self).__name__}()([x, y])"

    def call(self, inputs):
        rank = inputs[0].ndim
        if any(x.ndim != rank for x in inputs):
            rank = max(x.ndim for x in inputs)
            inputs = [
                x.reshape(*x.shape[:1], *(1,) * (rank - x.ndim), *x.shape[1:]) for x in inputs
            ]
        return self._merge(inputs)

    def compute_mask(self, inputs, mask=None):
        if mask is None or any(m is None for m in mask):
            return None
        joined = mask[0]
        for m in mask[1:]:
            joined = joined | m
        return beside(joined) if any(map(is_beside, mask)) else joined


def _listed(shapes):
    return "the shapes " + ", ".join(str(tuple(s)) for s in shapes)


class Add(_Merge):
    """The sum of its inputs.

    Shape:
        a list of tensors of one shape -> that shape. An axis of size 1 is repeated, missing axes
        are put after that of the batch.

    Raises:
        ValueError: not such a list, or shapes that do not fit together.

    >>> import torch
    >>> Add()([torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0, 6.0]])]).tolist()[0]
    [6.0, 8.0]
    """

    def _merge(self, inputs):
        total = inputs[0]
        for x in inputs[1:]:
            total = total + x
        return total


class Subtract(_Merge):
    """The first of two inputs less the second.

    Shape:
        a list of two tensors of one shape -> that shape. An axis of size 1 is repeated, missing
        axes are put after that of the batch.

    Raises:
        ValueError: not such a list, or shapes that do not fit together.

    >>> import torch
    >>> Subtract()([torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0, 6.0]])]).tolist()[0]
    [-4.0, -4.0]
    """

    count = 2

    def _merge(self, inputs):
        return inputs[0] - inputs[1]


class Average(Add):
    """The mean of its inputs.

    Shape:
        a list of tensors of one shape -> that shape. An axis of size 1 is repeated, missing axes
        are put after that of the batch.

    Raises:
        ValueError: not such a list, or shapes that do not fit together.

    >>> import torch
    >>> Average()([torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0, 6.0]])]).tolist()[0]
    [3.0, 4.0]
    """

    def _merge(self, inputs):
        return super()._merge(inputs) / len(inputs)


class Multiply(_Merge):
    """The product of its inputs.

    Shape:
        a list of tensors of one shape -> that shape. An axis of size 1 is repeated, missing axes
        are put after that of the batch.

    Raises:
        ValueError: not such a list, or shapes that do not fit together.

    >>> import torch
    >>> Multiply()([torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0, 6.0]])]).tolist()[0]
    [5.0, 12.0]
    """

    def _merge(self, inputs):
        # A masked step counts as a factor of 1, or as 0 where it is masked in all inputs.
        masks = [_wide_mask(x) for x in inputs]
        product = _shown(inputs[0], masks[0], 1)
        for x, mask in zip(inputs[1:], masks[1:], strict=True):
            product = product * _shown(x, mask, 1)
        if all(m is not None for m in masks):
            product = _shown(product, self.compute_mask(inputs, masks), 0)
        return product


class _Extremum(_Merge):
    """Maximum and Minimum: a masked step leaves the place to the other inputs."""

    def _merge(self, inputs):
        best, seen = inputs[0], _wide_mask(inputs[0])
        for x in inputs[1:]:
            mask = _wide_mask(x)
            x = x if mask is None else torch.where(mask, x, best)
            best = best if seen is None else torch.where(seen, best, x)
            seen = None if seen is None or mask is None else seen | mask
            best = self._pick(best, x)
        return best


class Maximum(_Extremum):
    """The largest of its inputs, element by element.

    Shape:
        a list of tensors of one shape -> that shape. An axis of size 1 is repeated, missing axes
        are put after that of the batch.

    Raises:
        ValueError: not such a list, or shapes that do not fit together.

    >>> import torch
    >>> Maximum()([torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0, 6.0]])]).tolist()[0]
    [5.0, 6.0]
    """

    _pick = staticmethod(torch.maximum)


class Minimum(_Extremum):
    """The smallest of its inputs, element by element.

    Shape:
        a list of tensors of one shape -> that shape. An axis of size 1 is repeated, missing axes
        are put after that of the batch.

    Raises:
        ValueError: not such a list, or shapes that do not fit together.

    >>> import torch
    >>> Minimum()([torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0, 6.0]])]).tolist()[0]
    [1.0, 2.0]
    """

    _pick = staticmethod(torch.minimum)


def _wide_mask(x):
    """The mask of `x` with a last axis of 1, or None."""
    mask = getattr(x, "_keras_mask", None)
    return None if mask is None else mask.unsqueeze(-1)


def _shown(x, mask, value):
    return x if mask is None else torch.where(mask, x, value)


class Concatenate(_Merge):
    """Joins tensors end to end along an axis.

    Args:
        axis: The axis; 0 is the batch.

    Shape:
        a list of `(batch, ..., n_i, ...)` -> `(batch, ..., sum of n_i, ...)`

    Raises:
        ValueError: the input is no list, or other axes differ.

    >>> import torch
    >>> tuple(Concatenate()([torch.zeros(2, 3), torch.zeros(2, 5)]).shape)
    (2, 8)
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def _check_shapes(self, shapes):
        rank = len(shapes[0])
        same = all(len(s) == rank for s in shapes)
        rest = [
            {s[i] for s in shapes} - {None} for i in range(rank) if same and i != self.axis % rank
        ]
        if not same or any(len(sizes) > 1 for sizes in rest):
            raise self._bad(
                _listed(shapes), f"It takes shapes that differ on axis {self.axis} only"
            )

    def call(self, inputs):
        return torch.cat(inputs, self.axis)

    def compute_mask(self, inputs, mask=None):
        if mask is None or all(m is None for m in mask):
            return None
        whole = [
            torch.ones_like(x, dtype=torch.bool) if m is None else _to_rank(m, x)
            for x, m in zip(inputs, mask, strict=True)
        ]
        return torch.cat(whole, self.axis).any(-1)


def _to_rank(mask, x):
    return mask if mask.ndim == x.ndim else mask.unsqueeze(-1).expand(x.shape)


class Dot(_Merge):
    """Sums the products of two tensors along one axis of each, sample by sample.

    Args:
        axes: The axis in both, or a pair of axes; never 0, the batch.
        normalize: Scale both to length 1 along the axis before: the result is the cosine.

    Shape:
        `[(batch, ..., n, ...), (batch, ..., n, ...)]` -> `(batch, *rest of first, *rest of
        second)`, `(batch, 1)` if nothing rests

    Raises:
        ValueError: the axes differ in size, or one is the batch.

    >>> import torch
    >>> tuple(Dot(axes=(1, 2))([torch.zeros(2, 3, 5), torch.zeros(2, 10, 3)]).shape)
    (2, 5, 10)
    """

    count = 2

    def __init__(self, axes, normalize=False, **kwargs):
        super().__init__(**kwargs)
        pair = (axes, axes) if isinstance(axes, int) else axes
        if not isinstance(pair, (tuple, list)) or [type(a) for a in pair] != [int, int]:
            raise ValueError(
                f"Dot(axes={axes!r}) is not an axis. It takes a whole number, or two of them. "
                "Type for example Dot(axes=1)."
            )
        self.axes = axes
        self.normalize = normalize

    _example = "Dot(axes=1)([x, y])"

    def _axes(self, first, second):
        """The two axes, counted from the front."""
        a, b = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        return a % first, b % second

    def _check_shapes(self, shapes):
        (x, y), (a, b) = shapes, self._axes(*map(len, shapes))
        if 0 in (a, b):
            raise self._bad("axis 0, the batch", "It sums along an axis of the samples")
        if x[a] != y[b]:
            raise self._bad(_listed(shapes), f"It takes the same size on axes {a} and {b}")

    def call(self, inputs):
        x, y = inputs
        a, b = self._axes(x.ndim, y.ndim)
        x, y = x.movedim(a, -1), y.movedim(b, 1)  # (batch, ..., n), (batch, n, ...)
        if self.normalize:
            x, y = F.normalize(x, dim=-1), F.normalize(y, dim=1)
        rest = (*x.shape[1:-1], *y.shape[2:])
        # (batch, rest of x, n) @ (batch, n, rest of y)
        product = torch.bmm(_three(x, -2), _three(y, -1))
        return product.reshape(x.shape[0], *(rest or (1,)))

    def compute_mask(self, inputs, mask=None):
        return None


def _three(x, axis):
    """`x` with all axes that are neither the batch nor summed along as one, at `axis`."""
    if x.ndim == 2:
        return x.unsqueeze(axis)
    return x.flatten(1, -2) if axis == -2 else x.flatten(2)


# ---- functions ----------------------------------------------------------------------------------


def add(inputs, **kwargs):
    """`Add()(inputs)`."""
    return Add(**kwargs)(inputs)


def subtract(inputs, **kwargs):
    """`Subtract()(inputs)`."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs, **kwargs):
    """`Multiply()(inputs)`."""
    return Multiply(**kwargs)(inputs)


def average(inputs, **kwargs):
    """`Average()(inputs)`."""
    return Average(**kwargs)(inputs)


def maximum(inputs, **kwargs):
    """`Maximum()(inputs)`."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs, **kwargs):
    """`Minimum()(inputs)`."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs, axis=-1, **kwargs):
    """`Concatenate(axis)(inputs)`."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs, axes=-1, **kwargs):
    """`Dot(axes)(inputs)`."""
    return Dot(axes=axes, **kwargs)(inputs)
