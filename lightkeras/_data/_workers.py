"""Which sample a worker of a DataLoader was reading when it raised, was killed or hung.

torch tells the worker and not the sample. Here each worker notes in shared memory what it reads:
its copy of the dataset gets a class of ours on top; the user's loader and dataset stay untouched.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import re
import time
from contextlib import contextmanager, suppress

import torch
from torch.utils.data import DataLoader, IterableDataset, Subset, get_worker_info

from lightkeras._traceback import let_go

__all__ = ["Watch", "telling", "watched"]

_PID, _NOW, _FAILED = range(3)  # columns of what a worker notes
_NOTHING = -1


def watched(loader, name):
    """`(loader whose workers tell what they read, its Watch)`; `(loader, None)` without workers.

    Args:
        loader: A DataLoader of the user's, or anything else.
        name: What errors call it.
    """
    reads = isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset)
    # Lightning seeds workers in the place that we take, where it was asked to.
    if not reads or loader.num_workers == 0 or os.environ.get("PL_SEED_WORKERS", "0") != "0":
        return loader, None
    copied = copy.copy(loader)
    copied.worker_init_fn = watch = Watch(loader.num_workers, name, loader.worker_init_fn)
    return copied, watch


@contextmanager
def telling(*batches):
    """Inside the `with` block, what happens to a worker gets the name of the sample.

    torch may raise that at any moment, not only where a batch is asked for. The workers end with
    the error: what it remembers of the frames is let go, and with it their iterator.
    """
    try:
        yield
        return
    except Exception as error:
        watching = [b for b in batches if b is not None and b.watch is not None]
        told = [better for b in watching if (better := b.watch.explained(error)) is not None]
        if not told:
            raise
        for b in watching:
            b.drop()
        let_go(error)
    raise told[0] from None


class Watch:
    """What the workers of a loader note; stands in for its `worker_init_fn`.

    Args:
        workers: Their number.
        name: What the data are called.
        begin: The user's `worker_init_fn`, or None.
        what: What an index of the dataset counts.
    """

    def __init__(self, workers, name, begin=None, what="Sample"):
        self.notes = torch.full((workers, 3), _NOTHING, dtype=torch.int64).share_memory_()
        self.begin, self.name, self.what = begin, name, what

    def __call__(self, worker):
        if self.begin is not None:
            self.begin(worker)
        mine = self.notes.numpy()[worker]
        mine[:] = os.getpid(), _NOTHING, _NOTHING
        dataset = get_worker_info().dataset
        with suppress(TypeError):  # a list, say, has no class that could be changed
            dataset.__class__ = _telling(dataset, mine)

    def explained(self, error):
        """An error that names the sample; None where `error` is none of the workers'."""
        if isinstance(error, (EOFError, ConnectionError)):
            error = _end_of_a_worker(self.notes[:, _PID].tolist()) or error
        text, notes = str(error), self.notes.tolist()
        raised = re.match(r"Caught \w+ in DataLoader worker process (\d+)", text)
        if raised:
            worker = int(raised[1])
            return self._raised(error, worker, notes[worker][_FAILED])
        if not isinstance(error, RuntimeError) or not text.startswith("DataLoader"):
            return None
        if "timed out" in text:
            hung = [note[_NOW] for note in notes if note[_NOW] != _NOTHING]
            return self._lost(hung, text, "did not come in time", "A longer timeout= waits for it.")
        gone = [note[_NOW] for note in notes if str(note[_PID]) in re.findall(r"\d+", text)]
        said = "was being read when its worker ended"
        return self._lost(gone, text, said, "Memory that ran out? Take fewer num_workers.")

    def _raised(self, error, worker, index):
        if index == _NOTHING:
            return None
        said = (
            f"{self.what} {index} of {self.name} could not be read in DataLoader worker {worker}. "
        )
        said += f"Look at it alone: dataset[{index}].\n{error}"
        try:
            return type(error)(said)
        except Exception:  # it wants other arguments
            return RuntimeError(said)

    def _lost(self, indices, text, said, hint):
        numbers = " or ".join(str(index) for index in indices if index != _NOTHING)
        if not numbers:
            return None
        text = text.partition("\n")[0].strip().rstrip(".")
        return RuntimeError(
            f"{self.what} {numbers} of {self.name} {said} ({text}). "
            f"Look at it alone: dataset[{numbers}]. {hint}"
        )


def _end_of_a_worker(pids, seconds=5.0):
    """What torch says of a worker's end by a signal, or that one is gone; None if all are there.

    A broken connection is seen before either, on a busy machine long before.
    """
    wanted, end = {pid for pid in pids if pid != _NOTHING}, time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            if gone := wanted - {child.pid for child in multiprocessing.active_children()}:
                return RuntimeError(f"DataLoader workers {sorted(gone)} have ended")
            time.sleep(0.05)
    except RuntimeError as error:
        return error
    return None


def _telling(dataset, mine):
    """The class of a dataset, with notes of what it reads in `mine`."""
    cls = type(dataset)

    def get_item(self, i):
        with suppress(TypeError, ValueError):  # an index need not be a number
            mine[_NOW] = i
        try:
            return cls.__getitem__(self, i)
        except Exception:
            if mine[_FAILED] == _NOTHING:
                mine[_FAILED] = mine[_NOW]
            raise
        finally:
            mine[_NOW] = _NOTHING

    body = {"__getitem__": get_item}
    if isinstance(dataset, Subset) and not hasattr(dataset.dataset, "__getitems__"):
        body["__getitems__"] = None  # it would only read one after the other, unseen
    return type(cls.__name__, (cls,), body)
