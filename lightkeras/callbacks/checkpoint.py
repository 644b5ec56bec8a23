"""`ModelCheckpoint`: files with the model, or the best of it, while it is trained."""

from __future__ import annotations

import math
import os
import string
import warnings
from contextlib import suppress
from typing import Any

from lightkeras._config import _Every, warn_old
from lightkeras._ranks import is_chief
from lightkeras._registry import did_you_mean
from lightkeras.callbacks._monitor import _Monitor, log_name

__all__ = ["ModelCheckpoint", "name_today"]

# What `save`, `save_weights` and Lightning write; old names turn into the first of each.
_FORMATS = {False: (".keras", ".ckpt"), True: (".weights.h5", ".safetensors", ".ckpt")}
_OLD_SUFFIXES = (".h5", ".hdf5", ".hdf", ".tf", ".pt", ".pth", ".weights")


class ModelCheckpoint(_Monitor):
    """Saves the model after every epoch, every few batches, or when it is the best so far.

    Args:
        filepath: Name of the file: `.keras`, for weights alone `.weights.h5` or `.safetensors`;
            `.ckpt` is a checkpoint of Lightning's, with the state of the training.
            It may hold `{epoch:02d}` (counted from 1), `{batch}` and names of values:
            "{epoch:02d}-{val_loss:.2f}.keras". Folders that are missing are made.
        monitor: Name of the value that says which model is best.
        verbose: 1 says what is saved and why.
        save_best_only: Whether to save only when `monitor` has become better.
        save_weights_only: Whether to save the weights alone.
        mode: Whether "min" or "max" is better; "auto" asks the metric.
        save_freq: "epoch", or a number of batches.
        initial_value_threshold: What the first value has to beat.

    Raises:
        ValueError: an argument is not allowed; before training: `monitor` or a name in
            `filepath` will not be in the logs.

    Attributes:
        best_model_path: The file with the best of the saved models, of those that are still
            there; the last one where `monitor` has no value. "" before the first.
        best_model_score: The value of `monitor` of that model, or None.
        last_model_path: The file written last.
        best_k_models: {path: value of `monitor`} of the files that are there.

    Names of older Keras (`weights.hdf5`) get a suffix of today, with a warning that says which.
    Only the first of several processes writes. Lightning's loggers hear of every file, so that
    `WandbLogger(log_model=True)` keeps them (all as `model.ckpt`: to be read, a file needs its own
    ending again). From a `.ckpt` a Trainer of one's own goes on:
    `Trainer(...).fit(model.to_lightning(), data, ckpt_path=...)`.

    >>> ModelCheckpoint("run/{epoch:02d}-{val_loss:.2f}.keras").filepath
    'run/{epoch:02d}-{val_loss:.2f}.keras'
    """

    _known = None  # names of values, if training has told them
    _ckpt: Any = None  # what writes `.ckpt` files and tells loggers, while `fit` runs
    _kept = (
        *("best", "best_model_path", "best_model_score", "last_model_path"),
        *("best_k_models", "current_score"),
        *("_epochs_since_saving", "_batches_since_saving", "_last_batch", "_epoch", "_given"),
    )

    def __init__(
        self,
        filepath,
        monitor="val_loss",
        verbose=0,
        save_best_only=False,
        save_weights_only=False,
        mode="auto",
        save_freq="epoch",
        initial_value_threshold=None,
    ):
        super().__init__(monitor, mode, initial_value_threshold)
        whole = isinstance(save_freq, int) and not isinstance(save_freq, bool) and save_freq > 0
        if save_freq != "epoch" and not whole:
            raise ValueError(
                f"ModelCheckpoint got save_freq={save_freq!r}.{did_you_mean(save_freq, ['epoch'])}"
                " It takes 'epoch' or a number of batches. Type save_freq='epoch'."
            )
        self.filepath = _modern_name(os.fspath(filepath), bool(save_weights_only))
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self._fields = _fields(self.filepath)
        self._every = save_freq if isinstance(save_freq, _Every) else 1  # epochs
        self._counts_batches = whole and not isinstance(save_freq, _Every)
        self._epochs_since_saving = 0
        self._batches_since_saving = 0
        self._last_batch = None
        self._epoch = 0
        self._given = False  # whether there has been a value of `monitor`
        self.best_model_path = ""
        self.best_model_score = None
        self.last_model_path = ""
        self.current_score = None
        self.best_k_models = {}

    # ---- before training ------------------------------------------------------------------------

    def _wants(self, mode, base=None):
        counts = self._counts_batches and mode == "train"
        return counts or super()._wants(mode, base or ModelCheckpoint)

    def _validate(self, has_validation, names):
        if self._counts_batches and names is not None:
            names = {name for name in names if not name.startswith("val_")}
            self._refuse_late_names(names)
        if self.save_best_only:
            super()._validate(has_validation, names)
        self._known = names
        if names is None:
            return
        allowed = {*names, "epoch", *(["batch"] if self._counts_batches else [])}
        for field in self._fields:
            if log_name(field, allowed) is None:
                raise ValueError(
                    f"ModelCheckpoint's filepath {self.filepath!r} asks for {{{field}}}, which "
                    f"nothing will give.{did_you_mean(field, allowed)} Known: "
                    f"{', '.join(sorted(allowed))}."
                )

    def _refuse_late_names(self, names):
        watched = [self.monitor] if self.save_best_only else []
        late = [name for name in (*watched, *self._fields) if name.startswith("val_")]
        if late:
            raise ValueError(
                f"ModelCheckpoint saves every {self.save_freq} batches, but {late[0]!r} is known "
                "only after an epoch. Use a value of the training, or type save_freq='epoch'. "
                f"Known after a batch: {', '.join(sorted(names))}."
            )

    def on_train_begin(self, logs=None):
        folder = os.path.dirname(self.filepath.partition("{")[0])
        if folder and is_chief():  # that it cannot be made is better known now than later
            os.makedirs(folder, exist_ok=True)

    # ---- when -----------------------------------------------------------------------------------

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        if not self._counts_batches:
            return
        again = self._last_batch is None or batch <= self._last_batch  # a new epoch
        self._batches_since_saving += batch + 1 if again else batch - self._last_batch
        self._last_batch = batch
        if self._batches_since_saving >= self.save_freq:
            self._batches_since_saving = 0
            self._save_if_better(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch, logs=None):
        self._epochs_since_saving += 1
        if not self._counts_batches and self._epochs_since_saving >= self._every:
            self._epochs_since_saving = 0
            self._save_if_better(epoch, None, logs or {})

    def _save_if_better(self, epoch, batch, logs):
        if not self.save_best_only:
            self._save(epoch, batch, logs, "")
            return
        value = self._value(logs)
        if value is None:
            self._pass_over(logs)
            return
        self._given = True
        if self._ckpt is not None:
            value = self._ckpt.same(value)
        was = "nothing" if self.best is None else f"{self.best:.5f}"
        if self._is_improvement(value, self.best):
            self.best = value
            self._save(epoch, batch, logs, f"{self.monitor} went from {was} to {value:.5f}, ")
        elif self.verbose > 0:
            self._say(f"Epoch {epoch + 1}: {self.monitor} is no better than {was}")

    def _pass_over(self, logs):
        """An epoch without the value; one without validation has none of `val_...`.

        Raises:
            ValueError: there was none before, and it may be misspelt.
        """
        if self._expected or self._given:
            return
        if self.monitor.startswith("val_") and not any(name.startswith("val_") for name in logs):
            return self._warn_missing(logs)
        raise ValueError(
            f"{self._name} watches {self.monitor!r}, which this epoch did not give."
            f"{did_you_mean(self.monitor, logs)} It gave: {', '.join(sorted(logs))}. A callback "
            f"before this one can: in on_epoch_end, logs[{self.monitor!r}] = ... (NaN is no best)."
        )

    # ---- what -----------------------------------------------------------------------------------

    def _save(self, epoch, batch, logs, why):
        path = self._path(epoch, batch, logs)
        if path is None:
            return
        self._note(path, logs)  # first: it belongs to the state that a `.ckpt` holds
        if not path.endswith(".ckpt"):
            self._write(path)
        elif self._ckpt is not None:
            self._ckpt.write(path, bool(self.save_weights_only))
        else:
            raise self._no_trainer(path)
        if self._ckpt is not None:
            self._ckpt.tell_loggers()
        if self.verbose > 0:
            self._say(f"Epoch {epoch + 1}: {why}saved {path}")

    def _write(self, path):
        if not is_chief():
            return
        if os.path.isdir(path):
            raise IsADirectoryError(
                f"ModelCheckpoint cannot write {path!r}: it is a folder. filepath names a file. "
                f"Type filepath={os.path.join(path, 'model' + self._formats[0])!r}."
            )
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        write = self.model.save_weights if self.save_weights_only else self.model.save
        write(path, overwrite=True)

    def _no_trainer(self, path):
        return ValueError(
            f"ModelCheckpoint cannot write {path!r}: a .ckpt file holds the state of Lightning's "
            "Trainer, and only fit() has one. Elsewhere the model can be saved. Type filepath="
            f"{path.removesuffix('.ckpt') + self._formats[0]!r}."
        )

    def _note(self, path, logs):
        """Keep in mind where the best of what was written lies."""
        self.last_model_path, score, better = path, None, self.best_model_score is None
        with suppress(ValueError):  # no number, or nobody says which are better: it is the last
            score = self._value(logs)
            score = None if score is None or math.isnan(score) else score
            better |= score is not None and self._is_improvement(score, self.best_model_score)
        self.current_score = score
        self.best_k_models.pop(path, None)
        if score is not None:
            self.best_k_models[path] = score
        if better or path == self.best_model_path:  # else what was best there is no more
            self.best_model_path, self.best_model_score = path, score

    @property
    def _formats(self):
        return _FORMATS[bool(self.save_weights_only)]

    def _path(self, epoch, batch, logs):
        values = {"epoch": epoch + 1, "batch": None if batch is None else batch + 1}
        values = {**{k: v for k, v in values.items() if v is not None}, **logs}
        found = {field: log_name(field, values) for field in self._fields}
        missing = [field for field, name in found.items() if name is None]
        if not missing:
            for field, name in found.items():
                if field != name:
                    warn_old("ModelCheckpoint", field, name)
            return self.filepath.format_map({f: values[n] for f, n in found.items()})
        if self._known is not None:  # an epoch without validation
            return None
        raise ValueError(
            f"ModelCheckpoint's filepath {self.filepath!r} asks for {{{missing[0]}}}, which is not "
            f"there.{did_you_mean(missing[0], values)} Known: {', '.join(sorted(values))}."
        )


def _fields(filepath):
    """Names between braces; each is tried with a number, so that a typo shows at once."""
    try:
        fields = [
            field for _, field, _, _ in string.Formatter().parse(filepath) if field is not None
        ]
        filepath.format_map({f: 1 if f in ("epoch", "batch") else 0.5 for f in fields})
    except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise ValueError(
            f"ModelCheckpoint cannot fill in filepath {filepath!r}: {error}. Between braces stand "
            "a name and a format. Type '{epoch:02d}-{val_loss:.2f}.keras'."
        ) from None
    return fields


def name_today(filepath, ending):
    """The name of a file with `ending` in place of one of older Keras.

    >>> name_today("best.hdf5", ".keras"), name_today("best", ".keras")
    ('best.keras', 'best.keras')
    """
    old = next((s for s in _OLD_SUFFIXES if filepath.endswith(s)), "")
    return filepath.removesuffix(old) + ending


def _modern_name(filepath, weights_only):
    """`filepath` with a suffix that can be written today."""
    formats, others = _FORMATS[weights_only], _FORMATS[not weights_only]
    if filepath.endswith(formats):
        return filepath
    if filepath.endswith(others):
        raise ValueError(
            f"ModelCheckpoint got filepath={filepath!r} with save_weights_only={weights_only}. "
            f"It takes a name that ends in {' or '.join(formats)}. Change it, or type "
            f"save_weights_only={not weights_only}."
        )
    name = name_today(filepath, formats[0])
    warnings.warn(
        f"ModelCheckpoint: no file can be written as {filepath!r} today; the files are called "
        f"{name!r} instead. Names end in {' or '.join(formats)}."
    )
    return name
