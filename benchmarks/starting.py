"""How long commands take to start: seconds of a fresh process each, the interpreter's own beside them, and what is imported.

    python -m benchmarks.starting [--rounds 5] [--beside FOLDER] [--json FILE]

With --beside the same commands of another checkout are timed in turn with ours, by the same interpreter. The run and the
checkpoint that commands are started on are small, and made first; `compute` and `train` are repeated when they are done.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.timing import machine

_OURS = Path(__file__).resolve().parents[1]
_TRAIN = "train --learner protonet --modes strokes --iterations 4 --save-every 4 --meta-batch 1 --out training"
_COMPUTE = (
    "compute training/step-00000004.safetensors --source strokes:train --target strokes:test --n-source 10 --n-target 4 "
    "--alpha 0.01 --controls 4 --out run"
)
_COMMANDS = {
    "--help": "--help",
    "compute --help": "compute --help",
    "train --help": "train --help",
    "plot --help": "plot --help",
    "datasets prepare --help": "datasets prepare --help",
    "a mistyped option": "compute --sources strokes",
    "--version": "--version",
    "summary": "summary run",
    "plot": "plot run --kind histogram -o histogram.png",
    "verify": "verify run",
    "export": "export run pairs.csv",
    "report": "report run -o report.html",
    "datasets list": "datasets list",
    "learners": "learners",
    "compute": _COMPUTE,
    "train": _TRAIN,
}
"""By what the table calls them."""

_NEEDED = {"training", "run"}
"""What some of them are started on."""

_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)")


def main() -> None:
    """Make a run, start every command on it several times, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=Path, help="another checkout, such as an older one")
    parser.add_argument("--only", help="some of the commands, by the names of the table, separated by commas")
    parser.add_argument("--json", type=Path, help="keep what was found")
    asked = parser.parse_args()
    trees = {"ours": _OURS} | ({"beside": asked.beside.resolve()} if asked.beside else {})
    names = asked.only.split(",") if asked.only else [*_COMMANDS]
    about = machine(torch.device("cpu"))
    print(json.dumps(about))
    with tempfile.TemporaryDirectory() as folder:
        for command in (
            (_TRAIN, _COMPUTE) if _NEEDED & {word for name in names for word in _COMMANDS[name].split()} else ()
        ):
            _started(["-m", "transference", *command.split()], _OURS, folder)
        rows = [_row("the interpreter", ["-c", "pass"], trees, folder, asked.rounds)]
        rows += [
            _row(name, ["-m", "transference", *_COMMANDS[name].split()], trees, folder, asked.rounds) for name in names
        ]
    print("\n".join(_table(rows, list(trees))))
    if asked.json:
        asked.json.write_text(json.dumps({**about, "rounds": asked.rounds, "rows": rows}, indent=2) + "\n")


def _row(name: str, words: Sequence[str], trees: dict[str, Path], folder: str, rounds: int) -> dict[str, Any]:
    """Return what a command takes in each tree, in turn, after a round that fills the disk's cache, and what it imports."""
    found: dict[str, list[tuple[float, float]]] = {tree: [] for tree in trees}
    for _ in range(rounds + 1):
        for tree, place in trees.items():
            found[tree].append(_started(words, place, folder))
    row: dict[str, Any] = {"command": name}
    for tree, taken in found.items():
        wall, cpu = zip(*taken[1:], strict=True)
        row[tree] = {"seconds": median(wall), "least": min(wall), "most": max(wall), "cpu": median(cpu)}
        row[tree]["imports"] = _imports(words, trees[tree], folder)
    return row


def _started(words: Sequence[str], tree: Path, folder: str) -> tuple[float, float]:
    """Run Python with these words in a folder, and return the seconds, and those of a processor, that it took."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], cwd=folder, env=_environment(tree), capture_output=True, check=False)
    took, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _imports(words: Sequence[str], tree: Path, folder: str) -> dict[str, float]:
    """Return the seconds that importing took, by package, the three that took longest."""
    timed = subprocess.run(
        [sys.executable, "-X", "importtime", *words],
        cwd=folder,
        env=_environment(tree),
        capture_output=True,
        text=True,
        check=False,
    )
    taken: Counter[str] = Counter()
    for own, package in _IMPORT.findall(timed.stderr):
        taken[package] += int(own)
    return {package: microseconds / 1e6 for package, microseconds in taken.most_common(3)}


def _environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree)}


def _table(rows: Sequence[dict[str, Any]], trees: Sequence[str]) -> list[str]:
    """Return the table, as Markdown."""
    lines = [f"| command | {' | '.join(f'{tree}: seconds (of a processor)' for tree in trees)} | imports of ours |"]
    lines.append("| --- " * (len(trees) + 2) + "|")
    for row in rows:
        told = [f"{row[tree]['seconds']:.2f} ({row[tree]['cpu']:.2f})" for tree in trees]
        imports = ", ".join(f"{package} {seconds:.2f}" for package, seconds in row[trees[0]]["imports"].items())
        lines.append(f"| `{row['command']}` | {' | '.join(told)} | {imports} |")
    return lines


if __name__ == "__main__":
    main()
