"""What the controls of a run say: how exact its numbers are, and what a ratio may be without any transfer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from transference.statistics._summary import GROUP

_NAMES = ["measured", "zero", "float64", "resampled", "random_direction"]
_BANDS = [
    "zero_exact",
    "float64",
    "resampled_low",
    "resampled_high",
    "random_direction_mean",
    "random_direction_low",
    "random_direction_high",
]
_PARTS = {"log_ratio": "", "tempered": "tempered_", "confidence": "confidence_"}
"""What each part of a log ratio is called in front of the columns of `control_bands`."""


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
        directions. NaN where a control was not measured. Where the controls have tempered losses, the same of the tempered
        ratio, as ``tempered_zero_exact``, ``tempered_float64`` and so on, and of loss ratio over tempered ratio, whose
        logarithm is confidence, as ``confidence_…``.
    """
    with_tempered = "tempered_ratio" in controls
    rows = []
    for key, group in controls.groupby(list(GROUP), observed=True):
        logs = {"log_ratio": _logs(group["loss_ratio"])}
        if with_tempered:
            tempered = _logs(group["tempered_ratio"])
            logs |= {"tempered": tempered, "confidence": logs["log_ratio"] - tempered}
        found: dict[str, Any] = {"n": len(group.drop_duplicates(["source", "target"]))}
        for part, values in logs.items():
            found |= {f"{_PARTS[part]}{name}": value for name, value in _bands(group.assign(log=values), level).items()}
        rows.append({**dict(zip(GROUP, key, strict=True)), **found})
    parts = [front for part, front in _PARTS.items() if with_tempered or part == "log_ratio"]
    return pd.DataFrame(rows, columns=[*GROUP, "n", *(f"{front}{name}" for front in parts for name in _BANDS)])


def random_parts(bands: pd.DataFrame) -> pd.DataFrame:
    """Return what a random direction does to each part of the log ratio, beside what `split_confidence` says of the sources.

    Args:
        bands: what `control_bands` returns.

    Returns:
        One row per row of ``bands``: the columns of `GROUP`, and ``log_ratio``, ``tempered`` and ``confidence``, means of
        the logarithms over random directions, each with the ends ``_low`` and ``_high`` of the band for one pair. No rows
        where controls have no tempered losses.
    """
    known = bands if "tempered_random_direction_mean" in bands else bands[:0]
    names = {
        f"{front}random_direction_{name}": f"{part}{end}"
        for part, front in _PARTS.items()
        for end, name in (("", "mean"), ("_low", "low"), ("_high", "high"))
    }
    found = known.reindex(columns=[*GROUP, *names]).rename(columns=names)
    return found.assign(**{part: np.log(found[part].astype(np.float64)) for part in names.values()})


def _logs(ratios: pd.Series) -> pd.Series:
    """Return the logarithm of ratios, NaN where there is none."""
    logs: pd.Series = np.log(ratios.where(ratios > 0))
    return logs


def _bands(group: pd.DataFrame, level: float) -> dict[str, Any]:
    """Return what the controls of a mode pair say of the logarithms in the column ``log``."""
    table = group.pivot(index=["source", "target"], columns="control", values="log").reindex(columns=_NAMES)
    measured, resampled, random = (
        table[name].to_numpy(np.float64) for name in ("measured", "resampled", "random_direction")
    )
    # log ratio = that of the pair + noise of the draw, and two independent draws differ by noise of twice the variance: one draw
    # moves a ratio by the difference over √2. Which draw came first says nothing, so both signs count, and the mean is 0.
    moved = resampled - measured
    spread = _band(np.concatenate([moved, -moved]) / np.sqrt(2), len(moved), level)
    (mean, low, high), zero = _band(random, len(random), level), table["zero"].to_numpy(np.float64)
    errors = np.abs(table["float64"].to_numpy(np.float64) - measured)
    return {
        "zero_exact": bool((zero[np.isfinite(zero)] == 0).all()),
        "float64": float(np.nanmax(errors)) if np.isfinite(errors).any() else np.nan,
        "resampled_low": float(np.exp(spread[1])),
        "resampled_high": float(np.exp(spread[2])),
        "random_direction_mean": float(np.exp(mean)),
        "random_direction_low": float(np.exp(low)),
        "random_direction_high": float(np.exp(high)),
    }


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
