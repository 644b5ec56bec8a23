"""Dropout and its relatives against the installed Keras: shapes, statistics, seeds, refusals."""

import math
import re

import keras
import numpy as np
import pytest
import torch
from _layers import OURS, check, check_signature

from lightkeras import layers

X = (64, 50, 8)

TABLE = [
    ("Dropout", {"rate": 0.3}, X),
    ("Dropout", {"rate": 0.3, "seed": 7}, X),
    ("Dropout", {"rate": 0.3, "noise_shape": (None, 1, None)}, X),
    ("Dropout", {"rate": 0.3, "noise_shape": [64, 1, 8]}, X),
    ("SpatialDropout1D", {"rate": 0.3}, X),
    ("SpatialDropout2D", {"rate": 0.3}, (40, 6, 7, 8)),
    ("SpatialDropout2D", {"rate": 0.3, "data_format": "channels_first"}, (40, 8, 6, 7)),
    ("SpatialDropout3D", {"rate": 0.3, "seed": 3}, (40, 3, 4, 5, 8)),
    ("SpatialDropout3D", {"rate": 0.3, "data_format": "channels_first"}, (40, 8, 3, 4, 5)),
    ("GaussianNoise", {"stddev": 0.2}, X),
    ("GaussianDropout", {"rate": 0.3}, X),
    ("AlphaDropout", {"rate": 0.3}, X),
    ("AlphaDropout", {"rate": 0.3, "noise_shape": (None, 1, None), "seed": 1}, X),
]


@pytest.mark.parametrize(("name", "kwargs", "shape"), TABLE)
def test_inference_configs_and_shapes_as_keras(name, kwargs, shape):
    # A new layer is in inference, so that the input comes back as it is.
    check(lambda k: getattr(k.layers, name)(**kwargs), shape, modes=(False,))
    check(lambda k: getattr(k.layers, name)(**kwargs), shape, modes=(True,), numbers=False)


@pytest.mark.parametrize(("name", "kwargs", "shape"), TABLE)
def test_statistics_as_keras(name, kwargs, shape):
    """Mean, spread, share of zeros, and how the noise is shared along each axis."""
    x = torch.ones(shape) if "Drop" in name and "Alpha" not in name else torch.zeros(shape)

    def facts(k):
        torch.manual_seed(0)
        y = getattr(k.layers, name)(**kwargs)(x, training=True)
        shared = [float((y == y.narrow(a, 0, 1)).float().mean()) > 0.99 for a in range(y.ndim)]
        return [float(y.mean()), float(y.std()), float((y == 0).float().mean())], shared

    (a, shared_a), (b, shared_b) = facts(keras), facts(OURS)
    assert shared_b == shared_a
    independent = np.prod([n for n, s in zip(shape, shared_a, strict=True) if not s])
    np.testing.assert_allclose(b, a, atol=6 / math.sqrt(independent))


@pytest.mark.parametrize(
    "name",
    [
        *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
        *("GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization"),
    ],
)
def test_signatures(name):
    check_signature(name)


@pytest.mark.parametrize("rate", [0, 0.0, 1])
@pytest.mark.parametrize("name", ["Dropout", "AlphaDropout"])
def test_nothing_and_everything(name, rate):
    y = getattr(layers, name)(rate)(torch.ones(50), training=True)
    if name == "Dropout" or rate == 0:
        assert torch.equal(y, torch.full((50,), 1.0 - rate))
    assert torch.isfinite(y).all()


def test_alpha_dropout_keeps_mean_and_variance():
    torch.manual_seed(0)
    y = layers.AlphaDropout(0.4)(torch.randn(200_000), training=True)
    assert abs(y.mean()) < 0.02 and abs(y.var() - 1) < 0.02


@pytest.mark.parametrize(
    ("name", "kwargs"), [("Dropout", {"rate": 0.5}), ("GaussianNoise", {"stddev": 1})]
)
def test_a_seed_gives_numbers_of_its_own(name, kwargs):
    make = getattr(layers, name)
    x = torch.ones(100)
    one, other = make(**kwargs, seed=5), make(**kwargs, seed=5)
    before = torch.get_rng_state()
    a, b = one(x, training=True), one(x, training=True)
    assert torch.equal(before, torch.get_rng_state())  # the global numbers are left alone
    assert not torch.equal(a, b)
    assert torch.equal(other(x, training=True), a)
    state = other.seed_generator.get_state()
    assert torch.equal(other(x, training=True), b)
    other.seed_generator.set_state(state)
    assert torch.equal(other(x, training=True), b)


def test_without_a_seed_the_global_numbers_count():
    x, layer = torch.ones(100), layers.Dropout(0.5)
    torch.manual_seed(3)
    a = layer(x, training=True)
    torch.manual_seed(3)
    assert torch.equal(layer(x, training=True), a)


def test_dropout_that_stays_on():
    """The well-known subclass for uncertainty."""

    class Always(layers.Dropout):
        def call(self, inputs):
            return super().call(inputs, training=True)

    x = torch.ones(1000)
    assert 300 < int((Always(0.5)(x) == 0).sum()) < 700
    assert torch.equal(layers.Dropout(0.5)(x), x)


def test_training_mode_of_torch_counts():
    layer, x = layers.Dropout(0.5), torch.ones(1000)
    layer(x)
    layer.train()
    assert (layer(x) == 0).any()
    layer.eval()
    assert torch.equal(layer(x), x)


def test_a_rate_may_change():
    layer = layers.Dropout(0.5)
    layer.rate = 0.9
    assert layer.get_config()["rate"] == 0.9
    assert (layer(torch.ones(10_000), training=True) == 0).float().mean() > 0.85


def test_whole_numbers_become_floats():
    x = torch.arange(4)
    assert layers.GaussianNoise(0.1)(x, training=True).dtype is torch.float32
    assert layers.Dropout(0.1)(x, training=True).dtype is torch.float32


def test_a_mask_goes_through():
    x = torch.ones(2, 3, 4)
    x._keras_mask = torch.tensor([[True, False, True]] * 2)
    for layer in (layers.Dropout(0.5), layers.SpatialDropout1D(0.5), layers.GaussianNoise(0.1)):
        assert layer(x, training=True)._keras_mask is x._keras_mask


@pytest.mark.parametrize("kwargs", [{}, {"l1": 0.1}, {"l2": 0.3}, {"l1": 0.1, "l2": 0.3}])
def test_activity_regularization(kwargs):
    check(lambda k: k.layers.ActivityRegularization(**kwargs), (3, 4), unknown=[(None, None)])


def test_large_noise_is_fine():
    """Keras 3 refuses more than 1; pictures of 0 to 255 want it."""
    assert layers.GaussianNoise(25.0)(torch.zeros(1000), training=True).std() > 20


def test_old_names():
    with pytest.warns(UserWarning, match="'p' is an old Keras spelling"):
        assert layers.Dropout(p=0.3).rate == 0.3
    with pytest.warns(UserWarning, match="'sigma' is an old Keras spelling"):
        assert layers.GaussianNoise(sigma=0.3).stddev == 0.3


REFUSALS = [
    (
        lambda: layers.Dropout(50),
        "Dropout(rate=50) is out of range",
        "For 50 percent type rate=0.5.",
    ),
    (lambda: layers.Dropout(-0.1), "a share from 0 to 1", "Type for example rate=0.5."),
    (lambda: layers.Dropout("0.5"), "Dropout(rate='0.5')", "rate=0.5"),
    (lambda: layers.Dropout(True), "Dropout(rate=True)", "rate=0.5"),
    (lambda: layers.SpatialDropout2D(20), "SpatialDropout2D(rate=20)", "rate=0.2"),
    (lambda: layers.GaussianDropout(1), "infinite noise", "GaussianDropout(0.5)"),
    (lambda: layers.AlphaDropout(2), "AlphaDropout(rate=2)", "rate=0.02"),
    (lambda: layers.GaussianNoise(-1), "GaussianNoise(stddev=-1)", "GaussianNoise(0.1)"),
    (lambda: layers.Dropout(0.5, noise_shape=3), "noise_shape=3", "(None, 1, None)"),
    (lambda: layers.Dropout(0.5, noise_shape=(2, 0)), "noise_shape=(2, 0)", "above 0"),
    (lambda: layers.SpatialDropout1D(0.5)(torch.zeros(2, 3)), "2 axes", "(batch, time, features)"),
]


@pytest.mark.parametrize(("action", "given", "fix"), REFUSALS)
def test_refusals(action, given, fix):
    with pytest.raises(ValueError, match=re.escape(given)) as error:
        action()
    assert fix in str(error.value)
