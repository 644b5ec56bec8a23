"""Normalization of each sample, and of weights: to mean 0 and variance 1, or to a norm of 1.

Normalization over the batch is in `batch_normalization`.
"""

from __future__ import annotations

import torch

from lightkeras import constraints, initializers, regularizers
from lightkeras._older import old_names
from lightkeras.layers._layer import Layer
from lightkeras.layers._spec import InputSpec
from lightkeras.layers._views import View
from lightkeras.layers.core import positive_int
from lightkeras.layers.wrapping import Wrapper

__all__ = [
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "SpectralNormalization",
    "UnitNormalization",
]

_SLOTS = {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}


class _Normalization(Layer):
    """Base of the layers that end with `gamma * x + beta`.

    The torch parameters are `weight` (gamma) and `bias` (beta), as in `torch.nn`.
    """

    views: tuple[View, ...] = (View("gamma", "weight"), View("beta", "bias"))
    _casts_ints = True

    def _set_objects(self, center, scale, **objects):
        """Attributes `gamma_initializer`, ... from names or objects."""
        self.center, self.scale = center, scale
        self.supports_masking = True
        for name, value in objects.items():
            setattr(self, name, _SLOTS[name.rpartition("_")[2]].get(value))

    def _add_gamma_and_beta(self, shape, scale=True, center=True):
        for name, attribute, wanted in (("gamma", "weight", scale), ("beta", "bias", center)):
            if not wanted:
                self.register_parameter(attribute, None)
                continue
            made_with = {slot: getattr(self, f"{name}_{slot}") for slot in _SLOTS}
            self.add_weight(name=name, shape=shape, **made_with)


def _size_of(layer, shape, axis):
    """Size of one axis of an input.

    Raises:
        ValueError: there is no such axis, or its size is unknown.
    """
    who, rank = f"{type(layer).__name__} {layer.name!r}", len(shape)
    if not -rank <= axis < rank:
        raise ValueError(
            f"{who} has axis={axis}, its input of shape {tuple(shape)} only {rank} axes. The axis "
            "of the features is meant. Type axis=-1 for the last one."
        )
    if shape[axis] is None:
        raise ValueError(
            f"{who} got an input of shape {tuple(shape)} with an unknown size on axis {axis}. The "
            "weights need it. Give the Input a number there."
        )
    return shape[axis]


def _along(weight, rank, axes):
    """A weight with the sizes of `axes` in a shape that broadcasts over inputs of `rank` axes."""
    if weight is None:
        return None
    shape = [1] * rank
    for axis, size in zip(axes, weight.shape, strict=True):
        shape[axis] = size
    return weight.reshape(shape)


def _sorted_axes(owner, axis, rank=None):
    """`axis` as a tuple; with `rank`, counted from the front and in order."""
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
    if not axes or any(isinstance(a, bool) or not isinstance(a, int) for a in axes):
        raise TypeError(
            f"{owner}(axis={axis!r}) is no axis. It takes a whole number, or a list of them. "
            "Type axis=-1 for the last one."
        )
    return axes if rank is None else tuple(sorted(a % rank for a in axes))


# ---- samples ----------------------------------------------------------------------------------


class LayerNormalization(_Normalization):
    """Each sample is normalized with the mean and variance of its own features.

    The torch parameters are `weight` (gamma) and `bias` (beta), as in `nn.LayerNorm`.

    Args:
        axis: Axis or axes of the features.
        epsilon: Added to the variance.
        center, scale: Whether beta is added, and gamma multiplied.
        beta_initializer, gamma_initializer: How the weights start.
        beta_regularizer, gamma_regularizer: Penalties added to the loss.
        beta_constraint, gamma_constraint: Projections applied after each update.
        rms_scaling: Old: divide by the standard deviation, move nothing, add nothing.

    Shape:
        any with the features on `axis` -> the same

    Raises:
        TypeError: `axis` is no axis.
        ValueError: the axis is not there, or its size is unknown.

    >>> LayerNormalization()(torch.tensor([[0.0, 2.0]])).round(decimals=2).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(
        self,
        axis=-1,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        beta_constraint=None,
        gamma_constraint=None,
        *,
        rms_scaling=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _sorted_axes("LayerNormalization", axis)
        self.axis = list(axis) if isinstance(axis, (list, tuple)) else axis
        self.epsilon = epsilon
        self.rms_scaling = rms_scaling
        self._set_objects(
            center,
            scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
        )

    def build(self, input_shape):
        rank = len(input_shape)
        for axis in _sorted_axes("LayerNormalization", self.axis):
            _size_of(self, input_shape, axis)
        self._axes = _sorted_axes("LayerNormalization", self.axis, rank)
        self._sizes = tuple(input_shape[a] for a in self._axes)
        rms = self.rms_scaling
        self._add_gamma_and_beta(self._sizes, self.scale or rms, self.center and not rms)
        self._trailing = self._axes == tuple(range(rank - len(self._axes), rank)) and not rms

    def call(self, x):
        if self._trailing:
            return torch.layer_norm(x, self._sizes, self.weight, self.bias, self.epsilon)
        var, mean = torch.var_mean(x, self._axes, correction=0, keepdim=True)
        x = (x if self.rms_scaling else x - mean) * (var + self.epsilon).rsqrt()
        gamma, beta = (_along(w, x.ndim, self._axes) for w in (self.weight, self.bias))
        x = x if gamma is None else x * gamma
        return x if beta is None else x + beta


class GroupNormalization(_Normalization):
    """Each sample is normalized with the mean and variance of each group of its channels.

    The torch parameters are `weight` (gamma) and `bias` (beta), as in `nn.GroupNorm`. One channel
    a group is instance normalization.

    Args:
        groups: Number of groups; -1 for one channel in each.
        axis: Axis of the channels.
        epsilon: Added to the variance.
        center, scale: Whether beta is added, and gamma multiplied.
        beta_initializer, gamma_initializer: How the weights start.
        beta_regularizer, gamma_regularizer: Penalties added to the loss.
        beta_constraint, gamma_constraint: Projections applied after each update.

    Shape:
        any with the channels on `axis` -> the same

    Raises:
        ValueError: the channels cannot be shared out to the groups.

    >>> GroupNormalization(2)(torch.tensor([[0.0, 2.0, 5.0, 7.0]])).round(decimals=2).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    def __init__(
        self,
        groups=32,
        axis=-1,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        beta_constraint=None,
        gamma_constraint=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if isinstance(groups, bool) or not isinstance(groups, int) or groups < -1 or groups == 0:
            raise ValueError(
                f"GroupNormalization(groups={groups!r}) is no number of groups. It takes a whole "
                "number of at least 1, or -1 for one channel in each. Type for example groups=8."
            )
        self.groups = groups
        self.axis = axis
        self.epsilon = epsilon
        self._set_objects(
            center,
            scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
        )

    def build(self, input_shape):
        size = _size_of(self, input_shape, self.axis)
        if self.groups == -1:
            self.groups = size
        if size % self.groups:
            fitting = [n for n in range(1, size + 1) if size % n == 0]
            raise ValueError(
                f"GroupNormalization {self.name!r} has groups={self.groups}, its input {size} "
                f"channels (shape {tuple(input_shape)}, axis {self.axis}). They are shared out "
                f"evenly. Type groups= one of {fitting if len(fitting) < 12 else fitting[:11]}."
            )
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: size})
        self._add_gamma_and_beta((size,), self.scale, self.center)

    def call(self, x):
        x = x.movedim(self.axis, 1)  # (batch, ..., channels) -> (batch, channels, ...)
        x = torch.group_norm(x, self.groups, self.weight, self.bias, self.epsilon)
        return x.movedim(1, self.axis)


class RMSNormalization(Layer):
    """Each sample is divided by the root of the mean square of its features.

    The torch parameter is `weight` (scale), as in `nn.RMSNorm` (Zhang and Sennrich 2019, "Root
    Mean Square Layer Normalization").

    Args:
        axis: Axis or axes of the features.
        epsilon: Added to the mean square.

    Shape:
        any with the features on `axis` -> the same

    Raises:
        TypeError: `axis` is no axis.
        ValueError: the axis is not there, or its size is unknown.

    >>> RMSNormalization()(torch.tensor([[2.0, 2.0]])).round(decimals=2).tolist()
    [[1.0, 1.0]]
    """

    views = (View("scale", "weight"),)
    _casts_ints = True

    def __init__(self, axis=-1, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        _sorted_axes("RMSNormalization", axis)
        self.axis = list(axis) if isinstance(axis, (list, tuple)) else axis
        self.epsilon = epsilon

    def build(self, input_shape):
        rank = len(input_shape)
        for axis in _sorted_axes("RMSNormalization", self.axis):
            _size_of(self, input_shape, axis)
        self._axes = _sorted_axes("RMSNormalization", self.axis, rank)
        self._sizes = tuple(input_shape[a] for a in self._axes)
        self.add_weight(name="scale", shape=self._sizes, initializer="ones")
        self._trailing = self._axes == tuple(range(rank - len(self._axes), rank))

    def call(self, x):
        if self._trailing:
            return torch.rms_norm(x, self._sizes, self.weight, self.epsilon)
        square = x.square().mean(self._axes, keepdim=True)
        return x * (square + self.epsilon).rsqrt() * _along(self.weight, x.ndim, self._axes)


class UnitNormalization(Layer):
    """Each sample is divided by its Euclidean norm.

    Args:
        axis: Axis or axes that the norm is taken over.

    Shape:
        any -> the same

    Raises:
        TypeError: `axis` is no axis.

    >>> UnitNormalization()(torch.tensor([[3.0, 4.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """

    _casts_ints = True

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self._axes = _sorted_axes("UnitNormalization", axis)
        self.axis = list(axis) if isinstance(axis, (list, tuple)) else axis
        self.supports_masking = True

    def build(self, input_shape):
        for axis in self._axes:
            if not -len(input_shape) <= axis < len(input_shape):
                _size_of(self, input_shape, axis)

    def call(self, x):
        norm = torch.linalg.vector_norm(x, 2, self._axes, keepdim=True)
        return x / norm.clamp(min=max(1e-12, torch.finfo(x.dtype).tiny))


# ---- weights ----------------------------------------------------------------------------------


class SpectralNormalization(Wrapper):
    """Keeps the largest singular value of a layer's kernel (or embeddings) near 1.

    Each call in training divides the kernel by an estimate of that value, found by power iteration
    (Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks").

    Args:
        layer: The layer inside.
        power_iterations: Steps of the estimate in each call.

    Shape:
        that of the layer inside

    Raises:
        ValueError: the layer has neither `kernel` nor `embeddings`.

    >>> from lightkeras.layers import Dense
    >>> tuple(SpectralNormalization(Dense(3))(torch.zeros(2, 4)).shape)
    (2, 3)
    """

    def __init__(self, layer, power_iterations=1, **kwargs):
        super().__init__(layer, **kwargs)
        self.input_spec = InputSpec(min_ndim=1)
        self.power_iterations = positive_int(
            "SpectralNormalization", "power_iterations", power_iterations
        )

    def build(self, input_shape=None):
        super().build(input_shape)
        if self._kernel is None:
            raise ValueError(
                f"SpectralNormalization {self.name!r} got {type(self.layer).__name__}, which has "
                "neither kernel nor embeddings. It takes a layer with one of them, for example "
                "SpectralNormalization(layers.Conv2D(32, 3))."
            )
        start = initializers.TruncatedNormal(stddev=0.02)
        shape = (1, self._kernel.shape[-1])
        kind = str(self._kernel.dtype).removeprefix("torch.")
        self.add_weight(
            name="vector_u", shape=shape, initializer=start, dtype=kind, trainable=False
        )

    @property
    def _kernel(self):
        found = (getattr(self.layer, name, None) for name in ("kernel", "embeddings"))
        return next((weight for weight in found if weight is not None), None)

    def _own_weights(self):
        """The kernel of the layer inside is one too, as in Keras: in its files it stands twice."""
        own = super()._own_weights()
        return [self._kernel, *own] if own else own

    def call(self, x, training=None):
        if self.training if training is None else training:
            self._normalize()
        y = self.layer(x)
        return y if self.layer.compute_dtype == self.compute_dtype else y.to(self._dtype_in)

    @torch.no_grad()
    def _normalize(self):
        kernel = self._kernel.value
        flat, u = kernel.reshape(-1, kernel.shape[-1]), self.vector_u
        for _ in range(self.power_iterations):
            v = _unit(u @ flat.T)
            u = _unit(v @ flat)
        sigma = (v @ flat @ u.T).reshape(())
        zero = sigma == 0  # a kernel of zeros stays, and so does the estimate
        self._kernel.assign(kernel / torch.where(zero, 1.0, sigma))
        self.vector_u.copy_(torch.where(zero, self.vector_u, u))


def _unit(vector):
    return vector / torch.linalg.vector_norm(vector).clamp(min=1e-7)


__getattr__ = old_names(__name__)
