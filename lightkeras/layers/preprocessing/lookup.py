"""Layers that know a vocabulary: strings or whole numbers become their places in it."""

from __future__ import annotations

import numpy as np
import torch

from lightkeras._registry import unknown
from lightkeras._text import Text, Words
from lightkeras.layers.core import real
from lightkeras.layers.preprocessing._encoding import numbers
from lightkeras.layers.preprocessing._lookup import ABSENT, Lookup, documents

__all__ = ["IntegerLookup", "StringLookup"]


class StringLookup(Lookup):
    """Strings as places in a vocabulary, or as vectors; and back.

    The vocabulary is given, or taken from data by `adapt`: the most frequent strings first,
    equally frequent ones in reverse order. Before it stand the mask, where there is one, and the
    places for what is not in it (OOV).

    Takes lists, arrays and series of strings, and what comes from `Input(..., dtype="string")`.
    With `invert` strings come out, as a `Text`: its `numpy()` and `tolist()` are the strings.

    Args:
        max_tokens: Size of the vocabulary at most, mask and OOV included.
        num_oov_indices: Places for unknown strings; several are shared out by a hash. With 0 an
            unknown string is an error.
        mask_token: The string that stands for nothing: 0, or left out of vectors.
        oov_token: What an unknown place becomes if `invert`.
        vocabulary: Strings in order: a list, an array, or the path of a file with one a line.
        idf_weights: Their weights, for "tf_idf".
        invert: Go back, from places to strings.
        output_mode: "int" for places; "one_hot", "multi_hot", "count" or "tf_idf" for vectors as
            long as the vocabulary.
        pad_to_max_tokens: Make the vectors `max_tokens` long.
        sparse: False.
        encoding: Of bytes, and of the file.
        salt: One or two whole numbers that change the hash.

    Shape:
        anything -> the same; as vectors `(batch, n)` -> `(batch, size)`, one-hot
        `(batch, n, size)`

    Raises:
        ValueError: arguments contradict each other, or the vocabulary is empty, too long or
            holds a string twice.

    >>> layer = StringLookup(vocabulary=["cat", "dog"])
    >>> layer([["dog"], ["cow"]]).tolist()
    [[2], [0]]
    >>> StringLookup(vocabulary=["cat", "dog"], invert=True)([1, 0]).tolist()
    ['cat', '[UNK]']
    """

    _text = True
    _example = 'vocabulary=["a", "b"]'

    def __init__(
        self,
        max_tokens=None,
        num_oov_indices=1,
        mask_token=None,
        oov_token="[UNK]",
        vocabulary=None,
        idf_weights=None,
        invert=False,
        output_mode="int",
        pad_to_max_tokens=False,
        sparse=False,
        encoding="utf-8",
        name=None,
        salt=None,
        **kwargs,
    ):
        self.__dict__["encoding"] = encoding
        super().__init__(
            max_tokens=max_tokens,
            num_oov_indices=num_oov_indices,
            mask_token=mask_token,
            oov_token=oov_token,
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            invert=invert,
            output_mode=output_mode,
            pad_to_max_tokens=pad_to_max_tokens,
            sparse=sparse,
            name=name,
            salt=salt,
            **kwargs,
        )

    @property
    def _reads_text(self):
        return not self.invert

    def _token(self, token):
        token = token.decode(self.encoding) if isinstance(token, bytes) else token
        if not isinstance(token, str):
            raise TypeError(
                f"StringLookup {self.name!r} got {token!r} in its vocabulary. Tokens are strings. "
                "Convert them with map(str, vocabulary), or take IntegerLookup for whole numbers."
            )
        return str(token)

    _read_token = _token

    def _taken(self, inputs):
        return numbers(self, inputs) if self.invert else self._strings(inputs)

    def _rows_of(self, data):
        return documents(self._strings(data).numpy())

    def _ids(self, inputs):
        key = (self._version, inputs.device)
        table = inputs.words.made(self, key, lambda words: self._places(words).to(inputs.device))
        ids = table[inputs.codes]
        if self.num_oov_indices == 0 and bool((ids == ABSENT).any()):
            unknown_ones = np.unique(inputs.numpy()[(ids == ABSENT).cpu().numpy()])
            raise self._unknown(unknown_ones.tolist())
        return ids

    def _places(self, words):
        """The place of each of these strings; -1 for a mask that is left out."""
        first = self._first_token
        table = {token: first + place for place, token in enumerate(self._tokens)}
        if self.mask_token is not None:
            table[self.mask_token] = 0 if self.output_mode == "int" else -1
        found = np.array([table.get(word, ABSENT) for word in words], dtype=np.int64)
        rest = np.flatnonzero(found == ABSENT)
        if self.num_oov_indices:
            found[rest] = self._oov_of(words[rest])
        return torch.from_numpy(found)

    def _inverse(self, inputs):
        tokens = self.get_vocabulary()
        words = np.empty(len(tokens) + 1, dtype=object)
        words[:] = [*tokens, self.oov_token]
        ids = inputs.long()
        ids = torch.where((ids >= 0) & (ids < len(tokens)), ids, len(tokens))
        return Text(ids, Words(words))

    def get_config(self):
        return {**super().get_config(), "encoding": self.encoding}


class IntegerLookup(Lookup):
    """Whole numbers as places in a vocabulary, or as vectors; and back.

    As `StringLookup`, for numbers of which any may occur: identifiers, years, codes.

    Args:
        max_tokens, num_oov_indices, invert, output_mode, sparse, pad_to_max_tokens: As there.
        mask_token: The number that stands for nothing.
        oov_token: What an unknown place becomes if `invert`.
        vocabulary: Numbers in order, or the path of a file with one a line.
        vocabulary_dtype: "int64".
        idf_weights: Weights of the numbers, for "tf_idf".
        oov_method: How several places are shared out: "floormod", the remainder, or "farmhash".
        salt: One or two whole numbers that change the hash; for "farmhash".

    Shape:
        anything -> the same; as vectors `(batch, n)` -> `(batch, size)`, one-hot
        `(batch, n, size)`

    Raises:
        ValueError: arguments contradict each other, or the vocabulary is empty, too long or
            holds a number twice.

    >>> layer = IntegerLookup(vocabulary=[12, 36])
    >>> layer([[36], [7]]).tolist()
    [[2], [0]]
    """

    _example = "vocabulary=[12, 36]"

    def __init__(
        self,
        max_tokens=None,
        num_oov_indices=1,
        mask_token=None,
        oov_token=-1,
        vocabulary=None,
        vocabulary_dtype="int64",
        idf_weights=None,
        invert=False,
        output_mode="int",
        sparse=False,
        pad_to_max_tokens=False,
        oov_method="floormod",
        salt=None,
        name=None,
        **kwargs,
    ):
        if vocabulary_dtype != "int64":
            raise unknown("vocabulary_dtype", vocabulary_dtype, ["int64"])
        if oov_method not in ("floormod", "farmhash"):
            raise unknown("oov_method", oov_method, ["floormod", "farmhash"])
        if salt is not None and oov_method != "farmhash":
            raise ValueError(
                f"IntegerLookup(salt={salt!r}, oov_method={oov_method!r}): a remainder has no "
                'salt. Type oov_method="farmhash", or leave salt out.'
            )
        self.__dict__["vocabulary_dtype"] = vocabulary_dtype
        for argument, token in (("mask_token", mask_token), ("oov_token", oov_token)):
            if token is not None and token != int(real("IntegerLookup", argument, token, -1)):
                raise ValueError(
                    f"IntegerLookup({argument}={token!r}) is no token. Tokens are whole numbers. "
                    f"Type for example {argument}=-1."
                )
        super().__init__(
            oov_method=oov_method,
            max_tokens=max_tokens,
            num_oov_indices=num_oov_indices,
            mask_token=mask_token,
            oov_token=oov_token,
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            invert=invert,
            output_mode=output_mode,
            sparse=sparse,
            pad_to_max_tokens=pad_to_max_tokens,
            salt=salt,
            name=name,
            **kwargs,
        )

    def _token(self, token):
        if isinstance(token, (str, bytes, bool)) or token != token or int(token) != token:
            raise TypeError(
                f"IntegerLookup {self.name!r} got {token!r} in its vocabulary. Tokens are whole "
                "numbers. Take StringLookup for strings, or convert them with map(int, vocabulary)."
            )
        return int(token)

    _read_token = staticmethod(int)

    def _taken(self, inputs):
        return numbers(self, inputs)

    def _rows_of(self, data):
        return documents(numbers(self, data).long().cpu().numpy())

    def _use(self, tokens):
        super()._use(tokens)
        keys = torch.tensor(tokens, dtype=torch.int64)
        ids = torch.arange(len(tokens)) + self._first_token
        if self.mask_token is not None:
            masked = 0 if self.output_mode == "int" else -1
            keys = torch.cat([keys, torch.tensor([int(self.mask_token)])])
            ids = torch.cat([ids, torch.tensor([masked])])
        keys, order = keys.sort()
        place = self._buffers["_keys"].device if "_keys" in self._buffers else "cpu"
        self.register_buffer("_keys", keys.to(place), persistent=False)
        self.register_buffer("_places", ids[order].to(place), persistent=False)
        names = torch.tensor(self.get_vocabulary() + [self.oov_token or 0], dtype=torch.int64)
        self.register_buffer("_names", names.to(place), persistent=False)

    def _ids(self, inputs):
        inputs = inputs.long().contiguous()
        if not len(self._keys):
            return self._oov(inputs)
        at = torch.searchsorted(self._keys, inputs.contiguous()).clamp(max=len(self._keys) - 1)
        known = self._keys[at] == inputs
        if self.num_oov_indices == 0 and not bool(known.all()):
            raise self._unknown(inputs[~known].unique().tolist())
        return torch.where(known, self._places[at], self._oov(inputs))

    def _oov(self, inputs):
        if self.num_oov_indices < 2:
            return torch.full_like(inputs, self._first_oov)
        if self.oov_method == "floormod":
            return inputs.remainder(self.num_oov_indices) + self._first_oov
        words = [str(number) for number in inputs.flatten().tolist()]
        return torch.from_numpy(self._oov_of(words)).view(inputs.shape).to(inputs.device)

    def _inverse(self, inputs):
        last = len(self._names) - 1
        ids = inputs.long()
        return self._names[torch.where((ids >= 0) & (ids < last), ids, last)]

    def get_config(self):
        return {**super().get_config(), "vocabulary_dtype": self.vocabulary_dtype}
