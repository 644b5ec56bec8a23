"""Attention of one head: every query takes a weighted mean of the values."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightkeras import random
from lightkeras._registry import did_you_mean
from lightkeras.layers._layer import Layer
from lightkeras.layers._shapes import is_shape
from lightkeras.layers.regularization import share

__all__ = ["AdditiveAttention", "Attention", "as_mask"]


def as_mask(mask, like):
    """A mask of any kind (array, list, tensor) as booleans on the device of `like`; None stays."""
    if mask is None:
        return None
    mask = torch.as_tensor(mask, device=like.device)
    return mask if mask.dtype is torch.bool else mask.bool()


class Attention(Layer):
    """Dot-product attention: `softmax(query @ key^T) @ value`.

    A call takes a list `[query, value]` or `[query, value, key]` (the key is the value by default),
    `mask`, a list of the masks of query and value `(batch, time)`, which the inputs bring along by
    default, `use_causal_mask` (no query sees a later key) and `return_attention_scores`.

    Args:
        use_scale: Whether the scores are multiplied by a learned number, `scale`.
        score_mode: "dot", or "concat": `sum(tanh(query + key))` times a learned number.
        dropout: Share of the attention weights that is zeroed in training.
        seed: Seed of the dropout.

    Shape:
        `(batch, queries, size)`, `(batch, keys, values)` and `(batch, keys, size)` ->
        `(batch, queries, values)`; with the scores `(batch, queries, keys)` on request

    Raises:
        ValueError: an argument does not fit, or the call got no list of two or three tensors.

    Luong et al. 2015, "Effective approaches to attention-based neural machine translation".

    >>> import torch
    >>> query, value = torch.zeros(2, 5, 4), torch.zeros(2, 7, 4)
    >>> tuple(Attention()([query, value]).shape)
    (2, 5, 4)
    >>> [tuple(t.shape) for t in Attention()([query, value], return_attention_scores=True)]
    [(2, 5, 4), (2, 5, 7)]
    """

    def __init__(self, use_scale=False, score_mode="dot", dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        if score_mode not in ("dot", "concat"):
            raise ValueError(
                f"{type(self).__name__}(score_mode={score_mode!r}) is unknown."
                f"{did_you_mean(score_mode, ('dot', 'concat'))} It takes 'dot' or 'concat'. Type "
                "score_mode='dot'."
            )
        self.use_scale = use_scale
        self.score_mode = score_mode
        self.dropout = share(type(self).__name__, "dropout", dropout)
        self.seed = seed
        self.seed_generator = random.SeedGenerator(seed) if dropout and seed is not None else None
        self.supports_masking = True

    def build(self, input_shape):
        self._check_list(input_shape)
        self.scale = self.concat_score_weight = None
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight(
                name="concat_score_weight", shape=(), initializer="ones"
            )

    def call(
        self,
        inputs,
        mask=None,
        training=False,
        return_attention_scores=False,
        use_causal_mask=False,
    ):
        self._check_list(inputs, mask)
        query, value, key = (*inputs, inputs[1])[:3]
        query_mask, value_mask = (as_mask(m, query) for m in (mask[:2] if mask else (None, None)))
        dropout = self.dropout if self.training else 0.0
        # With a mask by hand: torch's kernels lose the gradient of a query that sees nothing.
        by_hand = dropout or return_attention_scores or value_mask is not None
        if self._is_plain and not by_hand:
            output, weights = self._fused(query, key, value, use_causal_mask), None
        else:
            scores = self._scores(query, key)
            hidden = _hidden(scores, value_mask, use_causal_mask)
            weights = F.softmax(scores if hidden is None else scores + hidden, -1)
            kept = (
                random.dropout(weights, dropout, None, self.seed_generator) if dropout else weights
            )
            output = kept @ value
        if query_mask is not None:
            output = output.masked_fill(~query_mask.unsqueeze(-1), 0)
        return (output, weights) if return_attention_scores else output

    @property
    def _is_plain(self):
        """Whether torch's kernel computes the scores."""
        return self.score_mode == "dot"

    def _fused(self, query, key, value, causal):
        query = query if self.scale is None else query * self.scale
        query, key, value = (t.unsqueeze(1) for t in (query, key, value))  # (batch, 1, time, size)
        attend = F.scaled_dot_product_attention
        return attend(query, key, value, is_causal=causal, scale=1.0).squeeze(1)

    def _scores(self, query, key):
        """(batch, queries, keys)"""
        if self.score_mode == "dot":
            scores = query @ key.transpose(-2, -1)
            return scores if self.scale is None else scores * self.scale
        both = query.unsqueeze(-2) + key.unsqueeze(-3)  # (batch, queries, keys, size)
        both = both if self.scale is None else both * self.scale
        return self.concat_score_weight * both.tanh().sum(-1)

    def compute_mask(self, inputs, mask=None):
        return mask[0] if mask else None

    def _check_list(self, inputs, mask=None):
        kinds = (list, tuple)
        if not isinstance(inputs, kinds) or is_shape(inputs) or len(inputs) not in (2, 3):
            one = not isinstance(inputs, kinds) or is_shape(inputs)
            what = "one tensor" if one else f"a list of {len(inputs)}"
            raise ValueError(
                f"{type(self).__name__} {self.name!r} got {what}. It takes a list [query, value] "
                "or [query, value, key]. Type for example layer([x, x])."
            )
        if mask is not None and (not isinstance(mask, kinds) or len(mask) not in (2, 3)):
            raise ValueError(
                f"{type(self).__name__} {self.name!r} got a mask that is no list of two or three. "
                "It takes the masks of query and value. Type mask=[query_mask, value_mask]; None "
                "stands for no mask."
            )


def _hidden(scores, value_mask, causal):
    """What is added to scores so that hidden keys weigh nothing, or None.

    Not -inf: a query that sees nothing sees everything alike, as in Keras.
    """
    seen = value_mask
    if seen is not None and seen.ndim == 2:
        seen = seen.unsqueeze(-2)  # (batch, 1, keys)
    if causal:
        below = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        seen = below if seen is None else seen & below
    if seen is None:
        return None
    least = -65504.0 if scores.dtype is torch.float16 else -1e9
    return scores.new_zeros(seen.shape).masked_fill(~seen, least)


class AdditiveAttention(Attention):
    """Additive attention: the score of a query and a key is `sum(scale * tanh(query + key))`.

    A call takes what `Attention` takes.

    Args:
        use_scale: Whether `scale` is learned, one number for each feature; 1 if not.
        dropout: Share of the attention weights that is zeroed in training.
        seed: Seed of the dropout.

    Shape:
        `(batch, queries, size)`, `(batch, keys, values)` and `(batch, keys, size)` ->
        `(batch, queries, values)`; with the scores `(batch, queries, keys)` on request

    Raises:
        ValueError: an argument does not fit, or the call got no list of two or three tensors.

    Bahdanau et al. 2014, "Neural machine translation by jointly learning to align and translate".

    >>> import torch
    >>> tuple(AdditiveAttention()([torch.zeros(2, 5, 4), torch.zeros(2, 7, 4)]).shape)
    (2, 5, 4)
    """

    _is_plain = False

    def __init__(self, use_scale=True, dropout=0.0, **kwargs):
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape):
        self._check_list(input_shape)
        self.scale = None
        if self.use_scale:
            size = input_shape[0][-1]
            self.scale = self.add_weight(name="scale", shape=(size,), initializer="glorot_uniform")

    def _scores(self, query, key):
        both = (query.unsqueeze(-2) + key.unsqueeze(-3)).tanh()  # (batch, queries, keys, size)
        return both.sum(-1) if self.scale is None else both @ self.scale.to(both.dtype)

    def get_config(self):
        """Constructor arguments as plain values."""
        config = {**super().get_config(), "seed": self.seed}
        config.pop("score_mode", None)
        return config
