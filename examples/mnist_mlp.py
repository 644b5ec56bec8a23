"""A multilayer perceptron tells the ten digits of MNIST apart.

Reaches a test accuracy of 0.98 in 5 epochs, which take 8 s on 2 cores.

    python examples/mnist_mlp.py
    python examples/mnist_mlp.py --max-epochs 1 --precision bf16-mixed
"""

from _common import command_line, limited

import lightkeras as keras
from lightkeras import layers, models
from lightkeras.datasets import mnist
from lightkeras.utils import to_categorical


def main(argv=None):
    options, flags = command_line(__file__, argv)
    keras.utils.set_random_seed(3)
    (train_images, train_labels), (test_images, test_labels) = limited(options, mnist.load_data())
    train_images = train_images.reshape((-1, 28 * 28)).astype("float32") / 255
    test_images = test_images.reshape((-1, 28 * 28)).astype("float32") / 255
    train_labels = to_categorical(train_labels)
    test_labels = to_categorical(test_labels)

    network = models.Sequential()
    network.add(layers.Dense(512, activation="relu", input_shape=(28 * 28,)))
    network.add(layers.Dense(10, activation="softmax"))
    network.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
    print(network.summary())

    network.fit(train_images, train_labels, epochs=5, batch_size=128, **flags)
    test_loss, test_acc = network.evaluate(test_images, test_labels)
    print(f"Test loss {test_loss:.4f}, test accuracy {test_acc:.4f}")


if __name__ == "__main__":
    main()
