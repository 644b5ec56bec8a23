"""Normalization: numbers are moved to mean 0 and scaled to variance 1, or to a norm of 1."""

from __future__ import annotations

import torch

from lightkeras import constraints, initializers, regularizers
from lightkeras.layers._layer import Layer
from lightkeras.layers._spec import InputSpec
from lightkeras.layers._views import View

__all__ = [
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
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


# ---- over the batch ---------------------------------------------------------------------------


class BatchNormalization(_Normalization):
    """In training, each feature is normalized with its mean and variance in the batch; else with
    moving averages of them, which training updates.

    The torch parameters are `weight` (gamma) and `bias` (beta), the buffers `running_mean` and
    `running_var`. Unlike `nn.BatchNorm2d`, the variance that is averaged is the biased one, and
    `momentum` is what stays: `moving = moving * momentum + batch * (1 - momentum)`. A layer with
    `trainable = False` uses the moving averages in training, too.

    Args:
        axis: Axis of the features.
        momentum: How much of the moving averages stays at each step.
        epsilon: Added to the variance.
        center, scale: Whether beta is added, and gamma multiplied.
        beta_initializer, gamma_initializer: How the weights start.
        moving_mean_initializer, moving_variance_initializer: How the averages start.
        beta_regularizer, gamma_regularizer: Penalties added to the loss.
        beta_constraint, gamma_constraint: Projections applied after each update.
        renorm: Whether the batch is corrected towards averages of its own (Ioffe 2017,
            "Batch Renormalization").
        renorm_clipping: Limits "rmin", "rmax", "dmax" of the correction.
        renorm_momentum: Momentum of the averages of `renorm`.
        synchronized: Whether all processes share one batch.

    Shape:
        any with the features on `axis` -> the same

    Raises:
        ValueError: the axis is not there, or its size is unknown.

    >>> layer = BatchNormalization()
    >>> layer(torch.tensor([[0.0], [2.0]]), training=True).round(decimals=2).flatten().tolist()
    [-1.0, 1.0]
    >>> [round(w.item(), 4) for w in (layer.moving_mean, layer.moving_variance)]
    [0.01, 1.0]
    """

    views = (
        *_Normalization.views,
        View("moving_mean", "running_mean"),
        View("moving_variance", "running_var"),
    )

    def __init__(
        self,
        axis=-1,
        momentum=0.99,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        moving_mean_initializer="zeros",
        moving_variance_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        beta_constraint=None,
        gamma_constraint=None,
        renorm=False,
        renorm_clipping=None,
        renorm_momentum=0.99,
        synchronized=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.axis = int(axis)
        self.momentum = float(momentum)
        self.epsilon = float(epsilon)
        self._set_objects(
            center,
            scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            moving_mean_initializer=moving_mean_initializer,
            moving_variance_initializer=moving_variance_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
        )
        self.renorm = renorm
        self.renorm_clipping = _clipping(renorm_clipping) if renorm else renorm_clipping
        self.renorm_momentum = renorm_momentum
        self.synchronized = synchronized

    def build(self, input_shape):
        size = _size_of(self, input_shape, self.axis)
        self._add_gamma_and_beta((size,), self.scale, self.center)
        mean, variance = self.moving_mean_initializer, self.moving_variance_initializer
        self._add_state("moving_mean", size, mean)
        self._add_state("moving_variance", size, variance)
        if self.renorm:
            root = lambda shape, dtype=None: torch.as_tensor(variance(shape, dtype=dtype)).sqrt()  # noqa: E731
            self._add_state("moving_stddev", size, root)
            self._add_state("renorm_mean", size, mean)
            self._add_state("renorm_stddev", size, root)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: size})
        self._last = self.axis % len(input_shape) == len(input_shape) - 1

    def _add_state(self, name, size, initializer):
        self.add_weight(name=name, shape=(size,), initializer=initializer, trainable=False)

    def call(self, x, training=None, mask=None):
        training = (self.training if training is None else training) and self._trainable
        shape = x.shape
        # (batch, ..., features) -> (rows, features), which moves nothing
        x = x.reshape(-1, shape[-1]) if self._last else x.transpose(1, self.axis)
        if not training:
            mean, var = self.running_mean, self.running_var
            x = torch.batch_norm(
                x, self.weight, self.bias, mean, var, False, 0.0, self.epsilon, True
            )
        elif mask is not None or self.renorm or self.synchronized:
            x = self._with_moments(x, self._spread(mask, shape))
        else:
            x, mean, inv = torch.native_batch_norm(
                x, self.weight, self.bias, None, None, True, 0.0, self.epsilon
            )
            self._update(mean, inv.pow(-2).sub_(self.epsilon))
        return x.view(shape) if self._last else x.transpose(1, self.axis)

    def _update(self, mean, variance):
        self.running_mean.lerp_(mean, 1 - self.momentum)
        self.running_var.lerp_(variance, 1 - self.momentum)

    # ---- what torch has no kernel for -----------------------------------------------------

    def _spread(self, mask, shape):
        """A mask of all axes but the last one, in the shape that `x` is normalized in."""
        if mask is None:
            return None
        mask = mask.bool().unsqueeze(-1).expand(shape)
        return mask.reshape(-1, shape[-1]) if self._last else mask.transpose(1, self.axis)

    def _with_moments(self, x, mask):
        """Normalize `(rows, features)` or `(batch, features, ...)` with moments made here."""
        mean, variance = _moments(x, mask, self.synchronized)
        gamma, beta = self.weight, self.bias
        if self.renorm:
            gamma, beta = self._renormed(mean, variance)
        else:
            self._update(mean.detach(), variance.detach())
        scale = (variance + self.epsilon).rsqrt()
        scale = scale if gamma is None else scale * gamma
        x = (x - _along(mean, x.ndim, [1])) * _along(scale, x.ndim, [1])
        return x if beta is None else x + _along(beta, x.ndim, [1])

    @torch.no_grad()
    def _corrections(self, mean, variance):
        """(r, d): what takes a batch from its own moments to the averages; they are updated."""
        stddev = (variance + self.epsilon).sqrt()
        average = self.renorm_stddev.clamp(min=self.epsilon**0.5)
        limits = self.renorm_clipping
        none = float("inf")
        r = (stddev / average).clamp(limits.get("rmin", -none), limits.get("rmax", none))
        d = (mean - self.renorm_mean) / average
        d = d.clamp(-limits.get("dmax", none), limits.get("dmax", none))
        self.renorm_mean.lerp_(mean, 1 - self.renorm_momentum)
        self.renorm_stddev.lerp_(stddev, 1 - self.renorm_momentum)
        self.running_mean.lerp_(mean, 1 - self.momentum)
        self.moving_stddev.lerp_(stddev, 1 - self.momentum)
        self.running_var.copy_((self.moving_stddev**2 - self.epsilon).clamp(min=0))
        return r, d

    def _renormed(self, mean, variance):
        """gamma and beta with the corrections in them: `(x * r + d) * gamma + beta`."""
        r, d = self._corrections(mean, variance)
        gamma, beta = (r, d) if self.weight is None else (r * self.weight, d * self.weight)
        return gamma, beta if self.bias is None else beta + self.bias


def _clipping(limits):
    """`renorm_clipping`, checked, without entries of None.

    Raises:
        ValueError: a key is unknown, or the limits cross.
    """
    limits = {k: v for k, v in (limits or {}).items() if v is not None}
    strange = set(limits) - {"rmin", "rmax", "dmax"}
    crossed = "rmin" in limits and "rmax" in limits and limits["rmin"] > limits["rmax"]
    if strange or crossed or limits.get("dmax", 0) < 0:
        raise ValueError(
            f"BatchNormalization(renorm_clipping={limits}) does not fit. It takes 'rmin', 'rmax' "
            "(not below it) and 'dmax' (not below 0). Type for example "
            "renorm_clipping={'rmin': 0.3, 'rmax': 3.0}."
        )
    return limits


def _moments(x, mask, synchronized):
    """Mean and (biased) variance over all axes but 1, of what `mask` keeps, on all processes."""
    axes = [0, *range(2, x.ndim)]
    keep = torch.ones_like(x) if mask is None else mask.to(x.dtype)
    count = keep.sum(axes)
    if mask is not None:
        count = count + 1e-7  # a batch may be masked altogether
        x = x.masked_fill(~mask, 0)
    total, count = _over_processes(x.sum(axes), count, synchronized)
    mean = total / count
    squares = ((x - _along(mean, x.ndim, [1])) * keep).square().sum(axes)
    squares, _ = _over_processes(squares, count, synchronized)
    return mean, squares / count


def _over_processes(total, count, synchronized):
    """Sums over all processes, through which gradients flow."""
    dist = torch.distributed
    if not (synchronized and dist.is_available() and dist.is_initialized()):
        return total, count
    from torch.distributed.nn.functional import all_reduce

    count = count.clone()
    dist.all_reduce(count)
    return all_reduce(total), count


# ---- over the features of one sample ----------------------------------------------------------


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
