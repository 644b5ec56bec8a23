"""What shapes a layer accepts, and the sentence for an input that has another one."""

from __future__ import annotations

import inspect

from torch import Tensor

from lightkeras._graph import KerasTensor, ShapeTensor
from lightkeras._traceback import is_about_memory
from lightkeras._tree import flatten

__all__ = ["FAILURES", "InputSpec", "check_input", "explain"]

# What a call that cannot compute raises.
FAILURES = (RuntimeError, IndexError, KeyError, TypeError, ValueError, AttributeError)


class InputSpec:
    """Rank and sizes that a layer expects of an input; None means anything.

    Args:
        dtype: Expected dtype (kept for reference).
        shape: Complete shape, the batch included.
        ndim, max_ndim, min_ndim: Exact, largest and smallest rank.
        axes: `{axis: size}` of axes that must have a certain size.
        allow_last_axis_squeeze: Accept a last axis of size 1 that the shape lacks.
        name: Name of the input.
        optional: Whether None is accepted.

    >>> InputSpec(min_ndim=2, axes={-1: 4}).axes
    {-1: 4}
    """

    def __init__(
        self,
        dtype=None,
        shape=None,
        ndim=None,
        max_ndim=None,
        min_ndim=None,
        axes=None,
        allow_last_axis_squeeze=False,
        name=None,
        optional=False,
    ):
        self.dtype = dtype
        self.shape = None if shape is None else tuple(shape)
        self.ndim = len(shape) if shape is not None else ndim
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.axes = {int(k): v for k, v in (axes or {}).items()}
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        self.name = name
        self.optional = optional

    def get_config(self):
        """What it expects, as plain values."""
        names = ("dtype", "shape", "ndim", "max_ndim", "min_ndim", "axes", "optional")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config):
        """The spec that `get_config` described."""
        return cls(**config)

    def __repr__(self):
        set_ = {k: v for k, v in vars(self).items() if v not in (None, False, {})}
        return f"InputSpec({', '.join(f'{k}={v}' for k, v in set_.items())})"


_RANKS = {
    2: "(batch, features)",
    3: "(batch, time, features)",
    4: "(batch, height, width, channels)",
    5: "(batch, depth, height, width, channels)",
}


def check_input(layer, shape):
    """Raise ValueError where `shape` is not what `layer.input_spec` asks for."""
    spec = layer.input_spec
    if not isinstance(spec, InputSpec) or shape is None or isinstance(shape, (list, dict)):
        return
    rank = len(shape)
    who = f"{type(layer).__name__} {layer.name!r}"
    if spec.ndim is not None and rank != spec.ndim:
        raise ValueError(_wrong_rank(who, f"{spec.ndim} axes", spec.ndim, shape))
    if spec.min_ndim is not None and rank < spec.min_ndim:
        raise ValueError(_wrong_rank(who, f"at least {spec.min_ndim} axes", spec.min_ndim, shape))
    if spec.max_ndim is not None and rank > spec.max_ndim:
        raise ValueError(_wrong_rank(who, f"at most {spec.max_ndim} axes", spec.max_ndim, shape))
    for axis, size in spec.axes.items():
        if size is not None and -rank <= axis < rank and shape[axis] not in (size, None):
            raise ValueError(
                f"{who} expects {size} features on axis {axis}, its input has {shape[axis]} "
                f"(shape {tuple(shape)}). It was built for {size}. Give inputs of that size, or "
                "build a new layer."
            )
    layer._check_shape(tuple(shape))


def _too_few(layer, args):
    parameters = inspect.signature(layer.call).parameters.values()
    names = [
        p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    kind = type(layer).__name__
    return TypeError(
        f"{kind} {layer.name!r} was called with {len(args)} inputs. It takes {len(names)}: "
        f"{', '.join(names)}. Type {kind}(...)({', '.join(names)})."
    )


def explain(layer, args, error):
    """Raise our sentence for a call that failed; return where the error is not about the input.

    Only the errors of our own layers are about the input.
    """
    if is_about_memory(error) or (str(error).endswith(".") and _is_sentence(error)):
        return
    given = args[0] if args else None
    if isinstance(given, (Tensor, KerasTensor)):
        check_input(layer, given.shape)
    leaves = flatten(given)
    running = any(type(leaf) is ShapeTensor for leaf in leaves)  # who asked can try otherwise
    if not layer._is_ours or running or type(error) not in (*FAILURES, NotImplementedError):
        return
    shapes = [f"{tuple(t.shape)} {_dtype(t)}" for t in leaves if hasattr(t, "shape")]
    many = isinstance(given, (list, tuple, dict))
    if not shapes or (many and isinstance(layer.input_spec, InputSpec)):
        raise _no_tensor(layer, args, many, bool(shapes)) from None
    if next(layer.children(), None) is not None:
        return  # a layer in it failed, which may be the user's
    said = str(error).strip().partition("\n")[0][:200].rstrip(".")
    if "required positional argument" in said:
        raise _too_few(layer, args) from None
    raise ValueError(
        f"{type(layer).__name__} {layer.name!r} cannot compute with an input of "
        f"{', '.join(shapes[:5])}: {said}. Shapes, dtype and the layer's arguments must go "
        "together. Change one of them."
    ) from error


def _is_sentence(error):
    """Whether Python raised it: torch's own errors may end with a full stop too."""
    return not isinstance(error, RuntimeError) or " has no " in str(error)


def _dtype(tensor):
    return str(tensor.dtype).removeprefix("torch.")


def _no_tensor(layer, args, many, tensors):
    given = args[0] if args else None
    what = "None" if given is None else type(given).__name__
    what = f"a {what} of {len(given)}" if many else what
    hint = "Convert numbers with np.asarray."
    if tensors:
        hint = "Join several, for example with Concatenate()([a, b])."
    return TypeError(
        f"{type(layer).__name__} {layer.name!r} got {what if args else 'nothing'}. It takes one "
        f"tensor, array or symbolic tensor. {hint}"
    )


def _wrong_rank(who, wanted, rank, shape):
    hint = " Add the axis, for example x[..., None]." if len(shape) < rank else ""
    if len(shape) == rank - 1 and rank == 2:
        hint = " For one sample, add the batch axis: x[None]."
    form = f", {_RANKS[rank]}" if rank in _RANKS else ""
    return (
        f"{who} got an input of shape {tuple(shape)}, which has {len(shape)} "
        f"ax{'i' if len(shape) == 1 else 'e'}s. It takes {wanted}{form}.{hint}"
    )
