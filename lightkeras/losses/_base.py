"""The base of all losses: shapes are checked, values weighted, and reduced to one number."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightkeras import _ranks, _registry, dtype_policies
from lightkeras._config import Configured
from lightkeras._dtypes import dtype_name, floatx, native, torch_dtype
from lightkeras._kinds import (
    AXES,
    AXIS,
    CHOICE,
    FLAG,
    FUNCTION,
    NUMBER,
    POSITIVE,
    TEXT,
    within,
)
from lightkeras._tree import map_structure

__all__ = ["Loss", "LossFunctionWrapper"]

_MEANS = ("sum_over_batch_size", "mean")
REDUCTIONS = (*_MEANS, "sum", "mean_with_sample_weight", "none", None)


class Loss(Configured):
    """Base of all losses; a loss of one's own defines `call(y_true, y_pred)`.

    Args:
        name: A name; derived from the class by default.
        reduction: What becomes of the values that `call` returns. "sum_over_batch_size" and
            "mean": their mean. "sum": their sum. "mean_with_sample_weight": their weighted sum
            divided by the sum of the weights. "none" or None: they stay as they are.
        dtype: In which both arguments and the result are computed; `floatx()` by default.

    Shape:
        Two tensors, arrays or lists of one shape; where one has a last axis of size 1 that the
        other lacks, it is added or dropped. Nothing else is broadcast.

    Raises:
        ValueError: shapes differ, or the reduction is unknown.

    >>> class Distance(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return (y_true - y_pred).abs().mean(-1)
    >>> Distance()([[0.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]])
    tensor(0.5000)
    """

    _casts_targets = True  # False: `call` wants y_true as it is, because it holds class numbers

    _kinds = {
        "alpha": NUMBER,
        "apply_class_balancing": FLAG,
        "axis": AXES,
        "beta": NUMBER,
        "delta": POSITIVE,
        "dtype": CHOICE,
        "fn": FUNCTION,
        "from_logits": FLAG,
        "gamma": NUMBER,
        "ignore_class": AXIS | None,
        "label_smoothing": NUMBER,
        "margin": NUMBER,
        "name": TEXT,
        "q": NUMBER,
        "reduction": CHOICE,
        "remove_diagonal": FLAG,
    }

    def __init__(self, name=None, reduction="sum_over_batch_size", dtype=None):
        self.name = name or _registry.unique_name(_registry.to_snake(type(self).__name__))
        if reduction not in REDUCTIONS:
            raise _registry.unknown("reduction", reduction, REDUCTIONS)
        self.reduction = reduction
        self._dtype = compute_dtype(dtype)

    @property
    def dtype(self):
        """Name of the dtype in which the loss is computed."""
        return dtype_name(self._dtype)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The loss, reduced.

        Args:
            y_true: Targets.
            y_pred: Outputs of a model. A mask that a layer left on them is honoured.
            sample_weight: One weight per row, or one per value; None: all are 1.
        """
        mask = getattr(y_pred, "_keras_mask", None)
        mask = None if getattr(mask, "_beside", False) else mask
        y_pred = self._cast(y_pred, y_pred)
        if self._casts_targets:
            y_true = self._cast(y_true, y_pred)
        try:
            values = self.call(y_true, y_pred)
        except IndexError:
            self._check_axis(y_pred)
            raise
        if not isinstance(values, Tensor):
            values = self._values(values)
        own_mask = getattr(values, "_keras_mask", None)
        if own_mask is not None:
            mask = own_mask if mask is None else mask & own_mask
        return reduce_weighted(values, sample_weight, mask, self.reduction)

    def call(self, y_true, y_pred):
        """Values of the loss, usually one per row."""
        raise TypeError(
            f"{type(self).__name__} has no call(). A loss computes its values there. "
            "Define call(self, y_true, y_pred)."
        )

    def _check_axis(self, y_pred):
        if isinstance(axis := getattr(self, "axis", None), (int, tuple, list)):
            within(f"The loss {self.name!r}", axis, y_pred.ndim)

    def _values(self, values):
        """Numbers and arrays that a loss of one's own returned, as a tensor."""
        if np.asarray(values).dtype.kind not in "biuf":
            what = "None" if values is None else type(values).__name__
            raise ValueError(
                f"The loss {self.name!r} returned {what}. A tensor of one value per row is "
                "expected. Add a return statement to it."
            )
        return torch.as_tensor(values, dtype=self._dtype)

    def _cast(self, x, like):
        """`x` as a tensor of the loss's dtype; dicts and lists of outputs are walked."""
        if isinstance(x, Tensor):
            return x if x.dtype is self._dtype else x.to(self._dtype)
        if isinstance(x, dict) or (
            isinstance(x, (list, tuple)) and any(isinstance(v, (Tensor, dict)) for v in x)
        ):
            return map_structure(lambda leaf: self._cast(leaf, leaf), x)
        device = like.device if isinstance(like, Tensor) else None
        return torch.as_tensor(as_array(x), dtype=self._dtype, device=device)

    def get_config(self):
        """Constructor arguments as plain values; the dtype only where it is not `floatx()`."""
        config = super().get_config()
        if config.get("dtype") == floatx():
            del config["dtype"]
        return config


class LossFunctionWrapper(Loss):
    """A function `fn(y_true, y_pred, **kwargs)` as a `Loss`.

    Args:
        fn: Returns values, usually one per row.
        reduction, name, dtype: As in `Loss`.
        **kwargs: Handed to `fn` at every call.

    >>> def cubic(y_true, y_pred, scale):
    ...     return scale * (y_true - y_pred).abs().pow(3).mean(-1)
    >>> LossFunctionWrapper(cubic, scale=2.0)([[0.0], [1.0]], [[1.0], [1.0]])
    tensor(1.)
    """

    _any_keyword = True  # they are the function's, so none is unknown here

    def __init__(self, fn, reduction="sum_over_batch_size", name=None, dtype=None, **kwargs):
        vars(self).update(kwargs)  # `loss.from_logits` can be read, and is what a config shows
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn = fn
        self._fn_kwargs = kwargs
        self._casts_targets = not getattr(fn, "integer_targets", False)

    def __call__(self, y_true, y_pred, sample_weight=None):
        kernel = getattr(self.fn, "mean_kernel", None)
        if (
            kernel is not None
            and sample_weight is None
            and self.reduction in _MEANS
            and isinstance(y_pred, Tensor)
            and isinstance(y_true, Tensor)
            and y_true.device == y_pred.device
            and y_pred.numel()
            and getattr(y_pred, "_keras_mask", None) is None
        ):
            if y_pred.dtype is not self._dtype:
                y_pred = y_pred.to(self._dtype)
            if self._casts_targets and y_true.dtype is not self._dtype:
                y_true = y_true.to(self._dtype)
            try:
                loss = kernel(y_true, y_pred, **self._fn_kwargs)
            except IndexError:
                self._check_axis(y_pred)
                raise
            if loss is not None:
                return loss
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        """Values of the function, after the last axis of size 1 has been settled."""
        if isinstance(y_true, Tensor) and isinstance(y_pred, Tensor):
            y_true, y_pred = same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self):
        """Constructor arguments as plain values."""
        config = super().get_config()
        return {**config, "fn": function_config(self.fn)} if "fn" in config else config

    @classmethod
    def from_config(cls, config):
        """The loss that `get_config` described; a function is looked up by its name."""
        if "fn" in config and not callable(config["fn"]):
            from lightkeras import losses

            config = {**config, "fn": losses.deserialize(config["fn"])}
        return cls(**config)

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


def mean_kernel(fn):
    """Decorator for a faster way to the mean of what `fn` returns.

    The decorated function takes the arguments of `fn` as tensors of one dtype. Where it does not
    apply it returns None: then `fn` is called, which also has the words for a refusal.
    """

    def register(kernel):
        fn.mean_kernel = kernel
        return kernel

    return register


def integer_targets(fn):
    """Decorator for a loss of class numbers: a `LossFunctionWrapper` hands them on as they are."""
    fn.integer_targets = True
    return fn


def function_config(fn):
    """Keras's serialized form of a plain function; a loss or metric object is no function."""
    if hasattr(fn, "get_config"):
        return _registry.serialize(fn)
    name = _registry.get_registered_name(fn)
    return {
        "module": "builtins",
        "class_name": "function",
        "config": name,
        "registered_name": "function",
    }


def compute_dtype(dtype):
    """The torch dtype of a dtype or policy; None is `floatx()`."""
    return torch_dtype(dtype_policies.get(dtype or floatx()).compute_dtype)


# ---- shapes -----------------------------------------------------------------------------------


def aligned(name, y_true, y_pred):
    """Both as tensors of one float dtype and one shape.

    Raises:
        ValueError: the shapes differ by more than a last axis of size 1.
    """
    y_true, y_pred = tensors(y_true, y_pred)
    if y_true.shape != y_pred.shape:
        y_true, y_pred = same_rank(y_true, y_pred)
        if y_true.shape != y_pred.shape:
            raise mismatch(name, y_true.shape, y_pred.shape)
    return y_true, y_pred


def tensors(y_true, y_pred):
    """Both as tensors of `y_pred`'s float dtype, on its device."""
    y_pred = floating(y_pred)
    if not isinstance(y_true, Tensor):
        y_true = torch.as_tensor(as_array(y_true))
    if y_true.dtype is not y_pred.dtype or y_true.device != y_pred.device:
        y_true = y_true.to(y_pred.device, y_pred.dtype)
    return y_true, y_pred


def floating(x):
    """`x` as a tensor of a float dtype: its own, or else `floatx()`."""
    if isinstance(x, Tensor) and x.is_floating_point():
        return x
    if not isinstance(x, (Tensor, np.ndarray)):
        return torch.as_tensor(as_array(x), dtype=torch_dtype())
    x = torch.as_tensor(x if isinstance(x, Tensor) else as_array(x))
    return x if x.is_floating_point() else x.to(torch_dtype())


def as_array(x):
    """Numbers that are no tensor as a NumPy array.

    Raises:
        TypeError: they are no numbers.
        ValueError: their rows differ in length.
    """
    try:
        array = np.asarray(x)
        if array.dtype.kind == "O":
            array = np.asarray("" if None in array.flat else array.astype("float64"))
    except TypeError:
        array = np.asarray("")
    except ValueError as error:
        raise ValueError(
            f"A loss or metric got a {type(x).__name__} that is no array ({error}). Rows of one "
            "length, of numbers, are accepted. Convert it with np.asarray."
        ) from None
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"A loss or metric got a {type(x).__name__} that holds no real numbers. Arrays and "
            "tensors of numbers are accepted. Encode classes as numbers from 0."
        )
    return native(array)


def as_classes(x, device):
    """Class numbers as int64 on a device."""
    x = x if isinstance(x, Tensor) else torch.as_tensor(as_array(x))
    return x.to(device, torch.int64)


def same_rank(a, b):
    """Keras's rule: of two ranks that differ by one, a last axis of size 1 is settled.

    It is dropped from the higher one; where the lower one is a plain vector, it gets such an
    axis instead.
    """
    if a.ndim == b.ndim + 1:
        b, a = _settled(b, a)
    elif b.ndim == a.ndim + 1:
        a, b = _settled(a, b)
    return a, b


def as_column(y_true, y_pred):
    """Targets in the shape of the outputs: as they are, or `(n,)` as `(n, 1)`; None: neither."""
    if y_true.shape == y_pred.shape:
        return y_true
    fits = y_true.ndim == 1 and y_pred.shape == (len(y_true), 1)
    return y_true.unsqueeze(-1) if fits else None


def _settled(low, high):
    if high.shape[-1] != 1:
        return low, high
    if low.ndim == 1:
        return low.unsqueeze(-1), high
    return low, high.squeeze(-1)


def mismatch(name, true, pred, y="y") -> ValueError:
    """The error for targets of shape `true` and outputs of shape `pred`; raise what it returns."""
    true, pred = tuple(true), tuple(pred)
    if _is_sparse(name):
        expected = f"integer classes of shape {pred[:-1]} for y_pred {pred}"
    else:
        kind = "one-hot targets" if _is_one_hot(name) else "targets"
        expected = f"{kind} shaped like y_pred {pred}"
    advice = _advice(name, true, pred)
    return ValueError(f"{name} expects {expected}, got {y} of shape {true}. {advice}")


def _is_sparse(name):
    return name.startswith("sparse") or "generalized" in name


def _is_one_hot(name):
    return name.removeprefix("top_k_").startswith("categorical") and not _is_sparse(name)


def _advice(name, true, pred):
    """What to type, for shapes that do not fit."""
    sparse = _is_sparse(name)
    ids = true in (pred[:-1], (*pred[:-1], 1))
    if sparse and true == pred:
        if "generalized" in name:
            return "Use y.argmax(-1) for one-hot targets."
        return f"Use {_quoted(name.removeprefix('sparse_'))} for one-hot targets."
    if name in ("categorical_crossentropy", "categorical_accuracy") and ids:
        return f"Use {_quoted('sparse_' + name)} for integer classes."
    if _is_one_hot(name) and ids:
        return f"Use to_categorical(y, {pred[-1]}) for integer classes."
    rank = len(true) + (sparse and true[-1:] != (1,))  # classes may stand in a column
    if len(pred) > 2 and rank < len(pred):
        return "Use Flatten() or GlobalAveragePooling2D() before the last Dense layer."
    if true[:1] != pred[:1]:
        return "Use as many rows in both."
    if name.startswith("binary") and ids:
        return f"Use Dense(1) for one yes or no per row, or multi-hot targets of shape {pred}."
    if not sparse and len(true) == len(pred) and true[:-1] == pred[:-1]:
        return f"Use Dense({true[-1]}) as the last layer, or targets of shape {pred}."
    return "Use a last layer whose output has the shape of the targets, or reshape the targets."


def _quoted(name):
    return f'loss="{name}"' if name.endswith("crossentropy") else f'"{name}"'


# ---- weights and reduction --------------------------------------------------------------------
# Where a batch is spread over processes, the engine adds up their losses, each times its share of
# the rows (`_ranks.share`). For a mean over rows that is the mean of the whole batch; what is
# divided by something else, or by nothing, is corrected here.


def reduce_weighted(values, sample_weight=None, mask=None, reduction="sum_over_batch_size"):
    """`values` times weights and mask, reduced; a mean is over the entries that the mask keeps."""
    if mask is not None:
        sample_weight = masked_weight(sample_weight, mask, values, reduction in _MEANS)
    if sample_weight is not None:
        values, sample_weight = row_weights(values, sample_weight)
        values = values * sample_weight
    if reduction is None or reduction == "none" or values.ndim == 0:
        return values
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        weight = sample_weight.sum()
        if _ranks.share is not None:
            weight = _ranks.total(weight) * _ranks.share
        return divide_no_nan(values.sum(), weight)
    if reduction != "sum" and values.numel():
        return values.mean()
    return values.sum() / (_ranks.share or 1.0)


def masked_weight(sample_weight, mask, values, is_mean=False):
    """Weight 0 where the mask is False, combined with `sample_weight`."""
    weight = torch.as_tensor(mask, dtype=values.dtype, device=values.device)
    if is_mean:  # the mean over all entries becomes the mean over those that are kept
        size, kept = weight.numel(), weight.sum()
        if _ranks.share is not None:
            size, kept = size / (_ranks.share or 1.0), _ranks.total(kept)
        weight = weight * (size / kept.clamp(min=1))
    if sample_weight is None:
        return weight
    weight, sample_weight = row_weights(weight, as_weight(sample_weight, values))
    return weight * sample_weight


def row_weights(values, sample_weight):
    """Both with equally many axes, so that weights multiply row by row.

    Raises:
        ValueError: the weights fit neither rows nor values.
    """
    values, weight = same_rank(values, as_weight(sample_weight, values))
    if weight.ndim < values.ndim:
        weight = weight.reshape(weight.shape + (1,) * (values.ndim - weight.ndim))
    fits = weight.ndim == values.ndim and all(
        w in (1, v) for v, w in zip(values.shape, weight.shape, strict=True)
    )
    if values.ndim and not fits:
        raise ValueError(
            f"sample_weight of shape {tuple(np.shape(sample_weight))} does not fit loss values of "
            f"shape {tuple(values.shape)}. One weight per row, or one per value, is accepted. "
            f"Use sample_weight of shape ({values.shape[0]},)."
        )
    return values, weight


def as_weight(sample_weight, values):
    """`sample_weight` as a tensor like `values`."""
    if isinstance(sample_weight, Tensor):
        return sample_weight.to(values.device, values.dtype)
    return torch.as_tensor(as_array(sample_weight), dtype=values.dtype, device=values.device)


def divide_no_nan(a, b):
    """`a / b`, and 0 where `b` is 0."""
    zero = b == 0
    return torch.where(zero, 0.0, a / torch.where(zero, 1.0, b))
