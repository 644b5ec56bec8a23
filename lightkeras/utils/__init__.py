"""Helpers around training: labels, images, files, seeds."""

from lightkeras.utils import np_utils
from lightkeras.utils._download import get_file
from lightkeras.utils._images import array_to_img, img_to_array, load_img, save_img
from lightkeras.utils._random import set_random_seed
from lightkeras.utils._sequences import pad_sequences
from lightkeras.utils.np_utils import normalize, to_categorical

__all__ = [
    "array_to_img",
    "get_file",
    "img_to_array",
    "load_img",
    "normalize",
    "np_utils",
    "pad_sequences",
    "save_img",
    "set_random_seed",
    "to_categorical",
]
