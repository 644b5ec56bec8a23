"""SIGTERM and Ctrl-C while `fit` runs: all processes end together, after what is to be saved."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager

import torch
import torch.distributed as dist
from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher
from torch.multiprocessing.spawn import ProcessExitedException

from lightkeras._ranks import is_chief, world
from lightkeras._training._failures import store

__all__ = ["Signals", "in_main_thread", "interruption", "passed_on"]

_ASK = 1.0  # seconds between two questions of several processes whether one was told to end
_TWICE = 1.0  # seconds in which launchers may pass on a signal that has come already
_KEY = "lightkeras/told"


class Signals:
    """What this process was told, and what all of them agree on.

    Lightning's own handler waits for ever where it was not the first process that was told.

    Args:
        fit: The LightningModule of `fit`.

    Attributes:
        told: The number of the signal, of this process or, once agreed on, of all; 0 if none.
        at_once: Whether a signal ends this process where it stands, not after the step.
    """

    def __init__(self, fit):
        self.fit, self.told = fit, 0
        self.at_once = False
        self._since = 0.0
        self.users = {}  # {number: handler} from before `fit`
        self._validates = False
        self._asked, self._ask = time.monotonic(), 1

    def __getstate__(self):
        return {**self.__dict__, "fit": None, "users": {}}  # a handler may be anything

    def listen(self):
        """Take over the signals, after Lightning did."""
        if not in_main_thread() or (world() == 1 and self.fit.restart is None):
            return  # there Lightning's own is enough
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number, frame):
        now, told = time.monotonic(), self.told
        if told and number == signal.SIGINT and now - self._since > _TWICE:
            raise KeyboardInterrupt  # somebody does not want to wait
        self.told, self._since = number, self._since if told else now
        users = self.users.get(number)
        if callable(users) and users is not signal.default_int_handler:
            users(number, frame)
        if world() > 1:
            self._tell()
        else:
            self.fit.restart.due = 0
        if self.at_once:
            self.end_if(number)

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


def in_main_thread():
    return threading.current_thread() is threading.main_thread()


def _is_launched(trainer):
    """Whether `fit` runs in processes that end with it."""
    return isinstance(trainer.strategy.launcher, _MultiProcessingLauncher)


def interruption():
    """What Ctrl-C raises from `fit`: the first of several processes speaks for all."""
    return KeyboardInterrupt() if is_chief() else SystemExit(128 + signal.SIGINT)


@contextmanager
def passed_on(trainer, signals, restarts):
    """Around `trainer.fit`: where it runs in processes of its own, signals to this one are theirs.

    Args:
        signals: The `Signals` of this process.
        restarts: Whether the training can be started again, and has something to save.
    """
    if not _is_launched(trainer) or not in_main_thread():
        yield
        return
    launcher, here = trainer.strategy.launcher, os.getpid()

    def on_signal(number, _):
        if os.getpid() != here:  # one of those processes, which does not listen yet
            raise SystemExit(128 + number)
        since = time.monotonic()
        if signals.told and since - signals._since > _TWICE:
            launcher.kill(signal.SIGKILL)
        if signals.told:
            return
        signals.told, signals._since = number, since
        launcher.kill(number)
        for process in launcher.procs:
            process.join()
        ended = [process.exitcode for process in launcher.procs]
        if number == signal.SIGINT and not restarts:
            raise KeyboardInterrupt
        signals.told = number if 128 + number in ended else 0
        raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        yield
    except ProcessExitedException as error:  # one of them was told, and then all have ended
        told = error.exit_code - 128
        signals.end_if(told if told in (signal.SIGINT, signal.SIGTERM) else 0)
        raise
