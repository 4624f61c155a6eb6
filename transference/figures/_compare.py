"""Two learners, or two checkpoints, on the same tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from transference.amounts import STEP_SIZES, Amount
from transference.figures._calibrated import NOT_CALIBRATED
from transference.figures._names import names_of
from transference.figures._panels import by_statistic, check_single, class_patches, legend, numbers, shares_of, title_of
from transference.figures._shares import label_rows, rows_of, share_axis, share_bar, width_for
from transference.figures._style import COLOURS, LETTERS, Canvas, canvas, literal, styled, whole
from transference.figures.requests import Drawn, PlotRequest
from transference.statistics import contrast as contrast_of

_ROW = 0.31  # inches
_HATCH = "////"
_SMALLEST = 0.001
"""P-values below are told as such."""

_DIFFERENCES = ("positive", "negative")


def compare(
    contrast: pd.DataFrame,
    first: pd.DataFrame,
    second: pd.DataFrame,
    names: tuple[str, str] = ("a", "b"),
    *,
    note: str = "",
    amount: Amount = STEP_SIZES,
    on: Canvas | None = None,
) -> Figure:
    """Draw the shares of both, a pair of bars for each mode pair, and the paired differences with 95 % intervals and p-values.

    Interval and p-value are of one statistic (`transference.contrast`): p is at most 0.05 exactly where the interval excludes 0.

    Args:
        contrast: what ``statistics.contrast`` returns for the two.
        first: rows of ``statistics.intervals`` of the first, at one checkpoint and step size.
        second: of the second.
        names: what they are called; the difference is the first less the second.
        note: a line of the title.
        amount: how values of ``alpha`` are said, of a run ``run.spec.amount``; by default as step sizes.
        on: as for `histogram`.

    Raises:
        UsageError: a table holds several checkpoints or step sizes.
    """
    for table in (first, second):
        check_single(table, "checkpoint_step", "alpha")
    headings, rows = rows_of(first)
    with styled():
        figure = canvas(width_for(headings), 1.4 + _ROW * (len(headings) + len(rows)), on)
        bars, gaps = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1))
        for source, target, place in rows:
            for table, offset, hatch in ((first, -0.2, None), (second, 0.2, _HATCH)):
                share_bar(bars, by_statistic(table, source, target), place + offset, 0.34, hatch)
            found = by_statistic(contrast, source, target)
            for kind, offset in zip(_DIFFERENCES, (-0.2, 0.2), strict=True):
                value, low, high, p = numbers(found, kind, "value", "low", "high", "p")
                if np.isfinite(low + high):
                    gaps.plot([low, high], [place + offset] * 2, color=COLOURS[kind], linewidth=1.2)
                gaps.plot(
                    value,
                    place + offset,
                    marker="o" if kind == "positive" else "s",
                    markersize=3.5,
                    color=COLOURS[kind],
                )
                where: dict[str, Any] = {
                    "xycoords": gaps.get_yaxis_transform(),
                    "textcoords": "offset points",
                    "ha": "left",
                    "va": "center",
                    "fontsize": 6,
                }
                gaps.annotate(_p(p), (1.0, place + offset), (3, 0), color=LETTERS[kind], **where)
        gaps.axvline(0.0, color="black", linewidth=0.6, linestyle=(0, (4, 2)))
        gaps.xaxis.set_major_locator(MaxNLocator(3))
        gaps.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:+.0f}" if round(100 * x) else "0"))
        gaps.margins(x=0.12)
        label_rows(bars, headings, rows, first)
        gaps.tick_params(axis="y", length=0, labelleft=False)
        gaps.spines["left"].set_visible(False)
        share_axis(bars)
        bars.set_xlabel("share of the pairs")
        gaps.set_xlabel("difference, points")
        handles = [
            *class_patches(),
            # in no colour of a class: neutral is grey
            Patch(facecolor="white", edgecolor="black", linewidth=0.6, label=f"above: {literal(names[0])}"),
            Patch(
                facecolor="white", edgecolor="black", hatch=_HATCH, linewidth=0.6, label=f"below: {literal(names[1])}"
            ),
        ]
        title = title_of(pd.concat([first, second]), amount) + (f"\n{note}" if note else "")
        legend(figure, handles, f"{title}\nright: above less below, 95 % intervals and their p")
    return whole(figure)


def _p(p: float) -> str:
    """Return a p-value with the digits that matter, so many that it stands on the side of 0.05 that it is on."""
    if np.isnan(p):
        return ""
    if p < _SMALLEST:
        return f"p < {_SMALLEST:g}"
    texts = [f"{p:.{digits}f}" for digits in range(2 if p >= 0.1 else 3, 8)]
    return f"p {next((text for text in texts if float(text) != 0.05), texts[0])}"


def draw(request: PlotRequest) -> Drawn:
    """Draw a request.

    Raises:
        UsageError: the names are not two, or the tables are not of the same tasks.
    """
    first, second = request.tables
    names = names_of(request)
    difference = contrast_of(first.blocks(), second.blocks(), band=first.band)
    tables = first.intervals(), second.intervals()
    # Of means the ratio is compared, of shares the difference.
    ratio, gap = f"{names[0]} over {names[1]}", f"{names[0]} less {names[1]}"
    of = [ratio if statistic == "geometric_mean" else gap for statistic in difference["statistic"]]
    parts = [shares_of(table).assign(of=name) for table, name in zip(tables, names, strict=True)]
    data = pd.concat([*parts, difference.assign(of=of, alpha=first.alphas[0])], ignore_index=True)
    data["checkpoint_step"] = data["checkpoint_step"].astype("Int64")  # a difference has none
    note = NOT_CALIBRATED if len(first.calibrated()) or len(second.calibrated()) else ""
    return Drawn(compare(difference, *tables, (names[0], names[1]), note=note, amount=first.amount), data)
