"""Cells: one step of a recurrence. `RNN(cell)` runs one over time."""

from __future__ import annotations

import torch

from lightkeras.layers._inside import build_inside, layers_from
from lightkeras.layers._layer import Layer
from lightkeras.layers._recurrent import (
    Gated,
    GRUBase,
    LSTMBase,
    SimpleRNNBase,
    given,
    gru_views,
    plain_views,
)
from lightkeras.layers._spec import InputSpec

__all__ = ["GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"]


class _Cell(Gated):
    """One step of a recurrence: `cell(x, states)` returns `(output, new states)`.

    The arguments are those of the layer of the same name. In training the dropout masks are drawn
    at the first step and stay until `reset_dropout_mask()`, so that a sequence sees one mask.

    Shape:
        `(batch, features)` and a list of `(batch, units)` -> `(batch, units)` and the new list

    >>> import torch
    >>> x = torch.zeros(5, 3)
    >>> for cell in SimpleRNNCell(4), GRUCell(4), LSTMCell(4):
    ...     y, states = cell(x, cell.get_initial_state(5))
    ...     print(tuple(y.shape), len(states))
    (5, 4) 1
    (5, 4) 1
    (5, 4) 2
    """

    def build(self, input_shape):
        self._make_weights(input_shape[-1])

    def call(self, inputs, states, training=None):
        listed = isinstance(states, (list, tuple))
        x = inputs.unsqueeze(1)  # (batch, 1, features)
        training = self.training if training is None else training
        x_mask, h_mask = self._kept_masks(x) if training else (None, None)
        if x_mask is not None and len(x_mask) == 1:
            x, x_mask = x * x_mask[0], None
        start = list(states) if listed else [states]
        steps = self._loop(x, start, self._weights(x.dtype), x_mask, h_mask)
        new = [step[0] for step in steps]
        return new[0], new if listed else new[0]

    def _kept_masks(self, x):
        kept = self.__dict__.get("_drawn")
        if kept is None or kept[0] != x.shape:
            kept = self.__dict__["_drawn"] = (x.shape, self._masks(x))
        return kept[1]

    def reset_dropout_mask(self):
        """A new sequence begins: draw new masks at its first step."""
        self.__dict__["_drawn"] = None

    reset_recurrent_dropout_mask = reset_dropout_mask

    def get_config(self):
        return {k: v for k, v in super().get_config().items() if k != "implementation"}


class SimpleRNNCell(SimpleRNNBase, _Cell):
    """One step of `SimpleRNN`.

    The arguments are those of `SimpleRNN`; the dropout masks are those of a sequence and stay until
    `reset_dropout_mask()`.

    Shape:
        `(batch, features)` and a list of one `(batch, units)` -> `(batch, units)` and the new list

    >>> import torch
    >>> cell = SimpleRNNCell(4)
    >>> y, states = cell(torch.zeros(5, 3), cell.get_initial_state(5))
    >>> tuple(y.shape), len(states)
    ((5, 4), 1)
    """

    views = plain_views()

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
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**given(locals()), **kwargs)


class GRUCell(GRUBase, _Cell):
    """One step of `GRU`: its state is its output.

    The arguments are those of `GRU`; the dropout masks are those of a sequence and stay until
    `reset_dropout_mask()`.

    Shape:
        `(batch, features)` and a list of one `(batch, units)` -> `(batch, units)` and the new list

    >>> import torch
    >>> cell = GRUCell(4)
    >>> y, states = cell(torch.zeros(5, 3), cell.get_initial_state(5))
    >>> tuple(y.shape), len(states)
    ((5, 4), 1)
    """

    views = gru_views()

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
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        reset_after=True,
        seed=None,
        **kwargs,
    ):
        super().__init__(**given(locals()), **kwargs)


class LSTMCell(LSTMBase, _Cell):
    """One step of `LSTM`: its states are the output and the memory.

    The arguments are those of `LSTM`; the dropout masks are those of a sequence and stay until
    `reset_dropout_mask()`.

    Shape:
        `(batch, features)` and a list of two `(batch, units)` -> `(batch, units)` and the new list

    >>> import torch
    >>> cell = LSTMCell(4)
    >>> y, states = cell(torch.zeros(5, 3), cell.get_initial_state(5))
    >>> tuple(y.shape), len(states)
    ((5, 4), 2)
    """

    views = plain_views()

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
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**given(locals()), **kwargs)


class StackedRNNCells(Layer):
    """Cells one above the other, as one cell.

    Args:
        cells: List of cells; each takes the output of the one before.

    Shape:
        `(batch, features)` and one entry of states per cell -> the last cell's output and the new
        states

    Raises:
        ValueError: an entry is no cell.

    >>> import torch
    >>> cell = StackedRNNCells([LSTMCell(4), GRUCell(5)])
    >>> y, states = cell(torch.zeros(2, 3), cell.get_initial_state(2))
    >>> tuple(y.shape), [len(s) for s in states]
    ((2, 5), [2, 1])
    """

    def __init__(self, cells, **kwargs):
        super().__init__(**kwargs)
        if isinstance(cells, (list, tuple)) and not cells:
            raise ValueError(
                f"StackedRNNCells(cells={cells!r:.60}) holds no cell. A list of at least one is "
                "accepted. Type for example StackedRNNCells([LSTMCell(32), LSTMCell(32)])."
            )
        for cell in cells:
            check_cell("StackedRNNCells", cell)
        self.cells = list(cells)
        self.input_spec = InputSpec(min_ndim=1)

    @property
    def state_size(self):
        """The state sizes of all cells, in a list."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self):
        """Size of the last cell's output."""
        return output_size(self.cells[-1])

    def get_initial_state(self, batch_size=None):
        """Zeros for all cells."""
        return [initial_state(cell, batch_size) for cell in self.cells]

    def build(self, input_shape):
        for cell in self.cells:
            build_cell(cell, input_shape)
            input_shape = (input_shape[0], output_size(cell))

    def call(self, inputs, states, training=None):
        new = []
        for cell, state in zip(self.cells, states, strict=True):
            nested = isinstance(state, (list, tuple))
            inputs, state = step(cell, inputs, list(state) if nested else [state])
            new.append(state if nested else state[0])  # as it was given
        return inputs, new

    @classmethod
    def from_config(cls, config):
        """The cells that `get_config` described, without their weights."""
        config = dict(config)
        return cls(layers_from(config.pop("cells")), **config)


# ---- any cell -----------------------------------------------------------------------------------


def check_cell(owner, cell):
    """Raise ValueError where `cell` has not what makes a cell."""
    lacking = [name for name in ("call", "state_size") if not hasattr(cell, name)]
    if lacking:
        raise ValueError(
            f"{owner} got {type(cell).__name__}, which has no {' and no '.join(lacking)}. A cell "
            "has call(inputs, states), which returns (output, new states), and state_size. "
            f"Type for example {owner}(LSTMCell(32))."
        )


def state_sizes(cell):
    """Sizes of a cell's states, in a list."""
    size = cell.state_size
    return list(size) if isinstance(size, (list, tuple)) else [size]


def output_size(cell):
    """Size of a cell's output."""
    size = getattr(cell, "output_size", None)
    return state_sizes(cell)[0] if size is None else size


def initial_state(cell, batch_size):
    """A cell's states at the start, in a list."""
    if hasattr(cell, "get_initial_state"):
        states = cell.get_initial_state(batch_size=batch_size)
        return list(states) if isinstance(states, (list, tuple)) else [states]
    return [torch.zeros(batch_size, size) for size in state_sizes(cell)]


def build_cell(cell, input_shape):
    """Build a cell for one step of the input."""
    if isinstance(cell, Layer) and not cell.built:
        build_inside(cell, input_shape, [(input_shape[0], n) for n in state_sizes(cell)])


def step(cell, inputs, states):
    """One step of any cell; the new states are in a list."""
    call = cell._call_impl if isinstance(cell, torch.nn.Module) else cell.call
    if isinstance(cell, Layer) and inputs.dtype is not cell._dtype_in:
        call = cell  # it casts
    flag = {"training": cell.training} if "training" in getattr(cell, "_call_names", ()) else {}
    output, new = call(inputs, states, **flag)
    return output, list(new) if isinstance(new, (list, tuple)) else [new]
