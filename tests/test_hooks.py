"""Every hook of callbacks, beside live Keras: its order, its numbers, the keys of its logs."""

import numpy as np
import pytest
from _beside import beside

RNG = np.random.RandomState(0)
X = RNG.rand(45, 4).astype("float32")
Y = (X.sum(1) > 2).astype("int64")

MOMENTS = [f"{mode}{batch}_{end}" for mode in ("train", "test", "predict")
           for batch in ("", "_batch") for end in ("begin", "end")]  # fmt: skip
HOOKS = [f"on_{m}" for m in [*MOMENTS, "epoch_begin", "epoch_end", "batch_begin", "batch_end"]]


def model(k):
    found = k.Sequential([k.Input((4,)), k.layers.Dense(3, activation="relu"), k.layers.Dense(2)])
    loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    found.compile("sgd", loss, metrics=["accuracy"])
    draw = np.random.RandomState(1)
    found.set_weights([draw.uniform(-1, 1, w.shape) for w in found.get_weights()])
    return found


def entry(hook, args, kwargs):
    """What is compared of a call: where, and {name: value} of the logs."""
    values = [*args, *kwargs.values()]
    logs = next((v for v in values if isinstance(v, dict)), None)
    shown = {k: np.shape(v) if k == "outputs" else float(v) for k, v in (logs or {}).items()}
    return [hook, logs is None, [v for v in values if not isinstance(v, dict)], shown]


def by_class(k, seen):
    """A class with every hook, which also writes down `params` and whose model it has."""

    def method(hook):
        def call(self, *args, **kwargs):
            kept = {n: self.params.get(n) for n in ("epochs", "steps", "verbose")}
            seen.append([*entry(hook, args, kwargs), kept, type(self.model).__name__])

        return call

    return type("Every", (k.callbacks.Callback,), {hook: method(hook) for hook in HOOKS})()


def by_lambdas(k, seen):
    def function(hook):
        return lambda *args, **kwargs: seen.append(entry(hook, args, kwargs))

    return k.callbacks.LambdaCallback(**{hook: function(hook) for hook in HOOKS})


def without_batches(k, seen):
    """Only the hooks of epochs: training runs many steps at a time."""
    hooks = [h for h in HOOKS if "batch" not in h]

    def function(hook):
        return lambda *args, **kwargs: seen.append(entry(hook, args, kwargs))

    return k.callbacks.LambdaCallback(**{hook: function(hook) for hook in hooks})


def batches():
    while True:
        yield X[:10], Y[:10]


VALIDATED = {"validation_data": (X[:20], Y[:20]), "validation_batch_size": 8}
CALLS = {
    "fit": ("fit", {}),
    "fit, validated": ("fit", VALIDATED),
    "fit, split": ("fit", {"validation_split": 0.4}),
    "fit, validated every 2": ("fit", {**VALIDATED, "validation_freq": 2, "epochs": 5}),
    "fit, validated in 1 and 3": ("fit", {**VALIDATED, "validation_freq": [1, 3], "epochs": 4}),
    "fit, steps_per_epoch": ("fit", {"steps_per_epoch": 2}),
    "fit, validation_steps": ("fit", {**VALIDATED, "validation_steps": 1}),
    "fit, initial_epoch": ("fit", {"initial_epoch": 3, "epochs": 5}),
    "fit, parts of the data": ("fit", {"steps_per_epoch": 2, "initial_epoch": 1, "epochs": 4}),
    "fit, none left": ("fit", {"initial_epoch": 5, "epochs": 5}),
    "fit, 0 epochs": ("fit", {"epochs": 0}),
    "fit, generator": ("fit", {"x": batches, "y": None, "batch_size": None, "steps_per_epoch": 3}),
    "evaluate": ("evaluate", {}),
    "evaluate, steps": ("evaluate", {"steps": 2}),
    "predict": ("predict", {}),
    "predict, steps": ("predict", {"steps": 2}),
}


@pytest.mark.parametrize("kind", [by_class, by_lambdas, without_batches])
@pytest.mark.parametrize("call", CALLS)
def test_hooks(call, kind):
    method, changed = CALLS[call]

    def program(k):
        seen = []
        given = {"x": X, "y": Y, "batch_size": 16, "verbose": 0, **changed}
        if method == "fit":
            given = {"epochs": 2, "shuffle": False, **given}
        elif method == "predict":
            del given["y"]
        given["x"] = given["x"]() if callable(given["x"]) else given["x"]
        getattr(model(k), method)(callbacks=[kind(k, seen)], **given)
        return seen

    beside(program)


def stopping(k, hook, attribute, seen):
    """Asks to stop in the hook, in the second call of it."""
    recorder = by_class(k, seen)
    calls = []

    def stop(*args, **kwargs):
        calls.append(hook)
        if len(calls) == 2:
            setattr(recorder.model, attribute, True)

    return [recorder, k.callbacks.LambdaCallback(**{hook: stop})]


STOPS = [
    ("fit", "on_epoch_begin", "stop_training"),
    ("fit", "on_epoch_end", "stop_training"),
    ("fit", "on_train_batch_begin", "stop_training"),
    ("fit", "on_train_batch_end", "stop_training"),
    ("fit", "on_test_batch_end", "stop_training"),
    ("fit", "on_test_begin", "stop_training"),
    ("fit", "on_test_batch_end", "stop_evaluating"),
    ("evaluate", "on_test_batch_begin", "stop_evaluating"),
    ("evaluate", "on_test_batch_end", "stop_evaluating"),
    ("predict", "on_predict_batch_begin", "stop_predicting"),
    ("predict", "on_predict_batch_end", "stop_predicting"),
]


@pytest.mark.parametrize(("method", "hook", "attribute"), STOPS)
def test_stopping_in_a_hook(method, hook, attribute):
    def program(k):
        seen, mine = [], model(k)
        given = {"x": X, "y": Y, "batch_size": 16, "verbose": 0}
        if method == "fit":
            given |= {"epochs": 4, "shuffle": False, **VALIDATED}
        elif method == "predict":
            del given["y"]
        result = getattr(mine, method)(callbacks=stopping(k, hook, attribute, seen), **given)
        result = result.history if method == "fit" else result
        return [seen, result, getattr(mine, attribute)]

    beside(program)


@pytest.mark.parametrize("kind", ["dict", "list", "nested"])
def test_outputs_that_a_batch_of_predict_gave(kind):
    def program(k):
        x, seen = k.Input((4,)), []
        a, b = (k.layers.Dense(n, name=name)(x) for name, n in (("a", 2), ("b", 3)))
        mine = k.Model(x, {"dict": {"z": a, "b": b}, "list": [a, b], "nested": {"q": [a, b]}}[kind])
        draw = np.random.RandomState(1)
        mine.set_weights([draw.uniform(-1, 1, w.shape) for w in mine.get_weights()])
        hook = k.callbacks.LambdaCallback(on_predict_batch_end=lambda n, logs: seen.append(logs))
        mine.predict(X, batch_size=16, verbose=0, callbacks=[hook])
        return seen

    beside(program)


@pytest.mark.parametrize(
    ("plain", "weighted"),
    [(["accuracy"], ["accuracy"]), (["accuracy"] * 2, None), (["accuracy"] * 2, ["accuracy"] * 2)],
    ids=["both", "twice", "twice in both"],
)
def test_a_metric_under_one_name_more_than_once(plain, weighted):
    def program(k):
        mine, w = model(k), np.arange(45.0) / 45
        loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
        mine.compile("sgd", loss, metrics=plain, weighted_metrics=weighted)
        given = {"sample_weight": w, "verbose": 0}
        values = mine.evaluate(X, Y, **given), mine.evaluate(X, Y, return_dict=True, **given)
        return [*values, mine.fit(X, Y, shuffle=False, **given).history]

    beside(program)
