"""Raw sequences, texts and images into arrays and data sets."""

from lightkeras._older import old_names
from lightkeras.preprocessing import image, sequence, text
from lightkeras.utils import (
    image_dataset_from_directory,
    text_dataset_from_directory,
    timeseries_dataset_from_array,
)

__all__ = [
    "image",
    "image_dataset_from_directory",
    "sequence",
    "text",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
]

__getattr__ = old_names(__name__)
