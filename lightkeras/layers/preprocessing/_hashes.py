"""Hashes of strings that are the same for ever and everywhere: FarmHash and SipHash, in NumPy.

Strings of one length are one matrix of bytes, whose rows are hashed all at once.
"""

from __future__ import annotations

import numpy as np

__all__ = ["cross", "fingerprint64", "siphash64"]

_u8 = np.uint64
_K0, _K1, _K2 = _u8(0xC3A5C85C97CB3127), _u8(0xB492B66FBE98F273), _u8(0x9AE16A3B2F90404F)


def fingerprint64(words):
    """FarmHash's 64-bit fingerprint of the UTF-8 bytes of strings.

    Source: github.com/google/farmhash, the function `Fingerprint64`.

    >>> fingerprint64(["a", "bcd"]) % np.uint64(1000)
    array([939, 920], dtype=uint64)
    """
    return _by_length(words, _farm)


def siphash64(words, key):
    """SipHash-2-4 of the UTF-8 bytes of strings.

    Source: Aumasson and Bernstein, SipHash: a fast short-input PRF (2012).

    Args:
        words: Strings.
        key: Two whole numbers.

    >>> siphash64([""], (0, 0))
    array([2202906307356721367], dtype=uint64)
    """
    return _by_length(words, lambda data: _sip(data, key))


def cross(columns, key=0xDECAFCAFFE):
    """One 64-bit hash of each row of several columns of 64-bit hashes.

    >>> cross([fingerprint64(["a"]), np.array([1], "uint64")]).shape
    (1,)
    """
    mul = _u8(0xC6A4A7935BD1E995)
    with np.errstate(over="ignore"):
        result = np.full(len(columns[0]), key, np.uint64)
        for column in columns:
            result = result ^ mul ^ (_shift_mix(column * mul) * mul)
            result = _shift_mix(_shift_mix(result * mul) * mul)
    return result


def _by_length(words, fn):
    data = [word.encode() for word in words]
    lengths = np.array([len(d) for d in data], dtype=np.int64)
    hashes = np.zeros(len(data), np.uint64)
    with np.errstate(over="ignore"):
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            joined = b"".join([data[row] for row in rows])
            hashes[rows] = fn(np.frombuffer(joined, np.uint8).reshape(len(rows), length))
    return hashes


def _word(data, start, size=8):
    """`size` bytes from `start` on, as little-endian numbers."""
    part = data[:, start : start + size]
    padded = np.zeros((len(data), 8), np.uint8)
    padded[:, : part.shape[1]] = part
    return padded.view("<u8")[:, 0].astype(np.uint64)


def _rotate(x, n):
    """Right, by `n` bits."""
    return (x >> _u8(n)) | (x << _u8(64 - n))


def _shift_mix(x):
    return x ^ (x >> _u8(47))


# ---- FarmHash -----------------------------------------------------------------------------------


def _farm(data):
    length = data.shape[1]
    if length <= 16:
        return _farm_16(data, length)
    if length <= 32:
        return _farm_32(data, length)
    return _farm_64(data, length) if length <= 64 else _farm_long(data, length)


def _mix(u, v, mul):
    a = _shift_mix((u ^ v) * mul)
    return _shift_mix((v ^ a) * mul) * mul


def _farm_16(data, n):
    mul = _K2 + _u8(2 * n)
    if n >= 8:
        a, b = _word(data, 0) + _K2, _word(data, n - 8)
        c, d = _rotate(b, 37) * mul + a, (_rotate(a, 25) + b) * mul
        return _mix(c, d, mul)
    if n >= 4:
        return _mix(_u8(n) + (_word(data, 0, 4) << _u8(3)), _word(data, n - 4, 4), mul)
    if n == 0:
        return np.full(len(data), _K2)
    first, middle, last = (data[:, i].astype(np.uint64) for i in (0, n >> 1, n - 1))
    y, z = first + (middle << _u8(8)), _u8(n) + (last << _u8(2))
    return _shift_mix(y * _K2 ^ z * _K0) * _K2


def _farm_32(data, n):
    mul = _K2 + _u8(2 * n)
    a, b = _word(data, 0) * _K1, _word(data, 8)
    c, d = _word(data, n - 8) * mul, _word(data, n - 16) * _K2
    return _mix(_rotate(a + b, 43) + _rotate(c, 30) + d, a + _rotate(b + _K2, 18) + c, mul)


def _farm_64(data, n):
    mul = _K2 + _u8(2 * n)
    a, b = _word(data, 0) * _K2, _word(data, 8)
    c, d = _word(data, n - 8) * mul, _word(data, n - 16) * _K2
    y = _rotate(a + b, 43) + _rotate(c, 30) + d
    z = _mix(y, a + _rotate(b + _K2, 18) + c, mul)
    e, f = _word(data, 16) * mul, _word(data, 24)
    g, h = (y + _word(data, n - 32)) * mul, (z + _word(data, n - 24)) * mul
    return _mix(_rotate(e + f, 43) + _rotate(g, 30) + h, e + _rotate(f + a, 18) + g, mul)


def _weak(data, at, a, b):
    """Two running numbers and 32 bytes, mixed a little."""
    w, x, y, z = (_word(data, at + 8 * i) for i in range(4))
    a = a + w
    b = _rotate(b + a + z, 21)
    c = a
    a = a + x + y
    return a + z, b + _rotate(a, 44) + c


def _farm_long(data, n):
    seed = _u8(81)
    x = np.full(len(data), seed)
    y = np.full(len(data), seed * _K1 + _u8(113))
    z = _shift_mix(y * _K2 + _u8(113)) * _K2
    v = w = (np.zeros_like(x), np.zeros_like(x))
    x = x * _K2 + _word(data, 0)
    for at in range(0, (n - 1) // 64 * 64, 64):
        x = _rotate(x + y + v[0] + _word(data, at + 8), 37) * _K1
        y = _rotate(y + v[1] + _word(data, at + 48), 42) * _K1
        x = x ^ w[1]
        y = y + v[0] + _word(data, at + 40)
        z = _rotate(z + w[0], 33) * _K1
        v = _weak(data, at, v[1] * _K1, x + w[0])
        w = _weak(data, at + 32, z + w[1], y + _word(data, at + 16))
        z, x = x, z
    at = n - 64
    mul = _K1 + ((z & _u8(0xFF)) << _u8(1))
    w = (w[0] + _u8((n - 1) & 63), w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    x = _rotate(x + y + v[0] + _word(data, at + 8), 37) * mul
    y = _rotate(y + v[1] + _word(data, at + 48), 42) * mul
    x = x ^ (w[1] * _u8(9))
    y = y + v[0] * _u8(9) + _word(data, at + 40)
    z = _rotate(z + w[0], 33) * mul
    v = _weak(data, at, v[1] * mul, x + w[0])
    w = _weak(data, at + 32, z + w[1], y + _word(data, at + 16))
    z, x = x, z
    return _mix(_mix(v[0], w[0], mul) + _shift_mix(y) * _K0 + z, _mix(v[1], w[1], mul) + x, mul)


# ---- SipHash ------------------------------------------------------------------------------------


def _sip(data, key):
    rows, n = data.shape
    keys = [np.full(rows, int(k) % 2**64, np.uint64) for k in key]
    v = [
        keys[i % 2] ^ _u8(start)
        for i, start in enumerate(
            (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
        )
    ]
    for at in range(0, n // 8 * 8 + 8, 8):
        word = _word(data, at)
        if at + 8 > n:  # the last one ends in the length
            word = word | (_u8(n & 0xFF) << _u8(56))
        v[3] = v[3] ^ word
        v = _sip_round(*_sip_round(*v))
        v[0] = v[0] ^ word
    v[2] = v[2] ^ _u8(0xFF)
    for _ in range(4):
        v = _sip_round(*v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _sip_round(a, b, c, d):
    a, c = a + b, c + d
    b, d = _rotate(b, 51) ^ a, _rotate(d, 48) ^ c
    a = _rotate(a, 32)
    c, a = c + b, a + d
    b, d = _rotate(b, 47) ^ c, _rotate(d, 43) ^ a
    return [a, b, _rotate(c, 32), d]
