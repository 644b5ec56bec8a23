"""Layers of several inputs against the installed Keras: broadcasting, masks, refusals."""

import re

import keras
import numpy as np
import pytest
import torch
from _layers import OURS, check, check_signature

from lightkeras import layers

ELEMENTWISE = ["Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"]
SHAPES = [
    [(2, 3), (2, 3)],
    [(2, 3, 4), (2, 3, 4), (2, 3, 4)],
    [(2, 3, 4), (2, 1, 4)],
    [(2, 3, 1), (2, 1, 4)],
    [(2, 4), (2, 3, 4)],
    [(2, 3, 4), (2, 4)],
    [(2, 1), (2, 3, 4, 5), (2, 4, 1)],
]


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name, shapes):
    shapes = shapes[:2] if name == "Subtract" else shapes
    check(lambda k: getattr(k.layers, name)(), shapes)


@pytest.mark.parametrize(
    ("axis", "shapes"),
    [
        (-1, [(2, 3), (2, 5)]),
        (1, [(2, 3, 4), (2, 1, 4), (2, 5, 4)]),
        (-2, [(2, 3, 4), (2, 1, 4)]),
        (3, [(2, 3, 4, 5), (2, 3, 4, 1)]),
        (0, [(2, 3), (4, 3)]),
    ],
)
def test_concatenate(axis, shapes):
    check(lambda k: k.layers.Concatenate(axis=axis), shapes, symbolic=axis != 0)


DOTS = [
    (1, [(2, 3), (2, 3)]),
    (-1, [(2, 3), (2, 3)]),
    (1, [(2, 3), (2, 3, 4)]),
    ((1, 2), [(2, 3), (2, 5, 3)]),
    (1, [(2, 3, 5), (2, 3)]),
    ((2, 1), [(2, 5, 3), (2, 3, 4)]),
    ((1, 2), [(2, 3, 5), (2, 10, 3)]),
    (2, [(2, 4, 3), (2, 5, 3)]),
    (-1, [(2, 4, 3), (2, 5, 3)]),
    ((-2, 1), [(2, 4, 3, 5), (2, 3, 6)]),
    ((3, 2), [(2, 4, 3, 5), (2, 2, 5, 6)]),
]


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("axes", "shapes"), DOTS)
def test_dot(axes, shapes, normalize):
    # Keras's own symbolic shapes are wrong for negative pairs and where nothing rests.
    plain = isinstance(axes, int) or min(axes) > 0
    check(lambda k: k.layers.Dot(axes, normalize=normalize), shapes, symbolic=plain)


def test_dot_of_a_zero_vector_is_zero():
    check(
        lambda k: k.layers.Dot(1, normalize=True),
        [np.zeros((2, 3), "float32"), (2, 3)],
        gradients=False,
    )


@pytest.mark.parametrize("name", [*ELEMENTWISE, "Concatenate", "Dot"])
def test_signatures(name):
    check_signature(name)


@pytest.mark.parametrize("name", [*ELEMENTWISE, "Concatenate"])
@pytest.mark.parametrize(
    "dtypes", [("int32", "int32"), ("int64", "float32"), ("float64", "float32")]
)
def test_dtypes(name, dtypes):
    arrays = [np.arange(6).reshape(2, 3).astype(d) for d in dtypes]
    if name in ("Maximum", "Minimum", "Concatenate") and dtypes[0] == "int64":
        pytest.skip("Keras's result type differs from torch's here")
    check(lambda k: getattr(k.layers, name)(), arrays, gradients=False, symbolic=False)


MASKS = [
    ([True, True, False], [True, False, False]),
    ([True, True, False], None),
    (None, [True, False, False]),
    (None, None),
]


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("name", [*ELEMENTWISE, "Concatenate", "Dot"])
def test_masks(name, masks):
    masks = [None if m is None else np.array([m, m[::-1]]) for m in masks]
    arguments = {"axes": 2} if name == "Dot" else {}
    check(
        lambda k: getattr(k.layers, name)(**arguments),
        [(2, 3, 4), (2, 3, 4)],
        mask=masks,
        symbolic=False,
    )


def test_concatenated_masks_along_time():
    masks = [np.array([[True, False]] * 2), np.array([[False, True, True]] * 2)]
    check(lambda k: k.layers.Concatenate(1), [(2, 2, 4), (2, 3, 4)], mask=masks, symbolic=False)


@pytest.mark.parametrize("name", [*ELEMENTWISE, "Concatenate", "Dot"])
def test_functions(name):
    x, y = torch.randn(2, 3), torch.randn(2, 3)
    arguments = {"axes": 1} if name == "Dot" else {}
    ours, theirs = (getattr(k.layers, name.lower())([x, y], **arguments) for k in (OURS, keras))
    torch.testing.assert_close(ours, theirs)
    symbolic = getattr(layers, name.lower())([layers.Input((3,)), layers.Input((3,))], **arguments)
    assert symbolic.shape == (None, *ours.shape[1:])


def test_unknown_axes():
    x, y = layers.Input((None, 4)), layers.Input((5, 4))
    assert layers.Add()([x, x]).shape == (None, None, 4)
    assert layers.Concatenate(1)([x, y]).shape == (None, None, 4)
    assert layers.Concatenate()([y, y]).shape == (None, 5, 8)


def test_inputs_are_left_alone():
    x, y = torch.ones(2, 3), torch.ones(2, 3)
    for name in ELEMENTWISE:
        getattr(layers, name)()([x, y])
    assert torch.equal(x, torch.ones(2, 3)) and torch.equal(y, torch.ones(2, 3))


X, Y = torch.zeros(2, 3), torch.zeros(2, 4)
REFUSALS = [
    (lambda: layers.Add()(X), "Add 'add' got one tensor", "Add()([x, y])"),
    (lambda: layers.Add()(layers.Input((3,))), "got one tensor", "It takes a list of tensors"),
    (lambda: layers.Add()([X, Y]), "the shapes (2, 3), (2, 4)", "equal, or 1, on each axis"),
    (lambda: layers.Add()([X, torch.zeros(3, 3)]), "(3, 3)", "equal, or 1, on each axis"),
    (lambda: layers.Subtract()([X, X, X]), "got 3 inputs", "a list of 2 tensors"),
    (lambda: layers.Concatenate()(X), "got one tensor", "Concatenate()([x, y])"),
    (lambda: layers.Concatenate(0)([X, Y]), "(2, 3), (2, 4)", "differ on axis 0 only"),
    (lambda: layers.Concatenate()([X, X[..., None]]), "(2, 3, 1)", "differ on axis -1 only"),
    (lambda: layers.Dot(axes=1)([X, Y]), "(2, 3), (2, 4)", "same size on axes 1 and 1"),
    (lambda: layers.Dot(axes=0)([X, X]), "axis 0, the batch", "Dot(axes=1)([x, y])"),
    (lambda: layers.Dot(axes=1)([X]), "got 1 inputs", "a list of 2 tensors"),
    (lambda: layers.Dot(axes="1"), "Dot(axes='1') is not an axis", "Dot(axes=1)"),
    (lambda: layers.Dot(axes=(1, 2, 3)), "Dot(axes=(1, 2, 3))", "or two of them"),
]


@pytest.mark.parametrize(("action", "given", "fix"), REFUSALS)
def test_refusals(action, given, fix):
    from lightkeras._registry import reset_names

    reset_names()
    with pytest.raises(ValueError, match=re.escape(given)) as error:
        action()
    assert fix in str(error.value)


@pytest.mark.parametrize("name", ["Add", "Subtract", "Maximum", "Concatenate"])
def test_a_built_layer_refuses_too(name):
    layer = getattr(layers, name)()
    layer([X, X])
    with pytest.raises(ValueError, match="got one tensor"):
        layer(X)
    with pytest.raises(ValueError, match=re.escape("the shapes (2, 3), (5, 4)")):
        layer([X, torch.zeros(5, 4)])


def test_subtract_takes_two():
    layer = layers.Subtract()
    layer([X, X])
    with pytest.raises(ValueError, match="got 3 inputs"):
        layer([X, X, X])
