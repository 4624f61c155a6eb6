"""The cross-mode view: one number for each source mode on each target mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transference.amounts import STEP_SIZES, Amount
from transference.figures._calibrated import INTERVALS, as_intervals, beside, has_rows
from transference.figures._heat import draw_heat, label_modes, ratio_bar, span_of
from transference.figures._options import LIMIT
from transference.figures._panels import COLUMN, GIVEN, by_statistic, check_single, modes, numbers, title_of
from transference.figures._style import Canvas, canvas, literal, styled, whole
from transference.figures._words import intervals_in_words, means_in_words, told_of
from transference.figures.requests import Description, Drawn, PlotRequest, Table

_CELL = (0.48, 0.46)  # inches, at least
_WIDE = 0.7  # inches, from where on an interval fits on one line
_DARK = 0.62  # of the scale, from where on letters are white
_LETTERS = 20
"""Of a target's name that there is room for above the cells."""

_SIGNS = ("†", "‡", "§")


def blocks(
    table: pd.DataFrame,
    *,
    limit: float | None = None,
    calibrated: pd.DataFrame | None = None,
    amount: Amount = STEP_SIZES,
    on: Canvas | None = None,
) -> Figure:
    """Draw the geometric mean loss ratio of each mode pair, with its 95 % interval; bold where the interval excludes 1.

    Args:
        table: rows of ``statistics.intervals`` of one checkpoint and step size.
        limit: loss ratio at which the colours end, for several figures on one scale.
        calibrated: rows of ``statistics.calibrate`` of a run of estimates, drawn in place of the estimates.
        amount: how values of ``alpha`` are said, of a run ``run.spec.amount``; by default as step sizes.
        on: as for `histogram`.

    Raises:
        UsageError: the table holds several checkpoints or step sizes, or the limit is not above 1.
    """
    check_single(table, "checkpoint_step", "alpha")
    told = ""
    if has_rows(calibrated):
        table, told = as_intervals(calibrated), f"calibrated by exact pairs, {INTERVALS}\n"
    sources, targets = modes(table["source_mode"]), modes(table["target_mode"])
    margin = 0.5 + 0.056 * max(len(literal(source)) for source in sources)
    width = max(COLUMN, margin + _CELL[0] * len(targets))
    with styled():
        above = 0.056 * max(0, *(len(literal(target)) - _LETTERS for target in targets))
        figure = canvas(width, 1.9 + above + max(0.6, _CELL[1] * len(sources)), on)
        draw_blocks(figure.subplots(), table, limit=limit, wide=(width - margin) / len(targets) > _WIDE)
        notes = _notes(table)
        notes_below = (
            told + "bold: the 95 % interval excludes 1" + "".join(f"\n{sign} {given}" for given, sign in notes.items())
        )
        figure.suptitle(f"{title_of(table, amount)}\n{notes_below}", fontsize=8)
    return whole(figure)


def draw_blocks(ax: Axes, table: pd.DataFrame, *, limit: float | None = None, wide: bool = True) -> Axes:
    """Draw the cells of `blocks`.

    Args:
        ax: where to draw.
        table: as for `blocks`.
        limit: as for `blocks`.
        wide: whether an interval fits on one line of its cell.

    Raises:
        UsageError: the table holds several checkpoints or step sizes, or the limit is not above 1.
    """
    check_single(table, "checkpoint_step", "alpha")
    sources, targets = modes(table["source_mode"]), modes(table["target_mode"])
    means = table[table["statistic"] == "geometric_mean"].set_index(["source_mode", "target_mode"])["value"]
    with np.errstate(divide="ignore"):
        logs = np.log([[float(means.get((source, target), np.nan)) for target in targets] for source in sources])
    span = span_of(logs, limit)
    ratio_bar([ax], [draw_heat(ax, logs, span)], span, location="bottom", shrink=0.9, aspect=30)
    label_modes(ax, "x", [(mode, k, k + 1) for k, mode in enumerate(targets)])
    label_modes(ax, "y", [(mode, k, k + 1) for k, mode in enumerate(sources)])
    notes = _notes(table)
    for row, source in enumerate(sources):
        for column, target in enumerate(targets):
            found = by_statistic(table, source, target)
            if len(found):
                mean = numbers(found, "geometric_mean", "value", "low", "high")
                sign = notes.get(GIVEN.get(str(found["drawn"].iloc[0]), ""), "")
                dark = abs(logs[row, column]) > _DARK * span
                _write(ax, column + 0.5, row + 0.5, mean, sign, dark, wide)
    ax.xaxis.set_ticks_position("top")
    ax.xaxis.set_label_position("top")
    ax.set_xlabel("→ target mode")
    ax.set_ylabel("source mode →")
    return ax


def _write(ax: Axes, x: float, y: float, mean: list[float], sign: str, dark: bool, wide: bool) -> None:
    """Write a mean with its interval into its cell."""
    value, low, high = mean
    colour, digits = "white" if dark else "black", _digits(*mean)
    weight = "bold" if low > 1 or high < 1 else "normal"
    text = "–" if np.isnan(value) else f"{value:.{digits}f}"
    where: dict[str, Any] = {"ha": "center", "color": colour}
    if np.isnan(low + high):
        ax.text(x, y, text + sign, va="center", fontsize=7, fontweight=weight, **where)
        return
    ends = f"[{low:.{digits}f},{' ' if wide else chr(10)}{high:.{digits}f}]"
    rise = 0.04 if wide else 0.16
    ax.text(x, y - rise, text + sign, va="bottom", fontsize=7, fontweight=weight, **where)
    ax.text(x, y - rise + 0.06, ends, va="top", fontsize=6, linespacing=1.05, **where)


def _digits(*mean: float) -> int:
    """Return as many digits as tell the ends of an interval apart, and from 1."""
    sizes = [abs(mean[2] - mean[1]) / 2, *(abs(end - 1) for end in mean)]
    known = [size for size in sizes if np.isfinite(size) and size > 0]
    return int(np.clip(np.ceil(-np.log10(min(known))), 2, 4)) if known else 2


def _notes(table: pd.DataFrame) -> dict[str, str]:
    """Return a sign for each condition under which some intervals hold."""
    found = [GIVEN[drawn] for drawn in table["drawn"].unique() if drawn in GIVEN]
    return dict(zip(found, _SIGNS, strict=False))


def draw(request: PlotRequest) -> Drawn:
    """Draw a request, with the means as its data."""
    [table] = request.tables
    found, calibrated = table.intervals(), table.calibrated()
    means = found[found["statistic"] == "geometric_mean"]
    return Drawn(
        blocks(found, limit=request[LIMIT], calibrated=calibrated, amount=table.amount), beside(means, calibrated)
    )


def describe(table: Table) -> Description:
    """Say what the figure of a table shows."""
    return Description(
        f"Means at checkpoint {table.steps[0]:,}, {table.alpha_told}",
        f"Geometric mean of the loss ratios of each pair of modes. {means_in_words(told_of(table))}",
        f"{intervals_in_words(table)}; bold where the interval excludes 1.",
    )
