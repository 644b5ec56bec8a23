"""Variables in HDF5, in Keras's layout: written plainly, read with suspicion.

A file may lie about its size, link to other files or into itself. So it is first listed (links
by kind, shapes, dtypes, nothing read), then compared with what is wanted, and only then read.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch

from lightkeras.saving._errors import LoadError

__all__ = ["Dataset", "listing", "opened", "read", "write"]

MAX_DEPTH = 220  # two levels per nested model, whose JSON is bounded at 100
MAX_OBJECTS = 10**6
_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32"}  # those that HDF5 itself brings


def opened(file, where):
    """The HDF5 file at a path or in memory, open for reading.

    Raises:
        LoadError: it is none.
    """
    import h5py

    try:
        return h5py.File(file, "r", locking=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise LoadError(
            f"{where} is not an HDF5 file, or is damaged: {error}. Get it again, or save the "
            "weights again."
        ) from None


# ---- writing ----------------------------------------------------------------------------------


def write(file, groups):
    """Write variables.

    Args:
        file: Path or file object.
        groups: (group, name of the layer or optimizer, {key: tensor or array}).
    """
    import h5py

    with h5py.File(file, "w") as h5:
        for path, name, variables in groups:
            group = h5.create_group(path)
            group.attrs["name"] = name
            for key, value in variables.items():
                array, kind = _as_array(value)
                dataset = group.create_dataset(key, data=array)
                if kind is not None:
                    dataset.attrs["dtype"] = kind
                # Keras takes no notice of it. HDF5 has no checksum where there are no chunks.
                dataset.attrs["crc32"] = np.uint32(_crc(array))


def _as_array(value):
    """(array, name of its dtype where NumPy has no such)."""
    if not isinstance(value, torch.Tensor):
        value = getattr(value, "value", value)  # a weight in another layout than torch's
    if not isinstance(value, torch.Tensor):
        return np.asarray(value), None
    value = value.detach().as_subclass(torch.Tensor).cpu()
    if value.dtype is torch.bfloat16:
        return value.contiguous().view(torch.int16).numpy().view("V2"), "bfloat16"
    return value.numpy(), None


def _crc(array):
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


# ---- listing ----------------------------------------------------------------------------------


class Dataset:
    """One variable in a file that nobody has read yet."""

    def __init__(self, path, dataset, kind):
        self.path = path
        self.shape = tuple(dataset.shape)
        self.kind = kind  # name of the dtype
        self._dataset = dataset

    @property
    def nbytes(self):
        return math.prod(self.shape) * self._dataset.dtype.itemsize

    @property
    def crc(self):
        return self._dataset.attrs.get("crc32")


def listing(h5, where):
    """{path: Dataset} of all variables in a file, without reading one.

    Raises:
        LoadError: the file holds links, unknown dtypes or filters, or declares more than it has.
    """
    try:
        return _listing(h5, where)
    except LoadError:
        raise
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise LoadError(
            f"{where} is a damaged HDF5 file: {error}. It cannot be read whole. Get it again, or "
            "use an older copy."
        ) from None


def _listing(h5, where):
    found, todo, seen = {}, [("", h5)], set()
    while todo:
        path, group = todo.pop()
        if path.count("/") > MAX_DEPTH or len(seen) > MAX_OBJECTS:
            raise _strange(where, path, "is nested too deep, or one of too many")
        for name in group:
            child_path = f"{path}/{name}" if path else name
            child = _child(group, name, where, child_path, seen)
            if hasattr(child, "shape"):
                found[child_path] = Dataset(child_path, child, _kind(child, where, child_path))
            else:
                todo.append((child_path, child))
    return found


def _child(group, name, where, path, seen):
    import h5py

    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise _strange(where, path, f"is a {type(link).__name__}, a link to somewhere else")
    child = group[name]
    if not isinstance(child, (h5py.Group, h5py.Dataset)):
        raise _strange(where, path, f"is a {type(child).__name__}")
    address = h5py.h5o.get_info(child.id).addr
    if address in seen:
        raise _strange(where, path, "stands at two places of the file")
    seen.add(address)
    return child


def _kind(dataset, where, path):
    """Name of the dtype of a dataset that may be read."""
    if dataset.shape is None or dataset.external or dataset.is_virtual:
        raise _strange(where, path, "has no values of its own in this file")
    dtype = dataset.dtype
    kind = "bfloat16" if dtype == np.dtype("V2") and _says_bfloat16(dataset) else dtype.name
    if kind != "bfloat16" and (
        dtype.kind not in "fiub" or not dtype.isnative or dtype.itemsize > 8
    ):
        raise _strange(where, path, f"has the dtype {dtype}, which no weight has")
    plist = dataset.id.get_create_plist()
    for number in range(plist.get_nfilters()):
        if plist.get_filter(number)[0] not in _FILTERS:
            raise _strange(where, path, "is packed by a filter that is not HDF5's own")
    declared, stored = math.prod(dataset.shape) * dtype.itemsize, dataset.id.get_storage_size()
    if declared > 2000 * stored + 64:
        raise _strange(where, path, f"declares {declared:,} bytes and has {stored:,}")
    return kind


def _says_bfloat16(dataset):
    import h5py

    if not h5py.h5a.exists(dataset.id, b"dtype"):
        return False
    return dataset.attrs["dtype"] == "bfloat16"


def _strange(where, path, what):
    return LoadError(
        f"{where}: {path[:200]!r} {what}. Files with plain arrays in plain groups are read. Get "
        "the file again, or write it with save_weights()."
    )


# ---- reading ----------------------------------------------------------------------------------


def read(entry, where):
    """The values of a listed variable, on the host.

    Raises:
        LoadError: they are damaged.
    """
    try:
        array = entry._dataset[()]
    except (OSError, RuntimeError, ValueError) as error:
        raise LoadError(
            f"{where}: {entry.path} cannot be read ({error}). The file is damaged. Get it again."
        ) from None
    array = np.asarray(array)
    crc = entry.crc
    if crc is not None and int(crc) != _crc(array):
        raise LoadError(
            f"{where}: {entry.path} is damaged: its checksum differs from the one it was written "
            "with. Get the file again, or use an older copy."
        )
    if entry.kind == "bfloat16":
        return torch.from_numpy(np.ascontiguousarray(array).view(np.int16)).view(torch.bfloat16)
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype("int64")  # torch computes with few unsigned dtypes
    return torch.from_numpy(np.array(array))
