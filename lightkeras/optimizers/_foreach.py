"""Scaled sums over lists of tensors, in place.

The scale is a float in an eager step, where it costs nothing, and a tensor without axes in a
compiled one, where a float would be built into the code and each new value compiled anew.
"""

from __future__ import annotations

import torch

__all__ = ["add_", "addcdiv_", "follow_"]


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


def follow_(momentum, velocity, grads, beta_1, beta_2):
    """Bring the averages of the gradients and of their squares up to date."""
    torch._foreach_lerp_(momentum, grads, 1 - beta_1)
    torch._foreach_mul_(velocity, beta_2)
    torch._foreach_addcmul_(velocity, grads, grads, 1 - beta_2)
