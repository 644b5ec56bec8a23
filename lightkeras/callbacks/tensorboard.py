"""`TensorBoard`: event files that TensorBoard draws."""

from __future__ import annotations

import os
import time
import warnings
from typing import Any

import numpy as np

from lightkeras._ranks import is_chief
from lightkeras._registry import did_you_mean, unknown
from lightkeras.callbacks._base import Callback
from lightkeras.callbacks.learning_rate import rates_of

__all__ = ["TensorBoard"]

_LARGEST_IMAGE = 2**22  # pixels


class TensorBoard(Callback):
    """Writes what `tensorboard --logdir logs` shows; needs `pip install tensorboard`.

    Scalars are `epoch_loss`, `epoch_learning_rate`... of the folders `train` and `validation`,
    `evaluation_loss_vs_iterations` after every evaluation, and `batch_loss`... if asked for.

    Args:
        log_dir: Folder; it is made.
        histogram_freq: Histograms of all weights every so many epochs; 0 for none.
        write_graph: Whether to write the graph of the layers, or, of a model that has none but a
            sample of its input, the graph of torch operations.
        write_images: Whether to write kernels as pictures, where there are histograms.
        write_steps_per_second: Whether to write the speed.
        update_freq: "epoch", "batch", or a number of batches after which values are written too.
        profile_batch: Number of a batch, or of the first and the last one, to write a trace of;
            counted from 1, 0 for none. (Keras cannot do that on torch.)
        embeddings_freq: Vectors of Embedding layers every so many epochs; 0 for none.
        embeddings_metadata: File with a label for each row, or `{name of the layer: file}`;
            relative to `log_dir`.

    Raises:
        ValueError: an argument is out of its range.
        ImportError: when training begins: TensorBoard is not installed.

    Only the first of several processes writes.

    >>> board = TensorBoard("logs", update_freq="batch", profile_batch=(2, 4))
    >>> board.update_freq, board._wants("train")
    (1, True)
    """

    # Of older Keras: they mean nothing any more.
    _extra_arguments = ("batch_size", "write_grads", "embeddings_layer_names", "embeddings_data")

    def __init__(
        self,
        log_dir="logs",
        histogram_freq=0,
        write_graph=True,
        write_images=False,
        write_steps_per_second=False,
        update_freq="epoch",
        profile_batch=0,
        embeddings_freq=0,
        embeddings_metadata=None,
        **kwargs,
    ):
        for name in kwargs:
            warnings.warn(f"TensorBoard: {name!r} of older Keras does nothing and is left out.")
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = _count("histogram_freq", histogram_freq)
        self.write_graph = write_graph
        self.write_images = write_images
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = _frequency(update_freq)
        self._first, self._last = _batches(profile_batch)
        self.embeddings_freq = _count("embeddings_freq", embeddings_freq)
        self.embeddings_metadata = embeddings_metadata
        self._writers: dict[str, Any] = {}
        self._profiler: Any = None
        self._training = False
        self._batch = 0  # training batches since the beginning of fit

    def _wants(self, mode, base=None):
        if mode == "train" and (self.update_freq != "epoch" or self._batch < self._last):
            return True
        return super()._wants(mode, base or TensorBoard)

    # ---- files ----------------------------------------------------------------------------------

    def _writer(self, run):
        """The writer of `train` or `validation`, opened when it is first needed."""
        if run not in self._writers:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise ImportError(
                    "TensorBoard() needs the package tensorboard, which is not installed. "
                    "Type pip install tensorboard."
                ) from error
            self._writers[run] = SummaryWriter(os.path.join(self.log_dir, run))
        return self._writers[run]

    @property
    def _train_writer(self):
        return self._writer("train")

    @property
    def _val_writer(self):
        return self._writer("validation")

    def _scalars(self, run, values, step):
        if not is_chief():
            return
        for name, value in values.items():
            if not np.ndim(value):
                self._writer(run).add_scalar(name, float(value), step)

    def _close(self):
        if self._profiler is not None:
            self._stop_trace()
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
        self._training = False

    def _abort(self):
        self._close()

    def state_dict(self):
        return {"batch": self._batch}

    def load_state_dict(self, state_dict):
        self._batch = state_dict["batch"]
        self._start_clock()

    def _start_clock(self):
        """Speed is that of the steps from here on."""
        self._epoch_start = time.perf_counter()
        self._iterations = _iterations(self.model) if self.write_steps_per_second else 0

    # ---- hooks ----------------------------------------------------------------------------------

    def on_train_begin(self, logs=None):
        self._batch = 0
        self._training = True
        if is_chief():
            self._train_writer.flush()
            if self.write_graph:
                self._write_graph()
            if self.embeddings_freq:
                self._configure_embeddings()

    def on_train_end(self, logs=None):
        self._close()

    def on_epoch_begin(self, epoch, logs=None):
        self._start_clock()

    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(batch, logs)
        self._batch += 1
        self._batch_start = time.perf_counter()
        if self._batch == self._first and is_chief():
            self._start_trace()

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        if self.update_freq != "epoch" and self._batch % self.update_freq == 0:
            values = {f"batch_{name}": value for name, value in (logs or {}).items()}
            if self.write_steps_per_second:
                seconds = time.perf_counter() - self._batch_start
                values["batch_steps_per_second"] = 1 / max(seconds, 1e-9)
            self._scalars("train", values, self._batch)
        if self._profiler is not None and self._batch >= self._last:
            self._stop_trace()

    def on_epoch_end(self, epoch, logs=None):
        train, validation = {}, {}
        for name, value in (logs or {}).items():
            inside = name.startswith("val_")
            (validation if inside else train)[f"epoch_{name.removeprefix('val_')}"] = value
        if getattr(self.model, "optimizer", None) is not None:
            rates = rates_of(self.model.optimizer)
            train.update({f"epoch_{name}": rate for name, rate in rates.items()})
        if self.write_steps_per_second:
            seconds = max(time.perf_counter() - self._epoch_start, 1e-9)
            steps = _iterations(self.model) - self._iterations
            train["epoch_steps_per_second"] = steps / seconds
        self._scalars("train", train, epoch)
        self._scalars("validation", validation, epoch)
        if is_chief():
            if self.histogram_freq and epoch % self.histogram_freq == 0:
                self._write_weights(epoch)
            if self.embeddings_freq and epoch % self.embeddings_freq == 0:
                self._write_embeddings()
            for writer in self._writers.values():
                writer.flush()

    def on_test_end(self, logs=None):
        if hasattr(getattr(self.model, "optimizer", None), "iterations"):
            values = {f"evaluation_{k}_vs_iterations": v for k, v in (logs or {}).items()}
            self._scalars("validation", values, _iterations(self.model))
        if not self._training:
            self._close()

    # ---- graph, weights, trace ------------------------------------------------------------------

    def _write_graph(self):
        """The layers as Keras describes them; TensorBoard knows how to draw that."""
        try:
            text = self.model.to_json()
        except Exception as error:  # only a model that is a graph can be described
            return self._write_torch_graph(error)
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        plugin = SummaryMetadata.PluginData(plugin_name="graph_keras_model", content=b"1")
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
        metadata = SummaryMetadata(plugin_data=plugin)
        value = Summary.Value(tag="keras", metadata=metadata, tensor=tensor)
        self._train_writer._get_file_writer().add_summary(Summary(value=[value]), 0)

    def _write_torch_graph(self, reason):
        sample = getattr(self.model, "_sample_input", None)
        if sample is None:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # tracing is old, and says so in several places
                self._train_writer.add_graph(self.model, sample)
        except Exception as error:
            warnings.warn(
                f"TensorBoard: the graph of the model is left out. It can neither be described "
                f"({reason}) nor traced ({error})."
            )

    def _write_weights(self, epoch):
        for path, values in _weights(self.model):
            finite = values[np.isfinite(values)]
            if finite.size:
                self._train_writer.add_histogram(f"{path}/histogram", finite, epoch)
            picture = _picture(values) if self.write_images else None
            if picture is not None:
                layout = "HW" if picture.ndim == 2 else "HWC"
                tag = f"{path}/image"
                self._train_writer.add_image(tag, picture, epoch, dataformats=layout)

    def _start_trace(self):
        import torch

        self._profiler = torch.profiler.profile(
            on_trace_ready=torch.profiler.tensorboard_trace_handler(
                os.path.join(self.log_dir, "train")
            )
        )
        self._profiler.start()

    def _stop_trace(self):
        profiler, self._profiler = self._profiler, None
        profiler.stop()

    # ---- embeddings -----------------------------------------------------------------------------

    def _embeddings(self):
        """{name: layer} of the Embedding layers."""
        layers = getattr(self.model, "layers", ())
        return {layer.name: layer for layer in layers if type(layer).__name__ == "Embedding"}

    def _configure_embeddings(self):
        from google.protobuf import text_format
        from tensorboard.plugins import projector

        files = self.embeddings_metadata
        layers = self._embeddings()
        if not isinstance(files, dict):
            files = {} if files is None else dict.fromkeys(layers, os.fspath(files))
        for name in files:
            if name not in layers:
                raise unknown("Embedding layer in embeddings_metadata", name, layers)
        config = projector.ProjectorConfig()
        for name in layers:
            embedding = config.embeddings.add()
            embedding.tensor_name = name
            embedding.tensor_path = os.path.join("train", f"{name}.tsv")
            embedding.metadata_path = files.get(name, "")
        path = os.path.join(self.log_dir, "projector_config.pbtxt")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text_format.MessageToString(config))

    def _write_embeddings(self):
        for name, layer in self._embeddings().items():
            path = os.path.join(self.log_dir, "train", f"{name}.tsv")
            np.savetxt(path, layer.get_weights()[0], delimiter="\t", fmt="%.6g")


# ---- arguments ----------------------------------------------------------------------------------


def _count(name, value):
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(
            f"TensorBoard got {name}={value!r}. It is a number of epochs, 0 for never. "
            f"Type {name}=1."
        )
    return value


def _frequency(value):
    if value in ("epoch", "batch"):
        return 1 if value == "batch" else value
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"TensorBoard got update_freq={value!r}.{did_you_mean(value, ['epoch', 'batch'])} "
            "It is 'epoch', 'batch' or a number of batches. Type update_freq='epoch'."
        )
    return value


def _batches(value):
    """(first, last) batch to profile; also from "10,20", as older Keras has it."""
    try:
        parts = value.split(",") if isinstance(value, str) else value
        first, last = (
            (int(p) for p in parts) if isinstance(parts, (tuple, list)) else (parts, parts)
        )
    except (TypeError, ValueError):
        first, last = -1, -1
    if not isinstance(first, int) or first < 0 or last < first or (first == 0 < last):
        raise ValueError(
            f"TensorBoard got profile_batch={value!r}. It is the number of a batch, or of "
            "the first and the last one; 0 is none. Type profile_batch=(10, 20)."
        )
    return first, last


# ---- the model ----------------------------------------------------------------------------------


def _iterations(model):
    return int(getattr(model.optimizer, "iterations", 0))


def _weights(model):
    """(name, array in Keras's layout) of all weights."""
    names = set()
    for weight in model.weights:
        name = getattr(weight, "path", "") or "weight"
        if name in names:
            name = f"{name}_{len(names)}"
        names.add(name)
        yield name, np.asarray(weight.numpy(), dtype=np.float32)


def _picture(weight):
    """A kernel as a picture with values from 0 to 1; None for what is none, or too large."""
    if (
        weight.ndim == 4
    ):  # (height, width, in, out): a row of filters; in colour, or one over another
        height, width, channels, out = weight.shape
        if channels == 3:
            picture = weight.transpose(0, 3, 1, 2).reshape(height, out * width, 3)
        else:
            picture = weight.transpose(2, 0, 3, 1).reshape(channels * height, out * width)
    else:
        picture = np.atleast_2d(weight.squeeze())
        if picture.ndim == 2 and len(picture) > picture.shape[1]:
            picture = picture.T
    if picture.ndim > 3 or (weight.ndim != 4 and picture.ndim == 3):
        return None
    if not picture.size or picture.size > _LARGEST_IMAGE or not np.isfinite(picture).all():
        return None
    low, high = picture.min(), picture.max()
    return (picture - low) / (high - low if high > low else 1)
