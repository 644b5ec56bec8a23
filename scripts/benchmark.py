#!/usr/bin/env python3
"""How fast lightkeras is beside a loop written by hand, Lightning, Keras, skorch and Poutyne.

Each measurement is a process of its own; in a round all take turns, so that a busy machine slows
all of them. What is shown are medians over the rounds, as multiples of the hand-written loop's.

    .venv/bin/python scripts/benchmark.py                             # what needs no peers
    .venv/bin/python scripts/benchmark.py --peers all --rounds 5      # makes .venv-peers first
    .venv/bin/python scripts/benchmark.py --only pima --json times.json --picture times.png

With peers that are no dependency of ours (Keras's other backends, skorch, Poutyne), each one, ours
included, runs in an environment of `.venv-peers` that holds what its own `pip install` brings: what
is installed besides changes what is imported.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "benchmarks"))

from _environment import ROOT, interpreter
from workloads import WORKLOADS, arrays

HERE = Path(__file__).resolve().parent / "benchmarks"
OWN = ["torch", "lightkeras", "lightkeras-jit", "lightning", "keras-torch"]
FOREIGN = ["torch.compile", "skorch", "poutyne", "keras-tensorflow", "keras-jax"]
PACKAGES = {  # besides those of lightkeras, which the others are beside
    "keras-torch": ["keras"],
    "keras-tensorflow": ["keras", "tensorflow-cpu"],
    "keras-jax": ["keras", "jax"],
    "skorch": ["skorch"],
    "poutyne": ["poutyne"],
}
FIGURES = {
    "call": "a layer's call with its gradients, beside torch's module of the same size",
    "step": "a step, after the first epoch",
    "first": "from a cold start to the end of the first epoch",
    "predict_1": "predict of one row",
    "predict_all": "predict of 10,000 rows (or all), 32 at a time",
    "evaluate": "evaluate on all rows",
    "memory": "peak memory",
}


def python_for(peer: str) -> Path:
    """The interpreter of the environment for a peer, which is made where it is missing."""
    plain = environment("lightkeras", ["--editable", str(ROOT)])
    return environment(peer, PACKAGES[peer], plain) if peer in PACKAGES else plain


def environment(name: str, packages: list[str], base: Path | None = None) -> Path:
    """The interpreter of `.venv-peers/name`: `packages`, and what the interpreter `base` sees."""
    venv = ROOT / ".venv-peers" / name
    python, stamp = interpreter(venv), venv / "installed"
    if stamp.exists():
        return python
    subprocess.check_call([sys.executable, "-m", "venv", "--clear", venv])
    if base is not None:
        (packages_of(python) / "base.pth").write_text(f"{packages_of(base)}\n", encoding="utf-8")
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    subprocess.check_call([*pip, *packages])
    stamp.touch()
    return python


def packages_of(python: Path) -> Path:
    """Where an interpreter has its packages."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.check_output([str(python), "-c", code], text=True).strip())


def run(python: Path, peer: str, name: str, file: str, options) -> dict[str, float] | None:
    """One measurement, or None where the peer cannot do it here."""
    command: list[Any] = [python, HERE / "worker.py", peer, name, file]
    command += ["--epochs", options.epochs, "--threads", options.threads]
    command += ["--device", options.device]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "Error" in line]
        reason = lines[-1].strip() if lines else f"exit status {done.returncode}"
        print(f"{name} {peer}: left out ({reason[:150]})", flush=True)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(name: str, pythons: dict[str, Path], options) -> dict[str, dict[str, Any]]:
    """{peer: {figure: value of each round}} of a workload."""
    import numpy as np

    found: dict[str, dict[str, Any]] = {}
    broken = set()
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "arrays.npz"))
        np.savez(file, **arrays(name))
        for _ in range(options.rounds):
            for peer, python in pythons.items():
                result = None if peer in broken else run(python, peer, name, file, options)
                if result is None:
                    broken.add(peer)
                    continue
                for figure, value in result.items():
                    found.setdefault(peer, {}).setdefault(figure, []).append(value)
    return found


def import_times(rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds of a first import, each in a fresh process, without and with names in use."""

    def once(code):
        code = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return float(subprocess.check_output([sys.executable, "-c", code], env=env))

    bare = "import lightkeras as k"
    used = f"{bare}; k.Sequential; k.layers.Dense; k.optimizers.Adam"
    once(used)
    found = [(once("import torch"), once(bare), once(used)) for _ in range(rounds)]
    torch, first, second = (list(times) for times in zip(*found, strict=True))
    return {
        "import": {"torch": {"first": torch}, "lightkeras": {"first": first}},
        "import, names used": {"torch": {"first": torch}, "lightkeras": {"first": second}},
    }


def layers(rounds: int, threads: int) -> dict[str, dict[str, Any]]:
    """Layers beside torch's modules; prints how the costs of a step grow."""
    command = [sys.executable, HERE / "calls.py", "--rounds", rounds, "--threads", threads]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    text = subprocess.check_output([str(part) for part in command], text=True, env=env)
    found = json.loads(text.strip().splitlines()[-1])
    print("\ngrowth: a step of fit, as a multiple of that of an epoch of 1,000 steps")
    print("".join(f"{name:>18}" for name in found["growth"]))
    print("".join(f"{value:>16.2f} x" for value in found["growth"].values()))
    return {
        name: {peer: {"call": times} for peer, times in sides.items()}
        for name, sides in found["layers"].items()
    }


def ratio(values: list[float], base: list[float]) -> float:
    """Median of the rounds' ratios: what ran in the same round is compared."""
    return statistics.median(a / b for a, b in zip(values, base, strict=False))


def readable(value: float, figure: str) -> str:
    if figure == "memory":
        return f"{value / 2**20:.0f} MiB"
    return f"{value:.2f} s" if value >= 0.1 else f"{value * 1e6:.0f} us"


def table(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """A block per figure: a row per workload, a column per peer."""
    peers = list(dict.fromkeys(p for found in results.values() for p in found))
    lines = []
    for figure, meaning in FIGURES.items():
        rows = [n for n, found in results.items() if figure in found.get("torch", {})]
        if not rows:
            continue
        shown = [p for p in peers if any(figure in results[n].get(p, {}) for n in rows)]
        lines += [f"\n{figure}: {meaning}", f"{'':<20}" + "".join(f"{p:>18}" for p in shown)]
        for name in rows:
            base, line = results[name]["torch"][figure], f"{name:<20}"
            for peer in shown:
                values = results[name].get(peer, {}).get(figure)
                text = readable(statistics.median(values), figure) if values else "-"
                if values and peer != "torch":
                    text = f"{ratio(values, base):.2f} x"
                line += f"{text:>18}"
            lines.append(line)
    return "\n".join(lines)


def picture(results, file: str) -> None:
    """Bars of the time per step, as multiples of the loop's, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [n for n, found in results.items() if "step" in found.get("torch", {})]
    figure, axes = plt.subplots(1, len(names), figsize=(3.2 * len(names), 3.6), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        base = results[name]["torch"]["step"]
        bars = {p: ratio(v["step"], base) for p, v in results[name].items() if "step" in v}
        colours = ["tab:orange" if p.startswith("lightkeras") else "tab:blue" for p in bars]
        axis.barh(list(bars), list(bars.values()), color=colours)
        for place, value in enumerate(bars.values()):
            axis.text(value, place, f" {value:.2f}", va="center", fontsize=8)
        axis.axvline(1, color="grey", linewidth=0.8)
        axis.set_xscale("log")
        axis.margins(x=0.25)
        axis.invert_yaxis()
        axis.set_title(name)
        axis.minorticks_off()
    figure.suptitle("Time per step, as a multiple of a loop written by hand (less is faster)")
    figure.tight_layout()
    figure.savefig(file, dpi=120)


def versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    found = {p: version(p) for p in ("torch", "lightning", "keras", "numpy")}
    return {"python": platform.python_version(), "cores": str(os.cpu_count()), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    usual = [n for n, work in WORKLOADS.items() if not work.gpu]
    parser.add_argument(
        "--only", default=",".join(["import", "layers", *usual]), help="workloads, by commas"
    )
    parser.add_argument("--peers", default=",".join(OWN), help="peers, by commas; all: every one")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (3)")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of a measurement (3)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="all cores")
    parser.add_argument("--device", default="cpu", help="of the hand-written loops: cpu or cuda")
    parser.add_argument("--json", metavar="FILE", help="also write every number to a file")
    parser.add_argument("--picture", metavar="FILE", help="also draw the times per step")
    options = parser.parse_args()
    names = options.only.split(",")
    peers = [*OWN, *FOREIGN] if options.peers == "all" else options.peers.split(",")
    for given, known in ((names, ["import", "layers", *WORKLOADS]), (peers, [*OWN, *FOREIGN])):
        if unknown := set(given) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")

    compileall.compile_dir(ROOT / "lightkeras", quiet=1)  # as pip does with what it installs
    apart = set(peers) & set(FOREIGN)
    pythons = {peer: python_for(peer) if apart else Path(sys.executable) for peer in peers}
    results = {}
    for name in names:
        if name == "import":
            new = import_times(options.rounds)
        elif name == "layers":
            new = layers(options.rounds, options.threads)
        else:
            new = {name: measure(name, pythons, options)}
        results.update(new)
        print(table(new), flush=True)
        if options.json:
            content = {"versions": versions(), "options": vars(options), "results": results}
            Path(options.json).write_text(json.dumps(content, indent=1), encoding="utf-8")
    if options.picture:
        picture(results, options.picture)


if __name__ == "__main__":
    main()
