"""Boston housing: the median price of homes in 506 suburbs."""

from __future__ import annotations

import numpy as np

from lightkeras.datasets._files import ORIGIN, cached, read_npz
from lightkeras.datasets._split import check_test_split, shuffled, split

__all__ = ["load_data"]

_SHA256 = "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"


def load_data(path="boston_housing.npz", test_split=0.2, seed=113):
    """Attributes of suburbs, and the median price of a home in each in 1,000 dollars.

    One attribute, B, is computed from the share of Black residents. It makes this set a poor
    choice for anything but reproducing old examples; `california_housing` is another.
    Harrison, Rubinfeld 1978, Hedonic prices and the demand for clean air.

    Args:
        path: Keras's file: a name in the cache or a path.
        test_split: Fraction of the rows, the last ones, that is for testing.
        seed: Of the order of the rows.

    Shape:
        ((x_train `(404, 13)`, y_train `(404,)`), (x_test `(102, 13)`, y_test `(102,)`)), float64.

    Raises:
        ValueError: `test_split` is no fraction.
    """
    check_test_split(test_split)
    x, y = read_npz(cached(path, f"{ORIGIN}boston_housing.npz", ("sha256", _SHA256)), "x", "y")
    x, y = shuffled(np.random.RandomState(seed), x, y)
    return split(x, y, test_split)
