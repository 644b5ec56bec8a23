"""The one exception of all readers."""

from __future__ import annotations

__all__ = ["LoadError", "listed"]


class LoadError(ValueError):
    """A file cannot be loaded: damaged, not what it says, or not for this model.

    Nothing was changed: a model that was to take the weights has those it had.
    """


def listed(names, most=5):
    """The first of several names, for an error of a few lines."""
    names = list(names)
    rest = len(names) - most
    return ", ".join(map(str, names[:most])) + (f", and {rest} more" if rest > 0 else "")
