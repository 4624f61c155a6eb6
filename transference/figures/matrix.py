"""The matrix of loss ratios, sources down and targets across."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage

from transference.figures._heat import LIMIT, draw_heat, label_modes, ratio_bar, span_of
from transference.figures._kind import Description, Drawn, InReport, Kind, Option, PlotRequest, Table
from transference.figures._panels import all_modes, in_legend, legend, mode_colours, title_of
from transference.figures._style import new_figure, styled
from transference.figures._words import means_in_words

CLUSTERED = Option("clustered", False, "put tasks that act alike beside each other, with modes as colours.")

_OPTIMAL = 500
"""Tasks up to which leaves are put into the best order, whose time grows faster than the square of their number."""

_STRIP = 0.035  # of the panel


def matrix(pairs: pd.DataFrame, *, clustered: bool = False, limit: float | None = None) -> Figure:
    """Draw one checkpoint and step size as a heatmap, ordered by mode, or clustered across modes.

    Args:
        pairs: rows of ``Run.pairs()`` of one checkpoint and step size.
        clustered: put tasks that act alike, and tasks that are acted on alike, beside each other; strips tell their modes by colour.
        limit: loss ratio at which the colours end, for several figures on one scale.

    Raises:
        UsageError: the limit is not above 1.
    """
    with styled():
        figure = new_figure(3.5, 3.9)
        draw_matrix(figure.subplots(), pairs, clustered=clustered, limit=limit)
        if clustered:
            handles = [
                Patch(color=colour, label=in_legend(name)) for name, colour in mode_colours(all_modes(pairs)).items()
            ]
            legend(figure, handles, below=True)
        figure.suptitle(title_of(pairs) + (", clustered" if clustered else ""), fontsize=8)
    return figure


def draw_matrix(ax: Axes, pairs: pd.DataFrame, *, clustered: bool = False, limit: float | None = None) -> Axes:
    """Draw the log loss ratios on a diverging scale that is white at a ratio of 1; failed cells are yellow.

    The scale ends at ``limit``, or at the 98 % quantile of ``|log LR|``, so that a few extreme cells do not bleach the rest.

    Args:
        ax: where to draw.
        pairs: rows of ``Run.pairs()`` of one checkpoint and step size.
        clustered: as for `matrix`.
        limit: as for `matrix`.

    Raises:
        UsageError: the limit is not above 1.
    """
    table = arranged(pairs, clustered=clustered, limit=limit)
    logs = _logs(table)
    span = span_of(logs, limit)
    ratio_bar(ax, draw_heat(ax, logs, span), span, shrink=0.8)
    if clustered:
        _strips(ax, pairs, table)
    else:
        label_modes(ax, "x", _mode_blocks(pairs, "target"))
        label_modes(ax, "y", _mode_blocks(pairs, "source"))
    ax.set_xlabel("target tasks", labelpad=None if not clustered else 3)
    ax.set_ylabel("source tasks", labelpad=None if not clustered else 12)
    return ax


def arranged(pairs: pd.DataFrame, *, clustered: bool = False, limit: float | None = None) -> pd.DataFrame:
    """Return the loss ratios as they are drawn: source ids down, target ids across.

    Clustered, both sides are in the order of the leaves of an average linkage of the log ratios, clipped where the colours end: what is
    grouped is what can be seen. A cell without a ratio counts as the mean of its column.

    Args:
        pairs: as for `matrix`.
        clustered: as for `matrix`.
        limit: as for `matrix`.

    Raises:
        UsageError: the limit is not above 1.
    """
    table = pairs.pivot(index="source", columns="target", values="loss_ratio")
    return table.iloc[clustered_order(_logs(table), limit=limit)] if clustered else table


def clustered_order(
    logs: NDArray[np.float64], *, limit: float | None = None
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the orders of rows and of columns in which those that are alike are neighbours.

    They are the leaves of an average linkage of the log ratios, clipped where the colours end.

    Args:
        logs: log ratios, ``[n_source, n_target]``; what is not finite counts as the mean of its column.
        limit: as for `matrix`.

    Raises:
        UsageError: the limit is not above 1.
    """
    span = span_of(logs, limit)
    clipped = np.where(np.isfinite(logs), np.clip(logs, -span, span), np.nan)
    return _leaves(_filled(clipped)), _leaves(_filled(clipped.T))


def _logs(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return the log ratios of a table; a ratio of 0 is minus infinity."""
    with np.errstate(divide="ignore"):
        logs: NDArray[np.float64] = np.log(table.to_numpy(dtype=float))
    return logs


def _filled(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a matrix whose missing cells are the means of their columns, 0 where a column has none."""
    known = np.isfinite(logs)
    means = np.where(known, logs, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, logs, means)


def _leaves(rows: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return an order of the rows in which those that are alike are neighbours."""
    if len(rows) < 2:
        return np.arange(len(rows), dtype=np.int32)
    order: NDArray[np.int32] = leaves_list(linkage(rows, method="average", optimal_ordering=len(rows) <= _OPTIMAL))
    return order


def _strips(ax: Axes, pairs: pd.DataFrame, table: pd.DataFrame) -> None:
    """Colour each row and column by its mode, along the left and the top."""
    colours = mode_colours(all_modes(pairs))
    place = list(colours)
    palette = ListedColormap([colours[name] for name in place])
    for role, ids, where in (
        ("source", table.index, (-1.6 * _STRIP, 0.0, _STRIP, 1.0)),
        ("target", table.columns, (0.0, 1 + 0.6 * _STRIP, 1.0, _STRIP)),
    ):
        names = pairs.drop_duplicates(role).set_index(role)[f"{role}_mode"].astype(str)
        numbers = np.array([place.index(names[task]) for task in ids])
        strip = ax.inset_axes(where)
        strip.pcolormesh(
            numbers[:, None] if role == "source" else numbers[None, :],
            cmap=palette,
            vmin=-0.5,
            vmax=len(place) - 0.5,
            rasterized=True,
        )
        strip.set_axis_off()
        if role == "source":
            strip.invert_yaxis()
    ax.set(xticks=[], yticks=[])


def _mode_blocks(pairs: pd.DataFrame, role: str) -> list[tuple[str, int, int]]:
    """Return (mode, first position, end position) of each run of tasks of one mode, in the order of their ids."""
    names = pairs.drop_duplicates(role).sort_values(role)[f"{role}_mode"].astype(str).to_numpy()
    edges = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
    return [(str(names[start]), start, stop) for start, stop in pairwise(edges)]


def _draw(request: PlotRequest) -> Drawn:
    """Draw a request, with the place of each pair as its data."""
    pairs = request.tables[0].pairs()
    clustered, limit = request[CLUSTERED], request[LIMIT]
    table = arranged(pairs, clustered=clustered, limit=limit)
    rows, columns = ({int(task): place for place, task in enumerate(ids)} for ids in (table.index, table.columns))
    data = pairs[["checkpoint_step", "alpha", "source", "target", "source_mode", "target_mode", "loss_ratio"]]
    data = data.assign(row=data["source"].map(rows), column=data["target"].map(columns))
    return Drawn(
        matrix(pairs, clustered=clustered, limit=limit), data.sort_values(["row", "column"], ignore_index=True)
    )


def _describe(table: Table) -> Description:
    """Say what the figure of a table shows."""
    wide = table.pairs().pivot(index="source", columns="target", values="loss_ratio")
    return Description(
        f"Matrix at checkpoint {table.steps[0]:,}, α = {table.alphas[0]:g}",
        f"Heatmap of the loss ratios, source tasks down, target tasks across. {means_in_words(table.summary())}",
        "Each cell is one pair of tasks: blue where transfer is positive, red where it is negative, yellow where there is no ratio.",
        wide.add_prefix("target ").reset_index(),  # a long table would have too many numbers for a page
    )


MATRIX = Kind(
    "matrix",
    "every source task on every target task",
    _draw,
    options=(CLUSTERED, LIMIT),
    in_report=(InReport(_describe),),
)
