"""Shared by all tests: one thread a process, Keras on torch, the data folder."""

import os
from importlib.metadata import version
from pathlib import Path

# Before anything imports torch or keras; processes that a test starts inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["KERAS_BACKEND"] = "torch"
os.environ.setdefault("MPLBACKEND", "agg")

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root():
    """The root of the repository."""
    return ROOT


@pytest.fixture
def data_home(monkeypatch):
    """The folder with the data sets; the test is skipped where there is none.

    It is LIGHTKERAS_HOME, or `shared/data` beside the repository.
    """
    home = os.environ.get("LIGHTKERAS_HOME") or ROOT.parent / "shared" / "data"
    if not Path(home).is_dir():
        pytest.skip("no data sets here: set LIGHTKERAS_HOME to their folder")
    monkeypatch.setenv("LIGHTKERAS_HOME", str(home))
    return Path(home)


# The Keras that the tests compare with. Python 3.10 gets an older one, with other configs.
ORACLE = (3, 15)
IS_ORACLE = tuple(int(n) for n in version("keras").split(".")[:2]) >= ORACLE
collect_ignore_glob = [] if IS_ORACLE else ["parity/*"]


def pytest_collection_modifyitems(items):
    """Refuse names that differ between processes; leave out comparisons with another Keras."""
    if unstable := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"an address is in the name of {unstable[0]}: give it an `ids`")
    if IS_ORACLE:
        return
    reason = f"compares with Keras 3.15, which needs Python 3.11; here is {version('keras')}"
    for item in items:
        module = getattr(item, "module", None)
        if hasattr(module, "keras") or hasattr(module, "beside"):
            item.add_marker(pytest.mark.skip(reason=reason))
