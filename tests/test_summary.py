"""The table of `summary()` is Keras's, character for character.

Keras's models have the same inner attributes as ours (layers, nodes, histories), so the drawing
is checked on live Keras models; the last tests check our own models against their Keras twins.
"""

import contextlib
import io
import re

import numpy as np
import pytest

from lightkeras import _summary

keras = pytest.importorskip("keras")
L = keras.layers


def text_of(show):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert show() is None
    return out.getvalue()


def mlp(k=keras, name="mlp"):
    return k.Sequential(
        [
            k.Input((784,)),
            k.layers.Dense(512, activation="relu", name="first"),
            k.layers.Dropout(0.2, name="drop"),
            k.layers.Dense(10, name="last"),
        ],
        name=name,
    )


def cnn(k=keras):
    return k.Sequential(
        [
            k.Input((28, 28, 1)),
            k.layers.Conv2D(32, 3, activation="relu", name="a_convolution_with_a_very_long_name"),
            k.layers.MaxPooling2D(name="pool"),
            k.layers.BatchNormalization(name="norm"),
            k.layers.Flatten(name="flat"),
            k.layers.Dense(10, name="dense"),
        ],
        name="cnn",
    )


def two_inputs(k=keras):
    a, b = k.Input((8,), name="a"), k.Input((8, 8, 1), name="b")
    x = k.layers.Dense(16, name="a_dense_layer_with_a_rather_long_name_indeed")(a)
    y = k.layers.Conv2D(3, 3, name="conv")(b)
    y = k.layers.Flatten(name="flatten")(y)
    z = k.layers.Concatenate(name="concatenate")([x, y])
    outputs = [k.layers.Dense(1, name="one")(z), k.layers.Dense(2, name="two")(z)]
    return k.Model([a, b], outputs, name="two_in")


def nested(k=keras):
    x = k.Input((784,), name="pixels")
    y = k.layers.Dense(3, name="head")(mlp(k, "inner")(x))
    return k.Model(x, y, name="outer")


def shared(k=keras):
    x, layer = k.Input((4,), name="x"), k.layers.Dense(4, name="dense")
    return k.Model(x, layer(layer(x)), name="shared")


def chain(k=keras):
    x = k.Input((4,), name="x")
    return k.Model(x, k.layers.Dense(4, name="dense")(x), name="chain")


def frozen(k=keras):
    model = nested(k)
    model.get_layer("inner").trainable = False
    return model


def unbuilt(k=keras):
    layers = [k.layers.Dense(3, name="a"), k.layers.Dense(2, name="b")]
    return k.Sequential(layers, name="unbuilt")


def empty(k=keras):
    return k.Sequential(name="empty")


def trained(k=keras):
    model = mlp(k)
    model.compile("adam", "mse")
    model.train_on_batch(np.zeros((2, 784), "float32"), np.zeros((2, 10), "float32"))
    return model


def sequence(k=keras):
    x = k.Input((5, 3), name="x")
    y = k.layers.LSTM(4, return_state=True, name="lstm")(x)
    return k.Model(x, y, name="sequence")


MODELS = [
    mlp,
    cnn,
    two_inputs,
    nested,
    shared,
    chain,
    frozen,
    unbuilt,
    empty,
    trained,
    sequence,
]
OPTIONS = {
    "default": {},
    "narrow": {"line_length": 60},
    "wide": {"line_length": 150},
    "nested, trainable": {"expand_nested": True, "show_trainable": True},
}


def without_note(text):
    return re.sub(r" Not built yet:.*\n", "", text)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_draws_what_keras_draws(make, options, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    model = make()
    expected = text_of(lambda: model.summary(**options))
    assert without_note(text_of(lambda: _summary.summary(model, **options))) == expected


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_follows_the_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    for model in (mlp(), two_inputs()):
        assert text_of(lambda m=model: _summary.summary(m)) == text_of(model.summary)


@pytest.mark.parametrize("length", range(60, 121, 7))
@pytest.mark.parametrize("positions", [None, [0.3, 0.5, 0.6, 1.0], [0.2, 0.45, 0.7, 0.9]])
def test_positions(length, positions, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    model, options = two_inputs(), {"line_length": length, "positions": positions}
    expected = text_of(lambda: model.summary(**options))
    assert text_of(lambda: _summary.summary(model, **options)) == expected


@pytest.mark.parametrize("names", [("conv", "flatten"), ("flatten", "conv"), ("c.*", "one")])
def test_layer_range(names):
    model = two_inputs()
    expected = text_of(lambda: model.summary(layer_range=names))
    assert text_of(lambda: _summary.summary(model, layer_range=names)) == expected


def test_print_fn_gets_the_whole_text_once():
    ours, theirs = [], []
    model = mlp()
    _summary.summary(model, print_fn=ours.append)
    model.summary(print_fn=theirs.append)
    assert ours == theirs
    assert len(ours) == 1


def test_an_unbuilt_model_says_what_to_do():
    assert "Not built yet: start with Input(shape)" in text_of(lambda: _summary.summary(unbuilt()))
    assert "Not built yet" not in text_of(lambda: _summary.summary(mlp()))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"layer_range": ("frist", "last")}, "No layer is called 'frist'.*Did you mean 'first'"),
        ({"layer_range": ("first",)}, "Two strings are accepted"),
        ({"layer_range": (0, 1)}, "Two strings are accepted"),
        ({"line_length": 10}, "no room.*Make line_length larger"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        _summary.summary(mlp(), **options)


def test_colours_on_a_terminal_change_no_letter(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for model in (frozen(), two_inputs(), unbuilt()):
        plain = text_of(lambda m=model: _summary.summary(m, show_trainable=True))
        with contextlib.redirect_stdout(Terminal()) as out:
            _summary.summary(model, show_trainable=True)
        assert "\33[38;5;34m" in out.getvalue()
        assert re.sub(r"\x1b\[[\d;]*m", "", out.getvalue()) == plain


def test_an_ascii_stream_gets_an_ascii_table():
    raw = io.BytesIO()
    with contextlib.redirect_stdout(io.TextIOWrapper(raw, encoding="ascii")):
        _summary.summary(two_inputs())
        assert raw.getvalue().decode("ascii").splitlines()[1].startswith("+=====")


# ---- our models, beside Keras's -----------------------------------------------------------------


def functional_inside(k=keras):
    x = k.Input((4,), name="x")
    y = k.layers.Dense(3, name="head")(chain(k)(x))
    return k.Model(x, y, name="outer")


def arithmetic(k=keras):
    x = k.Input((4,), name="x")
    y = k.layers.Dense(4, name="dense")(x)
    return k.Model(x, y + x, name="arithmetic")


def subclassed(k=keras):
    class Two(k.Model):
        def __init__(self):
            super().__init__(name="two")
            self.first = k.layers.Dense(3, name="first")
            self.second = k.layers.Dense(2, name="second")

        def call(self, x):
            return self.second(self.first(x))

    model = Two()
    model(np.zeros((5, 4), "float32"))
    return model


TWINS = [*MODELS, functional_inside, arithmetic, subclassed]


@pytest.mark.parametrize("make", TWINS, ids=lambda make: make.__name__)
def test_our_models_print_what_keras_models_print(make, monkeypatch):
    import lightkeras
    from lightkeras._registry import reset_names

    monkeypatch.setenv("COLUMNS", "160")
    keras.backend.clear_session()
    reset_names()
    options = OPTIONS["nested, trainable"]
    expected = text_of(lambda: make(keras).summary(**options))
    assert without_note(text_of(lambda: make(lightkeras).summary(**options))) == expected


def test_a_torch_module_in_a_model_has_a_row():
    import torch

    import lightkeras

    class Mixed(lightkeras.Model):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(4, 3)

        def call(self, x):
            return self.linear(x)

    text = text_of(lambda: Mixed().summary(show_trainable=True))
    assert re.search(r"linear.*\(Linear\).* 15 │ +Y +│", text)
