"""The log ratio as a sum: its first-order part, which is agreement of gradients, and curvature.

    log LR[i→j] = ⟨∇L_j, d_i⟩ / L_j  +  curvature

The first-order part is linear in the step: negative where source and target agree on where to go. Curvature is of second order and
more: overshoot, mostly, which any step of that length would have, whatever its source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from transference.blocks import Block, Strips
from transference.statistics._crossed import DRAWS
from transference.statistics._parts import Parts, logs_of, mean_parts

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
        ``first_order`` and ``curvature`` (their difference), each with the ends ``_low`` and ``_high`` of its interval;
        ``drawn``, what the intervals let vary, as in `intervals`; ``agree``, the
        share of pairs whose first-order part is below 0, and ``overshoot``, the share of pairs whose ratio is above 1 all the same.
    """
    return pd.DataFrame([_row(block, level, draws, seed) for block in blocks])


def _row(block: Block | Strips, level: float, draws: int, seed: int) -> dict[str, Any]:
    agree = overshoot = 0

    def parts() -> Iterator[Parts]:
        nonlocal agree, overshoot
        for strip in block.strips("loss_ratio", "first_order"):
            logs, first_order = logs_of(strip, same_tasks=block.same_tasks), strip.cells[1].astype(np.float64)
            known = np.isfinite(logs) & np.isfinite(first_order)
            logs, first_order = np.where(known, logs, 0.0), np.where(known, first_order, 0.0)
            agree += int((first_order < 0).sum())
            overshoot += int(((first_order < 0) & (logs > 0)).sum())
            yield strip, known, (logs, first_order, logs - first_order)

    row = mean_parts(block, parts(), PARTS, level=level, draws=draws, seed=seed)
    return row | ({"agree": agree / row["n"], "overshoot": overshoot / row["n"]} if row["n"] else {})
