"""The shares over training, as lines."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, PercentFormatter

from transference.figures._panels import GIVEN, check_single, grid, head_grid, legend, modes, narrowed, of_pair
from transference.figures._style import COLOURS, styled
from transference.statistics import CLASSES

_WIDTH, _HEIGHT = (0.8, 1.4), 0.95  # inches
_MARKERS = {"positive": "o", "neutral": "^", "negative": "s"}


def trend(table: pd.DataFrame) -> Figure:
    """Draw the shares of each mode pair over checkpoints, with 95 % intervals: source modes down, target modes across.

    Args:
        table: rows of ``statistics.intervals`` of one step size.

    Raises:
        UsageError: the table holds several step sizes.
    """
    check_single(table, "alpha")
    sources, targets = modes(table["source_mode"]), modes(table["target_mode"])
    with styled():
        panel = narrowed(len(targets), *_WIDTH), _HEIGHT
        figure, axes = grid(len(sources), len(targets), panel, sharex=True, sharey=True)
        for row, source in zip(axes, sources, strict=True):
            for ax, target in zip(row, targets, strict=True):
                draw_trend(ax, of_pair(table, source, target))
        head_grid(axes, sources, targets, panel)
        handles = [
            Line2D([], [], color=COLOURS[kind], marker=_MARKERS[kind], markersize=3.5, label=kind) for kind in CLASSES
        ]
        legend(figure, handles, f"step size α = {table['alpha'].iloc[0]:g}, 95 % intervals{_given(table)}", handle=1.8)
        figure.supxlabel("checkpoint", fontsize=8)
        figure.supylabel("share of the pairs of tasks", fontsize=8)
    return figure


def _given(table: pd.DataFrame) -> str:
    """Return for which task alone intervals hold, if for any."""
    drawn = [str(drawn) for drawn in table["drawn"].unique()]
    found = [GIVEN[name] for name in drawn if name in GIVEN]
    return f"\n({'' if len(found) == len(drawn) else 'some '}{', some '.join(found)})" if found else ""


def draw_trend(ax: Axes, table: pd.DataFrame) -> Axes:
    """Draw the shares of one mode pair over checkpoints.

    Args:
        ax: where to draw.
        table: rows of ``statistics.intervals`` of one mode pair and step size.
    """
    for kind in CLASSES:
        line = table[table["statistic"] == kind].sort_values("checkpoint_step")
        at, value, low, high = (
            line[name].to_numpy(dtype=float) for name in ("checkpoint_step", "value", "low", "high")
        )
        ax.fill_between(at, low, high, color=COLOURS[kind], alpha=0.18, linewidth=0)
        # also where a single checkpoint makes no band
        ax.vlines(at, low, high, color=COLOURS[kind], linewidth=0.7, alpha=0.7)
        ax.plot(at, value, color=COLOURS[kind], marker=_MARKERS[kind], markersize=3, linewidth=1.0)
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 0.5, 1])
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.margins(x=0.1)
    steps = table["checkpoint_step"]
    ax.set_xticks(sorted({steps.min(), steps.max()}))  # all of them would not fit
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:.3g}k" if x >= 1000 else f"{x:g}"))
    return ax
