"""Convolutions, pooling, resizing against the installed Keras; memory formats; our refusals."""

import copy
import itertools
import pickle
import re
import sys
import warnings

import keras
import numpy as np
import pytest
import torch
from _layers import check, check_signature

import lightkeras
from lightkeras import layers, ops
from lightkeras._spatial import _crops, same_padding

SHAPES = {1: (2, 9, 4), 2: (2, 7, 8, 4), 3: (2, 5, 4, 6, 4)}
UNKNOWN = {1: [(None, None, 4)], 2: [(None, None, None, 4)], 3: [(None,) * 4 + (4,)]}


def first(shape):
    """A channels-last shape with the channels second."""
    return (shape[0], shape[-1], *shape[1:-1])


def compare(name, rank, *args, shape=None, unknown=None, **kwargs):
    """The layer `name` made with `args` and `kwargs`, Keras's and ours."""
    shape, unknown = shape or SHAPES[rank], UNKNOWN[rank] if unknown is None else unknown
    if kwargs.get("data_format") == "channels_first":
        shape, unknown = first(shape), [first(s) for s in unknown]
    return check(
        lambda k: getattr(k.layers, name)(*args, **kwargs), shape, unknown=unknown, atol=2e-5
    )


# ---- convolutions -------------------------------------------------------------------------------

CONV = [
    (f"Conv{rank}D", rank, dict(filters=6, kernel_size=size, **more))
    for rank in (1, 2, 3)
    for size, more in (
        (3, {}),
        (2, dict(padding="same")),
        (3, dict(padding="same", strides=2)),
        (3, dict(padding="SAME", dilation_rate=2, use_bias=False)),
        (1, dict(strides=2, activation="relu", groups=2)),
        (2, dict(data_format="channels_first", padding="same", strides=2)),
    )
]
CONV += [
    ("Conv1D", 1, dict(filters=3, kernel_size=3, padding="causal")),
    ("Conv1D", 1, dict(filters=3, kernel_size=2, padding="causal", strides=2)),
    ("Conv1D", 1, dict(filters=3, kernel_size=3, padding="causal", dilation_rate=2)),
    ("Conv1D", 1, dict(filters=3, kernel_size=[4], strides=[3], padding="same")),
    ("Conv2D", 2, dict(filters=3, kernel_size=[3, 3], padding="same")),
    ("Conv2D", 2, dict(filters=3, kernel_size=(2, 5), strides=(3, 1), padding="same")),
    ("Conv2D", 2, dict(filters=3, kernel_size=(4, 2), dilation_rate=(1, 3), padding="same")),
    ("Conv2D", 2, dict(filters=4, kernel_size=3, groups=4, data_format="channels_first")),
]
TRANSPOSED = [
    (f"Conv{rank}DTranspose", rank, dict(filters=3, kernel_size=size, **more))
    for rank in (1, 2, 3)
    for size, more in (
        (3, {}),
        (3, dict(padding="same", strides=2)),
        (2, dict(strides=3)),
        (3, dict(strides=2, padding="same", output_padding=1)),
        (2, dict(dilation_rate=2, padding="same", data_format="channels_first")),
    )
]
TRANSPOSED += [
    ("Conv2DTranspose", 2, dict(filters=3, kernel_size=(4, 5), strides=(2, 4), padding="same")),
    (
        "Conv2DTranspose",
        2,
        dict(filters=3, kernel_size=5, strides=2, padding="same", use_bias=False),
    ),
    ("Conv2DTranspose", 2, dict(filters=3, kernel_size=1, strides=3, padding="same")),
    ("Conv2DTranspose", 2, dict(filters=3, kernel_size=3, strides=3, output_padding=2)),
]
DEPTHWISE = [
    (f"DepthwiseConv{rank}D", rank, dict(kernel_size=size, **more))
    for rank in (1, 2)
    for size, more in (
        (3, {}),
        (3, dict(depth_multiplier=2, padding="same", strides=2)),
        (2, dict(dilation_rate=2, padding="same", use_bias=False, activation="tanh")),
        (2, dict(depth_multiplier=3, data_format="channels_first")),
    )
]
SEPARABLE = [
    (f"SeparableConv{rank}D", rank, dict(filters=5, kernel_size=size, **more))
    for rank in (1, 2)
    for size, more in (
        (3, {}),
        (3, dict(depth_multiplier=2, padding="same", strides=2, activation="relu")),
        (2, dict(dilation_rate=2, padding="same", use_bias=False)),
        (2, dict(depth_multiplier=3, data_format="channels_first")),
    )
]
ALL = CONV + TRANSPOSED + DEPTHWISE + SEPARABLE


def label(value):
    return value if isinstance(value, str) else ",".join(f"{k}={v}" for k, v in value.items())


@pytest.mark.parametrize(
    ("name", "rank", "kwargs"), ALL, ids=[f"{n}-{label(kw)}" for n, _, kw in ALL]
)
def test_convolutions(name, rank, kwargs):
    compare(name, rank, **kwargs)


@pytest.mark.parametrize(
    ("name", "slots"),
    [
        ("Conv2D", ["kernel"]),
        ("Conv2DTranspose", ["kernel"]),
        ("DepthwiseConv2D", ["depthwise"]),
        ("SeparableConv1D", ["depthwise", "pointwise"]),
    ],
)
def test_regularizers_and_constraints_see_the_layout_of_keras(name, slots):
    rank = 2 if "2D" in name else 1

    def make(k):
        # Penalties and norms that depend on which axis is which.
        slotted = {}
        for slot in slots:
            slotted[f"{slot}_regularizer"] = k.regularizers.OrthogonalRegularizer(0.1)
            slotted[f"{slot}_constraint"] = k.constraints.MaxNorm(0.1, axis=[0, 1])
            slotted[f"{slot}_initializer"] = k.initializers.VarianceScaling(2.0, mode="fan_out")
        if rank == 2:  # the orthogonal penalty takes matrices
            slotted = {s: v for s, v in slotted.items() if "regularizer" not in s}
            slotted |= {f"{slot}_regularizer": k.regularizers.L1L2(0.1, 0.2) for slot in slots}
        else:
            slotted |= {f"{slot}_regularizer": k.regularizers.L2(0.2) for slot in slots}
        filters = () if name.startswith("Depthwise") else (4,)
        layer = getattr(k.layers, name)
        return layer(*filters, 3, bias_regularizer="l2", bias_constraint="non_neg", **slotted)

    check(make, SHAPES[rank])


@pytest.mark.parametrize("name", sorted({n for n, _, _ in ALL}))
def test_signatures(name):
    without = () if "Transpose" in name or "wise" in name or "Sep" in name else LORA
    check_signature(name, without)


LORA = ("lora_rank", "lora_alpha")


def test_widest_outputs_are_cut_as_keras_cuts_them():
    from keras.src.backend.common import backend_utils

    theirs = backend_utils._convert_conv_transpose_padding_args_from_keras_to_jax
    for padding, kernel, stride in itertools.product(("valid", "same"), range(1, 9), range(1, 9)):
        for extra in (None, *range(stride)):
            left, right = theirs(kernel, stride, 1, padding, extra)
            expected = (kernel - 1 - left, kernel - 1 - right)
            assert _crops(kernel, stride, extra, padding) == expected


def test_activity_regularizer():
    check(
        lambda k: k.layers.Conv2D(3, 2, activity_regularizer=k.regularizers.L1(0.5)),
        SHAPES[2],
    )


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float64", "float16"])
def test_any_numbers_go_into_a_convolution(dtype):
    x = np.random.default_rng(0).integers(0, 255, (2, 6, 6, 1)).astype(dtype)
    layer = layers.Conv2D(3, 3)
    expected = layer(x.astype("float32"))
    assert torch.equal(layer(x), expected)
    assert layer(x).dtype is torch.float32


# ---- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Conv1D(4, 3),
        lambda: layers.Conv2D(4, 3, padding="same"),
        lambda: layers.Conv2D(4, 3, strides=2, padding="same"),
        lambda: layers.Conv3D(4, 3),
        lambda: layers.Conv2DTranspose(4, 4, strides=2, padding="same"),
        lambda: layers.Conv1DTranspose(4, 2),
        lambda: layers.DepthwiseConv2D(3),
        lambda: layers.SeparableConv2D(4, 3),
        lambda: layers.MaxPooling1D(),
        lambda: layers.MaxPooling2D(padding="same"),
        lambda: layers.MaxPooling3D(),
        lambda: layers.AveragePooling1D(2),
        lambda: layers.AveragePooling2D(2),
        lambda: layers.UpSampling1D(),
        lambda: layers.UpSampling2D(),
        lambda: layers.UpSampling2D(interpolation="bilinear"),
        lambda: layers.UpSampling3D(),
        lambda: layers.ZeroPadding2D(),
        lambda: layers.BatchNormalization(),
        lambda: layers.GroupNormalization(2),
    ],
)
def test_channels_last_is_a_memory_format(make):
    """What goes in contiguous comes out contiguous: no kernel turned the axes around on its way."""
    layer = make()
    rank = getattr(layer, "rank", 1 if "1D" in type(layer).__name__ else 2)
    x = torch.randn(SHAPES[rank])
    assert layer(x).is_contiguous()
    assert layer(x, training=True).is_contiguous()


def test_two_convolutions_hand_over_channels_last_without_a_copy(monkeypatch):
    seen = []

    def spy(x, *args):
        seen.append(x)
        return torch.nn.functional.conv2d(x, *args)

    monkeypatch.setattr(layers.Conv2D, "_run", staticmethod(spy))
    one, two = layers.Conv2D(4, 3), layers.Conv2D(5, 3)
    x = torch.randn(2, 8, 8, 3)
    y = one(x)
    two(y)
    assert seen[0].data_ptr() == x.data_ptr()
    assert seen[1].data_ptr() == y.data_ptr()
    assert all(t.is_contiguous(memory_format=torch.channels_last) for t in seen)


def test_parameters_are_those_of_torch():
    ours, theirs = layers.Conv2D(6, (3, 2)), torch.nn.Conv2d(4, 6, (3, 2))
    x = torch.randn(2, 8, 8, 4)
    ours.build(x.shape)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), theirs(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
    assert ours.kernel.shape == (3, 2, 4, 6)

    ours, theirs = layers.Conv1DTranspose(6, 3), torch.nn.ConvTranspose1d(4, 6, 3)
    x = torch.randn(2, 8, 4)
    ours.build(x.shape)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), theirs(x.permute(0, 2, 1)).permute(0, 2, 1))

    ours, theirs = layers.DepthwiseConv2D(3), torch.nn.Conv2d(4, 4, 3, groups=4)
    x = torch.randn(2, 8, 8, 4)
    ours.build(x.shape)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), theirs(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.SeparableConv2D(3, 2, depth_multiplier=2),
        lambda: layers.DepthwiseConv1D(2, depth_multiplier=3),
        lambda: layers.Conv3D(3, 2),
    ],
)
@pytest.mark.parametrize("via", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(make, via):
    layer = make()
    x = torch.randn(SHAPES[layer.rank])
    y = layer(x)
    other = via(layer)
    assert torch.equal(other(x), y)
    for mine, its in zip(layer.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    other.set_weights([w * 2 for w in layer.get_weights()])
    assert not torch.equal(other(x), y)
    assert torch.equal(layer(x), y)


def test_the_kernel_is_a_live_view():
    layer = layers.DepthwiseConv2D(2, depth_multiplier=2)
    layer.build((None, 5, 5, 3))
    layer.kernel.assign(np.ones((2, 2, 3, 2), "float32"))
    assert (layer.weight == 1).all()
    layer.kernel = np.zeros((2, 2, 3, 2), "float32")
    assert (layer.weight == 0).all()
    assert layers.SeparableConv1D(2, 2).pointwise_kernel is None


def calls(fn):
    """Number of Python functions that `fn()` enters."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        count += event == "call"

    sys.setprofile(trace)
    try:
        fn()
    finally:
        sys.setprofile(None)
    return count - 1


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (lambda: layers.Conv2D(4, 3), 10),
        (lambda: layers.Conv2D(4, 3, padding="same", activation="relu"), 10),
        (lambda: layers.Conv2D(4, 3, strides=2, padding="same"), 16),
        (lambda: layers.MaxPooling2D(), 10),
        (lambda: layers.MaxPooling2D(padding="same"), 16),
        (lambda: layers.GlobalAveragePooling2D(), 10),
        (lambda: layers.BatchNormalization(), 10),
        (lambda: layers.LayerNormalization(), 10),
    ],
)
def test_few_python_calls(make, most):
    layer, x = make(), torch.randn(SHAPES[2])
    layer(x)
    with torch.no_grad():
        assert calls(lambda: layer(x)) <= most


# ---- pooling -------------------------------------------------------------------------------------

POOL = [
    (f"{kind}Pooling{rank}D", rank, dict(pool_size=size, **more))
    for kind in ("Max", "Average")
    for rank in (1, 2, 3)
    for size, more in (
        (2, {}),
        (2, dict(padding="same")),
        (3, dict(padding="same", strides=2)),
        (2, dict(padding="same", strides=1)),
        (3, dict(strides=1, padding="same")),
        (2, dict(data_format="channels_first", strides=1)),
        (3, dict(data_format="channels_first", padding="same")),
    )
]
POOL += [
    ("MaxPooling2D", 2, dict(pool_size=[2, 2], padding="same")),
    ("MaxPooling2D", 2, {}),
    ("MaxPooling2D", 2, dict(pool_size=(4, 2), strides=(1, 2), padding="same")),
    ("MaxPooling2D", 2, dict(pool_size=(3, 5), strides=(2, 3), padding="same")),
    ("MaxPooling2D", 2, dict(pool_size=1, strides=3, padding="same")),
    ("AveragePooling2D", 2, dict(pool_size=(4, 3), strides=(1, 2), padding="same")),
    ("AveragePooling2D", 2, dict(pool_size=1, strides=3, padding="same")),
]


@pytest.mark.parametrize(
    ("name", "rank", "kwargs"), POOL, ids=[f"{n}-{label(kw)}" for n, _, kw in POOL]
)
def test_pooling(name, rank, kwargs):
    compare(name, rank, **kwargs)


def test_padding_of_every_size():
    """All small sizes, windows and strides, with "same" in both families."""
    for size, window, stride in itertools.product(range(1, 9), range(1, 6), range(1, 6)):
        x = torch.randn(2, size, 3)
        pairs = [(kind, (window, stride, "same")) for kind in ("MaxPooling1D", "AveragePooling1D")]
        pairs += [("Conv1D", (2, window, stride, "same"))]
        for kind, args in pairs:
            mine, theirs = getattr(layers, kind)(*args), getattr(keras.layers, kind)(*args)
            theirs.build(x.shape)
            mine.build(x.shape)
            mine.set_weights([keras.ops.convert_to_numpy(w) for w in theirs.weights])
            what = f"{kind} {size} {window} {stride}"
            torch.testing.assert_close(mine(x), theirs(x), msg=what, rtol=1e-5, atol=1e-5)
        [(before, after)] = same_padding([size], [window], [stride])
        assert 0 <= after - before <= 1


GLOBAL = [
    (f"Global{kind}Pooling{rank}D", rank, kwargs)
    for kind in ("Max", "Average")
    for rank in (1, 2, 3)
    for kwargs in ({}, dict(keepdims=True, data_format="channels_first"))
]
ADAPTIVE = [
    (f"Adaptive{kind}Pooling{rank}D", rank, dict(output_size=size, **more))
    for kind in ("Max", "Average")
    for rank in (1, 2, 3)
    for size, more in ((2, {}), (3, dict(data_format="channels_first")))
]


@pytest.mark.parametrize(
    ("name", "rank", "kwargs"),
    GLOBAL + ADAPTIVE,
    ids=[f"{n}-{label(kw)}" for n, _, kw in GLOBAL + ADAPTIVE],
)
def test_global_and_adaptive_pooling(name, rank, kwargs):
    compare(name, rank, **kwargs)


@pytest.mark.parametrize(
    "kwargs", [{}, dict(keepdims=True), dict(data_format="channels_first", keepdims=True)]
)
def test_masked_steps_do_not_count(kwargs):
    mask = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 1]], dtype=bool)
    shape = (2, 4, 5) if "data_format" in kwargs else (2, 5, 4)
    check(lambda k: k.layers.GlobalAveragePooling1D(**kwargs), shape, mask=mask)


@pytest.mark.parametrize("name", sorted({n for n, _, _ in POOL + GLOBAL + ADAPTIVE}))
def test_signatures_of_pooling(name):
    check_signature(name)


# ---- up-sampling, padding, cropping --------------------------------------------------------------

RESIZING = [
    ("UpSampling1D", 1, {}),
    ("UpSampling1D", 1, dict(size=3)),
    ("UpSampling2D", 2, {}),
    ("UpSampling2D", 2, dict(size=[2, 3])),
    ("UpSampling2D", 2, dict(size=(3, 1), interpolation="bilinear")),
    ("UpSampling2D", 2, dict(interpolation="bicubic", data_format="channels_first")),
    ("UpSampling3D", 3, dict(size=(1, 2, 3))),
    ("UpSampling3D", 3, dict(data_format="channels_first")),
    ("ZeroPadding1D", 1, {}),
    ("ZeroPadding1D", 1, dict(padding=(0, 2))),
    ("ZeroPadding1D", 1, dict(padding=[1, 3], data_format="channels_first")),
    ("ZeroPadding2D", 2, {}),
    ("ZeroPadding2D", 2, dict(padding=2)),
    ("ZeroPadding2D", 2, dict(padding=(0, 3))),
    ("ZeroPadding2D", 2, dict(padding=((1, 0), (2, 3)), data_format="channels_first")),
    ("ZeroPadding3D", 3, {}),
    ("ZeroPadding3D", 3, dict(padding=((1, 0), (2, 3), (0, 0)), data_format="channels_first")),
    ("Cropping1D", 1, {}),
    ("Cropping1D", 1, dict(cropping=(0, 2))),
    ("Cropping1D", 1, dict(cropping=2)),
    ("Cropping2D", 2, {}),
    ("Cropping2D", 2, dict(cropping=(1, 2))),
    ("Cropping2D", 2, dict(cropping=((1, 0), (2, 3)), data_format="channels_first")),
    ("Cropping3D", 3, {}),
    ("Cropping3D", 3, dict(cropping=((1, 0), (2, 1), (0, 3)), data_format="channels_first")),
]


@pytest.mark.parametrize(
    ("name", "rank", "kwargs"), RESIZING, ids=[f"{n}-{label(kw)}" for n, _, kw in RESIZING]
)
def test_resizing(name, rank, kwargs):
    compare(name, rank, **kwargs)


@pytest.mark.parametrize("name", sorted({n for n, _, _ in RESIZING}))
def test_signatures_of_resizing(name):
    check_signature(name)


@pytest.mark.parametrize("size", [41, 47, 123])
def test_repeating_is_exact_where_torch_rounds(size):
    x = torch.arange(40.0).reshape(1, 40, 1)
    assert torch.equal(layers.UpSampling1D(size)(x), x.repeat_interleave(size, 1))


def test_padding_and_cropping_keep_integers():
    x = torch.ones(1, 3, 3, 1, dtype=torch.uint8)
    assert layers.ZeroPadding2D()(x).dtype is torch.uint8
    assert layers.Cropping2D(1)(x).dtype is torch.uint8


# ---- names ---------------------------------------------------------------------------------------

ALIASES = [
    n for n in dir(keras.layers) if any(w in n for w in ("Conv", "Pool", "Pad", "Crop", "Up"))
]


@pytest.mark.parametrize("name", [n for n in ALIASES if "LSTM" not in n and "Random" not in n])
def test_every_name_of_keras_is_there(name):
    if name in ("CenterCrop",):  # preprocessing
        return
    assert getattr(layers, name).__name__ == getattr(keras.layers, name).__name__


def test_the_default_layout_can_be_set():
    from lightkeras import config

    config.set_image_data_format("channels_first")
    try:
        assert layers.MaxPooling2D()(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 4, 4)
    finally:
        config.set_image_data_format("channels_last")


def test_old_spellings():
    with pytest.warns(UserWarning, match="nb_filter"):
        layer = layers.Convolution2D(nb_filter=4, kernel_size=3, border_mode="same", init="uniform")
    assert (layer.filters, layer.padding) == (4, "same")
    assert type(layer.kernel_initializer).__name__ == "RandomUniform"


# ---- refusals ------------------------------------------------------------------------------------

REFUSED = [
    (lambda: layers.Conv2D(0, 3), "filters=0", "at least 1"),
    (lambda: layers.Conv2D(True, 3), "filters=True", "whole number"),
    (lambda: layers.Conv2D(2.5, 3), "filters=2.5", "whole number"),
    (lambda: layers.Conv2D(4, (3, 3, 3)), r"kernel_size=\(3, 3, 3\)", "2 of them"),
    (lambda: layers.Conv2D(4, 0), "kernel_size=0", "at least 1"),
    (lambda: layers.Conv2D(4, True), "kernel_size=True", "whole number"),
    (lambda: layers.Conv2D(4, "3"), "kernel_size='3'", "whole number"),
    (lambda: layers.Conv2D(4, 2.0), "kernel_size=2.0", "whole number"),
    (lambda: layers.Conv2D(4, 3, strides=-1), "strides=-1", "at least 1"),
    (lambda: layers.Conv2D(4, 3, padding="smae"), "'smae'", "Did you mean 'same'"),
    (lambda: layers.Conv2D(4, 3, padding="causal"), "'causal'", "'valid', 'same'"),
    (lambda: layers.Conv2D(4, 3, data_format="channel_last"), "'channel_last'", "channels_last"),
    (lambda: layers.Conv2D(4, 3, strides=2, dilation_rate=2), "dilation_rate", "Leave one"),
    (lambda: layers.Conv2DTranspose(4, 3, strides=2, dilation_rate=2), "dilation", "Leave one"),
    (
        lambda: layers.Conv2DTranspose(4, 3, strides=2, output_padding=2),
        "output_padding=2",
        "smaller",
    ),
    (lambda: layers.Conv2D(6, 3, groups=4), "filters=6 and groups=4", "filters=8"),
    (lambda: layers.Conv2D(6, 3, groups=3)(torch.zeros(1, 5, 5, 4)), "groups=3", "4 channels"),
    (lambda: layers.Conv2D(6, 3)(layers.Input((8, 8, None))), "unknown number", r"Input\(\(None"),
    (lambda: layers.Conv2D(6, 3)(torch.zeros(8, 8, 3)), r"\(8, 8, 3\)", r"x\[..., None\]"),
    (lambda: layers.Conv1D(6, 3)(torch.zeros(4, 8)), r"\(4, 8\)", "3 axes"),
    (lambda: layers.Conv2D(6, 5)(torch.zeros(1, 4, 9, 1)), r"\(5, 5\)", 'padding="same"'),
    (lambda: layers.Conv2D(6, 3, dilation_rate=2)(torch.zeros(1, 4, 9, 1)), r"\(5, 5\)", "same"),
    (lambda: layers.Conv2D(6, 5)(layers.Input((4, 4, 1))), r"\(4, 4\)", 'padding="same"'),
    (lambda: layers.DepthwiseConv2D(5)(torch.zeros(1, 4, 4, 1)), r"\(4, 4\)", 'padding="same"'),
    (lambda: layers.DepthwiseConv2D(3, depth_multiplier=0), "depth_multiplier=0", "at least 1"),
    (lambda: layers.MaxPooling2D(3)(torch.zeros(1, 2, 9, 1)), r"\(3, 3\)", 'padding="same"'),
    (lambda: layers.MaxPooling2D(2)(torch.zeros(2, 9, 1)), r"\(2, 9, 1\)", "4 axes"),
    (lambda: layers.MaxPooling2D(0), "pool_size=0", "at least 1"),
    (lambda: layers.MaxPooling2D(padding="full"), "'full'", "'valid', 'same'"),
    (lambda: layers.GlobalMaxPooling1D()(torch.zeros(2, 9)), r"\(2, 9\)", "3 axes"),
    (lambda: layers.UpSampling1D(0), "size=0", "at least 1"),
    (
        lambda: layers.UpSampling2D(interpolation="bilinaer"),
        "'bilinaer'",
        "Did you mean 'bilinear'",
    ),
    (lambda: layers.ZeroPadding2D((1, 2, 3)), r"padding=\(1, 2, 3\)", "pairs"),
    (lambda: layers.ZeroPadding2D(-1), "padding=-1", "at least 0"),
    (lambda: layers.Cropping1D((2, 2))(torch.zeros(1, 4, 1)), r"cropping=\(2, 2\)", "Crop less"),
    (lambda: layers.Cropping2D(((0, 0), (2, 2)))(torch.zeros(1, 4, 4, 1)), "cropping", "Crop less"),
]


@pytest.mark.parametrize(("make", "what", "hint"), REFUSED, ids=[w for _, w, _ in REFUSED])
def test_refusals_say_what_and_how(make, what, hint):
    with pytest.raises(ValueError, match=what) as error:
        make()
    assert re.search(hint, str(error.value)), str(error.value)
    assert len(str(error.value)) < 400


def test_typos_are_caught():
    with pytest.raises(TypeError, match="Did you mean 'kernel_size'"):
        layers.Conv2D(4, kernal_size=3)
    with pytest.raises(TypeError, match="data_format"):
        layers.Cropping1D(data_format="channels_first")


def test_a_later_input_that_is_too_small_gets_the_same_sentence():
    for layer in (layers.Cropping2D(2), layers.Conv2D(2, 3), layers.MaxPooling2D(3)):
        layer(torch.zeros(1, 8, 8, 1))
        with pytest.raises(ValueError, match=r"\(2, 2\)"):
            layer(torch.zeros(1, 2, 2, 1))
    layer = layers.Conv2D(2, 3)
    layer(torch.zeros(1, 8, 8, 1))
    with pytest.raises(ValueError, match="1 features"):
        layer(torch.zeros(1, 8, 8, 3))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 224, 224), (3, 240, 321)])
def test_channels_first_pictures_in_a_channels_last_layer_get_a_warning(shape):
    with pytest.warns(UserWarning, match='data_format="channels_first"'):
        layers.Conv2D(2, 1)(layers.Input(shape))


@pytest.mark.parametrize(
    "shape",
    [
        (28, 28, 1),
        (3, 3, 3),
        (3, 3, 64),
        (1, 1, 64),
        (1, 4, 4),
        (28, 3, 3),
        (3, 100, 512),
        (1, 26, 32),
    ]
    + [(32, 32, 32), (None, None, 3), (3, None, 64)],
)
def test_feature_maps_get_none(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layers.Conv2D(2, 1)(layers.Input(shape))
        layers.Conv2D(2, 1, data_format="channels_first")(layers.Input((1, 28, 28)))


# ---- a convolution of one's own -----------------------------------------------------------------


def standardized(k, rank):
    """A convolution whose kernels have mean 0 and variance 1."""
    base, o = getattr(k.layers, f"Conv{rank}D"), keras.ops if k is keras else ops

    class Standardized(base):
        def convolution_op(self, inputs, kernel):
            mean, variance = o.moments(kernel, tuple(range(rank + 1)), keepdims=True)
            return super().convolution_op(inputs, (kernel - mean) / o.sqrt(variance + 1e-5))

    return Standardized


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize(
    "kwargs", [{"padding": "same", "activation": "relu"}, {"use_bias": False, "strides": 2}]
)
def test_an_operation_of_ones_own(rank, data_format, kwargs):
    kwargs = {**kwargs, "data_format": data_format, "bias_initializer": "ones"}
    check(lambda k: standardized(k, rank)(4, 3, **kwargs), (2, *(6,) * (rank + 1)), config=False)


def test_an_operation_that_was_not_overridden_is_the_same():
    layer, x = layers.Conv2D(3, 2, use_bias=False, padding="same"), torch.randn(2, 5, 6, 4)
    y = layer(x)
    assert torch.equal(layer.convolution_op(x, layer.kernel), y)
    assert type(layer).call is layers.Conv3D.call


def test_an_operation_of_ones_own_in_one_axis():
    """Keras's Conv1D passes it over."""
    layer = standardized(lightkeras, 1)(3, 2, padding="causal", use_bias=False)
    x = torch.randn(2, 5, 4)
    y = layer(x)
    plain = layers.Conv1D(3, 2, padding="causal", use_bias=False)
    plain.build(x.shape)
    kernel = layer.kernel.value
    mean, variance = kernel.mean((0, 1)), kernel.var((0, 1), correction=0)
    plain.set_weights([(kernel - mean) / (variance + 1e-5).sqrt()])
    torch.testing.assert_close(plain(x), y)
