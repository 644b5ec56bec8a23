"""What a backup belongs to: data, model and processes, in short, so that others are refused."""

from __future__ import annotations

import hashlib
import warnings

import torch

from lightkeras._data import Arrays
from lightkeras._data._convert import leaves
from lightkeras._ranks import world
from lightkeras._training._state import data_of

__all__ = ["check", "check_settings", "fingerprint", "settings"]

_EDGE = 4  # rows at each end that are looked at


def fingerprint(fit):
    """{what: {name: value}} of plain values, of a `fit` that is about to begin."""
    model = fit.model
    named: dict[str, dict] = {"processes": {"number": world()}}
    for name, batches in data_of(fit).items():
        named[name] = _data(batches)
    tensors = [*model.named_parameters(), *model.named_buffers()]
    named["model"] = {n: f"{list(t.shape)} {t.dtype}" for n, t in tensors}
    named["layers"] = {n: _arguments(layer) for n, layer in _layers(model)}
    optimizer, given = model._compiled.optimizer, model._compiled.config
    named["compile()"] = {
        "optimizer": type(optimizer).__name__,
        **{name: _argument(given[name]) for name in ("loss", "loss_weights")},
        "metrics": [metric.name for metric in model._all_metrics()],
    }
    return named


def _layers(model):
    """(path, layer) of all layers that are no models: their arguments say what they do."""
    for name, module in model.named_modules():
        if hasattr(module, "get_config") and not hasattr(module, "_compiled"):
            yield name, module


def _arguments(owner):
    """ "argument=value" of what a layer or a loss was made with, if it can tell."""
    try:
        config = owner.get_config()
    except Exception:  # of the user's own; it is not needed for training
        return []
    own = (n for n in config if not isinstance(getattr(owner, n, None), torch.nn.Module))
    return [f"{n}={_argument(config[n])}" for n in own if n != "name" and _matters(n)]


def _matters(argument):
    """Not what a backup replaces, which may be drawn, nor where a lambda stands in the script."""
    return argument not in _FREE and not argument.endswith("_initializer")


_FREE = ("seed", "code", "defaults", "closure", "value")
_MOST = 100  # characters of a value


def _argument(value):
    """Short text that is the same in every process: no addresses, no code of lambdas."""
    if isinstance(value, dict) and "class_name" in value:
        inside = value.get("config")
        return f"{value['class_name']}({_argument(inside) if isinstance(inside, dict) else ''})"
    if isinstance(value, dict):
        named = {n: v for n, v in value.items() if _matters(n)}
        if "trainable" in named:  # a layer, of which names are counted
            named.pop("name", None)
        text = ", ".join(f"{n}={_argument(v)}" for n, v in named.items())
    elif isinstance(value, (list, tuple)):
        text = f"[{', '.join(map(_argument, value))}]"
    elif value is None or isinstance(value, (bool, int, float, str)):
        text = repr(value)
    elif hasattr(value, "get_config"):
        text = f"{type(value).__name__}({', '.join(_arguments(value))})"
    else:
        text = getattr(value, "__name__", type(value).__name__)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return text if len(text) <= _MOST else f"{text[: _MOST // 2]}... ({digest})"


def _data(batches):
    found: dict = {"kind": type(batches).__name__}
    for name in ("rows", "steps", "batch_size", "shuffle"):
        value = getattr(batches, name, None)
        if value is not None:
            found[name] = value
    if isinstance(batches, Arrays):
        parts = zip(("x", "y", "sample_weight"), (batches.x, batches.y, batches.w), strict=True)
        for name, array in (pair for part, tree in parts for pair in leaves(tree, part)):
            found[name] = f"{list(array.shape[1:])} {array.dtype} {_digest(array)}"
    else:
        kinds = [type(source).__name__ for source in batches.sources()]
        sizes = [_size(source) for source in batches.sources()]
        found.update(sources=kinds, sizes=sizes)
    return found


def _digest(array):
    """Short digest of the first and last rows."""
    ends = torch.cat([array[:_EDGE], array[-_EDGE:]]).cpu().contiguous()
    return hashlib.sha256(ends.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()[:16]


def _size(source):
    try:
        return len(source)
    except (TypeError, NotImplementedError):
        return None


def check(now, then, folder):
    """Refuse to go on with something else than what was saved.

    Raises:
        ValueError: it says what differs.
    """
    for what in sorted({*now, *then}):
        mine, saved = now.get(what, {}), then.get(what, {})
        for name in [*saved, *mine]:
            if mine.get(name) != saved.get(name):
                was, now_is = _different(saved.get(name), mine.get(name))
                raise ValueError(
                    f"The backup in {folder!r} belongs to another training: of {what}, {name} was "
                    f"{was} and is {now_is}. "
                    "The same data, model and number of processes can go on. Remove the folder to "
                    "begin anew, or give another one."
                )


def _different(then, now):
    """What to show of two values: of the arguments of a layer, those that differ."""
    if all(isinstance(given, list) and "=" in "".join(given[:1]) for given in (then, now)):
        pairs = ((then, now), (now, then))
        return [", ".join(a for a in mine if a not in other) for mine, other in pairs]
    return ["not there" if given is None else given for given in (then, now)]


# ---- what a script may change, and a training that goes on does not ----------------------------


def settings(optimizer):
    """{name: text} of what an optimizer is given, learning rate first."""
    if hasattr(optimizer, "get_config"):
        config = optimizer.get_config()
        config.pop("name", None)  # it may count the optimizers that were made before
        rate = config.pop("learning_rate", None)
        return {"learning_rate": _text(rate), **{n: _text(v) for n, v in config.items()}}
    groups = [] if optimizer is None else optimizer.param_groups
    named = groups[0].items() if groups else ()
    return {n: _text(v) for n, v in named if n not in ("params", "initial_lr")}


def _text(value):
    if isinstance(value, dict) and "class_name" in value:
        inner = value.get("config", {}).items()
        return f"{value['class_name']}({', '.join(f'{n}={_text(v)}' for n, v in inner)})"
    return repr(value)


def check_settings(now, then, rate, folder):
    """Warn where the script gives the optimizer something else than when the training began.

    Args:
        now, then: What `settings` gives, and gave.
        rate: The learning rate that the backup holds; None where there is none.
        folder: Where the backup is.
    """
    changed = [name for name in then if name in now and now[name] != then[name]]
    if changed and changed[0] in ("learning_rate", "lr") and now[changed[0]] == _text(rate):
        changed = changed[1:]  # a callback has come to the same
    if not changed:
        return
    mine, saved = (", ".join(f"{n}={given[n]}" for n in changed[:3]) for given in (now, then))
    goes_on = "" if rate is None else f", now with a learning rate of {rate:.6g}"
    warnings.warn(
        f"The optimizer has {mine}, and the training whose backup is in {folder!r} began with "
        f"{saved}. It goes on as it began{goes_on}. Remove the folder to begin anew with {mine}.",
        stacklevel=2,
    )
