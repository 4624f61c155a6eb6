"""The command ``transference plot``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from transference.cli.deferred import run_by
from transference.cli.options import PathType, band_option
from transference.cli.settings import FileArgument, with_settings
from transference.figures.kinds import BINS, KINDS, LIMITS, Option

BY_NAME = {kind.name: kind for kind in KINDS}
OF_KINDS = {option.name: option for kind in KINDS for option in kind.options}
"""The options that belong to some kinds only."""

_HELP = """Draw the loss ratios of a run; beside the figure, its data (.csv) and the command (.json).

\b
""" + "\n".join(f"{kind.name:<{max(map(len, BY_NAME))}}  {kind.help}" for kind in KINDS)


def names_of(option: Option[Any]) -> list[str]:
    """Return the kinds that an option belongs to."""
    return [kind.name for kind in KINDS if option in kind.options]


def parameter_of(option: Option[Any]) -> str:
    """Return the name of the parameter that an option becomes."""
    return option.name.replace("-", "_")


def _options_of_kinds(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that belong to some kinds only, each named after these in its help."""
    for option in reversed(OF_KINDS.values()):
        flag = (
            f"--{option.name}/--no-{option.name}"
            if option.type is bool and option.default is None
            else f"--{option.name}"
        )
        words = f"{', '.join(names_of(option)).capitalize()}: {option.help}"
        settings = {"is_flag": True} if option.type is bool else {"type": option.type, "metavar": option.metavar}
        command = click.option(flag, parameter_of(option), default=option.default, help=words, **settings)(command)
    return command


@with_settings
@click.command(
    help=_HELP,
    short_help="Draw the loss ratios of a run.",
    epilog="""\b
Examples:
  transference plot demo/run --kind histogram --alpha 0.01 -o histogram.png
  transference plot demo/run --kind training --trend -o trend.pdf
  transference plot runs/protonet runs/mprotonet --kind compare --alpha 0.01 -o compare.pdf""",
)
@click.argument("runs", cls=FileArgument, nargs=-1, required=True, metavar="RUN...", type=PathType())
@click.option("--kind", type=click.Choice(list(BY_NAME)), required=True, help="What to draw; see below.")
@click.option(
    "--alpha", type=float, metavar="X", help="Step size; needed when the run has several, since shares depend on it."
)
@click.option("--step", "steps", type=int, multiple=True, help="Checkpoint; twice to compare two.  [default: the last]")
@click.option("--source", "sources", multiple=True, help="Draw only this source mode; repeat for several.")
@click.option("--target", "targets", multiple=True, help="Draw only this target mode; repeat for several.")
@_options_of_kinds
@click.option(
    "--bins", type=click.IntRange(1), metavar="N", default=BINS, show_default=True, help="Bars of a histogram."
)
@click.option(
    "--range",
    "limits",
    type=(float, float),
    metavar="LOW HIGH",
    default=LIMITS,
    show_default=True,
    help="Loss ratios that a histogram spans.",
)
@band_option
@click.option("-o", "--output", type=PathType(), required=True, help="PNG, PDF or SVG.")
@click.pass_context
@run_by("transference.cli.work.plot")
def plot() -> None:
    """Draw a figure; ``--help`` says what of the runs."""
