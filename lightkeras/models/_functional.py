"""Models as configs: graphs and stacks, in the layout of Keras's `config.json`."""

from __future__ import annotations

from collections import defaultdict

from lightkeras import _registry
from lightkeras._config import accepted
from lightkeras._graph import Function, KerasTensor, Node, apply, is_keras_tensor, nodes_between
from lightkeras._tree import flatten, map_structure
from lightkeras.layers import Layer, _table
from lightkeras.layers._shapes import as_shape
from lightkeras.layers.core import InputLayer
from lightkeras.saving import _json, _objects, _operations

__all__ = [
    "from_config",
    "from_inputs",
    "get_config",
    "model_from_json",
    "revive",
    "sequential_config",
    "sequential_from_config",
    "to_json",
]

# ---- a graph to its config --------------------------------------------------------------------


def get_config(model):
    """The layers of a graph, the calls between them, and its ends.

    Raises:
        ValueError: the graph holds an operation that Keras's files have no name for.
    """
    numbers = _own_numbers(model)
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": [_layer_config(op, numbers) for op in model.operations],
        "input_layers": map_structure(lambda t: _end(t, numbers), model.input),
        "output_layers": map_structure(lambda t: _end(t, numbers), model.output),
    }


def _own_numbers(model):
    """{id of a node of this model: its number among those of its layer in this model}."""
    own = {id(node) for node in model._plan.nodes}
    own |= {id(_node_of(t)) for t in model.inputs}
    numbers = {}
    for operation in model.operations:
        mine = [node for node in operation._inbound_nodes if id(node) in own]
        numbers.update({id(node): number for number, node in enumerate(mine)})
    return numbers


def _node_of(tensor):
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]


def _history(tensor, numbers):
    operation, _, position = tensor._keras_history
    return [operation.name, numbers[id(_node_of(tensor))], position]


def _end(tensor, numbers):
    """[layer, node, tensor] of an input or output."""
    name, number, position = _history(tensor, numbers)
    # In Keras a graph that is called in another one counts a call from when it was made.
    return [name, number + int(_is_graph(tensor._keras_history[0])), position]


def _is_graph(layer):
    return getattr(layer, "_plan", None) is not None and not hasattr(layer, "_stack")


def _layer_config(operation, numbers):
    nodes = [node for node in operation._inbound_nodes if id(node) in numbers]
    if isinstance(operation, Function):
        config, calls = _operations.to_keras(operation)
    else:
        config = _registry.serialize(operation)
        calls = [(node.args, node.kwargs) for node in nodes if node.input_tensors]
    config["name"] = operation.name
    config["inbound_nodes"] = [
        {"args": _stored(list(args), numbers), "kwargs": _stored(kwargs, numbers)}
        for args, kwargs in calls
    ]
    return config


def _stored(tree, numbers):
    """Call arguments with symbolic tensors as Keras writes them."""

    def leaf(value):
        if not is_keras_tensor(value):
            return value
        history = _history(value, numbers)
        config = {"shape": list(value.shape), "dtype": value.dtype, "keras_history": history}
        return {"class_name": "__keras_tensor__", "config": config}

    return map_structure(leaf, tree)


# ---- and back ---------------------------------------------------------------------------------


def from_config(cls, config, custom_objects=None):
    """The model of class `cls` that `get_config` described, with fresh weights.

    Raises:
        ValueError: the config is no graph: names twice, missing ends, a loop.
    """
    config = dict(config)
    layers = config.pop("layers")
    ends = config.pop("input_layers"), config.pop("output_layers")
    name, trainable = config.pop("name", None), config.pop("trainable", None)
    with _registry.custom_object_scope(custom_objects or {}):
        graph = _Graph(name, layers)
        inputs, outputs = (_from_ends(end, graph) for end in ends)
        model = cls(inputs=inputs, outputs=outputs, name=name, **config)
    _freeze(model, trainable)
    return model


def _freeze(model, trainable):
    """Take over a model's own flag; its layers have theirs in their configs."""
    model.__dict__["_trainable"] = trainable is not False


class _Graph:
    """The layers of a config, and their calls made in an order in which they can be.

    A call that needs another one waits under its name, so that every call is tried about once.
    """

    def __init__(self, name, layers):
        self.name = name
        self.layers = {}
        self.settings = {}  # name of a plain operation -> what its calls get beside their inputs
        self.nodes = defaultdict(list)  # name -> nodes of this graph
        self.waiting = defaultdict(list)  # (name, number of a node) -> layers that need it
        self.calls = {}
        for data in layers:
            self._add(data)
        for name, layer in self.layers.items():
            if isinstance(layer, InputLayer):
                self.nodes[name].append(layer._inbound_nodes[0])
        for name in self.calls:
            self._advance(name)
        stuck = [name for name, calls in self.calls.items() if calls]
        if stuck:
            raise ValueError(
                f"The graph of {self.name!r} cannot be run: the inputs of {stuck[0]!r} are never "
                f"made, nor those of {len(stuck) - 1} other layers. A graph leads from inputs to "
                "outputs without a loop. Save the model again."
            )

    def _add(self, data):
        name = data.get("name") if isinstance(data, dict) else None
        if not isinstance(name, str) or not isinstance(data.get("inbound_nodes"), list):
            raise ValueError(
                f"The graph of {self.name!r} holds a layer without a name or calls. Each has "
                "'name' and 'inbound_nodes'. Save the model again."
            )
        if name in self.layers:
            raise ValueError(
                f"The graph of {self.name!r} holds two layers named {name!r}. Names must differ. "
                "Rename one and save again."
            )
        if _operations.is_operation(data):
            self.layers[name], self.settings[name] = _operations.from_keras(data)
        else:
            self.layers[name] = _table.table().deserialize(data, build=False)
        self.calls[name] = list(reversed(data["inbound_nodes"]))

    def _advance(self, name):
        """Make the calls of a layer, and then those that waited for them."""
        todo = [name]
        while todo:
            name = todo.pop()
            calls = self.calls[name]
            while calls:
                needs = self._missing(calls[-1])
                if needs is not None:
                    self.waiting[needs].append(name)
                    break
                self._call(name, calls.pop())
                todo += self.waiting.pop((name, len(self.nodes[name]) - 1), [])

    def _missing(self, call):
        """(name, number) of the first node that a call needs and that is not there yet."""
        for name, number, _ in _histories(call):
            if name not in self.layers:
                raise ValueError(
                    f"The graph of {self.name!r} refers to the layer {name!r}, which it does not "
                    f"hold.{_registry.did_you_mean(name, self.layers)} Save the model again."
                )
            if len(self.nodes[name]) <= number:
                return name, number
        return None

    def _call(self, name, call):
        layer = self.layers[name]
        args, kwargs = (
            _objects.revive(call["args"], self.tensor),
            _objects.revive(call["kwargs"], self.tensor),
        )
        if isinstance(layer, Function):
            apply(layer, *_operations.arguments(layer, args, kwargs, self.settings[name]))
        else:
            layer(*args, **_call_arguments(layer, kwargs))
        self.nodes[name].append(layer._inbound_nodes[-1])

    def tensor(self, history):
        """The symbolic tensor that [layer, node, tensor] names."""
        name, number, position = _checked(history)
        nodes = self.nodes.get(name, ())
        if number >= len(nodes) or position >= len(nodes[number].output_tensors):
            raise ValueError(
                f"The graph of {self.name!r} refers to output {position} of call {number} of the "
                f"layer {name!r}, which does not exist. Save the model again."
            )
        return nodes[number].output_tensors[position]


def _checked(history):
    if (
        isinstance(history, (list, tuple))
        and len(history) == 3
        and isinstance(history[0], str)
        and all(type(n) is int and n >= 0 for n in history[1:])
    ):
        return history
    raise ValueError(
        "The graph refers to a tensor in a form that is not known. It is [layer, node, tensor]: a "
        "name and two numbers. Save the model again."
    )


def _histories(call):
    """[layer, node, tensor] of the symbolic tensors in a stored call."""
    if not isinstance(call, dict) or not {"args", "kwargs"} <= call.keys():
        raise ValueError(
            "The graph holds a call that is no dict of 'args' and 'kwargs': the form of Keras 2. "
            "Files of Keras 3 are read. Load it there and save it again."
        )
    todo = [call["args"], call["kwargs"]]
    while todo:
        value = todo.pop()
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            yield _checked((value.get("config") or {}).get("keras_history"))
        elif isinstance(value, (dict, list)):
            todo += value.values() if isinstance(value, dict) else value


def _call_arguments(layer, kwargs):
    """What a layer takes; Keras stores `training` and an empty `mask` with every call."""
    keep = {k: v for k, v in kwargs.items() if k != "training" and not (k == "mask" and v is None)}
    if "mask" in keep and isinstance(layer, Layer) and "mask" not in layer._call_names:
        del keep["mask"]
    return keep


def _from_ends(tree, graph):
    if isinstance(tree, dict):
        return {key: _from_ends(value, graph) for key, value in tree.items()}
    if len(tree) == 3 and isinstance(tree[0], str):
        name, number, position = _checked(tree)
        number -= int(_is_graph(graph.layers.get(name)))
        return graph.tensor([name, number, position])
    return [_from_ends(item, graph) for item in tree]


def from_inputs(inputs, outputs):
    """A graph's ends; one that starts in the middle of another gets Inputs of its own.

    The layers stay those of the other graph, their calls are noted anew.
    """
    if all(isinstance(t._keras_history[0], InputLayer) for t in flatten(inputs)):
        return inputs, outputs
    known = {id(t): _own_input(t) for t in flatten(inputs)}
    swap = lambda leaf: known.get(id(leaf), leaf)  # noqa: E731
    for node in nodes_between(flatten(inputs), flatten(outputs)):
        args, kwargs = map_structure(swap, (node.args, node.kwargs))
        copies = map_structure(_copy, node.outputs)
        Node(node.operation, args, kwargs, copies)
        known.update(
            {id(a): b for a, b in zip(flatten(node.outputs), flatten(copies), strict=True)}
        )
    return map_structure(swap, inputs), map_structure(swap, outputs)


def _own_input(tensor):
    if isinstance(tensor._keras_history[0], InputLayer):
        return tensor
    name = f"{tensor.name}CLONE"
    return InputLayer(batch_shape=tensor.shape, dtype=tensor.dtype, name=name).output


def _copy(leaf):
    if not is_keras_tensor(leaf):
        return leaf
    new, mask = KerasTensor(leaf.shape, leaf.dtype), leaf._mask_spec
    new._mask_spec = None if mask is None else KerasTensor(mask.shape, mask.dtype)
    return new


# ---- stacks -----------------------------------------------------------------------------------


def sequential_config(model):
    """The layers of a stack, the shape it is built for."""
    config = {
        "name": model.name,
        "trainable": model.trainable,
        "dtype": _registry.serialize(model.dtype_policy),
        "layers": [_registry.serialize(layer) for layer in model._stack],
    }
    if model._plan is not None:
        config["build_input_shape"] = model._stack[0].batch_shape
    return config


def sequential_from_config(cls, config, custom_objects=None):
    """The stack of class `cls` that `sequential_config` described, with fresh weights."""
    stored = config["layers"]
    with _registry.custom_object_scope(custom_objects or {}):
        model = revive(cls, {"name": config.get("name")})
        for data in stored:
            model.add(_table.table().deserialize(data, build=False))
        shape = config.get("build_input_shape")
        if not model.built and shape:
            model.build(as_shape(shape))
        for layer, data in zip(model._stack[-len(stored) :], stored, strict=True):
            if not layer.built and data.get("build_config"):
                layer.build_from_config(data["build_config"])
    _freeze(model, config.get("trainable"))
    return model


def revive(cls, config):
    """`cls(**config)`, where a constructor need not take what every layer has."""
    names, _ = accepted(cls)
    if cls.get_config.__module__.startswith("lightkeras."):  # nobody else turned objects to configs
        stored = lambda v: isinstance(v, (dict, list))  # noqa: E731
        config = {k: _objects.revive(v) if stored(v) else v for k, v in config.items()}
    late = {k: config[k] for k in ("name", "trainable", "dtype") if k in config and k not in names}
    model = cls(**{k: v for k, v in config.items() if k not in late})
    if late.get("name"):
        model.__dict__["_name"] = late["name"]
    if late.get("trainable") is False:
        model.trainable = False
    return model


# ---- JSON -------------------------------------------------------------------------------------


def to_json(model, **kwargs):
    """The architecture as JSON text; keyword arguments go to `json.dumps`."""
    return _json.text_of(_objects.serialize_keras_object(model), **kwargs)


def model_from_json(json_string, custom_objects=None):
    """The model that `to_json` described, with fresh weights.

    Args:
        json_string: The text.
        custom_objects: Classes and functions of one's own, by name.

    Raises:
        LoadError: the text is no model, or names a class that is not known.

    >>> from lightkeras import layers, models
    >>> model = models.Sequential([layers.Input((4,)), layers.Dense(2)])
    >>> model_from_json(model.to_json()).output_shape
    (None, 2)
    """
    return _objects.model_from(
        _json.parse(json_string, "The text"), custom_objects, where="The text"
    )
