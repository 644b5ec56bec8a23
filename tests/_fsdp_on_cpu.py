"""Lightning's FSDPStrategy where there is no GPU, to test ours in the suite.

Lightning refuses FSDP without an accelerator, and hands torch the number of a CUDA device. torch
itself splits modules on CPUs, too, over gloo. So two places are put right, in the processes of a
test only; what is computed is torch's and ours.
"""

import torch
import torch.distributed.fsdp as fsdp
from lightning.pytorch.plugins.precision import FSDPPrecision
from lightning.pytorch.strategies import FSDPStrategy
from lightning.pytorch.trainer.connectors import accelerator_connector

__all__ = ["OnCpu", "allow"]


class OnCpu(FSDPStrategy):
    """FSDP of CPU processes."""

    def __init__(self, **options):
        super().__init__(process_group_backend="gloo", **options)

    @property
    def root_device(self):
        return torch.device("cpu")

    def _setup_model(self, model):
        wrapper, begin = fsdp.FullyShardedDataParallel, fsdp.FullyShardedDataParallel.__init__

        def begin_on_cpu(self, *args, device_id=None, **options):
            begin(self, *args, device_id=torch.device("cpu"), **options)

        wrapper.__init__ = begin_on_cpu
        try:
            return super()._setup_model(model)
        finally:
            wrapper.__init__ = begin


def _forward_context(precision):
    """Lightning's names CUDA."""
    return torch.autocast("cpu", torch.bfloat16, enabled=precision.precision == "bf16-mixed")


def allow():
    """Let Lightning take FSDP in this process, a forked one."""
    FSDPPrecision.forward_context = _forward_context
    accelerator_connector._AcceleratorConnector._check_strategy_and_fallback = lambda self: None
