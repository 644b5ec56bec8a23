"""Calls at random: whatever is put together works, or a sentence of ours says what is wrong.

Every call is made from a seed that a failure names; call it again with
`any_training(random.Random("any_training 7"))`.
"""

import inspect
import math
import random

import numpy as np
import pytest
import torch
from _inputs import (
    NAN,
    frame,
    raised_by_us,
)

import lightkeras as lk
from lightkeras import layers, losses, metrics

JUNK = [None, 3, -1, 2.5, "foo", [], {}, True, object(), (1, 2), NAN]
SHAPES = [(8,), (8, 1), (8, 3), (8, 2), (7,), (8, 1, 1), (8, 3, 1), (8, 4), (8, 3, 4), (0, 4), ()]
ACTIVATIONS = [None, "softmax", "sigmoid", "relu"]


def any_array(r, shape):
    seeded = np.random.RandomState(r.randrange(10**6))
    made = r.choice(
        [
            lambda: seeded.rand(*shape),
            lambda: seeded.rand(*shape).astype("float32"),
            lambda: seeded.randint(0, r.choice([2, 3, 9]), shape),
            lambda: np.eye(3)[seeded.randint(0, 3, shape[:1])],
            lambda: seeded.randint(0, 2, shape).astype(bool),
            lambda: seeded.randint(-2, 200, shape).astype(r.choice(["uint8", "int16", "float16"])),
            lambda: np.full(shape, r.choice([NAN, math.inf, 1e300, "a", -1])),
            lambda: seeded.randint(0, 3, shape).astype(r.choice([object, "complex64"])),
        ]
    )
    array = np.asarray(seeded.rand() if not shape else made())
    form = r.choice([np.asarray] * 6 + [np.ndarray.tolist, frame])
    if array.dtype.kind in "fiub" and r.random() < 0.2:
        form = torch.as_tensor
    return form(array)


def any_model(r):
    n, activation = r.choice([1, 2, 3, 3, 4]), r.choice(ACTIVATIONS)
    head = layers.Dense(n, activation=activation)
    kind = r.randrange(6)
    if kind == 0:
        return lk.Sequential([head])
    if kind == 1:
        return lk.Sequential([lk.Input((3, 4)), layers.LSTM(n, return_sequences=r.random() < 0.5)])
    if kind == 2:
        x = lk.Input((4,))
        ends = {"a": layers.Dense(n, name="a")(x), "b": layers.Dense(2, name="b")(x)}
        return lk.Model(x, ends if r.random() < 0.5 else list(ends.values()))
    return lk.Sequential([lk.Input((4,)), head])


def any_training(r):
    """Model, compile and a call of one of its methods."""
    model = any_model(r)
    known = [name for name in losses.table.entries if name.islower()]
    measures = [name for name in metrics.table.entries if name.islower()]
    options = {"optimizer": r.choice(["adam", "sgd", "rmsprop"]), "loss": r.choice(known)}
    if r.random() < 0.5:
        options[r.choice(["metrics", "weighted_metrics"])] = [r.choice([*measures, "accuracy"])]
    if r.random() < 0.1:
        options["loss"] = r.choice([[options["loss"]] * 2, {"a": options["loss"]}])
    if r.random() < 0.06:
        options[r.choice(["loss", "metrics", "loss_weights", "steps_per_execution", "trainer"])] = (
            r.choice(JUNK)
        )
    model.compile(**options)
    x = any_array(r, r.choice(SHAPES))
    if model.built and r.random() < 0.8:
        x = any_array(r, (8, *model.inputs[0].shape[1:]))
    y = any_array(r, r.choice(SHAPES))
    if model.built and r.random() < 0.4:
        y = any_array(r, (8, *model.outputs[0].shape[1:]))
    y = r.choice([y] * 8 + [[y, y], {"a": y, "b": y}, None])
    method = r.choice(["fit", "evaluate", "train_on_batch", "test_on_batch", "predict"])
    arguments = {} if method.endswith("batch") else {"verbose": 0}
    if method != "predict" and r.random() < 0.1:
        arguments["sample_weight"] = any_array(r, r.choice(SHAPES))
    if method == "fit" and r.random() < 0.15:
        arguments["validation_data"] = r.choice([(x, y), (x,), (y, x), 3])
    if r.random() < 0.08:
        name = r.choice(["batch_size", "epochs", "steps", "shuffle", "class_weight", "callbacks"])
        arguments[name] = r.choice(JUNK)
    getattr(model, method)(*((x,) if method == "predict" else (x, y)), **arguments)


def any_measure(r):
    """A loss or a metric, as an object or a function, on two arrays."""
    module = r.choice([losses, metrics])
    entry = r.choice([v for k, v in sorted(module.table.entries.items()) if k.islower()])
    shapes = [shape for shape in SHAPES if 0 not in shape and shape]
    y_true = any_array(r, r.choice(shapes))
    y_pred = any_array(r, r.choice([*shapes, np.shape(y_true) or (8,)]))
    if any(np.asarray(y).dtype.kind == "c" for y in (y_true, y_pred)):
        return
    needed = {"num_classes": 3, "target_class_ids": [0], "q": 0.5}
    parameters = inspect.signature(entry).parameters
    options = {k: v for k, v in needed.items() if k in parameters}
    options |= {
        k: 0.5 for k in ("recall", "precision", "specificity", "sensitivity") if k in parameters
    }
    if not inspect.isclass(entry):
        entry(y_true, y_pred, **options)
    elif issubclass(entry, losses.Loss):
        entry(**options)(y_true, y_pred)
    elif "fn" not in parameters and hasattr(entry, "update_state"):
        metric = entry(**options)
        if "y_true" in inspect.signature(metric.update_state).parameters:
            metric.update_state(y_true, y_pred)
            metric.result()


VALUES = [0, 1, 2, 3, -1, 2.5, 0.5, True, None, "same", "foo", (2, 2), (1, 2, 3), np.int64(2)]
CALLED = ["Dense", "Conv1D", "Conv2D", "Conv2DTranspose", "SeparableConv2D", "MaxPooling2D",
          "AveragePooling1D", "GlobalMaxPooling2D", "LSTM", "GRU", "SimpleRNN", "Embedding",
          "Flatten", "Reshape", "RepeatVector", "UpSampling2D", "ZeroPadding2D", "Cropping2D",
          "Add", "Multiply", "Concatenate", "Dot", "Dropout", "SpatialDropout1D", "GaussianNoise",
          "LayerNormalization", "Activation", "ELU"]  # fmt: skip


def any_call(r):
    """A layer with a few odd arguments, called on something."""
    cls = getattr(layers, r.choice(CALLED))
    arguments = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        if parameter.default is parameter.empty:
            arguments[name] = r.choice(VALUES if r.random() < 0.3 else [1, 2, 3])
        elif r.random() < 0.08:
            arguments[name] = r.choice(VALUES)
    if cls is layers.Activation and r.random() < 0.7:
        arguments["activation"] = r.choice(ACTIVATIONS)
    layer = cls(**arguments)
    shape = r.choice([(4,), (3, 4), (8, 8, 3), (None, 4), (None, None, 3), (4, 4, 4, 2), ()])
    known = [n or 3 for n in shape]
    given = r.choice(
        [
            lambda: lk.Input(shape),
            lambda: torch.rand(2, *known),
            lambda: np.ones(
                (2, *known), r.choice(["float32", "float64", "int64", "uint8", "bool"])
            ),
            lambda: [torch.rand(2, *known), torch.rand(2, *known)],
            lambda: [torch.rand(2, *known), torch.rand(2, 5)],
            lambda: r.choice([None, "x", 3, [], {}, torch.tensor(1.0)]),
        ]
    )()
    layer(given)
    layer(torch.rand(2, 3, 4))


def is_a_sentence(error):
    """Our words; or Python's own, which name the argument that a signature lacks."""
    return isinstance(error, (ValueError, TypeError)) and (
        raised_by_us(error) or "positional argument" in str(error)
    )


@pytest.mark.parametrize(
    ("call", "count"), [(any_training, 260), (any_measure, 300), (any_call, 400)]
)
@pytest.mark.filterwarnings("ignore")
def test_calls_at_random(call, count):
    works, wrong = 0, []
    for seed in range(count):
        torch.manual_seed(0)
        try:
            call(random.Random(f"{call.__name__} {seed}"))
            works += 1
        except Exception as error:
            if not is_a_sentence(error) or len(str(error).splitlines()) > 10:
                wrong.append(f"{call.__name__}(random.Random('{call.__name__} {seed}')): {error!r}")
    assert wrong == []
    assert count * 0.05 < works < count * 0.95  # both ways are taken
