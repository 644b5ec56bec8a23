"""Files are written beside their target and then put in its place, whole or not at all."""

from __future__ import annotations

import glob
import os
from contextlib import contextmanager
from pathlib import Path

import torch

from lightkeras._ranks import is_chief

__all__ = ["check_target", "is_another_writing", "replacing"]


def check_target(filepath, overwrite):
    """The path to write to, links resolved.

    Raises:
        FileExistsError: a file is there and may not be replaced.
        IsADirectoryError: a folder is there.
    """
    path = Path(os.path.realpath(os.fspath(filepath)))
    if path.is_dir():
        raise IsADirectoryError(f"{filepath} is a folder. Give the name of a file in it.")
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{filepath} exists and overwrite is False. Nothing was written. Pass overwrite=True, "
            "or another name."
        )
    return path


def is_another_writing():
    """Whether this process trains one model with others, and is not the one that writes files."""
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return together and not is_chief()


@contextmanager
def replacing(path):
    """A path beside `path` to write to; it takes its place at the end, or vanishes on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _clean(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        _sync(beside)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        _sync(path.parent)


def _sync(path):
    """Wait until the file (or the folder's list of names) is on the disk."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError:  # some file systems cannot sync folders
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


def _clean(path):
    """Remove what a killed process left of an earlier save to this path."""
    for old in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        number = old.name.split(".")[-2]
        if number.isdigit() and not _runs(int(number)):
            old.unlink(missing_ok=True)


def _runs(process):
    if os.name != "posix":  # elsewhere asking may end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
