"""What of a run's modes and tasks somebody means, in whatever spelling."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from transference.errors import UsageError
from transference.store._run import Run

_SUBSET = re.compile(r"(?P<data>[^\[\]:]+)\[(?P<inside>[^\[\]]*)\](?P<split>:.*)?")
"""A mode of paired data."""


def find_mode(known: Collection[str], mode: str) -> str:
    """Return the name by which a mode is known, whatever the order of its modalities; itself where it is not known.

    Args:
        known: names of modes, with or without their splits.
        mode: the mode; its modalities ``*`` are all that the known names of its data have.
    """
    modalities = {modality for name in known for modality in _modalities(name, mode) if modality}
    asked = mode.replace("[*]", f"[{'+'.join(sorted(modalities))}]") if modalities else mode
    return next((name for name in known if _unordered(name) == _unordered(asked)), mode)


def find_tasks(run: Run, role: str, texts: Sequence[str]) -> dict[str, int]:
    """Return the id of each task asked for that a run has.

    Args:
        run: the run.
        role: ``"source"`` or ``"target"``.
        texts: ids, as ``"7"``, or modes with indices, as ``"birds:7"`` or ``"birds:test:7"``.
    """
    by_name, modes = _names(run, role)
    found = {}
    for text in texts:
        mode, colon, index = text.rpartition(":")
        name = f"{find_mode(modes, mode)}:{index}" if colon else text
        if name in by_name:
            found[text] = by_name[name]
    return found


def choose_tasks(run: Run, role: str, texts: Sequence[str]) -> list[int]:
    """Return the ids of the tasks that are meant, ascending; of all tasks where none is named.

    Args:
        run: the run.
        role: ``"source"`` or ``"target"``.
        texts: modes, for all their tasks, or tasks as for `find_tasks`.

    Raises:
        UsageError: the run lacks one of them.
    """
    labels, tasks = run.modes(role), find_tasks(run, role, texts)
    modes = {text: find_mode(dict.fromkeys(labels), text) for text in texts}
    if unknown := [text for text in texts if text not in tasks and modes[text] not in labels]:
        raise UsageError(
            f"{run.path} has no {role} {', '.join(unknown)}. Give a mode, of {', '.join(dict.fromkeys(labels))}; MODE:INDEX for "
            "one of its tasks, which are counted from 0; or a task's id."
        )
    wanted = set(modes.values())
    return [k for k, label in enumerate(labels) if not texts or label in wanted or k in tasks.values()]


def _names(run: Run, role: str) -> tuple[dict[str, int], dict[str, None]]:
    """Return the ids of a role's tasks by their names, and the names of their modes."""
    tasks = run.tasks()
    by_name: dict[str, int] = {}
    modes: dict[str, None] = {}
    rows = tasks[tasks["role"] == role].sort_values("id")
    for label, mode, split, index, number in zip(
        run.modes(role), rows["mode"], rows["split"], rows["index"], rows["id"], strict=True
    ):
        for name in (f"{mode}:{split}", label):
            modes[name] = None
            by_name[f"{name}:{index}"] = int(number)
        by_name[str(number)] = int(number)
    return by_name, modes


def _modalities(name: str, mode: str) -> list[str]:
    """Return the modalities that a mode's name has, if it is of the same data as a mode."""
    match, data = _SUBSET.fullmatch(name), mode.partition("[")[0]
    return re.split("[+>]", match["inside"]) if match and match["data"] == data else []


def _unordered(mode: str) -> object:
    """Return what is the same for all spellings of a mode."""
    match = _SUBSET.fullmatch(mode)
    if not match:
        return mode
    sides = [frozenset(part.strip() for part in side.split("+")) for side in match["inside"].split(">")]
    return match["data"], sides, match["split"]
