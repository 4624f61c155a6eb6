"""Intervals for tables whose rows and columns are both drawn.

Pairs are not independent: those of one source share it, and those of one target share that. Intervals that take pairs for independent
cover a fraction of what they promise. Here both sides are drawn again, by the pigeonhole bootstrap (Owen, Annals of Applied Statistics 1,
2007): sources and targets are resampled, each on its own, and a pair counts as often as its source times its target. Where sources and
targets are the same tasks they are resampled once, and no task meets itself.

Means and shares take the bootstrap's standard error and Student's t, with one degree of freedom less than the smaller side has tasks;
with fewer than ten tasks on a side, where resampling is too coarse, the two-way cluster-robust standard error instead (Cameron, Gelbach &
Miller, J. Business & Economic Statistics 29, 2011; of pairs of the same tasks, Aronow, Samii & Assenova, Political Analysis 23, 2015).
The interquartile mean is linear in the clipped values (Huber, Robust Statistics, 1981); quantiles are those whose share
below has such an interval (Woodruff, JASA 47, 1952), and have one only where the smaller side has tasks enough that the most extreme of
them bounds it. A single task on a side is not drawn again: what is said then holds for that task.

Of variance that belongs to neither side the pigeonhole bootstrap takes up to three times as much as there is: where tasks hardly matter its
intervals are wider than they need be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from transference.blocks import Block, Strip, Strips
from transference.statistics._band import NEUTRAL_BAND
from transference.statistics._errors import Dyadic, Errors, NoErrors, Pigeonhole, TwoWay, of_matrix, weights
from transference.statistics._order import Ordered
from transference.statistics._summary import CLASSES, GROUP, QUANTILES, checked_band

_Floats: TypeAlias = NDArray[np.float64]

StandardError: TypeAlias = Callable[[_Floats], float]
"""From a number for each cell, NaN where a cell failed, to the standard error of their mean."""

_Measure: TypeAlias = Callable[[_Floats], _Floats]
"""From loss ratios to the numbers whose mean is a statistic."""

FEW = 10
"""Tasks on a side from which on it is resampled."""

DRAWS = 1000

_QUANTILES = {f"q{round(q * 100):02d}": q for q in QUANTILES}


def intervals(
    blocks: Iterable[Block | Strips],
    *,
    band: tuple[float, float] = NEUTRAL_BAND,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Summarise the loss ratios of each mode pair, with intervals for another draw of sources and targets.

    The draws are the same for all blocks of one size, so that intervals of checkpoints and learners can be compared.

    Args:
        blocks: what ``Run.blocks()`` or ``Run.tables()`` returns. Strips are read four times, where ratios crowd up to eight; memory holds
            some of them, and a byte for each task and draw.
        band: the neutral band ``[low, high)``.
        level: of the intervals.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        One row per block and statistic: the columns of `GROUP`, ``statistic`` (``geometric_mean``, ``interquartile_mean``,
        ``q01 … q99``, ``positive``, ``neutral``, ``negative``), ``value``, ``low``, ``high``, and ``drawn``: what the interval lets vary
        (``sources and targets``, ``tasks``, ``sources`` given the one target, ``targets`` given the one source), and ``note``: why an
        interval is missing (NaN ends), else empty. A quantile far out has none with few tasks (`enough_for`), as the ends of the sample
        would stand for those of the interval.

    Raises:
        UsageError: the band is empty or does not hold 1.
    """
    rows = []
    for block in blocks:
        key = {name: getattr(block, name) for name in GROUP}
        errors, df, drawn = standard_errors(block, draws, seed)
        quantile = float(stdtrit(df, (1 + level) / 2)) if df > 0 else np.nan
        there = False
        for name, (value, low, high) in statistics_of(block, band, errors, quantile, df):
            there = there or np.isfinite(value)
            found = {"statistic": name, "value": value, "low": low, "high": high, "drawn": drawn}
            if name in _QUANTILES and 0 < df < (enough := enough_for(_QUANTILES[name], level)) - 1:
                found |= {"low": np.nan, "high": np.nan}
                note = f"{name} needs {enough} tasks on the smaller side, which has {df + 1}"
            else:
                note = "" if np.isfinite(low) else _why_none(df, there=there)
            rows.append({**key, **found, "note": note})
    return pd.DataFrame(rows)


def enough_for(q: float, level: float = 0.95) -> int:
    """Return how many tasks the smaller side must have for an interval of a quantile.

    All n tasks lie on one side of the quantile with a probability of (1 − q)ⁿ, or qⁿ; no value of the sample then bounds it. An interval
    needs this to be no likelier than a miss on that side may be. Where one side's tasks decide, pairs add nothing to their number.

    Args:
        q: the quantile.
        level: of the interval.
    """
    return int(np.ceil(np.log((1 - level) / 2) / np.log1p(-min(q, 1 - q))))


def _why_none(df: int, *, there: bool) -> str:
    """Return why a block's means and shares have no interval."""
    if not there:
        return "no pair has a ratio"
    return "one source and one target: no task can be drawn again" if df < 1 else "a ratio of 0 has no logarithm"


def without_diagonal(block: Block) -> _Floats:
    """Return the loss ratios; where sources and targets are the same tasks, NaN for a task on itself."""
    if not block.same_tasks:
        return block.loss_ratio
    return np.where(np.eye(len(block.loss_ratio), dtype=bool), np.nan, block.loss_ratio)


def between_tasks(strip: Strip, *, same_tasks: bool) -> _Floats:
    """Return the loss ratios of a strip; where sources and targets are the same tasks, NaN for a task on itself."""
    ratio: _Floats = strip.cells[0]
    if not same_tasks:
        return ratio
    rows, columns = (np.arange(part.start, part.stop) for part in (strip.rows, strip.columns))
    return np.where(rows[:, None] == columns, np.nan, ratio)


def _known(block: Block | Strips) -> Iterator[_Floats]:
    """Yield the loss ratios that there are, strip by strip."""
    for strip in block.strips("loss_ratio"):
        ratio = between_tasks(strip, same_tasks=block.same_tasks)
        yield ratio[np.isfinite(ratio)]


def statistics_of(
    block: Block | Strips, band: tuple[float, float], errors: Callable[[int], Errors], quantile: float, df: int
) -> Iterator[tuple[str, tuple[float, float, float]]]:
    """Yield each statistic's name, value and ends."""
    low, high = checked_band(band)
    ratios = Ordered(partial(_known, block))
    if not ratios.n:
        names = ("geometric_mean", "interquartile_mean", *_QUANTILES, *CLASSES)
        yield from ((name, (np.nan, np.nan, np.nan)) for name in names)
        return
    values = ratios.quantiles(list(_QUANTILES.values()))
    inner = ratios.quantiles([0.25, 0.75], _log)  # of which the values are known by now
    measures: dict[str, _Measure] = {
        "geometric_mean": _log,
        "interquartile_mean": lambda ratio: np.clip(_log(ratio), *inner) / 0.5,
        **{name: partial(_at_most, value) for name, value in zip(_QUANTILES, values, strict=True)},
        "positive": lambda ratio: (ratio < low).astype(np.float64),
        "neutral": lambda ratio: ((low <= ratio) & (ratio < high)).astype(np.float64),
        "negative": lambda ratio: (ratio >= high).astype(np.float64),
    }
    means, found, middle = _means(block, list(measures.values()), errors(len(measures)), inner)
    mean, error = dict(zip(measures, means, strict=True)), dict(zip(measures, found, strict=True))
    yield "geometric_mean", _exponential(mean["geometric_mean"], quantile * error["geometric_mean"])
    yield "interquartile_mean", _exponential(middle, quantile * error["interquartile_mean"])
    halves = quantile * np.array([error[name] for name in _QUANTILES])
    if np.isfinite(halves).all():
        at = np.array(list(_QUANTILES.values()))
        ends = ratios.quantiles(np.clip([at - halves, at + halves], 0, 1).ravel()).reshape(2, -1).T.tolist()
    else:
        ends = [[np.nan, np.nan]] * len(_QUANTILES)
    for name, value, (start, end) in zip(_QUANTILES, values.tolist(), ends, strict=True):
        yield name, (value, start, end)
    for name in CLASSES:
        yield name, _share(mean[name], error[name], quantile, df)


def _log(ratio: _Floats) -> _Floats:
    """Return logarithms, of a ratio of 0 minus infinity."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(ratio)


def _at_most(value: float, ratio: _Floats) -> _Floats:
    return (ratio <= value).astype(np.float64)


def _means(
    block: Block | Strips, measures: Sequence[_Measure], errors: Errors, inner: _Floats
) -> tuple[list[float], list[float], float]:
    """Go through a table once.

    Args:
        block: the table.
        measures: numbers of the cells whose means are wanted.
        errors: of as many means.
        inner: the quartiles of the log ratios.

    Returns:
        The means; their standard errors, NaN where a number is infinite; and the mean of the log ratios between the quartiles.
    """
    n, between, totals, within = 0, 0, np.zeros(len(measures)), 0.0
    for strip in block.strips("loss_ratio"):
        ratio = between_tasks(strip, same_tasks=block.same_tasks)
        ok = np.isfinite(ratio)
        cells = [measure(ratio) for measure in measures]
        n += int(ok.sum())
        totals += [float(values[ok].sum()) for values in cells]
        logs = cells[0][ok]
        logs = logs[(logs >= inner[0]) & (logs <= inner[1])]
        between, within = between + len(logs), within + float(logs.sum())
        with np.errstate(invalid="ignore"):  # of the logarithm of a ratio of 0, whose error comes out as NaN
            errors.add(strip.rows, strip.columns, ok, cells)
    with np.errstate(invalid="ignore"):
        found = errors.found()
        # of two values none lies between their quartiles
        middle = within / between if between else float(inner.mean())
    return (totals / n).tolist(), found, middle


def _exponential(mean: float, half: float) -> tuple[float, float, float]:
    """Return the interval of a mean of logarithms, on the scale of ratios."""
    return float(np.exp(mean)), float(np.exp(mean - half)), float(np.exp(mean + half))


def _share(share: float, error: float, quantile: float, df: int) -> tuple[float, float, float]:
    """Return a share with Wilson's interval for as many independent cells as would have its standard error (Kott & Carr, 1997)."""
    if np.isnan(quantile):
        return share, np.nan, np.nan
    # As many independent cells have this standard error as solve error² = share · (1 − share) / n. Wilson: the truths p with
    # |share − p| ≤ z √(p (1 − p) / n) are an interval around (share + z² / 2n) / (1 + z² / n).
    n = share * (1 - share) / error**2 if error > 0 else df + 1.0
    centre = (share + quantile**2 / (2 * n)) / (1 + quantile**2 / n)
    half = quantile * np.sqrt(share * (1 - share) / n + quantile**2 / (4 * n**2)) / (1 + quantile**2 / n)
    return share, max(0.0, centre - half), min(1.0, centre + half)


def standard_errors(block: Block | Strips, draws: int, seed: int) -> tuple[Callable[[int], Errors], int, str]:
    """Return how the standard errors of several means over a table's cells are found, their degrees of freedom, and what they let vary."""
    n_source, n_target = block.shape
    if block.same_tasks:
        if n_source < FEW:
            return partial(Dyadic, n_source), n_source - 1, "tasks"
        drawn = weights(n_source, draws, seed, "source")
        return partial(Pigeonhole, drawn, drawn), n_source - 1, "tasks"
    sizes = [size for size in (n_source, n_target) if size > 1]
    if not sizes:
        return NoErrors, 0, "nothing"
    varied = "sources and targets" if len(sizes) == 2 else "sources" if n_target == 1 else "targets"
    if min(sizes) < FEW:
        return partial(TwoWay, block.shape), min(sizes) - 1, varied
    sources, targets = weights(n_source, draws, seed, "source"), weights(n_target, draws, seed, "target")
    return partial(Pigeonhole, sources, targets), min(sizes) - 1, varied


def standard_error(block: Block, draws: int, seed: int) -> tuple[StandardError, int, str]:
    """Return the same for one mean, of a matrix of cells."""
    errors, df, drawn = standard_errors(block, draws, seed)
    return lambda cells: of_matrix(errors(1), cells), df, drawn


def cluster_error(same_tasks: bool) -> StandardError:
    """Return the cluster-robust standard error: of pairs of the same tasks, or of others."""
    if same_tasks:
        return lambda cells: of_matrix(Dyadic(len(cells), 1), cells)
    return lambda cells: of_matrix(TwoWay((len(cells), cells.shape[1]), 1), cells)
