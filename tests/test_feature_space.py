"""`FeatureSpace`: a table of features and what Keras 3.15 on TensorFlow 2.21 makes of them."""

import numpy as np
import pandas as pd
import pytest
import torch

import lightkeras as lk
from lightkeras import layers
from lightkeras.utils import FeatureSpace

DATA = {"f": [0.0, 0.1, 0.2, 0.3], "s": ["zero", "one", "two", "one"], "i": [0, 1, 2, 1]}
NEW = {"f": [0.15, 9.0], "s": ["one", "xx"], "i": [2, 7]}
TABLE = [
    (
        {"features": {"f": "float", "s": "string_categorical", "i": "integer_categorical"}},
        [
            [0.15000000596046448, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            [9.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        ],
    ),
    (
        {
            "features": {"f": "float_normalized", "s": "string_hashed", "i": "integer_hashed"},
            "hashing_dim": 5,
        },
        [
            [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            [79.15680694580078, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        ],
    ),
    (
        {
            "features": {
                "f": "float_discretized",
                "s": "string_categorical",
                "i": "integer_categorical",
            },
            "crosses": [("s", "i")],
            "crossing_dim": 6,
            "num_discretization_bins": 3,
        },
        [
            [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        ],
    ),
    (
        {
            "features": {"f": "float_rescaled", "s": "string_categorical", "i": "integer_hashed"},
            "output_mode": "dict",
            "crosses": [("s", "i")],
            "crossing_dim": 4,
            "hashing_dim": 3,
        },
        {
            "f": [[0.15000000596046448], [9.0]],
            "i": [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]],
            "s": [[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]],
            "s_X_i": [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]],
        },
    ),
]


def same(mine, theirs):
    if isinstance(theirs, dict):
        assert mine.keys() == theirs.keys()
        for name in theirs:
            same(mine[name], theirs[name])
    else:
        np.testing.assert_allclose(mine.numpy(), theirs, atol=1e-5)


def batches(data, size=2):
    rows = len(data["f"])
    return [{n: v[at : at + size] for n, v in data.items()} for at in range(0, rows, size)]


@pytest.mark.parametrize("kw, expected", TABLE, ids=[str(i) for i in range(len(TABLE))])
@pytest.mark.parametrize("form", ["dict", "frame", "batches"])
def test_features(kw, expected, form):
    space = FeatureSpace(**kw)
    data = {"dict": DATA, "frame": pd.DataFrame(DATA), "batches": batches(DATA)}[form]
    space.adapt(data)
    same(space(NEW), expected)
    same(space(pd.DataFrame(NEW)), expected)
    first = lambda y: {n: x[0] for n, x in y.items()} if isinstance(y, dict) else y[0]
    same(space({name: values[0] for name, values in NEW.items()}), first(expected))
    model = lk.Model(space.get_inputs(), space.get_encoded_features())
    same(model({n: np.array(v) for n, v in NEW.items()}), expected)


def test_layers_of_ones_own_and_integers():
    space = FeatureSpace(
        {
            "text": FeatureSpace.feature(
                "string", layers.TextVectorization(output_mode="count"), "float"
            ),
            "s": FeatureSpace.string_categorical(max_tokens=3, output_mode="int"),
            "f": FeatureSpace.float_discretized(4),
        },
        crosses=[FeatureSpace.cross(("s", "f"), 8, output_mode="int")],
        output_mode="dict",
    )
    data = {"text": ["a b", "b"], "s": ["u", "v"], "f": [1.0, 2.0]}
    space.adapt(data)
    y = space(data)
    assert y["text"].tolist() == [[0, 1, 1], [0, 1, 0]]
    assert y["s"].dtype is torch.int64 and y["s"].shape == (2, 1) and y["s_X_f"].shape == (2, 1)
    assert isinstance(space.preprocessors["text"], layers.TextVectorization)
    assert isinstance(space.crossers["s_X_f"], layers.HashedCrossing)


def test_a_model_on_it_and_its_file(tmp_path):
    space = FeatureSpace({"f": "float_normalized", "s": "string_categorical"})
    space.adapt(DATA)
    model = lk.Model(space.get_inputs(), layers.Dense(1)(space.get_encoded_features()))
    model.compile("sgd", "mse")
    frame = pd.DataFrame({n: DATA[n] for n in ("f", "s")})
    model.fit(dict(frame), np.zeros(4), verbose=0)
    expected = model.predict(dict(frame), verbose=0)
    model.save(tmp_path / "m.keras")
    again = lk.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again.predict(dict(frame), verbose=0), expected, atol=1e-6)
    encoded = [(space(b), np.zeros((2, 1))) for b in batches(DATA)]
    head = lk.Sequential([layers.Dense(1)])
    head.compile("sgd", "mse")
    head.fit(iter(encoded), verbose=0)


@pytest.mark.parametrize("row", range(len(TABLE)))
def test_files(row, tmp_path):
    kw, expected = TABLE[row][:2]
    space = FeatureSpace(**kw)
    if space._to_adapt():
        with pytest.raises(ValueError, match=r"has seen no data yet.*Type space\.adapt\(data\)"):
            space.save(tmp_path / "space.keras")
    space.adapt(DATA)
    space(NEW)
    space.save(tmp_path / "space.keras")
    again = lk.saving.load_model(tmp_path / "space.keras")
    assert again.get_config() == space.get_config()
    same(again(NEW), expected)
    model = lk.Model(again.get_inputs(), again.get_encoded_features())
    same(model({n: np.array(v) for n, v in NEW.items()}), expected)


def test_configs():
    space = FeatureSpace(**TABLE[2][0])
    config = space.get_config()
    assert config["features"]["f"]["class_name"] == "Feature"
    again = FeatureSpace.from_config(config)
    assert again.get_config() == config
    again.adapt(DATA)
    same(again(NEW), TABLE[2][1])


@pytest.mark.parametrize(
    "wrong, said",
    [
        (lambda: FeatureSpace({}), "got no features"),
        (lambda: FeatureSpace({"a": "floot"}), "Did you mean 'float'?"),
        (lambda: FeatureSpace({"a": "float"}, output_mode="conct"), "Did you mean 'concat'?"),
        (lambda: FeatureSpace({"a": "float"}, crosses=[("a", "b")]), "Unknown feature 'b'"),
        (lambda: FeatureSpace({"a": "string_categorical"})({"a": ["x"]}), "Type space.adapt(data)"),
        (lambda: FeatureSpace({"a": "float"})([1.0]), "A dict of the features"),
        (lambda: FeatureSpace({"a": "float"})({"b": [1.0]}), "without the feature 'a'"),
        (lambda: FeatureSpace({"a": "float_normalized"}).adapt(3), "adapt(dict(frame))"),
        (lambda: FeatureSpace.cross(("a", "b"), 3, "one_hit"), "Did you mean 'one_hot'?"),
        (
            lambda: FeatureSpace(
                {"a": FeatureSpace.integer_hashed(3, output_mode="int"), "b": "float"}
            )({"a": [1], "b": [1.0]}),
            "cannot stand in one vector",
        ),
        (
            lambda: FeatureSpace(
                {"a": FeatureSpace.feature("float32", layers.Identity(), "one_hot")}
            )({"a": [1]}),
            "is not known",
        ),
    ],
)
def test_mistakes_get_a_sentence(wrong, said):
    with pytest.raises((ValueError, TypeError)) as caught:
        wrong()
    assert said in str(caught.value)
