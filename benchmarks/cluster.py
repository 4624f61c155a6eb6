"""What a cluster costs: workers beside one process, the scheduler at 64 workers, and workers that are killed again and again.

    python -m benchmarks.cluster [--only pairs,scheduler,chaos] [--rounds 3] [--kills 20] [--json FILE]

pairs      the same table by one process with two threads, and by two workers with one thread each, in turn: pairs a
           second, with the workers' start apart
scheduler  64 workers in one process with items that sleep: what the scheduler takes an item, at several lengths
chaos      four workers, one of which is killed every few seconds: is the table that of one process, byte by byte, and
           how many parts were computed twice
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import dask
import torch
from distributed import LocalCluster

import transference as tr
from benchmarks.timing import machine
from meta_models.protonet import ProtoNet
from transference.executors import Packed, _worker, open_cluster

_COUNTING = """
import os
from pathlib import Path
from transference.measurement import Work

def count(compute):
    def counted(work, one):
        with Path({log!r}).open("a") as file:
            print(os.getpid(), one, file=file)
        return compute(work, one)
    return counted

if Work.part.__name__ != "counted":  # a worker reads this twice
    Work.part = count(Work.part)
"""


def main() -> None:
    """Time what was asked for, print it, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="pairs,scheduler,chaos")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sources", type=int, default=200, help="of pairs")
    parser.add_argument("--targets", type=int, default=64, help="of pairs")
    parser.add_argument("--workers", type=int, default=64, help="of scheduler")
    parser.add_argument("--lasts", default="0,0.1,1,10", help="seconds of an item of scheduler")
    parser.add_argument("--kills", type=int, default=20, help="of chaos")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    print(machine(torch.device("cpu")))
    found: dict[str, Any] = {}
    ways = {
        "pairs": lambda: pairs(asked.rounds, asked.sources, asked.targets),
        "scheduler": lambda: scheduler(asked.workers, [float(text) for text in asked.lasts.split(",")]),
        "chaos": lambda: chaos(asked.kills),
    }
    for name in asked.only.split(","):
        found[name] = ways[name]()
        print(name, json.dumps(found[name], indent=2))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


def measured(out: Path, threads: int, n_source: int, n_target: int, **words: Any) -> tr.Run:  # noqa: ANN401 - of measure
    """Measure a ProtoNet at 28 pixels with fresh parameters."""
    torch.set_num_threads(threads)
    learner = ProtoNet()
    torch.manual_seed(0)
    sources, targets = (tr.few_shot(f"{name}:test", seed=seed) for name, seed in (("strokes", 1), ("shapes", 2)))
    return tr.measure(
        learner, tr.Checkpoint(learner.init_params(0), 1), sources, targets, out=out, n_source=n_source, n_target=n_target,
        lookahead=tr.SGD(1e-4), estimator=tr.Exact("threads"), controls=2, device="cpu", **{"tile": (25, 32), **words},
    )  # fmt: skip


def pairs(rounds: int, n_source: int, n_target: int) -> dict[str, Any]:
    """Time one process with two threads and two workers with one each, in turn."""
    seconds: dict[str, list[float]] = {"one process, two threads": [], "two workers": [], "start of two workers": []}
    with tempfile.TemporaryDirectory() as folder:
        measured(Path(folder) / "warm", 2, 25, 32)
        for k in range(rounds):
            begun = time.perf_counter()
            measured(Path(folder) / f"one-{k}", 2, n_source, n_target)
            seconds["one process, two threads"].append(time.perf_counter() - begun)
            begun = time.perf_counter()
            with open_cluster("local:2", threads=1, device="cpu", say=print) as cluster:
                seconds["start of two workers"].append(time.perf_counter() - begun)
                measured(
                    Path(folder) / f"first-{k}", 1, 25, 32, cluster=cluster.client
                )  # torch is imported, data are opened
                begun = time.perf_counter()
                measured(Path(folder) / f"two-{k}", 1, n_source, n_target, cluster=cluster.client)
                seconds["two workers"].append(time.perf_counter() - begun)
    told = {name: median(took) for name, took in seconds.items()}
    rates = {
        f"{name}, pairs/s": n_source * n_target / told[name] for name in ("one process, two threads", "two workers")
    }
    return {"seconds": told, **rates}


@dataclass(frozen=True)
class Sleeping:
    """A job whose items are seconds, slept."""

    def bench(self) -> Sleeping:
        """Return the bench, which is nothing."""
        return self

    def __call__(self, item: float) -> Iterator[float]:
        """Sleep.

        Yields:
            How long.
        """
        time.sleep(item)
        yield item

    def close(self) -> None:
        """Do nothing."""


def scheduler(n: int, lengths: Sequence[float]) -> list[dict[str, float]]:
    """Hand items that sleep to workers that are threads of this process, and tell what an item costs beyond its sleep."""
    rows, job = [], Packed(pickle.dumps(Sleeping()), {})
    here: dict[str, Any] = {"threads_per_worker": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with ExitStack() as stack:
        # these workers compute nothing, and may do so at once
        stack.enter_context(patch.object(_worker, "_at_work", threading.Semaphore(2 * n)))
        local = stack.enter_context(LocalCluster(n_workers=n, memory_limit=0, **here))
        client = stack.enter_context(local.get_client())
        cluster = stack.enter_context(open_cluster(client, threads=1, device="cpu", say=print))
        executor = stack.enter_context(cluster.employed(job))
        list(executor.carry_out([0.0] * n, lambda item: 0))
        for lasts in lengths:
            items = n * max(2, min(60, round(20 / lasts))) if lasts else 30 * n
            begun = time.perf_counter()
            assert len(list(executor.carry_out([lasts] * items, lambda item: 0))) == items
            took, ideal = time.perf_counter() - begun, lasts * items / n
            row = {"an item lasts, s": lasts, "items": items, "seconds": took, "busy": ideal / took}
            rows.append({**row, "seconds an item costs the scheduler": (took - ideal) / items})
    return rows


def chaos(kills: int) -> dict[str, Any]:
    """Kill one of four workers every few seconds while they measure, and compare the files with those of one process."""
    with tempfile.TemporaryDirectory() as name:
        folder, killed = Path(name), []
        measured(folder / "one", 1, 60, 32, tile=(5, 4))
        log, counting = folder / "log", folder / "counting.py"
        counting.write_text(_COUNTING.format(log=str(log)))
        done = threading.Event()

        def lines() -> list[str]:
            return log.read_text().splitlines() if log.exists() else []

        def kill() -> None:
            while len(killed) < kills and not done.wait(2.0):
                alive = [int(line.split()[0]) for line in lines()[-4:] if int(line.split()[0]) not in killed]
                if alive:
                    os.kill(alive[-1], signal.SIGKILL)
                    killed.append(alive[-1])

        killer = threading.Thread(target=kill)
        killer.start()
        begun = time.perf_counter()
        with dask.config.set({"distributed.worker.preload": [str(counting)]}):
            measured(folder / "four", 1, 60, 32, tile=(5, 4), cluster="local:4")
        took = time.perf_counter() - begun
        done.set()
        killer.join()
        parts = Counter(line.partition(" ")[2] for line in lines())
        files = {path.relative_to(folder / "one") for path in (folder / "one").rglob("*.parquet")}
        same = [(folder / "one" / file).read_bytes() == (folder / "four" / file).read_bytes() for file in files]
    return {
        "kills": len(killed), "seconds": took, "files": len(files), "files that differ": same.count(False), "parts": len(parts),
        "parts computed twice": sum(n - 1 for n in parts.values()),
    }  # fmt: skip


if __name__ == "__main__":
    main()
