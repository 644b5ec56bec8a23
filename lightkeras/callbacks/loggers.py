"""Callbacks that report: to the screen, to a CSV file, to a server."""

from __future__ import annotations

import csv
import json
import math
import os
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterable
from typing import Any

from lightkeras._progress import Progress
from lightkeras._ranks import is_chief
from lightkeras.callbacks._base import Callback

__all__ = ["CSVLogger", "ProgbarLogger", "RemoteMonitor"]


class ProgbarLogger(Callback):
    """Prints the progress line of `fit`, `evaluate` and `predict`, as `verbose` says.

    >>> line = ProgbarLogger()
    >>> line.set_params({"verbose": 2, "epochs": 2, "steps": 8})
    >>> line.on_epoch_begin(0)
    Epoch 1/2
    >>> line.on_epoch_end(0, {"loss": 0.5})  # doctest: +ELLIPSIS
    8/8 - 0s - ... - loss: 0.5000
    """

    def __init__(self):
        self._line: Any = None
        self._training = False  # validation inside fit prints nothing

    def _start(self, epochs=1):
        params = self.params or {}
        self._line = Progress(params.get("verbose", 1), epochs, params.get("steps"))

    def _wants(self, mode, base=None):
        return super()._wants(mode, base or ProgbarLogger)  # `step` is enough

    def step(self, n, values=None):
        """`n` batches are done; `values()`, a dictionary, is asked for when the line is drawn."""
        if self._line is None:
            self._start()
        self._line.step(n, values)

    def on_train_begin(self, logs=None):
        self._training = True
        self._start((self.params or {}).get("epochs", 1))

    def on_epoch_begin(self, epoch, logs=None):
        if self._line is None or not self._training:
            self.on_train_begin()
        self._line.epoch(epoch)

    def on_train_batch_end(self, batch, logs=None):
        self.step(batch + 1, lambda: logs or {})

    def on_epoch_end(self, epoch, logs=None):
        self._line.finish(logs)

    def on_train_end(self, logs=None):
        self._training = False

    def on_test_begin(self, logs=None):
        if not self._training:
            self._start()

    def on_test_batch_end(self, batch, logs=None):
        if not self._training:
            self.step(batch + 1, lambda: logs or {})

    def on_test_end(self, logs=None):
        if not self._training:
            self._line.finish(logs)

    def on_predict_begin(self, logs=None):
        self._start()

    def on_predict_batch_end(self, batch, logs=None):
        self.step(batch + 1)

    def on_predict_end(self, logs=None):
        self._line.finish()

    def _abort(self):
        self._training = False
        if self._line is not None:
            self._line.close()


class CSVLogger(Callback):
    """Writes a line with the values of every epoch to a file.

    Args:
        filename: Name of the file; folders that are missing are made.
        separator: The character between two values.
        append: Whether to go on with a file that is there, instead of replacing it.

    Raises:
        ValueError: `separator` is not one character.

    Only the first of several processes writes.

    >>> CSVLogger("run/log.csv", separator=";").sep
    ';'
    """

    def __init__(self, filename, separator=",", append=False):
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(
                f"CSVLogger got separator={separator!r}. It is one character. Type separator=','."
            )
        self.filename = os.fspath(filename)
        self.sep = separator
        self.append = append
        self.keys: Any = None
        self._length: Any = None  # to which the file is to be cut
        self.csv_file: Any = None
        self.writer: Any = None

    def on_train_begin(self, logs=None):
        self._abort()
        self.keys = None
        self._length = None if self.append else 0
        if is_chief():
            os.makedirs(os.path.dirname(self.filename) or ".", exist_ok=True)
            self.csv_file = open(self.filename, "a", newline="")  # noqa: SIM115

    def on_epoch_begin(self, epoch, logs=None):
        self._cut()

    def _cut(self):
        """Take off what is old; not before an epoch begins, for then a restart is known."""
        if self._length is not None and self.csv_file is not None:
            self.csv_file.truncate(min(self._length, self.csv_file.tell()))
            self.csv_file.seek(0, os.SEEK_END)
            self._length = None

    def state_dict(self):
        return {"keys": self.keys, "length": self.csv_file and self.csv_file.tell()}

    def load_state_dict(self, state_dict):
        self.keys, self._length = state_dict["keys"], state_dict["length"]
        self.writer = None

    def on_epoch_end(self, epoch, logs=None):
        if self.csv_file is None:
            return
        self._cut()
        logs = logs or {}
        if self.writer is None:
            self._write_head(logs)
        row = {key: _cell(logs.get(key, "NA")) for key in self.keys}
        self.writer.writerow({"epoch": epoch, **row})
        self.csv_file.flush()

    def _write_head(self, logs):
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):  # validation may come later
                self.keys += [f"val_{key}" for key in self.keys]
        self.writer = csv.DictWriter(self.csv_file, ["epoch", *self.keys], delimiter=self.sep)
        if self.csv_file.tell() == 0:
            self.writer.writeheader()

    def on_train_end(self, logs=None):
        self._cut()  # where no epoch was left to train
        self._abort()

    def _abort(self):
        if self.csv_file is not None:
            self.csv_file.close()
        self.csv_file = self.writer = None


def _cell(value):
    scalar = isinstance(value, str) or getattr(value, "ndim", 1) == 0
    if isinstance(value, Iterable) and not scalar:
        return f'"[{", ".join(map(str, value))}]"'
    return value


class RemoteMonitor(Callback):
    """Sends the values of every epoch to a server, by HTTP POST.

    Args:
        root: Address of the server.
        path: Where on the server.
        field: Name of the form field that holds the JSON text.
        headers: Dictionary of further HTTP headers.
        send_as_json: Whether the body is the JSON text itself, instead of a form.

    Raises:
        ValueError: `root` is no http address.

    NaN is sent as null. A server that does not answer within 10 seconds costs a warning.

    >>> RemoteMonitor("http://127.0.0.1:9000").path
    '/publish/epoch/end/'
    """

    _timeout = 10  # seconds

    def __init__(
        self,
        root="http://localhost:9000",
        path="/publish/epoch/end/",
        field="data",
        headers=None,
        send_as_json=False,
    ):
        if not str(root).lower().startswith(("http://", "https://")):
            raise ValueError(
                f"RemoteMonitor got root={root!r}. It is the address of a server. Type "
                "root='http://localhost:9000'."
            )
        self.root = root
        self.path = path
        self.field = field
        self.headers = headers
        self.send_as_json = send_as_json

    def on_epoch_end(self, epoch, logs=None):
        if not is_chief():
            return
        values = {name: _json_value(value) for name, value in (logs or {}).items()}
        text = json.dumps({"epoch": epoch, **values})
        if self.send_as_json:
            kind = "application/json"
        else:
            kind, text = "application/x-www-form-urlencoded", _form({self.field: text})
        headers = {"Content-Type": kind, **(self.headers or {})}
        request = urllib.request.Request(self.root + self.path, text.encode(), headers)
        try:
            urllib.request.urlopen(request, timeout=self._timeout).close()
        except OSError as error:  # unreachable, refused, too slow, or an HTTP error
            warnings.warn(f"RemoteMonitor: {self.root} did not take epoch {epoch + 1}: {error}")


def _form(fields):
    return urllib.parse.urlencode(fields)


def _json_value(value):
    value = value.tolist() if hasattr(value, "tolist") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
