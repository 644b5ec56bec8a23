"""Random order and the split into training and test rows."""

from __future__ import annotations

import numpy as np

__all__ = ["check_test_split", "shuffled", "split"]


def shuffled(rng, *arrays):
    """The arrays in one random order drawn from a `RandomState`."""
    order = np.arange(len(arrays[0]))
    rng.shuffle(order)
    return tuple(array[order] for array in arrays)


def split(x, y, test_split):
    """((x_train, y_train), (x_test, y_test)), the first rows for training."""
    count = int(len(x) * (1 - test_split))
    return (x[:count], y[:count]), (x[count:], y[count:])


def check_test_split(test_split):
    """Refuse what is no fraction, or leaves nothing to train on."""
    if not isinstance(test_split, (int, float)) or not 0 <= test_split < 1:
        raise ValueError(
            f"load_data() got test_split={test_split!r}. A fraction from 0 to below 1 is "
            "accepted. Write test_split=0.2 for a fifth."
        )
