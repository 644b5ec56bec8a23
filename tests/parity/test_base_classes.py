"""What user code asks of the base classes: each line beside Keras, and what older Keras had."""

import warnings

import keras
import numpy as np
import pytest
import torch

import lightkeras as lk

X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = X[:, :1] * 2


# ---- every public attribute ---------------------------------------------------------------------

QUANTISED = "quantised weights: torchao does that for torch modules"
ADAPTERS = "adapters (LoRA): torch's peft does that"
STATELESS = "calls without state: torch.func.functional_call"
ENGINE = "functions that Keras traces: there is nothing to trace here"
EXPORT = "exports are torch's: torch.export, torch.onnx"
RAGGED = "tensors are dense"
LAYER = {
    QUANTISED: """quantize quantized_build quantized_call quantization_config quantization_mode
        get_quantization_layer_structure""",
    ADAPTERS: "enable_lora lora_alpha lora_enabled lora_rank variable_serialization_spec",
    STATELESS: "stateless_call stateless_compute_loss get_state_tree set_state_tree",
    ENGINE: """symbolic_call supports_jit call_signature_parameters
        rematerialized_call input_dtype""",
    "the parameters are torch's own: layer.parameters()": "torch_params",
    EXPORT: "export",
}
MISSING = {
    "layer": LAYER,
    "stack": LAYER,
    "graph": LAYER,
    "metric": {STATELESS: "stateless_reset_state stateless_result stateless_update_state"},
    "weight": {ENGINE: "aggregation overwrite_with_gradient synchronization"},
    "policy": {ENGINE: "convert_input", QUANTISED: "quantization_mode"},
    "symbolic": {RAGGED: "ragged_rank record_history row_splits_dtype"},
}


def objects(k):
    layer = k.layers.Dense(2)
    entry = k.Input((3,))
    graph = k.Model(entry, layer(entry))
    stack = k.Sequential([k.Input((3,)), k.layers.Dense(1)])
    stack.compile("adam", "mse", metrics=["mae"])
    stack.fit(X, Y, verbose=0)
    return {
        "layer": layer,
        "graph": graph,
        "stack": stack,
        "symbolic": entry,
        "weight": layer.kernel,
        "optimizer": stack.optimizer,
        "loss": k.losses.MeanSquaredError(),
        "metric": k.metrics.Mean(),
        "callback": k.callbacks.Callback(),
        "history": k.callbacks.History(),
        "schedule": k.optimizers.schedules.ExponentialDecay(0.1, 1, 0.1),
        "regularizer": k.regularizers.L2(),
        "initializer": k.initializers.Zeros(),
        "constraint": k.constraints.MaxNorm(),
        "spec": k.InputSpec(ndim=2),
        "policy": k.DTypePolicy("float32"),
    }


def test_public_attributes():
    ours, theirs = objects(lk), objects(keras)
    for name, other in theirs.items():
        missing = {n for n in dir(other) if n[0] != "_" and not hasattr(ours[name], n)}
        known = {n for names in MISSING.get(name, {}).values() for n in names.split()}
        assert missing <= known, name
    known = {n for names in LAYER.values() for n in names.split()}
    lacks = lambda name, n: hasattr(theirs[name], n) and not hasattr(ours[name], n)
    assert all(any(lacks(name, n) for name in ("layer", "stack", "graph")) for n in known)


# ---- the same in both ---------------------------------------------------------------------------


def own_layer(k):
    return type("My", (k.layers.Layer,), {"call": lambda self, x: x})()


def weight(*args, **kwargs):
    def add(k):
        made = own_layer(k).add_weight(*args, **kwargs)
        return tuple(made.shape), made.trainable, str(made.dtype).replace("torch.", "")

    return add


def metric_in_a_layer(k):
    class Counts(k.layers.Layer):
        def __init__(self):
            super().__init__()
            self.seen = k.metrics.Sum(name="seen")

        def call(self, x):
            self.seen.update_state(1.0)
            return x

    layer = Counts()
    model = k.Sequential([k.Input((3,)), layer, k.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(X, Y, batch_size=2, verbose=0).history
    names = [m.name for m in layer.metrics], len(layer.metrics_variables)
    return sorted(history), history["seen"], names, len(model.metrics_variables)


def metric_of_ones_own(k):
    class Ratio(k.metrics.Metric):
        def __init__(self, name="ratio", **kwargs):
            super().__init__(name=name, **kwargs)
            self.a = self.add_weight(name="a", initializer="zeros")
            self.b = self.add_weight((), "ones", name="b")
            self.c = self.add_variable(shape=(), initializer="zeros", name="c")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.a.assign_add(1.0)
            self.b.assign(self.a + 1)
            self.c.assign_add(2)

        def result(self):
            return self.a / self.b

    metric = Ratio()
    metric.update_state(0, 0)
    before = float(metric.result()), [v.name for v in metric.variables], metric.dtype
    metric.reset_state()
    return before, float(metric.a), float(metric(0, 0))


def step_of_ones_own(k):
    class Own(k.Model):
        def __init__(self):
            super().__init__()
            self.dense = k.layers.Dense(1, kernel_initializer="ones")

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            x, y = data
            loss = self.compute_loss(y=y, y_pred=(y_pred := self(x, training=True)))
            self.zero_grad()
            loss.backward()
            weights = self.trainable_weights
            with torch.no_grad():
                self.optimizer.apply([w.value.grad for w in weights], weights)
            for metric in self.metrics:
                given = (loss,) if metric.name == "loss" else (y, y_pred)
                metric.update_state(*given)
            return {m.name: m.result() for m in self.metrics}

    model = Own()
    model.compile("sgd", "mse", metrics=["mae"])
    history = model.fit(X, Y, verbose=0).history
    return {name: [round(float(v), 4) for v in values] for name, values in history.items()}


def calls_of_a_callback(k):
    seen = []

    class Notes(k.callbacks.Callback):
        def set_model(self, model):
            super().set_model(model)
            seen.append("set")

        def on_batch_end(self, batch, logs=None):
            seen.append((batch, sorted(logs)))

        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, sorted(logs), sorted(self.params), self.model is not None))

    model = k.Sequential([k.Input((3,)), k.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0, callbacks=[Notes()])
    return seen


def schedule_of_ones_own(k):
    class Falling(k.optimizers.schedules.LearningRateSchedule):
        def __init__(self, start):
            super().__init__()
            self.start = start

        def __call__(self, step):
            return self.start / (step + 1)

        def get_config(self):
            return {"start": self.start}

    made = k.optimizers.schedules.serialize(Falling(2.0))
    return float(k.optimizers.SGD(Falling(2.0)).learning_rate), made["class_name"], made["config"]


def regularizer_of_ones_own(k):
    class Squares(k.regularizers.Regularizer):
        def __init__(self, share):
            self.share = share

        def __call__(self, weight):
            return self.share * (weight**2).sum()

        def get_config(self):
            return {"share": self.share}

    dense = k.layers.Dense(2, kernel_regularizer=Squares(0.5), kernel_initializer="ones")
    dense(X)
    return float(dense.losses[0]), k.regularizers.get(Squares(0.2)).get_config()


def loss_of_ones_own(k):
    class Weighted(k.losses.Loss):
        def __init__(self, factor=2.0, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def call(self, y_true, y_pred):
            return ((y_true - y_pred) ** 2).mean(-1) * self.factor

    loss = Weighted(name="mine", reduction="sum")
    return float(loss(torch.ones(2, 3), torch.zeros(2, 3))), loss.name, loss.reduction


def ends_of_a_layer(k):
    model = k.Sequential([k.Input((3,)), k.layers.Dense(1, name="d")])
    dense = model.get_layer("d")
    spec = str(dense.input_spec)
    return dense.input.shape, dense.output.shape, model.input_shape, model.output_shape, spec


SAME = {
    "weight by keyword": weight(shape=(2, 3), initializer="ones", name="w"),
    "weight by place": weight((2, 3), "zeros", "float32"),
    "weight without shape": weight(name="w", initializer="zeros"),
    "weight of integers": weight(shape=[2], dtype="int32", trainable=False),
    "weight with all": weight(shape=(2,), regularizer="l2", constraint="non_neg"),
    "weight by a function": weight(shape=(2,), initializer=lambda s, dtype=None: np.ones(s)),
    "add_variable": lambda k: tuple(own_layer(k).add_variable((2,), "zeros", name="v").shape),
    "no metrics": lambda k: k.layers.Dense(2).metrics,
    "metric in a layer": metric_in_a_layer,
    "metric": metric_of_ones_own,
    "train_step": step_of_ones_own,
    "callback": calls_of_a_callback,
    "schedule": schedule_of_ones_own,
    "regularizer": regularizer_of_ones_own,
    "loss": loss_of_ones_own,
    "ends": ends_of_a_layer,
    "spec": lambda k: k.InputSpec.from_config(k.InputSpec(ndim=2, axes={-1: 3}).get_config()).axes,
    "spec as values": lambda k: k.InputSpec(shape=(None, 3), optional=True).get_config(),
}


@pytest.mark.parametrize("name", SAME)
def test_same_as_keras(name):
    assert SAME[name](lk) == SAME[name](keras)


# ---- what older Keras had -----------------------------------------------------------------------


@pytest.fixture
def old():
    """Old spellings are said once; here they are expected."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*old Keras")
        yield


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("kernel", (2, 3)), {}),
        (("kernel",), {"shape": (2, 3), "initializer": "ones", "trainable": True}),
        (("kernel", (2, 3), "float32", "ones"), {}),
        (("kernel", (2, 3), "ones"), {"trainable": True}),
    ],
)
def test_weights_with_the_name_first(args, kwargs):
    made = own_layer(lk).add_weight(*args, **kwargs)
    assert (made.name, tuple(made.shape), made.trainable) == ("kernel", (2, 3), True)
    if "ones" in (*args, *kwargs.values()):
        assert made.numpy().min() == 1.0


def test_a_number_is_no_shape():
    with pytest.raises(TypeError, match=r"add_weight\(shape=3\) of .* Type shape=\(3,\)"):
        own_layer(lk).add_weight(shape=3)


def endless(count=4):
    while True:
        yield X[:count], Y[:count]


def test_generator_methods(old):
    model = lk.Sequential([lk.Input((3,)), lk.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit_generator(
        endless(), samples_per_epoch=3, nb_epoch=2, verbose=0, validation_data=(X, Y), max_q_size=2
    )
    assert (len(history.history["val_loss"]), int(model.optimizer.iterations)) == (2, 6)
    model.fit_generator(endless(), 2, 1, 0, workers=4, use_multiprocessing=True)
    assert int(model.optimizer.iterations) == 8
    assert model.evaluate_generator(endless(8), steps=2) == model.evaluate(X, Y, verbose=0)
    assert model.predict_generator(endless(), 3).shape == (12, 1)
    assert np.array_equal(model.predict_proba(X), model.predict(X, verbose=0))


def test_classes_of_rows(old):
    one = lk.Sequential([lk.Input((3,)), lk.layers.Dense(1, activation="sigmoid")])
    assert np.array_equal(one.predict_classes(X), (one.predict(X, verbose=0) > 0.5).astype(int))
    three = lk.Sequential([lk.Input((3,)), lk.layers.Dense(3, activation="softmax")])
    assert np.array_equal(three.predict_classes(X), three.predict(X, verbose=0).argmax(-1))


def test_states_of_all_layers():
    model = lk.Sequential([lk.Input(batch_shape=(2, 4, 3)), lk.layers.LSTM(2, stateful=True)])
    x = np.ones((2, 4, 3), "float32")
    first = model.predict(x, verbose=0)
    assert not np.array_equal(model.predict(x, verbose=0), first)
    model.reset_states()
    assert np.array_equal(model.predict(x, verbose=0), first)


def test_a_train_step_of_tf_keras():
    class Own(lk.Model):
        def __init__(self):
            super().__init__()
            self.dense = lk.layers.Dense(1, kernel_regularizer="l2")

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            x, y = data
            y_pred = self(x, training=True)
            loss = self.compiled_loss(y, y_pred, regularization_losses=self.losses)
            self.zero_grad()
            loss.backward()
            weights = self.trainable_weights
            self.optimizer.apply([w.value.grad for w in weights], weights)
            self.compiled_metrics.update_state(y, y_pred)
            self.bare = float(self.compiled_loss(y, y_pred).detach())
            self.full = float(loss.detach())
            return {m.name: m.result() for m in self.metrics}

    model = Own()
    model.compile("sgd", "mse", metrics=["mae"])
    assert "mae" in model.fit(X, Y, verbose=0).history
    assert 0 < model.bare < model.full


def test_add_metric():
    class Square(lk.layers.Layer):
        def call(self, x):
            self.add_metric((x**2).mean(), name="square", aggregation="mean")
            return x

    model = lk.Sequential([lk.Input((3,)), Square(), lk.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(X, Y, batch_size=4, verbose=0).history
    assert history["square"] == [pytest.approx(float((X**2).mean()), rel=1e-5)]


def test_symbolic_losses(tmp_path):
    """As the autoencoders of Keras 2 have them: `vae.add_loss(loss of inputs and outputs)`."""
    entry = lk.Input((3,))
    code = lk.layers.Dense(2, activation="tanh")(entry)
    output = lk.layers.Dense(3)(code)
    model = lk.Model(entry, output)
    model.add_loss(torch.mean((entry - output) ** 2))
    model.add_loss([0.1 * torch.mean(code**2)])
    model.compile("adam")
    first, last = model.fit(X, epochs=30, verbose=0).history["loss"][::29]
    assert last < first
    y, h = model.predict(X, verbose=0), lk.Model(entry, code).predict(X, verbose=0)
    expected = ((X - y) ** 2).mean() + 0.1 * (h**2).mean()
    assert model.evaluate(X, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert len(model.layers) == 3
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(
        keras.models.load_model(tmp_path / "model.keras").predict(X), y, 1e-4
    )
    with pytest.raises(ValueError, match=r"no graph\. .* self\.add_loss"):
        lk.Sequential([lk.layers.Dense(1)]).add_loss(lk.Input((1,)))


def test_calls_of_a_layer():
    dense = lk.layers.Dense(2)
    first, second = dense(lk.Input((3,))), dense(lk.Input((4, 3)))
    assert [dense.get_output_at(i) for i in (0, 1)] == [first, second]
    assert dense.get_input_shape_at(1) == (None, 4, 3)
    assert dense.get_output_shape_at(1) == (None, 4, 2)
    assert len(dense.inbound_nodes) == 2
