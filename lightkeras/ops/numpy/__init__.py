"""The part of `ops` that NumPy has, too, under NumPy's names.

>>> from lightkeras import ops
>>> ops.numpy.add([1.0, 2.0], 0.5)
tensor([1.5000, 2.5000])
"""

from __future__ import annotations

from lightkeras._older import old_names
from lightkeras.ops.numpy import (
    _creation,
    _elementwise,
    _indexing,
    _nan,
    _pairs,
    _products,
    _reductions,
    _shaping,
)
from lightkeras.ops.numpy._creation import *  # noqa: F403
from lightkeras.ops.numpy._elementwise import *  # noqa: F403
from lightkeras.ops.numpy._indexing import *  # noqa: F403
from lightkeras.ops.numpy._nan import *  # noqa: F403
from lightkeras.ops.numpy._pairs import *  # noqa: F403
from lightkeras.ops.numpy._products import *  # noqa: F403
from lightkeras.ops.numpy._reductions import *  # noqa: F403
from lightkeras.ops.numpy._shaping import *  # noqa: F403

__all__ = [
    *_creation.__all__,
    *_elementwise.__all__,
    *_indexing.__all__,
    *_nan.__all__,
    *_pairs.__all__,
    *_products.__all__,
    *_reductions.__all__,
    *_shaping.__all__,
]

__getattr__ = old_names(__name__)
