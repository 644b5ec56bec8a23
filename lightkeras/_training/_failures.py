"""When one of several processes fails: all of them end, and the first error is the one told."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from lightkeras._ranks import gather, rank, world

__all__ = [
    "disarm",
    "end_with_parent",
    "ending_together",
    "leave_at_exit",
    "let_others_speak",
    "naming_unsendable",
    "naming_unused",
    "note_parent",
    "started",
    "store",
]

_KEY = "lightkeras/failed"
_PARENT = "LIGHTKERAS_PARENT"
_PATIENCE = 2.0  # seconds to wait for the word of a process that has gone
_GRACE = 10.0  # seconds that processes have to notice by themselves that another one has gone


_watches = False  # whether this process ends with its parent
started: list = []  # the processes that Lightning has started, by the first `fit`


@contextmanager
def ending_together(trainer=None):
    """Around what several processes do: an error here is told to the others, one there, here.

    Args:
        trainer: What is about to launch processes, if anything is.
    """
    try:
        yield
        _remember(trainer)
        if world() > 1:
            gather(None)  # one may have failed after all had heard of each other
    except Exception as error:
        if world() == 1:
            raise
        atexit.unregister(_leave)  # it would wait for what does not come any more
        disarm()
        lost = _is_lost_connection(error)
        if lost:
            reason = f"Process {rank()} of {world()} could not go on: {_first_error()}"
        else:
            _tell(error)
        _remember(trainer)
        _end_children()
        if not lost:
            raise
        if rank() > 0 and multiprocessing.parent_process() is None:
            raise SystemExit(reason) from None  # a line is enough: others have more to say
        raise RuntimeError(reason) from None


@contextmanager
def naming_unused(trainer, model):
    """Around `trainer.fit`: what DDP says of weights without gradients is said with their names.

    Raises:
        ValueError: the loss of a batch did not depend on all weights.
    """
    try:
        yield
    except Exception as error:  # a process that ends with `fit` gives its text alone
        if "find_unused_parameters=True" not in str(error):
            raise
        how = getattr(trainer.strategy, "_start_method", None) or "popen"
        strategy = "ddp" if how == "popen" else f"ddp_{how}"
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        names = [name for name, p in trained.items() if p.grad is None]
        names = names if len(names) < len(trained) else []  # trained in another process
        raise ValueError(
            f"The loss of a batch does not depend on {_shown(names)}, and DDP waits for a "
            "gradient of every weight. Weights without one are accepted by another strategy, "
            "which looks for them in every step. Type "
            f"strategy='{strategy}_find_unused_parameters_true', or set trainable=False for these "
            "layers."
        ) from None


@contextmanager
def naming_unsendable(trainer, model, callbacks):
    """Around `trainer.fit`: what cannot be sent to processes that it spawns is said by its name.

    Raises:
        TypeError: there is such a thing.
    """
    try:
        yield
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        if getattr(trainer.strategy, "_start_method", None) != "spawn":
            raise
        parts = [model, *callbacks, *trainer.callbacks]  # callbacks of Keras's hold the model
        unsendable = (type(part).__name__ for part in parts if not _is_sendable(part))
        name = next(unsendable, "something that fit() got")
        raise TypeError(
            f"strategy='ddp_spawn' sends everything to new processes, and {name} cannot be sent: "
            f"{error}. Functions and classes at the top of a file can. Write def there instead of "
            "a lambda, or type strategy='ddp'."
        ) from None


def _is_sendable(part):
    try:
        pickle.dumps(part)
    except Exception:
        return False
    return True


def _shown(names, most=4):
    """The first names, and how many more there are."""
    more = len(names) - most
    some = ", ".join(names[:most]) or "some weights"
    return f"{some} and {more} more" if more > 0 else some


def _is_lost_connection(error):
    """Whether an error only says that another process is not there any more."""
    known = tuple(
        getattr(dist, name) for name in ("DistBackendError", "DistNetworkError", "DistStoreError")
    )
    text = f"{error} {error.__context__}"  # `gather` has put it into other words
    return isinstance(error, known) or (isinstance(error, RuntimeError) and "gloo" in text)


def _tell(error):
    """Leave word of the error where the other processes look for it."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = (
        f"process {rank()} failed first, in {os.path.basename(place.filename)}, line "
        f"{place.lineno}, with {type(error).__name__}: {error}"
    )
    with suppress(Exception):
        store().compare_set(_KEY, "", text)


def _first_error():
    """The word of the process that failed first, or what is known without one."""
    try:
        store().wait([_KEY], timedelta(seconds=_PATIENCE))
        return store().get(_KEY).decode()
    except dist.DistNetworkError:  # that process keeps the words, unless a launcher does
        return "process 0 has ended; its error came first. Was it killed?"
    except Exception:
        return "another process ended without a word; was it killed?"


def store():
    """Where the processes leave word for each other."""
    return dist.distributed_c10d._get_default_store()


def let_others_speak():
    """Have Lightning's observer wait, where a process is gone, before it kills all the others.

    They notice by themselves and say more than that; it is for those which do not.
    """
    for thread in _observers():
        thread._run = _patient(thread, thread._run)


def _patient(thread, kill_if_gone):
    def look():
        if any(process.poll() for process in thread._child_processes):
            time.sleep(_GRACE)
        return thread._run is not look or kill_if_gone()

    return look


def disarm():
    """Keep Lightning's observer from killing this process before it has said why it ends."""
    for thread in _observers():
        thread._run = lambda: True


def _observers() -> list[Any]:
    return [t for t in threading.enumerate() if t.name == "child-process-observer"]


def _remember(trainer):
    """Note the processes that Lightning has started."""
    launcher = None if trainer is None else trainer.strategy.launcher
    found = getattr(launcher, "procs", None) or []
    started.extend(p for p in found if isinstance(p, subprocess.Popen) and p not in started)


def _end_children():
    """See to it that no process which Lightning has started stays behind."""
    until = time.monotonic() + _GRACE
    for process in started:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(until - time.monotonic(), 0.1))
            continue
        process.kill()


def leave_at_exit():
    """Leave the group before Python ends: its threads want to know nothing of that.

    One that still lets go of a tensor then aborts a process that had ended well.
    """
    atexit.unregister(_leave)
    atexit.register(_leave)


def _leave():
    if dist.is_initialized() and not hasattr(sys, "last_value"):  # that is an error outside `fit`
        dist.destroy_process_group()


def note_parent():
    """Leave the number of this process for those that Lightning starts from it."""
    if rank() == 0:
        os.environ[_PARENT] = str(os.getpid())


def end_with_parent():
    """End this process, which Lightning has started, when the one that started it is gone."""
    global _watches
    parent, forked = os.getppid(), multiprocessing.parent_process() is not None
    if not forked:  # started as a script: it may be gone already
        parent = int(os.environ.get(_PARENT, os.getpid()))
    elsewhere = "TORCHELASTIC_RUN_ID" in os.environ or "SLURM_PROCID" in os.environ
    # The first process of a further machine has a number above 0, too, and no such parent.
    first = rank() == 0 or parent == os.getpid()
    if first or elsewhere or _watches or sys.platform == "win32":
        return
    _watches = True

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name="watches-parent", daemon=True).start()
