"""Scripts with layers over time, as a Keras user writes them, run with Keras and with ours.

A script takes the package `k` and returns numbers, shapes and names, which must be the same.
"""

import keras
import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras._registry import reset_names

RNG = np.random.default_rng(0)
X = RNG.random((12, 5, 3)).astype("float32")
GAPS = X * (RNG.random((12, 5, 1)) > 0.3)
Y = RNG.random((12, 1)).astype("float32")


def words(rows, length, count):
    """Sentences of ids with zeros at their ends."""
    ends = RNG.integers(1, length + 1, (rows, 1))
    return RNG.integers(1, count, (rows, length)) * (np.arange(length) < ends)


SOURCE, TARGET = words(12, 6, 20), words(12, 5, 15)


def settled(model):
    """The same weights on both sides."""
    rng = np.random.default_rng(5)
    model.set_weights([rng.normal(0, 0.4, np.shape(w)) for w in model.get_weights()])
    return model


def fitted(model, *data):
    history = model.fit(*data, batch_size=4, epochs=2, verbose=0, shuffle=False).history
    return [history[name] for name in sorted(history)]


def shapes(model):
    return [str(tuple(layer.output.shape)) for layer in model.layers]


def paths(owner):
    return [w.path for w in owner.weights]


# ---- scripts -------------------------------------------------------------------------------------


def translation(k):
    """An encoder hands its states to a decoder, which is then run step by step."""
    layers = k.layers
    source, target = layers.Input((None, 7)), layers.Input((None, 6))
    _, *states = layers.LSTM(8, return_state=True)(source)
    decoder = layers.LSTM(8, return_sequences=True, return_state=True)
    dense = layers.Dense(6, activation="softmax")
    model = settled(k.Model([source, target], dense(decoder(target, initial_state=states)[0])))
    model.compile("rmsprop", "categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(1)
    given = rng.random((12, 5, 7)).astype("float32")
    one_hot = np.eye(6, dtype="float32")[rng.integers(0, 6, (12, 4))]
    found = fitted(model, [given, one_hot], one_hot)
    encoder = k.Model(source, states)
    before = [layers.Input((8,)), layers.Input((8,))]
    y, *after = decoder(target, initial_state=before)
    stepwise = k.Model([target, *before], [dense(y), *after])
    word, states = one_hot[:1, :1], encoder.predict(given[:1], verbose=0)
    for _ in range(4):
        y, *states = stepwise.predict([word, *states], verbose=0)
        word = np.eye(6, dtype="float32")[y[:, -1].argmax(-1)][:, None]
        found.append(y)
    return found


def translation_of_padded_words(k):
    """Masks from embeddings; with an initial state the decoder sees none, as in Keras."""
    layers = k.layers
    source, target = k.Input((None,), dtype="int64"), k.Input((None,), dtype="int64")
    x = layers.Embedding(20, 8, mask_zero=True)(source)
    seen, state = layers.GRU(8, return_sequences=True, return_state=True)(x)
    y = layers.Embedding(15, 8, mask_zero=True)(target)
    y = layers.GRU(8, return_sequences=True)(y, initial_state=state)
    y = layers.Concatenate()([y, layers.AdditiveAttention()([y, seen])])
    model = k.Model([source, target], layers.TimeDistributed(layers.Dense(15))(y))
    settled(model).compile("adam", k.losses.SparseCategoricalCrossentropy(from_logits=True))
    found = fitted(model, [SOURCE, TARGET], TARGET)
    return [*found, model.predict([SOURCE, TARGET], verbose=0)]


def texts_in_both_directions(k):
    layers = k.layers
    model = k.Sequential(
        [
            k.Input((6,)),
            layers.Embedding(20, 8, mask_zero=True),
            layers.Bidirectional(layers.LSTM(6, return_sequences=True)),
            layers.Bidirectional(layers.GRU(5), merge_mode="sum"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    settled(model).compile("adam", "binary_crossentropy", metrics=["accuracy"])
    found = fitted(model, SOURCE, SOURCE[:, 0] % 2)
    return [*found, model.predict(SOURCE, verbose=0), shapes(model), paths(model)]


def states_of_both_directions(k):
    found = []
    for mode in ("concat", "sum", "mul", "ave", None):
        for kind in ("LSTM", "GRU", "SimpleRNN"):
            x = k.Input((5, 3))
            inner = getattr(k.layers, kind)(4, return_sequences=True, return_state=True)
            y = k.layers.Bidirectional(inner, merge_mode=mode)(k.layers.Masking()(x))
            found += settled(k.Model(x, list(y))).predict(GAPS, verbose=0)
    return found


def states_over_batches(k):
    layers = k.layers
    model = k.Sequential(
        [
            k.Input(batch_shape=(4, 5, 3)),
            layers.LSTM(6, stateful=True, return_sequences=True),
            layers.GRU(5, stateful=True),
            layers.Dense(1),
        ]
    )
    settled(model).compile("sgd", "mse")
    found = [model.predict(X, batch_size=4, verbose=0) for _ in range(2)]
    for layer in model.layers[:2]:
        found += [s.detach().clone() for s in values(layer.states)]  # Keras writes into them
        layer.reset_states()
    return [*found, model.evaluate(X, Y, batch_size=4, verbose=0)]


def values(states):
    return [getattr(s, "value", s) for s in states]


def states_of_a_functional_model(k):
    found = []
    for options in ({"go_backwards": True}, {"return_state": True}, {"return_sequences": True}):
        for kind in ("LSTM", "GRU", "SimpleRNN"):
            x = k.Input(batch_shape=(12, 5, 3))
            layer = getattr(k.layers, kind)(4, stateful=True, **options)
            model = settled(k.Model(x, layer(k.layers.Masking()(x))))
            found += [model.predict(GAPS, batch_size=12, verbose=0) for _ in range(2)]
            layer.reset_states()
            found.append(model.predict(GAPS, batch_size=12, verbose=0))
    return found


def minimal_cell(k):
    class MinimalRNNCell(k.layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.state_size = units

        def build(self, input_shape):
            self.kernel = self.add_weight(
                shape=(input_shape[-1], self.units), initializer="uniform", name="kernel"
            )
            self.recurrent_kernel = self.add_weight(
                shape=(self.units, self.units), initializer="uniform", name="recurrent_kernel"
            )

        def call(self, inputs, states):
            output = k.ops.matmul(inputs, self.kernel)
            output = output + k.ops.matmul(states[0], self.recurrent_kernel)
            return output, [output]

    return MinimalRNNCell


def a_cell_of_ones_own(k):
    cell, layers, found = minimal_cell(k), k.layers, []
    for make in (
        lambda: layers.RNN(cell(6)),
        lambda: layers.RNN([cell(6), cell(7)], return_sequences=True, return_state=True),
        lambda: layers.RNN([cell(6), layers.LSTMCell(4)]),
        lambda: layers.RNN(cell(4), unroll=True, go_backwards=True),
    ):
        x = k.Input((5, 3))
        model = settled(k.Model(x, make()(x)))
        found += [model.predict(X, verbose=0), paths(model)]
    return found


def a_cell_made_of_layers(k):
    """It builds them by hand, normalizes what a cell gives, and starts from ones."""
    layers = k.layers

    class NormalizedCell(layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = self.output_size = units
            self.state_size = [units, units]
            self.cell = layers.LSTMCell(units)
            self.norm = layers.LayerNormalization()

        def build(self, input_shape):
            self.cell.build(input_shape)
            self.norm.build((input_shape[0], self.units))

        def call(self, inputs, states, training=None):
            output, new = self.cell(inputs, states, training=training)
            return self.norm(output), [self.norm(output), new[1]]

        def get_initial_state(self, batch_size=None):
            return [k.ops.ones((batch_size, self.units)), k.ops.zeros((batch_size, self.units))]

    layer = layers.RNN(NormalizedCell(6), return_sequences=True, return_state=True)
    layer(torch.tensor(X))
    settled(layer)
    mask = torch.tensor(GAPS.any(-1))
    return [*layer(torch.tensor(X), mask=mask), *layer(torch.tensor(X)), paths(layer)]


def pictures_over_time(k):
    layers = k.layers
    picture = k.Sequential(
        [k.Input((6, 6, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten()]
    )
    model = k.Sequential([k.Input((None, 6, 6, 1)), layers.TimeDistributed(picture)])
    model.add(layers.LSTM(6))
    model.add(layers.Dense(1))
    settled(model).compile("sgd", "mse")
    films = np.random.default_rng(2).random((12, 3, 6, 6, 1)).astype("float32")
    return [*fitted(model, films, Y), model.predict(films, verbose=0), shapes(model), paths(model)]


def initial_states_in_all_forms(k):
    layers, x, s, found = k.layers, torch.ones(2, 3, 4), torch.full((2, 5), 0.5), []

    def ran(layer, *starts):
        layer(x)
        settled(layer)
        found.extend(layer(x, initial_state=start) for start in starts)

    for one in (layers.GRU(5), layers.SimpleRNN(5)):
        ran(one, s, [s], (s,), s.numpy())
        found.append(one(x, s))
    ran(layers.LSTM(5), [s, s], (s, 2 * s))
    stack = layers.RNN([layers.LSTMCell(5), layers.GRUCell(4)])
    ran(stack, [[s, s], [s[:, :4]]], [(s, s), s[:, :4]])
    ran(layers.Bidirectional(layers.LSTM(5)), [s, 2 * s, 3 * s, s], (s, 2 * s, 3 * s, s))
    return found


def sizes_and_names(k):
    layers = k.layers
    cells = [layers.LSTMCell(3), layers.GRUCell(3), layers.SimpleRNNCell(3)]
    cells.append(layers.StackedRNNCells([layers.GRUCell(2), layers.LSTMCell(3)]))
    found = [f"{cell.state_size} {cell.output_size}" for cell in cells]
    over_time = [layers.LSTM(3), layers.GRU(3), layers.SimpleRNN(3), layers.RNN(layers.GRUCell(3))]
    found += [str(layer.state_size) for layer in over_time]
    both = layers.Bidirectional(layers.LSTM(4, name="x"), name="both")
    both.build((None, 3, 2))
    return [*found, paths(both), both.forward_layer.name, both.backward_layer.name]


SCRIPTS = [
    translation,
    translation_of_padded_words,
    texts_in_both_directions,
    states_of_both_directions,
    states_over_batches,
    states_of_a_functional_model,
    a_cell_of_ones_own,
    a_cell_made_of_layers,
    pictures_over_time,
    initial_states_in_all_forms,
    sizes_and_names,
]


def leaves(found):
    if isinstance(found, (list, tuple)):
        return [leaf for item in found for leaf in leaves(item)]
    return [found.detach().numpy() if isinstance(found, torch.Tensor) else found]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_scripts(script):
    results = []
    for k in (keras, lk):
        keras.backend.clear_session(free_memory=False)
        reset_names()
        results.append(leaves(script(k)))
    theirs, ours = results
    assert len(ours) == len(theirs)
    for number, (a, b) in enumerate(zip(theirs, ours, strict=True)):
        if isinstance(a, str):
            assert b == a, f"{number}: {b} instead of {a}"
        else:
            np.testing.assert_allclose(b, a, rtol=1e-4, atol=2e-5, err_msg=str(number))


# ---- training over batches, which Keras cannot do on torch ---------------------------------------


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_stateful_training(kind):
    """Each batch goes on from the states of the one before; gradients stay within a batch."""

    def model():
        layers = [getattr(lk.layers, kind)(4, stateful=True), lk.layers.Dense(1)]
        return settled(lk.Sequential([lk.Input(batch_shape=(4, 5, 3)), *layers]))

    ours = model()
    ours.compile(lk.optimizers.SGD(0.1), "mse")
    by_hand = model()
    over_time, dense = by_hand.layers
    optimizer = torch.optim.SGD(by_hand.parameters(), 0.1)
    losses = fitted(ours, X, Y)[0]
    states = over_time.get_initial_state(4)
    over_time.stateful, over_time.return_state = False, True
    for epoch in range(2):
        total = 0.0
        for x, y in zip(torch.tensor(X).split(4), torch.tensor(Y).split(4), strict=True):
            optimizer.zero_grad()
            h, *states = over_time(x, initial_state=[s.detach() for s in states])
            loss = ((dense(h) - y) ** 2).mean()
            loss.backward()
            optimizer.step()
            total += float(loss) / 3
        assert losses[epoch] == pytest.approx(total, rel=1e-4)
    for w, v in zip(ours.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(w, v, atol=1e-5)


def test_fit_leaves_the_states_of_a_built_model_alone():
    model = lk.Sequential([lk.Input(batch_shape=(4, 5, 3)), lk.layers.GRU(4, stateful=True)])
    model.predict(X, batch_size=4, verbose=0)
    kept = model.layers[0].states[0]
    model.compile("sgd", "mse")
    model.evaluate(X[:4], np.zeros((4, 4)), batch_size=4, verbose=0)
    fresh = settled(lk.Sequential([lk.Input(batch_shape=(4, 5, 3)), lk.layers.GRU(4)]))
    fresh.set_weights(model.get_weights())
    wanted = fresh.layers[0](torch.tensor(X[:4]), initial_state=[kept])
    torch.testing.assert_close(model.layers[0].states[0], wanted.detach())


@pytest.mark.parametrize("packed", [False, True])
def test_states_of_stacked_cells_come_back_as_they_were_given(packed):
    """A state alone stays a tensor, one in a list stays in a list; so does a symbolic one."""

    def shapes(k):
        cell = k.layers.StackedRNNCells([k.layers.GRUCell(3), k.layers.LSTMCell(2)])
        first = k.Input((3,))
        states = [[first] if packed else first, [k.Input((2,)), k.Input((2,))]]
        output, states = cell(k.Input((4,)), states)
        of = lambda s: [of(t) for t in s] if isinstance(s, (list, tuple)) else tuple(s.shape)
        return of(output), of(states)

    assert shapes(lk) == shapes(keras)
