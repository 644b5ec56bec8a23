"""Importing what is large, without looking for garbage in it."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager, nullcontext

__all__ = ["loading"]


def loading(module):
    """Around what imports a large module: until it is there, Python's garbage collector rests.

    torch's compiler and Lightning make 200,000 objects that stay, and the collector would look at
    all there are again and again meanwhile: a fifth of the time of such an import.

    Args:
        module: Full name; where it is imported already, nothing happens.

    >>> import gc, sys
    >>> _ = sys.modules.pop("wave", None)
    >>> with loading("wave"):
    ...     import wave
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    return nullcontext() if module in sys.modules else _uncollected()


@contextmanager
def _uncollected():
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
