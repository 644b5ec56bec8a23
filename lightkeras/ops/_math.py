"""Ops that stand in `ops` alone."""

from __future__ import annotations

import torch

from lightkeras.ops._op import family, floating

__all__ = ["rsqrt"]

op = family("math")


@op
def rsqrt(x):
    """1 / sqrt(x)."""
    return torch.rsqrt(floating(x))
