"""Learning rate schedules against the installed Keras, over 50 steps."""

import copy
import inspect

import keras
import numpy as np
import pytest
import torch

from lightkeras.optimizers import schedules

CASES = [
    ("ExponentialDecay", (0.1, 7, 0.8), {}),
    ("ExponentialDecay", (0.1, 7, 0.8), {"staircase": True}),
    ("InverseTimeDecay", (0.1, 7, 0.8), {}),
    ("InverseTimeDecay", (0.1, 7, 0.8), {"staircase": True}),
    ("PiecewiseConstantDecay", ([10, 20, 40], [0.1, 0.05, 0.01, 0.001]), {}),
    ("PiecewiseConstantDecay", ([5.5], [1.0, 0.5]), {}),
    ("PolynomialDecay", (0.1, 20), {}),
    ("PolynomialDecay", (0.1, 20, 0.01, 2.0), {}),
    ("PolynomialDecay", (0.1, 20, 0.01, 0.5), {"cycle": True}),
    ("CosineDecay", (0.1, 30), {}),
    ("CosineDecay", (0.1, 30, 0.2), {}),
    ("CosineDecay", (0.01, 30), {"warmup_target": 0.1, "warmup_steps": 10}),
    ("CosineDecay", (0.01, 30, 0.1), {"warmup_target": 0.1, "warmup_steps": 7}),
    ("CosineDecayRestarts", (0.1, 9), {}),
    ("CosineDecayRestarts", (0.1, 9), {"t_mul": 1.0, "m_mul": 0.7}),
    ("CosineDecayRestarts", (0.1, 9), {"t_mul": 1.5, "m_mul": 0.7, "alpha": 0.1}),
]


def pair(name, args, kwargs):
    ours = getattr(schedules, name)(*args, **kwargs)
    return ours, getattr(keras.optimizers.schedules, name)(*args, **kwargs)


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES)
def test_values(name, args, kwargs):
    ours, theirs = pair(name, args, kwargs)
    mine = [ours(step) for step in range(51)]
    assert all(type(value) is float for value in mine)
    expected = [float(theirs(step)) for step in range(51)]
    np.testing.assert_allclose(mine, expected, rtol=2e-5, atol=1e-7)
    at_once = ours(torch.arange(51))
    assert at_once.shape == (51,)
    np.testing.assert_allclose(at_once, mine, rtol=2e-5, atol=1e-7)
    assert ours(torch.tensor(3)).shape == ()
    assert ours.at(17) == ours(17)


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _, _ in CASES))
def test_signature(name):
    mine, theirs = (
        inspect.signature(getattr(module, name).__init__)
        for module in (schedules, keras.optimizers.schedules)
    )
    assert mine == theirs


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES)
def test_config_goes_both_ways(name, args, kwargs):
    ours, theirs = pair(name, args, kwargs)
    assert ours.get_config() == theirs.get_config()
    config = schedules.serialize(ours)
    assert config == keras.optimizers.schedules.serialize(theirs)
    assert (
        keras.optimizers.schedules.deserialize(copy.deepcopy(config)).get_config()
        == ours.get_config()
    )
    assert schedules.deserialize(config).get_config() == ours.get_config()


class RootDecay(schedules.LearningRateSchedule):
    """A user's schedule, in torch."""

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, step):
        return self.scale * torch.rsqrt(step + 1.0)


class Warm(schedules.ExponentialDecay):
    """A user's change of a built-in schedule."""

    def __call__(self, step):
        return super().__call__(step) * torch.clamp(step / 10, max=1.0)


def test_schedule_of_ones_own():
    assert RootDecay(2.0).at(3) == 1.0
    assert RootDecay.from_config(RootDecay(2.0).get_config()).scale == 2.0
    assert Warm(1.0, 10, 0.5).at(10) == 0.5
    assert Warm(1.0, 10, 0.5).at(5) == pytest.approx(0.5**1.5)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), ValueError, "decay_steps=0"),
        (lambda: schedules.CosineDecay(0.1, -5), ValueError, "decay_steps=-5"),
        (lambda: schedules.CosineDecayRestarts(0.1, 0), ValueError, "first_decay_steps=0"),
        (
            lambda: schedules.PiecewiseConstantDecay([1], [0.1]),
            ValueError,
            "1 boundaries and 1 values",
        ),
        (lambda: schedules.CosineDecay(0.1, 5, alhpa=0.1), TypeError, "Did you mean 'alpha'"),
        (lambda: schedules.LearningRateSchedule()(1), TypeError, "no __call__"),
        (
            lambda: schedules.deserialize({"class_name": "CosinDecay", "config": {}}),
            ValueError,
            "Did you mean 'CosineDecay'",
        ),
    ],
)
def test_refusals(call, error, text):
    with pytest.raises(error, match=text):
        call()
