"""`compile(jit_compile=True)`: whole steps as compiled code.

A step (of training, of evaluation, or the outputs alone) is recorded while it is taken: every
tensor operation of the outputs, the loss, the gradients, the update and the metrics becomes one
graph, and torch's compiler makes one piece of code of it. A recording keeps Python's numbers and
switches as they were, so a step is compiled only where they stay, and anew when they change.
Where a step cannot be compiled it runs as it is, and one warning says why.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch.optim import optimizer as torch_optimizer

from lightkeras import _ranks, config
from lightkeras._rng import rng_state, set_rng_state
from lightkeras._tree import flatten, map_structure, pack
from lightkeras.layers._shapes import device_of
from lightkeras.layers._weights import Weighted
from lightkeras.metrics._torchmetrics import TorchMetric
from lightkeras.models._auto import Trial
from lightkeras.models._recording import LARGEST, Recording
from lightkeras.models._replay import Replay, can_be_replayed
from lightkeras.models._watch import Watch

__all__ = ["compiled_step"]

_OPTIONS = {"fallback_random": True}  # random numbers are drawn as without compilation
_MOST = 8  # forms of batches, and changes in Python, for which one kind of step is compiled


def compiled_step(model, kind, plain):
    """What takes steps: `plain`, or compiled ones where `compile` asked for them.

    To be asked for again after anything but steps has run: callbacks, say.

    Args:
        model: A model that is ready for such steps.
        kind: "train", "test" or "predict".
        plain: The function `(x, y, w)` of one step, or `(x)` of the outputs.
    """
    compiled = model._compiled
    tries = compiled is not None and compiled.tries and kind == "train"
    if compiled is None or not (compiled.jit or tries) or not model.built:
        return plain
    step = compiled.steps.get(kind)
    if step is None:
        step = Trial(model, plain, TrainStep) if tries else _KINDS[kind](model, plain)
        compiled.steps[kind] = step
    return plain if step.failed else step.begin()


class _Step:
    """Takes steps in compiled code; `plain` ones where there is none for a batch.

    A form of batch is compiled when it comes twice in a row: so the first step (which may still
    make or move state) and the smaller last batch of an epoch are taken as they are. From then on
    steps of that form are compiled ones, in a training that goes on after it was killed, too: both
    give the same numbers, bit by bit.

    A kind of step defines `_body(x, y, w)`: the step in tensor operations, which returns a list
    of the outputs that are needed outside of it.
    """

    _body: Any
    _name = kind = ""
    _moves_metrics = True

    def __init__(self, model, plain):
        self.model, self.plain = model, plain
        self.places: dict[Any, dict] = {}  # surroundings -> the codes for them
        self.made: dict[Any, Any] = {}  # everything that a code depends on -> the code
        self.ran: set = set()  # Python's code objects that take part in a step
        self.watch: Watch | None = None
        self.changes = -1  # attributes set so far, when `watch` was last asked
        self.around: Any = None
        self.reason: Any = None  # what has changed, and made the codes useless
        self.steps = self.hasty = 0  # steps since a recording, recordings after few
        self.last: Any = None  # form of the batch before
        self.outputs: Any = None  # the form of the outputs, where they are needed outside
        fresh = {"forms": {}, "changes": 0, "last": None, "failed": None}
        self.memory = model._compiled.taken.setdefault(self.kind, fresh)
        self.state: list[Any] = []  # the tensors that steps read or change
        self.numbers: list[Any] = []  # what they are given anew each time, besides the batch
        self._note_parameters()
        self.failed = False
        reason = self.memory["failed"] or self._in_python()
        if reason is not None:
            self._give_up(reason)

    def _in_python(self):
        """What a step does that is no tensor operation on the model's tensors, or None."""
        for module in self.model.modules():
            if getattr(module, "stateful", False):
                return f"{module.name!r} is stateful: it keeps its states in Python"
        for name, p in self.model.named_parameters():
            if _is_heard(p):
                return f"a hook waits for the gradient of {name!r}"
            if p.device.type == "mps":
                return "it needs numbers of 64 bits, which this device has not"
        return None

    def remember(self):
        """Note in `memory` which form came last."""
        if self.last is not None:
            self.memory["last"] = str(self.last)

    # ---- before a series of steps ---------------------------------------------------------------

    def begin(self):
        """Look up the tensors that steps change, and the codes for what they are like."""
        self._look()
        if self.failed:
            return self.plain
        self._get_ready()
        self._bring_sums()
        if self.watch is None:
            self.state = self._state()
        self.faces = [t.detach() for t in self.state]
        self.around = self._surroundings()
        self.codes = self.places.setdefault(self.around, {})
        return self

    def _get_ready(self):
        """What comes before the tensors are looked up."""

    def _bring_sums(self):
        """Sums would come to the device at their first update: after they were looked up."""
        device = device_of(self.model)
        for metric in self.model._all_metrics() if self._moves_metrics else ():
            if _recordable(metric) and any(v.device != device for v in metric.variables):
                metric.to(device)

    def _surroundings(self):
        device = self.faces[0].device.type if self.faces else "cpu"
        tensors = [(t.shape, t.stride(), t.dtype, t.device) for t in self.faces]
        return (*_switches(device), *tensors)

    def _look(self):
        """Drop the codes if something in Python has changed since they were recorded."""
        self.changes = Weighted._changes
        changed = self.watch and self.watch.changed()
        if self.made_for != _signature(self.model, self.parameters):
            changed = "what is trained"
        if changed:
            self.reason = changed
            self._drop()
            self._note_parameters()
            reason = self._in_python()
            if reason is not None:
                self._give_up(reason)

    def _note_parameters(self):
        self.parameters = [*self.model.parameters()]
        self.made_for = _signature(self.model, self.parameters)

    def _drop(self):
        self.places.clear()
        self.codes, self.watch = self.places.setdefault(self.around, {}), None

    def _state(self):
        """Every tensor that a step reads or changes besides its batch, each once."""
        model = self.model
        metrics = model._all_metrics() if self._moves_metrics else []
        sums = [v for m in metrics if _recordable(m) for v in m.variables]
        weights = [*model.parameters(), *model.buffers()]
        return list({id(t): t for t in [*weights, *sums]}.values())

    # ---- a step ---------------------------------------------------------------------------------

    def __call__(self, x, y=None, w=None):
        if self.changes != Weighted._changes and self.begin() is not self:
            return self.plainly(x, y, w)
        leaves, form = _form(x, y, w)
        code = self.codes.get(form)
        if code is None:
            return self._without_code(form, leaves, (x, y, w))
        self.last = form
        self.steps += 1
        return self._run(code, leaves, (x, y, w))

    def _run(self, code, leaves, batch):
        function, more, self.outputs = code
        self._before()
        try:
            outputs = function(*self.faces, *leaves, *self.numbers, *more)
        except (RuntimeError, IndexError):
            self.plainly(*batch)  # where the batch is at fault, this says how
            raise
        return self._after(outputs, *batch)

    def _before(self):
        """Get ready for a step that is recorded or in compiled code."""

    def _after(self, outputs, x, y, w):
        """Do what is left after such a step; what the step returns."""

    def plainly(self, x, y, w):
        """A step as it is."""
        return self.plain(x, y, w)

    def _without_code(self, form, leaves, batch):
        """A step that is taken as it is, or compiled now."""
        if form is None and not self.failed:
            self._give_up("a batch is more than plain tensors")
        if self.failed:
            return self.plainly(*batch)
        text, forms, last = str(form), self.memory["forms"], self.last
        again, self.last = text == self.memory["last"] if last is None else form == last, form
        if again or text in forms:
            if text in forms or len(forms) < _MOST:
                return self._compile(form, text, leaves, batch)
            self._say(f" for more than {_MOST} shapes of batches", "each takes seconds and memory")
        return self.plainly(*batch)

    def _compile(self, form, text, leaves, batch):
        """Record and compile a step: the one that is taken here, if the form is a new one."""
        known, (before, undo) = text in self.memory["forms"], self._keep()
        try:
            recording = self._record(leaves, batch, before)
            if known and recording.reason:  # in a process that has just begun: now it is warm
                undo(python=False)
                self.model(batch[0])
                undo(python=False)
                recording = self._record(leaves, batch, Watch(self._roots()))
        except BaseException as error:
            undo()
            if not isinstance(error, Exception):
                raise
            outputs = self.plainly(*batch)  # where the model is at fault, this says how
            self._give_up(error)
            return outputs
        if known:
            undo()
        outputs = self.outputs
        code = None if recording.reason else self._code(form, text, recording, leaves)
        if recording.reason:
            self._give_up(recording.reason)
        elif code is not None:
            self.codes[form] = code
        if not known:
            self.outputs = outputs
            return self._after(recording.outputs, *batch)
        return self.plainly(*batch) if code is None else self._run(code, leaves, batch)

    def _keep(self):
        """(what Python holds, function that undoes what happens from now on)."""
        tensors, rng = [t.detach().clone() for t in self.state], rng_state()
        watch = Watch(self._roots())

        @torch.no_grad()
        def undo(python=True):
            for tensor, value in zip(self.state, tensors, strict=True):
                tensor.copy_(value)
            if python:
                watch.put_back()
            self.model.clear_losses()
            set_rng_state(rng)

        return watch, undo

    def _roots(self):
        return {"the model": self.model, "compile()": self.model._compiled.parts}

    def _record(self, leaves, batch, before):
        """Take a step under a recorder."""
        self._before()
        learns = self.kind == "train" and torch.is_grad_enabled()
        with torch.inference_mode(False), torch.set_grad_enabled(learns):
            recording = Recording(
                lambda: self._body(*batch), self.state, leaves, self.numbers, before
            )
        self.model.clear_losses()
        if recording.reason is None and not _same(self._state(), self.state):
            recording.reason = "a step changes which tensors the model has"
        return recording

    def _code(self, form, text, recording, leaves):
        """(compiled function, further tensors that it takes, form of the outputs), or None."""
        self.ran |= recording.ran
        self._note_parameters()
        memory, digest = self.memory, recording.digest()
        try:
            self.watch = Watch(self._roots(), self.ran)
            self._weigh(memory["forms"].get(text, digest) != digest)
            key = (self.around, form, digest)
            if key not in self.made:
                arguments = [*self.faces, *leaves, *self.numbers, *recording.more]
                batch = slice(len(self.faces), len(self.faces) + len(leaves))
                self.made[key] = _code_of(recording.graph, arguments, batch)
        except Exception as error:
            self._give_up(error)
            return None
        memory["forms"][text] = digest
        return self.made[key], recording.more, self.outputs

    def _weigh(self, changed):
        """Whether what changes in Python leaves something to gain.

        Raises:
            RuntimeError: it does not.
        """
        self.memory["changes"] += changed
        self.hasty = self.hasty + 1 if self.steps < 4 and self.reason else 0
        self.steps = 0
        if self.memory["changes"] > 2 * _MOST or self.hasty > 2 * _MOST:
            raise RuntimeError(f"{self.reason} changes too often, and each value is compiled anew")

    def _returned(self, y_pred):
        """The outputs as a list, and their form noted.

        Raises:
            RuntimeError: they carry a mask, which tensors out of compiled code do not.
        """
        if self._moves_metrics and any(hasattr(t, "_keras_mask") for t in flatten(y_pred)):
            raise RuntimeError("outputs that carry a mask go to a metric that is not Keras's")
        self.outputs = map_structure(lambda t: t.detach(), y_pred)
        return flatten(self.outputs)

    # ---- giving up ------------------------------------------------------------------------------

    def _give_up(self, reason):
        self.failed = True
        self.made.clear()
        self._drop()
        self.memory["failed"] = reason = _text(reason)
        self._say("", reason)

    def _say(self, limit, reason):
        self.model._compiled.say_plain(self.model, self._name, reason, limit)


class TrainStep(_Step):
    """Outputs, loss, gradients, update and metrics."""

    _name, kind = "training", "train"

    def _in_python(self):
        optimizer = self._optimizer
        if not getattr(optimizer, "_can_be_recorded", bool)():
            return f"{type(optimizer).__name__} with these options counts steps in Python"
        if _hooks(optimizer):
            return "a hook waits for the optimizer's steps"
        return super()._in_python()

    def _get_ready(self):
        optimizer = self._optimizer
        if optimizer._params and optimizer._moved():
            optimizer._relink()
        # In 64 bits, as Python's floats: near 1 the powers of Adam's betas need them.
        device = self.parameters[0].device if self.parameters else torch.device("cpu")
        if not self.numbers or self.numbers[0].device != device:
            self.numbers = list(torch.zeros(2, dtype=torch.float64, device=device).unbind())
        self.gradients = True  # there may be some, of a step as it is

    def _state(self):
        optimizer = self._optimizer
        slots = [t for tensors in optimizer._slots.values() for t in tensors]
        known = {id(t): t for t in [*super()._state(), *slots, *optimizer._extras.values()]}
        return list(known.values())

    def _roots(self):
        return {**super()._roots(), "the optimizer": self._optimizer}

    def _keep(self):
        groups = self._optimizer.param_groups
        numbers = [dict(group) for group in groups]
        watch, undo_tensors = super()._keep()

        def undo(python=True):
            undo_tensors(python)
            for group, kept in zip(groups, numbers, strict=True):
                group.update(kept)

        return watch, undo

    def _before(self):
        if self.gradients:  # nobody shall read old ones after a step that leaves none
            self._optimizer.zero_grad()
            self.gradients = False
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
        learned = [p for p in optimizer._params if p.requires_grad]  # some may be frozen since
        found = iter(torch.autograd.grad(loss, learned, allow_unused=True))
        grads = [next(found) if p.requires_grad else None for p in optimizer._params]
        optimizer._recorded_step(grads, *self.numbers)
        return outputs

    def _after(self, outputs, x, y, w):
        if outputs:
            self.model._update_metrics(x, y, pack(self.outputs, outputs), w)

    def plainly(self, x, y, w):
        self.gradients = True
        return self.plain(x, y, w)


class TestStep(_Step):
    """Outputs, loss and metrics."""

    _name, kind = "evaluation", "test"

    def _body(self, x, y, w):
        _, y_pred = self.model._loss_of(x, y, w, training=False)
        if not _all_recordable(self.model):
            return self._returned(y_pred)
        self.model._update_metrics(x, y, y_pred, w)
        return []

    _after = TrainStep._after


class PredictStep(_Step):
    """Outputs alone."""

    _name, kind = "prediction", "predict"
    _moves_metrics = False

    def _body(self, x, y, w):
        return self._returned(self.model(x))

    def plainly(self, x, y, w):
        return self.plain(x)

    def _after(self, outputs, x, y, w):
        return pack(self.outputs, outputs)


_KINDS = {step.kind: step for step in (TrainStep, TestStep, PredictStep)}


def _code_of(graph, arguments, batch):
    """A recorded step as code.

    Args:
        graph: The recording.
        arguments: Tensors as it will be given them.
        batch: Which of them are a batch, as a slice.
    """
    if not can_be_replayed(arguments):
        return _compiled(graph, arguments)
    code = graph  # torch's own kernels, launched together, do as well
    if len(graph.graph.nodes) <= LARGEST:
        with suppress(Exception):
            code = _compiled(graph, arguments)
    return Replay(code, batch)


def _compiled(graph, arguments):
    return torch._inductor.compile(graph, arguments, options=_OPTIONS)


# ---- what a code is for -------------------------------------------------------------------------


def _form(x, y, w):
    """(tensors of a batch, all about them that is built into a code); None: there can be none."""
    if (
        type(x) is torch.Tensor
        and type(y) is torch.Tensor
        and w is None
        and x is not y
        and not hasattr(x, "_keras_mask")
    ):
        return [x, y], (x.shape, x.stride(), x.dtype, y.shape, y.stride(), y.dtype)
    batch = (x, y, w)
    leaves = [t for t in flatten(batch) if t is not None]
    if any(type(t) is not torch.Tensor or hasattr(t, "_keras_mask") for t in leaves):
        return leaves, None
    ids = [id(t) for t in leaves]
    which = tuple(map(ids.index, ids))  # one tensor may be there twice
    return leaves, (_shape_of(batch), which, *[(t.shape, t.stride(), t.dtype) for t in leaves])


def _shape_of(tree):
    """The form of a tree without its leaves."""
    if isinstance(tree, dict):
        return tuple((key, _shape_of(value)) for key, value in tree.items())
    if isinstance(tree, (list, tuple)):
        return (type(tree).__name__, *map(_shape_of, tree))
    return tree is None


def _switches(device_type):
    """What else there is that changes what torch and the layers do."""
    autocast = torch.is_autocast_enabled(device_type)
    return (
        torch.get_autocast_dtype(device_type) if autocast else None,
        config.floatx(),
        config.epsilon(),
        config.image_data_format(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        torch.get_num_threads(),
        _ranks.share,
    )


def _signature(model, parameters):
    parameters = [(id(p), p.requires_grad, _is_heard(p)) for p in parameters]
    optimizer = model._compiled.optimizer
    return parameters, id(model._compiled.parts), id(optimizer), _hooks(optimizer)


def _hooks(optimizer):
    """Whether somebody wants to hear of steps."""
    own = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
    every = (
        torch_optimizer._global_optimizer_pre_hooks,
        torch_optimizer._global_optimizer_post_hooks,
    )
    return any(getattr(optimizer, name, ()) for name in own) or any(every)


def _is_heard(parameter):
    """Whether a hook waits for the gradient."""
    after = getattr(parameter, "_post_accumulate_grad_hooks", None)
    return bool(parameter._backward_hooks or after)


def _same(one, two):
    return len(one) == len(two) and all(a is b for a, b in zip(one, two, strict=True))


def _all_recordable(model):
    """Whether all metrics are tensor operations on sums of their own."""
    own = model._overrides("compute_metrics")
    return not own and all(_recordable(m) for m in model._all_metrics())


def _recordable(metric):
    ours = type(metric).__module__.startswith("lightkeras.")
    return ours and not isinstance(metric, TorchMetric)


def _text(reason):
    """A reason as a part of a sentence."""
    if not isinstance(reason, Exception):
        return reason
    text = str(reason).strip().partition("\n")[0]
    if "CxxCompiler" in type(reason).__name__ or "C++ compiler" in text:
        return "torch finds no C++ compiler; g++, clang++ or the one that CXX names would do"
    if type(reason) in (TypeError, RuntimeError):
        return text[:200].rstrip(".") or type(reason).__name__
    return f"{type(reason).__name__}: {text[:100]}" if text else type(reason).__name__
