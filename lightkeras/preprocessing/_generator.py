"""`ImageDataGenerator`: pictures changed at random while they are read."""

from __future__ import annotations

import warnings

import numpy as np

from lightkeras import config
from lightkeras._config import Configurable, _outside
from lightkeras._registry import unknown
from lightkeras.preprocessing._affine import (
    FILL_MODES,
    apply_affine_transform,
    apply_brightness_shift,
    apply_channel_shift,
    pair,
)
from lightkeras.preprocessing._iterators import (
    DataFrameIterator,
    DirectoryIterator,
    NumpyArrayIterator,
    check_pictures,
)

__all__ = ["ImageDataGenerator"]


class ImageDataGenerator(metaclass=Configurable):
    """Batches of pictures, each changed at random: the way of Keras 1 and 2 to augment data.

    `image_dataset_from_directory` and layers such as `RandomFlip` are today's.

    Args:
        featurewise_center, featurewise_std_normalization: Give the whole data mean 0 and
            deviation 1; after `fit`.
        samplewise_center, samplewise_std_normalization: The same for each picture.
        zca_whitening, zca_epsilon: Make pixels uncorrelated; after `fit`.
        rotation_range, shear_range: Degrees.
        width_shift_range, height_shift_range: A fraction of the size (below 1), or pixels: a
            number, or a list to choose from.
        brightness_range: A pair of factors.
        zoom_range: A pair of factors, or z for (1 - z, 1 + z).
        channel_shift_range: What is added to values at most.
        fill_mode, cval: What lies outside: "nearest", "constant" (`cval`), "reflect" or "wrap".
        horizontal_flip, vertical_flip: Whether half of the pictures are mirrored.
        rescale: Factor of the values, after all changes.
        preprocessing_function: Function from a picture to a picture, before `rescale`.
        data_format: "channels_last" or "channels_first".
        validation_split: Fraction of the data of `subset="validation"`.
        interpolation_order: 1 to mix neighbouring pixels, 0 to take the nearest.
        dtype: Of the pictures.

    Raises:
        ValueError: a range is none, or a name is not known.

    >>> generator = ImageDataGenerator(horizontal_flip=True, rescale=1 / 255)
    >>> x, y = generator.flow(np.zeros((4, 8, 8, 3)), np.arange(4), batch_size=2)[0]
    >>> x.shape, y.shape
    ((2, 8, 8, 3), (2,))
    """

    def __init__(
        self,
        featurewise_center=False,
        samplewise_center=False,
        featurewise_std_normalization=False,
        samplewise_std_normalization=False,
        zca_whitening=False,
        zca_epsilon=1e-6,
        rotation_range=0,
        width_shift_range=0.0,
        height_shift_range=0.0,
        brightness_range=None,
        shear_range=0.0,
        zoom_range=0.0,
        channel_shift_range=0.0,
        fill_mode="nearest",
        cval=0.0,
        horizontal_flip=False,
        vertical_flip=False,
        rescale=None,
        preprocessing_function=None,
        data_format=None,
        validation_split=0.0,
        interpolation_order=1,
        dtype=None,
    ):
        self.samplewise_center = samplewise_center or samplewise_std_normalization
        self.samplewise_std_normalization = samplewise_std_normalization
        self.featurewise_std_normalization = featurewise_std_normalization and not zca_whitening
        self.featurewise_center = (
            featurewise_center or zca_whitening or featurewise_std_normalization
        )
        self.zca_whitening, self.zca_epsilon = zca_whitening, zca_epsilon
        self.rotation_range, self.shear_range = rotation_range, shear_range
        self.width_shift_range = width_shift_range
        self.height_shift_range = height_shift_range
        self.channel_shift_range = channel_shift_range
        self.fill_mode, self.cval = fill_mode, cval
        self.horizontal_flip, self.vertical_flip = horizontal_flip, vertical_flip
        self.rescale, self.preprocessing_function = rescale, preprocessing_function
        self.interpolation_order = interpolation_order
        self.dtype = dtype or config.floatx()
        self.data_format = config.standardize_data_format(data_format)
        first = self.data_format == "channels_first"
        self.channel_axis, self.row_axis, self.col_axis = (1, 2, 3) if first else (3, 1, 2)
        self.mean = self.std = self.zca_whitening_matrix = None
        if isinstance(zoom_range, (int, float)):
            zoom_range = (1 - zoom_range, 1 + zoom_range)
        self.zoom_range = list(pair("ImageDataGenerator", "zoom_range", zoom_range))
        if brightness_range is not None:
            brightness_range = pair("ImageDataGenerator", "brightness_range", brightness_range)
        self.brightness_range = brightness_range
        if fill_mode not in FILL_MODES:
            raise unknown("fill_mode", fill_mode, FILL_MODES)
        if validation_split and not 0 < validation_split < 1:
            raise ValueError(
                f"ImageDataGenerator(validation_split={validation_split!r}) is not a fraction. A "
                "number between 0 and 1 is accepted. Type validation_split=0.2."
            )
        self._validation_split = validation_split
        self._warn(featurewise_center, samplewise_center, featurewise_std_normalization)

    def _warn(self, featurewise_center, samplewise_center, featurewise_std):
        said = []
        if self.featurewise_center and not featurewise_center:
            what = "zca_whitening" if self.zca_whitening else "featurewise_std_normalization"
            said.append(f"{what} sets featurewise_center, too.")
        if self.zca_whitening and featurewise_std:
            said.append("zca_whitening takes the place of featurewise_std_normalization.")
        if self.samplewise_center and not samplewise_center:
            said.append("samplewise_std_normalization sets samplewise_center, too.")
        for text in said:
            warnings.warn(f"ImageDataGenerator: {text}", stacklevel=_outside())

    # ---- batches ------------------------------------------------------------------------------

    def flow(
        self,
        x,
        y=None,
        batch_size=32,
        shuffle=True,
        sample_weight=None,
        seed=None,
        save_to_dir=None,
        save_prefix="",
        save_format="png",
        ignore_class_split=False,
        subset=None,
    ):
        """Batches of an array of pictures, for `fit`, or without end for a loop.

        Args:
            x: Pictures, `(n, height, width, channels)`.
            y, sample_weight: Arrays of as many rows, or None.
            batch_size, shuffle, seed: Of the batches.
            save_to_dir, save_prefix, save_format: Folder that gets all pictures, and their names.
            ignore_class_split: Do not look whether both subsets have all classes.
            subset: "training", or "validation": the first rows.
        """
        return NumpyArrayIterator(
            x,
            y,
            self,
            batch_size=batch_size,
            shuffle=shuffle,
            sample_weight=sample_weight,
            seed=seed,
            data_format=self.data_format,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            ignore_class_split=ignore_class_split,
            subset=subset,
            dtype=self.dtype,
        )

    def flow_from_directory(
        self,
        directory,
        target_size=(256, 256),
        color_mode="rgb",
        classes=None,
        class_mode="categorical",
        batch_size=32,
        shuffle=True,
        seed=None,
        save_to_dir=None,
        save_prefix="",
        save_format="png",
        follow_links=False,
        subset=None,
        interpolation="nearest",
        keep_aspect_ratio=False,
    ):
        """Batches of the pictures in a folder, whose subfolders are the classes.

        Args:
            directory: The folder.
            target_size: (height, width) of the pictures.
            color_mode: "rgb", "rgba" or "grayscale".
            classes: The subfolders in the order of their numbers; alphabetical by default.
            class_mode: "categorical", "binary", "sparse", "input" (the picture itself) or None.
            batch_size, shuffle, seed, save_to_dir, save_prefix, save_format, subset: As `flow`.
            follow_links: Whether links to folders are followed.
            interpolation, keep_aspect_ratio: As `load_img`.
        """
        return DirectoryIterator(
            directory,
            self,
            target_size=target_size,
            color_mode=color_mode,
            classes=classes,
            class_mode=class_mode,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            data_format=self.data_format,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            follow_links=follow_links,
            subset=subset,
            interpolation=interpolation,
            keep_aspect_ratio=keep_aspect_ratio,
            dtype=self.dtype,
        )

    def flow_from_dataframe(
        self,
        dataframe,
        directory=None,
        x_col="filename",
        y_col="class",
        weight_col=None,
        target_size=(256, 256),
        color_mode="rgb",
        classes=None,
        class_mode="categorical",
        batch_size=32,
        shuffle=True,
        seed=None,
        save_to_dir=None,
        save_prefix="",
        save_format="png",
        subset=None,
        interpolation="nearest",
        validate_filenames=True,
        **kwargs,
    ):
        """Batches of the pictures that a column of a frame names.

        Args:
            dataframe: A pandas frame.
            directory: Folder that the names are relative to.
            x_col, y_col, weight_col: Columns of names, of targets (a list for "multi_output") and
                of weights.
            class_mode: As `flow_from_directory`; "raw" for numbers, "multi_output" for several.
            validate_filenames: Whether rows without a picture are left out.
            others: As `flow_from_directory`.
        """
        if class_mode == "other":
            class_mode = "raw"
        return DataFrameIterator(
            dataframe,
            directory,
            self,
            x_col=x_col,
            y_col=y_col,
            weight_col=weight_col,
            target_size=target_size,
            color_mode=color_mode,
            classes=classes,
            class_mode=class_mode,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            data_format=self.data_format,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            subset=subset,
            interpolation=interpolation,
            dtype=self.dtype,
            validate_filenames=validate_filenames,
        )

    # ---- one picture --------------------------------------------------------------------------

    def get_random_transform(self, img_shape, seed=None):
        """Random numbers for a picture of this shape, as `apply_transform` takes them."""
        if seed is not None:
            np.random.seed(seed)
        return self._drawn(img_shape, np.random)

    def _drawn(self, shape, random):
        """The numbers, drawn in Keras's order."""
        drawn = {"theta": _uniform(random, self.rotation_range)}
        drawn["tx"] = _shift(random, self.height_shift_range, shape[self.row_axis - 1])
        drawn["ty"] = _shift(random, self.width_shift_range, shape[self.col_axis - 1])
        drawn["shear"] = _uniform(random, self.shear_range)
        zoom = self.zoom_range
        drawn["zx"], drawn["zy"] = (1, 1) if zoom == [1, 1] else random.uniform(*zoom, 2)
        drawn["flip_horizontal"] = bool((random.random_sample() < 0.5) * self.horizontal_flip)
        drawn["flip_vertical"] = bool((random.random_sample() < 0.5) * self.vertical_flip)
        shift = self.channel_shift_range
        drawn["channel_shift_intensity"] = random.uniform(-shift, shift) if shift else None
        bright = self.brightness_range
        drawn["brightness"] = None if bright is None else random.uniform(*bright)
        return drawn

    def apply_transform(self, x, transform_parameters):
        """A picture changed by the numbers that `get_random_transform` returned."""
        get = transform_parameters.get
        x = apply_affine_transform(
            x,
            get("theta", 0),
            get("tx", 0),
            get("ty", 0),
            get("shear", 0),
            get("zx", 1),
            get("zy", 1),
            self.row_axis - 1,
            self.col_axis - 1,
            self.channel_axis - 1,
            self.fill_mode,
            self.cval,
            self.interpolation_order,
        )
        if get("channel_shift_intensity") is not None:
            x = apply_channel_shift(x, get("channel_shift_intensity"), self.channel_axis - 1)
        if get("flip_horizontal"):
            x = np.flip(x, self.col_axis - 1)
        if get("flip_vertical"):
            x = np.flip(x, self.row_axis - 1)
        if get("brightness") is not None:
            x = apply_brightness_shift(x, get("brightness"), False)
        return x

    def random_transform(self, x, seed=None):
        """A picture changed at random."""
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    def standardize(self, x):
        """A picture or a batch with all that is not random done to it: scaling, centering...

        As in Keras, a float array is changed in place.
        """
        if self.preprocessing_function:
            x = self.preprocessing_function(x)
        if self.rescale:
            x *= self.rescale
        if self.samplewise_center:
            x -= np.mean(x, keepdims=True)
        if self.samplewise_std_normalization:
            x /= np.std(x, keepdims=True) + 1e-6
        if self.featurewise_center and self._was_fit("featurewise_center", self.mean):
            x -= self.mean
        if self.featurewise_std_normalization and self._was_fit(
            "featurewise_std_normalization", self.std
        ):
            x /= self.std + 1e-6
        if self.zca_whitening and self._was_fit("zca_whitening", self.zca_whitening_matrix):
            flat = x.reshape(-1, self.zca_whitening_matrix.shape[0])
            x = (flat @ self.zca_whitening_matrix).reshape(x.shape)
        return x

    def _was_fit(self, what, found):
        if found is None:
            warnings.warn(
                f"ImageDataGenerator({what}=True) knows no data yet and leaves pictures as they "
                "are. Type generator.fit(x) before.",
                stacklevel=_outside(),
            )
        return found is not None

    def fit(self, x, augment=False, rounds=1, seed=None):
        """Take mean, deviation and correlations from pictures, for the featurewise options.

        Args:
            x: Pictures, `(n, height, width, channels)`.
            augment: Whether they are changed at random before.
            rounds: How often, if so.
            seed: Seed of that.
        """
        x = np.array(x, dtype=self.dtype)
        check_pictures("fit", x, self.data_format)
        if seed is not None:
            np.random.seed(seed)
        if self.rescale:
            x *= self.rescale
        if augment:
            x = np.stack([self.random_transform(one) for _ in range(rounds) for one in x])
        axes, kept = (0, self.row_axis, self.col_axis), [1, 1, 1]
        kept[self.channel_axis - 1] = x.shape[self.channel_axis]
        if self.featurewise_center:
            self.mean = x.mean(axis=axes).reshape(kept)
            x -= self.mean
        if self.featurewise_std_normalization:
            self.std = x.std(axis=axes).reshape(kept)
            x /= self.std + 1e-6
        if self.zca_whitening:
            u, s, _ = np.linalg.svd(x.reshape(len(x), -1).T, full_matrices=False)
            self.zca_whitening_matrix = (u * (np.sqrt(len(x)) / (s + self.zca_epsilon))) @ u.T


def _uniform(random, limit):
    return random.uniform(-limit, limit) if limit else 0


def _shift(random, limit, size):
    """A shift in pixels: a list or a whole number is chosen from, a float is a range."""
    if not np.any(limit):
        return 0
    try:
        shift = random.choice(limit) * random.choice([-1, 1])
    except ValueError:
        shift = random.uniform(-limit, limit)
    return shift * size if np.max(limit) < 1 else shift
