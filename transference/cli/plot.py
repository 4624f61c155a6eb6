"""The command ``transference plot``."""

from __future__ import annotations

from pathlib import Path

import click

from transference.cli.options import band_option
from transference.errors import UsageError
from transference.store import open_run

_MUCH = 0.2
_KINDS = ("histogram", "training", "matrix")


@click.command(
    short_help="Draw the loss ratios of a run.",
    epilog="""\b
Examples:
  transference plot demo/run --kind histogram --alpha 0.01 -o histogram.png
  transference plot demo/run --kind training --alpha 0.01 --source strokes -o training.pdf""",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice(_KINDS), required=True, help="At one checkpoint, over training, or source by target.")
@click.option("--alpha", type=float, metavar="X", help="Step size; needed when the run has several, since shares depend on it.")
@click.option("--step", type=int, help="Checkpoint (histogram, matrix).  [default: the last]")
@click.option("--source", "sources", multiple=True, help="Draw only this source mode; repeat for several.")
@click.option("--target", "targets", multiple=True, help="Draw only this target mode; repeat for several.")
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
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="PNG, PDF or SVG.")
def plot(
    run: Path,
    kind: str,
    alpha: float | None,
    step: int | None,
    sources: tuple[str, ...],
    targets: tuple[str, ...],
    bins: int,
    limits: tuple[float, float],
    neutral: tuple[float, float],
    output: Path,
) -> None:
    """Draw the loss ratios of a run."""
    from transference import figures

    opened = open_run(run)
    alpha = opened.choose_alpha(alpha)
    pairs, own = opened.pairs(), opened.self_transference()
    for column, wanted in (("source_mode", sources), ("target_mode", targets)):
        present = list(pairs[column].cat.categories)
        if unknown := sorted(set(wanted) - set(present)):
            raise UsageError(f"{run} has no {column.replace('_', ' ')} {', '.join(unknown)}; it has {', '.join(present)}.")
        pairs = pairs[pairs[column].isin(wanted)] if wanted else pairs
    pairs, own = pairs[pairs["alpha"] == alpha], own[own["alpha"] == alpha]
    if kind == "training":
        figure = figures.training(pairs, own, band=neutral, bins=bins, limits=limits)
    else:
        step = opened.choose_step(step)
        pairs, own = pairs[pairs["checkpoint_step"] == step], own[own["checkpoint_step"] == step]
        figure = figures.matrix(pairs) if kind == "matrix" else figures.histogram(pairs, own, band=neutral, bins=bins, limits=limits)
    outside = float(((pairs["loss_ratio"] < limits[0]) | (pairs["loss_ratio"] > limits[1])).mean())
    if kind != "matrix" and outside > _MUCH:
        click.echo(f"{outside:.0%} of the pairs lie outside {limits[0]:g} to {limits[1]:g}; --range LOW HIGH draws another span", err=True)
    figures.save(figure, output)
    click.echo(output)
