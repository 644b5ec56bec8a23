"""Layers that make categories: of classes, of ranges of numbers, of hashes."""

from __future__ import annotations

import numpy as np
import torch

from lightkeras import config
from lightkeras._dtypes import native
from lightkeras._graph import KerasTensor, ShapeTensor
from lightkeras._text import Text
from lightkeras.layers.core import positive_int
from lightkeras.layers.preprocessing import _encoding
from lightkeras.layers.preprocessing._encoding import Categorical, either, encode, numbers
from lightkeras.layers.preprocessing._hashes import cross, fingerprint64, siphash64
from lightkeras.layers.preprocessing._lookup import hash_key

__all__ = ["CategoryEncoding", "Discretization", "HashedCrossing", "Hashing"]


class CategoryEncoding(Categorical):
    """Classes, from 0 to `num_tokens - 1`, as vectors.

    Args:
        num_tokens: Number of classes.
        output_mode: "multi_hot" for one vector of all classes of a row, "one_hot" for a vector of
            each, "count".
        sparse: False.

    Shape:
        `(batch, n)` -> `(batch, num_tokens)`; one-hot `(batch, n, num_tokens)`, or for n = 1
        `(batch, num_tokens)`

    Raises:
        ValueError: the number of classes is missing or no size; the mode is not known.

    >>> CategoryEncoding(num_tokens=3)([[0, 2], [1, 1]]).tolist()
    [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """

    _takes_text = False

    def __init__(self, num_tokens=None, output_mode="multi_hot", sparse=False, **kwargs):
        super().__init__(**kwargs)
        if num_tokens is None:
            raise ValueError(
                "CategoryEncoding() got no num_tokens. It takes the number of classes. Type "
                "CategoryEncoding(num_tokens=10), or take IntegerLookup, which finds the classes."
            )
        self.num_tokens = positive_int("CategoryEncoding", "num_tokens", num_tokens)
        self.output_mode = _encoding.output_mode(output_mode, _encoding.MODES[1:])
        self.sparse = sparse
        _encoding.refuse_sparse(self)

    def _depth(self):
        return self.num_tokens

    def _dtype_out(self):
        return self.variable_dtype  # counts need more than half precision

    def call(self, inputs, count_weights=None):
        if count_weights is not None:
            if self.output_mode != "count":
                raise ValueError(
                    f"{self.name!r} got count_weights with output_mode={self.output_mode!r}. "
                    'Weights belong to counts. Type output_mode="count".'
                )
            count_weights = torch.as_tensor(native(count_weights), device=inputs.device)
        return self._encoded(inputs, count_weights)

    def get_config(self):
        base = super().get_config()
        del base["sparse"]  # as Keras, which does not store it
        return base


class Discretization(Categorical):
    """Numbers as the ranges that they fall in, counted from 0.

    Args:
        bin_boundaries: Where ranges end, in rising order; a boundary belongs to the range above.
        num_bins: Number of ranges, whose boundaries `adapt` finds so that all hold as much.
        epsilon: How exact `adapt` is, as a fraction of the data.
        output_mode: "int", or "one_hot", "multi_hot", "count" for vectors.
        sparse: False.

    Shape:
        anything -> the same; as vectors `(batch, n)` -> `(batch, ranges)`, one-hot
        `(batch, n, ranges)`

    Raises:
        ValueError: neither or both of boundaries and number are given.

    >>> Discretization(bin_boundaries=[0.0, 1.0])([[-1.5, 0.0, 3.0]]).tolist()
    [[0, 1, 2]]
    """

    _takes_text = False
    summary: np.ndarray

    def __init__(
        self,
        bin_boundaries=None,
        num_bins=None,
        epsilon=0.01,
        output_mode="int",
        sparse=False,
        dtype=None,
        name=None,
        **kwargs,
    ):
        super().__init__(name=name, dtype=dtype, **kwargs)
        if (bin_boundaries is None) == (num_bins is None):
            raise ValueError(
                f"Discretization(bin_boundaries={bin_boundaries!r}, num_bins={num_bins!r}): one of "
                "the two is needed, and only one. Type num_bins=10 and call adapt(data), or "
                "bin_boundaries=[0.0, 1.0]."
            )
        if num_bins is not None:
            num_bins = positive_int("Discretization", "num_bins", num_bins)
        self.num_bins, self.epsilon, self.sparse = num_bins, epsilon, sparse
        self.output_mode = _encoding.output_mode(output_mode)
        _encoding.refuse_sparse(self)
        self.register_buffer("_boundaries", None, persistent=False)
        self.bin_boundaries = bin_boundaries
        self.reset_state()

    @property
    def bin_boundaries(self):
        """Where ranges end, as a list; None before `adapt`."""
        return None if self._boundaries is None else self.__dict__["_listed"]

    @bin_boundaries.setter
    def bin_boundaries(self, values):
        if values is None:
            self._boundaries = None
            return
        given = np.asarray(values)
        if given.dtype.kind not in "biuf":
            raise TypeError(
                f"Discretization(bin_boundaries={values!r:.60}) holds no numbers. Rising numbers "
                "are accepted. Type for example bin_boundaries=[0.0, 1.0]."
            )
        given = given.astype("float64")
        if given.ndim != 1 or not (np.diff(given) >= 0).all():
            raise ValueError(
                f"Discretization(bin_boundaries=...) got {given.tolist()!r:.80}. It takes numbers "
                "in rising order. Type for example bin_boundaries=[0.0, 1.0]."
            )
        self.__dict__["_listed"] = given.tolist()
        place = "cpu" if self._boundaries is None else self._boundaries.device
        self._boundaries = torch.tensor(given, dtype=torch.float32, device=place)

    def adapt(self, data, steps=None):
        """Take the boundaries from data.

        Args:
            data: An array or a tensor, or what yields batches of them; of `(x, y)` the x counts.
            steps: Number of batches at most.

        Raises:
            ValueError: the layer was given its boundaries, or there is no data.
        """
        if self.num_bins is None:
            raise ValueError(
                f"{self.name!r} was given its boundaries. adapt() takes them from data. Make the "
                "layer with num_bins= and without bin_boundaries=."
            )
        self.reset_state()
        whole = isinstance(data, (np.ndarray, torch.Tensor)) or hasattr(data, "iloc")
        for step, batch in enumerate([data] if whole else data):
            if steps is not None and step >= steps:
                break
            self.update_state(batch[0] if isinstance(batch, tuple) else batch)
        self.finalize_state()

    def update_state(self, data):
        """Add a batch to the summary of the data."""
        values = numbers(self, data).detach().cpu().numpy().astype("float32")
        self.summary = _merged(_summary(values, self.epsilon), self.summary, self.epsilon)

    def finalize_state(self):
        """Make the boundaries of what was summarized."""
        if self.num_bins is None:
            return
        if not self.summary.size:
            raise ValueError(
                f"{self.name!r}.adapt() got no data. It takes an array or batches with at least "
                "one number. Check that the generator is not used up."
            )
        self.bin_boundaries = _compressed(self.summary, 1.0 / self.num_bins)[0, :-1]

    def reset_state(self):
        """Forget the summary; the boundaries stay."""
        self.__dict__["summary"] = np.array([[], []], dtype="float32")

    def _depth(self):
        known = self.bin_boundaries
        return self.num_bins if known is None else len(known) + 1

    def _dtype_out(self):
        return "int32" if self.output_mode == "int" else self.compute_dtype

    def _ids(self, inputs):
        if self._boundaries is None:
            raise RuntimeError(
                f"Discretization {self.name!r} has no boundaries yet. They are taken from data "
                "before the first call. Type layer.adapt(data)."
            )
        return torch.bucketize(inputs.to(torch.float32).contiguous(), self._boundaries, right=True)

    def load_own_variables(self, store):
        """Nothing is read: the boundaries are in the config. Old files of Keras hold a summary."""

    def get_config(self):
        names = ("bin_boundaries", "num_bins", "epsilon", "output_mode", "sparse")
        return {name: getattr(self, name) for name in (*names, "name", "dtype")}

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described, adapted if that one was."""
        adapted = config.get("num_bins") is not None and config.get("bin_boundaries") is not None
        if not adapted:
            return cls(**config)
        layer = cls(**{**config, "bin_boundaries": None})
        layer.bin_boundaries = config["bin_boundaries"]
        return layer


# A summary is two rows: values in rising order, and how many numbers each stands for.


def _summary(values, epsilon):
    values = np.sort(values, axis=None)
    step = max(values.size * epsilon, 1)
    chosen = values[int(step - 1) :: int(step)]
    return np.stack([chosen, np.full_like(chosen, step)])


def _merged(one, other, epsilon):
    both = np.concatenate((one, other), axis=1)
    return _compressed(both[:, np.argsort(both[0])], epsilon)


def _compressed(summary, epsilon):
    if summary.shape[1] * epsilon < 1:
        return summary
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    total = summary[1].cumsum()
    values = np.interp(shares, total / total[-1], summary[0])
    counts = np.interp(shares, total / total[-1], total)
    return np.stack((values, np.diff(counts, prepend=0))).astype("float32")


class _Hashed(Categorical):
    """What layers of hashes share: their number of bins, and the dtype, "int64" for numbers."""

    def __init__(self, num_bins, output_mode, sparse, modes, dtype=None, **kwargs):
        self.__dict__["output_mode"] = mode = _encoding.output_mode(output_mode, modes)
        dtype = dtype or ("int64" if mode == "int" else config.floatx())
        super().__init__(dtype=dtype, **kwargs)
        self.__dict__["output_mode"] = mode
        self.num_bins = positive_int(type(self).__name__, "num_bins", num_bins)
        self.sparse = sparse
        _encoding.refuse_sparse(self)

    def _depth(self):
        return self.num_bins

    def _dtype_out(self):
        return self.compute_dtype


class Hashing(_Hashed):
    """Strings or whole numbers as bins, by a hash: no vocabulary is needed, bins may be shared.

    The hashes are those of Keras: FarmHash's fingerprint, or with a salt SipHash.

    Args:
        num_bins: Number of bins, that of the mask included.
        mask_value: The value that gets bin 0 for itself.
        salt: One or two whole numbers that change the hash.
        output_mode: "int", or "one_hot", "multi_hot", "count" for vectors.
        sparse: False.

    Shape:
        anything -> the same; as vectors `(batch, n)` -> `(batch, num_bins)`, one-hot
        `(batch, n, num_bins)`

    Raises:
        ValueError: the number of bins is no size, or a name is not known.

    Source: Weinberger and others, Feature Hashing for Large Scale Multitask Learning (2009).

    >>> Hashing(num_bins=3)([["A"], ["B"], ["C"], ["D"], ["E"]]).flatten().tolist()
    [1, 0, 1, 1, 2]
    """

    def __init__(
        self, num_bins, mask_value=None, salt=None, output_mode="int", sparse=False, **kwargs
    ):
        super().__init__(num_bins, output_mode, sparse, _encoding.MODES, **kwargs)
        integral = self.compute_dtype in ("int32", "int64")
        if self.output_mode == "int" and not integral:
            raise ValueError(
                f'Hashing(output_mode="int", dtype={self.compute_dtype!r}): bins are whole '
                'numbers. Type dtype="int64", or leave it out.'
            )
        self.mask_value = mask_value
        self.salt = hash_key("Hashing", salt)

    def _taken(self, inputs):
        return either(self, inputs)

    def _ids(self, inputs):
        if isinstance(inputs, Text):
            key = inputs.device
            bins = inputs.words.made(self, key, lambda words: self._bins(words, words).to(key))
            return bins[inputs.codes]
        whole, places = inputs.long().unique(return_inverse=True)
        listed = whole.tolist()
        return self._bins([str(n) for n in listed], listed).to(inputs.device)[places]

    def _bins(self, words, values):
        hashes = fingerprint64(words) if self.salt is None else siphash64(words, self.salt)
        masked = self.mask_value is not None and self.num_bins > 1
        bins = (hashes % np.uint64(self.num_bins - masked)).astype(np.int64)
        if masked:
            bins = np.where([value == self.mask_value for value in values], 0, bins + 1)
        return torch.from_numpy(bins)


class HashedCrossing(_Hashed):
    """Two or more features crossed: each combination of their values is hashed to a bin.

    Args:
        num_bins: Number of bins.
        output_mode: "int", or "one_hot" for vectors.
        sparse: False.

    Shape:
        a list of features, all of shape `(batch,)` or `(batch, 1)` -> the same; as vectors
        `(batch, num_bins)`

    Raises:
        ValueError: there are fewer than two features, or their shapes differ.
        TypeError: a feature is neither strings nor whole numbers.

    >>> layer = HashedCrossing(num_bins=5)
    >>> layer((["A", "B", "A", "B", "A"], [101, 101, 101, 102, 102])).tolist()
    [1, 4, 1, 1, 3]
    """

    def __init__(self, num_bins, output_mode="int", sparse=False, name=None, dtype=None, **kwargs):
        super().__init__(num_bins, output_mode, sparse, ("int", "one_hot"), dtype, name=name)

    def _taken(self, inputs):
        if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
            raise ValueError(
                f"HashedCrossing {self.name!r} got {type(inputs).__name__}. It takes a list of at "
                "least two features. Type layer([a, b])."
            )
        return [either(self, x) for x in inputs]

    def call(self, inputs):
        if any(isinstance(x, ShapeTensor) for x in inputs):
            self._check([tuple(x.shape) for x in inputs])
            return self._without_numbers(inputs[0])
        self._check([tuple(x.shape) for x in inputs])
        hashes = cross([self._hashes(x) for x in inputs])
        bins = (hashes % np.uint64(self.num_bins)).astype(np.int64)
        ids = torch.from_numpy(bins).view(inputs[0].shape).to(inputs[0].device)
        if self.output_mode == "int":
            return self._encoded(ids)
        return encode(ids, "one_hot", self.num_bins, getattr(torch, self._dtype_out()))

    def _hashes(self, feature):
        if isinstance(feature, Text):
            made = feature.words.made(self, None, fingerprint64)
            return made[feature.codes.flatten().cpu().numpy()]
        if feature.is_floating_point() or feature.dtype is torch.bool:
            raise TypeError(
                f"HashedCrossing {self.name!r} got {str(feature.dtype).removeprefix('torch.')}. It "
                "takes strings and whole numbers. Type astype('int64'), or use Discretization "
                "first."
            )
        return feature.flatten().long().cpu().numpy().view(np.uint64)

    def _check(self, shapes):
        fits = len(shapes[0]) < 2 or (len(shapes[0]) == 2 and shapes[0][1] == 1)
        if not fits or any(shape != shapes[0] for shape in shapes):
            raise ValueError(
                f"HashedCrossing {self.name!r} got features of shapes "
                f"{', '.join(map(str, shapes))}. All have one shape, (batch,) or (batch, 1). "
                "Reshape them."
            )

    def compute_output_shape(self, input_shape):
        many = input_shape and isinstance(input_shape[0], (tuple, list))
        return super().compute_output_shape(tuple(input_shape[0] if many else input_shape))

    def compute_output_spec(self, inputs, **kwargs):
        self._check([tuple(x.shape) for x in inputs])
        return KerasTensor(self.compute_output_shape(inputs[0].shape), self._dtype_out())

    def get_config(self):
        names = ("num_bins", "output_mode", "sparse", "name", "dtype")
        return {name: getattr(self, name) for name in names}
