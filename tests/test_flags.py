"""Trainer flags on command lines and in the environment."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import lightkeras as lk
from lightkeras import _flags
from lightkeras._flags import VARIABLE, environment_flags, trainer_flags

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
    return model.fit(x, x[:, :1], batch_size=8, verbose=0, **data, accelerator="cpu", **kwargs)


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
