"""`compile(jit_compile=True)` and what a recording would keep: values, switches, effects of Python.

Each case is trained as it is and with recorded steps, and must give the same numbers: because the
step is recorded anew, or because it is refused with a warning that names what is in the way.
"""

import random
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras import layers, optimizers
from lightkeras.models import _jit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(56, 6)).astype("float32")
Y = X[:, :1] * 0.5 + 0.1
SETTINGS = {"factor": 1.0}
FACTOR = 1.0
OPTIONS = SimpleNamespace(factor=1.0)
TABLE = np.ones(4, "float32")


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """Recorded steps run without the compiler; the list says how many were recorded."""
    made = []

    def compiled(graph, arguments):
        made.append(graph)
        return graph

    monkeypatch.setattr(_jit, "_compiled", compiled)
    return made


class Scaled(layers.Layer):
    """Multiplies by what `rule(layer, x)` says."""

    def __init__(self, rule, **attributes):
        super().__init__(name="scaled")
        self.rule = rule
        for name, value in attributes.items():
            setattr(self, name, value)

    def call(self, x):
        return x * self.rule(self, x)


def model_with(layer, optimizer="sgd", loss="mse", **compile):
    def make():
        parts = [lk.Input((6,)), layers.Dense(4, name="first"), layer(), layers.Dense(1)]
        return lk.Sequential(parts, name="m"), {"optimizer": optimizer, "loss": loss, **compile}

    return make


def run(make, jit, epochs=4, change=None, batch=None, x=X, y=Y, **fit):
    """(History, weights, model); `change(model, epoch)` runs between epochs."""
    lk.utils.set_random_seed(1)
    np.random.seed(1)
    random.seed(1)
    model, options = make()
    model.compile(**options, jit_compile=jit)
    called = []
    if change is not None:
        called.append(lk.callbacks.LambdaCallback(on_epoch_begin=lambda e, _: change(model, e)))
    if batch is not None:
        called.append(
            lk.callbacks.LambdaCallback(on_train_batch_begin=lambda b, _: batch(model, b))
        )
    history = model.fit(
        x, y, epochs=epochs, batch_size=16, verbose=0, callbacks=called, **fit
    ).history
    return history, model.get_weights(), model


def same(one, two, rtol=2e-5, atol=1e-6):
    assert one[0].keys() == two[0].keys()
    for name in one[0]:
        np.testing.assert_allclose(one[0][name], two[0][name], rtol=rtol, atol=atol)
    for a, b in zip(one[1], two[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def refused(make, why, **more):
    """Both ways give the same, and one warning says why."""
    plain = run(make, False, **more)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        other = run(make, True, **more)
    texts = [str(w.message) for w in caught if "is not compiled" in str(w.message)]
    assert len(texts) == 1 and why in texts[0], texts
    same(plain, other)


def followed(make, **more):
    """Both ways give the same without a warning."""
    plain = run(make, False, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        other = run(make, True, **more)
    same(plain, other)
    return other[2]


# ---- what a step does in Python -----------------------------------------------------------------


def counts(layer, x):
    layer.calls += 1
    return 1 / layer.calls


def grows(layer, x):
    layer.seen.append(1)
    return 1 / len(layer.seen)


def branches_on_a_counter(layer, x):
    layer.step = layer.step + 1
    return 0.5 if layer.step > 5 else 1.0


def in_a_dict(layer, x):
    layer.kept["n"] = layer.kept.get("n", 0) + 1
    return 1 / layer.kept["n"]


def in_a_set(layer, x):
    layer.kept.add(len(layer.kept))
    return 1 / len(layer.kept)


def in_an_object(layer, x):
    layer.kept.n += 1
    return 1 / layer.kept.n


def in_an_array(layer, x):
    layer.kept[0] += 1
    return 1 / float(layer.kept[0])


def in_a_global_dict(layer, x):
    SETTINGS["n"] = SETTINGS.get("n", 0) + 1
    return 1 / (1 + SETTINGS["n"] % 7)


def in_a_global(layer, x):
    global FACTOR
    FACTOR = 1.5 - FACTOR
    return FACTOR


def keeps_its_output(layer, x):
    layer.latest = 2 * x
    return 1.0


def from_numpy(layer, x):
    return float(np.random.random())


def from_random(layer, x):
    return random.random()


def from_own_rng(layer, x):
    return layer.rng.random()


def from_torch_generator(layer, x):
    return torch.rand((), generator=layer.rng)


def from_fixed_seed(layer, x):
    return lk.random.uniform((), seed=7)


def from_seed_generator(layer, x):
    return lk.random.uniform((), seed=layer.rng)


def from_iterator(layer, x):
    return next(layer.values)


def reads_item(layer, x):
    return 2.0 if x.sum().item() > 0 else 1.0


def reads_truth(layer, x):
    return 2.0 if x.sum() > 0 else 1.0


def reads_numpy(layer, x):
    return float(x.detach().numpy().mean() > 0) + 1


def reads_index(layer, x):
    return [1.0, 2.0][(x.detach()[0, 0] > 0).long()]


def reads_membership(layer, x):
    return 2.0 if 0.0 in torch.relu(x) else 1.0


def shows(layer, x):
    print("step")
    return 1.0


def shows_values(layer, x):
    layer.name + f"{x.sum()}"
    return 1.0


def asks_the_time(layer, x):
    return 1.0 if time.time() > 0 else 2.0


def selects(layer, x):
    return x[x > 0].sum() / x.numel()


def changes_a_tensor(layer, x):
    layer.kept.add_(1)
    return 1 / layer.kept


def counts_twice(layer, x):  # the reading does not undo the counting, nor repeat it
    layer.calls += 1
    return (1.0 if x.sum().item() > 1e9 else 0.5) / layer.calls


REFUSED = {
    "counter": (counts, "'scaled'.calls", {"calls": 0}),
    "list": (grows, "'scaled'.seen", {"seen": [1]}),
    "branch": (branches_on_a_counter, "'scaled'.step", {"step": 0}),
    "dict": (in_a_dict, "'scaled'.kept['n']", {"kept": {"n": 0}}),
    "set": (in_a_set, "'scaled'.kept", {"kept": {9}}),
    "object": (in_an_object, "'scaled'.kept.n", {"kept": SimpleNamespace(n=0)}),
    "array": (in_an_array, "'scaled'.kept", {"kept": np.zeros(1)}),
    "global dict": (in_a_global_dict, "SETTINGS", {}),
    "global": (in_a_global, "FACTOR", {}),
    "output": (keeps_its_output, "'scaled'.latest", {"latest": None}),
    "numpy": (from_numpy, "Python or NumPy", {}),
    "random": (from_random, "Python or NumPy", {}),
    "rng": (from_own_rng, "'scaled'.rng", {"rng": lambda: np.random.default_rng(0)}),
    "torch rng": (from_torch_generator, "'scaled'.rng", {"rng": torch.Generator}),
    "fixed seed": (from_fixed_seed, "of its own", {}),
    "seeds": (from_seed_generator, "'scaled'.rng", {"rng": lambda: lk.random.SeedGenerator(3)}),
    "iterator": (from_iterator, "next()", {"values": lambda: iter(np.linspace(1, 2, 99).tolist())}),
    "item": (reads_item, "(item)", {}),
    "truth": (reads_truth, "(__bool__)", {}),
    "values": (reads_numpy, "(numpy)", {}),
    "index": (reads_index, "reads the values", {}),
    "membership": (reads_membership, "reads the values", {}),
    "print": (shows, "print() in shows()", {}),
    "format": (shows_values, "(__format__)", {}),
    "time": (asks_the_time, "time() in asks_the_time()", {}),
    "selection": (selects, "depends on the numbers", {}),
    "tensor": (changes_a_tensor, "neither weights nor buffers", {"kept": lambda: torch.ones(())}),
    "twice": (counts_twice, "'scaled'.calls", {"calls": 0}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_step_does_in_python_is_refused(name):
    rule, why, given = REFUSED[name]

    def make():
        SETTINGS.pop("n", None)
        globals()["FACTOR"] = 1.0
        fresh = {k: v() if callable(v) else _fresh(v) for k, v in given.items()}
        return model_with(lambda: Scaled(rule, **fresh))()

    refused(make, why)


def _fresh(value):
    if isinstance(value, SimpleNamespace):
        return SimpleNamespace(**vars(value))
    return value.copy() if hasattr(value, "copy") else value


# ---- what is changed between steps --------------------------------------------------------------


def by_attribute(layer, x):
    return layer.factor


def by_global(layer, x):
    return FACTOR


def by_global_object(layer, x):
    return OPTIONS.factor


def by_global_dict(layer, x):
    return SETTINGS["factor"]


def by_array(layer, x):
    return torch.as_tensor(layer.factor)[0]


def by_global_array(layer, x):
    return torch.from_numpy(TABLE)


def by_closure():
    factor = 1.0

    def rule(layer, x):
        return factor

    def set_to(value):
        nonlocal factor
        factor = value

    rule.set_to = set_to
    return rule


def change_global(model, epoch):
    globals()["FACTOR"] = 1 / (epoch + 1)


def change_object(model, epoch):
    OPTIONS.factor = 1 / (epoch + 1)


def change_dict(model, epoch):
    SETTINGS["factor"] = 1 / (epoch + 1)


def change_array(model, epoch):
    model.layers[1].factor[:] = 1 / (epoch + 1)


def change_table(model, epoch):
    TABLE[:] = 1 / (epoch + 1)


def change_attribute(model, epoch):
    model.layers[1].factor = 1 / (epoch + 1)


def change_tensor(model, epoch):
    model.layers[1].factor.fill_(1 / (epoch + 1))


def change_tensor_object(model, epoch):
    model.layers[1].factor = torch.full((), 1 / (epoch + 1))


def change_class(model, epoch):
    Scaled.factor = 1 / (epoch + 1)


CHANGED = {
    "attribute": (by_attribute, {"factor": 1.0}, change_attribute),
    "global": (by_global, {}, change_global),
    "global object": (by_global_object, {}, change_object),
    "global dict": (by_global_dict, {}, change_dict),
    "array": (by_array, {"factor": lambda: np.ones(1, "float32")}, change_array),
    "global array": (by_global_array, {}, change_table),
    "tensor": (by_attribute, {"factor": lambda: torch.ones(())}, change_tensor),
    "other tensor": (by_attribute, {"factor": lambda: torch.ones(())}, change_tensor_object),
    "class": (by_attribute, {}, change_class),
    "closure": (by_closure, {}, lambda m, e: m.layers[1].rule.set_to(1 / (e + 1))),
}


@pytest.mark.parametrize(
    ("name", "each"),
    [*((name, "epoch") for name in CHANGED), ("attribute", "batch"), ("global object", "batch")],
)
def test_what_is_changed_between_steps_is_followed(name, each):
    rule, given, change = CHANGED[name]

    def make():
        for reset in (change_global, change_object, change_dict, change_table, change_class):
            reset(None, 0)
        fresh = {k: v() if callable(v) else v for k, v in given.items()}
        return model_with(lambda: Scaled(rule() if rule is by_closure else rule, **fresh))()

    model = followed(make, **{"change" if each == "epoch" else "batch": change})
    assert not model._compiled.steps["train"].failed


def set_rate(model, epoch):
    model.layers[1].rate = 0.1 * (epoch + 1)


def set_penalty(model, epoch):
    model.layers[0].kernel_regularizer.l2 = 0.1 * (epoch + 1)


def set_decay(model, epoch):
    model.optimizer.weight_decay = 0.01 * (epoch + 1)


def set_clip(model, epoch):
    model.optimizer.clipnorm = 0.01 * (epoch + 1)


def set_momentum(model, epoch):
    model.optimizer.momentum = 0.2 * epoch


def set_learning_rate(model, epoch):
    model.optimizer.learning_rate.assign(0.1 / (epoch + 1))


def set_schedule(model, epoch):
    if epoch == 2:
        model.optimizer.learning_rate = optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)


def set_frozen(model, epoch):
    model.layers[0].trainable = epoch % 2 == 0


def set_moving(model, epoch):
    model.layers[1].momentum = 0.5 + 0.1 * epoch


def set_weights(model, epoch):
    model.set_weights([w * 0.5 for w in model.get_weights()])


def replace_data(model, epoch):
    for p in model.parameters():
        p.data = p.data * 0.5


def replace_parameter(model, epoch):
    first = model.layers[0]
    first.weight = torch.nn.Parameter(first.weight.detach() * 0.5)


def set_iterations(model, epoch):
    model.optimizer.iterations.assign(0)


def use_average(model, epoch):
    model.optimizer.gradient_accumulation_steps = None


def clear_state(model, epoch):
    state = model.optimizer.state_dict()
    model.optimizer.load_state_dict(state)


def penalized():
    return layers.Activation("tanh")


class Weighted(lk.losses.Loss):
    factor = 1.0

    def call(self, y_true, y_pred):
        return self.factor * (y_true - y_pred).square().mean(-1)


def set_loss(model, epoch):
    model.loss.factor = 1 / (epoch + 1)


def l2_first():
    parts = [lk.Input((6,)), layers.Dense(4, kernel_regularizer=lk.regularizers.L2(0.1))]
    return lk.Sequential([*parts, layers.Dense(1)]), {"optimizer": "sgd", "loss": "mse"}


OURS = {
    "rate": (model_with(lambda: layers.Dropout(0.05)), set_rate),
    "stddev": (
        model_with(lambda: layers.GaussianNoise(0.1)),
        lambda m, e: setattr(m.layers[1], "stddev", 0.1 * e),
    ),
    "penalty": (l2_first, set_penalty),
    "decay": (
        model_with(penalized, optimizer=lambda: optimizers.AdamW(0.01, weight_decay=0.1)),
        set_decay,
    ),
    "clipnorm": (
        model_with(penalized, optimizer=lambda: optimizers.SGD(0.1, clipnorm=0.01)),
        set_clip,
    ),
    "momentum": (
        model_with(penalized, optimizer=lambda: optimizers.SGD(0.1, momentum=0.1)),
        set_momentum,
    ),
    "assign": (model_with(penalized, optimizer="adam"), set_learning_rate),
    "schedule": (model_with(penalized, optimizer="adam"), set_schedule),
    "moving": (model_with(layers.BatchNormalization), set_moving),
    "set_weights": (model_with(penalized, optimizer="adam"), set_weights),
    "data": (model_with(penalized, optimizer="adam"), replace_data),
    "iterations": (model_with(penalized, optimizer="adam"), set_iterations),
    "load": (model_with(penalized, optimizer="adam"), clear_state),
    "loss": (model_with(penalized, loss=Weighted), set_loss),
    "frozen": (model_with(penalized, optimizer="adam"), set_frozen),
}


@pytest.mark.parametrize("name", OURS)
def test_what_keras_code_changes_while_it_trains_is_followed(name):
    made, change = OURS[name]

    def make():
        model, options = made()
        fresh = {k: v() if callable(v) else v for k, v in options.items()}
        return model, fresh

    model = followed(make, change=change)
    assert not model._compiled.steps["train"].failed
