"""The figure: how much predictors know, against what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.acting.pilots import KS
from analyses.acting.predictors import TRIVIAL
from analyses.acting.told import AGAINST
from transference.figures import styled
from transference.validation import MEAN

TITLES = {
    "all": "all subsets",
    "with": "with the target's family",
    "without": "without the target's family",
}
_OF_K = f"K = {', '.join(map(str, KS))}"
LINES = {
    "mean": (f"{_OF_K} updates on single families", "#0072B2", "o"),
    "subset": (f"{_OF_K} updates on the subset itself", "#D55E00", "s"),
}
POINTS = {
    "first-order": ("one step: first order", "#009E73", "v"),
    "exact": ("one step: exact", "#E69F00", "D"),
    "transposed": ("one step: transposed", "#CC79A7", "^"),
    "permuted": ("one step: permuted (placebo)", "#999999", "X"),
    "cosine": ("gradient cosine", "#56B4E9", "P"),
}
APART = {"exact": 0.86, "transposed": 1.0, "permuted": 1.16, "first-order": 0.94, "cosine": 1.04}
"""By which costs are moved, so that equal ones can be told apart."""


def draw(lds: pd.DataFrame, pilot: int) -> Figure:
    """Draw the mean LDS on the seeds that are told against the cost, a panel for each group of subsets.

    Args:
        lds: of all pilots.
        pilot: the one of the config; the K updates of the others are pale.
    """
    told = lds[(lds["target"] == MEAN) & (lds["seeds"] == "told") & lds["taken"]]
    drawn = told[~told["predictor"].isin(TRIVIAL)]
    lowest = min(-0.25, float(np.floor(drawn["low"].min() * 4) / 4))
    with styled():
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        axes = figure.subplots(1, len(TITLES), sharey=True, squeeze=False)[0]
        for ax, (group, title) in zip(axes, TITLES.items(), strict=True):
            mine = told[(told["pilot"] == pilot) & (told["group"] == group)].set_index("predictor")
            _bars(ax, mine, AGAINST[group])
            for seed in told["pilot"].unique():
                of = told[(told["pilot"] == seed) & (told["group"] == group)].set_index("predictor")
                _growth(ax, of, pale=seed != pilot)
            for name, (label, colour, marker) in POINTS.items():
                _point(ax, mine.loc[name], APART[name], {"color": colour, "marker": marker, "label": label})
            ax.axhline(0, color="black", linewidth=0.5)
            ax.set(title=title, xscale="log", xlim=(150, 10_000), ylim=(lowest, 1))
        axes[1].set_xlabel("cost in updates of 10 tasks, pilot and readings included")
        axes[0].set_ylabel("LDS, mean over five targets")
        handles: dict[str, Any] = {}
        for ax in axes:
            handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _bars(ax: Axes, mine: pd.DataFrame, bar: str) -> None:
    """Draw what needs no measurement: the trivial predictor with its interval, and the ceiling."""
    row, ceiling = mine.loc[bar], mine["ceiling"].max()
    ax.axhspan(row["low"], row["high"], color="black", alpha=0.08, linewidth=0)
    label = {"own-share": "own share (right: size), which costs nothing"}.get(bar)
    ax.axhline(row["lds"], color="black", linewidth=1, label=label)
    ax.axhline(ceiling, color="black", linewidth=1, linestyle=(0, (4, 2)), label="ceiling: retrainings")


def _growth(ax: Axes, mine: pd.DataFrame, *, pale: bool) -> None:
    for kind, (label, colour, marker) in LINES.items():
        rows = mine.loc[[f"k{k}-{kind}" for k in KS]]
        cost = rows["updates"] + rows["read"]
        if pale:
            ax.plot(cost, rows["lds"], color=colour, linewidth=0.8, alpha=0.35, label="K updates, the two other pilots")
            continue
        ax.plot(cost, rows["lds"], color=colour, linewidth=1)
        for name in rows.index:
            _point(ax, rows.loc[name], 1.0, {"color": colour, "marker": marker, "label": label})


def _point(ax: Axes, row: pd.Series, apart: float, style: Mapping[str, Any]) -> None:
    """Draw an LDS with its interval."""
    cost = (row["updates"] + row["read"]) * apart
    ax.plot([cost, cost], [row["low"], row["high"]], color=style["color"], linewidth=0.8, alpha=0.8)
    ax.plot(cost, row["lds"], markersize=4, linestyle="none", **style)
