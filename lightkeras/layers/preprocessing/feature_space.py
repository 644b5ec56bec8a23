"""`FeatureSpace`: columns of a table, each encoded in its own way, as one vector."""

from __future__ import annotations

import builtins
import importlib

import numpy as np
import torch

from lightkeras._config import Configured
from lightkeras._dtypes import native
from lightkeras._graph import is_keras_tensor
from lightkeras._registry import serialize, unique_name, unknown
from lightkeras._text import as_text, holds_text
from lightkeras.layers import _table
from lightkeras.layers._layer import Layer
from lightkeras.layers.core import Identity, Input
from lightkeras.layers.merging import Concatenate
from lightkeras.layers.preprocessing.categories import (
    CategoryEncoding,
    Discretization,
    HashedCrossing,
    Hashing,
)
from lightkeras.layers.preprocessing.lookup import IntegerLookup, StringLookup
from lightkeras.layers.preprocessing.numeric import Normalization, Rescaling

__all__ = ["Cross", "Feature", "FeatureSpace"]

_TYPES = (
    "float",
    "float_discretized",
    "float_normalized",
    "float_rescaled",
    "integer_categorical",
    "integer_hashed",
    "string_categorical",
    "string_hashed",
)
_HOME = "keras.src.layers.preprocessing.feature_space"  # where Keras keeps what it does not export


class Cross(Configured):
    """Features whose values are hashed together.

    Args:
        feature_names: Their names.
        crossing_dim: Number of bins.
        output_mode: "one_hot" or "int".
    """

    _keras_class = (_HOME, "Cross")

    def __init__(self, feature_names, crossing_dim, output_mode="one_hot"):
        if output_mode not in ("int", "one_hot"):
            raise unknown("output_mode", output_mode, ["int", "one_hot"])
        self.feature_names = tuple(feature_names)
        self.crossing_dim, self.output_mode = crossing_dim, output_mode

    @property
    def name(self):
        """The names, joined."""
        return "_X_".join(self.feature_names)


class Feature(Configured):
    """A column of a table, and the layer that encodes it.

    Args:
        dtype: "float32", "int32", "int64" or "string".
        preprocessor: The layer.
        output_mode: "one_hot", "int" or "float": what is made of what the layer gives.
    """

    _keras_class = (_HOME, "Feature")

    def __init__(self, dtype, preprocessor, output_mode):
        if output_mode not in ("int", "one_hot", "float"):
            raise unknown("output_mode", output_mode, ["float", "int", "one_hot"])
        if isinstance(preprocessor, dict):
            preprocessor = _table.deserialize(preprocessor)
        self.dtype, self.preprocessor, self.output_mode = dtype, preprocessor, output_mode

    def get_config(self):
        """The layer as a config, too."""
        return {**super().get_config(), "preprocessor": serialize(self.preprocessor)}


class FeatureSpace(Layer):
    """Columns of a table, each encoded in its own way, as one vector or as a dict.

    Args:
        features: `{name: type}`: the name of a type ("float", "float_normalized",
            "float_rescaled", "float_discretized", "integer_categorical", "string_categorical",
            "integer_hashed", "string_hashed"), or what the function of that name returns, such as
            `FeatureSpace.string_categorical(max_tokens=10)`.
        output_mode: "concat" for one vector of all features in the order of their names, those of
            crosses last; "dict".
        crosses: Tuples of names of features to cross, or what `FeatureSpace.cross` returns.
        crossing_dim, hashing_dim, num_discretization_bins: Bins where none are said.

    Shape:
        `{name: (batch,) or (batch, 1)}` -> `(batch, size)`; of single values `(size,)`

    Raises:
        ValueError: a type is not known, or the layer was not adapted.

    >>> space = FeatureSpace({"age": "float", "city": "string_categorical"})
    >>> data = {"age": [1.0, 2.0, 3.0], "city": ["ulm", "rom", "ulm"]}
    >>> space.adapt(data)
    >>> space({"age": [9.0], "city": ["rom"]}).tolist()
    [[9.0, 0.0, 0.0, 1.0]]
    """

    _takes_text = True
    _keras_class = ("keras.utils", "FeatureSpace")

    def __init__(
        self,
        features,
        output_mode="concat",
        crosses=None,
        crossing_dim=32,
        hashing_dim=32,
        num_discretization_bins=32,
        name=None,
        **kwargs,
    ):
        super().__init__(name=name, autocast=False, **kwargs)
        if not features:
            raise ValueError(
                "FeatureSpace() got no features. It takes a dict of their names and types. Type "
                'FeatureSpace({"age": "float", "city": "string_categorical"}).'
            )
        if output_mode not in ("concat", "dict"):
            raise unknown("output_mode", output_mode, ["concat", "dict"])
        self.output_mode, self.crossing_dim = output_mode, crossing_dim
        self.hashing_dim = hashing_dim
        self.num_discretization_bins = num_discretization_bins
        state = self.__dict__
        state["features"] = {name: self._feature(name, kind) for name, kind in features.items()}
        state["crosses"] = [self._cross(cross) for cross in crosses or ()]
        state["inputs"] = {
            name: Input((1,), dtype=feature.dtype, name=name)
            for name, feature in self.features.items()
        }
        self.preprocessors = {n: feature.preprocessor for n, feature in self.features.items()}
        self.crossers = {c.name: HashedCrossing(c.crossing_dim, name=c.name) for c in self.crosses}
        self.one_hot_encoders = {}
        self.concat = Concatenate(axis=-1)
        state["_is_adapted"] = not self._to_adapt()
        state["encoded_features"] = None

    def _feature(self, name, kind):
        if isinstance(kind, Feature):
            return kind
        if isinstance(kind, dict):
            return Feature(**kind.get("config", kind))
        if kind not in _TYPES:
            raise unknown("type of feature", kind, _TYPES)
        size = {
            "float_discretized": (self.num_discretization_bins,),
            "integer_hashed": (self.hashing_dim,),
            "string_hashed": (self.hashing_dim,),
        }.get(kind, ())
        return getattr(self, kind)(*size, name=name)

    def _cross(self, cross):
        if isinstance(cross, dict):
            cross = Cross(**cross.get("config", cross))
        elif not isinstance(cross, Cross):
            cross = Cross(cross, self.crossing_dim)
        for name in cross.feature_names:
            if name not in self.features:
                raise unknown("feature", name, self.features)
        return cross

    # ---- types of features --------------------------------------------------------------------

    @classmethod
    def cross(cls, feature_names, crossing_dim, output_mode="one_hot"):
        """Features hashed together to `crossing_dim` bins."""
        return Cross(feature_names, crossing_dim, output_mode)

    @classmethod
    def feature(cls, dtype, preprocessor, output_mode):
        """A feature with a layer of one's own."""
        return Feature(dtype, preprocessor, output_mode)

    @classmethod
    def float(cls, name=None):
        """Numbers as they are."""
        return Feature("float32", Identity(name=_named(name, "float")), "float")

    @classmethod
    def float_rescaled(cls, scale=1.0, offset=0.0, name=None):
        """Numbers times `scale`, plus `offset`."""
        layer = Rescaling(scale, offset, name=_named(name, "float_rescaled"))
        return Feature("float32", layer, "float")

    @classmethod
    def float_normalized(cls, name=None):
        """Numbers with mean 0 and variance 1."""
        return Feature("float32", Normalization(name=_named(name, "float_normalized")), "float")

    @classmethod
    def float_discretized(cls, num_bins, bin_boundaries=None, output_mode="one_hot", name=None):
        """The ranges that numbers fall in."""
        name = _named(name, "float_discretized")
        layer = Discretization(bin_boundaries, num_bins, name=name)
        return Feature("float32", layer, output_mode)

    @classmethod
    def integer_categorical(
        cls, max_tokens=None, num_oov_indices=1, output_mode="one_hot", name=None
    ):
        """Whole numbers of which any may occur, by their places in a vocabulary."""
        name = _named(name, "integer_categorical")
        return Feature("int32", IntegerLookup(max_tokens, num_oov_indices, name=name), output_mode)

    @classmethod
    def string_categorical(
        cls, max_tokens=None, num_oov_indices=1, output_mode="one_hot", name=None
    ):
        """Strings, by their places in a vocabulary."""
        name = _named(name, "string_categorical")
        return Feature("string", StringLookup(max_tokens, num_oov_indices, name=name), output_mode)

    @classmethod
    def string_hashed(cls, num_bins, output_mode="one_hot", name=None):
        """Strings, by a hash."""
        return Feature("string", Hashing(num_bins, name=_named(name, "string_hashed")), output_mode)

    @classmethod
    def integer_hashed(cls, num_bins, output_mode="one_hot", name=None):
        """Whole numbers, by a hash."""
        return Feature("int32", Hashing(num_bins, name=_named(name, "integer_hashed")), output_mode)

    # ---- adapt --------------------------------------------------------------------------------

    def _to_adapt(self):
        """Names of the features whose layers learn from data."""
        given = lambda layer: (  # noqa: E731
            getattr(layer, "input_mean", None) is not None
            or getattr(getattr(layer, "_lookup_layer", layer), "_is_given", False)
            or (isinstance(layer, Discretization) and layer.num_bins is None)
        )
        layers = self.preprocessors.items()
        return [n for n, layer in layers if hasattr(layer, "adapt") and not given(layer)]

    def adapt(self, dataset):
        """Take vocabularies, means and boundaries from data.

        Args:
            dataset: A dict of arrays or lists, a frame, or what yields batches that are dicts.

        Raises:
            ValueError: a feature is missing.
            TypeError: it is something else.
        """
        whole = isinstance(dataset, dict) or hasattr(dataset, "iloc")
        if not whole and not hasattr(dataset, "__iter__"):
            raise TypeError(
                f"FeatureSpace.adapt() got {type(dataset).__name__}. A dict of arrays is accepted, "
                "or what yields such dicts. Type space.adapt(dict(frame))."
            )
        for name in self._to_adapt():
            layer = self.preprocessors[name]
            if whole:
                layer.adapt(_column(self._of(dataset, name), name))
            else:
                layer.adapt(_column(self._of(batch, name), name) for batch in dataset)
        self.__dict__["_is_adapted"] = True

    def _of(self, data, name):
        if name not in data:
            raise ValueError(
                f"{self.name!r} got data without the feature {name!r}. Its features are: "
                f"{', '.join(self.features)}. Use these as keys."
            )
        return data[name]

    # ---- the call -----------------------------------------------------------------------------

    def __call__(self, data):
        self._need_adapted()
        if not isinstance(data, dict) and not hasattr(data, "iloc"):
            raise TypeError(
                f"{self.name!r} got {type(data).__name__}. A dict of the features is accepted. "
                "Type space({name: values})."
            )
        columns = {name: self._of(data, name) for name in self.features}
        single = all(np.ndim(x) == 0 and not is_keras_tensor(x) for x in columns.values())
        merged = self._encoded({name: _column(x, name) for name, x in columns.items()})
        if not single:
            return merged
        return merged[0] if self.output_mode == "concat" else {n: x[0] for n, x in merged.items()}

    def _need_adapted(self):
        if not self._is_adapted:
            raise ValueError(
                f"FeatureSpace {self.name!r} has seen no data yet: {', '.join(self._to_adapt())} "
                "learn from it. Type space.adapt(data)."
            )

    def _encoded(self, columns):
        plain = {name: self.preprocessors[name](columns[name]) for name in sorted(self.features)}
        crossed = {
            c.name: self.crossers[c.name]([plain[n] for n in c.feature_names]) for c in self.crosses
        }
        specs = {**self.features, **{c.name: c for c in self.crosses}}
        parts = {**plain, **dict(sorted(crossed.items()))}
        parts = {
            n: self._as_vector(n, x) if specs[n].output_mode == "one_hot" else x
            for n, x in parts.items()
        }
        if self.output_mode == "dict":
            return parts
        for name, x in parts.items():
            if not str(x.dtype).removeprefix("torch.").startswith(("float", "bfloat")):
                raise ValueError(
                    f"The feature {name!r} is of {x.dtype} and cannot stand in one vector with "
                    'the others. Type output_mode="one_hot" for it, or "dict" for all.'
                )
        return (
            self.concat(builtins.list(parts.values()))
            if len(parts) > 1
            else next(iter(parts.values()))
        )

    def _as_vector(self, name, x):
        if name not in self.one_hot_encoders:
            layer = self.preprocessors[name] if name in self.preprocessors else self.crossers[name]
            self.one_hot_encoders[name] = CategoryEncoding(_cardinality(name, layer))
        return self.one_hot_encoders[name](x)

    def get_inputs(self):
        """`{name: symbolic input}`, for a functional model."""
        self._need_adapted()
        return self.inputs

    def get_encoded_features(self):
        """The symbolic outputs of `get_inputs()`."""
        self._need_adapted()
        if self.encoded_features is None:
            self.__dict__["encoded_features"] = self._encoded(self.inputs)
        return self.encoded_features

    # ---- files --------------------------------------------------------------------------------

    def save(self, filepath, overwrite=True):
        """Write the space, with what `adapt` found, to a `.keras` file for `models.load_model`.

        Raises:
            ValueError: it has seen no data yet, or the name does not end in `.keras`.
        """
        self._need_adapted()
        self.__dict__["built"] = True
        importlib.import_module("lightkeras.saving").save_model(self, filepath, overwrite)

    def get_build_config(self):
        """Whether the layers have seen their data."""
        return {"adapted": True} if self._is_adapted else None

    def build_from_config(self, config):
        """Be adapted: what was found comes with the layers."""
        self.__dict__.update(_is_adapted=True, built=True)

    def get_config(self):
        """Features and crosses as configs; what `adapt` found is in the layers."""
        names = ("output_mode", "crossing_dim", "hashing_dim", "num_discretization_bins", "name")
        return {
            "features": {name: serialize(feature) for name, feature in self.features.items()},
            "crosses": [serialize(cross) for cross in self.crosses],
            **{name: getattr(self, name) for name in names},
        }


def _named(name, kind):
    return f"{name or unique_name(kind)}_preprocessor"


def _cardinality(name, layer):
    """How many different numbers a layer gives."""
    if isinstance(layer, (IntegerLookup, StringLookup)):
        return layer.vocabulary_size()
    if isinstance(layer, CategoryEncoding):
        return layer.num_tokens
    if isinstance(layer, (Discretization, Hashing, HashedCrossing)):
        return layer.num_bins or layer._depth()
    raise ValueError(
        f'The feature {name!r} has output_mode="one_hot", and how many numbers {layer.name!r} '
        'gives is not known. Type output_mode="int", or "float" for a layer that gives vectors.'
    )


def _column(x, name):
    """Values as `(batch, 1)`; symbolic ones, and what has more axes, as they are."""
    if is_keras_tensor(x):
        return x
    if isinstance(x, str) or holds_text(x):
        x = as_text(x, name)
    elif not isinstance(x, torch.Tensor):
        array = np.array(x)  # a copy: a frame may be read-only
        x = torch.as_tensor(native(array.astype("float32") if array.dtype == np.float64 else array))
    return x.reshape(-1, 1) if x.ndim < 2 else x


_table.register("FeatureSpace", FeatureSpace)
