"""What a ratio is made of: the mean log ratio of each mode pair, as that of tempered losses and confidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from transference.amounts import STEP_SIZES, Amount
from transference.errors import UsageError
from transference.figures._panels import check_single, legend, of_pair, title_of
from transference.figures._shares import label_rows, rows_of, width_for
from transference.figures._style import Canvas, canvas, styled, whole
from transference.figures.requests import Description, Drawn, PlotRequest, Table
from transference.statistics import GROUP, random_parts

_ROW = 0.36  # inches
_APART = 0.25  # of a row
_BAND: dict[str, Any] = {"color": "0.85", "linewidth": 4.5, "solid_capstyle": "butt", "zorder": 0.5}
_PARTS = {
    "log_ratio": ("black", "o", "log LR"),
    "tempered": ("#332288", "D", "tempered"),
    "confidence": ("#E69F00", "v", "confidence"),
}
"""Neither in the colours of positive and negative transfer, which these parts are not."""


def confidence(
    table: pd.DataFrame,
    random: pd.DataFrame | None = None,
    *,
    amount: Amount = STEP_SIZES,
    on: Canvas | None = None,
) -> Figure:
    """Draw the mean log ratio of each mode pair, and below it its two parts: that of tempered losses, and confidence.

    ``log LR = tempered + confidence``, each with its 95 % interval.

    Args:
        table: what ``statistics.split_confidence`` returns, of one checkpoint and step size.
        random: what ``statistics.random_parts`` returns of them, drawn behind the means as grey bands; none by default.
        amount: how values of ``alpha`` are said, of a run ``run.spec.amount``; by default as step sizes.
        on: as for `histogram`.

    Raises:
        UsageError: the table holds several checkpoints or step sizes.
    """
    check_single(table, "checkpoint_step", "alpha")
    headings, rows = rows_of(table)
    with styled():
        figure = canvas(width_for(headings), 1.35 + _ROW * (len(headings) + len(rows)), on)
        draw_confidence(figure.subplots(), table, random)
        handles = [
            Line2D([], [], color=colour, marker=marker, markersize=3.5, linewidth=0.9, label=label)
            for colour, marker, label in _PARTS.values()
        ]
        if random is not None and len(random):
            handles.append(Line2D([], [], label="95 % of random directions", **_BAND))
        legend(
            figure, handles, f"{title_of(table, amount)}\nlog LR = tempered + confidence, 95 % intervals", handle=1.6
        )
    return whole(figure)


def draw_confidence(ax: Axes, table: pd.DataFrame, random: pd.DataFrame | None = None) -> Axes:
    """Draw the means and intervals of `confidence`.

    Args:
        ax: where to draw.
        table: as for `confidence`.
        random: likewise.

    Raises:
        UsageError: the table holds several checkpoints or step sizes.
    """
    check_single(table, "checkpoint_step", "alpha")
    headings, rows = rows_of(table)
    ax.axvline(0.0, color="black", linewidth=0.6, linestyle=(0, (4, 2)))
    for k, (source, target, place) in enumerate(rows):
        [found] = of_pair(table, source, target).to_dict("records")
        bands = [] if random is None else of_pair(random, source, target).to_dict("records")
        for offset, (name, (colour, marker, words)) in zip((-_APART, 0.0, _APART), _PARTS.items(), strict=True):
            for band in bands:
                ax.plot([band[f"{name}_low"], band[f"{name}_high"]], [place + offset] * 2, **_BAND)
            low, high = found[f"{name}_low"], found[f"{name}_high"]
            if np.isfinite(low + high):
                ax.plot([low, high], [place + offset] * 2, color=colour, linewidth=0.9)
            label = words if k == 0 else None
            ax.plot(found[name], place + offset, marker, color=colour, markersize=3.5, label=label)
    label_rows(ax, headings, rows, table)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+.3g}" if x else "0"))
    ax.margins(x=0.08)
    ax.set_xlabel("mean log loss ratio")
    return ax


def draw(request: PlotRequest) -> Drawn:
    """Draw a request.

    Raises:
        UsageError: the run has no tempered losses, or none of its pairs has a tempered ratio.
    """
    [table] = request.tables
    parts = table.confidence()
    if not len(parts):
        raise UsageError(f"{table.name} has no tempered losses; measure it again with --tempered to draw them.")
    if not parts["n"].any():
        raise UsageError(
            f"{table.name} has no pair with a tempered ratio: there is no best temperature where all queries of a "
            "mode are told apart. Take more targets, or harder ones."
        )
    lost = int(parts["untempered"].sum())
    random = random_parts(table.bands())
    data = parts.merge(_named(random), on=list(GROUP), how="left") if len(random) else parts
    return Drawn(
        confidence(parts, random, amount=table.amount),
        data,
        f"left out: {lost} pairs without a tempered ratio" if lost else "",
    )


def _named(random: pd.DataFrame) -> pd.DataFrame:
    """Return what is known of random directions with names of its own."""
    return random.rename(columns=lambda name: name if name in GROUP else f"random_{name}")


def _in_words(parts: pd.DataFrame) -> str:
    """Return mean log ratios and what they are made of."""
    return "; ".join(
        f"{row.source_mode} → {row.target_mode}: {row.log_ratio:+.3g} = {row.tempered:+.3g} and {row.confidence:+.3g}"
        for row in parts.itertuples()
    )


def describe(table: Table) -> Description | None:
    """Say what the figure of a table shows; None where losses were not read at their best temperature."""
    parts = table.confidence()
    if not (len(parts) and parts["n"].any()):
        return None
    words, random = _in_words(parts), random_parts(table.bands()).dropna()
    lost = int(parts["untempered"].sum())
    return Description(
        f"What a ratio is made of at checkpoint {table.steps[0]:,}, {table.alpha_told}",
        f"Mean log ratio as that of tempered losses and confidence. {words}."
        + (f" Means of random directions as long as the steps: {_in_words(random)}." if len(random) else ""),
        "Tempered losses are read at the best temperature of their mode, before and after the step. Confidence is "
        "what the temperature undoes: above 0 the step made the learner too sure, or not sure enough, of what it says."
        + (
            " Grey bands hold 95 % of random directions as long as the steps, which know no source."
            if len(random)
            else ""
        )
        + (f" Left out are {lost} pairs without a tempered ratio." if lost else ""),
    )
