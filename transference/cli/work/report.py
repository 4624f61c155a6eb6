"""What ``transference report`` does, once its options are read."""

from __future__ import annotations

from pathlib import Path

from transference.cli.options import check_page_name
from transference.cli.printing import say
from transference.report import ReportOptions, write_report
from transference.store import open_run


def report(
    runs: tuple[Path, ...],
    data_root: Path | None,
    targets: tuple[str, ...],
    alpha: float | None,
    side: int | None,
    channels: int | None,
    neutral: tuple[float, float],
    output: Path,
) -> None:
    """Do what ``transference report`` was asked."""
    check_page_name(output)
    options = ReportOptions(
        data_root=data_root, targets=targets, alpha=alpha, band=neutral, side=side, channels=channels
    )
    write_report([open_run(run) for run in runs], output, options, progress=True)
    say(output)
