"""Means, quantiles and shares of the loss ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from transference.blocks import Block, Strips
from transference.errors import UsageError
from transference.statistics._band import NEUTRAL_BAND
from transference.statistics._order import Ordered

CLASSES = ("positive", "neutral", "negative")
"""Transfer that lowered the target's loss, left it alone, or raised it."""

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""The quantiles of the loss ratios that every summary has."""

_PART = 100_000
"""Ratios whose logarithms are in memory together."""

GROUP = ("checkpoint_step", "alpha", "source_mode", "target_mode")
"""The columns that name a mode pair at one checkpoint and step size."""


def classify(loss_ratio: ArrayLike, band: tuple[float, float] = NEUTRAL_BAND) -> NDArray[np.str_]:
    """Return ``positive`` below the band, ``neutral`` inside ``[low, high)``, ``negative`` above.

    Args:
        loss_ratio: any shape, without NaN.
        band: the neutral band.

    Raises:
        UsageError: the band is empty or does not hold 1.
    """
    low, high = checked_band(band)
    ratio = np.asarray(loss_ratio)
    return np.where(ratio < low, "positive", np.where(ratio < high, "neutral", "negative"))


def measured(pairs: pd.DataFrame) -> NDArray[np.float64]:
    """Return the loss ratios of the pairs that have one, of a table as ``Run.pairs()`` returns it.

    A ratio of 0, which tables that version 0.1 exported may hold, is none: a loss fell to 0, and its logarithm is not defined.
    """
    there = (pairs["status"] == "ok") & (pairs["loss_ratio"] > 0)
    return pairs.loc[there, "loss_ratio"].to_numpy(dtype=np.float64, copy=True)


def summarise(
    pairs: pd.DataFrame, *, band: tuple[float, float] = NEUTRAL_BAND, by: Sequence[str] = GROUP
) -> pd.DataFrame:
    """Summarise the loss ratios of each group of pairs.

    Args:
        pairs: the table that ``Run.pairs()`` returns.
        band: the neutral band ``[low, high)``.
        by: the columns that make a group.

    Returns:
        One row per group: ``n`` cells measured and ``failed`` cells, which have no ratio, as where a loss is 0 before or after the step
        (counted, and left out of all that follows), ``geometric_mean`` (of the ratio;
        the exponential of the mean log ratio), quantiles ``q01 … q99``, the shares ``positive``, ``neutral``, ``negative`` (of the
        measured cells), and ``accuracy`` (mean accuracy of the targets before the step; NaN where the learner knows none).

    Raises:
        UsageError: the band is empty or does not hold 1.
    """
    rows = []
    for key, group in pairs.groupby(list(by), sort=True, observed=True):
        accuracy = group["accuracy_before"].to_numpy(dtype=np.float64)
        summary = _summary(partial(_measured_of, group), len(group), accuracy, band)
        rows.append({**dict(zip(by, key, strict=True)), **summary})
    return pd.DataFrame(rows)


def summarise_blocks(blocks: Iterable[Block | Strips], *, band: tuple[float, float] = NEUTRAL_BAND) -> pd.DataFrame:
    """Summarise the loss ratios of each mode pair, as `summarise` does, much quicker for large tables.

    Args:
        blocks: what ``Run.blocks()`` or ``Run.tables()`` returns. Of strips memory holds some at a time, and quantiles are exact however
            many pairs there are.
        band: the neutral band ``[low, high)``.

    Returns:
        What `summarise` returns.

    Raises:
        UsageError: the band is empty or does not hold 1.
    """
    rows = []
    for block in blocks:
        key = {name: getattr(block, name) for name in GROUP}
        n_pairs, accuracy = block.shape[0] * block.shape[1], block.accuracy_before.astype(np.float64)
        rows.append({**key, **_summary(partial(_ratios, block), n_pairs, accuracy, band)})
    return pd.DataFrame(rows)


def _measured_of(group: pd.DataFrame) -> Iterator[NDArray[np.float64]]:
    yield measured(group)


def _ratios(block: Block | Strips) -> Iterator[NDArray[np.float64]]:
    """Yield the ratios that there are."""
    for _, _, (ratio,) in block.strips("loss_ratio"):
        yield ratio[np.isfinite(ratio) & (ratio > 0)]


def _summary(
    read: Callable[[], Iterable[NDArray[np.float64]]],
    n_pairs: int,
    accuracy: NDArray[np.float64],
    band: tuple[float, float],
) -> dict[str, Any]:
    """Summarise the ratios of one group, which are read and put into another order: a large table is not copied more than once."""
    low, high = checked_band(band)
    total, counts = 0.0, dict.fromkeys(CLASSES, 0)

    def seen(ratio: NDArray[np.float64]) -> None:
        nonlocal total
        below, above = int((ratio < low).sum()), int((ratio >= high).sum())
        for name, count in zip(CLASSES, (below, len(ratio) - below - above, above), strict=True):
            counts[name] += count
        parts = (ratio[start : start + _PART] for start in range(0, len(ratio), _PART))
        total += sum(float(np.log(part).sum()) for part in parts)

    ratios = Ordered(read, seen)
    n = ratios.n
    quantiles = ratios.quantiles(QUANTILES) if n else np.full(len(QUANTILES), np.nan)
    return {
        "n": n,
        "failed": n_pairs - n,
        "geometric_mean": float(np.exp(total / n)) if n else np.nan,
        **{f"q{round(q * 100):02d}": float(value) for q, value in zip(QUANTILES, quantiles, strict=True)},
        **{name: counts[name] / n if n else np.nan for name in CLASSES},
        "accuracy": float(accuracy[~np.isnan(accuracy)].mean()) if (~np.isnan(accuracy)).any() else np.nan,
    }


def checked_band(band: tuple[float, float]) -> tuple[float, float]:
    """Return the band.

    Raises:
        UsageError: it is empty or does not hold 1.
    """
    low, high = band
    if not low <= 1.0 < high:
        raise UsageError(f"The neutral band [{low}, {high}) was asked for; it must hold 1, the ratio of no effect.")
    return low, high
