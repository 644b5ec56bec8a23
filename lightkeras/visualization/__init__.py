"""Pictures of pictures: galleries, and boxes and masks drawn into images.

The galleries need matplotlib, names beside boxes Pillow; both are loaded when they are called.
"""

from lightkeras._older import old_names
from lightkeras.visualization._drawing import draw_bounding_boxes, draw_segmentation_masks
from lightkeras.visualization._galleries import (
    plot_bounding_box_gallery,
    plot_image_gallery,
    plot_segmentation_mask_gallery,
)

__all__ = [
    "draw_bounding_boxes",
    "draw_segmentation_masks",
    "plot_bounding_box_gallery",
    "plot_image_gallery",
    "plot_segmentation_mask_gallery",
]

__getattr__ = old_names(__name__)
