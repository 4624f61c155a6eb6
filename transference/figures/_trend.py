"""The shares over training, as lines."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, PercentFormatter

from transference.amounts import STEP_SIZES, Amount
from transference.figures._calibrated import INTERVALS, as_intervals, has_rows
from transference.figures._panels import (
    GIVEN,
    check_pair,
    check_single,
    grid,
    head_grid,
    legend,
    modes,
    narrowed,
    of_pair,
)
from transference.figures._style import COLOURS, Canvas, styled, whole
from transference.statistics import CLASSES

_WIDTH, _HEIGHT = (0.8, 1.4), 0.95  # inches
_ESTIMATES: dict[str, Any] = {"linewidth": 0.9, "alpha": 0.7, "linestyle": (0, (2, 1.5))}
_MARKERS = {"positive": "o", "neutral": "^", "negative": "s"}


def trend(
    table: pd.DataFrame,
    *,
    calibrated: pd.DataFrame | None = None,
    amount: Amount = STEP_SIZES,
    on: Canvas | None = None,
) -> Figure:
    """Draw the shares of each mode pair over checkpoints, with 95 % intervals: source modes down, target modes across.

    Args:
        table: rows of ``statistics.intervals`` of one step size.
        calibrated: of a run of estimates, rows of ``statistics.calibrate``, drawn with their intervals;
            of the estimates then only pale lines.
        amount: how values of ``alpha`` are said, of a run ``run.spec.amount``; by default as step sizes.
        on: as for `histogram`.

    Raises:
        UsageError: the table holds several step sizes.
    """
    check_single(table, "alpha")
    exact = as_intervals(calibrated) if has_rows(calibrated) else None
    sources, targets = modes(table["source_mode"]), modes(table["target_mode"])
    with styled():
        panel = narrowed(len(targets), *_WIDTH), _HEIGHT
        figure, axes = grid(
            len(sources), len(targets), panel, on, 0.0 if exact is None else 0.15, sharex=True, sharey=True
        )
        for row, source in zip(axes, sources, strict=True):
            for ax, target in zip(row, targets, strict=True):
                if exact is not None:
                    _draw_lines(ax, of_pair(table, source, target), _ESTIMATES)
                draw_trend(ax, of_pair(table if exact is None else exact, source, target))
        head_grid(axes, sources, targets, panel)
        handles = [
            Line2D([], [], color=COLOURS[kind], marker=_MARKERS[kind], markersize=3.5, label=kind) for kind in CLASSES
        ]
        intervals = f"95 % intervals{_given(table)}"
        if exact is not None:
            handles.append(Line2D([], [], color="0.4", label="estimates", **_ESTIMATES))
            intervals = f"calibrated by exact pairs\n{INTERVALS}"
        legend(figure, handles, f"{amount.titled(table['alpha'].iloc[0])}, {intervals}", handle=1.8)
        figure.supxlabel("checkpoint", fontsize=8)
        figure.supylabel("share of the pairs of tasks", fontsize=8)
    return whole(figure)


def _given(table: pd.DataFrame) -> str:
    """Return for which task alone intervals hold, if for any."""
    drawn = [str(drawn) for drawn in table["drawn"].unique()]
    found = [GIVEN[name] for name in drawn if name in GIVEN]
    return f"\n({'' if len(found) == len(drawn) else 'some '}{', some '.join(found)})" if found else ""


def _draw_lines(ax: Axes, table: pd.DataFrame, look: dict[str, Any]) -> None:
    """Draw the shares of one mode pair over checkpoints as lines alone."""
    for kind in CLASSES:
        line = table[table["statistic"] == kind].sort_values("checkpoint_step")
        ax.plot(line["checkpoint_step"], line["value"], color=COLOURS[kind], **look)


def draw_trend(ax: Axes, table: pd.DataFrame) -> Axes:
    """Draw the shares of one mode pair over checkpoints.

    Args:
        ax: where to draw.
        table: rows of ``statistics.intervals`` of one mode pair and step size.

    Raises:
        UsageError: the table holds several mode pairs, or step sizes.
    """
    check_pair(table)
    for kind in CLASSES:
        line = table[table["statistic"] == kind].sort_values("checkpoint_step")
        at, value, low, high = (
            line[name].to_numpy(dtype=float) for name in ("checkpoint_step", "value", "low", "high")
        )
        ax.fill_between(at, low, high, color=COLOURS[kind], alpha=0.18, linewidth=0)
        # also where a single checkpoint makes no band
        ax.vlines(at, low, high, color=COLOURS[kind], linewidth=0.7, alpha=0.7)
        ax.plot(at, value, color=COLOURS[kind], marker=_MARKERS[kind], markersize=3, linewidth=1.0, label=kind)
    ax.set_ylim(-0.03, 1.03)  # marks at the ends are seen whole
    ax.set_yticks([0, 0.5, 1])
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.margins(x=0.1)
    steps = table["checkpoint_step"]
    ax.set_xticks(sorted({steps.min(), steps.max()}))  # all of them would not fit
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:.3g}k" if x >= 1000 else f"{x:g}"))
    return ax
