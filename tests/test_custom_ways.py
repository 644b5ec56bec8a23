"""Training of one's own in every way it can be run, beside live Keras: in one process, compiled,
in two processes, in a Trainer of the user's own, killed and started again."""

import os

import keras
import lightning.pytorch as L
import numpy as np
import pytest
import torch
from _beside import assert_equal, seeded
from _group import on_group
from torch.utils.data import DataLoader, TensorDataset

import lightkeras as lk
from lightkeras.callbacks import BackupAndRestore, LambdaCallback

RNG = np.random.RandomState(0)
X = RNG.rand(48, 4).astype("float32")
Y = (X.sum(1, keepdims=True) * 2).astype("float32")
W = RNG.rand(48).astype("float32")
CLASSES = (X.sum(1) > 2).astype("int64")
HOW = {"batch_size": 8, "epochs": 3, "verbose": 0, "shuffle": False}
PROGRAMS = {}


def program(make):
    """A function of k and arguments of `compile` that gives (model, (x, y), weights for `fit`)."""
    PROGRAMS[make.__name__] = make
    return make


def ends(k, units=1):
    x = k.Input((4,))
    return x, k.layers.Dense(units)(k.layers.Dense(5, activation="tanh")(x))


def learn(loss, optimizer, weights):
    loss.backward()
    gradients = [w.value.grad for w in weights]
    with torch.no_grad():
        optimizer.apply(gradients, weights)


def note(model, loss, y, y_pred, w=None):
    for metric in model.metrics:
        if metric.name == "loss":
            metric.update_state(loss)
        else:
            metric.update_state(y, y_pred, sample_weight=w)
    return {m.name: m.result() for m in model.metrics}


def stepping(k):
    class Stepping(k.Model):
        def train_step(self, data):
            x, y, w = k.utils.unpack_x_y_sample_weight(data)
            self.zero_grad()
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=w)
            learn(loss, self.optimizer, self.trainable_weights[:])
            return note(self, loss, y, y_pred, w)

    return Stepping


@program
def a_step(k, **more):
    model = seeded(stepping(k)(*ends(k)))
    model.compile(k.optimizers.Adam(0.02), "mse", metrics=["mae"], **more)
    return model, (X, Y), {}


@program
def weights_of_rows(k, **more):
    return *a_step(k, **more)[:2], {"sample_weight": W}


@program
def weights_of_classes(k, **more):
    model = seeded(stepping(k)(*ends(k, 2)))
    loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], **more)
    return model, (X, CLASSES), {"class_weight": {0: 1.0, 1: 3.0}}


@program
def a_loss_and_metrics(k, **more):
    class Own(k.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            loss = super().compute_loss(x, y, y_pred, sample_weight, training)
            return loss + 0.1 * k.ops.mean(k.ops.abs(y_pred))

        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            found = super().compute_metrics(x, y, y_pred, sample_weight)
            self.size.update_state(k.ops.mean(y_pred))
            return {**found, "size": self.size.result()}

    model = seeded(Own(*ends(k)))
    model.size = k.metrics.Mean(name="size")
    model.compile(k.optimizers.Adam(0.02), "mse", metrics=["mae"], **more)
    return model, (X, Y), {}


@program
def two_optimizers(k, **more):
    class GAN(k.Model):
        def __init__(self, discriminator, generator):
            super().__init__()
            self.discriminator, self.generator = discriminator, generator
            self.d_seen, self.g_seen = (k.metrics.Mean(name=f"{n}_loss") for n in "dg")
            self.built = True

        @property
        def metrics(self):
            return [self.d_seen, self.g_seen]

        def compile(self, d_optimizer, g_optimizer, loss_fn, **more):
            super().compile(**more)
            self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
            self.loss_fn = loss_fn

        def call(self, x):
            return self.discriminator(x)

        def train_step(self, data):
            real = data[0] if isinstance(data, (tuple, list)) else data
            noise, zeros = 2 * real[:, :3] - 1, torch.zeros((len(real), 1))
            self.zero_grad()
            both = self.discriminator(torch.concat([self.generator(noise), real]))
            d_loss = self.loss_fn(torch.concat([zeros + 1, zeros]), both)
            learn(d_loss, self.d_optimizer, self.discriminator.trainable_weights)
            self.zero_grad()
            g_loss = self.loss_fn(zeros, self.discriminator(self.generator(noise)))
            learn(g_loss, self.g_optimizer, self.generator.trainable_weights)
            self.d_seen.update_state(d_loss)
            self.g_seen.update_state(g_loss)
            return {m.name: m.result() for m in self.metrics}

    dense = k.layers.Dense
    one = k.Sequential([k.Input((4,)), dense(6, activation="relu"), dense(1)])
    two = k.Sequential([k.Input((3,)), dense(6, activation="relu"), dense(4)])
    model = GAN(seeded(one, 1), seeded(two, 2))
    loss = k.losses.BinaryCrossentropy(from_logits=True)
    model.compile(k.optimizers.Adam(0.003), k.optimizers.Adam(0.001), loss, **more)
    return model, (X, None), {}


@program
def gradients_added_up(k, **more):
    model = seeded(stepping(k)(*ends(k)))
    optimizer = k.optimizers.Adam(0.02, gradient_accumulation_steps=2)
    model.compile(optimizer, "mse", metrics=["mae"], **more)
    return model, (X, Y), {}


@program
def gradients_added_up_by_hand(k, **more):
    class Adding(k.Model):
        seen = 0  # a number of the user's own

        def train_step(self, data):
            x, y = data[:2]
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred) / 2
            if self.seen % 2 == 0:
                self.zero_grad()
            self.seen += 1
            if self.seen % 2:
                loss.backward()
            else:
                learn(loss, self.optimizer, self.trainable_weights[:])
            return note(self, 2 * loss, y, y_pred)

    model = seeded(Adding(*ends(k)))
    model.compile("adam", "mse", metrics=["mae"], **more)
    return model, (X, Y), {}


@program
def gradients_kept_in_attributes(k, **more):
    class Keeping(k.Model):
        kept = None

        def train_step(self, data):
            x, y = data[:2]
            self.zero_grad()
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
            loss.backward()
            found = [w.value.grad.clone() for w in self.trainable_weights]
            if self.kept is None:
                self.kept = {"all": found, "steps": np.ones(1)}
            else:
                with torch.no_grad():
                    both = [a + b for a, b in zip(self.kept["all"], found, strict=True)]
                    self.optimizer.apply(both, self.trainable_weights[:])
                self.kept = None
            return note(self, loss, y, y_pred)

    model = seeded(Keeping(*ends(k)))
    model.compile(k.optimizers.Adam(0.02), "mse", metrics=["mae"], **more)
    return model, (X, Y), {}


@program
def evaluations_and_predictions(k, **more):
    class Tested(k.Model):
        def test_step(self, data):
            x, y = data[:2]
            y_pred = self(x, training=False)
            found = note(self, self.compute_loss(y=y, y_pred=y_pred), y, y_pred)
            return {**found, "size": k.ops.mean(y_pred)}

        def predict_step(self, data):
            return 2 * self(data[0] if isinstance(data, (tuple, list)) else data, training=False)

    model = seeded(Tested(*ends(k)))
    model.compile("adam", "mse", metrics=["mae"], **more)
    return model, (X, Y), {}


@program
def around_the_usual_step(k, **more):
    class Around(k.Model):
        def train_step(self, data):
            logs = super().train_step(data)
            return {**logs, "twice": 2 * logs["loss"]}

    x = k.Input((4,))
    h = k.layers.ActivityRegularization(0.01)(k.layers.Dense(5, kernel_regularizer="l2")(x))
    model = seeded(Around(x, k.layers.Dense(1)(h)))
    model.compile("adam", "mse", metrics=["mae"], **more)
    return model, (X, Y), {}


# ---- the ways ---------------------------------------------------------------------------------


def trained(k, name, options=None, **more):
    """(model, History, weights)."""
    k.utils.set_random_seed(0)
    model, (x, y), weights = PROGRAMS[name](k, **options or {})
    if y is not None:
        more["validation_data"] = (x[:16], y[:16])
    history = model.fit(x, y, **HOW, **weights, **more).history
    return model, dict(sorted(history.items())), model.get_weights()


@pytest.fixture(scope="module")
def of_keras():
    """What Keras gives, once for each program."""
    kept = {}
    return lambda name: kept.setdefault(name, trained(keras, name)[1:])


def check(found, wanted):
    assert_equal(list(found), list(wanted), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", PROGRAMS)
def test_in_one_process(of_keras, name):
    check(trained(lk, name)[1:], of_keras(name))


@pytest.mark.parametrize("name", ["a_step", "two_optimizers", "evaluations_and_predictions"])
@pytest.mark.filterwarnings("ignore:The .* step of")  # a step of one's own stays as it is
def test_with_jit_compile(of_keras, name):
    check(trained(lk, name, {"jit_compile": True})[1:], of_keras(name))


def group(name):
    torch.set_num_threads(1)
    model, *found = trained(lk, name, accelerator="cpu", strategy="ddp", devices=2)
    return [*found, model.predict(X, verbose=0)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the group is forked")
@pytest.mark.parametrize("name", PROGRAMS)
def test_in_two_processes(of_keras, name):
    (history, weights, rows), (_, others, rows_too) = on_group(2, group, name)
    check([history, weights], of_keras(name))
    assert all(map(np.array_equal, weights, others))
    assert np.array_equal(rows, rows_too) and len(rows) == len(X)


def twice(k, name, **more):
    """Trained, trained again in this process, evaluated."""
    model, *found = trained(k, name, **more)
    (x, y), how = PROGRAMS[name](k)[1], {**HOW, "epochs": 2}
    again = model.fit(x, y, **how).history
    seen = model.evaluate(x, y, verbose=0) if y is not None else []
    return [*found, dict(sorted(again.items())), model.get_weights(), seen]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
@pytest.mark.parametrize("name", ["a_step", "two_optimizers", "gradients_added_up"])
@pytest.mark.filterwarnings("ignore")
def test_what_processes_that_end_with_fit_leave_behind(name):
    """Metrics that the first step has made, and the slots of every optimizer."""
    check(twice(lk, name, accelerator="cpu", strategy="ddp_fork", devices=2), twice(keras, name))


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.filterwarnings("ignore")
def test_in_a_trainer_of_ones_own(of_keras, name):
    model, (x, y), weights = PROGRAMS[name](lk)
    arrays = [x] if y is None else [x, y]
    if "class_weight" in weights:
        arrays.append(np.array([1.0, 3.0], "float32")[y])
    arrays += [weights["sample_weight"]] if "sample_weight" in weights else []

    def loader(*arrays):
        return DataLoader(TensorDataset(*map(torch.tensor, arrays)), 8)

    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = L.Trainer(max_epochs=3, **dict.fromkeys(quiet, False))
    val = [] if y is None else [loader(x[:16], y[:16])]
    trainer.fit(model.to_lightning(), loader(*arrays), *val)
    history, wanted = of_keras(name)
    last = {k: float(v) for k, v in sorted(trainer.callback_metrics.items())}
    check([last, model.get_weights()], [{k: v[-1] for k, v in history.items()}, wanted])
    rows = trainer.predict(model.to_lightning(), loader(x))
    assert np.allclose(np.concatenate(rows), model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize("at", [4, 12, 15])  # in an epoch, after its last batch
@pytest.mark.parametrize("name", PROGRAMS)
def test_killed_and_started_again(tmp_path, name, at):
    taken = []

    def kill(batch, logs):
        taken.append(batch)
        if len(taken) == at:
            raise ZeroDivisionError

    def callbacks(kill):
        return [BackupAndRestore(tmp_path, save_freq=1), LambdaCallback(on_train_batch_end=kill)]

    _, *whole = trained(lk, name)
    with pytest.raises(ZeroDivisionError):
        trained(lk, name, callbacks=callbacks(kill))
    _, history, weights = trained(lk, name, callbacks=callbacks(lambda *_: taken.append(0)))
    assert history == whole[0] and all(map(np.array_equal, weights, whole[1]))
    assert len(taken) == 18 + 1  # the batch in which it was killed was not saved yet
