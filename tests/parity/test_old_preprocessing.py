"""Tokenizer, skipgrams, ImageDataGenerator and their like, against those that Keras still has.

Whatever is drawn at random is drawn from NumPy's numbers in Keras's order, so that equal seeds
give equal pictures.
"""

import inspect
import json
import random

import keras
import numpy as np
import pandas as pd
import pytest
from keras.src.legacy.preprocessing import image as keras_image
from keras.src.legacy.preprocessing import sequence as keras_sequence
from keras.src.legacy.preprocessing import text as keras_text
from PIL import Image

import lightkeras as lk
from lightkeras import layers
from lightkeras.preprocessing import image, sequence, text

pytestmark = pytest.mark.filterwarnings("ignore:.*scipy.*:DeprecationWarning")

NAMES = [
    *((keras_text, text, name) for name in text.__all__),
    *((keras_sequence, sequence, n) for n in sequence.__all__ if n != "pad_sequences"),
    *(
        (keras_image, image, n)
        for n in image.__all__
        if n not in keras.preprocessing.image.__dict__
    ),
]


@pytest.mark.parametrize("theirs, mine, name", NAMES, ids=[n for *_, n in NAMES])
def test_signatures(theirs, mine, name):
    def parameters(module):
        found = inspect.signature(getattr(module, name)).parameters.values()
        return [(p.name, p.default) for p in found if p.kind is p.POSITIONAL_OR_KEYWORD]

    assert parameters(mine) == parameters(theirs)


# ---- texts --------------------------------------------------------------------------------------

TEXTS = ["A cat sat, on the mat!", "the DOG ate the cat\n", "", "dog dog\tdog", "a"]
KINDS = [
    {},
    {"num_words": 4},
    {"oov_token": "?"},
    {"num_words": 3, "oov_token": "?"},
    {"char_level": True},
    {"lower": False},
    {"filters": "", "split": "a"},
    {"analyzer": str.split},
]


@pytest.mark.parametrize("kw", KINDS, ids=lambda kw: "-".join(kw) or "plain")
def test_tokenizer(kw):
    theirs, mine = keras_text.Tokenizer(**kw), text.Tokenizer(**kw)
    for tokenizer in (theirs, mine):
        tokenizer.fit_on_texts(TEXTS[:2])
        tokenizer.fit_on_texts(iter(TEXTS[2:]))
    for name in ("word_index", "index_word", "word_counts", "document_count"):
        assert getattr(mine, name) == getattr(theirs, name)
    for name in ("word_docs", "index_docs"):
        assert dict(getattr(mine, name)) == dict(getattr(theirs, name))
    new = ["the cat ran", ["the", "Dog", "x"], "z"]
    sequences = theirs.texts_to_sequences(new)
    assert mine.texts_to_sequences(new) == sequences
    assert mine.sequences_to_texts([*sequences, [1, 99]]) == theirs.sequences_to_texts(
        [*sequences, [1, 99]]
    )
    for mode in ("binary", "count", "freq", "tfidf"):
        np.testing.assert_allclose(
            mine.texts_to_matrix(new, mode), theirs.texts_to_matrix(new, mode)
        )
    config = json.loads(mine.to_json())
    order = ("word_docs", "index_docs")  # these follow the order of a set
    same = lambda c: {k: v for k, v in c["config"].items() if k not in order}
    assert same(config) == same(json.loads(theirs.to_json()))
    for read in (text.tokenizer_from_json, keras_text.tokenizer_from_json):
        if "analyzer" not in kw:
            assert read(mine.to_json()).texts_to_sequences(new) == sequences


def test_words_and_hashes():
    for kw in ({}, {"lower": False}, {"filters": "a", "split": "o"}):
        for line in TEXTS:
            words = keras_text.text_to_word_sequence(line, **kw)
            assert text.text_to_word_sequence(line, **kw) == words
            assert text.one_hot(line, 50, **kw) == keras_text.one_hot(line, 50, **kw)
            md5 = keras_text.hashing_trick(line, 50, "md5", **kw)
            assert text.hashing_trick(line, 50, "md5", **kw) == md5
    tokenizer = text.Tokenizer()
    tokenizer.fit_on_sequences([[1, 2, 2], [2]])
    theirs = keras_text.Tokenizer(num_words=4)
    theirs.fit_on_sequences([[1, 2, 2], [2]])
    tokenizer.num_words = 4
    expected = theirs.sequences_to_matrix([[1, 2, 2, 9]], "tfidf")
    np.testing.assert_allclose(tokenizer.sequences_to_matrix([[1, 2, 2, 9]], "tfidf"), expected)


def test_an_old_spelling():
    with pytest.warns(UserWarning, match="nb_words"):
        assert text.Tokenizer(nb_words=5).num_words == 5


# ---- sequences ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize(
    "kw",
    [
        {},
        {"window_size": 1},
        {"negative_samples": 0.0},
        {"negative_samples": 2.5, "categorical": True},
        {"shuffle": False},
        {"sampling_table": sequence.make_sampling_table(9, 0.5)},
    ],
    ids=str,
)
def test_skipgrams(kw, seed):
    found = []
    for module in (keras_sequence, sequence):
        random.seed(1)
        found.append(module.skipgrams([1, 5, 0, 2, 2, 7], 9, seed=seed, **kw))
    assert found[1] == found[0]


def test_sampling_tables():
    expected = keras_sequence.make_sampling_table(100, 1e-3)
    np.testing.assert_allclose(sequence.make_sampling_table(100, 1e-3), expected)


@pytest.mark.parametrize(
    "kw",
    [
        {},
        {"sampling_rate": 2},
        {"stride": 3, "batch_size": 2},
        {"start_index": 2, "end_index": 17},
        {"reverse": True},
        {"shuffle": True},
    ],
    ids=str,
)
def test_timeseries_generator(kw):
    data = np.arange(40.0).reshape(20, 2)
    made = [
        m.TimeseriesGenerator(data, data[:, 0], 5, **{"batch_size": 4, **kw})
        for m in (keras_sequence, sequence)
    ]
    assert len(made[1]) == len(made[0])
    for i in range(len(made[0])):
        batches = []
        for generator in made:
            np.random.seed(i)
            batches.append(generator[i])
        for a, b in zip(*batches, strict=True):
            np.testing.assert_array_equal(b, a)
    assert json.loads(made[1].to_json())["config"]["length"] == 5


# ---- pictures -----------------------------------------------------------------------------------

PICTURE = np.random.default_rng(0).uniform(0, 255, (9, 12, 3)).astype("float32")
MAPS = [
    {"theta": 30},
    {"tx": 2.5},
    {"ty": -3.25},
    {"shear": 20},
    {"zx": 0.7, "zy": 1.3},
    {"theta": -75, "tx": 1, "ty": 2, "shear": 10, "zx": 1.2, "zy": 0.8},
    {},
]


@pytest.mark.parametrize("kw", MAPS, ids=str)
@pytest.mark.parametrize("fill_mode", ["nearest", "constant", "reflect", "wrap"])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (1, 0, 2)])
def test_affine_maps(kw, fill_mode, order, axes):
    x = np.moveaxis(PICTURE, (0, 1, 2), axes)
    options = dict(zip(("row_axis", "col_axis", "channel_axis"), axes, strict=True))
    options |= {"fill_mode": fill_mode, "order": order, "cval": 7.0}
    theirs = keras_image.apply_affine_transform(x, **kw, **options)
    mine = image.apply_affine_transform(x, **kw, **options)
    np.testing.assert_allclose(mine, theirs, atol=2e-3)
    assert mine.dtype == theirs.dtype


@pytest.mark.parametrize(
    "name, args",
    [
        ("random_rotation", (40,)),
        ("random_shift", (0.3, 0.2)),
        ("random_shear", (30,)),
        ("random_zoom", ((0.7, 1.3),)),
        ("random_zoom", ((1, 1),)),
        ("random_channel_shift", (30,)),
        ("random_brightness", ((0.5, 1.5),)),
    ],
)
def test_random_functions(name, args):
    found = []
    options = {} if "bright" in name else {"channel_axis": 2}
    if name not in ("random_brightness", "random_channel_shift"):
        options |= {"row_axis": 0, "col_axis": 1}
    for module in (keras_image, image):
        np.random.seed(3)
        found.append(getattr(module, name)(PICTURE, *args, **options))
    np.testing.assert_allclose(found[1], found[0], atol=2e-3)


def batch(n=10, channels=3):
    rng = np.random.default_rng(1)
    return rng.uniform(0, 255, (n, 8, 10, channels)).astype("float32"), np.arange(n) % 2


GENERATORS = [
    {},
    {"rotation_range": 30, "width_shift_range": 0.2, "height_shift_range": 0.1},
    {"width_shift_range": [1, 2], "height_shift_range": 3},
    {"shear_range": 20, "zoom_range": 0.3, "fill_mode": "reflect"},
    {"zoom_range": (0.5, 0.9), "fill_mode": "constant", "cval": 5},
    {"horizontal_flip": True, "vertical_flip": True, "rescale": 1 / 255},
    {"brightness_range": (0.5, 1.5), "channel_shift_range": 20.0},
    {"samplewise_center": True, "samplewise_std_normalization": True},
    {"featurewise_center": True, "featurewise_std_normalization": True, "rescale": 0.1},
    {"zca_whitening": True, "featurewise_center": True},
    {"preprocessing_function": np.sqrt, "rotation_range": 10},
    {"interpolation_order": 0, "rotation_range": 50},
]


@pytest.mark.parametrize("kw", GENERATORS, ids=lambda kw: "-".join(kw) or "plain")
@pytest.mark.parametrize("shuffle", [False, True])
def test_flow(kw, shuffle):
    x, y = batch()
    found = []
    for module in (keras_image, image):
        np.random.seed(0)
        generator = module.ImageDataGenerator(**kw)
        if kw.get("featurewise_center"):
            generator.fit(x)
        flow = generator.flow(x, y, batch_size=4, shuffle=shuffle, seed=7, sample_weight=y + 1.0)
        assert len(flow) == 3
        batches = [flow[i] for i in range(3)]
        flow.on_epoch_end()
        batches += [flow[i] for i in range(3)]
        flow = generator.flow(x, batch_size=4, shuffle=shuffle, seed=2)
        batches += [(next(flow),) for _ in range(5)]
        found.append(batches)
    for a, b in zip(*found, strict=True):
        for theirs, mine in zip(a, b, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=3e-3)
            assert mine.dtype == theirs.dtype


def test_flow_without_a_seed_follows_numpy():
    x, y = batch()
    found = []
    for module in (keras_image, image):
        np.random.seed(5)
        generator = module.ImageDataGenerator(rotation_range=30, horizontal_flip=True)
        flow = generator.flow(x, y, batch_size=4)
        found.append([flow[i] for i in range(3)] + [next(flow) for _ in range(3)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b[0], a[0], atol=3e-3)
        np.testing.assert_array_equal(b[1], a[1])


@pytest.mark.parametrize("subset", ["training", "validation"])
def test_subsets_and_other_inputs(subset):
    x, y = batch()
    found = []
    for module in (keras_image, image):
        generator = module.ImageDataGenerator(validation_split=0.4)
        flow = generator.flow([x, y * 3], y, batch_size=20, shuffle=False, subset=subset)
        found.append(flow[0])
    (a, ay), (b, by) = found
    np.testing.assert_array_equal(by, ay)
    for theirs, mine in zip(a, b, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, count in (("dogs", 6), ("cats", 4)):
        (tmp_path / name / "deep").mkdir(parents=True)
        for i in range(count):
            x = rng.integers(0, 256, (9 + i, 12 - i, 3), dtype=np.uint8)
            Image.fromarray(x).save(tmp_path / name / ("deep" if i == 1 else "") / f"{i}.png")
    (tmp_path / "cats" / "notes.md").write_text("no picture")
    return tmp_path


FOLDERS = [
    {},
    {"class_mode": "binary", "target_size": (5, 7)},
    {"class_mode": "sparse", "color_mode": "grayscale"},
    {"class_mode": "input", "color_mode": "rgba"},
    {"class_mode": None, "interpolation": "bilinear", "keep_aspect_ratio": True},
    {"classes": ["dogs"]},
    {"classes": ["dogs", "cats"], "subset": "training"},
    {"subset": "validation", "batch_size": 2},
]


@pytest.mark.parametrize("kw", FOLDERS, ids=str)
def test_flow_from_directory(folder, kw, capsys):
    found, said = [], []
    for module in (keras_image, image):
        generator = module.ImageDataGenerator(rescale=1 / 255, validation_split=0.4, zoom_range=0.2)
        options = {"target_size": (6, 6), "batch_size": 4, "seed": 3, **kw}
        flow = generator.flow_from_directory(str(folder), **options)
        said.append(capsys.readouterr().out.strip())
        found.append(flow)
    theirs, mine = found
    assert said[1] == said[0]
    for name in ("class_indices", "samples", "num_classes", "filenames"):
        assert getattr(mine, name) == getattr(theirs, name)
    assert list(mine.classes) == list(theirs.classes) and mine.filepaths == theirs.filepaths
    for i in range(len(theirs)):
        a, b = theirs[i], mine[i]
        for p, q in zip(*(z if isinstance(z, tuple) else (z,) for z in (a, b)), strict=True):
            np.testing.assert_allclose(q, p, atol=1e-4)


@pytest.mark.parametrize(
    "kw",
    [
        {},
        {"class_mode": "binary", "weight_col": "w"},
        {"class_mode": "sparse", "classes": ["b", "a"]},
        {"class_mode": "raw", "y_col": "w"},
        {"class_mode": "raw", "y_col": ["w", "v"]},
        {"class_mode": "multi_output", "y_col": ["w", "v"]},
        {"class_mode": "categorical", "y_col": "many"},
        {"class_mode": "categorical", "y_col": "many", "classes": ["p"]},
        {"class_mode": None},
        {"class_mode": "input"},
        {"subset": "training"},
        {"subset": "validation"},
        {"validate_filenames": True, "shuffle": False},
    ],
    ids=str,
)
def test_flow_from_dataframe(folder, kw):
    frame = pd.DataFrame(
        {
            "filename": ["cats/0.png", "dogs/2.png", "cats/2.png", "nowhere.png", "dogs/3.png"],
            "class": ["a", "b", "a", "b", "b"],
            "w": [1.0, 2, 3, 4, 5],
            "v": [5.0, 4, 3, 2, 1],
            "many": [["p"], ["p", "q"], "q", "p", ["q"]],
        }
    )
    found = []
    for module in (keras_image, image):
        generator = module.ImageDataGenerator(validation_split=0.5)
        options = {"target_size": (6, 6), "batch_size": 3, "seed": 1, **kw}
        with pytest.warns(UserWarning, match="nvalid image filename|are no pictures"):
            found.append(generator.flow_from_dataframe(frame, str(folder), **options))
    theirs, mine = found
    assert mine.filenames == theirs.filenames and len(mine) == len(theirs)
    for i in range(len(theirs)):
        a, b = (z if isinstance(z, tuple) else (z,) for z in (theirs[i], mine[i]))
        for p, q in zip(a, b, strict=True):
            for r, s in zip(*(z if isinstance(z, list) else [z] for z in (p, q)), strict=True):
                np.testing.assert_allclose(s, r, atol=1e-4)


def test_a_model_takes_the_batches(folder):
    generator = image.ImageDataGenerator(rescale=1 / 255, rotation_range=20, validation_split=0.3)
    options = {"target_size": (8, 8), "batch_size": 3, "class_mode": "binary"}
    train = generator.flow_from_directory(folder, subset="training", **options)
    val = generator.flow_from_directory(folder, subset="validation", shuffle=False, **options)
    model = lk.Sequential(
        [lk.Input((8, 8, 3)), layers.Flatten(), layers.Dense(1, activation="sigmoid")]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(train, epochs=2, validation_data=val, verbose=0).history
    assert len(history["val_loss"]) == 2
    assert model.predict(val, verbose=0).shape == (val.samples, 1)
    assert len(model.evaluate(val, verbose=0)) == 2
    x, y = batch()
    flow = image.ImageDataGenerator(horizontal_flip=True).flow(x[:, :8, :8], y, batch_size=4)
    model.fit(flow, steps_per_epoch=2, epochs=2, verbose=0)


def test_augmented_pictures_can_be_seen(tmp_path):
    x, _ = batch(3)
    flow = image.ImageDataGenerator().flow(x, batch_size=3, save_to_dir=tmp_path, save_prefix="a")
    next(flow)
    assert len(list(tmp_path.glob("a_*.png"))) == 3


X4 = np.zeros((4, 8, 8, 3))
MAKE = image.ImageDataGenerator


@pytest.mark.parametrize(
    "wrong, said",
    [
        (lambda: MAKE(zoom_range=(1, 2, 3)), "Two numbers are accepted"),
        (lambda: MAKE(brightness_range=2), "Two numbers are accepted"),
        (lambda: MAKE(fill_mode="mirror"), "Known: constant, nearest, reflect, wrap"),
        (lambda: MAKE(validation_split=3), "is not a fraction"),
        (lambda: MAKE(rotation=3), "Did you mean 'rotation_range'?"),
        (lambda: MAKE().flow(X4[0]), "Pictures have four axes"),
        (lambda: MAKE().flow(X4, np.zeros(3)), "y has 3 rows"),
        (lambda: MAKE(validation_split=0.5).flow(X4, [0, 0, 1, 1], subset="training"), "Shuffle x"),
        (lambda: MAKE().flow(X4, subset="train"), "Did you mean 'training'?"),
        (lambda: MAKE().fit(X4[0]), "Pictures have four axes"),
        (lambda: MAKE().flow(X4)[9], "Batch 9 was asked for"),
        (lambda: MAKE().flow_from_directory("nowhere"), "There is no folder 'nowhere'"),
        (lambda: MAKE().flow_from_directory(".", class_mode="binay"), "Did you mean 'binary'?"),
        (lambda: MAKE().flow_from_directory(".", color_mode="rbg"), "Did you mean 'rgb'?"),
        (lambda: MAKE().flow_from_dataframe(pd.DataFrame({"file": ["a"]})), "Unknown column"),
        (
            lambda: MAKE().flow_from_dataframe(pd.DataFrame({"filename": ["a"], "class": [1]})),
            'class_mode="raw" for numbers',
        ),
        (lambda: image.apply_affine_transform(X4), "Take x[0] from a batch"),
        (lambda: image.apply_affine_transform(X4[0], 3, order=3), "Type order=1"),
        (lambda: text.Tokenizer().fit_on_texts("a b"), "fit_on_texts([text])"),
        (lambda: text.Tokenizer().fit_on_texts([3]), "A string is accepted"),
        (lambda: text.Tokenizer().texts_to_matrix(["a"]), "fit_on_texts(texts)"),
        (lambda: text.Tokenizer(4).texts_to_matrix(["a"], "tf"), "Known: binary, count"),
        (lambda: text.hashing_trick("a", 3, "md6"), "Did you mean 'md5'?"),
        (lambda: sequence.TimeseriesGenerator([1, 2], [1], 1), "Each step has one target"),
        (lambda: sequence.TimeseriesGenerator([1, 2], [1, 2], 5), "Lower length"),
    ],
)
def test_mistakes_get_a_sentence(wrong, said):
    with pytest.raises((ValueError, TypeError, IndexError, FileNotFoundError)) as caught:
        wrong()
    assert said in str(caught.value)
