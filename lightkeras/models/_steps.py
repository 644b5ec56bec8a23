"""One step of a model, in the parts that a user may override, and what comes before the first."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import torch

from lightkeras import _data, losses
from lightkeras import metrics as metrics_module
from lightkeras._step import Compiled, rows_of
from lightkeras._tree import map_structure
from lightkeras.layers import Layer
from lightkeras.layers._layer import _device_of, _pending, training_mode

__all__ = ["Steps"]


class Steps:
    """The steps of training and evaluation, and the metrics that they move."""

    _compiled: Compiled | None = None
    _penalties: tuple = ()  # (regularizer, view, parameter) of the weights that are trained

    def _overrides(self, name):
        return getattr(type(self), name) is not getattr(Steps, name)

    # ---- metrics ------------------------------------------------------------------------------

    @property
    def metrics(self):
        """Metrics: the loss's mean, those of `compile`, and those set as attributes."""
        found = []
        if self._compiled is not None:
            found.append(self._compiled.loss_mean)
            if self._compiled.config["metrics"] or self._compiled.config["weighted_metrics"]:
                found.append(self._compiled.metrics)
        return found + self._own_metrics()

    def _own_metrics(self):
        return [
            value
            for module in self.modules()
            for value in vars(module).values()
            if isinstance(value, metrics_module.Metric)
        ]

    def reset_metrics(self):
        """Start all metrics anew."""
        if self._compiled is not None:
            self._compiled.reset()
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self):
        """{name: value} of all metrics so far."""
        result = self._compiled.results() if self._compiled is not None else {}
        for metric in self._own_metrics():
            value = metric.result()
            result.update(value if isinstance(value, dict) else {metric.name: value})
        return result

    # ---- one batch, for overriding ------------------------------------------------------------

    def train_step(self, data):
        """One training step; override it for a loop of one's own.

        Args:
            data: `(x,)`, `(x, y)` or `(x, y, sample_weight)`, tensors.

        Returns:
            {name: value} to show and record.
        """
        self._train_batch(*_data.unpack(data))
        return self.get_metrics_result()

    def test_step(self, data):
        """One step of `evaluate` and of validation; override it where `train_step` needs it."""
        self._test_batch(*_data.unpack(data))
        return self.get_metrics_result()

    def predict_step(self, data):
        """Outputs for one batch of `predict`."""
        return self(_data.unpack(data)[0])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss to minimize, with what layers and regularizers add."""
        if self._compiled.parts is None:
            self._compiled.bind(self.output_names, y, y_pred)
        return self._compiled.loss(self, y, y_pred, sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Add a batch to the metrics; returns {name: value} so far."""
        self._compiled.update_metrics(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def _extra_losses(self):
        """Regularization terms, and what `add_loss` was given in this call."""
        terms = [regularizer(view.to_keras(p)) for regularizer, view, p in self._penalties]
        for layer in _pending:
            terms += layer._added_losses
        return terms

    def _loss_of(self, x, y, w):
        """(loss, outputs) of a batch; the loss is added to its mean."""
        y_pred = self(x)
        loss = self.compute_loss(x, y, y_pred, w)
        self._compiled.loss_mean.add(loss, rows_of(y_pred))
        return loss, y_pred

    def _train_batch(self, x, y=None, w=None):
        compiled = self._compiled
        loss, y_pred = self._loss_of(x, y, w)
        optimizer = compiled.optimizer
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        self._update_metrics(x, y, y_pred, w)

    def _test_batch(self, x, y=None, w=None):
        _, y_pred = self._loss_of(x, y, w)
        self._update_metrics(x, y, y_pred, w)

    def _update_metrics(self, x, y, y_pred, w):
        if self._overrides("compute_metrics"):
            with torch.no_grad():
                self.__dict__["_step_logs"] = self.compute_metrics(x, y, y_pred, w)
        else:
            self._compiled.update_metrics(y, y_pred, w)

    def _run_step(self, mode):
        """Function `(x, y, w)` of one train or test step: ours, or the user's."""
        if not self._overrides(f"{mode}_step"):
            return self._train_batch if mode == "train" else self._test_batch
        step = getattr(self, f"{mode}_step")

        def run(x, y=None, w=None):
            data = (x,) if y is None else (x, y) if w is None else (x, y, w)
            if _pending:
                self.clear_losses()
            self.__dict__["_step_logs"] = step(data)

        return run

    def _logs(self):
        """{name: float} of the epoch so far; reads tensors back from the device."""
        named = self.__dict__.get("_step_logs")
        if named is None:
            named = self._compiled.results()
        elif not self._overrides("train_step"):
            named = {**self._compiled.results(), **named}
        return dict(sorted(_floats(named).items()))

    # ---- getting ready ------------------------------------------------------------------------

    def _prepare(self, batches, training):
        """Before the first step: weights exist, losses and metrics are bound, targets are checked."""
        compiled = self._compiled
        self.__dict__["_step_logs"] = None
        own_step = self._overrides("train_step" if training else "test_step")
        if not (own_step and self.built) and (compiled.parts is None or not self.built):
            self._first_look(batches, own_step)
        if isinstance(batches, _data.Batches) and not own_step:
            self._check_targets(batches)
        if training:
            self._bind_optimizer()
        self.__dict__["_penalties"] = tuple(self._find_penalties())

    def _first_look(self, batches, own_step):
        """Run the first rows once, to build what is not built and to see the outputs' shapes."""
        x, y, _ = batches.peek()
        few = lambda t: None if t is None else t[:2]  # noqa: E731
        x, y = map_structure(few, x), map_structure(few, y)
        try:
            with torch.no_grad(), training_mode(self, False):
                y_pred = self(_to(x, _device_of(self)))
        except TypeError:
            if own_step:  # a model that is only trained by its own step need have no call()
                return
            raise
        self.clear_losses()
        if self._compiled.parts is None and not own_step:
            self._compiled.bind(self.output_names, y, y_pred)
            self._compiled.output_shape = map_structure(lambda t: tuple(t.shape), y_pred)

    def _check_targets(self, batches):
        part = self._compiled.single if self._compiled.parts else None
        y = getattr(batches, "y", None)
        if part is not None and isinstance(y, torch.Tensor) and part.loss is not None:
            losses.check_targets(part.loss, y, (None, *self._compiled.output_shape[1:]))

    def _bind_optimizer(self):
        compiled = self._compiled
        weights = [w for w in self.weights if w.requires_grad]
        if compiled.trained is None:
            compiled.trained = [p for p in self.parameters() if p.requires_grad]
        if isinstance(compiled.optimizer, torch.optim.Optimizer) and not hasattr(
            compiled.optimizer, "build"
        ):
            return  # a torch optimizer knows its parameters
        if weights and not getattr(compiled.optimizer, "built", False):
            compiled.optimizer = compiled.optimizer.build(weights)

    def _find_penalties(self):
        for module in self.modules():
            for row in module._rows if isinstance(module, Layer) else ():
                parameter = getattr(module, row.view.attribute)
                if parameter.regularizer is not None and parameter.requires_grad:
                    yield parameter.regularizer, row.view, parameter

    @contextmanager
    def _as_compiled(self):
        """What was trainable at `compile` is trained, where everything was frozen since.

        The GAN scripts of Keras 2 freeze the discriminator after compiling it and go on training
        it by its own `train_on_batch`.
        """
        trained = self._compiled.trained
        frozen = trained and not any(p.requires_grad for p in self.parameters())
        for p in trained if frozen else ():
            p.requires_grad_(True)
        try:
            yield
        finally:
            for p in trained if frozen else ():
                p.requires_grad_(False)


def _floats(named):
    """{name: number or tensor} to floats, with one read per device."""
    flat = {}
    for name, value in (named or {}).items():
        flat.update(value if isinstance(value, dict) else {name: value})
    tensors = {k: v for k, v in flat.items() if isinstance(v, torch.Tensor) and v.numel() == 1}
    if tensors:
        values = torch.stack([v.detach().reshape(()).double() for v in tensors.values()]).tolist()
        flat.update(zip(tensors, values, strict=True))
    return {k: float(v) if np.ndim(v) == 0 else v for k, v in flat.items()}


def _to(tree, device):
    return map_structure(lambda t: t.to(device) if isinstance(t, torch.Tensor) else t, tree)
