"""LSTMs over pictures: the products of an LSTM are convolutions."""

from __future__ import annotations

import torch

from lightkeras import activations, random
from lightkeras._spatial import CONVOLVE, pad_evenly, same_padding
from lightkeras.layers._convolution import _Conv
from lightkeras.layers._recurrent import forgetting, given
from lightkeras.layers._spec import InputSpec
from lightkeras.layers._views import Permuted, View
from lightkeras.layers._weights import named
from lightkeras.layers.core import positive_int
from lightkeras.layers.recurrent import _TIME, _OwnCell, _Recurrent, where
from lightkeras.layers.regularization import share

__all__ = ["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "ConvLSTMCell"]

_CONV_TIME = (
    _TIME.replace("(batch, units)", "(batch, *new_sizes, filters)")
    .replace("(batch, time, units)", "(batch, time, *new_sizes, filters)")
    .replace("(batch, time, features)", "(batch, time, *sizes, in)")
    .replace("three axes", "the right number of axes")
)

_OWN = [
    *("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate"),
    *("activation", "recurrent_activation", "use_bias", "unit_forget_bias"),
    *(f"{word}_initializer" for word in ("kernel", "recurrent", "bias")),
    *(f"{word}_regularizer" for word in ("kernel", "recurrent", "bias")),
    *(f"{word}_constraint" for word in ("kernel", "recurrent", "bias")),
    *("dropout", "recurrent_dropout", "seed"),
]


def _views(rank):
    axes = rank + 1, rank, *range(rank)  # (*window, in, out) -> (out, in, *window)
    return (
        Permuted("kernel", "weight_ih", *axes),
        Permuted("recurrent_kernel", "weight_hh", *axes),
        View("bias", "bias_ih"),
    )


class _ConvGates(_Conv):
    """i, f, o = sigmoid(...), c' = f c + i tanh(...), h' = o tanh(c'), as convolutions.

    What enters is convolved for all steps at once, the state step by step.
    """

    def __init__(self, **kwargs):
        own = {name: kwargs.pop(name) for name in _OWN}
        super().__init__(**kwargs)
        owner = type(self).__name__
        self._run = CONVOLVE[self.rank]
        self.filters = positive_int(owner, "filters", own.pop("filters"))
        window = ("kernel_size", "strides", "padding", "data_format", "dilation_rate")
        self._set_window(*(own.pop(name) for name in window))
        self._refuse_strides_and_dilation()
        for name in ("dropout", "recurrent_dropout"):
            setattr(self, name, share(owner, name, own.pop(name)))
        self.seed = own.pop("seed")
        self.seed_generator = None if self.seed is None else random.SeedGenerator(self.seed)
        self.unit_forget_bias = own.pop("unit_forget_bias")
        self.recurrent_activation = activations.get(own.pop("recurrent_activation"))
        self._set_objects(own.pop("activation"), own.pop("use_bias"), **own)

    def _make_weights(self, step_shape):
        channels = self._channels(step_shape)
        self._add("kernel", (*self.kernel_size, channels, 4 * self.filters), "kernel")
        shape = (*self.kernel_size, self.filters, 4 * self.filters)
        self._add("recurrent_kernel", shape, "recurrent")
        if self.use_bias:
            start = self.bias_initializer
            start = forgetting(start, self.filters) if self.unit_forget_bias else start
            self._add("bias", (4 * self.filters,), "bias", initializer=start)
        else:
            self.register_parameter("bias_ih", None)
        self._step_shape = step_shape

    def _state_shape(self, step_shape):
        """Shape of a state for the shape of one step of the input."""
        batch, *sizes = step_shape[:-1] if self._last else (step_shape[0], *step_shape[2:])
        axes = zip(sizes, self._window, self.strides, strict=True)
        valid = self.padding == "valid"
        sizes = [n if n is None else -(-(n - (k - 1 if valid else 0)) // s) for n, k, s in axes]
        return (batch, *sizes, self.filters) if self._last else (batch, self.filters, *sizes)

    @property
    def state_size(self):
        """Numbers of channels of the two states."""
        return [self.filters] * 2

    output_size = property(lambda self: self.filters)

    def get_initial_state(self, batch_size=None):
        """Zeros for both states, of the sizes that the layer was built for."""
        shape = self._state_shape((batch_size, *self._step_shape[1:]))
        return [torch.zeros(shape, dtype=self._dtype_in) for _ in range(2)]

    # ---- over time ----------------------------------------------------------------------------

    def sequence(self, x, states, mask, training, return_sequences):
        """All steps: last output, all outputs (or None), final states.

        Args:
            x: `(batch, time, *sizes, channels)`, or channels third for "channels_first".
            states: Two of `(batch, *new_sizes, filters)`.
            mask: `(batch, time)`; a False step is left out: state and output stay as they were.
        """
        weights = [getattr(self, view.attribute) for view in self.views]
        w_ih, w_hh, bias = (w if w is None else w.to(x.dtype) for w in weights)
        if self._last:
            x, states = x.movedim(-1, 2), [s.movedim(-1, 1) for s in states]
        masks = self._masks(x[:, 0], states[0]) if training else (None, None)
        gates = self._entering(x, w_ih, bias, masks[0])
        h, c = states
        last, outputs = torch.zeros_like(h), []
        for now, gate in enumerate(gates.unbind(1)):
            new, new_c = self._step(gate + self._recur(h, w_hh, masks[1]), c)
            if mask is None:
                last, h, c = new, new, new_c
            else:
                counts = mask[:, now]
                last, h, c = (where(counts, *p) for p in ((new, last), (new, h), (new_c, c)))
            outputs.append(last)
        every = torch.stack(outputs, 1) if return_sequences else None
        if self._last:
            last, h, c = (t.movedim(1, -1) for t in (last, h, c))
            every = every if every is None else every.movedim(2, -1)
        return last, every, [h, c]

    def _step(self, gates, c):
        i, f, g, o = gates.chunk(4, 1)
        gate, act = self.recurrent_activation, self.activation
        c = gate(f) * c + gate(i) * act(g)
        return gate(o) * act(c), c

    def _entering(self, x, w_ih, bias, drop):
        """(batch, time, in, *sizes) -> the inputs' part of the gates (batch, time, 4 out, ...)"""
        groups = 1
        if drop is not None:  # each gate sees its own part of the input
            x, groups = torch.cat([x * kept.unsqueeze(1) for kept in drop], 2), 4
        batch, padding = x.shape[:2], self._torch_padding
        x = x.flatten(0, 1)
        if padding is None:
            x, padding = self._padded(x)
        x = self._run(x, w_ih, bias, self.strides, padding, self.dilation_rate, groups)
        return x.unflatten(0, batch)

    def _recur(self, h, w_hh, drop):
        """The state's part of the gates; it keeps its size."""
        groups, ones = 1, (1,) * self.rank
        if drop is not None:
            h, groups = torch.cat([h * kept for kept in drop], 1), 4
        h, padding = pad_evenly(h, same_padding(h.shape[2:], self.kernel_size, ones))
        return self._run(h, w_hh, None, ones, padding, ones, groups)

    def _masks(self, x, h):
        """Dropout masks of one sequence, four for the input and four for the state; or None."""
        return tuple(
            random.dropout(like.new_ones(4, *like.shape), rate, None, self.seed_generator)
            if rate
            else None
            for like, rate in ((x, self.dropout), (h, self.recurrent_dropout))
        )


class ConvLSTMCell(_ConvGates):
    """One step of a ConvLSTM: `cell(x, states)` returns `(output, new states)`.

    Args:
        rank: Number of axes of a picture, 1 to 3.
        (the others as for `ConvLSTM2D`)

    Shape:
        `(batch, *sizes, in)` and two of `(batch, *new_sizes, filters)` -> the new state, and a list
        of both

    >>> import torch
    >>> cell = ConvLSTMCell(2, filters=4, kernel_size=3, padding="same")
    >>> states = [torch.zeros(1, 8, 8, 4)] * 2
    >>> tuple(cell(torch.zeros(1, 8, 8, 3), states)[0].shape)
    (1, 8, 8, 4)
    """

    views: tuple[View, ...] = _views(2)

    def __init__(
        self,
        rank,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
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
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        seed=None,
        **kwargs,
    ):
        rest = {k: v for k, v in given(locals()).items() if k != "rank"}
        self.__dict__["rank"] = rank
        super().__init__(**rest, **kwargs)
        self.views = _views(rank)

    def build(self, input_shape):
        self._make_weights(tuple(input_shape))

    def call(self, inputs, states, training=None):
        training = self.training if training is None else training
        output, _, states = self.sequence(inputs.unsqueeze(1), states, None, training, False)
        return output, states


class _ConvLSTM(_ConvGates, _OwnCell):
    __doc__ = f"""Learns sequences of pictures: an LSTM whose products are convolutions.

    The torch parameters are `weight_ih` `(4 * filters, in, *kernel_size)`, `weight_hh` and
    `bias_ih`; the gates stand in the order i, f, g, o.

    Args:
        filters: Number of output channels.
        kernel_size: Size of the window, one number or one for each axis.
        strides: Steps of the window over the input.
        padding: "valid" (none) or "same"; the state is always padded.
        data_format: "channels_last" or "channels_first".
        dilation_rate: Distance of the inputs in the window.
        activation: Name or function; of the output, and of what enters the state.
        recurrent_activation: Name or function; of the gates.
        use_bias: Whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: How weights start.
        unit_forget_bias: Whether the bias of the forget gate starts at 1.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Penalties added to the loss.
        kernel_constraint, recurrent_constraint, bias_constraint: Projections after each update.
        dropout: Share of the inputs that is zeroed in training, the same ones at all steps.
        recurrent_dropout: The same for the state that enters a step.
        seed: Seed of the dropout masks.
{_CONV_TIME}
    Shi et al. 2015, "Convolutional LSTM network: a machine learning approach for precipitation
    nowcasting".

    >>> import torch
    >>> x = torch.zeros(1, 5, 8, 8, 3)
    >>> tuple(ConvLSTM2D(4, 3, padding="same")(x).shape)
    (1, 8, 8, 4)
    >>> tuple(ConvLSTM2D(4, 3, return_sequences=True)(x).shape)
    (1, 5, 6, 6, 4)
    """

    cell_class = ConvLSTMCell
    call = _Recurrent.call

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
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
        **kwargs,
    ):
        super().__init__(**given(locals()), **kwargs)
        self.input_spec = InputSpec(ndim=self.rank + 3)

    def build(self, sequences_shape):
        step_shape = (sequences_shape[0], *sequences_shape[2:])
        with named(self._cell_name):
            self._make_weights(step_shape)
        axis = -1 if self._last else 2
        self.input_spec = InputSpec(ndim=self.rank + 3, axes={axis: sequences_shape[axis]})

    def _check_shape(self, shape):
        steps = len(shape) == self.rank + 3
        super()._check_shape((shape[0], *shape[2:]) if steps else shape)

    def _initial_states(self, x):
        shape = self._state_shape((x.shape[0], *x.shape[2:]))
        return [x.new_zeros(shape) for _ in range(2)]

    def _over_time(self, x, states, mask, training):
        wanted = self._state_shape((x.shape[0], *x.shape[2:]))
        if len(states) != 2 or any(tuple(s.shape) != wanted for s in states):
            raise ValueError(
                f"{type(self).__name__} {self.name!r} got states of the shapes "
                f"{', '.join(str(tuple(s.shape)) for s in states)}. It takes two of shape "
                f"{wanted}. Leave initial_state out for zeros."
            )
        return self.sequence(x, states, mask, training, self.return_sequences)

    _state_sizes = property(lambda self: self.state_size)

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        batch, time, *rest = sequences_shape
        state = self._state_shape((batch, *rest))
        out = (batch, time, *state[1:]) if self.return_sequences else state
        return (out, state, state) if self.return_state else out


class ConvLSTM1D(_ConvLSTM):
    """ConvLSTM over signals: `(batch, time, size, in)` -> `(batch, new_size, filters)`."""

    rank = 1
    views = _views(1)


class ConvLSTM2D(_ConvLSTM):
    """ConvLSTM over pictures: `(batch, time, height, width, in)` -> `(batch, ..., filters)`."""

    rank = 2
    views = _views(2)


class ConvLSTM3D(_ConvLSTM):
    """ConvLSTM over volumes: `(batch, time, depth, height, width, in)` -> `(batch, ...)`."""

    rank = 3
    views = _views(3)
