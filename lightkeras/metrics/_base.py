"""The base of all metrics, and the two from which nearly all are made: a sum and a mean."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightkeras import _ranks, _registry
from lightkeras._config import Configured
from lightkeras._dtypes import dtype_name, torch_dtype
from lightkeras._kinds import (
    AXES,
    AXIS,
    CHOICE,
    FLAG,
    FUNCTION,
    NUMBER,
    TEXT,
    WHOLE,
    within,
)
from lightkeras._variable import State
from lightkeras.losses._base import (
    as_array,
    as_weight,
    compute_dtype,
    divide_no_nan,
    function_config,
    masked_weight,
    mismatch,
    same_rank,
)

__all__ = ["Mean", "MeanMetricWrapper", "Metric", "Sum"]

_HALF = (torch.float16, torch.bfloat16)


class Metric(Configured):
    """Base of all metrics; one of one's own defines `update_state` and `result`.

    Its state is a few tensors, made by `add_weight`. They add up on the device of the data and
    are read only by `result`.

    Args:
        dtype: Of the state and the result; `floatx()` by default.
        name: A name; derived from the class by default.

    >>> class Largest(Metric):
    ...     def __init__(self, name="largest", **kwargs):
    ...         super().__init__(name=name, **kwargs)
    ...         self.value = self.add_weight(name="value", initializer="zeros")
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.value.assign(torch.maximum(self.value, y_pred.max()))
    ...     def result(self):
    ...         return self.value
    >>> print(float(Largest()(None, torch.tensor([1.0, 3.0]))))
    3.0
    """

    _kinds = {
        "average": CHOICE,
        "axis": AXES,
        "beta": NUMBER,
        "class_aggregation": CHOICE,
        "class_id": AXIS | None,
        "dtype": CHOICE,
        "fn": FUNCTION,
        "from_logits": FLAG,
        "from_sorted_ids": FLAG,
        "ignore_class": AXIS | None,
        "k": WHOLE,
        "label_smoothing": NUMBER,
        "multi_label": FLAG,
        "name": TEXT,
        "num_classes": WHOLE,
        "num_labels": WHOLE | None,
        "num_regressors": NUMBER,
        "num_thresholds": WHOLE,
        "precision": NUMBER,
        "recall": NUMBER,
        "sensitivity": NUMBER,
        "specificity": NUMBER,
        "sparse_y_pred": FLAG,
        "sparse_y_true": FLAG,
        "threshold": NUMBER | None,
        "top_k": WHOLE | None,
    }
    _direction: str | None = None  # "up" or "down": where better is

    def __init__(self, dtype=None, name=None):
        self.name = name or _registry.unique_name(_registry.to_snake(type(self).__name__))
        self._dtype = compute_dtype(dtype)
        self._variables: list[State] = []
        self._aggregations: list[str | None] = []

    @property
    def dtype(self):
        """Name of the dtype of the state."""
        return dtype_name(self._dtype)

    @property
    def variables(self):
        """The state: one's own tensors, then those of metrics held as attributes."""
        nested = [v for metric in self._nested() for v in metric.variables]
        return [*vars(self).get("_variables", ()), *nested]

    def _nested(self):
        for value in vars(self).values():
            held = value.values() if isinstance(value, dict) else value
            for item in held if isinstance(value, (list, tuple, dict)) else [value]:
                if isinstance(item, Metric):
                    yield item

    def add_variable(self, shape, initializer="zeros", dtype=None, aggregation="sum", name=None):
        """A new tensor of the state.

        Args:
            shape: Its shape.
            initializer: Its values at first; `reset_state` sets them to 0.
            dtype: `floatx()` by default.
            aggregation: How the values of several processes combine: "sum", "mean", "max", "min",
                or None, where each keeps its own.
            name: Its name.

        Raises:
            RuntimeError: the constructor of `Metric` has not run yet.
        """
        if "_variables" not in vars(self):
            raise RuntimeError(
                f"{type(self).__name__} adds a weight before its base is ready. The base's "
                "constructor comes first. Begin __init__ with super().__init__(name=name)."
            )
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        with torch.inference_mode(False):  # it must stay writable outside of that mode
            variable = State(_initial(initializer, shape, torch_dtype(dtype)))
        variable.path = f"{self.name}/{name or 'variable'}"
        self._variables.append(variable)
        self._aggregations.append(aggregation)
        return variable

    def add_weight(self, shape=(), initializer=None, dtype=None, name=None):
        """A new tensor of the state, a single number by default; see `add_variable`."""
        if isinstance(shape, str):  # Keras 2 took the name first
            shape, name = (), shape
        return self.add_variable(shape, initializer, dtype, name=name)

    def update_state(self, *args, **kwargs):
        """Take a batch into account: `update_state(y_true, y_pred, sample_weight=None)`."""
        raise TypeError(
            f"{type(self).__name__} has no update_state(). A metric takes in its batches there. "
            "Define update_state(self, y_true, y_pred, sample_weight=None)."
        )

    def result(self):
        """The value for all batches since the last reset, a tensor."""
        raise TypeError(
            f"{type(self).__name__} has no result(). A metric tells its value there. "
            "Define result(self)."
        )

    def reset_state(self):
        """Forget all batches."""
        for variable in self.variables:
            variable.zero_()

    def reset_states(self):
        """`reset_state`, as Keras 2 spelled it."""
        self.reset_state()

    def __call__(self, *args, **kwargs):
        """Take a batch into account and return the value so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def to(self, device):
        """Move the state to a device, in place; returns the metric."""
        with torch.inference_mode(False):
            for variable in self.variables:
                variable.data = variable.data.to(device)
        return self

    # ---- several processes ----------------------------------------------------------------------

    def _local_state(self):
        """What this process has added up, for `_merge` in the others."""
        own = [v.detach().cpu().as_subclass(Tensor) for v in self._variables]
        return own, [metric._local_state() for metric in self._nested()]

    def _merge(self, states):
        """Take over the `_local_state` of several processes, combined."""
        states = [s for s in states if len(s[0]) == len(self._variables)]  # made at an update
        if not states:  # this process has made none
            return
        for i, (variable, how) in enumerate(zip(self._variables, self._aggregations, strict=True)):
            if how in _COMBINED:
                variable.copy_(_COMBINED[how](torch.stack([own[i] for own, _ in states])))
        for i, metric in enumerate(self._nested()):
            metric._merge([nested[i] for _, nested in states])

    def _keep(self):
        """A function that puts the state back as it is now."""
        kept = [(v, v.detach().clone()) for v in self.variables]

        def put_back():
            for variable, value in kept:
                variable.data = value

        return put_back

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


# How the values of several processes, stacked, become one.
_COMBINED = {
    "sum": lambda values: values.sum(0),
    "mean": lambda values: values.mean(0),
    "max": lambda values: values.amax(0),
    "min": lambda values: values.amin(0),
}


def _initial(initializer, shape, dtype):
    if initializer is None or initializer == "zeros":
        return torch.zeros(shape, dtype=dtype, device="cpu")
    from lightkeras import initializers

    made = initializers.get(initializer)
    made = made(shape, dtype=dtype_name(dtype)) if callable(made) else made
    return torch.as_tensor(made, dtype=dtype, device="cpu").expand(shape).clone()


# ---- inputs of updates ------------------------------------------------------------------------


def as_tensor(x, like=None):
    """`x` as a tensor without a gradient, on the device of `like`."""
    if not isinstance(x, Tensor):
        x = torch.as_tensor(as_array(x))
        x = x.float() if x.dtype is torch.float64 and like is None else x
    if x.requires_grad:
        x = x.detach()
    return x if like is None or x.device == like.device else x.to(like.device)


def comparable(y_true, y_pred):
    """Whether both are tensors on one device, without a gradient."""
    return (
        isinstance(y_pred, Tensor)
        and isinstance(y_true, Tensor)
        and not y_pred.requires_grad
        and y_true.device == y_pred.device
    )


def pair(name, y_true, y_pred):
    """Both as tensors of one shape.

    Raises:
        ValueError: the shapes differ by more than a last axis of size 1.
    """
    if not comparable(y_true, y_pred):
        y_pred = as_tensor(y_pred)
        y_true = as_tensor(y_true, y_pred)
    if y_true.shape != y_pred.shape:
        y_true, y_pred = same_rank(y_true, y_pred)
        if y_true.shape != y_pred.shape:
            raise mismatch(name, y_true.shape, y_pred.shape)
    return y_true, y_pred


def per_row(values, weight, reduce):
    """(values times weights, weights), both reduced to one number per row."""
    values, weight = same_rank(values, weight)
    rank = weight.ndim
    if values.ndim > rank:
        values = reduce(values, tuple(range(rank, values.ndim)))
    fits = values.ndim == rank and all(
        w in (1, v) for v, w in zip(values.shape, weight.shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"sample_weight of shape {tuple(weight.shape)} does not fit values of shape "
            f"{tuple(values.shape)}. One weight per row, or one per value, is accepted. "
            f"Use sample_weight of shape {tuple(values.shape[:1])}."
        )
    weight = weight.expand(values.shape)
    values = values * weight
    if rank > 1:
        others = tuple(range(1, rank))
        values, weight = reduce(values, others), reduce(weight, others)
    return values, weight


# ---- sums and means ---------------------------------------------------------------------------


class _Reduction(Metric):
    """A metric of values, whose state begins with their sum."""

    _reduce = staticmethod(torch.sum)  # of the values of one row

    def __init__(self, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), dtype=self._dtype, name="total")

    def _tensor(self, values):
        """Values as a tensor without a gradient; the state follows to its device."""
        if not isinstance(values, Tensor) or values.requires_grad:
            values = as_tensor(values)
        if values.device != self.total.device:
            self.to(values.device)
        return values

    def _weighted(self, values, sample_weight):
        """(weighted values, weights), both one number per row."""
        own_mask = getattr(values, "_keras_mask", None)
        values = self._tensor(values).to(self._dtype)
        if own_mask is not None:
            sample_weight = masked_weight(sample_weight, own_mask, values)
        return per_row(values, as_weight(sample_weight, values), self._reduce)


class Sum(_Reduction):
    """The sum of values, times weights where there are any.

    >>> metric = Sum()
    >>> metric.update_state([1, 3, 5, 7])
    >>> metric.result()
    tensor(16.)
    """

    def __init__(self, name="sum", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, values, sample_weight=None):
        """Add values.

        Args:
            values: Numbers, an array or a tensor.
            sample_weight: One weight per row, or one per value.
        """
        if sample_weight is None:
            values = self._tensor(values)
        else:
            values, _ = self._weighted(values, sample_weight)
        self.total.add_(values.sum(dtype=self._dtype))

    def result(self):
        """The sum."""
        return self.total.clone()


class Mean(_Reduction):
    """The mean of values, weighted where there are weights.

    The state is the weighted sum and the sum of the weights, so the mean over all batches is
    right also where they differ in size. Each row counts as one, by the mean of its values.

    >>> metric = Mean()
    >>> metric.update_state([1, 3, 5])
    >>> metric.update_state([7])
    >>> metric.result()
    tensor(4.)
    """

    _reduce = staticmethod(torch.mean)

    def __init__(self, name="mean", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.count = self.add_variable((), dtype=self._dtype, name="count")

    def update_state(self, values, sample_weight=None):
        """Add values.

        Args:
            values: One number, or an array or tensor `(rows, ...)`.
            sample_weight: One weight per row, or one per value.
        """
        if sample_weight is not None:
            values, weight = self._weighted(values, sample_weight)
            self.total.add_(values.sum())
            self.count.add_(weight.sum())
            return
        if (
            not isinstance(values, Tensor)
            or values.requires_grad
            or values.device != self.total.device
        ):
            values = self._tensor(values)
        size = values.numel()
        if size:
            rows = values.shape[0] if values.ndim else _ranks.share or 1  # a mean of the batch
            self.total.add_(values.sum(dtype=self._dtype), alpha=rows / size)
            self.count.add_(rows)

    def result(self):
        """The mean; 0 before the first batch."""
        return divide_no_nan(self.total, self.count)


class MeanMetricWrapper(Mean):
    """The mean of what a function `fn(y_true, y_pred, **kwargs)` returns.

    Args:
        fn: Returns one value per row, or more.
        name, dtype: As in `Metric`.
        **kwargs: Handed to `fn` at every update.

    >>> def error(y_true, y_pred):
    ...     return (y_true - y_pred).abs()
    >>> MeanMetricWrapper(error)(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    tensor(1.)
    """

    _any_keyword = True  # they are the function's, so none is unknown here

    def __init__(self, fn, name=None, dtype=None, **kwargs):
        vars(self).update(kwargs)  # `metric.threshold` can be read, and is what a config shows
        super().__init__(name=name, dtype=dtype)
        self._fn = fn
        self._fn_kwargs = kwargs
        if (getattr(fn, "__module__", None) or "").startswith("lightkeras.losses"):
            self._direction = self._direction or "down"

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take a batch into account.

        Args:
            y_true: Targets.
            y_pred: Outputs of a model. A mask that a layer left on them is honoured.
            sample_weight: One weight per row, or one per value; None: all are 1.
        """
        mask = getattr(y_pred, "_keras_mask", None)
        mask = None if getattr(mask, "_beside", False) else mask
        if isinstance(y_pred, Tensor):
            if y_pred.requires_grad:
                y_pred = y_pred.detach()
            if y_pred.dtype in _HALF:
                y_pred = y_pred.to(self._dtype)
        try:
            values = self._fn(y_true, y_pred, **self._fn_kwargs)
        except IndexError:
            if isinstance(axis := self._fn_kwargs.get("axis"), (int, tuple, list)):
                within(f"The metric {self.name!r}", axis, y_pred.ndim)
            raise
        if not isinstance(values, Tensor):
            values = self._numbers(values)
        if mask is not None:
            like = torch.empty((), dtype=self._dtype, device=values.device)
            sample_weight = masked_weight(sample_weight, mask, like)
        Mean.update_state(self, values, sample_weight)

    def _numbers(self, values):
        """Numbers and arrays that a function of one's own returned."""
        if np.asarray(values).dtype.kind not in "biuf":
            what = "None" if values is None else type(values).__name__
            raise ValueError(
                f"The metric {self.name!r} returned {what}. A tensor or a number is expected. "
                "Return for example torch.mean(y_pred, dim=-1)."
            )
        return as_tensor(values)

    def get_config(self):
        """Constructor arguments as plain values."""
        config = super().get_config()
        return {**config, "fn": function_config(self._fn)} if "fn" in config else config

    @classmethod
    def from_config(cls, config):
        """The metric that `get_config` described; a function is looked up by its name."""
        if "fn" in config and not callable(config["fn"]):
            from lightkeras import metrics

            config = {**config, "fn": metrics.find_function(config["fn"])}
        return cls(**config)
