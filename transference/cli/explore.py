"""The command ``transference explore``."""

from __future__ import annotations

import click

from transference.cli.deferred import run_by
from transference.cli.options import PathType, page_options


@click.command(
    short_help="Write a run as a matrix that one can touch.",
    epilog="""\b
Examples:
  transference explore demo/run -o matrix.html
  transference explore runs/first --data-root data --alpha 0.01 -o matrix.html""",
)
@click.argument("run", type=PathType())
@click.option("--step", "steps", type=int, multiple=True, help="Checkpoint; repeat for several.  [default: all]")
@click.option(
    "--alpha", "alphas", type=float, metavar="X", multiple=True, help="Step size; repeat for several.  [default: all]"
)
@page_options
@run_by("transference.cli.work.explore")
def explore() -> None:
    """Write one page with every pair of a run as a cell of a matrix, to be explored in a browser.

    It sorts by mode, by cluster and by source mean; goes through checkpoints and step sizes; greys what lies within the resampling noise;
    and shows of each pair its numbers, its support sets and the command that measures it again. It needs no network.
    """
