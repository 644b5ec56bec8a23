"""Trainer flags on command lines and in the environment."""

import json
import os
import subprocess
import sys

import pytest

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
