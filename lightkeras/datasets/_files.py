"""Where the files of the data sets are, and how `.npz` and pickled arrays are read safely."""

from __future__ import annotations

import os
import pickle
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from lightkeras.utils._download import fetch, home

__all__ = ["ORIGIN", "cached", "damaged", "find_all", "read_npz", "roots", "unpickle"]

ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
MAX_MEMBER = 1 << 30


# ---- places ---------------------------------------------------------------------------------


def roots() -> tuple[Path, Path]:
    """Folders that are searched; downloads go to the first."""
    return home() / "datasets", home()


def find_all(folder, names):
    """`folder` below the first root in which it holds all files `names`, or None."""
    for root in roots():
        if all((root / folder / name).is_file() for name in names):
            return root / folder
    return None


def cached(path, url, digest) -> Path:
    """The file that a `path` argument means: a bare name is one in the cache."""
    if os.path.dirname(path):
        target = Path(path).expanduser()
    else:
        target = (find_all("", [path]) or roots()[0]) / path
    return target if target.is_file() else fetch(url, target, digest)


def damaged(path, why):
    """The error for a file that is there but cannot be read."""
    return ValueError(
        f"{str(path)!r} is damaged or not the data set ({why}). The published file is needed. "
        "Delete it to fetch it again, or put a good copy in its place."
    )


# ---- npz ------------------------------------------------------------------------------------


def read_npz(path, *names):
    """Arrays `names` of an `.npz` file. Nothing in it can run code or claim more than it holds."""
    arrays = []
    try:
        with zipfile.ZipFile(path) as archive:
            for name in names:
                info = archive.getinfo(f"{name}.npy")
                if info.file_size > MAX_MEMBER:
                    raise ValueError(f"{name} claims {info.file_size:,} bytes")
                arrays.append(_read_npy(archive.read(info)))
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise damaged(path, error) from error
    except (RuntimeError, NotImplementedError) as error:  # encrypted, unknown compression
        raise damaged(path, error) from error
    return arrays


def _read_npy(raw):
    file = BytesIO(raw)
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"npy version {version} is unknown")
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        # Lists of different lengths: NumPy can store them only as a pickle.
        array = unpickle(raw[file.tell() :])
        if not isinstance(array, np.ndarray) or array.shape != shape:
            raise ValueError("its lists are not the array that the header announces")
        return array
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if count * dtype.itemsize != len(raw) - file.tell():
        raise ValueError(
            f"an array of shape {shape} does not have {len(raw) - file.tell():,} bytes"
        )
    array = np.frombuffer(raw, dtype, count, file.tell())
    return array.reshape(shape, order="F" if fortran else "C").copy()


# ---- pickles --------------------------------------------------------------------------------


def unpickle(raw):
    """What a pickle holds, if that is numbers, strings, lists, dicts and arrays of them."""
    try:
        value = _Unpickler(BytesIO(raw), encoding="bytes").load()
    except ValueError:
        raise
    except Exception as error:  # a broken pickle raises nearly anything
        raise ValueError(f"{type(error).__name__} while reading a pickle: {error}") from error
    if isinstance(value, dict):
        return {key: _array(item) for key, item in value.items()}
    return _array(value)


class _Unpickler(pickle.Unpickler):
    """Knows the three names that a NumPy array is pickled with, and gives stand-ins for them.

    With NumPy's own functions a file could ask for an array of any shape, or set the inside
    of one as it likes. The stand-ins only keep what is there for `_array` to check.
    """

    def find_class(self, module, name):
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _Pickled
        if module == "numpy" and name in ("ndarray", "dtype"):
            return _Pickled
        raise ValueError(f"its pickle names {module}.{name}, only NumPy arrays are read")

    def persistent_load(self, pid):
        raise ValueError("its pickle refers to something outside")


class _Pickled:
    """An array (state: version, shape, dtype, order, data) or a dtype (arguments: code, ...)."""

    def __init__(self, *arguments):
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state):
        self.state = state


def _array(value):
    if not isinstance(value, _Pickled):
        return value
    try:
        _, shape, dtype, fortran, data = value.state
        code = dtype.arguments[0]
    except (AttributeError, IndexError, TypeError, ValueError):
        raise ValueError("its pickle holds no complete array") from None
    if code in (b"u1", "u1") and isinstance(data, bytes):
        array = np.frombuffer(data, "uint8").reshape(shape, order="F" if fortran else "C")
        if array.shape != shape:
            raise ValueError(f"its pickle holds an array that has the shape {shape}")
        return array
    if code in (b"O8", "O8", b"O4", "O4", b"O", "O") and isinstance(data, list):
        return _lists(shape, data)
    raise ValueError(f"its pickle holds an array of type {code!r}")


def _lists(shape, data):
    """1-D object array of lists of integers."""
    plain = all(type(row) is list and set(map(type, row)) <= {int} for row in data)
    if shape != (len(data),) or not plain:
        raise ValueError("its pickle holds something besides lists of integers")
    array: np.ndarray = np.empty(len(data), dtype=object)
    for i, row in enumerate(data):  # one by one: rows of equal length would become a matrix
        array[i] = row
    return array
