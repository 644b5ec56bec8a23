"""What `compile` was given, as a config and back."""

from __future__ import annotations

import warnings

from lightkeras import losses, metrics, optimizers
from lightkeras.saving import _objects

__all__ = ["compile_config", "compile_from"]

_SLOTS = {"loss": losses, "metrics": metrics, "weighted_metrics": metrics}
_PLAIN = ("loss_weights", "run_eagerly", "steps_per_execution", "jit_compile")


def compile_config(compiled):
    """Optimizer, losses, metrics and switches in Keras's form; {} and a warning if it has none."""
    given = compiled.config
    if not isinstance(compiled.optimizer, optimizers.Optimizer):
        return _left_out(f"the optimizer {type(compiled.optimizer).__name__} of torch")
    config = {"optimizer": optimizers.serialize(compiled.optimizer)}
    for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
        slot = _SLOTS.get(name)
        try:
            config[name] = given[name] if slot is None else _stored(given[name], slot)
        except (TypeError, ValueError) as error:
            return _left_out(f"{name}={given[name]!r} ({error})")
    return {**config, **{name: given[name] for name in _PLAIN if name in given}}


def _stored(tree, slot):
    if isinstance(tree, dict):
        return {key: _stored(value, slot) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_stored(value, slot) for value in tree]
    if tree is None or isinstance(tree, str):
        return tree
    if getattr(tree, "__name__", "") == "<lambda>":
        raise ValueError("a lambda has no name")
    if not hasattr(tree, "get_config") and not hasattr(tree, "__name__"):  # of torch, torchmetrics
        raise ValueError(f"{type(tree).__name__} has no get_config()")
    return slot.serialize(tree)


def _left_out(what):
    warnings.warn(
        f"The file holds the model without compile(): it has no form for {what}. Weights and "
        "architecture are stored. Call compile() again after loading.",
        stacklevel=2,
    )
    return {}


def compile_from(model, config):
    """Compile `model` as `compile_config` says.

    Raises:
        ValueError: a name is not known in its slot.
    """
    known = {name: config[name] for name in _PLAIN if name in config}
    for name, slot in _SLOTS.items():
        known[name] = _read(config.get(name), slot)
    optimizer = config.get("optimizer")
    if isinstance(optimizer, (dict, str)):
        known["optimizer"] = optimizers.deserialize(optimizer)
    known["loss_weights"] = _objects.revive(config.get("loss_weights"))
    model.compile(**known)


def _read(tree, slot):
    if isinstance(tree, dict) and "class_name" in tree and "config" in tree:
        return slot.deserialize(tree)
    if isinstance(tree, dict):
        return {key: _read(value, slot) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_read(value, slot) for value in tree]
    return tree
