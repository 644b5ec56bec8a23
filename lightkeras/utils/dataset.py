"""Data sets written as Python classes, and small helpers around `(x, y, sample_weight)`."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

__all__ = [
    "PyDataset",
    "Sequence",
    "pack_x_y_sample_weight",
    "split_dataset",
    "unpack_x_y_sample_weight",
]


class PyDataset:
    """A data set that makes one whole batch per index; the base of your own.

    Write `__getitem__(index)`, which returns `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)` for
    one batch, and `__len__()`, the number of batches (or the property `num_batches`, None for a
    data set without an end). `on_epoch_begin` and `on_epoch_end` may be written too.

    Args:
        workers: Threads or processes that make batches ahead, in order; 1 makes them in `fit`.
        use_multiprocessing: Whether the workers are processes.
        max_queue_size: Batches that are made ahead at most.

    >>> class Squares(PyDataset):
    ...     def __len__(self):
    ...         return 3
    ...
    ...     def __getitem__(self, index):
    ...         return np.full((2, 1), index), np.full((2, 1), index**2)
    >>> [float(y[0, 0]) for x, y in Squares()]
    [0.0, 1.0, 4.0]
    """

    # A subclass that never calls super().__init__() has these.
    workers = 1
    use_multiprocessing = False
    max_queue_size = 10

    def __init__(self, workers=1, use_multiprocessing=False, max_queue_size=10):
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index):
        """The batch number `index`."""
        raise TypeError(
            f"{type(self).__name__} has no __getitem__. A PyDataset makes the batch of an index. "
            "Write def __getitem__(self, index): return x, y"
        )

    def __iter__(self):
        number = self.num_batches
        for index in itertools.count() if number is None else range(number):
            yield self[index]

    @property
    def num_batches(self):
        """Batches in the data set; None where it has no end."""
        if hasattr(self, "__len__"):
            return len(self)
        raise TypeError(
            f"{type(self).__name__} has no __len__. The number of batches is needed, or None as "
            "num_batches for a data set without an end. Write def __len__(self): return 100"
        )

    def on_epoch_begin(self):
        """Called before the first batch of every epoch."""

    def on_epoch_end(self):
        """Called after every epoch."""


Sequence = PyDataset  # its name in Keras 2


def pack_x_y_sample_weight(x, y=None, sample_weight=None):
    """A batch as `fit` takes it: `x`, `(x,)` where x is a list or tuple, `(x, y)` or with weights.

    >>> pack_x_y_sample_weight(1), pack_x_y_sample_weight([1]), pack_x_y_sample_weight(1, 2)
    (1, ([1],), (1, 2))
    """
    if y is None:
        return (x,) if isinstance(x, (tuple, list)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data):
    """`(x, y, sample_weight)` of a batch, None where it has none.

    Raises:
        ValueError: a tuple of more than three parts, or of none.

    >>> unpack_x_y_sample_weight((1, 2))
    (1, 2, None)
    """
    from lightkeras._data import unpack

    return unpack(data)


# ---- split_dataset ----------------------------------------------------------------------------


def split_dataset(
    dataset, left_size=None, right_size=None, shuffle=False, seed=None, preferred_backend=None
):
    """Two parts of a data set: the first rows and the last, shuffled before if asked.

    Args:
        dataset: An array, a list or tuple of arrays of one length, or a map-style `Dataset`.
        left_size, right_size: Rows (integer) or fraction (float) of a part; one of the two may
            be left out and is the rest.
        shuffle: Whether to draw the rows of the parts at random.
        seed: Seed of that draw.
        preferred_backend: "torch" or None.

    Returns:
        Two torch data sets.

    Raises:
        TypeError: the data set or a size is of another type.
        ValueError: a size is missing or out of range, or a part would be empty.

    >>> left, right = split_dataset(np.arange(10.0), left_size=0.8)
    >>> len(left), len(right), right[0]
    (8, 2, (tensor(8., dtype=torch.float64),))
    """
    if preferred_backend not in (None, "torch"):
        raise ValueError(
            f"preferred_backend is {preferred_backend!r}. Only 'torch' is accepted. Leave it out."
        )
    rows = _as_dataset(dataset)
    total = len(rows)
    left, right = _sizes(left_size, right_size, total)
    order = torch.arange(total, device="cpu")
    if shuffle:
        generator = torch.Generator("cpu")
        generator.seed() if seed is None else generator.manual_seed(seed)
        order = torch.randperm(total, generator=generator, device="cpu")
    return Subset(rows, order[:left].tolist()), Subset(rows, order[total - right :].tolist())


def _as_dataset(dataset):
    if isinstance(dataset, Dataset) and hasattr(dataset, "__len__"):
        return dataset
    arrays = dataset if isinstance(dataset, (list, tuple)) else [dataset]
    if not arrays or not all(isinstance(a, (np.ndarray, torch.Tensor)) for a in arrays):
        raise TypeError(
            f"split_dataset() got data of type {type(dataset).__name__}. An array, a list or tuple "
            "of arrays and a map-style torch Dataset are accepted. Convert it with np.asarray."
        )
    lengths = [len(a) for a in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"split_dataset() got arrays of {', '.join(map(str, lengths))} rows. All must have as "
            "many. Compare their shapes."
        )
    return TensorDataset(*map(torch.as_tensor, arrays))


def _sizes(left_size, right_size, total):
    """Rows of both parts."""
    if left_size is None and right_size is None:
        raise ValueError(
            "split_dataset() got neither left_size nor right_size. One is needed. "
            "Write left_size=0.8."
        )
    left, right = _size("left_size", left_size, total), _size("right_size", right_size, total)
    left = total - right if left is None else left
    right = total - left if right is None else right
    if min(left, right) < 1 or left + right > total:
        raise ValueError(
            f"left_size={left_size} and right_size={right_size} make parts of {left} and {right} "
            f"rows of {total}. Both need at least one, and no more than {total} together. "
            "Change the sizes."
        )
    return left, right


def _size(name, value, total):
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"{name} is of type {type(value).__name__}. An integer (rows) or a float (fraction) is "
            f"accepted. Write {name}=0.8."
        )
    limit = 1 if isinstance(value, float) else total
    if not 0 < value < limit:
        raise ValueError(
            f"{name} is {value}. A number between 0 and {limit}, both excluded, is accepted. "
            f"Write {name}=0.8 for 80 % of the rows."
        )
    return round(value * total) if isinstance(value, float) else value
