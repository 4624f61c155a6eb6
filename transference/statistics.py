"""Summaries of a stored table. Nothing here loads a model or an image.

A share of positive or negative transfer depends strongly on the step size, so every summary is per step size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from transference.errors import UsageError

NEUTRAL_BAND = (1.0, 1.0 + 0.5 / 60)
"""Loss ratios in ``[low, high)`` count as neutral. This is the bar just above 1 of the paper's figure (60 bins over 0.8 to 1.3), which
matches the shares printed there; the paper defines no band."""

CLASSES = ("positive", "neutral", "negative")
"""Transfer that lowered the target's loss, left it alone, or raised it."""

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

GROUP = ("checkpoint_step", "alpha", "source_mode", "target_mode")


def classify(loss_ratio: ArrayLike, band: tuple[float, float] = NEUTRAL_BAND) -> NDArray[np.str_]:
    """Return ``positive`` below the band, ``neutral`` inside ``[low, high)``, ``negative`` above.

    Args:
        loss_ratio: any shape, without NaN.
        band: the neutral band.

    Raises:
        UsageError: the band is empty or does not hold 1.
    """
    low, high = band
    if not low <= 1.0 < high:
        raise UsageError(f"The neutral band [{low}, {high}) was asked for; it must hold 1, the ratio of no effect.")
    ratio = np.asarray(loss_ratio)
    return np.where(ratio < low, "positive", np.where(ratio < high, "neutral", "negative"))


def summarise(pairs: pd.DataFrame, *, band: tuple[float, float] = NEUTRAL_BAND, by: Sequence[str] = GROUP) -> pd.DataFrame:
    """Summarise the loss ratios of each group of pairs.

    Args:
        pairs: the table that ``Run.pairs()`` returns.
        band: the neutral band ``[low, high)``.
        by: the columns that make a group.

    Returns:
        One row per group: ``n`` cells measured and ``failed`` cells (left out of all that follows), ``geometric_mean`` (of the ratio;
        the exponential of the mean log ratio), quantiles ``q01 … q99``, the shares ``positive``, ``neutral``, ``negative`` (of the
        measured cells), and ``accuracy`` (mean accuracy of the targets before the step; NaN where the learner knows none).

    Raises:
        UsageError: the band is empty or does not hold 1.
    """
    rows = [
        {**dict(zip(by, key, strict=True)), **_summary(group, band)} for key, group in pairs.groupby(list(by), sort=True, observed=True)
    ]
    return pd.DataFrame(rows)


def _summary(group: pd.DataFrame, band: tuple[float, float]) -> dict[str, Any]:
    ratio = group.loc[group["status"] == "ok", "loss_ratio"].to_numpy(dtype=np.float64)
    n = len(ratio)
    counts = {name: int((classify(ratio, band) == name).sum()) for name in CLASSES}
    with np.errstate(divide="ignore"):  # a loss after of 0 has the ratio 0 and the logarithm -inf: the geometric mean is 0
        geometric = float(np.exp(np.log(ratio).mean())) if n else np.nan
    quantiles = np.quantile(ratio, QUANTILES) if n else np.full(len(QUANTILES), np.nan)
    return {
        "n": n,
        "failed": len(group) - n,
        "geometric_mean": geometric,
        **{f"q{round(q * 100):02d}": float(value) for q, value in zip(QUANTILES, quantiles, strict=True)},
        **{name: count / n if n else np.nan for name, count in counts.items()},
        "accuracy": float(group["accuracy_before"].astype(np.float64).mean()),
    }


CHECK = ("checkpoint_step", "alpha")

TRUSTED = {"spearman": 0.95, "sign_agreement": 0.9}
"""Estimates that agree less with exact pairs than this are not to be read pair by pair."""


def check_estimates(pairs: pd.DataFrame, exact: pd.DataFrame) -> pd.DataFrame:
    """Compare estimated loss ratios with those of some pairs that were measured exactly.

    Args:
        pairs: the table that ``Run.pairs()`` returns.
        exact: the table that ``Run.check()`` returns.

    Returns:
        One row per checkpoint and step size: ``n`` pairs with both ratios, ``spearman`` (rank correlation of the ratios),
        ``sign_agreement`` (share of pairs on the same side of 1), ``largest_error`` (of a ratio, absolute), ``trusted`` (whether
        correlation and agreement reach `TRUSTED`).
    """
    keys = [*CHECK, "source", "target"]
    both = exact[[*keys, "loss_ratio"]].merge(pairs[[*keys, "loss_ratio"]], on=keys, suffixes=("_exact", "_estimated")).dropna()
    rows = [{**dict(zip(CHECK, key, strict=True)), **_agreement(group)} for key, group in both.groupby(list(CHECK))]
    return pd.DataFrame(rows, columns=[*CHECK, "n", "spearman", "sign_agreement", "largest_error", "trusted"])


def _agreement(pairs: pd.DataFrame) -> dict[str, Any]:
    exact, estimated = pairs["loss_ratio_exact"], pairs["loss_ratio_estimated"]
    with np.errstate(invalid="ignore"):  # of ratios that are all the same
        spearman = float(np.corrcoef(exact.rank(), estimated.rank())[0, 1])
    agreement = float((np.sign(exact - 1) == np.sign(estimated - 1)).mean())
    return {
        "n": len(pairs),
        "spearman": spearman,
        "sign_agreement": agreement,
        "largest_error": float((exact - estimated).abs().max()),
        "trusted": spearman >= TRUSTED["spearman"] and agreement >= TRUSTED["sign_agreement"],
    }
