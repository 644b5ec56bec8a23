"""The mathematical ops against the installed Keras."""

import keras
import numpy as np
import pytest
import torch
from _ops import check, numbers, same_signature

from lightkeras import KerasTensor, ops
from lightkeras.ops import _math

NAMES = [
    name
    for name in dir(keras.ops)
    if getattr(getattr(keras.ops, name), "__module__", "") == "keras.src.ops.math"
]
PAIR = (numbers(2, 3, 8), numbers(2, 3, 8, seed=1))
IDS = np.array([0, 2, 2, 0, 4, 1], "int32")
STRAY = np.array([0, -1, 2, 0, 9, 1], "int32")


def test_names_and_signatures():
    assert set(NAMES) == set(_math.__all__)
    for name in NAMES:
        same_signature(name)


ONE = [
    ("rsqrt", numbers(2, 5, low=0.1, high=3.0)),
    ("rsqrt", numbers(3, low=0.5, dtype="float64", high=3.0)),
    ("erf", numbers(4, 3, low=-3, high=3)),
    ("erfc", numbers(4, 3, low=-3, high=3)),
    ("erfc", numbers(2, 3, low=5, high=9)),
    ("erfinv", numbers(4, 3, low=-0.9, high=0.9)),
    ("erfinv", numbers(2, 5, low=-0.9, high=0.9, dtype="float64")),
    ("erf", numbers(2, 3, dtype="float64")),
    ("logsumexp", numbers(2, 3, 4)),
    ("logsumexp", numbers(2, 3, 4, low=80, high=200)),
    ("logdet", np.eye(3, dtype="float32") * 2 + numbers(5, 3, 3) * 0.1),
    ("logdet", np.eye(4, dtype="float64") + numbers(2, 4, 4) * 0.1),
    ("view_as_complex", numbers(2, 3, 2)),
    ("view_as_complex", numbers(4, 2)),
    ("rfft", numbers(2, 3, 8)),
    ("rfft", numbers(4, 7)),
]


@pytest.mark.parametrize(("name", "x"), ONE)
def test_functions_of_one_tensor(name, x):
    check(name, x)


@pytest.mark.parametrize("kwargs", [{"axis": 1}, {"axis": (0, 2), "keepdims": True}, {"axis": -1}])
def test_logsumexp(kwargs):
    check("logsumexp", numbers(2, 3, 4), **kwargs)


@pytest.mark.parametrize("shape", [(3,), (2, 4)])
def test_view_as_real(shape):
    check("view_as_real", numbers(*shape) + 1j * numbers(*shape, seed=1), gradients=False)
    assert ops.view_as_real(numbers(3))[:, 1].tolist() == [0, 0, 0]  # Keras stops here


@pytest.mark.parametrize("shape", [(4, 10), (2, 3, 7)])
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_top_k(shape, dtype):
    x = numbers(*shape, low=-9, high=9, dtype=dtype)
    if dtype == "int32":  # no ties
        x = x * 100 + np.arange(shape[-1], dtype=dtype)
    check("top_k", x, 3, dtypes=False)


def test_top_k_in_any_order_and_too_many():
    values, _ = ops.top_k(numbers(2, 9), 4, sorted=False)
    expected, _ = ops.top_k(numbers(2, 9), 4)
    assert torch.equal(values.sort(descending=True).values, expected)
    with pytest.raises(ValueError, match=r"k=4 and x of shape \(2, 3\)\. .*smaller k"):
        ops.top_k(numbers(2, 3), 4)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_in_top_k(k):
    targets, predictions = np.array([0, 2, 3, 1]), numbers(4, 5)
    predictions[1] = [0.5, 0.5, 0.5, 0.1, 0.5]  # ties
    check("in_top_k", targets, predictions, k, gradients=False)


@pytest.mark.parametrize("name", ["segment_sum", "segment_max", "segment_min", "segment_prod"])
@pytest.mark.parametrize("ids", [IDS, STRAY])
@pytest.mark.parametrize("data", [numbers(6), numbers(6, 2, 3)])
def test_segments(name, ids, data):
    check(name, data, ids, num_segments=6)


@pytest.mark.parametrize("name", ["segment_sum", "segment_max", "segment_min", "segment_prod"])
def test_segments_counted(name):
    check(name, numbers(6, 3), IDS, symbolic=False, gradients=name != "segment_prod")
    check(name, numbers(6, 2, low=1, high=9, dtype="int32"), IDS % 3, symbolic=False)


def test_empty_segments_of_integers():
    x = ops.segment_max([5, 7], [0, 2]), ops.segment_min([5, 7], [0, 2])
    assert [int(t[1]) for t in x] == [-(2**31), 2**31 - 1]


def test_segments_of_unknown_number():
    y = ops.segment_sum(KerasTensor((None, 3)), KerasTensor((None,), "int32"))
    assert y.shape == (None, 3)
    assert (
        y.shape
        == keras.ops.segment_sum(
            keras.KerasTensor((None, 3)), keras.KerasTensor((None,), "int32")
        ).shape
    )
    with pytest.raises(ValueError, match=r"\(6, 3\) and segment_ids of shape \(5,\)"):
        ops.segment_sum(numbers(6, 3), IDS[:5])


@pytest.mark.parametrize(
    ("x", "y"), [(numbers(3, 4), numbers(5, 4)), (numbers(2, 3, 4), numbers(2, 6, 4))]
)
def test_cdist(x, y):
    check("cdist", x, y, symbolic=x.ndim > 2)
    with pytest.raises(ValueError, match=r"cdist\(\) got x of shape .* Rows of the same size"):
        ops.cdist(x, y[..., :-1])


@pytest.mark.parametrize("name", ["fft", "fft2", "ifft2", "irfft"])
def test_fourier_of_pairs(name):
    check(name, PAIR)
    check(name, tuple(p.astype("float64") for p in PAIR))


@pytest.mark.parametrize("length", [6, 8, 11])
def test_fourier_of_a_length(length):
    check("rfft", numbers(2, 8), fft_length=length)
    check("irfft", PAIR, fft_length=length)


@pytest.mark.parametrize("name", ["fft", "fft2", "ifft2", "irfft"])
@pytest.mark.parametrize("x", [numbers(3, 4), (numbers(2, 3), numbers(3, 2)), ([1, 2], [3, 4])])
def test_no_pair(name, x):
    with pytest.raises(ValueError, match=f"{name}.* got no pair of float tensors .* Type {name}"):
        getattr(ops, name)(x)


@pytest.mark.parametrize("shape", [(16,), (2, 16), (2, 3, 17)])
@pytest.mark.parametrize(("length", "stride"), [(4, 2), (5, 3), (8, 8)])
def test_extract_sequences(shape, length, stride):
    check("extract_sequences", numbers(*shape), length, stride, symbolic=len(shape) > 1)


STFT = [
    {"sequence_length": 8, "sequence_stride": 4, "fft_length": 8},
    {"sequence_length": 8, "sequence_stride": 2, "fft_length": 8, "window": "hamming"},
    {"sequence_length": 6, "sequence_stride": 3, "fft_length": 8},
    {"sequence_length": 8, "sequence_stride": 4, "fft_length": 10, "center": False},
    {"sequence_length": 8, "sequence_stride": 4, "fft_length": 8, "window": None},
    {
        "sequence_length": 8,
        "sequence_stride": 4,
        "fft_length": 8,
        "window": np.linspace(1, 2, 8, dtype="float32"),
    },
]


@pytest.mark.parametrize("kwargs", STFT)
@pytest.mark.parametrize("shape", [(32,), (2, 32), (2, 3, 33)])
def test_stft(kwargs, shape):
    window = kwargs.get("window")
    symbolic = len(shape) > 1 and not isinstance(window, np.ndarray)
    check("stft", numbers(*shape), **kwargs, symbolic=symbolic)


@pytest.mark.parametrize("kwargs", STFT)
@pytest.mark.parametrize("length", [None, 24])
@pytest.mark.parametrize("shape", [(2, 9), (2, 3, 9)])
def test_istft(kwargs, length, shape):
    bins = kwargs["fft_length"] // 2 + 1
    x = tuple(numbers(*shape, bins, seed=i) for i in (0, 1))
    symbolic = not isinstance(kwargs.get("window"), np.ndarray)
    check("istft", x, **kwargs, length=length, symbolic=symbolic)


def test_a_signal_comes_back():
    x = numbers(2, 40)
    back = ops.istft(ops.stft(x, 8, 2, 8), 8, 2, 8, length=40)
    np.testing.assert_allclose(back, x, atol=1e-6)


def test_stft_refuses():
    with pytest.raises(TypeError, match=r"dtype torch.int32\. .*ops.cast\(x"):
        ops.stft([1, 2, 3, 4], 2, 1, 2)
    with pytest.raises(ValueError, match="Did you mean 'hann'"):
        ops.stft(numbers(16), 4, 2, 4, window="han")
    with pytest.raises(ValueError, match="sequence_length=8 and fft_length=4"):
        ops.stft(numbers(16), 8, 2, 4)
    with pytest.raises(ValueError, match=r"window of shape \(3,\)\. .*\(4,\)"):
        ops.stft(numbers(16), 4, 2, 4, window=[1.0, 2.0, 3.0])
