"""What is trained: sizes, data and names. No framework is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["WORKLOADS", "Workload", "arrays"]


@dataclass(frozen=True)
class Workload:
    """One network on one kind of data.

    Args:
        rows: Rows of an epoch.
        shape: Shape of a row; `()` and more for word numbers.
        classes: Outputs; 1 is a sigmoid, 0 an autoencoder.
        batch: Rows of a batch.
        optimizer: Keras's name.
        words: Size of the vocabulary, where rows are word numbers.
        epochs: Epochs of one call of `fit`, where a script has many and an epoch is short.
        gpu: Whether it is large enough to be meant for an accelerator.
    """

    rows: int
    shape: tuple[int, ...]
    classes: int
    batch: int
    optimizer: str
    words: int = 0
    epochs: int = 1
    gpu: bool = False

    @property
    def steps(self) -> int:
        return -(-self.rows // self.batch)


WORKLOADS = {
    "pima": Workload(768, (8,), 1, 10, "adam", epochs=20),
    "mnist_mlp": Workload(60000, (784,), 10, 128, "rmsprop"),
    "mnist_cnn": Workload(6400, (28, 28, 1), 10, 128, "rmsprop"),
    "cifar_ae": Workload(5000, (32, 32, 3), 0, 64, "adadelta"),
    "imdb_lstm": Workload(6400, (80,), 1, 32, "adam", words=20000),
    "resnet": Workload(12800, (32, 32, 3), 10, 128, "sgd", gpu=True),
    "transformer": Workload(12800, (128,), 2, 64, "adam", words=20000, gpu=True),
}


def arrays(name: str) -> dict[str, Any]:
    """`x` and `y` of a workload: real data where they are at hand, else numbers of that shape."""
    work = WORKLOADS[name]
    real = _real(name)
    if real is not None:
        x, y = real
        return {"x": x[: work.rows], "y": y[: work.rows]}
    rng = np.random.default_rng(0)
    if work.words:
        x = rng.integers(1, work.words, (work.rows, *work.shape))
        return {"x": x, "y": (x.sum(1) % max(work.classes, 2)).astype("int64")}
    x = rng.random((work.rows, *work.shape), dtype="float32")
    if work.classes == 0:
        return {"x": x, "y": x}
    score = x.reshape(work.rows, -1)[:, : max(work.classes, 2)]
    y = score.argmax(1) if work.classes > 1 else (x.sum(1) > 4).astype("float32")
    return {"x": x, "y": y}


def _real(name):
    """(x, y) of MNIST or CIFAR-10, where `LIGHTKERAS_HOME` or a download has them."""
    from lightkeras import datasets

    work = WORKLOADS[name]
    try:
        if name.startswith("mnist"):
            (x, y), _ = datasets.mnist.load_data()
            x = x.reshape(-1, *work.shape)
        elif name == "cifar_ae":
            (x, y), _ = datasets.cifar10.load_data()
            x = x[y.ravel() == 1]
        else:
            return None
    except Exception as error:  # no network and no file: any shape does
        print(f"{name}: random numbers instead of data ({type(error).__name__})")
        return None
    x = (x / 255).astype("float32")
    return x, (x if work.classes == 0 else y.astype("int64").ravel())
