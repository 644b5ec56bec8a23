"""Memory that stays with the process between steps."""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import contextmanager

__all__ = ["memory_kept"]

# Names of malloc.h for `mallopt`, and what glibc's own adjustment ends with.
_TRIM, _MMAP = -1, -3
_USUAL = {_TRIM: 64 << 20, _MMAP: 32 << 20}
_KEPT = {_TRIM: 1 << 30, _MMAP: 1 << 30}
_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


@contextmanager
def memory_kept(wanted):
    """Inside, blocks that a CPU has freed are used again instead of going back to the system.

    glibc gives large blocks back as soon as they are free, and the first touch of a new page is a
    fault: in a step of a convolutional network, with tens of MiB of activations that come and go, a
    fifth of the time. The price is memory that is held until training ends.

    Args:
        wanted: Whether to do so; nothing happens without glibc, or where variables of the
            environment say how it should be.
    """
    libc = _glibc() if wanted else None
    if libc is None:
        yield
        return
    _set(libc, _KEPT)
    try:
        yield
    finally:
        _set(libc, _USUAL)
        libc.malloc_trim(0)


def _glibc():
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _VARIABLES):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None


def _set(libc, options):
    for option, value in options.items():
        libc.mallopt(option, value)
