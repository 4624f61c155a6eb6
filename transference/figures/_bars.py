"""A histogram of loss ratios, with the controls of the run behind its bars; the panels of `histogram` and `training`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from transference.errors import UsageError
from transference.figures._kind import BINS, LIMITS, Drawn, Option, PlotRequest
from transference.figures._panels import class_patches, legend
from transference.figures._style import COLOURS, LETTERS
from transference.statistics import CLASSES, GROUP, NEUTRAL_BAND, classify, measured

PANEL = (2.1, 1.5)  # inches

CONTROLS: Option[bool | None] = Option(
    "controls", None, "draw the controls of the run behind the bars.  [default: where it has some]"
)

READING = "Grey: resampling noise, how far other images of the same tasks move a ratio; hatched: random directions (95 % each)."
"""How the controls are read, for a caption."""

_MUCH = 0.2
"""The share of the pairs outside of the limits from which on it is said."""

_OWN: dict[str, Any] = {
    "color": "black",
    "linestyle": "none",
    "markersize": 4,
    "markeredgewidth": 0.7,
    "markerfacecolor": "white",
}
_CONTROLS: dict[str, tuple[str, dict[str, Any]]] = {
    "resampled": ("resampled, 95 %", {"facecolor": "0.82", "edgecolor": "none", "linewidth": 0}),
    "random_direction": (
        "random direction, 95 %",
        {"facecolor": "none", "edgecolor": "0.55", "hatch": "////", "linewidth": 0},
    ),
}
"""What a ratio must leave behind to mean something: a plain grey and a hatch, so that each is seen where they lie over each other."""


def draw_histogram(
    ax: Axes,
    ratios: ArrayLike,
    own: ArrayLike = (),
    *,
    band: tuple[float, float] = NEUTRAL_BAND,
    bins: int = BINS,
    limits: tuple[float, float] = LIMITS,
    resampled: tuple[float, float] | None = None,
    random_direction: tuple[float, float] | None = None,
    failed: int = 0,
) -> Axes:
    """Draw loss ratios, coloured by class, with their shares above and the self-transference of the targets marked.

    What lies outside ``limits`` is counted at the edge, and so is what has no ratio, never dropped in silence.

    Args:
        ax: where to draw.
        ratios: the loss ratios, any number of them, without NaN.
        own: the self-transference of the targets.
        band: the neutral band.
        bins: bars.
        limits: loss ratios of the first and last edge.
        resampled: how far other images of the same tasks move a ratio, drawn as a band behind the bars; NaN for none.
        random_direction: likewise the ratios of steps in random directions.
        failed: how many pairs have no ratio; the shares are of the others.

    Raises:
        UsageError: the limits are not in order.
    """
    if not -np.inf < limits[0] < limits[1] < np.inf:
        raise UsageError(
            f"The range {limits[0]} to {limits[1]} was asked for; the first must be below the second, both finite."
        )
    values, own_values = np.asarray(ratios, dtype=float), np.asarray(own, dtype=float)
    kinds = classify(values, band)
    edges = np.linspace(*limits, bins + 1)
    parts = [values[kinds == kind] for kind in CLASSES]
    for name, ends in (("resampled", resampled), ("random_direction", random_direction)):
        _draw_control(ax, name, ends, limits)
    floor = np.zeros(bins)
    for kind, part in zip(CLASSES, parts, strict=True):
        counts, _ = np.histogram(part, edges)
        # one shape for all bars: 36 panels draw at once
        ax.stairs(floor + counts, edges, baseline=floor, fill=True, color=COLOURS[kind])
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
            color=LETTERS[kind],
            fontweight="bold",
            fontsize=7,
        )
    for x, y, align, text, count in (
        (0.01, 0.88, "left", "← {} below", int((values < limits[0]).sum())),
        (0.99, 0.88, "right", "{} above →", int((values > limits[1]).sum())),
        (0.99, 0.78, "right", "{} without a ratio", failed),
    ):
        if count:
            clear = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5}  # of the hatch behind
            where: dict[str, Any] = {"transform": ax.transAxes, "ha": align, "va": "top", "fontsize": 6, "bbox": clear}
            ax.text(x, y, text.format(f"{count:,}"), color="0.3", **where)
    _mark_own(ax, own_values, limits)
    return ax


def binned(
    pairs: pd.DataFrame,
    self_transference: pd.DataFrame,
    *,
    band: tuple[float, float] = NEUTRAL_BAND,
    bins: int = BINS,
    limits: tuple[float, float] = LIMITS,
    bands: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return what `histogram` and `training` draw.

    Args:
        pairs: as for `training`.
        self_transference: as for `training`.
        band: the neutral band.
        bins: bars.
        limits: loss ratios of the first and last edge.
        bands: as for `histogram`.

    Returns:
        One row per checkpoint, step size, mode pair, class and bar: ``low`` and ``high`` (infinite for what is counted at the edge) and
        ``count``, and one of class ``failed``, without ends, where pairs have no ratio. The self-transference of each target is a row of
        its own, with class ``self-transference``, no source mode, and both ends at its loss ratio. So is each control, with class
        ``resampled`` or ``random direction`` and no count.
    """
    edges = np.array([-np.inf, *np.linspace(*limits, bins + 1), np.inf])
    rows = []
    for key, group in pairs.groupby(list(GROUP), sort=False, observed=True):
        values = measured(group)
        kinds = classify(values, band)
        for kind in CLASSES:
            part = values[kinds == kind]
            counts = [
                int((part < limits[0]).sum()),
                *np.histogram(part, edges[1:-1])[0].tolist(),
                int((part > limits[1]).sum()),
            ]
            bars = {"class": kind, "low": edges[:-1], "high": edges[1:], "count": counts}
            rows.append(pd.DataFrame({**dict(zip(GROUP, key, strict=True)), **bars}))
        if failed := len(group) - len(values):
            without = {"class": "failed", "low": np.nan, "high": np.nan, "count": failed}
            rows.append(pd.DataFrame([{**dict(zip(GROUP, key, strict=True)), **without}]))
    with_ratio = (self_transference["status"] == "ok") & (self_transference["loss_ratio"] > 0)
    own = self_transference[with_ratio].rename(columns={"mode": "target_mode"})
    own = own.assign(low=own["loss_ratio"], high=own["loss_ratio"], count=1, source_mode="")
    own["class"] = "self-transference"
    columns = [*GROUP, "class", "low", "high", "count"]
    heights = pd.concat([part[columns] for part in (*rows, own) if len(part)], ignore_index=True).astype(
        {"count": "Int64"}
    )
    if bands is None or not len(bands):
        return heights
    there = bands.merge(
        pairs[list(GROUP)].drop_duplicates().astype({"source_mode": str, "target_mode": str}), on=list(GROUP)
    )
    ends = [
        there[[*GROUP, f"{name}_low", f"{name}_high"]]
        .set_axis([*GROUP, "low", "high"], axis=1)
        .assign(**{"class": name.replace("_", " ")})
        for name in _CONTROLS
    ]
    return pd.concat([heights, *ends], ignore_index=True)[columns]


def draw_panel(ax: Axes, pairs: pd.DataFrame, own: pd.DataFrame, bands: pd.DataFrame | None, **settings: Any) -> None:  # noqa: ANN401
    """Draw the histogram of one panel's pairs, with the settings of `draw_histogram`."""
    ratios = measured(pairs)
    draw_histogram(ax, ratios, measured(own), failed=len(pairs) - len(ratios), **_controls(pairs, bands), **settings)


def _draw_control(ax: Axes, name: str, ends: tuple[float, float] | None, limits: tuple[float, float]) -> None:
    """Draw a control as a band over the height of the panel, as far as it lies within the limits."""
    low, high = np.clip(ends or (np.nan, np.nan), *limits)
    if high > low:
        label, look = _CONTROLS[name]
        ax.axvspan(low, high, zorder=0, label=label, **look)


def _controls(pairs: pd.DataFrame, bands: pd.DataFrame | None) -> dict[str, Any]:
    """Return the controls of the pairs of one panel, which are of one checkpoint, step size and mode pair."""
    if bands is None or not len(pairs):
        return {}
    found = bands
    for name in GROUP:
        found = found[found[name] == pairs[name].iloc[0]]
    return (
        {name: (float(found[f"{name}_low"].iloc[0]), float(found[f"{name}_high"].iloc[0])) for name in _CONTROLS}
        if len(found)
        else {}
    )


def _mark_own(ax: Axes, own: NDArray[np.float64], limits: tuple[float, float]) -> None:
    """Mark the self-transference along the top; what lies beyond the limits is one mark at the edge, with its count."""
    below, above = int((own < limits[0]).sum()), int((own > limits[1]).sum())
    inside = own[(own >= limits[0]) & (own <= limits[1])]
    height = ax.get_xaxis_transform()
    for marker, x in (
        ("v", inside),
        ("<", np.full(min(below, 1), limits[0])),
        (">", np.full(min(above, 1), limits[1])),
    ):
        if len(x):  # an empty line has no extent, which the layout cannot place
            ax.plot(x, np.full(len(x), 0.95), marker=marker, transform=height, clip_on=False, **_OWN)
    for count, edge, offset, align in ((below, limits[0], -5, "right"), (above, limits[1], 5, "left")):
        if count:
            where: dict[str, Any] = {
                "xycoords": height,
                "textcoords": "offset points",
                "ha": align,
                "va": "center",
                "fontsize": 6,
            }
            ax.annotate(f"{count}", (edge, 0.95), (offset, 0), **where)


def finish(figure: Figure, title: str, axes: np.ndarray) -> None:
    """Name what the panels of a figure show, in a legend with its title, and along the axes."""
    handles: list[Artist] = [*class_patches(), Line2D([], [], marker="v", label="self-transference of targets", **_OWN)]
    drawn = {patch.get_label() for ax in axes.flat for patch in ax.patches}
    handles += [Patch(label=label, **look) for label, look in _CONTROLS.values() if label in drawn]
    legend(figure, handles, title)
    figure.supxlabel("loss ratio LR (after / before)", fontsize=8)
    figure.supylabel("pairs of tasks", fontsize=8)


def draw_bars(draw: Callable[..., Figure], request: PlotRequest) -> Drawn:
    """Draw the histograms of a request, and return them with the heights of their bars.

    Args:
        draw: `histogram` or `training`.
        request: what is drawn.

    Raises:
        UsageError: controls were asked for, and the run has none.
    """
    [table] = request.tables
    pairs, own = table.pairs(), table.self_transference()
    settings: dict[str, Any] = {"band": table.band, "bins": request.bins, "limits": request.limits, "bands": None}
    if request[CONTROLS] is not False:
        settings["bands"] = table.bands()
        if request[CONTROLS] and not len(settings["bands"]):
            raise UsageError(f"--controls was given; {table.name} was measured without. Leave it out.")
    return Drawn(draw(pairs, own, **settings), binned(pairs, own, **settings), _outside(pairs, request.limits))


def _outside(pairs: pd.DataFrame, limits: tuple[float, float]) -> str:
    """Return a note where much lies outside of the limits."""
    share = float(((pairs["loss_ratio"] < limits[0]) | (pairs["loss_ratio"] > limits[1])).mean())
    if share <= _MUCH:
        return ""
    return f"{share:.0%} of the pairs lie outside {limits[0]:g} to {limits[1]:g}; --range LOW HIGH draws another span"
