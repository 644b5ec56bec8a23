"""Data sets made of folders and series: the files, splits and pictures of Keras, and mistakes."""

import wave

import keras
import numpy as np
import pytest
import torch
from keras.src.utils import dataset_utils
from PIL import Image

import lightkeras as lk
from lightkeras import layers, utils
from lightkeras.preprocessing.image import smart_resize
from lightkeras.utils._directories import index_directory


@pytest.fixture
def pictures(tmp_path):
    """Two classes of seven and five pictures of different sizes, one of them deeper down."""
    rng = np.random.default_rng(0)
    for name, count in (("dogs", 7), ("cats", 5)):
        (tmp_path / name / "more").mkdir(parents=True)
        for i in range(count):
            x = rng.integers(0, 256, (9 + i, 12 - i, 3), dtype=np.uint8)
            x[0, 0, 0] = 20 * i + (name == "cats")
            place = tmp_path / name / ("more" if i == 1 else ".")
            Image.fromarray(x).save(place / f"{i}.{'png' if i % 2 else 'bmp'}")
    (tmp_path / "cats" / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("labels", ["inferred", None, list(range(12))])
@pytest.mark.parametrize("split", [None, 0.2, 0.5])
def test_the_same_files_in_the_same_order_as_keras(pictures, shuffle, labels, split):
    formats = (".bmp", ".png")
    theirs = dataset_utils.index_directory(
        str(pictures), labels and labels[:], formats, shuffle=shuffle, seed=5, verbose=False
    )
    mine = index_directory(pictures, labels, formats, None, shuffle, 5, verbose=False)
    norm = lambda paths: [p.replace("/./", "/") for p in paths]
    assert norm(mine[0]) == norm(theirs[0])
    assert mine[2] == theirs[2]
    assert mine[1] is None if labels is None else list(mine[1]) == list(theirs[1])
    for subset in ("training", "validation") if split else (None,):
        paths, numbers = dataset_utils.get_training_or_validation_split(*theirs[:2], split, subset)
        data = utils.image_dataset_from_directory(
            pictures,
            labels=labels,
            image_size=(4, 4),
            shuffle=shuffle,
            seed=5,
            validation_split=split,
            subset=subset,
            verbose=False,
        )
        assert norm(data.file_paths) == norm(paths)
        if labels is not None:
            found = sorted(n for _, y in data for n in y.tolist())
            assert found == sorted(int(n) for n in numbers)


KINDS = [
    {},
    {"interpolation": "nearest"},
    {"interpolation": "bicubic"},
    {"crop_to_aspect_ratio": True},
    {"pad_to_aspect_ratio": True},
    {"color_mode": "grayscale"},
    {"color_mode": "rgba"},
    {"data_format": "channels_first"},
    {"image_size": 5},
]


@pytest.mark.parametrize("kw", KINDS, ids=str)
def test_pictures_are_those_of_keras(pictures, kw):
    data = utils.image_dataset_from_directory(
        pictures, **{"image_size": (6, 8), "shuffle": False, "batch_size": 5, **kw}
    )
    assert len(data) == 3 and data.class_names == ["cats", "dogs"]
    x = torch.cat([x for x, _ in data])
    y = torch.cat([y for _, y in data])
    assert y.tolist() == [0] * 5 + [1] * 7 and y.dtype is torch.int32
    size = kw.get("image_size", (6, 8))
    options = {k: v for k, v in kw.items() if k not in ("color_mode", "image_size")}
    for path, mine in zip(data.file_paths, x, strict=True):
        image = keras.utils.load_img(path, color_mode=kw.get("color_mode", "rgb"))
        image = np.array(image, dtype="float32")
        image = image[..., None] if image.ndim == 2 else image
        if kw.get("data_format") == "channels_first":
            image = image.transpose(2, 0, 1)
        theirs = keras.ops.image.resize(image, (size, size) if size == 5 else size, **options)
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), atol=1e-3)


@pytest.mark.parametrize("size", [(4, 4), (3, 9), (12, 5)])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("shape", [(8, 13, 3), (2, 13, 8, 1)])
def test_smart_resize(size, first, shape):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    data_format = "channels_first" if first else "channels_last"
    x = np.moveaxis(x, -1, -3) if first else x
    theirs = keras.preprocessing.image.smart_resize
    expected = theirs(x, size, data_format=data_format)
    y = smart_resize(x, size, data_format=data_format)
    assert isinstance(y, np.ndarray)
    np.testing.assert_allclose(y, np.array(expected), atol=1e-5)
    assert isinstance(smart_resize(torch.tensor(x), size, data_format=data_format), torch.Tensor)


def test_labels_and_subsets(pictures, capsys):
    read = lambda **kw: utils.image_dataset_from_directory(pictures, image_size=4, seed=1, **kw)
    train, val = read(validation_split=0.25, subset="both")
    assert "Found 12 files belonging to 2 classes.\nUsing 9 files for training." in (
        capsys.readouterr().out
    )
    assert not {*train.file_paths} & {*val.file_paths} and len(val.file_paths) == 3
    (x, y) = next(iter(read(label_mode="binary")))
    assert x.shape == (12, 4, 4, 3) and y.shape == (12, 1) and y.dtype is torch.float32
    (x, y) = next(iter(read(label_mode="categorical", class_names=["dogs", "cats"])))
    assert y.shape == (12, 2) and int(y[:, 0].sum()) == 7
    assert next(iter(read(labels=None))).shape == (12, 4, 4, 3)
    x, y = next(iter(read(batch_size=None)))
    assert x.shape == (4, 4, 3) and y.ndim == 0


def test_every_pass_has_its_own_order_and_a_seed_repeats_them(pictures):
    def passes():
        data = utils.image_dataset_from_directory(pictures, image_size=1, seed=3, verbose=False)
        return [[float(x[0, 0, 0]) for batch, _ in data for x in batch] for _ in range(2)]

    one, other = passes(), passes()
    assert one == other and one[0] != one[1] and sorted(one[0]) == sorted(one[1])


def test_a_model_takes_it(pictures):
    train, val = utils.image_dataset_from_directory(
        pictures, image_size=(8, 8), validation_split=0.25, subset="both", seed=0, batch_size=4
    )
    model = lk.Sequential(
        [lk.Input((8, 8, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(2)]
    )
    loss = lk.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    train = train.map(lambda x, y: (x / 2, y)).cache().prefetch(-1)
    history = model.fit(train, validation_data=val, epochs=2, verbose=0)
    assert len(history.history["val_loss"]) == 2
    assert model.predict(val, verbose=0).shape == (3, 2)
    assert model.evaluate(val, verbose=0)[0] == pytest.approx(history.history["val_loss"][-1])


# ---- what data sets can -------------------------------------------------------------------------


def numbers(n=5):
    return utils.timeseries_dataset_from_array(
        np.arange(2.0 * n), np.arange(2 * n), 1, batch_size=2
    )


def ys(data):
    return [y.tolist() for _, y in data]


@pytest.mark.parametrize(
    "made, expected, size",
    [
        (lambda d: d, [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]], 5),
        (lambda d: d.take(2), [[0, 1], [2, 3]], 2),
        (lambda d: d.take(-1).skip(3), [[6, 7], [8, 9]], 2),
        (lambda d: d.skip(9), [], 0),
        (lambda d: d.take(1).repeat(2), [[0, 1], [0, 1]], 2),
        (lambda d: d.take(1).repeat().take(3), [[0, 1]] * 3, 3),
        (lambda d: d.map(lambda x, y: (x, y + 1)).take(1), [[1, 2]], 1),
        (lambda d: d.filter(lambda x, y: int(y[0]) > 5), [[6, 7], [8, 9]], None),
        (lambda d: d.unbatch().batch(4), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]], None),
        (lambda d: d.unbatch().batch(4, drop_remainder=True), [[0, 1, 2, 3], [4, 5, 6, 7]], None),
        (lambda d: d.take(1).concatenate(d.skip(4)), [[0, 1], [8, 9]], 2),
        (lambda d: d.prefetch(2).cache(), [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]], 5),
    ],
)
def test_methods(made, expected, size):
    data = made(numbers())
    for _ in range(2):  # every pass anew
        assert ys(data) == expected
    assert data.cardinality() == (-2 if size is None else size)
    if size is None or data.cardinality() < 0:
        with pytest.raises(TypeError, match="known at the end"):
            len(data)
    else:
        assert len(data) == size


def test_shuffle_cache_and_arrays():
    data = numbers().shuffle(3, seed=0)
    one, two = ys(data), ys(data)
    assert sorted(one) == sorted(two) == ys(numbers()) and one != two
    made = []
    cached = numbers().map(lambda x, y: (made.append(1) or x, y)).cache()
    assert ys(cached) == ys(cached) and len(made) == 5
    assert all(isinstance(y, np.ndarray) for _, y in numbers().as_numpy_iterator())


def test_prefetching_raises_what_fails_and_can_be_left():
    def wrong(x, y):
        raise ValueError("no such thing.")

    with pytest.raises(ValueError, match="no such thing"):
        list(numbers().map(wrong).prefetch(1))
    for _ in numbers().repeat().prefetch(1):
        break


# ---- series -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kw",
    [
        {},
        {"sequence_stride": 3},
        {"sampling_rate": 2},
        {"start_index": 2},
        {"end_index": 15},
        {"start_index": 3, "end_index": 17, "sequence_stride": 2, "sampling_rate": 2},
    ],
)
@pytest.mark.parametrize("with_targets", [True, False])
def test_windows(kw, with_targets):
    """By hand, as Keras documents them: window i begins at start + i * stride."""
    data, targets = np.arange(20.0), 100 + np.arange(20)
    made = utils.timeseries_dataset_from_array(
        data, targets if with_targets else None, 4, batch_size=3, **kw
    )
    first, last = kw.get("start_index", 0), kw.get("end_index", 20)
    rate, stride = kw.get("sampling_rate", 1), kw.get("sequence_stride", 1)
    starts = [s for s in range(first, last, stride) if s + 3 * rate < last]
    expected = [[float(s + k * rate) for k in range(4)] for s in starts]
    batches = list(made)
    x = torch.cat([b[0] if with_targets else b for b in batches])
    assert x.tolist() == expected and len(made) == len(batches)
    if with_targets:
        assert torch.cat([b[1] for b in batches]).tolist() == [100 + s for s in starts]


def test_shuffled_windows_keep_their_targets():
    x = np.arange(50.0)[:, None]
    data = utils.timeseries_dataset_from_array(x, x[3:], 3, shuffle=True, seed=1, batch_size=8)
    orders = []
    for _ in range(2):
        batches = list(data)
        orders.append([float(v) for b, _ in batches for v in b[:, 0, 0]])
        assert all(torch.equal(b[:, -1] + 1, t) for b, t in batches)
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])


# ---- texts and sounds ---------------------------------------------------------------------------


@pytest.fixture
def reviews(tmp_path):
    for name, words in (("neg", ["bad", "awful", "bad bad"]), ("pos", ["good", "fine é"])):
        (tmp_path / name).mkdir()
        for i, text in enumerate(words):
            (tmp_path / name / f"{i}.txt").write_text(text, encoding="utf-8")
    return tmp_path


def test_texts(reviews):
    data = utils.text_dataset_from_directory(reviews, batch_size=2, shuffle=False, verbose=False)
    texts = [t for x, _ in data for t in x.tolist()]
    assert texts == ["bad", "awful", "bad bad", "good", "fine é"]
    short = utils.text_dataset_from_directory(reviews, labels=None, max_length=2, shuffle=False)
    assert next(iter(short)).tolist() == ["ba", "aw", "ba", "go", "fi"]
    vectorize = layers.TextVectorization(output_sequence_length=3)
    vectorize.adapt(data.map(lambda x, y: x))
    assert vectorize.get_vocabulary()[2] == "bad"
    encoded = data.map(lambda x, y: (vectorize(x), y))
    model = lk.Sequential([layers.Embedding(9, 2), layers.Flatten(), layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    model.fit(encoded, epochs=1, verbose=0)
    whole = lk.Sequential([lk.Input((1,), dtype="string"), vectorize, model])
    assert whole.predict(data, verbose=0).shape == (5, 1)


def sound(path, samples, width=2, rate=8000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.astype(f"<i{width}").tobytes())


def test_sounds(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    sound(tmp_path / "a" / "0.wav", np.array([0, 16384, -32768]))
    sound(tmp_path / "b" / "0.wav", np.array([2**30, -(2**31), 0, 0]), width=4)
    read = lambda **kw: utils.audio_dataset_from_directory(tmp_path, shuffle=False, **kw)
    x, y = next(iter(read(output_sequence_length=4)))
    assert x[..., 0].tolist() == [[0, 0.5, -1, 0], [0.5, -1, 0, 0]] and y.tolist() == [0, 1]
    assert next(iter(read(output_sequence_length=2)))[0].shape == (2, 2, 1)
    with pytest.raises(ValueError, match=r"has 3 samples, .* 4. .*output_sequence_length=4"):
        list(read())
    with pytest.raises(ValueError, match="has 8000 samples a second, sampling_rate is 16000"):
        list(read(sampling_rate=16000))
    (tmp_path / "a" / "1.wav").write_bytes(b"no sound")
    with pytest.raises(ValueError, match="cannot be read as a sound"):
        list(read(output_sequence_length=4))


# ---- mistakes -----------------------------------------------------------------------------------

SERIES = np.arange(10.0)
IMAGES = utils.image_dataset_from_directory
WINDOWS = utils.timeseries_dataset_from_array


@pytest.mark.parametrize(
    "wrong, text",
    [
        (lambda p: IMAGES(p / "nowhere"), "There is no folder"),
        (lambda p: IMAGES(p, labels="infer"), 'Type labels="inferred"'),
        (lambda p: IMAGES(p, labels=[1, 2]), "labels has 2 items"),
        (lambda p: IMAGES(p, label_mode="ints"), "Did you mean 'int'?"),
        (lambda p: IMAGES(p, color_mode="rbg"), "Did you mean 'rgb'?"),
        (lambda p: IMAGES(p, interpolation="linear"), "Did you mean 'bilinear'?"),
        (lambda p: IMAGES(p, image_size=(1, 2, 3)), "is not a size"),
        (lambda p: IMAGES(p, batch_size=0), "is not a size"),
        (lambda p: IMAGES(p, class_names=["cat"]), "Did you mean 'cats'?"),
        (lambda p: IMAGES(p, labels=None, class_names=["cats"]), "Leave one out"),
        (lambda p: IMAGES(p, label_mode="binary", class_names=["cats"]), "found 1 classes"),
        (lambda p: IMAGES(p, validation_split=0.2), "both belong together"),
        (lambda p: IMAGES(p, validation_split=2, subset="both"), "is not a fraction"),
        (lambda p: IMAGES(p, validation_split=0.2, subset="train", seed=1), "'training'?"),
        (lambda p: IMAGES(p, validation_split=0.2, subset="both"), "Type seed=0"),
        (lambda p: IMAGES(p, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True), "Drop one"),
        (lambda p: utils.audio_dataset_from_directory(p), "found no sounds"),
        (lambda p: utils.audio_dataset_from_directory(p, ragged=True), "is not possible"),
        (lambda p: WINDOWS(SERIES, None, 20), "does not fit a series of 10 steps"),
        (lambda p: WINDOWS(SERIES, None, 5, sampling_rate=3), "At least one window must fit"),
        (lambda p: WINDOWS(SERIES, None, 0), "sequence_length=0"),
        (lambda p: WINDOWS(SERIES, None, 2, sequence_stride=0), "sequence_stride=0"),
        (lambda p: WINDOWS(SERIES, None, 2, start_index=-1), "is outside a series"),
        (lambda p: WINDOWS(SERIES, None, 2, start_index=5, end_index=3), "leaves nothing"),
    ],
)
def test_mistakes_get_a_sentence(pictures, wrong, text):
    with pytest.raises((ValueError, TypeError, FileNotFoundError)) as caught:
        wrong(pictures)
    assert text in str(caught.value) and len(str(caught.value)) < 500


def test_a_broken_picture_is_named(pictures):
    (pictures / "cats" / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken\.png cannot be read as an image"):
        list(IMAGES(pictures, verbose=False))
