"""The files of a backup: written whole or not at all, checked before they are trusted."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

__all__ = ["Backups", "packed", "unpacked"]

_NAME = re.compile(r"(\d{8,})-([0-9a-f]{32})\.pt")  # number, and digest of the contents
_KEPT = 2
_TAG = "__kind__"  # marks in a dictionary what `torch.load(weights_only=True)` does not know


class Backups:
    """The backups in a folder: the newest one and the one before it.

    Args:
        folder: Made with the first backup.
    """

    def __init__(self, folder):
        self.folder = Path(os.path.realpath(folder))
        self.used = None  # the file that `newest` gave

    def files(self):
        """Paths of all backups, the newest first."""
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted((p for p in found if _NAME.fullmatch(p.name)), key=_number, reverse=True)

    def write(self, state):
        """Write a backup; the older ones stay until the new one has been read back.

        Raises:
            OSError: it could not be written, or reads back as something else.
        """
        from lightkeras.saving._write import _sync, replacing

        ready = self.folder / "unfinished.pt"
        with replacing(ready) as beside, open(beside, "wb") as file:
            hashed = _Hashed(file)
            torch.save(state, hashed)
        digest = hashed.digest()
        if _digest_of(ready) != digest:
            raise OSError(
                f"The backup {ready} reads back otherwise than it was written. The disk or its "
                "driver is at fault; the backup before it was kept. Try another backup_dir."
            )
        files = self.files()
        number = _number(files[0]) + 1 if files else 1
        path = self.folder / f"{number:08d}-{digest}.pt"
        os.replace(ready, path)
        if os.name == "posix":
            _sync(self.folder)
        for old in files[_KEPT - 1 :]:
            old.unlink(missing_ok=True)

    def newest(self):
        """The newest state that is whole; None where there is none.

        A damaged file is passed over with a warning, and removed.
        """
        damaged = []
        for path in self.files():
            state = _read(path)
            if state is not None:
                self.used = path
                break
            damaged.append(path)
        else:
            state = None
        for path in damaged:
            then = (
                "training begins from the start" if state is None else "the one before it is used"
            )
            warnings.warn(f"The backup {path} is damaged and was removed; {then}.", stacklevel=2)
            path.unlink(missing_ok=True)
        return state

    def clear(self):
        """Remove all backups, and the folder if nothing else is in it."""
        for path in self.files():
            path.unlink(missing_ok=True)
        for path in self.folder.glob("*unfinished.pt*") if self.folder.is_dir() else ():
            path.unlink(missing_ok=True)
        with suppress(OSError):  # it is not there, or the user keeps other files in it
            self.folder.rmdir()


def _number(path):
    return int(_NAME.fullmatch(path.name).group(1))


def _read(path):
    """The state in a file, or None where it is damaged."""
    with open(path, "rb") as file:
        if _digest(file) != _NAME.fullmatch(path.name).group(2):
            return None
        file.seek(0)
        return unpacked(torch.load(file, map_location="cpu", weights_only=True))


def _digest_of(path):
    with open(path, "rb") as file:
        return _digest(file)


def _digest(file):
    found = hashlib.sha256()
    while block := file.read(2**20):
        found.update(block)
    return found.hexdigest()[:32]


class _Hashed:
    """A file that is written from its beginning to its end, and its digest."""

    def __init__(self, file):
        self.file, self.found = file, hashlib.sha256()

    def write(self, data):
        self.found.update(data)
        return self.file.write(data)

    def flush(self):
        self.file.flush()

    def digest(self):
        return self.found.hexdigest()[:32]


# ---- plain values -----------------------------------------------------------------------------


def packed(value, where):
    """`value` made of what is safe to load: plain values, lists, tuples, dicts and tensors.

    Args:
        value: A tree of plain values, tensors and arrays.
        where: What it is, for the error.

    Raises:
        TypeError: there is something else in it.
    """
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return value
    if isinstance(value, torch.Tensor):
        value = value.detach().as_subclass(torch.Tensor)
        part = value.untyped_storage().nbytes() != value.nbytes  # else all of it were saved
        return value.clone() if part else value
    if isinstance(value, np.generic):
        return packed(value.item(), where)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        bits = torch.from_numpy(np.ascontiguousarray(value).reshape(-1).view(np.uint8).copy())
        return {_TAG: "array", "dtype": value.dtype.str, "shape": value.shape, "bits": bits}
    if isinstance(value, dict):
        return {packed(k, where): packed(v, f"{where}[{k!r}]") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        kind = list if isinstance(value, list) else tuple
        return kind(packed(v, where) for v in value)
    if isinstance(value, (set, frozenset)):
        return {_TAG: "set", "items": [packed(v, where) for v in value]}
    if isinstance(value, (torch.dtype, torch.device)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    for plain in (bool, int, float, str):
        if isinstance(value, plain):  # a subclass, as of a learning rate
            return plain(value)
    raise TypeError(
        f"{where} holds a {type(value).__name__}, which a backup cannot hold. Numbers, strings, "
        "lists, dicts, tensors and NumPy arrays are accepted. Return those from state_dict()."
    )


def unpacked(value):
    """What `packed` was given."""
    if isinstance(value, dict):
        kind = value.get(_TAG)
        if kind == "array":
            flat = value["bits"].numpy().view(np.dtype(value["dtype"]))
            return flat.reshape(value["shape"]).copy()
        if kind == "set":
            return {unpacked(v) for v in value["items"]}
        return {unpacked(k): unpacked(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(unpacked, value))
    return value
