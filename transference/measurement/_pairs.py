"""Single pairs, measured one by one: those of a sample, the controls, each target on itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from transference.engines import KeptGradients
from transference.errors import UsageError
from transference.estimators import Estimator, Exact, Prepared, Readings
from transference.measurement._blame import blamed
from transference.measurement._reading import only_out_of_memory, read_each
from transference.measurement._steps import Step, Stepper, Subject, batches
from transference.measurement._tasks import Drawn, Tasks
from transference.store import Columns, pair_rows

_WHOLE = 64
"""Targets whose images are in memory together."""

Change = Callable[[Step], Step]


def measure_pairs(
    exact: Estimator,
    stepper: Stepper,
    targets: Tasks,
    cells: Mapping[int, Sequence[int]],
    *,
    kept: KeptGradients | None = None,
    changes: Sequence[Change] = (lambda step: step,),
    alphas: Collection[float] | None = None,
) -> list[list[Columns]]:
    """Measure some pairs, given as targets by source.

    Args:
        exact: how.
        stepper: takes the steps on sources.
        targets: the target tasks.
        cells: the pairs.
        kept: gradients of the sources.
        changes: what is done to a step before it is read; every pair is read after each.
        alphas: the step sizes at which pairs are measured; by default all that the stepper takes.

    Returns:
        The rows, of each change.
    """
    rows: list[list[Columns]] = [[] for _ in changes]
    for some in batches(sorted({j for wanted in cells.values() for j in wanted}), _WHOLE):
        drawn, at = Drawn(targets, some), stepper.subject.step
        prepared = prepare(stepper.subject, drawn, exact)
        places = {j: place for place, j in enumerate(some)}
        here = {i: [j for j in wanted if j in places] for i, wanted in cells.items()}
        sources = [i for i, wanted in here.items() if wanted]
        with blamed("source", Drawn(stepper.sources, stepper.sources.tasks_of(sources)), at):
            for walked in stepper.walk(sources, kept):
                steps = [step for step in walked if alphas is None or step.alpha in alphas]
                with blamed("target", drawn, at, partial(after, steps)):
                    for k, change in enumerate(changes):
                        changed = [change(step) for step in steps]
                        rows[k] += read_pairs(
                            prepared, [(step, j) for step in changed for j in here[step.source]], places
                        )
    return rows


def read_pairs(prepared: Prepared, cells: Sequence[tuple[Step, int]], places: Mapping[int, int]) -> list[Columns]:
    """Return the rows of single pairs, each a step and a target's id; ``places`` tells where the target is among those prepared."""
    there = [(places[j], step.displacement) for step, j in cells if step.displacement is not None]
    found = iter(read_each(prepared, there))
    loss, accuracy = as_numpy(prepared.before)
    rows = []
    for step, j in cells:
        after = next(found) if step.displacement is not None else None
        read = None if after is None else (np.array(after[:1]), np.array(after[1:], np.float32))
        rows.append(pair_rows(step.source, np.array([j]), step.alpha, (loss[[places[j]]], accuracy[[places[j]]]), read))
    return rows


def after(steps: Sequence[Step]) -> str:
    """Return whose steps were taken, for messages."""
    sources = list(dict.fromkeys(str(step.source) for step in steps))
    return (
        f", after a step on source task {sources[0]}{f' to {sources[-1]}' if len(sources) > 1 else ''}"
        if sources
        else ""
    )


def prepare(subject: Subject, targets: Drawn, estimator: Estimator, *, margins: bool = False) -> Prepared:
    """Return what an estimator prepares for these targets.

    Args:
        subject: the checkpoint.
        targets: the tasks.
        estimator: which prepares.
        margins: whether its readings have margins too, as only those of `Exact` do.

    Raises:
        UsageError: they do not fit into memory.
    """
    try:
        with blamed("target", targets, subject.step):
            if margins:
                return cast("Exact", estimator).prepare(subject.learner, subject.params, targets, margins=True)
            return estimator.prepare(subject.learner, subject.params, targets)
    except (RuntimeError, MemoryError) as error:
        only_out_of_memory(error)
        raise UsageError(
            f"The device ran out of memory on {len(targets)} targets before any step. Take fewer targets a tile (--tile), "
            "smaller episodes, or --device cpu."
        ) from error


def as_numpy(readings: Readings) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return losses and accuracies as arrays."""
    return readings.loss.numpy(), readings.accuracy.numpy()
