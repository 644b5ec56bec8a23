"""The outputs of a model, and what belongs to each: losses, metrics, targets, weights."""

from __future__ import annotations

from lightkeras._registry import did_you_mean
from lightkeras._tree import flatten, keys, map_structure

__all__ = ["Outputs"]

_TREES = (dict, list, tuple)


class Outputs:
    """Names and places of the outputs of a model.

    Args:
        tree: Outputs: tensors, or symbolic ones.
        names: Names of the layers that give them, or [] where there is no graph.

    Attributes:
        names: What each is called by whoever compiles: by its key in a plain dict, else by its
            layer.
        named: Whether anything gave them names; else they are output_1, output_2...
        paths: Keys and indices that lead to each.
        deep: Whether a dict or list of them holds another.
        judged: Whether each has a loss or a metric: the others need no targets.

    >>> Outputs({"z": [1, 2], "a": 3}, ["c", "p", "q"]).paths
    [('a',), ('z', 0), ('z', 1)]
    """

    def __init__(self, tree, names):
        self.form = map_structure(lambda output: ..., tree)
        self.paths = _paths(tree)
        self.deep = any(len(path) > 1 for path in self.paths)
        self.by_key = isinstance(tree, dict) and not self.deep
        if self.by_key:
            names = [key for (key,) in self.paths]
        self.named = len(names) == len(self.paths)
        numbered = [f"output_{i + 1}" for i in range(len(self.paths))]
        self.names = names if self.named else numbered if len(numbered) > 1 else ["output"]
        self.judged = [True] * len(self.paths)

    def loss_name(self, i, loss):
        """What the logs call the loss of output `i`."""
        *start, last = self.paths[i] or (0,)
        name = last if isinstance(last, str) else self.names[i] if self.named else None
        if name is None:
            name = getattr(loss, "name", None)
        return "/".join(map(str, [*start, name]))

    def place(self, i):
        """Output `i` as an index, for errors: `['z'][0]`, or its name."""
        return "".join(f"[{key!r}]" for key in self.paths[i] if self.deep) or f"[{self.names[i]!r}]"

    # ---- arguments of compile -----------------------------------------------------------------

    def spread(self, value, what):
        """What `compile` got for `what`, as a list with an entry for each output.

        Raises:
            ValueError: there are more entries than outputs, or a key names none.
        """
        if self.deep:
            return self._laid(value, self.form, what)
        names, measures = self.names, what in ("metrics", "weighted_metrics")
        if isinstance(value, dict):
            strange = [k for k in value if k not in names]
            if strange:
                raise ValueError(
                    f"compile({what}=) has the key {strange[0]!r}, which is no output."
                    f"{did_you_mean(strange[0], names)} The outputs are: {self._listed()}."
                )
            return [value.get(name) for name in names]
        if isinstance(value, (list, tuple)) and (len(names) > 1 or not measures):
            if len(value) != len(names):
                one_each = "Pass one for each, or a dict by name."
                if measures and not any(isinstance(v, _TREES) for v in value):
                    one_each = f"Pass a list of lists, or a dict like {{{names[0]!r}: [...]}}."
                raise ValueError(
                    f"compile({what}=) has {len(value)} entries for {len(names)} outputs "
                    f"({self._listed()}). Several outputs need one entry each. {one_each}"
                )
            return list(value)
        return [value] * len(names)

    def _laid(self, value, form, what, path=()):
        """An argument over outputs in dicts of lists and the like: of their form, or one for all.

        Of losses and their weights, a plain list has one for each.
        """
        if not isinstance(form, _TREES):
            return [value]
        count, one = len(flatten(form)), not isinstance(value, _TREES)
        plain = not one and len(value) == count and len(flatten(value)) == count
        if one:
            return [value] * count
        if isinstance(value, (list, tuple)) and plain and what in ("loss", "loss_weights"):
            return list(value)
        if isinstance(value, dict) and isinstance(form, dict) and value.keys() <= form.keys():
            children = [(key, value.get(key)) for key in keys(form)]
        elif type(value) is not dict and not isinstance(form, dict) and len(value) == len(form):
            children = list(enumerate(value))
        else:
            raise ValueError(
                f"compile({what}=) has another form than the outputs{_at(path)}: it has "
                f"{_described(value)}, they are {_described(form)}. It takes their form, or one "
                f"for all. Type {what}={_text(self.form)}."
            )
        return [
            entry
            for key, child in children
            for entry in self._laid(child, form[key], what, (*path, key))
        ]

    # ---- targets and weights ------------------------------------------------------------------

    def aligned(self, y, what, spread=False):
        """Targets (or weights) in the order of the outputs.

        Args:
            y: A tensor, or a list or dict of them.
            what: What errors call it.
            spread: Whether one stands for all.

        Raises:
            ValueError: their number or their keys do not fit the outputs.
        """
        names = self.names
        if y is None:
            return [None] * len(names)
        if isinstance(y, dict) and not self.deep:
            if len(names) == len(y) == 1:
                return list(y.values())
            needed = [n for n, judged in zip(names, self.judged, strict=True) if judged]
            unknown = [k for k in y if k not in names]
            if unknown or not all(n in y for n in needed):
                raise ValueError(
                    f"{what} has the keys {', '.join(map(str, y))}, the outputs are "
                    f"{self._listed()}.{did_you_mean(unknown[0], names) if unknown else ''} Use "
                    "the names of the outputs as keys."
                )
            return [y.get(n) for n in names]
        leaves = flatten(y)
        if len(leaves) == 1 and len(names) > 1 and spread:
            return leaves * len(names)
        if len(leaves) == sum(self.judged) < len(names):
            given = iter(leaves)
            return [next(given) if judged else None for judged in self.judged]
        fits = len(leaves) == len(names)
        if fits and self.deep:
            fits = _paths(y) in (self.paths, [(i,) for i in range(len(leaves))])
        if not fits:
            give = f"in the form {_text(self.form)}" if self.deep else "for each output"
            raise ValueError(
                f"{what} has {len(leaves)} arrays, the model {len(names)} outputs "
                f"({self._listed()}). They must belong together. Pass one array {give}."
            )
        return leaves

    def _listed(self):
        places = [self.place(i) for i in range(len(self.names))] if self.deep else self.names
        return ", ".join(map(str, places))


def _paths(tree, path=()):
    """Keys and indices that lead to each leaf, in the order of `flatten`."""
    if isinstance(tree, dict):
        return [p for key in keys(tree) for p in _paths(tree[key], (*path, key))]
    if isinstance(tree, (list, tuple)):
        return [p for i, child in enumerate(tree) for p in _paths(child, (*path, i))]
    return [path]


def _at(path):
    return f" at {''.join(f'[{key!r}]' for key in path)}" if path else ""


def _described(tree):
    if isinstance(tree, dict):
        return f"a dict of {', '.join(map(repr, tree))}"
    return f"a list of {len(tree)}"


def _text(form):
    return repr(form).replace("Ellipsis", "...")
