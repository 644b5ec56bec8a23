"""Python code in a config: the lambda of a Lambda layer, as Keras stores it.

Loading it runs whatever the file holds, so nothing here does unless the caller of `load_model`
said `safe_mode=False`.
"""

from __future__ import annotations

import base64
import marshal
import types

from lightkeras._registry import is_code_allowed
from lightkeras.saving._errors import LoadError

__all__ = ["dump", "is_code", "load", "refusal"]


def is_code(config) -> bool:
    """Whether a value of a config is stored code."""
    return isinstance(config, dict) and config.get("class_name") == "__lambda__"


def dump(fn):
    """The config of a lambda: its bytecode, default arguments and enclosed values."""
    code = base64.encodebytes(marshal.dumps(fn.__code__)).decode("ascii")
    defaults = None if fn.__defaults__ is None else list(fn.__defaults__)
    closure = [c.cell_contents for c in fn.__closure__] if fn.__closure__ else None
    stored = {"code": code, "defaults": defaults, "closure": closure}
    # Keras reads the three by name in a Lambda layer and as one value everywhere else.
    return {"class_name": "__lambda__", "config": {**stored, "value": [code, defaults, closure]}}


def load(config):
    """The function that `dump` stored.

    Raises:
        LoadError: it was not allowed, or another version of Python wrote it.
    """
    if not is_code_allowed():
        raise refusal("The config")
    stored = config.get("config") or {}
    code, defaults, closure = stored.get("value") or (
        stored.get("code"),
        stored.get("defaults"),
        stored.get("closure"),
    )
    try:
        code = marshal.loads(base64.b64decode(code))
    except (ValueError, TypeError, EOFError):
        raise LoadError(
            "The stored code of a lambda cannot be read: another version of Python wrote it, or "
            "it is damaged. Load it with that version. Write models with named functions instead."
        ) from None
    cells = tuple(types.CellType(value) for value in closure or ())
    defaults = None if defaults is None else tuple(defaults)
    return types.FunctionType(code, _names_in_reach(), "<lambda>", defaults, cells)


def _names_in_reach():
    import builtins

    import numpy
    import torch

    return {"__builtins__": builtins, "np": numpy, "numpy": numpy, "torch": torch}


def refusal(where):
    """The error for code that nobody asked for; raise what it returns."""
    return LoadError(
        f"{where} holds the code of a Python lambda, which would run on this computer. It is "
        "refused unless you trust whoever wrote it. Then type load_model(..., safe_mode=False)."
    )
