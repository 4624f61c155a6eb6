"""All checkpoints of a run: histograms, or lines of their shares."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from transference.amounts import STEP_SIZES, Amount
from transference.errors import UsageError
from transference.figures._bars import READING, draw_bars, draw_panel, finish, none_like, room_for, title_room
from transference.figures._calibrated import beside
from transference.figures._options import BINS, CONTROLS, LIMITS, TREND
from transference.figures._panels import check_single, grid, modes, of_pair, shares_of
from transference.figures._style import Canvas, literal, styled, whole
from transference.figures._trend import trend
from transference.figures._words import intervals_in_words, outside_in_words, shares_in_words, told_of
from transference.figures.requests import Description, Drawn, PlotRequest, Table
from transference.statistics import NEUTRAL_BAND


def training(
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
    """Draw one step size over training: pairs of modes down, checkpoints across, each pair on one scale.

    Args:
        pairs: rows of ``Run.pairs()`` of one step size.
        self_transference: the rows of ``Run.self_transference()`` that belong to them; none are marked without.
        band: the neutral band.
        bins: bars.
        limits: loss ratios of the first and last edge.
        bands: as for `histogram`.
        calibrated: as for `histogram`.
        amount: how values of ``alpha`` are said, of a run ``run.spec.amount``; by default as step sizes.
        on: a part of a figure of yours, in constrained layout, to draw in; by default a figure is made.

    Raises:
        UsageError: the table holds several step sizes, or the limits are not in order.
    """
    check_single(pairs, "alpha")
    self_transference = none_like(pairs) if self_transference is None else self_transference
    steps = sorted(pairs["checkpoint_step"].unique())
    mode_pairs = [(s, t) for s in modes(pairs["source_mode"]) for t in modes(pairs["target_mode"])]
    panel, above = room_for(calibrated)
    with styled():
        figure, axes = grid(len(mode_pairs), len(steps), panel, on, above, sharex=True, sharey="row")
        for row, (source, target) in zip(axes, mode_pairs, strict=True):
            chosen = of_pair(pairs, source, target)
            own = self_transference[self_transference["mode"] == target]
            for ax, step in zip(row, steps, strict=True):
                here, own_here = chosen[chosen["checkpoint_step"] == step], own[own["checkpoint_step"] == step]
                draw_panel(ax, here, own_here, bands, calibrated, band=band, bins=bins, limits=limits)
            row[0].set_ylabel(f"{literal(source)}\n→ {literal(target)}")
        for ax, step in zip(axes[0], steps, strict=True):
            ax.set_title(f"checkpoint {step:,}", pad=title_room(calibrated))
        finish(figure, amount.titled(pairs["alpha"].iloc[0]), axes, calibrated)
    return whole(figure)


def draw(request: PlotRequest) -> Drawn:
    """Draw a request.

    Raises:
        UsageError: controls were asked for, of lines or of a run that has none.
    """
    if not request[TREND]:
        return draw_bars(training, request)
    if request[CONTROLS]:
        raise UsageError("--trend and --controls were given; controls are drawn behind histograms. Leave one out.")
    [table] = request.tables
    shares, calibrated = shares_of(table.intervals()), table.calibrated()
    return Drawn(trend(shares, calibrated=calibrated, amount=table.amount), beside(shares, calibrated))


def describe(table: Table) -> Description:
    """Say what the histograms of a table show."""
    return Description(
        f"Over training, {table.alpha_told}",
        f"Histograms of the loss ratios at each checkpoint. {shares_in_words(told_of(table), over_training=True)}",
        f"One row per pair of modes, checkpoints from left to right. {outside_in_words(table.pairs())}{READING}",
    )


def describe_trend(table: Table) -> Description:
    """Say what the lines of a table show."""
    words = shares_in_words(told_of(table), over_training=True)
    return Description(
        f"Shares over training, {table.alpha_told}",
        f"Shares of positive, neutral and negative pairs at each checkpoint. {words}",
        f"{intervals_in_words(table)}. The tasks are the same at every checkpoint: intervals may overlap though all changed.",
    )
