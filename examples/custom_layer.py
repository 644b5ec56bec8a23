"""A layer of one's own: distances to learnt centres, as in a radial basis function network.

`build` makes the weights by `add_weight`, `call` computes with plain torch, and `get_config` says
how to make the layer again, in a copy or from a file.

On the digits that ship with the package it reaches a test accuracy of 0.975 after 30 epochs,
which take 6 s on 2 cores.

    python examples/custom_layer.py
    python examples/custom_layer.py --max-epochs 5
"""

import numpy as np
import torch
from _common import command_line, limited

import lightkeras as keras
from lightkeras import layers
from lightkeras.datasets import digits


class RadialBasis(layers.Layer):
    """`exp(-width * squared distance)` to each of `units` centres."""

    def __init__(self, units, width=0.1, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.width = width

    def build(self, input_shape):
        self.centres = self.add_weight(
            shape=(self.units, input_shape[-1]), initializer="random_uniform", name="centres"
        )
        self.widths = self.add_weight(
            shape=(self.units,),
            initializer=keras.initializers.Constant(self.width),
            constraint="non_neg",
            name="widths",
        )

    def call(self, inputs):
        distances = torch.cdist(inputs, self.centres)  # (batch, units)
        return torch.exp(-self.widths * distances.square())

    def get_config(self):
        return {**super().get_config(), "units": self.units, "width": self.width}


def main(argv=None):
    options, flags = command_line(__file__, argv)
    keras.utils.set_random_seed(1)
    (x, y), (x_test, y_test) = limited(options, digits.load_data())
    x, x_test = x.reshape(-1, 64) / 16, x_test.reshape(-1, 64) / 16

    model = keras.Sequential(
        [keras.Input((64,)), RadialBasis(100), layers.Dense(10, activation="softmax")]
    )
    model.summary()
    model.compile(
        keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(x, y, epochs=30, batch_size=32, verbose=2, **flags)
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"Test loss {loss:.4f}, test accuracy {accuracy:.4f}")

    copy = keras.Sequential.from_config(model.get_config(), {"RadialBasis": RadialBasis})
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy.predict(x_test), model.predict(x_test))
    print("A copy made from the config and the weights predicts the same")


if __name__ == "__main__":
    main()
