"""Reviews and newswires as lists of word ranks: what IMDB and Reuters share."""

from __future__ import annotations

import json
from itertools import chain

import numpy as np

from lightkeras.datasets._files import damaged

__all__ = ["encode", "read_index", "too_short"]


def encode(texts, num_words, skip_top, maxlen, start_char, oov_char, index_from):
    """Texts with a start mark, shifted ranks, and other words than the wanted ones replaced.

    Args:
        texts: Lists of word ranks from 1.
        num_words: Words from here on (after the shift) are replaced; None: the largest one.
        skip_top: Words below are replaced as well.
        maxlen: Only texts shorter than this are kept; None keeps all.
        start_char: Put before every text; None for nothing.
        oov_char: Put in the place of the other words; None leaves them out.
        index_from: Added to every rank.

    Returns:
        Object array of lists, and the array of the indices of the texts that were kept.
    """
    lead = [] if start_char is None else [start_char]
    lengths = np.array([len(lead) + len(text) for text in texts], dtype="int64")
    kept = np.flatnonzero(lengths < maxlen) if maxlen else np.arange(len(texts))
    lengths = lengths[kept]
    # All words in one array: a few steps for millions of words, where a loop takes seconds.
    words = chain.from_iterable(chain(lead, texts[i]) for i in kept)
    words = np.fromiter(words, "int64", int(lengths.sum()))
    ends = np.cumsum(lengths)
    is_word: np.ndarray = np.ones(len(words), dtype=bool)
    if lead:
        is_word[ends - lengths] = False
    words[is_word] += index_from or 0
    wanted = (words >= skip_top) & (words < (num_words or words.max(initial=0)))
    if oov_char is not None:
        words[~wanted] = oov_char
    else:
        ends = np.concatenate([[0], np.cumsum(wanted)])[ends]
        words = words[wanted]
    return _lists(words.tolist(), ends.tolist()), kept


def _lists(words, ends):
    lists: np.ndarray = np.empty(len(ends), dtype=object)
    start = 0
    for i, end in enumerate(ends):
        lists[i], start = words[start:end], end
    return lists


def too_short(maxlen):
    """The error for a `maxlen` that no text meets."""
    return ValueError(
        f"load_data() got maxlen={maxlen}, and no text is shorter. Only texts with fewer words "
        "than maxlen are kept. Give a larger maxlen, or cut the texts with pad_sequences()."
    )


def read_index(path):
    """The word -> rank table of a JSON file."""
    try:
        with open(path, encoding="utf-8") as file:
            index = json.load(file)
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    if not isinstance(index, dict) or not all(type(rank) is int for rank in index.values()):
        raise damaged(path, "it is no table of words and ranks")
    return index
