"""Two networks play against each other until one of them writes digits: a GAN on MNIST.

The generator turns random numbers into images by transposed convolutions; the discriminator
learns to tell them from real ones. After 5 epochs, which take 4 min on 2 cores, the samples look
like digits; a grid of them is drawn after each.

    python examples/mnist_gan.py
    python examples/mnist_gan.py --max-epochs 1 --limit 5000

The loop is the program's own, so of the Trainer's flags only --max-epochs and the device count.
"""

import numpy as np
from _common import command_line, device, draw

import lightkeras as keras
from lightkeras import layers
from lightkeras.datasets import mnist
from lightkeras.models import Sequential
from lightkeras.optimizers import Adam

LATENT = 100


def make_generator():
    """Random numbers to an image."""
    model = Sequential(name="generator")
    model.add(layers.Dense(7 * 7 * 64, input_shape=(LATENT,)))
    model.add(layers.BatchNormalization())
    model.add(layers.LeakyReLU(0.2))
    model.add(layers.Reshape((7, 7, 64)))
    model.add(layers.Conv2DTranspose(32, 4, strides=2, padding="same"))  # 14 x 14
    model.add(layers.BatchNormalization())
    model.add(layers.LeakyReLU(0.2))
    model.add(layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="tanh"))  # 28 x 28
    return model


def make_discriminator():
    """An image to the probability that it is real."""
    model = Sequential(name="discriminator")
    model.add(layers.Conv2D(32, 4, strides=2, padding="same", input_shape=(28, 28, 1)))
    model.add(layers.LeakyReLU(0.2))
    model.add(layers.Dropout(0.3))
    model.add(layers.Conv2D(64, 4, strides=2, padding="same"))
    model.add(layers.LeakyReLU(0.2))
    model.add(layers.Dropout(0.3))
    model.add(layers.Flatten())
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(Adam(4e-4, beta_1=0.5), loss="binary_crossentropy")
    return model


def main(argv=None):
    options, flags = command_line(__file__, argv)
    keras.utils.set_random_seed(1)
    (x, _), _ = mnist.load_data()
    x = x[: options.limit, ..., None].astype("float32") / 127.5 - 1  # (n, 28, 28, 1) in -1..1

    generator, discriminator = make_generator(), make_discriminator()
    discriminator.trainable = False
    gan = Sequential([generator, discriminator])
    gan.compile(Adam(4e-4, beta_1=0.5), loss="binary_crossentropy")
    gan.to(device(flags))

    def noise(n):
        return np.random.normal(size=(n, LATENT)).astype("float32")

    epochs, batch, fixed = flags.get("max_epochs", 5), 128, noise(50)
    for epoch in range(1, epochs + 1):
        order = np.random.permutation(len(x))
        for start in range(0, len(x) - batch + 1, batch):
            real = x[order[start : start + batch]]
            fake = generator.predict_on_batch(noise(batch))
            discriminator.trainable = True
            d_loss = discriminator.train_on_batch(real, np.full((batch, 1), 0.9))
            d_loss += discriminator.train_on_batch(fake, np.zeros((batch, 1)))
            discriminator.trainable = False
            g_loss = gan.train_on_batch(noise(batch), np.ones((batch, 1)))
        print(f"Epoch {epoch}: discriminator {d_loss / 2:.3f}, generator {g_loss:.3f}")
        samples = generator.predict(fixed, verbose=0) / 2 + 0.5
        draw(samples.reshape(5, 10, 28, 28, 1), options, f"epoch_{epoch}.png")


if __name__ == "__main__":
    main()
