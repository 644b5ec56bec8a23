"""Layers beside the torch modules that compute the same, and how costs grow, as a line of JSON.

    python calls.py --rounds 5 --threads 2

Both sides take turns inside one process: a call and its gradients, on tensors of usual sizes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time


def pairs(torch, lk):
    """{name: (ours, torch's, input)}; same sizes, and inputs that both take."""
    nn, layers = torch.nn, lk.layers
    text, image = torch.randn(32, 80, 128), torch.randn(32, 28, 28, 32)
    first = image.permute(0, 3, 1, 2)  # the same memory, as torch sees it: channels_last
    attention = nn.MultiheadAttention(128, 4, batch_first=True)
    lstm = nn.LSTM(128, 128, batch_first=True)
    recurrent = nn.GRU(128, 128, batch_first=True)
    mine = layers.MultiHeadAttention(4, 32)
    conv = nn.Conv2d(32, 64, 3).to(memory_format=torch.channels_last)
    return {
        "Dense": (layers.Dense(64), nn.Linear(128, 64), text, text),
        "Conv2D": (layers.Conv2D(64, 3), conv, image, first),
        "LSTM": (layers.LSTM(128, return_sequences=True), lambda x: lstm(x)[0], text, text),
        "GRU": (layers.GRU(128, return_sequences=True), lambda x: recurrent(x)[0], text, text),
        "MultiHeadAttention": (
            lambda x: mine(x, x),
            lambda x: attention(x, x, x, need_weights=False)[0],
            text,
            text,
        ),
        "LayerNormalization": (layers.LayerNormalization(), nn.LayerNorm(128), text, text),
        "BatchNormalization": (layers.BatchNormalization(), nn.BatchNorm2d(32), image, first),
    }


def seconds(call, x, repeats):
    """Seconds of a call and its gradients."""
    x = x.detach().requires_grad_()
    start = time.perf_counter()
    for _ in range(repeats):
        call(x).sum().backward()
    return (time.perf_counter() - start) / repeats


def compared(ours, theirs, x, z, rounds, repeats=20):
    """Ours and torch's in turns: two lists of seconds."""
    seconds(ours, x, 3), seconds(theirs, z, 3)
    found = [(seconds(theirs, z, repeats), seconds(ours, x, repeats)) for _ in range(rounds)]
    second, first = zip(*found, strict=True)
    return {"torch": list(second), "lightkeras": list(first)}


def depth(torch, lk, count, rounds):
    """A call of so many Dense layers on a few rows, where nothing counts but what is around."""
    x = torch.randn(8, 32)
    ours = lk.Sequential([lk.Input((32,)), *[lk.layers.Dense(32) for _ in range(count)]])
    theirs = torch.nn.Sequential(*[torch.nn.Linear(32, 32) for _ in range(count)])
    return compared(ours, theirs, x, x, rounds, repeats=max(2000 // count, 5))


def growth(lk, rounds):
    """Seconds per step of `fit` with more batches and with more metrics, beside the smallest."""
    import numpy as np

    def step(rows, metrics):
        model = lk.Sequential([lk.Input((8,)), lk.layers.Dense(1, activation="sigmoid")])
        model.compile("adam", "binary_crossentropy", metrics=metrics)
        x, y = np.random.rand(rows, 8).astype("float32"), np.ones((rows, 1), "float32")

        def fit():
            return model.fit(x, y, batch_size=10, verbose=0)

        fit()
        start = time.perf_counter()
        fit()
        return (time.perf_counter() - start) / (rows / 10)

    cases = {"1,000 steps": (10000, []), "100 steps": (1000, []), "10 steps": (100, [])}
    more = ["accuracy", "mae", "mse", "precision", "recall"]
    cases |= {"1 metric": (10000, more[:1]), "5 metrics": (10000, more)}
    found = [{name: step(*case) for name, case in cases.items()} for _ in range(rounds)]
    return {name: [times[name] for times in found] for name in cases}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    import torch

    import lightkeras as lk

    torch.set_num_threads(options.threads)
    results = {}
    for name, (ours, theirs, x, z) in pairs(torch, lk).items():
        results[name] = compared(ours, theirs, x, z, options.rounds)
    for count in (1, 10, 100):
        results[f"{count} x Dense"] = depth(torch, lk, count, options.rounds)
    grown = growth(lk, options.rounds)
    base = statistics.median(grown["1,000 steps"])
    ratios = {name: statistics.median(times) / base for name, times in grown.items()}
    print("\n" + json.dumps({"layers": results, "growth": ratios}))


if __name__ == "__main__":
    main()
