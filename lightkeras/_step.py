"""What `compile` asked for, and one step of it: outputs, loss, gradients, update, metrics.

`Compiled` is a plain object on the model, so that losses and metrics never turn up in
`state_dict`. A step reads nothing back: sums stay in tensors until `logs` is asked.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch

from lightkeras import losses, metrics, optimizers
from lightkeras._config import _outside
from lightkeras._outputs import Outputs
from lightkeras._tree import flatten, map_structure
from lightkeras.metrics._torchmetrics import separate

__all__ = ["Compiled", "CompiledMetrics", "LossMean", "rows_of"]


class LossMean(metrics.Mean):
    """The mean of the loss over rows; `add` is what a step calls."""

    def add(self, value, rows):
        """Add the mean `value` of so many rows."""
        value = value.detach()
        if value.device != self.total.device:
            self.to(value.device)
        self.total.add_(value, alpha=rows)
        self.count.add_(rows)


class Compiled:
    """The arguments of `compile`, resolved when the first outputs are seen.

    Args:
        optimizer, loss, loss_weights, metrics, weighted_metrics: As given to `compile`.
        options: The other arguments, kept for the config.
    """

    def __init__(self, optimizer, loss, loss_weights, metrics, weighted_metrics, **options):
        self.config = {
            "optimizer": optimizer,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            **options,
        }
        self.options = options
        self.scheduler = None
        self.optimizer = self._optimizer(optimizer)
        self.loss_mean = LossMean(name="loss")
        self.outputs = None  # their names and places, once they have been seen
        self.parts = None  # one _Part for each, likewise
        self.named = []  # (name in the logs, metric) of the parts
        self.on_bound: Callable[[], None] | None = None  # called when they are made
        self.seen = None  # shapes of x without its rows, for which `shapes` are those of outputs
        self.checked = False  # whether the last layers have been looked at
        self.metrics = CompiledMetrics(self)
        self.trained = None  # parameters that were trainable when the model was compiled
        self.steps = {}  # kind of step -> what takes it in compiled code, where that is asked for
        self.taken = {}  # kind of step -> what that knows of batches: plain values
        self.to_come = 0  # steps that `fit` has before it, where it may try out compiled ones
        self.said = set()  # why steps are not compiled, where a warning has said so
        self._check_identifiers()

    def _optimizer(self, given):
        """Our optimizer, a torch optimizer as it is, or the first of (optimizer, scheduler)."""
        if isinstance(given, (list, tuple)) and len(given) == 2:
            given, self.scheduler = given
        if isinstance(given, dict) and "optimizer" in given:
            self.scheduler = given.get("lr_scheduler")
            given = given["optimizer"]
        return optimizers.get(given)

    def scale_loss(self):
        """Put a `LossScaleOptimizer` around the optimizer, where it is one of ours."""
        mine, around = self.optimizer, optimizers.LossScaleOptimizer
        if isinstance(mine, optimizers.Optimizer) and not isinstance(mine, around):
            self.optimizer = around(mine, name="loss_scale_optimizer")

    def _check_identifiers(self):
        """Unknown names are refused here, not at the first batch."""
        for loss in flatten(self.config["loss"]):
            losses.resolve(loss, (1, 1), (1, 1))
        for metric in _metrics_in([self.config["metrics"], self.config["weighted_metrics"]]):
            metrics.resolve(metric, None, (1, 1), (1, 1))

    def __getstate__(self):
        # A copy compiles anew, and is not the one that several processes train.
        return {**self.__dict__, "steps": {}, "taken": {}, "on_bound": None}

    def say_plain(self, model, name, reason, limit=""):
        """Warn, once, that steps are not compiled though that was asked for.

        Args:
            model: The model.
            name: What the step is for: "training".
            reason: Why not, as a part of a sentence.
            limit: For what they are not, where others are.
        """
        if not self.jit or (name, reason) in self.said:  # "auto" asks for no more than can be
            return
        self.said.add((name, reason))
        warnings.warn(
            f"The {name} step of {model.name!r} is not compiled{limit}: {reason}. It runs as it "
            "is, with the same numbers; compiled are tensor operations, and Python's values as "
            "they were. Change that, or leave jit_compile=True out.",
            stacklevel=_outside(),
        )

    def steps_taken(self):
        """{kind of step: what is known of its batches}: plain values, for a restart."""
        for step in self.steps.values():
            step.remember()
        return self.taken

    def go_on(self, taken):
        """Take steps as they were taken when `steps_taken` gave this."""
        self.steps.clear()
        self.taken = dict(taken)

    def expect(self, steps, repeats=False):
        """Note how many steps are to come, for "auto".

        Args:
            steps: Their number, or 0.
            repeats: Whether every bit is to be as in another run: so no clock may decide.
        """
        self.to_come = 0 if repeats else steps
        if repeats and self.tries:
            self.steps.pop("train", None)

    @property
    def jit(self):
        """Whether steps are to be compiled."""
        return self._asked(True)

    @property
    def tries(self):
        """Whether those of a training are to be if it pays."""
        return self._asked("auto")

    def _asked(self, jit):
        return self.options.get("jit_compile") == jit and not self.options.get("run_eagerly")

    # ---- binding to outputs -------------------------------------------------------------------

    def bind(self, names, y, y_pred):
        """Make the losses and metrics of each output.

        Args:
            names: Names of the outputs, or [] for a model without a graph.
            y, y_pred: A batch of targets and outputs.
        """
        outs = flatten(y_pred)
        self.bound_to = names, _like(y), _like(y_pred)
        self.outputs = outputs = Outputs(y_pred, names)
        spread = {
            what: outputs.spread(self.config[what], what)
            for what in ("loss", "loss_weights", "metrics", "weighted_metrics")
        }
        judged = zip(*(spread[what] for what in spread if what != "loss_weights"), strict=True)
        outputs.judged = [any(given) for given in judged]
        targets = outputs.aligned(y, "y")
        self.parts = [
            _Part(outputs, i, {k: v[i] for k, v in spread.items()}, targets[i], outs[i])
            for i in range(len(outs))
        ]
        self.prefixed = outputs.named or len(outs) == 1
        self.named = _named_parts(self.parts, self._in_order(names, y_pred))
        plain = isinstance(y_pred, torch.Tensor) and (y is None or isinstance(y, torch.Tensor))
        self.single = self.parts[0] if plain else None  # the short way, without trees
        self.shapes = [tuple(t.shape) for t in outs]
        self.masked = [getattr(t, "_keras_mask", None) is not None for t in outs]
        if self.on_bound is not None:
            self.on_bound()

    def _in_order(self, names, y_pred):
        """The parts as their losses are listed in what `evaluate` returns: as Keras does."""
        given = self.config["loss"]
        if not isinstance(y_pred, dict) or (names and not isinstance(given, dict)):
            return self.parts
        order = list(given if isinstance(given, dict) else y_pred)
        order += y_pred.keys() - set(order)
        return sorted(self.parts, key=lambda part: order.index(part.path[0]))

    # ---- the step -----------------------------------------------------------------------------

    def loss(self, model, y, y_pred, w):
        """The loss to minimize: of all outputs, with what layers and regularizers add."""
        part = self.single
        if part is not None:
            loss = part.loss(y, y_pred, w) if part.loss is not None else None
            if part.weight is not None and loss is not None:
                loss = loss * part.weight
        else:
            loss = self._several(y, y_pred, w)
        extra = model._extra_losses()
        if extra:
            loss = sum(extra) if loss is None else loss + sum(extra)
        if loss is None:
            raise ValueError(
                "The model has no loss: compile() got none and no layer added one. A loss is a "
                "name, a "
                'function or an object. Type for example model.compile(loss="mse").'
            )
        return loss

    def _several(self, y, y_pred, w):
        targets = self.outputs.aligned(y, "y")
        weights = self.outputs.aligned(w, "sample_weight", spread=True)
        total = None
        for part, true, pred, weight in zip(
            self.parts, targets, flatten(y_pred), weights, strict=True
        ):
            if part.loss is None:
                continue
            value = part.loss(true, pred, weight)
            part.loss_mean.add(value, pred.shape[0])
            if part.weight is not None:
                value = value * part.weight
            total = value if total is None else total + value
        return total

    def update_metrics(self, y, y_pred, w):
        """Add a batch to all metrics."""
        part = self.single
        if part is not None:
            with torch.no_grad():
                for metric in part.metrics:
                    metric.update_state(y, y_pred)
                for metric in part.weighted_metrics:
                    metric.update_state(y, y_pred, w)
            return
        targets = self.outputs.aligned(y, "y")
        weights = self.outputs.aligned(w, "sample_weight", spread=True)
        with torch.no_grad():
            for part, true, pred, weight in zip(
                self.parts, targets, flatten(y_pred), weights, strict=True
            ):
                for metric in part.metrics:
                    metric.update_state(true, pred)
                for metric in part.weighted_metrics:
                    metric.update_state(true, pred, weight)

    # ---- reading ------------------------------------------------------------------------------

    def all_metrics(self):
        """(name in the logs, metric) of everything that adds up, the loss first."""
        return [("loss", self.loss_mean), *self.named]

    def names(self):
        """Names of what `evaluate` returns, in its order, which is Keras's.

        A metric's own name comes first, as often as it was given; what the logs call otherwise
        (`weighted_accuracy`, `output_accuracy`) follows, sorted.
        """
        if self.parts is None:
            given = _metrics_in([self.config["metrics"], self.config["weighted_metrics"]])
            return ["loss", *(metrics.resolve(m, None, (1, 1), (1, 1)).name for m in given)]
        logs = dict(self.all_metrics())
        kinds = ("metrics", "weighted_metrics")
        plain = [m.name for kind in kinds for part in self.parts for m in getattr(part, kind)]
        parts = [name for name, metric in self.named if isinstance(metric, LossMean)]
        listed = [name for name in ["loss", *plain, *parts] if name in logs]
        return [*listed, *sorted(logs.keys() - set(listed))]

    def results(self):
        """{name: tensor} of the values so far."""
        return {name: metric.result() for name, metric in self.all_metrics()}

    def reset(self):
        """Start all sums anew."""
        for _, metric in self.all_metrics():
            metric.reset_state()


class CompiledMetrics:
    """The metrics of `compile` as one metric, for a `train_step` of one's own."""

    name = "compile_metrics"

    def __init__(self, compiled):
        self._compiled = compiled

    @property
    def metrics(self):
        """They themselves, without the losses of outputs."""
        return [m for _, m in self._compiled.all_metrics() if not isinstance(m, LossMean)]

    def update_state(self, y, y_pred, sample_weight=None):
        """Add a batch to all of them."""
        if self._compiled.parts is None:
            self._compiled.bind([], y, y_pred)
        self._compiled.update_metrics(y, y_pred, sample_weight)

    def result(self):
        """{name: value} of all of them."""
        found = self._compiled.all_metrics()
        return {n: m.result() for n, m in found if m is not self._compiled.loss_mean}

    def reset_state(self):
        """Start their sums anew."""
        for _, metric in self._compiled.all_metrics()[1:]:
            metric.reset_state()

    @property
    def variables(self):
        return [v for _, m in self._compiled.all_metrics()[1:] for v in m.variables]


class _Part:
    """Loss, weight and metrics of output `i`."""

    def __init__(self, outputs, i, spec, y, y_pred):
        self.name, self.path = outputs.names[i], outputs.paths[i]
        several = len(outputs.paths) > 1
        self.place = outputs.place(i) if several else ""
        self.prefix = f"{self.name}_" if several and outputs.named else ""
        y_shape = None if y is None else tuple(y.shape)
        self.shape = shape = tuple(y_pred.shape)
        self.loss = None if spec["loss"] is None else losses.resolve(spec["loss"], y_shape, shape)
        self.weight = spec["loss_weights"]
        self.loss_mean = LossMean(name=f"{outputs.loss_name(i, self.loss)}_loss")
        self.metrics, self.weighted_metrics = (
            [metrics.resolve(m, self.loss, y_shape, shape) for m in _metrics_in(spec[what])]
            for what in ("metrics", "weighted_metrics")
        )


def _like(tree):
    """Two rows of zeros like each tensor of a tree: `bind` looks at shapes alone."""

    def rows(t):
        if not isinstance(t, torch.Tensor):
            return None
        return torch.zeros_like(t[:2] if t.ndim else t)

    return map_structure(rows, tree)


def _metrics_in(tree):
    """What stands for a metric in an argument of `compile`."""
    return [m for leaf in flatten(tree) if leaf is not None for m in separate(leaf)]


def _named_parts(parts, in_order):
    """(name in the logs, metric) of the outputs' losses, where there are several, and metrics.

    Args:
        parts: Of all outputs.
        in_order: The same as their losses are listed.
    """
    found: dict[str, metrics.Metric] = {}
    with_loss = [part for part in in_order if part.loss is not None]
    for part in with_loss if len(with_loss) > 1 else ():
        found[_free(part.loss_mean.name, found)] = part.loss_mean
    for what in ("metrics", "weighted_metrics"):
        for part in parts:
            for metric in getattr(part, what):
                name = part.prefix + metric.name
                if name in found and what == "weighted_metrics":
                    name = f"{part.prefix}weighted_{metric.name}"
                found[_free(name, found)] = metric
    return list(found.items())


def _free(name, taken):
    free, n = name, 1
    while free in taken:
        free, n = f"{name}_{n}", n + 1
    return free


def rows_of(y_pred):
    """Number of rows of a batch of outputs."""
    return y_pred.shape[0] if type(y_pred) is torch.Tensor else flatten(y_pred)[0].shape[0]
