"""Names and import paths of older Keras: where they lead today, or what to type in their place.

    from lightkeras.layers.merge import Concatenate         # there is no such file; it works
    from lightkeras.layers.core import Dropout              # there is one, without a Dropout
    optimizers.rmsprop                                      # RMSprop

Only a name that was not found comes here: nobody else pays for it. Where there is nothing to
lead to, the error says what was meant.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from opcode import opmap
from types import ModuleType

from lightkeras._config import warn_old
from lightkeras._registry import did_you_mean

__all__ = ["ELSEWHERE", "find_old_paths", "lacking", "old_names"]

_ENGINE = ("layers", "models", "utils")
# Module of older Keras -> where its names are today, the likeliest first.
_PATHS = {
    "engine": _ENGINE,
    "engine.base_layer": _ENGINE,
    "engine.input_layer": _ENGINE,
    "engine.saving": ("models", "saving"),
    "engine.sequential": ("models",),
    "engine.topology": _ENGINE,
    "engine.training": ("models",),
    "initializations": ("initializers",),
    "layers.advanced_activations": ("layers",),
    "layers.convolutional": ("layers",),
    "layers.core": ("layers",),
    "layers.embeddings": ("layers",),
    "layers.experimental": ("layers",),
    "layers.experimental.preprocessing": ("layers",),
    "layers.merge": ("layers",),
    "layers.noise": ("layers",),
    "layers.normalization": ("layers",),
    "layers.pooling": ("layers",),
    "layers.recurrent": ("layers",),
    "layers.wrappers": ("layers",),
    "objectives": ("losses",),
    "optimizer_v2": ("optimizers",),
    "optimizer_v2.adam": ("optimizers",),
    "optimizers.adam_v2": ("optimizers",),
    "saving.save": ("saving",),
    "utils.data_utils": ("utils",),
    "utils.generic_utils": ("utils",),
    "utils.layer_utils": ("utils", "layers"),
}

# What Keras has and torch's own world does: said to whoever looks for it here.
ELSEWHERE = {
    "applications": "torchvision.models has these networks with their weights. Type "
    "layers.TorchModuleWrapper(torchvision.models.resnet50(weights='DEFAULT')).",
    "distribution": "Lightning lays models out over devices. Type "
    "model.fit(x, y, devices=2, strategy='fsdp').",
    "quantizers": "torchao quantises torch modules, and a model is one. Type "
    "torchao.quantization.quantize_(model, ...).",
    "export": "torch exports torch modules, and a model is one. Type "
    "torch.export.export(model, (x,)).",
}

_BY_RANK = "Type Conv1D or Conv2D(..., dilation_rate=2)."
_MERGED = "Type layers.Concatenate()([a, b]), or Add, Multiply, Average, Maximum, Dot."
_COSINE = "Type losses.cosine_similarity, or metrics.CosineSimilarity(): its sign is another."
_KEPT = "It is not needed here: leave the call out."
# {module: {old name: today's name, or a sentence}}.
_NAMES = {
    "initializers": {
        "normal": "RandomNormal",
        "one": "Ones",
        "uniform": "RandomUniform",
        "zero": "Zeros",
    },
    "layers": {
        "AtrousConvolution1D": _BY_RANK,
        "AtrousConvolution2D": _BY_RANK,
        "CuDNNGRU": "GRU",
        "CuDNNLSTM": "LSTM",
        "Deconvolution2D": "Conv2DTranspose",
        "Deconvolution3D": "Conv3DTranspose",
        "DenseFeatures": "Type utils.FeatureSpace(features), which prepares columns of a table.",
        "JaxLayer": "Jax does not run here. Write a Layer, or layers.TorchModuleWrapper(module).",
        "Merge": _MERGED,
        "Recurrent": "RNN",
        "TFSMLayer": "TensorFlow does not run here. Load a .keras file: models.load_model(path).",
        "ThresholdedReLU": "Type layers.ReLU(threshold=1.0).",
        "_Merge": "Derive from layers.Layer, and compute in call(self, inputs).",
        "merge": _MERGED,
    },
    "losses": {
        "cosine": "cosine_similarity",
        "cosine_proximity": "cosine_similarity",
        "huber_loss": "huber",
    },
    "metrics": {
        "BCE": "binary_crossentropy",
        "KLD": "kl_divergence",
        "bce": "binary_crossentropy",
        "cosine": _COSINE,
        "cosine_proximity": _COSINE,
        "kld": "kl_divergence",
        "kullback_leibler_divergence": "kl_divergence",
        "logcosh": "log_cosh",
    },
    "models": {
        "Graph": "Type Model(inputs, outputs).",
        "model_from_yaml": "Type models.model_from_json(text): YAML can run code.",
    },
    "optimizers": {
        "adadelta": "Adadelta",
        "adagrad": "Adagrad",
        "adam": "Adam",
        "adamax": "Adamax",
        "nadam": "Nadam",
        "optimizer_from_config": "deserialize",
        "rmsprop": "RMSprop",
        "sgd": "SGD",
        "TFOptimizer": "Type compile(optimizer=torch.optim.Adam): torch's optimizers are taken.",
    },
    "regularizers": {
        "WeightRegularizer": "L1L2",
        "activity_l1": "l1",
        "activity_l1l2": "l1_l2",
        "activity_l2": "l2",
        "l1l2": "l1_l2",
    },
    "utils": {
        "convert_all_kernels_in_model": _KEPT,
        "layer_from_config": "Type layers.deserialize(config).",
        "multi_gpu_model": "Type model.fit(x, y, devices=2).",
        "SidecarEvaluator": "Type model.fit(..., validation_data=(x, y)).",
    },
}


def old_names(module, above=()):
    """The `__getattr__` of a public module, which is asked for what the module lacks.

    Args:
        module: Its full name.
        above: {name: module} of what is in it and stands higher than it.
    """
    place = module.removeprefix("lightkeras.")

    def __getattr__(name):
        if name.startswith("__"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        if name in above:
            return getattr(importlib.import_module(f"lightkeras.{above[name]}"), name)
        today = _NAMES.get(place, {}).get(name)
        if today is not None and today.isidentifier():
            warn_old(place, name, today)
            return getattr(sys.modules[module], today)
        if today is None and f"{place}.{name}" in _PATHS:
            return importlib.import_module(f"{module}.{name}")
        known = list(sys.modules[module].__all__)
        for other in map(importlib.import_module, _places(module)):
            found = getattr(other, name, None)
            if found is not None:
                return found
            known += other.__all__
        hint = f" {today}" if today else did_you_mean(name, known)
        raise lacking(f"module {module!r} has no attribute {name!r}.{hint}")

    return __getattr__


def lacking(message):
    """The error for a name that a module has not: an AttributeError, or an ImportError.

    Of the former `from module import name` shows no word.
    """
    asks = sys._getframe(2)  # above the module's __getattr__
    imports = asks.f_code.co_code[asks.f_lasti] == opmap["IMPORT_FROM"]
    if imports:
        return ImportError(message)
    # With the module for `obj` Python would guess once more.
    return AttributeError(message, obj=message)


class _OldPaths(MetaPathFinder, Loader):
    """Makes the modules of `_PATHS` that have no file: all they have is elsewhere.

    Of others that are not found either, it says which is meant.
    """

    def find_spec(self, fullname, path=None, target=None):
        package, _, place = fullname.partition(".")
        if package != "lightkeras":
            return None
        if place not in _PATHS:
            raise ModuleNotFoundError(_no_module(fullname, path), name=fullname)
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec):
        return ModuleType(spec.name, f"Names of older Keras: {', '.join(_places(spec.name))}.")

    def exec_module(self, module):
        names = [n for p in _places(module.__name__) for n in importlib.import_module(p).__all__]
        module.__dict__.update(__all__=sorted(set(names)), __getattr__=old_names(module.__name__))


def _no_module(fullname, path):
    parent, _, name = fullname.rpartition(".")
    files = [module.name for module in pkgutil.iter_modules(path) if module.name[0] != "_"]
    older = [place.rpartition(".") for place in _PATHS]
    known = files + [last for first, _, last in older if f"lightkeras.{first}".strip(".") == parent]
    hint = f" {ELSEWHERE[name]}" if name in ELSEWHERE else did_you_mean(name, known)
    return f"No module named {fullname!r}.{hint}"


def _places(name):
    return [f"lightkeras.{p}" for p in _PATHS.get(name.partition(".")[2], ())]


def find_old_paths():
    """Let `import` find the modules of older Keras, after all others."""
    if not any(isinstance(finder, _OldPaths) for finder in sys.meta_path):
        sys.meta_path.append(_OldPaths())
