"""What all ops share: their names, their places in graphs, and the files of these graphs."""

import inspect
import json

import keras
import numpy as np
import pytest
import torch
from keras.src.ops import core as keras_core
from keras.src.ops import numpy as keras_numpy
from keras.src.ops.operation import Operation
from test_ops_numpy import CASES

import lightkeras as lk
from lightkeras import ops
from lightkeras._tree import flatten, map_structure
from lightkeras.models import model_from_json

# Names of Keras that are not here, with the reason.
MISSING = {}
WAITING = ["linalg", "image", "nn"]  # families still to come


def public(module):
    return {name for name in dir(module) if name[0] != "_"}


def test_every_name_is_here():
    ours = set(dir(ops))
    waiting = {n for family in WAITING for n in (family, *public(getattr(keras.ops, family)))}
    waiting |= {n for n in public(keras.ops) if "ops.math" in str(getattr(keras.ops, n))}
    missing = public(keras.ops) - ours - waiting - MISSING.keys()
    assert missing == set()


MODULES = {"numpy": keras_numpy, "core": keras_core}
CLASSES = [
    (module, name)
    for module, where in MODULES.items()
    for name, value in vars(where).items()
    if inspect.isclass(value) and issubclass(value, Operation) and value is not Operation
]


@pytest.mark.parametrize(("module", "name"), CASES and CLASSES)
def test_every_class_of_keras_is_an_op(module, name):
    """Its call takes the op's tensors, its constructor the op's other arguments."""
    theirs, op = getattr(MODULES[module], name), ops.OPERATIONS[f"{module}.{name}"]
    call, init = (inspect.signature(m).parameters for m in (theirs.call, theirs.__init__))
    drop = ("self", "name", "kwargs")
    assert list(op.tensors) == [n for n in call if n not in drop]
    rest = [n for n in inspect.signature(op).parameters if n not in (*op.tensors, "kwargs")]
    wanted = [n for n in init if n not in drop]
    assert set(wanted) <= set(rest) if name != "Kaiser" else True
