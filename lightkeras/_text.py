"""`Text`: strings where tensors are expected. Torch has no tensors of strings.

A `Text` is a tensor of whole numbers that say which word of a list stands where. So it can be
cut, gathered, shared among processes and moved to a device like any other tensor, and a layer
that encodes strings looks at each different one once, not once in every batch. Nothing can be
computed with it: only layers that take strings know what the numbers mean.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch.utils.data._utils.collate import default_collate_fn_map

__all__ = ["Text", "Words", "as_text", "holds_text", "refusal"]


class Words:
    """The different strings of a `Text`, and what layers have made of them.

    Args:
        array: Array of one axis, of `str` objects.
    """

    def __init__(self, array):
        self.array = array
        self._made = WeakKeyDictionary()

    def made(self, layer, key, make):
        """`make(array)`, once for each layer and key (such as the state of its vocabulary)."""
        known = self._made.get(layer)
        if known is None or known[0] != key:
            known = self._made[layer] = key, make(self.array)
        return known[1]

    def __reduce__(self):
        return Words, (self.array,)


# What only says where elements lie, or moves them.
_MOVING = """
    narrow index_select __getitem__ to cpu cuda detach clone contiguous view reshape flatten
    squeeze unsqueeze expand permute transpose pin_memory split chunk unbind select movedim repeat
    ravel flip roll tile repeat_interleave take_along_dim gather tensor_split
"""
_ASKING = """
    size dim ndimension numel nelement __len__ is_floating_point is_complex is_pinned __get__
    stride storage_offset element_size is_contiguous data_ptr untyped_storage __hash__ get_device
    is_shared record_stream as_subclass is_signed is_inference share_memory_ requires_grad_
    is_same_size _typed_storage is_neg is_conj
"""
_MOVES, _ASKS = frozenset(_MOVING.split()), frozenset(_ASKING.split())


class Text(torch.Tensor):
    """A tensor of strings: the whole numbers in it are places in `words`.

    Args:
        codes: Integer tensor.
        words: `Words`.

    >>> text = as_text([["cat"], ["dog"], ["cat"]])
    >>> tuple(text.shape), text[1:].tolist()
    ((3, 1), [['dog'], ['cat']])
    """

    words: Words

    def __new__(cls, codes, words):
        new = codes.detach().as_subclass(cls)
        new.words = words
        return new

    @property
    def codes(self):
        """The whole numbers, as a plain tensor."""
        return self.as_subclass(torch.Tensor)

    def numpy(self, *, force=False):
        """The strings, as an array of objects (one string for no axes)."""
        return self.words.array[self.codes.cpu().numpy()]

    def new_zeros(self, *size, **kwargs):
        """Empty strings."""
        return Text(self.codes.new_zeros(*size), Words(np.array([""], dtype=object)))

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.numpy(), dtype=dtype)

    def tolist(self):
        """The strings, as nested lists."""
        strings = self.numpy()
        return strings.tolist() if self.ndim else strings

    item = tolist

    def __repr__(self, *, tensor_contents=None):
        return f"Text({np.array2string(np.asarray(self.numpy()), separator=', ', threshold=20)})"

    def __format__(self, spec):
        return format(self.tolist(), spec) if self.ndim == 0 else repr(self)

    __str__ = __repr__

    def __reduce_ex__(self, protocol):
        return Text, (self.codes, self.words)

    def __deepcopy__(self, memo):
        return Text(self.codes.clone(), self.words)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in ("cat", "concat", "concatenate", "stack"):
            return _joined(func, *args, **(kwargs or {}))
        mine = next((a for a in args if isinstance(a, Text)), None)
        if mine is None or name not in _ASKS | _MOVES:
            raise refusal(() if mine is None else mine.words.array)
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
        if name in _ASKS:
            return result
        parts = result if isinstance(result, (list, tuple)) else [result]
        if any(part.dtype is not torch.int64 for part in parts):
            raise refusal(mine.words.array)
        made = [Text(part, mine.words) for part in parts]
        return made[0] if isinstance(result, torch.Tensor) else type(result)(made)


def _joined(func, parts, *args, **kwargs):
    """Several in one: words that differ are written behind each other."""
    if not all(isinstance(part, Text) for part in parts):
        raise refusal(next(p for p in parts if isinstance(p, Text)).words.array)
    lists = list({id(part.words): part.words for part in parts}.values())
    if len(lists) > 1:
        joined = as_text(np.concatenate([part.numpy().ravel() for part in parts]))
        cuts = joined.codes.split([part.numel() for part in parts])
        codes = [c.view(p.shape) for c, p in zip(cuts, parts, strict=True)]
        return Text(func(codes, *args, **kwargs), joined.words)
    return Text(func([part.codes for part in parts], *args, **kwargs), lists[0])


def _collate(batch, *, collate_fn_map=None):
    return torch.stack(batch)


default_collate_fn_map[Text] = _collate


# ---- from what users have ---------------------------------------------------------------------


def holds_text(value) -> bool:
    """Whether an array, frame or list holds strings (its first value decides)."""
    if isinstance(value, (Text, str, bytes)):
        return True
    while isinstance(value, (list, tuple)):
        if not value:
            return False
        value = value[0]
        if isinstance(value, (str, bytes)):
            return True
    if isinstance(value, torch.Tensor) or not hasattr(value, "__array__"):
        return False
    array = np.asarray(value)
    first = array.flat[0] if array.dtype.kind == "O" and array.size else None
    return array.dtype.kind in "UST" or isinstance(first, (str, bytes))


def as_text(value, name="the input", encoding="utf-8"):
    """Strings as a `Text`.

    Args:
        value: A string, a list, an array, a series or frame of strings or bytes.
        name: What errors call it.
        encoding: Of bytes.

    Raises:
        TypeError: something in it is no string.
        ValueError: rows differ in length, or values are missing.

    >>> as_text(["b", "a", "b"]).codes
    tensor([0, 1, 0])
    """
    if isinstance(value, Text):
        return value
    listed = isinstance(value, (list, tuple))  # whose longest string must not size all of them
    array = np.array(value, dtype=object) if listed else np.asarray(value)
    if array.dtype.kind == "S":
        array = np.char.decode(array, encoding)
    flat = array.ravel().tolist()
    if array.dtype.kind not in "UT" and not set(map(type, flat)) <= {str}:
        flat = [_string(item, name, encoding) for item in flat]
    places = {word: place for place, word in enumerate(dict.fromkeys(flat))}
    codes = np.fromiter(map(places.__getitem__, flat), np.int64, len(flat))
    words = np.empty(len(places), dtype=object)
    words[:] = list(places)
    return Text(torch.from_numpy(codes).view(array.shape), Words(words))


def _string(item, name, encoding):
    if isinstance(item, bytes):
        return item.decode(encoding)
    if isinstance(item, str):
        return str(item)
    if isinstance(item, (list, tuple)):
        raise ValueError(
            f"The rows of {name} have different numbers of strings. All rows of an array have one "
            "shape. Fill up the short ones with ''."
        )
    if item is None or type(item).__name__ in ("NAType", "NaTType") or item != item:
        raise ValueError(
            f"{name} has missing values among its strings. Only strings are accepted. Fill them, "
            'for example with fillna("").'
        )
    raise TypeError(
        f"{name} holds {type(item).__name__} among its strings. Only strings are accepted. Convert "
        "it, for example with astype(str)."
    )


def refusal(words, name="x"):
    """The error for strings where numbers are needed; raise what it returns."""
    shown = ", ".join(repr(word[:20]) for word in sorted(set(list(words)[:1000]), key=str)[:3])
    shown = f" ({shown})" if shown else ""
    layer = "a StringLookup layer"
    if name.startswith("x"):
        layer = "a StringLookup or TextVectorization layer after Input((1,), dtype='string')"
    return TypeError(
        f"{name} holds text{shown}. Only numbers are accepted. Encode it, for example with "
        f"sklearn's LabelEncoder, pandas.factorize or {layer}."
    )
