"""Metrics against the installed Keras over several batches, configs, and what compile accepts."""

import copy
import inspect
import pickle
import sys
from functools import partial

import keras
import numpy as np
import pytest
import torch

from lightkeras import losses, metrics

CLASSES = 4
SIZES = (7, 8, 3)  # rows of the batches


def rng(seed=0):
    return np.random.default_rng(seed)


# ---- inputs: (rows, seed) -> (y_true, y_pred) --------------------------------------------------


def numbers(n, r):
    return r.normal(size=(n, 3)).astype("float32"), r.normal(size=(n, 3)).astype("float32")


def column(n, r):
    return r.normal(size=n).astype("float32"), r.normal(size=(n, 1)).astype("float32")


def sequences(n, r):
    shape = (n, 5, 3)
    return r.normal(size=shape).astype("float32"), r.normal(size=shape).astype("float32")


def positive(n, r):
    return tuple(np.abs(a) for a in numbers(n, r))


def labels(n, r):
    return r.integers(3, size=(n, 1)), r.integers(3, size=(n, 1))


def yes_no(n, r):
    return r.integers(2, size=(n, 1)), r.uniform(size=(n, 1)).astype("float32").round(1)


def yes_no_vector(n, r):
    return r.integers(2, size=n).astype("float32"), r.uniform(size=(n, 1)).astype("float32")


def multi(n, r):
    p = r.uniform(size=(n, CLASSES)).astype("float32")
    p.flat[0], p.flat[1] = 0.0, 1.0
    return r.integers(2, size=(n, CLASSES)), p


def margins(n, r):
    return r.integers(2, size=(n, 1)) * 2.0 - 1, r.normal(size=(n, 1)).astype("float32")


def ids(n, r):
    p = r.uniform(size=(n, CLASSES)).astype("float32")
    return r.integers(CLASSES, size=n), p / p.sum(-1, keepdims=True)


def ids_column(n, r):
    y, p = ids(n, r)
    return y[:, None].astype("float32"), p


def ids_sequence(n, r):
    return r.integers(CLASSES, size=(n, 5)), r.uniform(size=(n, 5, CLASSES)).astype("float32")


def one_hot(n, r):
    y, p = ids(n, r)
    return np.eye(CLASSES, dtype="float32")[y], p


def one_hot_sequence(n, r):
    y, p = ids_sequence(n, r)
    return np.eye(CLASSES, dtype="float32")[y], p


def ids_first(n, r):
    """The classes on the axis 1."""
    return r.integers(5, size=(n, CLASSES)), r.uniform(size=(n, 5, CLASSES)).astype("float32")


def one_hot_and_ids(n, r):
    return one_hot(n, r)[0], r.integers(CLASSES, size=n)


def ranked(n, r):
    return r.integers(9, size=n), np.stack([r.permutation(9) for _ in range(n)])


def masks(n, r):
    return r.integers(CLASSES, size=(n, 6)), r.integers(CLASSES + 1, size=(n, 6))


def spread(n, r):
    return r.normal(size=(n, 9)).astype("float32"), r.normal(size=(n, 9)).astype("float32")


# (class, options, inputs, kinds of weights)
ROWS_ONLY = ("none", "rows")
ALL = ("none", "rows", "values")
NONE = ("none",)
DENSE = {"axis": -1, "sparse_y_true": False, "sparse_y_pred": False}
CASES = [
    ("Accuracy", {}, labels, ALL),
    ("BinaryAccuracy", {}, yes_no, ALL),
    ("BinaryAccuracy", {"threshold": 0.3}, yes_no_vector, ROWS_ONLY),
    ("BinaryAccuracy", {}, multi, ALL),
    ("CategoricalAccuracy", {}, one_hot, ROWS_ONLY),
    ("CategoricalAccuracy", {}, one_hot_sequence, ALL),
    ("SparseCategoricalAccuracy", {}, ids, ROWS_ONLY),
    ("SparseCategoricalAccuracy", {}, ids_column, ROWS_ONLY),
    ("SparseCategoricalAccuracy", {}, ids_sequence, ALL),
    ("TopKCategoricalAccuracy", {"k": 2}, one_hot, ROWS_ONLY),
    ("TopKCategoricalAccuracy", {"k": 2}, one_hot_sequence, ALL),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, ids, ROWS_ONLY),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, ids_sequence, ALL),
    ("SparseTopKCategoricalAccuracy", {"k": 2, "from_sorted_ids": True}, ranked, ROWS_ONLY),
    ("MeanSquaredError", {}, numbers, ROWS_ONLY),
    ("MeanSquaredError", {}, column, ROWS_ONLY),
    ("MeanSquaredError", {}, sequences, ALL),
    ("RootMeanSquaredError", {}, numbers, ALL),
    ("RootMeanSquaredError", {}, column, ROWS_ONLY),
    ("MeanAbsoluteError", {}, numbers, ROWS_ONLY),
    ("MeanAbsolutePercentageError", {}, numbers, ROWS_ONLY),
    ("MeanSquaredLogarithmicError", {}, positive, ROWS_ONLY),
    ("CosineSimilarity", {}, numbers, ROWS_ONLY),
    ("LogCoshError", {}, numbers, ROWS_ONLY),
    ("R2Score", {}, numbers, ROWS_ONLY),
    ("R2Score", {"class_aggregation": None}, numbers, ROWS_ONLY),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, numbers, ROWS_ONLY),
    ("R2Score", {"num_regressors": 2}, numbers, ROWS_ONLY),
    ("PearsonCorrelation", {}, spread, ROWS_ONLY),
    ("ConcordanceCorrelation", {}, spread, ROWS_ONLY),
    ("BinaryCrossentropy", {}, multi, ROWS_ONLY),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, multi, ROWS_ONLY),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, one_hot, ROWS_ONLY),
    ("CategoricalCrossentropy", {"from_logits": True}, one_hot_sequence, ALL),
    ("SparseCategoricalCrossentropy", {}, ids, ROWS_ONLY),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, ids_sequence, ALL),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, ids, ROWS_ONLY),
    ("KLDivergence", {}, one_hot, ROWS_ONLY),
    ("Poisson", {}, positive, ROWS_ONLY),
    ("Hinge", {}, margins, ROWS_ONLY),
    ("Hinge", {}, yes_no, ROWS_ONLY),
    ("SquaredHinge", {}, margins, ROWS_ONLY),
    ("CategoricalHinge", {}, one_hot, ROWS_ONLY),
    ("TruePositives", {}, yes_no, ROWS_ONLY),
    ("TrueNegatives", {"thresholds": [0.0, 0.2, 0.9]}, yes_no_vector, ROWS_ONLY),
    ("FalsePositives", {"thresholds": [0.0, 0.5, 1.0]}, yes_no, ROWS_ONLY),
    ("FalseNegatives", {}, multi, ROWS_ONLY),
    ("Precision", {}, yes_no, ROWS_ONLY),
    ("Precision", {"thresholds": 0.7}, multi, ROWS_ONLY),
    ("Precision", {"thresholds": [0.1, 0.8], "class_id": 1}, multi, ROWS_ONLY),
    ("Precision", {"top_k": 2}, one_hot, ROWS_ONLY),
    ("Recall", {}, yes_no_vector, ROWS_ONLY),
    ("Recall", {"top_k": 2, "class_id": 1}, one_hot, ROWS_ONLY),
    ("Recall", {"thresholds": [0.0, 0.5, 1.0]}, multi, ROWS_ONLY),
    ("SensitivityAtSpecificity", {"specificity": 0.4}, yes_no, ROWS_ONLY),
    ("SpecificityAtSensitivity", {"sensitivity": 0.4, "num_thresholds": 1}, yes_no, ROWS_ONLY),
    ("PrecisionAtRecall", {"recall": 0.3, "num_thresholds": 20}, yes_no, ROWS_ONLY),
    ("RecallAtPrecision", {"precision": 0.5, "class_id": 2}, multi, ROWS_ONLY),
    ("AUC", {}, yes_no, ROWS_ONLY),
    ("AUC", {"curve": "PR"}, yes_no, ROWS_ONLY),
    ("AUC", {"curve": "PRGAIN"}, yes_no_vector, ROWS_ONLY),
    ("AUC", {"curve": "PR", "summation_method": "majoring"}, yes_no, ROWS_ONLY),
    ("AUC", {"summation_method": "minoring", "num_thresholds": 5}, multi, ROWS_ONLY),
    ("AUC", {"thresholds": [0.8, 0.1, 0.3]}, yes_no, ROWS_ONLY),
    ("AUC", {"from_logits": True}, margins, ("none",)),
    ("AUC", {"multi_label": True}, multi, ("none", "rows")),
    ("AUC", {"multi_label": True, "num_labels": 4, "curve": "PR"}, multi, ("none",)),
    ("AUC", {"multi_label": True, "label_weights": [1.0, 2.0, 3.0, 4.0]}, multi, ("none",)),
    ("AUC", {"label_weights": [1.0, 2.0, 3.0, 4.0]}, multi, ("none",)),
    ("F1Score", {}, one_hot, ROWS_ONLY),
    ("F1Score", {"average": "macro"}, one_hot, ROWS_ONLY),
    ("F1Score", {"average": "micro", "threshold": 0.3}, multi, ROWS_ONLY),
    ("FBetaScore", {"average": "weighted", "beta": 2.0}, one_hot, ROWS_ONLY),
    ("IoU", {"num_classes": 5, "target_class_ids": [0, 2]}, masks, ("none", "whole")),
    ("MeanIoU", {"num_classes": 4, "ignore_class": 1}, masks, ("none", "whole")),
    ("BinaryIoU", {"threshold": 0.4}, yes_no, ("none", "whole")),
    ("OneHotIoU", {"num_classes": 4, "target_class_ids": [1]}, one_hot, ("none",)),
    ("OneHotMeanIoU", {"num_classes": 4}, one_hot_sequence, ("none",)),
    # ---- the options that stand in no row above
    ("BinaryIoU", {"target_class_ids": [0]}, yes_no, ("none", "whole")),
    ("CategoricalCrossentropy", {"axis": 1, "from_logits": True}, one_hot_sequence, ("none",)),
    ("SparseCategoricalCrossentropy", {"axis": 1, "from_logits": True}, ids_first, ("none",)),
    ("ConcordanceCorrelation", {"axis": 0}, spread, ("none",)),
    ("PearsonCorrelation", {"axis": 0}, spread, ("none",)),
    ("CosineSimilarity", {"axis": 1}, sequences, ("none",)),
    ("FBetaScore", {"threshold": 0.3, "beta": 0.5}, multi, ROWS_ONLY),
    ("FalseNegatives", {"thresholds": [0.1, 0.9]}, multi, ROWS_ONLY),
    ("TruePositives", {"thresholds": 0.7}, multi, ROWS_ONLY),
    ("PrecisionAtRecall", {"recall": 0.3, "class_id": 1}, multi, ROWS_ONLY),
    ("RecallAtPrecision", {"precision": 0.5, "num_thresholds": 20}, yes_no, ROWS_ONLY),
    (
        "SensitivityAtSpecificity",
        {"specificity": 0.4, "class_id": 1, "num_thresholds": 30},
        multi,
        ROWS_ONLY,
    ),
    ("SpecificityAtSensitivity", {"sensitivity": 0.4, "class_id": 2}, multi, ROWS_ONLY),
    (
        "IoU",
        {"num_classes": 5, "target_class_ids": [0, 3], "ignore_class": 1},
        masks,
        ("none", "whole"),
    ),
    ("IoU", {"num_classes": 4, "target_class_ids": [0, 3], **DENSE}, one_hot_sequence, NONE),
    ("MeanIoU", {"num_classes": 4, **DENSE}, one_hot_sequence, NONE),
    (
        "OneHotIoU",
        {"num_classes": 4, "target_class_ids": [1], "axis": -1, "ignore_class": 2},
        one_hot_sequence,
        NONE,
    ),
    (
        "OneHotIoU",
        {"num_classes": 4, "target_class_ids": [1, 2], "sparse_y_pred": True},
        one_hot_and_ids,
        ("none", "rows"),
    ),
    (
        "OneHotMeanIoU",
        {"num_classes": 4, "sparse_y_pred": True},
        one_hot_and_ids,
        ("none", "rows"),
    ),
    ("OneHotMeanIoU", {"num_classes": 4, "axis": -1, "ignore_class": 2}, one_hot_sequence, NONE),
]
names = [f"{c[0]}-{'-'.join(f'{k}={v}' for k, v in c[1].items())}-{c[2].__name__}" for c in CASES]
cases = pytest.mark.parametrize("cls, options, inputs, weights", CASES, ids=names)


def weight_of(kind, y, p, r):
    if kind == "rows":
        return r.uniform(size=len(y)).astype("float32")
    shape = p.shape[:-1] if y.ndim < p.ndim or y.shape[-1] != p.shape[-1] else y.shape
    if kind == "whole":
        return r.integers(3, size=shape)
    return r.uniform(size=shape).astype("float32")


def same(ours, theirs, **kwargs):
    np.testing.assert_allclose(
        np.asarray(ours.detach()), np.asarray(theirs.detach()), rtol=1e-5, atol=1e-6, **kwargs
    )


@cases
def test_over_several_batches(cls, options, inputs, weights):
    for kind in weights:
        ours, theirs = getattr(metrics, cls)(**options), getattr(keras.metrics, cls)(**options)
        for _ in range(2):  # the second time after a reset
            for batch, n in enumerate(SIZES):
                r = rng(batch)
                y, p = inputs(n, r)
                args = [torch.tensor(y), torch.tensor(p)]
                if kind == "values" and inputs in (ids_sequence, one_hot_sequence, sequences):
                    args.append(torch.tensor(r.uniform(size=(n, len(p[0]))).astype("float32")))
                elif kind != "none":
                    args.append(torch.tensor(weight_of(kind, y, p, r)))
                ours.update_state(*args)
                theirs.update_state(*args)
                same(ours.result(), theirs.result(), err_msg=kind)
            assert ours.result().shape == theirs.result().shape
            assert len(ours.variables) == len(theirs.variables)
            for a, b in zip(ours.variables, theirs.variables, strict=True):
                same(a, b.value)
                assert a.path.split("/")[-1] == b.name
            ours.reset_state()
            theirs.reset_state()
        assert all(not v.any() for v in ours.variables)


@pytest.mark.parametrize("name", ["OneHotIoU", "OneHotMeanIoU", "IoU", "MeanIoU"])
def test_classes_on_another_axis(name):
    """Keras 3.15 then sums the classes on that axis, too, and stops."""
    options = {} if "OneHot" in name else {"sparse_y_true": False, "sparse_y_pred": False}
    options |= {"target_class_ids": [0, 2]} if "Mean" not in name else {}
    y, p = one_hot_sequence(6, rng(0))
    here, there = (getattr(metrics, name)(4, axis=axis, **options) for axis in (-1, 1))
    moved = there(np.moveaxis(y, -1, 1).copy(), np.moveaxis(p, -1, 1).copy())
    assert here(y, p) == moved > 0


@cases
def test_numpy_inputs_and_gradients(cls, options, inputs, weights):
    y, p = inputs(8, rng())
    metric, other = getattr(metrics, cls)(**options), getattr(metrics, cls)(**options)
    metric.update_state(y, p)
    pred = torch.tensor(p)
    if pred.is_floating_point():
        pred = pred.requires_grad_() * 1.0
    other.update_state(torch.tensor(y), pred)
    same(metric.result(), other.result())
    assert not any(v.requires_grad for v in other.variables)


@cases
def test_configs_go_both_ways(cls, options, inputs, weights):
    ours, theirs = getattr(metrics, cls)(**options), getattr(keras.metrics, cls)(**options)
    config, keras_config = metrics.serialize(ours), keras.metrics.serialize(theirs)
    if "name" not in options:
        keras_config["config"]["name"] = config["config"]["name"]  # the counters differ
    mine = {**config["config"], "label_weights": None}
    assert {**keras_config["config"], "label_weights": None}.items() <= {
        **mine,
        "label_weights": None,
    }.items()
    assert config["module"] == keras_config["module"] == "keras.metrics"
    y, p = map(torch.tensor, inputs(8, rng()))
    expected = ours(y, p)
    same(keras.metrics.deserialize(config)(y, p), expected)
    again = metrics.deserialize(config)
    same(again(y, p), expected)
    assert again.get_config() == ours.get_config()
    back = metrics.deserialize(keras_config)
    if cls != "CosineSimilarity":  # Keras forgets its axis
        same(back(y, p), expected)
    assert (back.name, back.dtype) == (ours.name, ours.dtype)
    assert getattr(back, "_direction", None) == (
        getattr(theirs, "_direction", None) or back._direction
    )


@cases
def test_can_be_copied_and_pickled(cls, options, inputs, weights):
    y, p = map(torch.tensor, inputs(8, rng()))
    metric = getattr(metrics, cls)(**options)
    metric.update_state(y, p)
    once = metric.result()
    copies = copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))
    metric.reset_state()
    for other in copies:
        same(other.result(), once)
        other.reset_state()
        other.update_state(y, p)
        same(other.result(), once)


NAMES = [n for n in dir(keras.metrics) if not n.startswith("_")]


@pytest.mark.parametrize("name", NAMES)
def test_same_signature(name):
    theirs, ours = getattr(keras.metrics, name), getattr(metrics, name)
    if inspect.isclass(theirs):
        theirs, ours = theirs.__init__, ours.__init__
    have, want = (inspect.signature(f).parameters.values() for f in (ours, theirs))
    assert [(p.name, p.default) for p in have] == [(p.name, p.default) for p in want]
    assert name in metrics.__all__


FUNCTIONS = [
    ("binary_accuracy", multi, {"threshold": 0.3}),
    ("categorical_accuracy", one_hot_sequence, {}),
    ("sparse_categorical_accuracy", ids_column, {}),
    ("sparse_categorical_accuracy", ids_sequence, {}),
    ("top_k_categorical_accuracy", one_hot, {"k": 2}),
    ("sparse_top_k_categorical_accuracy", ids_sequence, {"k": 3}),
    ("pearson_correlation", spread, {}),
    ("concordance_correlation", spread, {"axis": 0}),
]


@pytest.mark.parametrize("name, inputs, options", FUNCTIONS)
def test_functions(name, inputs, options):
    y, p = map(torch.tensor, inputs(8, rng()))
    ours = getattr(metrics, name)(y, p, **options)
    theirs = getattr(keras.metrics, name)(y, p, **options)
    same(ours, theirs)
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape


# ---- sums and means ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Mean", "Sum"])
@pytest.mark.parametrize(
    "shape, weight",
    [
        ((), None),
        ((5,), None),
        ((5, 3), None),
        ((5, 3, 2), None),
        ((), ()),
        ((5,), (5,)),
        ((5,), ()),
        ((5,), (5, 1)),
        ((5, 1), (5,)),
        ((5, 3), (5,)),
        ((5, 3), (5, 3)),
        ((5, 3), (5, 1)),
        ((5, 3, 2), (5,)),
        ((5, 3, 2), (5, 3)),
        ((5, 3, 2), (5, 3, 2)),
    ],
)
def test_mean_and_sum(name, shape, weight):
    ours, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
    for seed in range(3):
        r = rng(seed)
        values = torch.tensor(r.normal(size=shape).astype("float32"))
        w = None if weight is None else torch.tensor(r.uniform(size=weight).astype("float32"))
        ours.update_state(values, sample_weight=w)
        theirs.update_state(values, sample_weight=w)
    same(ours.result(), theirs.result())
    for a, b in zip(ours.variables, theirs.variables, strict=True):
        same(a, b.value)


def test_mean_of_nothing_and_of_an_empty_batch():
    metric = metrics.Mean()
    assert metric.result() == 0
    metric.update_state(torch.zeros(0, 3))
    metric.update_state([2.0])
    metric.update_state([7.0], sample_weight=[0.0])
    assert metric.result() == 2


def test_a_mask_of_the_outputs():
    ours, theirs = metrics.SparseCategoricalAccuracy(), keras.metrics.SparseCategoricalAccuracy()
    for seed in range(2):
        y, p = map(torch.tensor, ids_sequence(6, rng(seed)))
        p._keras_mask = torch.tensor(rng(seed).uniform(size=(6, 5)) > 0.5)
        for weight in (None, torch.rand(6, 5)):
            ours.update_state(y, p, weight)
            theirs.update_state(y, p, weight)
            same(ours.result(), theirs.result())


def test_half_precision_outputs():
    y, p = map(torch.tensor, numbers(50, rng()))
    metric = metrics.MeanSquaredError()
    metric.update_state(y, p.bfloat16())
    same(metric.result(), (y - p.bfloat16().float()).square().mean())
    assert metric.result().dtype is torch.float32


def test_inference_mode_leaves_a_usable_metric():
    y, p = map(torch.tensor, numbers(8, rng()))
    for make in (metrics.MeanSquaredError, metrics.R2Score):
        metric = make()
        with torch.inference_mode():
            metric.update_state(y, p)
        metric.update_state(y, p)
        metric.reset_state()


def test_moving_keeps_the_tensors():
    metric = metrics.Mean()
    before = metric.total
    assert metric.to("cpu") is metric
    assert metric.total is before and metric.variables[0] is before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@cases
def test_state_follows_the_data(cls, options, inputs, weights):
    y, p = map(torch.tensor, inputs(8, rng()))
    metric = getattr(metrics, cls)(**options)
    before = metric.variables
    expected = metric(y, p)
    metric.reset_state()
    same(metric(y.cuda(), p.cuda()).cpu(), expected)
    assert all(a is b for a, b in zip(before, metric.variables, strict=False))
    assert {v.device.type for v in metric.variables} == {"cuda"}
    torch.cuda.set_sync_debug_mode("error")
    try:
        metric.update_state(y.cuda(non_blocking=True), p.cuda(non_blocking=True))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_states_of_two_processes_add_up():
    parts = [metrics.Precision(), metrics.Precision()]
    whole = metrics.Precision()
    for seed, metric in enumerate(parts):
        y, p = map(torch.tensor, yes_no(20, rng(seed)))
        metric.update_state(y, p)
        whole.update_state(y, p)
    alone = parts[0].result()
    put_back = parts[0]._keep()
    parts[0]._merge([metric._local_state() for metric in parts])
    same(parts[0].result(), whole.result())
    put_back()
    same(parts[0].result(), alone)


def count_calls(work):
    count = 0

    def seen(frame, event, arg):
        nonlocal count
        count += event == "call"

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "name, y",
    [
        ("SparseCategoricalAccuracy", torch.arange(8) % 3),
        ("CategoricalAccuracy", torch.eye(3)[torch.arange(8) % 3]),
        ("BinaryAccuracy", torch.ones(8, 3)),
        ("MeanAbsoluteError", torch.ones(8, 3)),
    ],
)
def test_what_an_update_costs(name, y):
    """Few Python calls, and few tensor operations, none of which reads a value."""
    metric, p = getattr(metrics, name)(), torch.rand(8, 3)
    metric.update_state(y, p)
    assert count_calls(lambda: metric.update_state(y, p)) <= 8
    with torch.profiler.profile() as profile:
        metric.update_state(y, p)
    top = [e for e in profile.events() if e.cpu_parent is None and e.name.startswith("aten::")]
    assert len(top) <= 8, [e.name for e in top]
    assert not any("item" in e.name or "local_scalar" in e.name for e in profile.events())


# ---- a metric of one's own --------------------------------------------------------------------


def test_subclass_with_weights_and_metrics_inside():
    class Range(metrics.Metric):
        def __init__(self, name="range", scale=2.0, **kwargs):
            super().__init__(name=name, **kwargs)
            self.scale = scale
            self.low = self.add_weight(name="low", initializer="zeros")
            self.high = self.add_weight("high")
            self.rows = self.add_weight(shape=(2,), name="rows", dtype="int32")
            self.mean = metrics.Mean()
            self.more = [metrics.Sum()]

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.low.assign(torch.minimum(self.low, y_pred.min()))
            self.high.assign_add(y_pred.max())
            self.rows.assign_add(torch.tensor([len(y_pred), 1]))
            self.mean.update_state(y_pred)
            self.more[0].update_state(y_pred)

        def result(self):
            return self.scale * (self.high - self.low)

    metric = Range()
    assert float(metric(None, torch.tensor([-1.0, 2.0]))) == 6.0
    assert len(metric.variables) == 6 and metric.low.path == "range/low"
    assert metric.rows.tolist() == [2, 1] and metric.rows.dtype is torch.int32
    metric.reset_states()
    assert not any(v.any() for v in metric.variables)
    assert metric.get_config() == {"name": "range", "scale": 2.0}
    assert Range.from_config({**metric.get_config(), "scale": 3.0}).scale == 3.0
    assert "Range name=range" in repr(metric)


def test_an_incomplete_metric():
    class Early(metrics.Metric):
        def __init__(self):
            self.total = self.add_weight(name="total")

    with pytest.raises(RuntimeError, match=r"Begin __init__ with super\(\).__init__"):
        Early()
    with pytest.raises(TypeError, match=r"Metric has no update_state\(\)"):
        metrics.Metric().update_state()
    with pytest.raises(TypeError, match=r"Metric has no result\(\)"):
        metrics.Metric().result()
    assert metrics.Metric().name.startswith("metric")


def test_wrapper_takes_the_keywords_of_its_function():
    y, p = map(torch.tensor, numbers(8, rng()))
    ours = metrics.MeanMetricWrapper(losses.huber, delta=0.2)
    theirs = keras.metrics.MeanMetricWrapper(keras.losses.huber, delta=0.2)
    same(ours(y, p), theirs(y, p))
    assert ours._direction == theirs._direction == "down"
    config, keras_config = metrics.serialize(ours), keras.metrics.serialize(theirs)
    assert config["config"]["fn"] == keras_config["config"]["fn"]
    for back in (metrics.deserialize(config), metrics.deserialize(keras_config)):
        same(back(y, p), ours.result())
    same(keras.metrics.deserialize(config)(y, p), ours.result())


# ---- what compile accepts ---------------------------------------------------------------------

SHAPES = [
    ((8, 1), (8, 1)),
    ((8,), (8, 1)),
    ((8,), (8, 3)),
    ((8, 1), (8, 3)),
    ((8, 3), (8, 3)),
    ((8, 5), (8, 5, 3)),
    ((8, 5, 1), (8, 5, 1)),
]


@pytest.mark.parametrize("name", ["accuracy", "acc", "Accuracy"])
@pytest.mark.parametrize("y, p", SHAPES)
def test_accuracy_by_shape(name, y, p):
    theirs = keras.src.trainers.compile_utils.get_metric(name, np.zeros(y), np.zeros(p))
    ours = metrics.resolve(name, "mse", y, p)
    assert type(ours).__name__ == type(theirs).__name__
    assert ours.name == theirs.name == name


@pytest.mark.parametrize("name", ["crossentropy", "ce"])
@pytest.mark.parametrize("y, p", SHAPES)
def test_crossentropy_by_shape(name, y, p):
    loss = losses.BinaryCrossentropy(from_logits=True)
    ours = metrics.resolve(name, loss, y, p)
    theirs = keras.src.trainers.compile_utils.get_loss(name, np.zeros(y), np.zeros(p))
    assert ours._fn.__name__ == theirs.fn.__name__
    assert ours.name == name and ours.from_logits is True


def test_accuracy_by_loss_where_shapes_are_unknown():
    for kind in ("Binary", "Categorical", "SparseCategorical"):
        loss = getattr(losses, f"{kind}Crossentropy")()
        assert type(metrics.resolve("accuracy", loss)).__name__ == f"{kind}Accuracy"
    with pytest.raises(ValueError, match="binary_accuracy, categorical_accuracy, sparse_cat"):
        metrics.resolve("acc", "mse")


def own_metric(y_true, y_pred):
    return (y_true - y_pred).abs()


class OwnThing:
    def __call__(self, y_true, y_pred):
        return y_pred


@pytest.mark.parametrize(
    "ours, theirs",
    [
        ("mae", "mae"),
        ("mean_squared_error", "mean_squared_error"),
        ("RootMeanSquaredError", "RootMeanSquaredError"),
        ("AUC", "AUC"),
        ("binary_accuracy", "binary_accuracy"),
        ("sparse_categorical_crossentropy", "sparse_categorical_crossentropy"),
        (own_metric, own_metric),
        (OwnThing(), OwnThing()),
        (losses.mean_squared_error, keras.losses.mean_squared_error),
        (losses.Huber(), keras.losses.Huber()),
        (metrics.Mean(name="m"), keras.metrics.Mean(name="m")),
    ],
)
def test_resolved_names(ours, theirs):
    theirs = keras.src.trainers.compile_utils.get_metric(theirs, np.zeros((8, 3)), np.zeros((8, 3)))
    ours = metrics.resolve(ours, None, (8, 3), (8, 3))
    assert ours.name == theirs.name
    assert type(ours).__name__ == type(theirs).__name__


@pytest.mark.parametrize("name", sorted(keras.src.metrics.ALL_OBJECTS_DICT))
def test_every_name_of_keras_is_found(name):
    if (
        name.lower() in ("meanmetricwrapper", "mean_metric_wrapper")
        or "specificity" in name.lower()
    ):
        return  # need arguments
    try:
        theirs = keras.metrics.get(name)
    except TypeError:
        return
    assert type(metrics.get(name)).__name__ == type(theirs).__name__


def test_partial_and_function_names():
    assert metrics.resolve(partial(own_metric)).name == "own_metric"
    assert metrics.resolve("huber").name == "huber"
    assert metrics.resolve(None) is None


def test_refusals():
    with pytest.raises(ValueError) as error:
        metrics.resolve(metrics.MeanSquaredError)
    assert str(error.value) == (
        "metrics holds the class MeanSquaredError. Names, functions and objects are accepted. "
        "Use MeanSquaredError()."
    )
    with pytest.raises(ValueError, match=r"Unknown metric 'acuracy'. Did you mean '[aA]ccuracy'\?"):
        metrics.resolve("acuracy")
    with pytest.raises(
        TypeError, match=r"unexpected argument 'treshold'. Did you mean 'threshold'"
    ):
        metrics.BinaryAccuracy(treshold=0.3)


@pytest.mark.parametrize(
    "make, y, p, text",
    [
        (
            metrics.CategoricalAccuracy,
            (8,),
            (8, 3),
            "categorical_accuracy expects one-hot targets shaped like y_pred (8, 3), got y of "
            'shape (8,). Use "sparse_categorical_accuracy" for integer classes.',
        ),
        (
            metrics.SparseCategoricalAccuracy,
            (8, 3),
            (8, 3),
            "sparse_categorical_accuracy expects integer classes of shape (8,) for y_pred (8, 3), "
            'got y of shape (8, 3). Use "categorical_accuracy" for one-hot targets.',
        ),
        (
            metrics.BinaryAccuracy,
            (8,),
            (8, 3),
            "binary_accuracy expects targets shaped like y_pred (8, 3), got y of shape (8,). Use "
            "Dense(1) for one yes or no per row, or multi-hot targets of shape (8, 3).",
        ),
        (
            metrics.Precision,
            (8, 2),
            (8, 1),
            "precision expects targets shaped like y_pred (8, 1), got y of shape (8, 2). Use "
            "Dense(2) as the last layer, or targets of shape (8, 1).",
        ),
        (
            metrics.RootMeanSquaredError,
            (8, 2),
            (8, 1),
            "root_mean_squared_error expects targets shaped like y_pred (8, 1), got y of shape "
            "(8, 2). Use Dense(2) as the last layer, or targets of shape (8, 1).",
        ),
    ],
)
def test_shapes_are_refused(make, y, p, text):
    with pytest.raises(ValueError) as error:
        make().update_state(torch.zeros(y), torch.rand(p))
    assert str(error.value) == text


def test_weights_that_do_not_fit():
    with pytest.raises(ValueError) as error:
        metrics.MeanSquaredError().update_state(torch.ones(8, 2), torch.ones(8, 2), torch.ones(7))
    assert str(error.value) == (
        "sample_weight of shape (7,) does not fit values of shape (8,). One weight per row, or "
        "one per value, is accepted. Use sample_weight of shape (8,)."
    )


@pytest.mark.parametrize(
    "make, text",
    [
        (
            lambda: metrics.Precision(thresholds=2),
            "thresholds has the value 2. Numbers from 0 to 1",
        ),
        (lambda: metrics.AUC(curve="ROK"), r"Unknown curve 'ROK'. Did you mean 'ROC'\?"),
        (lambda: metrics.AUC(num_thresholds=1), "Integers from 2 are accepted"),
        (lambda: metrics.AUC(num_labels=2), "without multi_label=True"),
        (lambda: metrics.PrecisionAtRecall(2), "got recall=2. Numbers from 0 to 1"),
        (
            lambda: metrics.F1Score(average="makro"),
            r"Unknown average 'makro'. Did you mean 'macro'",
        ),
        (lambda: metrics.FBetaScore(beta=1), "beta=1. Floats above 0"),
        (lambda: metrics.F1Score(threshold=2.0), "threshold=2.0. Floats above 0"),
        (lambda: metrics.R2Score(class_aggregation="mean"), "Unknown class_aggregation 'mean'"),
        (lambda: metrics.R2Score(num_regressors=-1), "num_regressors=-1. Integers from 0"),
        (lambda: metrics.IoU(2, [2]), "target class 2 of 2 classes"),
    ],
)
def test_arguments_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_r2_with_too_few_rows_warns():
    metric = metrics.R2Score(num_regressors=5)
    metric.update_state(torch.rand(3, 1), torch.rand(3, 1))
    with pytest.warns(UserWarning, match="5 regressors need more than 6 samples, and there are 3"):
        metric.result()


def test_float_weights_of_whole_counts_warn():
    metric = metrics.MeanIoU(2)
    with pytest.warns(UserWarning, match="Use dtype='float32'"):
        metric.update_state(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([0.5, 1.0]))


# ---- torchmetrics -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, inputs, ours",
    [
        (lambda t: t.Accuracy(task="multiclass", num_classes=4, average="micro"), ids, "acc"),
        (
            lambda t: t.Accuracy(task="multiclass", num_classes=4, average="micro"),
            ids_column,
            "acc",
        ),
        (lambda t: t.Accuracy(task="multiclass", num_classes=4, average="micro"), one_hot, "acc"),
        (
            lambda t: t.Accuracy(task="multiclass", num_classes=4, average="micro"),
            ids_sequence,
            "acc",
        ),
        (lambda t: t.Accuracy(task="binary"), yes_no, "acc"),
        (lambda t: t.Accuracy(task="binary"), yes_no_vector, "acc"),
        (lambda t: t.Accuracy(task="multilabel", num_labels=4), multi, "binary_accuracy"),
        (lambda t: t.MeanSquaredError(), column, "mse"),
        (lambda t: t.MeanAbsoluteError(), numbers, "mae"),
    ],
)
def test_torchmetrics(make, inputs, ours):
    torchmetrics = pytest.importorskip("torchmetrics")
    first = inputs(8, rng())
    shapes = [a.shape for a in first]
    theirs, ours = metrics.resolve(make(torchmetrics)), metrics.resolve(ours, None, *shapes)
    for _ in range(2):
        for batch, n in enumerate(SIZES):
            y, p = map(torch.tensor, inputs(n, rng(batch)))
            ours.update_state(y, p)
            theirs.update_state(y, p)
        same(theirs.result(), ours.result())
        ours.reset_state()
        theirs.reset_state()
    assert theirs.to("cpu") is theirs and theirs.variables == []


def test_torchmetrics_names_and_weights():
    torchmetrics = pytest.importorskip("torchmetrics")
    metric = metrics.resolve(torchmetrics.MeanSquaredError())
    assert metric.name == "mean_squared_error" and metric._direction == "down"
    assert metrics.TorchMetric(torchmetrics.MeanSquaredError(), name="mine").name == "mine"
    with pytest.raises(ValueError, match="got sample weights, which it cannot take"):
        metric.update_state(torch.ones(2), torch.ones(2), torch.ones(2))
    with pytest.raises(ValueError, match=r"holds the class MeanSquaredError.*MeanSquaredError\(\)"):
        metrics.resolve(torchmetrics.MeanSquaredError)
