"""The command ``transference export``."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from transference.errors import UsageError
from transference.store import Run, open_run


@click.command(
    short_help="Write the table as one file.",
    epilog="""\b
Examples:
  transference export demo/run pairs.csv
  transference export demo/run matrices.npz""",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
def export(run: Path, file: Path) -> None:
    """Write the table as one file: .parquet or .csv (one row per pair), or .npz (one matrix per checkpoint and step size).

    Of a run with replicates, one row or matrix of each.
    """
    opened = open_run(run)
    writers = {
        ".parquet": lambda: opened.pairs(None).to_parquet(file, index=False),
        ".csv": lambda: opened.pairs(None).to_csv(file, index=False),
        ".npz": lambda: _write_matrices(opened, file),
    }
    if file.suffix not in writers:
        raise UsageError(f"{file} was asked for; the name must end in {', '.join(writers)}.")
    writers[file.suffix]()
    click.echo(file)


def _write_matrices(run: Run, file: Path) -> None:
    matrices = {
        f"step={step},alpha={alpha!r}{f',replicate={replicate}' if replicate else ''}": run.matrix(step, alpha, replicate)
        for step in run.steps
        for alpha in run.alphas
        for replicate in range(run.spec.replicates)
    }
    np.savez_compressed(file, **matrices)  # type: ignore[arg-type]
