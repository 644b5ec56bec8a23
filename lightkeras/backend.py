"""`keras.backend`: the settings of Keras 3, and the functions of Keras 1 and 2 on torch tensors.

The older functions take tensors, symbolic tensors and arrays. Nothing of it is
needed in new code, where torch functions and `ops` do the same.
"""

from __future__ import annotations

import builtins
import math

import numpy as np
import torch
import torch.nn.functional as F

from lightkeras import activations, ops, random
from lightkeras._device import default_device
from lightkeras._dtypes import (
    as_tensor,
    dtype_name,
    is_float,
    is_int,
    native,
    result_type,
    torch_dtype,
)
from lightkeras._graph import is_keras_tensor
from lightkeras._older import lacking
from lightkeras._registry import did_you_mean, get_uid
from lightkeras._variable import State, Weight
from lightkeras.config import (
    backend,
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from lightkeras.ops._op import family
from lightkeras.utils._session import clear_session

# fmt: off
__all__ = [
    "abs", "all", "any", "arange", "argmax", "argmin", "backend", "batch_dot", "batch_flatten",
    "binary_crossentropy", "cast", "cast_to_floatx", "categorical_crossentropy", "clear_session",
    "clip", "concatenate", "constant", "cos", "dot", "dropout", "dtype", "epsilon", "equal",
    "eval", "exp", "expand_dims", "eye", "flatten", "floatx", "gather", "get_uid", "get_value",
    "gradients", "greater", "greater_equal", "image_data_format", "image_dim_ordering",
    "int_shape", "is_float_dtype", "is_int_dtype", "is_keras_tensor", "l2_normalize", "less",
    "less_equal", "log", "logsumexp", "max", "maximum", "mean", "min", "minimum",
    "moving_average_update", "ndim", "not_equal", "one_hot", "ones", "ones_like",
    "permute_dimensions", "pow", "prod", "random_normal", "random_uniform", "relu",
    "repeat_elements", "reshape", "result_type", "reverse", "round", "set_epsilon", "set_floatx",
    "set_image_data_format", "set_image_dim_ordering", "set_value", "shape", "sigmoid", "sign",
    "sin", "softmax", "softplus", "softsign", "sqrt", "square", "squeeze", "stack",
    "standardize_dtype", "std", "stop_gradient", "sum", "switch", "tanh", "tile", "transpose",
    "truncated_normal", "update", "update_add", "update_sub", "var", "variable", "zeros",
    "zeros_like",
]
# fmt: on


_op = family(None)  # ops that Keras has no class for


# ---- Keras 3 ------------------------------------------------------------------------------------

standardize_dtype = dtype_name
is_float_dtype = is_float
is_int_dtype = is_int


# ---- making and reading tensors -----------------------------------------------------------------


def constant(value, dtype=None, shape=None, name=None):
    """A tensor of `value`; with `shape`, filled with it."""
    new = torch.as_tensor(native(value), dtype=torch_dtype(dtype), device=default_device())
    return new if shape is None else new.expand(tuple(shape)).clone()


def variable(value, dtype=None, name=None, constraint=None):
    """A tensor with a name that `set_value` and `update` overwrite; floats get gradients."""
    new = (
        torch.as_tensor(native(value), dtype=torch_dtype(dtype), device=default_device())
        .detach()
        .clone()
    )
    new = Weight(new) if new.is_floating_point() else State(new)
    new.path, new.constraint = name or "", constraint
    return new


def zeros(shape, dtype=None, name=None):
    """All 0."""
    return torch.zeros(shape, dtype=torch_dtype(dtype), device=default_device())


def ones(shape, dtype=None, name=None):
    """All 1."""
    return torch.ones(shape, dtype=torch_dtype(dtype), device=default_device())


def eye(size, dtype=None, name=None):
    """The identity matrix."""
    return torch.eye(size, dtype=torch_dtype(dtype), device=default_device())


def arange(start, stop=None, step=1, dtype="int32"):
    """Numbers from `start` to `stop` (excluded); one number is the stop."""
    ends = (0, builtins.max(start, 0)) if stop is None else (start, stop)
    return torch.arange(*ends, step, dtype=torch_dtype(dtype), device=default_device())


def get_value(x):
    """A tensor as an array on the host; anything else as it is."""
    if isinstance(x, torch.Tensor):
        return x.detach().cpu().numpy()[()]
    return x.numpy()[()] if hasattr(x, "numpy") else x


eval = get_value


def set_value(x, value):
    """Overwrite a variable.

    Raises:
        TypeError: `x` is no tensor.
        ValueError: the shapes differ.

    >>> v = variable([1.0, 2.0])
    >>> set_value(v, [3.0, 4.0])
    >>> get_value(v)
    array([3., 4.], dtype=float32)
    """
    if not isinstance(x, torch.Tensor):
        if hasattr(x, "assign"):  # a learning rate, a kernel in Keras's layout
            x.assign(value)
            return
        raise TypeError(
            f"set_value() got {type(x).__name__}. A variable or tensor is accepted. "
            "Set an attribute instead: optimizer.learning_rate = 0.01."
        )
    value = torch.as_tensor(value)
    if value.shape != x.shape:
        raise ValueError(
            f"set_value() got a value of shape {tuple(value.shape)} for one of shape "
            f"{tuple(x.shape)}. The shapes must be equal. Reshape the value first."
        )
    update(x, value)


@torch.no_grad()
def update(x, new_x):
    """Overwrite a variable; returns it."""
    return x.copy_(as_tensor(new_x))


@torch.no_grad()
def update_add(x, increment):
    """Add to a variable in place; returns it."""
    return x.add_(as_tensor(increment))


@torch.no_grad()
def update_sub(x, decrement):
    """Subtract from a variable in place; returns it."""
    return x.sub_(as_tensor(decrement))


@torch.no_grad()
def moving_average_update(x, value, momentum):
    """`momentum * x + (1 - momentum) * value`, in place; returns the variable."""
    return x.lerp_(torch.as_tensor(value, dtype=x.dtype, device=x.device), 1 - momentum)


def gradients(loss, variables):
    """Gradients of the sum of `loss` with respect to each of `variables`."""
    several = isinstance(variables, (list, tuple))
    wanted = variables if several else [variables]
    return list(torch.autograd.grad(loss.sum(), wanted, create_graph=True, allow_unused=True))


# ---- shapes and dtypes --------------------------------------------------------------------------


def shape(x):
    """The shape, whose entries are numbers and can be used in other shapes."""
    return x.shape


def int_shape(x):
    """The shape as a tuple; unknown sizes are None."""
    return tuple(x.shape)


def ndim(x):
    """Number of axes."""
    return len(x.shape)


def dtype(x):
    """Name of the dtype."""
    return dtype_name(x.dtype)


cast = ops.cast


def cast_to_floatx(x):
    """A tensor or an array in the default float type."""
    if isinstance(x, torch.Tensor) or is_keras_tensor(x):
        return cast(x, floatx())
    return np.asarray(x, dtype=floatx())


def image_dim_ordering():
    """Keras 1's name of the image layout: "tf" is channels_last, "th" channels_first."""
    return "tf" if image_data_format() == "channels_last" else "th"


def set_image_dim_ordering(dim_ordering):
    """Set the image layout by Keras 1's name."""
    names = {"tf": "channels_last", "th": "channels_first"}
    set_image_data_format(names.get(dim_ordering, dim_ordering))


# ---- elementwise --------------------------------------------------------------------------------


abs = ops.absolute
cos = ops.cos
equal = ops.equal
exp = ops.exp
greater = ops.greater
greater_equal = ops.greater_equal
less = ops.less
less_equal = ops.less_equal
log = ops.log
maximum = ops.maximum
minimum = ops.minimum
not_equal = ops.not_equal
ones_like = ops.ones_like
pow = ops.power
round = ops.round
sigmoid = activations.sigmoid
sign = ops.sign
sin = ops.sin
softplus = activations.softplus
softsign = activations.softsign
square = ops.square
stop_gradient = ops.stop_gradient
tanh = activations.tanh
zeros_like = ops.zeros_like


def sqrt(x):
    """Square root; 0 for negative values."""
    return ops.sqrt(ops.maximum(x, 0))


def clip(x, min_value=None, max_value=None):
    """x brought between two numbers; None: no limit."""
    low, high = -math.inf if min_value is None else min_value, max_value
    return ops.clip(x, low, math.inf if high is None else high)


def relu(x, alpha=0.0, max_value=None, threshold=0.0):
    """`activations.relu`, whose slope was called alpha."""
    return activations.relu(x, alpha, max_value, threshold)


def softmax(x, axis=-1):
    """`activations.softmax`."""
    return activations.softmax(x, axis)


def switch(condition, then_expression, else_expression):
    """The one where the condition holds, else the other; both may be functions of nothing.

    >>> switch(torch.tensor([True, False]), torch.ones(2, 3), torch.zeros(2, 3))
    tensor([[1., 1., 1.],
            [0., 0., 0.]])
    """
    then, other = (e() if callable(e) else e for e in (then_expression, else_expression))
    condition = cast(condition, "bool")
    for _ in range(ndim(as_tensor(then)) - ndim(condition)):
        condition = torch.unsqueeze(condition, -1)
    return torch.where(condition, then, other)


# ---- along axes ---------------------------------------------------------------------------------


all = ops.all
any = ops.any
logsumexp = ops.logsumexp
max = ops.max
mean = ops.mean  # of booleans: the share that is true
min = ops.min
prod = ops.prod
std = ops.std
sum = ops.sum
var = ops.var


def argmax(x, axis=-1):
    """Position of the largest."""
    return ops.argmax(x, axis)


def argmin(x, axis=-1):
    """Position of the smallest."""
    return ops.argmin(x, axis)


@_op
def l2_normalize(x, axis=None):
    """x over its length along an axis."""
    energy = torch.sum(torch.square(x), axis, keepdim=True)
    return x * torch.rsqrt(torch.clamp(energy, min=1e-12))


# ---- moving values around -----------------------------------------------------------------------


stack = ops.stack


def concatenate(tensors, axis=-1):
    """Tensors one after the other along an axis."""
    return ops.concatenate(tensors, axis)


def reshape(x, shape):
    """The same values in another shape."""
    return ops.reshape(x, shape)


def flatten(x):
    """All values in one axis."""
    return ops.reshape(x, (-1,))


@_op
def batch_flatten(x):
    """All values of a sample in one axis: `(batch, ...)` -> `(batch, n)`."""
    return torch.flatten(x, 1)


def transpose(x):
    """All axes in reverse order."""
    return ops.transpose(x)


def permute_dimensions(x, pattern):
    """The axes in the order of `pattern`."""
    return ops.transpose(x, pattern)


def expand_dims(x, axis=-1):
    """A new axis of size 1."""
    return ops.expand_dims(x, axis)


def squeeze(x, axis):
    """Without this axis of size 1."""
    return ops.squeeze(x, axis)


def tile(x, n):
    """The whole tensor repeated, `n[i]` times along axis i."""
    return ops.tile(x, n)


def repeat_elements(x, rep, axis):
    """Every slice along an axis `rep` times in a row."""
    return ops.repeat(x, rep, axis)


def reverse(x, axes):
    """Turned round along one axis or several."""
    return ops.flip(x, axes)


def gather(reference, indices):
    """The slices of the first axis at these positions."""
    return ops.take(reference, indices, axis=0)


def one_hot(indices, num_classes):
    """1 at each index, 0 elsewhere: `(...)` -> `(..., num_classes)`."""
    return ops.one_hot(indices, num_classes)


# ---- products and losses ------------------------------------------------------------------------


@_op("x", "y")
def dot(x, y):
    """Product over the last axis of x and the last but one of y.

    >>> dot(torch.ones(2, 3, 4), torch.ones(4, 5)).shape
    torch.Size([2, 3, 5])
    """
    return torch.matmul(x, y) if ndim(y) == 2 else torch.tensordot(x, y, dims=([-1], [-2]))


@_op("x", "y")
def batch_dot(x, y, axes=None):
    """Product of each sample of x with the same sample of y.

    Args:
        x: Tensor, batch first.
        y: Tensor, batch first.
        axes: The axis of x and the axis of y that are summed over, or one number for both; by
            default the last of x and the last but one of y.

    >>> batch_dot(torch.ones(2, 3, 4), torch.ones(2, 4, 5)).shape
    torch.Size([2, 3, 5])
    """
    if axes is None:
        axes = (-1, -1 if y.ndim == 2 else -2)
    a, b = (axes, axes) if isinstance(axes, int) else axes
    in_x = list(range(x.ndim))
    in_y = [0, *range(x.ndim, x.ndim + y.ndim - 1)]
    summed = in_y[b] = in_x[a]
    kept = [i for i in in_x + in_y[1:] if i != summed]
    product = torch.einsum(x, in_x, y, in_y, kept)
    return product[:, None] if len(kept) == 1 else product


def binary_crossentropy(target, output, from_logits=False):
    """Crossentropy of each value; `losses.binary_crossentropy` is its mean."""
    target, output = as_tensor(target), as_tensor(output)
    if from_logits:
        return F.binary_cross_entropy_with_logits(output, target, reduction="none")
    output = torch.clamp(output, epsilon(), 1 - epsilon())
    yes, no = torch.log(output + epsilon()), torch.log(1 - output + epsilon())
    return -(target * yes + (1 - target) * no)


def categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """Crossentropy of probabilities (or logits) with one-hot targets."""
    target, output = as_tensor(target), as_tensor(output)
    if from_logits:
        return -torch.sum(target * torch.log_softmax(output, axis), axis)
    output = output / torch.sum(output, axis, keepdim=True)
    return -torch.sum(target * torch.log(torch.clamp(output, epsilon(), 1 - epsilon())), axis)


# ---- random numbers -----------------------------------------------------------------------------

dropout = random.dropout
random_normal = random.normal
random_uniform = random.uniform
truncated_normal = random.truncated_normal

# ---- what has gone ------------------------------------------------------------------------------

_GONE = {
    "function": "Make a Model(inputs, outputs) and call it.",
    "get_session": "There are no sessions: tensors have values at once.",
    "learning_phase": "A layer's call() has an argument `training`.",
    "placeholder": "Use layers.Input(shape).",
    "set_learning_phase": "Pass training=True or False when calling the model.",
    "set_session": "There are no sessions: tensors have values at once.",
}


def __getattr__(name):
    advice = (
        _GONE.get(name) or did_you_mean(name, __all__).strip() or "Torch functions take tensors."
    )
    raise lacking(f"lightkeras.backend has no {name!r}. {advice}")
