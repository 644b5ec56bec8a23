"""`Operation` and `Function`: what stands in a graph and is no layer, for one's own code."""

from __future__ import annotations

from lightkeras._config import Configured, arguments
from lightkeras._dtypes import as_tensor
from lightkeras._graph import KerasTensor, Plan, apply, is_keras_tensor, output_spec
from lightkeras._registry import to_snake, unique_name
from lightkeras._tree import flatten, map_structure, pack

__all__ = ["Function", "Operation"]


class Operation(Configured):
    """Base of a computation without weights that takes symbolic tensors, too.

    A subclass defines `call`. Shapes are found by running it without numbers, unless it defines
    `compute_output_spec`, which returns KerasTensors.

    Args:
        name: Its name in a graph; by default made from the class's.

    Raises:
        ValueError: the name is none.

    >>> import torch
    >>> from lightkeras import Input
    >>> class Scale(Operation):
    ...     def __init__(self, factor, name=None):
    ...         super().__init__(name=name)
    ...         self.factor = factor
    ...
    ...     def call(self, x):
    ...         return x * self.factor
    >>> Scale(2.0)(torch.ones(2)), Scale(2.0)(Input((3,))).shape
    (tensor([2., 2.]), (None, 3))
    """

    built = True

    def __init__(self, name=None):
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(
                f"{type(self).__name__}() got name={name!r}. A text without '/' is accepted. "
                "Type name='scale'."
            )
        self.name = name or unique_name(to_snake(type(self).__name__))
        self._inbound_nodes = []

    def __call__(self, *args, **kwargs):
        if any(map(is_keras_tensor, flatten((args, kwargs)))):
            return self.symbolic_call(*args, **kwargs)
        return self.call(*args, **kwargs)

    def symbolic_call(self, *args, **kwargs):
        """A call on symbolic tensors, which is remembered in the graph."""
        return apply(self, args, kwargs)

    def call(self, *args, **kwargs):
        """The computation; a subclass defines it."""
        raise NotImplementedError(
            f"{type(self).__name__} has no call(). An Operation computes there. Type "
            "def call(self, x): ..."
        )

    def compute_output_spec(self, *args, **kwargs):
        """KerasTensors of the shapes and dtypes that `call` returns for symbolic tensors."""
        return output_spec(self.call, args, kwargs)

    def count_params(self):
        """0: an operation has no weights."""
        return 0

    def get_config(self):
        """The constructor's arguments, as a dict."""
        return {**arguments(self), "name": self.name}

    @property
    def input(self):
        """Symbolic input of the first call (or the list of them)."""
        return _alone(self._inbound_nodes[0].input_tensors)

    @property
    def output(self):
        """Symbolic output of the first call (or the list of them)."""
        return _alone(self._inbound_nodes[0].output_tensors)


def _alone(tensors):
    return tensors[0] if len(tensors) == 1 else tensors


class Function(Operation):
    """The computation between symbolic inputs and outputs, as a function of tensors.

    A `Model` does the same, and has weights and can be trained.

    Args:
        inputs: Symbolic tensors (a tree of them).
        outputs: What was made of them (a tree).
        name: Its name.

    Raises:
        ValueError: the outputs do not come from the inputs.

    >>> import torch
    >>> from lightkeras import Input, ops
    >>> x = Input((2,))
    >>> Function(x, ops.exp(x) + 1)(torch.zeros(1, 2))
    tensor([[2., 2.]])
    """

    def __init__(self, inputs, outputs, name=None):
        super().__init__(name=name)
        self._plan = Plan(inputs, outputs)
        self._inputs, self._outputs = inputs, outputs

    def get_config(self):
        """A graph alone is not stored; a Model is.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            f"The Function {self.name!r} has no config. Models are stored with their graphs. Type "
            "Model(inputs, outputs)."
        )

    @property
    def inputs(self):
        """Symbolic inputs, as a list."""
        return flatten(self._inputs)

    @property
    def outputs(self):
        """Symbolic outputs, as a list."""
        return flatten(self._outputs)

    @property
    def operations(self):
        """The layers and operations between the ends, in the order in which they run."""
        return list(dict.fromkeys(node.operation for node in self._plan.nodes))

    def call(self, inputs):
        """Outputs for tensors in the form of the inputs.

        Raises:
            ValueError: the number of tensors or their shapes do not fit.
        """
        leaves = [as_tensor(leaf) for leaf in flatten(inputs)]
        wanted = [t.shape for t in self.inputs]
        if len(leaves) != len(wanted) or not all(map(_fits, leaves, wanted)):
            given = [tuple(leaf.shape) for leaf in leaves]
            raise ValueError(
                f"{self.name!r} got tensors of shapes {given}. It takes {wanted}. "
                "Pass tensors in the form of its inputs."
            )
        return self._plan.run(leaves)

    def compute_output_spec(self, inputs):
        """Symbolic outputs for symbolic inputs of other sizes."""
        return output_spec(self.call, (inputs,), {})

    def compute_output_shape(self, input_shape):
        """Shapes of the outputs for the shape of the input, or the list of those of several."""
        several = isinstance(input_shape, (list, tuple)) and isinstance(
            input_shape[0], (list, tuple)
        )
        shapes = input_shape if several else [input_shape]
        ends = [KerasTensor(s, t.dtype) for s, t in zip(shapes, self.inputs, strict=True)]
        return map_structure(lambda t: t.shape, self.compute_output_spec(pack(self._inputs, ends)))


def _fits(leaf, shape):
    return len(leaf.shape) == len(shape) and all(
        n is None or n == m for n, m in zip(shape, leaf.shape, strict=True)
    )
