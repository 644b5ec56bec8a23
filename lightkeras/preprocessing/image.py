"""Pictures: files, PIL images and arrays."""

from lightkeras.utils import array_to_img, img_to_array, load_img, save_img
from lightkeras.utils._directories import smart_resize

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img", "smart_resize"]
