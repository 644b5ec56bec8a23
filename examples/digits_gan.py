"""Two networks play against each other until one of them writes digits: a GAN, 8 x 8 pixels.

The discriminator learns to tell the digits that ship with the package from those of the
generator, the generator to be taken for real. After 200 epochs, which take 2 min on 2 cores, the
samples look like digits; a grid of them is drawn every 50.

    python examples/digits_gan.py
    python examples/digits_gan.py --max-epochs 50

The loop is the program's own, so of the Trainer's flags only --max-epochs and the device count.
"""

import numpy as np
from _common import command_line, device, draw

import lightkeras as keras
from lightkeras import layers
from lightkeras.datasets import digits
from lightkeras.models import Sequential
from lightkeras.optimizers import Adam

LATENT = 32


def make_generator():
    """Random numbers to an image."""
    model = Sequential(name="generator")
    model.add(layers.Dense(2 * 2 * 128, input_shape=(LATENT,)))
    model.add(layers.Reshape((2, 2, 128)))
    model.add(layers.BatchNormalization(momentum=0.8))
    model.add(layers.LeakyReLU(0.2))
    model.add(layers.Conv2DTranspose(64, 4, strides=2, padding="same"))  # 4 x 4
    model.add(layers.BatchNormalization(momentum=0.8))
    model.add(layers.LeakyReLU(0.2))
    model.add(
        layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="sigmoid")
    )  # 8 x 8
    return model


def make_discriminator():
    """An image to the probability that it is real."""
    model = Sequential(name="discriminator")
    model.add(layers.Conv2D(64, 3, strides=2, padding="same", input_shape=(8, 8, 1)))
    model.add(layers.LeakyReLU(0.2))
    model.add(layers.Dropout(0.1))
    model.add(layers.Conv2D(128, 3, strides=2, padding="same"))
    model.add(layers.LeakyReLU(0.2))
    model.add(layers.Dropout(0.1))
    model.add(layers.Flatten())
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(Adam(1e-3, beta_1=0.5), loss="binary_crossentropy")
    return model


def main(argv=None):
    options, flags = command_line(__file__, argv)
    keras.utils.set_random_seed(1)
    (x, _), _ = digits.load_data()
    x = x[: options.limit, ..., None].astype("float32") / 16  # (n, 8, 8, 1)

    generator, discriminator = make_generator(), make_discriminator()
    discriminator.trainable = False
    gan = Sequential([generator, discriminator])
    gan.compile(Adam(5e-4, beta_1=0.5), loss="binary_crossentropy")
    gan.to(device(flags))

    def noise(n):
        return np.random.normal(size=(n, LATENT)).astype("float32")

    epochs, batch, fixed = flags.get("max_epochs", 200), 64, noise(50)
    for epoch in range(1, epochs + 1):
        order = np.random.permutation(len(x))
        for start in range(0, len(x), batch):
            real = x[order[start : start + batch]]
            n = len(real)
            fake = generator.predict_on_batch(noise(n))
            discriminator.trainable = True
            d_loss = discriminator.train_on_batch(real, np.full((n, 1), 0.9))
            d_loss += discriminator.train_on_batch(fake, np.zeros((n, 1)))
            discriminator.trainable = False
            g_loss = gan.train_on_batch(noise(n), np.ones((n, 1)))
        if epoch % 50 == 0 or epoch == epochs:
            print(f"Epoch {epoch}: discriminator {d_loss / 2:.3f}, generator {g_loss:.3f}")
            samples = generator.predict(fixed, verbose=0)
            draw(samples.reshape(5, 10, 8, 8, 1), options, f"epoch_{epoch:03d}.png", zoom=4)


if __name__ == "__main__":
    main()
