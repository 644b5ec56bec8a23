"""The weights of a layer: made, registered with torch, listed, counted, set and regularized."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightkeras import constraints, initializers, regularizers
from lightkeras._dtypes import torch_dtype
from lightkeras._graph import KerasTensor, ShapeTensor
from lightkeras._registry import weight_maker
from lightkeras._variable import State, Weight
from lightkeras.layers._tracking import holds_layers, tracked
from lightkeras.layers._views import BoundView, View

__all__ = ["Row", "Weighted", "named", "pending"]

# (name, layer) of the layers being built, outermost first
_scope: list[tuple[str, Weighted | None]] = []
_SLOTS = {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}
pending: list[Weighted] = []  # layers whose add_loss was called since the last clear


@contextmanager
def named(name, owner=None):
    """Inside, the paths of new weights begin with `name`, once for the same `owner`."""
    if owner is not None and _scope and _scope[-1][1] is owner:
        yield
        return
    _scope.append((name, owner))
    try:
        yield
    finally:
        _scope.pop()


def path_inside(name):
    """Path of the layer `name` where it is built: the names of the layers around it first."""
    around = [scope for scope, _ in _scope]
    return "/".join([*(around[:-1] if around[-1:] == [name] else around), name])


class Row:
    """One own weight: its view, and whether it was made trainable."""

    def __init__(self, view, trainable):
        self.view = view
        self.trainable = trainable
        self.fixed = not view.identity


_OLD_ORDER = ("name", "shape", "dtype", "initializer", "regularizer", "trainable")


def _name_first(method):
    """Decorator of `add_weight`: Keras 1 and 2 took the name first."""

    @functools.wraps(method)
    def call(self, *args, **kwargs):
        if args and isinstance(args[0], str):
            given = dict(zip(_OLD_ORDER, args, strict=False))
            if len(args) > 2 and isinstance(args[2], str) and not _is_dtype(args[2]):
                given["initializer"] = given.pop("dtype")  # Keras 1 had no dtype there
            return method(self, **given, **kwargs)
        return method(self, *args, **kwargs)

    return call


def _is_dtype(name):
    try:
        return bool(torch_dtype(name))
    except (TypeError, ValueError):
        return False


class Weighted(torch.nn.Module):
    """The half of `Layer` that holds weights and layers."""

    views: tuple[View, ...] = ()
    dtype_policy: Any
    _name: str
    _rows: list[Row]  # one per own weight
    _added_losses: list[Tensor]
    _came: list[torch.nn.Module] | tuple[()] = ()  # layers set as attributes, also in lists
    _in_model = False  # a model is being called; it forgets old losses for all its layers
    _mean: Any = None  # the class of a mean, which models bring: layers know no metrics
    _changes = 0  # how often an attribute of any layer was set
    _mixing = False  # a layer with a mixed policy is computing: autocast is its doing
    _remat_activation = True  # its activation is a call of its own, which a scope may repeat
    _remat_whole = True  # a scope repeats it as one; models leave it to their layers
    _trainable: bool
    built: bool

    @_name_first
    def add_weight(
        self,
        shape=None,
        initializer=None,
        dtype=None,
        trainable=True,
        autocast=True,
        regularizer=None,
        constraint=None,
        aggregation="none",
        overwrite_with_gradient=False,
        name=None,
    ):
        """Make a weight and return it; call this in `__init__` or `build`.

        Args:
            shape: Shape in Keras's layout; `()` by default.
            initializer: Name or object; "glorot_uniform" for floats, "zeros" for the rest.
            dtype: Name of the dtype; the layer's by default.
            trainable: A parameter if true, a buffer if not.
            regularizer, constraint: Name or object.
            name: Keras's name of the weight.

        Returns:
            A torch parameter, in torch's layout if the class has a view of that name, or a buffer.
        """
        if isinstance(shape, int):
            raise TypeError(
                f"add_weight(shape={shape}) of {self.name!r} is no shape. A tuple of sizes is "
                f"accepted. Type shape=({shape},)."
            )
        name = name or "variable" + (f"_{len(self._rows)}" if self._rows else "")
        view = next((v for v in self.views if v.name == name), None) or View(
            name, _attribute(self, name)
        )
        dtype = torch_dtype(dtype or self.dtype_policy.variable_dtype)
        default = "glorot_uniform" if dtype.is_floating_point else "zeros"
        make = weight_maker() or initializers.get(default if initializer is None else initializer)
        value = torch.as_tensor(make(tuple(shape or ()), dtype=dtype), dtype=dtype).detach()
        value = view.to_torch(value).contiguous()
        weight = Weight(value, self._trainable) if trainable else State(value)
        weight.path = "/".join([scope for scope, _ in _scope] or [self.name]) + f"/{name}"
        weight.regularizer = regularizers.get(regularizer)
        weight.constraint = constraints.get(constraint)
        self.__dict__["_rows"].append(Row(view, trainable))
        register = self.register_parameter if trainable else self.register_buffer
        register(view.attribute, weight)
        return weight

    def add_variable(
        self,
        shape=None,
        initializer=None,
        dtype=None,
        trainable=True,
        autocast=True,
        regularizer=None,
        constraint=None,
        name=None,
    ):
        """`add_weight`, as older Keras called it."""
        return self.add_weight(
            shape,
            initializer,
            dtype,
            trainable,
            autocast,
            regularizer,
            constraint,
            name=name,
        )

    def _set_slots(self, **objects):
        """Attributes `kernel_initializer`, `bias_regularizer`... from names or objects."""
        for name, value in objects.items():
            setattr(self, name, _SLOTS[name.rpartition("_")[2]].get(value))

    def _add(self, weight, shape, slots, **more):
        """`weight` with the initializer, regularizer and constraint that belong to `slots`."""
        made_with = {slot: getattr(self, f"{slots}_{slot}") for slot in _SLOTS}
        return self.add_weight(name=weight, shape=shape, **{**made_with, **more})

    # ---- attributes ---------------------------------------------------------------------------

    def __setattr__(self, name, value):
        Weighted._changes += 1
        if "_rows" not in self.__dict__:
            if isinstance(value, (torch.nn.Module, Tensor)):
                raise RuntimeError(
                    f"{type(self).__name__}.{name} was set before super().__init__(). A layer can "
                    "hold "
                    "weights and layers only after that. Call super().__init__() first."
                )
        elif _is_kept(self, name, value):
            raise AttributeError(
                f"{type(self).__name__}.{name} cannot be set: Keras keeps it for what it tells "
                f"about a layer. Take another name, for example self.my_{name}."
            )
        elif isinstance(value, (Weight, State)):
            self._adopt(name, value)
        elif getattr(getattr(type(self), name, None), "fset", None) is not None:
            object.__setattr__(self, name, value)
            return
        elif isinstance(value, (list, dict)) or (isinstance(value, tuple) and holds_layers(value)):
            value = tracked(self, name, value)
            self.__dict__[name] = value
            return
        super().__setattr__(name, value)
        if isinstance(value, torch.nn.Module):
            self._note()

    def _note(self):
        """Remember the order in which layers came, whatever attributes and lists they are in."""
        self.__dict__["_came"] = self._layers

    def _adopt(self, name, value):
        """`self.w = self.add_weight(name="kernel")`: the parameter gets the user's name, `w`."""
        store = self._parameters if isinstance(value, Weight) else self._buffers
        if name in store:
            return
        for row in self._rows:
            if not row.fixed and store.get(row.view.attribute) is value:
                del store[row.view.attribute]
                row.view, row.fixed = View(row.view.name, name), True
                break
        else:
            if value.own_name:  # a Variable(...) of the user's own
                self._rows.append(Row(View(value.name, name), isinstance(value, Weight)))
                self._rows[-1].fixed = True
        store[name] = value

    def __setstate__(self, state):
        super().__setstate__(state)
        for name, value in list(self.__dict__.items()):
            if not name.startswith("_") and type(value) in (list, dict):
                self.__dict__[name] = tracked(self, name, value)

    def _apply(self, fn, recurse=True):
        kept = [
            (store, key, old)
            for store in (self._parameters, self._buffers)
            for key, old in store.items()
            if isinstance(old, (Weight, State))
        ]
        super()._apply(fn, recurse)
        for store, key, old in kept:
            new = store[key]
            if type(new) is not type(old):  # torch made it anew, as a plain tensor
                state = isinstance(old, State)
                store[key] = State(new) if state else Weight(new.data, new.requires_grad)
                store[key].__dict__.update(old.__dict__)
        # .double(), .half(): inputs are cast to what the weights have become.
        self.__dict__["_dtype_in"] = fn(torch.empty(0, dtype=self._dtype_in)).dtype
        return self

    # ---- lists of weights ---------------------------------------------------------------------

    @property
    def _layers(self):
        """Modules directly below, layers in lists and dicts included, in the order they came."""
        found = {}
        for module in self._modules.values():
            inside = module._modules.values() if type(module).__name__ == "_Holder" else (module,)
            found.update({id(m): m for m in inside if m is not None})
        came = [found.pop(id(m)) for m in self._came if id(m) in found]
        return [*came, *found.values()]

    @property
    def weights(self):
        """All weights: the layer's own, trainable first, then those of the layers in it."""
        own = self._own_weights()
        seen = {id(_parameter(w)) for w in own}
        for layer in self._layers:
            for weight in layer.weights if isinstance(layer, Weighted) else _torch_weights(layer):
                if id(_parameter(weight)) not in seen:
                    seen.add(id(_parameter(weight)))
                    own.append(weight)
        return own

    variables = weights

    @property
    def trainable_weights(self):
        """Weights that gradients reach."""
        return [w for w in self.weights if w.requires_grad]

    trainable_variables = trainable_weights

    @property
    def non_trainable_weights(self):
        """Frozen weights and state."""
        return [w for w in self.weights if not w.requires_grad]

    non_trainable_variables = non_trainable_weights

    @property
    def trainable(self):
        """Whether gradients reach the weights; setting it sets all layers below."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        value = bool(value)
        self.__dict__["_trainable"] = value
        for row in self._rows:
            if row.trainable:
                getattr(self, row.view.attribute).requires_grad_(value)
        for layer in self._layers:
            if isinstance(layer, Weighted):
                layer.trainable = value
            else:
                layer.requires_grad_(value)

    def count_params(self):
        """Number of scalars in the weights.

        Raises:
            ValueError: the layer is not built.
        """
        if not self.built and not self.weights:
            raise ValueError(
                f"Layer {self.name!r} has no weights yet: it is not built. It is built by its "
                "first input. "
                "Call it, or give the model an Input."
            )
        return sum(int(np.prod(w.shape)) for w in self.weights)

    def get_weights(self):
        """Weights as NumPy arrays in Keras's layout."""
        return [w.numpy() for w in self.weights]

    def set_weights(self, weights):
        """Set all weights from arrays in Keras's layout, all or nothing.

        Raises:
            ValueError: the number of arrays or a shape differs.
        """
        if isinstance(weights, str) or not hasattr(weights, "__iter__"):
            raise TypeError(
                f"set_weights() got {type(weights).__name__}. A list of arrays is accepted, as "
                "get_weights() returns it. Type layer.set_weights([kernel, bias])."
            )
        mine, given = self.weights, list(weights)
        if len(mine) != len(given):
            names = ", ".join(f"{w.path} {tuple(w.shape)}" for w in mine[:10])
            raise ValueError(
                f"{self.name!r} has {len(mine)} weights, got {len(given)} arrays. They are: "
                f"{names or 'none (is it built?)'}{', ...' if len(mine) > 10 else ''}. "
                "Pass one array for each, in this order."
            )
        for weight, value in zip(mine, given, strict=True):
            if tuple(weight.shape) != tuple(np.shape(value)):
                raise ValueError(
                    f"Weight {weight.path} has shape {tuple(weight.shape)}, the array given for it "
                    "has "
                    f"{tuple(np.shape(value))}. Shapes must be equal. Check the order of the "
                    "arrays."
                )
        for weight, value in zip(mine, given, strict=True):
            weight.assign(value)

    # ---- files ---------------------------------------------------------------------------------

    def _own_weights(self):
        rows = sorted(self._rows, key=lambda row: not row.trainable)
        return [_weight(self, row.view) for row in rows]

    def save_own_variables(self, store):
        """Write the layer's own weights, not those of layers in it, as `store["0"]`, `["1"]`...

        Override it, together with `load_own_variables`, to keep something else in files.
        """
        for number, weight in enumerate(self._own_weights()):
            store[str(number)] = weight.numpy()

    def load_own_variables(self, store):
        """Read what `save_own_variables` wrote.

        Raises:
            ValueError: the number of weights or a shape differs.
        """
        weights = self._own_weights()
        if len(weights) != len(store.keys()):
            raise ValueError(
                f"Layer {self.name!r} has {len(weights)} weights of its own, the file holds "
                f"{len(store.keys())} for it. The numbers must be equal. Build the layer as it was "
                "when it was saved."
            )
        for number, weight in enumerate(weights):
            weight.assign(store[str(number)])

    # ---- losses --------------------------------------------------------------------------------

    @property
    def losses(self):
        """What `add_loss` was given in the last call, and after it the regularization terms."""
        layers = [m for m in self.modules() if isinstance(m, Weighted)]
        added = [loss for layer in layers for loss in layer._added_losses]
        return added + [r(w) for layer in layers for r, w in layer._regularized()]

    def _regularized(self):
        """(regularizer, weight in Keras's layout) of the layer's own trainable weights."""
        own = [(getattr(self, row.view.attribute), row.view) for row in self._rows]
        return [(p.regularizer, v.to_keras(p)) for p, v in own if p.regularizer and p.requires_grad]

    def add_loss(self, loss):
        """Add a scalar (or a list of them) to the loss of the current call."""
        for value in loss if isinstance(loss, (list, tuple)) else [loss]:
            value = value() if callable(value) and not isinstance(value, Tensor) else value
            if not isinstance(value, (ShapeTensor, KerasTensor)):
                value = torch.as_tensor(value)
                if not self._added_losses:
                    pending.append(self)
                self.__dict__["_direct"] = False  # the next call has something to forget
                self._added_losses.append(value.mean() if value.ndim else value)

    @property
    def metrics(self):
        """Metrics that are attributes of the layer or of layers in it; those of `add_metric`."""
        found = (value for module in self.modules() for value in vars(module).values())
        return [v for v in found if hasattr(v, "update_state") and hasattr(v, "reset_state")]

    @property
    def metrics_variables(self):
        """The states of `metrics`."""
        return [variable for metric in self.metrics for variable in metric.variables]

    def add_metric(self, value, name=None, aggregation=None):
        """Show the mean of a value of the current call beside the loss, under `name`.

        Keras 3 has no such method: a metric that is an attribute of the layer does the same.
        """
        if isinstance(value, (ShapeTensor, KerasTensor)):
            return
        key = f"_metric_{name}"
        if key not in self.__dict__:
            self.__dict__[key] = self._mean(name=name or "metric")
        self.__dict__[key].update_state(torch.as_tensor(value).detach())

    def clear_losses(self):
        """Forget what `add_loss` was given since the last call."""
        for layer in pending:
            layer._added_losses.clear()
        pending.clear()


def _is_kept(layer, name, value):
    """Whether `name` is a property that is only read. Layers may be called `input` and `output`."""
    slot = getattr(type(layer), name, None)
    free = isinstance(value, torch.nn.Module) and name in ("input", "output")
    return isinstance(slot, property) and slot.fset is None and not free


def _weight(layer, view):
    return getattr(layer, view.attribute) if view.identity else BoundView(layer, view)


def _parameter(weight):
    return weight.parameter if isinstance(weight, BoundView) else weight


def _torch_weights(module):
    """Weights of a plain torch module that stands in a layer."""
    found = []
    for sub in module.modules():
        if isinstance(sub, Weighted) and sub is not module:
            found += sub.weights
            continue
        for name in [*sub._parameters, *sub._buffers]:
            if getattr(sub, name) is not None:
                found.append(BoundView(sub, View(name)))
    return found


def _attribute(layer, name):
    """A free parameter name for a weight that the user has not assigned to an attribute yet."""
    base = name.replace(".", "_").replace("/", "_")
    taken = {*layer._parameters, *layer._buffers, *layer._modules}
    free, n = base, 1
    while free in taken or hasattr(layer, free):
        free, n = f"{base}_{n}", n + 1
    return free
