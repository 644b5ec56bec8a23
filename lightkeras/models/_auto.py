"""`compile(jit_compile="auto")`: compiled steps where a trial shows that they pay."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch

__all__ = ["Trial"]

_LONG = 30.0  # seconds of steps to come for which some seconds of compiling may pay
_WARM, _FEWEST, _ENOUGH = 2, 8, 0.3  # steps left out; steps and seconds that make a fair look
_PATIENCE = 32  # steps in which a form of batch has to come twice in a row
_GAIN = 0.97  # of the plain time; what gains less is noise, and plain steps are simpler


class Trial:
    """Takes steps of training as they are and, by turns, compiled; stays with the faster kind.

    It looks at the clock, so which it is can differ from run to run, and the last bits of the
    numbers with it. A training that is short for it stays plain.

    Args:
        model: A compiled model, ready to be trained. `model._compiled.to_come` says how many
            steps are still to be taken; none are tried where it is 0.
        plain: The function `(x, y, w)` of a step as it is.
        make: What makes compiled steps: `make(model, plain)`.
    """

    failed = False  # as steps in compiled code say that there is no such code

    def __init__(self, model, plain, make):
        self.model, self.plain, self.make = model, plain, make
        self.step: Any = None  # what takes compiled steps, once they are tried
        self.over = False
        self.times: dict[bool, list[float]] = {False: [], True: []}  # plain steps', compiled ones'
        self.missed = 0  # steps that might have been in compiled code, and were not

    def remember(self):
        if self.step is not None:
            self.step.remember()

    def begin(self):
        """What takes the next steps."""
        if self.over:
            return self.plain if self.step is None else self.step.begin()
        if not self.model._compiled.to_come:
            return self.plain
        if self.step is not None and self.step.begin() is not self.step:
            self._choose_plain()
        return self

    def __call__(self, x, y=None, w=None):
        if self.over:  # since the last `begin`
            return (self.step or self.plain)(x, y, w)
        compiled = self.step is not None and len(self.times[True]) <= len(self.times[False])
        self._take(compiled, x, y, w)
        self.model._compiled.to_come -= 1
        if self.step is None:
            self._look_ahead()
        elif self.step.failed or self.missed > _PATIENCE:
            self._choose_plain()
        elif all(map(_fair, self.times.values())):
            self._choose()

    def _take(self, compiled, x, y, w):
        """Take a step by the clock."""
        before = self.step.steps if compiled else 0
        plain = self.plain if self.step is None else self.step.plainly
        start = _now(self.model)
        (self.step if compiled else plain)(x, y, w)
        took = _now(self.model) - start
        if compiled and self.step.steps == before:
            self.missed += 1  # there is no code for such a batch yet
        else:
            self.times[compiled].append(took)

    def _look_ahead(self):
        """Once plain steps are known, see whether it is worthwhile to try others."""
        plain = self.times[False]
        if not _fair(plain):
            return
        if median(plain) * self.model._compiled.to_come < _LONG:
            self.model._compiled.to_come = 0  # until the next `fit`
        else:
            self.step = self.make(self.model, self.plain)
            self.step.begin()
        plain.clear()

    def _choose(self):
        plain, compiled = (median(times[_WARM:]) for times in self.times.values())
        if compiled > _GAIN * plain:
            self._choose_plain()
        self.over = True

    def _choose_plain(self):
        self.over, self.step = True, None


def _fair(times):
    """Whether so many steps say how long one takes."""
    return len(times) >= _WARM + _FEWEST and sum(times[_WARM:]) >= _ENOUGH


def _now(model):
    """Seconds; what was begun on a GPU has been done."""
    for parameter in model.parameters():
        if parameter.is_cuda:
            torch.cuda.synchronize(parameter.device)
        break
    return time.perf_counter()
