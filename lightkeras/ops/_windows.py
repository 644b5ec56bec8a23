"""Convolutions, pooling, and blocks of pixels."""

from __future__ import annotations

import torch.nn.functional as F

from lightkeras._registry import unknown
from lightkeras._spatial import (
    ADAPTIVE_AVERAGE,
    ADAPTIVE_MAX,
    CONVOLVE,
    TO_FIRST,
    TO_LAST,
    TRANSPOSED,
    average_windows,
    max_windows,
    pad_evenly,
    padding_mode,
    same_padding,
    transposed_crops,
    tuple_of,
)
from lightkeras.config import standardize_data_format
from lightkeras.ops._op import family, floating

__all__ = [
    "adaptive_average_pool",
    "adaptive_max_pool",
    "average_pool",
    "conv",
    "conv_transpose",
    "depth_to_space",
    "depthwise_conv",
    "fold",
    "max_pool",
    "separable_conv",
    "space_to_depth",
    "unfold",
]

op = family("nn")


def _rank(name, x):
    """Number of axes beside batch and channels."""
    if not 3 <= x.ndim <= 5:
        raise ValueError(
            f"{name}() got an input of shape {tuple(x.shape)}. One to three axes between batch and "
            "channels are accepted. For one image, add the batch: x[None]."
        )
    return x.ndim - 2


def _channels_second(x, data_format):
    """(x with channels second, whether they were last)."""
    last = standardize_data_format(data_format) == "channels_last"
    return (x.permute(TO_FIRST[x.ndim - 2]) if last else x), last


# ---- pooling ----------------------------------------------------------------------------------


@op
def max_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """The maximum of each window.

    Args:
        inputs: Tensor.
        pool_size: Size of the window, one number or one for each axis.
        strides: Steps of the window; `pool_size` by default.
        padding: "valid" (none) or "same" (an output of `ceil(size / strides)`).
        data_format: "channels_last" or "channels_first".

    Shape:
        `(batch, *sizes, channels)` -> `(batch, *new_sizes, channels)`, with one to three sizes;
        channels second for "channels_first"

    Raises:
        ValueError: an argument does not fit.

    >>> import torch
    >>> x = torch.arange(5.0).reshape(1, 5, 1)
    >>> max_pool(x, 2).flatten(), max_pool(x, 2, padding="same").flatten()
    (tensor([1., 3.]), tensor([1., 3., 4.]))
    """
    return _pooled("max_pool", max_windows, inputs, pool_size, strides, padding, data_format)


@op
def average_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """The mean of each window; arguments as for `max_pool`.

    With "same", zeros that are added evenly do not count, and an odd one repeats the border, as
    on Keras with torch.
    """
    pool, inputs = average_windows, floating(inputs)
    return _pooled("average_pool", pool, inputs, pool_size, strides, padding, data_format)


def _pooled(name, pool, x, size, strides, padding, data_format):
    rank = _rank(name, x)
    size = tuple_of(name, "pool_size", size, rank)
    strides = size if strides is None else tuple_of(name, "strides", strides, rank)
    padding = padding_mode(name, padding)
    x, last = _channels_second(x, data_format)
    if padding == "valid" and any(n < k for n, k in zip(x.shape[2:], size, strict=True)):
        raise _too_small(name, x, size)
    y = pool(x, size, strides, padding)
    return y.permute(TO_LAST[rank]) if last else y


def _too_small(name, x, window):
    return ValueError(
        f"{name}() has a window of {tuple(window)}, larger than its input of {tuple(x.shape[2:])}. "
        'Nothing would come out. Make it smaller, or type padding="same".'
    )


@op
def adaptive_max_pool(inputs, output_size, data_format=None):
    """Maxima of windows that are chosen so that the output has a given size.

    Args:
        inputs: Tensor.
        output_size: Size of the output, one number or one for each axis.
        data_format: "channels_last" or "channels_first".

    Shape: `(batch, *sizes, channels)` -> `(batch, *output_size, channels)`

    >>> import torch
    >>> tuple(adaptive_max_pool(torch.zeros(2, 7, 8, 4), 3).shape)
    (2, 3, 3, 4)
    """
    return _adapted("adaptive_max_pool", ADAPTIVE_MAX, inputs, output_size, data_format)


@op
def adaptive_average_pool(inputs, output_size, data_format=None):
    """Means of windows that are chosen so that the output has a given size.

    The arguments are those of `adaptive_max_pool`.
    """
    inputs = floating(inputs)
    return _adapted("adaptive_average_pool", ADAPTIVE_AVERAGE, inputs, output_size, data_format)


def _adapted(name, kernels, x, size, data_format):
    rank = _rank(name, x)
    size = tuple_of(name, "output_size", size, rank)
    x, last = _channels_second(x, data_format)
    y = kernels[rank](x, size)
    return y.permute(TO_LAST[rank]) if last else y


# ---- convolutions -----------------------------------------------------------------------------


@op("inputs", "kernel")
def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """A convolution; with fewer channels in the kernel than in the input, of groups of channels.

    Args:
        inputs: Tensor.
        kernel: `(*window, in, out)`.
        strides: Steps of the window, one number or one for each axis.
        padding: "valid" (none) or "same" (an output of `ceil(size / strides)`).
        data_format: "channels_last" or "channels_first".
        dilation_rate: Steps within the window.

    Shape:
        `(batch, *sizes, in)` -> `(batch, *new_sizes, out)`, with one to three sizes; channels
        second for "channels_first"

    Raises:
        ValueError: an argument does not fit.

    >>> import torch
    >>> tuple(conv(torch.zeros(2, 8, 8, 3), torch.zeros(3, 3, 3, 5), padding="same").shape)
    (2, 8, 8, 5)
    """
    rank = _kernel_rank("conv", inputs, kernel)
    weight = kernel.permute(rank + 1, rank, *range(rank))  # (*window, in, out) -> (out, in, ...)
    return _convolved("conv", inputs, weight, strides, padding, data_format, dilation_rate)


@op("inputs", "kernel")
def depthwise_conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """A convolution of each channel on its own.

    Args:
        kernel: `(*window, in, multiplier)`: kernels for each channel.
        (the others as for `conv`)

    Shape: `(batch, *sizes, in)` -> `(batch, *new_sizes, in * multiplier)`

    Raises:
        ValueError: an argument does not fit.
    """
    weight = _depthwise("depthwise_conv", inputs, kernel, data_format)
    name = "depthwise_conv"
    return _convolved(name, inputs, weight, strides, padding, data_format, dilation_rate)


@op("inputs", "depthwise_kernel", "pointwise_kernel")
def separable_conv(
    inputs,
    depthwise_kernel,
    pointwise_kernel,
    strides=1,
    padding="valid",
    data_format=None,
    dilation_rate=1,
):
    """`depthwise_conv`, then a convolution of size 1 that mixes the channels.

    Args:
        depthwise_kernel: `(*window, in, multiplier)`.
        pointwise_kernel: `(1, ..., in * multiplier, out)`.
        (the others as for `conv`)

    Shape: `(batch, *sizes, in)` -> `(batch, *new_sizes, out)`

    Raises:
        ValueError: an argument does not fit.
    """
    weight = _depthwise("separable_conv", inputs, depthwise_kernel, data_format)
    rank = _kernel_rank("separable_conv", inputs, pointwise_kernel)
    mix = pointwise_kernel.permute(rank + 1, rank, *range(rank))
    name = "separable_conv"
    y = _convolved(name, inputs, weight, strides, padding, data_format, dilation_rate)
    return _convolved(name, y, mix, 1, "valid", data_format, 1)


def _kernel_rank(name, x, kernel):
    rank = _rank(name, x)
    if kernel.ndim != rank + 2:
        raise ValueError(
            f"{name}() got an input of shape {tuple(x.shape)} and a kernel of shape "
            f"{tuple(kernel.shape)}. A kernel has the {rank} sizes of its window and two numbers "
            "of channels. Reshape it."
        )
    return rank


def _depthwise(name, x, kernel, data_format):
    """`(*window, in, multiplier)` -> `(in * multiplier, 1, *window)`."""
    rank = _kernel_rank(name, x, kernel)
    axis = -1 if standardize_data_format(data_format) == "channels_last" else 1
    if kernel.shape[-2] != x.shape[axis]:
        raise _channels(name, x, kernel)
    return kernel.permute(rank, rank + 1, *range(rank)).flatten(0, 1).unsqueeze(1)


def _channels(name, x, kernel):
    return ValueError(
        f"{name}() got an input of shape {tuple(x.shape)} and a kernel of shape "
        f"{tuple(kernel.shape)}: their numbers of channels do not go together. The last but one "
        "of the kernel's is that of the input. Check data_format, too."
    )


def _convolved(name, x, weight, strides, padding, data_format, dilation_rate):
    rank = _rank(name, x)
    strides = tuple_of(name, "strides", strides, rank)
    dilation = tuple_of(name, "dilation_rate", dilation_rate, rank)
    padding = padding_mode(name, padding)
    x, last = _channels_second(floating(x), data_format)
    groups, rest = divmod(x.shape[1], weight.shape[1])
    if rest or not groups or weight.shape[0] % groups:
        raise _channels(name, x, weight.movedim((1, 0), (-2, -1)))
    window = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    pads = (0,) * rank
    if padding == "same":
        x, pads = pad_evenly(x, same_padding(x.shape[2:], window, strides))
    elif any(n < k for n, k in zip(x.shape[2:], window, strict=True)):
        raise _too_small(name, x, window)
    y = CONVOLVE[rank](x, weight, None, strides, pads, dilation, groups)
    return y.permute(TO_LAST[rank]) if last else y


@op("inputs", "kernel")
def conv_transpose(
    inputs,
    kernel,
    strides=1,
    padding="valid",
    output_padding=None,
    data_format=None,
    dilation_rate=1,
):
    """A transposed convolution: what the gradient of a convolution does.

    Args:
        kernel: `(*window, out, in)`.
        output_padding: Sizes added at the end of each axis; by default those of the largest output
            that the padding allows.
        (the others as for `conv`)

    Shape:
        `(batch, *sizes, in)` -> `(batch, *new_sizes, out)`; a new size is `size * stride` for
        "same" and `(size - 1) * stride + max(window, stride)` for "valid"

    Raises:
        ValueError: an argument does not fit.

    >>> import torch
    >>> x, kernel = torch.zeros(2, 7, 7, 4), torch.zeros(3, 3, 8, 4)
    >>> tuple(conv_transpose(x, kernel, strides=2, padding="same").shape)
    (2, 14, 14, 8)
    """
    name, rank = "conv_transpose", _kernel_rank("conv_transpose", inputs, kernel)
    strides = tuple_of(name, "strides", strides, rank)
    dilation = tuple_of(name, "dilation_rate", dilation_rate, rank)
    extras = (None,) * rank
    if output_padding is not None:
        extras = tuple_of(name, "output_padding", output_padding, rank, 0)
    x, last = _channels_second(floating(inputs), data_format)
    if kernel.shape[-1] != x.shape[1]:
        raise ValueError(
            f"conv_transpose() got {x.shape[1]} channels and a kernel of shape "
            f"{tuple(kernel.shape)}. Its last size is that number. Check data_format, too."
        )
    windows = [(k - 1) * d + 1 for k, d in zip(kernel.shape[:rank], dilation, strict=True)]
    crops = transposed_crops(windows, strides, extras, padding_mode(name, padding))
    y = _transposed(x, kernel, strides, crops, dilation)
    return y.permute(TO_LAST[rank]) if last else y


def _transposed(x, kernel, strides, crops, dilation):
    rank = x.ndim - 2
    weight = kernel.permute(rank + 1, rank, *range(rank))  # (*window, out, in) -> (in, out, ...)
    before, after, cut = crops
    # torch adds less than a stride or a dilation at the end; zeros are as good
    more = [max(a - max(s, d) + 1, 0) for a, s, d in zip(after, strides, dilation, strict=True)]
    after = [a - m for a, m in zip(after, more, strict=True)]
    y = TRANSPOSED[rank](x, weight, None, strides, before, after, 1, dilation)
    if any(more):
        y = F.pad(y, [n for m in reversed(more) for n in (0, m)])
    return y if cut is None else y[cut]


# ---- blocks -----------------------------------------------------------------------------------


@op
def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    """Windows of pictures as columns, channels first.

    Args:
        x: Pictures `(batch, channels, height, width)`.
        kernel_size: Size of the window, one number or two.
        dilation: Steps within the window.
        padding: Zeros at each border.
        stride: Steps of the window.

    Shape: `(batch, channels, height, width)` -> `(batch, channels * window, places)`

    >>> import torch
    >>> tuple(unfold(torch.zeros(2, 3, 4, 4), 2, stride=2).shape)
    (2, 12, 4)
    """
    return F.unfold(x, kernel_size, dilation, padding, stride)


@op
def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns added up to pictures: what the gradient of `unfold` does.

    Args:
        x: Columns `(batch, channels * window, places)`.
        output_size: (height, width) of the pictures.
        (the others as for `unfold`)

    Shape: `(batch, channels * window, places)` -> `(batch, channels, height, width)`
    """
    return F.fold(x, output_size, kernel_size, dilation, padding, stride)


@op
def depth_to_space(x, block_size, data_format="channels_last"):
    """Channels become blocks of pixels.

    Args:
        x: Pictures.
        block_size: Size of a block.
        data_format: "channels_last" or "channels_first".

    Shape: `(batch, h, w, c)` -> `(batch, h * block_size, w * block_size, c / block_size**2)`

    Raises:
        ValueError: the channels cannot be divided so.

    >>> depth_to_space([[[[1, 2, 3, 4]]]], 2).squeeze().tolist()
    [[1, 2], [3, 4]]
    """
    last, block = _blocks("depth_to_space", x, block_size, data_format)
    channels = x.shape[-1 if last else 1]
    if channels % block**2:
        raise ValueError(
            f"depth_to_space() got {channels} channels and block_size={block}. A multiple of "
            f"{block**2} is accepted. Choose another size."
        )
    if last:
        x = x.unflatten(3, (block, block, -1)).transpose(2, 3)  # (batch, h, b, w, b, c)
        return x.flatten(3, 4).flatten(1, 2)
    x = x.unflatten(1, (-1, block, block)).permute(0, 1, 4, 2, 5, 3)  # (batch, c, h, b, w, b)
    return x.flatten(4, 5).flatten(2, 3)


@op
def space_to_depth(x, block_size, data_format="channels_last"):
    """Blocks of pixels become channels: the inverse of `depth_to_space`.

    Args:
        x: Pictures.
        block_size: Size of a block.
        data_format: "channels_last" or "channels_first".

    Shape: `(batch, h, w, c)` -> `(batch, h / block_size, w / block_size, c * block_size**2)`

    Raises:
        ValueError: height or width cannot be divided so.
    """
    last, block = _blocks("space_to_depth", x, block_size, data_format)
    height, width = x.shape[1:3] if last else x.shape[2:]
    if height % block or width % block:
        raise ValueError(
            f"space_to_depth() got pictures of {height} x {width} and block_size={block}. "
            f"Multiples of {block} are accepted. Pad or crop them first."
        )
    if last:
        x = x.unflatten(2, (-1, block)).unflatten(1, (-1, block))  # (batch, h, b, w, b, c)
        return x.transpose(2, 3).flatten(3)
    x = x.unflatten(3, (-1, block)).unflatten(2, (-1, block))  # (batch, c, h, b, w, b)
    return x.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)


def _blocks(name, x, block_size, data_format):
    """(whether channels are last, size of a block)."""
    if data_format not in ("channels_last", "channels_first"):
        raise unknown(f"data_format of {name}", data_format, ["channels_last", "channels_first"])
    if x.ndim != 4:
        raise ValueError(
            f"{name}() got x of shape {tuple(x.shape)}. Pictures with a batch, of four axes, are "
            "accepted. For one picture, type x[None]."
        )
    return data_format == "channels_last", tuple_of(name, "block_size", block_size, 1)[0]
