"""What kind of data the user gave, where it is not arrays: loaders, datasets, data modules."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Mapping, Set

from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from lightkeras._config import _outside
from lightkeras._data._convert import is_array_like
from lightkeras._data._streams import MapDataset, PyBatches, Stream, unpack

__all__ = ["DEFAULT_BATCH", "arrays_of", "gives_batches", "is_data_module", "loader_of", "make"]

DEFAULT_BATCH = 32
# Which loaders of a LightningDataModule serve whom, and the stage that its setup() is told.
_LOADERS = {
    "fit": (("train_dataloader",), "fit"),
    "validate": (("val_dataloader",), "fit"),
    "evaluate": (("test_dataloader", "val_dataloader"), "test"),
    "predict": (("predict_dataloader", "test_dataloader"), "predict"),
}


def is_data_module(x):
    """Whether x is a LightningDataModule, or looks like one."""
    return hasattr(x, "train_dataloader") and hasattr(x, "prepare_data")


def _is_py_dataset(x):
    return hasattr(x, "__getitem__") and (hasattr(x, "num_batches") or hasattr(x, "on_epoch_end"))


def gives_batches(x):
    """Whether x makes batches or rows itself, and is no array and no structure of arrays."""
    if isinstance(x, (str, bytes, list, tuple, range, Set, Mapping)) or is_array_like(x):
        return False
    if isinstance(x, (DataLoader, Dataset)) or _is_py_dataset(x):
        return True
    return hasattr(x, "__iter__") and not hasattr(x, "shape")  # a sparse matrix has both


def arrays_of(x, y, sample_weight):
    """The arrays of a TensorDataset; everything else as it is.

    Raises:
        ValueError: x brings its own y, and one is given.
    """
    if not gives_batches(x):
        return x, y, sample_weight
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(
                f"{name} is given, but x is of type {type(x).__name__}, which brings its own. Its "
                f"batches (x, y, sample_weight) are used. Leave {name} out."
            )
    return unpack(x.tensors) if type(x) is TensorDataset else (x, None, None)


def make(x, batch_size, shuffle, options, caller, allow_empty):
    """The batches of x, for which `gives_batches` holds."""
    name = "validation_data" if caller == "validate" else "x"
    if isinstance(x, IterableDataset):
        x = DataLoader(x, batch_size=batch_size or DEFAULT_BATCH)
        return Stream(x, length=_size(x), name=name, allow_empty=allow_empty, **options)
    if isinstance(x, Dataset):
        if _size(x) is None:
            raise TypeError(
                f"{type(x).__name__} has no __len__. A Dataset tells how many rows it has. Write "
                "def __len__(self): return 1000, or derive it from IterableDataset."
            )
        if len(x) == 0 and not allow_empty:
            raise ValueError(
                f"{name} has 0 samples. At least one is accepted. Look at len({name})."
            )
        return MapDataset(x, batch_size or DEFAULT_BATCH, shuffle=shuffle, **options)
    if batch_size is not None:
        warnings.warn(
            f"batch_size={batch_size} is not used: data of type {type(x).__name__} comes in "
            "batches of its own. Set the size where they are made, and leave batch_size out.",
            stacklevel=_outside(),
        )
    if _is_py_dataset(x):
        return _py_batches(x, shuffle, options, name, allow_empty)
    loader = x if isinstance(x, DataLoader) else None
    return Stream(x, length=_size(x), loader=loader, name=name, allow_empty=allow_empty, **options)


def _py_batches(x, shuffle, options, name, allow_empty):
    number = x.num_batches if hasattr(x, "num_batches") else len(x)
    if number is None:
        if options["steps"] is None:
            raise ValueError(
                f"{name} is a PyDataset without an end. A number of steps is needed. "
                "Write steps_per_epoch=100, validation_steps=100 or steps=100."
            )
        return Stream(_Endless(x), hooks=x, name=name, **options)
    if number == 0 and not allow_empty:
        raise ValueError(f"{name} has 0 batches. At least one is accepted. Look at its __len__.")
    return PyBatches(x, shuffle=shuffle, **options)


class _Endless:
    """The batches 0, 1, 2... of a PyDataset."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __iter__(self):
        index = 0
        while True:
            yield self.dataset[index]
            index += 1


def _size(x):
    """`len(x)`, or None."""
    try:
        return len(x)
    except (TypeError, NotImplementedError):
        return None


# ---- LightningDataModule ----------------------------------------------------------------------

_ready: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # module -> stages set up


def loader_of(module, caller, required=True):
    """The loader of a LightningDataModule for `caller`.

    Raises:
        ValueError: it has none (and one is required), or several.
    """
    names, stage = _LOADERS[caller]
    done = _ready.setdefault(module, set())
    if not done:
        module.prepare_data()
    if stage not in done:
        module.setup(stage)
    done.update((stage, "prepared"))
    loader = next(filter(_present, (_loader(module, name) for name in names)), None)
    if loader is None and required:
        raise ValueError(
            f"{caller}() needs a {' or '.join(names)}, which {type(module).__name__} does not "
            f"have. Add the method, or give {caller}() a loader."
        )
    return loader


def _present(loader):
    return loader is not None


def _loader(module, name):
    """What a loader method gives; None where the class does not have one of its own."""
    try:
        loader = getattr(module, name, _nothing)()
    except Exception as error:  # Lightning's own methods say that they are not overridden
        if type(error).__name__ == "MisconfigurationException":
            return None
        raise
    if isinstance(loader, (list, tuple)) and len(loader) == 1:
        return loader[0]
    if isinstance(loader, (list, tuple, dict)):
        raise ValueError(
            f"{name}() gives {len(loader)} loaders. One is accepted. Join the data sets with "
            "torch.utils.data.ConcatDataset."
        )
    return loader


def _nothing():
    return None
