"""The state of everything that draws random numbers, as values to keep and to go on from."""

from __future__ import annotations

import random

import numpy as np
import torch

from lightkeras.random import SeedGenerator

__all__ = ["generators", "rng_state", "set_rng_state"]


def rng_state():
    """State of the global generators: Python's, NumPy's, and torch's on the devices in use."""
    state = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_rng_state(state):
    """Go on from what `rng_state` gave."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


# What can be set back: its class, how its state is read and written.
KINDS: list[tuple] = [
    (SeedGenerator, SeedGenerator.get_state, SeedGenerator.set_state),
    (torch.Generator, torch.Generator.get_state, torch.Generator.set_state),
    (random.Random, random.Random.getstate, random.Random.setstate),
    (np.random.RandomState, np.random.RandomState.get_state, np.random.RandomState.set_state),
    (
        np.random.Generator,
        lambda g: g.bit_generator.state,
        lambda g, state: setattr(g.bit_generator, "state", state),
    ),
]


class generators:
    """The generators that are attributes of some objects, or stand in lists that are.

    Args:
        owners: {name: object}.

    >>> class Data:
    ...     rng = None
    >>> data = Data()
    >>> data.rng = np.random.default_rng(1)
    >>> found = generators({"data": data})
    >>> state, first = found.state(), data.rng.random()
    >>> found.put_back(state)
    >>> bool(data.rng.random() == first)
    True
    """

    def __init__(self, owners):
        self._found = {}
        for name, owner in owners.items():
            for attribute, value in getattr(owner, "__dict__", {}).items():
                for i, item in enumerate(value if isinstance(value, (list, tuple)) else [value]):
                    kind = next((k for k in KINDS if isinstance(item, k[0])), None)
                    if kind is not None:
                        self._found[f"{name}.{attribute}.{i}"] = (item, *kind[1:])

    def state(self):
        """{name: state}."""
        return {name: read(item) for name, (item, read, _) in self._found.items()}

    def put_back(self, state):
        """Set those generators back that `state` knows."""
        for name, (item, _, write) in self._found.items():
            if name in state:
                write(item, state[name])
