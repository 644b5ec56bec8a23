"""Wrong arguments of losses, metrics, optimizers and the like: a sentence of ours for each.

The first half puts junk in the place of every argument of every public class; the second is a
table of what is mistaken most often, and of what is said then.
"""

import inspect
import math
import operator

import numpy as np
import pytest
import torch
from _inputs import raised_by_us, say

import lightkeras as lk
from lightkeras import (
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    regularizers,
)
from lightkeras.optimizers import schedules

JUNK = {
    "None": None,
    "-1": -1,
    "3": 3,
    "2.5": 2.5,
    "a text": "foo",
    "a list": [],
    "a pair": (1, 2),
    "a dict": {},
    "nan": math.nan,
    "inf": math.inf,
    "an array": np.array([1.0, 2.0]),
    "a function": lambda *args: 0,
}
NEEDED = {
    "boundaries": [1, 2],
    "decay_rate": 0.5,
    "decay_steps": 3,
    "first_decay_steps": 3,
    "fn": lambda a, b: (a - b) ** 2,
    "initial_learning_rate": 0.1,
    "inner_optimizer": optimizers.SGD(),
    "num_classes": 3,
    "precision": 0.5,
    "recall": 0.5,
    "sensitivity": 0.5,
    "specificity": 0.5,
    "target_class_ids": [0],
    "values": [1.0, 0.5, 0.1],
}
BASES = {"Optimizer", "Loss", "Metric", "Initializer", "LearningRateSchedule"}
BASES |= {"Regularizer", "Constraint"}


def use_loss(loss):
    loss(torch.rand(4, 3).round(), torch.rand(4, 3))


def use_metric(metric):
    metric.update_state(torch.rand(4, 3).round(), torch.rand(4, 3))
    metric.result()


def use_optimizer(optimizer):
    weights = [torch.nn.Parameter(torch.rand(3, 4)), torch.nn.Parameter(torch.rand(4))]
    optimizer.build(weights)
    for weight in weights:
        weight.grad = torch.rand_like(weight)
    optimizer.step()
    optimizer.step()


def use_schedule(schedule):
    schedule(1)
    schedule(torch.tensor(100))


USES = {
    constraints: lambda constraint: constraint(torch.rand(3, 4)),
    initializers: lambda initializer: initializer((3, 4)),
    losses: use_loss,
    metrics: use_metric,
    optimizers: use_optimizer,
    regularizers: lambda regularizer: regularizer(torch.rand(3, 4)),
    schedules: use_schedule,
}


def is_ours(error):
    """Our words; or Python's own, which name the argument that a signature lacks."""
    python = ("positional argument", "unexpected keyword")
    return isinstance(error, (ValueError, TypeError)) and (
        raised_by_us(error) or any(words in str(error) for words in python)
    )


def calls(module):
    """(class, argument, kind of junk) for all public classes of a module."""
    for name in module.__all__:
        cls = getattr(module, name)
        if not inspect.isclass(cls) or name in BASES:
            continue
        for parameter in inspect.signature(cls).parameters.values():
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                yield from ((cls, parameter.name, junk) for junk in JUNK)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("module", USES, ids=lambda m: m.__name__.rpartition(".")[2])
def test_junk_in_every_argument(module):
    works, wrong = 0, []
    for cls, argument, junk in calls(module):
        parameters = inspect.signature(cls).parameters.values()
        given = {p.name: NEEDED[p.name] for p in parameters if p.name in NEEDED}
        given = {k: v for k, v in given.items() if _has_no_default(cls, k)}
        torch.manual_seed(0)
        try:
            USES[module](cls(**{**given, argument: JUNK[junk]}))
            works += 1
        except Exception as error:
            if not is_ours(error) or len(str(error).splitlines()) > 10:
                wrong.append(f"{cls.__name__}({argument}={junk}): {error!r}")
    assert wrong == []
    assert works > 0


def _has_no_default(cls, name):
    return inspect.signature(cls).parameters[name].default is inspect.Parameter.empty


class Closed(lk.Model):
    def __init__(this):
        super().__init__()


class Open(lk.layers.Layer):
    def __init__(self, units, **more):
        super().__init__(**more)


class NoReturn(lk.Model):
    def __init__(self):
        super().__init__()
        self.head = layers.Dense(1)

    def call(self, x):
        self.head(x)


def stack():
    return lk.Sequential([lk.Input((3,)), layers.Dense(1)])


def pair():
    a, b = lk.Input((3,), name="a"), lk.Input((3,), name="b")
    return lk.Model([a, b], layers.Dense(1)(layers.concatenate([a, b])))


class Three(lk.Model):
    def call(self, x):
        return x

    def train_step(self, data):
        return 3


class Endless(torch.utils.data.Dataset):
    def __getitem__(self, i):
        return X[0], X[0, :1]


def fit(model, **arguments):
    model.compile("sgd", "mse")
    y = None if isinstance(arguments.get("x"), Endless) else X[:, :1]
    model.fit(**{"x": X, "y": y, "verbose": 0, **arguments})


X = torch.rand(4, 3)
SAID = [
    # losses
    (lambda: losses.Huber(delta=0), TypeError, r"Huber\(\) got delta=0\. .*above 0.*delta=1\.0\."),
    (lambda: losses.Huber("sum"), TypeError, r"delta='sum'\. .* Type delta=1\.0\."),
    (lambda: losses.BinaryCrossentropy(0.1), TypeError, r"from_logits=0\.1\. True or False"),
    (lambda: losses.BinaryCrossentropy(label_smoothing=None), TypeError, r"Type label_smoothing=0"),
    (lambda: losses.CategoricalCrossentropy(axis=(1, 2)), TypeError, r"axis=\(1, 2\)\. A whole"),
    (lambda: losses.CategoricalCrossentropy(axis=3)(X, X), ValueError, r"axis=3.*2 axes.*axis=-1"),
    (lambda: losses.CosineSimilarity(axis=2)(X, X), ValueError, r"-2 to 1 are accepted"),
    (lambda: losses.LossFunctionWrapper("mse"), TypeError, r"fn='mse'\. A function"),
    (lambda: losses.TorchLoss(torch.nn.MSELoss), TypeError, r"TorchLoss\(torch\.nn"),
    # metrics
    (lambda: metrics.Precision(class_id="cat"), TypeError, r"class_id='cat'\. .* Type class_id=N"),
    (lambda: metrics.Precision(class_id=3)(X, X), ValueError, r"3 classes\. 0 to 2 are accepted"),
    (lambda: metrics.Recall(top_k=5)(X, X), ValueError, r"top_k=5.*3 classes.*Type top_k=3"),
    (lambda: metrics.TopKCategoricalAccuracy(k=2.5), TypeError, r"k=2\.5\. A whole.*Type k=5\."),
    (lambda: metrics.BinaryAccuracy(threshold="0.5"), TypeError, r"threshold='0\.5'\. A number"),
    (lambda: metrics.MeanIoU("3"), TypeError, r"num_classes='3'\. .*Type num_classes=2\."),
    (lambda: metrics.IoU(3, 1), ValueError, r"target_class_ids=1\. .*=\[0, 1\]\."),
    (lambda: metrics.AUC(label_weights=[1.0, 2.0])(X, X), ValueError, r"2 label_weights.*3 labels"),
    (lambda: metrics.Mean(3), TypeError, r"Mean\(\) got name=3\. A text"),
    # optimizers and schedules
    (lambda: optimizers.Adam(amsgrad="yes"), TypeError, r"amsgrad='yes'\. True or False"),
    (lambda: optimizers.SGD(0.1, 0.9, "nesterov"), TypeError, r"nesterov='nesterov'\. True or"),
    (lambda: optimizers.SGD(gradient_accumulation_steps=math.nan), TypeError, r"accumulation_st"),
    (lambda: use_optimizer(optimizers.Ftrl(0.0)), ValueError, r"learning rate 0\. It divides"),
    (lambda: optimizers.Muon(exclude_layers="head"), TypeError, r"exclude_layers=\['embedding'"),
    (lambda: schedules.ExponentialDecay("0.1", 10, 0.9), TypeError, r"initial_learning_rate='0\.1"),
    (lambda: schedules.ExponentialDecay(0.1, 10, -0.9), TypeError, r"decay_rate=-0\.9\. A number "),
    (lambda: schedules.CosineDecayRestarts(0.1, 9, t_mul=0), TypeError, r"t_mul=0\. .*t_mul=2\.0"),
    (lambda: schedules.PiecewiseConstantDecay(["a"], [1, 2]), TypeError, r"boundaries=\['a'\]"),
    # what layers are given by name
    (lambda: initializers.RandomNormal("0.1"), TypeError, r"mean='0\.1'\. A number.*mean=0\.0"),
    (lambda: initializers.Constant(None), TypeError, r"Constant\(\) got value=None"),
    (lambda: initializers.Orthogonal(gain=[1]), TypeError, r"gain=\[1\]\. .*Type gain=1\.0"),
    (lambda: constraints.MaxNorm("2"), TypeError, r"max_value='2'\. A number.*max_value=2\."),
    (lambda: constraints.UnitNorm(axis="rows"), TypeError, r"axis='rows'\. A whole number, or"),
    # models, layers and symbolic tensors
    (lambda: fit(NoReturn()), TypeError, r"call\(\) of 'no_return' returned None\..*End call"),
    (lambda: NoReturn().predict(X, verbose=0), TypeError, r"The model returned None\."),
    (lambda: layers.MultiHeadAttention(1, 2)(X), TypeError, r"1 inputs.*2: query, value\."),
    (lambda: lk.Input((3,)) + "a", ValueError, r"add\(\) .* \+: 'KerasTensor' and 'str'\."),
    (lambda: None - lk.Input((3,)), ValueError, r"'NoneType' and 'KerasTensor'\."),
    (lambda: models.clone_model("m"), TypeError, r"got str\. A model is accepted\."),
    (lambda: fit(stack(), trainer=3), TypeError, r"fit\(trainer=\) got int\. A lightning Trainer"),
    (lambda: stack().summary(line_length="a"), ValueError, r"line_length='a'.*3 columns"),
    (lambda: stack().summary(positions=[1]), ValueError, r"positions=\[0\.45, 0\.8, 1\.0\]\."),
    (lambda: stack().summary(print_fn=3), TypeError, r"print_fn=\) got int\. .*print_fn=print"),
    (lambda: fit(stack(), x=X.to_sparse()), TypeError, r"x is a sparse tensor\..*x\.to_dense"),
    (lambda: fit(stack(), x=Endless()), TypeError, r"Endless has no __len__\..*IterableDataset"),
    (lambda: fit(pair(), x=[X, None]), ValueError, r"x\['b'\] is None.*optional=True"),
    (lambda: fit(pair(), x=[X, X[:, :2]]), ValueError, r"got x\['b'\] of shape \(4, 2\)"),
    (lambda: fit(Three()), TypeError, r"A step of 'three' returned int\..*return \{"),
    (lambda: lk.saving.custom_object_scope([Three]).__enter__(), TypeError, r"is of type list\."),
    # classes of the user's
    (lambda: Closed(name="a"), TypeError, r"Accepted: none\. Take \*\*kwargs in its __init__, and"),
    (lambda: Closed(input_shape=(3,)), TypeError, r"'input_shape'\. Accepted: none\. Take"),
    (lambda: Open(2, nam="a"), TypeError, r"Did you mean 'name'\? Accepted: (?!.*(self|more))"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "words"), SAID, ids=range(len(SAID)))
def test_what_is_said(call, error, words):
    say(call, error, words)


# ---- ops ----------------------------------------------------------------------------------------

OF_OPS = {
    **{name: value for name, value in JUNK.items() if name != "an array"},
    "an object": object(),
    "a matrix": np.ones((2, 5), "float32"),
    "a complex": np.array([[1 + 2j]]),
    "texts": np.array(["a"]),
}
ARRAY = np.ones((2, 8, 3), "float32")
CALLS = {
    **{name: ((X.numpy(),), {}) for name in ["softmax", "gelu", "logsumexp", "erf", "unstack"]},
    **{
        name: ((X.numpy(),), {})
        for name in ["sum", "mean", "argmax", "transpose", "expand_dims", "split"]
    },
    "add": ((X.numpy(), X.numpy()), {}),
    "clip": ((X.numpy(), 0, 1), {}),
    "concatenate": (([X.numpy(), X.numpy()],), {}),
    "conv": ((ARRAY, np.ones((3, 3, 4), "float32")), {"padding": "same"}),
    "einsum": (("ij,kj->ik", X.numpy(), X.numpy()), {}),
    "image.resize": ((np.ones((4, 4, 3), "float32"), (2, 2)), {}),
    "matmul": ((X.numpy(), X.numpy().T), {}),
    "max_pool": ((ARRAY, 2), {}),
    "norm": ((X.numpy(),), {}),
    "one_hot": ((np.array([1, 2]), 3), {}),
    "pad": ((X.numpy(), 1), {}),
    "reshape": ((X.numpy(), (2, 6)), {}),
    "segment_sum": ((np.ones(3, "float32"), np.array([0, 1, 0]), 2), {}),
    "solve": ((np.eye(3, dtype="float32"), np.ones((3, 2), "float32")), {}),
    "take": ((X.numpy(), [0, 1]), {}),
    "tensordot": ((X.numpy(), X.numpy().T), {"axes": 1}),
    "top_k": ((X.numpy(), 2), {}),
    "where": ((X.numpy() > 0, X.numpy(), 0.0), {}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_junk_in_ops(name):
    op = operator.attrgetter(name)(ops)
    args, kwargs = CALLS[name]
    wrong, works = [], 0
    for i, parameter in enumerate(inspect.signature(op).parameters.values()):
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        for junk, value in OF_OPS.items():
            more = {} if i < len(args) else {parameter.name: value}
            try:
                op(*[value if i == k else a for k, a in enumerate(args)], **{**kwargs, **more})
                works += 1
            except Exception as error:
                if not is_ours(error):
                    wrong.append(f"{name}({parameter.name}={junk}): {error!r}")
    assert wrong == []


OPS_SAY = [
    (
        lambda: ops.matmul(X, X),
        ValueError,
        r"matmul\(\) got float32 \(4, 3\), float32 \(4, 3\): .*",
    ),
    (
        lambda: ops.reshape(X, (5, 5)),
        ValueError,
        r"reshape\(\) got float32 \(4, 3\), 5, 5: .*size 12",
    ),
    (lambda: ops.sum(X, axis=2), ValueError, r"sum\(\) got .*help\(ops\.sum\)"),
    (lambda: ops.add(X, torch.ones(2)), ValueError, r"add\(\) got .*must match"),
    (lambda: ops.concatenate([X, X.T]), ValueError, r"concatenate\(\) got "),
    (lambda: ops.expand_dims(X, "last"), TypeError, r"expand_dims\(\) got .*'last'"),
    (lambda: ops.meen(X), AttributeError, r"Did you mean 'mean'"),
]


@pytest.mark.parametrize(("call", "error", "words"), OPS_SAY, ids=range(len(OPS_SAY)))
def test_what_ops_say(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_errors_of_the_users_own_functions_stay_as_they_are():
    def broken(*args):
        return {}["missing"]

    with pytest.raises(KeyError, match="missing"):
        ops.fori_loop(0, 2, broken, X)
    with pytest.raises(KeyError, match="missing"):
        ops.vectorized_map(broken, X)


def test_what_a_subclass_means_by_a_name_is_its_own():
    class Mine(losses.Loss):
        def __init__(self, delta="none", axis=None, **kwargs):
            super().__init__(**kwargs)
            self.delta, self.axis = delta, axis

        def call(self, y_true, y_pred):
            return (y_true - y_pred).mean(-1)

    assert Mine(delta="half", axis={"a": 1})(X, X) == 0
    by_function = losses.LossFunctionWrapper(lambda a, b, delta: (a - b).mean(-1), delta="half")
    assert by_function(X, X) == 0
