"""CategoryEncoding and Discretization against Keras, live; signatures of the other layers, too."""

import json

import keras
import numpy as np
import pytest
import torch
from _layers import check_signature

from lightkeras import layers

IDS = np.array([[3, 0, 3], [1, 2, 0]])
INPUTS = [IDS, IDS[:, :1], IDS[0], np.int64(2), IDS.reshape(1, 2, 3), IDS.astype("float32")]


@pytest.mark.parametrize(
    "name",
    [
        "CategoryEncoding",
        "Discretization",
        "HashedCrossing",
        "Hashing",
        "IntegerLookup",
        "StringLookup",
        "TextVectorization",
    ],
)
def test_signatures(name):
    check_signature(name)


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count", "binary"])
@pytest.mark.parametrize("x", INPUTS, ids=lambda x: f"{np.shape(x)}{x.dtype}")
def test_category_encoding(mode, x):
    theirs = keras.layers.CategoryEncoding(4, output_mode=mode, name="a")
    mine = layers.CategoryEncoding(4, output_mode=mode, name="a")
    expected = theirs(torch.as_tensor(x).long()).numpy()
    y = mine(x)
    np.testing.assert_array_equal(y.numpy(), expected)
    assert str(y.dtype).removeprefix("torch.") == str(expected.dtype)
    assert mine.compute_output_shape(np.shape(x)) == tuple(y.shape)
    config = json.loads(json.dumps(theirs.get_config()))
    assert layers.CategoryEncoding.from_config(config).get_config() == mine.get_config()
    assert mine.get_config().keys() == theirs.get_config().keys()
    keras.layers.CategoryEncoding.from_config(mine.get_config())


def test_weights_of_counts():
    weights = np.array([[0.5, 1, 2], [1, 2, 0.25]], "float32")
    theirs = keras.layers.CategoryEncoding(4, output_mode="count")
    mine = layers.CategoryEncoding(4, output_mode="count")
    expected = theirs(torch.tensor(IDS), count_weights=weights).numpy()
    np.testing.assert_array_equal(mine(IDS, count_weights=weights).numpy(), expected)
    with pytest.raises(ValueError, match='Type output_mode="count"'):
        layers.CategoryEncoding(4)(IDS, count_weights=weights)


VALUES = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
@pytest.mark.parametrize(
    "x", [VALUES, VALUES[:, :1], VALUES[0], VALUES.reshape(4, 10, 3)], ids=lambda x: str(x.shape)
)
def test_discretization(mode, x):
    kw = {"bin_boundaries": [-1.0, 0.0, float(VALUES[0, 0]), 2.0], "output_mode": mode, "name": "a"}
    theirs, mine = keras.layers.Discretization(**kw), layers.Discretization(**kw)
    expected = theirs(torch.tensor(x)).numpy()
    y = mine(x)
    np.testing.assert_array_equal(y.numpy(), expected)
    assert str(y.dtype).removeprefix("torch.") == str(expected.dtype)
    assert mine.compute_output_shape(x.shape) == tuple(y.shape)


def adapt(layer, batches):
    """Keras's adapt() itself needs TensorFlow, to see whether it was given its data set."""
    for batch in batches:
        layer.update_state(batch)
    layer.finalize_state()


@pytest.mark.parametrize("bins", [1, 2, 5, 30])
@pytest.mark.parametrize("epsilon", [0.01, 0.2])
@pytest.mark.parametrize("cut", [1, 5, 40])
def test_adapted_boundaries(bins, epsilon, cut):
    kw = {"num_bins": bins, "epsilon": epsilon, "name": "a"}
    theirs, mine = keras.layers.Discretization(**kw), layers.Discretization(**kw)
    batches = [VALUES[start : start + cut] for start in range(0, 40, cut)]
    adapt(theirs, batches)
    mine.adapt(iter(batches))
    np.testing.assert_allclose(mine.bin_boundaries, theirs.bin_boundaries, rtol=1e-5, atol=1e-6)
    again = layers.Discretization.from_config(theirs.get_config())
    assert again.get_config() == theirs.get_config()
    if bins > 1:
        np.testing.assert_array_equal(again(VALUES).numpy(), theirs(torch.tensor(VALUES)).numpy())
        back = keras.layers.Discretization.from_config(mine.get_config())
        np.testing.assert_array_equal(back(torch.tensor(VALUES)).numpy(), mine(VALUES).numpy())


def test_files_both_ways(tmp_path):
    import lightkeras as lk

    def model(k):
        x = k.Input((3,))
        discretize = k.layers.Discretization(num_bins=4)
        adapt(discretize, [VALUES])
        y = k.layers.CategoryEncoding(4, output_mode="count")(discretize(x))
        return k.Model(x, k.layers.Dense(2)(y))

    model(keras).save(tmp_path / "keras.keras")
    model(lk).save(tmp_path / "ours.keras")
    for name in ("keras", "ours"):
        theirs = keras.models.load_model(tmp_path / f"{name}.keras")
        mine = lk.saving.load_model(tmp_path / f"{name}.keras")
        np.testing.assert_allclose(
            mine.predict(VALUES, verbose=0), theirs.predict(VALUES, verbose=0), atol=1e-6
        )
