"""What ``transference plot`` does, once its options are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from transference import figures
from transference.cli._beside import check_beside, write_beside
from transference.cli._selection import Selection, select
from transference.cli.plot import BY_NAME, OF_KINDS, names_of, parameter_of
from transference.cli.printing import say
from transference.cli.settings import command_of
from transference.errors import UsageError
from transference.figures.requests import PlotRequest
from transference.pages import facts
from transference.store import Run, open_run


def plot(
    ctx: click.Context,
    /,
    runs: tuple[Path, ...],
    kind: str,
    alpha: float | None,
    steps: tuple[int, ...],
    sources: tuple[str, ...],
    targets: tuple[str, ...],
    bins: int,
    limits: tuple[float, float],
    neutral: tuple[float, float],
    output: Path,
    **of_kinds: Any,  # noqa: ANN401 - each of the type that its option says
) -> None:
    """Do what ``transference plot`` was asked."""
    drawn = BY_NAME[kind]
    options = {name: of_kinds[parameter_of(option)] for name, option in OF_KINDS.items()}
    for name, option in OF_KINDS.items():
        if options[name] and option not in drawn.options:
            raise UsageError(f"--{name} was given; it belongs to --kind {' or '.join(names_of(option))}, not {kind}.")
    figures.check_name(output)
    check_beside(output)
    opened = tuple(open_run(path) for path in runs)
    for run in dict.fromkeys(opened):
        _warn_of_estimates(run, alpha)
    tables, names = select(drawn, opened, Selection(alpha, steps, sources, targets, neutral))
    figure, data, note = drawn.draw(PlotRequest(tables, names, bins, limits, options))
    if note:
        say(note, err=True)
    write_beside(output, data, command_of(ctx), opened)
    figures.save(figure, output)
    say(output)


def _warn_of_estimates(run: Run, alpha: float | None) -> None:
    """Say of a run of estimates that it is one, unless the step size that was chosen has none."""
    if run.spec.estimates and alpha not in run.spec.exact_at:
        told = facts.told_of_estimates(run.spec)
        say(f"{run.path} holds estimates ({told}); transference summary tells how far they can be trusted", err=True)
