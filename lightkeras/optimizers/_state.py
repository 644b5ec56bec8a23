"""What an optimizer knows about each parameter: its slots, its layout, its place in a file.

A slot is a tensor that a rule keeps for one parameter (its momentum, say). Slots stand in torch's
`optimizer.state[parameter][name]`, where checkpoints find them, and once more as one list per
name, which is what a step works on. Both hold the same tensor objects, always: whatever is loaded
or moved by others is written into them by `_relink`.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch

from lightkeras._config import Configurable
from lightkeras._variable import State
from lightkeras.optimizers._numbers import Count, Rate

__all__ = ["Stateful", "parameter_of"]


def parameter_of(variable):
    """The torch parameter behind a weight, in torch's layout."""
    return getattr(variable, "parameter", variable)


class _Reordered(State):
    """A slot whose gates Keras orders otherwise: a copy, whose assignments go to the slot, too."""

    def assign(self, value):
        super().assign(value)
        view, slot = self.home
        slot.copy_(view.to_torch(self.as_subclass(torch.Tensor)))
        return self


class Stateful(torch.optim.Optimizer, metaclass=Configurable):
    """Parameters and slots of an optimizer; `Optimizer` adds the step."""

    # Further numbers of a rule in the parameter group, and which of them Keras's files hold.
    _group_defaults: dict[str, float] = {}
    _group_numbers: tuple[str, ...] = ()

    def _rule_slots(self) -> list[dict[str, float]]:
        """Groups of {slot: first value}; Keras's files interleave the slots of one group."""
        return []

    def _option_slots(self) -> list[dict[str, float]]:
        """The same for the options of all optimizers; they come first."""
        return []

    def _slot_groups(self):
        groups = self._option_slots() + self._rule_slots()
        known = {name for group in groups for name in group}
        return groups + [{name: 0.0} for name in self._slots if name not in known]

    def _new_slot(self, name, index, fill):
        parameter = self._params[index]
        return torch.full_like(parameter, fill, memory_format=torch.preserve_format).detach()

    def _forget(self):
        self.built = False
        self._params: list = []  # in the order of `build`
        self._views: list = []  # how Keras sees each of them; None: as torch does
        self._paths: list = []
        self._constraints: list = []  # (index, constraint)
        self._index: dict = {}  # id of a parameter -> index
        self._slots: dict = {}  # name -> one tensor per parameter
        self._extras: dict = {}  # name -> a tensor that belongs to no parameter
        self._place = self._probe = None
        self._sparse = None  # whether there are sparse gradients; None before the first step

    # ---- binding --------------------------------------------------------------------------------

    def build(self, variables):
        """Bind the optimizer to parameters, once.

        Args:
            variables: Torch parameters or a layer's weights. The same ones again, or some of
                them, are accepted.

        Returns:
            The optimizer.

        Raises:
            ValueError: it is bound to other parameters.
        """
        variables = list(variables)
        if self.built:
            for variable in variables:
                self._get_variable_index(variable)
            return self
        for variable in variables:
            if not isinstance(parameter_of(variable), torch.Tensor):
                raise TypeError(
                    f"{type(self).__name__}.build() got a list with {type(variable).__name__} in "
                    "it. Parameters and weights are accepted. Write "
                    "optimizer.build(model.trainable_variables)."
                )
        self.built = True
        self._adopt(variables)
        self.param_groups[0]["params"].extend(self._params)
        return self

    def add_param_group(self, param_group):
        """Add parameters with a learning rate of their own, `{"params": [...], "lr": 1e-4}`."""
        super().add_param_group(param_group)
        if added := self.param_groups[-1]["params"]:
            self._adopt(added)

    def add_variables(self, variables):
        """Take in weights that were unfrozen since `build`."""
        self._adopt(variables)
        parameters = [parameter_of(v) for v in variables]
        rate = float(self.learning_rate)  # type: ignore[attr-defined]
        self.add_param_group({"params": parameters, "lr": rate})

    def _adopt(self, variables):
        for variable in variables:
            parameter = parameter_of(variable)
            if id(parameter) in self._index:
                continue
            self._index[id(parameter)] = len(self._params)
            if (constraint := getattr(variable, "constraint", None)) is not None:
                self._constraints.append((len(self._params), constraint))
            self._params.append(parameter)
            self._views.append(None if parameter is variable else variable.view)
            self._paths.append(getattr(variable, "path", "") or f"variable_{len(self._paths)}")
        for group in self._slot_groups():
            for name, fill in group.items():
                self._add_slot(name, fill)
        self._survey()

    def _add_slot(self, name, fill=0.0):
        """The slot `name` of all parameters, made where it is not there yet."""
        tensors = self._slots.setdefault(name, [])
        for index in range(len(tensors), len(self._params)):
            tensors.append(self._new_slot(name, index, fill))
            self.state[self._params[index]][name] = tensors[index]
        return tensors

    def knows(self, variable):
        """Whether a weight is among those of `build`."""
        return id(parameter_of(variable)) in self._index

    def _get_variable_index(self, variable):
        """Position of a parameter among those of `build`."""
        index = self._index.get(id(parameter_of(variable)))
        if index is None:
            raise ValueError(
                f"Optimizer {self.name!r} already belongs to other weights "
                f"({', '.join(self._paths[:3])}...) and does not know "
                f"{getattr(variable, 'path', '') or 'this one'}. One optimizer trains the weights "
                "that it was first used with. Make a new one, or clone it with "
                "type(opt).from_config(opt.get_config())."
            )
        return index

    # ---- staying in step with others ------------------------------------------------------------

    def _survey(self):
        """Note where parameters and slots are, to see later whether they have moved."""
        self._sparse = None
        places = {(p.device, p.dtype) for p in self._params}
        self._uniform = len(places) == 1  # one device and one dtype: fused kernels can be used
        self._place = (self._params[0].device, self._params[0].dtype) if places else None
        self._probe = next(iter(self._slots), None)

    def _moved(self):
        """Whether parameters or slots were moved, cast or replaced since the last step.

        Looks at the first ones only: those who move one, move all.
        """
        first, name = self._params[0], self._probe
        if (first.device, first.dtype) != self._place:
            return True
        return name is not None and self.state[first].get(name) is not self._slots[name][0]

    def _relink(self):
        """Take what stands in `state` into the tensors of `_slots`, on the parameters' device."""
        fills = {name: fill for group in self._slot_groups() for name, fill in group.items()}
        for name, tensors in self._slots.items():
            for index, (parameter, mine) in enumerate(zip(self._params, tensors, strict=True)):
                given = self.state[parameter].get(name)
                if given is None:  # somebody cleared `state`: start again
                    given = self._new_slot(name, index, fills[name])
                _overwrite(mine, given, parameter)
                self.state[parameter][name] = mine
        for name, mine in self._extras.items():
            if self.state[name].get("value") is not mine:
                mine.copy_(self.state[name].get("value", 0.0))
                self.state[name]["value"] = mine
        self._survey()

    def _check_loaded(self, state, groups):
        """Refuse a foreign state before anything is changed."""
        for group in groups:
            if not {"lr", "iterations", *self._group_defaults} <= group.keys():
                raise ValueError(
                    f"The state dict holds no {'lr' if 'lr' not in group else 'step count'} for "
                    f"{type(self).__name__}. A state dict of the same lightkeras optimizer is "
                    "accepted. To go on with new momentums, leave load_state_dict() out."
                )
        for name, tensors in self._slots.items():
            for parameter, path, mine in zip(self._params, self._paths, tensors, strict=True):
                given = state[parameter].get(name)
                if given is None or given.shape != mine.shape:
                    held = "no" if given is None else f"a {tuple(given.shape)}"
                    raise ValueError(
                        f"The state dict holds {held} {name!r} for {path}, where the shape is "
                        f"{tuple(mine.shape)}. A state dict of the same {type(self).__name__} and "
                        "weights is accepted. Check both."
                    )

    def __getstate__(self):
        # A scheduler's patch of `step` and hooks point at other objects: torch drops them, too.
        dropped = ("step", "_index")
        kept = self.__dict__.items()
        return {k: v for k, v in kept if k not in dropped and not k.startswith("_optimizer_")}

    def __setstate__(self, state):
        loaded = "_params" not in state  # by load_state_dict; else unpickled or copied
        if loaded:
            self._check_loaded(state["state"], state["param_groups"])
        super().__setstate__(state)
        self._index = {id(p): i for i, p in enumerate(self._params)}
        if loaded:
            self._relink()

    # ---- Keras's files --------------------------------------------------------------------------

    def _face(self, index, tensor):
        """A tensor of the parameter's shape as Keras sees it; shares its memory where it can."""
        view = self._views[index]
        same = tensor.shape == self._params[index].shape
        return view.to_keras(tensor) if view is not None and same else tensor

    def _put(self, index, tensor, value):
        """Overwrite a tensor of the parameter's layout by a value in Keras's."""
        view = self._views[index]
        same = tensor.shape == self._params[index].shape
        tensor.copy_(view.to_torch(value) if view is not None and same else value)

    def _is_filed(self, name, index):
        """Whether Keras's files hold this slot of this parameter."""
        return True

    @property
    def variables(self):
        """Step count, learning rate and slots, in Keras's order and layout; assignable."""
        group = self.param_groups[0]
        found: list = [Count(group["iterations"], self._group_setter("iterations", int))]
        if self._rate_is_stored():
            found.append(Rate(group["lr"], self._restore_rate))
        for names in self._slot_groups():
            for index in range(len(self._params)):
                filed = [name for name in names if self._is_filed(name, index)]
                found += [self._named(index, name) for name in filed]
        found += [State(tensor) for tensor in self._extras.values()]
        return found + [Rate(group[n], self._group_setter(n, float)) for n in self._group_numbers]

    def _named(self, index, name):
        slot, view = self._slots[name][index], self._views[index]
        face = self._face(index, slot)
        copied = view is not None and face.data_ptr() != slot.data_ptr()
        state = _Reordered(face) if copied else State(face)
        state.home = (view, slot) if copied else None
        state.path = f"{self.name}/{self._paths[index].replace('/', '_')}_{name}"
        return state

    def _group_setter(self, name, kind):
        def assign(value):
            for group in self.param_groups:
                group[name] = kind(value)

        return assign

    def _restore_rate(self, value):
        # Files hold float32: do not round a rate that the config has already restored exactly.
        if np.float32(value) != np.float32(self.param_groups[0]["lr"]):
            self._group_setter("lr", float)(value)

    def set_weights(self, weights):
        """Overwrite `variables` with a list of arrays, all or nothing.

        Raises:
            ValueError: their number or a shape differs.
        """
        mine, given = self.variables, [np.asarray(w) for w in weights]
        if len(mine) != len(given):
            raise ValueError(
                f"Optimizer {self.name!r} has {len(mine)} variables, got {len(given)} arrays. One "
                "array for each is accepted. Build the optimizer on the same weights first."
            )
        for variable, array in zip(mine, given, strict=True):
            if tuple(getattr(variable, "shape", ())) != array.shape:
                raise ValueError(
                    f"Optimizer variable {getattr(variable, 'path', self.name)} has shape "
                    f"{tuple(getattr(variable, 'shape', ()))}, the array given for it has "
                    f"{array.shape}. Shapes must be equal. Check the order of the arrays."
                )
        for variable, array in zip(mine, given, strict=True):
            variable.assign(array)
        for group in self.param_groups:  # what files do not hold starts again
            numbers = self._group_defaults.items()
            group.update((k, v) for k, v in numbers if k not in self._group_numbers)

    def save_own_variables(self, store):
        """Write `variables` as `store["0"]`, `store["1"]`..."""
        for number, variable in enumerate(self.variables):
            store[str(number)] = variable.numpy()

    def load_own_variables(self, store):
        """Read what `save_own_variables` wrote; another number of variables only warns."""
        count = len(self.variables)
        if len(store.keys()) != count:
            warnings.warn(
                f"The file holds {len(store.keys())} variables for optimizer {self.name!r}, which "
                f"has {count}. They are left out: training goes on with a fresh optimizer. To use "
                "them, build the same optimizer on the same model before loading.",
                stacklevel=2,
            )
            return
        self.set_weights([store[str(number)] for number in range(count)])

    # ---- for rules of one's own, as in Keras ----------------------------------------------------

    def add_variable(
        self,
        shape=(),
        initializer="zeros",
        dtype=None,
        aggregation="none",
        layout=None,
        name=None,
    ):
        """A tensor that belongs to the optimizer as a whole; saved with it."""
        name = name or f"variable_{len(self._extras)}"
        if name not in self._extras:
            self._extras[name] = torch.as_tensor(_initial(initializer, shape, dtype or "float32"))
            self.state[name]["value"] = self._extras[name]
        return self._extras[name]

    def add_variable_from_reference(self, reference_variable, name=None, initializer="zeros"):
        """A slot for a parameter: a tensor of its dtype and of its shape in torch's layout."""
        index = self._get_variable_index(reference_variable)
        return self.add_optimizer_variables(self._params, name or "var", initializer)[index]

    def add_optimizer_variables(self, trainable_variables, name, initializer="zeros"):
        """One slot, or several if `name` is a list, for all parameters.

        Returns:
            A list of tensors, one per parameter; a tuple of such lists for several names.
        """
        if not isinstance(name, str):
            many = isinstance(initializer, (list, tuple))
            first = initializer if many else [initializer] * len(name)
            pairs = zip(name, first, strict=True)
            return tuple(self.add_optimizer_variables(trainable_variables, *p) for p in pairs)
        new = name not in self._slots
        tensors = self._add_slot(name)
        if new and initializer != "zeros":
            for tensor in tensors:
                tensor.copy_(_initial(initializer, tensor.shape, tensor.dtype))
        return tensors

    @torch.no_grad()
    def assign(self, variable, value):
        """Overwrite a parameter or slot in place."""
        parameter_of(variable).copy_(torch.as_tensor(value))

    @torch.no_grad()
    def assign_add(self, variable, value):
        """Add to a parameter or slot in place."""
        parameter_of(variable).add_(value)

    @torch.no_grad()
    def assign_sub(self, variable, value):
        """Subtract from a parameter or slot in place."""
        parameter_of(variable).sub_(value)


def _initial(initializer, shape, dtype):
    from lightkeras import initializers

    return initializers.get(initializer)(tuple(shape), dtype=dtype)


def _overwrite(mine, given, parameter):
    """Put `given` into the tensor object `mine`, moved to where the parameter is."""
    if (mine.device, mine.dtype) == (parameter.device, parameter.dtype):
        if mine is not given:
            mine.copy_(given)
    else:
        mine.data = given.detach().to(device=parameter.device, dtype=parameter.dtype).clone()
