"""MNIST: 70,000 handwritten digits."""

from __future__ import annotations

import os

from lightkeras.datasets import _idx
from lightkeras.datasets._files import ORIGIN, cached, find_all, read_npz

__all__ = ["load_data"]

# Pinned SHA-256: the archives in the order of _idx.NAMES, and Keras's file.
_ARCHIVES = (
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
)
_NPZ = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def load_data(path="mnist.npz"):
    """Grey images of handwritten digits and the digit in each.

    LeCun, Cortes, Burges: The MNIST database of handwritten digits. CC BY-SA 3.0.

    Args:
        path: Keras's `.npz` file, used where it exists: a name in the cache or a path. Without
            one, the published archives are read, and downloaded on first use.

    Shape:
        ((x_train `(60000, 28, 28)`, y_train `(60000,)`), (x_test `(10000, 28, 28)`, y_test
        `(10000,)`)), all uint8, pixels 0..255.
    """
    path = os.fspath(path)
    if os.path.dirname(path) or find_all("", [path]):
        file = cached(path, f"{ORIGIN}mnist.npz", ("sha256", _NPZ))
        x_train, y_train, x_test, y_test = read_npz(file, "x_train", "y_train", "x_test", "y_test")
        return (x_train, y_train), (x_test, y_test)
    return _idx.load("MNIST", "https://ossci-datasets.s3.amazonaws.com/mnist/", _ARCHIVES)
