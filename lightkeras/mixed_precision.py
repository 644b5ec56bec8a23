"""Mixed precision: the older names of dtype policies, and the scaling of the loss."""

from lightkeras._older import old_names
from lightkeras.dtype_policies import DTypePolicy, dtype_policy, set_dtype_policy
from lightkeras.optimizers import LossScaleOptimizer

__all__ = [
    "DTypePolicy",
    "LossScaleOptimizer",
    "Policy",
    "dtype_policy",
    "global_policy",
    "set_dtype_policy",
    "set_global_policy",
]

Policy = DTypePolicy
global_policy = dtype_policy
set_global_policy = set_dtype_policy

__getattr__ = old_names(__name__)
