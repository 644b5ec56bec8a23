"""The wheel holds what it must, and a second run of a script installs nothing."""

import importlib.util
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import lightkeras


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    """Names and texts of the members of a wheel built from a copy of the sources."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        if (root / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((root / name).read_bytes())
    # The backend in this environment, so that nothing is downloaded.
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--skip-dependency-check"]
    done = subprocess.run([*build, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_digits_and_their_licence(wheel):
    assert "lightkeras/datasets/digits.npz" in wheel
    texts = [
        text.decode()
        for name, text in wheel.items()
        if name.startswith("lightkeras/datasets/") and name.endswith((".md", ".txt"))
    ]
    assert any("licen" in text.lower() and "CC BY" in text for text in texts)


def test_the_wheel_holds_every_module_and_nothing_else(wheel, root):
    sources = {p.relative_to(root).as_posix() for p in (root / "lightkeras").rglob("*.py")}
    assert {name for name in wheel if name.endswith(".py")} == sources
    assert "lightkeras/py.typed" in wheel
    tops = {name.partition("/")[0] for name in wheel}
    assert tops == {"lightkeras", f"lightkeras-{lightkeras.__version__}.dist-info"}


def test_the_metadata(wheel):
    (text,) = (wheel[name].decode() for name in wheel if name.endswith("/METADATA"))
    assert f"\nVersion: {lightkeras.__version__}\n" in text
    assert "\nRequires-Python: >=3.10\n" in text
    assert re.search(r"Requires-Dist: torch>=2\.10\n", text)
    lightning = re.search(r"Requires-Dist: lightning(.*)\n", text).group(1)
    assert set(lightning.split(",")) == {">=2.6.6", "!=2.6.2", "!=2.6.3"}
    plain = re.findall(r"Requires-Dist: ([^;\n]*)\n", text)
    assert not [line for line in plain if "<" in line or "==" in line]  # no upper caps
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    (entry,) = (wheel[name].decode() for name in wheel if name.endswith("/entry_points.txt"))
    assert "lightkeras = lightkeras.__main__:main" in entry


# ---- the scripts' environment -------------------------------------------------------------------


@pytest.fixture
def environment(root):
    path = root / "scripts" / "_environment.py"
    spec = importlib.util.spec_from_file_location("_environment", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Shell:
    """Stands for pip and venv: notes the commands and does next to nothing."""

    def __init__(self, environment, root):
        self.environment, self.root = environment, root
        self.calls, self.status = [], 0

    def __call__(self, command):
        words = [str(word) for word in command]
        self.calls.append("venv" if "venv" in words else words[-1].partition("[")[2].rstrip("]"))
        if "venv" in words:
            python = self.environment.interpreter(Path(words[-1]))
            python.parent.mkdir(parents=True)
            python.write_text("")
        return self.status

    def prepare(self, extra):
        """What is run when a script asks for `extra`."""
        self.calls = []
        python = self.environment.prepare(extra, self.root, self)
        assert python.exists()
        return self.calls


@pytest.fixture
def shell(environment, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    return Shell(environment, tmp_path)


def test_a_second_run_installs_nothing(shell):
    assert shell.prepare("test") == ["venv", "test"]
    assert shell.prepare("test") == []
    assert shell.prepare("examples") == []  # is part of test
    assert shell.prepare("dev") == ["dev"]
    assert shell.prepare("test") == []


def test_a_changed_pyproject_installs_again(shell):
    shell.prepare("dev")
    (shell.root / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert shell.prepare("test") == ["test"]
    assert shell.prepare("dev") == ["dev"]
    assert shell.prepare("examples") == []


def test_a_failed_install_is_tried_again(shell):
    shell.prepare("examples")
    shell.status = 3
    with pytest.raises(SystemExit) as stop:
        shell.prepare("test")
    assert stop.value.code == 3
    shell.status = 0
    assert shell.prepare("test") == ["test"]


def test_an_environment_made_by_hand_is_used(shell, environment):
    python = environment.interpreter(shell.root / ".venv")
    python.parent.mkdir(parents=True)
    python.write_text("")
    assert shell.prepare("examples") == ["examples"]


@pytest.mark.parametrize("name", ["quickstart", "test", "check"])
def test_the_scripts_can_be_started(name, root):
    script = root / "scripts" / name
    assert script.stat().st_mode & 0o100
    assert script.read_text().startswith("#!/usr/bin/env python3\n")
    compile(script.read_text(), name, "exec")


def test_the_example_of_the_readme_runs(root, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) <= 17
    code = code.replace("epochs=20", "epochs=1")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "val_accuracy" in done.stdout
    assert (tmp_path / "digits.keras").exists()
