"""The figures of a run that the page shows, of the kinds that say how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from transference.figures import span_of
from transference.figures.kinds import KINDS, InReport, Kind
from transference.figures.requests import PlotRequest, Table
from transference.store import Run


@dataclass(frozen=True)
class ReportFigure:
    """One figure of the page.

    Attributes:
        title: its heading.
        alt: what it shows, for who cannot see it.
        caption: how to read it.
        alpha: the step size that it is of, None where it is of all.
        figure: the drawing.
        data: what was drawn; bars without a pair are left out.
    """

    title: str
    alt: str
    caption: str
    alpha: float | None
    figure: Figure
    data: pd.DataFrame


@dataclass(frozen=True)
class PlannedFigure:
    """A figure that a run may have.

    Attributes:
        kind: what is drawn.
        shown: how the page shows it.
        table: the part of the run that it draws.
        alpha: the step size that it is of, None where it is of all.
    """

    kind: Kind
    shown: InReport
    table: Table
    alpha: float | None

    def draw(self, limit: float | None = None) -> ReportFigure | None:
        """Return the figure, None where the run has nothing for it.

        Args:
            limit: loss ratio at which its colours end, where several figures share a scale.
        """
        words = self.shown.describe(self.table)
        if words is None:
            return None
        options = {**self.shown.options} if limit is None else {**self.shown.options, "limit": limit}
        drawn = self.kind.draw(PlotRequest((self.table,), options=options))
        data = drawn.data if words.data is None else words.data
        if "count" in data:
            data = data[(data["count"] != 0).fillna(True)]  # most bars of a histogram are empty; a control has no count
        return ReportFigure(words.title, words.alt, words.caption, self.alpha, drawn.figure, data)


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
        amount=run.spec.amount,
    )


def plan_figures(table: Table) -> list[PlannedFigure]:
    """Return the figures that a run's tables may have, in the order of the page."""
    plans = []
    for kind in KINDS:
        if (kind.every_step and len(table.steps) == 1) or (kind.every_alpha and len(table.alphas) == 1):
            continue
        step = None if kind.every_step else table.steps[-1]
        for alpha in (None,) if kind.every_alpha else table.alphas:
            here = table.at(alpha, step)
            plans += [PlannedFigure(kind, shown, here, alpha) for shown in kind.in_report]
    return plans


def shared_limits(tables: Sequence[Table]) -> dict[tuple[str, float], float]:
    """Return where the colours of figures end that several runs have at the same step size, so that they share a scale.

    Args:
        tables: of each run; nothing is shared by one.

    Returns:
        By kind and step size the loss ratio at which the widest of their own scales ends.
    """
    limits = {}
    for alpha in {alpha for table in tables for alpha in table.alphas}:
        sharing = [table.at(alpha, table.steps[-1]) for table in tables if alpha in table.alphas]
        if len(sharing) > 1:
            for kind, logs_of in _COLOURED.items():
                limits[kind, alpha] = float(np.exp(max(span_of(logs_of(table), None) for table in sharing)))
    return limits


def _logs_of_pairs(table: Table) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        logs: NDArray[np.float64] = np.log(table.pairs()["loss_ratio"].to_numpy(dtype=float))
    return logs


def _logs_of_means(table: Table) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        logs: NDArray[np.float64] = np.log(table.summary()["geometric_mean"].to_numpy(dtype=float))
    return logs


_COLOURED = {"matrix": _logs_of_pairs, "blocks": _logs_of_means}
"""The kinds whose colours are loss ratios, and what of."""
