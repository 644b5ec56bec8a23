"""How often the answer is right.

The function of each metric returns 1.0 or 0.0 per answer; the class of the same name is the mean.
"""

from __future__ import annotations

import torch

from lightkeras._dtypes import torch_dtype
from lightkeras._kinds import NUMBER
from lightkeras.losses._base import mismatch
from lightkeras.metrics._base import MeanMetricWrapper, as_tensor, comparable, pair

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]


# ---- functions --------------------------------------------------------------------------------
# Each stands on one that returns booleans: the classes sum these, without a pass to make floats.


def _equal(y_true, y_pred):
    y_true, y_pred = pair("accuracy", y_true, y_pred)
    return y_true == y_pred


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """Where targets 0 and 1 meet outputs up to and above `threshold`.

    >>> binary_accuracy([[1.0], [0.0]], [[0.9], [0.8]]).flatten()
    tensor([1., 0.])
    """
    return _binary(y_true, y_pred, threshold).to(torch_dtype())


def _binary(y_true, y_pred, threshold=0.5):
    y_true, y_pred = pair("binary_accuracy", y_true, y_pred)
    return (y_pred > threshold) == y_true


def categorical_accuracy(y_true, y_pred):
    """Where the highest output is that of the class that one-hot targets mark."""
    return _categorical(y_true, y_pred).to(torch_dtype())


def _categorical(y_true, y_pred):
    y_true, y_pred = pair("categorical_accuracy", y_true, y_pred)
    return _highest(y_true) == _highest(y_pred)


def _highest(x):
    """Number of the highest class; torch finds no maximum among truth values."""
    return (x.byte() if x.dtype is torch.bool else x).argmax(-1)


def sparse_categorical_accuracy(y_true, y_pred):
    """Where the highest output is that of the class whose number is the target.

    Shape:
        y_true `(batch, ...)` or `(batch, ..., 1)`, y_pred `(batch, ..., classes)`.

    >>> sparse_categorical_accuracy([1, 0], [[0.1, 0.9], [0.2, 0.8]])
    tensor([1., 0.])
    """
    return _sparse(y_true, y_pred).to(torch_dtype())


def _sparse(y_true, y_pred):
    y_true, y_pred = _class_numbers("sparse_categorical_accuracy", y_true, y_pred)
    matches = _highest(y_pred) == y_true
    return matches.squeeze(-1) if matches.ndim > 1 and matches.shape[-1] == 1 else matches


def _class_numbers(name, y_true, y_pred):
    if not comparable(y_true, y_pred):
        y_pred = as_tensor(y_pred)
        y_true = as_tensor(y_true, y_pred)
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = y_true.squeeze(-1)
    if y_true.shape != y_pred.shape[:-1]:
        raise mismatch(name, y_true.shape, y_pred.shape)
    return y_true, y_pred


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """Where the class that one-hot targets mark is among the `k` highest outputs."""
    y_true, y_pred = pair("top_k_categorical_accuracy", y_true, y_pred)
    return _among_highest(_highest(y_true), y_pred, k).to(torch_dtype())


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5, from_sorted_ids=False):
    """Where the class whose number is the target is among the `k` highest outputs.

    Args:
        from_sorted_ids: y_pred holds class numbers, the best first, instead of scores.
    """
    name = "sparse_top_k_categorical_accuracy"
    y_true, y_pred = _class_numbers(name, y_true, y_pred)
    if from_sorted_ids:
        return (y_pred[..., :k] == y_true.unsqueeze(-1)).any(-1).to(torch_dtype())
    return _among_highest(y_true.to(torch.int64), y_pred, k).to(torch_dtype())


def _among_highest(classes, y_pred, k):
    highest = y_pred.shape[-1] - 1
    lowest = y_pred.topk(min(k, highest + 1)).values[..., -1]
    known = (classes >= 0) & (classes <= highest)  # any other class is never among them
    scores = y_pred.gather(-1, classes.clamp(0, highest).unsqueeze(-1)).squeeze(-1)
    return known & (scores >= lowest)


# ---- classes ----------------------------------------------------------------------------------


class _Accuracy(MeanMetricWrapper):
    _direction = "up"


class Accuracy(_Accuracy):
    """How often targets and outputs are equal numbers.

    >>> Accuracy()([[1], [2], [3]], [[1], [2], [0]])
    tensor(0.6667)
    """

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(_equal, name, dtype)


class BinaryAccuracy(_Accuracy):
    """How often targets 0 and 1 meet outputs up to and above `threshold`."""

    _kinds = {"threshold": NUMBER}

    def __init__(self, name="binary_accuracy", dtype=None, threshold=0.5):
        super().__init__(_binary, name, dtype, threshold=threshold)


class CategoricalAccuracy(_Accuracy):
    """How often the highest output is that of the class that one-hot targets mark."""

    def __init__(self, name="categorical_accuracy", dtype=None):
        super().__init__(_categorical, name, dtype)


class SparseCategoricalAccuracy(_Accuracy):
    """How often the highest output is that of the class whose number is the target."""

    def __init__(self, name="sparse_categorical_accuracy", dtype=None):
        super().__init__(_sparse, name, dtype)


class TopKCategoricalAccuracy(_Accuracy):
    """How often the class that one-hot targets mark is among the `k` highest outputs."""

    def __init__(self, k=5, name="top_k_categorical_accuracy", dtype=None):
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)


class SparseTopKCategoricalAccuracy(_Accuracy):
    """How often the class whose number is the target is among the `k` highest outputs."""

    def __init__(
        self, k=5, name="sparse_top_k_categorical_accuracy", dtype=None, from_sorted_ids=False
    ):
        super().__init__(
            sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids
        )
