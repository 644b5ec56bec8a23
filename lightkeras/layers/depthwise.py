"""Convolutions of each channel on its own, alone or with one that mixes the channels after it."""

from __future__ import annotations

import torch.nn.functional as F

from lightkeras._spatial import conv1d
from lightkeras.layers._convolution import _Conv
from lightkeras.layers._views import BoundView, Permuted, View
from lightkeras.layers.core import positive_int

__all__ = [
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
]


class _Depthwise(View):
    """A kernel for each input channel: `(*kernel, in, multiplier)` in Keras,
    `(in * multiplier, 1, *kernel)` in torch."""

    identity = False

    def __init__(self, name, attribute, multiplier):
        super().__init__(name, attribute)
        self.multiplier = multiplier

    def to_torch(self, tensor):
        rank = tensor.ndim - 2
        return tensor.permute(rank, rank + 1, *range(rank)).flatten(0, 1).unsqueeze(1)

    def to_keras(self, tensor):
        split = tensor.squeeze(1).unflatten(0, (-1, self.multiplier))  # (in, multiplier, *kernel)
        return split.permute(*range(2, split.ndim), 0, 1)


def _own_view(name):
    """The weight `name` of a layer whose views depend on its arguments."""

    def get(self):
        view = next(v for v in self.views if v.name == name)
        return None if getattr(self, view.attribute, None) is None else BoundView(self, view)

    def set_(self, value):
        get(self).assign(value)

    return property(get, set_, doc=f"The weight `{name}` in Keras's layout.")


class _DepthwiseConv(_Conv):
    """A convolution of each channel on its own.

    The torch parameters are `weight` `(in * depth_multiplier, 1, *kernel_size)` and `bias`;
    `kernel` is `(*kernel_size, in, depth_multiplier)`.

    Args:
        depth_multiplier: Number of output channels for each input channel.
        depthwise_initializer, depthwise_regularizer, depthwise_constraint: Those of the kernel.
        (the others as for the plain convolutions)

    Shape:
        `(batch, *sizes, in)` -> `(batch, *new_sizes, in * depth_multiplier)`

    Raises:
        ValueError: an argument does not fit, or the input is smaller than the window.

    >>> import torch
    >>> tuple(DepthwiseConv2D(3, depth_multiplier=2)(torch.zeros(2, 8, 8, 4)).shape)
    (2, 6, 6, 8)
    """

    kernel = _own_view("kernel")

    def __init__(
        self,
        kernel_size,
        strides=1,
        padding="valid",
        depth_multiplier=1,
        data_format=None,
        dilation_rate=1,
        activation=None,
        use_bias=True,
        depthwise_initializer="glorot_uniform",
        bias_initializer="zeros",
        depthwise_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        depthwise_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        owner = type(self).__name__
        self.depth_multiplier = positive_int(owner, "depth_multiplier", depth_multiplier)
        self._set_window(kernel_size, strides, padding, data_format, dilation_rate)
        self._set_objects(
            activation,
            use_bias,
            depthwise_initializer=depthwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            bias_regularizer=bias_regularizer,
            depthwise_constraint=depthwise_constraint,
            bias_constraint=bias_constraint,
        )
        self.views = (_Depthwise("kernel", "weight", self.depth_multiplier),)

    def build(self, input_shape):
        self.groups = channels = self._channels(input_shape)
        self._add("kernel", (*self.kernel_size, channels, self.depth_multiplier), "depthwise")
        self._add_bias(channels * self.depth_multiplier)


class DepthwiseConv1D(_DepthwiseConv):
    """Depthwise convolution over time: `(batch, time, in)` -> `(..., in * multiplier)`."""

    rank = 1
    _run = staticmethod(conv1d)


class DepthwiseConv2D(_DepthwiseConv):
    """Depthwise convolution over pictures: `(batch, height, width, in)` -> `(..., in * m)`."""

    rank = 2
    _run = staticmethod(F.conv2d)


class _SeparableConv(_Conv):
    """A convolution of each channel on its own, then one of size 1 that mixes the channels.

    The torch parameters are `depthwise_weight` `(in * depth_multiplier, 1, *kernel_size)`,
    `pointwise_weight` `(filters, in * depth_multiplier, 1, ...)` and `bias`; `depthwise_kernel` is
    `(*kernel_size, in, depth_multiplier)`, `pointwise_kernel`
    `(1, ..., in * depth_multiplier, filters)`.

    Args:
        depth_multiplier: Number of channels between the two for each input channel.
        depthwise_initializer, depthwise_regularizer, depthwise_constraint: Those of the first.
        pointwise_initializer, pointwise_regularizer, pointwise_constraint: Those of the second.
        (the others as for the plain convolutions)

    Shape:
        `(batch, *sizes, in)` -> `(batch, *new_sizes, filters)`

    Raises:
        ValueError: an argument does not fit, or the input is smaller than the window.

    >>> import torch
    >>> tuple(SeparableConv2D(5, 3)(torch.zeros(2, 8, 8, 4)).shape)
    (2, 6, 6, 5)
    """

    depthwise_kernel = _own_view("depthwise_kernel")
    pointwise_kernel = _own_view("pointwise_kernel")

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
        depth_multiplier=1,
        activation=None,
        use_bias=True,
        depthwise_initializer="glorot_uniform",
        pointwise_initializer="glorot_uniform",
        bias_initializer="zeros",
        depthwise_regularizer=None,
        pointwise_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        depthwise_constraint=None,
        pointwise_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        owner, rank = type(self).__name__, self.rank
        self.filters = positive_int(owner, "filters", filters)
        self.depth_multiplier = positive_int(owner, "depth_multiplier", depth_multiplier)
        self._set_window(kernel_size, strides, padding, data_format, dilation_rate)
        self._set_objects(
            activation,
            use_bias,
            depthwise_initializer=depthwise_initializer,
            pointwise_initializer=pointwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            pointwise_regularizer=pointwise_regularizer,
            bias_regularizer=bias_regularizer,
            depthwise_constraint=depthwise_constraint,
            pointwise_constraint=pointwise_constraint,
            bias_constraint=bias_constraint,
        )
        self._ones = (1,) * rank
        self._zeros = (0,) * rank
        self.views = (
            _Depthwise("depthwise_kernel", "depthwise_weight", self.depth_multiplier),
            Permuted("pointwise_kernel", "pointwise_weight", rank + 1, rank, *range(rank)),
        )

    def build(self, input_shape):
        self.groups = channels = self._channels(input_shape)
        inner = channels * self.depth_multiplier
        self._add(
            "depthwise_kernel", (*self.kernel_size, channels, self.depth_multiplier), "depthwise"
        )
        self._add("pointwise_kernel", (*self._ones, inner, self.filters), "pointwise")
        self._add_bias(self.filters)

    def _outputs(self, x):
        x = self._convolve(x, self.depthwise_weight, None)
        return self._run(
            x, self.pointwise_weight, self.bias, self._ones, self._zeros, self._ones, 1
        )


class SeparableConv1D(_SeparableConv):
    """Separable convolution over time: `(batch, time, in)` -> `(batch, new_time, filters)`."""

    rank = 1
    _run = staticmethod(conv1d)


class SeparableConv2D(_SeparableConv):
    """Separable convolution over pictures: `(batch, height, width, in)` -> `(..., filters)`."""

    rank = 2
    _run = staticmethod(F.conv2d)


SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D
