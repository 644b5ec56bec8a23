"""Files from the network, into a cache: the whole verified file, or nothing."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from lightkeras._progress import is_redrawn, write
from lightkeras._registry import unknown

__all__ = ["fetch", "get_file", "home", "locked", "replaced"]

BLOCK = 1 << 16
MAX_BYTES = 16 << 30
REDIRECTS = 5
STALL = 30.0  # seconds of silence
GRACE, SLOWEST = 60.0, 4096  # a download may take 60 s, and a second more for each 4 KiB


def home() -> Path:
    """The folder of data and downloads: `$LIGHTKERAS_HOME`, by default `~/.lightkeras`."""
    return Path(os.environ.get("LIGHTKERAS_HOME") or "~/.lightkeras").expanduser()


def get_file(
    fname=None,
    origin=None,
    untar=False,
    md5_hash=None,
    file_hash=None,
    cache_subdir="datasets",
    hash_algorithm="auto",
    extract=False,
    archive_format="auto",
    cache_dir=None,
    force_download=False,
):
    """Path of a file from the network, downloaded on first use.

    Any number of processes may ask at once: one downloads, the others wait. Unlike in Keras,
    `http://` needs a `file_hash` (or LIGHTKERAS_ALLOW_HTTP=1), an archive is unpacked once and
    completely or not at all, and a cache that cannot be written is an error.

    Args:
        fname: Name of the file in the cache; the last part of `origin` by default.
        origin: The `https://` address.
        untar: Old form of `extract=True, archive_format="tar"`.
        md5_hash: Old form of `file_hash`, MD5 only.
        file_hash: Hexadecimal SHA-256 or MD5 that the file must have.
        cache_subdir: Folder inside the cache folder, or an absolute path.
        hash_algorithm: "sha256", "md5" or "auto" (by the length of the hash).
        extract: Unpack the file, and return the folder.
        archive_format: "tar", "zip", "auto" or a list of the first two.
        cache_dir: The cache folder; `$LIGHTKERAS_HOME` or `~/.lightkeras` by default.
        force_download: Download even if the file is there.

    Returns:
        The path, a string. For `extract=True` the folder: `fname` up to its first dot plus
        `_extracted`, or `fname` itself where it has no dot.

    Raises:
        ValueError: the address, name or archive is refused, or the hash differs.
        ConnectionError: the download failed.
        PermissionError: the cache folder cannot be written.
    """
    if not origin:
        raise ValueError("get_file() needs an address. Pass origin='https://...'.")
    if file_hash is None and md5_hash is not None:
        file_hash, hash_algorithm = md5_hash, "md5"
    digest = _digest(file_hash, hash_algorithm)
    formats = _formats("tar" if untar else archive_format)
    folder = Path(cache_dir or home()).expanduser() / cache_subdir
    name = _file_name(fname or os.path.basename(urlsplit(origin).path))
    if not (extract or untar):
        return str(fetch(origin, folder / name, digest, force_download))
    if fname and "." in name:
        archive, unpacked = folder / name, folder / f"{name[: name.find('.')]}_extracted"
    else:
        archive, unpacked = folder / f"{name}_archive", folder / name
    fetch(origin, archive, digest, force_download)
    _unpack(archive, unpacked, formats)
    return str(unpacked)


def fetch(url, target, digest=None, force=False) -> Path:
    """Make `target` hold what `url` serves. `digest` is (algorithm, hexadecimal) or None."""
    target = Path(target)
    if force or not _holds(target, digest):
        with locked(target):
            # Whoever waited for the lock finds the file that the other process fetched.
            if force or not _holds(target, digest):
                _download(url, target, digest)
    return target


# ---- arguments ------------------------------------------------------------------------------


def _digest(file_hash, algorithm):
    lengths = {64: "sha256", 32: "md5"}
    if algorithm not in ("auto", *lengths.values()):
        raise unknown("hash_algorithm", algorithm, ("auto", *lengths.values()))
    if file_hash is None:
        return None
    text = str(file_hash).lower()
    found = lengths.get(len(text)) if re.fullmatch("[0-9a-f]+", text) else None
    if found is None or algorithm not in ("auto", found):
        kind = "hash" if algorithm == "auto" else f"{algorithm} hash"
        raise ValueError(
            f"file_hash={file_hash!r} is no {kind}. SHA-256 has 64 hexadecimal digits, MD5 has "
            "32. Check that the whole hash was copied."
        )
    return found, text


def _formats(archive_format):
    if archive_format == "auto":
        return ("tar", "zip")
    formats = [archive_format] if isinstance(archive_format, str) else list(archive_format or ())
    for name in formats:
        if name not in ("tar", "zip"):
            raise unknown("archive_format", name, ("auto", "tar", "zip"))
    return formats


_UNSAFE = re.compile(
    r'[\x00-\x1f\x7f/\\<>:"|?*]|^\.+$|[. ]$|^(?i:con|prn|aux|nul|com\d|lpt\d)(\.|$)'
)


def _file_name(name):
    """`name` if every system can store it as one file inside the cache folder."""
    name = os.fspath(name)
    if not name or _UNSAFE.search(name) or len(name.encode("utf-8", "replace")) > 200:
        raise ValueError(
            f"fname={name[:80]!r} cannot be a file name. One plain name is accepted, without "
            "folders. Pass fname='data.zip', and cache_dir= or cache_subdir= for the folder."
        )
    return name


# ---- the cache ------------------------------------------------------------------------------


@contextmanager
def locked(path):
    """Hold the lock of the cached file `path`; its folder is made if need be."""
    from filelock import FileLock  # torch depends on it; works on every system

    _make_writable(Path(path).parent)
    # Released by the system when a process dies; the empty file stays, or two could hold it.
    with FileLock(str(Path(path).with_name(f".{Path(path).name}.lock"))):
        yield


@contextmanager
def replaced(path):
    """A new file that takes the place of `path` when the block ends well. Hold the lock."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with suppress(FileNotFoundError):
            part.unlink()  # what a killed run left
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _make_writable(folder):
    """Make `folder`, or say which variable moves the cache."""
    folder = folder.absolute()
    try:
        # Looked at before anything is made: an administrator may write where nobody should.
        nearest = next((p for p in (folder, *folder.parents) if p.exists()), folder)
        closed = os.name != "nt" and not nearest.stat().st_mode & 0o222
        if closed or not os.access(nearest, os.W_OK):
            raise PermissionError(f"{str(nearest)!r} is read-only")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermissionError(
            f"Cannot write to the cache folder {str(folder)!r} ({error}). Downloads need a folder "
            "that can be written. Set the environment variable LIGHTKERAS_HOME to one."
        ) from error


def _holds(path, digest):
    """Whether `path` is a file with the wanted hash."""
    if not path.is_file():
        return False
    if digest is None:
        return True
    hasher = hashlib.new(digest[0], usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    if hasher.hexdigest() == digest[1]:
        return True
    write(f"{str(path)!r} does not have the {digest[0]} hash {digest[1]}: fetching it again.\n")
    return False


def _unpack(archive, folder, formats):
    """Unpack once: the stamp beside the folder says which archive it came from."""
    from lightkeras.utils._archive import extract

    stamp = folder.with_name(f".{folder.name}.unpacked")

    def state():
        found = archive.stat()
        return f"{found.st_size} {found.st_mtime_ns}".encode()

    def done():
        return folder.is_dir() and stamp.is_file() and stamp.read_bytes() == state()

    if done():
        return
    with locked(folder):
        if not done():
            extract(archive, folder, formats)
            with replaced(stamp) as file:
                file.write(state())


# ---- the network ----------------------------------------------------------------------------


def _download(url, target, digest):
    hasher = hashlib.new(digest[0] if digest else "sha256", usedforsecurity=False)
    with _open(url, pinned=digest is not None) as response, replaced(target) as file:
        write(f"Downloading {url}\n")
        for block in _blocks(response, url, pinned=digest is not None):
            hasher.update(block)
            file.write(block)
        if digest and hasher.hexdigest() != digest[1]:
            raise ValueError(
                f"{url} sent a file with the {digest[0]} hash {hasher.hexdigest()}, expected "
                f"{digest[1]}. It was damaged on its way or changed, and is deleted. Try again, "
                "or correct file_hash."
            )


def _open(url, pinned):
    """The response with the body; redirects are followed here, where each can be checked."""
    from http.client import HTTPException
    from urllib import request

    opener = request.OpenerDirector()  # knows no file: and no ftp:
    for handler in (request.ProxyHandler(), request.HTTPHandler(), request.HTTPSHandler()):
        opener.add_handler(handler)
    origin, secure = url, False
    for _ in range(REDIRECTS + 1):
        _check_scheme(url, pinned, secure)
        secure = secure or urlsplit(url).scheme == "https"
        headers = {"User-Agent": "lightkeras", "Accept-Encoding": "identity"}
        try:
            safe = quote(url, safe="%/:=&?~#+!$,;'@()*[]")
            response = opener.open(request.Request(safe, headers=headers), timeout=STALL)
        except (OSError, HTTPException) as error:
            raise _failed(origin, getattr(error, "reason", None) or error) from error
        if response.status == 200:
            return response
        response.close()
        where = response.headers.get("Location")
        if response.status not in (301, 302, 303, 307, 308) or not where:
            raise _failed(origin, f"the server answered {response.status} {response.reason}")
        url = urljoin(url, where)
    raise _failed(origin, f"it was redirected more than {REDIRECTS} times")


def _check_scheme(url, pinned, secure):
    scheme = urlsplit(url).scheme
    asked = pinned or os.environ.get("LIGHTKERAS_ALLOW_HTTP") == "1"
    if scheme == "https" or (scheme == "http" and asked and not secure):
        return
    raise ValueError(
        f"Refused to fetch {url!r}: only https:// is safe, also after a redirect. Use an https "
        "address. A plain http:// origin is accepted with file_hash=, or where the environment "
        "variable LIGHTKERAS_ALLOW_HTTP is 1."
    )


def _blocks(response, url, pinned):
    """The body in pieces, as long as it keeps to what was announced and to the limits."""
    from http.client import HTTPException

    length = response.length  # None where the server does not say
    if length is None and not response.chunked and not pinned:
        raise _failed(url, "the server does not say how long the file is; pass file_hash=")
    received, start, progress = 0, time.monotonic(), _progress(length)
    while True:
        try:
            block = response.read1(BLOCK)
        except (OSError, HTTPException) as error:
            raise _failed(url, f"the connection broke after {received:,} bytes") from error
        received += len(block)
        progress(received, not block)
        if not block:
            break
        if max(received, length or 0) > MAX_BYTES:
            raise _failed(url, f"the file is larger than {MAX_BYTES:,} bytes")
        if time.monotonic() - start > GRACE + received / SLOWEST:
            raise _failed(url, f"only {received:,} bytes came in {GRACE:.0f} s and more")
        yield block
    if length is not None and received != length:
        raise _failed(url, f"{received:,} of {length:,} bytes came")


def _failed(url, why):
    return ConnectionError(
        f"Could not fetch {url}: {why}. Nothing was stored. Check the address and the network, "
        "or put the file into the cache folder by hand."
    )


def _progress(length):
    """A function that draws how far the download is, in a terminal only."""
    shown = 0.0

    def draw(received, last):
        nonlocal shown
        if is_redrawn(sys.stdout) and (last or time.monotonic() - shown > 0.2):
            shown = time.monotonic()
            total = f" of {length / 1e6:.1f}" if length else ""
            write(f"\r{received / 1e6:.1f}{total} MB" + "\n" * last)

    return draw
