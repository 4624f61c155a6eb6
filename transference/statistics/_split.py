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

from transference.blocks import Block
from transference.statistics._crossed import DRAWS, standard_error, without_diagonal
from transference.statistics._summary import GROUP

PARTS = ("log_ratio", "first_order", "curvature")


def split(blocks: Iterable[Block], *, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """Split the mean log ratio of each mode pair into its first-order part and curvature.

    Args:
        blocks: what ``Run.blocks()`` returns.
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
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(without_diagonal(block))
        first_order = block.first_order.astype(np.float64)
        known = np.isfinite(logs) & np.isfinite(first_order)
        logs, first_order = np.where(known, logs, np.nan), np.where(known, first_order, np.nan)
        error, df, _ = standard_error(block, draws, seed)
        quantile = float(stdtrit(df, (1 + level) / 2)) if df > 0 else np.nan
        row = {**{name: getattr(block, name) for name in GROUP}, "n": int(known.sum())}
        for name, cells in zip(PARTS, (logs, first_order, logs - first_order), strict=True):
            mean = float(cells[known].mean()) if known.any() else np.nan
            half = quantile * error(cells) if known.any() else np.nan
            row |= {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}
        agree = first_order[known] < 0
        if known.any():
            row |= {"agree": float(agree.mean()), "overshoot": float((agree & (logs[known] > 0)).mean())}
        rows.append(row)
    return pd.DataFrame(rows)
