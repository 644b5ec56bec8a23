"""`compile(jit_compile=True)`: whole steps as compiled code.

A step (of training, of evaluation, or the outputs alone) is recorded while it is taken: every
tensor operation of the outputs, the loss, the gradients, the update and the metrics becomes one
graph, and torch's compiler makes one piece of code of it. A training step for which that is not
possible, or which Lightning takes by itself, has the model's call compiled, and where that is not
possible either it runs as it is.
"""

from __future__ import annotations

import operator
import warnings
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from lightkeras._config import _outside
from lightkeras._tree import flatten, map_structure, pack
from lightkeras.metrics._torchmetrics import TorchMetric
from lightkeras.models._fused import keep_fused
from lightkeras.random import SeedGenerator

__all__ = ["CompiledCall", "compiled_step"]

_OPTIONS = {"fallback_random": True}  # random numbers are drawn as without compilation
_LARGEST = 1500  # operations; more (long unrolled recurrences) compile for minutes


class CompiledCall:
    """Calls a model compiled; as it is from the first time that this fails.

    It stands beside the model, not in it or around it: names in `state_dict` stay, and so do
    copies and pickles.

    Args:
        model: A built model.
    """

    def __init__(self, model):
        self.model = model
        self.run = torch.compile(model.__call__, options=_OPTIONS)

    def __call__(self, x):
        if self.run is None:
            return self.model(x)
        try:
            return self.run(x)
        except Exception as error:
            outputs = self.model(x)  # where the model itself is at fault, this says how
            self.run = None
            _warn("The call", self.model, error, "runs as it is")
            return outputs


def compiled_step(model, kind, plain):
    """What takes steps: `plain`, or compiled ones where `compile` asked for them.

    Args:
        model: A model that is ready for such steps.
        kind: "train", "test" or "predict".
        plain: The function `(x, y, w)` of one step, or `(x)` of the outputs.
    """
    compiled = model._compiled
    if compiled is None or not compiled.jit or not model.built:
        return plain
    step = compiled.steps.get(kind)
    if step is None or not step.fits():
        step = compiled.steps[kind] = _KINDS[kind](model, plain)
    return plain if step.failed else step.begin()


class _Step:
    """Takes steps in compiled code; `plain` ones where there is none for a batch.

    A shape is recorded when it comes twice in a row: so the first step (which may still make or
    move state) and the smaller last batch of an epoch are taken as they are.

    A kind of step defines `_body(x, y, w)`: the step in tensor operations, which returns a list
    of the outputs that are needed outside of it.
    """

    _body: Any

    def __init__(self, model, plain):
        self.model, self.plain = model, plain
        self.codes: dict[Any, Any] = {}  # shapes of a batch -> compiled code
        self.last: Any = None  # shapes of the batch before
        self.outputs: Any = None  # the form of the outputs, where they are needed outside
        self.made_for = _signature(model)
        self.failed = False
        reason = self._in_python()
        if reason is not None:
            self._give_up(reason)

    def _in_python(self):
        """What a step changes that is no tensor of the model's, or None."""
        for module in self.model.modules():
            if getattr(module, "stateful", False):
                return f"{module.name!r} is stateful: it keeps its states in Python"
        return None

    def fits(self):
        """Whether the codes still hold: same parameters, frozen or not, and same losses."""
        return self.made_for == _signature(self.model)

    def begin(self):
        """Look up the tensors that steps change; call it before a series of steps."""
        self.state = self._state()
        self.numbers: list[Any] = []
        self.faces = [t.detach() for t in self.state]
        self.cast = _autocast(self.state[0].device.type) if self.state else None
        return self

    def __call__(self, x, y=None, w=None):
        leaves = [t for t in flatten((x, y, w)) if t is not None]
        key = (self.cast, *[(t.shape, t.stride(), t.dtype) for t in leaves])
        code, before = self.codes.get(key), self.last
        self.last = key
        if code is not None:
            self._before()
            outputs = code(*self.faces, *leaves, *self.numbers)
        elif self.failed or key != before:
            return self._plainly(x, y, w)
        else:
            taken, outputs = self._first(key, leaves, (x, y, w))
            if not taken:
                return self._plainly(x, y, w)  # where the model is at fault, this says how
        return self._after(outputs, x, y, w)

    def _before(self):
        """Get ready for a step."""

    def _after(self, outputs, x, y, w):
        """Do what is left after a step in compiled code; what the step returns."""

    def _state(self):
        """Every tensor that a step reads or changes besides its batch, each once."""
        model = self.model
        metrics = model._all_metrics() if self._moves_metrics else []
        sums = [v for m in metrics if _recordable(m) for v in m.variables]
        return list({id(t): t for t in [*_weights(model), *sums]}.values())

    _moves_metrics = True

    def _plainly(self, x, y, w):
        """A step without compiled code."""
        with _without_call(self.model._compiled):
            return self.plain(x, y, w)

    def _first(self, key, leaves, batch):
        """Take a step under a recorder and compile it: (whether that worked, its outputs)."""
        before, rng = [t.detach().clone() for t in self.state], torch.get_rng_state()
        try:
            graph, outputs = self._record(leaves, batch)
            self.codes[key] = _compiled(graph, [*self.faces, *leaves, *self.numbers])
            return True, outputs
        except Exception as error:
            self._give_up(error)
            with torch.no_grad():
                for tensor, value in zip(self.state, before, strict=True):
                    tensor.copy_(value)
            torch.set_rng_state(rng)
            self.model.clear_losses()
            return False, []

    def _give_up(self, reason):
        self.failed = True
        _warn(f"The {self._name} step", self.model, reason, self._instead)

    _name, _instead = "", "runs as it is"

    def _record(self, leaves, batch):
        """(graph of a step, its outputs); the step is taken."""
        from torch.fx.experimental.proxy_tensor import make_fx

        if any(type(t) is not torch.Tensor for t in leaves):
            raise TypeError("strings are no numbers")
        outputs: list[Any] = []

        def step(*_):  # the recorder knows the tensors by their identity
            outputs[:] = self._body(*batch)
            return list(outputs)

        self._before()
        with _NoReads(), _without_call(self.model._compiled):
            graph = make_fx(step)(*self.state, *leaves, *self.numbers)
        keep_fused(graph)
        self.model.clear_losses()
        if len(graph.graph.nodes) > _LARGEST:
            raise RuntimeError(f"a step of {len(graph.graph.nodes)} operations is too long")
        after = self._state()
        kept = len(after) == len(self.state) and all(map(operator.is_, after, self.state))
        if not kept or _writes_elsewhere(graph):
            raise RuntimeError("a step changes tensors that are neither weights nor buffers")
        return graph, outputs

    def _returned(self, y_pred):
        """The outputs as a list, and their form noted."""
        self.outputs = map_structure(lambda t: t.detach(), y_pred)
        return flatten(self.outputs)


class TrainStep(_Step):
    """Outputs, loss, gradients, update and metrics."""

    _name, _instead = "training", "has only the call compiled"

    def _in_python(self):
        return super()._in_python() or _state_in_python(self.model)

    def begin(self):
        super().begin()
        # In 64 bits, as Python's floats: near 1 the powers of Adam's betas need them.
        device = self.state[0].device
        self.numbers = list(torch.zeros(2, dtype=torch.float64, device=device).unbind())
        return self

    def _state(self):
        optimizer = self.model._compiled.optimizer
        slots = [t for tensors in optimizer._slots.values() for t in tensors]
        known = {id(t): t for t in [*super()._state(), *slots, *optimizer._extras.values()]}
        return list(known.values())

    def _before(self):
        for tensor, number in zip(self.numbers, self._optimizer._begin_step(), strict=True):
            tensor.fill_(number)

    @property
    def _optimizer(self):
        return self.model._compiled.optimizer

    def _body(self, x, y, w):
        model, optimizer, outputs = self.model, self._optimizer, []
        loss, y_pred = model._loss_of(x, y, w)
        if _all_recordable(model):
            model._update_metrics(x, y, y_pred, w)
        else:
            outputs = self._returned(y_pred)
        loss = optimizer.scale_loss(loss)
        grads = torch.autograd.grad(loss, optimizer._params, allow_unused=True)
        optimizer._recorded_step(grads, *self.numbers)
        return outputs

    def _after(self, outputs, x, y, w):
        if outputs:
            self.model._update_metrics(x, y, pack(self.outputs, outputs), w)

    def _plainly(self, x, y, w):
        if self.failed:  # with the call compiled
            return self.plain(x, y, w)
        return super()._plainly(x, y, w)

    def _first(self, key, leaves, batch):
        group = self._optimizer.param_groups[0]
        numbers = {name: group[name] for name in ("lr", "iterations")}
        taken, outputs = super()._first(key, leaves, batch)
        if not taken:
            group.update(numbers)
        return taken, outputs


class TestStep(_Step):
    """Outputs, loss and metrics."""

    _name = "evaluation"

    def _body(self, x, y, w):
        _, y_pred = self.model._loss_of(x, y, w, training=False)
        if not _all_recordable(self.model):
            return self._returned(y_pred)
        self.model._update_metrics(x, y, y_pred, w)
        return []

    _after = TrainStep._after


class PredictStep(_Step):
    """Outputs alone."""

    _name = "prediction"
    _moves_metrics = False

    def _body(self, x, y, w):
        return self._returned(self.model(x))

    def _plainly(self, x, y, w):
        return self.plain(x)

    def _after(self, outputs, x, y, w):
        return pack(self.outputs, outputs)


_KINDS = {"train": TrainStep, "test": TestStep, "predict": PredictStep}


@contextmanager
def _without_call(compiled):
    """Inside the `with` block the model runs as it is, without its compiled call."""
    call, compiled.run = compiled.run, None
    try:
        yield
    finally:
        compiled.run = call


def _compiled(graph, arguments):
    return torch._inductor.compile(graph, arguments, options=_OPTIONS)


class _NoReads(TorchFunctionMode):
    """Inside, a tensor's values cannot leave it: a recorded step would keep them for ever."""

    _READS = ("item", "tolist", "numpy", "__array__", "__bool__", "__float__", "__int__", "nonzero")

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in self._READS:
            raise RuntimeError(f"a step reads the values of a tensor ({name})")
        return func(*args, **(kwargs or {}))


def _writes_elsewhere(graph):
    """Whether a recorded graph changes a tensor in place that it neither got nor made."""
    foreign = set()
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            foreign.add(node)
        if not isinstance(node.target, torch._ops.OpOverload):
            continue
        for value, argument in zip(node.args, node.target._schema.arguments, strict=False):
            alias = argument.alias_info
            if alias is not None and not foreign.isdisjoint(map(_hashable, flatten(value))):
                if alias.is_write:
                    return True
                foreign.add(node)  # a view
    return False


def _hashable(value):
    return value if isinstance(value, torch.fx.Node) else None


def _state_in_python(model):
    """What of a step is no tensor, so that compiled code could not change it; None: nothing."""
    optimizer = model._compiled.optimizer
    if not getattr(optimizer, "_can_be_recorded", bool)():
        return f"{type(optimizer).__name__} with these options counts steps in Python"
    for module in model.modules():
        if any(isinstance(v, SeedGenerator) for v in vars(module).values()):
            return f"{module.name!r} has a seed of its own, which counts its draws in Python"
    return None


def _signature(model):
    parameters = [(id(p), p.requires_grad) for p in model.parameters()]
    return parameters, id(model._compiled.parts), id(model._compiled.optimizer)


def _weights(model):
    return [*model.parameters(), *model.buffers()]


def _all_recordable(model):
    """Whether all metrics are tensor operations on sums of their own."""
    own = model._overrides("compute_metrics")
    return not own and all(_recordable(m) for m in model._all_metrics())


def _recordable(metric):
    ours = type(metric).__module__.startswith("lightkeras.")
    return ours and not isinstance(metric, TorchMetric)


def _autocast(device_type):
    on = torch.is_autocast_enabled(device_type)
    return torch.get_autocast_dtype(device_type) if on else None


def _warn(what, model, reason, instead):
    if isinstance(reason, Exception):
        text = str(reason).strip().partition("\n")[0]
        reason = f"{type(reason).__name__}: {text[:100]}" if text else type(reason).__name__
    warnings.warn(
        f"{what} of {model.name!r} cannot be compiled ({reason}) and {instead}: the numbers are "
        "the same. torch.compile needs a C++ compiler on the CPU, and tensor operations "
        "throughout. Change that, or leave jit_compile=True out.",
        stacklevel=_outside(),
    )
