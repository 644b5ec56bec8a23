"""What is said, and what is let go, where the memory of a device is not enough."""

from __future__ import annotations

import gc
import re
from contextlib import contextmanager

import torch

from lightkeras._traceback import is_about_memory, let_go
from lightkeras.layers._shapes import device_of

__all__ = ["enough_memory"]


@contextmanager
def enough_memory(model, method, *batches):
    """Inside, an error for want of memory names the batch size; all is then as it was before.

    Args:
        model: What is being trained or asked. It goes back to the device where it was.
        method: The name of the user's call.
        batches: What it iterates over.

    Raises:
        torch.OutOfMemoryError: in place of torch's own.
    """
    before = device_of(model)
    try:
        yield
        return
    except RuntimeError as error:
        if not is_about_memory(error):
            raise
        text = _sentences(error, model, method, batches)
        let_go(error)
    _put_back(model, before)
    raise torch.OutOfMemoryError(text) from None


def _sentences(error, model, method, batches):
    on_cpu = "DefaultCPUAllocator" in str(error)
    if not on_cpu and any(p.device.type == "cpu" for p in model.parameters()):
        size = sum(p.nbytes for p in model.parameters()) / 2**30
        return (
            f"{method}() cannot move the model to the GPU: its weights, {size:.2f} GiB, take more "
            "than is free there. A model with fewer weights is accepted, or a GPU that nothing "
            'else uses. Type accelerator="cpu" to train this one here.'
        )
    device = "the CPU" if on_cpu else str(device_of(model))
    asked = re.search(r"allocate ([\d.]+ ?\w+)", str(error))
    more = f" ({asked[1]} more)" if asked else ""
    rows = max((b.batch_size or 0 for b in batches if b is not None), default=0)
    start = f"{method}() needs more memory than {device} has{more}"
    if rows > 1:
        return (
            f"{start} for batches of {rows} rows. Fewer rows take less. Type "
            f"batch_size={rows // 2}."
        )
    return f"{start} for a batch. Fewer rows take less. Give smaller batches, or a smaller model."


def _put_back(model, device):
    """Let go of what the call has taken."""
    compiled = model._compiled
    if compiled is not None:
        compiled.steps.clear()  # compiled steps keep memory of their own
    if device_of(model) != device or any(p.device != device for p in model.parameters()):
        model.to(device)
    for parameter in model.parameters():
        parameter.grad = None
    optimizer = None if compiled is None else compiled.optimizer
    if getattr(optimizer, "_params", None) and optimizer._moved():
        optimizer._relink()
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
