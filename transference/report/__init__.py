"""Runs in, one page out: what was measured, tables, figures, and the tasks of the most positive and the most negative transfer, as images.

The page is a single file: it asks for nothing else, over no network, and may ask for nothing (its content security policy says so).
The same runs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transference.files import write_aside
from transference.report._page import ReportOptions, build_page
from transference.store import Run

__all__ = ["ReportOptions", "build_page", "write_report"]


def write_report(
    runs: Sequence[Run],
    out: str | Path,
    options: ReportOptions = ReportOptions(),  # noqa: B008 - frozen
    *,
    progress: bool = False,
) -> None:
    """Write the page of some runs.

    Args:
        runs: at least one, each complete.
        out: the file, ``.html``.
        options: what is shown.
        progress: show on stderr how far it is.

    Raises:
        UsageError: a target or step size was asked for that the runs do not have.
        StoreError: a run is incomplete or damaged.
    """
    page = build_page(runs, options, progress=progress)
    write_aside(Path(out), lambda aside: aside.write_text(page, encoding="utf-8", newline="\n"))
