"""Keras 3's operations: torch functions under Keras's names, for tensors and symbolic tensors.

They take tensors, symbolic tensors (so that they stand in functional models), arrays, lists and
numbers. Dtypes are combined as in Keras: a Python number takes the dtype of the tensor beside it.

>>> from lightkeras import Input, ops
>>> ops.add([1, 2], 0.5)
tensor([1.5000, 2.5000])
>>> ops.square(Input((3,))).shape
(None, 3)
"""

from __future__ import annotations

from lightkeras._older import lacking
from lightkeras._registry import did_you_mean
from lightkeras.ops import _math, _rearrange, core, image, linalg, nn, numpy
from lightkeras.ops._math import *  # noqa: F403
from lightkeras.ops._op import OPERATIONS as OPERATIONS
from lightkeras.ops._rearrange import *  # noqa: F403
from lightkeras.ops.core import *  # noqa: F403
from lightkeras.ops.linalg import *  # noqa: F403
from lightkeras.ops.nn import *  # noqa: F403
from lightkeras.ops.numpy import *  # noqa: F403

__all__ = ["image", "linalg", "nn", "numpy"]
__all__ += [
    *_math.__all__,
    *_rearrange.__all__,
    *core.__all__,
    *linalg.__all__,
    *nn.__all__,
    *numpy.__all__,
]


def __getattr__(name):
    raise lacking(
        f"lightkeras.ops has no {name!r}.{did_you_mean(name, __all__)} Torch functions take the "
        "same tensors, symbolic ones too."
    )
