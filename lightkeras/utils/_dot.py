"""A diagram in the DOT language, and what Graphviz makes of it."""

from __future__ import annotations

import html
import os
import shutil
import subprocess

__all__ = ["Dot"]


class Dot:
    """The text of a graph in the DOT language, with the methods that code for pydot calls.

    Args:
        diagram: A diagram.
        rankdir: Direction of the edges.
        dpi: Pixels an inch.
        splines: How Graphviz draws edges.
        subgraph: Whether it is to stand in another graph.
    """

    def __init__(self, diagram, rankdir="TB", dpi=200, splines="ortho", subgraph=False):
        kind = "subgraph" if subgraph else "digraph"
        self._lines = [f"{kind} {'cluster_' if subgraph else ''}model {{"]
        self._lines += [
            f"rankdir={rankdir}; dpi={dpi}; splines={splines}; concentrate=true;",
            'node [shape=plaintext, fontname="Helvetica", margin=0];',
        ]
        self._add(diagram, "n")
        self._lines.append("}")

    def _add(self, diagram, prefix):
        for number, box in enumerate(diagram.boxes):
            name = f"{prefix}_{number}"
            if box.inside is None:
                self._lines.append(f"{name} [label=<{_table(box)}>];")
                continue
            self._lines.append(f"subgraph cluster_{name} {{ label={_quoted(box.title)};")
            self._add(box.inside, name)
            self._lines.append("}")
        for a, b in diagram.edges:
            ends = _end(diagram, a, f"{prefix}_{a}", -1), _end(diagram, b, f"{prefix}_{b}", 0)
            self._lines.append(f"{ends[0]} -> {ends[1]} [penwidth=2];")

    def to_string(self):
        """The text."""
        return "\n".join(self._lines) + "\n"

    def create(self, prog="dot", format="png"):
        """The bytes of a picture that Graphviz's `dot` makes.

        Raises:
            FileNotFoundError: Graphviz is not installed.
        """
        found = shutil.which(prog)
        if found is None:
            raise FileNotFoundError(
                f"The program {prog!r} of Graphviz is not installed. It draws graphs in the DOT "
                "language. Install Graphviz, or use utils.plot_model(), which needs matplotlib."
            )
        text = self.to_string().encode()
        return subprocess.run(
            [found, f"-T{format}"], input=text, capture_output=True, check=True
        ).stdout

    def write(self, path, prog="dot", format="raw"):
        """Write the text, or a picture of another `format`, to a file."""
        raw = format in ("raw", "dot")
        content = self.to_string().encode() if raw else self.create(prog, format)
        with open(os.fspath(path), "wb") as file:
            file.write(content)
        return True

    def write_png(self, path, prog="dot"):
        """Write a picture to a PNG file."""
        return self.write(path, prog, "png")


def _end(diagram, number, name, which):
    """The box where an edge ends: inside a model, its last (-1) or first (0) one."""
    inside = diagram.boxes[number].inside
    if inside is None:
        return name
    place = len(inside.boxes) - 1 if which else 0
    return _end(inside, place, f"{name}_{place}", which)


def _table(box):
    span = max([1, *(len(row) for row in box.rows)])
    title = f'<font color="white"><b>{html.escape(box.title)}</b></font>'
    lines = [f'<tr><td colspan="{span}" bgcolor="black">{title}</td></tr>']
    for row in box.rows:
        width = span // len(row)
        cells = [
            f'<td colspan="{width}" bgcolor="white">{html.escape(f"{a}: {b}")}</td>' for a, b in row
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<table border="0" cellborder="1" cellspacing="0" cellpadding="8">{"".join(lines)}</table>'
    )


def _quoted(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
