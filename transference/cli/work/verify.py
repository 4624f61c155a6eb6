"""What ``transference verify`` does, once its options are read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from transference.cli.printing import say
from transference.store import verify as verify_run


def verify(run: Path, json_output: bool) -> None:
    """Do what ``transference verify`` was asked."""
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
