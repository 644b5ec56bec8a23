"""Constructor arguments: captured for `get_config`, old spellings translated, typos caught.

All of it happens in the metaclass, when an object is made; nothing is left for a call to pay.
"""

from __future__ import annotations

import inspect
import warnings
from functools import cache

from lightkeras._kinds import check_kinds
from lightkeras._registry import did_you_mean, serialize

__all__ = ["Configurable", "Configured", "arguments", "modernize", "unexpected", "warn_old"]

# ---- old spellings --------------------------------------------------------------------------
# {class or function: {old argument: new one, new ones, or a function (kwargs, value) -> None}}.
# Read only when an argument arrives that the signature does not know.


def _data_format(kwargs, value):
    kwargs["data_format"] = {"th": "channels_first", "tf": "channels_last"}.get(value, value)


def _epochs_between(kwargs, value):
    if value != 1:
        kwargs["save_freq"] = _Every(value)


class _Every(int):
    """`period=n` of old ModelCheckpoint: every n epochs (a plain int would mean batches)."""


def _without(kwargs, value):
    """It chose among ways to compute the same."""


def _feature_by_feature(kwargs, value):
    """`mode=0` of Keras 1; 1 and 2 normalized other axes, which have layers of their own."""
    if value != 0:
        raise ValueError(
            f"BatchNormalization() got mode={value!r}. It normalizes feature by feature (mode=0). "
            "Type LayerNormalization() for mode=1."
        )


def _words_left_out(kwargs, value):
    """`Embedding(dropout=0.2)` of Keras 1 left whole words out."""
    if value:
        raise ValueError(
            f"Embedding() got dropout={value!r}, which has gone from Keras. A layer after it does "
            f"that today. Type SpatialDropout1D({value!r}) behind the Embedding."
        )


def _inverse_time_decay(kwargs, value):
    kwargs["_decay"] = value


_WEIGHTED = {
    "init": "kernel_initializer",
    "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint",
    "b_constraint": "bias_constraint",
    "bias": "use_bias",
}
_SPATIAL = {"border_mode": "padding", "dim_ordering": _data_format}
_CONV = {
    **_WEIGHTED,
    **_SPATIAL,
    "nb_filter": "filters",
    "subsample": "strides",
    "subsample_length": "strides",
    "filter_length": "kernel_size",
    "atrous_rate": "dilation_rate",
}
_RECURRENT = {
    "output_dim": "units",
    "init": "kernel_initializer",
    "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
    "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "b_regularizer": "bias_regularizer",
    "consume_less": _without,
}

OLD_NAMES: dict[str, dict] = {
    "Dense": {"output_dim": "units", **_WEIGHTED},
    "Embedding": {
        "init": "embeddings_initializer",
        "W_regularizer": "embeddings_regularizer",
        "W_constraint": "embeddings_constraint",
        "dropout": _words_left_out,
    },
    "_SeparableConv": {
        "init": ("depthwise_initializer", "pointwise_initializer"),
        "kernel_initializer": ("depthwise_initializer", "pointwise_initializer"),
        "kernel_regularizer": ("depthwise_regularizer", "pointwise_regularizer"),
        "kernel_constraint": ("depthwise_constraint", "pointwise_constraint"),
    },
    "DepthwiseConv2D": {
        "kernel_initializer": "depthwise_initializer",
        "kernel_regularizer": "depthwise_regularizer",
        "kernel_constraint": "depthwise_constraint",
    },
    "_Conv": _CONV,
    "_Pool": {
        **_SPATIAL,
        "pool_length": "pool_size",
        "stride": "strides",
    },
    "RNN": _RECURRENT,
    "_Recurrent": _RECURRENT,
    "Dropout": {"p": "rate"},
    "GaussianNoise": {"sigma": "stddev"},
    "GaussianDropout": {"p": "rate"},
    "SpatialDropout1D": {"p": "rate"},
    "LeakyReLU": {"alpha": "negative_slope"},
    "BatchNormalization": {
        "gamma_init": "gamma_initializer",
        "beta_init": "beta_initializer",
        "mode": _feature_by_feature,
        "fused": _without,
    },
    "L1": {"l": "l1"},
    "L2": {"l": "l2"},
    "MaxNorm": {"m": "max_value"},
    "Optimizer": {"lr": "learning_rate", "decay": _inverse_time_decay},
    "ModelCheckpoint": {"period": _epochs_between},
    "ReduceLROnPlateau": {"epsilon": "min_delta"},
    "Model": {"input": "inputs", "output": "outputs"},
    "fit": {"nb_epoch": "epochs"},
    "load_data": {"nb_words": "num_words"},
    "to_categorical": {"nb_classes": "num_classes"},
    "Tokenizer": {"nb_words": "num_words"},
}

_warned: set[tuple[str, str]] = set()


def modernize(families, kwargs, known):
    """Translate old spellings in `kwargs`, in place, with one warning per spelling.

    Args:
        families: Names looked up in `OLD_NAMES`, the most specific first.
        kwargs: The keyword arguments as the user typed them.
        known: Argument names that are current and stay as they are.
    """
    for family in families:
        for old in [k for k in kwargs if k not in known]:
            new = OLD_NAMES.get(family, {}).get(old)
            if new is None:
                continue
            value = kwargs.pop(old)
            if callable(new):
                new(kwargs, value)
                warn_old(families[0], old)
                continue
            today = (new,) if isinstance(new, str) else new
            for name in today:
                kwargs.setdefault(name, value)
            warn_old(families[0], old, *today)


def _in_places_of_today(families, args, kwargs):
    """Keras 1's Convolution2D(32, 3, 3, border_mode="same"): the sizes of the kernel one by one."""
    old = "_Conv" in families and any(k in _CONV for k in kwargs)
    if old and len(args) > 2 and all(isinstance(n, int) for n in args):
        return args[0], args[1:]
    return args


def warn_old(owner, old, *today):
    """Say once that `old` is an old spelling."""
    if (owner, old) in _warned:
        return
    _warned.add((owner, old))
    hint = f" Its name today is {' and '.join(map(repr, today))}." if today else ""
    warnings.warn(
        f"{owner}: {old!r} is an old Keras spelling and is translated.{hint}",
        stacklevel=_outside(),
    )


def _outside():
    """Stack level of the user's line: the first frame outside of us and of what we stand on."""
    frame, level = inspect.currentframe(), 1
    inside = ("lightkeras", "lightning", "torch.")
    while frame and frame.f_globals.get("__name__", "").startswith(inside):
        frame, level = frame.f_back, level + 1
    return level - 1


def unexpected(owner, name, known, hint="") -> TypeError:
    """The error for an argument that nobody takes; raise what it returns."""
    names = sorted(k for k in known if not k.startswith("_"))
    return TypeError(
        f"{owner}() got an unexpected argument {name!r}.{did_you_mean(name, names)} "
        f"Accepted: {', '.join(names) or 'none'}.{hint}"
    )


_PASS_ON = " Take **kwargs in its __init__, and type super().__init__(**kwargs)."


# ---- the metaclass --------------------------------------------------------------------------


@cache
def _signature(cls):
    return inspect.signature(cls.__init__)


@cache
def accepted(cls):
    """(argument names, closed): what a class's constructor takes, `**kwargs` followed upwards.

    `closed` is False where a user's own `**kwargs` may take anything out of it by hand.
    """
    names, closed = set(), True
    for klass in cls.__mro__:
        init = klass.__dict__.get("__init__")
        if init is None:
            continue
        parameters = list(inspect.signature(init).parameters.values())[1:]
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        names |= set(klass.__dict__.get("_extra_arguments", ()))
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
        ours = klass.__module__.startswith("lightkeras.")
        closed = closed and ours and not klass.__dict__.get("_any_keyword", False)
        if "_extra_arguments" in klass.__dict__:
            break
    return frozenset(names), closed


class Configurable(type):
    """Metaclass of all that has a config: layers, losses, metrics, optimizers, callbacks..."""

    _kinds: dict = {}  # {argument: its kind}, of this class
    _proof: str | None = None  # an attribute that the constructor of a family leaves behind

    @property
    def __signature__(cls):  # help() and inspect show the constructor, not the call below
        if "_own_signature" in cls.__dict__:
            return cls._own_signature
        parameters = list(_signature(cls).parameters.values())[1:]
        return inspect.Signature(parameters)

    @__signature__.setter
    def __signature__(cls, signature):
        cls._own_signature = signature

    def __call__(cls, *args, **kwargs):
        if kwargs:
            known, closed = accepted(cls)
            if not kwargs.keys() <= known:
                families = [c.__name__ for c in cls.__mro__]
                args = _in_places_of_today(families, args, kwargs)
                modernize(families, kwargs, known)
                strange = [k for k in kwargs if k not in known and k != "_decay"]
                if strange and closed:
                    hint = "" if _is_ours(cls) else _PASS_ON
                    raise unexpected(cls.__name__, strange[0], known, hint)
        if cls._kinds and _is_ours(cls):
            check_kinds(cls, _signature(cls), args, kwargs)
        obj = cls.__new__(cls, *args, **kwargs)  # type: ignore[arg-type]
        if isinstance(obj, cls):
            obj.__dict__["_captured"] = (args, kwargs)
            try:
                obj.__init__(*args, **kwargs)
            except (TypeError, AttributeError) as error:
                said = str(error)  # a sentence of ours, or Python's own on a missing argument
                known = said.endswith(".") or "__init__()" in said
                if known or not _is_ours(cls) or _through_others(error.__traceback__):
                    raise
                raise _unfit(cls, args, kwargs, error) from error
            if cls._proof is not None and cls._proof not in obj.__dict__:
                raise RuntimeError(
                    f"{cls.__name__}.__init__() did not call super().__init__(), which sets up "
                    "what every such object has. Make it the first line of __init__."
                )
        return obj


def _is_ours(cls):
    return cls.__module__.startswith("lightkeras.")


def _through_others(traceback):
    """Whether code of neither ours nor torch's was on the way to an error."""
    while traceback is not None:
        if not traceback.tb_frame.f_globals.get("__name__", "").startswith(("lightkeras", "torch")):
            return True
        traceback = traceback.tb_next
    return False


def _unfit(cls, args, kwargs, error):
    """The sentence for a constructor that stumbled over the kind of an argument."""
    given = [repr(value)[:60] for value in args]
    given += [f"{name}={repr(value)[:60]}" for name, value in kwargs.items()]
    return TypeError(
        f"{cls.__name__}({', '.join(given)}) cannot be made: {error}. An argument is not of the "
        f"kind that it takes. Type help({cls.__name__}) to see what each one is."
    )


def arguments(obj) -> dict:
    """Constructor arguments of `obj` by name, defaults included.

    An attribute of the same name wins over the captured value, so that
    `layer.rate = 0.3` is what a config shows.
    """
    args, kwargs = obj.__dict__.get("_captured", ((), {}))
    bound = _signature(type(obj)).bind(obj, *args, **kwargs)  # type: ignore[arg-type]
    bound.apply_defaults()
    values = {}
    for name, parameter in list(_signature(type(obj)).parameters.items())[1:]:  # type: ignore[arg-type]
        if parameter.kind is parameter.VAR_KEYWORD:
            values.update(bound.arguments.get(name, {}))
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            values[name] = bound.arguments[name]
    return {name: getattr(obj, name, value) for name, value in values.items()}


class Configured(metaclass=Configurable):
    """An object that its constructor arguments describe completely."""

    def get_config(self):
        """Constructor arguments as plain values."""
        return {name: plain(value) for name, value in arguments(self).items()}

    @classmethod
    def from_config(cls, config):
        """The object that `get_config` described."""
        return cls(**config)


def plain(value):
    """A config value: objects and functions become configs and names, containers are walked."""
    if isinstance(value, (list, tuple)):
        return type(value)(plain(v) for v in value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if hasattr(value, "get_config") or (callable(value) and hasattr(value, "__name__")):
        return serialize(value)
    return value
