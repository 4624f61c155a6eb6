"""Source modes in the order of what they do to one target mode, and which of them cannot be told apart.

The mean log ratio of a mode is one number, and a rank says nothing of how far it is known. So each two modes are
compared on the same targets, where what a target does to both falls out, and p-values are corrected for the number of
pairs (Holm, Scandinavian J. Statistics 6, 1979): with 95 % no two modes without a difference are told apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from transference.blocks import Block
from transference.errors import UsageError
from transference.statistics._contrast import ENOUGH
from transference.statistics._crossed import DRAWS, intervals, without_diagonal
from transference.statistics._studentised import Found
from transference.statistics._summary import GROUP
from transference.statistics._variance import log_ratios

_Floats: TypeAlias = NDArray[np.float64]

_ON = tuple(name for name in GROUP if name != "source_mode")
"""What ranked modes have in common."""


def rank_modes(
    blocks: Iterable[Block],
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
    shared: Collection[Collection[str]] = (),
) -> pd.DataFrame:
    """Rank source modes by their mean log loss ratio on a target mode, the lowest first.

    A rank describes the table. That training on the first ones does better than on others is another question, and
    nothing here answers it.

    Args:
        blocks: what ``Run.blocks()`` returns; the modes of each checkpoint, step size and target mode are ranked. Of a
            run with replicates the log ratio of a pair is its mean over those that have one.
        level: of the intervals, and one minus the error rate of what is told apart.
        draws: of the bootstrap of `intervals`.
        seed: of the draws.
        shared: as of `compare_modes`.

    Returns:
        One row per block, in the order of ``rank``: the columns of `GROUP`; ``rank``, 1 for the lowest mean, in the
        order of the blocks where means are equal, and last where there is none; ``n`` pairs with a ratio, ``failed``
        without; ``geometric_mean``, ``low``, ``high`` and ``drawn``, as `intervals` has them; ``not_apart``, the ranks
        of the modes that `compare_modes` does not tell apart from it, ascending; and ``note``: why there is no
        interval, else empty.
    """
    parts = [
        _ranked(mine, key, compare_modes(mine, level=level, shared=shared), level, draws, seed)
        for key, mine in _targets(blocks)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def compare_modes(
    blocks: Iterable[Block], *, level: float = 0.95, shared: Collection[Collection[str]] = ()
) -> pd.DataFrame:
    """Compare each two source modes on the same targets of a target mode.

    Interval and p-value come from one statistic, the difference of mean log ratios over its standard error, by moments
    of tables with random rows and columns (Searle, Casella & McCulloch, Variance Components, 1992), with Student's t.
    The interval is that of one comparison; ``p_holm`` is corrected for all pairs of modes on the target mode.

    Args:
        blocks: as of `rank_modes`.
        level: of the intervals, and one minus the error rate of what is told apart.
        shared: source modes whose tasks are the same in the same order, as subsets of the modalities of paired data
            have them; tasks of all other modes are drawn independently.

    Returns:
        One row per pair of modes: ``checkpoint_step``, ``alpha``, ``target_mode``, ``source_mode`` and ``other_mode``,
        in the order of the blocks; ``value``, the ratio of their geometric means, with ``low`` and ``high``; ``p``;
        ``p_holm``; ``told_apart``, whether ``p_holm`` is at most ``1 - level``; and ``note``: why there is no interval,
        or what it is short of. Where the log ratios of all tasks differ alike there is no interval, and no p-value
        unless they do not differ at all (p = 1).

    Raises:
        UsageError: two blocks are not of the same targets, or of modes that are said to share tasks have different
            numbers of them.
    """
    parts = [pd.DataFrame(_pairs(mine, key, level, shared), columns=list(_COLUMNS)) for key, mine in _targets(blocks)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(_COLUMNS))


_COLUMNS = (*_ON, "source_mode", "other_mode", "value", "low", "high", "p", "p_holm", "told_apart", "note")


def holm(p: _Floats) -> _Floats:
    """Return p-values corrected for their number: the k-th smallest times n − k + 1, or the one before if larger.

    Args:
        p: the p-values, ``[n]``; NaN, of a comparison that cannot be made, counts as 1 and stays NaN.
    """
    order = np.argsort(np.where(np.isnan(p), 1.0, p), kind="stable")
    steps = np.where(np.isnan(p), 1.0, p)[order] * np.arange(len(p), 0, -1)
    found = np.empty_like(p)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return np.where(np.isnan(p), np.nan, found)


def averaged(block: Block) -> Block:
    """Return a block with the geometric mean of the replicates' ratios, of each pair over those that have one."""
    if not block.redrawn:
        return block
    logs = log_ratios(block)
    known = np.isfinite(logs)
    with np.errstate(invalid="ignore"):
        mean = np.where(known, logs, 0.0).sum(axis=0) / known.sum(axis=0)
    return replace(block, loss_ratio=np.exp(mean), redrawn=())


def _targets(blocks: Iterable[Block]) -> Iterator[tuple[dict[str, Any], list[Block]]]:
    """Yield the blocks of each checkpoint, step size and target mode together, averaged over replicates."""
    found: dict[tuple[Any, ...], list[Block]] = {}
    for block in blocks:
        found.setdefault(tuple(getattr(block, name) for name in _ON), []).append(averaged(block))
    yield from ((dict(zip(_ON, of, strict=True)), mine) for of, mine in found.items())


def _ranked(
    blocks: list[Block], key: Mapping[str, Any], pairs: pd.DataFrame, level: float, draws: int, seed: int
) -> pd.DataFrame:
    """Return the rows of `rank_modes` of one target mode."""
    ends = intervals(blocks, level=level, draws=draws, seed=seed)
    ends = ends[ends["statistic"] == "geometric_mean"].reset_index(drop=True)
    cells = [without_diagonal(block) for block in blocks]
    n = np.array([int(np.isfinite(ratio).sum()) for ratio in cells])
    order = np.argsort(ends["value"].to_numpy(), kind="stable")  # NaN comes last
    rank = np.empty(len(blocks), dtype=np.int64)
    rank[order] = np.arange(1, len(blocks) + 1)
    apart = np.eye(len(blocks), dtype=bool)
    first, second = np.triu_indices(len(blocks), 1)
    apart[first, second] = apart[second, first] = pairs["told_apart"].to_numpy(dtype=bool)
    table = pd.DataFrame(
        {
            **key,
            "source_mode": ends["source_mode"],
            "rank": rank,
            "n": n,
            "failed": [int(np.isnan(block.loss_ratio).sum()) for block in blocks],
            "geometric_mean": ends["value"],
            **{name: ends[name] for name in ("low", "high", "drawn")},
            "not_apart": [sorted(rank[~row].tolist()) for row in apart],
            "note": ends["note"],
        }
    )
    return table[[*GROUP, *(name for name in table if name not in GROUP)]].iloc[order]


@dataclass(frozen=True)
class _Mode:
    """What a mode's mean log ratio is made of.

    Attributes:
        block: its table.
        mean: of the log ratios; NaN where there is none.
        cells: (log ratio − mean) / n, 0 where a cell failed, ``[n_source, n_target]``.
        rows: sums over its targets, ``[n_source]``.
        columns: sums over its sources, ``[n_target]``.
        size: the largest of the absolute log ratios.
    """

    block: Block
    mean: float
    cells: _Floats
    rows: _Floats
    columns: _Floats
    size: float

    @classmethod
    def of(cls, block: Block) -> _Mode:
        """Return it of a table."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(without_diagonal(block))
        known = np.isfinite(logs)
        n = int(known.sum())
        if not n:
            rows, columns = map(np.zeros, block.shape)
            return cls(block, np.nan, np.zeros(block.shape), rows, columns, 0.0)
        mean = float(logs[known].mean())
        cells = np.where(known, logs - mean, 0.0) / n
        return cls(block, mean, cells, cells.sum(axis=1), cells.sum(axis=0), float(np.abs(logs[known]).max()))


def _pairs(
    blocks: list[Block], key: Mapping[str, Any], level: float, shared: Collection[Collection[str]]
) -> list[dict[str, Any]]:
    """Return the rows of `compare_modes` of one target mode."""
    rows = []
    for one, other in combinations([_Mode.of(block) for block in blocks], 2):
        modes = {"source_mode": one.block.source_mode, "other_mode": other.block.source_mode}
        same = any(set(modes.values()) <= set(some) for some in shared)
        _check_same_tasks(one.block, other.block, shared=same)
        found, note = _difference(one, other, level, same)
        value, low, high = np.exp(found[:3]).tolist()
        rows.append({**key, **modes, "value": value, "low": low, "high": high, "p": found.p, "note": note})
    corrected = holm(np.array([row["p"] for row in rows], dtype=np.float64)).tolist()
    return [{**row, "p_holm": p, "told_apart": p <= 1 - level} for row, p in zip(rows, corrected, strict=True)]


def _difference(one: _Mode, other: _Mode, level: float, shared: bool) -> tuple[Found, str]:
    """Return the difference of two modes' mean log ratios on the same targets, and a note on it.

    With sources i of one mode, k of the other, and targets j of both,

        x_ij = μ + s_i + t_j + e_ij        x'_kj = μ' + s'_k + t'_j + e'_kj

    the difference of means differs from μ − μ' by a sum of cells u, of which (x_ij − mean) / n are the one's and
    −(x'_kj − mean') / n' the other's. What a source adds is the sum of its cells, and so for a target:

        R = S/(S−1) Σ_i (Σ_j u_ij)² + S'/(S'−1) Σ_k (Σ_j u_kj)²     expected: σ²_s/S + σ²_s'/S' + N
        C = T/(T−1) Σ_j (Σ_i u_ij + Σ_k u_kj)²                      expected: σ²_(t−t')/T + N
        N = σ²_e/(S T) + σ²_e'/(S' T)                               from what rows and columns of u leave (ANOVA)
        error² = R + C − N, at least max(R, C)

    Sources of different modes are independent; t_j − t'_j is what is left of the targets, and what they do to both
    falls out. Each mode with a single source is without its R, and its e is in C alone. Where the modes have the same
    source tasks, i and k are one, in R and in N. Where a mode's sources are the targets themselves, task j's row joins
    its column in C, which then holds N twice, and there is no R.

    Skewness is left alone, unlike in `contrast`: of two modes it largely falls out, and a correction by what few tasks
    show of it makes the far tails, where p-values that are corrected for their number are read, too light.
    """
    nothing = Found(one.mean - other.mean, np.nan, np.nan, np.nan)
    if np.isnan(nothing.value):
        return nothing, "no pair has a ratio in one of them"
    # A mode whose sources are the targets shares none with another but by being those.
    joined = shared and not (one.block.same_tasks or other.block.same_tasks)
    sides = _sides(one, other, joined=joined)
    wide = [n for n, _ in sides if n > 1]
    if not wide:
        return nothing, "one source and one target: no task can be drawn again"
    variance = _variance(one, other, sides, joined=joined)
    rounding = 1e-12 * max(one.size, other.size)
    if not variance > rounding**2:
        p = 1.0 if abs(nothing.value) <= rounding else np.nan
        return nothing._replace(p=p), "all tasks differ alike, which tells nothing of other tasks"
    error, df = float(np.sqrt(variance)), min(wide) - 1
    half, p = error * float(stdtrit(df, (1 + level) / 2)), 2 * float(stdtr(df, -abs(nothing.value) / error))
    note = f"{df + 1} tasks on the smallest side are few" if df + 1 < ENOUGH else ""
    return Found(nothing.value, nothing.value - half, nothing.value + half, p), note


class _Side(NamedTuple):
    """Tasks that are drawn together: how many, and what each adds to the difference, ``[n]``."""

    n: int
    sums: _Floats


def _sides(one: _Mode, other: _Mode, *, joined: bool) -> list[_Side]:
    """Return the targets, then the sources that are other tasks."""
    if joined:
        targets, sources = one.columns - other.columns, [one.rows - other.rows]
    else:
        targets = _of_targets(one) - _of_targets(other)
        sources = [sign * mode.rows for mode, sign in ((one, 1.0), (other, -1.0)) if not mode.block.same_tasks]
    return [_Side(len(sums), sums) for sums in (targets, *sources)]


def _of_targets(mode: _Mode) -> _Floats:
    """Return what each target adds to a mode's mean, as a source too if it is one, ``[n_target]``."""
    if not mode.block.same_tasks:
        return mode.columns
    # A task's n − 1 partners on either side are all tasks but itself, so that of what it adds beyond the mean of all
    # tasks (n − 2) / (n − 1) is seen.
    n = len(mode.rows)
    return (mode.rows + mode.columns) * ((n - 1) / (n - 2) if n > 2 else 1.0)


def _variance(one: _Mode, other: _Mode, sides: list[_Side], *, joined: bool) -> float:
    """Return the variance of a difference of means, as `_difference` tells."""
    squares = [float(np.sum(sums**2)) * n / (n - 1) if n > 1 else 0.0 for n, sums in sides]
    tables = [(one, one.cells - other.cells)] if joined else [(one, one.cells), (other, other.cells)]
    noise = [_noise(cells, same_tasks=mode.block.same_tasks) for mode, cells in tables]
    total = sum(squares) - sum(noise)
    if any(mode.block.same_tasks for mode, _ in tables):  # whose squares hold all noise twice, and are no lower bound
        return max(total, sum(noise), sum(squares[1:]))
    return max(total, squares[0], sum(squares[1:]))


def _noise(cells: _Floats, *, same_tasks: bool) -> float:
    """Return the part of a mean's variance that is neither its sources' nor its targets'; the squares of both hold it.

    Args:
        cells: what each adds to the mean, ``[n_source, n_target]``.
        same_tasks: whether sources and targets are the same tasks. Effects are then those of a round robin (Warner,
            Kenny & Stoto, J. Personality & Social Psychology 37, 1979), and what two tasks do to each other may hang
            together.
    """
    n_source, n_target = cells.shape
    rows, columns = cells.sum(axis=1), cells.sum(axis=0)
    if not same_tasks:
        if min(cells.shape) < 2:  # a side of one task has no squares
            return 0.0
        left = cells - rows[:, None] / n_target - columns / n_source
        return float(np.sum(left**2) * n_source * n_target / ((n_source - 1) * (n_target - 1)))
    n = n_source
    if n < 3:
        return float(np.sum(cells**2) + np.sum(cells * cells.T))
    as_sources, as_targets = (
        ((n - 1) * here + there) / (n * (n - 2)) for here, there in ((rows, columns), (columns, rows))
    )
    left = np.where(np.eye(n, dtype=bool), 0.0, cells - as_sources[:, None] - as_targets)
    both = float(np.sum(left**2) + np.sum(left * left.T))  # half the squares of (j, l) and (l, j) together, not below 0
    return float(both * n * (n - 1) / (n**2 - 3 * n + 1))


def _check_same_tasks(one: Block, other: Block, *, shared: bool) -> None:
    """Make sure that two modes were measured on the same targets, and share as many sources as they are said to.

    Raises:
        UsageError: they were not, or do not.
    """
    targets = [None if block.tasks is None else block.tasks[1] for block in (one, other)]
    if one.shape[1] != other.shape[1] or (None not in targets and targets[0] != targets[1]):
        raise UsageError(
            f"{one.source_mode} was to be compared with {other.source_mode} on {one.target_mode}, of which they have "
            f"{one.shape[1]} and {other.shape[1]} tasks, not the same ones. Compare modes on the same targets."
        )
    if shared and one.shape != other.shape:
        raise UsageError(
            f"{one.source_mode} and {other.source_mode} were said to share their tasks, of which they have "
            f"{one.shape[0]} and {other.shape[0]}. Name modes of the same tasks in the same order."
        )
