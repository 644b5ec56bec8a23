"""Preprocessing layers against the installed Keras, with the same random numbers in both."""

import json
import sys

import keras
import numpy as np
import pytest
import torch
from _layers import OURS, check, check_signature

import lightkeras
from lightkeras import layers
from lightkeras.layers.preprocessing._image import ImageLayer
from lightkeras.layers.preprocessing.mixing import _Mixing

NAMES = lightkeras.layers.preprocessing.__all__
RNG = np.random.default_rng(0)
IMAGES = RNG.random((5, 7, 9, 3), dtype="float32")
UNIT = {"value_range": (0, 1)}


class Numbers:
    """The same sequence of "random" numbers for Keras's draws and for ours."""

    def __init__(self, monkeypatch):
        self.monkeypatch, self.rng = monkeypatch, np.random.default_rng(3)
        keras_random = "keras.src.backend.torch.random"
        for owner, name, fake in (
            (keras_random, "uniform", self._keras_uniform),
            (keras_random, "randint", self._keras_randint),
            (keras_random, "normal", lambda shape, **_: self._normal(shape)),
            (keras_random, "beta", lambda shape, a, b, **_: self.take(shape)),
            (keras_random, "shuffle", lambda x, **_: torch.roll(x, 1)),
            ("torch", "rand", lambda *size, **_: self.take(*size)),
            ("torch", "randn", lambda size, **_: self._normal(size)),
            ("torch", "randint", lambda low, high, size, **_: self._integers(low, high, size)),
            ("torch", "randperm", lambda n, **_: torch.roll(torch.arange(n), 1)),
        ):
            monkeypatch.setattr(f"{owner}.{name}", fake)
        beta = lambda layer, x, alpha: self.take((len(x), 1, 1, 1))
        monkeypatch.setattr(_Mixing, "_beta", beta)

    def restart(self, seed):
        self.rng = np.random.default_rng(seed)

    def take(self, *size):
        size = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
        return torch.tensor(self.rng.random(tuple(size)), dtype=torch.float32)

    def _keras_uniform(self, shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
        return self.take(tuple(shape)) * (maxval - minval) + minval

    def _keras_randint(self, shape, minval, maxval, dtype="int32", seed=None):
        return self._integers(minval, maxval, shape).to(getattr(torch, dtype))

    def _integers(self, low, high, size):
        return torch.tensor(self.rng.integers(low, high, tuple(size)))

    def _normal(self, size):
        return torch.tensor(self.rng.normal(size=tuple(size)), dtype=torch.float32)


@pytest.fixture
def numbers(monkeypatch):
    return Numbers(monkeypatch)


def same(make, x, numbers, training=True, atol=1e-5, seed=1):
    """Both layers on `x` with the same numbers; returns our result."""
    results = []
    for k in (keras, OURS):
        numbers.restart(seed)
        results.append(make(k)(torch.tensor(x), training=training))
    theirs, mine = (r.detach().numpy() for r in results)
    assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=atol)
    return mine


# ---- values -------------------------------------------------------------------------------------

GEOMETRY = {
    "rotation": lambda k, **kw: k.layers.RandomRotation(0.3, **kw),
    "turn": lambda k, **kw: k.layers.RandomRotation((0.1, 0.1), **kw),
    "zoom": lambda k, **kw: k.layers.RandomZoom(0.4, **kw),
    "zoom_out": lambda k, **kw: k.layers.RandomZoom((0.3, 0.9), (-0.5, 0.3), **kw),
    "translation": lambda k, **kw: k.layers.RandomTranslation(0.4, (-0.9, 1.0), **kw),
    "shear": lambda k, **kw: k.layers.RandomShear(0.5, (0.2, 0.4), **kw),
}


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("fill_mode", ["constant", "nearest", "reflect", "wrap"])
@pytest.mark.parametrize("name", GEOMETRY)
def test_affine(name, fill_mode, interpolation, numbers):
    kw = {"fill_mode": fill_mode, "interpolation": interpolation, "fill_value": 0.5}
    y = same(lambda k: GEOMETRY[name](k, **kw), IMAGES, numbers)
    assert not np.allclose(y, IMAGES, atol=0.1)


@pytest.mark.parametrize("name", GEOMETRY)
def test_affine_of_one_image_and_channels_first(name, numbers):
    same(GEOMETRY[name], IMAGES[0], numbers)
    first = IMAGES.transpose(0, 3, 1, 2).copy()
    same(lambda k: GEOMETRY[name](k, data_format="channels_first"), first, numbers)


@pytest.mark.parametrize("name", GEOMETRY)
def test_affine_moves_masks_to_the_nearest_pixel(name, numbers):
    """Where the images go. (Keras's own masks go elsewhere: it changes the matrix in between.)"""
    masks = RNG.integers(0, 9, (5, 7, 9, 1)).astype("int32")
    make = lambda k: GEOMETRY[name](k, interpolation="nearest")
    expected = same(make, masks.astype("float32"), numbers, seed=5)
    numbers.restart(5)
    y = GEOMETRY[name](OURS)({"images": IMAGES, "segmentation_masks": masks})
    assert y["segmentation_masks"].dtype == torch.int32
    np.testing.assert_array_equal(y["segmentation_masks"], expected)


COLOR = {
    "flip": lambda k, **kw: k.layers.RandomFlip(**kw),
    "flip_horizontal": lambda k, **kw: k.layers.RandomFlip("horizontal", **kw),
    "flip_vertical": lambda k, **kw: k.layers.RandomFlip("vertical", **kw),
    "brightness": lambda k, **kw: k.layers.RandomBrightness(0.4, **UNIT, **kw),
    "brightness_up": lambda k, **kw: k.layers.RandomBrightness((0.1, 0.6), **UNIT, **kw),
    "contrast": lambda k, **kw: k.layers.RandomContrast(0.4, **UNIT, **kw),
    "contrast_pair": lambda k, **kw: k.layers.RandomContrast((0.3, 0.8), **UNIT, **kw),
    "saturation": lambda k, **kw: k.layers.RandomSaturation(0.4, **UNIT, **kw),
    "saturation_pair": lambda k, **kw: k.layers.RandomSaturation((0.4, 0.9), **UNIT, **kw),
    "hue": lambda k, **kw: k.layers.RandomHue(0.9, **UNIT, **kw),
    "degeneration": lambda k, **kw: k.layers.RandomColorDegeneration(0.8, **UNIT, **kw),
    "invert": lambda k, **kw: k.layers.RandomInvert(**UNIT, **kw),
    "invert_some": lambda k, **kw: k.layers.RandomInvert((0.4, 0.6), (-1, 2), **kw),
    "posterization": lambda k, **kw: k.layers.RandomPosterization(7, **UNIT, **kw),
    "posterization_3": lambda k, **kw: k.layers.RandomPosterization((3, 3), **UNIT, **kw),
    "solarization": lambda k, **kw: k.layers.Solarization(0.3, 0.8, **UNIT, **kw),
    "sharpness": lambda k, **kw: k.layers.RandomSharpness((0.0, 1.0), **UNIT, **kw),
    "blur": lambda k, **kw: k.layers.RandomGaussianBlur(**UNIT, **kw),
    "blur_5": lambda k, **kw: k.layers.RandomGaussianBlur(1.0, 5, (0.2, 0.9), **UNIT, **kw),
    "grayscale": lambda k, **kw: k.layers.RandomGrayscale(0.6, **kw),
    "mix_up": lambda k, **kw: k.layers.MixUp(**kw),
    "cut_mix": lambda k, **kw: k.layers.CutMix(**kw),
}
ALONE_AS_PUBLISHED = set(COLOR) - {"cut_mix"}  # Keras lets single images pass


@pytest.mark.parametrize("name", COLOR)
def test_color(name, numbers):
    make = COLOR[name]
    y = same(make, IMAGES, numbers)
    assert not np.allclose(y, IMAGES, atol=0.01)
    first = IMAGES.transpose(0, 3, 1, 2).copy()
    same(lambda k: make(k, data_format="channels_first"), first, numbers)
    same(make, IMAGES, numbers, training=False)
    if name in ALONE_AS_PUBLISHED:
        for seed in range(4):
            same(make, IMAGES[1], numbers, seed=seed)


def test_color_jitter(numbers):
    kw = {"brightness_factor": 0.2, "contrast_factor": 0.3, "hue_factor": 0.4}
    make = lambda k: k.layers.RandomColorJitter((0, 1), saturation_factor=(0.3, 0.7), **kw)
    same(make, IMAGES, numbers)
    same(lambda k: k.layers.RandomColorJitter((0, 1), hue_factor=0.4), IMAGES, numbers)
    assert same(lambda k: k.layers.RandomColorJitter(), IMAGES, numbers) is not None


def test_color_jitter_has_one_stream_of_numbers():
    layer = layers.RandomColorJitter((0, 1), 0.2, 0.3, seed=1)
    layer(torch.tensor(IMAGES))
    assert layer.seed_generator.get_state() == (1, 2)


@pytest.mark.parametrize("fill_value", [None, 0.3, (0.1, 0.2, 0.3)])
def test_erasing(fill_value, numbers):
    kw = {"data_format": "channels_first"} if fill_value is None else {}  # noise in our order
    x = (IMAGES.transpose(0, 3, 1, 2) if kw else IMAGES)[:1].copy()
    make = lambda k: k.layers.RandomErasing(1.0, (0.1, 0.5), fill_value, **UNIT, **kw)
    changed = 0
    for seed in range(8):  # one image: Keras draws width and height of a box in one go
        changed += not np.allclose(same(make, x, numbers, seed=seed), x)
    assert 0 < changed < 8


@pytest.mark.parametrize("value_range", [(0, 255), (0, 1), (-1, 1)])
def test_equalization(value_range, numbers):
    low, high = value_range
    x = np.floor(IMAGES**2 * 255) + (0.3 if low < 0 else 0.0)  # where rounding decides nothing
    x = (x / 255 * (high - low) + low).astype("float32") if high < 255 else x
    x[1, :, :, 0] = low
    ours = layers.Equalization(value_range)(torch.tensor(x)).numpy()
    for mine, image in zip(ours, x, strict=True):  # alone: Keras has one histogram per batch
        theirs = keras.layers.Equalization(value_range)(torch.tensor(image)).numpy()
        np.testing.assert_allclose(mine, theirs, atol=1e-5 * (high - low))
    same(lambda k: k.layers.Equalization(value_range, bins=16), x[0], numbers)
    same(lambda k: k.layers.Equalization(value_range), x, numbers, training=False)


@pytest.mark.parametrize("training", [False, True])
def test_auto_contrast(training, numbers):
    x = IMAGES.copy()
    x[2, :, :, 1] = 0.25  # flat
    same(lambda k: k.layers.AutoContrast(**UNIT), x, numbers, training)
    same(lambda k: k.layers.AutoContrast(), x[0] * 99, numbers, training, atol=1e-3)


def test_mixed_labels(numbers):
    labels = np.eye(5, dtype="float32")
    for make in (lambda k: k.layers.MixUp(), lambda k: k.layers.CutMix()):
        results = []
        for k in (keras, OURS):
            numbers.restart(5)
            data = {"images": torch.tensor(IMAGES), "labels": torch.tensor(labels)}
            results.append(make(k)(data))
        for key in results[0]:
            np.testing.assert_allclose(results[1][key], results[0][key], atol=1e-5, err_msg=key)
    alone = layers.MixUp()({"images": IMAGES[0], "labels": labels[0]})
    np.testing.assert_allclose(alone["labels"], labels[0])


def test_beta_of_mix_up():
    shares = layers.MixUp(0.5, seed=1)._draw(torch.zeros(9999, 3, 1, 1))[0].flatten()
    assert abs(shares.mean() - 0.5) < 0.02
    assert abs(shares.var() - 0.125) < 0.005  # of the arcsine distribution


# ---- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(4, 5), (11, 13), (3, 20), (7, 9)])
@pytest.mark.parametrize("keep", ["stretch", "crop", "pad"])
def test_resizing(size, interpolation, keep, numbers):
    kw = {"crop_to_aspect_ratio": keep == "crop", "pad_to_aspect_ratio": keep == "pad"}
    make = lambda k, **more: k.layers.Resizing(*size, interpolation, fill_value=0.5, **kw, **more)
    same(make, IMAGES, numbers, training=False)
    same(make, IMAGES[0], numbers)
    same(lambda k: make(k, antialias=True), IMAGES, numbers)
    first = IMAGES.transpose(0, 3, 1, 2).copy()
    same(lambda k: make(k, data_format="channels_first"), first, numbers)
    for dtype in ("uint8", "int32"):
        same(make, (IMAGES * 255).astype(dtype), numbers, atol=1)  # a tie may be rounded up


@pytest.mark.parametrize("size", [(4, 5), (7, 9), (4, 20), (11, 13), (20, 3)])
def test_center_crop(size, numbers):
    make = lambda k, **kw: k.layers.CenterCrop(*size, **kw)
    for training in (False, True):
        same(make, IMAGES, numbers, training)
    same(make, IMAGES[0], numbers)
    same(make, (IMAGES * 255).astype("uint8"), numbers)
    first = IMAGES.transpose(0, 3, 1, 2).copy()
    same(lambda k: make(k, data_format="channels_first"), first, numbers)


def test_random_crop(numbers):
    """The same place for one image; larger batches get a place for each image."""
    for seed in range(6):
        for fmt, x in (("channels_last", IMAGES), ("channels_first", IMAGES.transpose(0, 3, 1, 2))):
            make = lambda k, fmt=fmt: k.layers.RandomCrop(4, 5, data_format=fmt)
            same(make, x[:1].copy(), numbers, seed=seed)
            same(make, x[0].copy(), numbers, seed=seed)


def test_random_crop_places():
    x = torch.arange(63.0).view(1, 7, 9, 1).expand(500, 7, 9, 1)
    y = layers.RandomCrop(4, 5, seed=1)(x)
    places = {int(v) for v in y[:, 0, 0, 0]}
    assert places == {9 * row + column for row in range(4) for column in range(5)}
    assert bool((y - y[:, :1, :1] == y[0] - y[0, 0, 0]).all())  # connected parts
    masks = layers.RandomCrop(4, 5)({"images": x, "segmentation_masks": x.int()})
    assert bool((masks["images"] == masks["segmentation_masks"]).all())


def test_random_crop_at_rest_is_a_center_crop_of_the_right_proportions():
    crop, resize = layers.RandomCrop(4, 5), layers.Resizing(4, 5, crop_to_aspect_ratio=True)
    x = torch.tensor(IMAGES)
    assert torch.equal(crop(x, training=False), resize(x))
    crop = layers.RandomCrop(8, 5)  # larger than the images
    resize = layers.Resizing(8, 5, crop_to_aspect_ratio=True)
    assert torch.equal(crop(x, training=True), resize(x))


# ---- draws --------------------------------------------------------------------------------------

ZEROS = torch.zeros(4000, 3, 8, 10)  # as `_draw` gets them


def test_both_directions_and_the_whole_range_occur():
    angle = layers.RandomRotation(0.1, seed=1)._draw(ZEROS)
    angle = torch.atan2(angle[:, 1, 0], angle[:, 0, 0]) / (2 * np.pi)
    shift = layers.RandomTranslation(0.2, (-0.1, 0.3), seed=1)._draw(ZEROS)[:, :, 2]
    zoom = layers.RandomZoom((-0.4, 0.2), seed=1)._draw(ZEROS)
    free = layers.RandomZoom(0.2, 0.2, seed=1)._draw(ZEROS)
    shear = layers.RandomShear((0.1, 0.3), seed=1)._draw(ZEROS)[:, 0, 1]
    for values, low, high in (
        (angle, -0.1, 0.1),
        (shift[:, 1] / 8, -0.2, 0.2),
        (shift[:, 0] / 10, -0.3, 0.1),
        (zoom[:, 0, 0], 0.6, 1.2),
        (free[:, 1, 1], 0.8, 1.2),
        (shear.abs(), 0.1, 0.3),
        (layers.RandomBrightness(0.3, (0, 1), seed=1)._draw(ZEROS), -0.3, 0.3),
        (layers.RandomContrast(0.3, seed=1)._draw(ZEROS), 1.0, 1.3),
        (layers.RandomContrast((0.3, 0.3), seed=1)._draw(ZEROS), 0.7, 1.3),
        (layers.RandomHue(0.5, seed=1)._draw(ZEROS), -0.25, 0.25),
    ):
        slack = 0.01 * (high - low)
        assert low - 1e-6 <= values.min() < low + slack
        assert high - slack < values.max() <= high + 1e-6
        assert abs(values.mean() - (low + high) / 2) < 3 * slack
    assert torch.equal(zoom[:, 0, 0], zoom[:, 1, 1])
    assert not torch.equal(free[:, 0, 0], free[:, 1, 1])
    assert 0.45 < (shear > 0).float().mean() < 0.55


@pytest.mark.parametrize(
    ("layer", "share"),
    [
        (layers.RandomFlip(seed=1), 0.5),
        (layers.RandomInvert(seed=1), 0.5),
        (layers.RandomInvert((0.2, 0.4), seed=1), 0.3),
        (layers.RandomGrayscale(0.3, seed=1), 0.3),
    ],
)
def test_share_of_changed_images(layer, share):
    assert abs(layer._draw(ZEROS).float().mean() - share) < 0.03


RANDOM = [*GEOMETRY.values(), *COLOR.values(), lambda k, **kw: k.layers.RandomErasing(1, **kw)]
RANDOM += [lambda k, **kw: k.layers.RandomCrop(4, 5, **kw)]
CONSTANT = [GEOMETRY["turn"], COLOR["posterization_3"]]


@pytest.mark.parametrize("make", RANDOM)
def test_seeds(make):
    x = torch.tensor(IMAGES)
    first, second = make(OURS, seed=7), make(OURS, seed=7)
    a, b = first(x), first(x)
    assert torch.equal(second(x), a) and torch.equal(second(x), b)
    assert make in CONSTANT or any(not torch.equal(first(x), a) for _ in range(9))
    state = first.seed_generator.get_state()
    third = first(x)
    first.seed_generator.set_state(state)
    assert torch.equal(first(x), third)
    free = make(OURS)
    torch.manual_seed(3)
    a, b = free(x), free(x)
    torch.manual_seed(3)
    assert torch.equal(free(x), a) and torch.equal(free(x), b)


def test_each_image_has_its_own_numbers():
    x = torch.tensor(IMAGES[:1]).expand(5, 7, 9, 3)
    for make in {*GEOMETRY.values()} - {*CONSTANT}:
        y = make(OURS)(x)
        assert not torch.allclose(y[:1].expand_as(y)[1:], y[1:], atol=1e-3)


# ---- faces --------------------------------------------------------------------------------------

SIMPLE = {
    "RandomFlip": (),
    "RandomRotation": (0.2,),
    "RandomZoom": (0.2,),
    "RandomTranslation": (0.2, (-0.1, 0.3)),
    "RandomContrast": (0.2,),
    "RandomBrightness": (0.2,),
    "RandomSaturation": (0.2,),
    "RandomHue": (0.2,),
    "RandomColorJitter": ((0, 1), 0.2, (0.1, 0.2)),
    "RandomColorDegeneration": (0.2,),
    "RandomInvert": (),
    "RandomPosterization": (4,),
    "RandomErasing": (),
    "RandomSharpness": (0.2,),
    "RandomGaussianBlur": (),
    "MixUp": (),
    "CutMix": (),
    "Solarization": (0.1, (0.2, 0.3)),
    "AutoContrast": (),
    "CenterCrop": (4, 5),
    "Resizing": (4, 5),
}


@pytest.mark.parametrize("name", SIMPLE)
def test_config_shapes_and_dtypes(name):
    make = lambda k: getattr(k.layers, name)(*SIMPLE[name], name="it")
    unknown = [(None, None, None, 3), (2, None, 9, 3)]
    in_place = name in ("RandomBrightness", "RandomColorJitter")  # Keras, on what has a gradient
    modes = (False,) if in_place else (False, True)
    check(make, IMAGES, unknown=unknown, numbers=False, modes=modes)


def test_configs_that_differ():
    """Keras's RandomShear(0.2) cannot be made from its own config; others leave the seed out."""
    shear = layers.RandomShear(0.2)
    assert layers.RandomShear.from_config(shear.get_config()).x_factor == (-0.2, 0.2)
    for name, args in (("RandomGrayscale", ()), ("RandomCrop", (4, 5)), ("Equalization", ())):
        mine = getattr(layers, name)(*args, name="it").get_config()
        theirs = getattr(keras.layers, name)(*args, name="it").get_config()
        assert theirs.keys() <= mine.keys() <= {*theirs.keys(), "seed"}
        same_keys = theirs.keys() - {"dtype", "seed"}
        mine, theirs = (
            json.loads(json.dumps({k: c[k] for k in same_keys})) for c in (mine, theirs)
        )
        assert mine == theirs
        getattr(keras.layers, name).from_config(mine)


@pytest.mark.parametrize("name", NAMES)
def test_signature(name):
    check_signature(name)


@pytest.mark.parametrize("name", [*SIMPLE, "RandomCrop", "RandomGrayscale", "RandomShear"])
def test_integers_become_floats_and_single_images_stay_single(name):
    args = {"RandomCrop": (4, 5)}.get(name, SIMPLE.get(name, ()))
    layer = getattr(layers, name)(*args)
    ints = name in ("Resizing", "RandomGrayscale")
    for x in ((IMAGES * 255).astype("uint8"), (IMAGES[0] * 255).astype("int32"), IMAGES[:0]):
        x = x.astype("float64") if not len(x) else x
        for training in (False, True):
            y = layer(x, training=training)
            whole = ints and x.dtype.kind in "ui"
            assert y.dtype == (torch.from_numpy(x).dtype if whole else torch.float32)
            assert y.ndim == x.ndim and y.shape[-1] == 3


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16", "float64"])
def test_dtype_policies(policy):
    dtype = torch.float64 if policy == "float64" else torch.bfloat16
    for make in (*GEOMETRY.values(), *COLOR.values()):
        y = make(OURS, dtype=policy, seed=1)(torch.tensor(IMAGES))
        assert y.dtype == dtype
    y = layers.RandomRotation((0.1, 0.1), dtype=policy)(torch.tensor(IMAGES))
    z = layers.RandomRotation((0.1, 0.1))(torch.tensor(IMAGES))
    torch.testing.assert_close(y.float(), z, atol=0.02, rtol=0.02)


def test_gradients_reach_the_images():
    for make in (*GEOMETRY.values(), COLOR["contrast"], COLOR["flip"]):
        x = torch.tensor(IMAGES, requires_grad=True)
        make(OURS)(x).sum().backward()
        assert x.grad.abs().sum() > 0


# ---- when they act ------------------------------------------------------------------------------


def flip(k):
    return k.layers.RandomInvert((1, 1), (0, 1))  # it acts on every image


class Subclass:
    """One model for both: the layer called in `call`."""

    def __init__(self, k, base):
        class Model(base):
            def __init__(self):
                super().__init__()
                self.layer = flip(k)

            def call(self, x):
                return self.layer(x)

        self.make = Model


def forms(k, models):
    x = k.Input((7, 9, 3))
    yield "alone", flip(k)
    yield "sequential", models.Sequential([flip(k)])
    yield "functional", models.Model(x, flip(k)(x))
    yield "subclass", Subclass(k, models.Model).make()


@pytest.mark.parametrize("training", [None, False, True])
def test_when_a_call_augments(training):
    from lightkeras import models

    kw = {} if training is None else {"training": training}
    x = torch.tensor(IMAGES)
    for (what, theirs), (_, mine) in zip(forms(keras, keras), forms(OURS, models), strict=True):
        acts = [not torch.allclose(model(x, **kw), x) for model in (theirs, mine)]
        assert acts[1] == acts[0], f"{what}(x, training={training})"


def test_fit_augments_and_evaluate_and_predict_do_not():
    from lightkeras import models, optimizers

    class Weight(layers.Layer):
        def build(self, input_shape):
            self.w = self.add_weight(shape=(), initializer="ones")

        def call(self, x):
            return self.w * x

    model = models.Sequential([flip(OURS), Weight()])
    model.compile(optimizer=optimizers.SGD(1e-9), loss="mse")
    history = model.fit(
        IMAGES, 1 - IMAGES, epochs=1, verbose=0, validation_data=(IMAGES, IMAGES), batch_size=2
    )
    assert history.history["loss"][0] < 1e-10 and history.history["val_loss"][0] < 1e-10
    assert model.evaluate(IMAGES, IMAGES, verbose=0) < 1e-10
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), IMAGES)
    np.testing.assert_allclose(model(torch.tensor(IMAGES)).detach(), 1 - IMAGES, atol=1e-6)
    model.eval()
    np.testing.assert_allclose(model(torch.tensor(IMAGES)).detach(), IMAGES)


def test_dicts():
    data = {"images": IMAGES, "labels": np.arange(5), "other": np.ones(3)}
    x = layers.Input((7, 9, 3))
    for make in (*GEOMETRY.values(), COLOR["flip"], COLOR["hue"]):
        y = make(OURS)(data)
        assert y.keys() == data.keys() and tuple(y["images"].shape) == IMAGES.shape
        assert y["labels"].dtype == torch.int64 and y["labels"].tolist() == [0, 1, 2, 3, 4]
        symbolic = make(OURS)({"images": x, "labels": layers.Input((), dtype="int32")})
        assert symbolic["images"].shape == (None, 7, 9, 3)
    one = layers.RandomRotation(0.1)({"images": IMAGES[0], "labels": np.int64(3)})
    assert one["images"].shape == (7, 9, 3) and one["labels"] == 3
    assert data["images"] is IMAGES  # what was given stays as it was


def calls(fn):
    count = 0

    def profile(frame, event, arg):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        fn()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", [*GEOMETRY, *COLOR])
def test_cost_does_not_grow_with_the_batch(name):
    layer = {**GEOMETRY, **COLOR}[name](OURS)
    few, many = torch.rand(2, 7, 9, 3), torch.rand(64, 7, 9, 3)
    layer(few)
    counts = [calls(lambda x=x: layer(x)) for x in (few, many)]
    assert counts[0] == counts[1] <= 110


# ---- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "offset"), [(1 / 255, 0.0), (2, -1), ([1.0, 2.0, 3.0], 0.5), (1, [0.0, 1.0, 2.0])]
)
def test_rescaling(scale, offset):
    make = lambda k: k.layers.Rescaling(scale, offset, name="it")
    check(make, IMAGES, unknown=[(None, None, None, 3)])
    check(make, (IMAGES * 255).astype("uint8"), gradients=False)


def test_rescaling_of_arrays():
    theirs = keras.layers.Rescaling(np.array([1.0, 2.0, 3.0]), name="it")
    mine = layers.Rescaling.from_config(theirs.get_config())
    np.testing.assert_allclose(mine(IMAGES), theirs(IMAGES).detach())
    assert mine.get_config()["scale"] == [1.0, 2.0, 3.0]
    assert mine.state_dict() == {} and mine.weights == []


def test_rescaling_channels_first():
    for k in (keras, lightkeras):
        k.config.set_image_data_format("channels_first")
    try:
        check(lambda k: k.layers.Rescaling([1.0, 2.0, 3.0]), (2, 3, 5, 5), config=False)
    finally:
        for k in (keras, lightkeras):
            k.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize(
    ("axis", "mean", "variance"),
    [
        (-1, None, None),
        (None, None, None),
        ((1, 3), None, None),
        (1, None, None),
        (-1, [1.0, 2.0, 3.0], [4.0, 0.0, 1.0]),
        (-1, 0.5, 4.0),
        (None, 0.5, 4.0),
        ((1, 3), [1.0, 2.0, 3.0], [4.0, 0.0, 1.0]),
    ],
)
def test_normalization(axis, mean, variance, invert):
    make = lambda k: k.layers.Normalization(axis, mean, variance, invert, name="it")
    unknown = [(None, 7, None, 3)]
    check(make, IMAGES, unknown=unknown, gradients=mean is None)
    theirs, mine = make(keras), make(OURS)
    for layer in (theirs, mine):
        layer.build(IMAGES.shape) if mean is not None else layer.adapt(IMAGES * 3 + 5)
    for name in ("mean", "variance"):
        np.testing.assert_allclose(
            getattr(mine, name), getattr(theirs, name).detach(), rtol=1e-5, atol=1e-6
        )
    np.testing.assert_allclose(mine(IMAGES), theirs(IMAGES).detach(), rtol=1e-4, atol=1e-4)
    assert len(mine.weights) == len(theirs.weights)


ROWS = RNG.normal(2.0, 3.0, (100, 4)).astype("float32")
DATA = {
    "array": lambda: ROWS,
    "double": lambda: ROWS.astype("float64"),
    "ints": lambda: (ROWS * 9).astype("int64"),
    "tensor": lambda: torch.tensor(ROWS),
    "list": lambda: [ROWS[:30], ROWS[30:31], ROWS[31:]],
    "generator": lambda: (ROWS[i : i + 7] for i in range(0, 100, 7)),
    "pairs": lambda: ((ROWS[i : i + 7], 0) for i in range(0, 100, 7)),
}


@pytest.mark.parametrize("kind", DATA)
def test_adapt(kind):
    theirs, mine = keras.layers.Normalization(), layers.Normalization()
    whole = DATA[kind]() if kind in ("double", "ints", "tensor") else ROWS
    theirs.adapt(whole)  # for batches Keras wants TensorFlow to be there
    mine.adapt(np.ones((3, 4)))  # what was there before counts no more
    mine.adapt(DATA[kind]())
    np.testing.assert_allclose(mine(ROWS), theirs(ROWS).detach(), rtol=1e-4, atol=1e-4)
    for mine_w, theirs_w in zip(mine.get_weights(), theirs.get_weights(), strict=True):
        assert mine_w.dtype == theirs_w.dtype
        np.testing.assert_allclose(mine_w, theirs_w, rtol=1e-4, atol=1e-5)


def test_adapt_takes_what_torch_users_have():
    import pandas as pd
    from torch.utils.data import DataLoader, TensorDataset

    plain = layers.Normalization()
    plain.adapt(ROWS)
    for data in (
        DataLoader(TensorDataset(torch.tensor(ROWS), torch.zeros(100)), batch_size=9),
        pd.DataFrame(ROWS),
        ROWS.repeat(90, axis=0),  # more than one slice
    ):
        mine = layers.Normalization()
        mine.adapt(data)
        np.testing.assert_allclose(mine(ROWS), plain(ROWS), rtol=1e-5, atol=1e-5)


def test_adapted_numbers_are_not_trained_and_travel_with_the_weights():
    mine, other = layers.Normalization(), layers.Normalization()
    mine.adapt(ROWS)
    assert mine.trainable_weights == [] and not any(True for _ in mine.parameters())
    other.build((None, 4))
    other.load_state_dict(mine.state_dict())
    np.testing.assert_array_equal(other(ROWS), mine(ROWS))


# ---- wrong inputs -------------------------------------------------------------------------------

X = torch.zeros(2, 5, 5, 3)
WRONG = [
    (lambda: layers.RandomRotation(20), r"factor=20.*number from -1 to 1.*factor=20 / 360"),
    (lambda: layers.RandomRotation("a"), r"factor='a'"),
    (lambda: layers.RandomRotation((0.1, 0.2, 0.3)), r"pair of them"),
    (lambda: layers.RandomZoom(0.2, (0, 2)), r"RandomZoom\(width_factor=\(0, 2\)"),
    (lambda: layers.RandomTranslation(0.2, 1.5), r"width_factor=1.5"),
    (lambda: layers.RandomRotation(0.1, "reflct"), r"fill_mode 'reflct'. Did you mean 'reflect'"),
    (lambda: layers.RandomZoom(0.1, interpolation="cubic"), r"interpolation 'cubic'"),
    (lambda: layers.RandomFlip("horizntal"), r"mode 'horizntal'. Did you mean 'horizontal'"),
    (lambda: layers.RandomCrop(0, 5), r"RandomCrop\(height=0\)"),
    (lambda: layers.Resizing(4, 5.5), r"Resizing\(width=5.5\)"),
    (lambda: layers.Resizing(4, 5, "lanczos3"), r"interpolation 'lanczos3'"),
    (lambda: layers.Resizing(4, 5, "nearest", True, True), r"Drop one of them"),
    (lambda: layers.Resizing(4, 5, fill_mode="wrap"), r"fill_mode 'wrap'"),
    (lambda: layers.RandomContrast(0.2, (1, 1)), r"value_range=\(1, 1\).*smallest and the largest"),
    (lambda: layers.RandomBrightness(0.2, 255), r"value_range=255"),
    (lambda: layers.RandomPosterization(9), r"factor=9.*from 1 to 8"),
    (lambda: layers.RandomGrayscale(2), r"factor=2.*from 0 to 1"),
    (lambda: layers.RandomGaussianBlur(kernel_size=4), r"kernel_size=4.*odd number"),
    (lambda: layers.RandomErasing(fill_value=(1, 2)), r"fill_value=\(1, 2\)"),
    (lambda: layers.MixUp(0), r"alpha=0"),
    (lambda: layers.MixUp()({"images": X, "labels": torch.zeros(2)}), r"one-hot.*to_categorical"),
    (lambda: layers.RandomHue(0.1)(X[..., :1]), r"1 channels.*three: red, green, blue"),
    (lambda: layers.RandomColorJitter(hue_factor=0.1)(X[..., :1]), r"1 channels"),
    (lambda: layers.RandomSaturation(0.1)(layers.Input((5, 5, 1))), r"1 channels"),
    (lambda: layers.RandomErasing(fill_value=(1, 2, 3))(X[..., :1]), r"1 channels"),
    (lambda: layers.RandomFlip()(layers.Input((5,))), r"shape \(None, 5\)"),
    (lambda: layers.RandomFlip()(X[0, 0]), r"shape \(5, 3\).*Add the channels: x\[..., None\]"),
    (lambda: layers.RandomFlip()(X[None]), r"shape \(1, 2, 5, 5, 3\).*images"),
    (lambda: layers.RandomFlip()({"image": X}), r"dict without 'images'"),
    (
        lambda: layers.RandomFlip()({"images": X, "segmentation_masks": X[..., 0]}),
        r"masks of shape \(2, 5, 5\).*masks\[..., None\]",
    ),
    (lambda: layers.RandomFlip()({"images": X, "bounding_boxes": X}), r"'bounding_boxes'"),
    (lambda: layers.RandomFlip(seed=0.5), r"seed"),
    (lambda: layers.Normalization(mean=1.0), r"only one of mean and variance"),
    (lambda: layers.Normalization(mean=[1.0], variance=[1.0, 2.0]), r"shape \(1,\).*\(2,\)"),
    (lambda: layers.Normalization(axis=None, mean=[1.0], variance=[1.0]), r"at most 0 axes"),
    (lambda: layers.Normalization(axis=4).build((None, 3)), r"axis=\(4,\).*-2 to 1"),
    (lambda: layers.Normalization(axis=1).build((None, None, 3)), r"needs their sizes"),
    (lambda: layers.Normalization(mean=1.0, variance=1.0).adapt(ROWS), r"was given its mean"),
    (lambda: layers.Normalization().adapt([]), r"no data"),
    (lambda: layers.Normalization().adapt(iter([])), r"no data"),
    (lambda: layers.Normalization().adapt([ROWS, ROWS[:, :3]]), r"shape \(100, 3\).*\(None, 4\)"),
]
WRONG_TYPES = [
    (lambda: layers.Rescaling("1/255"), r"scale='1/255'.*Rescaling\(1 / 255\)"),
    (lambda: layers.Rescaling(), r"scale"),
    (lambda: layers.RandomFlip()([X[0], X[1]]), r"got a list.*numpy.stack"),
    (lambda: layers.Normalization().adapt([[1.0, 2.0]]), r"got .* as a batch.*numpy.array"),
    (lambda: layers.Normalization().adapt(3), r"got int"),
    (lambda: layers.RandomRotation(0.1, fil_mode="wrap"), r"'fil_mode'. Did you mean 'fill_mode'"),
]


@pytest.mark.parametrize(("make", "text"), WRONG)
def test_wrong_values(make, text):
    with pytest.raises(ValueError, match=f"(?s){text}"):
        make()


@pytest.mark.parametrize(("make", "text"), WRONG_TYPES)
def test_wrong_types(make, text):
    with pytest.raises(TypeError, match=f"(?s){text}"):
        make()


# What has tables in files of its own.
AUGMENTATION = {
    "AugMix",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "MaxNumBoundingBoxes",
    "RandAugment",
    "RandomElasticTransform",
    "RandomPerspective",
}
SPECTRAL = {"MelSpectrogram", "Pipeline", "STFTSpectrogram"}
CATEGORIES = {"CategoryEncoding", "Discretization", "HashedCrossing", "Hashing"}
WORDS = {"IntegerLookup", "StringLookup", "TextVectorization"}


def test_the_tables_are_complete():
    """Every public layer stands in some table."""
    tested = {*SIMPLE, "RandomShear", "RandomGrayscale", "RandomCrop", "Equalization"}
    images = {n for n in NAMES if issubclass(getattr(layers, n), ImageLayer)}
    assert images == tested | AUGMENTATION
    others = {"Normalization", "Rescaling", *SPECTRAL, *CATEGORIES, *WORDS}
    assert set(NAMES) - images == others
