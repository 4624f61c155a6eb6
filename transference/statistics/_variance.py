"""Where the variance of log ratios comes from: the source, the target, the two together, and the episodes drawn of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transference.blocks import Block
from transference.statistics._summary import GROUP

_Floats: TypeAlias = NDArray[np.float64]

DRAWN = ("source", "target", "residual")
"""Parts of the variance that one table tells apart: each task comes with the episode that was drawn of it."""

APART = ("source_task", "target_task", "interaction", "episode")
"""Parts that replicates tell apart."""


def log_ratios(block: Block) -> _Floats:
    """Return the log ratios of every replicate, ``[n_replicates, n_sources, n_targets]``; NaN or infinite where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(np.stack([block.loss_ratio, *block.redrawn]))


def variance_shares(blocks: Iterable[Block]) -> pd.DataFrame:
    """Split the variance of the log ratios of each mode pair into what comes with the source, with the target, and neither.

    The closed-form estimates of a two-way table with random rows and columns (Searle, Casella & McCulloch, Variance Components, 1992).
    With replicates, in which every task has another episode, also into what belongs to the tasks and what to the draw of their episodes.
    Negative estimates count as zero. Sources with a failed cell are left out.

    Args:
        blocks: what ``Run.blocks()`` returns.

    Returns:
        One row per block: the columns of `GROUP`, ``n_sources``, ``n_targets`` and ``n_replicates`` used, ``variance`` (of log ratios,
        one episode per task) and its shares. ``source`` and ``target`` come with the task and the episode that was drawn of it,
        ``residual`` with neither alone; together they are 1. With replicates the shares ``source_task``, ``target_task`` and
        ``interaction`` would stay if episodes were averaged out, and ``episode`` is what another draw of them changes; these four are 1,
        too, and NaN without replicates. All are NaN for a table with a single row or column.
    """
    rows = []
    for block in blocks:
        logs = log_ratios(block)
        logs = logs[:, np.isfinite(logs).all(axis=(0, 2))]
        drawn, apart = _parts(logs)
        row = {name: getattr(block, name) for name in GROUP}
        row |= dict(zip(("n_replicates", "n_sources", "n_targets"), logs.shape, strict=True))
        with np.errstate(invalid="ignore"):
            shares = zip((*DRAWN, *APART), (*drawn / drawn.sum(), *apart / apart.sum()), strict=True)
        row |= {"variance": float(drawn.sum()), **{name: float(share) for name, share in shares}}
        rows.append(row)
    return pd.DataFrame(rows)


def _parts(logs: _Floats) -> tuple[_Floats, _Floats]:
    """Return the components `DRAWN` and `APART`, from log ratios ``[n_replicates, n_sources, n_targets]``."""
    unknown = np.full(len(APART), np.nan)
    if min(logs.shape[1:]) < 2:
        return unknown[: len(DRAWN)], unknown
    if len(logs) == 1:
        return np.maximum(_components(logs[0]), 0.0), unknown
    episodes = _of_episodes(logs)
    # The mean over R replicates holds the parts of the tasks, and an Rth of the variance of the episodes.
    tasks = _components(logs.mean(axis=0)) - episodes / len(logs)
    return np.maximum(tasks + episodes, 0.0), np.maximum([*tasks, episodes.sum()], 0.0)


def _of_episodes(tables: _Floats) -> _Floats:
    """Return the variance that the episodes of rows bring, those of columns, and both together, from tables ``[n, rows, columns]``.

    Orthonormal contrasts between replicates hold nothing of the tasks themselves, and each is a two-way table of episodes alone.
    """
    from scipy.linalg import helmert  # only runs with replicates need it

    contrasts = np.tensordot(helmert(len(tables)), tables, axes=1)
    return np.asarray(np.mean([_components(table) for table in contrasts], axis=0))


def _components(table: _Floats) -> _Floats:
    """Return the variance components of rows, columns and the rest, of which the first two may come out negative."""
    n_rows, n_columns = table.shape
    mean = table.mean()
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    rest = table - rows[:, None] - columns + mean
    of_rest = float((rest**2).sum()) / ((n_rows - 1) * (n_columns - 1))
    of_rows = float(((rows - mean) ** 2).sum()) * n_columns / (n_rows - 1)
    of_columns = float(((columns - mean) ** 2).sum()) * n_rows / (n_columns - 1)
    # Mean squares have the expectations σ²_rest + n_columns σ²_rows, σ²_rest + n_rows σ²_columns, and σ²_rest.
    return np.array([(of_rows - of_rest) / n_columns, (of_columns - of_rest) / n_rows, of_rest])
