"""The layers that everything is made of: Input, Dense, Identity, Lambda, torch modules."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lightkeras import activations, constraints, initializers, regularizers
from lightkeras._graph import KerasTensor, Node, is_keras_tensor
from lightkeras._older import old_names
from lightkeras._registry import is_code_allowed, named_function, serialize, unique_name
from lightkeras.layers._layer import Layer
from lightkeras.layers._spec import InputSpec
from lightkeras.layers._views import Permuted

__all__ = [
    "Dense",
    "Identity",
    "Input",
    "InputLayer",
    "Lambda",
    "TorchModuleWrapper",
    "positive_int",
]


def positive_int(owner, argument, value):
    """`value` as an int.

    Raises:
        ValueError: it is not a whole number above zero; a bool is none.
    """
    whole = isinstance(value, int) or (hasattr(value, "__index__") and not isinstance(value, float))
    if isinstance(value, bool) or type(value).__name__ == "bool" or not whole or value < 1:
        raise ValueError(
            f"{owner}({argument}={value!r}) is not a size. It takes a whole number of at least 1. "
            f"Type for example {owner}({argument}=32)."
        )
    return int(value)


def real(owner, argument, value, example):
    """`value`, if it is a number.

    Raises:
        ValueError: it is none, or not finite.
    """
    number = hasattr(value, "__float__") and not isinstance(value, (str, bool))
    if not number or getattr(value, "ndim", 0) != 0 or not math.isfinite(value):
        raise ValueError(
            f"{owner}({argument}={value!r}) is no number. A finite number is accepted. Type for "
            f"example {argument}={example}."
        )
    return value


class InputLayer(Layer):
    """The entry of a model: its shape, and no computation.

    Args:
        shape: Shape of one sample, without the batch.
        batch_size: Size of the batch if it is fixed.
        dtype: Name of the dtype.
        batch_shape: Shape with the batch, instead of `shape`.
        input_tensor: A symbolic tensor to take shape and dtype from.
        optional: Whether None may be passed.
        name: Name of the layer.
    """

    def __init__(
        self,
        shape=None,
        batch_size=None,
        dtype=None,
        sparse=None,
        ragged=None,
        batch_shape=None,
        input_tensor=None,
        optional=False,
        name=None,
        **kwargs,
    ):
        given = kwargs.pop("input_shape", None) or kwargs.pop("batch_input_shape", None)
        super().__init__(name=name or unique_name("input_layer"))
        if input_tensor is not None:
            if not is_keras_tensor(input_tensor):
                raise TypeError(
                    f"Input(tensor=) got {type(input_tensor).__name__}. A symbolic tensor is "
                    "accepted. Type Input(shape=...) for a new one."
                )
            batch_shape, dtype = input_tensor.shape, dtype or input_tensor.dtype
        if batch_shape is None:
            shape = given if shape is None else shape
            batch_shape = (_batch_size(batch_size), *_sample_shape(shape))
        elif shape is not None:
            raise ValueError(
                f"Input() got shape={shape} and batch_shape={batch_shape}. One of them is "
                "accepted; batch_shape holds the batch size first. Leave one out."
            )
        else:
            sizes = batch_shape if isinstance(batch_shape, (list, tuple)) else [batch_shape]
            first, *rest = sizes or [0]
            batch_shape = (_batch_size(first), *_sample_shape(rest))
        self.__dict__["batch_shape"] = tuple(batch_shape)
        self.__dict__["_input_dtype"] = dtype or "float32"
        self.sparse, self.ragged, self.optional = bool(sparse), bool(ragged), optional
        tensor = KerasTensor(self.batch_shape, self._input_dtype, name=name)
        self.__dict__["built"] = True
        Node(self, (), {}, tensor)

    @property
    def dtype(self):
        """Dtype of the input."""
        return self._input_dtype

    @property
    def input(self):
        return self._inbound_nodes[0].outputs

    def call(self, x=None):
        return x

    def get_config(self):
        return {
            "batch_shape": self.batch_shape,
            "dtype": self.dtype,
            "sparse": self.sparse,
            "ragged": self.ragged,
            "name": self.name,
            "optional": self.optional,
        }


def _batch_size(size):
    whole = hasattr(size, "__index__") and not isinstance(size, bool)
    if size is None or (whole and size > 0):
        return size
    raise ValueError(
        f"Input(batch_size={size!r}) is not a size. A positive whole number is accepted, or None "
        "for batches of any size. Leave it out."
    )


def _sample_shape(shape):
    if shape is None:
        raise ValueError(
            "Input() got no shape. It takes the shape of one sample, without the batch. "
            "Type for example Input((28, 28, 1))."
        )
    if not hasattr(shape, "__iter__"):
        raise ValueError(
            f"Input({shape}) is not a shape. It takes a tuple, the shape of one sample. Type "
            f"Input(({shape},))."
        )
    for size in shape:
        if size is not None and (
            isinstance(size, bool) or not hasattr(size, "__index__") or size < 0
        ):
            raise ValueError(
                f"Input(shape={tuple(shape)}) holds {size!r}. Sizes are whole numbers, or None "
                "where "
                "unknown. Type for example Input((28, 28, 1))."
            )
    return tuple(None if size is None else int(size) for size in shape)


def Input(
    shape=None,
    batch_size=None,
    dtype=None,
    sparse=None,
    ragged=None,
    batch_shape=None,
    name=None,
    tensor=None,
    optional=False,
):
    """A symbolic tensor that a functional model starts from.

    Args:
        shape: Shape of one sample, without the batch; None where a size is unknown.
        batch_size: Size of the batch if it is fixed.
        dtype: Name of the dtype, "float32" by default.
        batch_shape: Shape with the batch, instead of `shape`.
        name: Name of the input; dicts of arrays are matched by it.
        tensor: A symbolic tensor to take shape and dtype from.
        optional: Whether None may be passed.

    Returns:
        A `KerasTensor` of shape `(batch, *shape)`.

    Raises:
        ValueError: `shape` is no shape.

    >>> from lightkeras.layers import Dense, Input
    >>> Dense(3)(Input((8,))).shape
    (None, 3)
    """
    layer = InputLayer(
        shape=shape,
        batch_size=batch_size,
        dtype=dtype,
        sparse=sparse,
        ragged=ragged,
        batch_shape=batch_shape,
        input_tensor=tensor,
        optional=optional,
        name=name,
    )
    return layer.output


class Dense(Layer):
    """Every output is a weighted sum of every input: `activation(x @ kernel + bias)`.

    The torch parameters are `weight` `(units, in)` and `bias` `(units,)`, as in `nn.Linear`.

    Args:
        units: Size of the output's last axis.
        activation: Name or function; none by default.
        use_bias: Whether a bias is added.
        kernel_initializer, bias_initializer: How weights start.
        kernel_regularizer, bias_regularizer: Penalties added to the loss.
        kernel_constraint, bias_constraint: Projections applied after each update.

    Shape:
        `(batch, ..., in)` -> `(batch, ..., units)`

    Raises:
        ValueError: `units` is no whole number above zero.

    >>> import torch
    >>> tuple(Dense(3)(torch.zeros(5, 4)).shape)
    (5, 3)
    """

    views = (Permuted("kernel", "weight", 1, 0),)
    _casts_ints = True

    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = positive_int("Dense", "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape):
        size = input_shape[-1]
        self.add_weight(
            name="kernel",
            shape=(size, self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if self.use_bias:
            self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        else:
            self.register_parameter("bias", None)
        self.input_spec = InputSpec(min_ndim=2, axes={-1: size})

    def call(self, x, training=None):
        return self.activation(F.linear(x, self.weight, self.bias))


class Identity(Layer):
    """Returns its input.

    Shape:
        anything -> the same
    """

    _takes_text = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x):
        return x


class Lambda(Layer):
    """A function standing in a model as a layer.

    Args:
        function: Takes the input tensor (or tensors), then `arguments`.
        output_shape: Shape of one output sample, or a function of the input shape; found by
            running the function if not given.
        mask: A mask, or a function `(inputs, mask) -> mask`.
        arguments: Keyword arguments for `function`.

    Shape:
        whatever `function` makes of it

    >>> import torch
    >>> Lambda(lambda x: x * 2)(torch.ones(2, 1)).tolist()
    [[2.0], [2.0]]
    """

    _makes_mask = True
    _is_ours = False  # the function is not
    _takes_text = True

    def __init__(self, function, output_shape=None, mask=None, arguments=None, **kwargs):
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(
                f"Lambda() got {type(function).__name__}. It takes a function of tensors. "
                "Type for example Lambda(lambda x: x * 2)."
            )
        if not isinstance(arguments or {}, dict):
            raise TypeError(
                f"Lambda(arguments=) got {type(arguments).__name__}. Keyword arguments of the "
                "function are accepted. Type for example arguments={'axis': 1}."
            )
        self.function = function
        self.arguments = dict(arguments or {})
        self._output_shape = output_shape
        self.mask = mask
        self.supports_masking = mask is not None

    def call(self, inputs, mask=None, training=None):
        return self.function(inputs, **self.arguments)

    def compute_mask(self, inputs, mask=None):
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def get_config(self):
        own = {"function": self.function, "mask": self.mask, "output_shape": self._output_shape}
        stored = {k: _stored(v) for k, v in own.items() if k == "function" or v is not None}
        base = {k: v for k, v in super().get_config().items() if k not in own}
        return {**base, **stored, "arguments": self.arguments}

    @classmethod
    def from_config(cls, config, custom_objects=None, safe_mode=None):
        from lightkeras.saving import deserialize_keras_object

        safe = not is_code_allowed() if safe_mode is None else safe_mode
        for key in ("function", "mask", "output_shape", "arguments"):
            if isinstance(config.get(key), (dict, list)):
                value = deserialize_keras_object(config[key], custom_objects, safe_mode=safe)
                config = {**config, key: tuple(value) if isinstance(value, list) else value}
        return cls(**config)


def _stored(value):
    """A function of a Lambda layer in Keras's form; other values as they are."""
    if not callable(value):
        return value
    config = serialize(value)
    return named_function(value) if isinstance(config, str) else config


class TorchModuleWrapper(Layer):
    """A torch module standing in a model as a layer.

    So networks of torchvision, timm or transformers come into a model with their weights. Those
    of torchvision take the channels first: put `Permute((3, 1, 2))` before them. With
    `trainable = False` it computes as in inference, its batch normalization too, also in `fit`.

    Args:
        module: Any `torch.nn.Module`.
        output_shape: Shape of the output; found by running the module if not given.

    Raises:
        TypeError: it is no torch module.

    Shape:
        whatever the module makes of it

    >>> import torch
    >>> tuple(TorchModuleWrapper(torch.nn.Linear(4, 2))(torch.zeros(3, 4)).shape)
    (3, 2)
    """

    def __init__(self, module, name=None, output_shape=None, **kwargs):
        super().__init__(name=name, **kwargs)
        if not isinstance(module, torch.nn.Module):
            raise TypeError(
                f"TorchModuleWrapper() got {type(module).__name__}. It takes a torch.nn.Module. "
                "For a function use Lambda(function)."
            )
        self.module = module
        module.train(False)

    def call(self, *args, **kwargs):
        if not self._trainable and self.module.training:
            self.module.eval()  # as a frozen BatchNormalization
        return self.module(*args, **kwargs)


__getattr__ = old_names(__name__)
