"""The command ``transference summary``."""

from __future__ import annotations

from pathlib import Path

import click

from transference.cli._table import print_summary
from transference.cli.options import band_option
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
    print_summary(open_run(run), neutral, as_json=json_output)
