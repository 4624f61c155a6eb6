"""Two tables of the same tasks beside each other: learners, checkpoints, or step sizes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from transference._streams import Stream
from transference.errors import UsageError
from transference.statistics._crossed import DRAWS, standard_error, two_way_error, without_diagonal
from transference.statistics._summary import CLASSES, NEUTRAL_BAND, Block, checked_band

_Floats: TypeAlias = NDArray[np.float64]


def contrast(
    blocks: Iterable[Block],
    others: Iterable[Block],
    *,
    band: tuple[float, float] = NEUTRAL_BAND,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare two tables of the same source and target tasks, pair by pair: runs of the same samplers and seeds.

    The p-value is that of a difference as large if the sources' parts of it, the targets', and what is left each had an even chance of
    either sign: their signs are flipped, and the mean over its two-way cluster-robust standard error is compared with its own under flips
    (a wild bootstrap: MacKinnon, Nielsen & Webb, J. Business & Economic Statistics 39, 2021). With a single task on a side, the other
    side's differences are flipped.

    Args:
        blocks: what ``Run.blocks()`` returns.
        others: of the other learner, or checkpoint, in the same order.
        band: the neutral band ``[low, high)``.
        level: of the intervals.
        draws: of the bootstrap, and of the flips.
        seed: of both.

    Returns:
        One row per pair of blocks and statistic: ``source_mode``, ``target_mode``, ``statistic`` (``geometric_mean``: the ratio of the two;
        ``positive``, ``neutral``, ``negative``: the difference of the shares), ``value``, ``low``, ``high``, ``p``. Pairs that failed in
        either are left out of both.

    Raises:
        UsageError: the tables are not of the same tasks, or there are more of the ones than of the others.
    """
    rows = []
    low, high = checked_band(band)
    for mine, other in zip_longest(blocks, others):
        _check_same_tasks(mine, other)
        modes = {"source_mode": mine.source_mode, "target_mode": mine.target_mode}
        ratios = [without_diagonal(block) for block in (mine, other)]
        known = np.isfinite(ratios[0] * ratios[1])
        ratios = [np.where(known, ratio, np.nan) for ratio in ratios]
        with np.errstate(divide="ignore", invalid="ignore"):
            differences = {"geometric_mean": np.log(ratios[0]) - np.log(ratios[1])}
        for name, (start, end) in zip(CLASSES, ((-np.inf, low), (low, high), (high, np.inf)), strict=True):
            inside = [np.where(np.isnan(ratio), np.nan, (start <= ratio) & (ratio < end)) for ratio in ratios]
            differences[name] = inside[0] - inside[1]
        error, df, _ = standard_error(mine, draws, seed)
        for name, cells in differences.items():
            value = float(cells[known].mean()) if known.any() else np.nan
            half = float(stdtrit(df, (1 + level) / 2)) * error(cells) if df > 0 and known.any() else np.nan
            ends = np.array([value, value - half, value + half])
            told = np.exp(ends) if name == "geometric_mean" else ends
            rows.append(
                {
                    **modes,
                    "statistic": name,
                    **dict(zip(("value", "low", "high"), told.tolist(), strict=True)),
                    "p": flipped(cells, draws, seed),
                }
            )
    return pd.DataFrame(rows)


def _check_same_tasks(mine: Block | None, other: Block | None) -> None:
    """Make sure that two tables can be compared pair by pair.

    Raises:
        UsageError: they cannot.
    """
    if mine is None or other is None:
        raise UsageError("Tables were to be compared one by one, and there are not as many of the ones as of the others.")
    if (
        any(getattr(mine, name) != getattr(other, name) for name in ("source_mode", "target_mode"))
        or mine.loss_ratio.shape != other.loss_ratio.shape
    ):
        raise UsageError(
            f"{mine.source_mode} → {mine.target_mode} {mine.loss_ratio.shape} was to be compared with {other.source_mode} → "
            f"{other.target_mode} {other.loss_ratio.shape}; only tables of the same tasks can be compared pair by pair."
        )
    if mine.tasks is not None and other.tasks is not None and mine.tasks != other.tasks:
        raise UsageError(
            f"{mine.source_mode} → {mine.target_mode} was to be compared pair by pair with other tasks of these modes: {mine.tasks} and "
            f"{other.tasks}. Measure both with the same samplers and seeds."
        )


def flipped(cells: _Floats, draws: int = DRAWS, seed: int = 0) -> float:
    """Return the p-value of a mean over cells, ``[n_source, n_target]``, against none: how often flipped signs give one as large.

    NaN for a single cell, 1 where nothing differs.
    """
    ok = np.isfinite(cells)
    n_source, n_target = cells.shape
    if ok.sum() < 2:
        return np.nan
    values = np.where(ok, cells, 0.0)
    mean = values.sum() / ok.sum()
    left = np.where(ok, values - mean, 0.0)
    if not values.any():
        return 1.0
    rows = left.sum(axis=1) / np.maximum(ok.sum(axis=1), 1)
    columns = left.sum(axis=0) / np.maximum(ok.sum(axis=0), 1)
    rest = np.where(ok, left - rows[:, None] - columns, 0.0)
    observed = abs(_studentised(np.where(ok, cells, np.nan)))
    signs = [
        np.sign(Stream("flips", seed, role, n).uniform(-1.0, 1.0, (draws, n))) for role, n in (("source", n_source), ("target", n_target))
    ]
    if min(n_source, n_target) == 1:
        axis = 0 if n_target == 1 else 1
        found = [_studentised(np.where(ok, values * (s[:, None] if axis == 0 else s), np.nan)) for s in signs[axis]]
    else:
        found = [
            _studentised(np.where(ok, s[:, None] * rows[:, None] + t * columns + s[:, None] * t * rest, np.nan))
            for s, t in zip(*signs, strict=True)
        ]
    as_large = sum(abs(statistic) >= observed * (1 - 1e-12) for statistic in found)
    return (1 + as_large) / (1 + draws)


def _studentised(cells: _Floats) -> float:
    """Return a mean over its cluster-robust standard error."""
    error = two_way_error(cells)
    return float(np.nanmean(cells)) / error if error > 0 else np.inf
