"""What scripts do with parts of their own: masks, operators, names; each in Keras and here."""

import numpy as np
import pytest
import torch
from _beside import beside, seeded, weights_of

import lightkeras as lk

RNG = np.random.RandomState(0)
IDS = RNG.randint(0, 9, (6, 5))
IDS[:, 3:] = 0
TARGETS = RNG.rand(6, 4).astype("float32")
X, Y = RNG.rand(12, 4).astype("float32"), RNG.rand(12, 3).astype("float32")
PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


@pytest.mark.parametrize("run", PROGRAMS, ids=[f.__name__ for f in PROGRAMS])
@pytest.mark.filterwarnings("ignore")
def test_gives_what_keras_gives(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    beside(run)


# ---- masks --------------------------------------------------------------------------------------


def positions(k):
    """A layer whose compute_mask() alone says that it makes masks."""

    class Positions(k.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.words, self.places = k.layers.Embedding(9, 4), k.layers.Embedding(5, 4)

        def call(self, inputs):
            places = k.ops.arange(0, k.ops.shape(inputs)[-1], 1)
            return self.words(inputs) + self.places(places)

        def compute_mask(self, inputs, mask=None):
            return k.ops.not_equal(inputs, 0)

    return Positions()


def mean_of(k, **members):
    """A layer that cannot do without its mask."""

    def call(self, inputs, mask=None):
        weights = k.ops.expand_dims(k.ops.cast(mask, inputs.dtype), -1)
        return k.ops.sum(inputs * weights, 1) / k.ops.sum(weights, 1)

    return type("MeanOf", (k.layers.Layer,), {"call": call, **members})()


def with_words(k, after, embedded=None):
    entry = k.Input((5,), dtype="int32")
    words = embedded or k.layers.Embedding(9, 4, mask_zero=True)
    model = seeded(k.Model(entry, after(words(entry))))
    model.compile("sgd", "mse")
    return model.evaluate(IDS, TARGETS, verbose=0), model.predict(IDS, verbose=0)


@program
def a_mask_of_ones_own(k):
    pooled = with_words(k, lambda x: k.layers.GlobalAveragePooling1D()(x), positions(k))
    attended = with_words(
        k,
        lambda x: k.layers.GlobalAveragePooling1D()(
            k.layers.MultiHeadAttention(2, 2)(x, x, use_causal_mask=True)
        ),
        positions(k),
    )
    layer = positions(k)
    return pooled, attended, layer.supports_masking


@program
def a_mask_as_an_attribute_of_the_class(k):
    double = type("Double", (k.layers.Layer,), {"call": lambda self, x: x * 2})
    double.supports_masking = True
    return with_words(k, lambda x: k.layers.GlobalAveragePooling1D()(double()(x)))


@program
def a_layer_that_needs_its_mask(k):
    ways = {
        "at once": lambda x: x,
        "LSTM": k.layers.LSTM(4, return_sequences=True),
        "Dropout": k.layers.Dropout(0.5),
        "TimeDistributed": k.layers.TimeDistributed(k.layers.Dense(4)),
        "Masking": k.layers.Masking(0.0),
    }
    shape = {"compute_output_shape": lambda self, shape: (shape[0], shape[2])}
    found = {name: with_words(k, lambda x, w=w: mean_of(k)(w(x))) for name, w in ways.items()}
    found["shape"] = with_words(k, lambda x: mean_of(k, **shape)(x))
    layers = [k.layers.Embedding(9, 4, mask_zero=True), k.layers.GRU(4, return_sequences=True)]
    model = k.Sequential([*layers, mean_of(k), k.layers.Dense(2)])
    model(IDS)
    return found, seeded(model).predict(IDS, verbose=0)


@program
def masks_of_several_inputs(k):
    def call(self, inputs, mask=None):
        self.seen = [None if m is None else tuple(m.shape) for m in mask]
        return inputs[0] + inputs[1]

    kind = type("Both", (k.layers.Layer,), {"call": call, "supports_masking": True})
    plain = k.layers.Embedding(9, 4)
    found = []
    for first, second in ((plain, plain), (plain, positions(k)), (positions(k), plain)):
        entry, both = k.Input((5,)), kind()
        merged = k.layers.GlobalAveragePooling1D()(both([first(entry), second(entry)]))
        model = seeded(k.Model(entry, merged))
        found += [model.predict(IDS, batch_size=6, verbose=0), both.seen]
    return found


@program
def masks_by_name(k):
    def call(self, inputs, mask=None):
        weights = k.ops.expand_dims(k.ops.cast(mask["b"], "float32"), -1)
        return inputs["a"] if mask["a"] is not None else inputs["b"] * weights

    kind = type("Named", (k.layers.Layer,), {"call": call})
    entry = k.Input((5,))
    given = {"a": k.layers.Embedding(9, 4)(entry), "b": positions(k)(entry)}
    return seeded(k.Model(entry, kind()(given))).predict(IDS, verbose=0)


@program
def a_mask_given_as_an_array(k):
    return mean_of(k)(TARGETS[:, :, None] * np.ones(2), mask=TARGETS > 0.5)


@program
def a_mask_that_is_asked_for(k):
    entry, words = k.Input((5,), dtype="int32"), k.layers.Embedding(9, 4, mask_zero=True)
    x = words(entry)
    y = k.layers.LSTM(3)(x, mask=words.compute_mask(entry))
    known = k.ops.cast(x._keras_mask, "float32")
    model = seeded(k.Model(entry, [y, k.ops.sum(x * known[..., None], 1), x._keras_mask]))
    return model.predict(IDS, verbose=0), [t.shape for t in model.outputs]


# ---- building -----------------------------------------------------------------------------------


def layers_that_build(k):
    """{name: class} of layers whose build() calls that of the base, first or last."""

    def weight(self, shape):
        return self.add_weight(shape=(shape[-1], 2), name="w", initializer="ones")

    class Last(k.layers.Layer):
        def build(self, input_shape):
            self.w = weight(self, input_shape)
            super().build(input_shape)

        def call(self, x):
            return k.ops.matmul(x, self.w)

    class First(Last):
        def build(self, input_shape):
            k.layers.Layer.build(self, input_shape)
            self.w = weight(self, input_shape)

    class Inside(k.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = k.Sequential([k.layers.Dense(3), k.layers.Dense(2)])

        def build(self, input_shape):
            return super().build(input_shape)

        def call(self, x):
            return self.inner(x)

    class Both(Inside):
        def build(self, input_shape):
            self.w = weight(self, input_shape)
            super().build(input_shape)
            self.built = True

        def call(self, x):
            return super().call(x) + k.ops.matmul(x, self.w)

    class Whole(k.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = k.layers.Dense(2)

        def build(self, input_shape):
            super().build(input_shape)

        def call(self, x):
            return self.inner(x)

    return {kind.__name__: kind for kind in (Last, First, Inside, Both, Whole)}


@program
def a_build_that_calls_that_of_the_base(k):
    found = {}
    for name, kind in layers_that_build(k).items():
        called, in_graph, by_hand = kind(), kind(), kind()
        called(X)
        in_graph(k.Input((4,)))
        by_hand.build((None, 4))
        found[name] = [
            (layer.built, weights_of(layer), seeded(layer)(X)) for layer in (called, in_graph)
        ]
        found[name].append((by_hand.built, by_hand(X).shape, weights_of(by_hand)))
    return found


@program
def losses_in_their_order(k):
    def call(self, x):
        self.add_loss(k.ops.mean(x))
        return x

    watched = type("Watched", (k.layers.Layer,), {"call": call})
    layers = [k.layers.Dense(3, kernel_regularizer="l2"), watched()]
    layers.append(k.layers.Dense(3, bias_regularizer="l1", kernel_regularizer="l1"))
    model = seeded(k.Sequential([k.Input((4,)), *layers]))
    model(X)
    return list(model.losses)


# ---- arrays in all layouts ----------------------------------------------------------------------


@program
def arrays_backwards(k):
    """`x[::-1]`, as flipped pictures and reversed series are."""
    x, y, ids = X[::-1, ::-1], Y[::-1], np.arange(4)[::-1]
    dense = seeded(k.Sequential([k.Input((4,)), k.layers.Dense(3)]))
    weights = dense.get_weights()
    dense.set_weights([weights[0][::-1], weights[1]])
    found = [dense(x), dense.predict(x, verbose=0), dense.get_weights()]
    found += [k.losses.MeanSquaredError()(y, Y), k.losses.mean_absolute_error(y, Y)]
    found += [k.metrics.MeanSquaredError()(y, Y), k.metrics.Mean()(y[:, 0])]
    found += [k.ops.convert_to_tensor(x), k.ops.add(x, X), k.Variable(x), k.ops.mean(x)]
    found += [k.activations.relu(x - 0.5), k.regularizers.L2(0.1)(x)]
    found += [k.layers.Rescaling(2.0)(x), k.layers.Normalization(mean=ids, variance=1.0 + ids)(x)]
    found += [k.layers.CategoryEncoding(4, output_mode="one_hot")(ids)]
    return [*found, k.layers.Embedding(4, 2, weights=[X[:4, :2][::-1]])(ids)]


# ---- training or inference ----------------------------------------------------------------------


def generator(k):
    return seeded(
        k.Sequential(
            [
                k.Input((4,)),
                k.layers.Dense(5),
                k.layers.BatchNormalization(),
                k.layers.Dropout(0.5),
                k.layers.Dense(3),
            ]
        )
    )


@program
def callbacks_that_draw_with_a_part_of_the_model(k):
    """A generator that a callback calls predicts; it moves no statistics."""
    entry, inner, seen = k.Input((4,)), generator(k), []
    model = k.Model(entry, k.layers.Activation("tanh")(inner(entry)))

    class Watch(k.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(inner(X))

        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model(X).shape)

        def on_epoch_end(self, epoch, logs=None):
            seen.append(bool(k.ops.all(inner(X) == inner(X))))
            seen.append(bool(k.ops.all(inner(X, training=True) == inner(X))))

    def draw(epoch, logs):
        seen.append(bool(k.ops.all(self_drawn(X) == self_drawn(X))))

    self_drawn = inner.layers[2]
    model.compile("sgd", "mse")
    own = [Watch(), k.callbacks.LambdaCallback(on_epoch_end=draw)]
    model.fit(X, Y, batch_size=6, epochs=2, verbose=0, shuffle=False, callbacks=own)
    return seen


@program
def callbacks_leave_the_step_as_it_is(k):
    """Batch normalization learns the same whether a callback looks at every batch or not."""
    found = []
    for hooks in ({}, {"on_train_batch_end": lambda batch, logs: None}):
        entry = k.Input((4,))
        x = k.layers.BatchNormalization()(k.layers.Dense(3)(entry))
        model = seeded(k.Model(entry, k.layers.Dense(3)(x)))
        model.compile("sgd", "mse")
        own = [k.callbacks.LambdaCallback(**hooks)]
        model.fit(X, Y, batch_size=4, epochs=2, verbose=0, shuffle=False, callbacks=own)
        found.append(model.get_weights())
    return found


def steps_that_say(k, **training):
    class Own(k.Model):
        def train_step(self, data):
            x, y = data[:2]
            self.zero_grad()
            loss = self.compute_loss(x, y, self(x, **training))
            loss.backward()
            weights = self.trainable_weights
            with torch.no_grad():
                self.optimizer.apply([w.value.grad for w in weights], weights)
            return {"seen": loss}

    class Around(k.Model):
        def train_step(self, data):
            more = self(data[0]).sum()
            return {**super().train_step(data), "more": more, "later": self(data[0]).sum()}

    found = []
    for kind in (Own, Around):
        entry = k.Input((4,))
        x = k.layers.BatchNormalization()(k.layers.Dense(3)(entry))
        model = seeded(kind(entry, k.layers.Dense(3)(x)))
        model.compile("sgd", "mse")
        history = model.fit(X, Y, batch_size=4, epochs=2, verbose=0, shuffle=False).history
        logs = model.train_on_batch(X, Y, return_dict=True)
        logs = {name: logs[name] for name in ("seen", "more", "later") if name in logs}
        found += [history, logs, model.get_weights()]
    return found


@program
def a_step_that_does_not_say_whether_it_trains(k):
    return steps_that_say(k)


@program
def a_step_that_trains(k):
    return steps_that_say(k, training=True)


@program
def a_step_in_inference(k):
    return steps_that_say(k, training=False)


# ---- operators on symbolic tensors --------------------------------------------------------------


@program
def operators_in_a_graph(k):
    a, b = k.Input((4,)), k.Input((4,))
    outputs = {
        "ne": a != 0.5,
        "not the same": a != b,
        "and": (a > 0.5) & (b > 0.5),
        "or": (a > 0.5) | (b > 0.5),
        "xor": (a > 0.5) ^ (b > 0.5),
        "not": ~(a > 0.5),
        "round": round(a),
        "digits": round(a, 1),
    }
    model = k.Model([a, b], outputs)
    same = [a == a, a == b, b in [a], a in {a}]
    found = model.predict([X, X[::-1]], verbose=0)
    return [found[name] for name in outputs], [t.dtype for t in model.outputs], same


# ---- classes called as those of Keras -----------------------------------------------------------


def namesakes(k):
    """Classes of one's own with names that Keras has, too."""
    own = {"__module__": "__main__"}

    def norm(self, epsi=0.5, **kwargs):
        super(kinds["LayerNormalization"], self).__init__(**kwargs)
        self.epsi = epsi

    def score(self, factor=1.0, **kwargs):
        super(kinds["F1Score"], self).__init__(**kwargs)
        self.factor, self.total = factor, self.add_weight(name="total", initializer="zeros")

    def settings(name, *keys):
        def get_config(self):
            return {**super(kinds[name], self).get_config(), **{n: getattr(self, n) for n in keys}}

        return get_config

    kinds = {
        "LayerNormalization": {
            "__init__": norm,
            "call": lambda self, x: x + self.epsi,
            "get_config": settings("LayerNormalization", "epsi"),
        },
        "F1Score": {
            "__init__": score,
            "update_state": lambda self, y, p, sample_weight=None: self.total.assign_add(
                k.ops.sum(p) * self.factor
            ),
            "result": lambda self: self.total,
            "reset_state": lambda self: self.total.assign(0.0),
            "get_config": settings("F1Score", "factor"),
        },
        "NonNeg": {"__call__": lambda self, w: k.ops.maximum(w, 0.3)},
        "Adam": {},
    }
    bases = {
        "LayerNormalization": k.layers.Layer,
        "F1Score": k.metrics.Metric,
        "NonNeg": k.constraints.Constraint,
        "Adam": k.optimizers.SGD,
    }
    for name, members in kinds.items():
        kinds[name] = type(name, (bases[name],), {**members, **own})
    return kinds


@program
def namesakes_in_a_file(k):
    own, entry = namesakes(k), k.Input((4,))
    x = own["LayerNormalization"](0.25)(entry)
    x = k.layers.Dense(3, kernel_constraint=own["NonNeg"]())(x)
    model = seeded(k.Model(entry, x))
    model.compile(own["Adam"](0.1), "mae", metrics=[own["F1Score"](2.0, name="f1")])
    model.fit(X, Y, verbose=0, shuffle=False)
    model.save("own.keras")
    again = k.models.load_model("own.keras", custom_objects=own)
    history = again.fit(X, Y, verbose=0, shuffle=False).history
    kinds = [type(again.layers[1]), type(again.optimizer), type(again.layers[2].kernel_constraint)]
    given = [own["LayerNormalization"], own["Adam"], own["NonNeg"]]
    return history, weights_of(again), [a is b for a, b in zip(kinds, given, strict=True)]


def test_functions_called_as_those_of_keras(tmp_path):
    """Keras takes its own in place of them when it loads the file."""

    def gelu(x):
        return x * 2

    def mse(y, y_pred):
        return (y - y_pred).square().mean(-1) * 5

    model = seeded(lk.Sequential([lk.Input((4,)), lk.layers.Dense(3, activation=gelu)]))
    model.compile("sgd", mse, metrics=[mse])
    model.save(tmp_path / "own.keras")
    again = lk.models.load_model(tmp_path / "own.keras", custom_objects={"gelu": gelu, "mse": mse})
    assert again.layers[-1].activation is gelu
    assert again.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


def test_a_namesake_that_is_not_given_is_asked_for(tmp_path):
    model = lk.Sequential([lk.Input((4,)), namesakes(lk)["LayerNormalization"]()])
    model.save(tmp_path / "own.keras")
    with pytest.raises(lk.saving.LoadError) as error:
        lk.models.load_model(tmp_path / "own.keras")
    assert 'custom_objects={"LayerNormalization": LayerNormalization}' in str(error.value)


def test_columns_of_an_array_bring_no_warning_of_torch(recwarn):
    """Torch says once a process that it copies what is not contiguous."""
    column, steps = torch.as_tensor(X)[:, 0], torch.arange(8.0)[::2]
    torch.set_warn_always(True)
    try:
        lk.ops.histogram(column, bins=4)
        lk.ops.histogram(column, bins=steps)
        lk.ops.searchsorted(steps, column)
        lk.ops.digitize(column, steps)
    finally:
        torch.set_warn_always(False)
    assert not recwarn.list


def test_a_tensor_that_was_changed_in_place_is_told():
    def normalized(self, x):
        weights = lk.ops.exp(x)
        weights /= lk.ops.sum(weights, 1, keepdims=True)
        return weights

    layer = type("Normalized", (lk.layers.Layer,), {"call": normalized})()
    model = lk.Sequential([lk.Input((4,)), lk.layers.Dense(3), layer])
    model.compile("sgd", "mse")
    with pytest.raises(RuntimeError, match=r"in place.* Write a = a \+ b"):
        model.fit(X, Y, verbose=0)


def test_a_text_asks_for_classes_by_the_function_that_reads_it():
    model = lk.Sequential([lk.Input((4,)), namesakes(lk)["LayerNormalization"]()])
    with pytest.raises(lk.saving.LoadError, match=r"Type model_from_json\(\.\.\., custom_objects="):
        lk.models.model_from_json(model.to_json())
