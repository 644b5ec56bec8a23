"""JSON, read strictly and within bounds; written strictly."""

from __future__ import annotations

import json
import math
import re
from collections import Counter

from lightkeras.saving._errors import LoadError

__all__ = ["MAX_BYTES", "parse", "text_of"]

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 100
MAX_VALUES = 10**6
MAX_DIGITS = 40


def parse(data, where):
    """The value that JSON text stands for.

    Args:
        data: Bytes (UTF-8) or a string.
        where: What the text is, for errors ("config.json").

    Raises:
        LoadError: it is too large, too deep, not strict JSON, or repeats a key.
    """
    if len(data) > MAX_BYTES:
        raise LoadError(
            f"{where} has {len(data):,} bytes, {MAX_BYTES:,} are allowed. An architecture is far "
            "smaller. The file is damaged, or not a model."
        )
    text = _decoded(data, where)
    _check_extent(text, where)
    try:
        value = json.loads(
            text,
            object_pairs_hook=lambda pairs: _unique(pairs, where),
            parse_constant=lambda name: _refuse(where, f"holds the number {name}"),
            parse_int=lambda digits: _integer(digits, where),
            parse_float=lambda digits: _real(digits, where),
        )
    except LoadError:
        raise
    except (ValueError, RecursionError) as error:
        raise _refusal(where, f"is not JSON ({error})") from None
    _check_characters(value, text, where)
    return value


def _decoded(data, where):
    try:
        return data.decode("utf-8") if isinstance(data, bytes) else data.encode("utf-8").decode()
    except UnicodeError:
        raise _refusal(where, "is not UTF-8 text") from None


def _check_extent(text, where):
    """Depth and number of values, before a parser that recurses sees the text."""
    if sum(map(text.count, ",[{")) > MAX_VALUES:
        raise _refusal(where, f"holds more than {MAX_VALUES:,} values")
    outside = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    depth = 0
    for mark in re.findall(r"[\[\]{}]", outside):
        depth += 1 if mark in "[{" else -1
        if depth > MAX_DEPTH:
            raise _refusal(where, f"is nested more than {MAX_DEPTH} deep")


def _check_characters(value, text, where):
    """No half characters: escapes of UTF-16 surrogates come in pairs."""
    if "\\ud" in text.lower():
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeError:
            raise _refusal(where, "holds half a character (a lone surrogate)") from None


def _unique(pairs, where):
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        _refuse(where, f"holds the key {twice[:80]!r} twice in one object")
    return found


def _integer(digits, where):
    if len(digits) > MAX_DIGITS:
        _refuse(where, f"holds an integer of {len(digits):,} digits")
    return int(digits)


def _real(digits, where):
    value = float(digits)
    if math.isinf(value):
        _refuse(where, f"holds the number {digits[:20]}, which is too large")
    return value


def _refusal(where, what):
    return LoadError(
        f"{where} {what}. Strict JSON as save() and to_json() write it is read. Get the file "
        "again, or save the model again."
    )


def _refuse(where, what):
    raise _refusal(where, what)


# ---- writing ----------------------------------------------------------------------------------


def text_of(config, **options):
    """JSON text of a config; `options` go to `json.dumps`.

    Raises:
        TypeError: the config holds something that JSON cannot hold; its place is named.
    """
    try:
        return json.dumps(config, allow_nan=False, **options)
    except (TypeError, ValueError):
        place, value = _first_strange(config, "")
        if place is None:
            raise
        raise TypeError(
            f"The config of the model holds {value} at {place}, which a file cannot hold. "
            "Numbers, strings, lists, dicts, arrays and objects with get_config() can be stored. "
            "Leave it out of get_config(), or store what it is made from. save_weights() stores "
            "weights only."
        ) from None


def _first_strange(value, place):
    """(place, description) of the first value that strict JSON cannot hold."""
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, (list, tuple)):
        items = list(enumerate(value))
    elif value is None or isinstance(value, (str, bool, int)):
        return None, None
    elif isinstance(value, float):
        return (None, None) if math.isfinite(value) else (place, repr(value))
    else:
        return place, f"a {type(value).__name__}"
    for key, item in items:
        if not isinstance(key, (str, int)):
            return place, f"a key of type {type(key).__name__}"
        found = _first_strange(item, f"{place}/{key}".lstrip("/"))
        if found[0] is not None:
            return found
    return None, None
