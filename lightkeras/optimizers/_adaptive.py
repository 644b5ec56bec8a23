"""Rules that divide the gradient by its own recent or total size."""

from __future__ import annotations

import torch

from lightkeras.optimizers._foreach import add_, addcdiv_
from lightkeras.optimizers._numbers import at_least_zero, fraction, number
from lightkeras.optimizers._optimizer import Optimizer

__all__ = ["Adadelta", "Adafactor", "Adagrad", "Ftrl", "RMSprop"]


class RMSprop(Optimizer):
    """Gradient over its recent root mean square: `w -= rate * g / sqrt(v + epsilon)`.

    (Hinton, Neural Networks for Machine Learning, lecture 6e, 2012.)

    Args:
        learning_rate: See `Optimizer`, as for all further arguments.
        rho: Share of the old squares in the new ones.
        momentum: Share of the last step in this one.
        epsilon: Keeps the divisor from zero; under the root, as in Keras and unlike in torch.
        centered: Divide by the standard deviation instead.
    """

    def __init__(
        self,
        learning_rate=0.001,
        rho=0.9,
        momentum=0.0,
        epsilon=1e-7,
        centered=False,
        *shared,
        **options,
    ):
        super().__init__(learning_rate, *shared, **options)
        self.rho = fraction(self, "rho", rho)
        self.momentum = fraction(self, "momentum", momentum, closed=True)
        self.epsilon = at_least_zero(self, "epsilon", epsilon)
        self.centered = centered

    def _rule_slots(self):
        momentum = [{"momentum": 0.0}] if self.momentum else []
        return [{"velocity": 0.0}] + momentum + [{"average_gradient": 0.0}] * bool(self.centered)

    def _update(self, params, grads, slots, rate, count):
        velocity = slots["velocity"]
        torch._foreach_mul_(velocity, self.rho)
        torch._foreach_addcmul_(velocity, grads, grads, 1 - self.rho)
        divisor = torch._foreach_add(velocity, self.epsilon)
        if self.centered:
            average = slots["average_gradient"]
            torch._foreach_lerp_(average, grads, 1 - self.rho)
            torch._foreach_addcmul_(divisor, average, average, -1.0)
        torch._foreach_sqrt_(divisor)
        if self.momentum:
            momentum = slots["momentum"]
            torch._foreach_mul_(momentum, self.momentum)
            addcdiv_(momentum, grads, divisor, rate)
            torch._foreach_sub_(params, momentum)
        else:
            addcdiv_(params, grads, divisor, -rate)


class Adagrad(Optimizer):
    """Gradient over the root of all its squares so far: `w -= rate * g / sqrt(s + epsilon)`.

    (Duchi et al., JMLR 12, 2011.)

    Args:
        learning_rate: See `Optimizer`, as for all further arguments.
        initial_accumulator_value: First value of the sum of squares.
        epsilon: Keeps the divisor from zero.
    """

    def __init__(
        self,
        learning_rate=0.001,
        initial_accumulator_value=0.1,
        epsilon=1e-7,
        *shared,
        **options,
    ):
        super().__init__(learning_rate, *shared, **options)
        self.initial_accumulator_value = at_least_zero(
            self, "initial_accumulator_value", initial_accumulator_value
        )
        self.epsilon = at_least_zero(self, "epsilon", epsilon)

    def _rule_slots(self):
        return [{"accumulator": self.initial_accumulator_value}]

    def _update(self, params, grads, slots, rate, count):
        torch._foreach_addcmul_(slots["accumulator"], grads, grads)
        divisor = torch._foreach_add(slots["accumulator"], self.epsilon)
        torch._foreach_sqrt_(divisor)
        addcdiv_(params, grads, divisor, -rate)


class Adadelta(Optimizer):
    """Gradient times the ratio of recent steps to recent gradients (arXiv 1212.5701).

    Args:
        learning_rate: See `Optimizer`, as for all further arguments. The paper has 1.0.
        rho: Share of the old squares in the new ones.
        epsilon: Keeps the ratio from zero.
    """

    def __init__(self, learning_rate=0.001, rho=0.95, epsilon=1e-7, *shared, **options):
        super().__init__(learning_rate, *shared, **options)
        self.rho = fraction(self, "rho", rho)
        self.epsilon = at_least_zero(self, "epsilon", epsilon)

    def _rule_slots(self):
        return [{"accumulated_grad": 0.0, "accumulated_delta_var": 0.0}]

    def _update(self, params, grads, slots, rate, count):
        squares, steps = slots["accumulated_grad"], slots["accumulated_delta_var"]
        torch._foreach_mul_(squares, self.rho)
        torch._foreach_addcmul_(squares, grads, grads, 1 - self.rho)
        delta = torch._foreach_add(steps, self.epsilon)
        torch._foreach_sqrt_(delta)
        torch._foreach_mul_(delta, grads)
        divisor = torch._foreach_add(squares, self.epsilon)
        torch._foreach_sqrt_(divisor)
        torch._foreach_div_(delta, divisor)
        torch._foreach_mul_(steps, self.rho)
        torch._foreach_addcmul_(steps, delta, delta, 1 - self.rho)
        add_(params, delta, -rate)


class Ftrl(Optimizer):
    """Follow the regularized leader, for sparse linear models.

    (McMahan et al., KDD 2013, algorithm 1; with shrinkage.)

    Args:
        learning_rate: See `Optimizer`, as for all further arguments.
        learning_rate_power: Power of the sum of squares in the rate; not above 0.
        initial_accumulator_value: First value of the sum of squares.
        l1_regularization_strength: Pull of each weight to zero.
        l2_regularization_strength: Quadratic pull to zero.
        l2_shrinkage_regularization_strength: Quadratic penalty inside the gradient.
        beta: Added to the quadratic pull, over the rate.
    """

    def __init__(
        self,
        learning_rate=0.001,
        learning_rate_power=-0.5,
        initial_accumulator_value=0.1,
        l1_regularization_strength=0.0,
        l2_regularization_strength=0.0,
        l2_shrinkage_regularization_strength=0.0,
        beta=0.0,
        *shared,
        **options,
    ):
        super().__init__(learning_rate, *shared, **options)
        self.learning_rate_power = number(self, "learning_rate_power", learning_rate_power)
        at_least_zero(self, "-learning_rate_power", -self.learning_rate_power)
        self.initial_accumulator_value = at_least_zero(
            self, "initial_accumulator_value", initial_accumulator_value
        )
        self.l1_regularization_strength = at_least_zero(
            self, "l1_regularization_strength", l1_regularization_strength
        )
        self.l2_regularization_strength = at_least_zero(
            self, "l2_regularization_strength", l2_regularization_strength
        )
        self.l2_shrinkage_regularization_strength = at_least_zero(
            self, "l2_shrinkage_regularization_strength", l2_shrinkage_regularization_strength
        )
        self.beta = number(self, "beta", beta)

    def _rule_slots(self):
        return [{"accumulator": self.initial_accumulator_value, "linear": 0.0}]

    def _update(self, params, grads, slots, rate, count):
        if isinstance(rate, float) and rate == 0:
            raise ValueError(
                "Ftrl() has the learning rate 0. It divides by the rate, which is above 0. Type "
                "learning_rate=0.001."
            )
        squares, linear = slots["accumulator"], slots["linear"]
        before = torch._foreach_pow(squares, -self.learning_rate_power)
        torch._foreach_addcmul_(squares, grads, grads)
        after = torch._foreach_pow(squares, -self.learning_rate_power)
        torch._foreach_add_(linear, grads)
        torch._foreach_add_(linear, params, alpha=2 * self.l2_shrinkage_regularization_strength)
        growth = torch._foreach_sub(after, before)
        torch._foreach_mul_(growth, params)
        add_(linear, growth, -1 / rate)
        quadratic = torch._foreach_div(after, rate)
        torch._foreach_add_(quadratic, 2 * self.l2_regularization_strength)
        if self.beta:
            quadratic = [q + self.beta / rate for q in quadratic]
        target = torch._foreach_clamp_max(linear, self.l1_regularization_strength)
        torch._foreach_clamp_min_(target, -self.l1_regularization_strength)
        torch._foreach_sub_(target, linear)
        torch._foreach_div_(target, quadratic)
        torch._foreach_copy_(params, target)


class Adafactor(Optimizer):
    """Adam's scale from means over rows and columns, relative to the size of the weight.

    (arXiv 1804.04235.) Rows and columns are the last two axes in Keras's layout, whatever the
    layout of the parameter.

    Args:
        learning_rate: See `Optimizer`, as for all further arguments. Bounded by `1 / sqrt(step)`.
        beta_2_decay: Power of the step number in the share of the old squares; below 0.
        epsilon_1: Keeps the squares from zero.
        epsilon_2: Smallest size of a weight.
        clip_threshold: Largest root mean square of an update.
        relative_step: Kept for configs: the bound of `learning_rate` holds with and without it, as
            in Keras.
    """

    _recordable = False  # the rate is bounded by a number that each step changes

    def __init__(
        self,
        learning_rate=0.001,
        beta_2_decay=-0.8,
        epsilon_1=1e-30,
        epsilon_2=1e-3,
        clip_threshold=1.0,
        relative_step=True,
        *shared,
        **options,
    ):
        super().__init__(learning_rate, *shared, **options)
        self.beta_2_decay = number(self, "beta_2_decay", beta_2_decay)
        self.epsilon_1 = at_least_zero(self, "epsilon_1", epsilon_1)
        self.epsilon_2 = at_least_zero(self, "epsilon_2", epsilon_2)
        self.clip_threshold = at_least_zero(self, "clip_threshold", clip_threshold)
        self.relative_step = relative_step

    def _rule_slots(self):
        return [{"row": 0.0, "column": 0.0, "velocity": 0.0}]

    def _new_slot(self, name, index, fill):
        if name not in ("row", "column"):
            return super()._new_slot(name, index, fill)
        parameter = self._params[index]
        shape = self._face(index, parameter).shape
        if len(shape) < 2:
            return parameter.new_zeros(())  # not used, but Keras's files have it
        return parameter.new_zeros(shape[:-1] if name == "row" else shape[:-2] + shape[-1:])

    def _update(self, params, grads, slots, rate, count):
        keep = 1 - count**self.beta_2_decay
        rate = min(rate, count**-0.5)
        names = ("row", "column", "velocity")
        for parameter, gradient, row, column, velocity in zip(
            params, grads, *(slots[name] for name in names), strict=True
        ):
            index = self._index[id(parameter)]
            gradient = self._face(index, gradient)
            squares = gradient.square().add_(self.epsilon_1)
            if gradient.ndim < 2:
                scale = self._face(index, velocity).lerp_(squares, 1 - keep)
            else:
                row.lerp_(squares.mean(-1), 1 - keep)
                column.lerp_(squares.mean(-2), 1 - keep)
                share = row / row.mean(-1, keepdim=True)
                scale = share.unsqueeze(-1) * column.unsqueeze(-2)
            self._put(index, velocity, scale)
            update = gradient / scale.sqrt()
            update /= (_rms(update) / self.clip_threshold).clamp(min=1.0)
            update *= _rms(parameter).clamp(min=self.epsilon_2) * rate
            self._put(index, parameter, self._face(index, parameter) - update)


def _rms(tensor):
    return tensor.square().mean().sqrt()
