"""Reuters: 11,228 newswires on 46 topics."""

from __future__ import annotations

import numpy as np

from lightkeras.datasets._files import ORIGIN, cached, read_npz
from lightkeras.datasets._split import check_test_split, shuffled, split
from lightkeras.datasets._words import encode, read_index, too_short

__all__ = ["get_label_names", "get_word_index", "load_data"]

_NPZ = "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
_INDEX_MD5 = "4d44cc38712099c9e383dc6e5f11a921"  # no SHA-256 of this file is published

_TOPICS = """
cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves ship
cotton carcass crude nat-gas cpi money-fx interest gnp meal-feed alum oilseed gold tin
strategic-metal livestock retail ipi iron-steel rubber heat jobs lei bop zinc orange pet-chem dlr
gas silver wpi hog lead
"""


def load_data(
    path="reuters.npz",
    num_words=None,
    skip_top=0,
    maxlen=None,
    test_split=0.2,
    seed=113,
    start_char=1,
    oov_char=2,
    index_from=3,
):
    """Newswires as lists of word ranks, and the topic of each.

    The ranks are those of `imdb.load_data`. Lewis 1997, Reuters-21578.

    Args:
        path: Keras's file: a name in the cache or a path.
        num_words: Words from this rank on become `oov_char`; None keeps all but the rarest one.
        skip_top: Words below this rank become `oov_char`.
        maxlen: Keep only newswires with fewer words than this, start mark included.
        test_split: Fraction of the newswires, the last ones, that is for testing.
        seed: Of the order of the newswires.
        start_char: Put before every newswire; None for nothing.
        oov_char: Stands for the words left out; None drops them.
        index_from: Added to every rank.

    Shape:
        ((x_train `(8982,)`, y_train `(8982,)`), (x_test `(2246,)`, y_test `(2246,)`)),
        `x` an object array of lists of int, `y` int64.

    Raises:
        ValueError: `test_split` is no fraction, or no newswire is shorter than `maxlen`.
    """
    check_test_split(test_split)
    texts, labels = read_npz(cached(path, f"{ORIGIN}reuters.npz", ("sha256", _NPZ)), "x", "y")
    texts, labels = shuffled(np.random.RandomState(seed), texts, labels)
    x, kept = encode(texts, num_words, skip_top, maxlen, start_char, oov_char, index_from)
    if not len(kept):
        raise too_short(maxlen)
    return split(x, labels[kept], test_split)


def get_word_index(path="reuters_word_index.json"):
    """The rank of every word, before `index_from` is added.

    Args:
        path: Keras's file: a name in the cache or a path.
    """
    return read_index(cached(path, f"{ORIGIN}reuters_word_index.json", ("md5", _INDEX_MD5)))


def get_label_names():
    """The 46 topics; a label is an index into them.

    >>> get_label_names()[:3]
    ('cocoa', 'grain', 'veg-oil')
    """
    return tuple(_TOPICS.split())
