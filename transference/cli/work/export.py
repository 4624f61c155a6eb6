"""What ``transference export`` does, once its options are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from transference._csv import write_csv
from transference.cli.printing import say
from transference.errors import UsageError
from transference.files import write_aside
from transference.store import Run, choose_tasks, open_run


def export(run: Path, file: Path, sources: tuple[str, ...], targets: tuple[str, ...]) -> None:
    """Do what ``transference export`` was asked."""
    opened = open_run(run)
    chosen = choose_tasks(opened, "source", sources), choose_tasks(opened, "target", targets)
    writers: dict[str, Callable[[BinaryIO], None]] = {
        ".parquet": lambda content: _pairs(opened, *chosen).to_parquet(content, index=False),
        ".csv": lambda content: write_csv(_pairs(opened, *chosen), content),
        ".npz": lambda content: _write_matrices(opened, *chosen, content),
    }
    if file.suffix not in writers:
        raise UsageError(f"{file} was asked for; the name must end in {', '.join(writers)}.")

    def write(aside: Path) -> None:
        with aside.open("wb") as content:  # libraries that are given a name add to it, or take it for an address
            writers[file.suffix](content)

    write_aside(file, write)
    say(file)


def _pairs(run: Run, sources: list[int], targets: list[int]) -> pd.DataFrame:
    """Return the rows of some sources and targets, of every replicate."""
    pairs = run.pairs(None)
    return pairs[pairs["source"].isin(sources) & pairs["target"].isin(targets)]


def _write_matrices(run: Run, sources: list[int], targets: list[int], file: BinaryIO) -> None:
    """Write the matrices of some sources and targets, of every checkpoint, step size and replicate."""
    matrices = {
        f"step={step},alpha={alpha!r}{f',replicate={replicate}' if replicate else ''}": run.matrix(
            step, alpha, replicate
        )[np.ix_(sources, targets)]
        for step in run.steps
        for alpha in run.alphas
        for replicate in range(run.spec.replicates)
    }
    np.savez_compressed(file, **matrices)  # type: ignore[arg-type]
