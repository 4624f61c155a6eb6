"""Tables larger than memory: how long summaries take, and the most memory that they hold.

    python -m benchmarks.large [--sources 20000 --targets 10000] [--intervals] [--whole]

A made table of exact ratios, two source modes and two target modes, is written and summarised strip by strip, as by `transference summary`
beyond 2²⁴ pairs; with ``--whole`` from its matrices instead, as it does below. Each is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import resource
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import torch

import transference as tr
from benchmarks.storing import write_made
from benchmarks.timing import machine


def main() -> None:
    """Write the table, and summarise it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=20_000)
    parser.add_argument("--targets", type=int, default=10_000)
    parser.add_argument("--intervals", action="store_true", help="with intervals, and the split")
    parser.add_argument("--whole", action="store_true", help="from matrices, too")
    asked = parser.parse_args()
    print(json.dumps(machine(torch.device("cpu"))))
    with tempfile.TemporaryDirectory() as folder:
        out, begun = Path(folder) / "run", time.perf_counter()
        write_made(out, asked.sources, asked.targets)
        n, files = asked.sources * asked.targets, sum(1 for _ in out.rglob("*.parquet"))
        size = sum(file.stat().st_size for file in out.rglob("*.parquet"))
        took = time.perf_counter() - begun
        print(f"written: {n:,} pairs in {files:,} files of {size / 1e6:,.0f} MB, {took:.0f} s", flush=True)
        for way in ("strips", *(["blocks"] if asked.whole else [])):
            seconds, before, peak = _alone(out, way, with_intervals=asked.intervals)
            told = ", ".join(f"{name} {took:.0f} s" for name, took in seconds.items())
            print(f"{way}: {told}; {peak:,.0f} MB at most, {before:,.0f} MB of it before", flush=True)


def _alone(out: Path, way: str, *, with_intervals: bool) -> tuple[dict[str, float], float, float]:
    here, there = mp.get_context("spawn").Pipe()
    process = mp.get_context("spawn").Process(target=_summarise, args=(there, out, way, with_intervals))
    process.start()
    found: tuple[dict[str, float], float, float] = here.recv()
    process.join()
    return found


def _summarise(pipe: Connection, out: Path, way: str, with_intervals: bool) -> None:
    """Send seconds by statistic, and memory before and at most, in MB."""
    run, before, seconds = tr.open_run(out), _peak(), {}
    statistics = [tr.summarise_blocks, *([tr.intervals, tr.split] if with_intervals else [])]
    for statistic in statistics:
        begun = time.perf_counter()
        statistic(run.tables() if way == "strips" else run.blocks())
        seconds[statistic.__name__] = time.perf_counter() - begun
    pipe.send((seconds, before, _peak()))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
