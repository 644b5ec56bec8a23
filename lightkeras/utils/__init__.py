"""Helpers around training: labels, images, files, seeds."""

from lightkeras._dtypes import dtype_name as standardize_dtype
from lightkeras._flags import trainer_flags
from lightkeras._graph import get_source_inputs, is_keras_tensor
from lightkeras._older import old_names
from lightkeras._progress import Progbar
from lightkeras._ranks import is_chief
from lightkeras._registry import (
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from lightkeras.config import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)
from lightkeras.utils import bounding_boxes, np_utils
from lightkeras.utils._directories import (
    audio_dataset_from_directory,
    image_dataset_from_directory,
    text_dataset_from_directory,
)
from lightkeras.utils._download import get_file
from lightkeras.utils._images import array_to_img, img_to_array, load_img, save_img
from lightkeras.utils._random import set_random_seed
from lightkeras.utils._sequences import pad_sequences
from lightkeras.utils._session import clear_session
from lightkeras.utils._settings import Config
from lightkeras.utils._timeseries import timeseries_dataset_from_array
from lightkeras.utils.dataset import (
    PyDataset,
    Sequence,
    pack_x_y_sample_weight,
    split_dataset,
    unpack_x_y_sample_weight,
)
from lightkeras.utils.np_utils import normalize, to_categorical
from lightkeras.utils.vis_utils import model_to_dot, plot_model

CustomObjectScope = custom_object_scope

__all__ = [
    "Config",
    "CustomObjectScope",
    "FeatureSpace",
    "Progbar",
    "PyDataset",
    "Sequence",
    "array_to_img",
    "audio_dataset_from_directory",
    "bounding_boxes",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "get_custom_objects",
    "get_file",
    "get_registered_name",
    "get_registered_object",
    "get_source_inputs",
    "image_dataset_from_directory",
    "img_to_array",
    "is_chief",
    "is_interactive_logging_enabled",
    "is_keras_tensor",
    "load_img",
    "model_to_dot",
    "normalize",
    "np_utils",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "plot_model",
    "register_keras_serializable",
    "save_img",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "standardize_dtype",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
    "to_categorical",
    "trainer_flags",
    "unpack_x_y_sample_weight",
]

# What stands higher than this package, and where.
_ABOVE = {
    "FeatureSpace": "layers.preprocessing.feature_space",
    "deserialize_keras_object": "saving",
    "serialize_keras_object": "saving",
}

__getattr__ = old_names(__name__, _ABOVE)
