"""The figure of a few retrainings: how much surrogates know, against the number of retrained subsets."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transference.figures import styled

WITHOUT, OWN_SHARE = "none", "own-share alone"
"""What the table calls a surrogate without rows, and what is none."""

LINES = {
    "k150-mean": ("rows of K = 150 updates", "#0072B2", "o", -0.25),
    "exact": ("rows of one step: exact", "#E69F00", "D", 0.25),
    "permuted": ("rows permuted (placebo)", "#999999", "X", 0.5),
    "own-share": ("own share as the rows", "#CC79A7", "^", -0.5),
    WITHOUT: ("no rows", "#009E73", "v", 0.0),
}
"""Surrogates: label, colour, marker, and by how much they are moved, so that equal ones can be told apart."""


def draw(table: pd.DataFrame) -> Figure:
    """Draw the mean LDS over draws, with what lies between the quantiles, a panel for each pilot.

    Args:
        table: a row per prior, pilot and number of retrained subsets.
    """
    pilots = table["pilot"].dropna().unique()
    with styled():
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        axes = figure.subplots(1, len(pilots), sharey=True, squeeze=False)[0]
        for ax, pilot in zip(axes, pilots, strict=True):
            mine = table[table["pilot"].isna() | (table["pilot"] == pilot)]
            _panel(ax, mine.sort_values("retrained"))
            ax.set(title=f"pilot {pilot:.0f}", xticks=sorted(table["retrained"].unique()))
        axes[0].set_ylabel("LDS on subsets not retrained,\nmean over five targets")
        axes[len(axes) // 2].set_xlabel("retrained subsets, one training of 1500 updates each")
        handles: dict[str, Any] = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _panel(ax: Axes, mine: pd.DataFrame) -> None:
    alone = mine[mine["prior"] == OWN_SHARE]
    ax.plot(alone["retrained"], alone["lds"], color="black", linewidth=1, label="own share alone, no retraining")
    style: dict[str, Any] = {"color": "black", "linewidth": 1, "linestyle": (0, (4, 2))}
    ax.plot(alone["retrained"], alone["ceiling"], label="ceiling: retrainings of three seeds", **style)
    for prior, (label, colour, marker, apart) in LINES.items():
        rows = mine[mine["prior"] == prior]
        at = rows["retrained"] + apart
        ax.vlines(at, rows["low"], rows["high"], color=colour, linewidth=0.8, alpha=0.6)
        ax.plot(at, rows["lds"], color=colour, marker=marker, markersize=4, linewidth=1, label=label)
    ax.axhline(0, color="black", linewidth=0.5)
