"""What layers with a vocabulary share: the vocabulary, `adapt`, and files."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import numpy as np
import torch

from lightkeras._dtypes import native
from lightkeras._graph import ShapeTensor
from lightkeras.layers.preprocessing import _encoding
from lightkeras.layers.preprocessing._encoding import Categorical, encode
from lightkeras.layers.preprocessing._hashes import fingerprint64, siphash64

__all__ = ["ABSENT", "Lookup", "batches_of", "documents", "hash_key", "without_path"]

_MODES: tuple[str, ...] = (*_encoding.MODES, "tf_idf")
_ARGUMENTS = (
    "max_tokens",
    "num_oov_indices",
    "mask_token",
    "oov_token",
    "invert",
    "output_mode",
    "sparse",
    "pad_to_max_tokens",
)
ABSENT = -2  # of a token that is not in the vocabulary


class Lookup(Categorical):
    """Base of the layers with a vocabulary; what it takes is said in `StringLookup`."""

    _text = False  # whether tokens are strings
    _idf: Any  # weights of the tokens, or None
    output_mode: str
    _example = "vocabulary=[...]"

    def __init__(
        self,
        vocabulary=None,
        idf_weights=None,
        salt=None,
        vocabulary_size=None,
        has_input_vocabulary=None,
        oov_method="floormod",
        **kwargs,
    ):
        state = {name: kwargs.pop(name) for name in _ARGUMENTS}
        super().__init__(**kwargs)
        self.__dict__.update(state, oov_method=oov_method)
        self.output_mode = _encoding.output_mode(self.output_mode, _MODES)
        _encoding.refuse_sparse(self)
        self.salt = hash_key(type(self).__name__, salt)
        self._check_arguments(idf_weights)
        from_file = isinstance(vocabulary, (str, os.PathLike))
        given = vocabulary is not None if has_input_vocabulary is None else has_input_vocabulary
        self.__dict__.update(
            input_vocabulary=None if from_file else _listed(vocabulary),
            input_idf_weights=_listed(idf_weights),
            _is_given=given,
            _size=vocabulary_size,  # of the vocabulary that a file will bring
            _tokens=None,
            _version=0,
        )
        self.register_buffer("_idf", None, persistent=False)
        self.reset_state()
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    def _check_arguments(self, idf_weights):
        who = type(self).__name__
        most, oov = self.max_tokens, self.num_oov_indices
        if most is not None and not (_whole(most) and most > 1):
            raise ValueError(
                f"{who}(max_tokens={most!r}) leaves no place for a vocabulary. It takes a whole "
                "number of at least 2, or None. Type for example max_tokens=20000."
            )
        if not _whole(oov) or oov < 0:
            raise ValueError(
                f"{who}(num_oov_indices={oov!r}) is not a number of places. It takes a whole "
                "number from 0 on. Type num_oov_indices=1."
            )
        if self.pad_to_max_tokens and most is None:
            raise ValueError(
                f"{who}(pad_to_max_tokens=True) needs a size to pad to. Add max_tokens=."
            )
        if self.invert and self.output_mode != "int":
            raise ValueError(
                f"{who}(invert=True, output_mode={self.output_mode!r}): only places go back to "
                'tokens. Type output_mode="int".'
            )
        if idf_weights is not None and self.output_mode != "tf_idf":
            raise ValueError(
                f"{who}(idf_weights=..., output_mode={self.output_mode!r}): weights belong to one "
                'mode only. Type output_mode="tf_idf", or leave idf_weights out.'
            )

    # ---- the vocabulary ---------------------------------------------------------------------

    @property
    def _first_oov(self):
        return int(self.mask_token is not None and self.output_mode == "int")

    @property
    def _first_token(self):
        return self._first_oov + self.num_oov_indices

    def _special(self):
        return [self.mask_token] * self._first_oov + [self.oov_token] * self.num_oov_indices

    def get_vocabulary(self, include_special_tokens=True):
        """The tokens in their order; without mask and OOV where `include_special_tokens` is false.

        >>> from lightkeras.layers import StringLookup
        >>> StringLookup(vocabulary=["a", "b"]).get_vocabulary()
        ['[UNK]', 'a', 'b']
        """
        tokens = list(self._tokens or [])
        return self._special() + tokens if include_special_tokens else tokens

    def vocabulary_size(self):
        """Number of tokens, mask and OOV included."""
        return self._first_token + len(self._tokens or ())

    def set_vocabulary(self, vocabulary, idf_weights=None):
        """Use these tokens, in this order.

        Args:
            vocabulary: A list, an array, or the path of a file with one token on each line. Mask
                and OOV may stand at its beginning.
            idf_weights: Their weights; needed for "tf_idf" and only there.

        Raises:
            ValueError: it is empty, too long, or holds a token twice; weights are missing.
            TypeError: a token is of another type.
        """
        who = f"{type(self).__name__} {self.name!r}"
        if (self.output_mode == "tf_idf") != (idf_weights is not None):
            raise ValueError(
                f'{who}: idf_weights go with a vocabulary and output_mode="tf_idf", and only '
                f"there; the mode is {self.output_mode!r}. "
                f"{'Leave them out' if idf_weights is not None else 'Add idf_weights='}."
            )
        if isinstance(vocabulary, (str, os.PathLike)):
            with open(vocabulary, encoding=getattr(self, "encoding", "utf-8")) as file:
                vocabulary = self._lines(file.read())
        given = [self._token(token) for token in np.asarray(_plain(vocabulary), object).ravel()]
        special = self._special()
        full = bool(special) and given[: len(special)] == special
        tokens = given[len(special) :] if full else given
        self._check_tokens(who, tokens, given)
        self._use(tokens)
        if idf_weights is not None:
            self._set_idf(who, idf_weights, len(given), full)

    def _lines(self, text):
        lines = text.replace("\r\n", "\n").split("\n")
        while lines and lines[-1] == "":
            lines.pop()
        return [self._read_token(line) for line in lines]

    def _check_tokens(self, who, tokens, given):
        if not given:
            raise ValueError(f"{who} got an empty vocabulary. It takes at least one token.")
        twice = [token for token, n in Counter(tokens).items() if n > 1]
        if twice:
            raise ValueError(
                f"{who} got a vocabulary with {len(twice)} tokens that stand in it several times, "
                f"such as {twice[0]!r}. Each has one place. Type list(dict.fromkeys(vocabulary))."
            )
        reserved = [self.mask_token] + [self.oov_token] * bool(self.invert)
        wrong = [token for token in reserved if token is not None and token in tokens]
        if wrong:
            raise ValueError(
                f"{who} got a vocabulary with {wrong[0]!r} in its middle, which is its mask or OOV "
                f"token. They stand at the beginning, as {self._special()}, or are left out. Take "
                "it out."
            )
        size = self._first_token + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(
                f"{who} got a vocabulary of {size} tokens, mask and OOV included. max_tokens is "
                f"{self.max_tokens}. Raise it, or give fewer."
            )

    def _use(self, tokens):
        size = self._first_token + len(tokens)
        vectors = self.output_mode != "int" and not self.pad_to_max_tokens
        if vectors and self._inbound_nodes and self._size not in (None, size):
            raise RuntimeError(
                f"{type(self).__name__} {self.name!r} has {self._size} tokens, and layers were "
                f"built on that; the new vocabulary has {size}. Make a new layer, or set "
                "max_tokens and pad_to_max_tokens=True."
            )
        self.__dict__["_tokens"] = tokens
        self.__dict__["_size"] = size
        self.__dict__["_version"] += 1

    def _set_idf(self, who, weights, count, full):
        weights = np.asarray(_plain(weights), dtype="float64")
        if weights.shape != (count,):
            raise ValueError(
                f"{who} got idf_weights of shape {weights.shape} for {count} tokens. Each token "
                "has one weight. Give as many."
            )
        front = 0 if full else self._first_token
        back = self.max_tokens - front - count if self.pad_to_max_tokens else 0
        padded = np.pad(weights, (front, back), constant_values=(weights.mean() if front else 0, 0))
        self._put_idf(padded)

    def _put_idf(self, weights):
        weights = torch.as_tensor(
            native(np.asarray(weights)), dtype=getattr(torch, self.compute_dtype)
        )
        self._idf = weights if self._idf is None else weights.to(self._idf.device)

    # ---- adapt --------------------------------------------------------------------------------

    def adapt(self, data, steps=None):
        """Take the vocabulary from data.

        Args:
            data: An array, a list, a series, or what yields batches of them: a generator, a
                DataLoader, a data set; of `(x, y)` the x counts.
            steps: Number of batches at most.

        Raises:
            ValueError: the layer was given its vocabulary, or the data is empty.
            TypeError: the data is of another type than the vocabulary.
        """
        self.reset_state()
        for batch in batches_of(data, steps):
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data):
        """Count the tokens of a batch."""
        rows = self._rows_of(data)
        self._count([token for row in rows for token in row], rows)

    def _count(self, tokens, rows):
        if self._is_given:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} was given its vocabulary. adapt() takes it "
                "from data. Make the layer without vocabulary=."
            )
        self._counts.update(tokens)
        self.__dict__["_documents"] += len(rows)
        if self.output_mode == "tf_idf":
            for row in rows:
                self._in_documents.update(set(row))

    def finalize_state(self):
        """Make the vocabulary of what was counted."""
        if self._is_given:
            return
        if not self._documents:
            raise ValueError(
                f"{self.name!r}.adapt() got no data. It takes an array or batches with at least "
                "one row. Check that the generator is not used up."
            )
        for token in (self.mask_token, self.oov_token):
            self._counts.pop(token, None)
        tokens = sorted(self._counts, key=lambda t: (self._counts[t], t), reverse=True)
        if self.max_tokens is not None:
            tokens = tokens[: max(self.max_tokens - self._first_token, 0)]
        self._use(tokens)
        if self.output_mode == "tf_idf":
            seen = np.array([self._in_documents[token] for token in tokens], dtype="float64")
            weights = np.log(1 + self._documents / (1 + seen))
            self._set_idf(self.name, weights, len(tokens), False)
        self.reset_state()

    def reset_state(self):
        """Forget what was counted; the vocabulary stays."""
        self.__dict__["_counts"], self.__dict__["_in_documents"] = Counter(), Counter()
        self.__dict__["_documents"] = 0

    # ---- the call -----------------------------------------------------------------------------

    def _depth(self):
        if self._size is None and not self.pad_to_max_tokens:
            self._need_vocabulary()
        return self.max_tokens if self.pad_to_max_tokens else self._size

    def _dtype_out(self):
        if self.invert:
            return "string" if self._text else "int64"
        return super()._dtype_out()

    def _need_vocabulary(self):
        if self._tokens is None:
            raise RuntimeError(
                f"{type(self).__name__} {self.name!r} has no vocabulary yet. It is given, or taken "
                f"from data before the first call. Type layer.adapt(data) or {self._example}."
            )

    def call(self, inputs):
        if isinstance(inputs, ShapeTensor):
            return self._without_numbers(inputs)
        self._need_vocabulary()
        return self._inverse(inputs) if self.invert else super().call(inputs)

    def _encoded(self, ids, weights=None):
        if self.output_mode != "tf_idf":
            return super()._encoded(ids, weights)
        return encode(ids, "count", self._depth(), self._idf.dtype) * self._idf

    def _oov_of(self, words):
        """Places of unknown tokens, given as strings."""
        if self.num_oov_indices < 2:
            return np.full(len(words), self._first_oov, np.int64)
        hashes = fingerprint64(words) if self.salt is None else siphash64(words, self.salt)
        return (hashes % np.uint64(self.num_oov_indices)).astype(np.int64) + self._first_oov

    def _unknown(self, tokens):
        shown = ", ".join(repr(token) for token in tokens[:3])
        return ValueError(
            f"{type(self).__name__} {self.name!r} got tokens that are not in its vocabulary: "
            f"{shown}. With num_oov_indices=0 all must be. Type num_oov_indices=1."
        )

    # ---- files --------------------------------------------------------------------------------

    def save_own_variables(self, store):
        """The weights of "tf_idf"; the vocabulary is in the config or in a file of its own."""
        if self.output_mode == "tf_idf" and self._idf is not None:
            store["idf_weights"] = self._idf.cpu().numpy()

    def load_own_variables(self, store):
        if self.output_mode == "tf_idf" and "idf_weights" in store.keys():  # noqa: SIM118
            self._put_idf(store["idf_weights"])

    def _vocabulary_text(self):
        """What `vocabulary.txt` holds in a `.keras` file; None where the config has it."""
        if self._stored_in_config() is not None or self._tokens is None:
            return None
        return "\n".join(map(str, self.get_vocabulary()))

    def _load_vocabulary_text(self, text):
        tokens = self._lines(text)
        idf = None if self._idf is None else self._idf.cpu().numpy()
        if self.output_mode == "tf_idf" and self.pad_to_max_tokens:
            idf = None if idf is None else idf[: len(tokens)]
        self.set_vocabulary(tokens, idf)

    def _stored_in_config(self):
        """The vocabulary, where a config holds it: given as a list, or not to be cut at lines."""
        tokens = self._tokens or ()
        if self.input_vocabulary is None and any("\n" in t for t in tokens if type(t) is str):
            return self.get_vocabulary()
        return self.input_vocabulary

    def get_config(self):
        base = {k: super(Categorical, self).get_config()[k] for k in ("name", "trainable", "dtype")}
        vocabulary, idf = self._stored_in_config(), self.input_idf_weights
        if vocabulary is not self.input_vocabulary and self._idf is not None:
            idf = self._idf.tolist()
        return {
            **base,
            **{name: getattr(self, name) for name in _ARGUMENTS},
            "vocabulary": vocabulary,
            "idf_weights": idf,
            "vocabulary_size": self._size,
            "oov_method": self.oov_method,
            "salt": self.salt,
        }

    def get_build_config(self):
        return None

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described.

        Raises:
            ValueError: the config names a file, which is never opened for it.
        """
        return cls(**without_path(cls, config))


def without_path(cls, config):
    """A config whose vocabulary, where there is one, is a list."""
    if isinstance(config.get("vocabulary"), (str, os.PathLike)):
        raise ValueError(
            f"The config of a {cls.__name__} names the file {str(config['vocabulary'])[:80]!r} as "
            "its vocabulary. A config holds the tokens; a path in it is never opened. Type "
            "layer.set_vocabulary(path)."
        )
    return dict(config)


def batches_of(data, steps=None):
    """Batches of what `adapt` is given: an array or a list is one, all else is iterated."""
    if isinstance(data, (list, tuple, np.ndarray, torch.Tensor, str)) or hasattr(data, "iloc"):
        if steps is not None:
            raise ValueError(
                f"adapt(steps={steps}) got an array. Steps are batches of a generator or a data "
                "set. Leave steps out."
            )
        whole = data if isinstance(data, torch.Tensor) else np.asarray(data, dtype=object)
        yield whole[:, None] if whole.ndim == 1 else whole  # every item is a document
        return
    if not hasattr(data, "__iter__") and not hasattr(data, "__getitem__"):
        raise TypeError(
            f"adapt() got {type(data).__name__}. It takes an array, a list, or something that "
            "yields batches of them. Type adapt(numpy.array(data))."
        )
    numbers = range(len(data)) if not hasattr(data, "__iter__") else ()
    for step, batch in enumerate(data if hasattr(data, "__iter__") else (data[i] for i in numbers)):
        if steps is not None and step >= steps:
            return
        yield batch[0] if _has_targets(batch) else batch


def _has_targets(batch):
    """Whether a batch is (x, ...); a DataLoader makes a list of it."""
    several = isinstance(batch, list) and 2 <= len(batch) <= 3
    return isinstance(batch, tuple) or (several and isinstance(batch[-1], torch.Tensor))


def documents(array):
    """The tokens of each row; without rows, all are one."""
    return np.reshape(array, (len(array) if np.ndim(array) > 1 else 1, -1)).tolist()


def hash_key(who, salt):
    """The two whole numbers of a `salt`; None where there is none."""
    if salt is None:
        return None
    both = [salt, salt] if _whole(salt) else list(salt) if isinstance(salt, (tuple, list)) else ()
    if len(both) == 2 and all(map(_whole, both)):
        return both
    raise ValueError(
        f"{who}(salt={salt!r}) is no key of a hash. It takes one whole number, or two. Type for "
        "example salt=1337."
    )


def _whole(value):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _plain(value):
    return value.cpu().numpy() if isinstance(value, torch.Tensor) else value


def _listed(value):
    return None if value is None else np.asarray(_plain(value)).tolist()
