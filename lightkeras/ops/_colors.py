"""Colors of pixels."""

from __future__ import annotations

import torch

__all__ = ["grey", "to_hsv", "to_rgb"]


def grey(x, axis=1):
    """How bright the pixels look, as one channel (ITU-R BT.601)."""
    if x.shape[axis] == 1:
        return x
    red, green, blue = x.split(1, axis)
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def to_hsv(x, axis=1):
    """Hue (0 to 1), saturation and value; Smith 1978, "Color gamut transform pairs"."""
    red, green, blue = x.split(1, axis)
    value, least = x.amax(axis, keepdim=True), x.amin(axis, keepdim=True)
    spread = value - least
    sixth = 1 / (6 * torch.where(spread > 0, spread, 1))
    hue = torch.where(value == green, (blue - red) * sixth + 2 / 6, (red - green) * sixth + 4 / 6)
    hue = torch.where(value == red, (green - blue) * sixth, hue)
    hue = torch.where(spread > 0, hue, 0).remainder(1)
    saturation = torch.where(value > 0, spread / torch.where(value > 0, value, 1), 0)
    return hue, saturation, value


def to_rgb(hue, saturation, value, axis=1):
    """RGB images; a hue below 0 or above 1 goes round the circle."""
    at = hue.remainder(1) * 6
    red = ((at - 3).abs() - 1).clamp(0, 1)
    green = (2 - (at - 2).abs()).clamp(0, 1)
    blue = (2 - (at - 4).abs()).clamp(0, 1)
    return value * (1 - saturation + saturation * torch.cat((red, green, blue), axis))
