"""Methods that models had in Keras 1 and 2 and that scripts still call."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from lightkeras._config import warn_old

__all__ = ["Older"]

# Arguments of the `*_generator` methods: {name: its name in `fit`, or None where it is left out}.
_NAMES = {
    "nb_epoch": "epochs",
    "samples_per_epoch": "steps_per_epoch",
    "nb_val_samples": "validation_steps",
    "val_samples": "steps",
    "max_q_size": None,
    "max_queue_size": None,
    "nb_worker": None,
    "workers": None,
    "pickle_safe": None,
    "use_multiprocessing": None,
}
_SAMPLES = ("samples_per_epoch", "nb_val_samples", "val_samples")  # Keras 1 counted rows


class Older:
    """The names of older methods, each one call of what there is today."""

    def fit_generator(self, generator, steps_per_epoch=None, epochs=1, verbose="auto", **options):
        """`fit` on a generator of batches."""
        given = {"steps_per_epoch": steps_per_epoch, "epochs": epochs, "verbose": verbose}
        return self._today("fit", generator, {**given, **options})

    def evaluate_generator(self, generator, steps=None, callbacks=None, verbose=0, **options):
        """`evaluate` on a generator of batches."""
        given = {"steps": steps, "callbacks": callbacks, "verbose": verbose}
        return self._today("evaluate", generator, {**given, **options})

    def predict_generator(self, generator, steps=None, callbacks=None, verbose=0, **options):
        """`predict` on a generator of batches."""
        given = {"steps": steps, "callbacks": callbacks, "verbose": verbose}
        return self._today("predict", generator, {**given, **options})

    def _today(self, method, generator, options):
        warn_old("Model", f"{method}_generator", method)
        rows = getattr(generator, "batch_size", None) or 1
        given = {}
        for name, value in options.items():
            new = _NAMES.get(name, name)
            if name in _SAMPLES:
                value = -(-value // rows)
            if new is not None and (given.get(new) is None or value is not None):
                given[new] = value
        return getattr(self, method)(generator, **given)

    def predict_classes(self, x, batch_size=None, verbose=0):
        """The class of each row: the largest output, or whether the only one is above a half."""
        warn_old("Model", "predict_classes", "predict(x).argmax(-1)")
        y = np.asarray(self.predict(x, batch_size=batch_size, verbose=verbose))  # type: ignore
        return y.argmax(-1) if y.shape[-1] > 1 else (y > 0.5).astype("int32")

    def predict_proba(self, x, batch_size=None, verbose=0):
        """`predict`."""
        warn_old("Model", "predict_proba", "predict")
        return self.predict(x, batch_size=batch_size, verbose=verbose)  # type: ignore

    def reset_states(self):
        """Forget what stateful layers have seen."""
        for module in self.modules():  # type: ignore[attr-defined]
            if module is not self and "states" in module.__dict__:
                module.reset_state()

    @property
    def compiled_loss(self):
        """A function of `y, y_pred`: the loss of `compile`, for a `train_step` of tf.keras."""
        compiled = self._compiled  # type: ignore[attr-defined]

        def loss(y_true, y_pred, sample_weight=None, regularization_losses=None):
            if compiled.parts is None:
                compiled.bind(self._output_keys, y_true, y_pred)  # type: ignore[attr-defined]
            more = SimpleNamespace(_extra_losses=lambda: list(regularization_losses or ()))
            return compiled.loss(more, y_true, y_pred, sample_weight)

        return loss

    @property
    def compiled_metrics(self):
        """The metrics of `compile` as one, with `update_state(y, y_pred)`."""
        return None if self._compiled is None else self._compiled.metrics  # type: ignore
