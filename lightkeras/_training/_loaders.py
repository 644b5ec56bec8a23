"""What Lightning is given to iterate over: chunks of batches, and a stand-in for validation."""

from __future__ import annotations

from itertools import islice

from lightkeras._data import pack

__all__ = ["Chunk", "Listed", "Loader", "Unseen"]


class Unseen:
    """A loader that only has a length: that of a validation, which we run ourselves."""

    def __init__(self, batches):
        self.length = max(batches.steps or 1, 1)  # before a limit of the Trainer is applied

    def __len__(self):
        return self.length

    def __iter__(self):
        return iter(())


class Listed(int):
    """A list of epochs as a Trainer's `check_val_every_n_epoch`.

    A Trainer asks whether the number of an epoch is a multiple of it, and here those listed are.
    Callbacks of Lightning's ask whether it is 1: it never is, for it is not every epoch.

    >>> [epoch for epoch in range(1, 10) if epoch % Listed([2, 5, 9]) == 0]
    [2, 5, 9]
    """

    epochs: frozenset

    def __new__(cls, epochs):
        self = super().__new__(cls, 0)
        self.epochs = frozenset(epochs)
        return self

    def __rmod__(self, epoch):
        return int(epoch not in self.epochs)

    def __getnewargs__(self):  # for pickle
        return (self.epochs,)


class Chunk:
    """Some steps' batches, taken one by one while the step runs."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


class Loader:
    """Batches as Lightning sees them: in chunks of `size`, or one by one (`size` 0).

    With a `restart` of `fit` the first epoch may begin in its middle.
    """

    def __init__(self, batches, size, fit):
        self.batches, self.size, self.fit = batches, size, fit
        if batches.steps is not None:
            self.__class__ = SizedLoader

    def __iter__(self):
        iterator = iter(self.batches)
        if self.size == 0:
            one_by_one = iterator if self.fit.restart is None else self._singly(iterator)
            return map(self._whole, one_by_one)
        return self._chunks(iterator) if self.batches.steps is not None else self._ahead(iterator)

    def _whole(self, batch):
        """A batch as callbacks of Lightning know it: `(x, y)` where there are no weights."""
        if batch is None:
            return None
        x, y, w = batch
        return pack(x, y, w, self.batches.bare)

    def _chunks(self, iterator):
        done = 0 if self.fit.restart is None else self.fit.restart.place(self.size)
        steps, size = self.batches.steps, self.size
        end = min(done // size, -(-steps // size) - 1) * size
        while end < steps:
            end += size
            # The last goes on to the end of the iterator, which says there what was missing.
            yield Chunk(islice(iterator, end - done) if end < steps else iterator)
            done = end

    def _ahead(self, iterator):
        """Chunks of data whose end only the data tell.

        Lightning asks for the next chunk before it takes one, to know which is the last. A batch
        is drawn when its turn comes nevertheless: so the last chunks are empty.
        """
        over = []

        def to_the_end():
            yield from iterator
            over.append(True)

        batches = to_the_end()
        while not over:
            yield Chunk(islice(batches, self.size))

    def _singly(self, iterator):
        """Batch by batch; between two of them is the time to save."""
        restart = self.fit.restart
        restart.place(0)
        if restart.replays:
            yield None  # Lightning does what comes after the step, without taking it
        while True:
            if self.batches.steps is not None and restart.wants(self.fit.step):
                restart.after_step()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            yield batch


class SizedLoader(Loader):
    def __len__(self):
        return -(-self.batches.steps // self.size) if self.size else self.batches.steps_here()
