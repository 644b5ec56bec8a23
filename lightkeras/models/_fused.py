"""The LSTM kernel of oneDNN in compiled steps.

Recorded, an LSTM on a CPU is one operation forth and one back. torch's compiler does not take them
(it has a form of the first for inference alone), and taken apart they are a dozen operations
for each step of time, which compile for minutes and run slower. So they stand in the graph under
names of ours, which the compiler calls and does not look into.
"""

from __future__ import annotations

import torch

__all__ = ["keep_fused"]

_KERNEL = torch.ops.aten.mkldnn_rnn_layer.default
_BACKWARD = torch.ops.aten.mkldnn_rnn_layer_backward.default


def keep_fused(graph):
    """Put the operations of ours in the place of oneDNN's, in a recorded graph."""
    for node in graph.graph.nodes:
        if node.target is _KERNEL:
            workspace = node.meta["val"][3]  # its size is known to oneDNN alone; None: no way back
            node.target = torch.ops.lightkeras.lstm.default
            node.args = (*node.args, 0 if workspace is None else workspace.numel())
        elif node.target is _BACKWARD:
            node.target = torch.ops.lightkeras.lstm_backward.default
    graph.recompile()


def _declared(kernel, name, more=""):
    """The kernel's declaration under our name, with more arguments."""
    arguments, arrow, results = str(kernel._schema).partition("(")[2].partition(") -> ")
    return f"{name}({arguments}{more}{arrow}{results}"


def _lstm(x, *given):
    with torch.set_grad_enabled(given[-1] > 0):  # else it keeps nothing for the way back
        *outputs, kept = _KERNEL(x, *given[:-1])
    return *outputs, _bytes(x, 0) if kept is None else kept


def _lstm_shapes(x, w0, w1, w2, w3, h, c, *options):
    outputs = x.new_empty((*x.shape[:2], h.shape[-1]))  # (time, batch, units)
    return outputs, h.new_empty(h.shape), c.new_empty(c.shape), _bytes(x, options[-1])


def _bytes(x, count):
    return x.new_empty((count,), dtype=torch.uint8)


def _backward_shapes(*arguments):
    return tuple(t.new_empty(t.shape) for t in arguments[:7])  # of x, four weights, h and c


_library = torch.library.Library("lightkeras", "FRAGMENT")
for _name, _kernel, _more, _run, _shapes in (
    ("lstm", _KERNEL, ", int workspace", _lstm, _lstm_shapes),
    ("lstm_backward", _BACKWARD, "", _BACKWARD, _backward_shapes),
):
    _library.define(_declared(_kernel, _name, _more))
    _library.impl(_name, _run, "CPU")
    _library.impl(_name, _shapes, "Meta")
