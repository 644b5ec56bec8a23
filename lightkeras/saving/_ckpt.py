"""Weights in the `.ckpt` files of Lightning: the `state_dict` of the module around a model."""

from __future__ import annotations

import torch

from lightkeras.saving._errors import LoadError

__all__ = ["ENDING", "listing", "read"]

ENDING = ".ckpt"
_MODEL = "model."  # how `to_lightning()` calls the model


class _Found:
    """A tensor of the file."""

    def __init__(self, tensor):
        self.tensor, self.shape = tensor, tensor.shape
        self.kind = str(tensor.dtype).removeprefix("torch.")


def listing(file, where):
    """{key: tensor} of an open checkpoint; no code in it is run.

    Raises:
        LoadError: it is damaged, holds more than plain values, or no weights.
    """
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        state = checkpoint["state_dict"]
        found = {key: _Found(tensor) for key, tensor in state.items()}
    except Exception as error:  # a damaged pickle fails in many ways
        first = str(error).partition("\n")[0][:200]
        raise LoadError(
            f"{where} could not be read as a checkpoint: {type(error).__name__}: {first} Files "
            "that Lightning's Trainer wrote, of plain values and tensors, are read. For others "
            "type model.load_state_dict(torch.load(...))."
        ) from None
    if all(key.startswith(_MODEL) for key in found):
        found = {key.removeprefix(_MODEL): value for key, value in found.items()}
    return found


def read(entry, where):
    """The values of a listed tensor."""
    return entry.tensor
