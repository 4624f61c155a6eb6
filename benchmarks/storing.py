"""What the run folder costs: writing a made table of exact ratios, opening it, going on with it, and summarising it.

python -m benchmarks.storing [--size 3000] [--rounds 3] [--tile 2 2] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import transference as tr
from benchmarks.timing import in_turn, machine
from transference.measurement import default_tile
from transference.spec import CheckpointRef, TaskSet
from transference.store import TASKS, pair_rows, pairs_table, sources_schema, table


def main() -> None:
    """Write the table, and time it and what follows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=3000, help="sources, and targets")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tile", type=int, nargs=2, help="sources and targets per file")
    parser.add_argument("--keep", type=Path, help="where the table stays, or lies already")
    asked = parser.parse_args()
    print(json.dumps(machine(torch.device("cpu"))))
    with tempfile.TemporaryDirectory() as folder:
        out, begun = asked.keep or Path(folder) / "run", time.perf_counter()
        if not out.exists():
            write_made(out, asked.size, asked.size, tuple(asked.tile) if asked.tile else None)
            took = time.perf_counter() - begun
            print(f"written: {asked.size**2} pairs, {took:.1f} s, {1e6 * took / asked.size**2:.2f} µs a pair")
        print(f"{sum(1 for _ in out.rglob('*.parquet'))} files")
        begun = time.perf_counter()
        tr.Store(out).check_published()
        print(f"reading and checking all: {time.perf_counter() - begun:.1f} s", flush=True)
        time.sleep(2)  # what has just been written is not taken for settled
        tr.Store(out).check_published()
        opening = {
            "open_run, progress": lambda: tr.open_run(out).progress(),
            "going on, all read before": lambda: tr.Store(out).check_published(),
        }
        reading = {
            "open_run, blocks, summarise_blocks": lambda: tr.summarise_blocks(tr.open_run(out).blocks()),
            "open_run, matrix": lambda: tr.open_run(out).matrix(),
            "open_run, pairs (pandas)": lambda: tr.open_run(out).pairs(),
        }
        for ways in (opening, reading):
            for name, seconds in in_turn(ways, asked.rounds, torch.device("cpu")).items():
                print(f"{name}: {seconds:.2f} s", flush=True)


def write_made(out: Path, n_source: int, n_target: int, tile: tuple[int, int] | None = None) -> None:
    """Write a run of two source modes and two target modes with random ratios."""
    sizes = {"source": n_source, "target": n_target}
    sets = {role: tuple(TaskSet(f"{mode}:{role}", n // 2, mode) for mode in "ab") for role, n in sizes.items()}
    spec = tr.RunSpec(
        checkpoints=(CheckpointRef(1, "made"),), learner={"class": "made"}, sources=sets["source"], targets=sets["target"],
        lookahead={"kind": "sgd", "alpha": [0.1]}, estimator={"kind": "exact"}, controls=0, device="cpu", precision="fp32",
        tile=tile or default_tile(tr.Exact(), n_source, n_target),
    )  # fmt: skip
    store, random = tr.Store(out), np.random.default_rng(0)
    store.begin(spec, {})
    shape = {
        "ways": 5,
        "shots": 1,
        "queries": 15,
        "seed": 1,
        "class_names": ["x"] * 5,
        "support_ids": ["x"] * 5,
        "query_ids": ["x"] * 75,
    }
    numbered = [
        (role, tasks, k * tasks.n + i, i) for role in sets for k, tasks in enumerate(sets[role]) for i in range(tasks.n)
    ]
    rows = [
        {"role": role, "id": n, "sampler": tasks.sampler, "index": i, "mode": tasks.digest, "split": "made", **shape}
        for role, tasks, n, i in numbered
    ]
    store.write_tasks(table(TASKS, rows))
    before, accuracy = 1 + random.random(n_target), random.random(n_target).astype(np.float32)
    for each in spec.tiles(1):
        targets, pairs, sources = np.arange(*each.targets), [], []
        for source in range(*each.sources):
            after = before[targets] * np.exp(0.1 * random.standard_normal(len(targets)))
            slopes = 0.1 * random.standard_normal(len(targets))
            pairs.append(
                pair_rows(
                    source, targets, 0.1, (before[targets], accuracy[targets]), (after, accuracy[targets]), slopes
                )
            )
            sources.append(
                {"source": source, "alpha": 0.1, "loss": 1.0, "gradient_norm": 1.0, "displacement_norm": 0.1}
            )
        store.write(each, pairs_table(pairs), table(sources_schema(combined=False), sources))


if __name__ == "__main__":
    main()
