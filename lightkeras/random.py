"""Random numbers, with Keras's three kinds of seeds.

- None: torch's global generator, so `utils.set_random_seed` and `torch.manual_seed` govern it.
- an int: the same numbers in every call.
- a `SeedGenerator`: reproducible, and new numbers in every call.

The numbers of a seed are torch's: they are not those of Keras on another backend.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

from lightkeras._config import Configured
from lightkeras._device import default_device
from lightkeras._dtypes import as_tensor, torch_dtype
from lightkeras._older import old_names
from lightkeras._registry import unique_name

__all__ = [
    "SeedGenerator",
    "beta",
    "binomial",
    "categorical",
    "dropout",
    "gamma",
    "normal",
    "randint",
    "shuffle",
    "truncated_normal",
    "uniform",
]


# ---- seeds --------------------------------------------------------------------------------------


class SeedGenerator(Configured):
    """A reproducible seed that gives new numbers at every draw.

    Its whole state is two integers, (seed, number of draws so far), so that a restart can
    continue exactly where it stopped, on whatever device.

    Args:
        seed: Integer; None takes one from torch's global generator at the first draw.
        name: Shown in configs; automatic by default.

    Raises:
        ValueError: the seed is no integer.

    >>> generator = SeedGenerator(42)
    >>> first, second = uniform((2,), seed=generator), uniform((2,), seed=generator)
    >>> generator.get_state()
    (42, 2)
    >>> generator.set_state((42, 0))
    >>> bool((uniform((2,), seed=generator) == first).all())
    True
    """

    def __init__(self, seed=None, name=None):
        self.name = name or unique_name("seed_generator")
        self.seed = None if seed is None else _integer(seed)
        self._start, self._draws = self.seed, 0

    def next(self):
        """(seed, number of this draw); counts the draw."""
        seed, draws = self.get_state()
        self._draws += 1
        return seed, draws

    def get_state(self):
        """(seed, number of draws so far): two plain integers."""
        if self._start is None:
            self._start = int(torch.randint(2**31 - 1, (), device="cpu"))
        return self._start, self._draws

    def set_state(self, state):
        """Continue from what `get_state` gave (a pair, array or tensor)."""
        seed, draws = state
        self._start, self._draws = int(seed), int(draws)


def _integer(seed):
    if isinstance(seed, (int, np.integer)):
        return int(seed)
    raise ValueError(
        f"Expected a seed, got {type(seed).__name__}. An integer, a SeedGenerator or None is "
        "accepted. For example seed=42."
    )


def _generator(seed, device):
    """Source of the numbers on `device`; None stands for torch's global generator there."""
    if seed is None or device.type == "meta":
        return None
    number, draw = seed.next() if isinstance(seed, SeedGenerator) else (_integer(seed), 0)
    # Steps of 2**64 over the golden ratio keep the draws of neighbouring seeds apart.
    return torch.Generator(device).manual_seed((number + draw * 0x9E3779B97F4A7C15) % 2**64)


# ---- arguments ----------------------------------------------------------------------------------


def _setting(name, shape, dtype, seed):
    """Keyword arguments of a torch factory that draws floats."""
    dtype = torch_dtype(dtype)
    if not dtype.is_floating_point:
        raise ValueError(
            f"random.{name}() draws floats and got dtype={str(dtype).removeprefix('torch.')!r}. "
            "A float dtype is accepted. Use random.randint() for whole numbers."
        )
    device = default_device()
    size, generator = _size(name, shape), _generator(seed, device)
    return {"size": size, "dtype": dtype, "device": device, "generator": generator}


def _size(name, shape):
    size = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if any(n is None or n < 0 for n in size):
        raise ValueError(
            f"random.{name}() got shape={size}. Sizes of at least 0 are accepted. Where the batch "
            "size is unknown, draw inside a Layer's call(), with the shape of its input."
        )
    return size


# ---- floats -------------------------------------------------------------------------------------


def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Normally distributed floats.

    Args:
        shape: Shape of the result.
        mean: Mean.
        stddev: Standard deviation.
        dtype: Float dtype; `floatx()` by default.
        seed: None, an integer or a `SeedGenerator`.

    >>> normal((2, 3), seed=1).shape
    torch.Size([2, 3])
    """
    return torch.randn(**_setting("normal", shape, dtype, seed)) * stddev + mean


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Normally distributed floats within two standard deviations; arguments as for `normal`."""
    setting = _setting("truncated_normal", shape, dtype, seed)
    dtype = setting["dtype"]
    exact = torch.promote_types(dtype, torch.float32)  # 16 bits are too coarse for the tails
    p = torch.rand(**{**setting, "dtype": exact})
    limit = math.erf(math.sqrt(2))  # what lies within two standard deviations
    z = math.sqrt(2) * torch.erfinv((2 * p - 1) * limit)
    return (torch.clamp(z, -2, 2) * stddev + mean).to(dtype)


def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Floats spread evenly over `minval` (included) to `maxval` (excluded).

    Args:
        shape: Shape of the result.
        minval: Lower end.
        maxval: Upper end.
        dtype: Float dtype; `floatx()` by default.
        seed: None, an integer or a `SeedGenerator`.

    >>> uniform((2, 3), -1.0, 1.0, seed=1).shape
    torch.Size([2, 3])
    """
    return torch.rand(**_setting("uniform", shape, dtype, seed)) * (maxval - minval) + minval


def gamma(shape, alpha, dtype=None, seed=None):
    """Gamma-distributed floats of scale 1.

    Args:
        shape: Shape of the result.
        alpha: Shape parameter: a number, or a tensor that broadcasts to `shape`.
        dtype: Float dtype; `floatx()` by default.
        seed: None, an integer or a `SeedGenerator`.
    """
    return _gamma(_setting("gamma", shape, dtype, seed), alpha)


def _gamma(setting, alpha):
    alpha = _spread(setting, alpha)
    return torch._standard_gamma(alpha, generator=setting["generator"]).to(setting["dtype"])


def _spread(setting, value):
    """A parameter of a distribution, in the shape of the result."""
    exact = torch.promote_types(setting["dtype"], torch.float32)
    value = torch.as_tensor(value, dtype=exact, device=setting["device"])
    return value.expand(setting["size"])


def beta(shape, alpha, beta, dtype=None, seed=None):
    """Beta-distributed floats.

    Args:
        shape: Shape of the result.
        alpha: First parameter: a number, or a tensor that broadcasts to `shape`.
        beta: Second parameter, likewise.
        dtype: Float dtype; `floatx()` by default.
        seed: None, an integer or a `SeedGenerator`.
    """
    setting = _setting("beta", shape, dtype, seed)
    a, b = _gamma(setting, alpha), _gamma(setting, beta)
    return a / (a + b)


def binomial(shape, counts, probabilities, dtype=None, seed=None):
    """How many of `counts` trials succeed, as floats.

    Args:
        shape: Shape of the result.
        counts: Trials: a number, or a tensor that broadcasts to `shape`.
        probabilities: Chance of each, likewise.
        dtype: Float dtype; `floatx()` by default.
        seed: None, an integer or a `SeedGenerator`.
    """
    setting = _setting("binomial", shape, dtype, seed)
    counts, chance = _spread(setting, counts), _spread(setting, probabilities)
    if counts.is_meta:  # torch draws none there
        return torch.empty(setting["size"], dtype=setting["dtype"], device="meta")
    return torch.binomial(counts, chance, generator=setting["generator"]).to(setting["dtype"])


# ---- integers -----------------------------------------------------------------------------------


def randint(shape, minval, maxval, dtype="int32", seed=None):
    """Integers spread evenly over `minval` (included) to `maxval` (excluded).

    Args:
        shape: Shape of the result.
        minval: Lower end.
        maxval: Upper end.
        dtype: Integer dtype.
        seed: None, an integer or a `SeedGenerator`.

    Raises:
        ValueError: the dtype is no integer, or the range is empty.

    >>> randint((3,), 0, 10, seed=1).dtype
    torch.int32
    """
    dtype, device = torch_dtype(dtype), default_device()
    if dtype.is_floating_point or dtype.is_complex or dtype == torch.bool:
        raise ValueError(
            f"random.randint() draws integers and got dtype={str(dtype).removeprefix('torch.')!r}. "
            "An integer dtype is accepted. Use random.uniform() for floats."
        )
    if not maxval > minval:
        raise ValueError(
            f"random.randint() got minval={minval} and maxval={maxval}. maxval is excluded and "
            "must be larger. Swap the two, or add 1 to maxval."
        )
    size, generator = _size("randint", shape), _generator(seed, device)
    return torch.randint(
        int(minval), int(maxval), size, dtype=dtype, device=device, generator=generator
    )


def categorical(logits, num_samples, dtype="int32", seed=None):
    """Class ids drawn with the probabilities softmax(logits).

    Args:
        logits: Tensor of shape (batch, classes).
        num_samples: Draws for each row.
        dtype: Integer dtype.
        seed: None, an integer or a `SeedGenerator`.

    Shape: `(batch, classes)` -> `(batch, num_samples)`.

    Raises:
        ValueError: `logits` has not two axes.

    >>> categorical([[0.0, 9.0, 0.0]], 4, seed=1)
    tensor([[1, 1, 1, 1]], dtype=torch.int32)
    """
    logits = as_tensor(logits)
    if logits.ndim != 2:
        raise ValueError(
            f"random.categorical() got logits of shape {tuple(logits.shape)}. Two axes are "
            "accepted: (batch, classes). Reshape them first."
        )
    p, generator = torch.softmax(logits, -1), _generator(seed, logits.device)
    drawn = torch.multinomial(p, num_samples, replacement=True, generator=generator)
    return drawn.to(torch_dtype(dtype))


# ---- on tensors ---------------------------------------------------------------------------------


def dropout(inputs, rate, noise_shape=None, seed=None):
    """Zero a random share of the values and scale the others up to keep the sum.

    Args:
        inputs: Float tensor.
        rate: Share that is zeroed, 0 to 1.
        noise_shape: Shape of the mask, which broadcasts over `inputs`: an axis of 1 is dropped or
            kept as a whole; None in it takes the input's size.
        seed: None, an integer or a `SeedGenerator`.

    Raises:
        ValueError: the rate is not within 0 to 1, or `noise_shape` has another number of axes.

    >>> dropout(torch.ones(100), 0.5, seed=1).unique()
    tensor([0., 2.])
    """
    inputs = as_tensor(inputs)
    if not 0 <= rate <= 1:
        raise ValueError(
            f"random.dropout() got rate={rate}. A share from 0 to 1 is accepted. "
            "For 50 percent use 0.5."
        )
    if rate == 0:
        return inputs
    if rate == 1 or (seed is None and noise_shape is None):
        return F.dropout(inputs, rate)
    noise_shape = inputs.shape if noise_shape is None else noise_shape
    if len(noise_shape) != inputs.ndim:
        raise ValueError(
            f"random.dropout() got noise_shape={tuple(noise_shape)} for a tensor of shape "
            f"{tuple(inputs.shape)}. As many axes are accepted. Use None for an axis's own size."
        )
    size = [n if m is None else m for m, n in zip(noise_shape, inputs.shape, strict=True)]
    mask = torch.empty(size, dtype=inputs.dtype, device=inputs.device)
    mask.bernoulli_(1 - rate, generator=_generator(seed, inputs.device))
    return inputs * mask.div_(1 - rate)


def shuffle(x, axis=0, seed=None):
    """The slices of `x` along `axis` in random order.

    Args:
        x: Tensor.
        axis: Axis whose entries change places, whole slices at a time.
        seed: None, an integer or a `SeedGenerator`.

    >>> shuffle(torch.arange(4), seed=1).sort().values
    tensor([0, 1, 2, 3])
    """
    x = as_tensor(x)
    order = torch.randperm(x.shape[axis], device=x.device, generator=_generator(seed, x.device))
    return torch.index_select(x, axis, order)


__getattr__ = old_names(__name__)
