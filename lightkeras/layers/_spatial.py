"""What layers with windows ask of the shape of their input."""

from __future__ import annotations

import warnings

from lightkeras._config import _outside

__all__ = ["check_window", "spatial", "warn_channels_first"]


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
