"""Normalization layers against the installed Keras, and against `torch.nn`."""

import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import torch
from _layers import check, check_signature

from lightkeras import layers

RNG = np.random.default_rng(0)


def shifted(shape):
    """Numbers that are far from normalized."""
    return (3 + 2 * RNG.normal(size=shape)).astype("float32")


IMAGES, STEPS, ROWS = shifted((3, 4, 5, 6)), shifted((3, 5, 6)), shifted((7, 6))
MASK = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1]], dtype=bool)


def label(kwargs):
    return ",".join(f"{k}={v}" for k, v in kwargs.items()) or "plain"


# ---- BatchNormalization -----------------------------------------------------------------------

BATCH = [
    {},
    dict(momentum=0.5, epsilon=0.1),
    dict(center=False),
    dict(scale=False),
    dict(center=False, scale=False),
    dict(renorm=True, momentum=0.8),
    dict(
        renorm=True,
        renorm_clipping={"rmin": 0.9, "rmax": 1.1, "dmax": 0.1},
        renorm_momentum=0.6,
        scale=False,
    ),
    dict(renorm=True, center=False),
]


@pytest.mark.parametrize("kwargs", BATCH, ids=label)
@pytest.mark.parametrize("x", [IMAGES, STEPS, ROWS], ids=lambda x: str(x.ndim))
def test_batch_normalization(x, kwargs):
    check(
        lambda k: k.layers.BatchNormalization(**kwargs),
        x,
        unknown=[(None,) * (x.ndim - 1) + (6,)],
        atol=5e-5,
    )


@pytest.mark.parametrize("axis", [1, 2, -2, 3])
def test_axis_of_batch_normalization(axis):
    check(lambda k: k.layers.BatchNormalization(axis), IMAGES, atol=5e-5)


def test_slots_of_batch_normalization():
    def make(k):
        return k.layers.BatchNormalization(
            beta_initializer="uniform",
            gamma_initializer=k.initializers.Constant(2.0),
            moving_mean_initializer="ones",
            moving_variance_initializer=k.initializers.Constant(3.0),
            beta_regularizer="l2",
            gamma_regularizer=k.regularizers.L1(0.5),
            beta_constraint="non_neg",
            gamma_constraint=k.constraints.MaxNorm(1.0),
        )

    layer = check(make, ROWS, atol=5e-5)
    new = make(sys.modules["_layers"].OURS)
    new.build((None, 6))
    assert new.get_weights()[0].tolist() == [2.0] * 6
    assert new.get_weights()[3].tolist() == [3.0] * 6
    assert set(layer.state_dict()) == {"weight", "bias", "running_mean", "running_var"}


@pytest.mark.parametrize("kwargs", [{}, dict(scale=False), dict(renorm=True)], ids=label)
def test_masked_steps_do_not_count_in_the_batch(kwargs):
    check(lambda k: k.layers.BatchNormalization(**kwargs), STEPS, mask=MASK, atol=5e-5)


def test_a_batch_that_is_masked_altogether():
    check(lambda k: k.layers.BatchNormalization(), STEPS, mask=np.zeros_like(MASK), atol=5e-4)


def test_a_frozen_layer_uses_the_moving_averages():
    theirs, mine = keras.layers.BatchNormalization(), layers.BatchNormalization()
    for layer in (theirs, mine):
        layer.build((None, 6))
        layer.trainable = False
    before = mine.get_weights()
    expected = keras.ops.convert_to_numpy(theirs(ROWS, training=True))
    np.testing.assert_allclose(mine(ROWS, training=True).numpy(), expected, rtol=1e-5)
    for a, b in zip(before, mine.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    mine.trainable = True
    mine(ROWS, training=True)
    assert not np.array_equal(before[2], mine.get_weights()[2])


def test_trainable_in_the_constructor():
    layer = layers.BatchNormalization(trainable=False)
    layer(ROWS, training=True)
    assert layer.get_weights()[2].tolist() == [0.0] * 6
    assert not layer.trainable_weights


def test_many_steps_end_in_the_same_averages():
    theirs, mine = (k.BatchNormalization(momentum=0.9) for k in (keras.layers, layers))
    for i in range(30):
        x = shifted((5, 3, 6)) * (i + 1)
        theirs(x, training=True)
        mine(x, training=True)
    for a, b in zip(theirs.weights, mine.weights, strict=True):
        np.testing.assert_allclose(b.numpy(), keras.ops.convert_to_numpy(a), rtol=1e-4, atol=1e-4)


def test_batch_normalization_of_torch_takes_the_weights():
    ours, theirs = layers.BatchNormalization(), torch.nn.BatchNorm2d(6, eps=1e-3).eval()
    ours(IMAGES, training=True)
    theirs.load_state_dict(ours.state_dict(), strict=False)
    expected = theirs(torch.tensor(IMAGES).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    torch.testing.assert_close(ours(IMAGES), expected)


def test_one_row_and_one_value():
    layer = layers.BatchNormalization(momentum=0.0)
    y = layer(np.full((1, 2), 5.0, "float32"), training=True)
    np.testing.assert_allclose(y.detach().numpy(), 0, atol=1e-5)
    assert layer.get_weights()[2].tolist() == [5.0, 5.0]
    np.testing.assert_allclose(layer.get_weights()[3], [0.0, 0.0], atol=1e-9)


def test_integers_and_half_precision():
    x = np.arange(12).reshape(6, 2)
    assert layers.BatchNormalization()(x, training=True).dtype is torch.float32
    for policy in ("mixed_float16", "mixed_bfloat16"):
        theirs, mine = (k.BatchNormalization(dtype=policy) for k in (keras.layers, layers))
        for training in (True, False):
            expected = theirs(IMAGES, training=training)
            y = mine(IMAGES, training=training)
            assert y.dtype is expected.dtype
            torch.testing.assert_close(y, expected, rtol=2e-2, atol=2e-2)
        assert mine.running_mean.dtype is torch.float32
        np.testing.assert_allclose(
            mine.running_mean.numpy(), theirs.moving_mean.numpy(), rtol=1e-2, atol=1e-3
        )


def test_backward_after_a_later_step():
    """The averages of one call may change before the gradients of another are taken."""
    layer = layers.BatchNormalization()
    one, two = (torch.randn(4, 3, requires_grad=True) for _ in range(2))
    total = layer(one, training=True).square().sum()
    total = total + layer(two, training=True).square().sum()
    total.backward()
    assert one.grad is not None and two.grad is not None


SHARE = """
import sys
import numpy as np, torch, torch.distributed as dist
from lightkeras import layers
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
rows = np.load(f"{folder}/rows.npy")
x = torch.tensor(rows[:3] if rank == 0 else rows[3:], requires_grad=True)
layer = layers.BatchNormalization(synchronized=True)
y = layer(x, training=True)
(y * y * y).sum().backward()
found = y.detach().numpy(), x.grad.numpy(), layer.get_weights()[2], layer.get_weights()[3]
np.savez(f"{folder}/{rank}.npz", *found)
dist.barrier()
dist.destroy_process_group()
"""


def test_synchronized_processes_share_one_batch(tmp_path, root):
    np.save(tmp_path / "rows.npy", ROWS)
    env = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", SHARE]
    both = [subprocess.Popen([*command, str(r), str(tmp_path)], env=env) for r in (0, 1)]
    try:
        assert [process.wait(60) for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
    found = [list(np.load(tmp_path / f"{rank}.npz").values()) for rank in (0, 1)]
    layer = layers.BatchNormalization()
    x = torch.tensor(ROWS, requires_grad=True)
    y = layer(x, training=True)
    (y * y * y).sum().backward()
    for i, expected in ((0, y.detach().numpy()), (1, x.grad.numpy())):
        both = np.concatenate([found[0][i], found[1][i]])
        np.testing.assert_allclose(both, expected, rtol=1e-4, atol=1e-4)
    for i in (2, 3):  # the moving averages, alike on both
        np.testing.assert_array_equal(found[0][i], found[1][i])
        np.testing.assert_allclose(found[0][i], layer.get_weights()[i], rtol=1e-5, atol=1e-6)


# ---- the others -------------------------------------------------------------------------------

OTHERS = [
    ("LayerNormalization", {}),
    ("LayerNormalization", dict(epsilon=0.1, center=False)),
    ("LayerNormalization", dict(scale=False)),
    ("LayerNormalization", dict(scale=False, center=False, axis=-1)),
    ("LayerNormalization", dict(axis=[-1, -2])),
    ("LayerNormalization", dict(axis=(3, 1))),
    ("LayerNormalization", dict(axis=(1, 2, 3), gamma_regularizer="l2", beta_constraint="non_neg")),
    ("GroupNormalization", dict(groups=2)),
    ("GroupNormalization", dict(groups=1, center=False)),
    ("GroupNormalization", dict(groups=6, scale=False)),
    ("GroupNormalization", dict(groups=2, axis=1, epsilon=0.1)),
    ("GroupNormalization", dict(groups=5, axis=-2)),
    ("RMSNormalization", {}),
    ("RMSNormalization", dict(epsilon=0.1)),
    ("RMSNormalization", dict(axis=[2, 3])),
    ("UnitNormalization", {}),
    ("UnitNormalization", dict(axis=1)),
    ("UnitNormalization", dict(axis=[1, 2])),
]


@pytest.mark.parametrize(("name", "kwargs"), OTHERS, ids=[f"{n}-{label(kw)}" for n, kw in OTHERS])
def test_others(name, kwargs):
    unknown = [(None, None, None, 6)] if not kwargs.get("axis") else []
    check(lambda k: getattr(k.layers, name)(**kwargs), IMAGES, unknown=unknown, atol=5e-5)


@pytest.mark.parametrize("name", ["LayerNormalization", "RMSNormalization"])
@pytest.mark.parametrize("axis", [1, -2, [1, 2], [1, 3], [3, 1]])
def test_axes_in_any_place(name, axis):
    """Keras on torch refuses most of these; the same with the axes moved to the end it can do."""
    axes = sorted(a % 4 for a in (axis if isinstance(axis, list) else [axis]))
    ends = list(range(-len(axes), 0))
    mine, theirs = getattr(layers, name)(axis), getattr(keras.layers, name)(ends)
    x = torch.tensor(IMAGES)
    moved = x.movedim(axes, ends)
    mine.build(x.shape)
    theirs.build(tuple(moved.shape))
    values = [shifted(w.shape) for w in theirs.weights]
    mine.set_weights(values)
    theirs.set_weights(values)
    torch.testing.assert_close(mine(x), theirs(moved).movedim(ends, axes), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["LayerNormalization", "GroupNormalization", "UnitNormalization"])
def test_masks_pass(name):
    kwargs = dict(groups=3) if name == "GroupNormalization" else {}
    check(lambda k: getattr(k.layers, name)(**kwargs), STEPS, mask=MASK, atol=5e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.layers.SpectralNormalization(k.layers.Dense(4)),
        lambda k: k.layers.SpectralNormalization(k.layers.Conv2D(4, 2), power_iterations=3),
        lambda k: k.layers.SpectralNormalization(k.layers.Conv2DTranspose(4, 2)),
    ],
)
def test_spectral_normalization(make):
    layer = check(make, IMAGES, gradients=False, atol=5e-5)
    before = layer.get_weights()
    for _ in range(20):
        layer(IMAGES, training=True)
    kernel = layer.layer.kernel.value.detach()
    assert abs(torch.linalg.matrix_norm(kernel.reshape(-1, kernel.shape[-1]), 2) - 1) < 1e-3
    layer(IMAGES)
    assert not np.array_equal(before[0], layer.get_weights()[0])


def test_spectral_normalization_of_zeros():
    layer = layers.SpectralNormalization(layers.Dense(2, kernel_initializer="zeros"))
    layer.build((None, 3))
    before = layer.vector_u.clone()
    assert layer(np.ones((1, 3), "float32"), training=True).tolist() == [[0.0, 0.0]]
    assert torch.equal(layer.vector_u, before)


@pytest.mark.filterwarnings("ignore:You passed")
def test_old_scaling():
    check(lambda k: k.layers.LayerNormalization(rms_scaling=True), IMAGES, atol=5e-5)


def test_one_channel_a_group():
    theirs, mine = (k.GroupNormalization(-1) for k in (keras.layers, layers))
    expected = keras.ops.convert_to_numpy(theirs(IMAGES))
    np.testing.assert_allclose(mine(IMAGES).detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    assert mine.groups == theirs.groups == 6
    assert mine(IMAGES[:1, :1, :1]).abs().max() < 1e-5  # one value in each group


def test_a_norm_of_zero():
    x = np.zeros((1, 3), "float32")
    assert layers.UnitNormalization()(x).tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "make",
    [
        lambda k, p: k.LayerNormalization(dtype=p),
        lambda k, p: k.GroupNormalization(2, dtype=p),
        lambda k, p: k.RMSNormalization(dtype=p),
        lambda k, p: k.UnitNormalization(dtype=p),
    ],
)
def test_mixed_precision(make, policy):
    expected = make(keras.layers, policy)(IMAGES)
    y = make(layers, policy)(IMAGES)
    assert y.dtype is expected.dtype
    torch.testing.assert_close(y, expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    "name", ["BatchNormalization", "SpectralNormalization", *sorted({n for n, _ in OTHERS})]
)
def test_signatures(name):
    check_signature(name)


REFUSED = [
    (lambda: layers.BatchNormalization(axis=4)(IMAGES), "axis=4", "axis=-1"),
    (lambda: layers.BatchNormalization()(layers.Input((4, None))), "unknown size", "Input"),
    (lambda: layers.BatchNormalization(renorm=True, renorm_clipping={"rmx": 1}), "rmx", "'rmax'"),
    (
        lambda: layers.BatchNormalization(renorm=True, renorm_clipping={"rmin": 2, "rmax": 1}),
        "'rmin': 2",
        "renorm_clipping=",
    ),
    (lambda: layers.LayerNormalization(axis=[1, 5])(IMAGES), "axis=5", "axis=-1"),
    (lambda: layers.LayerNormalization()(layers.Input((4, None))), "unknown size", "Input"),
    (lambda: layers.GroupNormalization(0), "groups=0", "groups=8"),
    (lambda: layers.GroupNormalization(2.0), "groups=2.0", "groups=8"),
    (lambda: layers.GroupNormalization(4)(IMAGES), "groups=4", r"\[1, 2, 3, 6\]"),
    (lambda: layers.GroupNormalization()(IMAGES), "groups=32", r"\[1, 2, 3, 6\]"),
    (lambda: layers.RMSNormalization(axis=4)(IMAGES), "axis=4", "axis=-1"),
    (lambda: layers.UnitNormalization(axis=4)(IMAGES), "axis=4", "axis=-1"),
    (
        lambda: layers.SpectralNormalization(layers.ReLU())(IMAGES),
        "ReLU",
        "neither kernel nor embeddings",
    ),
    (
        lambda: layers.SpectralNormalization(layers.Dense(2), power_iterations=0),
        "power_iterations=0",
        "at least 1",
    ),
]


@pytest.mark.parametrize(("make", "what", "hint"), REFUSED, ids=[w for _, w, _ in REFUSED])
def test_refusals_say_what_and_how(make, what, hint):
    with pytest.raises(ValueError, match=what) as error:
        make()
    assert re.search(hint, str(error.value)), str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("name", ["LayerNormalization", "RMSNormalization", "UnitNormalization"])
@pytest.mark.parametrize("axis", ["1", 1.0, None, []])
def test_what_is_no_axis(name, axis):
    with pytest.raises(TypeError, match="axis=-1"):
        getattr(layers, name)(axis=axis)


def test_another_number_of_features():
    layer = layers.BatchNormalization()
    layer(ROWS)
    with pytest.raises(ValueError, match="6 features"):
        layer(ROWS[:, :3])
