"""The command ``transference report``."""

from __future__ import annotations

import click

from transference.cli.deferred import run_by
from transference.cli.options import PathType, page_options
from transference.cli.settings import FileArgument, with_settings


@with_settings
@click.command(
    short_help="Write runs as one page for a browser.",
    epilog="""\b
Examples:
  transference report demo/run -o report.html
  transference report runs/first runs/second --data-root data --target birds:7 --target 3 -o report.html""",
)
@click.argument("runs", cls=FileArgument, nargs=-1, required=True, type=PathType(), metavar="RUN...")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="MODE:INDEX",
    help="Target task, or its id, shown beside the sources of its lowest and highest loss ratios; repeat for several.  "
    "[default: of each mode the one whose loss ratios spread most]",
)
@click.option("--alpha", type=float, metavar="X", help="Step size that is shown first.  [default: the smallest]")
@page_options
@run_by("transference.cli.work.report")
def report() -> None:
    """Write one page that needs no network.

    It shows what was measured, a summary, figures, and, as images, the tasks of the most positive and most negative transfer.
    """
