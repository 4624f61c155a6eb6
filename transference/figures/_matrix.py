"""The matrix of loss ratios, sources down and targets across."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from transference.amounts import STEP_SIZES, Amount
from transference.errors import UsageError
from transference.figures._calibrated import NOT_CALIBRATED
from transference.figures._heat import draw_heat, label_modes, ratio_bar, shared_limit, span_of
from transference.figures._names import names_of
from transference.figures._options import CLUSTERED, LIMIT
from transference.figures._panels import all_modes, check_single, in_legend, legend, mode_colours, title_of
from transference.figures._style import Canvas, canvas, literal, styled, whole
from transference.figures._words import means_in_words
from transference.figures.requests import Description, Drawn, PlotRequest, Table

_OPTIMAL = 500
"""Tasks up to which leaves are put into the best order, whose time grows faster than the square of their number."""

_COLUMNS = ["checkpoint_step", "alpha", "source", "target", "source_mode", "target_mode", "loss_ratio"]

_STRIP = 0.035  # of the panel
_TREE = 0.13  # likewise
_BESIDE = 1.6 * _STRIP
"""Where strips end, from the panel."""


def matrix(
    *pairs: pd.DataFrame,
    clustered: bool = False,
    limit: float | None = None,
    names: Sequence[str] = (),
    note: str = "",
    amount: Amount = STEP_SIZES,
    on: Canvas | None = None,
) -> Figure:
    """Draw one checkpoint and step size as a heatmap, ordered by mode, or clustered across modes; or several beside each other.

    Several are on one scale, that of all their cells, and in one order: clustered, that of the first.

    Args:
        pairs: rows of ``Run.pairs()`` of one checkpoint and step size, of one or several runs of the same tasks.
        clustered: put tasks that act alike, and tasks that are acted on alike, beside each other; strips tell their modes by colour, and
            trees how alike they are: two branches join at the mean Euclidean distance between their tasks' log ratios.
        limit: loss ratio at which the colours end, for several figures on one scale.
        names: what several are called, one for each.
        note: a line of the title.
        amount: how values of ``alpha`` are said, of a run ``run.spec.amount``; by default as step sizes.
        on: as for `histogram`.

    Raises:
        UsageError: a table holds several checkpoints or step sizes, several are not of the same task ids, or the limit is not above 1.
    """
    _check_alike(pairs)
    limit = shared_limit(*pairs) if limit is None else limit
    with styled():
        figure = canvas(0.7 + 2.8 * len(pairs), 3.9 + 0.1 * bool(names) + (0.3 if clustered else 0), on)
        axes = figure.subplots(1, len(pairs), squeeze=False)[0]
        wide = [_wide(table) for table in pairs]
        orders = _Orders.of(wide[0], clustered, limit)
        meshes = [_draw_cells(*drawn, orders, limit) for drawn in zip(axes, pairs, wide, strict=True)]
        _draw_trees(axes[0], orders)
        ratio_bar(list(axes), meshes, span_of(np.zeros(0), limit), shrink=0.8)
        for ax in axes[1:]:
            ax.set(ylabel="", yticks=[])  # those of the first
        for ax, name in zip(axes, names, strict=False):
            ax.set_title(literal(name), pad=6 + 36 * clustered)
        if clustered:
            handles = [
                Patch(color=colour, label=in_legend(name)) for name, colour in mode_colours(all_modes(pairs[0])).items()
            ]
            legend(figure, handles, below=True)
        title = title_of(pd.concat([table.iloc[:1] for table in pairs]), amount) + (", clustered" if clustered else "")
        title += " by the first" if clustered and len(pairs) > 1 else ""
        figure.suptitle(title + (f"\n{note}" if note else ""), fontsize=8)
    return whole(figure)


def _check_alike(pairs: Sequence[pd.DataFrame]) -> None:
    """Make sure that matrices can be drawn beside each other.

    Raises:
        UsageError: there is none, one holds several checkpoints or step sizes, or they are not of the same task ids.
    """
    if not pairs:
        raise UsageError("No table was given; give the rows of Run.pairs() of one checkpoint and step size.")
    for table in pairs:
        check_single(table, "checkpoint_step", "alpha")
    for role in ("source", "target"):
        if any(set(table[role]) != set(pairs[0][role]) for table in pairs):
            raise UsageError(
                f"The tables hold other {role} ids; only matrices of the same tasks stand beside each other."
            )


def draw_matrix(
    ax: Axes, pairs: pd.DataFrame, *, clustered: bool = False, limit: float | None = None, bar: bool = True
) -> Axes:
    """Draw the log loss ratios on a diverging scale that is white at a ratio of 1; failed cells are yellow.

    The scale ends at ``limit``, or at the 98 % quantile of ``|log LR|``, so that a few extreme cells do not bleach the rest.

    Args:
        ax: where to draw.
        pairs: rows of ``Run.pairs()`` of one checkpoint and step size.
        clustered: as for `matrix`.
        limit: as for `matrix`; `shared_limit` gives one for several matrices.
        bar: draw the scale beside it.

    Raises:
        UsageError: the table holds several checkpoints or step sizes, or the limit is not above 1.
    """
    check_single(pairs, "checkpoint_step", "alpha")
    limit = shared_limit(pairs) if limit is None else limit
    table = _wide(pairs)
    orders = _Orders.of(table, clustered, limit)
    mesh = _draw_cells(ax, pairs, table, orders, limit)
    _draw_trees(ax, orders)
    if bar:
        ratio_bar([ax], [mesh], span_of(np.zeros(0), limit), shrink=0.8)
    return ax


@dataclass(frozen=True)
class _Orders:
    """The ids of sources and of targets as they are drawn, and the linkages that their orders are of, if of any."""

    sources: pd.Index
    targets: pd.Index
    linkages: tuple[NDArray[np.float64] | None, NDArray[np.float64] | None] | None

    @classmethod
    def of(cls, table: pd.DataFrame, clustered: bool, limit: float | None) -> _Orders:
        """Return the order of the tasks of a table of ratios, source ids down, target ids across."""
        if not clustered:
            return cls(table.index, table.columns, None)
        linkages = _linkages(_logs(table), limit)
        rows, columns = (_leaves(linkage, n) for linkage, n in zip(linkages, table.shape, strict=True))
        return cls(table.index[rows], table.columns[columns], linkages)


def _draw_cells(ax: Axes, pairs: pd.DataFrame, table: pd.DataFrame, orders: _Orders, limit: float) -> QuadMesh:
    """Draw the cells of a table of ratios, its tasks in an order, named along the axes as the rows of pairs tell."""
    mesh = draw_heat(ax, _logs(table.loc[orders.sources, orders.targets]), span_of(np.zeros(0), limit))
    ax.set_xlabel("→ target tasks")
    ax.set_ylabel("source tasks →")
    if orders.linkages is None:
        label_modes(ax, "x", _mode_blocks(pairs, "target"))
        label_modes(ax, "y", _mode_blocks(pairs, "source"))
    else:
        _strips(ax, pairs, orders)
    return mesh


def _draw_trees(ax: Axes, orders: _Orders) -> None:
    """Draw what the order of a matrix is of beside its strips, if it is of anything."""
    if orders.linkages is not None:
        rows, columns = orders.linkages
        _draw_tree(ax.inset_axes((-_BESIDE - _TREE, 0.0, _TREE, 1.0)), rows, sideways=True)
        _draw_tree(ax.inset_axes((0.0, 1 + _BESIDE, 1.0, _TREE)), columns, sideways=False)
        ax.yaxis.set_label_coords(-_BESIDE - _TREE - 0.02, 0.5)


def _draw_tree(ax: Axes, linkage: NDArray[np.float64] | None, *, sideways: bool) -> None:
    """Draw a linkage as a tree whose leaves lie at the cells; sideways to the left of them, else above.

    Not by scipy's own, which calls itself once a level, and some trees of many leaves are deeper than Python's stack.
    """
    ax.set_axis_off()
    if linkage is None:
        return
    n = len(linkage) + 1
    place, height = np.empty(2 * n - 1), np.zeros(2 * n - 1)
    place[_leaves(linkage, n)] = np.arange(n) + 0.5
    joints = np.empty((n - 1, 4, 2))
    for k, (left, right, distance, _) in enumerate(linkage):
        ends = [int(left), int(right)]
        joints[k, :, 0] = np.repeat(place[ends], 2)
        joints[k, :, 1] = height[ends[0]], distance, distance, height[ends[1]]
        place[n + k], height[n + k] = place[ends].mean(), distance
    ax.add_collection(
        LineCollection(
            [*(joints[:, :, ::-1] if sideways else joints)],
            colors="0.25",
            linewidths=min(0.5, 60 / n),
            rasterized=n > _OPTIMAL,
        )
    )
    top = max(float(linkage[:, 2].max()), 1e-12) * 1.02
    if sideways:
        ax.set(xlim=(top, 0), ylim=(n, 0))
    else:
        ax.set(xlim=(0, n), ylim=(0, top))


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
    table = _wide(pairs)
    orders = _Orders.of(table, clustered, limit)
    return table.loc[orders.sources, orders.targets]


def _wide(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the loss ratios of pairs, source ids down, target ids across, ascending."""
    return pairs.pivot(index="source", columns="target", values="loss_ratio")


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
    rows, columns = (_leaves(linkage, n) for linkage, n in zip(_linkages(logs, limit), logs.shape, strict=True))
    return rows, columns


def _linkages(
    logs: NDArray[np.float64], limit: float | None
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return the average linkages of rows and of columns."""
    span = span_of(logs, limit)
    clipped = np.where(np.isfinite(logs), np.clip(logs, -span, span), np.nan)
    return _linkage(_filled(clipped)), _linkage(_filled(clipped.T))


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


def _linkage(rows: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the average linkage of rows, its leaves so that those that are alike are neighbours; None of a single row."""
    from scipy.cluster.hierarchy import (
        linkage,  # takes a quarter of a second, and most matrices are in the order of their tasks
    )
    from scipy.spatial.distance import pdist

    if len(rows) < 2:
        return None
    # Of distances: a table that is symmetric with an empty diagonal, as one of zeros, scipy would suspect to be distances.
    found: NDArray[np.float64] = linkage(pdist(rows), method="average", optimal_ordering=len(rows) <= _OPTIMAL)
    return found


def _leaves(found: NDArray[np.float64] | None, n: int) -> NDArray[np.int32]:
    """Return the order of the leaves of a linkage of so many rows."""
    from scipy.cluster.hierarchy import leaves_list  # likewise

    order: NDArray[np.int32] = np.arange(n, dtype=np.int32) if found is None else leaves_list(found)
    return order


def _strips(ax: Axes, pairs: pd.DataFrame, orders: _Orders) -> None:
    """Colour each row and column by its mode, along the left and the top."""
    colours = mode_colours(all_modes(pairs))
    place = list(colours)
    palette = ListedColormap([colours[name] for name in place])
    for role, ids, where in (
        ("source", orders.sources, (-_BESIDE + 0.2 * _STRIP, 0.0, _STRIP, 1.0)),
        ("target", orders.targets, (0.0, 1 + 0.4 * _STRIP, 1.0, _STRIP)),
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


def draw(request: PlotRequest) -> Drawn:
    """Draw a request, with the place of each pair as its data."""
    pairs = [table.pairs() for table in request.tables]
    clustered, limit, several = request[CLUSTERED], request[LIMIT], len(pairs) > 1
    limit = shared_limit(*pairs) if limit is None else limit
    table = arranged(pairs[0], clustered=clustered, limit=limit)
    rows, columns = ({int(task): place for place, task in enumerate(ids)} for ids in (table.index, table.columns))
    names = names_of(request)
    parts = [one[_COLUMNS].assign(of=name) for one, name in zip(pairs, names, strict=True)]
    data = pd.concat(parts if several else [pairs[0][_COLUMNS]])
    data = data.assign(row=data["source"].map(rows), column=data["target"].map(columns))
    note = NOT_CALIBRATED if any(len(table.calibrated()) for table in request.tables) else ""
    figure = matrix(
        *pairs,
        clustered=clustered,
        limit=limit,
        names=names if several else (),
        note=note,
        amount=request.tables[0].amount,
    )
    return Drawn(figure, data.sort_values(["row", "column"], kind="stable", ignore_index=True))


def describe(table: Table) -> Description:
    """Say what the figure of a table shows."""
    wide = _wide(table.pairs())
    return Description(
        f"Matrix at checkpoint {table.steps[0]:,}, {table.alpha_told}",
        f"Heatmap of the loss ratios, source tasks down, target tasks across. {means_in_words(table.summary())}",
        "Each cell is one pair of tasks: blue where transfer is positive, red where it is negative, yellow where there is no ratio.",
        wide.add_prefix("target ").reset_index(),  # a long table would have too many numbers for a page
    )
