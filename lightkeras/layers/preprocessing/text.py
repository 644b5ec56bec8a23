"""`TextVectorization`: texts as sequences of whole numbers, or as vectors."""

from __future__ import annotations

import re
import string
from collections.abc import Callable

import numpy as np
import torch

from lightkeras import _registry
from lightkeras._config import plain
from lightkeras._text import Text, as_text, holds_text
from lightkeras.layers.preprocessing._encoding import Categorical, encoded_shape
from lightkeras.layers.preprocessing._lookup import batches_of, without_path
from lightkeras.layers.preprocessing.lookup import StringLookup

__all__ = ["TextVectorization"]

_LOWER = {ord(c): c.lower() for c in string.ascii_uppercase}  # ASCII only, as in Keras
_STRIP = {ord(c): None for c in string.punctuation}
_STANDARDS = {
    "lower": _LOWER,
    "strip_punctuation": _STRIP,
    "lower_and_strip_punctuation": {**_LOWER, **_STRIP},
}
_WORDS = re.compile(r"[^ \t\n\v\f\r]+")
_SPLITS: dict[str, Callable] = {"whitespace": _WORDS.findall, "character": list}
_AT_ONCE = 1024  # texts that a user's function is handed


class TextVectorization(Categorical):
    """Texts as sequences of whole numbers: standardized, split, and looked up in a vocabulary.

    The vocabulary is given, or taken from data by `adapt`. 0 fills up short sequences, 1 stands for
    words that are not in it.

    Takes lists, arrays and series of strings, and what comes from `Input(..., dtype="string")`.
    Each different text is worked on once, however many batches and epochs it occurs in.

    Args:
        max_tokens: Size of the vocabulary at most.
        standardize: "lower_and_strip_punctuation", "lower", "strip_punctuation", None, or a
            function of an array of strings that returns one of the same shape.
        split: "whitespace", "character", None, or a function of an array of strings that returns
            a list of lists of strings.
        ngrams: Join neighbours: up to so many, or a tuple of how many.
        output_mode: "int" for sequences; "one_hot", "multi_hot", "count" or "tf_idf".
        output_sequence_length: Cut and fill up sequences to this length; else a batch is as long
            as its longest text.
        pad_to_max_tokens: Make vectors `max_tokens` long.
        vocabulary: Words in order, or the path of a file with one a line.
        idf_weights: Their weights, for "tf_idf".
        sparse, ragged: False.
        encoding: Of bytes, and of the file.

    Shape:
        `(batch,)` or `(batch, 1)` -> `(batch, length)`; as vectors `(batch, size)`, one-hot
        `(batch, length, size)`

    Raises:
        ValueError: arguments contradict each other, or the vocabulary is not usable.
        TypeError: numbers are given.

    >>> layer = TextVectorization(output_sequence_length=4)
    >>> layer.adapt(["A cat sat.", "A dog, a cat!"])
    >>> layer.get_vocabulary()
    ['', '[UNK]', 'a', 'cat', 'sat', 'dog']
    >>> layer(["a dog ate"]).tolist()
    [[2, 5, 1, 0]]
    """

    _reads_text = True

    def __init__(
        self,
        max_tokens=None,
        standardize="lower_and_strip_punctuation",
        split="whitespace",
        ngrams=None,
        output_mode="int",
        output_sequence_length=None,
        pad_to_max_tokens=False,
        vocabulary=None,
        idf_weights=None,
        sparse=False,
        ragged=False,
        encoding="utf-8",
        name=None,
        *,
        vocabulary_size=None,
        has_input_vocabulary=None,
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.standardize = _known("standardize", standardize, _STANDARDS)
        self.split = _known("split", split, _SPLITS)
        self.ngrams = ngrams
        self._widths = _widths(ngrams)
        self.encoding, self.ragged, self.sparse = encoding, ragged, sparse
        self._lookup_layer = StringLookup(
            max_tokens=max_tokens,
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            pad_to_max_tokens=pad_to_max_tokens,
            mask_token="",
            output_mode=output_mode,
            sparse=sparse,
            encoding=encoding,
            vocabulary_size=vocabulary_size,
            has_input_vocabulary=has_input_vocabulary,
        )
        self.output_mode = self._lookup_layer.output_mode
        self.output_sequence_length = output_sequence_length
        self._check_length()
        if ragged:
            raise ValueError(
                "TextVectorization(ragged=True) is not possible. Sequences are filled up with 0. "
                "Leave ragged= out."
            )

    def _check_length(self):
        length = self.output_sequence_length
        whole = isinstance(length, (int, np.integer)) and not isinstance(length, bool)
        if length is None or (whole and length > 0 and self.output_mode == "int"):
            return
        hint = "Type output_sequence_length=200."
        if self.output_mode != "int":
            hint = 'It belongs to output_mode="int". Leave it out.'
        raise ValueError(
            f"TextVectorization(output_sequence_length={length!r}, "
            f"output_mode={self.output_mode!r}): the length is a whole number above zero. {hint}"
        )

    # ---- the vocabulary -----------------------------------------------------------------------

    def adapt(self, data, batch_size=None, steps=None):
        """Take the vocabulary from texts.

        Args:
            data: A list, an array, a series, or what yields batches of texts; of `(x, y)` the x
                counts.
            batch_size: Kept for Keras's sake.
            steps: Number of batches at most.

        Raises:
            ValueError: the layer was given its vocabulary, or there is no text.
            TypeError: the data is numbers.
        """
        self.reset_state()
        for batch in batches_of(data, steps):
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data):
        """Count the words of a batch of texts."""
        text = self._strings(data)
        rows = self._rows_of(text)
        self._lookup_layer._count([token for row in rows for token in row], rows)

    def _rows_of(self, text):
        """Words of each text; without `split` those of each row are as they are."""
        if self.split is None:
            wide = text.numpy().reshape(len(text) if text.ndim > 1 else 1, -1)
            tokens = dict(zip(text.words.array, self._tokenized(text.words.array), strict=True))
            return [[token for item in row for token in tokens[item]] for row in wide]
        text = self._column(text)
        tokens = self._tokenized(text.words.array)
        return [tokens[code] for code in text.codes.flatten().tolist()]

    def finalize_state(self):
        """Make the vocabulary of what was counted."""
        self._lookup_layer.finalize_state()

    def reset_state(self):
        """Forget what was counted; the vocabulary stays."""
        self._lookup_layer.reset_state()

    def get_vocabulary(self, include_special_tokens=True):
        """The words in their order; without "" and "[UNK]" where that is false."""
        return self._lookup_layer.get_vocabulary(include_special_tokens)

    def vocabulary_size(self):
        """Number of words, "" and "[UNK]" included."""
        return self._lookup_layer.vocabulary_size()

    def set_vocabulary(self, vocabulary, idf_weights=None):
        """Use these words, in this order; see `StringLookup.set_vocabulary`."""
        self._lookup_layer.set_vocabulary(vocabulary, idf_weights)

    # ---- the call -----------------------------------------------------------------------------

    def _taken(self, inputs):
        return self._strings(inputs)

    def _column(self, inputs):
        """(batch,) texts."""
        if inputs.ndim > 1:
            if inputs.shape[-1] != 1:
                raise ValueError(
                    f"{self.name!r} got texts of shape {tuple(inputs.shape)}. To be split they "
                    "come one a row, (batch,) or (batch, 1). Join the columns, or type split=None."
                )
            inputs = inputs.squeeze(-1)
        return inputs

    def _encoded(self, ids, weights=None):
        if self.output_mode == "int":
            return ids
        if self.output_mode == "one_hot" and self.split is not None:
            ids = ids[..., None]  # a batch of single words has an axis for them too
        return self._lookup_layer._encoded(ids)

    def _ids(self, inputs):
        self._lookup_layer._need_vocabulary()
        if self.split is not None:
            inputs = self._column(inputs)
        key = (self._lookup_layer._version, inputs.device)
        flat, starts, lengths = inputs.words.made(self, key, self._table(inputs.device))
        codes = inputs.codes
        if self.split is None and self._widths is None:
            return self._padded(flat[starts[codes]])
        lengths, starts = lengths[codes], starts[codes]
        width = self.output_sequence_length
        if width is None:
            width = int(lengths.max()) if lengths.numel() else 0
        place = torch.arange(width, device=codes.device)
        inside = place < lengths[..., None]
        fill = 0 if self.output_mode == "int" else -1  # a vector does not count it
        ids = flat[torch.where(inside, starts[..., None] + place, len(flat) - 1)]
        return torch.where(inside, ids, fill)

    def _padded(self, ids):
        """Whole rows cut or filled up, where texts are not split."""
        length = self.output_sequence_length
        if length is None or ids.ndim < 2:
            return ids
        ids = ids[..., :length]
        return torch.nn.functional.pad(ids, (0, length - ids.shape[-1]))

    def _table(self, device):
        """Function from different texts to their numbers: all in a row, where each begins, ends."""

        def make(texts):
            rows = self._tokenized(texts)
            lengths = np.fromiter(map(len, rows), np.int64, len(rows))
            tokens = as_text([token for row in rows for token in row] or [""])
            ids = self._lookup_layer._ids(tokens)
            starts = torch.from_numpy(np.concatenate([[0], lengths.cumsum()[:-1]]).astype("int64"))
            parts = (torch.cat([ids, ids.new_zeros(1)]), starts, torch.from_numpy(lengths))
            return tuple(part.to(device) for part in parts)

        return make

    def _tokenized(self, texts):
        """A list of words for each text."""
        standard, split = self.standardize, self.split
        if isinstance(standard, str):
            table = _STANDARDS[standard]
            texts = [text.translate(table) for text in texts]
        elif standard is not None:
            texts = self._by_user("standardize", standard, texts, _strings_of)
        if split is None:
            rows = [[text] for text in texts]
        elif isinstance(split, str):
            rows = [_SPLITS[split](text) for text in texts]
        else:
            rows = self._by_user("split", split, texts, _lists_of)
        return rows if self._widths is None else [_ngrams(row, self._widths) for row in rows]

    def _by_user(self, argument, function, texts, read):
        made = []
        for start in range(0, len(texts), _AT_ONCE):
            part = np.array(list(texts[start : start + _AT_ONCE]), dtype=str)
            result = read(self._called(argument, function, part))
            if len(result) != len(part):
                raise ValueError(
                    f"{self.name!r}: the function {argument}= returned {len(result)} items for "
                    f"{len(part)} texts. It returns one for each. Look at what it does with an "
                    "array of strings."
                )
            made += result
        return made

    def _called(self, argument, function, texts):
        try:
            return function(texts)
        except (TypeError, AttributeError) as error:
            raise TypeError(
                f"{self.name!r}: the function {argument}= failed: {error}. It is given an array "
                "of strings. Use numpy.strings or numpy.char in it, or type "
                f"{argument}=numpy.vectorize(function) for a function of one string."
            ) from error

    def _ids_shape(self, shape):
        if self.split is None and self._widths is None:
            length = self.output_sequence_length
            return (*shape[:-1], length) if length and len(shape) > 1 else tuple(shape)
        kept = shape[:-1] if self.split is not None and len(shape) > 1 else shape
        return (*kept, self.output_sequence_length)

    def compute_output_shape(self, input_shape):
        ids = self._ids_shape(tuple(input_shape))
        if self.output_mode == "int":
            return ids
        if self.output_mode == "one_hot" and self.split is not None:
            ids = (*ids, 1)
        return encoded_shape(ids, self.output_mode, self._lookup_layer._depth())

    # ---- files --------------------------------------------------------------------------------

    def save_own_variables(self, store):
        """As those of the vocabulary inside, where Keras looks for them too."""
        self._lookup_layer.save_own_variables(store)

    def load_own_variables(self, store):
        self._lookup_layer.load_own_variables(store)

    def _vocabulary_text(self):
        return self._lookup_layer._vocabulary_text()

    def _load_vocabulary_text(self, text):
        self._lookup_layer._load_vocabulary_text(text)

    def get_config(self):
        lookup = self._lookup_layer.get_config()
        names = ("max_tokens", "pad_to_max_tokens", "sparse", "vocabulary", "idf_weights")
        own = ("output_mode", "output_sequence_length", "ngrams", "ragged", "encoding")
        return {
            **{k: super(Categorical, self).get_config()[k] for k in ("name", "trainable", "dtype")},
            "standardize": plain(self.standardize),
            "split": plain(self.split),
            **{name: getattr(self, name) for name in own},
            **{name: lookup[name] for name in names},
            "vocabulary_size": lookup["vocabulary_size"],
        }

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described.

        Raises:
            ValueError: the config names a file, which is never opened for it, or a function that
                is not known.
        """
        config = without_path(cls, config)
        for argument in ("standardize", "split"):
            if isinstance(config.get(argument), dict):
                config[argument] = _functions.deserialize(config[argument])
        if isinstance(config.get("ngrams"), list):
            config["ngrams"] = tuple(config["ngrams"])
        return cls(**config)


_functions = _registry.Table("function of strings", [])


def _known(argument, value, table):
    if value is None or (isinstance(value, str) and value in table):
        return value
    if isinstance(value, str):
        raise _registry.unknown(argument, value, table)
    if callable(value):
        return value
    raise TypeError(
        f"TextVectorization({argument}={value!r}) is not known. A name, a function or None is "
        f"accepted. Names: {', '.join(table)}."
    )


def _widths(ngrams):
    if ngrams is None:
        return None
    widths = tuple(range(1, ngrams + 1)) if type(ngrams) is int else ngrams
    whole = isinstance(widths, (tuple, list)) and all(type(n) is int and n > 0 for n in widths)
    if not whole or not widths:
        raise ValueError(
            f"TextVectorization(ngrams={ngrams!r}) is not a number of words. It takes a whole "
            "number above zero, or a tuple of them. Type for example ngrams=2."
        )
    return tuple(widths)


def _ngrams(tokens, widths):
    """Neighbours joined by a space: all of one width, then those of the next."""
    return [
        " ".join(tokens[start : start + width])
        for width in widths
        for start in range(len(tokens) - width + 1)
    ]


def _strings_of(result):
    if isinstance(result, Text):
        return np.atleast_1d(result.numpy()).tolist()
    if not holds_text(result):
        raise TypeError("it returned no strings")
    return np.asarray(result).ravel().tolist()


def _lists_of(result):
    rows = result.numpy() if isinstance(result, Text) else result
    return [[str(token) for token in row] for row in rows]
