"""Muon: momentum made orthogonal, for matrices; Adam for the rest."""

from __future__ import annotations

import re

import torch

from lightkeras.optimizers._foreach import addcdiv_, follow_
from lightkeras.optimizers._numbers import at_least_zero, fraction, number, whole
from lightkeras.optimizers._optimizer import Optimizer

__all__ = ["Muon"]


def _are_texts(value):
    return isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value)


class Muon(Optimizer):
    """Steps along the nearest orthogonal matrix to the momentum; Adam where there is no matrix.

    (Jordan et al., 2024, kellerjordan.github.io/posts/muon; the scale is that of arXiv
    2502.16982.) Weights with other than two axes, embeddings and the weights of `exclude_layers`
    follow Adam. The last layer should be among these.

    Args:
        learning_rate: See `Optimizer`, as for all arguments that are not described here.
        adam_beta_1, adam_beta_2, epsilon: See `Adam`.
        adam_weight_decay: Weight decay of the weights that follow Adam.
        weight_decay: Weight decay of the others.
        exclude_layers: Regular expressions; weights in whose path one is found follow Adam.
        exclude_embeddings: Whether weights with "embedding" in their path do.
        muon_a, muon_b, muon_c: Coefficients of the iteration `a * x + (b * A + c * A @ A) @ x`
            with `A = x @ x.T`, which makes a matrix orthogonal.
        adam_lr_ratio: Learning rate of Adam over that of Muon.
        momentum: Share of the old momentum in the new one.
        ns_steps: Number of iterations.
        nesterov: Look ahead by the momentum.
        rms_rate: Size of a step in each number, as a root mean square; None: as it comes.

    >>> weight = torch.nn.Parameter(torch.zeros(2, 2))
    >>> Muon(learning_rate=1.0).apply([torch.eye(2)], [weight])
    >>> bool(weight[0, 0] < 0), bool(weight[0, 1].abs() < 1e-6)
    (True, True)
    """

    _decays_apart = True

    def __init__(
        self,
        learning_rate=0.001,
        adam_beta_1=0.9,
        adam_beta_2=0.999,
        adam_weight_decay=0.004,
        epsilon=1e-7,
        weight_decay=0.004,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name=None,
        exclude_layers=None,
        exclude_embeddings=True,
        muon_a=3.4445,
        muon_b=-4.7750,
        muon_c=2.0315,
        adam_lr_ratio=1,
        momentum=0.95,
        ns_steps=5,
        nesterov=True,
        rms_rate=0.2,
    ):
        super().__init__(
            learning_rate,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            name,
        )
        self.adam_beta_1 = fraction(self, "adam_beta_1", adam_beta_1)
        self.adam_beta_2 = fraction(self, "adam_beta_2", adam_beta_2)
        if adam_weight_decay is not None:
            adam_weight_decay = at_least_zero(self, "adam_weight_decay", adam_weight_decay)
        self.adam_weight_decay = adam_weight_decay
        self.epsilon = at_least_zero(self, "epsilon", epsilon)
        if exclude_layers is not None and not _are_texts(exclude_layers):
            raise TypeError(
                f"Muon() got exclude_layers={exclude_layers!r:.60}. A list of regular expressions "
                "is accepted. Type exclude_layers=['embedding', 'head']."
            )
        self.exclude_layers = list(exclude_layers or [])
        self.exclude_embeddings = exclude_embeddings
        self.muon_a = number(self, "muon_a", muon_a)
        self.muon_b = number(self, "muon_b", muon_b)
        self.muon_c = number(self, "muon_c", muon_c)
        self.adam_lr_ratio = at_least_zero(self, "adam_lr_ratio", adam_lr_ratio)
        self.momentum = fraction(self, "momentum", momentum, closed=True)
        self.ns_steps = whole(self, "ns_steps", ns_steps, least=1)
        self.nesterov = nesterov
        self.rms_rate = None if rms_rate is None else at_least_zero(self, "rms_rate", rms_rate)
        self._plain: set = set()  # indices of the parameters that follow Adam

    def _adopt(self, variables):
        super()._adopt(variables)
        self._plain = {i for i in range(len(self._params)) if self._follows_adam(i)}

    def _follows_adam(self, index):
        path = self._paths[index]
        if self._face(index, self._params[index]).ndim != 2:
            return True
        if self.exclude_embeddings and "embedding" in path.lower():
            return True
        return any(re.search(part, path) for part in self.exclude_layers)

    def _rule_slots(self):
        return [{"momentum": 0.0, "velocity": 0.0}]

    def _new_slot(self, name, index, fill):
        if name == "velocity" and not self._follows_adam(index):
            return self._params[index].new_zeros(0)
        return super()._new_slot(name, index, fill)

    def _is_filed(self, name, index):
        return name != "velocity" or index in self._plain

    def _parts(self, params):
        """Positions of the parameters that follow Muon, and of those that follow Adam."""
        plain = [self._index[id(p)] in self._plain for p in params]
        return [[i for i, adam in enumerate(plain) if adam is want] for want in (False, True)]

    def _decay(self, params, rate):
        decays = (self.weight_decay, self.adam_weight_decay)
        for at, decay in zip(self._parts(params), decays, strict=True):
            if decay is not None:
                self._shrink([params[i] for i in at], decay * rate)

    def _update(self, params, grads, slots, rate, count):
        matrices, plain = self._parts(params)
        for i in matrices:
            self._turn(params[i], grads[i], slots["momentum"][i], rate)
        if plain:
            lists = (params, grads, slots["momentum"], slots["velocity"])
            params, grads, momentum, velocity = ([t[i] for i in plain] for t in lists)
            self._adam(params, grads, momentum, velocity, rate, count)

    def _turn(self, parameter, gradient, momentum, rate):
        momentum.mul_(self.momentum).add_(gradient)
        ahead = gradient + self.momentum * momentum if self.nesterov else momentum
        index = self._index[id(parameter)]
        update = self._orthogonal(self._face(index, ahead))
        if self.rms_rate is not None:
            update *= max(update.shape) ** 0.5 * self.rms_rate
        self._put(index, parameter, self._face(index, parameter) - rate * update)

    def _orthogonal(self, x):
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        x = x / (torch.linalg.matrix_norm(x) + 1e-7)
        for _ in range(self.ns_steps):
            square = x @ x.T
            x = self.muon_a * x + (self.muon_b * square + self.muon_c * square @ square) @ x
        return x.T if tall else x

    def _adam(self, params, grads, momentum, velocity, rate, count):
        follow_(momentum, velocity, grads, self.adam_beta_1, self.adam_beta_2)
        divisor = torch._foreach_sqrt(velocity)
        torch._foreach_add_(divisor, self.epsilon)
        correction = (1 - self.adam_beta_2**count) ** 0.5 / (1 - self.adam_beta_1**count)
        addcdiv_(params, momentum, divisor, -rate * self.adam_lr_ratio * correction)
