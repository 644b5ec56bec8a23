"""Lightning's callbacks and loggers in `fit`: each does what it does in a Trainer of one's own."""

import os

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from _group import on_group
from lightning.pytorch.callbacks import model_checkpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.tuner import Tuner
from torch.utils.data import DataLoader, TensorDataset

import lightkeras as lk
from lightkeras.callbacks import Callback, LambdaCallback, ModelCheckpoint

C = L.callbacks
R = np.random.RandomState(0)
X = R.rand(60, 4).astype("float32")
Y = (X.sum(1) > 2).astype("int64")
TRAIN, VAL = (X[:45], Y[:45]), (X[45:], Y[45:])
HOW = {"batch_size": 10, "shuffle": False, "verbose": 0}
QUIET = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def classifier(seed=0):
    lk.utils.set_random_seed(seed)
    dense = lk.layers.Dense
    model = lk.Sequential([lk.Input((4,)), dense(3, activation="relu"), dense(2)])
    loss = lk.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(lk.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
    return model


def loader(x, y):
    return DataLoader(TensorDataset(torch.tensor(x), torch.tensor(y)), 10)


def same(one, other):
    return all(map(np.allclose, one.get_weights(), other.get_weights()))


class Told(Logger):
    """A logger that writes down what it hears."""

    name, version = "told", "0"

    def __init__(self):
        super().__init__()
        self.rows, self.files = [], []

    def log_hyperparams(self, params, *more, **others):
        pass

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, dict(metrics)))

    def after_save_checkpoint(self, callback):
        there = os.path.getsize(callback.last_model_path) > 0
        self.files.append((os.path.basename(callback.last_model_path), there))


def both_ways(make, epochs=4, **flags):
    """[(model, logger, callback)]: of `fit`, and of a Trainer of one's own."""
    found = []
    for own in (False, True):
        model, told, callback = classifier(), Told(), make()
        given = {"logger": told, "log_every_n_steps": 2, "callbacks": [callback], **flags}
        if own:
            trainer = L.Trainer(max_epochs=epochs, num_sanity_val_steps=0, **{**QUIET, **given})
            trainer.fit(model.to_lightning(), loader(*TRAIN), loader(*VAL))
        else:
            model.fit(*TRAIN, epochs=epochs, validation_data=VAL,
                      validation_batch_size=10, **HOW, **given)  # fmt: skip
        found.append((model, told, callback))
    return found


# ---- callbacks --------------------------------------------------------------------------------

CALLBACKS = {
    "rates of steps": lambda: C.LearningRateMonitor("step", log_momentum=True),
    "rates of epochs": lambda: C.LearningRateMonitor("epoch"),
    "averages at the end": lambda: C.StochasticWeightAveraging(0.05, 2, annealing_epochs=1),
    "accumulation": lambda: C.GradientAccumulationScheduler({0: 2, 2: 3}),
    "a timer": lambda: C.Timer({"hours": 1}),
    "a timer that is over": lambda: C.Timer({"seconds": 0}),
    "pruning": lambda: C.ModelPruning("l1_unstructured", amount=0.5),
    "a stop": lambda: C.EarlyStopping("val_loss", min_delta=10, patience=1),
    "a stop by training": lambda: C.EarlyStopping("loss", min_delta=10, patience=1),
    "throughput": lambda: C.ThroughputMonitor(batch_size_fn=lambda batch: len(batch[0])),
    "averages": lambda: C.EMAWeightAveraging(decay=0.5),
}


def shown(row):
    """A row of a logger without what is measured."""
    step, values = row
    return step, {k: v for k, v in values.items() if "time" not in k and "_per_sec" not in k}


@pytest.mark.parametrize("name", CALLBACKS)
@pytest.mark.filterwarnings("ignore")
def test_a_callback_of_lightning(name):
    if name == "averages" and not hasattr(C, "EMAWeightAveraging"):
        pytest.skip("this Lightning has none")
    (ours, told, _), (theirs, heard, _) = both_ways(CALLBACKS[name])
    assert same(ours, theirs)
    assert len(told.rows) == len(heard.rows)
    for here, there in zip(map(shown, told.rows), map(shown, heard.rows), strict=True):
        assert here[0] == there[0] and here[1] == pytest.approx(there[1])


def test_a_pruned_model_goes_on_with_its_masks():
    model = classifier()
    pruning = C.ModelPruning("l1_unstructured", amount=0.5, make_pruning_permanent=False)
    model.fit(*TRAIN, callbacks=[pruning], **HOW)
    before = [p.detach().clone() for p in model.parameters()]
    masks = [m.clone() for n, m in model.named_buffers() if n.endswith("weight_mask")]
    assert len(masks) == 2 and len(model.evaluate(*VAL, verbose=0)) == 2
    model.fit(*TRAIN, **HOW)
    assert not all(map(torch.equal, before, model.parameters()))
    for layer, mask in zip(model.layers, masks, strict=True):
        assert (layer.weight[mask == 0] == 0).all() and (layer.weight[mask == 1] != 0).any()


def test_a_subclass_with_a_training_step_of_its_own_has_its_own_logs():
    model = classifier()

    class Mine(type(model.to_lightning())):
        def training_step(self, batch, batch_idx):
            loss = torch.nn.functional.cross_entropy(self(batch[0]), batch[1])
            self.log("mine", loss, on_epoch=True)
            return loss

    trainer = L.Trainer(max_epochs=1, logger=False, callbacks=[Watch()], **QUIET)
    trainer.fit(Mine(model), loader(*TRAIN), loader(*VAL))
    names = sorted(trainer.callback_metrics)
    assert names == ["mine", "mine_epoch", "mine_step", "val_accuracy", "val_loss"]
    assert not same(model, classifier())


@pytest.mark.parametrize("kind", ["TQDMProgressBar", "RichProgressBar"])
@pytest.mark.filterwarnings("ignore")
def test_a_progress_bar_of_lightning_is_alone_and_shows_what_an_epoch_gave(kind, capsys):
    pytest.importorskip("rich" if "Rich" in kind else "tqdm")
    history = (
        classifier()
        .fit(*TRAIN, epochs=2, batch_size=10, validation_data=VAL, callbacks=[getattr(C, kind)()])
        .history
    )
    said = "".join(capsys.readouterr())
    assert "ms/step" not in said and "5/5" in said  # ours would tell the time of a step
    assert f"{history['val_loss'][0]:.3f}"[:4] in said and "accuracy" in said


@pytest.mark.filterwarnings("ignore")
def test_a_summary_of_lightning_is_of_a_model_that_trains(capsys):
    pytest.importorskip("rich")
    both_ways(C.RichModelSummary, epochs=1, enable_model_summary=True)
    said = capsys.readouterr().out
    assert said.count("Modules in train mode: 3") == said.count("Trainable params: 23") == 2


def watching(seen):
    """A callback of Lightning's that writes down the batches that it is shown."""

    def note(hook):
        def call(trainer, module, *where):
            batch, number = where[hook.endswith("end") :][:2]
            seen.append((hook, trainer.current_epoch, number, [tuple(t.shape) for t in batch]))

        return call

    hooks = [f"on_{m}_batch_{end}" for m in ("train", "validation") for end in ("start", "end")]
    return C.LambdaCallback(**{hook: note(hook) for hook in hooks})


def test_batches_are_shown_as_in_a_trainer_of_ones_own():
    seen = []
    both_ways(lambda: watching(seen), epochs=2)
    half = len(seen) // 2
    assert seen[:half] == seen[half:] and half == 2 * 2 * (5 + 2)
    assert seen[0] == ("on_train_batch_start", 0, 0, [(10, 4), (10,)])


class Batches(C.Callback):
    """Sees the batches of a validation."""

    def __init__(self):
        self.seen = []

    def on_validation_batch_end(self, trainer, module, outputs, batch, number, dataloader_idx=0):
        self.seen.append([len(part) for part in batch])


@pytest.mark.parametrize("limit, seen", [(2, 2), (0.5, 3), (0.34, 2), (1.0, 6)])
def test_a_limit_of_validation_is_about_its_batches(limit, seen):
    callback = Batches()
    given = {"validation_data": (X, Y), "validation_batch_size": 10, "limit_val_batches": limit}
    classifier().fit(X, Y, sample_weight=np.ones(60), callbacks=[callback], **given, **HOW)
    assert callback.seen == [[10, 10]] * seen


class Hooks(Callback):
    """Writes down which hooks are called."""

    def __init__(self):
        self.seen = []

    def on_train_begin(self, logs=None):
        self.seen.append("train")

    def on_test_begin(self, logs=None):
        self.seen.append("test")


@pytest.mark.parametrize("trainers", [False, True])
def test_there_is_no_validation_before_training(trainers):
    hooks, batches = Hooks(), Batches()
    given = {"num_sanity_val_steps": 2}
    if trainers:
        given = {"trainer": L.Trainer(logger=False, **given, **QUIET)}
    history = classifier().fit(*TRAIN, validation_data=VAL, callbacks=[hooks, batches], **given,
                               **HOW).history  # fmt: skip
    assert hooks.seen == ["train", "test"] and len(history["val_loss"]) == 1
    assert batches.seen == [[10, 10], [5, 5]]


def test_values_of_an_epoch_are_there_at_its_end():
    """Also for callbacks of Lightning's that are called before the module is."""
    seen = []

    class Looks(C.Callback):
        def on_train_epoch_end(self, trainer, module):
            seen.append({k: float(v) for k, v in trainer.callback_metrics.items()})

    (_, told, _), _ = both_ways(Looks, epochs=2)
    rows = [{**told.rows[i][1], **told.rows[i + 1][1]} for i in (0, 2)]
    for found, row in zip(seen, rows * 2, strict=True):
        assert found == pytest.approx({k: row[k] for k in found})
    assert sorted(seen[0]) == ["accuracy", "loss", "val_accuracy", "val_loss"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("trainers", [False, True])
def test_what_wants_a_trainer_of_ones_own_is_refused(trainers):
    words = {C.LearningRateFinder: "tries.*not fit.*Tuner.trainer.*lr_find.*datamodule",
             C.BatchSizeFinder: "tries.*not fit.*Tuner.trainer.*scale_batch_size",
             C.BackboneFinetuning: r"freezes.*Trainer.callbacks=.*fit.model.to_l"}  # fmt: skip
    for kind, text in words.items():
        given = {"callbacks": [kind()]}
        if trainers:
            given = {"trainer": L.Trainer(logger=False, **given, **QUIET)}
        with pytest.raises(ValueError, match=f"got a {kind.__name__}. It {text}"):
            classifier().fit(*TRAIN, **given, **HOW)


def test_evaluate_and_predict_take_callbacks_of_keras():
    for call, data in (("evaluate", TRAIN), ("predict", TRAIN[:1])):
        with pytest.raises(TypeError, match=r"Watch, one of Lightning's.*Type Trainer.*predict"):
            getattr(classifier(), call)(*data, callbacks=[Watch()], verbose=0)


@pytest.mark.parametrize("given, error", [
    ({"validation_data": VAL}, pytest.raises(Exception, match="could not find the monitored key")),
    ({}, pytest.warns(UserWarning, match="could not find the monitored key")),
], ids=["validated", "not validated"])  # fmt: skip
def test_a_checkpoint_of_lightning_says_that_its_value_is_not_there(tmp_path, given, error):
    model_checkpoint.warning_cache.clear()  # it is said once in a process
    with error:
        classifier().fit(
            *TRAIN, callbacks=[C.ModelCheckpoint(tmp_path, monitor="val_los")], **given, **HOW
        )


@pytest.mark.filterwarnings("ignore")
def test_what_looks_for_settings_finds_them_in_a_trainer_of_ones_own(tmp_path):
    model = classifier()
    trainer, module = L.Trainer(default_root_dir=tmp_path, **QUIET), model.to_lightning()
    how = {"num_training": 20, "update_attr": False, "early_stop_threshold": None}
    found = Tuner(trainer).lr_find(module, loader(*TRAIN), **how)
    assert len(found.results["lr"]) == 20 and same(model, classifier())
    assert module.lr == pytest.approx(0.1)
    module.lr = 0.02
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)


def test_a_checkpoint_of_an_exception(tmp_path):
    def fail(epoch, logs):
        raise RuntimeError("in a callback")

    model, last = classifier(), LambdaCallback(on_epoch_end=fail)
    with pytest.raises(RuntimeError, match="in a callback"):
        model.fit(*TRAIN, callbacks=[C.OnExceptionCheckpoint(tmp_path), last], **HOW)
    again = classifier(1)
    again.load_weights(tmp_path / "on_exception.ckpt")
    assert same(model, again)


# ---- at which step loggers write --------------------------------------------------------------


class Watch(C.Callback):
    def on_train_batch_end(self, *where):
        pass


WAYS = {"many at a time": [], "one by one": [Watch()], "hooks": [
    LambdaCallback(on_train_batch_end=lambda batch, logs: None)]}  # fmt: skip


def steps(told):
    return sorted({step for step, _ in told.rows})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("log_every_n_steps", [1, 5])
def test_rows_of_a_logger_are_those_of_a_trainer_of_ones_own(way, log_every_n_steps):
    ours, theirs = Told(), Told()
    given = {"log_every_n_steps": log_every_n_steps, "callbacks": WAYS[way]}
    classifier().fit(*TRAIN, epochs=3, validation_data=VAL, logger=ours, **given, **HOW)
    flags = {"num_sanity_val_steps": 0, "log_every_n_steps": log_every_n_steps, **QUIET}
    trainer = L.Trainer(max_epochs=3, logger=theirs, **flags)
    trainer.fit(classifier().to_lightning(), loader(*TRAIN), loader(*VAL))
    assert steps(ours) == [4, 9, 14]
    assert [step for step, _ in ours.rows] == [step for step, _ in theirs.rows]
    for (_, here), (_, there) in zip(ours.rows, theirs.rows, strict=True):
        assert here == pytest.approx(there)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["ckpt", "backup", "generator"])
def test_steps_of_a_logger_go_on(tmp_path, way, kind):
    def fit(epochs, **more):
        told = Told()
        callbacks = [ModelCheckpoint(tmp_path / "m.ckpt"), *WAYS[way]]
        classifier().fit(*TRAIN, epochs=epochs, logger=told, callbacks=callbacks, **HOW, **more)
        return steps(told)

    if kind == "generator":
        told, pairs = Told(), ((X[i : i + 9], Y[i : i + 9]) for i in range(6))
        data = DataLoader(list(pairs), batch_size=None)
        classifier().fit(data, epochs=2, logger=told, callbacks=WAYS[way], verbose=0)
        assert steps(told) == [5, 11]
    elif kind == "ckpt":
        assert fit(2) == [4, 9]
        assert fit(4, resume=tmp_path / "m.ckpt") == [14, 19]
    else:
        stop = LambdaCallback(on_epoch_begin=lambda epoch, logs: 1 / (2 - epoch))
        with pytest.raises(ZeroDivisionError):
            WAYS[way].append(stop)
            try:
                fit(4, resume=tmp_path / "backup")
            finally:
                WAYS[way].remove(stop)
        assert fit(4, resume=tmp_path / "backup") == [14, 19]


# ---- which epochs are validated ---------------------------------------------------------------


class Validations(C.Callback):
    """Writes down when a validation begins and ends, and what is known then."""

    def __init__(self):
        self.seen = []

    def on_validation_start(self, trainer, module):
        self.seen.append((trainer.current_epoch, trainer.global_step))

    def on_validation_end(self, trainer, module):
        values = trainer.callback_metrics
        self.seen.append((trainer.current_epoch, float(values["val_loss"])))


def validated(folder, freq, way="many at a time", epochs=6, **given):
    """What Lightning's callbacks and logger, and History, have seen."""
    told, seen = Told(), Validations()
    told.after_save_checkpoint = lambda callback: None
    stops = C.EarlyStopping("val_loss", min_delta=10, patience=given.pop("patience", 9))
    saves = C.ModelCheckpoint(folder, "{epoch}", monitor="val_loss", save_top_k=-1)
    if "trainer" in given:
        given["trainer"].loggers = [told]
    else:
        given["logger"] = told
    given = {"callbacks": [saves, seen, stops, *WAYS[way]], **given, **HOW}
    history = classifier().fit(*TRAIN, epochs=epochs, validation_data=VAL, validation_freq=freq,
                               **given).history  # fmt: skip
    files = sorted(os.path.basename(path) for path in saves.best_k_models)
    return seen.seen, told.rows, files, (stops.wait_count, stops.stopped_epoch), history


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("trainers", [False, True])
def test_a_list_of_epochs_is_validated_as_a_number_of_them(tmp_path, way, trainers):
    def found(freq, name):
        given = {"trainer": L.Trainer(logger=False, **QUIET)} if trainers else {}
        return validated(tmp_path / name, freq, way, **given)

    listed, counted = found([2, 4, 6], "a"), found(2, "b")
    assert listed == counted
    seen, rows, files, (wait, _), history = listed
    assert [epoch for epoch, _ in seen[::2]] == [epoch for epoch, _ in seen[1::2]] == [1, 3, 5]
    assert [value for _, value in seen[1::2]] == pytest.approx(history["val_loss"])
    assert [step for step, row in rows if "val_loss" in row] == [9, 19, 29] and wait == 2
    assert files == ["epoch=1.ckpt", "epoch=3.ckpt", "epoch=5.ckpt"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("freq, epochs, stopped", [([1, 4, 5], [0, 3], 3), ([5], [4], 0)])
def test_what_watches_validation_stops_at_one_that_is_listed(tmp_path, freq, epochs, stopped):
    seen, _, files, stop, history = validated(tmp_path, freq, patience=1)
    assert [epoch for epoch, _ in seen[::2]] == epochs
    assert files == [f"epoch={epoch}.ckpt" for epoch in epochs]
    assert stop == (len(epochs) - 1, stopped) and len(history["loss"]) == (stopped or 5) + 1


@pytest.mark.filterwarnings("ignore")
def test_a_trainer_is_given_back_as_it_was(tmp_path):
    trainer = L.Trainer(logger=False, **QUIET)
    first = validated(tmp_path / "1", [1, 3], epochs=3, trainer=trainer)
    assert (trainer.check_val_every_n_epoch, trainer.max_epochs) == (1, None)
    assert len(trainer.callbacks) == 3 and trainer.checkpoint_callback.best_model_path
    again = validated(tmp_path / "2", [1, 3], epochs=3, trainer=trainer)
    assert again[0][1::2] == first[0][1::2] and again[2:] == first[2:]  # steps are counted on
    assert len(trainer.callbacks) == 3  # those of the first `fit` have made place
    classifier().fit(*TRAIN, trainer=trainer, epochs=4, validation_data=VAL, validation_freq=4,
                     **HOW)  # fmt: skip
    assert trainer.callbacks == []
    trainer = L.Trainer(logger=False, check_val_every_n_epoch=3, **QUIET)
    with pytest.raises(ValueError, match=r"validation_freq=\[2, 5\].*n_epoch=3.*Leave"):
        validated(tmp_path, [5, 2], trainer=trainer)
    trainer = L.Trainer(logger=False, fast_dev_run=True, **QUIET)
    assert [epoch for epoch, _ in validated(tmp_path, [5], trainer=trainer)[0]] == [0, 0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["ckpt", "backup"])
def test_a_list_of_epochs_goes_on(tmp_path, way, kind):
    """From the end of an epoch, and from the middle of the one that is validated."""
    freq = [1, 3, 4, 6]

    def run(epochs=6, **given):
        seen, *_, history = validated(tmp_path / "their", freq, way, epochs, **given)
        return seen, history

    whole, history = run()
    if kind == "ckpt":
        saves = ModelCheckpoint(tmp_path / "m.ckpt")
        run(3, callbacks=[saves, *WAYS[way]])
        seen, again = run(resume=tmp_path / "m.ckpt")
    else:

        class Stop(Validations):
            def on_validation_start(self, trainer, module):
                if trainer.current_epoch == 3:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(callbacks=[Stop(), *WAYS[way]], resume=tmp_path / "backup")
        seen, again = run(resume=tmp_path / "backup")
    assert seen == whole[4:]
    assert again["val_loss"][-2:] == history["val_loss"][-2:]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("freq", [2, [2, 4]], ids=["counted", "listed"])
def test_files_of_lightning_are_gone_on_from_where_epochs_had_ended(tmp_path, freq):
    """It saves before that by itself where not every epoch is validated."""
    how = {"validation_data": VAL, "validation_freq": freq, **HOW}

    def run(name, **given):
        saves = C.ModelCheckpoint(tmp_path, name, **given)
        classifier().fit(*TRAIN, epochs=2, callbacks=[saves], **how)
        model = classifier(1)
        model.fit(*TRAIN, epochs=4, resume=tmp_path / f"{name}.ckpt", **how)
        return model

    with pytest.raises(ValueError, match=r"middle of an.*save_on_train_epoch_end=True.*'a_folder'"):
        run("before")
    whole = classifier()
    whole.fit(*TRAIN, epochs=4, **how)
    assert same(run("after", save_on_train_epoch_end=True), whole)


def validated_together(folder, freq):
    return validated(f"{folder}/{freq}", freq, accelerator="cpu", strategy="ddp", devices=2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the group is forked")
def test_several_processes_validate_the_epochs_that_are_listed(tmp_path):
    [alone, *_], others = validated(tmp_path, [1, 4]), []
    for seen, *_ in on_group(2, validated_together, str(tmp_path), [1, 4]):
        others.append(seen)
    assert others[0] == others[1] and [where for where, _ in alone] == [0, 0, 3, 3]
    for here, there in zip(others[0], alone, strict=True):
        assert here == pytest.approx(there)


# ---- which files loggers hear of --------------------------------------------------------------

FILES = {
    "{epoch}.keras": ({}, ["1.keras", "2.keras", "3.keras"]),
    "{epoch}.ckpt": ({}, ["1.ckpt", "2.ckpt", "3.ckpt"]),
    "w.weights.h5": ({"save_weights_only": True}, ["w.weights.h5"] * 3),
    "w.safetensors": ({"save_weights_only": True, "save_freq": 6}, ["w.safetensors"] * 2),
    "b.keras": ({"save_best_only": True, "initial_value_threshold": 0.0}, []),
}


@pytest.mark.parametrize("name", FILES)
def test_loggers_hear_of_the_files_of_a_checkpoint(tmp_path, name):
    more, files = FILES[name]
    saves, told = ModelCheckpoint(tmp_path / name, monitor="loss", **more), Told()
    history = classifier().fit(*TRAIN, epochs=3, logger=told, callbacks=[saves], **HOW).history
    assert told.files == [(file, True) for file in files]
    if "{" in name:
        scores = {str(tmp_path / f): v for f, v in zip(files, history["loss"], strict=True)}
        assert saves.best_k_models == pytest.approx(scores)
        assert saves.current_score == history["loss"][-1]
    elif files:
        assert list(saves.best_k_models) == [str(tmp_path / name)]
    again = ModelCheckpoint(tmp_path / name, monitor="loss", **more)
    again.load_state_dict(saves.state_dict())
    assert again.best_k_models == saves.best_k_models
    again.load_state_dict({"best": 3.0})  # of a version that knew less
    assert again.best == 3.0 and again.best_k_models == saves.best_k_models


def group_files(folder):
    told = Told()
    saves = [ModelCheckpoint(f"{folder}/{{epoch}}{end}") for end in (".keras", ".ckpt")]
    flags = {"accelerator": "cpu", "strategy": "ddp", "devices": 2}
    classifier().fit(*TRAIN, epochs=2, validation_data=VAL, callbacks=saves, logger=told, **flags,
                     **HOW)  # fmt: skip
    return told.files, steps(told)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the group is forked")
def test_the_first_of_several_processes_tells_of_files(tmp_path):
    (files, where), (others, _) = on_group(2, group_files, str(tmp_path))
    assert [name for name, _ in files] == ["1.keras", "1.ckpt", "2.keras", "2.ckpt"]
    assert others == [] and where == [4, 9]
