"""The command ``transference verify``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from transference.cli.options import PathType
from transference.cli.printing import say
from transference.store import verify as verify_run


@click.command(
    short_help="Check every file of a run folder.",
    epilog="""\b
Examples:
  transference verify demo/run
  transference verify demo/run --json""",
)
@click.argument("run", type=PathType())
@click.option("--json", "json_output", is_flag=True, help="Print the findings as JSON.")
def verify(run: Path, json_output: bool) -> None:
    """Check every file of a run folder: whose it is, checksums, rows, statuses, ratios, and that files agree on the losses they share.

    Exit code 1 if the folder is incomplete or damaged. What is no part of the run is named.
    """
    found = verify_run(run)
    if json_output:
        say(json.dumps({**dataclasses.asdict(found), "complete": found.complete}, indent=2))
    else:
        cells = ", ".join(f"{n} {status}" for status, n in sorted(found.statuses.items()))
        say(f"{run}: {found.tiles - found.missing} of {found.tiles} tiles; cells: {cells or 'none'}")
        for problem in found.problems:
            say(f"error: {problem}", err=True)
        for note in found.notes:
            say(f"note: {note}", err=True)
    if not found.complete:
        raise SystemExit(1)
