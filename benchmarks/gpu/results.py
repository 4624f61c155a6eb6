"""What was found, kept as it is found: all of it as JSON, and as tables to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.gpu.stages import OUT_OF_MEMORY, Row
from transference.files import write_aside

_FINE = ("ok", OUT_OF_MEMORY)


class Results:
    """The results of all stages, in ``results.json`` and ``results.md``, written anew with every row.

    Args:
        folder: where.
        about: what a reader must know of all of them.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self._folder, self._about = folder, about
        self._stages: dict[str, dict[str, Any]] = {}

    def add(self, stage: str, row: Row) -> None:
        """Keep a row of a stage that is under way."""
        self._stages.setdefault(stage, {"status": "under way", "seconds": 0.0, "rows": []})["rows"].append(row)
        self._write()

    def end(self, stage: str, status: str, seconds: float) -> None:
        """Keep how a stage ended."""
        self._stages.setdefault(stage, {"rows": []}).update(status=status, seconds=round(seconds, 1))
        self._write()

    def exit_code(self) -> int:
        """Return 1 if a stage failed or a check does not hold, 3 if something is missing, else 0."""
        told = [status for stage in self._stages.values() for status in (stage["status"], *map(_status, stage["rows"]))]
        if any(stage["status"].startswith("failed") for stage in self._stages.values()):
            return 1
        if any(status.startswith("wrong") for status in told):
            return 1
        return 0 if all(status in (*_FINE, "done") for status in told) else 3

    def as_markdown(self) -> str:
        """Return a table for each stage."""
        lines = [
            "# Measured on a GPU" if self._about["device"].startswith("cuda") else "# Measured on a CPU, to try it"
        ]
        lines += ["", *(f"- {name}: {value}" for name, value in self._about.items())]
        for name, stage in self._stages.items():
            lines += ["", f"## {name}", "", f"{stage['status']}, {stage.get('seconds', 0):.0f} s", ""]
            for rows in _alike(stage["rows"]):
                lines += [*_table(rows), ""]
        return "\n".join(lines).rstrip() + "\n"

    def _write(self) -> None:
        content = {**self._about, "stages": self._stages}
        write_aside(self._folder / "results.json", lambda aside: aside.write_text(json.dumps(content, indent=2) + "\n"))
        write_aside(self._folder / "results.md", lambda aside: aside.write_text(self.as_markdown()))


def _status(row: Row) -> str:
    return str(row.get("status", "ok"))


def _alike(rows: list[Row]) -> list[list[Row]]:
    """Return rows in groups that make one table each: a row that tells nothing new belongs to the table before it."""
    groups: list[list[Row]] = []
    for row in rows:
        if groups and set(row) <= set(groups[-1][0]) | {"status"}:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _table(rows: list[Row]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(row.get(name, "ok" if name == "status" else "")) for name in names] for row in rows]
    return [_line(name.replace("_", " ") for name in names), _line("---" for _ in names), *map(_line, cells)]


def _line(cells: Any) -> str:  # noqa: ANN401 - any texts
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ("–" if value is None else str(value)).replace("|", "\\|")
