"""`.keras`, `.weights.h5`, `.safetensors`: both ways with the installed Keras, and refusals."""

import contextlib
import io
import json
import os
import stat
import struct
import sys
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras import layers
from lightkeras._registry import reset_names
from lightkeras.saving import LoadError, load_model


@pytest.fixture(autouse=True)
def same_names():
    keras.backend.clear_session(free_memory=False)
    reset_names()


# ---- models, each written once for both --------------------------------------------------


def mlp(k):
    return k.Sequential(
        [
            k.Input((4,)),
            k.layers.Dense(5, activation="relu"),
            k.layers.Dropout(0.0),
            k.layers.Dense(2),
        ]
    )


def convnet(k):
    la = k.layers
    return k.Sequential(
        [
            k.Input((8, 8, 3)),
            la.Conv2D(4, 3, padding="same", kernel_regularizer="l2"),
            la.BatchNormalization(),
            la.Activation("relu"),
            la.MaxPooling2D(2),
            la.SeparableConv2D(5, 3),
            la.Flatten(),
            la.Dense(2, kernel_initializer=k.initializers.HeNormal(seed=3)),
        ]
    )


def two_inputs(k):
    x, y = k.Input((3,)), k.Input((4,), name="y")
    h = k.layers.Concatenate()([k.layers.Dense(3)(x), k.layers.Dense(4, use_bias=False)(y)])
    return k.Model([x, y], [k.layers.Dense(1, name="a")(h), k.layers.Dense(2, name="b")(h)])


def nested(k):
    i = k.Input((3,))
    inner = k.Model(i, k.layers.Dense(3)(k.layers.BatchNormalization()(i)))
    stack = k.Sequential([k.Input((3,)), k.layers.Dense(4), k.Sequential([k.layers.Dense(2)])])
    x = k.Input((3,))
    return k.Model(x, stack(inner(x) + x))


def shared(k):
    x, d = k.Input((3,)), k.layers.Dense(3, activation="tanh")
    return k.Model(x, k.layers.Dense(2)(d(d(x))))


def recurrent(k):
    la = k.layers
    return k.Sequential(
        [
            k.Input((6, 3)),
            la.LSTM(4, return_sequences=True),
            la.Bidirectional(la.GRU(2, return_sequences=True)),
            la.TimeDistributed(la.Dense(3)),
            la.SimpleRNN(2),
        ]
    )


MODELS = [mlp, convnet, two_inputs, nested, shared, recurrent]


def data_for(model, rows=6):
    numbers = np.random.default_rng(0)
    make = lambda shape: numbers.normal(size=(rows, *shape[1:])).astype("float32")
    shapes = [[tuple(t.shape) for t in ends] for ends in (model.inputs, model.outputs)]
    x, y = ([make(shape) for shape in ends] for ends in shapes)
    return (x[0] if len(x) == 1 else x), (y[0] if len(y) == 1 else y)


def trained(make, k, optimizer="adam"):
    model = make(k)
    several = len(model.outputs) > 1
    model.compile(
        optimizer,
        loss=["mse", "mae"] if several else "mse",
        metrics=[["mae"], ["mse"]] if several else ["mae"],
        loss_weights=[1.0, 0.5] if several else None,
    )
    x, y = data_for(model)
    model.fit(x, y, epochs=2, batch_size=3, shuffle=False, verbose=0)
    return model


def close(a, b, tolerance=1e-5):
    if isinstance(a, (list, tuple)):
        for one, other in zip(a, b, strict=True):
            close(one, other, tolerance)
    else:
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def state(model):
    """Weights, and what the optimizer has."""
    optimizer = [np.asarray(v.numpy()) for v in model.optimizer.variables]
    return [*model.get_weights(), *optimizer]


@pytest.mark.parametrize("make", MODELS)
def test_keras_opens_our_models(make, tmp_path):
    ours = trained(make, lk)
    ours.save(tmp_path / "m.keras")
    theirs = keras.models.load_model(tmp_path / "m.keras")
    x, y = data_for(ours)
    close(theirs.predict(x, verbose=0), ours.predict(x, verbose=0))
    close(state(theirs), state(ours))
    for model in (ours, theirs):
        model.fit(x, y, epochs=2, batch_size=3, shuffle=False, verbose=0)
    close(theirs.predict(x, verbose=0), ours.predict(x, verbose=0), 1e-3)


@pytest.mark.parametrize("make", MODELS)
def test_we_open_models_of_keras(make, tmp_path):
    theirs = trained(make, keras)
    theirs.save(tmp_path / "m.keras")
    ours = load_model(tmp_path / "m.keras")
    x, y = data_for(ours)
    close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))
    close(state(ours), state(theirs))
    assert ours.name == theirs.name
    close(ours.evaluate(x, y, verbose=0), theirs.evaluate(x, y, verbose=0))


@pytest.mark.parametrize("make", MODELS)
def test_a_loaded_model_goes_on_as_if_unsaved(make, tmp_path):
    model = trained(make, lk)
    model.save(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras")
    assert list(again.state_dict()) == list(model.state_dict())
    x, y = data_for(model)
    for one in (model, again):
        one.fit(x, y, epochs=3, batch_size=3, shuffle=False, verbose=0)
    for a, b in zip(state(again), state(model), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("make", MODELS)
def test_weights_go_both_ways(make, tmp_path):
    ours, theirs = trained(make, lk), trained(make, keras)
    ours.save_weights(tmp_path / "ours.weights.h5")
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    fresh = make(keras)
    fresh.load_weights(tmp_path / "ours.weights.h5")
    close(fresh.get_weights(), ours.get_weights())
    second = make(lk)  # automatic names differ from those in the file
    second.load_weights(tmp_path / "theirs.weights.h5")
    close(second.get_weights(), theirs.get_weights())
    theirs.save(tmp_path / "theirs.keras")
    second = make(lk)
    second.load_weights(tmp_path / "theirs.keras")
    close(second.get_weights(), theirs.get_weights())


@pytest.mark.parametrize("make", MODELS)
def test_files_have_the_places_of_keras(make, tmp_path):
    for k, name in ((lk, "ours"), (keras, "theirs")):
        trained(make, k).save_weights(tmp_path / f"{name}.weights.h5")

    def places(name):
        found = {}
        with h5py.File(tmp_path / f"{name}.weights.h5") as file:
            file.visititems(
                lambda path, o: (
                    found.update({path: (o.shape, str(o.dtype))})
                    if isinstance(o, h5py.Dataset)
                    else None
                )
            )
        return found

    assert places("ours") == places("theirs")


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adamw", "adadelta"])
def test_optimizers_are_kept(optimizer, tmp_path):
    ours = trained(mlp, lk, optimizer)
    ours.save(tmp_path / "m.keras")
    again, theirs = load_model(tmp_path / "m.keras"), keras.models.load_model(tmp_path / "m.keras")
    close(state(again), state(ours), 0)
    close(state(theirs), state(ours))


def test_schedules_and_settings_are_kept(tmp_path):
    schedule = lk.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    model = mlp(lk)
    model.compile(
        lk.optimizers.SGD(schedule, momentum=0.9, clipnorm=1.0),
        loss=lk.losses.CategoricalCrossentropy(label_smoothing=0.5),
        metrics=["mae", lk.metrics.RootMeanSquaredError(name="r")],
        weighted_metrics=["mse"],
        steps_per_execution=2,
    )
    model.save(tmp_path / "m.keras")
    for again in (load_model(tmp_path / "m.keras"), keras.models.load_model(tmp_path / "m.keras")):
        assert again.optimizer.momentum == 0.9 and again.optimizer.clipnorm == 1.0
        rate = again.optimizer.get_config()["learning_rate"]
        assert rate["class_name"] == "ExponentialDecay"
        assert again.loss.get_config()["label_smoothing"] == 0.5
    assert load_model(tmp_path / "m.keras", compile=False).compiled is False


def test_losses_of_ones_own(tmp_path):
    def distance(y, y_pred):
        return torch.mean((y - y_pred) ** 2, -1)

    model = mlp(lk)
    model.compile("sgd", distance, metrics=[distance, "mae"])
    model.save(tmp_path / "m.keras")
    with pytest.raises(LoadError, match=r'custom_objects={"distance": distance}'):
        load_model(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras", {"distance": distance}).loss is distance
    assert not load_model(tmp_path / "m.keras", compile=False).compiled
    model.compile("sgd", lambda y, p: ((y - p) ** 2).mean(-1))
    with pytest.warns(UserWarning, match="a lambda has no name"):
        model.save(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras").built


class OwnCompile(lk.Sequential):
    def compile(self, rate=0.1):
        super().compile(lk.optimizers.SGD(rate), "mse")


def test_a_compile_of_ones_own(tmp_path):
    model = OwnCompile([lk.Input((3,)), layers.Dense(2)])
    model.compile(0.5)
    model.save(tmp_path / "m.keras")
    with pytest.warns(UserWarning, match=r"compile\(\) of its own"):
        again = load_model(tmp_path / "m.keras", {"OwnCompile": OwnCompile})
    assert type(again) is OwnCompile and not again.compiled


def test_a_torch_optimizer_has_no_form(tmp_path):
    model = mlp(lk)
    model.compile(torch.optim.SGD(model.parameters(), lr=0.1), "mse")
    with pytest.warns(UserWarning, match="SGD of torch"):
        model.save(tmp_path / "m.keras")
    assert not load_model(tmp_path / "m.keras").compiled


# ---- subclassed models -------------------------------------------------------------------


def subclass(k):
    """A model with layers as attributes, in lists, tuples and dicts, and weights of its own."""

    class Block(k.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.parts = [k.layers.Dense(3), k.layers.Dense(3)]

        def call(self, x):
            return self.parts[1](self.parts[0](x))

    class Net(k.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.z = k.layers.Dense(3)
            self.a = k.layers.Dense(3)
            self._hidden = k.layers.Dense(3)
            self.several = {"k": k.layers.Dense(3), "j": [k.layers.Dense(3), (k.layers.Dense(3),)]}
            self.blocks = [Block(), Block()]
            self.w = self.add_weight(shape=(3,), name="w", initializer="ones")
            self.mean = k.metrics.Mean()

        @property
        def first(self):
            return self.blocks[0]

        def call(self, x):
            for layer in (self.z, self.a, self._hidden, self.several["k"], *self.blocks):
                x = layer(x)
            one, (two,) = self.several["j"]
            return two(one(x)) * self.w

    return Net()


def test_weights_of_subclassed_models_go_both_ways(tmp_path):
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    ours, theirs = subclass(lk), subclass(keras)
    expected = [np.asarray(m.predict(x, verbose=0)) for m in (ours, theirs)]
    ours.save_weights(tmp_path / "ours.weights.h5")
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    fresh = [subclass(keras), subclass(lk)]
    for model, name, y in zip(fresh, ("ours", "theirs"), expected, strict=True):
        model.build((None, 3)) if model is fresh[1] else model(x)
        model.load_weights(tmp_path / f"{name}.weights.h5")
        close(np.asarray(model.predict(x, verbose=0)), y)


class Net(lk.Model):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.a, self.b = layers.Dense(units, activation="relu"), layers.Dense(2)

    def call(self, x):
        return self.b(self.a(x))


class TwoArguments(lk.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a, self.b = layers.Dense(2), layers.Dense(2)

    def call(self, x, y):
        return self.a(x) + self.b(y)


def test_subclassed_models_are_loaded(tmp_path):
    model = Net(4)
    model.compile("adam", "mse")
    x = np.ones((4, 3), "float32")
    model.fit(x, np.zeros((4, 2)), verbose=0)
    model.save(tmp_path / "m.keras")
    with pytest.raises(LoadError, match=r'custom_objects=\{"Net": Net\}'):
        load_model(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras", {"Net": Net})
    assert again.units == 4
    close(state(again), state(model), 0)
    with lk.saving.custom_object_scope({"Net": Net}):
        close(load_model(tmp_path / "m.keras").predict(x, verbose=0), model.predict(x, verbose=0))


def test_models_with_several_arguments(tmp_path):
    model = TwoArguments()
    x = torch.ones(2, 3)
    y = model(x, x * 2)
    model.save(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras", {"TwoArguments": TwoArguments})
    close(again(x, x * 2).detach(), y.detach())


class Own(layers.Layer):
    """Keeps one number in its own way."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seen = 0.0
        self.w = self.add_weight(shape=(2,), name="w")

    def call(self, x):
        return x * self.w

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["seen"] = np.array(self.seen)

    def load_own_variables(self, store):
        self.seen = float(store["seen"])
        super().load_own_variables({"0": store["0"]})


def test_layers_that_store_themselves(tmp_path):
    model = lk.Sequential([lk.Input((2,)), Own()])
    model.layers[0].seen = 7.0
    model.save(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras", {"Own": Own})
    assert again.layers[0].seen == 7.0
    close(again.get_weights(), model.get_weights(), 0)
    model.save_weights(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "m.weights.h5", "a") as file:
        del file["layers/own/vars/seen"]
    before = model.get_weights()
    with pytest.raises(LoadError, match="'own' could not read"):
        model.load_weights(tmp_path / "m.weights.h5")
    close(model.get_weights(), before, 0)


def test_torch_modules_keep_their_state_dict(tmp_path):
    def make():
        torch.manual_seed(len(list(tmp_path.iterdir())))
        module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
        return lk.Sequential([lk.Input((3,)), module, layers.Dense(2)])

    model = make()
    model.save_weights(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "m.weights.h5") as file:
        assert "running_mean" in " ".join(file["layers/torch_module_wrapper/vars"])
    again = make()
    again.load_weights(tmp_path / "m.weights.h5")
    for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(TypeError, match="a Sequential at config/layers/1/config/module"):
        model.save(tmp_path / "m.keras")


# ---- safetensors, dtypes -----------------------------------------------------------------


@pytest.mark.parametrize("make", MODELS)
def test_safetensors(make, tmp_path):
    from safetensors import safe_open

    model, again = trained(make, lk), make(lk)
    model.save_weights(tmp_path / "m.safetensors")
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        assert set(file.keys()) == set(model.state_dict()) and file.metadata()["format"] == "pt"
    again.load_weights(tmp_path / "m.safetensors")
    close(again.get_weights(), model.get_weights(), 0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "mixed_bfloat16"])
def test_dtypes(dtype, tmp_path):
    make = lambda k: k.Sequential([k.Input((3,)), k.layers.Dense(2, dtype=dtype)])
    ours, theirs = make(lk), make(keras)
    for name in ("m.weights.h5", "m.safetensors", "m.keras"):
        (ours.save if name == "m.keras" else ours.save_weights)(tmp_path / name)
        again = load_model(tmp_path / name) if name == "m.keras" else make(lk)
        again.load_weights(tmp_path / name)
        assert all(
            torch.equal(a, b) for a, b in zip(again.parameters(), ours.parameters(), strict=True)
        )
    theirs.load_weights(tmp_path / "m.weights.h5")
    numbers = lambda w: np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(w, "float32")))
    for a, b in zip(theirs.weights, ours.weights, strict=True):
        close(numbers(a), torch.as_tensor(b.value).detach().float().numpy(), 0)
    theirs.save_weights(tmp_path / "t.weights.h5")
    ours.load_weights(tmp_path / "t.weights.h5")


# ---- writing -----------------------------------------------------------------------------


def test_missing_folders_are_made_and_files_replaced(tmp_path):
    model, path = mlp(lk), tmp_path / "a" / "b" / "m.keras"
    model.save(path)
    model.save(path)
    assert [p.name for p in path.parent.iterdir()] == ["m.keras"]
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(path, overwrite=False)
    with pytest.raises(FileExistsError, match="exists"):
        model.save_weights(
            path.with_name("m.keras").rename(tmp_path / "m.weights.h5"), overwrite=False
        )
    with pytest.raises(IsADirectoryError):
        (tmp_path / "d.keras").mkdir()
        model.save(tmp_path / "d.keras")


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.safetensors"])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_save_leaves_the_old_file(name, call, tmp_path, monkeypatch):
    model = mlp(lk)
    save = model.save if name == "m.keras" else model.save_weights
    save(tmp_path / name)
    before = (tmp_path / name).read_bytes()
    model.set_weights([w * 0 for w in model.get_weights()])

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path / name)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == before


def test_what_a_killed_save_left_is_removed(tmp_path):
    (tmp_path / ".m.keras.999999999.part").write_bytes(b"half")
    (tmp_path / f".m.keras.{os.getppid()}.part").write_bytes(b"of another process that runs")
    mlp(lk).save(tmp_path / "m.keras")
    assert {p.name for p in tmp_path.iterdir()} == {"m.keras", f".m.keras.{os.getppid()}.part"}


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    mlp(lk).save(tmp_path / "real" / "m.keras")
    (tmp_path / "m.keras").symlink_to(tmp_path / "real" / "m.keras")
    mlp(lk).save(tmp_path / "m.keras")
    assert (tmp_path / "m.keras").is_symlink() and load_model(tmp_path / "m.keras").built


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.safetensors"])
def test_others_may_read_what_the_umask_allows(name, tmp_path):
    old = os.umask(0o027)
    try:
        model = mlp(lk)
        (model.save if name == "m.keras" else model.save_weights)(tmp_path / name)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["m.h5", "m.hdf5", "m", "m.pt"])
def test_other_endings_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match=r"\.keras"):
        mlp(lk).save(tmp_path / name)
    with pytest.raises(ValueError, match=r"\.weights\.h5 or \.safetensors"):
        mlp(lk).save_weights(tmp_path / name)
    (tmp_path / name).write_bytes(b"x" * 200)
    with pytest.raises(LoadError, match=r"in a \.keras file"):
        load_model(tmp_path / name)
    with pytest.raises(LoadError, match=r"\.weights\.h5"):
        mlp(lk).load_weights(tmp_path / name)


def test_unbuilt_models(tmp_path):
    model = lk.Sequential([layers.Dense(2)])
    with pytest.raises(ValueError, match="not built"):
        model.save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match="not built"):
        model.load_weights(tmp_path / "m.weights.h5")
    with pytest.warns(UserWarning, match="not built"):
        model.save(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras").layers[0].units == 2


def test_a_config_that_no_file_holds(tmp_path):
    class Odd(layers.Layer):
        def __init__(self, thing, **kwargs):
            super().__init__(**kwargs)
            self.thing = thing

        def call(self, x):
            return x

    model = lk.Sequential([lk.Input((2,)), Odd(io.StringIO("x"))])
    with pytest.raises(TypeError, match="a StringIO at config/layers/1/config/thing"):
        model.save(tmp_path / "m.keras")
    model = lk.Sequential([lk.Input((2,)), Odd({"a": float("inf")})])
    with pytest.raises(TypeError, match="inf at config/layers/1/config/thing/a"):
        model.save(tmp_path / "m.keras")
    assert list(tmp_path.iterdir()) == []


# ---- lambdas -----------------------------------------------------------------------------


def double(x):
    return x * 2


def test_lambdas_need_consent(tmp_path):
    model = lk.Sequential([lk.Input((3,)), layers.Lambda(lambda x: x * 3.0)])
    with pytest.warns(UserWarning, match="safe_mode=False"):
        model.save(tmp_path / "m.keras")
    with pytest.raises(LoadError, match="safe_mode=False"):
        load_model(tmp_path / "m.keras")
    x = np.ones((2, 3), "float32")
    for again in (
        load_model(tmp_path / "m.keras", safe_mode=False),
        keras.models.load_model(tmp_path / "m.keras", safe_mode=False),
    ):
        close(again.predict(x, verbose=0), x * 3)
    theirs = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x - 1.0)])
    theirs.save(tmp_path / "t.keras")
    with pytest.raises(LoadError, match="code of a Python lambda"):
        load_model(tmp_path / "t.keras")
    close(load_model(tmp_path / "t.keras", safe_mode=False).predict(x, verbose=0), x - 1)


def test_named_functions_are_looked_up(tmp_path):
    model = lk.Sequential(
        [lk.Input((3,)), layers.Lambda(double), layers.Dense(2, activation=double)]
    )
    model.save(tmp_path / "m.keras")
    with pytest.raises(LoadError, match=r'custom_objects={"double": double}'):
        load_model(tmp_path / "m.keras")
    for load in (load_model, keras.models.load_model):
        again = load(tmp_path / "m.keras", custom_objects={"double": double})
        close(again.get_weights(), model.get_weights())


def lambda_config():
    return {
        "class_name": "__lambda__",
        "config": {"code": "4wAA", "defaults": None, "closure": None},
    }


PLACES = [
    lambda c: c["config"]["layers"].append(
        {"module": "keras.layers", "class_name": "Lambda", "config": {"function": lambda_config()}}
    ),
    lambda c: c["config"]["layers"][1]["config"].update(activation=lambda_config()),
    lambda c: c["config"]["layers"][1]["config"].update(
        kernel_initializer=[{"a": lambda_config()}]
    ),
    lambda c: c.update(compile_config={"optimizer": "sgd", "loss": lambda_config()}),
    lambda c: c["config"]["layers"].append(
        {
            "module": "keras.layers",
            "class_name": "TimeDistributed",
            "config": {
                "layer": {
                    "module": "keras.layers",
                    "class_name": "Lambda",
                    "config": {"function": lambda_config()},
                }
            },
        }
    ),
]


@pytest.mark.parametrize("place", PLACES, ids=range(len(PLACES)))
def test_no_entry_runs_stored_code(place, tmp_path, monkeypatch):
    import marshal

    config = json.loads(mlp(lk).to_json())
    place(config)
    monkeypatch.setattr(marshal, "loads", lambda *a: pytest.fail("code was loaded"))
    from lightkeras.models import model_from_json

    with pytest.raises(LoadError, match="lambda"):
        model_from_json(json.dumps(config))
    with pytest.raises(LoadError, match="lambda"):
        load_model(rewritten(tmp_path, config=config))
    for entry in (layers.deserialize, lk.saving.deserialize_keras_object):
        with pytest.raises((ValueError, TypeError)):
            entry(config)
    with pytest.raises((ValueError, TypeError)):
        model = lk.Sequential.from_config(config["config"])
        model.compile_from_config(config["compile_config"])


# ---- what does not fit -------------------------------------------------------------------


def test_lists_of_what_does_not_fit(tmp_path):
    mlp(lk).save_weights(tmp_path / "m.weights.h5")
    other = lk.Sequential([lk.Input((4,)), layers.Dense(5), layers.Dense(3), layers.Dense(1)])
    before = other.get_weights()
    with pytest.raises(LoadError) as error:
        other.load_weights(tmp_path / "m.weights.h5")
    text = str(error.value)
    assert "missing in the file (2): layers/dense_2/vars/0 (" in text
    assert "of another shape or dtype (2): layers/dense_1/vars/0 (" in text
    assert "(5, 2), here (5, 3)" in text and "skip_mismatch=True" in text
    close(other.get_weights(), before, 0)
    with pytest.warns(UserWarning, match="2 variables were loaded"):
        other.load_weights(tmp_path / "m.weights.h5", skip_mismatch=True)
    close(other.get_weights()[2:], before[2:], 0)
    assert not np.allclose(other.get_weights()[0], before[0])
    small = lk.Sequential([lk.Input((4,)), layers.Dense(5)])
    with pytest.raises(LoadError, match=r"not in the model \(2\): layers/dense_1/vars/0"):
        small.load_weights(tmp_path / "m.weights.h5")
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'm.weights.h5'"):
        small.load_weights(tmp_path / "n.weights.h5")
    mlp(lk).save_weights(tmp_path / "m.safetensors")
    with pytest.raises(LoadError, match=r"not in the model \(2\): dense_1"):
        small.load_weights(tmp_path / "m.safetensors")


def test_layers_can_be_skipped(tmp_path):
    model, other = mlp(lk), mlp(lk)
    model.save_weights(tmp_path / "m.weights.h5")
    before = other.get_weights()
    other.load_weights(tmp_path / "m.weights.h5", objects_to_skip=[other.layers[0]])
    close(other.get_weights()[:2], before[:2], 0)
    close(other.get_weights()[2:], model.get_weights()[2:], 0)
    with pytest.raises(TypeError, match="by_name"):
        other.load_weights(tmp_path / "m.weights.h5", by_name=True)


def test_another_optimizer_is_left_alone(tmp_path):
    model, other = trained(mlp, lk), mlp(lk)
    model.save_weights(tmp_path / "m.weights.h5")
    other.compile("rmsprop", "mse")
    other.optimizer.build(other.trainable_weights)
    with pytest.warns(UserWarning, match="variables for optimizer"):
        other.load_weights(tmp_path / "m.weights.h5")
    close(other.get_weights(), model.get_weights(), 0)


def test_nan_is_told(tmp_path):
    model = mlp(lk)
    weights = model.get_weights()
    weights[0][0, 0] = np.nan
    model.set_weights(weights)
    for name in ("m.weights.h5", "m.safetensors"):
        model.save_weights(tmp_path / name)
        with pytest.warns(UserWarning, match="1 values that are NaN or infinite, of 20"):
            mlp(lk).load_weights(tmp_path / name)
        with pytest.raises(LoadError, match="check_finite=False"):
            mlp(lk).load_weights(tmp_path / name, check_finite=True)


# ---- damaged and strange files -----------------------------------------------------------


def rewritten(folder, config=None, members=(), weights=None, name="bad.keras", **options):
    """A saved model with other contents."""
    good = folder / "good.keras"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp(lk).save(good)
    with zipfile.ZipFile(good) as archive:
        contents = {n: archive.read(n) for n in archive.namelist()}
    if config is not None:
        contents["config.json"] = (
            config if isinstance(config, bytes) else json.dumps(config).encode()
        )
    if weights is not None:
        contents["model.weights.h5"] = weights
    with warnings.catch_warnings(), zipfile.ZipFile(folder / name, "w", **options) as archive:
        warnings.simplefilter("ignore")
        for member, data in [*contents.items(), *members]:
            archive.writestr(member, data)
    return folder / name


@pytest.mark.parametrize(
    "data, match",
    [
        (b"", "has 0 bytes"),
        (b"PK", "has 2 bytes"),
        (b"hello, I am no archive at all", "no .keras archive"),
        (b"PK" + b"\0" * 100, "is damaged"),
    ],
)
def test_files_that_are_no_archives(data, match, tmp_path):
    (tmp_path / "m.keras").write_bytes(data)
    with pytest.raises(LoadError, match=match):
        load_model(tmp_path / "m.keras")


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/x",
        "C:\\x",
        "a\\b",
        "x. ",
        "assets/x",
        "CONFIG.JSON",
        "model.weights.npz",
        "config.json",
    ],
)
def test_strange_members_refuse_the_whole_file(name, tmp_path):
    with pytest.raises(LoadError, match=r"A model of lightkeras has only|two members of one name"):
        load_model(rewritten(tmp_path, members=[(name, b"x")]))


def test_members_that_are_links_or_bombs(tmp_path):
    path = rewritten(tmp_path, compression=zipfile.ZIP_DEFLATED)
    assert load_model(path).built  # packed by somebody else
    with pytest.raises(LoadError, match="would unpack to"):
        load_model(
            rewritten(tmp_path, weights=bytes(300 * 2**20), compression=zipfile.ZIP_DEFLATED)
        )
    with pytest.raises(LoadError, match=r"no model\.weights\.h5"):
        with zipfile.ZipFile(tmp_path / "one.keras", "w") as archive:
            archive.writestr("config.json", "{}")
            archive.writestr("metadata.json", "{}")
        load_model(tmp_path / "one.keras")
    info = zipfile.ZipInfo("metadata.json")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr(info, "config.json")
    with pytest.raises(LoadError, match="a link or a folder"):
        load_model(tmp_path / "link.keras")


def test_every_cut_and_flip_of_an_archive_is_told(tmp_path):
    path = tmp_path / "m.keras"
    model = mlp(lk)
    model.save(path)
    whole = path.read_bytes()
    expected = model.get_weights()
    numbers = np.random.default_rng(0)
    for _ in range(60):
        data, place = bytearray(whole), int(numbers.integers(len(whole)))
        if numbers.random() < 0.5:
            data = data[:place]
        else:
            data[place] ^= 1 << int(numbers.integers(8))
        path.write_bytes(data)
        try:
            again = load_model(path)
        except LoadError:
            continue
        close(again.get_weights(), expected, 0)  # a byte that means nothing


@pytest.mark.parametrize("name", ["m.weights.h5", "m.safetensors"])
def test_flips_in_weights_are_told(name, tmp_path):
    path = tmp_path / name
    model = mlp(lk)
    model.save_weights(path)
    whole = path.read_bytes()
    expected = model.get_weights()
    numbers = np.random.default_rng(1)
    for _ in range(60):
        data = bytearray(whole)
        data[int(numbers.integers(len(whole)))] ^= 1 << int(numbers.integers(8))
        path.write_bytes(data)
        with contextlib.suppress(LoadError):
            model.load_weights(path)
        close(model.get_weights(), expected, 0)


def changed_h5(change):
    """HDF5 bytes of the weights of `mlp`, changed."""
    buffer = io.BytesIO()
    from lightkeras.saving import _h5
    from lightkeras.saving._weights import groups_of

    _h5.write(buffer, groups_of(mlp(lk)))
    with h5py.File(buffer, "a") as file:
        change(file)
    return buffer.getvalue()


def put(path, make):
    def change(file):
        if path in file:
            del file[path]
        make(file)

    return change


V0 = "layers/dense/vars/0"
STRANGE = [
    (put(V0, lambda f: f.__setitem__(V0, h5py.ExternalLink("x.h5", "/x"))), "ExternalLink"),
    (put("layers", lambda f: f.__setitem__("layers", h5py.SoftLink("/vars"))), "SoftLink"),
    (
        put(V0, lambda f: f.create_dataset(V0, (4, 5), "f4", external=[("x.bin", 0, 80)])),
        "no values",
    ),
    (put(V0, lambda f: f.create_virtual_dataset(V0, virtual())), "no values"),
    (put(V0, lambda f: f.create_dataset(V0, (10**6, 10**6), "f4", chunks=(64, 64))), "declares"),
    (put(V0, lambda f: f.create_dataset(V0, data=[b"a"])), "dtype"),
    (put(V0, lambda f: f.create_dataset(V0, data=np.zeros((4, 5), "c8"))), "dtype"),
    (put(V0, lambda f: f.create_dataset(V0, data=np.zeros((4, 5), ">f4"))), "dtype"),
    (put(V0, lambda f: f.create_dataset(V0, data=np.zeros((4, 5), "V2"))), "dtype"),
    (put(V0, lambda f: f.create_dataset(V0, data=np.zeros((4, 5), [("a", "f4")]))), "dtype"),
    (put(V0, lambda f: f.create_dataset(V0, dtype="f4", data=h5py.Empty("f4"))), "no values"),
    (put(V0, lambda f: f.create_group(V0)), "missing in the file"),
    (put(V0, lambda f: f.create_dataset(V0, data=np.zeros((4, 5), "i4"))), "int32, here"),
    (
        put(V0, lambda f: f.create_dataset(V0, data=np.zeros((5, 4), "f4"))),
        r"\(5, 4\), here \(4, 5\)",
    ),
    (put("x", lambda f: f.create_dataset("x", data=1.0)), "not in the model"),
    (put("x", lambda f: f.__setitem__("x", f["layers"])), "two places"),
    (put("x", lambda f: f["layers"].__setitem__("loop", f["/layers"])), "two places"),
    (put("x", lambda f: f.__setitem__("x", np.dtype("f4"))), "Datatype"),
]


def virtual():
    layout = h5py.VirtualLayout((4, 5), "f4")
    layout[:] = h5py.VirtualSource("x.h5", "x", (4, 5))
    return layout


@pytest.mark.parametrize("change, match", STRANGE, ids=range(len(STRANGE)))
def test_strange_hdf5_is_refused(change, match, tmp_path):
    data = changed_h5(change)
    (tmp_path / "m.weights.h5").write_bytes(data)
    model = mlp(lk)
    before = model.get_weights()
    with pytest.raises(LoadError, match=match):
        model.load_weights(tmp_path / "m.weights.h5")
    close(model.get_weights(), before, 0)
    with pytest.raises(LoadError, match=match):
        load_model(rewritten(tmp_path, weights=data))


@pytest.mark.parametrize("units", [10**5, 10**9, 10**18, -3, 2.5, True, "x", None, [3]])
def test_a_config_that_wants_more_than_the_file_has(units, tmp_path):
    config = json.loads(mlp(lk).to_json())
    config["config"]["layers"][1]["config"]["units"] = units
    with pytest.raises(LoadError):
        load_model(rewritten(tmp_path, config=config))


def entry(module, name, /, **config):
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


FOREIGN = [
    (entry("collections", "OrderedDict"), "needs classes or functions of your own: OrderedDict"),
    (entry("lightkeras.saving", "load_model"), "load_model of lightkeras.saving"),
    (entry("keras.models", "load_model"), "load_model of keras.models"),
    (entry("keras.config", "enable_unsafe_deserialization"), "does not have"),
    (entry("keras.layers", "Adam"), "Adam of keras.layers"),
    (entry("keras.layers", "JaxLayer"), "JaxLayer of keras.layers"),
    ({**entry("keras.layers", "Dense", units=3), "registered_name": "x>Dense"}, "registered name"),
    (entry("keras.layers", "TorchModuleWrapper", module="gASV"), "as a pickle"),
    (entry("keras.optimizers", "Adam"), "is no layer|Unknown layer"),
    (entry("builtins", "function"), "your own"),
    (5, "cannot be made|a dict"),
]


@pytest.mark.parametrize("layer, match", FOREIGN, ids=range(len(FOREIGN)))
def test_only_known_classes_are_made(layer, match, tmp_path):
    config = json.loads(mlp(lk).to_json())
    config["config"]["layers"].append(layer)
    modules = set(sys.modules)
    with pytest.raises(LoadError, match=match):
        load_model(rewritten(tmp_path, config=config))
    ours = ("lightkeras", "encodings")  # zipfile reads names in the codec of old archives
    assert {m for m in set(sys.modules) - modules if not m.startswith(ours)} == set()


def test_all_unknown_classes_are_listed(tmp_path):
    config = json.loads(mlp(lk).to_json())
    config["config"]["layers"] += [entry("mine", "A"), entry(None, "B"), entry("mine", "C")]
    with pytest.raises(
        LoadError, match=r'custom_objects={"[ABC]": [ABC], "[ABC]": [ABC], "[ABC]": [ABC]}'
    ):
        load_model(rewritten(tmp_path, config=config))


SLOTS = [
    ("kernel_initializer", entry("keras.layers", "Dense", units=3)),
    ("kernel_initializer", entry("keras.regularizers", "L2")),
    ("kernel_regularizer", entry("keras.initializers", "Zeros")),
    ("kernel_constraint", entry("keras.initializers", "Zeros")),
    ("activation", entry("keras.layers", "Dense", units=3)),
    ("activation", "glorot_uniform"),
    ("kernel_initializer", "relu"),
    ("dtype", entry("keras.layers", "Dense", units=3)),
]


@pytest.mark.parametrize("slot, value", SLOTS, ids=range(len(SLOTS)))
def test_each_slot_takes_its_own_kind(slot, value, tmp_path):
    config = json.loads(mlp(lk).to_json())
    config["config"]["layers"][1]["config"][slot] = value
    with pytest.raises(LoadError, match=r"Unknown|is no"):
        load_model(rewritten(tmp_path, config=config))


def test_paths_that_are_no_files(tmp_path):
    (tmp_path / "d.keras").mkdir()
    with pytest.raises(LoadError, match="is a folder"):
        load_model(tmp_path / "d.keras")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        load_model(tmp_path / "no.keras")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.keras")
        with pytest.raises(LoadError, match="no regular file"):
            load_model(tmp_path / "pipe.keras")


def tensor(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


SAFETENSORS = [
    (struct.pack("<Q", 2**60) + b"{}", "a header of"),
    (b"\0" * 4, "has 4 bytes"),
    (({"w": tensor()}, b"\0" * 7), "cut off"),
    (({"w": tensor()}, b"\0" * 9), "cut off"),
    (({"w": tensor(offsets=(4, 12))}, b"\0" * 12), "a gap"),
    (({"w": tensor(), "v": tensor(offsets=(4, 12))}, b"\0" * 12), "overlap"),
    (({"w": tensor("F99")}, b"\0" * 8), "no sense"),
    (({"w": tensor(shape=(10**9,))}, b"\0" * 8), "no sense"),
    (({"w": 3}, b""), "no sense"),
    (({"w": tensor(offsets=(-8, 0))}, b"\0" * 8), "no sense"),
    ((b'{"w": 1, "w": 2}', b""), "'w' twice"),
    (({"dense.weight": tensor()}, b"\0" * 8), r"of another shape"),
]


@pytest.mark.parametrize("content, match", SAFETENSORS, ids=range(len(SAFETENSORS)))
def test_strange_safetensors_are_refused(content, match, tmp_path):
    if isinstance(content, tuple):
        header, data = content
        header = header if isinstance(header, bytes) else json.dumps(header).encode()
        content = struct.pack("<Q", len(header)) + header + data
    (tmp_path / "m.safetensors").write_bytes(content)
    model = lk.Sequential([lk.Input((2,)), layers.Dense(1, use_bias=False)])
    with pytest.raises(LoadError, match=match):
        model.load_weights(tmp_path / "m.safetensors")


# ---- objects as configs ------------------------------------------------------------------


def test_plain_values_go_both_ways():
    value = {
        "a": [1, 2.5, None, "x", True],
        "slice": slice(1, None, 2),
        "dots": ...,
        "array": np.arange(3.0, dtype="float32"),
        "number": np.float32(0.5),
        "bytes": b"abc",
        "tensor": torch.ones(2),
    }
    ours = lk.saving.serialize_keras_object(value)
    theirs = keras.saving.serialize_keras_object({**value, "tensor": keras.ops.ones(2)})
    assert ours == theirs
    back = lk.saving.deserialize_keras_object(json.loads(json.dumps(ours)))
    assert back["slice"] == slice(1, None, 2) and back["dots"] is ... and back["bytes"] == b"abc"
    np.testing.assert_array_equal(back["array"], value["array"])
    assert torch.equal(back["tensor"], torch.ones(2))


OBJECTS = [
    lambda k: k.initializers.HeNormal(seed=1),
    lambda k: k.regularizers.L1L2(0.1, 0.2),
    lambda k: k.initializers.GlorotUniform(seed=k.random.SeedGenerator(3)),
    lambda k: k.constraints.MaxNorm(2.0),
    lambda k: k.losses.BinaryCrossentropy(label_smoothing=0.2),
    lambda k: k.metrics.TopKCategoricalAccuracy(k=3),
    lambda k: k.optimizers.schedules.CosineDecay(0.1, 10),
    lambda k: k.layers.Dense(3, activation="relu"),
]


@pytest.mark.parametrize("make", OBJECTS, ids=range(len(OBJECTS)))
def test_objects_go_both_ways(make):
    ours, theirs = make(lk), make(keras)
    there = keras.saving.deserialize_keras_object(lk.saving.serialize_keras_object(ours))
    here = lk.saving.deserialize_keras_object(keras.saving.serialize_keras_object(theirs))
    assert type(there) is type(theirs) and type(here) is type(ours)
    same = lambda c: {k: v for k, v in c.items() if k != "quantization_config" and v is not None}
    assert same(lk.saving.serialize_keras_object(here)["config"]) == same(
        lk.saving.serialize_keras_object(ours)["config"]
    )


def test_public_names_and_signatures():
    import inspect

    theirs = {n for n in dir(keras.saving) if not n.startswith("_")} - {"KerasFileEditor"}
    assert theirs <= set(lk.saving.__all__)
    for ours, of_keras in [
        (lk.saving.load_model, keras.saving.load_model),
        (lk.saving.save_model, keras.saving.save_model),
        (lk.saving.deserialize_keras_object, keras.saving.deserialize_keras_object),
        (lk.models.clone_model, keras.models.clone_model),
        (lk.models.model_from_json, keras.models.model_from_json),
        (layers.deserialize, keras.layers.deserialize),
        (layers.serialize, keras.layers.serialize),
        (lk.Model.save, keras.Model.save),
    ]:
        mine, other = (inspect.signature(f).parameters for f in (ours, of_keras))
        assert [(p.name, p.default) for p in mine.values()] == [
            (p.name, p.default) for p in other.values()
        ]
