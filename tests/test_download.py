"""get_file: a server that lies, stalls and redirects; archives that reach out; kills; crowds."""

import gzip
import hashlib
import http.server
import io
import multiprocessing
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pytest

from lightkeras.utils import _archive, _download, get_file
from lightkeras.utils._archive import extract

BODY = random.Random(0).randbytes(300_000)
SHA256, MD5 = hashlib.sha256(BODY).hexdigest(), hashlib.md5(BODY).hexdigest()
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs fork and kill -9")


# ---- a server -----------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    """What is served depends on the first part of the path."""

    def do_GET(self):
        server = self.server
        server.paths.append(self.path)
        name = self.path.strip("/").partition("/")[0].partition("?")[0]
        if name in server.files:
            self.send(server.files[name])
        else:
            getattr(self, name.replace("-", "_"), self.missing)()

    def send(self, body, length=None, status=200, **headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        if length is not False:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def missing(self):
        self.send(b"no such file", status=404)

    def truncated(self):
        self.send(BODY[:1000], len(BODY))

    def no_length(self):
        self.send(BODY, False)

    def chunked(self, body=BODY, end=b"0\r\n\r\n"):
        self.protocol_version = "HTTP/1.1"
        self.send(b"", False, Transfer_Encoding="chunked")
        self.wfile.write(b"%x\r\n%s\r\n%s" % (len(body), body, end))
        self.close_connection = True

    def chunked_truncated(self):
        self.chunked(end=b"ff\r\nabc")

    def endless(self):
        self.protocol_version = "HTTP/1.1"
        self.send(b"", False, Transfer_Encoding="chunked")
        self.repeat(b"10000\r\n" + bytes(1 << 16) + b"\r\n")

    def huge(self):
        self.send(BODY, 1 << 60)

    def drip(self):
        self.send(b"", 500_000)
        self.repeat(b"x", 0.02)

    def slow(self):
        self.send(b"", len(BODY))
        for start in range(0, len(BODY), 3000):
            self.wfile.write(BODY[start : start + 3000])
            time.sleep(0.003)

    def stalled(self):
        self.send(BODY[:10], len(BODY))
        self.server.stop.wait(20)

    def repeat(self, piece, pause=0.0):
        while not self.server.stop.wait(pause):
            self.wfile.write(piece)

    def redirect(self):
        self.send(b"", status=302, Location=self.server.target)

    def loop(self):
        self.send(b"", status=301, Location=self.path)

    def hop(self):
        left = int(self.path.rpartition("/")[2])
        self.send(b"", status=307, Location=f"/hop/{left - 1}" if left else "/data.bin")

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:  # the client gave up, as it should
            self.close_connection = True

    def log_message(self, *args):
        pass


def serve(context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.paths, server.files, server.stop = [], {"data.bin": BODY}, threading.Event()
    server.target = None
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = f"http{'s' if context else ''}://127.0.0.1:{server.server_port}/"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("LIGHTKERAS_ALLOW_HTTP", "1")
    monkeypatch.setenv("no_proxy", "*")
    server = serve()
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1, made here so that no key is kept in the repository."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def secure(certificate, monkeypatch):
    """A server that speaks https, and whose certificate is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    monkeypatch.setenv("no_proxy", "*")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server = serve(context)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTKERAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "datasets"


def stored(cache):
    """Names in the cache, without locks."""
    return sorted(p.name for p in cache.glob("*") if not p.name.endswith(".lock"))


# ---- downloads ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kwargs", [{}, {"file_hash": SHA256}, {"file_hash": MD5.upper()}, {"md5_hash": MD5}]
)
def test_a_file_is_downloaded_once(server, cache, kwargs, capsys):
    for _ in range(2):
        path = get_file("x.bin", server.url + "data.bin", **kwargs)
        assert path == str(cache / "x.bin") and Path(path).read_bytes() == BODY
    assert server.paths == ["/data.bin"]
    assert stored(cache) == ["x.bin"]
    assert capsys.readouterr().out == f"Downloading {server.url}data.bin\n"


def test_names_and_folders(server, cache, tmp_path):
    url = server.url + "data.bin?version=2"
    assert get_file(origin=url) == str(cache / "data.bin")
    assert get_file(origin=url, cache_subdir="a/b") == str(cache.parent / "a/b/data.bin")
    here = get_file("y", url, cache_dir=tmp_path / "c", cache_subdir="")
    assert here == str(tmp_path / "c" / "y")
    assert get_file("y", url, cache_subdir=str(tmp_path / "d")) == str(tmp_path / "d" / "y")
    get_file(origin=url, force_download=True)
    assert len(server.paths) == 5


@pytest.mark.parametrize("path", ["chunked", "hop/4"])
def test_honest_servers(server, cache, path):
    assert Path(get_file("x", server.url + path)).read_bytes() == BODY


def test_a_body_of_unknown_length_needs_a_hash(server, cache):
    url = server.url + "no_length"
    with pytest.raises(ConnectionError, match="how long the file is; pass file_hash="):
        get_file("x", url)
    assert Path(get_file("x", url, file_hash=SHA256)).read_bytes() == BODY


@pytest.mark.parametrize(
    "path, text",
    [
        ("truncated", "1,000 of 300,000 bytes came"),
        ("chunked_truncated", "the connection broke after"),
        ("endless", "the file is larger than 1,000,000 bytes"),
        ("huge", "the file is larger than 1,000,000 bytes"),
        ("drip", "bytes came in 0 s and more"),
        ("stalled", "the connection broke after 10 bytes"),
        ("missing", "the server answered 404"),
        ("loop", "it was redirected more than 5 times"),
        ("hop/5", "it was redirected more than 5 times"),
    ],
)
def test_bad_servers_leave_nothing(server, cache, monkeypatch, path, text):
    monkeypatch.setattr(_download, "MAX_BYTES", 1_000_000)
    monkeypatch.setattr(_download, "STALL", 0.5)
    if path == "drip":
        monkeypatch.setattr(_download, "GRACE", 0.3)
    started = time.monotonic()
    with pytest.raises(ConnectionError) as caught:
        get_file("x", server.url + path)
    assert text in str(caught.value) and "Nothing was stored" in str(caught.value)
    assert stored(cache) == []
    assert time.monotonic() - started < 5


def test_nobody_listens(cache, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError, match="Could not fetch"):
        get_file("x", server.url + "data.bin")


def test_a_wrong_hash_deletes_the_file_and_names_both(server, cache):
    wrong = "0" * 64
    with pytest.raises(ValueError) as caught:
        get_file("x", server.url + "data.bin", file_hash=wrong)
    assert wrong in str(caught.value) and SHA256 in str(caught.value)
    assert stored(cache) == []


def test_a_damaged_file_in_the_cache_is_fetched_again(server, cache):
    path = Path(get_file("x", server.url + "data.bin", file_hash=SHA256))
    path.write_bytes(BODY[1:] + b"!")
    with pytest.raises(ConnectionError):  # and stays while nothing better came
        get_file("x", server.url + "truncated", file_hash=SHA256)
    assert len(path.read_bytes()) == len(BODY)
    get_file("x", server.url + "data.bin", file_hash=SHA256)
    assert path.read_bytes() == BODY


# ---- addresses and arguments --------------------------------------------------------------------


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://host/x", "data:,x", "x", "//h/x"])
def test_only_https(cache, url):
    with pytest.raises(ValueError, match="only https:// is safe"):
        get_file("x", url, file_hash=SHA256)


def test_http_must_be_asked_for(server, cache, monkeypatch):
    monkeypatch.delenv("LIGHTKERAS_ALLOW_HTTP")
    with pytest.raises(ValueError, match="accepted with file_hash="):
        get_file("x", server.url + "data.bin")
    assert server.paths == []
    get_file("x", server.url + "data.bin", file_hash=SHA256)


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"])
def test_redirects_to_other_schemes(server, cache, target):
    server.target = target
    with pytest.raises(ValueError, match="only https:// is safe, also after a redirect"):
        get_file("x", server.url + "redirect", file_hash=SHA256)
    assert stored(cache) == []


def test_https(secure, cache):
    assert Path(get_file("x", secure.url + "data.bin")).read_bytes() == BODY


def test_https_is_never_downgraded(secure, server, cache):
    secure.target = server.url + "data.bin"
    with pytest.raises(ValueError, match="only https:// is safe, also after a redirect"):
        get_file("x", secure.url + "redirect", file_hash=SHA256)
    assert server.paths == []


def test_https_with_an_unknown_certificate(secure, cache, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ConnectionError, match=r"(?i)certificate"):
        get_file("x", secure.url + "data.bin")


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "a\\b", "/x", "..", ".", "C:x", "a\0b", "a\nb", "x.", "x ", "CON", "nul.txt"]
    + ["x" * 201],
)
def test_names_that_are_no_plain_file(cache, name):
    with pytest.raises(ValueError, match="cannot be a file name"):
        get_file(name, "https://127.0.0.1:1/x")


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/", "https://127.0.0.1:1/a/.."])
def test_addresses_without_a_name(cache, url):
    with pytest.raises(ValueError, match="cannot be a file name"):
        get_file(origin=url)


@pytest.mark.parametrize(
    "kwargs, text",
    [
        ({"origin": None}, "get_file() needs an address"),
        ({"file_hash": "12"}, "file_hash='12' is no hash. SHA-256 has 64"),
        ({"file_hash": "g" * 64}, "is no hash"),
        ({"file_hash": MD5, "hash_algorithm": "sha256"}, "is no sha256 hash"),
        ({"hash_algorithm": "sha512"}, "Unknown hash_algorithm 'sha512'. Did you mean 'sha256'?"),
        ({"extract": True, "archive_format": "tgz"}, "Unknown archive_format 'tgz'"),
    ],
)
def test_arguments(cache, kwargs, text):
    with pytest.raises(ValueError) as caught:
        get_file(**{"fname": "x", "origin": "https://127.0.0.1:1/x", **kwargs})
    assert text in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="folders have no write bit")
def test_a_cache_that_cannot_be_written(server, cache, tmp_path, monkeypatch):
    shut = tmp_path / "shut"
    shut.mkdir()
    (shut / "have.bin").write_bytes(BODY)
    shut.chmod(0o555)
    text = "Set the environment variable LIGHTKERAS_HOME to one"
    with pytest.raises(PermissionError, match=text):
        get_file("x", server.url + "data.bin", cache_dir=shut)
    (tmp_path / "file").touch()
    with pytest.raises(PermissionError, match=text):
        get_file("x", server.url + "data.bin", cache_dir=tmp_path / "file")
    # What is there is used.
    path = get_file("have.bin", server.url + "x", cache_dir=shut, cache_subdir="", file_hash=SHA256)
    assert path == str(shut / "have.bin")
    assert [p.name for p in shut.iterdir()] == ["have.bin"] and server.paths == []


# ---- many processes, and killed ones ------------------------------------------------------------


def start(*args, **kwargs):
    process = multiprocessing.get_context("fork").Process(target=get_file, args=args, kwargs=kwargs)
    process.start()
    return process


@LINUX
def test_eight_processes_download_once(server, cache):
    processes = [start("x", server.url + "slow", file_hash=SHA256) for _ in range(8)]
    for process in processes:
        process.join(60)
    assert [p.exitcode for p in processes] == [0] * 8
    assert server.paths == ["/slow"] and stored(cache) == ["x"]


@LINUX
def test_killed_at_any_moment(server, cache):
    moments, target = random.Random(1), cache / "x"
    for _ in range(8):
        process = start("x", server.url + "slow")
        time.sleep(moments.uniform(0, 0.6))
        os.kill(process.pid, signal.SIGKILL)
        process.join(10)
        assert not target.exists() or target.read_bytes() == BODY
        target.unlink(missing_ok=True)
    assert Path(get_file("x", server.url + "data.bin")).read_bytes() == BODY
    assert stored(cache) == ["x"]


# ---- archives -----------------------------------------------------------------------------------


def tar_of(*members, mode="w"):
    """A tar file of (name, bytes) and of ready TarInfo."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size, info.mode = len(member[1]), 0o4777
                tar.addfile(info, io.BytesIO(member[1]))
    return file.getvalue()


def special(kind, name="a", linkname="../canary/x"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, linkname
    return info


def zip_of(*members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body, *mode in members:
            info = zipfile.ZipInfo("placeholder")
            info.filename, info.compress_type = name, zipfile.ZIP_DEFLATED
            info.external_attr = (mode[0] if mode else 0o644) << 16
            archive.writestr(info, body)
    return file.getvalue()


def patched(data, old, new):
    assert data.count(old) and len(old) == len(new)
    return data.replace(old, new)


GOOD = [("top/a.txt", b"a" * 1000), ("top/sub/b.txt", b"b"), ("c", b"")]
ARCHIVES = {
    **{kind: tar_of(*GOOD, mode=f"w:{kind}") for kind in ("gz", "bz2", "xz")},
    "tar": tar_of(*GOOD),
    "zip": zip_of(*GOOD),
    "tar with dots": tar_of(*((f"./{name}", body) for name, body in GOOD)),
    "tar with folders": tar_of(special(tarfile.DIRTYPE, "top"), *GOOD),
    "zip with folders": zip_of(("top/", b"", 0o40755), *GOOD),
}


def tree(folder):
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def private():
    """New files are for their owner only, unless somebody says otherwise."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_extract(tmp_path, kind, private):
    (tmp_path / "archive").write_bytes(ARCHIVES[kind])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "c").write_text("is replaced")
    (tmp_path / "out" / "mine").write_text("stays")
    for target in ("new", "out"):
        extract(tmp_path / "archive", tmp_path / target)
        found = tree(tmp_path / target)
        assert {name: found[name].read_bytes() for name, _ in GOOD} == dict(GOOD)
        if os.name != "nt":
            assert {found[name].stat().st_mode & 0o7777 for name, _ in GOOD} == {0o644}
    assert (tmp_path / "out" / "mine").read_text() == "stays"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive", "new", "out"]


SYMLINK = 0o120777
BAD_ARCHIVES = {
    **{
        f"tar {name[:12]!r}": tar_of(("ok", b"1"), (name, b"x"))
        for name in ("../canary/x", "/tmp/x", "a/../../canary/x", "a\\..\\x", "C:x", "a\nb")
    },
    "tar long part": tar_of(("x" * 300, b"x"), mode="w"),
    "tar long path": tar_of(("/".join(["x" * 99] * 50), b"x")),
    "tar twice": tar_of(("a", b"1"), ("a", b"2")),
    "tar file as folder": tar_of(("a", b"1"), ("a/b", b"2")),
    "tar symlink": tar_of(("ok", b"1"), special(tarfile.SYMTYPE)),
    "tar symlink inside": tar_of(("ok", b"1"), special(tarfile.SYMTYPE, linkname="ok")),
    "tar symlink, then file": tar_of(special(tarfile.SYMTYPE, "d", "../canary"), ("d/x", b"x")),
    "tar hard link": tar_of(("ok", b"1"), special(tarfile.LNKTYPE)),
    "tar device": tar_of(special(tarfile.CHRTYPE)),
    "tar block device": tar_of(special(tarfile.BLKTYPE)),
    "tar fifo": tar_of(special(tarfile.FIFOTYPE)),
    "tar sparse": tar_of(special(tarfile.GNUTYPE_SPARSE)),
    "tar bomb": gzip.compress(tar_of(("a", bytes(3 << 20)))),
    "tar bomb after the end": gzip.compress(tar_of(("a", b"1")) + bytes(3 << 20)),
    "tar bomb of a header": gzip.compress(tar_of(("a/" * (9 << 20), b""))),
    **{
        f"zip {name!r}": zip_of(("ok", b"1"), (name, b"x"))
        for name in ("../canary/x", "/tmp/x", "a/../../canary/x", "a\\..\\x", "C:\\x")
    },
    "zip NUL": patched(zip_of(("ok", b"1"), ("a_b", b"x")), b"a_b", b"a\0b"),
    "zip twice": patched(zip_of(("a1", b"1"), ("a2", b"2")), b"a2", b"a1"),
    "zip symlink": zip_of(("ok", b"1"), ("a", b"../canary/x", SYMLINK)),
    "zip symlink, then file": zip_of(("d", b"../canary", SYMLINK), ("d/x", b"x")),
    "zip fifo": zip_of(("a", b"", 0o10644)),
    "zip bomb": zip_of(("a", bytes(3 << 20))),
    "zip encrypted": patched(
        zip_of(("a", b"x")), b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"
    ),
}


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A folder beside the target that must not change."""
    monkeypatch.setattr(_archive, "SLACK", 1 << 20)
    monkeypatch.setattr(_archive, "RATIO", 10)
    (tmp_path / "canary").mkdir()
    (tmp_path / "canary" / "x").write_text("alive")
    yield tmp_path
    assert tree(tmp_path / "canary").keys() == {"x"}
    assert (tmp_path / "canary" / "x").read_text() == "alive"


@pytest.mark.parametrize("kind", BAD_ARCHIVES)
def test_archives_that_are_refused(canary, kind):
    (canary / "archive").write_bytes(BAD_ARCHIVES[kind])
    with pytest.raises(ValueError, match="Refused to unpack"):
        extract(canary / "archive", canary / "out")
    assert sorted(p.name for p in canary.iterdir()) == ["archive", "canary"]


def test_a_header_is_not_read_into_memory_whatever_its_size(canary, monkeypatch):
    monkeypatch.setattr(_archive, "SLACK", 1 << 30)
    (canary / "archive").write_bytes(BAD_ARCHIVES["tar bomb of a header"])
    with pytest.raises(ValueError, match="a header is larger than 16 MiB"):
        extract(canary / "archive", canary / "out")


def broken():
    for kind in ("tar", "gz", "bz2", "xz", "zip"):
        data = ARCHIVES[kind]
        yield f"{kind} cut", data[: min(len(data) * 2 // 3, 2000)]
    flipped = bytearray(ARCHIVES["tar"])
    flipped[1536 + 10] ^= 1  # in the header of the second member
    yield "tar with a broken header", bytes(flipped)
    yield "tar without an end", ARCHIVES["tar"][:3072]
    yield "gz checksum", ARCHIVES["gz"][:-8] + b"12345678"
    yield "zip checksum", ARCHIVES["zip"].replace(ARCHIVES["zip"][14:18], b"\1\2\3\4")
    yield "nothing", b""
    yield "text", b"no archive at all"


@pytest.mark.parametrize(
    "kind, data", list(broken()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_archives_that_are_damaged(canary, kind, data):
    (canary / "archive").write_bytes(data)
    with pytest.raises(ValueError, match=r"is damaged|is no archive"):
        extract(canary / "archive", canary / "out")
    assert sorted(p.name for p in canary.iterdir()) == ["archive", "canary"]


def test_random_damage_gives_the_files_or_an_error(canary):
    dice, wrong = random.Random(0), 0
    for turn in range(200):
        kind = dice.choice(["gz", "bz2", "xz", "zip"])
        data = bytearray(ARCHIVES[kind])
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        (canary / "archive").write_bytes(data)
        out = canary / f"out{turn}"
        try:
            extract(canary / "archive", out)
        except ValueError:
            wrong += 1
            assert not out.exists()
        else:  # a name or a date may change without notice, what is in a file may not
            assert set(p.read_bytes() for p in tree(out).values()) <= {b for _, b in GOOD}
    assert wrong > 100


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_a_link_in_the_target_is_not_followed(canary):
    (canary / "archive").write_bytes(tar_of(("d/x", b"dead")))
    (canary / "out").mkdir()
    (canary / "out" / "d").symlink_to(canary / "canary")
    with pytest.raises(ValueError, match="a link that leads out of the target"):
        extract(canary / "archive", canary / "out")


@pytest.mark.parametrize(
    "kwargs, folder",
    [
        ({"fname": "set.tar.gz", "extract": True}, "set_extracted"),
        ({"fname": "set", "untar": True}, "set"),
        ({"extract": True, "archive_format": ["zip", "tar"]}, "archive.tgz"),
    ],
)
def test_get_file_unpacks_once(server, cache, kwargs, folder):
    server.files["archive.tgz"] = ARCHIVES["gz"]
    for _ in range(2):
        path = Path(get_file(origin=server.url + "archive.tgz", **kwargs))
        assert path == cache / folder
        assert tree(path).keys() == {name for name, _ in GOOD}
        inode = (path / "c").stat().st_ino
    get_file(origin=server.url + "archive.tgz", **kwargs)
    assert (path / "c").stat().st_ino == inode and len(server.paths) == 1
    server.files["archive.tgz"] = tar_of(("c", b"new"))
    get_file(origin=server.url + "archive.tgz", force_download=True, **kwargs)
    assert (path / "c").read_bytes() == b"new"


def test_get_file_refuses_what_is_no_archive(server, cache):
    for kwargs in ({}, {"archive_format": None}, {"archive_format": "zip"}):
        with pytest.raises(ValueError, match="is no archive of the kind"):
            get_file("x", server.url + "data.bin", extract=True, **kwargs)
    assert not (cache / "x").exists()
