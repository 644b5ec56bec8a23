"""Importing what is large: without looking for garbage in it, and not all of it."""

from __future__ import annotations

import gc
import importlib.util
import logging
import sys
import threading
from contextlib import contextmanager, nullcontext
from types import ModuleType

__all__ = ["loading", "loading_lightning"]


def loading(module):
    """Around what imports a large module: until it is there, Python's garbage collector rests.

    torch's compiler and Lightning make 200,000 objects that stay, and the collector would look at
    all there are again and again meanwhile: a fifth of the time of such an import.

    Args:
        module: Full name; where it is imported already, nothing happens.

    >>> import gc, sys
    >>> _ = sys.modules.pop("wave", None)
    >>> with loading("wave"):
    ...     import wave
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    return nullcontext() if module in sys.modules else _uncollected()


@contextmanager
def _uncollected():
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextmanager
def loading_lightning():
    """`loading` of Lightning, which asks for two classes of torchmetrics: the rest comes when used.

    torchmetrics imports all of its metrics, with them torchvision, and scipy where it is installed:
    20 to 80 MiB and up to 0.6 s of the first `fit`.
    """
    with loading("lightning.pytorch"):
        if "torchmetrics" not in sys.modules:
            _defer_torchmetrics()
        yield


def _defer_torchmetrics():
    """Where it is not as we know it, nothing is left of the attempt, and it comes whole."""
    try:
        package = importlib.util.module_from_spec(importlib.util.find_spec("torchmetrics"))
        package.__class__ = _Deferred
        vars(package)["_logger"] = logging.getLogger("torchmetrics")
        sys.modules["torchmetrics"] = package
        about, _, metric, collections = (  # utilities first: it and metric import each other
            importlib.import_module(f"torchmetrics.{name}")
            for name in ("__about__", "utilities", "metric", "collections")
        )
        names = {name: getattr(about, name) for name in about.__all__}
        names |= {"Metric": metric.Metric, "MetricCollection": collections.MetricCollection}
        vars(package).update(names, _waits=True)
    except (ImportError, AttributeError):
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchmetrics"]:
            del sys.modules[name]


class _Deferred(ModuleType):
    """A package whose own file runs when a name is asked for that it does not have yet."""

    def __getattr__(self, name):
        if name == "__all__" or not name.startswith("__"):
            self._run()
            if name in vars(self):
                return vars(self)[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __dir__(self):
        self._run()
        return super().__dir__()

    def _run(self):
        with _ONE_THREAD:  # others wait here until the file has run
            if vars(self).pop("_waits", False):
                with _uncollected():
                    self.__spec__.loader.exec_module(self)


_ONE_THREAD = threading.RLock()
