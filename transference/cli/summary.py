"""The command ``transference summary``."""

from __future__ import annotations

from pathlib import Path

import click

from transference.cli._table import print_progress, print_summary
from transference.cli.options import PathType, band_option
from transference.store import open_run


@click.command(
    short_help="Print means, quantiles and shares.",
    epilog="""\b
Examples:
  transference summary demo/run
  transference summary demo/run --controls
  transference summary demo/run --neutral 0.99 1.01 --json""",
)
@click.argument("run", type=PathType())
@band_option
@click.option(
    "--intervals/--no-intervals",
    "with_intervals",
    default=None,
    help="With 95 % intervals.  [default: up to 2 million pairs]",
)
@click.option("--controls", is_flag=True, help="Print the controls of every mode pair.")
@click.option("--json", "json_output", is_flag=True, help="Print every column as JSON.")
def summary(
    run: Path, neutral: tuple[float, float], with_intervals: bool | None, controls: bool, json_output: bool
) -> None:
    """Print mean and shares of the loss ratios, per checkpoint, step size, source mode and target mode.

    With intervals for another draw of the tasks; with the mean log ratio as a sum of its first-order part, which is negative where
    gradients agree, and the curvature of the losses; and with what the run's controls say. Of a run that is not
    finished it prints how much of it is there.
    """
    found = open_run(run)
    if not found.finished:
        print_progress(found, as_json=json_output)
        return
    print_summary(found, neutral, as_json=json_output, with_intervals=with_intervals, controls=controls)
