"""Rules that follow the gradient, or its sign, with momentum: SGD and Lion."""

from __future__ import annotations

import torch

from lightkeras.optimizers._foreach import add_
from lightkeras.optimizers._numbers import fraction
from lightkeras.optimizers._optimizer import Optimizer

__all__ = ["SGD", "Lion"]


class SGD(Optimizer):
    """Stochastic gradient descent: `w -= rate * g`.

    With momentum: `m = momentum * m - rate * g`, then `w += m`. The learning rate is part of the
    momentum, as in Keras and unlike in torch.

    Args:
        learning_rate: See `Optimizer`, as for all further arguments.
        momentum: Share of the last step in this one, in [0, 1].
        nesterov: Look ahead by the momentum.

    >>> SGD(0.1, momentum=0.9).get_config()["momentum"]
    0.9
    """

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False, *shared, **options):
        super().__init__(learning_rate, *shared, **options)
        self.momentum = fraction(self, "momentum", momentum, closed=True)
        self.nesterov = nesterov

    def _rule_slots(self):
        return [{"momentum": 0.0}] if self.momentum else []

    def _update(self, params, grads, slots, rate, count):
        if not self.momentum:
            add_(params, grads, -rate)
            return
        momentum = slots["momentum"]
        torch._foreach_mul_(momentum, self.momentum)
        add_(momentum, grads, -rate)
        if self.nesterov:
            add_(params, grads, -rate)
            torch._foreach_add_(params, momentum, alpha=self.momentum)
        else:
            torch._foreach_add_(params, momentum)


class Lion(Optimizer):
    """The sign of a momentum: `w -= rate * sign(beta_1 * m + (1 - beta_1) * g)` (arXiv 2302.06675).

    Args:
        learning_rate: See `Optimizer`, as for all further arguments. About a tenth of Adam's.
        beta_1: Share of the momentum in the direction, in (0, 1].
        beta_2: Share of the old momentum in the new one.
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.99, *shared, **options):
        super().__init__(learning_rate, *shared, **options)
        self.beta_1 = fraction(self, "beta_1", beta_1, closed=True)
        self.beta_2 = fraction(self, "beta_2", beta_2, closed=True)
        if not beta_1:
            raise ValueError(
                "Lion(beta_1=0) would follow the sign of single gradients. 0 < beta_1 <= 1 is "
                "accepted. Write beta_1=0.9, for example."
            )

    def _rule_slots(self):
        return [{"momentum": 0.0}]

    def _update(self, params, grads, slots, rate, count):
        momentum = slots["momentum"]
        direction = torch._foreach_mul(momentum, self.beta_1)
        torch._foreach_add_(direction, grads, alpha=1 - self.beta_1)
        torch._foreach_sign_(direction)
        add_(params, direction, -rate)
        torch._foreach_mul_(momentum, self.beta_2)
        torch._foreach_add_(momentum, grads, alpha=1 - self.beta_2)
