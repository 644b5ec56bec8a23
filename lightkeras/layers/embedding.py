"""Vectors for whole numbers."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightkeras import constraints, initializers, regularizers
from lightkeras._dtypes import torch_dtype
from lightkeras.layers._layer import Layer
from lightkeras.layers._views import View
from lightkeras.layers.core import positive_int

__all__ = ["Embedding"]


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

    views = (View("embeddings", "weight"),)

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
