"""One layer of ours against the same layer of the installed Keras: the harness of all layer tables.

    from _layers import check, check_signature

    check(lambda k: k.layers.Conv1D(4, 3, padding="same"), (2, 8, 3), unknown=[(None, None, 3)])

`make(k)` builds the layer; `k` is `keras` once and our package once, so that one expression
describes both (`k.regularizers.L2(0.1)` works too). Inputs: a shape gives random numbers of that
shape, an array is taken as it is; a list or dict of them is one argument, several are several.
`check` compares configs and their round trip, symbolic shapes, the weights' names, shapes, order
and trainable split; then, with equal random weights and `training` False and True: outputs, masks,
state, losses, gradients of inputs and weights. Random layers: `numbers=False` (shapes and dtypes
only) or `modes=(False,)`. It returns our layer, built and with those weights.
"""

import inspect
import json
from types import SimpleNamespace

import keras
import numpy as np
import torch

import lightkeras
from lightkeras import (
    activations,
    constraints,
    dtype_policies,
    initializers,
    layers,
    random,
    regularizers,
)
from lightkeras._registry import reset_names

OURS = SimpleNamespace(
    activations=activations,
    constraints=constraints,
    initializers=initializers,
    layers=layers,
    random=random,
    regularizers=regularizers,
    DTypePolicy=dtype_policies.DTypePolicy,
    Input=layers.Input,
    name=lightkeras.__name__,
)


def check(
    make,
    *inputs,
    unknown=(),
    mask=None,
    modes=(False, True),
    numbers=True,
    gradients=True,
    symbolic=True,
    config=True,
    paths=True,
    masks=True,
    kwargs=None,
    rtol=1e-5,
    atol=1e-5,
):
    """Compare `make(keras)` with `make(ours)`; returns ours.

    Args:
        make: Takes `keras` or our namespace, returns a new layer.
        inputs: Shapes or arrays (or lists, dicts of them), one per call argument.
        unknown: Batch shapes with None in them, for symbolic calls of one-input layers.
        mask: Boolean array carried by the first input (or a list of them for a list).
        modes: Values of `training` to compare.
        numbers: Whether values are compared (False for random layers).
        gradients, symbolic, config, paths, masks: What to leave out where Keras differs on purpose.
        kwargs: Further call arguments; arrays become tensors.
        rtol, atol: Tolerance of values and gradients.
    """
    keras.backend.clear_session(free_memory=False)
    reset_names()
    theirs, mine = make(keras), make(OURS)
    if config:
        check_config(theirs, mine)
    arrays = [_tree(_array, value, index) for index, value in enumerate(inputs)]
    if symbolic:
        check_symbolic(make, [_tree(np.shape, a) for a in arrays], arrays, unknown)
        keras.backend.clear_session(free_memory=False)
        reset_names()
        theirs, mine = make(keras), make(OURS)
    run = lambda layer, training, grad=False: _call(
        layer, arrays, mask, training, kwargs or {}, grad
    )
    run(theirs, False)
    run(mine, False)
    check_weights(theirs, mine, paths)
    if config:
        check_round_trip(mine)
    for training in modes:
        (a, a_in), (b, b_in) = (run(layer, training, grad=True) for layer in (theirs, mine))
        what = f"training={training}"
        check_outputs(a, b, what, numbers, rtol, atol, masks)
        if not numbers:
            continue
        for v, w in zip(theirs.weights, mine.weights, strict=True):
            _close(w, v, f"{what}: {w.path} after the call", rtol, atol)
        _close(sum(mine.losses, 0.0), sum(theirs.losses, 0.0), f"{what}: losses", rtol, atol)
        if gradients:
            check_gradients((theirs, a, a_in), (mine, b, b_in), what, rtol, atol)
    return mine


def check_signature(name, without=()):
    """Same parameters, order and defaults as Keras's class, `without` those that we leave out.

    A default of 1 and one of (1, 1) mean the same.
    """

    def one(value):
        while isinstance(value, tuple) and value and all(v == value[0] for v in value):
            value = value[0]
        return value

    def parameters(cls):
        found = inspect.signature(cls.__init__).parameters.values()
        return [(p.name, one(p.default)) for p in found if p.kind is p.POSITIONAL_OR_KEYWORD][1:]

    theirs, mine = (parameters(getattr(k, name)) for k in (keras.layers, layers))
    theirs = [p for p in theirs if p[0] not in without]
    assert mine == theirs, f"{name}: {mine} instead of {theirs}"


def check_config(theirs, mine):
    """`get_config` has Keras's keys and values, and is JSON."""
    a, b = _config(theirs), _config(mine)
    assert b.keys() == a.keys(), (
        f"config keys: extra {b.keys() - a.keys()}, lacking {a.keys() - b.keys()}"
    )
    for key in a:
        assert b[key] == a[key], f"config[{key!r}]: {b[key]} instead of {a[key]}"
    again = type(mine).from_config(json.loads(json.dumps(mine.get_config())))
    assert _config(again) == b


def check_symbolic(make, shapes, arrays, unknown):
    """Symbolic calls with an unknown batch (and further unknown axes) give Keras's shapes."""
    variants = [[_tree(lambda s: (None, *s[1:]), s, leaf=tuple) for s in shapes]]
    variants += [[shape] for shape in unknown]
    dtypes = [_tree(lambda a: str(a.dtype), a) for a in arrays]
    for variant in variants:
        specs = []
        for k in (keras, OURS):
            ins = [_inputs(k, s, d) for s, d in zip(variant, dtypes, strict=True)]
            specs.append(keras.tree.flatten(make(k)(*ins)))
        for a, b in zip(*specs, strict=True):
            assert tuple(b.shape) == tuple(a.shape), (
                f"symbolic {variant}: {b.shape} instead of {a.shape}"
            )
            assert b.dtype == a.dtype, f"symbolic {variant}: {b.dtype} instead of {a.dtype}"


def check_weights(theirs, mine, paths=True):
    """Names, shapes, dtypes and the trainable split; then both get the same random values."""
    name = (lambda w: w.path) if paths else (lambda w: w.name)
    for what in ("weights", "trainable_weights", "non_trainable_weights"):
        a, b = getattr(theirs, what), getattr(mine, what)
        facts = [[(name(w), tuple(w.shape)) for w in side] for side in (a, b)]
        assert facts[1] == facts[0], f"{what}: {facts[1]} instead of {facts[0]}"
    rng = np.random.default_rng(1)
    values = []
    for w in theirs.weights:  # in steps of 1/64, which half precision holds exactly
        low = 0.5 if "variance" in w.name or "gamma" in w.name else -0.5
        value = low + rng.integers(0, 64, w.shape) / 64
        values.append(value.astype("int64" if "int" in w.dtype else "float32"))
    theirs.set_weights(values)
    mine.set_weights(values)
    for w, value in zip(mine.weights, values, strict=True):
        np.testing.assert_array_equal(_numpy(w), value, err_msg=w.path)
    for v, w in zip(theirs.weights, mine.weights, strict=True):
        constraint, ours = getattr(v, "constraint", None), getattr(w, "constraint", None)
        assert (constraint is None) == (ours is None), f"constraint of {w.path}"
        if ours is not None:
            _close(ours(w.value.detach()), constraint(v.value.detach()), f"constraint of {w.path}")


def check_round_trip(mine):
    """A layer made from the config and the build config of this one takes its weights."""
    new = type(mine).from_config(mine.get_config())
    new.build_from_config(json.loads(json.dumps(mine.get_build_config())))
    shapes = [tuple(w.shape) for w in new.weights]
    assert shapes == [tuple(w.shape) for w in mine.weights], (
        "weights of from_config + build_from_config"
    )
    new.set_weights(mine.get_weights())


def check_outputs(theirs, mine, what, numbers, rtol, atol, masks=True):
    """Same tree of outputs: shapes, dtypes, values, masks."""
    theirs, mine = keras.tree.flatten(theirs), keras.tree.flatten(mine)
    assert len(mine) == len(theirs), f"{what}: {len(mine)} outputs instead of {len(theirs)}"
    for a, b in zip(theirs, mine, strict=True):
        assert tuple(b.shape) == tuple(a.shape), (
            f"{what}: {tuple(b.shape)} instead of {tuple(a.shape)}"
        )
        assert b.dtype == a.dtype, f"{what}: {b.dtype} instead of {a.dtype}"
        if numbers:
            _close(b, a, f"{what}: output", rtol, atol)
        if not masks:
            continue
        mask_a, mask_b = getattr(a, "_keras_mask", None), getattr(b, "_keras_mask", None)
        assert (mask_a is None) == (mask_b is None), f"{what}: mask {mask_b} instead of {mask_a}"
        if mask_a is not None:
            np.testing.assert_array_equal(_numpy(mask_b), _numpy(mask_a), err_msg=f"{what}: mask")


def check_gradients(theirs, mine, what, rtol, atol):
    """Gradients of a random weighting of the outputs, for inputs and trainable weights."""
    for layer, outputs, _ in (theirs, mine):
        layer.zero_grad()
        rng = np.random.default_rng(2)
        total = 0.0
        for y in keras.tree.flatten(outputs):
            if y.requires_grad:
                total = total + (y * torch.as_tensor(rng.normal(size=y.shape), dtype=y.dtype)).sum()
        if isinstance(total, torch.Tensor):
            total.backward()
    for i, (a, b) in enumerate(zip(theirs[2], mine[2], strict=True)):
        _close(_grad(b), _grad(a), f"{what}: gradient of input {i}", rtol, atol)
    for v, w in zip(theirs[0].trainable_weights, mine[0].trainable_weights, strict=True):
        _close(_grad(w.value), _grad(v.value), f"{what}: gradient of {w.path}", rtol, atol)


# ---- pieces ------------------------------------------------------------------------------------


def _array(value, index):
    if isinstance(value, np.ndarray):
        return value
    return np.random.default_rng(index).normal(size=value).astype("float32")


def _is_shape(value):
    return isinstance(value, tuple) and all(n is None or isinstance(n, int) for n in value)


def _tree(fn, value, index=None, leaf=None):
    """`fn` over a tree of arrays and shapes; each leaf may get its own number."""
    if isinstance(value, dict):
        return {k: _tree(fn, v, _next(index, i), leaf) for i, (k, v) in enumerate(value.items())}
    if isinstance(value, (list, tuple)) and not _is_shape(value):
        return type(value)(_tree(fn, v, _next(index, i), leaf) for i, v in enumerate(value))
    return fn(value) if index is None else fn(value, index)


def _next(index, i):
    return None if index is None else 10 * index + i


def _inputs(k, shape, dtype):
    if isinstance(shape, dict):
        return {n: _inputs(k, s, dtype[n]) for n, s in shape.items()}
    if _is_shape(shape):
        return k.Input(batch_shape=shape, dtype=dtype)
    return type(shape)(_inputs(k, s, d) for s, d in zip(shape, dtype, strict=True))


def _call(layer, arrays, mask, training, kwargs, grad):
    """(outputs, input tensors) of a call with new tensors."""
    tensors = []

    def tensor(value):
        new = torch.tensor(value)
        if new.is_floating_point():
            new.requires_grad_(grad)
        tensors.append(new)
        return new

    args = [_tree(tensor, a) for a in arrays]
    masks = mask if isinstance(mask, list) else [mask]
    for t, m in zip(tensors, masks, strict=False):
        if m is not None:
            t._keras_mask = torch.tensor(m)
    more = {n: torch.tensor(v) if isinstance(v, np.ndarray) else v for n, v in kwargs.items()}
    if isinstance(layer, layers.Layer):  # Keras does it in each outermost call, we in a model's
        layer.clear_losses()
    with torch.set_grad_enabled(grad):
        return layer(*args, training=training, **more), [
            t for t in tensors if t.is_floating_point()
        ]


def _grad(tensor):
    return torch.zeros(()).expand(tensor.shape) if tensor.grad is None else tensor.grad


def _numpy(value):
    value = getattr(value, "value", value)
    if isinstance(value, torch.Tensor):
        value = value.detach().as_subclass(torch.Tensor).cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    return np.asarray(value)


def _close(mine, theirs, what, rtol=1e-5, atol=1e-5):
    np.testing.assert_allclose(_numpy(mine), _numpy(theirs), rtol=rtol, atol=atol, err_msg=what)


def _config(layer):
    """The config as JSON has it, without entries that only say that there is nothing."""
    empty = ("activity_regularizer", "quantization_config")

    def shorter(pairs):
        return {k: v for k, v in pairs.items() if v is not None or k not in empty}

    return json.loads(json.dumps(layer.get_config()), object_hook=shorter)
