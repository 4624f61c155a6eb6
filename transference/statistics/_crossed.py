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

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from transference._streams import Stream
from transference.blocks import Block
from transference.statistics._summary import CLASSES, GROUP, NEUTRAL_BAND, QUANTILES, checked_band

_Floats: TypeAlias = NDArray[np.float64]

StandardError: TypeAlias = Callable[[_Floats], float]
"""From a number for each cell, NaN where a cell failed, to the standard error of their mean."""

FEW = 10
"""Tasks on a side from which on it is resampled."""

DRAWS = 1000

_QUANTILES = {f"q{round(q * 100):02d}": q for q in QUANTILES}


def intervals(
    blocks: Iterable[Block],
    *,
    band: tuple[float, float] = NEUTRAL_BAND,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Summarise the loss ratios of each mode pair, with intervals for another draw of sources and targets.

    The draws are the same for all blocks of one size, so that intervals of checkpoints and learners can be compared.

    Args:
        blocks: what ``Run.blocks()`` returns.
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
        error, df, drawn = standard_error(block, draws, seed)
        ratio = without_diagonal(block)
        quantile = float(stdtrit(df, (1 + level) / 2)) if df > 0 else np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            # a ratio of 0 has the logarithm -inf: a mean of 0, without an interval
            for name, (value, low, high) in _statistics(ratio, band, error, quantile, df):
                found = {"statistic": name, "value": value, "low": low, "high": high, "drawn": drawn}
                if name in _QUANTILES and 0 < df < (enough := enough_for(_QUANTILES[name], level)) - 1:
                    found |= {"low": np.nan, "high": np.nan}
                    note = f"{name} needs {enough} tasks on the smaller side, which has {df + 1}"
                else:
                    note = "" if np.isfinite(low) else _why_none(ratio, df)
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


def _why_none(ratio: _Floats, df: int) -> str:
    """Return why a block's means and shares have no interval."""
    if not np.isfinite(ratio).any():
        return "no pair has a ratio"
    return "one source and one target: no task can be drawn again" if df < 1 else "a ratio of 0 has no logarithm"


def without_diagonal(block: Block) -> _Floats:
    """Return the loss ratios; where sources and targets are the same tasks, NaN for a task on itself."""
    if not block.same_tasks:
        return block.loss_ratio
    return np.where(np.eye(len(block.loss_ratio), dtype=bool), np.nan, block.loss_ratio)


def _statistics(
    ratio: _Floats, band: tuple[float, float], error: StandardError, quantile: float, df: int
) -> Iterator[tuple[str, tuple[float, float, float]]]:
    """Yield each statistic's name, value and ends."""
    low, high = checked_band(band)
    ok = np.isfinite(ratio)
    if not ok.any():
        names = ("geometric_mean", "interquartile_mean", *_QUANTILES, *CLASSES)
        yield from ((name, (np.nan, np.nan, np.nan)) for name in names)
        return
    with np.errstate(divide="ignore"):
        logs = np.log(ratio)
    known = logs[ok]
    # a ratio of 0 has the logarithm -inf
    of_logs: StandardError = lambda cells: error(cells) if np.isfinite(cells[ok]).all() else np.nan
    yield "geometric_mean", _exponential(known.mean(), quantile * of_logs(logs))
    inner = np.quantile(known, [0.25, 0.75])
    between = known[(known >= inner[0]) & (known <= inner[1])]
    middle = between.mean() if between.size else inner.mean()  # of two values none lies between their quartiles
    yield "interquartile_mean", _exponential(middle, quantile * of_logs(np.clip(logs, *inner) / 0.5))
    for name, q in _QUANTILES.items():
        value = float(np.quantile(ratio[ok], q))
        half = quantile * error(np.where(ok, ratio <= value, np.nan))
        ends = np.quantile(ratio[ok], np.clip([q - half, q + half], 0, 1)) if np.isfinite(half) else [np.nan, np.nan]
        yield name, (value, float(ends[0]), float(ends[1]))
    classes = {"positive": ratio < low, "neutral": (low <= ratio) & (ratio < high), "negative": ratio >= high}
    for name in CLASSES:
        cells = np.where(ok, classes[name], np.nan)
        yield name, _share(float(np.nanmean(cells)), error(cells), quantile, df)


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


def standard_error(block: Block, draws: int, seed: int) -> tuple[StandardError, int, str]:
    """Return how the standard error of a mean over a block's cells is found, its degrees of freedom, and what it lets vary."""
    n_source, n_target = block.loss_ratio.shape
    if block.same_tasks:
        weights = _weights(n_source, draws, seed, "source")
        return partial(_pigeonhole, weights, weights) if n_source >= FEW else _dyadic, n_source - 1, "tasks"
    sizes = [size for size in (n_source, n_target) if size > 1]
    if not sizes:
        return lambda _: np.nan, 0, "nothing"
    drawn = "sources and targets" if len(sizes) == 2 else "sources" if n_target == 1 else "targets"
    if min(sizes) < FEW:
        return two_way_error, min(sizes) - 1, drawn
    sides = [_weights(size, draws, seed, role) for size, role in ((n_source, "source"), (n_target, "target"))]
    return partial(_pigeonhole, *sides), min(sizes) - 1, drawn


def _weights(n: int, draws: int, seed: int, role: str) -> _Floats:
    """Return how often each of n tasks is drawn in each of several resamplings, ``[draws, n]``; a single task is drawn always."""
    if n == 1:
        return np.ones((draws, 1))
    chosen = (Stream("bootstrap", seed, role, n).uniform(0.0, 1.0, (draws, n)) * n).astype(np.int64)
    counts = np.bincount((chosen + n * np.arange(draws)[:, None]).ravel(), minlength=draws * n)
    return counts.reshape(draws, n).astype(np.float64)


def _pigeonhole(sources: _Floats, targets: _Floats, cells: _Floats) -> float:
    """Return the bootstrap's standard error of a mean over cells, ``[n_source, n_target]``, NaN where one failed."""
    ok = np.isfinite(cells)
    values = np.where(ok, cells, 0.0)
    # In each draw a pair counts as often as its source times its target: n = Σ_ij s_i ok_ij t_j, total = Σ_ij s_i value_ij t_j.
    n = ((sources @ ok.astype(np.float64)) * targets).sum(axis=1)
    total = ((sources @ values) * targets).sum(axis=1)
    return float((total[n > 0] / n[n > 0]).std(ddof=1))


def _residuals(cells: _Floats) -> tuple[_Floats, int]:
    """Return what is left of each cell without the mean, 0 where one failed, and how many did not."""
    ok = np.isfinite(cells)
    return np.where(ok, cells - np.mean(cells, where=ok), 0.0), int(ok.sum())


def two_way_error(cells: _Floats) -> float:
    """Return the cluster-robust standard error of a mean over cells: what rows share and columns share, less what was counted twice."""
    left, n = _residuals(cells)
    sides = [
        float(np.sum(left.sum(axis=axis) ** 2)) * size / (size - 1)
        for axis, size in ((1, len(left)), (0, left.shape[1]))
        if size > 1
    ]
    if not sides or not n:
        return np.nan
    # Rows squared and columns squared both hold each cell squared, which counts once.
    total = sum(sides) - float(np.sum(left**2)) * (len(sides) - 1)
    return float(np.sqrt(max(total, *sides)) / n)


def cluster_error(same_tasks: bool) -> StandardError:
    """Return the cluster-robust standard error: of pairs of the same tasks, or of others."""
    return _dyadic if same_tasks else two_way_error


def _dyadic(cells: _Floats) -> float:
    """Return the same for pairs of the same tasks: pairs hang together when they share a task on either side."""
    left, n = _residuals(cells)
    size, alone = len(left), float(np.sum(left**2))
    if size < 2 or not n:
        return np.nan
    # Of all pairs of cells that have a task in common: each task's cells, on either side, squared; (i, j) and (j, i) have both in
    # common, as has a cell with itself, and these were counted twice.
    shared = float(np.sum((left.sum(axis=0) + left.sum(axis=1)) ** 2)) - alone - float(np.sum(left * left.T))
    return float(np.sqrt(max(shared, alone) * size / (size - 1)) / n)
