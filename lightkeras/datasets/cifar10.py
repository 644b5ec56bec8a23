"""CIFAR-10: 60,000 small colour pictures of 10 kinds."""

from __future__ import annotations

from lightkeras.datasets import _cifar

__all__ = ["load_data"]

_FOLDER = "cifar-10-batches-py"
_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
_TRAIN = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
_TEST = {"test_batch": "40351d587109b95175f43aff81a1287e"}


def load_data():
    """Colour images and the kind of thing in each.

    0 airplane, 1 automobile, 2 bird, 3 cat, 4 deer, 5 dog, 6 frog, 7 horse, 8 ship, 9 truck.
    Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.

    Shape:
        ((x_train `(50000, 32, 32, 3)`, y_train `(50000, 1)`), (x_test `(10000, 32, 32, 3)`,
        y_test `(10000, 1)`)), all uint8, pixels 0..255.
    """
    folder = _cifar.find(_FOLDER, {**_TRAIN, **_TEST}, _URL, _SHA256)
    x_train, y_train = _cifar.load(folder, _TRAIN, "labels")
    x_test, y_test = _cifar.load(folder, _TEST, "labels")
    return (x_train, y_train.astype("uint8")), (x_test, y_test.astype("uint8"))
