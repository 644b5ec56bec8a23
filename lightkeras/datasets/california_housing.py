"""California housing: the median price of homes in 20,640 districts."""

from __future__ import annotations

import numpy as np

from lightkeras._registry import unknown
from lightkeras.datasets._files import ORIGIN, cached, read_npz
from lightkeras.datasets._split import check_test_split, shuffled, split

__all__ = ["load_data"]

_SHA256 = "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"


def load_data(version="large", path="california_housing.npz", test_split=0.2, seed=113):
    """Attributes of districts, and the median price of a home in each in dollars.

    Longitude, latitude, median age of the homes, rooms, bedrooms, population, households, median
    income. From the census of 1990. Pace, Barry 1997, Sparse Spatial Autoregressions.

    Args:
        version: "large" for all districts, "small" for the first 600.
        path: Keras's file: a name in the cache or a path.
        test_split: Fraction of the rows, the last ones, that is for testing.
        seed: Of the order of the rows.

    Shape:
        ((x_train `(16512, 8)`, y_train `(16512,)`), (x_test `(4128, 8)`, y_test `(4128,)`)),
        float32.

    Raises:
        ValueError: `test_split` is no fraction, or another `version`.
    """
    check_test_split(test_split)
    if version not in ("large", "small"):
        raise unknown("version", version, ("large", "small"))
    x, y = read_npz(cached(path, f"{ORIGIN}california_housing.npz", ("sha256", _SHA256)), "x", "y")
    if version == "small":
        x, y = x[:600], y[:600]
    x, y = shuffled(np.random.RandomState(seed), x, y)
    return split(x, y, test_split)
