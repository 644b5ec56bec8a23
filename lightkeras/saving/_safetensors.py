"""A `state_dict` as a safetensors file: names and layout are torch's."""

from __future__ import annotations

import io
import json
import math
import struct
import zlib

import torch

from lightkeras.saving import _json
from lightkeras.saving._errors import LoadError

__all__ = ["listing", "read", "write"]

ENDING = ".safetensors"
MAX_TENSORS = 10**5
_DTYPES = {
    "F64": (torch.float64, "float64"),
    "F32": (torch.float32, "float32"),
    "F16": (torch.float16, "float16"),
    "BF16": (torch.bfloat16, "bfloat16"),
    "I64": (torch.int64, "int64"),
    "I32": (torch.int32, "int32"),
    "I16": (torch.int16, "int16"),
    "I8": (torch.int8, "int8"),
    "U8": (torch.uint8, "uint8"),
    "BOOL": (torch.bool, "bool"),
}


def write(path, state):
    """Write a `state_dict` of tensors.

    Not by the package: it writes to a file of its own first, which a killed process leaves behind.

    Raises:
        TypeError: a tensor has a dtype that the format does not know.
    """
    plain = lambda t: t.detach().as_subclass(torch.Tensor).cpu().contiguous()  # noqa: E731
    tensors = {key: plain(tensor) for key, tensor in state.items()}
    # The format has no checksums of its own. Others take no notice of ours.
    crc = {key: zlib.crc32(_bytes_of(tensor)) for key, tensor in tensors.items()}
    header: dict[str, dict] = {"__metadata__": {"format": "pt", "crc32": json.dumps(crc)}}
    end = 0
    ordered = sorted(tensors.items(), key=lambda item: -item[1].element_size())  # all aligned
    for key, tensor in ordered:
        begin, end = end, end + tensor.nbytes
        header[key] = {"dtype": _code(key, tensor), "shape": list(tensor.shape)}
        header[key]["data_offsets"] = [begin, end]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, tensor in ordered:
            file.write(_bytes_of(tensor))


def _code(key, tensor):
    for code, (dtype, _) in _DTYPES.items():
        if dtype is tensor.dtype:
            return code
    raise TypeError(
        f"{key} is {tensor.dtype}, which a safetensors file cannot hold here. Accepted are "
        f"{', '.join(name for _, name in _DTYPES.values())}. Cast it, or save to .weights.h5."
    )


def _bytes_of(tensor):
    return tensor.reshape(-1).view(torch.uint8).numpy()


class _Tensor:
    """One tensor in a file that nobody has read yet."""

    def __init__(self, file, shape, dtype, begin, end):
        self.file, self.shape, self.begin, self.end = file, shape, begin, end
        self.dtype, self.kind = _DTYPES[dtype]
        self.crc = None


def listing(file, where):
    """{key: tensor still to be read} of an open file, whose header must describe all of it.

    Raises:
        LoadError: the header is damaged, or the tensors do not lie side by side.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    (length,) = struct.unpack("<Q", file.read(8))
    if length > min(size - 8, _json.MAX_BYTES):
        raise _strange(where, f"declares a header of {length:,} bytes in a file of {size:,}")
    header = _json.parse(file.read(length), f"{where}: its header")
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise _strange(where, "has a header that lists no tensors, or too many")
    start = 8 + length
    found = {
        key: _entry(file, key, value, start, where)
        for key, value in header.items()
        if key != "__metadata__"
    }
    _check_places(found, start, size, where)
    checksums = _checksums(header, where)
    if checksums and checksums.keys() != found.keys():
        raise _strange(where, "is damaged: its checksums are not those of its tensors")
    for key, crc in checksums.items():
        found[key].crc = crc
    return found


def _checksums(header, where):
    """{key: CRC} where the file has them."""
    metadata = header.get("__metadata__") or {}
    text = metadata.get("crc32") if isinstance(metadata, dict) else None
    stored = _json.parse(text, f"{where}: its checksums") if isinstance(text, str) else {}
    return stored if isinstance(stored, dict) else {}


def _entry(file, key, value, start, where):
    try:
        dtype, shape, (begin, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        whole = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
        right = whole and end - begin == math.prod(shape) * _DTYPES[dtype][0].itemsize
    except (TypeError, KeyError, ValueError):
        right = False
    if not right:
        raise _strange(where, f"describes the tensor {key[:80]!r} in a way that makes no sense")
    return _Tensor(file, shape, dtype, start + begin, start + end)


def _check_places(found, start, size, where):
    """Tensors lie one after the other, without gaps, to the end of the file."""
    end = start
    for key, entry in sorted(found.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != end:
            raise _strange(where, f"has a gap or an overlap before the tensor {key[:80]!r}")
        end = entry.end
    if end != size:
        raise _strange(
            where, f"has {size:,} bytes where its header ends at {end:,}: it was cut off"
        )


def _strange(where, what):
    return LoadError(
        f"{where} {what}. Files as save_weights() writes them are read. Get the file again, or "
        "save the weights again."
    )


def read(entry, where):
    """The values of a listed tensor, on the host."""
    entry.file.seek(entry.begin)
    data = bytearray(entry.file.read(entry.end - entry.begin))
    if len(data) != entry.end - entry.begin:
        raise _strange(where, "ends before its tensors do")
    if entry.crc is not None and entry.crc != zlib.crc32(data):
        raise _strange(where, "is damaged: a checksum differs from the one it was written with")
    if not data:
        return torch.empty(entry.shape, dtype=entry.dtype)
    return torch.frombuffer(data, dtype=entry.dtype).reshape(entry.shape)
