"""Optimizers around others: one that scales the loss, and one that shares the weights out."""

from __future__ import annotations

from typing import Any

import torch

from lightkeras._paths import PathMap
from lightkeras._registry import serialize
from lightkeras.optimizers._numbers import Count, Rate, positive, whole
from lightkeras.optimizers._optimizer import Optimizer
from lightkeras.optimizers._state import parameter_of

__all__ = ["LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"]


class _Around(Optimizer):
    """Knows the weights, and leaves them to the optimizers in `_inner`.

    torch sees the parameter groups of all of them, so schedulers reach every learning rate.
    """

    _recordable = False  # the scale, and the counts of several, are no tensors

    def __init__(self, inner, name=None):
        self._inner = inner
        self._variables: list = []  # as given to `build`
        super().__init__(0.0, name=name)

    def _start_rate(self, learning_rate):
        self.param_groups[0]["lr"] = learning_rate

    # Each kind defines: (inner optimizer, its variables) for all that have some, and the numbers of
    # its own that come before those of the inner optimizers in a file.
    _shares: Any
    _numbers: Any

    def build(self, variables):
        """Bind the inner optimizers to their weights."""
        variables = list(variables)
        known = self.built
        super().build(variables)
        if not known:
            self._variables = variables
            for optimizer, share in self._shares(variables):
                optimizer.build(share)
            self._gather_groups()
        return self

    def _gather_groups(self):
        self.param_groups = [group for o in self._inner for group in o.param_groups]

    def add_variables(self, variables):
        """Take weights in that were unfrozen since."""
        self._adopt(variables)
        self._variables += variables
        for optimizer, share in self._shares(variables):
            if optimizer.built:
                optimizer.add_variables(share)
            else:
                optimizer.build(share)
        self._gather_groups()

    @property
    def use_ema(self):
        """Whether an inner optimizer keeps averages of the weights."""
        return any(optimizer.use_ema for optimizer in self._inner)

    @use_ema.setter
    def use_ema(self, value):
        pass  # the inner optimizers have the option

    def finalize_variable_values(self, var_list):
        """Put the moving averages into these weights, where an inner optimizer keeps them."""
        for optimizer, share in self._shares(list(var_list)):
            optimizer.finalize_variable_values(share)

    def _averages(self):
        pairs = [o._averages() for o in self._inner]
        return [p for pair in pairs for p in pair[0]], [a for pair in pairs for a in pair[1]]

    @property
    def variables(self):
        """Its own numbers, then the variables of the inner optimizers; assignable."""
        return self._numbers() + [v for o in self._inner for v in o.variables]

    def state_dict(self):
        """Its own numbers and the state of each inner optimizer."""
        numbers = [type(n).__mro__[2](n) for n in self._numbers()]
        return {"numbers": numbers, "optimizers": [o.state_dict() for o in self._inner]}

    def load_state_dict(self, state_dict):
        """Take over what `state_dict` gave.

        Raises:
            ValueError: it is that of another kind of optimizer.
        """
        inner = state_dict.get("optimizers", ())
        if len(inner) != len(self._inner):
            raise ValueError(
                f"The state dict is not one of {type(self).__name__} around {len(self._inner)} "
                "optimizers. Such a one is accepted. Make the optimizer as it was when saved."
            )
        for optimizer, state in zip(self._inner, inner, strict=True):
            optimizer.load_state_dict(state)
        for mine, value in zip(self._numbers(), state_dict["numbers"], strict=True):
            mine.assign(value)
        self._gather_groups()


class LossScaleOptimizer(_Around):
    """Multiplies the loss so that small float16 gradients survive, and the gradients back.

    Steps with infinite or NaN gradients are left out and halve the scale; after
    `dynamic_growth_steps` steps without one it is doubled. `compile` puts it around the optimizer
    of a model with the policy "mixed_float16".

    Args:
        inner_optimizer: The optimizer that makes the steps.
        initial_scale: First scale.
        dynamic_growth_steps: Steps until the scale is doubled.
        name: Name.

    Raises:
        TypeError: `inner_optimizer` is no optimizer of lightkeras.

    Where it differs from Keras: `loss_scale_factor` reads as the scale. Each step waits for the
    device, to see whether the gradients are finite.

    >>> from lightkeras import optimizers
    >>> optimizer = LossScaleOptimizer(optimizers.SGD(0.5), initial_scale=8.0)
    >>> weight = torch.nn.Parameter(torch.zeros(1))
    >>> optimizer.scale_loss(weight.sum()).backward()
    >>> optimizer.apply([weight.grad], [weight])
    >>> weight.grad.item(), weight.item()
    (8.0, -0.5)
    """

    def __init__(
        self, inner_optimizer, initial_scale=2.0**15, dynamic_growth_steps=2000, name=None
    ):
        _check_inner(self, inner_optimizer)
        self.inner_optimizer = inner_optimizer
        self.initial_scale = positive(self, "initial_scale", initial_scale)
        self.dynamic_growth_steps = whole(
            self, "dynamic_growth_steps", dynamic_growth_steps, least=1
        )
        self._scale, self._steps = self.initial_scale, 0
        inner_optimizer.loss_scale_factor = None
        super().__init__([inner_optimizer], name)

    def _shares(self, variables):
        return [(self.inner_optimizer, variables)]

    def _numbers(self):
        def set_scale(value):
            self._scale = float(value)

        def set_steps(value):
            self._steps = int(value)

        def ignore(value):
            pass

        return [
            Count(0, ignore),
            Rate(0.0, ignore),
            Count(self._steps, set_steps),
            Rate(self._scale, set_scale),
        ]

    @property
    def step_counter(self):
        """Steps since the scale has changed."""
        return self._numbers()[2]

    @property
    def dynamic_scale(self):
        """The scale of the next step; assignable."""
        return self._numbers()[3]

    @property
    def loss_scale_factor(self):
        """What the next loss is multiplied by."""
        return self._scale

    @loss_scale_factor.setter
    def loss_scale_factor(self, value):
        if value is not None:
            self._scale = positive(self, "loss_scale_factor", value)

    @property
    def learning_rate(self):
        """The inner optimizer's."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self.inner_optimizer.learning_rate = value

    lr = learning_rate

    @property
    def iterations(self):
        """Number of updates made, without those left out."""
        return self.inner_optimizer.iterations

    def _step(self, closure=None):
        loss = self._of(closure)
        grads = [g for p in self._params if (g := p.grad) is not None]
        if not grads and closure is not None and loss is None:
            return None
        self._scaled(grads, self.inner_optimizer._step)
        return loss

    def apply(self, grads, trainable_variables=None):
        """Update by a list of gradients of the scaled loss; leave the step out if one is infinite.

        Args:
            grads: One gradient per weight, each in the weight's own layout, or None.
            trainable_variables: The weights; those of `build` by default. The first call binds.
        """
        grads = list(grads)
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        known = [torch.as_tensor(g) for g in grads if g is not None]
        self._scaled(known, lambda: self.inner_optimizer.apply(grads, trainable_variables))

    def _scaled(self, grads, update):
        """Update by gradients of the scaled loss, or not, and adapt the scale."""
        if grads and not self.check_finite(grads):
            self._scale, self._steps = self._scale * 0.5, 0
            return
        inner = self.inner_optimizer
        inner.loss_scale_factor = self._scale
        try:
            update()
        finally:
            inner.loss_scale_factor = None
        self._steps += 1
        if self._steps == self.dynamic_growth_steps:
            self._scale, self._steps = self._scale * 2.0, 0

    def check_finite(self, grads):
        """Whether no gradient holds infinity or NaN; waits for the device."""
        largest = torch._foreach_norm([g for g in grads if g is not None], float("inf"))
        return bool(torch.stack([n.float() for n in largest]).isfinite().all())

    def get_config(self):
        """Constructor arguments as plain values."""
        return {
            "name": self.name,
            "inner_optimizer": serialize(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The optimizer that `get_config` described, without its state."""
        from lightkeras import optimizers

        inner = optimizers.deserialize(config["inner_optimizer"], custom_objects)
        return cls(**{**config, "inner_optimizer": inner})


class OptimizerMap(PathMap):
    """Which optimizer a weight gets, by its path ("dense/kernel").

    A key is a path, or a regular expression that the whole path matches.

    Args:
        default_optimizer: For weights that no key fits.
        optimizer_map: {key: optimizer}.

    >>> from lightkeras import optimizers
    >>> found = OptimizerMap(optimizers.SGD(), {"encoder/.*": optimizers.Adam()})
    >>> type(found["encoder/dense/kernel"]).__name__, type(found["decoder/kernel"]).__name__
    ('Adam', 'SGD')
    """

    def __init__(self, default_optimizer, optimizer_map=None):
        self._default_optimizer = self._checked(default_optimizer)
        super().__init__(optimizer_map)

    @property
    def default_optimizer(self):
        """The optimizer of weights that no key fits."""
        return self._default_optimizer

    def _other(self):
        return self._default_optimizer

    def _checked(self, value):
        _check_inner(self, value)
        return value

    def __call__(self, variable):
        """The optimizer of a weight."""
        return self[variable.path]

    def get_config(self):
        """Constructor arguments as plain values."""
        inner = {key: serialize(optimizer) for key, optimizer in self.items()}
        return {"default_optimizer": serialize(self._default_optimizer), "optimizer_map": inner}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The map that `get_config` described."""
        from lightkeras import optimizers

        def read(one):
            return optimizers.deserialize(one, custom_objects)

        inner = {key: read(one) for key, one in config["optimizer_map"].items()}
        return cls(read(config["default_optimizer"]), inner)


class MultiOptimizer(_Around):
    """Gives different weights to different optimizers.

    Args:
        optimizer_map: An `OptimizerMap`, or a function that returns the optimizer of a weight.
        loss_scale_factor: The loss was multiplied by this; replaces that of the inner optimizers.
        name: Name.

    Raises:
        AttributeError: `learning_rate` is asked for: each of `optimizers` has its own.

    >>> from lightkeras import optimizers
    >>> found = OptimizerMap(optimizers.SGD(0.1), {".*bias": optimizers.SGD(0.2)})
    >>> [o.learning_rate for o in MultiOptimizer(found).optimizers]
    [0.2, 0.1]
    """

    def __init__(self, optimizer_map, loss_scale_factor=None, name=None):
        if not callable(optimizer_map):
            raise TypeError(
                f"MultiOptimizer(optimizer_map=) got {type(optimizer_map).__name__}. An "
                "OptimizerMap, or a function of a weight, is accepted. Write "
                'OptimizerMap(Adam(), {"encoder/.*": SGD()}), for example.'
            )
        self._optimizer_map = optimizer_map
        self._loss_scale_factor = None
        self._done = 0
        inner: list = []
        mapped = optimizer_map.values() if isinstance(optimizer_map, OptimizerMap) else ()
        for optimizer in mapped:
            inner += [optimizer] * (optimizer not in inner)
        default = getattr(optimizer_map, "default_optimizer", None)
        inner += [default] * (default is not None and default not in inner)
        self._rule: dict = {}  # id of a parameter -> its optimizer
        super().__init__(inner, name)
        self.loss_scale_factor = positive(self, "loss_scale_factor", loss_scale_factor)

    @property
    def optimizers(self):
        """The inner optimizers."""
        return self._inner

    @property
    def loss_scale_factor(self):
        """What the loss is multiplied by, for all inner optimizers."""
        return self._loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value):
        self._loss_scale_factor = value
        for optimizer in self._inner:
            optimizer.loss_scale_factor = value

    @property
    def learning_rate(self):
        """Not to be had: each of `optimizers` has its own."""
        raise AttributeError(
            "A MultiOptimizer has no learning rate. Each of its optimizers has one. Type "
            "[o.learning_rate for o in optimizer.optimizers]."
        )

    @learning_rate.setter
    def learning_rate(self, value):
        raise AttributeError(
            "A MultiOptimizer has no learning rate to set. Each of its optimizers has one. Type "
            "optimizer.optimizers[0].learning_rate = 0.001."
        )

    lr = learning_rate

    @property
    def iterations(self):
        """Number of steps made; assignable."""
        return self._numbers()[0]

    def _numbers(self):
        def set_count(value):
            self._done = int(value)

        def ignore(value):
            pass

        return [Count(self._done, set_count), Rate(0.0, ignore)]

    def _shares(self, variables):
        shares: dict = {}
        for variable in variables:
            optimizer = self._optimizer_of(variable)
            shares.setdefault(id(optimizer), (optimizer, []))[1].append(variable)
        order = [id(optimizer) for optimizer in self._inner]
        return sorted(shares.values(), key=lambda share: order.index(id(share[0])))

    def _optimizer_of(self, variable):
        key = id(parameter_of(variable))
        if key not in self._rule:
            optimizer = self._optimizer_map(variable)
            _check_inner(self, optimizer)
            if optimizer not in self._inner:
                optimizer.loss_scale_factor = self._loss_scale_factor
                self._inner.append(optimizer)
            self._rule[key] = optimizer
        return self._rule[key]

    def _step(self, closure=None):
        loss = self._of(closure)
        used = [o for o in self._inner if any(p.grad is not None for p in o._params)]
        if not used:
            if closure is not None and loss is None:
                return None
            raise self._no_gradients()
        for optimizer in used:
            optimizer._step()
        self._done += 1
        return loss

    def apply(self, grads, trainable_variables=None):
        """Update by a list of gradients.

        Args:
            grads: One gradient per weight, each in the weight's own layout, or None.
            trainable_variables: The weights; those of `build` by default. The first call binds.

        Raises:
            ValueError: the optimizer does not know a weight.
        """
        grads = list(grads)
        if not grads:
            return
        given = self._variables if trainable_variables is None else trainable_variables
        variables = list(given)
        self._check_count(grads, variables)
        self.build(variables)
        given = {id(parameter_of(v)): g for v, g in zip(variables, grads, strict=True)}
        for optimizer, share in self._shares(variables):
            optimizer.apply([given[id(parameter_of(v))] for v in share], share)
        self._done += 1

    def __getstate__(self):
        # Ids are of this process: a copy finds its parameters by their place.
        places = {self._index[key]: optimizer for key, optimizer in self._rule.items()}
        return {**super().__getstate__(), "_rule": places}

    def __setstate__(self, state):
        super().__setstate__(state)
        self._rule = {id(self._params[place]): o for place, o in self._rule.items()}

    def get_config(self):
        """Constructor arguments as plain values."""
        return {
            "optimizer_map": serialize(self._optimizer_map),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The optimizer that `get_config` described, without its state."""
        from lightkeras import optimizers

        rule = optimizers.deserialize(config["optimizer_map"], custom_objects)
        return cls(**{**config, "optimizer_map": rule})


def _check_inner(owner, optimizer):
    """Only an optimizer of ours that is around no other can be inside another."""
    if isinstance(optimizer, Optimizer) and (
        not isinstance(optimizer, _Around)
        or (isinstance(owner, LossScaleOptimizer) and isinstance(optimizer, MultiOptimizer))
    ):
        return
    raise TypeError(
        f"{type(owner).__name__} got {type(optimizer).__name__} as an inner optimizer. An "
        "optimizer of lightkeras that is around no other is accepted. Write Adam(), for example."
    )
