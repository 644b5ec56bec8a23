"""Embedding and Masking against the installed Keras; dtypes, masks, refusals."""

import re

import keras
import numpy as np
import pytest
import torch
from _layers import check, check_signature

from lightkeras import layers

IDS = np.random.default_rng(0).integers(0, 9, (3, 5))

TABLE = [
    {},
    {"mask_zero": True},
    {"embeddings_initializer": "ones", "embeddings_regularizer": "l2"},
    {"embeddings_constraint": "max_norm", "name": "words", "trainable": False},
    {"dtype": "float64"},
]


@pytest.mark.parametrize("kwargs", TABLE)
def test_as_keras(kwargs):
    check(lambda k: k.layers.Embedding(9, 4, **kwargs), IDS, unknown=[(None, None), (None,)])


@pytest.mark.parametrize("kind", ["int32", "int64", "uint8", "int16", "float32"])
def test_any_numbers_are_ids(kind):
    check(lambda k: k.layers.Embedding(9, 4), IDS.astype(kind), gradients=False)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
def test_any_number_of_axes(shape):
    check(lambda k: k.layers.Embedding(9, 4), np.ones(shape, "int64"))


def test_signature():
    check_signature("Embedding", without=("lora_rank", "lora_alpha", "quantization_config"))
    check_signature("Masking")


def test_initial_weights():
    table = np.random.default_rng(1).random((9, 4)).astype("float32")
    for given in (table, [table]):
        ours, theirs = (
            k.layers.Embedding(9, 4, weights=given) for k in (__import__("lightkeras"), keras)
        )
        assert ours.built and theirs.built
        np.testing.assert_array_equal(ours.get_weights()[0], theirs.get_weights()[0])
        np.testing.assert_array_equal(ours(IDS).detach(), table[IDS])
    frozen = layers.Embedding(9, 4, weights=[table], trainable=False)
    assert not frozen(IDS).requires_grad


def test_parameter_is_that_of_torch():
    layer = layers.Embedding(9, 4)
    layer(IDS)
    other = torch.nn.Embedding(9, 4)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(torch.tensor(IDS)), layer(IDS))
    assert layer.embeddings.shape == (9, 4)


@pytest.mark.parametrize("move", ["half", "double", "bfloat16"])
def test_ids_stay_ids_when_the_weights_change_their_type(move):
    layer = layers.Embedding(9000, 4)
    ids = torch.tensor([[8999, 8191]])
    expected = layer(ids)
    moved = getattr(layer, move)()
    assert moved(ids).dtype is getattr(
        torch, {"half": "float16", "double": "float64"}.get(move, move)
    )
    torch.testing.assert_close(moved(ids).float(), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    ours = check(
        lambda k: k.layers.Embedding(9, 4, dtype=policy, mask_zero=True), IDS, rtol=1e-2, atol=1e-2
    )
    assert ours.weight.dtype is torch.float32


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_masking(value):
    x = np.random.default_rng(0).integers(0, 3, (4, 6, 2)).astype("float32")
    x[0, :2] = value
    ours = check(lambda k: k.layers.Masking(value), x, unknown=[(None, None, 2)])
    y = ours(x)
    assert torch.equal(y._keras_mask, torch.tensor((x != value).any(-1)))


def test_masks_travel_to_the_layers_after():
    ids = np.array([[3, 4, 0, 0], [1, 0, 2, 0]])

    def run(k, table):
        embed, drop, last = (
            k.layers.Embedding(9, 4, mask_zero=True),
            k.layers.Dropout(0.5),
            k.layers.LSTM(3),
        )
        last(drop(embed(ids)))
        embed.set_weights([table])
        last.set_weights([np.full(w.shape, 0.1) for w in last.weights])
        return last(drop(embed(ids)))

    table = np.random.default_rng(0).normal(size=(9, 4))
    import lightkeras

    ours, theirs = run(lightkeras, table), run(keras, table)
    np.testing.assert_allclose(ours.detach(), theirs.detach(), atol=1e-6)


def test_old_input_length():
    with pytest.warns(UserWarning, match="'input_length' is an old Keras spelling"):
        layer = layers.Embedding(9, 4, input_length=7)
    assert layer(IDS).shape == (3, 5, 4)


OUTSIDE = "id 20000 in the input of 'words': Embedding(20000) takes 0..19999"
REFUSALS = [
    (lambda: layers.Embedding(20000, 2, name="words")(np.array([[1, 20000]])), OUTSIDE, "plus 1"),
    (lambda: layers.Embedding(9, 2)(torch.tensor([[-1, 3]])), "id -1 in the input", "1 of 2 ids"),
    (lambda: layers.Embedding(0, 2), "Embedding(input_dim=0) is not a size", "input_dim=32"),
    (lambda: layers.Embedding(9, 2.0), "Embedding(output_dim=2.0)", "output_dim=32"),
    (lambda: layers.Embedding(True, 2), "Embedding(input_dim=True)", "whole number"),
    (lambda: layers.Embedding(9, 2, weights=[np.ones((9, 3))]), "shape (9, 2)", "(9, 3)"),
]


@pytest.mark.parametrize(("action", "given", "fix"), REFUSALS)
def test_refusals(action, given, fix):
    with pytest.raises(ValueError, match=re.escape(given)) as error:
        action()
    assert fix in str(error.value)


def test_the_sentence_comes_on_the_fast_path_too():
    layer = layers.Embedding(9, 2)
    layer(torch.tensor([1]))
    with pytest.raises(ValueError, match=re.escape("takes 0..8")):
        layer(torch.tensor([9]))
