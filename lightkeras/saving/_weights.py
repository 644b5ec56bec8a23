"""Weights in files: `.weights.h5` in Keras's layout, `.safetensors` in torch's."""

from __future__ import annotations

import io
import os
import stat
import warnings
from contextlib import contextmanager

import torch

from lightkeras._registry import did_you_mean
from lightkeras.optimizers import Optimizer
from lightkeras.saving import _ckpt, _h5, _safetensors, _walk, _zip
from lightkeras.saving._errors import LoadError
from lightkeras.saving._fit import Comparison, check_finite
from lightkeras.saving._write import check_target, is_another_writing, replacing

__all__ = ["Reader", "groups_of", "load_weights", "opened", "save_weights", "written_instead"]

_ENDINGS = ".weights.h5, .safetensors, .ckpt (or .keras, the whole model)"


def save_weights(model, filepath, overwrite=True):
    """Write the weights of a model to a file.

    Args:
        model: A built model.
        filepath: Ends in `.weights.h5` (Keras's layout, with the optimizer's state) or
            `.safetensors` (the `state_dict`).
        overwrite: Whether an existing file may be replaced.

    Raises:
        ValueError: the model is not built, or the ending is not known.
        FileExistsError: the file exists and `overwrite` is false.
    """
    name = os.fspath(filepath)
    if not name.endswith((".weights.h5", ".safetensors")):
        raise ValueError(
            f"save_weights() got {name!r}. Its name must end in .weights.h5 or .safetensors. Type "
            'model.save_weights("model.weights.h5").'
        )
    _need_built(model, "save_weights")
    path = check_target(filepath, overwrite)
    if is_another_writing():
        return
    with replacing(path) as beside:
        if name.endswith(".safetensors"):
            _safetensors.write(beside, model.state_dict())
        else:
            _h5.write(beside, groups_of(model))


def _need_built(model, method):
    if not model.built:
        raise ValueError(
            f"{method}() on {model.name!r}, which is not built: it has no weights yet. Its first "
            "input builds it. Call it on data, give it an Input, or type model.build(input_shape)."
        )


def groups_of(model, optimizer=True):
    """(group, name, {key: value}) of all that a model keeps in an HDF5 file."""
    for entry in _walk.entries(model):
        if entry.by_hand:
            variables: dict = {}
            entry.owner.save_own_variables(variables)
        else:
            variables = _walk.own_variables(entry.owner)
        yield entry.group, entry.name, variables
    mine = getattr(model, "optimizer", None) if optimizer else None
    if isinstance(mine, Optimizer):
        store: dict = {}
        if type(mine).save_own_variables is not Optimizer.save_own_variables:
            mine.save_own_variables(store)
        else:  # tensors as they are: NumPy has no bfloat16
            tensors = [v if isinstance(v, torch.Tensor) else v.numpy() for v in mine.variables]
            store = {str(number): value for number, value in enumerate(tensors)}
        yield "optimizer/vars", mine.name, store


# ---- reading ----------------------------------------------------------------------------------


def load_weights(
    model, filepath, skip_mismatch=False, objects_to_skip=None, check_finite=False, **kwargs
):
    """Read weights into a model, all or nothing.

    Args:
        model: A built model of the form that was saved.
        filepath: A `.weights.h5`, `.safetensors` or `.keras` file, or a `.ckpt` of Lightning's.
        skip_mismatch: Leave weights alone that are missing or have another shape, with a warning.
        objects_to_skip: Layers to leave alone.
        check_finite: Whether NaN and infinity are refused; they are warned of otherwise.

    Raises:
        LoadError: the file is damaged, or does not fit; the model keeps the weights it had.
        FileNotFoundError: there is no such file.
    """
    if kwargs:
        raise TypeError(
            f"load_weights() got an unexpected argument {next(iter(kwargs))!r}. Accepted: "
            "skip_mismatch, objects_to_skip, check_finite. by_name belongs to the .h5 files of "
            "Keras 2."
        )
    _need_built(model, "load_weights")
    filepath = written_instead(filepath, (".weights.h5", ".keras"))
    name = os.fspath(filepath)
    torchs = next((f for f in (_safetensors, _ckpt) if name.endswith(f.ENDING)), None)
    if torchs is not None:
        with opened(filepath, 8) as file:
            found = torchs.listing(file, name)
            state = model.state_dict(keep_vars=True)
            wanted = {k: (_plain(v), _said(v)) for k, v in state.items()}
            values = _fitting(model, wanted, found, torchs.read, name, skip_mismatch, check_finite)
        _put_all(wanted, values)
        return
    with _h5_of(filepath, name) as h5:
        reader = Reader(h5, name)
        reader.load(model, skip_mismatch, objects_to_skip or (), check_finite)


def written_instead(filepath, endings):
    """`filepath`; where a `ModelCheckpoint` got such an old name, the file that it wrote."""
    from lightkeras.callbacks.checkpoint import name_today

    name = os.fspath(filepath)
    if os.path.exists(name) or name.endswith((*endings, ".safetensors", ".ckpt")):
        return filepath
    for today in (name_today(name, ending) for ending in endings):
        if os.path.isfile(today):
            warnings.warn(
                f"There is no file {name!r}; {today!r} is read, as ModelCheckpoint calls it.",
                stacklevel=4,
            )
            return today
    return filepath


def _plain(weight):
    """A weight in torch's layout, whatever Keras's may be."""
    return weight.detach().as_subclass(torch.Tensor)


def _said(weight):
    return getattr(weight, "path", "") or "weight"


@contextmanager
def opened(filepath, least):
    """An open regular file of at least so many bytes.

    Raises:
        LoadError: it is a folder, a pipe, or too short.
        FileNotFoundError: there is none.
    """
    name = os.fspath(filepath)
    try:
        file = open(filepath, "rb", opener=_open_at_once)  # noqa: SIM115 (closed below)
    except FileNotFoundError:
        folder = os.path.dirname(name) or "."
        names = os.listdir(folder) if os.path.isdir(folder) else []
        hint = did_you_mean(os.path.basename(name), names) if names else ""
        raise FileNotFoundError(f"There is no file {name}.{hint} Check the path.") from None
    except IsADirectoryError:
        raise LoadError(f"{name} is a folder. Give the name of a file in it.") from None
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise LoadError(
                f"{name} is no regular file. A file on a disk can be loaded. Copy it first."
            )
        if status.st_size < least:
            raise LoadError(
                f"{name} exists and has {status.st_size} bytes: it is empty or was cut off. A "
                "whole file can be loaded. Save again, or use an older copy."
            )
        yield file


def _open_at_once(path, flags):
    """A pipe that nobody writes to must not make us wait."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@contextmanager
def _h5_of(filepath, name):
    """The HDF5 weights at `filepath`, also those inside a `.keras` file."""
    if not name.endswith((".weights.h5", ".keras")):
        raise LoadError(
            f"load_weights() got {name!r}. These endings can be read: {_ENDINGS}. A file of torch "
            "(.pt, .pth) is loaded with model.load_state_dict()."
        )
    with opened(filepath, 100) as file:
        if name.endswith(".keras"):
            data = _zip.members(file, name, [_zip.WEIGHTS])[_zip.WEIGHTS]
            file = io.BytesIO(data)
        with _h5.opened(file, name) as h5:
            yield h5


class Reader:
    """The variables of one HDF5 file, listed; read into a model when they fit.

    Args:
        h5: The open file.
        where: Its name, for errors.
    """

    def __init__(self, h5, where):
        self.where = where
        everything = _h5.listing(h5, where)
        # Keras before 3.13 wrote the state of its random numbers, which is its own.
        everything = {k: v for k, v in everything.items() if "/seed_generator/" not in f"/{k}"}
        self.optimizer = {
            k.rpartition("/")[2]: v
            for k, v in everything.items()
            if k.startswith("optimizer/vars/")
        }
        self.found = {k: v for k, v in everything.items() if not k.startswith("optimizer/")}

    @property
    def nbytes(self):
        """Declared size of all weights."""
        return sum(entry.nbytes for entry in self.found.values())

    def load(self, model, skip_mismatch=False, skip=(), finite=False):
        """Weights, and the optimizer's state where the model has one.

        Raises:
            LoadError: something does not fit, or is damaged; nothing was changed.
        """
        wanted, by_hand, found = {}, [], dict(self.found)
        for entry in _walk.entries(model, skip):
            if entry.by_hand:
                by_hand.append((entry, self._store(entry.group, found)))
                continue
            for key, weight in _walk.own_variables(entry.owner).items():
                wanted[f"{entry.group}/{key}"] = (weight, _said(weight))
        for layer in skip:
            for entry in _walk.entries(model):
                if entry.owner is layer:
                    found = {k: v for k, v in found.items() if not k.startswith(f"{entry.path}/")}
        values = _fitting(model, wanted, found, _h5.read, self.where, skip_mismatch, finite)
        stores = [(e, self._values(store)) for e, store in by_hand]
        state = self._optimizer_state(model)
        before = {n: _tensor_of(w).detach().clone() for n, (w, _) in wanted.items() if stores}
        try:
            _put_all(wanted, values)
            for entry, store in stores:
                self._load_by_hand(entry, store)
        except BaseException:
            _put_all(wanted, before)
            raise
        if state is not None:
            model.optimizer.load_own_variables(state)

    def _store(self, group, found):
        """What a class that reads its variables itself gets; taken out of `found`."""
        keys = [k for k in found if k.rpartition("/")[0] == group]
        return {k.rpartition("/")[2]: found.pop(k) for k in keys}

    def _values(self, store):
        read = {key: _h5.read(entry, self.where) for key, entry in store.items()}
        return {k: (t.float() if t.dtype is torch.bfloat16 else t).numpy() for k, t in read.items()}

    def _load_by_hand(self, entry, store):
        try:
            entry.owner.load_own_variables(store)
        except (ValueError, LookupError, TypeError, RuntimeError) as error:
            raise LoadError(
                f"{self.where}: the layer {entry.name!r} could not read its variables: {error}"
            ) from error

    def _optimizer_state(self, model):
        """Values for the model's optimizer, None where it has none that fits."""
        optimizer = getattr(model, "optimizer", None)
        if not self.optimizer or not hasattr(optimizer, "load_own_variables"):
            return None
        if len(self.optimizer) != len(optimizer.variables) and not optimizer.built:
            optimizer.build([w for w in model.weights if w.requires_grad])
        for number, variable in enumerate(optimizer.variables):
            entry = self.optimizer.get(str(number))
            shape = tuple(getattr(variable, "shape", ()))
            same_count = len(self.optimizer) == len(optimizer.variables)
            if same_count and (entry is None or entry.shape != shape):
                raise LoadError(
                    f"{self.where}: the state of the optimizer does not fit {optimizer.name!r}: "
                    f"variable {number} has the shape {entry and entry.shape}, here {shape}. "
                    "Compile the model as it was, or load it with compile=False."
                )
        return self._values(self.optimizer)


def _fitting(model, wanted, found, read, where, skip_mismatch, finite):
    """{name: value} of all that fits, read into memory."""
    comparison = Comparison(wanted, found, where)
    comparison.settle(model.name, skip_mismatch)
    values = {name: read(found[name], where) for name in comparison.fitting}
    check_finite(values, where, strict=finite)
    return values


def _put_all(wanted, values):
    """Overwrite weights, in Keras's layout where they are seen so."""
    for name, value in values.items():
        weight = wanted[name][0]
        if hasattr(weight, "assign"):
            weight.assign(value)
        else:
            with torch.no_grad():
                weight.copy_(value)


def _tensor_of(weight):
    return getattr(weight, "value", weight)
