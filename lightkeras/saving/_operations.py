"""Plain operations in a graph (`x + y`, `torch.mean(x, 1)`) and Keras's names for them."""

from __future__ import annotations

import operator

import torch
import torch.nn.functional as F

from lightkeras._dtypes import dtype_name, torch_dtype
from lightkeras._graph import Function, is_keras_tensor
from lightkeras._registry import did_you_mean, to_snake

__all__ = ["KERAS_OPERATIONS", "from_keras", "is_operation", "to_keras"]


def maximum(x1, x2):
    """The larger of two tensors, or of a tensor and a number."""
    return torch.maximum(*_tensors(x1, x2))


def minimum(x1, x2):
    """The smaller of two tensors, or of a tensor and a number."""
    return torch.minimum(*_tensors(x1, x2))


def _tensors(x1, x2):
    like = x1 if isinstance(x1, torch.Tensor) else x2
    return (torch.as_tensor(x, dtype=like.dtype, device=like.device) for x in (x1, x2))


def cast(x, dtype):
    """A tensor of another dtype."""
    return x.to(torch_dtype(dtype))


class _Operation:
    """One row: Keras's class, the torch functions that mean the same, and their arguments.

    Args:
        keras: Place below `keras.src.ops`: "numpy.Mean".
        functions: The torch functions; the first one is used for what is read.
        inputs: Number of arguments of the call; the others belong to Keras's constructor.
        **names: Keras's constructor arguments, in torch's order: {its name: torch's name}.
    """

    def __init__(self, keras, *functions, inputs=1, **names):
        module, self.name = keras.split(".")
        self.module = f"keras.src.ops.{module}"
        self.functions = functions
        self.inputs = inputs
        self.names = names


_ROWS = (
    _Operation("numpy.Add", operator.add, torch.add, inputs=2),
    _Operation("numpy.Subtract", operator.sub, torch.sub, torch.subtract, inputs=2),
    _Operation("numpy.Multiply", operator.mul, torch.mul, torch.multiply, inputs=2),
    _Operation("numpy.TrueDivide", operator.truediv, torch.div, torch.true_divide, inputs=2),
    _Operation("numpy.Divide", operator.truediv, inputs=2),
    _Operation("numpy.FloorDivide", operator.floordiv, torch.floor_divide, inputs=2),
    _Operation("numpy.Mod", operator.mod, torch.remainder, inputs=2),
    _Operation("numpy.Power", operator.pow, torch.pow, inputs=2),
    _Operation("numpy.Matmul", operator.matmul, torch.matmul, inputs=2),
    _Operation("numpy.Maximum", maximum, torch.maximum, inputs=2),
    _Operation("numpy.Minimum", minimum, torch.minimum, inputs=2),
    _Operation("numpy.Equal", operator.eq, torch.eq, inputs=2),
    _Operation("numpy.NotEqual", operator.ne, torch.ne, inputs=2),
    _Operation("numpy.Greater", operator.gt, torch.gt, inputs=2),
    _Operation("numpy.GreaterEqual", operator.ge, torch.ge, inputs=2),
    _Operation("numpy.Less", operator.lt, torch.lt, inputs=2),
    _Operation("numpy.LessEqual", operator.le, torch.le, inputs=2),
    _Operation("numpy.LogicalAnd", torch.logical_and, inputs=2),
    _Operation("numpy.LogicalOr", torch.logical_or, inputs=2),
    _Operation("numpy.LogicalNot", torch.logical_not),
    _Operation("numpy.Where", torch.where, inputs=3),
    _Operation("numpy.GetItem", operator.getitem, inputs=2),
    _Operation("numpy.Negative", operator.neg, torch.neg),
    _Operation("numpy.Absolute", operator.abs, torch.abs, torch.absolute),
    _Operation("numpy.Abs", operator.abs),
    _Operation("numpy.Exp", torch.exp),
    _Operation("numpy.Log", torch.log),
    _Operation("numpy.Sqrt", torch.sqrt),
    _Operation("numpy.Square", torch.square),
    _Operation("numpy.Sin", torch.sin),
    _Operation("numpy.Cos", torch.cos),
    _Operation("numpy.Sign", torch.sign),
    _Operation("numpy.Tanh", torch.tanh, F.tanh),
    _Operation("numpy.Mean", torch.mean, axis="dim", keepdims="keepdim"),
    _Operation("numpy.Sum", torch.sum, axis="dim", keepdims="keepdim"),
    _Operation("numpy.Max", torch.amax, axis="dim", keepdims="keepdim"),
    _Operation("numpy.Min", torch.amin, axis="dim", keepdims="keepdim"),
    _Operation("numpy.Argmax", torch.argmax, axis="dim", keepdims="keepdim"),
    _Operation("numpy.Clip", torch.clamp, torch.clip, x_min="min", x_max="max"),
    _Operation("numpy.Reshape", torch.reshape, newshape="shape"),
    _Operation("numpy.Transpose", torch.permute, axes="dims"),
    _Operation("numpy.Swapaxes", torch.transpose, torch.swapaxes, axis1="dim0", axis2="dim1"),
    _Operation("numpy.ExpandDims", torch.unsqueeze, axis="dim"),
    _Operation("numpy.Squeeze", torch.squeeze, axis="dim"),
    _Operation("numpy.Concatenate", torch.cat, torch.concat, torch.concatenate, axis="dim"),
    _Operation("numpy.Stack", torch.stack, axis="dim"),
    _Operation("math.Rsqrt", torch.rsqrt),
    _Operation("core.Cast", cast, dtype="dtype"),
    _Operation("nn.Relu", torch.relu, F.relu),
    _Operation("nn.Sigmoid", torch.sigmoid, F.sigmoid),
    _Operation("nn.Silu", F.silu),
    _Operation("nn.Elu", F.elu, alpha="alpha"),
    _Operation("nn.LeakyRelu", F.leaky_relu, negative_slope="negative_slope"),
    _Operation("nn.Softmax", torch.softmax, F.softmax, axis="dim"),
    _Operation("nn.LogSoftmax", torch.log_softmax, F.log_softmax, axis="dim"),
)
KERAS_OPERATIONS = {row.name: row for row in _ROWS}
_BY_FUNCTION = {fn: row for row in reversed(_ROWS) for fn in row.functions}
# torch's defaults where Keras's differ; and switches of torch that change no number.
_DEFAULTS = {
    ("Concatenate", "axis"): 0,
    ("Stack", "axis"): 0,
    ("LeakyRelu", "negative_slope"): 0.01,
    ("Elu", "alpha"): 1.0,
}
_IDLE = ("inplace", "_stacklevel", "dtype", "out")


def is_operation(config) -> bool:
    """Whether a stored layer is a plain operation."""
    return str(config.get("module")).startswith("keras.src.ops.")


def to_keras(function):
    """(config of a Function, [(call arguments) of each of its nodes]).

    Raises:
        ValueError: Keras's files have no name for it.
    """
    row = _row_of(function)
    calls, settings = [], {}
    for node in function._inbound_nodes:
        inputs, settings = _split(row, function, node)
        calls.append(inputs)
    config = {
        "module": row.module,
        "class_name": row.name,
        "config": {"name": function.name, **settings},
        "registered_name": row.name,
    }
    return config, calls


def _row_of(function):
    row = _BY_FUNCTION.get(function.fn)
    if row is None:
        name = getattr(function.fn, "__name__", function.label)
        raise ValueError(
            f"The model holds the operation {name!r} (node {function.name!r}), which Keras's "
            "files have no name for. Operators and the common torch functions can be stored. Put "
            "it into the call() of a Layer and store that, or save the weights only."
        )
    return row


def _split(row, function, node):
    """(inputs, constructor arguments of Keras's class) of one call."""
    inputs, rest = list(node.args[: row.inputs]), list(node.args[row.inputs :])
    if row.name in ("Transpose", "Squeeze", "Reshape") and len(rest) > 1:
        rest = [tuple(rest)]
    given = {**dict(zip(row.names.values(), rest, strict=False)), **node.kwargs}
    if "axis" in given:
        given["dim"] = given.pop("axis")
    settings = {}
    for keras_name, name in row.names.items():
        default = False if name == "keepdim" else _DEFAULTS.get((row.name, keras_name))
        value = given.pop(name, default)
        settings[keras_name] = dtype_name(value) if isinstance(value, torch.dtype) else value
    strange = [k for k, v in given.items() if k not in _IDLE or (k == "dtype" and v is not None)]
    tensors = any(is_keras_tensor(v) for v in settings.values())
    if strange or tensors or len(rest) > len(row.names):
        raise ValueError(
            f"The call of {function.label!r} (node {function.name!r}) has arguments that Keras's "
            f"{row.name} does not take: {', '.join(strange) or 'too many'}. Put it into the "
            "call() of a Layer."
        )
    return inputs, settings


def from_keras(config):
    """The Function for a stored operation, and what its calls get beside their inputs.

    Raises:
        ValueError: the operation is not known.
    """
    name = config.get("class_name")
    row = KERAS_OPERATIONS.get(name) if isinstance(name, str) else None
    if row is None or row.module != config.get("module"):
        raise ValueError(
            f"Unknown operation {name!r} of "
            f"{config.get('module')!r}.{did_you_mean(name, KERAS_OPERATIONS)} Known: "
            f"{', '.join(KERAS_OPERATIONS)}."
        )
    settings = dict(config.get("config") or {})
    function = Function(row.functions[0], to_snake(name))
    function.name = str(settings.pop("name", function.name))
    given = {k: v for k, v in settings.items() if v is not None and v is not False}
    strange = [k for k in given if k not in row.names]
    if strange:
        raise ValueError(
            f"The operation {function.name!r} ({name}) has the argument {strange[0]!r}, which is "
            f"not known here. Accepted: {', '.join(row.names) or 'none'}."
        )
    as_tuple = lambda v: tuple(v) if isinstance(v, list) else v  # noqa: E731
    return function, {row.names[k]: as_tuple(v) for k, v in given.items()}
