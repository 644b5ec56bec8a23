"""Pictures of models: what stands in the boxes, where they stand, and the files."""

import itertools
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lightkeras as lk
from lightkeras import layers
from lightkeras.utils import _diagram, _layout, model_to_dot, plot_model, vis_utils

ALL = {"names", "shapes", "dtypes", "activations", "trainable"}


@pytest.fixture
def without_graphviz(monkeypatch):
    monkeypatch.setattr(vis_utils.shutil, "which", lambda name: None)


def branched(skips=3):
    """Every block adds its input to its output; inputs meet at the end."""
    entry, other = layers.Input((6,), name="left"), layers.Input((6,), name="right")
    x = entry
    for number in range(skips):
        y = layers.Dense(6, activation="relu", name=f"up_{number}")(x)
        y = layers.Dense(6, name=f"down_{number}")(y)
        x = layers.add([x, y], name=f"sum_{number}")
    return lk.Model([entry, other], layers.Dense(1, name="end")(layers.concatenate([x, other])))


def nested():
    stack = lk.Sequential([layers.Input((1,)), layers.Dense(3, name="inner")], name="stack")
    entry = layers.Input((6,))
    return lk.Model(entry, layers.Dense(1, name="end")(stack(branched(1)([entry, entry]))))


def boxes(diagram):
    return {box.title.partition(" ")[0]: box for box in diagram.boxes}


# ---- what is shown ------------------------------------------------------------------------------


def test_rows_of_boxes():
    found = _diagram.diagram_of(branched(), ALL, False)
    up = boxes(found)["up_0"]
    assert up.title == "up_0 (Dense)"
    assert up.rows == [
        [("Activation", "relu")],
        [
            ("Input shape", "(None, 6)"),
            ("Output shape", "(None, 6)"),
            ("Output dtype", "float32"),
            ("Trainable", "True"),
        ],
    ]
    assert boxes(found)["sum_0"].rows[0][0] == ("Input shape", "(None, 6), (None, 6)")
    bare = _diagram.diagram_of(branched(), set(), False)
    assert (bare.boxes[0].title, bare.boxes[0].rows) == ("InputLayer", [])
    named = [box.title.partition(" ")[0] for box in found.boxes]
    edges = {(named[a], named[b]) for a, b in found.edges}
    assert {("left", "up_0"), ("up_0", "down_0"), ("left", "sum_0"), ("down_0", "sum_0")} <= edges
    assert len(edges) == 3 * 4 + 3


def test_kinds_of_models():
    stack = lk.Sequential([layers.Input((4,)), layers.Dense(3), layers.Dense(2)])
    found = _diagram.diagram_of(stack, {"shapes"}, False)
    assert ([b.title for b in found.boxes], found.edges) == (["Dense", "Dense"], [(0, 1)])

    class Own(lk.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, x):
            return self.dense(x)

    model = Own()
    model(np.ones((2, 3), "float32"))
    found = _diagram.diagram_of(model, ALL, True)
    assert [b.title for b in found.boxes] == [f"{model.name} (Own)"]
    shared = layers.Dense(2, name="twice")
    entry = layers.Input((2,))
    found = _diagram.diagram_of(lk.Model(entry, shared(shared(entry))), {"names"}, False)
    assert len(found.boxes) == 2


def test_models_inside():
    closed = _diagram.diagram_of(nested(), ALL, False)
    assert all(box.inside is None for box in closed.boxes)
    opened = _diagram.diagram_of(nested(), ALL, True)
    inside = boxes(opened)["stack"].inside
    assert [box.title for box in inside.boxes] == ["inner (Dense)"]


# ---- where it stands ----------------------------------------------------------------------------


def graph(seed, count=14):
    """A random graph without circles, with boxes of several sizes."""
    rng = np.random.default_rng(seed)
    edges = {(a, b) for b in range(1, count) for a in rng.integers(0, b, size=rng.integers(1, 3))}
    return [tuple(rng.uniform(20, 90, size=2)) for _ in range(count)], sorted(edges)


@pytest.mark.parametrize("seed", range(8))
def test_boxes_do_not_touch_and_edges_lead_down(seed):
    sizes, edges = graph(seed)
    centers, ways, (width, height) = _layout.arrange(sizes, edges)
    assert len(centers) == len(sizes)
    around = [
        (u - w / 2, u + w / 2, v - h / 2, v + h / 2)
        for (u, v), (w, h) in zip(centers, sizes, strict=True)
    ]
    for a, b in itertools.combinations(around, 2):
        beside = a[1] < b[0] or b[1] < a[0]
        assert beside or a[3] < b[2] or b[3] < a[2]
    assert min(a[0] for a in around) >= -1e-6 and max(a[1] for a in around) <= width + 1e-6
    assert min(a[2] for a in around) >= -1e-6 and max(a[3] for a in around) <= height + 1e-6
    for a, b in edges:
        down = [centers[a][1], *(v for _, v in ways[a, b]), centers[b][1]]
        assert down == sorted(down)
        for u, v in ways[a, b][1:-1]:  # beside the boxes, not through them
            assert not any(x < u < y and s < v < t for x, y, s, t in around)


def test_a_chain_is_straight():
    centers, _, size = _layout.arrange([(40, 20), (90, 20), (30, 50)], [(0, 1), (1, 2)])
    assert [u for u, _ in centers] == pytest.approx([45.0] * 3)
    assert size == pytest.approx((90, 20 + 20 + 50 + 2 * 30))


def test_crossed_edges_are_untangled():
    centers, _, _ = _layout.arrange([(10, 10)] * 4, [(0, 3), (1, 2)])
    assert (centers[0][0] < centers[1][0]) == (centers[3][0] < centers[2][0])


# ---- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rankdir", ["TB", "BT", "LR", "RL"])
def test_directions(rankdir, tmp_path, without_graphviz):
    plot_model(branched(), tmp_path / "m.png", show_shapes=True, rankdir=rankdir, dpi=40)
    with Image.open(tmp_path / "m.png") as picture:
        width, height = picture.size
        dark = np.asarray(picture.convert("L")) < 80
    assert (height > width) == (rankdir in ("TB", "BT"))
    assert 0.03 < dark.mean() < 0.6


def test_formats_and_options(tmp_path, without_graphviz):
    for name in ("m.pdf", "m.svg", "m.png", "m"):
        plot_model(
            nested(),
            str(tmp_path / name),
            show_shapes=True,
            show_dtype=True,
            show_layer_names=True,
            expand_nested=True,
            dpi=50,
            show_layer_activations=True,
            show_trainable=True,
        )
    starts = {name: (tmp_path / name).read_bytes()[:5] for name in ("m.pdf", "m.svg", "m.png")}
    assert starts == {"m.pdf": b"%PDF-", "m.svg": b"<?xml", "m.png": b"\x89PNG\r"}
    assert (tmp_path / "m").read_bytes()[:4] == b"\x89PNG"


def test_resolution(tmp_path, without_graphviz):
    model = lk.Sequential([layers.Input((2,)), layers.Dense(1)])
    sides = []
    for dpi in (50, 100):
        plot_model(model, tmp_path / "m.png", dpi=dpi)
        with Image.open(tmp_path / "m.png") as picture:
            sides.append(picture.size[0])
    assert sides[1] == pytest.approx(2 * sides[0], abs=2)


def test_pyplot_is_left_alone(tmp_path, without_graphviz):
    import matplotlib

    def state():
        pyplot = sys.modules.get("matplotlib.pyplot")
        return matplotlib.get_backend(), pyplot.get_fignums() if pyplot else []

    before = state()
    plot_model(branched(), tmp_path / "m.png", dpi=30)
    assert state() == before


def test_dot_text(tmp_path):
    dot = model_to_dot(nested(), show_shapes=True, expand_nested=True, rankdir="LR", dpi=96)
    text = dot.to_string()
    assert text.startswith("digraph model {\nrankdir=LR; dpi=96;")
    assert text.count("{") == text.count("}")
    assert 'label="stack (Sequential)"' in text
    assert "Input shape: (None, 6)" in text
    assert text.count("->") == 4 + 3 + 5 - 2
    dot.write(tmp_path / "m.dot")
    assert (tmp_path / "m.dot").read_text() == text
    assert model_to_dot(branched(), subgraph=True).to_string().startswith("subgraph cluster_model")


@pytest.mark.skipif(os.name == "nt", reason="a script stands in for the program")
def test_graphviz_draws_where_it_is_installed(tmp_path, monkeypatch):
    """A program called `dot` is given the text and the format."""
    program = tmp_path / "dot"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[1], sys.stdin.read())\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tmp_path))
    plot_model(branched(), tmp_path / "m.svg")
    written = (tmp_path / "m.svg").read_text()
    assert written.startswith("-Tsvg digraph model {")
    model_to_dot(branched()).write_png(tmp_path / "m.png")
    assert (tmp_path / "m.png").read_text().startswith("-Tpng digraph")


def test_refusals(tmp_path, monkeypatch, without_graphviz):
    model = branched()
    with pytest.raises(ValueError, match=r"is not built.*Input"):
        plot_model(lk.Sequential([layers.Dense(1)]))
    with pytest.raises(ValueError, match=r"rankdir='TD' is no direction\. .*: TB, BT, LR, RL"):
        plot_model(model, rankdir="TD")
    with pytest.raises(TypeError, match="unexpected argument 'show_shape'"):
        plot_model(model, show_shape=True)
    with pytest.raises(FileNotFoundError, match=r"Install Graphviz, or use utils\.plot_model"):
        model_to_dot(model).create()
    monkeypatch.setattr(vis_utils.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plot_model(model, tmp_path / "m.png")
    assert not list(Path(tmp_path).iterdir())
