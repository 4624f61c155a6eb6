"""What combinations of the source modes were expected to do, beside what they did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transference.blocks import Block
from transference.errors import UsageError
from transference.statistics._contrast import contrast
from transference.statistics._crossed import intervals
from transference.statistics._summary import NEUTRAL_BAND

_STATISTICS = ("geometric_mean", "positive", "negative")
_ENDS = ("value", "low", "high")


def predicted_rows(
    blocks: Iterable[Block], *, band: tuple[float, float] = NEUTRAL_BAND, level: float = 0.95
) -> pd.DataFrame:
    """Compare, for each combination and target mode, what was measured with what the rows of the combined modes predict.

    A displacement ``d = Σ w_i d_i`` changes a loss, to first order in the step, by the sum of what each ``d_i`` does:

        R[d→j] - 1 = Σ_i w_i (R[i→j] - 1) + O(α²)

    so a weighting of gradients is a weighting of the table's rows, and the table tells what it does to everybody before it is tried.
    Predicted is that sum, with the weights that the run has of every source (``Block.weights``) and the rows as they were measured: the
    task that a source ``i`` is of each mode.

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
    rows = [row for measured, predicted in _both(blocks) for row in _compared(measured, predicted, band, level)]
    if not rows:
        raise UsageError(
            "Rows can be predicted of combinations, and the run has none. Measure with transference compute --combine NAME."
        )
    return pd.DataFrame(rows)


def _both(blocks: Iterable[Block]) -> Iterator[tuple[Block, Block]]:
    """Yield the block of each combination as it was measured and as it is predicted."""
    for _, group in groupby(blocks, key=lambda block: (block.checkpoint_step, block.alpha)):
        here = list(group)
        alone = [block for block in here if block.weights is None]
        for block in (block for block in here if block.weights is not None):
            modes = [one for one in alone if one.target_mode == block.target_mode]
            measured = replace(block, redrawn=())  # the weights are those of the first draw alone
            yield measured, replace(measured, loss_ratio=predict(block, modes))


def predict(combination: Block, modes: Sequence[Block]) -> NDArray[np.float64]:
    """Return the loss ratios ``[n_sources, n_targets]`` that the rows of the combined modes predict; NaN where there are none above 0.

    Args:
        combination: with the weights of each of its sources.
        modes: the modes that it combines on the same targets, in the order of the weights.
    """
    assert combination.weights is not None
    changes = [
        weight[:, None] * (mode.loss_ratio - 1) for weight, mode in zip(combination.weights.T, modes, strict=True)
    ]
    ratio: NDArray[np.float64] = 1 + np.sum(changes, axis=0)
    return np.where(ratio > 0, ratio, np.nan)


def _compared(
    measured: Block, predicted: Block, band: tuple[float, float], level: float
) -> Iterator[dict[str, object]]:
    unexplained = np.full(1, np.nan) if measured.unexplained is None else measured.unexplained
    known = unexplained[np.isfinite(unexplained)]
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
