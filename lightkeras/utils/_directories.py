"""Data sets of the files in a folder, whose subfolders are the classes: images, texts, sounds."""

from __future__ import annotations

import io
import itertools
import os
import wave
from typing import Any

import numpy as np
import torch

from lightkeras import config
from lightkeras._ranks import is_alone, is_chief
from lightkeras._registry import did_you_mean, unknown
from lightkeras._sampling import RESIZE_MODES, fitted, resize
from lightkeras._text import as_text
from lightkeras.utils._batched import BatchedDataset, read_ahead
from lightkeras.utils._images import load_img

__all__ = [
    "audio_dataset_from_directory",
    "image_dataset_from_directory",
    "index_directory",
    "smart_resize",
    "text_dataset_from_directory",
]

IMAGE_FORMATS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
_LABELS = ("int", "categorical", "binary")
_SUBSETS = ("training", "validation", "both")


def drawn_seed():
    """A seed where none is given; one for all, where several processes share the batches."""
    return np.random.randint(10**6) if is_alone() else 0


class _Folder:
    """The files of a folder with their classes, shuffled and split as Keras does it.

    Args:
        caller: The function's name, for errors.
        formats: Endings of the files.
        what: What they are called in errors.
        options: The arguments that all three functions share.
    """

    directory: str
    labels: Any
    label_mode: Any
    class_names: Any
    batch_size: int | None
    shuffle: bool
    seed: Any
    validation_split: float | None
    subset: str | None
    follow_links: bool
    verbose: bool

    def __init__(self, caller, formats, what, **options):
        self.caller, self.what, self.formats = caller, what, formats
        self.__dict__.update(options)
        self._check()
        if self.labels is None or self.label_mode is None:
            self.labels = self.label_mode = None
        self.seed = drawn_seed() if self.seed is None else self.seed
        self.paths, self.numbers, self.class_names = index_directory(
            self.directory,
            self.labels,
            formats,
            self.class_names,
            self.shuffle,
            self.seed,
            self.follow_links,
            self.verbose,
        )
        if self.label_mode == "binary" and len(self.class_names) != 2:
            raise ValueError(
                f'{caller}(label_mode="binary") found {len(self.class_names)} classes. Two are '
                'needed. Type label_mode="categorical" or "int".'
            )

    def _check(self):
        if self.label_mode not in (*_LABELS, None):
            raise unknown("label_mode", self.label_mode, _LABELS)
        own = self.labels not in ("inferred", None) if isinstance(self.labels, str) else True
        if own and self.labels is not None and not isinstance(self.labels, (list, tuple)):
            raise ValueError(
                f"{self.caller}(labels={self.labels!r}) is not known. A list of whole numbers, one "
                'for each file, is accepted, or None. Type labels="inferred" to take the names of '
                "the subfolders."
            )
        if self.class_names and self.labels != "inferred":
            raise ValueError(
                f"{self.caller}(class_names=...) orders the classes that subfolders make, and "
                'labels= is given. Leave one out: labels="inferred".'
            )
        split = self.validation_split
        if split and not (isinstance(split, float) and 0 < split < 1):
            raise ValueError(
                f"{self.caller}(validation_split={split!r}) is not a fraction. A number between 0 "
                "and 1 is accepted. Type validation_split=0.2."
            )
        if self.subset not in (*_SUBSETS, None):
            raise unknown("subset", self.subset, _SUBSETS)
        if bool(split) != bool(self.subset):
            raise ValueError(
                f"{self.caller}(validation_split={split!r}, subset={self.subset!r}): both belong "
                'together. Type validation_split=0.2, subset="training", seed=0.'
            )
        if split and self.shuffle and self.seed is None:
            raise ValueError(
                f"{self.caller}(validation_split=, shuffle=True) got no seed. Both subsets must "
                "draw the same order, or they overlap. Type seed=0 in both calls."
            )
        size = self.batch_size
        whole = size is None or (isinstance(size, (int, np.integer)) and size > 0)
        if not whole or isinstance(size, bool):
            raise ValueError(
                f"{self.caller}(batch_size={size!r}) is not a size. A whole number above zero is "
                "accepted, or None for single rows. Type batch_size=32."
            )

    def datasets(self, read, join):
        """One data set, or those of both subsets."""
        if self.subset == "both":
            return [self._dataset(part, read, join) for part in _SUBSETS[:2]]
        return self._dataset(self.subset, read, join)

    def _part(self, subset):
        count = int((self.validation_split or 0) * len(self.paths))
        cut = len(self.paths) - count
        part = slice(cut, None) if subset == "validation" else slice(0, cut if subset else None)
        if subset and self.verbose and is_chief():
            shown = count if subset == "validation" else cut
            print(f"Using {shown} files for {subset}.")
        numbers = None if self.numbers is None else self.numbers[part]
        return self.paths[part], numbers

    def _dataset(self, subset, read, join):
        paths, numbers = self._part(subset)
        if not paths:
            raise ValueError(
                f"{self.caller}() found no {self.what}{f' for {subset}' if subset else ''} in "
                f"{str(self.directory)!r}. Files ending in {', '.join(self.formats)} are read. "
                "Check the path."
            )
        labels = self._encoded(numbers)
        passes = itertools.count()
        shuffled = self.shuffle and not (self.subset == "both" and subset == "validation")

        def make():
            order = np.arange(len(paths))
            if shuffled:
                np.random.RandomState((self.seed + next(passes)) % 2**32).shuffle(order)
            size = self.batch_size or 1
            groups = [order[at : at + size] for at in range(0, len(order), size)]
            made = read_ahead(read, ([paths[i] for i in group] for group in groups))
            for group, rows in zip(groups, made, strict=True):
                x = join(rows, [paths[i] for i in group])
                batch = x if labels is None else (x, labels[torch.from_numpy(group)])
                if self.batch_size is None:
                    batch = x[0] if labels is None else (x[0], batch[1][0])
                yield batch

        size = -(-len(paths) // (self.batch_size or 1))
        return BatchedDataset(make, size, self.class_names, list(paths))

    def _encoded(self, numbers):
        if numbers is None:
            return None
        labels = torch.as_tensor(np.asarray(numbers), dtype=torch.int32)
        if self.label_mode == "binary":
            return labels[:, None].float()
        if self.label_mode == "categorical":
            return torch.nn.functional.one_hot(labels.long(), len(self.class_names)).float()
        return labels


def index_directory(
    directory,
    labels,
    formats,
    class_names=None,
    shuffle=True,
    seed=None,
    follow_links=False,
    verbose=True,
):
    """(paths, labels, class names) of the files in a folder, in Keras's order.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: `class_names` are no subfolders, or `labels` are not as many as files.
    """
    directory = os.fspath(directory)
    if not os.path.isdir(directory):
        raise FileNotFoundError(
            f"There is no folder {directory!r}. The folder that holds one subfolder for each class "
            "is expected. Check the path."
        )
    folders = [""]
    if isinstance(labels, str):
        folders = [d for d in sorted(os.listdir(directory)) if not d.startswith(".")]
        folders = [d for d in folders if os.path.isdir(os.path.join(directory, d))]
        strange = [name for name in class_names or () if name not in folders]
        if strange:
            raise ValueError(
                f"class_names holds {strange[0]!r}, which is no subfolder of {directory!r}."
                f"{did_you_mean(strange[0], folders)} There are: {', '.join(folders[:20])}."
            )
        folders = list(class_names or folders)
    paths, numbers = [], []
    for number, folder in enumerate(folders):
        found = list(_files(os.path.join(directory, folder), formats, follow_links))
        paths += found
        numbers += [number] * len(found)
    names: list | None = folders
    if labels is None:
        numbers, names = None, None
    elif not isinstance(labels, str):
        if len(labels) != len(paths):
            raise ValueError(
                f"labels has {len(labels)} items, and {directory!r} {len(paths)} files. One label "
                "for each file is expected, in the order of their paths. Compare the lengths."
            )
        numbers, names = list(labels), [str(label) for label in sorted(set(labels))]
    if verbose and is_chief():
        classes = "" if names is None else f" belonging to {len(names)} classes"
        print(f"Found {len(paths)} files{classes}.")
    if shuffle:
        np.random.RandomState(seed).shuffle(paths)
        if numbers is not None:
            numbers = np.asarray(numbers)
            np.random.RandomState(seed).shuffle(numbers)
    return paths, numbers, names


def _files(folder, formats, follow_links):
    for root, _, files in sorted(os.walk(folder, followlinks=follow_links)):
        for name in sorted(files):
            if name.lower().endswith(tuple(formats)):
                yield os.path.join(root, name)


# ---- images -------------------------------------------------------------------------------------

_RESIZING = {**RESIZE_MODES, "area": "area"}


def image_dataset_from_directory(
    directory,
    labels="inferred",
    label_mode="int",
    class_names=None,
    color_mode="rgb",
    batch_size=32,
    image_size=(256, 256),
    shuffle=True,
    seed=None,
    validation_split=None,
    subset=None,
    interpolation="bilinear",
    follow_links=False,
    crop_to_aspect_ratio=False,
    pad_to_aspect_ratio=False,
    data_format=None,
    format="tf",
    verbose=True,
):
    """Images in a folder, whose subfolders are the classes, as a data set of batches.

    Args:
        directory: The folder.
        labels: "inferred" from the subfolders, None, or a list of whole numbers for the files in
            the order of their paths.
        label_mode: "int", "categorical" (one-hot), "binary" or None.
        class_names: The subfolders in the order of their numbers; alphabetical by default.
        color_mode: "rgb", "rgba" or "grayscale".
        batch_size: Images of a batch; None for single ones.
        image_size: (height, width), or one number for both.
        shuffle: Draw a new order for every pass; else alphabetical.
        seed: Seed of the order and of the split.
        validation_split: Fraction of the files for validation.
        subset: "training", "validation" or "both".
        interpolation: "bilinear", "nearest", "bicubic" or "area".
        follow_links: Whether links to folders are followed.
        crop_to_aspect_ratio, pad_to_aspect_ratio: Keep proportions: cut off, or fill up.
        data_format: "channels_last" or "channels_first".
        format: Kept for Keras's sake.
        verbose: Whether the number of files is printed.

    Returns:
        A data set that `fit`, `evaluate`, `predict` and `for` take, of float images from 0 to 255,
        with `class_names`, `file_paths`, `map`, `take`, `cache`, `prefetch`...; with
        `subset="both"` two of them.

    Shape:
        `(batch, height, width, channels)`; labels `(batch,)`, `(batch, 1)` or `(batch, classes)`

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no images, or arguments contradict each other.
    """
    channels = {"rgb": 3, "rgba": 4, "grayscale": 1}
    if color_mode not in channels:
        raise unknown("color_mode", color_mode, channels)
    interpolation = str(interpolation).lower()
    if interpolation not in _RESIZING:
        raise unknown("interpolation", interpolation, _RESIZING)
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError(
            "image_dataset_from_directory() got both crop_to_aspect_ratio and pad_to_aspect_ratio. "
            "Proportions are kept in one way. Drop one of them."
        )
    size = _image_size(image_size)
    first = config.standardize_data_format(data_format) == "channels_first"
    folder = _Folder(
        "image_dataset_from_directory",
        IMAGE_FORMATS,
        "images",
        directory=directory,
        labels=labels,
        label_mode=label_mode,
        class_names=class_names,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        validation_split=validation_split,
        subset=subset,
        follow_links=follow_links,
        verbose=verbose,
    )

    def read(path):
        x = torch.from_numpy(np.array(load_image(path, color_mode), dtype="float32"))
        x = x[None] if x.ndim == 2 else x.permute(2, 0, 1)  # (channels, height, width)
        x = _sized(x[None], size, interpolation, crop_to_aspect_ratio, pad_to_aspect_ratio)[0]
        return x if first else x.permute(1, 2, 0)

    return folder.datasets(read, lambda rows, paths: torch.stack(rows))


def load_image(path, color_mode):
    """An image file, or the sentence that names it."""
    try:
        return load_img(path, color_mode=color_mode)
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read as an image: {error}. Take the file away, or repair it."
        ) from None


def _image_size(size):
    both = (size, size) if isinstance(size, int) else size
    whole = isinstance(both, (tuple, list)) and len(both) == 2
    if not whole or not all(isinstance(n, (int, np.integer)) and n > 0 for n in both):
        raise ValueError(
            f"image_size={size!r} is not a size. A pair of whole numbers is accepted, (height, "
            "width). Type image_size=(256, 256)."
        )
    return tuple(int(n) for n in both)


def _sized(x, size, interpolation, crop=False, pad=False):
    """Images (batch, channels, height, width) of another size."""
    x = fitted(x, size, crop, pad)
    if interpolation == "area":
        return torch.nn.functional.interpolate(x, size=size, mode="area")
    return resize(x, size, interpolation)


def smart_resize(x, size, interpolation="bilinear", data_format="channels_last"):
    """Images of another size, cut so that their proportions are kept.

    Args:
        x: One image or a batch, an array or a tensor.
        size: (height, width).
        interpolation: "bilinear", "nearest", "bicubic" or "area".
        data_format: "channels_last" or "channels_first".

    Returns:
        An array for an array, a tensor for a tensor.

    Raises:
        ValueError: it is no image, or the size is none.

    >>> smart_resize(np.zeros((20, 30, 3)), (10, 10)).shape
    (10, 10, 3)
    """
    size = _image_size(size)
    if interpolation not in _RESIZING:
        raise unknown("interpolation", interpolation, _RESIZING)
    given = x if isinstance(x, torch.Tensor) else torch.as_tensor(np.asarray(x))
    if given.ndim not in (3, 4):
        raise ValueError(
            f"smart_resize() got something of shape {tuple(given.shape)}. An image is (height, "
            "width, channels), or has a batch before. Reshape it."
        )
    first = data_format == "channels_first"
    images = given if given.ndim == 4 else given[None]
    images = images if first else images.permute(0, 3, 1, 2)
    images = _sized(images, size, interpolation, crop=True)
    images = images if first else images.permute(0, 2, 3, 1)
    images = images if given.ndim == 4 else images[0]
    return images if isinstance(x, torch.Tensor) else images.numpy()


# ---- texts --------------------------------------------------------------------------------------


def text_dataset_from_directory(
    directory,
    labels="inferred",
    label_mode="int",
    class_names=None,
    batch_size=32,
    max_length=None,
    shuffle=True,
    seed=None,
    validation_split=None,
    subset=None,
    follow_links=False,
    format="tf",
    verbose=True,
):
    """Text files (`.txt`) in a folder, whose subfolders are the classes, as a data set of batches.

    The texts of a batch are a `Text`, which `TextVectorization` takes; its `numpy()` and
    `tolist()` are the strings.

    Args:
        directory: The folder.
        max_length: Bytes of a text that are kept.
        labels, label_mode, class_names, batch_size, shuffle, seed, validation_split, subset,
            follow_links, format, verbose: As for `image_dataset_from_directory`.

    Returns:
        A data set, as that of `image_dataset_from_directory`.

    Shape:
        `(batch,)` strings; labels `(batch,)`, `(batch, 1)` or `(batch, classes)`

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no texts, or arguments contradict each other.
    """
    folder = _Folder(
        "text_dataset_from_directory",
        (".txt",),
        "texts",
        directory=directory,
        labels=labels,
        label_mode=label_mode,
        class_names=class_names,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        validation_split=validation_split,
        subset=subset,
        follow_links=follow_links,
        verbose=verbose,
    )

    def read(path):
        with open(path, "rb") as file:
            return file.read(-1 if max_length is None else max_length).decode("utf-8", "replace")

    return folder.datasets(read, lambda rows, paths: as_text(rows))


# ---- sounds -------------------------------------------------------------------------------------


def audio_dataset_from_directory(
    directory,
    labels="inferred",
    label_mode="int",
    class_names=None,
    batch_size=32,
    sampling_rate=None,
    output_sequence_length=None,
    ragged=False,
    shuffle=True,
    seed=None,
    validation_split=None,
    subset=None,
    follow_links=False,
    verbose=True,
):
    """Sounds (`.wav`) in a folder, whose subfolders are the classes, as a data set of batches.

    Args:
        directory: The folder.
        sampling_rate: The rate that all files must have; they are not resampled.
        output_sequence_length: Cut and fill up sounds to so many samples; needed where they
            differ in length.
        ragged: False.
        labels, label_mode, class_names, batch_size, shuffle, seed, validation_split, subset,
            follow_links, verbose: As for `image_dataset_from_directory`.

    Returns:
        A data set, as that of `image_dataset_from_directory`, of values from -1 to 1.

    Shape:
        `(batch, samples, channels)`; labels `(batch,)`, `(batch, 1)` or `(batch, classes)`

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no sounds, they differ in length, or arguments contradict each other.
    """
    if ragged:
        raise ValueError(
            "audio_dataset_from_directory(ragged=True) is not possible. Sounds are cut and filled "
            "up to one length. Type output_sequence_length=16000."
        )
    folder = _Folder(
        "audio_dataset_from_directory",
        (".wav",),
        "sounds",
        directory=directory,
        labels=labels,
        label_mode=label_mode,
        class_names=class_names,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        validation_split=validation_split,
        subset=subset,
        follow_links=follow_links,
        verbose=verbose,
    )
    return folder.datasets(
        lambda path: _sound(path, sampling_rate, output_sequence_length), _same_length
    )


def _sound(path, rate, length):
    with open(path, "rb") as file:
        data = file.read()
    try:
        with wave.open(io.BytesIO(data)) as sound:
            width, channels, found = (
                sound.getsampwidth(),
                sound.getnchannels(),
                sound.getframerate(),
            )
            frames = sound.readframes(sound.getnframes() if length is None else length)
    except (wave.Error, EOFError) as error:
        raise ValueError(
            f"{path} cannot be read as a sound: {error}. WAV files of whole numbers (PCM) are "
            "read. Convert the file."
        ) from None
    if rate is not None and found != rate:
        raise ValueError(
            f"{path} has {found} samples a second, sampling_rate is {rate}. All files must have "
            "that rate. Convert the files, or leave sampling_rate out."
        )
    x = torch.from_numpy(_samples(frames, width).reshape(-1, channels))
    missing = 0 if length is None else length - len(x)
    return torch.nn.functional.pad(x, (0, 0, 0, missing)) if missing > 0 else x


def _samples(frames, width):
    """PCM of 8 (unsigned), 16, 24 or 32 bits as floats from -1 to 1."""
    if width == 1:
        return (np.frombuffer(frames, np.uint8).astype("float32") - 128) / 128
    if width == 3:  # the upper three bytes of 32 bits
        wide = np.zeros((len(frames) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(frames, np.uint8).reshape(-1, 3)
        return (wide.view("<i4")[:, 0] / 2.0**31).astype("float32")
    return (np.frombuffer(frames, f"<i{width}") / 2.0 ** (8 * width - 1)).astype("float32")


def _same_length(rows, paths):
    lengths = {len(row): path for row, path in zip(rows, paths, strict=True)}
    if len(lengths) > 1:
        (a, one), (b, other) = list(lengths.items())[:2]
        raise ValueError(
            f"{one} has {a} samples, {other} {b}. The sounds of a batch have one length. Type "
            f"output_sequence_length={max(lengths)}."
        )
    return torch.stack(rows)
