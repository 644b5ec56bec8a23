"""Attributes of a model that a user's own of the same name replaces."""

from __future__ import annotations

__all__ = ["Open"]


class Open:
    """A read-only attribute like a property, but free: `self.inputs = ...` in a subclass wins.

    A property would refuse the assignment, or hide a layer of that name. Python asks an object's
    own attributes before one that has no `__set__`; torch keeps layers apart, so these are left
    to it.

    Args:
        fn: Gives the value of the attribute for a model.

    >>> class Square:
    ...     _modules = {}
    ...     sides = Open(lambda self: 4)
    >>> square = Square()
    >>> square.sides
    4
    >>> square.sides = "equal"
    >>> square.sides
    'equal'
    """

    def __init__(self, fn):
        self.fn = fn
        self.__doc__ = fn.__doc__

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, model, owner=None):
        if model is None:
            return self
        if self.name in model._modules:
            raise AttributeError(self.name)
        return self.fn(model)
