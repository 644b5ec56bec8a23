"""Embedding and Masking against the installed Keras; dtypes, masks, refusals."""

import re

import keras
import numpy as np
import pytest
import torch
from _layers import check, check_signature

import lightkeras as lk
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
    check_signature("ReversibleEmbedding")


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


REVERSIBLE = [
    {},
    {"tie_weights": False},
    {"mask_zero": True, "logit_soft_cap": 2.0},
    {"tie_weights": False, "embeddings_regularizer": "l2", "embeddings_constraint": "max_norm"},
    {"reverse_dtype": "float32", "name": "words"},
    {"embeddings_initializer": "ones", "trainable": False},
]


@pytest.mark.parametrize("kwargs", REVERSIBLE)
def test_reversible(kwargs):
    def make(k):
        return k.layers.ReversibleEmbedding(9, 4, **kwargs)

    ours = check(make, IDS, unknown=[(None, None), (None,)])
    theirs = make(keras)
    theirs(IDS)
    theirs.set_weights(ours.get_weights())
    for shape in (3, 4), (3, 5, 4):
        x = [torch.randn(shape).requires_grad_() for _ in range(2)]
        x[1].data.copy_(x[0].data)
        one, two = (k(v, reverse=True) for k, v in zip((ours, theirs), x, strict=True))
        assert one.dtype == two.dtype
        torch.testing.assert_close(one, two)
        one.sum().backward(), two.sum().backward()
        torch.testing.assert_close(x[0].grad, x[1].grad)
        assert ours(lk.Input(shape[1:]), reverse=True).shape == (None, *shape[1:-1], 9)


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("reverse_dtype", [None, "float32"])
def test_reversible_in_half_precision(policy, reverse_dtype):
    made = []
    for k in (keras, lk):
        layer = k.layers.ReversibleEmbedding(
            9, 4, mask_zero=True, dtype=policy, reverse_dtype=reverse_dtype
        )
        vectors = layer(IDS)
        layer.set_weights([np.linspace(-1, 1, 36).reshape(9, 4)])
        vectors = layer(IDS)
        made.append((vectors, layer(vectors, reverse=True), vectors._keras_mask))
    for theirs, ours in zip(*made, strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("file", ["m.keras", "m.weights.h5"])
def test_reversible_in_files(tie, file, tmp_path):
    """A model that reads and writes ids, in a file of Keras and back."""

    def model(k):
        x = k.Input((5,), dtype="int32")
        layer = k.layers.ReversibleEmbedding(9, 4, tie_weights=tie)
        return k.Model(x, layer(k.layers.Dense(4)(layer(x)), reverse=True))

    models = {"ours": model(lk), "theirs": model(keras)}
    for here, there in ("ours", "theirs"), ("theirs", "ours"):
        wanted = models[here].predict(IDS, verbose=0)
        if file.endswith("h5"):
            models[here].save_weights(tmp_path / file)
            other = models[there]
            other.load_weights(tmp_path / file)
        else:
            models[here].save(tmp_path / file)
            k = lk if there == "ours" else keras
            other = k.models.load_model(tmp_path / file)
        np.testing.assert_allclose(other.predict(IDS, verbose=0), wanted, atol=1e-6)
        models[here].set_weights([w + 0.1 for w in models[here].get_weights()])


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
    (lambda: layers.ReversibleEmbedding(9, 2, logit_soft_cap=0), "(logit_soft_cap=0)", "30.0"),
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
