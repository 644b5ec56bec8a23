"""Models as configs and JSON, beside the installed Keras: graphs, stacks, clones."""

import copy
import json
import re

import keras
import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras import layers
from lightkeras._registry import reset_names
from lightkeras.models import Model, Sequential, clone_model, model_from_json
from lightkeras.saving import LoadError


@pytest.fixture(autouse=True)
def same_names():
    keras.backend.clear_session(free_memory=False)
    reset_names()


def dense(k, units=3, **kwargs):
    return k.layers.Dense(units, **kwargs)


# ---- graphs, each written once for both --------------------------------------------------


def chain(k):
    x = k.Input((4,))
    return k.Model(x, dense(k, 2)(k.layers.Dropout(0.2)(dense(k, activation="relu")(x))))


def skip(k):
    x = k.Input((3,))
    a = dense(k)(x)
    b = dense(k)(a)
    return k.Model(x, dense(k)(k.layers.Concatenate()([b, a, x])))


def long_skip(k):
    x = k.Input((3,))
    short, y = dense(k, name="short")(x), x
    for _ in range(3):
        y = dense(k)(y)
    return k.Model(x, k.layers.Add()([short, y]))


def two_inputs(k):
    x, y = k.Input((3,), name="x"), k.Input((5,), name="y")
    a = dense(k)(dense(k, 4)(x))
    return k.Model([x, y], k.layers.Concatenate()([a, dense(k)(y)]))


def late_input(k):
    x, y = k.Input((3,)), k.Input((3,))
    return k.Model([y, x], k.layers.Add()([dense(k)(dense(k)(x)), y]))


def shared(k):
    x, y = k.Input((3,)), k.Input((3,))
    d = dense(k)
    return k.Model([x, y], k.layers.Add()([d(d(x)), d(y)]))


def shared_at_two_depths(k):
    x = k.Input((3,))
    a, b = dense(k), dense(k)
    return k.Model(x, a(b(a(b(x)))))


def several_outputs(k):
    x = k.Input((3,))
    h = dense(k)(x)
    return k.Model(x, [dense(k, 2)(dense(k)(h)), dense(k, 1)(h), h])


def dicts(k):
    x = {"b": k.Input((3,), name="b"), "a": k.Input((4,), name="a")}
    h = k.layers.Concatenate()([dense(k)(x["a"]), dense(k)(x["b"])])
    return k.Model(x, {"out": dense(k, 2)(h), "mid": h})


def nested(k):
    i = k.Input((3,))
    inner = k.Model(i, [dense(k)(i), dense(k, 2)(i)], name="inner")
    x = k.Input((3,))
    a, b = inner(x)
    return k.Model(x, [dense(k)(a), b, inner(dense(k)(x))[1]])


def nested_stack(k):
    stack = k.Sequential([k.Input((3,)), dense(k), dense(k, 3)], name="stack")
    x = k.Input((3,))
    return k.Model(x, k.layers.Add()([stack(x), stack(dense(k)(x))]))


def operators(k):
    x, y = k.Input((3,)), k.Input((3,))
    a = dense(k)(x) + y * 2.0
    return k.Model([x, y], dense(k)((1.0 - a) / 3.0 - abs(-y) + x**2)[:, 1:])


def unequal_branches(k):
    x = k.Input((3,))
    one = dense(k, name="p")(x)
    two = dense(k, name="q")(dense(k, name="r")(x))
    three = dense(k, name="s")(one)
    return k.Model(x, k.layers.Concatenate()([three, two, one]))


def unused_input(k):
    x, y = k.Input((3,)), k.Input((2,), name="unused")
    return k.Model([x, y], dense(k)(x))


def from_the_middle(k):
    x = k.Input((3,))
    a = dense(k)(x)
    b = dense(k, 4)(a)
    k.Model(x, b)
    return k.Model(a, dense(k, 2)(b))


def masked(k):
    x = k.Input((5,))
    return k.Model(x, k.layers.LSTM(3)(k.layers.Embedding(10, 4)(x)))


GRAPHS = [
    chain,
    skip,
    long_skip,
    two_inputs,
    late_input,
    shared,
    shared_at_two_depths,
    several_outputs,
    dicts,
    nested,
    nested_stack,
    operators,
    unequal_branches,
    unused_input,
    from_the_middle,
    masked,
]


def plain(value):
    """A stored call without what Keras adds to it by itself."""
    if isinstance(value, dict):
        return {
            k: plain(v)
            for k, v in value.items()
            if k != "training" and not (k == "mask" and v is None)
        }
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def graph_of(model):
    text = re.sub(r"keras_tensor(_\d+)?CLONE", "CLONE", model.to_json())
    config = json.loads(text)["config"]
    nodes = [
        (d["module"], d["class_name"], d["registered_name"], d["name"], plain(d["inbound_nodes"]))
        for d in config["layers"]
    ]
    return nodes, config["input_layers"], config["output_layers"]


@pytest.mark.parametrize("make", GRAPHS)
def test_graphs_are_stored_as_keras_does(make):
    assert graph_of(make(lk)) == graph_of(make(keras))


@pytest.mark.parametrize("make", GRAPHS)
def test_order_of_layers_and_weights(make):
    ours, theirs = make(lk), make(keras)
    assert [la[3] for la in graph_of(ours)[0]] == [la[3] for la in graph_of(theirs)[0]]
    assert [tuple(w.shape) for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    ours.set_weights(theirs.get_weights())
    x = inputs_for(theirs)
    close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))


def inputs_for(model):
    numbers = np.random.default_rng(0)

    def one(tensor):
        if (
            len(tensor.shape) == 2
            and tensor.shape[1] == 5
            and "embedding" in str(model.layers[1].name)
        ):
            return numbers.integers(0, 10, (4, 5))
        return numbers.normal(size=(4, *tensor.shape[1:])).astype("float32")

    tree = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    if isinstance(tree, dict):
        return {key: one(value) for key, value in tree.items()}
    return [one(t) for t in tree] if isinstance(tree, (list, tuple)) else one(tree)


def close(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        a, b = list(a.values()), [b[k] for k in a]
    if isinstance(a, (list, tuple)):
        for one, other in zip(a, b, strict=True):
            close(one, other)
    else:
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", GRAPHS)
def test_configs_go_both_ways(make):
    ours, theirs = make(lk), make(keras)
    x = inputs_for(theirs)
    expected = theirs.predict(x, verbose=0)
    here = model_from_json(theirs.to_json())
    there = keras.models.model_from_json(ours.to_json())
    for model in (here, there):
        model.set_weights(theirs.get_weights())
        close(model.predict(x, verbose=0), expected)
    assert graph_of(here) == graph_of(ours)
    assert graph_of(Model.from_config(ours.get_config())) == graph_of(ours)


# ---- operations --------------------------------------------------------------------------

OPERATIONS = {
    "relu": (torch.relu, lambda x: keras.ops.relu(x)),
    "relu of F": (torch.nn.functional.relu, lambda x: keras.ops.relu(x)),
    "sigmoid": (torch.sigmoid, lambda x: keras.ops.sigmoid(x)),
    "tanh": (torch.tanh, lambda x: keras.ops.tanh(x)),
    "softmax": (lambda x: torch.softmax(x, -1), lambda x: keras.ops.softmax(x, axis=-1)),
    "softmax of F": (
        lambda x: torch.nn.functional.softmax(x, dim=1),
        lambda x: keras.ops.softmax(x, axis=1),
    ),
    "elu": (torch.nn.functional.elu, lambda x: keras.ops.elu(x)),
    "reshape": (lambda x: x.reshape(-1, 6), lambda x: keras.ops.reshape(x, (-1, 6))),
    "concatenate": (
        lambda x: torch.cat([x, x], dim=1),
        lambda x: keras.ops.concatenate([x, x], axis=1),
    ),
    "stack": (lambda x: torch.stack([x, x], 1), lambda x: keras.ops.stack([x, x], axis=1)),
    "mean": (lambda x: torch.mean(x, 1), lambda x: keras.ops.mean(x, axis=1)),
    "mean of all": (torch.mean, lambda x: keras.ops.mean(x)),
    "mean kept": (
        lambda x: torch.mean(x, dim=(1, 2), keepdim=True),
        lambda x: keras.ops.mean(x, axis=(1, 2), keepdims=True),
    ),
    "sum": (lambda x: torch.sum(x, dim=-1), lambda x: keras.ops.sum(x, axis=-1)),
    "max": (lambda x: torch.amax(x, 2), lambda x: keras.ops.max(x, axis=2)),
    "exp": (torch.exp, lambda x: keras.ops.exp(x)),
    "log": (lambda x: torch.log(x * x + 1), lambda x: keras.ops.log(x * x + 1)),
    "sqrt": (lambda x: torch.sqrt(torch.square(x)), lambda x: keras.ops.sqrt(keras.ops.square(x))),
    "abs": (torch.abs, lambda x: keras.ops.abs(x)),
    "maximum": (lambda x: torch.maximum(x, -x), lambda x: keras.ops.maximum(x, -x)),
    "minimum": (lambda x: torch.minimum(x, -x), lambda x: keras.ops.minimum(x, -x)),
    "clip": (lambda x: torch.clamp(x, 0.0, 1.0), lambda x: keras.ops.clip(x, 0.0, 1.0)),
    "transpose": (
        lambda x: torch.permute(x, (0, 2, 1)),
        lambda x: keras.ops.transpose(x, (0, 2, 1)),
    ),
    "swap": (lambda x: torch.transpose(x, 1, 2), lambda x: keras.ops.swapaxes(x, 1, 2)),
    "expand": (lambda x: torch.unsqueeze(x, 1), lambda x: keras.ops.expand_dims(x, 1)),
    "squeeze": (
        lambda x: torch.squeeze(x[:, :1], 1),
        lambda x: keras.ops.squeeze(x[:, :1], 1),
    ),
    "slices": (lambda x: x[:, 0, 1:], lambda x: x[:, 0, 1:]),
    "ellipsis": (lambda x: x[..., None, ::2], lambda x: x[..., None, ::2]),
    "power": (lambda x: x**2 % 3 // 2, lambda x: x**2 % 3 // 2),
    "matmul": (
        lambda x: x @ torch.transpose(x, 1, 2),
        lambda x: x @ keras.ops.swapaxes(x, 1, 2),
    ),
    "compare": (
        lambda x: torch.where(x > 0.5, x, 0.0),
        lambda x: keras.ops.where(x > 0.5, x, 0.0),
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_go_both_ways(name):
    ours_fn, keras_fn = OPERATIONS[name]
    i, j = lk.Input((3, 4)), keras.Input((3, 4))
    ours, theirs = lk.Model(i, ours_fn(i)), keras.Model(j, keras_fn(j))
    x = np.random.default_rng(1).normal(size=(2, 3, 4)).astype("float32")
    run = lambda m, x: m(torch.from_numpy(x)).detach().numpy()
    expected = run(theirs, x)
    kinds = lambda m: [(n[0], n[1]) for n in graph_of(m)[0]]
    assert kinds(ours) == kinds(theirs)
    restored = [model_from_json(m.to_json()) for m in (ours, theirs)]
    for model in (ours, *restored, keras.models.model_from_json(ours.to_json())):
        close(run(model, x), expected)


def test_maximum_with_a_number_is_read():
    j = keras.Input((3,))
    theirs = keras.Model(j, keras.ops.maximum(keras.ops.minimum(j, 0.5), 0.0))
    x = np.array([[-1.0, 0.2, 3.0]], "float32")
    close(model_from_json(theirs.to_json()).predict(x, verbose=0), theirs.predict(x, verbose=0))


def test_a_mask_that_keras_made_is_read():
    j = keras.Input((4,))
    out = keras.layers.LSTM(3)(keras.layers.Embedding(5, 2, mask_zero=True)(j))
    theirs = keras.Model(j, out)
    ours = model_from_json(theirs.to_json())
    ours.set_weights(theirs.get_weights())
    x = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [1, 2, 3, 4]])
    close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))


def test_an_operation_without_a_name_in_keras_is_refused():
    x = lk.Input((4,))
    model = lk.Model(x, torch.fft.rfft(x).abs() if False else torch.cumsum(x, 1))
    with pytest.raises(ValueError, match=r"'cumsum'.*call\(\) of a Layer"):
        model.to_json()
    with pytest.raises(ValueError, match="arguments that Keras's Mean does not take: dtype"):
        lk.Model(x, torch.mean(x, 1, dtype=torch.float64)).to_json()


# ---- stacks ------------------------------------------------------------------------------


def stack(k):
    return k.Sequential(
        [k.Input((4,)), dense(k, activation="relu"), k.layers.Dropout(0.1), dense(k)]
    )


def without(config, *keys):
    """A config without keys that do not concern its form."""
    if isinstance(config, dict):
        return {k: without(v, *keys) for k, v in config.items() if k not in keys}
    return [without(v, *keys) for v in config] if isinstance(config, (list, tuple)) else config


def test_stacks_are_stored_as_keras_does():
    ignored = ["shared_object_id", "quantization_config", "compile_config", "build_config"]
    ignored.append("activity_regularizer")  # Dense of Keras takes it and does not tell
    ours, theirs = (json.loads(stack(k).to_json()) for k in (lk, keras))
    assert without(ours, *ignored) == without(theirs, *ignored)
    assert ours["build_config"] == theirs["build_config"]


def test_frozen_layers_stay_frozen():
    for make in (stack, chain, nested):
        model = make(lk)
        model.trainable = False
        model.layers[-1].trainable = True
        again = model_from_json(model.to_json())
        assert not again.trainable
        assert [w.requires_grad for w in again.weights] == [w.requires_grad for w in model.weights]
        assert again.to_json() == model.to_json()


def test_unbuilt_stacks():
    ours = model_from_json(keras.Sequential([keras.layers.Dense(2)]).to_json())
    assert not ours.built and ours.layers[0].units == 2
    there = keras.models.model_from_json(Sequential([layers.Dense(2)]).to_json())
    assert not there.built and there.layers[0].units == 2


def test_stack_of_models_and_pop():
    model = Sequential([lk.Input((4,)), stack(lk), layers.Dense(2)])
    again = model_from_json(model.to_json())
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert [tuple(w.shape) for w in again.weights] == [tuple(w.shape) for w in model.weights]
    again.pop()
    assert again.output_shape == (None, 3)


# ---- sharing, names, own classes ---------------------------------------------------------


def test_a_layer_in_two_places_is_one_layer_after_reading():
    d, i, x = layers.Dense(3), lk.Input((3,)), lk.Input((3,))
    inner = Model(i, d(i), name="inner")
    model = Model(x, d(inner(x)))
    again = model_from_json(model.to_json())
    assert len(again.weights) == len(model.weights) == 2
    assert again.get_layer("inner").layers[1] is again.get_layer("dense")


def test_names_in_state_dict_survive():
    for make in (chain, nested, nested_stack, stack):
        reset_names()
        make(lk)
        model = make(lk)  # the second one: dense_3...
        assert list(model_from_json(model.to_json()).state_dict()) == list(model.state_dict())


@lk.saving.register_keras_serializable("tests")
class Scale(layers.Layer):
    def __init__(self, factor=2.0, inner=None, **kwargs):
        super().__init__(**kwargs)
        self.factor, self.inner = factor, inner

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.w * self.factor

    def get_config(self):
        config = {**super().get_config(), "factor": self.factor}
        config["inner"] = lk.saving.serialize_keras_object(self.inner)
        return config

    @classmethod
    def from_config(cls, config):
        config["inner"] = lk.saving.deserialize_keras_object(config["inner"])
        return cls(**config)


class Net(lk.Model):
    """A subclass that computes by itself."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.a, self.more = layers.Dense(units), [layers.Dense(2)]

    def call(self, x):
        return self.more[0](self.a(x))


class Graph(lk.Model):
    """A subclass that builds a graph; its constructor takes no name."""

    def __init__(self, units=3):
        x = lk.Input((4,))
        super().__init__(x, layers.Dense(units)(x))


class Stack(lk.Sequential):
    """A Sequential that adds and compiles itself."""

    def __init__(self, units):
        super().__init__()
        self.units = units
        self.add(lk.Input((4,)))
        self.add(layers.Dense(units))
        self.compile("sgd", "mse")


def test_own_layers():
    x = lk.Input((4,))
    model = Model(x, Scale(3.0, layers.Dense(2, name="inside"))(x))
    again = model_from_json(model.to_json())
    assert again.layers[1].factor == 3.0 and again.layers[1].inner.name == "inside"
    layer = layers.serialize(model.layers[1])
    assert layer["registered_name"] == "tests>Scale" and layer["class_name"] == "Scale"
    assert layer["build_config"] == {"input_shape": (None, 4)}
    assert layers.deserialize(json.loads(json.dumps(layer))).built


@pytest.mark.parametrize(
    "cls, arguments", [(Net, {"units": 4}), (Graph, {"units": 5}), (Stack, {"units": 6})]
)
def test_own_models(cls, arguments):
    model = cls(**arguments)
    if not model.built:
        model.build((None, 4))
    again = model_from_json(model.to_json(), custom_objects={cls.__name__: cls})
    assert type(again) is cls and again.name == model.name
    assert [tuple(w.shape) for w in again.weights] == [tuple(w.shape) for w in model.weights]
    assert again.compiled == model.compiled


def test_functional_subclass_without_a_constructor():
    class Own(Model):
        pass

    x = lk.Input((3,))
    model = Own(x, layers.Dense(2)(x))
    again = model_from_json(model.to_json(), {"Own": Own})
    assert type(again) is Own and again.output_shape == (None, 2)


# ---- refusals ----------------------------------------------------------------------------


def broken(change):
    config = json.loads(skip(lk).to_json())
    change(config["config"])
    return json.dumps(config)


def loop(config):
    call = config["layers"][1]["inbound_nodes"][0]["args"][0]
    call["config"]["keras_history"] = ["dense_1", 0, 0]


REFUSED = [
    (loop, "inputs of 'dense(_1)?' are never made"),
    (
        lambda c: c["layers"][1]["inbound_nodes"][0]["args"][0]["config"].update(
            keras_history=["dens", 0, 0]
        ),
        "refers to the layer 'dens'.*Did you mean 'dense'",
    ),
    (lambda c: c["layers"][2].update(name="dense"), "two layers named 'dense'"),
    (lambda c: c["layers"][2].pop("name"), "without a name"),
    (lambda c: c.update(output_layers=["dense", 7, 0]), "output 0 of call 7 of the layer 'dense'"),
    (lambda c: c.update(output_layers=["dense", -1, 0]), "two numbers"),
    (lambda c: c.update(output_layers=5), "cannot be made"),
    (lambda c: c["layers"][1].update(inbound_nodes=[[["input_layer", 0, 0, {}]]]), "Keras 2"),
    (lambda c: c["layers"][1].update(class_name="Dens"), "Dens of keras.layers"),
    (lambda c: c["layers"][1]["config"].update(units=-3), "units=-3"),
    (lambda c: c["layers"][1]["config"].update(unit=3), "Did you mean 'units'"),
    (lambda c: c["layers"][1].update(config=[1]), "cannot be made"),
    (lambda c: c.pop("layers"), "cannot be made|layers"),
]


@pytest.mark.parametrize("change, match", REFUSED)
def test_broken_graphs_are_refused(change, match):
    with pytest.raises(LoadError, match=match):
        model_from_json(broken(change))


def test_long_graphs_are_quick():
    config = json.loads(chain(lk).to_json())
    first, one = config["config"]["layers"][:2]
    made = [first]
    for number in range(2000):  # the last call stands first: nothing can be made in file order
        layer = copy.deepcopy(one)
        layer["class_name"], layer["config"] = "Identity", {"name": f"i{number}"}
        layer["name"] = f"i{number}"
        before = f"i{number - 1}" if number else first["name"]
        layer["inbound_nodes"][0]["args"][0]["config"].update(keras_history=[before, 0, 0])
        made.append(layer)
    config["config"].update(layers=made[::-1], output_layers=["i1999", 0, 0])
    model = model_from_json(json.dumps(config))
    assert len(model.layers) == 2001


BAD_TEXT = [
    ("[" * 100_000, "nested more than 100"),
    ("[" + "0," * 1_000_001 + "0]", "more than 1,000,000 values"),
    ('{"a": 1, "a": 2}', "'a' twice"),
    ('{"a": NaN}', "the number NaN"),
    ('{"a": 1e999}', "1e999"),
    ('{"a": ' + "9" * 100 + "}", "100 digits"),
    ("\ufeff{}", "not JSON"),
    ('{"a": "\\ud800"}', "half a character"),
    ("[]", "no model"),
    ("", "not JSON"),
    ("5", "no model"),
    ('{"class_name": 5, "config": {}}', "string"),
]


@pytest.mark.parametrize("text, match", BAD_TEXT, ids=range(len(BAD_TEXT)))
def test_bad_json_is_refused(text, match):
    with pytest.raises(LoadError, match=match):
        model_from_json(text)


# ---- clones ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [*GRAPHS, stack])
def test_clones(make):
    model = make(lk)
    clone = clone_model(model)
    assert [la.name for la in clone.layers] == [la.name for la in model.layers]
    assert not {id(w) for w in clone.parameters()} & {id(w) for w in model.parameters()}
    clone.set_weights(model.get_weights())
    x = inputs_for(make(keras))
    close(clone.predict(x, verbose=0), model.predict(x, verbose=0))


def test_clones_keep_what_keras_keeps():
    model = stack(lk)
    model.compile("sgd", "mse", metrics=["mae"])
    clone = clone_model(model)
    assert clone.compiled and clone.loss == "mse" and clone.optimizer is not model.optimizer
    renamed = clone_model(
        model,
        clone_function=lambda la: type(la).from_config(
            {**la.get_config(), "name": la.name + "_new"}
        ),
    )
    assert [la.name for la in renamed.layers] == [la.name + "_new" for la in model.layers]
    x = lk.Input((4,), name="mine")
    for make in (chain, stack):
        assert clone_model(make(lk), input_tensors=x).input_names == ["mine"]


def test_call_function_and_recursion():
    model = nested_stack(lk)
    called = []

    def call(layer, *args, **kwargs):
        called.append(layer.name)
        return layer(*args, **kwargs)

    made = []
    clone = clone_model(
        model,
        call_function=call,
        recursive=True,
        clone_function=lambda la: made.append(la.name) or type(la).from_config(la.get_config()),
    )
    assert called == ["dense_2", "stack", "stack", "add"] or set(called) == {
        "dense_2",
        "stack",
        "add",
    }
    assert "dense" in made and "stack" not in made  # cloned layer by layer
    assert len(clone.weights) == len(model.weights)


def test_clones_of_functions_and_modules():
    model = Sequential(
        [lk.Input((4,)), layers.Lambda(lambda x: x * 2), torch.nn.Linear(4, 3), layers.Dense(1)]
    )
    clone = clone_model(model)
    assert clone.output_shape == (None, 1)


def test_what_cannot_be_cloned_so():
    model = Net()
    model.build((None, 4))
    assert len(clone_model(model).weights) == 4
    with pytest.raises(ValueError, match="constructor of its own"):
        clone_model(model, clone_function=lambda la: la)
    with pytest.raises(ValueError, match="for functional models"):
        clone_model(stack(lk), call_function=lambda la, x: la(x))
    with pytest.raises(ValueError, match="2 inputs"):
        clone_model(two_inputs(lk), input_tensors=[lk.Input((3,))])
