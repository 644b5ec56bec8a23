"""Convolutions: a small window slides over the input, the same weights everywhere."""

from __future__ import annotations

import torch.nn.functional as F

from lightkeras._older import old_names
from lightkeras._spatial import conv1d, conv1d_transpose, transposed_crops, tuple_of
from lightkeras.layers._convolution import _Conv
from lightkeras.layers._views import BoundView, Permuted
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
]


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
        `(batch, *sizes, in)` -> `(batch, *new_sizes, filters)`; channels second for
        "channels_first"

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
                f"{owner} got filters={filters} and groups={groups}. The filters are shared out "
                f"evenly to the groups. Type filters={max(round(filters / groups), 1) * groups}."
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
                f"{type(self).__name__} {self.name!r} has groups={self.groups}, its input has "
                f"{channels} channels. They are shared out evenly to the groups. Choose a divisor."
            )
        self._add("kernel", (*self.kernel_size, channels // self.groups, self.filters), "kernel")
        self._add_bias(self.filters)

    def __init_subclass__(cls, **kwargs):
        own = cls.__dict__
        if "convolution_op" in own and "call" not in own:
            cls.call = cls._call_by_op
        super().__init_subclass__(**kwargs)

    def convolution_op(self, inputs, kernel):
        """The convolution alone, with a kernel in Keras's layout: for subclasses to override."""
        x = inputs.permute(self._to_first) if self._last else inputs
        kernel = kernel.value if isinstance(kernel, BoundView) else kernel
        x = self._convolve(x, self.views[0].to_torch(kernel), None)
        return x.permute(self._to_last) if self._last else x

    def _call_by_op(self, inputs):
        """What a subclass with a `convolution_op` of its own computes."""
        x = self.convolution_op(inputs, self.kernel)
        if self.use_bias:
            x = x + (self.bias if self._last else self.bias.view(-1, *[1] * self.rank))
        return self.activation(x)


class Conv1D(_PlainConv):
    """Convolution over time: `(batch, time, in)` -> `(batch, new_time, filters)`."""

    rank = 1
    views = (Permuted("kernel", "weight", 2, 1, 0),)
    _run = staticmethod(conv1d)
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
                    f"{owner} got output_padding={output_padding} and strides={self.strides}. "
                    "It is smaller than the stride on each axis. Leave it out for the usual sizes."
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
        given = self.output_padding or (None,) * self.rank
        crops = transposed_crops(self._window, self.strides, given, self.padding)
        self._torch_padding, self._torch_output_padding, self._cut = crops

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


class Conv1DTranspose(_ConvTranspose):
    """Transposed convolution over time: `(batch, time, in)` -> `(batch, new_time, filters)`."""

    rank = 1
    views = (Permuted("kernel", "weight", 2, 1, 0),)
    _run = staticmethod(conv1d_transpose)


class Conv2DTranspose(_ConvTranspose):
    """Transposed convolution over pictures: `(batch, height, width, in)` -> `(..., filters)`."""

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


Convolution1D = Conv1D
Convolution2D = Conv2D
Convolution3D = Conv3D
Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose

__getattr__ = old_names(__name__)
