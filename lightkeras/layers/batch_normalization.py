"""Normalization over the batch, with moving averages for the time after training."""

from __future__ import annotations

import torch

from lightkeras.layers._spec import InputSpec
from lightkeras.layers._views import View
from lightkeras.layers.core import real
from lightkeras.layers.normalization import _along, _Normalization, _size_of
from lightkeras.ops._normalization import over_processes

__all__ = ["BatchNormalization"]


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
        own = type(self).__name__
        self.axis = int(real(own, "axis", axis, -1))
        self.momentum = float(real(own, "momentum", momentum, 0.99))
        self.epsilon = float(real(own, "epsilon", epsilon, 0.001))
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
    total, count = over_processes(x.sum(axes), count, synchronized)
    mean = total / count
    squares = ((x - _along(mean, x.ndim, [1])) * keep).square().sum(axes)
    squares, _ = over_processes(squares, count, synchronized)
    return mean, squares / count
