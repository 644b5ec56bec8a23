"""torch's kernels for a whole sequence: one layer, one direction, batch first."""

from __future__ import annotations

import functools

import torch

__all__ = ["run_kernel"]

_MODES = ("rnn_relu", "rnn_tanh", "lstm", "gru")  # in the order of cuDNN's numbers


def run_kernel(name, x, states, w_ih, w_hh, bias=None, state_bias=None):
    """(outputs, list of last states).

    Args:
        name: "rnn_relu", "rnn_tanh", "lstm" or "gru".
        x: `(batch, time, features)`.
        states: List of `(batch, units)`.
        w_ih, w_hh: `(gates * units, features)`, `(gates * units, units)`.
        bias, state_bias: `(gates * units,)`, of the inputs' part and the states', or None.
    """
    weights, train = [w_ih, w_hh], torch.is_grad_enabled()
    if bias is not None:  # torch has two biases where Keras has one
        weights += [bias, torch.zeros_like(bias) if state_bias is None else state_bias]
    start = [s.unsqueeze(0).contiguous() for s in states]
    if x.is_cuda and torch.version.hip is None and torch.backends.cudnn.is_acceptable(x):
        outputs, *ends = _run_cudnn(_MODES.index(name), x, start, weights, train)
    else:
        given = tuple(start) if len(start) > 1 else start[0]
        arguments = weights, bias is not None, 1, 0.0, train, False, True
        outputs, *ends = getattr(torch._VF, name)(x, given, *arguments)
    return outputs, [state[0] for state in ends]


def _run_cudnn(mode, x, start, weights, train):
    """What torch comes to on a GPU; on its way it looks at memory, which cannot be recorded."""
    w_ih, w_hh, *biases = weights
    units, features = w_hh.shape[1], w_ih.shape[1]
    together = None
    if _cudnn_size(mode, features, units, len(biases), x.dtype, x.device) == _size(weights):
        with torch.no_grad():  # one block, as cuDNN wants them
            together = torch.cat([w.flatten() for w in weights])
    h, c = start if len(start) > 1 else (start[0], None)
    outputs, h, c, *_ = torch._cudnn_rnn(
        *(x, weights, len(weights), together, h, c, mode, units, 0, 1, True, 0.0, train, False),
        *([], None),
    )
    return (outputs, h, c) if len(start) > 1 else (outputs, h)


def _size(tensors):
    return sum(t.numel() for t in tensors)


@functools.cache
def _cudnn_size(mode, features, units, biases, dtype, device):
    """Numbers in cuDNN's block of weights; more than there are where it leaves gaps."""
    gates = (1, 1, 4, 3)[mode] * units
    shapes = [(gates, features), (gates, units)] + [(gates,)] * biases
    weights = [torch.zeros(shape, dtype=dtype, device=device) for shape in shapes]
    with torch.no_grad():
        block = torch._cudnn_rnn_flatten_weight(
            weights, len(weights), features, mode, units, 0, 1, True, False
        )
    return block.numel()
