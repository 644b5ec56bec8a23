"""Signals to processes that are still starting, and those that never come to `fit`.

What has not begun to train has nothing to save: it is killed, and `fit` ends as the signal says.
Python looks at signals between two of its own steps, and a process that waits for others inside
torch takes none. So the first process waits here until all have come (`_scripts`); processes that
end with `fit` are killed from outside, by the one that has called it (`_workers`).
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path

import torch.multiprocessing as mp
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher
from torch.multiprocessing.spawn import ProcessExitedException

from lightkeras._ranks import rank
from lightkeras._training._failures import disarm, started
from lightkeras._training._signals import NUMBERS, TWICE, hold_back, in_main_thread

__all__ = ["launching"]

_MEETING = "LIGHTKERAS_MEETING"  # the folder where a process leaves word that it has come to `fit`
_BLINK = 0.01  # seconds between two looks whether it has


@contextmanager
def launching(trainer, signals, restarts):
    """Around `trainer.fit`, which may start processes.

    Args:
        signals: The `Signals` of this process.
        restarts: Whether the training can be started again, and has something to save.
    """
    launcher = trainer.strategy.launcher
    if rank() > 0 and _MEETING in os.environ:
        with suppress(FileNotFoundError):  # in a second `fit`, when all have met
            Path(os.environ[_MEETING], str(rank())).touch()
        if in_main_thread():
            signals.note()
        yield
    elif isinstance(launcher, _MultiProcessingLauncher) and in_main_thread():
        with _workers(launcher, signals, restarts):
            yield
    elif isinstance(launcher, _SubprocessScriptLauncher) or (started and rank() == 0):
        with _scripts(launcher, signals):
            yield
    else:
        yield


def _listen(on_signal):
    for number in NUMBERS:
        signal.signal(number, on_signal)


# ---- a script that is started again for every further process ---------------------------------


@contextmanager
def _scripts(launcher, signals):
    """In the first process."""
    with tempfile.TemporaryDirectory() as folder:
        others = _Others(launcher, signals, folder)
        signals.meet = others.meet
        if in_main_thread():
            _listen(others.on_signal)
            hold_back(True)  # Ctrl-C is for all; what the others inherit lasts until they note it
        os.environ[_MEETING] = folder
        try:
            yield
        finally:
            others.all_started()


class _Others:
    """The processes that the first one has started, or is about to start.

    Args:
        launcher: Lightning's; None where all run since an earlier `fit`.
    """

    def __init__(self, launcher, signals, folder):
        self.launcher, self.signals, self.folder = launcher, signals, folder
        self.starting, self.came = launcher is not None, 0

    def on_signal(self, number, frame):
        self.came = self.came or number
        if not self.starting:
            self.signals.call_users(number, frame)
            self.end()

    def processes(self):
        return started if self.launcher is None else self.launcher.procs

    def all_started(self):
        self.starting = False
        os.environ.pop(_MEETING, None)
        if in_main_thread():
            hold_back(False)

    def meet(self):
        """Wait until all have come to `fit`.

        Raises:
            RuntimeError: one of them has ended.
        """
        self.all_started()
        if self.came:
            self.end()
        waiting = {} if self.launcher is None else dict(enumerate(self.processes(), start=1))
        while waiting := {r: p for r, p in waiting.items() if not self._has_come(r)}:
            for number, process in waiting.items():
                if process.poll() is not None:
                    self._lost(number, process.returncode)
            time.sleep(_BLINK)

    def _has_come(self, number):
        return Path(self.folder, str(number)).exists()

    def _lost(self, number, status):
        self.came = _told_by(status)
        if self.came:
            self.end()
        self._kill()
        raise RuntimeError(
            f"Process {number} of {len(self.processes()) + 1} ended with status {status} before "
            "it came to fit(). All of them run the same script, and train together. Look for its "
            "error above, and let every process call fit()."
        )

    def end(self):
        self._kill()
        self.signals.end_if(self.came)

    def _kill(self):
        disarm()
        for process in self.processes():
            process.kill()
            process.wait()


def _told_by(status):
    """The signal that a process with such a status has ended by, or 0."""
    number = -status if status < 0 else status - 128
    return number if number in NUMBERS else 0


# ---- processes that end with `fit` ------------------------------------------------------------


@contextmanager
def _workers(launcher, signals, restarts):
    """In the process that waits for them: signals to it are theirs."""
    here, begin, drawn = os.getpid(), mp.start_processes, random.getstate()
    starting, processes = True, []

    def on_signal(number, _):
        if os.getpid() != here:  # forked a moment ago
            os._exit(128 + number)
        since = time.monotonic()
        if signals.told and since - signals.since > TWICE and processes:
            for process in processes:
                process.kill()
        if not signals.told:
            signals.told, signals.since = number, since
            if not starting:
                end()

    def end():
        number, saves = signals.told, signals.is_listening()
        if saves:
            launcher.kill(number)
        else:
            for process in processes:
                process.kill()
        for process in processes:
            process.join()
        if number == signal.SIGINT and not restarts:
            raise KeyboardInterrupt
        if saves and 128 + number not in [process.exitcode for process in processes]:
            signals.told = 0  # they had come to another end
        raise SystemExit(128 + number)

    def start_processes(*args, **kwargs):
        nonlocal starting
        spawns = launcher._start_method != "fork"
        if spawns:
            resource_tracker.ensure_running()  # it would let Ctrl-C through
            hold_back(True)
        try:
            context = begin(*args, **kwargs)
        finally:
            hold_back(False)
        processes.extend(context.processes)
        starting = False
        if signals.told:
            end()
        return context

    def meet():
        if os.getpid() != here:
            signals.default()
            random.setstate(drawn)  # Python seeds it anew where it forks

    signals.meet = meet
    _listen(on_signal)
    mp.start_processes = start_processes
    try:
        yield
    except ProcessExitedException as error:  # one of them was told, and then all have ended
        signals.end_if(_told_by(error.exit_code))
        raise
    finally:
        mp.start_processes = begin
