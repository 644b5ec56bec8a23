"""What the processes that train one model tell each other: sums of metrics, logs, outputs."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from lightkeras._config import _outside
from lightkeras._ranks import gather
from lightkeras._step import LossMean
from lightkeras.metrics import Metric, TorchMetric

__all__ = ["agree", "averaged_logs", "in_order", "keep_sums", "last_logs", "moved_metrics"]


def agree(caller, batches):
    """Check that all processes call the same method with data of the same size.

    Raises:
        ValueError: they do not, so that the parts would not make a whole.
        RuntimeError: another process has ended, or calls nothing.
    """
    mine = (caller, batches.rows, batches.steps)
    try:
        calls = gather(mine)
    except RuntimeError:
        raise RuntimeError(
            f"{caller}() waited for the other processes, and they did not come. Its work is "
            f"shared, so each process has to call it. Take {caller}() out of `if rank == 0:`, and "
            "leave only the printing in it."
        ) from None
    if any(call != mine for call in calls):
        text = ", ".join(f"{who}() of {rows} rows, {steps} batches" for who, rows, steps in calls)
        raise ValueError(
            f"The processes call different things: {text}. Their work is shared, so each has to "
            "give all the data, the same everywhere. Leave out what divides it by rank."
        )


def moved_metrics(model):
    """Every metric that a step of the model may move, once."""
    metrics = [*model._all_metrics(), *model.metrics]
    return list({id(m): m for m in metrics if hasattr(m, "_merge")}.values())


def keep_sums(model, but=()):
    """A function that puts the metrics back as they are now, for a validation in between.

    Args:
        but: Metrics that are left alone.
    """
    undo = [metric._keep() for metric in moved_metrics(model) if not _is_in(metric, but)]
    logs = model.__dict__.get("_step_logs")

    def put_back():
        for step in undo:
            step()
        model.__dict__["_step_logs"] = logs

    return put_back


def last_logs(model, step):
    """Logs of a pass whose batches were dealt, and which is over: metrics keep the sums of all.

    Args:
        step: The number of this process's last batch, and 1; below 1 where it had none.
    """
    for metric in moved_metrics(model):
        if isinstance(metric, Metric) and not isinstance(metric, TorchMetric):
            _warn_elsewhere(metric)
    parts = gather((step, _logs(model, step > 0)))
    return max(parts, key=lambda part: part[0])[1]


def _warn_elsewhere(metric):
    """Warn of a metric whose numbers nobody can add up."""
    if not metric.variables:
        warnings.warn(
            f"The metric {metric.name!r} keeps its numbers outside of add_weight(), and each "
            "process has seen other batches. They cannot be combined: the value is that of some. "
            "Make its state with self.add_weight(name=...).",
            stacklevel=_outside(),
        )


def averaged_logs(model, share, same=()):
    """Logs of a pass whose batches were shared.

    What is no metric (a loss that a step of the user's own returns) is weighted by rows.

    Args:
        share: This process's part of the last batch; None where it had no row of the epoch.
        same: Metrics that have seen the batches whole, in each process.
    """
    put_back = keep_sums(model)  # training may go on with what this process alone has
    parts = gather((share, _logs(model, share is not None, same)))
    put_back()
    parts = [(share, logs) for share, logs in parts if share is not None]
    (_, logs), total = parts[0], sum(weight for weight, _ in parts)
    for name, value in logs.items():
        values = [part.get(name) for _, part in parts]
        if all(isinstance(v, float) for v in values) and any(v != value for v in values):
            logs[name] = sum(w * v for (w, _), v in zip(parts, values, strict=True)) / total
    return logs


def in_order(outputs):
    """Outputs of all batches, of those that were dealt to the processes in turn."""
    parts = gather(outputs)
    return [parts[i % len(parts)][i // len(parts)] for i in range(sum(map(len, parts)))]


def _logs(model, took_part, same=()):
    """Merge the sums of all processes; their logs, or None where this one had no batches."""
    metrics = moved_metrics(model)
    states = gather([m._local_state() for m in metrics] if took_part else None)
    own = model.__dict__.get("_step_logs") if took_part else None
    before = None if own is None else _results(metrics)
    for metric, parts in zip(metrics, zip(*filter(None, states), strict=True), strict=True):
        metric._merge(parts[:1] if _is_in(metric, same) else parts)
    if not took_part:
        return None
    logs = model._logs(over=True)
    if own is not None:
        logs.update(_read_again(logs, before, _results(metrics)))
    return logs


def _is_in(metric, metrics):
    return any(metric is other for other in metrics)


def _results(metrics):
    results = {}
    for metric in (m for m in metrics if not _is_untouched(m)):
        value = metric.result()
        results.update(value if isinstance(value, dict) else {metric.name: value})
    return {name: _plain(value) for name, value in results.items()}


def _plain(value):
    """A float, or an array of several values."""
    value = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    return float(value) if value.size == 1 else value


def _is_untouched(metric):
    """Whether it is the mean of the loss, and a step of the user's own has left it alone."""
    return isinstance(metric, LossMean) and not metric.count


def _read_again(logs, before, after):
    """(name, value) of what a step of the user's own read from metrics, as they are now.

    A metric is known by its name, or else by its value, where only one had that.
    """
    for name, value in list(logs.items()):
        names = (
            [name] if name in after else [k for k, v in before.items() if np.array_equal(v, value)]
        )
        if len(names) == 1:
            yield name, after[names[0]]
