"""`scripts/benchmark.py` measures and reports; what it measures is never asserted."""

import json
import subprocess
import sys


def test_a_short_run_gives_every_figure(root, tmp_path):
    file, drawn = tmp_path / "times.json", tmp_path / "times.png"
    options = ["--only", "pima", "--peers", "torch,lightkeras", "--rounds", "1", "--epochs", "1"]
    command = [sys.executable, root / "scripts" / "benchmark.py", *options]
    done = subprocess.run(
        [*command, "--json", file, "--picture", drawn],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert "pima" in done.stdout and " x" in done.stdout
    found = json.loads(file.read_text(encoding="utf-8"))["results"]["pima"]
    figures = {"step", "first", "predict_1", "predict_all", "evaluate", "memory"}
    assert set(found["torch"]) == set(found["lightkeras"]) == figures
    assert all(values[0] > 0 for peer in found.values() for values in peer.values())
    assert drawn.read_bytes().startswith(b"\x89PNG")


def test_unknown_names_are_refused(root):
    command = [sys.executable, root / "scripts" / "benchmark.py", "--only", "pimas"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "known: import, layers, pima" in done.stderr
