"""What makes a plain function of tensors an op: symbolic tensors are recorded, arrays converted.

    op = family("numpy")

    @op                     # the first argument is a tensor
    def exp(x): ...

    @op("x1", "x2")         # these are; "*xs" is a list of them
    def hypot(x1, x2): ...

With tensors an op costs one Python call more than the function. Anything else takes the longer
way: a symbolic tensor anywhere makes a node in the graph; arrays, lists and numbers become
tensors. Python numbers have no dtype of their own: they take that of the tensors beside them.
"""

from __future__ import annotations

import functools
import inspect
import linecache
import traceback

import numpy as np
import torch

from lightkeras._config import unexpected
from lightkeras._device import default_device
from lightkeras._dtypes import floatx, native, torch_dtype
from lightkeras._graph import Function, KerasTensor, ShapeTensor, apply
from lightkeras._registry import to_snake
from lightkeras._tree import flatten
from lightkeras._variable import State, Weight

__all__ = ["OPERATIONS", "family", "floating", "is_symbolic", "tensor", "widened"]

# Keras's class of an op, "numpy.Mean" -> the op. Files with graphs name operations so.
OPERATIONS: dict[str, object] = {}

_TENSORS = frozenset({torch.Tensor, torch.nn.Parameter, Weight, State})


def family(module):
    """The decorator for the ops of one module of Keras: "numpy", "core"... None: of none of them.

    Args:
        *tensors: Names of the arguments that are tensors, those of Keras's `call`, in its order;
            "*xs" for a list of tensors, "=key" for what stays as it is given. By default the
            first argument.
        keras: Name of Keras's class, where it is not the function's in camel case.
        numbers: Whether the function takes Python numbers in the place of tensors.
    """

    def op(*tensors, keras=None, numbers=False):
        if tensors and callable(tensors[0]):
            return op()(tensors[0])

        def decorate(function):
            name = keras or "".join(part.capitalize() for part in function.__name__.split("_"))
            call = _op(function, tensors or function.__code__.co_varnames[:1], name, numbers)
            call.keras_module, call.class_name = module, name
            if module is not None:
                OPERATIONS.setdefault(f"{module}.{name}", call)
            return call

        return decorate

    return op


def _op(function, tensors, name, numbers):
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    known = None if code.co_flags & inspect.CO_VARKEYWORDS else frozenset(names)
    last = None  # the place of *args
    if code.co_flags & inspect.CO_VARARGS:
        last = code.co_argcount
        names = (*names[:last], code.co_varnames[len(names)])
    slots = [_slot(tensor, names, last) for tensor in tensors]
    count = sum(place == i and take is _one for i, (_, place, take) in enumerate(slots))
    more = len(slots) > count  # there are tensors behind other arguments, or lists
    label = to_snake(name)

    @functools.wraps(function)
    def call(*args, **kwargs):
        if kwargs and known is not None and not known.issuperset(kwargs):
            wrong = next(key for key in kwargs if key not in known)
            raise unexpected(function.__name__, wrong, known)
        if len(args) < count or (more and (kwargs or len(args) > count or not count)):
            return rest(args, kwargs)
        for value in args[:count]:
            if type(value) not in _TENSORS:
                return rest(args, kwargs)
        try:
            return function(*args, **kwargs)
        except _FAILURES as error:
            _explain(function.__name__, error, args, kwargs)
            raise

    def rest(args, kwargs):
        if is_symbolic(args) or is_symbolic(kwargs.values()):
            return apply(Function(call, label), *_constants(args, kwargs, slots))
        try:
            args = _converted(args, kwargs, slots, numbers)
            return function(*args, **kwargs)
        except _FAILURES as error:
            _explain(function.__name__, error, args, kwargs)
            raise

    call.tensors = tuple(name for name, *_ in slots)  # type: ignore[attr-defined]
    return call


_FAILURES = (RuntimeError, LookupError, AttributeError, TypeError, ValueError, ArithmeticError)


def _explain(name, error, args, kwargs):
    """Raise our sentence for what torch, or Python, said of the tensors and arguments of an op.

    What functions of the user's own raised stays as it is, as does what is no such mistake
    (a device without memory, say), and our own sentences.
    """
    given = flatten((args, kwargs))
    frames = list(traceback.walk_tb(error.__traceback__))[1:]
    homes = [frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in frames]
    if (
        not frames  # the signature was not met: Python says how
        or not set(homes) <= {"lightkeras", "torch", "numpy"}
        or any(type(value) is ShapeTensor for value in given)  # see _graph.apply
        or (isinstance(error, RuntimeError) and type(error) not in _MISTAKES)
        or (homes[-1] == "lightkeras" and _line(*frames[-1]).startswith("raise "))
    ):
        return
    kind = TypeError if isinstance(error, (TypeError, NotImplementedError)) else ValueError
    said = str(error).strip().partition("\n")[0][:200].rstrip(".")
    raise kind(
        f"{name}() got {', '.join(map(_shown, given))}: {said}. Shapes, dtypes and arguments must "
        f"go together. Type help(ops.{name}) for what it takes."
    ) from error


def _line(frame, number):
    return linecache.getline(frame.f_code.co_filename, number).strip()


_MISTAKES = (RuntimeError, NotImplementedError)


def _shown(value):
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return f"{value!r:.40}"


def _slot(tensor, names, last):
    """(name, place among the positional arguments, what to do with it) of a tensor argument."""
    name = tensor.lstrip("*=")
    place = names.index(name)
    if place == last:
        return name, place, _rest
    return name, place, {"*": _list, "=": None}.get(tensor[0], _one)


def is_symbolic(values):
    """Whether there is a symbolic tensor among values, at any depth."""
    for value in values:
        if isinstance(value, KerasTensor):
            return True
        if isinstance(value, (list, tuple)) and is_symbolic(value):
            return True
        if isinstance(value, dict) and is_symbolic(value.values()):
            return True
    return False


def _constants(args, kwargs, slots):
    """The arguments for the graph: lists of numbers in the place of tensors become arrays."""
    args, kwargs = list(args), dict(kwargs)
    for name, place, take in slots:
        holder, key = (args, place) if place < len(args) else (kwargs, name)
        value = holder[key] if holder is args else kwargs.get(name)
        if take is _one and isinstance(value, (list, tuple)) and not is_symbolic(value):
            holder[key] = tensor(value, device="cpu").numpy(force=True)
    return tuple(args), kwargs


def _converted(args, kwargs, slots, numbers):
    """`args` with tensors in the place of arrays, lists and numbers; `kwargs` in place."""
    args = list(args)
    found, loose = [], []
    device = _device((*args, *kwargs.values()))
    for name, place, take in slots:
        holder, key = (args, place) if place < len(args) else (kwargs, name)
        if take is None:
            continue
        if take is _rest:
            key = slice(place, None)
        elif holder is kwargs and name not in kwargs:
            continue
        if type(holder[key]) in (int, float, bool) and len(slots) > 1:
            loose.append((holder, key))
        elif holder[key] is not None:
            holder[key] = take(holder[key], device)
            found.append(holder[key])
    for holder, key in loose:
        holder[key] = _number(holder[key], found, numbers)
    return args


def _one(value, device):
    return tensor(value, device=device)


def _list(values, device):
    return [tensor(value, device=device) for value in values]


def _rest(values, device):
    """Like `_list`, for what a function takes as *args."""
    return _list(values, device)


def _device(values):
    """Where the first tensor among values is; arrays go there, too."""
    for value in values:
        if isinstance(value, torch.Tensor):
            return value.device
        if isinstance(value, (list, tuple)) and (device := _device(value)) is not None:
            return device
    return None


def _number(value, beside, as_it_is):
    """A Python number as a tensor of the dtype that those beside it have."""
    if not beside:
        return tensor(value)
    dtype = functools.reduce(torch.promote_types, [t.dtype for t in beside])
    narrow = not dtype.is_floating_point and not dtype.is_complex
    if narrow and isinstance(value, float):
        dtype, as_it_is = torch_dtype(floatx()), False
    elif dtype is torch.bool and type(value) is not bool:
        dtype, as_it_is = torch.int32, False
    return value if as_it_is else torch.full((), value, dtype=dtype, device=beside[0].device)


def tensor(x, dtype=None, device=None):
    """A tensor of anything that holds numbers; tensors stay as they are.

    Python's floats become `floatx()`, integers int32, arrays keep their dtype.

    Raises:
        TypeError: `x` holds no numbers.

    >>> tensor([1, 2]).dtype, tensor(0.5).dtype, tensor(np.ones(2)).dtype
    (torch.int32, torch.float32, torch.float64)
    """
    if dtype is not None:
        dtype = torch_dtype(dtype)
    if isinstance(x, torch.Tensor):
        return x if dtype is None or x.dtype is dtype else x.to(dtype)
    value = getattr(x, "value", None)  # a weight in Keras's layout
    if isinstance(value, torch.Tensor):
        return value if dtype is None else value.to(dtype)
    device = device or default_device()
    if isinstance(x, (list, tuple)) and _holds_tensors(x):
        return torch.stack([tensor(item, dtype, device) for item in x])
    array = np.asarray(x)
    if array.dtype == object or array.dtype.kind not in "biufcV":
        raise TypeError(
            f"An op got {x!r:.60} ({type(x).__name__}). Tensors, symbolic tensors, arrays, and "
            "(nested) lists of numbers are accepted. Convert it with numpy.asarray(...) first."
        )
    if dtype is None and isinstance(x, (list, tuple, int, float, complex)):
        dtype = _python_dtype(array)  # np.float64 is a Python float, too
    if array.dtype.name == "bfloat16":
        array, dtype = array.astype("float32"), dtype or torch.bfloat16
    return torch.as_tensor(native(array), dtype=dtype, device=device)


def _holds_tensors(items):
    return any(
        isinstance(i, torch.Tensor) or (isinstance(i, (list, tuple)) and _holds_tensors(i))
        for i in items
    )


def _python_dtype(array):
    """The dtype of Python's own numbers."""
    if array.dtype == np.float64:
        return torch_dtype(floatx())
    if array.dtype == np.int64 and (not array.size or np.abs(array).max() < 2**31):
        return torch.int32
    return torch.complex64 if array.dtype == np.complex128 else None


def floating(x):
    """Integers and truth values as floats; floats and complex numbers as they are."""
    return x if x.is_floating_point() or x.is_complex() else x.to(torch_dtype(floatx()))


def widened(x, narrow=(torch.bool,), to=torch.int32):
    """x in the dtype `to` where its own is one of `narrow`, in which torch does not compute."""
    return x.to(to) if x.dtype in narrow else x
