"""Estimates beside exact ratios, pair by pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

CHECK = ("checkpoint_step", "alpha")

TRUSTED = {"spearman": 0.95, "sign_agreement": 0.9}
"""Estimates that agree less with exact pairs than this are not to be read pair by pair."""


def check_estimates(exact: pd.DataFrame) -> pd.DataFrame:
    """Compare estimated loss ratios with those of the pairs that were measured exactly too.

    Args:
        exact: the table that ``Run.exact_pairs()`` returns.

    Returns:
        One row per checkpoint and step size: ``n`` pairs with both ratios, ``spearman`` (rank correlation of the ratios),
        ``sign_agreement`` (share of pairs on the same side of 1), ``largest_error`` (of a ratio, absolute), ``trusted`` (whether
        correlation and agreement reach `TRUSTED`).
    """
    both = exact[[*CHECK, "loss_ratio", "estimate"]].dropna()
    rows = [{**dict(zip(CHECK, key, strict=True)), **_agreement(group)} for key, group in both.groupby(list(CHECK))]
    return pd.DataFrame(rows, columns=[*CHECK, "n", "spearman", "sign_agreement", "largest_error", "trusted"])


def _agreement(pairs: pd.DataFrame) -> dict[str, Any]:
    """Compare the estimates of one checkpoint and step size with its exact ratios."""
    exact, estimated = pairs["loss_ratio"], pairs["estimate"]
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
