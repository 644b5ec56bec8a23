"""The base of all optimizers: Keras's interface and options on a torch optimizer.

An optimizer is made without parameters and bound to them by `build`. From then on it is an
ordinary `torch.optim.Optimizer`: the learning rate and the step count stand in its parameter
group, momentums and the like in its `state`, so schedulers and checkpoints need nothing special.
"""

from __future__ import annotations

import inspect
import re
import warnings

import torch
from torch.optim import optimizer as torch_optimizer

from lightkeras._config import _outside, arguments, plain
from lightkeras._kinds import FLAG, NUMBER, TEXT
from lightkeras._loading import loading
from lightkeras._registry import serialize, to_snake, unique_name
from lightkeras.optimizers import schedules
from lightkeras.optimizers._numbers import (
    at_least_zero,
    fraction,
    positive,
    whole,
)
from lightkeras.optimizers._rate import Rated
from lightkeras.optimizers._state import parameter_of

__all__ = ["Optimizer"]

# In the order of Keras's configs.
_SHARED = (
    "weight_decay",
    "clipnorm",
    "global_clipnorm",
    "clipvalue",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
)


class Optimizer(Rated):
    """Base of all optimizers.

    A rule of one's own is a subclass with `update_step(gradient, variable, learning_rate)` in
    torch, as in Keras; or, as the rules here, with `_rule_slots` and `_update`, which gets all
    parameters at once.

    Args:
        learning_rate: A number, a schedule, or a function without arguments.
        weight_decay: Fraction of each weight, times the learning rate, taken off in every step.
        clipnorm: Largest norm of the gradient of one weight.
        clipvalue: Largest absolute value in a gradient.
        global_clipnorm: Largest norm of all gradients together.
        use_ema: Keep a moving average of the weights.
        ema_momentum: Share of the old average in the new one.
        ema_overwrite_frequency: Put the averages into the weights every so many steps; None:
            only at the end of `fit`.
        loss_scale_factor: The loss was multiplied by this; gradients are divided by it.
        gradient_accumulation_steps: Update once in so many steps, by the mean gradient.
        name: Name; made from the class by default.

    Raises:
        ValueError: a number is out of its range, or more than one clip option is given.

    Where it differs from Keras: `learning_rate` and `iterations` read as plain numbers (of that
    moment) with `assign` and `numpy`.

    >>> import torch
    >>> from lightkeras import optimizers
    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = optimizers.SGD(learning_rate=0.5)
    >>> optimizer.apply_gradients([(torch.tensor([1.0, 2.0]), weight)])
    1
    >>> weight.tolist(), optimizer.learning_rate
    ([0.5, 0.0], 0.5)
    """

    # Whether a subclass has its own: steps then go through it.
    _kinds = {
        "amsgrad": FLAG,
        "centered": FLAG,
        "ema_overwrite_frequency": NUMBER | None,
        "exclude_embeddings": FLAG,
        "gradient_accumulation_steps": NUMBER | None,
        "name": TEXT,
        "nesterov": FLAG,
        "ns_steps": NUMBER,
        "use_ema": FLAG,
    }
    _own_apply = _own_rule = False
    _decays_apart = False  # whether `_decay` is needed without `weight_decay`, too

    def __init__(
        self,
        learning_rate,
        weight_decay=None,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name=None,
        *,
        _decay=0.0,
    ):
        self.name = name or unique_name(to_snake(type(self).__name__))
        if weight_decay is not None:
            weight_decay = at_least_zero(self, "weight_decay", weight_decay)
        self.weight_decay = weight_decay
        self.clipnorm = positive(self, "clipnorm", clipnorm)
        self.clipvalue = positive(self, "clipvalue", clipvalue)
        self.global_clipnorm = positive(self, "global_clipnorm", global_clipnorm)
        self.use_ema = use_ema
        self.ema_momentum = fraction(self, "ema_momentum", ema_momentum, closed=True)
        self.ema_overwrite_frequency = whole(
            self, "ema_overwrite_frequency", ema_overwrite_frequency or None, least=1
        )
        self.loss_scale_factor = positive(self, "loss_scale_factor", loss_scale_factor)
        self.gradient_accumulation_steps = whole(
            self, "gradient_accumulation_steps", gradient_accumulation_steps or None, least=2
        )
        clips = [n for n in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(self, n)]
        if len(clips) > 1:
            raise ValueError(
                f"{type(self).__name__} got {' and '.join(clips)}. Only one way of clipping is "
                f"accepted. Keep {' or '.join(clips)}."
            )
        self._source = None
        self._time_decay = at_least_zero(self, "decay", _decay)  # old Keras: lr / (1 + decay * t)
        self._undecayed: set = set()  # indices of parameters without weight decay
        self._undecayed_ids: set = set()
        self._undecayed_names = None
        self._forget()
        defaults = {"lr": 0.0, "iterations": 0, **self._group_defaults}
        with loading("torch._dynamo"):
            torch.optim.Optimizer.__init__(self, [{"params": []}], defaults)
        self._start_rate(learning_rate)

    def _start_rate(self, learning_rate):
        self._set_source(learning_rate)
        self.defaults["lr"] = self.param_groups[0]["lr"]  # MLflow reads it there
        if self._time_decay and self._source is not None:
            raise ValueError(
                f"{type(self).__name__} got decay={self._time_decay} and a learning rate that "
                "changes by itself. Old Keras's decay divides a number. Leave decay out."
            )
        if self._source is None and self.learning_rate == 0:
            warnings.warn(
                f"{type(self).__name__}(learning_rate=0) leaves all weights as they are.",
                stacklevel=_outside(),
            )

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._own_apply = cls.apply is not Optimizer.apply
        cls._own_rule = cls.update_step is not Optimizer.update_step
        _complete_signature(cls)

    # ---- the step -------------------------------------------------------------------------------

    def step(self, closure=None):
        """Update the parameters by the gradients that `backward` left on them.

        Args:
            closure: Computes the loss and calls `backward`; called first.

        Returns:
            What `closure` returned.

        Raises:
            ValueError: no parameter has a gradient.
        """
        # torch wraps `step` in its hooks and a profiler label, 10 calls; only go there if in use.
        if (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or torch_optimizer._global_optimizer_pre_hooks
            or torch_optimizer._global_optimizer_post_hooks
            or torch.autograd.profiler._is_profiler_enabled
        ):
            return _hooked_step(self, closure)
        return self._step(closure)

    step.hooked = True  # type: ignore[attr-defined]  # tells torch not to wrap it

    def _step(self, closure=None):
        loss = None if closure is None else self._of(closure)
        params, slots = self._params, self._slots
        if params and self._moved():
            self._relink()
        grads = [g for p in params if (g := p.grad) is not None]
        if self._sparse is not False:
            grads = self._dense(grads)
        if len(grads) < len(params):
            index = [i for i, p in enumerate(params) if p.grad is not None]
            params, slots = self._at(index)
        if not grads:
            if closure is not None and loss is None:
                return None  # Lightning: `training_step` skipped this batch
            raise self._no_gradients()
        if self._own_apply:
            self.apply(grads, params)
        else:
            self._run(params, grads, slots)
        return loss

    def _of(self, closure):
        """The loss that a closure computes; None without one."""
        if closure is None:
            return None
        with torch.enable_grad():
            return closure()

    def _dense(self, grads):
        """Sparse gradients as dense ones; where the first step has none, nobody looks again."""
        self._sparse = any(g.layout is not torch.strided for g in grads)
        return [g.to_dense() for g in grads] if self._sparse else grads

    def _at(self, index):
        """Parameters and slots at some indices."""
        slots = {name: [tensors[i] for i in index] for name, tensors in self._slots.items()}
        return [self._params[i] for i in index], slots

    def _no_gradients(self):
        return ValueError(
            f"Optimizer {self.name!r}: none of its {len(self._params)} weights has a gradient. A "
            "step needs a loss that depends on them. Call loss.backward() first."
        )

    def zero_grad(self, set_to_none=True):
        """Drop the gradients of all parameters."""
        if not set_to_none:
            return super().zero_grad(set_to_none=False)
        for parameter in self._params:
            parameter.grad = None

    def apply_gradients(self, grads_and_vars):
        """Update by `(gradient, weight)` pairs.

        Returns:
            The number of steps made.
        """
        grads, variables = zip(*grads_and_vars, strict=True)
        self.apply(grads, variables)
        return self.iterations

    def apply(self, grads, trainable_variables=None):
        """Update by a list of gradients.

        Args:
            grads: One gradient per weight, each in the weight's own layout, or None.
            trainable_variables: The weights; those of `build` by default. The first call binds.

        Raises:
            ValueError: the optimizer does not know a weight, or all gradients are None.
        """
        grads = list(grads)
        if not grads:
            return
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        self._check_count(
            grads, self._params if trainable_variables is None else trainable_variables
        )
        index, kept, missing = [], [], []
        for position, gradient in enumerate(grads):
            variable = None if trainable_variables is None else trainable_variables[position]
            i = position if variable is None else self._get_variable_index(variable)
            if gradient is None:
                missing.append(self._paths[i])
            else:
                index.append(i)
                kept.append(self._laid_out(gradient, i, variable))
        if not kept:
            raise self._no_gradients()
        if missing:
            warnings.warn(
                f"No gradient for {', '.join(missing[:10])}: the loss does not depend on them.",
                stacklevel=2,
            )
        if self._moved():
            self._relink()
        params, slots = self._at(index)
        self._run(params, kept, slots)

    def _check_count(self, grads, variables):
        if len(grads) != len(variables):
            raise ValueError(
                f"Optimizer {self.name!r} got {len(grads)} gradients for {len(variables)} weights. "
                "One for each is accepted. Pass the weights as the second argument."
            )

    def _laid_out(self, gradient, index, variable):
        """A gradient in the layout, dtype and place of parameter `index`."""
        parameter, view = self._params[index], self._views[index]
        gradient = torch.as_tensor(
            gradient, dtype=parameter.dtype, device=parameter.device
        ).detach()
        keras = view is not None if variable is None else variable is not parameter
        if keras:
            gradient = (view or variable.view).to_torch(gradient)
        if gradient.shape != parameter.shape:
            raise ValueError(
                f"The gradient for {self._paths[index]} has shape {tuple(gradient.shape)}, the "
                f"weight {tuple(parameter.shape)}. Shapes must be equal. Check their order."
            )
        return gradient

    def _run(self, params, grads, slots):
        """One step on parameters that all have a gradient."""
        recording = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)
        try:
            done = self.param_groups[0]["iterations"]
            if self.loss_scale_factor is not None:
                grads = torch._foreach_div(grads, self.loss_scale_factor)
            every = self.gradient_accumulation_steps
            if every is not None:
                torch._foreach_add_(slots["gradient_accumulator"], grads)
                grads = self._mean_gradients(slots, every) if (done + 1) % every == 0 else None
            if grads is not None:
                if self.clipnorm or self.global_clipnorm or self.clipvalue:
                    grads = self._clipped(grads)
                rate = self.param_groups[0]["lr"] if self._source is None else self._next_rate()
                count = done + 1 if every is None else done // every + 1
                if len(self.param_groups) == 1:
                    self._improve(params, grads, slots, rate, count)
                else:
                    self._improve_groups(params, grads, slots, count)
            if self._constraints:
                self._constrain(params)
            if self.use_ema:
                self._average(done if every is None else done // every)
            for group in self.param_groups:
                group["iterations"] = done + 1
        finally:
            torch._C._set_grad_enabled(recording)

    def _next_rate(self):
        """The learning rate of this step, noted where others look for it."""
        rate = self._current_rate()
        for group in self.param_groups:
            group["lr"] = rate
        return rate

    # ---- the step in compiled code --------------------------------------------------------------

    _recordable = True  # whether the rule is tensor operations only, also in `rate` and `count`

    def _can_be_recorded(self):
        """Whether `_recorded_step` does the same as `step`."""
        plain = not (self._own_apply or self._own_rule or self.use_ema)
        one = len(self.param_groups) == 1 and self.gradient_accumulation_steps is None
        return self._recordable and plain and one

    def _recorded_step(self, grads, rate, count):
        """`step` for these gradients (None where there is none) as tensor operations only.

        Args:
            grads: One for each parameter of `build`, in that order.
            rate, count: Tensors without axes: what `_begin_step` returns.
        """
        index = [i for i, g in enumerate(grads) if g is not None]
        grads = [grads[i] for i in index]
        params, slots = self._at(index)
        with torch.no_grad():
            if self.loss_scale_factor is not None:
                grads = torch._foreach_div(grads, self.loss_scale_factor)
            if self.clipnorm or self.global_clipnorm or self.clipvalue:
                grads = self._clipped(grads)
            self._improve(params, grads, slots, rate, count)
            if self._constraints:
                self._constrain(params)

    def _begin_step(self):
        """Learning rate and number of a step that compiled code is about to make."""
        rate = self._next_rate()
        group = self.param_groups[0]
        group["iterations"] = count = group["iterations"] + 1
        return rate, count

    def _improve(self, params, grads, slots, rate, count):
        """Weight decay and the rule."""
        if self._time_decay:
            rate = rate / (1 + self._time_decay * (count - 1))
        if self.weight_decay is not None or self._decays_apart:
            self._decay(params, rate)
        if self._own_rule:
            for gradient, parameter in zip(grads, params, strict=True):
                self.update_step(gradient, parameter, rate)
        else:
            self._update(params, grads, slots, rate, count)

    def _decay(self, params, rate):
        self._shrink(params, self.weight_decay * rate)

    def _shrink(self, params, share):
        """Take a share off the weights that are not excluded from decay."""
        if self._undecayed:
            params = [p for p in params if self._index[id(p)] not in self._undecayed]
        if params:
            torch._foreach_mul_(params, 1 - share)

    def _improve_groups(self, params, grads, slots, count):
        position = {id(p): i for i, p in enumerate(params)}
        for group in self.param_groups:
            at = [position[id(p)] for p in group["params"] if id(p) in position]
            if at:
                part = {name: [tensors[i] for i in at] for name, tensors in slots.items()}
                some = [params[i] for i in at], [grads[i] for i in at]
                self._improve(*some, part, group["lr"], count)

    def update_step(self, gradient, variable, learning_rate):
        """The rule for one parameter; override it for a rule of one's own.

        Args:
            gradient: Tensor, in torch's layout.
            variable: The parameter, changed in place (`self.assign_sub`).
            learning_rate: Float.
        """
        every = self.gradient_accumulation_steps or 1
        params, slots = self._at([self._get_variable_index(variable)])
        count = self.param_groups[0]["iterations"] // every + 1
        self._update(params, [gradient], slots, learning_rate, count)

    def _update(self, params, grads, slots, rate, count):
        """The rule, for all parameters at once and in place.

        Args:
            params, grads: Lists of tensors.
            slots: {name: list of tensors}.
            rate: Learning rate, a float.
            count: Number of this update; the first one is 1. In a compiled step both are tensors
                without axes.
        """
        raise TypeError(
            f"{type(self).__name__} has no rule. An optimizer needs one. Define "
            "update_step(self, gradient, variable, learning_rate) in the class."
        )

    # ---- options --------------------------------------------------------------------------------

    def _option_slots(self):
        average = [{"average": 0.0}] if self.use_ema else []
        accumulates = self.gradient_accumulation_steps is not None
        return average + ([{"gradient_accumulator": 0.0}] if accumulates else [])

    def _mean_gradients(self, slots, every):
        mean = torch._foreach_div(slots["gradient_accumulator"], every)
        torch._foreach_zero_(self._slots["gradient_accumulator"])
        return mean

    def _clipped(self, grads):
        """New gradients: those on the parameters stay as they are."""
        if self.clipvalue:
            grads = torch._foreach_clamp_max(grads, self.clipvalue)
            torch._foreach_clamp_min_(grads, -self.clipvalue)
            return grads
        norms = torch._foreach_norm(grads)
        if self.clipnorm:
            torch._foreach_clamp_min_(norms, self.clipnorm)
            return torch._foreach_div(torch._foreach_mul(grads, self.clipnorm), norms)
        norm = torch.linalg.vector_norm(torch.stack(norms))
        scale = self.global_clipnorm / norm.clamp(min=self.global_clipnorm)
        return torch._foreach_mul(grads, scale + (norm - norm))  # an infinite norm shows as NaN

    def _constrain(self, params):
        updated = {id(p) for p in params}
        for index, constraint in self._constraints:
            parameter = self._params[index]
            if id(parameter) in updated:
                value = self._face(index, parameter.detach())  # a constraint means Keras's axes
                self._put(index, parameter, constraint(value))

    def _average(self, count):
        averages = self._slots["average"]
        torch._foreach_lerp_(averages, self._params, 1 - self.ema_momentum if count else 1.0)
        every = self.ema_overwrite_frequency
        if every and (count + 1) % every == 0:
            torch._foreach_copy_(self._params, averages)

    def _averages(self):
        """(parameters, their moving averages), for as long as there are some."""
        averages = self._slots.get("average", [])
        return self._params[: len(averages)], averages

    @torch.no_grad()
    def finalize_variable_values(self, var_list):
        """Put the moving averages into these weights, if `use_ema`; `fit` does so at its end."""
        if self.use_ema:
            for variable in var_list:
                index = self._get_variable_index(variable)
                self._params[index].copy_(self._slots["average"][index])

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        """What `apply` would do, as new values; the optimizer and the weights stay as they are.

        Args:
            optimizer_variables: Values for `variables`.
            grads: One gradient per weight.
            trainable_variables: Values for the weights of `build`, in the weights' own layout.

        Returns:
            (new values of the weights, new values of `variables`).
        """
        weights = [p.detach().clone() for p in self._params]
        state = [v.numpy() for v in self.variables]
        try:
            self._restore(trainable_variables, optimizer_variables)
            self.apply(grads)
            new = [p.detach().clone() for p in self._params]
            return new, [torch.as_tensor(v.numpy()) for v in self.variables]
        finally:
            self._restore(weights, state)

    @torch.no_grad()
    def _restore(self, weights, state):
        if len(weights) != len(self._params):
            raise ValueError(
                f"Optimizer {self.name!r} got values for {len(weights)} weights, it was built on "
                f"{len(self._params)}. One for each is accepted. Pass all of them, in order."
            )
        for parameter, value in zip(self._params, weights, strict=True):
            parameter.copy_(torch.as_tensor(value))
        self.set_weights([v.numpy() if hasattr(v, "numpy") else v for v in state])

    def scale_loss(self, loss):
        """The loss times `loss_scale_factor`."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Leave weights out of `weight_decay`; call it before `build`.

        Args:
            var_list: Weights.
            var_names: Parts of names: `["bias"]` stands for all biases.

        Raises:
            ValueError: the optimizer is built.
        """
        if self.built:
            raise ValueError(
                f"Optimizer {self.name!r} is built: weights can no longer be excluded from weight "
                "decay. That is done before training. Call exclude_from_weight_decay() right after "
                "making the optimizer."
            )
        self._undecayed_ids = {id(parameter_of(v)) for v in var_list or ()}
        self._undecayed_names = re.compile("|".join(var_names)) if var_names else None

    def _adopt(self, variables):
        super()._adopt(variables)
        names = self._undecayed_names
        for variable in variables:
            index = self._index[id(parameter_of(variable))]
            named = names is not None and names.search(getattr(variable, "name", "") or "")
            if named or id(self._params[index]) in self._undecayed_ids:
                self._undecayed.add(index)

    # ---- config ---------------------------------------------------------------------------------

    def get_config(self):
        """Constructor arguments as plain values."""
        config = {"name": self.name, "learning_rate": self._config_rate()}
        config.update((name, getattr(self, name)) for name in _SHARED)
        own = arguments(self).items()
        config.update((k, plain(v)) for k, v in own if k not in config and not k.startswith("_"))
        return config

    def _config_rate(self):
        if self._time_decay:
            return serialize(schedules.InverseTimeDecay(self._current_rate(), 1, self._time_decay))
        return float(self._current_rate()) if self._source is None else plain(self._source)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The optimizer that `get_config` described, without its state."""
        config = dict(config)
        if isinstance(config.get("learning_rate"), dict):
            rate = schedules.deserialize(config["learning_rate"], custom_objects)
            config["learning_rate"] = rate
        return cls(**config)

    def __repr__(self):
        return f"<{type(self).__name__} {self.name!r}, {len(self._params)} weights>"


@torch.optim.Optimizer.profile_hook_step
def _hooked_step(optimizer, closure):
    return optimizer._step(closure)


def _complete_signature(cls):
    """Show the shared options in the place of a constructor's `*shared, **options`."""
    signature = inspect.signature(cls.__init__)
    given = list(signature.parameters.values())
    if "__init__" in cls.__dict__ and any(p.kind is p.VAR_POSITIONAL for p in given):
        own = [p for p in given if p.kind is p.POSITIONAL_OR_KEYWORD]
        base = inspect.signature(Optimizer.__init__).parameters
        shared = [p for name, p in base.items() if name not in signature.parameters]
        signature = signature.replace(parameters=own + shared)
        cls.__init__.__signature__ = signature
    public = [p for p in list(signature.parameters.values())[1:] if not p.name.startswith("_")]
    cls.__signature__ = signature.replace(parameters=public)


_complete_signature(Optimizer)
