"""Regularizers and constraints against the installed Keras."""

import inspect
import re

import keras
import numpy as np
import pytest
import torch

from lightkeras import constraints, regularizers

MATRIX = np.random.default_rng(0).normal(0, 2, (5, 4)).astype("float32")
KERNEL = np.random.default_rng(1).normal(0, 2, (3, 3, 2, 4)).astype("float32")

CASES = [
    (lambda k: k.regularizers.L1(0.3), KERNEL),
    (lambda k: k.regularizers.L1(), KERNEL),
    (lambda k: k.regularizers.L2(0.3), KERNEL),
    (lambda k: k.regularizers.L1L2(0.1, 0.2), KERNEL),
    (lambda k: k.regularizers.L1L2(l2=0.2), KERNEL),
    (lambda k: k.regularizers.L1L2(l1=0.2), KERNEL),
    (lambda k: k.regularizers.L1L2(), KERNEL),
    (lambda k: k.regularizers.L1L2(None, None), KERNEL),
    (lambda k: k.regularizers.OrthogonalRegularizer(0.5), MATRIX),
    (lambda k: k.regularizers.OrthogonalRegularizer(0.5, "columns"), MATRIX),
    (lambda k: k.constraints.MaxNorm(), MATRIX),
    (lambda k: k.constraints.MaxNorm(1.5, axis=1), MATRIX),
    (lambda k: k.constraints.MaxNorm(1.5, axis=[0, 1, 2]), KERNEL),
    (lambda k: k.constraints.NonNeg(), KERNEL),
    (lambda k: k.constraints.UnitNorm(), MATRIX),
    (lambda k: k.constraints.UnitNorm(axis=[0, 1, 2]), KERNEL),
    (lambda k: k.constraints.MinMaxNorm(2.0, 3.0), MATRIX),
    (lambda k: k.constraints.MinMaxNorm(4.0, 5.0, rate=0.3, axis=1), MATRIX),
    (lambda k: k.constraints.Constraint(), MATRIX),
]


class Ours:
    regularizers = regularizers
    constraints = constraints


@pytest.mark.parametrize(("make", "x"), CASES)
def test_values_and_gradients(make, x):
    a, b = (torch.tensor(x, requires_grad=True) for _ in range(2))
    ours, theirs = make(Ours)(a), make(keras)(b)
    np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(make(Ours)(x), ours.detach(), rtol=1e-6)  # an array
    if ours.requires_grad:
        ours.square().sum().backward()
        theirs.square().sum().backward()
        np.testing.assert_allclose(a.grad, b.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("make", "x"), CASES[:-1])
def test_configs_cross_over(make, x):
    ours, theirs = make(Ours), make(keras)
    module = regularizers if isinstance(ours, regularizers.Regularizer) else constraints
    theirs_of = keras.regularizers if module is regularizers else keras.constraints
    a, b = module.serialize(ours), theirs_of.serialize(theirs)
    assert {**a, "config": None} == {**b, "config": None}
    assert a["config"].keys() == b["config"].keys()
    for name, value in b["config"].items():  # Keras rounds some factors to float32
        assert a["config"][name] == (pytest.approx(value) if isinstance(value, float) else value)
    back = module.deserialize(b)
    np.testing.assert_allclose(back(torch.tensor(x)), ours(torch.tensor(x)), rtol=1e-6)


@pytest.mark.parametrize("module", ["regularizers", "constraints"])
def test_same_names_and_signatures(module):
    ours, theirs = getattr(Ours, module), getattr(keras, module)
    for name in [n for n in dir(theirs) if n[0] != "_"]:
        a, b = getattr(ours, name), getattr(theirs, name)
        if not inspect.isclass(b):
            continue
        assert a.__name__ == b.__name__, name
        if "__init__" in vars(b):
            assert inspect.signature(a.__init__) == inspect.signature(b.__init__), name


@pytest.mark.parametrize(
    ("module", "name"),
    [("regularizers", n) for n in ("l1", "l2", "l1l2", "L1", "L2", "L1L2", "OrthogonalRegularizer")]
    + [("regularizers", "orthogonal_regularizer")]
    + [("constraints", n) for n in ("max_norm", "MaxNorm", "non_neg", "unit_norm", "min_max_norm")],
)
def test_names(module, name):
    ours, theirs = getattr(Ours, module).get(name), getattr(keras, module).get(name)
    assert type(ours).__name__ == type(theirs).__name__
    assert ours.get_config() == pytest.approx(theirs.get_config()) or (
        ours.get_config() == theirs.get_config()
    )


def test_get():
    for module in (regularizers, constraints):
        assert module.get(None) is None
        assert module.get(torch.sum) is torch.sum
    assert isinstance(regularizers.get(regularizers.l1_l2), regularizers.L1L2)
    assert isinstance(regularizers.get("l1_l2"), regularizers.L1L2)
    assert isinstance(constraints.get("maxnorm"), constraints.MaxNorm)
    assert isinstance(constraints.get(constraints.nonneg), constraints.NonNeg)


def test_weights_on_meta():
    w = torch.ones(3, 4, device="meta")
    assert regularizers.L1L2(0.1, 0.1)(w).is_meta
    assert constraints.MinMaxNorm()(w).shape == (3, 4)


r, c = regularizers, constraints
MISTAKES = [
    (lambda: r.get("l3"), "Unknown regularizer 'l3'."),
    (lambda: r.get("L1L3"), "Did you mean 'l1l2'?"),
    (lambda: r.get(0.01), "Expected a regularizer, got float"),
    (lambda: r.L2(-1), "L2() got l2=-1. A number of at least 0"),
    (lambda: r.L1(float("nan")), "L1() got l1=nan"),
    (lambda: r.L1L2(l2="a"), "L1L2() got l2=a"),
    (lambda: r.L2(True), "L2() got l2=True"),
    (lambda: r.OrthogonalRegularizer(factr=1), "Did you mean 'factor'?"),
    (lambda: r.OrthogonalRegularizer(mode="row"), "Unknown mode 'row'. Did you mean 'rows'?"),
    (lambda: r.OrthogonalRegularizer()(KERNEL), "got a tensor of shape (3, 3, 2, 4)"),
    (lambda: c.get("max_nrom"), "Unknown constraint 'max_nrom'. Did you mean 'max_norm'?"),
    (lambda: c.UnitNorm(axis=3)(MATRIX), "axis=3, its weight the shape (5, 4)"),
    (lambda: c.MaxNorm(axes=1), "unexpected argument 'axes'. Did you mean 'axis'?"),
]


@pytest.mark.parametrize(("call", "text"), MISTAKES)
def test_mistakes(call, text):
    with pytest.raises((ValueError, TypeError), match=re.escape(text)):
        call()
