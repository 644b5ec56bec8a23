"""What `fit` leaves behind in processes that end with it, for the process that called it.

`ddp_spawn`, `ddp_fork` and `ddp_notebook` train in copies of the model and of the callbacks. The
first of these processes writes a file: weights, optimizer, metrics, random numbers, and the
attributes of all callbacks. Objects that both sides have are written as their names.
"""

from __future__ import annotations

import io
import pickle
import random
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher

from lightkeras._together import moved_metrics
from lightkeras._training._attributes import changed, set_attributes
from lightkeras._training._backup import unpacked
from lightkeras._training._counterparts import audience
from lightkeras._training._state import (
    bind,
    bound_to,
    generators_of,
    load_optimizer,
    optimizers_of,
    plain_optimizer_state,
)

__all__ = ["brought_back", "write"]


@contextmanager
def brought_back(fit, trainer):
    """Around `trainer.fit`: the caller's objects become what those of the processes were."""
    if not isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        path = fit.__dict__["returns"] = str(Path(folder, "fit"))
        yield
        _read(path, fit, trainer)


def write(path, fit):
    """Write the state of `fit` to a file, at the end of training in the first process."""
    model, trainer = fit.model, fit.trainer
    names = {id(value): name for name, value in _known(fit, trainer).items()}
    scheduler = model._compiled.scheduler
    state = {
        "tensors": {name: t.detach().cpu() for name, t in _tensors(model)},
        "optimizers": {n: plain_optimizer_state(model, o) for n, o in optimizers_of(model)},
        "scheduler": None if scheduler is None else scheduler.state_dict(),
        "attributes": changed(model, fit.marks),
        "bound": bound_to(model),
        "metrics": [metric._local_state() for metric in moved_metrics(model)],
        "generators": generators_of(fit).state(),
        "random": (torch.get_rng_state(), np.random.get_state(), random.getstate()),
    }
    callbacks = [_attributes(c, names) for c in _callbacks(fit, trainer)]
    Path(path).write_bytes(pickle.dumps((_pickled(state, {}), callbacks)))


def _read(path, fit, trainer):
    model, known = fit.model, _known(fit, trainer)
    state, callbacks = pickle.loads(Path(path).read_bytes())
    state = _unpickled(state, {})
    with torch.no_grad():
        for name, tensor in _tensors(model):
            tensor.copy_(state["tensors"][name])
    for name, optimizer in optimizers_of(model):
        load_optimizer(model, optimizer, state["optimizers"].get(name))
    if state["scheduler"] is not None:
        model._compiled.scheduler.load_state_dict(state["scheduler"])
    set_attributes(model, unpacked(state["attributes"]), "cpu")
    generators_of(fit).put_back(state["generators"])
    bind(model, state["bound"])
    for metric, values in zip(moved_metrics(model), state["metrics"], strict=True):
        metric._merge([values])
    for callback, attributes in zip(_callbacks(fit, trainer), callbacks, strict=True):
        vars(callback).update({k: _unpickled(v, known) for k, v in attributes.items()})
    for put_back, value in zip(
        (torch.set_rng_state, np.random.set_state, random.setstate), state["random"], strict=True
    ):
        put_back(value)


def _tensors(model):
    yield from model.named_parameters()
    yield from model.named_buffers()


def _callbacks(fit, trainer):
    return [*fit.group.callbacks, *audience(trainer)]


def _known(fit, trainer):
    """{name: object} of what both sides have."""
    model = fit.model
    known: dict[str, Any] = dict(_tensors(model))
    known.update((f"module {name}", module) for name, module in model.named_modules())
    known.update((f"callback {i}", c) for i, c in enumerate(_callbacks(fit, trainer)))
    known.update(trainer=trainer, fit=fit, optimizer=model._compiled.optimizer)
    return known


def _attributes(callback, names):
    """{name: bytes} of the attributes that can be sent; open files, say, cannot."""
    found = {}
    for name, value in vars(callback).items():
        with suppress(Exception):
            found[name] = _pickled(value, names)
    return found


def _pickled(value, names):
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer)
    pickler.persistent_id = lambda obj: names.get(id(obj))  # type: ignore[method-assign]
    pickler.dump(value)
    return buffer.getvalue()


def _unpickled(data, known):
    unpickler = pickle.Unpickler(io.BytesIO(data))
    unpickler.persistent_load = known.__getitem__  # type: ignore[method-assign]
    return unpickler.load()
