"""What every layer has from its base: building, weights, names, tracking, losses, masks, casts."""

import copy
import pickle

import keras
import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras import layers
from lightkeras.layers import Dense, Layer


class Affine(Layer):
    """As a Keras user writes a layer."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(name="kernel", shape=(input_shape[-1], self.units))
        self.seen = self.add_weight(name="seen", shape=(), initializer="zeros", trainable=False)
        self.b = self.add_weight(name="b", shape=(self.units,), initializer="zeros")

    def call(self, x, training=None):
        if training:
            self.seen.assign_add(1)
        return torch.matmul(x, self.w) + self.b


def test_a_users_layer_builds_on_its_first_input():
    layer = Affine(3)
    assert not layer.built and layer.weights == []
    assert layer(np.ones((2, 4))).shape == (2, 3)
    assert layer.built
    assert [w.path for w in layer.weights] == [
        f"{layer.name}/{name}" for name in ("kernel", "b", "seen")
    ]
    assert set(layer.state_dict()) == {"w", "b", "seen"}
    assert len(layer.trainable_weights) == 2 and len(layer.non_trainable_weights) == 1
    assert layer.count_params() == 4 * 3 + 3 + 1
    assert layer.get_config()["units"] == 3


def test_training_reaches_a_users_call():
    layer = Affine(3)
    x = torch.ones(2, 4)
    layer(x)
    layer(x, training=True)
    layer(x, training=False)
    assert float(layer.seen) == 1
    layer.train()
    layer(x)
    assert float(layer.seen) == 2


def test_build_by_hand_is_not_repeated():
    layer = Affine(3)
    layer.build((None, 4))
    weight = layer.w
    layer(torch.ones(2, 4))
    assert layer.w is weight and len(layer.weights) == 3


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_independent_and_equal(copied):
    class_ = Dense(3, activation="relu")
    model = lk.Sequential([lk.Input((4,)), class_, Dense(2)])
    other = copied(model)
    x = torch.randn(5, 4)
    assert torch.equal(model(x), other(x))
    other.layers[0].kernel.assign(np.zeros((4, 3)))
    assert model.layers[0].kernel.numpy().any()
    assert other.layers[0].kernel.path == "sequential/dense/kernel" or other.layers[0].kernel.path


# ---- weights in two layouts -------------------------------------------------------------------


def test_dense_has_torchs_parameters_and_keras_face():
    layer = Dense(3)
    layer.build((None, 4))
    assert layer.weight.shape == (3, 4) and layer.kernel.shape == (4, 3)
    assert layer.kernel.value.data_ptr() == layer.weight.data_ptr()
    layer.kernel.assign(np.arange(12).reshape(4, 3))
    np.testing.assert_array_equal(layer.weight.detach().numpy().T, np.arange(12).reshape(4, 3))
    layer.kernel.assign_add(np.ones((4, 3)))
    assert float(layer.weight[0, 0]) == 1
    assert torch.equal(torch.ones(4) @ layer.kernel, torch.ones(4) @ layer.weight.T)
    assert torch.equal(layer.kernel * 2, layer.weight.T * 2)


def test_gradients_are_seen_in_keras_layout():
    layer = Dense(3)
    layer(torch.randn(5, 4)).square().sum().backward()
    kernel, bias = layer.trainable_weights
    assert torch.equal(kernel.value.grad, layer.weight.grad.T)
    assert torch.equal(bias.value.grad, layer.bias.grad)


def test_set_weights_is_all_or_nothing():
    layer = Dense(3)
    layer.build((None, 4))
    before = layer.get_weights()
    with pytest.raises(ValueError, match=r"has 2 weights, got 1 arrays.*kernel \(4, 3\)"):
        layer.set_weights([np.zeros((4, 3))])
    with pytest.raises(ValueError, match=r"bias has shape \(3,\).*\(4,\)"):
        layer.set_weights([np.zeros((4, 3)), np.zeros(4)])
    for a, b in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_initial_weights_argument():
    kernel, bias = np.ones((4, 3)), np.arange(3)
    layer = Dense(3, weights=[kernel, bias])
    np.testing.assert_allclose(layer(np.ones((1, 4))).detach().numpy(), [[4, 5, 6]])


def test_two_models_of_one_architecture_share_state_dict_keys():
    make = lambda: lk.Sequential([lk.Input((4,)), Dense(3), Dense(3), Dense(2, name="out")])
    first, second = make(), make()
    second.load_state_dict(first.state_dict())
    x = torch.randn(2, 4)
    assert torch.equal(first(x), second(x))
    assert list(first.state_dict())[::2] == ["dense.weight", "dense_1.weight", "out.weight"]


# ---- tracking ---------------------------------------------------------------------------------


def test_layers_in_lists_tuples_and_dicts_are_tracked_in_keras_order():
    def define(base, dense):
        class Net(base):
            def __init__(self):
                super().__init__()
                self.first = dense(2)
                self.blocks = [dense(3), [dense(4)]]
                self.blocks.append(dense(5))
                self.heads = {"a": dense(6)}
                self.pair = (dense(7), dense(8))

            def call(self, x):
                for layer in (
                    self.first,
                    self.blocks[0],
                    self.blocks[1][0],
                    self.blocks[2],
                    self.heads["a"],
                    *self.pair,
                ):
                    x = layer(x)
                return x

        return Net()

    ours, theirs = define(lk.Model, Dense), define(keras.Model, keras.layers.Dense)
    ours(np.ones((1, 3))), theirs(np.ones((1, 3)))
    assert sorted(w.shape for w in ours.weights) == sorted(w.shape for w in theirs.weights)
    assert len(list(ours.parameters())) == 14
    assert "blocks.2.weight" in ours.state_dict()


def test_a_list_that_loses_a_layer_loses_its_weights():
    model = lk.Model()
    model.blocks = [Dense(2), Dense(3)]
    for layer in model.blocks:
        layer.build((None, 2))
    assert len(list(model.parameters())) == 4
    model.blocks.pop()
    assert len(list(model.parameters())) == 2


def test_an_attribute_before_super_init_is_explained():
    class Early(Layer):
        def __init__(self):
            self.dense = Dense(2)
            super().__init__()

    with pytest.raises(RuntimeError, match=r"Early.dense was set before super\(\)"):
        Early()


def test_attributes_do_not_shadow_the_engine():
    model = lk.Sequential([lk.Input((4,)), Dense(2)])
    model.logger = Dense(8)
    model.trainer = "mine"
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    assert isinstance(model.logger, Dense) and model.trainer == "mine"


# ---- dtypes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float16", "uint8", "int64", "bool"])
def test_inputs_are_cast_like_keras(dtype):
    x = (np.random.rand(3, 4) * 3).astype(dtype)
    ours, theirs = Dense(2), keras.layers.Dense(2)
    theirs.build((None, 4)), ours.build((None, 4))
    ours.set_weights([np.asarray(w) for w in theirs.get_weights()])
    result = ours(x)
    assert result.dtype is torch.float32
    np.testing.assert_allclose(
        result.detach().numpy(), theirs(x).detach().cpu().numpy(), rtol=1e-5, atol=1e-6
    )


def test_a_model_moved_to_double_computes_in_double():
    model = lk.Sequential([lk.Input((4,)), layers.Identity(), Dense(2)])
    model.double()
    assert model(np.ones((2, 4))).dtype is torch.float64
    model.float()
    assert model(np.ones((2, 4))).dtype is torch.float32


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16", "float64"])
def test_dtype_policies(policy):
    ours, theirs = Dense(2, dtype=policy), keras.layers.Dense(2, dtype=policy)
    ours.build((None, 4)), theirs.build((None, 4))
    assert (ours.dtype, ours.compute_dtype) == (theirs.variable_dtype, theirs.compute_dtype)
    assert str(ours(np.ones((2, 4))).dtype) == f"torch.{theirs.compute_dtype}"


# ---- losses -----------------------------------------------------------------------------------


def test_add_loss_counts_once_per_call():
    class Activity(Layer):
        def call(self, x):
            self.add_loss(x.abs().sum())
            return x

    model = lk.Sequential([lk.Input((2,)), Activity(), Activity()])
    for _ in range(2):
        model(torch.ones(3, 2))
        assert [float(v) for v in model.losses] == [6, 6]


def test_a_layer_by_itself_forgets_the_losses_of_its_last_call():
    layer = Dense(3, activity_regularizer="l2")
    for _ in range(3):
        layer(torch.ones(2, 4))
    assert len(layer.losses) == 1


def test_regularizers_see_keras_layout_and_match_keras():
    make = lambda k: k.layers.Dense(3, kernel_regularizer="l2", activity_regularizer="l1")
    ours, theirs = make(lk), make(keras)
    x = np.random.rand(5, 4).astype("float32")
    ours(x), theirs(x)
    ours.set_weights(theirs.get_weights())
    model_o = lk.Sequential([lk.Input((4,)), ours])
    model_o(x)
    theirs(x)
    mine = sorted(float(v) for v in model_o.losses)
    assert mine == pytest.approx(sorted(float(v) for v in theirs.losses), rel=1e-5)


# ---- trainable --------------------------------------------------------------------------------


def test_trainable_reaches_all_layers_below_and_back():
    inner = lk.Sequential(
        [lk.Input((4,)), Dense(3), layers.TorchModuleWrapper(torch.nn.Linear(3, 3))]
    )
    model = lk.Sequential([inner, Dense(1)])
    model.layers[0].trainable = False
    assert len(model.trainable_weights) == 2 and len(model.non_trainable_weights) == 4
    assert not inner.layers[0].trainable
    model.trainable = True
    assert len(model.trainable_weights) == 6


# ---- errors -----------------------------------------------------------------------------------

MISTAKES = {
    "typo": (lambda: Dense(3, actvation="relu"), TypeError, "Did you mean 'activation'"),
    "bool": (lambda: Dense(True), ValueError, "units=True"),
    "negative": (lambda: Dense(-1), ValueError, "at least 1"),
    "float": (lambda: Dense(2.5), ValueError, "whole number"),
    "activation": (lambda: Dense(2, activation="rellu"), ValueError, "Did you mean 'relu'"),
    "initializer": (
        lambda: Dense(2, kernel_initializer="he_norml"),
        ValueError,
        "Did you mean 'he_normal'",
    ),
    "regularizer": (lambda: Dense(2, kernel_regularizer="l3"), ValueError, "Unknown regularizer"),
    "no batch axis": (lambda: Dense(2)(np.ones(4)), ValueError, r"x\[None\]"),
    "wrong size": (
        lambda: lk.Sequential([lk.Input((4,)), Dense(2)])(np.ones((8, 5))),
        ValueError,
        "expects 4 features",
    ),
    "Input int": (lambda: lk.Input(4), ValueError, r"Type Input\(\(4,\)\)"),
    "no call": (lambda: type("Empty", (Layer,), {})()(np.ones((1, 1))), TypeError, "no call"),
    "kt in numpy": (lambda: np.exp(lk.Input((3,))), TypeError, "symbolic tensor"),
    "kt as bool": (lambda: bool(lk.Input((3,))), TypeError, "truth value"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    make, error, text = MISTAKES[name]
    with pytest.raises(error, match=text) as caught:
        make()
    assert len(str(caught.value).splitlines()) <= 10


def test_old_spellings_warn_once_each():
    from lightkeras import _config

    _config._warned.clear()
    with pytest.warns(UserWarning, match="'init' is an old Keras spelling") as caught:
        layer = Dense(12, input_dim=8, init="uniform", activation="relu")
        Dense(12, input_dim=8, init="uniform")
    assert len(caught) == 2  # one for init, one for input_dim
    assert caught[0].filename == __file__
    assert type(layer.kernel_initializer).__name__ == "RandomUniform"
    model = lk.Sequential([layer])
    assert model.input_shape == (None, 8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.ReLU(negative_slope=[1]),
        lambda: layers.LeakyReLU("a"),
        lambda: layers.Permute(3),
        lambda: layers.Bidirectional(layers.Dense(1)),
        lambda: layers.StackedRNNCells(3),
        lambda: layers.EinsumDense("ab,bc->ac", 3, bias_axes=3),
        lambda: layers.ReversibleEmbedding(3, 4, logit_soft_cap="a"),
    ],
)
def test_arguments_of_another_kind(make):
    words = r"\w+\(.+\) cannot be made: .*not of the kind that it takes. Type help\(\w+\)"
    with pytest.raises(TypeError, match=words):
        make()


def test_a_missing_argument_is_told_by_python():
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'units'$"):
        layers.Dense()


def test_an_error_in_a_layer_of_the_users_is_not_taken_for_one_in_an_argument():
    class Forgetful(layers.Layer):
        def call(self, x):
            return x @ self.kernel

    with pytest.raises(AttributeError, match="'Forgetful' object has no attribute 'kernel'"):
        lk.Sequential([lk.Input((3,)), Forgetful()])


@pytest.mark.parametrize("kind", [lk.Model, layers.Layer])
@pytest.mark.parametrize("own", [False, True])
def test_build_by_hand_runs_call_and_a_build_of_ones_own_does_not_run_itself(kind, own):
    class Two(kind):
        def __init__(self):
            super().__init__()
            self.one, self.two = layers.Dense(3), layers.Dense(2)

        if own:

            def build(self, input_shape):
                self.one.build(input_shape)
                super().build(input_shape)

        def call(self, x):
            return self.two(self.one(x))

    made = Two()
    made.build((None, 6))
    assert len(made.weights) == (2 if own else 4) and made.built
    assert made(torch.ones(1, 6)).shape == (1, 2) and len(made.weights) == 4
