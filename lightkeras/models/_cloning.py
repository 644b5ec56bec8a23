"""`clone_model`: the same layers, called the same way, with fresh weights."""

from __future__ import annotations

import copy

from lightkeras._graph import Function, apply, is_keras_tensor
from lightkeras._tree import flatten, map_structure
from lightkeras.layers import Input, Lambda, TorchModuleWrapper
from lightkeras.layers.core import InputLayer
from lightkeras.models._model import Model
from lightkeras.models._sequential import Sequential

__all__ = ["clone_model"]


def clone_model(
    model, input_tensors=None, clone_function=None, call_function=None, recursive=False, **kwargs
):
    """A model of the same form with fresh weights.

    Args:
        model: A functional or Sequential model; a subclassed one is made from its config.
        input_tensors: Symbolic tensors to build on, in the form of the model's inputs; new
            Inputs by default.
        clone_function: Takes a layer, returns the one that stands for it; by default a layer with
            the same config.
        call_function: Takes a new layer and its call arguments, returns the outputs; functional
            models only.
        recursive: Whether models inside are cloned in this way, too.

    Returns:
        The new model, compiled as the old one is.

    Raises:
        ValueError: an argument does not go with this kind of model.

    >>> from lightkeras import layers, models
    >>> model = models.Sequential([layers.Input((4,)), layers.Dense(2, name="out")])
    >>> clone = clone_model(model)
    >>> clone.layers[0].name, clone.layers[0] is model.layers[0]
    ('out', False)
    """
    made = kwargs.pop("cache", None)
    if kwargs:
        raise TypeError(
            f"clone_model() got an unexpected argument {next(iter(kwargs))!r}. Accepted: "
            "input_tensors, clone_function, call_function, recursive."
        )
    if not isinstance(model, Model):
        raise TypeError(
            f"clone_model() got {type(model).__name__}. A model is accepted. Type "
            "clone_model(model); a layer is cloned by type(layer).from_config(layer.get_config())."
        )
    stack, graph = (
        isinstance(model, Sequential),
        isinstance(model, Model) and model._plan is not None,
    )
    if not stack and not (graph and type(model).__init__ is Model.__init__):
        _refuse_arguments(model, input_tensors, clone_function, call_function)
        return _from_own_config(model)
    clone = _cloner(
        clone_function or _same_config, call_function, recursive, {} if made is None else made
    )
    if stack and call_function is not None:
        raise ValueError(
            f"clone_model(call_function=) is for functional models, {model.name!r} is a "
            "Sequential. Its layers are listed, not called. Use clone_function."
        )
    if stack:
        new = _clone_stack(model, clone, input_tensors)
    else:
        new = _clone_graph(model, clone, call_function, input_tensors)
    compiled = model.get_compile_config()
    if compiled:
        new.compile_from_config(compiled)
    return new


def _refuse_arguments(model, *given):
    if any(argument is not None for argument in given):
        raise ValueError(
            "clone_model() got input_tensors, clone_function or call_function for "
            f"{model.name!r}, a {type(model).__name__} with a constructor of its own. Functional "
            "and Sequential models take them. Pass the model alone."
        )


def _from_own_config(model):
    new = type(model).from_config(model.get_config())
    if model.get_build_config() and not new.built:
        new.build_from_config(model.get_build_config())
    return new


def _same_config(layer):
    """A layer with the same arguments; functions and torch modules, in no config, as such."""
    if isinstance(layer, Lambda):
        functions = {
            "function": layer.function,
            "mask": layer.mask,
            "output_shape": layer._output_shape,
        }
        return type(layer).from_config({**layer.get_config(), **functions})
    if isinstance(layer, TorchModuleWrapper):
        return type(layer)(copy.deepcopy(layer.module), name=layer.name)
    return type(layer).from_config(layer.get_config())


def _cloner(function, call_function, recursive, made):
    """`clone_function` that makes one new layer for each old one, however often it is asked."""

    def clone(layer):
        if id(layer) not in made:
            inner = isinstance(layer, Model) and (
                layer._plan is not None or isinstance(layer, Sequential)
            )
            if recursive and inner:
                calls = None if isinstance(layer, Sequential) else call_function
                new = clone_model(layer, None, clone, calls, recursive=True, cache=made)
            else:
                new = function(layer)
            made[id(layer)] = new
        return made[id(layer)]

    return clone


def _clone_stack(model, clone, input_tensors):
    entry = model._stack[0] if model._stack and isinstance(model._stack[0], InputLayer) else None
    layers = [clone(layer) for layer in model.layers]
    given = flatten(input_tensors) if input_tensors is not None else []
    if len(given) > 1 or not all(is_keras_tensor(t) for t in given):
        raise ValueError(
            f"clone_model(input_tensors=) for the Sequential {model.name!r} takes one symbolic "
            "tensor. Type input_tensors=Input(shape)."
        )
    if given:
        layers.insert(0, Input(tensor=given[0], name=given[0].name))
    elif entry is not None:
        layers.insert(0, InputLayer.from_config(entry.get_config()))
    return Sequential(layers, name=model.name, trainable=model.trainable)


def _clone_graph(model, clone, call_function, input_tensors):
    inputs = input_tensors
    if inputs is None:
        inputs = map_structure(
            lambda t: Input(batch_shape=t.shape, dtype=t.dtype, name=t._keras_history[0].name),
            model.input,
        )
    given = flatten(inputs)
    if len(given) != len(model.inputs) or not all(is_keras_tensor(t) for t in given):
        raise ValueError(
            f"clone_model(input_tensors=) got {len(given)} values for {model.name!r}, which has "
            f"{len(model.inputs)} inputs. One symbolic tensor for each is accepted. Type "
            "Input(shape)."
        )
    known = dict(zip(map(id, model.inputs), given, strict=True))
    swap = lambda leaf: known.get(id(leaf), leaf)  # noqa: E731
    for node in model._plan.nodes:
        args, kwargs = map_structure(swap, (node.args, node.kwargs))
        outputs = _call(node.operation, clone, call_function, args, kwargs)
        pairs = zip(flatten(node.outputs), flatten(outputs), strict=True)
        known.update({id(old): new for old, new in pairs})
    return type(model)(inputs, map_structure(swap, model.output), name=model.name)


def _call(operation, clone, call_function, args, kwargs):
    if isinstance(operation, Function):
        new = Function(operation.fn, operation.label)
        new.name = operation.name
        return apply(new, args, kwargs)
    layer = clone(operation)
    return (
        layer(*args, **kwargs) if call_function is None else call_function(layer, *args, **kwargs)
    )
