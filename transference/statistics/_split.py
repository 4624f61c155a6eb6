"""The log ratio as a sum: its first-order part, which is agreement of gradients, and curvature.

    log LR[i→j] = ⟨∇L_j, d_i⟩ / L_j  +  curvature

The first-order part is linear in the step: negative where source and target agree on where to go. Curvature is of second order and
more: overshoot, mostly, which any step of that length would have, whatever its source.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from transference.blocks import Block, Strips
from transference.statistics._crossed import DRAWS, between_tasks, standard_errors
from transference.statistics._summary import GROUP

PARTS = ("log_ratio", "first_order", "curvature")


def split(blocks: Iterable[Block | Strips], *, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """Split the mean log ratio of each mode pair into its first-order part and curvature.

    Args:
        blocks: what ``Run.blocks()`` or ``Run.tables()`` returns.
        level: of the intervals, which are for another draw of sources and targets, as those of `intervals`.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        One row per block: the columns of `GROUP`, ``n`` pairs with a ratio and a first-order part, and the means ``log_ratio``,
        ``first_order`` and ``curvature`` (their difference), each with the ends ``_low`` and ``_high`` of its interval; ``agree``, the
        share of pairs whose first-order part is below 0, and ``overshoot``, the share of pairs whose ratio is above 1 all the same.
    """
    rows = []
    for block in blocks:
        make, df, _ = standard_errors(block, draws, seed)
        errors, n, totals, agree, overshoot = make(len(PARTS)), 0, np.zeros(len(PARTS)), 0, 0
        for strip in block.strips("loss_ratio", "first_order"):
            with np.errstate(divide="ignore", invalid="ignore"):
                logs = np.log(between_tasks(strip, same_tasks=block.same_tasks))
            first_order = strip.cells[1].astype(np.float64)
            known = np.isfinite(logs) & np.isfinite(first_order)
            logs, first_order = np.where(known, logs, 0.0), np.where(known, first_order, 0.0)
            cells = (logs, first_order, logs - first_order)
            n += int(known.sum())
            totals += [float(values.sum()) for values in cells]
            agree += int((first_order < 0).sum())
            overshoot += int(((first_order < 0) & (logs > 0)).sum())
            errors.add(strip.rows, strip.columns, known, cells)
        quantile = float(stdtrit(df, (1 + level) / 2)) if df > 0 else np.nan
        row = {**{name: getattr(block, name) for name in GROUP}, "n": n}
        found = errors.found() if n else [np.nan] * len(PARTS)
        for name, total, error in zip(PARTS, totals, found, strict=True):
            mean, half = total / n if n else np.nan, quantile * error
            row |= {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}
        if n:
            row |= {"agree": agree / n, "overshoot": overshoot / n}
        rows.append(row)
    return pd.DataFrame(rows)
