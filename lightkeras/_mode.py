"""Training or inference: how modules compute, for as long as something lasts."""

from __future__ import annotations

from contextlib import contextmanager

__all__ = ["training_mode"]


@contextmanager
def training_mode(module, training):
    """Inside, `module` and all below it are in training (or inference) mode."""
    changed = [m for m in module.modules() if m.training != training]
    for m in changed:
        m.training = training
    try:
        yield
    finally:
        for m in changed:
            m.training = not training
