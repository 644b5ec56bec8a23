"""Models with ops in them: files that go both ways with Keras, and layers written with ops."""

import keras
import numpy as np
import pytest
import torch

import lightkeras
from lightkeras import models, ops, saving

GENERATOR = np.random.default_rng(0)


def numbers(*shape):
    return GENERATOR.normal(size=shape).astype("float32")


KERNEL = numbers(3, 3, 4)
DEEP, MIX = numbers(3, 4, 2), numbers(1, 8, 5)
TURN = np.array([[0.8, -0.6, 2.0, 0.6, 0.8, -1.5, 0, 0]] * 2, "float32")

# (what, shapes of the inputs, outputs of them; `o` is ops of either library)
ROWS = [
    ("relu", [(3,)], lambda o, x: o.relu(x)),
    ("gelu", [(3,)], lambda o, x: o.gelu(x, approximate=False)),
    ("glu", [(6,)], lambda o, x: o.glu(x)),
    ("softmax", [(4, 3)], lambda o, x: o.softmax(x, axis=1)),
    ("leaky_relu", [(3,)], lambda o, x: o.leaky_relu(x, 0.1)),
    ("threshold", [(3,)], lambda o, x: o.threshold(x, 0.5, -1.0)),
    ("hard_swish", [(3,)], lambda o, x: o.hard_swish(x)),
    ("sparse_plus", [(3,)], lambda o, x: o.sparse_plus(x)),
    ("max_pool", [(8, 8, 3)], lambda o, x: o.max_pool(x, 2, padding="same")),
    ("average_pool", [(9, 3)], lambda o, x: o.average_pool(x, 3, strides=2)),
    ("conv", [(8, 3)], lambda o, x: o.conv(x, KERNEL, padding="same")),
    ("depthwise", [(8, 4)], lambda o, x: o.depthwise_conv(x, DEEP, strides=2)),
    ("separable", [(8, 4)], lambda o, x: o.separable_conv(x, DEEP, MIX)),
    ("unfold", [(3, 6, 6)], lambda o, x: o.unfold(x, 2, stride=2)),
    ("blocks", [(4, 6, 4)], lambda o, x: o.space_to_depth(o.depth_to_space(x, 2), 2)),
    ("normalize", [(5,)], lambda o, x: o.normalize(x, order=2)),
    ("layer_norm", [(5,)], lambda o, x: o.layer_normalization(x, epsilon=1e-3)),
    ("moments", [(5, 3)], lambda o, x: o.moments(x, axes=[1])),
    ("one_hot", [(4,)], lambda o, x: o.one_hot(o.cast(o.abs(x), "int32"), 4)),
    ("crossentropy", [(4,), (4,)], lambda o, x, y: o.binary_crossentropy(o.sigmoid(x), y, True)),
    (
        "attention",
        [(5, 2, 4), (6, 2, 4)],
        lambda o, x, y: o.dot_product_attention(x, y, y, is_causal=True),
    ),
    ("scaled", [(5, 2, 4)], lambda o, x: o.dot_product_attention(x, x, x, scale=0.3)),
    ("segments", [(4, 3)], lambda o, x: o.logsumexp(x, axis=-1, keepdims=True)),
    ("top_k", [(6,)], lambda o, x: o.top_k(x, 2)[0]),
    ("fft", [(8,)], lambda o, x: o.irfft(o.rfft(x))),
    ("stft", [(32,)], lambda o, x: o.stft(x, 8, 4, 8, window="hamming")[0]),
    ("erf", [(3,)], lambda o, x: o.erf(o.rsqrt(o.abs(x) + 1.0))),
    ("cdist", [(3, 2), (4, 2)], lambda o, x, y: o.cdist(x, y)),
    ("norm", [(3, 4)], lambda o, x: o.norm(x, ord=1, axis=-1)),
    ("det", [(3, 3)], lambda o, x: o.det(x)),
    ("solve", [(3, 3), (3, 2)], lambda o, x, y: o.solve(x, y)),
    ("svd", [(4, 3)], lambda o, x: o.svd(x, full_matrices=False)[1]),
    ("resize", [(6, 6, 3)], lambda o, x: o.image.resize(x, (4, 9), "bicubic", antialias=True)),
    ("pad", [(6, 6, 3)], lambda o, x: o.image.pad_images(x, 1, 2, target_height=9, target_width=9)),
    ("crop", [(6, 6, 3)], lambda o, x: o.image.crop_images(x, 1, 2, 1, 1)),
    ("patches", [(6, 6, 3)], lambda o, x: o.image.extract_patches(x, (2, 3), padding="same")),
    ("volumes", [(4, 4, 4, 1)], lambda o, x: o.image.extract_patches_3d(x, 2)),
    ("blur", [(6, 6, 3)], lambda o, x: o.image.gaussian_blur(x, (3, 3), (1.0, 2.0))),
    ("grey", [(6, 6, 3)], lambda o, x: o.image.rgb_to_grayscale(x)),
    ("hsv", [(6, 6, 3)], lambda o, x: o.image.hsv_to_rgb(o.image.rgb_to_hsv(o.sigmoid(x)))),
    ("sobel", [(6, 6, 3)], lambda o, x: o.image.sobel_edges(x)),
    ("ssim", [(9, 9, 1), (9, 9, 1)], lambda o, x, y: o.image.ssim(x, y, filter_size=5)),
    ("affine", [(6, 6, 3), (8,)], lambda o, x, y: o.image.affine_transform(x, y, "nearest")),
]


def built(library, shapes, function):
    """A model of the ops."""
    inputs = [library.Input(shape) for shape in shapes]
    return library.Model(inputs, function(library.ops, *inputs))


def outputs(result):
    results = result if isinstance(result, (list, tuple)) else [result]
    return [r.detach().cpu().numpy() for r in results]


@pytest.mark.parametrize(("shapes", "function"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_files_go_both_ways(shapes, function, tmp_path):
    x = [numbers(2, *shape) for shape in shapes]
    if shapes[-1] == (8,) and len(shapes) == 2:
        x[1] = TURN
    given = [torch.tensor(v) for v in x]
    theirs, mine = (built(k, shapes, function) for k in (keras, lightkeras))
    wanted = outputs(theirs([g.clone() for g in given]))
    for model, load in ((mine, keras.saving.load_model), (theirs, saving.load_model)):
        model.save(tmp_path / "model.keras")
        again = load(tmp_path / "model.keras")
        for loaded in (model, again):
            got = outputs(loaded([g.clone() for g in given]))
            assert len(got) == len(wanted)
            for a, b in zip(got, wanted, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
        assert [tuple(t.shape) for t in again.outputs] == [tuple(t.shape) for t in model.outputs]


@pytest.mark.parametrize(
    ("shape", "function"),
    [
        ((8, 4), lambda x: ops.conv_transpose(x, KERNEL, strides=2, output_padding=1)),
        ((4, 8, 8), lambda x: ops.adaptive_max_pool(x, (2, 3), "channels_first")),
        ((6, 6, 3), lambda x: ops.image.elastic_transform(x, alpha=0.0)),
    ],
)
def test_files_that_keras_cannot_read(shape, function, tmp_path):
    """Keras stops at its own files with these, too."""
    x = torch.tensor(numbers(2, *shape))
    entry = lightkeras.Input(shape)
    model = lightkeras.Model(entry, function(entry))
    model.save(tmp_path / "model.keras")
    for again in (saving.load_model(tmp_path / "model.keras"), models.clone_model(model)):
        assert torch.equal(again(x), model(x))
        assert again.output_shape == model.output_shape


# ---- layers, losses and metrics written with ops ------------------------------------------------


def pyramid(k):
    """A layer for Keras 3: means at several sizes, brought together and weighted."""

    class Pyramid(k.layers.Layer):
        def __init__(self, filters, **kwargs):
            super().__init__(**kwargs)
            self.filters = filters

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(1, 1, 3 * input_shape[-1], self.filters))
            self.gamma = self.add_weight(shape=(self.filters,), initializer="ones")
            self.beta = self.add_weight(shape=(self.filters,), initializer="zeros")

        def call(self, x):
            height, width = x.shape[1:3]
            pooled = [x]
            for size in (2, 4):
                y = k.ops.average_pool(x, size, padding="same")
                pooled.append(k.ops.image.resize(y, (height, width)))
            y = k.ops.conv(k.ops.concatenate(pooled, axis=-1), self.kernel)
            return k.ops.gelu(k.ops.layer_normalization(y, self.gamma, self.beta))

    return Pyramid(4)


def attention(k):
    """A layer for Keras 3: two heads, with a gate on what they find."""

    class Attention(k.layers.Layer):
        def build(self, input_shape):
            units = input_shape[-1]
            self.heads = self.add_weight(shape=(units, 3 * units), initializer="glorot_uniform")
            self.gate = self.add_weight(shape=(units,), initializer="zeros")

        def call(self, x):
            x = k.ops.reshape(x, (-1, 16, 4))
            parts = k.ops.split(k.ops.matmul(x, self.heads), 3, axis=-1)
            query, key, value = (k.ops.reshape(p, (-1, 16, 2, 2)) for p in parts)
            y = k.ops.dot_product_attention(query, key, value, is_causal=True)
            return x + k.ops.sigmoid(self.gate) * k.ops.reshape(y, (-1, 16, 4))

    return Attention()


def focal(k):
    """A loss for Keras 3."""

    def loss(y_true, y_pred):
        p = k.ops.clip(y_pred, 1e-6, 1 - 1e-6)
        hot = k.ops.one_hot(k.ops.cast(k.ops.squeeze(y_true, -1), "int32"), 3)
        entropy = k.ops.categorical_crossentropy(hot, p)
        return k.ops.mean(entropy * k.ops.square(1 - k.ops.sum(hot * p, axis=-1)))

    return loss


def hits(k):
    def in_two(y_true, y_pred):
        return k.ops.cast(k.ops.in_top_k(k.ops.reshape(y_true, (-1,)), y_pred, 2), "float32")

    return in_two


def network(k):
    return k.Sequential(
        [
            k.Input((4, 4, 2)),
            pyramid(k),
            attention(k),
            k.layers.Flatten(),
            k.layers.Dense(3, activation=k.ops.softmax),
        ]
    )


def test_layers_written_with_ops_train_as_in_keras():
    x, y = numbers(32, 4, 4, 2), GENERATOR.integers(0, 3, (32, 1))
    theirs, mine = network(keras), network(lightkeras)
    mine.set_weights(theirs.get_weights())
    logs = []
    for k, model in ((keras, theirs), (lightkeras, mine)):
        optimizer = k.optimizers.SGD(0.1, momentum=0.9)
        model.compile(optimizer, loss=focal(k), metrics=[hits(k)])
        run = model.fit(x, y, batch_size=8, epochs=4, shuffle=False, verbose=0)
        logs.append(run.history)
    assert logs[0].keys() == logs[1].keys()
    for name, wanted in logs[0].items():
        np.testing.assert_allclose(logs[1][name], wanted, rtol=1e-3, atol=1e-4, err_msg=name)
    assert logs[1]["loss"][-1] < logs[1]["loss"][0]
    for a, b in zip(mine.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3)


def test_layers_written_with_ops_stand_in_functional_models():
    entry = lightkeras.Input((4, 4, 2))
    model = lightkeras.Model(entry, pyramid(lightkeras)(entry))
    assert model.output_shape == (None, 4, 4, 4)
    assert tuple(model(numbers(3, 4, 4, 2)).shape) == (3, 4, 4, 4)
