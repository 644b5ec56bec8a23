"""Plain operations in a graph (`ops.mean(x, 1)`, `x + y`, `torch.relu(x)`) in Keras's files.

An op knows its class in Keras; the other arguments than tensors are those of that class. Torch's
functions stand in a table. What is read is always an op.
"""

from __future__ import annotations

import inspect
import operator

import torch
import torch.nn.functional as F

from lightkeras import ops
from lightkeras._dtypes import dtype_name
from lightkeras._graph import Function, is_keras_tensor
from lightkeras._registry import did_you_mean, to_snake
from lightkeras._tree import flatten
from lightkeras.config import standardize_data_format

__all__ = ["arguments", "from_keras", "is_known", "is_operation", "to_keras"]


class _Torch:
    """One row: Keras's class, the torch functions that mean the same, and their arguments.

    Args:
        keras: Place below `keras.src.ops`: "numpy.Mean".
        functions: The torch functions.
        inputs: Number of arguments of the call; the others belong to Keras's constructor.
        **names: Keras's constructor arguments, in torch's order: {its name: torch's name}.
    """

    def __init__(self, keras, *functions, inputs=1, **names):
        self.module, self.name = keras.split(".")
        self.functions = functions
        self.inputs = inputs
        self.names = names


_ROWS = (
    _Torch("numpy.Add", operator.add, torch.add, inputs=2),
    _Torch("numpy.Subtract", operator.sub, torch.sub, torch.subtract, inputs=2),
    _Torch("numpy.Multiply", operator.mul, torch.mul, torch.multiply, inputs=2),
    _Torch("numpy.TrueDivide", operator.truediv, torch.div, torch.true_divide, inputs=2),
    _Torch("numpy.FloorDivide", operator.floordiv, torch.floor_divide, inputs=2),
    _Torch("numpy.Mod", operator.mod, torch.remainder, inputs=2),
    _Torch("numpy.Power", operator.pow, torch.pow, inputs=2),
    _Torch("numpy.Matmul", operator.matmul, torch.matmul, inputs=2),
    _Torch("numpy.Maximum", torch.maximum, inputs=2),
    _Torch("numpy.Minimum", torch.minimum, inputs=2),
    _Torch("numpy.Equal", operator.eq, torch.eq, inputs=2),
    _Torch("numpy.NotEqual", operator.ne, torch.ne, inputs=2),
    _Torch("numpy.Greater", operator.gt, torch.gt, inputs=2),
    _Torch("numpy.GreaterEqual", operator.ge, torch.ge, inputs=2),
    _Torch("numpy.Less", operator.lt, torch.lt, inputs=2),
    _Torch("numpy.LessEqual", operator.le, torch.le, inputs=2),
    _Torch("numpy.LogicalAnd", torch.logical_and, inputs=2),
    _Torch("numpy.LogicalOr", torch.logical_or, inputs=2),
    _Torch("numpy.LogicalXor", torch.logical_xor, inputs=2),
    _Torch("numpy.LogicalNot", torch.logical_not),
    _Torch("numpy.Round", torch.round, decimals="decimals"),
    _Torch("numpy.Where", torch.where, inputs=3),
    _Torch("numpy.GetItem", operator.getitem, inputs=2),
    _Torch("numpy.Negative", operator.neg, torch.neg),
    _Torch("numpy.Absolute", operator.abs, torch.abs, torch.absolute),
    _Torch("numpy.Exp", torch.exp),
    _Torch("numpy.Log", torch.log),
    _Torch("numpy.Sqrt", torch.sqrt),
    _Torch("numpy.Square", torch.square),
    _Torch("numpy.Sin", torch.sin),
    _Torch("numpy.Cos", torch.cos),
    _Torch("numpy.Sign", torch.sign),
    _Torch("numpy.Tanh", torch.tanh, F.tanh),
    _Torch("numpy.Mean", torch.mean, axis="dim", keepdims="keepdim"),
    _Torch("numpy.Sum", torch.sum, axis="dim", keepdims="keepdim"),
    _Torch("numpy.Max", torch.amax, axis="dim", keepdims="keepdim"),
    _Torch("numpy.Min", torch.amin, axis="dim", keepdims="keepdim"),
    _Torch("numpy.Argmax", torch.argmax, axis="dim", keepdims="keepdim"),
    _Torch("numpy.Clip", torch.clamp, torch.clip, x_min="min", x_max="max"),
    _Torch("numpy.Reshape", torch.reshape, newshape="shape"),
    _Torch("numpy.Transpose", torch.permute, axes="dims"),
    _Torch("numpy.Swapaxes", torch.transpose, torch.swapaxes, axis1="dim0", axis2="dim1"),
    _Torch("numpy.ExpandDims", torch.unsqueeze, axis="dim"),
    _Torch("numpy.Squeeze", torch.squeeze, axis="dim"),
    _Torch("numpy.Concatenate", torch.cat, torch.concat, torch.concatenate, axis="dim"),
    _Torch("numpy.Stack", torch.stack, axis="dim"),
    _Torch("math.Rsqrt", torch.rsqrt),
    _Torch("nn.Relu", torch.relu, F.relu),
    _Torch("nn.Sigmoid", torch.sigmoid, F.sigmoid),
    _Torch("nn.Silu", F.silu),
    _Torch("nn.Elu", F.elu, alpha="alpha"),
    _Torch("nn.LeakyRelu", F.leaky_relu, negative_slope="negative_slope"),
    _Torch("nn.Softmax", torch.softmax, F.softmax, axis="dim"),
    _Torch("nn.LogSoftmax", torch.log_softmax, F.log_softmax, axis="dim"),
)
_BY_FUNCTION = {fn: row for row in reversed(_ROWS) for fn in row.functions}
# torch's defaults where Keras's differ; and switches of torch that change no number.
_DEFAULTS = {
    ("Concatenate", "axis"): 0,
    ("Stack", "axis"): 0,
    ("LeakyRelu", "negative_slope"): 0.01,
    ("Elu", "alpha"): 1.0,
}
_IDLE = ("inplace", "_stacklevel", "dtype", "out")
_MODULE = "keras.src.ops."
_NAMED = ("kwargs", "axes_lengths")  # **kwargs of ops
# Keras's rules for the shapes of these ask for all their tensors, None among them.
_ALL_INPUTS = ("BatchNorm", "LayerNorm", "RMSNorm")


def is_operation(config) -> bool:
    """Whether a stored layer is a plain operation."""
    return str(config.get("module")).startswith(_MODULE)


def is_known(config) -> bool:
    """Whether there is an op for a stored operation."""
    return _op_of(config) is not None


def _op_of(config):
    name = f"{str(config.get('module')).removeprefix(_MODULE)}.{config.get('class_name')}"
    return ops.OPERATIONS.get(name) if is_operation(config) else None


# ---- to Keras -----------------------------------------------------------------------------------


def to_keras(function):
    """(config of a Function, [(args, kwargs) of each of its calls]).

    Raises:
        ValueError: Keras's files have no name for it.
    """
    op = function.fn
    known = ops.OPERATIONS.get(f"{getattr(op, 'keras_module', '')}.{function.class_name}") is op
    row = None if known else _row_of(function)
    calls, settings = [], {}
    for node in function._inbound_nodes:
        inputs, named, settings = _split_op(op, node) if known else _split(row, function, node)
        _check_plain(function, settings, (inputs, named))
        calls.append((inputs, named))
    module, name = (op.keras_module, op.class_name) if known else (row.module, row.name)
    config = {
        "module": _MODULE + module,
        "class_name": name,
        "config": {"name": function.name, **settings},
        "registered_name": name,
    }
    return config, calls


def _check_plain(function, settings, inputs):
    """Settings are stored as they are, and functions not at all."""
    symbolic = any(is_keras_tensor(v) for v in flatten(settings))
    if symbolic or any(map(callable, flatten([settings, inputs]))):
        raise ValueError(
            f"The call of {function.label!r} (node {function.name!r}) has a "
            f"{'symbolic tensor' if symbolic else 'function'} in the place of a setting. Numbers "
            "and names can be stored there. Put it into the call() of a Layer."
        )


def _split_op(op, node):
    """(args, kwargs, constructor arguments of Keras's class) of one call of an op."""
    signature = inspect.signature(op)
    bound = signature.bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    inputs, settings = [], dict(bound.arguments)
    for name in op.tensors:
        value = settings.pop(name)
        several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        inputs += value if several else [value]
    while inputs and inputs[-1] is None and op.class_name not in _ALL_INPUTS:  # left out
        inputs.pop()
    settings.pop("kwargs", None)
    named = settings.pop("axes_lengths", {})  # of rearrange
    if "data_format" in settings:  # that of today's config, where none is given
        settings["data_format"] = standardize_data_format(settings["data_format"])
    return inputs, named, {k: _plain(v) for k, v in settings.items()}


def _plain(value):
    return dtype_name(value) if isinstance(value, torch.dtype) else value


def _row_of(function):
    row = _BY_FUNCTION.get(function.fn)
    if row is None:
        name = getattr(function.fn, "__name__", function.label)
        raise ValueError(
            f"The model holds the operation {name!r} (node {function.name!r}), which Keras's "
            "files have no name for. Operators, ops and the common torch functions can be stored. "
            "Use lightkeras.ops, or put it into the call() of a Layer and store that."
        )
    return row


def _split(row, function, node):
    """(args, kwargs, constructor arguments of Keras's class) of one call of a torch function."""
    inputs, rest = list(node.args[: row.inputs]), list(node.args[row.inputs :])
    if row.name in ("Transpose", "Squeeze", "Reshape") and len(rest) > 1:
        rest = [tuple(rest)]
    given = {**dict(zip(row.names.values(), rest, strict=False)), **node.kwargs}
    if "axis" in given:
        given["dim"] = given.pop("axis")
    settings = {}
    for keras_name, name in row.names.items():
        default = False if name == "keepdim" else _DEFAULTS.get((row.name, keras_name))
        settings[keras_name] = _plain(given.pop(name, default))
    strange = [k for k, v in given.items() if k not in _IDLE or (k == "dtype" and v is not None)]
    if strange or len(rest) > len(row.names):
        raise ValueError(
            f"The call of {function.label!r} (node {function.name!r}) has arguments that Keras's "
            f"{row.name} does not take: {', '.join(strange) or 'too many'}. Put it into the "
            "call() of a Layer."
        )
    return inputs, {}, settings


# ---- and back -----------------------------------------------------------------------------------


def from_keras(config):
    """The Function for a stored operation, and the arguments that its calls get beside inputs.

    Raises:
        ValueError: the operation is not known.
    """
    name, op = config.get("class_name"), _op_of(config)
    if op is None:
        known = [key.partition(".")[2] for key in ops.OPERATIONS]
        raise ValueError(
            f"Unknown operation {name!r} of {config.get('module')!r}.{did_you_mean(name, known)} "
            "The ops of Keras 3 are known. Put anything else into the call() of a Layer."
        )
    settings = dict(config.get("config") or {})
    function = Function(op, to_snake(name))
    function.name = str(settings.pop("name", function.name))
    accepted = [p for p in inspect.signature(op).parameters if p not in (*op.tensors, *_NAMED)]
    strange = [k for k, v in settings.items() if k not in accepted and v not in (None, False)]
    if strange:
        raise ValueError(
            f"The operation {function.name!r} ({name}) has the argument {strange[0]!r}, which is "
            f"not known here. Accepted: {', '.join(accepted) or 'none'}."
        )
    return function, {k: _tuples(v) for k, v in settings.items() if k in accepted}


def arguments(function, args, kwargs, settings):
    """(args, kwargs) of a call of the op with stored inputs and settings."""
    op = function.fn
    if op.class_name == "GetItem":  # JSON knows no tuples
        args = [_tuples(a) for a in args]
    if list(inspect.signature(op).parameters)[: len(op.tensors)] == list(op.tensors):
        return tuple(args), {**kwargs, **settings}
    parameters = inspect.signature(op).parameters
    if any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        return (*(settings[n] for n in parameters if n in settings), *args), kwargs
    return (), {**dict(zip(op.tensors, args, strict=False)), **kwargs, **settings}


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value
