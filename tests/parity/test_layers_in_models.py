"""Layers in whole models: masks on their way into losses and metrics, and files both ways."""

import keras
import numpy as np
import pytest
from _layers import check_weights

import lightkeras
from lightkeras._registry import reset_names

IDS = np.array([[1, 2, 0, 0], [3, 1, 2, 4], [4, 0, 0, 0], [2, 2, 3, 0]])
Y = np.random.default_rng(0).normal(size=(4, 4, 3)).astype("float32")
# {what stands between the embedding and the loss: how it is made of (k, embedded)}
WAYS = {
    "LSTM": lambda k, x: k.layers.LSTM(3, return_sequences=True)(x),
    "GRU": lambda k, x: k.layers.GRU(3, return_sequences=True)(x),
    "SimpleRNN": lambda k, x: k.layers.SimpleRNN(3, return_sequences=True)(x),
    "RNN": lambda k, x: k.layers.RNN(k.layers.GRUCell(3), return_sequences=True)(x),
    "Bidirectional": lambda k, x: k.layers.Bidirectional(
        k.layers.GRU(3, return_sequences=True), merge_mode="sum"
    )(x),
    "TimeDistributed": lambda k, x: k.layers.TimeDistributed(k.layers.Dense(3))(x),
    "Add": lambda k, x: k.layers.Add()([x, k.layers.ReLU()(x)]),
    "Multiply": lambda k, x: k.layers.Multiply()([x, k.layers.Dropout(0.5)(x)]),
    "Concatenate": lambda k, x: k.layers.Dense(3)(k.layers.Concatenate()([x, x])),
    "LayerNormalization": lambda k, x: k.layers.LayerNormalization()(x),
    "BatchNormalization": lambda k, x: k.layers.BatchNormalization()(x),
    "Activation": lambda k, x: k.layers.Activation("tanh")(x),
    "MultiHeadAttention": lambda k, x: k.layers.MultiHeadAttention(1, 3)(x, x),
    **{
        f"beside attention, {name}": lambda k, x, after=after: after(
            k, k.layers.Add()([x, k.layers.MultiHeadAttention(1, 3)(x, x)])
        )
        for name, after in {
            "nothing": lambda k, x: x,
            "Dense": lambda k, x: k.layers.Dense(3)(k.layers.LayerNormalization()(x)),
            "LSTM": lambda k, x: k.layers.LSTM(3, return_sequences=True)(x),
            "BatchNormalization": lambda k, x: k.layers.BatchNormalization()(x),
            "pooling": lambda k, x: k.layers.RepeatVector(4)(k.layers.GlobalAveragePooling1D()(x)),
            "attention": lambda k, x: k.layers.Add()([x, k.layers.MultiHeadAttention(1, 3)(x, x)]),
            "attention and GRU": lambda k, x: k.layers.GRU(3, return_sequences=True)(
                k.layers.Add()([x, k.layers.MultiHeadAttention(2, 2)(x, x)])
            ),
        }.items()
    },
    "a layer that drops it": lambda k, x: k.layers.Conv1D(3, 2, padding="same")(x),
}


def compiled(k, name):
    entry = k.Input((4,), dtype="int64")
    x = k.layers.Embedding(5, 3, mask_zero=True)(entry)
    model = k.Model(entry, WAYS[name](k, x))
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mse"])
    return model


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.filterwarnings("ignore")
def test_masks_reach_losses_and_metrics(name):
    keras.backend.clear_session(free_memory=False)
    reset_names()
    theirs, mine = (compiled(k, name) for k in (keras, lightkeras))
    check_weights(theirs, mine, paths=False)
    weights = np.arange(16, dtype="float32").reshape(4, 4) / 8
    for more in ({}, {"sample_weight": weights}):
        a, b = (m.evaluate(IDS, Y, verbose=0, return_dict=True, **more) for m in (theirs, mine))
        assert b == pytest.approx(a, rel=1e-5)
    a, b = (m.train_on_batch(IDS, Y, return_dict=True) for m in (theirs, mine))
    if name != "Multiply":  # its dropout draws
        assert b == pytest.approx(a, rel=1e-5)
        for v, w in zip(theirs.get_weights(), mine.get_weights(), strict=True):
            np.testing.assert_allclose(w, v, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inner", ["Dense", "Conv1D"])
@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_files_of_spectral_normalization_go_both_ways(inner, ending, tmp_path):
    def make(k):
        one = k.layers.Dense(3) if inner == "Dense" else k.layers.Conv1D(3, 2)
        return k.Sequential([k.Input((4, 3)), k.layers.SpectralNormalization(one)])

    x = np.random.default_rng(1).normal(size=(2, 4, 3)).astype("float32")
    for source, target in ((keras, lightkeras), (lightkeras, keras)):
        model, path = make(source), str(tmp_path / f"{source.__name__}{ending}")
        model.layers[-1](x, training=True)  # moves the estimate
        if ending == ".keras":
            model.save(path)
            again = target.models.load_model(path)
        else:
            model.save_weights(path)
            again = make(target)
            again.load_weights(path)
        for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
            np.testing.assert_array_equal(b, a)
        np.testing.assert_allclose(
            again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6
        )
