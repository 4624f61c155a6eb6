"""The tables of the page, as the template wants them: one dictionary per row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from transference.pages import facts
from transference.statistics import CLASSES, GROUP, calibrate, check_estimates, contrast, summarise_replicates
from transference.store import Run

Rows = list[dict[str, Any]]


def summary_rows(run: Run, summary: pd.DataFrame, ends: pd.DataFrame) -> Rows:
    """Return one row per checkpoint, step size and mode pair: ``n``, ``failed``, ``own``, and value, low, high of each statistic.

    Args:
        run: the run.
        summary: what ``summarise_blocks`` returns for it.
        ends: what ``intervals`` returns for it.
    """
    values: dict[tuple[Any, ...], tuple[float, float, float]] = {}
    drawn: dict[tuple[Any, ...], str] = {}
    for found in rows_of(ends):
        key = tuple(found[name] for name in GROUP)
        values[(*key, found["statistic"])], drawn[key] = (found["value"], found["low"], found["high"]), found["drawn"]
    own = _own_means(run)
    rows = []
    for row in rows_of(summary):
        key = tuple(row[name] for name in GROUP)
        row |= {name: values[(*key, name)] for name in ("geometric_mean", *CLASSES)}
        rows.append({**row, "drawn": drawn[key], "own": own.get((key[0], key[1], key[3]), np.nan)})
    return rows


def _own_means(run: Run) -> dict[Any, float]:
    """Return the geometric mean of the self-transference, by checkpoint, step size and target mode."""
    own = run.self_transference()
    logs = np.log(own["loss_ratio"])
    means = logs.groupby([own["checkpoint_step"], own["alpha"], own["mode"].astype(str)]).mean()
    return {key: float(np.exp(mean)) for key, mean in means.items()}


def calibrated_rows(run: Run, band: tuple[float, float]) -> Rows:
    """Return what all pairs computed exactly would say, with intervals; nothing unless the run is calibrated."""
    if not run.spec.calibrated:
        return []
    rows = rows_of(calibrate(run.blocks(), run.exact_pairs(), band=band))
    return [
        {**row, **{name: (row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in ("geometric_mean", *CLASSES)}}
        for row in rows
    ]


def check_rows(run: Run) -> Rows:
    """Return how estimates compare with exact pairs, one row per checkpoint and step size; nothing for a run that is exact."""
    exact = run.exact_pairs()
    return rows_of(check_estimates(exact)) if len(exact) else []


def same_tasks(run: Run, other: Run) -> bool:
    """Whether two runs have the same source and target tasks."""
    return (run.spec.sources, run.spec.targets) == (other.spec.sources, other.spec.targets)


def contrast_rows(run: Run, other: Run, band: tuple[float, float]) -> Rows:
    """Compare the last checkpoints of two runs of the same tasks, at the step sizes that both have: one row per step size and mode pair."""
    rows: Rows = []
    for alpha in sorted(set(run.alphas) & set(other.alphas)):
        last = [
            [block for block in one.blocks() if block.checkpoint_step == one.steps[-1] and block.alpha == alpha]
            for one in (run, other)
        ]
        table = contrast(*last, band=band)
        for modes, group in table.groupby(["source_mode", "target_mode"], sort=False):
            compared = {row["statistic"]: (row["value"], row["low"], row["high"], row["p"]) for row in rows_of(group)}
            note = "; ".join(note for note in group["note"].unique() if note)
            row = {"alpha": alpha, "source_mode": modes[0], "target_mode": modes[1], **compared}
            rows.append({**row, "note": _of_row(row, note, run)})
    return rows


def replicated_rows(run: Run, band: tuple[float, float]) -> Rows:
    """Return what replicates tell of single pairs, one row per checkpoint, step size and mode pair; nothing for a run without."""
    if run.spec.replicates == 1:
        return []
    return [
        {**row, "note": _of_row(row, row["note"], run)}
        for row in rows_of(summarise_replicates(run.blocks(), band=band))
    ]


def _of_row(row: dict[str, Any], note: str, run: Run) -> str:
    """Return a note with the row that it is of; nothing for none."""
    alpha = facts.alpha_names(run.alphas)[row["alpha"]]
    return f"{row['source_mode']} → {row['target_mode']} at {run.spec.amount.told(alpha)}: {note}" if note else ""


def rows_of(frame: pd.DataFrame) -> Rows:
    """Return one dictionary per row."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
