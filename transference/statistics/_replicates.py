"""What replicates say: of which single pairs it can be told that transfer is positive or negative.

A loss ratio belongs to the images that were drawn. Whether transfer between two *tasks* is positive or negative is a question of the mean
over such draws, and one draw does not answer it: of many pairs, some look negative by resampling noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from transference.blocks import Block
from transference.errors import UsageError
from transference.statistics._band import NEUTRAL_BAND
from transference.statistics._crossed import cluster_error
from transference.statistics._skewed_noise import MOST_SKEWED, pair_skewness, residuals, upper_tail
from transference.statistics._summary import GROUP, checked_band
from transference.statistics._variance import APART, log_ratios, variance_shares

_Floats: TypeAlias = NDArray[np.float64]

_SIDES = ("negative", "positive")

RATE = 0.05
"""The share of false discoveries that is allowed, among the pairs called negative and among those called positive."""


def single_pairs(
    blocks: Iterable[Block],
    *,
    band: tuple[float, float] = NEUTRAL_BAND,
    rate: float = RATE,
    level: float = 0.95,
    method: str = "bh",
) -> pd.DataFrame:
    """Tell of which pairs of tasks the mean log ratio, over draws of their episodes, lies outside the neutral band.

    Per pair a one-sided t test to either side, over the replicates, whose episodes are drawn independently; among the pairs of a block the
    rate of false discoveries is controlled, on either side by itself (Benjamini & Hochberg, J. Royal Statistical Society B 57, 1995).
    A few replicates are too few to decide much: with n of them the test has n - 1 degrees of freedom. Resampling
    noise that is skewed to the left makes pairs read negative, and to the right positive: how far it is skewed is
    estimated from all pairs of a block, and p-values are those of t statistics simulated with such noise, where
    Student's are smaller. Where noise may be more skewed than an exponential, or a block cannot tell, pairs that
    Student's t alone would call are not decided, nor is that side of the block.

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
        adjusted for the number of pairs, ``q_negative`` and ``q_positive``; ``transfer``: ``negative``, ``positive``, or ``undecided``; and
        ``note``: why a side was not decided (its p and q are NaN), else empty. ``low`` and ``high`` are Student's, for noise that is not
        skewed.

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
        logs = _known(block)
        times, means, errors = _means(logs)
        sources, targets = np.nonzero(times > 1)
        n, mean, error = times[sources, targets], means[sources, targets], errors[sources, targets]
        adjusted: Callable[[_Floats], _Floats] = lambda p: false_discovery_control(p, method=method) if len(p) else p
        beyond = {"negative": mean - high, "positive": low - mean}
        harms, why = _skewness(logs, block.same_tasks) if error.any() else (dict.fromkeys(_SIDES, 0.0), "")
        p, q, refused = {}, {}, []
        for name, distance in beyond.items():
            p[name] = _p(distance, error, n, min(harms[name], MOST_SKEWED))
            q[name] = adjusted(p[name])
            # Where even Student's t calls nothing there is nothing to refuse.
            if harms[name] > MOST_SKEWED and (adjusted(_p(distance, error, n, 0.0)) <= rate).any():
                p[name], q[name] = np.full(len(n), np.nan), np.full(len(n), np.nan)
                refused.append(name)
        note = f"no pair is called {' or '.join(refused)}: {why}" if refused else ""
        half = stdtrit(n - 1, (1 + level) / 2) * error
        found = {name: getattr(block, name) for name in GROUP} | {
            "source_index": sources,
            "target_index": targets,
            "n": n,
            **{
                name: np.exp(values)
                for name, values in (("geometric_mean", mean), ("low", mean - half), ("high", mean + half))
            },
            **{f"p_{name}": values for name, values in p.items()},
            **{f"q_{name}": values for name, values in q.items()},
            "transfer": np.where(
                q["negative"] <= rate, "negative", np.where(q["positive"] <= rate, "positive", "undecided")
            ),
            "note": note,
        }
        parts.append(pd.DataFrame(found))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def summarise_replicates(
    blocks: Iterable[Block], *, band: tuple[float, float] = NEUTRAL_BAND, rate: float = RATE
) -> pd.DataFrame:
    """Count the pairs that `single_pairs` tells apart, beside the parts of the variance that `variance_shares` does.

    Args:
        blocks: what ``Run.blocks()`` returns, of a run with replicates.
        band: the neutral band ``[low, high)``.
        rate: of false discoveries.

    Returns:
        One row per block: the columns of `GROUP`, ``n_replicates``, the numbers of pairs ``single_positive``, ``single_negative`` and
        ``single_undecided``, ``variance`` and the shares of it ``source_task``, ``target_task``, ``interaction`` and ``episode``; and
        ``note``, why a number is missing, else empty.

    Raises:
        UsageError: as `single_pairs` does.
    """
    rows = []
    for block in blocks:
        pairs = single_pairs([block], band=band, rate=rate)
        counts: dict[str, object] = {
            f"single_{kind}": int((pairs["transfer"] == kind).sum()) for kind in ("positive", "negative", "undecided")
        }
        for kind in ("positive", "negative"):
            if len(pairs) and pairs[f"q_{kind}"].isna().all():
                counts[f"single_{kind}"] = pd.NA  # not decided, which is not none
        parts = variance_shares([block]).iloc[0]
        note = pairs["note"].iloc[0] if len(pairs) else ""
        rows.append({**parts[[*GROUP, "n_replicates"]], **counts, **parts[["variance", *APART]], "note": note})
    found = pd.DataFrame(rows)
    return found.astype({name: "Int64" for name in found if str(name).startswith("single_")})


def _skewness(logs: _Floats, same_tasks: bool) -> tuple[dict[str, float], str]:
    """Return how far noise may be skewed to the harm of either side, infinite where it may be too far, and what is known of it."""
    skewness = pair_skewness(logs)
    error = cluster_error(same_tasks)(skewness) if np.isfinite(skewness).sum() > 1 else np.nan
    if not np.isfinite(error):
        why = f"{len(logs)} replicates of {logs[0].size} pairs do not tell how skewed their resampling noise is"
        return dict.fromkeys(_SIDES, np.inf), why
    mean = float(np.nanmean(skewness))
    harms = {"negative": -mean, "positive": mean}
    # What is found, and up to a standard error more where it is clear of that error.
    moved = {name: max(0.0, harm + max(0.0, min(error, harm - error))) for name, harm in harms.items()}
    why = f"the resampling noise has a skewness of {mean:.1f} ± {error:.1f}, and may have more than an exponential's {MOST_SKEWED:.0f}"
    return {name: np.inf if harm + 2 * error > MOST_SKEWED else moved[name] for name, harm in harms.items()}, why


def _known(block: Block) -> _Floats:
    """Return the log ratios of every replicate; NaN where there is none, and for a task on itself."""
    logs = log_ratios(block)
    known = np.isfinite(logs)
    if block.same_tasks:
        known &= ~np.eye(len(block.loss_ratio), dtype=bool)
    return np.where(known, logs, np.nan)


def _means(logs: _Floats) -> tuple[NDArray[np.int64], _Floats, _Floats]:
    """Return, of each pair, how many replicates have a log ratio, their mean, and its standard error."""
    n = np.isfinite(logs).sum(axis=0)
    left, spread = residuals(logs)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(np.isfinite(logs), logs, 0.0).sum(axis=0) / n
        error = np.where(spread, np.sqrt((left**2).sum(axis=0) / (n - 1) / n), 0.0)
    return n, mean, error


def _p(beyond: _Floats, error: _Floats, n: NDArray[np.int64], skewed: float) -> _Floats:
    """Return the p-values of means that lie so far beyond a limit; without any spread, 0 beyond it and 1 else."""
    p = np.where(beyond > 0, 0.0, 1.0)
    for count in np.unique(n[error > 0]):
        of = (n == count) & (error > 0)
        p[of] = upper_tail(beyond[of] / error[of], int(count), skewed)
    return p
