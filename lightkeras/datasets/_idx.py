"""MNIST and Fashion-MNIST: four idx files in the folder that torchvision uses."""

from __future__ import annotations

import gzip
import zlib

import numpy as np

from lightkeras.datasets._files import damaged, find_all, roots
from lightkeras.utils._download import fetch, locked, replaced

__all__ = ["load"]

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
MAX_BYTES = 1 << 28


def load(kind, origin, digests):
    """((x_train, y_train), (x_test, y_test)) of torchvision's data set `kind`.

    Args:
        kind: "MNIST" or "FashionMNIST".
        origin: Address of the folder with the archives.
        digests: SHA-256 of the four archives, in the order of `NAMES`.
    """
    raw = f"{kind}/raw"
    unpacked = find_all(raw, NAMES)
    if unpacked is None:
        packed = find_all(raw, [f"{name}.gz" for name in NAMES])
        if packed is not None:
            # torchvision would first unpack beside the archives: that takes longer than to read
            # them, and the folder may be read-only.
            return _paired(packed, *(_read_idx(packed / f"{name}.gz") for name in NAMES))
        unpacked = roots()[0] / raw
        for name, digest in zip(NAMES, digests, strict=True):
            archive = unpacked / f"{name}.gz"
            _unpack(fetch(f"{origin}{name}.gz", archive, ("sha256", digest)), unpacked / name)
    return _through_torchvision(kind, unpacked.parents[1])


def _through_torchvision(kind, root):
    from torchvision import datasets

    try:
        splits = [getattr(datasets, kind)(root, train, download=False) for train in (True, False)]
    except (AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise damaged(root / kind / "raw", error) from error
    arrays = [a.numpy().astype("uint8") for split in splits for a in (split.data, split.targets)]
    return _paired(root / kind / "raw", *arrays)


def _paired(folder, x_train, y_train, x_test, y_test):
    for x, y in ((x_train, y_train), (x_test, y_test)):
        if x.ndim != 3 or y.shape != x.shape[:1]:
            raise damaged(folder, f"{len(x)} images, {len(y)} labels")
    return (x_train, y_train), (x_test, y_test)


def _unpack(archive, target):
    with locked(target):
        if not target.is_file():  # another process may have been faster
            with replaced(target) as file:
                file.write(_gunzip(archive))


def _gunzip(path):
    try:
        with gzip.open(path) as file:
            data = file.read(MAX_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise damaged(path, error) from error
    if len(data) > MAX_BYTES:
        raise damaged(path, f"more than {MAX_BYTES:,} bytes")
    return data


def _read_idx(path):
    """Array of a `.gz` idx file: two zero bytes, type, rank, sizes (big endian), values."""
    data = _gunzip(path)
    rank = data[3] if data[:3] == b"\0\0\x08" else 0  # 8: unsigned bytes
    shape = tuple(np.frombuffer(data, ">u4", rank, 4).tolist()) if len(data) >= 4 + 4 * rank else ()
    values = len(data) - 4 - 4 * rank
    if not rank or int(np.prod(shape, dtype=object)) != values:
        raise damaged(path, "no idx file of unsigned bytes")
    return np.frombuffer(data, "uint8", offset=4 + 4 * rank).reshape(shape).copy()
