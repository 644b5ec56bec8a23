"""Texts as lists of whole numbers: the tools of Keras 1 and 2. `TextVectorization` is today's."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, OrderedDict, defaultdict

import numpy as np

from lightkeras._config import Configurable
from lightkeras._older import old_names
from lightkeras._registry import unknown

__all__ = [
    "Tokenizer",
    "hashing_trick",
    "one_hot",
    "text_to_word_sequence",
    "tokenizer_from_json",
]

_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
_MODES = ("binary", "count", "freq", "tfidf")


def text_to_word_sequence(input_text, filters=_FILTERS, lower=True, split=" "):
    """The words of a text.

    Args:
        input_text: The text.
        filters: Characters that separate words, too.
        lower: Whether capitals become small letters.
        split: What separates words.

    >>> text_to_word_sequence("A cat, a dog!")
    ['a', 'cat', 'a', 'dog']
    """
    text = input_text.lower() if lower else input_text
    text = text.translate(str.maketrans(dict.fromkeys(filters, split)))
    return [word for word in text.split(split) if word]


def hashing_trick(
    text, n, hash_function=None, filters=_FILTERS, lower=True, split=" ", analyzer=None
):
    """The words of a text as numbers from 1 to `n - 1`, by a hash; words may share a number.

    Args:
        text: The text.
        n: One more than the largest number.
        hash_function: A function from a word to a whole number, or "md5", which gives the same
            numbers in every run of Python; `hash` by default.
        filters, lower, split: As for `text_to_word_sequence`.
        analyzer: Function from a text to its words, instead.

    >>> hashing_trick("a cat a dog", 10, "md5")
    [2, 3, 2, 6]
    """
    if hash_function == "md5":
        hash_function = lambda word: int(hashlib.md5(word.encode()).hexdigest(), 16)  # noqa: E731
    elif hash_function is None:
        hash_function = hash
    elif not callable(hash_function):
        raise unknown("hash_function", hash_function, ["md5"])
    words = analyzer(text) if analyzer else text_to_word_sequence(text, filters, lower, split)
    return [hash_function(word) % (n - 1) + 1 for word in words]


def one_hot(input_text, n, filters=_FILTERS, lower=True, split=" ", analyzer=None):
    """The words of a text as numbers from 1 to `n - 1`, by Python's `hash`.

    Despite its name no vectors come out. The numbers change from one run of Python to the next;
    those of `hashing_trick(text, n, "md5")` do not.

    Args:
        input_text: The text.
        n: One more than the largest number.
        filters, lower, split, analyzer: As for `hashing_trick`.

    >>> len(one_hot("a cat a dog", 10))
    4
    """
    return hashing_trick(input_text, n, hash, filters, lower, split, analyzer)


class Tokenizer(metaclass=Configurable):
    """Words (or characters) as numbers, the most frequent ones first, from 1 on.

    Args:
        num_words: Only the `num_words - 1` most frequent words are used; None for all.
        filters: Characters that separate words.
        lower: Whether capitals become small letters.
        split: What separates words.
        char_level: Whether characters stand for words.
        oov_token: A word with number 1 that stands for all that are not used.
        analyzer: Function from a text to its words, instead of the four above.

    Attributes:
        word_index: `{word: number}`.
        index_word: `{number: word}`.
        word_counts: How often each word occurred.
        word_docs, index_docs: In how many texts it occurred, by word and by number.
        document_count: Number of texts seen.

    >>> tokenizer = Tokenizer(oov_token="?")
    >>> tokenizer.fit_on_texts(["A cat sat.", "A dog"])
    >>> tokenizer.word_index
    {'?': 1, 'a': 2, 'cat': 3, 'sat': 4, 'dog': 5}
    >>> tokenizer.texts_to_sequences(["a dog ran"])
    [[2, 5, 1]]
    """

    def __init__(
        self,
        num_words=None,
        filters=_FILTERS,
        lower=True,
        split=" ",
        char_level=False,
        oov_token=None,
        analyzer=None,
        *,
        document_count=0,
    ):
        self.num_words, self.filters, self.lower, self.split = num_words, filters, lower, split
        self.char_level, self.oov_token, self.analyzer = char_level, oov_token, analyzer
        self.document_count = document_count
        self.word_counts: OrderedDict[str, int] = OrderedDict()
        self.word_docs: defaultdict[str, int] = defaultdict(int)
        self.index_docs: defaultdict[int, int] = defaultdict(int)
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}

    def fit_on_texts(self, texts):
        """Count the words of texts, and number them anew.

        Args:
            texts: A list, or anything that yields texts; a text may be a list of words.
        """
        if isinstance(texts, str):
            raise TypeError(
                "fit_on_texts() got one text. It takes a list of them. Type "
                "tokenizer.fit_on_texts([text])."
            )
        for text in texts:
            words = self._words(text)
            self.document_count += 1
            for word in words:
                self.word_counts[word] = self.word_counts.get(word, 0) + 1
            for word in set(words):
                self.word_docs[word] += 1
        frequent = sorted(self.word_counts, key=self.word_counts.__getitem__, reverse=True)
        first = [] if self.oov_token is None else [self.oov_token]
        ordered = [*first, *frequent]
        self.word_index = dict(zip(ordered, range(1, len(ordered) + 1), strict=True))
        self.index_word = {number: word for word, number in self.word_index.items()}
        for word, count in self.word_docs.items():
            self.index_docs[self.word_index[word]] = count

    def _words(self, text):
        if isinstance(text, list):
            return [word.lower() for word in text] if self.lower else text
        if not isinstance(text, str):
            raise TypeError(
                f"Tokenizer got {type(text).__name__} as a text. A string is accepted, or a list "
                "of words. Convert with map(str, texts)."
            )
        if self.char_level:
            return text.lower() if self.lower else text
        if self.analyzer is not None:
            return self.analyzer(text)
        return text_to_word_sequence(text, self.filters, self.lower, self.split)

    def fit_on_sequences(self, sequences):
        """Count in how many lists each number occurs; needed for "tfidf" without texts."""
        self.document_count += len(sequences)
        for sequence in sequences:
            for number in set(sequence):
                self.index_docs[number] += 1

    def texts_to_sequences(self, texts):
        """A list of numbers for each text; words that are not used are left out, or become OOV."""
        return list(self.texts_to_sequences_generator(texts))

    def texts_to_sequences_generator(self, texts):
        """The same, one by one."""
        for text in texts:
            numbers = (self.word_index.get(word) for word in self._words(text))
            yield self._used(numbers)

    def _used(self, numbers):
        oov = self.word_index.get(self.oov_token)
        most = self.num_words or len(self.word_index) + 1
        kept = (n if n is not None and n < most else oov for n in numbers)
        return [n for n in kept if n is not None]

    def sequences_to_texts(self, sequences):
        """A text for each list of numbers."""
        return list(self.sequences_to_texts_generator(sequences))

    def sequences_to_texts_generator(self, sequences):
        """The same, one by one."""
        for sequence in sequences:
            numbers = (int(n) if int(n) in self.index_word else None for n in sequence)
            yield " ".join(self.index_word[n] for n in self._used(numbers))

    def texts_to_matrix(self, texts, mode="binary"):
        """A row of numbers for each text, a column for each word; see `sequences_to_matrix`."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(self, sequences, mode="binary"):
        """A row for each list of numbers, and a column for each number.

        Args:
            sequences: Lists of numbers.
            mode: "binary", "count", "freq" or "tfidf".

        Raises:
            ValueError: the number of words is not known, or the mode.
        """
        if mode not in _MODES:
            raise unknown("mode", mode, _MODES)
        size = self.num_words or (len(self.word_index) + 1 if self.word_index else None)
        if size is None or (mode == "tfidf" and not self.document_count):
            raise ValueError(
                f"Tokenizer: mode={mode!r} needs texts that were seen before, or num_words=. Type "
                "tokenizer.fit_on_texts(texts)."
            )
        x = np.zeros((len(sequences), size))
        for row, sequence in zip(x, sequences, strict=True):
            for number, count in Counter(n for n in sequence if n < size).items():
                row[number] = self._value(mode, number, count, len(sequence))
        return x

    def _value(self, mode, number, count, length):
        if mode == "tfidf":
            documents = self.document_count / (1 + self.index_docs.get(number, 0))
            return (1 + np.log(count)) * np.log(1 + documents)
        return {"binary": 1, "count": count, "freq": count / length}[mode]

    def get_config(self):
        """What the tokenizer has seen, as Keras writes it."""
        names = "num_words filters lower split char_level oov_token document_count"
        tables = ("word_counts", "word_docs", "index_docs", "index_word", "word_index")
        return {
            **{name: getattr(self, name) for name in names.split()},
            **{name: json.dumps(getattr(self, name)) for name in tables},
        }

    def to_json(self, **kwargs):
        """The tokenizer as JSON text; keyword arguments go to `json.dumps`."""
        config = {"class_name": type(self).__name__, "config": self.get_config()}
        return json.dumps(config, **kwargs)


def tokenizer_from_json(json_string):
    """The tokenizer that `to_json` described.

    >>> tokenizer = Tokenizer()
    >>> tokenizer.fit_on_texts(["a cat"])
    >>> tokenizer_from_json(tokenizer.to_json()).word_index
    {'a': 1, 'cat': 2}
    """
    config = dict(json.loads(json_string)["config"])
    tables = {
        name: json.loads(config.pop(name))
        for name in ("word_counts", "word_docs", "index_docs", "index_word", "word_index")
    }
    tokenizer = Tokenizer(**config)
    for name, table in tables.items():
        numbered = name.startswith("index")  # JSON's keys are strings
        setattr(tokenizer, name, {int(k) if numbered else k: v for k, v in table.items()})
    return tokenizer


__getattr__ = old_names(__name__)
