"""Where each variable of a model lies in a Keras weights file.

`layers/dense_1/vars/0` is the first variable of the second Dense in a model's list of layers.
The place follows from the model's form alone, never from automatic names, so that a file fits
any other model of the same form.
"""

from __future__ import annotations

import torch

from lightkeras._registry import to_snake
from lightkeras.layers import Layer, TorchModuleWrapper

__all__ = ["Entry", "entries", "own_variables"]


class Entry:
    """One layer (or torch module) and its variables.

    Args:
        path: Its group in the file, "" for the model.
        owner: The layer.
        name: Shown in the file.
    """

    def __init__(self, path, owner, name):
        self.path, self.owner, self.name = path, owner, name

    @property
    def group(self):
        """Where the variables are."""
        return f"{self.path}/vars" if self.path else "vars"

    @property
    def by_hand(self):
        """Whether the class writes or reads its variables itself."""
        cls = type(self.owner)
        return isinstance(self.owner, Layer) and (
            cls.save_own_variables is not Layer.save_own_variables
            or cls.load_own_variables is not Layer.load_own_variables
        )


def entries(model, skip=()):
    """The layers of a model in the order of Keras's walk, each once."""
    seen = {id(layer) for layer in skip}
    found = []
    _visit(model, "", seen, found)
    return found


def own_variables(owner):
    """{key in the file: weight or tensor} of a layer's own variables, not those of layers in it."""
    if not isinstance(owner, Layer):
        return dict(owner.state_dict(keep_vars=True))
    if isinstance(owner, TorchModuleWrapper):
        return dict(owner.module.state_dict(keep_vars=True))
    return {str(number): weight for number, weight in enumerate(owner._own_weights())}


def _visit(owner, path, seen, found):
    if id(owner) in seen:
        return
    seen.add(id(owner))
    name = getattr(owner, "name", None) or to_snake(type(owner).__name__)
    found.append(Entry(path, owner, str(name)))
    if getattr(type(owner), "cell_class", None) is not None:  # Keras keeps them in its cell
        found[-1] = Entry(_join(path, "cell"), owner, to_snake(owner.cell_class.__name__))
    if isinstance(owner, TorchModuleWrapper) or not isinstance(owner, Layer):
        return
    for attribute, child in _children(owner):
        if isinstance(child, torch.nn.Module):
            _visit(child, _join(path, attribute), seen, found)
        else:
            _visit_all(child, _join(path, attribute), seen, found, set())


def _visit_all(container, path, seen, found, outer):
    """Layers in a list, tuple or dict, numbered by class: dense, dense_1..."""
    if id(container) in outer:
        return
    outer = outer | {id(container)}
    counts: dict = {}
    for item in list(container.values()) if isinstance(container, dict) else container:
        if isinstance(item, torch.nn.Module):
            _visit(item, _join(path, _numbered(_class_name(item), counts)), seen, found)
        elif isinstance(item, (list, tuple, dict)):
            _visit_all(item, _join(path, _numbered("container", counts)), seen, found, outer)


def _children(owner):
    """(attribute, layer or container) in Keras's order: by name, private names last."""
    graph_keys = getattr(owner, "_graph_keys", ())
    if hasattr(owner, "_plan") and (owner._plan is not None or hasattr(owner, "_stack")):
        yield "layers", owner.layers
    names = {key for key in owner._modules if key not in graph_keys}
    if hasattr(owner, "_plan"):
        names.add("layers")
    names |= set(_own_properties(type(owner)))
    for name in sorted(names, key=lambda n: f"~{n}" if n.startswith("_") else n):
        try:
            child = getattr(owner, name)
        except Exception:  # a property of the user's that cannot be read now
            continue
        if isinstance(child, (torch.nn.Module, list, tuple, dict)):
            yield name, child


def _own_properties(cls):
    """Properties of classes that are not ours; Keras looks behind them, too."""
    for klass in cls.__mro__:
        if not klass.__module__.startswith(("lightkeras.", "torch.", "builtins")):
            yield from (name for name, value in vars(klass).items() if isinstance(value, property))


def _class_name(layer):
    if not isinstance(layer, Layer):
        return "torch_module_wrapper"
    known = getattr(layer, "_keras_class", None)
    return to_snake(known[1] if known else type(layer).__name__)


def _numbered(name, counts):
    counts[name] = counts.get(name, -1) + 1
    return f"{name}_{counts[name]}" if counts[name] else name


def _join(path, name):
    return f"{path}/{name}" if path else name
