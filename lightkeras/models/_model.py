"""`Model`: a layer that can be trained, saved and looked at. Functional or subclassed."""

from __future__ import annotations

import re
import warnings

import torch

from lightkeras import saving
from lightkeras._graph import KerasTensor, Plan, is_keras_tensor, output_spec
from lightkeras._registry import did_you_mean, to_snake, unique_name
from lightkeras._tree import flatten, keys, pack
from lightkeras.layers import Layer
from lightkeras.layers._shapes import as_shape, shapes_to_specs
from lightkeras.layers._weights import Weighted, named, pending
from lightkeras.layers.core import InputLayer
from lightkeras.models import _compiling, _functional
from lightkeras.models._older import Older
from lightkeras.models._open import Open
from lightkeras.models._trainable import Trainable

__all__ = ["Model"]


class LossEnd(Layer):
    """Where a symbolic loss of `Model.add_loss` leaves the graph."""

    def call(self, loss):
        self.add_loss(loss)
        return loss


class Model(Older, Trainable):
    """A layer with `compile`, `fit`, `evaluate`, `predict`, `summary` and `save`.

    `Model(inputs, outputs)` is the graph between symbolic tensors; a subclass defines `call`
    instead, or builds a graph itself and passes it to `super().__init__(inputs, outputs)`.

    Args:
        inputs, outputs: Symbolic tensors, or lists or dicts of them.
        name: Name of the model.
        trainable: Whether gradients reach the weights.
        dtype: Name or policy of the dtype.

    Raises:
        ValueError: the outputs cannot be reached from the inputs.

    >>> from lightkeras import layers
    >>> x = layers.Input((4,))
    >>> model = Model(x, layers.Dense(2)(x))
    >>> model.output_shape, model.count_params()
    ((None, 2), 10)
    """

    def __init__(self, inputs=None, outputs=None, name=None, trainable=True, dtype=None, **kwargs):
        functional = inputs is not None or outputs is not None
        if name is None and type(self) is Model and functional:
            name = unique_name("functional")
        super().__init__(name=name, trainable=trainable, dtype=dtype, **kwargs)
        state = self.__dict__
        state["_plan"] = None
        state["_graph_keys"] = []  # submodules that came with the graph, not as attributes
        state["stop_training"] = False
        if functional:
            _check_ends(inputs, outputs)
            self._set_plan(*_functional.from_inputs(inputs, outputs))
            state["built"] = True
            self._reset_direct()
            if not trainable:
                self.trainable = False

    # ---- the graph ----------------------------------------------------------------------------

    def _set_plan(self, inputs, outputs):
        """Take the graph between these ends as the model's computation."""
        plan, ends = Plan(inputs, outputs), self.__dict__.get("_loss_ends", ())
        self.__dict__["_operations"] = operations = _ordered_operations(plan)
        losses: dict = {}
        if ends:  # what only they depend on is no part of the model that is shown and stored
            plan = Plan(inputs, outputs, ends)
            losses = {n.operation: None for n in plan.nodes if n.operation not in operations}
        self.__dict__["_plan"] = plan
        for key in self.__dict__.get("_graph_keys", ()):
            self._modules.pop(key, None)
        self.__dict__["_graph_keys"] = []
        modules = [op for op in (*operations, *losses) if isinstance(op, torch.nn.Module)]
        self._register(modules)
        names = [op.name for op in self._operations]
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise ValueError(
                f"The name {twice.pop()!r} is used by two layers of the model {self.name!r}. Names "
                "of the "
                "layers of one model must differ. Pass name= to one of them."
            )

    def add_loss(self, loss):
        """Add to the loss: values in `call`, or symbolic tensors of the graph of a model.

        A loss of the graph belongs to the model object: files do not hold it.
        """
        for value in loss if isinstance(loss, (list, tuple)) else [loss]:
            if not is_keras_tensor(value):
                super().add_loss(value)
                continue
            if self._plan is None:
                raise ValueError(
                    f"add_loss() of {self.name!r} got a symbolic tensor, and the model has no "
                    "graph. It belongs to Model(inputs, outputs). In a class, call "
                    "self.add_loss(value) in call()."
                )
            ends = self.__dict__.setdefault("_loss_ends", [])
            ends.append(LossEnd()(value))
            self._set_plan(self._plan.inputs, self._plan.outputs)

    def _register(self, layers):
        """Make `layers` torch submodules, under names that do not depend on other models."""
        for layer in layers:
            if isinstance(layer, InputLayer):
                continue
            kind = to_snake((getattr(layer, "_keras_class", None) or (type(layer).__name__,))[-1])
            automatic = re.fullmatch(rf"{kind}(_\d+)?", layer.name)  # also after a file gave it
            base = kind if automatic else layer.name
            key, n = base.replace(".", "_"), 1
            while key in self._modules:
                key, n = f"{base}_{n}".replace(".", "_"), n + 1
            self._modules[key] = layer
            self._graph_keys.append(key)

    def __call__(self, *args, **kwargs):
        if Layer._in_model:
            return super().__call__(*args, **kwargs)
        if pending:  # a new call of the outermost model forgets the losses of the last one
            self.clear_losses()
        Weighted._in_model = True
        try:
            return super().__call__(*args, **kwargs)
        finally:
            Weighted._in_model = False

    _builds_by_running = True
    _remat_whole = False
    _takes_text = True

    def _compute(self, args, kwargs):
        if self._plan is not None:  # each of its layers follows its own dtype policy
            return self._call_impl(*args, **kwargs)
        return super()._compute(args, kwargs)

    def _cast(self, outputs):
        return outputs  # in the dtype of the last layer

    def call(self, inputs, training=None, mask=None):
        """Outputs for `inputs`; a subclass that is no graph defines it."""
        plan = self._plan
        if plan is None:
            raise TypeError(
                f"{type(self).__name__} has no call() and was given no graph. A model computes in "
                "call(self, inputs), or gets super().__init__(inputs, outputs). Add one of them."
            )
        if type(inputs) is torch.Tensor and [inputs.ndim] == plan.ranks:
            return plan.run((inputs,))
        return plan.run(self._leaves(inputs))

    def _leaves(self, inputs):
        """Tensors in the order of the plan's inputs, for a list, a dict by name, or one tensor.

        A last axis of size 1 is added or dropped where that gives the rank of the input.
        """
        leaves = self._ordered(inputs)
        return [_ranked(leaf, t.shape) for leaf, t in zip(leaves, self.inputs, strict=True)]

    def _ordered(self, inputs):
        plan = self._plan
        if isinstance(inputs, dict):
            keys = sorted(plan.inputs) if isinstance(plan.inputs, dict) else plan.input_names
            if all(k in inputs for k in keys):
                return [inputs[k] for k in keys]
            missing = [k for k in keys if k not in inputs]
            raise ValueError(
                f"{self.name!r} got a dict without the input {missing[0]!r}."
                f"{did_you_mean(missing[0], inputs)} Its inputs are: {', '.join(keys)}. Use these "
                "as keys."
            )
        leaves = flatten(inputs)
        if len(leaves) != len(plan.input_names):
            raise ValueError(
                f"{self.name!r} has {len(plan.input_names)} inputs "
                f"({', '.join(plan.input_names)}), "
                f"got {len(leaves)}. Pass a list with one array for each, or a dict by name."
            )
        return leaves

    def compute_output_spec(self, *args, **kwargs):
        if (
            self._plan is not None
            and type(self).call is Model.call
            and _same_shapes(args, self.inputs)
        ):
            spec = [KerasTensor(t.shape, t.dtype) for t in flatten(self._plan.outputs)]
            return pack(self._plan.outputs, spec)
        return super().compute_output_spec(*args, **kwargs)

    def build(self, input_shape=None):
        """Make the weights for inputs of this shape (the batch included)."""
        if self._plan is None:
            Layer.build(self, _as_batch(input_shape))

    # ---- looking at it ------------------------------------------------------------------------

    @Open
    def inputs(self):
        """Symbolic inputs, as a list; None for a model without a graph."""
        return None if self._plan is None else flatten(self._plan.inputs)

    @Open
    def outputs(self):
        """Symbolic outputs, as a list; None for a model without a graph."""
        return None if self._plan is None else flatten(self._plan.outputs)

    @property
    def input(self):
        """Symbolic input (or the tree of them)."""
        return self._ends().inputs

    @property
    def output(self):
        """Symbolic output (or the tree of them)."""
        return self._ends().outputs

    def _ends(self):
        if self._plan is None:
            raise AttributeError(
                f"{self.name!r} has no symbolic ends: its shape is not known. A graph needs an "
                "Input. "
                "Start with Input(shape), or call build(input_shape) on a Sequential."
            )
        return self._plan

    @Open
    def input_shape(self):
        """Shape of the input, the batch first (a list of shapes for several)."""
        return _shapes(self.input)

    @Open
    def output_shape(self):
        """Shape of the output, the batch first (a list of shapes for several)."""
        return _shapes(self.output)

    @Open
    def input_names(self):
        """Names of the inputs."""
        return [] if self._plan is None else list(self._plan.input_names)

    @Open
    def output_names(self):
        """Names of the layers that give the outputs."""
        return [t._keras_history[0].name for t in self.outputs or []]

    @property
    def _output_keys(self):
        """What the logs call the outputs: by a plain dict's keys, or by layers, each once."""
        if self._plan is None:
            return []
        outputs = self._plan.outputs
        if isinstance(outputs, dict) and len(outputs) == len(flatten(outputs)):
            return keys(outputs)
        names = []
        for tensor in flatten(outputs):
            name, n = tensor._keras_history[0].name, 1
            while name in names:
                name, n = f"{tensor._keras_history[0].name}_{n}", n + 1
            names.append(name)
        return names

    @Open
    def operations(self):
        """Layers and plain functions of the graph, inputs first."""
        return list(self._operations) if self._plan is not None else list(self.layers)

    @property
    def layers(self):
        """Layers directly in the model."""
        if self._plan is not None:
            return [op for op in self._operations if isinstance(op, Layer)]
        return [m for m in self._layers if isinstance(m, torch.nn.Module)]

    def get_layer(self, name=None, index=None):
        """The layer of this name, or at this place.

        Raises:
            ValueError: there is none.
        """
        layers = self.layers
        if (name is None) == (index is None):
            raise ValueError(
                f"get_layer(name={name!r}, index={index!r}) on {self.name!r}. One of both says "
                "which layer is meant. Type get_layer('dense') or get_layer(index=0)."
            )
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(
                    f"{self.name!r} has no layer {index}: it has {len(layers)}. Indices run from 0 "
                    "to "
                    f"{len(layers) - 1}. Use one of them, or a name."
                )
            return layers[index]
        for layer in layers:
            if getattr(layer, "name", None) == name:
                return layer
        names = [getattr(layer, "name", type(layer).__name__) for layer in layers]
        raise ValueError(
            f"{self.name!r} has no layer {name!r}.{did_you_mean(name, names)} Its layers: "
            f"{', '.join(names[:30])}{', ...' if len(names) > 30 else ''}."
        )

    @property
    def metrics_names(self):
        """Names of what `evaluate` returns, in its order."""
        return self._compiled.names() if self._compiled is not None else []

    def summary(
        self,
        line_length=None,
        positions=None,
        print_fn=None,
        expand_nested=False,
        show_trainable=False,
        layer_range=None,
    ):
        """Print the model's layers, output shapes and numbers of parameters as a table.

        Args:
            line_length: Width of the table in characters.
            positions: Where columns end, absolute or as shares of the line.
            print_fn: Called with the text instead of `print`.
            expand_nested: Whether layers of nested models get rows.
            show_trainable: Whether a column says which layers are trainable.
            layer_range: Names (or patterns) of the first and last layer shown.
        """
        from lightkeras._summary import summary

        summary(
            self,
            line_length=line_length,
            positions=positions,
            print_fn=print_fn,
            expand_nested=expand_nested,
            show_trainable=show_trainable,
            layer_range=layer_range,
        )

    # ---- files --------------------------------------------------------------------------------

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        """Write the model (architecture, weights, compile arguments, optimizer) to a file.

        Args:
            filepath: Ends in `.keras`.
            overwrite: Whether an existing file may be replaced.
            zipped: Kept for Keras's sake; files are always archives.
            include_optimizer: Whether the optimizer is written.

        Raises:
            ValueError: the ending is not known.
            FileExistsError: the file exists and `overwrite` is false.
        """
        saving.save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def save_weights(self, filepath, overwrite=True):
        """Write the weights to a `.weights.h5` or `.safetensors` file."""
        saving.save_weights(self, filepath, overwrite=overwrite)

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """Read weights written by `save_weights` or `save`, all or nothing.

        Args:
            filepath: A `.weights.h5`, `.safetensors` or `.keras` file, or a `.ckpt` of Lightning's.
            skip_mismatch: Leave weights alone that are missing or have another shape.
            objects_to_skip: Layers to leave alone.
            check_finite: Whether NaN and infinity are refused.

        Raises:
            LoadError: the file is damaged or does not fit; nothing was changed.
        """
        saving.load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def get_config(self):
        """The graph as plain values; constructor arguments for a subclass that is no graph."""
        own = type(self).__init__ is not Model.__init__
        if self._plan is None or own:
            return super().get_config()
        return _functional.get_config(self)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The model that `get_config` described, with fresh weights."""
        if cls.__init__ is Model.__init__ and "input_layers" in config and "layers" in config:
            return _functional.from_config(cls, config, custom_objects)
        return _functional.revive(cls, config)

    def __repr__(self):
        kind = (self._keras_class or (type(self).__name__,))[-1]
        return f"<{kind} name={self.name}, built={self.built}>"

    @property
    def _keras_class(self):
        """(module, class) that Keras has for this object, where the class tells it not."""
        plain = type(self) is Model and self._plan is not None
        return ("keras.src.models.functional", "Functional") if plain else None

    def build_from_config(self, config):
        """Build with the shapes that `get_build_config` gave."""
        if self.built or not config:
            return
        if not self._builds_by_running:
            super().build_from_config(config)
            return
        shapes = config.get("shapes_dict") or {"": config.get("input_shape")}
        specs = {
            name.removesuffix("_shape"): shapes_to_specs(as_shape(shape), self.compute_dtype)
            for name, shape in shapes.items()
            if shape is not None
        }
        with named(self.name, self):
            if "" in specs:
                output_spec(self, (specs[""],), {})
            elif specs:
                output_spec(self, (), specs)

    def get_compile_config(self):
        """What `compile` was given, as plain values."""
        by_user = self.__dict__.get("_compiled_by_user") and self._compiled is not None
        return _compiling.compile_config(self._compiled) if by_user else {}

    def compile_from_config(self, config):
        """Compile with what `get_compile_config` gave.

        A class that overrides `compile` overrides this method, too, or is compiled by hand.
        """
        if type(self).compile is not Model.compile:
            warnings.warn(
                f"{type(self).__name__} is not compiled: it has a compile() of its own. A file "
                "knows the arguments of Model.compile(). Call compile(), or define "
                "compile_from_config().",
                stacklevel=2,
            )
            return
        _compiling.compile_from(self, config)

    def to_json(self, **kwargs):
        """The architecture as JSON text; keyword arguments go to `json.dumps`."""
        return _functional.to_json(self, **kwargs)


def _ranked(leaf, shape):
    if not isinstance(leaf, torch.Tensor) or leaf.ndim == len(shape):
        return leaf
    if leaf.ndim == len(shape) + 1 and leaf.shape[-1] == 1:
        return leaf.squeeze(-1)
    if leaf.ndim == len(shape) - 1 and shape[-1] == 1:
        return leaf.unsqueeze(-1)
    return leaf


def _check_ends(inputs, outputs):
    for what, tree in (("inputs", inputs), ("outputs", outputs)):
        for tensor in flatten(tree):
            if not is_keras_tensor(tensor):
                given = "nothing" if tensor is None else type(tensor).__name__
                raise ValueError(
                    f"Model({what}=) got {given}. It takes symbolic tensors: Input(...) and what "
                    "layers "
                    "return for it. Type Model(inputs=x, outputs=layer(x))."
                )


def _shapes(tree):
    """Shapes of symbolic tensors as a list; of one alone as such."""
    shapes = [t.shape for t in flatten(tree)]
    return shapes[0] if len(shapes) == 1 else shapes


def _as_batch(shape):
    if isinstance(shape, (list, tuple)) and all(n is None or isinstance(n, int) for n in shape):
        return tuple(shape)
    return shape


def _same_shapes(args, inputs):
    given = flatten(args)
    return len(given) == len(inputs) and all(
        getattr(a, "shape", None) == b.shape for a, b in zip(given, inputs, strict=True)
    )


def _ordered_operations(plan):
    """Operations from the inputs to the outputs, by depth, and within a depth by first meeting.

    The order of `model.layers`, and so of `model.weights`: Keras's, since weights are exchanged
    by position.
    """
    ins = flatten(plan.inputs)
    input_ops = [t._keras_history[0] for t in ins]
    met, depth = {}, {}
    stack = list(reversed(flatten(plan.outputs)))
    while stack:  # the order in which operations are first met, walking back from the outputs
        operation, index, _ = stack.pop()._keras_history
        node = operation._inbound_nodes[index]
        key = (id(node),)
        met.setdefault(id(operation), len(met))
        if key in depth:
            continue
        depth[key] = 0
        if operation not in input_ops:
            stack += reversed(node.input_tensors)
    for op in input_ops:
        met.setdefault(id(op), -1)  # no output needs it: first among the last
    node_depth, op_depth = {}, {}
    for node in reversed(plan.nodes):
        own = max(node_depth.get(id(node), 0), op_depth.get(id(node.operation), 0))
        op_depth[id(node.operation)] = node_depth[id(node)] = own
        for tensor in node.input_tensors:
            operation, index, _ = tensor._keras_history
            before = operation._inbound_nodes[index]
            node_depth[id(before)] = max(node_depth.get(id(before), 0), own + 1)
            op_depth[id(operation)] = max(op_depth.get(id(operation), 0), own + 1)
    operations = {id(op): op for op in [*input_ops, *(n.operation for n in plan.nodes)]}
    return sorted(operations.values(), key=lambda op: (-op_depth.get(id(op), 0), met[id(op)]))
