"""The data sets: values against live Keras and torchvision, places, downloads, bad files."""

import gzip
import hashlib
import importlib
import inspect
import io
import pickle
import sys
import tarfile
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
import torchvision

from lightkeras import config, datasets
from lightkeras.datasets import _files, _idx, imdb
from lightkeras.utils import _download

KERAS_SETS = [name for name in datasets.__all__ if name != "digits"]
FUNCTIONS = [(name, "load_data") for name in KERAS_SETS]
FUNCTIONS += [(name, "get_word_index") for name in ("imdb", "reuters")]
FUNCTIONS += [("reuters", "get_label_names")]


@pytest.mark.parametrize("name, function", FUNCTIONS)
def test_signatures(name, function):
    ours, theirs = (getattr(getattr(m, name), function) for m in (datasets, keras.datasets))
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))


def oracle(name, monkeypatch, path):
    """Keras's own `load_data`, reading the file or folder `path`."""
    module = importlib.import_module(f"keras.src.datasets.{name}")
    monkeypatch.setattr(module, "get_file", lambda *args, **kwargs: str(path))
    return module.load_data


def same(ours, theirs):
    """Equal in all four arrays, types and shapes included; lists inside object arrays too."""
    for a, b in zip(sum(ours, ()), sum(theirs, ()), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert (a.tolist() == b.tolist()) if a.dtype == object else np.array_equal(a, b)
        assert a.flags.writeable


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty LIGHTKERAS_HOME, and no network."""
    monkeypatch.setenv("LIGHTKERAS_HOME", str(tmp_path))

    def no_network(url, *args):
        raise ConnectionError(f"tried to fetch {url}")

    monkeypatch.setattr(_download, "_download", no_network)
    return tmp_path


# ---- the digits that come with the package ------------------------------------------------------


def test_digits():
    (x_train, y_train), (x_test, y_test) = datasets.digits.load_data()
    assert x_train.shape == (1437, 8, 8) and x_test.shape == (360, 8, 8)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype("uint8")}
    for y in (y_train, y_test):
        assert np.bincount(y, minlength=10).min() >= 0.07 * len(y)
    # The first two rows of this order, as ink per row of pixels: it may never change.
    assert x_train[0].sum(1).tolist() == X_0 and y_train[:10].tolist() == Y_10


X_0 = [22, 30, 29, 27, 28, 31, 32, 27]
Y_10 = [1, 0, 9, 1, 1, 2, 3, 0, 0, 1]


def test_digits_are_those_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.datasets")
    digits = sklearn.load_digits()
    file = Path(datasets.__file__).with_name("digits.npz")
    with np.load(file, allow_pickle=False) as ours:
        assert np.array_equal(ours["images"], digits.images)
        assert np.array_equal(ours["labels"], digits.target)
    assert file.stat().st_size < 50_000
    text = file.with_name("digits_LICENSE.txt").read_text()
    assert "CC BY 4.0" in text and "10.24432/C50P49" in text and "Kaynak" in text


# ---- the real files -----------------------------------------------------------------------------


def test_mnist(data_home):
    (x_train, y_train), (x_test, y_test) = datasets.mnist.load_data()
    assert x_train.shape == (60000, 28, 28) and x_test.shape == (10000, 28, 28)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype("uint8")}
    assert abs(x_train.mean() / 255 - 0.1307) < 1e-4
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(y_train).tolist() == train and np.bincount(y_test).tolist() == test


def test_mnist_unpacked_is_read_by_torchvision(data_home, tmp_path, monkeypatch):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in _idx.NAMES:
        (raw / name).write_bytes(gzip.decompress((data_home / f"MNIST/raw/{name}.gz").read_bytes()))
    archives = datasets.mnist.load_data()
    monkeypatch.setenv("LIGHTKERAS_HOME", str(tmp_path))
    same(datasets.mnist.load_data(), archives)
    (raw / _idx.NAMES[0]).write_bytes(b"\0\0\x08\3")
    with pytest.raises(ValueError, match="is damaged or not the data set"):
        datasets.mnist.load_data()


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_cifar10(data_home, monkeypatch, layout):
    monkeypatch.setattr(config, "_image_data_format", layout)
    monkeypatch.setattr(keras.config, "image_data_format", lambda: layout)
    monkeypatch.setattr("keras.src.backend.image_data_format", lambda: layout)
    ours = datasets.cifar10.load_data()
    same(ours, oracle("cifar10", monkeypatch, data_home)())
    assert np.bincount(ours[1][1][:, 0]).tolist() == [1000] * 10
    if layout == "channels_last":
        theirs = torchvision.datasets.CIFAR10(data_home, train=False, download=False)
        assert np.array_equal(ours[1][0], theirs.data)


def test_imdb(data_home, monkeypatch):
    ours = imdb.load_data(num_words=20000)
    same(ours, oracle("imdb", monkeypatch, data_home / "imdb.npz")(num_words=20000))
    (x_train, y_train), (x_test, y_test) = ours
    assert len(x_train) == len(x_test) == 25000 and y_train.sum() == y_test.sum() == 12500
    lengths = [np.array([len(x) for x in xs]) for xs in (x_train, x_test)]
    assert lengths[0].mean() == 238.71364 and lengths[0].max() == 2494
    assert lengths[1].mean() == 230.8042 and lengths[1].max() == 2315
    assert x_train[0][:8] == [1, 14, 22, 16, 43, 530, 973, 1622]
    assert y_train[:5].tolist() == [1, 0, 0, 1, 0]
    index = imdb.get_word_index()
    assert len(index) == 88584 and index["the"] == 1 and index["film"] + 3 == x_train[0][5] - 508


HOUSING = [{}, {"test_split": 0.0}, {"test_split": 0.37, "seed": 1}, {"seed": None}]


@pytest.mark.parametrize("kwargs", HOUSING[:3])
def test_boston_housing(data_home, monkeypatch, kwargs):
    ours = datasets.boston_housing.load_data(**kwargs)
    same(ours, oracle("boston_housing", monkeypatch, data_home / "boston_housing.npz")(**kwargs))
    if not kwargs:
        assert ours[0][1][:5].tolist() == [15.2, 42.3, 50.0, 21.1, 17.7]
        assert ours[0][0].shape == (404, 13) and ours[1][0].shape == (102, 13)


@pytest.mark.parametrize("version", ["small", "large"])
@pytest.mark.parametrize("kwargs", HOUSING[:3])
def test_california_housing(data_home, monkeypatch, version, kwargs):
    load = oracle("california_housing", monkeypatch, data_home / "california_housing.npz")
    same(datasets.california_housing.load_data(version, **kwargs), load(version, **kwargs))


# ---- words: every argument, on a small file -----------------------------------------------------

WORDS = [
    {},
    {"num_words": 20},
    {"num_words": 20, "skip_top": 5},
    {"skip_top": 8, "oov_char": None},
    {"num_words": 15, "oov_char": None, "start_char": None},
    {"start_char": None},
    {"start_char": None, "index_from": 0},
    {"start_char": 0, "index_from": 10, "oov_char": 7},
    {"maxlen": 12, "num_words": 25},
    {"maxlen": 9, "start_char": None},
    {"maxlen": 12, "oov_char": None, "skip_top": 3},
    {"seed": 7, "num_words": 0},
]


def write_words(path, *names):
    """An npz with object arrays of lists of ranks, in the way of the published files."""
    dice, arrays = np.random.RandomState(0), {}
    for name in names:
        lists = [dice.randint(1, 40, dice.randint(3, 20)).tolist() for _ in range(60)]
        arrays[f"x{name}"] = np.array(lists, dtype=object)
        arrays[f"y{name}"] = dice.randint(0, 2, 60)
    np.savez_compressed(path, **arrays)


@pytest.mark.parametrize("kwargs", WORDS)
@pytest.mark.parametrize("name", ["imdb", "reuters"])
def test_words(home, monkeypatch, name, kwargs):
    parts = ("_train", "_test") if name == "imdb" else ("",)
    write_words(home / f"{name}.npz", *parts)
    ours = getattr(datasets, name).load_data(**kwargs)
    same(ours, oracle(name, monkeypatch, home / f"{name}.npz")(**kwargs))


def test_reuters_split_and_names(home, monkeypatch):
    write_words(home / "reuters.npz", "")
    load = oracle("reuters", monkeypatch, home / "reuters.npz")
    same(datasets.reuters.load_data(test_split=0.5), load(test_split=0.5))
    assert datasets.reuters.get_label_names() == keras.datasets.reuters.get_label_names()
    (home / "reuters_word_index.json").write_text('{"the": 1, "\\u00e9": 2}')
    assert datasets.reuters.get_word_index() == {"the": 1, "é": 2}


def test_old_and_wrong_arguments(home):
    write_words(home / "imdb.npz", "_train", "_test")
    with pytest.warns(UserWarning, match="'nb_words' is an old Keras spelling"):
        old = imdb.load_data(nb_words=20)
    same(old, imdb.load_data(num_words=20))
    with pytest.raises(TypeError, match=r"'num_word'\. Did you mean 'num_words'"):
        imdb.load_data(num_word=20)
    with pytest.raises(ValueError, match="maxlen=1, and no text is shorter"):
        imdb.load_data(maxlen=1)
    for name in ("boston_housing", "california_housing", "reuters"):
        for split in (1, -0.1, "half"):
            with pytest.raises(ValueError, match="A fraction from 0 to below 1"):
                getattr(datasets, name).load_data(test_split=split)
    with pytest.raises(ValueError, match=r"Unknown version 'smal'\. Did you mean 'small'"):
        datasets.california_housing.load_data("smal")
    with pytest.raises(ValueError, match=r"Unknown label_mode 'fin'\. Did you mean 'fine'"):
        datasets.cifar100.load_data("fin")


# ---- places -------------------------------------------------------------------------------------


def boston(path, n=10):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x=np.full((n, 13), float(n)), y=np.full(n, float(n)))


def test_where_files_are_looked_for(home, monkeypatch):
    load = datasets.boston_housing.load_data
    with pytest.raises(ConnectionError, match=r"tried to fetch https://.*boston_housing\.npz"):
        load()
    boston(home / "boston_housing.npz", 10)
    assert load()[0][1][0] == 10
    boston(home / "datasets" / "boston_housing.npz", 20)
    assert load()[0][1][0] == 20  # where downloads go comes first
    boston(home / "mine.npz", 30)
    assert load("mine.npz")[0][1][0] == 30
    boston(home / "elsewhere" / "b.npz", 40)
    for path in (home / "elsewhere" / "b.npz", str(home / "elsewhere" / "b.npz")):
        assert load(path)[0][1][0] == 40
    monkeypatch.chdir(home / "elsewhere")
    assert load("./b.npz")[0][1][0] == 40
    with pytest.raises(ConnectionError):
        load("b.npz")  # a bare name is one in the cache, as in Keras


def test_mnist_npz(home):
    arrays = {f"x_{s}": np.zeros((4, 28, 28), "uint8") for s in ("train", "test")}
    arrays |= {f"y_{s}": np.arange(4, dtype="uint8") for s in ("train", "test")}
    np.savez(home / "mnist.npz", **arrays)
    same(datasets.mnist.load_data(), ((arrays["x_train"], arrays["y_train"]),) * 2)
    assert datasets.mnist.load_data(home / "mnist.npz")[0][0].shape == (4, 28, 28)


def test_the_default_home(monkeypatch):
    monkeypatch.delenv("LIGHTKERAS_HOME", raising=False)
    assert _files.roots() == (Path.home() / ".lightkeras" / "datasets", Path.home() / ".lightkeras")


# ---- downloads ----------------------------------------------------------------------------------


@pytest.fixture
def origin(home, monkeypatch):
    """{file name: bytes} that stands for the network; the requested addresses in `asked`."""
    files, asked = {}, []

    def download(url, target, digest):
        asked.append(url)
        data = files[url.rpartition("/")[2]]
        assert hashlib.new(digest[0], data).hexdigest() == digest[1]
        with _download.replaced(target) as file:
            file.write(data)

    monkeypatch.setattr(_download, "_download", download)
    files["asked"] = asked
    return files


def idx(array):
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return b"\0\0\x08" + bytes([array.ndim]) + sizes + array.tobytes()


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_sets_are_fetched_and_unpacked(origin, home, monkeypatch, name):
    dice = np.random.RandomState(0)
    arrays = [dice.randint(0, 256, s).astype("uint8") for s in ((9, 28, 28), 9, (3, 28, 28), 3)]
    packed = [gzip.compress(idx(array)) for array in arrays]
    origin.update({f"{n}.gz": data for n, data in zip(_idx.NAMES, packed, strict=True)})
    module = getattr(datasets, name)
    monkeypatch.setattr(module, "_ARCHIVES", [hashlib.sha256(d).hexdigest() for d in packed])
    expected = (tuple(arrays[:2]), tuple(arrays[2:]))
    for _ in range(2):
        same(module.load_data(), expected)
    assert len(origin["asked"]) == 4 and {u[:8] for u in origin["asked"]} == {"https://"}
    kind = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[name]
    theirs = getattr(torchvision.datasets, kind)(home / "datasets", download=False)
    assert torch.equal(theirs.data, torch.from_numpy(arrays[0]))
    for n in _idx.NAMES:  # only the archives: read as they are
        (home / "datasets" / kind / "raw" / n).unlink()
    same(module.load_data(), expected)
    assert len(origin["asked"]) == 4


def cifar_files(n_train, keys):
    """{name: bytes} of batches in the way of the published files."""
    dice, batches = np.random.RandomState(0), {}
    for name, n in n_train.items():
        batch = {b"data": dice.randint(0, 256, (n, 3072)).astype("uint8"), b"batch_label": b"x"}
        batch |= {key: dice.randint(0, 10, n).tolist() for key in keys}
        batches[name] = pickle.dumps(batch, protocol=3)
    return batches


CIFAR = {
    "cifar10": ({**{f"data_batch_{i}": 4 for i in range(1, 6)}, "test_batch": 3}, [b"labels"]),
    "cifar100": ({"train": 8, "test": 3}, [b"fine_labels", b"coarse_labels"]),
}


@pytest.fixture(params=CIFAR)
def cifar(request, origin, monkeypatch):
    """A CIFAR set with few rows, and the module that reads it."""
    module = getattr(datasets, request.param)
    batches = cifar_files(*CIFAR[request.param])
    md5s = {name: hashlib.md5(data).hexdigest() for name, data in batches.items()}
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, data in batches.items():
            info = tarfile.TarInfo(f"{module._FOLDER}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    monkeypatch.setattr(module, "_SHA256", hashlib.sha256(file.getvalue()).hexdigest())
    monkeypatch.setattr(module, "_TEST", {n: md5s[n] for n in module._TEST})
    monkeypatch.setattr(module, "_TRAIN", {n: md5s[n] for n in module._TRAIN})
    origin[module._URL.rpartition("/")[2]] = file.getvalue()
    return module


def test_cifar_is_fetched_and_unpacked(cifar, origin, home, monkeypatch):
    same_arguments = [()] if cifar is datasets.cifar10 else [(), ("fine",), ("coarse",)]
    for arguments in same_arguments:
        ours = cifar.load_data(*arguments)
        if cifar is datasets.cifar100:  # Keras's cifar10 knows its number of rows
            theirs = oracle("cifar100", monkeypatch, home / "datasets")(*arguments)
            same(ours, theirs)
        assert ours[0][0].shape[1:] == (32, 32, 3) and ours[0][1].shape == (len(ours[0][0]), 1)
    assert len(origin["asked"]) == 1
    folder = home / "datasets" / cifar._FOLDER
    missing = next(folder.iterdir())
    missing.unlink()  # as after a kill: unpacked again, not fetched again
    cifar.load_data()
    assert missing.exists() and len(origin["asked"]) == 1


def test_cifar_is_checked(cifar, home):
    cifar.load_data()
    path = home / "datasets" / cifar._FOLDER / next(iter(cifar._TEST))
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"MD5 is .*{cifar._TEST[path.name]}"):
        cifar.load_data()


# ---- bad files ----------------------------------------------------------------------------------


class Inert:
    """Pickled by a name that the reader does not know; nothing happens when it is loaded."""

    def __init__(self, module, name):
        self.what = module, name

    def dump(self, protocol=0):
        module, name = self.what
        return f"c{module}\n{name}\n(tR.".encode()


@pytest.mark.parametrize(
    "module, name",
    [("colorsys", "rgb_to_hsv"), ("inert_module", "Thing"), ("builtins", "list"), ("numpy", "load")]
    + [("numpy", "frombuffer"), ("numpy.core.multiarray", "ndarray.tofile")],
)
def test_a_pickle_may_name_nothing_but_arrays(module, name):
    sys.modules.pop("colorsys", None)
    with pytest.raises(ValueError, match=r"its pickle names .*, only NumPy arrays are read"):
        _files.unpickle(Inert(module, name).dump())
    assert "colorsys" not in sys.modules and "inert_module" not in sys.modules


@pytest.mark.parametrize(
    "value, text",
    [
        (np.zeros(3, "float64"), "an array of type"),
        (np.array(["a"]), "an array of type"),
        (np.array([{"a": 1}, [2]], dtype=object), "something besides lists of integers"),
        (np.array([[1, "2"], [3]], dtype=object), "something besides lists of integers"),
        (np.array([[[1]], [2, 3]], dtype=object), "something besides lists of integers"),
    ],
)
def test_a_pickle_may_hold_nothing_but_bytes_and_lists(value, text):
    for protocol in (3, 4):
        with pytest.raises(ValueError, match=text):
            _files.unpickle(pickle.dumps(value, protocol=protocol))


@pytest.mark.parametrize("protocol", [3, 4])
def test_pickles_that_are_read(protocol):
    lists = np.array([[1, 2], [3], []], dtype=object)
    equal = lists.copy()
    equal[1], equal[2] = [4, 5], [6, 7]  # no matrix, though it could be one
    for order in "CF":
        numbers = np.asarray(np.arange(6, dtype="uint8").reshape(2, 3), order=order)
        assert np.array_equal(_files.unpickle(pickle.dumps(numbers, protocol=protocol)), numbers)
    for array in (lists, equal):
        read = _files.unpickle(pickle.dumps(array, protocol=protocol))
        assert read.shape == (3,) and read.tolist() == array.tolist()


def test_a_pickle_cannot_ask_for_memory():
    good = pickle.dumps(np.zeros(3, "uint8"), protocol=3)
    assert good.count(b"K\x03\x85") == 1  # the shape (3,)
    for shape in (b"J\xff\xff\xff\x7f", b"J\xff\xff\xff\xff"):
        with pytest.raises(ValueError, match=r"reshape|has the shape"):
            _files.unpickle(good.replace(b"K\x03\x85", shape + b"\x85"))


def test_broken_pickles_are_value_errors():
    good = pickle.dumps({b"data": np.zeros((2, 3), "uint8"), b"labels": [1, 2]}, protocol=3)
    dice, refused = np.random.RandomState(0), 0
    for _ in range(500):
        data = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            data[dice.randint(len(data))] = dice.randint(256)
        try:
            _files.unpickle(bytes(data[: dice.randint(10, 2 * len(data))]))
        except ValueError:
            refused += 1
    assert refused > 300


def npy(array, descr=None, shape=None):
    """Bytes of an `.npy` file whose header may lie."""
    file = io.BytesIO()
    header = {
        "descr": descr or np.lib.format.dtype_to_descr(array.dtype),
        "fortran_order": False,
        "shape": shape or array.shape,
    }
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + array.tobytes()


def npz(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


X, Y = npy(np.ones((4, 13))), npy(np.ones(4))
BAD_NPZ = {
    "empty": b"",
    "text": b"not a zip file",
    "cut": npz(x=X, y=Y)[:-30],
    "no y": npz(x=X),
    "flipped": npz(x=X, y=Y).replace(X[-8:], b"01234567"),
    "huge shape": npz(x=npy(np.ones(4), shape=(1 << 60, 13)), y=Y),
    "wrong shape": npz(x=npy(np.ones(4), shape=(5,)), y=Y),
    "negative shape": npz(x=npy(np.ones(4), shape=(-4,)), y=Y),
    "object": npz(x=npy(np.ones(0), "|O", (1,)) + Inert("colorsys", "rgb_to_hsv").dump(), y=Y),
    "no header": npz(x=b"\x93NUMPY\1\0", y=Y),
    "other version": npz(x=b"\x93NUMPY\7\0" + bytes(100), y=Y),
    "code as header": npz(x=npy(np.ones(4)).replace(b"False", b"f()  "), y=Y),
}


@pytest.mark.parametrize("kind", BAD_NPZ)
def test_npz_files_that_are_refused(home, kind):
    (home / "boston_housing.npz").write_bytes(BAD_NPZ[kind])
    with pytest.raises(ValueError, match=r"is damaged or not the data set \(.*Delete it"):
        datasets.boston_housing.load_data()


def test_a_member_that_claims_too_much(home, monkeypatch):
    monkeypatch.setattr(_files, "MAX_MEMBER", 100)
    (home / "boston_housing.npz").write_bytes(npz(x=X, y=Y))
    with pytest.raises(ValueError, match="x claims 544 bytes"):
        datasets.boston_housing.load_data()


BAD_IDX = {
    "no gzip": b"text",
    "cut": gzip.compress(idx(np.zeros((4, 28, 28), "uint8")))[:-12],
    "bomb": gzip.compress(bytes(200_000)),
    "empty": gzip.compress(b""),
    "other type": gzip.compress(b"\0\0\x0d\1\0\0\0\1abcd"),
    "wrong size": gzip.compress(idx(np.zeros(4, "uint8")) + b"x"),
    "huge size": gzip.compress(b"\0\0\x08\2" + b"\xff" * 8),
    "short header": gzip.compress(b"\0\0\x08\3\0\0"),
}


@pytest.mark.parametrize("kind", BAD_IDX)
def test_idx_files_that_are_refused(home, monkeypatch, kind):
    monkeypatch.setattr(_idx, "MAX_BYTES", 100_000)
    raw = home / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in _idx.NAMES:
        (raw / f"{name}.gz").write_bytes(gzip.compress(idx(np.zeros((2, 28, 28), "uint8"))))
    (raw / f"{_idx.NAMES[1]}.gz").write_bytes(BAD_IDX[kind])
    with pytest.raises(ValueError, match="is damaged or not the data set"):
        datasets.mnist.load_data()


def test_idx_files_that_do_not_belong_together(home):
    raw = home / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, count in zip(_idx.NAMES, [2, 3, 2, 2], strict=True):
        array = np.zeros((count, 28, 28) if "images" in name else count, "uint8")
        (raw / name).write_bytes(idx(array))
    with pytest.raises(ValueError, match=r"MNIST.raw.* \(2 images, 3 labels\)"):
        datasets.mnist.load_data()
    for name in _idx.NAMES:
        (raw / f"{name}.gz").write_bytes(gzip.compress((raw / name).read_bytes()))
        (raw / name).unlink()
    with pytest.raises(ValueError, match=r"\(2 images, 3 labels\)"):
        datasets.mnist.load_data()


@pytest.mark.parametrize("text", ["", "[1]", '{"a": "b"}', "{" * 5000, '{"a": 1', "[" * 200_000])
def test_word_tables_that_are_refused(home, text):
    (home / "imdb_word_index.json").write_text(text)
    with pytest.raises(ValueError, match="is damaged or not the data set"):
        imdb.get_word_index()
