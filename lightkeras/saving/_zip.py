"""The `.keras` archive: three members, and vocabularies; nothing is unpacked to disk."""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib

from lightkeras.saving import _json
from lightkeras.saving._errors import LoadError, listed

__all__ = ["CONFIG", "METADATA", "WEIGHTS", "members", "vocabulary_at", "write"]

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
# Where Keras keeps what `adapt` found: beside the weights of its layer.
_VOCABULARY = re.compile(r"assets((?:/[A-Za-z0-9_]{1,200}){1,100})/vocabulary\.txt")
_VOCABULARIES = 2**26  # bytes of them all, at most
_LIMITS = {CONFIG: _json.MAX_BYTES, METADATA: 2**20}


def write(path, contents):
    """Write an archive of {name: bytes}, uncompressed as Keras's are."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)


def vocabulary_at(path):
    """The name of the member with the vocabulary of the layer whose weights are at `path`."""
    return f"assets/{path}/vocabulary.txt"


def members(file, where, names, vocabularies=False):
    """{name: bytes} of some members of an archive, after a look at all of it.

    Args:
        file: An open file.
        where: Its name, for errors.
        names: The members to read; all must be there.
        vocabularies: Whether those are read, too.

    Raises:
        LoadError: the archive is damaged, or holds what a saved model does not.
    """
    size = file.seek(0, io.SEEK_END)
    try:
        with zipfile.ZipFile(file) as archive:
            _check(archive.infolist(), size, where)
            there = {info.filename for info in archive.infolist()}
            missing = [name for name in names if name not in there]
            if missing:
                raise LoadError(
                    f"{where} holds no {missing[0]}; it has {listed(sorted(there)) or 'nothing'}. "
                    f"A model has {CONFIG}, {METADATA} and {WEIGHTS}. Save the model again."
                )
            words = sorted(n for n in there if vocabularies and _VOCABULARY.fullmatch(n))
            return {name: _read(archive, name, where) for name in [*names, *words]}
    except LoadError:
        raise
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
        raise _damaged(where, error) from None
    except (RuntimeError, zlib.error, UnicodeError, OverflowError) as error:
        raise _damaged(where, error) from None


def _damaged(where, error):
    return LoadError(
        f"{where} is damaged: {error}. It cannot be loaded whole. Get the file again, or use an "
        "older copy."
    )


def _check(infos, size, where):
    """Refuse the whole archive for one member that should not be there."""
    names = [info.filename for info in infos]
    known = (CONFIG, METADATA, WEIGHTS)
    words = [info for info in infos if _VOCABULARY.fullmatch(info.filename)]
    strange = set(names) - {*known, *(info.filename for info in words)}
    if strange:
        shown = listed([repr(name[:80]) for name in sorted(strange)])
        raise LoadError(
            f"{where} holds {shown}. A model of lightkeras has only {CONFIG}, {METADATA}, "
            f"{WEIGHTS} and vocabularies (assets/.../vocabulary.txt). Other files of layers are "
            "not read."
        )
    total = sum(info.file_size for info in words)
    if total > _VOCABULARIES:
        raise LoadError(
            f"{where} holds vocabularies of {total:,} bytes. {_VOCABULARIES:,} are allowed. Give "
            "fewer tokens with max_tokens=, or keep them in files of their own: "
            "set_vocabulary(path)."
        )
    if len(set(names)) != len(names):
        raise LoadError(
            f"{where} holds two members of one name. Each stands once in a saved model. Get the "
            "file again."
        )
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        _check_member(info, size, where)
        if info.header_offset < end:
            raise LoadError(
                f"{where}: its members lie over each other. Save() writes one after the other. "
                "Get the file again."
            )
        end = info.header_offset + 30 + len(info.filename) + info.compress_size


def _check_member(info, size, where):
    limit = _LIMITS.get(info.filename, 2 * size + 192 * 2**20)
    what = None
    if info.flag_bits & 0x1:
        what = "is encrypted"
    elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        what = "is packed in a way that is not read"
    elif stat.S_ISLNK(info.external_attr >> 16) or info.is_dir():
        what = "is a link or a folder"
    elif info.compress_size > size or info.header_offset > size:
        what = "reaches over the end of the file"
    elif info.file_size > limit:
        what = f"would unpack to {info.file_size:,} bytes, {limit:,} are allowed"
    elif info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        what = "declares two different sizes"
    if what:
        raise LoadError(
            f"{where}: the member {info.filename} {what}. Members as save() writes them are read. "
            "Get the file again, or save the model again."
        )


def _read(archive, name, where):
    """A member, whose length and checksum must be those declared."""
    info = archive.getinfo(name)
    with archive.open(info) as member:
        data = member.read(info.file_size + 1)  # reading to the end compares the CRC
    if len(data) != info.file_size:
        raise _damaged(where, f"{name} has {len(data):,} bytes and not {info.file_size:,}")
    return data
