"""Vectors for whole numbers."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightkeras import constraints, initializers, regularizers
from lightkeras._dtypes import dtype_name, torch_dtype
from lightkeras._graph import KerasTensor
from lightkeras.layers._layer import Layer
from lightkeras.layers._views import Permuted, View
from lightkeras.layers.core import positive_int

__all__ = ["Embedding", "ReversibleEmbedding"]


class Embedding(Layer):
    """A learned vector for each of the ids 0 to `input_dim - 1`.

    The torch parameter is `weight` `(input_dim, output_dim)`, as in `nn.Embedding`.

    Args:
        input_dim: Number of ids.
        output_dim: Size of the vectors.
        embeddings_initializer: How the vectors start.
        embeddings_regularizer: Penalty added to the loss.
        embeddings_constraint: Projection applied after each update.
        mask_zero: Whether the id 0 is padding, which layers that know masks leave out.
        weights: Initial vectors, `(input_dim, output_dim)`, alone or in a list.

    Shape:
        `(batch, ...)` of ids -> `(batch, ..., output_dim)`

    Raises:
        ValueError: a size is no whole number above zero; an id is out of range (on the CPU).

    >>> import torch
    >>> tuple(Embedding(10, 4)(torch.tensor([[1, 9, 0]])).shape)
    (1, 3, 4)
    """

    views: tuple[View, ...] = (View("embeddings", "weight"),)

    def __init__(
        self,
        input_dim,
        output_dim,
        embeddings_initializer="uniform",
        embeddings_regularizer=None,
        embeddings_constraint=None,
        mask_zero=False,
        weights=None,
        **kwargs,
    ):
        if weights is not None and not isinstance(weights, (list, tuple)):
            weights = [weights]
        super().__init__(weights=weights, **kwargs)
        self.input_dim = positive_int("Embedding", "input_dim", input_dim)
        self.output_dim = positive_int("Embedding", "output_dim", output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = mask_zero
        self.supports_masking = self._makes_mask = bool(mask_zero)
        self.autocast = False
        self.__dict__["_dtype_in"] = torch.int64  # ids keep their dtype, whatever the weights have
        if weights is not None:
            self.build()

    def build(self, input_shape=None):
        self.add_weight(
            name="embeddings",
            shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )

    def call(self, x):
        if x.dtype is not torch.int64 and x.dtype is not torch.int32:
            x = x.to(torch.int64)
        try:
            return F.embedding(x, self.weight)
        except IndexError:
            raise self._out_of_range(x) from None

    def _compute(self, args, kwargs):
        y = self._call_impl(*args, **kwargs)
        policy = self.dtype_policy
        mixed = policy.compute_dtype != policy.variable_dtype
        return y.to(torch_dtype(policy.compute_dtype)) if mixed else y

    def _out_of_range(self, x):
        wrong = x[(x < 0) | (x >= self.input_dim)]
        return ValueError(
            f"id {int(wrong[0])} in the input of {self.name!r}: Embedding({self.input_dim}) takes "
            f"0..{self.input_dim - 1}. {wrong.numel()} of {x.numel()} ids are outside. Give "
            f"input_dim the largest id plus 1, or keep the {self.input_dim} most frequent ids."
        )

    def compute_mask(self, inputs, mask=None):
        return inputs != 0 if self.mask_zero else None


class ReversibleEmbedding(Embedding):
    """An `Embedding` that also leads back: `layer(x, reverse=True)` scores each id for each vector.

    Args:
        input_dim: Number of ids.
        output_dim: Size of the vectors.
        tie_weights: Whether the way back takes the same vectors; else it has weights of its own,
            `reverse_embeddings`, in torch `reverse_weight` `(input_dim, output_dim)`.
        embeddings_initializer: How the vectors start.
        embeddings_regularizer: Penalty added to the loss.
        embeddings_constraint: Projection applied after each update.
        mask_zero: Whether the id 0 is padding, which layers that know masks leave out.
        reverse_dtype: Dtype of the way back; that of the layer by default.
        logit_soft_cap: Bound of the scores: they become `cap * tanh(scores / cap)`.

    Shape:
        `(batch, ...)` of ids -> `(batch, ..., output_dim)`; with `reverse=True`
        `(batch, ..., output_dim)` -> `(batch, ..., input_dim)`

    Raises:
        ValueError: an argument does not fit; an id is out of range (on the CPU).

    Press and Wolf 2016, "Using the output embedding to improve language models".

    >>> import torch
    >>> layer = ReversibleEmbedding(10, 4)
    >>> x = layer(torch.tensor([[1, 9, 0]]))
    >>> tuple(x.shape), tuple(layer(x, reverse=True).shape)
    ((1, 3, 4), (1, 3, 10))
    """

    views: tuple[View, ...] = (
        *Embedding.views,
        Permuted("reverse_embeddings", "reverse_weight", 1, 0),
    )

    def __init__(
        self,
        input_dim,
        output_dim,
        tie_weights=True,
        embeddings_initializer="uniform",
        embeddings_regularizer=None,
        embeddings_constraint=None,
        mask_zero=False,
        reverse_dtype=None,
        logit_soft_cap=None,
        **kwargs,
    ):
        self.__dict__["tie_weights"] = tie_weights  # weights= builds the layer in super().__init__
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            mask_zero,
            **kwargs,
        )
        self.reverse_dtype = None if reverse_dtype is None else dtype_name(reverse_dtype)
        if logit_soft_cap is not None and not logit_soft_cap > 0:
            raise ValueError(
                f"ReversibleEmbedding(logit_soft_cap={logit_soft_cap!r}) is no bound. It takes a "
                "number above zero. Type for example logit_soft_cap=30.0."
            )
        self.logit_soft_cap = logit_soft_cap

    def build(self, input_shape=None):
        super().build(input_shape)
        if not self.tie_weights:
            self.add_weight(
                name="reverse_embeddings",
                shape=(self.output_dim, self.input_dim),
                initializer=self.embeddings_initializer,
            )

    def call(self, inputs, reverse=False):
        if not reverse:
            return super().call(inputs)
        weight = self.weight if self.tie_weights else self.reverse_weight
        if self.reverse_dtype is None:
            dtype = torch_dtype(self.compute_dtype)
            scores = F.linear(inputs.to(dtype), weight.to(dtype))
        else:
            dtype = torch_dtype(self.reverse_dtype)
            with torch.autocast(inputs.device.type, enabled=False):
                scores = F.linear(inputs.to(dtype), weight.to(dtype))
        cap = self.logit_soft_cap
        return scores if cap is None else (scores / cap).tanh() * cap

    def _compute(self, args, kwargs):
        if kwargs.get("reverse") or any(args[1:]):
            return self._call_impl(*args, **kwargs)
        y = super()._compute(args, kwargs)
        if self.mask_zero:
            y._keras_mask = (args[0] if args else kwargs["inputs"]) != 0
        return y

    def compute_mask(self, inputs, mask=None):
        return None  # only the way to the vectors makes one

    def compute_output_shape(self, input_shape, reverse=False):
        if reverse:
            return (*input_shape[:-1], self.input_dim)
        return (*input_shape, self.output_dim)

    def compute_output_spec(self, inputs, reverse=False):
        dtype = (reverse and self.reverse_dtype) or self.compute_dtype
        return KerasTensor(self.compute_output_shape(inputs.shape, reverse), dtype)
