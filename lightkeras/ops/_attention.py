"""Attention on torch's scaled_dot_product_attention."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from lightkeras._dtypes import result_type, torch_dtype
from lightkeras.ops._op import family

__all__ = ["dot_product_attention"]

op = family("nn")

_FLASH = [SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION]
_NO_FLASH = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


@op("query", "key", "value", "bias", "mask", "=scale")
def dot_product_attention(
    query,
    key,
    value,
    bias=None,
    mask=None,
    scale=None,
    is_causal=False,
    flash_attention=None,
    attn_logits_soft_cap=None,
):
    """softmax(query key / sqrt(depth)) value.

    Args:
        query: What is looked for.
        key: What it is compared with; its heads may be fewer, shared by several of the query.
        value: What is mixed.
        bias: Added to the products, of a shape that broadcasts to `(batch, heads, time, source)`.
        mask: Which may be seen; likewise.
        scale: Factor of the products; 1 / sqrt(depth) by default.
        is_causal: Whether a step sees only those up to itself.
        flash_attention: True for the flash kernels only, False for the others only; by default
            torch chooses.
        attn_logits_soft_cap: Where a tanh bends the products off. (Keras ignores it on torch.)

    Shape:
        `(batch, time, heads, depth)`, twice `(batch, source, heads, depth)` ->
        `(batch, time, heads, depth)`

    Raises:
        ValueError: the shapes do not go together.
        RuntimeError: there is no flash kernel for these tensors.

    >>> x = torch.zeros(2, 5, 4, 8)
    >>> tuple(dot_product_attention(x, x, x, is_causal=True).shape)
    (2, 5, 4, 8)
    """
    _check(query, key, value)
    dtype = torch_dtype(result_type(query.dtype, key.dtype, value.dtype))
    # (batch, time, heads, depth) -> (batch, heads, time, depth)
    query, key, value = (t.to(dtype).transpose(1, 2) for t in (query, key, value))
    added = None if bias is None else bias.to(dtype)
    if mask is not None:
        added = _hidden(mask.bool(), added, dtype)
    if is_causal and (added is not None or attn_logits_soft_cap is not None):
        seen = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device)
        added, is_causal = _hidden(seen.tril(), added, dtype), False
    more = {"scale": scale, "enable_gqa": query.shape[1] != key.shape[1]}
    if attn_logits_soft_cap is not None:
        y = _capped(query, key, value, added, attn_logits_soft_cap, scale)
    elif flash_attention is None:
        y = F.scaled_dot_product_attention(query, key, value, added, 0.0, is_causal, **more)
    else:
        y = _with_kernels(flash_attention, (query, key, value, added, 0.0, is_causal), more)
    return y.transpose(1, 2)


def _check(query, key, value):
    shapes = [tuple(t.shape) for t in (query, key, value)]
    fits = all(len(s) == 4 for s in shapes) and shapes[1][:3] == shapes[2][:3]
    if not fits or shapes[0][3] != shapes[1][3] or shapes[0][2] % shapes[1][2]:
        raise ValueError(
            f"dot_product_attention() got query, key and value of shapes {shapes[0]}, {shapes[1]} "
            f"and {shapes[2]}. (batch, time, heads, depth) and twice (batch, source, heads, depth) "
            "are accepted. For one head, type x[:, :, None]."
        )


def _hidden(seen, added, dtype):
    """`added` with a large negative number where nothing is to be seen.

    Not minus infinity: where nothing at all is seen, everything counts the same.
    """
    zero = 0.0 if added is None else added
    return torch.where(seen, zero, 0.7 * torch.finfo(dtype).min).to(dtype)


def _capped(query, key, value, added, cap, scale):
    if key.shape[1] != query.shape[1]:
        key, value = (t.repeat_interleave(query.shape[1] // t.shape[1], 1) for t in (key, value))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    products = cap * (query @ key.transpose(2, 3) * (scale / cap)).tanh()
    return (products if added is None else products + added).softmax(-1) @ value


def _with_kernels(flash, args, more):
    try:
        with sdpa_kernel(_FLASH if flash else _NO_FLASH):
            return F.scaled_dot_product_attention(*args, **more)
    except RuntimeError as error:
        if "kernel" not in str(error):
            raise
        raise RuntimeError(
            f"dot_product_attention(flash_attention=True) got {args[0].dtype} on "
            f"{args[0].device.type}, for which there is no flash kernel. float16 and bfloat16 on a "
            "GPU, without bias and mask, are accepted. Leave flash_attention out."
        ) from None
