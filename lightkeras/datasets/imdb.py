"""IMDB: 50,000 film reviews, good or bad."""

from __future__ import annotations

import inspect

import numpy as np

from lightkeras._config import modernize, unexpected
from lightkeras.datasets._files import ORIGIN, cached, read_npz
from lightkeras.datasets._split import shuffled
from lightkeras.datasets._words import encode, read_index, too_short

__all__ = ["get_word_index", "load_data"]

_NPZ = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
_INDEX = "027313fe9a320280f3bf0fac5baf58c4a683cf39a7ed9c3d3d3912bde4284cf6"


def load_data(
    path="imdb.npz",
    num_words=None,
    skip_top=0,
    maxlen=None,
    seed=113,
    start_char=1,
    oov_char=2,
    index_from=3,
    **kwargs,
):
    """Film reviews as lists of word ranks, and whether each is positive (1) or negative (0).

    A rank is the place of the word among the most frequent ones, plus `index_from`. 0 stands for
    no word: it is left for padding. Maas et al. 2011, Learning Word Vectors for Sentiment
    Analysis.

    Args:
        path: Keras's file: a name in the cache or a path.
        num_words: Words from this rank on become `oov_char`; None keeps all but the rarest one.
        skip_top: Words below this rank become `oov_char`.
        maxlen: Keep only reviews with fewer words than this, start mark included.
        seed: Of the order of the reviews.
        start_char: Put before every review; None for nothing.
        oov_char: Stands for the words left out; None drops them.
        index_from: Added to every rank.

    Shape:
        ((x_train `(25000,)`, y_train `(25000,)`), (x_test `(25000,)`, y_test `(25000,)`)),
        `x` an object array of lists of int, `y` int64.

    Raises:
        ValueError: no review is shorter than `maxlen`.
    """
    if kwargs:
        known = set(inspect.signature(load_data).parameters) - {"kwargs"}
        modernize(["load_data"], kwargs, known)
        num_words = kwargs.pop("num_words", num_words)
        for name in kwargs:
            raise unexpected("load_data", name, known)
    file = cached(path, f"{ORIGIN}imdb.npz", ("sha256", _NPZ))
    x_train, y_train, x_test, y_test = read_npz(file, "x_train", "y_train", "x_test", "y_test")
    rng = np.random.RandomState(seed)
    x_train, y_train = shuffled(rng, x_train, y_train)
    x_test, y_test = shuffled(rng, x_test, y_test)
    texts, labels = np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test])
    x, kept = encode(texts, num_words, skip_top, maxlen, start_char, oov_char, index_from)
    count = int((kept < len(x_train)).sum())
    if count in (0, len(kept)):
        raise too_short(maxlen)
    y = labels[kept]
    return (x[:count], y[:count]), (x[count:], y[count:])


def get_word_index(path="imdb_word_index.json"):
    """The rank of every word, before `index_from` is added.

    Args:
        path: Keras's file: a name in the cache or a path.

    Returns:
        Dictionary of 88,584 words.
    """
    return read_index(cached(path, f"{ORIGIN}imdb_word_index.json", ("sha256", _INDEX)))
