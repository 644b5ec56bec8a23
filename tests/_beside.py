"""The same program in lightkeras and in the installed Keras, and what both gave compared."""

import warnings

import keras
import numpy as np
import torch

import lightkeras as lk

__all__ = ["assert_equal", "beside", "seeded", "weights_of"]


def seeded(model, seed=0):
    """`model` with weights that depend on their order and shapes alone."""
    draw = np.random.RandomState(seed)
    model.set_weights([draw.uniform(-0.5, 0.5, w.shape) for w in model.get_weights()])
    return model


def weights_of(model):
    """Shapes of the weights, in order."""
    return [tuple(w.shape) for w in model.weights]


def beside(program, **tolerance):
    """Run `program(k)` with k = Keras and k = lightkeras; both must give the same.

    A program returns a tree of numbers, arrays and strings. Errors that both raise are equal.
    """
    theirs, ours = (_run(program, k) for k in (keras, lk))
    assert_equal(ours, theirs, **{"rtol": 2e-4, "atol": 1e-5, **tolerance})


def _run(program, k):
    k.utils.clear_session(free_memory=False)  # automatic names count from the beginning
    k.utils.set_random_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return program(k)


def assert_equal(ours, theirs, where="", **tolerance):
    """Equal in structure, keys with their order, strings; numbers within the tolerance."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), where
        for key, value in theirs.items():
            assert_equal(ours[key], value, f"{where}[{key!r}]", **tolerance)
    elif isinstance(theirs, (list, tuple)):
        assert isinstance(ours, (list, tuple)), where
        assert len(ours) == len(theirs), f"{where}: {ours} and {theirs}"
        for i, value in enumerate(theirs):
            assert_equal(ours[i], value, f"{where}[{i}]", **tolerance)
    elif isinstance(theirs, (str, bool, type(None), type)):
        assert ours == theirs, where
    else:
        ours, theirs = _array(ours), _array(theirs)
        assert ours.shape == theirs.shape, where
        np.testing.assert_allclose(ours, theirs, err_msg=where, **tolerance)


def _array(value):
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
    elif hasattr(value, "numpy"):
        value = value.numpy()
    return np.asarray(value)
