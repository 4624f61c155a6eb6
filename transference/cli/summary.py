"""The command ``transference summary``."""

from __future__ import annotations

import click

from transference.cli.deferred import run_by
from transference.cli.options import PathType, band_option


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
@run_by("transference.cli.work.summary")
def summary() -> None:
    """Print mean and shares of the loss ratios, per checkpoint, step size, source mode and target mode.

    With intervals for another draw of the tasks; with the mean log ratio as a sum of its first-order part, which is negative where
    gradients agree, and the curvature of the losses; and with what the run's controls say. Of a run that is not
    finished it prints how much of it is there.
    """
