"""Several processes: how they are launched, what comes back, and what happens when one fails."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from _group import _free_port

FIT = """
import atexit, json, os, sys
import numpy as np
import torch.distributed as dist
import lightkeras as lk
from lightkeras._ranks import rank

class Notes(lk.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.notes = [*getattr(self, "notes", []), round(logs["loss"], 4)]
        self.owner = self.model

def main(flags, where):
    lk.utils.set_random_seed(1)
    x = np.random.RandomState(0).rand(53, 4).astype("float32")
    y = (x.sum(1) > 2).astype("int64")
    model = lk.Sequential([lk.Input((4,)), lk.layers.Dense(8, activation="relu"),
                           lk.layers.Dense(2, activation="softmax")])
    given = {} if where.endswith("fork") else flags
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"],
                  trainer={} if given else flags)
    notes = Notes()
    stop = lk.callbacks.EarlyStopping("loss", min_delta=10.0, patience=1, verbose=1)
    plateau = lk.callbacks.ReduceLROnPlateau("loss", 0.5, 1, min_delta=10.0)
    files = [lk.callbacks.CSVLogger(f"{where}/log.csv"),
             lk.callbacks.ModelCheckpoint(f"{where}/{{epoch}}.weights.h5", save_weights_only=True)]
    data = dict(x=x, y=y, batch_size=16, accelerator="cpu", **given)
    first = model.fit(**data, epochs=4, validation_data=(x, y), verbose=2,
                      callbacks=[notes, stop, plateau, *files])
    second = model.fit(**data, verbose=0)
    found = {
        "histories": [first.history, second.history],
        "epochs": first.epoch,
        "stopped": [stop.stopped_epoch, stop.best],
        "notes": [notes.notes, notes.owner is model],
        "rate": float(model.optimizer.learning_rate),
        "steps": int(model.optimizer.iterations),
        "slots": [float(np.abs(v).sum()) for v in map(np.asarray, model.optimizer.variables)],
        "weights": [w.tolist() for w in model.get_weights()],
        "evaluate": model.evaluate(x, y, verbose=0),
        "predict": model.predict(x, batch_size=7, verbose=0).tolist(),
        "metrics": float(model.get_metrics_result()["accuracy"]),
        "random": np.random.rand(),
    }
    with open(f"{where}/rank{rank()}.json", "w") as file:
        json.dump(found, file)

def left(where):
    with open(f"{where}/left{os.getpid()}.json", "w") as file:
        json.dump(not dist.is_initialized(), file)

if __name__ == "__main__":
    atexit.register(left, sys.argv[2])  # the first to be registered is the last to be called
    main(json.loads(sys.argv[1]), sys.argv[2])
"""

TORCHRUN = ["-m", "torch.distributed.run"]
LAUNCHES = {
    "alone": ([], {}),
    "ddp": ([], {"devices": 2, "strategy": "ddp"}),
    "ddp_spawn": ([], {"devices": 2, "strategy": "ddp_spawn"}),
    "ddp_fork": ([], {"devices": 2, "strategy": "ddp_fork"}),
    "lightkeras run": (["-m", "lightkeras", "run"], {}),
    "torchrun": ([*TORCHRUN, "--nproc-per-node=2", "--standalone"], {}),
    "torchrun on two nodes": ([*TORCHRUN, "--nproc-per-node=1", "--nnodes=2"], {}),
    "srun on two nodes": ([], {}),
    "ddp on two nodes": ([], {"devices": 2, "num_nodes": 2, "strategy": "ddp"}),
}
IN_THE_CALLER = ("alone", "ddp_spawn", "ddp_fork")  # the others go on in both processes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("launched")
    (folder / "train.py").write_text(FIT)
    return folder


@pytest.fixture(scope="module")
def alone(folder, root):
    return launched("alone", folder, root)


def launched(name, folder, root):
    """What the script leaves behind: results by rank, what was printed and warned, files, log."""
    flags = LAUNCHES[name][1]
    where = folder / name.replace(" ", "_")
    where.mkdir()
    words = [str(folder / "train.py")]
    words += ["--devices", "2", "--"] if name == "lightkeras run" else []
    words += [json.dumps(flags), str(where)]
    processes = [
        start([sys.executable, *command, *words], root, stderr=subprocess.PIPE, **variables)
        for command, variables in commands(name)
    ]
    said = [process.communicate(timeout=280) for process in processes]
    printed, warned = map("".join, zip(*said, strict=True))
    assert [process.returncode for process in processes] == [0] * len(processes), printed + warned
    results = [json.loads(p.read_text()) for p in sorted(where.glob("rank*.json"))]
    left = [json.loads(p.read_text()) for p in where.glob("left*.json")]
    assert left == [True] * len(results)
    files = sorted(p.name for p in where.iterdir() if p.suffix != ".json")
    return results, (printed, warned), files, (where / "log.csv").read_text()


def commands(name):
    """(what Python is called with, variables of the environment) of each node."""
    command, port = LAUNCHES[name][0], str(_free_port())
    if "two nodes" not in name:
        return [(command, {})]
    if "torchrun" in name:
        place = ["--rdzv-backend=static", "--master-addr=127.0.0.1", f"--master-port={port}"]
        return [([*command, *place, f"--node-rank={node}"], {}) for node in range(2)]
    if "ddp" in name:  # Lightning starts the second process of each
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        return [([], {**place, "NODE_RANK": str(node)}) for node in range(2)]
    job = {"SLURM_JOB_ID": "77", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "localhost"}
    job |= {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "2"}
    job |= {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2", "SLURM_LOCALID": "0"}
    job |= {"MASTER_PORT": port}
    return [
        ([], {**job, "SLURM_PROCID": str(node), "SLURM_NODEID": str(node)}) for node in range(2)
    ]


def start(words, root, stderr=subprocess.STDOUT, **environment):
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment
    )


@pytest.mark.parametrize("name", [name for name in LAUNCHES if name != "alone"])
def test_every_launch_gives_what_one_process_gives(name, alone, folder, root):
    (wanted,), *others = alone
    found, (printed, warned), files, log = launched(name, folder, root)
    many = LAUNCHES[name][1].get("num_nodes", 1) * 2
    assert len(found) == (1 if name in IN_THE_CALLER else many)
    for mine in found:
        assert mine.keys() == wanted.keys()
        for part, value in wanted.items():
            close(mine[part], value)
    assert times_left_out(printed) == times_left_out(others[0][0])  # one process talks
    if "torchrun" not in name:  # torchrun itself complains where a node's launcher ends first
        assert warned == others[0][1]
    assert files == others[1] and "2.weights.h5" in files
    assert log.splitlines()[0] == others[2].splitlines()[0]
    assert len(log.splitlines()) == len(others[2].splitlines()) == 3


@pytest.mark.parametrize(
    "variables, flags",
    [
        ({}, {"devices": 1, "num_nodes": 1}),
        ({"SLURM_NTASKS": 4, "SLURM_PROCID": 0}, {"devices": 1, "num_nodes": 1}),  # without srun
        ({"SLURM_STEP_NUM_TASKS": 4, "SLURM_STEP_NUM_NODES": 2}, {"devices": 2, "num_nodes": 2}),
        (
            {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": 6, "LOCAL_WORLD_SIZE": 3},
            {"devices": 3, "num_nodes": 2},
        ),
    ],
    ids=["alone", "in a batch script", "srun", "torchrun"],
)
def test_fit_uses_the_processes_that_are_there(variables, flags, monkeypatch):
    from lightkeras import _training

    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    assert _training._devices() == flags


def times_left_out(printed):
    """Nor what older torch prints when processes have met."""
    return re.sub(r"\d+(s|ms/step)|^\[Gloo\] .*\n", "", printed, flags=re.MULTILINE)


def close(a, b):
    if isinstance(b, dict):
        assert a.keys() == b.keys()
        for key in b:
            close(a[key], b[key])
    elif isinstance(b, list):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            close(one, other)
    else:
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6)


# ---- R5: a process fails ----------------------------------------------------------------------

FAIL = """
import os, signal, sys, time
import numpy as np
import lightkeras as lk
from lightkeras._ranks import rank

class Fails(lk.callbacks.Callback):
    def __init__(self):
        self.left = at

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == at - 1:
            with open(f"{where}/{rank()}", "w") as file:
                file.write(str(os.getpid()))
        if self.left == 0 and rank() == who:
            with open(f"{where}/failed", "w") as file:
                file.write(str(time.time()))
            if how == "raise":
                raise ValueError(f"the first error, of process {rank()}")
            os.kill(os.getpid(), signal.SIGKILL)

where, strategy, how = sys.argv[1:4]
world, who, at = map(int, sys.argv[4:])
lk.utils.set_random_seed(1)
x = np.random.RandomState(0).rand(157, 4).astype("float32")
model = lk.Sequential([lk.Input((4,)), lk.layers.Dense(8), lk.layers.Dropout(0.2),
                       lk.layers.Dense(1)])
model.compile("adam", "mse")
saves = lk.callbacks.BackupAndRestore(f"{where}/backup", save_freq=9)
history = model.fit(x, x[:, :1], epochs=2, batch_size=8, verbose=0, callbacks=[Fails(), saves],
                    accelerator="cpu", devices=world, strategy=strategy)
if rank() == 0:
    np.savez(f"{where}/end.npz", *model.get_weights(), *history.history["loss"])
"""


def fails(folder, root, how, world, who, at, strategy="ddp"):
    """Such a training, started."""
    folder.mkdir(exist_ok=True)
    (folder / "fails.py").write_text(FAIL)
    words = [folder / "fails.py", folder, strategy, how, world, who, at]
    return start([sys.executable, *map(str, words)], root)


def failed(folder, root, how, world, who, at):
    """(status, what was printed, seconds from the failure to the end of all)."""
    process = fails(folder, root, how, world, who, at)
    printed = process.communicate(timeout=300)[0]
    at = float((folder / "failed").read_text())
    pids = [int((folder / str(r)).read_text()) for r in range(world)]
    while any(map(runs, pids)) and time.time() < at + 60:
        time.sleep(0.2)
    left = [pid for pid in pids if runs(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, "processes were left behind"
    return process.returncode, printed, time.time() - at


def end(folder, root, world):
    """What the training ends with, or goes on to, when nothing happens to it."""
    process = fails(folder, root, "never", world, -1, 1)
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == 0, printed
    with np.load(folder / "end.npz") as file:
        return [file[name] for name in file]


def runs(pid):
    """Whether a process is there, and not only waiting for its parent to look."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def check_failure(result, how, who):
    status, printed, seconds = result
    assert status != 0
    assert seconds < 30, printed
    if how == "raise":
        assert f"ValueError: the first error, of process {who}" in printed
    if how == "raise" and who:
        assert f"process {who} failed first, in fails.py, line" in printed
    elif how == "kill" and who:
        assert "ended without a word; was it killed?" in printed


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
@pytest.mark.parametrize(
    "how, world, who, goes_on",
    [("raise", 2, 1, True), ("kill", 2, 0, False), ("kill", 3, 2, False)],
)
def test_R5_all_processes_end(tmp_path, root, how, world, who, goes_on):
    check_failure(failed(tmp_path / "run", root, how, world, who, at=26), how, who)
    if goes_on:
        whole = end(tmp_path / "whole", root, world)
        np.testing.assert_equal(end(tmp_path / "run", root, world), whole)


@pytest.mark.skipif(sys.platform == "win32", reason="a process there does not know its parent")
def test_a_process_whose_parent_is_gone_does_not_wait_for_it(tmp_path, root):
    """The parent was ended after it had started this one, and before they met."""
    (tmp_path / "fails.py").write_text(FAIL)
    words = [tmp_path / "fails.py", tmp_path, "ddp", "never", 2, -1, 1]
    place = {"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2", "LIGHTKERAS_PARENT": "1"}
    place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    process = start([sys.executable, *map(str, words)], root, **place)
    assert process.communicate(timeout=100) is not None and process.returncode == 1


def r5(folder, root, size, seed):
    """(failures, seconds at most from a failure to the end of all processes) of `size` runs."""
    r, slowest, failures = np.random.RandomState(seed), 0.0, []
    whole = {world: end(folder / f"whole {world}", root, world) for world in (2, 4)}
    for number in range(size):
        world, how = int(r.choice([2, 4])), str(r.choice(["raise", "kill"]))
        who, at = int(r.randint(world)), int(r.randint(1, 41))
        place = folder / str(number)
        try:
            result = failed(place, root, how, world, who, at)
            slowest = max(slowest, result[2])
            check_failure(result, how, who)
            np.testing.assert_equal(end(place, root, world), whole[world])
        except AssertionError as error:
            failures.append(f"{how} in process {who} of {world} at batch {at}: {error}")
    return failures, slowest


@pytest.mark.campaign
@pytest.mark.timeout(0)
def test_R5_full(tmp_path, root):
    failures, slowest = r5(tmp_path, root, 100, seed=0)
    print(f"\nR5: 100 failures, all processes gone, at most {slowest:.1f} s after")
    assert failures == []
