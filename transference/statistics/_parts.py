"""Means of what a log ratio is the sum of, with intervals for another draw of source and target tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from transference.blocks import Block, Strip, Strips
from transference.statistics._crossed import between_tasks, standard_errors
from transference.statistics._summary import GROUP

_Floats: TypeAlias = NDArray[np.float64]

Parts: TypeAlias = tuple[Strip, NDArray[np.bool_], Sequence[_Floats]]
"""A strip of a table; which of its pairs count; and the parts of each, 0 where it does not, ``[n_rows, n_columns]``."""


def logs_of(strip: Strip, *, same_tasks: bool) -> _Floats:
    """Return the log ratios of a strip, NaN where there is none or a task meets itself."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: _Floats = np.log(between_tasks(strip, same_tasks=same_tasks))
    return logs


def mean_parts(
    block: Block | Strips, parts: Iterable[Parts], names: Sequence[str], *, level: float, draws: int, seed: int
) -> dict[str, Any]:
    """Return a row of means: `GROUP`, ``n`` pairs that count, each part with its ``_low`` and ``_high``, and ``drawn``.

    Args:
        block: the table.
        parts: strip by strip, the numbers of each part.
        names: of the parts.
        level: of the intervals.
        draws: of the bootstrap.
        seed: of the draws.
    """
    make, df, drawn = standard_errors(block, draws, seed)
    errors, n, totals = make(len(names)), 0, np.zeros(len(names))
    for strip, known, cells in parts:
        n += int(known.sum())
        totals += [float(values.sum()) for values in cells]
        errors.add(strip.rows, strip.columns, known, cells)
    quantile = float(stdtrit(df, (1 + level) / 2)) if df > 0 else np.nan
    row: dict[str, Any] = {**{name: getattr(block, name) for name in GROUP}, "n": n}
    found = errors.found() if n else [np.nan] * len(names)
    for name, total, error in zip(names, totals, found, strict=True):
        mean, half = total / n if n else np.nan, quantile * error
        row |= {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}
    return row | {"drawn": drawn}
