"""One step as a graph of tensor operations, and why it may be no use as one."""

from __future__ import annotations

import hashlib
import pickle
import random

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from lightkeras._tree import flatten
from lightkeras.models._fused import REWRITTEN, keep_fused
from lightkeras.models._replay import can_be_replayed
from lightkeras.models._watch import Calls

__all__ = ["LARGEST", "Recording"]

LARGEST = 1500  # operations; more (long unrolled recurrences) compile for minutes


class Recording:
    """Takes a step and records it.

    Args:
        body: The step; it returns a list of tensors.
        state: The tensors that it reads or changes.
        leaves, numbers: Those that it is given anew each time.
        before: A `Watch` of what Python holds.

    Attributes:
        outputs: What `body` returned.
        graph: A function of `state`, `leaves`, `numbers` and `more`.
        more: Further tensors that the step reads.
        ran: Python's code objects that ran.
        reason: Why the graph is not the step, or None.
    """

    def __init__(self, body, state, leaves, numbers, before):
        from torch.fx.experimental.proxy_tensor import make_fx

        self.outputs: list = []

        def step(*_):  # the recorder knows the tensors by their identity
            self.outputs[:] = body()
            return list(self.outputs)

        drawn = _drawn()
        torch.clear_autocast_cache()  # casts that were made before would be constants
        with Calls() as calls, _Reads() as reads:
            self.graph = make_fx(step, REWRITTEN)(*state, *leaves, *numbers)
        torch.clear_autocast_cache()
        self.ran, self.more = calls.ran, []
        self.reason = (
            _changed(before)
            or reads.found
            or (calls.effect and f"a step calls {calls.effect}")
            or (drawn != _drawn() and "a step draws random numbers from Python or NumPy")
            or self._refused(state, leaves)
            or None
        )
        if self.reason is None:
            keep_fused(self.graph)
            self._lift()

    def _refused(self, state, leaves):
        """What in the graph does not hold for other numbers than these."""
        nodes = list(self.graph.graph.nodes)
        if len(nodes) > LARGEST and not can_be_replayed(state):
            return f"a step of {len(nodes)} operations is too long"
        places = [n for n in nodes if n.op == "placeholder"]
        batch = places[len(state) : len(state) + len(leaves)]
        if _written(nodes, [n for n in nodes if n.op == "get_attr"]):
            return "a step changes tensors that are neither weights nor buffers"
        if _written(nodes, batch):
            return "a step changes its batch in place"
        memory = [t.untyped_storage().data_ptr() for t in state if t.numel()]
        if len(set(memory)) < len(memory):
            return "two weights share their memory"
        for node in nodes:
            tags = getattr(node.target, "tags", ())
            if torch.Tag.dynamic_output_shape in tags:
                return f"the shape of what {node.target} returns depends on the numbers"
        return None

    def _lift(self):
        """Give the graph the tensors that it found as arguments, so that it sees their changes."""
        graph = self.graph.graph
        last = [n for n in graph.nodes if n.op == "placeholder"][-1]
        for node in [n for n in graph.nodes if n.op == "get_attr"]:
            value = getattr(self.graph, node.target)
            made = all("lift_fresh" in str(user.target) for user in node.users)
            if made or not isinstance(value, torch.Tensor):
                continue  # out of Python's numbers
            self.more.append(value.detach())
            with graph.inserting_after(last):
                last = graph.placeholder(f"more_{len(self.more)}")
            node.replace_all_uses_with(last)
            graph.erase_node(node)
        if self.more:
            self.graph.recompile()

    def digest(self):
        """A short text that is the same for graphs that are the same."""
        nodes = [n for n in self.graph.graph.nodes if n.op == "get_attr"]
        values = [getattr(self.graph, n.target) for n in nodes]
        held = [v.detach().cpu().tolist() for v in values if isinstance(v, torch.Tensor)]
        return hashlib.sha256(f"{self.graph.code}{held!r}".encode()).hexdigest()[:16]


def _drawn():
    return pickle.dumps((random.getstate(), np.random.get_state()))


def _changed(before):
    what = before.changed()
    if what:
        return f"a step changes {what}"
    what = before.drawn()
    return what and f"a step draws random numbers from {what}"


class _Reads(TorchFunctionMode):
    """Notes what takes values out of tensors, or draws them from a generator that the graph would
    hold: a recorded step would keep them for ever.
    """

    _NAMES = {
        *("item", "tolist", "numpy", "__array__", "__bool__", "__float__", "__int__", "__index__"),
        *("__complex__", "__contains__", "__repr__", "__format__", "nonzero", "equal", "allclose"),
        *("is_nonzero", "data_ptr", "__dlpack__"),
    }
    found = None

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if kwargs and kwargs.get("generator") is not None:
            self.found = "a step draws from a generator of random numbers of its own"
        elif name in self._NAMES:
            self.found = self.found or f"a step reads the values of a tensor ({name})"
        else:
            return func(*args, **(kwargs or {}))
        from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing

        with disable_proxy_modes_tracing():  # the step goes on as if nobody looked
            return func(*args, **(kwargs or {}))


def _written(nodes, kept):
    """Whether an operation changes one of the tensors `kept`, or a view of one, in place."""
    kept = set(kept)
    for node in nodes:
        if not isinstance(node.target, torch._ops.OpOverload):
            continue
        for value, argument in zip(node.args, node.target._schema.arguments, strict=False):
            alias = argument.alias_info
            given = [v for v in flatten(value) if isinstance(v, torch.fx.Node)]
            if alias is not None and not kept.isdisjoint(given):
                if alias.is_write:
                    return True
                kept.add(node)
    return False
