"""The figures of a run that the page shows, of the kinds that say how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from transference.figures.kinds import KINDS, PlotRequest, Table
from transference.store import Run


@dataclass(frozen=True)
class ReportFigure:
    """One figure of the page.

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


def table_of(run: Run, band: tuple[float, float]) -> Table:
    """Return the tables of a whole run."""
    return Table.of(
        str(run.path),
        run.steps,
        run.alphas,
        band,
        blocks=run.blocks,
        pairs=run.pairs,
        self_transference=run.self_transference,
        controls=run.controls,
        exact_pairs=run.exact_pairs if run.spec.calibrated else None,
    )


def figures_of(table: Table) -> Iterator[ReportFigure]:
    """Yield the figures that the page shows of a run's tables."""
    for kind in KINDS:
        if (kind.every_step and len(table.steps) == 1) or (kind.every_alpha and len(table.alphas) == 1):
            continue
        step = None if kind.every_step else table.steps[-1]
        for alpha in (None,) if kind.every_alpha else table.alphas:
            here = table.at(alpha, step)
            for shown in kind.in_report:
                words = shown.describe(here)
                if words is not None:
                    drawn = kind.draw(PlotRequest((here,), options=shown.options))
                    data = drawn.data if words.data is None else words.data
                    yield ReportFigure(words.title, words.alt, words.caption, drawn.figure, data)
