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
from transference.figures._calibrated import INTERVALS, as_intervals, has_rows
from transference.figures._options import BINS, CONTROLS, LIMITS
from transference.figures._panels import check_single, class_patches, legend
from transference.figures._style import COLOURS, LETTERS, Canvas
from transference.figures.requests import Drawn, PlotRequest
from transference.statistics import CLASSES, GROUP, NEUTRAL_BAND, classify, measured

PANEL = (2.1, 1.5)  # inches


READING = "Pale yellow: resampling noise, how far other images of the same tasks move a ratio; hatched: random directions (95 % each)."
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
    "resampled": ("resampled, 95 %", {"facecolor": "#FBE7AE", "edgecolor": "none", "linewidth": 0}),
    "random_direction": (
        "random direction, 95 %",
        {"facecolor": "none", "edgecolor": "#6A3D8F", "hatch": "////", "linewidth": 0.5},
    ),
}
"""What a ratio must leave behind to mean something: a pale ground and a dark hatch, so that each is seen where they lie over each other.
Neither is grey, as neutral transfer is; printed in grey they are nearly white and nearly black."""

_LINE = 8.5
"""Points from one note to the next."""


def draw_histogram(
    ax: Axes,
    ratios: pd.DataFrame | ArrayLike,
    own: pd.DataFrame | ArrayLike = (),
    *,
    band: tuple[float, float] = NEUTRAL_BAND,
    bins: int = BINS,
    limits: tuple[float, float] = LIMITS,
    resampled: tuple[float, float] | None = None,
    random_direction: tuple[float, float] | None = None,
    failed: int = 0,
    calibrated: pd.DataFrame | None = None,
) -> Axes:
    """Draw loss ratios, coloured by class, with their shares above and the self-transference of the targets marked.

    What lies outside ``limits`` is counted at the edge, and so is what has no ratio, never dropped in silence; of a band that ends beyond
    them the edge tells where.

    Args:
        ax: where to draw.
        ratios: rows of ``Run.pairs()``, or loss ratios, any number of them, without NaN.
        own: the self-transference of the targets: rows of ``Run.self_transference()``, or loss ratios.
        band: the neutral band.
        bins: bars.
        limits: loss ratios of the first and last edge.
        resampled: how far other images of the same tasks move a ratio, drawn as a band behind the bars; NaN for none.
        random_direction: likewise the ratios of steps in random directions.
        failed: how many pairs have no ratio; the shares are of the others. Rows of pairs that have none are counted beside.
        calibrated: the row of ``statistics.calibrate`` of these pairs, where ``ratios`` are estimates: its shares stand above theirs,
            with intervals.

    Raises:
        UsageError: the limits are not in order, or a table holds several checkpoints or step sizes.
    """
    for rows in (ratios, own):
        if isinstance(rows, pd.DataFrame) and len(rows):
            check_single(rows, "checkpoint_step", "alpha")
    if isinstance(ratios, pd.DataFrame):
        failed += len(ratios) - len(measured(ratios))
        ratios = measured(ratios)
    own = measured(own) if isinstance(own, pd.DataFrame) else own
    if not -np.inf < limits[0] < limits[1] < np.inf:
        raise UsageError(
            f"The range {limits[0]} to {limits[1]} was asked for; the first must be below the second, both finite."
        )
    values, own_values = np.asarray(ratios, dtype=float), np.asarray(own, dtype=float)
    kinds = classify(values, band)
    edges = np.linspace(*limits, bins + 1)
    parts = [values[kinds == kind] for kind in CLASSES]
    controls = {"resampled": resampled, "random_direction": random_direction}
    for name, ends in controls.items():
        _draw_control(ax, name, ends, limits)
    floor = np.zeros(bins)
    for kind, part in zip(CLASSES, parts, strict=True):
        counts, _ = np.histogram(part, edges)
        # one shape for all bars: 36 panels draw at once
        ax.stairs(floor + counts, edges, baseline=floor, fill=True, color=COLOURS[kind], label=kind)
        floor = floor + counts
    ax.axvline(1.0, color="black", linewidth=0.6, linestyle=(0, (4, 2)))
    ax.set_xlim(*limits)
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    # No number beside the marks on top: the count of those beyond the edge stands there.
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}" if y < 0.88 * ax.get_ylim()[1] else ""))
    ax.margins(y=0.35)  # room above the bars for marks and notes
    if not floor.any():
        ax.set_ylim(0, 1)  # nothing inside the limits: no heights to tell
    told = [f"{len(part) / len(values):.0%}" if len(values) else "none" for part in parts]
    if calibrated is None:
        _tell_shares(ax, told, {"fontsize": 7, "fontweight": "bold"})
    else:
        _tell_shares(ax, told, {"fontsize": 6})
        _tell_shares(ax, _calibrated_shares(calibrated), {"fontsize": 6, "fontweight": "bold"}, rise=7)
    _tell_beyond(ax, values, failed, controls, limits)
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


def draw_panel(
    ax: Axes,
    pairs: pd.DataFrame,
    own: pd.DataFrame,
    bands: pd.DataFrame | None,
    calibrated: pd.DataFrame | None,
    **settings: Any,  # noqa: ANN401 - those of `draw_histogram`
) -> None:
    """Draw the histogram of one panel's pairs, which are of one checkpoint, step size and mode pair."""
    if has_rows(calibrated):
        settings["calibrated"] = _of_panel(pairs, calibrated)
    draw_histogram(ax, pairs, own, **_controls(pairs, bands), **settings)


def _of_panel(pairs: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table that belong to the pairs of one panel."""
    for name in GROUP:
        table = table[table[name] == pairs[name].iloc[0]] if len(pairs) else table.iloc[:0]
    return table


def _tell_beyond(
    ax: Axes,
    values: NDArray[np.float64],
    failed: int,
    controls: dict[str, tuple[float, float] | None],
    limits: tuple[float, float],
) -> None:
    """Write at the edges of a panel what lies beyond them, and how many pairs have no ratio."""
    below, above = int((values < limits[0]).sum()), int((values > limits[1]).sum())
    lines = [{"left": f"← {below:,} below" if below else "", "right": f"{above:,} above →" if above else ""}]
    lines += [{"right": f"{failed:,} without a ratio"}] if failed else []
    lines += [_beyond(name, ends, limits) for name, ends in controls.items()]
    clear = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5}  # of the hatch behind
    where: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top", "bbox": clear}
    for k, line in enumerate(line for line in lines if any(line.values())):
        for align, x in (("left", 0.01), ("center", 0.5), ("right", 0.99)):
            if line.get(align):
                ax.annotate(line[align], (x, 0.88), (0, -_LINE * k), color="0.3", fontsize=6, ha=align, **where)


def _tell_shares(ax: Axes, words: list[str], look: dict[str, Any], rise: float = 0.0) -> None:
    """Write the shares of the classes above a panel, so many points up."""
    for x, align, kind, word in zip((0.0, 0.5, 1.0), ("left", "center", "right"), CLASSES, words, strict=True):
        where: dict[str, Any] = {
            "xycoords": "axes fraction",
            "textcoords": "offset points",
            "ha": align,
            "va": "bottom",
        }
        ax.annotate(word, (x, 1.02), (0, rise), color=LETTERS[kind], **where, **look)


def _calibrated_shares(calibrated: pd.DataFrame) -> list[str]:
    """Return the shares of a row of `statistics.calibrate` with the ends of their intervals, in percent; a dash where there are none."""
    if not len(calibrated):
        return ["–"] * len(CLASSES)
    row = calibrated.iloc[0]
    ends = ((row[kind], row[f"{kind}_low"], row[f"{kind}_high"]) for kind in CLASSES)
    return ["–" if np.isnan(v) else f"{v:.0%} {100 * low:.0f}–{100 * high:.0f}" for v, low, high in ends]


def _beyond(name: str, ends: tuple[float, float] | None, limits: tuple[float, float]) -> dict[str, str]:
    """Return what is said of a control that ends beyond the limits, by where it stands: at the edge, or between both; else nothing."""
    words, (low, high) = name.replace("_", " "), ends or (np.nan, np.nan)
    both = f"{_number(low)} {words} {_number(high)}"
    if low < limits[0] and high > limits[1]:
        return {"center": f"← {both} →"}
    if low < limits[0]:
        return {"left": f"← {both}" if high <= limits[0] else f"← {_number(low)} {words}"}
    if high > limits[1]:
        return {"right": f"{both} →" if low >= limits[1] else f"{words} {_number(high)} →"}
    return {}


def _number(ratio: float) -> str:
    """Return a ratio in three digits, a large one in whole numbers."""
    return f"{ratio:,.0f}" if 100 <= ratio < 1e6 else f"{ratio:.3g}"


def _draw_control(ax: Axes, name: str, ends: tuple[float, float] | None, limits: tuple[float, float]) -> None:
    """Draw a control as a band over the height of the panel, as far as it lies within the limits."""
    low, high = np.clip(ends or (np.nan, np.nan), *limits)
    if high > low:
        label, look = _CONTROLS[name]
        ax.axvspan(low, high, zorder=0, label=label, **look)


def _controls(pairs: pd.DataFrame, bands: pd.DataFrame | None) -> dict[str, Any]:
    """Return the controls of the pairs of one panel."""
    if bands is None:
        return {}
    found = _of_panel(pairs, bands)
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


def none_like(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return a table of self-transference without rows."""
    return pairs.iloc[:0].rename(columns={"target_mode": "mode"})


def room_for(calibrated: pd.DataFrame | None) -> tuple[tuple[float, float], float]:
    """Return the size of panels, and how much more height than usual the title takes, in inches."""
    return ((PANEL[0], PANEL[1] + 0.12), 0.3) if has_rows(calibrated) else (PANEL, 0.0)


def title_room(calibrated: pd.DataFrame | None) -> float:
    """Return how far above a panel its title stands, in points: above the shares."""
    return 20 if has_rows(calibrated) else 13


def finish(figure: Canvas, title: str, axes: np.ndarray, calibrated: pd.DataFrame | None) -> None:
    """Name what the panels of a figure show, in a legend with its title, and along the axes."""
    if has_rows(calibrated):
        title += f"\nbars, and shares above them: estimates\nin bold: calibrated, {INTERVALS}"
    handles: list[Artist] = [*class_patches(), Line2D([], [], marker="v", label="self-transference of targets", **_OWN)]
    drawn = {patch.get_label() for ax in axes.flat for patch in ax.patches}
    handles += [
        Patch(label=label, **look | {"hatch": look.get("hatch", "") * 2})  # a small patch shows a line or two of it
        for label, look in _CONTROLS.values()
        if label in drawn
    ]
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
    pairs, own, calibrated = table.pairs(), table.self_transference(), table.calibrated()
    settings: dict[str, Any] = {"band": table.band, "bins": request.bins, "limits": request.limits, "bands": None}
    if request[CONTROLS] is not False:
        settings["bands"] = table.bands()
        if request[CONTROLS] and not len(settings["bands"]):
            raise UsageError(f"--controls was given; {table.name} was measured without. Leave it out.")
    figure = draw(pairs, own, calibrated=calibrated, amount=table.amount, **settings)
    return Drawn(figure, _with_calibrated(binned(pairs, own, **settings), calibrated), _outside(pairs, request.limits))


def _with_calibrated(heights: pd.DataFrame, calibrated: pd.DataFrame) -> pd.DataFrame:
    """Return the data of a figure, of a calibrated run with its shares: ``value``, and the ends of the interval."""
    if not has_rows(calibrated):
        return heights
    shares = as_intervals(calibrated).query("statistic in @CLASSES").rename(columns={"statistic": "class"})
    shares["class"] = "calibrated share, " + shares["class"]
    return pd.concat([heights, shares.drop(columns="drawn")], ignore_index=True)


def _outside(pairs: pd.DataFrame, limits: tuple[float, float]) -> str:
    """Return a note where much lies outside of the limits."""
    share = float(((pairs["loss_ratio"] < limits[0]) | (pairs["loss_ratio"] > limits[1])).mean())
    if share <= _MUCH:
        return ""
    return f"{share:.0%} of the pairs lie outside {limits[0]:g} to {limits[1]:g}; --range LOW HIGH draws another span"
