"""Short programs as Keras users write them, each run in Keras and here."""

import numpy as np
import pandas as pd
import pytest
import torch
from _beside import beside, seeded, weights_of

RNG = np.random.RandomState(0)
X, Y = RNG.rand(22, 3).astype("float32"), RNG.rand(22, 2).astype("float32")
W, IDS = np.linspace(0.1, 2, 22).astype("float32"), np.arange(22) % 3
SERIES, TARGETS = RNG.rand(6, 5, 3).astype("float32"), RNG.rand(6, 5, 2).astype("float32")
TOKENS = RNG.randint(0, 3, (6, 5))
HOW = {"verbose": 0, "shuffle": False, "batch_size": 8}
PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


@pytest.mark.parametrize("run", PROGRAMS, ids=[f.__name__ for f in PROGRAMS])
def test_gives_what_keras_gives(run):
    beside(run)


def stack(k, *layers, kind=None, **arguments):
    model = (kind or k.Sequential)([k.Input((3,)), *(layers or [k.layers.Dense(2, name="out")])])
    model.compile(**{"optimizer": "sgd", "loss": "mse", "metrics": ["mae"], **arguments})
    return seeded(model)


def classes(k, **arguments):
    loss = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **arguments}
    return stack(k, k.layers.Dense(3, activation="softmax"), **loss)


# ---- data and validation ------------------------------------------------------------------------


@program
def frames(k):
    model = stack(k)
    history = model.fit(pd.DataFrame(X), pd.DataFrame(Y), **HOW).history
    return history, model.predict(pd.DataFrame(X), verbose=0)


@program
def columns_of_a_frame(k):
    inputs = {name: k.Input((1,), name=name) for name in "abc"}
    model = k.Model(inputs, k.layers.Dense(2)(k.layers.concatenate(list(inputs.values()))))
    model.compile("sgd", "mse")
    frame = pd.DataFrame(X, columns=list("abc"))
    return seeded(model).fit(dict(frame), Y, **HOW).history


@program
def split_with_weights(k):
    args = {"epochs": 3, "validation_split": 0.3, "sample_weight": W}
    return stack(k, weighted_metrics=["mse"]).fit(X, Y, **args, **HOW).history


@program
def weighted_validation(k):
    given = {"validation_data": (X, Y, W), "epochs": 2}
    return stack(k, weighted_metrics=["mse"]).fit(X, Y, **given, **HOW).history


@program
def some_batches_of_validation(k):
    given = {"validation_data": (X, Y), "validation_batch_size": 5, "validation_steps": 2}
    return stack(k).fit(X, Y, epochs=2, **given, **HOW).history


@program
def validation_in_some_epochs(k):
    given = {"validation_data": (X, Y), "validation_freq": [1, 4], "epochs": 5}
    return stack(k).fit(X, Y, **given, **HOW).history


@program
def class_weights(k):
    model = classes(k, weighted_metrics=["accuracy"])
    return model.fit(X, IDS, class_weight={0: 1.0, 1: 2.0, 2: 0.5}, epochs=2, **HOW).history


@program
def weights_of_time_steps(k):
    model = k.Sequential([k.Input((None, 3)), k.layers.LSTM(4, return_sequences=True)])
    model.add(k.layers.Dense(2))
    model.compile("sgd", "mse", metrics=["mae"])
    weights = np.linspace(0, 1, 30).reshape(6, 5)
    history = seeded(model).fit(SERIES, TARGETS, sample_weight=weights, **HOW).history
    return history, model.evaluate(SERIES, TARGETS, verbose=0), str(model.output_shape)


@program
def masked_time_steps(k):
    model = k.Sequential([k.Input((5,)), k.layers.Embedding(9, 4, mask_zero=True)])
    model.add(k.layers.LSTM(3, return_sequences=True))
    model.add(k.layers.Dense(2))
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mae"])
    history = seeded(model).fit(TOKENS, TARGETS, epochs=2, **HOW).history
    return history, model.evaluate(TOKENS, TARGETS, verbose=0, return_dict=True)


@program
def one_feature_without_its_axis(k):
    model = k.Sequential([k.Input((1,)), k.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = seeded(model).fit(X[:, 0], Y[:, 0], **HOW).history
    return history, model.predict(X[:, 0], verbose=0)


@program
def whole_numbers(k):
    return stack(k).fit((X * 10).astype("int64"), (Y * 3).astype("int32"), **HOW).history


@program
def an_input_that_nothing_needs(k):
    x, unused = k.Input((3,), name="x"), k.Input((2,), name="unused")
    model = k.Model([x, unused], k.layers.Dense(1)(x))
    model.compile("sgd", "mse")
    return seeded(model).fit([X, X[:, :2]], Y[:, :1], **HOW).history


@program
def one_input_by_name(k):
    model = k.Sequential([k.Input((3,), name="x"), k.layers.Dense(2)])
    model.compile("sgd", "mse")
    return seeded(model).fit({"x": X}, Y, **HOW).history


@program
def more_keys_than_inputs(k):
    x = k.Input((3,), name="x")
    return seeded(k.Model({"x": x}, k.layers.Dense(1)(x))).predict({"x": X, "y": X}, verbose=0)


# ---- training and what it leaves ----------------------------------------------------------------


@program
def history(k):
    model = stack(k)
    found = model.fit(X, Y, epochs=4, initial_epoch=1, validation_split=0.2, **HOW)
    same = model.history is found
    return found.epoch, found.params, list(found.history), type(found).__name__, same


@program
def no_epochs(k):
    found = stack(k).fit(X, Y, epochs=0, **HOW)
    return found.history, found.epoch


@program
def a_second_fit(k):
    model = stack(k)
    return [model.fit(X, Y, epochs=2, **HOW).history for _ in range(2)], model.history.epoch


@program
def logs_of_every_hook(k):
    seen = []

    class Seen(k.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(["batch", batch, dict(logs)])

        def on_test_batch_end(self, batch, logs=None):
            seen.append(["test", batch, dict(logs)])

        def on_epoch_end(self, epoch, logs=None):
            seen.append(["epoch", epoch, dict(logs)])

        def on_train_end(self, logs=None):
            seen.append(["end", dict(logs)])

    stack(k).fit(X, Y, epochs=2, validation_data=(X, Y), callbacks=[Seen()], **HOW)
    return seen


@program
def stopped_in_an_epoch(k):
    class Stop(k.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    found = stack(k).fit(X, Y, epochs=3, callbacks=[Stop()], **HOW)
    return found.history, found.epoch


@program
def the_optimizer(k):
    model = stack(k)
    model.optimizer.learning_rate = 0.5
    model.fit(X, Y, **HOW)
    model.optimizer.learning_rate.assign(0.1)
    found = model.fit(X, Y, **HOW).history
    rate, steps = float(model.optimizer.learning_rate), int(model.optimizer.iterations)
    return found, rate, steps, model.optimizer.name, model.loss, model.compiled, model.stop_training


@program
def added_losses_and_penalties(k):
    class Add(k.layers.Layer):
        def call(self, x):
            self.add_loss(0.1 * k.ops.mean(k.ops.square(x)))
            return x

    dense = k.layers.Dense(2, kernel_regularizer="l2", bias_regularizer="l1")
    model = stack(k, dense, Add(), k.layers.Dense(2, activity_regularizer="l2"))
    return model.fit(X, Y, epochs=2, **HOW).history, model.evaluate(X, Y, verbose=0)


@program
def normalization_in_training_and_out(k):
    model = stack(k, k.layers.Dense(4), k.layers.BatchNormalization(momentum=0.5))
    model.add(k.layers.Dense(2))
    found = seeded(model).fit(X, Y, epochs=2, validation_data=(X, Y), **HOW).history
    return found, model.get_weights(), model(X, training=True), model(X)


@program
def a_frozen_base_that_thaws(k):
    layers = [k.layers.Dense(4, name="d"), k.layers.BatchNormalization(name="n")]
    base = k.Sequential([k.Input((3,)), *layers], name="base")
    base.trainable = False
    x = k.Input((3,))
    model = seeded(k.Model(x, k.layers.Dense(2, name="head")(base(x, training=False))))
    found = []
    for trainable in (False, True):
        base.trainable = trainable
        model.compile("sgd", "mse")
        found.append(model.fit(X, Y, epochs=2, **HOW).history)
    return found, model.get_weights(), [w.path for w in model.trainable_weights]


@program
def a_metric_keeps_its_state(k):
    metric = k.metrics.MeanAbsoluteError(name="mine")
    model = stack(k, metrics=[metric])
    model.fit(X, Y, **HOW)
    return float(metric.result()), model.evaluate(X, Y, verbose=0), float(metric.result())


# ---- steps of one's own -------------------------------------------------------------------------


@program
def own_train_step_and_metrics(k):
    class Net(k.Model):
        def __init__(self):
            super().__init__()
            self.head, self.seen = k.layers.Dense(2), k.metrics.Mean(name="seen")

        def call(self, x):
            return self.head(x)

        @property
        def metrics(self):
            return [self.seen]

        def train_step(self, data):
            x, y = data
            loss = ((self(x, training=True) - y) ** 2).mean()
            self.zero_grad()
            loss.backward()
            weights = list(self.trainable_weights)
            with torch.no_grad():
                self.optimizer.apply([w.value.grad for w in weights], weights)
            self.seen.update_state(loss)
            return {"seen": self.seen.result()}

        def test_step(self, data):
            x, y = data
            self.seen.update_state(((self(x) - y) ** 2).mean())
            return {"seen": self.seen.result()}

    model = Net()
    model.compile("sgd")
    model(X)
    found = seeded(model).fit(X, Y, epochs=2, validation_data=(X, Y), **HOW).history
    return found, model.evaluate(X, Y, verbose=0, return_dict=True), model.get_weights()


@program
def more_logs_than_those_of_super(k):
    class Net(k.Sequential):
        def train_step(self, data):
            return {**super().train_step(data), "more": 2.0}

        def test_step(self, data):
            return {**super().test_step(data), "more": 3.0}

    model = stack(k, kind=Net)
    found = model.fit(X, Y, epochs=2, validation_data=(X, Y), **HOW).history
    return found, model.evaluate(X, Y, verbose=0), model.evaluate(X, Y, verbose=0, return_dict=True)


@program
def own_loss_metrics_and_predictions(k):
    class Net(k.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return k.ops.mean(k.ops.abs(y_pred - y))

        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            return {**super().compute_metrics(x, y, y_pred, sample_weight), "extra": 1.5}

        def predict_step(self, data):
            return super().predict_step(data) * 2

    model = stack(k, kind=Net, loss=None)
    found = model.fit(X, Y, epochs=2, **HOW).history
    return found, model.predict(X, verbose=0), model.predict_on_batch(X)


@program
def inputs_by_name_in_a_call(k):
    class Net(k.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = k.layers.Dense(2, name="a"), k.layers.Dense(2, name="b")

        def call(self, inputs, training=None, scale=1.0):
            return (self.a(inputs["l"]) + self.b(inputs["r"])) * scale

    model, data = Net(), {"l": X, "r": X + 1}
    model.compile("sgd", "mse")
    model(data)
    found = seeded(model).fit(data, Y, **HOW).history
    return found, model.predict(data, verbose=0), model(data, scale=3.0), weights_of(model)


# ---- names and looks ----------------------------------------------------------------------------


@program
def automatic_names(k):
    layers = k.layers
    made = [layers.Dense(2) for _ in range(3)] + [k.Sequential(), k.Sequential()]
    made += [layers.Conv2D(2, 2), layers.LSTM(2), layers.BatchNormalization(), layers.ReLU()]
    made += [type("MyNet", (k.Model,), {})(), type("MyLayer2D", (layers.Layer,), {})()]
    x, series = k.Input((3,)), k.Input((4, 3))
    layers.MultiHeadAttention(1, 2)(series, series)  # with a Dropout and a Softmax inside
    made += [layers.Dropout(0.5), layers.Softmax()]
    return [m.name for m in made], k.Model(x, layers.Dense(2)(x)).name


@program
def names_of_weights(k):
    layers = [k.layers.Conv2D(2, 2), k.layers.BatchNormalization(), k.layers.Flatten()]
    model = k.Sequential([k.Input((4, 4, 1)), *layers, k.layers.Dense(2)])
    shapes = [str(layer.output.shape) for layer in model.layers]
    return [w.name for w in model.weights], [w.path for w in model.weights], shapes


@program
def a_layer_by_itself(k):
    layer = k.layers.Dense(3)
    layer.build((None, 2))
    layer.set_weights([np.ones((2, 3)), np.zeros(3)])
    shapes = [tuple(layer.kernel.shape), tuple(layer.bias.shape)]
    return layer.get_weights(), shapes, layer.count_params(), layer(np.ones((1, 2), "float32"))


@program
def looked_up(k):
    model = stack(k, k.layers.Dense(4, name="a"), k.layers.Dense(2, name="b"))
    by_index = [model.get_layer(index=i).name for i in (0, -1)]
    return model.get_layer("b").units, by_index, [v.name for v in model.layers[:-1]], repr(model)


@program
def lists_of_outputs(k):
    x = k.Input((3,))
    one = seeded(k.Model([x], [k.layers.Dense(1)(x)]))
    two = seeded(k.Model([x], [k.layers.Dense(1)(x), k.layers.Dense(2)(x)]))
    found = [one.predict(X, verbose=0), two.predict([X], verbose=0)]
    return [type(v).__name__ for v in found], str(one.output_shape), found


@program
def saved_in_between(k):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model = stack(k)
        model.fit(X, Y, **HOW)
        model.save(path)
        again = k.models.load_model(path)
        return again.fit(X, Y, **HOW).history, again.predict(X, verbose=0)
