"""`Pipeline`: layers that prepare data, one after the other, as one layer."""

from __future__ import annotations

from lightkeras._config import plain
from lightkeras._registry import serialize
from lightkeras.layers import _table
from lightkeras.layers._layer import Layer

__all__ = ["Pipeline"]


class Pipeline(Layer):
    """Layers one after the other, most often random changes of images.

    Called by itself it is in training mode, as are the layers in it; a model's `evaluate` and
    `predict`, `training=False` and `eval()` set another one.

    Args:
        layers: The layers.
        name: Name of the layer.

    Shape:
        what the layers make of it, one after the other

    Raises:
        TypeError: `layers` is no list of layers.

    >>> import torch
    >>> from lightkeras.layers import Rescaling, Resizing
    >>> tuple(Pipeline([Resizing(4, 4), Rescaling(1 / 255)])(torch.zeros(2, 8, 8, 3)).shape)
    (2, 4, 4, 3)
    """

    _takes_text = True

    def __init__(self, layers, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        listed = isinstance(layers, (list, tuple))
        if not listed or not all(isinstance(layer, Layer) for layer in layers):
            raise TypeError(
                f"Pipeline() got {type(layers).__name__ if not listed else 'what is no layer'}. It "
                "takes a list of layers. Type Pipeline([RandomFlip(), RandomRotation(0.1)])."
            )
        self.layers = list(layers)
        self.supports_masking = True
        self.train()

    def call(self, inputs):
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs

    def compute_output_shape(self, input_shape):
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def get_config(self):
        return {"layers": [plain(serialize(layer)) for layer in self.layers], "name": self.name}

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described.

        Raises:
            ValueError: the config has no list of layers.
        """
        stored = config.get("layers")
        if not isinstance(stored, (list, tuple)):
            raise ValueError(
                "The config of a Pipeline holds no list of layers. Each is a dict, as "
                "layers.serialize(layer) returns it. Store the Pipeline again."
            )
        made = [_table.deserialize(data) if isinstance(data, dict) else data for data in stored]
        return cls(**{**config, "layers": made})
