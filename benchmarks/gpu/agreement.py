"""Small matrices of loss ratios, here and on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import transference as tr
from benchmarks.gpu.stages import OUT_OF_TIME, Asked, Row

LEARNERS: dict[str, dict[str, int]] = {"protonet": {}, "kml-protonet": {}, "maml": {"inner_steps": 2}}
ENGINES = ("loop", "vmap")
AGREE = 1e-9
"""Largest relative difference of a loss or a ratio in float64."""


def agreement(asked: Asked) -> Iterator[Row]:
    """Yield a row for each learner, precision and engine: the largest relative differences of losses and ratios.

    Those of float32 are reported: what they should be depends on the learner, and MAML's inner loop jumps where a ReLU switches.
    """
    tasks = _tasks(asked.toy)
    for precision in ("fp64", "fp32"):
        for name in [*LEARNERS][: 1 if asked.toy else None]:
            here: pd.DataFrame | None = None
            for engine in ENGINES:
                row: Row = {"precision": precision, "learner": name, "engine": engine}
                if not asked.in_time():
                    yield {**row, "status": OUT_OF_TIME}
                    continue
                if here is None:
                    here = _measured(name, tasks, "loop", "cpu", precision)
                yield row | _compared(here, _measured(name, tasks, engine, asked.device, precision), precision)


def _tasks(toy: bool) -> list[tuple[tr.FewShot, int]]:
    """Return source and target tasks, and how many of each."""
    shape = {"side": 16, "queries": 3} if toy else {"side": 84, "queries": 15}
    counts = {"val": 2, "test": 2} if toy else {"val": 4, "test": 5}
    return [(tr.few_shot(f"textures:{split}", **shape), n) for split, n in counts.items()]


def _measured(name: str, tasks: list[tuple[tr.FewShot, int]], engine: str, device: str, precision: str) -> pd.DataFrame:
    """Return the pairs of a run that is not kept."""
    learner, [(sources, n_source), (targets, n_target)] = tr.load_learner(name, LEARNERS[name]), tasks
    checkpoint = tr.Checkpoint(learner.init_params(0), 1)
    given = {"n_source": n_source, "n_target": n_target, "lookahead": tr.SGD(1e-4), "estimator": tr.Exact(engine)}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run = tr.measure(
            learner, checkpoint, sources, targets, **given, controls=0, device=device, precision=precision, out=out
        )
        return run.pairs()


def _compared(cpu: pd.DataFrame, card: pd.DataFrame, precision: str) -> Row:
    differences = {}
    for column in ("loss_before", "loss_after", "loss_ratio"):
        mine, theirs = (pairs[column].to_numpy() for pairs in (card, cpu))
        differences[f"difference_of_{column}"] = float(np.abs(mine / theirs - 1).max())
    largest = float(np.max([*differences.values()]))  # NaN if one is
    wrong = not np.isfinite(largest) or (precision == "fp64" and largest > AGREE)
    return differences | {"status": f"wrong: they differ by more than {AGREE:g}" if wrong else "ok"}
