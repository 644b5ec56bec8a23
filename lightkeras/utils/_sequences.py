"""Sequences of different lengths into one array."""

from __future__ import annotations

import operator

import numpy as np

from lightkeras._registry import unknown

__all__ = ["pad_sequences"]


def pad_sequences(
    sequences, maxlen=None, dtype="int32", padding="pre", truncating="pre", value=0.0
):
    """Sequences of different lengths as one array, filled up with `value`.

    Unlike in Keras, fractions that an integer `dtype` would cut off are an error.

    Args:
        sequences: Sized collection of sequences, each of numbers or of equally shaped steps.
        maxlen: Length of the result; the longest sequence by default.
        dtype: Type of the result; `object` for strings of different lengths.
        padding: Where short sequences are filled up, "pre" (before) or "post" (after).
        truncating: Where long sequences are cut, "pre" (the start) or "post" (the end).
        value: What is filled in.

    Shape:
        `n` sequences of `(steps, ...)` -> `(n, maxlen, ...)`.

    Raises:
        ValueError: an argument or a sequence does not fit, with the position of the sequence.

    >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2)
    array([[0, 1],
           [2, 3],
           [5, 6]], dtype=int32)
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise unknown(name, side, ("pre", "post"))
    lengths = _lengths(sequences)
    maxlen = _longest(lengths) if maxlen is None else _length(maxlen)
    _check_value(value, dtype)
    first = next((s for s, n in zip(sequences, lengths, strict=True) if n), ())
    step = np.asarray(first).shape[1:]
    padded = np.full((len(lengths), maxlen, *step), value, dtype=dtype)
    for i, (sequence, n) in enumerate(zip(sequences, lengths, strict=True)):
        kept = min(n, maxlen)
        if kept:
            part = sequence[n - kept :] if truncating == "pre" else sequence[:kept]
            part = _steps(part, padded.dtype, step, i)
            if padding == "pre":
                padded[i, maxlen - kept :] = part
            else:
                padded[i, :kept] = part
    return padded


def _lengths(sequences):
    if not hasattr(sequences, "__len__"):
        raise ValueError(
            f"pad_sequences() got a {type(sequences).__name__}. A list or an array of sequences "
            "is accepted. Wrap a generator in list(...)."
        )
    lengths = []
    for i, sequence in enumerate(sequences):
        if not hasattr(sequence, "__len__"):
            raise ValueError(
                f"pad_sequences() got a {type(sequence).__name__} at position {i} where a sequence "
                "should be. Each sequence is a list or an array. Pass [[1, 2], [3]], and a single "
                "sequence as [[1, 2, 3]]."
            )
        lengths.append(len(sequence))
    return lengths


def _longest(lengths):
    if not lengths:
        raise ValueError(
            "pad_sequences() got no sequences. Without any, the length of the result is unknown. "
            "Pass maxlen=."
        )
    return max(lengths)


def _length(maxlen):
    try:
        length = operator.index(maxlen)
    except TypeError:
        raise TypeError(
            f"pad_sequences() got maxlen={maxlen!r}. An integer or None is accepted. "
            "Write maxlen=100."
        ) from None
    if length < 0:
        raise ValueError(
            f"pad_sequences() got maxlen={maxlen!r}. A length is not negative. Write maxlen=100."
        )
    return length


def _check_value(value, dtype):
    if isinstance(value, str) and np.dtype(dtype).kind not in "OUS":
        raise ValueError(
            f"pad_sequences() got value={value!r} for dtype {np.dtype(dtype)}. Strings need a "
            "string or object dtype. Pass dtype=object."
        )
    fraction = isinstance(value, (float, np.floating)) and not float(value).is_integer()
    if fraction and np.dtype(dtype).kind in "iu":
        raise _fraction(f"value={value!r}", dtype)


def _steps(part, dtype, step, i):
    """The kept part of sequence `i` as an array of `dtype`."""
    steps = np.asarray(part, dtype=dtype)
    if steps.shape[1:] != step:
        raise ValueError(
            f"pad_sequences() got steps of shape {steps.shape[1:]} at position {i}, those before "
            f"have {step}. All steps have one shape. Check sequences[{i}]."
        )
    if dtype.kind in "iu":
        raw = np.asarray(part)
        if raw.dtype.kind == "f" and (raw != steps).any():
            raise _fraction(f"fractions at position {i}", dtype)
    return steps


def _fraction(what, dtype):
    return ValueError(
        f"pad_sequences() got {what}, but the result has dtype {np.dtype(dtype)}. Integers cannot "
        "hold fractions. Pass dtype='float32'."
    )
