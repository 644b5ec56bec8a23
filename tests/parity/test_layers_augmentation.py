"""Policies, perspective, elastic maps, CLAHE and counted boxes against Keras.

Where random numbers decide, the same numbers are given to both.
"""

import json

import keras
import numpy as np
import pytest
import torch
from _layers import check_signature

import lightkeras as lk
from lightkeras import layers

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0, 255, (3, 10, 14, 3)).astype("float32")
NEW = {
    "AugMix": {"seed": 1},
    "ContrastLimitedAdaptiveHistogramEqualization": {"tile_grid_size": (2, 3)},
    "MaxNumBoundingBoxes": {"max_number": 2},
    "RandAugment": {"seed": 1},
    "RandomElasticTransform": {"seed": 1},
    "RandomPerspective": {"seed": 1},
}


@pytest.mark.parametrize("name", NEW)
def test_signatures_configs_and_shapes(name):
    check_signature(name)
    kw = {**NEW[name], "name": "a"}
    theirs, mine = (getattr(k.layers, name)(**kw) for k in (keras, lk))
    a, b = (json.loads(json.dumps(layer.get_config())) for layer in (theirs, mine))
    skipped = {"bounding_box_format", "fill_value", "trainable", "dtype"}
    for key in (a.keys() | b.keys()) - skipped:
        assert b[key] == a[key], key
    again = getattr(layers, name).from_config({k: v for k, v in a.items() if v is not None})
    assert again.get_config() == mine.get_config()
    getattr(keras.layers, name).from_config(mine.get_config())
    assert mine.compute_output_shape((None, 10, 14, 3)) == (None, 10, 14, 3)
    for x in (IMAGES, IMAGES[0]):
        y = mine(x)
        assert y.shape == x.shape and y.dtype is torch.float32
    assert mine(layers.Input((10, 14, 3))).shape == (None, 10, 14, 3)
    rest = mine(IMAGES, training=False)
    if not name.startswith("Contrast"):
        np.testing.assert_array_equal(rest.numpy(), IMAGES)


@pytest.mark.parametrize(
    "name", ["AugMix", "RandAugment", "RandomElasticTransform", "RandomPerspective"]
)
def test_seeds_channels_and_masks(name):
    make = lambda **kw: getattr(layers, name)(seed=5, **kw)
    one, two = make(), make()
    assert torch.equal(one(IMAGES), two(IMAGES))
    first = make(data_format="channels_first")
    expected = make()(IMAGES)
    y = first(IMAGES.transpose(0, 3, 1, 2).copy())
    np.testing.assert_allclose(y.permute(0, 2, 3, 1).numpy(), expected.numpy(), atol=1e-3)
    masks = np.zeros((3, 10, 14, 1), "uint8")
    masks[:, 2:8, 3:9] = 7
    data = make()({"images": torch.tensor(IMAGES), "segmentation_masks": torch.tensor(masks)})
    np.testing.assert_array_equal(data["images"].numpy(), expected.numpy())
    values = set(data["segmentation_masks"].flatten().tolist())
    assert data["segmentation_masks"].dtype is torch.uint8
    assert values <= set(range(8)) if name == "AugMix" else values <= {0, 7}


# ---- CLAHE --------------------------------------------------------------------------------------


CLAHE = "ContrastLimitedAdaptiveHistogramEqualization"
SHAPES = [(2, 16, 16, 3), (9, 13, 1), (1, 5, 30, 4)]


def pictures(shape):
    return np.random.default_rng(1).uniform(0, 255, shape).astype("float32")


@pytest.mark.parametrize(
    "shape, grid, clip",
    [
        ((2, 16, 16, 3), (2, 2), 4.0),
        ((2, 16, 16, 3), (2, 4), 8.0),
        ((16, 16, 1), (1, 1), 1.0),
        ((9, 12, 4), (3, 4), 0),
    ],
)
def test_clahe(shape, grid, clip):
    """Where tiles fit and the limit is a whole number, which Keras on torch takes it for."""
    x, kw = pictures(shape), {"tile_grid_size": grid, "clip_limit": clip}
    theirs, mine = (getattr(k.layers, CLAHE)(**kw) for k in (keras, lk))
    np.testing.assert_allclose(mine(x).numpy(), theirs(torch.tensor(x)).numpy(), atol=2e-3)
    np.testing.assert_array_equal(mine(x, training=False).numpy(), mine(x).numpy())


# (number of the shape, tiles, limit, some values, mean), by Keras 3.15 on TensorFlow 2.21
FILLED = [
    (0, (3, 4), 4.0, [133.054, 110.469, 183.211, 178.737, 65.039, 89.662], 128.776),
    (1, (2, 2), 1.0, [130.176, 101.858, 172.322, 184.533, 66.41, 94.432], 129.271),
    (2, (8, 8), 4.0, [133.842, 101.475, 177.082, 188.454, 64.431, 97.696], 126.83),
    (2, (3, 4), 0, [143.438, 127.5, 207.188, 223.125, 51.797, 119.531], 133.462),
]


@pytest.mark.parametrize("number, grid, clip, some, mean", FILLED)
def test_clahe_of_tiles_that_do_not_fit(number, grid, clip, some, mean):
    y = getattr(layers, CLAHE)(tile_grid_size=grid, clip_limit=clip)(pictures(SHAPES[number]))
    picks = [0, 7, 50, 99, 110, -1]
    np.testing.assert_allclose(y.numpy().ravel()[picks], some, atol=3e-3)
    assert float(y.mean()) == pytest.approx(mean, abs=2e-3)


def test_clahe_of_other_ranges_and_types():
    cls = CLAHE
    x = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), dtype="uint8")
    theirs, mine = (getattr(k.layers, cls)(tile_grid_size=(2, 2)) for k in (keras, lk))
    y = mine(x)
    assert y.dtype is torch.uint8
    assert np.abs(y.numpy().astype(int) - theirs(torch.tensor(x)).numpy().astype(int)).max() <= 1
    kw = {"tile_grid_size": (2, 2), "value_range": (-1, 1), "data_format": "channels_first"}
    theirs, mine = (getattr(k.layers, cls)(**kw) for k in (keras, lk))
    x = np.random.default_rng(1).uniform(-1, 1, (2, 3, 16, 16)).astype("float32")
    np.testing.assert_allclose(mine(x).numpy(), theirs(torch.tensor(x)).numpy(), atol=2e-2)


# ---- maps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_perspective(interpolation):
    kw = {"interpolation": interpolation, "fill_value": 3.0}
    theirs, mine = (k.layers.RandomPerspective(**kw) for k in (keras, lk))
    x = torch.tensor(IMAGES)
    chance, start, end = mine._draw(x.permute(0, 3, 1, 2))
    chance = torch.tensor([True, False, True])
    given = {"apply_perspective": chance, "start_points": start, "end_points": end}
    expected = theirs.transform_images(x, given).numpy()
    y = mine._augment(x.permute(0, 3, 1, 2), (chance.view(-1, 1, 1, 1), start, end))
    wrong = np.abs(y.permute(0, 2, 3, 1).numpy() - expected) > 0.1
    assert wrong.mean() < (0.01 if interpolation == "nearest" else 1e-9)
    shift = (end / start.clamp(min=1e-9) - 1)[start > 0]
    assert shift.abs().max() <= 0.5
    assert torch.equal(start[0], torch.tensor([[0.0, 0], [13, 0], [0, 9], [13, 9]]))


@pytest.mark.parametrize("fill_mode", ["constant", "nearest", "reflect"])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_elastic_transforms(fill_mode, scale, monkeypatch):
    """The same noise in both."""
    noise = torch.randn(2, 3, 10, 14, generator=torch.Generator().manual_seed(0))
    drawn = iter(noise)
    monkeypatch.setattr(torch, "normal", lambda *a, **k: next(drawn).clone())
    monkeypatch.setattr(torch, "randn", lambda *a, **k: noise.view(6, 1, 10, 14).clone())
    mine = layers.RandomElasticTransform((1, 1), (scale, scale), "bilinear", fill_mode, 9.0)
    alpha, sigma = 14 * 0.1 * scale, 10 * 0.05 * scale
    expected = keras.ops.image.elastic_transform(
        IMAGES, alpha, sigma, fill_mode=fill_mode, fill_value=9.0
    )
    y = mine(IMAGES).numpy()
    wrong = np.abs(y - expected.numpy().clip(0, 255)) > 1.0
    if fill_mode == "constant":  # at the border Keras takes the constant, and we mix it in
        wrong = wrong[:, 2:-2, 2:-2]
    assert wrong.mean() < 0.01


def test_how_likely_images_are_changed():
    x = np.repeat(IMAGES[:1], 200, axis=0)
    for cls in (layers.RandomPerspective, layers.RandomElasticTransform):
        y = cls(factor=(0.3, 0.3), seed=2)(x).numpy()
        assert 0.2 < (np.abs(y - x).max((1, 2, 3)) > 1).mean() < 0.4


# ---- policies -----------------------------------------------------------------------------------


def test_rand_augment_applies_what_it_draws(monkeypatch):
    layer = layers.RandAugment(num_ops=2, seed=1)
    x = torch.tensor(IMAGES).permute(0, 3, 1, 2)
    for number, name in enumerate(layer._names):
        monkeypatch.setattr(layer, "_choices", lambda count, options, n=number: [n] * count)
        (one, a), (two, b) = drawn = layer._draw(x)
        assert one is two is getattr(layer, name)
        assert type(one).__name__ == type(getattr(keras.layers.RandAugment(), name)).__name__
        expected = one._augment(one._augment(x, a), b)
        assert torch.equal(layer._augment(x, drawn), expected)
    monkeypatch.undo()
    names = [layer._names[n] for n in layer._choices(4000, 11)]
    shares = [names.count(name) / 4000 for name in layer._names]
    assert all(0.06 < share < 0.12 for share in shares)


@pytest.mark.parametrize("cls", ["RandAugment", "AugMix"])
@pytest.mark.parametrize("factor", [0.2, (0.1, 0.7)])
def test_the_layers_inside_are_as_strong_as_those_of_keras(cls, factor):
    theirs, mine = (getattr(k.layers, cls)(factor=factor, value_range=(0, 1)) for k in (keras, lk))
    names = theirs._augment_layers if cls == "AugMix" else type(theirs)._AUGMENT_LAYERS
    assert set(mine._names) == set(names)
    for name in names:
        a, b = getattr(theirs, name).get_config(), getattr(mine, name).get_config()
        for key in (a.keys() & b.keys()) - {"name", "dtype"}:
            values = [json.loads(json.dumps(c[key])) for c in (a, b)]
            assert values[1] == values[0], (name, key)


def test_aug_mix_mixes():
    layer = layers.AugMix(num_chains=2, seed=1)
    x = torch.tensor(IMAGES).permute(0, 3, 1, 2)
    flip = lambda: (layer.auto_contrast, layer.auto_contrast._draw(x))
    drawn = (torch.tensor([0.25, 0.75]), torch.tensor(0.4), [[], [flip()]])
    changed = layer.auto_contrast._augment(x, flip()[1])
    expected = 0.4 * x + 0.6 * (0.25 * x + 0.75 * changed)
    np.testing.assert_allclose(layer._augment(x, drawn).numpy(), expected.numpy(), rtol=1e-5)
    theirs = keras.layers.AugMix(num_chains=2)
    given = {
        "chain_mixing_weights": drawn[0],
        "weight_sample": drawn[1],
        "chain_transforms": [[], [{"layer_name": "auto_contrast", "transformation": None}]],
    }
    keras_y = theirs.transform_images(torch.tensor(IMAGES), given).numpy()
    np.testing.assert_allclose(expected.permute(0, 2, 3, 1).numpy(), keras_y, rtol=1e-3)
    weights, share, chains = layer._draw(x)
    assert float(weights.sum()) == pytest.approx(1) and 0 <= float(share) <= 1
    assert len(chains) == 2 and all(len(chain) <= 3 for chain in chains)
    assert len(layers.AugMix(all_ops=False)._names) == 7


def test_policies_in_a_model_and_in_a_file(tmp_path):
    x = lk.Input((10, 14, 3))
    y = layers.AugMix(seed=2)(layers.RandAugment(seed=1)(x))
    model = lk.Model(x, layers.Dense(1)(layers.Flatten()(layers.RandomPerspective()(y))))
    model.compile("sgd", "mse")
    model.fit(IMAGES / 255, np.zeros(3), verbose=0)
    expected = model.predict(IMAGES, verbose=0)
    model.save(tmp_path / "m.keras")
    again = lk.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.predict(IMAGES, verbose=0), expected)
    theirs = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(theirs.predict(IMAGES, verbose=0), expected, rtol=1e-4)


# ---- boxes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 5])
def test_max_num_bounding_boxes(number):
    boxes = RNG.uniform(0, 9, (3, 2, 4)).astype("float32")
    labels = np.array([[1, 2], [3, 4], [5, 6]])
    kw = {"max_number": number, "bounding_box_format": "xyxy"}
    mine = layers.MaxNumBoundingBoxes(**kw)
    data = {"images": IMAGES, "bounding_boxes": {"boxes": boxes, "labels": labels}}
    theirs = keras.layers.MaxNumBoundingBoxes(**kw).transform_bounding_boxes(
        {"boxes": torch.tensor(boxes), "labels": torch.tensor(labels)}, None
    )
    y = mine(data)
    np.testing.assert_array_equal(y["images"], IMAGES)
    for key in ("boxes", "labels"):
        found = y["bounding_boxes"][key].numpy()
        np.testing.assert_array_equal(found, theirs[key].numpy())
    one = mine({"images": IMAGES[0], "bounding_boxes": {"boxes": boxes[0], "labels": labels[0]}})
    np.testing.assert_array_equal(
        one["bounding_boxes"]["boxes"].numpy(), theirs["boxes"][0].numpy()
    )


@pytest.mark.parametrize(
    "wrong, said",
    [
        (lambda: layers.RandAugment(num_ops=0), "is not a size"),
        (lambda: layers.RandAugment(factor=2), "is out of range"),
        (lambda: layers.RandAugment(interpolation="cubic"), "Known: bilinear, nearest"),
        (lambda: layers.RandAugment(value_range=3), "is not a range"),
        (lambda: layers.AugMix(alpha=0), "A number above zero"),
        (lambda: layers.AugMix(num_chains=0.5), "is not a size"),
        (lambda: layers.AugMix()(np.zeros((2, 8, 8, 4), "float32")), "It takes three"),
        (lambda: layers.RandomPerspective(scale=2), "is out of range"),
        (lambda: layers.RandomElasticTransform(fill_mode="refect"), "Did you mean 'reflect'?"),
        (lambda: layers.MaxNumBoundingBoxes(0), "is not a size"),
        (
            lambda: layers.ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=8),
            "Two whole numbers",
        ),
        (
            lambda: layers.MaxNumBoundingBoxes(2)(
                {"bounding_boxes": {"boxes": np.zeros((2, 3)), "labels": np.zeros(2)}}
            ),
            "Boxes are (batch, n, 4)",
        ),
    ],
)
def test_mistakes_get_a_sentence(wrong, said):
    with pytest.raises((ValueError, TypeError)) as caught:
        wrong()
    assert said in str(caught.value)
