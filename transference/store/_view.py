"""How a run's tables call the modes of its tasks, and a view of its pairs under these names, for whoever opens the folder as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from transference.store._schema import pairs_schema

VIEW = "pairs.sql"
"""The file of a run folder with the view, for DuckDB; folders that were begun before 0.2 may have none."""

_NAMES: dict[str, Callable[[pd.DataFrame], pd.Series[str]]] = {
    "{task}.mode": lambda tasks: _text(tasks["mode"]),
    "{task}.mode || ':' || {task}.split": lambda tasks: _text(tasks["mode"]) + ":" + _text(tasks["split"]),
    "{task}.sampler": lambda tasks: _text(tasks["sampler"]),
}
"""What may name the mode of a task, the shortest first: as SQL, and as a column."""


def mode_names(tasks: pd.DataFrame, role: str) -> tuple[str, list[str]]:
    """Return the name of each task's mode, by id: as short as tells the samplers of a role apart; and before that, the same as SQL.

    Args:
        tasks: the run's, as ``Run.tasks()`` has them.
        role: ``"source"`` or ``"target"``.
    """
    mine = tasks[tasks["role"] == role].sort_values("id")
    found = ((sql, column(mine)) for sql, column in _NAMES.items())
    return next(
        (sql, names.tolist())
        for sql, names in found
        if names.notna().all() and mine["sampler"].groupby(names).nunique().max() == 1
    )


def view_of(tasks: pd.DataFrame, *, tempered: bool = False) -> str:
    """Return the view ``pairs`` as SQL of DuckDB: the columns of ``Run.pairs()``, of all replicates.

    Args:
        tasks: the run's, as ``Run.tasks()`` has them.
        tempered: whether losses were read at their best temperature too.
    """
    source, target = (mode_names(tasks, role)[0].format(task=task) for role, task in (("source", "s"), ("target", "t")))
    ids = ["source", "target", "replicate"]
    columns = [
        "p.checkpoint_step::BIGINT AS checkpoint_step",  # text to who reads it off the folder's name
        *(f"p.{name}" for name in ids),
        f"{source} AS source_mode",
        f"{target} AS target_mode",
        *(f"p.{name}" for name in pairs_schema(tempered=tempered).names if name not in ids),
    ]
    listed = ",\n       ".join(columns)
    return f"""-- The pairs of this run with the names of their modes, as a view for DuckDB (1.1 or later). In the run's folder
--     duckdb -init {VIEW}
-- and elsewhere, before this file is read:
--     SET VARIABLE run = 'path/of/the/run';
CREATE OR REPLACE VIEW pairs AS
SELECT {listed}
FROM read_parquet(coalesce(getvariable('run'), '.') || '/pairs/*/*.parquet', hive_partitioning = true) AS p
JOIN read_parquet(coalesce(getvariable('run'), '.') || '/tasks.parquet') AS s ON s.role = 'source' AND s.id = p.source
JOIN read_parquet(coalesce(getvariable('run'), '.') || '/tasks.parquet') AS t ON t.role = 'target' AND t.id = p.target;
"""


def _text(column: pd.Series[Any]) -> pd.Series[str]:
    """Return a column as texts, missing where it is; a sampler of one's own may say nothing of modes and splits."""
    return column.astype(str).where(column.notna())
