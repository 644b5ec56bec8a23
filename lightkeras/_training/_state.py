"""The whole state of a training: taken into a tree of plain values, and put back."""

from __future__ import annotations

import warnings

import torch

from lightkeras._rng import generators, rng_state, set_rng_state
from lightkeras._together import moved_metrics
from lightkeras._training._attributes import changed, set_attributes
from lightkeras._training._backup import packed, unpacked
from lightkeras._tree import map_structure
from lightkeras.metrics._torchmetrics import TorchMetric
from lightkeras.optimizers import parameter_of

__all__ = [
    "bind",
    "bound_to",
    "callback_states",
    "data_of",
    "generators_of",
    "keyed",
    "load_optimizer",
    "optimizer_state",
    "optimizers_of",
    "own_part",
    "plain_optimizer_state",
    "put_back",
    "put_back_callbacks",
    "put_back_own",
    "put_back_random",
    "random_part",
    "shared_part",
]


def generators_of(fit):
    """The generators of layers and of the data's own objects."""
    owners = dict(fit.model.named_modules())
    for name, batches in data_of(fit).items():
        owners.update((f"{name} {i}", source) for i, source in enumerate(batches.sources()))
    return generators(owners)


def data_of(fit):
    """{name: batches} of the data."""
    pairs = {"x": fit.train_batches, "validation_data": fit.val_batches}
    return {name: batches for name, batches in pairs.items() if batches is not None}


# ---- what all processes share -----------------------------------------------------------------


def shared_part(fit):
    """Weights, optimizers, schedulers, callbacks, counts: the same in every process."""
    model, trainer = fit.model, fit.trainer
    scheduler, precision = model._compiled.scheduler, trainer.precision_plugin.state_dict()
    return {
        "tensors": {n: packed(t, n) for n, t in _tensors(model)},
        "states": {n: packed(s, n) for n, s in _recurrent_states(model)},
        "optimizers": {n: optimizer_state(model, o) for n, o in optimizers_of(model)},
        "scheduler": scheduler and packed(scheduler.state_dict(), "the scheduler's state"),
        "callbacks": callback_states(fit.group.callbacks),
        "lightning": callback_states(trainer.callbacks),
        "precision": packed(precision, "the precision plugin's state"),
        "steps": packed(model._compiled.steps_taken(), "the forms of batches"),
        "progress": _progress(trainer),
        "logs": packed([fit.val_logs, fit.last_logs], "logs"),
        "step": fit.step,
        "stop": bool(model.stop_training or trainer.should_stop),
    }


def _tensors(model):
    yield from model.named_parameters()
    yield from model.named_buffers()


def _recurrent_states(model):
    for name, module in model.named_modules():
        if getattr(module, "stateful", False) and "states" in vars(module):
            yield name, module.states


def optimizers_of(model):
    """(name, optimizer): that of `compile`, and those that are attributes."""
    yield "optimizer", model._compiled.optimizer
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if isinstance(value, torch.optim.Optimizer):
                yield f"{name}.{attribute}", value


def optimizer_state(model, optimizer):
    """The state and the names of the parameters; None of one that has none yet."""
    found = plain_optimizer_state(model, optimizer)
    return found and {**found, "state": packed(found["state"], "the optimizer's state")}


def plain_optimizer_state(model, optimizer):
    """The same, of whatever the optimizer keeps."""
    if optimizer is None or not any(g["params"] for g in optimizer.param_groups):
        return None
    names = {id(p): n for n, p in model.named_parameters()}
    owned = [names.get(id(p)) for g in optimizer.param_groups for p in g["params"]]
    return {"names": owned, "state": optimizer.state_dict()}


def keyed(callbacks):
    """(key, callback): the class's name, with a number where it is there more than once."""
    seen: dict = {}
    for callback in callbacks:
        name = type(callback).__name__
        seen[name] = seen.get(name, 0) + 1
        yield f"{name} {seen[name]}", callback


def callback_states(callbacks):
    """{key: state} of those that have one."""
    found = {}
    for key, callback in keyed(callbacks):
        state = callback.state_dict() if hasattr(callback, "state_dict") else None
        if state:
            found[key] = packed(state, f"state_dict() of {type(callback).__name__}")
    return found


def _counters(trainer):
    """Lightning's counts, by name."""
    loop = trainer.fit_loop.epoch_loop
    return {
        "batches": loop.batch_progress,
        "schedulers": loop.scheduler_progress,
        "automatic": loop.automatic_optimization.optim_progress,
        "manual": loop.manual_optimization.optim_step_progress,
    }


def _for_both_ways(counts):
    """`counts`, in which Lightning's two ways to take steps have counted the same.

    With other callbacks, a training may go on in the other way.
    """
    automatic = counts["automatic"]["optimizer"]
    steps = max(automatic["step"], counts["manual"], key=lambda c: c["total"]["completed"])
    optimizer = {**automatic, "step": steps}
    return {**counts, "manual": steps, "automatic": {"optimizer": optimizer}}


def _progress(trainer):
    counts = {name: counter.state_dict() for name, counter in _counters(trainer).items()}
    return {"stepped": trainer.fit_loop.epoch_loop._batches_that_stepped, "counts": counts}


# ---- what each process has for itself ---------------------------------------------------------


def own_part(fit):
    """Random numbers, sums of metrics, gradients that add up, place in the data."""
    return {
        "rng": packed(rng_state(), "the state of the random numbers"),
        "generators": packed(generators_of(fit).state(), "the state of the generators"),
        "bound": packed(bound_to(fit.model), "outputs"),
        "metrics": [_metric_state(m) for m in moved_metrics(fit.model)],
        "step_logs": packed(fit.model.__dict__.get("_step_logs"), "logs of train_step"),
        "gradients": _gradients(fit),
        "attributes": changed(fit.model, fit.marks),
        "part": None if fit.parts is None else [fit.parts.weight, fit.parts.had_rows],
        "data": {n: packed(b.state_dict(), n) for n, b in data_of(fit).items()},
    }


def bound_to(model):
    """What losses and metrics were made for, where a step of the user's own has brought it."""
    if not model._overrides("train_step") or model._compiled.parts is None:
        return None
    return model._compiled.bound_to


def bind(model, bound):
    """Make the losses and metrics of `bound_to`, if there are none: they are to be put back."""
    if bound is not None and model._compiled.parts is None:
        model._compiled.bind(*bound)


def _metric_state(metric):
    if isinstance(metric, TorchMetric):
        return [packed(_inner_state(part), metric.name) for part in metric._parts()]
    return [packed(v, metric.name).clone() for v in metric.variables]


def _inner_state(part):
    """The state of a metric of torchmetrics: tensors, or lists of them that grow."""
    values = {n: map_structure(torch.clone, getattr(part, n)) for n in part._defaults}
    return {"updates": part._update_count, "values": values}


def _set_metric_state(metric, state):
    if isinstance(metric, TorchMetric):
        for part, saved in zip(metric._parts(), state, strict=True):
            part._update_count, part._computed = saved["updates"], None
            for name, value in saved["values"].items():
                setattr(part, name, _on(value, part.device))
        return
    if len(metric.variables) < len(state):
        raise ValueError(
            f"The backup holds {len(state)} variables of the metric {metric.name!r}, which has "
            f"{len(metric.variables)} before its first update. Those made in __init__() are put "
            "back. Call add_variable() there."
        )
    for variable, value in zip(metric.variables, state, strict=True):
        variable.data = value.to(variable.device)


def _show_two_rows(fit, metrics, states):
    """Some metrics make their sums at their first update, by the shapes that they see."""
    plain = [(m, s) for m, s in zip(metrics, states, strict=True) if not isinstance(m, TorchMetric)]
    if any(len(metric.variables) < len(state) for metric, state in plain):
        x, y, w = (map_structure(_two, part) for part in fit.train_batches.peek())
        fit.model._update_metrics(x, y, fit.model._few_outputs(x), w)


def _two(rows):
    return None if rows is None else rows[:2]


def _gradients(fit):
    """Gradients that wait for more: Lightning adds up, or a `train_step` of the user's may."""
    waiting = fit.trainer.accumulate_grad_batches > 1 or fit.model._overrides("train_step")
    if not waiting:
        return {}
    return {n: p.grad for n, p in fit.model.named_parameters() if p.grad is not None}


def random_part(fit):
    """What `own_part` has of random numbers, for a place between two epochs."""
    return {
        "rng": packed(rng_state(), "the state of the random numbers"),
        "generators": packed(generators_of(fit).state(), "the state of the generators"),
        "data": {n: packed(b.state_dict(), n) for n, b in data_of(fit).items()},
    }


# ---- back -------------------------------------------------------------------------------------


@torch.no_grad()
def put_back(fit, state):
    """Put back what `shared_part` took; Lightning's callbacks have theirs already."""
    model, trainer = fit.model, fit.trainer
    for name, tensor in _tensors(model):
        tensor.copy_(state["tensors"][name])
    for name, module in model.named_modules():
        if name in state["states"]:
            module.__dict__["states"] = _on(state["states"][name], fit.device)
    if state["scheduler"] is not None:
        model._compiled.scheduler.load_state_dict(state["scheduler"])
    for name, optimizer in optimizers_of(model):
        load_optimizer(model, optimizer, state["optimizers"].get(name))
    model._compiled.go_on(state.get("steps", {}))
    trainer.precision_plugin.load_state_dict(state["precision"])
    put_back_callbacks(fit.group.callbacks, state["callbacks"])
    counts = _for_both_ways(state["progress"]["counts"])
    for name, counter in _counters(trainer).items():
        counter.load_state_dict(counts[name])
    trainer.fit_loop.epoch_loop._batches_that_stepped = state["progress"]["stepped"]
    fit.__dict__.update(val_logs=dict(state["logs"][0]), last_logs=dict(state["logs"][1]))
    fit.__dict__["step"] = state["step"]
    model.__dict__["stop_training"] = state["stop"]


def _on(tensors, device):
    return map_structure(lambda t: None if t is None else t.to(device), tensors)


def load_optimizer(model, optimizer, saved):
    """Give an optimizer what `optimizer_state` took; it is built if it has not been yet."""
    if saved is None:
        return
    if not getattr(optimizer, "built", True):  # it is made with the first step
        weights = {id(parameter_of(w)): w for w in model.weights}
        parameters = dict(model.named_parameters())
        named = [parameters[n] for n in saved["names"]]
        optimizer.build([weights.get(id(p), p) for p in named])
    optimizer.load_state_dict(saved["state"])


def put_back_callbacks(callbacks, states, what="backup"):
    """Give callbacks what their `state_dict` had given, which stands in a backup or a file."""
    named = dict(keyed(callbacks))
    for key, state in states.items():
        if key in named:
            named[key].load_state_dict(state)
        else:
            warnings.warn(
                f"The {what} holds the state of {key.rpartition(' ')[0]}(), which is not among the "
                "callbacks any more. It is left out.",
                stacklevel=2,
            )


@torch.no_grad()
def put_back_own(fit, state):
    """Put back what `own_part` took; the random numbers last."""
    bind(fit.model, state.get("bound"))
    metrics = moved_metrics(fit.model)
    _show_two_rows(fit, metrics, state["metrics"])
    for metric, values in zip(metrics, state["metrics"], strict=True):
        _set_metric_state(metric, values)
    fit.model.__dict__["_step_logs"] = state["step_logs"]
    set_attributes(fit.model, state["attributes"], fit.device)
    if fit.parts is not None:
        fit.parts.weight, fit.parts.had_rows = state["part"]
    parameters = dict(fit.model.named_parameters())
    for name, gradient in state["gradients"].items():
        parameters[name].grad = gradient.to(parameters[name].device)
    for name, batches in data_of(fit).items():
        batches.load_state_dict(state["data"][name])
    generators_of(fit).put_back(state["generators"])
    set_rng_state(state["rng"])


def put_back_random(fit, state):
    """Put back what `random_part` took.

    Data may be of another kind than then, and what is endless goes on where the script begins it.
    """
    state = unpacked(state)
    for name, batches in data_of(fit).items():
        then = state["data"].get(name, {})
        if then.keys() == batches.state_dict().keys() and not then.get("lasts"):
            batches.load_state_dict(then)
    generators_of(fit).put_back(state["generators"])
    set_rng_state(state["rng"])
