"""Trainings that are killed and started again: workloads, and what starts and kills them.

A training runs in a process of its own, forked from one that has only imported things
(multiprocessing's forkserver), so that a start costs little. It leaves digests of all that it
ended with. The quick campaigns are tests, the full ones are started by scripts/campaign.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

import lightning.pytorch as L
import numpy as np
import torch
from torchmetrics.classification import MulticlassRecall

import lightkeras as lk
from lightkeras import callbacks, layers

EPOCHS, ROWS, BATCH = 5, 72, 8


# ---- workloads --------------------------------------------------------------------------------


def _rows(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=(ROWS, *shape)).astype("float32")


def _model(*stack, optimizer="adam", **compiled):
    model = lk.Sequential(list(stack))
    model.compile(optimizer, **{"loss": "mse", **compiled})
    return model


def _plain(optimizer="adam", **compiled):
    return _model(
        layers.Input((6,)),
        layers.Dense(8, activation="relu"),
        layers.Dropout(0.3),
        layers.Dropout(0.2, seed=4),
        layers.Dense(1),
        optimizer=optimizer,
        **compiled,
    )


def _arrays():
    x = _rows(6)
    return x, (x.sum(-1, keepdims=True) > 0).astype("float32")


def dense():
    x, y = _arrays()
    model = _plain(metrics=["mae", lk.metrics.AUC(num_thresholds=20)])
    return model, {"x": x, "y": y, "batch_size": BATCH, "validation_split": 0.2}


def executions():
    """An epoch in several chunks, of which the last is shorter; two of the epochs are validated."""
    x, y = _arrays()
    given = {"validation_data": (x[::3], y[::3]), "validation_freq": [2, 5]}
    given["callbacks"] = [L.callbacks.EarlyStopping("val_loss", patience=1)]
    return _plain(steps_per_execution=4), {"x": x, "y": y, "batch_size": BATCH, **given}


def conv():
    x = np.random.default_rng(0).integers(0, 255, (ROWS, 6, 6, 3)).astype("float32")
    model = _model(
        layers.Input((6, 6, 3)),
        layers.Rescaling(1 / 255),
        layers.RandomFlip("horizontal"),
        layers.RandomTranslation(0.2, 0.2, seed=3),
        layers.Conv2D(4, 3),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3, activation="softmax"),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy", MulticlassRecall(3)],
    )
    return model, {"x": x, "y": np.arange(ROWS) % 3, "batch_size": BATCH}


def lstm():
    model = _model(
        layers.Input((5, 3)),
        layers.LSTM(4, dropout=0.2, recurrent_dropout=0.1),
        layers.Dense(1),
        optimizer=lk.optimizers.RMSprop(1e-2, clipnorm=1.0),
    )
    return model, {"x": _rows(5, 3), "y": _rows(1, seed=1), "batch_size": BATCH}


def two_by_two():
    a, b = layers.Input((3,), name="a"), layers.Input((4,), name="b")
    h = layers.Dropout(0.2)(layers.Concatenate()([layers.Dense(5)(a), layers.Dense(5)(b)]))
    outputs = {"u": layers.Dense(1, name="u")(h), "v": layers.Dense(2, name="v")(h)}
    model = lk.Model({"a": a, "b": b}, outputs)
    schedule = lk.optimizers.schedules.ExponentialDecay(0.1, 5, 0.9)
    model.compile(
        lk.optimizers.SGD(schedule, momentum=0.9),
        loss={"u": "mse", "v": "mae"},
        metrics={"u": ["mae"], "v": ["mse"]},
    )
    x = {"a": _rows(3), "b": _rows(4, seed=1)}
    y = {"u": _rows(1, seed=2), "v": _rows(2, seed=3)}
    return model, {"x": x, "y": y, "batch_size": BATCH, "shuffle": "batch"}


def ema():
    x, y = _arrays()
    model = _plain(lk.optimizers.Adam(0.03, use_ema=True, ema_momentum=0.8))
    watching = [
        callbacks.SwapEMAWeights(swap_on_epoch=True),
        callbacks.ReduceLROnPlateau(patience=1, factor=0.5, min_delta=1e-3),
        callbacks.EarlyStopping(patience=3, restore_best_weights=True),
        callbacks.ModelCheckpoint("best.weights.h5", save_best_only=True, save_weights_only=True),
        callbacks.CSVLogger("log.csv"),
    ]
    data = {"validation_data": (x[::3], y[::3]), "callbacks": watching, "batch_size": BATCH}
    return model, {"x": x, "y": y, **data}


class Noisy(torch.utils.data.Dataset):
    """Rows with noise from every source of random numbers that there is."""

    def __init__(self):
        self.x, self.y = _arrays()
        self.rng = np.random.default_rng(5)

    def __len__(self):
        return ROWS

    def __getitem__(self, i):
        noise = random.random() + np.random.rand() + torch.rand(()).item() + self.rng.random()
        return torch.tensor(self.x[i]) + noise, torch.tensor(self.y[i])


def _loader(workers):
    def made():
        data = torch.utils.data.DataLoader(Noisy(), BATCH, shuffle=True, num_workers=workers)
        return _plain(metrics=["mae"]), {"x": data, "validation_data": data}

    return made


def dataset():
    return _plain(), {"x": Noisy(), "batch_size": BATCH}


class Shuffled(lk.utils.PyDataset):
    """Draws its order anew after every epoch, and can say which it is."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.x, self.y = _arrays()
        self.order = np.arange(ROWS)

    def __len__(self):
        return ROWS // BATCH

    def __getitem__(self, i):
        rows = self.order[i * BATCH : (i + 1) * BATCH]
        return self.x[rows] + np.random.rand(), self.y[rows]

    def on_epoch_end(self):
        np.random.shuffle(self.order)

    def state_dict(self):
        return {"order": self.order}

    def load_state_dict(self, state):
        self.order = state["order"]


def py_dataset():
    return _plain(), {"x": Shuffled()}


def py_processes():
    data = Shuffled(workers=2, use_multiprocessing=True)
    return _plain(), {"x": data}


def generator():
    def batches():
        (x, y), own = _arrays(), np.random.default_rng(5)
        while True:
            rows = own.integers(0, ROWS, BATCH)
            yield x[rows] + np.random.rand(), y[rows]

    # Every second backup is written after the last step of an epoch.
    return _plain(), {"x": batches(), "steps_per_epoch": 6}


class Endless(torch.utils.data.IterableDataset):
    """Rows without a length."""

    def __iter__(self):
        x, y = _arrays()
        for i in range(ROWS):
            yield x[i] + np.float32(np.random.rand()), y[i]


def no_length():
    return _plain(), {"x": torch.utils.data.DataLoader(Endless(), BATCH)}


def accumulation():
    x, y = _arrays()
    model = _plain(lk.optimizers.Adam(0.01, gradient_accumulation_steps=4))
    return model, {"x": x, "y": y, "batch_size": BATCH}


def around():
    """Optimizers inside others, of which one scales the loss."""
    x, y = _arrays()
    kinds = {".*bias": lk.optimizers.SGD(0.01, momentum=0.9)}
    shared = lk.optimizers.OptimizerMap(lk.optimizers.Adam(0.02), kinds)
    shared = lk.optimizers.MultiOptimizer(shared)
    scaled = lk.optimizers.LossScaleOptimizer(shared, dynamic_growth_steps=5)
    return _plain(scaled), {"x": x, "y": y, "batch_size": BATCH}


def lightning():
    """Where Lightning takes every step: accumulation, clipping, its callbacks, a scheduler."""
    x, y = _arrays()
    model = _plain()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    model.compile((optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.7)), loss="mse")
    given = {"callbacks": [L.callbacks.EarlyStopping("val_loss", patience=2)]}
    given.update(accumulate_grad_batches=4, gradient_clip_val=0.5, val_check_interval=3)
    return model, {"x": x, "y": y, "batch_size": BATCH, "validation_split": 0.2, **given}


class Gan(lk.Model):
    """Two optimizers and a training step of its own."""

    def __init__(self):
        super().__init__()
        self.one, self.two = layers.Dense(3), layers.Dense(6)
        self.first = lk.optimizers.Adam(0.01)
        self.second = lk.optimizers.SGD(0.01, momentum=0.9)
        self.mean = lk.metrics.Mean(name="mean")

    def call(self, x):
        return self.two(self.one(x))

    def train_step(self, data):
        x = data[0]
        for optimizer, layer in ((self.first, self.one), (self.second, self.two)):
            loss = ((self(x + 0.1 * torch.randn_like(x)) - x) ** 2).mean()
            self.zero_grad()
            loss.backward()
            weights = layer.trainable_weights
            with torch.no_grad():
                optimizer.apply([w.value.grad for w in weights], weights)
        self.mean.update_state(loss)
        return {"mean": self.mean.result(), "twice": 2 * loss.detach()}


def _scheduled(make):
    """A torch scheduler beside a torch optimizer, and nothing else that wants single steps."""

    def made():
        x, y = _arrays()
        model = _plain()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        model.compile((optimizer, make(optimizer)), loss="mse", metrics=["mae"])
        return model, {"x": x, "y": y, "batch_size": BATCH, "validation_split": 0.2}

    return made


def together():
    """Two processes, whose batches, random numbers and sums differ."""
    model, given = dense()
    return model, {**given, "devices": 2, "accelerator": "cpu", "strategy": "ddp_fork"}


def gan():
    x = _rows(6)
    model = Gan()
    model.build((None, 6))
    model.compile()
    return model, {"x": x, "y": x, "batch_size": BATCH}


def stateful():
    model = _model(
        layers.Input((5, 3), batch_size=BATCH),
        layers.LSTM(4, stateful=True),
        layers.Dense(1),
    )
    given = {"batch_size": BATCH, "shuffle": False}
    return model, {"x": _rows(5, 3), "y": _rows(1, seed=1), **given}


class Counting(callbacks.Callback):
    """A callback of one's own that watches every batch and keeps what it saw."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(logs["loss"])

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]


def hooks():
    x, y = _arrays()
    given = {"callbacks": [Counting(), callbacks.LearningRateScheduler(lambda e, lr: lr * 0.9)]}
    return _plain(), {"x": x, "y": y, "batch_size": BATCH, "validation_split": 0.2, **given}


class Kills(callbacks.Callback):
    """Ends this process after as many batches as a file says; hooks of models are not compiled."""

    left = 0

    def on_train_begin(self, logs=None):
        Kills.left = int(_text("kill") or 0)

    def on_train_batch_end(self, batch, logs=None):
        Kills.left -= 1
        if Kills.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def jit():
    """In compiled steps, which need a compiler for C++."""
    x, y = _arrays()
    stack = layers.Input((6,)), layers.Dense(8), layers.Dropout(0.3), layers.Dense(1)
    model = _model(*stack, metrics=["mae"], jit_compile=True)
    given = {"batch_size": BATCH, "validation_split": 0.2, "callbacks": [Kills()]}
    return model, {"x": x, "y": y, **given}


def soak():
    """A small convnet on the digits that ship with the package, with all that keeps a state."""
    (x, y), held = lk.datasets.digits.load_data()
    model = _model(
        layers.Input((8, 8, 1)),
        layers.RandomTranslation(0.1, 0.1),
        layers.Conv2D(16, 3, activation="relu"),
        layers.BatchNormalization(),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Flatten(),
        layers.Dropout(0.4),
        layers.Dense(10, activation="softmax"),
        optimizer=lk.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    watching = [
        callbacks.ReduceLROnPlateau("val_loss", patience=10, min_lr=1e-5),
        callbacks.ModelCheckpoint("best.keras", "val_accuracy", save_best_only=True),
        callbacks.CSVLogger("log.csv"),
    ]
    given = {"validation_data": (held[0][..., None] / 16, held[1]), "callbacks": watching}
    return model, {"x": x[..., None] / 16, "y": y, "batch_size": 32, **given}


# The five of the campaign, and one for each further way of training.
FIVE = {"dense": dense, "conv": conv, "lstm": lstm, "two_by_two": two_by_two, "ema": ema}
WORKLOADS = {
    **FIVE,
    "executions": executions,
    "loader": _loader(0),
    "loader_workers": _loader(2),
    "dataset": dataset,
    "py_dataset": py_dataset,
    "py_processes": py_processes,
    "generator": generator,
    "no_length": no_length,
    "accumulation": accumulation,
    "around": around,
    "lightning": lightning,
    "cosine": _scheduled(lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 2)),
    "plateau": _scheduled(lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0)),
    "gan": gan,
    "together": together,
    "stateful": stateful,
    "hooks": hooks,
    "jit": jit,
}
LONG = {"soak": soak}  # of R13 alone


# ---- one training -----------------------------------------------------------------------------


def train(workload, folder, save_freq, die=None, stop=None, log=False, epochs=EPOCHS):
    """Run a workload in `folder` until it ends or dies.

    Args:
        workload: Its name.
        folder: Where the backup, the files and the result are.
        save_freq: Of the backup.
        die: `(what, k)`: SIGKILL at the k-th time that this is done: "step" or "write".
        stop: The same with SIGTERM or SIGINT: `(what, k, number of the signal)`.
        log: Whether rows of every batch are noted in a file.
        epochs: How many it has.
    """
    os.chdir(folder)
    sys.stderr = sys.stdout = open(f"output-{os.getpid()}.txt", "w")  # noqa: SIM115
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # of workers
    lk.utils.set_random_seed(11)
    model, given = {**WORKLOADS, **LONG}[workload]()
    watching = given.pop("callbacks", [])
    backup = callbacks.BackupAndRestore("backup", save_freq=save_freq)
    _arm(model, die, signal.SIGKILL)
    if stop is not None:
        _arm(model, stop[:2], stop[2])
    if log:
        _note_batches(model)
    history = model.fit(callbacks=[backup, *watching], epochs=epochs, verbose=0, **given)
    result = digests(model, history, watching)
    Path("result.tmp").write_text(json.dumps(result))
    os.replace("result.tmp", "result.json")


def _arm(model, when, number):
    """Send this process a signal at the k-th step or write."""
    if when is None:
        return
    what, left = when

    def count(*args, **kwargs):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), number)

    if what == "step":
        model.register_forward_pre_hook(count)
    else:
        for owner, name in ((os, "replace"), (os, "fsync"), (Path, "unlink"), (torch, "save")):
            _wrap(owner, name, count)


def _wrap(owner, name, before):
    function = getattr(owner, name)

    def called(*args, **kwargs):
        before()
        return function(*args, **kwargs)

    setattr(owner, name, called)


def _note_batches(model):
    """Write the number of every step and its rows to a file."""
    take = model._train_batch

    def noted(x, y=None, w=None):
        step = int(model.optimizer.iterations)
        take(x, y, w)
        with open("batches.txt", "a") as file:
            print(step, hashlib.sha256(x.numpy().tobytes()).hexdigest()[:12], file=file)

    model.__dict__["_train_batch"] = noted


def digests(model, history, watching):
    """{part: digest} of all that a training ends with."""
    optimizers = [model.optimizer, *(getattr(model, n, None) for n in ("first", "second"))]
    kept = [{k: v for k, v in vars(c).items() if k not in _DROPPED} for c in watching]
    kept = [{k: v for k, v in state.items() if not callable(v)} for state in kept]
    seeds = [m.seed_generator.get_state() for m in model.modules() if _seeded(m)]
    return {
        "weights": _digest(dict(model.state_dict())),
        "optimizer": _digest([o.state_dict() for o in optimizers if o is not None]),
        "rate": repr([g["lr"] for o in optimizers if o is not None for g in o.param_groups]),
        "rng of Python": _digest([random.getstate()]),
        "rng of NumPy": _digest([np.random.get_state()]),
        "rng of torch": _digest([torch.get_rng_state()]),
        "seeds": repr(seeds),
        "history": repr([history.epoch, dict(history.history)]),
        "callbacks": _digest(kept),
        "metrics": _digest([list(m.variables) for m in model._all_metrics()]),
        "files": _digest([_text("log.csv")]),
    }


_DROPPED = ("model", "params", "csv_file", "writer", "monitor_op", "schedule", "_expected")


def _seeded(module):
    return getattr(module, "seed_generator", None) is not None


def _text(path):
    return Path(path).read_text() if Path(path).exists() else ""


def _digest(tree):
    found = hashlib.sha256()

    def add(value):
        if isinstance(value, torch.Tensor):
            value = value.detach().numpy()
        if isinstance(value, np.ndarray):
            found.update(repr((value.shape, value.dtype)).encode() + value.tobytes())
        elif isinstance(value, dict):
            for key, part in sorted(value.items(), key=lambda item: str(item[0])):
                found.update(str(key).encode())
                add(part)
        elif isinstance(value, (list, tuple)):
            for part in value:
                add(part)
        else:
            found.update(repr(value).encode())

    add(tree)
    return found.hexdigest()[:16]


# ---- starting and killing ---------------------------------------------------------------------


class Runs:
    """Starts trainings as processes of their own."""

    def __init__(self):
        # The process that all are forked from looks for modules where its environment says.
        paths = (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))
        os.environ["PYTHONPATH"] = os.pathsep.join(p for p in paths if p)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["_restart", "_faults", "_endurance"])
        first = self.context.Process(target=int)  # imports: times are to be those of trainings
        first.start()
        first.join()

    def once(
        self,
        workload,
        folder,
        save_freq="epoch",
        kill=None,
        number=signal.SIGKILL,
        patience=120,
        **given,
    ):
        """Start a training; returns `(exit code, seconds, seconds after the signal)`.

        Args:
            kill: Seconds after which it is sent signal `number`; None: never.
            patience: Seconds that it may take, from there.
            **given: As for `train`.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        begin, told = time.monotonic(), None
        process = self.context.Process(
            target=train, args=(workload, folder, save_freq), kwargs=given
        )
        process.start()
        if kill is not None:
            process.join(kill)
            told = time.monotonic()
            if process.exitcode is None:
                os.kill(process.pid, number)
        process.join(patience)
        now = time.monotonic()
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"{workload} in {folder} did not end within {patience} seconds")
        return process.exitcode, now - begin, None if told is None else now - told

    def until_done(self, workload, folder, save_freq="epoch", **given):
        """Start it once more, without a signal; what it ended with."""
        code, _, _ = self.once(workload, folder, save_freq, **given)
        return result(folder) if code == 0 else {"exit code": code, "said": said(folder)}

    def apart(self, function, *args):
        """Call a function in a process of its own, which has only imported things."""
        process = self.context.Process(target=function, args=args)
        process.start()
        process.join()
        return process.exitcode

    def close(self):
        """End the process that all are forked from."""
        from multiprocessing import forkserver

        forkserver._forkserver._stop()


def result(folder):
    return json.loads((Path(folder) / "result.json").read_text())


def said(folder):
    """The end of what the trainings in a folder printed."""
    texts = [p.read_text() for p in sorted(Path(folder).glob("output-*.txt"))]
    return "\n".join(t for t in texts if t)[-2000:]


def differences(whole, broken):
    """Names of the parts that differ."""
    return sorted(name for name in {*whole, *broken} if whole.get(name) != broken.get(name))


# ---- campaigns --------------------------------------------------------------------------------


def kill_at_random(runs, name, folder, whole, kills, seed, most=5):
    """R1: SIGKILL at uniformly random moments, up to `most` in one training.

    Args:
        whole: What the unbroken training ends with, and its seconds.
        kills: How many of them.

    Returns:
        The failures, and the number of kills that met a running training.
    """
    chance = random.Random(f"{name} {seed}")
    failures, done, number = [], 0, 0
    while done < kills:
        number += 1
        place = Path(folder) / str(number)
        save_freq = chance.choice(["epoch", 1, 3, 4])
        wanted, met = min(chance.randint(1, most), kills - done), 0
        while met < wanted:
            code, _, _ = runs.once(name, place, save_freq, kill=chance.uniform(0, 1) * whole[1])
            if code != -signal.SIGKILL:
                break
            met += 1
        done += met
        if met == wanted or code != 0:
            code = "not 0"
        ended = result(place) if code == 0 else runs.until_done(name, place, save_freq)
        failures += _failure(f"{name}, training {number}", whole[0], ended)
    return failures, done


def _failure(where, whole, ended):
    found = differences(whole, ended)
    return [f"{where}: {', '.join(found)} {ended.get('said', '')}"] if found else []


def resume_mid_epoch(runs, name, folder, whole, position):
    """R3: killed at a step, saved after every one; every batch is taken once and in its place."""
    runs.once(name, folder, 1, die=("step", position), log=True)
    ended = runs.until_done(name, folder, 1, log=True)
    failures = _failure(f"{name} at {position}", whole, ended)
    unbroken = Path(folder) / "unbroken"
    runs.once(name, unbroken, 1, log=True)
    if _batches(folder) != _batches(unbroken):
        failures.append(f"{name} at {position}: other batches")
    return failures


def _batches(folder):
    """{step of the training: rows}; a step taken again, since it was not saved, has to agree."""
    found: dict = {}
    for line in (Path(folder) / "batches.txt").read_text().splitlines():
        step, rows = line.split()
        found.setdefault(int(step), set()).add(rows)
    return found


def soak_to_the_end(runs, folder, kills, seed):
    """R13: one long training that is killed every few seconds, and an unbroken one beside it.

    Returns:
        The failures, the number of kills, and the minutes until the end.
    """
    chance, place, failures, met = random.Random(seed), Path(folder) / "soak", [], 0
    epochs, code, begin = 20 * kills, None, time.monotonic()
    while code != 0:
        kill = chance.uniform(0.5, 5) if met < kills else None
        code, _, _ = runs.once("soak", place, 20, kill=kill, epochs=epochs, patience=3600)
        if code not in (0, -signal.SIGKILL):
            return [*failures, f"start {met + 1}: exit status {code}. {said(place)}"], met, 0
        met += code != 0
        left = sorted(p.name for p in place.glob("backup/*"))
        if len(left) > 4:
            failures.append(f"kill {met}: the folder of the backup holds {', '.join(left)}")
    minutes = (time.monotonic() - begin) / 60
    runs.once("soak", Path(folder) / "unbroken", epochs=epochs, patience=3600)
    return (
        failures + _failure("soak", result(Path(folder) / "unbroken"), result(place)),
        met,
        minutes,
    )


def stop_at_random(runs, name, folder, whole, count, seed):
    """R4: SIGTERM or SIGINT at uniformly random moments; a state is saved within 10 seconds.

    Returns:
        The failures, the number of signals that met a running `fit`, and the longest wait.
    """
    chance, failures, met, longest = random.Random(f"{name} {seed}"), [], 0, 0.0
    number = 0
    while met < count:
        number += 1
        place, told = Path(folder) / str(number), chance.choice([signal.SIGTERM, signal.SIGINT])
        code, _, wait = runs.once(name, place, False, chance.uniform(0, 1) * whole[1], told)
        if code == 128 + told:
            met, longest = met + 1, max(longest, wait)
            if wait > 10:
                failures.append(f"{name}, training {number}: saved after {wait:.0f} s")
        elif code not in (0, -told, 1):  # at its end, or still before `fit`
            failures.append(f"{name}, training {number}: exit status {code}")
        done = (place / "result.json").exists()
        if code == 0 and not done:
            failures.append(f"{name}, training {number}: exit status 0 before its end")
        ended = result(place) if done else runs.until_done(name, place, False)
        failures += _failure(f"{name}, training {number}", whole[0], ended)
    return failures, met, longest
