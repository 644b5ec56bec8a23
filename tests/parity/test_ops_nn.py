"""ops.nn against the installed Keras."""

import pickle

import keras
import numpy as np
import pytest
import torch
from _ops import check, numbers, same_signature

from lightkeras import KerasTensor, losses, ops
from lightkeras.ops import _activations

NAMES = [name for name in dir(keras.ops.nn) if name[0] != "_"]
FORMATS = ["channels_last", "channels_first"]
SIZES = {1: (9,), 2: (8, 7), 3: (5, 4, 6)}


def test_names_and_signatures():
    assert set(ops.nn.__all__) == set(NAMES)
    for name in NAMES:
        same_signature(f"nn.{name}")
        same_signature(name)
        assert getattr(ops, name) is getattr(ops.nn, name)


# ---- activations ------------------------------------------------------------------------------

X = numbers(4, 6, low=-4, high=4)


# Keras's sparsemax is wrong on torch; test_activations compares ours with its definition.
@pytest.mark.parametrize("name", sorted(set(_activations.__all__) - {"threshold", "sparsemax"}))
@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 8)])
def test_activations(name, shape):
    check(f"nn.{name}", numbers(*shape, low=-8, high=8) + np.float32(0.01))


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("leaky_relu", {"negative_slope": 0.05}),
        ("elu", {"alpha": 0.4}),
        ("celu", {"alpha": 0.4}),
        ("gelu", {"approximate": False}),
        ("squareplus", {"b": 2}),
        ("soft_shrink", {"threshold": 2.0}),
        ("hard_shrink", {"threshold": 2.0}),
        ("threshold", {"threshold": 1.0, "default_value": -7.0}),
        ("threshold", {"threshold": 0.0, "default_value": 2.0}),
        ("softmax", {"axis": 1}),
        ("softmax", {"axis": (1, 2)}),
        ("softmax", {"axis": None}),
        ("log_softmax", {"axis": 1}),
        ("log_softmax", {"axis": None}),
        ("glu", {"axis": 1}),
    ],
)
def test_arguments_of_activations(name, kwargs):
    symbolic = kwargs.get("axis", -1) is not None  # with None, the sum goes over the batch
    check(f"nn.{name}", numbers(4, 6, 8, low=-4, high=4), symbolic=symbolic, **kwargs)


def test_activations_can_be_sent_to_another_process():
    for name in ops.nn.__all__:
        op = getattr(ops, name)
        assert pickle.loads(pickle.dumps(op)) is op


@pytest.mark.parametrize("name", sorted(set(_activations.__all__) - {"threshold"}))
def test_integers(name):
    """Where torch has no kernel for them they become floats (Keras stops there)."""
    op, x = getattr(ops, name), [[-3, 0, 2, 5]]
    y, z = op(x), op(torch.tensor(x, dtype=torch.float32))
    np.testing.assert_allclose(y.float(), z)
    assert y.is_floating_point() or name in ("relu", "relu6", "hard_tanh")


def test_integers_in_windows():
    x, kernel = numbers(1, 6, 2, low=0, high=9, dtype="uint8"), numbers(3, 2, 4)
    for call in (
        lambda x: ops.conv(x, kernel),
        lambda x: ops.conv_transpose(x, kernel.swapaxes(1, 2)),
        lambda x: ops.average_pool(x, 2),
        lambda x: ops.adaptive_average_pool(x, 3),
        lambda x: ops.max_pool(x, 2),
    ):
        assert torch.equal(call(x).float(), call(x.astype("float32")))


def test_softmax_of_one_class_warns():
    with pytest.warns(UserWarning, match=r"axis -1 of x of shape \(3, 1\) gives 1 everywhere"):
        ops.softmax(numbers(3, 1))


# ---- windows ----------------------------------------------------------------------------------


def laid_out(rank, channels, data_format, batch=2, sizes=None):
    sizes = sizes or SIZES[rank]
    last = data_format == "channels_last"
    return numbers(batch, *sizes, channels) if last else numbers(batch, channels, *sizes)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", ["max_pool", "average_pool"])
@pytest.mark.parametrize(
    ("size", "strides", "padding"),
    [(2, None, "valid"), (3, 1, "same"), (2, 2, "same"), (3, 2, "valid"), (3, 2, "same")],
)
def test_pooling(name, rank, size, strides, padding, data_format):
    x = laid_out(rank, 3, data_format)
    check(name, x, size, strides=strides, padding=padding, data_format=data_format)


def test_same_max_pooling_takes_no_zeros():
    """What is added is lower than anything; in Keras on torch it repeats the border, too."""
    y = ops.max_pool(-numbers(1, 3, 1, low=1, high=2), 2, padding="same")
    assert (y < 0).all()


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", ["adaptive_max_pool", "adaptive_average_pool"])
@pytest.mark.parametrize("size", [1, 3])
def test_adaptive_pooling(name, rank, size, data_format):
    x, kwargs = laid_out(rank, 3, data_format), {"data_format": data_format}
    check(name, x, size, **kwargs, symbolic=False)  # Keras needs a tuple there
    check(name, x, (size,) * rank, **kwargs, shapes=data_format == "channels_first")
    y = getattr(ops, name)(KerasTensor((None, *x.shape[1:])), size, **kwargs)
    first = data_format == "channels_first"
    assert y.shape == ((None, 3, *[size] * rank) if first else (None, *[size] * rank, 3))


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    ("size", "strides", "padding", "dilation"),
    [
        (3, 1, "valid", 1),
        (3, 1, "same", 1),
        (2, 2, "same", 1),
        (4, 3, "same", 1),
        (3, 2, "valid", 1),
        (2, 1, "same", 2),
        (2, 1, "valid", 3),
    ],
)
def test_conv(rank, size, strides, padding, dilation, data_format):
    kwargs = {"strides": strides, "padding": padding, "dilation_rate": dilation}
    x = laid_out(rank, 4, data_format)
    for inner in (4, 2):  # one group, two
        kernel = numbers(*(size,) * rank, inner, 6)
        # Keras has groups, but no symbolic ones
        more = {"symbols": [0], "symbolic": inner == 4}
        check("conv", x, kernel, **kwargs, data_format=data_format, **more)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize(
    ("strides", "padding", "dilation"),
    [(1, "valid", 1), (1, "same", 1), (2, "same", 1), (2, "valid", 1), (1, "same", 2)],
)
@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_and_separable_conv(rank, strides, padding, dilation, multiplier, data_format):
    kwargs = {"strides": strides, "padding": padding, "dilation_rate": dilation}
    kwargs["data_format"] = data_format
    x, kernel = laid_out(rank, 4, data_format), numbers(*(3,) * rank, 4, multiplier)
    mix = numbers(*(1,) * rank, 4 * multiplier, 5)
    check("depthwise_conv", x, kernel, **kwargs, symbols=[0])
    check("separable_conv", x, kernel, mix, **kwargs, symbols=[0])


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    ("size", "strides", "padding", "output_padding", "dilation"),
    [
        (3, 1, "valid", None, 1),
        (3, 2, "valid", None, 1),
        (2, 3, "valid", None, 1),
        (3, 2, "same", None, 1),
        (2, 2, "same", None, 1),
        (4, 2, "same", None, 1),
        (5, 3, "same", None, 1),
        (1, 2, "same", None, 1),
        (3, 2, "same", 1, 1),
        (3, 2, "valid", 1, 1),
        (3, 2, "valid", 0, 1),
        (3, 1, "same", None, 2),
        (3, 1, "valid", None, 2),
    ],
)
def test_conv_transpose(rank, size, strides, padding, output_padding, dilation, data_format):
    sizes = {1: (5,), 2: (4, 3), 3: (3, 2, 4)}[rank]
    x, kernel = laid_out(rank, 4, data_format, sizes=sizes), numbers(*(size,) * rank, 3, 4)
    kwargs = {"strides": strides, "padding": padding, "output_padding": output_padding}
    kwargs |= {"dilation_rate": dilation, "data_format": data_format}
    check("conv_transpose", x, kernel, **kwargs, symbols=[0])


def test_conv_with_a_symbolic_kernel():
    x, kernel = KerasTensor((None, 8, 3)), KerasTensor((3, 3, 4))
    assert ops.conv(x, kernel).shape == (None, 6, 4)


@pytest.mark.parametrize("kwargs", [{}, {"stride": 2}, {"dilation": 2, "padding": 1}])
@pytest.mark.parametrize("size", [2, (3, 2)])
def test_unfold_and_fold(size, kwargs):
    x = numbers(2, 3, 6, 7)
    check("unfold", x, size, **kwargs)
    check("fold", ops.unfold(x, size, **kwargs).numpy(), (6, 7), size, **kwargs)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("block", [2, 3])
def test_blocks(block, data_format):
    sizes = (2 * block, 3 * block)
    check("space_to_depth", laid_out(2, 2, data_format, sizes=sizes), block, data_format)
    check("depth_to_space", laid_out(2, 2 * block**2, data_format), block, data_format)
    x = laid_out(2, 2, data_format, sizes=sizes)
    back = ops.depth_to_space(ops.space_to_depth(x, block, data_format), block, data_format)
    assert np.array_equal(back, x)


# ---- normalization ----------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 2), (-1,)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_moments(axes, keepdims):
    check("moments", numbers(3, 4, 5), axes, keepdims)
    check("moments", numbers(3, 4, 5), list(axes), keepdims=keepdims, symbolic=False)


def test_moments_of_float16():
    check("moments", numbers(64, 4, high=900).astype("float16"), (0,), gradients=False, rtol=1e-3)
    mean, variance = ops.moments([1.0, 3.0], 0, synchronized=True)  # one process: the same
    assert (float(mean), float(variance)) == (2, 1)


@pytest.mark.parametrize(("shape", "axis"), [((4, 3), -1), ((4, 3, 5), 1), ((2, 5, 4, 3), 3)])
def test_batch_normalization(shape, axis):
    n = shape[axis]
    mean, variance = numbers(n), numbers(n, low=0.5, high=2)
    symbolic = {"symbols": [0], "rtol": 1e-4}
    check("batch_normalization", numbers(*shape), mean, variance, axis, **symbolic)
    both = {"offset": numbers(n, seed=2), "scale": numbers(n, seed=3)}
    check("batch_normalization", numbers(*shape), mean, variance, axis, **both, **symbolic)
    check("batch_normalization", numbers(*shape), mean, variance, axis, epsilon=0.1, **symbolic)


@pytest.mark.parametrize("axis", [-1, (2, 3), (1, 3), (3,)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_layer_and_rms_normalization(axis, dtype):
    x = numbers(2, 4, 3, 5, dtype=dtype)
    sizes = [x.shape[a] for a in np.atleast_1d(axis)]
    gamma, beta = numbers(*sizes, dtype=dtype), numbers(*sizes, dtype=dtype, seed=1)
    more = {"symbols": [0], "gradients": dtype != "float16", "axis": axis}
    more |= {"rtol": 1e-2, "atol": 1e-3} if dtype == "float16" else {"atol": 1e-4}
    check("layer_normalization", x, **more)
    check("rms_normalization", x, epsilon=1e-3, **more)
    check("layer_normalization", x, gamma, beta, epsilon=1e-3, **more)
    if axis != (1, 3):  # Keras's scale does not go along there
        check("rms_normalization", x, gamma, **more)


@pytest.mark.parametrize("name", ["layer_normalization", "rms_normalization"])
@pytest.mark.parametrize("axis", [1, (1, 2)])
def test_normalization_of_middle_axes(name, axis):
    """Where Keras on torch stops: the same as that of the last axes of a turned tensor."""
    x, to = numbers(2, 4, 3, 5), {1: (0, 2, 3, 1), (1, 2): (0, 3, 1, 2)}[axis]
    sizes = [x.shape[a] for a in np.atleast_1d(axis)]
    weights = [numbers(*sizes, seed=i) for i in range(2 if name == "layer_normalization" else 1)]
    mine = getattr(ops, name)(x, *weights, axis=axis)
    last = tuple(range(4 - len(sizes), 4))
    turned = getattr(ops, name)(x.transpose(to), *weights, axis=last)
    np.testing.assert_allclose(mine.permute(to), turned, atol=1e-5)


def test_layer_normalization_of_old():
    x = numbers(3, 4)
    with pytest.warns(UserWarning, match="Take rms_normalization"):
        mine = ops.layer_normalization(x, rms_scaling=True)
    with pytest.warns(UserWarning):
        theirs = keras.ops.layer_normalization(torch.tensor(x), rms_scaling=True)
    np.testing.assert_allclose(mine, theirs, atol=1e-5)
    with pytest.raises(TypeError, match=r"unexpected argument 'epsilom'\. Did you mean 'epsilon'"):
        ops.layer_normalization(x, epsilom=1)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("axis", [-1, 1, (1, 2)])
def test_normalize(order, axis):
    if order != 3 or axis != (1, 2):
        check("normalize", numbers(2, 3, 4), axis=axis, order=order)
    x = np.zeros((2, 3, 4), "float32")
    check("normalize", x, axis=-1, order=order, epsilon=0.1, gradients=False)


def test_psnr():
    check("psnr", numbers(2, 4, 4, 3), numbers(2, 4, 4, 3, seed=1), max_val=1.0, shapes=False)
    check("psnr", numbers(5), numbers(5, seed=1), 255, symbolic=False)


@pytest.mark.parametrize("shape", [(3,), (2, 4)])
def test_polar(shape):
    check("polar", numbers(*shape, low=0), numbers(*shape, seed=1), gradients=False, dtypes=False)


# ---- classes ----------------------------------------------------------------------------------

CLASSES = np.array([[0, 2, -1], [3, 1, 1]], "int32")


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("dtype", [None, "int32", "bool", "float16"])
def test_one_hot(axis, dtype):
    check("one_hot", CLASSES, 4, axis=axis, dtype=dtype, symbolic=axis == -1)
    check("one_hot", CLASSES[0], 3, dtype=dtype)


@pytest.mark.parametrize("dtype", [None, "int32", "float64"])
def test_multi_hot(dtype):
    check("multi_hot", CLASSES, 4, dtype=dtype, dtypes=False)  # Keras's symbolic one is int32
    check("multi_hot", CLASSES[1], num_classes=5, dtype=dtype, symbolic=False)
    assert torch.equal(ops.multi_hot(CLASSES, num_tokens=4), ops.multi_hot(CLASSES, 4))


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("shape", [(5,), (4, 3)])
def test_binary_crossentropy(shape, from_logits):
    target = numbers(*shape, low=0, high=2, dtype="int32").astype("float32")
    output = numbers(*shape, low=0.01, high=0.99)
    check("binary_crossentropy", target, output, from_logits, symbols=[0, 1])


PROBABILITIES = ops.softmax(numbers(2, 4, 5)).numpy()


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("axis", [-1, 1])
def test_categorical_crossentropy(from_logits, axis):
    target = ops.softmax(numbers(2, 4, 5, seed=2)).numpy()
    shapes = axis == -1  # Keras's symbolic one always loses the last axis
    check("categorical_crossentropy", target, PROBABILITIES, from_logits, axis, shapes=shapes)
    classes = np.argmax(target, axis).astype("int32")
    check("sparse_categorical_crossentropy", classes, PROBABILITIES, from_logits, axis=axis)
    column = np.expand_dims(classes, axis)
    kwargs = {"from_logits": from_logits, "axis": axis, "symbolic": axis == -1}
    check("sparse_categorical_crossentropy", column, PROBABILITIES, **kwargs)


def test_crossentropy_of_one_sample_and_of_the_losses():
    check("sparse_categorical_crossentropy", np.array(2), numbers(4, low=0.1), symbolic=False)
    target, output = ops.one_hot([0, 2], 3), ops.softmax(numbers(2, 3))
    mine = ops.categorical_crossentropy(target, output)
    assert torch.equal(mine, losses.categorical_crossentropy(target, output))


# ---- sequences --------------------------------------------------------------------------------


@pytest.mark.parametrize("mask_index", [0, 4])
def test_ctc_loss(mask_index):
    target = np.array([[1, 2, 2], [3, 1, 0]], "int32")
    lengths = np.array([3, 2], "int32"), np.array([8, 6], "int32")
    check("ctc_loss", target, numbers(2, 8, 5, low=-3, high=3), *lengths, mask_index=mask_index)


LENGTHS = np.array([7, 4, 1], "int32")


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("mask_index", [0, 2, None])
def test_greedy_ctc_decode(merge, mask_index):
    x = numbers(3, 7, 4, low=-3, high=3)
    kwargs = {"merge_repeated": merge, "mask_index": mask_index}
    check("ctc_decode", x, LENGTHS, **kwargs, dtypes=False)


@pytest.mark.parametrize(("width", "top_paths"), [(100, 1), (100, 3), (4, 2), (1, 1)])
@pytest.mark.parametrize("mask_index", [0, 3, None])
def test_beam_search_ctc_decode(width, top_paths, mask_index):
    x = numbers(3, 7, 4, low=-2, high=2)
    kwargs = {"beam_width": width, "top_paths": top_paths, "mask_index": mask_index}
    kwargs |= {"strategy": "beam_search", "gradients": False, "dtypes": False}
    check("ctc_decode", x, LENGTHS, **kwargs)


def test_beam_search_adds_up_what_greedy_does_not_see():
    """ "1" in any of three ways beats the likeliest single way, two blanks."""
    logits = np.log([[[0.55, 0.45], [0.55, 0.45]]])
    greedy, _ = ops.ctc_decode(logits, [2])
    best, score = ops.ctc_decode(logits, [2], strategy="beam_search", top_paths=2)
    assert greedy.tolist() == [[[-1, -1]]]
    assert best.tolist() == [[[1, -1]], [[-1, -1]]]
    np.testing.assert_allclose(score.exp(), [[1 - 0.55**2, 0.55**2]], rtol=1e-5)


# ---- attention --------------------------------------------------------------------------------

QUERY, KEY, VALUE = numbers(2, 5, 4, 8), numbers(2, 6, 4, 8, seed=1), numbers(2, 6, 4, 8, seed=2)
MASK = numbers(2, 1, 5, 6) > -0.2
MASK[0, 0, 0] = False  # a row that sees nothing


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"scale": 0.3},
        {"is_causal": True},
        {"mask": MASK},
        {"mask": MASK, "is_causal": True},
        {"bias": numbers(2, 4, 5, 6)},
        {"bias": numbers(1, 1, 5, 6), "scale": 0.5},
        {"flash_attention": False},
        {"flash_attention": False, "is_causal": True},
    ],
)
def test_dot_product_attention(kwargs):
    check("dot_product_attention", QUERY, KEY, VALUE, **kwargs)


@pytest.mark.parametrize("heads", [1, 2])
def test_shared_heads(heads):
    key, value = KEY[:, :, :heads], VALUE[:, :, :heads]
    check("dot_product_attention", QUERY, key, value)
    check("dot_product_attention", QUERY, key, value, is_causal=True)


def test_bias_and_mask_together():
    bias = numbers(2, 4, 5, 6)
    hidden = np.where(MASK, bias, -1e9).astype("float32")
    kwargs = {"is_causal": True}
    mine = ops.dot_product_attention(QUERY, KEY, VALUE, bias=bias, mask=MASK | True, **kwargs)
    seen = np.tril(np.ones((5, 6), bool))
    expected = ops.dot_product_attention(QUERY, KEY, VALUE, np.where(seen, bias, -1e9))
    np.testing.assert_allclose(mine, expected, atol=1e-6)
    both = ops.dot_product_attention(QUERY, KEY, VALUE, bias, MASK)[1]
    expected = ops.dot_product_attention(QUERY, KEY, VALUE, hidden)[1]
    np.testing.assert_allclose(both, expected, atol=1e-6)


def test_capped_products():
    """A cap far above all products changes nothing; a low one makes them more alike."""
    plain = ops.dot_product_attention(QUERY, KEY, VALUE, is_causal=True)
    high = ops.dot_product_attention(QUERY, KEY, VALUE, is_causal=True, attn_logits_soft_cap=1e4)
    np.testing.assert_allclose(high, plain, atol=1e-5)
    low = ops.dot_product_attention(QUERY, KEY, VALUE, attn_logits_soft_cap=1e-6)
    mean = VALUE.mean(1, keepdims=True)
    np.testing.assert_allclose(low, np.broadcast_to(mean, low.shape), atol=1e-5)


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ops.max_pool(numbers(4, 3), 2), r"max_pool\(\) got an input of shape \(4, 3\)"),
        (lambda: ops.max_pool(numbers(1, 3, 1), 4), r'window of \(4,\), larger.*padding="same"'),
        (lambda: ops.max_pool(numbers(1, 3, 1), 2, padding="smae"), "Did you mean 'same'"),
        (lambda: ops.conv(numbers(1, 8, 3), numbers(3, 2, 4)), "do not go together"),
        (lambda: ops.conv(numbers(1, 8, 3), numbers(3, 3)), "A kernel has the 1 sizes"),
        (lambda: ops.conv(numbers(1, 2, 3), numbers(3, 3, 4)), "larger than its input"),
        (lambda: ops.depthwise_conv(numbers(1, 8, 3), numbers(3, 2, 4)), "do not go together"),
        (lambda: ops.conv_transpose(numbers(1, 8, 3), numbers(3, 4, 2)), "got 3 channels and a"),
        (lambda: ops.space_to_depth(numbers(1, 3, 4, 1), 2), "pictures of 3 x 4 and block_size=2"),
        (lambda: ops.depth_to_space(numbers(1, 2, 2, 6), 2), "6 channels.*multiple of 4"),
        (lambda: ops.one_hot([1], 2, sparse=True), "sparse=True.*Leave it out"),
        (lambda: ops.normalize(X, order=0), "order=0.*order=2"),
        (lambda: ops.psnr(X, X[:2], 1), r"\(4, 6\) and \(2, 6\)"),
        (lambda: ops.categorical_crossentropy([1, 0], X), "use one_hot for class numbers"),
        (lambda: ops.sparse_categorical_crossentropy(X, X), "Use categorical_crossentropy for"),
        (lambda: ops.ctc_decode(numbers(1, 2, 3), [2], "gredy"), "Did you mean 'greedy'"),
        (lambda: ops.ctc_loss([1], X, [1], [2]), "Use return_sequences=True"),
        (lambda: ops.dot_product_attention(X, X, X), r"For one head, type x\[:, :, None\]"),
    ],
)
def test_errors(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_multi_hot_needs_a_number():
    with pytest.raises(TypeError, match="num_classes=10"):
        ops.multi_hot([1])
