"""Models: where layers and training meet."""

from lightkeras._older import old_names
from lightkeras.layers import _table
from lightkeras.models._cloning import clone_model
from lightkeras.models._functional import model_from_json
from lightkeras.models._model import Model
from lightkeras.models._sequential import Sequential
from lightkeras.saving import load_model, save_model

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]

_table.register("Model", Model)
_table.register("Functional", Model)
_table.register("Sequential", Sequential)

__getattr__ = old_names(__name__)
