"""The networks of `keras.applications` come from torchvision: one is fine-tuned as in Keras."""

import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras import layers

models = pytest.importorskip("torchvision.models")

X = np.random.default_rng(0).normal(size=(6, 32, 32, 3)).astype("float32")
Y = np.array([0, 1, 2, 0, 1, 2])


def network():
    """A small network with batch normalization, without its last layer."""
    torch.manual_seed(0)
    net = models.shufflenet_v2_x0_5(weights=None)
    net.fc = torch.nn.Identity()
    return net


def fine_tuned(base):
    x = lk.Input((32, 32, 3))
    y = layers.Permute((3, 1, 2))(x)  # torchvision has the channels first
    y = layers.Dense(3, activation="softmax", name="head")(base(y, training=False))
    return lk.Model(x, y)


def test_a_frozen_network_with_a_new_head():
    base = layers.TorchModuleWrapper(network())
    base.trainable = False
    model = fine_tuned(base)
    assert model.output_shape == (None, 3)
    assert [w.name for w in model.trainable_weights] == ["kernel", "bias"]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.compile(lk.optimizers.Adam(0.1), "sparse_categorical_crossentropy")
    model.fit(X, Y, batch_size=3, epochs=2, verbose=0)
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"head.weight", "head.bias"}  # not the moving averages either
    features = network().eval()(torch.tensor(X).permute(0, 3, 1, 2))
    expected = model.get_layer("head")(features)
    np.testing.assert_allclose(model.predict(X, verbose=0), expected.detach(), atol=1e-5)


def test_then_all_of_it_is_trained_and_stored(tmp_path):
    base = layers.TorchModuleWrapper(network())
    model = fine_tuned(base)
    model.compile(lk.optimizers.SGD(1e-3), "sparse_categorical_crossentropy")
    before = base.module.conv1[0].weight.clone()
    model.fit(X, Y, epochs=1, verbose=0)
    assert not torch.equal(base.module.conv1[0].weight, before)
    model.save_weights(tmp_path / "model.weights.h5")
    again = fine_tuned(layers.TorchModuleWrapper(network()))
    again.load_weights(tmp_path / "model.weights.h5")
    assert np.array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
