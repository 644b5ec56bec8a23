"""Galleries, boxes and masks against the installed Keras, pixel by pixel."""

import inspect
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch

from lightkeras import visualization as ours

theirs = keras.visualization
NAMES = [name for name in dir(theirs) if name[0] != "_"]
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (4, 40, 50, 3)).astype("uint8")
MASKS = GENERATOR.integers(-1, 4, (4, 40, 50, 1))
BOXES = {
    "boxes": np.array([[[5, 6, 20, 30], [10, 3, 48, 38]]] * 4, "float32"),
    "labels": np.array([[0, 1], [1, -1], [2, 2], [-1, -1]]),
}


def test_names_and_signatures():
    assert set(ours.__all__) == set(NAMES)
    for name in NAMES:
        assert inspect.signature(getattr(ours, name)) == inspect.signature(getattr(theirs, name))


# ---- masks ------------------------------------------------------------------------------------

SIX = dict(enumerate([(9, 9, 9), (255, 0, 0), (0, 255, 0), (0, 0, 255), (1, 2, 3), (4, 5, 6)]))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"num_classes": 4},
        {"num_classes": 6, "alpha": 0.3},
        {"num_classes": 6, "color_mapping": SIX},
        {"num_classes": 4, "ignore_index": 2},
        {"num_classes": 4, "ignore_index": 0, "alpha": 1.0},
        {"num_classes": 4, "blend": False},
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_segmentation_masks(kwargs, dtype):
    images = IMAGES.astype(dtype)
    got = ours.draw_segmentation_masks(images, MASKS, **kwargs)
    wanted = theirs.draw_segmentation_masks(images, MASKS, **kwargs)
    wanted = np.asarray(wanted)  # without blending Keras returns a tensor of floats
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, wanted)


def test_masks_of_other_kinds():
    wanted = ours.draw_segmentation_masks(IMAGES, MASKS)
    np.testing.assert_array_equal(ours.draw_segmentation_masks(IMAGES, MASKS[..., 0]), wanted)
    first = (np.moveaxis(x, -1, 1) for x in (IMAGES, MASKS))
    got = ours.draw_segmentation_masks(
        *(torch.tensor(x) for x in first), data_format="channels_first"
    )
    np.testing.assert_array_equal(got, wanted)
    some = ours.draw_segmentation_masks(IMAGES, MASKS, color_mapping={1: (0, 0, 0)}, alpha=1.0)
    assert (some[MASKS[..., 0] == 1] == 0).all()
    np.testing.assert_array_equal(some[MASKS[..., 0] != 1], IMAGES[MASKS[..., 0] != 1])


# ---- boxes ------------------------------------------------------------------------------------


def line(image, start, stop, color, thickness):
    """OpenCV's rectangle, one pixel thick, drawn point by point."""
    assert thickness == 1
    (left, top), (right, bottom) = start, stop
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            inside = 0 <= y < image.shape[0] and 0 <= x < image.shape[1]
            if inside and (x in (left, right) or y in (top, bottom)):
                image[y, x] = color


@pytest.fixture
def opencv(monkeypatch):
    """Keras cannot draw boxes without OpenCV; this stands in for what is compared."""
    try:
        import cv2
    except ImportError:
        cv2 = SimpleNamespace(rectangle=line)
    module = sys.modules["keras.src.visualization.draw_bounding_boxes"]
    monkeypatch.setattr(module, "cv2", cv2)
    return cv2


FORMATS = ["xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw", "rel_xyxy", "rel_yxyx"]
FORMATS += ["rel_xywh", "rel_center_xywh"]


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("images", [IMAGES, IMAGES / np.float32(255), IMAGES.astype("float32")])
def test_bounding_boxes(source, images, opencv):
    boxes = keras.utils.bounding_boxes.convert_format(
        BOXES["boxes"], "xyxy", source, height=40, width=50
    )
    given = {"boxes": np.asarray(boxes) + 1e-4, "labels": BOXES["labels"]}
    kwargs = {"color": (255, 0, 9), "line_thickness": 1}
    got = ours.draw_bounding_boxes(images, given, source, **kwargs)
    wanted = theirs.draw_bounding_boxes(images, given, source, **kwargs)
    np.testing.assert_array_equal(got, wanted)
    assert got[3].tolist() == np.asarray(wanted)[3].tolist()  # no box there
    assert (got[0, 6, 5:21] == (255, 0, 9)).all()


@pytest.mark.parametrize("thickness", range(1, 8))
def test_thick_lines_are_those_of_opencv(thickness):
    cv2 = pytest.importorskip("cv2")
    for box in ((15, 14, 33, 30), (-3, 5, 70, 20), (20, 20, 20, 20)):
        image = np.zeros((1, 40, 50, 3), "uint8")
        given = {"boxes": [[box]], "labels": [[0]]}
        got = ours.draw_bounding_boxes(image, given, "xyxy", line_thickness=thickness)
        wanted = image[0].copy()
        cv2.rectangle(wanted, box[:2], box[2:], (128, 128, 128), thickness)
        np.testing.assert_array_equal(got[0], wanted)


def test_a_thick_line_lies_around_the_box():
    image, box = np.zeros((1, 12, 14, 1)), {"boxes": [[[4, 3, 9, 8]]], "labels": [[0]]}
    drawn = ours.draw_bounding_boxes(image, box, "xyxy", color=(1,), line_thickness=2)[0, ..., 0]
    assert drawn[:, 7].tolist() == [0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0]
    assert drawn[5].tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0]
    assert drawn[2].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]  # round corners
    full = ours.draw_bounding_boxes(image, box, "xyxy", color=(1,), line_thickness=-1)
    assert full.sum() == full[0, 3:9, 4:10].sum() == 36


def test_names_stand_above_boxes_or_inside():
    images = np.zeros((2, 60, 80, 3), "uint8")
    boxes = {
        "boxes": [[[10, 40, 70, 55]], [[10, 5, 70, 55]]],
        "labels": [[1], [1]],
        "confidences": [[0.25], [0.5]],
    }
    plain = ours.draw_bounding_boxes(images, boxes, "xyxy", color=(255, 255, 255))
    named = ours.draw_bounding_boxes(
        images, boxes, "xyxy", {1: "cat"}, color=(255, 255, 255), font_scale=0.5
    )
    text = (named != plain).any(-1)
    above, inside = (np.flatnonzero(t.any(1)) for t in text)
    assert above.max() < 40 - 7
    assert inside.min() > 5
    assert inside.max() < 55
    assert 20 < text[0].sum() < 1200
    other = ours.draw_bounding_boxes(images, {**boxes, "labels": [[2], [-1]]}, "xyxy", {1: "cat"})
    np.testing.assert_array_equal(other[1], images[1])


# ---- galleries --------------------------------------------------------------------------------


def drawn(call, tmp_path):
    """The pixels of the figure that a call writes."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    call(tmp_path / "figure.png")
    assert not pyplot.get_fignums()
    return pyplot.imread(tmp_path / "figure.png")


def same_figure(name, tmp_path, *args, **kwargs):
    got, wanted = (
        drawn(lambda path: getattr(k, name)(*args, path=path, **kwargs), tmp_path)  # noqa: B023
        for k in (ours, theirs)
    )
    np.testing.assert_array_equal(got, wanted)
    return got


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"rows": 1, "cols": 3, "scale": 1},
        {"rows": 4, "cols": 1, "transparent": False, "dpi": 40},
        {
            "y_true": np.array([0, 1, 2, 0]),
            "y_pred": torch.tensor([1, 1, 7, 0]),
            "label_map": {0: "cat", 1: "dog", 2: "cow"},
        },
    ],
)
def test_image_gallery(kwargs, tmp_path):
    same_figure("plot_image_gallery", tmp_path, IMAGES, **kwargs)


def test_ranges_of_values(tmp_path):
    images = (IMAGES / np.float32(255)).round(1)
    same_figure("plot_image_gallery", tmp_path, images, value_range=(0, 1))


def test_channels_first(tmp_path):
    first = np.moveaxis(IMAGES, -1, 1)
    turned, straight = (
        drawn(lambda path: ours.plot_image_gallery(x, path=path, **kwargs), tmp_path)  # noqa: B023
        for x, kwargs in ((first, {"data_format": "channels_first"}), (IMAGES, {}))
    )
    np.testing.assert_array_equal(turned, straight)


@pytest.mark.parametrize(
    ("count", "kwargs", "grid"),
    [(5, {}, (3, 2)), (5, {"cols": 3}, (2, 3)), (2, {"rows": 1}, (1, 2)), (1, {}, (1, 1))],
)
def test_all_images_are_shown(count, kwargs, grid, monkeypatch):
    """Keras shows three of five."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    shown = []
    monkeypatch.setattr(pyplot, "show", lambda: shown.extend(pyplot.gcf().axes))
    ours.plot_image_gallery(np.repeat(IMAGES[:1], count, 0), **kwargs)
    assert shown[0].get_gridspec().get_geometry() == grid
    assert [len(axis.images) for axis in shown] == [1] * count + [0] * (len(shown) - count)


def test_bounding_box_gallery(tmp_path, opencv):
    other = {**BOXES, "boxes": BOXES["boxes"] + 2}
    kwargs = {"y_true": BOXES, "y_pred": other, "line_thickness": 1, "text_thickness": 1}
    same_figure("plot_bounding_box_gallery", tmp_path, IMAGES, "xyxy", **kwargs)
    same_figure("plot_bounding_box_gallery", tmp_path, IMAGES, "xyxy", **kwargs, legend=True)


@pytest.mark.parametrize("kwargs", [{"y_true": MASKS}, {"y_true": MASKS, "y_pred": MASKS[::-1]}])
def test_segmentation_mask_gallery(kwargs, tmp_path):
    same_figure("plot_segmentation_mask_gallery", tmp_path, IMAGES, 4, **kwargs)


def test_a_gallery_is_shown(monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    shown = []
    monkeypatch.setattr(pyplot, "show", lambda: shown.append(pyplot.get_fignums()))
    ours.plot_image_gallery(IMAGES)
    ours.plot_image_gallery(IMAGES, show=False)
    assert [len(figures) for figures in shown] == [1]
    assert not pyplot.get_fignums()


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ours.plot_image_gallery(IMAGES[0]), ValueError, r"type images\[None\]"),
        (lambda: ours.plot_image_gallery(IMAGES, [0]), ValueError, "Type label_map="),
        (
            lambda: ours.plot_image_gallery(IMAGES, path="x.png", show=True),
            ValueError,
            "path='x.png' and show=True",
        ),
        (
            lambda: ours.plot_bounding_box_gallery(IMAGES, "xyxy", legend=True, legend_handles=[1]),
            ValueError,
            "room for one legend",
        ),
        (
            lambda: ours.draw_bounding_boxes(IMAGES, BOXES, "xyyx"),
            ValueError,
            "Unknown format of boxes 'xyyx'. Did you mean",
        ),
        (
            lambda: ours.draw_bounding_boxes(IMAGES, BOXES["boxes"], "xyxy"),
            TypeError,
            "got ndarray for bounding_boxes",
        ),
        (
            lambda: ours.draw_bounding_boxes(IMAGES, {"boxes": []}, "xyxy"),
            ValueError,
            "a dict of boxes for bounding_boxes",
        ),
        (
            lambda: ours.draw_segmentation_masks(IMAGES, MASKS / 2),
            TypeError,
            "masks of float64.*argmax",
        ),
        (
            lambda: ours.draw_segmentation_masks(IMAGES, MASKS[:, :5]),
            ValueError,
            r"\(4, 5, 50, 1\) for images of shape \(4, 40, 50, 3\)",
        ),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
