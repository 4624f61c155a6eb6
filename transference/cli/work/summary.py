"""What ``transference summary`` does, once its options are read."""

from __future__ import annotations

from pathlib import Path

from transference.cli._table import print_progress, print_summary
from transference.store import open_run


def summary(
    run: Path, neutral: tuple[float, float], with_intervals: bool | None, controls: bool, json_output: bool
) -> None:
    """Do what ``transference summary`` was asked."""
    found = open_run(run)
    if not found.finished:
        print_progress(found, as_json=json_output)
        return
    print_summary(found, neutral, as_json=json_output, with_intervals=with_intervals, controls=controls)
