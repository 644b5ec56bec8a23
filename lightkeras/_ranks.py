"""Which of several processes this one is; asked without loading Lightning."""

from __future__ import annotations

import os

import torch.distributed as dist

__all__ = ["all_reduce", "is_chief", "rank", "world"]

# What launchers leave in the environment, the most telling first.
_VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def rank() -> int:
    """The number of this process among those that train one model; 0 when it is alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank()
    numbers = (os.environ.get(name, "") for name in _VARIABLES)
    return next((int(number) for number in numbers if number.isdigit()), 0)


def is_chief() -> bool:
    """Whether this is the one process that prints, draws and writes files.

    >>> is_chief()
    True
    """
    return rank() == 0


def world() -> int:
    """How many processes train one model together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def all_reduce(tensor, how):
    """Add `tensor` up over the processes, in place; "mean" divides, other ways leave it alone."""
    if how in ("sum", "mean"):
        dist.all_reduce(tensor)
        if how == "mean":
            tensor.div_(world())
