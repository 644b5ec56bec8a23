"""The networks in Keras's words: for lightkeras, and for Keras on each of its backends."""

from __future__ import annotations

__all__ = ["make"]


def make(keras, name, work, x, y, **compile_options):
    """(training for so many epochs, predict, evaluate, model) of a workload."""
    layers = keras.layers
    model = _MODELS[name](keras, layers, work)
    loss = "sparse_categorical_crossentropy" if work.classes > 1 else "binary_crossentropy"
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9) if work.optimizer == "sgd" else None
    metrics = ["accuracy"] if work.classes else None
    model.compile(optimizer or work.optimizer, loss, metrics=metrics, **compile_options)
    return (
        lambda epochs: model.fit(x, y, batch_size=work.batch, epochs=epochs, verbose=0),
        lambda rows: model.predict(rows, verbose=0),
        lambda: model.evaluate(x, y, batch_size=work.batch, verbose=0),
        model,
    )


def _pima(keras, layers, work):
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(12, activation="relu"),
            layers.Dense(8, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def _mnist_mlp(keras, layers, work):
    return keras.Sequential(
        [
            keras.Input((784,)),
            layers.Dense(512, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def _mnist_cnn(keras, layers, work):
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )


def _cifar_ae(keras, layers, work):
    def conv(filters):
        return layers.Conv2D(filters, 3, padding="same", activation="relu")

    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            conv(32),
            layers.MaxPooling2D(padding="same"),
            conv(32),
            layers.MaxPooling2D(padding="same"),
            conv(32),
            layers.UpSampling2D(),
            conv(32),
            layers.UpSampling2D(),
            layers.Conv2D(3, 3, padding="same", activation="sigmoid"),
        ]
    )


def _imdb_lstm(keras, layers, work):
    return keras.Sequential(
        [
            keras.Input((80,), dtype="int32"),
            layers.Embedding(20000, 128),
            layers.LSTM(128),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def _resnet(keras, layers, work):
    def conv(x, filters, size=3, stride=1):
        x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    x = inputs = keras.Input((32, 32, 3))
    x = layers.ReLU()(conv(x, 64))
    for stage, filters in enumerate((64, 128, 256, 512)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            short = conv(x, filters, 1, stride) if stride == 2 else x
            x = conv(layers.ReLU()(conv(x, filters, stride=stride)), filters)
            x = layers.ReLU()(layers.Add()([x, short]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def _transformer(keras, layers, work):
    x = inputs = keras.Input((128,), dtype="int32")
    x = layers.Embedding(20000, 128)(x)
    for _ in range(2):
        attended = layers.MultiHeadAttention(4, 32)(x, x)
        x = layers.LayerNormalization()(layers.Add()([x, attended]))
        h = layers.Dense(128)(layers.Dense(512, activation="relu")(x))
        x = layers.LayerNormalization()(layers.Add()([x, h]))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


_MODELS = {
    "pima": _pima,
    "mnist_mlp": _mnist_mlp,
    "mnist_cnn": _mnist_cnn,
    "cifar_ae": _cifar_ae,
    "imdb_lstm": _imdb_lstm,
    "resnet": _resnet,
    "transformer": _transformer,
}
