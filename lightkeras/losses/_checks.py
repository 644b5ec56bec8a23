"""Mistakes that can be seen before the first step: targets and last layers that do not fit a loss.

Values are read once, on the host, whole arrays at a time.
"""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import torch

from lightkeras.losses._base import mismatch, row_weights
from lightkeras.losses.structured import mismatch_of_circle

__all__ = [
    "check_output",
    "check_sample_weight",
    "check_targets",
    "identify",
    "number_of_classes",
]

_SPARSE = ("sparse_categorical_crossentropy", "categorical_generalized_cross_entropy")
_ONE_HOT = ("categorical_crossentropy", "categorical_focal_crossentropy", "categorical_hinge")
_BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
_ANY_SHAPE = ("circle", "ctc")
_ONE_VALUE = ("dice", "tversky")  # over all rows, whatever their shape
_SOFTMAX = ("categorical_crossentropy", "categorical_focal_crossentropy", *_SPARSE)


def identify(loss):
    """(function name, its options) of a built-in loss in any form; (None, {}) of any other."""
    from lightkeras import losses

    if isinstance(loss, str):
        loss = losses.table.entries.get(loss)
    if isinstance(loss, type):
        wraps = (
            issubclass(loss, losses.LossFunctionWrapper) and loss in losses.table.entries.values()
        )
        loss = losses.get(loss) if wraps and loss is not losses.LossFunctionWrapper else None
    options = {}
    while isinstance(loss, (partial, losses.LossFunctionWrapper)):
        if isinstance(loss, partial):
            loss, more = loss.func, loss.keywords
        else:
            loss, more = loss.fn, loss._fn_kwargs
        options = {**more, **options}
    name = getattr(loss, "__name__", None)
    return (name, options) if losses.table.entries.get(name) is loss and name else (None, {})


# ---- targets ----------------------------------------------------------------------------------


def check_targets(loss, y, output_shape, name="y", whole=True):
    """Look once at all targets, before the first step; nothing is said of a loss of one's own.

    Args:
        loss: Name, function or object.
        y: All targets, an array or tensor.
        output_shape: Shape of the output, with the batch axis; None where it is not known.
        name: What the targets are called in errors.
        whole: Whether y is all there is, so that classes that never come can be told.

    Raises:
        ValueError: targets that the loss would fail on, or would take without a word.

    >>> check_targets("sparse_categorical_crossentropy", np.array([0, 1, 3]), (None, 3))
    Traceback (most recent call last):
    ...
    ValueError: sparse_categorical_crossentropy expects labels 0..2, got y[2] = 3. More classes? \
Use Dense(4).
    """
    loss_name, options = identify(loss)
    y = None if loss_name is None else _host(y, loss_name, name)
    if y is None:
        return
    shape = (len(y), *output_shape[1:])
    if loss_name not in _ANY_SHAPE:
        _check_shape(loss_name, y.shape, shape, options, name)
    elif loss_name == "circle" and (len(shape) != 2 or y.shape not in ((len(y),), (len(y), 1))):
        raise mismatch_of_circle(y.shape, shape, name)
    low, high = y.min(), y.max()
    _check_finite(loss_name, y, low, high, name)
    if loss_name in _SPARSE:
        classes = shape[options.get("axis", -1)]
        _check_labels(loss_name, y, low, high, classes, options.get("ignore_class"), name, whole)
    elif loss_name in _BINARY:
        _check_binary(loss_name, y, low, high, name)
    elif loss_name in _ONE_HOT:
        if loss_name != "categorical_hinge":  # which also takes -1 for "not this class"
            _warn_no_shares(loss_name, y, low, high, name)
        if whole and shape[-1] is not None and options.get("axis", -1) == -1:
            seen = y.reshape(-1, shape[-1]).any(0).nonzero()[0]
            _warn_never_seen(seen.max(initial=0), shape[-1], y)


def number_of_classes(loss, output_shape):
    """How many class numbers a loss accepts as targets; None where targets are no class numbers.

    >>> number_of_classes("sparse_categorical_crossentropy", (32, 10))
    10
    """
    name, options = identify(loss)
    return output_shape[options.get("axis", -1)] if name in _SPARSE else None


def check_sample_weight(loss, weight, output_shape):
    """Refuse weights that fit neither the rows nor the values of a built-in loss.

    Args:
        loss: Name, function or object.
        weight: A tensor, or None.
        output_shape: Shape of the output, the number of rows included.

    >>> check_sample_weight("mse", torch.ones(8, 3), (8, 1))
    Traceback (most recent call last):
    ...
    ValueError: sample_weight of shape (8, 3) does not fit loss values of shape (8,). One weight \
per row, or one per value, is accepted. Use sample_weight of shape (8,).
    """
    loss_name, options = identify(loss)
    known = loss_name not in (None, *_ANY_SHAPE, *_ONE_VALUE) and options.get("axis", -1) == -1
    if weight is not None and known and None not in output_shape[:-1]:
        row_weights(torch.empty(output_shape[:-1], device="meta"), weight)


def _host(y, loss_name, name):
    """A numeric numpy array of the targets; None where there is nothing to look at."""
    if isinstance(y, torch.Tensor):
        y = y.detach()
        y = (y.float() if y.dtype is torch.bfloat16 else y).cpu().numpy()
    y = np.asarray(y)
    if y.dtype.kind == "c":
        raise ValueError(
            f"{name} holds complex numbers. {loss_name} expects real ones. Use {name}.real, "
            f"abs({name}), or both parts side by side."
        )
    return y if y.dtype.kind in "biuf" and y.size and y.ndim else None


def _check_shape(loss_name, true, pred, options, name):
    axis = options.get("axis", -1)
    if loss_name in _SPARSE:
        wanted = list(pred)
        del wanted[axis]
        fits = _fit(true, wanted) or (_fit(true, [*wanted, 1]) and len(true) == len(pred))
    else:
        fits = (
            _fit(true, pred)
            or _fit((*true, 1), pred)
            or (true[-1:] == (1,) and _fit(true[:-1], pred))
        )
    if not fits:
        raise mismatch(loss_name, true, pred, name)


def _fit(shape, wanted):
    """Whether the shapes are equal where both are known."""
    return len(shape) == len(wanted) and all(
        w is None or s == w for s, w in zip(shape, wanted, strict=True)
    )


def _check_finite(loss_name, y, low, high, name):
    if y.dtype.kind != "f":
        return
    if np.isnan(low):
        bad = np.isnan(y)
        raise ValueError(
            f"{name} contains NaN at {_index(bad)}, in {int(bad.sum())} of {y.size} values. "
            f"{loss_name} expects numbers. Leave those rows out, or fill them in."
        )
    limit = np.finfo(np.float32).max
    if low < -limit or high > limit:
        bad = np.abs(y) > limit
        raise ValueError(
            f"{_item(name, y, bad)} is more than float32 can hold. {loss_name} expects finite "
            "numbers. Scale the targets, for example to mean 0 and deviation 1."
        )


def _check_labels(loss_name, y, low, high, classes, ignore_class, name, whole):
    if y.dtype.kind == "f" and (fractional := y != np.floor(y)).any():
        raise ValueError(
            f"{loss_name} expects labels that are integers, got {_item(name, y, fractional)}. "
            'Class numbers from 0 are accepted. Use loss="mse" for real numbers.'
        )
    if classes is None:
        return
    bad = (y < 0) | (y >= classes) if low < 0 or high >= classes else None
    if bad is not None and ignore_class is not None:
        bad &= y != ignore_class
    if bad is None or not bad.any():
        return _warn_never_seen(high, classes, y) if whole else None
    if low < 0:
        advice = (
            f"Two classes -1 and 1? Use (y + 1) // 2. A mark for rows to leave out? "
            f"Use SparseCategoricalCrossentropy(ignore_class={int(low)})."
        )
    else:
        start = "Starts at 1? Use y - 1. " if low >= 1 else ""
        advice = f"{start}More classes? Use Dense({int(high) + 1})."
    raise ValueError(
        f"{loss_name} expects labels 0..{classes - 1}, got {_item(name, y, bad)}. {advice}"
    )


def _warn_never_seen(highest, classes, y):
    """A last layer with clearly more units than the targets have classes."""
    seen = int(highest) + 1
    rows = len(y)
    # By chance this many classes would be missing once in ten thousand times. Vocabularies, whose
    # last words are rare, are left alone.
    if classes <= 1000 and 1 < seen <= 0.75 * classes and (seen / classes) ** rows < 1e-4:
        warnings.warn(
            f"The last layer has {classes} outputs and the highest class among {rows} targets is "
            f"{seen - 1}: {classes - seen} classes are never seen. Use Dense({seen}).",
            stacklevel=_outside(),
        )


def _warn_no_shares(loss_name, y, low, high, name):
    """Targets of several classes that are no shares of 1."""
    if low < 0 or high > 1:
        bad = (y < 0) | (y > 1)
        warnings.warn(
            f"{loss_name} expects targets from 0 to 1, got {_item(name, y, bad)}. One-hot rows and "
            "probabilities are accepted. Use to_categorical(y) for class numbers.",
            stacklevel=_outside(),
        )


def _check_binary(loss_name, y, low, high, name):
    if low >= 0 and high <= 1:
        return
    bad = (y < 0) | (y > 1)
    head = f"{loss_name} expects targets from 0 to 1, got {_item(name, y, bad)}. "
    if y.dtype.kind == "f" and (y != np.floor(y)).any():
        # Real numbers: images that are not scaled, or noise added on purpose to the targets.
        warnings.warn(head + "Scale the targets, or use loss='mse'.", stacklevel=_outside())
    elif low == -1 and high == 1:
        raise ValueError(head + "Two classes -1 and 1? Use (y + 1) / 2, or loss='hinge'.")
    elif low == 1 and high == 2:
        raise ValueError(head + "Two classes 1 and 2? Use y - 1.")
    elif high > 100:
        raise ValueError(head + "Images? Use y / 255.")
    else:
        raise ValueError(
            head + f"More than two classes? Use Dense({int(high) + 1}, activation='softmax') and "
            "loss='sparse_categorical_crossentropy'."
        )


def _index(bad):
    position = np.unravel_index(int(bad.argmax()), bad.shape)
    return ", ".join(str(int(i)) for i in position)


def _item(name, y, bad):
    """`y[3] = 7`: the first entry for which `bad` is True."""
    value = y.reshape(-1)[int(bad.argmax())].item()
    shown = int(value) if abs(value) < 1e15 and value == int(value) else f"{value:.6g}"
    return f"{name}[{_index(bad)}] = {shown}"


def _outside():
    from lightkeras._config import _outside as level

    return level() - 1


# ---- the last layer ---------------------------------------------------------------------------


def check_output(loss, activation_name, units=None):
    """Does the last layer fit the loss? Called by `compile`.

    Args:
        loss: Name, function or object; None and losses of one's own are accepted.
        activation_name: Of the last layer; None where it is not known.
        units: Of the last layer; None where they are not known.

    Raises:
        ValueError: the output would be the same whatever the model learns.

    Warns where the loss takes the output for something that it is not.
    """
    loss_name, options = identify(loss)
    if units == 1 and activation_name == "softmax":
        raise ValueError(
            "The last layer has 1 unit with softmax, so its output is always 1. Softmax compares "
            "units with each other. Use Dense(1, activation='sigmoid')."
        )
    if units == 1 and loss_name in _SOFTMAX:
        raise ValueError(
            f"{loss_name} got a last layer with 1 unit, for which it is always 0. It expects one "
            "unit per class. Use loss='binary_crossentropy', or Dense(2, activation='softmax')."
        )
    complaint = _complaint(loss_name, options.get("from_logits", False), activation_name)
    if complaint:
        warnings.warn(complaint, stacklevel=_outside())


def _complaint(loss_name, from_logits, activation):
    """The warning for an activation that a crossentropy does not expect, or None."""
    wanted = {**dict.fromkeys(_SOFTMAX[:3], "softmax"), **dict.fromkeys(_BINARY, "sigmoid")}
    if loss_name not in wanted or activation is None:
        return None
    right = wanted[loss_name]
    if from_logits and activation in ("softmax", "sigmoid"):
        return (
            f"{loss_name} with from_logits=True got outputs of {activation}, which are "
            f"probabilities. It applies {right} itself. Drop from_logits=True, or the activation."
        )
    if not from_logits and right == "softmax" and activation == "sigmoid":
        return (
            f"{loss_name} got outputs of sigmoid. It expects probabilities that add up to 1. "
            "Use activation='softmax', or loss='binary_crossentropy' where several may be true."
        )
    if not from_logits and activation in ("linear", "relu", "tanh"):
        return (
            f"{loss_name} got outputs of {activation}, which are no probabilities. It expects "
            f"those of {right}. Use activation='{right}', or from_logits=True in the loss object "
            "and no activation."
        )
    return None
