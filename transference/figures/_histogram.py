"""Histograms of one checkpoint, a panel for each source mode and target mode."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from transference.amounts import STEP_SIZES, Amount
from transference.figures._bars import READING, draw_bars, draw_panel, finish, none_like, room_for, title_room
from transference.figures._options import BINS, LIMITS
from transference.figures._panels import arrow, check_single, grid, modes, of_pair, title_of
from transference.figures._style import Canvas, styled, whole
from transference.figures._words import outside_in_words, shares_in_words, told_of
from transference.figures.requests import Description, Drawn, PlotRequest, Table
from transference.statistics import NEUTRAL_BAND


def histogram(
    pairs: pd.DataFrame,
    self_transference: pd.DataFrame | None = None,
    *,
    band: tuple[float, float] = NEUTRAL_BAND,
    bins: int = BINS,
    limits: tuple[float, float] = LIMITS,
    bands: pd.DataFrame | None = None,
    calibrated: pd.DataFrame | None = None,
    amount: Amount = STEP_SIZES,
    on: Canvas | None = None,
) -> Figure:
    """Draw one checkpoint and step size: source modes down, target modes across.

    Args:
        pairs: rows of ``Run.pairs()`` of one checkpoint and step size.
        self_transference: the rows of ``Run.self_transference()`` that belong to them; none are marked without.
        band: the neutral band.
        bins: bars.
        limits: loss ratios of the first and last edge.
        bands: controls, drawn behind the bars: one row per checkpoint, step size, source mode and target mode with the loss ratios
            ``resampled_low``, ``resampled_high`` (resampling noise: how far other images of the same tasks move a ratio) and
            ``random_direction_low``, ``random_direction_high`` (steps of the same length in random directions); NaN where there is none.
        calibrated: rows of ``statistics.calibrate`` of a run of estimates: their shares stand above those of the bars.
        amount: how values of ``alpha`` are said, of a run ``run.spec.amount``; by default as step sizes.
        on: a part of a figure of yours, in constrained layout, to draw in; by default a figure is made.

    Raises:
        UsageError: the table holds several checkpoints or step sizes, or the limits are not in order.
    """
    check_single(pairs, "checkpoint_step", "alpha")
    self_transference = none_like(pairs) if self_transference is None else self_transference
    sources, targets = modes(pairs["source_mode"]), modes(pairs["target_mode"])
    panel, above = room_for(calibrated)
    with styled():
        figure, axes = grid(len(sources), len(targets), panel, on, above, sharex=True)
        for row, source in zip(axes, sources, strict=True):
            for ax, target in zip(row, targets, strict=True):
                chosen = of_pair(pairs, source, target)
                own = self_transference[self_transference["mode"] == target]
                draw_panel(ax, chosen, own, bands, calibrated, band=band, bins=bins, limits=limits)
                ax.set_title(arrow(source, target), loc="left", pad=title_room(calibrated))
        finish(figure, title_of(pairs, amount), axes, calibrated)
    return whole(figure)


def draw(request: PlotRequest) -> Drawn:
    """Draw a request, with the heights of the bars as its data."""
    return draw_bars(histogram, request)


def describe(table: Table) -> Description:
    """Say what the figure of a table shows."""
    return Description(
        f"Loss ratios at checkpoint {table.steps[0]:,}, {table.alpha_told}",
        f"Histograms of the loss ratios. {shares_in_words(told_of(table))}",
        f"Source modes down, target modes across. {outside_in_words(table.pairs())}"
        f"Triangles: each target used as its own source. {READING}",
    )
