"""What the kinds of figures share: which modes there are, a grid of panels, a legend with the title, words for what was drawn again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.patches import Patch

from transference.amounts import Amount
from transference.errors import UsageError
from transference.figures._style import COLOURS, MODES, Canvas, canvas, literal, whole
from transference.statistics import CLASSES

_TITLE_LETTERS = 24
_LETTER = 0.056  # inches, of 7 points
_HANDLE = 0.42  # inches, of a legend's entry beside its letters
COLUMN = 3.4
"""Inches of one column of a paper."""

GIVEN = {"sources": "given one target", "targets": "given one source", "nothing": "no interval"}
"""What is said of an interval that does not let both sides vary, by its column ``drawn``."""


def modes(column: pd.Series) -> list[str]:
    """Return the modes present, in the order of the run."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return list(column.cat.remove_unused_categories().cat.categories)
    return [str(name) for name in column.unique()]


def all_modes(table: pd.DataFrame) -> list[str]:
    """Return the modes of both sides, each once."""
    return list(dict.fromkeys([*modes(table["source_mode"]), *modes(table["target_mode"])]))


def mode_colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each mode; beyond eight modes they begin again."""
    return dict(zip(names, islice(cycle(MODES), len(names)), strict=True))


def of_pair(table: pd.DataFrame, source: str, target: str) -> pd.DataFrame:
    """Return the rows of one mode pair."""
    return table[(table["source_mode"] == source) & (table["target_mode"] == target)]


def by_statistic(table: pd.DataFrame, source: str, target: str) -> pd.DataFrame:
    """Return the rows of one mode pair of a table of `statistics.intervals`, by statistic."""
    return of_pair(table, source, target).set_index("statistic")


def shares_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table of `statistics.intervals` that are shares of the classes."""
    return table[table["statistic"].isin(CLASSES)]


def numbers(found: pd.DataFrame, statistic: str, *names: str) -> list[float]:
    """Return what the columns of a table by statistic say of one."""
    values: list[float] = found.loc[[statistic], list(names)].to_numpy(dtype=float)[0].tolist()
    return values


def check_pair(table: pd.DataFrame) -> None:
    """Make sure that a table holds one mode pair at one step size.

    Raises:
        UsageError: it holds none, or several.
    """
    check_single(table, "alpha", "source_mode", "target_mode")


def check_single(table: pd.DataFrame, *columns: str) -> None:
    """Make sure that a table holds one checkpoint, step size or mode.

    Raises:
        UsageError: it holds none, or several.
    """
    for column in columns:
        found = table[column].unique()
        if len(found) != 1:
            values = ", ".join(value if isinstance(value, str) else f"{value:g}" for value in found) or "none"
            raise UsageError(
                f"The table holds the values {values} of {column}; this figure draws one. Select its rows first."
            )


def title_of(table: pd.DataFrame, amount: Amount) -> str:
    """Return which checkpoint and step size a table is of; the checkpoint only if it is the only one."""
    steps, alpha = table["checkpoint_step"].unique(), table["alpha"].iloc[0]
    return ("" if len(steps) > 1 else f"checkpoint {steps[0]:,}, ") + amount.titled(alpha)


def arrow(source: str, target: str) -> str:
    """Return the pair's title, on two lines where one would reach into the next panel."""
    source, target = literal(source), literal(target)
    return f"{source}{' ' if len(source) + len(target) <= _TITLE_LETTERS else chr(10)}→ {target}"


def grid(
    n_rows: int,
    n_columns: int,
    panel: tuple[float, float],
    on: Canvas | None = None,
    above: float = 0.0,
    **share: Any,  # noqa: ANN401 - matplotlib's
) -> tuple[Canvas, np.ndarray]:
    """Return a figure with panels of a size in inches, or ``on`` with as many, and its axes, ``[n_rows, n_columns]``.

    Args:
        n_rows: of panels.
        n_columns: of panels.
        panel: width and height.
        on: where to draw; None for a new figure.
        above: more height than usual, in inches, for a title of several lines.
        share: of matplotlib's ``subplots``.
    """
    figure = canvas(max(COLUMN, 0.5 + panel[0] * n_columns), 0.9 + above + panel[1] * n_rows, on)
    return figure, figure.subplots(n_rows, n_columns, squeeze=False, **share)


def narrowed(n_columns: int, least: float, most: float) -> float:
    """Return how wide panels are, in inches, so that a row of them fits one column of a paper if it can."""
    return float(np.clip((COLUMN - 0.5) / n_columns, least, most))


def head_grid(axes: np.ndarray, sources: Sequence[str], targets: Sequence[str], panel: tuple[float, float]) -> None:
    """Write the source modes beside a grid of panels of a size in inches, and the target modes above it."""
    for ax, target in zip(axes[0], targets, strict=True):
        ax.set_title(_wrapped(f"→ {literal(target)}", panel[0]), fontsize=7, va="bottom")
    for row, source in zip(axes, sources, strict=True):
        row[0].set_ylabel(_wrapped(f"{literal(source)} →", panel[1]), fontsize=7)


def _wrapped(name: str, inches: float) -> str:
    """Return a name on as many lines as it needs, broken after what parts its words."""
    lines = [""]
    for piece in re.findall(r"[^_:/-]+[_:/-]*|[_:/-]+", name):
        if lines[-1] and len(lines[-1] + piece) * _LETTER > inches:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def legend(
    figure: Canvas, handles: Sequence[Artist], title: str = "", below: bool = False, handle: float = 1.0
) -> None:
    """Put a legend with the figure's title above its panels, or below, in as many columns as fit.

    Args:
        figure: whose.
        handles: its entries.
        title: its title.
        below: whether it goes below the panels.
        handle: length of the signs, in letters; lines need more than patches to show their dashes.
    """
    made = figure.legend(
        handles=list(handles),
        title=title,
        title_fontsize=8,
        loc="outside lower center" if below else "outside upper center",
        ncols=_columns([str(artist.get_label()) for artist in handles], figure.bbox.width / whole(figure).dpi),
        frameon=False,
        handlelength=handle,
        columnspacing=1.4,
    )
    made.get_title().set_multialignment("center")


def in_legend(name: str) -> str:
    """Return a mode's name as a legend's entry; matplotlib leaves out those that begin with an underscore."""
    return f" {literal(name)}" if name.startswith("_") else literal(name)


def _columns(labels: Sequence[str], width: float) -> int:
    """Return how many columns of labels fit a width in inches."""
    for n in range(len(labels), 1, -1):
        if sum(_HANDLE + _LETTER * max(map(len, part)) for part in np.array_split(np.array(labels), n)) <= width:
            return n
    return 1


def class_patches() -> list[Patch]:
    """Return what a legend says of the three classes."""
    return [Patch(color=COLOURS[kind], label=kind) for kind in CLASSES]
