"""Layers that give the same values another shape."""

from __future__ import annotations

import math

from lightkeras._graph import KerasTensor
from lightkeras.config import standardize_data_format
from lightkeras.layers._layer import Layer
from lightkeras.layers._spec import InputSpec
from lightkeras.layers.core import positive_int

__all__ = ["Flatten", "Permute", "RepeatVector", "Reshape"]


class Flatten(Layer):
    """All axes but the batch become one.

    Args:
        data_format: "channels_first" moves the channels to the end before; the default is that of
            `config.image_data_format()`.

    Shape:
        `(batch, ...)` -> `(batch, features)`; `(batch,)` -> `(batch, 1)`

    >>> import torch
    >>> tuple(Flatten()(torch.zeros(2, 3, 4)).shape)
    (2, 12)
    """

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, x):
        if x.ndim < 3:
            return x if x.ndim == 2 else x.unsqueeze(1)
        if self.data_format == "channels_first":
            x = x.movedim(1, -1)  # (batch, channels, ...) -> (batch, ..., channels)
        return x.flatten(1)


class Reshape(Layer):
    """Each sample gets the shape `target_shape`.

    Args:
        target_shape: Sizes without the batch; one may be -1 and is found from the others.

    Shape:
        `(batch, ...)` -> `(batch, *target_shape)`

    Raises:
        ValueError: `target_shape` is no shape, or the sizes do not multiply to the input's.

    >>> import torch
    >>> tuple(Reshape((3, -1))(torch.zeros(2, 12)).shape)
    (2, 3, 4)
    """

    def __init__(self, target_shape, **kwargs):
        super().__init__(**kwargs)
        self.target_shape = _target_shape(target_shape)

    def call(self, x):
        try:
            return x.reshape(x.shape[0], *self.target_shape)
        except RuntimeError:  # the sizes do not fit, or -1 stands beside an empty batch
            return x.reshape(x.shape[0], *self._sample_shape(tuple(x.shape[1:])))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self._sample_shape(tuple(input_shape[1:])))

    def compute_output_spec(self, x):
        cast = self.autocast and "float" in x.dtype
        return KerasTensor(
            self.compute_output_shape(x.shape), self.compute_dtype if cast else x.dtype
        )

    def _sample_shape(self, sample):
        """`target_shape` with -1 replaced, for samples of a shape in which None is unknown."""
        known = math.prod(n for n in self.target_shape if n != -1)
        if None in sample:
            return tuple(None if n == -1 else n for n in self.target_shape)
        size, free = math.prod(sample), -1 in self.target_shape
        if size != known and not (free and known and size % known == 0):
            raise ValueError(
                f"Reshape {self.name!r} got samples of shape {sample}, {size} values each. It "
                f"makes {self.target_shape}, {'a multiple of ' if free else ''}{known} values. "
                f"Give sizes that multiply to {size}; one may be -1."
            )
        return tuple(size // max(known, 1) if n == -1 else n for n in self.target_shape)


def _target_shape(shape):
    sizes = list(shape) if isinstance(shape, (tuple, list)) or hasattr(shape, "__iter__") else None
    whole = sizes is not None and all(hasattr(n, "__index__") and n >= -1 for n in sizes)
    if not whole or sizes.count(-1) > 1:
        raise ValueError(
            f"Reshape({shape!r}) is not a shape. It takes the sizes of one sample, without the "
            "batch; one may be -1. Type for example Reshape((28, 28, 1))."
        )
    return tuple(int(n) for n in sizes)


class Permute(Layer):
    """The axes of each sample in another order.

    Args:
        dims: The axes in their new order, counted from 1; the batch (axis 0) stays.

    Shape:
        `(batch, a, b, ...)` -> `(batch, *those in the order of dims)`

    Raises:
        ValueError: `dims` is no order of 1, 2, ..., n.

    >>> import torch
    >>> tuple(Permute((2, 1))(torch.zeros(5, 3, 4)).shape)
    (5, 4, 3)
    """

    def __init__(self, dims, **kwargs):
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                f"Permute({self.dims}) is not an order of axes. It takes each of 1 to "
                f"{len(self.dims)} once; the batch is axis 0 and stays. Type for example "
                "Permute((2, 1))."
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, x):
        return x.permute(0, *self.dims)


class RepeatVector(Layer):
    """Repeats each vector along a new time axis.

    Args:
        n: How often.

    Shape:
        `(batch, features)` -> `(batch, n, features)`

    Raises:
        ValueError: `n` is no whole number above zero.

    >>> import torch
    >>> RepeatVector(2)(torch.tensor([[1.0, 5.0]])).tolist()
    [[[1.0, 5.0], [1.0, 5.0]]]
    """

    def __init__(self, n, **kwargs):
        super().__init__(**kwargs)
        self.n = positive_int("RepeatVector", "n", n)
        self.input_spec = InputSpec(ndim=2)

    def call(self, x):
        return x.unsqueeze(1).expand(-1, self.n, -1)  # (batch, n, features), no copy
