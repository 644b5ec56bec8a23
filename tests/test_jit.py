"""`compile(jit_compile=True)`: a training step as one piece of compiled code, the same numbers.

Most rows run the recorded step as it is, without the compiler: what is recorded is what can go
wrong, and compiling takes seconds. A few go through the compiler.
"""

import copy
import platform
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics

import lightkeras as lk
from lightkeras import layers, optimizers
from lightkeras._training._memory import memory_kept
from lightkeras.models import _jit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 6)).astype("float32")
Y = (X.sum(1) > 0).astype("int64") + (X[:, 0] > 0)
IMAGES = RNG.random((70, 8, 8, 1)).astype("float32")
WORDS = RNG.integers(0, 20, (70, 5))
needs_compiler = pytest.mark.skipif(
    shutil.which("c++") is None and shutil.which("g++") is None, reason="no C++ compiler"
)


@pytest.fixture
def interpreted(monkeypatch):
    """Recorded steps run without the compiler; the list says how many were recorded."""
    made = []

    def compiled(graph, arguments):
        made.append(graph)
        return graph

    monkeypatch.setattr(_jit, "_compiled", compiled)
    return made


def dense(*more, last=3, activation="softmax"):
    return [lk.Input((6,)), layers.Dense(5, "relu"), *more, layers.Dense(last, activation)]


def trained(make, x, y, jit, epochs=3, **fit):
    """(History, weights, optimizer variables) after `fit` of what `make()` gives."""
    lk.utils.set_random_seed(1)
    model, options = make()
    model.compile(**options, jit_compile=jit)
    history = model.fit(x, y, epochs=epochs, batch_size=16, verbose=0, **fit).history
    slots = [np.asarray(v) for v in model.optimizer.variables]
    return history, model.get_weights(), slots, model


def same(one, two, rtol=2e-5, atol=2e-6):
    for name in one[0]:
        np.testing.assert_allclose(one[0][name], two[0][name], rtol=rtol, atol=atol)
    assert one[0].keys() == two[0].keys()
    for a, b in zip([*one[1], *one[2]], [*two[1], *two[2]], strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def scaled(optimizer):
    return optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0)


def classifier(*more, optimizer="adam", **compile):
    def make():
        options = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **compile}
        chosen = optimizer() if callable(optimizer) else optimizer
        return lk.Sequential(dense(*[layer() for layer in more])), {"optimizer": chosen, **options}

    return make


class Doubling(layers.Layer):
    def call(self, x):
        self.add_loss(0.01 * (x**2).mean())
        return 2 * x


ROWS = {
    "plain": (classifier(), X),
    "dropout": (classifier(lambda: layers.Dropout(0.5)), X),
    "noise": (classifier(lambda: layers.GaussianNoise(0.5)), X),
    "normalization": (classifier(layers.BatchNormalization), X),
    "add_loss": (classifier(Doubling), X),
    "regularizer": (classifier(lambda: layers.Dense(4, kernel_regularizer="l2")), X),
    "constraint": (classifier(lambda: layers.Dense(4, kernel_constraint="max_norm")), X),
    "frozen": (classifier(lambda: layers.Dense(4, trainable=False)), X),
    "many metrics": (classifier(metrics=["accuracy", "sparse_top_k_categorical_accuracy"]), X),
    "weighted metrics": (classifier(weighted_metrics=["accuracy"]), X),
    "float64": (classifier(lambda: layers.Dense(4, dtype="float64")), X),
    "conv": (
        lambda: (
            lk.Sequential(
                [
                    lk.Input((8, 8, 1)),
                    layers.Conv2D(4, 3, activation="relu"),
                    layers.MaxPooling2D(),
                    layers.Flatten(),
                    layers.Dense(3, "softmax"),
                ]
            ),
            {"optimizer": "sgd", "loss": "sparse_categorical_crossentropy"},
        ),
        IMAGES,
    ),
    "volume": (
        lambda: (
            lk.Sequential(
                [
                    lk.Input((8, 8, 1)),
                    layers.Reshape((4, 4, 4, 1)),
                    layers.Conv3D(3, 2, padding="same"),
                    layers.MaxPooling3D(),
                    layers.Flatten(),
                    layers.Dense(3, "softmax"),
                ]
            ),
            {"optimizer": "sgd", "loss": "sparse_categorical_crossentropy"},
        ),
        IMAGES,
    ),
    "lstm": (
        lambda: (
            lk.Sequential([lk.Input((8, 8, 1)), layers.Reshape((8, 8)), layers.LSTM(3)]),
            {"optimizer": "sgd", "loss": "sparse_categorical_crossentropy"},
        ),
        IMAGES,
    ),
    "embedding": (
        lambda: (
            lk.Sequential(
                [
                    layers.Embedding(20, 4),
                    layers.GlobalAveragePooling1D(),
                    layers.Dense(3, "softmax"),
                ]
            ),
            {"optimizer": "rmsprop", "loss": "sparse_categorical_crossentropy"},
        ),
        WORDS,
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_recorded_steps_give_the_numbers_of_plain_ones(name, interpreted):
    make, x = ROWS[name]
    weights = {"sample_weight": np.linspace(0.5, 2, 70)} if name == "weighted metrics" else {}
    plain, recorded = (trained(make, x, Y, jit, **weights) for jit in (False, True))
    assert len(interpreted) == 1  # the full batches; the last one of 6 rows comes once an epoch
    same(plain, recorded)


@pytest.mark.parametrize(
    "make",
    [
        lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        lambda: optimizers.RMSprop(0.01, centered=True, momentum=0.5),
        lambda: optimizers.Adam(0.01, amsgrad=True, clipnorm=0.1),
        lambda: optimizers.AdamW(0.01, weight_decay=0.1, global_clipnorm=0.5),
        lambda: optimizers.Adadelta(0.1, clipvalue=0.01),
        lambda: optimizers.Adagrad(0.1),
        lambda: optimizers.Adamax(0.01),
        lambda: optimizers.Ftrl(0.1, l1_regularization_strength=0.001, beta=0.1),
        lambda: optimizers.Lion(0.001),
        lambda: optimizers.Lamb(0.01),
        lambda: optimizers.Muon(0.01),
        lambda: optimizers.ScheduleFreeAdamW(0.01, warmup_steps=5),
        lambda: optimizers.Adam(optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)),
        lambda: optimizers.Adam(0.01, loss_scale_factor=8.0),
    ],
)
def test_every_rule_in_a_recorded_step(make, interpreted):
    plain, recorded = (
        trained(classifier(optimizer=make), X, Y, jit, epochs=5) for jit in (False, True)
    )
    assert len(interpreted) == 1
    same(plain, recorded, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (classifier(lambda: layers.Dropout(0.5, seed=3)), "seed_generator"),
        (classifier(optimizer=lambda: optimizers.Adam(use_ema=True)), "counts steps"),
        (classifier(optimizer=lambda: optimizers.SGD(gradient_accumulation_steps=2)), "counts"),
        (classifier(optimizer=lambda: optimizers.Nadam(0.01)), "Nadam"),
        (classifier(optimizer=lambda: optimizers.Adafactor(0.01)), "Adafactor"),
        (classifier(optimizer=lambda: scaled(optimizers.SGD(0.1))), "LossScaleOptimizer"),
        (classifier(metrics=[lambda t, p: torch.tensor(p.detach().numpy().mean())]), "numpy"),
    ],
)
def test_what_cannot_be_recorded_runs_as_it_is(make, why, interpreted):
    plain = trained(make, X, Y, False)
    with pytest.warns(UserWarning, match="is not compiled") as caught:
        other = trained(make, X, Y, True)
    assert len([w for w in caught if "is not compiled" in str(w.message)]) == 1
    assert why in str(caught[0].message)
    same(plain, other)


def test_stateful_layers_are_not_recorded():
    for layer in layers.GRU(3, stateful=True), layers.Bidirectional(layers.LSTM(3, stateful=True)):
        model = lk.Sequential([lk.Input(batch_shape=(4, 8, 8)), layer])
        model.compile("sgd", "mse", jit_compile=True)
        for kind in ("train", "test", "predict"):
            with pytest.warns(UserWarning, match=f"{layer.name!r} is stateful"):
                _jit.compiled_step(model, kind, print)


def test_metrics_of_others_are_updated_beside_the_recorded_step(interpreted):
    def make():
        metric = torchmetrics.classification.MulticlassAccuracy(3, average="micro")
        return classifier(metrics=["accuracy", metric])()

    plain, recorded = (trained(make, X, Y, jit) for jit in (False, True))
    assert len(interpreted) == 1
    same(plain, recorded)
    assert recorded[0]["accuracy"] == pytest.approx(recorded[0]["multiclass_accuracy"])


def test_several_outputs_and_loss_weights(interpreted):
    def make():
        x = lk.Input((6,))
        h = layers.Dense(5, "tanh")(x)
        outputs = {"a": layers.Dense(1)(h), "b": layers.Dense(3, "softmax")(h)}
        losses = {"a": "mse", "b": "sparse_categorical_crossentropy"}
        return lk.Model(x, outputs), {
            "optimizer": "adam",
            "loss": losses,
            "loss_weights": {"a": 0.3, "b": 1.0},
            "metrics": {"a": ["mae"], "b": ["accuracy"]},
        }

    y = {"a": X[:, :1], "b": Y}
    same(*(trained(make, X, y, jit) for jit in (False, True)))
    assert len(interpreted) == 1


def test_a_callback_that_sets_the_learning_rate_is_heard(interpreted):
    halve = lambda: lk.callbacks.LearningRateScheduler(lambda epoch, lr: lr / 2)
    plain, recorded = (
        trained(classifier(), X, Y, jit, epochs=4, callbacks=[halve()]) for jit in (False, True)
    )
    same(plain, recorded)
    assert plain[0]["learning_rate"][-1] == pytest.approx(0.001 / 16)


def test_a_frozen_layer_is_recorded_anew(interpreted):
    def run(jit):
        lk.utils.set_random_seed(2)
        model, options = classifier()()
        model.compile(**options, jit_compile=jit)
        first = model.fit(X, Y, epochs=2, batch_size=16, verbose=0).history
        model.layers[0].trainable = False
        kernel = model.layers[0].get_weights()[0]
        model.compile(**options, jit_compile=jit)
        second = model.fit(X, Y, epochs=2, batch_size=16, verbose=0).history
        np.testing.assert_array_equal(kernel, model.layers[0].get_weights()[0])
        return first | {f"{k}2": v for k, v in second.items()}, model.get_weights(), [], model

    same(run(False), run(True))
    assert len(interpreted) == 2


def test_train_on_batch_and_copies(interpreted):
    model, options = classifier()()
    model.compile(**options, jit_compile=True)
    for _ in range(3):
        model.train_on_batch(X[:16], Y[:16])
    assert len(interpreted) == 1
    again = copy.deepcopy(model)
    one, two = (m.train_on_batch(X[:16], Y[:16]) for m in (model, again))
    np.testing.assert_allclose(one, two, rtol=1e-5)


def test_a_compiler_that_fails_costs_no_step(interpreted, monkeypatch):
    model, options = classifier()()
    model.compile(**options, jit_compile=True)
    model.train_on_batch(X[:16], Y[:16])
    before = model.get_weights()

    def broken(*_):
        raise RuntimeError("no room")

    monkeypatch.setattr(_jit, "_compiled", broken)
    plain = copy.deepcopy(model)
    plain._compiled.options["jit_compile"] = False
    with pytest.warns(UserWarning, match="no room"):
        model.train_on_batch(X[:16], Y[:16])
    plain.train_on_batch(X[:16], Y[:16])
    for a, b, old in zip(model.get_weights(), plain.get_weights(), before, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
        assert not np.array_equal(a, old)


@needs_compiler
@pytest.mark.parametrize("name", ["dropout", "normalization", "conv", "volume"])
def test_compiled_steps_give_the_numbers_of_plain_ones(name):
    make, x = ROWS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # it is compiled, not left as it is
        plain, compiled = (trained(make, x, Y, jit) for jit in (False, True))
    assert len(compiled[3]._compiled.steps["train"].codes) == 1
    same(plain, compiled, rtol=1e-4, atol=1e-5)


def test_evaluate_and_predict(interpreted):
    def run(jit):
        lk.utils.set_random_seed(4)
        model, options = ROWS["normalization"][0]()
        model.compile(**options, jit_compile=jit)
        model.fit(X, Y, batch_size=16, epochs=2, validation_data=(X, Y), verbose=0)
        values = model.evaluate(X, Y, batch_size=16, verbose=0)
        return values, model.predict(X, batch_size=16, verbose=0), model

    (plain, y, _), (recorded, z, model) = run(False), run(True)
    assert set(model._compiled.steps) == {"train", "test", "predict"}
    assert len(interpreted) == 3  # validation and evaluate share one
    np.testing.assert_allclose(plain, recorded, rtol=1e-5)
    np.testing.assert_allclose(y, z, rtol=1e-5, atol=1e-6)


def test_predict_gives_a_tree_and_new_weights_count(interpreted):
    x = lk.Input((6,))
    model = lk.Model(x, {"a": layers.Dense(2)(x), "b": layers.Dense(1)(x)})
    model.compile(jit_compile=True)
    for _ in range(3):
        found = model.predict_on_batch(X[:4])
    assert len(interpreted) == 1 and set(found) == {"a", "b"}
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    assert not model.predict_on_batch(X[:4])["a"].any()


@needs_compiler
def test_an_lstm_stays_one_kernel(monkeypatch):
    """However long: not a dozen operations for each step of time."""
    sequences = RNG.normal(size=(70, 200, 6)).astype("float32")
    lengths = []

    def counted(graph, arguments, compiled=_jit._compiled):
        lengths.append(len(graph.graph.nodes))
        return compiled(graph, arguments)

    monkeypatch.setattr(_jit, "_compiled", counted)
    kinds = [layers.LSTM(4, return_sequences=True), layers.Bidirectional(layers.LSTM(3))]
    configs = [(type(kind), kind.get_config()) for kind in kinds]

    def make():
        stack = [kind.from_config(config) for kind, config in configs]
        model = lk.Sequential([lk.Input((200, 6)), *stack, layers.Dense(3, "softmax")])
        return model, {"optimizer": "adam", "loss": "sparse_categorical_crossentropy"}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain, compiled = (trained(make, sequences, Y, jit) for jit in (False, True))
        outputs = [
            run[3].predict(sequences[:32], batch_size=8, verbose=0) for run in (plain, compiled)
        ]
    assert len(lengths) == 2 and max(lengths) < 400  # of training and of prediction
    same(plain, compiled, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window, backward", [(2, False), (3, True)])
def test_max_pooling_keeps_its_kernels(window, backward, interpreted):
    """The one forth always, the one back where windows overlap: else see `test_fused.py`."""

    def make():
        pool = layers.MaxPooling2D(window, strides=2)
        stack = [layers.Conv2D(4, 3), pool, layers.Flatten(), layers.Dense(3, "softmax")]
        return lk.Sequential(stack), ROWS["conv"][0]()[1]

    trained(make, IMAGES, Y, True)
    names = {str(node.target) for node in interpreted[0].graph.nodes}
    assert "lightkeras.max_pool2d.default" in names
    assert ("lightkeras.max_pool2d_backward.default" in names) == backward
    assert "aten.max_pool2d_with_indices_backward.default" not in names


def test_embeddings_keep_their_kernel(interpreted):
    def make():
        stack = [layers.Embedding(20, 3), layers.Flatten(), layers.Dense(3, "softmax")]
        return lk.Sequential(stack), ROWS["conv"][0]()[1]

    trained(make, WORDS, Y, True)
    names = {str(node.target) for node in interpreted[0].graph.nodes}
    assert "lightkeras.embedding_backward.default" in names


def test_numbers_are_computed_before_the_loops_that_use_them(interpreted):
    """Adam's corrections, say: the compiler would take their powers anew for every 16 weights."""
    trained(*ROWS["plain"], Y, True)

    def shape(node):
        return getattr(node.meta.get("val"), "shape", None)

    nodes = [n for n in interpreted[0].graph.nodes if n.op == "call_function"]
    held = [n for n in nodes if n.target is torch.ops.aten.amax.default and n.args[1] == [0]]
    powers = [n for n in nodes if "pow" in str(n.target) and shape(n) == ()]
    reached = set(powers)  # what follows from them without being held
    for node in nodes:
        if not reached.isdisjoint(node.all_input_nodes) and node not in held:
            reached.add(node)
    assert held and powers
    assert all(shape(n) in ((), None) for n in reached)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc")
def test_memory_stays_between_steps():
    """Pages that are touched again are no new ones; afterwards they go back to the system."""
    import resource  # not on Windows

    size = 40 << 20

    def faults(wanted):
        with memory_kept(wanted):
            torch.ones(size, dtype=torch.uint8)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(10):
                torch.ones(size, dtype=torch.uint8)
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    usual = faults(False)
    assert faults(True) < 0.2 * usual
    with memory_kept(True):
        torch.ones(size, dtype=torch.uint8)
        kept = resident()
    assert kept - resident() > 0.9 * size


# ---- forms of batches ---------------------------------------------------------------------------


def two_inputs():
    a, b = lk.Input((6,), name="a"), lk.Input((6,), name="b")
    h = layers.Dense(4, "tanh")(layers.Subtract()([a, layers.Dense(6)(b)]))
    return lk.Model([a, b], layers.Dense(3, "softmax")(h))


def compiled(model, jit, **options):
    settings = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", **options}
    model.compile(**settings, jit_compile=jit)
    return model


def both(steps, make=two_inputs, rtol=2e-5, **options):
    """`steps(model)` gives the same numbers, and the same weights come out, in both ways."""
    found = []
    for jit in (False, True):
        lk.utils.set_random_seed(3)
        model = compiled(make(), jit, **options)
        found.append((steps(model), model.get_weights(), model))
    for one, two in zip(*(flat(numbers) + w for numbers, w, _ in found), strict=True):
        np.testing.assert_allclose(one, two, rtol=rtol, atol=rtol / 10)
    return found[1][2]


def flat(tree):
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [leaf for item in tree for leaf in flat(item)] if isinstance(tree, list) else [tree]


def test_inputs_in_another_form_are_not_taken_for_each_other(interpreted):
    a, b, y = X[:16], X[16:32] * 2, Y[:16]

    def steps(model):
        forms = [[a, b], {"a": a, "b": b}, {"b": a, "a": b}, [b, a]]
        return [model.train_on_batch(x, y) for x in forms for _ in range(3)]

    both(steps)
    assert len(interpreted) == 3  # a list, and dicts in two orders


def test_one_tensor_in_two_places(interpreted):
    same_one, other = torch.tensor(X[:16]), torch.tensor(X[16:32])

    def steps(model):
        pairs = [(same_one, same_one)] * 3 + [(same_one, other)] * 3 + [(other, other)] * 2
        return [model.train_on_batch([a, b], Y[:16]) for a, b in pairs]

    both(steps)
    assert len(interpreted) == 2


def autoencoder():
    return lk.Sequential([lk.Input((6,)), layers.Dense(3, "tanh"), layers.Dense(6)])


def test_targets_that_are_the_inputs_or_a_part_of_them(interpreted):
    x = torch.tensor(X[:16])

    def steps(model):
        targets = [x, x, x, x.clone(), x.clone(), x * 2, x[:], x[:], x.flip(0)]
        return [model.train_on_batch(x, y) for y in targets]

    both(steps, autoencoder, loss="mse")
    assert len(interpreted) == 2
    both(
        lambda model: model.fit(X, X, epochs=3, batch_size=16, verbose=0).history,
        autoencoder,
        loss="mse",
    )


def test_weights_that_come_and_go(interpreted):
    def steps(model):
        weights = [None, None, RNG_W, RNG_W, RNG_W * 2, None, RNG_W]
        return [model.train_on_batch(X[:16], X[:16], sample_weight=w) for w in weights]

    both(steps, autoencoder, loss="mse")
    assert len(interpreted) == 2


RNG_W = np.linspace(0, 2, 16).astype("float32")


@pytest.mark.parametrize(
    "fit",
    [
        {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5}},
        {"sample_weight": np.linspace(0, 2, 70)},
        {"batch_size": 23},  # 23, 23, 23, 1
        {"steps_per_epoch": 4},
        {"validation_split": 0.5},
        {"shuffle": False},
    ],
    ids=["class_weight", "sample_weight", "one row", "steps", "validation", "order"],
)
def test_arguments_of_fit(fit, interpreted):
    def run(jit):
        lk.utils.set_random_seed(1)
        model, options = classifier()()
        model.compile(**options, jit_compile=jit)
        given = {"batch_size": 16, **fit}
        return model.fit(X, Y, epochs=4, verbose=0, **given).history, model.get_weights(), [], 0

    same(run(False), run(True))
    assert len(interpreted) == 1 + ("validation_split" in fit)


def test_a_mask_counts_in_losses_and_metrics(interpreted):
    y = np.random.default_rng(1).normal(size=(70, 5, 1)).astype("float32")

    def make(metrics):
        parts = [layers.Embedding(20, 4, mask_zero=True), layers.LSTM(3, return_sequences=True)]
        return lambda: (
            lk.Sequential([*parts_of(parts), layers.Dense(1)]),
            {"optimizer": "sgd", "loss": "mse", "metrics": metrics, "weighted_metrics": ["mae"]},
        )

    def parts_of(parts):
        return [type(p).from_config(p.get_config()) for p in parts]

    same(*(trained(make(["mae"]), WORDS, y, jit) for jit in (False, True)))
    assert len(interpreted) == 1
    plain = trained(make([Seen()]), WORDS, y, False)
    with pytest.warns(UserWarning, match="carry a mask"):
        other = trained(make([Seen()]), WORDS, y, True)
    same(plain, other)


class Seen(lk.metrics.Metric):
    """How many entries the mask keeps."""

    def __init__(self):
        super().__init__(name="seen")
        self.sum = self.add_weight()

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.sum.assign_add(y_pred._keras_mask.sum())

    def result(self):
        return self.sum


def test_many_shapes_do_not_compile_for_ever(interpreted):
    def make():
        parts = [layers.Embedding(20, 4), layers.GlobalAveragePooling1D()]
        return lk.Sequential([*parts, layers.Dense(3, "softmax")])

    words = np.random.default_rng(2).integers(0, 20, (8, 40))

    def steps(model):
        return [model.train_on_batch(words[:, :n], Y[:8]) for n in range(1, 20) for _ in range(3)]

    with pytest.warns(UserWarning, match="more than 8 shapes of batches") as caught:
        model = both(steps, make)
    assert len(caught) == 1 and len(interpreted) == 8
    assert len(model._compiled.steps["train"].codes) == 8


# ---- other ways in, and out ---------------------------------------------------------------------


def test_a_mistake_reads_as_without_compilation(interpreted):
    x = np.concatenate([X[:32], X[:32]])

    def data(bad):
        for i in range(6):
            yield x[:16], (Y[:16] + (7 if bad and i == 4 else 0))

    texts = []
    for jit in (False, True):
        model = compiled(classifier()()[0], jit)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(Exception) as caught:
                model.fit(data(True), steps_per_epoch=6, verbose=0)
        texts.append((type(caught.value), str(caught.value)))
    assert texts[0] == texts[1]


def test_a_mistake_while_recording_reads_as_without(interpreted):
    def wrong(y_true, y_pred):
        if len(seen) > 0:
            raise ValueError("no such thing")
        return (y_true - y_pred).square().mean(-1)

    seen: list = []
    model = compiled(autoencoder(), True, loss=wrong)
    model.train_on_batch(X[:16], X[:16])
    seen.append(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="no such thing"):
            model.train_on_batch(X[:16], X[:16])


def test_ctrl_c_while_compiling_leaves_a_usable_model(monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    model, plain = (compiled(autoencoder(), jit, loss="mse") for jit in (True, False))
    plain.set_weights(model.get_weights())
    monkeypatch.setattr(_jit, "_compiled", stop)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, X, batch_size=16, verbose=0, shuffle=False)
    for _ in range(2):  # the step that was recorded is taken
        plain.train_on_batch(X[16 * _ : 16 * _ + 16], X[16 * _ : 16 * _ + 16])
    for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert model.optimizer.iterations == 2
    monkeypatch.undo()
    model.compile("adam", "mse")
    model.fit(X, X, verbose=0)


def test_no_gradients_of_another_step_are_left(interpreted):
    model = compiled(autoencoder(), True, loss="mse")
    for _ in range(3):
        model.train_on_batch(X[:16], X[:16])
    assert all(p.grad is None for p in model.parameters())
    model.train_on_batch(X[:5], X[:5])
    assert all(p.grad is not None for p in model.parameters())
    model.train_on_batch(X[:16], X[:16])
    assert all(p.grad is None for p in model.parameters())


def test_hooks_that_wait_for_a_step_or_a_gradient_are_heard(interpreted):
    def run(jit, kind):
        model, heard = compiled(autoencoder(), jit, loss="mse"), []
        model.train_on_batch(X[:16], X[:16])
        if kind == "gradient":
            next(model.parameters()).register_hook(heard.append)
        elif kind == "step":
            model.optimizer.register_step_pre_hook(lambda *_: heard.append(1))
        else:
            model.layers[0].register_forward_hook(lambda *_: heard.append(1))
        for _ in range(4):
            model.train_on_batch(X[:16], X[:16])
        return len(heard)

    for kind in ("gradient", "step", "call"):
        with pytest.warns(UserWarning, match="is not compiled"):
            assert run(True, kind) == run(False, kind) == 4


def test_a_model_that_is_cast_or_laid_out_anew(interpreted):
    def images():
        parts = [lk.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.Flatten()]
        return lk.Sequential([*parts, layers.Dense(3, "softmax")])

    def steps(model):
        found = []
        for change in (None, lambda: model.double(), lambda: model.float(), relaid):
            if change is not None:
                change() if change is not relaid else relaid(model)
            found += [model.train_on_batch(IMAGES[:16], Y[:16]) for _ in range(3)]
        return found

    def relaid(model):
        model.to(memory_format=torch.channels_last)

    both(steps, images, optimizer="sgd")


def test_two_models_that_share_a_layer(interpreted):
    def steps(model):
        other = compiled(
            lk.Sequential([model.layers[0], layers.Dense(1)]), model.jit_compile, loss="mse"
        )
        other.build((None, 6))
        found = []
        for _ in range(4):
            found.append(model.train_on_batch(X[:16], X[:16]))
            found.append(other.train_on_batch(X[:16], X[:16, :1]))
        return [*found, *other.get_weights()]

    both(steps, autoencoder, loss="mse")


def test_a_train_step_of_ones_own_is_never_recorded(interpreted):
    class Own(lk.Sequential):
        def train_step(self, data):
            self.steps_seen = getattr(self, "steps_seen", 0) + 1
            return super().train_step(data)

    def make():
        return Own([lk.Input((6,)), layers.Dense(6)])

    def steps(model):
        history = model.fit(X, X, epochs=2, batch_size=16, verbose=0).history
        return [*history.values(), model.steps_seen]

    with pytest.warns(UserWarning, match="has a train_step of its own"):
        both(steps, make, loss="mse")
    assert not interpreted


def test_steps_that_lightning_takes_are_not_compiled(interpreted):
    def steps(model):
        given = {"accumulate_grad_batches": 2, "validation_data": (X, X), "batch_size": 16}
        return [*model.fit(X, X, epochs=2, verbose=0, **given).history.values()]

    with pytest.warns(UserWarning, match="Lightning takes it") as caught:
        both(steps, autoencoder, loss="mse")
    assert len(caught) == 1 and len(interpreted) == 1  # of the validation


def test_a_model_without_anything_to_train(interpreted):
    def steps(model):
        model.trainable = False
        return [model.train_on_batch(X[:16], X[:16]) for _ in range(3)]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both(steps, autoencoder, loss="mse")


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.SpectralNormalization(layers.Dense(4)),
        lambda: layers.BatchNormalization(renorm=True),
        lambda: layers.LayerNormalization(),
        lambda: layers.GroupNormalization(5),
        lambda: layers.GaussianDropout(0.2),
        lambda: layers.AlphaDropout(0.2),
        lambda: layers.ActivityRegularization(0.01, 0.01),
        lambda: layers.Dense(4, activity_regularizer="l1"),
        lambda: torch.nn.Linear(5, 5),
        lambda: torch.nn.Dropout(0.3),
        lambda: torch.nn.BatchNorm1d(5),
        lambda: torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(5, 5)),
        lambda: layers.Dense(4, dtype="mixed_bfloat16"),
        lambda: layers.Dense(4, dtype="bfloat16"),
        lambda: layers.Lambda(lambda x: x * 2),
        lambda: layers.RandomBrightness(0.2, value_range=(0, 1)),
        lambda: layers.RandomContrast(0.2, seed=1),
    ],
    ids=lambda make: " ".join(make.__code__.co_names),
)
def test_layers_of_all_kinds(make, interpreted):
    if "Random" in str(make.__code__.co_names):

        def build():
            parts = [lk.Input((8, 8, 1)), make(), layers.Flatten()]
            return lk.Sequential([*parts, layers.Dense(3, "softmax")])

        x = IMAGES
    else:

        def build():
            return lk.Sequential(dense(make()))

        x = X

    def steps(model):
        fitted = model.fit(x, Y, epochs=3, batch_size=16, verbose=0, validation_data=(x, Y))
        return [*fitted.history.values()]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rtol = 0.02 if "bfloat16" in str(make.__code__.co_consts) else 2e-5
        both(steps, build, rtol, optimizer="sgd")


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_precision_flags(precision, interpreted):
    def steps(model):
        fitted = model.fit(
            X, Y, epochs=4, batch_size=16, verbose=0, validation_data=(X, Y), precision=precision
        )
        return [*fitted.history.values()]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rtol = 0.02 if "bf16" in precision else 2e-5  # 8 bits; sums are rounded elsewhere
        both(steps, lambda: classifier()()[0], rtol, optimizer="sgd")
