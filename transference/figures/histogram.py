"""Histograms of loss ratios, one panel per source mode and target mode, or per checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike

from transference.errors import UsageError
from transference.figures._style import COLOURS, STYLE, WORDS, new_figure
from transference.statistics import CLASSES, NEUTRAL_BAND, classify

BINS, LIMITS = 60, (0.8, 1.3)
"""Of the paper's figure."""

_PANEL = (2.1, 1.5)  # inches
_TITLE_LETTERS = 24
_OWN = {"color": "black", "linestyle": "none", "markersize": 4, "markeredgewidth": 0.7, "markerfacecolor": "white"}


def histogram(
    pairs: pd.DataFrame,
    self_transference: pd.DataFrame,
    *,
    band: tuple[float, float] = NEUTRAL_BAND,
    bins: int = BINS,
    limits: tuple[float, float] = LIMITS,
) -> Figure:
    """Draw one checkpoint and step size: source modes down, target modes across.

    Args:
        pairs: rows of ``Run.pairs()`` of one checkpoint and step size.
        self_transference: the rows of ``Run.self_transference()`` that belong to them.
        band: the neutral band.
        bins: bars.
        limits: loss ratios of the first and last edge.
    """
    sources, targets = _modes(pairs["source_mode"]), _modes(pairs["target_mode"])
    with rc_context(STYLE):
        figure, axes = _grid(len(sources), len(targets), share_counts=False)
        for row, source in zip(axes, sources, strict=True):
            for ax, target in zip(row, targets, strict=True):
                chosen = pairs[(pairs["source_mode"] == source) & (pairs["target_mode"] == target)]
                own = self_transference[self_transference["mode"] == target]
                draw_histogram(ax, _ratios(chosen), _ratios(own), band=band, bins=bins, limits=limits)
                ax.set_title(_arrow(source, target), loc="left", pad=13)
        step, alpha = pairs["checkpoint_step"].iloc[0], pairs["alpha"].iloc[0]
        _finish(figure, f"checkpoint {step:,}, step size α = {alpha:g}")
    return figure


def training(
    pairs: pd.DataFrame,
    self_transference: pd.DataFrame,
    *,
    band: tuple[float, float] = NEUTRAL_BAND,
    bins: int = BINS,
    limits: tuple[float, float] = LIMITS,
) -> Figure:
    """Draw one step size over training: pairs of modes down, checkpoints across, each pair on one scale.

    Args:
        pairs: rows of ``Run.pairs()`` of one step size.
        self_transference: the rows of ``Run.self_transference()`` that belong to them.
        band: the neutral band.
        bins: bars.
        limits: loss ratios of the first and last edge.
    """
    steps = sorted(pairs["checkpoint_step"].unique())
    mode_pairs = [(s, t) for s in _modes(pairs["source_mode"]) for t in _modes(pairs["target_mode"])]
    with rc_context(STYLE):
        figure, axes = _grid(len(mode_pairs), len(steps), share_counts=True)
        for row, (source, target) in zip(axes, mode_pairs, strict=True):
            chosen = pairs[(pairs["source_mode"] == source) & (pairs["target_mode"] == target)]
            own = self_transference[self_transference["mode"] == target]
            for ax, step in zip(row, steps, strict=True):
                at_step, own_at_step = chosen[chosen["checkpoint_step"] == step], own[own["checkpoint_step"] == step]
                draw_histogram(ax, _ratios(at_step), _ratios(own_at_step), band=band, bins=bins, limits=limits)
            row[0].set_ylabel(f"{source}\n→ {target}")
        for ax, step in zip(axes[0], steps, strict=True):
            ax.set_title(f"checkpoint {step:,}", pad=13)
        _finish(figure, f"step size α = {pairs['alpha'].iloc[0]:g}")
    return figure


def draw_histogram(
    ax: Axes,
    ratios: ArrayLike,
    own: ArrayLike = (),
    *,
    band: tuple[float, float] = NEUTRAL_BAND,
    bins: int = BINS,
    limits: tuple[float, float] = LIMITS,
) -> Axes:
    """Draw loss ratios, coloured by class, with their shares above and the self-transference of the targets marked.

    What lies outside ``limits`` is counted at the edge, never dropped in silence.

    Args:
        ax: where to draw.
        ratios: the loss ratios, any number of them, without NaN.
        own: the self-transference of the targets.
        band: the neutral band.
        bins: bars.
        limits: loss ratios of the first and last edge.

    Raises:
        UsageError: the limits are not in order.
    """
    if not -np.inf < limits[0] < limits[1] < np.inf:
        raise UsageError(f"The range {limits[0]} to {limits[1]} was asked for; the first must be below the second, both finite.")
    values, own_values = np.asarray(ratios, dtype=float), np.asarray(own, dtype=float)
    kinds = classify(values, band)
    edges = np.linspace(*limits, bins + 1)
    parts = [values[kinds == kind] for kind in CLASSES]
    floor = np.zeros(bins)
    for kind, part in zip(CLASSES, parts, strict=True):
        counts, _ = np.histogram(part, edges)
        ax.stairs(floor + counts, edges, baseline=floor, fill=True, color=COLOURS[kind])  # one shape for all bars: 36 panels draw at once
        floor = floor + counts
    ax.axvline(1.0, color="black", linewidth=0.6, linestyle=(0, (4, 2)))
    ax.set_xlim(*limits)
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    # No number beside the marks on top: the count of those beyond the edge stands there.
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}" if y < 0.88 * ax.get_ylim()[1] else ""))
    ax.margins(y=0.35)  # room above the bars for marks and notes
    if not floor.any():
        ax.set_ylim(0, 1)  # nothing inside the limits: no heights to tell
    for x, align, kind, part in zip((0.0, 0.5, 1.0), ("left", "center", "right"), CLASSES, parts, strict=True):
        share = f"{len(part) / len(values):.0%}" if len(values) else "none"
        ax.text(
            x,
            1.02,
            share,
            transform=ax.transAxes,
            ha=align,
            va="bottom",
            color=COLOURS[kind],
            fontweight="bold",
            fontsize=7,
        )
    for x, align, text, count in (
        (0.01, "left", "← {} below", int((values < limits[0]).sum())),
        (0.99, "right", "{} above →", int((values > limits[1]).sum())),
    ):
        if count:
            ax.text(x, 0.88, text.format(f"{count:,}"), transform=ax.transAxes, ha=align, va="top", fontsize=6, color="0.3")
    _mark_own(ax, own_values, limits)
    return ax


def _mark_own(ax: Axes, own: np.ndarray, limits: tuple[float, float]) -> None:
    """Mark the self-transference along the top; what lies beyond the limits is one mark at the edge, with its count."""
    below, above = int((own < limits[0]).sum()), int((own > limits[1]).sum())
    inside = own[(own >= limits[0]) & (own <= limits[1])]
    height = ax.get_xaxis_transform()
    for marker, x in (("v", inside), ("<", np.full(min(below, 1), limits[0])), (">", np.full(min(above, 1), limits[1]))):
        if len(x):  # an empty line has no extent, which the layout cannot place
            ax.plot(x, np.full(len(x), 0.95), marker=marker, transform=height, clip_on=False, **_OWN)  # type: ignore[arg-type]
    for count, edge, offset, align in ((below, limits[0], -5, "right"), (above, limits[1], 5, "left")):
        if count:
            where = {"xycoords": height, "textcoords": "offset points", "ha": align, "va": "center", "fontsize": 6}
            ax.annotate(f"{count}", (edge, 0.95), (offset, 0), **where)  # type: ignore[arg-type]


def _grid(n_rows: int, n_columns: int, *, share_counts: bool) -> tuple[Figure, np.ndarray]:
    width, height = max(3.4, 0.5 + _PANEL[0] * n_columns), 0.9 + _PANEL[1] * n_rows
    figure = new_figure(width, height)
    return figure, figure.subplots(n_rows, n_columns, sharex=True, sharey="row" if share_counts else False, squeeze=False)


def _finish(figure: Figure, title: str) -> None:
    handles: list[Patch | Line2D] = [Patch(color=COLOURS[kind], label=WORDS[kind]) for kind in CLASSES]
    handles.append(Line2D([], [], marker="v", label="self-transference of targets", **_OWN))  # type: ignore[arg-type]
    columns = 4 if figure.get_figwidth() > 4.5 else 2
    figure.legend(
        handles=handles,
        title=title,
        title_fontsize=8,
        loc="outside upper center",
        ncols=columns,
        frameon=False,
        handlelength=1.0,
        columnspacing=1.4,
    )
    figure.supxlabel("loss ratio LR (after / before)", fontsize=8)
    figure.supylabel("pairs of tasks", fontsize=8)


def _arrow(source: str, target: str) -> str:
    """Return the pair's title, on two lines where one would reach into the next panel."""
    return f"{source}{' ' if len(source) + len(target) <= _TITLE_LETTERS else chr(10)}→ {target}"


def _modes(column: pd.Series) -> Sequence[str]:
    """Return the modes present, in the order of the run."""
    return list(column.cat.remove_unused_categories().cat.categories)


def _ratios(rows: pd.DataFrame) -> np.ndarray:
    return rows.loc[rows["status"] == "ok", "loss_ratio"].to_numpy(dtype=float)
