"""The command ``transference verify``."""

from __future__ import annotations

import click

from transference.cli.deferred import run_by
from transference.cli.options import PathType


@click.command(
    short_help="Check every file of a run folder.",
    epilog="""\b
Examples:
  transference verify demo/run
  transference verify demo/run --json""",
)
@click.argument("run", type=PathType())
@click.option("--json", "json_output", is_flag=True, help="Print the findings as JSON.")
@run_by("transference.cli.work.verify")
def verify() -> None:
    """Check every file of a run folder: whose it is, checksums, rows, statuses, ratios, and that files agree on the losses they share.

    Exit code 1 if the folder is incomplete or damaged. What is no part of the run is named.
    """
