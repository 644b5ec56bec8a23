"""Initializers: what a weight holds before training.

Shapes are Keras's, with the outputs last: (in, out) for Dense, (height, width, in, out) for
Conv2D. Values come on torch's default device, the CPU unless one was set.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from lightkeras import random
from lightkeras._config import Configured
from lightkeras._device import default_device
from lightkeras._dtypes import dtype_name, torch_dtype
from lightkeras._kinds import CHOICE, NUMBER, NUMBERS
from lightkeras._older import old_names
from lightkeras._registry import Table, unknown

__all__ = [
    "STFT",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "STFTInitializer",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "stft",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]


class Initializer(Configured):
    """Base of all initializers: define `__call__(self, shape, dtype=None)`, returning a tensor.

    Args of every initializer's call:
        shape: The weight's shape, outputs last.
        dtype: Its dtype; `floatx()` by default.

    >>> class Tenths(Initializer):
    ...     def __call__(self, shape, dtype=None):
    ...         return torch.full(shape, 0.1)
    >>> Tenths()((2,))
    tensor([0.1000, 0.1000])
    """

    _kinds = {
        "gain": NUMBER,
        "maxval": NUMBER,
        "mean": NUMBER,
        "minval": NUMBER,
        "mode": CHOICE,
        "scale": NUMBER,
        "scaling": CHOICE,
        "side": CHOICE,
        "stddev": NUMBER,
        "value": NUMBERS,
    }

    def clone(self):
        """A new initializer with the same arguments."""
        return type(self).from_config(self.get_config())


# ---- fixed values -------------------------------------------------------------------------------


class Zeros(Initializer):
    """All 0."""

    def __call__(self, shape, dtype=None):
        return torch.zeros(shape, dtype=torch_dtype(dtype), device=default_device())


class Ones(Initializer):
    """All 1."""

    def __call__(self, shape, dtype=None):
        return torch.ones(shape, dtype=torch_dtype(dtype), device=default_device())


class Constant(Initializer):
    """One value everywhere.

    Args:
        value: A number, or an array that broadcasts to the weight's shape.

    Raises:
        ValueError: the weight's shape does not fit an array.

    >>> Constant(3.0)((2,))
    tensor([3., 3.])
    """

    _exact = False  # an array that stands for an initializer has the weight's own shape

    def __init__(self, value=0.0):
        self.value = value

    def __call__(self, shape, dtype=None):
        value = torch.as_tensor(self.value, dtype=torch_dtype(dtype), device=default_device())
        try:
            full = value.expand(tuple(shape)).clone()
        except RuntimeError:
            full = None
        if full is None or (self._exact and value.shape != full.shape):
            raise ValueError(
                f"An initial value of shape {tuple(value.shape)} was given for a weight of shape "
                f"{tuple(shape)}. The shapes must be equal. Reshape the value first."
            )
        return full

    def get_config(self):
        value = self.value
        if isinstance(value, (np.ndarray, np.generic, torch.Tensor)):
            stored = {"value": value.tolist(), "dtype": dtype_name(value.dtype)}
            value = {"class_name": "__numpy__", "config": stored} if value.ndim else value.tolist()
        return {"value": value}

    @classmethod
    def from_config(cls, config):
        value = config.get("value", 0.0)
        if isinstance(value, dict):  # on the CPU also where "meta" is the default: a value stays
            stored = value.get("config") or {}
            dtype = torch_dtype(stored.get("dtype"))
            value = torch.as_tensor(stored.get("value"), dtype=dtype, device="cpu")
        return cls(value)


class Identity(Initializer):
    """The identity matrix, for weights with two axes.

    Args:
        gain: Factor on it.

    Raises:
        ValueError: the weight has not two axes.
    """

    def __init__(self, gain=1.0):
        self.gain = gain

    def __call__(self, shape, dtype=None):
        if len(shape) != 2:
            raise ValueError(
                f"Identity was given for a weight of shape {tuple(shape)}. Two axes are accepted. "
                "Use another initializer here."
            )
        return self.gain * torch.eye(*shape, dtype=torch_dtype(dtype), device=default_device())


class STFT(Initializer):
    """Kernels that compute a short-time Fourier transform.

    Shape: `(frame length, 1, fft length // 2 + 1)`.

    Args:
        side: "real" or "imag" part.
        window: Name of a window ("hann", "hamming"...), its values, or None.
        scaling: "density" (square root of the window's energy), "spectrum" (its sum) or None.
        periodic: Whether the window is periodic rather than symmetric.

    Raises:
        ValueError: an argument is none of these, or the window has another length.
    """

    _windows = ("bartlett", "blackman", "cosine", "exponential", "hamming", "hann", "nuttall")

    def __init__(self, side="real", window="hann", scaling="density", periodic=False):
        _choose("side", side, ("real", "imag"))
        _choose("scaling", scaling, ("density", "spectrum", None))
        if isinstance(window, str):
            _choose("window", window, self._windows)
        self.side, self.window, self.scaling = side, window, scaling
        self.periodic = periodic

    def __call__(self, shape, dtype=None):
        if len(shape) != 3 or shape[2] < 2:
            raise ValueError(
                f"STFT was given for a weight of shape {tuple(shape)}. The shape (frame length, 1, "
                "fft length // 2 + 1) is accepted. Use another initializer here."
            )
        length, _, bins = shape
        grid = {"dtype": torch.float64, "device": default_device()}
        time, frequency = torch.arange(length, **grid), torch.arange(bins, **grid)
        angle = -math.pi * time[:, None] * frequency / (bins - 1)  # (length, bins)
        kernel = torch.cos(angle) if self.side == "real" else torch.sin(angle)
        if self.window is not None:
            kernel = kernel * self._window(length, grid)[:, None]
        return kernel[:, None, :].to(torch_dtype(dtype))

    def _window(self, length, grid):
        window = self.window
        if isinstance(window, str):
            window = getattr(torch.signal.windows, window)(length, sym=not self.periodic, **grid)
        window = torch.as_tensor(window, **grid)
        if window.shape != (length,):
            raise ValueError(
                f"STFT got a window of shape {tuple(window.shape)} for frames of {length}. "
                f"The shape ({length},) is accepted. Name a window, or give its {length} values."
            )
        if self.scaling == "density":
            return window / window.square().sum().sqrt()
        return window / window.abs().sum() if self.scaling == "spectrum" else window


def _choose(argument, value, accepted):
    if value not in accepted:
        raise unknown(argument, value, accepted)


# ---- random values ------------------------------------------------------------------------------


class RandomInitializer(Initializer):
    """Base of the initializers that draw.

    Args:
        seed: None: new values from torch's global generator in every call. An integer: the same
            values in every call. A `SeedGenerator`: reproducible, new ones in every call.
    """

    def __init__(self, seed=None):
        if isinstance(seed, dict):  # the config of a SeedGenerator
            seed = random.SeedGenerator.from_config(seed.get("config") or {})
        elif seed is not None and not isinstance(seed, random.SeedGenerator):
            seed = random._integer(seed)
        self.seed = seed


class RandomNormal(RandomInitializer):
    """Normally distributed values.

    Args:
        mean: Mean.
        stddev: Standard deviation.
        seed: None, an integer or a `SeedGenerator`.

    >>> RandomNormal(stddev=0.01, seed=1)((3, 2)).shape
    torch.Size([3, 2])
    """

    def __init__(self, mean=0.0, stddev=0.05, seed=None):
        super().__init__(seed)
        self.mean, self.stddev = mean, stddev

    def __call__(self, shape, dtype=None):
        return random.normal(shape, self.mean, self.stddev, dtype, self.seed)


class TruncatedNormal(RandomNormal):
    """Normally distributed values within two standard deviations; arguments of `RandomNormal`."""

    def __call__(self, shape, dtype=None):
        return random.truncated_normal(shape, self.mean, self.stddev, dtype, self.seed)


class RandomUniform(RandomInitializer):
    """Values spread evenly over a range.

    Args:
        minval: Lower end.
        maxval: Upper end, excluded.
        seed: None, an integer or a `SeedGenerator`.
    """

    def __init__(self, minval=-0.05, maxval=0.05, seed=None):
        super().__init__(seed)
        self.minval, self.maxval = minval, maxval

    def __call__(self, shape, dtype=None):
        return random.uniform(shape, self.minval, self.maxval, dtype, self.seed)


class VarianceScaling(RandomInitializer):
    """Random values of variance scale / n, where n counts the units around the weight.

    Args:
        scale: Factor on the variance.
        mode: What n counts: "fan_in" (inputs), "fan_out" (outputs), "fan_avg" (their mean).
        distribution: "truncated_normal" (also "normal"), "untruncated_normal" or "uniform".
        seed: None, an integer or a `SeedGenerator`.
        input_axes: Axes of the shape whose product is fan-in, if not Keras's usual ones.
        output_axes: Likewise for fan-out; both or neither are given.

    Raises:
        ValueError: an argument is none of these.

    >>> kernel = VarianceScaling(2.0, "fan_in", "uniform", seed=1)((3, 3, 16, 32))
    >>> float(kernel.max()) < (3 * 2.0 / (3 * 3 * 16)) ** 0.5
    True
    """

    def __init__(
        self,
        scale=1.0,
        mode="fan_in",
        distribution="truncated_normal",
        seed=None,
        input_axes=None,
        output_axes=None,
    ):
        super().__init__(seed)
        if not scale > 0:
            raise ValueError(
                f"VarianceScaling() got scale={scale}. A positive number is accepted. "
                "For example scale=1.0."
            )
        distribution = str(distribution).lower()
        distribution = "truncated_normal" if distribution == "normal" else distribution
        _choose("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        _choose("distribution", distribution, ("truncated_normal", "untruncated_normal", "uniform"))
        self.scale, self.mode, self.distribution = scale, mode, distribution
        self.input_axes, self.output_axes = input_axes, output_axes

    def __call__(self, shape, dtype=None):
        fan_in, fan_out = _fans(shape, self.input_axes, self.output_axes)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, n))
        if self.distribution == "uniform":
            limit = math.sqrt(3) * stddev
            return random.uniform(shape, -limit, limit, dtype, self.seed)
        if self.distribution == "untruncated_normal":
            return random.normal(shape, 0.0, stddev, dtype, self.seed)
        stddev /= 0.87962566103423978  # what cutting the tails leaves of a standard deviation of 1
        return random.truncated_normal(shape, 0.0, stddev, dtype, self.seed)


def _fans(shape, input_axes=None, output_axes=None):
    """(fan-in, fan-out) of a weight in Keras's layout."""
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[a] for a in input_axes), math.prod(shape[a] for a in output_axes)
    if len(shape) < 2:
        return math.prod(shape), math.prod(shape)
    *window, inputs, outputs = shape
    return math.prod(window) * inputs, math.prod(window) * outputs


class _Scaled(VarianceScaling):
    """VarianceScaling with scale, mode and distribution given by the class.

    Args:
        seed: None, an integer or a `SeedGenerator`.
        input_axes: See `VarianceScaling`.
        output_axes: See `VarianceScaling`.
    """

    def __init__(self, seed=None, input_axes=None, output_axes=None):
        super().__init__(self.scale, self.mode, self.distribution, seed, input_axes, output_axes)


class GlorotUniform(_Scaled):
    """Uniform within sqrt(6 / (fan_in + fan_out)), also called Xavier (Glorot & Bengio, 2010)."""

    scale, mode, distribution = 1.0, "fan_avg", "uniform"


class GlorotNormal(_Scaled):
    """Truncated normal of variance 2 / (fan_in + fan_out) (Glorot & Bengio, 2010)."""

    scale, mode, distribution = 1.0, "fan_avg", "truncated_normal"


class LecunNormal(_Scaled):
    """Truncated normal of variance 1 / fan_in; what selu needs (Klambauer et al., 2017)."""

    scale, mode, distribution = 1.0, "fan_in", "truncated_normal"


class LecunUniform(_Scaled):
    """Uniform within sqrt(3 / fan_in) (LeCun et al., 1998)."""

    scale, mode, distribution = 1.0, "fan_in", "uniform"


class HeNormal(_Scaled):
    """Truncated normal of variance 2 / fan_in; what relu likes (He et al., 2015)."""

    scale, mode, distribution = 2.0, "fan_in", "truncated_normal"


class HeUniform(_Scaled):
    """Uniform within sqrt(6 / fan_in) (He et al., 2015)."""

    scale, mode, distribution = 2.0, "fan_in", "uniform"


class Orthogonal(RandomInitializer):
    """A random orthogonal matrix: orthogonal columns, or rows where there are fewer rows.

    Weights with more axes are taken as a matrix (all but the last, last) (Saxe et al., 2014).

    Args:
        gain: Factor on it.
        seed: None, an integer or a `SeedGenerator`.

    Raises:
        ValueError: the weight has fewer than two axes.

    >>> q = Orthogonal(seed=1)((4, 2))
    >>> torch.allclose(q.T @ q, torch.eye(2), atol=1e-5)
    True
    """

    def __init__(self, gain=1.0, seed=None):
        super().__init__(seed)
        self.gain = gain

    def __call__(self, shape, dtype=None):
        if len(shape) < 2:
            raise ValueError(
                f"Orthogonal was given for a weight of shape {tuple(shape)}. Two axes or more are "
                "accepted. Use another initializer here."
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        dtype = torch_dtype(dtype)
        exact = torch.promote_types(dtype, torch.float32)  # qr knows no 16 bits
        a = random.normal((max(rows, columns), min(rows, columns)), dtype=exact, seed=self.seed)
        q, r = torch.linalg.qr(a)
        q = q * torch.sign(torch.diagonal(r))  # makes all orthogonal matrices equally likely
        q = q.T if rows < columns else q
        return (self.gain * q).reshape(tuple(shape)).to(dtype)


# ---- lookup -------------------------------------------------------------------------------------

constant = Constant
glorot_normal, glorot_uniform = GlorotNormal, GlorotUniform
he_normal, he_uniform = HeNormal, HeUniform
identity = IdentityInitializer = Identity
lecun_normal, lecun_uniform = LecunNormal, LecunUniform
ones, zeros = Ones, Zeros
orthogonal = OrthogonalInitializer = Orthogonal
random_normal, random_uniform = RandomNormal, RandomUniform
stft = STFTInitializer = STFT
truncated_normal, variance_scaling = TruncatedNormal, VarianceScaling

_table = Table(
    "initializer",
    [Constant, Identity, Ones, STFT, Zeros, Orthogonal]
    + [RandomNormal, RandomUniform, TruncatedNormal, VarianceScaling]
    + [GlorotNormal, GlorotUniform, HeNormal, HeUniform, LecunNormal, LecunUniform],
    {
        "IdentityInitializer": Identity,
        "OrthogonalInitializer": Orthogonal,
        "STFTInitializer": STFT,
        "normal": RandomNormal,
        "one": Ones,
        "uniform": RandomUniform,
        "zero": Zeros,
    },
    base=Initializer,
)


def get(identifier):
    """The initializer for a name, a config, a class, a function of (shape, dtype), or None.

    An array or tensor gives an initializer that returns it, for a weight of just its shape.

    Raises:
        ValueError: no initializer is called so.

    >>> get("he_normal").get_config()
    {'seed': None, 'input_axes': None, 'output_axes': None}
    """
    if isinstance(identifier, (np.ndarray, np.generic, torch.Tensor)):
        values = Constant(identifier)
        values._exact = True
        return values
    return _table.get(identifier)


def serialize(initializer):
    """The config of an initializer."""
    return _table.serialize(initializer)


def deserialize(config, custom_objects=None):
    """The initializer that a config describes."""
    return _table.deserialize(config, custom_objects)


__getattr__ = old_names(__name__)
