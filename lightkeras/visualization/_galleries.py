"""Many images in one figure."""

from __future__ import annotations

import math

import numpy as np

from lightkeras.visualization._drawing import (
    array,
    draw_bounding_boxes,
    draw_segmentation_masks,
    pictures,
)

__all__ = ["plot_bounding_box_gallery", "plot_image_gallery", "plot_segmentation_mask_gallery"]


def _pyplot():
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError(
            "A gallery is drawn with matplotlib, which is not installed. Type "
            "pip install matplotlib."
        ) from None
    return pyplot


def plot_image_gallery(
    images,
    y_true=None,
    y_pred=None,
    label_map=None,
    rows=None,
    cols=None,
    value_range=(0, 255),
    scale=2,
    path=None,
    show=None,
    transparent=True,
    dpi=60,
    legend_handles=None,
    data_format=None,
):
    """Shows images side by side, with their labels.

    Args:
        images: A batch of images.
        y_true: True classes, written above the images.
        y_pred: Predicted classes, likewise.
        label_map: {class: name}, needed for either.
        rows, cols: How many images stand above and beside one another; by default about as many,
            enough for all.
        value_range: Smallest and largest value of a pixel.
        scale: Size of an image, in inches.
        path: A file to write; nothing is shown then.
        show: Whether the figure is shown; by default if there is no path.
        transparent: Whether the file's background is see-through.
        dpi: Dots of the file in an inch.
        legend_handles: matplotlib's handles for a legend.
        data_format: "channels_last" or "channels_first".

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the images are no batch, there are classes without names, or both a path and
            `show` are given.
    """
    plt = _pyplot()
    if path is not None and show:
        raise ValueError(
            f"plot_image_gallery() got path={str(path)!r} and show=True. A figure is written or "
            "shown. Leave one of them out."
        )
    if label_map is None and (y_true is not None or y_pred is not None):
        raise ValueError(
            "plot_image_gallery() got classes without label_map. Their names are written. Type "
            'label_map={0: "cat", 1: "dog"}.'
        )
    images = _to_bytes(pictures("plot_image_gallery", images, data_format), value_range)
    rows, cols = _grid(len(images), rows, cols)
    fig, axes = plt.subplots(
        nrows=rows,
        ncols=cols,
        figsize=(cols * scale, rows * scale),
        frameon=False,
        layout="tight",
        squeeze=False,
        sharex="row",
        sharey="col",
    )
    fig.subplots_adjust(wspace=0, hspace=0)
    if legend_handles is not None:
        fig.legend(handles=legend_handles, loc="lower center")
    classes = {"Label": y_true, "Pred": y_pred}
    classes = {k: array(v).tolist() for k, v in classes.items() if v is not None}
    for i, axis in enumerate(axes.flat):
        axis.axis("off")
        if i < len(images):
            axis.imshow(images[i].squeeze(-1) if images.shape[-1] == 1 else images[i])
            axis.margins(x=0, y=0)
            known = {k: v[i] for k, v in classes.items() if i < len(v)}
            title = [f"{k}: {label_map.get(v, 'Unknown')}" for k, v in known.items()]
            if title:  # an empty one takes room
                axis.set_title("  ".join(title), fontsize=8)
    if path is not None:
        fig.savefig(path, pad_inches=0, bbox_inches="tight", transparent=transparent, dpi=dpi)
    elif show or show is None:
        plt.show()
    plt.close(fig)


def _to_bytes(images, value_range):
    """Images of any range as bytes."""
    low, high = value_range
    images = images.astype("float32")
    if (low, high) != (0, 255):
        images = (images - low) / (high - low) * 255
    return images.clip(0, 255).astype("uint8")


def _grid(count, rows, cols):
    """(rows, columns) for `count` images."""
    if rows is None:
        rows = math.ceil(count / cols) if cols else math.ceil(math.sqrt(count))
    return max(rows, 1), max(cols or math.ceil(count / max(rows, 1)), 1)


def plot_bounding_box_gallery(
    images,
    bounding_box_format,
    y_true=None,
    y_pred=None,
    value_range=(0, 255),
    true_color=(0, 188, 212),
    pred_color=(255, 235, 59),
    line_thickness=2,
    font_scale=1.0,
    text_thickness=None,
    class_mapping=None,
    ground_truth_mapping=None,
    prediction_mapping=None,
    legend=False,
    legend_handles=None,
    rows=None,
    cols=None,
    data_format=None,
    **kwargs,
):
    """Shows images side by side, with boxes drawn into them.

    Args:
        images: A batch of images.
        bounding_box_format: That of the boxes, as in `draw_bounding_boxes`.
        y_true, y_pred: True and predicted boxes, dicts as in `draw_bounding_boxes`.
        value_range: Smallest and largest value of a pixel.
        true_color, pred_color: Their colors.
        line_thickness, font_scale, text_thickness: As in `draw_bounding_boxes`.
        class_mapping: {label: name to write}.
        ground_truth_mapping, prediction_mapping: Others for either kind.
        legend: Whether the colors are explained.
        legend_handles: matplotlib's handles for another legend.
        rows, cols, data_format: As in `plot_image_gallery`.
        **kwargs: For `plot_image_gallery`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the images are no batch, or there are two legends.
    """
    _pyplot()
    from matplotlib.patches import Patch

    if legend and legend_handles:
        raise ValueError(
            "plot_bounding_box_gallery() got legend=True and legend_handles. There is room for one "
            "legend. Leave one of them out."
        )
    images = _to_bytes(pictures("plot_bounding_box_gallery", images, data_format), value_range)
    kinds = (
        (y_true, true_color, ground_truth_mapping, "Ground Truth"),
        (y_pred, pred_color, prediction_mapping, "Prediction"),
    )
    for boxes, color, names, _ in kinds:
        if boxes is not None:
            images = draw_bounding_boxes(
                images,
                boxes,
                bounding_box_format,
                names or class_mapping,
                color,
                line_thickness,
                text_thickness,
                font_scale,
                "channels_last",
            )
    if legend:
        colors = ((np.array(color) / 255, label) for _, color, _, label in kinds)
        legend_handles = [Patch(color=color, label=label) for color, label in colors]
    more = {"rows": rows, "cols": cols, "legend_handles": legend_handles, **kwargs}
    plot_image_gallery(images, data_format="channels_last", **more)


def plot_segmentation_mask_gallery(
    images,
    num_classes,
    value_range=(0, 255),
    y_true=None,
    y_pred=None,
    color_mapping=None,
    blend=True,
    alpha=0.8,
    ignore_index=-1,
    data_format=None,
    **kwargs,
):
    """Shows images, one below the other, and beside them the same with masks drawn into them.

    Args:
        images: A batch of images.
        num_classes: How many classes there are.
        value_range: Smallest and largest value of a pixel.
        y_true, y_pred: True and predicted masks, as in `draw_segmentation_masks`.
        color_mapping, blend, alpha, ignore_index: As in `draw_segmentation_masks`.
        data_format: "channels_last" or "channels_first".
        **kwargs: For `plot_image_gallery`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the images are no batch, or the masks have another shape.
    """
    name = "plot_segmentation_mask_gallery"
    images = _to_bytes(pictures(name, images, data_format), value_range)
    columns = [images]
    for masks in (y_true, y_pred):
        if masks is None:
            continue
        masks = array(masks).astype("int32")
        if masks.ndim == 4:  # (batch, height, width)
            masks = masks.reshape(len(masks), *images.shape[1:3])
        columns.append(
            draw_segmentation_masks(
                images,
                masks,
                num_classes,
                color_mapping,
                alpha,
                blend,
                ignore_index,
                "channels_last",
            )
        )
    every = np.stack(columns, 1).reshape(-1, *images.shape[1:])
    more = {"rows": len(images), "cols": len(columns), **kwargs}
    plot_image_gallery(every, data_format="channels_last", **more)
