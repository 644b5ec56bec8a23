"""Functions on a group of processes, for tests: forked from this one, with all that is loaded.

They find what torchrun would have set up, and Lightning joins them without starting others.
"""

import os
import pickle
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path

import torch.distributed as dist
import torch.multiprocessing as mp


def on_group(world, work, *args, timeout=600):
    """`work(*args)` on `world` processes at once; its results by rank.

    Raises:
        AssertionError: a process failed (with its traceback), or did not end.
    """
    with tempfile.TemporaryDirectory() as folder:
        context = mp.get_context("fork")
        port = _free_port()
        processes = [
            context.Process(target=_member, args=(rank, world, port, folder, work, args))
            for rank in range(world)
        ]
        for process in processes:
            process.start()
        _join(processes, time.monotonic() + timeout)
        results = [_read(Path(folder, str(rank))) for rank in range(world)]
    failed = [f"rank {r}: {text}" for r, (good, text) in enumerate(results) if not good]
    assert not failed, "\n".join(failed)
    return [value for _, value in results]


def ends(world, folder, work, *args, timeout=60):
    """How `world` processes end that do `work(*args)`: (exit status, what it said) of each.

    Nothing is caught in them. One that has not ended by itself has None for a status.
    """
    context, port = mp.get_context("fork"), _free_port()
    outputs = [Path(folder, f"output{rank}.txt") for rank in range(world)]
    processes = [
        context.Process(target=_speaking, args=(rank, world, port, outputs[rank], work, args))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    end = time.monotonic() + timeout
    for process in processes:
        process.join(max(end - time.monotonic(), 0))
    statuses = [process.exitcode for process in processes]
    _join(processes, 0)
    return [(status, path.read_text()) for status, path in zip(statuses, outputs, strict=True)]


def _speaking(rank, world, port, output, work, args):
    sys.stdout = sys.stderr = open(output, "w", buffering=1)  # noqa: SIM115
    for number in (1, 2):
        os.dup2(sys.stdout.fileno(), number)
    _enter(rank, world, port)
    work(*args)


def _join(processes, end):
    for process in processes:
        process.join(max(end - time.monotonic(), 0))
    for process in processes:
        if process.is_alive():
            process.kill()
            process.join()


def _read(path):
    return pickle.loads(path.read_bytes()) if path.exists() else (False, "did not end")


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _enter(rank, world, port):
    """Make this process one of a group."""
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        GROUP_RANK="0",
        WORLD_SIZE=str(world),
        LOCAL_WORLD_SIZE=str(world),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        TORCHELASTIC_RUN_ID="test",
    )
    dist.init_process_group("gloo", rank=rank, world_size=world)


def _member(rank, world, port, folder, work, args):
    try:
        _enter(rank, world, port)
        result = (True, work(*args))
    except BaseException:
        result = (False, traceback.format_exc())
    part = Path(folder, f"{rank}.part")
    part.write_bytes(pickle.dumps(result))
    os.replace(part, Path(folder, str(rank)))
    os._exit(0)  # nothing of the test process is to be tidied up here
