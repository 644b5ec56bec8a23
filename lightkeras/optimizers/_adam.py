"""Rules with a momentum and a scale of their own for each number: Adam and its relatives."""

from __future__ import annotations

import numpy as np
import torch

from lightkeras.optimizers._foreach import add_, addcdiv_, follow_
from lightkeras.optimizers._numbers import at_least_zero, fraction, whole
from lightkeras.optimizers._optimizer import Optimizer

__all__ = ["Adam", "AdamW", "Adamax", "Lamb", "Nadam", "ScheduleFreeAdamW"]

_FUSED = ("cpu", "cuda", "xpu")  # devices with the fused kernel; others take several kernels


class _Moments(Optimizer):
    """Two averages over about `1 / (1 - beta)` steps: of the gradient and of its square.

    Args:
        learning_rate: See `Optimizer`, as for all further arguments.
        beta_1: Share of the old momentum in the new one, in [0, 1).
        beta_2: Share of the old squares in the new ones, in [0, 1).
        epsilon: Keeps the divisor from zero.
    """

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        *shared,
        **options,
    ):
        super().__init__(learning_rate, *shared, **options)
        self.beta_1 = fraction(self, "beta_1", beta_1)
        self.beta_2 = fraction(self, "beta_2", beta_2)
        self.epsilon = at_least_zero(self, "epsilon", epsilon)

    def _rule_slots(self):
        return [{"momentum": 0.0, "velocity": 0.0}]

    def _follow(self, grads, slots):
        follow_(slots["momentum"], slots["velocity"], grads, self.beta_1, self.beta_2)


class Adam(_Moments):
    """Adaptive moments: `w -= rate * m / (sqrt(v) + epsilon)`, corrected for the start at zero.

    The second form of arXiv 1412.6980, section 2: `epsilon` is not corrected.

    Args:
        learning_rate: See `Optimizer`, as for all further arguments.
        beta_1: Share of the old momentum in the new one, in [0, 1).
        beta_2: Share of the old squares in the new ones, in [0, 1).
        epsilon: Keeps the divisor from zero.
        amsgrad: Divide by the largest average of squares so far (openreview ryQu7f-RZ).

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.zeros(1))
    >>> Adam(learning_rate=0.1).apply([torch.tensor([5.0])], [weight])
    >>> weight.detach()
    tensor([-0.1000])
    """

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        amsgrad=False,
        *shared,
        **options,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, *shared, **options)
        self.amsgrad = bool(amsgrad)

    def _rule_slots(self):
        return super()._rule_slots() + ([{"velocity_hat": 0.0}] if self.amsgrad else [])

    def _update(self, params, grads, slots, rate, count):
        correction = (1 - self.beta_2**count) ** 0.5
        if self._fusible(params, grads, slots["momentum"], rate):
            # The kernel corrects sqrt(v) before it adds epsilon; Keras does not.
            steps = torch.full((), count, dtype=torch.float32, device=params[0].device)
            torch._fused_adam_(
                params,
                grads,
                slots["momentum"],
                slots["velocity"],
                slots["velocity_hat"] if self.amsgrad else [],
                [steps] * len(params),
                lr=rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                weight_decay=0.0,
                eps=self.epsilon / correction,
                amsgrad=self.amsgrad,
                maximize=False,
            )
            return
        self._follow(grads, slots)
        velocity = slots["velocity"]
        if self.amsgrad:
            torch._foreach_maximum_(slots["velocity_hat"], velocity)
            velocity = slots["velocity_hat"]
        divisor = torch._foreach_sqrt(velocity)
        torch._foreach_add_(divisor, self.epsilon)
        alpha = rate * correction / (1 - self.beta_1**count)
        addcdiv_(params, slots["momentum"], divisor, -alpha)

    def _fusible(self, params, grads, momentum, rate):
        """Whether the fused kernel can be used: it runs through memory and looks at no strides."""
        first = params[0]
        known = first.is_floating_point() and first.device.type in _FUSED
        if not (self._uniform and known and isinstance(rate, float)):
            return False
        strides = [m.stride() for m in momentum]  # without gaps, as torch makes new tensors
        return [p.stride() for p in params] == strides == [g.stride() for g in grads]


class AdamW(Adam):
    """Adam with weight decay, beside the gradient instead of in it (arXiv 1711.05101).

    Args:
        learning_rate: See `Optimizer`, as for all further arguments.
        weight_decay: Fraction of each weight, times the learning rate, taken off in every step.
        beta_1, beta_2, epsilon, amsgrad: See `Adam`.
    """

    def __init__(
        self,
        learning_rate=0.001,
        weight_decay=0.004,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        amsgrad=False,
        *shared,
        **options,
    ):
        if weight_decay is None:
            raise ValueError(
                "AdamW(weight_decay=None): AdamW is Adam with weight decay. A number is accepted. "
                "Write Adam() for no decay."
            )
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, *shared, **options
        )


class Adamax(_Moments):
    """Adam with the largest recent gradient as scale: `u = max(beta_2 * u, |g|)`.

    (arXiv 1412.6980, section 7.)

    Args: as for `Adam`, without `amsgrad`.
    """

    def _rule_slots(self):
        return [{"momentum": 0.0, "norm": 0.0}]

    def _update(self, params, grads, slots, rate, count):
        momentum, norm = slots["momentum"], slots["norm"]
        torch._foreach_lerp_(momentum, grads, 1 - self.beta_1)
        torch._foreach_mul_(norm, self.beta_2)
        torch._foreach_maximum_(norm, torch._foreach_abs(grads))
        divisor = torch._foreach_add(norm, self.epsilon)
        addcdiv_(params, momentum, divisor, -rate / (1 - self.beta_1**count))


class Nadam(_Moments):
    """Adam with Nesterov's momentum, whose strength grows over the first steps (Dozat, 2016).

    Args: as for `Adam`, without `amsgrad`.
    """

    # The product of all strengths so far, and the step that was its last factor.
    _group_defaults = {"u_product": 1.0, "u_count": 0}
    _group_numbers = ("u_product",)
    _recordable = False  # the product of strengths is a number that each step changes

    def _strength(self, count):
        return self.beta_1 * (1 - 0.5 * 0.96**count)

    def _product(self, count):
        group = self.param_groups[0]
        if group["u_count"] != count:  # once per step, however often the rule is called in it
            product = np.float32(group["u_product"] * self._strength(count))
            for group in self.param_groups:
                group.update(u_product=float(product), u_count=count)
        return group["u_product"]

    def _update(self, params, grads, slots, rate, count):
        now, following = self._strength(count), self._strength(count + 1)
        product = self._product(count)
        self._follow(grads, slots)
        correction = (1 - self.beta_2**count) ** 0.5
        divisor = torch._foreach_sqrt(slots["velocity"])
        torch._foreach_add_(divisor, self.epsilon * correction)
        alpha = rate * correction
        by_momentum = alpha * following / (1 - product * following)
        addcdiv_(params, slots["momentum"], divisor, -by_momentum)
        addcdiv_(params, grads, divisor, -alpha * (1 - now) / (1 - product))


class Lamb(_Moments):
    """Adam whose step in each weight is as long as the weight, times the rate (arXiv 1904.00962).

    Args: as for `Adam`, without `amsgrad`.
    """

    def _update(self, params, grads, slots, rate, count):
        self._follow(grads, slots)
        divisor = torch._foreach_sqrt(slots["velocity"])
        torch._foreach_div_(divisor, (1 - self.beta_2**count) ** 0.5)
        torch._foreach_add_(divisor, self.epsilon)
        update = torch._foreach_div(slots["momentum"], 1 - self.beta_1**count)
        torch._foreach_div_(update, divisor)
        weights = torch.stack(torch._foreach_norm(params))
        updates = torch.stack(torch._foreach_norm(update))
        ratio = torch.where((weights > 0) & (updates > 0), weights / updates, 1.0)
        torch._foreach_mul_(update, list(ratio.unbind()))
        add_(params, update, -rate)


class ScheduleFreeAdamW(_Moments):
    """Adam that needs no schedule: it trains at a point between its path and the path's mean.

    (arXiv 2405.15682.) The weights of the model are `beta_1 * mean + (1 - beta_1) * path`; the
    slot "momentum" is the path.

    Args:
        learning_rate: See `Optimizer`, as for all further arguments.
        beta_1: Share of the mean in the weights, in (0, 1).
        beta_2: Share of the old squares in the new ones, in [0, 1).
        epsilon: Keeps the divisor from zero.
        warmup_steps: Steps in which the learning rate climbs from zero.
    """

    def __init__(
        self,
        learning_rate=0.0025,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        warmup_steps=0,
        *shared,
        **options,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, *shared, **options)
        self.warmup_steps = whole(self, "warmup_steps", warmup_steps, least=0)
        if not self.beta_1:
            raise ValueError(
                "ScheduleFreeAdamW(beta_1=0) would keep no mean. 0 < beta_1 < 1 is accepted. Write "
                "beta_1=0.9, for example."
            )

    def _new_slot(self, name, index, fill):
        new = super()._new_slot(name, index, fill)
        return new.copy_(self._params[index].detach()) if name == "momentum" else new

    def _update(self, params, grads, slots, rate, count):
        path, velocity, keep = slots["momentum"], slots["velocity"], self.beta_1
        if self.warmup_steps:
            share = count / self.warmup_steps  # a tensor in a compiled step
            share = min(share, 1.0) if isinstance(share, float) else share.clamp(max=1.0)
            rate = rate * share
        mean = torch._foreach_sub(params, torch._foreach_mul(path, 1 - keep))
        torch._foreach_div_(mean, keep)
        torch._foreach_mul_(velocity, self.beta_2)
        torch._foreach_addcmul_(velocity, grads, grads, 1 - self.beta_2)
        divisor = torch._foreach_div(velocity, 1 - self.beta_2**count)
        torch._foreach_sqrt_(divisor)
        torch._foreach_add_(divisor, self.epsilon)
        addcdiv_(path, grads, divisor, -rate)
        torch._foreach_mul_(mean, 1 - 1 / count)
        add_(mean, path, 1 / count)
        torch._foreach_copy_(params, torch._foreach_lerp(path, mean, keep))
