"""One step of a model, in the parts that a user may override, and what comes before the first."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from lightkeras import _data
from lightkeras import metrics as metrics_module
from lightkeras._mode import training_mode
from lightkeras._step import Compiled, rows_of
from lightkeras._tree import flatten, map_structure
from lightkeras.layers import Layer
from lightkeras.layers._shapes import device_of
from lightkeras.layers._weights import pending
from lightkeras.models import _checks
from lightkeras.models._jit import compiled_step

__all__ = ["OneBatch", "Steps"]

Layer._mean = metrics_module.Mean  # for `add_metric`


class OneBatch:
    """One batch standing where batches are expected, for a first look at it."""

    def __init__(self, x, y=None, w=None):
        self.x, self.y, self.w = x, y, w

    def peek(self):
        return self.x, self.y, self.w


class Steps(Layer):
    """The steps of training and evaluation, and the metrics that they move."""

    _compiled: Compiled | None = None
    _plan: Any = None  # the graph of a functional model
    inputs: Any
    outputs: Any
    _output_keys: Any
    loss: Any
    _penalties: tuple = ()  # (regularizer, view, parameter) of the weights that are trained
    _tells_loss = True  # whether `compute_loss` takes `training`; one of the user's need not
    _attached: tuple = ()  # metrics set as attributes, found before the first step

    train_function: Any = None
    test_function: Any = None
    predict_function: Any = None

    def _overrides(self, name):
        """Whether a method is the user's; a step is also where the function around it is."""
        kind = type(self)
        if getattr(kind, name) is not getattr(Steps, name):
            return True
        if name not in _AROUND:
            return False
        make, function = _AROUND[name]
        given = self.__dict__.get(function)
        around = given is not None and getattr(given, "__func__", None) not in _AROUND_OURS
        return around or getattr(kind, make) is not getattr(Steps, make)

    def _own_step(self, mode):
        """The user's step as a function of a batch's data; None where there is none."""
        name = f"{mode}_step"
        if not self._overrides(name):
            return None
        make, function = _AROUND[name]
        if getattr(type(self), make) is not getattr(Steps, make):
            made = getattr(self, make)()
            around = getattr(self, function) or made
        else:
            around = getattr(self, function)
        return getattr(self, name) if around is None else lambda data: around([data])

    # ---- metrics ------------------------------------------------------------------------------

    @property
    def metrics(self):
        """Metrics: the loss's mean, those of `compile`, and those set as attributes."""
        found: list[Any] = []
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

    def _all_metrics(self):
        """Every metric that a step moves."""
        return [*(metric for _, metric in self._compiled.all_metrics()), *self._attached]

    def reset_metrics(self):
        """Start all metrics anew."""
        if self._compiled is not None:
            self._compiled.reset()
        for metric in self.metrics if self._overrides("metrics") else self._own_metrics():
            metric.reset_state()

    def get_metrics_result(self):
        """{name: value} of all metrics so far."""
        own = self._overrides("metrics")
        result = {} if own or self._compiled is None else self._compiled.results()
        for metric in self.metrics if own else self._attached:
            value = metric.result()
            result.update(value if isinstance(value, dict) else {metric.name: value})
        return result

    # ---- one batch, for overriding ------------------------------------------------------------

    def train_step(self, data):
        """One training step; override it for a loop of one's own.

        Args:
            data: `(x, y)` or `(x, y, sample_weight)`, tensors or trees of them; inputs alone as
                `(x,)`, but as `x` where `fit` or a loader was given one array or a dict.

        Returns:
            {name: value} to show and record.
        """
        with training_mode(self, True):
            self._train_batch(*self._data_of(data, training=True))
        return self.get_metrics_result()

    def test_step(self, data):
        """One step of `evaluate` and of validation; override it where `train_step` needs it."""
        self._test_batch(*self._data_of(data, training=False))
        return self.get_metrics_result()

    def _data_of(self, data, training):
        """`(x, y, w)` of a step's data; what nobody has prepared yet is prepared."""
        given = _data.unpack(data)
        compiled = self._compiled
        if compiled.parts is None or (training and not getattr(compiled.optimizer, "built", True)):
            self._prepare(OneBatch(*given), training)
        return given

    def predict_step(self, data):
        """Outputs for one batch of `predict`."""
        return self(_data.unpack(data)[0])

    def make_train_function(self, force=False):
        """Set `train_function`, which takes a list with one batch's data to `train_step`.

        `fit` calls it where a subclass overrides it, and then the function that it has set.
        """
        return self._make("train_function", self._train_on, force)

    def make_test_function(self, force=False):
        """Set `test_function`, likewise for `test_step`."""
        return self._make("test_function", self._test_on, force)

    def make_predict_function(self, force=False):
        """Set `predict_function`, likewise for `predict_step`."""
        return self._make("predict_function", self._predict_on, force)

    def _make(self, name, function, force):
        if getattr(self, name) is None or force:
            self.__dict__[name] = function
        return getattr(self, name)

    def _train_on(self, data):
        return self.train_step(data[0])

    def _test_on(self, data):
        with torch.no_grad():
            return self.test_step(data[0])

    def _predict_on(self, data):
        with torch.no_grad():
            return self.predict_step(data[0])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss to minimize, with what layers and regularizers add."""
        if self._compiled.parts is None:
            self._compiled.bind(self._output_keys, y, y_pred)
        return self._compiled.loss(self, y, y_pred, sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Add a batch to the metrics; returns {name: value} so far."""
        self._compiled.update_metrics(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def _extra_losses(self):
        """Regularization terms, and what `add_loss` was given in this call."""
        terms = [regularizer(view.to_keras(p)) for regularizer, view, p in self._penalties]
        for layer in pending:
            terms += layer._added_losses
        return terms

    def _loss_of(self, x, y, w, training=True):
        """(loss, outputs) of a batch; the loss is added to its mean."""
        y_pred = self(x)
        more = {"training": training} if self._tells_loss else {}
        try:
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=w, **more)
        except (RuntimeError, IndexError, TypeError, AttributeError):
            reason = _checks.reason(self, y, y_pred)
            if reason is None:
                raise
            raise reason from None
        self._compiled.loss_mean.add(loss, rows_of(y_pred))
        return loss, y_pred

    def _train_batch(self, x, y=None, w=None):
        compiled = self._compiled
        loss, y_pred = self._loss_of(x, y, w)
        self._update_metrics(x, y, y_pred, w)  # first: where it fails, nothing has been learned
        if loss.requires_grad or self._can_learn():
            optimizer = compiled.optimizer
            optimizer.zero_grad()
            if getattr(optimizer, "loss_scale_factor", None) is not None:
                loss = optimizer.scale_loss(loss)
            try:
                loss.backward()
            except RuntimeError as error:
                reason = _checks.overwritten(error)
                if reason is None:
                    raise
                raise reason from None
            optimizer.step()

    def _can_learn(self):
        """Why a loss has no gradient: False where all weights are frozen.

        Raises:
            ValueError: there are weights to train, so the loss does not depend on the outputs.
        """
        if any(p.requires_grad for p in self.parameters()):
            raise ValueError(
                f"The loss {_name_of(self.loss)!r} has no gradient: it does not depend on the "
                "outputs. "
                "It must be computed from y_pred by torch functions, without .detach(), .item() or "
                "NumPy. Return for example torch.mean((y_true - y_pred) ** 2, dim=-1)."
            )
        return False

    def _test_batch(self, x, y=None, w=None):
        _, y_pred = self._loss_of(x, y, w, training=False)
        self._update_metrics(x, y, y_pred, w)

    def _update_metrics(self, x, y, y_pred, w):
        if self._overrides("compute_metrics"):
            with torch.no_grad():
                self.__dict__["_step_logs"] = self.compute_metrics(x, y, y_pred, w)
        else:
            self._compiled.update_metrics(y, y_pred, w)

    def _run_step(self, mode, bare=False):
        """Function `(x, y, w)` of one train or test step: ours, or the user's.

        `bare` is that of the batches: how x alone is passed on.
        """
        step = self._own_step(mode)
        if step is None:
            plain = self._train_batch if mode == "train" else self._test_batch
            return compiled_step(self, mode, plain)

        def run(x, y=None, w=None):
            if pending:
                self.clear_losses()
            if mode == "train" and self.training:
                self.eval()  # as in Keras: a call that trains says so, model(x, training=True)
            self.__dict__["_step_logs"] = step(_data.pack(x, y, w, bare))

        return run

    def _logs(self, over=False):
        """{name: float} of the epoch so far; reads tensors back from the device.

        Once it is `over`, what metrics say counts more than what the last step has returned.
        """
        named = self.__dict__.get("_step_logs")
        if named is None:
            named = self.get_metrics_result()
        elif not isinstance(named, dict):
            raise TypeError(
                f"A step of {self.name!r} returned {type(named).__name__}. A dict of names and "
                'values is expected. End it with return {"loss": loss}.'
            )
        elif over and named.keys() == (results := self.get_metrics_result()).keys():
            if not (self._overrides("metrics") or self._compiled.loss_mean.count):
                del results["loss"]  # no step has added to it
            named = {**named, **results}
        elif not self._overrides("train_step"):
            named = {**self.get_metrics_result(), **named}
        return dict(sorted(_floats(named).items()))

    # ---- getting ready ------------------------------------------------------------------------

    def _prepare(self, batches, training):
        """Before the first step: build what is not built, bind losses and metrics, check data."""
        compiled = self._compiled
        self.__dict__["_step_logs"] = None
        _checks.check_inputs(self, batches)
        own_step = self._overrides("train_step" if training else "test_step")
        first = compiled.parts is None
        if not (own_step and self.built) and (first or not self.built):
            self._first_look(batches, own_step)
        if not own_step and (first or not isinstance(batches, OneBatch)):
            _checks.check_targets(self, batches)
        if training:
            self._bind_optimizer()
            if not own_step and not any(p.requires_grad for p in self.parameters()):
                _checks.warn_frozen(self)
        self.__dict__["_penalties"] = tuple(self._find_penalties())
        self.__dict__["_tells_loss"] = _takes_training(self.compute_loss)
        self.__dict__["_attached"] = tuple(self._own_metrics())

    def _runner(self):
        """What gives the outputs of a batch: the model, or compiled code."""
        return compiled_step(self, "predict", self)

    def _first_batch(self, x, y=None, w=None, training=False):
        """Build and bind from one batch: what a Trainer of the user's own brings."""
        self._prepare(OneBatch(x, y, w), training)

    def _first_look(self, batches, own_step):
        """Run the first rows once, to build what is not built and to see the outputs' shapes."""
        x, y, _ = batches.peek()
        try:
            y_pred = self._few_outputs(x)
        except TypeError:
            if own_step:  # a model that is only trained by its own step need have no call()
                return
            raise
        _checks.check_head(self)
        for leaf in [] if own_step else flatten(y_pred):
            if not isinstance(leaf, torch.Tensor):
                raise _checks.no_outputs(f"call() of {self.name!r}", leaf)
        if self._compiled.parts is None and not own_step:
            self._compiled.bind(self._output_keys, _checks.few(y), y_pred)
            self._compiled.seen = _checks.row_shapes(x)

    def _few_outputs(self, x):
        """Outputs of the first two rows."""
        layers = [] if self.built else [m for m in self.modules() if isinstance(m, Layer)]
        new = [layer for layer in layers if not layer.built]
        with torch.no_grad(), training_mode(self, False), _states_aside(self):
            y_pred = self(_to(_checks.few(x), device_of(self)))
        self.clear_losses()
        for layer in new:
            layer._forget_rows()
        return y_pred

    def _check_validation(self, batches):
        """What `fit` would only meet after the first epoch."""
        _checks.check_inputs(self, batches, "x_val")
        if not self._overrides("test_step"):
            _checks.check_targets(self, batches, ("x_val", "y_val", "sample_weight_val"))

    def _bind_optimizer(self):
        compiled = self._compiled
        if compiled.optimizer is None and not self._overrides("train_step"):
            raise _checks.no_optimizer(self)
        weights = [w for w in self.weights if w.requires_grad]
        if compiled.trained is None:
            compiled.trained = [p for p in self.parameters() if p.requires_grad]
        if isinstance(compiled.optimizer, torch.optim.Optimizer) and not hasattr(
            compiled.optimizer, "build"
        ):
            return _checks.check_torch_optimizer(self)
        if not weights:
            return
        if not getattr(compiled.optimizer, "built", False):
            compiled.optimizer = compiled.optimizer.build(weights)
            return
        new = [w for w in weights if not compiled.optimizer.knows(w)]
        if len(new) == len(weights):
            compiled.optimizer.build(weights)  # another model's optimizer: it says so
        elif new:  # unfrozen since
            compiled.optimizer.add_variables(new)

    def _find_penalties(self):
        for module in self.modules():
            for row in module._rows if isinstance(module, Layer) else ():
                parameter = getattr(module, row.view.attribute)
                # One that torch's pruning has masked is a plain tensor.
                regularizer = getattr(parameter, "regularizer", None)
                if regularizer is not None and parameter.requires_grad:
                    yield regularizer, row.view, parameter

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


# What may stand around a step: who makes it, and where.
_AROUND = {
    f"{mode}_step": (f"make_{mode}_function", f"{mode}_function")
    for mode in ("train", "test", "predict")
}
_AROUND_OURS = (Steps._train_on, Steps._test_on, Steps._predict_on)


def _takes_training(compute_loss):
    kinds = {p.name: p.kind for p in inspect.signature(compute_loss).parameters.values()}
    return "training" in kinds or inspect.Parameter.VAR_KEYWORD in kinds.values()


@contextmanager
def _states_aside(model):
    """Inside, stateful layers start anew; what they had seen before is as it was afterwards."""
    kept = [(m, m.__dict__["states"]) for m in model.modules() if "states" in m.__dict__]
    try:
        for module, _ in kept:
            module.__dict__["states"] = None
        yield
    finally:
        for module, states in kept:
            module.__dict__["states"] = states


def _floats(named):
    """{name: number or tensor} to floats, with one read per device; of several values, an array."""
    flat = {}
    for name, value in (named or {}).items():
        flat.update(value if isinstance(value, dict) else {name: value})
    tensors = {k: v for k, v in flat.items() if isinstance(v, torch.Tensor) and v.numel() == 1}
    if tensors:
        values = torch.stack([v.detach().reshape(()).double() for v in tensors.values()]).tolist()
        flat.update(zip(tensors, values, strict=True))
    # Arrays of their own: a metric may give its state itself, which goes on changing.
    return {k: float(v) if np.ndim(v) == 0 else np.array(_to_host(v)) for k, v in flat.items()}


def _to_host(tensor):
    if tensor is None:
        raise _checks.no_outputs("The model", None)
    if not isinstance(tensor, torch.Tensor):  # of a step of the user's
        return np.asarray(tensor)
    tensor = tensor.detach()
    if tensor.dtype is torch.bfloat16:  # NumPy has no bfloat16
        tensor = tensor.float()
    return tensor.cpu().numpy()


def _name_of(loss):
    return loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)


def _to(tree, device):
    return map_structure(lambda t: t.to(device) if isinstance(t, torch.Tensor) else t, tree)
