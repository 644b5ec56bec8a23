"""utils.bounding_boxes and utils.Config against Keras."""

import keras
import numpy as np
import pytest
import torch

from lightkeras import utils
from lightkeras.utils import bounding_boxes as mine

theirs = keras.utils.bounding_boxes
RNG = np.random.default_rng(0)
LOW = RNG.uniform(0, 50, (2, 5, 2))
BOXES = np.concatenate([LOW, LOW + RNG.uniform(1, 40, (2, 5, 2))], -1).astype("float32")
OTHERS = (BOXES[:, ::-1] + RNG.uniform(-9, 9, (2, 5, 4))).astype("float32")
FORMATS = ["xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw"]
FORMATS += ["rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh"]


def close(a, b):
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_formats(source, target):
    boxes = BOXES / 100 if source.startswith("rel") else BOXES
    args = (source, target, 60, 80)
    close(mine.convert_format(boxes, *args), theirs.convert_format(boxes, *args))
    close(mine.convert_format(boxes[0], *args), theirs.convert_format(boxes[0], *args))
    labelled = mine.convert_format({"boxes": boxes, "labels": [1]}, *args)
    close(labelled["boxes"], theirs.convert_format(boxes, *args))


@pytest.mark.parametrize("kind", ["xyxy", "rel_xyxy"])
def test_clipping(kind):
    boxes = (BOXES - 30) / (40 if kind == "rel_xyxy" else 1)
    data = {"boxes": torch.tensor(boxes), "labels": torch.arange(10).view(2, 5)}
    args = (40, 45, kind)
    a, b = mine.clip_to_image_size(data, *args), theirs.clip_to_image_size(dict(data), *args)
    close(a["boxes"], b["boxes"])
    assert a["labels"].tolist() == b["labels"].tolist() and (a["labels"] == -1).any()


def test_crops_pads_and_maps():
    x = torch.tensor(BOXES)
    close(mine.crop(x, 5, 10, 30, 40), theirs.crop(x, 5, 10, 30, 40))
    close(mine.pad(x, 5, 10), theirs.pad(x, 5, 10))
    numbers = [torch.tensor(RNG.uniform(-20, 20, 2).astype("float32")) for _ in range(3)]
    moves = [torch.tensor(RNG.uniform(-0.2, 0.2, 2).astype("float32")) for _ in range(2)]
    scale = torch.tensor([0.8, 1.3])
    args = (numbers[0], *moves, scale, *numbers[1:], 60, 80)
    close(mine.affine_transform(x, *args), theirs.affine_transform(x, *args))
    centered = {"center_x": 0.2, "center_y": 0.7}
    close(
        mine.affine_transform(x, *args, **centered), theirs.affine_transform(x, *args, **centered)
    )


@pytest.mark.parametrize("encoding", ["center_yxhw", "center_xywh"])
@pytest.mark.parametrize("variance", [None, [0.1, 0.1, 0.2, 0.2]])
def test_deltas(encoding, variance):
    args = (encoding, variance, (60, 80, 3))
    for anchor_format, box_format in (("xyxy", "xywh"), ("rel_xywh", "xyxy")):
        anchors = BOXES[0] / 100 if anchor_format.startswith("rel") else BOXES[0]
        kinds = (anchor_format, box_format)
        deltas = mine.encode_box_to_deltas(anchors, BOXES, *kinds, *args)
        close(deltas, theirs.encode_box_to_deltas(anchors, BOXES, *kinds, *args))
        boxes = mine.decode_deltas_to_boxes(anchors, deltas, *kinds, *args)
        np.testing.assert_allclose(boxes.numpy(), BOXES, rtol=1e-3, atol=1e-3)
        scale = None if variance is None else torch.tensor(variance)
        close(
            boxes, theirs.decode_deltas_to_boxes(anchors, deltas, *kinds, encoding, scale, args[2])
        )
    both = mine.decode_deltas_to_boxes({"a": anchors}, {"a": deltas}, *kinds, *args)
    close(both["a"], boxes)


@pytest.mark.parametrize("kind", FORMATS)
def test_ious(kind):
    scale = 100 if kind.startswith("rel") else 1
    a, b = BOXES / scale, OTHERS[:, :3] / scale
    for one, two in ((a, b), (a, b[0]), (a[0], b[0])):
        for masking in (False, True):
            if masking and two.ndim != one.ndim:
                continue
            kw = {"use_masking": masking, "image_shape": (60, 80, 3)}
            close(mine.compute_iou(one, two, kind, **kw), theirs.compute_iou(one, two, kind, **kw))
    if scale == 1:
        close(mine.compute_ciou(BOXES, OTHERS, kind), theirs.compute_ciou(BOXES, OTHERS, kind))


def test_masked_ious():
    boxes = np.concatenate([BOXES[0], -np.ones((1, 4), "float32")])
    kw = {"use_masking": True, "mask_val": -7}
    a = mine.compute_iou(boxes, boxes, "xyxy", **kw)
    close(a, theirs.compute_iou(boxes, boxes, "xyxy", **kw))
    assert (a == -7).sum() == 11


def test_configs_of_named_values():
    for cls in (keras.utils.Config, utils.Config):
        config = cls(b=1, a=2)
        config.c = 3
        config["d"] = 4
        assert (config.a, config["c"], len(config), "d" in config) == (2, 3, 4, True)
        assert list(config) == ["a", "b", "c", "d"] and config.get("x", 5) == 5
        assert config.to_json() == '{"b": 1, "a": 2, "c": 3, "d": 4}'
        del config["d"]
        assert config.pop("c") == 3 and config.as_dict() == {"b": 1, "a": 2}
        config.update(e=6)
        config.freeze()
        assert config.frozen
        for change in (
            lambda c: c.pop("a"),
            lambda c: c.update(a=1),
            lambda c: setattr(c, "a", 1),
            lambda c: c.__setitem__("a", 1),
        ):
            with pytest.raises(ValueError, match="frozen"):
                change(config)
        config.unfreeze()
        config.alpha = 1
        with pytest.raises(AttributeError, match="Did you mean 'alpha'"):
            _ = config.alpa


@pytest.mark.parametrize(
    "wrong, said",
    [
        (lambda: mine.convert_format(BOXES, "xyxy", "xyhw"), "Did you mean"),
        (lambda: mine.convert_format(BOXES[..., :3], "xyxy", "xywh"), "Each is four numbers"),
        (lambda: mine.convert_format(BOXES, "xyxy", "rel_xyxy"), "Type height=224"),
        (lambda: mine.clip_to_image_size({"boxes": BOXES}), "The size of the image"),
        (lambda: mine.crop(BOXES, 1, 1, 2, 2, "xywh"), "Use convert_format() before"),
        (lambda: mine.compute_ciou(BOXES, BOXES, "rel_xyxy"), "Use convert_format() before"),
        (lambda: mine.compute_iou(BOXES[0, 0], BOXES, "xyxy"), "(n, 4) and (batch, n, 4)"),
        (
            lambda: mine.encode_box_to_deltas(BOXES, BOXES, "xyxy", "xyxy", variance=[1.0]),
            "Four numbers",
        ),
        (
            lambda: mine.decode_deltas_to_boxes(BOXES, BOXES, "xyxy", "xyxy", "xywh"),
            "Known: center_xywh",
        ),
    ],
)
def test_mistakes_get_a_sentence(wrong, said):
    with pytest.raises(ValueError) as caught:
        wrong()
    assert said in str(caught.value)
