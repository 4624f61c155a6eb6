"""The command ``transference choose``."""

from __future__ import annotations

import click

from transference.cli.deferred import run_by
from transference.cli.options import PathType

NOT_SHOWN = (
    "This is a ranking, not a choice: a rank here has not been shown to choose better than chance. Our "
    "experiments looked for it and did not show it (analyses/acting)."
)
"""What stands above all that the command prints and writes."""

_HELP = f"""Rank the source modes of a finished run by their mean log loss ratio on one target mode.

{NOT_SHOWN}

With 95 % intervals for another draw of the tasks, and with what cannot be told apart: two modes whose mean log ratios
on the same targets differ with a p-value above 0.05, corrected by Holm for all pairs. Of a run with replicates their
mean is ranked. Ratios below 1 lower the target's loss, and rank first. --k and --budget turn the ranking into weights
of modes, and --out writes them for transference train --weights.
"""


@click.command(
    help=_HELP,
    short_help="Rank source modes on one target mode.",
    epilog="""\b
Examples:
  transference choose demo/run --target shapes --alpha 0.01
  transference choose demo/run --target shapes --alpha 0.01 --k 2 --out weights.toml
  transference choose demo/run --target shapes --alpha 0.01 --sources strokes""",
)
@click.argument("run", type=PathType())
@click.option("--target", required=True, metavar="MODE", help="The target mode whose losses count.")
@click.option("--step", type=int, metavar="N", help="Checkpoint.  [default: the last]")
@click.option(
    "--alpha", type=float, metavar="X", help="Step size; needed when the run has several, since ranks depend on it."
)
@click.option(
    "--sources",
    multiple=True,
    metavar="MODE",
    help="Rank the single tasks of this source mode, each with its episode, instead of the modes; repeat for several.",
)
@click.option("--k", type=int, metavar="K", help="Weights: 1 for the first K modes, 0 for the others.")
@click.option(
    "--budget",
    type=int,
    metavar="B",
    help="Weights: B tasks, dealt out among the modes that lower the mean log loss in proportion to how much each "
    "does, in whole numbers (largest remainders); none for modes that raise it. The proportion is a convention.",
)
@click.option("--out", type=PathType(), metavar="FILE", help="Write the weights here, as TOML.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--json", "json_output", is_flag=True, help="Print the ranking, and every pair of modes, as JSON.")
@run_by("transference.cli.work.choose")
def choose() -> None:
    """Rank source modes; ``--help`` says by what."""
