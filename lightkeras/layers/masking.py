"""Which time steps count."""

from __future__ import annotations

from lightkeras.layers._layer import Layer

__all__ = ["Masking"]


class Masking(Layer):
    """Marks the time steps that hold nothing but `mask_value`: layers after it leave them out.

    Those steps become 0.

    Args:
        mask_value: The value that stands for nothing.

    Shape:
        `(batch, time, features)` -> the same, with a mask `(batch, time)`

    >>> import torch
    >>> y = Masking()(torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]))
    >>> y._keras_mask.tolist()
    [[True, False]]
    """

    def __init__(self, mask_value=0.0, **kwargs):
        super().__init__(**kwargs)
        self.mask_value = mask_value
        self.supports_masking = True

    def call(self, x):
        mask = self.compute_mask(x)
        y = x.masked_fill(~mask.unsqueeze(-1), 0)
        y._keras_mask = mask
        return y

    def compute_mask(self, inputs, mask=None):
        return (inputs != self.mask_value).any(-1)
