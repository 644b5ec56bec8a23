"""Weights & Biases and MLflow, through Lightning's loggers: what they were given is read back."""

import json
import os
import time
from pathlib import Path

import lightning.pytorch as L
import numpy as np
import pytest
from _group import on_group
from lightning.pytorch.loggers import MLFlowLogger, WandbLogger

import lightkeras as lk
from lightkeras.callbacks import ModelCheckpoint

R = np.random.RandomState(0)
X = R.rand(60, 4).astype("float32")
Y = (X.sum(1) > 2).astype("int64")
HOW = {"batch_size": 10, "shuffle": False, "verbose": 0, "validation_data": (X[:20], Y[:20])}
STEPS = [5, 11, 17]  # the last of each epoch

pytestmark = pytest.mark.filterwarnings("ignore")


def classifier(seed=0):
    lk.utils.set_random_seed(seed)
    model = lk.Sequential([lk.Input((4,)), lk.layers.Dense(3), lk.layers.Dense(2)])
    loss = lk.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def same(one, other):
    return all(map(np.array_equal, one.get_weights(), other.get_weights()))


SAVES = {
    "{epoch}.keras": {},
    "{epoch}.ckpt": {},
    "best.keras": {"save_best_only": True, "monitor": "loss"},
    "w.weights.h5": {"save_weights_only": True},
    "Lightning's": {},
}


def saving(folder, name):
    """A checkpoint of ours, or Lightning's with the two best; its files after three epochs."""
    if name == "Lightning's":
        saves = L.callbacks.ModelCheckpoint(folder, "{epoch}", "epoch", mode="max", save_top_k=2)
        return saves, ["epoch=1", "epoch=2"]
    many = ["1", "2", "3"] if "{" in name else [name.rpartition(".")[0]]
    return ModelCheckpoint(f"{folder}/{name}", **SAVES[name]), many


# ---- MLflow -----------------------------------------------------------------------------------


@pytest.fixture
def tracked(tmp_path, monkeypatch):
    """(address, client) of a store in files."""
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    address = (tmp_path / "mlruns").as_uri()
    return address, mlflow.tracking.MlflowClient(address)


def values(client, run, name):
    found = client.get_metric_history(run, name)
    return [m.step for m in found], [m.value for m in found]


def artifacts(client, run):
    """{folder: names of its files}."""
    folders = [a.path for a in client.list_artifacts(run)]
    return {f: [Path(a.path).name for a in client.list_artifacts(run, f)] for f in folders}


def test_mlflow_has_every_value(tracked):
    address, client = tracked
    logger = MLFlowLogger("trials", tracking_uri=address)
    history = classifier().fit(X, Y, epochs=3, logger=logger, **HOW).history
    for name, wanted in history.items():
        assert values(client, logger.run_id, name) == (STEPS, pytest.approx(wanted))
    assert client.get_run(logger.run_id).info.status == "FINISHED"


@pytest.mark.parametrize("log_model", [True, "all"])
@pytest.mark.parametrize("name", SAVES)
def test_mlflow_keeps_files(tracked, tmp_path, name, log_model):
    address, client = tracked
    saves, stems = saving(tmp_path / "files", name)
    logger = MLFlowLogger("trials", tracking_uri=address, log_model=log_model)
    model = classifier()
    model.fit(X, Y, epochs=3, logger=logger, callbacks=[saves], **HOW)
    if name == "Lightning's" and log_model == "all":
        stems = ["epoch=0", *stems]
    found = artifacts(client, logger.run_id)
    assert sorted(found) == sorted(stems)
    last = max(found)
    kept = next(f for f in found[last] if f not in ("metadata.yaml", "aliases.txt"))
    again = classifier(1)
    again.load_weights(client.download_artifacts(logger.run_id, f"{last}/{kept}"))
    assert same(model, again)


def test_mlflow_after_an_error(tracked):
    address, client = tracked
    logger = MLFlowLogger("trials", tracking_uri=address)
    fail = lk.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: 1 / (1 - epoch))
    with pytest.raises(ZeroDivisionError):
        classifier().fit(X, Y, epochs=3, logger=logger, callbacks=[fail], **HOW)
    assert values(client, logger.run_id, "loss")[0] == STEPS[:1]
    assert client.get_run(logger.run_id).info.status == "FAILED"


def test_what_mlflow_does_by_itself(tracked):
    """`autolog`, which looks at Lightning's Trainer."""
    import mlflow

    address, client = tracked
    mlflow.set_tracking_uri(address)
    mlflow.pytorch.autolog(log_models=False)
    try:
        with mlflow.start_run() as run:
            history = classifier().fit(X, Y, epochs=2, **HOW).history
    finally:
        mlflow.pytorch.autolog(disable=True)
        mlflow.set_tracking_uri(None)
    data = client.get_run(run.info.run_id).data
    assert data.metrics == pytest.approx({k: v[-1] for k, v in history.items()})
    assert (data.params["lr"], data.params["epochs"]) == ("0.001", "2")


def test_the_callback_of_mlflow_for_keras(tracked):
    import mlflow

    address, client = tracked
    mlflow.set_tracking_uri(address)
    try:
        with mlflow.start_run() as run:
            callback = mlflow.keras.MlflowCallback()
            history = classifier().fit(X, Y, epochs=2, callbacks=[callback], **HOW).history
    finally:
        mlflow.set_tracking_uri(None)
    found = client.get_run(run.info.run_id).data.metrics
    assert {k: found[k] for k in history} == pytest.approx({k: v[-1] for k, v in history.items()})


# ---- Weights & Biases -------------------------------------------------------------------------


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """Weights & Biases without a server: a function that gives the rows of its file."""
    pytest.importorskip("wandb", reason="Weights & Biases is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    return lambda: rows(next(tmp_path.glob("wandb/offline-run-*/*.wandb")))


def rows(path, patience=20):
    """What a run that has ended has logged, in its order."""
    from wandb.proto.wandb_internal_pb2 import Record

    until = time.monotonic() + patience
    while True:
        records = [Record.FromString(data) for data in pieces(path.read_bytes())]
        if any(r.WhichOneof("record_type") == "exit" for r in records):
            break
        assert time.monotonic() < until, "the file does not come to its end"
        time.sleep(0.1)
    found = []
    for record in records:
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            found.append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items})
    return found


def pieces(data, block=32768, head=7):
    """The records of a file of blocks; each part has a check sum, its size and its kind before."""
    place, record = head, b""
    while place + head <= len(data):
        if block - place % block < head:
            place += block - place % block
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        record += data[place + head : place + head + size]
        place += head + size
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def test_weights_and_biases_has_every_value(offline, tmp_path):
    logger = WandbLogger("one", tmp_path, project="trials")
    history = classifier().fit(X, Y, epochs=3, logger=logger, **HOW).history
    logger.experiment.finish()
    heard = {}
    for row in offline():
        heard.setdefault(row["trainer/global_step"], {}).update(row)
    assert list(heard) == STEPS
    for name, wanted in history.items():
        assert [row[name] for row in heard.values()] == pytest.approx(wanted)


@pytest.mark.parametrize("log_model", [True, "all"])
@pytest.mark.parametrize("name", SAVES)
def test_weights_and_biases_keeps_files(offline, tmp_path, monkeypatch, name, log_model):
    saves, stems = saving(tmp_path / "files", name)
    logger = WandbLogger("one", tmp_path, project="trials", log_model=log_model)
    run, kept = logger.experiment, []
    monkeypatch.setattr(
        type(run), "log_artifact", lambda run, artifact, aliases: kept.append((artifact, aliases))
    )
    classifier().fit(X, Y, epochs=3, logger=logger, callbacks=[saves], **HOW)
    run.finish()
    ours = name != "Lightning's"
    if log_model == "all":
        stems = ["epoch=0", *stems] if not ours else stems if len(stems) == 3 else stems * 3
    names = [artifact.metadata["original_filename"] for artifact, _ in kept]
    assert sorted(Path(n).stem for n in names) == sorted(stems)
    artifact, aliases = kept[-1]
    assert aliases == ["latest", "best"] and list(artifact.manifest.entries) == ["model.ckpt"]
    score = artifact.metadata["score"]
    assert score == pytest.approx(float(saves.best_model_score))
    size = artifact.manifest.entries["model.ckpt"].size
    assert size == os.path.getsize(saves.best_model_path)
    assert artifact.metadata["ModelCheckpoint"]["monitor"] == saves.monitor


def test_weights_and_biases_watches_gradients(offline, tmp_path):
    logger, model = WandbLogger("one", tmp_path, project="trials"), classifier()
    logger.watch(model, log="all", log_freq=2)
    model.fit(X, Y, epochs=1, logger=logger, **HOW)
    logger.experiment.unwatch(model)
    logger.experiment.finish()
    seen = {key for row in offline() for key in row}
    names = [name for name, _ in model.named_parameters()]
    for kind in ("gradients", "parameters"):
        assert all(any(k.startswith(kind) and name in k for k in seen) for name in names), seen


# ---- several processes ------------------------------------------------------------------------


def group_logs(folder, address):
    loggers = [
        WandbLogger("one", folder, project="trials", log_model="all"),
        MLFlowLogger("trials", tracking_uri=address, log_model=True),
    ]
    flags = {"accelerator": "cpu", "strategy": "ddp", "devices": 2}
    saves = ModelCheckpoint(f"{folder}/{{epoch}}.keras")
    history = classifier().fit(X, Y, epochs=3, logger=loggers, callbacks=[saves], **flags, **HOW)
    loggers[0].experiment.finish()
    return history.history


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the group is forked")
def test_the_first_of_several_processes_logs(offline, tracked, tmp_path):
    address, client = tracked
    history, _ = on_group(2, group_logs, str(tmp_path), address)
    (run,) = [r for e in client.search_experiments() for r in client.search_runs([e.experiment_id])]
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 1
    assert values(client, run.info.run_id, "val_loss") == (
        STEPS,
        pytest.approx(history["val_loss"]),
    )
    assert [row["val_loss"] for row in offline() if "val_loss" in row] == history["val_loss"]
    assert list(artifacts(client, run.info.run_id)) == ["1", "2", "3"]
