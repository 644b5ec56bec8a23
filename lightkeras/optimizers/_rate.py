"""The learning rate of an optimizer: a number, a schedule of the steps, or a function."""

from __future__ import annotations

import inspect
import math

import torch

from lightkeras.optimizers import schedules
from lightkeras.optimizers._numbers import Count, Rate, number
from lightkeras.optimizers._state import Stateful

__all__ = ["Rated"]


class Rated(Stateful):
    """Learning rate and step count; both stand in torch's parameter group."""

    @property
    def learning_rate(self):
        """The learning rate of the next step; assignable unless it is a schedule."""
        return Rate(self._current_rate(), self._assign_rate)

    @learning_rate.setter
    def learning_rate(self, value):
        if _is_source(value):
            self._set_source(value)
        else:
            self._assign_rate(value)

    lr = learning_rate

    @property
    def iterations(self):
        """Number of updates made; assignable."""
        every = self.gradient_accumulation_steps or 1
        set_count = self._group_setter("iterations", lambda count: int(count) * every)
        return Count(self.param_groups[0]["iterations"] // every, set_count)

    def _set_source(self, value):
        """Take a number, a schedule or a function as the learning rate.

        `_source` is the schedule or function, or None for a number.
        """
        if not _is_source(value):
            self._assign_rate(value)
            return
        if isinstance(value, type) or not _callable_bare(value):
            name = getattr(value, "__name__", value)
            raise TypeError(
                f"{type(self).__name__}(learning_rate={name}) cannot be called without arguments. "
                "A number, a schedule object or a function without arguments is accepted. For a "
                "function of the step, subclass schedules.LearningRateSchedule."
            )
        self._source = value
        if isinstance(value, schedules.LearningRateSchedule):
            self.param_groups[0]["lr"] = self._current_rate()

    def _assign_rate(self, value):
        if isinstance(self._source, schedules.LearningRateSchedule):
            raise TypeError(
                f"The learning rate of {self.name!r} follows {type(self._source).__name__} and "
                "cannot be set to a number. It is settable if it was a number at the start. Write "
                f"{type(self).__name__}(learning_rate=0.001)."
            )
        rate = number(self, "learning_rate", value)
        if not 0 <= rate < math.inf:
            raise ValueError(
                f"{type(self).__name__}(learning_rate={rate}) is out of range. A finite number "
                "x > 0 is accepted. Write learning_rate=0.001, for example."
            )
        self._source = None
        for group in self.param_groups:
            group["lr"] = rate

    def _current_rate(self):
        group, source = self.param_groups[0], self._source
        if source is None:
            return group["lr"]
        if isinstance(source, schedules.LearningRateSchedule):
            return source.at(group["iterations"])
        return float(source())

    def _rate_is_stored(self):
        return self._source is None and not self._time_decay


def _is_source(value):
    return callable(value) and not isinstance(value, torch.Tensor)


def _callable_bare(function):
    """Whether a function can be called without arguments (a schedule gets the step)."""
    if isinstance(function, schedules.LearningRateSchedule):
        return True
    try:
        inspect.signature(function).bind()
    except TypeError:
        return False
    except ValueError:  # a builtin that does not tell
        return True
    return True
