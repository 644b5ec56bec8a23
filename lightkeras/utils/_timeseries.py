"""`timeseries_dataset_from_array`: windows that slide over a series."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from lightkeras.utils._batched import BatchedDataset
from lightkeras.utils._directories import drawn_seed

__all__ = ["timeseries_dataset_from_array"]


def timeseries_dataset_from_array(
    data,
    targets,
    sequence_length,
    sequence_stride=1,
    sampling_rate=1,
    batch_size=128,
    shuffle=False,
    seed=None,
    start_index=None,
    end_index=None,
    format="tf",
):
    """Windows that slide over a series, as a data set of batches.

    Args:
        data: The series, an array or a tensor whose first axis is time.
        targets: One for each step of time, of which each window gets that of its first step; or
            None.
        sequence_length: Steps in a window.
        sequence_stride: Steps from one window to the next.
        sampling_rate: Steps from one item of a window to the next.
        batch_size: Windows of a batch; None for single ones.
        shuffle: Draw a new order of windows for every pass.
        seed: Seed of the order.
        start_index, end_index: The part of the series that is used.
        format: Kept for Keras's sake.

    Returns:
        A data set that `fit`, `evaluate`, `predict` and `for` take, with `map`, `take`, `cache`...

    Shape:
        `(time, ...)` -> `(batch, sequence_length, ...)`; targets `(batch, ...)`

    Raises:
        ValueError: a number is out of range, or the series is shorter than a window.

    >>> x = np.arange(6.0)
    >>> [(x.tolist(), y.tolist()) for x, y in timeseries_dataset_from_array(x, x[3:], 3)]
    [([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 4.0]], [3.0, 4.0, 5.0])]
    """
    data = _tensor(data)
    first, last = _range(len(data), start_index, end_index)
    for name, value in (
        ("sequence_length", sequence_length),
        ("sequence_stride", sequence_stride),
        ("sampling_rate", sampling_rate),
    ):
        if not _whole(value) or not 0 < value < max(len(data), 2) + (name == "sequence_length"):
            raise ValueError(
                f"timeseries_dataset_from_array({name}={value!r}) does not fit a series of "
                f"{len(data)} steps. A whole number above zero and below that is accepted. Type "
                f"{name}=1."
            )
    count = last - first - (sequence_length - 1) * sampling_rate
    series = data[first:last]
    if targets is not None:
        targets = _tensor(targets)
        count = min(count, len(targets))
        targets = targets[first:last]
    if count < 1:
        raise ValueError(
            f"timeseries_dataset_from_array() got {last - first} steps of time for windows of "
            f"{(sequence_length - 1) * sampling_rate + 1}. At least one window must fit. Lower "
            "sequence_length or sampling_rate."
        )
    starts = np.arange(0, count, sequence_stride)
    if shuffle:
        seed = drawn_seed() if seed is None else seed
        np.random.RandomState(seed).shuffle(starts)
    within = torch.arange(0, sequence_length * sampling_rate, sampling_rate)
    passes = itertools.count()

    def make():
        order = starts.copy()
        number = next(passes)
        if shuffle:
            np.random.RandomState((seed + number) % 2**32).shuffle(order)
        order = torch.from_numpy(order)
        for at in order.split(batch_size) if batch_size is not None else order:
            x = series[at[..., None] + within]
            yield x if targets is None else (x, targets[at])

    return BatchedDataset(make, -(-len(starts) // (batch_size or 1)))


def _tensor(values):
    if isinstance(values, torch.Tensor):
        return values
    return torch.as_tensor(np.asarray(values))


def _whole(value):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _range(length, start, end):
    for name, value, low in (("start_index", start, 0), ("end_index", end, 1)):
        if value is not None and not (_whole(value) and low <= value < length):
            raise ValueError(
                f"timeseries_dataset_from_array({name}={value!r}) is outside a series of {length} "
                f"steps. A whole number from {low} to {length - 1} is accepted. Leave it out for "
                "all."
            )
    start, end = start or 0, length if end is None else end
    if end <= start:
        raise ValueError(
            f"timeseries_dataset_from_array(start_index={start}, end_index={end}) leaves nothing. "
            "The end is above the start. Change one of them."
        )
    return start, end
