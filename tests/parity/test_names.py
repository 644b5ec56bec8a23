"""Every public name of the installed Keras is here under the same name, with the same arguments.

What is missing, and what differs on purpose, stands in one table each, with the reason beside it.
A name that has arrived must leave its table.
"""

import importlib
import inspect

import keras
import pytest

import lightkeras


def spaces(module=keras, name=""):
    """Names of all public modules of Keras, "" for Keras itself."""
    yield name
    for key, value in sorted(vars(module).items()):
        if (
            inspect.ismodule(value)
            and key[0] != "_"
            and value.__name__ == f"keras.{name}.{key}".replace("..", ".")
        ):
            yield from spaces(value, f"{name}.{key}".lstrip("."))


OTHERS = "wraps a model of another framework, which this package does not load"
QUANTISED = "a scheme of quantised weights: parameters are torch's, and torchao quantises them"
JAX = "belongs to Keras's JAX backend"
STATELESS = "belongs to Keras's way of tracing a model without state, which torch has no need of"
SHARDS = "lays weights out over devices by name: the strategies of Lightning do that"
TEACHING = "trains one model by another: a train_step of a few lines"
PRIVATE = "Keras's own private tree"
NETWORKS = """torchvision.models has these networks with their weights: TorchModuleWrapper takes one
into a model, as tests/test_torchvision.py shows"""
ADAPTERS = (
    "no arguments for adapters (LoRA) and quantised weights: torch's peft and torchao do both"
)

# {space: {reason: names}}; of a space that is missing all that is in it is, too.
MISSING = {
    "": {
        PRIVATE: "src",
        STATELESS: "StatelessScope SymbolicScope",
        QUANTISED: "Quantizer quantizers",
        SHARDS: "distribution",
        TEACHING: "distillation",
        "its own `saving` would be this one's; TensorFlow's formats are not read": "legacy export",
        NETWORKS: "applications",
    },
    "callbacks": {JAX: "OrbaxCheckpoint"},
    "dtype_policies": {
        QUANTISED: """AWQDTypePolicy GPTQDTypePolicy Int4DTypePolicy QuantizedDTypePolicy
            QuantizedFloat8DTypePolicy"""
    },
    "layers": {OTHERS: "FlaxLayer JaxLayer TFSMLayer"},
    "saving": {"edits files of weights by hand: they are HDF5, h5py does": "KerasFileEditor"},
    "utils": {
        "the old tree of private names": "legacy",
    },
}

# ---- names --------------------------------------------------------------------------------------


def space(root, name):
    """The module or object `root.name`, or None."""
    found = root
    for part in filter(None, name.split(".")):
        try:
            found = getattr(found, part, None) or importlib.import_module(
                f"{found.__name__}.{part}"
            )
        except ImportError:
            return None
    return found


def public(module):
    return {name for name in dir(module) if not name.startswith("_")}


def reasons(name):
    table = MISSING.get(name, {})
    return {missing: reason for reason, names in table.items() for missing in names.split()}


ABSENT = {f"{name}.{missing}".lstrip(".") for name in MISSING for missing in reasons(name)}
SPACES = [n for n in spaces() if not any(f"{n}.".startswith(f"{a}.") for a in ABSENT)]


@pytest.mark.parametrize("name", SPACES)
def test_names(name):
    theirs, ours = public(space(keras, name)), space(lightkeras, name)
    missing = {n for n in theirs if not hasattr(ours, n)}
    assert missing == reasons(name).keys()


def test_the_tables_are_about_spaces_that_exist():
    assert len(SPACES) > 40 and "datasets.mnist" in SPACES
    assert set(MISSING) <= set(SPACES)


def test_what_is_elsewhere_is_said():
    with pytest.raises(AttributeError, match=r"'applications'.*torchvision\.models.*TorchModuleW"):
        lightkeras.applications.VGG16()
    with pytest.raises(
        AttributeError, match=r"no attribute 'optimizer'\. Did you mean 'Optimizer'"
    ):
        lightkeras.optimizer  # noqa: B018


# ---- arguments ----------------------------------------------------------------------------------

# {name: reason} where Keras's arguments, their order and defaults are not the first of ours.
DIFFERENT = {
    "layers.Dense": ADAPTERS,
    "layers.EinsumDense": ADAPTERS,
    "layers.Embedding": ADAPTERS,
    "backend.standardize_dtype": "may be called without a dtype: the default one",
    "utils.standardize_dtype": "may be called without a dtype: the default one",
    "saving.save_weights": "`max_shard_size`: a file holds all weights, of whatever size",
}


def arguments(obj):
    """[(name, default)] of what can be passed by name or place."""
    if inspect.isclass(obj) and type(obj) is type:
        parameters = list(inspect.signature(obj.__init__).parameters.values())[1:]
    else:
        parameters = inspect.signature(obj).parameters.values()
    return [
        (p.name, meaning(p.default))
        for p in parameters
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]


def meaning(default):
    """A default in a form that can be compared: `(2, 2)` is 2, functions are their names."""
    while isinstance(default, tuple) and default and all(d == default[0] for d in default):
        default = default[0]
    return getattr(default, "__name__", repr(default))


def pairs():
    for name in SPACES:
        ours, theirs = space(lightkeras, name), space(keras, name)
        for each in sorted(public(theirs)):
            mine, other = getattr(ours, each, None), getattr(theirs, each)
            if mine is not None and callable(other):
                yield f"{name}.{each}".lstrip("."), mine, other


def test_arguments():
    different, compared = {}, 0
    for name, mine, other in pairs():
        theirs = arguments(keras_constructor(other))
        compared += 1
        if arguments(mine)[: len(theirs)] != theirs:
            different[name] = (arguments(mine), theirs)
    unexpected = {k: v for k, v in different.items() if k not in DIFFERENT}
    assert not unexpected
    assert set(DIFFERENT) - set(different) == set(), "in DIFFERENT, but equal"
    assert compared > 600


def keras_constructor(obj):
    """Keras's `__new__(cls, *args, **kwargs)` hides the signature of a class: ask its __init__."""
    if not inspect.isclass(obj):
        return obj

    def constructor(*args, **kwargs):
        raise AssertionError("only its signature is read")

    parameters = list(inspect.signature(obj.__init__).parameters.values())[1:]
    constructor.__signature__ = inspect.Signature(parameters)
    return constructor


def test_the_comparison_can_see():
    assert arguments(lambda x, y=(2, 2), *rest, **more: 0) == [("x", "_empty"), ("y", "2")]
    assert "Dense" in public(keras.layers)
    assert space(keras, "nowhere") is None
