"""What ``transference explore`` does, once its options are read."""

from __future__ import annotations

from pathlib import Path

from transference.cli.options import check_page_name
from transference.cli.printing import say
from transference.explore import ExploreOptions, Explorer
from transference.store import open_run


def explore(
    run: Path,
    data_root: Path | None,
    steps: tuple[int, ...],
    alphas: tuple[float, ...],
    side: int | None,
    channels: int | None,
    neutral: tuple[float, float],
    output: Path,
) -> None:
    """Do what ``transference explore`` was asked."""
    check_page_name(output)
    options = ExploreOptions(
        data_root=data_root, steps=steps, alphas=alphas, band=neutral, side=side, channels=channels
    )
    Explorer(open_run(run), options).save(output)
    say(output)
