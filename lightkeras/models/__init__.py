"""Models: where layers and training meet."""

from lightkeras.models._model import Model
from lightkeras.models._sequential import Sequential

__all__ = ["Model", "Sequential"]
