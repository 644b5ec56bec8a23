"""UCI handwritten digits: 1,797 tiny pictures that come with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lightkeras.datasets._split import shuffled

__all__ = ["load_data"]


def load_data():
    """Grey images of 8 x 8 pixels, and the digit in each. Nothing is downloaded.

    The rows are put into one fixed random order (`RandomState(113)`); the last 360 of them are
    for testing. Alpaydin, Kaynak 1998, Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, doi:10.24432/C50P49. CC BY 4.0.

    Shape:
        ((x_train `(1437, 8, 8)`, y_train `(1437,)`), (x_test `(360, 8, 8)`, y_test `(360,)`)),
        all uint8, pixels 0 (paper) to 16.

    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, x_test.shape, int(x_train.max())
    ((1437, 8, 8), (360, 8, 8), 16)
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        x, y = shuffled(np.random.RandomState(113), file["images"], file["labels"])
    return (x[:-360], y[:-360]), (x[-360:], y[-360:])
