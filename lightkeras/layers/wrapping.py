"""Layers around a layer: at each time step, or in both directions."""

from __future__ import annotations

import copy

import torch

from lightkeras._registry import serialize
from lightkeras.layers._inside import build_inside, layers_from
from lightkeras.layers._layer import Layer
from lightkeras.layers._spec import InputSpec

__all__ = ["Bidirectional", "TimeDistributed", "Wrapper"]


class Wrapper(Layer):
    """Base of layers around one layer, `self.layer`.

    Args:
        layer: The layer inside.

    Raises:
        TypeError: it is no layer.
    """

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = _checked(type(self).__name__, layer)

    def build(self, input_shape=None):
        build_inside(self.layer, input_shape)

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described, without its weights."""
        config = dict(config)
        return cls(layers_from(config.pop("layer")), **config)


def _checked(owner, layer):
    if not isinstance(layer, Layer):
        what = f"the class {layer.__name__}" if isinstance(layer, type) else type(layer).__name__
        raise TypeError(
            f"{owner} got {what}. It takes a layer. Type for example {owner}(layers.LSTM(32))."
        )
    return layer


class TimeDistributed(Wrapper):
    """Applies a layer to every time step.

    All steps go through the layer at once, as one large batch; one after the other only in the
    training of layers that keep statistics of a batch, such as BatchNormalization.

    Args:
        layer: The layer for one step.

    Shape:
        `(batch, time, ...)` -> `(batch, time, *what the layer makes of (batch, ...))`

    Raises:
        ValueError: the input has fewer than three axes.

    >>> import torch
    >>> from lightkeras.layers import Dense
    >>> tuple(TimeDistributed(Dense(4))(torch.zeros(2, 7, 3)).shape)
    (2, 7, 4)
    """

    def __init__(self, layer, **kwargs):
        super().__init__(layer, **kwargs)
        self.supports_masking = True
        self.input_spec = InputSpec()  # one input

    def build(self, input_shape):
        super().build(self._step_shape(input_shape))

    def _check_shape(self, shape):
        self._step_shape(shape)

    def _step_shape(self, shape):
        if len(shape) < 3:
            raise ValueError(
                f"TimeDistributed {self.name!r} got an input of shape {tuple(shape)}. It takes "
                "(batch, time, ...). For a batch of vectors use the layer without TimeDistributed."
            )
        return (shape[0], *shape[2:])

    def compute_output_shape(self, input_shape):
        batch, *rest = self.layer.compute_output_shape(self._step_shape(input_shape))
        return (batch, input_shape[1], *rest)

    def call(self, x, training=None, mask=None):
        if mask is not None and mask.shape[:2] != x.shape[:2]:
            raise ValueError(
                f"TimeDistributed {self.name!r} got a mask of shape {tuple(mask.shape)} for an "
                f"input of shape {tuple(x.shape)}. A mask starts with (batch, time), as the "
                "input does. Check which of the two is transposed."
            )
        mask = mask if self.layer._takes_mask else None
        training = self.training if training is None else training
        if training and next(self.layer.buffers(), None) is not None:
            masks = [None] * x.shape[1] if mask is None else mask.unbind(1)
            steps = zip(x.unbind(1), masks, strict=True)
            return torch.stack([self._inside(step, m) for step, m in steps], 1)
        y = self._inside(x.flatten(0, 1), None if mask is None else mask.flatten(0, 1))
        return y.unflatten(0, x.shape[:2])  # (batch * time, ...) -> (batch, time, ...)

    def _widens(self):
        return False  # as Keras, which runs the layer inside in this one's dtype

    def _inside(self, x, mask):
        return self.layer(x) if mask is None else self.layer(x, mask=mask)


_MERGES = {
    "concat": lambda a, b: torch.cat((a, b), -1),
    "sum": torch.add,
    "mul": torch.mul,
    "ave": lambda a, b: (a + b) / 2,
}


class Bidirectional(Layer):
    """Runs a recurrent layer over time forwards, a copy of it backwards, and merges the two.

    Args:
        layer: An LSTM, GRU, SimpleRNN or RNN; both directions are new layers of its config.
        merge_mode: "concat", "sum", "mul", "ave", or None: return both outputs.
        weights: Initial weights of both, in one list.
        backward_layer: A layer for the way back, with `go_backwards=True`, instead of the copy.

    A call takes `initial_state` (the states of the way forward, then those of the way back) and
    `mask` `(batch, time)`.

    Shape:
        `(batch, time, features)` -> `(batch, 2 * units)` for "concat", `(batch, units)` for the
        others; with a time axis if the layer returns sequences

    Raises:
        TypeError: `layer` is no layer.
        ValueError: `merge_mode` is unknown, or the two layers do not fit together.

    Schuster and Paliwal 1997, "Bidirectional recurrent neural networks".

    >>> import torch
    >>> from lightkeras.layers import LSTM
    >>> tuple(Bidirectional(LSTM(4, return_sequences=True))(torch.zeros(2, 7, 3)).shape)
    (2, 7, 8)
    """

    def __init__(self, layer, merge_mode="concat", weights=None, backward_layer=None, **kwargs):
        _checked("Bidirectional", layer)
        if merge_mode is not None and merge_mode not in _MERGES:
            raise ValueError(
                f"Bidirectional(merge_mode={merge_mode!r}) is unknown. It takes 'concat', 'sum', "
                "'mul', 'ave' or None. Leave it out for 'concat'."
            )
        super().__init__(weights=weights, **kwargs)
        self.merge_mode = merge_mode
        self.forward_layer = _direction(layer, "forward")
        if backward_layer is None:
            self.backward_layer = _direction(layer, "backward")
            self.backward_layer.go_backwards = True
        else:
            self.backward_layer = _checked("Bidirectional(backward_layer)", backward_layer)
        self._check_pair()
        for way in (self.forward_layer, self.backward_layer):
            way.zero_output_for_mask = way.return_sequences  # or steps left out would merge
        self.supports_masking = True
        self.input_spec = layer.input_spec or InputSpec()

    def _check_pair(self):
        one, other = self.forward_layer, self.backward_layer
        if one.go_backwards == other.go_backwards:
            raise ValueError(
                f"Bidirectional got two layers with go_backwards={one.go_backwards}. One way leads "
                "back. Give the layer go_backwards=False and the backward_layer go_backwards=True."
            )
        for name in ("stateful", "return_sequences", "return_state"):
            if getattr(one, name) != getattr(other, name):
                raise ValueError(
                    f"Bidirectional got layers with {name}={getattr(one, name)} and "
                    f"{getattr(other, name)}. Both must have the same. Change the backward_layer."
                )

    @property
    def return_sequences(self):
        return self.forward_layer.return_sequences

    @property
    def return_state(self):
        return self.forward_layer.return_state

    @property
    def stateful(self):
        return self.forward_layer.stateful

    @property
    def states(self):
        """The states of both ways, if stateful."""
        one, other = self.forward_layer.states, self.backward_layer.states
        return (*one, *other) if one and other else None

    def reset_state(self):
        """Forget the states of the batch before."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state

    def build(self, sequences_shape):
        build_inside(self.forward_layer, sequences_shape)
        build_inside(self.backward_layer, sequences_shape)

    def call(self, sequences, initial_state=None, mask=None, training=None):
        half = None if initial_state is None else len(initial_state) // 2
        starts = (None, None) if half is None else (initial_state[:half], initial_state[half:])
        y, y_back = (
            way(sequences, initial_state=start, mask=mask)
            for way, start in zip((self.forward_layer, self.backward_layer), starts, strict=True)
        )
        states = ()
        if self.return_state:
            (y, *one), (y_back, *other) = y, y_back
            states = (*one, *other)
        if self._dtype_in is not self.forward_layer._dtype_in:
            y, y_back = y.to(self._dtype_in), y_back.to(self._dtype_in)
        if self.return_sequences:
            y_back = y_back.flip(1)
        both = (y, y_back) if self.merge_mode is None else (_MERGES[self.merge_mode](y, y_back),)
        return (*both, *states) if len(both) + len(states) > 1 else both[0]

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        shape, states = self.forward_layer.compute_output_shape(sequences_shape), ()
        if self.return_state:
            shape, *states = shape
        if self.merge_mode == "concat":
            shape = (*shape[:-1], 2 * shape[-1])
        both = (shape, shape) if self.merge_mode is None else (shape,)
        return (*both, *states, *states) if len(both) + len(states) > 1 else shape

    def compute_mask(self, inputs, mask=None):
        mask = mask if self.return_sequences else None
        return (mask, mask) if self.merge_mode is None else mask

    def get_config(self):
        """Constructor arguments as plain values."""
        ways = {"layer": self.forward_layer, "backward_layer": self.backward_layer}
        return {**super().get_config(), **{k: serialize(v) for k, v in ways.items()}}

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described, without its weights."""
        ways = {k: layers_from(config[k]) for k in ("layer", "backward_layer") if config.get(k)}
        return cls(**{**config, **ways})


def _direction(layer, word):
    """A new layer like `layer`, without its weights."""
    built = layer.built
    new = type(layer).from_config(layer.get_config()) if built else copy.deepcopy(layer)
    new.name = f"{word}_{layer.name.removeprefix(word + '_')}"
    return new
