"""Callbacks decide as Keras's do on the same logs, and complain before the first step."""

import csv
import http.server
import inspect
import io
import json
import math
import os
import re
import sys
import threading
import urllib.parse
import warnings

import numpy as np
import pytest
import torch

from lightkeras import callbacks as ours
from lightkeras._config import _Every
from lightkeras.callbacks import CallbackList

keras = pytest.importorskip("keras")
theirs = keras.callbacks
NAN = math.nan


class Rate:
    """An optimizer, as far as callbacks look at it."""

    def __init__(self, learning_rate=0.5):
        self.learning_rate = learning_rate
        self.iterations = 0


class Fake(torch.nn.Module):
    """A model, as far as callbacks look at it; its one weight says which epoch it is from."""

    def __init__(self, optimizer=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.optimizer = optimizer or Rate()
        self.metrics = []
        self.stop_training = False

    def get_weights(self):
        return [self.weight.detach().numpy().copy()]

    def set_weights(self, weights):
        self.mark(weights[0])

    def mark(self, value):
        with torch.no_grad():
            self.weight.copy_(torch.as_tensor(value))

    def save(self, path, overwrite=True):
        with open(path, "w") as file:
            file.write(f"{float(self.weight.detach()):g}")

    save_weights = save


def epochs(callback, values, name="loss", begin=True):
    """Run through epochs with these values until the callback stops it; (model, logs)."""
    model, seen = Fake(), []
    callback.set_model(model)
    callback.set_params({"epochs": len(values), "steps": 1, "verbose": 0})
    if begin:
        callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        model.mark(epoch + 1.0)
        logs = {name: value}
        callback.on_epoch_end(epoch, logs)
        seen.append(logs)
        if model.stop_training:
            break
    callback.on_train_end()
    return model, seen


# ---- the interface ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ours.__all__)
def test_arguments_are_those_of_keras(name):
    def shown(cls):
        init = inspect.signature(cls.__init__).parameters.values()
        return [(p.name, p.default) for p in init if p.kind is p.POSITIONAL_OR_KEYWORD][1:]

    assert shown(getattr(ours, name)) == shown(getattr(theirs, name))


def test_hooks_are_those_of_keras():
    def hooks(cls):
        found = {name: getattr(cls, name) for name in dir(cls) if name.startswith(("on_", "set_"))}
        return {name: list(inspect.signature(f).parameters) for name, f in found.items()}

    assert hooks(ours.Callback) == hooks(theirs.Callback)
    assert hooks(ours.CallbackList) == hooks(theirs.CallbackList)


def test_unknown_argument_is_refused_with_a_hint():
    with pytest.raises(TypeError, match=r"unexpected argument 'patiense'. Did you mean 'patience'"):
        ours.EarlyStopping(patiense=3)
    with pytest.raises(TypeError, match="Did you mean 'on_epoch_end'"):
        ours.LambdaCallback(on_epoch_ends=print)


class Recorder(ours.Callback):
    def __init__(self, said):
        self.said = said

    def on_train_begin(self, logs=None):
        self.said.append(("train_begin", logs))

    def on_epoch_end(self, epoch, logs=None):
        self.said.append((epoch, dict(logs)))

    def on_batch_end(self, batch, logs=None):
        self.said.append(("batch", batch, dict(logs)))


class KerasRecorder(theirs.Callback):
    __init__ = Recorder.__init__
    on_train_begin = Recorder.on_train_begin
    on_epoch_end = Recorder.on_epoch_end
    on_batch_end = Recorder.on_batch_end


def drive(group):
    group.on_train_begin()
    group.on_epoch_begin(0)
    group.on_train_batch_begin(0)
    group.on_train_batch_end(0, {"loss": torch.tensor(2.0), "accuracy": np.float32(0.5)})
    group.on_epoch_end(0, {"loss": torch.tensor(2.0), "accuracy": 0.5, "val_loss": 3.0})
    group.on_train_end({"loss": 2.0})


def test_list_calls_as_keras_does():
    mine, other = [], []
    params = {"epochs": 3, "steps": 7, "verbose": 0}
    model, keras_model = Fake(), Fake()
    group = CallbackList([[Recorder(mine)]], add_history=True, model=model, **params)
    reference = theirs.CallbackList(
        [KerasRecorder(other)], add_history=True, model=keras_model, **params
    )
    drive(group)
    drive(reference)
    assert mine == other and len(mine) == 3
    assert list(mine[-1][1]) == ["accuracy", "loss", "val_loss"]
    assert model.history.history == keras_model.history.history
    assert list(model.history.history) == list(keras_model.history.history)
    assert model.history.epoch == [0] and model.history.params == params


def test_a_callback_of_the_installed_keras_may_stand_in_the_list():
    group = CallbackList([theirs.EarlyStopping("loss")], model=Fake())
    assert not group.wants_train_batches
    group.validate(True, ["loss"])
    drive(group)
    assert CallbackList([theirs.TerminateOnNaN()]).wants_train_batches


def test_what_on_epoch_end_adds_is_recorded():
    model = Fake(Rate(0.25))
    schedule = ours.LearningRateScheduler(lambda epoch, lr: lr / 2)
    group = CallbackList([schedule], add_history=True, model=model)
    logs = {"loss": 1.0}
    group.on_epoch_begin(0)
    group.on_epoch_end(0, logs)
    assert logs == model.history.history | {"loss": 1.0, "learning_rate": 0.125}
    assert model.history.history["learning_rate"] == [0.125]


def test_history_answers_to_old_names():
    history = ours.History()
    history.on_epoch_end(0, {"accuracy": 0.5, "val_accuracy": 0.25, "learning_rate": 0.1})
    with pytest.warns(UserWarning, match="'val_acc' is an old"):
        assert history.history["val_acc"] == [0.25]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert history.history["acc"] == [0.5] and history.history["lr"] == [0.1]
    assert "acc" not in history.history
    with pytest.raises(KeyError, match=r"'val_loss' was not recorded. Recorded: accuracy,"):
        history.history["val_loss"]


class EveryBatch(ours.ModelCheckpoint):
    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)


@pytest.mark.parametrize(
    "callback, wanted",
    [
        (ours.Callback(), ""),
        (Recorder([]), "train"),
        (ours.EarlyStopping(), ""),
        (ours.History(), ""),
        (ours.ProgbarLogger(), ""),
        (ours.SwapEMAWeights(), ""),
        (ours.CSVLogger("log.csv"), ""),
        (ours.TerminateOnNaN(), "train"),
        (ours.LambdaCallback(on_epoch_end=print), ""),
        (ours.LambdaCallback(on_train_batch_end=print), "train"),
        (ours.LambdaCallback(on_batch_begin=print), "train"),
        (ours.LambdaCallback(on_test_batch_begin=print), "test"),
        (ours.LambdaCallback(on_predict_batch_end=print), "predict"),
        (ours.ModelCheckpoint("a.keras"), ""),
        (ours.ModelCheckpoint("a.keras", save_freq=10), "train"),
        (ours.ModelCheckpoint("a.keras", save_freq=_Every(10)), ""),
        (EveryBatch("a.keras"), "train"),
        (ours.TensorBoard("logs"), ""),
        (ours.TensorBoard("logs", update_freq=7), "train"),
        (ours.TensorBoard("logs", profile_batch=2), "train"),
    ],
)
def test_who_wants_batches(callback, wanted):
    group = CallbackList([ours.History(), callback])
    asked = {
        "train": group.wants_train_batches,
        "test": group.wants_test_batches,
        "predict": group.wants_predict_batches,
    }
    assert " ".join(mode for mode, wants in asked.items() if wants) == wanted


@pytest.mark.parametrize(
    "wrong, text",
    [
        (ours.EarlyStopping, r"the class EarlyStopping.*Type EarlyStopping\(\)"),
        (3, "callbacks got int. Each has to be a Callback"),
        (print, "LambdaCallback"),
    ],
)
def test_what_is_no_callback_is_refused(wrong, text):
    with pytest.raises(TypeError, match=text):
        CallbackList([wrong])


def test_outputs_of_predict_stay_as_they_are():
    seen = []
    group = CallbackList(
        ours.LambdaCallback(on_predict_batch_end=lambda b, logs: seen.append(logs))
    )
    outputs = np.ones((1, 1))
    group.on_predict_batch_end(0, {"outputs": outputs})
    assert seen[0]["outputs"] is outputs


def test_lambda_callback_calls_as_keras_does():
    def calls(cls):
        said = []
        callback = cls(
            on_epoch_end=lambda epoch, logs: said.append((epoch, logs)),
            on_train_batch_end=lambda batch, logs: said.append((batch, logs)),
            on_test_begin=lambda logs: said.append(logs),
        )
        callback.on_epoch_end(1, {"loss": 2})
        callback.on_train_batch_end(4, {})
        callback.on_test_begin({"a": 1})
        callback.on_train_begin()
        return said

    assert calls(ours.LambdaCallback) == calls(theirs.LambdaCallback)
    with pytest.raises(TypeError, match="got int for on_epoch_end"):
        ours.LambdaCallback(on_epoch_end=3)


# ---- stopping -----------------------------------------------------------------------------------

LOSSES = [1.0, 0.8, 0.9, 0.79, 0.85, 0.81, 0.5, 0.6, 0.7, 0.8, 0.9]


@pytest.mark.parametrize(
    "values", [LOSSES, LOSSES[::-1], [1.0] * 6, [0.3], [3.0, 2.0, 1.5, NAN, 1.0]]
)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"patience": 1},
        {"patience": 3},
        {"patience": 2, "min_delta": 0.05},
        {"patience": 2, "min_delta": -0.3, "mode": "max"},
        {"patience": 2, "mode": "max", "restore_best_weights": True},
        {"patience": 2, "restore_best_weights": True},
        {"patience": 2, "restore_best_weights": True, "baseline": 0.6},
        {"patience": 4, "restore_best_weights": True, "start_from_epoch": 2},
    ],
)
def test_early_stopping_decides_as_keras(values, arguments):
    mine = ours.EarlyStopping("loss", **arguments)
    other = theirs.EarlyStopping("loss", **arguments)
    (model, _), (reference, _) = epochs(mine, values), epochs(other, values)
    for name in ("stopped_epoch", "best", "best_epoch", "wait"):
        assert getattr(mine, name) == getattr(other, name), name
    assert model.get_weights() == reference.get_weights()
    assert model.stop_training == reference.stop_training
    if arguments.get("restore_best_weights"):
        assert mine.best_weights == other.best_weights
        assert model.get_weights() == [mine.best_epoch + 1]
    else:
        assert mine.best_weights is None


def test_early_stopping_starts_afresh_with_every_fit():
    stop = ours.EarlyStopping("loss", restore_best_weights=True)
    epochs(stop, LOSSES)
    model, _ = epochs(stop, [5.0, 6.0])
    assert stop.best == 5.0 and model.get_weights() == [1.0]


def test_nan_is_never_best():
    stop = ours.EarlyStopping("loss", patience=2, restore_best_weights=True)
    model, _ = epochs(stop, [NAN, 3.0, NAN, 2.0, NAN, NAN])
    assert stop.best == 2.0 and stop.stopped_epoch == 5 and model.get_weights() == [4.0]
    model, _ = epochs(stop, [NAN, NAN, NAN])
    assert stop.best_weights is None and model.stop_training


def test_messages_stand_below_a_progress_line(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def say(*lines):
        for line in lines:
            ours.Callback()._say(line)
        return sys.stdout.getvalue()

    monkeypatch.setattr(sys, "stdout", Terminal())
    assert say("hello") == "hello\n"
    line = ours.ProgbarLogger()
    line.set_params({"verbose": 1, "epochs": 1, "steps": 8})
    line.on_epoch_begin(0)
    line.step(1)
    assert say("a", "b").endswith("us/step\na\nb\n")
    line.on_epoch_end(0)
    assert say("c").endswith("us/step\nc\n")
    line.on_epoch_begin(1)
    line.step(1)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert say("elsewhere") == "elsewhere\n"


def test_early_stopping_says_what_it_does(capsys):
    stop = ours.EarlyStopping("loss", patience=1, verbose=1, restore_best_weights=True)
    epochs(stop, [1.0, 2.0, 3.0])
    out = capsys.readouterr().out
    assert (
        out == "Epoch 2: stopped early, loss was best in epoch 1\nThe weights of epoch 1 are back\n"
    )


class Metric:
    def __init__(self, name, _direction=None, **attributes):
        self.name, self._direction = name, _direction
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    "monitor, metrics, better",
    [
        ("loss", [], 0.0),
        ("val_loss", [], 0.0),
        ("val_main_loss", [], 0.0),
        ("accuracy", [], 2.0),
        ("val_auc", [], 2.0),
        ("val_f1", [Metric("f1", "up")], 2.0),
        ("out_f1", [[Metric("f1", "up")]], 2.0),
        ("mae", [Metric("mae", "down")], 0.0),
        ("r2", [Metric("r2", higher_is_better=True)], 2.0),
        ("per", [Metric("per", higher_is_better=False)], 0.0),
    ],
)
def test_auto_mode_knows_what_is_better(monitor, metrics, better):
    stop = ours.EarlyStopping(monitor, patience=9)
    stop.set_model(Fake())
    stop.model.metrics = metrics
    stop.on_train_begin()
    for epoch, value in enumerate([1.0, 0.0, 2.0]):
        stop.on_epoch_end(epoch, {monitor: value})
    assert stop.best == better


def test_terminate_on_nan(capsys):
    model = Fake()
    callback = ours.TerminateOnNaN()
    callback.set_model(model)
    callback.on_train_batch_end(0, {"loss": 1.0})
    callback.on_train_batch_end(1, {})
    assert not model.stop_training
    callback.on_train_batch_end(2, {"loss": math.inf})
    assert model.stop_training and "Batch 2: the loss is inf" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="The loss of batch 3 is nan"):
        ours.TerminateOnNaN(raise_error=True).on_train_batch_end(3, {"loss": NAN})


# ---- learning rates -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values", [LOSSES, LOSSES[::-1], [1.0] * 9, [1.0, 0.5, NAN, 0.4, 0.4, 0.4]]
)
@pytest.mark.parametrize(
    "arguments",
    [
        {"patience": 1},
        {"patience": 2, "factor": 0.5, "cooldown": 2},
        {"patience": 1, "min_lr": 0.02},
        {"patience": 2, "min_delta": 0.2},
        {"patience": 1, "mode": "max", "factor": 0.3, "cooldown": 1},
    ],
)
def test_plateau_reduces_as_keras(values, arguments):
    mine = epochs(ours.ReduceLROnPlateau("loss", **arguments), values)
    other = epochs(theirs.ReduceLROnPlateau("loss", **arguments), values)
    rates = [logs["learning_rate"] for logs in mine[1]]
    np.testing.assert_allclose(rates, [logs["learning_rate"] for logs in other[1]], rtol=1e-6)
    np.testing.assert_allclose(
        mine[0].optimizer.learning_rate, other[0].optimizer.learning_rate, rtol=1e-6
    )


def test_plateau_with_old_epsilon():
    with pytest.warns(UserWarning, match="epsilon"):
        assert ours.ReduceLROnPlateau(epsilon=0.5).min_delta == 0.5


@pytest.mark.parametrize("factor", [0, 1.0, 2, -0.5])
def test_plateau_refuses_a_factor(factor):
    with pytest.raises(ValueError, match=r"factor=.*between 0 and 1.*Type factor=0.1"):
        ours.ReduceLROnPlateau(factor=factor)


@pytest.mark.parametrize("schedule", [lambda epoch, lr: lr * 0.5, lambda epoch: 0.1 / (epoch + 1)])
def test_scheduler_sets_as_keras(schedule):
    mine = epochs(ours.LearningRateScheduler(schedule), [1.0, 1.0, 1.0])
    other = epochs(theirs.LearningRateScheduler(schedule), [1.0, 1.0, 1.0])
    assert mine[1] == other[1]
    assert mine[0].optimizer.learning_rate == other[0].optimizer.learning_rate


def test_scheduler_on_a_torch_optimizer():
    model = Fake()
    model.optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    callback = ours.LearningRateScheduler(lambda epoch, lr: lr / 4)
    callback.set_model(model)
    callback.on_epoch_begin(0)
    assert model.optimizer.param_groups[0]["lr"] == 0.125


@pytest.mark.parametrize(
    "returned, text",
    [(None, "returned NoneType"), ("0.1", "returned str"), (NAN, "nan"), (-1.0, "returned -1.0")],
)
def test_scheduler_refuses_what_is_no_rate(returned, text):
    callback = ours.LearningRateScheduler(lambda epoch, lr: returned)
    callback.set_model(Fake())
    with pytest.raises(ValueError, match=text):
        callback.on_epoch_begin(0)


def test_scheduler_lets_errors_of_the_schedule_through():
    def schedule(epoch, lr):
        return lr + "1"

    callback = ours.LearningRateScheduler(schedule)
    callback.set_model(Fake())
    with pytest.raises(TypeError, match="unsupported operand"):
        callback.on_epoch_begin(0)
    with pytest.raises(TypeError, match="got float for schedule"):
        ours.LearningRateScheduler(0.1)


# ---- files --------------------------------------------------------------------------------------


def files(folder):
    """{name: content} of all files below a folder."""
    found = [os.path.join(d, f) for d, _, names in os.walk(folder) for f in names]
    return {os.path.relpath(f, folder): open(f).read() for f in found}


@pytest.mark.parametrize("values", [LOSSES, LOSSES[::-1], [1.0, NAN, 0.5, NAN]])
@pytest.mark.parametrize(
    "name, arguments",
    [
        ("m.keras", {}),
        ("{epoch:02d}-{loss:.2f}.keras", {}),
        ("a/b{epoch}/m.keras", {}),
        ("{epoch}.keras", {"save_best_only": True}),
        ("{epoch}.keras", {"save_best_only": True, "mode": "max"}),
        ("{epoch}.keras", {"save_best_only": True, "initial_value_threshold": 0.75}),
        ("{epoch}.weights.h5", {"save_weights_only": True}),
    ],
)
def test_checkpoint_writes_the_files_of_keras(tmp_path, values, name, arguments):
    for module, folder in ((ours, "ours"), (theirs, "theirs")):
        (tmp_path / folder).mkdir()
        path = str(tmp_path / folder / name)
        epochs(module.ModelCheckpoint(path, monitor="loss", **arguments), values)
    assert files(tmp_path / "ours") == files(tmp_path / "theirs") != {}


@pytest.mark.parametrize("save_freq", [1, 3, 5, 7])
@pytest.mark.parametrize("together", [1, 2])
def test_checkpoint_counts_batches_as_keras(tmp_path, save_freq, together):
    for module in (ours, theirs):
        folder = tmp_path / ("ours" if module is ours else "theirs")
        path = str(folder / "{epoch}-{batch}-{loss:.1f}.keras")
        callback = module.ModelCheckpoint(path, monitor="loss", save_freq=save_freq)
        callback.set_model(Fake())
        callback.on_train_begin()
        for epoch in range(3):
            callback.on_epoch_begin(epoch)
            for batch in range(together - 1, 6, together):
                callback.on_train_batch_end(batch, {"loss": batch / 2})
            callback.on_epoch_end(epoch, {"loss": 0.5})
    assert list(files(tmp_path / "ours")) != []
    assert files(tmp_path / "ours") == files(tmp_path / "theirs")


@pytest.mark.parametrize("period, saved", [(1, [1, 2, 3, 4, 5]), (2, [2, 4]), (3, [3])])
def test_checkpoint_with_old_period(tmp_path, period, saved):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        callback = ours.ModelCheckpoint(str(tmp_path / "{epoch}.keras"), period=period)
    epochs(callback, LOSSES[:5])
    assert sorted(files(tmp_path)) == [f"{n}.keras" for n in saved]


@pytest.mark.parametrize(
    "given, weights_only, written",
    [
        (
            "weights.{epoch:02d}-{val_loss:.2f}.hdf5",
            False,
            "weights.{epoch:02d}-{val_loss:.2f}.keras",
        ),
        ("best.h5", False, "best.keras"),
        ("best.h5", True, "best.weights.h5"),
        ("cp-{epoch:04d}.pth", True, "cp-{epoch:04d}.weights.h5"),
        ("ckpt", False, "ckpt.keras"),
        ("w.{epoch:02d}-{loss:.2f}", True, "w.{epoch:02d}-{loss:.2f}.weights.h5"),
    ],
)
def test_old_names_get_a_suffix_of_today(given, weights_only, written):
    with pytest.warns(UserWarning, match=re.escape(repr(written))):
        callback = ours.ModelCheckpoint(given, save_weights_only=weights_only)
    assert callback.filepath == written


def test_checkpoint_says_what_it_does(tmp_path, capsys):
    path = str(tmp_path / "m.keras")
    epochs(ours.ModelCheckpoint(path, "loss", 1, save_best_only=True), [1.0, 0.5, 0.75])
    assert capsys.readouterr().out.splitlines() == [
        f"Epoch 1: loss went from nothing to 1.00000, saved {path}",
        f"Epoch 2: loss went from 1.00000 to 0.50000, saved {path}",
        "Epoch 3: loss is no better than 0.50000",
    ]


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: ours.EarlyStopping(mode="minn"), "Unknown mode 'minn'. Did you mean 'min'"),
        (lambda: ours.ModelCheckpoint("a.keras", mode="maxx"), "Did you mean 'max'"),
        (lambda: ours.ModelCheckpoint("a.keras", save_freq="epochs"), "Did you mean 'epoch'"),
        (lambda: ours.ModelCheckpoint("a.keras", save_freq=0), "save_freq=0"),
        (lambda: ours.ModelCheckpoint("a.keras", save_freq=True), "save_freq=True"),
        (lambda: ours.ModelCheckpoint("{epoch:02d.keras"), "cannot fill in filepath"),
        (lambda: ours.ModelCheckpoint("{}.keras"), "cannot fill in filepath"),
        (lambda: ours.ModelCheckpoint("{val_loss:02d}.keras"), "cannot fill in filepath"),
        (lambda: ours.ModelCheckpoint("a.weights.h5"), "Change it, or type save_weights_only=True"),
        (lambda: ours.ModelCheckpoint("a.keras", save_weights_only=True), ".weights.h5 or"),
        (lambda: ours.CSVLogger("a.csv", separator=", "), "It is one character"),
        (lambda: ours.RemoteMonitor("file:///etc"), "address of a server"),
    ],
)
def test_refused_when_made(make, text):
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize(
    "callback, has_validation, names, text",
    [
        (lambda: ours.EarlyStopping(), False, ["loss"], "Pass validation_data=.*monitor='loss'"),
        (lambda: ours.EarlyStopping(), False, None, "there is no validation"),
        (lambda: ours.ReduceLROnPlateau(), False, ["loss"], "there is no validation"),
        (
            lambda: ours.EarlyStopping("val_acuracy"),
            True,
            ["loss", "accuracy"],
            "no epoch will give. Did you mean 'val_accuracy'",
        ),
        (lambda: ours.EarlyStopping("mystery"), True, ["mystery"], "Type mode='max' or mode='min'"),
        (
            lambda: ours.ModelCheckpoint("a.keras", save_best_only=True),
            False,
            ["loss"],
            "ModelCheckpoint watches 'val_loss', but there is no validation",
        ),
        (
            lambda: ours.ModelCheckpoint("a.keras", "val_f1", save_best_only=True),
            True,
            ["loss"],
            "which no epoch will give",
        ),
        (
            lambda: ours.ModelCheckpoint("{epoch}-{val_accurcy:.2f}.keras"),
            True,
            ["loss", "accuracy"],
            "asks for {val_accurcy}.*Did you mean 'val_accuracy'.*Known: accuracy, epoch, loss",
        ),
        (lambda: ours.ModelCheckpoint("{batch}.keras"), True, ["loss"], "asks for {batch}"),
        (
            lambda: ours.ModelCheckpoint("a.keras", save_best_only=True, save_freq=5),
            True,
            ["loss"],
            "every 5 batches, but 'val_loss' is known only after an epoch",
        ),
    ],
)
def test_refused_before_the_first_epoch(callback, has_validation, names, text):
    group = CallbackList([callback()], model=Fake())
    with pytest.raises(ValueError, match=text):
        group.validate(has_validation, names)


class Writes(ours.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["val_f1"] = float(epoch)


@pytest.mark.parametrize(
    "callbacks, has_validation, names",
    [
        (lambda: [ours.EarlyStopping("loss")], False, ["loss"]),
        (lambda: [ours.EarlyStopping("val_loss")], True, None),
        (lambda: [ours.ModelCheckpoint("a.keras")], False, ["loss"]),
        (lambda: [Writes(), ours.EarlyStopping("val_f1", mode="max")], False, ["loss"]),
        (lambda: [Writes(), ours.ModelCheckpoint("{val_f1}.keras")], False, ["loss"]),
        (
            lambda: [
                ours.LearningRateScheduler(lambda e: 0.1),
                ours.ModelCheckpoint("{learning_rate}.keras"),
            ],
            False,
            ["loss"],
        ),
        (lambda: [ours.ModelCheckpoint("{batch}-{loss:.2f}.keras", save_freq=2)], True, ["loss"]),
    ],
)
def test_no_false_alarm(callbacks, has_validation, names):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CallbackList(callbacks(), model=Fake()).validate(has_validation, names)


def test_a_number_is_no_name():
    with pytest.raises(TypeError, match=r"got monitor=3. It is the name of a value"):
        ours.EarlyStopping(3)


def test_old_names_of_values_are_understood(tmp_path):
    stop = ours.EarlyStopping("val_acc")
    path = str(tmp_path / "{epoch}-{val_acc:.2f}.keras")
    save = ours.ModelCheckpoint(path, "val_acc", save_best_only=True)
    group = CallbackList([stop, save], model=Fake())
    with pytest.warns(UserWarning, match="'val_acc' is an old Keras spelling"):
        group.validate(True, ["loss", "accuracy"])
    group.on_epoch_end(0, {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.75})
    assert stop.best == 0.75 and list(files(tmp_path)) == ["1-0.75.keras"]


def test_an_epoch_without_validation_is_passed_over(tmp_path):
    stop = ours.EarlyStopping(patience=1)
    best = ours.ModelCheckpoint(str(tmp_path / "b{epoch}.keras"), save_best_only=True)
    named = ours.ModelCheckpoint(str(tmp_path / "n{epoch}-{val_loss}.keras"))
    group = CallbackList([stop, best, named], model=Fake())
    group.validate(True, ["loss"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch, logs in enumerate([{"loss": 1}, {"loss": 1, "val_loss": 2}, {"loss": 1}]):
            group.on_epoch_end(epoch, logs)
    assert sorted(files(tmp_path)) == ["b2.keras", "n2-2.0.keras"]


def test_best_without_its_value_is_an_error_not_a_file(tmp_path):
    save = ours.ModelCheckpoint(str(tmp_path / "m.keras"), "val_f1", save_best_only=True)
    save.set_model(Fake())
    with pytest.warns(UserWarning, match="watches 'val_f1', which this epoch did not give"):
        save.on_epoch_end(0, {"loss": 1.0})  # it was not validated
    with pytest.raises(
        ValueError, match=r"watches 'val_f1', .*not give.*mean 'val_f2'.*= \.\.\. \(NaN"
    ):
        save.on_epoch_end(0, {"loss": 1.0, "val_f2": 1.0})
    assert files(tmp_path) == {}
    with pytest.raises(ValueError, match="watches 'f1', which this epoch did not give"):
        ours.ModelCheckpoint("m.keras", "f1", save_best_only=True).on_epoch_end(0, {"loss": 1.0})
    stop = ours.EarlyStopping("val_f1")
    stop.set_model(Fake())
    with pytest.warns(UserWarning, match="watches 'val_f1', which this epoch did not give"):
        stop.on_epoch_end(0, {"loss": 1.0})


def test_a_value_that_a_callback_gives_now_and_then(tmp_path):
    class Now(ours.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch % 2 == 0:
                logs["f1"] = 1.0 / (epoch + 1)

    save = ours.ModelCheckpoint(tmp_path / "{epoch}.keras", "f1", save_best_only=True, mode="min")
    group = CallbackList([Now(), save], model=Fake())
    group.validate(False, ["loss"])
    for epoch in range(4):
        group.on_epoch_end(epoch, {"loss": 1.0})
    assert sorted(files(tmp_path)) == ["1.keras", "3.keras"]
    again = ours.ModelCheckpoint(tmp_path / "again.keras", "f1", save_best_only=True, mode="min")
    again.load_state_dict(save.state_dict())
    again.on_epoch_end(5, {"loss": 1.0})
    assert sorted(files(tmp_path)) == ["1.keras", "3.keras"]


def test_checkpoint_on_a_folder_is_refused(tmp_path):
    (tmp_path / "m.keras").mkdir()
    save = ours.ModelCheckpoint(tmp_path / "m.keras")
    save.set_model(Fake())
    with pytest.raises(IsADirectoryError, match=r"it is a folder. filepath names a file"):
        save.on_epoch_end(0, {})


# ---- reports ------------------------------------------------------------------------------------

ROWS = [
    [{"loss": 1.5, "accuracy": 0.25}, {"loss": 0.5, "accuracy": 0.5}],
    [{"loss": 1.5, "val_loss": 2.5}, {"loss": 0.5}],
    [{"loss": np.float32(0.1), "vector": np.array([1.0, 2.0]), "text": "a,b"}],
    [{}, {}],
    [],
]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("arguments", [{}, {"separator": ";"}, {"append": True}])
@pytest.mark.parametrize("before", [None, "epoch,loss\n0,3.0\n"])
def test_csv_is_that_of_keras(tmp_path, rows, arguments, before):
    for module, name in ((ours, "ours.csv"), (theirs, "theirs.csv")):
        path = tmp_path / name
        if before is not None:
            path.write_text(before)
        callback = module.CSVLogger(str(path), **arguments)
        callback.set_model(Fake())
        for _ in range(2):  # fit twice
            callback.on_train_begin()
            for epoch, logs in enumerate(rows):
                callback.on_epoch_end(epoch, dict(logs))
            callback.on_train_end()
    assert (tmp_path / "ours.csv").read_bytes() == (tmp_path / "theirs.csv").read_bytes()


def test_csv_is_readable_while_it_is_written_and_closed_after_an_error(tmp_path):
    logger = ours.CSVLogger(tmp_path / "new" / "log.csv")
    group = CallbackList([logger], model=Fake())
    group.on_train_begin()
    group.on_epoch_end(0, {"loss": 1.0})
    with open(logger.filename) as file:
        assert list(csv.DictReader(file)) == [{"epoch": "0", "loss": "1.0", "val_loss": "NA"}]
    handle = logger.csv_file
    group._abort()
    assert handle.closed and logger.csv_file is None


def test_abort_reaches_all_even_if_one_fails(tmp_path):
    class Breaks(ours.Callback):
        def _abort(self):
            raise OSError("no")

    logger = ours.CSVLogger(tmp_path / "log.csv")
    group = CallbackList([Breaks(), logger, theirs.History()], add_progbar=True)
    group.on_train_begin()
    handle = logger.csv_file
    group._abort()
    assert handle.closed


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.got.append((self.path, self.headers, body))
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = http.server.HTTPServer(("127.0.0.1", 0), Server)
    server.got, server.answer = [], 200
    server.root = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_remote_monitor_posts_json_and_forms(server):
    logs = {"loss": np.float32(0.5), "acc": 0.25, "bad": NAN}
    sent = {"epoch": 3, "loss": 0.5, "acc": 0.25, "bad": None}
    ours.RemoteMonitor(server.root).on_epoch_end(3, logs)
    ours.RemoteMonitor(
        server.root, path="/x", headers={"X-Key": "7"}, send_as_json=True
    ).on_epoch_end(3, logs)
    (path, headers, body), (other_path, other_headers, other_body) = server.got
    assert path == "/publish/epoch/end/"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert json.loads(urllib.parse.parse_qs(body)["data"][0]) == sent
    assert other_path == "/x" and other_headers["X-Key"] == "7"
    assert other_headers["Content-Type"] == "application/json" and json.loads(other_body) == sent


def test_remote_monitor_only_warns_when_nobody_listens(server):
    server.answer = 500
    with pytest.warns(UserWarning, match="did not take epoch 1: HTTP Error 500"):
        ours.RemoteMonitor(server.root).on_epoch_end(0, {"loss": 1.0})
    with pytest.warns(UserWarning, match="did not take epoch 2"):
        ours.RemoteMonitor("http://127.0.0.1:9").on_epoch_end(1, {"loss": 1.0})


def lines(module, verbose, capsys):
    params = {"epochs": 2, "steps": 2, "verbose": verbose}
    bar = module.ProgbarLogger()
    bar.set_params(params)
    bar.on_train_begin()
    for epoch in range(2):
        bar.on_epoch_begin(epoch)
        for batch in range(2):
            bar.on_train_batch_end(batch, {"loss": 1.0 + batch})
        bar.on_test_begin()
        bar.on_test_batch_end(0, {"loss": 1.0})
        bar.on_test_end({"loss": 9.0})
        bar.on_epoch_end(epoch, {"loss": 2.0, "val_loss": 9.0})
    bar.on_train_end()
    evaluating = module.ProgbarLogger()
    evaluating.set_params({**params, "epochs": 1})
    evaluating.on_test_begin()
    evaluating.on_test_batch_end(0, {"loss": 1.0})
    evaluating.on_test_end({"loss": 1.5})
    evaluating.on_predict_begin()
    evaluating.on_predict_batch_end(0, {"outputs": [1]})
    evaluating.on_predict_end()
    text = re.sub(r"\x1b\[\d+m|\x08", "", capsys.readouterr().out)
    text = re.sub(r"\d+(s|ms|us)( \d+(s|ms|us))?(/step)?", "T", text)
    # On a terminal a line is drawn many times; what counts is how it stands at the end.
    return [line.split("\r")[-1].rstrip() for line in text.split("\n")]


@pytest.mark.parametrize("verbose", [0, 2])
def test_progbar_prints_what_keras_prints(verbose, capsys):
    assert lines(ours, verbose, capsys) == lines(theirs, verbose, capsys)


def test_progbar_asks_for_values_only_to_draw(capsys):
    group = CallbackList(add_progbar=True, epochs=1, steps=3, verbose=1)
    group.on_train_begin()
    group.on_epoch_begin(0)
    group.progress(1, lambda: pytest.fail("read, though nothing is drawn into a file"))
    group.on_epoch_end(0, {"loss": 0.5})
    assert re.search(r"3/3 .*loss: 0.5000\n$", capsys.readouterr().out)
    assert not group.wants_train_batches


def test_only_the_first_process_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    save = ours.ModelCheckpoint(tmp_path / "a" / "m.keras", "loss", verbose=1)
    group = CallbackList([save, ours.CSVLogger(tmp_path / "log.csv")], model=Fake())
    drive(group)
    assert list(tmp_path.iterdir()) == [] and capsys.readouterr().out == ""


# ---- averaged weights ---------------------------------------------------------------------------


def averaged():
    """A model after two steps with use_ema: (model, weights, averages)."""
    from lightkeras.optimizers import SGD

    model = Fake()
    model.mark(1.0)
    model.optimizer = SGD(0.5, use_ema=True, ema_momentum=0.5).build(list(model.parameters()))
    for _ in range(2):
        model.weight.grad = torch.ones(1)
        model.optimizer.step()
    weights, averages = model.get_weights(), model.optimizer._slots["average"][0].numpy().copy()
    assert weights != [averages]
    return model, weights, [averages]


def test_averages_stand_in_the_model_during_evaluation():
    model, weights, averages = averaged()
    swap = ours.SwapEMAWeights()
    group = CallbackList([swap], model=model, epochs=2)
    group.validate(True, ["loss"])
    for begin, end in (
        (group.on_test_begin, group.on_test_end),
        (group.on_predict_begin, group.on_predict_end),
        (group.on_test_begin, group._abort),
    ):
        begin()
        assert model.get_weights() == averages
        end()
        assert model.get_weights() == weights
    group.on_epoch_end(0, {})
    assert model.get_weights() == weights


def test_averages_can_be_saved_and_stay_at_the_end(tmp_path):
    model, weights, averages = averaged()
    save = ours.ModelCheckpoint(tmp_path / "{epoch}.keras")
    group = CallbackList([ours.SwapEMAWeights(swap_on_epoch=True), save], model=model, epochs=9)
    group.on_train_begin()
    group.on_epoch_begin(0)
    group.on_epoch_end(0, {})
    assert files(tmp_path) == {"1.keras": f"{averages[0][0]:g}"}
    group.on_epoch_begin(1)
    assert model.get_weights() == weights
    group.on_epoch_end(1, {})  # and here it stops early: fit ends with the averages
    model.optimizer.finalize_variable_values([model.weight])
    group.on_train_end()
    assert model.get_weights() == averages


def test_no_averages_to_swap():
    group = CallbackList([ours.SwapEMAWeights()], model=Fake())
    with pytest.raises(ValueError, match=r"keeps no moving average.*Type Rate\(use_ema=True\)"):
        group.validate(False, ["loss"])


def test_a_schedule_and_a_scheduler_exclude_each_other():
    from lightkeras.optimizers import SGD
    from lightkeras.optimizers.schedules import ExponentialDecay

    model = Fake(SGD(ExponentialDecay(0.1, 10, 0.9)))
    for callback in (ours.LearningRateScheduler(lambda e: 0.1), ours.ReduceLROnPlateau("loss")):
        with pytest.raises(ValueError, match="follows a ExponentialDecay"):
            CallbackList([callback], model=model).validate(False, ["loss"])
