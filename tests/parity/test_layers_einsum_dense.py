"""EinsumDense against the installed Keras: equations of every form, weights, refusals."""

import keras
import numpy as np
import pytest
import torch
from _layers import OURS, check, check_signature

from lightkeras import layers

WITHOUT = ("lora_rank", "lora_alpha", "gptq_unpacked_column_size", "quantization_config")

# equation, output_shape, bias_axes, input shape
EQUATIONS = [
    ("ab,bc->ac", 6, None, (3, 4)),
    ("ab,bc->ac", 6, "c", (3, 4)),
    ("ab,cb->ac", (6,), "c", (3, 4)),
    ("abc,cd->abd", (None, 6), "d", (3, 5, 4)),
    ("abc,cd->abd", (5, 6), "bd", (3, 5, 4)),
    ("abc,cd->abd", (5, 6), "b", (3, 5, 4)),
    ("...x,xy->...y", 6, "y", (3, 4)),
    ("...x,xy->...y", 6, "y", (3, 2, 2, 4)),  # Keras's symbolic shape turns hidden axes around
    ("abc,cde->abde", (None, 2, 3), "de", (3, 5, 4)),
    ("abc,cde->abde", (None, 2, 3), "e", (3, 5, 4)),
    ("abc,cde->abde", (None, 2, 3), "d", (3, 5, 4)),
    ("abc,ecd->abde", (None, 2, 3), "de", (3, 5, 4)),
    ("abcd,cde->abe", (None, 6), "e", (3, 5, 2, 4)),
    ("abcd,dce->abe", (None, 6), "e", (3, 5, 2, 4)),
    ("abcd,cdef->abef", (None, 2, 3), "ef", (3, 5, 2, 4)),
    ("...ab,abc->...c", 6, "c", (3, 5, 2, 4)),
    # no plain matrix: axes that stay, are summed, come first, or stand before the dots
    ("abc,bcd->abd", (5, 6), "d", (3, 5, 4)),
    ("abc,bd->adc", (6, 4), "dc", (3, 5, 4)),
    ("abc,cd->adb", (6, 5), "d", (3, 5, 4)),
    ("abc,bcd->ad", 6, "d", (3, 5, 4)),
    ("abc,bd->ad", 6, "d", (3, 5, 4)),
    ("ab...,bc->ac...", 6, "c", (3, 4, 5)),
    ("ab...,bc->ac...", 6, None, (3, 4, 5, 2)),
    ("abc,c->abc", (5, 4), None, (3, 5, 4)),
]


def ids(row):
    return f"{row[0]} {row[2]}"


@pytest.mark.parametrize("row", EQUATIONS, ids=ids)
def test_equations(row):
    equation, output_shape, bias_axes, shape = row
    check(lambda k: k.layers.EinsumDense(equation, output_shape, bias_axes=bias_axes), shape)


OPTIONS = [
    {"activation": "relu"},
    {"activation": "softmax", "name": "heads"},
    {"kernel_regularizer": "l2", "bias_regularizer": "l2", "activity_regularizer": "l2"},
    {"kernel_constraint": "max_norm", "bias_constraint": "non_neg"},
    {"kernel_initializer": "ones", "bias_initializer": "ones"},
    {"trainable": False, "dtype": "float64"},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("equation", ["abc,cde->abde", "abc,bcde->abde"])
def test_options(equation, options):
    sizes = (5, 2, 3)
    check(
        lambda k: k.layers.EinsumDense(equation, sizes, bias_axes="de", **options),
        (3, 5, 4),
        unknown=[(None, 5, 4)],
    )


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
def test_policies(policy):
    check(
        lambda k: k.layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de", dtype=policy),
        (3, 5, 4),
        rtol=2e-2,
        atol=2e-2,
    )


def test_signature():
    check_signature("EinsumDense", WITHOUT)


def test_the_parameters_are_those_of_a_linear_layer():
    layer = layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de")
    x = torch.randn(3, 5, 4)
    y = layer(x)
    assert {n: tuple(p.shape) for n, p in layer.named_parameters()} == {
        "weight": (6, 4),
        "bias": (2, 3),
    }
    linear = torch.nn.functional.linear(x, layer.weight, layer.bias.flatten())
    torch.testing.assert_close(y, linear.view(3, 5, 2, 3))
    assert layer.kernel.shape == (4, 2, 3)
    layer.kernel = np.ones((4, 2, 3))
    assert (layer.weight == 1).all()


@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal", "lecun_uniform"])
@pytest.mark.parametrize("equation", ["abc,cde->abde", "abcd,cde->abe"])
def test_the_initializer_knows_the_axes(name, equation):
    """Keras tells it which axes are inputs: the spread of the values follows from it."""
    shape, sizes = (
        ((2, 3, 40), (None, 20, 30)) if "abc," in equation else ((2, 3, 20, 30), (None, 40))
    )
    spread = []
    for k in (OURS, keras):
        layer = k.layers.EinsumDense(equation, sizes, kernel_initializer=name)
        layer.build(shape)
        spread.append(float(np.std(np.asarray(layer.get_weights()[0]))))
    assert spread[0] == pytest.approx(spread[1], rel=0.05)


REFUSALS = [
    (lambda: layers.EinsumDense("ab,bc", 3), "has not the form of an equation"),
    (lambda: layers.EinsumDense(3, 3), "has not the form of an equation"),
    (lambda: layers.EinsumDense("...ab,bc->ac...", 3), "has not the form of an equation"),
    (lambda: layers.EinsumDense("ab,bc->ad", 3), "an axis 'd' whose size follows from nothing"),
    (lambda: layers.EinsumDense("ab,bcz->ac", 3), "an axis 'z' whose size follows from nothing"),
    (lambda: layers.EinsumDense("ab,bc->ac", 3, bias_axes="b"), "an axis 'b' whose size"),
    (lambda: layers.EinsumDense("ab,bc->ac", "3"), "EinsumDense(output_shape='3') is not a size"),
    (lambda: layers.EinsumDense("ab,bc->ac", 0), "EinsumDense(output_shape=0) is not a size"),
    (
        lambda: layers.EinsumDense("ab,bc->ac", (None,))(torch.zeros(2, 3)),
        "The size of axis 'c' of the kernel follows from neither",
    ),
    (lambda: layers.EinsumDense("ab,bc->ac", 3)(torch.zeros(2, 3, 4)), "of shape (2, 3, 4)"),
    (lambda: layers.EinsumDense("abc,cd->abd", 3)(torch.zeros(2, 3, 4)), "output_shape=(3,)"),
    (lambda: layers.EinsumDense("abc,cd->abd", (7, 3))(torch.zeros(2, 5, 4)), "one size"),
]


@pytest.mark.parametrize(("make", "words"), REFUSALS)
def test_refusals(make, words):
    with pytest.raises(ValueError) as error:
        make()
    assert words in str(error.value)


def test_a_built_layer_refuses_other_ranks():
    layer = layers.EinsumDense("abc,cd->abd", (None, 3))
    layer(torch.zeros(2, 5, 4))
    with pytest.raises(ValueError, match=r"(?s)EinsumDense 'einsum_dense.*shape \(2, 4\).*3 axes"):
        layer(torch.zeros(2, 4))
