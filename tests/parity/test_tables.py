"""The tables of the other files are whole: every class of Keras, each of its options, in a row."""

import inspect

import keras
import pytest
import test_initializers
import test_losses
import test_metrics
import test_optimizers
import test_regularizers
import test_schedules

EVERYWHERE = {"self", "name", "dtype", "kwargs", "args", "reduction", "seed"}


def classes(module, base):
    """Names of the public classes of a module of Keras that are a `base`, once each."""
    found = {v: k for k, v in sorted(vars(module).items(), reverse=True) if inspect.isclass(v)}
    return sorted(k for v, k in found.items() if issubclass(v, base) and v is not base)


def options(module, name):
    parameters = inspect.signature(getattr(module, name).__init__).parameters
    return set(parameters) - EVERYWHERE


def gaps(module, base, rows, common=(), without=()):
    """(classes, options) of Keras that stand in no row, which are (class, {option: value})."""
    names = [n for n in classes(module, base) if n not in without]
    given = {name: set() for name in names}
    for name, row in rows:
        given.setdefault(name, set()).update(row)
    absent = set(names) - {name for name, _ in rows}
    unused = {n: sorted(options(module, n) - given[n] - set(common)) for n in names}
    return absent, {n: left for n, left in unused.items() if left}


def test_optimizers_table():
    rows = [(name, row) for name, row in test_optimizers.CASES]
    common = {option for row in test_optimizers.OPTIONS for option in row} | {"learning_rate"}
    outside = {"LossScaleOptimizer", "MultiOptimizer"}  # test_optimizers_around
    absent, unused = gaps(keras.optimizers, keras.optimizers.Optimizer, rows, common, outside)
    assert (absent, unused) == (set(), {})
    assert test_optimizers.STEPS == 20


def test_losses_table():
    rows = [(cls, row) for _, cls, row, _ in test_losses.CASES]
    with_axis = [
        n
        for n in classes(keras.losses, keras.losses.Loss)
        if "CategoricalC" in n or "CategoricalF" in n
    ]
    rows += [(name, {"axis"}) for name in with_axis]  # test_axis_of_the_classes
    absent, unused = gaps(keras.losses, keras.losses.Loss, rows, without=NOT_A_LOSS)
    assert (absent, unused) == (set(), {})
    reductions = {"sum", "mean", "none", "sum_over_batch_size", "mean_with_sample_weight"}
    assert reductions <= set(test_losses.REDUCTIONS)


NOT_A_LOSS = {
    "CTC": "test_ctc: its targets have a shape of their own",
    "CategoricalGeneralizedCrossEntropy": "test_generalized_crossentropy",
}


def test_metrics_table():
    rows = [(cls, row) for cls, row, _, _ in test_metrics.CASES]
    absent, unused = gaps(keras.metrics, keras.metrics.Metric, rows, without=NOT_A_METRIC)
    assert (absent, unused) == (set(), {})
    assert len(test_metrics.SIZES) >= 3
    weighted = {cls for cls, _, _, kinds in test_metrics.CASES if set(kinds) > {"none"}}
    assert {row[0] for row in test_metrics.CASES} == weighted


NOT_A_METRIC = {
    "Mean": "test_mean_and_sum",
    "Sum": "test_mean_and_sum",
    "MeanMetricWrapper": "test_wrapper_takes_the_keywords_of_its_function",
}


def test_schedules_table():
    schedules = keras.optimizers.schedules
    rows = []
    for name, args, kwargs in test_schedules.CASES:
        names = list(inspect.signature(getattr(schedules, name).__init__).parameters)[1:]
        rows.append((name, {*names[: len(args)], *kwargs}))
    absent, unused = gaps(schedules, schedules.LearningRateSchedule, rows)
    assert (absent, unused) == (set(), {})


@pytest.mark.parametrize(
    ("module", "base"), [("regularizers", "Regularizer"), ("constraints", "Constraint")]
)
def test_regularizers_and_constraints_tables(module, base):
    where = getattr(keras, module)
    known = {type(make(keras)).__name__ for make, _ in test_regularizers.CASES}
    assert set(classes(where, getattr(where, base))) <= known


def test_initializers_table():
    """Each is compared by its values or by its distribution, and by its fans where it scales."""
    module, tests = keras.initializers, test_initializers
    names = set(classes(module, module.Initializer)) - {"RandomInitializer"}
    (fixed,) = (m.args[1] for m in tests.test_fixed_values.pytestmark)
    fixed = {type(make(module)) for make, _ in fixed}
    assert {getattr(module, n) for n in names} == fixed | {getattr(module, n) for n in tests.RANDOM}
    scaling = {n for n in names if issubclass(getattr(module, n), module.VarianceScaling)}
    assert {getattr(module, n) for n in scaling - {"VarianceScaling"}} == {
        getattr(module, n) for n in tests.SCALED
    }
