"""The figures of a run, each with what it shows in words and as numbers. A new kind is one function, and one line in `KINDS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from transference import figures
from transference.figures.histogram import BINS, LIMITS
from transference.statistics import CLASSES


@dataclass(frozen=True)
class Table:
    """What figures are drawn from.

    Attributes:
        pairs: what ``Run.pairs()`` returns.
        own: what ``Run.self_transference()`` returns.
        summary: what ``summarise`` returns.
        band: the neutral band.
    """

    pairs: pd.DataFrame
    own: pd.DataFrame
    summary: pd.DataFrame
    band: tuple[float, float]

    def at(self, alpha: float, step: int | None = None) -> Table:
        """Return the part of one step size, and of one checkpoint."""
        pairs, own, summary = (
            frame[(frame["alpha"] == alpha) & (frame["checkpoint_step"].eq(step) if step is not None else True)]
            for frame in (self.pairs, self.own, self.summary)
        )
        return Table(pairs, own, summary, self.band)


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
    step = table.pairs["checkpoint_step"].max()
    for alpha in sorted(table.pairs["alpha"].unique()):
        here = table.at(alpha, step)
        yield Drawn(
            f"Loss ratios at checkpoint {step:,}, α = {alpha:g}",
            f"Histograms of the loss ratios. {_shares(here.summary)}",
            f"Source modes down, target modes across. {_outside(here.pairs)}Triangles: each target used as its own source.",
            figures.histogram(here.pairs, here.own, band=table.band),
            counted(here.pairs),
        )


def trainings(table: Table) -> Iterator[Drawn]:
    """Yield, for each step size, the histograms over training; nothing where there is one checkpoint.

    Yields:
        One figure per step size.
    """
    if table.pairs["checkpoint_step"].nunique() == 1:
        return
    for alpha in sorted(table.pairs["alpha"].unique()):
        here = table.at(alpha)
        yield Drawn(
            f"Over training, α = {alpha:g}",
            f"Histograms of the loss ratios at each checkpoint. {_shares(here.summary, over_training=True)}",
            f"One row per pair of modes, checkpoints from left to right. {_outside(here.pairs)}",
            figures.training(here.pairs, here.own, band=table.band),
            counted(here.pairs),
        )


def matrices(table: Table) -> Iterator[Drawn]:
    """Yield, for each step size, the matrix of the last checkpoint.

    Yields:
        One figure per step size.
    """
    step = table.pairs["checkpoint_step"].max()
    for alpha in sorted(table.pairs["alpha"].unique()):
        here = table.at(alpha, step)
        means = "; ".join(f"{row.source_mode} → {row.target_mode} {row.geometric_mean:.4g}" for row in here.summary.itertuples())
        yield Drawn(
            f"Matrix at checkpoint {step:,}, α = {alpha:g}",
            f"Heatmap of the loss ratios, source tasks down, target tasks across. Geometric means: {means}.",
            "Each cell is one pair of tasks: blue where the source helped the target, red where it hurt, yellow where there is no ratio.",
            figures.matrix(here.pairs),
            here.pairs.pivot(index="source", columns="target", values="loss_ratio").add_prefix("target ").reset_index(),
        )


KINDS: tuple[Callable[[Table], Iterator[Drawn]], ...] = (histograms, trainings, matrices)


def counted(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the heights of the bars: pairs of each panel with a loss ratio from ``low`` up to ``high``."""
    edges = [-np.inf, *np.linspace(*LIMITS, BINS + 1), np.inf]
    rows = []
    for key, group in pairs.groupby(["checkpoint_step", "alpha", "source_mode", "target_mode"], observed=True):
        counts, _ = np.histogram(group["loss_ratio"].dropna(), edges)
        panel = dict(zip(("checkpoint_step", "alpha", "source_mode", "target_mode"), key, strict=True))
        rows += [{**panel, "low": low, "high": high, "pairs": n} for low, high, n in zip(edges, edges[1:], counts.tolist(), strict=False)]
    return pd.DataFrame(rows)


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
