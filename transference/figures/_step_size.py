"""How the effect of a step depends on its size: the first-order part of its log ratio, and curvature."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from transference.amounts import STEP_SIZES, Amount
from transference.errors import UsageError
from transference.figures._calibrated import NOT_CALIBRATED
from transference.figures._panels import check_single, grid, head_grid, legend, modes, narrowed, of_pair
from transference.figures._style import Canvas, styled, whole
from transference.figures.requests import Description, Drawn, PlotRequest, Table

_WIDTH, _HEIGHT = (0.8, 1.4), 1.1  # inches
_TICKS = 5
_LINES: dict[str, tuple[str, Any, str, str]] = {
    "log_ratio": ("black", "-", "o", "log LR"),
    "first_order": ("#009E73", "--", "^", "first-order part"),
    "curvature": ("#CC79A7", ":", "s", "curvature"),
}
"""Neither in the colours of positive and negative transfer, which these lines are not."""


def step_size(split: pd.DataFrame, *, note: str = "", amount: Amount = STEP_SIZES, on: Canvas | None = None) -> Figure:
    """Draw the mean log ratio over step sizes, split into its first-order part and curvature, with 95 % intervals.

    ``log LR = first-order part + curvature``. The horizontal axis is logarithmic. The vertical one is ``asinh(y / y0)``: logarithmic far
    from zero, linear about it, and smooth between, so that small and large steps of either sign can be read in one panel and no line has a
    kink where the scale changes. Far from zero a part that grows as the step rises one decade in a decade, and one that grows as its
    square two.

    Args:
        split: what ``statistics.split`` returns, of one checkpoint.
        note: a line of the title.
        amount: how values of ``alpha`` are said, of a run ``run.spec.amount``; by default as step sizes.
        on: as for `histogram`.

    Raises:
        UsageError: the table holds several checkpoints.
    """
    check_single(split, "checkpoint_step")
    sources, targets = modes(split["source_mode"]), modes(split["target_mode"])
    with styled():
        panel = narrowed(len(targets), *_WIDTH), _HEIGHT
        figure, axes = grid(len(sources), len(targets), panel, on, 0.2 if note else 0.0, sharex=True, sharey=True)
        threshold, ticks = _scale(split)
        for row, source in zip(axes, sources, strict=True):
            for ax, target in zip(row, targets, strict=True):
                draw_step_size(ax, of_pair(split, source, target), threshold)
                ax.yaxis.set_major_locator(FixedLocator(ticks))
        head_grid(axes, sources, targets, panel)
        handles = [
            Line2D([], [], color=colour, linestyle=dash, marker=marker, markersize=3.5, label=label)
            for colour, dash, marker, label in _LINES.values()
        ]
        title = f"checkpoint {split['checkpoint_step'].iloc[0]:,}, means over pairs, 95 % intervals"
        title += f"\n{note}" if note else ""
        legend(figure, handles, title, handle=2.4)
        figure.supxlabel(amount.axis, fontsize=8)
        figure.supylabel("mean log LR (asinh)", fontsize=8)
    return whole(figure)


def draw_step_size(ax: Axes, split: pd.DataFrame, threshold: float | None = None) -> Axes:
    """Draw the lines of one mode pair.

    Args:
        ax: where to draw.
        split: rows of ``statistics.split`` of one mode pair and checkpoint.
        threshold: ``y0`` of the vertical axis, the size about which it turns from linear to logarithmic; by default chosen by the rows.

    Raises:
        UsageError: the table holds several mode pairs, or checkpoints.
    """
    check_single(split, "checkpoint_step", "source_mode", "target_mode")
    chosen, ticks = _scale(split)
    rows = split.sort_values("alpha")
    alphas = rows["alpha"].to_numpy(dtype=float)
    ax.axhline(0.0, color="black", linewidth=0.6, linestyle=(0, (4, 2)))
    # Intervals as bars, a little apart: bands that cross zero on this scale would cover each other, and most of the panel.
    apart = float(np.diff(np.log(alphas)).min(initial=1.0)) / 8
    for shift, (name, (colour, dash, marker, _)) in zip((0, -1, 1), _LINES.items(), strict=True):
        at = alphas * np.exp(shift * apart)
        value, low, high = (rows[f"{name}{end}"].to_numpy(dtype=float) for end in ("", "_low", "_high"))
        ax.vlines(at, low, high, color=colour, linewidth=0.9)
        ax.plot(
            at, value, color=colour, linestyle=dash, marker=marker, markersize=3, linewidth=1.0, label=_LINES[name][3]
        )
    ax.set_xscale("log")
    ax.set_xlim(alphas.min() / 1.5, alphas.max() * 1.5)
    ax.set_yscale("asinh", linear_width=chosen if threshold is None else threshold)
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_locator(FixedLocator(_decades(alphas.min(), alphas.max(), 3)))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(_power))
    return ax


def _scale(split: pd.DataFrame) -> tuple[float, list[float]]:
    """Return the size about which the vertical axis turns from linear to logarithmic, a power of ten, and its ticks."""
    sizes = np.abs(split[list(_LINES)].to_numpy(dtype=float))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if not len(sizes):
        return 1e-3, [0.0]
    ends = split[[f"{name}{end}" for name in _LINES for end in ("_low", "_high")]].to_numpy(dtype=float)
    largest = max(float(sizes.max()), float(np.abs(ends[np.isfinite(ends)]).max(initial=0.0)))
    low = max(np.floor(np.log10(np.quantile(sizes, 0.05))), np.floor(np.log10(largest)) - 6)
    powers = _decades(10.0**low, max(largest, 10.0 ** (low + 1)), (_TICKS - 1) // 2)
    return float(10.0**low), [*(-power for power in reversed(powers)), 0.0, *powers]


def _decades(low: float, high: float, most: int) -> list[float]:
    """Return powers of ten within a range, or about it if it holds none, evenly spread and at most so many."""
    powers = np.arange(np.ceil(np.log10(low) - 1e-9), np.floor(np.log10(high) + 1e-9) + 1)
    if not len(powers):
        return [float(low)]
    stride = int(np.ceil(len(powers) / most))
    return [float(10.0**power) for power in powers[::-stride][::-1]]


def _power(x: float, _: object = None) -> str:
    """Return a tick as a power of ten, 0 as itself."""
    if x == 0:
        return "0"
    power = round(np.log10(abs(x)))
    return f"${'-' if x < 0 else ''}10^{{{power}}}$" if np.isclose(abs(x), 10.0**power) else f"{x:g}"


def draw(request: PlotRequest) -> Drawn:
    """Draw a request.

    Raises:
        UsageError: the run has no first-order parts.
    """
    [table] = request.tables
    parts = table.parts()
    if not parts["n"].any():
        raise UsageError(f"{table.name} holds no first-order parts; measure it again with this version to draw them.")
    return Drawn(step_size(parts, note=NOT_CALIBRATED if len(table.calibrated()) else "", amount=table.amount), parts)


def describe(table: Table) -> Description | None:
    """Say what the figure of a table shows; nothing where the run has no first-order parts."""
    parts = table.parts()
    if not parts["n"].any():
        return None
    words = "; ".join(
        f"{told}, {row.source_mode} → {row.target_mode}: {row.first_order:+.3g} and {row.curvature:+.3g}"
        for row, told in zip(parts.itertuples(), map(table.amount.told, parts["alpha"]), strict=True)
    )
    return Description(
        f"First-order part and curvature at checkpoint {table.steps[0]:,}",
        f"Mean log ratio over {table.amount.plural} as first-order part and curvature. {words}.",
        "The first-order part is below 0 where gradients agree; curvature is what any step of that length adds. Where it "
        "outgrows the first-order part, negative transfer is overshoot.",
    )
