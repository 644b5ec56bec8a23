"""`Sequential`: a stack of layers, each with one input and one output."""

from __future__ import annotations

import torch

from lightkeras._graph import is_keras_tensor
from lightkeras._registry import unique_name
from lightkeras.layers import Layer
from lightkeras.layers._shapes import as_shape, is_shape
from lightkeras.layers._weights import named
from lightkeras.layers.core import InputLayer, Lambda, TorchModuleWrapper
from lightkeras.models import _functional
from lightkeras.models._model import Model
from lightkeras.models._open import Open

__all__ = ["Sequential"]


class Sequential(Model):
    """A stack of layers.

    The shape of the input comes from an `Input`, from `input_shape=` of the first layer, from
    `build(input_shape)`, or from the first data.

    Args:
        layers: Layers, torch modules or functions of a tensor, in order.
        trainable: Whether gradients reach the weights.
        name: Name of the model.

    >>> from lightkeras import layers
    >>> model = Sequential([layers.Input((4,)), layers.Dense(3), layers.Dense(1)])
    >>> model.output_shape, [tuple(w.shape) for w in model.weights]
    ((None, 1), [(4, 3), (3,), (3, 1), (1,)])
    """

    def __init__(self, layers=None, trainable=True, name=None, **kwargs):
        super().__init__(name=name, trainable=trainable, **kwargs)
        self.__dict__["_stack"] = []  # an InputLayer first, where the shape is known
        self.__dict__["_chain"] = ()  # the same without the InputLayer: what call() runs
        self.__dict__["_end"] = None  # symbolic output of the first `_joined` of them
        for layer in _as_list(layers):
            self.add(layer, rebuild=False)
        self._rebuild()
        if not trainable:
            self.trainable = False

    def add(self, layer, rebuild=True):
        """Put a layer on top of the stack.

        Args:
            layer: A layer, a torch module, a function of a tensor, or an `Input`.
            rebuild: Whether the model's shapes follow at once.

        Raises:
            TypeError: it is none of these.
            ValueError: a layer of that name is there.
        """
        layer = _as_layer(layer)
        if not self._stack and not isinstance(layer, InputLayer):
            entry = _entry_of(layer)
            if entry is not None:
                self.add(entry, rebuild)
        if isinstance(layer, InputLayer) and self._stack:
            raise ValueError(
                f"{self.name!r} already has {len(self._stack)} layers. An Input can only be the "
                "first. "
                "Start a new Sequential with it."
            )
        if any(other.name == layer.name and other is not layer for other in self._stack):
            raise ValueError(
                f"{self.name!r} already has a layer {layer.name!r}. Names in one model must "
                "differ. "
                "Pass name= to one of them."
            )
        if layer not in self._stack:
            self._register([layer])
        self._stack.append(layer)
        if isinstance(layer, InputLayer):
            self._start(layer)
        if not rebuild:
            self._unbuild()
            return
        try:
            self._rebuild()
        except Exception:
            self._take_off()
            raise

    def pop(self, rebuild=True):
        """Take the top layer off; returns it."""
        if not self._stack:
            raise self._no_layers("pop")
        layer = self._take_off()
        self._unbuild()
        self.__dict__["_end"] = None
        if self._stack and isinstance(self._stack[0], InputLayer):
            self._start(self._stack[0])
        self._rebuild()
        return layer

    def _take_off(self):
        layer = self._stack.pop()
        if layer not in self._stack:
            for key in [k for k in self._graph_keys if self._modules[k] is layer]:
                del self._modules[key]
                self._graph_keys.remove(key)
        self.__dict__["_chain"] = tuple(self.layers)
        return layer

    def _unbuild(self):
        self.__dict__["_plan"] = None
        self.__dict__["built"] = self.__dict__["_direct"] = False
        self.__dict__["_chain"] = tuple(self.layers)

    def _no_layers(self, what):
        return ValueError(
            f"{self.name!r} has no layers, so there is nothing to {what}. At least one is needed. "
            "Type for example model.add(layers.Dense(1))."
        )

    def _start(self, entry):
        """The stack begins at this Input."""
        self.__dict__["_end"], self.__dict__["_joined"] = entry.output, 0

    def _rebuild(self):
        """Weights, ends and shapes follow the stack, where the shape of the input is known."""
        self.__dict__["_chain"] = tuple(self.layers)
        if self._end is None or not self._chain:
            return
        self._join()
        self.__dict__["_in_build"] = False
        self._finish_build()

    def _join(self):
        for layer in self._chain[self._joined :]:
            with named(self.name, self):
                self.__dict__["_end"] = layer(self._end)
            self.__dict__["_joined"] += 1
        unique_name("functional")  # Keras's has a graph inside, which takes a name
        self._set_plan(self._stack[0].output, self._end)

    def build(self, input_shape=None):
        """Make the weights for inputs of this shape (the batch included)."""
        if self._plan is not None or input_shape is None or not self._stack:
            return
        if self._end is not None:
            self._join()
            return
        entry = InputLayer(batch_shape=as_shape(input_shape), dtype=_text_or_none(self._stack[0]))
        self._start(entry)
        self._stack.insert(0, entry)
        try:
            self._join()
        except Exception:
            self._stack.pop(0)
            self.__dict__["_end"] = None
            raise

    def call(self, inputs, training=None, mask=None):
        x, plan = inputs, self._plan
        if plan is not None and (type(x) is not torch.Tensor or [x.ndim] != plan.ranks):
            (x,) = self._leaves(x)
        if not self._stack:
            raise self._no_layers("run")
        for layer in self._chain:
            x = layer(x)
        return x

    @property
    def layers(self):
        """The stack, without the input."""
        return [layer for layer in self._stack if not isinstance(layer, InputLayer)]

    @property
    def _layers(self):
        """What has weights: the stack alone, as in Keras, whatever attributes hold besides."""
        return list(dict.fromkeys(self.layers))

    @Open
    def operations(self):
        return self.layers

    def _build(self, shapes):
        # Data come in batches of any size.
        super()._build({n: (None, *s[1:]) if is_shape(s) else s for n, s in shapes.items()})

    def _build_for(self, args, kwargs):
        # Known shapes would make two passes over the stack of one; a layer that cannot run
        # without numbers is built by the data instead.
        try:
            super()._build_for(args, kwargs)
        except ValueError:
            raise
        except (RuntimeError, TypeError, NotImplementedError):
            self.__dict__["_in_build"] = False
            self._finish_build()

    def get_config(self):
        """The stack as plain values."""
        if type(self).__init__ is not Sequential.__init__:
            return Layer.get_config(self)
        return _functional.sequential_config(self)

    def get_build_config(self):
        """The shape that the stack is built for, or None."""
        entry = self._stack[0] if self._plan is not None else None
        return super().get_build_config() if entry is None else {"input_shape": entry.batch_shape}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The model that `get_config` described, with fresh weights."""
        if cls.__init__ is not Sequential.__init__ or "layers" not in config:
            return _functional.revive(cls, config)
        return _functional.sequential_from_config(cls, config, custom_objects)


def _as_list(layers):
    if layers is None:
        return []
    return list(layers) if isinstance(layers, (list, tuple)) else [layers]


def _as_layer(layer):
    if is_keras_tensor(layer):  # Input(...) as the first of the list
        layer = layer._keras_history[0]
    if isinstance(layer, Layer):
        return layer
    if isinstance(layer, torch.nn.Module):
        return TorchModuleWrapper(layer)
    if callable(layer) and not isinstance(layer, type):
        return Lambda(layer)
    what = f"the class {layer.__name__}" if isinstance(layer, type) else type(layer).__name__
    hint = f" Type {layer.__name__}(...)." if isinstance(layer, type) else ""
    raise TypeError(
        f"Sequential.add() got {what}. It takes layers, torch modules and functions of a "
        f"tensor.{hint}"
    )


def _text_or_none(layer):
    """The dtype of the input of a layer that takes strings; None for all others."""
    return "string" if getattr(layer, "_reads_text", False) else None


def _entry_of(layer):
    """The InputLayer that a first layer brings with it: its `input_shape=`, or a model's input."""
    if layer._batch_shape is not None:
        dtype = "int64" if type(layer).__name__ == "Embedding" else layer.compute_dtype
        dtype = _text_or_none(layer) or dtype
        return InputLayer(batch_shape=layer._batch_shape, dtype=dtype)
    if isinstance(layer, Model) and layer._plan is not None and len(layer.inputs) == 1:
        return InputLayer(batch_shape=layer.inputs[0].shape, dtype=layer.inputs[0].dtype)
    return None
