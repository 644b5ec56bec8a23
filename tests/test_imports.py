"""What importing costs, which file may import which, and that public names are documented."""

import ast
import gc
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import lightkeras
from lightkeras._loading import loading

PACKAGE = Path(lightkeras.__file__).parent
HEAVY = {"lightning", "pytorch_lightning", "torchmetrics", "torchvision", "h5py", "matplotlib"}
HEAVY |= {"pandas", "safetensors", "scipy", "tensorboard", "keras", "tensorflow", "rich"}

# The shape of the house, from the ground up. A file imports from its own row and the rows below
# it, never from above. A name stands for a module, or for a package with all that is in it;
# the longest name that fits wins.
ROWS = [
    ["__init__"],  # loads the rest lazily
    ["_kinds", "_loading", "_registry", "_tree", "_device", "_mode", "_paths", "_ranks"],
    ["_config", "_dtypes", "_flags", "_progress", "_sampling", "_spatial", "_text", "_variable"],
    ["dtype_policies", "_graph", "_older", "_outputs", "tree"],
    ["_operation", "activations", "config", "random", "_rng"],
    ["ops"],
    ["utils", "visualization", "_summary", "_traceback"],
    ["initializers", "regularizers", "constraints"],
    ["backend"],
    ["layers", "losses", "metrics", "optimizers", "datasets", "preprocessing", "_data"],
    ["callbacks", "_step", "_together", "mixed_precision"],
    ["_training"],
    ["saving"],
    ["models"],
    ["applications", "wrappers"],
    ["__main__"],
]
# The two halves: what is computed, and how it is trained. They meet in models.
LAYERS = {"layers", "activations", "initializers", "regularizers", "constraints", "_graph"}
TRAINING = {
    "_data",
    "_step",
    "_together",
    "_training",
    "callbacks",
    "losses",
    "metrics",
    "optimizers",
}
ENGINE = {"_training"}
MAY_IMPORT_LIGHTNING = {"_training", "callbacks", "_flags"}


def modules():
    """{dotted name inside the package: file} of every module."""
    names = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] == "__init__" and len(parts) > 1:
            parts = parts[:-1]
        names[".".join(parts)] = file
    return names


MODULES = modules()
ROW_OF = {name: i for i, row in enumerate(ROWS) for name in row}


def place(module):
    """The entry of ROWS that a module belongs to."""
    parts = module.split(".")
    fitting = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((name for name in fitting if name in ROW_OF), None)


def imports(file, everywhere=True):
    """Full names of what a file imports; only at import time unless `everywhere`."""
    found = []
    todo = [ast.parse(file.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(file, node)
            found += [f"{base}.{alias.name}" for alias in node.names]
        elif everywhere or not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            todo += ast.iter_child_nodes(node)
    return found


def _absolute(file, node):
    if not node.level:
        return node.module
    folder = file.parent
    for _ in range(node.level - 1):
        folder = folder.parent
    base = ".".join(("lightkeras", *folder.relative_to(PACKAGE).parts))
    return f"{base}.{node.module}" if node.module else base


def inner(file, everywhere=True):
    """Modules of this package that a file imports."""
    for name in imports(file, everywhere):
        head, _, rest = name.partition(".")
        if head != "lightkeras":
            continue
        while rest and rest not in MODULES:
            rest = rest.rpartition(".")[0]
        yield rest or "__init__"


def test_every_module_has_its_place():
    assert [name for name in MODULES if place(name) is None] == []


def test_lower_rows_never_import_higher():
    upward = [
        f"{name} imports {other}"
        for name, file in MODULES.items()
        if name != "__init__"
        for other in inner(file, everywhere=False)
        if ROW_OF[place(other)] > ROW_OF[place(name)]
    ]
    assert upward == []


def test_the_halves_do_not_import_each_other():
    crossings = [
        f"{name} imports {other}"
        for name, file in MODULES.items()
        for other in inner(file)
        for half, foreign in ((LAYERS, TRAINING), (TRAINING, {"layers"}))
        if place(name) in half and place(other) in foreign
    ]
    assert crossings == []


def test_only_the_engine_imports_lightning():
    for name, file in MODULES.items():
        heads = {module.partition(".")[0] for module in imports(file)}
        if place(name) not in MAY_IMPORT_LIGHTNING:
            assert not heads & {"lightning", "pytorch_lightning"}, name


def test_nothing_heavy_is_imported_at_the_top():
    for name, file in MODULES.items():
        heads = {module.partition(".")[0] for module in imports(file, everywhere=False)}
        allowed = {"lightning"} if place(name) in ENGINE else set()
        assert not heads & (HEAVY - allowed), name


def test_the_engine_is_loaded_by_fit_only():
    """It may import Lightning at its top, since nobody imports it at theirs."""
    eager = [
        f"{name} imports {other}"
        for name, file in MODULES.items()
        if place(name) not in ENGINE
        for other in inner(file, everywhere=False)
        if place(other) in ENGINE
    ]
    assert eager == []


def test_the_checks_above_can_see():
    """The table is not passed because nothing was found."""
    assert "torch" in {m.partition(".")[0] for m in imports(MODULES["_graph"])}
    assert "_registry" in set(inner(MODULES["_graph"]))
    assert "lightning.pytorch.Trainer" in imports(MODULES["_flags"])
    assert "lightning.pytorch.Trainer" not in imports(MODULES["_flags"], everywhere=False)


def test_import_loads_nothing_heavy():
    code = (
        "import sys, lightkeras\n"
        "for name in getattr(lightkeras, '__all__', []): getattr(lightkeras, name)\n"
        "import torch\n"
        "assert not torch.cuda.is_initialized()\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "lightkeras" in loaded and "torch" in loaded
    assert loaded & HEAVY == set()


FIRST_FIT = """
import gc, sys, torch
runs = []
gc.callbacks.append(lambda phase, info: runs.append(phase))
import lightkeras as lk
model = lk.Sequential([lk.Input((4,)), lk.layers.Dense(8, "relu"), lk.layers.Dense(3, "softmax")])
model.compile("rmsprop", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(torch.rand(40, 4), torch.arange(40) % 3, verbose=0)
assert gc.isenabled()
print(runs.count("start"), *sorted(sys.modules))
"""


def test_a_first_fit_imports_what_it_needs_and_looks_for_no_garbage_meanwhile():
    command = [sys.executable, "-c", FIRST_FIT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    collections, *loaded = done.stdout.split()
    assert "lightning.pytorch" in loaded
    # torch._dynamo is there by torch's and Lightning's own imports; what compiles is not.
    needless = {"h5py", "keras", "pandas", "safetensors", "scipy", "tensorboard", "torchvision"}
    assert set(loaded) & (needless | {"torch._inductor.compile_fx"}) == set()
    assert int(collections) < 60  # some 500 where the collector does not rest


DEFERRED = """
import sys
from lightkeras._loading import loading_lightning
if len(sys.argv) > 1:
    sys.modules[sys.argv[1]] = None  # it cannot be imported
with loading_lightning():
    there = "torchmetrics" in sys.modules
    for name in sys.argv[1:]:
        sys.modules.pop(name, None)
    import lightning.pytorch
print(there, "torchmetrics.classification" in sys.modules, "torchvision" in sys.modules)
import torchmetrics
before = torchmetrics.Metric, torchmetrics.MetricCollection
assert not hasattr(torchmetrics, "no_such_name")
print(torchmetrics.__version__, *sorted(n for n in dir(torchmetrics) if not n.startswith("_")))
from torchmetrics import *
assert isinstance(Accuracy(task="binary"), before[0]) and MetricCollection is before[1]
assert torchmetrics.functional.accuracy and torchmetrics.classification.BinaryAccuracy
"""


@pytest.mark.parametrize(
    "lacking, first",
    [
        ([], ["True", "False", "False"]),
        (["torchmetrics.collections"], ["False", "True", "True"]),
    ],
    ids=["as we know it", "another"],
)
def test_torchmetrics_comes_in_part_and_is_whole_when_used(lacking, first):
    command = [sys.executable, "-c", DEFERRED, *lacking]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said, whole = done.stdout.splitlines()
    assert said.split() == first
    import torchmetrics  # as anybody does

    names = [name for name in dir(torchmetrics) if not name.startswith("_")]
    assert set(torchmetrics.__all__) <= set(names)
    assert set(whole.split()) >= {torchmetrics.__version__, *torchmetrics.__all__}


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_rests_until_a_module_is_there(enabled):
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ZeroDivisionError), loading("lightkeras.no_such_module"):
            assert not gc.isenabled()
            raise ZeroDivisionError
        assert gc.isenabled() == enabled
        with loading("lightkeras"):
            assert gc.isenabled() == enabled
    finally:
        gc.enable()


def is_public(name):
    return not any(part.startswith("_") for part in name.split("."))


PUBLIC = ["", *(name for name in MODULES if is_public(name))]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_complete_and_documented(name):
    module = importlib.import_module(f"lightkeras.{name}".rstrip("."))
    assert module.__doc__, "the module has no docstring"
    assert list(module.__all__) == sorted(set(module.__all__), key=module.__all__.index)
    for public in module.__all__:
        value = getattr(module, public)  # it exists
        if inspect.isclass(value) or inspect.isroutine(value):
            assert inspect.getdoc(value), f"{public} has no docstring"


def test_submodules_are_reachable_as_attributes():
    code = "import lightkeras as k\n"
    names = [m.name for m in pkgutil.iter_modules([str(PACKAGE)]) if is_public(m.name)]
    code += "".join(f"k.{name}\n" for name in names if name != "__main__")
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the process is forked before each import")
def test_every_module_of_the_top_may_be_the_first_to_be_imported():
    names = [f"lightkeras.{n}" for n in PUBLIC if n not in ("", "__main__") and "." not in n]
    code = (
        "import importlib, os, traceback, torch, numpy\n"
        f"for name in {names}:\n"
        "    if os.fork() == 0:\n"
        "        try: importlib.import_module(name)\n"
        "        except Exception: traceback.print_exc()\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stderr, done.stderr[-2000:]
