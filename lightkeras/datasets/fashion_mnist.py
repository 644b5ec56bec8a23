"""Fashion-MNIST: 70,000 pictures of clothes."""

from __future__ import annotations

from lightkeras.datasets import _idx
from lightkeras.datasets._files import ORIGIN

__all__ = ["load_data"]

# Pinned SHA-256 of the archives, in the order of _idx.NAMES.
_ARCHIVES = (
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
)


def load_data():
    """Grey images of articles of clothing, and the kind of each.

    0 T-shirt, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag,
    9 ankle boot. Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747. MIT licence.

    Shape:
        ((x_train `(60000, 28, 28)`, y_train `(60000,)`), (x_test `(10000, 28, 28)`, y_test
        `(10000,)`)), all uint8, pixels 0..255.
    """
    return _idx.load("FashionMNIST", ORIGIN, _ARCHIVES)
