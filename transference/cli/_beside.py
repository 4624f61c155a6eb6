"""What stands beside a figure: the data it drew, and how to draw it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from transference._csv import write_csv
from transference.errors import UsageError
from transference.files import write_aside

if TYPE_CHECKING:
    from transference.store import Run

_MARK = "transference"


def check_beside(figure: Path) -> None:
    """Make sure that nothing but what was written with an earlier figure is replaced.

    Raises:
        UsageError: a file of another origin has the name of the figure's data or record.
    """
    data, record = figure.with_suffix(".csv"), figure.with_suffix(".json")
    foreign = (
        record if record.exists() and not _is_ours(record) else data if data.exists() and not record.exists() else None
    )
    if foreign:
        raise UsageError(
            f"{figure} was asked for; its data would replace {foreign}, which was not written with a figure. Choose another -o."
        )


def write_beside(figure: Path, data: pd.DataFrame, command: Sequence[str], runs: Sequence[Run]) -> None:
    """Write ``FIGURE.csv``, the data that was drawn, and ``FIGURE.json``, the command, its runs and the version."""
    about = {
        _MARK: version("transference"),
        "command": shlex.join(command),
        "figure": figure.name,
        "data": figure.with_suffix(".csv").name,
        "runs": [{"path": str(run.path), "digest": run.spec.digest} for run in runs],
    }
    record = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    # The record first: by it the data is known as ours, should the command end here and be repeated.
    write_aside(figure.with_suffix(".json"), lambda path: path.write_text(record, encoding="utf-8"))
    write_aside(figure.with_suffix(".csv"), lambda path: write_csv(data, path))


def _is_ours(record: Path) -> bool:
    """Return whether a file is the record of a figure."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return False
    return isinstance(found, dict) and {_MARK, "command", "figure", "data", "runs"} <= set(found)
