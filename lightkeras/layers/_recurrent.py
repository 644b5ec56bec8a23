"""What recurrent layers and their cells share: weights, dropout, and the run over time.

A layer and its cell have the same arguments and the same arithmetic; they differ in the names of
the torch parameters and in who keeps the time. So LSTM and LSTMCell both stand on `LSTMBase`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightkeras import activations, constraints, initializers, random, regularizers
from lightkeras.layers._layer import Layer
from lightkeras.layers._recurrent_kernels import run_kernel
from lightkeras.layers._views import Permuted, View
from lightkeras.layers.core import positive_int
from lightkeras.layers.regularization import share

__all__ = [
    "GRUBase",
    "Gated",
    "LSTMBase",
    "SimpleRNNBase",
    "boolean_mask",
    "forgetting",
    "given",
    "gru_views",
    "plain_views",
]

# What cells and layers take alike; the rest of a layer's arguments is about time.
_ARGUMENTS = [
    *("units", "activation", "recurrent_activation", "use_bias", "unit_forget_bias", "reset_after"),
    *("kernel_initializer", "recurrent_initializer", "bias_initializer"),
    *("kernel_regularizer", "recurrent_regularizer", "bias_regularizer"),
    *("kernel_constraint", "recurrent_constraint", "bias_constraint"),
    *("dropout", "recurrent_dropout", "seed"),
]
_GETTERS = {
    "activation": activations.get,
    "initializer": initializers.get,
    "regularizer": regularizers.get,
    "constraint": constraints.get,
}


def given(names):
    """The arguments of a constructor, from its `locals()`."""
    return {k: v for k, v in names.items() if k not in ("self", "kwargs", "__class__")}


def boolean_mask(mask):
    """A mask as Keras takes it, (batch, time) or with a last axis of 1, as booleans."""
    if mask is None:
        return None
    mask = mask.squeeze(-1) if mask.ndim == 3 else mask
    return mask if mask.dtype is torch.bool else mask.bool()


class Gated(Layer):
    """Base of the three built-in kinds of recurrence, as layers and as cells.

    All steps of all gates are projected by one matrix product; then either torch's fused kernel
    runs over time, or `_step` in a plain loop: with recurrent dropout or other activations.

    Args:
        implementation: 1 draws dropout masks for each gate, 2 one for all; with recurrent dropout
            it is always 1, as in Keras.
    """

    units: int
    gates = 1
    state_count = 1
    _casts_ints = True
    _remat_activation = False

    def __init__(self, implementation=2, **kwargs):
        own = {name: kwargs.pop(name) for name in _ARGUMENTS if name in kwargs}
        super().__init__(**kwargs)
        for name, value in own.items():
            getter = _GETTERS.get(name.rpartition("_")[2])
            setattr(self, name, getter(value) if getter else value)
        owner = type(self).__name__
        self.units = positive_int(owner, "units", self.units)
        for name in ("dropout", "recurrent_dropout"):
            share(owner, name, getattr(self, name))
        self.implementation = implementation
        self.seed_generator = None if self.seed is None else random.SeedGenerator(self.seed)

    @property
    def state_size(self):
        """Size of the state; a list if there are several."""
        return self.units if self.state_count == 1 else [self.units] * self.state_count

    @property
    def output_size(self):
        return self.units

    def get_initial_state(self, batch_size=None):
        """Zeros, one tensor `(batch, units)` for each state."""
        dtype = self._dtype_in
        return [torch.zeros(batch_size, self.units, dtype=dtype) for _ in range(self.state_count)]

    # ---- weights ------------------------------------------------------------------------------

    def _make_weights(self, size):
        width = self.gates * self.units
        rows = [("kernel", (size, width)), ("recurrent", (self.units, width))]
        if self.use_bias:
            rows.append(("bias", self._bias_shape()))
        else:
            self.register_parameter(self.views[2].attribute, None)
        for kind, shape in rows:
            start = getattr(self, f"{kind}_initializer")
            self.add_weight(
                name="recurrent_kernel" if kind == "recurrent" else kind,
                shape=shape,
                initializer=self._bias_start(start) if kind == "bias" else start,
                regularizer=getattr(self, f"{kind}_regularizer"),
                constraint=getattr(self, f"{kind}_constraint"),
            )

    def _bias_shape(self):
        return (self.gates * self.units,)

    def _bias_start(self, initializer):
        return initializer

    def _weights(self, dtype):
        """(input weights, recurrent weights, bias or None), in torch's layout."""
        found = (getattr(self, view.attribute) for view in self.views)
        return [w if w is None or w.dtype is dtype else w.to(dtype) for w in found]

    def _two_biases(self, bias):
        """(bias of the input's projection, bias of the state's)."""
        return bias, None

    # ---- dropout ------------------------------------------------------------------------------

    def _masks(self, x):
        """Dropout masks of one sequence, for inputs and states; None where nothing drops."""
        each = self.gates if self.implementation == 1 or self.recurrent_dropout else 1
        batch, _, size = x.shape
        x_mask = self._mask(x, (each, batch, 1, size), self.dropout)
        return x_mask, self._mask(x, (self.gates, batch, self.units), self.recurrent_dropout)

    def _mask(self, x, shape, rate):
        return random.dropout(x.new_ones(shape), rate, None, self.seed_generator) if rate else None

    # ---- over time ----------------------------------------------------------------------------

    def sequence(self, x, states, mask, training, return_sequences, return_state):
        """All steps.

        Args:
            x: `(batch, time, features)`.
            states: List of `(batch, units)`.
            mask: `(batch, time)`; a False step is left out: state and output stay as they were.
            training: Whether dropout is on.
            return_sequences, return_state: What of the result will be used.

        Returns:
            Last output, all outputs (or None), list of final states.
        """
        start = states
        weights = self._weights(x.dtype)
        self._check_shapes(x, states, weights[0].shape[1])
        if mask is not None:  # bring the steps that count to the front, in their order
            x = _pick(x, torch.argsort(~mask, dim=1, stable=True))
        x_mask, h_mask = self._masks(x) if training else (None, None)
        one_mask = x_mask is None or len(x_mask) == 1
        if x_mask is not None and one_mask:
            x, x_mask = x * x_mask[0], None
        if one_mask and h_mask is None and self._fusible(x):
            if mask is not None and return_state:
                x, weights = self._at_rest(x, weights, mask)
            outputs, states = self._fused(x, states, *weights)
            trail = [outputs]
        else:
            trail = self._loop(x, states, weights, x_mask, h_mask)
            states = [steps[-1] for steps in trail]
            all_steps = return_sequences or mask is not None
            trail = [torch.stack(steps, 1) if all_steps else None for steps in trail]
        if mask is None:
            return states[0], trail[0], list(states)
        last, outputs, ends = _put_back(trail, start, mask, return_sequences)
        return last, outputs, [*ends, *states[len(ends) :]]

    def _at_rest(self, x, weights, mask):
        """What goes into the fused kernel so that states stand still after a row's last step."""
        return x, weights  # the output of that step is the only state

    def _check_shapes(self, x, states, size):
        """torch's kernels do not check: they would read memory that is not theirs."""
        if x.shape[-1] != size:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} got {x.shape[-1]} features a step (shape "
                f"{tuple(x.shape)}). It was built for {size}. Give inputs of that size, or build a "
                "new layer."
            )
        wanted = (len(x), self.units)
        if len(states) != self.state_count or any(s.shape != wanted for s in states):
            raise ValueError(
                f"{type(self).__name__} {self.name!r} got states of the shapes "
                f"{', '.join(str(tuple(s.shape)) for s in states)}. It takes {self.state_count} of "
                f"shape {wanted}. Type for example initial_state=layer.get_initial_state({len(x)})."
            )

    def _loop(self, x, states, weights, x_mask, h_mask):
        """A list of all steps for each state."""
        w_ih, w_hh, bias = weights
        bias, state_bias = self._two_biases(bias)
        w_hh = w_hh.view(self.gates, self.units, -1).transpose(1, 2)  # (gates, from, to)
        trail = []
        for step in self._project(x, w_ih, bias, x_mask).unbind(0):
            states = self._step(step, states, w_hh, state_bias, h_mask)
            trail.append(states)
        return list(zip(*trail, strict=True))

    def _project(self, x, w_ih, bias, x_mask):
        """The inputs' part of all gates: (batch, time, features) -> (time, gates, batch, units)."""
        batch, time, _ = x.shape
        if x_mask is None:
            gates = F.linear(x, w_ih, bias).view(batch, time, self.gates, -1)
            return gates.permute(1, 2, 0, 3)
        x = (x * x_mask).flatten(1, 2)  # (gates, batch * time, features)
        gates = x @ w_ih.view(self.gates, self.units, -1).transpose(1, 2)
        if bias is not None:
            gates = gates + bias.view(self.gates, 1, -1)
        return gates.view(self.gates, batch, time, -1).permute(2, 0, 1, 3)

    def _recur(self, gates, h, w_hh, h_mask):
        """`gates + h @ w_hh` for all gates: (gates, batch, units)."""
        h = h.expand(len(w_hh), *h.shape) if h_mask is None else h * h_mask
        return torch.bmm(h, w_hh) if gates is None else torch.baddbmm(gates, h, w_hh)

    def _fusible(self, x):
        """Whether torch's kernel computes what the arguments ask for, here and now."""
        if torch.compiler.is_compiling() and torch.is_grad_enabled():
            return False  # torch.compile takes the kernel apart into steps, and loses its gradient
        unwanted = x.is_cuda and getattr(self, "use_cudnn", "auto") is False
        return self._kernel_knows() and not unwanted

    def _kernel_knows(self):
        """Whether the activations are those of torch's kernel."""
        return self.activation in _TANH


_TANH = (activations.tanh, torch.tanh)
_SIGMOID = (activations.sigmoid, torch.sigmoid)
_SHUT = 1e4  # sigmoid(1e4) is 1 and sigmoid(-1e4) is 0, in half precision, too


def _pick(values, index):
    """values[b, index[b, t]] for all b, t: (batch, time, size)."""
    return values.gather(1, index.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


def _put_back(trail, start, mask, return_sequences):
    """Results of the steps that count -> results of all steps, as the mask has them."""
    place = mask.cumsum(1) - 1  # the last step that counted; -1 before the first
    end = place[:, -1:]
    wanted = place if return_sequences else end
    outputs = _pick(trail[0], wanted.clamp(min=0)).masked_fill((wanted < 0).unsqueeze(-1), 0.0)
    states = [
        torch.where(end < 0, first, _pick(steps, end.clamp(min=0)).squeeze(1))
        for steps, first in zip(trail, start, strict=False)
    ]
    return outputs[:, -1], outputs, states


def forgetting(start, units):
    """An initializer of an LSTM's bias: 1 for the forget gate, so that states last."""

    def make(shape, dtype=None):
        parts = start((units,), dtype=dtype), torch.ones(units), start((2 * units,), dtype=dtype)
        return torch.cat([torch.as_tensor(p, dtype=dtype) for p in parts])

    return make


def plain_views(suffix=""):
    """Weights whose gates stand in the same order in Keras and torch."""
    return (
        Permuted("kernel", f"weight_ih{suffix}", 1, 0),
        Permuted("recurrent_kernel", f"weight_hh{suffix}", 1, 0),
        View("bias", f"bias_ih{suffix}"),
    )


# ---- the three kinds ----------------------------------------------------------------------------


class SimpleRNNBase(Gated):
    """h' = activation(x W + h U + b)"""

    def _step(self, x, states, w_hh, _, h_mask):
        return (self.activation(self._recur(x, states[0], w_hh, h_mask).squeeze(0)),)

    def _kernel_knows(self):
        return self.activation in (*_TANH, activations.relu, torch.relu)

    def _fused(self, x, states, *weights):
        name = "rnn_tanh" if self.activation in _TANH else "rnn_relu"
        return run_kernel(name, x, states, *weights)


class LSTMBase(Gated):
    """i, f, o = sigmoid(...), c' = f c + i tanh(...), h' = o tanh(c')"""

    gates = 4
    state_count = 2

    def _bias_start(self, initializer):
        return forgetting(initializer, self.units) if self.unit_forget_bias else initializer

    def _step(self, x, states, w_hh, _, h_mask):
        h, c = states
        i, f, g, o = self._recur(x, h, w_hh, h_mask).unbind(0)
        gate, act = self.recurrent_activation, self.activation
        c = gate(f) * c + gate(i) * act(g)
        return gate(o) * act(c), c

    def _kernel_knows(self):
        return super()._kernel_knows() and self.recurrent_activation in _SIGMOID

    def _at_rest(self, x, weights, mask):
        """One more input, 1 after a row's last step, shuts its input and opens its forget gate."""
        w_ih, *others = weights
        ended = torch.arange(x.shape[1], device=x.device) >= mask.sum(1, keepdim=True)
        column = w_ih.new_zeros(self.gates, self.units)
        column[0], column[1] = -_SHUT, _SHUT
        w_ih = torch.cat((w_ih, column.view(-1, 1)), 1)  # (4 * units, features + 1)
        return torch.cat((x, ended.unsqueeze(-1).to(x.dtype)), -1), [w_ih, *others]

    def _fused(self, x, states, *weights):
        return run_kernel("lstm", x, states, *weights)


class GRUBase(Gated):
    """z, r = sigmoid(...), n = tanh(x W + r (h U)), h' = z h + (1 - z) n

    torch's order of the gates is r, z, n. Without `reset_after`, n = tanh(x W + (r h) U).
    """

    gates = 3

    def _bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def _two_biases(self, bias):
        return bias if bias is not None and self.reset_after else (bias, None)

    def _step(self, x, states, w_hh, state_bias, h_mask):
        h, gate = states[0], self.recurrent_activation
        if self.reset_after:
            bias = None if state_bias is None else state_bias.view(3, 1, -1).expand_as(x)
            from_h = self._recur(bias, h, w_hh, h_mask)
            r, z = gate(x[:2] + from_h[:2]).unbind(0)
            new = self.activation(x[2] + r * from_h[2])
        else:
            mask, last = (None, h) if h_mask is None else (h_mask[:2], h * h_mask[2])
            r, z = gate(self._recur(x[:2], h, w_hh[:2], mask)).unbind(0)
            new = self.activation(torch.addmm(x[2], r * last, w_hh[2]))
        return (new + z * (h - new),)

    def _kernel_knows(self):
        sigmoid = self.recurrent_activation in _SIGMOID
        return super()._kernel_knows() and self.reset_after and sigmoid

    def _fused(self, x, states, w_ih, w_hh, bias):
        biases = [] if bias is None else [bias[0], bias[1]]
        return run_kernel("gru", x, states, w_ih, w_hh, *biases)


class GateOrder(View):
    """A GRU weight: gates z, r, h on Keras's last axis, r, z, n on torch's first."""

    identity = False

    def to_torch(self, tensor):
        return self._swapped(tensor).t() if self.name != "bias" else self._swapped(tensor)

    def to_keras(self, tensor):
        return self._swapped(tensor.t() if self.name != "bias" else tensor)

    @staticmethod
    def _swapped(tensor):
        first, second, third = tensor.chunk(3, -1)
        return torch.cat((second, first, third), -1)


def gru_views(suffix=""):
    """The bias of `reset_after` has two rows: the input's and the state's."""
    return (
        GateOrder("kernel", f"weight_ih{suffix}"),
        GateOrder("recurrent_kernel", f"weight_hh{suffix}"),
        GateOrder("bias", f"bias_ih_hh{suffix}"),
    )
