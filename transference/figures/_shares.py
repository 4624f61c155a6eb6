"""Figures with a row for each mode pair: which row is whose, and stacked bars of the shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from transference.figures._panels import COLUMN, GIVEN, modes, numbers, of_pair
from transference.figures._style import COLOURS, literal
from transference.statistics import CLASSES

_LETTERS = 15
"""Of a name that leaves room for the rest in one column."""


def rows_of(table: pd.DataFrame) -> tuple[list[tuple[str, float]], list[tuple[str, str, float]]]:
    """Return the headings, one for each source mode, and the rows below, one for each of its target modes, with their places downward."""
    headings: list[tuple[str, float]] = []
    rows: list[tuple[str, str, float]] = []
    for source in modes(table["source_mode"]):
        headings.append((source, float(len(headings) + len(rows))))
        targets = [target for target in modes(table["target_mode"]) if len(of_pair(table, source, target))]
        rows += [(source, target, float(len(headings) + len(rows) + k)) for k, target in enumerate(targets)]
    return headings, rows


def width_for(headings: Sequence[tuple[str, float]]) -> float:
    """Return how wide a figure of rows is, in inches: one column, unless its names are long."""
    return COLUMN + 0.065 * max(0, max(len(literal(source)) for source, _ in headings) - _LETTERS)


def label_rows(
    ax: Axes, headings: Sequence[tuple[str, float]], rows: Sequence[tuple[str, str, float]], table: pd.DataFrame
) -> None:
    """Name the rows of a figure at its left, and say which intervals hold only for the one task of a side."""
    words = []
    for source, target, _ in rows:
        given = GIVEN.get(str(of_pair(table, source, target)["drawn"].iloc[0]))
        words.append(f"→ {literal(target)}" + (f"\n({given})" if given else ""))
    places = [*((place, f"{literal(source)} →", "bold") for source, place in headings)]
    places += [(place, word, "normal") for word, (_, _, place) in zip(words, rows, strict=True)]
    ax.set_yticks([place for place, _, _ in places], [word for _, word, _ in places])
    for tick, (_, _, weight) in zip(ax.get_yticklabels(), places, strict=True):
        tick.set_fontweight(weight)
    ax.set_ylim(len(places) - 0.4, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def share_bar(
    ax: Axes, shares: pd.DataFrame, place: float, height: float, hatch: str | None = None, named: bool = False
) -> None:
    """Draw the shares of one mode pair as a stacked bar: positive from the left, negative from the right, named for a legend."""
    left = 0.0
    for kind in CLASSES:
        share = float(np.nan_to_num(numbers(shares, kind, "value")[0]))
        label = kind if named else None
        ax.barh(
            place, share, height, left, color=COLOURS[kind], hatch=hatch, edgecolor="white", linewidth=0, label=label
        )
        left += share


def share_ends(shares: pd.DataFrame) -> Iterator[tuple[float, float]]:
    """Yield the interval of the positive share, and of the negative as it is measured from the right end of the bar."""
    low, high = numbers(shares, "positive", "low", "high")
    yield low, high
    low, high = numbers(shares, "negative", "low", "high")
    yield 1 - high, 1 - low


def share_axis(ax: Axes) -> None:
    """Make the axis of a stacked bar one of percents."""
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1])
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))


def percents(shares: pd.DataFrame) -> list[str]:
    """Return the three shares in whole percents, a dash for none."""
    return ["–" if np.isnan(value) else f"{value:.0%}" for kind in CLASSES for value in numbers(shares, kind, "value")]
