"""A batch for which the CPU's memory is not enough; tests/test_gpu.py has the GPU's."""

import gc
from weakref import ref

import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras._data import Arrays

N = 20_000_000  # rows, as a view of one: 14 TiB of outputs of the first layer


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_too_large_a_batch_is_told_with_a_smaller_one(method, monkeypatch):
    model = lk.Sequential([lk.layers.Dense(200_000, "relu"), lk.layers.Dense(1)])
    model.build((None, 1))
    model.compile("sgd", "mse")
    x = torch.zeros(1, 1).expand(N, 1)
    data = (x,) if method == "predict" else (x, x)
    before = model.get_weights()[0]
    seen = []
    monkeypatch.setattr(
        Arrays,
        "_pass",
        lambda self, *a, way=Arrays._pass: (seen.append(ref(self)), way(self, *a))[1],
    )
    with pytest.raises(torch.OutOfMemoryError) as caught:
        getattr(model, method)(*data, batch_size=N, verbose=0)
    assert str(caught.value).startswith(f"{method}() needs more memory than the CPU has (16000")
    assert f"batches of {N} rows" in str(caught.value)
    assert str(caught.value).endswith(f"Type batch_size={N // 2}.")
    gc.collect()
    assert seen[0]() is None  # while the error is still there, its data are let go
    few = np.zeros((20, 1), "float32")
    getattr(model, method)(*[few for _ in data], batch_size=10, verbose=0)
    assert model.get_weights()[0].shape == before.shape
