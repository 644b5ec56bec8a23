"""`Callback`, the hooks around training, and `CallbackList`, which calls many as one."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import torch

from lightkeras import _progress, config
from lightkeras._config import Configurable
from lightkeras._mode import training_mode
from lightkeras._tree import flatten

__all__ = ["BATCH_HOOKS", "HOOKS", "Callback", "CallbackList", "callback_list"]

BATCH_HOOKS = {
    "train": ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
    "predict": ("on_predict_batch_begin", "on_predict_batch_end"),
}
HOOKS = (
    *(f"on_{mode}_{moment}" for mode in BATCH_HOOKS for moment in ("begin", "end")),
    "on_epoch_begin",
    "on_epoch_end",
    *(hook for hooks in BATCH_HOOKS.values() for hook in hooks),
)


class Callback(metaclass=Configurable):
    """Something to do at certain moments of `fit`, `evaluate` and `predict`.

    Override the hooks that are needed. `batch` and `epoch` count from 0. `logs` holds floats by
    name: the values so far of this epoch after a batch, the values of the epoch (with `val_...`)
    after an epoch; it is empty at a beginning. What `on_epoch_end` adds to `logs` is seen by the
    callbacks behind it in the list, and recorded.

    What a callback has counted or kept survives a killed process where `state_dict` gives it and
    `load_state_dict` takes it back.

    A hook around every batch makes training hand over after every batch: without one, many
    steps run at a time.

    Attributes:
        model: The model that is trained.
        params: Dictionary with `epochs`, `steps` and `verbose`.

    >>> class Printer(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, logs["loss"])
    >>> CallbackList([Printer()]).on_epoch_end(0, {"loss": 0.5})
    0 0.5
    """

    model: Any = None
    params: Any = None
    _adds: tuple[str, ...] = ()  # what `on_epoch_end` writes into `logs`

    def set_params(self, params):
        """Called with `epochs`, `steps` and `verbose` before the first hook."""
        self.params = params

    def set_model(self, model):
        """Called with the model before the first hook."""
        self.model = model

    def on_train_begin(self, logs=None):
        """Before the first epoch of `fit`."""

    def on_train_end(self, logs=None):
        """After the last epoch; `logs` are those of that epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        """Before the first batch of an epoch of `fit`."""

    def on_epoch_end(self, epoch, logs=None):
        """After an epoch of `fit` and its validation."""

    def on_train_batch_begin(self, batch, logs=None):
        """Before a training batch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        """After a training batch."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch, logs=None):
        """The old name of `on_train_batch_begin`."""

    def on_batch_end(self, batch, logs=None):
        """The old name of `on_train_batch_end`."""

    def on_test_begin(self, logs=None):
        """Before `evaluate`, and before the validation of an epoch."""

    def on_test_end(self, logs=None):
        """After `evaluate`, and after the validation of an epoch."""

    def on_test_batch_begin(self, batch, logs=None):
        """Before a batch of `evaluate` or of validation."""

    def on_test_batch_end(self, batch, logs=None):
        """After a batch of `evaluate` or of validation."""

    def on_predict_begin(self, logs=None):
        """Before the first batch of `predict`."""

    def on_predict_end(self, logs=None):
        """After the last batch of `predict`."""

    def on_predict_batch_begin(self, batch, logs=None):
        """Before a batch of `predict`."""

    def on_predict_batch_end(self, batch, logs=None):
        """After a batch of `predict`; `logs["outputs"]` is what it gave, arrays or lists of them.

        Of a model that returns a dict, `logs` holds its entries instead, by their names.
        """

    # ---- state ----------------------------------------------------------------------------------

    def state_dict(self):
        """What a restart needs to know, for `BackupAndRestore`: a dict of plain values, tensors
        and arrays."""
        return {}

    def load_state_dict(self, state_dict):
        """Go on from what `state_dict` gave; called after `on_train_begin`."""

    # ---- ours -----------------------------------------------------------------------------------

    def _validate(self, has_validation, names):
        """Refuse, before the first step, what could only fail later.

        `names` are those that will stand in `logs` after an epoch; None when that is not known.
        """

    def _abort(self):
        """Close what is open: training ends by an error, and `on_train_end` will not come."""

    def _wants(self, mode, base=None):
        """Whether a hook around every batch is there, or not only the one of class `base`."""
        return any(overrides(self, hook, base) for hook in BATCH_HOOKS[mode])

    @property
    def state_key(self):
        """Only callbacks of Lightning have one; its Trainer asks for it first.

        Raises:
            AttributeError: always; it says where callbacks of Keras go.
        """
        name = type(self).__name__
        raise AttributeError(
            f"{name} has no state_key: it is a callback of Keras, and a Trainer takes those of "
            f"Lightning. Give it to fit(). Type model.fit(..., trainer=trainer, "
            f"callbacks=[{name}(...)])."
        )

    def _say(self, text):
        """Print a line below the progress line that may be standing there."""
        _progress.say(text)


def overrides(callback, hook, base=None):
    """Whether `callback` has its own `hook`, not that of `base` (`Callback` by default)."""
    method = getattr(callback, hook, None)
    function = getattr(method, "__func__", method)
    inherited = function is getattr(base or Callback, hook, None)
    # Callbacks of the installed Keras mark their empty hooks.
    return not (function is None or inherited or getattr(function, "_is_default", False))


def _is_users(callback, hook):
    function = getattr(callback, hook, None)
    function = getattr(function, "__func__", function)
    return not (getattr(function, "__module__", None) or "").startswith("lightkeras.")


def _may_write_logs(callback):
    """Whether `on_epoch_end` is the user's: it may put anything into `logs`."""
    foreign = not type(callback).__module__.startswith("lightkeras.")
    return _is_users(callback, "on_epoch_end") or (foreign and hasattr(callback, "monitor"))


def _checked(callback):
    if isinstance(callback, type):
        raise TypeError(
            f"callbacks got the class {callback.__name__}. A callback is an object. "
            f"Type {callback.__name__}() with its arguments."
        )
    if not hasattr(callback, "on_epoch_end") or not hasattr(callback, "set_model"):
        packages = {kind.__module__.partition(".")[0] for kind in type(callback).__mro__}
        if packages & {"lightning", "pytorch_lightning"}:
            raise TypeError(
                f"callbacks got {type(callback).__name__}, one of Lightning's. fit() takes those "
                "of lightning.pytorch, evaluate() and predict() Keras's alone: no Trainer runs "
                "there. Type Trainer(callbacks=[...]).predict(model.to_lightning(), data)."
            )
        raise TypeError(
            f"callbacks got {type(callback).__name__}. Each has to be a Callback. For a plain "
            "function type LambdaCallback(on_epoch_end=lambda epoch, logs: ...)."
        )
    return callback


def _numbers(logs):
    """`logs` with plain floats, sorted by name as Keras does; the same dictionary, changed."""
    if logs is None:
        return {}
    items = sorted(logs.items())
    logs.clear()
    for name, value in items:
        if isinstance(value, dict):
            logs.update(_numbers(dict(value)))
        else:
            with suppress(TypeError, ValueError, RuntimeError):  # not a number: left as it is
                value = float(value)
            logs[name] = value
    return logs


def _by_name(logs):
    """`logs` with the entries of dicts in their place, sorted by name as Keras does."""
    found = {}
    for name, value in sorted(logs.items()):
        found.update(_by_name(value) if isinstance(value, dict) else {name: value})
    return found


class CallbackList(Callback):
    """Many callbacks that are called as one, in their order.

    Args:
        callbacks: Callbacks, or lists of them.
        add_history: Whether to add a `History` if there is none.
        add_progbar: Whether to add a `ProgbarLogger` if there is none.
        model: The model that all of them are given.
        **params: What all of them get as `params`.

    Raises:
        TypeError: something in the list is no callback.

    >>> from lightkeras.callbacks import EarlyStopping
    >>> group = CallbackList([EarlyStopping("loss")], add_history=True, epochs=3)
    >>> len(group.callbacks), group.wants_train_batches
    (2, False)
    """

    def __init__(self, callbacks=None, add_history=False, add_progbar=False, model=None, **params):
        from lightkeras.callbacks.history import History
        from lightkeras.callbacks.loggers import ProgbarLogger

        self.callbacks = [_checked(c) for c in flatten(callbacks)] if callbacks else []
        self._history = self._one(History, add_history)
        self._progbar = self._one(ProgbarLogger, add_progbar)
        self.set_model(model)
        self.set_params(params)

    def _one(self, kind, add):
        found = [c for c in self.callbacks if isinstance(c, kind)]
        if not found and add:
            found = [kind()]
            self.callbacks += found
        return found[-1] if found else None

    def set_model(self, model):
        if model is None:
            return
        self.model = model
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params):
        self.params = params
        for callback in self.callbacks if params else ():
            callback.set_params(params)

    # ---- for the training loop ------------------------------------------------------------------

    @property
    def wants_train_batches(self):
        """Whether a callback has something to do around every training batch."""
        return self._wants("train")

    @property
    def wants_test_batches(self):
        """Whether a callback has something to do around every batch of `evaluate`."""
        return self._wants("test")

    @property
    def wants_predict_batches(self):
        """Whether a callback has something to do around every batch of `predict`."""
        return self._wants("predict")

    def _wants(self, mode, base=None):
        return any(getattr(c, "_wants", Callback._wants.__get__(c))(mode) for c in self.callbacks)

    def validate(self, has_validation, metric_names=None):
        """Refuse, before the first step, what a callback could only complain about later.

        Args:
            has_validation: Whether epochs will be validated.
            metric_names: Names of the values of an epoch (`loss`, `accuracy`), without `val_`;
                None when they are not known.

        Raises:
            ValueError: a callback waits for a value that will never come.
        """
        names = None
        if metric_names is not None:
            names = {*metric_names, *(f"val_{n}" for n in metric_names if has_validation)}
        for callback in self.callbacks:
            if _may_write_logs(callback):  # from here on any name may turn up
                has_validation, names = True, None
            if hasattr(callback, "_validate"):
                callback._validate(has_validation, names)
                names = names and {*names, *callback._adds}

    def progress(self, n, values):
        """`n` batches are done: move the progress line, which reads `values()` when it draws."""
        if self._progbar is not None:
            self._progbar.step(n, values)

    def _abort(self):
        for callback in self.callbacks:
            with suppress(Exception):  # the error that is on its way is the one to see
                getattr(callback, "_abort", lambda: None)()

    @contextmanager
    def _aborting(self):
        """Inside the `with` block, an error lets the callbacks close what is open."""
        try:
            yield
        except BaseException:
            self._abort()
            raise

    # ---- the hooks ------------------------------------------------------------------------------

    def _call(self, hook, *where_and_logs):
        # What callbacks of the user's call, such as a generator, is not the step: it predicts.
        model = getattr(self, "model", None)
        trains = getattr(model, "training", False)
        calls = trains and any(_is_users(callback, hook) for callback in self.callbacks)
        with training_mode(model, False) if calls else nullcontext():
            for callback in self.callbacks:
                getattr(callback, hook)(*where_and_logs)

    def on_train_begin(self, logs=None):
        self._call("on_train_begin", _numbers(logs))

    def on_train_end(self, logs=None):
        self._call("on_train_end", _numbers(logs))

    def on_epoch_begin(self, epoch, logs=None):
        self._call("on_epoch_begin", epoch, _numbers(logs))

    def on_epoch_end(self, epoch, logs=None):
        self._call("on_epoch_end", epoch, _numbers(logs))

    def on_train_batch_begin(self, batch, logs=None):
        self._call("on_train_batch_begin", batch, _numbers(logs))

    def on_train_batch_end(self, batch, logs=None):
        self._call("on_train_batch_end", batch, _numbers(logs))

    def on_batch_begin(self, batch, logs=None):
        self._call("on_batch_begin", batch, _numbers(logs))

    def on_batch_end(self, batch, logs=None):
        self._call("on_batch_end", batch, _numbers(logs))

    def on_test_begin(self, logs=None):
        self._call("on_test_begin", _numbers(logs))

    def on_test_end(self, logs=None):
        self._call("on_test_end", _numbers(logs))

    # Between two batches of `evaluate` and `predict`, too, callbacks may ask for gradients.

    @torch.enable_grad()
    def on_test_batch_begin(self, batch, logs=None):
        self._call("on_test_batch_begin", batch, _numbers(logs))

    @torch.enable_grad()
    def on_test_batch_end(self, batch, logs=None):
        self._call("on_test_batch_end", batch, _numbers(logs))

    # What predict hands over are outputs, not numbers: they stay as they are.

    def on_predict_begin(self, logs=None):
        self._call("on_predict_begin", logs or {})

    def on_predict_end(self, logs=None):
        self._call("on_predict_end", logs or {})

    @torch.enable_grad()
    def on_predict_batch_begin(self, batch, logs=None):
        self._call("on_predict_batch_begin", batch, logs or {})

    @torch.enable_grad()
    def on_predict_batch_end(self, batch, logs=None):
        self._call("on_predict_batch_end", batch, _by_name(logs or {}))


def callback_list(callbacks, model, verbose, epochs=1, steps=None, history=False):
    """The `CallbackList` of one `fit`, `evaluate` or `predict`; one that is given stays.

    Raises:
        ValueError: `verbose` is not 0, 1, 2 or "auto".
    """
    if isinstance(callbacks, CallbackList):
        return callbacks
    show = _progress.check_verbose(verbose)
    if verbose == "auto" and not config.is_interactive_logging_enabled():
        show = 2
    return CallbackList(
        callbacks,
        add_history=history,
        add_progbar=show != 0,
        model=model,
        verbose=show,
        epochs=epochs,
        steps=steps,
    )
