"""`model.summary()`: the table of layers as Keras prints it, drawn without further packages."""

from __future__ import annotations

import math
import re
import shutil
import sys
from itertools import pairwise

import torch

from lightkeras._graph import Function, nodes_between
from lightkeras._progress import write
from lightkeras._registry import did_you_mean, to_snake
from lightkeras._tree import flatten

__all__ = ["summary"]

_COLUMNS = [("Layer (type)", "<"), ("Output Shape", "<"), ("Param #", ">")]
_POSITIONS = [0.45, 0.80, 1.0]
_GRAPH_POSITIONS = [0.3, 0.56, 0.74, 1.0]
_BOLD, _END = "\33[1m", "\33[0m"
_NUMBER, _NONE, _CLASS, _FROZEN = (f"\33[38;5;{color}m" for color in (34, 45, 33, 9))


def summary(
    model,
    line_length=None,
    positions=None,
    print_fn=None,
    expand_nested=False,
    show_trainable=False,
    layer_range=None,
):
    """Print a model's layers, output shapes and numbers of parameters.

    Args:
        model: A model.
        line_length: Width of the table; by default as wide as is good, within the terminal.
        positions: Where each column ends, as fractions of the width.
        print_fn: Takes the whole text, in place of printing it.
        expand_nested: Whether the layers of models in the model are listed too.
        show_trainable: Whether there is a column that says which layers are trained.
        layer_range: Names (or regular expressions) of the first and the last layer listed.

    Raises:
        ValueError: no layer is called as `layer_range` says, or a column has no room.
    """
    if not (print_fn is None or callable(print_fn)):
        raise TypeError(
            f"summary(print_fn=) got {type(print_fn).__name__}. A function of a text is accepted. "
            "Type print_fn=print, or leave it out."
        )
    nodes = _nodes(model)
    graph = _is_graph(nodes)
    columns = _COLUMNS + [("Connected to", "<")] * graph + [("Trainable", "^")] * show_trainable
    length, positions = _layout(line_length, positions, graph, show_trainable)
    widths = _widths(length, positions)

    rows = []
    for layer, level in _walk(_within(_operations(model, nodes), layer_range), expand_nested):
        row = [_title(layer, level), _output_shape(layer), _parameters(layer)]
        if graph:
            row.append(_connections(layer, nodes))
        if show_trainable:
            row.append(_trainable(layer))
        rows.append(row)

    painted = print_fn is None and hasattr(sys.stdout, "isatty") and sys.stdout.isatty()
    lines = [_bold(f'Model: "{model.name}"', painted), *_table(columns, rows, widths, painted)]
    lines += _totals(model, painted)
    if not model.built:
        lines.append(" Not built yet: start with Input(shape), or call build(input_shape).")
    (print_fn or write)("\n".join(lines) + "\n")


# ---- what stands in the rows ------------------------------------------------------------------


def _nodes(model):
    """Calls of layers inside a functional model, those of its inputs first; else an empty list."""
    inputs = flatten(getattr(model, "inputs", None) or [])
    if not inputs:
        return []
    sources = [t._keras_history[0]._inbound_nodes[t._keras_history[1]] for t in inputs]
    return sources + nodes_between(inputs, flatten(model.outputs))


def _is_graph(nodes):
    """Whether something branches, joins or is called twice, so that arrows have to be told."""
    parents = [[id(t) for t in node.input_tensors] for node in nodes]
    operations = {id(node.operation) for node in nodes}
    joins = any(len(p) > 1 for p in parents) or sum(not p for p in parents) > 1
    flat = [p for several in parents for p in several]
    return joins or len(set(flat)) < len(flat) or len(operations) < len(nodes)


def _operations(model, nodes):
    """The layers, and among them the plain functions of a graph."""
    layers = list(model.layers)
    everything = getattr(model, "operations", layers) if nodes else layers
    return [op for op in everything if op in layers or not isinstance(op, torch.nn.Module)]


def _walk(layers, expand_nested, level=0):
    for layer in layers:
        yield layer, level
        if expand_nested:
            yield from _walk(getattr(layer, "layers", None) or [], True, level + 1)


def _title(layer, level):
    return f"{'   ' * level}{'└ ' if level else ''}{_name(layer)} ({_class_name(layer)})"


def _name(layer):
    return getattr(layer, "name", None) or to_snake(type(layer).__name__)


def _class_name(layer):
    if isinstance(layer, Function):
        return layer.class_name
    name = type(layer).__name__
    return "Functional" if name == "Model" and getattr(layer, "inputs", None) else name


def _output_shape(layer):
    nodes = getattr(layer, "_inbound_nodes", None)
    if nodes:
        shapes = [t.shape for t in nodes[-1].output_tensors]
    else:
        shapes = _shapes_when_built(layer)
    texts = [f"({', '.join(map(str, shape))})" for shape in shapes]
    if len(texts) > 1:
        return f"[{', '.join(texts)}]"
    return texts[0] if texts else "?"


def _shapes_when_built(layer):
    """Output shapes for the inputs that a layer outside any graph was built with."""
    inputs = getattr(layer, "_build_shapes", None)
    if not inputs:
        return []
    try:
        shapes = layer.compute_output_shape(*inputs.values())
    except Exception:  # code of the user's that runs on real numbers only: the shape stays unknown
        return []
    return [shapes] if all(n is None or isinstance(n, int) for n in shapes) else list(shapes)


def _parameters(layer):
    if not getattr(layer, "built", True):
        return "0 (unbuilt)"
    if hasattr(layer, "count_params"):
        return f"{layer.count_params():,}"
    return f"{sum(p.numel() for p in layer.parameters()):,}"  # a torch module as it is


def _connections(layer, nodes):
    """`name[call][output]` of every tensor that the layer takes in this model."""
    inside = {id(node) for node in nodes}
    sources = [
        f"{source.name}[{call}][{output}]"
        for node in getattr(layer, "_inbound_nodes", ())
        if id(node) in inside
        for source, call, output in (t._keras_history for t in node.input_tensors)
    ]
    return ", ".join(sources) or "-"


def _trainable(layer):
    if isinstance(layer, torch.nn.Module) and not hasattr(layer, "trainable"):
        weights = list(layer.parameters())
        trainable = any(w.requires_grad for w in weights)
    else:
        weights, trainable = getattr(layer, "weights", None), getattr(layer, "trainable", None)
    if not weights:
        return "-"
    return "Y" if trainable else "N"


def _within(layers, names):
    """The layers from the first to the second of `names`."""
    if names is None:
        return layers
    if len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"layer_range is {names!r}. Two strings are accepted, the names of the first and of "
            'the last layer. Type layer_range=("first", "last").'
        )
    first, last = ([i for i, x in enumerate(layers) if re.match(n, _name(x))] for n in names)
    for name, found in ((names[0], first), (names[1], last)):
        if not found:
            known = [_name(layer) for layer in layers]
            raise ValueError(
                f"No layer is called {name!r}, which layer_range asks for."
                f"{did_you_mean(name, known)} The layers are {', '.join(known[:20])}."
            )
    if min(first) > max(last):
        first, last = last, first
    return layers[min(first) : max(last) + 1]


def _totals(model, painted):
    groups = {
        "Trainable params": model.trainable_weights,
        "Non-trainable params": model.non_trainable_weights,
    }
    if getattr(model, "compiled", False) and getattr(model.optimizer, "built", False):
        numbers = model.optimizer.variables  # step count and rate may be plain numbers
        groups["Optimizer params"] = [w if hasattr(w, "shape") else w.numpy() for w in numbers]
    groups = {"Total params": [w for group in groups.values() for w in group], **groups}
    for label, weights in groups.items():
        count = f"{sum(math.prod(w.shape) for w in weights):,}"
        size = _readable(sum(_size(w) for w in {id(w): w for w in weights}.values()))
        yield f"{_bold(f' {label}: ', painted)}{_paint(count, 2, painted)} ({size})"


def _size(weight):
    dtype = weight.dtype
    if not isinstance(dtype, torch.dtype):
        dtype = getattr(torch, str(dtype))
    return math.prod(weight.shape) * dtype.itemsize


def _readable(size):
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} PB"


# ---- the drawing ------------------------------------------------------------------------------


def _layout(line_length, positions, graph, show_trainable):
    """Width of the table, and the fractions of it at which the columns end."""
    usual = _GRAPH_POSITIONS if graph else _POSITIONS
    positions = list(positions or usual)
    if len(positions) != len(usual) or not hasattr(line_length or 0, "__index__"):
        raise ValueError(
            f"summary(line_length={line_length!r}, positions={positions}) does not fit a table of "
            f"{len(usual)} columns. A number of characters is accepted, and for each column the "
            f"fraction of the width where it ends. Type positions={list(usual)}."
        )
    if show_trainable:
        positions = [0.9 * p for p in positions] + [1.0]
    widest = (108 if graph else 88) + 12 * show_trainable
    return line_length or min(widest, shutil.get_terminal_size().columns - 4), positions


def _widths(length, positions):
    """Width of each column's text.

    Keras gives `positions` to columns that then make room, evenly, for the frame.
    """
    ends = [0] + [int(p * length) for p in positions]
    widths = [end - begin for begin, end in pairwise(ends)]
    if min(widths) < 4:
        raise ValueError(
            f"A column of the summary has no room: positions {positions} of {length} characters. "
            "Each column needs four. Make line_length larger."
        )
    widths = [width + 2 for width in widths]  # a space on either side
    excess = sum(widths) + len(widths) + 1 - length
    # Room is taken from all alike, and given in proportion.
    shares = [1] * len(widths) if excess > 0 else list(widths)
    for i, share in enumerate(shares):
        part = share * excess / sum(shares[i:])
        part = round(part) if excess > 0 else math.floor(part)
        widths[i] -= part
        excess -= part
    return [width - 2 for width in widths]


def _wrap(text, width):
    """Lines of at most `width`, broken at spaces; what is still too long ends in an ellipsis."""
    lines = [""]
    for word in re.findall(r"\s*\S+\s*", text):
        if lines[-1] and len(lines[-1]) + len(word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    lines = [line.rstrip() for line in lines]
    return [line if len(line) <= width else line[: width - 1] + "…" for line in lines]


def _row(cells, widths, aligns, bar, paint, bottom=False):
    """Lines of one row; `paint(text, column)` colours a cell's line."""
    wrapped = [_wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
    height = max(map(len, wrapped))
    for lines in wrapped:
        blank = [""] * (height - len(lines))
        lines[:] = blank + lines if bottom else lines + blank
    for parts in zip(*wrapped, strict=True):
        texts = [
            paint(f"{text:{align}{width}}", i)
            for i, (text, align, width) in enumerate(zip(parts, aligns, widths, strict=True))
        ]
        yield f"{bar} " + f" {bar} ".join(texts) + f" {bar}"


def _table(columns, rows, widths, painted):
    titles, aligns = zip(*columns, strict=True)

    def rule(left, line, cross, right):
        return left + cross.join(line * (width + 2) for width in widths) + right

    def paint(text, column):
        return _paint(text, column, painted)

    yield rule(*"┏━┳┓")
    yield from _row(titles, widths, aligns, "┃", lambda t, _: _bold(t, painted), bottom=True)
    yield rule(*"┡━╇┩")
    for i, row in enumerate(rows):
        if i:
            yield rule(*"├─┼┤")
        yield from _row(row, widths, aligns, "│", paint)
    yield rule(*"└─┴┘")


def _bold(text, painted):
    return f"{_BOLD}{text}{_END}" if painted else text


def _paint(text, column, painted):
    """Numbers, None and class names in their colours."""
    if not painted:
        return text
    if column == 0:
        return re.sub(r"(?<=\()[^)…]+", lambda m: f"{_CLASS}{m[0]}{_END}", text)
    return re.sub(r"\bNone\b|(?<!\w)(\d[\d,]*|[YN])\b", _colour, text)


def _colour(match):
    word = match[0]
    return {"None": _NONE, "N": _BOLD + _FROZEN}.get(word, _NUMBER) + word + _END
