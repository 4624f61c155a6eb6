"""An interval and a p-value for a mean whose estimate is skewed, from one statistic.

With few tasks on a side, and effects that are skewed, a mean over its standard error is far from Student's t: p ≤ 0.05
then comes twice as often as it should. Hall's monotone transformation (On the removal of skewness by transformation, J.
Royal Statistical Society B 54, 1992) takes the skewness out:

    g(t) = t + γ t² / 3 + γ² t³ / 27 + γ / 6          t = (mean − truth) / error, γ the skewness of the mean

The interval holds every truth for which g(t) lies between Student's quantiles, and the p-value is that of g at a truth
of zero: one says that there is a difference exactly where the other does.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

_Floats: TypeAlias = NDArray[np.float64]


class Found(NamedTuple):
    """A mean, its interval, and the p-value of a truth of zero."""

    value: float
    low: float
    high: float
    p: float


def studentised(mean: float, error: float, third: float, df: int, level: float) -> Found:
    """Return the interval of a mean, and the p-value of a truth of zero.

    Args:
        mean: the estimate.
        error: its standard error, above 0.
        third: its third cumulant.
        df: degrees of freedom.
        level: of the interval.
    """
    # As Σ a³ ≤ (Σ a²)^1.5, only the correction for few tasks leads beyond 1.
    skewness = float(np.clip(third / error**3, -1.0, 1.0))
    quantile = float(stdtrit(df, (1 + level) / 2))
    low, high = (mean - error * _inverse(end, skewness) for end in (quantile, -quantile))
    return Found(mean, low, high, 2 * float(stdtr(df, -abs(_transformed(mean / error, skewness)))))


def _transformed(t: float, skewness: float) -> float:
    """Return Hall's transformation g(t)."""
    return t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6


def _inverse(x: float, skewness: float) -> float:
    """Return the t that is transformed to x: (1 + γ t / 3)³ = 1 + γ (x − γ / 6)."""
    centred = x - skewness / 6
    cube = 1 + skewness * centred
    if cube <= 0:
        return 3 * (float(np.cbrt(cube)) - 1) / skewness
    # The same, without losing the digits of a small skewness.
    return 3 * float(np.expm1(np.log1p(skewness * centred) / 3)) / skewness if skewness else centred


def third_cumulant(cells: _Floats, *, same_tasks: bool = False) -> float:
    """Return the third cumulant of a mean over cells, ``[n_source, n_target]``, NaN where one failed.

    As the cluster-robust variance: what rows share and columns share, less what was counted twice. Each side's sum is
    made unbiased for independent tasks by n² / ((n − 1)(n − 2)); with two tasks on it a side tells nothing of its
    skewness, and counts as symmetric.

    Args:
        cells: a number for each pair.
        same_tasks: whether rows and columns are the same tasks; a task's pairs then are those on either side.
    """
    ok = np.isfinite(cells)
    left = np.where(ok, cells - np.mean(cells, where=ok), 0.0)
    rows, columns = left.sum(axis=1), left.sum(axis=0)
    sides = [rows + columns] if same_tasks else [side for side in (rows, columns) if len(side) > 1]
    cubes = sum(float(np.sum(side**3)) * _unbiased(len(side)) for side in sides)
    twice = float(np.sum(left**3)) if same_tasks or len(sides) == 2 else 0.0
    return (cubes - twice) / int(ok.sum()) ** 3


def _unbiased(n: int) -> float:
    """Return what makes a sum of n cubes unbiased; 0 for fewer than three."""
    return n**2 / ((n - 1) * (n - 2)) if n > 2 else 0.0
