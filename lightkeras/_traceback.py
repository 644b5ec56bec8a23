"""Errors that leave a public method show the user's frames, not the engine's."""

from __future__ import annotations

import functools
from traceback import clear_frames

import torch

from lightkeras import config

__all__ = ["filtered", "is_about_memory", "let_go"]

_INSIDE = ("lightkeras", "lightning", "lightning_fabric", "lightning_utilities", "contextlib")
_CALLS = "torch.nn.modules.module"  # every layer is called through it


def filtered(method):
    """Decorator: an error's traceback is without the frames of lightkeras and Lightning.

    `config.disable_traceback_filtering()` shows them.
    """

    @functools.wraps(method)
    def call(self, *args, **kwargs):
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            if not config.is_traceback_filtering_enabled():
                raise
            raise error.with_traceback(_shortened(error.__traceback__))  # noqa: B904

    return call


def _shortened(traceback):
    """The frames of others, down to the last one; the same objects, linked anew."""
    kept = []
    while traceback is not None:
        name = traceback.tb_frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in _INSIDE and name != _CALLS:
            kept.append(traceback)
        traceback = traceback.tb_next
    shown = None
    for step in reversed(kept):
        step.tb_next = shown
        shown = step
    return shown


def let_go(error):
    """Clear the variables of the frames that an error and its causes remember, and forget them."""
    while error is not None:
        clear_frames(error.__traceback__)
        error.__traceback__ = None  # those that still run cannot be cleared
        error = error.__cause__ or error.__context__


def is_about_memory(error):
    """Whether a device had not enough of it; torch has a class for accelerators alone."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
