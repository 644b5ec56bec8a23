"""Global settings: default dtypes, image layout, fuzz factor, how much is shown, run limits."""

from __future__ import annotations

import os

import torch

from lightkeras._dtypes import floatx, set_floatx
from lightkeras._older import old_names
from lightkeras._registry import allow_code, did_you_mean
from lightkeras.dtype_policies import dtype_policy, set_dtype_policy

__all__ = [
    "backend",
    "disable_flash_attention",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "dtype_policy",
    "enable_flash_attention",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "enable_unsafe_deserialization",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_flash_attention_enabled",
    "is_interactive_logging_enabled",
    "is_nnx_enabled",
    "is_traceback_filtering_enabled",
    "max_epochs",
    "max_steps_per_epoch",
    "set_backend",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_max_epochs",
    "set_max_steps_per_epoch",
]

_DATA_FORMATS = ("channels_first", "channels_last")


def _limit(name, value):
    """A run limit, checked: None or a whole number of at least 1."""
    number = int(value) if str(value).isdecimal() else 0
    if value is not None and number < 1:
        raise ValueError(
            f"{name} is {value!r}. A whole number of at least 1 is accepted, or None for no limit. "
            "For example 3."
        )
    return None if value is None else number


_epsilon = 1e-7
_image_data_format = "channels_last"
_interactive_logging = True
_flash_attention: bool | None = None
_traceback_filtering = True
_max_epochs = _limit("KERAS_MAX_EPOCHS", os.environ.get("KERAS_MAX_EPOCHS") or None)
_max_steps_per_epoch = _limit(
    "KERAS_MAX_STEPS_PER_EPOCH", os.environ.get("KERAS_MAX_STEPS_PER_EPOCH") or None
)


# ---- backend ----------------------------------------------------------------------------------


def backend() -> str:
    """What computes: always "torch"."""
    return "torch"


def set_backend(backend) -> None:
    """Accepts "torch", the only backend.

    Raises:
        ValueError: another backend is asked for.
    """
    if backend != "torch":
        raise ValueError(
            f"Unknown backend {backend!r}. lightkeras computes with torch only. "
            "Drop the call, or use Keras itself for another backend."
        )


# ---- numbers and layout -----------------------------------------------------------------------


def epsilon() -> float:
    """The small number that keeps divisions and logarithms finite.

    >>> epsilon()
    1e-07
    """
    return _epsilon


def set_epsilon(value) -> None:
    """Set the fuzz factor.

    Raises:
        ValueError: it is no positive number.
    """
    global _epsilon
    if not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(
            f"set_epsilon() got {value!r}. A small positive number is accepted. For example 1e-7."
        )
    _epsilon = value


def image_data_format() -> str:
    """The layout of images where a layer is not told: "channels_last" or "channels_first".

    >>> image_data_format()
    'channels_last'
    """
    return _image_data_format


def set_image_data_format(data_format) -> None:
    """Set the default layout of images.

    Raises:
        ValueError: neither "channels_last" nor "channels_first".
    """
    global _image_data_format
    _image_data_format = standardize_data_format(data_format)


def standardize_data_format(data_format) -> str:
    """A layer's `data_format` argument, checked; None is the default layout.

    Raises:
        ValueError: neither "channels_last" nor "channels_first".
    """
    if data_format is None:
        return _image_data_format
    lowered = str(data_format).lower()
    if lowered not in _DATA_FORMATS:
        raise ValueError(
            f"Unknown data_format {data_format!r}.{did_you_mean(data_format, _DATA_FORMATS)} "
            "Accepted: 'channels_last' (batch, height, width, channels) or 'channels_first'."
        )
    return lowered


# ---- what is shown ----------------------------------------------------------------------------


def enable_interactive_logging() -> None:
    """`verbose="auto"` draws a progress bar (the default)."""
    global _interactive_logging
    _interactive_logging = True


def disable_interactive_logging() -> None:
    """`verbose="auto"` writes one line per epoch, as suits a log file."""
    global _interactive_logging
    _interactive_logging = False


def is_interactive_logging_enabled() -> bool:
    """Whether `verbose="auto"` draws a progress bar."""
    return _interactive_logging


def enable_traceback_filtering() -> None:
    """Errors that leave `fit` and the like show the user's own code and torch's (the default).

    The frames of lightkeras and Lightning in between are left out.
    """
    global _traceback_filtering
    _traceback_filtering = True


def disable_traceback_filtering() -> None:
    """Errors show every frame: for finding a mistake in lightkeras itself."""
    global _traceback_filtering
    _traceback_filtering = False


def is_traceback_filtering_enabled() -> bool:
    """Whether errors leave out the frames of lightkeras and Lightning."""
    return _traceback_filtering


# ---- how it is computed and read --------------------------------------------------------------


def enable_flash_attention() -> None:
    """Let torch use its flash kernel for attention where it can (torch's own default)."""
    _set_flash_attention(True)


def disable_flash_attention() -> None:
    """Keep torch from its flash kernel for attention."""
    _set_flash_attention(False)


def is_flash_attention_enabled() -> bool | None:
    """What was last asked for; None: nothing, so torch chooses."""
    return _flash_attention


def _set_flash_attention(enabled):
    global _flash_attention
    _flash_attention = enabled
    torch.backends.cuda.enable_flash_sdp(enabled)


def is_nnx_enabled() -> bool:
    """Whether layers are Flax's NNX modules: never, that is a matter of the JAX backend."""
    return False


def enable_unsafe_deserialization() -> None:
    """Load Python code that stands in files and configs, as `safe_mode=False` does for one.

    Only for files of one's own: such code can do anything. It cannot be taken back.
    """
    allow_code()


# ---- limits for trying a script out -----------------------------------------------------------


def max_epochs() -> int | None:
    """The most epochs that any `fit` runs; None: no limit.

    Set by `set_max_epochs` or the environment variable KERAS_MAX_EPOCHS.
    """
    return _max_epochs


def set_max_epochs(max_epochs) -> None:
    """Limit the epochs of every `fit`; None takes the limit away."""
    global _max_epochs
    _max_epochs = _limit("max_epochs", max_epochs)


def max_steps_per_epoch() -> int | None:
    """The most steps of any epoch, `evaluate` or `predict`; None: no limit.

    Set by `set_max_steps_per_epoch` or the environment variable KERAS_MAX_STEPS_PER_EPOCH.
    """
    return _max_steps_per_epoch


def set_max_steps_per_epoch(max_steps_per_epoch) -> None:
    """Limit the steps of every epoch; None takes the limit away."""
    global _max_steps_per_epoch
    _max_steps_per_epoch = _limit("max_steps_per_epoch", max_steps_per_epoch)


__getattr__ = old_names(__name__)
