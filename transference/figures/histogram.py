"""Histograms of one checkpoint, a panel for each source mode and target mode."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from transference.figures._bars import CONTROLS, PANEL, READING, draw_bars, draw_panel, finish
from transference.figures._kind import BINS, LIMITS, Description, Drawn, InReport, Kind, PlotRequest, Table
from transference.figures._panels import arrow, grid, modes, of_pair, title_of
from transference.figures._style import styled
from transference.figures._words import outside_in_words, shares_in_words
from transference.statistics import NEUTRAL_BAND


def histogram(
    pairs: pd.DataFrame,
    self_transference: pd.DataFrame,
    *,
    band: tuple[float, float] = NEUTRAL_BAND,
    bins: int = BINS,
    limits: tuple[float, float] = LIMITS,
    bands: pd.DataFrame | None = None,
) -> Figure:
    """Draw one checkpoint and step size: source modes down, target modes across.

    Args:
        pairs: rows of ``Run.pairs()`` of one checkpoint and step size.
        self_transference: the rows of ``Run.self_transference()`` that belong to them.
        band: the neutral band.
        bins: bars.
        limits: loss ratios of the first and last edge.
        bands: controls, drawn behind the bars: one row per checkpoint, step size, source mode and target mode with the loss ratios
            ``resampled_low``, ``resampled_high`` (resampling noise: how far other images of the same tasks move a ratio) and
            ``random_direction_low``, ``random_direction_high`` (steps of the same length in random directions); NaN where there is none.
    """
    sources, targets = modes(pairs["source_mode"]), modes(pairs["target_mode"])
    with styled():
        figure, axes = grid(len(sources), len(targets), PANEL, sharex=True)
        for row, source in zip(axes, sources, strict=True):
            for ax, target in zip(row, targets, strict=True):
                chosen = of_pair(pairs, source, target)
                own = self_transference[self_transference["mode"] == target]
                draw_panel(ax, chosen, own, bands, band=band, bins=bins, limits=limits)
                ax.set_title(arrow(source, target), loc="left", pad=13)
        finish(figure, title_of(pairs), axes)
    return figure


def _draw(request: PlotRequest) -> Drawn:
    """Draw a request, with the heights of the bars as its data."""
    return draw_bars(histogram, request)


def _describe(table: Table) -> Description:
    """Say what the figure of a table shows."""
    return Description(
        f"Loss ratios at checkpoint {table.steps[0]:,}, α = {table.alphas[0]:g}",
        f"Histograms of the loss ratios. {shares_in_words(table.summary())}",
        f"Source modes down, target modes across. {outside_in_words(table.pairs())}"
        f"Triangles: each target used as its own source. {READING}",
    )


HISTOGRAM = Kind(
    "histogram",
    "one checkpoint, a panel for each pair of modes",
    _draw,
    options=(CONTROLS,),
    in_report=(InReport(_describe),),
)
