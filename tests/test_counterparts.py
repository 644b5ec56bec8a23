"""`EarlyStopping` and `ModelCheckpoint` as a Trainer of Lightning's knows them."""

import os

import lightning.pytorch as L
import numpy as np
import pytest
from _group import on_group
from test_lightning_beside import HOW, QUIET, TRAIN, VAL, classifier, loader

from lightkeras import _training as training
from lightkeras.callbacks import EarlyStopping, LearningRateScheduler, ModelCheckpoint

C = L.callbacks
SEEN = ("wait_count", "stopped_epoch", "stopping_reason", "patience", "monitor", "mode")

STOPS = {
    "has not stopped": (("val_loss", 0.0, 9), 4),
    "waits": (("val_loss", 1.0, 9), 6),
    "has stopped": (("val_loss", 1.0, 2), 8),
    "looks at the greater": (("val_accuracy", 0.0, 3), 8),
}


def trainer(epochs=None, **flags):
    return L.Trainer(max_epochs=epochs, accelerator="cpu", logger=False, **QUIET, **flags)


def fit(model, epochs, trainer, *callbacks, **more):
    more = {"validation_data": VAL, "epochs": epochs, "trainer": trainer, **HOW, **more}
    return model.fit(*TRAIN, callbacks=list(callbacks), **more)


@pytest.mark.parametrize("name", STOPS)
def test_early_stopping_is_known_as_lightnings(name):
    (monitor, least, patience), epochs = STOPS[name]
    mode = "max" if "accuracy" in monitor else "min"
    theirs = C.EarlyStopping(monitor, least, patience, mode=mode)
    alone = L.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, callbacks=[theirs], **QUIET
    )
    fit(classifier(), epochs, alone)

    asked = trainer()
    ours = EarlyStopping(monitor, least, patience)
    fit(classifier(), epochs, asked, ours)
    known = asked.early_stopping_callback
    assert isinstance(known, C.EarlyStopping)
    for attribute in SEEN:
        assert getattr(known, attribute) == getattr(theirs, attribute), attribute
    assert known.min_delta == theirs.min_delta
    assert known.best_score == pytest.approx(theirs.best_score) == ours.best


def test_lightning_counts_on_from_a_file_of_ours(tmp_path):
    stops = EarlyStopping("val_loss", min_delta=1.0, patience=9)
    fit(classifier(), 6, trainer(), stops, ModelCheckpoint(tmp_path / "m.ckpt"))
    theirs = C.EarlyStopping("val_loss", 1.0, 9)
    goes_on = L.Trainer(max_epochs=7, accelerator="cpu", logger=False, callbacks=[theirs], **QUIET)
    goes_on.fit(
        classifier(1).to_lightning(), loader(*TRAIN), loader(*VAL), ckpt_path=tmp_path / "m.ckpt"
    )
    assert stops.wait > 0 and theirs.wait_count == stops.wait + 1
    assert theirs.best_score == pytest.approx(stops.best)


@pytest.mark.parametrize("name", ["best.ckpt", "{epoch:02d}.ckpt", "in/{epoch}.keras"])
def test_a_checkpoint_is_known_as_lightnings(tmp_path, name):
    asked, saves = trainer(), ModelCheckpoint(tmp_path / name, "val_accuracy", save_best_only=True)
    model = classifier()
    history = fit(model, 6, asked, saves).history["val_accuracy"]
    known = asked.checkpoint_callback
    assert isinstance(known, C.ModelCheckpoint) and asked.checkpoint_callbacks == [known]
    assert known.best_model_path == saves.best_model_path and os.path.exists(saves.best_model_path)
    assert known.last_model_path == saves.last_model_path
    assert known.best_model_score == pytest.approx(max(history))
    assert {p: float(s) for p, s in known.best_k_models.items()} == saves.best_k_models
    assert (known.monitor, known.mode) == ("val_accuracy", "max")
    assert known.save_top_k == (-1 if "{" in name else 1)
    assert known.dirpath == os.path.realpath(tmp_path / os.path.dirname(name))


def test_a_trainer_tests_the_best(tmp_path):
    asked, saves = trainer(), ModelCheckpoint(tmp_path / "b.ckpt", save_best_only=True)
    model = classifier()
    history = fit(model, 5, asked, saves).history["val_loss"]
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    [found] = asked.test(model.to_lightning(), loader(*VAL), ckpt_path="best", verbose=False)
    assert found["test_loss"] == pytest.approx(min(history), rel=1e-5)


def test_fits_with_one_trainer_leave_one_counterpart():
    asked, mine = trainer(), C.Callback()
    asked.callbacks.append(mine)
    stops = [EarlyStopping("loss", patience=n) for n in (3, 4)]
    for stop in stops:
        fit(classifier(), 1, asked, stop)
        asked.fit_loop.epoch_progress.reset()
    assert [c.patience for c in asked.early_stopping_callbacks] == [4]
    fit(classifier(), 1, asked)
    assert asked.callbacks == [mine]


def trainers():
    """A list that every Trainer joins that `fit` makes."""
    made, was = [], training._trainer
    training._trainer = lambda *args: made.append(was(*args)) or made[-1]
    return made


def what_is_known(folder, strategy):
    made = trainers()
    stops, saves = EarlyStopping("loss"), ModelCheckpoint(f"{folder}/m.ckpt", "loss")
    flags = {"accelerator": "cpu", "strategy": strategy, "devices": 2}
    fit(classifier(), 2, None, stops, saves, **flags)
    [trainer] = made
    same = float(trainer.early_stopping_callback.best_score) == stops.best
    return same, trainer.checkpoint_callback.best_model_path, stops.best


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the group is forked")


@forks
def test_every_process_knows_the_same(tmp_path):
    one, other = on_group(2, what_is_known, str(tmp_path), "ddp")
    assert one == other and one[:2] == (True, str(tmp_path / "m.ckpt"))


@forks
def test_who_started_processes_knows_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_trainer", training._trainer)  # put back afterwards
    assert what_is_known(tmp_path, "ddp_fork")[:2] == (True, str(tmp_path / "m.ckpt"))


def test_lightnings_callbacks_see_the_rate_that_keras_has_set_for_an_epoch():
    seen = []

    class Looks(L.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    asked = trainer(callbacks=[Looks()])
    fit(classifier(), 3, asked, LearningRateScheduler(lambda epoch: 0.5 / (epoch + 1)))
    assert seen == pytest.approx([0.5, 0.25, 0.5 / 3])
    assert [type(c) for c in asked.callbacks if "lightkeras" in type(c).__module__] == []
