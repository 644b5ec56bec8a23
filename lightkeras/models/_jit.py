"""`compile(jit_compile=True)`: a model's call through `torch.compile`."""

from __future__ import annotations

import warnings

import torch

from lightkeras._config import _outside

__all__ = ["CompiledCall"]


class CompiledCall:
    """Calls a model compiled; as it is from the first time that this fails.

    It stands beside the model, not in it or around it: names in `state_dict` stay, and so do
    copies and pickles. Random numbers are drawn as without compilation.

    Args:
        model: A built model.
    """

    def __init__(self, model):
        self.model = model
        self.run = torch.compile(model.__call__, options={"fallback_random": True})

    def __call__(self, x):
        if self.run is None:
            return self.model(x)
        try:
            return self.run(x)
        except Exception as error:
            outputs = self.model(x)  # where the model itself is at fault, this says how
            self.run = None
            warnings.warn(
                f"{self.model.name!r} cannot be compiled here ({_reason(error)}) and runs as it "
                "is: the numbers are the same. torch.compile needs a C++ compiler on the CPU. "
                "Install one, or leave jit_compile=True out.",
                stacklevel=_outside(),
            )
            return outputs


def _reason(error):
    """The kind of an error and the first line of its text."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text[:100]}" if text else type(error).__name__
