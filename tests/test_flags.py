"""Trainer flags on command lines and in the environment."""

import functools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras import _flags
from lightkeras._flags import VARIABLE, environment_flags, known_flags, trainer_flags

READ = {
    "--max-epochs 3": {"max_epochs": 3},
    "--max_epochs=3": {"max_epochs": 3},
    "--max-epochs=-1 --max-steps -1": {"max_epochs": -1, "max_steps": -1},
    "--fast-dev-run": {"fast_dev_run": True},
    "--fast-dev-run 4": {"fast_dev_run": 4},
    "--fast-dev-run --devices 2": {"fast_dev_run": True, "devices": 2},
    "--limit-train-batches 0.25": {"limit_train_batches": 0.25},
    "--precision bf16-mixed --strategy ddp": {"precision": "bf16-mixed", "strategy": "ddp"},
    "--logger False --profiler None": {"logger": False, "profiler": None},
    "--devices [0,2]": {"devices": [0, 2]},
    "--devices 0,2": {"devices": "0,2"},
    "--max-time 00:00:01:00": {"max_time": "00:00:01:00"},
    "": {},
}


@pytest.mark.parametrize("line, flags", READ.items(), ids=READ)
def test_flags_are_read(line, flags):
    found, rest = trainer_flags(line.split())
    assert found == flags
    assert {k: type(v) for k, v in found.items()} == {k: type(v) for k, v in flags.items()}
    assert rest == []


def test_the_rest_is_left():
    words = ["file", "--devices", "2", "--data", "mnist", "-h", "--help", "--", "--devices", "3"]
    assert trainer_flags(words, own=["data"]) == (
        {"devices": 2},
        ["file", "--data", "mnist", "-h", "--help", "--devices", "3"],
    )


def test_the_own_command_line_is_the_default(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["script.py", "--devices", "2"])
    assert trainer_flags() == ({"devices": 2}, [])


@pytest.mark.parametrize(
    "line, own, message",
    [
        ("--max-epoch 3", (), "Unknown flag --max-epoch. Did you mean '--max-epochs'?"),
        ("--devise=2", None, "Did you mean '--devices'?.* behind a --"),
        ("--colour red", ["data"], "Unknown flag --colour.*and --data"),
        ("--max-epochs", (), "expects a value. Type --max-epochs VALUE"),
        ("--max-epochs --fast-dev-run", (), "expects a value"),
    ],
)
def test_mistakes_get_a_sentence(line, own, message):
    with pytest.raises(SystemExit) as stop:
        trainer_flags(line.split(), own)
    assert stop.match(message)


def test_environment(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert environment_flags() == {}
    monkeypatch.setenv(VARIABLE, '{"devices": 2, "precision": "bf16-mixed"}')
    assert environment_flags() == {"devices": 2, "precision": "bf16-mixed"}


@pytest.mark.parametrize(
    "text, message",
    [
        ("{devices: 2}", "does not hold a JSON object. .* Set it to"),
        ("[1]", "does not hold a JSON object"),
        ('{"device": 2}', "'device', which is no Trainer flag. Did you mean 'devices'"),
    ],
)
def test_bad_environment(text, message, monkeypatch):
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ValueError, match=message):
        environment_flags()


# ---- flags beside arguments of fit --------------------------------------------------------------


def fit(**kwargs):
    x = np.random.RandomState(0).rand(40, 4).astype("float32")
    model = lk.Sequential([lk.Input((4,)), lk.layers.Dense(1)])
    model.compile("sgd", "mse", trainer=kwargs.pop("compiled", None))
    data = {"validation_data": (x, x[:, :1])}
    if "trainer" not in kwargs:
        kwargs = {"accelerator": "cpu", **kwargs}
    return model.fit(x, x[:, :1], batch_size=8, verbose=0, **data, **kwargs)


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"epochs": 5, "max_epochs": 3}, r"fit\(epochs=5\) and .* max_epochs=3 contradict"),
        ({"epochs": 5, "compiled": {"max_epochs": 3}}, "Leave max_epochs out"),
        ({"steps_per_epoch": 2, "limit_train_batches": 0.5}, "Leave limit_train_batches out"),
        (
            {"validation_steps": 2, "limit_val_batches": 1},
            "validation_steps=2.*limit_val_batches=1",
        ),
        ({"epochs": 4, "validation_freq": 2, "check_val_every_n_epoch": 4}, "validation_freq=2"),
        ({"epochs": 2, "min_epochs": 4}, "min_epochs=4 is more than the epochs.* Type epochs=4"),
    ],
)
def test_a_flag_that_contradicts_an_argument_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        fit(**arguments)


def trainer(**flags):
    from lightning.pytorch import Trainer

    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    return Trainer(**dict.fromkeys(quiet, False), accelerator="cpu", **flags)


def test_a_trainer_of_ones_own_and_fit_agree():
    for given, epochs, ran in (({}, 3, 3), ({"max_epochs": 4}, 1, 4), ({"max_epochs": 2}, 2, 2)):
        x = np.ones((8, 4), "float32")
        model = lk.Sequential([lk.Input((4,)), lk.layers.Dense(1)])
        model.compile("sgd", "mse")
        history = model.fit(x, x[:, :1], epochs=epochs, verbose=0, trainer=trainer(**given))
        assert len(history.epoch) == ran
    with pytest.raises(ValueError, match=r"epochs=3.* got a Trainer with max_epochs=2"):
        model.fit(x, x[:, :1], epochs=3, trainer=trainer(max_epochs=2))
    history = fit(epochs=4, validation_freq=2, trainer=trainer())
    assert len(history.history["val_loss"]) == 2
    with pytest.raises(ValueError, match=r"validation_freq=2.*check_val_every_n_epoch=3.*Leave"):
        fit(epochs=3, validation_freq=2, trainer=trainer(check_val_every_n_epoch=3))
    with pytest.raises(ValueError, match=r"and the flags devices.* Trainer\(devices=2\)"):
        model.fit(x, x[:, :1], trainer=trainer(), devices=2)


@pytest.mark.parametrize(
    "arguments, epochs, validations",
    [
        ({"max_epochs": 3}, 3, 3),
        ({"epochs": 3, "max_epochs": 3}, 3, 3),
        ({"epochs": 5, "max_steps": 7}, 2, 1),
        ({"epochs": 3, "fast_dev_run": True}, 1, 1),
        ({"epochs": 4, "check_val_every_n_epoch": 2}, 4, 2),
    ],
)
def test_flags_do_what_they_say(arguments, epochs, validations):
    history = fit(**arguments)
    assert len(history.epoch) == epochs
    assert len(history.history["val_loss"]) == validations


def test_the_command_line_may_shorten_a_script(monkeypatch):
    monkeypatch.setattr(_flags, "_command_line", {})
    monkeypatch.setattr(sys, "argv", ["script.py", "--max-epochs", "2"])
    assert len(fit(epochs=5, **trainer_flags()[0]).epoch) == 2
    with pytest.raises(ValueError, match="contradict"):
        fit(epochs=5, max_epochs=3)
    monkeypatch.setenv(VARIABLE, '{"max_epochs": 1}')
    assert len(fit(epochs=5).epoch) == 1


SCRIPT = """
import json, os, sys
import __main__, helper
print(json.dumps([__name__, __main__.__spec__ is None, sys.argv[1:], os.environ["%s"]]))
"""


def lightkeras(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "lightkeras", *words],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def test_run_a_script(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT % VARIABLE)
    (tmp_path / "helper.py").write_text("")  # found beside the script, as python script.py would
    script = str(tmp_path / "script.py")
    words = ["--devices", "2", "--data", "x", "--", "--devices"]
    done = lightkeras("run", script, *words, **{VARIABLE: '{"max_epochs": 1, "devices": 1}'})
    assert done.stderr == ""
    name, plain, argv, flags = json.loads(done.stdout)
    assert name == "__main__"
    assert plain  # so that Lightning starts further processes as `python script.py`
    assert argv == ["--data", "x", "--devices"]
    assert json.loads(flags) == {"max_epochs": 1, "devices": 2}


def test_command_line_of_the_command():
    import lightkeras as package

    assert lightkeras("--version").stdout == f"lightkeras {package.__version__}\n"
    assert lightkeras("--help").returncode == 0
    assert lightkeras("rum").returncode == 2
    assert "There is no file nowhere.py" in lightkeras("run", "nowhere.py").stderr


# ---- every flag ---------------------------------------------------------------------------------

VALUES = {
    "accelerator": "cpu",
    "strategy": "auto",
    "devices": 1,
    "num_nodes": 1,
    "precision": "bf16-mixed",
    "logger": True,
    "fast_dev_run": 2,
    "max_epochs": 2,
    "min_epochs": 1,
    "max_steps": 3,
    "min_steps": 2,
    "max_time": "00:00:05:00",
    "limit_train_batches": 2,
    "limit_val_batches": 1,
    "limit_test_batches": 1,
    "limit_predict_batches": 1,
    "overfit_batches": 2,
    "val_check_interval": 2,
    "check_val_every_n_epoch": 2,
    "num_sanity_val_steps": 1,
    "log_every_n_steps": 1,
    "enable_checkpointing": True,
    "enable_progress_bar": True,
    "enable_model_summary": True,
    "accumulate_grad_batches": 2,
    "gradient_clip_val": 0.1,
    "gradient_clip_algorithm": "value",
    "deterministic": "warn",
    "benchmark": False,
    "inference_mode": False,
    "use_distributed_sampler": False,
    "profiler": "simple",
    "detect_anomaly": True,
    "barebones": True,
    "sync_batchnorm": True,
    "reload_dataloaders_every_n_epochs": 1,
    "default_root_dir": "root",
    "enable_autolog_hparams": False,
    "model_registry": "registry",
}
# What a flag changes of a training of 5 batches, 2 epochs, validated: (batches, validations)
CHANGES = {
    "fast_dev_run": (2, 1),
    "max_steps": (3, 0),
    "limit_train_batches": (4, 2),
    "overfit_batches": (4, 2),
    "val_check_interval": (10, 4),
    "check_val_every_n_epoch": (10, 1),
}


@pytest.fixture
def seen(monkeypatch, tmp_path):
    """What a Trainer was given, batches and validations that a callback of Lightning's saw."""
    import lightning.pytorch as L

    from lightkeras import _training

    class Seen(L.Callback):
        given, batches, validations = {}, 0, 0

        def on_train_batch_end(self, *_):
            self.batches += 1

        def on_validation_end(self, trainer, module):
            self.validations += 1

    class Trainer(L.Trainer):
        @functools.wraps(L.Trainer.__init__)  # its arguments are looked at
        def __init__(self, **kwargs):
            seen.given = kwargs
            super().__init__(**kwargs)

    seen = Seen()
    monkeypatch.setattr(_training.L, "Trainer", Trainer)
    monkeypatch.chdir(tmp_path)
    yield seen
    torch.use_deterministic_algorithms(False)


def test_every_flag_has_a_value_here():
    assert known_flags().keys() - VALUES.keys() <= {"callbacks", "plugins"}


@pytest.mark.parametrize("name", VALUES)
def test_every_flag_reaches_the_trainer(name, seen):
    if name not in known_flags():
        pytest.skip("another Lightning")
    more = {"gradient_clip_val": 0.1} if name == "gradient_clip_algorithm" else {}
    flags = {name: VALUES[name], **more}
    if name != "barebones":  # which wants no callbacks
        flags["callbacks"] = [seen]
    history = fit(epochs=2, **{"accelerator": "cpu", **flags}).history
    assert seen.given[name] == VALUES[name]
    assert np.isfinite(history["loss"]).all()
    if name != "barebones":
        assert (seen.batches, seen.validations) == CHANGES.get(name, (10, 2))


def test_plugins_reach_the_trainer(seen):
    from lightning.pytorch.plugins.environments import LightningEnvironment

    place = LightningEnvironment()
    fit(plugins=[place])
    assert seen.given["plugins"] == [place]


OWN = ["accumulate_grad_batches", "gradient_clip_val", "max_steps", "limit_train_batches"]
OWN += ["limit_val_batches", "val_check_interval", "overfit_batches", "fast_dev_run"]
OWN += ["check_val_every_n_epoch", "num_sanity_val_steps"]


@pytest.mark.parametrize("name", OWN)
def test_a_trainer_of_ones_own_does_what_its_flags_do(name, seen):
    flags = {name: VALUES[name]}
    lk.utils.set_random_seed(0)
    by_flags = fit(epochs=2, **flags).history
    lk.utils.set_random_seed(0)
    own = fit(epochs=2, trainer=trainer(max_epochs=2, callbacks=[seen], **flags)).history
    assert own == by_flags
    assert (seen.batches, seen.validations) == CHANGES.get(name, (10, 2))


@pytest.mark.parametrize("name", ["fork", "spawn", "notebook", "dpp"])
def test_an_unknown_strategy_is_told_the_closest(name):
    model = lk.Sequential([lk.Input((1,)), lk.layers.Dense(1)])
    model.compile("sgd", "mse")
    close = "ddp" if name == "dpp" else f"ddp_{name}"
    with pytest.raises(ValueError, match=f"no strategy. Did you mean '{close}'. Known: auto, ddp"):
        model.fit(np.ones((2, 1)), np.ones((2, 1)), strategy=name, verbose=0)
