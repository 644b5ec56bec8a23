"""Pictures: files, PIL images and arrays, and the ways of Keras 1 and 2 to change them."""

from lightkeras._older import old_names
from lightkeras.preprocessing._affine import (
    apply_affine_transform,
    apply_brightness_shift,
    apply_channel_shift,
    random_brightness,
    random_channel_shift,
    random_rotation,
    random_shear,
    random_shift,
    random_zoom,
)
from lightkeras.preprocessing._generator import ImageDataGenerator
from lightkeras.preprocessing._iterators import (
    DataFrameIterator,
    DirectoryIterator,
    Iterator,
    NumpyArrayIterator,
)
from lightkeras.utils import array_to_img, img_to_array, load_img, save_img
from lightkeras.utils._directories import smart_resize

__all__ = [
    "DataFrameIterator",
    "DirectoryIterator",
    "ImageDataGenerator",
    "Iterator",
    "NumpyArrayIterator",
    "apply_affine_transform",
    "apply_brightness_shift",
    "apply_channel_shift",
    "array_to_img",
    "img_to_array",
    "load_img",
    "random_brightness",
    "random_channel_shift",
    "random_rotation",
    "random_shear",
    "random_shift",
    "random_zoom",
    "save_img",
    "smart_resize",
]

__getattr__ = old_names(__name__)
