"""Loops, branches and scans over functions of one's own, and gradients of one's own."""

from __future__ import annotations

import functools
import inspect

import torch

from lightkeras._graph import Function, KerasTensor, apply
from lightkeras._tree import flatten, map_structure, pack
from lightkeras.ops._op import family, is_symbolic, tensor

__all__ = [
    "associative_scan",
    "cond",
    "custom_gradient",
    "fori_loop",
    "map",
    "scan",
    "switch",
    "vectorized_map",
    "while_loop",
]

op = family("core")


# ---- branches -----------------------------------------------------------------------------------


def cond(pred, true_fn, false_fn):
    """What one of two functions gives, `true_fn` where `pred` is true; only that one is called.

    For a symbolic `pred` both are called, and the model takes one of the results.

    >>> cond(torch.tensor(2) > 1, lambda: "yes", lambda: "no")
    'yes'
    """
    if isinstance(pred, KerasTensor):  # the functions may hold other symbolic tensors
        return apply(Function(_chosen, "cond"), (pred, true_fn(), false_fn()), {})
    if isinstance(pred, torch.Tensor) and pred.is_meta:
        return true_fn()
    return true_fn() if pred else false_fn()


def _chosen(pred, yes, no):
    return map_structure(lambda a, b: torch.where(pred.bool(), a, b), yes, no)


@op("=index", "=branches", "*operands")
def switch(index, branches, *operands):
    """What the function number `index` gives for the operands; beyond the ends the last or first.

    >>> switch(1, [torch.sin, torch.square], torch.tensor(3.0))
    tensor(9.)
    """
    if isinstance(index, torch.Tensor) and index.is_meta:
        return branches[0](*operands)
    return branches[min(max(int(index), 0), len(branches) - 1)](*operands)


# ---- loops --------------------------------------------------------------------------------------


@op("=loop_vars")
def while_loop(cond, body, loop_vars, maximum_iterations=None):
    """`body` of the variables, again and again while `cond` of them is true.

    Args:
        cond: Function of the variables that tells whether to go on.
        body: Function of the variables that gives the next ones.
        loop_vars: A tensor, or a list or tuple of (trees of) them.
        maximum_iterations: At most so often.

    >>> while_loop(lambda i: i < 10, lambda i: i * 3, 1)
    tensor(27, dtype=torch.int32)
    """
    several = isinstance(loop_vars, (list, tuple))
    values = map_structure(tensor, tuple(loop_vars) if several else (loop_vars,))
    rounds = 0
    while maximum_iterations is None or rounds < maximum_iterations:
        if any(v.is_meta for v in flatten(values)) or not cond(*values):
            break  # in a shape run nothing is known but that shapes stay
        new = body(*values)
        values = tuple(new) if isinstance(new, (list, tuple)) else (new,)
        rounds += 1
    return values if several else values[0]


@op("=init_val")
def fori_loop(lower, upper, body_fun, init_val):
    """`body_fun(i, value)` for every i from `lower` to `upper` (excluded), starting at `init_val`.

    >>> fori_loop(0, 4, lambda i, value: value + i, 0)
    tensor(6, dtype=torch.int32)
    """
    value = _tree_of_tensors(init_val)
    for i in range(lower, upper):
        value = body_fun(i, value)
    return value


# ---- over an axis -------------------------------------------------------------------------------


@op("=f", "=xs")
def map(f, xs):
    """`f` of every slice along the first axis, stacked; one after the other.

    Args:
        f: Function of a slice (of a tree of slices, where `xs` is a tree).
        xs: A tensor, or a tree of tensors with equal first axes.

    >>> map(lambda x: x.sum(), [[1.0, 2.0], [3.0, 4.0]])
    tensor([3., 7.])
    """
    xs = map_structure(tensor, xs) if isinstance(xs, dict) else _tree_of_tensors(xs)
    results = [f(_slice(xs, i)) for i in range(flatten(xs)[0].shape[0])]
    return map_structure(lambda *ys: torch.stack([tensor(y) for y in ys]), *results)


def _tree_of_tensors(tree):
    """Arrays and numbers as tensors; a list that holds numbers only is one tensor."""
    if isinstance(tree, dict):
        return {key: _tree_of_tensors(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)) and any(hasattr(leaf, "shape") for leaf in flatten(tree)):
        items = [_tree_of_tensors(item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return tensor(tree)


def _slice(tree, i):
    return map_structure(lambda x: x[i], tree)


@op("=f", "=init", "=xs")
def scan(f, init, xs=None, length=None, reverse=False, unroll=1):
    """A value carried along the slices of the first axis: `carry, y = f(carry, x)`.

    Args:
        f: Function of the carried value and a slice; gives the next carried value and a result.
        init: The carried value at the start, a tensor or a tree.
        xs: A tensor, or a tree of tensors; None for `length` rounds without slices.
        length: Number of rounds; by default the size of the first axis.
        reverse: Whether to begin at the end.
        unroll: For Keras's sake; loops here are always unrolled.

    Returns:
        The carried value at the end, and the results stacked (None if `f` gives none).

    Raises:
        ValueError: neither `xs` nor `length` is given.

    >>> scan(lambda total, x: (total + x, total), 0.0, [1.0, 2.0, 3.0])
    (tensor(6.), tensor([0., 1., 3.]))
    """
    if xs is None and length is None:
        raise ValueError(
            "scan() got neither xs nor length. One of them says how many rounds there are. "
            "Type length=10."
        )
    carry = _tree_of_tensors(init)
    xs = None if xs is None else _tree_of_tensors(xs)
    rounds = range(int(length) if length is not None else flatten(xs)[0].shape[0])
    ys = []
    for i in reversed(rounds) if reverse else rounds:
        carry, y = f(carry, None if xs is None else _slice(xs, i))
        ys.append(y)
    ys = ys[::-1] if reverse else ys
    if not ys or ys[0] is None:
        return carry, None
    return carry, map_structure(lambda *parts: torch.stack([tensor(y) for y in parts]), *ys)


@op("=f", "=elems")
def associative_scan(f, elems, reverse=False, axis=0):
    """All the partial results of combining slices one after the other, in log(size) steps.

    Args:
        f: Associative function of two tensors (trees) that combines many pairs at a time.
        elems: A tensor, or a tree of tensors with equal sizes along the axis.
        reverse: Whether to begin at the end.
        axis: The axis.

    Raises:
        ValueError: the sizes along the axis differ.

    >>> associative_scan(torch.add, [1, 2, 3, 4])
    tensor([ 1,  3,  6, 10], dtype=torch.int32)
    """
    elems = _tree_of_tensors(elems)
    leaves = [torch.flip(x, (axis,)) if reverse else x for x in flatten(elems)]
    size = leaves[0].shape[axis]
    if any(x.shape[axis] != size for x in leaves):
        raise ValueError(
            f"associative_scan() got tensors of shapes {[tuple(x.shape) for x in leaves]}. Their "
            f"sizes along axis {axis} must be equal. Cut or pad them first."
        )
    shift = 1
    while shift < size:  # each value gets the sum of `shift` values before it
        before = pack(elems, [x.narrow(axis, 0, size - shift) for x in leaves])
        here = pack(elems, [x.narrow(axis, shift, size - shift) for x in leaves])
        both = flatten(f(before, here))
        leaves = [
            torch.cat([x.narrow(axis, 0, shift), y], axis)
            for x, y in zip(leaves, both, strict=True)
        ]
        shift *= 2
    return pack(elems, [torch.flip(x, (axis,)) if reverse else x for x in leaves])


@op("=elements")
def vectorized_map(function, elements):
    """`function` of every slice along the first axis, computed all at once (`torch.vmap`).

    Args:
        function: Function of a slice, or of a list of slices where `elements` is a list.
        elements: A tensor, or a tree of tensors with equal first axes.

    >>> vectorized_map(lambda x: x.sum(), [[1.0, 2.0], [3.0, 4.0]])
    tensor([3., 7.])
    """
    return torch.vmap(function, randomness="different")(_tree_of_tensors(elements))


# ---- gradients ----------------------------------------------------------------------------------


class _Custom(torch.autograd.Function):
    """A call whose backward is a function that the forward gives."""

    @staticmethod
    def forward(ctx, f, kwargs, *args):
        output, ctx.gradient = f(*args, **kwargs)
        ctx.args = args
        return output

    @staticmethod
    def backward(ctx, *upstream):
        grads = _called(ctx.gradient, ctx.args, upstream[0] if len(upstream) == 1 else upstream)
        grads = tuple(grads) if isinstance(grads, (list, tuple)) else (grads,)
        return None, None, *grads, *[None] * (len(ctx.args) - len(grads))


def _called(gradient, args, upstream):
    """Keras's two forms: `grad(*args, upstream=...)` and `grad(upstream)`."""
    parameters = inspect.signature(gradient).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return gradient(*args, upstream=upstream)
    return gradient(upstream)


def custom_gradient(f):
    """Give a function a gradient of its own.

    Args:
        f: Function of tensors that returns its output and a function for the gradient:
            `grad(upstream)`, or `grad(*args, upstream=None)`. That gives one gradient for each
            argument.

    >>> @custom_gradient
    ... def double_gradient(x):
    ...     return x * 1, lambda upstream: upstream * 2
    >>> x = torch.ones(2, requires_grad=True)
    >>> double_gradient(x).sum().backward()
    >>> x.grad
    tensor([2., 2.])
    """

    @functools.wraps(f)
    def call(*args, **kwargs):
        if is_symbolic((args, kwargs)):
            return apply(Function(call), args, kwargs)
        given = (a if a is None else _tree_of_tensors(a) for a in args)
        return _Custom.apply(f, kwargs, *given)

    return call
