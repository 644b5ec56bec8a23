"""What a backup belongs to: data, model and processes, in short, so that others are refused."""

from __future__ import annotations

import hashlib

import torch

from lightkeras._data import Arrays
from lightkeras._data._convert import leaves
from lightkeras._ranks import world
from lightkeras._training._state import data_of

__all__ = ["check", "fingerprint"]

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
