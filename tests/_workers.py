"""R8: a worker of a DataLoader raises, is killed or hangs while it reads a sample."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time

import numpy as np
from torch.utils.data import DataLoader, Dataset, random_split

import lightkeras as lk

ROWS = 64
METHODS = ("fit", "evaluate", "predict", "validation")


class Bad(Dataset):
    """Rows of which one cannot be read."""

    def __init__(self, how, at):
        self.how, self.at = how, at

    def __len__(self):
        return ROWS

    def __getitem__(self, i):
        if i == self.at:
            if self.how == "raise":
                raise ValueError("a damaged file")
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "hang":
                time.sleep(1000)
        return np.full(4, i, "float32"), np.ones(1, "float32")


def linear():
    model = lk.Sequential([lk.Input((4,)), lk.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def call(model, method, data):
    x = np.ones((8, 4), "float32")
    options = {"verbose": 0, "accelerator": "cpu"}
    if method == "fit":
        model.fit(data, **options)
    elif method == "validation":
        model.fit(x, x[:, :1], validation_data=data, **options)
    else:
        getattr(model, method)(data, verbose=0)


def worker_fails(how, method, at, **options):
    """What is wrong after a worker failed at sample `at`; [] if nothing is.

    Args:
        how: "raise", "kill" or "hang".
        method: One of METHODS.
        at: The sample.
        options: Of the DataLoader.
    """
    options = {"num_workers": 2, **options}
    wait = options.setdefault("timeout", 1 if how == "hang" else 0)
    model, begin, said = linear(), time.monotonic(), "nothing"
    try:
        call(model, method, DataLoader(Bad(how, at), batch_size=8, **options))
    except (ValueError, RuntimeError) as error:
        said = f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - begin - wait
    found = []
    if f"Sample {at} of " not in said or said.startswith("ValueError") != (how == "raise"):
        found.append(f"it was said: {said[:300]}")
    if seconds > 10:
        found.append(f"it took {seconds:.0f} s")
    if left := still_there():
        found.append(f"{len(left)} workers were left")
    where = f"{how} at {at} in {method} of {options}"
    return [f"{where}: {what}" for what in found]


def still_there(seconds=10.0):
    """Processes of ours that do not end."""
    end = time.monotonic() + seconds
    while multiprocessing.active_children() and time.monotonic() < end:
        time.sleep(0.02)
    return multiprocessing.active_children()


def fail_at_random(size, seed):
    """(failures, {how: times}) of `size` workers."""
    draw, failures, counts = random.Random(seed), [], {}
    for _ in range(size):
        how = draw.choices(("raise", "kill", "hang"), (5, 5, 2))[0]
        options = {
            "num_workers": draw.choice((1, 2, 3)),
            "shuffle": draw.random() < 0.5,
            "persistent_workers": draw.random() < 0.5,
        }
        failures += worker_fails(how, draw.choice(METHODS), draw.randrange(ROWS), **options)
        counts[how] = counts.get(how, 0) + 1
    return failures, counts


def halves():
    """A loader over a part of the rows, in which sample 3 is bad."""
    part = random_split(range(ROWS), [0.5, 0.5])[0]
    part.dataset = Bad("raise", part.indices[3])
    return DataLoader(part, batch_size=8, num_workers=1)
