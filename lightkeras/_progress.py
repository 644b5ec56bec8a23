"""Progress lines: what `fit`, `evaluate` and `predict` print while they run.

A terminal and a notebook see one line per epoch, drawn again and again; a file or a pipe sees
only the finished line, without control characters.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import time

from lightkeras._ranks import is_chief
from lightkeras._registry import did_you_mean

__all__ = ["Progbar", "Progress", "check_verbose", "is_redrawn", "say", "write"]

_PLAIN = str.maketrans("━─┃│┏┳┓┡╇┩├┼┤└┴┘…", "=-||++++++++++++.")
_BOLD, _GREEN, _WHITE = "\33[1m", "\33[32m", "\33[37m"


def write(text, out=None):
    """Write to `out` (standard output by default); line characters it lacks become = - | +.

    Of several processes that train one model only the first writes.
    """
    out = sys.stdout if out is None else out
    if out is None or not is_chief():  # no console, or not ours
        return
    try:
        out.write(text)
    except UnicodeEncodeError:
        encoding = out.encoding or "ascii"
        out.write(text.translate(_PLAIN).encode(encoding, "replace").decode(encoding))
    out.flush()
    _last[:] = [out, text[-1:]]


_last = [None, "\n"]  # where something was written last, and its last character


def say(text):
    """Print a line of its own, below a progress line that is standing there."""
    below = _last[0] is sys.stdout and _last[1] != "\n"
    write("\n" * below + text + "\n")


def is_redrawn(out):
    """Whether a line can be drawn over on `out`: a terminal, a notebook, an IDE's console."""
    if hasattr(out, "isatty") and out.isatty():
        return True
    notebook = type(out).__module__.partition(".")[0] in ("ipykernel", "colab")
    return notebook or (out is sys.__stdout__ and "PYCHARM_HOSTED" in os.environ)


class Progbar:
    """A progress line that is moved by hand.

    Args:
        target: Number of steps; None when it is not known.
        width: Characters of the bar.
        verbose: 0 prints nothing, 1 the bar, 2 one line at the end.
        interval: Seconds that pass at least between two drawings.
        stateful_metrics: Names of values shown as they are; all others are averaged.
        stateless_metrics: Names of values that are averaged; all others are shown as they are.
        unit_name: What a step is called.

    Raises:
        ValueError: both lists of metrics are given.

    >>> bar = Progbar(2, verbose=2)
    >>> bar.update(1, [("loss", 0.5)])
    >>> bar.update(2, [("loss", 0.25)])  # doctest: +ELLIPSIS
    2/2 - 0s - ...us/step - loss: 0.2500
    """

    def __init__(
        self,
        target,
        width=20,
        verbose=1,
        interval=0.05,
        stateful_metrics=None,
        stateless_metrics=None,
        unit_name="step",
    ):
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError(
                "Progbar() got both stateful_metrics and stateless_metrics. Either list says how "
                "the other values are treated. Leave one out."
            )
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.unit_name = unit_name
        # As in Keras one of them is None: the one that says "all others".
        self.stateful_metrics = set(stateful_metrics or ()) if stateless_metrics is None else None
        self.stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self._out = None
        self._sums = {}  # {name: [sum, count]}, in the order in which the names came
        self._seen = 0
        self._start = time.monotonic()
        self._after_first = None  # the first step pays for warming up: it does not count
        self._drawn_at = -math.inf
        self._drawn_width = 0

    def update(self, current, values=None, finalize=None):
        """Move to step `current`.

        Args:
            current: Number of steps done.
            values: Pairs `(name, value of the last step)`.
            finalize: Whether the line is complete; by default when `target` is reached.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        for name, value in values or ():
            self._take(name, value, current, finalize)
        self._seen = current
        now = time.monotonic()
        if current == 1:
            self._after_first = now
        if self.verbose == 1:
            self._draw_bar(now, finalize)
        elif self.verbose == 2 and finalize and self.target:
            clock = f"{now - self._start:.0f}s"
            write(f"{self._count()} - {clock} -{self._speed(now)}{self._values()}\n", self._out)

    def add(self, n, values=None):
        """Move on by `n` steps."""
        self.update(self._seen + n, values)

    def _take(self, name, value, current, finalize):
        if self.stateless_metrics is not None:
            averaged = name in self.stateless_metrics
        else:
            averaged = name not in (self.stateful_metrics or ())
        if finalize or not averaged:
            self._sums[name] = [value, 1]
        else:
            steps = max(current - self._seen, 1)
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = [total + value * steps, count + steps]

    # ---- drawing ----------------------------------------------------------------------------

    def _draw_bar(self, now, finalize):
        out = sys.stdout if self._out is None else self._out
        redrawn = is_redrawn(out)
        if not finalize and (not redrawn or now - self._drawn_at < self.interval):
            return
        parts = [*self._bar(), (" ", ""), (self._clock(now, finalize), _BOLD)]
        parts.append((self._speed(now) + self._values(), ""))
        width = sum(len(text) for text, _ in parts)
        if redrawn and not finalize and out.isatty():  # a wrapped line could not be drawn over
            too_long = width - shutil.get_terminal_size().columns + 1
            if 0 < too_long < len(parts[-1][0]):
                parts[-1] = (parts[-1][0][:-too_long], "")
                width -= too_long
        if redrawn:
            line = "".join(f"{code}{text}\33[0m" if code else text for text, code in parts if text)
            line = "\r" + line + " " * (self._drawn_width - width)
        else:
            line = "".join(text for text, _ in parts)
        self._drawn_at, self._drawn_width = now, width  # first: writing may be interrupted
        write(line + "\n" * finalize, out)

    def _count(self):
        return f"{self._seen:{len(str(self.target))}d}/{self.target}"

    def _bar(self):
        if not self.target:
            return [(f"{self._seen:7d}/Unknown", "")]
        done = int(self.width * self._seen / self.target)
        bars = [("━" * done, _GREEN), ("━" * (self.width - done), _WHITE)]
        return [(self._count(), _BOLD), (" ", ""), *bars]

    def _clock(self, now, finalize):
        """The time that is left; at the end, or without a target, the time that has passed."""
        if finalize or not self.target:
            return f"{now - self._start:.0f}s"
        left = self._step_time(now) * (self.target - self._seen)
        minutes, seconds = divmod(int(left), 60)
        if left > 3600:
            return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
        return f"{minutes}:{seconds:02d}" if left > 60 else f"{seconds}s"

    def _speed(self, now):
        seconds = self._step_time(now)
        if seconds >= 1 or seconds == 0:
            return f" {seconds:.0f}s/{self.unit_name}"
        if seconds >= 1e-3:
            return f" {seconds * 1e3:.0f}ms/{self.unit_name}"
        return f" {seconds * 1e6:.0f}us/{self.unit_name}"

    def _step_time(self, now):
        if self._after_first is not None and self._seen > 1:
            return (now - self._after_first) / (self._seen - 1)
        return (now - self._start) / self._seen if self._seen else 0

    def _values(self):
        text = ""
        for name, (total, count) in self._sums.items():
            if getattr(total, "ndim", 0):
                total = (total * 1.0).mean()  # whole numbers have none in torch
            value = float(total) / count
            text += f" - {name}: {value:.4f}" if abs(value) > 1e-3 else f" - {name}: {value:.4e}"
        return text


def check_verbose(verbose):
    """`verbose` as 0, 1 or 2.

    Raises:
        ValueError: it is something else.

    >>> check_verbose("auto")
    1
    """
    if not (verbose == "auto" or verbose in (0, 1, 2)):
        raise ValueError(
            f"Unknown verbose {verbose!r}.{did_you_mean(verbose, ['auto'])} 0 prints nothing, "
            '1 a progress line, 2 a line per epoch, "auto" chooses. Type verbose=1.'
        )
    if verbose == "auto":
        return 1
    return int(verbose)


class Progress:
    """The lines of one `fit`, `evaluate` or `predict`: as `verbose` asks, at no cost per step.

    Args:
        verbose: 0, 1, 2 or "auto" (which is 1).
        epochs: Number of epochs; with one, no heading is printed.
        steps: Steps of an epoch; None until they are known.
        out: Where to print; standard output by default.

    Raises:
        ValueError: `verbose` is something else.

    >>> line = Progress(2, epochs=3, steps=8)
    >>> line.epoch(0)
    Epoch 1/3
    >>> line.finish({"loss": 0.5})  # doctest: +ELLIPSIS
    8/8 - 0s - ... - loss: 0.5000
    """

    def __init__(self, verbose="auto", epochs=1, steps=None, out=None):
        self._verbose = check_verbose(verbose)
        self._epochs = epochs
        self._steps = steps
        self._out = out
        self._begin()

    def _begin(self):
        self._bar = Progbar(self._steps, verbose=self._verbose, stateless_metrics=())
        self._bar._out = self._out
        self._seen = 0
        drawn = self._verbose == 1 and is_redrawn(sys.stdout if self._out is None else self._out)
        self._due = -math.inf if drawn else math.inf

    def epoch(self, index):
        """Start epoch `index`, counted from 0."""
        if self._verbose and self._epochs > 1:
            write(f"Epoch {index + 1}/{self._epochs}\n", self._out)
        self._begin()

    def step(self, n, values=None):
        """`n` steps of this epoch are done.

        Args:
            n: How many, counted from 1.
            values: Function of no arguments that returns `{name: value}` in the order in which
                they are to be printed; it is called only when the line is drawn.
        """
        self._seen = n
        now = time.monotonic()
        if n == 1 and self._verbose == 1:
            self._bar._after_first = now
        if now < self._due:
            return
        self._bar.update(n, values().items() if values else None, finalize=False)
        end = time.monotonic()
        # Reading values waits for the device: that may take a twentieth of the time, no more.
        self._due = end + max(self._bar.interval, 20 * (end - now))

    def finish(self, values=None):
        """The epoch is over: print its line with `values`, a dictionary in printing order."""
        if self._steps is None:
            self._steps = self._bar.target = self._seen
        self._bar.update(self._steps, (values or {}).items(), finalize=True)
        self._due = math.inf

    def close(self):
        """Leave a line that is not finished, so that what comes next starts on a new one."""
        if self._due < math.inf and self._bar._drawn_width:
            write("\n", self._out)
        self._due = math.inf
