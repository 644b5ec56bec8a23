"""fit, evaluate, predict: the same numbers every way, Keras's logs and hooks, refusals."""

import os
import signal
import sys
import threading

import keras
import lightning.pytorch as L
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import lightkeras as lk
from lightkeras import layers

RNG = np.random.RandomState(0)
X = RNG.rand(203, 4).astype("float32")
Y = (X.sum(1) > 2).astype("int64")
T = np.stack([X.sum(1), X[:, 0] * 2], 1).astype("float32")


def classifier(k=lk, seed=1, **compile_args):
    if k is lk:
        lk.utils.set_random_seed(seed)
    model = k.Sequential(
        [
            k.Input((4,)),
            k.layers.Dense(8, activation="relu"),
            k.layers.Dense(2, activation="softmax"),
        ]
    )
    args = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    model.compile(**{**args, **compile_args})
    return model


def fitted(model, **args):
    """`model` after `fit` on the same draws, whatever was drawn before."""
    lk.utils.set_random_seed(7)
    model.fit(X, Y, epochs=2, batch_size=16, verbose=0, **args)
    return model


def same(a, b):
    return all(np.array_equal(v, w) for v, w in zip(a.get_weights(), b.get_weights(), strict=True))


def close(ours, theirs, **tolerance):
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], err_msg=name, **tolerance)


# ---- the same path, whoever takes the steps ---------------------------------------------------

WAYS = {
    "one at a time": {"max_steps": 10**6},
    "accumulate 1": {"accumulate_grad_batches": 1},
    "with a batch callback": {
        "callbacks": [lk.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)]
    },
    "float flag": {"precision": "32-true"},
}


class _Watcher(L.Callback):
    def __init__(self):
        self.batches = 0

    def on_train_batch_end(self, *args):
        self.batches += 1


WAYS["with a Lightning batch callback"] = {"callbacks": [_Watcher()]}


@pytest.mark.parametrize("way", WAYS)
def test_all_ways_end_with_identical_weights(way):
    usual = fitted(classifier(), validation_split=0.2)
    other = fitted(classifier(), validation_split=0.2, **WAYS[way])
    assert same(usual, other)
    assert usual.history.history == other.history.history


@pytest.mark.filterwarnings("error:Epoch")
@pytest.mark.parametrize("way", WAYS)
def test_all_ways_take_as_many_steps_from_a_later_epoch_on(way):
    options = {"initial_epoch": 4, "steps_per_epoch": 6}  # of 13; the epoch after would have 1
    for flags in ({}, WAYS[way]):
        model = classifier()
        model.fit(X, Y, epochs=6, batch_size=16, verbose=0, **options, **flags)
        assert int(model.optimizer.iterations) == 12


def test_lightning_callback_sees_every_batch_and_the_steps_are_counted():
    watcher = _Watcher()
    trainer = L.Trainer(
        max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    classifier().fit(X, Y, epochs=2, batch_size=16, verbose=0, callbacks=[watcher])
    assert watcher.batches == 26
    classifier().fit(X, Y, epochs=2, batch_size=16, verbose=0, trainer=trainer)
    assert trainer.global_step == 26


@pytest.mark.parametrize("steps", [1, 2, 5, 100])
def test_steps_per_execution_changes_nothing(steps):
    assert same(fitted(classifier()), fitted(classifier(steps_per_execution=steps)))


def test_to_lightning_under_ones_own_trainer():
    ours, theirs = classifier(), classifier()
    history = ours.fit(
        X, Y, epochs=2, batch_size=16, verbose=0, shuffle=False, validation_data=(X, Y)
    )
    loader = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=16)
    trainer = L.Trainer(
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    trainer.fit(theirs.to_lightning(), loader, loader)
    assert same(ours, theirs)
    for name, values in history.history.items():
        assert float(trainer.callback_metrics[name]) == pytest.approx(values[-1], rel=1e-5)


def test_to_lightning_builds_an_unbuilt_model():
    lk.utils.set_random_seed(0)
    model = lk.Sequential([layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    loader = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=16)
    trainer = L.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(model.to_lightning(), loader)
    assert len(model.weights) == 2


# ---- beside Keras -----------------------------------------------------------------------------

COMPILES = {
    "classes": (classifier, Y, {}),
    "weights": (classifier, Y, {"sample_weight": np.linspace(0.1, 2, 203).astype("float32")}),
    "class weights": (classifier, Y, {"class_weight": {0: 1.0, 1: 3.0}}),
    "weighted metrics": (
        lambda k: classifier(k, weighted_metrics=["accuracy"], metrics=[]),
        Y,
        {"sample_weight": np.linspace(0.1, 2, 203).astype("float32")},
    ),
    "regression": (lambda k: classifier(k, loss="mse", metrics=["mae", "mse"]), T, {}),
    "sgd": (lambda k: classifier(k, optimizer="sgd"), Y, {}),
    "validation": (classifier, Y, {"validation_split": 0.25}),
    "freq": (classifier, Y, {"validation_split": 0.25, "validation_freq": 2}),
    "initial": (classifier, Y, {"initial_epoch": 1}),
    "steps": (classifier, Y, {"steps_per_epoch": 4}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", COMPILES)
def test_fit_equals_keras(name):
    make, y, args = COMPILES[name]
    ours, theirs = make(lk), make(keras)
    ours.set_weights(theirs.get_weights())
    args = {"epochs": 3, "batch_size": 16, "verbose": 0, "shuffle": False, **args}
    h1, h2 = ours.fit(X, y, **args), theirs.fit(X, y, **args)
    close(h1.history, h2.history, rtol=2e-4, atol=1e-5)
    assert h1.epoch == h2.epoch
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    close(
        ours.evaluate(X, y, verbose=0, return_dict=True),
        theirs.evaluate(X, y, verbose=0, return_dict=True),
        rtol=1e-4,
        atol=1e-5,
    )
    np.testing.assert_allclose(
        ours.evaluate(X, y, verbose=0), theirs.evaluate(X, y, verbose=0), 1e-3
    )
    np.testing.assert_allclose(
        ours.predict(X, verbose=0), theirs.predict(X, verbose=0), rtol=1e-3, atol=1e-5
    )


def two_headed(k):
    x = k.Input((4,))
    h = k.layers.Dense(3)(x)
    model = k.Model(x, [k.layers.Dense(1, name="a")(h), k.layers.Dense(1, name="b")(h)])
    model.compile(
        "sgd",
        loss={"a": "mse", "b": "mae"},
        loss_weights={"a": 1.0, "b": 0.5},
        metrics={"a": ["mae"], "b": ["mae", "mse"]},
    )
    return model


@pytest.mark.parametrize("form", ["list", "dict"])
def test_several_outputs_equal_keras(form):
    ours, theirs = two_headed(lk), two_headed(keras)
    ours.set_weights(theirs.get_weights())
    y = [T[:, :1], T[:, 1:]] if form == "list" else {"a": T[:, :1], "b": T[:, 1:]}
    args = {
        "epochs": 2,
        "batch_size": 32,
        "shuffle": False,
        "verbose": 0,
        "validation_data": (X, y),
    }
    close(ours.fit(X, y, **args).history, theirs.fit(X, y, **args).history, rtol=1e-4)
    np.testing.assert_allclose(
        ours.evaluate(X, y, verbose=0), theirs.evaluate(X, y, verbose=0), rtol=1e-4
    )
    for a, b in zip(ours.predict(X, verbose=0), theirs.predict(X, verbose=0), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["train_on_batch", "test_on_batch"])
def test_single_batches_equal_keras(method):
    ours, theirs = classifier(), classifier(keras)
    ours.set_weights(theirs.get_weights())
    for _ in range(3):
        np.testing.assert_allclose(getattr(ours, method)(X, Y), getattr(theirs, method)(X, Y), 1e-4)
    named = [getattr(m, method)(X, Y, return_dict=True) for m in (ours, theirs)]
    close(*named, rtol=1e-4)
    np.testing.assert_allclose(
        ours.predict_on_batch(X), theirs.predict_on_batch(X), rtol=1e-3, atol=1e-5
    )


def record(base):
    class Record(base):
        def __init__(self):
            super().__init__()
            self.seen = []

    def hook(name):
        def method(self, *args, **kwargs):
            numbers = [a for a in args if not isinstance(a, dict)]
            logs = kwargs.get("logs") or next((a for a in args if isinstance(a, dict)), {})
            self.seen.append((name, *numbers, *sorted(k for k in logs if k != "outputs")))

        return method

    for mode in ("train", "test", "predict"):
        for end in ("begin", "end"):
            setattr(Record, f"on_{mode}_{end}", hook(f"on_{mode}_{end}"))
            setattr(Record, f"on_{mode}_batch_{end}", hook(f"on_{mode}_batch_{end}"))
    for end in ("begin", "end"):
        setattr(Record, f"on_epoch_{end}", hook(f"on_epoch_{end}"))
    return Record()


def test_hooks_come_in_keras_order_with_its_logs():
    seen = []
    for k in (lk, keras):
        model, callback = classifier(k), record(k.callbacks.Callback)
        model.fit(
            X, Y, epochs=2, batch_size=64, validation_split=0.3, verbose=0, callbacks=[callback]
        )
        model.evaluate(X, Y, batch_size=128, verbose=0, callbacks=[callback])
        model.predict(X, batch_size=128, verbose=0, callbacks=[callback])
        seen.append(callback.seen)
    assert seen[0] == seen[1]


# ---- data of all kinds ------------------------------------------------------------------------


def _endless():
    while True:
        yield X[:16], Y[:16]


class Batches16(lk.utils.PyDataset):
    def __len__(self):
        return 13

    def __getitem__(self, i):
        return X[i * 16 : i * 16 + 16], Y[i * 16 : i * 16 + 16]


class Module(L.LightningDataModule):
    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=16)


KINDS = {
    "numpy": lambda: {"x": X, "y": Y},
    "torch": lambda: {"x": torch.tensor(X), "y": torch.tensor(Y)},
    "lists": lambda: {"x": X.tolist(), "y": Y.tolist()},
    "loader": lambda: {
        "x": DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=16)
    },
    "dataset": lambda: {"x": TensorDataset(torch.tensor(X), torch.tensor(Y))},
    "sequence": lambda: {"x": Batches16()},
    "data module": lambda: {"x": Module()},
    "generator": lambda: {"x": ((X[i : i + 16], Y[i : i + 16]) for i in range(0, 203, 16))},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_gives_the_same_weights(kind):
    usual, other = classifier(), classifier()
    usual.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
    data = KINDS[kind]()
    size = {} if kind in ("loader", "sequence", "data module", "generator") else {"batch_size": 16}
    other.fit(**data, **size, shuffle=False, verbose=0)
    assert same(usual, other)


def test_endless_generator_needs_steps_and_continues():
    model = classifier()
    history = model.fit(_endless(), steps_per_epoch=3, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2 and model.optimizer.iterations == 6


def test_named_inputs_and_outputs():
    a, b = lk.Input((2,), name="left"), lk.Input((2,), name="right")
    model = lk.Model([a, b], layers.Dense(1, name="y")(layers.concatenate([a, b])))
    model.compile("sgd", "mse")
    model.fit({"left": X[:, :2], "right": X[:, 2:]}, {"y": T[:, :1]}, verbose=0)
    assert model.predict({"right": X[:, 2:], "left": X[:, :2]}, verbose=0).shape == (203, 1)


# ---- models of one's own ----------------------------------------------------------------------


class Custom(lk.Model):
    """`train_step` as Keras's guides for torch write it."""

    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(8, activation="relu")
        self.head = layers.Dense(2, activation="softmax")

    def call(self, x):
        return self.head(self.hidden(x))

    def train_step(self, data):
        x, y = data
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        self.zero_grad()
        loss.backward()
        weights = list(self.trainable_weights)
        gradients = [w.value.grad for w in weights]
        with torch.no_grad():
            self.optimizer.apply(gradients, weights)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


def test_a_train_step_of_ones_own_walks_the_same_path():
    usual, custom = classifier(), Custom()
    custom.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    custom.build((None, 4))
    custom.set_weights(usual.get_weights())
    args = {"epochs": 2, "batch_size": 29, "verbose": 0, "shuffle": False}
    h1, h2 = usual.fit(X, Y, **args), custom.fit(X, Y, **args)
    for a, b in zip(usual.get_weights(), custom.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    close(h2.history, h1.history, rtol=1e-4)


def test_compute_loss_of_ones_own_is_used():
    class Doubled(lk.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return 2 * super().compute_loss(x, y, y_pred, sample_weight, training)

    model, plain = (
        Doubled([lk.Input((4,)), layers.Dense(2)]),
        lk.Sequential([lk.Input((4,)), layers.Dense(2)]),
    )
    for m in (model, plain):
        m.compile("sgd", "mse")
    plain.set_weights(model.get_weights())
    assert model.evaluate(X, T, verbose=0) == pytest.approx(2 * plain.evaluate(X, T, verbose=0))


def test_layers_losses_are_trained_on_without_targets():
    class Pull(layers.Layer):
        def call(self, x):
            self.add_loss((x**2).mean())
            return x

    model = lk.Sequential([lk.Input((4,)), layers.Dense(3), Pull()])
    model.compile("adam")
    history = model.fit(X, epochs=3, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_frozen_after_compile_is_trained_by_its_own_compile():
    gan_style = classifier()
    gan_style.trainable = False
    before = gan_style.get_weights()
    gan_style.train_on_batch(X, Y)
    assert not np.array_equal(before[0], gan_style.get_weights()[0])
    assert gan_style.trainable_weights == []
    partly = classifier()
    partly.layers[0].trainable = False
    before = partly.get_weights()
    partly.fit(X, Y, verbose=0)
    assert np.array_equal(before[0], partly.get_weights()[0])
    assert not np.array_equal(before[2], partly.get_weights()[2])


# ---- torch's and Lightning's own things -------------------------------------------------------


def test_torch_optimizer_scheduler_and_torchmetrics():
    import torchmetrics

    model = classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    metric = torchmetrics.Accuracy(task="multiclass", num_classes=2)
    model.compile(
        (optimizer, scheduler), "sparse_categorical_crossentropy", metrics=["accuracy", metric]
    )
    history = model.fit(X, Y, epochs=3, verbose=0).history
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**3)
    np.testing.assert_allclose(history["accuracy"], history["multiclass_accuracy"], rtol=1e-6)


FUNCTIONS = {
    "binary_cross_entropy": (torch.nn.BCELoss, "sigmoid", 1),
    "binary_cross_entropy_with_logits": (torch.nn.BCEWithLogitsLoss, None, 1),
    "cross_entropy": (torch.nn.CrossEntropyLoss, None, 2),
    "huber_loss": (torch.nn.HuberLoss, None, 1),
    "poisson_nll_loss": (torch.nn.PoissonNLLLoss, None, 1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_loss_functions_of_torch_are_called_as_torch_does_outputs_first(name):
    kind, activation, units = FUNCTIONS[name]
    given, found = (getattr(torch.nn.functional, name), kind()), []
    for loss in given:
        lk.utils.set_random_seed(0)
        stack = [lk.Input((X.shape[1],)), lk.layers.Dense(units, activation=activation)]
        model = lk.Sequential(stack)
        model.compile("sgd", loss)
        model.fit(X, Y.astype("float32") if units == 1 else Y, shuffle=False, verbose=0)
        found.append(model.get_weights())
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    model.compile("sgd", given[0])
    model.fit(X, Y, sample_weight=np.ones(len(X)), verbose=0)


def test_functions_of_torchmetrics_are_called_outputs_first():
    from functools import partial

    from torchmetrics import functional

    model = classifier(
        metrics=[partial(functional.accuracy, task="multiclass", num_classes=2), "accuracy"]
    )
    logs = model.evaluate(X, Y, batch_size=len(X), verbose=0, return_dict=True)
    assert logs["accuracy"] == pytest.approx(logs["accuracy_1"])
    model = lk.Sequential([lk.Input((X.shape[1],)), lk.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[functional.mean_absolute_percentage_error])
    y = Y[:, None] + 1.0
    expected = functional.mean_absolute_percentage_error(
        torch.tensor(model.predict(X, verbose=0)), torch.tensor(y)
    )
    found = model.evaluate(X, y, batch_size=len(X), verbose=0)[1]
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_a_metric_of_several_values_is_an_array_of_its_own(capsys):
    """Also where it gives its state itself. The line shows the mean, of whole numbers too."""
    import torchmetrics

    model = classifier(metrics=[torchmetrics.ConfusionMatrix(task="multiclass", num_classes=2)])
    counts = model.fit(X, Y, epochs=2, verbose=2).history["multiclass_confusion_matrix"]
    assert [type(found) is np.ndarray and found.sum() for found in counts] == [203, 203]
    assert "multiclass_confusion_matrix: 50.7500" in capsys.readouterr().out
    found = model.evaluate(X, Y, verbose=0)[1]
    model.evaluate(X[:3], Y[:3], verbose=0)
    assert found.sum() == 203


def test_lightning_callbacks_and_loggers_beside_kerass(tmp_path):
    checkpoint = L.callbacks.ModelCheckpoint(dirpath=tmp_path, monitor="val_loss", save_top_k=1)
    stop = L.callbacks.EarlyStopping("val_loss", patience=1, min_delta=10.0)
    logger = L.pytorch.loggers.CSVLogger(tmp_path, name="log") if hasattr(L, "pytorch") else None
    from lightning.pytorch.loggers import CSVLogger

    logger = CSVLogger(tmp_path, name="log")
    ours = lk.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)
    history = classifier().fit(
        X,
        Y,
        epochs=10,
        validation_split=0.2,
        verbose=0,
        callbacks=[checkpoint, ours, stop],
        logger=logger,
    )
    assert len(history.history["loss"]) == 2  # nothing improves by 10
    assert os.path.exists(checkpoint.best_model_path)
    assert "val_loss" in (tmp_path / "log" / "version_0" / "metrics.csv").read_text()


def test_nothing_is_written_or_printed_unless_asked(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    model = classifier()
    model.fit(X, Y, epochs=1, validation_split=0.2, verbose=0)
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    out, err = capfd.readouterr()
    assert out == "" and err == "" and list(tmp_path.iterdir()) == []


# ---- ends -------------------------------------------------------------------------------------


def test_stop_training_ends_after_the_epoch_or_batch():
    class Stop(lk.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    model = classifier()
    assert len(model.fit(X, Y, epochs=9, verbose=0, callbacks=[Stop()]).history["loss"]) == 2
    assert len(model.fit(X, Y, epochs=2, verbose=0).history["loss"]) == 2  # and may go on


def test_fit_twice_continues_with_the_same_optimizer():
    once, twice = classifier(), classifier()
    once.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    for _ in range(2):
        twice.fit(X, Y, epochs=1, shuffle=False, verbose=0)
    assert same(once, twice) and twice.optimizer.iterations == 14


def test_a_callback_that_raises_leaves_the_model_usable():
    def fail(epoch, logs):
        raise RuntimeError("mine")

    model = classifier()
    with pytest.raises(RuntimeError, match="mine"):
        model.fit(X, Y, verbose=0, callbacks=[lk.callbacks.LambdaCallback(on_epoch_end=fail)])
    assert not model.training
    model.fit(X, Y, verbose=0)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to oneself on Windows")
def test_interrupt_leaves_model_history_and_handler():
    model = classifier()
    # A process started in the background by a shell ignores SIGINT; this one must not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupted(model)
    finally:
        signal.signal(signal.SIGINT, before)


def interrupted(model):
    handler = signal.getsignal(signal.SIGINT)

    def interrupt(epoch, logs):
        if epoch == 2:
            threading.Timer(0.01, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        model.fit(
            X,
            Y,
            epochs=100000,
            verbose=0,
            callbacks=[lk.callbacks.LambdaCallback(on_epoch_end=interrupt)],
        )
    assert len(model.history.history["loss"]) >= 3
    assert signal.getsignal(signal.SIGINT) is handler and not model.training
    model.fit(X, Y, verbose=0)
    assert model.predict(X, verbose=0).shape == (203, 2)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM ends a process there at once")
@pytest.mark.parametrize("steps", [0, 5])
@pytest.mark.parametrize(
    "way", [{}, {"gradient_clip_val": 1e9}, {"steps_per_execution": 3}], ids=["", "one", "three"]
)
def test_a_process_that_is_told_to_end_does_so_at_once(way, steps):
    """Without a backup, too, and with the status of a process that SIGTERM ended."""
    model, seen = classifier(), []
    if "steps_per_execution" in way:
        model.compile("sgd", "sparse_categorical_crossentropy", **way)
        way = {}

    def stop(batch, logs):
        seen.append(batch)
        if len(seen) == steps:
            os.kill(os.getpid(), signal.SIGTERM)

    def begin(logs):
        if steps == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    watch = lk.callbacks.LambdaCallback(
        on_train_begin=begin,
        on_train_batch_end=stop,
        on_epoch_end=lambda epoch, logs: seen.append("end"),
    )
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as error:
        model.fit(X, Y, verbose=0, callbacks=[watch], **way)
    assert error.value.code == 128 + signal.SIGTERM and seen == list(range(steps or 1))
    assert signal.getsignal(signal.SIGTERM) is handler and not model.training
    model.fit(X, Y, verbose=0)
