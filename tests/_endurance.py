"""What must hold when things go wrong in a training, and when many follow one another.

R9: a callback raises. R10: something is not a number. R12: nothing piles up.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _group import ends

import lightkeras as lk
from lightkeras import callbacks, layers
from lightkeras._ranks import rank
from lightkeras.callbacks._base import HOOKS


def _data(rows=12):
    x = np.random.default_rng(0).normal(size=(rows, 3)).astype("float32")
    return x, x.sum(-1, keepdims=True)


def _model(trainer=None, **options):
    model = lk.Sequential([layers.Input((3,)), layers.Dense(4), layers.Dense(1)])
    model.compile(lk.optimizers.Adam(0.01, **options), loss="mse", trainer=trainer)
    return model


# ---- R9 ---------------------------------------------------------------------------------------


class Raises(callbacks.Callback):
    """Raises in one hook, at the n-th time; leaves a file where it is told to."""

    left_behind = None

    def __init__(self, hook, at):
        self.left, self.raised = at, False
        setattr(self, hook, self._hook)

    def _hook(self, *_):
        self.left -= 1
        if self.left == 0:
            self.raised = True
            if self.left_behind is not None:
                self.left_behind.touch()
            raise RuntimeError("a callback fails")


METHODS = ("fit", "evaluate", "predict")


def cases(methods=METHODS):
    """(method, hook, which call, whether the failing callback comes first) that can happen."""
    for method in methods:
        for hook in HOOKS:
            kind = "predict" if "predict" in hook else "test" if "test" in hook else "train"
            fits = {"fit": ("train", "test"), "evaluate": ("test",), "predict": ("predict",)}
            if kind in fits[method]:
                for at in (1, 2):
                    for first in (True, False):
                        yield method, hook, at, first


def callback_raises(folder, method, hook, at, first):
    """R9: what is wrong after a callback raised in a hook; [] if nothing is."""
    model = _model(use_ema=True)
    x, y = _data()
    model.fit(x, y, batch_size=4, verbose=0)  # so that there are averages
    with torch.no_grad():
        for parameter in model.parameters():  # `fit` has ended with them
            parameter.add_(0.5)
    swap, csv = (
        callbacks.SwapEMAWeights(swap_on_epoch=True),
        callbacks.CSVLogger(folder / "log.csv"),
    )
    bad, backup = Raises(hook, at), callbacks.BackupAndRestore(folder / "backup")
    watching = [bad, swap, csv, backup] if first else [swap, csv, backup, bad]
    handlers, files = _handlers(), _open_files()
    try:
        _call(model, method, x, y, watching)
    except RuntimeError as error:
        assert str(error) == "a callback fails"
    if not bad.raised:
        return []
    wrong = []
    if csv.csv_file is not None or _open_files() != files:
        wrong.append("a file is open")
    if swap._aside is not None or (_holds_averages(model) and hook != "on_train_end"):
        wrong.append("the averages are in the model")
    if _handlers() != handlers:
        wrong.append("a signal is still handled")
    if not all(m.training == model.training for m in model.modules()):
        wrong.append("modes are mixed")
    before = int(model.optimizer.iterations)
    model.fit(x, y, batch_size=4, verbose=0)
    if int(model.optimizer.iterations) != before + 3 or model.predict(x, verbose=0).shape != (
        12,
        1,
    ):
        wrong.append("the model does not go on")
    return [f"{method}, {hook} {at}, {'first' if first else 'last'}: {what}" for what in wrong]


def cases_in_a_group():
    """The same and the process: the first, the second, or 2 for both."""
    for case in cases():
        for who in range(3):
            yield *case, who


def raises_in_a_group(folder, method, hook, at, first, who):
    """R9 on 2 processes: what is wrong when a callback raises in process `who`, or in both (2)."""
    folder = Path(folder)
    ended = ends(2, folder, _with_others, folder, method, hook, at, first, who)
    statuses, printed = zip(*ended, strict=True)
    if not list(folder.glob("raised*")):
        return [] if statuses == (0, 0) else [f"{statuses}, and nothing was raised: {printed}"]
    wrong = []
    if 0 in statuses or None in statuses:
        wrong.append(f"exit statuses {statuses}")
    for number, text in enumerate(printed):
        told = f"process {who} failed first, in _endurance.py, line "
        if who == 0 and told not in text:  # it keeps the words, and may have gone with them
            told = "process 0 has ended; its error came first"
        if ("RuntimeError: a callback fails" if who in (number, 2) else told) not in text:
            wrong.append(f"process {number} said {text[-600:]!r}")
        if "gloo" in text:
            wrong.append(f"process {number} speaks of gloo: {text[-600:]!r}")
    late = time.time() - min(p.stat().st_mtime for p in folder.glob("raised*"))
    if late > 30:
        wrong.append(f"it took {late:.0f} s")
    wrong += [f"{p} is left" for p in folder.rglob("*") if p.name.endswith((".part", ".tmp"))]
    place = "both" if who == 2 else f"process {who}"
    return [f"{method}, {hook} {at}, {'first' if first else 'last'}, {place}: {w}" for w in wrong]


def _with_others(folder, method, hook, at, first, who):
    """One of the processes: the callback raises in it, or only listens."""
    bad = Raises(hook, at if who in (rank(), 2) else 0)
    bad.left_behind = folder / f"raised{rank()}"
    watching = [callbacks.CSVLogger(folder / "log.csv")]
    watching += [callbacks.BackupAndRestore(folder / "backup")] if method == "fit" else []
    lk.utils.set_random_seed(1)
    flags = {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}
    model, (x, y) = _model(trainer=flags), _data(21)
    model.evaluate(x, y, verbose=0)
    _call(model, method, x, y, [bad, *watching] if first else [*watching, bad])


def _call(model, method, x, y, watching):
    if method == "fit":
        given = {"epochs": 2, "validation_data": (x, y)}
        return model.fit(x, y, batch_size=4, callbacks=watching, verbose=0, **given)
    if method == "evaluate":
        return model.evaluate(x, y, batch_size=4, callbacks=watching, verbose=0)
    return model.predict(x, batch_size=4, callbacks=watching, verbose=0)


def _holds_averages(model):
    pairs = zip(model.optimizer._params, model.optimizer._slots["average"], strict=True)
    return all(torch.equal(p, average) for p, average in pairs)


def _handlers():
    return [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]


def _open_files():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith("/") and not target.startswith(("/dev", "/proc", "/memfd")):
            found.append(target)
    return sorted(found)


# ---- R10 --------------------------------------------------------------------------------------


class _Injects(callbacks.Callback):
    """Puts something that is no number into a tensor at step k."""

    def __init__(self, where, k, value):
        self.where, self.k, self.value, self.step = where, k, value, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.step += 1
        if self.step == self.k and self.where == "weights":
            with torch.no_grad():
                self.model.layers[1].weight[0, 0] = self.value
        if self.step == self.k and self.where == "gradients":
            bias = self.model.layers[1].bias
            handle = bias.register_hook(lambda g: (handle.remove(), g * self.value)[1])


def not_a_number(folder, where, k, value, said):
    """R10: what is wrong after NaN or infinity came at step k; [] if nothing is.

    Args:
        said: Function that gives what was printed.
    """
    x, y = _data(48)
    model = _model()
    if where == "data":
        x[4 * (k - 1)] = value
    if where == "loss":
        y[4 * (k - 1)] = 1e30 if value == value else 3e38  # its square is not finite in float32
    best = callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)
    injects = _Injects(where, k, value)
    watching = [injects, best, callbacks.TerminateOnNaN(), callbacks.BackupAndRestore(folder)]
    given = {"shuffle": False, "batch_size": 4, "epochs": 3, "verbose": 0}
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y, callbacks=watching, **given)
    wrong, text = [], said()
    late = injects.step - k
    if late not in ((0, 1) if where in ("data", "loss", "weights") else (0, 1, 2)):
        wrong.append(f"it stopped {late} steps later")
    if "training stops" not in text or "not finite" not in text:
        wrong.append(f"it said {text!r}")
    if best.best is not None and not all(p.isfinite().all() for p in model.parameters()):
        wrong.append("the best weights are not finite")
    if k > 12 and not list(Path(folder).iterdir()):
        wrong.append("the backup is gone")
    return [f"{value} in {where} at step {k}: {what}" for what in wrong]


def numbers(count, seed):
    """(where, step, value) for `not_a_number`."""
    chance = random.Random(seed)
    for i in range(count):
        where = ("data", "loss", "gradients", "weights")[i % 4]
        step = chance.randint(1, 12) if where in ("data", "loss") else chance.randint(1, 30)
        yield where, step, (float("nan"), float("inf"))[i // 4 % 2]


# ---- R12 --------------------------------------------------------------------------------------


def pile_up(folder, count, warm):
    """R12: build, fit, save and load again and again; growth of memory, files and folders.

    Returns:
        {"slope": bytes a time, "files": more open files, "folders": new names in the folder for
        temporary files}.
    """
    torch.set_num_threads(1)
    os.chdir(folder)
    Path("temporary").mkdir()
    tempfile.tempdir = os.path.abspath("temporary")
    x, y = _data()
    sizes = []
    for i in range(warm + count):
        if i == warm:
            files, names = len(os.listdir("/proc/self/fd")), set(os.listdir(tempfile.gettempdir()))
        model = _model()
        model.fit(x, y, epochs=2, batch_size=4, verbose=0, resume="backup")
        model.save("model.keras")
        model.save_weights("model.weights.h5")
        loaded = lk.models.load_model("model.keras")
        loaded.load_weights("model.weights.h5")
        loaded.predict(x, verbose=0)
        del model, loaded
        lk.utils.clear_session()
        if i >= warm and i % 5 == 0:
            gc.collect()
            sizes.append((i, _resident()))
    more = len(os.listdir("/proc/self/fd")) - files
    new = sorted(set(os.listdir(tempfile.gettempdir())) - names)
    slope = float(np.polyfit(*np.array(sizes, dtype=float).T, 1)[0])
    Path("leak.json").write_text(json.dumps({"slope": slope, "files": more, "folders": new}))


def too_much(found):
    """What of a result of `pile_up` is more than a process may grow: 10 KiB a time."""
    wrong = [f"{found['slope'] / 1024:.1f} KiB a time"] if found["slope"] > 10 * 1024 else []
    wrong += [f"{found['files']} files are open"] if found["files"] > 0 else []
    return wrong + [f"{name} is left" for name in found["folders"]]


def _resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
