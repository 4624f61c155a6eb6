"""The command ``transference plot``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from transference import figures
from transference.cli._beside import check_beside, write_beside
from transference.cli.options import PathType, band_option
from transference.cli.printing import say
from transference.cli.settings import FileArgument, command_of, with_settings
from transference.errors import UsageError
from transference.figures.kinds import BINS, KINDS, LIMITS, Option, PlotRequest

if TYPE_CHECKING:
    from transference.store import Run  # which brings torch, and is not needed for --help

_KINDS = {kind.name: kind for kind in KINDS}
_OF_KINDS = {option.name: option for kind in KINDS for option in kind.options}
"""The options that belong to some kinds only."""

_HELP = """Draw the loss ratios of a run; beside the figure, its data (.csv) and the command (.json).

\b
""" + "\n".join(f"{kind.name:<{max(map(len, _KINDS))}}  {kind.help}" for kind in KINDS)


def _names_of(option: Option[Any]) -> list[str]:
    """Return the kinds that an option belongs to."""
    return [kind.name for kind in KINDS if option in kind.options]


def _parameter(option: Option[Any]) -> str:
    """Return the name of the parameter that an option becomes."""
    return option.name.replace("-", "_")


def _options_of_kinds(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that belong to some kinds only, each named after these in its help."""
    for option in reversed(_OF_KINDS.values()):
        flag = (
            f"--{option.name}/--no-{option.name}"
            if option.type is bool and option.default is None
            else f"--{option.name}"
        )
        words = f"{', '.join(_names_of(option)).capitalize()}: {option.help}"
        settings = {"is_flag": True} if option.type is bool else {"type": option.type, "metavar": option.metavar}
        command = click.option(flag, _parameter(option), default=option.default, help=words, **settings)(command)
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
@click.option("--kind", type=click.Choice(list(_KINDS)), required=True, help="What to draw; see below.")
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
    """Draw a figure; ``--help`` says what of the runs."""
    from transference.cli._selection import Selection, select
    from transference.store import open_run

    drawn = _KINDS[kind]
    options = {name: of_kinds[_parameter(option)] for name, option in _OF_KINDS.items()}
    for name, option in _OF_KINDS.items():
        if options[name] and option not in drawn.options:
            raise UsageError(f"--{name} was given; it belongs to --kind {' or '.join(_names_of(option))}, not {kind}.")
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
    from transference.pages import facts

    if run.spec.estimates and alpha not in run.spec.exact_at:
        told = facts.told_of_estimates(run.spec)
        say(f"{run.path} holds estimates ({told}); transference summary tells how far they can be trusted", err=True)
