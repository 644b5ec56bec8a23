"""Learning rate schedules: the rate as a function of the number of steps made.

>>> from lightkeras.optimizers import schedules
>>> rate = schedules.ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)
>>> rate(0), rate(100), rate(200)
(0.1, 0.05, 0.025)
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from types import SimpleNamespace

import torch

from lightkeras._config import Configured
from lightkeras._kinds import FLAG, FROM_0, NUMBER, NUMBERS, POSITIVE, TEXT
from lightkeras._older import old_names
from lightkeras._registry import Table

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


class LearningRateSchedule(Configured):
    """Base of all schedules; a subclass defines `__call__(step)`.

    Shape:
        A step number gives a float; a tensor of steps gives a tensor of the same shape.

    >>> class Halving(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.5**step
    >>> Halving().at(3)
    0.125
    """

    _kinds = {
        "alpha": NUMBER,
        "cycle": FLAG,
        "boundaries": NUMBERS,
        "decay_rate": NUMBER,
        "decay_steps": NUMBER,
        "end_learning_rate": NUMBER,
        "first_decay_steps": NUMBER,
        "initial_learning_rate": NUMBER,
        "m_mul": NUMBER,
        "name": TEXT,
        "power": NUMBER,
        "staircase": FLAG,
        "t_mul": POSITIVE,
        "values": NUMBERS,
        "warmup_target": NUMBER | None,
    }

    def __call__(self, step):
        raise TypeError(
            f"{type(self).__name__} has no __call__(self, step). A schedule computes the learning "
            "rate there. Define it in the class."
        )

    def at(self, step: int) -> float:
        """The rate of one step as a float; a user's schedule sees the step as a tensor."""
        return float(self(torch.tensor(step)))


# The same formulas serve numbers (in every training step: no tensor is made) and tensors.
_number = SimpleNamespace(
    floor=math.floor,
    ceil=math.ceil,
    cos=math.cos,
    log=math.log,
    at_most=min,
    at_least=max,
    where=lambda condition, yes, no: yes if condition else no,
)
_tensor = SimpleNamespace(
    floor=torch.floor,
    ceil=torch.ceil,
    cos=torch.cos,
    log=torch.log,
    at_most=lambda x, most: torch.clamp(x, max=most),
    at_least=lambda x, least: torch.clamp(x, min=least),
    where=torch.where,
)


class _Decay(LearningRateSchedule):
    """A formula `_rate(step, maths)` written once for numbers and tensors."""

    _rate: Callable

    def __call__(self, step):
        if isinstance(step, torch.Tensor):
            return self._rate(step.to(torch.get_default_dtype()), _tensor)
        return float(self._rate(step, _number))

    def at(self, step):
        if type(self).__call__ is not _Decay.__call__:
            return super().at(step)
        return float(self._rate(step, _number))

    def _require_positive(self, name):
        if not getattr(self, name) > 0:
            raise ValueError(
                f"{type(self).__name__}({name}={getattr(self, name)}) must be positive. It is a "
                f"number of steps. Write {name}=1000, for example."
            )


class ExponentialDecay(_Decay):
    """Multiplied every some steps: `rate * decay_rate ** (step / decay_steps)`.

    Args:
        initial_learning_rate: Rate of step 0.
        decay_steps: Steps after which `decay_rate` has been applied once.
        decay_rate: Factor.
        staircase: Jump every `decay_steps` steps instead of falling smoothly.
        name: Name.

    Raises:
        ValueError: `decay_steps` is not positive.
    """

    _kinds = {"decay_rate": FROM_0}

    def __init__(
        self,
        initial_learning_rate,
        decay_steps,
        decay_rate,
        staircase=False,
        name="ExponentialDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name
        self._require_positive("decay_steps")

    def _rate(self, step, maths):
        periods = step / self.decay_steps
        if self.staircase:
            periods = maths.floor(periods)
        return self.initial_learning_rate * self.decay_rate**periods


class InverseTimeDecay(_Decay):
    """Divided by a growing number: `rate / (1 + decay_rate * step / decay_steps)`.

    Args: as for `ExponentialDecay`.

    >>> InverseTimeDecay(0.1, decay_steps=1, decay_rate=1.0)(3)
    0.025
    """

    def __init__(
        self,
        initial_learning_rate,
        decay_steps,
        decay_rate,
        staircase=False,
        name="InverseTimeDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name
        self._require_positive("decay_steps")

    def _rate(self, step, maths):
        periods = step / self.decay_steps
        if self.staircase:
            periods = maths.floor(periods)
        return self.initial_learning_rate / (1 + self.decay_rate * periods)


class PiecewiseConstantDecay(_Decay):
    """One value up to and including each boundary.

    Args:
        boundaries: Increasing step numbers.
        values: Rates; one more than boundaries.
        name: Name.

    Raises:
        ValueError: the lengths do not fit.

    >>> rate = PiecewiseConstantDecay([10, 20], [0.1, 0.01, 0.001])
    >>> rate(10), rate(11), rate(21)
    (0.1, 0.01, 0.001)
    """

    def __init__(self, boundaries, values, name="PiecewiseConstant"):
        self.boundaries = boundaries
        self.values = values
        self.name = name
        if len(values) != len(boundaries) + 1 or not values:
            raise ValueError(
                f"PiecewiseConstantDecay got {len(boundaries)} boundaries and {len(values)} values."
                " There is one value more than boundaries. Add or remove a value."
            )

    def _rate(self, step, maths):
        if maths is _number:
            return self.values[bisect.bisect_left(self.boundaries, step)]
        boundaries = torch.tensor(self.boundaries, dtype=step.dtype, device=step.device)
        values = torch.tensor(self.values, dtype=step.dtype, device=step.device)
        return values[torch.bucketize(step, boundaries)]


class PolynomialDecay(_Decay):
    """From one rate to another: `(first - last) * (1 - step / decay_steps) ** power + last`.

    Args:
        initial_learning_rate: Rate of step 0.
        decay_steps: Steps until `end_learning_rate` is reached.
        end_learning_rate: Rate at the end and after it.
        power: 1 is a straight line.
        cycle: Start over, with a longer way down, whenever the end is reached.
        name: Name.

    Raises:
        ValueError: `decay_steps` is not positive.

    >>> PolynomialDecay(1.0, decay_steps=4, end_learning_rate=0.0)(1)
    0.75
    """

    def __init__(
        self,
        initial_learning_rate,
        decay_steps,
        end_learning_rate=0.0001,
        power=1.0,
        cycle=False,
        name="PolynomialDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name
        self._require_positive("decay_steps")

    def _rate(self, step, maths):
        steps = self.decay_steps
        if self.cycle:
            steps = steps * maths.at_least(maths.ceil(step / steps), 1)
        else:
            step = maths.at_most(step, steps)
        way = self.initial_learning_rate - self.end_learning_rate
        return way * (1 - step / steps) ** self.power + self.end_learning_rate


class CosineDecay(_Decay):
    """Down a half cosine, optionally after a linear warm-up (SGDR, arXiv 1608.03983).

    Args:
        initial_learning_rate: Rate of step 0.
        decay_steps: Length of the way down, after the warm-up.
        alpha: Fraction of the rate that is left at the end.
        name: Name.
        warmup_target: Rate that the warm-up climbs to; None: no warm-up.
        warmup_steps: Length of the warm-up.

    Raises:
        ValueError: `decay_steps` is not positive.

    >>> rate = CosineDecay(0.0, decay_steps=10, warmup_target=1.0, warmup_steps=4)
    >>> rate(2), rate(4), rate(9), rate(14)
    (0.5, 1.0, 0.5, 0.0)
    """

    def __init__(
        self,
        initial_learning_rate,
        decay_steps,
        alpha=0.0,
        name="CosineDecay",
        warmup_target=None,
        warmup_steps=0,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps
        self._require_positive("decay_steps")

    def _rate(self, step, maths):
        if self.warmup_target is None:
            return self._down(step, self.initial_learning_rate, maths)
        start, top, steps = self.initial_learning_rate, self.warmup_target, self.warmup_steps
        climbing = start + (top - start) * (step / steps) if steps else top
        return maths.where(step < steps, climbing, self._down(step - steps, top, maths))

    def _down(self, step, top, maths):
        done = maths.at_most(step, self.decay_steps) / self.decay_steps
        wave = 0.5 * (1 + maths.cos(math.pi * done))
        return top * ((1 - self.alpha) * wave + self.alpha)


class CosineDecayRestarts(_Decay):
    """Half cosines, each `t_mul` times as long and `m_mul` times as high as the one before.

    (SGDR, arXiv 1608.03983.)

    Args:
        initial_learning_rate: Rate of step 0.
        first_decay_steps: Length of the first way down.
        t_mul: Growth of the length.
        m_mul: Growth of the height.
        alpha: Fraction of the rate that is left at the end.
        name: Name.

    Raises:
        ValueError: `first_decay_steps` is not positive.

    >>> rate = CosineDecayRestarts(1.0, first_decay_steps=10, m_mul=0.5)
    >>> rate(0), rate(10), rate(30)
    (1.0, 0.5, 0.25)
    """

    def __init__(
        self,
        initial_learning_rate,
        first_decay_steps,
        t_mul=2.0,
        m_mul=1.0,
        alpha=0.0,
        name="SGDRDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name
        self._require_positive("first_decay_steps")

    def _rate(self, step, maths):
        done = step / self.first_decay_steps
        if self.t_mul == 1:
            restarts = maths.floor(done)
            done = done - restarts
        else:  # the first n ways take (t_mul ** n - 1) / (t_mul - 1) of the first one
            growth = self.t_mul - 1
            restarts = maths.floor(maths.log(1 + done * growth) / math.log(self.t_mul))
            length = self.t_mul**restarts
            done = (done - (length - 1) / growth) / length
        wave = 0.5 * self.m_mul**restarts * (1 + maths.cos(math.pi * done))
        return self.initial_learning_rate * ((1 - self.alpha) * wave + self.alpha)


_table = Table(
    "learning rate schedule",
    [
        ExponentialDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
        InverseTimeDecay,
        CosineDecay,
        CosineDecayRestarts,
    ],
    base=LearningRateSchedule,
)


def serialize(learning_rate_schedule):
    """The config of a schedule."""
    return _table.serialize(learning_rate_schedule)


def deserialize(config, custom_objects=None):
    """The schedule of a config.

    Raises:
        ValueError: no schedule is called so.
    """
    return _table.deserialize(config, custom_objects)


__getattr__ = old_names(__name__)
