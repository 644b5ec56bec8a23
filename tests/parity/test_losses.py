"""Losses against the installed Keras: values, gradients, shapes, configs; then our refusals."""

import copy
import inspect
import pickle
import sys
import warnings
from functools import partial

import keras
import numpy as np
import pytest
import torch

from lightkeras import losses
from lightkeras.losses import _checks

ROWS, CLASSES = 6, 4


def rng(seed=0):
    return np.random.default_rng(seed)


# ---- inputs: name -> (y_true, y_pred) of a shape -----------------------------------------------


def numbers(shape):
    r = rng()
    return r.normal(size=shape).astype("float32"), r.normal(size=shape).astype("float32")


def positive(shape):
    return tuple(np.abs(a) for a in numbers(shape))


def signs(shape):
    y, p = numbers(shape)
    return np.sign(y), p


def zeros_and_ones(shape):
    y, p = numbers(shape)
    return (y > 0).astype("float32"), p


def probabilities(shape):
    y, p = zeros_and_ones(shape)
    p = 1 / (1 + np.exp(-p))
    p.flat[0], p.flat[1], p.flat[2] = 0.0, 1.0, 1e-9  # where Keras cuts off
    return y, p


def classes(shape):
    """One-hot targets and unnormalised probabilities, with exact zeros and a certain row."""
    r = rng()
    p = r.uniform(size=shape).astype("float32")
    p[0] = 0.0
    p[0, ..., 1] = 1.0
    return np.eye(shape[-1], dtype="float32")[r.integers(shape[-1], size=shape[:-1])], p


def uncertain(shape):
    """Without exact ones: at its border the slope of a cut is 0, 0.5 or 1, as torch sees fit."""
    y, p = classes(shape)
    return y * 0.9, p * 0.999


def class_logits(shape):
    return classes(shape)[0], numbers(shape)[1] * 5


def sparse(shape):
    y, p = classes(shape)
    return y.argmax(-1), p


def sparse_logits(shape):
    return sparse(shape)[0], numbers(shape)[1] * 5


def embeddings(shape):
    _, p = numbers(shape)
    return np.arange(len(p)) % 2, p / np.linalg.norm(p, axis=-1, keepdims=True)


FOCAL = {"apply_class_balancing": True, "alpha": 0.4, "gamma": 1.5, "axis": 0}
# (function, class, options, inputs)
CASES = [
    ("mean_squared_error", "MeanSquaredError", {}, numbers),
    ("mean_absolute_error", "MeanAbsoluteError", {}, numbers),
    ("mean_absolute_percentage_error", "MeanAbsolutePercentageError", {}, numbers),
    ("mean_squared_logarithmic_error", "MeanSquaredLogarithmicError", {}, positive),
    ("cosine_similarity", "CosineSimilarity", {}, numbers),
    ("cosine_similarity", "CosineSimilarity", {"axis": 0}, numbers),
    ("huber", "Huber", {}, numbers),
    ("huber", "Huber", {"delta": 0.3}, numbers),
    ("log_cosh", "LogCosh", {}, numbers),
    ("hinge", "Hinge", {}, signs),
    ("hinge", "Hinge", {}, zeros_and_ones),
    ("squared_hinge", "SquaredHinge", {}, signs),
    ("categorical_hinge", "CategoricalHinge", {}, class_logits),
    ("poisson", "Poisson", {}, positive),
    ("kl_divergence", "KLDivergence", {}, uncertain),
    ("binary_crossentropy", "BinaryCrossentropy", {}, probabilities),
    ("binary_crossentropy", "BinaryCrossentropy", {"label_smoothing": 0.2}, probabilities),
    ("binary_crossentropy", "BinaryCrossentropy", {"from_logits": True}, zeros_and_ones),
    ("binary_crossentropy", "BinaryCrossentropy", {"axis": 0}, probabilities),
    ("binary_focal_crossentropy", "BinaryFocalCrossentropy", {}, probabilities),
    (
        "binary_focal_crossentropy",
        "BinaryFocalCrossentropy",
        {"apply_class_balancing": True, "from_logits": True, "label_smoothing": 0.1},
        zeros_and_ones,
    ),
    ("categorical_crossentropy", "CategoricalCrossentropy", {}, classes),
    ("categorical_crossentropy", "CategoricalCrossentropy", {"label_smoothing": 0.1}, classes),
    ("categorical_crossentropy", "CategoricalCrossentropy", {"from_logits": True}, class_logits),
    (
        "categorical_crossentropy",
        "CategoricalCrossentropy",
        {"from_logits": True, "label_smoothing": 0.1},
        class_logits,
    ),
    ("categorical_focal_crossentropy", "CategoricalFocalCrossentropy", {}, classes),
    (
        "categorical_focal_crossentropy",
        "CategoricalFocalCrossentropy",
        {"alpha": [0.1 * (i + 1) for i in range(CLASSES)]},
        classes,
    ),
    (
        "categorical_focal_crossentropy",
        "CategoricalFocalCrossentropy",
        {"from_logits": True, "gamma": 1.5, "alpha": 0.5, "label_smoothing": 0.1},
        class_logits,
    ),
    ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", {}, sparse),
    (
        "sparse_categorical_crossentropy",
        "SparseCategoricalCrossentropy",
        {"from_logits": True},
        sparse_logits,
    ),
    (
        "sparse_categorical_crossentropy",
        "SparseCategoricalCrossentropy",
        {"ignore_class": 1},
        sparse,
    ),
    ("binary_focal_crossentropy", "BinaryFocalCrossentropy", FOCAL, probabilities),
    ("tversky", "Tversky", {"alpha": 0.6, "beta": 0.2, "axis": 1}, probabilities),
    ("circle", "Circle", {"gamma": 32.0, "margin": 0.3, "remove_diagonal": False}, embeddings),
    ("dice", "Dice", {}, probabilities),
    ("dice", "Dice", {"axis": 1}, probabilities),
    ("tversky", "Tversky", {"alpha": 0.3, "beta": 0.7}, probabilities),
    ("circle", "Circle", {}, embeddings),
]
ids = [f"{c[0]}-{'-'.join(f'{k}={v}' for k, v in c[2].items())}-{c[3].__name__}" for c in CASES]
cases = pytest.mark.parametrize("fn, cls, options, inputs", CASES, ids=ids)


def both(build, y, p, **kwargs):
    """[(result, gradient)] of lightkeras and of Keras."""
    results = []
    for module in (losses, keras.losses):
        pred = torch.tensor(p, requires_grad=True)
        kwargs_now = {k: torch.tensor(v) for k, v in kwargs.items()}
        if getattr(build, "masked", None) is not None:
            pred._keras_mask = torch.tensor(build.masked)
        out = build(module)(torch.tensor(y), pred, **kwargs_now)
        out.sum().backward()
        results.append((out.detach().numpy(), pred.grad.numpy()))
    return results


def assert_same(results, rtol=1e-5, atol=1e-6):
    (ours, our_grad), (theirs, their_grad) = results
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)
    np.testing.assert_allclose(our_grad, their_grad, rtol=1e-4, atol=1e-5)


@cases
@pytest.mark.parametrize("shape", [(ROWS, CLASSES), (ROWS, 3, CLASSES)], ids=["2d", "3d"])
def test_function(fn, cls, options, inputs, shape):
    if inputs is embeddings and len(shape) == 3:
        shape = (10, CLASSES)
    assert_same(both(lambda m: partial(getattr(m, fn), **options), *inputs(shape)))


AFTER = {
    "softmax": lambda p: p,
    "view": lambda p: p.view(p.shape),
    "times 0.3": lambda p: p * 0.3,
    "plus 0.1": lambda p: p + 0.1,
}


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("along", [-1, 0, 1, 2])
@pytest.mark.parametrize(
    "name, axis", [("categorical", a) for a in (-1, 0, 1, 2)] + [("sparse", -1)]
)
def test_of_what_a_softmax_gives(name, axis, along, after):
    """It need not be divided by its sum, unless that is along another axis or changed since."""
    z = 4 * rng(1).normal(size=(ROWS, CLASSES, CLASSES)).astype("float32")
    z[0, 0, 0], z[1, 1, 1] = 40.0, -40.0  # where Keras cuts off
    y = np.eye(CLASSES, dtype="float32")[rng(2).integers(CLASSES, size=(ROWS, CLASSES))]
    options = {"axis": axis}
    if name == "sparse":
        y, name = y.argmax(-1), "sparse_categorical"

    def build(module):
        fn = getattr(module, f"{name}_crossentropy")
        return lambda y, z: fn(y, AFTER[after](torch.softmax(z, along)), **options)

    assert_same(both(build, y, z))


REDUCTIONS = ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None]


@cases
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weights", ["none", "rows", "zero"])
def test_class(fn, cls, options, inputs, reduction, weights):
    y, p = inputs((ROWS, CLASSES))
    w = {"none": None, "rows": rng(3).uniform(size=ROWS), "zero": np.zeros(ROWS)}[weights]
    if options.get("axis") == 0:  # values belong to columns then
        w = w if w is None else w[:CLASSES]
    kwargs = {} if w is None else {"sample_weight": w.astype("float32")}
    build = lambda m: getattr(m, cls)(**options, reduction=reduction)
    assert_same(both(build, y, p, **kwargs))


@cases
def test_class_of_sequences_with_a_mask_and_weights(fn, cls, options, inputs):
    if inputs is embeddings or options.get("axis") is not None or fn in ("dice", "tversky"):
        pytest.skip("values are not one per step")
    y, p = inputs((ROWS, 3, CLASSES))
    mask = rng(5).uniform(size=(ROWS, 3)) > 0.3
    w = rng(3).uniform(size=(ROWS, 3)).astype("float32")
    for reduction in REDUCTIONS:
        build = lambda m, r=reduction: getattr(m, cls)(**options, reduction=r)
        assert_same(both(build, y, p, sample_weight=w))
        build.masked = mask
        assert_same(both(build, y, p))
        assert_same(both(build, y, p, sample_weight=w))
        build.masked = np.zeros_like(mask)
        assert_same(both(build, y, p))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "true, pred, weight",
    [
        ((6,), (6, 1), (6,)),
        ((6, 1), (6,), (6,)),
        ((6, 1), (6, 1), (6, 1)),
        ((6, 1, 1), (6, 1), (6,)),  # row 14: this one is right
        ((6, 3), (6, 3, 1), (6,)),
        ((6, 3, 1), (6, 3), (6,)),
        ((6, 3), (6, 3), (6, 1)),
        ((6,), (6,), ()),
    ],
)
def test_ranks_that_differ_by_one(true, pred, weight, reduction):
    r = rng()
    y, p, w = (r.normal(size=s).astype("float32") for s in (true, pred, weight))
    build = lambda m: m.MeanSquaredError(reduction=reduction)
    assert_same(both(build, y, p))
    assert_same(both(build, y, p, sample_weight=w))


@pytest.mark.parametrize("axis", [-1, 1, 2])
@pytest.mark.parametrize("from_logits", [False, True])
def test_axis_of_the_classes(axis, from_logits):
    y, p = sparse((5, 3, 4))
    p = np.ascontiguousarray(np.moveaxis(p, -1, axis))
    options = {"axis": axis, "from_logits": from_logits}
    assert_same(both(lambda m: m.SparseCategoricalCrossentropy(**options), y, p))
    assert_same(both(lambda m: m.SparseCategoricalCrossentropy(ignore_class=2, **options), y, p))
    one_hot = np.moveaxis(np.eye(4, dtype="float32")[y], -1, axis)
    assert_same(both(lambda m: m.CategoricalCrossentropy(**options), one_hot.copy(), p))


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32"])
@pytest.mark.parametrize("column", [False, True])
def test_class_numbers_of_any_dtype(dtype, column):
    y, p = sparse((ROWS, CLASSES))
    y = y.astype(dtype)[:, None] if column else y.astype(dtype)
    assert_same(both(lambda m: m.SparseCategoricalCrossentropy(), y, p))


def test_rows_that_torch_leaves_out():
    y, p = sparse((ROWS, CLASSES))
    y[2] = -100
    assert_same(both(lambda m: m.sparse_categorical_crossentropy, y, p))


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float64"])
def test_targets_of_any_dtype(dtype):
    y, p = classes((ROWS, CLASSES))
    for cls in ("CategoricalCrossentropy", "BinaryCrossentropy", "MeanSquaredError"):
        assert_same(both(lambda m, cls=cls: getattr(m, cls)(), y.astype(dtype), p))


def test_ctc():
    r = rng()
    y = np.array([[1, 2, 0], [3, 0, 0]], "int32")
    p = r.normal(size=(2, 7, 4)).astype("float32")
    assert_same(both(lambda m: m.ctc, y, p))
    assert_same(both(lambda m: m.CTC(), y, p))
    with pytest.raises(ValueError, match=r"ctc got y of shape \(2,\) and y_pred"):
        losses.ctc(y[:, 0], p)


def test_generalized_crossentropy():
    y, p = sparse((ROWS, CLASSES))
    assert_same(both(lambda m: partial(m.categorical_generalized_cross_entropy, q=0.7), y, p + 0.1))
    assert_same(both(lambda m: m.CategoricalGeneralizedCrossEntropy(q=0.7), y, p + 0.1))
    with pytest.raises(ValueError, match=r"integer classes of shape \(6,\).*Use y.argmax\(-1\)"):
        losses.categorical_generalized_cross_entropy(p, p, q=0.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        losses.CategoricalGeneralizedCrossEntropy(q=1.0)


def test_circle_with_references():
    y, p = embeddings((8, 5))
    reference = torch.tensor(rng(2).normal(size=(3, 5)).astype("float32"))
    more = {"ref_labels": torch.tensor([0, 1, 0]), "ref_embeddings": reference}
    more["remove_diagonal"] = False
    assert_same(both(lambda m: partial(m.circle, **more), y, p), rtol=1e-4)


def test_numpy_and_lists():
    y, p = numbers((ROWS, CLASSES))
    expected = float(keras.losses.MeanSquaredError()(y, p))
    for a, b in [(y, p), (y.tolist(), p.tolist()), (y, torch.tensor(p)), (torch.tensor(y), p)]:
        assert float(losses.MeanSquaredError()(a, b)) == pytest.approx(expected, rel=1e-6)
        assert losses.mean_squared_error(a, b).shape == (ROWS,)
    assert losses.mean_squared_error([1, 2], [1, 4]).item() == 2.0


def test_half_precision_outputs_are_computed_in_float32():
    y, p = sparse((ROWS, CLASSES))
    half = torch.tensor(p).bfloat16()
    loss = losses.SparseCategoricalCrossentropy()(torch.tensor(y), half)
    assert loss.dtype is torch.float32
    theirs = keras.losses.SparseCategoricalCrossentropy()(torch.tensor(y), half)
    assert float(loss) == pytest.approx(float(theirs), rel=1e-6)


def test_an_empty_batch_is_zero_and_nan_stays_nan():
    empty = torch.zeros(0, 3)
    for name in ("mse", "bce", "categorical_crossentropy"):
        assert losses.resolve(name)(empty, empty) == 0
    bad = torch.tensor([[0.5], [float("nan")]])
    assert losses.BinaryCrossentropy()(torch.ones(2, 1), bad).isnan()


# ---- a loss of one's own ----------------------------------------------------------------------


def test_subclass_and_function():
    def build(module):
        class Distance(module.Loss):
            def __init__(self, power=1.0, **kwargs):
                super().__init__(**kwargs)
                self.power = power

            def call(self, y_true, y_pred):
                return ((y_true - y_pred).abs() ** self.power).mean(-1)

        return Distance(3.0, reduction="sum")

    y, p = numbers((ROWS, 2))
    assert_same(both(build, y > 0, p))
    assert build(losses).get_config() == {"power": 3.0, "reduction": "sum"}
    assert type(build(losses)).from_config({"power": 2.0, "reduction": "sum"}).power == 2.0

    def own(y_true, y_pred):
        return (y_true - y_pred).abs()

    assert losses.resolve(own).name == "own"
    theirs = keras.src.losses.losses.LossFunctionWrapper(own)
    mine = losses.LossFunctionWrapper(own)
    y, p = torch.arange(3), torch.rand(3, 1)  # y gets the axis that the output has
    assert mine(y, p) == theirs(y, p)


def test_wrapper_takes_the_keywords_of_its_function():
    y, p = map(torch.tensor, numbers((ROWS, 2)))
    wrapped = losses.LossFunctionWrapper(losses.huber, delta=0.2)
    assert wrapped(y, p) == losses.Huber(0.2)(y, p)
    for module in (losses, keras.losses):
        again = module.deserialize(losses.serialize(wrapped))
        torch.testing.assert_close(again(y, p), wrapped(y, p))


def test_outputs_in_a_dict():
    class Sum(losses.Loss):
        def call(self, y_true, y_pred):
            return y_true["a"] - y_pred["b"]

    values = Sum(reduction="none")({"a": np.ones(3)}, {"b": torch.zeros(3, dtype=torch.int64)})
    assert values.dtype is torch.float32 and values.tolist() == [1, 1, 1]


def test_a_loss_without_call():
    with pytest.raises(TypeError, match=r"Loss has no call\(\)"):
        losses.Loss()(torch.ones(1), torch.ones(1))


def test_a_function_that_returns_no_tensor():
    def forgetful(y_true, y_pred):
        _ = y_true - y_pred

    with pytest.raises(ValueError, match="'forgetful' returned None"):
        losses.resolve(forgetful)(torch.ones(2), torch.ones(2))
    assert losses.resolve(lambda y, p: 2.0)(torch.ones(2), torch.ones(2)) == 2


@cases
def test_can_be_copied_and_pickled(fn, cls, options, inputs):
    loss = getattr(losses, cls)(**options)
    y, p = map(torch.tensor, inputs((ROWS, CLASSES)))
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        torch.testing.assert_close(other(y, p), loss(y, p))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "name, inputs",
    [
        ("MeanSquaredError", numbers),
        ("BinaryCrossentropy", probabilities),
        ("CategoricalCrossentropy", classes),
        ("SparseCategoricalCrossentropy", sparse),
        ("Hinge", zeros_and_ones),
        ("Circle", embeddings),
    ],
)
def test_compiles_in_one_piece(name, inputs):
    loss = getattr(losses, name)()
    y, p = map(torch.tensor, inputs((ROWS, CLASSES)))
    torch._dynamo.reset()
    compiled = torch.compile(lambda *a: loss(*a), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(y, p), loss(y, p))
    weights = torch.rand(ROWS)
    torch.testing.assert_close(compiled(y, p, weights), loss(y, p, weights))


def test_python_calls_of_a_loss():
    """What a loss adds to a step, in calls of Python functions (torch's own included)."""
    import sys

    def calls(work):
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

    p = torch.rand(8, 3)
    one_hot, ids = torch.eye(3)[[0, 1, 2, 0, 1, 2, 0, 1]], torch.arange(8) % 3
    limits = {
        "mse": (one_hot, 8),
        "categorical_crossentropy": (one_hot, 8),
        "sparse_categorical_crossentropy": (ids, 8),
        "binary_crossentropy": (one_hot, 8),
    }
    for name, (y, limit) in limits.items():
        loss = losses.resolve(name)
        loss(y, p)
        assert calls(lambda loss=loss, y=y: loss(y, p)) <= limit, name


# ---- names and configs ------------------------------------------------------------------------

NAMES = [n for n in dir(keras.losses) if not n.startswith("_")]


@pytest.mark.parametrize("name", NAMES)
def test_same_signature(name):
    theirs, ours = getattr(keras.losses, name), getattr(losses, name)
    if inspect.isclass(theirs):
        theirs, ours = theirs.__init__, ours.__init__
    have, want = (inspect.signature(f).parameters.values() for f in (ours, theirs))
    assert [(p.name, p.default) for p in have] == [(p.name, p.default) for p in want]
    assert name in losses.__all__


@cases
def test_configs_go_both_ways(fn, cls, options, inputs):
    ours, theirs = getattr(losses, cls)(**options), getattr(keras.losses, cls)(**options)
    config, keras_config = losses.serialize(ours), keras.losses.serialize(theirs)
    assert keras_config["config"].items() <= config["config"].items()
    assert {k: v for k, v in config.items() if k != "config"} == {
        k: v for k, v in keras_config.items() if k != "config"
    }
    y, p = inputs((ROWS, CLASSES))
    again = keras.losses.deserialize(config)
    assert float(again(y, p)) == pytest.approx(float(theirs(y, p)), rel=1e-6)
    back = losses.deserialize(keras_config).get_config()
    kept = keras_config["config"]  # Keras forgets Huber's delta and CosineSimilarity's axis
    assert back.items() >= kept.items() and back.keys() == ours.get_config().keys()
    assert losses.deserialize(config).get_config() == ours.get_config()


def test_config_of_a_dtype():
    assert losses.MeanSquaredError(dtype="float64").get_config()["dtype"] == "float64"
    loss = losses.MeanSquaredError(dtype="mixed_bfloat16")
    assert loss.dtype == "bfloat16" and losses.MeanSquaredError().dtype == "float32"
    y, p = numbers((3, 2))
    assert losses.MeanSquaredError(dtype="float64")(y, p).dtype is torch.float64


@pytest.mark.parametrize(
    "name", sorted({*keras.src.losses.ALL_OBJECTS_DICT} - {"LossFunctionWrapper"})
)
def test_every_name_of_keras_is_found(name):
    ours, theirs = losses.get(name), keras.losses.get(name)
    assert inspect.isfunction(ours) == inspect.isfunction(theirs)


STRINGS = ["mse", "MAE", "mape", "msle", "bce", "kld", "huber", "Huber", "CategoricalCrossentropy"]


@pytest.mark.parametrize("name", STRINGS)
def test_names(name):
    ours, theirs = losses.get(name), keras.losses.get(name)
    for attribute in ("__name__", "name"):
        assert getattr(ours, attribute, None) == getattr(theirs, attribute, None)


def test_functions_as_configs():
    theirs = keras.losses.serialize(keras.losses.mean_squared_error)
    assert losses.serialize(losses.mean_squared_error) == theirs
    assert losses.deserialize(theirs) is losses.mean_squared_error


def test_get():
    assert losses.get(None) is None
    assert isinstance(losses.get(losses.Huber), losses.Huber)
    with pytest.raises(
        ValueError, match=r"Unknown loss 'mean_sqared_error'. Did you mean 'mean_squ"
    ):
        losses.get("mean_sqared_error")
    with pytest.raises(ValueError, match=r"Unknown reduction 'summ'. Did you mean 'sum'"):
        losses.MeanSquaredError(reduction="summ")
    with pytest.raises(
        TypeError, match=r"unexpected argument 'from_logit'. Did you mean 'from_log"
    ):
        losses.BinaryCrossentropy(from_logit=True)


@pytest.mark.parametrize("name", ["crossentropy", "ce"])
@pytest.mark.parametrize(
    "y, p, fn",
    [
        ((8, 1), (8, 1), "binary_crossentropy"),
        ((8,), (8, 1), "binary_crossentropy"),
        ((8,), (8, 3), "sparse_categorical_crossentropy"),
        ((8, 1), (8, 3), "sparse_categorical_crossentropy"),
        ((8, 3), (8, 3), "categorical_crossentropy"),
    ],
)
def test_crossentropy_by_shape(name, y, p, fn):
    theirs = keras.src.trainers.compile_utils.get_loss(name, np.zeros(y), np.zeros(p))
    ours = losses.resolve(name, y, p)
    assert ours.fn.__name__ == theirs.fn.__name__ == fn
    assert ours.name == theirs.name


@pytest.mark.parametrize("identifier", ["mse", "Huber", keras.losses.mean_squared_error])
def test_resolved_names(identifier):
    theirs = keras.src.trainers.compile_utils.get_loss(identifier, None, None)
    ours = identifier if isinstance(identifier, str) else losses.mean_squared_error
    assert losses.resolve(ours).name == theirs.name
    assert losses.resolve(None) is None


def test_a_class_in_place_of_an_object():
    with pytest.raises(ValueError) as error:
        losses.resolve(losses.MeanSquaredError)
    assert str(error.value) == (
        "loss=MeanSquaredError is a class. A name, a function or an object is accepted. "
        "Use MeanSquaredError()."
    )


# ---- losses of torch.nn -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "module, own, inputs",
    [
        (torch.nn.MSELoss, losses.MeanSquaredError(), numbers),
        (torch.nn.L1Loss, losses.MeanAbsoluteError(), numbers),
        (torch.nn.BCEWithLogitsLoss, losses.BinaryCrossentropy(from_logits=True), zeros_and_ones),
        (torch.nn.CrossEntropyLoss, losses.CategoricalCrossentropy(True), class_logits),
        (torch.nn.CrossEntropyLoss, losses.SparseCategoricalCrossentropy(True), sparse_logits),
    ],
)
@pytest.mark.parametrize("shape", [(ROWS, CLASSES), (ROWS, 3, CLASSES)], ids=["2d", "3d"])
def test_torch_losses(module, own, inputs, shape):
    y, p = map(torch.tensor, inputs(shape))
    loss = losses.resolve(module())
    torch.testing.assert_close(loss(y, p), own(y, p))
    if y.ndim < p.ndim:
        torch.testing.assert_close(loss(y.unsqueeze(-1), p), own(y, p))
    weights = torch.rand(ROWS)
    one_by_one = losses.resolve(module(reduction="none"))
    if len(shape) == 2:
        torch.testing.assert_close(one_by_one(y, p, weights), own(y, p, weights))
    with pytest.raises(ValueError, match=rf"Use {module.__name__}\(reduction=\"none\"\)"):
        loss(y, p, weights)


def test_torch_losses_are_named_and_refuse_shapes():
    assert losses.resolve(torch.nn.MSELoss()).name == "mse_loss"
    with pytest.raises(ValueError, match=r"MSELoss expects targets shaped like y_pred \(8, 1\)"):
        losses.resolve(torch.nn.MSELoss())(torch.zeros(8, 2), torch.zeros(8, 1))
    with pytest.raises(ValueError, match=r"Use MSELoss\(\)"):
        losses.resolve(torch.nn.MSELoss)


# ---- shapes that do not fit -------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, true, pred, text",
    [
        (
            "categorical_crossentropy",
            (32,),
            (32, 10),
            "categorical_crossentropy expects one-hot targets shaped like y_pred (32, 10), got y "
            'of shape (32,). Use loss="sparse_categorical_crossentropy" for integer classes.',
        ),
        (
            "categorical_crossentropy",
            (32, 1),
            (32, 10),
            "categorical_crossentropy expects one-hot targets shaped like y_pred (32, 10), got y "
            'of shape (32, 1). Use loss="sparse_categorical_crossentropy" for integer classes.',
        ),
        (
            "categorical_focal_crossentropy",
            (32,),
            (32, 10),
            "categorical_focal_crossentropy expects one-hot targets shaped like y_pred (32, 10), "
            "got y of shape (32,). Use to_categorical(y, 10) for integer classes.",
        ),
        (
            "sparse_categorical_crossentropy",
            (32, 10),
            (32, 10),
            "sparse_categorical_crossentropy expects integer classes of shape (32,) for y_pred "
            '(32, 10), got y of shape (32, 10). Use loss="categorical_crossentropy" for one-hot '
            "targets.",
        ),
        (
            "binary_crossentropy",
            (8,),
            (8, 3),
            "binary_crossentropy expects targets shaped like y_pred (8, 3), got y of shape (8,). "
            "Use Dense(1) for one yes or no per row, or multi-hot targets of shape (8, 3).",
        ),
        (
            "mean_squared_error",
            (8, 2),
            (8, 1),
            "mean_squared_error expects targets shaped like y_pred (8, 1), got y of shape (8, 2). "
            "Use Dense(2) as the last layer, or targets of shape (8, 1).",
        ),
        (
            "mean_squared_error",
            (7, 2),
            (8, 2),
            "mean_squared_error expects targets shaped like y_pred (8, 2), got y of shape (7, 2). "
            "Use as many rows in both.",
        ),
        (
            "categorical_crossentropy",
            (8, 10),
            (8, 26, 26, 10),
            "categorical_crossentropy expects one-hot targets shaped like y_pred (8, 26, 26, 10), "
            "got y of shape (8, 10). Use Flatten() or GlobalAveragePooling2D() before the last "
            "Dense layer.",
        ),
        (
            "mean_absolute_error",
            (8, 1, 3),
            (8, 3),
            "mean_absolute_error expects targets shaped like y_pred (8, 3), got y of shape "
            "(8, 1, 3). Use a last layer whose output has the shape of the targets, or reshape "
            "the targets.",
        ),
    ],
)
def test_shapes_are_refused(name, true, pred, text):
    """In the step, in the function, and (the same words) before the first step."""
    y = torch.zeros(true, dtype=torch.int64 if "sparse" in name else torch.float32)
    for loss in (losses.resolve(name), losses.get(name)):
        with pytest.raises(ValueError) as error:
            loss(y, torch.rand(pred))
        assert str(error.value) == text
    if true[0] == pred[0]:  # otherwise the data sees it first
        with pytest.raises(ValueError) as error:
            losses.check_targets(name, y, (None, *pred[1:]))
        assert str(error.value) == text


@pytest.mark.parametrize("cls", sorted({c[1] for c in CASES} - {"Circle"}))
def test_nothing_is_broadcast_in_silence(cls):
    for true, pred in [((8, 2), (8, 1)), ((8, 1), (8, 2)), ((8, 8), (8,)), ((1, 3), (8, 3))]:
        if "Sparse" in cls and true == (8, 1):
            continue  # class numbers in a column
        with pytest.raises(ValueError, match="expects"):
            getattr(losses, cls)()(torch.zeros(true), torch.rand(pred))


def test_alpha_of_another_number_of_classes():
    text = r"alpha of shape \(2,\) for 3 classes\. .*Type for example alpha=\[0\.25, 0\.25, 0\.25\]"
    loss = losses.CategoricalFocalCrossentropy(alpha=[0.2, 0.8])
    with pytest.raises(ValueError, match=text):
        loss(torch.eye(3), torch.ones(3, 3) / 3)
    along = losses.CategoricalFocalCrossentropy(alpha=[0.2, 0.8], axis=1, reduction="none")
    y, p = torch.eye(2).repeat(3, 1, 1), torch.rand(3, 2, 2)
    last = losses.CategoricalFocalCrossentropy(alpha=[0.2, 0.8], reduction="none")
    torch.testing.assert_close(along(y, p), last(y.mT, p.mT))


def test_weights_that_do_not_fit():
    y = torch.zeros(8, 3)
    with pytest.raises(ValueError) as error:
        losses.MeanSquaredError()(y, y, torch.ones(7))
    assert str(error.value) == (
        "sample_weight of shape (7,) does not fit loss values of shape (8,). One weight per row, "
        "or one per value, is accepted. Use sample_weight of shape (8,)."
    )
    with pytest.raises(ValueError, match=r"shape \(8, 3\) does not fit"):
        losses.MeanSquaredError()(y, y, torch.ones(8, 3))


def test_weights_of_rows_weigh_whole_sequences():
    """(8, 8) values and (8,) weights: Keras would weigh columns."""
    y, p, w = torch.zeros(8, 8, 2), torch.rand(8, 8, 2), torch.rand(8)
    expected = ((p**2).mean(-1) * w[:, None]).mean()
    torch.testing.assert_close(losses.MeanSquaredError()(y, p, w), expected)


# ---- values, before the first step ------------------------------------------------------------

SPARSE = "sparse_categorical_crossentropy"


@pytest.mark.parametrize(
    "loss, y, shape, text",
    [
        (
            SPARSE,
            [1, 2, 1, 3],
            3,
            f"{SPARSE} expects labels 0..2, got y[3] = 3. Starts at 1? Use y - 1. More classes? "
            "Use Dense(4).",
        ),
        (
            SPARSE,
            [[0], [7]],
            3,
            f"{SPARSE} expects labels 0..2, got y[1, 0] = 7. More classes? Use Dense(8).",
        ),
        (
            SPARSE,
            [0, -1, 1],
            2,
            f"{SPARSE} expects labels 0..1, got y[1] = -1. Two classes -1 and 1? Use "
            "(y + 1) // 2. A mark for rows to leave out? Use "
            "SparseCategoricalCrossentropy(ignore_class=-1).",
        ),
        (
            SPARSE,
            [0.0, 1.7],
            3,
            f"{SPARSE} expects labels that are integers, got y[1] = 1.7. Class numbers from 0 are "
            'accepted. Use loss="mse" for real numbers.',
        ),
        (
            SPARSE,
            [0, 1, float("nan")],
            3,
            f"y contains NaN at 2, in 1 of 3 values. {SPARSE} expects numbers. Leave those rows "
            "out, or fill them in.",
        ),
        (
            "mse",
            [[0.0], [float("nan")]],
            1,
            "y contains NaN at 1, 0, in 1 of 2 values. mean_squared_error expects numbers. Leave "
            "those rows out, or fill them in.",
        ),
        (
            "mse",
            [0.0, 1e300],
            1,
            "y[1] = 1e+300 is more than float32 can hold. mean_squared_error expects finite "
            "numbers. Scale the targets, for example to mean 0 and deviation 1.",
        ),
        (
            "binary_crossentropy",
            [1, -1, 1],
            1,
            "binary_crossentropy expects targets from 0 to 1, got y[1] = -1. Two classes -1 and "
            "1? Use (y + 1) / 2, or loss='hinge'.",
        ),
        (
            "binary_crossentropy",
            [1, 2, 1],
            1,
            "binary_crossentropy expects targets from 0 to 1, got y[1] = 2. Two classes 1 and 2? "
            "Use y - 1.",
        ),
        (
            "binary_crossentropy",
            [0, 1, 2],
            1,
            "binary_crossentropy expects targets from 0 to 1, got y[2] = 2. More than two "
            "classes? Use Dense(3, activation='softmax') and "
            "loss='sparse_categorical_crossentropy'.",
        ),
        (
            "binary_crossentropy",
            [0, 255, 13],
            1,
            "binary_crossentropy expects targets from 0 to 1, got y[1] = 255. Images? Use y / 255.",
        ),
    ],
)
def test_targets_are_refused(loss, y, shape, text):
    forms = [loss, losses.get(loss), losses.resolve(loss), partial(losses.get(loss))]
    for form in forms:
        for array in (np.array(y), torch.tensor(np.array(y))):
            with pytest.raises(ValueError) as error:
                losses.check_targets(form, array, (None, shape))
            assert str(error.value) == text


def test_the_name_of_the_targets_is_shown():
    with pytest.raises(ValueError, match=r"got y\['b'\]\[0\] = 5"):
        losses.check_targets(SPARSE, np.array([5]), (None, 3), "y['b']")


@pytest.mark.parametrize(
    "loss, y, shape",
    [
        (SPARSE, np.arange(9) % 3, (None, 3)),
        (SPARSE, (np.arange(9) % 3).astype("float32"), (None, 3)),
        (SPARSE, np.zeros((9, 1), "uint8"), (None, 1000)),
        (SPARSE, np.arange(8) % 4, (None, 10)),  # eight rows may lack classes by chance
        (SPARSE, np.arange(1, 9) % 3 + 1, (None, 4)),  # Dense(4) for labels 1..3
        (SPARSE, np.arange(5000), (None, 20000)),  # a vocabulary
        (SPARSE, np.zeros((4, 7), int), (None, 7, 5)),
        (SPARSE, np.zeros((4, 7), int), (None, None, 5)),
        (losses.SparseCategoricalCrossentropy(ignore_class=-1), np.array([-1, 0, 1]), (None, 2)),
        (losses.SparseCategoricalCrossentropy(ignore_class=255), np.array([255, 1]), (None, 2)),
        ("categorical_crossentropy", np.eye(10), (None, 10)),
        ("binary_crossentropy", np.array([0, 1, 1]), (None, 1)),
        ("binary_crossentropy", np.array([[0.0], [0.9]]), (None, 1)),
        ("binary_crossentropy", np.array([True, False]), (None, 1)),
        ("binary_crossentropy", np.ones((2, 8, 8, 1)), (None, None, None, 1)),
        ("hinge", np.array([-1, 1]), (None, 1)),
        ("mse", np.zeros((3, 1, 1)), (None, 1)),
        ("mse", torch.zeros(3, 2, dtype=torch.bfloat16), (None, 2)),
        ("mse", [1.0, 2.0], (None, 1)),
        ("mse", np.zeros((0, 1)), (None, 1)),
        (lambda y, p: 0, np.array([float("nan")]), (None, 1)),  # one's own: no opinion
        (partial(lambda y, p: 0), np.array([float("nan")]), (None, 1)),
        ("circle", np.array([5, 6]), (None, 3)),
        ("no such loss", np.array([5, 6]), (None, 3)),
    ],
)
def test_good_targets_pass_in_silence(loss, y, shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert losses.check_targets(loss, y, shape) is None


@pytest.mark.parametrize("one_hot", [False, True])
def test_classes_never_seen(one_hot):
    y = np.arange(12) % 3
    name = "categorical_crossentropy" if one_hot else SPARSE
    with pytest.warns(UserWarning) as record:
        losses.check_targets(name, np.eye(10)[y] if one_hot else y, (None, 10))
    assert str(record[0].message) == (
        "The last layer has 10 outputs and the highest class among 12 targets is 2: 7 classes "
        "are never seen. Use Dense(3)."
    )
    assert len(record) == 1 and record[0].filename == __file__


def test_real_numbers_outside_0_and_1_warn():
    with pytest.warns(UserWarning, match=r"from 0 to 1, got y\[1\] = 1.5. Scale the targets"):
        losses.check_targets("bce", np.array([0.0, 1.5]), (None, 1))


def test_checking_costs_no_python_per_row():
    def calls(rows):
        y = rng().integers(10, size=rows)
        one_hot, real = np.eye(10, dtype="float32")[y], rng().normal(size=(rows, 10))
        count = 0

        def seen(frame, event, arg):
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(seen)
        try:
            losses.check_targets(SPARSE, y, (None, 10))
            losses.check_targets("categorical_crossentropy", one_hot, (None, 10))
            losses.check_targets("mse", real, (None, 10))
        finally:
            sys.setprofile(None)
        return count

    assert 0 < calls(100_000) <= calls(1_000) + 10


# ---- the last layer ---------------------------------------------------------------------------

CCE = "categorical_crossentropy"


@pytest.mark.parametrize(
    "loss, activation, units, text",
    [
        (
            "mse",
            "softmax",
            1,
            "The last layer has 1 unit with softmax, so its output is always 1. Softmax compares "
            "units with each other. Use Dense(1, activation='sigmoid').",
        ),
        (
            CCE,
            "sigmoid",
            1,
            f"{CCE} got a last layer with 1 unit, for which it is always 0. It expects one unit "
            "per class. Use loss='binary_crossentropy', or Dense(2, activation='softmax').",
        ),
    ],
)
def test_outputs_are_refused(loss, activation, units, text):
    for form in (loss, losses.get(loss), losses.resolve(loss)):
        with pytest.raises(ValueError) as error:
            losses.check_output(form, activation, units)
        assert str(error.value) == text


@pytest.mark.parametrize(
    "loss, activation, text",
    [
        (
            losses.CategoricalCrossentropy(from_logits=True),
            "softmax",
            f"{CCE} with from_logits=True got outputs of softmax, which are probabilities. It "
            "applies softmax itself. Drop from_logits=True, or the activation.",
        ),
        (
            losses.BinaryCrossentropy(from_logits=True),
            "sigmoid",
            "binary_crossentropy with from_logits=True got outputs of sigmoid, which are "
            "probabilities. It applies sigmoid itself. Drop from_logits=True, or the activation.",
        ),
        (
            CCE,
            "sigmoid",
            f"{CCE} got outputs of sigmoid. It expects probabilities that add up to 1. Use "
            "activation='softmax', or loss='binary_crossentropy' where several may be true.",
        ),
        (
            SPARSE,
            "linear",
            f"{SPARSE} got outputs of linear, which are no probabilities. It expects those of "
            "softmax. Use activation='softmax', or from_logits=True in the loss object and no "
            "activation.",
        ),
    ],
)
def test_outputs_that_warn(loss, activation, text):
    with pytest.warns(UserWarning) as record:
        losses.check_output(loss, activation, 10)
    assert [str(r.message) for r in record] == [text]


@pytest.mark.parametrize(
    "loss, activation, units",
    [
        (CCE, "softmax", 10),
        (SPARSE, "softmax", 10),
        (SPARSE, None, 10),
        ("bce", "sigmoid", 1),
        ("bce", "sigmoid", 10),
        ("bce", "softmax", 2),
        (losses.SparseCategoricalCrossentropy(from_logits=True), "linear", 10),
        (losses.BinaryCrossentropy(from_logits=True), "linear", 1),
        ("mse", "linear", 1),
        ("mse", "sigmoid", 1),
        (None, "softmax", 3),
        (lambda y, p: 0, "softmax", 3),
    ],
)
def test_good_outputs_pass_in_silence(loss, activation, units):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert losses.check_output(loss, activation, units) is None


def test_identify():
    assert _checks.identify("MSE") == ("mean_squared_error", {})
    assert _checks.identify(losses.Huber(2.0)) == ("huber", {"delta": 2.0})
    wrapped = losses.LossFunctionWrapper(partial(losses.binary_crossentropy, from_logits=True))
    assert _checks.identify(wrapped) == ("binary_crossentropy", {"from_logits": True})
    assert _checks.identify(losses.CTC) == ("ctc", {})
    assert _checks.identify(losses.Loss()) == (None, {})
