"""Where Keras and Lightning meet: `.ckpt` files, Lightning's callbacks and loggers in `fit`, and
models with steps of their own in Trainers of the user's own."""

import csv
import os

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from _group import on_group
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch.utils.data import DataLoader, TensorDataset

import lightkeras as lk
from lightkeras.callbacks import EarlyStopping, LambdaCallback, ModelCheckpoint
from lightkeras.saving import LoadError

R = np.random.RandomState(0)
X = R.rand(60, 4).astype("float32")
Y = (X.sum(1) > 2).astype("int64")
HOW = {"batch_size": 8, "shuffle": False, "verbose": 0}
VALIDATED = {**HOW, "validation_data": (X[:20], Y[:20])}


def classifier(seed=0):
    lk.utils.set_random_seed(seed)
    dense = lk.layers.Dense
    model = lk.Sequential([lk.Input((4,)), dense(3, activation="relu"), dense(2)])
    loss = lk.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(lk.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


def same(one, other):
    return all(map(np.array_equal, one.get_weights(), other.get_weights()))


class Watch(L.Callback):
    """Makes Lightning take the batches one by one."""

    def on_train_batch_end(self, *where):
        pass


WAYS = {"many at a time": [], "one by one": [Watch()], "hooks": [
    LambdaCallback(on_train_batch_end=lambda batch, logs: None)]}  # fmt: skip


# ---- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("epochs_before", [1, 3])
def test_a_trainer_of_ones_own_goes_on(tmp_path, way, epochs_before):
    ours, theirs = classifier(), classifier(1)
    saves = ModelCheckpoint(tmp_path / "{epoch}.ckpt")
    ours.fit(X, Y, epochs=epochs_before, callbacks=[saves, *WAYS[way]], **VALIDATED)
    ours.fit(X, Y, initial_epoch=epochs_before, epochs=5, **HOW)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(max_epochs=5, enable_model_summary=False, **quiet)
    batches = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y)), 8)
    trainer.fit(theirs.to_lightning(), batches, ckpt_path=saves.last_model_path)
    assert same(ours, theirs) and theirs.optimizer.iterations == trainer.global_step == 40


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("whose", ["ours", "Lightning's"])
def test_fit_goes_on_with_the_states_of_both_kinds(tmp_path, way, whose):
    def callbacks():
        stop = EarlyStopping(min_delta=10, patience=5)
        theirs = L.callbacks.EarlyStopping("val_loss", min_delta=10, patience=6)
        if whose == "ours":
            return [ModelCheckpoint(tmp_path / "{epoch}.ckpt"), stop, theirs]
        saves = L.callbacks.ModelCheckpoint(tmp_path, "{epoch}", "val_loss", save_top_k=-1)
        return [saves, stop, theirs]

    def fit(epochs, **more):
        model, used = classifier(), callbacks()
        history = model.fit(X, Y, epochs=epochs, callbacks=used + WAYS[way], **VALIDATED, **more)
        seen = [c.wait if isinstance(c, EarlyStopping) else c.wait_count for c in used[1:]]
        return model, dict(history.history), history.epoch, seen

    model, *whole = fit(20)
    fit(3)
    again, *rest = fit(20, resume=tmp_path / ("3.ckpt" if whose == "ours" else "epoch=2.ckpt"))
    assert same(model, again) and rest == whole and len(whole[1]) == 6 and whole[2] == [5, 5]


def dropping(seed):
    lk.utils.set_random_seed(seed)
    drops = [lk.layers.Dropout(0.3), lk.layers.Dropout(0.2, seed=4)]
    model = lk.Sequential([lk.Input((4,)), lk.layers.Dense(8), *drops, lk.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def draws(where, seed, loader=False, **more):
    """A training that draws: its order, what is dropped out; (weights, History, a last draw)."""
    model, saves = dropping(seed), ModelCheckpoint(f"{where}/{{epoch}}.ckpt")
    noise = LambdaCallback(on_epoch_end=lambda epoch, logs: np.random.rand(epoch))
    given = {"x": X, "y": X[:, :1], "batch_size": 8}
    if loader:
        rows = TensorDataset(torch.tensor(X), torch.tensor(X[:, :1]))
        given = {"x": DataLoader(rows, 8, shuffle=True)}
    history = model.fit(**given, verbose=0, callbacks=[saves, noise], **more)
    return model.get_weights(), history.history, torch.rand(()).item(), np.random.rand()


@pytest.mark.parametrize("loader", [False, True])
def test_random_numbers_go_on(tmp_path, loader):
    whole = draws(tmp_path, 1, epochs=5, loader=loader)
    again = draws(tmp_path, 2, epochs=5, loader=loader, resume=tmp_path / "3.ckpt")
    assert all(map(np.array_equal, whole[0], again[0]))
    assert whole[1:] == again[1:]


def group_draws(where):
    how = {"accelerator": "cpu", "strategy": "ddp", "devices": 2, "epochs": 4}
    return draws(where, 1, **how), draws(where, 2, **how, resume=f"{where}/2.ckpt")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the group is forked")
def test_random_numbers_of_every_process_go_on(tmp_path):
    for whole, again in on_group(2, group_draws, str(tmp_path)):
        assert all(map(np.array_equal, whole[0], again[0]))
        assert whole[1:] == again[1:]


@pytest.mark.parametrize("weights_only", [False, True])
def test_weights_of_a_ckpt(tmp_path, weights_only):
    """As the scripts of Keras 2 do it."""
    path = str(tmp_path / "training_1" / "cp-{epoch:04d}.ckpt")
    model, other = classifier(), classifier(1)
    saves = ModelCheckpoint(filepath=path, save_weights_only=weights_only, verbose=0)
    model.fit(X, Y, epochs=2, callbacks=[saves], **HOW)
    other.load_weights(path.format(epoch=2))
    assert same(model, other)
    stored = torch.load(path.format(epoch=1), weights_only=True)
    assert ("optimizer_states" in stored) == ("lightkeras" in stored) == (not weights_only)
    other.load_state_dict({k.removeprefix("model."): v for k, v in stored["state_dict"].items()})
    assert not same(model, other)
    assert sorted(os.listdir(tmp_path / "training_1")) == ["cp-0001.ckpt", "cp-0002.ckpt"]


def test_counts_in_the_middle_of_an_epoch(tmp_path):
    saves = ModelCheckpoint(tmp_path / "{epoch}-{batch}.ckpt", save_freq=3)
    classifier().fit(X, Y, epochs=2, callbacks=[saves], **HOW)
    names = sorted(os.listdir(tmp_path))
    assert names == ["1-3.ckpt", "1-6.ckpt", "2-1.ckpt", "2-4.ckpt", "2-7.ckpt"]
    stored = torch.load(tmp_path / "2-1.ckpt", weights_only=True)
    batches = stored["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    assert batches["current"]["ready"] == 1 and batches["total"]["ready"] == 9
    assert stored["global_step"] == 9 and not batches["is_last_batch"]
    for name in ("2-1.ckpt", "of its last batch.ckpt"):
        every = ModelCheckpoint(tmp_path / "of its last batch.ckpt", save_freq=8)
        classifier().fit(X, Y, callbacks=[every], **HOW)
        with pytest.raises(ValueError, match=r"in the middle of an epoch.*save_freq='epoch'"):
            classifier().fit(X, Y, epochs=2, resume=tmp_path / name, **HOW)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"no checkpoint at all"])
def test_a_damaged_ckpt_leaves_the_model_alone(tmp_path, damage):
    model = classifier()
    model.fit(X, Y, callbacks=[ModelCheckpoint(tmp_path / "m.ckpt")], **HOW)
    (tmp_path / "m.ckpt").write_bytes(damage((tmp_path / "m.ckpt").read_bytes()))
    before = classifier(1)
    with pytest.raises(LoadError, match=r"m\.ckpt could not be read as a checkpoint"):
        before.load_weights(tmp_path / "m.ckpt")
    assert same(before, classifier(1))


def test_code_in_a_ckpt_is_not_run(tmp_path):
    class Bad:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    torch.save({"state_dict": {"model.dense.weight": Bad()}}, tmp_path / "m.ckpt")
    with pytest.raises(LoadError, match="plain values and tensors"):
        classifier().load_weights(tmp_path / "m.ckpt")
    assert not (tmp_path / "made").exists()


def test_a_ckpt_of_another_model_is_refused(tmp_path):
    classifier().fit(X, Y, callbacks=[ModelCheckpoint(tmp_path / "m.ckpt")], **HOW)
    other = lk.Sequential([lk.Input((4,)), lk.layers.Dense(3)])
    with pytest.raises(LoadError, match=r"not in the model \(2\)"):
        other.load_weights(tmp_path / "m.ckpt")


def test_what_cannot_be_resumed(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no such file.*Check the path"):
        classifier().fit(X, Y, resume=tmp_path / "m.ckpt", **HOW)
    backup = lk.callbacks.BackupAndRestore(tmp_path / "b")
    with pytest.raises(ValueError, match=r"both say where to begin.*Leave the other out"):
        classifier().fit(X, Y, resume=tmp_path / "m.ckpt", callbacks=[backup], **HOW)
    saves = ModelCheckpoint(tmp_path / "m.ckpt")
    saves.set_model(classifier())
    with pytest.raises(ValueError, match=r"only fit\(\) has one.*m\.keras"):
        saves.on_epoch_end(0, {"loss": 1.0})


@pytest.mark.parametrize("name", ["best.h5", "best.hdf5", "best"])
@pytest.mark.parametrize("weights_only", [False, True])
@pytest.mark.filterwarnings("ignore:ModelCheckpoint")
def test_a_file_under_an_old_name_is_found_under_the_same(tmp_path, name, weights_only):
    """Scripts of Keras 2 save and load `best.h5`."""
    model, path = classifier(), str(tmp_path / name)
    model.fit(X, Y, callbacks=[ModelCheckpoint(path, save_weights_only=weights_only)], **HOW)
    again = classifier(1)
    with pytest.warns(UserWarning, match=r"best\.(keras|weights\.h5)' is read"):
        again.load_weights(path)
    assert same(model, again)
    if not weights_only:
        with pytest.warns(UserWarning, match=r"best\.keras' is read"):
            assert same(model, lk.models.load_model(path))
    os.remove(tmp_path / os.listdir(tmp_path)[0])
    with pytest.raises(LoadError, match="These endings can be read"):
        again.load_weights(path)


def test_words_of_lightning_in_the_wrong_place(tmp_path):
    with pytest.raises(TypeError, match=r"ckpt_path.*Type resume='last\.ckpt'"):
        classifier().fit(X, Y, ckpt_path="last.ckpt")
    with pytest.raises(AttributeError, match=r"Type model\.fit.*callbacks=\[EarlyStopping"):
        quiet_trainer(callbacks=[EarlyStopping()])
    assert not hasattr(EarlyStopping(), "state_key")


# ---- Lightning's names ------------------------------------------------------------------------


NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "arguments", "values", "best", "last"),
    [
        ("{epoch}", {}, [3, 1, 2], ("2", 1), "3"),
        ("{epoch}", {"mode": "max"}, [3, 1, 2], ("1", 3), "3"),
        ("{epoch}", {"save_best_only": True}, [3, 1, 2], ("2", 1), "2"),
        ("{epoch}", {}, [NAN, 2, NAN], ("2", 2), "3"),
        ("{epoch}", {}, [NAN, NAN], ("2", None), "2"),
        ("{epoch}", {"monitor": "other"}, [3, 1, 2], ("3", None), "3"),
        ("one", {}, [3, 1, 2], ("one", 2), "one"),  # the file that was best is no more
        ("{epoch}", {"save_best_only": True, "initial_value_threshold": 1}, [3, 1], ("", None), ""),
    ],
)
def test_where_the_best_is(tmp_path, name, arguments, values, best, last):
    saves = ModelCheckpoint(tmp_path / f"{name}.keras", **{"monitor": "loss", **arguments})
    saves.set_model(classifier())
    for epoch, value in enumerate(values):
        saves.on_epoch_end(epoch, {"loss": float(value)})
    place = lambda name: str(tmp_path / f"{name}.keras") if name else ""
    assert (saves.best_model_path, saves.best_model_score) == (place(best[0]), best[1])
    assert saves.last_model_path == place(last)


def test_early_stopping_has_the_names_of_lightning():
    ours, theirs = (k.callbacks.EarlyStopping("val_loss", 10, 2) for k in (lk, L))
    classifier().fit(X, Y, epochs=9, callbacks=[ours, theirs], **VALIDATED)
    assert ours.wait_count == theirs.wait_count == 2
    assert ours.stopped_epoch == theirs.stopped_epoch == 2
    assert ours.best_score == pytest.approx(float(theirs.best_score))


# ---- Lightning's callbacks and loggers --------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_lightnings_checkpoint_keeps_the_best_two(tmp_path, way):
    saves = L.callbacks.ModelCheckpoint(
        tmp_path, "{epoch}", "val_accuracy", mode="max", save_top_k=2, save_last=True
    )
    values = classifier().fit(X, Y, epochs=6, callbacks=[saves, *WAYS[way]], **VALIDATED).history
    best = sorted(values["val_accuracy"])[-2:]
    assert sorted(map(float, saves.best_k_models.values())) == pytest.approx(best)
    assert len(os.listdir(tmp_path)) == 3
    model = classifier(1)
    model.load_weights(saves.best_model_path)
    loss, accuracy = model.evaluate(X[:20], Y[:20], verbose=0)
    assert accuracy == pytest.approx(best[-1]) and loss == pytest.approx(
        values["val_loss"][torch.load(saves.best_model_path, weights_only=True)["epoch"]]
    )


@pytest.mark.parametrize("way", WAYS)
def test_lightnings_early_stopping(way):
    stop = L.callbacks.EarlyStopping(monitor="val_loss", min_delta=10, patience=2)
    history = classifier().fit(X, Y, epochs=9, callbacks=[stop, *WAYS[way]], **VALIDATED)
    assert history.epoch == [0, 1, 2] and stop.stopped_epoch == 2


class Told(Logger):
    """A logger of the user's own: the interface that those of W&B and MLflow have."""

    name, version = "told", "0"

    def __init__(self):
        super().__init__()
        self.rows, self.ends = [], []

    def log_hyperparams(self, params, *more, **others):
        pass

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, metrics))

    def finalize(self, status):
        self.ends.append(status)


@pytest.mark.parametrize("way", WAYS)
def test_a_logger_of_ones_own_hears_of_every_epoch(way):
    told = Told()
    history = classifier().fit(X, Y, epochs=3, logger=told, callbacks=WAYS[way], **VALIDATED)
    heard = {}
    for step, row in told.rows:
        heard.setdefault(step, {}).update(row)
    assert [row["epoch"] for row in heard.values()] == [0, 1, 2] and told.ends == ["success"]
    for name, values in history.history.items():
        assert [row[name] for row in heard.values()] == pytest.approx(values)


def test_loggers_of_lightning(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = [CSVLogger(tmp_path, "csv"), TensorBoardLogger(tmp_path, "board")]
    values = classifier().fit(X, Y, epochs=3, logger=loggers, **VALIDATED).history
    with open(tmp_path / "csv" / "version_0" / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    board = EventAccumulator(str(tmp_path / "board" / "version_0")).Reload()
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert [float(r[name]) for r in rows if r[name]] == pytest.approx(values[name]), name
        assert [e.value for e in board.Scalars(name)] == pytest.approx(values[name]), name


# ---- Trainers of one's own --------------------------------------------------------------------


class Stepping(lk.Model):
    """Steps of one's own, and a second optimizer."""

    def __init__(self):
        super().__init__()
        self.low, self.head = lk.layers.Dense(3, activation="relu"), lk.layers.Dense(2)
        self.low_optimizer = lk.optimizers.Adam(0.02)
        self.seen = lk.metrics.Mean(name="seen")
        self.taken = []

    def call(self, x):
        return self.head(self.low(x))

    def train_step(self, data):
        x, y = data
        self.taken.append("train")
        self.zero_grad()
        loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        loss.backward()
        for layer, optimizer in ((self.low, self.low_optimizer), (self.head, self.optimizer)):
            weights = layer.trainable_weights
            optimizer.apply([w.value.grad for w in weights], weights)
        self.seen.update_state(loss)
        return {"loss": loss, "seen": self.seen.result()}

    def test_step(self, data):
        self.taken.append("test")
        return {"correct": (self(data[0]).argmax(1) == data[1]).float().mean()}

    def predict_step(self, data):
        self.taken.append("predict")
        return self(data[0] if isinstance(data, (tuple, list)) else data).argmax(1)


def stepping(seed=0):
    lk.utils.set_random_seed(seed)
    model = Stepping()
    loss = lk.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(lk.optimizers.Adam(0.01), loss)
    model(X[:2])
    return model


def quiet_trainer(**flags):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return L.Trainer(enable_model_summary=False, **quiet, **flags)


def loader(*arrays):
    return DataLoader(TensorDataset(*map(torch.tensor, arrays)), 8)


def test_steps_of_ones_own_in_a_trainer_of_ones_own():
    ours, theirs = stepping(), stepping()
    history = ours.fit(X, Y, epochs=2, **VALIDATED).history
    trainer, module = quiet_trainer(max_epochs=2), theirs.to_lightning()
    trainer.fit(module, loader(X, Y), loader(X[:20], Y[:20]))
    assert same(ours, theirs) and trainer.global_step == 16
    for name, values in history.items():
        assert float(trainer.callback_metrics[name]) == pytest.approx(values[-1])
    rows = trainer.predict(module, loader(X))
    assert np.array_equal(np.concatenate(rows), ours.predict(X, verbose=0))
    assert theirs.taken[-8:] == ["predict"] * 8


def test_a_callback_that_is_no_more_is_named(tmp_path):
    classifier().fit(X, Y, callbacks=[ModelCheckpoint(tmp_path / "m.ckpt")], **HOW)
    said = r"^The \.ckpt file holds the state of ModelCheckpoint\(\), which is not among the callb"
    with pytest.warns(UserWarning, match=said):
        history = classifier().fit(X, Y, epochs=2, resume=tmp_path / "m.ckpt", **HOW)
    assert history.epoch == [0, 1]  # it had not heard of the first epoch's end


@pytest.mark.parametrize("own_trainer", [False, True])
def test_every_optimizer_is_in_the_ckpt(tmp_path, own_trainer):
    once, twice, again = stepping(), stepping(), stepping(1)
    once.fit(X, Y, epochs=4, **HOW)
    saves = ModelCheckpoint(tmp_path / "m.ckpt")
    twice.fit(X, Y, epochs=2, callbacks=[saves], **HOW)
    if own_trainer:
        trainer = quiet_trainer(max_epochs=4)
        trainer.fit(again.to_lightning(), loader(X, Y), ckpt_path=tmp_path / "m.ckpt")
    else:
        again.fit(X, Y, epochs=4, resume=tmp_path / "m.ckpt", **HOW)
    assert same(once, again) and again.low_optimizer.iterations == 32


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", [classifier, stepping])
def test_fit_goes_on_from_a_trainer_of_ones_own(tmp_path, make, way):
    once, twice, again = make(), make(), make(1)
    once.fit(X, Y, epochs=4, **HOW)
    trainer = quiet_trainer(max_epochs=2)
    trainer.fit(twice.to_lightning(), loader(X, Y))
    trainer.save_checkpoint(tmp_path / "theirs.ckpt")
    history = again.fit(X, Y, epochs=4, resume=tmp_path / "theirs.ckpt", callbacks=WAYS[way], **HOW)
    assert same(once, again) and history.epoch == [2, 3]


def test_hooks_of_ones_own_in_a_subclass():
    model, seen = classifier(), []

    class Mine(type(model.to_lightning())):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            seen.append((batch_idx, float(outputs["loss"])))

        def on_train_epoch_end(self):
            super().on_train_epoch_end()
            seen.append(("epoch", float(self.trainer.callback_metrics["loss"])))

        def on_before_optimizer_step(self, optimizer):
            for p in self.model.parameters():
                p.grad.zero_()

    quiet_trainer(max_epochs=2).fit(Mine(model), loader(X, Y))
    assert [where for where, _ in seen] == [*range(8), "epoch"] * 2
    assert same(model, classifier())  # no gradient was left


# ---- several processes ------------------------------------------------------------------------


def group_saves(folder):
    """Both kinds of `.ckpt` on every process; what ends where one has another `best`."""
    one = ModelCheckpoint(f"{folder}/{{epoch}}.ckpt", "loss", save_best_only=True)
    two = ModelCheckpoint(f"{folder}/b.ckpt", "loss", save_best_only=True, save_freq=2)
    model = classifier()
    how = {"accelerator": "cpu", "strategy": "ddp", "devices": 2, **HOW}
    model.fit(X, Y, epochs=2, callbacks=[one, two], **how)
    again = classifier(1)
    again.load_weights(one.best_model_path)
    return one.best_model_path, two.best_model_score, same(model, again), model.get_weights()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the group is forked")
def test_several_processes_write_one_file(tmp_path):
    (path, *_, alike, weights), (other, *_, weights_too) = on_group(2, group_saves, str(tmp_path))
    assert path == other == f"{tmp_path}/2.ckpt" and alike
    assert all(map(np.array_equal, weights, weights_too))
    assert sorted(os.listdir(tmp_path)) == ["1.ckpt", "2.ckpt", "b.ckpt"]


def group_steps(own_trainer):
    model = stepping()
    flags = {"accelerator": "cpu", "strategy": "ddp", "devices": 2}
    if own_trainer:
        trainer = quiet_trainer(max_epochs=2, use_distributed_sampler=False, **flags)
        share = slice(trainer.global_rank, 48, 2)
        batches = DataLoader(TensorDataset(torch.tensor(X[share]), torch.tensor(Y[share])), 4)
        trainer.fit(model.to_lightning(), batches)
    else:
        model.fit(X[:48], Y[:48], epochs=2, **flags, **HOW)
    return model.get_weights()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the group is forked")
@pytest.mark.parametrize("own_trainer", [False, True])
def test_steps_of_ones_own_in_several_processes(own_trainer):
    alone = stepping()
    alone.fit(X[:48], Y[:48], epochs=2, **HOW)
    one, two = on_group(2, group_steps, own_trainer)
    for here, there, whole in zip(one, two, alone.get_weights(), strict=True):
        assert np.array_equal(here, there)
        np.testing.assert_allclose(here, whole, rtol=1e-4, atol=1e-5)
