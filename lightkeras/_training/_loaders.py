"""What Lightning is given to iterate over: chunks of batches, and a stand-in for validation."""

from __future__ import annotations

from itertools import islice

__all__ = ["TOKEN", "Chunk", "Loader", "Once"]

TOKEN = "validate"  # stands for a whole validation


class Once:
    """A loader of one batch that stands for a whole validation, which we run ourselves."""

    def __len__(self):
        return 1

    def __iter__(self):
        return iter([TOKEN])


class Chunk:
    """Some steps' batches, taken one by one while the step runs."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


class Loader:
    """Batches as Lightning sees them: in chunks of `size`, or one by one (`size` 0)."""

    def __init__(self, batches, size):
        self.batches, self.size = batches, size
        if batches.steps is not None:
            self.__class__ = SizedLoader

    def __iter__(self):
        iterator = iter(self.batches)
        if self.size == 0:
            return iterator
        return self._chunks(iterator)

    def _chunks(self, iterator):
        if self.batches.steps is None:  # Lightning reads one ahead: each chunk must hold its batch
            for batch in iterator:
                yield Chunk([batch])
            return
        for _ in range(-(-self.batches.steps // self.size)):
            yield Chunk(islice(iterator, self.size))


class SizedLoader(Loader):
    def __len__(self):
        return -(-self.batches.steps // max(self.size, 1))
