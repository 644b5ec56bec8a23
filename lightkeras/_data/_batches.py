"""What `fit`, `evaluate` and `predict` iterate: whole batches, and those of arrays."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from itertools import chain, islice, repeat, starmap, tee
from typing import Any

import torch

from lightkeras._config import _outside
from lightkeras._data._convert import leaves
from lightkeras._tree import map_structure

__all__ = ["Arrays", "Batches", "Indexed", "Rows", "to_device"]

# Arrays move to the accelerator whole where they take less than this part of its free memory.
_RESIDENT = 0.25


def to_device(tree, device):
    """`tree` with its tensors on `device`; without waiting where the memory is pinned."""
    return map_structure(lambda t: None if t is None else t.to(device, non_blocking=True), tree)


class Batches(ABC):
    """Whole batches `(x, y, w)` in the structure that the user gave; y and w may be None.

    Each `iter()` is a fresh pass over one epoch, and the next one is the next epoch unless
    `set_epoch` says otherwise. Not a list: the Trainer takes a list for several loaders.

    Attributes:
        steps: Batches in an epoch; None where only the end of the data tells.
        rows: Samples in the data, over all processes; None where unknown.
        batch_size: Rows of a whole batch, over all processes; None where unknown.
        seed: Base of the shuffling. Drawn from torch's global generator, once; processes that
            share the batches must agree on it.
        loader: The user's own DataLoader, or None.
        watch: What tells the samples that its workers read, or None.
        bare: Whether x without y reaches a step of the user's as it is, and not as `(x,)`.
        guard: Function that looks at the targets of every batch made by others before they go to
            an accelerator, where a class that does not exist ends the process; or None.
    """

    steps: int | None = None
    rows: int | None = None
    batch_size: int | None = None
    loader: Any = None
    watch: Any = None
    bare = True
    guard: Any = None
    seed = 0
    epoch = 0
    device: torch.device | None = None
    rank, world = 0, 1
    _turn, _stride = 0, 1  # which batches are dealt to this process: every `_stride`-th
    remembers = False  # whether the place in the data will be asked for
    _asked: int | None = None  # the user's number of steps
    begins = 0  # the first epoch of this `fit`, which begins at the first batch
    _first = 0  # where the next pass begins
    _offset = 0  # first batch of the running epoch in the pass over the data

    def __len__(self):
        if self.steps is None:
            raise TypeError("The number of batches is known at the end of the data only.")
        return self.steps

    def __bool__(self):
        return True

    def __iter__(self):
        return chain.from_iterable(self._begun())

    def _begun(self):
        """One pass, which begins at its first `next`: Lightning makes iterators it never uses."""
        epoch, first = self.epoch, self._first
        if first == 0:  # else the epoch goes on that was begun before a restart
            self.end()
        self.epoch, self._first = epoch + 1, 0
        yield self._pass(epoch, first)

    @abstractmethod
    def _pass(self, epoch, first):
        """Iterator over the batches of `epoch` from number `first` on."""

    @abstractmethod
    def peek(self):
        """A first batch, whole, for shapes and dtypes; nothing is lost, nothing is drawn."""

    def set_epoch(self, epoch):
        """The next pass is the one of `epoch`."""
        self.epoch = epoch

    def steps_here(self):
        """Batches of the coming epoch: there may be fewer of them at the end of the data."""
        return self.steps

    def start_at(self, step):
        """The next pass begins at batch `step` of its epoch."""
        self._first = step

    def sources(self):
        """The user's objects that make the batches."""
        return []

    def state_dict(self):
        """What leads back to this place in the data, with `set_epoch` and `start_at`."""
        return {"seed": self.seed, "epoch": self.epoch}

    def load_state_dict(self, state):
        """Go back to the place that `state_dict` told."""
        self.seed, self.epoch = state["seed"], state["epoch"]

    def shard(self, rank, world):
        """From now on give this process's contiguous share of every batch.

        A share may have 0 rows, so that all processes see the same number of batches.
        """
        self.rank, self.world = rank, world
        return self

    def share(self, rows):
        """Begin and end of this process's part of a batch of `rows`; the first is never empty."""
        return -(-rows * self.rank // self.world), -(-rows * (self.rank + 1) // self.world)

    def deal(self, rank, world):
        """From now on give every `world`-th batch, whole: where no gradient has to be shared.

        Whatever is computed of a batch is then what a single process computes. There may be no
        batch for this process. Every process must begin each pass.
        """
        self._turn, self._stride = rank, world
        return self

    def on(self, device):
        """From now on give batches on `device`."""
        self.device = _place(device)
        return self

    def check_epochs(self, epochs):  # noqa: B027
        """Refuse data that cannot last for so many epochs."""

    def end(self):
        """The epoch is over, also where its last batches were not taken. May be called twice."""
        self._first = 0

    def drop(self):  # noqa: B027
        """Let go of an iterator over the user's data that has failed."""

    def limit(self, most):
        """At most `most` batches in an epoch; None: no limit."""
        if most is not None and (self.steps is None or self.steps > most):
            self.steps, self._asked = most, None

    @abstractmethod
    def global_rows(self, step):
        """Rows, over all processes, of batch `step` of the running epoch."""


class Indexed(Batches):
    """Batches of data that can be read in any order: arrays, a Dataset, a PyDataset.

    Args:
        total: Batches in the data.
        steps: Batches in an epoch; the next epoch goes on where this one ended, and one at the
            end of the data may be shorter, as in Keras.
        shuffle: Whether to draw a new order for every pass over the data.
        restart: Begin every epoch at the first batch (validation, `evaluate`, `predict`).
    """

    def __init__(self, total, steps=None, shuffle=False, restart=False):
        self.total = total
        self.steps = total if steps is None else min(steps, total)
        self.shuffle = shuffle
        self._restart = restart
        self._asked, self._warned = steps, False
        if shuffle:
            self._draw_seed()

    def _window(self, epoch, tell=True):
        """`(pass over the data, first batch, end)` of an epoch that begins, or may begin later."""
        if self._restart or not self.steps:
            if self.total < (self._asked or 0) and not self._warned:
                self._warned = True
                _warn_fewer(self.total, self._asked)
            return epoch, 0, self.steps
        number, part = divmod(epoch - self.begins, math.ceil(self.total / self.steps))
        first = part * self.steps
        stop = min(first + self.steps, self.total)
        if stop - first < (self._asked or 0) and tell and not self._warned:  # as Keras does
            self._warned = True
            _warn_short(epoch, stop - first, self._asked, self.total)
        return self.begins + number, first, stop

    def steps_here(self):
        _, first, stop = self._window(self.epoch, tell=False)
        return stop - first

    def _draw_seed(self):
        # The CPU's generator and an explicit device: a default device must not matter here.
        self.seed = int(torch.randint(2**32, (), dtype=torch.int64, device="cpu"))

    def _generator(self, number):
        """Generator of pass `number`, which does not touch torch's global one."""
        # torch's CPU generator keeps 32 bits of a seed; an odd factor keeps the passes apart.
        return torch.Generator("cpu").manual_seed((self.seed + 0x9E3779B1 * number) % 2**32)

    def _permutation(self, n, number):
        """Order of the n items in pass `number`: the same in every process and on every device."""
        return torch.randperm(n, generator=self._generator(number), device="cpu")


def _warn_short(epoch, steps, asked, total):
    warnings.warn(
        f"Epoch {epoch + 1} has {steps} of {asked} steps: the data, {total} batches, ends there. "
        f"Steps per epoch that divide {total} are expected. Lower them, or leave them out.",
        stacklevel=_outside(),
    )


def _warn_fewer(total, asked):
    warnings.warn(
        f"{asked} steps are asked for, the data has {total} batches: all of them are taken. At "
        f"most {total} steps are expected. Leave the number of steps out.",
        stacklevel=_outside(),
    )


class Rows(Indexed):
    """Batches cut from a known number of rows."""

    rows: int
    batch_size: int

    def __init__(self, rows, batch_size, **kwargs):
        super().__init__(math.ceil(rows / batch_size), **kwargs)
        self.rows = rows
        self.batch_size = batch_size

    def global_rows(self, step):
        start = (self._offset + step) * self.batch_size
        return min(self.batch_size, self.rows - start)

    def _order(self, number):
        """Index of the rows in their order in pass `number`, or None."""
        if not self.shuffle:
            return None
        if self.shuffle != "batch":
            return self._permutation(self.rows, number)
        full = self.rows // self.batch_size  # a last batch of fewer rows stays the last
        index = torch.arange(self.rows, device="cpu")
        blocks = index[: full * self.batch_size].view(full, self.batch_size)
        return torch.cat(
            [blocks[self._permutation(full, number)].flatten(), index[blocks.numel() :]]
        )

    def _cuts(self, first, stop):
        """Begin and length of this process's part of the batches, as two lazy sequences."""
        size, full = self.batch_size, min(stop, self.rows // self.batch_size)
        low, high = self.share(size)
        starts: Any = range(first * size + low, full * size + low, size)
        counts: Any = repeat(high - low, len(starts))
        if first < stop and stop > full:
            low, high = self.share(self.rows - full * size)
            starts, counts = chain(starts, [full * size + low]), chain(counts, [high - low])
        if self._stride > 1:
            starts, counts = (islice(s, self._turn, None, self._stride) for s in (starts, counts))
        return starts, counts


class Arrays(Rows):
    """Batches of arrays: views of them, or gathered by index where the order is drawn.

    A pass is one chain of C iterators: no Python code of ours runs per batch.

    Args:
        x, y, w: Trees of tensors of `rows` rows on one device; y and w may be None.
        rows: Their length.
        batch_size, steps, shuffle, restart: As for the base classes.
    """

    def __init__(self, x, y, w, rows, batch_size, **kwargs):
        super().__init__(rows, batch_size, **kwargs)
        self.x, self.y, self.w = x, y, w

    def peek(self):
        whole = min(self.batch_size, self.rows)
        return tuple(
            map_structure(lambda t: None if t is None else self._move(t[:whole]), tree)
            for tree in (self.x, self.y, self.w)
        )

    def on(self, device):
        self.device = place = _place(device)
        away = self._away()
        size = sum(t.nbytes for t in away.values())
        if away and place.type != "cpu" and size < _RESIDENT * _free_memory(place):
            moved = {key: t.to(place) for key, t in away.items()}
            self.x, self.y, self.w = map_structure(
                lambda t: moved.get(id(t), t), (self.x, self.y, self.w)
            )
        return self

    def _pass(self, epoch, first):
        number, self._offset, stop = self._window(epoch)
        first += self._offset
        index = self._order(number)
        cut = self._slice(first, stop) if index is None else self._gather(index, first, stop)
        if self._away():
            near = cut
            cut = lambda t: map(self._move, near(t))  # noqa: E731
        return _column((self.x, self.y, self.w), cut)

    def _leaves(self):
        return [t for _, t in leaves((self.x, self.y, self.w), "")]

    def _away(self):
        """The arrays, by id, that are not on the device where batches are wanted."""
        return {id(t): t for t in self._leaves() if t.device != (self.device or t.device)}

    def _slice(self, first, stop):
        """Function from an array to the iterator over its batches."""
        return lambda t: map(t.narrow, repeat(0), *self._cuts(first, stop))

    def _gather(self, index, first, stop):
        """The same, in the order of `index`."""
        every = self._leaves()
        index = index.to(every[0].device)
        picks = iter(tee(map(index.narrow, repeat(0), *self._cuts(first, stop)), len(every)))
        return lambda t: map(t.index_select, repeat(0), next(picks))

    def _move(self, t):
        if self.device is None or t.device == self.device:
            return t
        if self.device.type == "cuda" and t.device.type == "cpu":
            t = t.pin_memory()
        return t.to(self.device, non_blocking=True)


def _column(tree, cut):
    """Iterator over the batches of a tree, itself made of C iterators."""
    if tree is None:
        return repeat(None)
    if isinstance(tree, dict):
        values = zip(*(_column(part, cut) for part in tree.values()), strict=False)
        return map(dict, map(zip, repeat(tuple(tree)), values))
    if isinstance(tree, (list, tuple)):
        values = zip(*(_column(part, cut) for part in tree), strict=False)
        if isinstance(tree, list):
            return map(list, values)
        return starmap(type(tree), values) if hasattr(tree, "_fields") else values
    return cut(tree)


def _place(device):
    """`device` as tensors on it tell it: "cuda" becomes "cuda:0"."""
    return torch.empty(0, device=device).device


def _free_memory(device):
    """Free bytes of an accelerator; 0 where it does not tell."""
    try:
        return torch.accelerator.get_memory_info(device)[0]
    except (RuntimeError, ValueError, AttributeError):  # not every torch and device has it
        pass
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return 0
