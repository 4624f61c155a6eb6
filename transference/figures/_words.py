"""What is said of a figure beside it: its numbers in words, for who cannot see it."""

from __future__ import annotations

import pandas as pd

from transference.figures._calibrated import INTERVALS, has_rows
from transference.figures._options import LIMITS
from transference.figures.requests import Table
from transference.statistics import CLASSES


def told_of(table: Table) -> pd.DataFrame:
    """Return what is told of a table: its summary, of a calibrated run what its exact pairs say."""
    calibrated = table.calibrated()
    return calibrated if has_rows(calibrated) else table.summary()


def intervals_in_words(table: Table) -> str:
    """Return what the intervals of a table are for."""
    if has_rows(table.calibrated()):
        return f"Calibrated by exact pairs, with {INTERVALS}"
    return "With 95 % intervals for another draw of tasks"


def means_in_words(summary: pd.DataFrame) -> str:
    """Return the geometric mean of each mode pair of what `told_of` returns."""
    means = "; ".join(f"{row.source_mode} → {row.target_mode} {row.geometric_mean:.4g}" for row in summary.itertuples())
    return f"Geometric means: {means}."


def shares_in_words(summary: pd.DataFrame, *, over_training: bool = False) -> str:
    """Return the shares and the mean of each mode pair of what `told_of` returns, with its checkpoint where there are several."""
    lines = []
    for row in summary.to_dict("records"):
        when = f"checkpoint {row['checkpoint_step']:,}, " if over_training else ""
        shares = ", ".join(f"{row[name]:.0%} {name}" for name in CLASSES)
        modes = f"{row['source_mode']} → {row['target_mode']}"
        lines.append(f"{when}{modes}: {shares}, geometric mean {row['geometric_mean']:.4g}")
    return "; ".join(lines) + "."


def outside_in_words(pairs: pd.DataFrame) -> str:
    """Return how many pairs a histogram counts at its edges; nothing where they are few."""
    ratio = pairs["loss_ratio"].dropna()
    share = float(((ratio < LIMITS[0]) | (ratio > LIMITS[1])).mean()) if len(ratio) else 0.0
    return f"{share:.0%} of the pairs lie beyond the edges. " if share >= 0.005 else ""
