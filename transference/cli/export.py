"""The command ``transference export``."""

from __future__ import annotations

import click

from transference.cli.deferred import run_by
from transference.cli.options import PathType

_HELP = "Only this {0} mode, or this {0} task, as MODE:INDEX or its id; repeat for several.  [default: all]"


@click.command(
    short_help="Write the table as one file.",
    epilog="""\b
Examples:
  transference export demo/run pairs.csv
  transference export demo/run matrices.npz
  transference export demo/run some.csv --source strokes:5 --source strokes:7 --target shapes""",
)
@click.argument("run", type=PathType())
@click.argument("file", type=PathType())
@click.option("--source", "sources", multiple=True, metavar="MODE[:INDEX]", help=_HELP.format("source"))
@click.option("--target", "targets", multiple=True, metavar="MODE[:INDEX]", help=_HELP.format("target"))
@run_by("transference.cli.work.export")
def export() -> None:
    """Write the table as one file: .parquet or .csv (one row per pair), or .npz (one matrix per checkpoint and step size).

    Of a run with replicates, one row or matrix of each. In a csv a name that a spreadsheet would compute (=…) has an apostrophe before it.
    """
