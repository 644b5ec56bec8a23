"""What a picture of a model shows: boxes for layers, and the edges between them."""

from __future__ import annotations

import itertools

from lightkeras import _summary
from lightkeras._tree import flatten

__all__ = ["Box", "Diagram", "diagram_of"]


class Box:
    """One layer.

    Args:
        title: Name and class.
        rows: Lists of (label, value), each list a row of cells below the title.
        inside: The diagram of a model in the model, or None.
    """

    def __init__(self, title, rows, inside=None):
        self.title, self.rows, self.inside = title, rows, inside


class Diagram:
    """Boxes in the order of a model's layers, and edges between them as pairs of places."""

    def __init__(self, boxes, edges):
        self.boxes, self.edges = boxes, edges


def diagram_of(model, shown, nested):
    """The diagram of a model.

    Args:
        model: A built model.
        shown: Names of what is shown: "names", "shapes", "dtypes", "activations", "trainable".
        nested: Whether models in the model are opened.
    """
    layers, pairs = _graph(model)
    boxes = [_box(layer, shown, nested) for layer in layers]
    place = {id(layer): number for number, layer in enumerate(layers)}
    edges = [(place[id(a)], place[id(b)]) for a, b in pairs if id(a) in place and id(b) in place]
    return Diagram(boxes, list(dict.fromkeys(edges)))


def _graph(model):
    """(operations, pairs of operations of which the second takes an output of the first)."""
    if hasattr(model, "_stack"):
        layers = list(model.layers)
        return layers, list(itertools.pairwise(layers))
    nodes = _summary._nodes(model)
    if not nodes:
        return [model], []
    pairs = [(t._keras_history[0], node.operation) for node in nodes for t in node.input_tensors]
    return _summary._operations(model, nodes), pairs


def _box(layer, shown, nested):
    name, kind = _summary._name(layer), _summary._class_name(layer)
    title = f"{name} ({kind})" if "names" in shown else kind
    rows = []
    activation = getattr(layer, "activation", None)
    if "activations" in shown and activation is not None:
        rows.append([("Activation", _called(activation))])
    cells = []
    if "shapes" in shown:
        cells += [
            ("Input shape", _sizes(layer, "input")),
            ("Output shape", _sizes(layer, "output")),
        ]
    if "dtypes" in shown:
        cells.append(("Output dtype", _told(layer, "output", lambda t: str(t.dtype))))
    if "trainable" in shown and hasattr(layer, "trainable"):
        cells.append(("Trainable", str(bool(layer.trainable))))
    rows += [cells] if cells else []
    inside = None
    if nested and getattr(layer, "layers", None) and _graph(layer)[0] != [layer]:
        inside = diagram_of(layer, shown, nested)
    return Box(title, rows, inside)


def _called(activation):
    return getattr(activation, "name", None) or getattr(activation, "__name__", str(activation))


def _sizes(layer, end):
    return _told(layer, end, lambda t: str(tuple(t.shape)))


def _told(layer, end, say):
    """What is said of a layer's symbolic inputs or outputs; "?" where it has none."""
    nodes = getattr(layer, "_inbound_nodes", None)
    if not nodes:
        return "?"
    tensors = nodes[0].input_tensors if end == "input" else flatten(nodes[0].outputs)
    return ", ".join(say(t) for t in tensors or flatten(nodes[0].outputs))
