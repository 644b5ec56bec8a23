"""What the examples share: their command line, their data, and where their pictures go.

Each program takes every flag of Lightning's Trainer (`--max-epochs 2`, `--accelerator gpu`,
`--devices 2 --strategy ddp`, ...) and of its own

    --limit N     use only the first N rows of the data
    --data FILE   read this table, in the programs that read one
    --out DIR     write files there; output/NAME beside the programs by default

Data sets are looked for in the folder LIGHTKERAS_HOME, and most are downloaded if need be.
"""

import argparse
import io
import os
import sys
from pathlib import Path

from lightkeras._flags import trainer_flags
from lightkeras._ranks import is_chief


def command_line(program, argv=None):
    """(options, Trainer flags) of the command line of the file `program`."""
    flags, rest = trainer_flags(argv, own=["limit", "data", "out"])
    parser = argparse.ArgumentParser(Path(program).name, description=__doc__)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--data")
    parser.add_argument("--out", default=Path(program).parent / "output" / Path(program).stem)
    options = parser.parse_args(rest)
    options.out = Path(options.out).resolve()
    if not is_chief():  # with several devices the program runs once for each: only one talks
        sys.stdout = io.StringIO()
    return options, flags


def limited(options, data):
    """The first `--limit` rows of all arrays of `load_data()`."""
    return tuple(tuple(array[: options.limit] for array in part) for part in data)


def table(options, name):
    """Path of a text file: `--data FILE`, or `name` in the folder LIGHTKERAS_HOME."""
    path = Path(options.data or Path(os.environ.get("LIGHTKERAS_HOME", "~/.lightkeras"), name))
    if not path.expanduser().is_file():
        raise SystemExit(f"{path} is not there. Pass --data FILE, or set LIGHTKERAS_HOME.")
    return path.expanduser()


def save(figure, options, name):
    """Write a matplotlib figure into the output folder and say where."""
    if is_chief():
        options.out.mkdir(parents=True, exist_ok=True)
        figure.savefig(options.out / name, dpi=100)
    print(f"Picture: {options.out / name}")
