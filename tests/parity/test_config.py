"""Settings, dtypes and dtype policies against the installed Keras."""

import inspect
import itertools
import os
import re
import subprocess
import sys
import traceback

import keras
import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras import _dtypes, _registry, config, dtype_policies, layers, mixed_precision, saving


@pytest.fixture(autouse=True)
def settings_restored():
    yield
    config.set_floatx("float32")
    config.set_epsilon(1e-7)
    config.set_image_data_format("channels_last")
    config.set_max_epochs(None)
    config.set_max_steps_per_epoch(None)
    config.enable_interactive_logging()
    dtype_policies._global = None


def test_same_names_and_signatures():
    theirs = {n for n in dir(keras.config) if n[0] != "_"}
    assert theirs == set(config.__all__)
    for name in config.__all__:
        a, b = getattr(config, name), getattr(keras.config, name)
        assert list(inspect.signature(a).parameters) == list(inspect.signature(b).parameters), name


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("floatx", ["float64", "bfloat16", "float16", "float32"]),
        ("epsilon", [1e-3, 1e-7]),
        ("image_data_format", ["channels_first", "channels_last"]),
        ("max_epochs", [3, None]),
        ("max_steps_per_epoch", [5, None]),
    ],
)
def test_settings(name, values):
    assert getattr(config, name)() == getattr(keras.config, name)()
    for value in values:
        getattr(config, f"set_{name}")(value)
        assert getattr(config, name)() == value


def test_interactive_logging():
    assert config.is_interactive_logging_enabled() is True
    config.disable_interactive_logging()
    assert config.is_interactive_logging_enabled() is False


def test_flash_attention():
    assert config.is_flash_attention_enabled() is keras.config.is_flash_attention_enabled() is None
    try:
        for switch, enabled in (("disable", False), ("enable", True)):
            getattr(config, f"{switch}_flash_attention")()
            assert config.is_flash_attention_enabled() is enabled
            assert torch.backends.cuda.flash_sdp_enabled() is enabled
    finally:
        config._flash_attention = None


def test_stored_code_is_loaded_where_all_of_it_is_allowed(monkeypatch):
    stored = saving.serialize_keras_object(layers.Lambda(lambda x: x + 1))
    with pytest.raises(ValueError, match="safe_mode=False"):
        saving.deserialize_keras_object(stored)
    monkeypatch.setattr(_registry, "_unsafe", False)  # put back afterwards
    config.enable_unsafe_deserialization()
    assert saving.deserialize_keras_object(stored)(torch.ones(1)) == 2.0


def frames(call):
    """Packages of the frames that an error shows, one entry a frame."""
    try:
        call()
    except ValueError as error:
        walked = traceback.walk_tb(error.__traceback__)
        return [frame.f_globals["__name__"].partition(".")[0] for frame, _ in walked]


def test_traceback_filtering():
    def broken(y_true, y_pred):
        raise ValueError("mine")

    model = lk.Sequential([lk.Input((2,)), layers.Dense(1)])
    model.compile("sgd", broken)
    x = np.ones((4, 2), "float32")
    calls = [
        lambda: model.fit(x, x[:, :1], verbose=0),
        lambda: model.evaluate(x, x[:, :1], verbose=0),
        lambda: model.train_on_batch(x, x[:, :1]),
        lambda: model.fit(x[:, :1], x, verbose=0),
    ]
    try:
        for call in calls:
            assert frames(call)[2:3] == ["lightkeras"]  # the method that was called
            assert set(frames(call)[3:]) <= {__name__, "torch"}
        assert config.is_traceback_filtering_enabled()
        config.disable_traceback_filtering()
        assert {"lightkeras", "lightning", __name__} <= set(frames(calls[0])[3:])
    finally:
        config.enable_traceback_filtering()


def test_nnx_is_jax():
    assert config.is_nnx_enabled() is keras.config.is_nnx_enabled() is False


def test_backend():
    assert config.backend() == keras.config.backend() == "torch"
    config.set_backend("torch")


def test_limits_from_the_environment():
    code = "from lightkeras import config; print(config.max_epochs(), config.max_steps_per_epoch())"
    environment = {**os.environ, "KERAS_MAX_EPOCHS": "2", "KERAS_MAX_STEPS_PER_EPOCH": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "7"]


# ---- dtypes -------------------------------------------------------------------------------------

NAMES = [n for n in _dtypes._TORCH if "float8" not in n]
OBJECTS = [*NAMES, None, int, float, bool, str, "int", "string", np.float16, np.int8, np.bool_]
OBJECTS += [np.dtype("float64"), np.dtype("uint8"), np.dtype("bool"), torch.float32, torch.bool]


@pytest.mark.parametrize("dtype", OBJECTS, ids=str)
def test_dtype_names(dtype):
    name = keras.backend.standardize_dtype(dtype)
    assert _dtypes.dtype_name(dtype) == name
    assert _dtypes.is_float(dtype) == keras.backend.is_float_dtype(dtype)
    assert _dtypes.is_int(dtype) == keras.backend.is_int_dtype(dtype)
    if name != "string":
        assert _dtypes.torch_dtype(dtype) == getattr(torch, name)


def test_floatx_is_the_default():
    config.set_floatx("float64")
    assert _dtypes.torch_dtype() == torch.float64
    assert _dtypes.as_tensor([1.0]).dtype == torch.float64
    assert _dtypes.as_tensor(np.float32([1.0])).dtype == torch.float32


def test_result_type():
    wrong = []
    for pair in itertools.product([*NAMES, int, float], repeat=2):
        ours, theirs = _dtypes.result_type(*pair), keras.backend.result_type(*pair)
        if ours != theirs:
            wrong.append((pair, ours, theirs))
    assert not wrong
    assert _dtypes.result_type() == keras.backend.result_type()


# ---- policies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["float32", "mixed_bfloat16", "mixed_float16", "float16", "bfloat16", "float64", "int8"]
)
def test_policies(name):
    ours, theirs = dtype_policies.DTypePolicy(name), keras.DTypePolicy(name)
    for attribute in ("name", "compute_dtype", "variable_dtype"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    assert repr(ours) == repr(theirs)
    assert dtype_policies.serialize(ours) == keras.dtype_policies.serialize(theirs)
    assert dtype_policies.deserialize(keras.dtype_policies.serialize(theirs)) == ours
    assert dtype_policies.get(name) == ours == dtype_policies.get(ours)
    assert {ours, dtype_policies.DTypePolicy(name)} == {ours}


def policies(module):
    policy = module.DTypePolicy
    given = {"encoder/dense": policy("bfloat16"), "decoder": policy("float16")}
    return module.DTypePolicyMap(policy("float32"), {**given, "encoder/.*": policy("float64")})


def test_map_of_policies():
    ours, theirs = policies(dtype_policies), policies(keras.dtype_policies)
    for path in ("encoder/dense", "encoder/a/b", "encoder", "decoder", "decoder/dense"):
        assert ours[path].name == theirs[path].name
    assert (ours.name, ours.compute_dtype) == (theirs.name, theirs.compute_dtype)
    assert (list(ours), len(ours), "decoder" in ours) == (list(theirs), 3, True)
    del ours["decoder"]
    assert ours["decoder"].name == "float32"
    config = dtype_policies.serialize(policies(dtype_policies))
    back = keras.dtype_policies.deserialize(config)
    assert back["encoder/dense"].name == "bfloat16"
    again = dtype_policies.deserialize(keras.dtype_policies.serialize(theirs))
    assert again["encoder/x"].name == "float64"
    config_of_none = dtype_policies.DTypePolicyMap().get_config()
    assert config_of_none == keras.dtype_policies.DTypePolicyMap().get_config()
    ours["e.*"] = "float16"
    for wrong, text in (
        (lambda: ours["encoder/z"], r"fits the keys 'encoder/\.\*', 'e\.\*'"),
        (lambda: ours.__setitem__("e.*", "float32"), "has 'e.*' already"),
        (lambda: ours.__setitem__("a", "flaot32"), "Did you mean 'float32'"),
        (lambda: dtype_policies.DTypePolicyMap(ours), "got a DTypePolicyMap"),
        (lambda: dtype_policies.DTypePolicyMap(policy_map=[1]), "got list"),
    ):
        with pytest.raises((ValueError, TypeError), match=text):
            wrong()


def test_layers_take_their_policy_from_a_map():
    def dtypes(module):
        class Block(module.layers.Layer):
            def __init__(self, **options):
                super().__init__(**options)
                self.body = module.layers.Dense(3, name="body", dtype=self.dtype_policy)
                self.head = module.layers.Dense(2, name="head", dtype=self.dtype_policy)

            def call(self, x):
                return self.head(self.body(x))

        policy = module.dtype_policies.DTypePolicy
        policies = module.dtype_policies.DTypePolicyMap("float32", {".*/head": policy("bfloat16")})
        block = Block(name="block", dtype=policies)
        y = block(np.ones((2, 4), "float32"))
        seen = [block, block.body, block.head]
        return str(y.dtype), [(x.path, x.dtype_policy.name, x.compute_dtype) for x in seen]

    assert dtypes(lk) == dtypes(keras)


def test_global_policy():
    assert config.dtype_policy().name == keras.config.dtype_policy().name == "float32"
    config.set_floatx("bfloat16")
    assert config.dtype_policy().compute_dtype == "bfloat16"
    config.set_dtype_policy("mixed_float16")
    assert mixed_precision.global_policy().compute_dtype == "float16"
    assert dtype_policies.get(None) == dtype_policies.DTypePolicy()
    mixed_precision.set_global_policy(mixed_precision.Policy("float64"))
    assert config.dtype_policy().variable_dtype == "float64"
    assert dtype_policies.get(torch.float16).name == "float16"


def test_mixed_precision_names():
    theirs = {n for n in dir(keras.mixed_precision) if n[0] != "_"}
    assert theirs == set(mixed_precision.__all__)


MISTAKES = [
    (lambda: config.set_floatx("float23"), "Unknown float type 'float23'. Did you mean 'float32'?"),
    (lambda: config.set_floatx("int32"), "Accepted: bfloat16, float16, float32, float64."),
    (lambda: config.set_image_data_format("channel_last"), "Did you mean 'channels_last'?"),
    (lambda: config.set_epsilon("small"), "set_epsilon() got 'small'"),
    (lambda: config.set_max_epochs(-1), "max_epochs is -1. A whole number of at least 1"),
    (lambda: config.set_max_steps_per_epoch("x"), "max_steps_per_epoch is 'x'"),
    (lambda: config.set_backend("jax"), "Unknown backend 'jax'. lightkeras computes with torch"),
    (lambda: config.set_dtype_policy("mixed_float61"), "Did you mean 'mixed_float16'?"),
    (lambda: dtype_policies.DTypePolicy(3), "DTypePolicy() got a name of type int"),
    (lambda: dtype_policies.get(object()), "Unknown dtype 'object'"),
    (lambda: _dtypes.dtype_name("flaot32"), "Unknown dtype 'flaot32'. Did you mean 'float32'?"),
    (lambda: _dtypes.torch_dtype(str), "Torch has no tensors of strings"),
]


@pytest.mark.parametrize(("call", "text"), MISTAKES)
def test_mistakes(call, text):
    with pytest.raises((ValueError, TypeError), match=re.escape(text)):
        call()
