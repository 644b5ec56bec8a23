"""One measurement in a process of its own: a peer on a workload. Prints one line of JSON.

python worker.py PEER WORKLOAD ARRAYS.npz --epochs 3 --threads 2
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import statistics
import sys
import time

START = time.perf_counter()

# Peer -> (file of its networks, backend of Keras, options of `make`).
PEERS = {
    "torch": ("loop", "", {}),
    "torch.compile": ("loop", "", {"compiled": True}),
    "lightkeras": ("keras", "", {}),
    "lightkeras-jit": ("keras", "", {"jit_compile": True}),
    "lightning": ("lightning_fit", "", {}),
    "skorch": ("skorch_fit", "", {}),
    "poutyne": ("poutyne_fit", "", {}),
    "keras-torch": ("keras", "torch", {}),
    "keras-tensorflow": ("keras", "tensorflow", {}),
    "keras-jax": ("keras", "jax", {}),
}


def prepare(peer, name, work, x, y, threads, device):
    """What the peer's `make` gives; imports only what the peer needs."""
    kind, backend, options = PEERS[peer]
    os.environ["KERAS_BACKEND"] = backend or "torch"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if backend in ("tensorflow", "jax"):
        limit_threads(backend, threads)
    else:
        import torch

        torch.set_num_threads(threads)
    if kind == "keras":
        import keras_peer

        keras = importlib.import_module("keras" if backend else "lightkeras")
        return keras_peer.make(keras, name, work, x, y, **options)
    import torch_peer

    return getattr(torch_peer, kind)(name, work, x, y, device=device, **options)


def limit_threads(backend, threads):
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    elif threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"


def seconds(run, *arguments):
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


def peak_memory():
    """Bytes; what Linux tells by `getrusage` is at least what the process had that started this."""
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            return next(int(line.split()[1]) for line in file if "VmHWM" in line) * 1024
    except OSError:
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("workload")
    parser.add_argument("arrays")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()

    import numpy as np
    from workloads import WORKLOADS

    work = WORKLOADS[options.workload]
    with np.load(options.arrays) as file:
        x, y = file["x"], file["y"]
    train, predict, evaluate, _ = prepare(
        options.peer, options.workload, work, x, y, options.threads, options.device
    )
    train(1)
    first = time.perf_counter() - START  # from a cold start: imports, building, one epoch
    times = [seconds(train, work.epochs) / work.epochs for _ in range(options.epochs)]
    result = {"first": first, "step": statistics.median(times) / work.steps}
    if predict is not None:
        one, many = x[:1], np.resize(x, (10000, *x.shape[1:])) if x[0].size < 1000 else x
        predict(one)
        result["predict_1"] = statistics.median(seconds(predict, one) for _ in range(50))
        predict(many)
        result["predict_all"] = statistics.median(seconds(predict, many) for _ in range(3))
        evaluate()
        result["evaluate"] = statistics.median(seconds(evaluate) for _ in range(3))
    result["memory"] = peak_memory()
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main()
