"""What a model gets from training: compile, fit, evaluate, predict and their one-batch forms."""

from __future__ import annotations

import functools
import inspect
import warnings
from contextlib import nullcontext

import numpy as np
import torch

from lightkeras import _data, config
from lightkeras._config import _outside, modernize, unexpected
from lightkeras._device import use_device
from lightkeras._flags import check_flags, check_names, environment_flags, known_flags
from lightkeras._loading import loading_lightning
from lightkeras._mode import training_mode
from lightkeras._ranks import rank, world
from lightkeras._step import Compiled
from lightkeras._together import agree, in_order, last_logs
from lightkeras._traceback import filtered
from lightkeras._tree import map_structure
from lightkeras.callbacks._base import callback_list
from lightkeras.layers._shapes import device_of
from lightkeras.models import _checks
from lightkeras.models._oom import enough_memory
from lightkeras.models._open import Open
from lightkeras.models._steps import OneBatch, Steps, _to, _to_host

__all__ = ["Trainable"]


def names_checked(method):
    """Decorator: an argument that the method does not have is refused, with the closest one."""
    parameters = inspect.signature(method).parameters.values()
    known = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} - {"self"}

    @functools.wraps(method)
    def call(self, *args, **kwargs):
        if not kwargs.keys() <= known:
            strange = next(name for name in kwargs if name not in known)
            raise unexpected(method.__name__, strange, known)
        return method(self, *args, **kwargs)

    return call


def _option(name):
    """The argument `name` of `compile` as an attribute of the model."""

    def get(self):
        return None if self._compiled is None else self._compiled.options.get(name)

    def set_(self, value):
        self._need_compiled(f"Setting {name}")
        self._compiled.options[name] = self._compiled.config[name] = value

    return property(get, set_, doc=f"`{name}` of `compile`; None before it.")


class Trainable(Steps):
    """The training half of a model: compile, fit, evaluate, predict."""

    run_eagerly = _option("run_eagerly")
    jit_compile = _option("jit_compile")
    steps_per_execution = _option("steps_per_execution")

    # ---- compile ------------------------------------------------------------------------------

    @names_checked
    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile=None,
        auto_scale_loss=True,
        trainer=None,
    ):
        """Say how the model is trained.

        Args:
            optimizer: Name, config, our optimizer, or a torch optimizer; `(optimizer, scheduler)`
                for a torch scheduler, stepped once an epoch.
            loss: Name, function or object; a list or a dict with one for each output.
            loss_weights: Factors of the losses of several outputs.
            metrics: Names, functions, objects (torchmetrics' too); for several outputs a list of
                lists or a dict.
            weighted_metrics: The same, given `sample_weight` and `class_weight`.
            run_eagerly: Never compile, whatever `jit_compile` says.
            steps_per_execution: Steps taken at a time; chosen by itself if 1.
            jit_compile: True takes whole steps in code that torch's compiler makes, where it can.
                "auto" tries them out in a `fit` that has half a minute or more to go, and keeps
                them if they are faster. None and False leave steps as they are.
            auto_scale_loss: Put a `LossScaleOptimizer` around the optimizer of a model with the
                policy "mixed_float16". (`precision="16-mixed"` scales by itself.)
            trainer: Dict of Lightning Trainer flags used by every `fit`.

        Raises:
            ValueError: something is unknown, or loss and last layer cannot belong together.
            TypeError: an argument has the wrong type.
        """
        if isinstance(metrics, str):
            metrics = [metrics]
        _checks.check_options(
            optimizer, loss, loss_weights, metrics, steps_per_execution, jit_compile, trainer
        )
        self.__dict__["_compiled"] = Compiled(
            optimizer,
            loss,
            loss_weights,
            metrics,
            weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile or False,
            auto_scale_loss=auto_scale_loss,
            trainer=dict(trainer or {}),
        )
        if auto_scale_loss and self.dtype_policy.name == "mixed_float16":
            self._compiled.scale_loss()
        self.__dict__["_compiled_by_user"] = True
        self.__dict__.pop("loss", None)
        if self.built:
            self._compiled.trained = [p for p in self.parameters() if p.requires_grad]
        _checks.check_head(self)

    @property
    def compiled(self):
        """Whether `compile` has been called."""
        return self._compiled is not None

    @property
    def optimizer(self):
        """The optimizer that `compile` was given, or None."""
        return None if self._compiled is None else self._compiled.optimizer

    @optimizer.setter
    def optimizer(self, value):
        if self._compiled is None:
            self.compile(optimizer=value)
        else:
            self._compiled.optimizer = value

    @Open
    def loss(self):
        """The loss that `compile` was given."""
        return None if self._compiled is None else self._compiled.config["loss"]

    def _need_compiled(self, method):
        if self._compiled is None and not self._overrides("train_step"):
            raise ValueError(
                f"{method}() on {self.name!r}, which is not compiled. Optimizer, loss and metrics "
                "are set by "
                'compile(). Type model.compile("adam", loss="mse") first.'
            )
        if self._compiled is None:
            self.__dict__["_compiled"] = Compiled("rmsprop", None, None, None, None)

    # ---- fit ----------------------------------------------------------------------------------

    @filtered
    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
        trainer=None,
        resume=None,
        **flags,
    ):
        """Train the model.

        Args:
            x: Arrays, tensors, lists, dicts, DataFrames; or a DataLoader, Dataset,
                LightningDataModule, PyDataset or generator of batches.
            y: Targets, where `x` is arrays.
            batch_size: Rows of a batch, 32 by default. On several devices, of all together.
            epochs: Index of the last epoch (with `initial_epoch`), so usually their number.
            verbose: 0 nothing, 1 a progress line, 2 a line per epoch; "auto" is 1.
            callbacks: Keras's and Lightning's, in one list.
            validation_split: Share of the rows, the last ones, kept for validation.
            validation_data: `(x, y)`, `(x, y, sample_weight)`, or anything that gives batches.
            shuffle: Whether rows are drawn in a new order each epoch; "batch" shuffles batches.
            class_weight: `{class: weight}`.
            sample_weight: A weight for each row.
            initial_epoch: Epoch to start at.
            steps_per_epoch, validation_steps: Batches in an epoch; needed for endless data.
            validation_batch_size: `batch_size` by default.
            validation_freq: Validate every so many epochs, or the epochs listed.
            trainer: A Lightning Trainer to use, or a dict of its flags.
            resume: "auto", or a folder: the state is saved there after every epoch, and the same
                script, started again after it was killed, goes on from there; see
                `callbacks.BackupAndRestore`. "auto" takes a folder in `lightkeras_backup`, named
                after the script and its arguments. Or a `.ckpt` file of Lightning's to go on
                from: the weights, the optimizer, the callbacks and the epoch are those of it.
            **flags: Trainer flags: `devices=2, strategy="ddp", precision="bf16-mixed"`...

        Returns:
            A `History`: `.history` is `{name: [value of each epoch]}`.

        Raises:
            ValueError, TypeError: an argument or the data are not usable; before the first step.
            KeyboardInterrupt: interrupted. The model is usable; `model.history` has its epochs.
        """
        old = _old_arguments(flags)
        epochs, verbose = old.pop("epochs", epochs), old.pop("verbose", verbose)
        self._need_compiled("fit")
        _check_counts(epochs, initial_epoch)
        epochs, initial_epoch = int(epochs), int(initial_epoch)
        validation_freq = _checks.check_frequency(validation_freq)
        same = {
            "epochs": epochs,
            "steps_per_epoch": steps_per_epoch,
            "validation_steps": validation_steps,
            "validation_freq": validation_freq,
        }
        flags = self._flags(trainer, flags, same)
        if validation_data is None and _data.validation_of(x) is not None:
            validation_data = _data.validation_of(x)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = _data.split(
                x, y, sample_weight, validation_split
            )
        train = _data.batches(
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            shuffle=shuffle,
            class_weight=class_weight,
            steps=steps_per_epoch,
        )
        val = None
        if validation_data is not None:
            val = _data.batches(
                *_data.unpack_validation(validation_data, needs_y=y is not None),
                batch_size=validation_batch_size,
                else_size=batch_size,
                steps=validation_steps,
                caller="validate",
            )
        with loading_lightning():
            from lightkeras import _training

        with self._as_compiled(), enough_memory(self, "fit", train, val), _data.telling(train, val):
            self._prepare(train, training=True)
            if val is not None:
                self._check_validation(val)
            return _training.fit(
                self,
                train,
                val,
                epochs=epochs,
                initial_epoch=initial_epoch,
                callbacks=callbacks,
                verbose=verbose,
                validation_freq=1 if val is None else validation_freq,
                trainer=None if isinstance(trainer, dict) else trainer,
                resume=resume,
                flags=flags,
            )

    def _flags(self, trainer, flags, arguments):
        """Trainer flags of all sources, the weakest first, checked."""
        if flags and not isinstance(trainer, (dict, type(None))):
            raise ValueError(
                f"fit() got a Trainer and the flags {', '.join(flags)}, which it would not see. "
                "Either is accepted. Give them to the Trainer: "
                f"Trainer({next(iter(flags))}={next(iter(flags.values()))!r})."
            )
        known = set(inspect.signature(Trainable.fit).parameters) - {"self", "flags", "x", "y"}
        given = {
            **(self._compiled.options.get("trainer") or {}),
            **(trainer if isinstance(trainer, dict) else {}),
            **flags,
        }
        names = set(known_flags()) if given else set()
        for name in given:
            if name == "ckpt_path":
                raise TypeError(
                    f"fit() got {name!r}, which belongs to Trainer.fit() of Lightning. Here the "
                    f".ckpt file to go on from is called resume. Type resume={given[name]!r}."
                )
            if name not in names:
                error = unexpected("fit", name, known)
                close = "Did you mean" in str(error)
                raise error if close else unexpected("fit", name, known | names)
        check_flags(given, arguments)
        given = {**environment_flags(), **given}
        if "strategy" in given:
            check_names(given)
        return given

    # ---- evaluate, predict --------------------------------------------------------------------

    @filtered
    @names_checked
    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """Loss and metrics on data.

        Args:
            x, y, batch_size, sample_weight, verbose, callbacks: As for `fit`.
            steps: Batches to take; needed for endless data.
            return_dict: Return a dict by name instead of a list.

        Returns:
            The loss, or a list of the values that `metrics_names` names.
        """
        self._need_compiled("evaluate")
        batches = _data.batches(
            x, y, sample_weight, batch_size=batch_size, steps=steps, caller="evaluate"
        )
        with enough_memory(self, "evaluate", batches), _data.telling(batches):
            self._prepare(batches, training=False)
            group = callback_list(callbacks, self, verbose, steps=batches.steps)
            with _together("evaluate", batches), group._aborting():
                logs = self._evaluate(batches, group)
        return self._flat(logs, return_dict)

    def _evaluate(self, batches, group, shows=True, through=iter, meet=None):
        """Logs of one pass over `batches`; validation inside `fit` shows no progress of its own.

        Lightning's callbacks look on there, as the batches come `through`, and `meet` is called
        where all processes are through with theirs.
        """
        self.__dict__["stop_evaluating"] = False
        step, stride = _turns(batches.on(device_of(self)))
        group.on_test_begin({})
        self.reset_metrics()
        self.__dict__["_step_logs"] = None
        hooks = group.wants_test_batches
        with torch.no_grad(), training_mode(self, False), use_device(device_of(self)):
            run = self._run_step("test", batches.bare)
            for x, y, w in through(batches):
                if hooks:
                    group.on_test_batch_begin(step, {})
                    run = self._run_step("test", batches.bare)  # callbacks may change anything
                run(x, y, w)
                if hooks:
                    group.on_test_batch_end(step, self._logs())
                if shows:
                    group.progress(step + 1, self._logs)
                step += stride
                if self.stop_evaluating:
                    break
        if meet is not None:
            meet()
        logs = self._logs(over=True) if stride == 1 else last_logs(self, step - stride + 1)
        group.on_test_end(dict(logs))  # what callbacks add is for those behind them
        return logs

    @filtered
    @names_checked
    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Outputs for data, in the order of its rows.

        Args:
            x, batch_size, verbose, steps, callbacks: As for `evaluate`.

        Returns:
            A NumPy array `(rows, ...)`, or the model's tree of them.
        """
        if verbose == 0 and callbacks is steps is None and self._is_one_step(x, batch_size):
            return self._predict_at_once(x, values=True)
        batches = _data.batches(
            x, batch_size=batch_size, steps=steps, caller="predict", allow_empty=True
        )
        with enough_memory(self, "predict", batches), _data.telling(batches):
            _checks.check_inputs(self, batches)
            group = callback_list(callbacks, self, verbose, steps=batches.steps)
            with _together("predict", batches), group._aborting():
                outputs = self._predict(batches, group)
        return map_structure(_joined, *outputs)

    def _predict(self, batches, group):
        """Outputs of all batches, in their order."""
        self.__dict__["stop_predicting"] = False
        group.on_predict_begin({})
        outputs = []
        own = self._own_step("predict")
        hooks, bare = group.wants_predict_batches, batches.bare
        step, stride = _turns(batches.on(device_of(self)))
        with torch.no_grad(), training_mode(self, False), use_device(device_of(self)):
            run = self._runner()
            for bx, by, bw in batches:
                if hooks:
                    group.on_predict_batch_begin(step, {})
                    run = self._runner()
                y_pred = own(_data.pack(bx, by, bw, bare)) if own else run(bx)
                outputs.append(map_structure(_to_host, y_pred))
                if hooks:
                    group.on_predict_batch_end(step, {"outputs": outputs[-1]})
                group.progress(step + 1, None)
                step += stride
                if self.stop_predicting:
                    break
        if stride > 1:
            outputs = in_order(outputs)
        if not outputs:
            outputs.append(self._no_rows(batches))
        group.on_predict_end({})
        return outputs

    def _is_one_step(self, x, batch_size):
        """Whether x is one array of a few rows, for which what `predict` sets up costs most."""
        small = (
            type(x) in (np.ndarray, torch.Tensor) and x.ndim and 0 < len(x) <= _data.DEFAULT_BATCH
        )
        plain = batch_size is None and not self._overrides("predict_step") and world() == 1
        return small and plain and config.max_steps_per_epoch() is None

    def _predict_at_once(self, x, values=False):
        x = _data.inputs(x, values)
        _checks.check_inputs(self, OneBatch(x))
        device, one = device_of(self), len(x) == 1
        with torch.no_grad(), training_mode(self, False), use_device(device):
            # Whether compiled code still holds takes longer to see than one row to compute.
            run = self if one else self._runner()
            return map_structure(_to_host, run(_to(x, device)))

    def _no_rows(self, batches):
        """Outputs for 0 rows: the right shape, no values."""
        with torch.no_grad(), training_mode(self, False), use_device(device_of(self)):
            x = batches.peek()[0]
            one = map_structure(lambda t: t.new_zeros((1, *t.shape[1:])), x)
            return map_structure(lambda t: _to_host(t)[:0], self(one))

    # ---- single batches -----------------------------------------------------------------------

    @filtered
    @names_checked
    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One training step on one batch; returns its loss and metrics."""
        self._need_compiled("train_on_batch")
        data = _data.one_batch(x, y, sample_weight, class_weight)
        with self._as_compiled(), training_mode(self, True), use_device(device_of(self)):
            return self._on_batch("train", data, return_dict)

    @filtered
    @names_checked
    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Loss and metrics of one batch."""
        self._need_compiled("test_on_batch")
        data = _data.one_batch(x, y, sample_weight)
        with torch.no_grad(), training_mode(self, False), use_device(device_of(self)):
            return self._on_batch("test", data, return_dict)

    def _on_batch(self, mode, data, return_dict):
        """One step on a batch; returns its logs, or a list in the order of `metrics_names`."""
        self._prepare(OneBatch(*data), training=mode == "train")
        self.reset_metrics()
        device = device_of(self)
        guard = None if device.type == "cpu" else _checks.guard(self)
        if guard is not None:
            guard(data[1])
        self._run_step(mode)(*_to(data, device))
        return self._flat(self._logs(), return_dict)

    def _flat(self, logs, return_dict):
        """What `evaluate` returns: the logs, a list in Keras's order, or the only value."""
        if return_dict:
            return logs
        own = self.metrics if self._overrides("metrics") else self._attached
        names = self._compiled.names() if own is self._attached else []
        names = [n for n in [*names, *(m.name for m in own)] if n in logs]
        values = [logs[n] for n in names] + [v for n, v in sorted(logs.items()) if n not in names]
        return values[0] if len(values) == 1 else values

    def predict_on_batch(self, x):
        """Outputs for one batch, as NumPy arrays."""
        x, _, _ = _data.one_batch(x, allow_empty=True)
        _checks.check_inputs(self, OneBatch(x))
        with torch.no_grad(), training_mode(self, False), use_device(device_of(self)):
            x = _to(x, device_of(self))
            own = self._own_step("predict")
            y_pred = own(_data.pack(x)) if own else self._runner()(x)
            return map_structure(_to_host, y_pred)

    # ---- Lightning ----------------------------------------------------------------------------

    def to_lightning(self):
        """The model as a LightningModule, for a Trainer of one's own.

        Batches are `(x, y)` or `(x, y, sample_weight)`. Loss and metrics are logged once an
        epoch, under Keras's names. Steps that the model overrides are taken. Hooks of one's own go
        into a subclass: `class Mine(type(model.to_lightning()))`, then `Mine(model)`.

        Returns:
            A `lightning.pytorch.LightningModule`; `.model` is this model.

        Raises:
            ValueError: the model is not compiled.
        """
        self._need_compiled("to_lightning")
        with loading_lightning():
            from lightkeras._training import LightningModel

        return LightningModel(self)


def _check_counts(epochs, initial_epoch):
    for name, value, least in (("epochs", epochs, 0), ("initial_epoch", initial_epoch, 0)):
        whole = hasattr(value, "__index__") and not isinstance(value, bool) and np.ndim(value) == 0
        if not whole or value < least:
            raise ValueError(
                f"fit({name}={value!r}) is not a count. It takes a whole number. Type {name}=5."
            )
    if epochs <= initial_epoch and epochs > 0:
        warnings.warn(
            f"0 epochs will run: epochs={epochs} is the index of the last epoch and initial_epoch "
            "is "
            f"{initial_epoch}. For more training pass epochs={initial_epoch + 5}.",
            stacklevel=_outside(),
        )


def _old_arguments(flags):
    """Arguments of `fit` under old names, taken out of `flags` and translated."""
    current = set(inspect.signature(Trainable.fit).parameters)
    before = set(flags)
    modernize(["fit"], flags, current)
    return {k: flags.pop(k) for k in list(flags) if k in current and k not in before}


def _together(caller, batches):
    """Around a pass that several processes share: they begin, end and fail together."""
    if world() == 1:
        return nullcontext()
    from lightkeras._training._failures import ending_together

    agree(caller, batches)
    return ending_together()


def _turns(batches):
    """(number of this process's first batch, distance to the next); each one is dealt whole."""
    stride = world()
    if stride == 1:
        return 0, 1
    batches.deal(rank(), stride)
    return rank(), stride


def _joined(*parts):
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
