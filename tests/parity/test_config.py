"""Settings, dtypes and dtype policies against the installed Keras."""

import inspect
import itertools
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import torch

from lightkeras import _dtypes, config, dtype_policies, mixed_precision

# Keras's that are absent on purpose: they would control nothing here, or turn safety off.
ABSENT = {
    *["disable_flash_attention", "enable_flash_attention", "is_flash_attention_enabled"],
    *["disable_traceback_filtering", "enable_traceback_filtering"],
    *["is_traceback_filtering_enabled", "enable_unsafe_deserialization", "is_nnx_enabled"],
}


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
    assert theirs - ABSENT == set(config.__all__)
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
