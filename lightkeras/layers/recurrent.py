"""Layers over time: RNN for any cell, and LSTM, GRU, SimpleRNN on torch's kernels."""

from __future__ import annotations

import inspect
import warnings

import torch

from lightkeras._mode import training_mode
from lightkeras._registry import to_snake
from lightkeras._tree import map_structure
from lightkeras.layers._inside import layers_from
from lightkeras.layers._layer import Layer
from lightkeras.layers._recurrent import (
    Gated,
    GRUBase,
    LSTMBase,
    SimpleRNNBase,
    boolean_mask,
    given,
    gru_views,
    plain_views,
)
from lightkeras.layers._shapes import is_shape
from lightkeras.layers._spec import InputSpec
from lightkeras.layers._weights import Row, named
from lightkeras.layers.cells import (
    GRUCell,
    LSTMCell,
    SimpleRNNCell,
    StackedRNNCells,
    build_cell,
    check_cell,
    initial_state,
    output_size,
    state_sizes,
    step,
)

__all__ = ["GRU", "LSTM", "RNN", "SimpleRNN"]

# torch wants all weights of a layer in one block, which two biases of which one is no parameter
# cannot be; copying them together costs one small copy a call.
warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous")


# What the docstrings of all layers over time say.
_TIME = """\
        return_sequences: Return the output of all steps, not of the last.
        return_state: Return the final states too.
        go_backwards: Run from the last step to the first; outputs come in that order.
        stateful: Begin each batch with the final states of the batch before.
        unroll: Accepted; the loop over time is always a plain one.
        zero_output_for_mask: Whether steps that the mask leaves out give zeros, and not the output
            of the step before.

    A call takes `initial_state`, a list of tensors `(batch, units)`, and `mask`, `(batch, time)`:
    a step that is False is left out.

    Shape:
        `(batch, time, features)` -> `(batch, units)`, or `(batch, time, units)` with
        `return_sequences`; a tuple of that and the states with `return_state`

    Raises:
        ValueError: the input has not three axes, or a stateful layer gets another batch size.
"""


class _Recurrent(Layer):
    __doc__ = f"""Base of all layers over time.

    Args:
{_TIME}    """

    def __init__(
        self,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        zero_output_for_mask=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.supports_masking = True
        self.__dict__["states"] = None  # of the batch before, if stateful

    def call(self, sequences, initial_state=None, mask=None, training=None):
        x, mask = sequences, boolean_mask(mask)
        if x.shape[1] == 0:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} got sequences without steps, of shape "
                f"{tuple(x.shape)}. It takes at least one step. Leave empty sequences out."
            )
        if x.is_meta:
            return _empty(x, self.compute_output_shape(tuple(x.shape)))  # no loop over time
        states = self._start(x, initial_state)
        if self.go_backwards:
            x, mask = x.flip(1), None if mask is None else mask.flip(1)
        training = self.training if training is None else training
        last, outputs, states = self._over_time(x, states, mask, training)
        if mask is not None and self.zero_output_for_mask:
            last = where(mask[:, -1], last, torch.zeros_like(last))
            outputs = None if outputs is None else where(mask, outputs, torch.zeros_like(outputs))
        if self.stateful:
            self.__dict__["states"] = map_structure(torch.Tensor.detach, states)
        output = outputs if self.return_sequences else last
        return (output, *states) if self.return_state else output

    @property
    def _keeps_states(self):
        return self.return_state or self.stateful

    def _start(self, x, given_states):
        """The states before the first step, in a list."""
        kept = self.states if self.stateful else None
        states = kept if given_states is None else given_states
        states = self._initial_states(x) if states is None else states
        states = list(states) if isinstance(states, (list, tuple)) else [states]
        size = len(_first(states))
        if size != len(x):
            raise ValueError(
                f"{type(self).__name__} {self.name!r} got a batch of {len(x)} sequences and states "
                f"for {size}. Both must be equal; a stateful layer needs batches of one size. "
                "Drop the last, smaller batch, or call reset_state()."
            )
        return map_structure(lambda s: s.to(x.device, x.dtype), states)

    def _initial_states(self, x):
        if x.device.type == "cpu":
            return self.get_initial_state(len(x))
        with x.device:  # made there, not copied there at each step
            return self.get_initial_state(len(x))

    def reset_state(self):
        """Forget the states of the batch before."""
        self.__dict__["states"] = None

    reset_states = reset_state

    # ---- shapes and masks ---------------------------------------------------------------------

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        batch, time = sequences_shape[:2]
        out = (batch, *((time,) if self.return_sequences else ()), self._output_size)
        states = _sized(self._state_sizes, lambda n: (batch, n))
        return (out, *states) if self.return_state else out

    def compute_mask(self, inputs, mask=None):
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        mask = mask if self.return_sequences else None
        return [mask, *_sized(self._state_sizes, lambda n: None)] if self.return_state else mask

    def get_config(self):
        """Constructor arguments as plain values."""
        named = {k: getattr(self, k) for k in ("unroll", "zero_output_for_mask")}
        return {**super().get_config(), **named}


def _sized(sizes, make):
    """`make(size)` over a tree of state sizes."""
    return [_sized(s, make) if isinstance(s, (list, tuple)) else make(s) for s in sizes]


def _empty(x, shapes):
    """Tensors like `x` of these shapes."""
    return x.new_empty(shapes) if is_shape(shapes) else tuple(_empty(x, s) for s in shapes)


def where(counts, new, old):
    """`new` where `counts`, of the first axes, is True, and `old` elsewhere."""
    return torch.where(counts.view(*counts.shape, *(1,) * (new.ndim - counts.ndim)), new, old)


def _first(states):
    return _first(states[0]) if isinstance(states, (list, tuple)) else states


# ---- any cell -----------------------------------------------------------------------------------


class RNN(_Recurrent):
    __doc__ = f"""Runs a cell over time.

    Args:
        cell: A cell, or a list of cells that stand one above the other. A cell has
            `call(inputs, states)`, which returns `(output, new states)`, `state_size`, and if it
            likes `output_size` and `get_initial_state(batch_size)`.
{_TIME}
    >>> import torch
    >>> tuple(RNN([LSTMCell(4), LSTMCell(5)])(torch.zeros(2, 7, 3)).shape)
    (2, 5)
    """

    def __init__(
        self,
        cell,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        zero_output_for_mask=False,
        **kwargs,
    ):
        cell = StackedRNNCells(cell) if isinstance(cell, (list, tuple)) else cell
        check_cell("RNN", cell)
        rest = {k: v for k, v in given(locals()).items() if k != "cell"}
        super().__init__(**rest, **kwargs)
        self.cell = cell
        self.input_spec = InputSpec(ndim=3) if isinstance(cell, Gated) else InputSpec(min_ndim=2)

    @property
    def state_size(self):
        """Sizes of the states, in a list."""
        return self._state_sizes

    @property
    def _state_sizes(self):
        return state_sizes(self.cell)

    @property
    def _output_size(self):
        return output_size(self.cell)

    def get_initial_state(self, batch_size):
        """The cell's states at the start."""
        return initial_state(self.cell, batch_size)

    def build(self, sequences_shape):
        build_cell(self.cell, (sequences_shape[0], *sequences_shape[2:]))

    def _over_time(self, x, states, mask, training):
        if getattr(self.cell, "training", training) != training:
            with training_mode(self.cell, training):
                return self._over_time(x, states, mask, training)
        return _run(self.cell, x, states, mask, self.return_sequences, self._keeps_states)

    @classmethod
    def from_config(cls, config):
        """The layer that `get_config` described, without its weights."""
        config = dict(config)
        return cls(layers_from(config.pop("cell")), **config)


def _run(cell, x, states, mask, return_sequences, return_state):
    """A cell over time: last output, all outputs, final states."""
    if isinstance(cell, StackedRNNCells):
        # Cell by cell, not step by step: each takes all outputs of the one before.
        final = []
        for one, start in zip(cell.cells, states, strict=True):
            start = list(start) if isinstance(start, (list, tuple)) else [start]
            all_steps = return_sequences or one is not cell.cells[-1]
            last, x, new = _run(one, x, start, mask, all_steps, return_state)
            final.append(new)
        return last, x, final
    if isinstance(cell, Gated):
        return cell.sequence(x, states, mask, cell.training, return_sequences, return_state)
    return _by_steps(cell, x, states, mask, return_sequences)


def _by_steps(cell, x, states, mask, return_sequences):
    if hasattr(cell, "reset_dropout_mask"):
        cell.reset_dropout_mask()
    outputs, last = [], None
    steps = [None] * x.shape[1] if mask is None else mask.unbind(1)
    for now, counts in zip(x.unbind(1), steps, strict=True):
        output, new = step(cell, now, states)
        if counts is not None:
            output = where(counts, output, torch.zeros_like(output) if last is None else last)
            new = map_structure(lambda a, b, m=counts: where(m, a, b), new, list(states))
        states, last = new, output
        if return_sequences:
            outputs.append(output)
    return last, torch.stack(outputs, 1) if return_sequences else None, states


# ---- the built-in kinds -------------------------------------------------------------------------


class _OwnCell(_Recurrent):
    """A layer that holds the weights of its cell itself; `cell` is made when it is asked for."""

    cell_class: type[Layer]

    @property
    def _cell_name(self):
        return to_snake(self.cell_class.__name__)

    @property
    def cell(self):
        """One step of the layer; it shares the layer's weights."""
        names = inspect.signature(self.cell_class).parameters
        arguments = {name: getattr(self, name) for name in names if hasattr(self, name)}
        cell = self.cell_class(**arguments, name=self._cell_name, dtype=self.dtype_policy)
        if self.built:
            for mine, view in zip(self.views, cell.views, strict=True):
                weight = getattr(self, mine.attribute)
                cell.register_parameter(view.attribute, weight)
                if weight is not None:
                    cell._rows.append(Row(view, True))
            cell._finish_build()
        return cell


# And those of the three built-in kinds.
_BUILTIN = f"""\
    The torch parameters are named as in `nn.LSTM`; `layer.cell` is its step, with the same weights.

    Args:
        units: Size of the output and of the states.
        activation: Name or function; of the output, and of what enters the state.
        recurrent_activation: Name or function; of the gates (LSTM, GRU).
        use_bias: Whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: How weights start.
        unit_forget_bias: Whether the bias of the forget gate starts at 1 (LSTM).
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Penalties added to the loss.
        kernel_constraint, recurrent_constraint, bias_constraint: Projections after each update.
        dropout: Share of the inputs that is zeroed in training, the same ones at all steps.
        recurrent_dropout: The same for the state that enters a step. The fused kernels cannot do
            this: a loop over time runs.
        seed: Seed of the dropout masks.
        reset_after: Where the reset gate stands: after the matrix product, or before (GRU).
        use_cudnn: False keeps cuDNN out; "auto" and True use it where it can be used.
{_TIME}"""


class _Builtin(Gated, _OwnCell):
    """Base of SimpleRNN, GRU and LSTM: torch's kernels, and Keras's arguments."""

    def __init__(self, use_cudnn="auto", **kwargs):
        super().__init__(**kwargs)
        if use_cudnn not in ("auto", True, False):
            raise ValueError(
                f"{type(self).__name__}(use_cudnn={use_cudnn!r}) is unknown. It takes 'auto', True "
                "or False. Leave it out."
            )
        self.use_cudnn = use_cudnn
        self.input_spec = InputSpec(ndim=3)

    @property
    def state_size(self):
        """Sizes of the states, in a list."""
        return [self.units] * self.state_count

    _state_sizes = state_size

    @property
    def _output_size(self):
        return self.units

    def build(self, sequences_shape):
        with named(self._cell_name):
            self._make_weights(sequences_shape[-1])
        self.input_spec = InputSpec(ndim=3, axes={-1: sequences_shape[-1]})

    def _over_time(self, x, states, mask, training):
        return self.sequence(x, states, mask, training, self.return_sequences, self._keeps_states)

    def get_config(self):
        """Constructor arguments as plain values, without those that choose the kernel."""
        config = super().get_config()
        return {k: v for k, v in config.items() if k not in ("use_cudnn", "implementation")}


class SimpleRNN(SimpleRNNBase, _Builtin):
    __doc__ = f"""The plain recurrence: the output is the state, h' = activation(x W + h U + b).

{_BUILTIN}
    Elman 1990, "Finding structure in time".

    >>> import torch
    >>> tuple(SimpleRNN(4)(torch.zeros(2, 7, 3)).shape)
    (2, 4)
    """

    views = plain_views("_l0")
    cell_class = SimpleRNNCell

    def __init__(
        self,
        units,
        activation="tanh",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        seed=None,
        **kwargs,
    ):
        super().__init__(**given(locals()), **kwargs)

    def get_config(self):
        """Constructor arguments as plain values; like Keras's without a seed that was not given."""
        config = super().get_config()
        return {k: v for k, v in config.items() if k != "seed" or v is not None}


class GRU(GRUBase, _Builtin):
    __doc__ = f"""Learns sequences; an update and a reset gate choose what of the state is replaced.

{_BUILTIN}
    Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder".

    >>> import torch
    >>> tuple(GRU(4, return_sequences=True)(torch.zeros(2, 7, 3)).shape)
    (2, 7, 4)
    """

    views = gru_views("_l0")
    cell_class = GRUCell

    def __init__(
        self,
        units,
        activation="tanh",
        recurrent_activation="sigmoid",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        seed=None,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        reset_after=True,
        use_cudnn="auto",
        **kwargs,
    ):
        super().__init__(**given(locals()), **kwargs)


class LSTM(LSTMBase, _Builtin):
    __doc__ = f"""Learns long sequences; three gates guard a second state, the memory.

{_BUILTIN}
    Hochreiter and Schmidhuber 1997, "Long short-term memory".

    >>> import torch
    >>> x = torch.zeros(2, 7, 3)
    >>> tuple(LSTM(4)(x).shape)
    (2, 4)
    >>> [tuple(t.shape) for t in LSTM(4, return_state=True)(x)]  # output, h, c
    [(2, 4), (2, 4), (2, 4)]
    """

    views = plain_views("_l0")
    cell_class = LSTMCell

    def __init__(
        self,
        units,
        activation="tanh",
        recurrent_activation="sigmoid",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        unit_forget_bias=True,
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        seed=None,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        use_cudnn="auto",
        **kwargs,
    ):
        super().__init__(**given(locals()), **kwargs)
