"""Random functions: Keras's signatures and distributions; seeds, state, devices of our own."""

import copy
import inspect
import pickle
import re

import keras
import numpy as np
import pytest
import torch

from lightkeras import random
from lightkeras._device import default_device, use_device

N = 20_000
LOGITS = torch.log(torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]]))

# (name, arguments without the seed)
CASES = [
    ("normal", ((N,),)),
    ("normal", ((N,), 2.0, 0.5)),
    ("truncated_normal", ((N,), -1.0, 3.0)),
    ("uniform", ((N,),)),
    ("uniform", ((N,), -4.0, 2.0)),
    ("gamma", ((N,), 2.5)),
    ("beta", ((N,), 2.0, 5.0)),
    ("binomial", ((N,), 10, 0.3)),
    ("randint", ((N,), -3, 9)),
    ("categorical", (LOGITS, N)),
    ("dropout", (torch.ones(N), 0.3)),
    ("dropout", (torch.ones(N // 10, 10), 0.3, (None, 1))),
    ("shuffle", (torch.arange(N),)),
]


@pytest.mark.parametrize("name", [n for n in dir(keras.random) if n[0] != "_"])
def test_same_names_and_signatures(name):
    ours, theirs = getattr(random, name), getattr(keras.random, name)
    if name == "SeedGenerator":
        assert list(inspect.signature(ours.__init__).parameters)[:3] == ["self", "seed", "name"]
    else:
        assert inspect.signature(ours) == inspect.signature(theirs)


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_distributions(name, arguments):
    ours = getattr(random, name)(*arguments, seed=1)
    theirs = getattr(keras.random, name)(*arguments, seed=1)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    a, b = np.asarray(ours, "float64"), np.asarray(theirs, "float64")
    rows = (a, b) if name == "categorical" else (a.reshape(1, -1), b.reshape(1, -1))
    for x, y in zip(*rows, strict=True):
        spread = y.std() or 1
        np.testing.assert_allclose(x.mean(), y.mean(), atol=0.05 * spread)
        np.testing.assert_allclose(x.std(), y.std(), rtol=0.04)
        parts = [0.05, 0.25, 0.5, 0.75, 0.95]
        np.testing.assert_allclose(
            np.quantile(x, parts), np.quantile(y, parts), atol=0.06 * spread + (name == "binomial")
        )


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_three_kinds_of_seeds(name, arguments):
    draw = lambda seed: getattr(random, name)(*arguments, seed=seed)
    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))

    generator = random.SeedGenerator(3)
    first, second = draw(generator), draw(generator)
    assert torch.equal(first, draw(3))
    assert not torch.equal(first, second)
    assert not torch.equal(second, draw(4))  # neighbours do not overlap
    assert not torch.equal(draw(random.SeedGenerator(4)), second)

    before = torch.get_rng_state()
    draw(3), draw(generator)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(5)
    first = draw(None)
    assert not torch.equal(first, draw(None))
    torch.manual_seed(5)
    assert torch.equal(first, draw(None))


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_on_the_meta_device(name, arguments):
    with torch.device("meta"):
        meta = [a.to("meta") if isinstance(a, torch.Tensor) else a for a in arguments]
        for seed in (None, 3):
            drawn = getattr(random, name)(*meta, seed=seed)
            assert drawn.is_meta
    expected = getattr(random, name)(*arguments, seed=3)
    assert (drawn.shape, drawn.dtype) == (expected.shape, expected.dtype)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize(
    "name", ["normal", "truncated_normal", "uniform", "gamma", "beta", "binomial"]
)
def test_dtypes(name, dtype):
    arguments = {"gamma": (2.0,), "beta": (2.0, 3.0), "binomial": (9, 0.5)}.get(name, ())
    drawn = getattr(random, name)((500,), *arguments, dtype=dtype, seed=1)
    assert drawn.dtype == getattr(torch, dtype)
    assert drawn.isfinite().all()


def test_state_continues_exactly():
    generator = random.SeedGenerator(11)
    random.normal((3,), seed=generator)
    for other in (
        copy.deepcopy(generator),
        pickle.loads(pickle.dumps(generator)),
        random.SeedGenerator(0),
    ):
        other.set_state(np.array(generator.get_state()))
        ahead = copy.copy(generator)
        assert torch.equal(random.normal((3,), seed=other), random.normal((3,), seed=ahead))


def test_seed_generator_config():
    keras.utils.clear_session()
    ours, theirs = random.SeedGenerator(5, name="g"), keras.random.SeedGenerator(5, name="g")
    assert ours.get_config() == theirs.get_config()
    assert random.SeedGenerator.from_config(theirs.get_config()).get_state() == (5, 0)
    free = random.SeedGenerator()
    assert free.get_config()["seed"] is None
    torch.manual_seed(1)
    first = free.get_state()
    torch.manual_seed(1)
    assert random.SeedGenerator().get_state() == first
    assert free.get_state() == first


def test_bounds():
    assert random.truncated_normal((N,), 1.0, 2.0, seed=1).sub(1).abs().max() <= 4
    drawn = random.randint((N,), 2, 5, seed=1)
    assert sorted(drawn.unique().tolist()) == [2, 3, 4]
    assert random.normal((), seed=1).shape == ()


def test_parameters_broadcast():
    drawn = random.gamma((1000, 2), torch.tensor([1.0, 100.0]), seed=1)
    np.testing.assert_allclose(drawn.mean(0), [1, 100], rtol=0.1)


def test_dropout():
    x = torch.arange(1.0, 13).reshape(3, 4)
    assert torch.equal(random.dropout(x, 0), x)
    assert torch.equal(random.dropout(x, 1, seed=1), torch.zeros_like(x))
    rows = random.dropout(torch.ones(50, 4), 0.5, noise_shape=(None, 1), seed=1)
    assert all(len(row.unique()) == 1 for row in rows)
    assert set(rows.unique().tolist()) == {0.0, 2.0}


def test_shuffle_moves_whole_slices():
    x = torch.arange(12).reshape(3, 4)
    for axis in (0, 1, -1):
        moved = random.shuffle(x, axis, seed=2)
        rows = {tuple(r.tolist()) for r in x.unbind(axis)}
        assert {tuple(r.tolist()) for r in moved.unbind(axis)} == rows


def test_use_device():
    with use_device("cpu"):
        assert default_device().type == "cpu"
        with torch.device("meta"):
            assert default_device().type == "meta"
    with use_device("meta"):
        assert random.normal((2,), seed=1).is_meta
    assert default_device() == torch.get_default_device()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    with use_device("cuda"):
        for name, arguments in CASES:
            arguments = [a.cuda() if isinstance(a, torch.Tensor) else a for a in arguments]
            drawn = getattr(random, name)(*arguments, seed=3)
            assert drawn.is_cuda
            assert torch.equal(drawn, getattr(random, name)(*arguments, seed=3))


MISTAKES = [
    (lambda: random.uniform((2,), seed=1.5), "Expected a seed, got float"),
    (lambda: random.SeedGenerator("a"), "Expected a seed, got str"),
    (
        lambda: random.uniform((2,), dtype="int32"),
        "random.uniform() draws floats and got dtype='int",
    ),
    (lambda: random.randint((2,), 0, 5, dtype="float32"), "draws integers and got dtype='float32'"),
    (lambda: random.randint((2,), 5, 5), "got minval=5 and maxval=5"),
    (lambda: random.normal((None, 3)), "random.normal() got shape=(None, 3)"),
    (lambda: random.normal((-1,)), "got shape=(-1,)"),
    (lambda: random.categorical([1.0, 2.0], 3), "got logits of shape (2,)"),
    (lambda: random.dropout(torch.ones(3), 50), "random.dropout() got rate=50"),
    (lambda: random.dropout(torch.ones(3), 0.5, (1, 3)), "got noise_shape=(1, 3)"),
    (lambda: random.SeedGenerator(sed=1), "unexpected argument 'sed'. Did you mean 'seed'?"),
]


@pytest.mark.parametrize(("call", "text"), MISTAKES)
def test_mistakes(call, text):
    with pytest.raises((ValueError, TypeError), match=re.escape(text)):
        call()
