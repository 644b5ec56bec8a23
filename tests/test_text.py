"""Strings in models: through fit, evaluate, predict, loaders and files, and what mistakes get."""

import copy
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

import lightkeras as lk
from lightkeras import layers
from lightkeras._text import Text, as_text, holds_text
from lightkeras.saving import LoadError, load_model

TEXTS = ["good movie", "bad movie", "really good", "awful"] * 10
Y = np.array([1, 0, 1, 0] * 10)


def classifier(**kwargs):
    lk.utils.set_random_seed(0)
    vectorize = layers.TextVectorization(max_tokens=20, output_sequence_length=5, **kwargs)
    vectorize.adapt(TEXTS)
    model = lk.Sequential(
        [
            lk.Input((1,), dtype="string"),
            vectorize,
            layers.Embedding(20, 4),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(lk.optimizers.Adam(0.1), "binary_crossentropy", metrics=["accuracy"])
    return model


# ---- Text ---------------------------------------------------------------------------------------


def test_text_moves_like_a_tensor_and_is_read_as_strings():
    text = as_text([["b"], ["a"], ["b"]])
    assert text.shape == (3, 1) and len(text.words.array) == 2
    assert text[1:].tolist() == [["a"], ["b"]] and text[0, 0].tolist() == "b"
    assert text.index_select(0, torch.tensor([2, 1])).tolist() == [["b"], ["a"]]
    assert torch.cat([text, as_text([["c"]])]).tolist() == [["b"], ["a"], ["b"], ["c"]]
    assert [row.tolist() for row in text] == [["b"], ["a"], ["b"]]
    assert np.asarray(text).tolist() == text.numpy().tolist() == text.tolist()
    assert f"{text[0, 0]}" == "b" and "'b'" in repr(text)
    for again in (copy.deepcopy(text), pickle.loads(pickle.dumps(text)), text.clone()):
        assert type(again) is Text and again.tolist() == text.tolist()
    assert default_collate([(text[0], 1), (text[1], 2)])[0].tolist() == [["b"], ["a"]]


@pytest.mark.parametrize(
    "compute",
    [
        lambda t: t.float(),
        lambda t: t.sum(),
        lambda t: t + 1,
        lambda t: t * t,
        lambda t: torch.nn.Linear(1, 1)(t),
        lambda t: torch.nn.functional.embedding(t, torch.zeros(9, 2)),
        lambda t: t.to(torch.float32),
        lambda t: layers.Dense(1)(t),
        lambda t: layers.Embedding(9, 2)(t),
        lambda t: layers.Flatten()(t),
    ],
)
def test_nothing_is_computed_with_text(compute):
    with pytest.raises(TypeError, match=r"holds text \('a', 'b'\)|unsupported operand"):
        compute(as_text([["b"], ["a"]]))


@pytest.mark.parametrize(
    "given, expected",
    [
        ("a", "a"),
        (["a", "b"], ["a", "b"]),
        ([b"a", "b"], ["a", "b"]),
        (np.array(["a", "bcd"]), ["a", "bcd"]),
        (np.array([b"\xc3\xa9"]), ["é"]),
        (pd.Series(["a", "b"]), ["a", "b"]),
        (np.array([["a"], ["b"]], object), [["a"], ["b"]]),
    ],
)
def test_what_text_is_made_of(given, expected):
    assert holds_text(given)
    assert as_text(given).tolist() == expected


@pytest.mark.parametrize(
    "given, error",
    [
        (["a", None], "missing values among its strings"),
        (["a", float("nan")], "missing values among its strings"),
        (["a", 3], "holds int among its strings"),
        ([["a"], ["b", "c"]], "different numbers of strings"),
    ],
)
def test_what_is_no_text(given, error):
    with pytest.raises((ValueError, TypeError), match=error):
        as_text(given)


# ---- models -------------------------------------------------------------------------------------


class Rows(Dataset):
    def __len__(self):
        return len(TEXTS)

    def __getitem__(self, index):
        return TEXTS[index], Y[index]


FORMS = {
    "list": lambda: (TEXTS, Y),
    "array": lambda: (np.array(TEXTS), Y),
    "column": lambda: (np.array(TEXTS)[:, None], Y),
    "objects": lambda: (np.array(TEXTS, object), Y),
    "series": lambda: (pd.Series(TEXTS), Y),
    "frame": lambda: (pd.DataFrame({"text": TEXTS}), Y),
    "dataset": lambda: (Rows(), None),
    "loader": lambda: (DataLoader(Rows(), batch_size=32), None),
    "workers": lambda: (DataLoader(Rows(), batch_size=32, num_workers=1), None),
    "pairs": lambda: ([(np.array(TEXTS[:32]), Y[:32]), (TEXTS[32:], Y[32:])].__iter__, None),
}


@pytest.mark.parametrize("form", FORMS)
def test_strings_of_every_form_train_a_model_alike(form):
    x, y = FORMS["array"]()
    model = classifier()
    expected = model.fit(x, y, epochs=1, shuffle=False, verbose=0).history
    score = model.evaluate(x, y, verbose=0)
    x, y = FORMS[form]()
    again = classifier()
    source = x() if callable(x) else x
    assert again.fit(source, y, epochs=1, shuffle=False, verbose=0).history == expected
    if form != "pairs":
        assert again.evaluate(x, y, verbose=0) == score
        assert again.predict(x, verbose=0).shape == (40, 1)


def test_a_model_of_texts_learns_shuffled_and_split():
    model = classifier()
    history = model.fit(TEXTS, Y, epochs=15, verbose=0, validation_split=0.2).history
    assert history["val_accuracy"][-1] == 1.0
    assert model.predict(["good movie", "awful"], verbose=0).round().tolist() == [[1], [0]]
    assert model(np.array([["good"], ["bad"]])).shape == (2, 1)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(
            again.predict(TEXTS, verbose=0), model.predict(TEXTS, verbose=0)
        )


def test_no_texts_at_all():
    assert classifier().predict(np.array([], dtype=str), verbose=0).shape == (0, 1)
    with pytest.raises(ValueError, match="x has 0 samples"):
        classifier().fit(np.array([], dtype=str), np.zeros(0), verbose=0)


def test_each_different_text_is_worked_on_once():
    seen = []
    split = lambda texts: [seen.append(t) or t.split() for t in texts]
    model = classifier(split=split)
    seen.clear()
    model.fit(TEXTS, Y, epochs=3, batch_size=8, verbose=0)
    assert sorted(seen) == sorted(set(TEXTS))


def test_columns_of_a_frame_as_inputs():
    frame = pd.DataFrame({"city": ["ulm", "rom", "ulm", "oslo"], "age": [1.0, 2, 3, 4]})
    city, age = lk.Input((1,), dtype="string", name="city"), lk.Input((1,), name="age")
    lookup = layers.StringLookup(output_mode="one_hot")
    lookup.adapt(frame["city"])
    assert lookup.get_vocabulary() == ["[UNK]", "ulm", "rom", "oslo"]
    x = layers.Concatenate()([lookup(city), age])
    model = lk.Model([city, age], layers.Dense(1)(x))
    model.compile("sgd", "mse")
    model.fit(dict(frame), np.zeros(4), verbose=0)
    assert model.predict(dict(frame), verbose=0).shape == (4, 1)
    with pytest.raises(TypeError, match=r"Write dict\(x\)"):
        model.predict(frame, verbose=0)


def test_strings_out_of_a_model():
    model = lk.Sequential(
        [lk.Input((1,), dtype="int64"), layers.StringLookup(vocabulary=["p", "q"], invert=True)]
    )
    found = model.predict(np.array([[1], [2], [0]]), batch_size=2, verbose=0)
    assert np.asarray(found).tolist() == [["p"], ["q"], ["[UNK]"]]


def test_a_first_layer_without_input_and_a_layer_of_ones_own():
    for kw in ({}, {"input_shape": (1,)}):
        model = lk.Sequential(
            [layers.StringLookup(vocabulary=["p", "q"], **kw), layers.Embedding(3, 2)]
        )
        assert model(np.array([["p"], ["z"]])).shape == (2, 1, 2)
        assert model.predict(np.array(["p", "z"]), verbose=0).shape == (2, 1, 2)
        assert model.inputs[0].dtype == "string"

    class Encoder(layers.Layer):
        def __init__(self):
            super().__init__()
            self.lookup = layers.StringLookup(vocabulary=["p", "q"])
            self.table = layers.Embedding(3, 2)

        def call(self, x):
            return self.table(self.lookup(x))

    x = lk.Input((1,), dtype="string")
    model = lk.Model(x, Encoder()(x))
    assert model.output_shape == (None, 1, 2)
    assert model.predict(np.array(["p", "z"]), verbose=0).shape == (2, 1, 2)


# ---- adapt --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        ["b", "a", "b"],
        np.array([["b"], ["a"], ["b"]]),
        pd.Series(["b", "a", "b"]),
        as_text(["b", "a", "b"]),
        (batch for batch in (["b", "a"], ["b"])),
        DataLoader(["b", "a", "b"], batch_size=2),
        DataLoader([("b", 1), ("a", 2), ("b", 3)], batch_size=2),
    ],
    ids=lambda data: type(data).__name__,
)
def test_what_adapt_takes(data):
    layer = layers.StringLookup()
    layer.adapt(data)
    assert layer.get_vocabulary() == ["[UNK]", "b", "a"]
    assert layer.vocabulary_size() == 3


def test_adapting_again_begins_anew_and_steps_end_it():
    layer = layers.TextVectorization()
    layer.adapt(["a b"])
    layer.adapt((["c"] for _ in range(3)), steps=1)
    assert layer.get_vocabulary() == ["", "[UNK]", "c"]
    assert layer(["c a"]).tolist() == [[2, 1]]


def test_functions_of_ones_own_see_arrays_of_strings():
    layer = layers.TextVectorization(
        standardize=np.char.upper, split=lambda texts: [t.split("-") for t in texts]
    )
    layer.adapt(["a-b", "a"])
    assert layer.get_vocabulary() == ["", "[UNK]", "A", "B"]


def test_a_vocabulary_file(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("wind\nfire\n", encoding="utf-8")
    layer = layers.TextVectorization(vocabulary=str(path))
    assert layer.get_vocabulary() == ["", "[UNK]", "wind", "fire"]
    assert layer.get_config()["vocabulary"] is None
    path.write_text("7\n9\n", encoding="utf-8")
    assert layers.IntegerLookup(vocabulary=str(path)).get_vocabulary() == [-1, 7, 9]


# ---- mistakes -----------------------------------------------------------------------------------

numeric = lk.Sequential([lk.Input((1,)), layers.Dense(1)])
STRINGS = np.array([["a"], ["b"]])
MISTAKES = [
    (lambda: numeric.predict(STRINGS), "x holds text ('a', 'b'). Only numbers are accepted. "
     "Encode it, for example with sklearn's LabelEncoder, pandas.factorize or a StringLookup"),
    (lambda: lk.Sequential([layers.Dense(1)]).predict(STRINGS), "holds text ('a', 'b')"),
    (lambda: classifier().fit(np.zeros((4, 1)), np.zeros(4)), "takes strings. Convert it with"),
    (lambda: classifier().fit(TEXTS, TEXTS), "y holds text ('awful', 'bad movie', 'good movie')"),
    (lambda: layers.TextVectorization()(lk.Input((1,))), "Type Input(shape=(1,), dtype='string')"),
    (lambda: layers.IntegerLookup(vocabulary=[1])(lk.Input((1,), dtype="string")), "got strings"),
    (lambda: layers.Dense(1)(lk.Input((1,), dtype="string")), "holds text. Only numbers"),
    (lambda: layers.TextVectorization()(["a"]), "has no vocabulary yet"),
    (lambda: layers.TextVectorization()([1]), "got int. It takes strings"),
    (lambda: layers.TextVectorization().adapt([1, 2]), "got int. It takes strings"),
    (lambda: layers.TextVectorization().adapt([]), "It takes strings"),
    (lambda: layers.TextVectorization().adapt(x for x in ()), "got no data"),
    (lambda: layers.StringLookup().adapt(np.ones(2)), "got float. It takes strings"),
    (lambda: layers.StringLookup().adapt(3), "adapt() got int. It takes an array"),
    (lambda: layers.StringLookup().adapt(["a"], steps=2), "adapt(steps=2) got an array"),
    (lambda: layers.IntegerLookup().adapt(["a"]), "Take a StringLookup layer for strings"),
    (lambda: layers.IntegerLookup(vocabulary=[1])(["a"]), "Take a StringLookup layer for strings"),
    (lambda: layers.IntegerLookup(vocabulary=["a"]), "Tokens are whole numbers"),
    (lambda: layers.StringLookup(vocabulary=[3]), "Tokens are strings"),
    (lambda: layers.StringLookup(vocabulary=["a", "a"]), "list(dict.fromkeys(vocabulary))"),
    (lambda: layers.StringLookup(vocabulary=[]), "got an empty vocabulary"),
    (lambda: layers.StringLookup(vocabulary=["a", "b"], max_tokens=2), "of 3 tokens"),
    (lambda: layers.StringLookup(vocabulary=["a", "", "b"], mask_token=""), "'' in its middle"),
    (lambda: layers.StringLookup(max_tokens=1), "leaves no place for a vocabulary"),
    (lambda: layers.StringLookup(num_oov_indices=-1), "is not a number of places"),
    (lambda: layers.StringLookup(pad_to_max_tokens=True), "Add max_tokens="),
    (lambda: layers.StringLookup(output_mode="multihot"), "Did you mean 'multi_hot'?"),
    (lambda: layers.StringLookup(invert=True, output_mode="count"), 'Type output_mode="int"'),
    (lambda: layers.StringLookup(sparse=True, output_mode="count"), "Leave sparse= out"),
    (lambda: layers.StringLookup(salt="x"), "is no key of a hash"),
    (lambda: layers.StringLookup(vocabulary=["a"], output_mode="tf_idf"), "Add idf_weights="),
    (lambda: layers.StringLookup(idf_weights=[1.0]), "weights belong to one mode only"),
    (lambda: layers.StringLookup(vocabulary=["a"], output_mode="tf_idf", idf_weights=[1.0, 2]),
     "idf_weights of shape (2,) for 1 tokens"),
    (lambda: layers.StringLookup(vocabulary=["a"]).adapt(["b"]), "was given its vocabulary"),
    (lambda: layers.StringLookup(vocabulary=["a"], num_oov_indices=0)(["a", "z"]),
     "not in its vocabulary: 'z'"),
    (lambda: layers.IntegerLookup(vocabulary=[1], num_oov_indices=0)([1, 5]),
     "not in its vocabulary: 5"),
    (lambda: layers.IntegerLookup(oov_method="flormod"), "Did you mean 'floormod'?"),
    (lambda: layers.IntegerLookup(salt=3), 'Type oov_method="farmhash"'),
    (lambda: layers.IntegerLookup(vocabulary_dtype="int32"), "Unknown vocabulary_dtype 'int32'"),
    (lambda: layers.StringLookup(vocabulry=["a"]), "Did you mean 'vocabulary'?"),
    (lambda: layers.StringLookup(output_mode="count")(lk.Input((1,), dtype="string")),
     "has no vocabulary yet"),
    (lambda: layers.TextVectorization(standardize="lowr"), "Did you mean 'lower'?"),
    (lambda: layers.TextVectorization(split="word"), "Known: character, whitespace"),
    (lambda: layers.TextVectorization(ngrams=0), "is not a number of words"),
    (lambda: layers.TextVectorization(output_sequence_length=0), "whole number above zero"),
    (lambda: layers.TextVectorization(output_mode="count", output_sequence_length=3),
     'It belongs to output_mode="int"'),
    (lambda: layers.TextVectorization(ragged=True), "Leave ragged= out"),
    (lambda: layers.TextVectorization(vocabulary=["a"])([["a", "b"]]), "Join the columns"),
    (lambda: layers.TextVectorization(standardize=str.lower, vocabulary=["a"])(["A"]),
     "numpy.vectorize(function)"),
    (lambda: layers.TextVectorization(split=lambda t: [["a"]], vocabulary=["a"])(["a", "b"]),
     "returned 1 items for 2 texts"),
    (lambda: layers.Hashing(0), "is not a size"),
    (lambda: layers.Hashing(3, dtype="float32"), "bins are whole numbers"),
    (lambda: layers.HashedCrossing(3)(np.array(["a"])), "Type layer([a, b])"),
    (lambda: layers.HashedCrossing(3)([["a", "b"], ["a"]]), "All have one shape"),
    (lambda: layers.HashedCrossing(3)([["a"], [0.5]]), "got float64. It takes strings and whole"),
    (lambda: layers.CategoryEncoding(), "got no num_tokens"),
    (lambda: layers.CategoryEncoding(3)(["a"]), "Take a StringLookup layer for strings"),
    (lambda: layers.Discretization(), "one of the two is needed"),
    (lambda: layers.Discretization(bin_boundaries=[2.0, 1.0]), "in rising order"),
    (lambda: layers.Discretization(num_bins=3)([1.0]), "has no boundaries yet"),
    (lambda: layers.Discretization([1.0]).adapt(np.ones(3)), "was given its boundaries"),
]  # fmt: skip


@pytest.mark.parametrize("wrong, text", MISTAKES, ids=[text[:40] for _, text in MISTAKES])
def test_mistakes_get_a_sentence(wrong, text):
    with pytest.raises((ValueError, TypeError, RuntimeError)) as caught:
        wrong()
    said = str(caught.value)
    assert text in said
    assert len(said) < 500 and said.endswith((".", ")", "?"))


def test_a_vocabulary_of_another_size_under_built_layers():
    layer = layers.StringLookup(vocabulary=["a"], output_mode="multi_hot")
    lk.Model(x := lk.Input((1,), dtype="string"), layers.Dense(1)(layer(x)))
    with pytest.raises(RuntimeError, match=r"has 2 tokens.*new vocabulary has 3"):
        layer.set_vocabulary(["a", "b"])


# ---- files --------------------------------------------------------------------------------------


def many(adapted=True):
    """A model with each way in which a vocabulary can be stored."""
    words = lk.Input((2,), dtype="string", name="words")
    numbers = lk.Input((1,), dtype="int64", name="numbers")
    found = [
        layers.StringLookup(output_mode="tf_idf"),
        layers.StringLookup(vocabulary=["v", "u"]),
        layers.TextVectorization(split=None, output_mode="tf_idf"),
    ]
    integer = layers.IntegerLookup(output_mode="count", mask_token=0)
    integer.adapt(np.array([[3], [3], [4]]))
    for layer in (found[0], found[2]):
        layer.adapt(np.array([["u", "v"], ["u", "wé"]]))
    outputs = [layer(words) for layer in found] + [integer(numbers)]
    inner = lk.Sequential([lk.Input((2,), dtype="string"), layers.StringLookup(), layers.Flatten()])
    inner.layers[0].adapt(["in", "side"])
    return lk.Model([words, numbers], [*outputs, inner(words)])


DATA = [np.array([["u", "side"], ["wé", "q"]]), np.array([[3], [0]])]


def test_files_hold_vocabularies_where_keras_keeps_them(tmp_path):
    model = many()
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        stored = {n: archive.read(n).decode() for n in archive.namelist() if "assets" in n}
    assert stored == {
        "assets/layers/string_lookup/vocabulary.txt": "[UNK]\nu\nwé\nv",
        "assets/layers/text_vectorization/vocabulary.txt": "[UNK]\nu\nwé\nv",
        "assets/layers/text_vectorization/_lookup_layer/vocabulary.txt": "[UNK]\nu\nwé\nv",
        "assets/layers/integer_lookup/vocabulary.txt": "-1\n3\n4",
        "assets/layers/sequential/layers/string_lookup/vocabulary.txt": "[UNK]\nside\nin",
    }
    again = load_model(tmp_path / "m.keras")
    for a, b in zip(model(DATA), again(DATA), strict=True):
        assert torch.equal(a, b)


def test_a_token_with_a_line_break_is_kept_in_the_config(tmp_path):
    layer = layers.StringLookup()
    layer.adapt(["a\nb", "c", "c"])
    model = lk.Sequential([lk.Input((1,), dtype="string"), layer])
    model.save(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras").layers[0]
    assert again.get_vocabulary() == ["[UNK]", "c", "a\nb"]


def test_a_file_that_keras_wrote():
    """Written by Keras 3.15 on TensorFlow 2.21; the outputs are those that it gave."""
    model = load_model(Path(__file__).parent / "golden" / "text_keras_3_15.keras")
    x = [np.array([["a d"], ["b q"]]), np.array([["u", "v"], ["zz", "wé"]]), np.array([[4], [0]])]
    tf_idf, places, hot, bins = model(x)
    expected = [[0, 0.51082563, 0, 0.69314718, 0], [0.60198641, 0, 0.51082563, 0, 0]]
    np.testing.assert_allclose(tf_idf.numpy(), expected, rtol=1e-6)
    assert places.tolist() == [[1, 3], [0, 2]]
    assert hot.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]
    assert bins.tolist() == [[3, 1], [1, 1]]


def rewritten(path, config=None, members=()):
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    if config is not None:
        contents["config.json"] = json.dumps(config(json.loads(contents["config.json"]))).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**contents, **dict(members)}.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "member, data, said",
    [
        ("assets/layers/other/vocabulary.txt", b"a", "belongs to no layer"),
        ("assets/layers/embedding/vocabulary.txt", b"a", "belongs to no layer"),
        ("assets/layers/text_vectorization/words.txt", b"a", "Other files of layers"),
        ("assets/../vocabulary.txt", b"a", "Other files of layers"),
        ("assets//vocabulary.txt", b"a", "Other files of layers"),
        ("assets/layers/text_vectorization/vocabulary.txt", b"\xff", "cannot be used"),
        ("assets/layers/text_vectorization/vocabulary.txt", b"", "empty vocabulary"),
        ("assets/layers/text_vectorization/vocabulary.txt", b"a\na", "several times"),
        ("assets/layers/text_vectorization/vocabulary.txt", b"a\n" * 2**26, "are allowed"),
    ],
)
def test_strange_vocabularies_refuse_the_whole_file(member, data, said, tmp_path):
    classifier().save(tmp_path / "m.keras")
    with pytest.raises(LoadError, match=said):
        load_model(rewritten(tmp_path / "m.keras", members=[(member, data)]))


@pytest.mark.parametrize("path", ["/etc/hostname", "words.txt", "https://example.org/words.txt"])
@pytest.mark.parametrize(
    "cls", [layers.StringLookup, layers.IntegerLookup, layers.TextVectorization]
)
def test_a_path_in_a_config_is_never_opened(cls, path, tmp_path, monkeypatch):
    opened = []
    layer = cls(vocabulary=[1] if cls is layers.IntegerLookup else ["a"])
    dtype = "int64" if cls is layers.IntegerLookup else "string"
    model = lk.Sequential([lk.Input((1,), dtype=dtype), layer])
    model.save(tmp_path / "m.keras")

    def evil(config):
        config["config"]["layers"][1]["config"]["vocabulary"] = path
        return config

    file = rewritten(tmp_path / "m.keras", evil)
    original = open
    spy = lambda name, *a, **k: opened.append(str(name)) or original(name, *a, **k)
    monkeypatch.setattr("builtins.open", spy)
    with pytest.raises(LoadError, match="a path in it is never opened"):
        load_model(file)
    with pytest.raises(ValueError, match="a path in it is never opened"):
        cls.from_config({**layer.get_config(), "vocabulary": path})
    assert path not in opened


def test_stored_functions_are_those_that_are_given(tmp_path):
    model = classifier(standardize=shout)
    model.save(tmp_path / "m.keras")
    with pytest.raises(LoadError, match="shout"):
        load_model(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras", custom_objects={"shout": shout})
    np.testing.assert_array_equal(again.predict(TEXTS, verbose=0), model.predict(TEXTS, verbose=0))


def shout(texts):
    return np.char.upper(texts)
