"""LossScaleOptimizer, MultiOptimizer, OptimizerMap, and what all optimizers meet in a real fit."""

import copy
import io
import pickle
import warnings

import keras
import numpy as np
import pytest
import torch
from test_optimizers import close, gradients, keras_weights, our_step, our_weights, values

import lightkeras as lk
from lightkeras import mixed_precision, optimizers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 5)).astype("float32")
Y = (X[:, :2] * 2 - X[:, 2:4]).astype("float32")


def both(make):
    """What `make(module)` gives for lightkeras and for Keras, built on the same weights."""
    ours, theirs = make(optimizers), make(keras.optimizers)
    weights, variables = our_weights(), keras_weights()
    for variable, weight in zip(variables, weights, strict=True):
        variable._path = weight.path
    ours.build(weights)
    theirs.build(variables)
    return ours, weights, theirs, variables


def scaled(module, **arguments):
    return module.LossScaleOptimizer(module.Adam(0.01), **arguments)


def several(module, **arguments):
    mapped = module.OptimizerMap(
        module.SGD(0.05, momentum=0.9), {".*/bias": module.Adam(0.02), ".*/filters": module.Lion()}
    )
    return module.MultiOptimizer(mapped, **arguments)


# ---- loss scale ---------------------------------------------------------------------------------


def test_scale_and_weights_with_infinite_steps():
    make = lambda module: scaled(module, initial_scale=64.0, dynamic_growth_steps=3)
    ours, weights, theirs, variables = both(make)
    assert (ours.dynamic_scale, ours.step_counter) == (64.0, 0)
    for step in range(20):
        given = [g * float(theirs.dynamic_scale) for g in gradients(step)]
        if step in (4, 5, 11):
            given[1][0] = np.inf if step == 4 else np.nan
        for weight, gradient in zip(weights, given, strict=True):
            weight.grad = torch.tensor(gradient)
        ours.step()
        theirs.apply([torch.tensor(g) for g in given], variables)
        assert ours.dynamic_scale == float(theirs.dynamic_scale), step
        assert ours.step_counter == int(theirs.step_counter), step
    assert ours.iterations == int(theirs.iterations) == 17
    assert float(ours.scale_loss(torch.tensor(1.0))) == float(theirs.scale_loss(1.0))
    close(values(weights), values(variables))


def test_scaled_gradients_by_apply():
    ours, weights, theirs, variables = both(scaled)
    for step in range(3):
        given = [torch.tensor(g) * 2**15 for g in gradients(step)]
        given[1] = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours.apply(given, weights)
            theirs.apply(given, variables)
    close(values(weights), values(variables))
    assert ours.inner_optimizer.loss_scale_factor is None


def test_before_build_the_loss_is_scaled_too():
    assert optimizers.LossScaleOptimizer(optimizers.SGD(), 8.0).scale_loss(2.0) == 16.0


def test_half_precision_overflow_is_seen():
    """A norm of float16 numbers would overflow where each number is finite."""
    ours = optimizers.LossScaleOptimizer(optimizers.SGD(), 8.0)
    assert ours.check_finite([torch.full((100, 100), 3e4, dtype=torch.float16)])
    assert not ours.check_finite([torch.zeros(2), None, torch.tensor([1.0, -torch.inf])])


def test_mixed_policy_scales_by_itself():
    for module in (lk, keras):
        module.config.set_dtype_policy("mixed_float16")
        try:
            model = module.Sequential([module.Input((5,)), module.layers.Dense(2)])
            model.compile("sgd", "mse")
            assert type(model.optimizer).__name__ == "LossScaleOptimizer"
            model.compile("sgd", "mse", auto_scale_loss=False)
            assert type(model.optimizer).__name__ == "SGD"
            model.compile(module.mixed_precision.LossScaleOptimizer(module.optimizers.SGD()), "mse")
            assert type(model.optimizer.inner_optimizer).__name__ == "SGD"
        finally:
            module.config.set_dtype_policy("float32")
    assert mixed_precision.LossScaleOptimizer is optimizers.LossScaleOptimizer


# ---- real training ------------------------------------------------------------------------------


def model_of(module, optimizer, policy="float32", loss="mse"):
    module.config.set_dtype_policy(policy)
    try:
        model = module.Sequential(
            [
                module.Input((5,)),
                module.layers.Dense(7, activation="tanh", name="first"),
                module.layers.Dense(2, name="last", dtype="float32"),
            ]
        )
        model.compile(optimizer, loss)
    finally:
        module.config.set_dtype_policy("float32")
    return model


def start_equal(ours, theirs):
    rng = np.random.default_rng(1)
    start = [0.3 * rng.normal(size=w.shape).astype("float32") for w in theirs.get_weights()]
    ours.set_weights(start)
    theirs.set_weights(start)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_each_layer_of_a_model_follows_its_own_policy(policy):
    """The usual head in float32 is one, in a graph, a stack, a class and a layer of layers."""

    def dtypes(module):
        class Block(module.layers.Layer):
            def __init__(self):
                super().__init__()
                self.inner = module.layers.Dense(3)
                self.head = module.layers.Dense(2, dtype="float32")

            def call(self, x):
                seen.append(self.inner(x))
                seen.append(self.head(seen[-1]))
                return seen[-1]

        class Own(module.Model):
            def __init__(self):
                super().__init__()
                self.block, self.head = Block(), module.layers.Dense(2, dtype="float32")

            def call(self, x):
                return self.head(self.block.inner(x))

        seen = []
        module.config.set_dtype_policy(policy)
        try:
            entry = module.Input((5,))
            head = module.layers.Dense(2, dtype="float32")(module.layers.Dense(3)(entry))
            Block()(X[:2])
            models = [module.Model(entry, head), Own(), model_of(module, "sgd", policy)]
            outputs = [model(X[:2]) for model in models]
            return [str(t.dtype) for t in (*outputs, *seen[-2:])]
        finally:
            module.config.set_dtype_policy("float32")

    assert dtypes(lk) == dtypes(keras)
    assert dtypes(lk)[-2:] == [f"torch.{policy[6:]}", "torch.float32"]


FITS = [
    ("float32", scaled, {}),
    ("mixed_float16", lambda module: module.Adam(0.01), {}),
    ("mixed_float16", lambda module: scaled(module, dynamic_growth_steps=2), {}),
    ("mixed_float16", lambda module: scaled(module, initial_scale=2.0**40), {}),
    ("float32", lambda module: module.SGD(0.05, loss_scale_factor=128.0), {}),
    ("float32", several, {}),
    ("float32", lambda module: several(module, loss_scale_factor=16.0), {}),
    ("float32", lambda module: module.Muon(0.01, exclude_layers=["last"]), {}),
    ("mixed_float16", several, {}),
]


@pytest.mark.parametrize("ways", [{}, {"max_steps": 10**6}], ids=["chunks", "one at a time"])
@pytest.mark.parametrize(("policy", "make", "_"), FITS)
def test_fit(policy, make, _, ways):
    ours = model_of(lk, make(optimizers), policy)
    theirs = model_of(keras, make(keras.optimizers), policy)
    start_equal(ours, theirs)
    settings = {"batch_size": 16, "epochs": 3, "shuffle": False, "verbose": 0}
    mine = ours.fit(X, Y, **settings, **ways).history["loss"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras_loss = theirs.fit(X, Y, **settings).history["loss"]
    tolerance = 1e-5 if policy == "float32" else 2e-3
    np.testing.assert_allclose(mine, keras_loss, rtol=tolerance)
    close(ours.get_weights(), theirs.get_weights(), tolerance)
    if hasattr(ours.optimizer, "dynamic_scale"):
        assert ours.optimizer.dynamic_scale == float(theirs.optimizer.dynamic_scale)
    if "max_steps" not in ways:
        for _ in range(2):
            mine, other = ours.train_on_batch(X[:8], Y[:8]), theirs.train_on_batch(X[:8], Y[:8])
        np.testing.assert_allclose(mine, float(other), rtol=tolerance)


@pytest.mark.parametrize("make", [scaled, several, lambda m: m.Muon(), lambda m: m.Adafactor()])
def test_keras_files_both_ways(make, tmp_path):
    ours, theirs = model_of(lk, make(optimizers)), model_of(keras, make(keras.optimizers))
    start_equal(ours, theirs)
    settings = {"batch_size": 32, "epochs": 2, "shuffle": False, "verbose": 0}
    ours.fit(X, Y, **settings)
    theirs.fit(X, Y, **settings)
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    back = lk.models.load_model(tmp_path / "theirs.keras")
    over = keras.models.load_model(tmp_path / "ours.keras")
    assert type(back.optimizer).__name__ == type(over.optimizer).__name__
    assert len(back.optimizer.variables) == len(over.optimizer.variables)
    for model in (ours, back, theirs, over):
        model.fit(X, Y, **settings)
    for model in (back, theirs, over):
        close(ours.get_weights(), model.get_weights(), 1e-5)


def test_copies_and_checkpoints_continue_bit_for_bit():
    for make in (scaled, several):
        ours, weights = make(optimizers), our_weights()
        ours.build(weights)
        for step in range(3):
            our_step(ours, weights, step)
        saved, values_then = copy.deepcopy(ours.state_dict()), values(weights)
        buffer = io.BytesIO()
        torch.save(saved, buffer)
        buffer.seek(0)
        copied = copy.deepcopy((ours, weights))
        pickled = pickle.loads(pickle.dumps((ours, weights)))
        fresh, others = make(optimizers), our_weights()
        fresh.build(others)
        fresh.load_state_dict(torch.load(buffer, weights_only=True))
        for weight, value in zip(others, values_then, strict=True):
            weight.assign(value)
        for optimizer, its in ((ours, weights), copied, pickled, (fresh, others)):
            for step in range(3, 6):
                our_step(optimizer, its, step)
            close(values(its), values(weights), 0)
            assert optimizer.iterations == 6
    with pytest.raises(ValueError, match="not one of MultiOptimizer around 3 optimizers"):
        ours.load_state_dict({"state": {}, "param_groups": []})


# ---- several optimizers -------------------------------------------------------------------------


def test_each_weight_follows_its_own():
    ours, weights, theirs, variables = both(several)
    for step in range(20):
        our_step(ours, weights, step)
        theirs.apply([torch.tensor(g) for g in gradients(step)], variables)
    close(values(weights), values(variables))
    assert ours.iterations == int(theirs.iterations) == 20
    assert [type(o).__name__ for o in ours.optimizers] == ["Adam", "Lion", "SGD"]
    mine, keras_store = {}, {}
    ours.save_own_variables(mine)
    theirs.save_own_variables(keras_store)
    close(mine.values(), keras_store.values())
    fresh, others = several(optimizers), our_weights()
    fresh.build(others)
    fresh.load_own_variables(keras_store)
    for weight, variable in zip(others, variables, strict=True):
        weight.assign(variable.numpy())
    our_step(fresh, others, 20)
    theirs.apply([torch.tensor(g) for g in gradients(20)], variables)
    close(values(others), values(variables))


def test_a_function_chooses():
    made = {}

    def chosen(variable):
        kind = "SGD" if "bias" in variable.path else "Adam"
        return made.setdefault(kind, getattr(optimizers, kind)(0.1))

    ours = optimizers.MultiOptimizer(chosen).build(our_weights())
    assert [type(o).__name__ for o in ours.optimizers] == ["Adam", "SGD"]
    ours.apply(gradients(0))
    assert [o.iterations for o in ours.optimizers] == [1, 1]


def test_averages_of_inner_optimizers():
    make = lambda module: module.MultiOptimizer(
        module.OptimizerMap(module.SGD(0.1), {".*/bias": module.SGD(0.1, use_ema=True)})
    )
    ours, weights, theirs, variables = both(make)
    assert ours.use_ema
    for step in range(4):
        our_step(ours, weights, step)
        theirs.apply([torch.tensor(g) for g in gradients(step)], variables)
    ours.finalize_variable_values(weights)
    theirs.finalize_variable_values(variables)
    close(values(weights), values(variables))


def test_unfrozen_weights_join():
    for make in (scaled, several, lambda m: m.SGD(0.1, momentum=0.5)):
        model = model_of(lk, make(optimizers))
        model.layers[0].trainable = False
        model.compile(make(optimizers), "mse")
        model.fit(X, Y, epochs=1, verbose=0)
        before = model.get_weights()
        model.layers[0].trainable = True
        model.fit(X, Y, epochs=1, verbose=0)
        assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
        shapes = [v.shape for v in model.optimizer.variables if np.ndim(v) == 2]
        assert (5, 7) in shapes  # in Keras's layout


def test_configs_go_both_ways():
    for make in (scaled, several):
        ours, theirs = make(optimizers), make(keras.optimizers)
        config = optimizers.serialize(ours)
        assert config["config"].keys() == theirs.get_config().keys()
        there = keras.optimizers.deserialize(copy.deepcopy(config))
        back = optimizers.deserialize(keras.optimizers.serialize(there))
        names = lambda o: getattr(o, "optimizers", None) or [o.inner_optimizer]
        for a, b in zip(names(ours), names(back), strict=True):
            assert type(a) is type(b)
            assert a.learning_rate == pytest.approx(b.learning_rate)
        again = optimizers.get(config)
        assert again.get_config() == ours.get_config()


def test_map_of_optimizers():
    adam, sgd = optimizers.Adam(), optimizers.SGD()
    mapped = optimizers.OptimizerMap(sgd)
    mapped["encoder/dense"] = adam
    mapped["encoder/.*"] = sgd
    assert mapped["encoder/dense"] is adam
    assert list(mapped) == ["encoder/dense", "encoder/.*"]
    del mapped["encoder/dense"]
    assert (mapped["encoder/dense"], len(mapped), mapped["decoder"]) == (sgd, 1, sgd)
    mapped["e.*"] = adam
    with pytest.raises(ValueError, match=r"fits the keys 'encoder/\.\*', 'e\.\*'"):
        mapped["encoder/dense"]


# ---- all of them --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adafactor", "Nadam"])
def test_sparse_gradients(name):
    """Of `torch.nn.Embedding(sparse=True)`: the numbers are those of dense ones."""
    results = []
    for sparse in (False, True):
        torch.manual_seed(0)
        table = torch.nn.Embedding(6, 3, sparse=sparse)
        ours = getattr(optimizers, name)(0.1, clipnorm=1.0).build(list(table.parameters()))
        for step in range(3):
            ours.zero_grad()
            table(torch.tensor([step, 4])).square().sum().backward()
            ours.step()
        results.append(table.weight.detach().numpy())
    close(*results)


@pytest.mark.parametrize("name", ["Adafactor", "Muon", "Adam"])
def test_weights_that_keras_orders_otherwise(name):
    """A GRU's gates stand in another order in torch: no live view of them is to be had."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(16, 4, 3)).astype("float32"), rng.normal(size=(16, 2))
    models = []
    for module in (lk, keras):
        gru = module.layers.GRU(2, kernel_constraint=module.constraints.MaxNorm(0.7))
        model = module.Sequential([module.Input((4, 3)), gru])
        model.compile(getattr(module.optimizers, name)(0.05), "mse")
        models.append(model)
    start_equal(*models)
    for model in models:
        model.fit(x, y, epochs=4, batch_size=8, shuffle=False, verbose=0)
    close(models[0].get_weights(), models[1].get_weights(), 2e-5)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Nadam"])
def test_stateless_apply(name):
    ours, theirs = getattr(optimizers, name)(0.1), getattr(keras.optimizers, name)(0.1)
    weights, variables = our_weights(), keras_weights()
    ours.build(weights)
    theirs.build(variables)
    given = [torch.tensor(g) for g in gradients(0)]
    state = [torch.as_tensor(v.numpy()) for v in ours.variables]
    new, mine = ours.stateless_apply(state, given, [w.detach() * 2 for w in weights])
    theirs.apply(given, [v for v in variables if v.assign(v * 2) is not None])
    close(new, values(variables))
    assert (int(mine[0]), int(ours.iterations)) == (1, 0)
    close(values(weights), values(our_weights()), 0)
    with pytest.raises(ValueError, match="values for 1 weights, it was built on 3"):
        ours.stateless_apply(state, given, [0.0])


def test_legacy_names():
    from lightkeras.optimizers import legacy

    for name in (*dir(keras.optimizers.legacy), "Adamax", "Nadam", "Adadelta"):
        if not name.startswith("_"):
            assert getattr(legacy, name) is getattr(optimizers, name)


WRONG = [
    (lambda: optimizers.LossScaleOptimizer("adam"), TypeError, "got str as an inner optimizer"),
    (lambda: scaled(optimizers, initial_scale=0), ValueError, "initial_scale=0"),
    (lambda: scaled(optimizers, dynamic_growth_steps=0), ValueError, "dynamic_growth_steps=0"),
    (lambda: scaled(optimizers, clipnorm=1.0), TypeError, "unexpected argument 'clipnorm'"),
    (lambda: optimizers.LossScaleOptimizer(scaled(optimizers)), TypeError, "around no other"),
    (lambda: optimizers.MultiOptimizer({}), TypeError, "Write OptimizerMap"),
    (lambda: optimizers.MultiOptimizer(lambda v: 3).build(our_weights()), TypeError, "got int"),
    (lambda: several(optimizers).learning_rate, AttributeError, "for o in optimizer.optimizers"),
    (lambda: setattr(several(optimizers), "lr", 0.1), AttributeError, "no learning rate to set"),
    (lambda: optimizers.OptimizerMap(3), TypeError, "got int as an inner optimizer"),
    (lambda: optimizers.OptimizerMap(optimizers.SGD(), [1]), TypeError, "got list"),
    (lambda: optimizers.OptimizerMap(optimizers.SGD(), {1: 2}), ValueError, "the key 1"),
    (lambda: optimizers.OptimizerMap(optimizers.SGD(), {"a": 2}), TypeError, "got int"),
    (lambda: optimizers.ScheduleFreeAdamW(beta_1=0), ValueError, "keep no mean"),
    (lambda: optimizers.ScheduleFreeAdamW(warmup_steps=-1), ValueError, "warmup_steps=-1"),
    (lambda: optimizers.Muon(ns_steps=0), ValueError, "ns_steps=0"),
    (lambda: optimizers.Muon(momentum=2), ValueError, "momentum=2"),
]


@pytest.mark.parametrize(("call", "error", "text"), WRONG)
def test_refusals(call, error, text):
    with pytest.raises(error, match=text):
        call()
