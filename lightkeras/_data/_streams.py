"""Batches that others make: Dataset, PyDataset, DataLoader, iterables and generators."""

from __future__ import annotations

import copy
import itertools
import warnings
import weakref
from abc import abstractmethod
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, default_collate

from lightkeras._config import _outside
from lightkeras._data._batches import Batches, Indexed, Rows, to_device
from lightkeras._data._convert import leaves, tensors
from lightkeras._data._weights import weight_tree
from lightkeras._data._workers import Watch, watched
from lightkeras._ranks import gather
from lightkeras._rng import generators, rng_state, set_rng_state
from lightkeras._tree import map_structure

__all__ = ["Made", "MapDataset", "PyBatches", "Stream", "pack", "unpack"]


def unpack(batch):
    """`(x, y, sample_weight)` of what a loader gives.

    Raises:
        ValueError: a tuple of more than three parts, or of none.

    >>> unpack((1, 2)), unpack([1]), unpack({"a": 1})
    ((1, 2, None), (1, None, None), ({'a': 1}, None, None))
    """
    if not isinstance(batch, (tuple, list)):
        return batch, None, None
    if not 1 <= len(batch) <= 3:
        raise ValueError(
            f"A batch is a {type(batch).__name__} of {len(batch)} parts. Accepted are x, (x,), "
            "(x, y) and (x, y, sample_weight). Put several inputs together: ((a, b), y)."
        )
    return (*batch, None, None)[:3]


def pack(x, y=None, w=None, bare=False):
    """A batch for a step of the user's: the parts there are, or x itself where it came so.

    >>> pack(1), pack(1, 2), pack(1, None, 3), pack(1, bare=True), pack([1], bare=True)
    ((1,), (1, 2), (1, None, 3), 1, ([1],))
    """
    if bare and y is None and not isinstance(x, (tuple, list)):
        return x
    parts = (x, y, w)
    return parts[: 3 - (w is None) - (w is None and y is None)]


class Made(Batches):
    """Batches that arrive whole: what all sources of this file have in common.

    Attributes:
        class_weight: Look-up from targets to weights, or None.
        hooks: Object with `on_epoch_begin` and `on_epoch_end`, or None.
    """

    class_weight = None
    hooks: Any = None
    _cuts_share = True  # False where the source gives every process its own rows
    _live = None  # the running pass, which lives as long as its iterator
    _seen = None  # what `peek` gave, until a pass begins
    _owes_end = False  # whether the running epoch was begun before a restart

    def peek(self):
        if self._seen is None:
            self._seen = self._look()
        return self._seen

    @abstractmethod
    def _look(self):
        """What `peek` gives; one batch of the user's is made for it."""

    def on(self, device):
        self._seen = None
        return super().on(device)

    def _pass(self, epoch, first):
        self._seen, self._owes_end = None, False
        running = self._batches(epoch, first)
        self._live = weakref.ref(running)
        return running

    @abstractmethod
    def _batches(self, epoch, first):
        """Generator of the batches of `epoch` from number `first` on."""

    def convert(self, batch):
        """A batch of the user's as `(x, y, w)`: tensors, weights, this process's rows, device."""
        self.bare = isinstance(batch, (torch.Tensor, dict))
        x, y, w = unpack(batch)
        x, y = tensors(x, "x"), tensors(y, "y")
        w = weight_tree(tensors(w, "sample_weight"), y)
        if self.class_weight is not None:
            w = self.class_weight.apply(y, w)
        self._read_rows = _rows(x)
        if self.world > 1 and self._cuts_share:
            low, high = self.share(self._read_rows)
            x, y, w = map_structure(lambda t: None if t is None else t[low:high], (x, y, w))
        if self.device is None:
            return x, y, w
        if self.guard is not None and self.device.type != "cpu":
            self.guard(y)
        return to_device((x, y, w), self.device)

    def global_rows(self, step):
        return self._sizes[step]

    def end(self):
        super().end()
        if self._live is not None:
            running = self._live()
            if running is not None:
                running.close()  # and its threads
            self._finish()
        elif self._owes_end:
            self._finish()

    def _begin(self, first):
        self._sizes = {}
        if first == 0:
            getattr(self.hooks, "on_epoch_begin", _nothing)()

    def _finish(self):
        self._live, self._owes_end = None, False
        getattr(self.hooks, "on_epoch_end", _nothing)()

    def state_dict(self):
        state = {**super().state_dict(), "running": self._live is not None}
        if hasattr(self.hooks, "state_dict"):
            state["hooks"] = self.hooks.state_dict()
        return state

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.end()
        self._owes_end = state["running"]
        if "hooks" in state:
            self.hooks.load_state_dict(state["hooks"])

    def _whole(self, batch):
        """`convert` without the share, for `peek`."""
        world, self.world = self.world, 1
        try:
            return self.convert(batch)
        finally:
            self.world = world


def _nothing():
    pass


def _rows(x):
    named = leaves(x, "x")
    if not named:
        raise ValueError(
            "A batch has no x. Accepted are x, (x,), (x, y) and (x, y, sample_weight). "
            "Look at what the loader gives: next(iter(loader))."
        )
    return len(named[0][1])


# ---- read in any order ------------------------------------------------------------------------


class MapDataset(Made, Rows):
    """Batches of a torch `Dataset`, read row by row (or by its `__getitems__`) and collated."""

    _cuts_share = False  # only the rows of the share are read
    global_rows = Rows.global_rows

    def __init__(self, dataset, batch_size, **kwargs):
        super().__init__(len(dataset), batch_size, **kwargs)
        self.dataset = dataset

    def sources(self):
        return [self.dataset]

    def _look(self):
        return self._read(list(range(min(self.batch_size, self.rows))))

    def _batches(self, epoch, first):
        number, self._offset, stop = self._window(epoch)
        index = self._order(number)
        for start, count in zip(*self._cuts(self._offset + first, stop), strict=False):
            if index is None:
                yield self._read(list(range(start, start + count)))
            else:
                yield self._read(index[start : start + count].tolist())

    def _read(self, picks):
        if not picks:  # a share of 0 rows is shaped like the others
            return map_structure(lambda t: None if t is None else t[:0], self._read([0]))
        if hasattr(self.dataset, "__getitems__"):
            rows = self.dataset.__getitems__(picks)
        else:
            rows = [*map(self._row, picks)]
        separate = isinstance(rows, list) and len(rows) == len(picks)
        return self.convert(default_collate(rows) if separate else rows)

    def _row(self, i):
        try:
            return self.dataset[i]
        except Exception as error:
            if hasattr(error, "add_note"):  # from Python 3.11 on
                error.add_note(f"Sample {i} of x could not be read. Look at it: dataset[{i}].")
            raise


class PyBatches(Made, Indexed):
    """Batches of a `PyDataset`, in order; made ahead by threads or processes where it asks."""

    def __init__(self, dataset, **kwargs):
        super().__init__(_length(dataset), **kwargs)
        if _by_processes(dataset):
            self._draw_seed()
            self.watch = Watch(dataset.workers, "x", what="Batch")
        self.dataset = self.hooks = dataset

    def sources(self):
        return [self.dataset]

    def _look(self):
        return self._whole(self.dataset[0])

    def _batches(self, epoch, first):
        number, self._offset, stop = self._window(epoch)
        order = (
            self._permutation(self.total, number).tolist() if self.shuffle else range(self.total)
        )
        self._begin(first)
        # Workers draw their random numbers batch by batch: there every batch is made again.
        again = first if _by_processes(self.dataset) else 0
        order = order[self._offset + first - again : stop][self._turn :: self._stride]
        made = itertools.islice(self._make(order, number), again, None)
        for step, batch in enumerate(made, first):
            converted = self.convert(batch)
            self._sizes[step] = self._read_rows
            yield converted
        self._finish()

    def _make(self, order, number):
        """Iterator over the user's batches."""
        workers = getattr(self.dataset, "workers", 1)
        depth = max(getattr(self.dataset, "max_queue_size", 10), 1)
        if _by_processes(self.dataset):
            loader = DataLoader(
                self.dataset,
                batch_size=None,
                sampler=order,
                num_workers=workers,
                prefetch_factor=max(depth // workers, 1),
                collate_fn=_as_tensors,
                worker_init_fn=self.watch,
                generator=self._generator(number),  # of the workers' seeds
            )
            return iter(loader)
        if workers > 1:
            return _ahead(self.dataset.__getitem__, order, workers, depth)
        return map(self.dataset.__getitem__, order)


def _by_processes(dataset):
    return getattr(dataset, "use_multiprocessing", False) and getattr(dataset, "workers", 1) > 0


def _as_tensors(batch):
    """What a worker sends: tensors travel in shared memory."""
    names = ("x", "y", "sample_weight")
    return tuple(tensors(part, name) for part, name in zip(unpack(batch), names, strict=True))


def _length(dataset):
    return dataset.num_batches if hasattr(dataset, "num_batches") else len(dataset)


def _ahead(make, order, workers, depth):
    """`map(make, order)` by threads, at most `depth` results early, in order."""
    pool, pending = ThreadPoolExecutor(workers), deque()
    try:
        for i in order:
            pending.append(pool.submit(make, i))
            if len(pending) > depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


# ---- read in their own order ------------------------------------------------------------------

_END = object()


class Stream(Made):
    """Batches of a DataLoader, of any iterable of batches, or of an iterator (read once).

    Args:
        source: What is iterated.
        steps: Batches in an epoch; None: to the end of the source.
        length: Batches in the source, where known.
        restart: Begin every epoch at the first batch, where the source can.
        loader: The user's DataLoader, which has its own way to share rows among processes.
        hooks: As for `Made`.
        name: What errors call the source.
        allow_empty: Accept a source without batches.
    """

    def __init__(
        self,
        source,
        steps=None,
        length=None,
        restart=False,
        loader=None,
        hooks=None,
        name="x",
        allow_empty=False,
    ):
        if loader is not None:
            source, self.watch = watched(loader, name)
            loader = source
        self.source = source
        self.once = hasattr(source, "__next__")
        self.steps = length if steps is None else min(steps, length or steps)
        self._length = length
        self.loader, self.hooks, self.name = loader, hooks, name
        self.batch_size = getattr(loader, "batch_size", None)
        self._cuts_share = loader is None
        self._asked, self._restart, self._allow_empty = steps, restart, allow_empty
        self._running = None  # the iterator with which the next pass goes on
        self._given = getattr(source, "gi_frame", source) is None  # a generator that has ended
        self._warned = False
        self._passes = 1  # that are going to be made
        self._drawn = 0  # batches of it, or of what can be read only once
        self._began = None  # random numbers and epoch when it was made
        self._placed = False  # whether it stands where the next pass is to begin

    def sources(self):
        batch_sampler = getattr(self.loader, "batch_sampler", None)
        found = [self.source, *(getattr(self.loader, n, None) for n in ("dataset", "sampler"))]
        found += [batch_sampler, getattr(batch_sampler, "sampler", None)]
        return [source for source in found if source is not None]

    def check_epochs(self, epochs):
        self._passes = epochs
        if self.once and self._asked is None and epochs > 1:
            raise ValueError(
                f"{self.name} is a generator, which can be read once, for {epochs} epochs. "
                "A number of steps, and a generator that lasts, are accepted. Write "
                "steps_per_epoch=100 or validation_steps=100, or give a PyDataset or DataLoader."
            )

    def _look(self):
        running = iter(self.source) if self._running is None else self._running
        batch = next(running, _END)
        if batch is _END:
            raise self._no_batches()
        self._running = itertools.chain([batch], running)
        return self._whole(batch)

    def _batches(self, epoch, first):
        self._begin(first)
        if self._stride > 1 and _reads_by_index(self.loader):
            yield from map(self.convert, self._dealt_loader())
        else:
            yield from self._converted(epoch, first)
        self._finish()

    def _converted(self, epoch, first):
        begin, self._placed = first if self._placed else 0, False
        for step, batch in enumerate(self._read(epoch, begin), begin):
            if step >= first and step % self._stride == self._turn:
                converted = self.convert(batch)
                self._sizes[step] = self._read_rows
                yield converted

    def _dealt_loader(self):
        """The user's loader with the batches of this process only, so that reading is shared.

        Samplers may draw, each process by itself: the order of the first process is everyone's.
        """
        name = "sampler" if self.loader.batch_sampler is None else "batch_sampler"
        picks = None
        if self._turn == 0:
            picks = list(itertools.islice(getattr(self.loader, name), self.steps))
        picks = gather(picks)[0]
        mine = copy.copy(self.loader)
        mine.__dict__[name] = picks[self._turn :: self._stride]  # a DataLoader refuses setattr
        self._running = None
        return mine

    def _read(self, epoch, step):
        """The user's batches of one epoch, from `step` on, where `_running` stands then."""
        if step == self.steps:  # saved after its last step, and put back
            return
        _set_epoch(self.loader, epoch)
        running = self._running
        if running is None:
            running = self._open(epoch)
        batch = next(running, _END)
        if batch is _END and self._running is not None and step == 0:
            running = self._open(epoch)  # of a generator itself: it ends at once
            batch = next(running, _END)
        self._running = running if self._lasts() else None
        while batch is not _END:
            self._given = True
            self._drawn += 1
            yield batch
            step += 1
            if step == self.steps:
                break
            batch = next(running, _END)
        else:
            self._running = None
        if step < (self._asked or 1):
            self._ended(epoch, step)

    def _open(self, epoch):
        """A new iterator over the source, and what it takes to make it again."""
        if self.remembers:
            state = generators(dict(enumerate(self.sources()))).state()
            self._began = {"epoch": epoch, "rng": rng_state(), "generators": state}
        if not self.once:
            self._drawn = 0
        return iter(self.source)

    def state_dict(self):
        state = super().state_dict()
        lasts = state["running"] or self._running is not None
        place = {"lasts": lasts, "drawn": self._drawn, "began": self._began if lasts else None}
        return {**state, **place}

    def load_state_dict(self, state):
        """Go back to a place; batches that were drawn before are drawn again.

        What the source draws at random comes out the same, as long as that depends on the state
        at its beginning or on that of the moment, which is put back afterwards.
        """
        super().load_state_dict(state)
        if not state["lasts"] and not self.once:
            self._running = None
            return
        running, skip = self._running, state["drawn"]
        if self.once:
            skip -= self._drawn
            running = iter(self.source) if running is None else running
        elif running is None or state["began"] is not None:
            running = self._opened_as(state["began"])
        for _ in range(skip):
            next(running, None)
        self._running, self._drawn, self._began = running, state["drawn"], state["began"]
        self._placed = state["running"]

    def end(self):
        super().end()
        if self._placed:  # of the epoch that was begun before a restart, nothing was left
            self._placed, self._running = False, self._running if self._lasts() else None

    def drop(self):
        self._running = None
        if self.loader is not None:
            self.loader._iterator = None  # of workers that were to persist

    def _lasts(self):
        """Whether the next epoch goes on with the same iterator."""
        return self.steps != self._length and not self._restart

    def _opened_as(self, began):
        if began is not None:
            _set_epoch(self.loader, began["epoch"])
            generators(dict(enumerate(self.sources()))).put_back(began["generators"])
            set_rng_state(began["rng"])
        return iter(self.source)

    def _ended(self, epoch, step):
        """The source ended before the steps that were asked for."""
        if step == 0 and not self._allow_empty:
            raise self._no_batches()
        if step == 0 or self._warned:
            return
        said = f"{self.name} ended after {step} of {self._asked} steps"
        said += f" in epoch {epoch + 1}." if self._passes > 1 or not self._restart else "."
        if self.once and self._passes > 1:
            raise ValueError(
                f"{said} A generator is read once and must last for the steps of all epochs. Let "
                "it loop (while True:), lower the steps, or give a PyDataset or DataLoader."
            )
        self._warned = True
        again = "The next epoch begins it again." if self._passes > 1 else "All of it was taken."
        warnings.warn(
            f"{said} {again} Lower the steps, or leave them out.",
            stacklevel=_outside(),
        )

    def _no_batches(self):
        if self._given:
            return ValueError(
                f"{self.name} is a generator that is used up. It can be read once. Make a new one, "
                "or give a PyDataset or DataLoader."
            )
        return ValueError(
            f"{self.name} gave no batches. At least one is accepted. Look at it with "
            f"next(iter({self.name}))."
        )


def _reads_by_index(loader):
    """Whether a DataLoader looks up rows, so that it may be told which."""
    return loader is not None and not isinstance(loader.dataset, IterableDataset)


def _set_epoch(loader, epoch):
    """Tell the loader's samplers the epoch, as Lightning does."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    for sampler in (getattr(loader, "sampler", None), getattr(batch_sampler, "sampler", None)):
        getattr(sampler, "set_epoch", _ignore)(epoch)


def _ignore(epoch):
    pass
