"""What seeds say: means over trainings with Student's t intervals, and a correction for how many questions were asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from analyses.pooling import over_seeds


def against_zero(frame: pd.DataFrame, by: Sequence[str], value: str) -> pd.DataFrame:
    """Return the mean over seeds of a value in each group, its 95 % interval, and ``p`` of a mean of 0."""
    told = over_seeds(frame, by, [value])
    df = told["seeds"].to_numpy() - 1
    error = (told[f"{value}_high"] - told[value]).to_numpy() / stats.t.ppf(0.975, df)
    with np.errstate(divide="ignore", invalid="ignore"):  # seeds that agree to the last digit
        return told.assign(p=2 * stats.t.sf(np.abs(told[value].to_numpy()) / error, df))


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return p-values corrected for their number (Holm, Scandinavian J. of Statistics 6, 1979); NaN, of no spread, stay."""
    found = np.asarray(p, dtype=np.float64)
    order = np.argsort(found)[: int(np.isfinite(found).sum())]
    corrected = np.full(len(found), np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(found[order] * np.arange(len(order), 0, -1)), 1)
    return corrected
