"""Training with the model split over the processes, by Lightning's FSDPStrategy.

Between two steps each process holds a piece of every weight: numbers that lie one after another in
memory, the first process's first. Slots are cut alike, so that rules which work number by number
need not know. Callbacks, validation and the caller of `fit` get the whole weights and slots.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import wraps

import lightning.pytorch as L
import torch
import torch.distributed as dist
from lightning.pytorch.strategies import FSDPStrategy

from lightkeras import optimizers
from lightkeras._ranks import gather, rank, world
from lightkeras._training._failures import store
from lightkeras.callbacks.checkpoint import ModelCheckpoint

__all__ = ["Sharded", "check_flags", "on_whole_weights", "splits"]

_PATIENCE = 2.0  # seconds in which all processes have met the same error, or not
# Rules that treat each number by itself.
_BY_NUMBER = (
    optimizers.SGD,
    optimizers.Adam,
    optimizers.AdamW,
    optimizers.Adamax,
    optimizers.Nadam,
    optimizers.RMSprop,
    optimizers.Adagrad,
    optimizers.Adadelta,
    optimizers.Ftrl,
    optimizers.Lion,
)
_OPTIONS = ("clipnorm", "global_clipnorm", "use_ema", "gradient_accumulation_steps")
_CALLBACKS = tuple(
    getattr(L.callbacks, name)
    for name in ("Checkpoint", "StochasticWeightAveraging", "WeightAveraging")
    if hasattr(L.callbacks, name)
)


def splits(trainer):
    """Whether a Trainer splits the model; over one process it does so in name only."""
    return isinstance(trainer.strategy, FSDPStrategy)


def on_whole_weights(hook):
    """A hook of `Fit` that sees the whole weights where the model is split."""

    @wraps(hook)
    def called(fit, *args):
        if fit.sharded is None:
            return hook(fit, *args)
        with fit.sharded.whole():
            return hook(fit, *args)

    return called


class Sharded:
    """The pieces of a model's weights and slots that this process holds.

    Made before Lightning wraps the model; `cut` follows once it has.

    Args:
        fit: The running `Fit`.

    Raises:
        ValueError: something needs whole weights in the middle of a step.
    """

    runs = 0  # of this process: it has the same number in all

    def __init__(self, fit):
        self.strategy, self.model = fit.trainer.strategy, fit.model
        self.optimizer = fit.model._compiled.optimizer
        from torch.distributed.fsdp import MixedPrecision  # takes long, and few need it

        Sharded.runs += 1
        fit.model._bind_optimizer()
        _check_optimizer(self.optimizer)
        _check_weights(fit.model)
        self._same_everywhere()
        # Autocast alone, as elsewhere: Lightning would have weights and moving averages rounded.
        self.strategy.mixed_precision = MixedPrecision()
        self.places = [
            (module, name, parameter)
            for module in self.model.modules()
            for name, parameter in module._parameters.items()
            if parameter is not None
        ]
        found = {id(p): p for _, _, p in self.places}
        self.layouts = {key: (p.shape, p.stride()) for key, p in found.items()}
        self.parameters = list(found.values())
        self.lengths: dict = {}  # id of a parameter -> how many of its numbers each process has
        self.depth = 0

    @torch.no_grad()
    def _same_everywhere(self):
        """Begin with the first process's weights, as DDP does."""
        self.model.to(self.strategy.root_device)
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            dist.broadcast(tensor.data, 0)

    def cut(self):
        """Keep of each slot what belongs to this process's piece of the weight."""
        self.strategy.mixed_precision = None
        counts = gather([p.numel() for p in self.parameters])
        columns = zip(*counts, strict=True)
        self.lengths = {id(p): c for p, c in zip(self.parameters, columns, strict=True)}
        trained = [id(p) for p in self.optimizer._params]
        held = [sum(self.lengths[key][r] for key in trained) for r in range(world())]
        if not all(held):
            raise ValueError(
                f"fit(strategy='fsdp') got a model of {sum(held)} trained numbers for "
                f"{world()} processes, and one of them would have none. Each needs some. Use "
                "strategy='ddp'."
            )
        for parameter, slot in self._slots():
            if slot.shape != parameter.shape:  # the whole, where there is one process
                slot.data = self._piece(slot, parameter)
            slot.data = slot.data.to(parameter.device)
        names = {id(p): (module, name) for module, name, p in self.places}
        found = self.model._find_penalties()
        self.penalties = [(rule, view, *names[id(p)]) for rule, view, p in found]

    def _slots(self):
        for tensors in self.optimizer._slots.values():
            yield from zip(self.optimizer._params, tensors, strict=True)

    def _bounds(self, parameter):
        lengths = self.lengths[id(parameter)]
        start = sum(lengths[: rank()])
        return start, start + lengths[rank()]

    def _piece(self, tensor, parameter):
        start, end = self._bounds(parameter)
        return _in_memory_order(tensor.data)[start:end].clone()

    def _joined(self, piece, parameter):
        """The whole tensor of all processes' pieces; where one has none it adds zeros."""
        shape, stride = self.layouts[id(parameter)]
        whole = torch.empty_strided(shape, stride, dtype=piece.dtype, device=piece.device)
        flat = _in_memory_order(whole).zero_()
        start, end = self._bounds(parameter)
        flat[start:end] = _in_memory_order(piece)
        dist.all_reduce(flat)
        return whole

    def _held(self):
        """(parameter, tensor) of all weights and slots."""
        yield from ((p, p) for p in self.parameters)
        yield from self._slots()

    @contextmanager
    def whole(self):
        """For a while all weights and slots are whole; what is changed in them is kept.

        Gradients, which are in pieces, are out of sight.
        """
        self.depth += 1
        if self.depth == 1:
            grads = [(p, p.grad) for p in self.parameters]
            for parameter, _ in grads:
                parameter.grad = None
            pieces = [(p, t, t.data) for p, t in self._held()]
            for parameter, tensor, piece in pieces:
                tensor.data = self._joined(piece, parameter)
            self.find_penalized()
        try:
            yield
            if self.depth == 1:
                for parameter, tensor, piece in pieces:
                    _in_memory_order(piece).copy_(self._piece(tensor, parameter))
        finally:
            self.depth -= 1
            if self.depth == 0 and self.lengths:
                for _, tensor, piece in pieces:
                    tensor.data = piece
                for parameter, grad in grads:
                    parameter.grad = grad

    def find_penalized(self):
        """Penalties are on what modules hold: in a step, whole tensors instead of parameters."""
        self.model.__dict__["_penalties"] = tuple(
            (rule, view, getattr(module, name)) for rule, view, module, name in self.penalties
        )

    def release(self, join=True):
        """Give the model its whole weights back, for good.

        Args:
            join: Whether the other processes do so, too; without them the weights are lost.
        """
        if not self.lengths:
            return
        put = self._joined if join else self._lost
        for parameter, tensor in self._held():
            if tensor.shape == self.layouts[id(parameter)][0]:  # an error in `backward` left it so
                tensor.data = self._piece(tensor, parameter)
            tensor.data = put(tensor.data, parameter)
        self.lengths = {}
        for parameter in self.parameters:
            parameter.grad = None
            parameter.__dict__.pop("_fsdp_flattened", None)  # or the next wrapper passes over it
        for module, name, parameter in self.places:  # an error may have left tensors there
            if module._parameters.get(name) is not parameter:
                delattr(module, name)
                setattr(module, name, parameter)
        for module in self.model.modules():
            for mark in ("_is_fsdp_managed_module", "_fsdp_use_orig_params"):
                module.__dict__.pop(mark, None)
        self.model.__dict__["_penalties"] = tuple(self.model._find_penalties())

    def _lost(self, piece, parameter):
        shape, stride = self.layouts[id(parameter)]
        whole = torch.empty_strided(shape, stride, dtype=piece.dtype, device=piece.device)
        return whole.fill_(float("nan"))

    def end(self):
        """After an error: join the pieces if all processes have come here by themselves."""
        self.strategy.mixed_precision = None
        if not self.lengths:
            return
        joined = False
        if _all_arrive():
            with suppress(RuntimeError):  # one has gone meanwhile
                self.release()
                joined = True
        if not joined:
            self.release(join=False)
            warnings.warn(
                "fit ended in one of several processes, and the pieces of the weights that the "
                "others hold are lost: this model's weights are NaN. Load the last file that "
                "ModelCheckpoint has written.",
                stacklevel=2,
            )


def _all_arrive():
    """Whether all processes get here within a short time: no one waits in the middle of a step."""
    with suppress(Exception):
        keys = [f"lightkeras/ended/{Sharded.runs}/{r}" for r in range(world())]
        store().set(keys[rank()], "yes")
        try:
            store().wait(keys, timedelta(seconds=_PATIENCE))
        except Exception:
            store().set(keys[rank()], "no")  # who comes later need not wait for this process
            return False
        return all(store().get(key) == b"yes" for key in keys)
    return False


def _in_memory_order(tensor):
    """The numbers of a dense tensor in one row, as they lie in memory; shares it."""
    return torch.as_strided(tensor, (tensor.numel(),), (1,))


def _refuse(what, accepted, remedy="Use strategy='ddp'."):
    raise ValueError(f"fit(strategy='fsdp') got {what}. {accepted} {remedy}")


def check_flags(model, trainer, group, ckpt):
    """Refuse what needs whole weights or gradients in the middle of a step.

    Args:
        group: Keras's callbacks.
        ckpt: Whether training is to go on from a `.ckpt` file.

    Raises:
        ValueError: there is something of the kind.
    """
    if not splits(trainer):
        return
    if ckpt:
        _refuse("a .ckpt file to go on from", "It holds an optimizer for whole weights.")
    strategy, precision = trainer.strategy, trainer.precision
    if model._overrides("train_step"):
        _refuse(
            f"{type(model).__name__}, which has a train_step() of its own",
            "It would see pieces of weights.",
        )
    given = _given(strategy)
    if given:
        _refuse(
            f"FSDPStrategy({', '.join(given)})",
            "The model is split as a whole, by FULL_SHARD.",
            "Leave the argument out.",
        )
    if precision not in ("32-true", "bf16-mixed"):
        _refuse(
            f"precision={precision!r}",
            "'32-true' and 'bf16-mixed' are accepted.",
            "Type precision='bf16-mixed'.",
        )
    flags = {
        "gradient_clip_val": trainer.gradient_clip_val,
        "accumulate_grad_batches": trainer.accumulate_grad_batches != 1,
        "sync_batchnorm": strategy._layer_sync is not None,
    }
    for name in [n for n, value in flags.items() if value]:
        _refuse(
            f"the flag {name}",
            "It needs whole gradients or wraps layers itself.",
            f"Leave {name} out, or use strategy='ddp'.",
        )
    for callback in (*trainer.callbacks, *group.callbacks):
        if isinstance(callback, _CALLBACKS) or _writes_ckpt(callback):
            _refuse(
                f"a {type(callback).__name__} that saves or averages Lightning's own way",
                "Callbacks that see whole weights are accepted.",
                "Use ModelCheckpoint('best.keras') or 'best.weights.h5'.",
            )


def _writes_ckpt(callback):
    return isinstance(callback, ModelCheckpoint) and str(callback.filepath).endswith(".ckpt")


def _given(strategy):
    """Arguments of FSDPStrategy that split in another way than `Sharded` knows."""
    given = [name for name in strategy.kwargs if name != "use_orig_params"]
    if not strategy.kwargs.get("use_orig_params", True):
        given.append("use_orig_params=False")
    if strategy.sharding_strategy.name != "FULL_SHARD":
        given.append(f"sharding_strategy={strategy.sharding_strategy.name!r}")
    if strategy._activation_checkpointing_kwargs:
        given.append("activation_checkpointing")
    if strategy.mixed_precision is not None:
        given.append("mixed_precision")
    if strategy.cpu_offload is not None and strategy.cpu_offload.offload_params:
        given.append("cpu_offload")
    return given


def _check_optimizer(optimizer):
    kind = type(optimizer)
    if kind not in _BY_NUMBER:
        names = ", ".join(rule.__name__ for rule in _BY_NUMBER)
        _refuse(
            f"the optimizer {kind.__name__}",
            f"Rules that treat each number by itself are accepted: {names}.",
            "Use one of them, or strategy='ddp'.",
        )
    for name in _OPTIONS:
        if getattr(optimizer, name):
            _refuse(
                f"{kind.__name__}({name}=)",
                "Options that need whole weights are not accepted.",
                f"Leave {name} out, or use strategy='ddp'.",
            )
    if optimizer._constraints:
        path = optimizer._paths[optimizer._constraints[0][0]]
        _refuse(f"a constraint on {path}", "Each process updates a piece of a weight only.")


def _check_weights(model):
    parameters = list(model.parameters())
    if len({p.dtype for p in parameters}) > 1:
        _refuse("weights of several dtypes", "One dtype for all is accepted.")
    if any(p.dim() == 0 for p in parameters):
        _refuse("a weight without axes", "Weights of shape (1,) or more are accepted.")
