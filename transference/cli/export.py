"""The command ``transference export``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import click
import numpy as np

from transference._csv import write_csv
from transference.cli.options import PathType
from transference.cli.printing import say
from transference.errors import UsageError
from transference.files import write_aside
from transference.store import Run, open_run


@click.command(
    short_help="Write the table as one file.",
    epilog="""\b
Examples:
  transference export demo/run pairs.csv
  transference export demo/run matrices.npz""",
)
@click.argument("run", type=PathType())
@click.argument("file", type=PathType())
def export(run: Path, file: Path) -> None:
    """Write the table as one file: .parquet or .csv (one row per pair), or .npz (one matrix per checkpoint and step size).

    Of a run with replicates, one row or matrix of each. In a csv a name that a spreadsheet would compute (=…) has an apostrophe before it.
    """
    opened = open_run(run)
    writers: dict[str, Callable[[BinaryIO], None]] = {
        ".parquet": lambda content: opened.pairs(None).to_parquet(content, index=False),
        ".csv": lambda content: write_csv(opened.pairs(None), content),
        ".npz": lambda content: _write_matrices(opened, content),
    }
    if file.suffix not in writers:
        raise UsageError(f"{file} was asked for; the name must end in {', '.join(writers)}.")

    def write(aside: Path) -> None:
        with aside.open("wb") as content:  # libraries that are given a name add to it, or take it for an address
            writers[file.suffix](content)

    write_aside(file, write)
    say(file)


def _write_matrices(run: Run, file: BinaryIO) -> None:
    matrices = {
        f"step={step},alpha={alpha!r}{f',replicate={replicate}' if replicate else ''}": run.matrix(
            step, alpha, replicate
        )
        for step in run.steps
        for alpha in run.alphas
        for replicate in range(run.spec.replicates)
    }
    np.savez_compressed(file, **matrices)  # type: ignore[arg-type]
