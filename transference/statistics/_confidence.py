"""The log ratio as a sum: confidence, which a temperature undoes, and what is left when it is undone.

    log LR[i→j] = log LR_tempered[i→j]  +  confidence

A loss is read at its best temperature by dividing all logits of a mode's targets by the one number that makes their
mean loss least. A step that makes a learner too sure, or not sure enough, of what it says raises the loss, and no
tempered one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from transference.blocks import Block, Strips
from transference.statistics._crossed import DRAWS
from transference.statistics._parts import Parts, logs_of, mean_parts
from transference.statistics._summary import GROUP

PARTS = ("log_ratio", "tempered", "confidence")
_COLUMNS = [*GROUP, "n", *(f"{name}{end}" for name in PARTS for end in ("", "_low", "_high")), "drawn", "untempered"]


def split_confidence(
    blocks: Iterable[Block | Strips], *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> pd.DataFrame:
    """Split the mean log ratio of each mode pair into that of the tempered losses and confidence.

    Args:
        blocks: what ``Run.blocks()`` or ``Run.tables()`` returns.
        level: of the intervals, which are for another draw of sources and targets, as those of `intervals`.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        One row per block whose losses were read at their best temperature too: the columns of `GROUP`, ``n`` pairs with
        both ratios, and over these the means ``log_ratio``, ``tempered`` and ``confidence`` (their difference), each
        with the ends ``_low`` and ``_high`` of its interval; ``drawn``, what these let vary, as in `intervals`; and
        ``untempered``, pairs that have a ratio but no tempered one, which are left out.
    """
    rows = [_row(block, level, draws, seed) for block in blocks if block.tempered]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _row(block: Block | Strips, level: float, draws: int, seed: int) -> dict[str, Any]:
    untempered = 0

    def parts() -> Iterator[Parts]:
        nonlocal untempered
        for strip in block.strips("loss_ratio", "tempered_ratio"):
            logs, tempered = logs_of(strip, same_tasks=block.same_tasks), np.log(strip.cells[1])
            known = np.isfinite(logs) & np.isfinite(tempered)
            untempered += int((np.isfinite(logs) & ~known).sum())
            logs, tempered = np.where(known, logs, 0.0), np.where(known, tempered, 0.0)
            yield strip, known, (logs, tempered, logs - tempered)

    row = mean_parts(block, parts(), PARTS, level=level, draws=draws, seed=seed)
    return row | {"untempered": untempered}
