"""Noise that is added in training only: dropout and its relatives."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lightkeras import random, regularizers
from lightkeras.config import standardize_data_format
from lightkeras.layers._layer import Layer
from lightkeras.layers._spec import InputSpec

__all__ = [
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "share",
]


class _Noise(Layer):
    """Base of the layers that do something in training only; `_noisy` says what.

    With `seed` a layer draws from numbers of its own, whose state is `seed_generator.get_state()`;
    without, from torch's global generator.

    Shape:
        anything -> the same
    """

    _casts_ints = True

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = None if seed is None else random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, x, training=None):
        return self._noisy(x) if (self.training if training is None else training) else x

    def _noisy(self, x):
        return x

    def _normal(self, x):
        """Standard normal numbers in the form of `x`."""
        generator = random._generator(self.seed_generator, x.device)
        return torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)


def share(owner, argument, value):
    """`value`, if it is a number from 0 to 1.

    Raises:
        ValueError: it is not; percents are recognized.
    """
    number = hasattr(value, "__float__") and not isinstance(value, (str, bool))
    if not number or not 0 <= value <= 1:
        percent = number and 1 < value <= 100
        hint = f"For {value:g} percent type" if percent else "Type for example"
        raise ValueError(
            f"{owner}({argument}={value!r}) is out of range. It takes a share from 0 to 1. "
            f"{hint} {argument}={value / 100 if percent else 0.5:g}."
        )
    return value


class Dropout(_Noise):
    """Zeroes a random share of the values and scales the others up by `1 / (1 - rate)`.

    Args:
        rate: Share that is zeroed, 0 to 1.
        noise_shape: Shape of the mask, which broadcasts over the input: an axis of 1 is dropped or
            kept as a whole; None in it takes the input's size.
        seed: Seed of the layer's own numbers.

    Raises:
        ValueError: `rate` is not within 0 to 1, or `noise_shape` is no shape.

    Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".

    >>> import torch
    >>> layer = Dropout(0.5)
    >>> layer(torch.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    >>> layer(torch.ones(99), training=True).unique().tolist()
    [0.0, 2.0]
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.rate = share(type(self).__name__, "rate", rate)
        self.noise_shape = _noise_shape(type(self).__name__, noise_shape)

    def _noisy(self, x):
        if self.noise_shape is None and self.seed_generator is None:
            if x.device.type != "cpu" or x.dtype is not torch.float32 or self.rate == 1:
                return F.dropout(x, self.rate)
            # On the CPU torch draws coin tosses, which takes twice as long as uniform numbers.
            keep = 1 - self.rate
            return x * torch.empty_like(x).uniform_().lt_(keep).div_(keep)
        return random.dropout(x, self.rate, self.noise_shape, self.seed_generator)


def _noise_shape(owner, shape):
    if shape is None:
        return None
    sizes = list(shape) if hasattr(shape, "__iter__") and not isinstance(shape, str) else [-1]
    if not all(n is None or (hasattr(n, "__index__") and n > 0) for n in sizes):
        raise ValueError(
            f"{owner}(noise_shape={shape!r}) is not a shape. It takes whole numbers above 0, or "
            f"None for the input's own size. Type for example noise_shape=(None, 1, None)."
        )
    return tuple(None if n is None else int(n) for n in sizes)


class _SpatialDropout(Dropout):
    """Base of the dropout of whole feature maps: a channel is zeroed everywhere or nowhere.

    Tompson et al. 2015, "Efficient object localization using convolutional networks".
    """

    rank = 2

    def __init__(self, rate, data_format=None, seed=None, name=None, dtype=None, **kwargs):
        data_format, ones = standardize_data_format(data_format), (1,) * self.rank
        first = data_format == "channels_first"
        shape = (None, None, *ones) if first else (None, *ones, None)
        super().__init__(rate, noise_shape=shape, seed=seed, name=name, dtype=dtype, **kwargs)
        self.data_format = data_format
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def get_config(self):
        """Constructor arguments as plain values; Keras's takes no more than these."""
        config = {k: v for k, v in super().get_config().items() if k != "trainable"}
        return {**config, "dtype": self.dtype}


class SpatialDropout1D(_SpatialDropout):
    """Zeroes in training one channel of a sequence at all steps, or at none.

    Args:
        rate: Share of the channels that is zeroed, 0 to 1.
        seed: Seed of the layer's own numbers.

    Shape:
        `(batch, steps, channels)` -> the same

    >>> import torch
    >>> y = SpatialDropout1D(0.5, seed=1)(torch.ones(1, 4, 8), training=True)
    >>> bool((y == y[:, :1]).all()), y.unique().tolist()
    (True, [0.0, 2.0])
    """

    rank = 1

    def __init__(self, rate, seed=None, name=None, dtype=None, **kwargs):
        super().__init__(rate, "channels_last", seed=seed, name=name, dtype=dtype, **kwargs)


class SpatialDropout2D(_SpatialDropout):
    """Zeroes in training one channel of an image at all pixels, or at none.

    Args:
        rate: Share of the channels that is zeroed, 0 to 1.
        data_format: "channels_last" or "channels_first"; that of `config.image_data_format()` by
            default.
        seed: Seed of the layer's own numbers.

    Shape:
        `(batch, height, width, channels)` -> the same

    >>> import torch
    >>> y = SpatialDropout2D(0.5, seed=1)(torch.ones(1, 4, 4, 8), training=True)
    >>> bool((y == y[:, :1, :1]).all()), y.unique().tolist()
    (True, [0.0, 2.0])
    """


class SpatialDropout3D(_SpatialDropout):
    """Zeroes in training one channel of a volume in all places, or at none.

    Args:
        rate: Share of the channels that is zeroed, 0 to 1.
        data_format: "channels_last" or "channels_first"; that of `config.image_data_format()` by
            default.
        seed: Seed of the layer's own numbers.

    Shape:
        `(batch, depth, height, width, channels)` -> the same

    >>> import torch
    >>> y = SpatialDropout3D(0.5, seed=1)(torch.ones(1, 4, 4, 4, 8), training=True)
    >>> bool((y == y[:, :1, :1, :1]).all()), y.unique().tolist()
    (True, [0.0, 2.0])
    """

    rank = 3


class GaussianNoise(_Noise):
    """Adds normally distributed noise in training.

    Args:
        stddev: Standard deviation of the noise. (Keras refuses more than 1.)
        seed: Seed of the layer's own numbers.

    Shape:
        anything -> the same

    Raises:
        ValueError: `stddev` is negative.

    >>> import torch
    >>> layer = GaussianNoise(0.1)
    >>> layer(torch.zeros(2)).tolist()
    [0.0, 0.0]
    >>> 0.08 < layer(torch.zeros(9999), training=True).std() < 0.12
    tensor(True)
    """

    def __init__(self, stddev, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        if not hasattr(stddev, "__float__") or stddev < 0:
            raise ValueError(
                f"GaussianNoise(stddev={stddev!r}) is out of range. It takes a number of at least "
                "0. Type for example GaussianNoise(0.1)."
            )
        self.stddev = stddev

    def _noisy(self, x):
        return x + self.stddev * self._normal(x)


class GaussianDropout(_Noise):
    """Multiplies by normal noise around 1, of standard deviation `sqrt(rate / (1 - rate))`.

    Args:
        rate: What the rate of the `Dropout` of the same variance would be; below 1.
        seed: Seed of the layer's own numbers.

    Shape:
        anything -> the same

    Raises:
        ValueError: `rate` is not within 0 to 1, or is 1: the noise would be infinite.

    >>> import torch
    >>> abs(GaussianDropout(0.5)(torch.ones(9999), training=True).mean() - 1) < 0.1
    tensor(True)
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.rate = share("GaussianDropout", "rate", rate)
        if rate == 1:
            raise ValueError(
                "GaussianDropout(rate=1) would be infinite noise. It takes a share from 0 to below "
                "1. Type for example GaussianDropout(0.5)."
            )

    def _noisy(self, x):
        return x * (1 + math.sqrt(self.rate / (1 - self.rate)) * self._normal(x))


# SELU's value far to the left, -scale * alpha: what a dropped unit of a SELU network is set to.
_SATURATION = -1.0507009873554805 * 1.6732632423543772


class AlphaDropout(_Noise):
    """Dropout for SELU networks: keeps mean and variance by dropping to SELU's low end.

    Args:
        rate: Share that is dropped, 0 to 1.
        noise_shape: Shape of the mask, which broadcasts over the input; None in it takes the
            input's size.
        seed: Seed of the layer's own numbers.

    Shape:
        anything -> the same

    Raises:
        ValueError: `rate` is not within 0 to 1, or `noise_shape` is no shape.

    Klambauer et al. 2017, "Self-normalizing neural networks".

    >>> import torch
    >>> x = torch.randn(99999)
    >>> abs(AlphaDropout(0.3)(x, training=True).var() - 1) < 0.1
    tensor(True)
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.rate = share("AlphaDropout", "rate", rate)
        self.noise_shape = _noise_shape("AlphaDropout", noise_shape)

    def _noisy(self, x):
        if not 0 < self.rate < 1:
            return x if self.rate == 0 else torch.zeros_like(x)
        shape = x.shape if self.noise_shape is None else self.noise_shape
        shape = [n if m is None else m for m, n in zip(shape, x.shape, strict=True)]
        keep = torch.empty(shape, dtype=x.dtype, device=x.device)
        keep.bernoulli_(1 - self.rate, generator=random._generator(self.seed_generator, x.device))
        x = x * keep + _SATURATION * (1 - keep)
        scale = ((1 - self.rate) * (1 + self.rate * _SATURATION**2)) ** -0.5
        return scale * (x - _SATURATION * self.rate)


class ActivityRegularization(Layer):
    """Adds a penalty of its input to the loss, and returns the input.

    Args:
        l1: Factor of the sum of absolute values.
        l2: Factor of the sum of squares.

    Shape:
        anything -> the same

    >>> import torch
    >>> layer = ActivityRegularization(l2=0.5)
    >>> _ = layer(torch.tensor([[2.0]]))
    >>> [float(loss) for loss in layer.losses]
    [2.0]
    """

    def __init__(self, l1=0.0, l2=0.0, **kwargs):
        if "activity_regularizer" in kwargs:
            raise TypeError(
                "ActivityRegularization(activity_regularizer=...) is one already. It takes l1 and "
                "l2. For another one type Activation('linear', activity_regularizer=...)."
            )
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.l1, self.l2 = l1, l2
        self.supports_masking = True

    def call(self, x):
        return x
