"""Batches of augmented pictures: of arrays, of folders, of the files in a frame."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from lightkeras import config
from lightkeras._config import _outside
from lightkeras._ranks import is_chief
from lightkeras._registry import unknown
from lightkeras.utils import PyDataset, array_to_img, img_to_array, load_img

__all__ = ["DataFrameIterator", "DirectoryIterator", "Iterator", "NumpyArrayIterator"]

_FORMATS = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff")
_CHANNELS = {"rgb": 3, "rgba": 4, "grayscale": 1}
_SUBSETS = ("training", "validation")


class Iterator(PyDataset):
    """Batches of numbered samples, by index for `fit`, or one after the other without end.

    A subclass writes `_get_batches_of_transformed_samples(index_array)`.

    Args:
        n: Number of samples.
        batch_size: Samples of a batch.
        shuffle: Whether every epoch has an order of its own.
        seed: Seed of order and augmentation.
        **kwargs: For `PyDataset`.
    """

    white_list_formats = _FORMATS

    def __init__(self, n, batch_size, shuffle, seed, **kwargs):
        super().__init__(**kwargs)
        self.n, self.batch_size, self.shuffle, self.seed = n, batch_size, shuffle, seed
        self.batch_index = self.total_batches_seen = 0
        self.index_array: Any = None
        self.random: Any = np.random  # or, with a seed, numbers of its own, seeded per batch

    def _set_index_array(self):
        self.index_array = self.random.permutation(self.n) if self.shuffle else np.arange(self.n)

    def _next_numbers(self):
        if self.seed is not None:
            self.random = np.random.RandomState((self.seed + self.total_batches_seen) % 2**32)
        self.total_batches_seen += 1

    def __getitem__(self, idx):
        if idx >= len(self):
            raise IndexError(
                f"Batch {idx} was asked for. There are {len(self)}, numbered from 0. Check len()."
            )
        self._next_numbers()
        if self.index_array is None:
            self._set_index_array()
        first = self.batch_size * idx
        return self._get_batches_of_transformed_samples(
            self.index_array[first : first + self.batch_size]
        )

    def __len__(self):
        return -(-self.n // self.batch_size)

    def on_epoch_end(self):
        self._set_index_array()

    def reset(self):
        """Begin with the first batch again."""
        self.batch_index = 0

    def __iter__(self):
        return self

    def __next__(self):
        self._next_numbers()
        if self.batch_index == 0 or self.index_array is None:
            self._set_index_array()
        first = self.batch_index * self.batch_size
        self.batch_index = (self.batch_index + 1) % max(len(self), 1)
        return self._get_batches_of_transformed_samples(
            self.index_array[first : first + self.batch_size]
        )

    next = __next__

    def _get_batches_of_transformed_samples(self, index_array):
        raise TypeError(
            f"{type(self).__name__} has no _get_batches_of_transformed_samples(index_array). An "
            "Iterator makes the batch of these rows there. Add that method."
        )

    def _augmented(self, x):
        """One picture, changed at random and standardized."""
        generator = self.image_data_generator
        if generator is None:
            return x
        x = generator.apply_transform(x, generator._drawn(x.shape, self.random))
        return generator.standardize(x)

    def _save(self, batch, index_array):
        """Write the pictures of a batch where the user wants to see them."""
        for picture, number in zip(batch, index_array, strict=True):
            tag = np.random.RandomState().randint(10**7)
            name = f"{self.save_prefix}_{number}_{tag}.{self.save_format}"
            image = array_to_img(picture, self.data_format, scale=True)
            image.save(os.path.join(self.save_to_dir, name))

    image_data_generator: Any
    save_to_dir: Any
    save_prefix: str
    save_format: str
    data_format: str


def _check_subset(subset):
    if subset not in (*_SUBSETS, None):
        raise unknown("subset", subset, _SUBSETS)


class NumpyArrayIterator(Iterator):
    """Batches of an array of pictures, as `ImageDataGenerator.flow` returns them.

    Args:
        x: Pictures; or a list of them and of other arrays, which come along unchanged.
        y: Targets, or None.
        image_data_generator: What changes the pictures.
        subset: "training" or "validation", the first rows.
        ignore_class_split: Do not look whether both subsets have all classes.
        others: As for `ImageDataGenerator.flow`.
    """

    def __init__(
        self,
        x,
        y,
        image_data_generator,
        batch_size=32,
        shuffle=False,
        sample_weight=None,
        seed=None,
        data_format=None,
        save_to_dir=None,
        save_prefix="",
        save_format="png",
        subset=None,
        ignore_class_split=False,
        dtype=None,
    ):
        self.dtype = dtype or config.floatx()
        self.data_format = config.standardize_data_format(data_format)
        x, *misc = (x[0], *_as_list(x[1])) if isinstance(x, (tuple, list)) else (x,)
        parts = {"x": x, "y": y, "sample_weight": sample_weight}
        parts.update({f"x[{i}]": part for i, part in enumerate(misc, 1)})
        parts = {k: None if v is None else np.asarray(v) for k, v in parts.items()}
        for name, part in parts.items():
            if part is not None and len(part) != len(parts["x"]):
                raise ValueError(
                    f"flow() got {len(parts['x'])} pictures, and {name} has {len(part)} rows. All "
                    "must have as many. Compare their shapes."
                )
        if subset is not None:
            _check_subset(subset)
            cut = int(len(parts["x"]) * image_data_generator._validation_split)
            if not ignore_class_split:
                _check_classes(parts["y"], cut)
            part_of = slice(0, cut) if subset == "validation" else slice(cut, None)
            parts = {k: None if v is None else v[part_of] for k, v in parts.items()}
        self.x = parts.pop("x").astype(self.dtype)
        self.y, self.sample_weight = parts.pop("y"), parts.pop("sample_weight")
        self.x_misc = list(parts.values())
        check_pictures("flow", self.x, self.data_format)
        self.image_data_generator = image_data_generator
        self.save_to_dir, self.save_prefix = save_to_dir, save_prefix
        self.save_format = save_format
        super().__init__(len(self.x), batch_size, shuffle, seed)

    def _get_batches_of_transformed_samples(self, index_array):
        batch = np.stack([self._augmented(self.x[i].copy()) for i in index_array])
        batch = batch.astype(self.dtype, copy=False)
        if self.save_to_dir:
            self._save(batch, index_array)
        x = [batch, *(part[index_array] for part in self.x_misc)] if self.x_misc else batch
        if self.y is None:
            return x
        if self.sample_weight is None:
            return x, self.y[index_array]
        return x, self.y[index_array], self.sample_weight[index_array]


def _as_list(value):
    return value if isinstance(value, list) else [value]


def _check_classes(y, cut):
    if y is not None and not np.array_equal(np.unique(y[:cut]), np.unique(y[cut:])):
        raise ValueError(
            "flow(subset=...): training and validation have different classes after the split. "
            "The first rows are for validation. Shuffle x and y before, or type "
            "ignore_class_split=True."
        )


def check_pictures(caller, x, data_format):
    """Raise for what is no batch of pictures, and warn of an odd number of channels."""
    if x.ndim != 4:
        raise ValueError(
            f"{caller}() got an array of shape {x.shape}. Pictures have four axes, (batch, height, "
            f"width, channels). {'Type x[..., None].' if x.ndim == 3 else 'Reshape it.'}"
        )
    channels = x.shape[1 if data_format == "channels_first" else 3]
    if channels not in (1, 3, 4):
        warnings.warn(
            f"{caller}() got pictures of {channels} channels, by data_format={data_format!r}. 1, 3 "
            f"or 4 are usual. The shape is {x.shape}.",
            stacklevel=_outside(),
        )


class _Files(Iterator):
    """What iterators over files share: reading, and the form of the targets."""

    filenames: list
    classes: Any
    class_indices: dict
    directory: str
    _targets: Any = None
    sample_weight: Any = None

    def _take(self, generator, target_size, color_mode, data_format, class_mode, options):
        if color_mode not in _CHANNELS:
            raise unknown("color_mode", color_mode, _CHANNELS)
        known = [str(mode) for mode in self.allowed_class_modes if mode]
        if class_mode not in self.allowed_class_modes:
            raise unknown("class_mode", class_mode, known)
        self.image_data_generator = generator
        self.target_size, self.color_mode = tuple(target_size), color_mode
        self.data_format, self.class_mode = data_format, class_mode
        size, channels = self.target_size, (_CHANNELS[color_mode],)
        first = data_format == "channels_first"
        self.image_shape = channels + size if first else size + channels
        self.__dict__.update(options)
        _check_subset(self.subset)
        split = generator._validation_split if generator is not None else 0.0
        bounds = {"validation": (0, split), "training": (split, 1), None: None}
        self.split = bounds[self.subset]

    allowed_class_modes: tuple
    subset: Any
    interpolation: str
    keep_aspect_ratio: bool
    dtype: str

    @property
    def filepaths(self):
        """Paths of the files."""
        return [os.path.join(self.directory, name) for name in self.filenames]

    @property
    def labels(self):
        """Classes, or targets, of the files."""
        return self.classes if self._targets is None else self._targets

    def _get_batches_of_transformed_samples(self, index_array):
        paths = self.filepaths
        batch = np.zeros((len(index_array), *self.image_shape), dtype=self.dtype)
        for row, number in enumerate(index_array):
            batch[row] = self._augmented(self._read(paths[number]))
        if self.save_to_dir:
            self._save(batch, index_array)
        y = self._targets_of(batch, index_array)
        if y is None:
            return batch
        weights = self.sample_weight
        return (batch, y) if weights is None else (batch, y, weights[index_array])

    def _read(self, path):
        image = load_img(
            path,
            color_mode=self.color_mode,
            target_size=self.target_size,
            interpolation=self.interpolation,
            keep_aspect_ratio=self.keep_aspect_ratio,
        )
        return np.array(img_to_array(image, data_format=self.data_format))

    def _targets_of(self, batch, index_array):
        mode = self.class_mode
        if mode == "input":
            return batch.copy()
        if mode in ("binary", "sparse"):
            return np.array([self.classes[i] for i in index_array], dtype=self.dtype)
        if mode == "categorical":
            y = np.zeros((len(batch), len(self.class_indices)), dtype=self.dtype)
            for row, number in enumerate(index_array):
                y[row, self.classes[number]] = 1
            return y
        if mode == "multi_output":
            return [part[index_array] for part in self.labels]
        return self.labels[index_array] if mode == "raw" else None


class DirectoryIterator(_Files):
    """Batches of the pictures in a folder, as `flow_from_directory` returns them.

    Args:
        directory: The folder, whose subfolders are the classes.
        image_data_generator: What changes the pictures.
        others: As for `flow_from_directory`.

    Attributes:
        classes: The class of each picture.
        class_indices: `{name: number}` of the classes.
        filenames: The files, relative to the folder.
        samples, num_classes: How many there are.
    """

    allowed_class_modes = ("categorical", "binary", "sparse", "input", None)

    def __init__(
        self,
        directory,
        image_data_generator,
        target_size=(256, 256),
        color_mode="rgb",
        classes=None,
        class_mode="categorical",
        batch_size=32,
        shuffle=True,
        seed=None,
        data_format=None,
        save_to_dir=None,
        save_prefix="",
        save_format="png",
        follow_links=False,
        subset=None,
        interpolation="nearest",
        keep_aspect_ratio=False,
        dtype=None,
    ):
        options = {
            "save_to_dir": save_to_dir,
            "save_prefix": save_prefix,
            "save_format": save_format,
            "subset": subset,
            "interpolation": interpolation,
            "keep_aspect_ratio": keep_aspect_ratio,
            "dtype": dtype or config.floatx(),
        }
        data_format = config.standardize_data_format(data_format)
        self._take(image_data_generator, target_size, color_mode, data_format, class_mode, options)
        self.directory = os.fspath(directory)
        if not os.path.isdir(self.directory):
            raise FileNotFoundError(
                f"There is no folder {self.directory!r}. The folder that holds one subfolder for "
                "each class is expected. Check the path."
            )
        inside = sorted(os.listdir(self.directory))
        folders = [d for d in inside if os.path.isdir(os.path.join(self.directory, d))]
        names = list(classes or folders)
        self.num_classes = len(names)
        self.class_indices = {name: number for number, name in enumerate(names)}
        self.filenames, numbers = [], []
        for number, name in enumerate(names):
            found = self._files_in(name, follow_links)
            self.filenames += found
            numbers += [number] * len(found)
        self.classes = np.array(numbers, dtype="int32")
        self.samples = len(self.filenames)
        if is_chief():
            print(f"Found {self.samples} images belonging to {self.num_classes} classes.")
        super().__init__(self.samples, batch_size, shuffle, seed)

    def _files_in(self, name, follow_links):
        found = []
        top = os.path.join(self.directory, name)
        for root, _, files in sorted(os.walk(top, followlinks=follow_links)):
            inside = os.path.relpath(root, self.directory)
            found += [
                os.path.join(inside, file)
                for file in sorted(files)
                if file.lower().endswith(self.white_list_formats)
            ]
        if self.split:
            start, stop = (int(bound * len(found)) for bound in self.split)
            found = found[start:stop]
        return found


class DataFrameIterator(_Files):
    """Batches of the pictures that a frame names, as `flow_from_dataframe` returns them.

    Args:
        dataframe: A pandas frame.
        directory: Folder that the names are relative to.
        image_data_generator: What changes the pictures.
        others: As for `ImageDataGenerator.flow_from_dataframe`.
    """

    allowed_class_modes = (
        "binary",
        "categorical",
        "input",
        "multi_output",
        "raw",
        "sparse",
        None,
    )

    def __init__(
        self,
        dataframe,
        directory=None,
        image_data_generator=None,
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
        data_format="channels_last",
        save_to_dir=None,
        save_prefix="",
        save_format="png",
        subset=None,
        interpolation="nearest",
        keep_aspect_ratio=False,
        dtype="float32",
        validate_filenames=True,
    ):
        options = {
            "save_to_dir": save_to_dir,
            "save_prefix": save_prefix,
            "save_format": save_format,
            "subset": subset,
            "interpolation": interpolation,
            "keep_aspect_ratio": keep_aspect_ratio,
            "dtype": dtype,
        }
        self._take(image_data_generator, target_size, color_mode, data_format, class_mode, options)
        self.directory = os.fspath(directory or "")
        frame = dataframe
        self._check(frame, x_col, y_col, weight_col, classes)
        if validate_filenames:
            frame = self._existing(frame, x_col)
        by_class = class_mode in ("binary", "categorical", "sparse")
        if by_class:
            frame, names = _of_classes(frame, y_col, classes)
            self.class_indices = {name: number for number, name in enumerate(names)}
        if self.split:
            start, stop = (int(bound * len(frame)) for bound in self.split)
            frame = frame.iloc[start:stop]
        if by_class:
            self.classes = [self._numbers(label) for label in frame[y_col]]
        self.filenames = frame[x_col].tolist()
        self.sample_weight = frame[weight_col].to_numpy() if weight_col else None
        if class_mode == "multi_output":
            self._targets = [np.array(frame[column].tolist()) for column in y_col]
        elif class_mode == "raw":
            self._targets = frame[y_col].to_numpy()
        self.samples = len(self.filenames)
        if is_chief():
            checked = "validated" if validate_filenames else "non-validated"
            classes_ = f" belonging to {len(self.class_indices)} classes" if by_class else ""
            print(f"Found {self.samples} {checked} image filenames{classes_}.")
        super().__init__(self.samples, batch_size, shuffle, seed)

    def _check(self, frame, x_col, y_col, weight_col, classes):
        mode = self.class_mode
        columns = [x_col, *([weight_col] if weight_col else [])]
        if mode not in ("input", None):
            columns += y_col if isinstance(y_col, (list, tuple)) else [y_col]
        for column in columns:
            if column not in frame.columns:
                raise unknown("column", column, [str(c) for c in frame.columns])
        if mode == "multi_output" and not isinstance(y_col, list):
            raise TypeError(
                f'flow_from_dataframe(class_mode="multi_output", y_col={y_col!r}): several outputs '
                "have several columns. Type a list of their names."
            )
        if not all(isinstance(name, str) for name in frame[x_col]):
            raise TypeError(
                f"The column x_col={x_col!r} holds what is no string. It names files. Convert it "
                "with astype(str)."
            )
        kinds: tuple = (str, list, tuple) if mode == "categorical" else (str,)
        if mode in ("binary", "sparse", "categorical"):
            if not all(isinstance(label, kinds) for label in frame[y_col]):
                raise TypeError(
                    f"The column y_col={y_col!r} holds what is no string; class_mode={mode!r} "
                    f"takes names of classes. Type df[{y_col!r}].astype(str), or "
                    'class_mode="raw" for numbers.'
                )
            count = len(set(classes)) if classes else frame[y_col].astype(str).nunique()
            if mode == "binary" and count != 2:
                raise ValueError(
                    f'flow_from_dataframe(class_mode="binary") found {count} classes. Two are '
                    'needed. Type class_mode="categorical" or "sparse".'
                )

    def _existing(self, frame, x_col):
        there = [
            name.lower().endswith(self.white_list_formats)
            and os.path.isfile(os.path.join(self.directory, name))
            for name in frame[x_col]
        ]
        if not all(there):
            warnings.warn(
                f"{there.count(False)} files of the column {x_col!r} are no pictures or do not "
                "exist; their rows are left out. Check directory=.",
                stacklevel=_outside(),
            )
        return frame[np.array(there, dtype=bool)]

    def _numbers(self, label):
        if isinstance(label, (list, tuple)):
            return [self.class_indices[name] for name in label]
        return self.class_indices[label]


def _of_classes(frame, y_col, classes):
    """The rows of known classes, and the names of these."""
    lists = [label if isinstance(label, (list, tuple)) else [label] for label in frame[y_col]]
    if not classes:
        return frame, sorted({name for names in lists for name in names})
    classes = list(dict.fromkeys(classes))
    kept = [[name for name in names if name in classes] for names in lists]
    frame = frame[np.array([bool(names) for names in kept])].copy()
    single = [isinstance(label, str) for label in frame[y_col]]
    kept = [names for names in kept if names]
    frame[y_col] = [n[0] if one else n for n, one in zip(kept, single, strict=True)]
    return frame, classes
