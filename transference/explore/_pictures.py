"""The support sets of all tasks of a run, where a page has room for them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pandas as pd

from transference.errors import in_one_line
from transference.explore._packing import Shelf
from transference.pages import Drawing, SupportSets, Task

_TRIED = 16
"""Tasks from which the size of all is told."""

_SHOTS = 5
"""Examples of a class that are shown."""


def pictures(tasks: pd.DataFrame, draws: SupportSets, shelf: Shelf) -> tuple[dict[str, list[Any]], str]:
    """Return the support set of each task, by role and id, and why there are none, if there are none.

    Args:
        tasks: of ``Run.tasks()``, sorted by role and id.
        draws: draws them again.
        shelf: of the page, from whose room they take.
    """
    found: dict[str, list[Any]] = {"source": [], "target": []}
    spread = tasks.iloc[:: max(1, len(tasks) // _TRIED)]
    expected = sum(_size(_shown(draws.task(row, ""))) for _, row in spread.iterrows()) * len(tasks) / len(spread)
    if expected > shelf.room:
        return {}, f"the support sets of {len(tasks):,} tasks would make the page too large"
    for _, row in tasks.iterrows():
        found[str(row["role"])].append(_shown(draws.task(row, "")))
    if (size := _size(found)) > shelf.room:
        return {}, f"the support sets of {len(tasks):,} tasks would make the page too large"
    shelf.room -= size
    nothing = not any(map(any, found.values()))
    return {} if nothing else found, " ".join(sorted(map(in_one_line, set(draws.problems.values()))))


def _shown(task: Task) -> dict[str, Any] | None:
    """Return the support set of a task as the page's script reads it; None where it could not be drawn."""
    if task.points:
        return {"points": [list(map(float, task.points.x)), list(map(float, task.points.y))]}
    classes = [[_shots(shots) for shots in row.shots] for row in task.classes]
    return {"classes": classes} if any(classes) else None


def _shots(shots: Any) -> dict[str, Any]:  # noqa: ANN401 - Shots of the room of pages
    drawings = [_drawing(drawing) for drawing in shots.drawings[:_SHOTS]]
    return {"modality": shots.modality, "images": list(shots.images[:_SHOTS]), "drawings": drawings}


def _drawing(drawing: Drawing) -> dict[str, Any]:
    return {**asdict(drawing), "box": drawing.box}


def _size(shown: object) -> int:
    return len(json.dumps(shown))
