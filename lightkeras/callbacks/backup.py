"""`BackupAndRestore`: a training that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from lightkeras._registry import did_you_mean
from lightkeras.callbacks._base import Callback

__all__ = ["BackupAndRestore"]


class BackupAndRestore(Callback):
    """Saves the whole state of `fit`, so that the same script, started again, goes on from there.

    However often the process is killed, on a CPU the end is bit for bit that of a run which was
    not: weights, optimizer, learning rate, random numbers, metrics, History, and the state of all
    callbacks that have `state_dict` and `load_state_dict`. SIGTERM and Ctrl-C save and end the
    process with status 143 and 130. After a finished `fit` the backup is removed, unless the loss
    is NaN or infinite at its end.

    Args:
        backup_dir: Folder for the backup, of this training alone; it is made.
        save_freq: "epoch", or a number of batches after which to save; False saves only when
            the process is told to end.
        double_checkpoint: Kept for Keras's sake: there are always two files, the newest and the
            one before, which is used where the newest is damaged.
        delete_checkpoint: Whether the backup is removed after a finished `fit`.

    Raises:
        ValueError: an argument is not allowed; before training: the backup belongs to other data,
            another model or another number of processes.

    Where it differs from Keras: everything is restored, not the weights and the epoch alone, and
    from the middle of an epoch, too. A backup of something else is refused.

    >>> BackupAndRestore("backup", save_freq=100).save_freq
    100
    """

    _number: int | None = None  # of the folder, where `fit(resume="auto")` chose it

    def __init__(
        self, backup_dir, save_freq="epoch", double_checkpoint=False, delete_checkpoint=True
    ):
        if not isinstance(backup_dir, (str, os.PathLike)) or not os.fspath(backup_dir):
            raise ValueError(
                f"BackupAndRestore got backup_dir={backup_dir!r}. It is the name of a folder. "
                "Type backup_dir='backup'."
            )
        whole = isinstance(save_freq, int) and not isinstance(save_freq, bool) and save_freq > 0
        if not (save_freq == "epoch" or save_freq is False or whole):
            raise ValueError(
                f"BackupAndRestore got save_freq={save_freq!r}."
                f"{did_you_mean(save_freq, ['epoch'])} It takes 'epoch', a number of batches, or "
                "False. Type save_freq='epoch'."
            )
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint


def with_backup(callbacks, resume):
    """`callbacks`, a flat list, with the `BackupAndRestore` that `fit(resume=...)` asks for.

    Raises:
        TypeError, ValueError: `resume` is no name of a folder, or there is a backup already.
    """
    given = [c for c in callbacks if isinstance(c, BackupAndRestore)]
    if len(given) > 1:
        raise ValueError(
            f"callbacks has {len(given)} BackupAndRestore. One is accepted. Leave the others out."
        )
    if resume is None or resume is False:
        return callbacks
    if not isinstance(resume, (str, os.PathLike)) or not os.fspath(resume):
        raise TypeError(
            f"fit() got resume={resume!r}. It takes 'auto', or the name of a folder for the "
            "backup. Type resume='auto'."
        )
    if is_ckpt(resume):
        _check_ckpt(resume, given)
        return callbacks
    if given and resume != "auto":
        raise ValueError(
            f"fit() got resume={resume!r} and BackupAndRestore({given[0].backup_dir!r}). One says "
            "where the backup is. Leave the other out."
        )
    if given:
        return callbacks
    callback = BackupAndRestore(_automatic() if resume == "auto" else resume)
    callback._number = _finished if resume == "auto" else None
    return [*callbacks, callback]


def is_ckpt(resume):
    """Whether `fit(resume=...)` was given a `.ckpt` file to go on from."""
    return isinstance(resume, (str, os.PathLike)) and os.fspath(resume).endswith(".ckpt")


def _check_ckpt(resume, given):
    name = os.fspath(resume)
    if given:
        raise ValueError(
            f"fit() got resume={name!r} and BackupAndRestore({given[0].backup_dir!r}), which both "
            "say where to begin. One is accepted. Leave the other out."
        )
    if not os.path.isfile(name):
        raise FileNotFoundError(
            f"fit() got resume={name!r}, and there is no such file. It takes a .ckpt file of "
            "Lightning's, or the name of a folder for backups. Check the path."
        )


_finished = 0  # how many calls of `fit(resume="auto")` have come to their end in this process


def _automatic():
    """A folder that the same script, called in the same way, finds again.

    In the current folder; named after the script, its arguments, and how many such `fit` calls
    were finished before this one.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    name = "notebook" if script is None else Path(script).stem
    if script is not None and sys.argv[1:]:
        name += "-" + hashlib.sha256("\0".join(sys.argv[1:]).encode()).hexdigest()[:8]
    return os.path.join("lightkeras_backup", f"{name}-{_finished + 1}")


def finished(callback):
    """A `fit` with this backup is at its end: the next one has a folder of its own."""
    global _finished
    if callback._number is not None:
        _finished = max(_finished, callback._number + 1)
