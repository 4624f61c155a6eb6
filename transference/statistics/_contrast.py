"""Two tables of the same tasks beside each other: learners, checkpoints, or step sizes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transference.blocks import Block
from transference.errors import UsageError
from transference.statistics._band import NEUTRAL_BAND
from transference.statistics._crossed import DRAWS, standard_error, without_diagonal
from transference.statistics._studentised import Found, studentised, third_cumulant
from transference.statistics._summary import CLASSES, checked_band

_Floats: TypeAlias = NDArray[np.float64]

ENOUGH = 5
"""Tasks on the smaller side from which on a contrast holds for skewed differences too (`docs/statistics.md` has the table)."""


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

    Interval and p-value come from one statistic, the mean difference over the standard error that `intervals` takes, corrected for the
    skewness of the differences (Hall, J. Royal Statistical Society B 54, 1992): p is at most
    1 - ``level`` exactly where the interval excludes no difference.

    Args:
        blocks: what ``Run.blocks()`` returns.
        others: of the other learner, or checkpoint, in the same order.
        band: the neutral band ``[low, high)``.
        level: of the intervals.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        One row per pair of blocks and statistic: ``source_mode``, ``target_mode``, ``statistic`` (``geometric_mean``: the ratio of the two;
        ``positive``, ``neutral``, ``negative``: the difference of the shares), ``value``, ``low``, ``high``, ``p``, and ``note``: why there
        is no interval, or what it is short of. Pairs that failed in either are left out of both. Where the log ratios of all tasks differ
        alike there is no interval, and no p-value unless they do not differ at all (p = 1).

    Raises:
        UsageError: the tables are not of the same tasks, or have different numbers of blocks.
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
        for name, cells in differences.items():
            found, note = _difference(mine, cells, name != "geometric_mean", level, draws, seed)
            ends = np.array(found[:3])
            value, start, end = (np.exp(ends) if name == "geometric_mean" else np.clip(ends, -1.0, 1.0)).tolist()
            rows.append(
                {**modes, "statistic": name, "value": value, "low": start, "high": end, "p": found.p, "note": note}
            )
    return pd.DataFrame(rows)


def _difference(block: Block, cells: _Floats, share: bool, level: float, draws: int, seed: int) -> tuple[Found, str]:
    """Return the mean of paired differences, ``[n_source, n_target]``, with interval and p-value, and a note on them."""
    ok = np.isfinite(cells)
    nothing = Found(float(cells[ok].mean()) if ok.any() else np.nan, np.nan, np.nan, np.nan)
    if not ok.any():
        return nothing, "no pair has a ratio in both"
    measure, df, _ = standard_error(block, draws, seed)
    if df < 1:
        return nothing, "one source and one target: no task can be drawn again"
    mean, error, rounding = nothing.value, measure(cells), 1e-12 * float(np.abs(cells[ok]).max())
    if share:
        mean, error = _adjusted(cells[ok], error if error > rounding else 0.0, df)
    elif not error > rounding:
        p = 1.0 if abs(mean) <= rounding else np.nan
        return nothing._replace(p=p), "all tasks differ alike, which tells nothing of other tasks"
    found = studentised(mean, error, third_cumulant(cells, same_tasks=block.same_tasks), df, level)
    note = f"{df + 1} tasks on the smaller side are few where differences are skewed" if df + 1 < ENOUGH else ""
    return found._replace(value=nothing.value), note


def _adjusted(cells: _Floats, error: float, df: int) -> tuple[float, float]:
    """Return the difference of two shares with its error, as if one more pair had gone over either way.

    Few pairs go over from one class to another, and none does in many a small table, where an error would be found too small (Bonett &
    Price, J. Educational & Behavioral Statistics 37, 2012). Pairs count as so many independent ones as have the standard error found.

    Args:
        cells: 1 where only the one is in the class, -1 where only the other is, else 0.
        error: the standard error of their mean; 0 where all tasks differ alike.
        df: degrees of freedom.
    """
    over, back = float((cells > 0).mean()), float((cells < 0).mean())
    n = min((over + back - (over - back) ** 2) / error**2, len(cells)) if error else df + 1.0
    over, back = ((n * share + 1) / (n + 2) for share in (over, back))
    return over - back, float(np.sqrt((over + back - (over - back) ** 2) / (n + 2)))


def _check_same_tasks(mine: Block | None, other: Block | None) -> None:
    """Make sure that two tables can be compared pair by pair.

    Raises:
        UsageError: they cannot.
    """
    if mine is None or other is None:
        raise UsageError(
            "The tables were to be compared block by block, and the runs have different numbers of blocks. Compare the same mode pairs."
        )
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
