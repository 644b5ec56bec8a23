"""`compile(jit_compile=True)`: the whole training step, or the model's call, as compiled code.

A training step is recorded while it is taken: every tensor operation of the outputs, the loss,
the gradients, the update and the metrics becomes one graph, and torch's compiler makes one piece
of code of it. Where that is not possible the model's call alone is compiled, and where that is
not possible either it runs as it is.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from lightkeras._config import _outside
from lightkeras._tree import flatten, map_structure, pack
from lightkeras.metrics._torchmetrics import TorchMetric
from lightkeras.random import SeedGenerator

__all__ = ["CompiledCall", "CompiledStep", "train_step_of"]

_OPTIONS = {"fallback_random": True}  # random numbers are drawn as without compilation
_LARGEST = 4000  # operations; more (long unrolled recurrences) compile for minutes


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


def train_step_of(model, plain):
    """What takes training steps: `plain`, or a compiled step where `compile` asked for it."""
    compiled = model._compiled
    if not compiled.jit:
        return plain
    step = compiled.step
    if step is None or not step.fits():
        step = compiled.step = CompiledStep(model, plain)
    return plain if step.failed else step.begin()


class CompiledStep:
    """Takes training steps in compiled code; `plain` ones where there is none for a batch.

    A shape is recorded when it comes twice in a row: so the first step (which may still make or
    move state) and the smaller last batch of an epoch are taken as they are.

    Args:
        model: A model that is ready to be trained.
        plain: The function `(x, y, w)` of one step, not compiled.
    """

    def __init__(self, model, plain):
        self.model, self.plain = model, plain
        self.codes: dict[Any, Any] = {}  # shapes of a batch -> compiled code
        self.last: Any = None  # shapes of the batch before
        self.outputs: Any = None  # outputs of a step, where metrics are updated outside of it
        self.made_for = _signature(model)
        reason = _state_in_python(model)
        self.failed = reason is not None
        if reason is not None:
            _warn("The step", model, reason, "has only the call compiled")

    def fits(self):
        """Whether the codes still hold: same parameters, frozen or not, and same losses."""
        return self.made_for == _signature(self.model)

    def begin(self):
        """Look up the tensors that steps change; call it before a series of steps."""
        self.state = _state(self.model)
        device = self.state[0].device
        # In 64 bits, as Python's floats: near 1 the powers of Adam's betas need them.
        self.rate, self.count = torch.zeros(2, dtype=torch.float64, device=device).unbind()
        self.fixed = [t.detach() for t in self.state], [self.rate, self.count]
        self.cast = _autocast(device.type)
        return self

    def __call__(self, x, y=None, w=None):
        leaves = [t for t in flatten((x, y, w)) if t is not None]
        key = (self.cast, *[(t.shape, t.stride(), t.dtype) for t in leaves])
        code, before = self.codes.get(key), self.last
        self.last = key
        if code is not None:
            self._tell_rate()
            outputs = code(*self.fixed[0], *leaves, *self.fixed[1])
        elif self.failed or key != before:
            return self._plainly(x, y, w)
        else:
            outputs = self._first(key, leaves, (x, y, w))
        if outputs:
            self.model._update_metrics(x, y, pack(self.outputs, outputs), w)
        return None

    def _plainly(self, x, y, w):
        """A step without any compiled code, unless that of the call is all there is."""
        compiled = self.model._compiled
        call = compiled.run
        compiled.run = call if self.failed else None
        try:
            self.plain(x, y, w)
        finally:
            compiled.run = call

    def _tell_rate(self):
        rate, count = self.model._compiled.optimizer._begin_step()
        self.rate.fill_(rate)
        self.count.fill_(count)

    def _first(self, key, leaves, batch):
        """Take this step under a recorder and compile what was recorded; returns its outputs."""
        group = self.model._compiled.optimizer.param_groups[0]
        before, rng = [t.detach().clone() for t in self.state], torch.get_rng_state()
        numbers = {name: group[name] for name in ("lr", "iterations")}
        try:
            graph, outputs = self._record(leaves, batch)
            self.codes[key] = _compiled(graph, [*self.fixed[0], *leaves, *self.fixed[1]])
            return outputs
        except Exception as error:
            self.failed = True
            with torch.no_grad():
                for tensor, value in zip(self.state, before, strict=True):
                    tensor.copy_(value)
            torch.set_rng_state(rng)
            group.update(numbers)
            self.model.clear_losses()
            self._plainly(*batch)  # where the model itself is at fault, this says how
            _warn("The step", self.model, error, "has only the call compiled")
            return []

    def _record(self, leaves, batch):
        """(graph of the step, its outputs); the step is taken."""
        from torch.fx.experimental.proxy_tensor import make_fx

        model, optimizer, (x, y, w) = self.model, self.model._compiled.optimizer, batch
        inside, outputs = _all_recordable(model), []

        def step(*_):  # the recorder knows the tensors by their identity
            loss, y_pred = model._loss_of(x, y, w)
            if inside:
                model._update_metrics(x, y, y_pred, w)
            else:
                self.outputs = map_structure(lambda t: t.detach(), y_pred)
                outputs.extend(flatten(self.outputs))
            loss = optimizer.scale_loss(loss)
            grads = torch.autograd.grad(loss, optimizer._params, allow_unused=True)
            optimizer._recorded_step(grads, self.rate, self.count)
            return list(outputs)

        self._tell_rate()
        call, model._compiled.run = model._compiled.run, None
        try:
            with _NoReads():
                graph = make_fx(step)(*self.state, *leaves, self.rate, self.count)
        finally:
            model._compiled.run = call
        model.clear_losses()
        if len(graph.graph.nodes) > _LARGEST:
            raise RuntimeError(f"a step of {len(graph.graph.nodes)} operations is too long")
        after = _state(model)
        kept = len(after) == len(self.state) and all(
            a is b for a, b in zip(after, self.state, strict=True)
        )
        if not kept or _writes_elsewhere(graph):
            raise RuntimeError("a step changes tensors that are neither weights nor buffers")
        return graph, outputs


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


def _state(model):
    """Every tensor that a step may change, each once."""
    optimizer = model._compiled.optimizer
    slots = [t for tensors in optimizer._slots.values() for t in tensors]
    sums = [v for m in model._all_metrics() if _recordable(m) for v in m.variables]
    weights = [*model.parameters(), *model.buffers()]
    return list({id(t): t for t in [*weights, *slots, *optimizer._extras.values(), *sums]}.values())


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
