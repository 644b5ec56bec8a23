"""Optimizers against the installed Keras: weights after 20 steps, slots, configs, signatures."""

import copy
import inspect
import pickle
import sys
import warnings

import keras
import numpy as np
import pytest
import torch

from lightkeras import optimizers
from lightkeras._variable import Weight

STEPS = 20
SHAPES = [(3, 4), (4,), (2, 2, 3, 4)]
NAMES = ["kernel", "bias", "filters"]
CASES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.7}),
    ("RMSprop", {"centered": True, "rho": 0.8}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "epsilon": 1e-3}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("Adam", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.1, "amsgrad": True}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.8, "epsilon": 1e-3}),
    ("Adagrad", {}),
    ("Adagrad", {"initial_accumulator_value": 0.5, "epsilon": 1e-2}),
    ("Adamax", {}),
    ("Adamax", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-2}),
    ("Nadam", {}),
    ("Nadam", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-2}),
    ("Ftrl", {}),
    (
        "Ftrl",
        {
            "learning_rate_power": -0.6,
            "l1_regularization_strength": 0.01,
            "l2_regularization_strength": 0.02,
            "l2_shrinkage_regularization_strength": 0.03,
            "beta": 0.1,
        },
    ),
    ("Lion", {}),
    ("Lion", {"beta_1": 0.8, "beta_2": 0.95}),
    ("Lamb", {}),
    ("Lamb", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-2}),
    ("Adafactor", {}),
    ("Adafactor", {"beta_2_decay": -0.5, "clip_threshold": 0.7, "relative_step": False}),
    ("Muon", {}),
    ("Muon", {"nesterov": False, "rms_rate": None, "ns_steps": 3, "momentum": 0.8}),
    ("Muon", {"exclude_layers": ["kern"], "adam_lr_ratio": 0.5, "adam_beta_1": 0.8}),
    ("Muon", {"weight_decay": None, "adam_weight_decay": 0.2, "muon_a": 3.0, "adam_beta_2": 0.9}),
    ("Muon", {"epsilon": 1e-3, "muon_b": -4.7, "muon_c": 2.05, "exclude_embeddings": False}),
    ("AdamW", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2}),
    ("Ftrl", {"initial_accumulator_value": 0.5}),
    ("Adafactor", {"epsilon_1": 1e-3, "epsilon_2": 0.1}),
    ("ScheduleFreeAdamW", {}),
    ("ScheduleFreeAdamW", {"warmup_steps": 7, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4}),
]
OPTIONS = [
    {"weight_decay": 0.1},
    {"clipnorm": 0.3},
    {"clipvalue": 0.1},
    {"global_clipnorm": 0.5},
    {"use_ema": True, "ema_momentum": 0.8},
    {"use_ema": True, "ema_overwrite_frequency": 3},
    {"loss_scale_factor": 4.0},
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "use_ema": True, "ema_overwrite_frequency": 2},
]
RULES = list(dict.fromkeys(name for name, _ in CASES))
PLAIN = [(name, {}) for name in RULES]


class KerasScheduleFree(keras.optimizers.ScheduleFreeAdamW):
    """Keras's own with `-` instead of `-=`.

    On torch, Keras 3.15 reads the old path after it has been moved in place: its formula means
    the path as it was.
    """

    def assign_sub(self, variable, value):
        moved = variable._value.detach() - value.detach()
        variable._value = torch.nn.Parameter(moved, requires_grad=False)


def of_keras(name):
    return KerasScheduleFree if name == "ScheduleFreeAdamW" else getattr(keras.optimizers, name)


def start():
    rng = np.random.default_rng(0)
    return [rng.normal(size=s).astype("float32") for s in SHAPES]


def gradients(step):
    rng = np.random.default_rng(100 + step)
    made = [rng.normal(size=s).astype("float32") for s in SHAPES]
    made[0][0] = 0.0  # a dead unit
    made[1][1] *= 1e-4
    return made


def our_weights(path=True):
    made = [Weight(torch.tensor(w)) for w in start()]
    for weight, name in zip(made, NAMES, strict=True):
        weight.path = f"layer/{name}"
    return made


def keras_weights():
    return [keras.Variable(w, name=n) for w, n in zip(start(), NAMES, strict=True)]


def our_step(optimizer, weights, step):
    for weight, gradient in zip(weights, gradients(step), strict=True):
        weight.grad = torch.tensor(gradient)
    optimizer.step()


def keras_step(optimizer, weights, step):
    optimizer.apply([torch.tensor(g) for g in gradients(step)], weights)


def close(ours, theirs, tolerance=1e-6):
    for a, b in zip(ours, theirs, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, np.abs(b).max()))


def values(weights):
    """Copies of the weights as arrays."""
    tensors = [w.value if isinstance(w, keras.Variable) else w for w in weights]
    return [t.detach().numpy().copy() for t in tensors]


def pair(name, **arguments):
    """Our optimizer and Keras's, each with weights of its own, built."""
    arguments = {"learning_rate": 0.01, **arguments}
    ours, theirs = (
        getattr(optimizers, name)(**arguments),
        of_keras(name)(**arguments),
    )
    weights, variables = our_weights(), keras_weights()
    ours.build(weights)
    theirs.build(variables)
    return ours, weights, theirs, variables


def compare(ours, weights, theirs, variables, steps=STEPS):
    for step in range(steps):
        our_step(ours, weights, step)
        keras_step(theirs, variables, step)
    assert int(ours.iterations) == int(np.asarray(theirs.iterations))
    close(values(weights), values(variables))


# ---- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_weights_after_20_steps(name, arguments):
    compare(*pair(name, **arguments))


@pytest.mark.parametrize("option", OPTIONS, ids=lambda o: "+".join(o))
@pytest.mark.parametrize("name", RULES)
def test_options(name, option):
    ours, weights, theirs, variables = pair(name, **option)
    compare(ours, weights, theirs, variables)
    ours.finalize_variable_values(weights)
    theirs.finalize_variable_values(variables)
    close(values(weights), values(variables))


@pytest.mark.parametrize("name", RULES)
def test_all_slots_in_keras_order(name):
    options = {"use_ema": True, "gradient_accumulation_steps": 2}
    if name in ("Adam", "AdamW"):
        options["amsgrad"] = True
    if name in ("SGD", "RMSprop"):
        options["momentum"] = 0.5
    ours, weights, theirs, variables = pair(name, **options)
    compare(ours, weights, theirs, variables, 5)
    mine, keras_store = {}, {}
    ours.save_own_variables(mine)
    theirs.save_own_variables(keras_store)
    assert list(mine) == list(keras_store)
    for key in mine:
        assert mine[key].shape == keras_store[key].shape, key
        # Adafactor's vectors have unused 0-d slots, which Keras makes integers.
        assert mine[key].dtype == keras_store[key].dtype or mine[key].ndim == 0, key
    close(mine.values(), keras_store.values())
    again = getattr(optimizers, name).from_config(ours.get_config()).build(our_weights())
    again.load_own_variables(mine)
    assert again.learning_rate == 0.01  # float32 in the file rounds no rate
    for a, b in zip(again.variables, ours.variables, strict=True):
        assert np.array_equal(a.numpy(), b.numpy())
    fresh = getattr(optimizers, name).from_config(ours.get_config())
    others = our_weights()
    fresh.build(others)
    fresh.load_own_variables(keras_store)
    for weight, variable in zip(others, variables, strict=True):
        weight.assign(variable.numpy())
    for step in range(5, 9):
        our_step(fresh, others, step)
        keras_step(theirs, variables, step)
    close(values(others), values(variables))


def test_an_earlier_file_into_a_running_nadam():
    ours, weights, *_ = pair("Nadam")
    store = {}
    for step in range(3):
        if step == 2:
            ours.save_own_variables(store)
            reference, others = copy.deepcopy((ours, weights))
        our_step(ours, weights, step)
    ours.load_own_variables(store)
    for weight, other in zip(weights, others, strict=True):
        weight.assign(other.detach())
    our_step(ours, weights, 5)
    our_step(reference, others, 5)
    close(values(weights), values(others), 0)


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adafactor"])
@pytest.mark.parametrize("option", [{}, {"weight_decay": 0.1}, {"gradient_accumulation_steps": 2}])
def test_schedule(name, option):
    def rate(module):
        # Not larger: Keras has 1 - beta_2**t in float32, wrong by 1e-5 in the first steps.
        return module.schedules.ExponentialDecay(0.02, 3, 0.7)

    ours = getattr(optimizers, name)(rate(optimizers), **option)
    theirs = of_keras(name)(rate(keras.optimizers), **option)
    weights, variables = our_weights(), keras_weights()
    ours.build(weights)
    theirs.build(variables)
    compare(ours, weights, theirs, variables)
    assert float(ours.learning_rate) == pytest.approx(float(theirs.learning_rate), rel=1e-5)


def test_excluded_from_weight_decay():
    ours, theirs = (
        optimizers.AdamW(0.01, weight_decay=0.5),
        keras.optimizers.AdamW(0.01, weight_decay=0.5),
    )
    weights, variables = our_weights(), keras_weights()
    ours.exclude_from_weight_decay(var_list=[weights[2]], var_names=["bias"])
    theirs.exclude_from_weight_decay(var_list=[variables[2]], var_names=["bias"])
    ours.build(weights)
    theirs.build(variables)
    compare(ours, weights, theirs, variables)
    with pytest.raises(ValueError, match="is built"):
        ours.exclude_from_weight_decay(var_names=["kernel"])


def test_constraints_after_the_update():
    ours, weights, theirs, variables = pair("SGD", learning_rate=0.5)
    ours = optimizers.SGD(0.5)
    weights[0].constraint = lambda w: w.clamp(min=0.0)
    variables[0].constraint = lambda w: keras.ops.maximum(w, 0.0)
    ours.build(weights)
    compare(ours, weights, theirs, variables)
    assert weights[0].min() == 0.0


def test_a_parameter_without_gradient_is_left_alone():
    ours, weights, theirs, variables = pair("Adam", weight_decay=0.1)
    for step in range(6):
        given = gradients(step)
        for weight, gradient in zip(weights, given, strict=True):
            weight.grad = torch.tensor(gradient)
        missing = step % 3
        weights[missing].grad = None
        ours.step()
        given = [None if i == missing else torch.tensor(g) for i, g in enumerate(given)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs.apply(given, variables)
    close(values(weights), values(variables))


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes(name, dtype):
    weights = [torch.nn.Parameter(torch.tensor(w).to(dtype)) for w in start()]
    ours = getattr(optimizers, name)(0.01)
    single, single_weights = getattr(optimizers, name)(0.01), our_weights()
    ours.build(weights)
    single.build(single_weights)
    for step in range(5):
        for weight, gradient in zip(weights, gradients(step), strict=True):
            weight.grad = torch.tensor(gradient).to(dtype)
        ours.step()
        our_step(single, single_weights, step)
    slots = [t for state in ours.state.values() for t in state.values()]
    assert {t.dtype for t in slots} <= {dtype}
    tolerance = 1e-5 if dtype is torch.float64 else 0.1
    close(
        [w.detach().double() for w in weights],
        [w.detach().double() for w in single_weights],
        tolerance,
    )


@pytest.mark.parametrize("name", RULES)
def test_layout_of_the_parameters_does_not_matter(name):
    """Weights stored in torch's order, seen through views: the numbers stay Keras's."""

    class View:
        def __init__(self, axes):
            self.axes = axes

        def to_torch(self, tensor):
            return tensor.permute(self.axes)

        def to_keras(self, tensor):
            return tensor.permute(tuple(np.argsort(self.axes)))

    class Bound:
        constraint = None

        def __init__(self, weight, axes, path):
            self.view, self.path, self.name = View(axes), path, path
            self.parameter = torch.nn.Parameter(self.view.to_torch(weight).contiguous())

        def numpy(self):
            return self.view.to_keras(self.parameter.detach()).numpy()

    axes = [(1, 0), (0,), (3, 2, 0, 1)]
    weights = [Bound(torch.tensor(w), a, n) for w, a, n in zip(start(), axes, NAMES, strict=True)]
    options = {"clipnorm": 0.5, "use_ema": True}
    ours, theirs = getattr(optimizers, name)(0.01, **options), of_keras(name)(0.01, **options)
    variables = keras_weights()
    for step in range(8):
        given = [torch.tensor(g) for g in gradients(step)]
        ours.apply_gradients(zip(given, weights, strict=True))
        theirs.apply(given, variables)
    close([w.numpy() for w in weights], values(variables))
    mine, keras_store = {}, {}
    ours.save_own_variables(mine)
    theirs.save_own_variables(keras_store)
    close(mine.values(), keras_store.values())
    ours.load_own_variables(keras_store)
    ours.apply([torch.tensor(g) for g in gradients(8)])
    theirs.apply([torch.tensor(g) for g in gradients(8)], variables)
    close([w.numpy() for w in weights], values(variables))


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_with_gradients_of_another_stride(amsgrad):
    """The fused kernel would read them in the wrong order."""
    results = []
    for transposed in (False, True):
        ours, weights = optimizers.Adam(0.01, amsgrad=amsgrad), our_weights()
        ours.build(weights)
        for step in range(4):
            for weight, gradient in zip(weights, gradients(step), strict=True):
                gradient = torch.tensor(gradient)
                if transposed and gradient.ndim == 2:
                    gradient = gradient.t().contiguous().t()
                weight.grad = gradient
            ours.step()
        results.append(values(weights))
    close(*results)


# ---- a torch optimizer --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_state_dict_continues_bit_for_bit(name, arguments):
    option = {"use_ema": True, "gradient_accumulation_steps": 2}
    make = lambda: getattr(optimizers, name)(0.01, **arguments, **option)
    whole, weights = make(), our_weights()
    whole.build(weights)
    for step in range(7):
        our_step(whole, weights, step)
    whole.learning_rate = 0.003
    saved = copy.deepcopy(whole.state_dict())
    at_save = [w.detach().clone() for w in weights]
    assert pickle.loads(pickle.dumps(saved)).keys() == {"state", "param_groups"}
    for step in range(7, 12):
        our_step(whole, weights, step)
    again, others = make(), our_weights()
    again.build(others)
    for twice in range(2):  # the second time over a state that has moved on
        again.load_state_dict(saved)
        for weight, value in zip(others, at_save, strict=True):
            weight.assign(value)
        assert again.learning_rate == 0.003
        assert again.iterations == 3
        for step in range(7, 12):
            our_step(again, others, step)
        assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True)), twice
    assert str(whole.state_dict()) == str(again.state_dict())


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("way", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_continue_bit_for_bit(name, way):
    unbound = way(getattr(optimizers, name)(0.01, name="mine"))
    assert (unbound.name, unbound.learning_rate, unbound.built) == ("mine", 0.01, False)
    ours, weights = unbound, our_weights()
    ours.build(weights)
    our_step(ours, weights, 0)
    copied, others = way((ours, weights))
    for step in range(1, 4):
        our_step(ours, weights, step)
        our_step(copied, others, step)
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))
    assert copied.iterations == 4


def test_weights_only_load(tmp_path):
    ours, weights, *_ = pair("Adam")
    our_step(ours, weights, 0)
    torch.save(ours.state_dict(), tmp_path / "optimizer.pt")
    ours.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    assert ours.iterations == 1


def test_state_moved_or_cleared_by_others():
    ours, weights, *_ = pair("Adam")
    our_step(ours, weights, 0)
    reference, others = copy.deepcopy((ours, weights))
    for state in ours.state.values():  # as Lightning does between devices
        for key in state:
            state[key] = state[key].clone()
    our_step(ours, weights, 1)
    our_step(reference, others, 1)
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))
    held = ours.state[weights[0]]["momentum"]
    assert held is ours.variables[2].as_subclass(torch.Tensor) or torch.equal(
        held, ours.variables[2]
    )
    ours.state.clear()
    our_step(ours, weights, 2)
    assert torch.allclose(ours.state[weights[1]]["momentum"], weights[1].grad * 0.1)


def test_parameters_cast_after_build():
    module = torch.nn.Linear(3, 2)
    ours = optimizers.RMSprop(momentum=0.5).build(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    ours.step()
    module.double()
    module.zero_grad()
    module(torch.ones(1, 3, dtype=torch.float64)).sum().backward()
    ours.step()
    assert ours.state[module.weight]["velocity"].dtype is torch.float64


def test_torch_scheduler():
    ours, weights, *_ = pair("SGD", learning_rate=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(ours, step_size=2, gamma=0.1)
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(4):
            our_step(ours, weights, step)
            scheduler.step()
            seen.append(ours.learning_rate)
    assert seen == pytest.approx([1.0, 0.1, 0.1, 0.01])
    copied, others = copy.deepcopy((ours, weights))
    before = values(weights)
    our_step(copied, others, 4)
    close(values(weights), before, 0)  # the scheduler's patch of `step` was not copied
    assert copied.learning_rate == seen[-1]


def test_scheduler_before_build():
    ours = optimizers.SGD(1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(ours, step_size=1, gamma=0.5)
    ours.build(weights := our_weights())
    our_step(ours, weights, 0)
    scheduler.step()
    assert ours.learning_rate == 0.5


def test_parameter_groups():
    weights = our_weights()
    ours = optimizers.SGD(0.1, momentum=0.9).build(weights[:2])
    ours.add_param_group({"params": [weights[2]], "lr": 0.01})
    alone = our_weights()
    first, second = (
        optimizers.SGD(0.1, momentum=0.9).build(alone[:2]),
        optimizers.SGD(0.01, momentum=0.9).build(alone[2:]),
    )
    for step in range(3):
        our_step(ours, weights, step)
        for weight, gradient in zip(alone, gradients(step), strict=True):
            weight.grad = torch.tensor(gradient)
        first.step()
        second.step()
    assert all(torch.equal(a, b) for a, b in zip(weights, alone, strict=True))


def test_hooks_closure_and_zero_grad():
    ours, weights, *_ = pair("SGD")
    calls = []
    before = ours.register_step_pre_hook(lambda o, args, kwargs: calls.append("before"))
    after = ours.register_step_post_hook(lambda o, args, kwargs: calls.append("after"))

    def closure():
        calls.append("closure")
        loss = sum(w.sum() for w in weights)
        loss.backward()
        return loss

    assert ours.step(closure).ndim == 0
    assert calls == ["before", "closure", "after"]
    before.remove()
    after.remove()
    ours.zero_grad(set_to_none=False)
    assert weights[0].grad.abs().sum() == 0
    ours.zero_grad()
    assert weights[0].grad is None
    assert torch.is_grad_enabled()
    ours.step(closure)
    assert calls[3:] == ["closure"]
    assert ours.iterations == 2


def test_a_closure_may_skip_the_step():
    ours = pair("SGD")[0]
    assert ours.step(lambda: None) is None
    assert ours.iterations == 0


def test_infinite_gradients_show_as_nan():
    for option in ({"global_clipnorm": 1.0}, {"clipnorm": 1.0}):
        ours, weights, theirs, variables = pair("SGD", **option)
        given = gradients(0)
        given[1][0] = np.inf
        ours.apply(given, weights)
        theirs.apply([torch.tensor(g) for g in given], variables)
        for weight, variable in zip(values(weights), values(variables), strict=True):
            assert (np.isnan(weight) == np.isnan(variable)).all()


def test_profiler_sees_the_step():
    ours, weights, *_ = pair("SGD")
    with torch.profiler.profile() as profile:
        our_step(ours, weights, 0)
    assert "Optimizer.step#SGD.step" in {e.key for e in profile.key_averages()}


def test_gradients_stay_as_they_are():
    for option in OPTIONS:
        ours, weights, *_ = pair("SGD", **option)
        our_step(ours, weights, 0)
        close([w.grad for w in weights], gradients(0), 0)


@pytest.mark.parametrize(("name", "limit"), [("Adam", 12), ("SGD", 8), ("RMSprop", 9)])
def test_python_calls_of_a_step(name, limit):
    ours, weights, *_ = pair(name)
    our_step(ours, weights, 0)
    calls = []
    sys.setprofile(lambda frame, event, arg: calls.append(frame) if event == "call" else None)
    try:
        ours.step()
    finally:
        sys.setprofile(None)
    assert len(calls) <= limit, [c.f_code.co_name for c in calls]


@pytest.mark.parametrize("name", [r for r in RULES if r not in ("Nadam", "Adafactor")])
def test_compiled_update_is_compiled_once(name):
    """Rate and step number may be tensors, so that new values need no new code."""
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    ours, weights = getattr(optimizers, name)(0.01, weight_decay=0.1, clipnorm=1.0), our_weights()
    plain, others, *_ = pair(name, weight_decay=0.1, clipnorm=1.0)
    ours.build(weights)
    counter = CompileCounter()

    @torch.compile(backend=counter, fullgraph=True)
    def update(params, grads, slots, rate, count):
        ours._improve(params, ours._clipped(grads), slots, rate, count)

    for step in range(3):
        numbers = [torch.tensor(v, dtype=torch.float64) for v in (0.01 / (step + 1), step + 1)]
        with torch.no_grad():
            update(weights, [torch.tensor(g) for g in gradients(step)], ours._slots, *numbers)
        plain.learning_rate = 0.01 / (step + 1)
        our_step(plain, others, step)
    assert counter.frame_count == 1
    close(values(weights), values(others))


# ---- Keras's interface --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*RULES, "Optimizer"])
def test_signature(name):
    mine = inspect.signature(getattr(optimizers, name))
    theirs = inspect.signature(getattr(keras.optimizers, name).__init__)
    expected = [p for p in list(theirs.parameters.values())[1:] if p.kind is not p.VAR_KEYWORD]
    assert list(mine.parameters.values()) == expected


@pytest.mark.parametrize("name", RULES)
def test_config_is_understood_by_keras_and_back(name):
    ours = getattr(optimizers, name)(0.02, clipnorm=0.7, use_ema=True, name="mine")
    config = optimizers.serialize(ours)
    if name == "Lamb":  # Keras 3.15 has forgotten it in its table
        theirs = keras.optimizers.Lamb.from_config(config["config"])
    else:
        theirs = keras.optimizers.deserialize(copy.deepcopy(config))
    assert type(theirs).__name__ == name
    mine, keras_config = ours.get_config(), theirs.get_config()
    if name != "Muon":  # whose config has an order of its own
        assert list(mine) == list(keras_config)
    assert mine == {**keras_config, "learning_rate": 0.02}
    back = optimizers.deserialize(keras.optimizers.serialize(theirs))
    assert back.get_config()["learning_rate"] == pytest.approx(0.02)
    assert optimizers.deserialize(config).get_config() == mine


def test_all_positional_arguments_in_keras_order():
    ours = optimizers.Adam(
        0.1, 0.8, 0.9, 1e-3, True, 0.1, None, 0.5, None, True, 0.7, 3, 2.0, 4, "a"
    )
    theirs = keras.optimizers.Adam(
        0.1, 0.8, 0.9, 1e-3, True, 0.1, None, 0.5, None, True, 0.7, 3, 2.0, 4, "a"
    )
    assert ours.get_config() == {**theirs.get_config(), "learning_rate": 0.1}


def test_learning_rate_reads_as_a_number():
    ours = optimizers.Adam(0.5)
    rate = ours.learning_rate
    assert (rate, float(rate), f"{rate:.2f}", rate * 2, repr(rate)) == (
        0.5,
        0.5,
        "0.50",
        1.0,
        "0.5",
    )
    assert (rate.numpy(), rate.value) == (np.float32(0.5), 0.5)
    rate.assign(0.25)
    assert ours.learning_rate == ours.lr == ours.param_groups[0]["lr"] == 0.25
    ours.lr = 0.125
    ours.build(our_weights())
    assert ours.param_groups[0]["lr"] == 0.125
    ours.learning_rate = np.float32(0.0625)
    assert type(ours.param_groups[0]["lr"]) is float
    assert type(pickle.loads(pickle.dumps(rate))) is float


def test_iterations_read_as_a_number():
    ours, weights, *_ = pair("SGD", gradient_accumulation_steps=2)
    for step in range(5):
        our_step(ours, weights, step)
    assert (ours.iterations, ours.iterations.numpy().dtype) == (2, np.int32)
    ours.iterations.assign(7)
    assert ours.iterations == 7
    ours.iterations.assign_add(1)
    assert ours.variables[0] == 16


def test_learning_rate_function_and_schedule():
    rates = iter([0.5, 0.25, 0.125, 0.1])
    ours = optimizers.SGD(lambda: next(rates))
    ours.build([weight := torch.nn.Parameter(torch.zeros(1))])
    weight.grad = torch.ones(1)
    ours.step()
    ours.step()
    assert weight.item() == -0.75
    assert ours.learning_rate == 0.125
    ours.learning_rate = 0.5
    ours.step()
    assert weight.item() == -1.25
    ours.learning_rate = optimizers.schedules.InverseTimeDecay(1.0, 1, 1.0)
    assert ours.learning_rate == 0.25
    with pytest.raises(TypeError, match="follows InverseTimeDecay"):
        ours.learning_rate = 0.1
    with pytest.raises(TypeError, match="follows InverseTimeDecay"):
        ours.learning_rate.assign(0.1)


def test_old_decay():
    with pytest.warns(UserWarning, match="old Keras"):
        ours = optimizers.SGD(lr=0.5, decay=1.0)
    ours.build([weight := torch.nn.Parameter(torch.zeros(1))])
    weight.grad = torch.ones(1)
    ours.step()
    ours.step()
    assert weight.item() == pytest.approx(-0.5 - 0.25)
    assert ours.lr == 0.5
    again = optimizers.SGD.from_config(ours.get_config())
    again.iterations.assign(2)
    assert again.learning_rate == pytest.approx(0.5 / 3)


def test_apply_gradients():
    ours = optimizers.SGD(1.0)
    weights = our_weights()
    before = values(weights)
    steps = ours.apply_gradients([(g, w) for g, w in zip(gradients(0), weights, strict=True)])
    assert steps == 1
    close(values(weights), [b - g for b, g in zip(before, gradients(0), strict=True)])
    with pytest.warns(UserWarning, match="No gradient for layer/bias"):
        ours.apply([gradients(1)[0], None, gradients(1)[2]])
    assert ours.apply([]) is None
    ours.apply([torch.tensor(gradients(2)[1])], [weights[1]])
    assert ours.iterations == 3


class Momentum(optimizers.Optimizer):
    """A user's rule, written as for Keras."""

    def __init__(self, learning_rate=0.01, share=0.9, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.share = share

    def build(self, variables):
        super().build(variables)
        self.slots = [self.add_variable_from_reference(v, name="momentum") for v in variables]
        self.other = self.add_optimizer_variables(variables, ["a", "b"], ["zeros", "ones"])
        self.total = self.add_variable((), name="total")

    def update_step(self, gradient, variable, learning_rate):
        slot = self.slots[self._get_variable_index(variable)]
        self.assign(slot, slot * self.share - gradient * learning_rate)
        self.assign_add(variable, slot)
        self.assign_add(self.total, 1.0)


def test_rule_of_ones_own():
    ours, weights = Momentum(0.01), our_weights()
    _, _, theirs, variables = pair("SGD", momentum=0.9)
    ours.build(weights)
    ours.build(weights)
    compare(ours, weights, theirs, variables, 5)
    assert ours.get_config()["share"] == 0.9
    assert len(ours.variables) == 2 + 9 + 1
    assert ours.other[1][0].min() == 1.0
    saved = copy.deepcopy(ours.state_dict())
    fresh, others = Momentum(0.01), our_weights()
    fresh.build(others)
    fresh.load_state_dict(saved)
    assert (fresh.total, len(fresh.slots)) == (15.0, 3)
    for weight, variable in zip(others, variables, strict=True):
        weight.assign(variable.numpy())
    our_step(fresh, others, 5)
    keras_step(theirs, variables, 5)
    close(values(others), values(variables))


def test_overridden_methods_are_used():
    class Doubled(optimizers.Adam):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient * 2, variable, learning_rate)

    class Centered(optimizers.Nadam):
        def apply(self, grads, trainable_variables=None):
            super().apply([g * 2 for g in grads], trainable_variables)

        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient, variable, learning_rate)

    for made, plain in (
        (Doubled(0.01), optimizers.Adam(0.01)),
        (Centered(0.01), optimizers.Nadam(0.01)),
    ):
        first, second = our_weights(), our_weights()
        made.build(first)
        plain.build(second)
        for step in range(4):
            our_step(made, first, step)
            for weight, gradient in zip(second, gradients(step), strict=True):
                weight.grad = torch.tensor(gradient) * 2
            plain.step()
        close(values(first), values(second))


# ---- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_get_by_name(name):
    for text in (name, name.lower(), name.upper()):
        assert type(optimizers.get(text)).__name__ == name
    assert optimizers.get({"class_name": name, "config": {}}).built is False
    assert type(optimizers.get(getattr(optimizers, name))).__name__ == name


def test_get_torch():
    parameters = [torch.nn.Parameter(torch.zeros(2))]
    made = torch.optim.SGD(parameters, lr=0.1)
    assert optimizers.get(made) is made
    for later in (torch.optim.AdamW, lambda params: torch.optim.AdamW(params)):
        assert isinstance(optimizers.get(later).build(parameters), torch.optim.AdamW)
    assert optimizers.get(None) is None
    with pytest.raises(TypeError, match="returned int"):
        optimizers.get(lambda params: 3).build(parameters)


def test_names():
    keras.utils.clear_session()
    from lightkeras import _registry

    _registry.reset_names()
    for name in (*RULES, *RULES):
        assert getattr(optimizers, name)().name == getattr(keras.optimizers, name)().name


# ---- refusals -----------------------------------------------------------------------------------

WRONG = [
    (lambda: optimizers.Adam(-1.0), ValueError, r"Adam\(learning_rate=-1.0\) is out of range"),
    (lambda: optimizers.Adam(float("nan")), ValueError, "learning_rate=nan"),
    (lambda: optimizers.Adam(float("inf")), ValueError, "learning_rate=inf"),
    (lambda: optimizers.Adam("fast"), TypeError, "is not a number"),
    (lambda: optimizers.Adam(True), TypeError, "is not a number"),
    (lambda: optimizers.Adam(lambda step: 0.1), TypeError, "without arguments"),
    (lambda: optimizers.Adam(optimizers.schedules.CosineDecay), TypeError, "without arguments"),
    (lambda: optimizers.Adam(lambda: 0.1, _decay=0.1), ValueError, "Leave decay out"),
    (lambda: optimizers.Adam(beta_1=2), ValueError, r"Adam\(beta_1=2\).* 0 <= x < 1"),
    (lambda: optimizers.Adam(beta_2=1.0), ValueError, "beta_2=1.0"),
    (lambda: optimizers.Adam(epsilon=-1e-7), ValueError, "epsilon"),
    (lambda: optimizers.Adam(clipnorm=-1), ValueError, r"clipnorm=-1\).*x > 0"),
    (lambda: optimizers.Adam(clipvalue=0), ValueError, "clipvalue=0"),
    (lambda: optimizers.Adam(global_clipnorm=float("nan")), ValueError, "global_clipnorm"),
    (lambda: optimizers.Adam(clipnorm=1, clipvalue=1), ValueError, "clipnorm and clipvalue"),
    (lambda: optimizers.Adam(weight_decay=-0.1), ValueError, "weight_decay"),
    (lambda: optimizers.AdamW(weight_decay=None), ValueError, "Write Adam"),
    (lambda: optimizers.Adam(ema_momentum=1.5), ValueError, "ema_momentum"),
    (lambda: optimizers.Adam(ema_overwrite_frequency=-2), ValueError, "ema_overwrite_frequency"),
    (lambda: optimizers.Adam(ema_overwrite_frequency=1.5), ValueError, "integer"),
    (lambda: optimizers.Adam(gradient_accumulation_steps=1), ValueError, "integer x >= 2"),
    (lambda: optimizers.SGD(momentum=1.5), ValueError, "momentum"),
    (lambda: optimizers.Lion(beta_1=0), ValueError, "beta_1"),
    (lambda: optimizers.RMSprop(rho=-0.1), ValueError, "rho"),
    (lambda: optimizers.Ftrl(learning_rate_power=0.5), ValueError, "learning_rate_power"),
    (lambda: optimizers.Ftrl(l1_regularization_strength=-1), ValueError, "l1_regularization"),
    (lambda: optimizers.Adam(learning_rat=0.1), TypeError, "Did you mean 'learning_rate'"),
    (lambda: optimizers.get("rmsporp"), ValueError, "Did you mean 'rmsprop'"),
    (lambda: optimizers.get(3), TypeError, "optimizer=builtins.int object is no optimizer"),
    (lambda: optimizers.get(keras.optimizers.Adam()), TypeError, "keras.*Adam object is no opt"),
    (lambda: optimizers.get(torch.nn.Linear), TypeError, "builtins.type object"),
    (lambda: optimizers.SGD().step(), ValueError, "none of its 0 weights has a gradient"),
    (lambda: optimizers.SGD().build(["kernel"]), TypeError, "list with str"),
    (lambda: optimizers.SGD().apply([1.0]), ValueError, "1 gradients for 0 weights"),
    (lambda: optimizers.Optimizer(0.1).apply([0.0], our_weights()[1:2]), ValueError, "shape"),
    (lambda: optimizers.Optimizer(0.1).apply(gradients(0), our_weights()), TypeError, "no rule"),
]


@pytest.mark.parametrize(("call", "error", "text"), WRONG)
def test_refusals(call, error, text):
    with pytest.raises(error, match=text) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 1


def test_zero_learning_rate_warns():
    with pytest.warns(UserWarning, match="leaves all weights as they are") as caught:
        optimizers.Adam(0.0)
    assert caught[0].filename == __file__


def test_one_optimizer_two_models():
    ours, weights, *_ = pair("Adam")
    assert ours.build(weights) is ours
    weights[0].requires_grad_(False)
    ours.build(weights[1:])
    for use in (ours.build, lambda w: ours.apply(gradients(0), w)):
        with pytest.raises(
            ValueError, match=r"already belongs to .*from_config\(opt.get_config\(\)\)"
        ):
            use(our_weights())
    with pytest.raises(ValueError, match="none of its 3 weights has a gradient"):
        ours.step()
    assert ours.iterations == 0


def test_foreign_state_dict_is_refused_whole():
    ours, weights, *_ = pair("Adam")
    our_step(ours, weights, 0)
    before = copy.deepcopy(ours.state_dict())
    theirs = torch.optim.Adam(weights)
    theirs.step()
    rmsprop = optimizers.RMSprop().build(our_weights())
    small = optimizers.Adam().build(
        [torch.nn.Parameter(torch.zeros(s)) for s in ((3, 4), (4,), (2, 2))]
    )
    for other, text in (
        (theirs, "step count"),
        (rmsprop, "'momentum'"),
        (small, "where the shape is"),
    ):
        with pytest.raises(ValueError, match=text):
            ours.load_state_dict(other.state_dict())
        assert str(ours.state_dict()) == str(before)
    with pytest.warns(UserWarning, match="3 variables for optimizer"):
        ours.load_own_variables({"0": 1, "1": 2, "2": 3})
    with pytest.raises(ValueError, match="variables, got 1 arrays"):
        ours.set_weights([np.zeros(1)])
    wrong = [v.numpy() for v in ours.variables]
    wrong[3] = np.zeros(7)
    with pytest.raises(ValueError, match="Shapes must be equal"):
        ours.set_weights(wrong)
    assert str(ours.state_dict()) == str(before)
