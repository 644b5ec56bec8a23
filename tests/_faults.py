"""Saving that fails: at every call and at many bytes of a file, by an error or by death.

Whatever happens, the file that was there or the new one can be read, and the next save leaves
nothing lying around.
"""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

import lightkeras as lk
from lightkeras import layers
from lightkeras._training._backup import Backups

_OLD, _NEW = 1.0, 2.0
_ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EIO", "EACCES")}
_CALLS = [(os, "replace"), (os, "fsync"), (os, "mkdir"), (Path, "unlink")]
_CALLS += [(builtins, "open"), (io, "open")]
_PYTHONS = (sys.prefix, sys.base_prefix)
_FAILED = 3  # exit status of a save that raised


# ---- savers: each writes a model to a path, and reads one of its numbers back -------------------


def _filled(units, value):
    model = lk.Sequential([layers.Input((8,)), layers.Dense(units), layers.Dense(1)])
    model.compile("adam", loss="mse")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    return model


def _only(model):
    values = {v.item() for p in model.parameters() for v in (p.min(), p.max())}
    assert len(values) == 1, f"a mixture: {values}"
    return values.pop()


def _weights(path, units):
    model = _filled(units, 0.0)
    model.load_weights(path)
    return _only(model)


def _backup(model, path):
    Backups(path).write({"tensors": dict(model.state_dict())})


def _newest(path, units):
    state = Backups(path).newest()
    return next(iter(state["tensors"].values())).flatten()[0].item()


def _ckpt(model, path):
    """A checkpoint of Lightning's, after a training that changes nothing."""
    model.compile(lk.optimizers.SGD(1e-30), loss="mse")
    saves = lk.callbacks.ModelCheckpoint(str(path), save_weights_only=True)
    model.fit(np.ones((2, 8), "float32"), np.ones(2), callbacks=[saves], verbose=0)


def _state(path, units):
    state = torch.load(path, weights_only=True)["state_dict"]
    (value,) = {v.item() for t in state.values() for v in (t.min(), t.max())}
    return value


SAVERS = {
    "m.ckpt": (_ckpt, _state),
    "m.keras": (lambda m, path: m.save(path), lambda path, _: _only(lk.models.load_model(path))),
    "m.weights.h5": (lambda m, path: m.save_weights(path), _weights),
    "m.safetensors": (lambda m, path: m.save_weights(path), _weights),
    "backup": (_backup, _newest),
}


# ---- faults -----------------------------------------------------------------------------------


class _Fault:
    """Something happens at the k-th call; with k = 0 calls are only counted."""

    def __init__(self, k=0, action=None, after=False):
        self.k, self.action, self.after = k, action, after
        self.count = 0
        self._originals = [(owner, name, getattr(owner, name)) for owner, name in _CALLS]

    def __enter__(self):
        for owner, name, function in self._originals:
            setattr(owner, name, self._watched(function))
        return self

    def __exit__(self, *_):
        for owner, name, function in self._originals:
            setattr(owner, name, function)

    def _watched(self, function):
        def called(*args, **kwargs):
            if str(args[0]).startswith(_PYTHONS):  # Lightning looks what is installed
                return function(*args, **kwargs)
            self.count += 1
            now = self.count == self.k
            if now and not self.after:
                self._strike()
            result = function(*args, **kwargs)
            if now and self.after:
                self._strike()
            return result

        return called

    def _strike(self):
        if self.action == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(_ERRORS[self.action], f"{self.action}, made up")


class _Limit:
    """No file can have more than so many bytes: an error, or death by SIGXFSZ."""

    def __init__(self, size, action):
        self.size, self.action = size, action

    def __enter__(self):
        dies = self.action == "die"
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if dies else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.RLIM_INFINITY))

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


def _in_a_process(save, model, path, fault):
    """Save in a copy of this process under a fault; its exit status."""
    child = os.fork()
    if child == 0:
        status = _FAILED
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # HDF5 prints what it cannot raise
        try:
            with fault:
                save(model, path)
            status = 0
        except Exception:
            pass
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _plans(save, model, path, size, full):
    """(name, fault) of all faults; if not `full`, one error at each call, in turns."""
    with _Fault() as counted:
        save(model, path)
    for k in range(1, counted.count + 1):
        for action in ("die", *(_ERRORS if full else [list(_ERRORS)[k % 3]])):
            for after in (False, True):
                where = "after" if after else "before"
                yield f"{action} {where} call {k}", _Fault(k, action, after)
    for part in range(8):
        for action in ("die", "error"):
            yield f"{action} at byte {size * part // 8}", _Limit(size * part // 8, action)


def _size(path):
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return max(p.stat().st_size for p in files)


def campaign(folder, savers, units, full=False):
    """R2: every fault of every saver; (number of faults, failures)."""
    torch.set_num_threads(1)
    count, failures = 0, []
    for name in savers:
        save, read = SAVERS[name]
        old, new, path = _filled(units, _OLD), _filled(units, _NEW), Path(folder) / "place" / name
        save(old, path)
        for what, fault in list(_plans(save, new, path, _size(path), full)):
            shutil.rmtree(path.parent)
            save(old, path)
            save(old, path)  # of backups there are always two
            tidy = _names(path)
            status = _in_a_process(save, new, path, fault)
            count += 1
            failures += [f"{name}, {what}: {why}" for why in _wrong(read, path, units, status)]
            save(new, path)
            if _names(path) != tidy:
                failures.append(f"{name}, {what}: {_names(path)} is left")
    return count, failures


def _names(path):
    """Names of the files beside and in `path`, without what changes with every backup."""
    found = [p.name for p in path.parent.rglob("*") if p.is_file()]
    return sorted("backup" if name.endswith(".pt") and name[0] == "0" else name for name in found)


def _wrong(read, path, units, status):
    try:
        value = read(path, units)
    except Exception as error:
        yield f"neither can be read ({type(error).__name__}: {error})"
        return
    if value not in (_OLD, _NEW):
        yield f"{value} was read"
    if status == 0 and value != _NEW:
        yield "nothing was said, and the old file is there"


def write_result(folder, *given):
    """`campaign`, whose result is written to a file: for a process of its own.

    The folder for temporary files is on another file system, where there is one.
    """
    with tempfile.TemporaryDirectory(dir=_elsewhere(folder)) as temporary:
        os.environ["TMPDIR"] = tempfile.tempdir = temporary
        count, failures = campaign(folder, *given)
        failures += [f"{name} is left in TMPDIR" for name in os.listdir(temporary)]
    Path(folder, "faults.json").write_text(json.dumps([count, failures]))


def _elsewhere(folder):
    """A folder on another file system than `folder` is on, or that folder."""
    shm = Path("/dev/shm")
    return shm if shm.is_dir() and shm.stat().st_dev != os.stat(folder).st_dev else folder
