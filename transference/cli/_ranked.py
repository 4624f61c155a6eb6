"""What of a run is ranked: the rows of its source modes, or of their single tasks, on one target mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from transference.blocks import Block
from transference.errors import StoreError, UsageError, in_one_line
from transference.store import Run, find_mode

_MOST_TASKS = 500
"""Tasks that are ranked together: each two are compared, and of more hardly any could be told apart."""


@dataclass(frozen=True)
class Rows:
    """What of a run is ranked.

    Attributes:
        run: the run.
        target: the target mode, as its tables call it.
        step: the checkpoint's.
        alpha: the step size.
        modes: the tables of the source modes on the target mode.
        left_out: rows that are no mode's own, such as combinations.
        names: what samplers call the mode of their tasks, by role and by what the tables call it.
    """

    run: Run
    target: str
    step: int
    alpha: float
    modes: list[Block]
    left_out: list[str]
    names: dict[tuple[str, str], str]


def rows_of(run: Run, target: str, step: int | None, alpha: float | None) -> Rows:
    """Return what is ranked.

    Raises:
        UsageError: the run has no such target mode, checkpoint or step size.
        StoreError: the run is not finished, or damaged.
    """
    if not run.finished:
        done, total = run.progress()
        raise StoreError(
            f"{run.path} is not finished: {done} of {total} tiles are there, and modes are ranked once all are. "
            "Repeat the command in its run.json to finish it."
        )
    targets = dict.fromkeys(run.modes("target"))
    named = find_mode(targets, target)
    if named not in targets:
        raise UsageError(f"{run.path} has no target mode {target!r}; it has {', '.join(map(in_one_line, targets))}.")
    at, size = run.choose_step(step), run.choose_alpha(alpha)
    mine = [block for block in run.blocks(at) if block.alpha == size and block.target_mode == named]
    is_mode = [block.tasks is not None and block.tasks[0] in run.spec.samplers for block in mine]
    return Rows(
        run,
        named,
        at,
        size,
        modes=[block for block, there in zip(mine, is_mode, strict=True) if there],
        left_out=[block.source_mode for block, there in zip(mine, is_mode, strict=True) if not there],
        names=_names(run),
    )


def _names(run: Run) -> dict[tuple[str, str], str]:
    """Return what samplers call the mode of their tasks, by role and by what the tables call it."""
    tasks = run.tasks()
    return {
        (role, label): label if pd.isna(name) else str(name)
        for role in ("source", "target")
        for label, name in zip(run.modes(role), tasks.loc[tasks["role"] == role].sort_values("id")["mode"], strict=True)
    }


def of_same_tasks(rows: Rows) -> list[list[str]]:
    """Return the source modes that show the same examples in the same order, as subsets of modalities do."""
    tasks = rows.run.tasks()
    tasks = tasks[tasks["role"] == "source"].sort_values("id")
    tasks["label"] = rows.run.modes("source")
    found: dict[object, list[str]] = {}
    for block in rows.modes:
        mine = tasks.loc[tasks["label"] == block.source_mode, ["split", "support_ids", "query_ids"]]
        if mine.notna().all(axis=None):
            key = tuple((split, tuple(support), tuple(query)) for split, support, query in mine.itertuples(index=False))
            found.setdefault(key, []).append(block.source_mode)
    return [modes for modes in found.values() if len(modes) > 1]


def single_tasks(rows: Rows, modes: Sequence[str]) -> list[Block]:
    """Return the tasks of some source modes, each as a table of its own; a task on itself is left out.

    Raises:
        UsageError: the run lacks a mode, or there are too few tasks or too many.
    """
    known = {block.source_mode: block for block in rows.modes}
    named = dict.fromkeys(find_mode(known, mode) for mode in modes)
    if unknown := [repr(mode) for mode in named if mode not in known]:
        raise UsageError(
            f"{rows.run.path} has no source mode {', '.join(unknown)} whose tasks could be ranked; it has "
            f"{', '.join(map(in_one_line, known))}."
        )
    n = sum(known[mode].shape[0] for mode in named)
    if not 2 <= n <= _MOST_TASKS:
        raise UsageError(
            f"--sources {', '.join(map(in_one_line, named))} was given, of {n:,} task(s); from 2 to {_MOST_TASKS} are "
            "ranked together. Name other modes."
        )
    return [_task(known[mode], k) for mode in named for k in range(known[mode].shape[0])]


def _task(block: Block, k: int) -> Block:
    """Return one source of a table as a table."""
    itself = np.where(np.arange(block.shape[1]) == k, np.nan, 1.0) if block.same_tasks else 1.0
    return replace(
        block,
        source_mode=f"{block.source_mode}:{k}",
        loss_ratio=block.loss_ratio[[k]] * itself,
        change=block.change[[k]],
        first_order=block.first_order[[k]],
        redrawn=tuple(ratio[[k]] * itself for ratio in block.redrawn),
        same_tasks=False,
        combination=None,
    )


def is_own(rows: Rows, mode: str) -> bool:
    """Return whether a source mode is the target mode, whatever their splits."""
    return rows.names["source", mode] == rows.names["target", rows.target]
