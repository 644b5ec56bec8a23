"""Symbolic tensors, the nodes that made them, and plans that run the graph between two ends.

A `KerasTensor` has a shape and a dtype and no numbers. Calling a layer, or any torch function,
on one makes a `Node`. `Plan` turns the nodes between inputs and outputs into a flat list of
steps, made once, so that running a functional model costs one loop and no graph walk.
"""

from __future__ import annotations

import operator

import torch

from lightkeras._dtypes import dtype_name
from lightkeras._loading import loading
from lightkeras._registry import to_snake, unique_name
from lightkeras._tree import flatten, map_structure, pack

__all__ = [
    "Function",
    "KerasTensor",
    "Node",
    "Plan",
    "apply",
    "get_source_inputs",
    "is_keras_tensor",
    "output_spec",
]


class KerasTensor:
    """A tensor without numbers: what `Input` returns and what calls on it give.

    Args:
        shape: Sizes, None where unknown; the first is the batch.
        dtype: Name of the dtype.
        sparse, ragged: Always False: tensors are dense.
        record_history: Kept for Keras's sake.
        name: Shown in errors.
    """

    def __init__(
        self,
        shape,
        dtype="float32",
        sparse=False,
        ragged=False,
        record_history=True,
        name=None,
    ):
        self.shape = tuple(shape)
        self.dtype = dtype_name(dtype)
        self.name = name or unique_name("keras_tensor")
        self.sparse, self.ragged = sparse, ragged
        self._keras_history = None  # (operation, node index, tensor index)
        self._mask_spec = None  # a mask that the numbers will carry, as a KerasTensor

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def _keras_mask(self):
        mask = self._mask_spec
        if mask is not None and mask._keras_history is None:
            self._mask_spec = mask = apply(Function(_mask_of, "mask"), (self,), {})
        return mask

    rank = ndim

    def __repr__(self):
        return (
            f"<KerasTensor shape={self.shape}, dtype={self.dtype}, sparse={self.sparse}, "
            f"ragged={self.ragged}, name={self.name}>"
        )

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return apply(Function(func), args, kwargs or {})

    # What Python would do by itself with an object without numbers is never what is meant.
    def __bool__(self):
        raise TypeError(self._no_number("a truth value"))

    def __float__(self):
        raise TypeError(self._no_number("a float"))

    def __int__(self):
        raise TypeError(self._no_number("an int"))

    def __iter__(self):
        raise TypeError(self._no_number("an iterable"))

    def __array__(self, dtype=None, copy=None):
        raise TypeError(self._no_number("an array"))

    def _no_number(self, what):
        return (
            f"A symbolic tensor of shape {self.shape} has no numbers and cannot be used as {what}. "
            "Layers and torch functions take it. For other code, put it into a Layer's call()."
        )

    def reshape(self, *shape):
        return apply(Function(torch.reshape), (self, shape[0] if len(shape) == 1 else shape), {})

    def squeeze(self, *axis):
        return apply(Function(torch.squeeze), (self, *axis), {})

    def __getitem__(self, key):
        return apply(Function(operator.getitem, "get_item"), (self, key), {})

    def __round__(self, ndigits=None):
        return apply(Function(torch.round), (self,), {"decimals": ndigits or 0})


def _mask_of(tensor):
    return tensor._keras_mask


def _operator(name, label, fn):
    """Give KerasTensor the operator `name` (and its reflected form)."""

    def forward(self, *other):
        return apply(Function(fn, label), (self, *other), {})

    def reflected(self, other):
        return apply(Function(fn, label), (other, self), {})

    setattr(KerasTensor, f"__{name}__", forward)
    if name not in ("neg", "abs", "invert", "lt", "le", "gt", "ge", "ne"):
        setattr(KerasTensor, f"__r{name}__", reflected)


for _name, _label, _fn in (
    ("add", "add", operator.add),
    ("sub", "subtract", operator.sub),
    ("mul", "multiply", operator.mul),
    ("truediv", "true_divide", operator.truediv),
    ("floordiv", "floor_divide", operator.floordiv),
    ("mod", "mod", operator.mod),
    ("pow", "power", operator.pow),
    ("matmul", "matmul", operator.matmul),
    ("neg", "negative", operator.neg),
    ("abs", "absolute", operator.abs),
    ("lt", "less", operator.lt),
    ("le", "less_equal", operator.le),
    ("gt", "greater", operator.gt),
    ("ge", "greater_equal", operator.ge),
    ("ne", "not_equal", operator.ne),  # as in Keras `==` asks whether it is the same object
    ("and", "logical_and", torch.logical_and),
    ("or", "logical_or", torch.logical_or),
    ("xor", "logical_xor", torch.logical_xor),
    ("invert", "logical_not", torch.logical_not),
):
    _operator(_name, _label, _fn)


def is_keras_tensor(x) -> bool:
    """Whether `x` is symbolic."""
    return isinstance(x, KerasTensor)


class Node:
    """One call of an operation: what went in, what came out."""

    def __init__(self, operation, args, kwargs, outputs):
        self.operation = operation
        self.args = args
        self.kwargs = kwargs
        self.outputs = outputs
        self.input_tensors = [t for t in flatten((args, kwargs)) if is_keras_tensor(t)]
        self.output_tensors = [t for t in flatten(outputs) if is_keras_tensor(t)]
        index = len(operation._inbound_nodes)
        operation._inbound_nodes.append(self)
        for position, tensor in enumerate(self.output_tensors):
            tensor._keras_history = (operation, index, position)


class Function:
    """A plain torch function standing in a graph like a layer."""

    def __init__(self, fn, name=None):
        self.fn = fn
        self.label = name or to_snake(getattr(fn, "__name__", "function")).strip("_")
        self.name = unique_name(self.label)
        self._inbound_nodes = []
        self.built = True

    def __call__(self, *args, **kwargs):
        return self.fn(*args, **kwargs)

    @property
    def class_name(self):
        """What a summary calls it: `GetItem` for `get_item`."""
        camel = "".join(part.capitalize() for part in self.label.split("_"))
        return getattr(self.fn, "class_name", camel)

    def count_params(self):
        return 0

    @property
    def output(self):
        return self._inbound_nodes[0].outputs


def apply(operation, args, kwargs):
    """Record a call on symbolic tensors; returns its symbolic outputs."""
    if isinstance(operation, Function):
        for value in flatten((args, kwargs)):
            if isinstance(value, torch.nn.Parameter):
                raise ValueError(
                    f"{operation.label}() mixes a symbolic tensor with a bare torch parameter, "
                    "which the "
                    "model could not find again. A torch module can stand in a model as a layer. "
                    "Type layers.TorchModuleWrapper(module)(x)."
                )
        try:
            outputs = output_spec(operation.fn, args, kwargs)
        except (RuntimeError, IndexError, TypeError) as error:
            if isinstance(error, TypeError) and "ShapeTensor" not in str(error):
                raise
            raise _refused(operation.label, (args, kwargs), error) from None
    else:
        outputs = operation.compute_output_spec(*args, **kwargs)
    Node(operation, args, kwargs, outputs)
    return outputs


def _refused(label, given, error):
    shapes = " and ".join(str(t.shape) for t in flatten(given) if is_keras_tensor(t))
    said = str(error).strip().partition("\n")[0][:200].rstrip(".")
    said = said.replace("ShapeTensor", "KerasTensor")
    return ValueError(
        f"{label}() does not take a symbolic tensor of shape {shapes}: {said}. Its shapes and "
        "arguments must go together. Change them, for example with a Reshape or Dense layer."
    )


# ---- shapes by running on the meta device -----------------------------------------------------
# Unknown axes are filled with two different sizes; an output axis that differs between the two
# runs is unknown too. Sizes with many factors of two, so that pooling down and up again (a U-Net)
# gives back the same size.

_BATCH = (6, 10)
_AXIS = (1920, 2880)
# Where that does not do: a few real numbers, for code that reads values (.item(), numpy) or makes
# tensors of its own; then batches that most numbers divide, for reshape(x, (-1, 49, 8)).
_MANY = 2**6 * 3**2 * 5 * 7**2
_RUNS = (
    ("meta", _BATCH, _AXIS),
    ("cpu", _BATCH, (96, 160)),
    ("meta", (_MANY, 2 * _MANY), _AXIS),
)


class ShapeTensor(torch.Tensor):
    """A meta tensor of a shape run. Its type keeps layers off their fast path."""


def _filled(tensor, device, batch, axis, value):
    sizes = [(axis if i else batch) if n is None else n for i, n in enumerate(tensor.shape)]
    dtype = getattr(torch, tensor.dtype) if tensor.dtype != "string" else torch.int64
    new = torch.full(sizes, value, dtype=dtype, device=device)
    new = new.as_subclass(ShapeTensor) if device == "meta" else new
    if tensor._mask_spec is not None:
        new._keras_mask = _filled(tensor._mask_spec, device, batch, axis, 1)
    return new


def _run(fn, args, kwargs, *sizes):
    def fill(value):
        return _filled(value, *sizes) if is_keras_tensor(value) else value

    args, kwargs = map_structure(fill, (args, kwargs))
    with torch.no_grad(), loading("torch._dynamo"):
        return fn(*args, **kwargs)


def _two_runs(fn, args, kwargs):
    """Results of the first kind of run that works; the error of the first kind if none does."""
    failure = None
    for device, batches, axes in _RUNS:
        try:
            pairs = zip(batches, axes, (0, 1), strict=True)  # zeros, then ones: see nonzero
            return [_run(fn, args, kwargs, device, *pair) for pair in pairs]
        except Exception as error:
            failure = failure or error
            if not isinstance(failure, (RuntimeError, TypeError, ValueError)):
                break
    raise failure from None


def output_spec(fn, args, kwargs):
    """Symbolic outputs of `fn` on symbolic `args`, by running it without numbers."""
    first, second = _two_runs(fn, args, kwargs)
    try:
        return map_structure(_spec, first, second)
    except ValueError:
        raise ValueError(
            f"{getattr(fn, '__name__', fn)!s}() gives results whose number or rank depends on a "
            "size that is not known yet. In a graph these must be fixed. Give the size (Input with "
            "batch_size or a shape, unstack with num)."
        ) from None


def _spec(a, b):
    if not isinstance(a, torch.Tensor):
        return a
    shape = tuple(m if m == n else None for m, n in zip(a.shape, b.shape, strict=True))
    spec = KerasTensor(shape, dtype_name(a.dtype))
    if hasattr(a, "_keras_mask"):
        spec._mask_spec = _spec(a._keras_mask, b._keras_mask)
    return spec


# ---- plans ------------------------------------------------------------------------------------


def nodes_between(inputs, outputs):
    """Nodes from `inputs` to `outputs` in an order in which they can run.

    Raises:
        ValueError: an output does not come from the inputs.
    """
    known = {id(t) for t in inputs}
    done, order, stack = set(), [], [(t, None) for t in reversed(outputs)]
    while stack:  # depth first, without recursion: graphs may be thousands of layers deep
        tensor, node = stack.pop()
        if node is not None:
            if id(node) not in done:
                done.add(id(node))
                order.append(node)
            continue
        if id(tensor) in known:
            continue
        operation, index, _ = tensor._keras_history
        node = operation._inbound_nodes[index]
        if id(node) in done:
            continue
        if not node.input_tensors:
            raise ValueError(
                f"The outputs depend on the input {operation.name!r} of shape {tensor.shape}, "
                "which is "
                "not among the model's inputs. Every Input on the way must be listed. Add it to "
                "inputs=."
            )
        stack.append((tensor, node))
        stack += [(t, None) for t in reversed(node.input_tensors)]
    return order


def get_source_inputs(tensor):
    """The inputs that a symbolic tensor is computed from, each once.

    Args:
        tensor: A symbolic tensor; anything else is returned as it is.

    >>> x = KerasTensor((None, 3))
    >>> get_source_inputs(x * 2 + 1)[0] is x
    True
    """
    if not is_keras_tensor(tensor):
        return tensor
    found, stack, seen = {}, [tensor], set()
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        operation, index, _ = one._keras_history or (None, 0, 0)
        before = operation._inbound_nodes[index].input_tensors if operation else []
        if before:
            stack += reversed(before)
        else:
            found[id(one)] = one
    return list(found.values())


class Plan:
    """The graph between `inputs` and `outputs` (trees of KerasTensors) as a list of steps.

    What leads to the tensors in `also` is run, too.
    """

    def __init__(self, inputs, outputs, also=()):
        self.inputs, self.outputs = inputs, outputs
        ins, outs = flatten(inputs), flatten(outputs)
        self.nodes = nodes_between(ins, [*outs, *also])
        slots = {id(t): i for i, t in enumerate(ins)}
        for node in self.nodes:
            for tensor in node.output_tensors:
                slots.setdefault(id(tensor), len(slots))
        self.size = len(slots)
        self.input_names = [t._keras_history[0].name if t._keras_history else t.name for t in ins]
        self.ranks = [len(t.shape) for t in ins]
        self.out_slots = [slots[id(t)] for t in outs]
        self.single = is_keras_tensor(outputs) or is_keras_tensor(_only(outputs))
        last_use = {slot: i for i, node in enumerate(self.nodes) for slot in _ins(node, slots)}
        keep = set(self.out_slots)
        self.steps = [
            _step(node, slots, [s for s in _ins(node, slots) if last_use[s] == i and s not in keep])
            for i, node in enumerate(self.nodes)
        ]

    def run(self, leaves):
        """Outputs for the inputs `leaves` (in `flatten` order)."""
        values = [None] * self.size
        values[: len(leaves)] = leaves
        for operation, source, target, rest, free in self.steps:
            if rest is None:
                values[target] = operation(values[source])
            elif source is not None:
                values[target] = operation([values[s] for s in source])
            else:
                _run_any(operation, rest, target, values)
            for slot in free:  # what nobody reads any more must not hold memory
                values[slot] = None
        if self.single:
            return values[self.out_slots[0]]
        return pack(self.outputs, [values[s] for s in self.out_slots])


def _only(tree):
    """The item of a list of one, which a model returns without the list."""
    return tree[0] if isinstance(tree, (list, tuple)) and len(tree) == 1 else None


class _Slot(int):
    """Stands in stored arguments for the tensor that is at this place when the plan runs."""


def _run_any(operation, rest, targets, values):
    """A step with several arguments or several outputs."""
    args, kwargs = map_structure(lambda leaf: values[leaf] if type(leaf) is _Slot else leaf, rest)
    results = [r for r in flatten(operation(*args, **kwargs)) if isinstance(r, torch.Tensor)]
    for target, result in zip(targets, results, strict=True):
        values[target] = result


def _ins(node, slots):
    return {slots[id(t)] for t in node.input_tensors}


class _Call:
    """A function with its settings; the tensors before them come as a list."""

    def __init__(self, fn, count, settings, kwargs):
        self.fn, self.count, self.settings, self.kwargs = fn, count, settings, kwargs

    @classmethod
    def of(cls, node):
        """That of a node that takes symbolic tensors first and only there, else None."""
        args = node.args
        count = next((i for i, a in enumerate(args) if not is_keras_tensor(a)), len(args))
        if count and not any(map(is_keras_tensor, flatten((args[count:], node.kwargs)))):
            return cls(node.operation.fn, count, args[count:], node.kwargs)
        return None

    def __call__(self, xs):
        return self.fn(*xs, *self.settings, **self.kwargs)


def _step(node, slots, free):
    """(operation, source, target, rest, free): one tensor in, a list of tensors in, or anything."""
    targets = [slots[id(t)] for t in node.output_tensors]
    first = node.args[0] if len(node.args) == 1 and not node.kwargs else None
    if is_keras_tensor(node.outputs):
        if is_keras_tensor(first):
            return node.operation, slots[id(first)], targets[0], None, free
        if type(first) is list and all(is_keras_tensor(t) for t in first):
            return node.operation, [slots[id(t)] for t in first], targets[0], (), free
        if isinstance(node.operation, Function) and (call := _Call.of(node)):
            source = [slots[id(t)] for t in node.args[: call.count]]
            return call, source, targets[0], (), free
    rest = map_structure(
        lambda leaf: _Slot(slots[id(leaf)]) if is_keras_tensor(leaf) else leaf,
        (node.args, node.kwargs),
    )
    return getattr(node.operation, "_call_in_graph", node.operation), None, targets, rest, free
