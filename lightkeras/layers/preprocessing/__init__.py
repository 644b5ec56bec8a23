"""Layers that prepare data: texts and categories, sizes and scales, random augmentation."""

from lightkeras.layers.preprocessing.categories import (
    CategoryEncoding,
    Discretization,
    HashedCrossing,
    Hashing,
)
from lightkeras.layers.preprocessing.clahe import ContrastLimitedAdaptiveHistogramEqualization
from lightkeras.layers.preprocessing.color import (
    AutoContrast,
    Equalization,
    RandomBrightness,
    RandomColorDegeneration,
    RandomColorJitter,
    RandomContrast,
    RandomGrayscale,
    RandomHue,
    RandomInvert,
    RandomPosterization,
    RandomSaturation,
    Solarization,
)
from lightkeras.layers.preprocessing.geometric import (
    RandomCrop,
    RandomFlip,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)
from lightkeras.layers.preprocessing.lookup import IntegerLookup, StringLookup
from lightkeras.layers.preprocessing.mixing import (
    CutMix,
    MixUp,
    RandomErasing,
    RandomGaussianBlur,
    RandomSharpness,
)
from lightkeras.layers.preprocessing.numeric import Normalization, Rescaling
from lightkeras.layers.preprocessing.pipeline import Pipeline
from lightkeras.layers.preprocessing.policies import AugMix, RandAugment
from lightkeras.layers.preprocessing.resizing import CenterCrop, Resizing
from lightkeras.layers.preprocessing.spectral import MelSpectrogram, STFTSpectrogram
from lightkeras.layers.preprocessing.text import TextVectorization
from lightkeras.layers.preprocessing.warping import (
    MaxNumBoundingBoxes,
    RandomElasticTransform,
    RandomPerspective,
)

__all__ = [
    "AugMix",
    "AutoContrast",
    "CategoryEncoding",
    "CenterCrop",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "CutMix",
    "Discretization",
    "Equalization",
    "HashedCrossing",
    "Hashing",
    "IntegerLookup",
    "MaxNumBoundingBoxes",
    "MelSpectrogram",
    "MixUp",
    "Normalization",
    "Pipeline",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomCrop",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "Rescaling",
    "Resizing",
    "STFTSpectrogram",
    "Solarization",
    "StringLookup",
    "TextVectorization",
]
