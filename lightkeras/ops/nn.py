"""Ops of neural networks: activations, windows, normalization, crossentropy, attention."""

from __future__ import annotations

import torch

from lightkeras._older import old_names
from lightkeras.ops import _activations, _attention, _classes, _ctc, _normalization, _windows
from lightkeras.ops._activations import *  # noqa: F403
from lightkeras.ops._attention import *  # noqa: F403
from lightkeras.ops._classes import *  # noqa: F403
from lightkeras.ops._ctc import *  # noqa: F403
from lightkeras.ops._normalization import *  # noqa: F403
from lightkeras.ops._op import family
from lightkeras.ops._windows import *  # noqa: F403

__all__ = [
    "polar",
    *_activations.__all__,
    *_attention.__all__,
    *_classes.__all__,
    *_ctc.__all__,
    *_normalization.__all__,
    *_windows.__all__,
]

op = family("nn")


@op("abs_", "angle")
def polar(abs_, angle):
    """Complex numbers of a length and an angle.

    >>> polar([2.0], [0.0])
    tensor([2.+0.j])
    """
    return torch.polar(abs_, angle)


__getattr__ = old_names(__name__)
