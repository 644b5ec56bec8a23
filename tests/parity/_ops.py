"""One op of ours against the same op of the installed Keras: the harness of the tables of ops.

    from _ops import check, numbers

    check("conv", numbers(2, 8, 3), numbers(3, 3, 4), padding="same")

Every array among the arguments is a tensor of the op; a tuple of arrays is a pair. `check` calls
the op with tensors, with arrays, and with symbolic tensors of unknown batch (whose graph is then
run), and compares dtypes, shapes, values and gradients.
"""

import inspect

import keras
import numpy as np
import torch

from lightkeras import KerasTensor, ops
from lightkeras._graph import Plan
from lightkeras._tree import flatten, map_structure


def numbers(*shape, low=-1.0, high=1.0, dtype="float32", seed=0):
    """Random numbers, the same at each call; integers where the dtype says so."""
    generator = np.random.default_rng([seed, *shape])
    if "int" in dtype:
        return generator.integers(low, high, shape).astype(dtype)
    return generator.uniform(low, high, shape).astype(dtype)


def find(library, path):
    """`find(keras.ops, "image.resize")`."""
    for part in path.split("."):
        library = getattr(library, part)
    return library


def same_signature(path):
    """Whether names, order, kinds and defaults of the arguments are Keras's."""
    theirs, mine = (inspect.signature(find(library, path)) for library in (keras.ops, ops))
    assert mine == theirs, f"{path}{mine} instead of {theirs}"


def check(
    path,
    *args,
    gradients=True,
    symbolic=True,
    symbols=None,
    shapes=True,
    dtypes=True,
    rtol=1e-5,
    atol=1e-5,
    **kwargs,
):
    """Compare the op `path` of both libraries.

    Args:
        path: "conv" or "image.resize".
        args: Arrays and other arguments.
        gradients: Whether gradients of all float arrays are compared.
        symbolic: Whether it is called with symbolic tensors.
        symbols: Places in `args` of the arrays that are symbolic then; all by default.
        shapes, dtypes: Whether the symbolic ones are Keras's.
        rtol, atol: Tolerance.
        kwargs: Given to the op; arrays are tensors there, too.
    """
    theirs, mine = find(keras.ops, path), find(ops, path)
    a, b = (_run(op, args, kwargs, gradients) for op in (theirs, mine))
    compare(path, b, a, rtol, atol)
    compare(f"{path} of arrays", (mine(*args, **kwargs), []), (a[0], []), rtol, atol)
    if symbolic:
        _check_symbolic(path, theirs, mine, args, kwargs, symbols, (shapes, dtypes), a, rtol, atol)


def _run(op, args, kwargs, gradients):
    """(outputs, gradients) of a call on tensors."""
    leaves = []

    def tensor(value):
        if not isinstance(value, np.ndarray):
            return value
        new = torch.tensor(value)
        if gradients and new.is_floating_point():
            leaves.append(new.requires_grad_())
        return new

    outputs = op(*map_structure(tensor, args), **map_structure(tensor, kwargs))
    if not leaves:
        return outputs, []
    total = sum(leaf.sum() * 0 for leaf in leaves)
    for out in flatten(outputs):
        if isinstance(out, torch.Tensor) and out.requires_grad:
            weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape)
            total = total + ((out.abs() if out.is_complex() else out) * weights).sum()
    return outputs, torch.autograd.grad(total, leaves, allow_unused=True)


def compare(what, ours, theirs, rtol=1e-5, atol=1e-5):
    """Equal dtypes, shapes and values of outputs and gradients."""
    mine, wanted = flatten(_listed(ours)), flatten(_listed(theirs))
    assert len(mine) == len(wanted), f"{what}: {len(mine)} results instead of {len(wanted)}"
    for a, b in zip(mine, wanted, strict=True):
        if not isinstance(b, torch.Tensor):
            assert a == b or a is b, f"{what}: {a} instead of {b}"
            continue
        assert a.dtype == b.dtype, f"{what}: {a.dtype} instead of {b.dtype}"
        assert a.shape == b.shape, f"{what}: {tuple(a.shape)} instead of {tuple(b.shape)}"
        a, b = (t.detach().float() if t.dtype is torch.bfloat16 else t.detach() for t in (a, b))
        np.testing.assert_allclose(a, b, rtol, atol, err_msg=what)


def _listed(tree):
    """torch's named tuples as lists."""
    if isinstance(tree, (list, tuple)):
        return [_listed(item) for item in tree]
    return tree


def _check_symbolic(path, theirs, mine, args, kwargs, symbols, compared, expected, rtol, atol):
    arrays = []

    def symbol(make, value):
        if not isinstance(value, np.ndarray):
            return value
        new = make((None, *value.shape[1:]), str(value.dtype))
        arrays.append((new, value))
        return new

    def call(op, make):
        arrays.clear()
        places = range(len(args)) if symbols is None else symbols
        given = [
            map_structure(lambda v: symbol(make, v), a) if i in places else a
            for i, a in enumerate(args)
        ]
        more = kwargs
        if symbols is None:
            more = map_structure(lambda v: symbol(make, v), kwargs)
        return op(*given, **more)

    wanted = flatten(_listed(call(theirs, keras.KerasTensor)))
    tree = call(mine, KerasTensor)
    for i, (a, b) in enumerate(zip(flatten(_listed(tree)), wanted, strict=True)):
        if compared[0]:
            assert a.shape == tuple(b.shape), f"{path}[{i}]: {a.shape} instead of {b.shape}"
        if compared[1]:
            assert a.dtype == b.dtype, f"{path}[{i}]: symbolic {a.dtype} instead of {b.dtype}"
    plan = Plan([new for new, _ in arrays], flatten(_listed(tree)))
    results = plan.run([torch.tensor(value) for _, value in arrays])
    compare(f"{path} in a graph", results, expected[0], rtol, atol)
