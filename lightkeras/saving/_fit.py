"""A model beside a file: which variables fit, which are missing, and putting them in."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from lightkeras.saving._errors import LoadError

__all__ = ["Comparison", "check_finite"]


class Comparison:
    """What a model wants and what a file has, by the name of each variable.

    Args:
        wanted: {name: (weight, what a user calls it)}.
        found: {name: object with `shape` and `kind` (name of the dtype)}.
        where: The file, for errors.
    """

    def __init__(self, wanted, found, where):
        self.where = where
        self.wanted = wanted
        self.missing = [f"{n} ({said})" for n, (_, said) in wanted.items() if n not in found]
        self.unexpected = [n for n in found if n not in wanted]
        self.other = []
        self.fitting = []
        for name, (weight, said) in wanted.items():
            entry = found.get(name)
            if entry is None:
                continue
            shape = tuple(weight.shape)
            if tuple(entry.shape) != shape:
                self.other.append(f"{name} ({said}): {tuple(entry.shape)}, here {shape}")
            elif not _same_kind(entry.kind, weight.dtype):
                self.other.append(f"{name} ({said}): {entry.kind}, here {weight.dtype}")
            else:
                self.fitting.append(name)

    def settle(self, model_name, skip_mismatch):
        """Raise if something does not fit, or warn if that is to be skipped."""
        lists = [
            (kind, names)
            for kind, names in (
                ("missing in the file", self.missing),
                ("not in the model", self.unexpected),
                ("of another shape or dtype", self.other),
            )
            if names
        ]
        if not lists:
            return
        rows = [f"  {kind} ({len(names)}): {_shown(names)}" for kind, names in lists]
        head = f"{self.where} does not fit the model {model_name!r}."
        if not skip_mismatch:
            hint = (
                "Build the model that was saved. To load what fits, pass skip_mismatch=True to "
                "load_weights()."
            )
            raise LoadError("\n".join([head, *rows, hint]))
        kept = f"{len(self.fitting)} variables were loaded, the others were left alone."
        warnings.warn("\n".join([head, *rows, kept]), stacklevel=4)


def _shown(names):
    more = f", and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(name[:120] for name in names[:4]) + more


def _same_kind(kind, dtype):
    """Whether a dtype of a file may go into a weight: floats to floats, integers to integers."""
    floats = kind == "bfloat16" or np.dtype(kind).kind == "f"
    return floats == (dtype.is_floating_point or dtype.is_complex)


def check_finite(values, where, strict):
    """Warn of NaN and infinity in {name: tensor}, or raise if `strict`."""
    for name, value in values.items():
        if not value.is_floating_point():
            continue
        bad = value.numel() - int(torch.isfinite(value).sum())
        if bad:
            text = (
                f"{where}: {name} holds {bad:,} values that are NaN or infinite, of "
                f"{value.numel():,}. Training had probably diverged when it was saved."
            )
            if strict:
                raise LoadError(f"{text} Use an earlier file, or check_finite=False.")
            warnings.warn(f"{text} It is loaded as it is.", stacklevel=4)
