"""Which object a layer or weight gets, by its path."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import MutableMapping

__all__ = ["PathMap"]


class PathMap(MutableMapping):
    """{path, or regular expression that the whole path matches: object}, and one for the others.

    Args:
        entries: A dict, or None.
    """

    def __init__(self, entries):
        kind = type(self).__name__
        if entries is not None and not isinstance(entries, dict):
            raise TypeError(
                f"{kind}() got {type(entries).__name__}. A dict of paths is accepted. Write "
                '{"encoder/.*": ...}, for example.'
            )
        self._entries: dict = {}
        for key, value in (entries or {}).items():
            self[key] = value

    @abstractmethod
    def _other(self):
        """The object of paths that no key fits."""

    @abstractmethod
    def _checked(self, value):
        """A value as it is kept; raises if it cannot be one."""

    def __getitem__(self, key):
        if key in self._entries:
            return self._entries[key]
        fitting = [pattern for pattern in self._entries if re.fullmatch(pattern, key)]
        if len(fitting) > 1:
            raise ValueError(
                f"{type(self).__name__}: {key!r} fits the keys {', '.join(map(repr, fitting))}. "
                "One key is accepted. Make the patterns narrower."
            )
        return self._entries[fitting[0]] if fitting else self._other()

    def __setitem__(self, key, value):
        kind = type(self).__name__
        if not isinstance(key, str):
            raise ValueError(
                f"{kind} got the key {key!r}. A path or pattern is a string. Write "
                '"encoder/.*", for example.'
            )
        if key in self._entries:
            raise ValueError(
                f"{kind} has {key!r} already. Each key is given once. Type del map[{key!r}] first."
            )
        self._entries[key] = self._checked(value)

    def __delitem__(self, key):
        del self._entries[key]

    def __contains__(self, key):
        return key in self._entries

    def __len__(self):
        return len(self._entries)

    def __iter__(self):
        return iter(self._entries)

    __eq__ = object.__eq__
    __hash__ = object.__hash__
