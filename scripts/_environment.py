"""The environment that the scripts share: `.venv` beside this folder.

It is made when it is missing and filled when `pyproject.toml` has changed since the last
time; otherwise nothing is installed and pip is not even started.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("examples", "test", "dev")  # each holds the one before it


def call(command: Sequence[str | Path]) -> int:
    """Run a command in the repository's root; its exit status."""
    sys.stdout.flush()
    try:
        return subprocess.call([str(part) for part in command], cwd=ROOT)
    except KeyboardInterrupt:  # the command was told as well and has said what it had to say
        return 130


def interpreter(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def fingerprint(root: Path) -> str:
    """Changes whenever the editable install would have to be made again."""
    return hashlib.sha256((root / "pyproject.toml").read_bytes() + str(root).encode()).hexdigest()


def is_installed(extra: str, root: Path) -> bool:
    stamps = (root / ".venv" / f"installed-{e}" for e in EXTRAS[EXTRAS.index(extra) :])
    wanted = fingerprint(root)
    return any(stamp.exists() and stamp.read_text() == wanted for stamp in stamps)


def prepare(extra: str, root: Path = ROOT, call: Callable[..., int] = call) -> Path:
    """The interpreter of an environment that holds lightkeras and the packages of `extra`.

    Args:
        extra: One of `EXTRAS`.
        root: The repository.
        call: What runs a command and returns its exit status.
    """
    if sys.version_info < (3, 10):  # noqa: UP036 - whoever starts the script may have less
        sys.exit(f"lightkeras needs Python 3.10 or newer, this is {sys.version.split()[0]}.")
    venv = root / ".venv"
    python = interpreter(venv)
    if not python.exists():
        print(f"Making {venv}", flush=True)
        stop_on(call([sys.executable, "-m", "venv", venv]))
    if not is_installed(extra, root):
        print(f"Installing lightkeras[{extra}] (once; torch is large)", flush=True)
        pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
        stop_on(call([*pip, "--editable", f"{root}[{extra}]"]))
        (venv / f"installed-{extra}").write_text(fingerprint(root))
    return python


def stop_on(status: int) -> None:
    if status:
        sys.exit(status)
