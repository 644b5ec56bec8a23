"""What a backup belongs to: data, model and processes, in short, so that others are refused."""

from __future__ import annotations

import hashlib
import warnings

import torch

from lightkeras._data import Arrays
from lightkeras._data._convert import leaves
from lightkeras._ranks import world
from lightkeras._training._state import data_of

__all__ = ["check", "check_settings", "fingerprint", "settings"]

_EDGE = 4  # rows at each end that are looked at


def fingerprint(fit):
    """{what: {name: value}} of plain values, of a `fit` that is about to begin."""
    model = fit.model
    named: dict[str, dict] = {"processes": {"number": world()}}
    for name, batches in data_of(fit).items():
        named[name] = _data(batches)
    tensors = [*model.named_parameters(), *model.named_buffers()]
    named["model"] = {n: f"{list(t.shape)} {t.dtype}" for n, t in tensors}
    optimizer = model._compiled.optimizer
    named["compile()"] = {
        "optimizer": type(optimizer).__name__,
        "metrics": [metric.name for metric in model._all_metrics()],
    }
    return named


def _data(batches):
    found: dict = {"kind": type(batches).__name__}
    for name in ("rows", "steps", "batch_size", "shuffle"):
        value = getattr(batches, name, None)
        if value is not None:
            found[name] = value
    if isinstance(batches, Arrays):
        parts = zip(("x", "y", "sample_weight"), (batches.x, batches.y, batches.w), strict=True)
        for name, array in (pair for part, tree in parts for pair in leaves(tree, part)):
            found[name] = f"{list(array.shape[1:])} {array.dtype} {_digest(array)}"
    else:
        kinds = [type(source).__name__ for source in batches.sources()]
        sizes = [_size(source) for source in batches.sources()]
        found.update(sources=kinds, sizes=sizes)
    return found


def _digest(array):
    """Short digest of the first and last rows."""
    ends = torch.cat([array[:_EDGE], array[-_EDGE:]]).cpu().contiguous()
    return hashlib.sha256(ends.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()[:16]


def _size(source):
    try:
        return len(source)
    except (TypeError, NotImplementedError):
        return None


def check(now, then, folder):
    """Refuse to go on with something else than what was saved.

    Raises:
        ValueError: it says what differs.
    """
    for what in sorted({*now, *then}):
        mine, saved = now.get(what, {}), then.get(what, {})
        for name in [*saved, *mine]:
            if mine.get(name) != saved.get(name):
                raise ValueError(
                    f"The backup in {folder!r} belongs to another training: of {what}, {name} was "
                    f"{saved.get(name, 'not there')} and is {mine.get(name, 'not there')}. "
                    "The same data, model and number of processes can go on. Remove the folder to "
                    "begin anew, or give another one."
                )


# ---- what a script may change, and a training that goes on does not ----------------------------


def settings(optimizer):
    """{name: text} of what an optimizer is given, learning rate first."""
    if hasattr(optimizer, "get_config"):
        config = optimizer.get_config()
        config.pop("name", None)  # it may count the optimizers that were made before
        rate = config.pop("learning_rate", None)
        return {"learning_rate": _text(rate), **{n: _text(v) for n, v in config.items()}}
    groups = [] if optimizer is None else optimizer.param_groups
    named = groups[0].items() if groups else ()
    return {n: _text(v) for n, v in named if n not in ("params", "initial_lr")}


def _text(value):
    if isinstance(value, dict) and "class_name" in value:
        inner = value.get("config", {}).items()
        return f"{value['class_name']}({', '.join(f'{n}={_text(v)}' for n, v in inner)})"
    return repr(value)


def check_settings(now, then, rate, folder):
    """Warn where the script gives the optimizer something else than when the training began.

    Args:
        now, then: What `settings` gives, and gave.
        rate: The learning rate that the backup holds; None where there is none.
        folder: Where the backup is.
    """
    changed = [name for name in then if name in now and now[name] != then[name]]
    if changed and changed[0] in ("learning_rate", "lr") and now[changed[0]] == _text(rate):
        changed = changed[1:]  # a callback has come to the same
    if not changed:
        return
    mine, saved = (", ".join(f"{n}={given[n]}" for n in changed[:3]) for given in (now, then))
    goes_on = "" if rate is None else f", now with a learning rate of {rate:.6g}"
    warnings.warn(
        f"The optimizer has {mine}, and the training whose backup is in {folder!r} began with "
        f"{saved}. It goes on as it began{goes_on}. Remove the folder to begin anew with {mine}.",
        stacklevel=2,
    )
