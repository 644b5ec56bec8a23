"""Scaled sums over lists of tensors, in place.

The scale is a float in an eager step, where it costs nothing, and a tensor without axes in a
compiled one, where a float would be built into the code and each new value compiled anew.
"""

from __future__ import annotations

import torch

__all__ = ["add_", "addcdiv_"]


def add_(tensors, others, scale):
    """`tensor += scale * other`, for each."""
    if isinstance(scale, torch.Tensor):
        torch._foreach_add_(tensors, torch._foreach_mul(others, scale))
    else:
        torch._foreach_add_(tensors, others, alpha=scale)


def addcdiv_(tensors, numerators, divisors, scale):
    """`tensor += scale * numerator / divisor`, for each."""
    if isinstance(scale, torch.Tensor):
        quotients = torch._foreach_div(numerators, divisors)
        torch._foreach_add_(tensors, torch._foreach_mul(quotients, scale))
    else:
        torch._foreach_addcdiv_(tensors, numerators, divisors, scale)
