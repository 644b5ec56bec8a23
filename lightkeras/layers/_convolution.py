"""What all convolutions share: window, padding, order of the axes, and how weights are made."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F

from lightkeras import activations
from lightkeras._spatial import (
    TO_FIRST,
    TO_LAST,
    pad_evenly,
    padding_mode,
    same_padding,
    tuple_of,
)
from lightkeras.config import standardize_data_format
from lightkeras.layers._layer import Layer
from lightkeras.layers._spatial import check_window, warn_channels_first
from lightkeras.layers._spec import InputSpec

__all__ = ["_Conv"]


class _Conv(Layer):
    """Base of all convolutions: the window, the order of the axes, and what weights are made with.

    The ranks below set `rank` and the torch function `_run`.
    """

    rank = 2
    groups = 1
    _run: Any = None
    _causal = False
    _casts_ints = True

    def _set_window(self, kernel_size, strides, padding, data_format, dilation_rate):
        owner, rank = type(self).__name__, self.rank
        self.kernel_size = tuple_of(owner, "kernel_size", kernel_size, rank)
        self.strides = tuple_of(owner, "strides", strides, rank)
        self.dilation_rate = tuple_of(owner, "dilation_rate", dilation_rate, rank)
        self.padding = padding_mode(owner, padding, self._causal)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=rank + 2)
        self._last = self.data_format == "channels_last"
        self._to_first, self._to_last = TO_FIRST[rank], TO_LAST[rank]
        pairs = zip(self.kernel_size, self.dilation_rate, strict=True)
        self._window = tuple((k - 1) * d + 1 for k, d in pairs)
        # None where the size of the input decides, or torch would have to pad unevenly
        self._torch_padding = (0,) * rank if self.padding == "valid" else None
        if self.padding == "same" and max(self.strides) == 1 and all(k % 2 for k in self._window):
            self._torch_padding = tuple(k // 2 for k in self._window)

    def _refuse_strides_and_dilation(self):
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{type(self).__name__} got strides={self.strides} and dilation_rate="
                f"{self.dilation_rate}. Only one may be larger than 1. Leave one of them out."
            )

    def _set_objects(self, activation, use_bias, **objects):
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self._set_slots(**objects)

    def _channels(self, input_shape):
        """Channels of the input; the sizes are checked.

        Raises:
            ValueError: they are unknown, or the input is smaller than the window.
        """
        axis = -1 if self._last else 1
        channels = input_shape[axis]
        if channels is None:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} got an input of shape {tuple(input_shape)} "
                f"with an unknown number of channels (axis {axis}). The weights need it. Give the "
                f"Input a number there{', as in Input((None, None, 3))' if self.rank == 2 else ''}."
            )
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={axis: channels})
        self._check_shape(input_shape)
        warn_channels_first(self, input_shape)
        return channels

    def _check_shape(self, input_shape):
        check_window(self, input_shape, self._window)

    def _add_bias(self, size):
        if self.use_bias:
            self._add("bias", (size,), "bias")
        else:
            self.register_parameter("bias", None)

    def _padded(self, x):
        """Input with what torch cannot pad itself, and the padding left for torch."""
        if self.padding == "causal":
            return F.pad(x, (self._window[0] - 1, 0)), (0,)
        return pad_evenly(x, same_padding(x.shape[2:], self._window, self.strides))

    def _convolve(self, x, weight, bias):
        padding = self._torch_padding
        if padding is None:
            x, padding = self._padded(x)
        return self._run(x, weight, bias, self.strides, padding, self.dilation_rate, self.groups)

    def call(self, x):
        if self._last:
            x = x.permute(self._to_first)  # (batch, *sizes, in) -> (batch, in, *sizes)
        x = self._outputs(x)
        return self.activation(x.permute(self._to_last) if self._last else x)

    def _outputs(self, x):
        return self._convolve(x, self.weight, self.bias)
