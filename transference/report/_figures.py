"""The figures of a run, each with what it shows in words and as numbers. A new kind is one function, and one line in `KINDS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from transference import figures
from transference.figures.histogram import LIMITS
from transference.statistics import CLASSES


@dataclass(frozen=True)
class Table:
    """What figures are drawn from.

    Attributes:
        pairs: what ``Run.pairs()`` returns.
        own: what ``Run.self_transference()`` returns.
        summary: what ``summarise`` returns.
        ends: what ``intervals`` returns.
        parts: what ``split`` returns.
        bands: what ``control_bands`` returns.
        band: the neutral band.
    """

    pairs: pd.DataFrame
    own: pd.DataFrame
    summary: pd.DataFrame
    ends: pd.DataFrame
    parts: pd.DataFrame
    bands: pd.DataFrame
    band: tuple[float, float]

    def at(self, alpha: float | None = None, step: int | None = None) -> Table:
        """Return the part of one step size, and of one checkpoint."""

        def part(frame: pd.DataFrame) -> pd.DataFrame:
            frame = frame if alpha is None else frame[frame["alpha"] == alpha]
            return frame if step is None else frame[frame["checkpoint_step"] == step]

        own, summary, ends, parts, bands = map(part, (self.own, self.summary, self.ends, self.parts, self.bands))
        return Table(part(self.pairs), own, summary, ends, parts, bands, self.band)

    def by_alpha(self, step: int | None = None) -> Iterator[tuple[float, Table]]:
        """Yield each step size with its part, of one checkpoint or of all."""
        return ((alpha, self.at(alpha, step)) for alpha in sorted(self.pairs["alpha"].unique()))

    @property
    def last(self) -> int:
        """The last checkpoint."""
        return int(self.pairs["checkpoint_step"].max())

    @property
    def bars(self) -> dict[str, Any]:
        """The settings of histograms."""
        return {"band": self.band, "bands": self.bands if len(self.bands) else None}


@dataclass(frozen=True)
class Drawn:
    """One figure.

    Attributes:
        title: its heading.
        alt: what it shows, for who cannot see it.
        caption: how to read it.
        figure: the drawing.
        data: what was drawn.
    """

    title: str
    alt: str
    caption: str
    figure: Figure
    data: pd.DataFrame


def histograms(table: Table) -> Iterator[Drawn]:
    """Yield, for each step size, the histograms of the last checkpoint.

    Yields:
        One figure per step size.
    """
    for alpha, here in table.by_alpha(table.last):
        yield Drawn(
            f"Loss ratios at checkpoint {table.last:,}, α = {alpha:g}",
            f"Histograms of the loss ratios. {_shares(here.summary)}",
            f"Source modes down, target modes across. {_outside(here.pairs)}Triangles: each target used as its own source. {_BANDS}",
            figures.histogram(here.pairs, here.own, **here.bars),
            figures.binned(here.pairs, here.own, **here.bars),
        )


def trainings(table: Table) -> Iterator[Drawn]:
    """Yield, for each step size, the histograms over training; nothing where there is one checkpoint.

    Yields:
        One figure per step size.
    """
    if table.pairs["checkpoint_step"].nunique() == 1:
        return
    for alpha, here in table.by_alpha():
        yield Drawn(
            f"Over training, α = {alpha:g}",
            f"Histograms of the loss ratios at each checkpoint. {_shares(here.summary, over_training=True)}",
            f"One row per pair of modes, checkpoints from left to right. {_outside(here.pairs)}{_BANDS}",
            figures.training(here.pairs, here.own, **here.bars),
            figures.binned(here.pairs, here.own, **here.bars),
        )
        yield Drawn(
            f"Shares over training, α = {alpha:g}",
            f"Shares of positive, neutral and negative pairs at each checkpoint. {_shares(here.summary, over_training=True)}",
            "With 95 % intervals for another draw of tasks, the same at every checkpoint: intervals may overlap though all changed.",
            figures.trend(here.ends),
            _of(here.ends, CLASSES),
        )


def shares(table: Table) -> Iterator[Drawn]:
    """Yield, for each step size, shares and means of the last checkpoint, with intervals.

    Yields:
        Two figures per step size.
    """
    for alpha, here in table.by_alpha(table.last):
        yield Drawn(
            f"Shares at checkpoint {table.last:,}, α = {alpha:g}",
            f"Shares of positive, neutral and negative pairs of each pair of modes. {_shares(here.summary)}",
            "Upper intervals: of the positive share, from the left. Lower ones: of the negative share, from the right.",
            figures.types(here.ends),
            _of(here.ends, CLASSES),
        )
        yield Drawn(
            f"Means at checkpoint {table.last:,}, α = {alpha:g}",
            f"Geometric mean of the loss ratios of each pair of modes. {_means(here.summary)}",
            "With 95 % intervals for another draw of tasks; bold where the interval excludes 1.",
            figures.blocks(here.ends),
            _of(here.ends, ["geometric_mean"]),
        )


def matrices(table: Table) -> Iterator[Drawn]:
    """Yield, for each step size, the matrix of the last checkpoint.

    Yields:
        One figure per step size.
    """
    for alpha, here in table.by_alpha(table.last):
        yield Drawn(
            f"Matrix at checkpoint {table.last:,}, α = {alpha:g}",
            f"Heatmap of the loss ratios, source tasks down, target tasks across. {_means(here.summary)}",
            "Each cell is one pair of tasks: blue where the source helped the target, red where it hurt, yellow where there is no ratio.",
            figures.matrix(here.pairs),
            here.pairs.pivot(index="source", columns="target", values="loss_ratio").add_prefix("target ").reset_index(),
        )


def step_sizes(table: Table) -> Iterator[Drawn]:
    """Yield the parts of the log ratio over step sizes, at the last checkpoint; nothing where there is one step size.

    Yields:
        One figure.
    """
    here = table.at(step=table.last).parts
    if here["alpha"].nunique() > 1 and here["n"].any():
        told = "; ".join(
            f"α = {row.alpha:g}, {row.source_mode} → {row.target_mode}: {row.first_order:+.3g} and {row.curvature:+.3g}"
            for row in here.itertuples()
        )
        yield Drawn(
            f"First order and curvature at checkpoint {table.last:,}",
            f"Mean log ratio over step sizes as first-order part and curvature. {told}.",
            "The first-order part is below 0 where gradients agree; curvature is what any step of that length adds. Where it outgrows the "
            "first, negative transfer is overshoot.",
            figures.step_size(here),
            here,
        )


KINDS: tuple[Callable[[Table], Iterator[Drawn]], ...] = (histograms, shares, step_sizes, trainings, matrices)

_BANDS = "Grey: how far another draw of the images moves a ratio; hatched: random directions (95 % each)."


def _of(ends: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    return ends[ends["statistic"].isin(names)]


def _means(summary: pd.DataFrame) -> str:
    means = "; ".join(f"{row.source_mode} → {row.target_mode} {row.geometric_mean:.4g}" for row in summary.itertuples())
    return f"Geometric means: {means}."


def _shares(summary: pd.DataFrame, *, over_training: bool = False) -> str:
    told = []
    for row in summary.to_dict("records"):
        when = f"checkpoint {row['checkpoint_step']:,}, " if over_training else ""
        shares = ", ".join(f"{row[name]:.0%} {name}" for name in CLASSES)
        told.append(f"{when}{row['source_mode']} → {row['target_mode']}: {shares}, geometric mean {row['geometric_mean']:.4g}")
    return "; ".join(told) + "."


def _outside(pairs: pd.DataFrame) -> str:
    ratio = pairs["loss_ratio"].dropna()
    share = float(((ratio < LIMITS[0]) | (ratio > LIMITS[1])).mean()) if len(ratio) else 0.0
    return f"{share:.0%} of the pairs lie beyond the edges. " if share >= 0.005 else ""
