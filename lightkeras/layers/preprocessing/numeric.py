"""Layers that shift and scale numbers: by constants, or by the mean and variance of data."""

from __future__ import annotations

import numpy as np
import torch

from lightkeras import config
from lightkeras._dtypes import native
from lightkeras.layers._layer import Layer

__all__ = ["Normalization", "Rescaling"]

_ROWS = 4096  # taken at a time from an array, so that it need not be copied as a whole


class Rescaling(Layer):
    """`inputs * scale + offset`, as floats, in training and in inference alike.

    Args:
        scale: A number, or one for each channel.
        offset: A number, or one for each channel.

    Shape:
        anything -> the same

    Raises:
        TypeError: a number is missing.

    >>> Rescaling(1 / 255)(torch.tensor([0, 255], dtype=torch.uint8)).tolist()
    [0.0, 1.0]
    """

    _casts_ints = True

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = _plain("scale", scale)
        self.offset = _plain("offset", offset)
        self.supports_masking = True
        for name in ("scale", "offset"):
            value = getattr(self, name)
            if not isinstance(value, float):  # a buffer goes where the model goes
                self.register_buffer(f"_{name}", self._per_channel(value), persistent=False)

    def _per_channel(self, value):
        value = torch.tensor(value, dtype=self._dtype_in)
        if config.image_data_format() == "channels_first":
            value = value.view(*value.shape, *[1] * (3 - value.ndim))
        return value

    def call(self, x):
        own = self._buffers
        return x * own.get("_scale", self.scale) + own.get("_offset", self.offset)

    def compute_output_shape(self, input_shape):
        return input_shape

    @classmethod
    def from_config(cls, config):
        # Keras writes an array as {"class_name": "__numpy__", "config": {"value": ...}}.
        given = {k: config[k] for k in ("scale", "offset") if isinstance(config.get(k), dict)}
        return cls(**{**config, **{k: v["config"]["value"] for k, v in given.items()}})


def _plain(argument, value):
    """A number or nested lists of numbers, as a config has it."""
    try:
        return np.asarray(value, dtype="float64").tolist() if np.ndim(value) else float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"Rescaling({argument}={value!r}) is no number. It takes a number, or one for each "
            "channel. Type for example Rescaling(1 / 255)."
        ) from None


class Normalization(Layer):
    """Shifts and scales inputs to mean 0 and variance 1: `(inputs - mean) / sqrt(variance)`.

    Mean and variance are given, or taken from data by `adapt`, before training.

    Args:
        axis: Axis or axes that have a mean and a variance for each entry; None for one of all.
        mean, variance: The numbers, if they are known; both or neither.
        invert: Go back: `inputs * sqrt(variance) + mean`.

    Shape:
        anything -> the same

    Raises:
        ValueError: only one of mean and variance is given, their shapes do not fit, or an axis is
            not there or of unknown size.

    >>> layer = Normalization()
    >>> layer.adapt(np.array([[1.0], [3.0]]))
    >>> layer(torch.tensor([[2.0], [5.0]])).tolist()
    [[0.0], [3.0]]
    """

    _casts_ints = True

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, **kwargs):
        super().__init__(**kwargs)
        self.axis = () if axis is None else tuple(np.atleast_1d(axis).tolist())
        self.input_mean, self.input_variance = mean, variance
        self.invert = invert
        self.supports_masking = True
        if (mean is None) != (variance is None):
            raise ValueError(
                "Normalization() got only one of mean and variance. It takes both, or neither and "
                "adapt(data). Add the other one."
            )
        for name, value in (("mean", mean), ("variance", variance)):
            if value is not None and np.asarray(value).dtype.kind not in "biuf":
                raise TypeError(
                    f"Normalization({name}={value!r:.60}) holds what is no number. A number or an "
                    f"array of them is accepted. Type for example {name}=0.5."
                )
        if np.shape(mean) != np.shape(variance) or np.ndim(mean) > len(self.axis):
            raise ValueError(
                f"Normalization() got a mean of shape {np.shape(mean)} and a variance of shape "
                f"{np.shape(variance)} for axis={self.axis}. They have one shape, of at most "
                f"{len(self.axis)} axes. List in axis= the axes that have their own numbers."
            )

    def build(self, input_shape):
        rank = len(input_shape)
        if any(not -rank <= a < rank for a in self.axis):
            raise ValueError(
                f"Normalization(axis={self.axis}) got inputs of shape {tuple(input_shape)}. Their "
                f"axes run from {-rank} to {rank - 1}. Choose one of them."
            )
        self._kept = tuple(sorted(a % rank for a in self.axis))
        if any(input_shape[a] is None for a in self._kept):
            raise ValueError(
                f"Normalization(axis={self.axis}) got inputs of shape {tuple(input_shape)}. It "
                "needs their sizes. Give them in Input(shape), or use axis=None."
            )
        self._broadcast = tuple(n if a in self._kept else 1 for a, n in enumerate(input_shape))
        self._sizes = tuple(input_shape[a] for a in self._kept)
        if self.input_mean is None:
            self.adapt_mean = self._state("mean", "zeros")
            self.adapt_variance = self._state("variance", "ones")
            self.count = self.add_weight((), "zeros", dtype="int32", trainable=False, name="count")
        else:
            self.register_buffer("_given_mean", self._given(self.input_mean), persistent=False)
            self.register_buffer(
                "_given_variance", self._given(self.input_variance), persistent=False
            )

    def _state(self, name, initializer):
        return self.add_weight(self._sizes, initializer, trainable=False, name=name)

    def _given(self, value):
        value = torch.as_tensor(native(np.asarray(value)), dtype=self._dtype_in)
        return value.expand(self._sizes).reshape(self._broadcast).clone()

    @property
    def mean(self):
        """The mean, in a shape that broadcasts over inputs; None before the layer is built."""
        return self._statistic("mean")

    @property
    def variance(self):
        """The variance, in a shape that broadcasts over inputs; None before the layer is built."""
        return self._statistic("variance")

    def _statistic(self, name):
        if self.input_mean is not None:
            return self._buffers.get(f"_given_{name}")
        value = self._buffers.get(f"adapt_{name}")
        return None if value is None else value.as_subclass(torch.Tensor).view(self._broadcast)

    def call(self, x):
        deviation = self.variance.sqrt().clamp(min=config.epsilon())
        return x * deviation + self.mean if self.invert else (x - self.mean) / deviation

    def compute_output_shape(self, input_shape):
        return input_shape

    def adapt(self, data):
        """Take mean and variance from data, instead of those from before.

        Args:
            data: An array, a tensor, or something that yields batches of them: a list, generator,
                DataLoader, PyDataset; of tuples the first entry counts.

        Raises:
            ValueError: mean and variance were given to the layer, the data is empty, or its shape
                is not what the layer was built for.
            TypeError: what it yields is no array.
        """
        if self.input_mean is not None:
            raise ValueError(
                f"{self.name!r} was given its mean and variance. adapt() takes them from data. "
                "Make the layer without mean= and variance=."
            )
        count, mean, square = 0, 0.0, 0.0  # square: summed squared distance from the mean
        for batch in _batches(data):
            batch = self._checked(batch).double()
            dims = [a for a in range(batch.ndim) if a not in self._kept]
            size = batch.numel() // max(int(np.prod(self._sizes)), 1)
            own = batch.mean(dims, keepdim=True) if dims else batch
            spread = (batch - own).square()
            shift = own.view(self._sizes) - mean
            count += size
            mean = mean + shift * (size / count)
            square = square + (spread.sum(dims) if dims else spread)
            square = square + shift.square() * (size * (count - size) / count)
        if not count:
            raise ValueError(
                f"{self.name!r}.adapt() got no data. It takes an array or batches with at least "
                "one row. Check that the generator is not used up."
            )
        with torch.no_grad():
            self.adapt_mean.copy_(mean)
            self.adapt_variance.copy_(square / count)

    def _checked(self, batch):
        batch = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
        if not hasattr(batch, "shape"):
            raise TypeError(
                f"{self.name!r}.adapt() got {type(batch).__name__} as a batch. It takes arrays and "
                "tensors. Type adapt(numpy.array(data))."
            )
        batch = batch if isinstance(batch, torch.Tensor) else torch.as_tensor(np.array(batch))
        if not self.built:
            self.build(tuple(batch.shape))
        fits = batch.ndim == len(self._broadcast)
        if not fits or any(batch.shape[a] != self._broadcast[a] for a in self._kept):
            wanted = tuple(n if a in self._kept else None for a, n in enumerate(self._broadcast))
            raise ValueError(
                f"{self.name!r}.adapt() got data of shape {tuple(batch.shape)}. The layer was "
                f"built for {wanted}. Give data of that shape, or make a new layer."
            )
        return batch.detach()

    def get_config(self):
        given = {"mean": self.input_mean, "variance": self.input_variance}
        given = {k: None if v is None else np.asarray(v).tolist() for k, v in given.items()}
        return {**super().get_config(), **given}


def _batches(data):
    """Batches of an array (slices of it), or those that `data` yields."""
    if hasattr(data, "shape"):
        data = data if isinstance(data, torch.Tensor) else np.asarray(data)
        step = _ROWS if data.ndim else 1
        return (data[i : i + step] for i in range(0, len(data), step))
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return (data[i] for i in range(len(data)))
    if hasattr(data, "__iter__"):
        return iter(data)
    raise TypeError(
        f"adapt() got {type(data).__name__}. It takes an array, a tensor, or something that yields "
        "batches of them. Type adapt(numpy.array(data))."
    )
