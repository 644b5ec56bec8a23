"""Initializers against the installed Keras: values where there are some, else distributions."""

import inspect
import math
import re

import keras
import numpy as np
import pytest
import torch

from lightkeras import initializers, random

NAMES = sorted(n for n in dir(keras.initializers) if n[0] != "_" and n[0].isupper())
ALIASES = sorted(
    n
    for n in dir(keras.initializers)
    if n[0].islower() and n not in ("get", "serialize", "deserialize")
)
RANDOM = [n for n in NAMES if hasattr(getattr(keras.initializers, n)(), "seed")]
SCALED = [n for n in RANDOM if n.endswith(("Normal", "Uniform")) and n[:2] in ("Gl", "He", "Le")]
SHAPES = [(), (7,), (30, 20), (3, 10, 6), (3, 3, 8, 16), (2, 3, 2, 4, 5)]


def params(cls):
    return list(inspect.signature(cls.__init__).parameters.values())


@pytest.mark.parametrize("name", [*NAMES, *ALIASES])
def test_same_names_and_signatures(name):
    ours, theirs = getattr(initializers, name), getattr(keras.initializers, name)
    if "__init__" in vars(theirs):
        assert [(p.name, p.default) for p in params(ours)] == [
            (p.name, p.default) for p in params(theirs)
        ]
    assert ours.__name__ == theirs.__name__


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda k: k.Zeros(), (3, 4)),
        (lambda k: k.Ones(), (3, 4)),
        (lambda k: k.Constant(2.5), (3, 4)),
        (lambda k: k.Constant([1.0, 2.0]), (3, 2)),
        (lambda k: k.Identity(), (3, 5)),
        (lambda k: k.Identity(gain=0.5), (4, 4)),
        (lambda k: k.STFT(), (16, 1, 9)),
        (lambda k: k.STFT("imag", "hamming", "spectrum", True), (16, 1, 17)),
        (lambda k: k.STFT("imag", "blackman", None), (16, 1, 9)),
        (lambda k: k.STFT("real", None), (8, 1, 5)),
        (lambda k: k.STFT("real", [1.0, 2.0, 3.0, 4.0], "spectrum"), (4, 1, 3)),
        (lambda k: k.STFT("real", "nuttall", periodic=True), (16, 1, 9)),
        (lambda k: k.STFT("real", "bartlett"), (16, 1, 9)),
        (lambda k: k.STFT("real", "cosine"), (16, 1, 9)),
        (lambda k: k.STFT("real", "exponential"), (16, 1, 9)),
    ],
)
def test_fixed_values(make, shape):
    for dtype in ("float32", "float64"):
        ours, theirs = make(initializers)(shape, dtype), make(keras.initializers)(shape, dtype)
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


@pytest.mark.parametrize("name", RANDOM)
def test_distribution(name):
    ours = getattr(initializers, name)(seed=1)((200, 300)).numpy()
    theirs = np.asarray(getattr(keras.initializers, name)(seed=1)((200, 300)))
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.02)
    np.testing.assert_allclose(ours.mean(), theirs.mean(), atol=4 * theirs.std() / 245)
    if not name.startswith(("Orthogonal", "RandomNormal")):  # bounded: the ends are known too
        parts = [0, 0.01, 0.25, 0.5, 0.75, 0.99, 1]
        a, b = np.quantile(ours, parts), np.quantile(theirs, parts)
        np.testing.assert_allclose(a, b, atol=0.05 * theirs.std())


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("shape", SHAPES)
def test_fans(name, shape):
    """Fan-in and fan-out are Keras's, and the range of the values follows from them."""
    from keras.src.initializers.random_initializers import compute_fans

    assert initializers._fans(shape) == compute_fans(shape)
    kwargs = {"input_axes": [0], "output_axes": [-1]} if len(shape) > 1 else {}
    assert initializers._fans(shape, **kwargs) == compute_fans(shape, **kwargs)
    values = getattr(initializers, name)(seed=1)(shape)
    assert values.shape == shape
    fan_in, fan_out = compute_fans(shape)
    n = (fan_in + fan_out) / 2 if name.startswith("Glorot") else fan_in
    spread = math.sqrt((2 if name.startswith("He") else 1) / n)
    limit = math.sqrt(3) * spread if name.endswith("Uniform") else 2 * spread / 0.8796
    assert values.abs().max() <= limit * 1.001
    if values.numel() > 500:
        assert values.abs().max() > limit * 0.9


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize(
    "distribution", ["normal", "truncated_normal", "untruncated_normal", "uniform"]
)
def test_variance_scaling(mode, distribution):
    arguments = (3.0, mode, distribution, 5)
    ours = initializers.VarianceScaling(*arguments)
    theirs = keras.initializers.VarianceScaling(*arguments)
    assert ours.get_config() == theirs.get_config()
    a, b = ours((3, 3, 40, 60)).numpy(), np.asarray(theirs((3, 3, 40, 60)))
    np.testing.assert_allclose(a.std(), b.std(), rtol=0.03)


@pytest.mark.parametrize("shape", [(20, 10), (10, 20), (3, 3, 4, 8), (2, 2, 2, 40)])
def test_orthogonal(shape):
    q = initializers.Orthogonal(gain=2.0, seed=3)(shape).reshape(-1, shape[-1]) / 2
    product = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    torch.testing.assert_close(product, torch.eye(len(product)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", RANDOM)
def test_seeds(name):
    cls, shape = getattr(initializers, name), (4, 5)
    fixed = cls(seed=7)
    assert torch.equal(fixed(shape), fixed(shape))
    assert torch.equal(fixed(shape), fixed.clone()(shape))
    assert not torch.equal(fixed(shape), cls(seed=8)(shape))

    moving = cls(seed=random.SeedGenerator(7))
    first, second = moving(shape), moving(shape)
    assert torch.equal(first, fixed(shape))
    assert not torch.equal(first, second)
    again = cls.from_config(moving.get_config())
    assert torch.equal(again(shape), first)
    assert torch.equal(again(shape), second)

    free = cls()
    torch.manual_seed(1)
    first = free(shape)
    assert not torch.equal(first, free(shape))
    torch.manual_seed(1)
    assert torch.equal(first, free(shape))


@pytest.mark.parametrize("name", [n for n in NAMES if n != "Initializer"])
def test_configs_cross_over(name):
    kwargs = {"seed": 3} if name in RANDOM else {}
    ours = getattr(initializers, name)(**kwargs)
    theirs = getattr(keras.initializers, name)(**kwargs)
    if not name.startswith("Identity"):  # Keras forgets the gain
        assert initializers.serialize(ours) == keras.initializers.serialize(theirs)
    back = initializers.deserialize(keras.initializers.serialize(theirs))
    assert type(back) is type(ours)
    assert back.get_config() == ours.get_config()


def test_arrays_in_configs_cross_over():
    value = np.array([1.0, 2.0], dtype="float32")
    theirs = keras.initializers.serialize(keras.initializers.Constant(value))
    assert initializers.serialize(initializers.Constant(value)) == theirs
    assert initializers.serialize(initializers.Constant(torch.tensor(value))) == theirs
    np.testing.assert_array_equal(initializers.deserialize(theirs)((2,)), value)
    assert initializers.Constant(np.float32(2)).get_config() == {"value": 2.0}


STRINGS = [
    *["normal", "uniform", "zero", "one", "zeros", "ones", "identity", "orthogonal", "stft"],
    *["glorot_uniform", "glorot_normal", "he_normal", "he_uniform", "lecun_normal"],
    *["lecun_uniform", "random_normal", "random_uniform", "truncated_normal", "HeNormal"],
    *["variance_scaling", "IdentityInitializer", "OrthogonalInitializer", "STFTInitializer"],
]


@pytest.mark.parametrize("name", STRINGS)
def test_names(name):
    ours, theirs = initializers.get(name), keras.initializers.get(name)
    assert type(ours).__name__ == type(theirs).__name__
    assert type(ours).from_config(theirs.get_config()).get_config() == ours.get_config()


def test_get():
    assert initializers.get(None) is None
    assert isinstance(initializers.get(initializers.Zeros), initializers.Zeros)
    function = lambda shape, dtype=None: torch.ones(shape)
    assert initializers.get(function) is function
    assert initializers.get({"class_name": "Constant", "config": {"value": 4}})((1,)) == 4
    for value in (np.eye(2), torch.eye(2)):
        assert torch.equal(initializers.get(value)((2, 2)), torch.eye(2))
        assert torch.equal(initializers.get(value)((2, 2), "bfloat16"), torch.eye(2).bfloat16())


@pytest.mark.parametrize("name", [n for n in NAMES if n != "Initializer"])
@pytest.mark.parametrize("seed", [None, 3])
def test_on_the_meta_device(name, seed):
    initializer = getattr(initializers, name)(**({"seed": seed} if name in RANDOM else {}))
    shape = (8, 1, 5) if name.startswith("STFT") else (4, 4)
    with torch.device("meta"):
        values = initializer(shape, "bfloat16")
    assert values.is_meta
    assert values.shape == shape
    assert values.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("name", RANDOM)
def test_dtypes(name, dtype):
    values = getattr(initializers, name)(seed=1)((30, 20), dtype)
    assert values.dtype == getattr(torch, dtype)
    assert values.isfinite().all()
    assert len(values.unique()) > 100


k = initializers
MISTAKES = [
    (lambda: k.get("he_norml"), "Unknown initializer 'he_norml'. Did you mean 'he_normal'?"),
    (lambda: k.get(3), "Expected an initializer, got int"),
    (lambda: k.GlorotUniform(sed=1), "unexpected argument 'sed'. Did you mean 'seed'?"),
    (lambda: k.GlorotUniform(seed="a"), "Expected a seed, got str"),
    (lambda: k.VarianceScaling(0), "got scale=0. A positive number"),
    (lambda: k.VarianceScaling(mode="fan_inn"), "Unknown mode 'fan_inn'. Did you mean 'fan_in'?"),
    (lambda: k.VarianceScaling(distribution="unifrom"), "Did you mean 'uniform'?"),
    (lambda: k.Identity()((2,)), "Identity was given for a weight of shape (2,)"),
    (lambda: k.Orthogonal()((2,)), "Two axes or more"),
    (lambda: k.get(np.eye(2))((3, 3)), "shape (2, 2) was given for a weight of shape (3, 3)"),
    (lambda: k.get(np.ones(2))((2, 2)), "The shapes must be equal"),
    (lambda: k.RandomNormal()((2,), "int32"), "draws floats and got dtype='int32'"),
    (lambda: k.RandomNormal()((None, 2)), "got shape=(None, 2)"),
    (lambda: k.Zeros()((2,), "flaot32"), "Unknown dtype 'flaot32'. Did you mean 'float32'?"),
    (lambda: k.STFT("reel"), "Unknown side 'reel'"),
    (lambda: k.STFT(window="han"), "Did you mean 'hann'?"),
    (lambda: k.STFT()((3, 3)), "frame length, 1"),
    (lambda: k.STFT(window=[1.0])((3, 1, 3)), "for frames of 3"),
]


@pytest.mark.parametrize(("call", "text"), MISTAKES)
def test_mistakes(call, text):
    with pytest.raises((ValueError, TypeError), match=re.escape(text)):
        call()
