"""Activations as layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightkeras import activations, constraints, initializers, regularizers
from lightkeras.layers._layer import Layer
from lightkeras.layers._spec import InputSpec

__all__ = ["ELU", "Activation", "LeakyReLU", "PReLU", "ReLU", "Softmax"]


class Activation(Layer):
    """Applies an activation.

    Args:
        activation: Name or function.

    Shape:
        anything -> the same

    >>> import torch
    >>> Activation("relu")(torch.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.activation = activations.get(activation)

    def call(self, x):
        return self.activation(x)


def _not_negative(owner, argument, value):
    if value is None or value < 0:
        raise ValueError(
            f"{owner}({argument}={value!r}) is out of range. It takes a number of at least 0. "
            f"Type for example {owner}({argument}=0.1)."
        )
    return value


class ReLU(Layer):
    """max(x, 0), and its variants.

    Args:
        max_value: Where the result stops growing; None: nowhere.
        negative_slope: Slope below the threshold.
        threshold: Values up to here count as negative.

    Shape:
        anything -> the same

    Raises:
        ValueError: an argument is negative.

    >>> import torch
    >>> ReLU(max_value=6.0)(torch.tensor([-1.0, 2.0, 9.0])).tolist()
    [0.0, 2.0, 6.0]
    """

    def __init__(self, max_value=None, negative_slope=0.0, threshold=0.0, **kwargs):
        super().__init__(**kwargs)
        if max_value is not None:
            _not_negative("ReLU", "max_value", max_value)
        self.max_value = max_value
        self.negative_slope = _not_negative("ReLU", "negative_slope", negative_slope)
        self.threshold = _not_negative("ReLU", "threshold", threshold)
        self.supports_masking = True

    def call(self, x):
        return activations.relu(x, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(Layer):
    """x where positive, `negative_slope * x` elsewhere.

    Args:
        negative_slope: Slope for negative values.

    Shape:
        anything -> the same

    Raises:
        ValueError: the slope is negative.

    >>> import torch
    >>> LeakyReLU(0.5)(torch.tensor([-2.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    def __init__(self, negative_slope=0.3, **kwargs):
        super().__init__(**kwargs)
        self.negative_slope = _not_negative("LeakyReLU", "negative_slope", negative_slope)
        self.supports_masking = True

    def call(self, x):
        return F.leaky_relu(x, self.negative_slope)


class ELU(Layer):
    """x where positive, `alpha * (exp(x) - 1)` elsewhere.

    Args:
        alpha: Minus the value far to the left.

    Shape:
        anything -> the same

    Clevert et al. 2016, "Fast and accurate deep network learning by exponential linear units".

    >>> import torch
    >>> ELU()(torch.tensor([-99.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    def __init__(self, alpha=1.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha = alpha
        self.supports_masking = True

    def call(self, x):
        return F.elu(x, self.alpha)


class PReLU(Layer):
    """x where positive, `alpha * x` elsewhere, with learned slopes `alpha`.

    Args:
        alpha_initializer: How the slopes start.
        alpha_regularizer: Penalty added to the loss.
        alpha_constraint: Projection applied after each update.
        shared_axes: Axes (the first after the batch is 1) along which one slope serves all; for
            images `[1, 2]` leaves one slope per channel.

    Shape:
        `(batch, ...)` -> the same; one slope per place of a sample, fewer with `shared_axes`

    He et al. 2015, "Delving deep into rectifiers".

    >>> import torch
    >>> PReLU("ones", shared_axes=[1])(torch.tensor([[-2.0, 2.0]])).tolist()
    [[-2.0, 2.0]]
    """

    _casts_ints = True

    def __init__(
        self,
        alpha_initializer="Zeros",
        alpha_regularizer=None,
        alpha_constraint=None,
        shared_axes=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        single = shared_axes is not None and not isinstance(shared_axes, (list, tuple))
        self.shared_axes = [shared_axes] if single else shared_axes and list(shared_axes)

    def build(self, input_shape):
        shared = self.shared_axes or ()
        shape = [1 if axis in shared else n for axis, n in enumerate(input_shape)][1:]
        self.alpha = self.add_weight(
            name="alpha",
            shape=shape,
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        own = {axis: n for axis, n in enumerate(input_shape) if axis and axis not in shared}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=own)

    def call(self, x):
        return torch.relu(x) - self.alpha * torch.relu(-x)


class Softmax(Layer):
    """exp(x) over its sum along `axis`.

    Args:
        axis: One axis, or several that are normalized together.

    Shape:
        anything -> the same; `mask` (True: keep) broadcasts over the input, masked places give 0

    Raises:
        ValueError: the mask does not broadcast over the input.

    >>> import torch
    >>> Softmax()(torch.zeros(1, 2)).tolist()
    [[0.5, 0.5]]
    >>> Softmax()(torch.zeros(1, 2), mask=torch.tensor([[True, False]])).tolist()
    [[1.0, 0.0]]
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis
        self.supports_masking = True

    def call(self, x, mask=None):
        if mask is None:
            return activations.softmax(x, self.axis)
        hidden = ~self._checked(mask, x)
        # Not -inf: a row that is masked throughout would become NaN.
        x = x.masked_fill(hidden, -3e4 if x.dtype is torch.float16 else -1e9)
        return activations.softmax(x, self.axis).masked_fill(hidden, 0.0)

    def _checked(self, mask, x):
        pairs = zip(reversed(mask.shape), reversed(x.shape), strict=False)
        if mask.ndim > x.ndim or any(m not in (1, n) for m, n in pairs):
            raise ValueError(
                f"Softmax {self.name!r} got a mask of shape {tuple(mask.shape)} for an input of "
                f"shape {tuple(x.shape)}. Each axis of a mask has the input's size or 1. "
                "Add axes to the mask, for example mask[..., None]."
            )
        return mask if mask.dtype is torch.bool else mask > 0.5
