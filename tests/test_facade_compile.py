"""What compile takes, and what fit, evaluate and single batches give for it, beside Keras."""

import numpy as np
import pytest
from _beside import assert_equal, beside, seeded

import lightkeras as lk

RNG = np.random.RandomState(0)
X = RNG.rand(22, 3).astype("float32")


# ---- compile: forms of losses and metrics --------------------------------------------------------

P, Q = RNG.rand(22, 1).astype("float32"), RNG.rand(22, 2).astype("float32")
W = np.linspace(0.1, 2, 22).astype("float32")
IDS = np.arange(22) % 2


def own(k):
    """A loss, or a metric, of one's own."""

    def absolute(y_true, y_pred):
        return k.ops.mean(k.ops.absolute(k.ops.subtract(y_true, y_pred)), axis=-1)

    return absolute


def one(k, units=2, activation=None, **arguments):
    model = k.Sequential([k.Input((3,)), k.layers.Dense(units, activation, name="out")])
    model.compile(**{"optimizer": "sgd", "loss": "mse", **arguments})
    return seeded(model)


def two(k, **arguments):
    x = k.Input((3,), name="x")
    h = k.layers.Dense(3)(x)
    model = k.Model(x, [k.layers.Dense(1, name="p")(h), k.layers.Dense(2, name="q")(h)])
    model.compile(**{"optimizer": "sgd", "loss": "mse", **arguments})
    return seeded(model)


def named(k, **arguments):
    x = k.Input((3,), name="x")
    h = k.layers.Dense(3)(x)
    outputs = {"a": k.layers.Dense(1, name="p")(h), "b": k.layers.Dense(2, name="q")(h)}
    model = k.Model(x, outputs)
    model.compile(**{"optimizer": "sgd", "loss": "mse", **arguments})
    return seeded(model)


def probabilities(k, units=2, activation="softmax", **arguments):
    return one(k, units, activation, **arguments)


SCCE = {"loss": "sparse_categorical_crossentropy"}
# name: (model, what compile gets, targets)
ONE = {
    "text": (one, lambda k: {"loss": "mae", "metrics": ["mse"]}, Q),
    "long names": (
        one,
        lambda k: {"loss": "mean_squared_error", "metrics": ["MeanSquaredError"]},
        Q,
    ),
    "object": (
        one,
        lambda k: {"loss": k.losses.Huber(0.1), "metrics": [k.metrics.MeanAbsoluteError()]},
        Q,
    ),
    "class by name": (one, lambda k: {"loss": "Huber", "metrics": ["RootMeanSquaredError"]}, Q),
    "function": (
        one,
        lambda k: {"loss": k.losses.mean_absolute_error, "metrics": [k.losses.mean_squared_error]},
        Q,
    ),
    "of one's own": (one, lambda k: {"loss": own(k), "metrics": [own(k)]}, Q),
    "named": (one, lambda k: {"metrics": [k.metrics.MeanSquaredError(name="mine"), "mae"]}, Q),
    "twice": (
        one,
        lambda k: {"metrics": ["mae", "mae", k.metrics.MeanAbsoluteError(name="mae")]},
        Q,
    ),
    "list of one": (one, lambda k: {"loss": ["mse"], "metrics": [["mae", "mse"]]}, Q),
    "weight of the loss": (one, lambda k: {"loss_weights": [0.5], "metrics": ["mse"]}, Q),
    "weighted": (one, lambda k: {"metrics": ["mae"], "weighted_metrics": ["mae", "mse"]}, Q),
    "weighted alone": (one, lambda k: {"weighted_metrics": ["mae"]}, Q),
    "accuracy of ids": (probabilities, lambda k: {**SCCE, "metrics": ["accuracy", "acc"]}, IDS),
    "accuracy of columns": (
        probabilities,
        lambda k: {**SCCE, "metrics": ["accuracy"]},
        IDS[:, None],
    ),
    "accuracy of one-hot": (
        probabilities,
        lambda k: {"loss": "categorical_crossentropy", "metrics": ["accuracy", "acc"]},
        np.eye(2)[IDS],
    ),
    "accuracy of bits": (
        lambda k, **a: probabilities(k, 1, "sigmoid", **a),
        lambda k: {"loss": "binary_crossentropy", "metrics": ["accuracy", k.metrics.AUC()]},
        IDS,
    ),
    "accuracy of several bits": (
        lambda k, **a: probabilities(k, 2, "sigmoid", **a),
        lambda k: {"loss": "bce", "metrics": ["accuracy", "Precision"]},
        (Q > 0.5).astype("float32"),
    ),
    "from logits": (
        one,
        lambda k: {"loss": k.losses.SparseCategoricalCrossentropy(from_logits=True)},
        IDS,
    ),
    "sum over rows": (one, lambda k: {"loss": k.losses.MeanSquaredError(reduction="sum")}, Q),
    "eagerly": (one, lambda k: {"run_eagerly": True, "metrics": ["mae"]}, Q),
    "not compiled": (one, lambda k: {"jit_compile": False, "metrics": ["mae"]}, Q),
    "not scaled": (one, lambda k: {"auto_scale_loss": False, "metrics": ["mae"]}, Q),
    "optimizer": (one, lambda k: {"optimizer": k.optimizers.Adam(0.1)}, Q),
    "optimizer of a config": (
        one,
        lambda k: {
            "optimizer": k.optimizers.get({"class_name": "Adam", "config": {"learning_rate": 0.1}})
        },
        Q,
    ),
    "schedule": (
        one,
        lambda k: {
            "optimizer": k.optimizers.SGD(k.optimizers.schedules.ExponentialDecay(0.5, 2, 0.5))
        },
        Q,
    ),
}
TWO = {
    "one for both": lambda k: {"loss": "mse"},
    "lists": lambda k: {"loss": ["mse", "mae"], "metrics": [["mae"], ["mse", "mae"]]},
    "lists of names": lambda k: {"loss": ["mse", "mae"], "metrics": ["mae", "mse"]},
    "dicts": lambda k: {"loss": {"p": "mse", "q": "mae"}, "metrics": {"p": "mae", "q": ["mse"]}},
    "dicts in another order": lambda k: {"loss": {"q": "mse", "p": "mae"}},
    "None in a list": lambda k: {"loss": [None, "mae"], "metrics": [None, ["mse"]]},
    "empty list": lambda k: {"metrics": [[], ["mse"]]},
    "weights in a list": lambda k: {"loss": ["mse", "mae"], "loss_weights": [0.3, 2]},
    "weights in a dict": lambda k: {
        "loss": {"p": "mse", "q": "mae"},
        "loss_weights": {"p": 0.3, "q": 2},
    },
    "weighted": lambda k: {"metrics": [["mae"], []], "weighted_metrics": [["mae"], ["mse"]]},
    "weighted dicts": lambda k: {"weighted_metrics": {"p": ["mae"], "q": ["mse"]}},
    "objects": lambda k: {
        "loss": [k.losses.Huber(), own(k)],
        "metrics": [[k.metrics.MeanSquaredError(name="m")], [k.metrics.MeanSquaredError(name="m")]],
    },
}


def trained(model, y, **weights):
    """Everything that training and looking gives out."""
    args = {"batch_size": 8, "verbose": 0}
    found = model.fit(
        X, y, epochs=2, shuffle=False, validation_data=(X, y), **args, **weights
    ).history
    sample = {k: v for k, v in weights.items() if k == "sample_weight"}
    return {
        "history": found,
        "evaluate": model.evaluate(X, y, **args, **sample),
        "by name": model.evaluate(X, y, return_dict=True, **args, **sample),
        "train": model.train_on_batch(X, y, **weights),
        "test": model.test_on_batch(X, y, **sample, return_dict=True),
        "predict": model.predict_on_batch(X),
        "weights": model.get_weights(),
    }


# Keras's lists repeat the values of metrics that share a name.
SHARED = ("twice", "weighted")


@pytest.mark.parametrize("form", ONE)
@pytest.mark.parametrize("weighted", [False, True])
def test_what_compile_takes_for_one_output(form, weighted):
    make, given, y = ONE[form]
    weights = {"sample_weight": W} if weighted else {}
    leave_out = ("evaluate", "train") if form in SHARED else ()

    def program(k):
        found = trained(make(k, **given(k)), y, **weights)
        return {key: value for key, value in found.items() if key not in leave_out}

    beside(program)


@pytest.mark.parametrize("form", TWO)
@pytest.mark.parametrize("weighted", [False, True])
def test_what_compile_takes_for_two_outputs(form, weighted):
    weights = {"sample_weight": [W, 1 + W]} if weighted else {}
    beside(lambda k: trained(two(k, **TWO[form](k)), [P, Q], **weights))


NAMED = {
    "one for both": lambda k: {"loss": "mse"},
    "dicts": lambda k: {"loss": {"a": "mse", "b": "mae"}, "metrics": {"a": "mae", "b": ["mse"]}},
    "weights": lambda k: {"loss": {"a": "mse", "b": "mae"}, "loss_weights": {"a": 2.0, "b": 0.1}},
}


@pytest.mark.parametrize("form", NAMED)
def test_what_compile_takes_for_outputs_by_name(form):
    def program(k):
        found = trained(named(k, **NAMED[form](k)), {"a": P, "b": Q})
        return {**found, "predict": [found["predict"][key] for key in "ab"]}

    beside(program)


UNJUDGED = {  # targets of the outputs that have a loss
    "a list": ({"loss": ["mse", None]}, [P]),
    "an array": ({"loss": ["mse", None]}, P),
    "None for the other": ({"loss": ["mse", None]}, [P, None]),
    "the second": ({"loss": [None, "mae"]}, [Q]),
}


@pytest.mark.parametrize("case", UNJUDGED)
def test_outputs_without_a_loss_need_no_targets(case):
    given, y = UNJUDGED[case]

    def program(k):
        model = two(k, **given)
        history = model.fit(X, y, shuffle=False, verbose=0, validation_data=(X, y)).history
        return history, model.evaluate(X, y, verbose=0), model.get_weights()

    beside(program)


def test_targets_by_name_may_leave_out_an_output_without_a_loss():
    """Keras asks for all of them."""
    model = two(lk, loss={"p": "mse"})
    assert model.evaluate(X, {"p": P}, verbose=0) == model.evaluate(X, [P, Q], verbose=0)


# ---- several outputs of a subclassed model -------------------------------------------------------


def unnamed(k, form, **arguments):
    class Heads(k.Model):
        def __init__(self):
            super().__init__()
            self.p, self.q = k.layers.Dense(1), k.layers.Dense(2)

        def call(self, x):
            p, q = self.p(x), self.q(x)
            return {"tuple": (p, q), "list": [p, q], "dict": {"v": p, "u": q}}[form]

    model = Heads()
    model.compile(**{"optimizer": "sgd", **arguments})
    model(X)
    return seeded(model)


UNNAMED = {
    "losses by name": ("tuple", lambda k: {"loss": ["mse", "mae"]}),
    "of a list": ("list", lambda k: {"loss": ["mse", "mae"], "metrics": [["mae"], ["mse"]]}),
    "metrics": ("tuple", lambda k: {"loss": ["mse", "mae"], "metrics": ["mae", "mse"]}),
    "objects": (
        "tuple",
        lambda k: {
            "loss": [k.losses.Huber(), own(k)],
            "metrics": [[k.metrics.MeanSquaredError(name="mine")], [own(k)]],
        },
    ),
    "one without": ("tuple", lambda k: {"loss": [None, "mae"]}),
    "weights": ("tuple", lambda k: {"loss": ["mse", "mae"], "loss_weights": [1, 0.5]}),
    "metrics of one name": ("tuple", lambda k: {"loss": ["mse", "mae"], "metrics": [["mae"]] * 2}),
    "dicts": ("dict", lambda k: {"loss": {"v": "mse", "u": "mae"}, "metrics": {"u": ["mse"]}}),
    "one for a dict": ("dict", lambda k: {"loss": "mse", "metrics": {"v": ["mse"], "u": ["mse"]}}),
    "dicts in another order": ("dict", lambda k: {"loss": {"u": "mse", "v": "mae"}}),
}


@pytest.mark.parametrize("case", UNNAMED)
def test_outputs_of_a_subclassed_model(case):
    form, given = UNNAMED[case]
    y = {"v": P, "u": Q} if form == "dict" else (P, Q)
    leave_out = ("evaluate", "train") if case == "metrics of one name" else ()

    def program(k):
        found = trained(unnamed(k, form, **given(k)), y)
        return {key: value for key, value in found.items() if key not in leave_out}

    beside(program)


# ---- outputs in dicts of lists and the like ------------------------------------------------------

FORMS = {
    "list in a dict": lambda p, q, r: {"z": [p, q], "a": r},
    "dict in a dict": lambda p, q, r: {"z": {"u": p, "v": q}, "a": r},
    "list in a list": lambda p, q, r: [r, [p, q]],
    "dict in a list": lambda p, q, r: [r, {"u": p, "v": q}],
}


def heads(k, form, functional, **arguments):
    layers = [k.layers.Dense(n, name=name) for n, name in ((1, "p"), (2, "q"), (3, "r"))]

    class Heads(k.Model):
        def __init__(self):
            super().__init__()
            self.p, self.q, self.r = layers

        def call(self, x):
            return FORMS[form](self.p(x), self.q(x), self.r(x))

    x = k.Input((3,))
    model = k.Model(x, FORMS[form](*(layer(x) for layer in layers))) if functional else Heads()
    model.compile(**{"optimizer": "sgd", "loss": "mse", **arguments})
    model(X)
    return seeded(model)


OF_FORM = {  # (loss, loss_weights, metrics) of the heads p, q, r: laid out as they are
    "one for all": lambda lay: {"loss": "mse"},
    "a list": lambda lay: {"loss": ["mse", "mae", "mse"]},
    "their form": lambda lay: {"loss": lay("mse", "mae", "mse")},
    "weights": lambda lay: {"loss": lay("mse", "mae", "mse"), "loss_weights": lay(0.3, 2, 0.1)},
    "weights in a list": lambda lay: {"loss": lay("mse", "mae", "mse"), "loss_weights": [1, 2, 3]},
    "metrics": lambda lay: {"metrics": lay(["mae"], ["mse", "mae"], [])},
    "weighted": lambda lay: {"weighted_metrics": lay(["mae"], ["mse"], ["mae"])},
}


@pytest.mark.parametrize("functional", [True, False])
@pytest.mark.parametrize("given", OF_FORM)
@pytest.mark.parametrize("form", FORMS)
def test_outputs_that_hold_others(form, given, functional):
    lay = FORMS[form]

    def program(k):
        found = trained(heads(k, form, functional, **OF_FORM[given](lay)), lay(P, Q, X))
        if functional:
            return {**found, "predict": lk.tree.flatten(found["predict"])}
        losses = {name: v for name, v in found["history"].items() if "m" not in name}
        return {"losses": losses, "weights": found["weights"]}  # Keras gives others one name

    beside(program)


@pytest.mark.parametrize("functional", [True, False])
def test_what_does_not_fit_outputs_that_hold_others_is_said_with_its_place(functional):
    def model(**arguments):
        return heads(lk, "list in a dict", functional, **arguments)

    form = r"\{'z': \[\.\.\., \.\.\.\], 'a': \.\.\.\}"
    y = {"z": [P, Q], "a": X}
    for arguments, words in (
        ({"metrics": ["mae"]}, rf"metrics=\) has another form .* a list of 1.*metrics={form}"),
        ({"loss": {"z": ["mse"]}}, rf"at \['z'\]: it has a list of 1, .* a list of 2.*{form}"),
        ({"loss": {"y": "mse"}}, rf"a dict of 'y', .* a dict of 'z', 'a'.*{form}"),
    ):
        with pytest.raises(ValueError, match=words):
            model(**arguments).fit(X, y, verbose=0)
    for wrong, words in (
        ({"z": P, "a": X}, rf"y has 2 arrays, .* 3 outputs \(\['a'\], \['z'\]\[0\].*{form}"),
        ({"z": P, "a": X, "b": Q}, rf"y has 3 arrays, .*{form}"),
        ({"z": [P, X], "a": X}, r"y\['z'\]\[1\] of shape \(22, 3\)"),
    ):
        with pytest.raises(ValueError, match=words):
            model().fit(X, wrong, verbose=0)


def test_losses_of_one_name_are_kept_apart():
    """Keras shows one of them, as mse_loss."""
    model = unnamed(lk, "tuple", loss="mse")
    logs = model.evaluate(X, (P, Q), verbose=0, return_dict=True)
    assert list(logs) == ["loss", "mse_loss", "mse_loss_1"]
    assert logs["loss"] == pytest.approx(logs["mse_loss"] + logs["mse_loss_1"])


# ---- what Keras refuses or does without, and is as one expects -----------------------------------


def test_metrics_names_are_those_of_the_values():
    for model, y in (
        (one(lk, metrics=["mae", "mse"]), Q),
        (two(lk, metrics=[["mae"], "mse"]), [P, Q]),
    ):
        model.fit(X, y, verbose=0)
        values = model.evaluate(X, y, verbose=0)
        named = model.evaluate(X, y, verbose=0, return_dict=True)
        assert dict(zip(model.metrics_names, values, strict=True)) == named


SAME = {
    "loss by the name of the output": (
        {"loss": {"out": "mae"}, "metrics": {"out": "mse"}, "loss_weights": {"out": 0.5}},
        {"loss": "mae", "metrics": ["mse"], "loss_weights": [0.5]},
    ),
    "a metric alone": ({"metrics": "mae"}, {"metrics": ["mae"]}),
    "steps at a time": ({"steps_per_execution": 3}, {}),
}
SAME_OF_TWO = {
    "the loss of one": ({"loss": {"q": "mae"}}, {"loss": [None, "mae"]}),
    "one loss, weights": (
        {"loss_weights": [0.3, 2]},
        {"loss": ["mse"] * 2, "loss_weights": [0.3, 2]},
    ),
    "the weight of one": (
        {"loss_weights": {"q": 3.0}},
        {"loss": ["mse"] * 2, "loss_weights": [1, 3]},
    ),
}


@pytest.mark.parametrize("form", [*SAME, *SAME_OF_TWO])
def test_shorter_forms(form):
    make, y = (one, Q) if form in SAME else (two, [P, Q])
    found = []
    for given in {**SAME, **SAME_OF_TWO}[form]:
        lk.utils.clear_session(free_memory=False)
        found.append(trained(make(lk, **given), y))
    assert_equal(*found, rtol=1e-6, atol=0)
