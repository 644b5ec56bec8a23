"""A training step of one's own, in torch: a network that learns from images made harder for it.

Each step moves the pixels a little in the direction in which the loss grows (Goodfellow et al.
2014, arXiv:1412.6572) and learns from these images too. Test images are attacked the same way.

On the digits that ship with the package, after 40 epochs, which take 30 s on 2 cores:

    test accuracy               as they are    attacked
    trained the usual way              0.98        0.30
    trained by this step               0.98        0.81

    python examples/custom_train_step.py
    python examples/custom_train_step.py --max-epochs 5
"""

import torch
from _common import command_line, limited

import lightkeras as keras
from lightkeras import layers
from lightkeras.datasets import digits


class Robust(keras.Model):
    """A functional model with a `train_step` that learns from attacked images as well."""

    def train_step(self, data):
        x, y = data
        harder = attacked(self, x, y)

        self.zero_grad()
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        loss = loss + self.compute_loss(y=y, y_pred=self(harder, training=True))
        loss.backward()
        weights = self.trainable_weights
        self.optimizer.apply([w.value.grad for w in weights], weights)

        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}


def attacked(model, x, y, step=0.1):
    """Images `x` with each pixel moved by `step` so that the loss of `model` grows."""
    x = x.detach().clone().requires_grad_()
    loss = model.compute_loss(y=y, y_pred=model(x))
    (gradient,) = torch.autograd.grad(loss, x)
    return (x + step * gradient.sign()).detach()


def main(argv=None):
    options, flags = command_line(__file__, argv)
    (x, y), (x_test, y_test) = limited(options, digits.load_data())
    x, x_test = x.reshape(-1, 64) / 16, x_test.reshape(-1, 64) / 16
    for kind in (keras.Model, Robust):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((64,))
        hidden = layers.Dense(128, activation="relu")(inputs)
        model = kind(inputs, layers.Dense(10, activation="softmax")(hidden))
        model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, y, epochs=40, batch_size=32, verbose=2, **flags)
        _, accuracy = model.evaluate(x_test, y_test, verbose=0)
        harder = attacked(model, torch.tensor(x_test, dtype=torch.float32), torch.tensor(y_test))
        _, under_attack = model.evaluate(harder, y_test, verbose=0)
        print(f"{kind.__name__}: test accuracy {accuracy:.4f}, attacked {under_attack:.4f}")


if __name__ == "__main__":
    main()
