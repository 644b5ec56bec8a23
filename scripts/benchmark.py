#!/usr/bin/env python3
"""How fast lightkeras is beside plain torch: one line per workload.

Ours and torch's take turns, so that a busy machine slows both; the medians are shown.

    .venv/bin/python scripts/benchmark.py
    .venv/bin/python scripts/benchmark.py --only import,pima --repeats 9 --json times.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

Runs = tuple[Callable[[], float], Callable[[], float]]


def import_time() -> Runs:
    """Seconds of a first import, each in a fresh process; names that load lazily included."""

    def run(code):
        code = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
        return float(subprocess.check_output([sys.executable, "-c", code]))

    ours = "import lightkeras as k; k.Sequential; k.layers.Dense; k.optimizers.Adam"
    return lambda: run(ours), lambda: run("import torch")


def pima_step(**adam: bool) -> Runs:
    """Seconds per step of a tiny MLP: 768 rows of 8 numbers, batches of 10, Adam, accuracy.

    On a model so small torch's Adam costs as much as all the rest, so what is compared with
    matters: `adam` are further arguments of torch's, `fused=True` makes it fastest.
    """
    import torch

    import lightkeras as keras
    from lightkeras import layers

    rows, batch, epochs = 768, 10, 20
    x = torch.rand(rows, 8)
    y = (x.sum(1, keepdim=True) > 4).float()
    steps = epochs * -(-rows // batch)

    model = keras.Sequential([keras.Input((8,))])
    for units, activation in ((12, "relu"), (8, "relu"), (1, "sigmoid")):
        model.add(layers.Dense(units, activation=activation))
    model.compile("adam", loss="binary_crossentropy", metrics=["accuracy"])

    nn = torch.nn
    module = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU())
    module.extend([nn.Linear(8, 1), nn.Sigmoid()])
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, eps=1e-7, **adam)
    loss_of = nn.BCELoss()

    def loop():
        for _ in range(epochs):
            losses, hits = torch.zeros(()), torch.zeros(())
            for index in torch.randperm(rows).split(batch):
                a, b = x.index_select(0, index), y.index_select(0, index)
                p = module(a)
                loss = loss_of(p, b)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses += loss.detach() * len(index)
                hits += ((p.detach() > 0.5) == b).sum()
            print_nothing(losses.item() / rows, hits.item() / rows)

    def fit():
        model.fit(x, y, epochs=epochs, batch_size=batch, verbose=0)

    return lambda: seconds(fit) / steps, lambda: seconds(loop) / steps


# A workload gives two functions, ours and torch's, that run once and return seconds per unit.
WORKLOADS: dict[str, Callable[[], Runs]] = {
    "import": import_time,
    "pima": pima_step,
    "pima-fused": partial(pima_step, fused=True),
}


def print_nothing(*values):
    """Stands where a loop written by hand would print."""


def seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(workload: Callable[[], Runs], repeats: int) -> dict[str, Any]:
    """Medians of both sides, after one run of each that does not count, and every run's time."""
    ours, theirs = workload()
    times = [(ours(), theirs()) for _ in range(repeats + 1)][1:]
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    ratio = medians[0] / medians[1]
    return {"lightkeras": medians[0], "torch": medians[1], "ratio": ratio, "times": times}


def readable(duration: float) -> str:
    return f"{duration:.2f} s" if duration >= 0.1 else f"{duration * 1e6:.0f} us"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default=",".join(WORKLOADS), help="names, with commas between")
    parser.add_argument("--repeats", type=int, default=7, help="runs of each side (7)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (1)")
    parser.add_argument("--json", metavar="FILE", help="also write the numbers to a file")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(WORKLOADS):
        parser.error(f"unknown workloads {sorted(unknown)}; known: {', '.join(WORKLOADS)}")

    if names != ["import"]:
        import torch

        torch.set_num_threads(options.threads)
    results = {}
    print(f"{'workload':<12}{'lightkeras':>14}{'torch':>14}{'ratio':>9}")
    for name in names:
        results[name] = result = measure(WORKLOADS[name], options.repeats)
        sides = f"{readable(result['lightkeras']):>14}{readable(result['torch']):>14}"
        print(f"{name:<12}{sides}{result['ratio']:>9.2f}", flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=2)


if __name__ == "__main__":
    main()
