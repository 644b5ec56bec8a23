"""Whole models, trained in both from the same weights on the same batches: every step is equal."""

import warnings

import keras
import numpy as np
import pytest
import torch

import lightkeras as lk

STEPS, ROWS = 20, 8
RNG = np.random.default_rng(7)


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


def classes(count, *shape):
    return RNG.integers(count, size=shape)


# ---- the models ---------------------------------------------------------------------------------
# Each is a function of the module (`lightkeras` or `keras`) that returns a compiled model.


def mlp(k):
    model = k.Sequential(
        [
            k.Input((6,)),
            k.layers.Dense(16, activation="relu", kernel_regularizer=k.regularizers.L2(0.01)),
            k.layers.BatchNormalization(),
            k.layers.Dense(8, activation="gelu"),
            k.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(
        k.optimizers.AdamW(0.005, weight_decay=0.02, clipnorm=1.0),
        "sparse_categorical_crossentropy",
        metrics=["accuracy", k.metrics.SparseTopKCategoricalAccuracy(2)],
        weighted_metrics=["sparse_categorical_crossentropy"],
    )
    return model


def cnn(k):
    model = k.Sequential(
        [
            k.Input((8, 8, 2)),
            k.layers.Conv2D(4, 3, padding="same", activation="relu"),
            k.layers.MaxPooling2D(),
            k.layers.DepthwiseConv2D(3, depth_multiplier=2, activation="elu"),
            k.layers.SeparableConv2D(5, 2, strides=1, padding="same"),
            k.layers.GlobalAveragePooling2D(),
            k.layers.Dense(3),
        ]
    )
    loss = k.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    metrics = ["categorical_accuracy", "mse"]
    model.compile(k.optimizers.SGD(0.05, momentum=0.9, nesterov=True), loss, metrics=metrics)
    return model


def lstm(k):
    model = k.Sequential(
        [
            k.Input((7,), dtype="int32"),
            k.layers.Embedding(11, 5, mask_zero=True),
            k.layers.LSTM(6, return_sequences=True),
            k.layers.LSTM(4),
            k.layers.Dense(1, activation="sigmoid"),
        ]
    )
    metrics = ["accuracy", k.metrics.AUC(num_thresholds=20), k.metrics.Precision()]
    model.compile(k.optimizers.RMSprop(0.01, centered=True), "binary_crossentropy", metrics=metrics)
    return model


def bigru(k):
    entry = k.Input((5, 3))
    masked = k.layers.Masking(0.0)(entry)
    both = k.layers.Bidirectional(k.layers.GRU(4, return_sequences=True), merge_mode="sum")(masked)
    head = k.layers.TimeDistributed(k.layers.Dense(2, activation="softmax"))(both)
    model = k.Model(entry, head)
    model.compile(
        k.optimizers.Nadam(0.01),
        "sparse_categorical_crossentropy",
        metrics=["sparse_categorical_accuracy"],
        weighted_metrics=["accuracy"],
    )
    return model


def attention(k):
    entry = k.Input((6,), dtype="int32")
    x = k.layers.Embedding(9, 8, mask_zero=True)(entry)
    y = k.layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    x = k.layers.LayerNormalization()(k.layers.Add()([x, y]))
    y = k.layers.Dense(8)(k.layers.Dense(16, activation="silu")(x))
    x = k.layers.LayerNormalization()(x + y)
    x = k.layers.GlobalAveragePooling1D()(x)
    model = k.Model(entry, k.layers.Dense(4)(x))
    loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    rate = k.optimizers.schedules.CosineDecay(0.0, 30, warmup_target=0.02, warmup_steps=5)
    model.compile(k.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def several(k):
    image, number = k.Input((4, 4, 1), name="image"), k.Input((3,), name="number")
    x = k.layers.Flatten()(k.layers.Conv2D(3, 2, activation="tanh")(image))
    shared = k.layers.Dense(5, activation="softplus")
    x = k.layers.concatenate([x, shared(number), shared(number * 2.0)])
    kind = k.layers.Dense(3, activation="softmax", name="kind")(x)
    size = k.layers.Dense(1, name="size")(k.layers.Dropout(0.0)(x))
    model = k.Model({"image": image, "number": number}, {"kind": kind, "size": size})
    model.compile(
        k.optimizers.Adagrad(0.05, clipvalue=0.5),
        {"kind": "sparse_categorical_crossentropy", "size": k.losses.Huber(0.5)},
        loss_weights={"kind": 0.3, "size": 2.0},
        metrics={"kind": ["accuracy"], "size": ["mae", k.metrics.RootMeanSquaredError()]},
    )
    return model


def unet(k):
    entry = k.Input((8, 8, 2))
    skips, x = [], entry
    for filters in (3, 5):
        x = k.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = k.layers.BatchNormalization(momentum=0.8)(x)
        skips.append(x)
        x = k.layers.MaxPooling2D()(x)
    x = k.layers.Conv2D(6, 3, padding="same", activation="leaky_relu")(x)
    for filters, skip in zip((5, 3), reversed(skips), strict=True):
        x = k.layers.Conv2DTranspose(filters, 2, strides=2)(x)
        x = k.layers.Concatenate()([x, skip])
        x = k.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = k.layers.GroupNormalization(1)(x)
    model = k.Model(entry, k.layers.Conv2D(1, 1, activation="sigmoid")(x))
    metrics = [k.metrics.BinaryIoU([0, 1], 0.5), "binary_accuracy"]
    model.compile(k.optimizers.Lion(0.001), k.losses.Dice(), metrics=metrics)
    return model


def vae(k):
    if k is lk:
        exp, mean, square = torch.exp, torch.mean, torch.square
    else:
        exp, mean, square = keras.ops.exp, keras.ops.mean, keras.ops.square

    class Sampling(k.layers.Layer):
        """Adds the divergence; the noise is an input, so that both draw the same."""

        def call(self, inputs):
            center, spread, noise = inputs
            self.add_loss(-0.5 * mean(1 + spread - square(center) - exp(spread)) * 0.1)
            return center + exp(0.5 * spread) * noise

    class VAE(k.Model):
        def __init__(self):
            super().__init__()
            self.encoder = k.layers.Dense(6, activation="relu")
            self.center, self.spread = k.layers.Dense(2), k.layers.Dense(2)
            self.sampling = Sampling()
            self.decoder = k.Sequential([k.layers.Dense(6, activation="tanh"), k.layers.Dense(5)])

        def call(self, inputs):
            x, noise = inputs
            h = self.encoder(x)
            return self.decoder(self.sampling([self.center(h), self.spread(h), noise]))

    model = VAE()
    model.compile(k.optimizers.Adamax(0.01, use_ema=True), "mse", metrics=["cosine_similarity"])
    return model


def resnet(k):
    entry = k.Input((8, 8, 3))
    x = k.layers.Conv2D(4, 3, padding="same", use_bias=False)(entry)
    for filters, strides in ((4, 1), (6, 2)):
        y = k.layers.Conv2D(filters, 3, strides, "same", use_bias=False)(x)
        y = k.layers.ReLU()(k.layers.BatchNormalization()(y))
        y = k.layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
        y = k.layers.BatchNormalization(gamma_initializer="ones")(y)
        if strides > 1:
            x = k.layers.Conv2D(filters, 1, strides)(k.layers.ZeroPadding2D(0)(x))
        x = k.layers.Activation("relu")(k.layers.add([x, y]))
    x = k.layers.GlobalMaxPooling2D()(x)
    model = k.Model(entry, k.layers.Dense(3, activation="softmax")(x))
    optimizer = k.optimizers.Lamb(0.005, gradient_accumulation_steps=2)
    loss = k.losses.CategoricalFocalCrossentropy(alpha=0.5)
    metrics = [k.metrics.F1Score(average="macro"), "kl_divergence"]
    model.compile(optimizer, loss, metrics=metrics)
    return model


def stateful(k):
    model = k.Sequential(
        [
            k.Input(batch_shape=(ROWS, 3, 2)),
            k.layers.SimpleRNN(5, stateful=True, return_sequences=True),
            k.layers.LSTM(4, stateful=True),
            k.layers.Dense(1),
        ]
    )
    model.compile(k.optimizers.Adadelta(0.5), k.losses.LogCosh(), metrics=["mae", "mape"])
    return model


def tokens(length, size):
    """Numbers of words, with zeros at the end of some rows."""
    made = RNG.integers(1, size, size=(STEPS, ROWS, length))
    made[:, ::3, -2:] = 0
    return made.astype("int32")


def padded(*shape):
    made = normal(STEPS, ROWS, *shape)
    made[:, ::2, -1] = 0.0
    return made


def images(*shape):
    return normal(STEPS, ROWS, *shape)


WEIGHTS = RNG.uniform(0.5, 2.0, size=(STEPS, ROWS)).astype("float32")
ONE_HOT = np.eye(3, dtype="float32")

# name: (model, x, y, weights of the rows or None), each with an axis of steps before the rows
MODELS = {
    "MLP": (mlp, images(6), classes(3, STEPS, ROWS), WEIGHTS),
    "CNN": (cnn, images(8, 8, 2), ONE_HOT[classes(3, STEPS, ROWS)], None),
    "LSTM": (lstm, tokens(7, 11), classes(2, STEPS, ROWS, 1), None),
    "BiGRU": (bigru, padded(5, 3), classes(2, STEPS, ROWS, 5), normal(STEPS, ROWS, 5) ** 2),
    "attention": (attention, tokens(6, 9), classes(4, STEPS, ROWS), WEIGHTS),
    "several inputs": (
        several,
        {"image": images(4, 4, 1), "number": images(3)},
        {"kind": classes(3, STEPS, ROWS), "size": images(1)},
        None,
    ),
    "U-Net": (unet, images(8, 8, 2), classes(2, STEPS, ROWS, 8, 8, 1).astype("float32"), None),
    "VAE": (vae, [images(5), images(2)], images(5), None),
    "ResNet": (resnet, images(8, 8, 3), ONE_HOT[classes(3, STEPS, ROWS)], None),
    "stateful RNN": (stateful, images(3, 2), images(1), None),
}


# ---- the comparison -----------------------------------------------------------------------------


def at(tree, step):
    if isinstance(tree, dict):
        return {name: at(value, step) for name, value in tree.items()}
    if isinstance(tree, list):
        return [at(value, step) for value in tree]
    return None if tree is None else tree[step]


def equal_start(ours, theirs, x, step=0):
    """Both built, with the same weights of a middling size."""
    for model in (ours, theirs):
        model(at(x, step))
    rng = np.random.default_rng(1)
    start = [
        w if w.ndim < 2 else (0.4 * rng.normal(size=w.shape)).astype("float32")
        for w in theirs.get_weights()
    ]
    theirs.set_weights(start)
    ours.set_weights(start)
    for model in (ours, theirs):
        for layer in model.layers:
            if getattr(layer, "stateful", False):
                layer.reset_states() if hasattr(layer, "reset_states") else layer.reset_state()


def states_by_copy(model):
    """On torch, Keras 3.15 overwrites states in place, which its own backward then refuses."""

    def replaced(variable):
        def assign(value):
            variable._value = torch.nn.Parameter(value.detach().clone(), requires_grad=False)

        return assign

    for layer in model.layers:
        for state in getattr(layer, "states", None) or ():
            state._direct_assign = replaced(state)


@pytest.mark.parametrize("name", MODELS)
def test_every_step_is_equal(name):
    make, x, y, weights = MODELS[name]
    ours, theirs = make(lk), make(keras)
    equal_start(ours, theirs, x)
    states_by_copy(theirs)
    seen = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in range(STEPS):
            batch = at(x, step), at(y, step), at(weights, step)
            mine = ours.train_on_batch(*batch, return_dict=True)
            other = {
                k: float(v) for k, v in theirs.train_on_batch(*batch, return_dict=True).items()
            }
            assert mine.keys() == other.keys()
            for key in mine:
                assert mine[key] == pytest.approx(other[key], rel=1e-4, abs=1e-4), (step, key)
            seen.add(round(mine["loss"], 5))
        assert len(seen) > STEPS / 2  # it moves
        mine, other = (m.evaluate(at(x, 0), at(y, 0), verbose=0) for m in (ours, theirs))
        np.testing.assert_allclose(mine, other, rtol=2e-4, atol=1e-4)
        mine, other = (m.predict(at(x, 1), batch_size=ROWS, verbose=0) for m in (ours, theirs))
    for a, b in zip(leaves(mine), leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def leaves(tree):
    return [tree[k] for k in sorted(tree)] if isinstance(tree, dict) else [tree]


@pytest.mark.parametrize("name", ["MLP", "U-Net", "several inputs"])
def test_fit_is_equal(name):
    """The same by `fit`, over whole arrays."""
    make, x, y, weights = MODELS[name]
    ours, theirs = make(lk), make(keras)
    equal_start(ours, theirs, x)
    flat = lambda tree: (
        {k: flat(v) for k, v in tree.items()}
        if isinstance(tree, dict)
        else tree.reshape(-1, *tree.shape[2:])
    )
    data = {"x": flat(x), "y": flat(y)}
    if weights is not None:
        data["sample_weight"] = flat(weights)
    settings = {"batch_size": ROWS + 3, "epochs": 2, "shuffle": False, "verbose": 0}
    mine = ours.fit(**data, **settings, validation_split=0.2).history
    other = theirs.fit(**data, **settings, validation_split=0.2).history
    assert mine.keys() == other.keys()
    for key in mine:
        np.testing.assert_allclose(mine[key], other[key], rtol=1e-3, atol=1e-4, err_msg=key)
