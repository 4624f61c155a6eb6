"""The figures of E2 and E3: how far every arm is from choosing at random."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.acting.images.telling import ORACLE, RANDOM
from transference.figures import styled

LABELS = {
    ORACLE: "best in hindsight",
    "own-share": "own dataset's groups",
    "all": "all 12 groups",
    "cosine": "gradient cosine",
    "prototype": "prototype distance",
    "exact": "exact ratio",
    "calibrated": "calibrated ratio",
    "tempered": "tempered ratio",
    "transposed": "transposed ratio",
    "k10": "K = 10 updates",
    "k25": "K = 25 updates",
    "permuted": "permuted (placebo)",
}
"""The arms, from the top of the figure to its bottom."""

_COLOURS = dict.fromkeys(("exact", "k10"), "#D55E00")
"""Of the rules that the verdict is about."""


def draw(paid: pd.DataFrame, free: pd.DataFrame) -> Figure:
    """Draw the difference of each arm's accuracy from random's, a panel for each target.

    Args:
        paid: contrasts of one experiment where the budget of each arm ends.
        free: likewise after all updates.
    """
    targets = list(dict.fromkeys(paid["target"]))
    with styled():
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        axes = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
        for ax, target in zip(axes, targets, strict=True):
            _panel(ax, _of(paid, target), _of(free, target))
            ax.set_title(target)
        axes[0].set_yticks(range(len(LABELS)), list(LABELS.values()))
        axes[0].invert_yaxis()
        axes[len(targets) // 2].set_xlabel("accuracy less that of random choice, in points")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _of(contrasts: pd.DataFrame, target: str) -> pd.DataFrame:
    mine = contrasts[(contrasts["against"] == RANDOM) & (contrasts["target"] == target)]
    return mine.set_index("arm").loc[list(LABELS)]


def _panel(ax: Axes, paid: pd.DataFrame, free: pd.DataFrame) -> None:
    """Draw the arms of one target: filled where each has paid, hollow where it had all updates."""
    ax.axvline(0, color="black", linewidth=0.5)
    for place, name in enumerate(LABELS):
        colour = _COLOURS.get(name, "#0072B2")
        for row, shift, face, label in (
            (paid.loc[name], -0.14, colour, "pilot and measurement paid from the budget"),
            (free.loc[name], 0.18, "white", "after all 600 updates"),
        ):
            y = place + shift
            ax.plot([row["difference_low"], row["difference_high"]], [y, y], color=colour, linewidth=0.9)
            style = {"marker": "o", "markersize": 3.5, "markerfacecolor": face, "markeredgecolor": colour}
            ax.plot(row["difference"], y, linestyle="none", label=None if place else label, **style)
