"""`BatchedDataset`: batches that are made anew for each pass, and what is done with all of them."""

from __future__ import annotations

import itertools
import math
import os
import queue
import random
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from lightkeras._tree import map_structure

__all__ = ["BatchedDataset", "read_ahead"]


class BatchedDataset:
    """Whole batches, as `fit`, `evaluate`, `predict` and `for` take them.

    It has the methods of TensorFlow's data sets that Keras programs use. None changes the data
    set; each returns a new one.

    Args:
        make: Function that returns an iterator over the batches of one pass.
        size: Number of batches; infinite, or None where it is not known.
        class_names: Names of the classes, in the order of their numbers.
        file_paths: The files that the rows come from.

    >>> data = BatchedDataset(lambda: iter([(1, 2), (3, 4)]), 2)
    >>> list(data.map(lambda x, y: (x, 10 * y)).take(1)), len(data.repeat(3))
    ([(1, 20)], 6)
    """

    def __init__(self, make, size=None, class_names=None, file_paths=None):
        self._make, self._size = make, size
        self.class_names, self.file_paths = class_names, file_paths

    def _with(self, make, size):
        return BatchedDataset(make, size, self.class_names, self.file_paths)

    def __iter__(self):
        return iter(self._make())

    def __len__(self):
        if self._size in (None, math.inf):
            raise TypeError(
                "The number of batches is known at the end of the data only. Give a number of "
                "steps, or .take(n)."
            )
        return self._size

    def __bool__(self):
        return True

    def __repr__(self):
        names = "" if self.class_names is None else f", class_names={self.class_names}"
        return f"<BatchedDataset of {'?' if self._size is None else self._size} batches{names}>"

    def cardinality(self):
        """Number of batches; -1 for a data set without end, -2 where it is not known."""
        return {None: -2, math.inf: -1}.get(self._size, self._size)

    def map(self, map_func, num_parallel_calls=None, deterministic=None, name=None):
        """Each batch as `map_func` makes it, which gets x and y as two arguments."""

        def call(batch):
            return map_func(*batch) if isinstance(batch, tuple) else map_func(batch)

        return self._with(lambda: map(call, self), self._size)

    def filter(self, predicate, name=None):
        """The batches for which `predicate` is true."""

        def call(batch):
            return predicate(*batch) if isinstance(batch, tuple) else predicate(batch)

        return self._with(lambda: filter(call, self), None)

    def take(self, count, name=None):
        """The first `count` batches; all for -1."""
        if count < 0:
            return self
        size = None if self._size is None else min(count, self._size)
        return self._with(lambda: itertools.islice(self, count), size)

    def skip(self, count, name=None):
        """All but the first `count` batches; none for -1."""
        size = None if self._size is None else max(self._size - count, 0) if count >= 0 else 0
        return self._with(
            lambda: itertools.islice(self, count, None) if count >= 0 else iter(()), size
        )

    def repeat(self, count=None, name=None):
        """The batches several times over; without end for None."""
        endless = count is None or count < 0
        rounds = itertools.count() if endless else range(count)
        size = math.inf if endless else None if self._size is None else self._size * count
        again = (lambda: itertools.count()) if endless else (lambda: rounds)
        return self._with(lambda: itertools.chain.from_iterable(self for _ in again()), size)

    def cache(self, filename="", name=None):
        """Keep the batches in memory once they were all made."""
        kept: list = []

        def make():
            if kept:
                return iter(kept[0])
            return _kept(self, kept)

        return self._with(make, self._size)

    def prefetch(self, buffer_size=-1, name=None):
        """Make batches in a thread, some ahead of the one that is used."""
        depth = buffer_size if buffer_size > 0 else 2
        return self._with(lambda: _ahead(self, depth), self._size)

    def shuffle(self, buffer_size, seed=None, reshuffle_each_iteration=True, name=None):
        """Batches in an order drawn from `buffer_size` at a time; rows stay in their batches."""
        passes = itertools.count()

        def make():
            number = next(passes) if reshuffle_each_iteration else 0
            draw = random.Random(None if seed is None else seed + number)
            return _shuffled(self, buffer_size, draw)

        return self._with(make, self._size)

    def unbatch(self, name=None):
        """The rows, one by one."""
        return self._with(lambda: (row for batch in self for row in _rows(batch)), None)

    def batch(self, batch_size, drop_remainder=False, name=None, **kwargs):
        """Batches of so many elements: of rows, after `unbatch`."""
        size = self._size
        if size is not None:
            size = size // batch_size if drop_remainder else -(-size // batch_size)

        def make():
            running = iter(self)
            while rows := list(itertools.islice(running, batch_size)):
                if len(rows) == batch_size or not drop_remainder:
                    yield _stacked(rows)

        return self._with(make, size)

    def concatenate(self, other):
        """The batches of this data set, then those of another."""
        try:
            size = len(self) + len(other)
        except TypeError:
            size = None
        return self._with(lambda: itertools.chain(self, other), size)

    def as_numpy_iterator(self):
        """Iterator over the batches as arrays."""
        return (map_structure(lambda t: t.numpy(), batch) for batch in self)


def _kept(batches, kept):
    made = []
    for batch in batches:
        made.append(batch)
        yield batch
    kept.append(made)


def _shuffled(batches, size, draw):
    held = []
    for batch in batches:
        held.append(batch)
        if len(held) >= size:
            yield held.pop(draw.randrange(len(held)))
    draw.shuffle(held)
    yield from held


_END = object()


def _ahead(batches, depth):
    """The batches, made by a thread that stays at most `depth` of them ahead."""
    ready: queue.Queue = queue.Queue(depth)
    stop = threading.Event()

    def put(item):
        while not stop.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work():
        try:
            for batch in batches:
                put((batch, None))
                if stop.is_set():
                    return
            put((_END, None))
        except BaseException as error:  # it is raised where the batches are used
            put((_END, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            batch, error = ready.get()
            if error is not None:
                raise error
            if batch is _END:
                return
            yield batch
    finally:
        stop.set()


def _rows(batch):
    if isinstance(batch, (tuple, list)):
        return zip(*(_rows(part) for part in batch), strict=True)
    if isinstance(batch, dict):
        return (
            dict(zip(batch, row, strict=True))
            for row in zip(*map(_rows, batch.values()), strict=True)
        )
    return iter(batch)


def _stacked(rows):
    def stack(*parts):
        first = parts[0]
        if isinstance(first, torch.Tensor):
            return torch.stack(parts)
        return torch.as_tensor(np.stack(parts))

    return map_structure(stack, *rows)


def read_ahead(read, groups, depth=2):
    """For each group of items, a list of what `read` makes of them; by threads, some groups ahead.

    >>> list(read_ahead(abs, [[-1, 2], [-3]]))
    [[1, 2], [3]]
    """
    pool, pending = ThreadPoolExecutor(min(8, os.cpu_count() or 1)), deque()
    try:
        for group in groups:
            pending.append([pool.submit(read, item) for item in group])
            if len(pending) > depth:
                yield [future.result() for future in pending.popleft()]
        while pending:
            yield [future.result() for future in pending.popleft()]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
