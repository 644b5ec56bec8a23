"""Starting anew in one process: names, and what compilation has kept."""

from __future__ import annotations

import gc
import sys

import torch

from lightkeras._registry import reset_names

__all__ = ["clear_session"]


def clear_session(free_memory=True):
    """Start automatic names from the beginning and drop what compilation has cached.

    Args:
        free_memory: Collect garbage too.

    >>> clear_session()
    """
    reset_names()
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()
    if free_memory:
        gc.collect()
