"""Convolutions: a small window slides over the input, the same weights everywhere."""

from __future__ import annotations

import torch.nn.functional as F

from lightkeras import activations, constraints, initializers, regularizers
from lightkeras.config import standardize_data_format
from lightkeras.layers._layer import Layer
from lightkeras.layers._spatial import (
    TO_FIRST,
    TO_LAST,
    check_window,
    pad_evenly,
    padding_mode,
    same_padding,
    tuple_of,
    warn_channels_first,
)
from lightkeras.layers._spec import InputSpec
from lightkeras.layers._views import BoundView, Permuted, View
from lightkeras.layers.core import positive_int

__all__ = [
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "Convolution1D",
    "Convolution1DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Convolution3D",
    "Convolution3DTranspose",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
]

_SLOTS = {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}


# torch's kernels of one axis copy inputs with channels last, those of two axes do not and take
# half the time on a CPU: signals are run as pictures that are 1 high.


def _conv1d(x, weight, bias, stride, padding, dilation, groups):
    x, weight = x.unsqueeze(2), weight.unsqueeze(2)  # (batch, in, time) -> (batch, in, 1, time)
    more = (1, *stride), (0, *padding), (1, *dilation), groups
    return F.conv2d(x, weight, bias, *more).squeeze(2)


def _conv1d_transpose(x, weight, bias, stride, padding, output_padding, groups, dilation):
    x, weight = x.unsqueeze(2), weight.unsqueeze(2)  # (batch, in, time) -> (batch, in, 1, time)
    more = (1, *stride), (0, *padding), (0, *output_padding), groups, (1, *dilation)
    return F.conv_transpose2d(x, weight, bias, *more).squeeze(2)


class _Conv(Layer):
    """Base of all convolutions: the window, the order of the axes, and what weights are made with.

    The ranks below set `rank` and the torch function `_run`.
    """

    rank = 2
    groups = 1
    _run = None
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
                f"{type(self).__name__} got strides={self.strides} and dilation_rate={self.dilation_rate}. "
                "Only one of the two may be larger than 1. Leave one of them out."
            )

    def _set_objects(self, activation, use_bias, **objects):
        """Attributes `kernel_initializer`, ... from names or objects."""
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        for name, value in objects.items():
            setattr(self, name, _SLOTS[name.rpartition("_")[2]].get(value))

    def _channels(self, input_shape):
        """Channels of the input; the sizes are checked.

        Raises:
            ValueError: they are unknown, or the input is smaller than the window.
        """
        axis = -1 if self._last else 1
        channels = input_shape[axis]
        if channels is None:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} got an input of shape {tuple(input_shape)} with an "
                f"unknown number of channels (axis {axis}). The weights need it. Give the Input a "
                f"number there{', for example Input((None, None, 3))' if self.rank == 2 else ''}."
            )
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={axis: channels})
        self._check_shape(input_shape)
        warn_channels_first(self, input_shape)
        return channels

    def _check_shape(self, input_shape):
        check_window(self, input_shape, self._window, "window")

    def _add(self, weight, shape, slots):
        """`weight` with the initializer, regularizer and constraint that belong to `slots`."""
        made_with = {slot: getattr(self, f"{slots}_{slot}") for slot in _SLOTS}
        return self.add_weight(name=weight, shape=shape, **made_with)

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


# ---- plain ------------------------------------------------------------------------------------


class _PlainConv(_Conv):
    """Each output channel is a weighted sum over the window, plus a bias.

    The torch parameters are `weight` `(filters, in / groups, *kernel_size)` and `bias`
    `(filters,)`, as in `nn.Conv2d`; `kernel` is `(*kernel_size, in / groups, filters)`.

    Args:
        filters: Number of output channels.
        kernel_size: Size of the window, one number or one for each axis.
        strides: Steps of the window.
        padding: "valid" (none), "same" (an output of `ceil(size / strides)`) or, in one axis,
            "causal" (no output sees a later input).
        data_format: "channels_last" or "channels_first".
        dilation_rate: Distance of the inputs in the window.
        groups: Number of groups of channels that do not see each other.
        activation: Name or function; none by default.
        use_bias: Whether a bias is added.
        kernel_initializer, bias_initializer: How weights start.
        kernel_regularizer, bias_regularizer: Penalties added to the loss.
        kernel_constraint, bias_constraint: Projections applied after each update.

    Shape:
        `(batch, *sizes, in)` -> `(batch, *new_sizes, filters)`; channels second for "channels_first"

    Raises:
        ValueError: an argument does not fit, or the input is smaller than the window.

    >>> import torch
    >>> tuple(Conv2D(8, 3)(torch.zeros(2, 28, 28, 1)).shape)
    (2, 26, 26, 8)
    >>> tuple(Conv1D(8, 3, strides=2, padding="same")(torch.zeros(2, 9, 4)).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
        groups=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        owner = type(self).__name__
        self.filters = positive_int(owner, "filters", filters)
        self.groups = positive_int(owner, "groups", groups)
        if self.filters % self.groups:
            raise ValueError(
                f"{owner} got filters={filters} and groups={groups}. The filters are shared out evenly to "
                f"the groups. Type filters={max(round(filters / groups), 1) * groups}."
            )
        self._set_window(kernel_size, strides, padding, data_format, dilation_rate)
        self._refuse_strides_and_dilation()
        self._set_objects(
            activation,
            use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )

    def build(self, input_shape):
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} has groups={self.groups}, its input has {channels} "
                "channels. They are shared out evenly to the groups. Choose a divisor."
            )
        self._add("kernel", (*self.kernel_size, channels // self.groups, self.filters), "kernel")
        self._add_bias(self.filters)


class Conv1D(_PlainConv):
    """Convolution over time: `(batch, time, in)` -> `(batch, new_time, filters)`."""

    rank = 1
    views = (Permuted("kernel", "weight", 2, 1, 0),)
    _run = staticmethod(_conv1d)
    _causal = True


class Conv2D(_PlainConv):
    """Convolution over pictures: `(batch, height, width, in)` -> `(batch, ..., filters)`."""

    rank = 2
    views = (Permuted("kernel", "weight", 3, 2, 0, 1),)
    _run = staticmethod(F.conv2d)


class Conv3D(_PlainConv):
    """Convolution over volumes: `(batch, depth, height, width, in)` -> `(batch, ..., filters)`."""

    rank = 3
    views = (Permuted("kernel", "weight", 4, 3, 0, 1, 2),)
    _run = staticmethod(F.conv3d)


# ---- transposed -------------------------------------------------------------------------------


class _ConvTranspose(_Conv):
    """The gradient of a convolution used as a layer: it makes inputs larger.

    The torch parameters are `weight` `(in, filters, *kernel_size)` and `bias` `(filters,)`, as in
    `nn.ConvTranspose2d`; `kernel` is `(*kernel_size, filters, in)`.

    Args:
        output_padding: Sizes added at the end of each axis, to choose among the input sizes of the
            convolution that this one turns around; below `strides`.
        (the others as for the plain convolutions)

    Shape:
        `(batch, *sizes, in)` -> `(batch, *new_sizes, filters)`; a new size is `size * stride` for
        "same" and `(size - 1) * stride + max(kernel, stride)` for "valid"

    Raises:
        ValueError: an argument does not fit.

    >>> import torch
    >>> tuple(Conv2DTranspose(8, 3, strides=2, padding="same")(torch.zeros(2, 7, 7, 4)).shape)
    (2, 14, 14, 8)
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        output_padding=None,
        data_format=None,
        dilation_rate=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        owner = type(self).__name__
        self.filters = positive_int(owner, "filters", filters)
        self._set_window(kernel_size, strides, padding, data_format, dilation_rate)
        self._refuse_strides_and_dilation()
        self.output_padding = None
        if output_padding is not None:
            self.output_padding = tuple_of(owner, "output_padding", output_padding, self.rank, 0)
            if any(n >= s for n, s in zip(self.output_padding, self.strides, strict=True)):
                raise ValueError(
                    f"{owner} got output_padding={output_padding} and strides={self.strides}. Each "
                    "output_padding is smaller than its stride. Leave it out to get the usual sizes."
                )
        self._set_objects(
            activation,
            use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )
        self._set_crops()

    def _set_crops(self):
        """What torch cuts off both ends, adds at the end, and what is cut off after it."""
        given = self.output_padding or (None,) * self.rank
        axes = zip(self._window, self.strides, given, strict=True)
        crops = [_crops(k, s, extra, self.padding) for k, s, extra in axes]
        self._torch_padding = tuple(before for before, _ in crops)
        self._torch_output_padding = tuple(max(b - a, 0) for b, a in crops)
        ends = [max(a - b, 0) for b, a in crops]
        cut = [slice(None), slice(None), *(slice(-n if n else None) for n in ends)]
        self._cut = tuple(cut) if any(ends) else None

    def _check_shape(self, input_shape):
        pass  # any size will do

    def build(self, input_shape):
        channels = self._channels(input_shape)
        self._add("kernel", (*self.kernel_size, self.filters, channels), "kernel")
        self._add_bias(self.filters)

    def _outputs(self, x):
        x = self._run(
            x,
            self.weight,
            self.bias,
            self.strides,
            self._torch_padding,
            self._torch_output_padding,
            1,
            self.dilation_rate,
        )
        return x if self._cut is None else x[self._cut]


def _crops(window, stride, extra, padding):
    """(before, after): what "valid" or "same" cuts off the widest output of one axis.

    The widest output has `(size - 1) * stride + window`. Negative numbers are added zeros. The
    padding is that of the convolution which this one turns around, where an odd one is after.
    """
    if padding == "valid":
        return 0, -(max(stride - window, 0) if extra is None else extra)
    if extra is None:  # to size * stride
        total = window - stride
    else:  # to (size - 1) * stride + window % 2 + extra
        total = window - window % 2 - extra
    kept = 2 * (window - 1) - total
    before = max(window - 1 - (kept // 2 + kept % 2), 0)
    return before, total - before


class Conv1DTranspose(_ConvTranspose):
    """Transposed convolution over time: `(batch, time, in)` -> `(batch, new_time, filters)`."""

    rank = 1
    views = (Permuted("kernel", "weight", 2, 1, 0),)
    _run = staticmethod(_conv1d_transpose)


class Conv2DTranspose(_ConvTranspose):
    """Transposed convolution over pictures: `(batch, height, width, in)` -> `(batch, ..., filters)`."""

    rank = 2
    views = (Permuted("kernel", "weight", 3, 2, 0, 1),)
    _run = staticmethod(F.conv_transpose2d)


class Conv3DTranspose(_ConvTranspose):
    """Transposed convolution over volumes: `(batch, depth, height, width, in)` -> `(..., filters)`.

    In Keras `data_format` stands before `output_padding` here, and only here.
    """

    rank = 3
    views = (Permuted("kernel", "weight", 4, 3, 0, 1, 2),)
    _run = staticmethod(F.conv_transpose3d)

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        output_padding=None,
        dilation_rate=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            output_padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            activity_regularizer,
            kernel_constraint,
            bias_constraint,
            **kwargs,
        )


# ---- depthwise and separable ------------------------------------------------------------------


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
    """Depthwise convolution over time: `(batch, time, in)` -> `(batch, new_time, in * multiplier)`."""

    rank = 1
    _run = staticmethod(_conv1d)


class DepthwiseConv2D(_DepthwiseConv):
    """Depthwise convolution over pictures: `(batch, height, width, in)` -> `(..., in * multiplier)`."""

    rank = 2
    _run = staticmethod(F.conv2d)


class _SeparableConv(_Conv):
    """A convolution of each channel on its own, then one of size 1 that mixes the channels.

    The torch parameters are `depthwise_weight` `(in * depth_multiplier, 1, *kernel_size)`,
    `pointwise_weight` `(filters, in * depth_multiplier, 1, ...)` and `bias`; `depthwise_kernel` is
    `(*kernel_size, in, depth_multiplier)`, `pointwise_kernel` `(1, ..., in * depth_multiplier, filters)`.

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
    _run = staticmethod(_conv1d)


class SeparableConv2D(_SeparableConv):
    """Separable convolution over pictures: `(batch, height, width, in)` -> `(batch, ..., filters)`."""

    rank = 2
    _run = staticmethod(F.conv2d)


Convolution1D = Conv1D
Convolution2D = Conv2D
Convolution3D = Conv3D
Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D
