"""The command ``transference summary``."""

from __future__ import annotations

from pathlib import Path

import click

from transference.cli._table import as_json, told
from transference.cli.options import band_option
from transference.statistics import check_estimates, summarise
from transference.store import open_run


@click.command(
    short_help="Print means, quantiles and shares.",
    epilog="""\b
Examples:
  transference summary demo/run
  transference summary demo/run --neutral 0.99 1.01 --json""",
)
@click.argument("run", type=click.Path(path_type=Path))
@band_option
@click.option("--json", "json_output", is_flag=True, help="Print every column as JSON.")
def summary(run: Path, neutral: tuple[float, float], json_output: bool) -> None:
    """Print mean, quantiles and shares of the loss ratios, per checkpoint, step size, source mode and target mode."""
    opened = open_run(run)
    pairs = opened.pairs()
    table = summarise(pairs, band=neutral)
    click.echo(as_json(table) if json_output else told(table, check_estimates(pairs, opened.check())))
