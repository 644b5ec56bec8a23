"""Kill it, start it again, get the same weights: bit for bit.

The campaigns of `_restart` in their quick size, and what a backup refuses, forgives and says.
"""

import functools
import json
import os
import re
import signal
import sys

import _restart as restart
import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras import callbacks, layers
from lightkeras._training._backup import Backups, packed, unpacked

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no forkserver")


@pytest.fixture(scope="module")
def runs():
    started = restart.Runs()
    yield started
    started.close()


@pytest.fixture(scope="module")
def whole(runs, tmp_path_factory):
    """What a workload ends with when nothing happens to it, and how long that takes."""
    found = {}

    def get(name):
        if name not in found:
            folder = tmp_path_factory.mktemp(name)
            code, seconds, _ = runs.once(name, folder)
            assert code == 0, restart.said(folder)
            found[name] = restart.result(folder), seconds
        return found[name]

    return get


def check(runs, name, folder, whole, save_freq):
    """A last start ends as if nothing had happened."""
    ended = runs.until_done(name, folder, save_freq)
    assert restart.differences(whole(name)[0], ended) == [], ended.get("said")
    assert not (folder / "backup").exists()


# ---- campaigns, quick -------------------------------------------------------------------------


@pytest.mark.parametrize("name", restart.FIVE)
def test_r1_killed_at_any_moment(runs, whole, tmp_path, name):
    failures, kills = restart.kill_at_random(runs, name, tmp_path, whole(name), kills=5, seed=1)
    assert failures == []
    assert kills == 5


FURTHER = [name for name in restart.WORKLOADS if name not in (*restart.FIVE, "jit")]


@pytest.mark.parametrize("name", FURTHER)
def test_every_way_of_training_goes_on(runs, whole, tmp_path, name):
    """Killed in the second epoch, and once more."""
    for step in (13, 8):
        code, _, _ = runs.once(name, tmp_path, 3, die=("step", step))
        assert code != 0
        if name != "together":
            assert list((tmp_path / "backup").iterdir())
    check(runs, name, tmp_path, whole, 3)


@pytest.mark.parametrize("position", [2, 9, 10, 14, 23])
def test_r3_no_batch_twice_and_none_missed(runs, whole, tmp_path, position):
    name = ("dense", "loader_workers")[position % 2]
    failures = restart.resume_mid_epoch(runs, name, tmp_path, whole(name)[0], position)
    assert failures == []


@pytest.mark.parametrize(
    ("name", "number", "when"),
    [
        ("dense", signal.SIGTERM, ("step", 4)),
        ("ema", signal.SIGINT, ("step", 12)),  # in a validation
        ("ema", signal.SIGTERM, ("write", 16)),  # after the last epoch
        ("lstm", signal.SIGTERM, ("step", 11)),
        ("lightning", signal.SIGTERM, ("step", 6)),  # likewise, where Lightning takes the steps
        ("hooks", signal.SIGINT, ("step", 20)),
    ],
)
def test_r4_signals_save_and_end(runs, whole, tmp_path, name, number, when):
    code, _, _ = runs.once(name, tmp_path, False, stop=(*when, int(number)))
    assert code == 128 + number, restart.said(tmp_path)
    assert f"{number.name}: training is saved in 'backup'" in restart.said(tmp_path)
    assert len(list((tmp_path / "backup").iterdir())) == 1
    check(runs, name, tmp_path, whole, False)


@pytest.mark.parametrize("saver", ["m.keras", "m.weights.h5", "m.safetensors", "m.ckpt", "backup"])
def test_r2_a_fault_in_a_save_leaves_the_old_file_or_the_new(runs, tmp_path, saver):
    import _faults as faults

    assert runs.apart(faults.write_result, tmp_path, [saver], 16) == 0
    count, failures = json.loads((tmp_path / "faults.json").read_text())
    assert failures == []
    assert count > 20


# ---- damaged files ----------------------------------------------------------------------------


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _cut(path):
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("damage", [_flip, _cut, lambda path: path.write_bytes(b"")])
def test_a_damaged_backup_is_passed_over_and_said(runs, whole, tmp_path, damage):
    runs.once("dense", tmp_path, 2, die=("step", 16))
    newest, _ = Backups(tmp_path / "backup").files()
    damage(newest)
    check(runs, "dense", tmp_path, whole, 2)
    assert "is damaged and was removed; the one before it is used" in restart.said(tmp_path)


def test_two_damaged_backups_mean_a_start_from_the_beginning(runs, whole, tmp_path):
    runs.once("dense", tmp_path, 2, die=("step", 16))
    for path in Backups(tmp_path / "backup").files():
        _flip(path)
    check(runs, "dense", tmp_path, whole, 2)
    assert "training begins from the start" in restart.said(tmp_path)


def test_files_are_counted_and_the_one_before_is_kept(tmp_path):
    backups = Backups(tmp_path / "backup")
    for number in range(4):
        backups.write({"number": number})
        assert len(backups.files()) == min(number + 1, 2)
        assert backups.newest() == {"number": number}
    (tmp_path / "backup" / "notes.txt").write_text("mine")
    backups.clear()
    assert [p.name for p in (tmp_path / "backup").iterdir()] == ["notes.txt"]


def test_values_come_back_as_they_were():
    value = {
        "a": [1, 2.5, None, (True, "x"), np.float32(3)],
        "b": {"array": np.arange(6, dtype=np.uint16).reshape(2, 3), 4: {1, 2}},
        "c": torch.arange(3.0)[1:],
    }
    back = unpacked(packed(value, "value"))
    assert back["a"] == [1, 2.5, None, (True, "x"), 3.0]
    assert back["b"]["array"].dtype == np.uint16 and back["b"]["array"].tolist() == [
        [0, 1, 2],
        [3, 4, 5],
    ]
    assert back["b"][4] == {1, 2} and back["c"].tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match=r"state_dict\(\) of X\['f'\] holds a function"):
        packed({"f": _flip}, "state_dict() of X")


# ---- in one process ---------------------------------------------------------------------------


class Stop(callbacks.Callback):
    """Raises in epoch `at`, as long as it is told to."""

    def __init__(self, at):
        self.at, self.epochs = at, []

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append(epoch)
        if epoch == self.at:
            raise RuntimeError("out of electricity")


def data(rows=24):
    x = np.random.default_rng(0).normal(size=(rows, 3)).astype("float32")
    return x, x.sum(-1, keepdims=True)


def model(units=4, optimizer="adam", metrics=None, loss="mse", rate=0.5):
    lk.utils.set_random_seed(2)
    hidden = [layers.Dense(units), layers.Dropout(rate)]
    made = lk.Sequential([layers.Input((3,)), *hidden, layers.Dense(1)])
    made.compile(optimizer, loss=loss, metrics=metrics)
    return made


def fit(folder, x, y, made=None, stop=None, epochs=4, **given):
    made = model() if made is None else made
    watching = [callbacks.BackupAndRestore(folder), *([] if stop is None else [stop])]
    given = {"batch_size": 8, **given}
    return made.fit(x, y, epochs=epochs, callbacks=watching, verbose=0, **given)


def broken(folder, **given):
    with pytest.raises(RuntimeError, match="electricity"):
        fit(folder, *data(), stop=Stop(2), **given)


def test_history_is_whole_and_the_next_fit_begins_anew(tmp_path):
    folder = tmp_path / "backup"
    broken(folder)
    stop = Stop(None)
    history = fit(folder, *data(), stop=stop)
    assert history.epoch == [0, 1, 2, 3] and stop.epochs == [2, 3]
    assert history.history == fit(tmp_path / "other", *data()).history
    assert not folder.exists()
    assert fit(folder, *data(), stop=stop).epoch == [0, 1, 2, 3]


class Late(lk.metrics.Metric):
    """Makes its sum where nobody can foresee it, at the second update."""

    seen = 0

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.seen += 1
        if self.seen == 2:
            self.total = self.add_variable((), name="total")

    def result(self):
        return 1.0


MADE_LATE = [lk.metrics.R2Score, lambda: lk.metrics.F1Score(threshold=0.5)]
MADE_LATE += [lambda: lk.metrics.AUC(multi_label=True, from_logits=True, name="auc")]


def flipped(metric):
    """A training that ends in the middle of its second epoch, and one that goes on."""
    made = model(metrics=[metric()])
    x, y = data()
    return {"made": made, "x": x, "y": (y > 0).astype("float32")}


class Halts(Stop):
    def on_train_batch_end(self, batch, logs=None):
        self.epochs.append(batch)
        if len(self.epochs) == self.at:
            raise RuntimeError("out of electricity")

    on_epoch_begin = callbacks.Callback.on_epoch_begin


@pytest.mark.parametrize("number", range(len(MADE_LATE)))
@pytest.mark.parametrize("at", [3, 5])
def test_sums_that_are_made_at_an_update_go_on(tmp_path, number, at):
    metric = MADE_LATE[number]
    whole = fit(tmp_path / "whole", **flipped(metric)).history
    backup = callbacks.BackupAndRestore(tmp_path / "backup", save_freq=2)
    given = flipped(metric)
    with pytest.raises(RuntimeError, match="electricity"):
        made = given.pop("made")
        made.fit(**given, epochs=4, batch_size=8, callbacks=[backup, Halts(at)], verbose=0)
    assert fit(tmp_path / "backup", **flipped(metric)).history == whole
    assert len(whole) == 2


def test_a_sum_that_cannot_be_made_is_said(tmp_path):
    made = model(metrics=[Late(name="late")])
    broken(tmp_path, made=made)
    with pytest.raises(ValueError, match=r"1 variables of the metric 'late', which has 0 before"):
        fit(tmp_path, *data(), made=model(metrics=[Late(name="late")]))


def test_a_kept_backup_is_where_more_epochs_begin(tmp_path):
    x, y = data()
    keeping = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    model().fit(x, y, epochs=2, batch_size=8, callbacks=[keeping], verbose=0)
    made, stop = model(), Stop(None)
    history = made.fit(x, y, epochs=2, batch_size=8, callbacks=[keeping, stop], verbose=0)
    assert history.epoch == [0, 1] and stop.epochs == []
    history = model().fit(x, y, epochs=4, batch_size=8, callbacks=[keeping, stop], verbose=0)
    assert history.epoch == [0, 1, 2, 3] and stop.epochs == [2, 3]


CHANGED = [
    (lambda: {"x": data()[0] + 1}, r"of x, x was \[3\] .* and is \[3\]"),
    (lambda: {"x": data(23)[0], "y": data(23)[1]}, "of x, rows was 24 and is 23"),
    (lambda: {"batch_size": 6}, "of x, steps was 3 and is 4"),
    (lambda: {"shuffle": False}, "of x, shuffle was True and is False"),
    (lambda: {"made": model(units=5)}, "of layers, dense was units=4 and is units=5"),
    (lambda: {"made": model(optimizer="sgd")}, "optimizer was Adam and is SGD"),
    (lambda: {"made": model(metrics=["mae"])}, r"metrics was \['loss'\] and is \['loss', 'mae'\]"),
    (lambda: {"validation_data": data()}, "of validation_data, kind was not there"),
    (
        lambda: {"made": model(loss=lk.losses.Huber(0.5))},
        r"loss was 'mse' and is Huber\(delta=0\.5",
    ),
    (
        lambda: {"made": model(rate=0.4)},
        r"of layers, \w+ was rate=0\.5 and is rate=0\.4\. The same",
    ),
]


@pytest.mark.parametrize(("changed", "text"), CHANGED)
def test_another_training_is_refused(tmp_path, changed, text):
    broken(tmp_path)
    given = dict(zip("xy", data(), strict=True)) | changed()
    with pytest.raises(ValueError, match=text) as error:
        fit(tmp_path, **given)
    assert "Remove the folder to begin anew, or give another one." in str(error.value)
    assert fit(tmp_path, *data()).epoch == [0, 1, 2, 3]  # nothing was harmed


def test_what_is_the_same_in_another_process_is_no_change(tmp_path):
    """Random seeds, functions and their addresses, initial values, counted names."""

    def made():
        penalty = lambda w: w.sum() * 0
        cells = layers.RNN([layers.LSTMCell(3), layers.GRUCell(3)])
        stack = [
            layers.TimeDistributed(layers.Dense(3, kernel_regularizer=penalty)),
            layers.Bidirectional(cells),
            layers.Lambda(lambda x: x * 2),
            layers.Dense(1, kernel_initializer=lk.initializers.HeNormal(lk.random.SeedGenerator())),
        ]
        made = lk.Sequential([layers.Input((4, 3)), *stack])
        made.compile("adam", lambda y, y_pred: ((y - y_pred) ** 2).mean())
        return made

    x, y = np.ones((24, 4, 3), "float32"), np.ones((24, 1), "float32")
    with pytest.raises(RuntimeError, match="electricity"):
        fit(tmp_path, x, y, made(), Stop(2))
    assert fit(tmp_path, x, y, made()).epoch == [0, 1, 2, 3]


def decay(rate):
    return lk.optimizers.SGD(lk.optimizers.schedules.ExponentialDecay(rate, 5, 0.9))


SETTINGS = {
    "rate": (
        lk.optimizers.SGD,
        (0.1, 0.01),
        r"has learning_rate=0.01, and .* began with learning_rate=0.1\. It goes on as it began, "
        r"now with a learning rate of 0\.05\. Remove the folder to begin anew with learning_rate",
    ),
    "momentum": (
        lambda momentum: lk.optimizers.SGD(0.1, momentum),
        (0.4, 0.5),
        r"has momentum=0.5, and .* began with momentum=0.4\.",
    ),
    "schedule": (
        decay,
        (0.1, 0.2),
        r"has learning_rate=ExponentialDecay.*=0.2, .* began with .*learning_rate=0.1, ",
    ),
    "torch": (
        lambda rate: functools.partial(torch.optim.SGD, lr=rate),
        (0.1, 0.01),
        r"has lr=0.01, and .* began with lr=0.1\.",
    ),
    "what a callback has come to": (lk.optimizers.SGD, (0.1, 0.05), None),
    "the same": (lk.optimizers.SGD, (0.1, 0.1), None),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_another_setting_of_the_optimizer_is_said(tmp_path, recwarn, case):
    """NaN in the third epoch leaves the backup of the second."""
    made, given, text = SETTINGS[case]

    def begins(epoch, logs):
        if made is lk.optimizers.SGD:
            one.optimizer.learning_rate = 0.05
        if epoch == 2:
            one.layers[0].weight.data.fill_(float("nan"))

    one, two = (built(made(value)) for value in given)
    how = {"x": data()[0], "y": data()[1], "epochs": 4, "resume": tmp_path, "verbose": 0}
    watching = [callbacks.LambdaCallback(on_epoch_begin=begins), callbacks.TerminateOnNaN()]
    one.fit(**how, callbacks=watching)
    assert len(list(tmp_path.iterdir())) == 2
    recwarn.clear()
    assert two.fit(**how).epoch == [0, 1, 2, 3]
    said = [str(w.message) for w in recwarn if "The optimizer has" in str(w.message)]
    assert len(said) == (text is not None)
    assert text is None or re.search(text, said[0])
    if case != "schedule":
        rates = [m.optimizer.param_groups[0]["lr"] for m in (one, two)]
        assert rates[0] == pytest.approx(rates[1])


def built(optimizer):
    """A model with an optimizer, or with one that is made of its parameters."""
    made = model()
    if isinstance(optimizer, functools.partial):
        optimizer = optimizer(made.parameters())
    made.compile(optimizer, loss="mse")
    return made


def test_resume_takes_a_folder_of_the_script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = data()
    for _ in range(2):  # a second fit has a folder of its own, also when it is tried again
        with pytest.raises(RuntimeError, match="electricity"):
            model().fit(x, y, epochs=4, resume="auto", callbacks=[Stop(2)], verbose=0)
        (folder,) = (tmp_path / "lightkeras_backup").iterdir()
        assert folder.name.rpartition("-")[2].isdigit()
        stop = Stop(None)
        history = model().fit(x, y, epochs=4, resume="auto", callbacks=[stop], verbose=0)
        assert len(history.epoch) == 4 and stop.epochs == [2, 3]
        assert not folder.parent.exists()
    with pytest.raises(RuntimeError, match="electricity"):
        model().fit(x, y, epochs=4, resume="mine", callbacks=[Stop(2)], verbose=0)
    assert os.listdir("mine")


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"resume": 3}, TypeError, "fit\\(\\) got resume=3.* Type resume='auto'"),
        (
            {"resume": "a", "callbacks": [callbacks.BackupAndRestore("b")]},
            ValueError,
            "resume='a' and BackupAndRestore\\('b'\\)",
        ),
        (
            {"callbacks": [callbacks.BackupAndRestore("b"), callbacks.BackupAndRestore("c")]},
            ValueError,
            "2 BackupAndRestore. One is accepted",
        ),
    ],
)
def test_wrong_arguments_of_fit(given, error, text):
    with pytest.raises(error, match=text):
        model().fit(*data(), verbose=0, **given)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"backup_dir": ""}, "backup_dir=''. It is the name of a folder"),
        ({"backup_dir": "b", "save_freq": "epochs"}, "save_freq='epochs'. Did you mean 'epoch'"),
        ({"backup_dir": "b", "save_freq": 0}, "save_freq=0. It takes 'epoch', a number"),
    ],
)
def test_wrong_arguments_of_the_callback(given, text):
    with pytest.raises(ValueError, match=text):
        callbacks.BackupAndRestore(**given)


def test_signals_are_given_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    fit(tmp_path, *data())
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_what_a_callback_cannot_keep_is_said_at_the_first_save(tmp_path):
    class Keeps(callbacks.Callback):
        def state_dict(self):
            return {"model": self.model}

    with pytest.raises(TypeError, match=r"state_dict\(\) of Keeps\['model'\] holds a Sequential"):
        model().fit(*data(), callbacks=[callbacks.BackupAndRestore(tmp_path), Keeps()], verbose=0)


def test_a_fresh_process_needs_no_more_than_the_folder(runs, tmp_path):
    """The result of a training that was killed at its very end is there at once."""
    code, _, _ = runs.once("dense", tmp_path, die=("write", 1))
    assert code == -signal.SIGKILL
    assert "said" not in runs.until_done("dense", tmp_path)
    assert json.loads((tmp_path / "result.json").read_text())["history"]
