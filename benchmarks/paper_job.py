"""The paper's job, as a command and as the loop that a user would write: 300 sources, 1 target, the checkpoints of one training.

    python -m benchmarks.paper_job [--side 28] [--rounds 3] [--beside FOLDER] [--json FILE]

A ProtoNet is trained for some iterations first (or its checkpoints are given). Then, in turn, each a process of its own:
the plain loop with the memory settings that Python comes with, the same with ours, and ``transference compute`` with its
defaults: the trial of engines, controls, first-order parts, each target on itself, a run folder that can be taken up
again, none of which the loop has. The loop has the same images, which it opens by our readers, and writes its ratios as
CSV; they are compared with ours. With --beside the command of another checkout is timed too. Where the command's time
goes is told by a further round of it (`_parts`).
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

import transference as tr
from benchmarks.peers import Conv4
from benchmarks.timing import machine
from transference.devices import keep_freed_memory

_OURS = Path(__file__).resolve().parents[1]
_AGREE = 1e-3
"""Difference of log ratios up to which both measured the same: float32, in another order of sums."""


def main() -> None:
    """Train if there is nothing to measure, time all ways in turn, and print the table."""
    asked = _options().parse_args()
    if asked.loop:
        _loop(asked)
        return
    trees = {"ours": _OURS} | ({"beside": asked.beside.resolve()} if asked.beside else {})
    about = {
        key: value for key, value in machine(torch.device("cpu")).items() if key != "threads"
    }  # each row has its own
    print(json.dumps(about))
    with tempfile.TemporaryDirectory() as folder:
        job = Job(asked, Path(folder), asked.checkpoints or _trained(asked, Path(folder)))
        rows = [row for n in asked.threads for row in _timed(job, trees, n, asked.rounds)]
    print("\n".join(_table(rows)))
    if asked.json:
        asked.json.write_text(json.dumps({**about, "rounds": asked.rounds, "rows": rows}, indent=2) + "\n")


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="*", type=Path, help="of a ProtoNet; without any one is trained")
    parser.add_argument("--side", type=int, default=28)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--source", default="strokes:train")
    parser.add_argument("--target", default="shapes:test")
    parser.add_argument("--data-root", type=Path, help="where these are, if they are not generated")
    parser.add_argument("--sources", type=int, default=300)
    parser.add_argument("--targets", type=int, default=1)
    parser.add_argument("--alpha", type=float, default=0.001)
    parser.add_argument("--iterations", type=int, default=40, help="of the training, which keeps four checkpoints")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--beside", type=Path, help="another checkout, such as an older one")
    parser.add_argument("--json", type=Path, help="keep what was found")
    parser.add_argument("--loop", type=Path, metavar="CSV", help="be the plain loop, once; used by the command itself")
    parser.add_argument("--keep-memory", action="store_true", help="the loop, with our memory settings")
    return parser


@dataclass(frozen=True)
class Job:
    """What is measured, and the folder where it is done."""

    asked: argparse.Namespace
    folder: Path
    checkpoints: Sequence[Path]

    @property
    def command(self) -> list[str]:
        """``compute`` and its options."""
        asked = self.asked
        words = f"--source {asked.source} --target {asked.target} --n-source {asked.sources} --n-target {asked.targets}"
        return ["compute", *map(str, self.checkpoints), *words.split(), *self._shared, "--out", str(self.run)]

    @property
    def loop(self) -> list[str]:
        """The plain loop."""
        asked = self.asked
        words = f"--source {asked.source} --target {asked.target} --sources {asked.sources} --targets {asked.targets}"
        return [
            "-m",
            "benchmarks.paper_job",
            *map(str, self.checkpoints),
            *words.split(),
            *self._shared,
            "--loop",
            str(self.csv),
        ]

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.folder / "run"

    @property
    def csv(self) -> Path:
        """The loop's table."""
        return self.folder / "ratios.csv"

    @property
    def _shared(self) -> list[str]:
        root = ["--data-root", str(self.asked.data_root)] if self.asked.data_root else []
        return ["--alpha", str(self.asked.alpha), "--side", str(self.asked.side), *root]


def _trained(asked: argparse.Namespace, folder: Path) -> list[Path]:
    """Return the checkpoints of a short training."""
    modes = ",".join(dict.fromkeys(mode.partition(":")[0] for mode in (asked.source, asked.target)))
    words = f"train --learner protonet --modes {modes} --side {asked.side} --iterations {asked.iterations}"
    words += f" --save-every {max(1, asked.iterations // 4)} --meta-batch 2 --out training"
    root = ["--data-root", str(asked.data_root.resolve())] if asked.data_root else []
    _started(["-m", "transference", *words.split(), *root], _OURS, folder, 1)
    return sorted((folder / "training").glob("step-*.safetensors"))


def _timed(job: Job, trees: Mapping[str, Path], threads: int, rounds: int) -> list[dict[str, Any]]:
    """Return a row for each way, from rounds in turn; none to warm up, since every process begins anew."""
    ways: dict[str, tuple[list[str], Path]] = {
        "the plain loop": (job.loop, _OURS),
        "with our memory settings": ([*job.loop, "--keep-memory"], _OURS),
        **{name: (["-m", "transference", *job.command], tree) for name, tree in trees.items()},
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (words, tree) in ways.items():
            shutil.rmtree(job.run, ignore_errors=True)
            taken[name].append(_started(words, tree, _OURS, threads))
            if name in trees:
                _check_alike(job)
    rows = []
    for name in ways:
        wall, cpu = (list(times) for times in zip(*taken[name], strict=True))
        row: dict[str, Any] = {"way": name, "threads": threads, "seconds": median(wall), "cpu": median(cpu)}
        for kind, of in (("ratio", 0), ("ratio_cpu", 1)):
            ratios = [theirs[of] / own[of] for theirs, own in zip(taken["the plain loop"], taken[name], strict=True)]
            row[kind] = {"median": median(ratios), "least": min(ratios), "most": max(ratios)}
        if name in trees:
            row["parts"] = _parts(job, trees[name], threads)
            row["engine"] = tr.open_run(job.run).spec.estimator["engine"]
        rows.append(row)
    return rows


def _parts(job: Job, tree: Path, threads: int) -> dict[str, float]:
    """Return the seconds of a processor in each part of the command."""
    shutil.rmtree(job.run, ignore_errors=True)
    found = job.folder / "parts.json"
    _started(["-P", str(_OURS / "benchmarks" / "_parts.py"), str(found), *job.command], tree, _OURS, threads)
    parts: dict[str, float] = json.loads(found.read_text())
    return parts


def _started(words: Sequence[str], tree: Path, folder: Path, threads: int) -> tuple[float, float]:
    """Run Python with these words in a folder, and return the seconds, and those of a processor, that it took.

    Raises:
        SystemExit: it failed.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": str(threads)}
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    took, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed: {done.stderr}")
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _check_alike(job: Job) -> None:
    """Make sure that the loop and the command measured the same.

    Raises:
        SystemExit: they did not.
    """
    pairs = tr.open_run(job.run).pairs()
    ours = {
        (row.checkpoint_step, row.source, row.target): math.log(row.loss_after / row.loss_before)
        for row in pairs.itertuples()
    }
    with job.csv.open() as file:
        theirs = {
            (int(row["step"]), int(row["source"]), int(row["target"])): math.log(float(row["ratio"]))
            for row in csv.DictReader(file)
        }
    apart = max(abs(ours[pair] - theirs[pair]) for pair in theirs) if ours.keys() == theirs.keys() else math.inf
    if not apart < _AGREE:
        raise SystemExit(f"The loop and the command differ by {apart:.2g} in a log ratio.")


def _loop(asked: argparse.Namespace) -> None:
    """Measure all ratios as a user would, without this package but for its readers of checkpoints and images."""
    if asked.keep_memory:
        keep_freed_memory()
    how = {"side": asked.side, "data_root": asked.data_root}
    sources, targets = tr.few_shot(asked.source, seed=1, **how), tr.few_shot(asked.target, seed=2, **how)
    loss = _loss(Conv4(affine=True))
    with asked.loop.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["step", "source", "target", "ratio"])
        for path in asked.checkpoints:
            checkpoint = tr.load_checkpoint(path)
            params = {name: value.requires_grad_() for name, value in checkpoint.params.items()}
            tasks = [targets[j] for j in range(asked.targets)]
            with torch.no_grad():
                before = [loss(params, task).item() for task in tasks]
            for i in range(asked.sources):
                gradients = torch.autograd.grad(loss(params, sources[i]), list(params.values()))
                with torch.no_grad():
                    moved = {
                        name: value - asked.alpha * gradient
                        for (name, value), gradient in zip(params.items(), gradients, strict=True)
                    }
                    for j, task in enumerate(tasks):
                        table.writerow([checkpoint.step, i, j, loss(moved, task).item() / before[j]])


def _loss(net: Conv4) -> Callable[[tr.Params, tr.Episode], Tensor]:
    def loss(params: tr.Params, episode: tr.Episode) -> Tensor:
        support, query = (functional_call(net, params, (images,)) for images in (episode.support_x, episode.query_x))
        classes = episode.support_y.unique()
        prototypes = torch.stack([support[episode.support_y == c].mean(dim=0) for c in classes])
        return F.cross_entropy(-(torch.cdist(query, prototypes) ** 2), episode.query_y)

    return loss


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table, as Markdown."""
    lines = [
        "| threads | way | seconds (of a processor) | times as fast as the loop (of a processor) | seconds of a processor by part |"
    ]
    lines.append("| --- | --- | --- | --- | --- |")
    for row in rows:
        wall, cpu = row["ratio"], row["ratio_cpu"]
        parts = sorted(row.get("parts", {}).items(), key=lambda part: -part[1])
        told = ", ".join(f"{name} {seconds:.1f}" for name, seconds in parts)
        lines.append(
            f"| {row['threads']} | {row['way']}{f', {engine}' if (engine := row.get('engine')) else ''} "
            f"| {row['seconds']:.1f} ({row['cpu']:.1f}) "
            f"| {wall['median']:.2f} [{wall['least']:.2f}, {wall['most']:.2f}] ({cpu['median']:.2f}) | {told} |"
        )
    return lines


if __name__ == "__main__":
    main()
