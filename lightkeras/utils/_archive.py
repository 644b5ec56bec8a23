"""Unpacking archives from strangers: plain files and folders inside the target, nothing else.

The standard library's extractors follow links, restore modes and leave half an archive behind.
This one reads member by member into a folder of its own and moves that into place at the end.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
import zipfile

__all__ = ["extract"]

# An archive may unpack to this many times its own size, and then some: text packs 10-fold.
RATIO, SLACK = 200, 64 << 20
MEMBERS = 1_000_000
BLOCK = 1 << 20

_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:")
_WINDOWS = re.compile(r'[<>:"|?*]|[. ]$|^(?i:con|prn|aux|nul|com\d|lpt\d)(\.|$)')


def extract(archive, target, formats=("tar", "zip")):
    """Unpack a tar (plain, gz, bz2, xz) or zip file into a folder, all of it or nothing.

    Files that stand in the folder already are replaced, others stay.

    Args:
        archive: Path of the archive.
        target: Path of the folder; made if need be.
        formats: Which formats are tried, in this order.

    Raises:
        ValueError: it is no such archive, it is damaged, or a member is not a plain file or
            folder inside the target. Nothing is left in the target then.
    """
    archive, target = os.fspath(archive), os.path.abspath(target)
    limit = RATIO * os.path.getsize(archive) + SLACK
    members = _members(archive, formats, limit)
    staging = os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.part")
    shutil.rmtree(staging, ignore_errors=True)  # what a killed run left
    os.mkdir(staging)
    try:
        _write(members, staging, limit)
        _place(staging, target)
    except ValueError as error:
        raise ValueError(
            f"Refused to unpack {archive!r}: {error}. Plain files and folders inside the target "
            "are unpacked. Get the archive again from a source that you trust."
        ) from error
    except _damage() as error:
        raise ValueError(
            f"{archive!r} is damaged ({type(error).__name__}: {error}). A whole tar or zip file "
            "is needed. Delete it and fetch it again."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _damage():
    """What the readers raise on a broken file, and never on a full or read-only disk."""
    import gzip
    import lzma
    import zlib

    return (
        *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error),
        *(EOFError, RuntimeError, NotImplementedError),
    )


def _members(archive, formats, limit):
    """Iterator of (name, open file or None for a folder)."""
    for name in formats:
        if name == "tar" and _is_tar(archive):
            return _tar_members(archive, limit)
        if name == "zip" and zipfile.is_zipfile(archive):
            return _zip_members(archive, limit)
    raise ValueError(
        f"{archive!r} is no archive of the kind {' or '.join(formats) or 'None'}. A tar (plain, "
        "gz, bz2, xz) or zip file can be unpacked. Leave extract=True out for a single file."
    )


def _write(members, staging, limit):
    written = 0
    for count, (name, source) in enumerate(members):
        if count >= MEMBERS:
            raise ValueError(f"it has more than {MEMBERS:,} members")
        path = os.path.join(staging, *_parts(name))
        try:
            if source is None:
                os.makedirs(path, exist_ok=True)
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as file:
                while block := source.read(BLOCK):
                    written += len(block)
                    if written > limit:
                        raise ValueError(f"it unpacks to more than {limit:,} bytes")
                    file.write(block)
        except (FileExistsError, NotADirectoryError):
            raise ValueError(f"member {name!r} is there twice") from None
        os.chmod(path, 0o644)


def _parts(name):
    """Folders and file of a member's name; ValueError where it could leave the target."""
    parts = [p for p in name.split("/") if p not in ("", ".")]
    bad = name.startswith("/") or ".." in parts or len(name) > 4096
    for part in parts:
        bad |= len(part.encode("utf-8", "surrogatepass")) > 255 or bool(_CONTROL.search(part))
        bad |= os.name == "nt" and bool(_WINDOWS.search(part))
    if bad:
        shown = name if len(name) < 80 else name[:77] + "..."
        raise ValueError(f"member {shown!r} has no name that stays inside the target")
    return parts


def _place(staging, target):
    """Move the unpacked tree to its place: at once where nothing is there, else file by file."""
    os.chmod(staging, 0o755)
    if not os.path.lexists(target):
        os.replace(staging, target)
        return
    inside = os.path.realpath(target)
    for folder, _, files in os.walk(staging):
        to = os.path.normpath(os.path.join(target, os.path.relpath(folder, staging)))
        os.makedirs(to, exist_ok=True)
        if os.path.commonpath([os.path.realpath(to), inside]) != inside:
            raise ValueError(f"{to!r} is a link that leads out of the target")
        for file in files:
            os.replace(os.path.join(folder, file), os.path.join(to, file))


# ---- tar ------------------------------------------------------------------------------------


class _Metered:
    """A decompressed stream that may not grow past `limit` bytes, whatever its headers say."""

    def __init__(self, file, limit):
        self.file, self.limit = file, limit
        self.tell = file.tell

    def read(self, size):
        if size > 16 * BLOCK:  # tarfile reads a long name in one piece
            raise ValueError("a header is larger than 16 MiB")
        try:
            data = self.file.read(size)
        except OSError as error:
            if error.errno is None:  # bz2 says "invalid data" like this
                raise EOFError(str(error)) from error
            raise
        self._check(self.file.tell())
        return data

    def seek(self, position):
        self._check(position)
        return self.file.seek(position)

    def _check(self, position):
        if position > self.limit:
            raise ValueError(f"it unpacks to more than {self.limit:,} bytes")


def _decompressed(archive):
    import bz2
    import gzip
    import lzma

    with open(archive, "rb") as file:
        magic = file.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.open(archive)
    if magic.startswith(b"BZh"):
        return bz2.open(archive)
    return lzma.open(archive) if magic == b"\xfd7zXZ\x00" else open(archive, "rb")


def _is_tar(archive):
    try:
        with _decompressed(archive) as file:
            tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except (*_damage(), OSError):
        return False
    return True


def _tar_members(archive, limit):
    with _decompressed(archive) as file:
        stream = _Metered(file, limit)
        with tarfile.TarFile(fileobj=stream) as tar:  # type: ignore[arg-type]
            for member in tar:
                if member.isdir():
                    yield member.name, None
                elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
                    yield member.name, tar.extractfile(member)
                else:
                    raise ValueError(f"member {member.name[:80]!r} is a link or a special file")
            # tarfile takes a broken header for the end: the end is a block of zeros.
            stream.seek(tar.offset)
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError(f"no valid header at byte {tar.offset:,}")
        while stream.read(BLOCK):  # the checksum of a .gz comes last
            pass


# ---- zip ------------------------------------------------------------------------------------


def _zip_members(archive, limit):
    with zipfile.ZipFile(archive) as file:
        infos = file.infolist()
        if sum(info.file_size for info in infos) > limit:
            raise ValueError(f"it unpacks to more than {limit:,} bytes")
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or info.flag_bits & 1:
                raise ValueError(f"member {info.filename[:80]!r} is a link, special or encrypted")
            if info.filename.endswith("/"):
                yield info.orig_filename, None
            else:
                with file.open(info) as source:
                    yield info.orig_filename, source
