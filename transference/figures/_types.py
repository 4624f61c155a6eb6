"""The types of transfer of each mode pair: which shares of the task pairs are positive, neutral, negative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from transference.amounts import STEP_SIZES, Amount
from transference.figures._calibrated import INTERVALS, as_intervals, beside, has_rows
from transference.figures._options import RING
from transference.figures._panels import (
    by_statistic,
    check_pair,
    check_single,
    class_patches,
    grid,
    head_grid,
    legend,
    modes,
    narrowed,
    of_pair,
    shares_of,
    title_of,
)
from transference.figures._shares import label_rows, percents, rows_of, share_axis, share_bar, share_ends, width_for
from transference.figures._style import COLOURS, LETTERS, Canvas, canvas, styled, whole
from transference.figures._words import intervals_in_words, shares_in_words, told_of
from transference.figures.requests import Description, Drawn, PlotRequest, Table
from transference.statistics import CLASSES

_ROW, _RING = 0.26, (0.74, 1.1)  # inches
_BAR = 0.56  # of a row
_THIN = 0.16  # likewise, of the estimates above
_ABOVE = 0.4  # a row, from the middle of a bar to that of the estimates
_COLUMNS = (24, 48, 72)  # of the numbers, in points from the end of the bar


def types(
    table: pd.DataFrame,
    *,
    ring: bool = False,
    calibrated: pd.DataFrame | None = None,
    amount: Amount = STEP_SIZES,
    on: Canvas | None = None,
) -> Figure:
    """Draw the shares of each mode pair as a stacked bar with 95 % intervals, or as the ring of the paper's figure, which has none.

    The interval of the positive share is measured from the left end of the bar, that of the negative share from the right end.

    Args:
        table: rows of ``statistics.intervals`` of one checkpoint and step size.
        ring: draw rings, source modes down and target modes across.
        calibrated: rows of ``statistics.calibrate`` of a run of estimates, drawn with their intervals; the estimates then are thin
            bars above, or thin rings inside.
        amount: how values of ``alpha`` are said, of a run ``run.spec.amount``; by default as step sizes.
        on: as for `histogram`.

    Raises:
        UsageError: the table holds several checkpoints or step sizes.
    """
    check_single(table, "checkpoint_step", "alpha")
    with styled():
        return whole((_rings if ring else _bars)(table, calibrated, amount, on))


def _bars(table: pd.DataFrame, calibrated: pd.DataFrame | None, amount: Amount, on: Canvas | None) -> Canvas:
    """Draw a stacked bar for each mode pair, with its intervals, a legend and a title."""
    headings, rows = rows_of(table)
    figure = canvas(
        width_for(headings), 1.2 + (0.35 if has_rows(calibrated) else 0) + _ROW * (len(headings) + len(rows)), on
    )
    draw_types(figure.subplots(), table, calibrated=calibrated)
    interval = Line2D([], [], color="black", linewidth=0.9, marker="|", markersize=3.5, label="95 % intervals")
    legend(figure, [*class_patches(), interval], title_of(table, amount) + _told(calibrated, "thin bars above"))
    return figure


def _told(calibrated: pd.DataFrame | None, estimates: str) -> str:
    """Return what the title says of what is drawn twice."""
    return f"\ncalibrated by exact pairs, {INTERVALS}\n{estimates}: estimates" if has_rows(calibrated) else ""


def draw_types(ax: Axes, table: pd.DataFrame, *, calibrated: pd.DataFrame | None = None) -> Axes:
    """Draw the bars of `types`.

    Args:
        ax: where to draw.
        table: as for `types`.
        calibrated: as for `types`.

    Raises:
        UsageError: the table holds several checkpoints or step sizes.
    """
    check_single(table, "checkpoint_step", "alpha")
    headings, rows = rows_of(table)
    exact = as_intervals(calibrated) if has_rows(calibrated) else None
    for k, (source, target, place) in enumerate(rows):
        shares = by_statistic(table if exact is None else exact, source, target)
        share_bar(ax, shares, place, _BAR, named=k == 0)
        if exact is not None:
            share_bar(ax, by_statistic(table, source, target), place - _ABOVE, _THIN)
        for (low, high), offset in zip(share_ends(shares), (-0.12, 0.12), strict=True):
            if np.isfinite(low + high):
                ax.plot(
                    [low, high],
                    [place + offset] * 2,
                    color="black",
                    linewidth=0.9,
                    marker="|",
                    markersize=3.5,
                    markeredgewidth=0.9,
                )
        for x, kind, word in zip(_COLUMNS, CLASSES, percents(shares), strict=True):
            where: dict[str, Any] = {
                "xycoords": ax.get_yaxis_transform(),
                "textcoords": "offset points",
                "ha": "right",
                "va": "center",
                "fontsize": 7,
            }
            ax.annotate(word, (1.0, place), (x, 0), color=LETTERS[kind], fontweight="bold", **where)
    label_rows(ax, headings, rows, table if exact is None else exact)
    share_axis(ax)
    ax.set_xlabel(
        "share of the pairs of tasks\nupper interval: of positive, from the left\nlower interval: of negative, from the right",
        fontsize=7,
    )
    return ax


def _rings(table: pd.DataFrame, calibrated: pd.DataFrame | None, amount: Amount, on: Canvas | None) -> Canvas:
    """Draw a ring for each mode pair."""
    sources, targets = modes(table["source_mode"]), modes(table["target_mode"])
    panel = (narrowed(len(targets), *_RING),) * 2
    figure, axes = grid(len(sources), len(targets), panel, on, 0.3 if has_rows(calibrated) else 0.0)
    for row, source in zip(axes, sources, strict=True):
        for ax, target in zip(row, targets, strict=True):
            exact = of_pair(calibrated, source, target) if has_rows(calibrated) else None
            draw_ring(ax, of_pair(table, source, target), calibrated=exact)
    head_grid(axes, sources, targets, panel)
    legend(figure, class_patches(), title_of(table, amount) + _told(calibrated, "thin rings inside"))
    return figure


def draw_ring(ax: Axes, table: pd.DataFrame, *, calibrated: pd.DataFrame | None = None) -> Axes:
    """Draw the shares of one mode pair as a ring, clockwise from the top, with their percentages inside.

    Args:
        ax: where to draw.
        table: rows of ``statistics.intervals`` of one mode pair, checkpoint and step size.
        calibrated: its row of ``statistics.calibrate``: the ring is of these shares, a thin one inside of the estimates.

    Raises:
        UsageError: the table holds several mode pairs, checkpoints or step sizes.
    """
    check_pair(table)
    check_single(table, "checkpoint_step")
    shares = table.set_index("statistic")
    if calibrated is not None and len(calibrated):
        _draw_ring(ax, shares, radius=0.84, width=0.1)
        shares = as_intervals(calibrated).set_index("statistic")
    _draw_ring(ax, shares, radius=1.2, width=0.32)
    for y, kind, word in zip((0.36, 0.0, -0.36), CLASSES, percents(shares), strict=True):
        ax.text(0, y, word, ha="center", va="center", color=LETTERS[kind], fontweight="bold", fontsize=7)
    ax.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal", xticks=[], yticks=[])
    return ax


def _draw_ring(ax: Axes, shares: pd.DataFrame, radius: float, width: float) -> None:
    """Draw the shares of a table by statistic as a ring; nothing where there are none."""
    sizes = np.nan_to_num(shares.loc[list(CLASSES), "value"].to_numpy(dtype=float))
    if sizes.any():
        ax.pie(
            sizes,
            colors=[COLOURS[kind] for kind in CLASSES],
            startangle=90,
            counterclock=False,
            wedgeprops={"width": width, "edgecolor": "white", "linewidth": 0.8},
            radius=radius,
        )


def draw(request: PlotRequest) -> Drawn:
    """Draw a request, with the shares as its data."""
    [table] = request.tables
    shares, calibrated = shares_of(table.intervals()), table.calibrated()
    return Drawn(
        types(shares, ring=request[RING], calibrated=calibrated, amount=table.amount), beside(shares, calibrated)
    )


def describe(table: Table) -> Description:
    """Say what the figure of a table shows."""
    return Description(
        f"Shares at checkpoint {table.steps[0]:,}, {table.alpha_told}",
        f"Shares of positive, neutral and negative pairs of each pair of modes. {shares_in_words(told_of(table))}",
        f"{intervals_in_words(table)}. Upper ones: of the positive share, from the left; lower ones: of the negative share, from the "
        "right.",
    )
