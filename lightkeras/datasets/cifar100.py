"""CIFAR-100: 60,000 small colour pictures of 100 kinds in 20 groups."""

from __future__ import annotations

from lightkeras._registry import unknown
from lightkeras.datasets import _cifar

__all__ = ["load_data"]

_FOLDER = "cifar-100-python"
_URL = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
_SHA256 = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
_TRAIN = {"train": "16019d7e3df5f24257cddd939b257f8d"}
_TEST = {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"}


def load_data(label_mode="fine"):
    """Colour images and the kind, or the group of kinds, of the thing in each.

    Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.

    Args:
        label_mode: "fine" for the 100 kinds, "coarse" for the 20 groups.

    Shape:
        ((x_train `(50000, 32, 32, 3)`, y_train `(50000, 1)`), (x_test `(10000, 32, 32, 3)`,
        y_test `(10000, 1)`)), images uint8 0..255, labels int64.

    Raises:
        ValueError: another `label_mode`.
    """
    if label_mode not in ("fine", "coarse"):
        raise unknown("label_mode", label_mode, ("fine", "coarse"))
    folder = _cifar.find(_FOLDER, {**_TRAIN, **_TEST}, _URL, _SHA256)
    key = f"{label_mode}_labels"
    return _cifar.load(folder, _TRAIN, key), _cifar.load(folder, _TEST, key)
