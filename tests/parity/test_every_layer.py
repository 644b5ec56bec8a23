"""One table over every public layer class: all that `check` compares, policies, formats, masks,
and wrong arguments.

Each class stands in LAYERS once, on a small input; what holds for all layers is asked of all of
them here. What is particular to a family stands in the tables of the family.
"""

import importlib
import inspect
import math
import pathlib
import warnings

import keras
import numpy as np
import pytest
import torch
from _inputs import raised_by_us
from _layers import OURS, _close, _tree, check, check_weights

import lightkeras
from lightkeras import layers
from lightkeras._registry import reset_names

SERIES, ROW = (2, 6, 4), (2, 4)
SHAPES = {1: SERIES, 2: (2, 8, 8, 3), 3: (2, 4, 4, 4, 3)}
IMAGE = SHAPES[2]
FACTOR = {"factor": 0.3}


def words():
    return np.array([["a", "b"], ["b", "c"]])


def ids():
    return np.array([[1, 2, 0], [3, 1, 2]])


def per_rank(name, *args, ranks=(1, 2, 3), **kwargs):
    """Rows of `Name1D`, `Name2D`... on the shape of their rank."""
    return {name.replace("#", f"{rank}D"): (args, kwargs, SHAPES[rank]) for rank in ranks}


def with_layer(name, inner, shape=SERIES, **kwargs):
    """A row of a layer around others, which `inner(k)` makes."""
    return {name: (inner, kwargs, shape)}


FAMILIES = [
    *sorted(pathlib.Path(__file__).parent.glob("test_layers_*.py")),
    pathlib.Path(__file__).with_name("test_normalization.py"),
]
# {class: (its arguments by place or a function of `k` that makes them, by name, input)}
LAYERS = {
    **per_rank("Conv#", 3, 2),
    **per_rank("Conv#Transpose", 3, 2),
    **per_rank("SeparableConv#", 3, 2, ranks=(1, 2)),
    **per_rank("DepthwiseConv#", 2, ranks=(1, 2)),
    **per_rank("AveragePooling#", 2),
    **per_rank("MaxPooling#", 2),
    **per_rank("AdaptiveAveragePooling#", 2),
    **per_rank("AdaptiveMaxPooling#", 2),
    **per_rank("GlobalAveragePooling#"),
    **per_rank("GlobalMaxPooling#"),
    **per_rank("UpSampling#", 2),
    **per_rank("ZeroPadding#", 1),
    **per_rank("Cropping#", 1),
    **per_rank("SpatialDropout#", 0.5),
    **{f"ConvLSTM{rank}D": ((2, 2), {}, (2, 3, *SHAPES[rank][1:-1], 2)) for rank in (1, 2, 3)},
    "Activation": (("tanh",), {}, ROW),
    "ActivityRegularization": ((0.1,), {}, ROW),
    "AlphaDropout": ((0.5,), {}, ROW),
    "BatchNormalization": ((), {}, SERIES),
    "Dense": ((3,), {}, SERIES),
    "Dropout": ((0.5,), {}, SERIES),
    "EinsumDense": (("abc,cd->abd",), {"output_shape": (None, 3)}, SERIES),
    "ELU": ((), {}, ROW),
    "Embedding": ((5, 3), {"mask_zero": True}, ids()),
    "Flatten": ((), {}, SERIES),
    "GaussianDropout": ((0.5,), {}, ROW),
    "GaussianNoise": ((0.5,), {}, ROW),
    "GroupNormalization": ((2,), {}, SERIES),
    "GRU": ((3,), {"return_sequences": True}, SERIES),
    "Identity": ((), {}, SERIES),
    "Lambda": ((lambda x: x * 2,), {}, ROW),
    "LayerNormalization": ((), {}, SERIES),
    "LeakyReLU": ((), {}, ROW),
    "LSTM": ((3,), {"return_sequences": True}, SERIES),
    "Masking": ((0.0,), {}, SERIES),
    "Normalization": ((), {"mean": 1.0, "variance": 4.0}, ROW),
    "Permute": (((2, 1),), {}, SERIES),
    "PReLU": ((), {}, SERIES),
    "ReLU": ((), {}, ROW),
    "RepeatVector": ((3,), {}, ROW),
    "Rescaling": ((0.5, 1), {}, IMAGE),
    "Reshape": (((4, 6),), {}, SERIES),
    "ReversibleEmbedding": ((5, 3), {"mask_zero": True}, ids()),
    "RMSNormalization": ((), {}, SERIES),
    "SimpleRNN": ((3,), {"return_sequences": True}, SERIES),
    "Softmax": ((), {}, SERIES),
    "UnitNormalization": ((), {}, SERIES),
    "STFTSpectrogram": ((), {"frame_length": 8, "frame_step": 4, "fft_length": 8}, (2, 32, 1)),
    "MelSpectrogram": (
        (),
        {"fft_length": 64, "sequence_stride": 32, "num_mel_bins": 8, "sampling_rate": 800},
        (2, 256),
    ),
    # several inputs
    "Add": ((), {}, [SERIES, SERIES]),
    "Average": ((), {}, [SERIES, SERIES]),
    "Concatenate": ((), {}, [SERIES, SERIES]),
    "Dot": ((2,), {}, [SERIES, SERIES]),
    "Maximum": ((), {}, [SERIES, SERIES]),
    "Minimum": ((), {}, [SERIES, SERIES]),
    "Multiply": ((), {}, [SERIES, SERIES]),
    "Subtract": ((), {}, [SERIES, SERIES]),
    "Attention": ((), {}, [SERIES, SERIES]),
    "AdditiveAttention": ((), {}, [SERIES, SERIES]),
    "MultiHeadAttention": ((2, 3), {}, (SERIES, SERIES)),
    "GroupQueryAttention": ((2, 4, 2), {}, (SERIES, SERIES)),
    "GRUCell": ((3,), {}, (ROW, (2, 3))),
    "LSTMCell": ((3,), {}, (ROW, [(2, 3), (2, 3)])),
    "SimpleRNNCell": ((3,), {}, (ROW, (2, 3))),
    "StackedRNNCells": (lambda k: ([k.layers.GRUCell(3)],), {}, (ROW, [(2, 3)])),
    # around other layers
    **with_layer("Bidirectional", lambda k: (k.layers.GRU(3, return_sequences=True),)),
    **with_layer("TimeDistributed", lambda k: (k.layers.Dense(3),)),
    **with_layer("RNN", lambda k: (k.layers.GRUCell(3),), return_sequences=True),
    **with_layer("SpectralNormalization", lambda k: (k.layers.Dense(3),)),
    **with_layer("TorchModuleWrapper", lambda k: (torch.nn.ReLU(),), ROW),
    **with_layer("Pipeline", lambda k: ([k.layers.Rescaling(0.5)],), IMAGE),
    # features and texts
    "CategoryEncoding": ((5,), {"output_mode": "multi_hot"}, ids()),
    "Discretization": (([0.0, 1.0],), {}, ROW),
    "Hashing": ((5,), {}, words()),
    "HashedCrossing": ((5,), {}, [words()[0], words()[1]]),
    "IntegerLookup": ((), {"vocabulary": [1, 2]}, ids()),
    "StringLookup": ((), {"vocabulary": ["a", "b"]}, words()),
    "TextVectorization": ((), {"vocabulary": ["a", "b"]}, words()[:, :1]),
    # images: compared in inference, where a random layer leaves them as they are
    "AugMix": ((), {"value_range": (0, 1)}, IMAGE),
    "AutoContrast": ((), {"value_range": (0, 1)}, IMAGE),
    "CenterCrop": ((4, 4), {}, IMAGE),
    "ContrastLimitedAdaptiveHistogramEqualization": (
        (),
        {"value_range": (0, 1), "tile_grid_size": (2, 2), "clip_limit": 16.0},
        IMAGE,
    ),
    "CutMix": ((), {}, IMAGE),
    "Equalization": ((), {"value_range": (0, 1)}, IMAGE),
    "MaxNumBoundingBoxes": ((2,), {"bounding_box_format": "xyxy"}, IMAGE),
    "MixUp": ((), {}, IMAGE),
    "RandAugment": ((), {"value_range": (0, 1)}, IMAGE),
    "RandomBrightness": ((0.3,), {"value_range": (0, 1)}, IMAGE),
    "RandomColorDegeneration": ((0.3,), {"value_range": (0, 1)}, IMAGE),
    "RandomColorJitter": ((), {"value_range": (0, 1)}, IMAGE),
    "RandomContrast": ((0.3,), {"value_range": (0, 1)}, IMAGE),
    "RandomCrop": ((4, 4), {}, IMAGE),
    "RandomElasticTransform": ((), {"value_range": (0, 1)}, IMAGE),
    "RandomErasing": ((), {"value_range": (0, 1)}, IMAGE),
    "RandomFlip": ((), {}, IMAGE),
    "RandomGaussianBlur": ((), {"value_range": (0, 1)}, IMAGE),
    "RandomGrayscale": ((), {}, IMAGE),
    "RandomHue": ((0.3,), {"value_range": (0, 1)}, IMAGE),
    "RandomInvert": ((), {"value_range": (0, 1)}, IMAGE),
    "RandomPerspective": ((), {}, IMAGE),
    "RandomPosterization": ((4,), {"value_range": (0, 1)}, IMAGE),
    "RandomRotation": ((0.3,), {}, IMAGE),
    "RandomSaturation": ((0.3,), {"value_range": (0, 1)}, IMAGE),
    "RandomSharpness": ((0.3,), {"value_range": (0, 1)}, IMAGE),
    "RandomShear": ((), {}, IMAGE),
    "RandomTranslation": ((0.3, 0.3), {}, IMAGE),
    "RandomZoom": ((0.3,), {}, IMAGE),
    "Resizing": ((4, 4), {}, IMAGE),
    "Solarization": ((), {"value_range": (0, 1)}, IMAGE),
}
WITHOUT = {
    "FlaxLayer": "not here: see test_names.py",
    "JaxLayer": "not here: see test_names.py",
    "TFSMLayer": "not here: see test_names.py",
    "InputLayer": "has no input: its symbolic output is in the tests of graphs",
    "InputSpec": "is no layer",
    "Layer": "has no call",
    "Wrapper": "has no call",
}
# Keras makes them with TensorFlow only; test_lookups.py and test_layers_categories.py have them
ELSEWHERE = {"Hashing", "HashedCrossing", "IntegerLookup", "StringLookup", "TextVectorization"}
LIVE = LAYERS.keys() - ELSEWHERE
CLAHE = "ContrastLimitedAdaptiveHistogramEqualization"
# in inference Keras's returns images uncut, ours what its shape says
OTHERWISE = {"RandomCrop"}
# what `check` cannot compare of a class
AS_KERAS = {
    CLAHE: {"atol": 4e-3},
    "Lambda": {"config": False},  # Keras stores code, ours a name: see test_saving.py
    "MaxNumBoundingBoxes": {"config": False},  # Keras's forgets the fill_value
    "RandomGrayscale": {"config": False},  # Keras's forgets the seed
    # Keras's config holds the module itself, and its layer refuses symbolic calls
    "TorchModuleWrapper": {"config": False, "symbolic": False},
}
CLOSE = {CLAHE: 4e-3}  # Keras's rounds to 1/255


def test_every_class_has_a_row():
    public = {n for n in dir(keras.layers) if inspect.isclass(getattr(keras.layers, n))}
    once = {getattr(keras.layers, n).__name__ for n in public}
    assert once - {getattr(keras.layers, n).__name__ for n in LAYERS} == WITHOUT.keys()
    assert LAYERS.keys() <= public


def test_the_families_have_their_rows():
    rows = {}
    for path in FAMILIES:
        module = importlib.import_module(path.stem)
        tests = [t for n, t in vars(module).items() if n.startswith("test_") and compares(t)]
        rows[path.stem] = sum(map(count, tests))
    assert sum(rows.values()) >= 400, rows


def compares(test):
    """Whether a test holds a layer against Keras's by `check`."""
    return callable(test) and any(w in inspect.getsource(test) for w in ("check(", "compare("))


def count(test):
    marks = getattr(test, "pytestmark", ())
    return math.prod(len(m.args[1]) for m in marks if m.name == "parametrize")


# ---- both sides ---------------------------------------------------------------------------------


def made(k, name, **more):
    args, kwargs, _ = LAYERS[name]
    args = args(k) if callable(args) else args
    return getattr(k.layers, name)(*args, **{**kwargs, **more})


def arrays(name):
    """Arguments of the call: numpy arrays, in lists where one argument is a list."""
    rng = np.random.default_rng(0)

    def array(spec):
        if isinstance(spec, np.ndarray):
            return spec
        if isinstance(spec, list):
            return [array(each) for each in spec]
        return rng.uniform(size=spec).astype("float32")

    spec = LAYERS[name][2]
    several = isinstance(spec, tuple) and not isinstance(spec[0], int)
    return [array(each) for each in spec] if several else [array(spec)]


def called(layer, args, mask=None, training=False):
    """Outputs, by default in inference; the first input carries `mask`, or each of a list does."""

    def tensor(a):
        t = torch.tensor(a) if a.dtype.kind in "biuf" else a
        if mask is not None:
            t._keras_mask = torch.tensor(mask)
        return t

    args = [[tensor(b) for b in a] if isinstance(a, list) else tensor(a) for a in args]
    mode = {} if type(layer).__name__ == "StackedRNNCells" else {"training": training}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return layer(*args, **mode)


def both(name, args=None, mask=None, **more):
    """(layer, outputs) of Keras and of ours, with the same weights."""
    keras.backend.clear_session(free_memory=False)
    reset_names()
    args = arrays(name) if args is None else args
    sides = [made(k, name, **more) for k in (keras, OURS)]
    for side in sides:
        called(side, args)
    check_weights(*sides)
    return [(side, keras.tree.flatten(called(side, args, mask))) for side in sides]


def numbers(tensor):
    tensor = torch.as_tensor(tensor)
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


# ---- what `check` compares ----------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(LIVE - OTHERWISE))
def test_as_keras(name):
    kinds = {"modes": (False,)} | AS_KERAS.get(name, {})
    check(lambda k: made(k, name), *arrays(name), **kinds)


# ---- dtype policies -----------------------------------------------------------------------------

POLICIES = ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"]
# What Keras on torch has no kernel for on a CPU; ours are in the tables of the families.
NO_HALF = {"AveragePooling3D", *(f"STFTSpectrogram-{n}bfloat16" for n in ("", "mixed_"))}
START = {"recurrent_initializer": "zeros"}  # an orthogonal one is not to be had in half precision
HALF = {name: START for name in LAYERS if "LSTM" in name or "GRU" in name or "Simple" in name}


HALF_ROWS = [
    (name, policy)
    for name in sorted(LIVE - {"Pipeline"})
    for policy in POLICIES
    if not NO_HALF & {name, f"{name}-{policy}"}
]


@pytest.mark.parametrize(("name", "policy"), HALF_ROWS)
def test_policies(name, policy):
    (theirs, expected), (mine, found) = both(name, dtype=policy, **HALF.get(name, {}))
    assert mine.dtype_policy.name == theirs.dtype_policy.name
    assert mine.compute_dtype == theirs.compute_dtype
    for v, w in zip(theirs.weights, mine.weights, strict=True):
        assert str(w.dtype).removeprefix("torch.") == v.dtype, w.path
    if name in OTHERWISE or (name == CLAHE and policy == "float16"):  # steps of 1/255 differ
        return
    for a, b in zip(expected, found, strict=True):
        assert b.dtype == a.dtype
        tolerance = 5e-2 if "bfloat16" in policy else 1e-2
        np.testing.assert_allclose(numbers(b), numbers(a), rtol=tolerance, atol=tolerance)
    if name in ("TorchModuleWrapper", "TimeDistributed"):  # it says its own dtype, as Keras's does
        return
    symbols = [
        _tree(lambda a: layers.Input(a.shape[1:], dtype=str(a.dtype)), a) for a in arrays(name)
    ]
    outputs = keras.tree.flatten(made(OURS, name, dtype=policy, **HALF.get(name, {}))(*symbols))
    kinds = [str(b.dtype).removeprefix("torch.") for b in found]
    assert [y.dtype for y in outputs] == kinds


def wide(k):
    """Layers of a mixed policy with one of float32 in them, and what they are called on."""

    class Inside(k.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.head = k.layers.Dense(2, dtype="float32")

        def call(self, x):
            return k.ops.softmax(self.head(x))

    class Own(k.layers.Layer):
        def call(self, x):
            return k.ops.softmax(x * 2)

    inner = [k.layers.Dense(3), k.layers.Dense(2, dtype="float32")]
    return {
        "inside": Inside(),
        "inside one of float32": Inside(dtype="float32"),
        "own": Own(),
        "own of float32": Own(dtype="float32"),
        "activation": k.layers.Activation("softmax", dtype="float32"),
        "model": k.Sequential(inner),
        "model and more": k.Sequential([*inner, k.layers.Dense(2)]),
    }


@pytest.mark.parametrize("name", wide(lightkeras))
def test_a_layer_of_float32_in_a_mixed_model(name):
    kinds = []
    for k in (keras, lightkeras):
        k.config.set_dtype_policy("mixed_float16")
        try:
            model = k.Sequential([k.Input((3,)), k.layers.Dense(4), wide(k)[name]])
            x = np.ones((2, 3), "float32")
            found = model(torch.tensor(x)).dtype, model.outputs[0].dtype, model.predict(x).dtype
            kinds.append([str(d).removeprefix("torch.") for d in found])
        finally:
            k.config.set_dtype_policy("float32")
    assert kinds[1] == kinds[0]


# ---- data formats -------------------------------------------------------------------------------


def formatted(k):
    """Classes with an argument `data_format`."""
    return [
        n for n in LAYERS if "data_format" in inspect.signature(getattr(k.layers, n)).parameters
    ]


@pytest.mark.parametrize("name", formatted(OURS))
def test_data_formats(name):
    (x,) = arrays(name)
    axis = 2 if "ConvLSTM" in name else 1
    first = np.ascontiguousarray(np.moveaxis(x, -1, axis))
    (theirs, expected), (mine, found) = both(name, [first], data_format="channels_first")
    assert mine.data_format == theirs.data_format == "channels_first"
    if name not in OTHERWISE:
        _close(found[0], expected[0], name, 1e-5, CLOSE.get(name, 1e-5))
    last = made(OURS, name, data_format="channels_last")
    y = called(last, [x])
    last.set_weights(mine.get_weights())
    y = numbers(called(last, [x]))
    y = np.moveaxis(y, -1, axis - x.ndim + y.ndim) if y.ndim > 2 else y
    _close(found[0], y, f"{name}: the other format", 1e-5, 1e-5)


# ---- masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(LIVE))
def test_masks(name):
    args = arrays(name)
    first = args[0][0] if isinstance(args[0], list) else args[0]
    mask = np.ones(first.shape if name == "Softmax" else first.shape[:2], bool)
    mask[0, 1:] = False
    (theirs, expected), (mine, found) = both(name, mask=mask)
    if name != "Pipeline":  # Keras's passes the masks on, and says that it supports none
        assert mine.supports_masking == theirs.supports_masking
    for a, b in zip(expected, found, strict=True):
        mine_mask, their_mask = (getattr(t, "_keras_mask", None) for t in (b, a))
        if name not in OTHERWISE:
            _close(b, a, name, 1e-5, CLOSE.get(name, 1e-5))
        if theirs.supports_masking:
            assert (mine_mask is None) == (their_mask is None)
        else:  # what a layer returns as it came has its mask still, there oftener
            assert mine_mask is None or their_mask is not None
        if mine_mask is not None:
            np.testing.assert_array_equal(numbers(mine_mask), numbers(their_mask))


# ---- wrong arguments ----------------------------------------------------------------------------


class Nothing:
    """No argument's value."""


JUNK = {
    "text": "x",
    "negative": -1,
    "fraction": 2.5,
    "none": None,
    "nan": float("nan"),
    "list": [],
    "flag": True,
    "class": Nothing,
}
BASE = ("trainable", "name", "dtype", "autocast", "activity_regularizer")
OWN_CODE = {
    "Lambda",
    "TorchModuleWrapper",
}  # what it is given is called: the error is that function's


def arguments(cls):
    found = inspect.signature(cls).parameters.values()
    return {p.name for p in found if p.kind is p.POSITIONAL_OR_KEYWORD or p.kind is p.KEYWORD_ONLY}


def is_ours(error):
    """A sentence of ours, or that the file of a vocabulary is not there."""
    if isinstance(error, RuntimeError):
        return "no vocabulary yet" in str(error)
    kinds = (ValueError, TypeError)
    return isinstance(error, FileNotFoundError) or (
        isinstance(error, kinds) and (raised_by_us(error) or "positional argument" in str(error))
    )


def tried(action):
    """None, or the error where it is none of ours."""
    try:
        action()
    except Exception as error:
        return None if is_ours(error) else error


@pytest.mark.parametrize("name", sorted(LAYERS.keys() - OWN_CODE))
@pytest.mark.filterwarnings("ignore")
def test_junk_is_taken_or_refused_in_a_sentence(name):
    args, kwargs, _ = LAYERS[name]
    cls = getattr(layers, name)
    given, wrong = arrays(name), {}
    for argument in sorted({*arguments(cls), *BASE}):
        for kind, junk in JUNK.items():
            first = args(OURS) if callable(args) else args
            full = dict(zip(inspect.signature(cls).parameters, first, strict=False)) | kwargs
            for training in (False, True):
                call = lambda: called(cls(**{**full, argument: junk}), given, training=training)  # noqa: B023
                wrong[f"{name}({argument}=<{kind}>), training={training}"] = tried(call)
    assert {k: v for k, v in wrong.items() if v is not None} == {}


INPUTS = {
    "no axis": torch.tensor(1.0),
    **{f"{rank} axes": torch.rand(*(2, 3, 4, 5, 6, 7)[:rank]) for rank in range(1, 7)},
    "no rows": torch.rand(0, 4),
    "whole numbers": torch.ones(2, 3, dtype=torch.int64),
    "complex": torch.ones(2, 3, dtype=torch.complex64),
    "None": None,
    "text": "x",
    "number": 3,
    "list": [],
    "two": [torch.rand(2, 3), torch.rand(2, 3, 4)],
    "dict": {"a": torch.rand(2, 3)},
    "texts": np.array([["a", "b"]]),
    "symbol": layers.Input((3,)),
}


@pytest.mark.parametrize("name", sorted(LAYERS.keys() - OWN_CODE))
@pytest.mark.filterwarnings("ignore")
def test_inputs_are_taken_or_refused_in_a_sentence(name):
    wrong = {}
    built = made(OURS, name)
    called(built, arrays(name))
    for kind, x in INPUTS.items():
        if (name, kind) == ("StackedRNNCells", "symbol"):
            continue  # cells are called by RNN
        wrong[f"new {name} on {kind}"] = tried(lambda: made(OURS, name)(x))  # noqa: B023
        wrong[f"built {name} on {kind}"] = tried(lambda: built(x))  # noqa: B023
    assert {k: v for k, v in wrong.items() if v is not None} == {}
