"""Attention layers against the installed Keras: arguments, masks, scores, policies, files."""

import re

import keras
import numpy as np
import pytest
import torch
from _layers import OURS, check, check_signature

import lightkeras as lk
from lightkeras import layers
from lightkeras._registry import reset_names

Q, V, K = (3, 5, 8), (3, 4, 6), (3, 4, 8)
RNG = np.random.default_rng(0)
Q_MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], dtype=bool)
V_MASK = np.array([[1, 1, 0, 1], [0, 1, 1, 1], [1, 0, 0, 0]], dtype=bool)
MASK = RNG.random((3, 5, 4)) > 0.4
POLICIES = ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"]


# ---- one head ------------------------------------------------------------------------------------

LISTS = [[Q, K], [Q, (3, 4, 8), K], [Q, V, K]]
ONE = [
    ("Attention", {}),
    ("Attention", {"use_scale": True}),
    ("Attention", {"score_mode": "concat"}),
    ("Attention", {"score_mode": "concat", "use_scale": True, "name": "luong"}),
    ("Attention", {"dropout": 0.3, "seed": 3}),
    ("Attention", {"activity_regularizer": "l2"}),
    ("AdditiveAttention", {}),
    ("AdditiveAttention", {"use_scale": False}),
    ("AdditiveAttention", {"dropout": 0.3, "seed": 1, "trainable": False}),
]
CALLS = [{}, {"use_causal_mask": True}, {"return_attention_scores": True}]
CALLS += [{"use_causal_mask": True, "return_attention_scores": True}]


def one(name, kwargs):
    return lambda k: getattr(k.layers, name)(**kwargs)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("inputs", LISTS)
@pytest.mark.parametrize(("name", "kwargs"), ONE)
def test_one_head(name, kwargs, inputs, call):
    modes = (False,) if kwargs.get("dropout") else (False, True)
    check(one(name, kwargs), inputs, kwargs=call, modes=modes, symbolic=not call)


@pytest.mark.parametrize("masks", [(Q_MASK, V_MASK), (None, V_MASK), (Q_MASK, None)])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("name", "kwargs"), [ONE[1], ONE[3], ONE[6]])
def test_one_head_with_masks(name, kwargs, call, masks):
    for given in ({"mask": [m if m is None else torch.tensor(m) for m in masks]}, {}):
        carried = None if given else list(masks)
        check(
            one(name, kwargs),
            [Q, K],
            mask=carried,
            kwargs={**call, **given},
            symbolic=False,
            config=False,
        )


def test_a_query_that_sees_nothing():
    nothing = np.zeros((3, 4), dtype=bool)
    for call in CALLS:
        check(one("Attention", {}), [Q, K], mask=[None, nothing], kwargs=call, symbolic=False)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("name", "kwargs"), [ONE[1], ONE[3], ONE[6]])
def test_one_head_policies(name, kwargs, policy):
    for masks in (None, [Q_MASK, V_MASK]):
        check(
            one(name, {**kwargs, "dtype": policy}),
            [Q, K],
            mask=masks,
            symbolic=masks is None,
            rtol=3e-2,
            atol=3e-2,
        )


# ---- many heads ----------------------------------------------------------------------------------


def check_heads(make, *inputs, kwargs, **more):
    """Like `check`; the scores of Keras still carry the mask of the softmax that made them."""
    masks = not kwargs.get("return_attention_scores")
    return check(make, *inputs, kwargs=kwargs, masks=masks, **more)


def mha(**kwargs):
    return lambda k: k.layers.MultiHeadAttention(**{"num_heads": 2, "key_dim": 3, **kwargs})


def gqa(**kwargs):
    sizes = {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}
    return lambda k: k.layers.GroupQueryAttention(**{**sizes, **kwargs})


BOTH = [
    {},
    {"use_bias": False},
    {"use_gate": True},
    {"sliding_window": 2},
    {"kernel_regularizer": "l2", "bias_regularizer": "l2", "activity_regularizer": "l2"},
    {"kernel_constraint": "max_norm", "bias_constraint": "non_neg"},
    {"kernel_initializer": "ones", "bias_initializer": "ones", "use_gate": True},
    {"dtype": "float64", "trainable": False, "name": "heads"},
    {"dropout": 0.3, "seed": 3},
]
MHA = [
    {"value_dim": 5},
    {"output_shape": 7},
    {"output_shape": (2, 7), "value_dim": 4, "use_gate": True},
    {"attention_axes": 1},
    {"num_heads": 1},
]
GQA = [{"num_key_value_heads": 1}, {"num_key_value_heads": 4}]
ALL = [*((mha, o) for o in BOTH + MHA), *((gqa, o) for o in BOTH + GQA)]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("make", "options"), ALL)
def test_many_heads(make, options, call):
    modes = (False,) if options.get("dropout") else (False, True)
    check_heads(
        make(**options), Q, K, kwargs=call, modes=modes, symbolic=not call, rtol=2e-5, atol=2e-5
    )


@pytest.mark.parametrize("make", [mha, gqa])
def test_a_key_of_its_own(make):
    check(make(), Q, V if make is mha else K, K, symbolic=make is mha)


HIDING = [
    {"attention_mask": MASK},
    {"attention_mask": MASK.astype("float32")},
    {"attention_mask": MASK[:, None]},
    {"attention_mask": MASK[0]},
    {"value_mask": V_MASK},
    {"key_mask": V_MASK},
    {"query_mask": Q_MASK},
    {"value_mask": V_MASK, "query_mask": Q_MASK, "attention_mask": MASK, "use_causal_mask": True},
    {"value_mask": V_MASK, "use_causal_mask": True},
]


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("given", HIDING)
@pytest.mark.parametrize("make", [mha, gqa])
def test_masks_that_are_given(make, given, scores):
    options = [{}, {"sliding_window": 2}, {"dropout": 0.2}]
    for option in options:
        check_heads(
            make(**option),
            Q,
            K,
            kwargs={**given, "return_attention_scores": scores},
            modes=(False,),
            symbolic=False,
            config=False,
        )


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("masks", [(Q_MASK, V_MASK), (None, V_MASK), (Q_MASK, None)])
@pytest.mark.parametrize("make", [mha, gqa])
def test_masks_that_the_inputs_carry(make, masks, call):
    check_heads(make(), Q, K, mask=list(masks), kwargs=call, symbolic=False, config=False)


@pytest.mark.parametrize("make", [mha, gqa])
def test_three_masks_that_the_inputs_carry(make):
    masks = [Q_MASK, V_MASK, V_MASK[::-1].copy()]
    check(make(), Q, K, K, mask=masks, symbolic=False, config=False)


# input shapes, attention_axes
AXES = [
    ((2, 3, 4, 8), (2, 3, 4, 8), None),
    ((2, 3, 4, 8), (2, 3, 5, 8), 2),
    ((2, 3, 4, 8), (2, 3, 5, 8), -2),
    ((2, 3, 4, 8), (2, 5, 4, 8), (1,)),
    ((2, 3, 4, 8), (2, 5, 2, 8), (1, 2)),
    ((2, 2, 3, 4, 8), (2, 2, 3, 4, 8), None),
    ((2, 2, 3, 4, 8), (2, 2, 5, 4, 8), (2, 3)),
]


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize(("query", "value", "axes"), AXES)
def test_more_axes(query, value, axes, scores):
    check_heads(
        mha(attention_axes=axes, value_dim=2, use_gate=True),
        query,
        value,
        kwargs={"return_attention_scores": scores},
        symbolic=not scores,
    )


def test_masks_over_more_axes():
    for axes, shape in [(2, (2, 3, 4, 5)), ((1, 2), (2, 3, 4, 3, 5)), ((1, 2), (3, 4, 3, 5))]:
        mask = RNG.random(shape) > 0.3
        for scores in (False, True):
            check_heads(
                mha(attention_axes=axes),
                (2, 3, 4, 8),
                (2, 3, 5, 8),
                kwargs={"attention_mask": mask, "return_attention_scores": scores},
                symbolic=False,
            )


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("make", [mha, gqa])
def test_policies(make, policy):
    for masks in (None, [Q_MASK, V_MASK]):
        for call in CALLS[1:3]:
            check_heads(
                make(dtype=policy, use_gate=True),
                Q,
                K,
                mask=masks,
                kwargs=call,
                symbolic=False,
                rtol=3e-2,
                atol=3e-2,
            )


NAMES = ["Attention", "AdditiveAttention", "MultiHeadAttention", "GroupQueryAttention"]


@pytest.mark.parametrize("name", NAMES)
def test_signatures(name):
    check_signature(name)


# ---- what a transformer does ---------------------------------------------------------------------


def transformer(k):
    """An encoder and a decoder of ids, with masks from the embeddings."""
    source, target = k.Input((6,), dtype="int32"), k.Input((5,), dtype="int32")
    embed = k.layers.Embedding(11, 8, mask_zero=True)
    x = embed(source)
    x = k.layers.LayerNormalization()(x + k.layers.MultiHeadAttention(2, 4)(x, x))
    y = embed(target)
    y = k.layers.Add()([y, k.layers.MultiHeadAttention(2, 4)(y, y, use_causal_mask=True)])
    y = k.layers.Add()([y, k.layers.MultiHeadAttention(2, 4)(query=y, value=x, key=x)])
    y = k.layers.GroupQueryAttention(4, 4, 2)(y, x)
    y = k.layers.Attention(use_scale=True)([y, x, x])
    outputs = k.layers.Dense(11, activation="softmax")(k.layers.Dense(8, activation="relu")(y))
    return k.Model([source, target], outputs)


IDS = [
    RNG.integers(1, 11, (8, n)) * (np.arange(n) < RNG.integers(1, n + 1, (8, 1))) for n in (6, 5)
]


def twins():
    reset_names()
    keras.backend.clear_session()
    ours, theirs = transformer(lk_keras()), transformer(keras)
    ours.set_weights(theirs.get_weights())
    return ours, theirs


def lk_keras():
    found = OURS
    found.Model = lk.Model
    return found


def test_a_transformer_trains_as_in_keras():
    ours, theirs = twins()
    np.testing.assert_allclose(
        ours.predict(IDS, verbose=0), theirs.predict(IDS, verbose=0), atol=1e-5
    )
    losses = []
    for model in (ours, theirs):
        model.compile("sgd", "sparse_categorical_crossentropy")
        losses.append([float(model.train_on_batch(IDS, IDS[1])) for _ in range(5)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    for w, v in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(w, v, atol=1e-4)


@pytest.mark.parametrize("file", ["m.keras", "m.weights.h5"])
def test_files_both_ways(file, tmp_path):
    path = tmp_path / file
    for here, there in ("ours", "theirs"), ("theirs", "ours"):
        models = dict(zip(("ours", "theirs"), twins(), strict=True))
        wanted = models[here].predict(IDS, verbose=0)
        if file.endswith("h5"):
            models[here].save_weights(path)
            other = twins()[there == "theirs"]
            other.set_weights([w + 1 for w in other.get_weights()])
            other.load_weights(path)
        else:
            models[here].save(path)
            load = lk.models.load_model if there == "ours" else keras.models.load_model
            other = load(path)
        np.testing.assert_allclose(other.predict(IDS, verbose=0), wanted, atol=1e-5)


# ---- ours ----------------------------------------------------------------------------------------


def test_a_subclass_that_attends_in_its_own_way():
    def make(k):
        class Uniform(k.layers.MultiHeadAttention):
            def _compute_attention(
                self,
                query,
                key,
                value,
                attention_mask=None,
                training=None,
                return_attention_scores=False,
            ):
                seen.append(attention_mask)
                return value.mean(1, keepdim=True).expand_as(query), None

        return Uniform(2, 3, name="u")

    seen = []
    check(make, Q, Q, kwargs={"use_causal_mask": True}, symbolic=False, config=False)
    assert all(torch.equal(mask[0], torch.ones(5, 5).tril().bool()) for mask in seen)


def test_the_weights_of_torchs_own_module():
    x, layer = torch.randn(3, 5, 8), layers.MultiHeadAttention(2, 4)
    layer(x, x)
    other = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    parts = [layer.query_dense, layer.key_dense, layer.value_dense]
    with torch.no_grad():
        for part in parts:
            part.bias.normal_()
        other.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
        other.in_proj_bias.copy_(torch.cat([p.bias.flatten() for p in parts]))
        other.out_proj.weight.copy_(layer.output_dense.weight)
        other.out_proj.bias.copy_(layer.output_dense.bias)
    torch.testing.assert_close(layer(x, x), other(x, x, x, need_weights=False)[0])


@pytest.mark.parametrize("kind", ["MultiHeadAttention", "GroupQueryAttention"])
@pytest.mark.parametrize("seed", [None, 7])
def test_dropout(kind, seed):
    x = torch.randn(4, 30, 16)
    sizes = (2, 8) if kind == "MultiHeadAttention" else (8, 2, 1)
    make = lambda: getattr(layers, kind)(*sizes, dropout=0.5, seed=seed)
    layer = make()
    still = layer(x, x)
    assert torch.equal(layer(x, x), still)
    one, two = (layer(x, x, training=True) for _ in range(2))
    assert not torch.equal(one, two) and not torch.equal(one, still)
    mean = torch.stack([layer(x, x, training=True) for _ in range(60)]).mean(0)
    assert (mean - still).abs().mean() < 0.25 * still.abs().mean() + 0.05
    if seed is not None:
        other = make()
        other.build(x.shape, x.shape)
        other.set_weights(layer.get_weights())
        assert torch.equal(other(x, x, training=True), one)


def test_flash_attention_by_name():
    x = torch.randn(2, 5, 8)
    for make in (mha, gqa):
        plain, flash, never = (make(flash_attention=f)(OURS) for f in (None, True, False))
        for layer in (plain, flash, never):
            layer(x, x)
        flash.set_weights(plain.get_weights()), never.set_weights(plain.get_weights())
        torch.testing.assert_close(flash(x, x), plain(x, x))
        torch.testing.assert_close(never(x, x), plain(x, x))
        with pytest.raises(ValueError, match="The flash kernels have no scores"):
            flash(x, x, return_attention_scores=True)


SEEN = torch.ones(2, 5, 5) > 0
# {how it is called: (arguments, whether one of torch's kernels runs)}
CALLED = {
    "plain": ({}, True),
    "causal": ({"use_causal_mask": True}, True),
    "mask": ({"attention_mask": SEEN}, True),
    "causal and mask": ({"attention_mask": SEEN, "use_causal_mask": True}, True),
    "masks": ({"query_mask": SEEN[0], "value_mask": SEEN[0]}, True),
    "training": ({"training": True}, True),
    "scores": ({"return_attention_scores": True}, False),
}


def kernels(monkeypatch):
    """Calls of torch's attention, from now on."""
    calls, run = [], torch.nn.functional.scaled_dot_product_attention
    counted = lambda *args, **kwargs: calls.append(1) or run(*args, **kwargs)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    return calls


@pytest.mark.parametrize("make", [mha, gqa], ids=["mha", "gqa"])
@pytest.mark.parametrize("call", CALLED)
def test_heads_run_in_torchs_kernel(call, make, monkeypatch):
    layer, x = make(dropout=0.1 if call == "training" else 0.0)(OURS), torch.randn(2, 5, 8)
    layer(x, x)
    calls, (kwargs, fused) = kernels(monkeypatch), CALLED[call]
    if "query_mask" in kwargs:
        kwargs = {name: mask[:2] for name, mask in kwargs.items()}
    layer(x, x, **kwargs)
    assert len(calls) == fused


def test_one_head_runs_in_torchs_kernel(monkeypatch):
    x, calls = torch.randn(2, 5, 8), kernels(monkeypatch)
    for kwargs in ({}, {"use_scale": True}):
        layer = layers.Attention(**kwargs)
        layer([x, x]), layer([x, x], use_causal_mask=True)
    assert len(calls) == 4
    layers.Attention(score_mode="concat")([x, x])
    layer([x, x], return_attention_scores=True)
    assert len(calls) == 4


X = torch.zeros(2, 5, 8)
REFUSALS = [
    (lambda: layers.Attention(score_mode="dotted"), "Did you mean 'dot'?"),
    (lambda: layers.Attention(dropout=3), "Attention(dropout=3) is out of range"),
    (
        lambda: layers.AdditiveAttention(dropout="a"),
        "AdditiveAttention(dropout='a') is out of range",
    ),
    (lambda: layers.Attention()(X), "It takes a list [query, value] or [query, value, key]"),
    (lambda: layers.Attention()([X]), "got a list of 1"),
    (lambda: layers.Attention()([X, X], mask=X[0] > 0), "a mask that is no list of two or three"),
    (lambda: layers.MultiHeadAttention(0, 3), "MultiHeadAttention(num_heads=0) is not a size"),
    (lambda: layers.MultiHeadAttention(2, 3.5), "MultiHeadAttention(key_dim=3.5) is not a size"),
    (lambda: layers.MultiHeadAttention(2, 3, value_dim="a"), "(value_dim='a') is not a size"),
    (lambda: layers.MultiHeadAttention(2, 3, output_shape="a"), "Type for example output_shape="),
    (lambda: layers.MultiHeadAttention(2, 3, attention_axes=1.5), "attention_axes=(1, 2)"),
    (lambda: layers.MultiHeadAttention(2, 3, sliding_window=0), "(sliding_window=0) is not a size"),
    (
        lambda: layers.MultiHeadAttention(2, 3, dropout=0.1, flash_attention=True),
        "does not go together",
    ),
    (lambda: layers.MultiHeadAttention(2, 3)(X, X, X[:, 1:]), "Give each key its value."),
    (lambda: layers.GroupQueryAttention(2, 4, 3), "Type a divisor of num_query_heads."),
    (lambda: layers.GroupQueryAttention(2, 4, 0), "(num_key_value_heads=0) is not a size"),
]


@pytest.mark.parametrize(("make", "words"), REFUSALS)
def test_refusals(make, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        make()
