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

import numpy as np

from lightkeras.utils import is_chief, save_img, trainer_flags


def command_line(program, argv=None):
    """(options, Trainer flags) of the command line of the file `program`."""
    flags, rest = trainer_flags(argv, own=["limit", "data", "out"])
    parser = argparse.ArgumentParser(Path(program).name, description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--limit", type=int)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(rest)
    folder = options.out or Path(program).parent / "output" / Path(program).stem
    options.out = folder.resolve()
    if not is_chief():  # with several devices the program runs once for each: only one talks
        sys.stdout = io.StringIO()
    return options, flags


def limited(options, data):
    """The first `--limit` rows of all arrays of `load_data()`."""
    return tuple(tuple(array[: options.limit] for array in part) for part in data)


def table(options, name):
    """Path of a text file: `--data FILE`, or `name` in the folder LIGHTKERAS_HOME."""
    path = options.data or Path(os.environ.get("LIGHTKERAS_HOME", "~/.lightkeras"), name)
    path = path.expanduser()
    if not path.is_file():
        raise SystemExit(f"{path} is not there. Pass --data FILE, or set LIGHTKERAS_HOME.")
    return path


def draw(rows, options, name, zoom=2):
    """Write images as one picture, `rows` of them `(columns, height, width, channels)` in 0..1."""
    border = ((0, 0), (1, 1), (1, 1), (0, 0))
    rows = [np.pad(np.clip(row, 0, 1), border, constant_values=0.3) for row in rows]
    picture = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    picture = 255 * picture.repeat(zoom, axis=0).repeat(zoom, axis=1)  # (height, width, channels)
    written(options, name, lambda path: save_img(path, picture, scale=False))


def written(options, name, write):
    """Call `write` with a path in the output folder, and say where that is."""
    if is_chief():
        options.out.mkdir(parents=True, exist_ok=True)
        write(options.out / name)
    print(f"Written: {options.out / name}")


def device(flags):
    """The device that Trainer flags mean, for a program with a training loop of its own."""
    from lightning.fabric import Fabric

    given = {name: flags[name] for name in ("accelerator", "devices") if name in flags}
    return Fabric(**{"devices": 1, **given}).device
