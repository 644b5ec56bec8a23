"""Attention of many heads, on torch's scaled_dot_product_attention."""

from __future__ import annotations

import functools
import math
import string

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from lightkeras import random, regularizers
from lightkeras._config import plain
from lightkeras._graph import output_spec
from lightkeras._registry import unique_name
from lightkeras.layers._inside import build_inside
from lightkeras.layers._layer import Layer
from lightkeras.layers._recurrent import given
from lightkeras.layers._shapes import beside, is_beside, mask_of
from lightkeras.layers._spec import FAILURES, explain
from lightkeras.layers.attention import as_mask
from lightkeras.layers.core import positive_int
from lightkeras.layers.einsum_dense import EinsumDense
from lightkeras.layers.regularization import share

__all__ = ["GroupQueryAttention", "GroupedQueryAttention", "MultiHeadAttention"]

_SLOTS = [
    f"{w}_{s}" for w in ("kernel", "bias") for s in ("initializer", "regularizer", "constraint")
]
_FLAGS = {"use_causal_mask", "return_attention_scores"}
_KERNELS = {
    True: [SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION],
    False: [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
}


class _Heads(Layer):
    """Projects query, key and value to heads, lets each head attend, and projects back.

    Subclasses add the projections in `build`, and say which axes attend (`_set_axes`).
    """

    _names = ("_query_dense", "_key_dense", "_value_dense", "_output_dense")  # as in Keras's files

    def __init__(
        self, dropout, use_bias, use_gate, sliding_window, flash_attention, seed, **kwargs
    ):
        slots = {name: kwargs.pop(name) for name in _SLOTS}
        regularizer = kwargs.pop("activity_regularizer")
        super().__init__(**kwargs)
        self._set_slots(**slots)
        # As in Keras the projections get it, the layer itself has none.
        self._activity_regularizer = regularizers.get(regularizer)
        owner = type(self).__name__
        self.dropout = share(owner, "dropout", dropout)
        self.use_bias, self.use_gate, self.seed = use_bias, use_gate, seed
        self.seed_generator = random.SeedGenerator(seed) if dropout and seed is not None else None
        self.sliding_window = sliding_window
        if sliding_window is not None:
            self.sliding_window = positive_int(owner, "sliding_window", sliding_window)
        if flash_attention and dropout:
            raise ValueError(
                f"{owner}(flash_attention=True, dropout={dropout}) does not go together. The flash "
                "kernels drop nothing here. Type dropout=0.0, or leave flash_attention out."
            )
        self._flash_attention = flash_attention
        self._kernels = _KERNELS.get(flash_attention)
        self.supports_masking = True

    # ---- weights ------------------------------------------------------------------------------

    def _build_projections(self, shapes, heads, sizes, output):
        """The projections, in Keras's order.

        Args:
            shapes: Of query, value and key.
            heads, sizes: Number of heads of query and key; size of one head of key and value.
            output: Sizes of the output's last axes.
        """
        query, value, key = shapes
        key = value if key is None else key
        if value[1:-1] != key[1:-1]:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} got a value of shape {tuple(value)} and a "
                f"key of shape {tuple(key)}. They differ in the last axis only. Give each key its "
                "value."
            )
        to_query, to_key, to_value, to_output = self._names
        self._project(to_query, "query", query, (heads[0], sizes[0]))
        self._project(to_key, "key", key, (heads[1], sizes[0]))
        if self.use_gate:
            self._project("_gate_dense", "gate", query, (heads[0], sizes[1]), activation="sigmoid")
        self._project(to_value, "value", value, (heads[1], sizes[1]))
        joined = (*query[:-1], heads[0], sizes[1])
        self._project(to_output, "attention_output", joined, output, bound=2)
        for name in (
            "softmax",
            "dropout",
        ):  # Keras's attention has layers inside that are so called
            unique_name(name)

    def _project(self, attribute, name, shape, into, bound=1, **more):
        """A projection of the last `bound` axes of `shape` to axes of the sizes `into`."""
        letters, free = string.ascii_letters, len(shape) - bound
        rest, old = letters[:free], letters[free : free + bound]
        new = letters[free + bound : free + bound + len(into)]
        layer = EinsumDense(
            f"{rest}{old},{old}{new}->{rest}{new}",
            (*(None,) * (free - 1), *into),
            bias_axes=new if self.use_bias else None,
            name=name,
            trainable=self.trainable,
            dtype=self.dtype_policy,
            activity_regularizer=self._activity_regularizer,
            **{slot: getattr(self, slot) for slot in _SLOTS},
            **more,
        )
        setattr(self, attribute, layer)
        build_inside(layer, shape)

    def _set_axes(self, rank, axes):
        """The order of axes in which heads attend: batch, heads, attending axes, size."""
        batch = [axis for axis in range(rank - 2) if axis not in axes]
        self._axes = axes
        self._order = (*batch, rank - 2, *axes, rank - 1)
        self._back = tuple(int(axis) for axis in np.argsort(self._order))

    # ---- call ---------------------------------------------------------------------------------

    def __call__(self, *args, **kwargs):
        if self._direct and kwargs.keys() <= _FLAGS:
            for x in args:
                if type(x) is not Tensor or x.dtype is not self._dtype_in or mask_of(x) is not None:
                    break
            else:  # only tensors as they are wanted: straight to torch, as in Layer.__call__
                try:
                    return self._call_impl(*args, **kwargs)
                except FAILURES as error:
                    explain(self, args, error)
                    raise
        return self._general_call(args, kwargs)

    def call(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
    ):
        key = value if key is None else key
        query_mask = self._mask_of_query(query, value, key, query_mask)
        masks = query_mask, value_mask, key_mask, attention_mask
        hides = self.sliding_window is not None or any(m is not None for m in masks)
        # A subclass that attends in its own way gets the causal mask as a mask.
        own = type(self)._compute_attention is not _Heads._compute_attention
        mask, more = None, {"use_causal_mask": True} if use_causal_mask else {}
        if hides or own:
            mask, more = self._compute_attention_mask(query, value, *masks, use_causal_mask), {}
        to_query, to_key, to_value, to_output = [getattr(self, name) for name in self._names]
        heads = to_query(query), to_key(key), to_value(value)
        output, scores = self._compute_attention(
            *heads, mask, training, return_attention_scores, **more
        )
        if self.use_gate:
            output = output * self._gate_dense(query)
        output = to_output(output)
        return (output, scores) if return_attention_scores else output

    def _mask_of_query(self, query, value, key, mask):
        return mask

    def _compute_attention_mask(
        self,
        query,
        value,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        use_causal_mask=False,
    ):
        """All masks in one, `(batch, queries, keys)`, or None; True is seen."""
        parts = [] if attention_mask is None else [as_mask(attention_mask, query)]
        if query_mask is not None:
            parts.append(as_mask(query_mask, query).unsqueeze(-1))
        for mask in (value_mask, key_mask):
            if mask is not None:
                parts.append(as_mask(mask, query).unsqueeze(-2))
        if use_causal_mask:
            parts.append(self._compute_causal_mask(query, value))
        if self.sliding_window is not None:
            parts.append(self._compute_sliding_window_mask(query, value))
        return functools.reduce(torch.logical_and, parts) if parts else None

    def _compute_causal_mask(self, query, value=None):
        """`(1, queries, keys)`: no query sees a later key."""
        return self._seen(query, value).tril()

    def _compute_sliding_window_mask(self, query, value=None):
        """`(1, queries, keys)`: a query sees the keys that are fewer steps away than the window."""
        return self._seen(query, value).tril(self.sliding_window - 1).triu(1 - self.sliding_window)

    def _seen(self, query, value):
        axis = self._axes[0]
        sizes = query.shape[axis], (query if value is None else value).shape[axis]
        return torch.ones(1, *sizes, dtype=torch.bool, device=query.device)

    def _compute_attention(
        self,
        query,
        key,
        value,
        attention_mask=None,
        training=None,
        return_attention_scores=False,
        use_causal_mask=False,
    ):
        """Attention of projected inputs; a subclass may attend in another way.

        Args:
            query, key, value: `(batch, time, heads, size)`.
            attention_mask: True where a query sees a key, `(batch, queries, keys)`, or None.
            return_attention_scores: Whether scores are wanted.
            use_causal_mask: Whether no query sees a later key; only where there is no mask.

        Returns:
            `(batch, queries, heads, size)`, and the scores `(batch, heads, queries, keys)` or None.
        """
        order, folded = self._order, len(self._axes) > 1
        query, key, value = query.permute(order), key.permute(order), value.permute(order)
        if attention_mask is not None:
            attention_mask = self._placed(attention_mask, query, key)
        if folded:
            sizes = self._sizes(query), self._sizes(key)
            first = -1 - len(
                self._axes
            )  # (batch, heads, *axes, size) -> (batch, heads, time, size)
            query, key, value = (t.flatten(first, -2) for t in (query, key, value))
        dropout = self.dropout if self.training else 0.0
        fused = not (return_attention_scores or (dropout and self.seed_generator is not None))
        attend = self._fused if fused else self._by_hand
        output, scores = attend(query, key, value, attention_mask, dropout, use_causal_mask)
        if folded:
            output = output.unflatten(-2, sizes[0])
            if scores is not None:
                scores = scores.unflatten(-1, sizes[1]).unflatten(first, sizes[0])
        return output.permute(self._back), scores

    def _sizes(self, heads):
        """Sizes of the attending axes of (batch, heads, *axes, size)."""
        return heads.shape[-1 - len(self._axes) : -1]

    def _placed(self, mask, query, key):
        """A mask that broadcasts over the scores, their axes of queries and of keys folded."""
        mask, count = as_mask(mask, query), len(self._axes)
        while mask.ndim < query.ndim + count - 1:
            mask = mask.unsqueeze(-2 * count - 1)
        if count > 1:
            sizes = *self._sizes(query), *self._sizes(key)
            mask = mask.expand(*mask.shape[: -2 * count], *sizes)
            mask = mask.flatten(-count).flatten(-1 - count, -2)
        return mask

    def _fused(self, query, key, value, mask, dropout, causal):
        """Torch's kernels: (batch, heads, time, size) -> the same, and no scores."""
        if mask is not None and not self.dropout and len(self._order) == 4:
            # Not -inf: a query that sees nothing sees everything alike, as in Keras.
            least = torch.finfo(query.dtype).min / 2
            hidden = torch.zeros(mask.shape, dtype=query.dtype, device=query.device)
            mask = hidden.masked_fill(~mask, least)
        gqa = key.shape[-3] != query.shape[-3]
        attend = F.scaled_dot_product_attention
        if self._kernels is None:
            return attend(query, key, value, mask, dropout, causal, enable_gqa=gqa), None
        try:
            with sdpa_kernel(self._kernels):
                return attend(query, key, value, mask, dropout, causal, enable_gqa=gqa), None
        except RuntimeError as error:
            raise self._no_flash(query, mask, error) from None

    def _by_hand(self, query, key, value, mask, dropout, causal):
        """The same with scores: (batch, heads, queries, keys)."""
        if self._flash_attention:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} has flash_attention=True, and "
                "return_attention_scores=True was asked for. The flash kernels have no scores. "
                "Make the layer without flash_attention."
            )
        repeats = query.shape[-3] // key.shape[-3]
        if repeats > 1:  # one head of keys for several of queries
            key, value = (t.repeat_interleave(repeats, -3) for t in (key, value))
        scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-2, -1)
        if causal:
            mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
        if mask is None:
            scores = F.softmax(scores, -1)
        else:
            hidden = ~mask
            scores = scores.masked_fill(hidden, -3e4 if scores.dtype is torch.float16 else -1e9)
            scores = F.softmax(scores, -1).masked_fill(hidden, 0.0)
        kept = random.dropout(scores, dropout, None, self.seed_generator) if dropout else scores
        return kept @ value, scores

    def _no_flash(self, query, mask, error):
        said = str(error).strip().partition("\n")[0].rstrip(".")
        return ValueError(
            f"{type(self).__name__} {self.name!r} has flash_attention={self._flash_attention}, and "
            f"no such kernel runs here (on {query.device.type}, {query.dtype}"
            f"{', with a mask' if mask is not None else ''}): {said}. Leave flash_attention out: "
            "torch takes the fastest kernel by itself."
        )

    # ---- shapes and config --------------------------------------------------------------------

    def compute_output_spec(self, *args, **kwargs):
        return output_spec(self, args, kwargs)

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        return tuple(query_shape)

    def get_config(self):
        """Constructor arguments as plain values, without the one that chooses the kernel."""
        config = super().get_config()
        config["activity_regularizer"] = plain(self._activity_regularizer)
        config.pop("flash_attention", None)
        return config


_CALL = """\
    A call takes `query`, `value` and `key` (the value by default); `query_mask`, `value_mask` and
    `key_mask` `(batch, time)`, which the inputs bring along by default; `attention_mask`
    `(batch, queries, keys)`, True where a query sees a key; `use_causal_mask`: no query sees a
    later key; `return_attention_scores`: the scores are returned too.
"""
_ARGUMENTS = """\
        dropout: Share of the attention weights that is zeroed in training.
        use_bias: Whether the projections have a bias.
        sliding_window: Each query sees only the keys less than this many steps away.
        flash_attention: True asks for torch's flash kernels, False keeps them out; by default torch
            takes the fastest kernel that can do it.
        kernel_initializer, bias_initializer: How the weights of the projections start.
        kernel_regularizer, bias_regularizer, activity_regularizer: Penalties added to the loss.
        kernel_constraint, bias_constraint: Projections applied after each update.
        use_gate: Whether each head's output is multiplied by a learned share of it, 0 to 1.
        seed: Seed of the dropout.
"""


class MultiHeadAttention(_Heads):
    __doc__ = f"""Attention of several heads, each with its own view of query, key and value.

{_CALL}
    The layers `query_dense`, `key_dense`, `value_dense` and `output_dense` hold the weights, each
    `weight` `(out, in)` as in `nn.Linear`; those of `nn.MultiheadAttention` are
    `in_proj_weight`, the first three one above the other, and `out_proj.weight`.

    As in Keras 3.15 a call takes the masks off its inputs (the output has the query's), and a
    `query_mask` that is given by hand has no effect: the query's own counts.

    Args:
        num_heads: Number of heads.
        key_dim: Size of the query and the key of one head.
        value_dim: Size of the value of one head; `key_dim` by default.
        output_shape: Sizes of the output's last axes; the query's last axis by default.
        attention_axes: Axes over which the heads attend; all between batch and features by
            default.
{_ARGUMENTS}
    Shape:
        `(batch, queries, size)` and `(batch, keys, size)` -> `(batch, queries, size)`; the scores
        are `(batch, num_heads, queries, keys)`. There may be more axes than one of time.

    Raises:
        ValueError: an argument does not fit, or value and key have not the same length.

    Vaswani et al. 2017, "Attention is all you need".

    >>> import torch
    >>> layer, x = MultiHeadAttention(num_heads=2, key_dim=8), torch.zeros(3, 5, 16)
    >>> tuple(layer(x, x, use_causal_mask=True).shape)
    (3, 5, 16)
    >>> tuple(layer(x, x, return_attention_scores=True)[1].shape), layer.key_dense.kernel.shape
    ((3, 2, 5, 5), torch.Size([16, 2, 8]))
    """

    _names = ("query_dense", "key_dense", "value_dense", "output_dense")

    def __init__(
        self,
        num_heads,
        key_dim,
        value_dim=None,
        dropout=0.0,
        use_bias=True,
        output_shape=None,
        attention_axes=None,
        sliding_window=None,
        flash_attention=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        use_gate=False,
        seed=None,
        **kwargs,
    ):
        names = ("num_heads", "key_dim", "value_dim", "output_shape", "attention_axes")
        super().__init__(
            **{k: v for k, v in given(locals()).items() if k not in (*names, "names")}, **kwargs
        )
        self.num_heads = positive_int("MultiHeadAttention", "num_heads", num_heads)
        self.key_dim = positive_int("MultiHeadAttention", "key_dim", key_dim)
        value_dim = key_dim if value_dim is None else value_dim
        self.value_dim = positive_int("MultiHeadAttention", "value_dim", value_dim)
        self._output_shape = _integers("output_shape", output_shape, 1)
        self.attention_axes = _integers("attention_axes", attention_axes, None)

    def build(self, query_shape, value_shape, key_shape=None):
        rank = len(query_shape) + 1
        axes = self.attention_axes
        axes = tuple(range(1, rank - 2)) if axes is None else axes
        self.attention_axes = tuple(a if a >= 0 else rank - 1 + a for a in axes)
        if any(not 0 < a < rank - 2 for a in self.attention_axes):
            raise ValueError(
                f"MultiHeadAttention(attention_axes={axes}) got a query of shape "
                f"{tuple(query_shape)}. The axes between batch and features are accepted, 1 to "
                f"{rank - 3}. Leave attention_axes out to attend over all of them."
            )
        self._set_axes(rank, self.attention_axes)
        self._build_projections(
            (query_shape, value_shape, key_shape),
            (self.num_heads, self.num_heads),
            (self.key_dim, self.value_dim),
            self._output_shape or query_shape[-1:],
        )

    def _mask_of_query(self, query, value, key, mask):
        mask = mask_of(query)
        for tensor in (query, value, key):
            if hasattr(tensor, "_keras_mask"):
                del tensor._keras_mask
        return None if is_beside(mask) else mask

    def _call_in_graph(self, *args, **kwargs):
        """As a step of a functional model, where the masks of the inputs go on beside it."""
        given = [t for t in (*args, *kwargs.values()) if mask_of(t) is not None]
        masks = [beside(t._keras_mask) for t in given]
        outputs = self(*args, **kwargs)
        for tensor, mask in zip(given, masks, strict=True):
            tensor._keras_mask = mask
        return outputs

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        return (*query_shape[:-1], *(self._output_shape or query_shape[-1:]))

    def get_config(self):
        """Constructor arguments as plain values, without the one that chooses the kernel."""
        return {**super().get_config(), "output_shape": self._output_shape}


def _integers(argument, value, least):
    """`value`, a whole number or several, as a tuple; None stays."""
    if value is None:
        return None
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    whole = all(hasattr(n, "__index__") and not isinstance(n, bool) for n in values)
    if not whole or not values or any(least is not None and n < least for n in values):
        raise ValueError(
            f"MultiHeadAttention({argument}={value!r}) does not fit. It takes a whole number or a "
            f"tuple of them. Type for example {argument}={'(64,)' if least else '(1, 2)'}."
        )
    return tuple(int(n) for n in values)


class GroupedQueryAttention(_Heads):
    __doc__ = f"""Attention where several heads of the query share one head of key and value.

{_CALL}
    Args:
        head_dim: Size of one head.
        num_query_heads: Number of heads of the query.
        num_key_value_heads: Number of heads of key and value; a divisor of `num_query_heads`.
{_ARGUMENTS}
    Shape:
        `(batch, queries, size)` and `(batch, keys, size)` -> `(batch, queries, size)`; the scores
        are `(batch, num_query_heads, queries, keys)`

    Raises:
        ValueError: an argument does not fit, or value and key have not the same length.

    Ainslie et al. 2023, "GQA: training generalized multi-query transformer models from multi-head
    checkpoints".

    >>> import torch
    >>> x = torch.zeros(3, 5, 16)
    >>> tuple(GroupQueryAttention(head_dim=8, num_query_heads=4, num_key_value_heads=2)(x, x).shape)
    (3, 5, 16)
    """

    _exported_as = "GroupQueryAttention"  # Keras's name of it in `layers` and in files

    def __init__(
        self,
        head_dim,
        num_query_heads,
        num_key_value_heads,
        dropout=0.0,
        use_bias=True,
        sliding_window=None,
        flash_attention=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        use_gate=False,
        seed=None,
        **kwargs,
    ):
        names = ("head_dim", "num_query_heads", "num_key_value_heads")
        super().__init__(
            **{k: v for k, v in given(locals()).items() if k not in (*names, "names")}, **kwargs
        )
        self.activity_regularizer = self._activity_regularizer  # as in Keras, of the output, too
        self.head_dim = positive_int("GroupQueryAttention", "head_dim", head_dim)
        for name, value in (
            ("num_query_heads", num_query_heads),
            ("num_key_value_heads", num_key_value_heads),
        ):
            setattr(self, name, positive_int("GroupQueryAttention", name, value))
        if num_query_heads % num_key_value_heads:
            raise ValueError(
                f"GroupQueryAttention got num_query_heads={num_query_heads} and "
                f"num_key_value_heads={num_key_value_heads}. The heads of the query are shared out "
                "evenly to those of the key. Type a divisor of num_query_heads."
            )

    def build(self, query_shape, value_shape, key_shape=None):
        self._set_axes(4, (1,))
        self._build_projections(
            (query_shape, value_shape, key_shape),
            (self.num_query_heads, self.num_key_value_heads),
            (self.head_dim, self.head_dim),
            query_shape[-1:],
        )


GroupQueryAttention = GroupedQueryAttention
