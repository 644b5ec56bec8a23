"""`Config`: named values that can be frozen."""

from __future__ import annotations

import json

from lightkeras._registry import did_you_mean

__all__ = ["Config"]


class Config:
    """Named values, read and set as attributes or as in a dict, that can be frozen.

    Args:
        **kwargs: The first ones.

    >>> config = Config(learning_rate=0.1)
    >>> config.momentum = 0.9
    >>> config["momentum"], list(config), config.to_json()
    (0.9, ['learning_rate', 'momentum'], '{"learning_rate": 0.1, "momentum": 0.9}')
    """

    def __init__(self, **kwargs):
        self.__dict__.update(_config=kwargs, _frozen=False)

    @property
    def frozen(self):
        """Whether values can no longer be changed."""
        return self._frozen

    def freeze(self):
        """From now on refuse changes."""
        self.__dict__["_frozen"] = True

    def unfreeze(self):
        """From now on accept changes."""
        self.__dict__["_frozen"] = False

    def _open(self):
        if self._frozen:
            raise ValueError(
                "This Config is frozen and cannot be changed. Type config.unfreeze() before, or "
                "make another one: Config(**config.as_dict())."
            )
        return self._config

    def as_dict(self):
        """The values as a dict of their own."""
        return dict(self._config)

    def to_json(self):
        """The values as JSON text."""
        return json.dumps(self._config)

    def keys(self):
        """The names."""
        return self._config.keys()

    def values(self):
        """The values, in the order of the names."""
        return self._config.values()

    def items(self):
        """Pairs of a name and its value."""
        return self._config.items()

    def get(self, keyname, value=None):
        """The value of this name, or `value`."""
        return self._config.get(keyname, value)

    def pop(self, *args):
        """Take a value out."""
        return self._open().pop(*args)

    def update(self, *args, **kwargs):
        """Set several values."""
        self._open().update(*args, **kwargs)

    def __getattr__(self, name):
        known = self.__dict__.get("_config", {})
        if name not in known:
            raise AttributeError(
                f"This Config has no {name!r}.{did_you_mean(name, known)} It has: "
                f"{', '.join(known) or 'nothing'}."
            )
        return known[name]

    def __setattr__(self, name, value):
        if hasattr(type(self), name):
            raise AttributeError(
                f"A Config cannot have a value named {name!r}, which is one of its methods. Take "
                "another name."
            )
        self._open()[name] = value

    def __setitem__(self, key, item):
        self._open()[key] = item

    def __getitem__(self, key):
        return self._config[key]

    def __delitem__(self, key):
        del self._open()[key]

    def __contains__(self, item):
        return item in self._config

    def __iter__(self):
        return iter(sorted(self._config))

    def __len__(self):
        return len(self._config)

    def __repr__(self):
        return f"<Config {self._config}>"
