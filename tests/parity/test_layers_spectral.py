"""Spectrograms and pipelines against Keras, live."""

import keras
import numpy as np
import pytest
import torch
from _layers import check, check_signature

from lightkeras import layers

SIGNAL = np.random.default_rng(0).normal(size=(2, 100, 3)).astype("float32")


@pytest.mark.parametrize("name", ["MelSpectrogram", "STFTSpectrogram", "Pipeline"])
def test_signatures(name):
    check_signature(name)


@pytest.mark.parametrize(
    "kw",
    [
        *({"mode": m} for m in ("log", "magnitude", "psd", "real", "imag", "angle", "stft")),
        {"frame_step": 5},
        {"fft_length": 32},
        {"window": "hamming", "periodic": True},
        {"window": None, "scaling": None},
        {"scaling": "spectrum", "padding": "same"},
        {"padding": "same", "frame_step": 7},
        {"expand_dims": True},
        {"expand_dims": True, "mode": "stft", "padding": "same"},
        {"data_format": "channels_first"},
        {"data_format": "channels_first", "expand_dims": True, "mode": "stft"},
    ],
    ids=str,
)
def test_stft_spectrogram(kw):
    x = SIGNAL.transpose(0, 2, 1).copy() if "data_format" in kw else SIGNAL
    angle = kw.get("mode") == "angle"  # where a part is almost 0 its sign is chance
    options = {"frame_length": 16, **kw}
    check(
        lambda k: k.layers.STFTSpectrogram(**options),
        x,
        gradients=not angle,
        numbers=not angle,
        rtol=1e-4,
        atol=1e-4,
    )
    theirs, mine = keras.layers.STFTSpectrogram(**options), layers.STFTSpectrogram(**options)
    expected = theirs(torch.tensor(x)).detach().numpy()  # the waves that they begin with
    if not angle:
        np.testing.assert_allclose(mine(x).detach().numpy(), expected, rtol=2e-3, atol=1e-4)
    unknown = (None, None, 3) if "data_format" not in kw else (None, 3, None)
    assert mine.compute_output_shape(unknown) == tuple(theirs.compute_output_shape(unknown))


@pytest.mark.parametrize(
    "kw",
    [
        {},
        {"power_to_db": False},
        {"mag_exp": 1.0, "top_db": 20.0},
        {"window": "hamming", "sequence_length": 50},
        {"window": None, "min_freq": 100.0, "max_freq": 3000},
        {"sampling_rate": 8000, "ref_power": 0.5, "min_power": 1e-3},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(400,), (3, 400)])
def test_mel_spectrogram(kw, shape):
    x = np.random.default_rng(1).normal(size=shape).astype("float32")
    options = {"fft_length": 64, "sequence_stride": 16, "num_mel_bins": 10, "name": "a", **kw}
    theirs, mine = keras.layers.MelSpectrogram(**options), layers.MelSpectrogram(**options)
    expected = theirs(torch.tensor(x)).numpy()
    y = mine(x)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-3, atol=2e-3)
    assert mine.compute_output_shape(shape) == tuple(theirs.compute_output_shape(shape))
    assert mine.compute_output_shape(shape) == tuple(y.shape)
    assert mine.get_config().keys() == theirs.get_config().keys()
    again = layers.MelSpectrogram.from_config(theirs.get_config())
    np.testing.assert_array_equal(again(x).numpy(), y.numpy())
    matrix = theirs.linear_to_mel_weight_matrix().numpy()
    np.testing.assert_allclose(mine.linear_to_mel_weight_matrix().numpy(), matrix, atol=1e-4)


IMAGES = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3)).astype("float32")


def test_pipelines():
    make = lambda k: k.layers.Pipeline(
        [k.layers.Resizing(6, 5), k.layers.Rescaling(1 / 255), k.layers.CenterCrop(4, 4)], name="a"
    )
    import lightkeras as lk

    theirs, mine = make(keras), make(lk)
    np.testing.assert_allclose(mine(IMAGES).numpy(), theirs(IMAGES).numpy(), atol=1e-5)
    assert mine.compute_output_shape((None, 8, 8, 3)) == (None, 4, 4, 3)
    again = layers.Pipeline.from_config(theirs.get_config())
    np.testing.assert_array_equal(again(IMAGES).numpy(), mine(IMAGES).numpy())
    back = keras.layers.Pipeline.from_config(mine.get_config())
    np.testing.assert_allclose(back(IMAGES).numpy(), mine(IMAGES).numpy(), atol=1e-5)


def test_a_pipeline_trains_by_itself_and_rests_in_evaluate(tmp_path):
    import lightkeras as lk

    pipeline = layers.Pipeline([layers.RandomFlip("horizontal", seed=1), layers.Dropout(0.5)])
    x = torch.ones(64, 4, 4, 3)
    assert (pipeline(x) == 0).any()
    assert torch.equal(pipeline(x, training=False), x)
    model = lk.Sequential([lk.Input((4, 4, 3)), pipeline, layers.Flatten(), layers.Dense(1)])
    assert model.output_shape == (None, 1)
    model.compile("sgd", "mse")
    model.fit(IMAGES[:, :4, :4], np.zeros(3), verbose=0)
    y = model.predict(IMAGES[:, :4, :4], verbose=0)
    np.testing.assert_array_equal(model.predict(IMAGES[:, :4, :4], verbose=0), y)
    model.save(tmp_path / "m.keras")
    again = lk.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.predict(IMAGES[:, :4, :4], verbose=0), y)
    theirs = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(theirs.predict(IMAGES[:, :4, :4], verbose=0), y, rtol=1e-4)
    data = lk.utils.timeseries_dataset_from_array(IMAGES, None, 1, batch_size=2)
    assert len(list(data.map(lambda x: pipeline(x[:, 0])))) == 2


@pytest.mark.parametrize(
    "wrong, said",
    [
        (lambda: layers.STFTSpectrogram("logs"), "Did you mean 'log'?"),
        (lambda: layers.STFTSpectrogram(frame_step=300), "leaves steps out"),
        (lambda: layers.STFTSpectrogram(fft_length=8), "cuts pieces off"),
        (lambda: layers.STFTSpectrogram(scaling="dense"), "Known: density, spectrum"),
        (lambda: layers.STFTSpectrogram(padding="sam"), "Did you mean 'same'?"),
        (lambda: layers.STFTSpectrogram()(np.zeros((2, 300), "float32")), "It takes 3 axes"),
        (lambda: layers.MelSpectrogram(num_mel_bins=0), "is not a size"),
        (lambda: layers.MelSpectrogram(fft_length=8, sequence_length=9), "cuts pieces off"),
        (lambda: layers.Pipeline(layers.Dropout(0.1)), "It takes a list of layers"),
        (lambda: layers.Pipeline([abs]), "It takes a list of layers"),
        (lambda: layers.Pipeline.from_config({"name": "a"}), "no list of layers"),
    ],
)
def test_mistakes_get_a_sentence(wrong, said):
    with pytest.raises((ValueError, TypeError)) as caught:
        wrong()
    assert said in str(caught.value)


def test_a_length_that_is_no_power_of_two():
    with pytest.warns(UserWarning, match="no power of two"):
        layers.STFTSpectrogram(frame_length=8, fft_length=12)
