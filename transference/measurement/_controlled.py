"""Which pairs have controls: a few of every mode pair, the same at every checkpoint."""

from __future__ import annotations

import math

import numpy as np

from transference._streams import Stream
from transference.spec import Chosen, RunSpec, TaskSet


def controlled_pairs(spec: RunSpec) -> Chosen:
    """Return ``spec.controls`` pairs of every mode pair, or all if there are fewer, as targets by source.

    All pairs of a source mode take the same few sources, whose gradients then serve every target mode.
    """
    chosen: Chosen = {}
    for sources in _some("source", spec.sources, spec.most_controlled):
        for targets in _some("target", spec.targets, spec.controls):
            common = math.lcm(len(sources), len(targets))
            for m in range(min(spec.controls, len(sources) * len(targets))):  # along diagonals: no pair comes twice
                chosen.setdefault(sources[m % len(sources)], []).append(targets[(m + m // common) % len(targets)])
    return chosen


def default_controls(n_source: int, n_target: int, *, estimated: bool) -> int:
    """Return how many pairs of a mode pair have controls: about one in a hundred, at least 8, at most 64.

    In a table of less than eighty pairs one in ten; of estimates at most 16, since they cost next to nothing themselves.

    Args:
        n_source: tasks of a source mode.
        n_target: tasks of a target mode.
        estimated: whether the table holds estimates.
    """
    n = n_source * n_target
    return int(np.clip(math.ceil(n / 100), np.clip(n // 10, 2, 8), 16 if estimated else 64))


def _some(role: str, sets: tuple[TaskSet, ...], most: int) -> list[list[int]]:
    """Return the ids of some tasks of each mode, in random order."""
    ends = np.cumsum([tasks.n for tasks in sets])
    return [
        [int(end) - tasks.n + k for k in Stream("controls", role, tasks.sampler).choice(tasks.n, min(tasks.n, most))]
        for tasks, end in zip(sets, ends, strict=True)
    ]
