"""Small, well-known data sets as NumPy arrays, by `load_data()`.

Files are looked for in `$LIGHTKERAS_HOME/datasets`, then in `$LIGHTKERAS_HOME` (by default
`~/.lightkeras`), and downloaded to the first of them on first use:

    MNIST/raw/*-ubyte[.gz]   FashionMNIST/raw/*-ubyte[.gz]   mnist.npz
    cifar-10-batches-py/*    cifar-100-python/*
    imdb.npz  imdb_word_index.json  reuters.npz  reuters_word_index.json
    boston_housing.npz  california_housing.npz

`digits` is part of the package.
"""

from lightkeras._older import old_names
from lightkeras.datasets import (
    boston_housing,
    california_housing,
    cifar10,
    cifar100,
    digits,
    fashion_mnist,
    imdb,
    mnist,
    reuters,
)

__all__ = [
    "boston_housing",
    "california_housing",
    "cifar10",
    "cifar100",
    "digits",
    "fashion_mnist",
    "imdb",
    "mnist",
    "reuters",
]

__getattr__ = old_names(__name__)
