"""SIGTERM and Ctrl-C while several processes train: all end together, and go on bit for bit."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from _group import ends

import lightkeras as lk
from lightkeras import callbacks, layers
from lightkeras._ranks import rank
from lightkeras._training import _signals

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the group is forked")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4)).astype("float32")
Y = X.sum(1, keepdims=True)
TESTS = 40  # batches of a validation in each of two processes


class Sends(callbacks.Callback):
    """Sends its own process a signal at the k-th time of something; later tests take long."""

    def __init__(self, moment=None, k=0, number=0, times=1):
        self.moment, self.left, self.number, self.times = moment, k, number, times
        self.tests = 0

    def _count(self, moment):
        self.left -= moment == self.moment
        if self.left == 0 and moment == self.moment:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)

    def on_train_batch_end(self, batch, logs=None):
        self._count("step")

    def on_epoch_end(self, epoch, logs=None):
        self._count("epoch")

    def on_test_begin(self, logs=None):
        self.tests = 0

    def on_test_batch_end(self, batch, logs=None):
        self.tests += 1
        self._count("test")
        if self.moment == "test" and self.left <= TESTS:
            time.sleep(0.03)


def train(folder, saves, tell=None):
    """Train until the end or a signal; `tell` is what each process is sent, by rank."""
    lk.utils.set_random_seed(3)
    model = lk.Sequential([lk.Input((4,)), layers.Dense(8), layers.Dropout(0.3), layers.Dense(1)])
    model.compile(lk.optimizers.Adam(0.01, use_ema=True), "mse", metrics=["mae"])
    sends = Sends(*(tell or {}).get(rank(), ()))
    watching = [sends, callbacks.SwapEMAWeights()]
    watching += [callbacks.BackupAndRestore(f"{folder}/backup", save_freq=False)] if saves else []
    data = {"validation_data": (np.tile(X, (8, 1))[: 10 * TESTS], np.tile(Y, (8, 1)))}
    data["validation_data"] = tuple(part[: 10 * TESTS] for part in data["validation_data"])
    try:
        given = {"epochs": 3, "batch_size": 8, "validation_batch_size": 5, "callbacks": watching}
        history = model.fit(X, Y, **data, **given, verbose=0, accelerator="cpu").history
    finally:
        print("tests", sends.tests)
    weights = model.get_weights()
    np.savez(f"{folder}/{rank()}.npz", *weights, *history.values(), np.random.rand(2))


def left(folder, number=0):
    with np.load(f"{folder}/{number}.npz") as file:
        return [file[name] for name in file]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert [status for status, _ in ends(2, folder, train, str(folder), True)] == [0, 0]
    return [left(folder, number) for number in (0, 1)]


TERM, INT = signal.SIGTERM, signal.SIGINT
TOLD = {
    "the first, at a step": {0: ("step", 9, TERM)},
    "the second, at a step": {1: ("step", 3, INT)},
    "both, and a launcher passes it on": {r: ("step", 4, INT, 2) for r in (0, 1)},
    "the second, at the end of an epoch": {1: ("epoch", 1, TERM)},
    "the second, at the end of all": {1: ("epoch", 3, TERM)},
    "the first, in a validation": {0: ("test", TESTS + 5, INT), 1: ("test", -1, INT)},
    "the second, in a validation": {0: ("test", -1, TERM), 1: ("test", TESTS + 5, TERM)},
}


@pytest.mark.parametrize("case", TOLD)
def test_all_save_end_and_go_on(case, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(_signals, "_ASK", 0.1)
    tell = TOLD[case]
    number = next(given[2] for given in tell.values() if given[1] > 0)
    ended = ends(2, tmp_path, train, str(tmp_path), True, tell)
    assert [status for status, _ in ended] == [128 + number] * 2, ended
    assert f"{number.name}: training is saved in '{tmp_path}/backup'" in ended[0][1]
    assert "Traceback" not in ended[0][1] + ended[1][1]
    if "validation" in case:
        for _, said in ended:
            assert 0 < int(said.split("tests ")[1].split()[0]) < TESTS
    ended = ends(2, tmp_path, train, str(tmp_path), True)
    assert [status for status, _ in ended] == [0, 0], ended
    for number in (0, 1):
        for here, there in zip(left(tmp_path, number), whole[number], strict=True):
            np.testing.assert_array_equal(here, there)
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("case", [name for name in TOLD if "launcher" not in name])
def test_without_a_backup_all_end(case, tmp_path, monkeypatch):
    monkeypatch.setattr(_signals, "_ASK", 0.1)
    tell = {who: (*given[:2], TERM) for who, given in TOLD[case].items()}
    ended = ends(2, tmp_path, train, str(tmp_path), False, tell)
    assert [status for status, _ in ended] == [143, 143], ended
    assert "saved" not in ended[0][1]


def train_long(folder, number):
    """In so short epochs that the processes would not ask each other within one."""
    lk.utils.set_random_seed(3)
    model = lk.Sequential([lk.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    begun = []
    told = Sends("epoch", 3 if rank() == 1 else -1, number)
    watching = [told, callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(1))]
    try:
        model.fit(X, Y, epochs=9000, batch_size=25, verbose=0, callbacks=watching)
    finally:
        print("epochs", len(begun))


@pytest.mark.parametrize("number", [TERM, INT])
def test_epochs_of_few_steps_end_soon_and_one_process_speaks(number, tmp_path):
    (first, said), (second, silent) = ends(2, tmp_path, train_long, str(tmp_path), number)
    assert int(said.split("epochs ")[1].split()[0]) < 9000
    assert second == 128 + number and "Traceback" not in silent
    if number == INT:  # as of one process alone
        assert said.count("Traceback") == 1 and said.strip().endswith("KeyboardInterrupt")
    else:
        assert first == 143 and "Traceback" not in said


def train_by_a_loader(folder, k):
    """Whose place in the middle of an epoch cannot be saved."""
    lk.utils.set_random_seed(3)
    model = lk.Sequential([lk.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    rows = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    watching = [Sends("step", k, TERM), callbacks.BackupAndRestore(f"{folder}/backup")]
    model.fit(torch.utils.data.DataLoader(rows, 5), epochs=2, verbose=0, callbacks=watching)


def test_it_is_said_what_there_is_to_go_on_from(tmp_path, monkeypatch):
    monkeypatch.setattr(_signals, "_ASK", 0.0)  # after every step
    for k, text in ((3, "backup' yet. Start the script again to begin anew"), (8, "epoch's end")):
        ended = ends(2, tmp_path, train_by_a_loader, str(tmp_path), k)
        assert [status for status, _ in ended] == [143, 143], ended
        assert text in ended[0][1] and "SIG" not in ended[1][1]


def train_with_a_handler(folder):
    signal.signal(TERM, lambda *_: print("a handler of the script's own"))
    train(folder, False, {0: ("step", 5, TERM)})


def test_one_process_ends_with_the_status_of_a_signal(tmp_path):
    """Lightning would let it end with 0, as if all had been well."""
    ((status, said),) = ends(1, tmp_path, train_with_a_handler, str(tmp_path))
    assert status == 143
    assert said.count("a handler of the script's own") == 1


# ---- launched by Lightning ----------------------------------------------------------------------

SCRIPT = """
import os, signal, sys
import numpy as np
import lightkeras as lk
from lightkeras._ranks import rank

class Tells(lk.callbacks.Callback):
    left = 7

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0 and rank() == 1:
            with open(f"{where}/pid", "w") as file:
                file.write(str(os.getpid()))
            os.kill(os.getppid(), getattr(signal, tells))

if __name__ in ("__main__", "__mp_main__"):
    where, strategy, tells = sys.argv[1:]

if __name__ == "__main__":
    lk.utils.set_random_seed(1)
    x = np.random.RandomState(0).rand(57, 4).astype("float32")
    model = lk.Sequential([lk.Input((4,)), lk.layers.Dropout(0.2), lk.layers.Dense(1)])
    model.compile("adam", "mse")
    told = [Tells()] if tells != "nothing" else []
    history = model.fit(x, x[:, :1], epochs=3, batch_size=8, verbose=0, resume=f"{where}/backup",
                        callbacks=told, accelerator="cpu", devices=2, strategy=strategy)
    if rank() == 0:
        np.savez(f"{where}/0.npz", *model.get_weights(), *history.history.values())
"""


def launched(folder, root, *words):
    (folder / "train.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(folder / "train.py"), str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


@pytest.fixture(scope="module")
def launched_whole(tmp_path_factory, root):
    folder = tmp_path_factory.mktemp("launched")
    done = launched(folder, root, "ddp_fork", "nothing")
    assert done.returncode == 0, done.stderr
    return left(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
@pytest.mark.parametrize(
    "strategy, number, again", [("ddp", TERM, None), ("ddp_fork", INT, "ddp_spawn")]
)
def test_a_signal_to_the_script(strategy, number, again, launched_whole, tmp_path, root):
    done = launched(tmp_path, root, strategy, number.name)
    assert done.returncode == 128 + number, done.stderr
    assert f"{number.name}: training is saved in" in done.stdout
    assert "Traceback" not in done.stderr
    until, place = time.monotonic() + 10, f"/proc/{(tmp_path / 'pid').read_text()}"
    while os.path.exists(place) and time.monotonic() < until:
        time.sleep(0.1)
    assert not os.path.exists(place)
    if again is None:
        return
    done = launched(tmp_path, root, again, "nothing")
    assert done.returncode == 0, done.stderr
    for here, there in zip(left(tmp_path), launched_whole, strict=True):
        np.testing.assert_array_equal(here, there)


# ---- while processes start ----------------------------------------------------------------------

STARTS = """
import os, signal, sys, time
where, strategy, saves, does = sys.argv[1:]
if os.environ.get("LOCAL_RANK", "0") != "0" or __name__ == "__mp_main__":
    with open(f"{where}/pid.part", "w") as file:
        file.write(str(os.getpid()))
    os.replace(f"{where}/pid.part", f"{where}/pid")
    exec(does)

import numpy as np
import lightkeras as lk

if __name__ == "__main__":
    x = np.ones((8, 2), "float32")
    model = lk.Sequential([lk.Input((2,)), lk.layers.Dense(1)])
    model.compile("sgd", "mse")
    given = {"resume": f"{where}/backup"} if saves == "saves" else {}
    try:
        model.fit(x, x[:, :1], verbose=0, accelerator="cpu", devices=2, strategy=strategy, **given)
    finally:
        print("all can be tidied up")
"""


def starts(folder, root, *words):
    (folder / "train.py").write_text(STARTS)
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(folder / "train.py"), str(folder), *words]
    said = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, start_new_session=True, **said)


def second_of(folder, script):
    """The number of the second process, when it is there."""
    until = time.monotonic() + 120
    while not (folder / "pid").exists() and script.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    return int((folder / "pid").read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
@pytest.mark.parametrize(
    "strategy, number, all_at_once, saves",
    [
        ("ddp", INT, True, "saves"),
        ("ddp", INT, True, "no"),
        ("ddp", TERM, False, "no"),
        ("ddp_spawn", INT, True, "saves"),
        ("ddp_spawn", TERM, False, "no"),
    ],
)
def test_a_signal_while_the_second_process_starts(
    strategy, number, all_at_once, saves, tmp_path, root
):
    with starts(tmp_path, root, strategy, saves, "time.sleep(90)") as script:
        second = second_of(tmp_path, script)
        (os.killpg if all_at_once else os.kill)(script.pid, number)
        said, wrong = script.communicate(timeout=30)
    speaks = number == INT and saves == "no"  # as of one process alone
    assert script.returncode == (-number if speaks else 128 + number), wrong
    assert wrong.count("Traceback") == speaks and "lightning" not in wrong
    assert said.count("all can be tidied up") == 1
    assert ("there is no backup in" in said) == (saves == "saves")
    assert not os.path.exists(f"/proc/{second}")


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
@pytest.mark.parametrize(
    "does, status, text",
    [
        ("raise OSError('no data here')", 1, "Process 1 of 2 ended with status 1 before it came"),
        ("sys.exit()", 1, "Process 1 of 2 ended with status 0 before it came to fit()"),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, ""),
    ],
    ids=["raises", "is through", "is told to end"],
)
def test_the_second_process_does_not_come_to_fit(does, status, text, tmp_path, root):
    """The first would wait for it, until Lightning kills that with status 137."""
    with starts(tmp_path, root, "ddp", "no", does) as script:
        said, wrong = script.communicate(timeout=60)
    assert script.returncode == status, wrong
    assert text in wrong and ("OSError: no data here" in wrong) == ("OSError" in does)
    assert said.count("all can be tidied up") == 1
