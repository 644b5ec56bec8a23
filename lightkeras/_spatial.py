"""What convolutions, pooling and resizing compute with: windows, padding, the order of the axes.

Keras keeps channels last, torch computes with channels second. `permute` between the two moves
no memory: an array with channels last is what torch calls the `channels_last` memory format, in
which its kernels work and answer, so the two moves between neighbouring layers cancel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightkeras._registry import did_you_mean

__all__ = [
    "ADAPTIVE_AVERAGE",
    "ADAPTIVE_MAX",
    "AVERAGE",
    "CONVOLVE",
    "MAX",
    "TO_FIRST",
    "TO_LAST",
    "TRANSPOSED",
    "average_windows",
    "conv1d",
    "conv1d_transpose",
    "max_windows",
    "pad_evenly",
    "padding_mode",
    "pairs",
    "same_padding",
    "transposed_crops",
    "tuple_of",
]

# x.permute(TO_FIRST[rank]): (batch, *sizes, channels) -> (batch, channels, *sizes), and back
TO_FIRST = {1: (0, 2, 1), 2: (0, 3, 1, 2), 3: (0, 4, 1, 2, 3)}
TO_LAST = {1: (0, 2, 1), 2: (0, 2, 3, 1), 3: (0, 2, 3, 4, 1)}


# ---- arguments --------------------------------------------------------------------------------


def tuple_of(owner, argument, value, count, least=1):
    """`value`, one whole number or `count` of them, as a tuple.

    Raises:
        ValueError: it is neither, or a number is below `least`.

    >>> tuple_of("Conv2D", "kernel_size", 3, 2), tuple_of("Conv2D", "strides", [2, 1], 2)
    ((3, 3), (2, 1))
    """
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,) * count
    if len(values) != count or any(not _whole(v) or v < least for v in values):
        example = (max(least, 2),) * count
        raise ValueError(
            f"{owner}({argument}={value!r}) does not fit. It takes a whole number of at least "
            f"{least}{f', or {count} of them' if count > 1 else ''}. Type for example "
            f"{owner}(..., {argument}={example if count > 1 else example[0]})."
        )
    return tuple(int(v) for v in values)


def _whole(value):
    if isinstance(value, (bool, float)) or type(value).__name__ == "bool":
        return False
    return hasattr(value, "__index__")


def pairs(owner, argument, value, rank):
    """`((before, after), ...)` of each axis; one number stands for all, or for both ends.

    >>> pairs("ZeroPadding2D", "padding", (1, 2), 2)
    ((1, 1), (2, 2))
    """
    if not isinstance(value, (list, tuple)):
        value = (value,) * rank
    if len(value) != rank:
        raise ValueError(
            f"{owner}({argument}={value!r}) does not fit. It takes one whole number, or {rank} "
            f"numbers or pairs, one for each axis. Type for example "
            f"{owner}({argument}={((1, 1),) * rank})."
        )
    return tuple(tuple_of(owner, argument, v, 2, least=0) for v in value)


def padding_mode(owner, padding, causal=False):
    """The name of a way to pad, in lower case.

    Raises:
        ValueError: nobody knows it.
    """
    known = ("valid", "same", "causal") if causal else ("valid", "same")
    name = padding.lower() if isinstance(padding, str) else padding
    if name not in known:
        raise ValueError(
            f"Unknown padding {padding!r} of {owner}.{did_you_mean(padding, known)} Accepted: "
            f"{', '.join(map(repr, known))}."
        )
    return name


# ---- padding ----------------------------------------------------------------------------------


def same_padding(sizes, window, strides):
    """(before, after) of each axis, for an output of `ceil(size / stride)`; an odd one is after.

    >>> same_padding((8, 8, 7), (3, 3, 3), (1, 2, 2))
    [(1, 1), (0, 1), (1, 1)]
    """
    pads = []
    for n, k, s in zip(sizes, window, strides, strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        pads.append((total // 2, total - total // 2))
    return pads


def pad_evenly(x, pads, mode="constant", value=None):
    """(x, padding): uneven `pads` are added to `x`, even ones are left to torch's kernel."""
    before, after = zip(*pads, strict=True)
    if before == after:
        return x, before
    return F.pad(x, [n for pair in reversed(pads) for n in pair], mode, value), (0,) * len(pads)


def transposed_crops(windows, strides, extras, padding):
    """What a transposed convolution cuts off: (torch's padding, its output padding, an index).

    The index takes from the output what torch cannot leave out itself; None where it can.

    Args:
        windows: Sizes of the kernel, with its dilation.
        strides: Steps.
        extras: Keras's `output_padding`, a number or None for each axis.
        padding: "valid" or "same".
    """
    axes = zip(windows, strides, extras, strict=True)
    crops = [_crops(k, s, extra, padding) for k, s, extra in axes]
    ends = [max(a - b, 0) for b, a in crops]
    cut = (slice(None), slice(None), *(slice(-n if n else None) for n in ends))
    before = tuple(before for before, _ in crops)
    return before, tuple(max(b - a, 0) for b, a in crops), cut if any(ends) else None


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


# ---- kernels ----------------------------------------------------------------------------------
# torch's kernels of one axis copy inputs with channels last, those of two axes do not and take
# half the time on a CPU: signals are run as pictures that are 1 high.


def conv1d(x, weight, bias, stride, padding, dilation, groups):
    x, weight = x.unsqueeze(2), weight.unsqueeze(2)  # (batch, in, time) -> (batch, in, 1, time)
    more = (1, *stride), (0, *padding), (1, *dilation), groups
    return F.conv2d(x, weight, bias, *more).squeeze(2)


def conv1d_transpose(x, weight, bias, stride, padding, output_padding, groups, dilation):
    x, weight = x.unsqueeze(2), weight.unsqueeze(2)  # (batch, in, time) -> (batch, in, 1, time)
    more = (1, *stride), (0, *padding), (0, *output_padding), groups, (1, *dilation)
    return F.conv_transpose2d(x, weight, bias, *more).squeeze(2)


def _max_pool1d(x, size, stride, padding, dilation, ceil):
    more = (1, *size), (1, *stride), (0, *padding), dilation, ceil
    return torch.max_pool2d(x.unsqueeze(2), *more).squeeze(2)  # (batch, channels, 1, time)


def _avg_pool1d(x, size, stride, padding, ceil=False, count_padding=True):
    more = (1, *size), (1, *stride), (0, *padding), ceil, count_padding
    return F.avg_pool2d(x.unsqueeze(2), *more).squeeze(2)  # (batch, channels, 1, time)


# By the number of axes beside batch and channels.
CONVOLVE = {1: conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: conv1d_transpose, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAX = {1: _max_pool1d, 2: torch.max_pool2d, 3: torch.max_pool3d}
AVERAGE = {1: _avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
ADAPTIVE_MAX = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
ADAPTIVE_AVERAGE = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


def max_windows(x, size, strides, padding):
    """Maxima of the windows of `x`, channels second; `padding` is "valid" or "same"."""
    pool = MAX[len(size)]
    if padding == "valid":
        return pool(x, size, strides, (0,) * len(size), 1, False)
    pads = same_padding(x.shape[2:], size, strides)
    # An uneven one is after, at most by one: a window that hangs over the end, which torch
    # takes at no cost, unless the stride is 1.
    if 1 in strides:
        x, before = pad_evenly(x, pads, value=float("-inf"))
    else:
        before = [before for before, _ in pads]
    return pool(x, size, strides, before, 1, True)


def average_windows(x, size, strides, padding):
    """Means of the windows of `x`, channels second; `padding` is "valid" or "same".

    With "same", what is added evenly does not count, and an odd one repeats the border: so do
    the numbers of Keras on torch come about (on other backends an odd one does not count either).
    """
    pool = AVERAGE[len(size)]
    if padding == "valid":
        return pool(x, size, strides, (0,) * len(size))
    pads = same_padding(x.shape[2:], size, strides)
    x, before = pad_evenly(x, pads, "replicate")
    return pool(x, size, strides, before, False, False)
