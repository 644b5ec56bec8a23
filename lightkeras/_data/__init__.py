"""The data of `fit`, `evaluate` and `predict`: whatever the user gives, as whole batches.

>>> for x, y, w in batches([[1.0], [2.0], [3.0]], [0, 1, 1], batch_size=2):
...     print(x.shape, y, w)
torch.Size([2, 1]) tensor([0, 1]) None
torch.Size([1, 1]) tensor([1]) None
"""

from __future__ import annotations

import math

from torch.utils.data import Dataset

from lightkeras import config
from lightkeras._data._batches import Arrays, Batches
from lightkeras._data._checks import (
    check_batch_size,
    check_finite,
    check_rows,
    check_shuffle,
    check_split,
    check_steps,
    check_weights,
    warn_not_finite,
    warn_unscaled,
)
from lightkeras._data._convert import leaves, tensors
from lightkeras._data._sources import (
    DEFAULT_BATCH,
    arrays_of,
    gives_batches,
    is_data_module,
    loader_of,
    make,
)
from lightkeras._data._streams import pack, unpack
from lightkeras._data._weights import ClassWeights, weight_tree
from lightkeras._data._workers import telling
from lightkeras._tree import map_structure

__all__ = [
    "Arrays",
    "Batches",
    "batches",
    "check_rows",
    "check_steps",
    "check_weights",
    "inputs",
    "one_batch",
    "pack",
    "split",
    "telling",
    "unpack",
    "unpack_validation",
    "validation_of",
    "warn_not_finite",
    "warn_unscaled",
]

_STEPS = {"fit": "steps_per_epoch", "validate": "validation_steps"}
_NAMES = ("x", "y", "sample_weight")
_VALIDATION_NAMES = ("x_val", "y_val", "sample_weight_val")


def batches(
    x=None,
    y=None,
    sample_weight=None,
    *,
    batch_size=None,
    shuffle=False,
    class_weight=None,
    steps=None,
    caller="fit",
    allow_empty=False,
    else_size=None,
) -> Batches:
    """Whole batches `(x, y, w)` of any kind of data, checked.

    Args:
        x: Arrays, tensors, lists, frames, or lists, tuples and dicts of them; or what gives
            batches: DataLoader, Dataset, IterableDataset, LightningDataModule, PyDataset, any
            iterable of batches, a generator.
        y, sample_weight: Arrays, where x is arrays.
        batch_size: Rows of a batch, over all processes; 32 by default.
        shuffle: Draw a new order for every epoch; "batch" keeps batches together.
        class_weight: `{class: weight}` or a list of weights.
        steps: Batches of an epoch. Without `batch_size` it divides arrays into so many.
        caller: "fit", "validate", "evaluate" or "predict". All but "fit" begin every pass at the
            first batch.
        allow_empty: Accept data of 0 rows.
        else_size: The `batch_size` where none is given and the data are not in batches already.

    Raises:
        TypeError: x is nothing of these, or holds no numbers.
        ValueError: sizes, values or arguments are wrong.
    """
    size = "validation_batch_size" if caller == "validate" else "batch_size"
    batch_size, shuffle = check_batch_size(batch_size, size), check_shuffle(shuffle)
    steps = check_steps(steps, _STEPS.get(caller, "steps"))
    weights = None if class_weight is None else ClassWeights(class_weight)
    options = {"steps": steps, "restart": caller != "fit"}
    if x is None:
        raise _no_x(caller)
    if isinstance(x, Batches):
        return x
    if is_data_module(x):
        x = loader_of(x, caller)
    x, y, sample_weight = arrays_of(x, y, sample_weight)
    if batch_size is None and (isinstance(x, Dataset) or not gives_batches(x)):
        batch_size = check_batch_size(else_size, "batch_size")
    if gives_batches(x):
        made = make(x, batch_size, shuffle, options, caller, allow_empty)
        made.class_weight = weights
    else:
        names = _VALIDATION_NAMES if caller == "validate" else _NAMES
        trees, rows = checked((x, y, sample_weight), names, allow_empty)
        made = _arrays(trees, rows, batch_size, weights, shuffle=shuffle, **options)
    made.limit(config.max_steps_per_epoch())
    return made


def _no_x(caller):
    who, call = f"{caller}() needs", f"{caller}(x{', y' if caller != 'predict' else ''})"
    if caller == "validate":
        who, call = "validation_data has no", "validation_data=(x_val, y_val)"
    return ValueError(
        f"{who} x. Arrays, tensors, lists, frames, loaders, datasets and generators are accepted. "
        f"Write {call}."
    )


def one_batch(x, y=None, sample_weight=None, class_weight=None, allow_empty=False):
    """`(x, y, w)` of arrays as tensors, for `train_on_batch`: nothing but the rows is checked.

    >>> x, y, w = one_batch([[1.0], [2.0]], [0, 1], class_weight={1: 3.0})
    >>> x.shape, w
    (torch.Size([2, 1]), tensor([1., 3.]))
    """
    (x, y, w), _ = checked((x, y, sample_weight), allow_empty=allow_empty, values=False)
    if class_weight is not None:
        w = ClassWeights(class_weight).apply(y, w)
    return x, y, w


def inputs(x, values=True):
    """x alone as tensors, for `predict_on_batch`; there may be no rows.

    Args:
        x: Arrays, or a tree of them.
        values: Whether NaN is warned of.
    """
    x = tensors(x, "x", {})
    check_rows((x, None, None), _NAMES, x, True)
    (x,) = _together(x)
    if values:
        warn_not_finite(x, "x")
    return x


# ---- arrays -----------------------------------------------------------------------------------


def _arrays(trees, rows, batch_size, weights, steps, **options):
    x, y, w = trees
    if weights is not None:
        w = weights.apply(y, w)
        weights.check(y)
    if batch_size is None:
        batch_size = max(math.ceil(rows / steps), 1) if steps else DEFAULT_BATCH
    return Arrays(x, y, w, rows, batch_size, steps=steps, **options)


def checked(data, names=_NAMES, allow_empty=False, values=True):
    """`(x, y, sample_weight)` as trees of tensors on one device, and their length."""
    seen: dict = {}
    x, y, w = (tensors(part, name, seen) for part, name in zip(data, names, strict=True))
    rows = check_rows((x, y, w), names, data[0], allow_empty)
    w = weight_tree(w, y)
    x, y, w = _together(x, y, w)
    if values:
        warn_not_finite(x, names[0])
        check_finite(y, names[1])
        check_weights(w, names[2])
    return (x, y, w), rows


def _together(*trees):
    """All on the accelerator where one of them is."""
    places = [t.device for _, t in leaves(trees, "")]
    place = next((p for p in places if p.type != "cpu"), None)
    if place is None or all(p == place for p in places):
        return trees
    return map_structure(lambda t: None if t is None else t.to(place), trees)


def split(x, y, sample_weight, validation_split):
    """The last fraction of the rows as validation data, views of the same memory.

    Args:
        x, y, sample_weight: Arrays; y and sample_weight may be None.
        validation_split: Fraction from 0 to less than 1.

    Returns:
        `((x, y, w), (x, y, w))`; the second is None where the fraction is 0.

    Raises:
        ValueError: the fraction is out of range or leaves one part empty, or x gives batches.

    >>> train, val = split([[1.0], [2.0], [3.0], [4.0]], None, None, 0.25)
    >>> train[0].shape, val[0].shape
    (torch.Size([3, 1]), torch.Size([1, 1]))
    """
    fraction = check_split(validation_split)
    if fraction == 0:
        return (x, y, sample_weight), None
    if is_data_module(x) or gives_batches(x):
        raise ValueError(
            f"validation_split is given, but x is of type {type(x).__name__}. Only arrays can be "
            "split. Give validation_data=..., or split a Dataset with utils.split_dataset."
        )
    data, rows = checked((x, y, sample_weight), values=False)  # `batches` looks at both
    cut = math.floor(rows * (1.0 - fraction))
    if cut in (0, rows):
        raise ValueError(
            f"validation_split={validation_split} of {rows} samples leaves none to "
            f"{'train' if cut == 0 else 'validate'} on. Both parts need at least one. "
            "Give more data or another fraction."
        )
    return _cut(data, slice(0, cut)), _cut(data, slice(cut, rows))


def _cut(trees, part):
    return tuple(map_structure(lambda t: None if t is None else t[part], tree) for tree in trees)


# ---- validation_data --------------------------------------------------------------------------


def validation_of(x):
    """The validation loader of a LightningDataModule; None for all else."""
    return loader_of(x, "validate", required=False) if is_data_module(x) else None


def unpack_validation(data, needs_y=True):
    """`(x, y, sample_weight)` of `validation_data`; what gives batches is x alone.

    Args:
        data: `(x, y)`, `(x, y, sample_weight)`, the same as a list, or what gives batches.
        needs_y: Whether the training data has targets.

    Raises:
        ValueError: it is one array, or has no y.
    """
    if is_data_module(data) or isinstance(data, Batches) or gives_batches(data):
        return data, None, None
    if isinstance(data, (tuple, list)) and (
        len(data) in (2, 3) or (len(data) == 1 and not needs_y)
    ):
        return unpack(data)
    given = f"of type {type(data).__name__}"
    if isinstance(data, (tuple, list)):
        given += f" and length {len(data)}"
    raise ValueError(
        f"validation_data is {given}. A pair of x and y is accepted, or with weights three, or a "
        "loader. Write validation_data=(x_val, y_val)."
    )
