"""Training on several processes: each takes its part of every batch, and one path is walked.

The gradient of a whole batch is the sum over the processes of their losses' gradients, each times
its share of the rows. Then means over rows, penalties on weights and what a user adds are right
as they are; `losses` corrects what is divided by something else (see `_ranks.share`).
"""

from __future__ import annotations

import torch
import torch.distributed as dist

from lightkeras._data import unpack
from lightkeras._ranks import gather, rank, sharing, world
from lightkeras._together import averaged_logs, keep_sums
from lightkeras._training._failures import end_with_parent, leave_at_exit, let_others_speak
from lightkeras._training._whole import Whole
from lightkeras._tree import flatten, map_structure

__all__ = ["Parts", "lay_out_gradients", "share_gradients"]


class Parts:
    """This process's parts of the training batches.

    Args:
        model: The model.
        batches: The batches, from now on cut into shares.
        whole: Whether each process has batches of its own (a user's DataLoader): their gradients
            are averaged, as Lightning does.
        synchronize: Whether batch statistics are those of the whole batch.
    """

    def __init__(self, model, batches, whole, synchronize):
        self.model, self.batches, self.whole = model, batches, whole
        self.processes = world()
        self.weight = 1 / self.processes  # of this process's rows in the running batch
        self.had_rows = False  # in this epoch
        self.judges = None  # losses and metrics that are given whole batches
        self.hooks = []
        batches.seed = gather(batches.seed)[0]
        batches.shard(rank(), self.processes)
        # Where there are fewer rows than processes, the others take these, and count them 0 times.
        self.spare = None if whole else _two_rows(batches.peek())
        self.weighted = self.spare is not None and self.spare[2] is not None
        normalizing = [m for m in model.modules() if hasattr(m, "synchronized")]
        self.synchronized = [m for m in normalizing if synchronize and not m.synchronized]
        for layer in self.synchronized:
            layer.synchronized = True
        if any(m.synchronized for m in normalizing):
            self.spare = None  # there, rows are not without effect

    def begin(self, own_step):
        """Before the first step."""
        end_with_parent()
        let_others_speak()
        leave_at_exit()
        if own_step:
            self.hooks = share_gradients(self.model, lambda: self.weight)
        if not self.whole:
            self.judges = Whole(self.model, self.weighted)
        if rank() > 0:  # or the rows of one share would be dropped out like those of another
            torch.manual_seed(int(torch.randint(2**31, ())) + rank())

    def step(self, take, batch, number):
        """`take(x, y, w)` on this process's part of batch `number`; its loss for an average."""
        if self.whole:
            self.had_rows = True
            return take(*self.batches.convert(batch))
        batch = unpack(batch)
        rows = len(flatten(batch[0])[0])
        self.weight = rows / self.batches.global_rows(number)
        self.judges.begin_batch()
        with sharing(self.weight):
            loss = self._without_rows(take, batch) if rows == 0 else take(*batch)
        self.had_rows |= rows > 0
        return None if loss is None else loss * (self.weight * self.processes)

    def _without_rows(self, take, batch):
        """The others wait for gradients of this process, too: they will be zero."""
        put_back = keep_sums(self.model, but=self.judges.metrics)
        loss = take(*(self.spare or batch))
        put_back()
        return loss

    def logs(self):
        """Logs of the epoch so far, of all processes."""
        same = () if self.judges is None else self.judges.metrics
        return averaged_logs(self.model, self.weight if self.had_rows else None, same)

    def any(self, flag):
        """Whether `flag` holds on some process."""
        return any(gather(bool(flag)))

    def same_buffers(self):
        """Moving averages of the first process are those of all: each has seen its own rows."""
        for buffer in self.model.buffers():
            dist.broadcast(buffer, 0)

    def finish(self):
        """After the last step: random numbers are again the same everywhere."""
        torch.set_rng_state(gather(torch.get_rng_state())[0])

    def end(self):
        """Let go of the model, also after an error."""
        if self.judges is not None:
            self.judges.end()
        for layer in self.synchronized:
            layer.synchronized = False
        for hook in self.hooks:
            hook.remove()


def lay_out_gradients(model):
    """Put DDP's gradients in one order for good, so that sums are added alike after a restart.

    By itself it lays them out anew after the first step of each process, in the order in which
    they came. On a GPU that order lets sending begin early, and kernels add in any order anyway.
    """
    reducer = getattr(model, "reducer", None)
    on_cpu = reducer is not None and model.device.type == "cpu"
    if on_cpu and not model.find_unused_parameters and hasattr(reducer, "_rebuild_buckets"):
        reducer._push_all_rebuilt_params()
        reducer._rebuild_buckets()


def share_gradients(model, weight):
    """Add up the gradients of a `train_step` of the user's own over the processes.

    Its `backward` runs outside of what DDP watches. A hook sees each gradient before it is
    added to the parameter, so it does not matter how the step uses it.

    Args:
        weight: Function that gives this process's part of the running batch.

    Returns:
        The hooks.
    """

    def shared(gradient):
        gradient = (gradient * weight()).contiguous()
        dist.all_reduce(gradient)
        return gradient

    return [p.register_hook(shared) for p in model.parameters() if p.requires_grad]


def _two_rows(batch):
    return tuple(map_structure(lambda t: None if t is None else t[:2], tree) for tree in batch)
