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
