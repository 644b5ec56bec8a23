"""Optimizers: Keras's names and numbers, each of them a torch optimizer.

>>> from lightkeras import optimizers
>>> optimizers.get("adam").learning_rate
0.001
>>> optimizers.get("rmsporp")  # doctest: +ELLIPSIS
Traceback (most recent call last):
ValueError: Unknown optimizer 'rmsporp'. Did you mean 'rmsprop'? Known: adadelta, adafactor, ...
"""

from __future__ import annotations

import functools
import inspect

import torch

from lightkeras._older import old_names
from lightkeras._registry import Table
from lightkeras.optimizers import legacy, schedules
from lightkeras.optimizers._adam import Adam, Adamax, AdamW, Lamb, Nadam, ScheduleFreeAdamW
from lightkeras.optimizers._adaptive import Adadelta, Adafactor, Adagrad, Ftrl, RMSprop
from lightkeras.optimizers._around import LossScaleOptimizer, MultiOptimizer, OptimizerMap
from lightkeras.optimizers._muon import Muon
from lightkeras.optimizers._optimizer import Optimizer
from lightkeras.optimizers._sgd import SGD, Lion
from lightkeras.optimizers._state import parameter_of

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "MultiOptimizer",
    "Muon",
    "Nadam",
    "Optimizer",
    "OptimizerMap",
    "RMSprop",
    "ScheduleFreeAdamW",
    "TorchOptimizer",
    "deserialize",
    "get",
    "legacy",
    "schedules",
    "serialize",
]

_ALL = (
    *(SGD, RMSprop, Adam, AdamW, Adadelta, Adagrad, Adamax, Nadam, Ftrl, Lion, Lamb, Adafactor),
    *(Muon, ScheduleFreeAdamW),
)
_AROUND = (LossScaleOptimizer, MultiOptimizer, OptimizerMap)  # only configs name them
# Keras's strings are the class names in any mix of cases ("rmsprop", "RMSProp").
_table = Table(
    "optimizer",
    (),
    {**{c.__name__: c for c in _ALL + _AROUND}, **{c.__name__.lower(): c for c in _ALL}},
    base=(Optimizer, OptimizerMap),
)


class TorchOptimizer:
    """A torch optimizer still to be made: it is known how, but not yet for which parameters.

    Args:
        make: Called with the list of parameters; a class of `torch.optim` or a partial of one.

    >>> import functools, torch
    >>> later = get(functools.partial(torch.optim.AdamW, lr=0.01))
    >>> made = later.build([torch.nn.Parameter(torch.zeros(2))])
    >>> type(made).__name__, made.param_groups[0]["lr"]
    ('AdamW', 0.01)
    """

    def __init__(self, make):
        if not callable(make):
            raise TypeError(
                f"TorchOptimizer() got {make!r:.60}. A function of the parameters is accepted. "
                "Type functools.partial(torch.optim.AdamW, lr=1e-3)."
            )
        self.make = make

    def build(self, variables):
        """The torch optimizer for these parameters.

        Raises:
            TypeError: what was made is no torch optimizer.
        """
        made = self.make([parameter_of(v) for v in variables])
        if not isinstance(made, torch.optim.Optimizer):
            raise TypeError(
                f"The function given as optimizer returned {type(made).__name__}. It gets the "
                "parameters and returns a torch optimizer. For example, pass "
                "functools.partial(torch.optim.AdamW, lr=1e-3)."
            )
        return made


def get(identifier):
    """The optimizer of a name, a config, or an object.

    Args:
        identifier: A name in any case, a config, an optimizer of lightkeras or torch (returned
            as it is), or a torch optimizer class or function of parameters (see `TorchOptimizer`).

    Raises:
        ValueError: no optimizer is called so.
        TypeError: it is none of these.
    """
    if identifier is None or isinstance(identifier, torch.optim.Optimizer | TorchOptimizer):
        return identifier
    if isinstance(identifier, str):
        return _table.get(_lower(identifier))
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        return identifier()  # type: ignore[call-arg]
    of_torch = isinstance(identifier, type) and issubclass(identifier, torch.optim.Optimizer)
    if of_torch or inspect.isroutine(identifier) or isinstance(identifier, functools.partial):
        return TorchOptimizer(identifier)
    kind = type(identifier)
    raise TypeError(
        f"optimizer={kind.__module__}.{kind.__qualname__} object is no optimizer. A name, a "
        "config, an optimizer of lightkeras or torch, or a function that makes one from "
        'parameters is accepted. Write optimizer="adam", for example.'
    )


def _lower(name):
    known = name in _table.entries or name.lower() not in _table.entries
    return name if known else name.lower()


def serialize(optimizer):
    """The config of an optimizer."""
    return _table.serialize(optimizer)


def deserialize(config, custom_objects=None):
    """The optimizer of a config.

    Raises:
        ValueError: no optimizer is called so.
    """
    if isinstance(config, dict) and isinstance(config.get("class_name"), str):
        config = {**config, "class_name": _lower(config["class_name"])}
    return _table.deserialize(config, custom_objects)


__getattr__ = old_names(__name__)
