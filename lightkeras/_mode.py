"""Training or inference: how modules compute, for as long as something lasts."""

from __future__ import annotations

from contextlib import contextmanager

__all__ = ["in_other_mode", "training_mode"]


@contextmanager
def training_mode(module, training):
    """Inside, `module` and all below it are in training (or inference) mode."""
    changed = in_other_mode(module, training)
    _set(changed, training)
    try:
        yield
    finally:
        _set(changed, not training)


def in_other_mode(module, training):
    """What of `module` and all below it is not in this mode; without a Python call for each."""
    found, stack, seen = [], [module], {None}
    while stack:
        one = stack.pop()
        if one not in seen:
            seen.add(one)
            if one.training != training:
                found.append(one)
            stack.extend(one._modules.values())
    return found


def _set(modules, training):
    for module in modules:
        if "training" in module.__dict__:
            module.__dict__["training"] = training  # past Module.__setattr__
        else:
            module.training = training
