"""Lightning without its adverts."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager

__all__ = ["quiet"]


@contextmanager
def quiet():
    """Lightning's notes on what it found and its adverts are not printed; warnings of ours are."""
    names = (
        "lightning.pytorch.utilities.rank_zero",
        "lightning.fabric.utilities.rank_zero",
        "lightning.pytorch.utilities.migration.utils",
        "lightning.pytorch.accelerators.cuda",
        "lightning.fabric.utilities.distributed",
        "lightning.pytorch.trainer.connectors.signal_connector",
    )
    loggers = [logging.getLogger(n) for n in names]
    levels = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(max(log.getEffectiveLevel(), logging.WARNING))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*", category=UserWarning)
        warnings.filterwarnings(
            "ignore", message=r".*(does not have many workers|log_every_n_steps).*"
        )
        warnings.filterwarnings("ignore", message=r".*treespec.*LeafSpec.*")
        # DDP on weights in channels_last order: the numbers are right, the copy is small.
        warnings.filterwarnings("ignore", message=r"(?s).*Grad strides do not match bucket.*")
        try:
            yield
        finally:
            for log, level in zip(loggers, levels, strict=True):
                log.setLevel(level)
