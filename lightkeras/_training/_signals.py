"""SIGTERM and Ctrl-C while `fit` runs: all processes end together, after what is to be saved."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist

from lightkeras._ranks import is_chief, world
from lightkeras._training._failures import store

__all__ = ["NUMBERS", "TWICE", "Signals", "hold_back", "in_main_thread", "interruption"]

NUMBERS = (signal.SIGINT, signal.SIGTERM)
TWICE = 1.0  # seconds in which launchers may pass on a signal that has come already

_ASK = 1.0  # seconds between two questions of several processes whether one was told to end
_KEY = "lightkeras/told"


class Signals:
    """What this process was told, and what all of them agree on.

    Lightning's own handler waits for ever where it was not the first process that was told.

    Args:
        fit: The LightningModule of `fit`.

    Attributes:
        told: The number of the signal, of this process or, once agreed on, of all; 0 if none.
        at_once: Whether a signal ends this process where it stands, not after the step.
        meet: Called in every process, before they set up their connection.
    """

    def __init__(self, fit):
        self.fit, self.told = fit, 0
        self.at_once = False
        self.since = 0.0
        self.users = {}  # {number: handler} from before `fit`
        self.meet = _nothing
        self._validates = False
        self._asked, self._ask = time.monotonic(), 1

    def __getstate__(self):
        return {**self.__dict__, "fit": None, "users": {}, "meet": _nothing}  # may be anything

    def note(self):
        """What comes before training begins is kept for then, and does not end this process."""
        for number in NUMBERS:
            signal.signal(number, self._on_signal)
        hold_back(False)

    def default(self):
        """A signal ends this process at once, until it listens: the one that waits for it asks."""
        for number in NUMBERS:
            signal.signal(number, signal.SIG_DFL)
        hold_back(False)

    def listen_soon(self):
        """Listen as soon as Lightning has put its own handlers in their places."""
        connector = self.fit.trainer._signal_connector
        register = connector.register_signal_handlers

        def registered():
            del connector.register_signal_handlers
            register()
            self._take_over()

        connector.register_signal_handlers = registered

    def listen(self):
        """Before the first step: from now on there is something to save."""
        self._take_over()
        if self.fit.returns is not None and is_chief():
            self._mark().touch()

    def is_listening(self):
        """Whether the processes that end with `fit` have come to `listen`."""
        return self._mark().exists()

    def _mark(self):
        return Path(f"{self.fit.returns}-listens")

    def _take_over(self):
        if not in_main_thread() or (world() == 1 and self.fit.restart is None):
            return  # there Lightning's own is enough
        for number in NUMBERS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number, frame):
        now, told = time.monotonic(), self.told
        if told and number == signal.SIGINT and now - self.since > TWICE:
            raise KeyboardInterrupt  # somebody does not want to wait
        self.told, self.since = number, self.since if told else now
        self.call_users(number, frame)
        if world() > 1:
            self._tell()
        elif self.fit.restart is not None:
            self.fit.restart.due = 0
        if self.at_once:
            self.end_if(number)

    def call_users(self, number, frame):
        """Call the handler that the script had set before `fit`."""
        users = self.users.get(number)
        if callable(users) and users is not signal.default_int_handler:
            users(number, frame)

    def end_if(self, told):
        """End this process where it was told to."""
        if told:
            self.told = told
            raise SystemExit(128 + told)

    # ---- several processes --------------------------------------------------------------------

    def asks(self, step):
        """Whether it is time that all processes ask each other, after so many steps."""
        return world() > 1 and step % self._ask == 0

    def agreed(self):
        """The signal that this process, or one of several, was sent; 0 if none."""
        if world() == 1:
            return self.told
        now = time.monotonic()
        passed = max(int((now - self._asked) * 1000), 1)
        both = torch.tensor([self.told, passed], device=self.fit.device)
        dist.all_reduce(both, dist.ReduceOp.MAX)
        told, passed = both.tolist()
        self._asked = now
        steps = int(self._ask * _ASK * 1000 / passed)
        self._ask = min(max(steps, 1), 2 * self._ask, 1000)  # not many at once: they may get slow
        return told

    # ---- validation ---------------------------------------------------------------------------

    @contextmanager
    def validating(self):
        """Around a validation, which may take long: it is cut short.

        One process ends in the middle of it. Of several, each goes through its own batches; one
        that was told leaves word, and they end where they meet. Gives the function to meet in.
        """
        if world() == 1:
            self.at_once = self.fit.restart is not None
            self.end_if(self.told)
            yield None
            self.at_once = False
            return
        self._validates, over = True, threading.Event()
        self._meet()
        thread = threading.Thread(target=self._look, args=(over,), daemon=True)
        thread.start()
        try:
            yield self._meet
        finally:
            over.set()
            thread.join()
            self._validates = False

    def _tell(self):
        if self._validates:
            store().set(_KEY, str(int(self.told)))
            self.fit.model.stop_evaluating = True

    def _look(self, over):
        """Watch, in a thread, whether another process has left word."""
        while not over.wait(_ASK):
            if store().check([_KEY]):
                self.told = self.told or int(store().get(_KEY))
                self.fit.model.stop_evaluating = True
                return

    def _meet(self):
        told = self.agreed()
        if told and self.fit.restart is not None:
            self.fit.restart.save_before()
        self.end_if(told)


def _nothing():
    """There is nobody to wait for."""


def hold_back(holds):
    """Whether Ctrl-C waits; so it does in processes that are started meanwhile."""
    if hasattr(signal, "pthread_sigmask"):
        how = signal.SIG_BLOCK if holds else signal.SIG_UNBLOCK
        signal.pthread_sigmask(how, {signal.SIGINT})


def in_main_thread():
    return threading.current_thread() is threading.main_thread()


def interruption():
    """What Ctrl-C raises from `fit`: the first of several processes speaks for all."""
    return KeyboardInterrupt() if is_chief() else SystemExit(128 + signal.SIGINT)
