"""The device on which new tensors are made when nothing else says so."""

from __future__ import annotations

from contextlib import contextmanager

import torch

__all__ = ["default_device", "device", "use_device"]

# Set while a model runs on an accelerator, so that `random.normal(shape)` or `ops.zeros(shape)`
# inside a `call` meets the layer's tensors there. `with torch.device(...)` would do the same at
# the price of a Python call for every torch function.
_running_on: torch.device | None = None


def default_device() -> torch.device:
    """Where a tensor without a device is made.

    A shape run (torch's "meta" default) comes first, then `use_device`, then torch's default.
    """
    device = torch.get_default_device()
    return device if _running_on is None or device.type == "meta" else _running_on


@contextmanager
def use_device(device):
    """Make tensors on `device` inside the `with` block.

    >>> with use_device("cpu"):
    ...     default_device()
    device(type='cpu')
    """
    global _running_on
    before, _running_on = _running_on, torch.device(device)
    try:
        yield _running_on
    finally:
        _running_on = before


def device(device_name):
    """Make tensors and weights on a device inside the `with` block, named as in Keras.

    Args:
        device_name: "cpu", "gpu:0" (or torch's "cuda:0").

    Raises:
        ValueError: it is no name.

    >>> from lightkeras import ops
    >>> with device("cpu:0"):
    ...     ops.zeros(2).device.type
    'cpu'
    """
    if not isinstance(device_name, (str, torch.device)):
        raise ValueError(
            f"device() got {device_name!r}. A name like 'cpu' or 'gpu:0' is accepted. "
            "Type device('cpu')."
        )
    return use_device(str(device_name).lower().replace("gpu", "cuda"))
