"""Callbacks in `fit`, `evaluate` and `predict` of small models: each program beside live Keras."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from _beside import beside, seeded
from lightning.pytorch.callbacks import LambdaCallback as LambdaOfLightning
from lightning.pytorch.loggers import Logger

import lightkeras as lk

RNG = np.random.RandomState(0)
X = RNG.rand(60, 4).astype("float32")
Y = (X.sum(1) > 2).astype("int64")
VAL = (RNG.rand(20, 4).astype("float32"), RNG.randint(0, 2, 20))
HOW = {"batch_size": 10, "epochs": 8, "verbose": 0, "shuffle": False, "validation_data": VAL}
PROGRAMS = {}


def program(fn):
    PROGRAMS[fn.__name__] = fn
    return fn


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    beside(PROGRAMS[name], rtol=1e-3, atol=1e-4)


def classifier(k, rate=0.5, optimizer=None):
    model = k.Sequential([k.Input((4,)), k.layers.Dense(6, activation="relu"), k.layers.Dense(2)])
    loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or k.optimizers.SGD(rate), loss, metrics=["accuracy"])
    return seeded(model)


def outcome(model, history):
    return [dict(history.history), history.epoch, model.get_weights(), model.stop_training]


# ---- stopping ---------------------------------------------------------------------------------

STOPS = {
    "patience 0": {},
    "patience 2": {"patience": 2},
    "the best come back": {"patience": 2, "restore_best_weights": True},
    "accuracy": {"monitor": "val_accuracy", "patience": 1, "restore_best_weights": True},
    "max of a loss": {"monitor": "loss", "mode": "max", "patience": 3},
    "by much": {"min_delta": 0.5, "patience": 3, "restore_best_weights": True},
    "baseline": {"baseline": 0.1, "patience": 2},
    "baseline, the best come back": {"baseline": 0.1, "patience": 2, "restore_best_weights": True},
    "later": {"start_from_epoch": 3, "patience": 1, "restore_best_weights": True},
    "never": {"monitor": "loss", "patience": 50, "restore_best_weights": True},
}


@pytest.mark.parametrize("case", STOPS)
@pytest.mark.parametrize("rate", [0.5, 3.0])
def test_early_stopping(case, rate):
    def run(k):
        model = classifier(k, rate)
        stop = k.callbacks.EarlyStopping(**STOPS[case])
        found = outcome(model, model.fit(X, Y, callbacks=[stop], **HOW))
        found += [stop.wait, stop.stopped_epoch, stop.best_epoch, stop.best, stop.patience]
        again = model.fit(X, Y, callbacks=[stop], **HOW)  # it begins anew
        return [*found, *outcome(model, again), stop.stopped_epoch]

    beside(run, rtol=1e-3, atol=1e-4)


BETTER = ["mae", "mse", "mape", "accuracy", "AUC", "precision", "recall", "poisson", "hinge",
          "squared_hinge", "categorical_hinge", "cosine_similarity", "categorical_crossentropy",
          "R2Score", "RootMeanSquaredError", "OneHotIoU", "KLDivergence", "mean_absolute_error",
          "CategoricalAccuracy"]  # fmt: skip


def test_metrics_of_compile_say_what_is_better():
    def run(k):
        iou = k.metrics.OneHotIoU(2, [0, 1], name="OneHotIoU")
        given = [iou if name == "OneHotIoU" else name for name in BETTER]
        model = seeded(k.Sequential([k.Input((4,)), k.layers.Dense(2, activation="softmax")]))
        model.compile("sgd", "mse", metrics=given)
        watching = [
            kind(f"{val}{name}") for name in BETTER for val in ("", "val_")
            for kind in (k.callbacks.EarlyStopping, k.callbacks.ReduceLROnPlateau)
        ]  # fmt: skip
        y, y_val = np.eye(2, dtype="float32")[Y], np.eye(2, dtype="float32")[VAL[1]]
        how = {**HOW, "epochs": 1, "validation_data": (VAL[0], y_val)}
        model.fit(X, y, callbacks=watching, **how)
        names = sorted(getattr(metric, "name", "") for metric in model.metrics[1].metrics)
        return [[c.monitor_op(1.0, 0.0) for c in watching], names]

    beside(run)


def test_values_of_outputs_and_weights_say_what_is_better():
    x = lk.Input((4,))
    model = lk.Model(x, {n: lk.layers.Dense(1, name=n)(x) for n in ("a", "b")})
    model.compile("sgd", "mse", metrics={"a": ["mae", "R2Score"]}, weighted_metrics={"b": ["mae"]})
    better = {"val_a_mae": False, "a_R2Score": True, "b_mae": False, "val_b_loss": False}
    stops = [lk.callbacks.EarlyStopping(name) for name in better]
    y = {"a": X[:, :1], "b": X[:, 1:2]}
    history = model.fit(X, y, callbacks=stops, **{**HOW, "validation_data": (X, y)}).history
    assert set(better) <= set(history)
    assert [stop.monitor_op(1.0, 0.0) for stop in stops] == list(better.values())


def diverging(k, at):
    """A model whose loss is NaN in one epoch."""

    class Spoil(k.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.kept = self.model.get_weights()
            if epoch == at:
                self.model.set_weights([w * np.nan for w in self.kept])

        def on_epoch_end(self, epoch, logs=None):
            if epoch == at:
                self.model.set_weights(self.kept)

    return classifier(k), Spoil()


@pytest.mark.parametrize("at", [0, 2])
def test_nan_is_never_best(at, tmp_path):
    model, spoil = diverging(lk, at)
    stop = lk.callbacks.EarlyStopping("val_loss", patience=20, restore_best_weights=True)
    saves = lk.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras", save_best_only=True)
    values = model.fit(X, Y, callbacks=[stop, saves, spoil], **HOW).history["val_loss"]
    best = int(np.nanargmin(values))
    assert np.isnan(values[at]) and stop.best_epoch == best and stop.best == values[best]
    assert f"{at + 1}.keras" not in os.listdir(tmp_path)
    assert saves.best_model_path == str(tmp_path / f"{best + 1}.keras")
    assert model.evaluate(*VAL, verbose=0)[0] == pytest.approx(values[best])


@program
def the_first_nan_ends_it(k):
    seen = []

    class Spoil(k.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if len(seen) == 9:
                self.model.set_weights([w * np.nan for w in self.model.get_weights()])

        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

    model = classifier(k)
    how = {**HOW, "validation_data": None}
    history = model.fit(X, Y, callbacks=[Spoil(), k.callbacks.TerminateOnNaN()], **how)
    return [*outcome(model, history), seen]


@pytest.mark.parametrize("part", ["loss", "metrics", "weighted_metrics"])
def test_files_of_a_model_with_parts_of_torch(part, tmp_path):
    from torchmetrics.classification import MulticlassF1Score

    model = classifier(lk)
    given = (
        {"loss": torch.nn.CrossEntropyLoss()} if part == "loss" else {part: MulticlassF1Score(2)}
    )
    loss = lk.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", **{"loss": loss, **given})
    saves = lk.callbacks.ModelCheckpoint(tmp_path / "m.keras", "loss")
    with pytest.warns(
        UserWarning, match=r"without compile.*has no get_config.*Call compile.. again"
    ):
        model.fit(X, Y, callbacks=[saves], **{**HOW, "validation_data": None, "epochs": 1})
    again = lk.models.load_model(tmp_path / "m.keras")
    assert np.array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))


# ---- learning rates ---------------------------------------------------------------------------


@program
def a_plateau_in_a_csv_file(k):
    model = classifier(k, 3.0)
    with tempfile.TemporaryDirectory() as folder:
        plateau = k.callbacks.ReduceLROnPlateau(
            monitor="loss", factor=0.5, patience=1, cooldown=1, min_lr=0.4, min_delta=0.05
        )
        log = k.callbacks.CSVLogger(f"{folder}/log.csv")
        found = outcome(model, model.fit(X, Y, callbacks=[plateau, log], **HOW))
        rows = Path(folder, "log.csv").read_text().split()
    head, *values = [row.split(",") for row in rows]
    return [*found, head, np.array(values, float), float(np.array(model.optimizer.learning_rate))]


@program
def a_scheduler_before_and_after_a_log(k):
    model, log = classifier(k), []
    rate = k.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9 if epoch > 2 else rate)
    note = k.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: log.append(dict(logs)))
    history = model.fit(X, Y, callbacks=[note, rate, note], **HOW)
    return [*outcome(model, history), log]


@program
def a_rate_set_by_hand(k):
    class Halving(k.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            optimizer = self.model.optimizer
            optimizer.learning_rate.assign(optimizer.learning_rate * 0.5)
            logs["rate"] = float(k.ops.convert_to_numpy(optimizer.learning_rate))

        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                self.model.optimizer.learning_rate = 0.25

    model = classifier(k)
    return outcome(model, model.fit(X, Y, callbacks=Halving(), **HOW))


def shared_out(k, **first):
    """A classifier whose biases have an optimizer of their own."""
    rest = k.optimizers.SGD(2.0, **first)
    shares = k.optimizers.OptimizerMap(rest, {".*bias": k.optimizers.Adam(0.05)})
    return classifier(k, optimizer=k.optimizers.MultiOptimizer(shares))


@program
def a_plateau_of_several_optimizers(k):
    model = shared_out(k)
    plateau = k.callbacks.ReduceLROnPlateau(patience=0, min_delta=10, cooldown=1, min_lr=0.02)
    return outcome(model, model.fit(X, Y, callbacks=[plateau], **HOW))


@program
def a_scheduler_of_several_optimizers(k):
    model = shared_out(k)
    rate = k.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9 if epoch > 2 else rate)
    return outcome(model, model.fit(X, Y, callbacks=[rate], **HOW))


@program
def averages_of_one_of_several_optimizers(k):
    model, seen = shared_out(k, use_ema=True, ema_momentum=0.7), []
    note = k.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(
        model.get_weights()))  # fmt: skip
    swap = k.callbacks.SwapEMAWeights(swap_on_epoch=True)
    return [*outcome(model, model.fit(X, Y, callbacks=[swap, note], **HOW)), seen]


def test_rates_of_several_optimizers_are_said_by_name(capsys):
    lk.utils.clear_session(free_memory=False)
    model = shared_out(lk)
    rate = lk.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2, verbose=1)
    stop = lk.callbacks.EarlyStopping("learning_rate_adam", mode="max")
    model.fit(X, Y, callbacks=[rate, stop], **{**HOW, "epochs": 1})
    said = capsys.readouterr().out.splitlines()
    assert said == [f"Epoch 1: LearningRateScheduler sets the learning rate of {which}"
                    for which in ("adam to 0.025", "sgd to 1.0")]  # fmt: skip
    with pytest.raises(ValueError, match=r"got the optimizer MultiOptimizer.*Type Adam\(use_ema"):
        model.fit(X, Y, callbacks=[lk.callbacks.SwapEMAWeights()], **HOW)
    slow = lk.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    shares = lk.optimizers.OptimizerMap(lk.optimizers.SGD(slow), {".*bias": lk.optimizers.SGD()})
    model = classifier(lk, optimizer=lk.optimizers.MultiOptimizer(shares))
    with pytest.raises(ValueError, match="that of SGD follows a ExponentialDecay"):
        model.fit(X, Y, callbacks=[rate], **HOW)


@program
def what_callbacks_add_to_logs(k):
    """It is heard by those behind them at that moment, and not later."""
    seen = []
    adds = k.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(mine=1.0),
        on_train_batch_end=lambda batch, logs: logs.update(mine=1.0),
        on_test_end=lambda logs: logs.update(mine=1.0),
    )
    hooks = ("on_train_batch_end", "on_test_end", "on_epoch_end", "on_train_end")

    def note(hook):
        return lambda *where, logs=None: seen.append([hook, sorted(logs or where[-1])])

    notes = k.callbacks.LambdaCallback(**{hook: note(hook) for hook in hooks})
    model, rate = classifier(k), k.callbacks.LearningRateScheduler(lambda epoch: 0.1)
    callbacks = [adds, rate, notes]
    history = model.fit(X, Y, callbacks=callbacks, **{**HOW, "epochs": 2})
    values = model.evaluate(*VAL, callbacks=callbacks, return_dict=True, verbose=0)
    return [*outcome(model, history), values, seen]


def test_params_are_told_once():
    told = []

    class Notes(lk.callbacks.Callback):
        def set_params(self, params):
            told.append(dict(params))

    classifier(lk).fit(X, Y, callbacks=[Notes()], **{**HOW, "epochs": 2})
    classifier(lk).fit(X, Y, callbacks=[Notes()], limit_train_batches=2, **{**HOW, "epochs": 1})
    params = {"epochs": 2, "steps": 6, "verbose": 0}
    assert told == [params, {**params, "epochs": 1}, {**params, "epochs": 1, "steps": 2}]


# ---- what callbacks do with the model ---------------------------------------------------------


@program
def predictions_in_the_middle(k):
    """Evaluations and predictions in a hook leave the training as it was."""
    seen = []

    class Looks(k.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(self.model.predict(X[:3], verbose=0))
            seen.append(self.model.evaluate(*VAL, verbose=0))

        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                seen.append(self.model.predict(X[:5], verbose=0))

    x = k.Input((4,))
    h = k.layers.BatchNormalization()(k.layers.Dense(6, activation="relu")(x))
    model = seeded(k.Model(x, k.layers.Dense(2, activation="softmax")(h)))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return [*outcome(model, model.fit(X, Y, callbacks=[Looks()], **HOW)), seen]


SLOPES = ["on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end",
          "on_predict_batch_begin", "on_predict_batch_end", "on_epoch_end"]  # fmt: skip


@pytest.mark.parametrize("hook", SLOPES)
def test_gradients_and_steps_in_a_hook(hook):
    """Also while the model is evaluated: the gradient of an input, an update."""

    def run(k):
        model, seen = classifier(k), []

        def look(*where, **logs):
            x = torch.tensor(X[:3], requires_grad=True)
            seen.append(torch.autograd.grad(model(x).sum(), x)[0])
            model.train_on_batch(X[:4], Y[:4])

        note = k.callbacks.LambdaCallback(**{hook: look})
        found = outcome(model, model.fit(X, Y, callbacks=[note], **{**HOW, "epochs": 2}))
        found.append(model.evaluate(*VAL, batch_size=8, verbose=0, callbacks=[note])[0])
        found.append(model.predict(VAL[0], batch_size=8, verbose=0, callbacks=[note]))
        return [*found, seen]

    beside(run, rtol=1e-3, atol=1e-4)


@program
def a_score_that_others_watch(k):
    class Score(k.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            y_pred = self.model.predict(VAL[0], verbose=0).argmax(1)
            logs["val_f1"] = 2 * np.sum(y_pred * VAL[1]) / (np.sum(y_pred) + np.sum(VAL[1]))

    model = classifier(k)
    with tempfile.TemporaryDirectory() as folder:
        stop = k.callbacks.EarlyStopping(
            "val_f1", patience=2, mode="max", restore_best_weights=True
        )
        saves = k.callbacks.ModelCheckpoint(
            folder + "/{epoch:02d}-{val_f1:.3f}.keras", "val_f1", mode="max", save_best_only=True
        )
        found = outcome(model, model.fit(X, Y, callbacks=[Score(), stop, saves], **HOW))
        return [*found, sorted(os.listdir(folder)), stop.best]


@pytest.mark.parametrize("save_freq", ["epoch", 4, 6])
@pytest.mark.parametrize("weights_only", [False, True])
@pytest.mark.parametrize("best_only", [False, True])
def test_files_of_checkpoints(save_freq, weights_only, best_only):
    end = ".weights.h5" if weights_only else ".keras"

    def run(k):
        model = classifier(k, 3.0)
        with tempfile.TemporaryDirectory() as folder:
            saves = k.callbacks.ModelCheckpoint(
                folder + "/{epoch:02d}-{loss:.4f}" + end, monitor="loss", save_freq=save_freq,
                save_weights_only=weights_only, save_best_only=best_only,
            )  # fmt: skip
            found = outcome(model, model.fit(X, Y, callbacks=[saves], **HOW))
            names = sorted(os.listdir(folder))
            last = os.path.join(folder, names[-1])
            model.load_weights(last) if weights_only else None
            again = model if weights_only else k.models.load_model(last)
            return [*found, names, again.get_weights()]

    beside(run, rtol=1e-3, atol=1e-4)


# ---- averages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("on_epoch", [False, True])
def test_averages_in_validation_and_files(on_epoch):
    def run(k):
        averaging = k.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.8)
        model, seen = classifier(k, optimizer=averaging), []
        swap = k.callbacks.SwapEMAWeights(swap_on_epoch=on_epoch)
        note = k.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()),
            on_train_batch_begin=lambda batch, logs: seen.append(model.get_weights()[1]),
            on_test_batch_end=lambda batch, logs: seen.append(model.get_weights()[1]),
        )
        found = outcome(model, model.fit(X, Y, callbacks=[swap, note], **{**HOW, "epochs": 3}))
        return [*found, seen]

    beside(run, rtol=1e-3, atol=1e-4)


class Bad(Exception):
    pass


FAILS = ["on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end",
         "on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end",
         "on_epoch_end", "on_train_end"]  # fmt: skip


def fails(error):
    def fail(*where, **more):
        raise error

    return fail


@pytest.mark.parametrize("error", [Bad, KeyboardInterrupt, StopIteration])
@pytest.mark.parametrize("hook", FAILS)
def test_after_an_error_all_is_as_it_was(hook, error, tmp_path):
    model = classifier(lk, optimizer=lk.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.8))
    kept = []
    swap = lk.callbacks.SwapEMAWeights(swap_on_epoch=True)
    note = lk.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: kept.append(model.get_weights())
    )
    log = lk.callbacks.CSVLogger(tmp_path / "log.csv")
    last = lk.callbacks.LambdaCallback(**{hook: fails(error)})
    with pytest.raises((error, RuntimeError)) as raised:
        model.fit(X, Y, callbacks=[swap, log, note, last], **HOW)
    assert isinstance(raised.value.__cause__ or raised.value, error)
    assert log.csv_file is None and swap._aside is None and not model.training
    if hook != "on_train_end":  # there, training was over and the averages are to stay
        wanted = kept[-1] if kept else classifier(lk).get_weights()
        assert all(map(np.array_equal, model.get_weights(), wanted))
    assert len(model.fit(X, Y, callbacks=[swap, log, note], **HOW).epoch) == HOW["epochs"]
    assert len((tmp_path / "log.csv").read_text().split()) == 1 + HOW["epochs"]


class Asks(lk.Sequential):
    """A step of one's own that wants more rows than there are."""

    more = iter([1])

    def train_step(self, data):
        return {"loss": float(next(self.more))}


@pytest.mark.parametrize("callbacks", [[], [LambdaOfLightning(on_train_batch_end=lambda *a: None)]],
                         ids=["many at a time", "one by one"])  # fmt: skip
def test_an_iterator_at_its_end_does_not_end_an_epoch(callbacks):
    """For Lightning's loops it would be the end of the data, and nothing would be said."""
    model = Asks([lk.Input((4,)), lk.layers.Dense(1)])
    model.compile()
    with pytest.raises(RuntimeError, match=r"StopIteration in training.*next\(iterator, None\)"):
        model.fit(X, Y, callbacks=callbacks, **{**HOW, "validation_data": None})
    assert not model.training


def test_what_cannot_be_sent_to_new_processes_is_named():
    rate = lk.callbacks.LearningRateScheduler(lambda epoch: 0.1)
    callbacks = [lk.callbacks.EarlyStopping("loss"), rate]
    flags = {"accelerator": "cpu", "strategy": "ddp_spawn", "devices": 2}
    with pytest.raises(
        TypeError, match=r"LearningRateScheduler cannot be sent: .*lambda.*Write def"
    ):
        classifier(lk).fit(X, Y, callbacks=callbacks, **flags, **HOW)
    model = lk.Sequential([lk.Input((4,)), lk.layers.Lambda(lambda x: 2 * x), lk.layers.Dense(2)])
    model.compile("sgd", lk.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(TypeError, match=r"Sequential cannot be sent: .*type strategy='ddp'"):
        model.fit(X, Y, **flags, **HOW)


class BadLogger(Logger):
    """A logger that fails in one of its methods."""

    name, version = "bad", "0"

    def __init__(self, method):
        super().__init__()
        setattr(self, method, fails(Bad))

    def log_hyperparams(self, params, *more, **others):
        pass

    def log_metrics(self, metrics, step=None):
        pass


def _batches_that_end_in_an_error():
    yield X[:10], Y[:10]
    raise Bad


def _loss_that_fails_in_validation():
    def loss(y, y_pred):
        if len(y) == 7:
            raise Bad
        return (y_pred**2).mean()

    return loss


NEIGHBOURS = {
    "the data": {"x": _batches_that_end_in_an_error, "steps_per_epoch": 3},
    "data of validation": {
        "validation_data": _batches_that_end_in_an_error, "validation_steps": 3},
    "a loss in validation": {"loss": _loss_that_fails_in_validation},
    "a logger's values": {"logger": "log_metrics"},
    "a logger that saves": {"logger": "save"},
    "a logger that ends": {"logger": "finalize"},
    "a logger that hears of a file": {"logger": "after_save_checkpoint"},
    **{f"{hook} of Lightning": {"hook": hook} for hook in (
        "setup", "on_fit_start", "on_train_epoch_start", "on_train_batch_end", "on_after_backward",
        "on_validation_start", "on_validation_batch_end", "on_train_epoch_end", "on_train_end",
        "on_save_checkpoint")},
}  # fmt: skip


@pytest.mark.parametrize("place", NEIGHBOURS)
def test_after_an_error_elsewhere_all_is_as_it_was(place, tmp_path):
    bad = dict(NEIGHBOURS[place])
    model = classifier(lk, optimizer=lk.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.8))
    if "loss" in bad:
        model.compile(model.optimizer, bad.pop("loss")())
    swap = lk.callbacks.SwapEMAWeights(swap_on_epoch=True)
    log = lk.callbacks.CSVLogger(tmp_path / "log.csv")
    saves = lk.callbacks.ModelCheckpoint(tmp_path / "m.ckpt")
    callbacks = [swap, log, saves]
    if "hook" in bad:
        callbacks.append(LambdaOfLightning(**{bad.pop("hook"): fails(Bad)}))
    given = {**HOW, "x": X, "y": Y, "epochs": 2, "callbacks": callbacks, **bad}
    for name in ("x", "validation_data"):
        given[name] = given[name]() if callable(given[name]) else given[name]
    if "steps_per_epoch" in bad:
        given = {n: v for n, v in given.items() if n not in ("y", "batch_size", "shuffle")}
    if "logger" in bad:
        given["logger"] = BadLogger(bad["logger"])
    if "validation_steps" not in bad:
        given["validation_batch_size"] = 7
    with pytest.raises(Bad):
        model.fit(**given)
    assert log.csv_file is None and swap._aside is None and not model.training
    assert not [f for f in os.listdir(tmp_path) if f.endswith((".part", ".tmp"))]
    loss = lk.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(model.optimizer, loss, metrics=["accuracy"])
    assert len(model.fit(X, Y, callbacks=[swap, log], **HOW).epoch) == HOW["epochs"]
    assert model.predict(X, verbose=0).shape == (60, 2)


# ---- how they are given -----------------------------------------------------------------------


@pytest.mark.parametrize("form", ["one", "tuple", "list of callbacks"])
def test_forms_of_giving(form):
    def run(k):
        seen = []
        one = k.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
        given = {"one": one, "tuple": (one, one)}.get(form)
        model = classifier(k)
        if form == "list of callbacks":
            given = k.callbacks.CallbackList([one], model=model, add_history=True, epochs=8)
        history = model.fit(X, Y, callbacks=given, **HOW)
        return [seen, dict(history.history)]

    beside(run)
