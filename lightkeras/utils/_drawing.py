"""A diagram drawn with matplotlib."""

from __future__ import annotations

import itertools
from typing import Any

from lightkeras.utils._layout import arrange

__all__ = ["draw"]

_TITLE, _TEXT = 11.0, 9.5  # points
_DARK, _LINE, _EDGE, _FRAME = "#22262e", "#22262e", "#5b6472", "#f2f4f7"
_PAD, _MARGIN, _INSET = 7.0, 12.0, 16.0
_LARGEST = 60_000  # pixels of a side that the PNG writer takes


def draw(diagram, to_file, rankdir, dpi):
    """Draw a diagram into a file, in the format of its ending (PNG without one).

    Raises:
        ValueError: matplotlib does not know the format.
    """
    from matplotlib.figure import Figure  # without pyplot: nothing of the user's is touched

    pen = _Pen(rankdir)
    picture = pen.arranged(diagram)
    width, height = (side + 2 * _MARGIN for side in picture.size)
    figure = Figure(figsize=(width / 72, height / 72), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    pen.draw(picture, axes, _MARGIN, _MARGIN)
    dpi = min(dpi, _LARGEST * 72 / max(width, height))
    figure.savefig(to_file, dpi=dpi, format=None if "." in to_file[-6:] else "png")


class _Picture:
    """A diagram with places: boxes, ways of edges, and the size, in points."""

    def __init__(self, boxes, ways, size):
        self.boxes, self.ways, self.size = boxes, ways, size


class _Drawn:
    """A box with its size, and the picture of what is inside."""

    def __init__(self, box, size, inside, columns):
        self.box, self.size, self.inside, self.columns = box, size, inside, columns
        self.center = (0.0, 0.0)


class _Pen:
    def __init__(self, rankdir):
        self.upright = rankdir in ("TB", "BT")
        self.reverse = rankdir in ("BT", "RL")

    # ---- sizes and places ---------------------------------------------------------------------

    def arranged(self, diagram):
        """Places for a diagram and for those inside it."""
        boxes = [self._sized(box) for box in diagram.boxes]
        sizes = [b.size if self.upright else b.size[::-1] for b in boxes]
        centers, ways, size = arrange(sizes, diagram.edges)
        along = size[1]
        for drawn, center in zip(boxes, centers, strict=True):
            drawn.center = self._turned(center, along)
        turned = {e: [self._turned(p, along) for p in way] for e, way in ways.items()}
        return _Picture(boxes, turned, size if self.upright else size[::-1])

    def _turned(self, point, along):
        across, down = point
        down = along - down if self.reverse else down
        return (across, down) if self.upright else (down, across)

    def _sized(self, box):
        title = _width(box.title, _TITLE, bold=True) + 2 * _PAD
        if box.inside is not None:
            inside = self.arranged(box.inside)
            width = max(title, inside.size[0] + 2 * _INSET)
            height = inside.size[1] + 2 * _INSET + _TITLE + _PAD
            return _Drawn(box, (width, height), inside, [])
        columns = [[_width(f"{a}: {b}", _TEXT) + 2 * _PAD for a, b in row] for row in box.rows]
        width = max([title, 64.0, *(sum(row) for row in columns)])
        columns = [[cell * width / sum(row) for cell in row] for row in columns]
        height = _TITLE + 2 * _PAD + len(box.rows) * (_TEXT + 2 * _PAD)
        return _Drawn(box, (width, height), None, columns)

    # ---- drawing ------------------------------------------------------------------------------

    def draw(self, picture, axes, left, top):
        """Draw a picture with its upper left corner there."""
        for (start, end), way in picture.ways.items():
            ends = [picture.boxes[n] for n in (start, end)]
            self._edge(axes, ends, [(x + left, y + top) for x, y in way], left, top)
        for drawn in picture.boxes:
            x, y = (c - s / 2 for c, s in zip(drawn.center, drawn.size, strict=True))
            self._box(axes, drawn, x + left, y + top)

    def _edge(self, axes, ends, way, left, top):
        from matplotlib.patches import FancyArrowPatch
        from matplotlib.path import Path

        first, last = (self._port(b, out, left, top) for b, out in zip(ends, (1, -1), strict=True))
        points = [first]
        for point in (*way, last):
            if max(abs(a - b) for a, b in zip(point, points[-1], strict=True)) > 0.5:
                points.append(point)
        vertices, codes = [points[0]], [Path.MOVETO]
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            half = (y0 + y1) / 2 if self.upright else (x0 + x1) / 2
            bend = [(x0, half), (x1, half)] if self.upright else [(half, y0), (half, y1)]
            vertices += [*bend, (x1, y1)]
            codes += [Path.CURVE4] * 3
        arrow = FancyArrowPatch(
            path=Path(vertices, codes),
            arrowstyle="-|>,head_length=5,head_width=2.6",
            color=_EDGE,
            linewidth=1.1,
            shrinkA=0,
            shrinkB=0,
        )
        axes.add_patch(arrow)

    def _port(self, drawn, out, left, top):
        """Where an edge leaves (1) or enters (-1) a box."""
        side = -out if self.reverse else out
        x, y = drawn.center[0] + left, drawn.center[1] + top
        width, height = drawn.size
        return (x, y + side * height / 2) if self.upright else (x + side * width / 2, y)

    def _box(self, axes, drawn, x, y):
        from matplotlib.patches import Rectangle

        width, height = drawn.size
        box, title = drawn.box, _TITLE + 2 * _PAD
        if drawn.inside is not None:
            frame: dict[str, Any] = {
                "facecolor": _FRAME,
                "edgecolor": _EDGE,
                "linewidth": 1.0,
                "linestyle": "--",
            }
            axes.add_patch(Rectangle((x, y), width, height, **frame))
            _write(axes, box.title, x + width / 2, y + _PAD + _TITLE / 2, _TITLE, _DARK, bold=True)
            inset = (width - drawn.inside.size[0]) / 2
            self.draw(drawn.inside, axes, x + inset, y + _INSET + _TITLE + _PAD)
            return
        axes.add_patch(Rectangle((x, y), width, title, facecolor=_DARK, edgecolor=_LINE))
        _write(axes, box.title, x + width / 2, y + title / 2, _TITLE, "white", bold=True)
        y += title
        line: dict[str, Any] = {"facecolor": "white", "edgecolor": _LINE, "linewidth": 1.0}
        for row, columns in zip(box.rows, drawn.columns, strict=True):
            tall, at = _TEXT + 2 * _PAD, x
            for (label, value), cell in zip(row, columns, strict=True):
                axes.add_patch(Rectangle((at, y), cell, tall, **line))
                _write(axes, f"{label}: {value}", at + cell / 2, y + tall / 2, _TEXT, _DARK)
                at += cell
            y += tall


def _write(axes, text, x, y, size, color, bold=False):
    axes.text(
        x,
        y,
        text,
        size=size,
        color=color,
        weight="bold" if bold else "normal",
        family="DejaVu Sans",
        ha="center",
        va="center_baseline",
        parse_math=False,
    )


def _width(text, size, bold=False):
    """Width of a text in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=size)
    return TextToPath().get_text_width_height_descent(text, font, ismath=False)[0]
