"""Models as one meets them: made, looked at, changed. Each row runs in Keras and here."""

import copy
import pickle

import keras
import numpy as np
import pytest
from _beside import beside, seeded, weights_of

import lightkeras as lk

X = np.random.RandomState(1).rand(6, 3).astype("float32")


def names_of(model):
    return [layer.name for layer in model.layers]


# ---- subclassed models: layers as attributes and in containers ----------------------------------


def attached(k, *changes):
    """A model with layers in all kinds of attributes, after some changes, called once."""
    dense = k.layers.Dense

    class Net(k.Model):
        def __init__(self):
            super().__init__()
            self.last = dense(2, name="last")
            self.many = [dense(3, name="m0")]
            self.first = dense(4, name="first")
            self.many.append(dense(5, name="m1"))
            self.pair = (dense(6, name="t0"), 1, None)
            self.named = {"x": dense(7, name="d0")}
            self.nested = [[dense(8, name="n0")], {"y": [dense(9, name="n1")]}]
            self.again = self.first

        def call(self, x):
            deep = [self.nested[0][0], self.nested[1]["y"][0]]
            for layer in [self.first, *self.many, self.pair[0], *self.named.values(), *deep]:
                x = layer(x)
            return self.last(x)

    model = Net()
    for change in changes:
        change(model, dense)
    model(X)
    return model


def _extend(model, dense):
    model.many.extend([dense(3, name="e0"), dense(2, name="e1")])


def _key(model, dense):
    model.named["z"] = dense(3, name="z")


CHANGES = {
    "as made": lambda model, dense: None,
    "append": lambda model, dense: model.many.append(dense(3, name="new")),
    "insert": lambda model, dense: model.many.insert(0, dense(3, name="new")),
    "extend": _extend,
    "pop": lambda model, dense: model.many.pop(0),
    "remove": lambda model, dense: model.many.remove(model.many[1]),
    "clear": lambda model, dense: model.many.clear(),
    "key": _key,
    "pop key": lambda model, dense: (_key(model, dense), model.named.pop("x")),
    "update": lambda model, dense: model.named.update({"z": dense(3, name="z")}),
    "late attribute": lambda model, dense: setattr(model, "late", dense(3, name="late")),
    "known layer": lambda model, dense: setattr(model, "again", model.last),
}


@pytest.mark.parametrize("change", CHANGES)
def test_layers_come_in_the_order_in_which_they_were_attached(change):
    def program(k):
        model = seeded(attached(k, CHANGES[change]))
        return names_of(model), weights_of(model), model(X)

    beside(program)


def test_a_layer_that_is_replaced_or_deleted_is_gone():
    """Keras goes on listing it; its weights would be trained and saved for nothing."""
    model = attached(lk, lambda model, dense: setattr(model, "last", dense(2, name="new")))
    assert names_of(model)[0] == "m0" and names_of(model)[-1] == "new"
    del model.last
    assert "new" not in names_of(model)
    model = attached(lk, lambda model, dense: setattr(model, "many", [dense(3, name="new")]))
    assert names_of(model) == ["last", "first", "t0", "d0", "n0", "n1", "new"]
    assert all(old not in pickle.dumps(model._came) for old in (b"m0", b"m1"))


class Attached(lk.Model):
    """Outside of functions, so that pickle finds it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.many = [lk.layers.Dense(2, name="m0")]
        self.head = lk.layers.Dense(3, name="head")
        self.many.append(lk.layers.Dense(4, name="m1"))

    def call(self, x):
        return self.head(self.many[1](self.many[0](x)))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_keep_the_order_and_go_on(copied):
    model = Attached()
    model(X)
    other = copied(model)
    assert names_of(other) == names_of(model) == ["m0", "head", "m1"]
    assert weights_of(other) == weights_of(model)
    np.testing.assert_array_equal(other(X).detach(), model(X).detach())
    other.many.append(lk.layers.Dense(5, name="m2"))
    assert names_of(other) == ["m0", "head", "m1", "m2"] and len(names_of(model)) == 3


@pytest.mark.parametrize("make", ["lk", "keras"])
def test_files_of_both_hold_each_weight_in_its_place(make, tmp_path):
    ours, theirs = seeded(attached(lk), 1), seeded(attached(keras), 2)
    source, target = (ours, theirs) if make == "lk" else (theirs, ours)
    source.save_weights(tmp_path / "w.weights.h5")
    target.load_weights(tmp_path / "w.weights.h5")
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def held(k):
    """A Sequential that is given a layer it also holds, and one that is no part of it."""

    class Stack(k.Sequential):
        def __init__(self):
            super().__init__()
            self.mine = k.layers.Dense(2, name="mine")
            self.other = k.layers.Dense(3, name="other")
            self.other.build((None, 3))
            self.add(k.Input((3,)))
            self.add(k.layers.Dense(4, name="a"))
            self.add(self.mine)
            self.add(k.layers.Dense(5, name="b"))

    return Stack()


def graph_held(k):
    """A functional subclass that keeps its layers as attributes, in another order."""

    class Graph(k.Model):
        def __init__(self):
            x = k.Input((3,))
            a, b = k.layers.Dense(4, name="a"), k.layers.Dense(5, name="b")
            super().__init__(x, b(a(x)))
            self.b, self.a = b, a
            self.other = k.layers.Dense(6, name="other")
            self.other.build((None, 3))

    return Graph()


def layer_with_layers(k):
    class Block(k.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = k.layers.Dense(2)
            self.list = [k.layers.Dense(3)]
            self.w = self.add_weight(shape=(7,), name="w")
            self.last = k.layers.Dense(4)

        def build(self, shape):
            self.state = self.add_weight(shape=(8,), name="state", trainable=False)
            self.late = k.layers.Dense(5)
            self.v = self.add_weight(shape=(9,), name="v")

        def call(self, x):
            return self.late(self.last(self.list[0](self.inner(x))))

    return k.Sequential([k.Input((3,)), Block(), k.layers.Dense(2)])


@pytest.mark.parametrize("make", [held, graph_held, layer_with_layers])
def test_weights_of_stacks_graphs_and_layers_that_hold_layers(make):
    def program(k):
        model = seeded(make(k))
        split = [len(model.trainable_weights), len(model.non_trainable_weights)]
        return names_of(model), weights_of(model), split, model.count_params(), model(X)

    beside(program)


# ---- stacks and graphs, and what is asked of them ------------------------------------------------


def looked_at(model, x):
    """What a person asks a model: names, shapes, weights and their split, outputs."""
    return {
        "layers": [[layer.name, kind(layer)] for layer in model.layers],
        "shapes": [weights_of(model), list(map(str, (model.input_shape, model.output_shape)))],
        "paths": [w.path for w in model.weights],
        "split": [len(model.trainable_weights), len(model.non_trainable_weights)],
        "count": [model.count_params(), [layer.count_params() for layer in model.layers]],
        "name": [model.name, model.built, model.trainable],
        "ends": [len(model.inputs), len(model.outputs)],
        "y": flat(model.predict(x, verbose=0)),
        "y of rows": flat(model(x)),
    }


def kind(layer):
    """Name of the class; Keras has one of its own for a model that is a graph."""
    return type(layer).__name__.replace("Functional", "Model")


def flat(outputs):
    """Dicts by their keys: Keras sorts them, here they stay as they were given."""
    return {key: outputs[key] for key in sorted(outputs)} if isinstance(outputs, dict) else outputs


def stacked(k, *layers, **kwargs):
    return k.Sequential([k.Input((3,)), *layers], **kwargs)


def by_add(k):
    model = k.Sequential(name="mine")
    model.add(k.layers.Dense(4, input_shape=(3,), activation="relu"))
    model.add(k.layers.BatchNormalization())
    model.add(k.layers.Dropout(0.0))
    model.add(k.layers.Dense(2))
    return model


def popped(k):
    model = stacked(k, k.layers.Dense(4), k.layers.Dense(5), k.layers.Dense(6))
    model.pop()
    model.pop()
    model.add(k.layers.Dense(7))
    return model


def deferred(k, how):
    model = k.Sequential([k.layers.Dense(4), k.layers.Dense(2)])
    if how == "build":
        model.build((None, 3))
    elif how == "build rows":
        model.build((6, 3))
    elif how == "build tensor":
        model.build(input_shape=(None, 3))
    elif how == "call":
        model(X)
    elif how == "fit":
        model.compile("sgd", "mse")
        model.fit(X, X[:, :2], verbose=0)
    elif how == "predict":
        model.predict(X, verbose=0)
    return model


def two_ways(k):
    a, b = k.Input((3,), name="a"), k.Input((3,), name="b")
    shared = k.layers.Dense(4, activation="tanh", name="shared")
    h = k.layers.concatenate([shared(a), shared(b)])
    return k.Model([a, b], [k.layers.Dense(1, name="p")(h), k.layers.Dense(2, name="q")(h)])


def of_dicts(k):
    x = {"b": k.Input((3,), name="b"), "a": k.Input((3,), name="a")}
    h = k.layers.Dense(4)(x["a"]) + k.layers.Dense(4)(x["b"]) * 2.0
    return k.Model(x, {"z": k.layers.Dense(1)(h), "y": k.layers.Dense(2)(h)[:, :1]})


def inside(k):
    x = k.Input((3,))
    inner = k.Model(x, k.layers.Dense(4, name="in1")(x), name="inner")
    stack = k.Sequential([k.layers.Dense(4, name="in2"), k.layers.ReLU()], name="stack")
    y = k.Input((3,))
    return k.Model(y, k.layers.Dense(2)(stack(inner(y)) + inner(y) / 3))


def residual(k):
    x = k.Input((3,), name="x")
    h = k.layers.Dense(3)(x)
    h = k.layers.Add()([x, h])
    h = -h - 1.0
    h = h[:, None, :] @ h[:, :, None]
    return k.Model(x, abs(h / 2) ** 0.5)


def truncated(k):
    model = two_ways(k)
    return k.Model(model.inputs, model.get_layer("shared").output)


def extended(k):
    model = by_add(k)
    return k.Model(model.inputs, k.layers.Dense(5, name="new")(model.layers[0].output))


def of_a_tensor(k):
    model = by_add(k)
    return k.Model(model.inputs, model.layers[-2].output)


def of_models(k):
    return k.Sequential([by_add(k), k.layers.Dense(3), deferred(k, "build")])


PAIR = [X, X + 1]
MODELS = {
    "list": (lambda k: stacked(k, k.layers.Dense(4), k.layers.Dense(2), name="s"), X),
    "layer names": (lambda k: stacked(k, *[k.layers.Dense(2) for _ in range(3)]), X),
    "add": (by_add, X),
    "pop": (popped, X),
    "input_dim": (lambda k: k.Sequential([k.layers.Dense(4, input_dim=3)]), X),
    "input_shape": (lambda k: k.Sequential([k.layers.Dense(4, input_shape=(3,))]), X),
    "InputLayer": (lambda k: k.Sequential([k.layers.InputLayer((3,)), k.layers.Dense(4)]), X),
    "Input by add": (lambda k: _added(k.Sequential(), k.Input((3,)), k.layers.Dense(4)), X),
    "build": (lambda k: deferred(k, "build"), X),
    "build by rows": (lambda k: deferred(k, "build rows"), X),
    "build by name": (lambda k: deferred(k, "build tensor"), X),
    "two inputs and outputs": (two_ways, PAIR),
    "two inputs by name": (two_ways, {"b": X, "a": X + 1}),
    "dicts": (of_dicts, {"a": X, "b": X + 1}),
    "models inside": (inside, X),
    "operators": (residual, X),
    "up to a layer": (truncated, PAIR),
    "another head": (extended, X),
    "up to the last but one": (of_a_tensor, X),
    "stack of models": (of_models, X),
}


def _added(model, *layers):
    for layer in layers:
        model.add(layer)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_models_are_what_keras_makes(name):
    make, x = MODELS[name]
    beside(lambda k: looked_at(seeded(make(k)), x))


@pytest.mark.parametrize("how", ["call", "fit", "predict"])
def test_stacks_are_built_by_their_first_data(how):
    def program(k):
        model = seeded(deferred(k, how))
        return names_of(model), weights_of(model), model.predict(X, verbose=0), model.built

    beside(program)


@pytest.mark.parametrize("name", [n for n in MODELS if n != "operators"])
def test_models_made_again_from_their_config(name):
    make, x = MODELS[name]

    def program(k):
        model = seeded(make(k))
        made = [
            type(model).from_config(model.get_config()),
            k.models.model_from_json(model.to_json()),
            k.models.clone_model(model),
        ]
        for other in made:
            other.set_weights(model.get_weights())
        # Keras names Inputs anew in a clone.
        names = [[n for n in names_of(m) if not n.startswith(("input", "keras"))] for m in made]
        return names, [m.name for m in made], [flat(m.predict(x, verbose=0)) for m in made]

    beside(program)


def frozen_part(k):
    model = by_add(k)
    model.layers[0].trainable = False
    return model


def frozen(k):
    model = by_add(k)
    model.trainable = False
    return model


def thawed(k):
    model = frozen(k)
    model.trainable = True
    model.layers[1].trainable = False
    return model


def frozen_inside(k):
    model = inside(k)
    model.get_layer("inner").trainable = False
    return model


def frozen_when_made(k):
    return stacked(k, k.layers.Dense(4, trainable=False), k.layers.Dense(2))


@pytest.mark.parametrize(
    "make", [by_add, frozen_part, frozen, thawed, frozen_inside, frozen_when_made]
)
def test_what_is_trainable(make):
    def program(k):
        model = seeded(make(k))
        model.compile("sgd", "mse")
        model.fit(X, X[:, :2], verbose=0, epochs=2, shuffle=False)
        flags = [[layer.name, layer.trainable] for layer in model.layers]
        split = [
            [w.path for w in ws] for ws in (model.trainable_weights, model.non_trainable_weights)
        ]
        variables = [len(model.trainable_variables), len(model.non_trainable_variables)]
        return flags, split, variables, len(model.variables), model.get_weights()

    beside(program)
