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
    for log in loggers:
        log.addFilter(_is_warning)  # another level would cost a walk through all loggers there are
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*", category=UserWarning)
        # That of a ModelCheckpoint without its value, which saves nothing.
        warnings.filterwarnings("default", message=".*could not find the monitored key.*")
        warnings.filterwarnings(
            "ignore", message=r".*(does not have many workers|log_every_n_steps).*"
        )
        warnings.filterwarnings("ignore", message=r".*treespec.*LeafSpec.*")
        # DDP on weights in channels_last order: the numbers are right, the copy is small.
        warnings.filterwarnings("ignore", message=r"(?s).*Grad strides do not match bucket.*")
        try:
            yield
        finally:
            for log in loggers:
                log.removeFilter(_is_warning)


def _is_warning(record):
    return record.levelno >= logging.WARNING
