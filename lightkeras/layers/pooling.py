"""Pooling: a window, or the whole input, becomes its maximum or its mean."""

from __future__ import annotations

from typing import Any

from lightkeras._spatial import (
    ADAPTIVE_AVERAGE,
    ADAPTIVE_MAX,
    TO_FIRST,
    TO_LAST,
    average_windows,
    max_windows,
    padding_mode,
    tuple_of,
)
from lightkeras.config import standardize_data_format
from lightkeras.layers._layer import Layer
from lightkeras.layers._spatial import check_window
from lightkeras.layers._spec import InputSpec

__all__ = [
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
]


# ---- windows ----------------------------------------------------------------------------------


class _Pool(Layer):
    """Each window becomes one number, channel by channel.

    Args:
        pool_size: Size of the window, one number or one for each axis.
        strides: Steps of the window; `pool_size` by default.
        padding: "valid" (none) or "same" (an output of `ceil(size / strides)`).
        data_format: "channels_last" or "channels_first".

    Shape:
        `(batch, *sizes, channels)` -> `(batch, *new_sizes, channels)`; channels second for
        "channels_first"

    Raises:
        ValueError: an argument does not fit, or the input is smaller than the window.

    >>> import torch
    >>> x = torch.arange(5.0).reshape(1, 5, 1)
    >>> MaxPooling1D(2)(x).flatten().tolist(), MaxPooling1D(2, padding="same")(x).flatten().tolist()
    ([1.0, 3.0], [1.0, 3.0, 4.0])
    >>> AveragePooling1D(2, strides=1)(x).flatten().tolist()
    [0.5, 1.5, 2.5, 3.5]
    """

    rank = 2
    _pool: Any = None
    _casts_ints = True

    def __init__(
        self, pool_size, strides=None, padding="valid", data_format=None, name=None, **kwargs
    ):
        super().__init__(name=name, **kwargs)
        owner, rank = type(self).__name__, self.rank
        self.pool_size = tuple_of(owner, "pool_size", pool_size, rank)
        self.strides = self.pool_size
        if strides is not None:
            self.strides = tuple_of(owner, "strides", strides, rank)
        self.padding = padding_mode(owner, padding)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=rank + 2)
        self._last = self.data_format == "channels_last"
        self._to_first, self._to_last = TO_FIRST[rank], TO_LAST[rank]

    def build(self, input_shape):
        self._check_shape(input_shape)

    def _check_shape(self, input_shape):
        check_window(self, input_shape, self.pool_size)

    def call(self, x):
        if self._last:
            x = x.permute(self._to_first)  # (batch, *sizes, c) -> (batch, c, *sizes)
        x = self._pool(x, self.pool_size, self.strides, self.padding)
        return x.permute(self._to_last) if self._last else x


class _MaxPool(_Pool):
    _pool = staticmethod(max_windows)

    def __init__(
        self, pool_size=2, strides=None, padding="valid", data_format=None, name=None, **kwargs
    ):
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)


class _AveragePool(_Pool):
    _pool = staticmethod(average_windows)


class MaxPooling1D(_MaxPool):
    """Maximum over time: `(batch, time, channels)` -> `(batch, new_time, channels)`."""

    rank = 1


class MaxPooling2D(_MaxPool):
    """Maximum over pictures: `(batch, height, width, channels)` -> `(batch, ..., channels)`."""

    rank = 2


class MaxPooling3D(_MaxPool):
    """Maximum over volumes: `(batch, depth, height, width, channels)` -> `(..., channels)`."""

    rank = 3


class AveragePooling1D(_AveragePool):
    """Mean over time: `(batch, time, channels)` -> `(batch, new_time, channels)`."""

    rank = 1


class AveragePooling2D(_AveragePool):
    """Mean over pictures: `(batch, height, width, channels)` -> `(batch, ..., channels)`."""

    rank = 2


class AveragePooling3D(_AveragePool):
    """Mean over volumes: `(batch, depth, height, width, channels)` -> `(..., channels)`."""

    rank = 3


# ---- the whole input --------------------------------------------------------------------------


class _GlobalPool(Layer):
    """All positions become one, channel by channel.

    Args:
        data_format: "channels_last" or "channels_first".
        keepdims: Whether the axes stay, with size 1.

    Shape:
        `(batch, *sizes, channels)` -> `(batch, channels)`; with `keepdims`
        `(batch, 1, ..., channels)`

    >>> import torch
    >>> tuple(GlobalAveragePooling2D()(torch.zeros(2, 7, 7, 4)).shape)
    (2, 4)
    """

    rank = 2
    _casts_ints = True

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=self.rank + 2)
        first = 1 if self.data_format == "channels_last" else 2
        self._axes = tuple(range(first, first + self.rank))


class _GlobalMaxPool(_GlobalPool):
    def call(self, x):
        return x.amax(self._axes, self.keepdims)


class _GlobalAveragePool(_GlobalPool):
    def call(self, x):
        return x.mean(self._axes, self.keepdims)


class GlobalMaxPooling1D(_GlobalMaxPool):
    """Maximum over all time: `(batch, time, channels)` -> `(batch, channels)`."""

    rank = 1


class GlobalMaxPooling2D(_GlobalMaxPool):
    """Maximum over all of a picture: `(batch, height, width, channels)` -> `(batch, channels)`."""

    rank = 2


class GlobalMaxPooling3D(_GlobalMaxPool):
    """Maximum over all of a volume: `(batch, depth, height, width, c)` -> `(batch, c)`."""

    rank = 3


class GlobalAveragePooling1D(_GlobalAveragePool):
    """Mean over all time: `(batch, time, channels)` -> `(batch, channels)`.

    Steps that a mask leaves out do not count.
    """

    rank = 1

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, x, mask=None):
        if mask is None:
            return x.mean(self._axes, self.keepdims)
        mask = mask.bool().unsqueeze(2 if self._axes == (1,) else 1)
        total = x.masked_fill(~mask, 0).sum(self._axes, self.keepdims)
        return total / mask.sum(self._axes, self.keepdims).to(x.dtype)

    def compute_mask(self, inputs, mask=None):
        return None  # there are no steps any more


class GlobalAveragePooling2D(_GlobalAveragePool):
    """Mean over all of a picture: `(batch, height, width, channels)` -> `(batch, channels)`."""

    rank = 2


class GlobalAveragePooling3D(_GlobalAveragePool):
    """Mean over all of a volume: `(batch, depth, height, width, c)` -> `(batch, c)`."""

    rank = 3


# ---- to a size --------------------------------------------------------------------------------


class _AdaptivePool(Layer):
    """Windows are chosen so that the output has a given size.

    Args:
        output_size: Size of the output, one number or one for each axis.
        data_format: "channels_last" or "channels_first".

    Shape:
        `(batch, *sizes, channels)` -> `(batch, *output_size, channels)`

    >>> import torch
    >>> tuple(AdaptiveAveragePooling2D(3)(torch.zeros(2, 7, 8, 4)).shape)
    (2, 3, 3, 4)
    """

    rank = 2
    _kernels: Any = None
    _casts_ints = True

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.output_size = tuple_of(type(self).__name__, "output_size", output_size, self.rank)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, x):
        if self.data_format == "channels_first":
            return self._kernels[self.rank](x, self.output_size)
        x = x.permute(TO_FIRST[self.rank])  # (batch, *sizes, c) -> (batch, c, *sizes)
        return self._kernels[self.rank](x, self.output_size).permute(TO_LAST[self.rank])


class _AdaptiveAverage(_AdaptivePool):
    _kernels = ADAPTIVE_AVERAGE


class _AdaptiveMax(_AdaptivePool):
    _kernels = ADAPTIVE_MAX


class AdaptiveAveragePooling1D(_AdaptiveAverage):
    """Mean over time, to a given length."""

    rank = 1


class AdaptiveAveragePooling2D(_AdaptiveAverage):
    """Mean over pictures, to a given size."""

    rank = 2


class AdaptiveAveragePooling3D(_AdaptiveAverage):
    """Mean over volumes, to a given size."""

    rank = 3


class AdaptiveMaxPooling1D(_AdaptiveMax):
    """Maximum over time, to a given length."""

    rank = 1


class AdaptiveMaxPooling2D(_AdaptiveMax):
    """Maximum over pictures, to a given size."""

    rank = 2


class AdaptiveMaxPooling3D(_AdaptiveMax):
    """Maximum over volumes, to a given size."""

    rank = 3


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
