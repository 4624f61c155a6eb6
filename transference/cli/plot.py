"""The command ``transference plot``."""

from __future__ import annotations

from pathlib import Path

import click

from transference.cli._beside import check_beside, command_of, write_beside
from transference.cli.options import PathType, band_option
from transference.cli.printing import say
from transference.errors import UsageError
from transference.store import Run, open_run

_KINDS = ("histogram", "training", "types", "blocks", "matrix", "compare", "step-size")
_BELONGS = {
    "ring": ("types",),
    "trend": ("training",),
    "clustered": ("matrix",),
    "limit": ("matrix", "blocks"),
    "names": ("compare",),
    "controls": ("histogram", "training"),
}
"""Which kinds an option is for."""


@click.command(
    short_help="Draw the loss ratios of a run.",
    epilog="""\b
Examples:
  transference plot demo/run --kind histogram --alpha 0.01 -o histogram.png
  transference plot demo/run --kind training --trend -o trend.pdf
  transference plot runs/protonet runs/mprotonet --kind compare --alpha 0.01 -o compare.pdf""",
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=PathType())
@click.option("--kind", type=click.Choice(_KINDS), required=True, help="What to draw; see below.")
@click.option("--alpha", type=float, metavar="X", help="Step size; needed when the run has several, since shares depend on it.")
@click.option("--step", "steps", type=int, multiple=True, help="Checkpoint; twice to compare two.  [default: the last]")
@click.option("--source", "sources", multiple=True, help="Draw only this source mode; repeat for several.")
@click.option("--target", "targets", multiple=True, help="Draw only this target mode; repeat for several.")
@click.option("--trend", is_flag=True, help="Training: draw the shares over checkpoints, as lines with intervals.")
@click.option("--ring", is_flag=True, help="Types: draw rings, as the paper does; they have no intervals.")
@click.option("--clustered", is_flag=True, help="Matrix: put tasks that act alike beside each other, modes told by colour.")
@click.option("--limit", type=float, metavar="RATIO", help="Matrix, blocks: where the colours end, so that figures share one scale.")
@click.option("--names", metavar="A,B", help="Compare: what the two are called.  [default: their learners or checkpoints]")
@click.option(
    "--controls/--no-controls",
    default=None,
    help="Histogram, training: draw the controls of the run behind the bars.  [default: where it has some]",
)
@click.option("--bins", type=click.IntRange(1), metavar="N", default=60, show_default=True, help="Bars of a histogram.")
@click.option(
    "--range",
    "limits",
    type=(float, float),
    metavar="LOW HIGH",
    default=(0.8, 1.3),
    show_default=True,
    help="Loss ratios that a histogram spans.",
)
@band_option
@click.option("-o", "--output", type=PathType(), required=True, help="PNG, PDF or SVG.")
@click.pass_context
def plot(
    ctx: click.Context,
    runs: tuple[Path, ...],
    kind: str,
    alpha: float | None,
    steps: tuple[int, ...],
    sources: tuple[str, ...],
    targets: tuple[str, ...],
    trend: bool,
    ring: bool,
    clustered: bool,
    limit: float | None,
    names: str | None,
    controls: bool | None,
    bins: int,
    limits: tuple[float, float],
    neutral: tuple[float, float],
    output: Path,
) -> None:
    """Draw the loss ratios of a run; beside the figure, its data (.csv) and the command (.json).

    \b
    histogram  one checkpoint, a panel for each pair of modes
    training   all checkpoints, as histograms or (--trend) as lines
    types      shares of positive, neutral and negative transfer
    blocks     mean of each source mode on each target mode
    matrix     every source task on every target task
    compare    two runs of the same tasks, or two checkpoints of one run
    step-size  every step size: first-order part of the log ratio, and curvature
    """
    from transference import figures
    from transference.cli._drawing import KINDS, Asked

    for option, kinds in _BELONGS.items():
        if ctx.params[option] and kind not in kinds:
            raise UsageError(f"--{option} was given; it belongs to --kind {' or '.join(kinds)}, not {kind}.")
    if kind != "compare" and len(runs) > 1:
        raise UsageError(f"{len(runs)} runs were given; only --kind compare takes two.")
    if trend and controls:
        raise UsageError("--trend and --controls were given; controls are drawn behind histograms. Leave one out.")
    figures.check_name(output)
    check_beside(output)
    opened = tuple(open_run(path) for path in runs)
    for run in dict.fromkeys(opened):
        _tell_estimated(run)
    asked = Asked(
        runs=opened,
        alpha=alpha,
        steps=steps,
        sources=sources,
        targets=targets,
        bins=bins,
        limits=limits,
        band=neutral,
        limit=limit,
        names=_two_names(names),
        ring=ring,
        clustered=clustered,
        trend=trend,
        controls=controls,
    )
    figure, data = KINDS[kind](asked)
    write_beside(output, data, command_of(ctx), opened)
    figures.save(figure, output)
    say(output)


def _two_names(text: str | None) -> tuple[str, str] | None:
    """Return the names in ``A,B``.

    Raises:
        UsageError: they are not two.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise UsageError(f"--names {text!r} was given; it takes two different names, for example before,after.")
    return names[0], names[1]


def _tell_estimated(run: Run) -> None:
    if run.spec.estimates:
        say(f"{run.path} holds estimates ({run.spec.estimator['kind']}); transference summary tells how far they can be trusted", err=True)
