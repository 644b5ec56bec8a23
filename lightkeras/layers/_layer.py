"""`Layer`: what every layer is. An `nn.Module` with Keras's face.

A subclass writes `__init__`, `build` and `call`. Building on the first input, names, weights in
Keras's axis order, configs, output shapes, masks and symbolic calls are derived here. A call
with one tensor, on a built layer, goes straight to torch: see `__call__`.
"""

from __future__ import annotations

import functools
import inspect
import warnings

import numpy as np
import torch
from torch import Tensor

from lightkeras import dtype_policies, regularizers
from lightkeras._config import Configurable, _outside, accepted, arguments, plain, unexpected
from lightkeras._dtypes import dtype_name, native, torch_dtype
from lightkeras._graph import KerasTensor, ShapeTensor, apply, output_spec
from lightkeras._mode import in_other_mode, training_mode
from lightkeras._registry import to_snake, unique_name
from lightkeras._text import Text, as_text, holds_text, refusal
from lightkeras._tree import flatten, map_structure
from lightkeras.layers import _remat
from lightkeras.layers._shapes import (
    as_shape,
    device_of,
    input_shape_of,
    is_beside,
    mask_of,
    open_rows,
    shape_of,
    shapes_to_specs,
)
from lightkeras.layers._spec import FAILURES, InputSpec, check_input, explain
from lightkeras.layers._views import BoundView
from lightkeras.layers._weights import Weighted, named, path_inside

__all__ = ["Layer"]


class Layer(Weighted, metaclass=Configurable):
    """Base of all layers.

    Args:
        activity_regularizer: Regularizer of the output, added to the loss.
        trainable: Whether gradients reach the weights.
        dtype: Name or policy of the dtype; the global policy by default.
        autocast: Whether floating inputs are cast to the layer's compute dtype.
        name: Name; made from the class by default (`dense`, `dense_1`...).
        input_shape, batch_input_shape, input_dim: Shape of the input of a model's first layer,
            without and with the batch; `input_dim=n` is the old spelling of `input_shape=(n,)`.
        weights: Initial values, in Keras's layout, set after the build.

    Raises:
        TypeError: an argument is unknown; the closest known one is named.

    >>> import torch
    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.scale = self.add_weight(shape=input_shape[-1:], initializer="ones")
    ...     def call(self, x):
    ...         return x * self.scale
    >>> layer = Scale()
    >>> tuple(layer(torch.zeros(2, 3)).shape), layer.weights[0].shape
    ((2, 3), torch.Size([3]))
    """

    _extra_arguments = (
        "input_shape",
        "batch_shape",
        "batch_input_shape",
        "input_dim",
        "input_length",
        "weights",
        "batch_size",
    )
    _proof = "_rows"
    _builds_by_running = True  # build() is the default one: it runs call() without numbers
    supports_masking = False  # True in a class that has a compute_mask() of its own
    _makes_mask = False  # compute_mask() gives one even where the input has none
    # (place, name) of those arguments of call() that have a mask of their own
    _masked_names: tuple[tuple[int, str], ...] = ()
    _holds_wider = False  # a layer in it has a float type of its own: outputs stay as they are
    _casts_ints = False  # integer inputs become the compute dtype (layers with weights do this)
    _takes_text = False  # strings may go in
    _is_ours = True  # what fails in it is about the input: see `explain`
    input_spec: InputSpec | None = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        own = cls.__dict__
        if "call" in own:
            cls.forward = own["call"]
        elif "forward" in own:
            cls.call = own["forward"]
        names = list(inspect.signature(cls.call).parameters)[1:]
        users = not cls.__module__.startswith("lightkeras.")
        cls._is_ours = own.get("_is_ours", not users)
        if users:
            cls._takes_text = own.get("_takes_text", True)  # a layer inside may
        cls._call_names = tuple(names)
        # Our own layers read self.training; a user's call() is handed the flag.
        cls._takes_training = "training" in names and users
        cls._takes_mask = "mask" in names
        cls._unpacks_masks = users and cls._takes_mask
        cls._masked_names = tuple((i, n) for i, n in enumerate(names) if f"{n}_mask" in names)
        if "compute_mask" in own and users:
            cls._makes_mask = True
            cls.supports_masking = own.get("supports_masking", True)
        if "build" in own:
            cls.build = _building(own["build"])
            cls._builds_by_running = own.get("_builds_by_running", False)
        for view in cls.views:
            if view.name != view.attribute:
                setattr(cls, view.name, _face(view))

    def __init__(
        self,
        *,
        activity_regularizer=None,
        trainable=True,
        dtype=None,
        autocast=True,
        name=None,
        **kwargs,
    ):
        super().__init__()
        strange = [k for k in kwargs if k not in Layer._extra_arguments]
        if strange:
            raise unexpected(type(self).__name__, strange[0], accepted(type(self))[0])
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(
                f"{type(self).__name__}(name={name!r}) is no name. A text without a slash is "
                "accepted. Type name='encoder', or leave it out."
            )
        state = self.__dict__
        state["training"] = False  # as in Keras, calling a layer is inference unless told otherwise
        state["_name"] = name or unique_name(to_snake(type(self).__name__))
        state["_rows"] = []  # one per own weight: see add_weight
        state["_inbound_nodes"] = []
        state["_added_losses"] = []
        state["_trainable"] = bool(trainable)
        state["_direct"] = False
        state["_remat"] = _remat.current()
        state["built"] = False
        state["autocast"] = autocast
        state["dtype_policy"] = dtype_policies.get(dtype)
        state["_dtype_in"] = torch_dtype(self.dtype_policy.compute_dtype)
        state["activity_regularizer"] = regularizers.get(activity_regularizer)
        state["_initial_weights"] = kwargs.pop("weights", None)
        state["_batch_shape"] = input_shape_of(type(self).__name__, kwargs)

    # ---- the call -----------------------------------------------------------------------------

    def __call__(self, *args, **kwargs):
        if self._direct and len(args) == 1 and not kwargs:
            x = args[0]
            if type(x) is Tensor and x.dtype is self._dtype_in and not hasattr(x, "_keras_mask"):
                try:
                    return self._call_impl(x)
                except FAILURES as error:
                    explain(self, args, error)
                    raise
        return self._general_call(args, kwargs)

    def _check_shape(self, shape):
        """Raise ValueError where the layer cannot compute with an input of this shape."""

    def call(self, *args, **kwargs):
        """What the layer computes; a subclass defines it."""
        raise TypeError(
            f"{type(self).__name__} has no call(). A layer computes in call(self, inputs). Add "
            "that method."
        )

    forward = call

    def _general_call(self, args, kwargs):
        """Every call but that of a built layer with one tensor."""
        training = kwargs.pop("training", None) if kwargs and "training" in kwargs else None
        if training is not None and in_other_mode(self, bool(training)):
            with training_mode(self, bool(training)):
                return self._general_call(args, kwargs)
        leaves = flatten((args, kwargs))
        if any(type(leaf) is KerasTensor for leaf in leaves):
            return self._symbolic_call(args, kwargs)
        if not self.built:
            self._settle()
        args = map_structure(self._prepared, args)
        kwargs = {
            k: map_structure(self._as_mask if "mask" in k else self._prepared, v)
            for k, v in kwargs.items()
        }
        if any(type(leaf) is ShapeTensor for leaf in leaves):
            return self._shape_call(args, kwargs)
        if self.built:
            return self._masked_call(args, kwargs)
        with named(self.name, self):
            self._build_for(args, kwargs)
            return self._masked_call(args, kwargs)

    def _prepared(self, leaf):
        """An input in the form the layer computes with: a tensor of its compute dtype."""
        if isinstance(leaf, (np.ndarray, np.generic)):
            if leaf.dtype.kind not in "biufc":
                return self._prepared(as_text(leaf)) if holds_text(leaf) else leaf
            leaf = torch.as_tensor(native(leaf), device=device_of(self))
        if isinstance(leaf, BoundView):
            leaf = leaf.value
        if not isinstance(leaf, Tensor) or leaf.dtype is self._dtype_in or not self.autocast:
            return leaf
        if type(leaf) is Text:
            if self._takes_text:
                return leaf
            raise refusal(leaf.words.array, f"The input of {type(self).__name__} {self.name!r}")
        if leaf.is_floating_point():
            if torch.is_autocast_enabled(leaf.device.type) and not Layer._mixing:
                return leaf
        elif not self._casts_ints:
            return leaf
        elif leaf.is_complex() and not self._dtype_in.is_complex:
            raise TypeError(
                f"The input of {type(self).__name__} {self.name!r} is {dtype_name(leaf.dtype)}, "
                f"and it computes with {dtype_name(self._dtype_in)}: imaginary parts would be "
                "lost. Use x.real, abs(x), or both parts side by side."
            )
        new = leaf.to(self._dtype_in)
        if hasattr(leaf, "_keras_mask"):
            new._keras_mask = leaf._keras_mask
        return new

    def _as_mask(self, leaf):
        is_array = isinstance(leaf, np.ndarray)
        return torch.as_tensor(native(leaf), device=device_of(self)) if is_array else leaf

    def _masked_call(self, args, kwargs):
        first = args[0] if args else next(iter(kwargs.values()), None)
        mask = given = kwargs.get("mask")
        mask = mask_of(first) if mask is None else mask
        if self._added_losses and not Layer._in_model:
            self._added_losses.clear()
        # As in Keras a mask that an input carries counts where that is the only input: an LSTM that
        # is also given tensors as its initial state sees none.
        if self._takes_mask and mask is not None and (given is not None or _alone(args, kwargs)):
            if isinstance(mask, (list, tuple, dict)):
                seen = map_structure(lambda m: None if is_beside(m) else m, mask)
                kwargs["mask"] = seen if any(m is not None for m in flatten(seen)) else None
            else:
                kwargs["mask"] = mask = mask.view_as(mask) if is_beside(mask) else mask
        if self._unpacks_masks and kwargs.get("mask") is None and _alone(args, kwargs):
            # A user's `a_mask, b_mask = mask` is to work where no input has one, too.
            kwargs["mask"] = map_structure(lambda leaf: None, first)
        if self._masked_names:
            self._give_masks(args, kwargs)
        if self._takes_training and "training" not in kwargs:
            kwargs["training"] = self.training
        try:
            scope = self._remat
            compute = self._compute if scope is None else functools.partial(scope.compute, self)
            outputs = compute(args, kwargs)
            if self.activity_regularizer is not None:
                for output in flatten(outputs):
                    self.add_loss(self.activity_regularizer(output) / output.shape[0])
        except FAILURES as error:
            explain(self, args, error)
            raise
        if mask is not None or self.supports_masking:
            self._set_mask(first, outputs, mask)
        return outputs

    def _give_masks(self, args, kwargs):
        """`query_mask=` from the mask that `query` carries: in calls with several inputs."""
        if len(args) + len(kwargs) < 2:
            return
        for place, name in self._masked_names:
            mask = mask_of(args[place] if place < len(args) else kwargs.get(name))
            free = self._call_names.index(f"{name}_mask") >= len(args)
            free = free and not is_beside(mask)
            if mask is not None and free and kwargs.get(f"{name}_mask") is None:
                kwargs[f"{name}_mask"] = mask

    def _compute(self, args, kwargs):
        mixed = _is_mixed(self.dtype_policy)
        if not mixed and not Layer._mixing:
            return self._call_impl(*args, **kwargs)
        kind, outer = device_of(self).type, Layer._mixing
        dtype = self._dtype_in if mixed else None
        Weighted._mixing = mixed
        try:
            with torch.autocast(kind, dtype=dtype, enabled=mixed):
                outputs = self._call_impl(*args, **kwargs)
        finally:
            Weighted._mixing = outer
        return self._cast(outputs) if mixed and not self._holds_wider else outputs

    def _cast(self, outputs):
        """Autocast computes some functions in float32: back to the compute dtype."""
        cast = lambda t: t.to(self._dtype_in) if t.is_floating_point() else t  # noqa: E731
        return map_structure(cast, outputs)

    def _set_mask(self, inputs, outputs, mask):
        if not self.supports_masking:
            _warn_once(
                self,
                f"Layer {self.name!r} got an input with a mask and drops it: layers after it see "
                "no mask. "
                "Set self.supports_masking = True in its __init__ if it keeps the time axis.",
            )
            return
        new = self.compute_mask(inputs, mask)
        if new is None:
            return
        outs, masks = flatten(outputs), flatten(new)
        for output, m in zip(outs, masks, strict=False):
            if m is not None and not hasattr(output, "_keras_mask") and isinstance(output, Tensor):
                output._keras_mask = m

    def compute_mask(self, inputs, previous_mask):
        """Mask of the output; the input's by default. Only used if `supports_masking`."""
        return previous_mask

    # ---- symbolic calls and shapes ------------------------------------------------------------

    def _symbolic_call(self, args, kwargs):
        if not self._takes_text:
            for leaf in flatten((args, kwargs)):
                if type(leaf) is KerasTensor and leaf.dtype == "string":
                    raise refusal((), f"The input of {type(self).__name__} {self.name!r}")
        if not self.built:
            with named(self.name, self):
                self._build_for(args, kwargs)
                return self._symbolic_call(args, kwargs)
        try:
            return apply(self, args, kwargs)
        except FAILURES as error:
            explain(self, args, error)
            raise

    def compute_output_spec(self, *args, **kwargs):
        """Symbolic outputs for symbolic inputs."""
        if type(self).compute_output_shape is not Layer.compute_output_shape and len(args) == 1:
            first = args[0]
            shapes = self.compute_output_shape(map_structure(lambda t: t.shape, first))
            dtype = self.dtype_policy.compute_dtype
            specs = shapes_to_specs(shapes, dtype)
            self._foresee_masks(first, specs)
            return specs
        return output_spec(self, args, kwargs)

    def _foresee_masks(self, inputs, specs):
        """Tell the symbolic outputs of the masks that `compute_mask` will give them."""
        masked = any(t._mask_spec is not None for t in flatten(inputs))
        if self.supports_masking and (masked or self._makes_mask):
            masks = output_spec(lambda x: self.compute_mask(x, mask_of(x)), (inputs,), {})
            for spec, mask in zip(flatten(specs), flatten(masks), strict=False):
                spec._mask_spec = mask

    def compute_output_shape(self, input_shape):
        """Shape of the output for the shape of the input; None stands for unknown axes."""
        dtype = self.dtype_policy.compute_dtype
        spec = output_spec(self, (shapes_to_specs(input_shape, dtype),), {})
        return map_structure(lambda t: t.shape, spec)

    def _shape_call(self, args, kwargs):
        """Run on meta tensors: the weights are replaced by meta ones for the time of the call."""
        if not self.built:
            with named(self.name, self):
                self._build_for(args, kwargs)
            self._forget_rows()
        weights = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        if all(w.is_meta for w in weights.values()):
            return self._masked_call(args, kwargs)
        empty = {k: torch.empty_like(w, device="meta") for k, w in weights.items()}
        return torch.func.functional_call(self, empty, args, kwargs)

    # ---- building -----------------------------------------------------------------------------

    def build(self, input_shape=None):
        """Make the weights for inputs of this shape; a subclass with weights defines it.

        By default the layers inside are built, by running `call` without numbers. Where a subclass
        has a `build` of its own and calls this one, the first call of the layer does that.
        """
        own = type(self).build.__module__ not in _BUILD_BY_RUNNING
        if not self.built and input_shape is not None and not own:
            spec = shapes_to_specs(input_shape, self.dtype_policy.compute_dtype)
            with named(self.name, self):
                output_spec(self, (spec,), {})

    def _build_for(self, args, kwargs):
        named = dict(zip(self._call_names, args, strict=False)) | kwargs
        shapes = {
            n: map_structure(shape_of, v)
            for n, v in named.items()
            if n != "training"
            and n.rpartition("_")[2] != "mask"
            and any(shape_of(t) is not None for t in flatten(v))
        }
        if shapes:
            check_input(self, next(iter(shapes.values())))
        try:
            self._build(shapes)
        except FAILURES as error:
            explain(self, args, error)
            raise
        device = next((t.device for t in flatten(args) if isinstance(t, Tensor)), None)
        if device is not None and device.type not in ("cpu", "meta"):
            self.to(device)

    def _settle(self):
        """What depends on where the layer stands: its path, and its policy by a map of paths."""
        self.__dict__["_path"] = path_inside(self.name)
        if isinstance(self.dtype_policy, dtype_policies.DTypePolicyMap):
            self.__dict__["dtype_policy"] = self.dtype_policy._at(self._path)
            self.__dict__["_dtype_in"] = torch_dtype(self.dtype_policy.compute_dtype)

    def _build(self, shapes):
        self.__dict__["_build_shapes"] = shapes
        wanted = list(inspect.signature(self.build).parameters)
        if self._builds_by_running:
            pass  # the layers inside are built by the call that follows
        elif min(len(wanted), len(shapes)) <= 1 or not all(n.endswith("_shape") for n in wanted):
            values = list(shapes.values())
            self.build(*values[: len(wanted)] or [None] * len(wanted))
        else:
            self.build(**{n: shapes.get(n.removesuffix("_shape")) for n in wanted})
        if not self.built or not self._direct:
            self._finish_build()

    def _forget_rows(self):
        """The batch that built the layer was made up: its size says nothing."""
        self.__dict__["_build_shapes"] = open_rows(self.__dict__.get("_build_shapes") or {})

    def _finish_build(self):
        self.__dict__["built"] = True
        if not self._trainable:  # the layers inside do not know
            self.trainable = False
        self._reset_direct()
        if self._initial_weights is not None:
            self.set_weights(self._initial_weights)
            self.__dict__["_initial_weights"] = None

    def _reset_direct(self):
        """Whether a call with one tensor may go straight to torch, and what it does to outputs."""
        self.__dict__["_holds_wider"] = self._widens()
        mixed = Layer._mixing or _is_mixed(self.dtype_policy)
        self.__dict__["_direct"] = (
            self.built
            and self.activity_regularizer is None
            and self._remat is None
            and not self._takes_training
            and not self._makes_mask
            and not mixed
            and not _is_mixed(dtype_policies.dtype_policy())  # it may stand inside a mixed layer
        )

    def _widens(self):
        """Whether a layer in it computes in another float type, on purpose."""
        inside = [m for m in self._layers if isinstance(m, Layer)]
        others = {m.compute_dtype for m in inside} - {self.compute_dtype}
        return any(torch_dtype(d).is_floating_point for d in others) or any(
            m._widens() for m in inside
        )

    def build_from_config(self, config):
        """Build with the shapes that `get_build_config` gave."""
        if self.built or not config:
            return
        shapes = config.get("shapes_dict") or {"inputs": config.get("input_shape")}
        if any(s is not None for s in shapes.values()):
            with named(self.name, self):
                self._build({k.removesuffix("_shape"): as_shape(v) for k, v in shapes.items()})

    def get_build_config(self):
        """The shapes that the layer was built with, or None."""
        shapes = self.__dict__.get("_build_shapes")
        if not shapes:
            return None
        if len(shapes) == 1:
            return {"input_shape": next(iter(shapes.values()))}
        return {"shapes_dict": {f"{k}_shape": v for k, v in shapes.items()}}

    # ---- what a Keras user asks a layer --------------------------------------------------------

    @property
    def name(self):
        """Name of the layer."""
        return self._name

    @name.setter
    def name(self, value):
        self.__dict__["_name"] = value

    @property
    def path(self):
        """Names of the layers around it and its own, "encoder/dense"; known once it is built."""
        return self.__dict__.get("_path") or self._name

    @property
    def dtype(self):
        """Dtype of the weights."""
        return self.dtype_policy.variable_dtype

    variable_dtype = dtype

    @property
    def compute_dtype(self):
        """Dtype of the computation."""
        return self.dtype_policy.compute_dtype

    @property
    def input(self):
        """Symbolic input of the layer's first call."""
        return self._first_node("input").args[0]

    @property
    def output(self):
        """Symbolic output of the layer's first call."""
        return self._first_node("output").outputs

    def get_input_at(self, node_index):
        """Symbolic input of a call of the layer, counted from 0."""
        args = self._inbound_nodes[node_index].args
        return args[0] if len(args) == 1 else args

    def get_output_at(self, node_index):
        """Symbolic output of a call of the layer, counted from 0."""
        return self._inbound_nodes[node_index].outputs

    def get_input_shape_at(self, node_index):
        """Shape of the input of a call of the layer."""
        return map_structure(lambda t: t.shape, self.get_input_at(node_index))

    def get_output_shape_at(self, node_index):
        """Shape of the output of a call of the layer."""
        return map_structure(lambda t: t.shape, self.get_output_at(node_index))

    @property
    def inbound_nodes(self):
        """Calls of the layer on symbolic tensors."""
        return self._inbound_nodes

    def _first_node(self, what):
        if not self._inbound_nodes:
            raise AttributeError(
                f"Layer {self.name!r} has no {what}: it was never called on a symbolic tensor. "
                "Give the model an Input, or build it."
            )
        return self._inbound_nodes[0]

    # ---- configs ------------------------------------------------------------------------------

    def get_config(self):
        """Constructor arguments as plain values."""
        base = {"name": self.name, "trainable": self.trainable, "dtype": plain(self.dtype_policy)}
        named = inspect.signature(type(self).__init__).parameters
        inherited = {k for k in Layer._extra_arguments if k not in named} | {"dtype", "weights"}
        own = {k: plain(v) for k, v in arguments(self).items() if k not in inherited}
        return {**base, **{k: v for k, v in own.items() if k not in ("name", "trainable")}}

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described, without its weights."""
        return cls(**config)

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _is_mixed(policy):
    """Whether a dtype policy computes in another dtype than that of the weights."""
    return policy.compute_dtype != policy.variable_dtype


# Where a build() stands that runs `call`: that of layers here, and that of models.
_BUILD_BY_RUNNING = ("lightkeras.layers._layer", "lightkeras.models._model")


def _building(build):
    """`build` that marks the layer built, whoever calls it (also the user, by hand)."""

    @functools.wraps(build)
    def method(self, *args, **kwargs):
        if self.__dict__.get("_in_build"):  # super().build(...)
            return build(self, *args, **kwargs)
        if self.built:
            return None
        self.__dict__["_in_build"] = True
        if "_path" not in self.__dict__:
            self._settle()
        try:
            with named(self.name, self):  # also for who builds the layers inside by hand
                build(self, *args, **kwargs)
        finally:
            self.__dict__["_in_build"] = False
        if args and "_build_shapes" not in self.__dict__:
            self.__dict__["_build_shapes"] = {"inputs": as_shape(args[0])}
        self._finish_build()

    return method


def _face(view):
    """Property giving a weight its Keras name and layout (`layer.kernel` for `layer.weight`)."""

    def bound(self):  # a layer may have its own views, made when it was built
        return BoundView(self, next(v for v in self.views if v.name == view.name))

    def get(self):
        return None if getattr(self, view.attribute, None) is None else bound(self)

    def set_(self, value):
        if value is None:
            setattr(self, view.attribute, None)
        else:
            bound(self).assign(value)

    return property(get, set_, doc=f"The weight `{view.attribute}` in Keras's layout.")


def _alone(args, kwargs):
    """Whether one argument only holds tensors."""
    values = (*args, *kwargs.values())
    return sum(any(isinstance(t, Tensor) for t in flatten(value)) for value in values) == 1


_warned: set[tuple[str, str]] = set()


def _warn_once(layer, text):
    if (layer.name, text) not in _warned:
        _warned.add((layer.name, text))
        warnings.warn(text, stacklevel=_outside())
