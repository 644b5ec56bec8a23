"""to_categorical, normalize, pad_sequences, images, seeds: against live Keras, and refusals."""

import inspect
import io
import random

import keras
import numpy as np
import pytest
import torch
from PIL import Image

from lightkeras import preprocessing, utils

NAMES = ["array_to_img", "get_file", "img_to_array", "load_img", "normalize", "pad_sequences"]
NAMES += ["save_img", "set_random_seed", "to_categorical"]


@pytest.mark.parametrize("name", NAMES)
def test_signatures(name):
    ours, theirs = (inspect.signature(getattr(m.utils, name)) for m in (_Ours, keras))
    assert str(ours).replace(", **older", "") == str(theirs)


class _Ours:
    utils = utils


def test_the_paths_of_keras():
    assert preprocessing.sequence.pad_sequences is utils.pad_sequences
    for name in ("array_to_img", "img_to_array", "load_img", "save_img"):
        assert getattr(preprocessing.image, name) is getattr(utils, name)
    assert utils.np_utils.to_categorical is utils.to_categorical


def same(ours, theirs):
    assert type(ours) is type(theirs)
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    np.testing.assert_array_equal(ours, theirs)


# ---- to_categorical -----------------------------------------------------------------------------

LABELS = {
    "list": [0, 2, 1],
    "nested": [[0, 1], [2, 0]],
    "column": np.array([[1], [0], [3]]),
    "uint8": np.array([1, 0, 3], "uint8"),
    "whole floats": np.array([1.0, 0.0]),
    "bool": np.array([True, False]),
    "scalar": 2,
    "strings of digits": np.array(["1", "0"]),
    "objects": np.array([1, 0, 2], dtype=object),
    "one": [3],
    "one column": [[3]],
    "zeros": [0, 0],
}


@pytest.mark.parametrize("classes", [None, 4, 7])
@pytest.mark.parametrize("kind", LABELS)
def test_to_categorical(kind, classes):
    x = LABELS[kind]
    same(utils.to_categorical(x, classes), keras.utils.to_categorical(x, classes))


def test_to_categorical_of_nothing():
    same(utils.to_categorical([], 3), keras.utils.to_categorical([], 3))
    with pytest.raises(ValueError, match="got no labels"):
        utils.to_categorical([])


@pytest.mark.parametrize("shape", [(5,), (5, 1), (2, 3), (2, 3, 1)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.float32])
def test_to_categorical_of_tensors(shape, dtype):
    x = torch.arange(int(np.prod(shape))).reshape(shape).to(dtype) % 4
    ours, theirs = utils.to_categorical(x, 4), keras.utils.to_categorical(x, 4)
    assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    assert torch.equal(utils.to_categorical(x), ours)  # Keras needs the number of classes


BAD_LABELS = [
    ([0, 3], 3, "got the label 3 (at index 1) for 3 classes. Labels must be 0..2. Do they"),
    ([0, 3], 3, "Pass num_classes=4."),
    ([[0, 1], [9, 1]], 5, "got the label 9 (at index (1, 0)) for 5 classes"),
    ([0, -1], None, "got the label -1 (at index 1) for 1 classes"),
    ([2, -1], 3, "got the label -1 (at index 1) for 3 classes"),
    ([0.0, 1.7], 3, "got the label 1.7 (at index 1). Labels are integers"),
    ([0.0, float("nan")], 3, "got the label nan (at index 1)"),
    ([float("inf")], 3, "got the label inf (at index 0)"),
    (7, 3, "got the label 7"),
]


@pytest.mark.parametrize("x, classes, text", BAD_LABELS)
@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_to_categorical_refuses(x, classes, text, kind):
    with pytest.raises(ValueError) as caught:
        utils.to_categorical(kind(x), classes)
    assert text in str(caught.value)


def test_to_categorical_refuses_words_and_no_classes():
    with pytest.raises(ValueError, match=r"labels of dtype <U3.*Number them first"):
        utils.to_categorical(np.array(["cat", "dog"]))
    with pytest.raises(TypeError, match=r"num_classes=2\.5"):
        utils.to_categorical([0], 2.5)
    for count in (0, -1, True):
        with pytest.raises(ValueError, match=f"num_classes={count}. It must be at least 1"):
            utils.to_categorical([0], count)


# ---- normalize ----------------------------------------------------------------------------------


@pytest.mark.parametrize("axis, order", [(-1, 2), (1, 1), (1, np.inf), (2, 3), (None, 2)])
def test_normalize_arrays(axis, order):
    x = np.random.RandomState(0).randn(3, 4, 5)[: 3 if axis else 1]
    x = x if axis else x[0]
    x[0] = 0
    np.testing.assert_allclose(
        utils.normalize(x, axis, order), keras.utils.normalize(x, axis, order), rtol=1e-14
    )


def test_normalize_along_axis_0():
    x = np.random.RandomState(0).randn(3, 4)
    np.testing.assert_allclose(np.linalg.norm(utils.normalize(x, 0), axis=0), np.ones(4))


@pytest.mark.parametrize("axis, order", [(-1, 2), (0, 2), (1, 1), (0, 3), (None, 2)])
def test_normalize_tensors(axis, order):
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    x[:, 1], x[1] = 0, 0
    ours, theirs = utils.normalize(x, axis, order), keras.utils.normalize(x, axis, order)
    torch.testing.assert_close(ours, theirs)
    whole = torch.arange(6).reshape(2, 3)
    torch.testing.assert_close(utils.normalize(whole), keras.utils.normalize(whole))
    with pytest.raises(ValueError, match=r"order=0\.5"):
        utils.normalize(x, order=0.5)


# ---- pad_sequences ------------------------------------------------------------------------------

SEQUENCES = {
    "lists": [[1], [2, 3], [4, 5, 6], [7, 8, 9, 10]],
    "with an empty one": [[], [1, 2], [3]],
    "all empty": [[], []],
    "arrays": [np.array([1, 2]), np.array([3], "int64")],
    "matrix": np.arange(6).reshape(2, 3),
    "object array": np.array([[1], [2, 3]], dtype=object),
    "steps of two": [[[1, 2]], [[3, 4], [5, 6]]],
    "whole floats": [[1.0, 2.0], [3.0]],
    "tuples": ((1, 2), (3,)),
}


@pytest.mark.parametrize("maxlen", [None, 1, 2, 5])
@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("kind", SEQUENCES)
def test_pad_sequences(kind, maxlen, padding, truncating):
    x, kwargs = SEQUENCES[kind], {"padding": padding, "truncating": truncating}
    same(utils.pad_sequences(x, maxlen, **kwargs), keras.utils.pad_sequences(x, maxlen, **kwargs))


@pytest.mark.parametrize(
    "x, dtype, value",
    [
        ([[0.5], [1.5, 2.5]], "float32", -1.0),
        ([[1], [2, 3]], "int64", 9),
        ([[1], [2, 3]], np.uint8, 255),
        ([[1], [2, 3]], "float64", np.nan),
        ([["a"], ["bc", "def"]], object, "pad"),
        ([["a"], ["bc", "def"]], "<U4", "pad"),
        ([[True], [False, True]], "bool", 0),
    ],
)
def test_pad_sequences_types(x, dtype, value):
    same(
        utils.pad_sequences(x, dtype=dtype, value=value),
        keras.utils.pad_sequences(x, dtype=dtype, value=value),
    )


def test_pad_sequences_to_length_0():
    assert utils.pad_sequences([[1, 2], [3]], maxlen=0).shape == (2, 0)
    assert utils.pad_sequences([], maxlen=3).shape == (0, 3)


BAD_SEQUENCES = [
    (([[1]],), {"padding": "pst"}, ValueError, "Unknown padding 'pst'. Did you mean 'post'?"),
    (([[1]],), {"truncating": "left"}, ValueError, "Unknown truncating 'left'."),
    (([1, 2],), {}, ValueError, "got a int at position 0 where a sequence should be"),
    ((iter([[1]]),), {}, ValueError, "Wrap a generator in list(...)"),
    (([],), {}, ValueError, "got no sequences"),
    (([[1]], 2.5), {}, TypeError, "got maxlen=2.5"),
    (([[1]], -1), {}, ValueError, "got maxlen=-1"),
    (([[1]],), {"value": "x"}, ValueError, "Pass dtype=object"),
    (([[1]],), {"value": 0.5}, ValueError, "got value=0.5, but the result has dtype int32"),
    (([[1]],), {"value": np.nan}, ValueError, "got value=nan"),
    (([[1], [0.5]],), {}, ValueError, "got fractions at position 1, but the result has dtype"),
    (([[[1, 2]], [[1]]],), {}, ValueError, "steps of shape (1,) at position 1, those before"),
]


@pytest.mark.parametrize("args, kwargs, error, text", BAD_SEQUENCES)
def test_pad_sequences_refuses(args, kwargs, error, text):
    with pytest.raises(error) as caught:
        utils.pad_sequences(*args, **kwargs)
    assert text in str(caught.value)


# ---- images -------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("layout", [None, "channels_first", "channels_last"])
@pytest.mark.parametrize("scale", [True, False])
def test_arrays_and_images(channels, layout, scale):
    x = np.random.RandomState(0).uniform(0, 250, (4, 5, channels))
    x = x.transpose(2, 0, 1) if layout == "channels_first" else x
    ours = utils.array_to_img(x, layout, scale)
    theirs = keras.utils.array_to_img(x, layout, scale)
    assert ours.mode == theirs.mode
    same(np.asarray(ours), np.asarray(theirs))
    same(utils.img_to_array(ours, layout), keras.utils.img_to_array(ours, layout))
    same(utils.img_to_array(ours, layout, "uint8"), keras.utils.img_to_array(ours, layout, "uint8"))


def test_more_shapes_of_images():
    grey = np.arange(12.0).reshape(3, 4, 1) * 100
    assert utils.array_to_img(grey, scale=False).mode == "I"
    flat = utils.array_to_img(np.full((2, 2, 3), 7.0))
    assert np.asarray(flat).max() == 0  # nothing to stretch, as in Keras
    same(
        np.asarray(utils.array_to_img(torch.from_numpy(grey))), np.asarray(utils.array_to_img(grey))
    )
    with pytest.raises(ValueError, match=r"got shape \(2, 3\).*One picture"):
        utils.array_to_img(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"Take x\[0\] from a batch"):
        utils.array_to_img(np.zeros((1, 2, 3, 3)))
    with pytest.raises(ValueError, match="2 or 3 axes"):
        utils.img_to_array(np.zeros((1, 2, 3, 3)))
    with pytest.raises(ValueError, match="Did you mean 'channels_last'"):
        utils.img_to_array(flat, "channel_last")


@pytest.fixture
def picture(tmp_path):
    x = np.random.RandomState(0).randint(0, 256, (12, 20, 3)).astype("uint8")
    Image.fromarray(x).save(tmp_path / "x.png")
    return tmp_path / "x.png"


@pytest.mark.parametrize("mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize("size", [None, (12, 20), (6, 6), (30, 7)])
@pytest.mark.parametrize("keep", [False, True])
def test_load_img(picture, mode, size, keep):
    kwargs = {"color_mode": mode, "target_size": size, "keep_aspect_ratio": keep}
    ours, theirs = utils.load_img(picture, **kwargs), keras.utils.load_img(picture, **kwargs)
    assert ours.mode == theirs.mode and ours.size == theirs.size
    same(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("how", ["bilinear", "bicubic", "hamming", "box", "lanczos"])
def test_load_img_interpolation(picture, how):
    ours, theirs = (
        np.asarray(m.utils.load_img(str(picture), target_size=(5, 9), interpolation=how))
        for m in (_Ours, keras)
    )
    same(ours, theirs)


def test_load_img_refuses(picture):
    assert utils.load_img(io.BytesIO(picture.read_bytes())).size == (20, 12)
    with pytest.raises(ValueError, match=r"Unknown color_mode .gray.\. Did you mean 'grayscale'"):
        utils.load_img(picture, color_mode="gray")
    with pytest.raises(ValueError, match="Did you mean 'bilinear'"):
        utils.load_img(picture, target_size=(3, 3), interpolation="bilinar")
    with pytest.raises(TypeError, match="array_to_img"):
        utils.load_img(np.zeros((2, 2, 3)))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.bmp"])
def test_save_img(tmp_path, name):
    x = np.random.RandomState(0).randint(0, 256, (6, 5, 3)).astype("uint8")
    utils.save_img(tmp_path / name, x, scale=False)
    keras.utils.save_img(tmp_path / f"k{name}", x, scale=False)
    same(*(np.asarray(Image.open(tmp_path / n)) for n in (name, f"k{name}")))
    file = io.BytesIO()
    utils.save_img(file, x, file_format="png", scale=False)
    same(np.asarray(Image.open(file)), x)


def test_save_img_drops_transparency_for_jpeg(tmp_path):
    with pytest.warns(UserWarning, match="no transparency"):
        utils.save_img(tmp_path / "a.jpg", np.zeros((3, 3, 4)))
    assert Image.open(tmp_path / "a.jpg").mode == "RGB"


# ---- seeds --------------------------------------------------------------------------------------


def test_set_random_seed():
    def draw(seed):
        utils.set_random_seed(seed)
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    assert draw(3) == draw(np.int64(3))
    assert all(a != b for a, b in zip(draw(3), draw(4), strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "7", None])
def test_set_random_seed_refuses(seed):
    with pytest.raises(ValueError, match="An integer from 0 to"):
        utils.set_random_seed(seed)
