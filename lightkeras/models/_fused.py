"""Kernels that compiled steps on a CPU keep as they are.

torch's compiler takes every operation apart, which is a loss where a kernel does more at once. An
LSTM of oneDNN is one operation forth and one back; apart it is a dozen for each step of time, which
compile for minutes and run slower. The gradient of max pooling becomes additions in random places,
ten times slower than torch's kernel. So these stand in the graph under names of ours, which the
compiler calls and does not look into.
"""

from __future__ import annotations

import torch

__all__ = ["keep_fused"]

_aten = torch.ops.aten
_LSTM, _LSTM_BACKWARD = _aten.mkldnn_rnn_layer.default, _aten.mkldnn_rnn_layer_backward.default
_POOLING = {
    f"max_pool{rank}d{way}": getattr(_aten, f"max_pool{rank}d_with_indices{way}").default
    for rank in (2, 3)
    for way in ("", "_backward")
}


def keep_fused(graph):
    """Put the operations of ours in the place of torch's, in a recorded graph."""
    for node in graph.graph.nodes:
        ours = _OURS.get(node.target)
        if ours is None or _first(node.meta["val"]).device.type != "cpu":
            continue
        if node.target is _LSTM:
            workspace = node.meta["val"][3]  # its size is known to oneDNN alone; None: no way back
            node.args = (*node.args, 0 if workspace is None else workspace.numel())
        node.target = ours
    graph.recompile()


def _first(value):
    return value[0] if isinstance(value, (list, tuple)) else value


# ---- how they run, and the shapes they give ------------------------------------------------------


def _lstm(x, *given):
    with torch.set_grad_enabled(given[-1] > 0):  # else it keeps nothing for the way back
        *outputs, kept = _LSTM(x, *given[:-1])
    return *outputs, _bytes(x, 0) if kept is None else kept


def _lstm_shapes(x, w0, w1, w2, w3, h, c, *options):
    outputs = x.new_empty((*x.shape[:2], h.shape[-1]))  # (time, batch, units)
    return outputs, h.new_empty(h.shape), c.new_empty(c.shape), _bytes(x, options[-1])


def _bytes(x, count):
    return x.new_empty((count,), dtype=torch.uint8)


def _lstm_backward_shapes(*arguments):
    return tuple(t.new_empty(t.shape) for t in arguments[:7])  # of x, four weights, h and c


# ---- their names ---------------------------------------------------------------------------------

_library = torch.library.Library("lightkeras", "FRAGMENT")
_OURS = {}


def _keep(name, kernel, run=None, shapes=None, more=""):
    """Declare a kernel under a name of ours, with more arguments."""
    arguments, arrow, results = str(kernel._schema).partition("(")[2].rpartition(") -> ")
    _library.define(f"{name}({arguments}{more}{arrow}{results}")
    _library.impl(name, run or kernel, "CPU")
    _library.impl(name, shapes or kernel, "Meta")
    _OURS[kernel] = getattr(torch.ops.lightkeras, name).default


_keep("lstm", _LSTM, _lstm, _lstm_shapes, ", int workspace")
_keep("lstm_backward", _LSTM_BACKWARD, None, _lstm_backward_shapes)
for _name, _kernel in _POOLING.items():
    _keep(_name, _kernel)
