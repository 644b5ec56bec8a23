"""Sequences: of different lengths into one array, as windows, and as pairs of words."""

from __future__ import annotations

import json
import random

import numpy as np

from lightkeras._older import old_names
from lightkeras.utils import PyDataset, pad_sequences

__all__ = ["TimeseriesGenerator", "make_sampling_table", "pad_sequences", "skipgrams"]


class TimeseriesGenerator(PyDataset):
    """Windows that slide over a series; `timeseries_dataset_from_array` is today's way.

    Args:
        data: Array or list whose first axis is time.
        targets: One for each step; a window gets that of the step after it.
        length: Steps that a window reaches back.
        sampling_rate: Steps from one item of a window to the next.
        stride: Steps from one window to the next.
        start_index, end_index: First and last step that are used.
        shuffle: Draw windows at random.
        reverse: Turn windows round.
        batch_size: Windows of a batch.
        **kwargs: For `PyDataset`.

    Shape:
        `(time, ...)` -> `(batch, length / sampling_rate, ...)`, targets `(batch, ...)`

    Raises:
        ValueError: data and targets differ in length, or no window fits.

    >>> x, y = TimeseriesGenerator([1, 2, 3, 4], [1, 2, 3, 4], length=2)[0]
    >>> x.tolist(), y.tolist()
    ([[1, 2], [2, 3]], [3, 4])
    """

    def __init__(
        self,
        data,
        targets,
        length,
        sampling_rate=1,
        stride=1,
        start_index=0,
        end_index=None,
        shuffle=False,
        reverse=False,
        batch_size=128,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if len(data) != len(targets):
            raise ValueError(
                f"TimeseriesGenerator() got {len(data)} steps of data and {len(targets)} targets. "
                "Each step has one target. Cut the longer one."
            )
        self.data, self.targets, self.length = data, targets, length
        self.sampling_rate, self.stride = sampling_rate, stride
        self.start_index = start_index + length
        self.end_index = len(data) - 1 if end_index is None else end_index
        self.shuffle, self.reverse, self.batch_size = shuffle, reverse, batch_size
        if self.start_index > self.end_index:
            raise ValueError(
                f"TimeseriesGenerator(): the first window of length={length} ends at step "
                f"{self.start_index}, behind the last step, {self.end_index}. At least one window "
                "must fit. Lower length."
            )

    def __len__(self):
        step = self.batch_size * self.stride
        return (self.end_index - self.start_index + step) // step

    def __getitem__(self, index):
        if self.shuffle:
            rows = np.random.randint(self.start_index, self.end_index + 1, size=self.batch_size)
        else:
            step = self.batch_size * self.stride
            first = self.start_index + step * index
            rows = np.arange(first, min(first + step, self.end_index + 1), self.stride)
        windows = [self.data[row - self.length : row : self.sampling_rate] for row in rows]
        x, y = np.array(windows), np.array([self.targets[row] for row in rows])
        return x[:, ::-1] if self.reverse else x, y

    def get_config(self):
        """The arguments, data and targets as JSON text."""
        names = "length sampling_rate stride start_index end_index shuffle reverse batch_size"
        return {
            "data": json.dumps(np.asarray(self.data).tolist()),
            "targets": json.dumps(np.asarray(self.targets).tolist()),
            **{name: getattr(self, name) for name in names.split()},
        }

    def to_json(self, **kwargs):
        """The arguments as JSON text; keyword arguments go to `json.dumps`."""
        config = {"class_name": type(self).__name__, "config": self.get_config()}
        return json.dumps(config, **kwargs)


def make_sampling_table(size, sampling_factor=1e-5):
    """How likely a word of each rank is taken by `skipgrams`: frequent words less often.

    Args:
        size: Number of words.
        sampling_factor: The larger, the more frequent words are kept.

    Source: Mikolov and others, Distributed Representations of Words and Phrases (2013); words are
    taken to be distributed by Zipf's law.

    >>> make_sampling_table(3).round(5).tolist()
    [0.00315, 0.00315, 0.00548]
    """
    rank = np.arange(size)
    rank[0] = 1
    inverse_frequency = rank * (np.log(rank) + 0.577) + 0.5 - 1 / (12 * rank)
    return np.minimum(1.0, np.sqrt(sampling_factor * inverse_frequency))


def skipgrams(
    sequence,
    vocabulary_size,
    window_size=4,
    negative_samples=1.0,
    shuffle=True,
    categorical=False,
    sampling_table=None,
    seed=None,
):
    """Pairs of words: neighbours, labelled 1, and pairs drawn at random, labelled 0.

    Args:
        sequence: Numbers of words; 0 is no word.
        vocabulary_size: One more than the largest number.
        window_size: How far neighbours are apart at most.
        negative_samples: Random pairs for each pair of neighbours.
        shuffle: Whether the pairs are mixed.
        categorical: Whether labels are [0, 1] and [1, 0].
        sampling_table: How likely each word is taken, by number.
        seed: Seed of the mixing.

    Returns:
        Pairs and their labels, as lists.

    Source: Mikolov and others, Efficient Estimation of Word Representations (2013).

    >>> skipgrams([1, 2, 3], 4, window_size=1, negative_samples=0, shuffle=False)
    ([[1, 2], [2, 1], [2, 3], [3, 2]], [1, 1, 1, 1])
    """
    pairs = []
    for place, word in enumerate(sequence):
        if not word or (sampling_table is not None and sampling_table[word] < random.random()):
            continue
        start = max(place - window_size, 0)
        near = enumerate(sequence[start : place + window_size + 1], start)
        pairs += [[word, other] for at, other in near if at != place and other]
    labels: list = [[0, 1] if categorical else 1] * len(pairs)
    if negative_samples > 0 and pairs:
        count = int(len(pairs) * negative_samples)
        words = [word for word, _ in pairs]
        random.shuffle(words)
        last = vocabulary_size - 1
        pairs += [[words[i % len(words)], random.randint(1, last)] for i in range(count)]
        labels += [[1, 0] if categorical else 0] * count
    if shuffle:
        seed = random.randint(0, 10**7) if seed is None else seed
        for items in (pairs, labels):
            random.seed(seed)
            random.shuffle(items)
    return pairs, labels


__getattr__ = old_names(__name__)
