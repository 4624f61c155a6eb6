"""What combinations of the source modes did, beside what the modes' own rows predict of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from transference.amounts import STEP_SIZES, Amount
from transference.figures._panels import check_single, legend, modes, title_of
from transference.figures._shares import width_for
from transference.figures._style import COLOURS, Canvas, canvas, literal, styled, whole
from transference.figures.requests import Description, Drawn, PlotRequest, Table

_ROW = 0.3  # inches
_GAP = 0.17  # of a row, between what was measured and what was predicted
_MEASURED: dict[str, Any] = {"marker": "o", "color": COLOURS["positive"]}
_PREDICTED: dict[str, Any] = {"marker": "D", "color": "#555555", "markerfacecolor": "white"}
_SHARES = (-0.03, 1.03)
"""Where the axis of shares ends; an interval by Student's t goes on where a share cannot."""
_MUCH = 0.1
"""Of a displacement: where no weighting of the modes' displacements gives so much of it, the row's name says so."""


def rows(table: pd.DataFrame, *, amount: Amount = STEP_SIZES, on: Canvas | None = None) -> Figure:
    """Draw the mean log ratio of each combination on each target mode, and the share of negative pairs: measured and predicted.

    Args:
        table: what ``statistics.predicted_rows`` returns, of one checkpoint and step size.
        amount: how values of ``alpha`` are said, of a run ``run.spec.amount``; by default as step sizes.
        on: as for `histogram`.

    Raises:
        UsageError: the table holds several checkpoints or step sizes.
    """
    check_single(table, "checkpoint_step", "alpha")
    targets, combinations = modes(table["target_mode"]), modes(table["combination"])
    headings = [(target, float(k * (len(combinations) + 1))) for k, target in enumerate(targets)]
    with styled():
        names = [*headings, *((combination, 0.0) for combination in combinations)]
        figure = canvas(width_for(names) + 1.0, 1.3 + _ROW * len(targets) * (len(combinations) + 1), on)
        means, shares = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        ticks: list[tuple[float, str, str]] = []
        for target, place in headings:
            ticks.append((place, f"→ {literal(target)}", "bold"))
            for k, combination in enumerate(combinations, start=1):
                found = table[(table["target_mode"] == target) & (table["combination"] == combination)]
                by_statistic = found.set_index("statistic")
                _pair(means, np.log(_ends(by_statistic, "geometric_mean")), place + k)
                _pair(shares, _ends(by_statistic, "negative"), place + k, _SHARES)
                ticks.append((place + k, _name(combination, float(by_statistic["unexplained"].iloc[0])), "normal"))
        means.set_yticks([place for place, _, _ in ticks], [word for _, word, _ in ticks])
        for tick, (_, _, weight) in zip(means.get_yticklabels(), ticks, strict=True):
            tick.set_fontweight(weight)
        means.set_ylim(len(ticks) - 0.4, -0.6)
        for ax in (means, shares):
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)
        means.axvline(0.0, color="black", linewidth=0.6, linestyle=(0, (4, 2)))
        means.xaxis.set_major_locator(MaxNLocator(4))
        means.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+.3g}" if x else "0"))
        means.margins(x=0.08)
        means.set_xlabel("mean log loss ratio")
        shares.set_xlim(*_SHARES)
        shares.set_xticks([0, 0.5, 1])
        shares.xaxis.set_major_formatter(PercentFormatter(1.0))
        shares.set_xlabel("share negative")
        legend(figure, _handles(), f"{title_of(table, amount)}\nwith 95 % intervals")
    return whole(figure)


def _ends(found: pd.DataFrame, statistic: str) -> np.ndarray:
    """Return value, low and high, of what was measured and of what was predicted, ``[2, 3]``."""
    names = [[f"{of}{end}" for end in ("", "_low", "_high")] for of in ("measured", "predicted")]
    return np.array([[float(found[name].astype(float)[statistic]) for name in row] for row in names])


def _pair(ax: Axes, ends: np.ndarray, place: float, limits: tuple[float, float] = (-np.inf, np.inf)) -> None:
    """Draw what was measured, and below it what was predicted; an interval that goes on beyond the limits has a tip there."""
    for (value, low, high), offset, style in zip(ends, (-_GAP, _GAP), (_MEASURED, _PREDICTED), strict=True):
        if np.isfinite(low + high):
            ax.plot(np.clip([low, high], *limits), [place + offset] * 2, color=style["color"], linewidth=1.1)
        for marker, edge, beyond in (("<", limits[0], low < limits[0]), (">", limits[1], high > limits[1])):
            if beyond:
                ax.plot(edge, place + offset, color=style["color"], marker=marker, markersize=3.5, clip_on=False)
        ax.plot(value, place + offset, linestyle="none", markersize=4, **style)


def _handles() -> list[Line2D]:
    return [
        Line2D([], [], linestyle="none", markersize=4, label=label, **style)
        for label, style in (("measured", _MEASURED), ("predicted by the modes' rows", _PREDICTED))
    ]


def _name(combination: str, unexplained: float) -> str:
    return f"{literal(combination)} →" + (f"\n({unexplained:.0%} unexplained)" if unexplained >= _MUCH else "")


def draw(request: PlotRequest) -> Drawn:
    """Draw a request, with the rows as its data."""
    [table] = request.tables
    return Drawn(rows(table.predicted(), amount=table.amount), table.predicted())


def describe(table: Table) -> Description | None:
    """Say what the figure of a table shows; None where nothing was combined."""
    if not any(block.combination for block in table.blocks()):
        return None
    means = table.predicted().query("statistic == 'geometric_mean'").to_dict("records")
    told = (
        f"{row['combination']} → {row['target_mode']} {row['measured']:.4g}, predicted {row['predicted']:.4g}"
        for row in means
    )
    return Description(
        f"Combinations at checkpoint {table.steps[0]:,}, {table.alpha_told}",
        f"Mean log ratio and share of negative pairs of each combination, measured and predicted. Geometric means: {'; '.join(told)}.",
        "A weighting of gradients is, to first order, a weighting of the table's rows: where measured and predicted differ, the step is "
        "too long for that, or the combination is no weighting of whole gradients (unexplained).",
    )
