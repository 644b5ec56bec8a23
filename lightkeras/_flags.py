"""Lightning Trainer flags from a command line or from the environment.

`--max-epochs 3`, `--max_epochs=3` and `--fast-dev-run` become `Trainer` arguments, whatever the
installed Lightning calls its arguments: the names are read from its signature.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import sys

from lightkeras._loading import loading_lightning
from lightkeras._registry import did_you_mean

__all__ = [
    "VARIABLE",
    "check_flags",
    "check_names",
    "environment_flags",
    "known_flags",
    "trainer_flags",
]

VARIABLE = "LIGHTKERAS_TRAINER"
# Flags that say the same as an argument of `fit`, and what that is when it is not given.
_SAME = {
    "max_epochs": ("epochs", 1),
    "limit_train_batches": ("steps_per_epoch", None),
    "limit_val_batches": ("validation_steps", None),
    "check_val_every_n_epoch": ("validation_freq", 1),
}
_command_line: dict = {}  # flags that `trainer_flags` has read
_VALUE = re.compile(r"[^-]|-\d|-$")  # what may follow a flag as its value: text, -1, a lone dash
_WORDS = {"true": True, "false": False, "none": None}


def trainer_flags(argv=None, own=()):
    """The Trainer flags of a command line, and what is left of it.

    Args:
        argv: The words; the program's own arguments by default.
        own: Names of flags that belong to the script; they stay in what is left. None leaves
            every unknown flag there that is not a misspelt Trainer flag.

    Returns:
        A dictionary of Trainer arguments and the list of other words.

    Raises:
        SystemExit: a flag belongs to nobody, or lacks its value.

    >>> trainer_flags(["--devices=2", "--data", "mnist"], own=["data"])
    ({'devices': 2}, ['--data', 'mnist'])
    """
    flags, rest = _read(list(sys.argv[1:] if argv is None else argv), own)
    _command_line.update(flags)
    return flags, rest


def _read(words, own):
    flags, rest = {}, []
    while words:
        word = words.pop(0)
        if word == "--":  # the rest is nobody's flag
            return flags, rest + words
        if not word.startswith("--"):
            rest.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if name == "help" or name in {o.lstrip("-").replace("-", "_") for o in own or ()}:
            rest.append(word)
        elif name not in known_flags():
            _unless_misspelt(word, name, own)
            rest.append(word)
        elif equals or (words and _VALUE.match(words[0])):
            flags[name] = _parse(value if equals else words.pop(0))
        elif known_flags()[name]:
            flags[name] = True
        else:
            raise SystemExit(f"{word} expects a value. Type {word} VALUE or {word}=VALUE.")
    return flags, rest


def environment_flags():
    """The Trainer flags that `lightkeras run` left in the environment; {} without any.

    Raises:
        ValueError: the variable does not hold a JSON object of Trainer flags.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return {}
    try:
        flags = json.loads(text)
    except ValueError:
        flags = None
    if not isinstance(flags, dict):
        raise ValueError(
            f"The environment variable {VARIABLE} does not hold a JSON object. Trainer flags by "
            f"name are accepted. Set it to '{{\"devices\": 2}}', for instance, or unset it."
        )
    for name in flags:
        if name not in known_flags():
            raise ValueError(
                f"The environment variable {VARIABLE} holds {name!r}, which is no Trainer flag."
                f"{did_you_mean(name, known_flags())}"
            )
    return flags


def check_flags(flags, arguments):
    """Refuse flags that contradict arguments of `fit`; from a command line they may shorten it.

    Args:
        flags: Trainer flags that the program gives.
        arguments: {name: value} of the arguments.

    Raises:
        ValueError: a flag and an argument differ.
    """
    for flag, (argument, default) in _SAME.items():
        given, value = flags.get(flag), arguments[argument]
        if given is None or value in (default, given):
            continue
        if flag not in _command_line or _command_line[flag] != given:
            raise ValueError(
                f"fit({argument}={value!r}) and the Trainer flag {flag}={given!r} contradict each "
                f"other. One of them is accepted. Leave {flag} out."
            )
    if flags.get("min_epochs") and flags["min_epochs"] > max(arguments["epochs"], 1):
        raise ValueError(
            f"The Trainer flag min_epochs={flags['min_epochs']} is more than the epochs of "
            f"fit(epochs={arguments['epochs']}). At most as many are accepted. "
            f"Type epochs={flags['min_epochs']}."
        )


def check_names(flags):
    """Refuse a strategy that Lightning does not know.

    Raises:
        ValueError: with the closest name.
    """
    with loading_lightning():
        from lightning.pytorch.strategies import StrategyRegistry

    name, known = flags.get("strategy"), ["auto", *StrategyRegistry.available_strategies()]
    if isinstance(name, str) and name not in known:
        raise ValueError(
            f"The Trainer flag strategy={name!r} is no strategy.{did_you_mean(name, known)} "
            f"Known: {', '.join(n for n in known if 'find_unused' not in n)}. "
            "Type strategy='ddp', or leave it out."
        )


def known_flags():
    """{name: does it stand alone, without a value} of the Trainer's arguments."""
    with loading_lightning():
        from lightning.pytorch import Trainer

    parameters = list(inspect.signature(Trainer.__init__).parameters.values())[1:]
    return {p.name: "bool" in str(p.annotation) for p in parameters}


def _unless_misspelt(word, name, own):
    close = did_you_mean(name, known_flags()).replace("_", "-").replace("'", "'--", 1)
    if own is None and not close:
        return
    accepted = [f"--{o.lstrip('-')}" for o in own or ()]
    raise SystemExit(
        f"Unknown flag {word}.{close} Flags of Lightning's Trainer are accepted"
        + (f", and {', '.join(accepted)}." if accepted else ".")
        + (" Put the script's own arguments behind a --." if own is None else "")
    )


def _parse(text):
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for read in (int, float, json.loads):
        try:
            return read(text)
        except ValueError:
            continue
    return text
