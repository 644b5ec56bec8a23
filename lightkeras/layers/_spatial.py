"""What convolutions, pooling and resizing share: windows, padding, and the order of the axes.

Keras keeps channels last, torch computes with channels second. `permute` between the two moves
no memory: an array with channels last is what torch calls the `channels_last` memory format, in
which its kernels work and answer, so the two moves between neighbouring layers cancel.
"""

from __future__ import annotations

import warnings

import torch.nn.functional as F

from lightkeras._config import _outside
from lightkeras._registry import did_you_mean

__all__ = [
    "TO_FIRST",
    "TO_LAST",
    "check_window",
    "pad_evenly",
    "padding_mode",
    "pairs",
    "same_padding",
    "spatial",
    "tuple_of",
    "warn_channels_first",
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


# ---- shapes -----------------------------------------------------------------------------------


def spatial(layer, shape):
    """The sizes without batch and channels."""
    return tuple(shape[1:-1] if layer.data_format == "channels_last" else shape[2:])


def check_window(layer, shape, window):
    """Refuse an input that is smaller than the window.

    Raises:
        ValueError: it is, and nothing is padded.
    """
    sizes = spatial(layer, shape)
    if layer.padding != "valid" or len(sizes) != len(window):
        return
    if any(n is not None and n < k for n, k in zip(sizes, window, strict=True)):
        raise ValueError(
            f"{type(layer).__name__} {layer.name!r} has a window of {window}, larger than its "
            f"input of {sizes} (shape {tuple(shape)}, {layer.data_format}). Nothing would come "
            'out. Make it smaller, pool less before it, or type padding="same".'
        )


def warn_channels_first(layer, shape):
    """Warn where a picture seems to have its channels on the wrong side."""
    if len(shape) != 4 or layer.data_format != "channels_last" or None in shape[1:]:
        return
    first, height, last = shape[1:]
    # A feature map may be 1 or 3 high, too: then it has as many channels as filters, often a
    # power of two. A picture is square, or large with an odd width.
    picture = height == last > 4 or (min(height, last) >= 32 and last & (last - 1))
    if first in (1, 3) and last not in (1, 3, 4) and picture:
        warnings.warn(
            f"{type(layer).__name__} {layer.name!r} takes its input of shape {tuple(shape)} for a "
            f"picture of {first} x {height} with {last} channels. If the channels come first, move "
            'them: x.transpose(0, 2, 3, 1), or type data_format="channels_first".',
            stacklevel=_outside(),
        )
