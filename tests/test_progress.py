"""The progress line is Keras's, number for number, on a clock that both share."""

import contextlib
import io
import re
import sys

import keras
import pytest

from lightkeras import _progress
from lightkeras._progress import Progbar, Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Time moves when the test says so."""

    now = 1000.0

    def time(self):
        return self.now

    monotonic = time


@pytest.fixture
def clock(monkeypatch):
    keras_progbar = pytest.importorskip("keras.src.utils.progbar")
    clock = Clock()
    monkeypatch.setattr(keras_progbar, "time", clock)
    monkeypatch.setattr(_progress, "time", clock)
    monkeypatch.setenv("COLUMNS", "200")
    return clock


@pytest.fixture
def keras_bar(clock):

    return keras.utils.Progbar


def visible(text):
    """The drawings in `text`, one after the other, without colours and empty cells."""
    text = re.sub(r"\x1b\[\d+m|\x08", "", text)
    return [line.rstrip() for line in re.split(r"[\r\n]", text) if line.strip()]


def screen(text):
    """Colours included, the way a terminal would see them."""
    return re.sub(r"\x1b\[37m\x1b\[0m|\x08", "", text)


def drawn(make, steps, clock, **arguments):
    """What `make(...)` prints on a terminal while `steps` [(seconds, update arguments)] pass."""
    clock.now = 1000.0
    with contextlib.redirect_stdout(Terminal()) as out:
        bar = make(**arguments)
        for seconds, update in steps:
            clock.now += seconds
            bar.update(*update)
    return out.getvalue()


STEPS = [(2.0, (1, [("acc", 0.1), ("loss", 5e-4)], False))] + [
    (0.3, (n, [("acc", n / 10), ("loss", -n / 1e4)], False)) for n in range(2, 13)
]
CASES = {
    "terminal": (dict(target=12, stateless_metrics=[]), STEPS),
    "averaged": (dict(target=12), STEPS),
    "stateful": (dict(target=12, stateful_metrics=["acc"]), STEPS),
    "by itself": (dict(target=2), [(1, (1, [("a", 1.0)])), (1, (2, [("a", 3.0)]))]),
    "wide": (dict(target=12, width=30, unit_name="sample"), STEPS),
    "hours": (dict(target=10**6), [(1.5, (n,)) for n in (1, 2, 999_990, 999_999, 1_000_000)]),
    "minutes": (dict(target=200), [(1.0, (n,)) for n in (1, 2, 3)]),
    "microseconds": (dict(target=9), [(0.0007, (1,)), (0.06, (8,)), (0.0001, (9,))]),
    "too soon": (dict(target=9), [(0.001, (n, [("a", n)])) for n in range(1, 10)]),
    "unknown": (dict(target=None), [(0.2, (n, [("a", 0.5)])) for n in (1, 2, 3)]),
    "unknown, ended": (dict(target=None), [(0.2, (1,)), (0.2, (2, [("a", 0.5)], True))]),
    "semi-verbose": (dict(target=3, verbose=2), [(1, (n, [("a", 0.25)])) for n in (1, 2, 3)]),
    "silent": (dict(target=3, verbose=0), [(1, (n, [("a", 0.25)])) for n in (1, 2, 3)]),
    "no first step": (dict(target=32), [(0.4, (16,)), (0.4, (32,))]),
}


@pytest.mark.parametrize("arguments, steps", CASES.values(), ids=CASES)
def test_progbar_draws_what_keras_draws(arguments, steps, clock, keras_bar):
    ours = drawn(Progbar, steps, clock, **arguments)
    theirs = drawn(keras_bar, steps, clock, **arguments)
    assert visible(ours) == visible(theirs)
    if arguments.get("target") and arguments.get("verbose", 1) == 1:
        assert screen(ours).split() == screen(theirs).split()  # colours too


def test_progbar_add(clock, keras_bar):
    outs = []
    for make in (Progbar, keras_bar):
        with contextlib.redirect_stdout(Terminal()) as out:
            bar = make(8)
            for _ in range(4):
                clock.now += 0.5
                bar.add(2, [("a", 1.0)])
        outs.append(visible(out.getvalue()))
    assert outs[0] == outs[1]
    assert outs[0][-1].startswith("8/8")


def test_progbar_signature(keras_bar):
    import inspect

    for name in ("__init__", "update", "add"):
        assert str(inspect.signature(getattr(Progbar, name))) == str(
            inspect.signature(getattr(keras_bar, name))
        )


def test_progbar_refuses_both_lists():
    with pytest.raises(ValueError, match=r"both stateful_metrics and stateless_metrics.*Leave one"):
        Progbar(3, stateful_metrics=["a"], stateless_metrics=["b"])


LOGS = [{"acc": 0.5, "loss": 0.25}, {"acc": 0.75, "loss": 0.125}]


def fit_lines(out, verbose, clock, steps=3, epochs=2):
    progress = Progress(verbose, epochs, steps, out)
    for epoch in range(epochs):
        progress.epoch(epoch)
        for n in (1, 2, 3):
            clock.now += 0.5
            progress.step(n, lambda epoch=epoch: LOGS[epoch])
        progress.finish({**LOGS[epoch], "val_acc": 0.5})
    return out.getvalue()


def keras_fit_lines(verbose, clock, steps=3, epochs=2):
    """Keras's own logger, driven by hand with the same numbers at the same times."""

    logger = keras.callbacks.ProgbarLogger()
    logger.set_params({"verbose": verbose, "epochs": epochs, "steps": steps})
    with contextlib.redirect_stdout(Terminal()) as out:
        logger.on_train_begin()
        for epoch in range(epochs):
            logger.on_epoch_begin(epoch)
            for n in range(3):
                clock.now += 0.5
                logger.on_train_batch_end(n, LOGS[epoch])
            logger.on_epoch_end(epoch, {**LOGS[epoch], "val_acc": 0.5})
    return out.getvalue()


@pytest.mark.parametrize("verbose", [0, 1, 2, "auto", True])
@pytest.mark.parametrize("steps", [3, None])
@pytest.mark.parametrize("epochs", [1, 2])
def test_fit_on_a_terminal(verbose, steps, epochs, clock):
    ours = fit_lines(Terminal(), verbose, clock, steps, epochs)
    assert visible(ours) == visible(keras_fit_lines(verbose, clock, steps, epochs))


@pytest.mark.parametrize("steps", [3, None])
def test_a_file_gets_the_finished_lines_only(clock, steps):
    text = fit_lines(io.StringIO(), 1, clock, steps)
    last_drawings = [
        line for line in visible(keras_fit_lines(1, clock)) if "val_" in line or "Epoch" in line
    ]
    assert text.splitlines() == last_drawings
    assert not re.search(r"[\r\x08\x1b]", text)


def test_a_notebook_is_drawn_over(clock):
    OutStream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    assert fit_lines(OutStream(), 1, clock).count("\r") == 2 * (3 + 1)


def test_values_are_asked_for_only_when_drawn(clock):
    asked = []
    progress = Progress(1, 1, 1000, Terminal())
    for n in range(1, 1001):
        clock.now += 0.001
        progress.step(n, lambda: asked.append(1) or {})
    assert 19 <= len(asked) <= 21  # one second, at most every 50 ms
    for out, verbose in ((io.StringIO(), 1), (Terminal(), 2), (Terminal(), 0)):
        Progress(verbose, 1, 3, out).step(2, lambda: 1 / 0)


def test_slow_values_are_asked_for_less_often(clock):
    asked = []

    def values():
        clock.now += 0.1
        asked.append(clock.now)
        return {}

    progress = Progress(1, 1, 1000, Terminal())
    for n in range(1, 1001):
        clock.now += 0.01
        progress.step(n, values)
    assert len(asked) < 10  # not 1000 / 5


def test_a_step_reads_the_clock_once_and_draws_nothing(clock):
    calls = []
    progress = Progress(1, 1, 100, Terminal())
    progress.step(1)
    sys.setprofile(lambda frame, event, _: calls.append(event) if "call" in event else None)
    try:
        progress.step(2)
    finally:
        sys.setprofile(None)
    assert calls.count("call") == 2  # step, and the fake clock (a C call in earnest)


def test_evaluate_needs_no_epoch(clock):
    out = io.StringIO()
    progress = Progress("auto", steps=10, out=out)
    clock.now += 1
    progress.step(10)
    progress.finish({"loss": 2.0})
    assert out.getvalue() == "10/10 " + "━" * 20 + " 1s 100ms/step - loss: 2.0000\n"


def test_an_interrupted_line_is_left(clock):
    out = Terminal()
    Progress(1, 1, 10, out).close()
    assert out.getvalue() == ""
    progress = Progress(1, 1, 10, out)
    progress.step(1)
    progress.close()
    progress.close()
    assert out.getvalue().count("\n") == 1


def test_a_line_interrupted_while_it_is_written_is_left_too(clock):
    class Interrupting(Terminal):
        def flush(self):
            if self.getvalue().count("\r") == 1 and "\n" not in self.getvalue():
                raise KeyboardInterrupt

    out = Interrupting()
    progress = Progress(1, 1, 10, out)
    with pytest.raises(KeyboardInterrupt):
        progress.step(1)
    progress.close()
    assert out.getvalue().endswith("\n")


def test_a_line_longer_than_the_terminal_is_cut_until_it_is_finished(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    out = Terminal()
    progress = Progress(1, 1, 2, out)
    logs = {f"metric_{i}": float(i) for i in range(9)}
    progress.step(1, lambda: logs)
    progress.finish(logs)
    first, last = visible(out.getvalue())
    assert 57 <= len(first) <= 59
    assert last.endswith("metric_8: 8.0000")


@pytest.mark.parametrize("encoding, bar", [("ascii", "="), ("cp1252", "="), ("utf-8", "━")])
def test_every_encoding_can_print_it(encoding, bar, clock):
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding)
    progress = Progress(1, 1, 1, out)
    progress.step(1)
    progress.finish()
    assert bar * 20 in raw.getvalue().decode(encoding)


@pytest.mark.parametrize("verbose", [7, -1, "1", None])
def test_unknown_verbose(verbose):
    with pytest.raises(ValueError, match=re.escape(f"Unknown verbose {verbose!r}.")):
        Progress(verbose)


def test_misspelt_verbose():
    with pytest.raises(ValueError, match="Did you mean 'auto'"):
        Progress("atuo")


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_only_the_first_process_prints(name, clock, monkeypatch):
    for rank, prints in ((0, True), (1, False)):
        monkeypatch.setenv(name, str(rank))
        assert bool(fit_lines(io.StringIO(), 1, clock)) == prints
