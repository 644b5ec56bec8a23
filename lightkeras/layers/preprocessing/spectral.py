"""Layers that turn signals into spectrograms: how much of each frequency there is, over time."""

from __future__ import annotations

import math
import warnings

import torch
import torch.nn.functional as F

from lightkeras import config, initializers
from lightkeras._config import _outside
from lightkeras._registry import unknown
from lightkeras.layers._layer import Layer
from lightkeras.layers._spec import InputSpec
from lightkeras.layers._views import Permuted
from lightkeras.layers.core import positive_int, real
from lightkeras.ops._math import stft

__all__ = ["MelSpectrogram", "STFTSpectrogram"]

_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


class STFTSpectrogram(Layer):
    """Spectrograms by short-time Fourier transforms whose waves are weights, and may be trained.

    Args:
        mode: "log" (of the magnitude), "magnitude", "psd" (power), "real", "imag", "angle", or
            "stft" for the real parts followed by the imaginary ones.
        frame_length: Steps of a piece.
        frame_step: Steps from one piece to the next; half of `frame_length` by default.
        fft_length: Size of the transform; the next power of two by default.
        window: Name of a window of SciPy, an array, or None.
        periodic: Whether the window is a periodic one.
        scaling: "density", "spectrum" or None.
        padding: "valid" or "same".
        expand_dims: Keep frequencies and channels on two axes, as images.
        data_format: "channels_last" or "channels_first".

    Shape:
        `(batch, time, channels)` -> `(batch, pieces, channels * frequencies)`, or with
        `expand_dims` `(batch, pieces, frequencies, channels)`; channels first likewise
        `(batch, channels * frequencies, pieces)`, `(batch, channels, pieces, frequencies)`

    Raises:
        ValueError: a size or a name does not fit.

    Source: Cheuk and others, nnAudio: an on-the-fly GPU audio to spectrogram conversion (2020).

    >>> tuple(STFTSpectrogram(frame_length=8)(torch.zeros(2, 20, 1)).shape)
    (2, 4, 5)
    """

    views = (
        Permuted("real_kernel", "real_weight", 2, 1, 0),
        Permuted("imag_kernel", "imag_weight", 2, 1, 0),
    )

    def __init__(
        self,
        mode="log",
        frame_length=256,
        frame_step=None,
        fft_length=None,
        window="hann",
        periodic=False,
        scaling="density",
        padding="valid",
        expand_dims=False,
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if mode not in _MODES:
            raise unknown("mode", mode, _MODES)
        if scaling not in ("density", "spectrum", None):
            raise unknown("scaling", scaling, ["density", "spectrum"])
        if padding not in ("valid", "same"):
            raise unknown("padding", padding, ["same", "valid"])
        self.mode, self.scaling, self.padding = mode, scaling, padding
        self.frame_length = positive_int("STFTSpectrogram", "frame_length", frame_length)
        self.frame_step, self.fft_length = frame_step, fft_length
        self._step = self.frame_length // 2 if frame_step is None else frame_step
        self._bins = (fft_length or 2 ** math.ceil(math.log2(self.frame_length))) // 2 + 1
        self._check_sizes()
        self.window, self.periodic, self.expand_dims = window, periodic, expand_dims
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=3)

    def _check_sizes(self):
        length, step, fft = self.frame_length, self.frame_step, self.fft_length
        if step is not None and not 1 <= step <= length:
            raise ValueError(
                f"STFTSpectrogram(frame_step={step!r}, frame_length={length}) leaves steps out. It "
                f"takes a whole number from 1 to {length}. Type frame_step={max(length // 2, 1)}."
            )
        if fft is not None and fft < length:
            raise ValueError(
                f"STFTSpectrogram(fft_length={fft!r}, frame_length={length}) cuts pieces off. It "
                f"takes a whole number of at least {length}. Leave it out."
            )
        if fft is not None and fft & (fft - 1):
            warnings.warn(
                f"STFTSpectrogram(fft_length={fft}) is no power of two, which is usual.",
                stacklevel=_outside(),
            )

    def build(self, input_shape):
        for side, other in (("real", "imag"), ("imag", "real")):
            if self.mode != other:
                self.add_weight(
                    name=f"{side}_kernel",
                    shape=(self.frame_length, 1, self._bins),
                    initializer=initializers.STFT(side, self.window, self.scaling, self.periodic),
                )

    def call(self, inputs):
        first = self.data_format == "channels_first"
        x = inputs if first else inputs.transpose(1, 2)  # (batch, channels, time)
        batch, channels = x.shape[:2]
        x = x.reshape(batch * channels, 1, -1)
        if self.padding == "same":
            x = F.pad(x, self._around(x.shape[-1]))
        weights = [getattr(self, f"{side}_weight", None) for side in ("real", "imag")]
        parts = [None if w is None else F.conv1d(x, w, stride=self._step) for w in weights]
        y = self._in_mode(*parts)  # (batch * channels, frequencies, pieces)
        y = y.view(batch, channels, *y.shape[1:])
        if self.expand_dims:
            return y.transpose(2, 3) if first else y.permute(0, 3, 2, 1)
        y = y.flatten(1, 2)
        return y if first else y.transpose(1, 2)

    def _around(self, time):
        """Zeros before and after, so that there are ceil(time / step) pieces."""
        pieces = -(-time // self._step)
        missing = max((pieces - 1) * self._step + self.frame_length - time, 0)
        return missing // 2, missing - missing // 2

    def _in_mode(self, real, imag):
        if self.mode in ("real", "imag"):
            return real if imag is None else imag
        if self.mode == "angle":
            return torch.atan2(imag, real)
        if self.mode == "stft":
            return torch.cat((real, imag), 1)
        power = real.square() + imag.square()
        if self.mode == "psd":  # frequencies below zero, which are not computed, count too
            return power + F.pad(power[:, 1:-1], (0, 0, 1, 1))
        magnitude = power.clamp(min=config.epsilon()).sqrt()
        return (
            magnitude if self.mode == "magnitude" else magnitude.clamp(min=config.epsilon()).log()
        )

    def compute_output_shape(self, input_shape):
        batch, time, channels = input_shape
        if self.data_format == "channels_first":
            time, channels = channels, time
        bins = self._bins * (2 if self.mode == "stft" else 1)
        lost = 0 if self.padding == "same" else self.frame_length - 1
        pieces = None if time is None else -(-(time - lost) // self._step)
        if self.expand_dims:
            last = (batch, pieces, bins, channels)
            return last if self.data_format == "channels_last" else (batch, channels, pieces, bins)
        size = None if channels is None else bins * channels
        return (
            (batch, pieces, size) if self.data_format == "channels_last" else (batch, size, pieces)
        )


class MelSpectrogram(Layer):
    """Spectrograms on the mel scale, on which equal steps sound alike.

    Args:
        fft_length: Size of the Fourier transform.
        sequence_stride: Steps from one piece to the next.
        sequence_length: Steps of a piece; `fft_length` by default.
        window: "hann", "hamming", an array or None.
        sampling_rate: Steps of time in a second.
        num_mel_bins: Number of frequencies on the mel scale.
        min_freq, max_freq: Lowest and highest frequency; half of the sampling rate by default.
        power_to_db: Whether values are decibels.
        top_db: Decibels below the largest one that are kept.
        mag_exp: 2 for power, 1 for magnitude.
        min_power: The smallest power, where decibels begin.
        ref_power: The power that is 0 decibels.

    Shape:
        `(time,)` -> `(num_mel_bins, pieces)`; `(batch, time)` -> `(batch, num_mel_bins, pieces)`

    Raises:
        ValueError: a size is no whole number above zero, or pieces are longer than the transform.

    Source: Davis and Mermelstein, Comparison of parametric representations for monosyllabic word
    recognition (1980).

    >>> tuple(MelSpectrogram(num_mel_bins=20)(torch.zeros(2, 16000)).shape)
    (2, 20, 32)
    """

    _casts_ints = True

    def __init__(
        self,
        fft_length=2048,
        sequence_stride=512,
        sequence_length=None,
        window="hann",
        sampling_rate=16000,
        num_mel_bins=128,
        min_freq=20.0,
        max_freq=None,
        power_to_db=True,
        top_db=80.0,
        mag_exp=2.0,
        min_power=1e-10,
        ref_power=1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        own = type(self).__name__
        self.fft_length = positive_int(own, "fft_length", fft_length)
        self.sequence_stride = positive_int(own, "sequence_stride", sequence_stride)
        self.sequence_length = positive_int(own, "sequence_length", sequence_length or fft_length)
        self.num_mel_bins = positive_int(own, "num_mel_bins", num_mel_bins)
        if self.fft_length < self.sequence_length:
            raise ValueError(
                f"MelSpectrogram(fft_length={fft_length}, sequence_length={sequence_length}) cuts "
                "pieces off. The transform is at least as long as they. Leave sequence_length out."
            )
        for name, value in (
            ("sampling_rate", sampling_rate),
            ("min_freq", min_freq),
            ("top_db", top_db),
        ):
            real(own, name, value, 80)
        self.window, self.sampling_rate = window, sampling_rate
        self.min_freq, self.max_freq = min_freq, max_freq or int(sampling_rate / 2)
        self.power_to_db, self.top_db, self.mag_exp = power_to_db, top_db, mag_exp
        self.min_power, self.ref_power = min_power, ref_power
        matrix = self.linear_to_mel_weight_matrix(
            self.num_mel_bins, self.fft_length // 2 + 1, sampling_rate, min_freq, self.max_freq
        )
        self.register_buffer("_mel", matrix, persistent=False)

    def build(self, input_shape=None):
        pass

    def call(self, inputs):
        x = inputs if inputs.dtype in (torch.float32, torch.float64) else inputs.float()
        length, stride = self.sequence_length, self.sequence_stride
        real, imag = stft(x, length, stride, self.fft_length, self.window)
        y = (real.square() + imag.square()).sqrt() ** self.mag_exp
        y = y @ self._mel.to(y.dtype)  # (..., pieces, mel)
        if self.power_to_db:
            y = self._decibels(y)
        return y.transpose(-1, -2).to(inputs.dtype)

    def _decibels(self, y):
        y = 10 * y.clamp(min=self.min_power).log10()
        y = y - 10 * math.log10(max(abs(self.ref_power), self.min_power))
        return torch.maximum(y, y.max() - self.top_db)

    def linear_to_mel_weight_matrix(
        self,
        num_mel_bins=20,
        num_spectrogram_bins=129,
        sampling_rate=8000,
        lower_edge_hertz=125.0,
        upper_edge_hertz=3800.0,
        dtype="float32",
    ):
        """Share of each frequency in each mel: triangles that overlap, of height 1.

        Shape:
            -> `(num_spectrogram_bins, num_mel_bins)`
        """
        dtype = getattr(torch, dtype)
        hertz = torch.linspace(0, sampling_rate / 2, num_spectrogram_bins, dtype=dtype)
        mel = _mel(hertz[1:])[:, None]  # without the constant part
        low, high = _mel(torch.tensor([lower_edge_hertz, upper_edge_hertz], dtype=dtype))
        edges = torch.linspace(float(low), float(high), num_mel_bins + 2, dtype=dtype)
        rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
        return F.pad(torch.minimum(rising, falling).clamp(min=0), (0, 0, 1, 0))

    def compute_output_shape(self, input_shape):
        *batch, time = input_shape
        pieces = None if time is None else time // self.sequence_stride + 1
        return (*batch, self.num_mel_bins, pieces)


def _mel(hertz):
    return 1127.0 * torch.log(1 + hertz / 700.0)
