"""Mistakes in what a model is given, seen before the first step and never in one."""

from __future__ import annotations

import inspect
import math
import warnings
from numbers import Real

import numpy as np
import torch

from lightkeras import _data, losses
from lightkeras._config import _outside
from lightkeras._graph import Function
from lightkeras._outputs import Outputs
from lightkeras._text import Text, refusal
from lightkeras._tree import flatten, map_structure

__all__ = [
    "check_frequency",
    "check_head",
    "check_inputs",
    "check_options",
    "check_targets",
    "check_torch_optimizer",
    "few",
    "guard",
    "no_optimizer",
    "no_outputs",
    "reason",
    "row_shapes",
    "warn_frozen",
]

# What may come before the first kernel and makes raw bytes usable.
_SCALING = ("Rescaling", "Normalization", "Embedding", "Discretization", "CategoryEncoding")


def few(tree):
    """The first two rows of a tree of tensors."""
    return map_structure(lambda t: None if t is None else t[:2], tree)


def row_shapes(tree):
    """Shapes of the leaves of a tree without their rows."""
    return [None if t is None else tuple(t.shape[1:]) for t in flatten(tree)]


# ---- inputs -----------------------------------------------------------------------------------


def check_inputs(model, batches, name="x"):
    """Refuse x where it has not the shapes that the model was built for.

    Like Keras's, a Sequential takes other sizes where its layers do.

    Args:
        model: A model; one without a graph says itself what it cannot take.
        batches: What has `peek()`; `rows` tells the size of whole arrays.
        name: What x is called in errors.
    """
    x = batches.peek()[0]
    if isinstance(batches, _data.Batches) and not isinstance(batches, _data.Arrays):
        _data.warn_not_finite(x, name)  # of arrays it has been said
    if model._plan is None:
        return
    rows = getattr(batches, "rows", None)
    for tensor, leaf in zip(model.inputs, model._leaves(x), strict=True):
        given = name if len(model.inputs) == 1 else f"{name}[{tensor.name!r}]"
        if leaf is None:
            _check_optional(model, tensor, given)
            continue
        _check_kind(model, tensor, leaf, given)
        shape = (rows or leaf.shape[0], *leaf.shape[1:])
        if not _fits(tensor.shape, shape) and not _runs(model, x, len(tensor.shape)):
            raise _misfit(model, tensor.shape, shape, given)
    if any(t is not None and t.dtype is torch.uint8 for t in flatten(x)):
        _data.warn_unscaled(x, _takes_bytes(model))


def _check_optional(model, tensor, name):
    if not getattr(tensor._keras_history[0], "optional", True):
        raise ValueError(
            f"{name} is None, and {model.name!r} needs it. An array is accepted there. Pass one, "
            "or make it Input(..., optional=True)."
        )


def _check_kind(model, tensor, leaf, name):
    """Strings go to Inputs of strings, and numbers to the others."""
    if (type(leaf) is Text) == (tensor.dtype == "string"):
        return
    if type(leaf) is Text:
        raise refusal(leaf.words.array, name)
    raise TypeError(
        f"{name} holds {str(leaf.dtype).removeprefix('torch.')}, and the Input {tensor.name!r} of "
        f"{model.name!r} takes strings. Convert it with astype(str), or give the Input another "
        "dtype."
    )


def _fits(wanted, shape):
    """Whether the shapes are equal where both are known."""
    return len(wanted) == len(shape) and all(
        w is None or w == n for w, n in zip(wanted[1:], shape[1:], strict=True)
    )


def _runs(model, x, rank):
    """Whether a stack takes x all the same: other sizes on axes that no weight depends on."""
    if not hasattr(model, "_stack") or not isinstance(x, torch.Tensor) or x.ndim != rank:
        return False
    try:
        model._few_outputs(x)
    except (ValueError, RuntimeError, IndexError):
        return False
    return True


def _misfit(model, wanted, shape, name):
    shape = tuple(shape)
    hint = f"Reshape {name}, or change the Input."
    one = f"{name}[None]"
    if len(wanted) > 2 and len(shape) == len(wanted) - 1 and shape[1:] == wanted[2:]:
        hint = f"One sample? Add the batch axis: {one}. "
        hint += f"Is {wanted[1]} the batch size? Leave it out of Input: Input({wanted[2:]})."
    elif shape == wanted[1:]:
        hint = f"For one sample, add the batch axis: {one}."
    elif len(shape) == len(wanted) and shape[1:-1] == wanted[1:-1]:
        hint = f"It expects {wanted[-1]} features, {name} has {shape[-1]}."
    elif len(wanted) == 2 and len(shape) > 2 and wanted[1] == np.prod(shape[1:]):
        hint = f"Type {name}.reshape(-1, {wanted[1]}), or add a Flatten() layer."
    return ValueError(
        f"{model.name!r} was built for x of shape {wanted}, got {name} of shape {shape}. {hint}"
    )


def _takes_bytes(model):
    """Whether something comes before the first kernel that makes raw bytes usable."""
    for operation in model.operations:
        kind = type(operation)
        if kind.__name__ in (*_SCALING, "BatchNormalization", "Lambda") or kind is Function:
            return True
        if hasattr(operation, "operations"):  # a model inside
            return _takes_bytes(operation)
        if not kind.__module__.startswith("lightkeras."):
            return True  # what it does is not known
        if operation.weights:
            return False
    return False


def no_outputs(owner, given):
    """The error for outputs that nothing can be computed from."""
    return TypeError(
        f"{owner} returned {'None' if given is None else type(given).__name__}. A tensor, or a "
        "list or dict of tensors, is expected. End call() with return outputs."
    )


# ---- targets ----------------------------------------------------------------------------------


def check_targets(model, batches, names=("x", "y", "sample_weight")):
    """Refuse classes out of range, NaN and shapes that would broadcast.

    All rows of arrays are looked at; of data that comes in batches, the first one.

    Args:
        model: A model whose losses are bound to outputs.
        batches: What has `peek()`; `y` and `w` are whole arrays.
        names: What inputs, targets and weights are called in errors.
    """
    parts = model._compiled.parts or ()
    if all(part.loss is None for part in parts):
        return
    x, y, w = batches.peek()
    whole = getattr(batches, "y", None) is not None
    if y is None:
        raise _no_targets(model, names[1])
    if row_shapes(x) == model._compiled.seen:
        shapes = model._compiled.shapes
    else:  # axes that differ from batch to batch
        shapes = [tuple(t.shape) for t in flatten(model._few_outputs(x))]
    if not isinstance(batches, _data.Arrays):  # of which it has been seen to
        _data.check_rows((x, y, w), names)
        _data.check_weights(w, names[2])
    _check_parts(model, batches.y if whole else y, batches.w if whole else w, shapes, names, whole)
    if isinstance(batches, _data.Batches) and not whole:
        batches.guard = guard(model, names[1])


def _check_parts(model, y, w, shapes, names=("x", "y", "sample_weight"), whole=True):
    compiled = model._compiled
    targets = compiled.outputs.aligned(y, names[1])
    weights = compiled.outputs.aligned(w, names[2], spread=True)
    for part, target, weight, shape in zip(compiled.parts, targets, weights, shapes, strict=True):
        if part.loss is None or not isinstance(target, torch.Tensor):
            continue
        name = names[1] + part.place
        losses.check_targets(part.loss, target, (None, *shape[1:]), name, whole)
        losses.check_sample_weight(part.loss, weight, (len(target), *shape[1:]))


def guard(model, name="y"):
    """Function that refuses targets of classes which do not exist; None where none are expected.

    For data that goes to an accelerator, where such a class would end the process.
    """
    parts = model._compiled.parts or ()
    classes = [losses.number_of_classes(part.loss, part.shape) for part in parts]
    if not any(classes):
        return None

    def look(y):
        targets = model._compiled.outputs.aligned(y, name)
        for part, target, n in zip(parts, targets, classes, strict=True):
            if n and isinstance(target, torch.Tensor) and target.device.type == "cpu":
                low, high = target.aminmax() if target.numel() else (0, 0)
                if low < 0 or high >= n:
                    losses.check_targets(part.loss, target, part.shape, name, whole=False)

    return look


def _no_targets(model, name):
    give = "validation_data=(x_val, y_val)" if name == "y_val" else "y, or batches of (x, y)"
    return ValueError(
        f"{model.name!r} was compiled with a loss, which needs targets, and got no {name}. Targets "
        f"for each row are expected. Pass {give}."
    )


def reason(model, y, y_pred):
    """The error in words for a loss that failed; None where the targets are not the cause."""
    parts = model._compiled.parts
    if not parts or all(part.loss is None for part in parts):
        return None
    if y is None:
        return _no_targets(model, "y")
    try:
        _check_parts(model, y, None, [tuple(t.shape) for t in flatten(y_pred)])
    except ValueError as error:
        return error
    except RuntimeError:  # of an accelerator that has given up
        return None
    return None


# ---- compile and fit --------------------------------------------------------------------------


def check_head(model):
    """Losses that cannot fit the last layers are refused at `compile`, or when shapes are known."""
    compiled = model._compiled
    if model._plan is None or compiled.checked:
        return
    compiled.checked = True
    outputs = Outputs(model._plan.outputs, model._output_keys)
    given = {
        what: outputs.spread(compiled.config[what], what)
        for what in ("loss", "loss_weights", "metrics", "weighted_metrics")
    }
    for tensor, loss in zip(model.outputs, given["loss"], strict=True):
        if loss is not None and tensor.ndim:
            losses.check_output(loss, _activation(tensor), tensor.shape[-1])


def _activation(tensor):
    """Name of the activation that a symbolic output comes from; None where it is not known."""
    last = tensor._keras_history[0]
    while getattr(last, "_plan", None) is not None and len(last.outputs) == 1:  # a model inside
        last = last.outputs[0]._keras_history[0]
    if type(last).__name__ in ("Softmax", "ReLU"):
        return type(last).__name__.lower()
    return getattr(getattr(last, "activation", None), "__name__", None)


def check_options(
    optimizer, loss, loss_weights, metrics, steps_per_execution, jit_compile, trainer
):
    """Refuse arguments of `compile` that would fail in the first step, or do nothing."""
    for what, given in (("loss", loss), ("metrics", metrics)):
        for function in filter(inspect.isfunction, flatten(given)):
            _check_two_arguments(what, function)
    if isinstance(optimizer, type):
        call = f"{optimizer.__name__}()"
        if issubclass(optimizer, torch.optim.Optimizer) and not hasattr(optimizer, "build"):
            call = f"torch.optim.{optimizer.__name__}(model.parameters())"
        raise ValueError(
            f"compile(optimizer={optimizer.__name__}) is a class. An optimizer is a name or an "
            f"object. Type {call}."
        )
    if isinstance(optimizer, (list, tuple)) and len(optimizer) == 2:
        _check_scheduler(*optimizer)
    for weight in flatten(loss_weights):
        if weight is not None and not _finite(weight):
            raise ValueError(
                f"compile(loss_weights=) holds {weight!r}. Finite numbers are accepted, one for "
                "each output. Type for example loss_weights=[1.0, 0.5]."
            )
    _data.check_steps(steps_per_execution, "steps_per_execution")
    if not (jit_compile is None or isinstance(jit_compile, bool) or _is_text(jit_compile, "auto")):
        raise ValueError(
            f"compile(jit_compile={jit_compile!r}) is not known. True, False and 'auto' are "
            "accepted. Type jit_compile=True."
        )
    if trainer is not None and not isinstance(trainer, dict):
        raise TypeError(
            f"compile(trainer=) got {type(trainer).__name__}. A dict of Trainer flags is accepted. "
            "Type trainer={'devices': 2}; a Trainer itself goes to fit(trainer=...)."
        )


def _check_scheduler(optimizer, scheduler):
    kind = type(optimizer).__name__
    new = "torch.optim.lr_scheduler.StepLR(optimizer, 10)"
    if not (hasattr(scheduler, "step") and hasattr(scheduler, "optimizer")):
        raise TypeError(
            f"compile(optimizer=) got {kind} with {type(scheduler).__name__} as its scheduler. A "
            f"torch scheduler of that optimizer is accepted. Type compile((optimizer, {new}), ...)."
        )
    if scheduler.optimizer is not optimizer:
        raise ValueError(
            f"compile(optimizer=) got {kind} with a {type(scheduler).__name__} that moves another "
            "optimizer. Both must be of the same object. Type "
            f"compile((optimizer, {new}), ...)."
        )


def _is_text(value, text):
    return isinstance(value, str) and value == text


def _check_two_arguments(what, function):
    try:
        inspect.signature(function).bind(None, None)
    except TypeError as error:
        name = getattr(function, "__name__", what)
        raise TypeError(
            f"compile({what}=) got the function {name!r}, which cannot be called with two "
            f"arguments ({error}). It is given targets and outputs. Define it as "
            "f(y_true, y_pred)."
        ) from None


def _finite(value):
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return True
    number = isinstance(value, (Real, np.number)) and not isinstance(value, (bool, np.bool_))
    return number and math.isfinite(value)


def overwritten(error):
    """Why `backward` failed, where a tensor was changed that its gradient needs; else None."""
    if "modified by an inplace operation" not in str(error):
        return None
    return RuntimeError(
        "A layer or the loss has changed a tensor in place (a += b, a *= b, a[i] = b), and its "
        "gradient needs what was there. Tensors of torch are changed by these. Write a = a + b, "
        f"a = a * b, or ops.slice_update(a, ...). Torch says: {error}"
    )


def no_optimizer(model):
    """The error for training a model that was compiled with `optimizer=None`."""
    return ValueError(
        f"{model.name!r} was compiled without an optimizer, which training needs. A name or an "
        'object is accepted. Type model.compile("adam", ...).'
    )


def warn_frozen(model):
    """Say that nothing can be learned."""
    warnings.warn(
        f"{model.name!r} has no trainable weights: nothing is learned. Set trainable = True on the "
        "model or on some of its layers.",
        stacklevel=_outside(),
    )


def check_torch_optimizer(model):
    """A torch optimizer brings its own parameters: some must be this model's."""
    mine = {id(p) for p in model.parameters()}
    groups = model._compiled.optimizer.param_groups
    if mine and not any(id(p) in mine for group in groups for p in group["params"]):
        kind = type(model._compiled.optimizer).__name__
        raise ValueError(
            f"The torch optimizer {kind} holds no parameter of {model.name!r}: nothing would be "
            "learned. It must be made from this model's parameters, once it is built. Type "
            f"torch.optim.{kind}(model.parameters())."
        )


def check_frequency(value):
    """`validation_freq`: every so many epochs, or the epochs themselves, counted from 1."""
    given = value if isinstance(value, (list, tuple, set, range, np.ndarray)) else [value]
    whole = [
        hasattr(n, "__index__") and not isinstance(n, (bool, np.bool_)) and n >= 1 for n in given
    ]
    if not all(whole) or not whole:
        raise ValueError(
            f"fit(validation_freq={value!r}) is not a number of epochs. A whole number of at least "
            "1 is accepted, or a list of epochs. Type validation_freq=2, or [1, 5, 10]."
        )
    return [int(n) for n in given] if given is value else int(value)
