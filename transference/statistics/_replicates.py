"""What replicates say: of which single pairs it can be told that the source helps or hurts the target.

A loss ratio belongs to the images that were drawn. Whether two *tasks* help or hurt each other is a question of the mean over such draws,
and one draw does not answer it: of many pairs, some look bad by luck.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from transference.errors import UsageError
from transference.statistics._summary import GROUP, NEUTRAL_BAND, Block, checked_band
from transference.statistics._variance import APART, log_ratios, variance_shares

_Floats: TypeAlias = NDArray[np.float64]

RATE = 0.05
"""The share of false discoveries that is allowed, among the pairs called negative and among those called positive."""


def single_pairs(
    blocks: Iterable[Block], *, band: tuple[float, float] = NEUTRAL_BAND, rate: float = RATE, level: float = 0.95, method: str = "bh"
) -> pd.DataFrame:
    """Tell of which pairs of tasks the mean log ratio, over draws of their episodes, lies outside the neutral band.

    Per pair a one-sided t test to either side, over the replicates, whose episodes are drawn independently; among the pairs of a block the
    rate of false discoveries is controlled, on either side by itself (Benjamini & Hochberg, J. Royal Statistical Society B 57, 1995).
    A few replicates are too few to decide much: with n of them the test has n - 1 degrees of freedom.

    Args:
        blocks: what ``Run.blocks()`` returns, of a run with replicates.
        band: the neutral band ``[low, high)``, the margin: a pair is negative only beyond ``high``, and positive only below ``low``.
        rate: of false discoveries among the pairs called negative, and among those called positive, on average.
        level: of the interval of each pair by itself.
        method: ``"bh"``, or ``"by"`` (Benjamini & Yekutieli, Annals of Statistics 29, 2001), which finds less and holds however pairs
            depend on each other.

    Returns:
        One row per pair with at least two ratios: the columns of `GROUP`; ``source_index`` and ``target_index``, the tasks' numbers within
        their modes; ``n`` replicates with a ratio; ``geometric_mean``, ``low`` and ``high``; ``p_negative``, ``p_positive``; the same
        adjusted for the number of pairs, ``q_negative`` and ``q_positive``; and ``transfer``: ``negative``, ``positive``, or ``undecided``.

    Raises:
        UsageError: the run has no replicates, the band is empty or does not hold 1, or the rate is no share.
    """
    from scipy.stats import false_discovery_control  # scipy.stats takes longer to import than all else here

    low, high = np.log(checked_band(band))
    if not 0 < rate < 1:
        raise UsageError(f"A rate of false discoveries of {rate} was asked for; give a share between 0 and 1.")
    parts = []
    for block in blocks:
        if not block.redrawn:
            raise UsageError(
                "Single pairs were asked for, of a run with one episode per task, which says nothing of a single pair. "
                "Measure with --replicates 5 or more (replicates=5)."
            )
        times, means, errors = _means(block)
        sources, targets = np.nonzero(times > 1)
        n, mean, error = times[sources, targets], means[sources, targets], errors[sources, targets]
        p = {"negative": _p(mean - high, error, n - 1), "positive": _p(low - mean, error, n - 1)}
        q = {name: false_discovery_control(values, method=method) if len(values) else values for name, values in p.items()}
        half = stdtrit(n - 1, (1 + level) / 2) * error
        found = {name: getattr(block, name) for name in GROUP} | {
            "source_index": sources,
            "target_index": targets,
            "n": n,
            **{name: np.exp(values) for name, values in (("geometric_mean", mean), ("low", mean - half), ("high", mean + half))},
            **{f"p_{name}": values for name, values in p.items()},
            **{f"q_{name}": values for name, values in q.items()},
            "transfer": np.where(q["negative"] <= rate, "negative", np.where(q["positive"] <= rate, "positive", "undecided")),
        }
        parts.append(pd.DataFrame(found))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def summarise_replicates(blocks: Iterable[Block], *, band: tuple[float, float] = NEUTRAL_BAND, rate: float = RATE) -> pd.DataFrame:
    """Count the pairs that `single_pairs` tells apart, beside the parts of the variance that `variance_shares` does.

    Args:
        blocks: what ``Run.blocks()`` returns, of a run with replicates.
        band: the neutral band ``[low, high)``.
        rate: of false discoveries.

    Returns:
        One row per block: the columns of `GROUP`, ``n_replicates``, the numbers of pairs ``single_positive``, ``single_negative`` and
        ``single_undecided``, ``variance`` and the shares of it ``source_task``, ``target_task``, ``interaction`` and ``episode``.

    Raises:
        UsageError: as `single_pairs` does.
    """
    rows = []
    for block in blocks:
        kinds = single_pairs([block], band=band, rate=rate)["transfer"]
        counts = {f"single_{kind}": int((kinds == kind).sum()) for kind in ("positive", "negative", "undecided")}
        parts = variance_shares([block]).iloc[0]
        rows.append({**parts[[*GROUP, "n_replicates"]], **counts, **parts[["variance", *APART]]})
    return pd.DataFrame(rows)


def _means(block: Block) -> tuple[NDArray[np.int64], _Floats, _Floats]:
    """Return, of each pair, how many replicates have a log ratio, their mean, and its standard error."""
    logs = log_ratios(block)
    known = np.isfinite(logs)
    if block.same_tasks:
        known &= ~np.eye(len(block.loss_ratio), dtype=bool)
    n = known.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(known, logs, 0.0).sum(axis=0) / n
        error = np.sqrt((np.where(known, logs - mean, 0.0) ** 2).sum(axis=0) / (n - 1) / n)
    return n, mean, error


def _p(beyond: _Floats, error: _Floats, df: NDArray[np.int64]) -> _Floats:
    """Return the p-values of means that lie so far beyond a limit; without any spread, 0 beyond it and 1 else."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = beyond / error
    return np.where(error > 0, stdtr(df, -t), np.where(beyond > 0, 0.0, 1.0))
