"""Import paths and names of older Keras, as scripts have them, and what is said of those gone."""

import importlib
import re
import warnings

import pytest
import torch

import lightkeras as lk
from lightkeras import layers

PATHS = {
    "engine": "Layer InputSpec",
    "engine.topology": "Layer InputSpec Input get_source_inputs",
    "engine.training": "Model",
    "initializations": "normal uniform zero glorot_uniform",
    "layers.advanced_activations": "LeakyReLU PReLU ELU",
    "layers.convolutional": """Conv1D Conv2D Convolution1D Convolution2D MaxPooling2D UpSampling2D
        ZeroPadding2D Cropping2D AveragePooling2D SeparableConv2D Conv2DTranspose""",
    "layers.convolutional_recurrent": "ConvLSTM2D",
    "layers.core": """Dense Dropout Activation Flatten Reshape Permute RepeatVector Lambda Masking
        SpatialDropout2D""",
    "layers.embeddings": "Embedding",
    "layers.merge": "Concatenate Add Multiply concatenate add",
    "layers.noise": "GaussianNoise GaussianDropout",
    "layers.normalization": "BatchNormalization LayerNormalization",
    "layers.pooling": "MaxPooling1D GlobalAveragePooling2D",
    "layers.recurrent": "LSTM GRU SimpleRNN RNN",
    "layers.wrappers": "TimeDistributed Bidirectional",
    "objectives": "mean_squared_error categorical_crossentropy mse",
    "optimizer_v2.adam": "Adam",
    "optimizers.adam_v2": "Adam",
    "optimizers.legacy": "Adam SGD",
    "preprocessing.text": "Tokenizer one_hot text_to_word_sequence",
    "saving.save": "load_model save_model",
    "utils.data_utils": "get_file Sequence",
    "utils.generic_utils": "Progbar get_custom_objects",
    "utils.layer_utils": "get_source_inputs",
    "utils.np_utils": "to_categorical normalize",
    "utils.vis_utils": "plot_model model_to_dot",
    "wrappers.scikit_learn": "KerasClassifier KerasRegressor",
}


@pytest.mark.filterwarnings("ignore:.*old Keras spelling")
@pytest.mark.parametrize("path", PATHS)
def test_paths(path):
    module = importlib.import_module(f"lightkeras.{path}")
    for name in PATHS[path].split():
        assert callable(getattr(module, name)), name
    found = lk
    for part in path.split("."):
        found = getattr(found, part)
    assert found is module


def test_the_same_things_stand_there():
    from lightkeras.layers.merge import concatenate

    from lightkeras.layers.core import Dropout

    assert (Dropout, concatenate) == (layers.Dropout, layers.concatenate)
    everything = {}
    exec("from lightkeras.layers.convolutional import *", everything)
    exec("from lightkeras.layers.embeddings import *", everything)
    assert everything["Embedding"] is layers.Embedding


WRONG = {  # what is typed -> what is said
    "from lightkeras.layers.core import Dropot": "'Dropot'. Did you mean 'Dropout'?",
    "from lightkeras.models import Graph": "'Graph'. Type Model(inputs, outputs).",
    "from lightkeras import layrs": "'layrs'. Did you mean 'layers'?",
    "from lightkeras.engine.topology import Layr": "'Layr'. Did you mean 'Layer'?",
    "from lightkeras.ops import matmull": "'matmull'. Did you mean 'matmul'?",
    "from lightkeras.backend import sqare": "'sqare'. Did you mean 'square'?",
    "from lightkeras.backend import placeholder": "'placeholder'. Use layers.Input(shape).",
    "from lightkeras.wrappers import SKLearnClasifier": "Did you mean 'SKLearnClassifier'?",
    "import lightkeras.laeyrs": "'lightkeras.laeyrs'. Did you mean 'layers'?",
    "from lightkeras.layers.cor import Dense": "'lightkeras.layers.cor'. Did you mean 'core'?",
    "import lightkeras.datasets.mnst": "'lightkeras.datasets.mnst'. Did you mean 'mnist'?",
    "from lightkeras.applications.vgg16 import VGG16": "torchvision.models has these networks",
    "from lightkeras.export import ExportArchive": "torch.export.export(model, (x,))",
}
SAY_NAMES = """activations callbacks config constraints datasets dtype_policies initializers layers
layers.core losses metrics mixed_precision models ops.image ops.linalg ops.nn ops.numpy optimizers
optimizers.legacy optimizers.schedules preprocessing preprocessing.image preprocessing.sequence
preprocessing.text random regularizers saving tree utils utils.np_utils utils.vis_utils
visualization wrappers.scikit_learn"""
for _name in SAY_NAMES.split():
    _known = importlib.import_module(f"lightkeras.{_name}").__all__[0]
    WRONG[f"from lightkeras.{_name} import {_known}x"] = "Did you mean '"


@pytest.mark.parametrize("typed", WRONG)
def test_a_wrong_name_is_answered_where_it_is_imported(typed):
    """Python itself would say of `from module import name` only that it cannot."""
    with pytest.raises(ImportError, match=re.escape(WRONG[typed])):
        exec(typed)
    if typed.startswith("from"):
        path, name = typed[len("from ") :].split(" import ")
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError:
            return
        assert not hasattr(module, name)  # for which it must be an AttributeError


RENAMED = {
    "layers.CuDNNLSTM": layers.LSTM,
    "layers.Deconvolution2D": layers.Conv2DTranspose,
    "optimizers.rmsprop": lk.optimizers.RMSprop,
    "optimizers.adam": lk.optimizers.Adam,
    "regularizers.l1l2": lk.regularizers.L1L2,
    "regularizers.activity_l2": lk.regularizers.L2,
    "initializers.normal": lk.initializers.RandomNormal,
    "losses.cosine_proximity": lk.losses.cosine_similarity,
    "losses.huber_loss": lk.losses.huber,
    "metrics.KLD": lk.losses.kl_divergence,
    "metrics.kullback_leibler_divergence": lk.losses.kl_divergence,
    "metrics.logcosh": lk.losses.log_cosh,
    "metrics.bce": lk.losses.binary_crossentropy,
    "initializers.zero": lk.initializers.Zeros,
}


@pytest.mark.parametrize("path", RENAMED)
def test_names(path, monkeypatch):
    monkeypatch.setattr("lightkeras._config._warned", set())
    place, name = path.split(".")
    with pytest.warns(UserWarning, match=rf"{place}: '{name}' is an old Keras spelling.*today is"):
        found = getattr(getattr(lk, place), name)
    assert found is RENAMED[path] or found.__name__ in ("l1_l2", "l2")
    with warnings.catch_warnings():  # once is enough
        warnings.simplefilter("error")
        getattr(getattr(lk, place), name)


GONE = {
    "layers.merge": r"Type layers\.Concatenate\(\)\(\[a, b\]\)",
    "layers.Merge": r"Type layers\.Concatenate",
    "layers.ThresholdedReLU": r"Type layers\.ReLU\(threshold=1\.0\)",
    "layers.DenseFeatures": r"utils\.FeatureSpace",
    "layers.TFSMLayer": r"models\.load_model",
    "layers.Dens": r"Did you mean 'Dense'\?",
    "metrics.cosine_proximity": r"losses\.cosine_similarity, or metrics\.CosineSimilarity\(\)",
    "models.Graph": r"Type Model\(inputs, outputs\)",
    "models.model_from_yaml": r"model_from_json",
    "callbacks.ReduceLRONPlateau": r"Did you mean 'ReduceLROnPlateau'\?",
    "losses.MeanSquareError": r"Did you mean 'MeanSquaredError'\?",
    "metrics.Precison": r"Did you mean 'Precision'\?",
    "optimizers.Adan": r"Did you mean 'Adam'\?",
    "activations.rellu": r"Did you mean 'relu'\?",
    "utils.multi_gpu_model": r"Type model\.fit\(x, y, devices=2\)",
    "utils.to_categoric": r"Did you mean 'to_categorical'\?",
    "backend.function": r"Make a Model\(inputs, outputs\)",
}


@pytest.mark.parametrize("path", GONE)
def test_what_has_gone(path):
    place, name = path.split(".")
    module = getattr(lk, place)
    vars(module).pop("merge", None)  # the file of this name, when it was imported before
    with pytest.raises(AttributeError, match=rf"has no (attribute )?'{name}'\. .*{GONE[path]}"):
        getattr(module, name)


@pytest.mark.filterwarnings("ignore:.*old Keras spelling")
def test_old_arguments():
    first = layers.Convolution2D(4, 3, 5, border_mode="same", subsample=(2, 1), init="uniform")
    assert first.get_config()["kernel_size"] == (3, 5)
    assert first(lk.Input((8, 8, 3))).shape == (None, 4, 8, 4)
    assert layers.Conv2D(4, 3, 2).strides == (2, 2)  # today's third place
    assert layers.LSTM(output_dim=3, consume_less="gpu", inner_init="zeros").units == 3
    assert layers.BatchNormalization(mode=0, fused=True).axis == -1
    dense = layers.DepthwiseConv2D(3, kernel_initializer="ones")
    assert type(dense.depthwise_initializer).__name__ == "Ones"
    with pytest.raises(ValueError, match=r"mode=1\. .*Type LayerNormalization\(\)"):
        layers.BatchNormalization(mode=1)
    with pytest.raises(ValueError, match=r"dropout=0\.2.*Type SpatialDropout1D\(0\.2\) behind"):
        layers.Embedding(9, 4, dropout=0.2)
    assert layers.Embedding(9, 4, dropout=0.0)(torch.zeros(1, 2)).shape == (1, 2, 4)


@pytest.mark.parametrize("name", ["init", "kernel_initializer"])
def test_one_initializer_for_both_kernels(name, monkeypatch):
    monkeypatch.setattr("lightkeras._config._warned", set())
    says = f"'{name}' is an old .* 'depthwise_initializer' and 'pointwise_initializer'"
    with pytest.warns(UserWarning, match=says):
        layer = layers.SeparableConv2D(3, 2, **{name: "ones"}, pointwise_constraint="non_neg")
    layer.build((None, 4, 4, 2))
    assert [w.mean() for w in layer.get_weights()] == [1.0, 1.0, 0.0]
    assert layer.depthwise_constraint is None


def test_one_hot_rows_of_a_dtype(monkeypatch):
    monkeypatch.setattr("lightkeras._config._warned", set())
    with pytest.warns(UserWarning, match="to_categorical: 'dtype' is an old Keras spelling"):
        rows = lk.utils.to_categorical([1, 0], dtype="uint8")
    assert (rows.dtype, rows.tolist()) == ("uint8", [[0, 1], [1, 0]])
    assert lk.utils.to_categorical(torch.tensor([1]), 2, dtype="float16").dtype is torch.float16
    with pytest.warns(UserWarning, match="Its name today is 'num_classes'"):
        assert lk.utils.to_categorical([1], nb_classes=3).shape == (1, 3)
    with pytest.raises(TypeError, match=r"'num_class'\. Did you mean 'num_classes'"):
        lk.utils.to_categorical([1], num_class=3)
