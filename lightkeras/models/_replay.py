"""Steps on a GPU as CUDA graphs: all kernels of a step in one launch."""

from __future__ import annotations

from operator import is_

import torch

__all__ = ["Replay", "can_be_replayed"]


def can_be_replayed(tensors):
    """Whether a step of these tensors runs on one GPU and nowhere else."""
    devices = {t.device for t in tensors}
    return len(devices) == 1 and next(iter(devices)).type == "cuda"


class Replay:
    """A step whose kernels are launched together, as they were recorded once.

    The first call takes the step as it is, which is when kernels are loaded and chosen; the
    second one records it. Then a batch is copied into the memory that the recording reads, and
    the kernels run. Random numbers go on as without: torch counts them for a recording, too.

    Args:
        code: The step: a function of tensors that returns a list of tensors.
        batch: Which of its arguments are a batch, as a slice. All others are read and changed
            where they are.
    """

    def __init__(self, code, batch):
        self.code, self.batch = code, batch
        self.warm = self.refused = False
        self.graph: torch.cuda.CUDAGraph | None = None
        self.kept: list = []  # the tensors that are no batch
        self.places: list = []  # their addresses
        self.inputs: list = []  # the recording's own batch
        self.outputs: list = []

    def __call__(self, *tensors):
        if self.refused or not self.warm:
            self.warm = True
            return self.code(*tensors)
        given = tensors[self.batch]
        self._look([*tensors[: self.batch.start], *tensors[self.batch.stop :]])
        if self.graph is None and not self._record(given):
            return self.code(*tensors)
        torch._foreach_copy_(self.inputs, given)
        self.graph.replay()
        return [t.clone() for t in self.outputs]  # the next step writes there again

    def _look(self, kept):
        """Drop the recording if one of the tensors is no longer where it was."""
        if len(kept) == len(self.kept) and all(map(is_, kept, self.kept)):
            return
        places = [t.data_ptr() for t in kept]
        if places != self.places:
            self.graph = None
        self.kept, self.places = kept, places

    def _record(self, given):
        """Record the kernels of a step, without running them; whether that went well."""
        inputs, start = [t.clone() for t in given], self.batch.start
        graph = torch.cuda.CUDAGraph()
        try:
            if any(a.stride() != b.stride() for a, b in zip(inputs, given, strict=True)):
                raise RuntimeError("the code is for tensors with gaps")
            # Threads that read data ahead may go on using the GPU meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                outputs = self.code(*self.kept[:start], *inputs, *self.kept[start:])
        except RuntimeError:
            self.refused = True
            return False
        self.graph, self.inputs, self.outputs = graph, inputs, outputs
        return True
