"""The processes that train one model together; asked without loading Lightning."""

from __future__ import annotations

import os
from contextlib import contextmanager

import torch
import torch.distributed as dist

__all__ = ["gather", "is_alone", "is_chief", "rank", "share", "sharing", "summed", "total", "world"]

# What launchers leave in the environment, the most telling first.
_VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID")

# The part of the running batch that is in this process, from 0 to 1; None: the batch is whole.
# What is added up over a batch and then divided by something must know of it.
share: float | None = None


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


def is_alone() -> bool:
    """Whether no launcher started this process as one of several.

    >>> is_alone()
    True
    """
    return world() == 1 and not any(name in os.environ for name in _VARIABLES)


def world() -> int:
    """How many processes train one model together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(value) -> list:
    """`value` of every process, in their order; every process must ask.

    Raises:
        RuntimeError: another process has ended.
    """
    values = [None] * world()
    try:
        dist.all_gather_object(values, value)
    except RuntimeError as error:
        if "gloo" not in str(error):
            raise
        raise RuntimeError(
            f"Process {rank()} of {world()} waited for the others, and one of them has ended. "
            "All have to go on together. Look for the error of that one: it came first."
        ) from None
    return values


@contextmanager
def sharing(part):
    """Inside the `with` block, the running batch is spread over the processes.

    Args:
        part: Rows here by rows in all; None: it is whole again.
    """
    global share
    before, share = share, part
    try:
        yield
    finally:
        share = before


def total(count):
    """A `count` (a tensor) over the whole of the running batch."""
    return summed(count.detach() * (share > 0))  # a process without rows may have borrowed some


def summed(tensor):
    """The sum of a tensor over the processes, through which gradients flow."""
    return _Summed.apply(tensor)


class _Summed(torch.autograd.Function):
    """A part counts in the losses of all processes, so their gradients add up, too."""

    @staticmethod
    def forward(ctx, tensor):
        tensor = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(tensor)
        return tensor

    @staticmethod
    def backward(ctx, gradient):
        return _Summed.forward(ctx, gradient)
