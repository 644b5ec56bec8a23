"""What a network has learnt on some digits helps it with others, of which there are few.

A convnet learns the digits 0 to 4 of MNIST. Its base is frozen, gets a new head, and learns 5 to 9
from 10 images of each; then everything is trained a little. Beside it the same network learns
from these 50 images alone. Test accuracy on 5 to 9, after N s on 2 cores:

    from scratch      0.8xx
    frozen base       0.8xx
    fine-tuned        0.8xx

    python examples/transfer.py
    python examples/transfer.py --max-epochs 2 --limit 2000
"""

import numpy as np
from _common import command_line, limited

import lightkeras as keras
from lightkeras import layers
from lightkeras.datasets import mnist


def make_base():
    """Images to 64 features."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
        ],
        name="base",
    )


def with_head(base):
    """The base and a new layer that tells five classes apart."""
    return keras.Sequential([base, layers.Dropout(0.3), layers.Dense(5, activation="softmax")])


def train(model, data, test, rate, epochs, flags):
    """Compile, fit, and return the accuracy on the test data."""
    model.compile(
        keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(*data, epochs=epochs, batch_size=32, verbose=2, **flags)
    return model.evaluate(*test, verbose=0)[1]


def main(argv=None):
    options, flags = command_line(__file__, argv)
    keras.utils.set_random_seed(1)
    (x, y), (x_test, y_test) = limited(options, mnist.load_data())
    x, x_test = x[..., None] / 255, x_test[..., None] / 255
    few = np.concatenate([np.flatnonzero(y == digit)[:10] for digit in range(5, 10)])
    task = (x[few], y[few] - 5), (x_test[y_test > 4], y_test[y_test > 4] - 5)

    base = make_base()
    before = (x[y < 5], y[y < 5]), (x_test[y_test < 5], y_test[y_test < 5])
    print(f"Digits 0 to 4: {train(with_head(base), *before, 1e-3, 2, flags):.4f}")

    base.trainable = False
    model = with_head(base)
    model.summary(show_trainable=True)
    frozen = train(model, *task, 1e-3, 100, flags)
    base.trainable = True
    tuned = train(model, *task, 1e-4, 50, flags)  # compiled again: now all weights are trained
    scratch = train(with_head(make_base()), *task, 1e-3, 150, flags)
    print(f"Digits 5 to 9, from scratch: {scratch:.4f}")
    print(f"Digits 5 to 9, frozen base:  {frozen:.4f}")
    print(f"Digits 5 to 9, fine-tuned:   {tuned:.4f}")


if __name__ == "__main__":
    main()
