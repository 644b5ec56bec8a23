"""Pictures of models: `plot_model` and `model_to_dot`."""

from __future__ import annotations

import importlib.util
import os
import shutil

from lightkeras._older import old_names
from lightkeras.utils._diagram import diagram_of
from lightkeras.utils._dot import Dot

__all__ = ["model_to_dot", "plot_model"]

_DIRECTIONS = ("TB", "BT", "LR", "RL")


def model_to_dot(
    model,
    show_shapes=False,
    show_dtype=False,
    show_layer_names=True,
    rankdir="TB",
    expand_nested=False,
    dpi=200,
    subgraph=False,
    show_layer_activations=False,
    show_trainable=False,
    splines="ortho",
    **kwargs,
):
    """A model as a graph in the DOT language of Graphviz.

    Args: as for `plot_model`, and
        subgraph: Whether the graph is to stand in another one.

    Returns:
        An object with `to_string()`, `write(path)`, `write_png(path)` and `create(format=)`, as
        pydot's have.

    >>> import lightkeras as lk
    >>> model = lk.Sequential([lk.Input((4,)), lk.layers.Dense(2)])
    >>> model_to_dot(model).to_string().splitlines()[0]
    'digraph model {'
    """
    _check(model, rankdir, kwargs)
    shown = _shown(
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable
    )
    return Dot(diagram_of(model, shown, expand_nested), rankdir, dpi, splines, subgraph)


def plot_model(
    model,
    to_file="model.png",
    show_shapes=False,
    show_dtype=False,
    show_layer_names=False,
    rankdir="TB",
    expand_nested=False,
    dpi=200,
    show_layer_activations=False,
    show_trainable=False,
    splines="ortho",
    **kwargs,
):
    """Draw the layers of a model and what flows between them into a file.

    Graphviz draws if its program `dot` is installed, otherwise matplotlib.

    Args:
        model: A built model.
        to_file: The file; its ending is the format (png, pdf, svg).
        show_shapes: Whether the shapes of inputs and outputs are shown.
        show_dtype: Whether the dtypes of outputs are shown.
        show_layer_names: Whether the names of layers are shown beside their classes.
        rankdir: "TB" draws from top to bottom, "LR" from left to right; "BT" and "RL" backwards.
        expand_nested: Whether the layers of models in the model are drawn, in a frame.
        dpi: Pixels an inch.
        show_layer_activations: Whether activations are shown.
        show_trainable: Whether it is shown which layers are trained.
        splines: How Graphviz draws edges.

    Returns:
        In a notebook, the picture.

    Raises:
        ValueError: the model is not built; `rankdir` is unknown.
        ImportError: neither Graphviz nor matplotlib is installed.
    """
    _check(model, rankdir, kwargs)
    to_file = os.fspath(to_file)
    ending = os.path.splitext(to_file)[1].lstrip(".") or "png"
    shown = _shown(
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable
    )
    diagram = diagram_of(model, shown, expand_nested)
    if shutil.which("dot") or ending == "dot":
        Dot(diagram, rankdir, dpi, splines).write(to_file, format=ending)
    elif importlib.util.find_spec("matplotlib") is not None:
        from lightkeras.utils._drawing import draw

        draw(diagram, to_file, rankdir, dpi)
    else:
        raise ImportError(
            "plot_model() draws with Graphviz or matplotlib, and neither is installed. One of "
            "them is needed. Type pip install matplotlib."
        )
    return _shown_in_notebook(to_file, ending)


def _shown(shapes, dtypes, names, activations, trainable):
    options = {
        "shapes": shapes,
        "dtypes": dtypes,
        "names": names,
        "activations": activations,
        "trainable": trainable,
    }
    return {name for name, wanted in options.items() if wanted}


def _check(model, rankdir, kwargs):
    if not getattr(model, "built", False):
        raise ValueError(
            f"{getattr(model, 'name', type(model).__name__)!r} is not built: its layers have no "
            "shapes yet. A built model is accepted. Start it with Input(shape), or call "
            "build(input_shape)."
        )
    if rankdir not in _DIRECTIONS:
        raise ValueError(
            f"rankdir={rankdir!r} is no direction. Accepted: {', '.join(_DIRECTIONS)}. Type "
            'rankdir="LR" for left to right.'
        )
    for name in kwargs:
        if name != "layer_range" or kwargs[name] is not None:
            raise TypeError(
                f"plot_model() got an unexpected argument {name!r}. Accepted: to_file, "
                "show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi, "
                "show_layer_activations, show_trainable."
            )


def _shown_in_notebook(to_file, ending):
    if importlib.util.find_spec("IPython") is None or ending not in ("png", "jpg", "jpeg", "svg"):
        return None
    from IPython import display, get_ipython

    if get_ipython() is None:
        return None
    return display.SVG(to_file) if ending == "svg" else display.Image(filename=to_file)


__getattr__ = old_names(__name__)
