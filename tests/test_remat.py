"""`remat` and `RematScope`: the same numbers and gradients from less memory.

What is kept for the gradients is counted, tensor by tensor, by torch's own hooks.
"""

import keras
import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras import layers

X = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))


def kept(call):
    """(result of a call, count of the numbers that it keeps for the gradients)."""
    count = 0

    def pack(tensor):
        nonlocal count
        count += 0 if isinstance(tensor, torch.nn.Parameter) else tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = call()
    return result, count


def bump(x):
    """An activation of several steps, each of which keeps something."""
    return x.tanh().exp().sin()


def deep(k=lk):
    x = y = k.Input((16,))
    for i in range(4):
        y = k.layers.Dense(32, activation=bump, name=f"d{i}")(y)
    return k.Model(x, y)


def twins(make, **scope):
    """The same model, made outside of a scope and inside, with equal weights."""
    plain = make()
    lk.utils.clear_session(free_memory=False)
    with lk.RematScope(**scope):
        scoped = make()
    if plain.built:
        scoped.set_weights(plain.get_weights())
    return plain, scoped


def gradients(model, x=X, **kwargs):
    y, count = kept(lambda: model(x, **kwargs))
    found = torch.autograd.grad((y**2).mean(), list(model.parameters()))
    return y.detach(), found, count


def equal(plain, scoped):
    for a, b in zip([plain[0], *plain[1]], [scoped[0], *scoped[1]], strict=True):
        assert torch.equal(a, b)


MODES = {
    "full": {},
    "activations": {"mode": "activations"},
    "larger_than": {"mode": "larger_than", "output_size_threshold": 8 * 32 - 1},
    "list_of_layers": {"mode": "list_of_layers", "layer_names": ["d1", "d2", "d3"]},
}


@pytest.mark.parametrize("mode", MODES)
def test_less_is_kept_and_gradients_are_the_same(mode):
    lk.utils.clear_session(free_memory=False)
    plain, scoped = (gradients(m) for m in twins(deep, **MODES[mode]))
    equal(plain, scoped)
    assert scoped[2] < plain[2]


UNTOUCHED = {
    "no mode": {"mode": None},
    "small outputs": {"mode": "larger_than", "output_size_threshold": 8 * 32},
    "other names": {"mode": "list_of_layers", "layer_names": ["e"]},
}


@pytest.mark.parametrize("scope", UNTOUCHED)
def test_what_a_mode_leaves_alone(scope):
    lk.utils.clear_session(free_memory=False)
    plain, scoped = (gradients(m)[2] for m in twins(deep, **UNTOUCHED[scope]))
    assert plain == scoped


def test_the_innermost_scope_counts_and_ends():
    with lk.RematScope():
        with lk.RematScope(mode=None):
            free = layers.Dense(4, activation="gelu")
        bound = layers.Dense(4, activation="gelu")
    after = layers.Dense(4, activation="gelu")
    counts = [kept(lambda layer=layer: layer(X))[1] for layer in (free, bound, after)]
    assert counts[0] == counts[2] > counts[1]


def test_numbers_are_keras_ones():
    lk.utils.clear_session(free_memory=False)
    keras.utils.clear_session(free_memory=False)
    with lk.RematScope(), keras.RematScope():
        ours, theirs = deep(lk), deep(keras)
    ours.set_weights(theirs.get_weights())
    for model in (ours, theirs):
        model.compile("sgd", "mse")
    x, y = X.numpy(), np.ones((8, 32), "float32")
    a, b = (m.fit(x, y, epochs=3, batch_size=4, shuffle=False, verbose=0) for m in (ours, theirs))
    np.testing.assert_allclose(a.history["loss"], b.history["loss"], rtol=1e-5)


def several_states():
    """Moving averages, random numbers, power iteration, losses, masks and dtypes."""
    x = lk.Input((6,), dtype="int32")
    y = layers.Embedding(9, 8, mask_zero=True)(x)
    y = layers.LSTM(8, return_sequences=True)(y)
    y = layers.SpectralNormalization(layers.Dense(8), power_iterations=1)(y)
    y = layers.Dropout(0.5)(y)
    y = layers.Dropout(0.5, seed=3)(y)
    y = layers.BatchNormalization()(y)
    y = layers.Dense(8, activation="gelu", activity_regularizer="l2")(y)
    return lk.Model(x, layers.GlobalAveragePooling1D()(y))


def trained(model):
    x = np.random.default_rng(1).integers(0, 9, (12, 6))
    lk.utils.set_random_seed(5)
    model.compile(lk.optimizers.SGD(0.1), "mse")
    history = model.fit(x, np.ones((12, 8), "float32"), batch_size=4, epochs=2, verbose=0)
    return history.history["loss"], model.get_weights()


def test_the_second_run_leaves_no_trace():
    """Averages move once, random numbers are drawn once, and losses count once."""
    lk.utils.clear_session(free_memory=False)
    plain, scoped = map(trained, twins(several_states))
    assert plain[0] == scoped[0]
    for a, b in zip(plain[1], scoped[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_mixed_precision():
    def make():
        policy = "mixed_bfloat16"
        return lk.Sequential(
            [lk.Input((16,)), *[layers.Dense(16, "gelu", dtype=policy) for _ in range(3)]]
        )

    plain, scoped = (gradients(m) for m in twins(make))
    equal(plain, scoped)
    assert plain[0].dtype is torch.bfloat16


def test_training_given_in_the_call():
    """The second run is in training too, when the call that wanted it is long over."""

    class Noisy(layers.Layer):
        def __init__(self):
            super().__init__()
            self.drop, self.dense = layers.Dropout(0.5), layers.Dense(16, activation="gelu")

        def call(self, x, training=False):
            return self.dense(self.drop(x, training=training)) + (0.0 if training else 9.0)

    for layer in (Noisy(), layers.Dropout(0.5)):
        x = X.clone().requires_grad_()
        results = []
        for call in (layer, lk.remat(layer)):
            torch.manual_seed(0)
            y = call(x, training=True)
            results.append((y.detach(), torch.autograd.grad((y**2).sum(), [x])))
        equal(*results)


def test_remat_of_functions_methods_and_layers():
    def cubes(x, scale=1.0):
        return (x.tanh() ** 3).exp() * scale

    class Own(layers.Layer):
        def __init__(self):
            super().__init__()
            self.repeated = lk.remat(self.inner)
            self.dense = layers.Dense(16)

        def inner(self, x):
            return self.dense(x).tanh().exp()

        def call(self, x):
            return self.repeated(x)

    x = X.clone().requires_grad_()
    layer = layers.Dense(16, activation="gelu")
    for f in (cubes, layer, deep()):
        (a, plain), (b, less) = kept(lambda f=f: f(x)), kept(lambda f=f: lk.remat(f)(x))
        assert torch.equal(a, b) and less < plain
        grads = [torch.autograd.grad(y.sum(), x)[0] for y in (a, b)]
        assert torch.equal(*grads)
    assert lk.remat(cubes)(x, scale=2.0).sum() == cubes(x, 2.0).sum()
    assert lk.remat(cubes).__name__ == "cubes"
    assert Own()(x).shape == (8, 16)


def test_remat_in_a_graph():
    entry = lk.Input((16,))
    model = lk.Model(entry, lk.remat(lambda x: lk.ops.exp(lk.ops.tanh(x)))(entry))
    plain = lk.Model(entry, lk.ops.exp(lk.ops.tanh(entry)))
    x = X.clone().requires_grad_()
    (a, less), (b, more) = kept(lambda: model(x)), kept(lambda: plain(x))
    assert torch.equal(a, b) and less < more
    assert lk.Model(entry, lk.remat(layers.Dense(2))(entry)).output_shape == (None, 2)


def test_nothing_is_repeated_without_gradients():
    calls = []

    class Counts(layers.Layer):
        def call(self, x):
            calls.append(1)
            return x * 2

    with lk.RematScope():
        layer = Counts()
    with torch.no_grad():
        layer(X)
    lk.Sequential([lk.Input((16,)), layer]).predict(X, verbose=0)
    before = len(calls)
    y = layer(X.clone().requires_grad_())
    assert len(calls) == before + 1
    y.sum().backward()


def test_mistakes():
    with pytest.raises(ValueError, match=r"mode='ful'\. Did you mean 'full'\?.*'larger_than'"):
        lk.RematScope("ful")
    with pytest.raises(TypeError, match=r"remat\(\) got tensor.* Type remat\(layer\)\(x\)"):
        lk.remat(torch.ones(2))
