"""What combinations of the source modes were expected to do, beside what they did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from transference.blocks import Block, Combined
from transference.errors import UsageError
from transference.statistics._band import NEUTRAL_BAND
from transference.statistics._contrast import contrast
from transference.statistics._crossed import intervals

_STATISTICS = ("geometric_mean", "positive", "negative")
_ENDS = ("value", "low", "high")


def predicted_rows(
    blocks: Iterable[Block], *, band: tuple[float, float] = NEUTRAL_BAND, level: float = 0.95
) -> pd.DataFrame:
    """Compare, for each combination and target mode, what was measured with what the rows of the combined modes predict.

    A weighting of gradients is, to first order, a weighting of the rows (`transference.blocks.Combined`), so the table tells what it
    does to everybody before it is tried. Predicted is that weighted sum of the rows as they were measured, of the tasks that a source is
    made of.

    Args:
        blocks: what ``Run.blocks()`` returns, of a run with combinations.
        band: the neutral band ``[low, high)``.
        level: of the intervals.

    Returns:
        One row per combination, target mode and statistic (``geometric_mean`` of the ratios, the shares ``positive`` and ``negative``):
        ``checkpoint_step``, ``alpha``, ``combination``, ``target_mode``, ``statistic``; ``measured``, ``predicted`` and ``difference``,
        each with ``_low`` and ``_high``, where ``difference`` is measured less predicted, of the means measured over predicted, on the
        pairs that have both, and ``p`` that of no difference; ``unexplained``, the mean over sources of the length of what no
        weighting of the modes' displacements gives, over the displacement's: with much of it the sum predicts little. What is predicted
        to be 0 or less has no ratio, and is left out of the means.

    Raises:
        UsageError: there are no combinations among the blocks.
    """
    rows = [row for block in blocks if block.combination for row in _compared(block, block.combination, band, level)]
    if not rows:
        raise UsageError(
            "Rows can be predicted of combinations, and the run has none. Measure with transference compute --combine NAME."
        )
    return pd.DataFrame(rows)


def _compared(
    block: Block, combination: Combined, band: tuple[float, float], level: float
) -> Iterator[dict[str, object]]:
    measured = replace(block, redrawn=())  # the weights are those of the first draw alone
    predicted = replace(measured, loss_ratio=combination.predicted)
    known = combination.unexplained[np.isfinite(combination.unexplained)]
    tables = {
        "measured": intervals([measured], band=band, level=level),
        "predicted": intervals([predicted], band=band, level=level),
        "difference": contrast([measured], [predicted], band=band, level=level),
    }
    by_statistic = {name: table.set_index("statistic") for name, table in tables.items()}
    for statistic in _STATISTICS:
        ends = {
            name if end == "value" else f"{name}_{end}": _number(table, statistic, end)
            for name, table in by_statistic.items()
            for end in _ENDS
        }
        yield {
            "checkpoint_step": measured.checkpoint_step,
            "alpha": measured.alpha,
            "combination": measured.source_mode,
            "target_mode": measured.target_mode,
            "statistic": statistic,
            **ends,
            "p": _number(by_statistic["difference"], statistic, "p"),
            "unexplained": float(known.mean()) if len(known) else np.nan,
        }


def _number(table: pd.DataFrame, statistic: str, column: str) -> float:
    return float(table[column].astype(float)[statistic])
