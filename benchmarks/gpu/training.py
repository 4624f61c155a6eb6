"""How fast a learner is trained."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import transference as tr
from benchmarks.gpu.stages import OUT_OF_TIME, Asked, Row
from benchmarks.timing import in_turn, peak_memory
from benchmarks.training import MODES, Steps, steps
from transference.engines import draw, find_engine, repeated

LEARNERS = ("kml-protonet", "protonet")
ITERATIONS = 30_000
"""Of the released training of the ProtoNets."""


def training(asked: Asked) -> Iterator[Row]:
    """Yield for each learner the rate of a step, as a plain loop takes it and as ours does, and of the parts of ours.

    ``drawing``: the episodes; ``gradient``: of the meta-batch, its episodes drawn before.
    """
    side, meta_batch, rounds, split = (16, 2, 1, "val") if asked.toy else (84, 10, 20, "train")
    tasks = [tr.few_shot(f"{mode}:{split}", side=side, device=asked.where) for mode in MODES]
    for name in LEARNERS[: 1 if asked.toy else None]:
        row: Row = {"learner": name, "side": side, "meta_batch": meta_batch}
        if not asked.in_time():
            yield {**row, "status": OUT_OF_TIME}
            continue
        both = steps(name, tasks, meta_batch, None, asked.where)
        parts = {"straightforward": both.straightforward, "ours": both.ours, **_parts(both)}
        with repeated():  # as in a training
            seconds = in_turn(parts, rounds, asked.where)
        yield row | {
            "batching": both.batching,
            "iterations_per_second": 1 / seconds["ours"],
            "straightforward": 1 / seconds["straightforward"],
            "ratio": seconds["straightforward"] / seconds["ours"],
            f"minutes_for_{ITERATIONS}": ITERATIONS * seconds["ours"] / 60,
            "drawing_ms": 1e3 * seconds["drawing"],
            "gradient_ms": 1e3 * seconds["gradient"],
            "memory_MB": peak_memory(both.ours, asked.where),
        }


def _parts(both: Steps) -> dict[str, partial[object]]:
    engine, episodes = find_engine(both.batching), draw(both.batch)
    params = {name: value.detach() for name, value in both.params.items()}
    gradient = partial(engine.mean_gradient, both.learner, params, episodes, list(params))
    return {"drawing": partial(draw, both.batch), "gradient": gradient}
