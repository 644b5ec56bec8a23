"""The command `lightkeras`: run a script with Trainer flags that the script knows nothing of.

lightkeras run train.py --devices 2 --strategy ddp
lightkeras run train.py --max-epochs 3 -- --the-scripts own arguments
"""

from __future__ import annotations

import json
import os
import runpy
import sys

from lightkeras import __version__
from lightkeras._flags import VARIABLE, environment_flags, trainer_flags

__all__ = ["main"]


def main(argv=None):
    """Run the command line `argv` (this program's own by default); the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--version"]:
        print(f"lightkeras {__version__}")
    elif len(words) > 1 and words[0] == "run" and not words[1].startswith("-"):
        run(words[1], words[2:])
    else:
        print("usage: lightkeras run SCRIPT [Trainer flags] [-- arguments of the script]")
        return 0 if words[:1] in (["--help"], ["-h"]) else 2
    return 0


def run(script, words):
    """Run `script` as the main program.

    The flags travel in the environment, so that the processes which Lightning starts for
    further devices have them too.

    Args:
        script: Path of a Python file.
        words: Trainer flags and the script's own arguments.
    """
    if not os.path.isfile(script):
        raise SystemExit(f"There is no file {script}. Type lightkeras run PATH_OF_A_SCRIPT.")
    flags, rest = trainer_flags(words, own=None)
    os.environ[VARIABLE] = json.dumps({**environment_flags(), **flags})
    sys.argv[:] = [script, *rest]
    sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    sys.exit(main())
