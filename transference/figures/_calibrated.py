"""What exact pairs say of a run of estimates, in the form in which figures draw what was measured."""

from __future__ import annotations

from typing import TypeGuard

import pandas as pd

from transference.statistics import CLASSES, GROUP

INTERVALS = "95 % intervals for this table"
"""What the intervals of `transference.calibrate` cover: all pairs of the run measured exactly, not another draw of tasks."""

NOT_CALIBRATED = "first-order estimates, not calibrated"
"""Said of a figure that cannot draw what exact pairs say."""


def as_intervals(calibrated: pd.DataFrame) -> pd.DataFrame:
    """Return a table of ``statistics.calibrate`` with a row for each statistic, as ``statistics.intervals`` has it."""
    parts = [
        calibrated[[*GROUP]].assign(
            statistic=name,
            value=calibrated[name],
            low=calibrated[f"{name}_low"],
            high=calibrated[f"{name}_high"],
            drawn="calibrated",
        )
        for name in ("geometric_mean", *CLASSES)
    ]
    return pd.concat(parts, ignore_index=True)


def has_rows(calibrated: pd.DataFrame | None) -> TypeGuard[pd.DataFrame]:
    """Whether there is anything calibrated to draw."""
    return calibrated is not None and len(calibrated) > 0


def beside(estimates: pd.DataFrame, calibrated: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a figure's data, with a column ``of`` that tells estimates and calibrated rows apart.

    Args:
        estimates: rows of ``statistics.intervals``.
        calibrated: of ``statistics.calibrate``; without rows, the estimates are returned as they are.
    """
    if not has_rows(calibrated):
        return estimates
    wanted = as_intervals(calibrated)
    wanted = wanted[wanted["statistic"].isin(estimates["statistic"].unique())]
    return pd.concat([estimates.assign(of="estimates"), wanted.assign(of="calibrated")], ignore_index=True)
