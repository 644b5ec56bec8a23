"""Operations that compiled steps on a CPU take in another way than torch's compiler would.

It takes every operation apart, which is a loss where a kernel does more at once. An LSTM of oneDNN
is one operation forth and one back; apart it is a dozen for each step of time, which compile for
minutes and run slower. The gradient of max pooling becomes additions in random places, ten times
slower than torch's kernel. So these stand in the graph under names of ours, which the compiler
calls and does not look into.

Where windows do not overlap, the gradients of max pooling and of enlarging are instead written as
what each pixel's is, so that they are computed in one pass with what is around them.
"""

from __future__ import annotations

import functools

import torch

__all__ = ["REWRITTEN", "keep_fused"]

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
    _compute_once(graph.graph)
    graph.recompile()


def _first(value):
    return value[0] if isinstance(value, (list, tuple)) else value


def _compute_once(graph):
    """Have numbers computed before the loops over weights that use them.

    The compiler would compute them again for every 16 weights, such as Adam's corrections with two
    powers. It does not look through a maximum of so many equal numbers.
    """
    for node in [n for n in graph.nodes if _is_number(n)]:
        loops = [user for user in node.users if not _is_number(user) and user.op != "output"]
        if not loops or _may_change(node):
            continue
        with graph.inserting_after(node):
            row = graph.call_function(_aten.expand.default, (node, [16]))
        with graph.inserting_after(row):
            held = graph.call_function(_aten.amax.default, (row, [0]))
        for user in loops:
            user.replace_input_with(node, held)


def _is_number(node):
    value = node.meta.get("val")
    known = isinstance(value, torch.Tensor) and node.op == "call_function"
    return known and value.ndim == 0 and value.dtype == torch.float64 and value.device.type == "cpu"


def _may_change(node):
    """Whether a value is that of another tensor, or a view of it is taken or changed in place."""
    later = [user for user in node.users if user.args[:1] == (node,)]
    return any(_shares_memory(n) for n in (node, *later))


def _shares_memory(node):
    """Whether an operation returns its first argument, or a view of it."""
    returns = getattr(getattr(node.target, "_schema", None), "returns", ())
    return any(value.alias_info is not None for value in returns)


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
_keep("embedding_backward", _aten.embedding_dense_backward.default)
for _name, _kernel in _POOLING.items():
    _keep(_name, _kernel)


# ---- windows that do not overlap ---------------------------------------------------------------


def _pooling_backward(grad, x, kernel, stride, padding, dilation, ceil_mode, indices):
    window = _apart(x, kernel, stride, padding, dilation)
    if window is None:
        return NotImplemented
    here = torch.arange(x.shape[-2] * x.shape[-1]).view(x.shape[-2:])
    return torch.where(_spread(indices, x, window) == here, _spread(grad, x, window), 0.0)


def _enlarging_backward(grad, output_size, input_size, scales_h=None, scales_w=None):
    window = [out // size for out, size in zip(output_size, input_size[-2:], strict=True)]
    whole = [size * times for size, times in zip(input_size[-2:], window, strict=True)]
    if whole != list(output_size) or _apart(grad, window) is None:
        return NotImplemented
    height, width = window
    parts = [grad[..., i::height, j::width] for i in range(height) for j in range(width)]
    return functools.reduce(torch.add, parts)  # in the order in which the kernel adds


def _apart(x, kernel, stride=(), padding=0, dilation=1):
    """Height and width of small windows that tile images on a CPU; None where they do not."""
    window = _pair(kernel)
    if x.ndim != 4 or x.device.type != "cpu" or not 0 < window[0] * window[1] <= 9:
        return None
    alone = _pair(stride or window) == window and _pair(padding) == [0, 0]
    whole = x.shape[-2] % window[0] == 0 == x.shape[-1] % window[1]
    return window if alone and whole and _pair(dilation) == [1, 1] else None


def _spread(t, x, window):
    """Each value of `t` at all places of its window, in the shape and the layout of `x`."""
    last = x.is_contiguous(memory_format=torch.channels_last)
    t = t.movedim(1, -1) if last else t.unsqueeze(-1)  # (n, h, w, c) or (n, c, h, w, 1)
    *start, h, w, c = t.shape
    t = t[..., None, :, None, :].expand(*start, h, window[0], w, window[1], c)
    t = t.reshape(*start, h * window[0], w * window[1], c)
    return t.movedim(-1, 1) if last else t.squeeze(-1)


def _pair(value):
    value = [value] if isinstance(value, int) else list(value)
    return value * 2 if len(value) == 1 else value


REWRITTEN = {
    _aten.max_pool2d_with_indices_backward.default: _pooling_backward,
    _aten._upsample_nearest_exact2d_backward.default: _enlarging_backward,
}
