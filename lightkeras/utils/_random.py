"""One seed for everything that draws random numbers."""

from __future__ import annotations

import operator
import random as python_random

import numpy as np
import torch

__all__ = ["set_random_seed"]


def set_random_seed(seed):
    """Seed Python, NumPy and torch: what follows is the same in every run.

    GPUs that are not in use yet are seeded when they are first used.

    Args:
        seed: Integer from 0 to 2**32 - 1.

    Raises:
        ValueError: the seed is no such integer.

    >>> set_random_seed(7)
    >>> first = torch.rand(1)
    >>> set_random_seed(7)
    >>> bool(first == torch.rand(1))
    True
    """
    try:
        value = operator.index(seed)
    except TypeError:
        value = -1
    if not 0 <= value < 2**32:
        raise ValueError(
            f"set_random_seed() got {seed!r}. An integer from 0 to 2**32 - 1 is accepted. "
            "Write set_random_seed(42)."
        )
    python_random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)
