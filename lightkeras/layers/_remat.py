"""`remat` and `RematScope`: results that are computed twice, so that memory need not hold them.

What gradients need of a call is not kept but computed again, from the call's inputs, when the
gradients are. The second run begins where the first one did (random numbers, moving averages,
training or not), and leaves no trace.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar

import torch
from torch.utils.checkpoint import checkpoint

from lightkeras import activations
from lightkeras._graph import Function, KerasTensor, apply, is_keras_tensor
from lightkeras._registry import did_you_mean
from lightkeras._rng import generators
from lightkeras._tree import flatten, map_structure
from lightkeras.layers._weights import Weighted, pending

__all__ = ["RematScope", "current", "remat"]

_MODES = ("full", "activations", "larger_than", "list_of_layers")
_scopes: ContextVar = ContextVar("remat", default=())


class RematScope:
    """Layers that are made inside the `with` block compute their results again for the gradients.

    They take less memory and more time. Where scopes are nested the innermost counts.

    Args:
        mode: Which layers: "full" for all; "activations" for the activations of layers that have
            one; "larger_than" for those with more numbers in their output than
            `output_size_threshold`, the batch included; "list_of_layers" for those of
            `layer_names`; None for none of them.
        output_size_threshold: For "larger_than".
        layer_names: For "list_of_layers".

    Raises:
        ValueError: the mode is not known.

    Unlike in Keras a whole model is not computed again, but each of its layers is. Type
    `remat(model)` for that, or list its name.

    Source: Chen, Xu, Zhang, Guestrin, "Training Deep Nets with Sublinear Memory Cost" (2016).

    >>> from lightkeras import layers
    >>> with RematScope():
    ...     dense = layers.Dense(2, activation="relu")
    >>> dense(torch.ones(1, 3)).shape
    torch.Size([1, 2])
    """

    def __init__(self, mode="full", output_size_threshold=1024, layer_names=None):
        if mode not in (*_MODES, None):
            raise ValueError(
                f"RematScope() got mode={mode!r}.{did_you_mean(mode, _MODES)} "
                f"{', '.join(map(repr, _MODES))} and None are accepted. Type mode='full'."
            )
        self.mode = mode
        self.output_size_threshold = output_size_threshold
        self.layer_names = layer_names or []

    def __enter__(self):
        _scopes.set((*_scopes.get(), self))
        return self

    def __exit__(self, *error):
        _scopes.set(_scopes.get()[:-1])

    def compute(self, layer, args, kwargs):
        """What `layer` computes, kept or not as the mode says."""
        if not torch.is_grad_enabled():  # also where shapes are found
            return layer._compute(args, kwargs)
        if self.mode == "activations":
            return _with_activation(layer, args, kwargs)
        if self._takes(layer, args, kwargs):
            return _recomputed(layer._compute, layer, (args, kwargs), {})
        return layer._compute(args, kwargs)

    def _takes(self, layer, args, kwargs):
        if self.mode == "list_of_layers":
            return layer.name in self.layer_names
        if not layer._remat_whole:
            return False
        return self.mode == "full" or _size(layer, args, kwargs) > self.output_size_threshold


def current():
    """The innermost scope, or None."""
    scope = next(reversed(_scopes.get()), None)
    return None if scope is None or scope.mode is None else scope


def remat(f):
    """`f`, with results that are computed again for the gradients.

    Args:
        f: A function of tensors, a method, a layer or a model.

    Returns:
        A function with the arguments of `f`; symbolic tensors may be among them.

    Raises:
        TypeError: `f` cannot be called.

    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> torch.autograd.grad(remat(lambda x: x.sin().exp())(x), x)[0].round(decimals=4)
    tensor(-1.0331)
    """
    if not callable(f):
        raise TypeError(
            f"remat() got {f!r:.60}. A function, a layer or a model is accepted. Type "
            "remat(layer)(x), and not remat(layer(x))."
        )
    owner = f if isinstance(f, torch.nn.Module) else getattr(f, "__self__", None)
    module = owner if isinstance(owner, torch.nn.Module) else None

    @functools.wraps(f, updated=())
    def wrapped(*args, **kwargs):
        if module is None and any(map(is_keras_tensor, flatten((args, kwargs)))):
            return apply(Function(wrapped, getattr(f, "__name__", "remat")), args, kwargs)
        return _recomputed(f, module, args, kwargs)

    return wrapped


def _recomputed(f, module, args, kwargs):
    """`f(*args, **kwargs)`; what it needs of `module` in the second run is as in the first."""
    if not torch.is_grad_enabled() or any(map(is_keras_tensor, flatten((args, kwargs)))):
        return f(*args, **kwargs)
    if module is None or torch.compiler.is_compiling():
        return checkpoint(f, *args, use_reentrant=False, **kwargs)
    moment, runs = _Moment(module), []

    def run(*args, **kwargs):
        if not runs:
            runs.append(True)
            return f(*args, **kwargs)
        with moment:
            return f(*args, **kwargs)

    return checkpoint(run, *args, use_reentrant=False, **kwargs)


class _Moment:
    """A module as it was when this was made: inside the `with` block it is so again."""

    def __init__(self, module):
        self.modules = list(module.modules())
        self.generators = generators(dict(enumerate(self.modules)))
        buffers, *rest = self._state()
        self.start = _copies(buffers), *rest

    def _state(self):
        return (
            [dict(m._buffers) for m in self.modules],
            [m.training for m in self.modules],
            [list(getattr(m, "_added_losses", ())) for m in self.modules],
            self.generators.state(),
            (Weighted._mixing, Weighted._in_model),
        )

    def _put(self, buffers, flags, losses, states, around):
        for module, own, training, added in zip(self.modules, buffers, flags, losses, strict=True):
            module._buffers.update(own)
            module.training = training
            if hasattr(module, "_added_losses"):
                module._added_losses[:] = added
        self.generators.put_back(states)
        Weighted._mixing, Weighted._in_model = around

    def __enter__(self):
        self.now, self.pending = self._state(), len(pending)
        buffers, *rest = self.start
        self._put(_copies(buffers), *rest)

    def __exit__(self, *error):
        self._put(*self.now)
        del pending[self.pending :]


def _copies(buffers):
    return [{k: b if b is None else b.clone() for k, b in own.items()} for own in buffers]


def _with_activation(layer, args, kwargs):
    """The layer's call with an activation that is computed again."""
    activation = getattr(layer, "activation", None)
    if activation in (None, activations.linear) or not layer._remat_activation:
        return layer._compute(args, kwargs)
    own = layer.__dict__
    before = {"activation": own["activation"]} if "activation" in own else {}
    own["activation"] = remat(activation)
    try:
        return layer._compute(args, kwargs)
    finally:
        del own["activation"]
        own.update(before)


def _size(layer, args, kwargs):
    """Count of the numbers in the output for inputs of these shapes."""
    shapes = tuple(tuple(t.shape) for t in flatten((args, kwargs)) if isinstance(t, torch.Tensor))
    sizes = layer.__dict__.setdefault("_output_sizes", {})
    if shapes not in sizes:
        outputs = layer.compute_output_spec(*map_structure(_symbol, args), **kwargs)
        sizes[shapes] = sum(_count(t.shape) for t in flatten(outputs))
    return sizes[shapes]


def _symbol(value):
    return KerasTensor(value.shape, value.dtype) if isinstance(value, torch.Tensor) else value


def _count(shape):
    return functools.reduce(lambda a, n: a * (n or 1), shape, 1)
