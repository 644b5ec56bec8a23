"""A small convnet on handwritten digits: train it, look at it, save it.

The default is `digits`, 1,797 images of 8x8 that ship with the package: a test accuracy of 0.989
after 30 epochs, which take 10 s on 2 cores.

    python examples/quickstart.py
    python examples/quickstart.py --data mnist --accelerator gpu --precision bf16-mixed
    python examples/quickstart.py --max-epochs 3 --limit-train-batches 5

Every flag of Lightning's Trainer is accepted.
"""

import argparse
from pathlib import Path

import lightkeras as keras
from lightkeras import layers
from lightkeras.utils import is_chief, trainer_flags

SETS = {"digits": 30, "mnist": 3, "cifar10": 10}  # and the epochs that each is worth


def load(name):
    """Images scaled to 0..1 with a channel axis, and labels, for training and for the test."""
    (x, y), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    images = []
    for part in (x, x_test):
        part = part.astype("float32") / x.max()
        images.append(part if part.ndim == 4 else part[..., None])  # (n, height, width, channels)
    return (images[0], y.ravel()), (images[1], y_test.ravel())


def convnet(input_shape):
    """Two convolutions, pooling, a hidden layer, ten classes."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ],
        name="convnet",
    )


def draw(history, path):
    """The learning curves as a picture."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axis, name in zip(axes, ("accuracy", "loss"), strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            values = history.history.get(key, [])
            axis.plot(range(1, len(values) + 1), values, label=label)
        axis.set(title=name, xlabel="epoch")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv=None):
    flags, rest = trainer_flags(argv, own=["data", "out"])
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", choices=SETS, default="digits", help="what to train on")
    parser.add_argument("--out", default="quickstart", help="folder for the results")
    options = parser.parse_args(rest)

    keras.utils.set_random_seed(0)
    (x, y), (x_test, y_test) = load(options.data)
    model = convnet(x.shape[1:])
    model.summary()
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        x, y, batch_size=64, epochs=SETS[options.data], validation_split=0.1, **flags
    )
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    if not is_chief():  # with several devices this runs once for each: one reports
        return accuracy
    print(f"Test loss {loss:.4f}, test accuracy {accuracy:.4f}")

    folder = Path(options.out).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    draw(history, folder / "learning_curve.png")
    model.save(folder / "model.keras")
    print(f"Learning curve: {folder / 'learning_curve.png'}")
    print(f"Model:          {folder / 'model.keras'}")
    return accuracy


if __name__ == "__main__":
    main()
