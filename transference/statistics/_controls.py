"""What the controls of a run say: how exact its numbers are, and what a ratio may be without any transfer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from transference.statistics._summary import GROUP

_NAMES = ["measured", "zero", "float64", "resampled", "random_direction"]
_COLUMNS = [
    "n",
    "zero_exact",
    "float64",
    "resampled_low",
    "resampled_high",
    "random_direction_mean",
    "random_direction_low",
    "random_direction_high",
]


def control_bands(controls: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Summarise the controls of each mode pair.

    Both bands hold the given share of a normal distribution with the mean and the spread that were found, widened for how few were
    (Student's t prediction interval), on the scale of ``log(loss_ratio)``.

    Args:
        controls: the table that ``Run.controls()`` returns.
        level: of the bands.

    Returns:
        One row per checkpoint, step size, source mode and target mode: ``n`` pairs; ``zero_exact``, whether steps of size zero gave exactly
        1; ``float64``, the largest difference of a log ratio in double precision; ``resampled_low`` and ``resampled_high``, the
        ratios around 1 between which resampling noise moves a ratio (both episodes drawn from other images of the same classes);
        ``random_direction_mean`` (geometric), ``random_direction_low`` and ``random_direction_high``, the ratios of random
        directions. NaN where a control was not measured.
    """
    keys = ["source", "target"]
    rows = []
    for key, group in controls.groupby(list(GROUP), observed=True):
        with np.errstate(divide="ignore"):
            logs = np.log(group["loss_ratio"].where(group["loss_ratio"] > 0))
        table = group.assign(log=logs).pivot(index=keys, columns="control", values="log").reindex(columns=_NAMES)
        measured, resampled, random = (
            table[name].to_numpy(np.float64) for name in ("measured", "resampled", "random_direction")
        )
        # log ratio = that of the pair + noise of the draw, and two independent draws differ by noise of twice the variance: one draw
        # moves a ratio by the difference over √2. Which draw came first says nothing, so both signs count, and the mean is 0.
        moved = resampled - measured
        spread = _band(np.concatenate([moved, -moved]) / np.sqrt(2), len(moved), level)
        (mean, low, high), zero = _band(random, len(random), level), table["zero"].to_numpy(np.float64)
        errors = np.abs(table["float64"].to_numpy(np.float64) - measured)
        found: dict[str, Any] = {
            "n": len(table),
            "zero_exact": bool((zero[np.isfinite(zero)] == 0).all()),
            "float64": float(np.nanmax(errors)) if np.isfinite(errors).any() else np.nan,
            "resampled_low": float(np.exp(spread[1])),
            "resampled_high": float(np.exp(spread[2])),
            "random_direction_mean": float(np.exp(mean)),
            "random_direction_low": float(np.exp(low)),
            "random_direction_high": float(np.exp(high)),
        }
        rows.append({**dict(zip(GROUP, key, strict=True)), **found})
    return pd.DataFrame(rows, columns=[*GROUP, *_COLUMNS])


def _band(logs: NDArray[np.float64], n: int, level: float) -> tuple[float, float, float]:
    """Return mean and ends of a prediction interval; NaN for fewer than two values.

    Args:
        logs: the values; those that are not finite are left out.
        n: how many of them are independent, at most.
        level: of the interval.
    """
    logs = logs[np.isfinite(logs)]
    n = min(n, len(logs))
    if n < 2:
        return np.nan, np.nan, np.nan
    # A further value differs from the mean of n by its own spread s and the mean's s/√n: half = t · s · √(1 + 1/n).
    mean, half = float(logs.mean()), float(stdtrit(n - 1, (1 + level) / 2) * logs.std(ddof=1) * np.sqrt(1 + 1 / n))
    return mean, mean - half, mean + half
